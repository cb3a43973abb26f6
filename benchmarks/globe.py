"""Speed of the globe: a year of 6-hourly files in the layout of CRU-JRA, made from the embedded climate.

    python benchmarks/globe.py --work FOLDER [--resolution 2] [--ranks 1 2] [--json globe.json]

Makes the forcing once, runs a year at half-hourly steps without spin-up for each number of ranks, and prints wall time,
the shares of computing, input, output and waiting, parallel efficiency, memory, and core hours for finer grids.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np

FILES = {  # name in the file: unit, variable of the model, factor
    "tmp": ("K", "air_temperature", 1.0),
    "pres": ("Pa", "pressure", 1.0),
    "spfh": ("kg/kg", "specific_humidity", 1.0),
    "ugrd": ("m/s", "wind_speed", 0.8),
    "vgrd": ("m/s", "wind_speed", 0.6),
    "dlwrf": ("W/m**2", "longwave_down", 1.0),
    "dswrf": ("J/m**2", "shortwave_down", 21600.0),
    "pre": ("mm/6h", "precipitation", 21600.0),
}


def make_forcing(folder: Path, resolution: float, year: int) -> None:
    """Yearly files of every variable on the whole grid, sea missing."""
    import netCDF4

    from concerto.domain.grid import make_cells
    from concerto.forcing.disaggregate import model_steps
    from concerto.forcing.gridded import open_forcing
    from concerto.tables import loader

    folder.mkdir(parents=True, exist_ok=True)
    domain = make_cells(SimpleNamespace(grid="embedded", resolution=resolution, box=None, mask=None, variables={}))
    source = open_forcing(SimpleNamespace(source="embedded", files=None, seed=1, time_offset_hours=None), domain)
    days = np.arange(np.datetime64(f"{year}-01-01"), np.datetime64(f"{year + 1}-01-01"))
    lat = np.arange(90.0 - resolution / 2, -90.0, -resolution)
    lon = np.arange(-180.0 + resolution / 2, 180.0, resolution)
    row = np.rint((90.0 - resolution / 2 - domain.latitude) / resolution).astype(int)
    column = np.rint((domain.longitude + 180.0 - resolution / 2) / resolution).astype(int)
    entries = loader.variables("forcing")
    files = {}
    for name, (unit, *_) in FILES.items():
        data = netCDF4.Dataset(folder / f"crujra.v2.{name}.{year}.nc", "w")
        for axis, values, units in (("lat", lat, "degrees_north"), ("lon", lon, "degrees_east")):
            data.createDimension(axis, len(values))
            data.createVariable(axis, "f8", (axis,)).units = units
            data[axis][:] = values
        data.createDimension("time", 4 * len(days))
        data.createVariable("time", "f8", ("time",)).setncatts(
            {"units": f"hours since {year}-01-01", "calendar": "standard"}
        )
        data["time"][:] = 6.0 * np.arange(4 * len(days))
        chunks = (4, len(lat), len(lon))
        variable = data.createVariable(name, "f4", ("time", "lat", "lon"), fill_value=-9.99e33, zlib=True, complevel=1,
                                       chunksizes=chunks)  # fmt: skip
        variable.units = unit
        files[name] = data
    for k in range(0, len(days), 30):
        part = days[k : k + 30]
        forcing = model_steps(source.read(part), domain.latitude, domain.longitude, part, 86400, 21600,
                              cell_id=domain.cell_id, co2=369.0)  # fmt: skip
        for name, (_, of, factor) in FILES.items():
            if of == "precipitation":
                values = sum(forcing[:, entries[v].column - 1] for v in ("rainfall", "snowfall"))
            else:
                values = forcing[:, entries[of].column - 1]
            grid = np.full((values.shape[1], len(lat), len(lon)), -9.99e33, dtype="f4")
            grid[:, row, column] = factor * values.T
            files[name][name][4 * k : 4 * k + len(grid)] = grid
    for data in files.values():
        data.close()


CONFIG = """title: speed of the globe
domain: {{grid: embedded, resolution: {resolution}}}
forcing: {{source: cru_jra, files: "{forcing}/crujra.v2.{{variable}}.{{year}}.nc"}}
phases:
  - {{name: year, kind: run, years: [{year}, {year}], climate: transient}}
output:
  folder: {out}
  streams:
    - {{name: monthly, frequency: month, variables: [all, tas]}}
    - {{name: annual, frequency: year}}
"""


def run(folder, resolution, year, ranks, launcher) -> dict:
    """One run; wall time of the run phase, shares and memory."""
    config, out = folder / f"globe_{ranks}.yaml", folder / f"out_{ranks}"
    config.write_text(CONFIG.format(resolution=resolution, forcing=folder / "forcing", out=out, year=year))
    command = [sys.executable, "-m", "concerto", "run", str(config), "--fresh", "--json"]
    command = [*launcher.split(), "-n", str(ranks), *command] if ranks > 1 else command
    began = time.perf_counter()
    result = subprocess.run(
        command, capture_output=True, text=True, check=False, env=os.environ | {"OMP_NUM_THREADS": "1"}
    )
    if result.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{result.stderr}")
    facts = json.loads((out / "run.json").read_text())
    phase = facts["phases"][-1]
    parts = phase["ranks"]
    total = sum(sum(rank.values()) for rank in parts)
    return {
        "ranks": ranks,
        "whole": time.perf_counter() - began,
        "wall": phase["wall"],
        "shares": {name: sum(rank[name] for rank in parts) / total for name in parts[0]},
        "compute": [rank["compute"] for rank in parts],
        "memory_megabytes": facts.get("memory_megabytes"),
        "title": facts["summary"]["title"],
        "tiles": facts["tiles"],
    }


def main(arguments=None):
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--work", type=Path, required=True, help="folder for forcing and output (about 1 GB at 2 degrees)"
    )
    parser.add_argument("--resolution", type=float, default=2.0, help="degrees (2)")
    parser.add_argument("--year", type=int, default=2001)
    parser.add_argument("--ranks", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--launcher", default="mpirun", help="command that starts the ranks (mpirun)")
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    options = parser.parse_args(arguments)
    forcing = options.work / "forcing"
    if not (forcing / f"crujra.v2.pre.{options.year}.nc").exists():
        began = time.perf_counter()
        make_forcing(forcing, options.resolution, options.year)
        print(f"forcing made in {time.perf_counter() - began:.0f} s")
    results = []
    for ranks in options.ranks:
        found = run(options.work, options.resolution, options.year, ranks, options.launcher)
        results.append(found)
        shares = ", ".join(f"{name} {100 * value:.1f} %" for name, value in found["shares"].items() if value > 0)
        compute = ", ".join(f"{s:.1f}" for s in found["compute"])
        print(f"{found['title']}: {found['wall']:.1f} s a year ({shares})")
        print(f"  computing by rank {compute} s; memory by rank {found['memory_megabytes']} MB")
    results.sort(key=lambda found: found["ranks"])
    first = results[0]
    for found in results[1:]:
        efficiency = first["wall"] * first["ranks"] / (found["wall"] * found["ranks"])
        print(f"efficiency {first['ranks']} -> {found['ranks']} ranks: {100 * efficiency:.1f} %")
    core_hours = results[-1]["wall"] * results[-1]["ranks"] / 3600.0
    for resolution in (1.0, 0.5):
        factor = (options.resolution / resolution) ** 2
        print(f"{resolution} degree, by the number of cells: {core_hours * factor:.1f} core hours a year")
    if options.json:
        options.json.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
