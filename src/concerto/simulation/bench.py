"""`concerto bench`: speed of the step on this machine, per part; the daily step by scheme."""

from __future__ import annotations

import json
import time

import numpy as np

from concerto.simulation.demo import demo_tiles
from concerto.simulation.tiles import Tiles
from concerto.tables import loader

PARTS = (  # the order of the sections in step_fast.f90
    "precipitation, interception",
    "radiation",
    "soil state, water stress",
    "energy balance, photosynthesis",
    "heat in snow and soil",
    "soil water",
    "plant and soil respiration, sums",
    "budgets, diagnostics",
)
SEASONS = (15, 105, 196, 288)  # days of the year on which the measurement stands


def bench(tiles: int = 1024, threads: int = 1, options: dict | None = None, days: int = 2, repeats: int = 3) -> dict:
    """Measure microseconds per tile and half-hourly step.

    Parameters
    ----------
    tiles : number of tiles; copies of the embedded sites, so all climates and plant types take part
    threads : OpenMP threads
    options : schemes, as in ``concerto.open_site``
    days : days in each of four seasons
    repeats : the least of so many measurements counts

    Returns
    -------
    dict: ``microseconds`` per tile and step, ``parts`` (share by part of the fast step)
    """
    demo = demo_tiles(1)
    copies = -(-tiles // demo.tiles.n_tile)
    pft = np.tile(demo.tiles.pft, copies)[:tiles]
    cell = np.tile(demo.site_of_tile, copies)[:tiles]
    from concerto.simulation.spinup import initialise

    batch = Tiles(pft, 1800.0, cell=cell, options=dict(options or {}), threads=threads)
    for name in ("home_temperature", "reference_height"):
        batch.set_parameter(name, np.tile(demo.tiles.parameter(name), copies)[:tiles])
    air = loader.variables("forcing")["air_temperature"].column - 1
    initialise(batch, demo.forcing[:, air, :].mean(axis=1)[cell])
    best, best_timed, parts = np.inf, np.inf, np.zeros(8)
    clock = time.process_time if threads == 1 else time.perf_counter  # of one thread the processor's, less noisy
    batch.advance(demo.forcing[:, :, : 48 * 5], demo.ends[: 48 * 5])
    start = batch.state.copy(order="F")
    for _ in range(repeats):
        total, seconds, timed = 0.0, np.zeros(8), 0.0
        for day in SEASONS:
            span = slice(48 * day, 48 * (day + days))
            forcing, ends = np.asfortranarray(demo.forcing[:, :, span]), demo.ends[span]
            batch.state[...] = start
            batch.advance(forcing, ends)  # settles the state in this season
            began = clock()
            batch.advance(forcing, ends)
            total += clock() - began
            if threads == 1:
                began = time.perf_counter()
                batch.advance(forcing, ends, seconds=seconds)
                timed += time.perf_counter() - began
        best = min(best, total)
        if timed < best_timed:
            best_timed, parts = timed, seconds
    steps = tiles * 48 * days * len(SEASONS)
    result = {"tiles": tiles, "threads": threads, "nproma": batch.nproma, "microseconds": 1e6 * best / steps}
    if threads == 1:
        # shares from the timed pass, so that a disturbed pass cannot make parts larger than the whole
        scale = result["microseconds"] / best_timed
        result["parts"] = {name: scale * s for name, s in zip(PARTS, parts, strict=True)}
        result["parts"]["daily step, gathering, output"] = result["microseconds"] - sum(result["parts"].values())
    return result


def bench_command(tiles: int, threads: int, as_json: bool = False) -> None:
    """Print the measurement as a table."""
    result = bench(tiles, threads)
    if as_json:
        print(json.dumps(result))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(
        title=f"{tiles} tiles, blocks of {result['nproma']}, {threads} thread(s), half-hourly step",
        title_justify="left",
        box=None,
    )
    table.add_column("part")
    table.add_column("us per tile and step", justify="right")
    table.add_column("share", justify="right")
    whole = result["microseconds"]
    for name, value in result.get("parts", {}).items():
        table.add_row(name, f"{value:.3f}", f"{100 * value / whole:.0f} %")
    table.add_row("whole", f"{whole:.3f}", "100 %", style="bold")
    Console().print(table)
    years = 17532 * whole * 1e-3
    Console().print(f"one tile-year: {years:.0f} ms on one thread" if threads == 1 else "")


DAILY_SCHEMES = {  # what is measured, and its options
    "cencn": {"nitrogen": "c_only"},
    "cencn, nitrogen": {"nitrogen": "cn"},
    "cencn, isotopes": {"nitrogen": "c_only", "isotopes": "on"},
    "cencn, nitrogen, isotopes": {"nitrogen": "cn", "isotopes": "on"},
    "rothc": {"nitrogen": "c_only", "soil_carbon": "rothc"},
    "yasso15": {"nitrogen": "c_only", "soil_carbon": "yasso15"},
    "mimics": {"nitrogen": "c_only", "soil_carbon": "mimics"},
    "millennial": {"nitrogen": "c_only", "soil_carbon": "millennial"},
}


def bench_daily(tiles: int = 64, repeats: int = 5) -> dict:
    """Measure the daily step by scheme, and the daily carbon-only configuration, on one core with one block of tiles.

    Returns
    -------
    dict: ``fast_step`` (microseconds per tile and half-hourly step, same block), ``schemes``: name -> dict with
    ``daily_step`` and ``drivers`` (microseconds per tile and day), ``behind_fast_steps`` (the daily step as the
    difference of fast steps with and without it, in a day), ``share`` (that over a day of 48 fast steps with it),
    ``site_years`` and ``site_years_with_drivers`` (per second and core)

    Notes
    -----
    The daily step is measured through a year of recorded drivers, so that no fast step is in it; drivers are those of
    the daily carbon-only configuration, with the P-model. The least of ``repeats`` measurements counts.
    """
    from concerto.simulation.daily import daily_drivers, daily_means
    from concerto.simulation.spinup import initialise, start_nitrogen, start_soil

    demo = demo_tiles(1)
    copies = -(-tiles // demo.tiles.n_tile)
    pft = np.tile(demo.tiles.pft, copies)[:tiles]
    cell = np.tile(demo.site_of_tile, copies)[:tiles]
    latitude = np.array([row["latitude"] for row in demo.sites.values()])[cell]
    daily, days = daily_means(demo.forcing, demo.time, 1800)
    clock = time.process_time
    fast = bench(tiles, 1, None, 2, repeats)["microseconds"]
    schemes = {}
    for name, options in DAILY_SCHEMES.items():
        batch = Tiles(pft, 1800.0, cell=cell, options=options)
        for parameter in ("home_temperature", "reference_height"):
            batch.set_parameter(parameter, np.tile(demo.tiles.parameter(parameter), copies)[:tiles])
        batch.set_parameter("latitude", latitude)
        initialise(batch, daily[:, 0].mean(axis=1)[cell])
        start_soil(batch)
        if options["nitrogen"] == "cn":
            start_nitrogen(batch)
        drivers, memory = daily_drivers(batch, daily)
        batch.advance_slow(drivers, 2)
        step, made = np.inf, np.inf
        for _ in range(repeats):
            began = clock()
            drivers, memory = daily_drivers(batch, daily, memory)
            middle = clock()
            batch.advance_slow(drivers)
            step, made = min(step, clock() - middle), min(made, middle - began)
        scale = 1e6 / (tiles * len(days))
        behind, alone = _with_and_without(batch, demo, clock, 10 * repeats)
        schemes[name] = {
            "daily_step": scale * step,
            "drivers": scale * made,
            "behind_fast_steps": 1e6 / (48 * tiles) * (behind - alone),
            "share": (behind - alone) / 48 / (alone + (behind - alone) / 48),
            "site_years": tiles * len(days) / 365.25 / step,
            "site_years_with_drivers": tiles * len(days) / 365.25 / (step + made),
        }
    return {"tiles": tiles, "fast_step": fast, "schemes": schemes}


def _with_and_without(batch, demo, clock, repeats: int, day: int = 196) -> tuple[float, float]:
    """Seconds of 48 fast steps with a daily step after each, and of the same steps without it.

    A day that ends early costs as much as a whole one, and 48 of them stand out of the noise.
    """
    span = slice(48 * day, 48 * (day + 1))
    forcing, ends = np.asfortranarray(demo.forcing[:, :, span]), np.ones(48, dtype=np.int32)
    batch.advance(forcing, demo.ends[span])
    start, best = batch.state.copy(order="F"), [np.inf, np.inf]
    for _ in range(repeats):
        for k, chosen in enumerate((ends, 0 * ends)):
            batch.state[...] = start
            began = clock()
            batch.advance(forcing, chosen)
            best[k] = min(best[k], clock() - began)
    return best[0], best[1]


def bench_daily_command(as_json: bool = False) -> None:
    """Print the measurement of the daily step as a table."""
    result = bench_daily()
    if as_json:
        print(json.dumps(result))
        return
    from rich.table import Table

    from concerto.simulation.progress import show

    table = Table(
        title=f"daily step, one block of {result['tiles']} tiles, one core; fast step {result['fast_step']:.2f} us",
        title_justify="left",
        box=None,
    )
    table.add_column("scheme")
    for head in (
        "step, us/tile/day",
        "behind fast steps",
        "of a year",
        "drivers, us/tile/day",
        "site-years/s",
        "with drivers",
    ):
        table.add_column(head, justify="right")
    for name, row in result["schemes"].items():
        table.add_row(
            name,
            f"{row['daily_step']:.2f}",
            f"{row['behind_fast_steps']:.2f}",
            f"{100 * row['share']:.2f} %",
            f"{row['drivers']:.2f}",
            f"{row['site_years']:.0f}",
            f"{row['site_years_with_drivers']:.0f}",
        )
    show(table)
