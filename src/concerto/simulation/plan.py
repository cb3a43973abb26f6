"""What a configuration would run, and what it would take: cells and tiles, memory, run time, size of the output."""

from __future__ import annotations

import json
import time

import numpy as np

from concerto.errors import ConcertoError
from concerto.simulation.parallel import Parallel
from concerto.simulation.run import Simulation, _cycle, days_of_call
from concerto.simulation.spinup import MOST_ROUNDS, MOST_YEARS
from concerto.tables import loader

SHARE_OF_ROUNDS = 0.7  # of the most cycles of the whole model in a spin-up that a tile needs on the average
SLOW_CYCLES = 16.0  # cycles of the slow half alone
SLOW_SHARE = 0.02  # cost of a cycle of the slow half beside one of the whole model
PYTHON_MEGABYTES = 110.0  # of a rank before it has any tile: interpreter, libraries, core
WEATHER_BYTES = 140e3  # of a cell whose weather is generated: the days of two years, and what makes them
BYTES_PER_VALUE = 2.0  # of compressed output


def microseconds_per_step(options, tiles: int = 256) -> float:
    """Cost of a tile and step on this machine, one thread, measured on two days of generated weather."""
    from concerto.simulation.bench import bench

    return bench(tiles, 1, options=options, days=1, repeats=2)["microseconds"]


def estimate(simulation: Simulation, ranks, microseconds: float) -> list[dict]:
    """Wall time and memory of a rank by number of ranks.

    Parameters
    ----------
    simulation : with its domain
    ranks : numbers of ranks
    microseconds : cost of a tile and step

    Returns
    -------
    list of dict: ranks, hours, core_hours, imbalance (largest load / mean - 1), memory_megabytes (largest rank)
    """
    from concerto.domain.bundles import bundle_limits, cell_cost, distribute

    config, domain = simulation.config, simulation.domain
    per_day = 86400 / config.model.time_step
    first_cell = bundle_limits(domain.n_cell, config.parallel.bundle)
    cost = np.add.reduceat(cell_cost(domain), first_cell[:-1])
    years = sum(_years_of_work(phase) for phase in config.phases)
    # state and parameters with the copies of a checkpoint; open records
    tile_bytes = 8.0 * (3 * loader.columns("state") + 2 * loader.columns("parameter") + 2 * _output_columns(simulation))
    generated = WEATHER_BYTES if config.forcing.source in ("embedded", "monthly") else 0.0
    rows = []
    for n in ranks:
        edges = distribute(cost, n)
        load = np.array([cost[a:b].sum() for a, b in zip(edges[:-1], edges[1:], strict=True)])
        cells = np.diff(first_cell[edges])
        most_tiles = np.diff(np.searchsorted(domain.tile_cell, first_cell[edges])).max()
        seconds = load.max() * microseconds * 1e-6 * per_day * 365.25 * years / max(config.parallel.threads, 1)
        native = simulation.source.bytes_per_day() / domain.n_cell * cells.max()
        need = simulation._bytes_of_day(int(per_day), cells.max(), most_tiles, native)
        forcing = need * days_of_call(config.parallel, need, most_tiles, per_day) + generated * cells.max()
        rows.append(
            {
                "ranks": int(n),
                "hours": seconds / 3600.0,
                "core_hours": seconds / 3600.0 * n * config.parallel.threads,
                "imbalance": float(load.max() / load.mean() - 1.0),
                "memory_megabytes": PYTHON_MEGABYTES + (tile_bytes * most_tiles + forcing) / 1e6,
            }
        )
    return rows


def _years_of_work(phase) -> float:
    """Years of the whole model that a phase costs."""
    if phase.kind == "run":
        return phase.years[1] - phase.years[0] + 1.0
    first, last = _cycle(phase)
    years = last - first + 1.0
    rounds = phase.rounds or max(MOST_ROUNDS, MOST_YEARS / years)
    return 1.0 + years * (SHARE_OF_ROUNDS * rounds + SLOW_CYCLES * SLOW_SHARE)


def _output_columns(simulation) -> int:
    entries = loader.outputs()
    return sum(entries[name].n_layer for stream in simulation._streams() for name in stream.variables)


RECORDS = {"day": 365.25, "month": 12.0, "year": 1.0}


def output_bytes_per_year(simulation) -> float:
    """Size of the output of a year, bytes, compressed."""
    entries = loader.outputs()
    domain, total = simulation.domain, 0.0
    units = {"cell": domain.n_cell, "pft": 17 * domain.n_cell, "class": 4 * domain.n_cell, "tile": domain.n_tile}
    for stream in simulation._streams():
        records = RECORDS.get(stream.frequency, 365.25 * 86400 / simulation.config.model.time_step)
        total += records * units[stream.per] * sum(entries[name].n_layer for name in stream.variables)
    return BYTES_PER_VALUE * total


def check_config(path, overrides, ranks=(1, 2, 16, 128), as_json: bool = False) -> dict:
    """The command ``concerto check CONFIG.yaml``: opens every input without running, and prints estimates."""
    from concerto.forcing.gridded import open_forcing

    simulation = Simulation(path, overrides, Parallel())
    began = time.perf_counter()
    simulation.domain = domain = simulation._whole_domain(save=False)
    initial = simulation.config.initial_state and simulation.config.path(simulation.config.initial_state)
    if initial and not initial.exists():
        domain.notes.append(f"initial_state {initial} does not exist yet: run what makes it first")
    elif initial:
        from concerto.simulation.checkpoint import Checkpoint

        state = Checkpoint(initial)
        state.close()
        if state.n_tile != domain.n_tile:
            raise ConcertoError(
                f"{state.path} has {state.n_tile} tiles, the domain {domain.n_tile}",
                hint="a state fits only the domain that it was made for",
            )
    simulation.source = source = open_forcing(simulation.config.forcing, domain, simulation.config.folder)
    for phase in simulation.config.phases:
        years = _cycle(phase) or phase.years
        if phase.kind == "run":
            years = phase.years
        simulation._climate_years(phase, np.arange(years[0], years[1] + 1))
        simulation._air(phase, years[0], years[1])
    opened = time.perf_counter() - began
    microseconds = microseconds_per_step(simulation.config.model.options)
    rows = estimate(simulation, ranks, microseconds)
    span = f"{source.first_day} to {source.last_day}" if source.first_day is not None else "any year"
    facts = {
        "title": simulation.config.title,
        "cells": domain.n_cell,
        "tiles": domain.n_tile,
        "land_area_1e12_m2": float((domain.area * domain.land_fraction).sum() / 1e12),
        "forcing": f"{simulation.config.forcing.source}, every {source.native_seconds} s, {span}, {source.calendar}",
        "phases": {
            p.name: f"{p.kind}, {_years_of_work(p):.0f} years of the whole model" for p in simulation.config.phases
        },
        "output_megabytes_per_year": output_bytes_per_year(simulation) / 1e6,
        "microseconds_per_tile_step": microseconds,
        "seconds_to_open": opened,
        "estimates": rows,
        "notes": [*domain.notes, *[note for note in source.notes if note not in domain.notes]],
    }
    if as_json:
        print(json.dumps(facts))
    else:
        _show(facts)
    return facts


def _show(facts):
    from rich.table import Table

    from concerto.simulation.progress import print_summary, show

    rows = facts["estimates"]
    table = Table(title="estimate", title_justify="left", box=None)
    for word in ("ranks", "wall time, h", "core hours", "imbalance", "memory of a rank, MB"):
        table.add_column(word, justify="right")
    for row in rows:
        table.add_row(
            str(row["ranks"]), f"{row['hours']:.3g}", f"{row['core_hours']:.3g}", f"{100 * row['imbalance']:.1f} %",
            f"{row['memory_megabytes']:.0f}",
        )  # fmt: skip
    shown = {key: facts[key] for key in ("title", "cells", "tiles", "forcing", "phases")}
    shown["land"] = f"{facts['land_area_1e12_m2']:.1f} million km2"
    shown["output"] = f"{facts['output_megabytes_per_year']:.1f} MB a year"
    if facts["notes"]:
        shown["notes"] = facts["notes"]
    print_summary(shown)
    show(table)
    print(
        f"computed from {facts['microseconds_per_tile_step']:.2f} us per tile and step, measured on this machine, and "
        f"{SHARE_OF_ROUNDS} of the most rounds of a spin-up; without waiting for files"
    )
