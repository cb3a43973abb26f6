"""Forcing on grids: the protocol of a source, series of files in time, cells of the domain in the grid of the source.

A source gives days of its own intervals (`native_seconds`) for the cells of a domain; finer steps are made by
:mod:`concerto.forcing.disaggregate`. The layouts that can be read stand in :mod:`concerto.forcing.layouts`.

Times. Every file keeps its own calendar: a stamp is a count of seconds in that calendar (`noleap` years have 365 days,
`360_day` years 360), and days of the model are translated when they are asked for. A *slot* is the number of an
interval, its start divided by its length. Where `time_bnds` are present they say where an interval starts; else
the layout does.

Files are opened when they are read, through netCDF4 or zarr directly, and a few stay open. Nothing here starts a
thread. The NetCDF library is not safe for threads, while netCDF4 lets other threads run during a read: who reads
forcing in one thread and writes NetCDF in another holds `NETCDF_LOCK` around the writing.
"""

from __future__ import annotations

import copy
import difflib
import math
import re
import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from concerto.errors import ConcertoError
from concerto.forcing import derive
from concerto.forcing.units import GRID, conversion, is_amount

NETCDF_LOCK = threading.RLock()  # of this process: held here whenever a file is opened, read or closed
EXACT = 1e-3  # degrees: closer centres are the same cell
PIECE = 32 * 2**20  # bytes of a file that are held at once
WETTEST = 30000.0  # mm a year: more is a wrong unit
LIST_REACH = 0.25  # degrees within which a place takes the nearest one of a list of places
CALENDARS = {
    "standard": "standard", "gregorian": "standard", "proleptic_gregorian": "standard",
    "noleap": "noleap", "365_day": "noleap", "360_day": "360_day",
}  # fmt: skip
_SECONDS = {
    "second": 1.0, "sec": 1.0, "s": 1.0, "minute": 60.0, "min": 60.0, "hour": 3600.0, "hr": 3600.0, "h": 3600.0,
    "day": 86400.0, "d": 86400.0,
}  # fmt: skip
_MONTH_STARTS = np.array([0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334, 365])
# A little below zero is packing or the difference of sums, and becomes zero with a note.
_NOISE = {
    "shortwave_down": 30.0, "precipitation": 3e-6, "rainfall": 3e-6, "snowfall": 3e-6, "specific_humidity": 1e-5,
    "wind_speed": 0.01, "leaf_area_index": 0.01,
}  # fmt: skip


class GridForcing:
    """What the model needs of a source of gridded forcing; readers derive from it.

    Attributes
    ----------
    native_seconds : int
        Length of an interval of the source, s; divides 86400 (monthly sources give days: 86400).
    instantaneous : frozenset of str
        Variables that are valid at the start of the interval; the others are means over it.
    first_day, last_day : datetime64[D] or None
        Days of the model's calendar that are covered completely, inclusive; None: any day.
    calendar : str
        Of the files: standard, noleap or 360_day. The model's calendar is proleptic_gregorian.
    notes : list of str
        What was derived or assumed.
    variables : tuple of str
        Names that `read` gives: air_temperature (K), for daily sources also air_temperature_min and
        air_temperature_max (K), specific_humidity (kg kg-1), pressure (Pa), shortwave_down and longwave_down
        (W m-2), wind_speed (m s-1), precipitation or rainfall and snowfall (kg m-2 s-1), perhaps leaf_area_index.
    n_cell : int
    reference_height : float
        Height of wind above ground, m; temperature and humidity (at 2 m in the products) are taken to hold there too.
    """

    native_seconds: int = 86400
    instantaneous: frozenset = frozenset()
    first_day = None
    last_day = None
    calendar: str = "proleptic_gregorian"
    variables: tuple = ()
    n_cell: int = 0
    reference_height: float = 10.0

    def __init__(self):
        self.notes: list[str] = []

    @property
    def per_day(self) -> int:
        """Intervals of a day."""
        return 86400 // self.native_seconds

    def read(self, days) -> dict[str, np.ndarray]:
        """Forcing of the days, with one interval of halo at each end.

        Parameters
        ----------
        days : array of datetime64[D]
            Days of the source in the model's calendar, non-decreasing. 29 February of a noleap source is
            28 February again; day d of 365 is day 1 + int((d - 1) 360 / 365) of a 360_day source.

        Returns
        -------
        dict: name -> float64 array (cell, len(days) * per_day + 2), SI units, finite and within the bounds of the
        forcing table. The first column is the interval before the first day, the last the one after the last day; at
        the ends of the record the edge is repeated.
        """
        raise NotImplementedError

    def climatology(self) -> dict:
        """Monthly climate: ``temperature`` (cell, 12) degC, ``precipitation`` (cell, 12) mm month-1, ``years``."""
        raise NotImplementedError

    def subset(self, cells) -> GridForcing:
        """The source for a slice of its cells."""
        raise NotImplementedError

    def bytes_per_day(self) -> int:
        """Size of one day of `read`, bytes."""
        return 8 * self.n_cell * len(self.variables) * self.per_day

    def close(self):
        """Close what is open; the source can still be read."""


def open_forcing(config, domain, folder=".") -> GridForcing:
    """Open the source of forcing that a configuration names.

    Parameters
    ----------
    config : object or dict
        Section `forcing`: source, files, seed, time_offset_hours, tower.
    domain : concerto.domain.grid.Domain
        Cells for which forcing is read (latitude, longitude, elevation, cell_id).
    folder : path
        Folder to which the names of files are relative.

    Returns
    -------
    GridForcing

    Raises
    ------
    ConcertoError
        Unknown source, files that are missing, damaged or do not fit together, cells without data.

    Examples
    --------
    >>> forcing = open_forcing({"source": "era5", "files": "era5_*.nc"}, domain)  # doctest: +SKIP
    >>> forcing.read(forcing.first_day + np.arange(5))["air_temperature"].shape  # doctest: +SKIP
    """
    from concerto.forcing import layouts

    source = str(setting(config, "source", "embedded"))
    if source in ("embedded", "monthly"):
        opener = layouts.open_embedded if source == "embedded" else layouts.open_monthly
        return opener(config, domain, folder)
    if source == "tower":
        from concerto.forcing.tower import TowerForcing

        return TowerForcing(config, domain, folder)
    if source not in layouts.LAYOUTS:
        known = ["embedded", "monthly", *layouts.LAYOUTS, "tower"]
        close = difflib.get_close_matches(source, known, n=1)
        raise ConcertoError(
            f"forcing.source is '{source}', which is not a known source.",
            hint=(f"Did you mean '{close[0]}'? " if close else "") + f"Known are: {', '.join(known)}.",
        )
    return FileForcing(layouts.LAYOUTS[source], config, domain, folder)


def setting(config, name, default=None):
    """An entry of a configuration section, be it an object or a dict; None counts as absent."""
    value = config.get(name) if isinstance(config, dict) else getattr(config, name, None)
    return default if value is None else value


def plural(count, word) -> str:
    return f"{count} {word}" + ("" if count == 1 else "s")


# --- calendars --------------------------------------------------------------------------------------------------------


def _year_and_day(days):
    """Year, and day 0 to 364 of a year without 29 February (which is 28 February again)."""
    days = np.asarray(days).astype("datetime64[D]")
    years = days.astype("datetime64[Y]")
    year = years.astype(np.int64) + 1970
    day = (days - years.astype("datetime64[D]")).astype(np.int64)
    leap = (year % 4 == 0) & ((year % 100 != 0) | (year % 400 == 0))
    return year, day - (leap & (day >= 59))


def source_day(days, calendar) -> np.ndarray:
    """Number of each day of the model in the calendar of the source (days since 1970 as that calendar counts).

    Examples
    --------
    >>> days = np.array(["2004-02-28", "2004-02-29", "2004-03-01"], "datetime64[D]")
    >>> source_day(days, "noleap") - source_day(days[:1], "noleap")
    array([0, 0, 1])
    """
    if calendar == "standard":
        return np.asarray(days).astype("datetime64[D]").astype(np.int64)
    year, day = _year_and_day(days)
    if calendar == "noleap":
        return (year - 1970) * 365 + day
    return (year - 1970) * 360 + day * 360 // 365


def _model_days(first, last, calendar):
    """First and last day of the model whose source days lie within first to last (numbers as of `source_day`)."""
    if calendar == "standard":
        return np.datetime64(int(first), "D"), np.datetime64(int(last), "D")
    length = 365 if calendar == "noleap" else 360
    start = np.datetime64(f"{1970 + first // length:04d}-01-01", "D")
    stop = np.datetime64(f"{1971 + last // length:04d}-01-01", "D")
    days = np.arange(start, stop)
    inside = days[(source_day(days, calendar) >= first) & (source_day(days, calendar) <= last)]
    return (inside[0], inside[-1]) if inside.size else (start, start - 1)


def _date(year, month, day, calendar, file) -> int:
    """Number of a date in days since 1970 of the calendar."""
    limit = 30 if calendar == "360_day" else 31
    if not (1 <= month <= 12 and 1 <= day <= limit):
        raise ConcertoError(
            f"{file}: the reference date of 'time' is not a date ({year}-{month}-{day}).",
            hint="Use units such as 'hours since 1970-01-01 00:00:00'.",
        )
    if calendar == "360_day":
        return (year - 1970) * 360 + (month - 1) * 30 + day - 1
    if calendar == "noleap":
        return (year - 1970) * 365 + int(_MONTH_STARTS[month - 1]) + min(day, 28 if month == 2 else 31) - 1
    return int(np.datetime64(f"{year:04d}-{month:02d}-{day:02d}", "D").astype(np.int64))


def _days_of_dates(values, calendar, file):
    """Days since 1970 of the calendar from dates such as 20010228.25 (day as %Y%m%d.%f)."""
    whole = np.floor(values + 1e-9)
    dates, place = np.unique(whole, return_inverse=True)
    days = []
    try:
        for d in dates.astype(np.int64).tolist():
            days.append(_date(d // 10000, d // 100 % 100, d % 100, calendar, file))
    except (ValueError, ConcertoError) as error:
        raise ConcertoError(
            f"{file}: 'time' has the unit 'day as %Y%m%d.%f', but holds {dates[len(days)]:.0f}, which is no such date.",
            hint="Use units such as 'hours since 1970-01-01 00:00:00'.",
        ) from error
    return np.asarray(days, dtype=float)[place].reshape(values.shape) + (values - whole)


def time_text(seconds, calendar) -> str:
    """A count of seconds in the calendar as people write it."""
    day, rest = divmod(int(seconds), 86400)
    if calendar == "standard":
        text = str(np.datetime64(day, "D"))
    elif calendar == "noleap":
        year, day = divmod(day, 365)
        month = int(np.searchsorted(_MONTH_STARTS, day, side="right")) - 1
        text = f"{1970 + year:04d}-{month + 1:02d}-{day - int(_MONTH_STARTS[month]) + 1:02d}"
    else:
        year, day = divmod(day, 360)
        text = f"{1970 + year:04d}-{day // 30 + 1:02d}-{day % 30 + 1:02d}"
    return f"{text} {rest // 3600:02d}:{rest % 3600 // 60:02d}"


# --- one file ---------------------------------------------------------------------------------------------------------


class _Netcdf:
    """The few things needed of a NetCDF file, without masks and scaling."""

    def __init__(self, path):
        import netCDF4

        from concerto.forcing.alma import classic_shortfall
        from concerto.forcing.checks import check_path

        self.file = Path(path).name
        if check_path(path)[1] != "netcdf":
            raise ConcertoError(f"{self.file} is text, not NetCDF.", hint="Give gridded forcing as NetCDF or Zarr.")
        short = classic_shortfall(path)
        if short:
            raise self._damaged(f"{short} of its bytes are missing at the end")
        try:
            self._dataset = netCDF4.Dataset(str(path))
            self._dataset.set_auto_maskandscale(False)
            self._dataset.set_always_mask(False)
        except (OSError, RuntimeError, AttributeError, UnicodeDecodeError) as error:
            raise self._damaged(str(error)) from error
        self.names = list(self._dataset.variables)

    def _damaged(self, reason):
        return ConcertoError(
            f"{self.file} cannot be read: it is truncated or corrupt ({reason}).",
            hint="Copy or download the file again and compare its size with the source.",
        )

    def dimensions(self, name):
        return self._dataset.variables[name].dimensions

    def shape(self, name):
        return self._dataset.variables[name].shape

    def attributes(self, name=None):
        holder = self._dataset if name is None else self._dataset.variables[name]
        try:
            return {key: holder.getncattr(key) for key in holder.ncattrs()}
        except (AttributeError, OSError, RuntimeError) as error:
            raise self._damaged(str(error)) from error

    def get(self, name, key=...):
        try:
            return np.asarray(self._dataset.variables[name][key])
        except (OSError, RuntimeError, IndexError) as error:
            raise ConcertoError(
                f"{self.file}: {name} cannot be read, the file is truncated or corrupt ({error}).",
                hint="Copy or download the file again and compare its size with the source.",
            ) from error

    def close(self):
        self._dataset.close()


class _Zarr:
    """The same for a Zarr store (format 2 or 3)."""

    def __init__(self, path):
        try:
            import zarr
        except ImportError as error:
            raise ConcertoError(
                f"{path} is a Zarr store, and the package zarr is not installed.", hint="pip install zarr"
            ) from error
        self.file = Path(path).name
        try:
            self._group = zarr.open_group(str(path), mode="r")
            self._arrays = dict(self._group.arrays())
        except Exception as error:  # zarr raises errors of many kinds for damaged stores
            raise ConcertoError(
                f"{self.file} cannot be opened as a Zarr store ({error}).", hint="Copy or write the store again."
            ) from error
        self.names = list(self._arrays)

    def dimensions(self, name):
        array = self._arrays[name]
        names = getattr(array.metadata, "dimension_names", None) or array.attrs.get("_ARRAY_DIMENSIONS")
        return tuple(names) if names else tuple(f"{name}_{i}" for i in range(array.ndim))

    def shape(self, name):
        return self._arrays[name].shape

    def attributes(self, name=None):
        if name is None:
            return dict(self._group.attrs)
        found = dict(self._arrays[name].attrs)
        fill = self._arrays[name].fill_value
        if "_FillValue" not in found and fill is not None and fill != 0:
            found["_FillValue"] = fill  # zero is also what a store without missing values says
        return found

    def get(self, name, key=...):
        try:
            return np.asarray(self._arrays[name][key])
        except Exception as error:
            raise ConcertoError(
                f"{self.file}: {name} cannot be read, the store is damaged ({error}).",
                hint="Copy or write the store again.",
            ) from error

    def close(self):
        pass


class Handles:
    """The files that are open: the least recently used is closed when there are too many."""

    def __init__(self, limit=32):
        self.limit, self._open, self.lock = limit, OrderedDict(), NETCDF_LOCK

    def __getstate__(self):
        return {"limit": self.limit}

    def __setstate__(self, state):
        self.__init__(**state)

    def get(self, path):
        path = str(path)
        with self.lock:
            if path in self._open:
                self._open.move_to_end(path)
            else:
                self._open[path] = _Zarr(path) if Path(path).is_dir() else _Netcdf(path)
                while len(self._open) > self.limit:
                    self._open.popitem(last=False)[1].close()
            return self._open[path]

    def close(self):
        with self.lock:
            while self._open:
                self._open.popitem()[1].close()


@dataclass
class TimeAxis:
    """Time of one file: stamps and, where known, starts and middles of the intervals, in seconds of its calendar."""

    dimension: str
    stamps: np.ndarray  # (time,) int64; months (year * 12 + month - 1) where the unit is a month
    bounds: np.ndarray | None  # (time, 2) int64
    calendar: str
    position: str | None  # start, middle, end, where the file says so
    offset_hours: float | None  # of the stamps from UTC, where the unit says so
    file: str = ""
    months: bool = False  # stamps are months


def _time_name(source):
    for name in ("time", "valid_time", "Time", "TIME", "t"):
        if name in source.names and len(source.shape(name)) == 1:
            return name
    for name in source.names:
        if len(source.shape(name)) == 1 and " since " in str(source.attributes(name).get("units", "")):
            return name
    return None


def read_time(source, months=False) -> TimeAxis:
    """Time axis of an open file; `months`: allow units 'months since', and twelve months of no year (0)."""
    name = _time_name(source)
    file = source.file
    if months and name is None:
        sizes = {d: n for v in source.names for d, n in zip(source.dimensions(v), source.shape(v), strict=True)}
        if sizes.get("month") == 12:
            return TimeAxis("month", np.arange(12), None, "standard", None, None, file, True)
    if name is None:
        raise ConcertoError(
            f"{file} has no time axis (its variables are {_some(source.names)}).",
            hint="Write a variable 'time' with units such as 'hours since 1970-01-01 00:00:00'.",
        )
    attributes = source.attributes(name)
    units = str(attributes.get("units", "")).strip()
    if not units:
        raise ConcertoError(
            f"{file}: '{name}' has no units.", hint="Set them, such as 'hours since 1970-01-01 00:00:00'."
        )
    calendar = str(attributes.get("calendar", "standard")).lower()
    if calendar not in CALENDARS:
        raise ConcertoError(
            f"{file}: '{name}' has the calendar '{calendar}', which cannot be read.",
            hint=f"Known are: {', '.join(CALENDARS)}.",
        )
    absolute = bool(re.match(r"days?\s+as\s+%Y%m%d(\.%f)?$", units, re.IGNORECASE))  # as CDO writes it
    units = "days since 1970-01-01" if absolute else units
    match = re.match(r"\s*([A-Za-z]+?)s?\s+since\s+(.+)$", units, re.IGNORECASE)
    unit = match[1].lower() if match else ""
    factor = _SECONDS.get(unit)
    if factor is None and not (months and unit == "month"):
        raise ConcertoError(
            f"{file}: the unit of '{name}' is '{units}', which cannot be read.",
            hint="Use seconds, minutes, hours or days 'since' a date, such as 'hours since 1970-01-01 00:00:00'.",
        )
    epoch = re.match(
        r"\s*(\d{1,4})-(\d{1,2})-(\d{1,2})(?:[T\s]+(\d{1,2}):(\d{1,2})(?::(\d{1,2})(?:\.\d*)?)?)?\s*(.*)$", match[2]
    )
    if not epoch:
        raise ConcertoError(
            f"{file}: the reference date of '{name}' cannot be read ('{units}').",
            hint="Use units such as 'hours since 1970-01-01 00:00:00'.",
        )
    year, month, day, hour, minute, second = (int(part or 0) for part in epoch.groups()[:6])
    kind = CALENDARS[calendar]
    if calendar in ("standard", "gregorian") and (year, month, day) < (1582, 10, 15):
        import cftime  # the mixed calendar differs from the proleptic one before 1582

        ordinal = [cftime.datetime(*d, calendar="standard").toordinal() for d in ((year, month, day), (1970, 1, 1))]
        start = ordinal[0] - ordinal[1]
    else:
        try:
            start = _date(year, month, day, kind, file)
        except ValueError as error:
            raise ConcertoError(
                f"{file}: the reference date of '{name}' is not a date ('{units}').",
                hint="Use units such as 'hours since 1970-01-01 00:00:00'.",
            ) from error
    zone = epoch[7].strip().upper()
    shift = re.fullmatch(r"([-+]?)(\d{1,2}):?(\d{2})?", zone)
    offset = 0.0 if zone in ("UTC", "Z", "GMT") else None
    if shift:
        offset = (int(shift[2]) + int(shift[3] or 0) / 60.0) * (-1.0 if shift[1] == "-" else 1.0)
    values = np.asarray(source.get(name), dtype=np.float64)
    if values.size == 0:
        raise ConcertoError(f"{file}: '{name}' is empty.", hint="Remove the file, or write it again.")
    fills = [float(attributes[key]) for key in ("_FillValue", "missing_value") if key in attributes]
    missing = ~np.isfinite(values) | (np.abs(values) > 1e18) | np.isin(values, fills)
    if missing.any():
        raise ConcertoError(
            f"{file}: '{name}' is missing at {missing.sum()} of {values.size} steps, first at step "
            f"{int(np.argmax(missing)) + 1}.",
            hint="Give every step a time; a file that is still being written, or is truncated, looks like this.",
        )
    if absolute:
        values = _days_of_dates(values, kind, file)
    dimension = source.dimensions(name)[0]
    if factor is None:
        index = (year * 12 + month - 1) + np.floor(values + 1e-6).astype(np.int64)
        return TimeAxis(dimension, index, None, kind, None, None, file, True)
    reference = start * 86400 + hour * 3600 + minute * 60 + second

    def to_seconds(numbers):
        return reference + np.rint(numbers * factor).astype(np.int64)

    bounds = None
    bounds_name = str(attributes.get("bounds", "time_bnds"))
    for candidate in (bounds_name, "time_bnds", "time_bounds"):
        if candidate in source.names and source.shape(candidate) == (values.size, 2):
            numbers = np.asarray(source.get(candidate), dtype=np.float64)
            if absolute and np.isfinite(numbers).all():
                numbers = _days_of_dates(numbers, kind, file)
            if np.isfinite(numbers).all() and (np.abs(numbers) < 1e18).all() and (numbers[:, 1] > numbers[:, 0]).all():
                bounds = to_seconds(numbers)
                # Bounds of another time axis (a copy, another unit) say nothing of this one.
                if ((bounds[:, 0] > to_seconds(values)) | (bounds[:, 1] < to_seconds(values))).any():
                    bounds = None
            break
    position = _stated_position(attributes, source.attributes())
    return TimeAxis(dimension, to_seconds(values), bounds, kind, position, offset, file)


def _stated_position(attributes, everywhere):
    """Start, middle or end of the interval, if an attribute says so."""
    for holder in (attributes, everywhere):
        lower = {key.lower(): str(value).lower() for key, value in holder.items()}
        for name in ("time_stamp_position", "timestamp_position", "time_stamp", "time_label", "time_convention"):
            for word in ("start", "begin", "end", "middle"):
                if word in lower.get(name, ""):
                    return "start" if word == "begin" else word
    for name in ("comment", "long_name", "description"):
        match = re.search(
            r"\b(start|beginning|end|middle|mid-?point|centre|center)\b of (the |each |an? )*\w*",
            str(attributes.get(name, "")).lower(),
        )
        if match:
            return {"start": "start", "beginning": "start", "end": "end"}.get(match[1], "middle")
    return None


def _some(names, limit=12):
    names = [str(name) for name in names]
    return ", ".join(names[:limit]) + (", ..." if len(names) > limit else "") if names else "none"


# --- the grid of the source -------------------------------------------------------------------------------------------


@dataclass
class Grid:
    """Places of a source: axes of a rectilinear grid, or a list (also a field in two dimensions) of places."""

    latitude: np.ndarray  # (y,) for axes, else (y, x)
    longitude: np.ndarray  # (x,) for axes, else (y, x); degrees east in [-180, 180)
    rectilinear: bool
    dimensions: tuple  # names of the dimensions in space, in the order y, x; fewer where there are fewer

    @property
    def shape(self):
        return (self.latitude.size, self.longitude.size) if self.rectilinear else self.latitude.shape

    def same(self, other) -> bool:
        return (
            self.rectilinear == other.rectilinear
            and self.shape == other.shape
            and np.abs(self.latitude - other.latitude).max() < EXACT
            and np.abs((self.longitude - other.longitude + 180.0) % 360.0 - 180.0).max() < EXACT
        )


def _turned(grid) -> Grid:
    """The same grid with its latitude running the other way."""
    return Grid(grid.latitude[::-1], grid.longitude, grid.rectilinear, grid.dimensions) if grid.rectilinear else grid


def _coordinate(source, words, unit):
    names = [name for name in source.names if name.lower() in words]
    names += [name for name in source.names if str(source.attributes(name).get("units", "")).lower() in unit]
    return names[0] if names else None


def read_grid(source, variable, time_dimension) -> Grid:
    """Grid on which `variable` stands."""
    file = source.file
    sizes = dict(zip(source.dimensions(variable), source.shape(variable), strict=True))
    latitude = _coordinate(source, ("lat", "latitude", "nav_lat"), ("degrees_north", "degree_north"))
    longitude = _coordinate(source, ("lon", "longitude", "nav_lon", "long"), ("degrees_east", "degree_east"))
    if latitude is None or longitude is None:
        raise ConcertoError(
            f"{file} has no latitude or no longitude (its variables are {_some(source.names)}).",
            hint="Write coordinates 'lat' and 'lon' in degrees.",
        )
    lat = np.asarray(source.get(latitude), dtype=np.float64)
    lon = (np.asarray(source.get(longitude), dtype=np.float64) + 180.0) % 360.0 - 180.0
    lon = np.where(lon > 180.0 - 1e-9, -180.0, lon)
    if not (np.isfinite(lat).all() and np.isfinite(lon).all() and np.abs(lat).max(initial=0.0) <= 90.0 + EXACT):
        raise ConcertoError(
            f"{file}: '{latitude}' or '{longitude}' has values that are no latitudes or longitudes.",
            hint="Write them in degrees, without missing values.",
        )
    lat_dims, lon_dims = source.dimensions(latitude), source.dimensions(longitude)
    space = [d for d in sizes if d != time_dimension and (d in lat_dims or d in lon_dims)]
    for dimension, size in sizes.items():
        if dimension != time_dimension and dimension not in space and size != 1 and dimension.lower() != "expver":
            raise ConcertoError(
                f"{file}: {variable} has {size} values along '{dimension}', which is neither time, latitude nor "
                "longitude.",
                hint="Write one value a place and time.",
            )
    if lat.ndim == 1 and lon.ndim == 1 and lat_dims != lon_dims and len(space) == 2:
        return Grid(lat, lon, True, (lat_dims[0], lon_dims[0]))
    if len(space) == 2 and lat.ndim == 2 and lon.ndim == 2:
        y, x = lat_dims
        if np.ptp(lat, axis=1).max() < EXACT and np.ptp(lon, axis=0).max() < EXACT:
            return Grid(lat[:, 0], lon[0], True, (y, x))
        return Grid(lat, lon, False, (y, x))
    if len(space) == 1 and lat.size == lon.size == sizes[space[0]]:
        return Grid(lat.reshape(1, -1), lon.reshape(1, -1), False, tuple(space))
    if len(space) == 0 and lat.size == lon.size == 1:
        return Grid(lat.reshape(1, 1), lon.reshape(1, 1), False, ())
    raise ConcertoError(
        f"{file}: {variable} has the dimensions {tuple(sizes)}, which do not fit '{latitude}' {lat_dims} and "
        f"'{longitude}' {lon_dims}.",
        hint="Write (time, lat, lon), or (time, place) with latitude and longitude of each place.",
    )


def _spacing(axis):
    return float(np.median(np.abs(np.diff(axis)))) if axis.size > 1 else None


def _nearest(axis, values, periodic):
    """Index of the nearest value of an axis; ties go to the lower value, whichever way the axis runs."""
    order = np.argsort(axis, kind="stable")
    sorted_axis = axis[order]
    after = np.searchsorted(sorted_axis, values)
    candidates = [after - 1, after]
    if periodic:
        candidates = [c % axis.size for c in candidates]
    else:
        candidates = [np.clip(c, 0, axis.size - 1) for c in candidates]
    distance = [np.abs(sorted_axis[c] - values) for c in candidates]
    if periodic:
        distance = [np.minimum(d, 360.0 - d) for d in distance]
    lower = distance[0] <= distance[1] + 1e-9
    return order[np.where(lower, candidates[0], candidates[1])], np.where(lower, *distance)


def _degrees_apart(latitude, longitude, other_latitude, other_longitude):
    """Great-circle distance, degrees."""
    p, q = np.deg2rad(latitude), np.deg2rad(other_latitude)
    half = np.sin((p - q) / 2) ** 2
    half = half + np.cos(p) * np.cos(q) * np.sin(np.deg2rad(np.asarray(longitude) - other_longitude) / 2) ** 2
    return np.rad2deg(2.0 * np.arcsin(np.sqrt(np.clip(half, 0.0, 1.0))))


def match_cells(grid, latitude, longitude, has_data, what, notes):
    """Row and column of the source for each cell, and what was not exact as notes.

    Parameters
    ----------
    grid : Grid
    latitude, longitude : arrays (cell,)
        Degrees, longitude in [-180, 180).
    has_data : array of bool (y, x)
    what : str
        The source, for messages.
    notes : list of str
        Added to.

    Returns
    -------
    rows, columns : int arrays (cell,)

    Raises
    ------
    ConcertoError
        Cells without data within two cells of the source.
    """
    n = latitude.size
    if grid.rectilinear:
        spacing_lat, spacing_lon = _spacing(grid.latitude), _spacing(np.sort(grid.longitude))
        spacing_lat = spacing_lat or spacing_lon or 0.5
        spacing_lon = spacing_lon or spacing_lat
        rows, off_lat = _nearest(grid.latitude, latitude, False)
        columns, off_lon = _nearest(grid.longitude, longitude, True)
        exact = np.maximum(off_lat, off_lon) <= EXACT
        outside = (off_lat > 0.5 * spacing_lat + EXACT) | (off_lon > 0.5 * spacing_lon + EXACT)
    else:
        flat_lat, flat_lon = grid.latitude.ravel(), grid.longitude.ravel()
        # The same places, as is usual, are found by name; only others are compared with all.
        by_name = {place: k for k, place in reversed(list(enumerate(_names(flat_lat, flat_lon))))}
        best = np.array([by_name.get(place, -1) for place in _names(latitude, longitude)], dtype=np.int64)
        away = np.zeros(n)
        for i in np.flatnonzero(best < 0):
            apart = _degrees_apart(latitude[i], longitude[i], flat_lat, flat_lon)
            best[i] = np.argmin(apart)
            away[i] = apart[best[i]]
        rows, columns = np.unravel_index(best, grid.shape)
        spacing_lat = spacing_lon = LIST_REACH
        if min(grid.shape) > 1:
            spacing_lat = spacing_lon = max(
                float(np.median(_degrees_apart(flat_lat[:-1], flat_lon[:-1], flat_lat[1:], flat_lon[1:]))), EXACT
            )
        exact, outside = away <= EXACT, away > spacing_lat
    apart = _degrees_apart(latitude, longitude, *_places(grid, rows, columns))
    moved = outside | ~has_data[rows, columns]
    near = ~exact & ~moved
    if near.any():
        first = int(np.argmax(near))
        notes.append(
            f"{what}: {near.sum()} of {plural(n, 'cell')} are not at centres of source cells and take the nearest one "
            f"(at most {apart[near].max():.3g} degrees away; first {_place(latitude[first], longitude[first])}); "
            f"no averaging is done"
        )
    lost = []
    for i in np.flatnonzero(moved):
        if grid.rectilinear:
            window_r = np.arange(max(rows[i] - 3, 0), min(rows[i] + 4, grid.shape[0]))
            window_c = np.unique((columns[i] + np.arange(-3, 4)) % grid.shape[1])
            dlat = np.abs(grid.latitude[window_r] - latitude[i])
            dlon = np.abs((grid.longitude[window_c] - longitude[i] + 180.0) % 360.0 - 180.0)
            usable = has_data[np.ix_(window_r, window_c)]
            usable &= (dlat <= 2 * spacing_lat + EXACT)[:, None] & (dlon <= 2 * spacing_lon + EXACT)[None, :]
            distance = _degrees_apart(
                latitude[i], longitude[i], grid.latitude[window_r][:, None], grid.longitude[window_c][None, :]
            )
            distance = np.where(usable, distance, np.inf)
            at = np.unravel_index(np.argmin(distance), distance.shape)
            found, rows_i, columns_i = distance[at], window_r[at[0]], window_c[at[1]]
        else:
            distance = _degrees_apart(latitude[i], longitude[i], grid.latitude, grid.longitude)
            distance = np.where(has_data & (distance <= 2 * spacing_lat), distance, np.inf)
            rows_i, columns_i = np.unravel_index(np.argmin(distance), distance.shape)
            found = distance[rows_i, columns_i]
        if np.isfinite(found):
            rows[i], columns[i], apart[i] = rows_i, columns_i, found
        else:
            lost.append(i)
    if lost:
        first = lost[0]
        raise ConcertoError(
            f"{what}: {len(lost)} of {plural(n, 'cell')} have no forcing within 2 cells of the source, first "
            f"{_place(latitude[first], longitude[first])}; the source covers "
            f"{np.min(grid.latitude):g} to {np.max(grid.latitude):g} degrees north, "
            f"{np.min(grid.longitude):g} to {np.max(grid.longitude):g} degrees east, "
            f"{int(has_data.sum())} of {has_data.size} of its cells with data.",
            hint="Limit the domain (domain.box, domain.mask) to where the forcing has data, or use another source.",
        )
    if moved.any():
        first = int(np.argmax(moved))
        notes.append(
            f"{what}: {moved.sum()} of {plural(n, 'cell')} lie outside the source or where it has no data (sea) and "
            f"take the nearest source cell with data (at most {apart[moved].max():.3g} degrees, "
            f"{apart[moved].max() * 111.2:.0f} km away; first {_place(latitude[first], longitude[first])})"
        )
    return rows, columns


def _names(latitude, longitude):
    return zip(
        np.rint(latitude / EXACT).astype(int).tolist(), np.rint(longitude / EXACT).astype(int).tolist(), strict=True
    )


def _places(grid, rows, columns):
    if grid.rectilinear:
        return grid.latitude[rows], grid.longitude[columns]
    return grid.latitude[rows, columns], grid.longitude[rows, columns]


def _place(latitude, longitude):
    return f"latitude {latitude:.4g}, longitude {longitude:.4g}"


# --- which files ------------------------------------------------------------------------------------------------------


def find_files(files, folder=".", aliases=None, source="") -> list[tuple[str | None, list[Path], str]]:
    """Paths of the files that a configuration names.

    Parameters
    ----------
    files : str, list or dict
        A file, folder, glob, Zarr store or pattern with {variable}, {year}, {start}, {end}; a list of these; or a dict
        variable -> one of these.
    folder : path
        What relative names are relative to.
    aliases : dict, optional
        Ingredient -> names of it in files; {variable} and the keys of a dict must be one of them.
    source : str
        For messages.

    Returns
    -------
    list of (ingredient or None, sorted paths, as written)
    """
    aliases = aliases or {}
    if not files:
        raise ConcertoError(
            f"forcing.files is not given, and the source {source} needs files.",
            hint='Give a pattern, such as files: "path/{variable}_{year}.nc".',
        )
    if hasattr(files, "items"):
        found = []
        for key, value in files.items():
            names = [i for i, words in aliases.items() if str(key).lower() in {w.lower() for w in (i, *words)}]
            if not names:
                known = sorted({word for words in aliases.values() for word in words})
                close = difflib.get_close_matches(str(key), known, n=1)
                raise ConcertoError(
                    f"forcing.files: '{key}' is not a variable of the source {source}.",
                    hint=(f"Did you mean '{close[0]}'? " if close else "") + f"Known are: {', '.join(known)}.",
                )
            paths = [p for _, group, _ in find_files(value, folder, None, source) for p in group]
            found.append((names[0], paths, str(value)))
        return found
    if isinstance(files, (list, tuple)):
        groups = [find_files(one, folder, aliases, source) for one in files]
        return [(None, sorted({p for group in groups for _, paths, _ in group for p in paths}), _some(files, 3))]
    text = str(Path(str(files)).expanduser())
    base = Path(folder) / text
    if base.is_dir():
        if base.suffix == ".zarr" or any((base / n).exists() for n in ("zarr.json", ".zgroup", ".zmetadata")):
            return [(None, [base], text)]
        inside = sorted(p for p in base.iterdir() if p.suffix in (".nc", ".nc4", ".cdf", ".netcdf", ".zarr"))
        if not inside:
            raise ConcertoError(
                f"The folder {base} has no NetCDF files or Zarr stores in it.",
                hint="Name the folder of the files, or a pattern such as path/{variable}_{year}.nc.",
            )
        return [(None, inside, text)]
    placeholders = re.findall(r"\{(.*?)\}", text)
    unknown = [p for p in placeholders if p not in ("variable", "year", "month", "start", "end")]
    if unknown:
        raise ConcertoError(
            f"forcing.files: '{{{unknown[0]}}}' in '{text}' is not known.",
            hint="Known are {variable}, {year}, {month}, {start} and {end}.",
        )
    if not placeholders and not re.search(r"[*?\[]", text):
        from concerto.forcing.checks import check_path

        check_path(base)
        return [(None, [base], text)]
    glob, written = re.sub(r"\{.*?\}", "*", text), text
    anchor = Path(folder)
    if Path(glob).is_absolute():
        anchor = Path(Path(glob).anchor)
        glob, text = str(Path(glob).relative_to(anchor)), str(Path(text).relative_to(anchor))
    glob = re.sub(r"\*{2,}", "*", glob)  # of a * beside a placeholder
    paths = sorted(p for p in anchor.glob(glob) if p.suffix != ".part")
    digits = {"year": r"\d{4}", "month": r"\d{1,2}", "start": r"\d{4,14}", "end": r"\d{4,14}"}
    expression, seen = "", set()
    for part in re.split(r"(\{.*?\}|\*\*/|\*|\?)", Path(text).as_posix()):
        name = part[1:-1] if part.startswith("{") else None
        if name in seen:
            expression += f"(?P={name})"
        elif name:
            seen.add(name)
            expression += f"(?P<{name}>{digits.get(name, '[A-Za-z0-9_]+?')})"
        else:
            wild = {"**/": ".*", "*": "[^/]*", "?": "[^/]"}
            expression += wild.get(part, re.escape(part))
    words = {word.lower() for i, names in aliases.items() for word in (i, *names)}
    chosen, fitting = [], []
    for path in paths:
        match = re.fullmatch(expression, path.relative_to(anchor).as_posix()) if placeholders else True
        if not match:
            continue
        fitting.append(path)
        if "variable" not in seen or not words or match["variable"].lower() in words:
            chosen.append(path)
    if not chosen:
        names = sorted(p.name for p in (anchor / text).parent.glob("*") if p.is_file()) if not seen or fitting else []
        names = names or sorted(p.name for p in (anchor / re.sub(r"[^/]*[{*].*", "", text)).glob("*"))
        what = f"'{written}' fits {plural(len(fitting), 'file')}, but no {{variable}} of" if fitting else "No file fits"
        close = difflib.get_close_matches(Path(text).name, names, n=1, cutoff=0.3)
        hint = f"In that folder there is {', '.join(close or names[:3])}." if names else "Check the folder."
        raise ConcertoError(
            f"forcing.files: {what} {source}." if fitting else f"forcing.files: {what} '{written}' in {anchor}.",
            hint=hint if not fitting else f"Names of variables of {source} are {_some(sorted(words), 30)}.",
        )
    return [(None, chosen, written)]


# --- reading ----------------------------------------------------------------------------------------------------------


@dataclass
class _Found:
    """One variable of the layout in one file, as found when the file was opened for the index."""

    path: str
    file: str
    variable: str
    axis: TimeAxis
    step: int  # s; 0: one time only
    stated_step: int | None
    hours_to_utc: float
    written: str
    order: tuple
    space: tuple
    attributes: dict
    turned: bool = False


@dataclass
class Segment:
    """One variable in one file: slots first to first + count - 1 (stamps, for sums since midnight)."""

    path: str
    file: str
    variable: str
    first: int
    count: int
    scale: float
    offset: float
    order: tuple  # dimension names of the variable
    time_dimension: str
    space: tuple  # names of the dimensions in space, in the order y, x
    attributes: dict = field(default_factory=dict)  # fill values and packing
    turned: bool = False  # latitude runs against that of the first file


@dataclass
class Series:
    """One ingredient through all files."""

    ingredient: str
    kind: str  # point, mean, ending, midnight, daily
    segments: list[Segment]
    written: str  # how the files were named
    phase: int = 0  # seconds from the start of the day to the first start of an interval
    slots: tuple = (0, 0)  # first and last slot that can be read

    @property
    def variable(self):
        return self.segments[0].variable

    @property
    def low(self):
        return self.segments[0].first

    @property
    def high(self):
        return self.segments[-1].first + self.segments[-1].count - 1

    def file_at(self, slot):
        for segment in self.segments:
            if segment.first <= slot < segment.first + segment.count:
                return segment.file
        return self.segments[-1].file


class FileForcing(GridForcing):
    """Forcing from files in one of the layouts of :mod:`concerto.forcing.layouts`.

    Parameters
    ----------
    layout : concerto.forcing.layouts.Layout
    config : object or dict
        Section `forcing` of the configuration.
    domain : concerto.domain.grid.Domain
    folder : path

    Notes
    -----
    All files are opened once, for their time axis and variables. The object can be pickled (it then opens its files
    again), so one rank can make it for all.
    """

    def __init__(self, layout, config, domain, folder="."):
        super().__init__()
        self.layout = layout
        self.handles = Handles()
        self.latitude = np.asarray(domain.latitude, dtype=np.float64)
        self.longitude = (np.asarray(domain.longitude, dtype=np.float64) + 180.0) % 360.0 - 180.0
        self.elevation = getattr(domain, "elevation", None)
        self.n_cell = self.latitude.size
        self._climatology = None
        self._leaf_file, self._leaf = None, None  # leaf area of twelve months: where it stands, (cell, 12)
        self._said = set()
        self._time_offset = setting(config, "time_offset_hours")
        aliases = {name: entry.names for name, entry in layout.fields.items()}
        groups = find_files(setting(config, "files"), folder, aliases, layout.name)
        try:
            self._index(groups)
            self._recipe()
            self._times()
            self._match()
            self._finish(config)
        except BaseException:
            self.handles.close()
            raise

    def _finish(self, config):
        layout = self.layout
        if layout.check_sun and self.native_seconds <= 10800:
            self._check_sun()

    # files and their times

    def _index(self, groups):
        """Open every file once: its time axis, the grid and the variables in it."""
        layout = self.layout
        found: dict[str, list] = {}
        self.grid, grid_file = None, ""
        everything, self.calendar, calendar_file = {}, None, ""
        for wanted, paths, written in groups:
            for path in paths:
                source = self.handles.get(path)
                lower = {name.lower(): name for name in source.names}
                here = {}
                for ingredient, entry in layout.fields.items():
                    if wanted is not None and ingredient != wanted:
                        continue
                    name = next((lower[word.lower()] for word in entry.names if word.lower() in lower), None)
                    if name is not None:
                        here[ingredient] = name
                everything.setdefault(written, set()).update(source.names)
                time_name = _time_name(source)
                if wanted is not None and not here:
                    data = [n for n in source.names if time_name in source.dimensions(n) and len(source.shape(n)) > 1]
                    data = [n for n in data if not n.endswith(("bnds", "bounds"))]
                    if len(data) == 1:
                        here[wanted] = data[0]
                        self._note(f"{written}: the variable {data[0]} is read as {wanted}")
                if not here:
                    continue
                axis = read_time(source, layout.monthly)
                if "LAI" in here and axis.dimension not in source.dimensions(here["LAI"]) and not layout.monthly:
                    self._leaf_file = str(path), here["LAI"]
                here = {i: n for i, n in here.items() if axis.dimension in source.dimensions(n)}
                if not here:
                    continue
                if self.calendar is None:
                    self.calendar, calendar_file = axis.calendar, source.file
                elif axis.calendar != self.calendar:
                    raise ConcertoError(
                        f"{source.file} has the calendar {axis.calendar}, {calendar_file} has {self.calendar}.",
                        hint="Use files of one calendar.",
                    )
                step, shift = self._check_axis(axis), self._hours_to_utc(axis, source)
                stated = source.attributes().get("time_step_seconds")
                grids = {}
                for ingredient, name in here.items():
                    order = tuple(source.dimensions(name))
                    if order not in grids:
                        grids[order] = read_grid(source, name, axis.dimension)
                    grid, turned = grids[order], False
                    if self.grid is None:
                        self.grid, grid_file = grid, f"{source.file} ({name})"
                    elif not self.grid.same(grid) and self.grid.same(_turned(grid)):
                        turned = True
                    elif not self.grid.same(grid):
                        raise ConcertoError(
                            f"{source.file}: {name} has another grid ({grid.shape[0]} x {grid.shape[1]} cells, first "
                            f"{_place(grid.latitude.flat[0], grid.longitude.flat[0])}) than {grid_file} "
                            f"({self.grid.shape[0]} x {self.grid.shape[1]}, first "
                            f"{_place(self.grid.latitude.flat[0], self.grid.longitude.flat[0])}).",
                            hint="Bring all variables to one grid, with longitudes from the same meridian on.",
                        )
                    found.setdefault(ingredient, []).append(
                        _Found(str(path), source.file, name, axis, step, None if stated is None else int(float(stated)),
                               shift, written, order, grid.dimensions, source.attributes(name), turned)
                    )  # fmt: skip
        if not found:
            written, names = next(iter(everything.items()))
            raise ConcertoError(
                f"{written}: no variable of the source {layout.name} is in these files (they have "
                f"{_some(sorted(names))}).",
                hint=f"Known are {_some([n for f in layout.fields.values() for n in f.names], 40)}; "
                "check forcing.source.",
            )
        self._everything = sorted(set().union(*everything.values()))
        self._written = _some(everything, 3)
        self._shift = next(iter(found.values()))[0].hours_to_utc
        steps = {entry.step for entries in found.values() for entry in entries if entry.step}
        self.source_seconds = layout.native_seconds or self._usual_step(steps, found)
        self._between = {"point": [], "mean": []}
        self.series = {i: self._make_series(i, entries) for i, entries in found.items()}
        words = {
            "point": "the times lie between the intervals of the day: taken as means centred there, not as values at "
            "an instant",
            "mean": "the times lie half an interval off the day: taken as the middle of intervals",
        }
        for kind, names in self._between.items():
            if names:
                self._note(f"{', '.join(dict.fromkeys(names))}: {words[kind]}")

    def _usual_step(self, steps, found):
        if len(steps) == 1:
            return steps.pop()
        first = next(iter(found.values()))[0]
        if not steps:
            if first.axis.bounds is not None:
                return int(first.axis.bounds[0, 1] - first.axis.bounds[0, 0])
            if first.stated_step is not None:
                return first.stated_step
            raise ConcertoError(
                f"{first.file} has one time only, so the length of its interval is unknown.",
                hint="Add time_bnds, or the global attribute time_step_seconds.",
            )
        raise ConcertoError(
            f"{self._written}: the files have intervals of {', '.join(str(s) for s in sorted(steps))} s.",
            hint="Use variables of one time step.",
        )

    def _check_axis(self, axis) -> int:
        """Length of the interval, s (0: one time only), after a check that time runs evenly within the file."""
        stamps = axis.stamps
        if stamps.size < 2:
            return 0
        steps = np.diff(stamps)
        usual = int(np.median(steps))
        usual = int(round(usual / 60.0)) * 60 or usual
        bad = np.abs(steps - usual) > max(0.02 * usual, 1)
        if bad.any():
            at = int(np.argmax(bad))
            before, after = (time_text(stamps[at + k], axis.calendar) for k in (0, 1))
            number = plural(int(bad.sum()), "place")
            if steps[at] <= 0:
                what = "occurs twice" if steps[at] == 0 else "runs backwards"
                raise ConcertoError(
                    f"{axis.file}: time {what} at {number}, first from {before} to {after}.",
                    hint="Sort the file and remove what is double.",
                )
            raise ConcertoError(
                f"{axis.file}: time has a gap at {number}, first between {before} and {after} (the interval is "
                f"{usual} s).",
                hint="Fill the gap or download the file again: forcing must be without gaps.",
            )
        # Times stored with few digits wander by seconds: the whole axis is put on its interval.
        axis.stamps = stamps[0] + np.arange(stamps.size) * usual
        if usual % 60 == 0:
            axis.stamps = axis.stamps + (int(round(stamps[0] / 60.0)) * 60 - stamps[0])
        return usual

    def _make_series(self, ingredient, entries) -> Series:
        layout = self.layout
        entry = layout.fields[ingredient]
        length = self.source_seconds
        segments, kinds, phases, between = [], set(), {}, self._between
        for item in entries:
            file, name, axis, attributes = item.file, item.variable, item.axis, item.attributes
            if item.step and item.step != length:
                raise ConcertoError(
                    f"{file}: the interval is {item.step} s; {layout.name} has {length} s.",
                    hint=f"{layout.hint}" if layout.hint else "Check forcing.source.",
                )
            kind = entry.kind
            methods = str(attributes.get("cell_methods", "")).lower()
            if layout.cell_methods and "time:" in methods and kind in ("point", "mean"):
                after = methods.split("time:", 1)[1].split()
                kind = "point" if after and after[0] == "point" else "mean"
            stamps = axis.stamps
            shift = item.hours_to_utc
            start = self._interval_start(axis, kind, length) - int(round(shift * 3600.0))
            if kind == "point" and start % length:
                if start % length * 2 == length:
                    kind, start = "mean", start - length // 2
                    between["point"].append(name)
            if kind == "mean" and axis.bounds is None and axis.position is None and start % length * 2 == length:
                if not shift:
                    start -= length // 2
                    between["mean"].append(name)
            phase = start % length
            if phase and (kind != "mean" or not layout.local_time):
                raise ConcertoError(
                    f"{file}: {name} has times that do not lie on the intervals of the day, such as "
                    f"{time_text(stamps[0], axis.calendar)} (interval {length} s).",
                    hint="Write the times in UTC, on whole intervals from 00:00.",
                )
            phases[phase] = file
            kinds.add(kind)
            unit = attributes.get("units")
            unit = None if unit is None else str(unit)
            scale, offset = self._conversion(ingredient, unit, file, name)
            if kind == "midnight" and not is_amount(ingredient, unit):
                raise ConcertoError(
                    f"{file}: {name} has the unit '{unit}', but {layout.name} holds amounts since midnight.",
                    hint="Use source: era5 for files with hourly means, or correct the unit.",
                )
            keep = {k: attributes[k] for k in ("_FillValue", "missing_value", "scale_factor", "add_offset")
                    if k in attributes}  # fmt: skip
            segments.append(
                Segment(item.path, file, name, (start - phase) // length, stamps.size, scale, offset, item.order,
                        axis.dimension, item.space, keep, item.turned)
            )  # fmt: skip
        if len(kinds) > 1 or len(phases) > 1:
            raise ConcertoError(
                f"{', '.join(sorted(phases.values()))}: the files of {ingredient} do not agree on what their times "
                "mean (start, middle or end of the interval, mean or instant).",
                hint="Write time_bnds and cell_methods alike in all files.",
            )
        segments.sort(key=lambda s: (s.first, s.file))
        series = Series(ingredient, kinds.pop(), segments, entries[0].written, phases.popitem()[0])
        self._check_sequence(series)
        return series

    def _conversion(self, ingredient, unit, file, name):
        return conversion(ingredient, unit, file, name, self.source_seconds, GRID)

    def _interval_start(self, axis, kind, length):
        """Start of the first interval, seconds (for sums since midnight and instants: the stamp)."""
        first = int(axis.stamps[0])
        if kind in ("point", "midnight"):
            return first
        if axis.bounds is not None:
            low, high = (int(b) for b in axis.bounds[0])
            if kind == "daily":
                return (low + high) // 2 // 86400 * 86400
            if abs(high - low - length) <= max(0.02 * length, 2):
                return int(round(low / 60.0)) * 60
        if kind == "daily":
            return first // 86400 * 86400
        if kind == "ending":
            return first - length
        position = axis.position or "start"
        return first - {"start": 0, "middle": length // 2, "end": length}[position]

    def _hours_to_utc(self, axis, source):
        """Hours that the stamps are ahead of UTC."""
        if not self.layout.local_time:
            return axis.offset_hours or 0.0
        if self._time_offset is not None:
            return float(self._time_offset)
        lower = {key.lower(): value for key, value in source.attributes().items()}
        for name in ("utc_offset_hours", "utc_offset", "timezone_offset"):
            if name in lower:
                self._note(f"offset from UTC {float(lower[name]):+g} h taken from the attribute {name}")
                return float(lower[name])
            if name in source.names and int(np.prod(source.shape(name))) == 1:
                value = float(source.get(name).reshape(-1)[0])
                self._note(f"offset from UTC {value:+g} h taken from the variable {name}")
                return value
        if axis.offset_hours is not None:
            return axis.offset_hours
        self._note("the times of the files are taken as UTC: no offset from UTC is given (forcing.time_offset_hours)")
        return 0.0

    def _check_sequence(self, series):
        """Files must follow each other without gap or overlap."""
        length = self.source_seconds
        for before, after in zip(series.segments[:-1], series.segments[1:], strict=True):
            gap = after.first - (before.first + before.count)
            if gap == 0:
                continue
            if 0 < -gap < min(before.count, after.count) and -gap * length <= 86400:
                before.count += gap
                if "overlap" not in self._said:
                    self._said.add("overlap")
                    self._note(
                        f"files overlap by {plural(-gap, 'interval')}, such as {before.file} and {after.file}: the "
                        "later file is read there"
                    )
                continue
            end = (before.first + before.count) * length + series.phase
            begin = after.first * length + series.phase
            if gap < 0:
                raise ConcertoError(
                    f"{before.file} and {after.file} overlap: both have {series.variable} at "
                    f"{self._when(begin)} ({plural(min(-gap, after.count), 'interval')} in common).",
                    hint="Name each time once: remove one file, or make forcing.files more precise.",
                )
            missing = f"{series.variable} has a gap from {self._when(end)} to {self._when(begin)}"
            years = range(int(self._when(end)[:4]), int(self._when(begin - 1)[:4]) + 1)
            if "{year}" in series.written and gap * length >= 300 * 86400:
                listed = ", ".join(str(year) for year in years)
                missing = f"there is no file of {series.variable} for {listed}"
            raise ConcertoError(
                f"{series.written}: {missing}, between {before.file} and {after.file} "
                f"({plural(gap, 'interval')} of {length} s).",
                hint="Add the file that is missing, or name only files after or before the gap.",
            )

    # which variables, and from what they are made

    def _recipe(self):
        """Choose how each variable of the model is made from what is there."""
        has = self.series
        layout = self.layout

        def need(*choices, what, hint=None):
            for choice in choices:
                if all(name in has for name in choice):
                    return choice
            possible = [choice for choice in choices if all(i in layout.fields for i in choice)]
            words = sorted({n for choice in possible for i in choice if i not in has for n in layout.fields[i].names})
            others = [e.lower() for e in self._everything if e not in {s.variable for s in has.values()}]
            near = [difflib.get_close_matches(w.lower(), others, 1, 0.8) for w in words]
            near = [n[0] for n in near if n]
            raise ConcertoError(
                f"{self._written}: {what} is missing; {layout.name} needs "
                f"{'one of ' if len(words) > 1 else ''}{', '.join(words)} (the files have "
                f"{_some(self._everything, 20)}).",
                hint=hint
                or (f"Did you mean the variable '{near[0]}'? " if near else "")
                + "Name the files of all variables in forcing.files.",
            )

        recipe = {"air_temperature": need(("Tair",), what="air temperature")}
        if "Tmin" in has and "Tmax" in has:
            recipe["air_temperature_min"], recipe["air_temperature_max"] = ("Tmin",), ("Tmax",)
        pressure = ("Psurf",)
        if "Psurf" not in has:
            if self.elevation is None:
                need(("Psurf",), what="air pressure")
            pressure = ("Tair",)
            self._note("air pressure is not in the files: barometric formula from air temperature and elevation")
        recipe["specific_humidity"] = need(
            ("Qair",), ("Tdew", *pressure), ("RH", "Tair", *pressure), ("VPD", "Tair", *pressure), what="humidity"
        )
        if recipe["specific_humidity"] != ("Qair",):
            self._note(f"specific humidity from {self.series[recipe['specific_humidity'][0]].variable} and pressure")
        recipe["pressure"] = pressure
        recipe["shortwave_down"] = need(("SWdown",), what="shortwave radiation")
        recipe["longwave_down"] = need(
            ("LWdown",),
            what="longwave radiation",
            hint="concerto does not estimate longwave for gridded forcing: add its files, or use source: monthly.",
        )
        recipe["wind_speed"] = need(("Wind",), ("Wind_N", "Wind_E"), what="wind")
        water = need(("Rainf", "Snowf"), ("Precip",), ("Rainf",), what="precipitation")
        if water == ("Rainf", "Snowf"):
            recipe["rainfall"], recipe["snowfall"] = ("Rainf",), ("Snowf",)
        elif "Snowf" in has and water == ("Precip",):
            recipe["rainfall"], recipe["snowfall"] = ("Precip", "Snowf"), ("Snowf",)
            self._note(f"rainfall is {has['Precip'].variable} less {has['Snowf'].variable}, not below zero")
        else:
            recipe["precipitation"] = water
            if water == ("Rainf",):
                self._note("Rainf without Snowf is taken as all precipitation; snow by wet bulb")
        if "LAI" in has:
            recipe["leaf_area_index"] = ("LAI",)
        self.recipe = recipe
        self.variables = tuple(recipe)
        used = {name for names in recipe.values() for name in names}
        self.series = {name: series for name, series in has.items() if name in used}
        points = {name for name, series in self.series.items() if series.kind == "point"}
        self.instantaneous = frozenset(name for name, names in recipe.items() if points.issuperset(names))

    def _times(self):
        """Interval of the source as the model sees it, and the days that all variables cover."""
        length = self.source_seconds
        if not 300 <= length <= 86400 or 86400 % length:
            raise ConcertoError(
                f"{self._written}: the interval is {length} s ({length / 3600:g} h).",
                hint="Intervals that divide a day can be read; monthly fields need source: monthly.",
            )
        fine = length
        for series in self.series.values():
            fine = math.gcd(fine, series.phase)
        if fine < length:
            if fine < 300 or any(s.kind != "mean" for s in self.series.values()):
                raise ConcertoError(
                    f"{self._written}: with the offset from UTC the intervals of {length} s do not start on intervals "
                    "of the UTC day.",
                    hint="Correct time_offset_hours, or write the files in UTC.",
                )
            self._note(
                f"the intervals of {length} s do not start on intervals of the UTC day: each is given as "
                f"{length // fine} of {fine} s with the same mean (shortwave follows the sun)"
            )
        self.native_seconds = fine
        lows, highs = [], []
        for series in self.series.values():
            low, high = series.low, series.high
            per_day = 86400 // length
            if series.kind == "midnight":
                low, high = (low - 1 if low % per_day == 1 else low), high
                high -= 1
            series.slots = (low, high)
            # Values of the hour that ends at the stamp lack the last hour of the record.
            short = (high + 1) % per_day == per_day - 1 and series.kind in ("ending", "midnight")
            lows.append((low * length + series.phase) / 86400)
            highs.append(((high + 1 + short) * length + series.phase) / 86400)
            if short:
                self._note("the last interval of the record repeats the one before where values end at the time stamp")
        first, last = math.ceil(max(lows) - 1e-9), math.floor(min(highs) + 1e-9) - 1
        self._wrap = False
        shift = self._shift / 24.0
        if shift and max(abs(edge + shift - round(edge + shift)) for edge in (max(lows), min(highs))) < 1e-6:
            # Whole days of local time: the hours that the UTC days at the ends lack are not worth a day of the record.
            self._wrap = True
            first, last = round(max(lows)), round(min(highs)) - 1
            self._note(
                f"the record holds days of local time: {abs(self._shift):g} h of the first or last UTC day are those "
                "of the day beside"
            )
        if last < first:
            spans = "; ".join(
                f"{s.variable} {self._when(s.low * length)} to {self._when((s.high + 1) * length)}"
                for s in self.series.values()
            )
            raise ConcertoError(
                f"{self._written}: there is no day that all variables cover ({spans}).",
                hint="Add the files of the same years for all variables.",
            )
        self.first_day, self.last_day = _model_days(first, last, self.calendar)
        for edges, day, word in ((lows, max(lows), "begins"), (highs, min(highs), "ends")):
            late = [s.variable for s, edge in zip(self.series.values(), edges, strict=True) if edge == day]
            if max(edges) - min(edges) >= 2.0:
                where = self.first_day if word == "begins" else self.last_day
                self._note(f"the record {word} on {where}, as {', '.join(late)} do; other variables have more days")
        # What lies beyond the whole days serves as halo, where all variables have it.
        per_fine = 86400 // fine
        self._first_slot = max(int(math.ceil(max(lows) * per_fine - 1e-6)), first * per_fine - 1)
        self._last_slot = min(int(math.floor(min(highs) * per_fine + 1e-6)) - 1, (last + 1) * per_fine)

    def _available(self, slots):
        """Slots that the files hold: at the ends of the record the edge, or the same hour of the day beside."""
        if self._wrap:
            per_day = self.per_day
            slots = slots + per_day * np.maximum(-((slots - self._first_slot) // per_day), 0)
            slots = slots - per_day * np.maximum(-((self._last_slot - slots) // per_day), 0)
        return np.clip(slots, self._first_slot, self._last_slot)

    # cells

    def _match(self):
        """Cells of the source for the cells of the domain; where the source has no data: the nearest with data."""
        self._row = np.zeros(self.n_cell, dtype=np.int64)
        self._column = np.zeros(self.n_cell, dtype=np.int64)
        shape = self.grid.shape
        has_data = np.ones(shape, dtype=bool)
        for series in self.series.values():
            segment = series.segments[0]
            known = np.zeros(shape, dtype=bool)
            # Data at the start, else at the end of the first file: a single missing time is a fault, not a sea.
            for step in dict.fromkeys((min(1, segment.count - 1), segment.count - 1)):
                raw, versions = self._raw(segment, step, step + 1, (slice(0, shape[0]), slice(0, shape[1])))
                known |= np.isfinite(_decode(raw, segment, versions)[0])
                if known.all():
                    break
            has_data &= known
        self._row, self._column = match_cells(
            self.grid, self.latitude, self.longitude, has_data, f"source {self.layout.name}", self.notes
        )
        self._make_boxes()
        if self._leaf_file and "leaf_area_index" not in self.recipe:
            self._read_months_of_leaf_area(*self._leaf_file)

    def _read_months_of_leaf_area(self, path, name):
        """Leaf area that a file gives for twelve months without a year, as the inputs of other models do."""
        source = self.handles.get(path)
        sizes = dict(zip(source.dimensions(name), source.shape(name), strict=True))
        months = [d for d, size in sizes.items() if size == 12 and d.lower().startswith(("month", "time", "mon"))]
        grid = read_grid(source, name, months[0]) if len(months) == 1 else None
        turned = grid is not None and not self.grid.same(grid) and self.grid.same(_turned(grid))
        if grid is None or not (turned or self.grid.same(grid)):
            self._note(f"{name} of {source.file} ({', '.join(sizes)}) is neither on the times nor of months: not read")
            return
        scale, offset = self._conversion("LAI", source.attributes(name).get("units"), source.file, name)
        segment = Segment(path, source.file, name, 0, 12, scale, offset, source.dimensions(name), months[0],
                          grid.dimensions, source.attributes(name), turned)  # fmt: skip
        raw, versions = self._raw(segment, 0, 12, tuple(slice(0, n) for n in grid.shape))
        leaf = _decode(raw, segment, versions)[:, self._row, self._column].T
        low, high = bounds_of("leaf_area_index")
        if np.nanmin(leaf, initial=low) < low or np.nanmax(leaf, initial=low) > high:
            raise ConcertoError(
                f"{source.file}: {name} runs from {np.nanmin(leaf):g} to {np.nanmax(leaf):g}; allowed is {low:g} to "
                f"{high:g}.",
                hint=f"Check the unit and the missing values of {name}.",
            )
        none = ~np.isfinite(leaf).all(axis=1)
        self._leaf = np.where(none[:, None], -1.0, leaf)  # the model's own leaf area where there is none
        self.variables = (*self.variables, "leaf_area_index")
        self._note(
            f"{name} of {source.file}: twelve months, interpolated between their middles, the same every year"
            + (f"; {plural(int(none.sum()), 'cell')} without it keep the model's own" if none.any() else "")
        )

    def _leaf_area(self, slots):
        """Leaf area of the months at slots (cell, slot)."""
        seconds = (slots + 0.5) * self.native_seconds
        if self.calendar == "standard":
            days = (seconds // 86400).astype(np.int64).astype("datetime64[D]")
            month = days.astype("datetime64[M]")
            begin = month.astype("datetime64[D]").astype(float)
            length = (month + 1).astype("datetime64[D]").astype(float) - begin
            place = month.astype(np.int64) % 12 + (seconds / 86400.0 - begin) / length
        else:
            length = 365.0 if self.calendar == "noleap" else 360.0
            place = (seconds / 86400.0 % length) * 12.0 / length
        before = np.floor(place - 0.5).astype(np.int64)
        share = place - 0.5 - before
        return self._leaf[:, before % 12] * (1.0 - share) + self._leaf[:, (before + 1) % 12] * share

    def _make_boxes(self):
        """One box of the source around the cells; two where the cells lie at both edges of its longitude axis."""
        self._boxes = []
        if self.n_cell == 0:
            return
        used = np.unique(self._column)
        gaps = np.diff(used)
        groups = [np.arange(self.n_cell)]
        if gaps.size and gaps.max() > self.grid.shape[1] // 3:
            border = used[int(np.argmax(gaps))]
            groups = [np.flatnonzero(self._column <= border), np.flatnonzero(self._column > border)]
        for cells in groups:
            rows, columns = self._row[cells], self._column[cells]
            box = (slice(rows.min(), rows.max() + 1), slice(columns.min(), columns.max() + 1))
            self._boxes.append((cells, box, rows - rows.min(), columns - columns.min()))

    def subset(self, cells) -> FileForcing:
        """The source for a slice of its cells: `slice`, pair (first, last) as of `Domain.take`, or index array."""
        if isinstance(cells, tuple) and len(cells) == 2:
            cells = slice(*cells)
        part = copy.copy(self)
        part.handles = Handles(self.handles.limit)
        part.notes, part._said = list(self.notes), set(self._said)
        for name in ("latitude", "longitude", "_row", "_column", "_leaf"):
            if getattr(self, name) is not None:
                setattr(part, name, getattr(self, name)[cells])
        if self.elevation is not None:
            part.elevation = np.asarray(self.elevation)[cells]
        part.n_cell = part.latitude.size
        if self._climatology is not None:
            part._climatology = {
                key: value[cells] if key in ("temperature", "precipitation") else value
                for key, value in self._climatology.items()
            }
        part._make_boxes()
        return part

    def close(self):
        self.handles.close()

    # values

    def _raw(self, segment, start, stop, box):
        """Stored numbers of a box ([version,] time, y, x), and whether there is a dimension of versions (expver)."""
        if segment.turned:
            n = self.grid.shape[0]
            box = (slice(n - box[0].stop, n - box[0].start), box[1])
        space = dict(zip(segment.space, box[2 - len(segment.space) :], strict=True))
        key, kept = [], []
        for dimension in segment.order:
            if dimension == segment.time_dimension:
                key.append(slice(start, stop))
            elif dimension in space:
                key.append(space[dimension])
            elif dimension.lower() == "expver":
                key.append(slice(None))
            else:
                key.append(0)
                continue
            kept.append(dimension)
        try:
            with self.handles.lock:
                raw = self.handles.get(segment.path).get(segment.variable, tuple(key))
        except ConcertoError as error:
            at = self._when((segment.first + start) * self.source_seconds)
            raise ConcertoError(f"{error.message} Reading from {at} on failed.", hint=error.hint) from error
        if raw.shape[kept.index(segment.time_dimension)] != stop - start:
            raise ConcertoError(
                f"{segment.file}: {segment.variable} has fewer times than when it was opened.",
                hint="The file was changed while it was read; start again when it is complete.",
            )
        versions = [d for d in kept if d.lower() == "expver" and d not in space]
        raw = raw.transpose([kept.index(d) for d in (*versions, segment.time_dimension, *segment.space)])
        lead = raw.shape[: len(versions)]
        sizes = tuple(side.stop - side.start for side in box)
        raw = raw.reshape((*lead, stop - start, *sizes))
        return (raw[..., ::-1, :] if segment.turned else raw), bool(versions)

    def _fetch(self, series, first, count) -> np.ndarray:
        """Values of the own cells (cell, count) for slots first to first + count - 1."""
        out = np.full((self.n_cell, count), np.nan)
        for segment in series.segments:
            low, high = max(first, segment.first), min(first + count, segment.first + segment.count)
            if low >= high:
                continue
            for cells, box, rows, columns in self._boxes:
                size = (box[0].stop - box[0].start) * (box[1].stop - box[1].start) * 4
                piece = max(1, PIECE // size)
                for start in range(low - segment.first, high - segment.first, piece):
                    stop = min(start + piece, high - segment.first)
                    raw, versions = self._raw(segment, start, stop, box)
                    picked = raw[..., rows, columns]  # (time, cell), before the conversion to 8 bytes
                    position = segment.first + start - first
                    values = _decode(picked, segment, versions)
                    if cells.size == self.n_cell:
                        out[:, position : position + stop - start] = values.T
                    else:
                        out[cells, position : position + stop - start] = values.T
        return out

    def _ingredient(self, name, slots) -> np.ndarray:
        """An ingredient in SI units (cell, slot); slots (of `native_seconds`) ascending, finite or an error."""
        series = self.series[name]
        length, fine = self.source_seconds, self.native_seconds
        coarse = slots if fine == length else (slots * fine - series.phase) // length
        coarse = np.clip(coarse, *series.slots)
        unique, inverse = np.unique(coarse, return_inverse=True)
        breaks = np.flatnonzero(np.diff(unique) > 1) + 1
        parts = [self._run(series, part) for part in np.split(unique, breaks)]  # runs without a gap
        values = parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)
        self._check_finite(series, values, unique)
        if fine == length and unique.size == slots.size:
            return values
        spread = values[:, inverse]
        if name == "SWdown" and fine < length:
            spread *= self._sun_weights(slots, coarse, inverse, unique.size, series.phase)
        return spread

    def _run(self, series, slots) -> np.ndarray:
        """Values (cell, slot) of slots without a gap."""
        first, count = int(slots[0]), slots.size
        if series.kind != "midnight":
            return self._fetch(series, first, count)
        total = self._fetch(series, first, count + 1)  # at the starts and ends of the hours
        begin_of_day = slots % (86400 // self.source_seconds) == 0
        return total[:, 1:] - np.where(begin_of_day, 0.0, total[:, :-1])

    def _sun_weights(self, slots, coarse, inverse, n, phase):
        """Share of each fine interval in the shortwave of its coarse one, over the mean share (cell, slot)."""
        fine, length = self.native_seconds, self.source_seconds
        ratio = length // fine
        starts = np.unique(coarse) * length + phase
        times = (starts[:, None] + np.arange(ratio) * fine).ravel()
        third = fine // 3
        lat, lon = self.latitude[:, None], self.longitude[:, None]
        days = (times // 86400).astype("datetime64[D]") if self.calendar == "standard" else None
        if days is None:  # the sun of the same date in a common year
            text = [self._when(t // 86400 * 86400)[5:10] for t in times]
            days = np.array([f"2001-{t if t not in ('02-29', '02-30') else '02-28'}" for t in text], "datetime64[D]")
        middle = days.astype("datetime64[s]") + (times % 86400 + fine // 2).astype("timedelta64[s]")
        top = sum(
            derive.top_of_atmosphere((middle + np.timedelta64(k * third, "s"))[None, :], lat, lon) for k in (-1, 0, 1)
        )
        top = top.reshape(self.n_cell, n, ratio)
        mean = top.mean(axis=2, keepdims=True)
        weight = np.where(mean > 1e-6, top / np.maximum(mean, 1e-6), 1.0)
        position = (slots * fine - phase - coarse * length) // fine
        return weight[:, inverse, np.clip(position, 0, ratio - 1)]

    def _check_finite(self, series, values, slots):
        bad = ~np.isfinite(values)
        if not bad.any():
            return
        cell, at = np.argwhere(bad)[np.argmin(np.argwhere(bad)[:, 1])]
        raise ConcertoError(
            f"{series.file_at(int(slots[at]))}: {series.variable} is missing at "
            f"{self._when(int(slots[at]) * self.source_seconds + series.phase)} at "
            f"{_place(self.latitude[cell], self.longitude[cell])} ({plural(int(bad.sum()), 'value')} of "
            f"{plural(int(bad.any(axis=1).sum()), 'cell')} in what was read).",
            hint="The cell has data at other times: download the file again, or fill the value.",
        )

    def _variable(self, name, get, slots) -> np.ndarray:
        """One variable of the model (cell, slot), checked."""
        names = self.recipe[name]

        def pressure():
            if "Psurf" in self.series:
                return get("Psurf")
            return derive.barometric_pressure(get("Tair"), np.asarray(self.elevation, dtype=float)[:, None])

        if name == "pressure":
            values = pressure()
        elif name == "wind_speed" and len(names) == 2:
            values = np.hypot(get("Wind_N"), get("Wind_E"))
        elif name == "specific_humidity" and names[0] != "Qair":
            if names[0] == "Tdew":
                vapour = dew_point_pressure(get("Tdew"))
            else:
                saturated = derive.saturation_pressure_bolton(get("Tair"))
                share = np.clip(get("RH") / 100.0, 0.0, 1.0) if names[0] == "RH" else None
                vapour = saturated * share if share is not None else np.maximum(saturated - get("VPD"), 0.0)
            values = derive.specific_humidity(vapour, pressure())
        elif name == "rainfall" and len(names) == 2:
            values = np.maximum(self._without_snow(get("Precip"), get("Snowf"), slots), 0.0)
        else:
            values = get(names[0])
        return self._check_bounds(name, values, slots)

    def _without_snow(self, water, snow, slots):
        """Precipitation less snowfall; much more snow than precipitation is a wrong unit."""
        rest = water - snow
        short, much = -np.minimum(rest, 0.0).sum(), snow.sum()
        if short > 0.1 * much and short > 1e-5:
            cell, at = np.unravel_index(np.argmin(rest), rest.shape)
            total, part = self.series["Precip"], self.series["Snowf"]
            when = int(slots[at]) * self.native_seconds
            raise ConcertoError(
                f"{part.file_at(when // self.source_seconds)}: {part.variable} is larger than {total.variable}, which "
                f"includes it: {snow[cell, at]:.3g} and {water[cell, at]:.3g} kg m-2 s-1 at {self._when(when)} at "
                f"{_place(self.latitude[cell], self.longitude[cell])}.",
                hint=f"Check the units of {total.variable} and {part.variable}.",
            )
        return rest

    def _check_bounds(self, name, values, slots):
        low, high = bounds_of(name)
        if values.size == 0 or (values.min() >= low and values.max() <= high):
            return values
        noise = _NOISE.get(name, 0.0)
        if any(self.series[i].kind == "midnight" for i in self.recipe[name] if i in self.series):
            noise *= 3.0  # a difference of two sums of a day
        small = (values < low) & (values >= low - noise)
        if small.any():
            values = np.where(small, low, values)
            self._note(f"{name}: values slightly below zero (packing) are set to zero")
        bad = (values < low) | (values > high)
        if not bad.any():
            return values
        places = np.argwhere(bad)
        cell, at = places[np.argmin(places[:, 1])]
        series = [self.series[i] for i in self.recipe[name] if i in self.series]
        slot = int(slots[at]) * self.native_seconds // self.source_seconds
        found = float(values[cell, at])
        hint = f"Check the unit of {series[0].variable}"
        if series[0].kind == "ending" and found > high:
            hint += "; if it accumulates from 00 UTC, the source is era5_land"
        elif series[0].kind == "midnight" and found < low:
            hint += "; if the values are amounts of one hour (not since midnight), the source is era5"
        raise ConcertoError(
            f"{series[0].file_at(slot)}: {' and '.join(s.variable for s in series)} give {name} = {found:.5g} at "
            f"{self._when(int(slots[at]) * self.native_seconds)} at "
            f"{_place(self.latitude[cell], self.longitude[cell])}; allowed is {low:g} to {high:g} "
            f"({plural(int(bad.sum()), 'value')} of {plural(int(bad.any(axis=1).sum()), 'cell')} in what was read).",
            hint=hint + ".",
        )

    def _canonical(self, slots, names) -> dict:
        cache = {}

        def get(ingredient):
            if ingredient not in cache:
                cache[ingredient] = self._ingredient(ingredient, slots)
            return cache[ingredient]

        return {name: self._variable(name, get, slots) for name in names}

    def read(self, days) -> dict[str, np.ndarray]:
        days = np.atleast_1d(np.asarray(days).astype("datetime64[D]"))
        if days.size == 0:
            raise ValueError("read() needs at least one day")
        self._check_days(days)
        per_day = self.per_day
        numbers = source_day(days, self.calendar)
        slots = (numbers[:, None] * per_day + np.arange(per_day)).ravel()
        slots = np.concatenate(([slots[0] - 1], slots, [slots[-1] + 1]))
        slots = self._available(slots)
        unique, inverse = np.unique(slots, return_inverse=True)
        values = self._canonical(unique, self.recipe)
        if self._leaf is not None:
            values["leaf_area_index"] = self._leaf_area(unique)
        if unique.size == slots.size and (inverse[1:] > inverse[:-1]).all():
            return {name: np.ascontiguousarray(array) for name, array in values.items()}
        return {name: array[:, inverse] for name, array in values.items()}

    def _check_days(self, days):
        outside = (days < self.first_day) | (days > self.last_day)
        if outside.any():
            asked = f"{days.min()} to {days.max()}" if days.size > 1 else str(days[0])
            raise ConcertoError(
                f"{self._written}: forcing was asked for {asked}, the files cover {self.first_day} to {self.last_day} "
                f"({plural(int(outside.sum()), 'day')} outside, first {days[int(np.argmax(outside))]}).",
                hint="Add the files of these years, or choose years within (phases: years, climate).",
            )

    def climatology(self, years: int = 10) -> dict:
        """Monthly climate of the first complete years of the record (at most `years`), read month by month.

        A record without a complete year has the climate of the package's embedded normals, with a note.
        """
        if self._climatology is None:
            self._climatology = self._read_climatology(years)
        return self._climatology

    def _read_climatology(self, limit):
        first = int(str(self.first_day - 1)[:4]) + 1
        last = int(str(self.last_day + 1)[:4]) - 1
        chosen = list(range(first, min(last, first + limit - 1) + 1))
        if not chosen:
            from concerto.domain.embedded import embedded_normals

            self._note(
                f"the forcing ({self.first_day} to {self.last_day}) has no complete year: the climate for land cover "
                "is that of the embedded normals"
            )
            elevation = np.zeros(self.n_cell) if self.elevation is None else np.asarray(self.elevation)
            normals = embedded_normals(self.latitude, self.longitude, elevation)
            return {k: np.asarray(normals[k]) for k in ("temperature", "precipitation")} | {"years": None}
        water = [name for name in ("precipitation", "rainfall", "snowfall") if name in self.recipe]
        total = {"temperature": np.zeros((self.n_cell, 12)), "precipitation": np.zeros((self.n_cell, 12))}
        for year in chosen:
            for month in range(12):
                start = np.datetime64(f"{year:04d}-{month + 1:02d}", "M")
                days = np.arange(start.astype("datetime64[D]"), (start + 1).astype("datetime64[D]"))
                size = days.size * self.per_day * self.n_cell * 24  # bytes of three variables
                for part in np.array_split(days, min(days.size, 1 + size // 2**28)):
                    numbers = source_day(part, self.calendar)[:, None] * self.per_day + np.arange(self.per_day)
                    unique, inverse = np.unique(self._available(numbers.ravel()), return_inverse=True)
                    values = self._canonical(unique, ["air_temperature", *water])
                    share = part.size / days.size
                    air = values["air_temperature"][:, inverse].mean(axis=1) - derive.FREEZING_POINT
                    total["temperature"][:, month] += share * air
                    for name in water:
                        total["precipitation"][:, month] += values[name][:, inverse].sum(axis=1) * self.native_seconds
        self._note(f"climate for land cover: mean of {chosen[0]} to {chosen[-1]}")
        annual = total["precipitation"].sum(axis=1) / len(chosen)
        names = " and ".join(self.series[i].variable for w in water for i in self.recipe[w][:1])
        if annual.max(initial=0.0) > WETTEST:
            cell = int(np.argmax(annual))
            raise ConcertoError(
                f"{self._written}: {names} give {annual[cell]:.0f} mm of precipitation a year at "
                f"{_place(self.latitude[cell], self.longitude[cell])}; the wettest places of the earth have 12000 mm.",
                hint=f"Check the unit of {names}.",
            )
        if annual.size and annual.max() < 1.0:
            self._note(f"{names}: less than 1 mm a year in every cell; is its unit right?")
        return {name: value / len(chosen) for name, value in total.items()} | {"years": [chosen[0], chosen[-1]]}

    def _check_sun(self):
        """Refuse times that are hours away from the sun (local time read as UTC)."""
        from concerto.forcing.checks import solar_lag

        n_day = min(int((self.last_day - self.first_day).astype(int)) + 1, 10)
        if n_day < 3 or self.n_cell == 0 or self.calendar != "standard":
            return
        cell = int(np.argmin(np.abs(self.latitude)))
        part = self.subset(slice(cell, cell + 1))
        days = self.first_day + np.arange(n_day)
        slots = (source_day(days, self.calendar)[:, None] * self.per_day + np.arange(self.per_day)).ravel()
        unique, inverse = np.unique(self._available(slots), return_inverse=True)
        light = part._ingredient("SWdown", unique)[0, inverse]
        part.close()
        start = days[0].astype("datetime64[s]") + np.arange(slots.size) * np.timedelta64(self.native_seconds, "s")
        lag, best, zero, _ = solar_lag(light, start, self.native_seconds, self.latitude[cell], self.longitude[cell])
        hours = lag * self.native_seconds / 3600.0
        if best < 0.7 or best - zero < 0.02 or abs(hours) < 2.0:
            return
        raise ConcertoError(
            f"{self.series['SWdown'].segments[0].file}: {self.series['SWdown'].variable} runs {abs(hours):g} h "
            f"{'ahead of' if hours > 0 else 'behind'} the sun at {_place(self.latitude[cell], self.longitude[cell])} "
            f"in the first {n_day} days (correlation {best:.3f} with, {zero:.3f} without this shift).",
            hint="Times in local time need forcing.time_offset_hours (local time less UTC, "
            f"about {self.longitude[cell] / 15.0:.0f} here); else check the longitudes.",
        )

    def _when(self, seconds) -> str:
        return time_text(seconds, self.calendar)

    def _note(self, text):
        if text not in self._said:
            self._said.add(text)
            self.notes.append(text)


def _decode(raw, segment, versions):
    """Stored numbers as float64 in SI units, NaN where missing; several versions (expver): the first that has data."""
    attributes = segment.attributes
    values = raw.astype(np.float64)
    missing = ~np.isfinite(values)
    for key in ("_FillValue", "missing_value"):
        fills = np.atleast_1d(attributes.get(key, []))
        for fill in fills[np.isfinite(fills)] if fills.dtype.kind in "fiu" else ():
            missing |= raw == fill.astype(raw.dtype)
    if "scale_factor" in attributes or "add_offset" in attributes:
        values *= float(attributes.get("scale_factor", 1.0))
        values += float(attributes.get("add_offset", 0.0))
    # -9999 is missing whether or not an attribute says so, and so are the default fill values of NetCDF.
    if not missing.all() and (np.nanmin(values) < -9000.0 or np.nanmax(values) > 1e30):
        missing |= (np.abs(values) > 1e30) | ((values <= -9990.0) & (values >= -10000.0))
    if segment.scale != 1.0:
        values *= segment.scale
    if segment.offset != 0.0:
        values += segment.offset
    if missing.any():
        values[missing] = np.nan
    if versions:
        merged = values[0]
        for other in values[1:]:
            merged = np.where(np.isfinite(merged), merged, other)
        values = merged
    return values


def dew_point_pressure(dew_point):
    """Vapour pressure, Pa, from dew point, K: saturation over water as in ERA5 (Teten; IFS Cy47r3)."""
    return 611.21 * np.exp(17.502 * (dew_point - 273.16) / (dew_point - 32.19))


def bounds_of(name) -> tuple[float, float]:
    """Lowest and highest possible value of a variable of `read`, from the table of variables."""
    from concerto.tables import loader

    table = loader.variables("forcing")
    entry = {
        "precipitation": "rainfall", "air_temperature_min": "air_temperature", "air_temperature_max": "air_temperature",
        "leaf_area_index": "prescribed_leaf_area",
    }.get(name, name)  # fmt: skip
    low, high = table[entry].bounds
    return (0.0, high) if name == "leaf_area_index" else (low, high)
