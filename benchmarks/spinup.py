"""Spin-up of plants, soil, nitrogen at tower sites: cycles until the periodic state, beside stepping through the years.

    python benchmarks/spinup.py FOLDER_OF_SITE_FILES [SCHEME ...] [--years 3000] [--cn]

One year of daily drivers of each site is repeated. The reference state is the solver's at a hundred times its usual
tolerance; that it is right is shown by stepping on from it (`moves`) and by stepping from bare ground towards it.
All sites share one block of the compiled core, so stepping is as cheap as it can be.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np

import concerto as co
from concerto.simulation import spinup
from concerto.simulation.tiles import Tiles

SITES = ("GF-Guy", "AU-How", "DK-Sor", "FR-Pue", "FI-Hyy", "US-Atq", "US-Wkg")
SCHEMES = ("cencn", "rothc", "century", "yasso07", "yasso15", "yasso20", "mimics", "millennial")
WITHIN = 1e-4  # of the total of the element in the tile
DAYS = 365


def sites(folder, options):
    """The first tile of every site after a year of the whole model from bare ground, and its drivers, in one block."""
    states, parameters, types, days = [], [], [], []
    for name in SITES:
        run = co.open_site(next(Path(folder).glob(f"{name}*.nc")), options=options)
        tiles = run.tiles
        per_day = int(round(86400 / tiles.time_step))
        forcing, ends = run.forcing, run.ends.copy()
        if forcing.shape[2] < (DAYS + 1) * per_day:
            index = spinup.completed_year(run.site.time_start, tiles.time_step)
            forcing = np.asfortranarray(forcing[:, :, index])
            ends = (np.arange(len(index)) % per_day == per_day - 1).astype(np.int32)
        stop = int(np.flatnonzero(ends)[DAYS - 1]) + 1
        forcing, ends = forcing[:, :, :stop], ends[:stop]
        column = spinup.loader.variables("forcing")["air_temperature"].column - 1
        spinup.initialise(tiles, forcing[:, column, :].mean(axis=1)[tiles.cell])
        spinup.start_soil(tiles)
        spinup._first_days(tiles, forcing)
        spinup.recorded(tiles, forcing, ends)  # heat and water
        drivers = spinup.recorded(tiles, forcing, ends)
        states.append(tiles._unblock(tiles.state)[0])
        parameters.append(tiles._unblock(tiles.parameters)[0])
        types.append(tiles.pft[0])
        days.append(drivers[0, :, 0, :DAYS])
    together = Tiles(np.array(types), options=dict(run.tiles.options))
    together.state = together._blocks(np.array(states))
    together.parameters = together._blocks(np.array(parameters))
    lane = together._tile
    drivers = together.empty_drivers(DAYS)
    drivers[:, :, 0, :] = np.array(days)[lane]
    return together, drivers


def distance(tiles, reference, state):
    """Largest difference of a pool over the total of its element, and difference of the total, (tile,)."""
    found = spinup.change_of_pools(tiles, reference, state)["residual"]
    columns = spinup.slow_pools(tiles, "carbon")[1]
    total = reference[:, columns].sum(axis=1)
    return found, np.abs(state[:, columns].sum(axis=1) / np.maximum(total, 1e-12) - 1.0)


def by_pass(tiles, drivers, reference, most):
    """Cycles until within WITHIN of the reference, two a pass; (tile,), 0: not within ``most`` passes."""
    start, cycles = tiles.state.copy(order="F"), np.zeros(tiles.n_tile, dtype=int)
    for passes in range(1, most + 1):
        tiles.state[...] = start
        spinup.slow_equilibrium(tiles, drivers, tolerance=0.0, passes=passes)
        near = distance(tiles, reference, tiles._unblock(tiles.state))[0] < WITHIN
        cycles = np.where((cycles == 0) & near, 2 * passes, cycles)
        if (cycles > 0).all():
            break
    tiles.state[...] = start
    return cycles


def stepping(tiles, drivers, reference, years):
    """Years until within WITHIN of the reference for good (0: not yet), distances at the end, and when the yearly drift
    first met the criterion of CTSM (1 g m-2 yr-1) with the distance of the total then; seconds per year."""
    columns = spinup.slow_pools(tiles, "carbon")[1]
    reached, ctsm = np.zeros(tiles.n_tile, dtype=int), np.zeros(tiles.n_tile, dtype=int)
    short, before, began, year = np.zeros(tiles.n_tile), None, time.process_time(), 0
    while year < years and not (reached > 0).all():
        many = 1 if year < 10 else 10 if year < 300 else 50
        tiles.advance_slow(drivers, many)
        year += many
        state = tiles._unblock(tiles.state)
        worst, of_total = distance(tiles, reference, state)
        reached = np.where(worst < WITHIN, np.where(reached == 0, year, reached), 0)
        total = state[:, columns].sum(axis=1)
        if before is not None:
            calm = (np.abs(total - before) / many < 1e-3) & (ctsm == 0) & (year > 10)
            ctsm, short = np.where(calm, year, ctsm), np.where(calm, of_total, short)
        before = total
    return reached, worst, ctsm, short, (time.process_time() - began) / year, year


def measure(folder, scheme, nitrogen, years):
    options = {"soil_carbon": scheme}
    tiles, drivers = sites(folder, options)
    bare = tiles.state.copy(order="F")
    spinup.slow_equilibrium(tiles, drivers, tolerance=1e-7, passes=60)
    if nitrogen:
        tiles.set_option("nitrogen", "cn")
        spinup.start_nitrogen(tiles)
        joined = tiles.state.copy(order="F")
    else:
        joined = bare
    report = spinup.slow_equilibrium(tiles, drivers, tolerance=1e-7, passes=60)
    reference = tiles._unblock(tiles.state)
    tiles.advance_slow(drivers, 100)
    moves = distance(tiles, reference, tiles._unblock(tiles.state))[0]
    # as used, from bare ground
    tiles.state[...] = joined
    clock = time.process_time()
    used = spinup.slow_equilibrium(tiles, drivers)
    seconds = time.process_time() - clock
    off = distance(tiles, reference, tiles._unblock(tiles.state))[0]
    tiles.state[...] = joined
    cycles = by_pass(tiles, drivers, reference, 25)
    # soil alone: plants in equilibrium, soil from nothing, one cycle and the solution
    tiles.state = tiles._blocks(reference)
    alone = np.full(tiles.n_tile, np.nan)
    if not nitrogen:
        spinup.start_soil(tiles)
        tiles.advance_slow(drivers, 1, solve=1)
        columns = tiles._unblock(tiles.state)
        tiles.advance_slow(drivers, 1)
        first = spinup.loader.variables("state")["soil_carbon"].column - 1
        soil = slice(first, first + spinup.loader.variables("state")["soil_carbon"].n_layer)
        total = reference[:, soil].sum(axis=1)
        alone = np.abs(columns[:, soil] - tiles._unblock(tiles.state)[:, soil]).max(axis=1) / total
    tiles.state[...] = bare
    if nitrogen:
        spinup.start_nitrogen(tiles)
    reached, worst, ctsm, short, per_year, stepped = stepping(tiles, drivers, reference, years)
    label = scheme + (" with nitrogen" if nitrogen else "")
    for i, site in enumerate(SITES):
        years_text = f"{reached[i]}" if reached[i] else f"> {stepped} ({worst[i]:.0e} left)"
        need = (reached[i] or stepped) / max(cycles[i], 1)
        print(
            f"| {label} | {site} | {cycles[i] or '> 50'} | {used['cycles'][i]} | {off[i]:.0e} | "
            f"{report['residual'][i]:.0e} | {moves[i]:.0e} | {alone[i]:.0e} | {years_text} | "
            f"{'> ' if not reached[i] else ''}{need:.0f} | "
            f"{ctsm[i] or '-'} ({100 * short[i]:.1f} %) |" + (f" {report['reason'][i]}" if report["reason"][i] else ""),
            flush=True,
        )
    print(
        f"seconds of all sites: solver {seconds:.2f}, stepping {per_year * 1000:.1f} ms a year, {stepped} years",
        flush=True,
    )


def main():
    words = [w for w in sys.argv[1:] if not w.startswith("--")]
    years = int(sys.argv[sys.argv.index("--years") + 1]) if "--years" in sys.argv else 3000
    words = [w for w in words if w != str(years)]
    if not words:
        raise SystemExit(__doc__)
    print(
        "| scheme | site | cycles to 1e-4 | cycles used | distance | residual of the reference | it moves in 100 yr | "
        "soil alone, 1 cycle | years of stepping to 1e-4 | ratio | CTSM criterion met in year (total still off) |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    for scheme in words[1:] or SCHEMES:
        measure(words[0], scheme, False, years)
    if "--cn" in sys.argv:
        measure(words[0], "cencn", True, years)


if __name__ == "__main__":
    main()
