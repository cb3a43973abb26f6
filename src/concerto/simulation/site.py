"""One flux tower: from its file to a run, with spin-up, in one call."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from concerto import __version__
from concerto.errors import ConcertoError
from concerto.forcing.site import (
    deciduous_broadleaf,
    home_temperature,
    unknown_irrigation,
    without_undergrowth,
)
from concerto.simulation import management
from concerto.simulation.forcing import end_of_day, forcing_array
from concerto.simulation.progress import progress
from concerto.simulation.tiles import Tiles, residual_words
from concerto.tables import loader

# What a site run writes: forcing first, then fluxes and states.
FORCING_OUTPUT = ("air_temperature", "shortwave_down", "longwave_down", "rainfall", "snowfall")
OUTPUT = tuple(name for name, e in loader.variables("diagnostic").items() if e.role != "solver") + (
    "leaf_area",
    "carbon_leaf",
    "carbon_fine_root",
    "soil_temperature",
    "soil_liquid",
    *(name for name, e in loader.variables("state").items() if e.role == "daily_rate"),
)


def followed(names, tiles) -> tuple[str, ...]:
    """Those of the outputs that the options of the tiles make; the others would be zeros that look like data."""
    entries = loader.variables("diagnostic") | loader.variables("state")
    return tuple(name for name in names if loader.filled(entries[name], tiles.option))


# Observed flux: name in the summary, the model's diagnostics and their signs, factor to the unit of the tower.
UMOL = 1.0e9 / 12.011  # umol of carbon in a kg
COMPARED = {
    "NEE": ("NEE", {"nee": 1}, 1.0, "umol m-2 s-1"),
    "GPP": ("GPP", {"gpp": 1}, UMOL, "umol m-2 s-1"),
    "Reco": ("Reco", {"ra": 1, "rh": 1}, UMOL, "umol m-2 s-1"),
    "Qle": ("latent heat", {"latent_heat": 1}, 1.0, "W m-2"),
    "Qh": ("sensible heat", {"sensible_heat": 1}, 1.0, "W m-2"),
}


def not_converged(spun: dict, names, pft) -> dict[str, str]:
    """The entry ``warning`` of a summary, if a tile did not reach its equilibrium; else nothing."""
    if "converged" not in spun:
        return {}
    converged = np.broadcast_to(np.asarray(spun["converged"], dtype=bool), len(pft))
    if converged.all():
        return {"converged": True}
    bad = np.flatnonzero(~converged)
    words = f"the spin-up of {len(bad)} of {len(pft)} tile(s) did not converge, the run starts from no equilibrium"
    if "residual" in spun:
        worst = bad[np.argmax(np.asarray(spun["residual"])[bad])]
        words += (
            f"; worst tile {worst + 1} ({names[pft[worst]]}): {spun['worst_pool'][worst]} changes by "
            f"{spun['residual'][worst]:.1e} of the total in a cycle"
        )
    return {"converged": False, "warning": words}


def tell_water(site, tiles) -> None:
    """The report of cropland whose rain nobody measured says where its plants take their water, as is set now."""
    if not unknown_irrigation(site, say=False):
        return
    begins = "cropland without measured rain, irrigation unknown: "
    words = "plants live on the rain of the file (outside_water is 0)"
    if (tiles.parameter("outside_water") > 0.5).any():
        words = "plants are given the water they need (--set outside_water=0 to change)"
    elif tiles.option("irrigation") == "demand":
        words = "plants are irrigated (irrigation=demand, outside_water is 0)"
    site.report[:] = [line for line in site.report if not line.startswith(begins)] + [begins + words]


@dataclass(repr=False)
class SiteRun:
    """A site ready to run; made by :func:`open_site`.

    ``tiles`` holds parameters and state: ``run.tiles.set_parameter("g1", 3.0)``, ``run.tiles.get("soil_temperature")``,
    ``run.tiles.set("soil_liquid", 0.3)``. After :meth:`run` the state is that of the last step. ``forcing`` is the
    array (cell, column, step) of the core, ``site`` the record with its observations, ``summary`` the closing table.
    """

    site: object
    tiles: Tiles
    weights: list[float]
    forcing: np.ndarray
    ends: np.ndarray
    spinup: str = "auto"
    settings: dict = field(default_factory=dict)
    spinup_state: dict = field(default_factory=dict)
    summary: dict = field(default_factory=dict)

    def __repr__(self):
        names = loader.pft_names()
        types = ", ".join(f"{names[p]} {100 * w:.0f} %" for p, w in zip(self.tiles.pft, self.weights, strict=True))
        return f"SiteRun of {self.site!r}; {types}; spin-up {self.spinup}"

    def __post_init__(self):
        self._table_parameters = self.tiles.parameters.copy()
        self._before = self._after = None

    def _rewind(self):
        """A further run starts from the state of the one before, unless somebody has changed the state since."""
        if self._after is not None and np.array_equal(self.tiles.state, self._after, equal_nan=True):
            self.tiles.state[...] = self._before
        self._before = self.tiles.state.copy()

    def _advance(self, first, last, advance_bar, select=(), steps_per_output=1):
        """Advance in calls of about a second, so that progress shows and an interrupt is handled."""
        per_day = max(int(round(86400 / self.tiles.time_step)), 1)
        chunk = max(per_day, 20_000_000 // (1500 * self.tiles.nproma * self.tiles.n_block) // per_day * per_day)
        parts = []
        for start in range(first, last, chunk):
            stop = min(start + chunk, last)
            parts.append(
                self.tiles.advance(
                    self.forcing[:, :, start:stop],
                    self.ends[start:stop],
                    select,
                    steps_per_output,
                    describe=lambda tile, step, start=start: (
                        f"{self.site.name}, tile {tile + 1}, {self.site.time_local[start + step]} local time"
                    ),
                )
            )
            advance_bar(stop - start)
        return {name: np.concatenate([p[name] for p in parts]) for name in select}

    def run(self, quiet: bool = True):
        """Spin up and run; returns an ``xarray.Dataset`` on the forcing's own time axis (interval starts, local time).

        Runs may be repeated: each starts from the same prepared state with the parameters of the moment, so that two
        runs without a change in between are equal. With ``spinup="auto"`` the spin-up sets the whole state; with
        ``"none"`` a run starts from what ``tiles.set`` put there, at first soil at the mean air temperature and field
        capacity and plants with full leaves (fields of ``crops="calendar"`` bare).

        Raises
        ------
        ConcertoError
            If a state variable leaves its bounds; names tile, date and quantity.
        """
        from concerto.simulation.output import dataset

        if type(self) is SiteRun and self.tiles.option("vegetation_dynamics") == "lpj":
            raise ConcertoError(
                "vegetation_dynamics 'lpj' changes areas over decades; a site run keeps them",
                hint="use `concerto transient`, or concerto.simulation.dynamics.succession",
            )
        began = time.perf_counter()
        n_step = self.forcing.shape[2]
        self._rewind()
        tell_water(self.site, self.tiles)
        if self.spinup == "auto":
            from concerto.simulation.spinup import spin_up

            with progress(f"{self.site.name}: spin-up", 4 * n_step, quiet) as bar:
                self.spinup_state = spin_up(self, bar)
        else:
            bare = self.tiles.option("crops") == "calendar" and management.plants_of(self.tiles, "crops").any()
            words = "none: soil at field capacity, plants with full leaves, no soil carbon"
            self.spinup_state = {"state": words + "; fields of crops bare" * bool(bare)}
        spun = time.perf_counter()
        self.tiles.worst[:] = 0.0
        more, states = management.followed_for_totals(self.tiles)
        with progress(f"{self.site.name}: run", n_step, quiet) as bar:
            results = self._advance(0, n_step, bar, (*followed(OUTPUT, self.tiles), *more, *states))
        states = {name: results.pop(name) for name in states}
        entries = loader.variables("forcing")
        for name in FORCING_OUTPUT:
            results[name] = np.repeat(self.forcing[0, entries[name].column - 1, :, None], self.tiles.n_tile, axis=1)
        for name, values in results.items():
            if not np.all(np.isfinite(values)):
                at = int(np.argmax(~np.isfinite(values).reshape(len(values), -1).all(axis=1)))
                raise ConcertoError(
                    f"{name} is not finite at {self.site.time_local[at]} (local time), {self.site.name}",
                    hint="check the forcing before that time with `concerto check`",
                )
        finished = time.perf_counter()
        self._after = self.tiles.state.copy()
        self.summary = self._summary(results, spun - began, finished - spun, states)
        ds = dataset(results, self.weights, self.site.time_local, self.tiles.time_step, self._attributes())
        return ds.assign_coords(
            latitude=((), self.site.latitude, {"standard_name": "latitude", "units": "degrees_north"}),
            longitude=((), self.site.longitude, {"standard_name": "longitude", "units": "degrees_east"}),
        )

    def _fluxes(self, results):
        """Mean fluxes: of the whole run, and beside the tower on the steps that it measured (flag 0)."""
        weights, observations, fluxes = np.asarray(self.weights), self.site.observations, {}
        for observed, (name, parts, factor, unit) in COMPARED.items():
            series = sum(sign * (results[part] @ weights) for part, sign in parts.items()) * factor
            row = {"units": unit, "model": float(series.mean())}
            if observed in observations:
                flag = observations.get(f"{observed}_qc")
                good = np.isfinite(observations[observed])
                if flag is not None and (flag >= 0).any():  # a file without flags: every value counts
                    good &= flag == 0
                if good.any():
                    row |= {
                        "measured_steps": int(good.sum()),
                        "model_on_measured_steps": float(series[good].mean()),
                        "tower_on_measured_steps": float(observations[observed][good].mean()),
                    }
            fluxes[name] = row
        return fluxes

    def _summary(self, results, spinup_seconds, run_seconds, states=None):
        fluxes = self._fluxes(results)
        year = 31557600.0 / UMOL * 1000.0  # umol m-2 s-1 -> g m-2 yr-1
        start, end = self.site.time_local[0], self.site.time_local[-1]
        names = loader.pft_names()
        shares = zip(self.tiles.pft, self.weights, strict=True)
        return {
            "title": f"{self.site.name}: {str(start)[:10]} to {str(end)[:10]}",
            "plant types": ", ".join(f"{names[p]} {100 * w:.0f} %" for p, w in shares),
            "spin-up": self.spinup_state.get("state", ""),
            **not_converged(self.spinup_state, names, self.tiles.pft),
            "wall time": f"spin-up {spinup_seconds:.1f} s, run {run_seconds:.1f} s",
            "mean fluxes": {
                name: f"{row['model'] * year:.0f} gC m-2 yr-1"
                if row["units"] != "W m-2"
                else f"{row['model']:.1f} W m-2"
                for name, row in fluxes.items()
            },
            **self._harvest(results, states),
            "fluxes": fluxes,
            "worst residual": residual_words(self.tiles.worst),
            "input": list(self.site.report),
        }

    def _harvest(self, results, states=None):
        """What leaves with crops, hay and livestock, what else was done, and what to know; only what is on."""
        found = {"harvest": management.harvest_words(self.tiles, results, self.weights)}
        if results:
            found["management"] = management.totals(
                self.tiles, results, self.weights, states, self.ends, self.site.time_start
            )
            found["notes"] = management.notes(self.tiles)
        return {name: value for name, value in found.items() if value}

    def _changed_parameters(self):
        """Parameters that were set after the site was opened: one value, or one for each tile."""
        changed = {}
        for name, entry in loader.parameters().items():
            column = entry.column - 1
            if not np.array_equal(self.tiles.parameters[:, column], self._table_parameters[:, column]):
                values = self.tiles.parameter(name).tolist()
                changed[name] = values[0] if len(set(values)) == 1 else values
        return changed

    def _attributes(self):
        import json

        s = self.site
        settings = dict(self.settings)
        settings["parameters"] = settings.get("parameters", {}) | self._changed_parameters()
        return {
            "Conventions": "CF-1.11",
            "title": f"concerto run at {s.name}",
            "site": s.name,
            "source": f"concerto {__version__}, core tables {loader.digest()}",
            "comment": "Fluxes are means over the interval; carbon as mass of C; nee in umol CO2 m-2 s-1, positive to "
            "the atmosphere. Time is local standard time, UTC + utc_offset_hours.",
            "latitude": s.latitude,
            "longitude": s.longitude,
            "elevation": s.elevation if s.elevation is not None else np.nan,
            "igbp": s.igbp or "",
            "utc_offset_hours": s.utc_offset_hours,
            "time_convention": "start of the interval, local standard time",
            "has_precipitation": int(s.has_precipitation),
            "configuration": json.dumps(settings),
            "summary": json.dumps(self.summary),
            "input_report": "\n".join(s.report),
        }

    def to_netcdf(self, path, quiet: bool = True) -> dict:
        """Run and write; returns the closing summary. The file appears under its name only when it is complete."""
        from concerto.simulation.output import check_target, write

        check_target(path, keep=(self.site.path,))
        write(self.run(quiet=quiet), path)
        self.summary["output"] = str(path)
        return self.summary


def open_site(
    path,
    *,
    pft: str | None = None,
    parameters: dict | None = None,
    options: dict | None = None,
    spinup: str = "auto",
    soil: str | None = None,
    ndep=None,
    delta13c=None,
    delta14c=None,
    threads: int = 1,
    nproma: int = 64,
    **site_facts,
) -> SiteRun:
    """Prepare a run of one tower file.

    Parameters
    ----------
    path : tower file, NetCDF (ALMA names) or FLUXNET / ICOS CSV
    pft : plant functional type or mixture (``"grass_c3:0.6,grass_c4:0.4"``); default from the IGBP class
    parameters : values that replace those of the table, units of the table
    options : scheme names by option; ``phenology`` defaults to ``prescribed`` if the file has leaf area
    spinup : ``"auto"`` or ``"none"``
    soil : texture class; default from the file, else medium
    ndep : nitrogen deposition: file of annual values or number (g N m-2 yr-1); default: one curve for all land
    delta13c, delta14c : isotopes of CO2, per mil: file of annual values or number; default: 13C built-in, Delta14C 0
    threads, nproma : OpenMP threads and tiles per block; results do not depend on them
    **site_facts : latitude, longitude, ... that the file does not hold, as for :func:`concerto.forcing.read_site`

    Returns
    -------
    SiteRun

    Examples
    --------
    >>> import concerto as co
    >>> ds = co.open_site("FI-Hyy_2005-2007.nc").run()  # doctest: +SKIP
    """
    from concerto.domain.land_cover import site_mixture
    from concerto.domain.soil import soil_class
    from concerto.forcing import read_site

    if spinup not in ("auto", "none"):
        raise ConcertoError(f"spinup is '{spinup}'; it must be 'auto' or 'none'", hint="leave it out for 'auto'")
    for name, value in (("threads", threads), ("nproma", nproma)):
        if not 1 <= int(value) <= 4096:
            raise ConcertoError(f"{name} is {value}; it must be 1 to 4096", hint=f"leave {name} out for the default")
    try:
        site = read_site(Path(path), **site_facts)
    except TypeError as error:
        word = re.search(r"unexpected keyword argument '(\w+)'", str(error))
        if word is None:
            raise
        raise ConcertoError(
            f"open_site has no argument '{word[1]}'",
            hint="parameters go into parameters={...}, schemes into options={...}",
        ) from None
    if spinup == "auto" and site.n_steps * site.step_seconds < 2 * 86400:
        raise ConcertoError(
            f"{site.name}: the record has less than two days, too short to find an equilibrium",
            hint="give a longer record, or run without spin-up (spinup='none', --spinup none)",
        )
    mixture = site_mixture(site, pft)
    types, weights = [t for t, _ in mixture], [w for _, w in mixture]
    options = dict(options or {})
    if "phenology" not in options and site.forcing.get("leaf_area_index") is not None:
        options["phenology"] = "prescribed"
    if options.get("phenology") == "prescribed" and site.forcing.get("leaf_area_index") is None:
        raise ConcertoError(
            f"{path}: phenology 'prescribed' needs LAI in the file", hint="leave the option out or add LAI"
        )
    tiles = Tiles(types, site.step_seconds, cell=[0] * len(types), options=options, threads=threads, nproma=nproma)
    texture = soil_class(soil or site.soil_texture)
    for name in ("theta_sat", "theta_res", "k_sat", "sand", "clay"):
        tiles.set_parameter(name, getattr(texture, name))
    for name in ("alpha", "n", "l"):
        tiles.set_parameter(f"vg_{name}", getattr(texture, name))
    tiles.set_parameter("reference_height", max(site.reference_height, 0.5))
    if site.canopy_height is not None and len(types) == 1:
        tiles.set_parameter("canopy_height", max(site.canopy_height, 0.01))
    tiles.set_parameter("home_temperature", home_temperature(site.time_local, site.forcing["air_temperature"]))
    tiles.set_parameter("latitude", site.latitude)
    tiles.set_parameter("hold_soil_water", 0.0 if site.has_precipitation else 1.0)
    # irrigation by demand is the water that plants need
    outside = tiles.option("irrigation") != "demand" and unknown_irrigation(site, say=False)
    tiles.set_parameter("outside_water", float(outside))
    for name, value in (parameters or {}).items():
        try:
            value = float(value)
        except (TypeError, ValueError):
            raise ConcertoError(f"parameter {name}: '{value}' is not a number", hint="write NAME=VALUE") from None
        tiles.set_parameter(name, value)
    management.refuse_idle(tiles, parameters or {})
    tell_water(site, tiles)
    # the reference height must stand above the canopy
    height = np.maximum(tiles.parameter("reference_height"), tiles.parameter("canopy_height") + 2.0)
    tiles.set_parameter("reference_height", height)
    cell = dict(site.forcing)
    cell["prescribed_leaf_area"] = cell.pop("leaf_area_index", None)
    if options.get("phenology") != "prescribed":
        cell["prescribed_leaf_area"] = None
    elif deciduous_broadleaf(types):
        cell["prescribed_leaf_area"] = without_undergrowth(cell["prescribed_leaf_area"], site)
    cell |= {"latitude": site.latitude, "longitude": site.longitude}
    air, notes = _air_of_years(site, {"ndep": ndep, "delta13c": delta13c, "delta14c": delta14c})
    cell |= air
    site.report += notes
    forcing = forcing_array([cell], site.time_start, site.step_seconds)
    if spinup == "none":
        from concerto.simulation.spinup import _first_days, initialise

        initialise(
            tiles, forcing[:, loader.variables("forcing")["air_temperature"].column - 1, :].mean(axis=1)[tiles.cell]
        )
        _first_days(tiles, forcing)
        management.start_bare(tiles)
    settings = {
        "file": Path(path).name,
        "options": {name: options.get(name, entry.default) for name, entry in loader.options().items()},
        "parameters": {name: float(value) for name, value in (parameters or {}).items()},
        "pft": {loader.pft_names()[p]: w for p, w in zip(types, weights, strict=True)},
        "spinup": spinup,
        "site facts": {name: value if isinstance(value, float) else str(value) for name, value in site_facts.items()},
    }
    return SiteRun(site, tiles, weights, forcing, end_of_day(site.time_start, site.step_seconds), spinup, settings)


def _air_of_years(site, given):
    """Forcing columns of annual histories that were given, and notes for the report."""
    from concerto.forcing.history import resolve
    from concerto.forcing.isotopes import air_history

    first, last = (int(site.time_local[k].astype("datetime64[Y]").astype(int)) + 1970 for k in (0, -1))
    columns, notes = {}, []
    for name, column in (
        ("ndep", "nitrogen_deposition"),
        ("delta13c", "delta13c_air"),
        ("delta14c", "delta14c_air"),
    ):
        if given[name] is not None:
            if name == "ndep":
                series = resolve(name, given[name], first)
            else:
                series = air_history(name, given[name], site.latitude, first, last)
            columns[column] = series.at_time(site.time_local)
            notes += [f"{column}: {series.source}", *series.notes]
    return columns, notes


def describe_input(path, **site_facts) -> tuple[list[str], dict]:
    """What ``concerto check`` prints: the site in one line, what was derived or filled, what would be run.

    Returns
    -------
    (lines for people, the same facts as a dictionary)
    """
    from concerto.domain.land_cover import site_mixture
    from concerto.forcing import read_site

    site = read_site(Path(path), **site_facts)
    names = loader.pft_names()
    try:
        types = {names[t]: round(w, 4) for t, w in site_mixture(site)}
        plants, ready = ", ".join(f"{n} {100 * w:.0f} %" for n, w in types.items()), "ready to run"
    except ConcertoError as error:
        types, plants = {}, f"none ({error.message})"
        ready = "ready to run with a plant functional type (--pft) or a land-cover class (--igbp)"
    leaf_area = "from the file" if site.forcing.get("leaf_area_index") is not None else "prognostic"
    lines = [
        *site.summary().splitlines(),
        f"plant types: {plants}",
        f"leaf area: {leaf_area}; soil texture: {site.soil_texture}",
        "observed fluxes: " + (", ".join(k for k in site.observations if not k.endswith("_qc")) or "none"),
        ready,
    ]
    facts = {
        "site": site.name,
        "igbp": site.igbp,
        "latitude": site.latitude,
        "longitude": site.longitude,
        "start": str(site.time_local[0]),
        "end": str(site.time_local[-1]),
        "steps": int(site.n_steps),
        "step_seconds": int(site.step_seconds),
        "plant_types": types,
        "leaf_area": leaf_area,
        "has_precipitation": bool(site.has_precipitation),
        "report": list(site.report),
    }
    return lines, facts
