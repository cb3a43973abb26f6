"""Checkpoints of gridded runs: one NetCDF file from which any number of ranks goes on to the same bits.

State variables stand in it as in the restart file of a site, (layer, tile) in double precision, tiles in the order of
the whole domain. Beside them: records that are not full yet, records that wait for their file, and where the run
stands. One variable after the other is gathered on rank 0; the file appears under its name only when it is complete.
"""

from __future__ import annotations

import json
import os
import shutil
from contextlib import nullcontext
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from concerto import __version__
from concerto.errors import ConcertoError
from concerto.simulation.output import publish
from concerto.tables import loader

MARK = "concerto checkpoint"
SCHEMA = 1
PIECE = "spinup_{}.npz"  # of a rank, of an unfinished spin-up


def write_checkpoint(path, parallel, tiles, facts: dict, arrays: dict) -> None:
    """Write the state of all ranks; collective.

    Parameters
    ----------
    path : file
    parallel : Parallel
    tiles : Tiles of this rank, or None if it has none
    facts : dict that JSON can hold: where the run stands (the same on all ranks; that of rank 0 is written)
    arrays : name -> array (row, ...) of this rank, rows in global order; the same names on all ranks

    Raises
    ------
    ConcertoError
        The file cannot be written; an older one of that name is unchanged.
    """
    from concerto.forcing.gridded import NETCDF_LOCK

    # the thread that reads ahead must not be in the library that writes here; other ranks write nothing
    with NETCDF_LOCK if parallel.first else nullcontext():
        _write_checkpoint(Path(path), parallel, tiles, facts, arrays)


def _write_checkpoint(path, parallel, tiles, facts, arrays):
    part = path.with_name(path.name + ".part")
    data = None
    try:
        if parallel.first:
            data = _create(part, tiles, facts)
        for name, entry in loader.variables("state").items():
            mine = tiles.get(name).reshape(tiles.n_tile, -1) if tiles is not None else np.empty((0, entry.n_layer))
            values = parallel.gather_rows(mine)
            if data is not None:
                _put_state(data, path, name, entry, values)
        for name, values in arrays.items():
            rows = parallel.gather_rows(values)
            if data is not None:
                _put_array(data, name, rows)
        if data is not None:
            data.close()
            data = None
            publish(part, path)
    except (OSError, RuntimeError) as error:  # netCDF4 reports a full disk as RuntimeError
        _drop(data, part)
        words = getattr(error, "strerror", None) or str(error).removeprefix("NetCDF: ")
        raise ConcertoError(
            f"{path} could not be written: {words}",
            hint="is the disk full? The checkpoint before is unchanged: make room and start the same command again",
        ) from None
    except BaseException:
        _drop(data, part)
        raise


def _drop(data, part):
    if data is not None:
        try:
            data.close()
        except (OSError, RuntimeError):
            pass
    part.unlink(missing_ok=True)


def second_name(path, name) -> None:
    """Give a complete file a second name, in place of what has that name; a copy where there are no links."""
    part = name.with_name(name.name + ".part")
    part.unlink(missing_ok=True)
    try:
        if name.exists() and os.path.samefile(path, name):
            return
        try:
            os.link(path, part)
        except OSError:
            shutil.copyfile(path, part)
        publish(part, name)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise ConcertoError(
            f"{name} could not be written: {error.strerror or error}",
            hint="is the disk full? Make room and start the same command again",
        ) from None


def _create(part, tiles, facts):
    import netCDF4

    from concerto.simulation.restart import _value_digest

    data = netCDF4.Dataset(str(part), "w", format="NETCDF4")
    data.setncatts(
        {
            "format": MARK,
            "schema": np.int32(SCHEMA),
            "source": f"concerto {__version__}",
            "tables_digest": loader.digest(),
            "parameter_digest": _value_digest(),
            "facts": json.dumps(facts),
        }
    )
    return data


def _dimension(data, name, size):
    if name not in data.dimensions:
        data.createDimension(name, size)
    return name


def _put_state(data, path, name, entry, values):
    if not np.isfinite(values).all():
        tile = int(np.argwhere(~np.isfinite(values))[0][0])
        raise ConcertoError(
            f"{path} is not written: {name} of tile {tile + 1} is not finite",
            hint="the checkpoint before is unchanged; please report the case",
        )
    tile = _dimension(data, "tile", len(values))
    dims = (tile,)
    if entry.layers:
        dims = (_dimension(data, f"layer_{entry.layers}", entry.n_layer), tile)
    variable = data.createVariable(name, "f8", dims, fill_value=False, fletcher32=True)
    variable.setncatts({"units": entry.units, "long_name": entry.long_name})
    variable[...] = values.T if entry.layers else values[:, 0]


def _put_array(data, name, values):
    dims = tuple(_dimension(data, f"{name}_{k}", size) for k, size in enumerate(values.shape))
    variable = data.createVariable(name, values.dtype.str[1:], dims, fill_value=False, fletcher32=bool(values.size))
    variable[...] = values


def write_piece(folder, rank: int, phase: str, tile, state, done) -> None:
    """Write the tiles of a rank whose spin-up is over, without waiting for other ranks.

    Parameters
    ----------
    folder : of the run
    phase : name of the spin-up
    tile : int array (row,), numbers of these tiles in the whole domain
    state : array (row, state column)
    done : int array (row,), how the spin-up of each ended
    """
    path = Path(folder) / PIECE.format(rank)
    part = path.with_name(path.name + ".part")
    try:
        with open(part, "wb") as file:
            np.savez(file, phase=np.array(phase), tile=tile, state=state, done=done)
        publish(part, path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise ConcertoError(
            f"{path} could not be written: {error.strerror or error}",
            hint="is the disk full? Make room and start the same command again",
        ) from None


def read_pieces(folder, phase: str, first: int, last: int):
    """Tiles from ``first`` to before ``last`` that pieces of any ranks hold: yields (tile - first, state, done)."""
    for path in sorted(Path(folder).glob(PIECE.format("*"))):
        try:
            with np.load(path) as found:
                if str(found["phase"]) != phase or found["state"].shape[1] != loader.columns("state"):
                    continue
                mine = (found["tile"] >= first) & (found["tile"] < last)
                yield found["tile"][mine] - first, found["state"][mine], found["done"][mine]
        except (OSError, ValueError, KeyError, EOFError, BadZipFile):  # a piece is never needed
            continue


def remove_pieces(folder) -> None:
    """Remove the pieces of all ranks."""
    for path in Path(folder).glob(PIECE.format("*")):
        path.unlink(missing_ok=True)


class Checkpoint:
    """An open checkpoint.

    Attributes
    ----------
    path : Path
    facts : dict that :func:`write_checkpoint` was given
    n_tile : tiles of the whole domain
    """

    def __init__(self, path):
        import netCDF4

        self.path = Path(path)
        again = "start anew with --fresh"
        if not self.path.exists():
            raise ConcertoError(
                f"{self.path} does not exist", hint="name a checkpoint or a state file of `concerto run`"
            )
        try:
            self._data = netCDF4.Dataset(str(self.path))
        except (OSError, RuntimeError):
            raise ConcertoError(f"{self.path} is damaged or no checkpoint", hint=again) from None
        self._data.set_auto_mask(False)
        found = {name: self._data.getncattr(name) for name in self._data.ncattrs()}
        if found.get("format") != MARK:
            raise ConcertoError(f"{self.path} is no checkpoint of concerto", hint=again)
        if int(found["schema"]) != SCHEMA:
            raise ConcertoError(
                f"{self.path} has the layout {found['schema']} of checkpoints, this version reads {SCHEMA}",
                hint=f"go on with {found['source']}, or {again}",
            )
        if found["tables_digest"] != loader.digest():
            raise ConcertoError(
                f"{self.path} was written by {found['source']} with other tables of variables or parameters",
                hint=f"go on with that version, or {again}",
            )
        self.facts = json.loads(found["facts"])
        self.n_tile = self._data.dimensions["tile"].size

    def state(self, first: int, last: int) -> np.ndarray:
        """State of the tiles from ``first`` to before ``last``, (tile, state column)."""
        out = np.empty((last - first, loader.columns("state")))
        for name, entry in loader.variables("state").items():
            values = self._read(name, (slice(None), slice(first, last)) if entry.layers else (slice(first, last),))
            values = values.reshape(-1, last - first).T
            low, high = entry.bounds
            if not np.all((values >= low) & (values <= high)):
                tile = first + int(np.argwhere(~((values >= low) & (values <= high)))[0][0])
                raise ConcertoError(
                    f"{self.path}: {name} of tile {tile + 1} is outside {low:g} to {high:g} {entry.units}",
                    hint="the file is damaged: start anew with --fresh",
                )
            out[:, entry.column - 1 : entry.column - 1 + entry.n_layer] = values
        return out

    def array(self, name: str, first: int, last: int) -> np.ndarray:
        """Rows from ``first`` to before ``last`` of a further array."""
        return self._read(name, (slice(first, last),))

    def has(self, name: str) -> bool:
        """Whether there is a further array of that name."""
        return name in self._data.variables

    def names(self) -> list[str]:
        """Names of everything in it."""
        return list(self._data.variables)

    def _read(self, name, key):
        try:
            return self._data.variables[name][key]
        except (OSError, RuntimeError, KeyError):
            raise ConcertoError(
                f"{self.path}: {name} cannot be read, the file is damaged", hint="start anew with --fresh"
            ) from None

    def close(self) -> None:
        """Close the file."""
        self._data.close()
