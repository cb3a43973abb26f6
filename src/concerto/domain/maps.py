"""Geometry of lat-lon cells, maps in files, and how maps come to cells.

First-order conservative averages (Jones 1999, Mon. Weather Rev. 127, 2204): on lat-lon grids the weights are a product
of one in latitude (differences of the sine) and one in longitude, and both are sparse.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from concerto.errors import ConcertoError

RADIUS = 6371007.2  # m, of the sphere with the area of the Earth (authalic, WGS84)
SAME_GRID = 0.01  # centres nearer than this share of the smallest spacing are the same cell (files in single precision)
SLIVER = 1e-4  # overlaps narrower than this share of the narrower cell are rounding of the axes
AREA_UNITS = {"": 1.0, "m2": 1.0, "m^2": 1.0, "m**2": 1.0, "km2": 1e6, "km^2": 1e6}
AREA_UNITS |= {"sr": RADIUS**2, "steradian": RADIUS**2, "rad2": RADIUS**2}


# --- geometry -----------------------------------------------------------------------------------------------------


def cell_area(lat_bounds, lon_bounds) -> np.ndarray:
    """Area of lat-lon cells, exact on the sphere of radius 6371007.2 m.

    Parameters
    ----------
    lat_bounds, lon_bounds : arrays (lat, 2), (lon, 2)
        Degrees; longitudes of a cell ascend from west to east.

    Returns
    -------
    array (lat, lon)
        m2: R^2 (east - west) (sin north - sin south).

    Examples
    --------
    >>> round(float(cell_area([[-90, 90]], [[0, 360]])[0, 0] / 1e12), 3)
    510.066
    """
    lat_bounds, lon_bounds = np.radians(np.asarray(lat_bounds, float)), np.radians(np.asarray(lon_bounds, float))
    south, north = lat_bounds.min(axis=1), lat_bounds.max(axis=1)
    # sin north - sin south without cancellation in narrow rows
    band = 2.0 * np.cos(0.5 * (north + south)) * np.sin(0.5 * (north - south))
    return RADIUS**2 * band[:, None] * (lon_bounds[:, 1] - lon_bounds[:, 0])[None, :]


def wrap_longitude(longitude):
    """Longitude in [-180, 180), unchanged to the bit where it is there already."""
    longitude = np.asarray(longitude, dtype=float)
    wrapped = longitude - 360.0 * np.floor((longitude + 180.0) / 360.0)
    return np.where(wrapped >= 180.0, wrapped - 360.0, wrapped)


def latitude_bounds(lat, step=None):
    """Bounds (n, 2) south, north of centres in descending order: midpoints; the outer rows end at the pole if near."""
    if len(lat) == 1:
        inner, first, last = np.zeros(0), step, step
    else:
        inner, first, last = 0.5 * (lat[1:] + lat[:-1]), lat[0] - lat[1], lat[-2] - lat[-1]
    north, south = min(lat[0] + 0.5 * first, 90.0), max(lat[-1] - 0.5 * last, -90.0)
    # the outermost latitude of a Gaussian grid: its cell reaches to the pole
    north, south = 90.0 if 90.0 - north < 0.5 * first else north, -90.0 if south + 90.0 < 0.5 * last else south
    edges = np.concatenate([[north], inner, [south]])
    return np.stack([edges[1:], edges[:-1]], axis=1)


def longitude_bounds(lon, step=None):
    """Bounds (n, 2) west, east of centres in ascending order in [-180, 180): midpoints, around the globe if it closes.

    The widest gap is taken as outside of the grid unless the others are about as wide.
    """
    n = len(lon)
    if n == 1:
        return np.stack([lon - 0.5 * step, lon + 0.5 * step], axis=1)
    gaps = np.append(lon[1:] - lon[:-1], lon[0] + 360.0 - lon[-1])  # gap k is east of column k
    widest = int(np.argmax(gaps))
    others = np.delete(gaps, widest)
    half_east = 0.5 * gaps
    if gaps[widest] > 1.5 * others.max():
        half_east[widest] = 0.0
        half_west = np.roll(half_east, 1)
        half_east[widest] = half_west[widest]
        half_west[(widest + 1) % n] = half_east[(widest + 1) % n]
        if n == 2:
            half_east[:] = half_west[:] = 0.5 * others[0]
    else:
        half_west = np.roll(half_east, 1)
    return np.stack([lon - half_west, lon + half_east], axis=1)


def _overlap(source_low, source_high, target_low, target_high):
    """Pairs of overlapping intervals (sources ascending, without overlap): target, source, length; by target."""
    first = np.searchsorted(source_high, target_low, side="right")
    last = np.maximum(np.searchsorted(source_low, target_high, side="left"), first)
    count = last - first
    target = np.repeat(np.arange(len(target_low)), count)
    source = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count) + np.repeat(first, count)
    length = np.minimum(source_high[source], target_high[target]) - np.maximum(source_low[source], target_low[target])
    widths = np.minimum((source_high - source_low)[source], (target_high - target_low)[target])
    keep = length > SLIVER * widths
    return target[keep], source[keep], length[keep]


def latitude_overlap(source, target):
    """Pairs of rows and the share of the target row's area; bounds (n, 2), sources descending."""
    source, target = -np.sin(np.radians(source)), -np.sin(np.radians(target))
    t, s, length = _overlap(source[:, 1], source[:, 0], target[:, 1], target[:, 0])
    return t, s, length / (target[:, 0] - target[:, 1])[t]


def longitude_overlap(source, target):
    """Pairs of columns and the share of the target column's width; bounds (n, 2), sources ascending."""
    n = len(source)
    low = np.concatenate([source[:, 0] - 360.0, source[:, 0], source[:, 0] + 360.0])
    high = np.concatenate([source[:, 1] - 360.0, source[:, 1], source[:, 1] + 360.0])
    t, s, length = _overlap(low, high, target[:, 0], target[:, 1])
    return t, s % n, length / (target[:, 1] - target[:, 0])[t]


def _sum_rows(values, pairs, n):
    """Weighted sums of rows of (source, ...) for each of n targets."""
    target, source, weight = pairs
    out = np.zeros((n,) + values.shape[1:])
    if len(target):
        some, starts = np.unique(target, return_index=True)
        out[some] = np.add.reduceat(values[source] * weight.reshape((-1,) + (1,) * (values.ndim - 1)), starts, axis=0)
    return out


# --- files ----------------------------------------------------------------------------------------------------------


def entry(thing, name, default=None):
    """An entry of a dict or an attribute of an object; None counts as absent."""
    value = thing.get(name) if isinstance(thing, dict) else getattr(thing, name, None)
    return default if value is None else value


def open_file(path):
    import netCDF4

    from concerto.forcing.alma import classic_shortfall

    try:
        short = classic_shortfall(path) if Path(path).is_file() else 0
        if short:  # the library would read zeros
            raise ConcertoError(
                f"{path} is shorter than its header says: {short} bytes are missing", hint="copy it again"
            )
        return netCDF4.Dataset(path)
    except FileNotFoundError:
        raise ConcertoError(
            f"there is no file {path}", hint="check the path; it counts from the configuration"
        ) from None
    except OSError as error:
        raise ConcertoError(f"{path} could not be read: {error.strerror or error}", hint="is it NetCDF?") from None


AXES = {
    "latitude": ("lat", "latitude", "y", "nav_lat"),
    "longitude": ("lon", "longitude", "x", "nav_lon", "long"),
}


def _is_axis(name, variable, kind):
    """Whether a variable is the latitude or longitude: standard name, unit, or (without either) its name."""
    standard = str(getattr(variable, "standard_name", ""))
    unit = str(getattr(variable, "units", "")).strip().lower().replace(" ", "_")
    letter = {"latitude": "n", "longitude": "e"}[kind]
    if standard:
        return standard == kind
    if unit in {f"degree{s}_{word}" for s in ("", "s") for word in (letter, {"n": "north", "e": "east"}[letter])}:
        return True
    return name.lower() in AXES[kind] and unit in ("", "1", "degrees", "degree", "deg")


def axis_variable(file, path, kind, dims=None, named=None):
    """The 1-D axis, among the dimensions given; a 2-D one is refused. `named`: names by kind that the user gave."""
    wanted = entry(named or {}, kind)
    if wanted and wanted not in file.variables:
        raise ConcertoError(
            f"{path}: there is no variable {wanted} for {kind}", hint=f"it has {', '.join(file.variables)}"
        )
    found = [file.variables[wanted]] if wanted else [v for name, v in file.variables.items() if _is_axis(name, v, kind)]
    flat = [v for v in found if v.ndim == 1 and (dims is None or v.dimensions[0] in dims)]
    if flat:
        own = [v for v in flat if v.name == v.dimensions[0]]
        return (own or flat)[0]
    if any(v.ndim == 2 for v in found):
        raise ConcertoError(
            f"{path}: the grid is curvilinear ({kind} depends on two dimensions), which is not read as a grid",
            hint="write its cells as points: dimension cell, variables latitude, longitude, area (m2); grid: points",
        )
    raise ConcertoError(
        f"{path}: no {kind} axis was found among {', '.join(file.variables) or 'no variables'}",
        hint=f"name it {AXES[kind][0]}, or give it the standard_name {kind}",
    )


class Grid:
    """Rectilinear axes of a file in the order of the model, and how to get there from the order of the file."""

    def __init__(self, file, path, dims=None, named=None):
        lat_variable = axis_variable(file, path, "latitude", dims, named)
        lon_variable = axis_variable(file, path, "longitude", dims, named)
        self.path, self.dims = path, (lat_variable.dimensions[0], lon_variable.dimensions[0])
        if self.dims[0] == self.dims[1]:
            raise ConcertoError(
                f"{path}: latitude and longitude share the dimension {self.dims[0]}: these are points, not a grid",
                hint="use grid: points; maps of land cover and soil must be lat-lon grids",
            )
        lat = floats(lat_variable, path)
        lon = floats(lon_variable, path)
        for name, values in (("latitude", lat), ("longitude", lon)):
            step = np.diff(values)
            if not len(values) or not np.isfinite(values).all() or not ((step > 0).all() or (step < 0).all()):
                if name == "latitude" or not len(values) or not np.isfinite(values).all():
                    raise ConcertoError(
                        f"{path}: the {name} axis is not strictly ascending or descending",
                        hint="sort the file along it, without missing values",
                    )
        if np.abs(lat).max() > 90.0 + 1e-6:
            raise ConcertoError(f"{path}: latitude exceeds 90 degrees", hint="is the axis in degrees north?")
        lat = np.clip(lat, -90.0, 90.0)
        self.flipped = len(lat) > 1 and lat[0] < lat[-1]
        self.lat = lat[::-1].copy() if self.flipped else lat
        wrapped = wrap_longitude(lon)
        self.columns = np.argsort(wrapped, kind="stable")
        self.lon = wrapped[self.columns]
        if len(self.lon) > 1 and np.diff(self.lon).min() < 1e-6:
            at = self.lon[int(np.argmin(np.diff(self.lon)))]
            raise ConcertoError(f"{path}: longitude {at:g} stands twice", hint="leave out the repeated column")
        steps = [np.abs(np.diff(v)).min() for v in (self.lat, self.lon) if len(v) > 1]
        self.step = min(steps) if steps else None
        self.lat_bounds = self._bounds(file, lat_variable, "lat")
        self.lon_bounds = self._bounds(file, lon_variable, "lon")

    def _bounds(self, file, variable, axis):
        name = getattr(variable, "bounds", None)
        if name in file.variables and file.variables[name].shape == (variable.shape[0], 2):
            bounds = floats(file.variables[name], self.path)
            if axis == "lat":
                bounds = np.clip(np.sort(bounds[::-1] if self.flipped else bounds, axis=1), -90.0, 90.0)
                inside = (bounds[:, 0] <= self.lat) & (self.lat <= bounds[:, 1])
            else:
                low, high = bounds[self.columns].T
                low = self.lon - np.mod(self.lon - low, 360.0)
                width = np.mod(high - bounds[self.columns][:, 0], 360.0)
                width = np.where(width == 0.0, 360.0, width)
                low = np.where(self.lon - low > width, low + 360.0, low)  # a centre on its own western bound
                bounds = np.stack([low, low + width], axis=1)
                inside = self.lon <= bounds[:, 1] + 1e-6
            if not (np.isfinite(bounds).all() and inside.all() and (bounds[:, 1] > bounds[:, 0]).all()):
                raise ConcertoError(
                    f"{self.path}: {name} does not enclose the centres of {variable.name}",
                    hint="correct the bounds, or leave the attribute out to use midpoints",
                )
            return bounds
        values = self.lat if axis == "lat" else self.lon
        if len(values) == 1 and self.step is None:
            raise ConcertoError(
                f"{self.path}: the size of a single cell is not known",
                hint="add bounds to the axes, or use grid: points with an area",
            )
        return latitude_bounds(values, self.step) if axis == "lat" else longitude_bounds(values, self.step)


def floats(variable, path):
    """All values of a variable as float64, NaN where missing."""
    try:
        values = np.ma.asarray(variable[:])
        return values.astype(float).filled(np.nan)
    except (ValueError, TypeError, OSError, RuntimeError) as error:
        raise ConcertoError(f"{path}: {variable.name} could not be read as numbers: {error}") from None


class Map:
    """A variable of a file on a rectilinear grid, read by rows in the order of the model.

    ``classes`` is the dimension beside latitude and longitude, if there is one that is longer than 1.
    """

    def __init__(self, path, variable, where, grid=None, named=None):
        self.path = Path(path)
        self.file = open_file(path)
        try:
            if variable not in self.file.variables:
                raise ConcertoError(
                    f"{path}: there is no variable {variable}, named in {where}",
                    hint=f"it has {', '.join(self.file.variables)}",
                )
            self.variable = self.file.variables[variable]
            self.grid = grid or Grid(self.file, path, self.variable.dimensions, named)
        except BaseException:
            self.file.close()
            raise
        shape = dict(zip(self.variable.dimensions, self.variable.shape, strict=True))
        missing = [d for d in self.grid.dims if d not in shape]
        others = [d for d in shape if d not in self.grid.dims and shape[d] > 1]
        if missing or len(others) > 1:
            self.file.close()
            raise ConcertoError(
                f"{path}: {variable} has the dimensions {', '.join(shape)}: not latitude, longitude and one more",
                hint="select one time and one layer first",
            )
        self.classes = others[0] if others else None
        self.n_class = shape[others[0]] if others else 1

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()

    @property
    def units(self) -> str:
        return str(getattr(self.variable, "units", "")).strip()

    def raw(self, first, last, k=0):
        """Rows first to last (model order) of class k: masked array (row, lon)."""
        n = len(self.grid.lat)
        rows = slice(n - last, n - first) if self.grid.flipped else slice(first, last)
        pick = {self.grid.dims[0]: rows, self.grid.dims[1]: slice(None), self.classes: k}
        values = np.ma.asarray(self.variable[tuple(pick.get(d, 0) for d in self.variable.dimensions)])
        lat_first = self.variable.dimensions.index(self.grid.dims[0]) < self.variable.dimensions.index(
            self.grid.dims[1]
        )
        values = values if lat_first else values.T
        return (values[::-1] if self.grid.flipped else values)[:, self.grid.columns]

    def rows(self, first, last, k=0):
        """The same as float64 with NaN where missing."""
        return self.raw(first, last, k).astype(float).filled(np.nan)

    def codes(self, first, last):
        """The same as int64, -1 where missing; signed bytes are read as unsigned."""
        values = self.raw(first, last)
        if values.dtype.kind not in "iuf":
            raise ConcertoError(f"{self.path}: {self.variable.name} is not a map of class numbers")
        missing = np.ma.getmaskarray(values) | ~np.isfinite(values.astype(float).filled(np.nan))
        numbers = np.where(missing, 0, values.filled(0)).astype(np.int64)
        if values.dtype == np.int8:
            numbers &= 255
        return np.where(missing, -1, numbers)


# --- from maps to cells ---------------------------------------------------------------------------------------------


def needed_rows(grid, domain):
    """First and last row of a map that the cells touch; equal if none."""
    if domain.kind == "latlon":
        _, rows, _ = latitude_overlap(grid.lat_bounds, domain.lat_bounds)
    else:
        rows, _ = locate(grid, domain.latitude, domain.longitude)
        rows = rows[rows >= 0]
    return (int(rows.min()), int(rows.max()) + 1) if len(rows) else (0, 0)


def locate(grid, latitude, longitude):
    """Row and column of the cells of a map that hold the points; -1 outside."""
    rows = np.full(len(latitude), -1)
    columns = np.full(len(latitude), -1)
    south, north = grid.lat_bounds.T
    found = np.clip(np.searchsorted(-south, -latitude, side="left"), 0, len(south) - 1)
    inside = (south[found] <= latitude + 1e-9) & (latitude <= north[found] + 1e-9)
    rows[inside] = found[inside]
    west, east = grid.lon_bounds.T
    for shift in (0.0, -360.0, 360.0):
        found = np.clip(np.searchsorted(west, longitude + shift + 1e-9, side="right") - 1, 0, len(west) - 1)
        inside = (west[found] <= longitude + shift + 1e-9) & (longitude + shift < east[found] + 1e-9)
        columns[inside & (columns < 0)] = found[inside & (columns < 0)]
    columns[rows < 0] = -1
    return np.where(columns < 0, -1, rows), columns


def average(source, domain, k=0, keep=None):
    """Area mean of a map over the cells: values (cell,), NaN where the map has no data, and the share with data.

    Points take the value of the map's cell that holds them. `keep` may change what was read: keep(values (row, lon),
    first row, last row).
    """
    grid = source.grid
    first, last = needed_rows(grid, domain)
    if first == last:
        return np.full(domain.n_cell, np.nan), np.zeros(domain.n_cell)
    values = source.rows(first, last, k)
    values = values if keep is None else keep(values, first, last)
    if domain.kind != "latlon":
        rows, columns = locate(grid, domain.latitude, domain.longitude)
        inside = rows >= 0
        out = np.full(domain.n_cell, np.nan)
        out[inside] = values[rows[inside] - first, columns[inside]]
        return out, np.isfinite(out).astype(float)
    shape = (len(domain.lat), len(domain.lon))
    known = np.isfinite(values)
    lat_pairs = latitude_overlap(grid.lat_bounds[first:last], domain.lat_bounds)
    lon_pairs = longitude_overlap(grid.lon_bounds, domain.lon_bounds)

    def total(field_):
        part = _sum_rows(field_, lat_pairs, shape[0])
        return _sum_rows(part.T, lon_pairs, shape[1]).T.ravel()[domain.index]

    share = total(known.astype(float))
    amount = total(np.where(known, values, 0.0))
    out = np.full(domain.n_cell, np.nan)
    np.divide(amount, share, out=out, where=share > 0.0)
    return out, np.minimum(share, 1.0)


def class_shares(source, domain, codes):
    """Shares of the classes of a map in the cells (cell, class) of what has data, share with data, unknown codes."""
    grid = source.grid
    n = len(codes)
    table = np.full(max(codes) + 2, n)  # last entry: anything else
    table[list(codes)] = np.arange(n)
    unknown: set[int] = set()

    def places(numbers):
        other = (numbers < 0) | (numbers > max(codes))
        out = table[np.where(other, len(table) - 1, numbers)]
        unknown.update(np.unique(numbers[(out == n) & (numbers > 0)]).tolist()[:20])
        return out

    shares = np.zeros((domain.n_cell, n + 1))
    if domain.kind != "latlon":
        rows, columns = locate(grid, domain.latitude, domain.longitude)
        for i in np.argsort(rows, kind="stable"):
            if rows[i] >= 0:
                shares[i, places(source.codes(rows[i], rows[i] + 1)[:, columns[i]])[0]] = 1.0
    else:
        t_lat, s_lat, w_lat = latitude_overlap(grid.lat_bounds, domain.lat_bounds)
        t_lon, s_lon, w_lon = longitude_overlap(grid.lon_bounds, domain.lon_bounds)
        n_lon = len(domain.lon)
        for row in np.unique(domain.index // n_lon):  # row by row: maps of 300 m do not fit into memory
            chosen = t_lat == row
            if not chosen.any():
                continue
            first, last = int(s_lat[chosen].min()), int(s_lat[chosen].max()) + 1
            weights = np.zeros(last - first)
            weights[s_lat[chosen] - first] = w_lat[chosen]
            kinds = places(source.codes(first, last))[:, s_lon]
            at = (t_lon * (n + 1))[None, :] + kinds
            counts = np.bincount(
                at.ravel(), weights=(weights[:, None] * w_lon[None, :]).ravel(), minlength=n_lon * (n + 1)
            ).reshape(n_lon, n + 1)
            here = np.flatnonzero(domain.index // n_lon == row)
            shares[here] = counts[domain.index[here] % n_lon]
    known = shares[:, :n].sum(axis=1)
    out = np.divide(shares[:, :n], known[:, None], out=np.zeros((domain.n_cell, n)), where=known[:, None] > 0.0)
    return out, np.minimum(known, 1.0), sorted(unknown)


class Nearest:
    """Nearest cell of a map with data, by great-circle distance."""

    CHUNK = 64

    def __init__(self, grid, has_data):
        self.grid, self.has_data, self.chunks = grid, has_data, {}
        steps = np.abs(np.diff(grid.lat)).max(initial=0.0), np.abs(np.diff(grid.lon)).min(initial=360.0)
        self.start = 2.5 * max(*steps, 0.01)

    def _valid(self, first, last):
        parts = []
        for k in range(first // self.CHUNK, (last - 1) // self.CHUNK + 1):
            if k not in self.chunks:
                if len(self.chunks) >= 64:
                    self.chunks.pop(next(iter(self.chunks)))
                start = k * self.CHUNK
                self.chunks[k] = self.has_data(start, min(start + self.CHUNK, len(self.grid.lat)))
            parts.append(self.chunks[k])
        base = first // self.CHUNK * self.CHUNK
        return np.concatenate(parts)[first - base : last - base]

    def find(self, latitude, longitude):
        """Row and column for one place, or None if the map has no data at all."""
        lat, lon = self.grid.lat, self.grid.lon
        radius = self.start
        apart = np.abs(wrap_longitude(lon - longitude))
        while True:
            first = int(np.searchsorted(-lat, -(latitude + radius), side="left"))
            last = int(np.searchsorted(-lat, -(latitude - radius), side="right"))
            furthest = min(abs(latitude) + radius, 90.0)
            reach = radius / max(np.cos(np.radians(furthest)), 1e-9)
            columns = np.flatnonzero(apart <= (reach if radius < 60.0 else 360.0))
            if last > first and len(columns):
                rows, cols = np.nonzero(self._valid(first, last)[:, columns])
                if len(rows):
                    rows, cols = rows + first, columns[cols]
                    dlat, dlon = np.radians(lat[rows] - latitude), np.radians(lon[cols] - longitude)
                    square = (
                        np.sin(0.5 * dlat) ** 2
                        + np.cos(np.radians(latitude)) * np.cos(np.radians(lat[rows])) * np.sin(0.5 * dlon) ** 2
                    )
                    best = int(np.argmin(np.round(square, 15)))  # of equal ones the northern, western
                    if radius >= 180.0 or square[best] <= np.sin(np.radians(min(0.5 * radius, 90.0))) ** 2:
                        return int(rows[best]), int(cols[best])
            if radius >= 180.0:
                return None
            radius *= 2.0


def fill(source, domain, missing, has_data, row_values, what, notes):
    """Values of the nearest cell of the map with data for the cells of a mask: dict of cell to value.

    ``row_values(row)`` gives the values (lon, ...) of a row of the map; each row is read once.
    """
    cells = np.flatnonzero(missing)
    if not len(cells):
        return {}
    nearest = Nearest(source.grid, has_data)
    by_row: dict[int, list] = {}
    for i in cells.tolist():
        found = nearest.find(domain.latitude[i], domain.longitude[i])
        if found is None:
            raise ConcertoError(
                f"{source.path}: {source.variable.name} has no data anywhere", hint="check its missing value and units"
            )
        by_row.setdefault(found[0], []).append((i, found[1]))
    out = {}
    for row, places in by_row.items():
        values = row_values(row)
        out.update({cell: values[column] for cell, column in places})
    notes.append(f"{what}: {len(cells)} of {domain.n_cell} cells without data take the nearest of {source.path.name}")
    return out


def same_axes(a, b):
    """Positions of axis a on axis b, or None if a cell of a has no match (tolerance SAME_GRID of the spacing).

    Centres of a coarse axis that fall on centres of a finer one (5 degrees on 1 degree) are no match.
    """
    step = np.abs(np.diff(b)).min() if len(b) > 1 else 1.0
    order = np.argsort(b)
    right = np.clip(np.searchsorted(b[order], a), 1, max(len(b) - 1, 1))
    left = right - 1
    right = np.minimum(right, len(b) - 1)
    at = np.where(np.abs(b[order][left] - a) <= np.abs(b[order][right] - a), left, right)
    if (np.abs(b[order][at] - a) > SAME_GRID * step).any() or (len(a) > 1 and np.diff(np.sort(at)).min() > 1):
        return None
    return order[at]


def method(source, domain):
    """How a map comes to the cells, in words."""
    grid = source.grid
    if domain.kind != "latlon":
        return "value of the map's cell that holds the point"
    if same_axes(domain.lat, grid.lat) is not None and same_axes(domain.lon, grid.lon) is not None:
        return "on the grid of the run"
    return f"area mean of a {len(grid.lat)} x {len(grid.lon)} map"


def continuous(source, domain, what, notes, scale=1.0):
    """A continuous map at the cells, missing ones filled: (cell,)."""
    if source.classes:
        raise ConcertoError(
            f"{source.path}: {source.variable.name} has the further dimension {source.classes}",
            hint="select one layer, or average over it, first",
        )
    values, _ = average(source, domain)
    filled = fill(
        source,
        domain,
        ~np.isfinite(values),
        lambda first, last: np.isfinite(source.rows(first, last)),
        lambda row: source.rows(row, row + 1)[0],
        what,
        notes,
    )
    for cell, value in filled.items():
        values[cell] = value
    notes.append(f"{what}: {source.variable.name} of {source.path.name}, {method(source, domain)}")
    return values * scale


def fraction_scale(units, largest, path, name):
    """Factor to a share of 1; the unit decides, and values that contradict it are refused."""
    unit = units.strip().lower()
    if unit in ("%", "percent", "per cent"):
        scale = 0.01
    elif unit in ("", "1", "fraction", "m2 m-2", "m2/m2", "(0 - 1)", "0-1", "unitless", "none", "-", "m^2/m^2"):
        scale = 1.0
    else:
        raise ConcertoError(f"{path}: {name} is in {units}, not a fraction or per cent", hint="give units of 1 or %")
    if largest * scale > 1.0 + 1e-3:
        raise ConcertoError(
            f"{path}: {name} reaches {largest:g} in units of {units or '1 (none is given)'}",
            hint="write units = '%' into the file if it is in per cent",
        )
    return scale
