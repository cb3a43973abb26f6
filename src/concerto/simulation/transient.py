"""From the equilibrium of early CO2 through the centuries to the record of a tower, and then the record itself.

The state is spun up with the atmosphere of the first year and the recycled climate of the record; then every year from
the first one to the record is run with a year of that climate and its own CO2, isotopes of CO2, nitrogen deposition and
warming.
"""

from __future__ import annotations

import time as clock
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from concerto.errors import ConcertoError
from concerto.forcing.history import History, resolve
from concerto.forcing.isotopes import air_history
from concerto.simulation.dynamics import Dynamics, litter_input
from concerto.simulation.forcing import end_of_day
from concerto.simulation.progress import progress
from concerto.simulation.restart import ContinuedRun, write_site_restart
from concerto.simulation.site import SiteRun, open_site
from concerto.simulation.spinup import spin_up_tiles
from concerto.simulation.tiles import residual_words
from concerto.tables import loader

PLANT_POOLS = ("labile", "leaf", "fine_root", "sapwood", "heartwood", "seed")
SOIL = {"carbon": "soil_carbon", "nitrogen": "soil_nitrogen", "carbon13": "carbon13_soil", "carbon14": "carbon14_soil"}
# column of the forcing for each series of the atmosphere
COLUMNS = {
    "co2": "co2",
    "ndep": "nitrogen_deposition",
    "delta13c": "delta13c_air",
    "delta14c": "delta14c_air",
    "air": "air_temperature",
}
ABOVE_GROUND = 0.75  # share of wood above ground
REMOVED = 0.7  # share of above-ground wood that a harvest takes away; the rest is slash
LASTING = 0.5  # share of the removed wood in products of 100 years, the rest in products of 10
PRODUCTS = ((1.0 - LASTING, 10.0), (LASTING, 100.0))  # share, life span in years
RESERVE = 0.5  # labile carbon that the new stand starts with, over carbon of full leaves


FLUXES = ("gpp", "npp", "ra", "rh", "nbp", "evapotranspiration", "surface_runoff", "drainage", "water_stress")
POOLS = ("vegetation_carbon", "litter_carbon", "soil_organic_carbon")
NITROGEN_FLUXES = (
    "nitrogen_fixation",
    "nitrogen_uptake",
    "net_mineralisation",
    "nitrification",
    "nitrous_oxide",
    "dinitrogen",
    "nitrogen_leaching",
)
ISOTOPE_FLUXES = ("respired_carbon", "respired_carbon13", "respired_carbon14")
NITROGEN_POOLS = {
    "vegetation": ("nVeg", "nitrogen in vegetation"),
    "litter": ("nLitter", "nitrogen in litter and coarse woody debris"),
    "soil": ("nSoil", "nitrogen in soil organic matter"),
    "mineral": ("nMineral", "mineral nitrogen in soil"),
}


def elements(tiles) -> list[str]:
    """Elements that the options simulate: carbon, nitrogen, carbon13, carbon14."""
    found = ["carbon"]
    found += ["nitrogen"] if tiles.option("nitrogen") == "cn" else []
    return found + (["carbon13", "carbon14"] if tiles.option("isotopes") == "on" else [])


def annual_fluxes(tiles) -> list[str]:
    """Diagnostics and daily rates whose annual means are kept."""
    names = [*FLUXES, "litterfall", "dissolved_carbon_export"]
    names += ["harvest_carbon"] if loader.filled(loader.variables("state")["harvest_carbon"], tiles.option) else []
    names += NITROGEN_FLUXES if tiles.option("nitrogen") == "cn" else []
    return names + (list(ISOTOPE_FLUXES) if tiles.option("isotopes") == "on" else [])


def plants(tiles, element: str) -> np.ndarray:
    """Plant pools of an element, (tile, pool), kg m-2."""
    if element == "carbon":
        return np.stack([tiles.get(f"carbon_{name}") for name in PLANT_POOLS], axis=1)
    return tiles.get(f"{element}_plant")


def set_plants(tiles, element: str, pools) -> None:
    """Set the plant pools of an element, (tile, pool), kg m-2."""
    if element == "carbon":
        for k, name in enumerate(PLANT_POOLS):
            tiles.set(f"carbon_{name}", pools[:, k])
    else:
        tiles.set(f"{element}_plant", pools)


def litter_places(scheme: str) -> np.ndarray:
    """Which of the places of the soil pools are litter (True)."""
    from concerto.tables import decomposition

    out = np.zeros(loader.layers()["soil_carbon"], dtype=bool)
    found = decomposition.schemes().get(scheme)
    flags = list(found.litter) if found else [scheme == "mimics"] * 2
    flags = np.repeat(flags, loader.layers()["carbon_layer"]) if scheme == "cencn" else np.array(flags, dtype=bool)
    out[: len(flags)] = flags
    return out


def stocks(tiles, weights) -> dict[str, dict[str, float]]:
    """Stocks of the cell, kg m-2: for each element those of ``vegetation``, ``litter`` and ``soil``."""
    litter, out = litter_places(tiles.option("soil_carbon")), {}
    for element in elements(tiles):
        soil = weights @ tiles.get(SOIL[element])
        out[element] = {
            "vegetation": float((weights @ plants(tiles, element)).sum()),
            "litter": float(soil[litter].sum()),
            "soil": float(soil[~litter].sum()),
        }
    if "nitrogen" in out:
        out["nitrogen"]["mineral"] = float((weights @ (tiles.get("ammonium") + tiles.get("nitrate"))).sum())
    return out


# --- climate of other years


class Cycle:
    """Years of a record that stand for other years: the same month, day and time of the day.

    Whole calendar years of the record are taken in order, so that the last one precedes the record. 29 February takes
    28 February where the source year has none and is left out where the other year has none; a missing step takes the
    same one of the nearest other year, else that of the nearest day in declination of the sun.

    Parameters
    ----------
    time : datetime64 array, starts of the steps (local standard time, so that years begin at midnight)
    step_seconds : s
    """

    def __init__(self, time, step_seconds):
        time = np.asarray(time).astype("datetime64[s]")
        self.step, self.per_day = int(step_seconds), int(round(86400 / step_seconds))
        year, slot, part = self._place(time)
        self.first = time[0]
        found = np.arange(year.min(), year.max() + 1)
        table = np.full((len(found), 366, self.per_day), -1)
        table[year - found[0], slot, part] = np.arange(len(time))
        share = (table >= 0).mean(axis=(1, 2))
        whole = share > 0.95
        if whole.any():
            self.years = found[whole]
            self.table = np.stack([self._completed(table, k) for k in np.flatnonzero(whole)])
        else:  # no whole year: all that there is makes one
            self.years = found[-1:]
            order = np.argsort(-share, kind="stable")
            merged = table[order[0]]
            for k in order[1:]:
                merged = np.where(merged >= 0, merged, table[k])
            self.table = self._by_declination(merged)[None]
        self.anchor = int(self.first.astype("datetime64[Y]").astype(int)) + 1970
        if self.first > np.datetime64(f"{self.anchor}-07-01"):  # begins late in the year
            self.anchor += 1

    def _place(self, time):
        """Calendar year, day in a leap year (from 0) and step of the day."""
        year = time.astype("datetime64[Y]")
        day = time.astype("datetime64[D]")
        leap = (year + 1).astype("datetime64[D]") - year.astype("datetime64[D]") == np.timedelta64(366, "D")
        slot = (day - year.astype("datetime64[D]")).astype(int)
        slot = slot + ((slot >= 59) & ~leap)
        part = ((time - day).astype(int) * self.per_day) // 86400
        return year.astype(int) + 1970, slot, part

    def _completed(self, table, k):
        """Gaps of one year filled from the other years, nearest first."""
        out = table[k].copy()
        if (out[59] < 0).all():
            out[59] = out[58]
        for other in sorted(range(len(table)), key=lambda j: (abs(j - k), j)):
            out = np.where(out >= 0, out, table[other])
        return self._by_declination(out)

    def _by_declination(self, out):
        """Days that no year has: the nearest complete day in declination of the sun, then in the calendar."""
        complete = np.flatnonzero((out >= 0).all(axis=1))
        if len(complete) == 0:
            raise ConcertoError("the record has not one whole day", hint="give a longer record")
        angle = np.sin(2.0 * np.pi * (np.arange(366) - 80.0) / 366.0)
        for day in np.flatnonzero((out < 0).any(axis=1)):
            near = np.abs(angle[complete] - angle[day]) + 1e-4 * np.abs(complete - day)
            out[day] = np.where(out[day] >= 0, out[day], out[complete[np.argmin(near)]])
        return out

    def source(self, year: int) -> int:
        """The year of the record that stands for another year."""
        return int(self.years[(year - self.anchor) % len(self.years)])

    def steps(self, year: int, end=None):
        """Times of a calendar year, up to ``end``, and the steps of the record that stand for them."""
        start = np.datetime64(f"{year:04d}-01-01", "s")
        stop = np.datetime64(f"{year + 1:04d}-01-01", "s")
        stop = stop if end is None else min(stop, end)
        time = np.arange(start, stop, np.timedelta64(self.step, "s"))
        _, slot, part = self._place(time)
        return time, self.table[(year - self.anchor) % len(self.years), slot, part]


def warmed(forcing, anomaly):
    """Forcing (cell, column, step) of air that is warmer by ``anomaly`` (K), a copy: relative humidity and emissivity
    of the sky are kept, snow and rain are parted anew."""
    from concerto.forcing.derive import saturation_pressure, snow_fraction

    out = np.array(forcing, order="F")
    column = {name: entry.column - 1 for name, entry in loader.variables("forcing").items()}
    air = out[:, column["air_temperature"]].copy()
    warm = air + anomaly
    humidity = out[:, column["specific_humidity"]]
    pressure = out[:, column["pressure"]]
    out[:, column["air_temperature"]] = warm
    before = snow_fraction(air, humidity, pressure)
    out[:, column["specific_humidity"]] *= saturation_pressure(warm) / saturation_pressure(air)
    after = snow_fraction(warm, out[:, column["specific_humidity"]], pressure)
    out[:, column["longwave_down"]] *= (warm / air) ** 4
    rain, snow = out[:, column["rainfall"]].copy(), out[:, column["snowfall"]].copy()
    # what the rule would melt (or freeze) of the precipitation that fell as snow (or rain)
    melted = snow * np.clip(1.0 - after / np.maximum(before, 1e-9), 0.0, 1.0) * (after < before)
    frozen = rain * np.clip(1.0 - (1.0 - after) / np.maximum(1.0 - before, 1e-9), 0.0, 1.0) * (after > before)
    out[:, column["rainfall"]] = rain + melted - frozen
    out[:, column["snowfall"]] = snow - melted + frozen
    return out


# --- disturbance


def harvest(tiles) -> dict[str, np.ndarray]:
    """Cut the stands of all woody tiles: wood to products and slash, the rest of the plants to litter.

    Of the wood 75 % stand above ground and 70 % of those are taken away; slash, stumps, coarse roots, leaves, fine
    roots, seed and labile carbon become litter. What regrows starts from half the carbon of full leaves in the labile
    pool (or what there is). Nitrogen and isotopes, where they are simulated, move with the carbon. Conserves each
    element.

    Returns
    -------
    dict of arrays (tile,), kg m-2: ``product`` and ``litter`` of carbon, ``product_nitrogen`` and so on of the other
    elements; ``woody`` True for tiles that were cut
    """
    woody = tiles.parameter("woody") > 0.5
    full_leaves = tiles.parameter("maximum_leaf_area") / tiles.parameter("specific_leaf_area")
    labile = tiles.get("carbon_labile")
    kept = np.where(labile > 0.0, np.clip(RESERVE * full_leaves / np.maximum(labile, 1e-12), 0.0, 1.0), 1.0)
    moved = np.repeat(woody[:, None] * 1.0, len(PLANT_POOLS), axis=1)
    moved[:, 0] = np.where(woody, 1.0 - kept, 0.0)
    out = {"woody": woody}
    for element in elements(tiles):
        pools = plants(tiles, element)
        amount = moved * pools
        set_plants(tiles, element, pools - amount)
        labile, leaf, root, sapwood, heartwood, seed = amount.T
        wood = sapwood + heartwood
        product = ABOVE_GROUND * REMOVED * wood
        litter = litter_input(tiles, leaf + labile, root, wood - product, seed)
        tiles.set(SOIL[element], tiles.get(SOIL[element]) + litter)
        ending = "" if element == "carbon" else f"_{element}"
        out[f"product{ending}"], out[f"litter{ending}"] = product, litter.sum(axis=1)
    if tiles.option("phenology") != "prescribed":
        tiles.set("leaf_area", np.where(woody, 0.0, tiles.get("leaf_area")))
    return out


# --- the run


@dataclass(repr=False)
class TransientRun:
    """A history and its record; made by :func:`transient`.

    Attributes
    ----------
    site_run : SiteRun of the record, its tiles at the end of the record
    annual : xarray.Dataset (year), mean fluxes of each year, pools at its end
    record : xarray.Dataset, as ``concerto site`` gives it
    summary : dict, closing table
    """

    site_run: SiteRun
    annual: object
    record: object
    summary: dict = field(default_factory=dict)

    def __repr__(self):
        years = self.annual.year.values
        return f"TransientRun at {self.site_run.site.name}, {years[0]} to {years[-1]}"

    def to_netcdf(self, out, annual=None) -> dict:
        """Write the record to ``out`` and the years to ``annual`` (default: the name of ``out`` with _annual)."""
        from concerto.simulation.output import write

        annual = annual_path(out) if annual is None else Path(annual)
        write(self.record, out)
        _write_annual(self.annual, annual)
        self.summary |= {"output": str(out), "annual output": str(annual)}
        return self.summary


def annual_path(out) -> Path:
    """Default name of the annual file beside the one of the record."""
    out = Path(out)
    return out.with_name(f"{out.stem}_annual{out.suffix}")


def transient(
    path,
    start: int = 1850,
    *,
    co2=None,
    ndep=None,
    delta13c=None,
    delta14c=None,
    scenario: str | None = None,
    climate: str = "cycle",
    warming=None,
    disturbed: int | None = None,
    equilibrium_fraction: float = 1.0,
    restart_out=None,
    quiet: bool = True,
    **site,
) -> TransientRun:
    """Run a tower from the equilibrium of an early atmosphere to the end of its record.

    Parameters
    ----------
    path : tower file
    start : first year of the history
    co2 : file, number (ppm), ``"constant"`` (that of ``start``) or None (built-in series). A constant or a number also
        replaces the CO2 of the record; with a changing series the record keeps what its file says.
    ndep : nitrogen deposition: file, number (g N m-2 yr-1), ``"constant"`` or None (built-in); acts with the option
        ``nitrogen="cn"``
    delta13c, delta14c : isotopes of CO2, per mil: file, number, ``"constant"`` or None (13C built-in, Delta14C 0); act
        with the option ``isotopes="on"``. Files in the layout of Graven et al. (2017) give the zone of the site; after
        its end a file is held.
    scenario : of the CO2 file, where it holds several
    climate : ``"cycle"`` recycles the record; ``"delta"`` adds the anomalies of ``warming`` to it
    warming : file of annual temperature anomalies, K; their mean over the record is taken off, the record is kept
    disturbed : year at whose start the wood is cut (:func:`harvest`)
    equilibrium_fraction : the soil pools of the equilibrium are multiplied by this
    restart_out : restart file to write at the end of the record
    quiet : no progress bar
    **site : as for :func:`concerto.open_site`

    Returns
    -------
    TransientRun

    Raises
    ------
    ConcertoError
        If years, series or options do not fit, or a state variable leaves its bounds.

    Notes
    -----
    The wood starts in equilibrium (parameter ``stand_age`` 0 unless it is given); ``disturbed`` sets its age.

    Examples
    --------
    >>> run = transient("FI-Hyy_2005-2007.nc", 1850, disturbed=1962)  # doctest: +SKIP
    >>> run.annual.nbp  # doctest: +SKIP
    """
    began = clock.perf_counter()
    if climate not in ("cycle", "delta"):
        raise ConcertoError(f"climate is '{climate}'; it must be 'cycle' or 'delta'", hint="leave it out for 'cycle'")
    if (climate == "delta") != (warming is not None):
        raise ConcertoError(
            "climate 'delta' needs a file of temperature anomalies, and 'cycle' uses none",
            hint="give --climate delta and --warming FILE together",
        )
    if not 0.0 < equilibrium_fraction <= 5.0:
        raise ConcertoError(
            f"equilibrium_fraction is {equilibrium_fraction:g}; it must lie above 0 and not above 5",
            hint="1 leaves the soil in equilibrium",
        )
    parameters = dict(site.pop("parameters", None) or {})
    parameters.setdefault("stand_age", 0.0)
    site.pop("spinup", None)
    run = open_site(path, parameters=parameters, spinup="none", **site)
    series = {
        "co2": resolve("co2", co2, start, **({"scenario": scenario} if scenario else {})),
        "ndep": resolve("ndep", ndep, start),
    }
    end = int(run.site.time_local[-1].astype("datetime64[Y]").astype(int)) + 1970
    for name, given in (("delta13c", delta13c), ("delta14c", delta14c)):
        series[name] = air_history(name, given, run.site.latitude, start, end)
    if warming is not None:
        series["warming"] = resolve("warming", warming)
    if run.site.n_steps * run.site.step_seconds < 2 * 86400:
        raise ConcertoError(
            f"{run.site.name}: the record has less than two days, too short to find an equilibrium",
            hint="give a longer record",
        )
    cycle = Cycle(run.site.time_local, run.site.step_seconds)
    first = run.site.time_local[0]
    if np.datetime64(f"{start:04d}-01-01", "s") >= first:
        raise ConcertoError(
            f"the history starts in {start}, but the record begins on {str(first)[:10]}",
            hint="give an earlier --from, or use `concerto site`",
        )
    history = _History(run, cycle, series, start)
    if disturbed is not None and not start <= disturbed < history.stop:
        raise ConcertoError(
            f"the disturbance in {disturbed} lies outside the history, {start} to {history.stop - 1}",
            hint="choose a year in it, or an earlier --from",
        )
    if disturbed is not None and not np.any(run.tiles.parameter("woody") > 0.5):
        raise ConcertoError(
            f"{run.site.name}: no plant type has wood to cut in {disturbed}", hint="leave --disturbed out"
        )
    for values in series.values():
        if not values.constant:
            values.at([start, end if values is not series["co2"] else history.stop - 1])
    notes = [note for values in series.values() for note in values.notes]
    solved = history.equilibrium(quiet)
    if equilibrium_fraction != 1.0:
        notes.append(history.scale_soil(equilibrium_fraction))
    spun = clock.perf_counter()
    run.tiles.worst[:] = 0.0
    history.advance(disturbed, quiet)
    past = clock.perf_counter()
    worst = run.tiles.worst.copy()

    # the record itself
    if series["co2"].constant:
        run.forcing[:, history.column["co2"], :] = series["co2"].at(start)
    history.atmosphere(run.forcing, run.site.time_local)
    words = f"history from {start}, equilibrium of {start} ({solved.get('state', '')})"
    run.settings |= {
        "history": {
            "from": start,
            "co2": series["co2"].source,
            "nitrogen deposition": series["ndep"].source,
            "delta13C of CO2": series["delta13c"].source,
            "Delta14C of CO2": series["delta14c"].source,
            "climate": climate if warming is None else f"delta, {series['warming'].source}",
            "disturbed": disturbed,
            "equilibrium_fraction": equilibrium_fraction,
            "years of the record that are recycled": [int(y) for y in cycle.years],
        }
    }
    run = _Record.of(run, words)
    run.spinup_state, run.converged, run.history = solved, solved["converged"], history
    run.site.report += notes
    record = run.run(quiet=quiet)
    history.record(run, record)
    run.tiles.worst[:] = np.maximum(run.tiles.worst, worst)
    if restart_out is not None:
        write_site_restart(run, restart_out)
    annual = history.dataset(run._attributes())
    done = clock.perf_counter()
    summary = _summary(run, annual, series, history, disturbed, words, notes, (spun - began, past - spun, done - past))
    return TransientRun(run, annual, record, summary)


class _History:
    """The years before the record, and the accumulation of all years."""

    def __init__(self, run, cycle, series: dict[str, History], start: int):
        self.run, self.cycle, self.series, self.start = run, cycle, series, start
        self.end = run.site.time_local[0]
        self.offset = run.site.time_local[0] - run.site.time_start[0]  # local standard time - UTC
        year = int(self.end.astype("datetime64[Y]").astype(int)) + 1970
        begins = np.datetime64(f"{year:04d}-01-01", "s")
        self.stop = year + (self.end > begins)  # first year that the history does not touch
        entries = loader.variables("forcing")
        self.column = {name: entries[column].column - 1 for name, column in COLUMNS.items()}
        self.fluxes, self.pools = annual_fluxes(run.tiles), list(POOLS)
        self.weights = np.asarray(run.weights)
        self.rows: dict[int, dict] = {}
        self.baseline = 0.0
        if "warming" in series:
            last = int(run.site.time_local[-1].astype("datetime64[Y]").astype(int)) + 1970
            self.baseline = float(series["warming"].at(np.arange(cycle.anchor, max(last, cycle.anchor) + 1)).mean())
        self.products = np.zeros(len(PRODUCTS))  # kg m-2 of the cell

    def atmosphere(self, forcing, time):
        """Nitrogen deposition and isotopes of CO2 of the years of a record."""
        for name in ("ndep", "delta13c", "delta14c"):
            forcing[:, self.column[name], :] = self.series[name].at_time(time)

    def year(self, year, end=None, atmosphere=None):
        """Times, forcing and ends of the days of a year; the atmosphere is that of another year if that is given."""
        time, index = self.cycle.steps(year, end)
        forcing = np.asfortranarray(self.run.forcing[:, :, index])
        atmosphere = year if atmosphere is None else atmosphere
        if "warming" in self.series:
            forcing = warmed(forcing, float(self.series["warming"].at(atmosphere)) - self.baseline)
        for name in ("co2", "ndep", "delta13c", "delta14c"):
            forcing[:, self.column[name], :] = self.series[name].at(atmosphere)
        return time, forcing, end_of_day(time - self.offset, self.run.site.step_seconds)

    def equilibrium(self, quiet):
        """The periodic state of the recycled climate with the atmosphere of the first year."""
        n = len(self.cycle.years)
        parts = [self.year(year, atmosphere=self.start) for year in range(self.start - n, self.start)]
        time = np.concatenate([part[0] for part in parts])
        forcing = np.asfortranarray(np.concatenate([part[1] for part in parts], axis=2))
        ends = np.concatenate([part[2] for part in parts])

        def describe(tile, step):
            return f"{self.run.site.name}, tile {tile + 1}, step {step + 1} of a spin-up cycle"

        with progress(f"{self.run.site.name}: equilibrium of {self.start}", 4 * len(time), quiet) as bar:
            return spin_up_tiles(self.run.tiles, forcing, ends, time - self.offset, bar, describe)

    def scale_soil(self, fraction):
        """Soil pools times a fraction; returns the words for the report."""
        before = float(self.run.tiles.get("soil_carbon").sum(axis=1) @ self.weights)
        for name in SOIL.values():
            self.run.tiles.set(name, self.run.tiles.get(name) * fraction)
        return (
            f"soil pools times {fraction:g} after the spin-up: {before * fraction:.2f} instead of {before:.2f} kg m-2"
        )

    def advance(self, disturbed, quiet):
        """All years up to the record."""
        run = self.run
        total = int((self.end - np.datetime64(f"{self.start:04d}-01-01", "s")).astype(int) // run.site.step_seconds)
        dynamics = None
        if run.tiles.option("vegetation_dynamics") == "lpj":
            dynamics = Dynamics(run.tiles, self.weights)
            for year in range(self.start - len(self.cycle.years), self.start):  # the climate that plants know
                time, forcing, _ = self.year(year, atmosphere=self.start)
                dynamics.climate_of_forcing(forcing, time)
        with progress(f"{run.site.name}: {self.start} to {str(self.end)[:10]}", total, quiet) as bar:
            for year in range(self.start, self.stop):
                cut = None
                if year == disturbed:
                    cut = harvest(run.tiles)
                time, forcing, ends = self.year(year, self.end)
                results = run.tiles.advance(
                    forcing, ends, (*self.fluxes, *self.pools, "leaf_area"),
                    describe=lambda tile, step, time=time: f"{run.site.name}, tile {tile + 1}, {time[step]} local time",
                )  # fmt: skip
                self._add(year, time, results, forcing, cut)
                if dynamics is not None:
                    dynamics.climate_of_forcing(forcing, time)
                    change = dynamics.year(leaf_area=results["leaf_area"].max(axis=0))
                    self.weights = change.weights
                    run.weights = list(change.weights)
                    self.rows[year]["seedlings"] = float(change.seedling_carbon.sum())
                self.rows[year]["stocks"] = stocks(run.tiles, self.weights)
                bar(len(time))

    def _add(self, year, time, results, forcing, cut=None):
        """One (part of a) year into the annual table; values are means over the cell."""
        n = len(time)
        row = self.rows.setdefault(year, {"steps": 0, "sums": {}, "ends": {}, "leaf_area_max": 0.0, "harvest": 0.0})
        row["steps"] += n
        cell = {name: values @ self.weights for name, values in results.items() if values.ndim == 2}
        for name in (*self.fluxes, "leaf_area"):
            row["sums"][name] = row["sums"].get(name, 0.0) + float(cell[name].sum())
        row["sums"]["air"] = row["sums"].get("air", 0.0) + float(forcing[:, self.column["air"], :].mean(axis=0).sum())
        row["sums"]["co2"] = row["sums"].get("co2", 0.0) + float(forcing[:, self.column["co2"], :].mean(axis=0).sum())
        row["leaf_area_max"] = max(row["leaf_area_max"], float(cell["leaf_area"].max()))
        row["ends"] = {name: float(cell[name][-1]) for name in self.pools}
        if cut is not None:
            row["harvest"] = float(cut["product"] @ self.weights)
            self.products += row["harvest"] * np.array([share for share, _ in PRODUCTS])
        lives = np.array([life for _, life in PRODUCTS])
        left = self.products * np.exp(-n * self.run.site.step_seconds / 3.15576e7 / lives)
        row["product_release"] = row.get("product_release", 0.0) + float((self.products - left).sum())
        self.products = left
        row["products"] = float(left.sum())

    def record(self, run, record):
        """The years of the record from its own output."""
        from concerto.simulation.output import attributes

        results = {}
        for name in (*self.fluxes, *self.pools, "leaf_area"):
            out_name = attributes(name)[0]
            if out_name not in record:
                raise ConcertoError(f"the record has no {out_name}", hint="please report")
            results[name] = record[out_name].values
        time = run.site.time_local
        year = time.astype("datetime64[Y]").astype(int) + 1970
        weights, self.weights = self.weights, np.ones(1)
        for y in np.unique(year):
            at = year == y
            part = {name: values[at][:, None] for name, values in results.items()}
            self._add(int(y), time[at], part, run.forcing[:, :, at])
            self.rows[int(y)]["stocks"] = run.stocks[int(y)]
        self.weights = weights

    def _put_elements(self, rows, years, put):
        """Stocks of nitrogen, and the isotopes of stocks and of what was respired."""
        from concerto.kernels.isotopes import delta13c, delta14c

        found = elements(self.run.tiles)
        if "nitrogen" in found:
            for part, (name, words) in NITROGEN_POOLS.items():
                values = [row["stocks"]["nitrogen"][part] for row in rows]
                put(name, values, "kg m-2", f"{words}, end of the year", "point")
            put("fNdep", self.series["ndep"].at(years), "kg m-2 s-1", "nitrogen deposition", "mean")
        if "carbon13" not in found:
            return
        carbon = np.array([row["sums"]["respired_carbon"] for row in rows])
        for element, convert, word in (("carbon13", delta13c, "delta13C"), ("carbon14", delta14c, "Delta14C")):
            name = word.lower()
            for part, where in (("vegetation", "of vegetation"), ("litter", "of litter"), ("soil", "of soil")):
                whole, tracer = (np.array([row["stocks"][kind][part] for row in rows]) for kind in ("carbon", element))
                put(f"{name}_{part}", convert(whole, tracer), "1e-3", f"{word} {where}, end of the year", "point")
            tracer = np.array([row["sums"][f"respired_{element}"] for row in rows])
            put(f"{name}_respired", convert(carbon, tracer), "1e-3", f"{word} of respired CO2", "mean")
            put(f"{name}_air", self.series[name].at(years), "1e-3", f"{word} of CO2 in air", "mean")

    def dataset(self, attrs):
        """Annual table as an xarray.Dataset."""
        import xarray as xr

        from concerto.simulation.output import attributes

        years = sorted(self.rows)
        rows = [self.rows[y] for y in years]
        steps = np.array([row["steps"] for row in rows], dtype=float)
        step = float(self.run.site.step_seconds)
        out = {}

        def put(name, values, units, long_name, method, **more):
            about = {"units": units, "long_name": long_name, "cell_methods": f"area: mean where land year: {method}"}
            out[name] = ("year", np.asarray(values, dtype=float), about | more)

        def put_row(name, values, ending, method):
            out_name, found = attributes(name)
            standard = {"standard_name": found["standard_name"]} if "standard_name" in found else {}
            put(out_name, values, found["units"], found["long_name"] + ending, method, **standard)

        for name in self.fluxes:
            put_row(name, [row["sums"][name] / row["steps"] for row in rows], "", "mean")
        for name in self.pools:
            put_row(name, [row["ends"][name] for row in rows], ", end of the year", "point")
        put(
            "cProduct", [row["products"] for row in rows], "kg m-2", "carbon in wood products, end of the year", "point"
        )
        release = np.array([row["product_release"] for row in rows]) / (steps * step)
        put("fProductDecomp", release, "kg m-2 s-1", "carbon released from wood products", "mean")
        put("fHarvestToProduct", np.array([row["harvest"] for row in rows]) / (steps * step), "kg m-2 s-1",
            "carbon of harvested wood to products", "mean")  # fmt: skip
        nep = out["gpp"][1] - out["ra"][1] - out["rh"][1]
        put("nep", nep, "kg m-2 s-1", "net ecosystem production, GPP less respiration", "mean")
        seedlings = np.array([row.get("seedlings", 0.0) for row in rows]) / (steps * step)
        # less crops and dissolved carbon in the core
        out["nbp"] = ("year", out["nbp"][1] - release + seedlings, out["nbp"][2])
        self._put_elements(rows, years, put)
        put("lai", [row["sums"]["leaf_area"] / row["steps"] for row in rows], "1", "leaf area index", "mean")
        put("lai_max", [row["leaf_area_max"] for row in rows], "1", "largest leaf area index of the year", "maximum")
        put("tas", [row["sums"]["air"] / row["steps"] for row in rows], "K", "air temperature", "mean",
            standard_name="air_temperature")  # fmt: skip
        put("co2", [row["sums"]["co2"] / row["steps"] for row in rows], "1e-6", "mole fraction of CO2 in air", "mean")
        put("days", steps * step / 86400.0, "d", "days of the year that were run", "sum")
        source = [self.cycle.source(y) if y < self.stop else y for y in years]
        out["climate_year"] = ("year", np.array(source, dtype=np.int32),
                               {"units": "1", "long_name": "year of the record whose climate was used"})  # fmt: skip
        year = (
            "year",
            np.array(years, dtype=np.int32),
            {"units": "1", "long_name": "calendar year, local standard time"},
        )
        attrs = dict(attrs)
        attrs.pop("time_convention", None)
        attrs |= {
            "title": attrs["title"].replace("run", "history"),
            "comment": "Fluxes are means over the days that were run of each year, pools stand at its end. nbp = nep - "
            "fProductDecomp, less the carbon of crops and leaching; cVeg + cLitter + cSoil + cProduct changes by nbp "
            "times the time. Carbon as mass of C, nitrogen as mass of N.",
        }
        return xr.Dataset(out, coords={"year": year}, attrs=attrs)


class _Record(ContinuedRun):
    """The record after a history: keeps the stocks at the end of each year."""

    history = None

    def _advance(self, first, last, advance_bar, select=(), steps_per_output=1):
        year = self.site.time_local.astype("datetime64[Y]").astype(int) + 1970
        edges = [first, *(int(k) for k in np.flatnonzero(np.diff(year)) + 1 if first < k < last), last]
        self.stocks, parts = {}, []
        for start, stop in zip(edges[:-1], edges[1:], strict=True):
            parts.append(super()._advance(start, stop, advance_bar, select, steps_per_output))
            self.stocks[int(year[stop - 1])] = stocks(self.tiles, self.history.weights)
        return {name: np.concatenate([part[name] for part in parts]) for name in select}


def _write_annual(ds, path):
    """Annual file in double precision, under a temporary name until it is complete."""
    import os

    from concerto.simulation.output import _history, check_target

    path = check_target(path)
    part = path.with_name(path.name + ".part")
    ds = ds.assign_attrs(history=_history(ds.attrs.get("history")))
    try:
        ds.to_netcdf(part, engine="netcdf4", encoding={name: {"_FillValue": None} for name in ds.variables})
        os.replace(part, path)
    except (OSError, RuntimeError) as error:
        part.unlink(missing_ok=True)
        words = getattr(error, "strerror", None) or error
        raise ConcertoError(f"{path} could not be written: {words}", hint="is the disk full?") from None
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def _summary(run, annual, series, history, disturbed, words, notes, seconds):
    """The closing table."""
    year = 3.15576e7 * 1e3
    names = loader.pft_names()
    years = annual.year.values
    full = annual.days.values > 360.0
    rows = []
    spans = [(int(years[0]), min(int(years[0]) + 9, history.stop - 1))]
    decade = 1900
    while decade + 9 < history.stop:
        if decade > spans[-1][1]:
            spans.append((decade, decade + 9))
        decade += 50
    spans.append((int(run.site.time_local[0].astype("datetime64[Y]").astype(int)) + 1970, int(years[-1])))
    rows.append(f"{'':<12}{'CO2':>7}{'GPP':>7}{'NPP':>7}{'Rh':>7}{'NBP':>7}{'LAI':>6}{'cVeg':>8}{'cSoil':>8}")
    for low, high in spans:
        at = (years >= low) & (years <= high)
        at = at & full if (at & full).any() else at
        if not at.any():
            continue
        part = annual.isel(year=at)
        flux = "".join(f"{float(part[name].mean()) * year:7.0f}" for name in ("gpp", "npp", "rh", "nbp"))
        rows.append(
            f"{low}-{high:<7}{float(part.co2.mean()):7.1f}{flux}{float(part.lai.mean()):6.2f}"
            f"{float(part.cVeg[-1]):8.2f}{float(part.cLitter[-1] + part.cSoil[-1]):8.2f}"
        )
    rows.append("fluxes g m-2 yr-1; pools kg m-2 at the end, cSoil with litter")
    summary = {
        "title": f"{run.site.name}: {years[0]} to {years[-1]}",
        "plant types": ", ".join(
            f"{names[p]} {100 * w:.0f} %" for p, w in zip(run.tiles.pft, run.weights, strict=True)
        ),
        "equilibrium": words,
        **{key: run.summary[key] for key in ("converged", "warning") if key in run.summary},
        "CO2": series["co2"].source,
        "nitrogen deposition": series["ndep"].source
        if run.tiles.option("nitrogen") == "cn"
        else "acts with --option nitrogen=cn only",
        "climate": f"years {history.cycle.years[0]} to {history.cycle.years[-1]} of the record, recycled",
        "history": rows,
        "wall time": f"equilibrium {seconds[0]:.1f} s, history {seconds[1]:.1f} s, record {seconds[2]:.1f} s",
        "mean fluxes": run.summary["mean fluxes"],
        **{key: run.summary[key] for key in ("harvest", "management") if key in run.summary},
        "fluxes": run.summary["fluxes"],
        "worst residual": {name: f"{w} of all years" for name, w in residual_words(run.tiles.worst).items()},
    }
    if "warming" in series:
        summary["climate"] += f", with the anomalies of {series['warming'].source}"
    if disturbed is not None:
        taken = float(annual.fHarvestToProduct.max() * annual.days.max() * 86400.0)
        summary["disturbance"] = f"{disturbed}: wood cut, {taken:.2f} kg m-2 of carbon to products"
    known = [*run.summary.get("notes", ()), *notes]
    if known:
        summary["notes"] = known
    summary["input"] = [line for line in run.site.report if line not in notes]
    return summary
