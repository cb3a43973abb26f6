"""Output streams of gridded runs: NetCDF files that appear complete, or one Zarr store; the same bytes on any ranks.

A :class:`Stream` says what is written, how often and how it is condensed; a :class:`StreamWriter` writes its finished
records; :func:`open_run` reads them back. Names, units and attributes come from the table of variables (CMIP names),
the layout from CF. Both formats hold the same numbers: float32, rounded to ``digits`` if asked. No file holds a time
of its writing or a trace of the number of ranks.
"""

from __future__ import annotations

import csv
import io
import json
import math
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from concerto.errors import ConcertoError
from concerto.simulation.output import FILL, attributes, publish, soil_interfaces
from concerto.tables import loader

FREQUENCIES = {"step": "s", "day": "D", "month": "M", "year": "Y"}
CMIP_FREQUENCIES = {"day": "day", "month": "mon", "year": "yr"}
STATISTICS = ("mean", "sum", "minimum", "maximum", "last")
PER = ("cell", "pft", "class", "tile")
SHARES = {"pft": "pft_share", "class": "class_share", "tile": "tile_share"}  # what land use changes, in each record
#: Land-use tiles of LUMIP, with their area types of CF, and that of each kind of land.
LAND_USE_TILES = {"psl": "primary_and_secondary_land", "pst": "pastures", "crp": "crops", "urb": "urban"}
TILE_OF_KIND = {"primary": 0, "secondary": 0, "pasture": 1, "rangeland": 1, "crop": 2, "urban": 3}
RADIUS = 6371007.2  # m, of the sphere with the area of the WGS84 ellipsoid
TIME_ORIGIN = np.datetime64("1850-01-01T00:00:00", "s")
REFORM = np.datetime64("1582-10-15T00:00:00", "s")  # from here on the calendars standard and proleptic_gregorian agree
SHARD = 1024  # rows of a shard of a Zarr store: depends on nothing but this number and the domain
TAG = 7701
ADVICE = "is the disk full? Files written before are unchanged"


@dataclass(frozen=True)
class Stream:
    """What one stream of output holds.

    Attributes
    ----------
    name : word of the file names; letters, digits, ``-`` and ``_``
    frequency : "step", "day", "month" or "year", length of a record
    variables : tuple of names of the tables of diagnostics, states or forcing
    statistic : "mean", "sum" (over time: see :func:`integral`), "minimum", "maximum" or "last", within the record
    per : "cell" (mean over its tiles), "pft" (each plant type of a cell), "class" (with land use: each land-use tile of
        LUMIP) or "tile"
    digits : significant decimal digits to keep, 1 to 7, or None for all of float32

    Raises
    ------
    ConcertoError
        If one of these is not as listed.

    Examples
    --------
    >>> Stream("monthly", "month", ("gpp", "ra")).file_of(np.datetime64("1990-05-01"))
    '1990'
    """

    name: str
    frequency: str = "month"
    variables: tuple[str, ...] = ()
    statistic: str = "mean"
    per: str = "cell"
    digits: int | None = None

    def __post_init__(self):
        object.__setattr__(self, "variables", tuple(self.variables))
        where = f"output stream {self.name}"
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", self.name):
            raise ConcertoError(f"the name '{self.name}' of an output stream cannot be part of a file name",
                                hint="use letters, digits, - and _")  # fmt: skip
        for key, known in (("frequency", tuple(FREQUENCIES)), ("statistic", STATISTICS), ("per", PER)):
            if getattr(self, key) not in known:
                raise ConcertoError(f"{where}: {key} is '{getattr(self, key)}'", hint=f"one of {', '.join(known)}")
        if self.digits is not None and self.digits not in range(1, 8):
            raise ConcertoError(f"{where}: digits is {self.digits}", hint="from 1 to 7, or leave it out")
        if not self.variables:
            raise ConcertoError(f"{where} has no variables", hint="name some under variables")
        for name in self.variables:
            if _entry(name) is None:
                raise ConcertoError(f"{where}: the variable {name} is not known", hint="see the table of variables")
        if len(set(self.variables)) < len(self.variables):
            raise ConcertoError(f"{where}: a variable is named twice", hint="name each once")

    def file_of(self, day) -> str:
        """Label of the file that a record starting at ``day`` (datetime64) belongs to: "1990-01" (steps) or "1990"."""
        unit = "M" if self.frequency == "step" else "Y"
        return str(np.datetime64(day).astype(f"datetime64[{unit}]"))

    def intervals(self, start, end, step_seconds: float) -> tuple[np.ndarray, np.ndarray]:
        """Starts and ends (record,) datetime64[s] of all records from ``start`` to ``end``; those at the ends cut."""
        start, end = (np.datetime64(time).astype("datetime64[s]") for time in (start, end))
        if self.frequency == "step":
            step = np.timedelta64(int(round(step_seconds)), "s")
            limits = np.append(np.arange(start, end, step), end)
        else:
            unit = f"datetime64[{FREQUENCIES[self.frequency]}]"
            inner = np.arange(start.astype(unit), end.astype(unit) + 1).astype("datetime64[s]")
            limits = np.concatenate([[start], inner[(inner > start) & (inner < end)], [end]])
        return limits[:-1], limits[1:]


# --- from tiles to cells


def to_cells(values, domain) -> np.ndarray:
    """Means over the tiles of each cell, weighted with their fractions of it.

    The terms of a cell are added in the order of its tiles, one after the other, so that the bits of a cell's mean
    depend on its own tiles alone: any split of the cells gives the same.

    Parameters
    ----------
    values : array (record, tile) or (record, tile, layer), any unit
    domain : Domain with ``tile_cell`` (ascending), ``tile_fraction``, ``n_cell``

    Returns
    -------
    array (record, cell[, layer]) of the same unit, float64; NaN for a cell without tiles
    """
    values = np.asarray(values, dtype=float)
    cell, fraction = np.asarray(domain.tile_cell), np.asarray(domain.tile_fraction, dtype=float)
    first = np.searchsorted(cell, np.arange(domain.n_cell + 1))
    count = np.diff(first)
    total = np.zeros((values.shape[0], domain.n_cell, *values.shape[2:]))
    weight = np.zeros(domain.n_cell)
    wide = (slice(None),) + (None,) * (values.ndim - 2)
    for k in range(count.max(initial=0)):  # the k-th tile of every cell that has so many
        cells = np.flatnonzero(count > k)
        tiles = first[cells] + k
        total[:, cells] += values[:, tiles] * fraction[tiles][wide]
        weight[cells] += fraction[tiles]
    with np.errstate(invalid="ignore"):
        return total / weight[wide]


def to_pfts(values, domain) -> np.ndarray:
    """Values of each plant type of each cell.

    Parameters
    ----------
    values : array (record, tile) or (record, tile, layer), any unit
    domain : Domain with ``tile_cell``, ``tile_pft``, ``tile_fraction``, ``n_cell``

    Returns
    -------
    array (record, cell, type[, layer]) of the same unit, float64; NaN where a cell has no area of the type
    """
    return to_groups(values, domain, domain.tile_pft, len(loader.pft_names()))


def to_groups(values, domain, group, n_group) -> np.ndarray:
    """Means over the area of the tiles of each group in each cell.

    Parameters
    ----------
    values : array (record, tile) or (record, tile, layer), any unit
    domain : Domain with ``tile_cell``, ``tile_fraction``, ``n_cell``
    group : array (tile,), number of the group of each tile, from 0
    n_group : number of groups

    Returns
    -------
    array (record, cell, group[, layer]) of the same unit, float64; NaN where a cell has no area of the group. The bits
    of a cell depend on its own tiles alone.
    """
    values = np.asarray(values, dtype=float)
    place, size = np.asarray(domain.tile_cell, dtype=np.int64) * n_group + np.asarray(group), domain.n_cell * n_group
    out = np.full((values.shape[0], size, *values.shape[2:]), np.nan)
    area = np.asarray(domain.tile_fraction, dtype=float)
    alone = np.bincount(place, minlength=size)[place] == 1
    one, many = np.flatnonzero(alone & (area > 0.0)), np.flatnonzero(~alone)
    out[:, place[one]] = values[:, one]  # as it is
    if len(many):  # several classes of land or plant types: in the order of tiles
        wide = (slice(None),) + (None,) * (values.ndim - 2)
        total, sums = np.bincount(place[many], area[many], size), np.zeros(out.shape)
        np.add.at(sums, (slice(None), place[many]), values[:, many] * area[many][wide])
        there = total > 0.0
        out[:, there] = sums[:, there] / total[there][wide]
    return out.reshape(values.shape[0], domain.n_cell, n_group, *values.shape[2:])


def shares(domain, group, n_group) -> np.ndarray:
    """Shares of the land of each cell that groups of tiles have (see `to_groups`), (cell, group); 0 where none is."""
    place = np.asarray(domain.tile_cell, dtype=np.int64) * n_group + np.asarray(group)
    area = np.asarray(domain.tile_fraction, dtype=float)
    return np.bincount(place, area, domain.n_cell * n_group).reshape(domain.n_cell, n_group)


def groups(per, domain, classes=()) -> tuple[np.ndarray, int]:
    """Group of each tile and their number in streams ``per`` "pft" or "class"; classes: those of `class_list`."""
    if per == "pft":
        return np.asarray(domain.tile_pft), len(loader.pft_names())
    of_class = np.array([TILE_OF_KIND[one.kind] for one in classes])
    return of_class[np.asarray(domain.tile_class)], len(LAND_USE_TILES)


# --- names, units, rounding


_SHARE_OF = {
    "pft_share": "share of the cell's land without ice and open water that the plant type covers in the record",
    "class_share": "share of the cell's land without ice and open water that the land-use tile covers in the record",
}


def _entry(name):
    if name in _SHARE_OF:
        return loader.Entry(name, "tile", "1", _SHARE_OF[name])
    for kind in ("diagnostic", "state", "forcing", "cell", "tile"):
        if name in loader.variables(kind):
            return loader.variables(kind)[name]
    return None


def integral(name: str) -> tuple[str, bool]:
    """Unit of a variable summed over time, and whether each step counts times its seconds.

    Rates and levels are integrated over time: kg m-2 s-1 gives kg m-2, W m-2 gives J m-2, 1 gives s. What the table
    gives as an amount in the step (the residuals of budgets in kg m-2) is added up as it is.

    Examples
    --------
    >>> integral("gpp")
    ('kg m-2', True)
    """
    entry = _entry(name)
    units = entry.units.replace("m2 m-2", "1")
    words = units.split()
    if entry.role == "residual" and units == "kg m-2":
        return units, False
    if "s-1" in words:
        words.remove("s-1")
        return " ".join(words) or "1", True
    if words[0] == "W":
        return " ".join(["J", *words[1:]]), True
    return ("s" if units == "1" else f"{units} s"), True


def variable_attributes(name: str, stream: Stream) -> tuple[str, dict]:
    """Name in the file and CF attributes of a variable of a stream."""
    if name in _SHARE_OF:
        found = {"long_name": _SHARE_OF[name], "units": "1"}
        return name, found | {"cell_methods": "area: mean where land time: mean"}
    out_name, found = attributes(name)
    if name == "tile_share":  # land use changes it between records only
        return out_name, found | {"cell_methods": "area: point time: mean"}
    if stream.statistic == "sum":  # another quantity: the standard name is that of the rate
        unit, rate = integral(name)
        found["units"] = unit
        found["long_name"] = f"{'time integral' if rate else 'sum'} of {found['long_name']}"
        found.pop("units_metadata", None)
        if unit != _entry(name).units:
            found.pop("standard_name", None)
    area = {
        "cell": "mean where land",
        "pft": "mean (over the part of the cell that the plant type covers)",
        "class": "mean (over the part of the cell that the land-use tile covers)",
        "tile": "mean (over the tile)",
    }
    time = "point" if stream.statistic == "last" else stream.statistic
    methods = [f"area: {area[stream.per]}", f"time: {time}"]
    if time in ("minimum", "maximum"):  # taken on each tile, before the mean over tiles; the order is that of the work
        methods.reverse()
    found["cell_methods"] = " ".join(methods)
    if stream.digits is not None:
        found["comment"] = f"rounded to {stream.digits} significant digits ({_bits(stream.digits)} bits kept, BitRound)"
    return out_name, found


def _bits(digits):
    """Bits of the mantissa to keep so that the rounding errs by less than half a unit of the last of the digits."""
    return min(23, math.ceil(digits * math.log2(10.0)))


def round_digits(values, digits: int | None) -> np.ndarray:
    """Float32 values whose bits beyond the given significant decimal digits are zero, so that they compress well.

    Parameters
    ----------
    values : array of float32 (others are converted)
    digits : 1 to 7, or None (nothing is rounded)

    Returns
    -------
    array of float32; the relative error is below 0.5 * 10**-digits, halves go to the even neighbour

    Notes
    -----
    BitRound of Kloewer et al. 2021, doi:10.1038/s43588-021-00156-2.
    """
    values = np.array(values, dtype=np.float32, order="C")
    drop = 0 if digits is None else 23 - _bits(digits)
    if drop <= 0:
        return values
    bits = values.view(np.uint32)
    half = np.uint32((1 << (drop - 1)) - 1)
    even = (bits >> np.uint32(drop)) & np.uint32(1)
    rounded = (bits + half + even) & np.uint32(0xFFFFFFFF ^ ((1 << drop) - 1))
    return np.where(np.isfinite(values), rounded, bits).view(np.float32)


def _layer_dimension(entry):
    """Name in the file of the layer dimension of a variable."""
    from concerto.simulation.restart import dimension

    return {"soil": "depth", "root": "depth_root", "carbon_layer": "depth_root"}.get(
        entry.layers, dimension(entry.layers)
    )


class _Fixed(NamedTuple):
    """A variable that the run does not change: values, dimensions, attributes."""

    values: np.ndarray
    dims: tuple
    attributes: dict


def _bounds(bounds):
    """Bounds (axis, 2), from those or from the limits (axis + 1,)."""
    bounds = np.asarray(bounds, dtype=float)
    return np.stack([bounds[:-1], bounds[1:]], axis=1) if bounds.ndim == 1 else bounds


def _tiles_of(domain):
    """Limits of the cells in the list of tiles (cell + 1,)."""
    return np.searchsorted(np.asarray(domain.tile_cell), np.arange(domain.n_cell + 1))


def _fixed_variables(stream, domain, grid, scheme):
    """Coordinates, bounds, cell areas and fractions of the files of a stream: name -> _Fixed."""
    latlon = domain.kind == "latlon" and domain.lat is not None
    degrees_north = {"units": "degrees_north", "standard_name": "latitude", "long_name": "latitude"}
    degrees_east = {"units": "degrees_east", "standard_name": "longitude", "long_name": "longitude"}
    out = {}
    if latlon and stream.per != "tile":
        for name, values, bounds, axis, words in (
            ("lat", domain.lat, domain.lat_bounds, "Y", degrees_north),
            ("lon", domain.lon, domain.lon_bounds, "X", degrees_east),
        ):
            more = {"axis": axis, "bounds": f"{name}_bnds"}
            out[name] = _Fixed(np.asarray(values, dtype=float), (name,), words | more)
            edges = np.sort(_bounds(bounds), axis=1)  # CF: in the direction of the axis
            edges = edges[:, ::-1] if len(values) > 1 and values[1] < values[0] else edges
            out[f"{name}_bnds"] = _Fixed(edges, (name, "bnds"), {})
    rows = "tile" if stream.per == "tile" else "cell"
    at = np.asarray(domain.tile_cell) if rows == "tile" else slice(None)
    if not grid:
        if rows == "cell":
            number = np.asarray(domain.index) if latlon else np.arange(domain.n_cell)
            words = {"long_name": "cell", "units": "1"}
            if latlon:
                words = {"long_name": "position of the cell on the flattened grid", "compress": "lat lon"}
            out["cell"] = _Fixed(number.astype(np.int32), ("cell",), words)
        for name, values, words in (
            ("latitude", domain.latitude, degrees_north),
            ("longitude", domain.longitude, degrees_east),
        ):
            out[name] = _Fixed(np.asarray(values, dtype=float)[at], (rows,), words)
    names = loader.pft_names()
    fraction = np.asarray(domain.tile_fraction, dtype=float)
    share = "share of the cell's land without ice and open water"
    land_class = getattr(domain, "tile_class", None)
    then = "" if land_class is None else " at the start of the run"  # then land use changes it
    if rows == "tile":
        flags = {"flag_values": np.arange(len(names), dtype=np.int32), "flag_meanings": " ".join(names)}
        out["cell"] = _Fixed(at.astype(np.int32), ("tile",), {"long_name": "number of the cell, from 0", "units": "1"})
        out["pft"] = _Fixed(
            np.asarray(domain.tile_pft, dtype=np.int32), ("tile",), {"long_name": "plant functional type"} | flags
        )
        words = {"long_name": f"{share} that the tile covers{then}", "units": "1"}
        out["fraction"] = _Fixed(fraction, ("tile",), words)
        if land_class is not None:
            words = {"long_name": "class of land: primary 0, secondary from 1 by age, pasture, rangeland, crop, urban"}
            out["land_class"] = _Fixed(np.asarray(land_class, dtype=np.int32), ("tile",), words | {"units": "1"})
        area = np.asarray(domain.area)[at] * np.asarray(domain.land_fraction)[at] * fraction
        words = {"long_name": f"area of the tile{then}", "units": "m2"}
        out["tile_area"] = _Fixed(area, ("tile",), words)
    else:
        area, land = np.asarray(domain.area, dtype=float), 100.0 * np.asarray(domain.land_fraction, dtype=float)
        where = ("cell",)
        if grid:
            where = ("lat", "lon")
            lat, lon = np.radians(_bounds(domain.lat_bounds)), np.radians(_bounds(domain.lon_bounds))
            whole = RADIUS**2 * np.outer(np.abs(np.diff(np.sin(lat), axis=1)), np.abs(np.diff(lon, axis=1)))
            area, land = _on_grid(area, domain, whole), _on_grid(land, domain, 0.0)
        names_of_places = getattr(domain, "facts", {}).get("name")
        if not grid and names_of_places is not None:
            out["name"] = _Fixed(np.array(names_of_places, dtype=object), where, {"long_name": "name of the place"})
        words = {"standard_name": "cell_area", "long_name": "area of the whole grid cell", "units": "m2"}
        out["areacella"] = _Fixed(area, where, words | {"cell_methods": "area: sum"})
        words = {"standard_name": "land_area_fraction", "units": "%", "cell_methods": "area: mean"}
        words["long_name"] = "percentage of the grid cell that the tiles stand for: land without ice and open water"
        out["sftlf"] = _Fixed(land, where, words)
    if stream.per == "pft":
        words = {"long_name": "number of the plant functional type", "units": "1"}
        out["pft"] = _Fixed(np.arange(len(names), dtype=np.int32), ("pft",), words)
        words = {"long_name": "name of the plant functional type"}
        out["pft_name"] = _Fixed(np.array(names, dtype=object), ("pft",), words)
        of_types = shares(domain, domain.tile_pft, len(names)).T
        of_types = _on_grid(of_types, domain, 0.0) if grid else of_types
        words = {"long_name": f"{share} that the plant type covers{then}", "units": "1"}
        out["pft_fraction"] = _Fixed(of_types, ("pft", "lat", "lon") if grid else ("pft", "cell"), words)
    if stream.per == "class":
        number = np.arange(len(LAND_USE_TILES), dtype=np.int32)
        flags = {"flag_values": number, "flag_meanings": " ".join(LAND_USE_TILES)}
        out["landuse"] = _Fixed(number, ("landuse",), {"long_name": "land-use tile of LUMIP"} | flags)
        words = {"standard_name": "area_type", "long_name": "land-use tile: pastures are managed pasture and rangeland"}
        out["landuse_name"] = _Fixed(np.array(list(LAND_USE_TILES.values()), dtype=object), ("landuse",), words)
    for name in stream.variables:
        entry = _entry(name)
        if entry.layers:
            out |= _layer_coordinates(entry, scheme)
    return out


def _layer_coordinates(entry, scheme):
    from concerto.simulation.restart import layer_labels

    name = _layer_dimension(entry)
    if name.startswith("depth"):
        edges = soil_interfaces()[: entry.n_layer + 1]
        words = {"standard_name": "depth", "long_name": "middle of the soil layer", "units": "m"}
        words |= {"positive": "down", "axis": "Z", "bounds": f"{name}_bnds"}
        return {
            name: _Fixed(0.5 * (edges[1:] + edges[:-1]), (name,), words),
            f"{name}_bnds": _Fixed(_bounds(edges), (name, "bnds"), {}),
        }
    scheme = scheme or loader.options()["soil_carbon"].default
    labels = [str(word).replace(" ", "_") for word in layer_labels(entry.layers, scheme)]
    number = np.arange(1, entry.n_layer + 1, dtype=np.int32)
    words = {"long_name": f"layer or pool: {entry.layers}"}
    if labels != [str(k) for k in number]:
        words |= {"flag_values": number, "flag_meanings": " ".join(labels)}
    return {name: _Fixed(number, (name,), words)}


def _on_grid(values, domain, outside):
    """Values (..., cell) on the grid (..., lat, lon), ``outside`` where there is no cell."""
    shape = (*values.shape[:-1], len(domain.lat), len(domain.lon))
    full = np.empty(shape, dtype=values.dtype)
    full[...] = outside
    full.reshape(*values.shape[:-1], -1)[..., np.asarray(domain.index)] = values
    return full


def _time_variables(stream, start, end, first):
    """Values of time and time_bnds, and the attributes of time."""
    calendar = "standard" if first >= REFORM else "proleptic_gregorian"
    origin = str(TIME_ORIGIN).replace("T", " ")
    if stream.frequency == "step":
        unit, length = "seconds", 1.0
    else:
        unit, length = "days", 86400.0
    bounds = np.stack([(time - TIME_ORIGIN).astype(np.int64) for time in (start, end)], axis=1) / length
    last = stream.statistic == "last"
    words = {
        "standard_name": "time",
        "long_name": f"{'end' if last else 'middle'} of the interval, UTC",
        "units": f"{unit} since {origin}",
        "calendar": calendar,
        "axis": "T",
        "bounds": "time_bnds",
        "units_metadata": "leap_seconds: none",
    }
    return (bounds[:, 1] if last else 0.5 * (bounds[:, 0] + bounds[:, 1])), bounds, words


# --- writing


class StreamWriter:
    """Writes the finished records of a stream; every rank has one and calls :meth:`write` at the same time.

    Parameters
    ----------
    folder : of the output; made if need be
    stream : Stream
    domain : Domain of the whole run, on every rank
    limits : array (rank + 1,), first cells of the ranks; None: all on one
    parallel : object with ``rank``, ``size``, ``gather``, ``bcast``, ``send``, ``recv``; None: serial
    attributes : dict, global attributes (title, history, configuration ...); dicts and lists are written as JSON
    step_seconds : s, length of a model step
    format : "netcdf" (a file for each label) or "zarr" (one store; needs ``pip install concerto[zarr]``)
    start, end : datetime64, limits of the phase: the time axis of a Zarr store
    shard : rows (cells; tiles: times the mean number of tiles of a cell) of a shard of a Zarr store
    scheme : option soil_carbon of the run, for the names of the pools

    Raises
    ------
    ConcertoError
        On every rank: if the folder cannot be written, zarr is missing, or a store of that name does not fit.

    Examples
    --------
    >>> writer = StreamWriter("out", stream, domain, start="1990-01-01", end="1991-01-01")  # doctest: +SKIP
    >>> writer.write("1990", start, end, {"gpp": gpp})  # doctest: +SKIP
    """

    def __init__(
        self, folder, stream, domain, limits=None, parallel=None, attributes=None, step_seconds=1800.0,
        format="netcdf", start=None, end=None, shard=SHARD, scheme=None,
    ):  # fmt: skip
        from concerto.simulation.parallel import Parallel

        self.folder, self.stream, self.domain = Path(folder), stream, domain
        self.parallel = Parallel() if parallel is None else parallel
        self.format, self.step_seconds = format, step_seconds
        limits = np.asarray([0, domain.n_cell] if limits is None else limits, dtype=np.int64)
        if limits.shape != (self.parallel.size + 1,) or limits[0] != 0 or limits[-1] != domain.n_cell:
            raise ValueError("limits must hold the first cell of each rank and the number of cells")
        self.rows = _tiles_of(domain)[limits] if stream.per == "tile" else limits  # first rows of the ranks
        if start is None or end is None:
            if format == "zarr":
                raise ValueError("a Zarr store needs the start and the end of the phase")
        else:
            start, end = (np.datetime64(time).astype("datetime64[s]") for time in (start, end))
        self.start, self.end = start, end
        self.attributes = {"Conventions": "CF-1.11"}
        self.attributes["frequency"] = CMIP_FREQUENCIES.get(stream.frequency, f"{step_seconds:g} s")
        for key, value in (attributes or {}).items():
            if value is not None:
                plain = isinstance(value, str | int | float | np.number)
                self.attributes[key] = value if plain else json.dumps(value, default=str)
        self._grid = format == "netcdf" and stream.per != "tile" and domain.kind == "latlon" and domain.lat is not None
        self._fixed = _fixed_variables(stream, domain, self._grid, scheme) if self.first else {}
        if format == "netcdf":
            self._agree(self._catch(self.folder, self._make_folder))
        elif format == "zarr":
            self._rows_of_shard(shard)
            self._agree(self._catch(self.store, self._open_store))
            self._arrays = None
            self._agree(self._catch(self.store, self._open_arrays))
            self._check_shards()
        else:
            raise ConcertoError(f"the output format '{format}' is not known", hint="netcdf or zarr")

    # what both formats share

    @property
    def first(self) -> bool:
        """Whether this rank makes files and stores."""
        return self.parallel.rank == 0

    @property
    def store(self) -> Path:
        """The Zarr store of the stream."""
        return self.folder / f"{self.stream.name}.zarr"

    def file(self, label: str) -> Path:
        """The NetCDF file of a label."""
        return self.folder / f"{self.stream.name}_{label}.nc"

    def write(self, label, start, end, values) -> Path:
        """Write the records of one label; collective.

        Parameters
        ----------
        label : what ``stream.file_of`` says of the records
        start, end : arrays (record,) datetime64, limits of the records, UTC
        values : dict name -> array (record, own cells | own tiles | own cells, type or land-use tile [, layer]) of this
            rank, units of the table (sums: those of :func:`integral`); NaN is missing

        Returns
        -------
        Path of the file or store

        Raises
        ------
        ConcertoError
            On every rank: if it could not be written. A NetCDF file of that name is then as it was before.
        """
        start, end = (np.asarray(time).astype("datetime64[s]") for time in (start, end))
        wrong = [time for time in start if self.stream.file_of(time) != label]
        if wrong or start.shape != end.shape or not start.size or not (end > start).all():
            raise ValueError(f"these are not the records of {label}")
        self._agree(self._check_values(len(start), values))
        if self.format == "zarr":
            return self._write_store(start, end, values)
        return self._write_file(label, start, end, values)

    def _check_values(self, records, values):
        rank = self.parallel.rank
        rows = int(self.rows[rank + 1] - self.rows[rank])
        for name in self.stream.variables:
            entry = _entry(name)
            shape = (records, rows)
            shape += {"pft": (len(loader.pft_names()),), "class": (len(LAND_USE_TILES),)}.get(self.stream.per, ())
            shape += (entry.n_layer,) if entry.layers else ()
            found = np.shape(values[name]) if name in values else None
            if found != shape:
                words = "is missing" if found is None else f"has the shape {found}, not {shape}"
                return ConcertoError(
                    f"output stream {self.stream.name}: {name} {words} (rank {rank})",
                    hint="this is a fault of concerto, please report it",
                )
        return None

    def _own(self, name, values):
        """Values of this rank as they are written: float32 (record[, type][, layer], row), NaN is missing."""
        with np.errstate(over="ignore"):
            turned = np.moveaxis(np.asarray(values[name]), 1, -1).astype(np.float32)
        return round_digits(turned, None if name in SHARES.values() else self.stream.digits)

    def _dims(self, name):
        """Dimensions of a variable in the file."""
        entry = _entry(name)
        dims = ("time", *{"pft": ("pft",), "class": ("landuse",)}.get(self.stream.per, ()))
        dims += (_layer_dimension(entry),) if entry.layers else ()
        return dims + (("lat", "lon") if self._grid else ("tile",) if self.stream.per == "tile" else ("cell",))

    def _words(self, name):
        """Name in the file and attributes of a variable, with those that tie it to its coordinates."""
        out_name, words = variable_attributes(name, self.stream)
        per, share = self.stream.per, SHARES.get(self.stream.per)
        changes = share in self.stream.variables  # then fractions and areas of the start are not those of the record
        if not (per == "tile" and changes):
            words["cell_measures"] = f"area: {'tile_area' if per == 'tile' else 'areacella'}"
        coordinates = [] if self._grid else ["latitude", "longitude"]
        coordinates += {"pft": ["pft_name"], "class": ["landuse_name"], "tile": ["cell", "pft"], "cell": []}[per]
        if changes:
            coordinates += ["land_class"] * (per == "tile") + [share] * (name != share)
        elif per == "tile":
            coordinates.append("fraction")
        if coordinates:
            words["coordinates"] = " ".join(coordinates)
        return out_name, words

    def _catch(self, path, function):
        """Call a function; its error as a ConcertoError instead of a raise, for `_agree`."""
        try:
            function()
        except ConcertoError as error:
            return error
        except (OSError, RuntimeError) as error:  # netCDF4 reports a full disk as RuntimeError
            words = getattr(error, "strerror", None) or str(error) or type(error).__name__
            return ConcertoError(f"{path} could not be written: {words}", hint=ADVICE)
        return None

    def _agree(self, error):
        """Raise the first error of any rank on all."""
        found = self.parallel.gather(error)
        if self.first:
            error = next((one for one in found if one is not None), None)
        error = self.parallel.bcast(error)
        if error is not None:
            raise ConcertoError(error.message, hint=error.hint)

    def _make_folder(self):
        if not self.first:
            return
        if self.folder.exists() and not self.folder.is_dir():
            raise ConcertoError(f"{self.folder} is a file, not a folder", hint="name another output folder")
        self.folder.mkdir(parents=True, exist_ok=True)
        if not os.access(self.folder, os.W_OK):
            raise ConcertoError(f"{self.folder} cannot be written: no permission", hint="name another output folder")

    # NetCDF

    def _write_file(self, label, start, end, values):
        path = self.file(label)
        part = path.with_name(path.name + ".part")
        data, error = None, None
        try:
            if self.first:
                box = []
                error = self._catch(path, lambda: box.append(self._begin(part, start, end)))
                data = box[0] if box else None
            for name in self.stream.variables:  # one at a time: the memory of rank 0 holds one variable of all
                whole = self.parallel.gather(self._own(name, values))
                if data is not None and error is None:
                    error = self._catch(path, lambda name=name, whole=whole: self._put(data, name, whole))
            if data is not None:
                closing, data = data, None
                closed = self._catch(path, closing.close)
                error = error or closed
            if self.first and error is None:
                error = self._catch(path, lambda: publish(part, path))
        finally:
            if data is not None:  # interrupted
                data.close()
            if self.first:
                part.unlink(missing_ok=True)
        self._agree(error)
        return path

    def _begin(self, part, start, end):
        """A new file with all but the values of the variables."""
        import netCDF4

        data = netCDF4.Dataset(str(part), "w", format="NETCDF4")
        try:
            data.set_fill_off()
            data.setncatts(self.attributes)
            data.createDimension("time", None)
            data.createDimension("bnds", 2)
            time, bounds, words = _time_variables(
                self.stream, start, end, start[0] if self.start is None else self.start
            )
            variables = {"time": _Fixed(time, ("time",), words), "time_bnds": _Fixed(bounds, ("time", "bnds"), {})}
            for name, fixed in (variables | self._fixed).items():
                for dim, size in zip(fixed.dims, fixed.values.shape, strict=True):
                    if dim not in data.dimensions:
                        data.createDimension(dim, size)
                text = fixed.values.dtype == object
                kind = str if text else fixed.values.dtype
                chunks = {"chunksizes": fixed.values.shape} if fixed.dims[0] == "time" else {}
                variable = data.createVariable(name, kind, fixed.dims, fill_value=None if text else False, **chunks)
                variable.setncatts(fixed.attributes)
                variable[...] = fixed.values
        except BaseException:
            data.close()
            raise
        return data

    def _put(self, data, name, parts):
        out_name, words = self._words(name)
        dims = self._dims(name)
        values = parts[0] if len(parts) == 1 else np.concatenate(parts, axis=-1)
        if self._grid:
            values = _on_grid(values, self.domain, FILL)
        values[np.isnan(values)] = FILL
        space = values.shape[1:]
        records = max(1, min(len(values), (1 << 18) // max(1, math.prod(space))))  # chunks of about 1 MB
        variable = data.createVariable(
            out_name, "f4", dims, fill_value=np.float32(FILL), chunksizes=(records, *space),
            zlib=True, complevel=1, shuffle=True,
        )  # fmt: skip
        variable.setncatts(words | {"missing_value": np.float32(FILL)})
        variable.set_auto_maskandscale(False)
        variable[...] = values

    # Zarr

    def _rows_of_shard(self, cells):
        """Rows of a shard and of its inner chunks, from the domain alone."""
        rows = cells
        if self.stream.per == "tile":
            rows *= max(1, round(int(_tiles_of(self.domain)[-1]) / self.domain.n_cell))
        self._chunk = max(1, -(-min(rows, int(self.rows[-1])) // 4))
        self._shard = 4 * self._chunk

    def _owners(self):
        """The rank that writes each shard: the one that has its first row."""
        firsts = np.arange(0, int(self.rows[-1]), self._shard)
        return np.searchsorted(self.rows, firsts, side="right") - 1

    def _check_shards(self):
        """Two ranks that write one shard would lose data without a word: see that each has exactly one writer."""
        mine = [int(s) for s in np.flatnonzero(self._owners() == self.parallel.rank)]
        lists = self.parallel.gather((mine, self._shard, self._chunk))
        error = None
        if self.first:
            written = sorted(s for shards, _, _ in lists for s in shards)
            same = len({(shard, chunk) for _, shard, chunk in lists}) == 1
            if not same or written != list(range(-(-int(self.rows[-1]) // self._shard))):
                error = ConcertoError(
                    f"{self.store}: a shard has no writer, or two", hint="this is a fault of concerto, please report it"
                )
        self._agree(error)

    def _template(self):
        """Arrays of the store: name -> (values or None, shape, dims, type, chunks, shards, attributes)."""
        start, end = self.stream.intervals(self.start, self.end, self.step_seconds)
        time, bounds, words = _time_variables(self.stream, start, end, self.start)
        fixed = {
            "time": _Fixed(time, ("time",), words),
            "time_bnds": _Fixed(bounds, ("time", "bnds"), {}),
        } | self._fixed
        out = {}
        for name, one in fixed.items():
            out[name] = (
                one.values,
                one.values.shape,
                one.dims,
                one.values.dtype,
                one.values.shape,
                None,
                one.attributes,
            )
        records = self._records_of_file()
        for name in self.stream.variables:
            out_name, words = self._words(name)
            dims = self._dims(name)
            inner = tuple(len(fixed[dim].values) for dim in dims[1:-1])
            out[out_name] = (
                None, (len(time), *inner, int(self.rows[-1])), dims, np.dtype("f4"), (records, *inner, self._chunk),
                (records, *inner, self._shard), words,
            )  # fmt: skip
        return out

    def _records_of_file(self):
        """Records of the longest label."""
        days = {"step": 31 * int(round(86400 / self.step_seconds)), "day": 366, "month": 12, "year": 1}
        return days[self.stream.frequency]  # also of a store that is shorter as yet

    def _open_store(self):
        """Rank 0: the store is there with its whole time axis, or is made."""
        if not self.first:
            return
        zarr = _zarr()
        self._make_folder()
        template = self._template()
        if self.store.exists():
            self._grow(zarr, template)
            self._check_store(zarr, template)
            return
        part = self.store.with_name(self.store.name + ".part")
        try:
            if part.exists():
                shutil.rmtree(part)
            group = zarr.create_group(part, zarr_format=3, attributes=_json(self.attributes))
            for name in template:
                self._create_array(zarr, group, name, template[name])
            os.replace(part, self.store)
        except BaseException:
            shutil.rmtree(part, ignore_errors=True)
            raise

    @staticmethod
    def _create_array(zarr, group, name, found, overwrite=False):
        values, shape, dims, kind, chunks, shards, words = found
        text = kind.kind == "O"
        squeeze = zarr.codecs.BloscCodec(cname="zstd", clevel=1, shuffle="shuffle", typesize=4)
        array = group.create_array(
            name, shape=shape, dtype=str if text else kind, chunks=tuple(max(1, n) for n in chunks),
            shards=shards, dimension_names=dims, attributes=_json(words),
            compressors=None if values is not None else squeeze,
            fill_value="" if text else np.nan if values is None else 0, overwrite=overwrite,
        )  # fmt: skip
        if values is not None:
            array[...] = values

    def _grow(self, zarr, template):
        """Make room for the records of years that a run was given later; the time axis grows last."""
        try:
            group = zarr.open_group(self.store, mode="r+", zarr_format=3, use_consolidated=False)
            there = group["time"][...]
        except Exception:  # what is wrong is found by `_check_store`
            return
        new = template["time"][0]
        if len(there) >= len(new) or not np.array_equal(there, new[: len(there)]) or set(group) != set(template):
            return
        for name, found in template.items():
            if found[0] is None and group[name].shape[1:] == found[1][1:]:
                group[name].resize(found[1])
        for name in ("time_bnds", "time"):
            self._create_array(zarr, group, name, template[name], overwrite=True)

    def _check_store(self, zarr, template):
        """Refuse a store that was made for other records, cells or variables."""
        try:
            group = zarr.open_group(self.store, mode="r", zarr_format=3, use_consolidated=False)
            there = dict(group.arrays())
        except Exception:  # zarr has many of its own for a damaged store
            raise ConcertoError(
                f"{self.store} is not a Zarr store that can be read", hint="remove it, or name another output folder"
            ) from None
        wrong = sorted(set(there) ^ set(template))
        for name, (values, shape, dims, kind, chunks, shards, words) in template.items():
            if name in wrong:
                continue
            array = there[name]
            fits = array.shape == shape and tuple(array.metadata.dimension_names) == dims
            fits = fits and (kind.kind == "O" or array.dtype == kind) and dict(array.attrs) == _json(words)
            if values is None:
                fits = fits and (array.chunks, array.shards) == (chunks, shards)
            else:
                fits = fits and np.array_equal(array[...], values)
            if not fits:
                wrong.append(name)
        if wrong:
            raise ConcertoError(
                f"{self.store} was made by another run: {', '.join(wrong[:3])}{' ...' if len(wrong) > 3 else ''} "
                f"differ{'s' if len(wrong) == 1 else ''}",
                hint="remove it, or name another output folder",
            )

    def _open_arrays(self):
        group = _zarr().open_group(self.store, mode="r+", zarr_format=3, use_consolidated=False)
        self._arrays = {name: group[variable_attributes(name, self.stream)[0]] for name in self.stream.variables}
        self._time_limits = self.stream.intervals(self.start, self.end, self.step_seconds)

    def _write_store(self, start, end, values):
        at = int(np.searchsorted(self._time_limits[0], start[0]))
        records = slice(at, at + len(start))
        fits = (np.array_equal(found[records], own) for found, own in zip(self._time_limits, (start, end), strict=True))
        if not all(fits):
            raise ValueError(f"{self.store} has no such records")
        rank, owners, total = self.parallel.rank, self._owners(), int(self.rows[-1])
        own_first, own_end = int(self.rows[rank]), int(self.rows[rank + 1])
        mine = np.flatnonzero(owners == rank)
        error = None
        for name in self.stream.variables:
            own = self._own(name, values)
            head = own_first // self._shard  # only the shard of the first row can be another rank's, one before
            if own_end > own_first and owners[head] != rank:
                stop = min(own_end, (head + 1) * self._shard)
                self.parallel.send(own[..., : stop - own_first].copy(), int(owners[head]), TAG)
            if not len(mine):
                continue
            parts, last = [own[..., mine[0] * self._shard - own_first :]], min(total, (mine[-1] + 1) * self._shard)
            for other in range(rank + 1, self.parallel.size):  # the rest of the last shard
                if self.rows[other] < last and self.rows[other + 1] > self.rows[other]:
                    parts.append(self.parallel.recv(other, TAG))
            block = np.concatenate(parts, axis=-1)
            begin = int(mine[0]) * self._shard
            assert begin + block.shape[-1] == last, "rows of a shard are missing"
            if error is None:
                array = self._arrays[name]

                def store(array=array, block=block, begin=begin, last=last):
                    array[(records, ..., slice(begin, last))] = block
                    self._sync(array, records, mine)

                error = self._catch(self.store, store)
        self._agree(error)
        return self.store

    def _sync(self, array, records, shards):
        """See the files of an array's shards onto the disk, as a checkpoint that follows takes for granted."""
        inner = ["0"] * (array.ndim - 2)
        for part in range(records.start // array.shards[0], (records.stop - 1) // array.shards[0] + 1):
            for shard in shards:
                path = self.store.joinpath(array.basename, "c", str(part), *inner, str(shard))
                if path.exists():  # one that holds no value at all is not kept
                    with open(path, "rb+") as file:
                        os.fsync(file.fileno())


def _zarr():
    try:
        import zarr
        import zarr.codecs
    except ImportError:
        raise ConcertoError("output as Zarr needs the package zarr", hint="pip install concerto[zarr]") from None
    return zarr


def _json(words):
    """Attributes as JSON holds them."""
    return {key: value.tolist() if hasattr(value, "tolist") else value for key, value in words.items()}


# --- reading


def open_run(folder, stream):
    """All records of a stream as one dataset, in the order of time.

    Parameters
    ----------
    folder : output folder of a run
    stream : name of the stream (or the Stream)

    Returns
    -------
    xarray.Dataset; fixed variables (bounds, areas, fractions) are coordinates. Dimensions are (time, lat, lon) or
    (time, cell) in NetCDF, (time, cell) in Zarr (:func:`unstack` puts cells on the grid), between them pft or landuse
    and layers.

    Raises
    ------
    ConcertoError
        If there is no such stream, or a file is damaged.

    Examples
    --------
    >>> ds = open_run("out", "monthly")  # doctest: +SKIP
    >>> ds.gpp.weighted(ds.areacella * ds.sftlf).mean(("lat", "lon")).plot()  # doctest: +SKIP
    """
    import xarray as xr

    folder, name = Path(folder), getattr(stream, "name", stream)
    settings = {"decode_times": xr.coders.CFDatetimeCoder(time_unit="s")}
    pattern = re.compile(rf"{re.escape(name)}_(-?\d{{4,}})(-\d\d)?\.nc")
    found = [(pattern.fullmatch(path.name), path) for path in folder.glob(f"{name}_*.nc")]
    files = [path for _, _, path in sorted((int(m[1]), m[2] or "", path) for m, path in found if m)]
    store = folder / f"{name}.zarr"
    if store.is_dir():
        _zarr()
        paths, settings = [store], settings | {"engine": "zarr", "consolidated": False, "chunks": None}
    elif files:
        paths, settings = files, settings | {"engine": "netcdf4"}
    else:
        there = {re.sub(r"(_-?\d{4,}(-\d\d)?\.nc|\.zarr)$", "", path.name) for path in folder.glob("*")
                 if path.suffix in (".nc", ".zarr")}  # fmt: skip
        words = f"there are {', '.join(sorted(there))}" if there else "the folder has no output, or does not exist"
        raise ConcertoError(f"{folder} has no output of a stream {name}", hint=words)
    parts = []
    for path in paths:
        try:
            one = xr.open_dataset(path, **settings)
        except (OSError, ValueError, RuntimeError):
            raise ConcertoError(f"{path} is damaged or cannot be read", hint="run that period again") from None
        parts.append(one.set_coords([v for v in one.data_vars if "time" not in one[v].dims or v == "time_bnds"]))
    if len(parts) == 1:
        return parts[0]
    try:
        whole = xr.concat(
            parts, dim="time", data_vars="minimal", coords="minimal", compat="override", join="override",
            combine_attrs="override",
        )  # fmt: skip
        return whole
    except ValueError:
        raise ConcertoError(
            f"the files of {name} in {folder} do not fit together", hint="they are of different runs: part them"
        ) from None
    finally:
        for one in parts:
            one.close()


def unstack(dataset):
    """Put the cells of a Zarr store on their grid.

    Parameters
    ----------
    dataset : xarray.Dataset with the dimension cell and the coordinates cell (its position), lat and lon

    Returns
    -------
    xarray.Dataset with (..., lat, lon) in place of (..., cell), NaN where there is no cell

    Raises
    ------
    ConcertoError
        If the dataset has no grid (points).
    """
    if "compress" not in getattr(dataset.get("cell"), "attrs", {}) or "lat" not in dataset or "lon" not in dataset:
        raise ConcertoError("the cells of this dataset have no grid", hint="points stay a list of points")
    import xarray as xr

    index, shape = dataset["cell"].values, (dataset.sizes["lat"], dataset.sizes["lon"])
    variables = {}
    for name, one in dataset.variables.items():
        if name in ("cell", "latitude", "longitude"):
            continue
        if "cell" in one.dims:
            values = one.transpose(..., "cell").values
            full = np.full((*values.shape[:-1], shape[0] * shape[1]), np.nan, dtype=values.dtype)
            full[..., index] = values
            dims = (*(dim for dim in one.dims if dim != "cell"), "lat", "lon")
            one = xr.Variable(dims, full.reshape(*values.shape[:-1], *shape), one.attrs)
        variables[name] = one
    coordinates = {name: variables.pop(name) for name in list(variables) if name in dataset.coords}
    return xr.Dataset(variables, coordinates, dataset.attrs)


# --- global totals


class Totals:
    """A table of global totals, ``totals.csv``: a header with units and a line for each record.

    The file is written anew and atomically at every record, from rows that are part of the checkpoint: a run that is
    resumed from there forgets the lines after it. For rank 0.

    Parameters
    ----------
    folder : of the output
    names : dict name -> unit, or names alone
    rows : ``rows`` of an earlier object, from a checkpoint
    file : name of the file

    Examples
    --------
    >>> totals = Totals("out", {"gpp": "Pg yr-1"})  # doctest: +SKIP
    >>> totals.add({"time": "1990", "gpp": 120.3})  # doctest: +SKIP
    """

    def __init__(self, folder, names, rows=(), file="totals.csv"):
        self.path = Path(folder) / file
        self.names = dict(names) if hasattr(names, "keys") else dict.fromkeys(names, "")
        self._rows = [list(row) for row in rows]
        if any(len(row) != len(self.names) + 1 for row in self._rows):
            raise ConcertoError(
                f"{self.path}: the rows of the checkpoint have other columns", hint="they are of another run"
            )

    @property
    def rows(self) -> list[list]:
        """Rows so far, each the time as text and the values in the order of the names; JSON can hold them."""
        return [list(row) for row in self._rows]

    def add(self, record: dict) -> None:
        """Add a record, ``time`` and a value for each name (None or absent: left empty), and write the file."""
        unknown = set(record) - {"time", *self.names}
        if unknown or "time" not in record:
            words = f"unknown column {', '.join(sorted(unknown))}" if unknown else "a record without time"
            raise ValueError(f"{self.path}: {words}")
        row = [str(record["time"])]
        row += [None if record.get(name) is None else float(record[name]) for name in self.names]
        self._rows.append(row)
        self.write()

    def write(self) -> None:
        """Write the whole file under a temporary name, then rename it."""
        text = io.StringIO()
        table = csv.writer(text, lineterminator="\n")
        table.writerow(["time", *(f"{name} ({unit})" if unit else name for name, unit in self.names.items())])
        table.writerows([row[0], *("" if v is None else repr(v) for v in row[1:])] for row in self._rows)
        part = self.path.with_name(self.path.name + ".part")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            part.write_text(text.getvalue(), encoding="utf-8")
            publish(part, self.path)
        except OSError as error:
            raise ConcertoError(f"{self.path} could not be written: {error.strerror or error}", hint=ADVICE) from None
        finally:
            part.unlink(missing_ok=True)
