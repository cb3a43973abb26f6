"""Results as an xarray.Dataset and as a CF NetCDF file; names, units and attributes come from the table."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from concerto.errors import ConcertoError
from concerto.tables import loader

FILL = 1.0e20


def attributes(name: str) -> tuple[str, dict]:
    """Output name (CMIP where there is one) and CF attributes of a diagnostic, state or forcing variable."""
    for kind in ("diagnostic", "state", "forcing"):
        entry = loader.variables(kind).get(name)
        if entry is not None:
            break
    found = {"long_name": entry.long_name, "units": entry.units.replace("m2 m-2", "1")}
    if entry.standard_name:
        found["standard_name"] = entry.standard_name
    found["cell_methods"] = "area: mean where land time: " + ("mean" if kind != "state" else "point")
    return entry.cmip or name, found


def soil_interfaces() -> np.ndarray:
    """Depths of the soil layer interfaces, m, from the surface down (n_soil + 1 values)."""
    return np.concatenate([[0.0], np.cumsum(loader.soil_thickness())])


def dataset(results: dict, weights, time_start, step_seconds: float, attrs: dict):
    """Cell means of tile results as an xarray.Dataset on the forcing's own time axis.

    Parameters
    ----------
    results : dict name -> array (record, tile[, layer]), as ``Tiles.advance`` returns
    weights : array (tile,), area fractions of the tiles, sum 1
    time_start : array of datetime64 (record,), interval starts
    step_seconds : length of a record, s
    attrs : global attributes

    Returns
    -------
    xarray.Dataset with dimension ``time`` (interval start), ``time_bnds`` and, for layered variables, ``depth``.
    """
    import xarray as xr

    weights = np.asarray(weights, dtype=float)
    variables = {}
    for name, values in results.items():
        out_name, found = attributes(name)
        mean = np.tensordot(values, weights, axes=([1], [0])) if values.ndim == 2 else np.einsum("rtl,t->rl", values, weights)
        dims = ("time",) if mean.ndim == 1 else ("time", "depth")
        variables[out_name] = (dims, mean, found)
    start = np.asarray(time_start).astype("datetime64[s]")
    end = start + np.timedelta64(int(round(step_seconds)), "s")
    coords = {"time": ("time", start.astype("datetime64[ns]"), {"standard_name": "time", "axis": "T", "bounds": "time_bnds"})}
    if any(values.ndim == 3 for values in results.values()):
        edges = soil_interfaces()
        depth = {"standard_name": "depth", "units": "m", "positive": "down", "axis": "Z", "bounds": "depth_bnds"}
        coords["depth"] = ("depth", 0.5 * (edges[1:] + edges[:-1]), depth)
        variables["depth_bnds"] = (("depth", "bnds"), np.stack([edges[:-1], edges[1:]], axis=1))
    variables["time_bnds"] = (("time", "bnds"), np.stack([start, end], axis=1).astype("datetime64[ns]"))
    return xr.Dataset(variables, coords=coords, attrs=attrs)


def check_target(path) -> Path:
    """Refuse an output path that cannot be written, before any work is done."""
    path = Path(path)
    if path.suffix not in (".nc", ".nc4"):
        raise ConcertoError(f"{path}: the output name must end in .nc", hint="give --out NAME.nc")
    if path.is_dir():
        raise ConcertoError(f"{path} is a directory", hint="give --out DIRECTORY/NAME.nc")
    folder = path.parent
    if not folder.exists():
        raise ConcertoError(f"the folder {folder} of the output does not exist", hint=f"mkdir -p {folder}")
    if not os.access(folder, os.W_OK):
        raise ConcertoError(f"the folder {folder} cannot be written", hint="choose another place with --out")
    return path


def write(ds, path) -> None:
    """Write a dataset to NetCDF under a temporary name, then rename: a half-written file never has the final name."""
    path = check_target(path)
    part = path.with_name(path.name + ".part")
    encoding = {}
    for name in ds.variables:
        if name in ("time", "time_bnds"):
            encoding[name] = {"units": f"seconds since {str(ds.time.values[0])[:10]} 00:00:00", "dtype": "f8", "_FillValue": None}
        elif name in ds.coords or name.endswith("_bnds"):
            encoding[name] = {"_FillValue": None}
        else:
            encoding[name] = {"dtype": "f4", "_FillValue": np.float32(FILL), "zlib": True, "complevel": 1, "shuffle": True}
    try:
        ds.to_netcdf(part, engine="netcdf4", encoding=encoding)
        os.replace(part, path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise ConcertoError(
            f"{path} could not be written: {error.strerror or error}", hint="is the disk full, or the file open elsewhere?"
        ) from None
    except RuntimeError as error:  # netCDF4 reports a full disk so
        part.unlink(missing_ok=True)
        raise ConcertoError(f"{path} could not be written: {error}", hint="is the disk full?") from None
