"""`concerto bench`: speed of the step on this machine, per part."""

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
