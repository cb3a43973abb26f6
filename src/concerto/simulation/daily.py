"""The daily carbon-only configuration: plants and soil from daily weather, without fast steps.

The same pools, parameters and slow step as behind the half-hourly model. Production is prescribed or the daily P-model;
soil temperature, soil water and water stress come from steps of a day (``fortran/model/daily_drivers.f90``). In blocks
of 64 tiles a site-year costs less than half a millisecond on one core.

Example
-------
>>> from concerto.simulation.daily import open_daily
>>> ds = open_daily("FI-Hyy_2005-2007.nc").run()  # doctest: +SKIP
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from concerto import __version__, _core
from concerto.errors import ConcertoError
from concerto.simulation.progress import progress
from concerto.simulation.tiles import Tiles
from concerto.tables import loader

# Columns of the daily forcing, in the order of the core: unit, lowest and highest value, value where absent.
DAILY = {
    "air_temperature": ("K", 180.0, 340.0, None),
    "lowest_temperature": ("K", 180.0, 340.0, "air_temperature"),
    "highest_temperature": ("K", 180.0, 340.0, "air_temperature"),
    "vapour_deficit": ("Pa", 0.0, 15000.0, None),
    "shortwave_down": ("W m-2", 0.0, 700.0, None),
    "longwave_down": ("W m-2", 30.0, 700.0, -1.0),  # -1: from cloudiness and vapour pressure
    "pressure": ("Pa", 40000.0, 112000.0, 101325.0),
    "precipitation": ("kg m-2 d-1", 0.0, 3000.0, None),
    "snowfall": ("kg m-2 d-1", 0.0, 3000.0, -1.0),  # -1: from precipitation by temperature, else a part of it
    "co2": ("1e-6", 100.0, 5000.0, None),
    "leaf_area": ("m2 m-2", 0.0, 15.0, -1.0),  # -1: prognostic
    "gpp": ("kg m-2 d-1", 0.0, 0.2, -1.0),  # -1: P-model
    "nitrogen_deposition": ("kg m-2 d-1", 0.0, 1e-3, 0.0),
    "delta13c_air": ("permil", -50.0, 20.0, -8.0),
    "delta14c_air": ("permil", -1000.0, 5000.0, 0.0),
    "day_of_year": ("1", 1.0, 366.0, "days"),
}
OUTPUT = (
    "gpp", "ra", "ra_leaf", "ra_stem", "ra_root", "ra_growth", "rh", "npp", "nbp", "nee", "water_stress",
    "vegetation_carbon", "litter_carbon", "coarse_debris_carbon", "soil_organic_carbon", "leaf_area", "carbon_labile",
    "carbon_leaf", "carbon_fine_root", "carbon_sapwood", "carbon_heartwood", "carbon_seed", "litterfall",
)  # fmt: skip
DAILY_GPP = ("pmodel", "prescribed")
UMOL = 1.0e9 / 12.011  # umol of carbon in a kg
SECONDS = 86400.0
SETTLED = ("soil_temperature", "soil_liquid", "soil_ice", "snow_ice")  # what the drivers carry from day to day


def daily_forcing(cells: list[dict], days) -> np.ndarray:
    """Daily forcing of the core from arrays by name.

    Parameters
    ----------
    cells : one dict for each cell: the names of :data:`DAILY` as arrays (day,) or numbers. Needed are
        ``air_temperature`` (K), ``vapour_deficit`` (Pa), ``shortwave_down`` (W m-2), ``precipitation`` (kg m-2 d-1) and
        ``co2`` (ppm), means or sums of the day; the rest may be absent. ``gpp`` (kg m-2 d-1) may be NaN or negative on
        days that the P-model fills.
    days : array of datetime64 (day,)

    Returns
    -------
    array (cell, column, day), Fortran order

    Raises
    ------
    ConcertoError
        If a variable is unknown, missing, not finite or outside its bounds; names it, the cell and the first day.

    Examples
    --------
    >>> days = np.arange("2001-01-01", "2001-01-03", dtype="datetime64[D]")
    >>> cell = dict(air_temperature=280.0, vapour_deficit=400.0, shortwave_down=100.0, precipitation=2.0, co2=370.0)
    >>> daily_forcing([cell], days).shape
    (1, 16, 2)
    """
    days = np.asarray(days).astype("datetime64[D]")
    if days.ndim != 1 or len(days) == 0 or np.any(np.diff(days) != np.timedelta64(1, "D")):
        raise ConcertoError("the days of the forcing do not follow each other", hint="one value a day, without gaps")
    of_year = (days - days.astype("datetime64[Y]").astype("datetime64[D]")).astype(float) + 1.0
    out = np.empty((len(cells), len(DAILY), len(days)), order="F")
    for c, cell in enumerate(cells):
        unknown = sorted(set(cell) - set(DAILY))
        if unknown:
            raise ConcertoError(
                f"the daily forcing has no variable '{unknown[0]}'", hint=f"it knows {', '.join(DAILY)}"
            )
        for k, (name, (unit, low, high, absent)) in enumerate(DAILY.items()):
            value = cell.get(name)
            if value is None:
                if absent is None:
                    raise ConcertoError(
                        f"cell {c + 1}: {name} is missing in the daily forcing", hint=f"one value a day, {unit}"
                    )
                value = of_year if absent == "days" else out[c, 0] if absent == "air_temperature" else absent
            try:
                values = np.broadcast_to(np.asarray(value, dtype=float), days.shape)
            except ValueError:
                raise ConcertoError(
                    f"cell {c + 1}: {name} has the shape {np.shape(value)}, there are {len(days)} days",
                    hint="one value a day, or one for all",
                ) from None
            if name == "gpp":
                values = np.where(np.isfinite(values) & (values >= 0.0), values, -1.0)
            filled = values == absent if isinstance(absent, float) else np.zeros(len(days), dtype=bool)
            bad = ~(filled | ((values >= low) & (values <= high)))
            if bad.any():
                first = int(np.argmax(bad))
                raise ConcertoError(
                    f"cell {c + 1}: {name} = {values[first]:g} on {days[first]} is not within {low:g} to {high:g} "
                    f"{unit} ({int(bad.sum())} of {len(days)} days)",
                    hint=f"daily values in {unit}, without gaps",
                )
            out[c, k] = values
        low, mean, high = out[c, 1], out[c, 0], out[c, 2]
        if np.any((low > mean + 1e-6) | (high < mean - 1e-6)):
            first = int(np.argmax((low > mean + 1e-6) | (high < mean - 1e-6)))
            raise ConcertoError(
                f"cell {c + 1}: on {days[first]} the mean temperature is not between the lowest and the highest",
                hint="give lowest_temperature and highest_temperature in K, or leave both out",
            )
        rain, snow = list(DAILY).index("precipitation"), list(DAILY).index("snowfall")
        if np.any(out[c, snow] > out[c, rain] + 1e-6):
            raise ConcertoError(f"cell {c + 1}: more snowfall than precipitation", hint="snowfall is a part of it")
        out[c, rain] -= np.maximum(out[c, snow], 0.0)  # the core counts rain and snow apart
        out[c, rain] = np.maximum(out[c, rain], 0.0)
    return out


def whole_days(time_utc, step_seconds) -> tuple[np.ndarray, slice]:
    """UTC days that a record covers completely, and the slice of its steps.

    Where no step begins at midnight UTC, days begin with the step that begins nearest to it.
    """
    stamps = np.asarray(time_utc).astype("datetime64[s]")
    per_day = int(round(SECONDS / step_seconds))
    after = (stamps - stamps.astype("datetime64[D]")).astype(float)
    first = int(np.argmin(np.minimum(after, SECONDS - after)[:per_day]))
    count = (len(stamps) - first) // per_day
    if count == 0:
        raise ConcertoError("the record holds no complete day (UTC)", hint="give a longer record")
    days = (stamps[first] + np.timedelta64(43200, "s")).astype("datetime64[D]") + np.arange(count)
    return days, slice(first, first + count * per_day)


def daily_means(forcing, time_utc, step_seconds, gpp=None) -> tuple[np.ndarray, np.ndarray]:
    """Daily forcing from the sub-daily forcing of the core.

    Parameters
    ----------
    forcing : array (cell, forcing column, step), as :func:`concerto.simulation.forcing.forcing_array` makes it
    time_utc : array of datetime64 (step,)
    step_seconds : s
    gpp : array (cell, day), optional
        Prescribed production, kg m-2 d-1; NaN: P-model.

    Returns
    -------
    (array (cell, column, day) for the core, array of datetime64[D] (day,))
    """
    days, span = whole_days(time_utc, step_seconds)
    entries = loader.variables("forcing")

    def of(name):
        return forcing[:, entries[name].column - 1, span].reshape(len(forcing), len(days), -1)

    air, humidity, pressure = of("air_temperature"), of("specific_humidity"), of("pressure")
    vapour = humidity * pressure / (0.622 + 0.378 * humidity)
    deficit = np.maximum(0.0, 611.2 * np.exp(17.62 * (air - 273.15) / (air - 30.03)) - vapour)
    snow, rain = of("snowfall").mean(2) * SECONDS, of("rainfall").mean(2) * SECONDS
    named = {
        "air_temperature": air.mean(2),
        "lowest_temperature": air.min(2),
        "highest_temperature": air.max(2),
        "vapour_deficit": deficit.mean(2),
        "shortwave_down": of("shortwave_down").mean(2),
        "longwave_down": of("longwave_down").mean(2),
        "pressure": pressure.mean(2),
        "precipitation": rain + snow,
        "snowfall": snow,
        "co2": of("co2").mean(2),
        "leaf_area": of("prescribed_leaf_area").mean(2),
        "gpp": np.full(air.shape[:2], -1.0) if gpp is None else np.asarray(gpp, dtype=float),
        "nitrogen_deposition": of("nitrogen_deposition").mean(2) * SECONDS,
        "delta13c_air": of("delta13c_air").mean(2),
        "delta14c_air": of("delta14c_air").mean(2),
    }
    if named["gpp"].shape != (len(forcing), len(days)):
        raise ConcertoError(
            f"gpp has the shape {named['gpp'].shape}, not ({len(forcing)}, {len(days)})",
            hint="kg m-2 d-1 for each cell and complete day (UTC)",
        )
    named["leaf_area"] = np.where(named["leaf_area"] < 0.0, -1.0, named["leaf_area"])
    return daily_forcing([{name: v[c] for name, v in named.items()} for c in range(len(forcing))], days), days


def daily_drivers(tiles: Tiles, daily, memory=None) -> tuple[np.ndarray, np.ndarray]:
    """Drivers of the slow step from daily forcing, for :meth:`Tiles.advance_slow`.

    Parameters
    ----------
    tiles : Tiles; its parameters and options are used, its state is not changed
    daily : array (cell, column, day), from :func:`daily_forcing`
    memory : array like ``tiles.state``, optional
        Soil temperature, soil water, snow and running means of temperature before the first day (default: those of the
        tiles); it is advanced.

    Returns
    -------
    (drivers (nproma, driver column, block, day), memory after the last day)
    """
    if np.ndim(daily) != 3 or daily.shape[1] != len(DAILY):
        raise ConcertoError(
            f"the daily forcing has the shape {np.shape(daily)}, not (cell, {len(DAILY)}, day)",
            hint="concerto.simulation.daily.daily_forcing makes it",
        )
    if tiles.cell_of_tile.max() > len(daily):
        raise ConcertoError(
            f"tiles use cells up to {tiles.cell_of_tile.max() - 1}, the daily forcing has {len(daily)}",
            hint="`cell` counts the rows of the forcing from 0",
        )
    _refuse_irrigation(tiles)
    memory = tiles.state.copy(order="F") if memory is None else memory
    drivers = tiles.empty_drivers(daily.shape[2])
    failure = _core.concerto_interface_daily.core_daily_drivers(
        n_thread=max(int(tiles.threads), 1),
        option_numbers=tiles._option_numbers,
        cell_of_tile=tiles.cell_of_tile,
        daily=np.asfortranarray(daily),
        parameters=tiles.parameters,
        state=memory,
        drivers=drivers,
    )
    if failure:
        raise ConcertoError("the sizes of the arrays do not fit the compiled core", hint="reinstall concerto")
    return drivers, memory


def _refuse_irrigation(tiles):
    if tiles.option("irrigation") != "off":
        raise ConcertoError(
            "irrigation 'demand' answers the water that plants lack hour by hour; daily forcing has no such step",
            hint="leave the option irrigation out, or run with fast steps",
        )


def cycle_length(days) -> int:
    """Days of the record that make whole years; refuses less than 360 days."""
    years = int((len(days) + 2.5) / 365.25)  # a record in local time loses a day or two
    if len(days) < 360 or years < 1:
        raise ConcertoError(
            f"{len(days)} days are too few for an equilibrium", hint="give at least a year, or spinup='none'"
        )
    return min(len(days), int(round(years * 365.25)))


def calendar_days(days, count: int) -> np.ndarray:
    """Days of the record (positions) that stand for ``count`` days from its first one, each on its own date.

    Beyond the record its years come again in order; a date that the record lacks takes the nearest one it has.
    """
    days = np.asarray(days).astype("datetime64[D]")
    if count <= len(days):
        return np.arange(count)
    axis = days[0] + np.arange(count)
    years = max(1, int(round(len(days) / 365.25)))
    year = axis.astype("datetime64[Y]").astype(int)
    of_year = (axis - axis.astype("datetime64[Y]").astype("datetime64[D]")).astype(int)
    first = days[0].astype("datetime64[Y]").astype(int)
    # the same day of the year in the year of the record whose turn it is (or the one before, where it began late)
    wanted = (
        np.array((first + (year - first) % years).tolist(), dtype=int).astype("datetime64[Y]").astype("datetime64[D]")
    )
    wanted = wanted + of_year
    wanted = np.where(wanted < days[0], wanted + np.timedelta64(365 * years + years // 4, "D"), wanted)
    found = (wanted - days[0]).astype(int)
    found = np.where(found >= len(days), found - 365 * years, found)
    found = np.clip(found, 0, len(days) - 1)
    found[: len(days)] = np.arange(len(days))
    return found


def spin_up_daily(tiles: Tiles, daily, bar=lambda days: None) -> dict:
    """Bring tiles to the periodic state of a cycle of daily forcing (whole years), heat and water included.

    Returns
    -------
    dict as of :func:`concerto.simulation.spinup.slow_equilibrium`, ``drivers`` of the cycle and ``words`` about
    what was taken from the equilibrium (parameters stand_age, soil_equilibrium_fraction)
    """
    from concerto.simulation.spinup import (
        TOLERANCE,
        _leave_equilibrium,
        initialise,
        slow_equilibrium,
        start_nitrogen,
        start_soil,
    )

    air = daily[:, 0, :]
    initialise(tiles, air.mean(axis=1)[tiles.cell])
    start_soil(tiles)
    for span in (10, 30):
        ends = np.concatenate([air[:, -span // 2 :], air[:, : span // 2]], axis=1)
        tiles.set(f"temperature_{span}d", ends.mean(axis=1)[tiles.cell])
    leaf = daily[:, list(DAILY).index("leaf_area"), 0][tiles.cell]
    tiles.set("leaf_area", np.where(leaf >= 0, leaf, tiles.get("leaf_area")))
    memory = None
    for _ in range(3):  # heat and water of the soil
        drivers, memory = daily_drivers(tiles, daily, memory)
        bar(daily.shape[2])
    with_nitrogen = tiles.option("nitrogen") == "cn"
    tiles.set_option("nitrogen", "c_only")
    report = slow_equilibrium(tiles, drivers, tolerance=1e-4 if with_nitrogen else TOLERANCE)
    if with_nitrogen:  # it joins plants and soil that are in equilibrium without it
        tiles.set_option("nitrogen", "cn")
        start_nitrogen(tiles)
        report = slow_equilibrium(tiles, drivers)
    settle(tiles, memory)
    return report | {"drivers": drivers, "words": _leave_equilibrium(tiles)}


def settle(tiles: Tiles, memory) -> None:
    """Write soil temperature, soil water and snow of the drivers into the state of the tiles."""
    entries = loader.variables("state")
    for name in SETTLED:
        first = entries[name].column - 1
        columns = slice(first, first + entries[name].n_layer)
        tiles.state[:, columns, :] = memory[:, columns, :]


@dataclass(repr=False)
class DailyRun:
    """A site ready for daily steps; made by :func:`open_daily`.

    ``tiles`` holds parameters and state, ``daily`` the forcing (cell, column, day), ``days`` the UTC days.
    """

    site: object
    tiles: Tiles
    weights: list[float]
    daily: np.ndarray
    days: np.ndarray
    gpp: str = "pmodel"
    spinup: str = "auto"
    years: int | None = None
    settings: dict = field(default_factory=dict)
    observed: dict = field(default_factory=dict)
    notes: list = field(default_factory=list)
    summary: dict = field(default_factory=dict)

    def __repr__(self):
        return f"DailyRun of {self.site!r}; {len(self.days)} days; gpp {self.gpp}; spin-up {self.spinup}"

    def run(self, quiet: bool = True):
        """Spin up and run; an ``xarray.Dataset`` of daily means (UTC). May be repeated.

        Raises
        ------
        ConcertoError
            If a state variable leaves its bounds.
        """
        from concerto.simulation import management
        from concerto.simulation.output import dataset
        from concerto.simulation.site import followed, not_converged

        tiles, began, warning = self.tiles, time.perf_counter(), {}
        state = "none: plants with full leaves, no soil carbon"
        if self.spinup == "auto":
            length = cycle_length(self.days)
            with progress(f"{self.site.name}: spin-up", 3 * length, quiet) as bar:
                report = spin_up_daily(tiles, self.daily[:, :, :length], bar)
            state = (
                f"periodic over {length / 365.25:.1f} years{report['words']}; change over one more cycle "
                f"{report['residual'].max():.1e} of the total, {int(report['cycles'].max())} cycles"
            )
            warning = not_converged(report, loader.pft_names(), tiles.pft)
        else:
            from concerto.simulation.spinup import initialise

            initialise(tiles, self.daily[:, 0, :].mean(axis=1)[tiles.cell])
            state += management.start_bare(tiles)
        spun = time.perf_counter()
        tiles.worst[:] = 0.0
        count = len(self.days) if self.years is None else int(round(self.years * 365.25))
        source = calendar_days(self.days, count)
        # nitrogen, isotopes and harvest where they are followed
        more = [name for name, e in loader.variables("state").items() if e.role == "daily_rate" and e.only_with]
        names = followed((*OUTPUT, *(name for name in more if name not in OUTPUT)), tiles)
        states = management.followed_for_totals(tiles)[1]
        parts, memory, done = [], None, 0
        with progress(f"{self.site.name}: run", count, quiet) as bar:
            while done < count:  # the record again and again, every day on its own date
                stop = min(done + len(self.days), count)
                drivers, memory = daily_drivers(tiles, self.daily[:, :, source[done:stop]], memory)
                parts.append(tiles.advance_slow(drivers, 1, (*names, *states)))
                bar(stop - done)
                done = stop
        settle(tiles, memory)
        results = {name: np.concatenate([part[name] for part in parts]) for name in (*names, *states)}
        states = {name: results.pop(name) for name in states}
        finished = time.perf_counter()
        axis = self.days[0] + np.arange(count)
        done = management.totals(tiles, results, self.weights, states, np.ones(count), axis)
        self.summary = self._summary(results, state, done, spun - began, finished - spun) | warning
        ds = dataset(results, self.weights, axis, SECONDS, self._attributes())
        ds["time"].attrs["long_name"] = "start of the day, UTC"
        return ds.assign_coords(
            latitude=((), self.site.latitude, {"standard_name": "latitude", "units": "degrees_north"}),
            longitude=((), self.site.longitude, {"standard_name": "longitude", "units": "degrees_east"}),
        )

    def _summary(self, results, state, managed, spinup_seconds, run_seconds):
        from concerto.evaluation.metrics import scores
        from concerto.simulation import management

        weights = np.asarray(self.weights)
        year = 365.25 * SECONDS * 1000.0
        mean = {name: results[name] @ weights for name in ("gpp", "npp", "ra", "rh", "nbp", "nee")}
        stores = {n: results[n] @ weights for n in ("vegetation_carbon", "litter_carbon", "soil_organic_carbon")}
        series = {"NEE": mean["nee"], "GPP": mean["gpp"] * UMOL, "Reco": (mean["ra"] + mean["rh"]) * UMOL}
        compared = {}
        for name, values in series.items():
            if name in self.observed and len(values) >= len(self.days):
                found = scores(values[: len(self.days)], self.observed[name])
                if found["n"] > 1:
                    compared[name] = {k: float(found[k]) for k in ("n", "mean_sim", "mean_obs", "nme", "r")}
        names = loader.pft_names()
        shares = zip(self.tiles.pft, self.weights, strict=True)
        summary = {
            "title": f"{self.site.name}: {self.days[0]}, {len(mean['gpp'])} daily steps",
            "plant types": ", ".join(f"{names[p]} {100 * w:.0f} %" for p, w in shares),
            "production": "prescribed from the file" if self.gpp == "prescribed" else "daily P-model",
            "spin-up": state,
            "wall time": f"spin-up {spinup_seconds:.2f} s, run {run_seconds:.2f} s",
            "mean fluxes": {
                n: f"{round(values.mean() * (year / UMOL if n == 'nee' else year))} gC m-2 yr-1"
                for n, values in mean.items()
            },
            "harvest": management.harvest_words(self.tiles, results, weights),
            "management": managed,
            "notes": management.notes(self.tiles),
            "stores at the end": {n.replace("_", " "): f"{values[-1]:.2f} kg m-2" for n, values in stores.items()},
            "worst residual": {"carbon": f"{self.tiles.worst[2].max():.1e} kg m-2 in a day"},
            "input": list(self.notes),
        }
        summary = {name: value for name, value in summary.items() if value or name == "input"}
        if compared:
            summary["daily means"] = [f"{'':<6} {'model':>8} {'tower':>8} {'NME':>6} {'r':>6}"] + [
                f"{n:<6} {r['mean_sim']:8.2f} {r['mean_obs']:8.2f} {r['nme']:6.2f} {r['r']:6.2f} umol m-2 s-1, "
                f"{int(r['n'])} days"
                for n, r in compared.items()
            ]
            summary["scores"] = compared
        return summary

    def _attributes(self):
        return {
            "Conventions": "CF-1.11",
            "title": f"concerto daily carbon run at {self.site.name}",
            "site": self.site.name,
            "source": f"concerto {__version__}, core tables {loader.digest()}",
            "comment": "Means over UTC days; carbon as mass of C; nee in umol CO2 m-2 s-1, positive to the atmosphere.",
            "configuration": json.dumps(self.settings),
            "summary": json.dumps(self.summary),
        }

    def to_netcdf(self, path, quiet: bool = True) -> dict:
        """Run and write; returns the closing summary."""
        from concerto.simulation.output import check_target, write

        check_target(path, keep=(self.site.path,))
        write(self.run(quiet=quiet), path)
        self.summary["output"] = str(path)
        return self.summary


def _observed_days(site, span, count, measured_share=0.5) -> dict:
    """Daily means of the tower's carbon fluxes, umol m-2 s-1; NaN on days with gaps, or of which less was measured."""
    found = {}
    for name in ("NEE", "GPP", "Reco"):
        values = site.observations.get(name)
        if values is None:
            continue
        values = values[span].reshape(count, -1)
        flag = site.observations.get(f"{name}_qc")
        good = np.ones(count, dtype=bool)
        if flag is not None and (flag >= 0).any():
            good = (flag[span].reshape(count, -1) == 0).mean(axis=1) >= measured_share
        found[name] = np.where(good, values.mean(axis=1), np.nan)
    return found


def open_daily(
    path,
    *,
    gpp: str | np.ndarray = "pmodel",
    spinup: str = "auto",
    years: int | None = None,
    pft: str | None = None,
    parameters: dict | None = None,
    options: dict | None = None,
    soil: str | None = None,
    threads: int = 1,
    nproma: int = 64,
    **site_facts,
) -> DailyRun:
    """Prepare a daily carbon-only run of one tower file; its forcing is averaged to UTC days.

    Parameters
    ----------
    path : tower file, NetCDF (ALMA names) or FLUXNET / ICOS CSV
    gpp : ``"pmodel"``, ``"prescribed"`` (the GPP of the file; the P-model fills its gaps) or an array of kg m-2 d-1 for
        each complete UTC day (NaN: P-model)
    spinup : ``"auto"`` or ``"none"``
    years : years to run; beyond the record its whole years are repeated (default: the record)
    pft, parameters, options, soil, threads, nproma, **site_facts : as for :func:`concerto.open_site`

    Returns
    -------
    DailyRun
    """
    from concerto.simulation.site import open_site

    if isinstance(gpp, str) and gpp not in DAILY_GPP:
        raise ConcertoError(f"gpp is '{gpp}'; it must be 'pmodel' or 'prescribed'", hint="or an array of kg m-2 d-1")
    if spinup not in ("auto", "none"):
        raise ConcertoError(f"spinup is '{spinup}'; it must be 'auto' or 'none'", hint="leave it out for 'auto'")
    if years is not None and not 1 <= years <= 100_000:
        raise ConcertoError(f"years is {years}; it must be 1 to 100000", hint="leave it out for those of the record")
    options = {"nitrogen": "c_only"} | dict(options or {})
    run = open_site(
        path, pft=pft, parameters=parameters, options=options, spinup="none", soil=soil, threads=threads, nproma=nproma,
        **site_facts,
    )  # fmt: skip
    site, notes = run.site, list(run.site.report)
    if run.tiles.option("vegetation_dynamics") == "lpj":
        raise ConcertoError(
            "vegetation_dynamics 'lpj' changes areas over decades; a daily run keeps them", hint="leave the option out"
        )
    _refuse_irrigation(run.tiles)
    days, span = whole_days(site.time_start, site.step_seconds)
    if spinup == "auto" or (years is not None and round(years * 365.25) > len(days)):
        cycle_length(days)
    given = None
    if not isinstance(gpp, str):
        given = np.atleast_2d(np.asarray(gpp, dtype=float))
    elif gpp == "prescribed":
        name = next((n for n in ("GPP", "GPP_DT") if n in site.observations), None)
        if name is None:
            raise ConcertoError(f"{Path(path).name} holds no GPP", hint="use --gpp pmodel")
        given = site.observations[name][span].reshape(len(days), -1).mean(axis=1) / UMOL * SECONDS
        below, gaps = int((given < 0.0).sum()), int((~np.isfinite(given)).sum())
        given = np.where(given < 0.0, 0.0, given)[None, :]
        if below:
            notes.append(f"{name}: {below} daily means below zero, set to zero")
        if gaps:
            notes.append(f"{name}: {gaps} of {len(days)} days with gaps, filled by the P-model")
    daily, days = daily_means(run.forcing, site.time_start, site.step_seconds, given)
    settings = dict(run.settings) | {"spinup": spinup, "step": "day", "gpp": gpp if isinstance(gpp, str) else "array"}
    return DailyRun(
        site, run.tiles, run.weights, daily, days, "pmodel" if given is None else "prescribed", spinup, years, settings,
        _observed_days(site, span, len(days)), notes,
    )  # fmt: skip


def carbon_command(file, out, *, quiet: bool, as_json: bool, **settings) -> None:
    """`concerto carbon`: run, write, print the summary."""
    from concerto.simulation.output import check_target
    from concerto.simulation.progress import print_summary

    check_target(out, keep=(file,))
    summary = open_daily(file, **settings).to_netcdf(out, quiet=quiet or as_json)
    if as_json:
        print(json.dumps(summary))
    elif not quiet:
        print_summary({name: value for name, value in summary.items() if name != "scores"})
