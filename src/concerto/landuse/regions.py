"""Regions of the land for tables: bands of latitude, simple boxes of continents, or a map from a file.

A region is the share (0 or 1) of every cell that belongs to it, by the centre of the cell. No cell is in two regions,
and what is in none is in the region ``rest``, so that the regions sum to the whole.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from concerto.errors import ConcertoError

REST = "rest"
#: Bands of the Global Carbon Budget: north of 30 N, the tropics, south of 30 S (west, south, east, north).
BANDS = {
    "north": [(-180.0, 30.0, 180.0, 90.0)],
    "tropics": [(-180.0, -30.0, 180.0, 30.0)],
    "south": [(-180.0, -90.0, 180.0, -30.0)],
}
#: Rough boxes of continents (west, south, east, north); the first that holds the centre of a cell counts. They follow
#: no border of a country: give a map for those.
BOXES = {
    "North America": [(-170.0, 30.0, -50.0, 84.0), (-75.0, 59.0, -10.0, 84.0)],
    "Central America": [(-120.0, 13.0, -58.0, 30.0), (-93.0, 7.5, -77.0, 13.0)],
    "South America": [(-93.0, -57.0, -33.0, 13.0)],
    "Africa": [(-26.0, -36.0, 34.0, 37.5), (34.0, -36.0, 52.0, 12.0), (34.0, 12.0, 40.0, 20.0)],
    "Western and Central Asia": [(34.0, 12.0, 61.0, 42.0), (46.0, 36.0, 78.0, 50.0)],
    "Europe": [(-26.0, 36.0, 46.0, 72.0), (46.0, 50.0, 60.0, 72.0)],
    "South Asia": [(60.0, 5.0, 92.0, 28.0), (60.0, 28.0, 79.0, 36.0)],
    "Southeast Asia": [(92.0, -11.0, 150.0, 21.0), (92.0, 21.0, 100.0, 27.0)],
    "East Asia": [(78.0, 21.0, 150.0, 50.0)],
    "North Asia": [(46.0, 50.0, 180.0, 84.0), (-180.0, 60.0, -170.0, 84.0)],
    "Oceania": [(110.0, -50.0, 180.0, 0.0)],
}
_NAMED = {"bands": BANDS, "boxes": BOXES}


def regions(latitude, longitude, which="bands"):
    """Which cells belong to which region.

    Parameters
    ----------
    latitude, longitude : (cell,)
        Centres of the cells, degrees.
    which : str, path or dict
        ``bands`` (north of 30 N, tropics, south of 30 S), ``boxes`` (rough continents), a NetCDF file with a map of
        regions, as ``FILE`` or ``FILE:VARIABLE``; or a dict of name to box (west, south, east, north), list of boxes or
        mask (cell,).

    Returns
    -------
    dict of str to (cell,) float
        1 in the region, 0 elsewhere; only regions that have a cell. Masks of a dict may be shares; those must not
        overlap.

    Raises
    ------
    ConcertoError
        An unknown name, a file that is not there or has no such map, masks that overlap.

    Notes
    -----
    A map has whole numbers on a regular grid of latitude and longitude; names are its attributes ``flag_values`` and
    ``flag_meanings`` or else the numbers. The value nearest to the centre of a cell counts.

    Examples
    --------
    >>> {name: mask.tolist() for name, mask in regions([50.0, -10.0], [10.0, -60.0]).items()}
    {'north': [1.0, 0.0], 'tropics': [0.0, 1.0]}
    """
    latitude, longitude = np.asarray(latitude, float), np.asarray(longitude, float)
    longitude = (longitude + 180.0) % 360.0 - 180.0
    if isinstance(which, dict):
        found = _of_dict(which, latitude, longitude)
    elif str(which) in _NAMED:
        found = _of_dict(_NAMED[str(which)], latitude, longitude)
    else:
        found = _of_file(str(which), latitude, longitude)
    rest = 1.0 - sum(found.values(), np.zeros(len(latitude)))
    if np.any(rest < -1e-9):
        raise ConcertoError(
            f"regions overlap in {int(np.sum(rest < -1e-9))} cells", hint="shares of a cell sum to 1 at most"
        )
    rest = np.where(rest > 1e-9, rest, 0.0)
    if REST in found:
        raise ConcertoError(f"a region is named {REST}", hint="that is the name of what is in no region")
    found = {name: mask for name, mask in found.items() if mask.any()}
    return found | ({REST: rest} if rest.any() else {})


def _of_dict(boxes, latitude, longitude):
    out, free = {}, np.ones(len(latitude), bool)
    for name, value in boxes.items():
        value = value if isinstance(value, list | tuple) else np.asarray(value, float)
        if isinstance(value, np.ndarray):
            if value.shape != latitude.shape or value.min(initial=0.0) < 0.0 or value.max(initial=0.0) > 1.0:
                raise ConcertoError(
                    f"region {name} has {value.shape} values, not a share of 0 to 1 for each of {len(latitude)} cells",
                    hint="give an array, or a box as (west, south, east, north)",
                )
            out[name] = value.copy()
            continue
        value = [value] if len(value) and not np.ndim(value[0]) else value
        inside = np.zeros(len(latitude), bool)
        for box in value:
            if len(box) != 4:
                raise ConcertoError(f"region {name} has a box of {len(box)} numbers", hint="west, south, east, north")
            west, south, east, north = box
            top = latitude <= north if north >= 90.0 else latitude < north
            inside |= (longitude >= west) & (longitude < east) & (latitude >= south) & top
        out[name] = (inside & free).astype(float)
        free &= ~inside
    return out


def _of_file(which, latitude, longitude):
    import xarray as xr

    path, _, variable = which.rpartition(":")
    if not path or Path(which).exists():
        path, variable = which, ""
    if not Path(path).is_file():
        raise ConcertoError(
            f"regions: {which} is no file", hint="bands, boxes, or a NetCDF file with a map, as FILE or FILE:VARIABLE"
        )
    with xr.open_dataset(path, decode_times=False) as ds:
        maps = [name for name in ds.data_vars if ds[name].ndim == 2]
        variable = variable or (maps[0] if len(maps) == 1 else "")
        if variable not in ds:
            raise ConcertoError(f"{path} has no map '{variable}'", hint=f"maps: {', '.join(map(str, maps)) or 'none'}")
        field = ds[variable]
        names = {d: str(d).lower()[:3] for d in field.dims}
        if sorted(names.values()) != ["lat", "lon"]:
            raise ConcertoError(f"{path}, {variable}: axes {', '.join(map(str, field.dims))}", hint="use lat and lon")
        field = field.transpose(*sorted(field.dims, key=lambda d: names[d]))
        lat, lon = (np.asarray(ds[d].values, float) for d in field.dims)
        values = np.asarray(field.values, float)
        numbers = np.atleast_1d(field.attrs.get("flag_values", []))
        words = str(field.attrs.get("flag_meanings", "")).split()
    meaning = dict(zip((float(v) for v in numbers), words, strict=False))
    row = np.abs(lat[:, None] - latitude).argmin(axis=0)
    column = np.abs((lon[:, None] - longitude + 180.0) % 360.0 - 180.0).argmin(axis=0)
    at = values[row, column]
    far = np.abs(lat[row] - latitude) > 2.0 * np.abs(np.diff(lat)).max(initial=1.0)
    at = np.where(far, np.nan, at)
    kinds = np.unique(at[np.isfinite(at)])
    return {meaning.get(float(k), f"{k:g}"): (at == k).astype(float) for k in kinds}
