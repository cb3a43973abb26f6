"""Results as an xarray.Dataset and as a CF NetCDF file; names, units and attributes come from the table."""

from __future__ import annotations

import os
from datetime import UTC
from pathlib import Path

import numpy as np

from concerto import __version__
from concerto.errors import ConcertoError
from concerto.tables import loader

FILL = 1.0e20


def attributes(name: str) -> tuple[str, dict]:
    """Output name (CMIP where there is one) and CF attributes of a diagnostic, state or forcing variable."""
    for kind in ("diagnostic", "state", "forcing", "cell", "tile"):
        entry = loader.variables(kind).get(name)
        if entry is not None:
            break
    found = {"long_name": entry.long_name, "units": entry.units.replace("m2 m-2", "1")}
    if entry.standard_name:
        found["standard_name"] = entry.standard_name
    if entry.units == "K":
        found["units_metadata"] = "temperature: on_scale"
    found["cell_methods"] = "area: mean where land time: " + (
        "mean" if kind != "state" else "point (at the end of the interval)"
    )
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
        mean = (
            np.tensordot(values, weights, axes=([1], [0]))
            if values.ndim == 2
            else np.einsum("rtl,t->rl", values, weights)
        )
        dims = ("time",) if mean.ndim == 1 else ("time", "depth")
        variables[out_name] = (dims, mean, found)
    start = np.asarray(time_start).astype("datetime64[s]")
    end = start + np.timedelta64(int(round(step_seconds)), "s")
    clock = {"standard_name": "time", "long_name": "start of the interval, local standard time", "axis": "T",
             "bounds": "time_bnds", "units_metadata": "leap_seconds: none"}  # fmt: skip
    coords = {"time": ("time", start, clock)}
    if any(values.ndim == 3 for values in results.values()):
        edges = soil_interfaces()
        depth = {
            "standard_name": "depth",
            "long_name": "middle of the soil layer",
            "units": "m",
            "positive": "down",
            "axis": "Z",
            "bounds": "depth_bnds",
        }
        coords["depth"] = ("depth", 0.5 * (edges[1:] + edges[:-1]), depth)
        variables["depth_bnds"] = (("depth", "bnds"), np.stack([edges[:-1], edges[1:]], axis=1))
    variables["time_bnds"] = (("time", "bnds"), np.stack([start, end], axis=1))
    return xr.Dataset(variables, coords=coords, attrs=attrs)


def _check_folder(path, example, keep):
    if path.is_dir():
        raise ConcertoError(f"{path} is a directory", hint=f"name a file in it, such as {path / example}")
    folder = path.parent
    if not folder.exists():
        raise ConcertoError(f"the folder {folder} of the output does not exist", hint=f"mkdir -p '{folder}'")
    if not folder.is_dir():
        raise ConcertoError(f"{folder} is a file, not a folder", hint="choose another place with --out")
    if not os.access(folder, os.W_OK) or (path.exists() and not os.access(path, os.W_OK)):
        raise ConcertoError(f"{path} cannot be written: no permission", hint="choose another place")
    for other in keep:
        if (
            path.exists()
            and Path(other).exists()
            and os.path.samefile(path, other)
            or path.absolute() == Path(other).absolute()
        ):
            raise ConcertoError(
                f"{path} is a file that is read or written in the same command", hint="give the output another name"
            )
    return path


def check_target(path, keep=()) -> Path:
    """Refuse an output path that cannot be written, or is one of the files to ``keep``, before any work is done."""
    path = Path(path)
    if path.suffix not in (".nc", ".nc4") and not path.is_dir():
        raise ConcertoError(f"{path}: the output name must end in .nc", hint=f"give --out {path.name or 'NAME'}.nc")
    return _check_folder(path, "run.nc", keep)


def check_page(path, keep=()) -> Path:
    """Refuse the path of an HTML page that cannot be written, or that is one of the files to ``keep``."""
    path = Path(path)
    if path.suffix.lower() not in (".html", ".htm") and not path.is_dir():
        raise ConcertoError(f"{path}: the name of the page must end in .html", hint=f"give {path.with_suffix('.html')}")
    return _check_folder(path, "report.html", keep)


def _history(previous) -> str:
    """The line of the attribute history for this call: date, command, version."""
    import shlex
    import sys
    from datetime import datetime

    program = Path(sys.argv[0]).name if sys.argv and sys.argv[0] else ""
    if program in ("concerto", "concerto.exe", "__main__.py"):
        command = shlex.join(["concerto", *sys.argv[1:]])
    else:
        command = "concerto from Python"
    line = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} {command} (version {__version__})"
    return f"{previous}\n{line}" if previous else line


def write(ds, path) -> None:
    """Write a dataset to NetCDF under a temporary name, then rename: a half-written file never has the final name."""
    path = check_target(path)
    ds = ds.assign_attrs(history=_history(ds.attrs.get("history")))
    part = path.with_name(path.name + ".part")
    encoding = {}
    for name in ds.variables:
        if name in ("time", "time_bnds"):
            encoding[name] = {
                "units": f"seconds since {str(ds.time.values[0])[:10]} 00:00:00",
                "dtype": "f8",
                "_FillValue": None,
            }
        elif name in ds.coords or name.endswith("_bnds"):
            encoding[name] = {"_FillValue": None}
        else:
            encoding[name] = {
                "dtype": "f4",
                "_FillValue": np.float32(FILL),
                "zlib": True,
                "complevel": 1,
                "shuffle": True,
            }
    try:
        ds.to_netcdf(part, engine="netcdf4", encoding=encoding)
        os.replace(part, path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise ConcertoError(
            f"{path} could not be written: {error.strerror or error}",
            hint="is the disk full, or the file open elsewhere?",
        ) from None
    except RuntimeError as error:  # netCDF4 reports a full disk so
        part.unlink(missing_ok=True)
        raise ConcertoError(f"{path} could not be written: {error}", hint="is the disk full?") from None
    except BaseException:  # interrupted: leave nothing half-written behind
        part.unlink(missing_ok=True)
        raise


def publish(part, path) -> None:
    """Give a finished file its name, once it is on the disk; the new name too survives a power cut where it can."""
    with open(part, "rb+") as file:
        os.fsync(file.fileno())
    os.replace(part, path)
    try:
        folder = os.open(path.parent, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(folder)
    except OSError:
        pass
    finally:
        os.close(folder)
