"""`concerto demo`: sites from tundra to rain forest, generated weather, one batch of tiles, one report page."""

from __future__ import annotations

import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from concerto import __version__
from concerto.forcing.co2 import co2_at
from concerto.forcing.weather import climate_normals, generate
from concerto.simulation.forcing import end_of_day, forcing_array
from concerto.simulation.progress import print_summary, progress
from concerto.simulation.site import home_temperature
from concerto.simulation.spinup import spin_up_tiles
from concerto.simulation.tiles import Tiles, residual_words
from concerto.tables import loader

SELECT = ("gpp", "ra", "rh", "nee", "latent_heat", "sensible_heat", "net_radiation", "evapotranspiration", "leaf_area",
          "snow_mass", "soil_water", "vegetation_carbon", "litter_carbon", "soil_organic_carbon")  # fmt: skip


def demo_tiles(years: int = 1, seed: int = 1, threads: int = 1):
    """All embedded sites as one batch of tiles with their generated forcing.

    Returns
    -------
    SimpleNamespace with ``tiles``, ``forcing`` (cell, column, step), ``ends``, ``time``, ``sites`` (names),
    ``site_of_tile``, ``weights``
    """
    names, types, cells, weights, rows = loader.pft_names(), [], [], [], []
    normals = climate_normals()
    for c, row in enumerate(normals.values()):
        for name, share in row["pft"].items():
            types.append(names.index(name))
            cells.append(c)
            weights.append(share)
        weather = generate(row, years=years, seed=seed + c)
        weather["co2"] = co2_at(weather["time"])
        rows.append(
            weather | {"latitude": row["latitude"], "longitude": row["longitude"], "prescribed_leaf_area": None}
        )
    clock = rows[0]["time"]
    tiles = Tiles(types, 1800.0, cell=cells, threads=threads)
    cells = np.array(cells)
    home = [
        home_temperature(clock + np.timedelta64(int(240 * r["longitude"]), "s"), r["air_temperature"]) for r in rows
    ]
    tiles.set_parameter("home_temperature", np.array(home)[cells])
    tiles.set_parameter("reference_height", np.maximum(30.0, tiles.parameter("canopy_height") + 10.0))
    return SimpleNamespace(
        tiles=tiles, forcing=forcing_array(rows, clock, 1800), ends=end_of_day(clock, 1800), time=clock,
        sites=normals, site_of_tile=cells, weights=np.array(weights),
    )  # fmt: skip


def run_demo(years: int = 1, threads: int = 1, quiet: bool = True):
    """Spin up and run the embedded sites.

    Returns
    -------
    (xarray.Dataset with daily means over (time, site), summary dict)
    """
    import xarray as xr

    from concerto.simulation.output import attributes

    began = time.perf_counter()
    demo = demo_tiles(years, threads=threads)
    made = time.perf_counter()
    tiles, n_step = demo.tiles, demo.forcing.shape[2]
    words = list(demo.sites)

    def describe(tile, step):
        return f"{words[demo.site_of_tile[tile]]}, {demo.time[step]} UTC"

    with progress("spin-up", 4 * n_step, quiet) as bar:
        state = spin_up_tiles(tiles, demo.forcing, demo.ends, demo.time, bar, describe)
    spun = time.perf_counter()
    tiles.worst[:] = 0.0
    with progress("run", n_step, quiet) as bar:
        results = tiles.advance(demo.forcing, demo.ends, SELECT, 48, describe)
        bar(n_step)
    finished = time.perf_counter()
    share = np.zeros((len(words), tiles.n_tile))
    share[demo.site_of_tile, np.arange(tiles.n_tile)] = demo.weights
    days = demo.time[::48].astype("datetime64[ns]")
    bounds = np.stack([days, days + np.timedelta64(1, "D")], axis=1)
    variables = {"time_bnds": (("time", "bnds"), bounds)}
    for name, values in results.items():
        out_name, found = attributes(name)
        variables[out_name] = (("time", "site"), values @ share.T, found)
    summary = {
        "title": f"{len(words)} reference sites, {tiles.n_tile} tiles, "
        f"{years} year{'s' if years > 1 else ''} of generated weather",
        "spin-up": state["state"],
        "wall time": f"weather {made - began:.1f} s, spin-up {spun - made:.1f} s, run {finished - spun:.1f} s",
        "worst residual": residual_words(tiles.worst),
    }
    ds = xr.Dataset(
        variables,
        coords={
            "time": (
                "time",
                days,
                {"standard_name": "time", "long_name": "start of the day, UTC", "axis": "T", "bounds": "time_bnds"},
            ),
            "site": words,
            "site_title": ("site", [r["title"] for r in demo.sites.values()]),
            "latitude": (
                "site",
                [r["latitude"] for r in demo.sites.values()],
                {"standard_name": "latitude", "units": "degrees_north"},
            ),
            "longitude": (
                "site",
                [r["longitude"] for r in demo.sites.values()],
                {"standard_name": "longitude", "units": "degrees_east"},
            ),
        },
        attrs={
            "Conventions": "CF-1.11",
            "title": summary["title"],
            "source": f"concerto {__version__}, demo: weather generated from climate normals, not observed",
        },
    )
    year = 31557600.0e3
    gpp, reco = ds.gpp.mean("time").values * year, (ds.ra + ds.rh).mean("time").values * year
    summary["GPP, Reco in gC m-2 yr-1; LAI max"] = {
        word: f"{gpp[i]:6.0f} {reco[i]:6.0f} {float(ds.lai[:, i].max()):5.1f}" for i, word in enumerate(words)
    }
    return ds, summary


def demo_command(out: Path, years: int, threads: int) -> None:
    """Run the demonstration, write its file and its report page into the folder ``out``."""
    import json

    from concerto.errors import ConcertoError
    from concerto.evaluation.report import write_demo_report
    from concerto.simulation.output import write

    out = Path(out)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConcertoError(
            f"the folder {out} cannot be made: {error.strerror}", hint="choose another with --out"
        ) from None
    ds, summary = run_demo(years, threads, quiet=False)
    ds.attrs["summary"] = json.dumps(summary)
    write(ds, out / "demo.nc")
    write_demo_report(out / "demo.html", ds, summary)
    summary["report"] = str((out / "demo.html").resolve())
    print_summary(summary)
