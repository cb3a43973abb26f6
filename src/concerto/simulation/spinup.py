"""Spin-up: soil temperature and water by cycling the forcing, vegetation and soil carbon by a direct periodic solve.

The fast step is cycled a few times; each cycle records the daily drivers of carbon (GPP, leaf respiration, temperature
responses, stress, decomposition scalar). From these the core finds the plant and soil carbon that return to themselves
after a cycle, without stepping through centuries (`concerto_spinup`). The cycle is a whole number of years.
"""

from __future__ import annotations

import numpy as np

from concerto import _core
from concerto.tables import loader

DRIVERS = tuple(name for name, e in loader.variables("diagnostic").items() if e.role == "driver")
PLANT_POOLS = ("labile", "leaf", "fine_root", "sapwood", "heartwood", "seed")
TRAITS = (
    "specific_leaf_area", "maximum_leaf_area", "woody", "root_leaf_ratio", "labile_time", "reserve_ratio", "seed_share",
    "leaf_longevity", "fine_root_longevity", "sapwood_longevity", "seed_longevity", "mortality",
)  # fmt: skip
PLANT_YEARS = 600  # plant carbon is cycled this long; wood needs a few times its life span


def initialise(tiles, mean_temperature) -> None:
    """State of new tiles: soil at the mean temperature and field capacity, plants with full leaves (core routine)."""
    per_tile = np.broadcast_to(np.asarray(mean_temperature, dtype=float), tiles.n_tile)
    _core.concerto_interface.core_initialise(
        mean_temperature=np.asfortranarray(tiles._blocks(per_tile[:, None])[:, 0, :]),
        parameters=tiles.parameters,
        state=tiles.state,
    )


def whole_years(time_utc, step_seconds):
    """Slice of the forcing that is a whole number of years, or None where the record is shorter than 360 days."""
    per_day = int(round(86400 / step_seconds))
    days = len(time_utc) / per_day
    years = int((days + 1.5) / 365.25)
    if years < 1:
        return None
    return min(len(time_utc), int(round(years * 365.25)) * per_day)


def completed_year(time_utc, step_seconds):
    """Step indices of a whole year made from a shorter record: a missing day takes the present day of equal solar
    declination on the other side of the solstice, else the nearest one in declination."""
    per_day = int(round(86400 / step_seconds))
    time = np.asarray(time_utc).astype("datetime64[s]")
    day = time.astype("datetime64[D]")
    days, first, count = np.unique(day, return_index=True, return_counts=True)
    full = count == per_day
    days, first = days[full], first[full]
    of_year = (days - days.astype("datetime64[Y]").astype("datetime64[D]")).astype(int)
    angle = np.sin(2 * np.pi * (np.arange(365) - 80.0) / 365.0)
    present = {int(d): int(f) for d, f in zip(of_year, first, strict=True)}
    index = []
    start = int(of_year[0])
    for k in range(365):
        d = (start + k) % 365
        if d not in present:
            candidates = np.array(sorted(present))
            candidates = candidates[candidates < 365]
            d = int(candidates[np.argmin(np.abs(angle[candidates] - angle[d]) + 1e-4 * np.abs(candidates - d))])
        index.append(np.arange(present[d], present[d] + per_day))
    return np.concatenate(index)


def carbon_equilibrium(tiles, drivers) -> dict:
    """Plant and soil carbon in balance with a cycle of daily drivers.

    Parameters
    ----------
    tiles : Tiles whose carbon pools are replaced
    drivers : dict name -> array (day, tile) of the drivers of a whole number of years

    Returns
    -------
    dict of arrays (tile,): ``vegetation_residual`` and ``soil_residual`` (relative change over one more cycle),
    ``gpp``, ``npp``, ``rh`` of the cycle (kg m-2)
    """
    from concerto.kernels import carbon as kernel

    def p(name):
        return tiles.parameter(name)

    scheme = tiles.options.get("soil_carbon", loader.options()["soil_carbon"].default)
    prescribed = tiles.options.get("phenology") == "prescribed"
    n_pool = loader.layers()["soil_carbon_pool"]
    years = len(drivers[DRIVERS[0]]) / 365.25
    rate, transfer, respired = kernel.decomposition_scheme(scheme, sand=p("sand"), clay=p("clay"), n_pool=n_pool)
    out = kernel.carbon_equilibrium(
        np.stack([drivers[name].T for name in DRIVERS], axis=1),
        {name: tiles.get(f"carbon_{name}") for name in PLANT_POOLS} | {"stress_memory": tiles.get("stress_memory")},
        rate * p("decomposition_rate")[:, None], transfer, respired, carbon=tiles.get("soil_carbon"), name=scheme,
        n_cycle=max(int(PLANT_YEARS / years), 10),
        root_rate=p("root_respiration") * p("respiration_factor") / p("root_cn"),
        sapwood_rate=p("sapwood_respiration") * p("respiration_factor") / p("sapwood_cn"),
        metabolic=p("litter_metabolic"), cellulose=p("litter_cellulose"), dpm_rpm_ratio=p("dpm_rpm_ratio"),
        stand_age=p("stand_age"), growth_fraction=p("growth_respiration"),
        flush_time=0.0 if prescribed else p("flush_time"), shed_time=0.0 if prescribed else p("shed_time"),
        **{name: p(name) for name in TRAITS},
    )  # fmt: skip
    for name in PLANT_POOLS:
        tiles.set(f"carbon_{name}", out[name])
    tiles.set("stress_memory", out["stress_memory"])
    tiles.set("soil_carbon", out["carbon"])
    keys = {"vegetation_residual": "vegetation_residual", "soil_residual": "soil_residual"}
    keys |= {"gpp": "cycle_gpp", "npp": "cycle_npp", "rh": "cycle_rh"}
    return {key: np.atleast_1d(out[name]) for key, name in keys.items()}


def spin_up_tiles(tiles, forcing, ends, time_utc, bar, describe=None, cycles: int = 2) -> dict:
    """Bring tiles to the equilibrium of their own forcing.

    Parameters
    ----------
    tiles, forcing, ends : as for ``Tiles.advance``
    time_utc : starts of the steps
    bar : function that is told of finished steps
    cycles : passes that end with a carbon solve, after one pass for heat and water

    Returns
    -------
    dict: ``state`` (words) and the residuals of the last solve
    """
    length = whole_years(time_utc, tiles.time_step)
    words = ""
    if length is None:
        index = completed_year(time_utc, tiles.time_step)
        forcing = np.asfortranarray(forcing[:, :, index])
        per_day = int(round(86400 / tiles.time_step))
        ends = (np.arange(len(index)) % per_day == per_day - 1).astype(np.int32)
        words = " (record shorter than a year: completed by days of equal declination, state is indicative)"
        length = len(index)
    forcing, ends = forcing[:, :, :length], ends[:length].copy()
    ends[-1] = 1  # the cycle may end within a day of UTC: close it, the next one starts anew
    column = loader.variables("forcing")["air_temperature"].column - 1
    cell = tiles.cell
    initialise(tiles, forcing[:, column, :].mean(axis=1)[cell])
    _first_days(tiles, forcing)
    year = min(length, int(round(365.25 * 86400 / tiles.time_step)))
    tiles.advance(forcing[:, :, :year], ends[:year], describe=describe)
    bar(year)
    solved = {}
    last = np.flatnonzero(ends)
    for _ in range(cycles):
        drivers = _daily(tiles, forcing, ends, last, describe)
        bar(length)
        solved = carbon_equilibrium(tiles, drivers)
    plant, soil = float(solved["vegetation_residual"].max()), float(solved["soil_residual"].max())
    years = length * tiles.time_step / 31557600.0
    age = tiles.parameter("stand_age")
    if age.max() > 0:
        ages = sorted({f"{a:g}" for a in age[age > 0]}, key=float)
        words += f", wood of a stand of {' or '.join(ages)} years (parameter stand_age; 0: equilibrium)"
    return {
        "state": f"periodic over {years:.1f} years{words}; "
        f"change over one more cycle: plants {plant:.1e}, soil carbon {soil:.1e}",
        "vegetation_residual": plant,
        "soil_residual": soil,
        "gpp": solved["gpp"] / years,
        "npp": solved["npp"] / years,
        "rh": solved["rh"] / years,
    }


def _daily(tiles, forcing, ends, last, describe):
    """Daily drivers: diagnostics that change when the daily step is done, so they are read at the end of each day."""
    parts = {name: [] for name in DRIVERS}
    step = 0
    block = 60  # days in one call
    for k in range(0, len(last), block):
        stop = int(last[min(k + block, len(last)) - 1]) + 1
        result = tiles.advance(forcing[:, :, step:stop], ends[step:stop], DRIVERS, describe=describe)
        at = last[k : k + block] - step
        for name in DRIVERS:
            parts[name].append(result[name][at])
        step = stop
    return {name: np.concatenate(values) for name, values in parts.items()}


def _first_days(tiles, forcing):
    """Memories of temperature start from the forcing's own first weeks, leaf area from the first prescribed value."""
    entries = loader.variables("forcing")
    air = forcing[:, entries["air_temperature"].column - 1, :]
    steps = int(86400 / tiles.time_step)
    for days in (10, 30):
        window = np.concatenate([air[:, -days * steps // 2 :], air[:, : days * steps // 2]], axis=1)
        tiles.set(f"temperature_{days}d", window.mean(axis=1)[tiles.cell])
    leaf = forcing[:, entries["prescribed_leaf_area"].column - 1, 0][tiles.cell]
    tiles.set("leaf_area", np.where(leaf >= 0, leaf, tiles.get("leaf_area")))


def spin_up(run, bar) -> dict:
    """Spin up a site run; see :func:`spin_up_tiles`."""

    def describe(tile, step):
        return f"{run.site.name}, tile {tile + 1}, step {step + 1} of a spin-up cycle"

    return spin_up_tiles(run.tiles, run.forcing, run.ends, run.site.time_start, bar, describe)
