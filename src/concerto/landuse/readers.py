"""Histories of land use from files: LUH2 and LUH3, annual class maps of HILDA+ and ESA CCI, tables.

Fractions of cells in a file become fractions of land, averaged over the cells of the model by area of land (exact
overlaps on the sphere, `concerto.domain.maps`). A point, or a cell of the model inside one of the file, takes the
fractions of the cell that holds it. Only the rows and columns of the own cells are read, one year at a time.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from dataclasses import replace
from pathlib import Path

import numpy as np

from concerto.domain.land_cover import ESA_CCI_CODES, ESA_CCI_GROUPS
from concerto.domain.maps import (
    AREA_UNITS,
    Grid,
    Nearest,
    cell_area,
    entry,
    latitude_overlap,
    locate,
    longitude_overlap,
    open_file,
    same_axes,
)
from concerto.errors import ConcertoError
from concerto.forcing.gridded import NETCDF_LOCK
from concerto.landuse.classes import (
    CROP,
    HARVEST,
    KINDS,
    PRIMARY,
    SECONDARY,
    URBAN,
    hilda_kinds,
    kind_number,
    state_map,
)
from concerto.landuse.history import (
    REPAIRABLE,
    Fixed,
    LandUse,
    LandUseYear,
    add_harvest_to_transitions,
    check,
    implied_area,
    net_transitions,
    repaired,
    split_gross,
)

NO_LAND = 1e-6  # share of a cell of a file below which it has no land
FAR = 2.0, 4.0  # degrees, cells of the file: farther (than the larger) a cell does not take what is nearest to it
POLAR = 60.0  # latitude beyond which land may be ice that a history does not know, degrees
MOST_MASS = 60.0  # kg C m-2 that a harvest may take from the land that is cut; the densest forests hold less
ROUNDING = 1e-5  # kg N m-2 yr-1; a rate that is farther below zero is no rounding
FRACTION_UNITS = {
    "", "1", "fraction", "unitless", "none", "-", "1 yr-1", "yr-1", "1 year-1", "year-1", "1/yr", "1/year",
    "fraction of grid cell", "fraction of gridcell", "fraction yr-1", "fraction of grid cell yr-1", "m2 m-2",
    "fraction of crop area", "(0 - 1)", "0-1",
}  # fmt: skip
MASS_UNITS = {"kg": 1.0, "kgc": 1.0, "mg": 1e3, "mgc": 1e3, "t": 1e3, "tc": 1e3, "g": 1e-3, "gc": 1e-3}
RATE_UNITS = {
    "kg ha-1 yr-1": 1e-4, "kg n ha-1 yr-1": 1e-4, "kg/ha/yr": 1e-4, "kg ha-1 year-1": 1e-4, "kgn/ha/yr": 1e-4,
    "kg n ha-1 (crop season)-1": 1e-4, "kg ha-1 (crop season)-1": 1e-4, "kg ha-1": 1e-4, "": 1e-4,
    "kg m-2 yr-1": 1.0, "kg n m-2 yr-1": 1.0, "g n m-2 yr-1": 1e-3, "g m-2 yr-1": 1e-3,
}  # fmt: skip


def open_land_use(config_land_use, domain, folder=".") -> LandUse | None:
    """The history of land use of the section `land_use` of a configuration, for the cells of a domain.

    Parameters
    ----------
    config_land_use : object with the attributes of the section, or a dict
        source (none, luh2, luh3, hilda, esa_cci, table, idealised), files, transitions (gross or net), secondary,
        fixed_year, held, inconsistent (repair or refuse), urban (keep or remove), states (TOML file), idealised,
        initial (kind to fraction; table and idealised), version (hilda: 1.0 or 2.1), pasture_share (hilda).
    domain : Domain
    folder : path that relative paths count from

    Returns
    -------
    LandUse
        None for the source none.

    Raises
    ------
    ConcertoError
        A file, variable or year is missing, a state is not known, grids differ, or a word is wrong.
    """
    source = entry(config_land_use, "source", "none")
    if source == "none":
        return None
    known = {"luh2": Luh, "luh3": Luh, "hilda": Hilda, "esa_cci": EsaCci, "table": Table}
    if source == "idealised":
        from concerto.landuse.idealised import Idealised

        series = Idealised(config_land_use, domain, folder)
    elif source in known:
        series = known[source](config_land_use, domain, folder)
    else:
        raise ConcertoError(
            f"land_use.source is '{source}'", hint="choose none, luh2, luh3, hilda, esa_cci, table or idealised"
        )
    fixed = entry(config_land_use, "fixed_year")
    if fixed is not None:
        if not (series.first_year <= fixed <= series.last_year or series.held):
            raise ConcertoError(
                f"land_use.fixed_year is {fixed}, and the states are those of {series.first_year} to "
                f"{series.last_year}",
                hint="choose a year of the series",
            )
        return Fixed(series, fixed)
    return series


def options(config, held=False) -> dict:
    """Arguments of `LandUse` from a configuration."""
    transitions = entry(config, "transitions", "gross")
    if transitions not in ("gross", "net"):
        raise ConcertoError(f"land_use.transitions is '{transitions}'", hint="choose gross or net")
    return {
        "secondary": entry(config, "secondary", "age_classes"),
        "held": bool(entry(config, "held", held)),
        "inconsistent": entry(config, "inconsistent", "repair"),
        "gross": transitions == "gross",
    }


# --- files by year --------------------------------------------------------------------------------------------------


class OpenFiles:
    """Files that stay open, the least recently used of them closed when there are many."""

    def __init__(self, limit=16):
        self.limit, self._open = limit, OrderedDict()

    def get(self, path):
        """An open `netCDF4.Dataset`; hold NETCDF_LOCK while using it."""
        if path not in self._open:
            self._open[path] = open_file(path)
            while len(self._open) > self.limit:
                self._open.popitem(last=False)[1].close()
        self._open.move_to_end(path)
        return self._open[path]

    def close(self):
        with NETCDF_LOCK:
            while self._open:
                self._open.popitem()[1].close()


def paths_of(value, key, folder) -> list[tuple[Path, int | None]]:
    """Files of an entry of `files`: a path, a list, a glob or a pattern with {year}; with the year of a pattern."""
    if not value:
        raise ConcertoError(f"land_use.files has no {key}", hint=f"name the file: files: {{{key}: path}}")
    out = []
    for text in value if isinstance(value, (list, tuple)) else [value]:
        text = str(text)
        if "{year}" not in text and not any(c in text for c in "*?["):
            path = Path(folder) / text
            if not path.exists():
                raise ConcertoError(
                    f"there is no file {path}, named in land_use.files.{key}", hint="paths count from the configuration"
                )
            out.append((path, None))
            continue
        pattern = re.escape(Path(text).name).replace(re.escape("{year}"), r"(\d{4})", 1)
        pattern = pattern.replace(re.escape("{year}"), r"\1").replace(r"\*", ".*").replace(r"\?", ".")
        parent = (Path(folder) / text).parent
        if "{year}" in str(parent) or any(c in str(parent) for c in "*?["):
            found = sorted(
                Path(parent.anchor or ".").glob(
                    str(Path(folder, text).relative_to(parent.anchor or ".")).replace("{year}", "[0-9][0-9][0-9][0-9]")
                )
            )
            hits = [(p, re.findall(r"(?<!\d)\d{4}(?!\d)", str(p))) for p in found]
            found = [(p, int(years[-1]) if years and "{year}" in text else None) for p, years in hits]
        else:
            hits = [(p, re.fullmatch(pattern, p.name)) for p in sorted(parent.glob("*"))] if parent.is_dir() else []
            found = [(p, int(m.group(1)) if m.groups() else None) for p, m in hits if m]
        if not found:
            raise ConcertoError(f"no file matches {text}, named in land_use.files.{key}", hint=f"looked in {parent}")
        out += found
    return out


def years_of(file, path, dimension) -> np.ndarray:
    """Calendar years (time,) of the time axis of an open file.

    Units may be `years since Y-1-1`, `days since ...` (any calendar), or absent where the values are years.
    """
    axis = file.variables.get(dimension)
    if axis is None:
        raise ConcertoError(f"{path}: the dimension {dimension} has no variable of times", hint="add years to it")
    values = np.ma.asarray(axis[:]).astype(float).filled(np.nan)
    unit = str(getattr(axis, "units", "")).strip()
    since = re.match(r"(?:common_)?(?:years?|yrs?)\s+since\s+(-?\d+)(?:-(\d+)-(\d+))?", unit, re.I)
    if not np.isfinite(values).all():
        raise ConcertoError(f"{path}: times are missing on {dimension}", hint="write the axis anew")
    back = np.flatnonzero(np.diff(values) <= 0.0)
    if len(back):
        raise ConcertoError(
            f"{path} is damaged: its times do not increase, {values[back[0]]:g} is followed by "
            f"{values[back[0] + 1]:g} on {dimension}",
            hint="copy it again (zeros stand where a file was cut or is still being written), or sort it by time",
        )
    if since:
        start = int(since.group(1))
        return np.floor(start + values + 1e-6).astype(int)
    if " since " in unit:
        import cftime

        dates = cftime.num2date(values, unit, calendar=str(getattr(axis, "calendar", "standard")))
        return np.array([date.year for date in np.atleast_1d(dates)], dtype=int)
    if unit.lower() in ("", "1", "year", "years", "yr", "calendar year") and len(values):
        if (values == np.round(values)).all() and values.min() >= 1 and values.max() <= 9999:
            return values.astype(int)
    raise ConcertoError(
        f"{path}: the times of {dimension} in '{unit}' are no years", hint="give units such as years since 850-01-01"
    )


_DECODED = {  # attributes whose values netCDF4 has to decode
    "scale_factor", "add_offset", "valid_min", "valid_max", "valid_range", "_Unsigned",
}  # fmt: skip


class Annual:
    """Variables on a grid for every year, in one or several files of one layout.

    Attributes
    ----------
    names : tuple of str
        Variables on latitude and longitude.
    years : list of int
    grid : concerto.domain.maps.Grid
    """

    def __init__(self, value, key, folder, files, named=None):
        self.key, self.files, self.where = key, files, {}
        paths = paths_of(value, key, folder)
        self.path = paths[0][0]
        with NETCDF_LOCK:
            first = files.get(self.path)
            self.grid = self._grid(first, self.path, named)
            lat, lon = self.grid.dims
            self.names = tuple(n for n, v in first.variables.items() if lat in v.dimensions and lon in v.dimensions)
            for path, year in paths:
                file = files.get(path)
                if path != self.path:
                    other = self._grid(file, path, named)
                    same = other.flipped == self.grid.flipped and np.array_equal(other.columns, self.grid.columns)
                    if not same_grid(other, self.grid) or not same:  # they are read by the order of the first
                        raise _grids(path, self.path)
                time = self._time(file, path)
                if time is None:
                    if year is None and len(paths) == 1:
                        self.where[None] = (path, None)  # constant in time
                        continue
                    if year is None:
                        raise ConcertoError(
                            f"{path} has no time, and its name was not given with {{year}}",
                            hint=f"write {{year}} where the year stands in land_use.files.{key}",
                        )
                    years = [year]
                elif year is not None and len(file.dimensions[time]) == 1:
                    years = [year]  # the name tells; stamps of such files stand anywhere in the year
                else:
                    years = years_of(file, path, time).tolist()
                for place, one in enumerate(years):
                    if one in self.where:
                        raise ConcertoError(
                            f"{path}: the year {one} stands twice, also in {self.where[one][0].name}",
                            hint="leave one of them out",
                        )
                    self.where[one] = (path, None if time is None else place)
        self.years = sorted(year for year in self.where if year is not None)
        self._check_years()

    @staticmethod
    def _grid(file, path, named):
        shaped = [v for v in file.variables.values() if v.ndim >= 2]
        dims = {d for v in shaped for d in v.dimensions} or None
        return Grid(file, path, dims, named)

    def _time(self, file, path):
        """The dimension beside latitude and longitude that is time; None if there is none."""
        lat, lon = self.grid.dims
        found = {
            d for n in self.names if n in file.variables for d in file.variables[n].dimensions if d not in (lat, lon)
        }
        named = [d for d in found if d.lower() in ("time", "year", "years", "t")]
        if named or not found:
            return named[0] if named else None
        longer = [d for d in found if len(file.dimensions[d]) > 1]
        if longer:
            raise ConcertoError(
                f"{path}: variables have the further dimension {longer[0]}", hint="time is expected beside lat and lon"
            )
        return None

    def _check_years(self):
        if self.years:
            gaps = sorted(set(range(self.years[0], self.years[-1] + 1)) - set(self.years))
            if gaps:
                path = self.where[self.years[0]][0]
                raise ConcertoError(
                    f"{path.name}: the year {gaps[0]} is missing ({len(gaps)} of "
                    f"{self.years[-1] - self.years[0] + 1} years)",
                    hint=f"land_use.files.{self.key} needs every year from {self.years[0]} to {self.years[-1]}",
                )

    def attribute(self, name, attribute):
        with NETCDF_LOCK:
            return str(getattr(self.files.get(self.path).variables[name], attribute, "")).strip()

    def raw(self, name, year, rows, columns=None):
        """Masked array (row, column) of model rows (first, last) and columns (first, last) for a year."""
        n, (first, last) = len(self.grid.lat), rows
        own = self.grid.columns if columns is None else self.grid.columns[columns[0] : columns[1]]
        low, high = (int(own.min()), int(own.max()) + 1) if len(own) else (0, 0)
        box = slice(n - last, n - first) if self.grid.flipped else slice(first, last), slice(low, high)
        values, _ = self._read(name, year, box, masked=True)
        return (values[::-1] if self.grid.flipped else values)[:, own - low]

    def pixels(self, name, year, to):
        """Values (pixel,) of a year as float64, NaN where missing, at the pixels of a `Regrid`.

        What is not needed of the box is neither masked nor cast, which costs more than to read it.
        """
        box, place = to.in_file(self.grid)
        values, gone = self._read(name, year, box, masked=False)
        values = values.ravel()[place]
        if isinstance(values, np.ma.MaskedArray):
            values = values.astype(float).filled(np.nan)
        elif gone:
            missing = np.isin(values, np.array(gone, dtype=values.dtype))
            values = np.where(missing, np.nan, values.astype(float))
        values = values.astype(float, copy=False)
        with np.errstate(invalid="ignore"):
            return np.where(np.abs(values) < 1e19, values, np.nan)  # fill values without the attribute

    def _read(self, name, year, box, masked):
        """Values (row, column) of a box (slices of rows and columns of the file), and the values that are missing.

        Not masked and in the type of the file unless it is packed or says which values are valid.
        """
        path, place = self.where[None] if None in self.where else self._place(year)
        (lat, lon), pick = self.grid.dims, dict(zip(self.grid.dims, box, strict=True))
        with NETCDF_LOCK:
            file = self.files.get(path)
            if name not in file.variables:
                raise ConcertoError(f"{path}: there is no variable {name}", hint=f"it has {', '.join(file.variables)}")
            variable = file.variables[name]
            dims = variable.dimensions
            key = tuple(pick.get(d, 0 if place is None else place) for d in dims)
            try:
                attributes = set(variable.ncattrs())
                plain = not masked and variable.dtype in (np.float32, np.float64) and not attributes & _DECODED
                gone = []
                for attribute in ("_FillValue", "missing_value") if plain else ():
                    if attribute in attributes:
                        gone += np.ravel(variable.getncattr(attribute)).tolist()
                plain = plain and all(isinstance(value, float | int) for value in gone)
                variable.set_auto_maskandscale(not plain)
                try:
                    values = variable[key]
                finally:
                    variable.set_auto_maskandscale(True)
            except (OSError, RuntimeError, IndexError, AttributeError) as error:
                raise ConcertoError(
                    f"{path}: {name} cannot be read, the file is truncated or corrupt ({error})",
                    hint="copy or download the file again",
                ) from None
        values = values if plain else np.ma.asarray(values)
        return values if dims.index(lat) < dims.index(lon) else values.T, gone

    def _place(self, year):
        if year not in self.where:
            raise ConcertoError(
                f"{self.path.name} has no year {year}: it has {self.years[0]} to {self.years[-1]}",
                hint=f"add a file with it to land_use.files.{self.key}",
            )
        return self.where[year]


def same_grid(a, b) -> bool:
    """Whether two grids of files have the same cells."""
    if len(a.lat) != len(b.lat) or len(a.lon) != len(b.lon):
        return False
    pairs = ((a.lat, b.lat), (a.lon, b.lon))
    return all(np.array_equal(same_axes(x, y), np.arange(len(y))) for x, y in pairs)


def _grids(path, other):
    return ConcertoError(
        f"{Path(path).name} and {Path(other).name} are on different grids", hint="use files of one release and grid"
    )


# --- from the grid of a file to the cells ---------------------------------------------------------------------------


def overlaps(grid, domain):
    """Pairs of cell of the model and of the file: cell, row, column, share of the area of the model's cell."""
    if domain.kind != "latlon":
        rows, columns = locate(grid, domain.latitude, domain.longitude)
        cells = np.flatnonzero(rows >= 0)
        return cells, rows[cells], columns[cells], np.ones(len(cells))
    t_lat, s_lat, w_lat = latitude_overlap(grid.lat_bounds, domain.lat_bounds)
    t_lon, s_lon, w_lon = longitude_overlap(grid.lon_bounds, domain.lon_bounds)
    order = np.argsort(t_lon, kind="stable")
    t_lon, s_lon, w_lon = t_lon[order], s_lon[order], w_lon[order]
    row, column = domain.index // len(domain.lon), domain.index % len(domain.lon)
    lat_first, lon_first = np.searchsorted(t_lat, row), np.searchsorted(t_lon, column)
    n_lat = np.searchsorted(t_lat, row, side="right") - lat_first
    n_lon = np.searchsorted(t_lon, column, side="right") - lon_first
    count = n_lat * n_lon
    cells = np.repeat(np.arange(domain.n_cell), count)
    k = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
    lat = lat_first[cells] + k // n_lon[cells]
    lon = lon_first[cells] + k % n_lon[cells]
    return cells, s_lat[lat], s_lon[lon], w_lat[lat] * w_lon[lon]


class Regrid:
    """Sums over the cells of a file that lie in each cell of the model, weighted by area.

    Cells of the model without land in the file take its nearest cell with land.

    Attributes
    ----------
    rows, columns : (first, last)
        Box of the file that is read.
    pixels : array (pixel,)
        Positions of the cells with land on the flattened box.
    land : array (pixel,)
        Share of each that is land.
    filled, farthest : int, float
        Cells of the model that took the nearest, and the largest distance to it, degrees.
    """

    def __init__(self, grid, domain, land_rows):
        """`land_rows(first, last)`: share of land (row, lon) of rows of the file.

        Raises
        ------
        ConcertoError
            There is no land in the file within `FAR` of cells that it ought to cover.
        """
        n = domain.n_cell
        cells, rows, columns, weights = overlaps(grid, domain)
        first, last = (int(rows.min()), int(rows.max()) + 1) if len(rows) else (0, 0)
        land = land_rows(first, last)[rows - first, columns] if len(rows) else np.zeros(0)
        keep, outside = land >= NO_LAND, np.setdiff1d(np.arange(n), cells)
        cells, rows, columns, weights, land = (v[keep] for v in (cells, rows, columns, weights, land))
        empty = np.setdiff1d(np.arange(n), cells)
        self.filled, self.farthest = len(empty), 0.0
        if len(empty):
            nearest = Nearest(grid, lambda a, b: land_rows(a, b) >= NO_LAND)
            found = [nearest.find(domain.latitude[i], domain.longitude[i]) for i in empty.tolist()]
            if found[0] is None:
                raise ConcertoError(f"{grid.path} has no land at all", hint="check icwtr and the missing values")
            more = np.array(found)
            self._check_distance(grid, domain, empty, more, outside)
            extra = np.array([land_rows(row, row + 1)[0, column] for row, column in found])
            cells, rows = np.concatenate([cells, empty]), np.concatenate([rows, more[:, 0]])
            columns = np.concatenate([columns, more[:, 1]])
            weights, land = np.concatenate([weights, np.ones(len(empty))]), np.concatenate([land, extra])
            order = np.argsort(cells, kind="stable")
            cells, rows, columns, weights, land = (v[order] for v in (cells, rows, columns, weights, land))
        self.n = n
        if n:
            self.rows = (int(rows.min()), int(rows.max()) + 1)
            self.columns = (int(columns.min()), int(columns.max()) + 1)
        else:
            self.rows = self.columns = (0, 0)
        wide = self.columns[1] - self.columns[0]
        place = (rows - self.rows[0]) * wide + columns - self.columns[0]
        self.pixels, at, self._pair = np.unique(place, return_index=True, return_inverse=True)
        self.land = land[at]
        self.row, self.column = rows[at], columns[at]
        self._weight, self._starts = weights, np.searchsorted(cells, np.arange(n))
        self.cell_of_pixel = cells[at]
        self._in_file = {}

    def in_file(self, grid):
        """Box (slices of rows and columns) and positions (pixel,) on it, flattened, in a file with these cells."""
        if id(grid) not in self._in_file:
            n, own = len(grid.lat), grid.columns[self.columns[0] : self.columns[1]]
            low, high = (int(own.min()), int(own.max()) + 1) if len(own) else (0, 0)
            first, last = (n - self.rows[1], n - self.rows[0]) if grid.flipped else self.rows
            row = n - 1 - self.row if grid.flipped else self.row
            place = (row - first) * (high - low) + grid.columns[self.column] - low
            self._in_file[id(grid)] = (slice(first, last), slice(low, high)), place, grid  # keeps the grid, so its id
        return self._in_file[id(grid)][:2]

    def _check_distance(self, grid, domain, cells, found, outside):
        """Refuse cells that are far from what they would take.

        Ice sheets have no land in histories, which is no fault: cells that the file covers and that lie beyond 60
        degrees may be far, and so may a twentieth of the others.
        """
        apart = _degrees(domain.latitude[cells], domain.longitude[cells], grid.lat[found[:, 0]], grid.lon[found[:, 1]])
        self.farthest, worst = float(apart.max()), int(cells[apart.argmax()])
        size = max(float(np.median(np.diff(bounds, axis=1))) for bounds in (grid.lat_bounds, grid.lon_bounds))
        limit = max(FAR[0], FAR[1] * size)
        warm = np.abs(domain.latitude) < POLAR
        distant = cells[apart > limit]
        far = len(distant)
        if np.isin(distant, outside).any() or warm[distant].sum() > 0.05 * warm.sum():
            raise ConcertoError(
                f"{Path(grid.path).name} does not cover the domain: {far} of {domain.n_cell} cells have no land in it "
                f"within {limit:g} degrees, the farthest, at {domain.latitude[worst]:g} N, "
                f"{domain.longitude[worst]:g} E, by {self.farthest:.3g} degrees",
                hint="check the longitudes and latitudes of the file (is it shifted, or cut to a region?), or leave "
                "these cells out with domain.box or domain.mask",
            )

    def sum(self, values):
        """Weighted sums (cell, ...) of values (pixel, ...)."""
        if not self.n:
            return np.zeros((0,) + values.shape[1:])
        weight = self._weight.reshape((-1,) + (1,) * (values.ndim - 1))
        return np.add.reduceat(values[self._pair] * weight, self._starts, axis=0)


def _degrees(latitude, longitude, other_latitude, other_longitude):
    """Angle between places on the sphere, degrees."""
    a, b, c, d = map(np.radians, (latitude, longitude, other_latitude, other_longitude))
    square = np.sin(0.5 * (c - a)) ** 2 + np.cos(a) * np.cos(c) * np.sin(0.5 * (d - b)) ** 2
    return np.degrees(2.0 * np.arcsin(np.sqrt(np.clip(square, 0.0, 1.0))))


# --- LUH2 and LUH3 --------------------------------------------------------------------------------------------------

_TRANSITION = re.compile(r"(.+)_to_(.+)")


class Luh(LandUse):
    """States, transitions, harvest and management of Land-Use Harmonization (Hurtt et al. 2020), release 2 or 3.

    Files by their names in `land_use.files`: states (needed), transitions, management, static. Which states there are
    is read from the files, what they are from `concerto/landuse/states.toml` or the file `land_use.states`. Without
    transitions they are the net ones between states; without a static file the sum of the states is the land.
    """

    def __init__(self, config, domain, folder="."):
        super().__init__(**options(config))
        self.urban = entry(config, "urban", "keep")
        if self.urban not in ("keep", "remove"):
            raise ConcertoError(f"land_use.urban is '{self.urban}'", hint="choose keep or remove")
        given = entry(config, "states")
        self.map = state_map(None if given is None else Path(folder) / given)
        files = entry(config, "files", {})
        if not isinstance(files, dict):
            files = {k: getattr(files, k, None) for k in ("states", "transitions", "management", "static")}
        self.files = OpenFiles()
        try:
            self._open(files, domain, folder)
        except BaseException:
            self.files.close()
            raise

    def _open(self, files, domain, folder):
        self.states = Annual(files.get("states"), "states", folder, self.files)
        others = {}
        for key in ("transitions", "management", "static"):
            others[key] = Annual(files[key], key, folder, self.files) if files.get(key) else None
            if others[key] and not same_grid(others[key].grid, self.states.grid):
                raise _grids(others[key].path, self.states.path)
        self.moves, self.managed, self.static = others["transitions"], others["management"], others["static"]
        self._know_states()
        if not self.states.years:
            raise ConcertoError(f"{self.states.path.name} has no time", hint="states are needed for every year")
        self.first_year, self.last_year = self.states.years[0], self.states.years[-1]
        self._know_transitions()
        self._know_management()
        self._units()
        self.domain, self.n_cell = domain, domain.n_cell
        self._match()

    def _know_states(self):
        names = [n for n in self.states.names if n not in self.map.other]
        unknown = [n for n in names if n not in self.map.kind]
        if unknown:
            raise ConcertoError(
                f"{self.states.path.name}: {unknown[0]} is no known state"
                + (f", nor are {', '.join(unknown[1:])}" if len(unknown) > 1 else ""),
                hint="add it to a copy of concerto/landuse/states.toml and name that in land_use.states",
            )
        if not any(self.map.kind[n] == PRIMARY for n in names):
            raise ConcertoError(
                f"{self.states.path.name} has no state of primary land: it has {', '.join(names) or 'none'}",
                hint="is it the file of states?",
            )
        self.names = names
        self.crops = [n for n in names if self.map.kind[n] == CROP]
        self.notes.append(f"land use: {len(names)} states of {self.states.path.name}: {', '.join(names)}")

    def _know_transitions(self):
        self.pairs, self.harvests, self.masses = [], [], []
        if self.moves is None:
            self.notes.append("land use: no file of transitions, so they are the net ones between states")
            return
        path = self.moves.path.name
        for name in self.moves.names:
            match = _TRANSITION.fullmatch(name)
            if match:
                for state in match.groups():
                    if state not in self.names:
                        raise ConcertoError(
                            f"{path}: {name} names {state}, which is no state of {self.states.path.name}",
                            hint="use states and transitions of one release",
                        )
                a, b = (self.map.kind[state] for state in match.groups())
                if b == PRIMARY:
                    raise ConcertoError(
                        f"{path}: {name} leads into primary land",
                        hint="land once used is secondary; is the map of states right?",
                    )
                if a != b:
                    self.pairs.append((name, a, b))
            elif name.endswith(("_harv", "_bioh")):
                stem = name[:-5]
                if stem not in self.map.harvest:
                    raise ConcertoError(
                        f"{path}: {name} is a harvest of an unknown kind",
                        hint="add it under [harvest] to a copy of concerto/landuse/states.toml",
                    )
                (self.harvests if name.endswith("_harv") else self.masses).append((name, self.map.harvest[stem]))
        if not self.pairs:
            raise ConcertoError(
                f"{path} has no variable <from>_to_<to>", hint=f"it has {', '.join(self.moves.names[:8]) or 'none'}"
            )
        needed = range(self.first_year, self.last_year)
        if len(self.moves.years) < len(needed) or (needed and not set(needed) <= set(self.moves.years)):
            lacking = sorted(set(needed) - set(self.moves.years))
            raise ConcertoError(
                f"{path} has no year {lacking[0]}, and the states go from {self.first_year} to {self.last_year}",
                hint="transitions of every year but the last are needed",
            )
        count = sum(bool(_TRANSITION.fullmatch(n)) for n in self.moves.names)
        words = f"land use: {count} transitions, {len(self.harvests)} classes of harvested area and {len(self.masses)} "
        self.notes.append(f"{words}of harvested mass in {path}")

    def _know_management(self):
        self.rules = []  # name, variable by crop or None
        if self.managed is None:
            return
        for stem, name in (("fertl", "fertiliser"), ("irrig", "irrigated"), ("crpbf", "biofuel")):
            found = {crop: f"{stem}_{crop}" for crop in self.crops if f"{stem}_{crop}" in self.managed.names}
            if found:
                self.rules.append((name, found))
        for stem, name in (("fulwd", "fuelwood"), ("rndwd", "roundwood")):
            if stem in self.managed.names:
                self.rules.append((name, stem))
        if not self.rules:
            raise ConcertoError(
                f"{self.managed.path.name} has no variable of management that is known",
                hint="fertl_<crop>, irrig_<crop>, crpbf_<crop>, fulwd and rndwd are",
            )
        self.notes.append(f"land use: {', '.join(n for n, _ in self.rules)} of {self.managed.path.name}")
        years = self.managed.years
        if years and (years[0] > self.first_year or years[-1] < self.last_year):
            self.notes.append(f"land use: management is that of {years[0]} before and of {years[-1]} after these years")

    def _units(self):
        """Factors to a fraction, kg C and kg N m-2, by variable; units that are not known are refused."""
        self.scale = {}

        def fraction(source, name):
            unit = source.attribute(name, "units").lower()
            if unit in ("%", "percent", "per cent", "% yr-1", "percent yr-1"):
                return 0.01
            if unit not in FRACTION_UNITS:
                raise ConcertoError(
                    f"{source.path.name}: {name} is in {unit}, not a fraction of the cell", hint="give units of 1 or %"
                )
            return 1.0

        for name in self.names:
            self.scale[name] = fraction(self.states, name)
        for name, *_ in [*self.pairs, *self.harvests]:
            self.scale[name] = fraction(self.moves, name)
        for name, _ in self.masses:
            unit = self.moves.attribute(name, "units")
            word = re.sub(r"(\s*/\s*|\s+)(yr|year|a)(-1|\^-1)?$|\s+", "", unit.lower())
            word = re.sub(r"(yr|year)-1$|/(yr|year)$", "", word)
            if word and word not in MASS_UNITS:
                raise ConcertoError(
                    f"{self.moves.path.name}: {name} is in {unit}, not kg C per cell and year",
                    hint="give the mass of carbon in kg",
                )
            self.scale[name] = MASS_UNITS.get(word, 1.0)
            if not word:
                self.notes.append(f"land use: {name} has no unit, taken as kg C per cell and year")
        for name, found in self.rules:
            for variable in found.values() if isinstance(found, dict) else [found]:
                unit = self.managed.attribute(variable, "units").lower()
                if name != "fertiliser":
                    self.scale[variable] = fraction(self.managed, variable)
                elif unit in RATE_UNITS:
                    self.scale[variable] = RATE_UNITS[unit]
                else:
                    raise ConcertoError(
                        f"{self.managed.path.name}: {variable} is in {unit}, not kg N per hectare and year",
                        hint="give units of kg ha-1 yr-1",
                    )

    def _match(self):
        """Weights from cells of the files to cells of the model, land, area."""
        every = len(self.states.grid.lon)
        if self.static is not None:
            if "icwtr" not in self.static.names:
                raise ConcertoError(
                    f"{self.static.path.name}: there is no variable icwtr (share of ice and water)",
                    hint=f"it has {', '.join(self.static.names) or 'none on the grid'}",
                )
            unit = self.static.attribute("icwtr", "units").lower()
            scale = 0.01 if unit in ("%", "percent") else 1.0
            year = self.static.years[0] if self.static.years else None

            def land_rows(first, last):
                water = self.static.raw("icwtr", year, (first, last)).astype(float).filled(np.nan) * scale
                water = np.where(np.abs(water) < 1e19, water, 1.0)  # missing: no land
                low, high = water.min(initial=0.0), water.max(initial=0.0)
                if low < -1e-3 or high > 1.0 + 1e-3:
                    raise ConcertoError(
                        f"{self.static.path.name}: icwtr reaches {high if high > 1.001 else low:g}, not a fraction",
                        hint="write units = '%' if it is in per cent",
                    )
                return np.clip(1.0 - water, 0.0, 1.0)

        else:

            def land_rows(first, last):
                total = np.zeros((last - first, every))
                for name in self.names:
                    values = self.states.raw(name, self.first_year, (first, last)).astype(float).filled(0.0)
                    total += np.where(np.abs(values) < 1e19, values, 0.0) * self.scale[name]
                return np.clip(total, 0.0, 1.0)

        self.to_cells = Regrid(self.states.grid, self.domain, land_rows)
        self._areas, self._raw_moves = OrderedDict(), OrderedDict()
        if not hasattr(self, "cell_notes"):
            self.cell_notes = True
            grid = self.states.grid
            how = "fractions of the cell that holds the point"
            if self.domain.kind == "latlon":
                same = same_axes(self.domain.lat, grid.lat), same_axes(self.domain.lon, grid.lon)
                on = same[0] is not None and same[1] is not None
                how = "on the grid of the run" if on else f"mean of a {len(grid.lat)} x {every} grid by area of land"
            self.notes.append(f"land use: {self.states.path.name}, {how}")
            if self.static is None:
                self.notes.append("land use: no static file, so the states of the first year sum to the land")
            if self.to_cells.filled:
                self.notes.append(
                    f"land use: {self.to_cells.filled} of {self.n_cell} cells without land in the file take its "
                    f"nearest, at most {self.to_cells.farthest:.2g} degrees away"
                )
        self._cell_area_of_pixels()
        share = self.to_cells.sum(self.to_cells.land) / np.maximum(
            self.to_cells.sum(np.ones(len(self.to_cells.land))), 1e-12
        )
        self.limit = self.tolerance / np.clip(share, 1e-3, 1.0)  # as fractions of land

    def _cell_area_of_pixels(self):
        grid, to = self.states.grid, self.to_cells
        exact = cell_area(grid.lat_bounds, grid.lon_bounds)[to.row, to.column] if self.masses else None
        self.pixel_area = exact
        if not self.masses or self.static is None or "carea" not in self.static.names:
            return
        unit = self.static.attribute("carea", "units")
        year = self.static.years[0] if self.static.years else None
        area = self.static.pixels("carea", year, to)
        factor = AREA_UNITS.get(unit.lower(), None) if unit else 1e6
        if factor is None:
            raise ConcertoError(f"{self.static.path.name}: carea is in {unit}", hint="give units of km2 or m2")
        area = np.where(np.isfinite(area), area * factor, exact)
        ratio = np.median(area / exact) if len(area) else 1.0
        if not 0.9 < ratio < 1.1:
            raise ConcertoError(
                f"{self.static.path.name}: carea in {unit or 'km2 (no unit is given)'} is {ratio:.3g} times the area "
                "of its cells",
                hint="correct the unit of carea",
            )
        self.pixel_area = area

    def _take(self, cells):
        self.domain = self.domain.take(cells)
        self._match()

    def close(self):
        self.files.close()

    # one year

    def _pixels(self, source, name, year, most=1.0):
        """Values (pixel,) of a variable in its unit of the model, NaN where missing."""
        values = source.pixels(name, year, self.to_cells) * self.scale[name]
        if len(values) and most is not None:
            low, high = np.nanmin(values, initial=0.0), np.nanmax(values, initial=0.0)
            if high > most + 1e-3:
                raise ConcertoError(
                    f"{source.path.name}, {year}: {name} reaches {high:g}, more than the whole cell",
                    hint="is it in per cent? then write units = '%'",
                )
            if low < -REPAIRABLE * most:
                raise ConcertoError(
                    f"{source.path.name}, {year}: {name} is {low:.4g}, less than zero",
                    hint="fractions, transitions and harvests are zero or more; correct the file",
                )
        return values

    def _where(self, bad):
        """Words for the first cell of the file of a mask (pixel,) and how many there are."""
        i, grid = int(np.argmax(bad)), self.states.grid
        lat, lon = grid.lat[self.to_cells.row[i]], grid.lon[self.to_cells.column[i]]
        more = int(bad.sum()) - 1
        return i, f"at {lat:g} N, {lon:g} E" + (f" and in {more} more cells" if more else "")

    def _state(self, y):
        """State of a year: dict of area, forest, total (land by the sum of states), unknown, age, crop_c4."""
        if y in self._areas:
            return self._areas[y]
        to, n = self.to_cells, len(self.to_cells.pixels)
        kinds, missing, lowest = np.zeros((n, len(KINDS))), np.zeros(n, dtype=int), np.zeros(n)
        forest, c4 = np.zeros((n, 2)), np.zeros(n)
        for name in self.names:
            values = self._pixels(self.states, name, y)
            gone = ~np.isfinite(values)
            missing += gone
            values = np.where(gone, 0.0, values)
            lowest = np.minimum(lowest, values)
            kind = self.map.kind[name]
            kinds[:, kind] += values
            if name in self.map.forest and kind in (PRIMARY, SECONDARY):
                forest[:, kind] += values
            if name in self.map.c4 and kind == CROP:
                c4 += values
        part = (missing > 0) & (missing < len(self.names))
        if part.any():
            i, words = self._where(part)
            raise ConcertoError(
                f"{self.states.path.name}, {y}: {missing[i]} of {len(self.names)} states are missing {words}",
                hint="a cell has all states or none (then it is primary land); correct the file",
            )
        if self.inconsistent == "refuse" and (lowest < -self.tolerance).any():
            i, words = self._where(lowest < -self.tolerance)
            raise ConcertoError(
                f"{self.states.path.name}, {y}: a state is {lowest[i]:.4g}, less than zero, {words}",
                hint="correct the file, or allow repairs with land_use.inconsistent: repair",
            )
        kinds = np.maximum(kinds, 0.0)
        unknown = missing > 0
        kinds[unknown, PRIMARY] = to.land[unknown]
        total = kinds.sum(axis=1)
        if unknown.any() and not any("all-missing" in note for note in self.notes):
            self.notes.append(f"land use: {int(unknown.sum())} all-missing cells of the file are primary land")
        off = np.abs(total - to.land) if self.static is not None else np.zeros(n)
        limit = REPAIRABLE if self.inconsistent == "repair" else self.tolerance
        if (off > limit).any():
            i, words = self._where(off > limit)
            raise ConcertoError(
                f"{self.states.path.name}, {y}: states sum to {total[i]:.7g}, not to the land of {to.land[i]:.7g} "
                f"(1 - icwtr), {words}",
                hint="use states and static file of one release; differences up to 0.01 are repaired with "
                "land_use.inconsistent: repair",
            )
        empty = total < NO_LAND  # land by the static file, nothing in the states, within what is repaired
        kinds[empty, PRIMARY] = to.land[empty]
        total = np.where(empty, to.land, total)
        below = np.where(lowest < -self.tolerance, -lowest, 0.0)
        self._record({"sum": np.where(off > self.tolerance, off, 0.0), "negative": below}, y)
        amount, land = to.sum(kinds), to.sum(total)
        area = amount / land[:, None]
        out = {
            "area": area / area.sum(axis=1, keepdims=True),
            "forest": _ratio(to.sum(forest), amount[:, :2]),
            "land": land,
            "unknown": unknown,
        }
        if self.crops:
            out["crop_c4"] = np.clip(_ratio(to.sum(c4), amount[:, CROP]), 0.0, 1.0)
        if self.urban == "remove":
            out["rural"] = np.maximum(1.0 - out["area"][:, URBAN], 1e-12)
            out["area"] = out["area"].copy()
            out["area"][:, URBAN] = 0.0
            all_urban = out["area"].sum(axis=1) <= 1e-12
            out["area"][all_urban, SECONDARY] = 1.0
            out["area"] /= out["area"].sum(axis=1, keepdims=True)
        self._areas[y] = out
        while len(self._areas) > 3:
            self._areas.popitem(last=False)
        return out

    def _age(self, y):
        """Mean age of secondary land (cell,), or None."""
        if "secma" not in self.states.names:
            return None
        to = self.to_cells
        self.scale["secma"] = 1.0
        age = self._pixels(self.states, "secma", y, None)
        area = sum(np.nan_to_num(self._pixels(self.states, n, y)) for n in self.names if self.map.kind[n] == SECONDARY)
        area = np.where(np.isfinite(age), area, 0.0)
        return _ratio(to.sum(area * np.nan_to_num(age)), to.sum(area))

    def _moves_of(self, y):
        """Transitions (cell, 6, 6), harvested area and mass (cell, 5) of a year, as fractions of land."""
        if y in self._raw_moves:
            return self._raw_moves[y]
        to, state = self.to_cells, self._state(y)
        known, land = ~state["unknown"], state["land"]
        n = self.n_cell
        moved, area, mass = np.zeros((n, 6, 6)), np.zeros((n, len(HARVEST))), np.zeros((n, len(HARVEST)))

        def read(name, most=1.0):
            values = self._pixels(self.moves, name, y, most)
            gone = ~np.isfinite(values)
            if (gone & known).any():
                _, words = self._where(gone & known)
                raise ConcertoError(
                    f"{self.moves.path.name}, {y}: {name} is missing where the states are not, {words}",
                    hint="use states and transitions of one release",
                )
            return np.where(gone | ~known, 0.0, values)

        pixel = {}
        for name, a, b in self.pairs:
            pixel[a, b] = pixel.get((a, b), 0.0) + read(name)
        for (a, b), values in pixel.items():
            moved[:, a, b] = to.sum(values) / land
        cut = {}
        for name, k in self.harvests:
            values = read(name)
            cut[k] = cut.get(k, 0.0) + values
            area[:, k] += to.sum(values) / land
        for name, k in self.masses:
            values = read(name, None) / self.pixel_area
            if (values < 0.0).any():
                i, words = self._where(values < 0.0)
                raise ConcertoError(
                    f"{self.moves.path.name}, {y}: {name} is less than zero {words}",
                    hint="a harvested mass is zero or more; correct the file",
                )
            self._check_mass(name, y, values, cut.get(k))
            mass[:, k] += to.sum(values) / land
        self._raw_moves[y] = moved, area, mass
        while len(self._raw_moves) > 3:
            self._raw_moves.popitem(last=False)
        return self._raw_moves[y]

    def _check_mass(self, name, y, mass, cut):
        """Refuse a harvest (kg C m-2 of the cell) that no forest can give; `cut`: area of the cell, or None."""
        land = np.maximum(self.to_cells.land, NO_LAND)
        # what is cut on very little land may be rounded in the file: then the land counts
        of = land if cut is None else np.where(cut > 1e-4, np.minimum(cut, land), land)
        bad = mass > MOST_MASS * of
        if bad.any():
            i, words = self._where(bad)
            what = "the land" if cut is None or of[i] >= land[i] else "the land that is cut"
            raise ConcertoError(
                f"{self.moves.path.name}, {y}: {name} is {mass[i] / of[i]:.3g} kg C m-2 of {what}, more than the "
                f"{MOST_MASS:g} that any forest holds, {words}",
                hint="check its unit: it is the mass of carbon of the whole cell and year, in kg by LUH2",
            )

    def _transitions_of(self, y):
        """Transitions with the harvest of primary land, urban removed if chosen; None without such a year."""
        if self.moves is None or y not in self.moves.where or y not in self.states.where:
            return None
        moved, area, mass = self._moves_of(y)
        moved = moved.copy()
        add_harvest_to_transitions(moved, area)
        if self.urban == "remove":
            rural = self._state(y)["rural"]
            moved[:, URBAN], moved[:, :, URBAN] = 0.0, 0.0
            moved /= rural[:, None, None]
            area, mass = area / rural[:, None], mass / rural[:, None]
        return moved, area, mass

    def _make(self, y):
        state = self._state(y)
        year = LandUseYear.still(y, state["area"])
        year.forest, year.secondary_age = state["forest"], self._age(y) if self._only is None else None
        if "crop_c4" in state:
            year.management["crop_c4"] = state["crop_c4"]
        self._manage(y, year)
        if y == self.last_year:
            return year
        following = self._state(y + 1)
        after, where = following["area"], (self.moves or self.states).path.name
        odd = state["unknown"] != following["unknown"]
        if odd.any():
            i, words = self._where(odd)
            lacking, there = (y, y + 1) if state["unknown"][i] else (y + 1, y)
            raise ConcertoError(
                f"{self.states.path.name}: all states of {lacking} are missing, and those of {there} are not, {words}",
                hint="a cell has states in every year or in none (then it is primary land); correct the file",
            )
        year.has_transitions = True
        removed = self.urban == "remove"  # then the shares of all others grow with towns
        closed = () if removed else (PRIMARY,)
        limit, places = REPAIRABLE if self.inconsistent == "repair" else self.limit, self._cell_places()
        check(year, after, limit, where=self.states.path.name, closed=closed, only=("closed",), places=places)
        if self.moves is None:
            year.transitions = net_transitions(year.area, after)
            return year
        year.transitions, year.harvest_area, year.harvest_mass = self._transitions_of(y)
        neighbours = {}
        if np.abs(implied_area(year.area, year.transitions) - after).max(initial=0.0) > 1e-4 and not removed:
            for name, other in (("previous", y - 1), ("following", y + 1)):
                found = self._transitions_of(other) if other in self.states.where else None
                neighbours[name] = None if found is None else found[0]
        if self.inconsistent == "repair":
            check(year, None, REPAIRABLE, where=where, only=("negative",), places=places)
            check(year, after, self.limit, where=where, **neighbours, only=(), places=places)  # shifted years
        else:
            rules = ("negative", "sum", "source") + (() if removed else ("next",))
            check(year, after, self.limit, where=where, **neighbours, only=rules, places=places)
        year, amounts = repaired(year, after, self.limit, closed=closed)
        self._record({k: np.where(v > self.limit, v, 0.0) for k, v in amounts.items()}, y)
        if not self.gross:
            year.transitions = split_gross(year.transitions)[0]
        return year

    def _manage(self, y, year):
        rules = [rule for rule in self.rules if self._only is None or rule[0] in self._only]
        if not rules:
            return
        to = self.to_cells
        at = min(max(y, self.managed.years[0]), self.managed.years[-1]) if self.managed.years else None
        crops, mass = {}, None
        for name, found in rules:
            if isinstance(found, dict):
                amount = area = 0.0
                for crop, variable in found.items():
                    if crop not in crops:
                        crops[crop] = np.maximum(np.nan_to_num(self._pixels(self.states, crop, y)), 0.0)
                    needed = crops[crop] > self.tolerance, f"there is {crop}"
                    values = self._managed(name, variable, y, at, *needed)
                    amount, area = amount + values * crops[crop], area + crops[crop]
                year.management[name] = np.nan_to_num(_ratio(to.sum(amount), to.sum(area)))
                continue
            if mass is None:
                mass = np.zeros(len(to.pixels))
                if self.moves is not None and y in self.moves.where:
                    for variable, _ in self.masses:
                        mass = mass + np.nan_to_num(self._pixels(self.moves, variable, y, None)) / self.pixel_area
                weight = (1e-12 + mass) * np.maximum(to.land, NO_LAND)
            values = self._managed(name, found, y, at, mass > 0.0, "wood is harvested")
            year.management[name] = np.clip(_ratio(to.sum(values * weight), to.sum(weight)), 0.0, 1.0)

    def _managed(self, name, variable, y, at, needed, why):
        """Values (pixel,), zero or more, of a variable of management of the year `at` for the year y.

        They may be missing where they are not `needed` (mask), and negative by rounding.
        """
        rate = name == "fertiliser"
        values = self._pixels(self.managed, variable, at, None if rate else 1.0)  # refuses shares far off
        gone = ~np.isfinite(values) & needed
        if gone.any():
            _, words = self._where(gone)
            when = "" if at in (None, y) else f" in {y}"
            raise ConcertoError(
                f"{self._managed_year(at)}: {variable} is missing where {why}{when}, {words}",
                hint="use states and management of one release, or write 0 where there is none",
            )
        values = np.nan_to_num(values)
        limit = self.tolerance if self.inconsistent == "refuse" else REPAIRABLE
        limit = min(limit, ROUNDING) if rate else limit
        if (values < -limit).any():
            i, words = self._where(values < -limit)
            unit = " kg N m-2 yr-1" if rate else ""
            raise ConcertoError(
                f"{self._managed_year(at)}: {variable} is {values[i]:.4g}{unit}, less than zero, {words}",
                hint="fertiliser, water and shares of wood are zero or more; correct the file"
                + (", or allow repairs with land_use.inconsistent: repair" if values[i] >= -REPAIRABLE else ""),
            )
        self._record({"rate" if rate else "share": np.maximum(-values, 0.0)}, y)
        return np.maximum(values, 0.0)

    def _managed_year(self, at):
        return self.managed.path.name + ("" if at is None else f", {at}")


def _ratio(a, b):
    return np.divide(a, b, out=np.full(np.shape(a), np.nan), where=b > 0.0)


# --- series that are followed from their first year -----------------------------------------------------------------


class Followed(LandUse):
    """A history that is followed from its first state, because where secondary land is depends on the past.

    Going back in time starts again from the first year. Derived: `_start() -> area (cell, 6)` and
    `_step(y, area) -> LandUseYear` with the transitions of year y from this area.
    """

    def _begin(self):
        self._states = {self.first_year: self._start()}  # the latest few, by year

    def _start(self):
        raise NotImplementedError

    def _step(self, y, area) -> LandUseYear:
        raise NotImplementedError

    def _area_at(self, y):
        earlier = [at for at in self._states if at <= y]
        if not earlier:
            self._begin()
            earlier = [self.first_year]
        for at in range(max(earlier), y):
            self._advance(at)
        return self._states[y]

    def _advance(self, y):
        """The year y, and keep the state that it leads to."""
        year = self._step(y, self._states[y])
        self._states[y + 1] = year.area_after()
        while len(self._states) > 3:
            self._states.pop(min(self._states))
        return year

    def _make(self, y):
        area = self._area_at(y)
        year = LandUseYear.still(y, area) if y == self.last_year else self._advance(y)
        self._describe(year)
        return year if self.gross else replace(year, transitions=split_gross(year.transitions)[0])

    def _describe(self, year):
        """Add what is known beside areas and transitions."""

    def _take(self, cells):
        self._states = {year: area[cells] for year, area in self._states.items()}


def natural_split(area, moved):
    """Transitions (cell, 5, 5) of natural, pasture, rangeland, crop, urban as (cell, 6, 6) of `KINDS`.

    What leaves natural land is taken from primary and secondary in proportion to their area; what comes is secondary.
    """
    n = len(area)
    out = np.zeros((n, 6, 6))
    out[:, 2:, 2:] = moved[:, 1:, 1:]
    out[:, 2:, SECONDARY] = moved[:, 1:, 0]
    natural = area[:, PRIMARY] + area[:, SECONDARY]
    share = np.divide(area[:, PRIMARY], natural, out=np.zeros(n), where=natural > 0.0)[:, None]
    out[:, PRIMARY, 2:] = share * moved[:, 0, 1:]
    out[:, SECONDARY, 2:] = (1.0 - share) * moved[:, 0, 1:]
    return out


class ClassMaps(Followed):
    """Annual maps of classes: shares of the land of natural, pasture, rangeland, crop and urban, and what changes.

    Derived: `codes` (class numbers), `shares` (class, 6): natural forest, other natural, grazed, crop, urban, no land.
    """

    pairs = True  # transitions are counted from pairs of maps (else net ones between shares)
    source = ""
    usual: tuple[str, ...] = ()

    def __init__(self, config, domain, folder="."):
        super().__init__(**options(config))
        files = entry(config, "files", {})
        value = (
            next((files.get(k) for k in ("maps", "states", "classes") if files.get(k)), None)
            if isinstance(files, dict)
            else files
        )
        self.files = OpenFiles()
        self.natural = entry(config, "natural", "primary")
        if self.natural not in ("primary", "secondary"):
            raise ConcertoError(f"land_use.natural is '{self.natural}'", hint="choose primary or secondary")
        share = entry(config, "pasture_share", 1.0)
        if not (isinstance(share, (int, float)) and 0.0 <= share <= 1.0):
            raise ConcertoError(f"land_use.pasture_share is {share}", hint="give a number from 0 to 1")
        self.pasture_share = float(share)
        try:
            self.maps = Annual(value, "maps", folder, self.files)
            if not self.maps.years:
                raise ConcertoError(
                    f"{self.maps.path.name} has no time", hint="write {year} where the year stands in its name"
                )
            wanted = entry(config, "variable")
            found = [n for n in self.maps.names if n.lower() in self.usual]
            many = [n for n in self.maps.names if "bnds" not in n and "bounds" not in n]
            if wanted and wanted not in self.maps.names:
                raise ConcertoError(
                    f"{self.maps.path.name}: there is no variable {wanted}, named in land_use.variable",
                    hint=f"it has {', '.join(self.maps.names)}",
                )
            self.name = wanted or (found or many or [None])[0]
            if self.name is None or (not wanted and not found and len(many) > 1):
                raise ConcertoError(
                    f"{self.maps.path.name}: which variable holds the classes is not clear",
                    hint=f"name it in land_use.variable; the file has {', '.join(self.maps.names) or 'none'}",
                )
            self.first_year, self.last_year = self.maps.years[0], self.maps.years[-1]
            self.domain, self.n_cell = domain, domain.n_cell
            self._prepare(config)
            self._counted = OrderedDict()
            self._begin()
            if self.n_cell and self.without_land.all():
                raise ConcertoError(
                    f"{self.maps.path.name} does not cover the domain: no cell of {self.n_cell} has land in it",
                    hint="check the longitudes and latitudes of the file: is it shifted, or cut to another region?",
                )
        except BaseException:
            self.files.close()
            raise
        self.notes += [
            f"land use: classes {self.name} of {self.maps.path.name} and others, {self.first_year} to "
            f"{self.last_year}; natural land of {self.first_year} is {self.natural}, what is abandoned later secondary",
            "land use: what leaves natural land is taken from primary and secondary land in proportion to their area",
        ]
        if domain.kind != "latlon":
            self.notes.append("land use: a point takes the class of the map's cell that holds it")

    def _prepare(self, config):
        raise NotImplementedError

    def _take(self, cells):
        super()._take(cells)
        self.domain = self.domain.take(cells)
        self._counted = OrderedDict()

    def close(self):
        self.files.close()

    def _places(self, year, rows, columns):
        """Positions in `codes` (row, column); the last, len(codes), is no data."""
        values = self.maps.raw(self.name, year, rows, columns)
        if values.dtype.kind not in "iuf":
            raise ConcertoError(f"{self.maps.path.name}: {self.name} is not a map of class numbers")
        gone = np.ma.getmaskarray(values)
        numbers = np.where(gone, 0, values.filled(0))
        if values.dtype.kind == "f":
            gone, numbers = gone | ~np.isfinite(numbers), np.nan_to_num(numbers)
        numbers = numbers.astype(np.int64)
        if values.dtype == np.int8:
            numbers &= 255
        out = self.table[np.clip(numbers, 0, len(self.table) - 1)]
        strange = (out < 0) & ~gone & (numbers >= 0)
        if strange.any():
            raise ConcertoError(
                f"{self.maps.path.name}, {year}: {int(numbers[strange][0])} is no class of {self.source}",
                hint=f"known are {', '.join(map(str, self.codes))}",
            )
        return np.where(gone | (out < 0), len(self.codes), out)

    def _set_codes(self, codes):
        self.codes = tuple(codes)
        self.table = np.full(max(codes) + 2, -1)
        self.table[list(codes)] = np.arange(len(codes))

    def _count(self, years):
        """Shares of the area of each cell (cell, class) or (cell, class before, class after) by counting pixels."""
        if years in self._counted:
            return self._counted[years]
        grid, domain, k = self.maps.grid, self.domain, len(self.codes) + 1
        size = k ** len(years)
        out = np.zeros((domain.n_cell, size))
        if domain.kind != "latlon":
            rows, columns = locate(grid, domain.latitude, domain.longitude)
            for i in np.flatnonzero(rows >= 0):
                at = 0
                for year in years:
                    box = (rows[i], rows[i] + 1), (columns[i], columns[i] + 1)
                    at = at * k + int(self._places(year, *box)[0, 0])
                out[i, at] = 1.0
        elif domain.n_cell:
            t_lat, s_lat, w_lat = latitude_overlap(grid.lat_bounds, domain.lat_bounds)
            t_lon, s_lon, w_lon = longitude_overlap(grid.lon_bounds, domain.lon_bounds)
            n_lon = len(domain.lon)
            used = np.isin(t_lon, np.unique(domain.index % n_lon))
            t_lon, s_lon, w_lon = t_lon[used], s_lon[used], w_lon[used]
            box = (int(s_lon.min()), int(s_lon.max()) + 1) if len(s_lon) else (0, 0)
            for row in np.unique(domain.index // n_lon):  # row by row: maps of a kilometre do not fit into memory
                chosen = t_lat == row
                if not chosen.any() or box[0] == box[1]:
                    continue
                first, last = int(s_lat[chosen].min()), int(s_lat[chosen].max()) + 1
                weights = np.zeros(last - first)
                weights[s_lat[chosen] - first] = w_lat[chosen]
                counts = np.zeros(n_lon * size)
                step = max(1, 2**22 // len(grid.lon))  # not by the columns of a rank: sums keep their order
                for low in range(first, last, step):
                    high = min(low + step, last)
                    at = np.zeros((high - low, len(s_lon)), dtype=np.int64)
                    for year in years:
                        at = at * k + self._places(year, (low, high), box)[:, s_lon - box[0]]
                    at += (t_lon * size)[None, :]
                    share = weights[low - first : high - first, None] * w_lon[None, :]
                    counts += np.bincount(at.ravel(), weights=share.ravel(), minlength=n_lon * size)
                counts = counts.reshape(n_lon, size)
                here = np.flatnonzero(domain.index // n_lon == row)
                out[here] = counts[domain.index[here] % n_lon]
        out = out.reshape((domain.n_cell,) + (k,) * len(years))
        self._counted[years] = out
        while len(self._counted) > 3:
            self._counted.popitem(last=False)
        return out

    def _kinds(self, y):
        """Shares of land (cell, 5) and forest share of natural land (cell,) of a year."""
        # a pair that was counted for this year already serves too
        pair = next((p for p in self._counted if len(p) == 2 and y in p), None)
        classes = self._count((y,)) if pair is None else self._counted[pair].sum(axis=2 if pair[0] == y else 1)
        amount = np.zeros((self.n_cell, 6))
        for i, shares in enumerate(self.shares):  # one by one: sums do not depend on how many cells there are
            amount += classes[:, i, None] * shares
        land = amount[:, :5].sum(axis=1)
        none = self.without_land = land < 1e-9
        amount[none, 1], land = 1.0, np.where(none, 1.0, land)
        if none.any() and not any("without land in the maps" in note for note in self.notes):
            self.notes.append(f"land use: {int(none.sum())} cells without land in the maps are natural land")
        natural = amount[:, 0] + amount[:, 1]
        kinds = np.stack(
            [
                natural,
                self.pasture_share * amount[:, 2],
                (1.0 - self.pasture_share) * amount[:, 2],
                amount[:, 3],
                amount[:, 4],
            ],
            axis=1,
        )
        return kinds / kinds.sum(axis=1, keepdims=True), _ratio(amount[:, 0], natural)

    def _start(self):
        kinds, _ = self._kinds(self.first_year)
        area = np.zeros((self.n_cell, 6))
        area[:, PRIMARY if self.natural == "primary" else SECONDARY] = kinds[:, 0]
        area[:, 2:] = kinds[:, 1:]
        return area

    def _gross(self, y):
        """Transitions (cell, 5, 5) by counting pixels that are land in both years."""
        pairs = self._count((y, y + 1))[:, :-1, :-1]
        group = np.where(self.shares[:, 5] > 0.0, -1, np.maximum(self.shares.argmax(axis=1) - 1, 0))
        moved = np.zeros((self.n_cell, 4, 4))  # forest and other natural land are one here
        for a, i in enumerate(group):
            for b, j in enumerate(group):
                if i >= 0 and j >= 0:
                    moved[:, i, j] += pairs[:, a, b]
        land = moved.sum(axis=(1, 2))
        moved = moved / np.where(land > 1e-9, land, 1.0)[:, None, None]
        m = np.array([self.pasture_share, 1.0 - self.pasture_share])
        out = np.zeros((self.n_cell, 5, 5))
        keep, to = [0, 3, 4], [0, 2, 3]
        out[np.ix_(range(self.n_cell), keep, keep)] = moved[np.ix_(range(self.n_cell), to, to)]
        for a, b in zip(keep, to, strict=True):
            out[:, a, 1:3] = moved[:, b, 1, None] * m
            out[:, 1:3, a] = moved[:, 1, b, None] * m
        out[:, range(5), range(5)] = 0.0
        return out

    def _step(self, y, area):
        five = np.concatenate([area[:, :2].sum(axis=1, keepdims=True), area[:, 2:]], axis=1)
        moved = self._gross(y) if self.pairs else None  # reads both maps
        after, _ = self._kinds(y + 1)
        moved = net_transitions(five, after) if moved is None else moved
        year = LandUseYear.still(y, five)
        year.transitions = moved
        if self.inconsistent == "refuse":
            check(year, after, 1e-6, where=self.maps.path.name, closed=(), places=self._cell_places())
        year, amounts = repaired(year, after, 1e-12, closed=())
        self._record({k: np.where(v > self.tolerance, v, 0.0) for k, v in amounts.items()}, y)
        out = LandUseYear.still(y, area)
        out.transitions, out.has_transitions = natural_split(area, year.transitions), True
        return out

    def _describe(self, year):
        _, forest = self._kinds(year.year)
        known = np.where(year.area[:, :2] > 0.0, forest[:, None], np.nan)
        year.forest = known


class Hilda(ClassMaps):
    """HILDA+ (Winkler et al. 2021), annual classes at 1 km; gross transitions from pairs of maps.

    Attributes
    ----------
    version : str
        1.0 (class 44 is all forest) or 2.1 (44 is deciduous broadleaf forest); see `HILDA_GROUPS`.
    """

    source = "HILDA+"
    usual = ("lulc_states", "states", "land_use_states", "lulc", "luc_states", "land_use", "hilda")

    def _prepare(self, config):
        kinds = hilda_kinds()
        codes = [0, *sorted(kinds), 77, 99]
        self._set_codes(codes)
        shares = np.zeros((len(codes), 6))
        column = {"grazed": 2, "crop": 3, "urban": 4}
        for i, code in enumerate(codes):
            kind = kinds.get(code)
            shares[i, 5 if kind is None else (0 if 40 <= code <= 45 else 1) if kind == "natural" else column[kind]] = 1
        self.shares = shares
        given = entry(config, "version")
        if given is not None and str(given) not in ("1.0", "1", "2.1", "2"):
            raise ConcertoError(f"land_use.version is '{given}'", hint="choose 1.0 or 2.1")
        self.version = {"1": "1.0", "2": "2.1"}[str(given)[0]] if given is not None else self._detect()
        words = {"1.0": "all forest", "2.1": "deciduous broadleaf forest"}[self.version]
        self.notes.append(f"land use: HILDA+ {self.version}, where class 44 is {words}")
        if self.pasture_share == 1.0:
            self.notes.append("land use: class 33 of HILDA+ is pasture, none of it rangeland (pasture_share)")

    def _detect(self):
        """Version by the legend of the file, else by the classes that only 2.1 has in the first and last map."""
        only = {23, 24, 40, 41, 42, 43, 45}
        values = self.maps.attribute(self.name, "flag_values")
        if values:
            numbers = {int(v) for v in re.findall(r"\d+", values)}
            if numbers & {11, 22, 33, 44}:
                return "2.1" if numbers & only else "1.0"
        step = max(1, 2**24 // len(self.maps.grid.lon))
        for year in (self.last_year, self.first_year):
            for first in range(0, len(self.maps.grid.lat), step):
                rows = (first, min(first + step, len(self.maps.grid.lat)))
                if only & {self.codes[i] for i in np.unique(self._places(year, rows, None)) if i < len(self.codes)}:
                    return "2.1"
        self.notes.append("land use: the maps have no class that only HILDA+ 2.1 has, so they are of version 1.0")
        return "1.0"


class EsaCci(ClassMaps):
    """Annual maps of ESA CCI land cover; net transitions between shares by the cross-walk of Poulter et al. (2015).

    Trees are natural forest, shrubs, natural grass and bare ground other natural land, managed grass crop; the legend
    has no pasture.
    """

    pairs = False
    source = "ESA CCI land cover"
    usual = ("lccs_class", "land_cover_lccs", "land_cover", "esa_cci")

    def _prepare(self, config):
        codes = [0, *ESA_CCI_CODES]
        self._set_codes(codes)
        self.shares = np.stack([esa_cci_shares(code) for code in codes])
        self.notes.append("land use: ESA CCI has no pasture; grass is natural land, transitions are net ones")


def esa_cci_shares(code: int) -> np.ndarray:
    """Shares of a class of the ESA CCI legend.

    Returns
    -------
    array (6,)
        Natural forest, other natural land, grazed (0), crop, urban, no land (water, ice, no data); the sum is 1.

    Examples
    --------
    >>> esa_cci_shares(190).round(3).tolist()
    [0.05, 0.15, 0.0, 0.0, 0.75, 0.05]
    """
    out = np.zeros(6)
    for group, per_cent in ESA_CCI_GROUPS.get(code, {}).items():
        place = {"crop": 3, "urban": 4, "water": 5, "snow_ice": 5}.get(group, 0 if group.startswith("tree") else 1)
        out[place] += per_cent / 100.0
    out[5] += 1.0 - out.sum()
    return out


# --- tables ---------------------------------------------------------------------------------------------------------

STATE_WORDS = {"primf": 0, "primn": 1, "secdf": 2, "secmf": 2, "secyf": 3, "secdn": 4, "secnf": 4}


def initial_area(config, n_cell, default) -> np.ndarray:
    """First state (cell, 6) of `initial`: kind to fraction of land (the rest is primary), or of `default`."""
    given = entry(config, "initial") or default
    given = given if isinstance(given, dict) else {k: getattr(given, k) for k in KINDS if getattr(given, k, None)}
    area = np.zeros(6)
    for name, value in given.items():
        if not (isinstance(value, (int, float)) and 0.0 <= value <= 1.0):
            raise ConcertoError(f"land_use.initial: {name} is {value}", hint="give a fraction of land from 0 to 1")
        area[kind_number(name, "land_use.initial")] += value
    if area.sum() > 1.0 + 1e-9:
        raise ConcertoError(f"land_use.initial sums to {area.sum():g}", hint="fractions of land sum to 1 at most")
    area[PRIMARY] += max(1.0 - area.sum(), 0.0)
    return np.tile(area / area.sum(), (n_cell, 1))


class Table(Followed):
    """A list of transitions by hand: CSV with year, from, to, fraction and, optionally, where and what is harvested.

    Columns: year; from, to (kinds of land, or states as primf); fraction (of land); cell (number of the cell) or
    latitude and longitude, all cells where they are empty or absent; harvest_mass (kg C m-2 of land, optional).
    A row of year y turns the state of y into that of y + 1. A row with the same kind in from and to is a harvest that
    leaves the kind. A row without from gives the area of `to` in the first state (the rest is `land_use.initial`, or
    primary). Years without rows do not change anything, and years beyond the table are held.
    """

    def __init__(self, config, domain, folder="."):
        super().__init__(**options(config, held=True))
        files = entry(config, "files", {})
        value = (
            next((files.get(k) for k in ("table", "transitions") if files.get(k)), None)
            if isinstance(files, dict)
            else files
        )
        path = paths_of(value, "table", folder)[0][0]
        self.path, self.domain, self.n_cell = path, domain, domain.n_cell
        self.first = initial_area(config, domain.n_cell, {"primary": 1.0})
        rows = self._read(path)
        years = [row[0] for row in rows]
        starts = [row for row in rows if row[1] is None]
        self.first_year = min(years)
        self.last_year = max([row[0] for row in rows if row[1] is not None], default=self.first_year - 1) + 1
        for year, _, to, fraction, cells, _, line in starts:
            if year != self.first_year:
                raise ConcertoError(
                    f"{path.name}, line {line}: an area of {year} without from is later than the first year "
                    f"{self.first_year}",
                    hint="give areas for the first year only, and transitions after it",
                )
            self.first[cells, to[0]] += fraction
            self.first[cells, PRIMARY] -= fraction if to[0] != PRIMARY else 0.0
        if starts and (self.first[:, PRIMARY] < -1e-9).any():
            raise ConcertoError(
                f"{path.name}: the first areas of a cell sum to more than 1", hint="fractions of land sum to 1 at most"
            )
        self.first = np.maximum(self.first, 0.0)
        self.first /= self.first.sum(axis=1, keepdims=True)
        self.rows = {}
        for row in rows:
            if row[1] is not None:
                self.rows.setdefault(row[0], []).append(row)
        self.offset = 0
        self._begin()
        self.notes.append(f"land use: {len(rows)} rows of {path.name}, states of {self.first_year} to {self.last_year}")

    def _read(self, path):
        """Rows (year, from, to, fraction, cells, mass, line); from and to are (kind, state word or None)."""
        import csv

        with open(path, newline="", encoding="utf-8-sig") as file:
            lines = [(k, line) for k, line in enumerate(file, 1) if line.strip() and not line.lstrip().startswith("#")]
        reader = csv.DictReader([line for _, line in lines], skipinitialspace=True)
        names = [name.strip().lower() for name in reader.fieldnames or []]
        reader.fieldnames = names
        lacking = [n for n in ("year", "from", "to", "fraction") if n not in names]
        if lacking:
            raise ConcertoError(
                f"{path.name}: there is no column {lacking[0]}", hint="wanted are year, from, to, fraction"
            )
        rows, outside = [], 0
        for (line, _), row in zip(lines[1:], reader, strict=True):
            row = {k: (v or "").strip() for k, v in row.items() if isinstance(k, str) and not isinstance(v, list)}
            at = f"{path.name}, line {line}"

            def number(name, row=row, at=at, default=None):
                text = row.get(name, "")
                if not text and default is not None:
                    return default
                try:
                    value = float(text)
                except ValueError:
                    value = np.nan
                if not np.isfinite(value):
                    raise ConcertoError(f"{at}: {name} is '{text}', not a number", hint="correct the row")
                return value

            year, fraction, mass = number("year"), number("fraction"), number("harvest_mass", default=0.0)
            if year != int(year) or not 1 <= year <= 9999:
                raise ConcertoError(f"{at}: {row['year']} is no calendar year", hint="correct the row")
            if not 0.0 <= fraction <= 1.0:
                raise ConcertoError(f"{at}: the fraction is {fraction:g}", hint="fractions of land are from 0 to 1")
            if mass < 0.0:
                raise ConcertoError(f"{at}: the harvested mass is {mass:g}, less than zero", hint="correct the row")
            a, b = self._kind(row["from"], at) if row["from"] else None, self._kind(row["to"], at)
            if a is not None and a != b and b[0] == PRIMARY and a[0] != PRIMARY:
                raise ConcertoError(f"{at}: {row['from']} becomes primary land", hint="land once used is secondary")
            cells = self._cells(row, number, at)
            if not len(cells):
                outside += 1
                continue
            rows.append((int(year), a, b, fraction, cells, mass, line))
        if outside:
            self.notes.append(f"land use: {outside} rows of {path.name} lie outside of the domain")
        if not rows:
            raise ConcertoError(
                f"{path.name} has no row for a cell of the domain", hint="check cell, latitude and longitude"
            )
        return rows

    @staticmethod
    def _kind(text, at):
        states = state_map().kind
        word = text.lower()
        return (states[word], word) if word in states else (kind_number(word, at), None)

    def _cells(self, row, number, at):
        domain = self.domain
        if row.get("cell"):
            return np.flatnonzero(domain.cell_id == int(number("cell")))
        if not (row.get("latitude") or row.get("longitude")):
            return np.arange(domain.n_cell)
        lat, lon = number("latitude"), number("longitude")
        if abs(lat) > 90.0 or abs(lon) > 360.0:
            raise ConcertoError(f"{at}: {lat:g} N, {lon:g} E is no place", hint="degrees north and east")
        lon = (lon + 180.0) % 360.0 - 180.0
        if domain.kind == "latlon":
            r, c = locate(domain, np.array([lat]), np.array([lon]))
            return np.flatnonzero(domain.index == r[0] * len(domain.lon) + c[0]) if r[0] >= 0 else np.zeros(0, int)
        east = np.abs((domain.longitude - lon + 180.0) % 360.0 - 180.0) * np.cos(np.radians(lat))
        apart = np.hypot(domain.latitude - lat, east)
        return np.flatnonzero(apart <= min(0.25, float(apart.min(initial=1.0)) + 1e-9))

    def _start(self):
        return self.first.copy()

    def _take(self, cells):
        super()._take(cells)
        self.first, self.offset = self.first[cells], self.offset + cells.start

    def _step(self, y, area):
        year = LandUseYear.still(y, area)
        year.has_transitions = True
        for _, a, b, fraction, cells, mass, _ in self.rows.get(y, ()):
            here = cells - self.offset
            here = here[(here >= 0) & (here < self.n_cell)]
            i, j = a[0], b[0]
            if i != j:
                year.transitions[here, i, j] += fraction
            if (i == j or mass > 0.0 or (i, j) == (PRIMARY, SECONDARY)) and i in (PRIMARY, SECONDARY):
                k = STATE_WORDS.get(a[1], 0 if i == PRIMARY else 2)
                if i == j == PRIMARY:  # harvested primary land becomes secondary
                    year.transitions[here, PRIMARY, SECONDARY] += fraction
                year.harvest_area[here, k] += fraction
                year.harvest_mass[here, k] += mass
        if self.inconsistent == "refuse":
            check(year, where=self.path.name, places=self._cell_places())
        year, amounts = repaired(year)
        self._record({k: np.where(v > self.tolerance, v, 0.0) for k, v in amounts.items()}, y)
        return year
