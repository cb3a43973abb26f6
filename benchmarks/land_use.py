"""Cost of land use: a history of all kinds of transitions, 1700 to 2020, against the same run with it held or without.

    python benchmarks/land_use.py --work FOLDER [--resolution 10] [--ranks 2] [--every 1] [--merge 0 0.003]

Writes a made-up history in the layout of LUH2 (gross transitions with shifting cultivation, wood harvest, abandonment)
for a coarse grid of all land, and runs it in the climate of the package at steps of three hours: `none` without the
section land_use, `held` with the land use of the first year, and `merge_X` with land use that changes, for each X of
`land_use.merge_below`. Prints wall and processor time, the time of the operator, tiles per cell over time, and with
`--spinup` the emission of land use against `held`.

`--every 20` computes only each twentieth year; land use of the years between acts at once on 1 January, so that the
operator has all its work while the physics has a twentieth. All years take some 20 minutes without land use on two free
cores, 75 with `merge_below` as it is, 130 without joined ages (estimated from a part of the years).
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

STATES = ("primf", "primn", "secdf", "secdn", "pastr", "range", "urban", "c3ann", "c4ann")
CROPS, NATURAL, PRIMARY, SECONDARY = ("c3ann", "c4ann"), STATES[:4], STATES[:2], STATES[2:4]
HARVESTS = ("primf", "primn", "secmf", "secyf", "secnf")
WOOD = 6.0  # kg C m-2 of harvested area
MERGE = 0.01  # default of land_use.merge_below
SHOWN = (1700, 1750, 1800, 1850, 1900, 1950, 2000, 2020)


def history(latitude, longitude, years, seed=1):
    """States (state, lat, lon) of each year, transitions (from, to) -> (lat, lon) and harvested areas (5, lat, lon).

    Crops and grazing spread along a logistic curve to a share that is drawn for each cell, some land is given up in the
    temperate zone after 1950, shifting cultivation turns over crops in the tropics, wood harvest grows sixfold.
    """
    random = np.random.default_rng(seed)
    shape = (len(latitude), len(longitude))
    north = np.broadcast_to(latitude[:, None], shape)
    warm = np.exp(-((north / 50.0) ** 4))  # suited to crops
    tropical = np.abs(north) < 25.0
    most = {
        "crop": 0.55 * warm * random.beta(1.0, 2.0, shape), "pastr": 0.25 * warm * random.beta(1.0, 2.5, shape),
        "range": 0.9 * random.beta(0.6, 1.6, shape) * (0.1 + 0.9 * warm),
        "urban": 0.01 * warm * random.beta(1.0, 3.0, shape),
    }  # fmt: skip
    middle = random.uniform(1860.0, 1950.0, shape)
    forest = np.clip(random.beta(1.5, 1.5, shape), 0.05, 0.95)
    c4 = np.where(tropical, 0.5, 0.15)
    shifting = np.where(tropical, random.uniform(0.0, 0.15, shape), 0.0)
    given_up = np.where((np.abs(north) > 30.0) & (random.random(shape) < 0.5), random.uniform(0.0, 0.4, shape), 0.0)

    def wanted(kind, year):
        share = 1.0 / (1.0 + np.exp(-(year - middle) / 30.0))
        if kind == "urban":
            return most[kind] * share * (year > 1850)
        old = 0.1 * (kind != "pastr")
        left = 1.0 - given_up * np.clip((year - 1950.0) / 60.0, 0.0, 1.0)
        return most[kind] * (old + (1.0 - old) * share) * left

    state = {name: np.zeros(shape) for name in STATES}
    for name in ("range", "pastr", "urban"):
        state[name] = wanted(name, years[0])
    crop = wanted("crop", years[0])
    state["c3ann"], state["c4ann"] = crop * (1.0 - c4), crop * c4
    rest = 1.0 - sum(state.values())
    second = rest * random.beta(0.6, 4.0, shape)
    for name, area in (("prim", rest - second), ("secd", second)):
        state[name + "f"], state[name + "n"] = area * forest, area * (1.0 - forest)
    for year in years:
        moves, left = {}, {name: 0.9 * value for name, value in state.items()}

        def take(donor, receiver, amount, left=left, moves=moves):
            amount = np.minimum(np.maximum(amount, 0.0), left[donor])
            left[donor] -= amount
            moves[donor, receiver] = moves.get((donor, receiver), 0.0) + amount
            return amount

        parts = {"crop": dict(zip(CROPS, (1.0 - c4, c4), strict=True))}
        parts |= {kind: {kind: 1.0} for kind in ("pastr", "range", "urban")}
        for kind, names in parts.items():
            have = sum(state[name] for name in names)
            change = wanted(kind, year + 1) - have
            natural = sum(state[name] for name in NATURAL)
            for name, share in names.items():
                for donor in NATURAL:
                    take(donor, name, change * share * state[donor] / np.maximum(natural, 1e-12))
                for receiver, part in zip(SECONDARY, (forest, 1.0 - forest), strict=True):
                    take(name, receiver, -change * share * part)
        for name in CROPS:  # shifting cultivation, and crops that change places with pasture
            for fallow, old, part in zip(SECONDARY, PRIMARY, (forest, 1.0 - forest), strict=True):
                back = take(name, fallow, shifting * state[name] * part)
                take(old, name, back - take(fallow, name, back))
            exchange = take(name, "pastr", 0.002 * np.minimum(state[name], state["pastr"]))
            take("pastr", name, exchange)
        demand = 0.0003 * (1.0 + 5.0 * np.clip((year - 1800.0) / 200.0, 0.0, 1.0))
        cut = np.zeros((5, *shape))
        for k, (donor, receiver) in enumerate(zip(PRIMARY, SECONDARY, strict=True)):
            cut[k] = take(donor, receiver, demand * (1.0, 0.1)[k] * state[donor])
        cut[2], cut[3] = 3.0 * demand * state["secdf"], 0.2 * demand * state["secdf"]
        cut[4] = 0.1 * demand * state["secdn"]
        yield year, {name: value.copy() for name, value in state.items()}, moves, cut
        for (donor, receiver), amount in moves.items():
            state[donor] = state[donor] - amount
            state[receiver] = state[receiver] + amount


def write_history(folder, resolution, first, last):
    """states.nc, transitions.nc and static.nc in the layout of LUH2."""
    import netCDF4

    latitude = np.arange(90.0 - resolution / 2, -90.0, -resolution)
    longitude = np.arange(-180.0 + resolution / 2, 180.0, resolution)
    band = np.sin(np.radians(latitude + resolution / 2)) - np.sin(np.radians(latitude - resolution / 2))
    area = 6371007.2**2 * np.radians(resolution) * band[:, None] * np.ones(len(longitude))  # m2
    years = range(first, last + 1)
    states = {name: [] for name in STATES}
    moved, cut = {}, []
    for k, (_, state, moves, harvest) in enumerate(history(latitude, longitude, years)):
        for name in STATES:
            states[name].append(state[name])
        for pair, amount in moves.items():
            moved.setdefault(pair, [np.zeros(area.shape)] * k).append(amount)
        cut.append(harvest)
    cut = np.array(cut)
    variables = {"states": {name: (np.array(values), "1") for name, values in states.items()}}
    variables["transitions"] = {f"{a}_to_{b}": (np.array(v[:-1]), "1") for (a, b), v in moved.items()}
    for k, name in enumerate(HARVESTS):
        variables["transitions"][f"{name}_harv"] = (cut[:-1, k], "1")
        variables["transitions"][f"{name}_bioh"] = (cut[:-1, k] * WOOD * area, "kg C")
    variables["static"] = {"icwtr": (np.zeros(area.shape), "1"), "carea": (area * 1e-6, "km2")}
    folder.mkdir(parents=True, exist_ok=True)
    for name, table in variables.items():
        with netCDF4.Dataset(folder / f"{name}.nc", "w", format="NETCDF3_64BIT_OFFSET") as file:
            for axis, values, unit in (("lat", latitude, "degrees_north"), ("lon", longitude, "degrees_east")):
                file.createDimension(axis, len(values))
                file.createVariable(axis, "f8", (axis,)).units = unit
                file[axis][:] = values
            if name != "static":
                file.createDimension("time", None)
                stamps = file.createVariable("time", "f8", ("time",))
                stamps.setncatts({"units": "years since 850-01-01 0:0:0", "calendar": "365_day"})
                stamps[:] = np.arange(first, last + (name == "states")) - 850
            for variable, (values, unit) in table.items():
                made = file.createVariable(variable, "f8", ("time", "lat", "lon")[-values.ndim :], fill_value=1e20)
                made.units = unit
                made[:] = values


def configuration(options, out, land_use=None, held=False, spinup=False):
    """A run as a dictionary: without land use, with a section of it, or with that held at the first year."""
    first, last = options.years
    spans = [(first, last)]
    if options.every > 1:
        spans = [(y, y) for y in range(first, last + 1, options.every)]
    climate = {"cycle": [1901, 1901]}
    phases = [{"name": "equilibrium", "kind": "spinup", "climate": climate, "rounds": 1}] if spinup else []
    for k, years in enumerate(spans):
        phase = {"name": f"run{k}", "kind": "run", "years": list(years), "climate": climate}
        phases.append(phase | ({"land_use": {"fixed": first}} if held else {}))
    section = {}
    if land_use is not None:
        files = {name: str(options.work / f"{name}.nc") for name in ("states", "transitions", "static")}
        section = {"land_use": {"source": "luh2", "files": files, "years": [first, last]} | land_use}
    domain = {"grid": "embedded", "resolution": options.resolution, "soil": {"texture": "medium"}}
    return section | {
        "title": "cost of land use", "domain": domain | json.loads(options.domain),
        "forcing": {"source": "embedded"}, "model": {"time_step": 10800}, "phases": phases,
        "output": {"folder": str(out), "streams": [{"name": "annual", "frequency": "year", "variables": ["nbp"]}]},
        "checkpoint": {"every": 1000},
    }  # fmt: skip


def run(options, name, config):
    """One run: wall and processor seconds, those of ranks in land use, and tiles with area per cell by year."""
    path, out = options.work / f"{name}.json", Path(config["output"]["folder"])
    path.write_text(json.dumps(config))
    command = [sys.executable, "-m", "concerto", "run", str(path), "--fresh", "--json"]
    if options.ranks > 1:
        command = [*options.launcher.split(), "-n", str(options.ranks), *command]
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env=os.environ | {"OMP_NUM_THREADS": "1"}
    )
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stderr}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    facts = json.loads((out / "run.json").read_text())
    phases = [p for p in facts["phases"] if p["name"].startswith("run")]
    seconds = {name: sum(rank[name] for p in phases for rank in p["ranks"]) for name in phases[0]["ranks"][0]}
    busy = seconds["compute"] + seconds["input"] + seconds["output"] + seconds["land use"]
    found = {
        "name": name, "whole": time.perf_counter() - began, "wall": sum(p["wall"] for p in phases), "seconds": seconds,
        "processor": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, "busy": busy,
        "cells": facts["cells"], "slots": facts["tiles"], "tiles": {}, "most": {},
    }  # fmt: skip
    for file in sorted(out.glob("land_use_*.nc")):
        import netCDF4

        with netCDF4.Dataset(file) as data:
            count = np.ma.compressed(data["tiles_with_area"][:])
        year = int(file.stem[-4:])
        found["tiles"][year], found["most"][year] = float(count.mean()), int(count.max())
    rows = (out / "totals.csv").read_text().splitlines()
    names, rows = rows[0].split(","), np.array([[float(v) for v in row.split(",")] for row in rows[1:]])
    uptake = [k for k, word in enumerate(names) if word.startswith("net_uptake")]
    found["uptake"] = rows[:, uptake[0]].tolist() if uptake else None
    return found


def main(arguments=None):
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True, help="folder for history and output (0.2 GB)")
    parser.add_argument("--resolution", type=float, default=10.0, help="degrees (10: 295 cells)")
    parser.add_argument("--years", type=int, nargs=2, default=(1700, 2020))
    parser.add_argument("--every", type=int, default=1, help="compute each n-th year only (1: all)")
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--launcher", default="mpirun", help="command that starts the ranks (mpirun)")
    parser.add_argument("--merge", type=float, nargs="*", help=f"values of land_use.merge_below ({MERGE} and 0)")
    parser.add_argument("--runs", nargs="+", default=["none", "held", "change"], help="which of none, held, change")
    parser.add_argument("--domain", default="{}", help='keys of the section domain as JSON, e.g. {"most_tiles": 3}')
    parser.add_argument("--spinup", action="store_true", help="begin in equilibrium, and tell the emission of land use")
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    options = parser.parse_args(arguments)
    options.work, options.years = options.work.resolve(), list(options.years)
    if not (options.work / "static.nc").exists():
        began = time.perf_counter()
        write_history(options.work, options.resolution, *options.years)
        print(f"history made in {time.perf_counter() - began:.0f} s")
    sections = [("none", None, False)] if "none" in options.runs else []
    sections += [("held", {}, True)] if "held" in options.runs else []
    if "change" in options.runs:
        sections += [(f"merge_{v:g}", {"merge_below": v}, False) for v in options.merge or (MERGE, 0.0)]
    n_year = options.years[1] - options.years[0] + 1
    done, state = {}, None
    for name, section, held in sections:
        config = configuration(options, options.work / f"out_{name}", section, held, options.spinup and state is None)
        if section is not None and options.spinup:
            if state is None:
                state = str(options.work / f"out_{name}" / "state_equilibrium.nc")
            else:
                config["initial_state"] = state
        found = done[name] = run(options, name, config)
        operator = found["seconds"]["land use"]
        print(f"{name}: {found['wall']:.0f} s wall of {options.ranks} ranks, {found['processor']:.0f} s of processors; "
              f"busy {found['busy']:.0f} s, of it land use {operator:.1f} s "
              f"({1e3 * operator / found['cells'] / n_year:.2f} ms per cell and year)")  # fmt: skip
        if found["tiles"]:
            years = [y for y in SHOWN if y in found["tiles"]]
            years = years if len(years) > 3 else list(found["tiles"])[:: max(len(found["tiles"]) // 8, 1)]
            counts = ", ".join(f"{y} {found['tiles'][y]:.1f} ({found['most'][y]})" for y in years)
            print(f"  tiles with area per cell, mean (most): {counts}; mean of all years "
                  f"{np.mean(list(found['tiles'].values())):.1f}")  # fmt: skip
        for base in [done[b] for b in ("none", "held") if b in done and b != name and section is not None]:
            share = operator - base["seconds"]["land use"]  # the work of all years beside physics of some
            busy = found["busy"] - share * (1.0 - 1.0 / options.every)
            shares = [100 * (found[k] / base[k] - 1) for k in ("wall", "processor")] + [100 * (busy / base["busy"] - 1)]
            words = ("wall", "processors", "all years")
            print(f"  overhead against {base['name']}: "
                  + ", ".join(f"{word} {value:.0f} %" for word, value in zip(words, shares, strict=True)))  # fmt: skip
        if options.spinup and not held and "held" in done and found["uptake"]:
            eluc = np.array(done["held"]["uptake"]) - np.array(found["uptake"])
            found["eluc"] = eluc.tolist()
            parts = [f"{part.sum():.3f}" for part in np.array_split(eluc, 5)]
            print(f"  emission of land use {eluc.sum():.3f} PgC, by fifths of the time {', '.join(parts)}")
    print(f"cells {done[name]['cells']}")
    if options.json:
        options.json.write_text(json.dumps(done, indent=1))


if __name__ == "__main__":
    main()
