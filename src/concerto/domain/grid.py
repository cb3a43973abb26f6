"""The cells of a run and their tiles: lat-lon grids of any spacing, lists of points, unstructured cells with areas.

Cells stand row by row from the north, longitude ascending from -180 within the row; points as listed. The order, the
numbers of the cells and everything made here are independent of ranks and threads. Maps on another grid are brought
to the cells by area.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field, fields, replace
from pathlib import Path

import numpy as np

from concerto.domain import land_cover
from concerto.domain.cover import cover_of_cells, few_tiles, soil_of_cells
from concerto.domain.land_cover import N_PFT
from concerto.domain.maps import (
    AREA_UNITS,
    SAME_GRID,
    Grid,
    Map,
    average,
    axis_variable,
    cell_area,
    continuous,
    entry,
    fill,
    floats,
    fraction_scale,
    method,
    open_file,
    same_axes,
    wrap_longitude,
)
from concerto.errors import ConcertoError

NO_LAND = 1e-6  # a cell of which less than this is land without ice and water is left out
MARK = "concerto domain"  # attribute ``format``
SCHEMA = 1


@dataclass
class Domain:
    """Cells and tiles of a run.

    Attributes
    ----------
    kind : ``"latlon"`` or ``"points"`` (also unstructured cells with given areas)
    latitude, longitude : (cell,) degrees north; degrees east in [-180, 180)
    area : (cell,) m2 of the whole cell; 1.0 for points without an area
    land_fraction : (cell,) share of the cell that the tiles stand for; land without ice and water once tiles are added
    elevation : (cell,) m
    cell_id : (cell,) int64, position on the full grid before boxes and masks, row by row from the north-west (points:
        place in the list, from 0); the same cell has the same number in every run on that grid
    lat, lon, lat_bounds, lon_bounds : axes (n,) and bounds (n, 2) of the (sub-)grid, lat descending; None for points
    index : (cell,) position on the flattened (lat, lon) of these axes; None for points
    tile_cell, tile_pft, tile_fraction : (tile,) cell from 0, type, share of the cell's tiles (sum 1 in a cell);
        ordered by cell, then type
    tile_class : (tile,) class of land, with land use; else None. Tiles are then ordered by cell, class, type, and
        fractions are those at the start
    mixtures : kind of land -> (cell, type), what grows on new area of it; empty without land use
    soil : name of the parameter table -> (cell,)
    tile_parameters : name of the parameter table -> (tile,); may be empty
    facts : what a list of points says of each beside its place: name, igbp, pft, soil (text), canopy_height (m);
        towers have parameters of the place as well (`PLACE_PARAMETERS`)
    notes : what was assumed, filled, left out
    folder : what relative names of files count from in :func:`add_tiles` (not saved)
    """

    kind: str
    latitude: np.ndarray
    longitude: np.ndarray
    area: np.ndarray
    land_fraction: np.ndarray
    elevation: np.ndarray
    cell_id: np.ndarray
    lat: np.ndarray | None = None
    lon: np.ndarray | None = None
    lat_bounds: np.ndarray | None = None
    lon_bounds: np.ndarray | None = None
    index: np.ndarray | None = None
    tile_cell: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    tile_pft: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    tile_fraction: np.ndarray = field(default_factory=lambda: np.zeros(0))
    tile_class: np.ndarray | None = None
    mixtures: dict[str, np.ndarray] = field(default_factory=dict)
    soil: dict[str, np.ndarray] = field(default_factory=dict)
    tile_parameters: dict[str, np.ndarray] = field(default_factory=dict)
    facts: dict[str, np.ndarray] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    folder: str | Path = "."

    @property
    def n_cell(self) -> int:
        """Number of cells."""
        return len(self.latitude)

    @property
    def n_tile(self) -> int:
        """Number of tiles."""
        return len(self.tile_cell)

    def __repr__(self):
        grid = f"{len(self.lat)} x {len(self.lon)} lat-lon" if self.kind == "latlon" else "points"
        return f"Domain of {self.n_cell} cells ({grid}), {self.n_tile} tiles"

    def tile_area(self) -> np.ndarray:
        """Area of each tile, m2 (tile,)."""
        return (self.area * self.land_fraction)[self.tile_cell] * self.tile_fraction

    def take(self, cells) -> Domain:
        """A contiguous run of cells with their tiles, for instance those of a rank.

        Parameters
        ----------
        cells : slice of cells, step 1 (may be empty)

        Returns
        -------
        Domain
            Cells of tiles count from 0; axes and `index` stay those of the whole grid.
        """
        first, last, step = cells.indices(self.n_cell)
        if step != 1:
            raise ConcertoError("cells are taken as a contiguous run", hint="give slice(first, last)")
        last = max(last, first)
        tiles = slice(*np.searchsorted(self.tile_cell, [first, last]).tolist())
        out = self._select(slice(first, last))
        return replace(
            out,
            tile_cell=self.tile_cell[tiles] - first,
            tile_pft=self.tile_pft[tiles].copy(),
            tile_fraction=self.tile_fraction[tiles].copy(),
            tile_class=None if self.tile_class is None else self.tile_class[tiles].copy(),
            tile_parameters={name: values[tiles].copy() for name, values in self.tile_parameters.items()},
        )

    def _select(self, cells) -> Domain:
        """Some cells (slice or mask), without tiles."""

        def part(values):
            return None if values is None else values[cells].copy()

        names = ("latitude", "longitude", "area", "land_fraction", "elevation", "cell_id", "index")
        return replace(
            self,
            **{name: part(getattr(self, name)) for name in names},
            tile_cell=np.zeros(0, dtype=np.int64),
            tile_pft=np.zeros(0, dtype=np.int64),
            tile_fraction=np.zeros(0),
            tile_class=None,
            tile_parameters={},
            mixtures={name: part(values) for name, values in self.mixtures.items()},
            soil={name: part(values) for name, values in self.soil.items()},
            facts={name: part(values) for name, values in self.facts.items()},
            notes=list(self.notes),
        )

    def map(self, values) -> np.ndarray:
        """Values of cells on the lat-lon grid.

        Parameters
        ----------
        values : array (..., cell)

        Returns
        -------
        array (..., lat, lon)
            NaN where there is no cell.
        """
        if self.index is None:
            raise ConcertoError("points have no map", hint="use latitude and longitude of the cells")
        values = np.asarray(values)
        kind = values.dtype if values.dtype.kind == "f" else float
        out = np.full(values.shape[:-1] + (len(self.lat) * len(self.lon),), np.nan, dtype=kind)
        out[..., self.index] = values
        return out.reshape(values.shape[:-1] + (len(self.lat), len(self.lon)))

    def save(self, path) -> Path:
        """Write to one NetCDF file, to the bit; it appears under its name only when it is complete.

        Raises
        ------
        ConcertoError
            The place cannot be written.
        """
        import netCDF4

        path = Path(path)
        part = path.with_name(path.name + ".part")
        try:
            with netCDF4.Dataset(part, "w", format="NETCDF4") as file:
                file.setncatts({"format": MARK, "schema": SCHEMA, "kind": self.kind, "notes": json.dumps(self.notes)})
                for name, size in (("cell", self.n_cell), ("tile", self.n_tile), ("bound", 2), ("type", N_PFT)):
                    file.createDimension(name, size)
                for name in ("lat", "lon"):
                    if getattr(self, name) is not None:
                        file.createDimension(name, len(getattr(self, name)))
                for name, values, dims in self._arrays():
                    kind = str if values.dtype.kind in "OU" else values.dtype
                    variable = file.createVariable(name, kind, dims, **({} if kind is str else {"fill_value": False}))
                    variable[:] = values.astype(object) if kind is str else values
                    unit = UNITS.get(name)
                    if unit:
                        variable.units = unit
            os.replace(part, path)
        except (OSError, RuntimeError) as error:
            part.unlink(missing_ok=True)
            raise ConcertoError(
                f"{path} could not be written: {getattr(error, 'strerror', None) or error}",
                hint="does the folder exist, is the disk full?",
            ) from None
        except BaseException:  # interrupted: leave nothing half-written behind
            part.unlink(missing_ok=True)
            raise
        return path

    def _arrays(self):
        """Name in the file, values and dimensions of every array."""
        dims = {"lat": ("lat",), "lon": ("lon",), "lat_bounds": ("lat", "bound"), "lon_bounds": ("lon", "bound")}
        for own in fields(self):
            values = getattr(self, own.name)
            if isinstance(values, np.ndarray):
                yield own.name, values, dims.get(own.name, ("tile" if own.name.startswith("tile_") else "cell",))
        groups = (
            ("soil", ("cell",)),
            ("tile_parameters", ("tile",)),
            ("facts", ("cell",)),
            ("mixtures", ("cell", "type")),
        )
        for name, dim in groups:
            for key, values in getattr(self, name).items():
                yield f"{name}__{key}", values, dim

    @staticmethod
    def load(path) -> Domain:
        """Read what :meth:`save` wrote.

        Raises
        ------
        ConcertoError
            There is no such file, or it is no domain.
        """
        with open_file(path) as file:
            attributes = {name: file.getncattr(name) for name in file.ncattrs()}
            if attributes.get("format") != MARK:
                raise ConcertoError(f"{path} is not a saved domain", hint="make it with Domain.save")
            if int(attributes["schema"]) > SCHEMA:
                raise ConcertoError(f"{path} was written by a newer version", hint="update concerto")
            file.set_auto_mask(False)
            plain: dict = {"kind": str(attributes["kind"]), "notes": json.loads(attributes["notes"])}
            groups: dict = {"soil": {}, "tile_parameters": {}, "facts": {}, "mixtures": {}}
            for name, variable in file.variables.items():
                group, _, key = name.partition("__")
                if key:
                    groups[group][key] = variable[:]
                else:
                    plain[name] = variable[:]
        return Domain(**plain, **groups)


UNITS = {
    "latitude": "degrees_north", "longitude": "degrees_east", "lat": "degrees_north", "lon": "degrees_east",
    "area": "m2", "land_fraction": "1", "elevation": "m", "tile_fraction": "1", "soil__theta_sat": "m3 m-3",
    "soil__theta_res": "m3 m-3", "soil__k_sat": "m s-1", "soil__sand": "%", "soil__clay": "%",
    "soil__vg_alpha": "m-1", "soil__vg_n": "1", "soil__vg_l": "1", "facts__canopy_height": "m",
    "tile_parameters__canopy_height": "m", "facts__reference_height": "m", "facts__home_temperature": "K",
}  # fmt: skip
# parameters of all tiles of a cell that towers know
PLACE_PARAMETERS = ("reference_height", "home_temperature", "hold_soil_water", "outside_water")


# --- cells ----------------------------------------------------------------------------------------------------------

NAMES = {
    "land_fraction": (
        ("land_area_fraction", "land_binary_mask"),
        ("land_fraction", "landfrac", "sftlf", "lsm", "frac_land"),
    ),
    "elevation": (("surface_altitude",), ("elevation", "orog", "topo", "altitude", "hgt")),
    "mask": ((), ("mask", "landmask", "land_mask")),
}


def _variable_name(file, path, wanted, kind):
    """Name of a variable: as configured, else by standard name or usual name; None if there is none."""
    if wanted:
        if wanted not in file.variables:
            raise ConcertoError(
                f"{path}: there is no variable {wanted} for {kind}", hint=f"it has {', '.join(file.variables)}"
            )
        return wanted
    standard, usual = NAMES[kind]
    for name, variable in file.variables.items():
        if getattr(variable, "standard_name", None) in standard and variable.ndim >= 1:
            return name
    return next((name for name in file.variables if name.lower() in usual), None)


def make_cells(config_domain, folder=".", forcing=None) -> Domain:
    """Cells of the section `domain` of a configuration; tiles and soil come with :func:`add_tiles`.

    Parameters
    ----------
    config_domain : object with the attributes of the section
        grid (embedded, latlon, file, points, tower), resolution, box, points, file, variables, mask.
    folder : path that relative paths count from
    forcing : section `forcing`, for `tower`

    Returns
    -------
    Domain
        Without tiles. Cells without land, outside of the box or of the mask are left out.

    Raises
    ------
    ConcertoError
        A file or variable is missing, a grid cannot be read, units contradict values, or no cell is left.

    Notes
    -----
    Latitudes may ascend or descend, longitudes run in 0..360 or -180..180, with any spacing; cell bounds come from the
    file, else from midpoints (the outer rows reach to the pole when that is near). ``land_fraction`` and ``elevation``
    of a `file` on another grid are brought to the cells of ``latlon``, ``embedded`` and ``points`` by area.
    A cell belongs to the box if its centre lies in it; west greater than east means across the date line.
    Points may name igbp, pft, soil and canopy_height of their own, which go before the maps of the configuration; an
    IGBP class of a point is that of one stand, as at a tower (`concerto.domain.land_cover.stand_groups`).
    """
    kind = entry(config_domain, "grid", "embedded")
    variables = entry(config_domain, "variables", {})
    file = entry(config_domain, "file")
    path = Path(folder) / file if file else None
    if kind == "points":
        domain, has_elevation = _points(config_domain, folder)
    elif kind == "tower":
        domain, has_elevation = _towers(config_domain, folder, forcing), True
    elif kind in ("file", "latlon", "embedded"):
        domain, has_elevation = _lat_lon(config_domain, folder, kind, path, variables), False
    else:
        raise ConcertoError(f"domain.grid is '{kind}'", hint="choose embedded, latlon, file, points or tower")
    if not domain.n_cell:
        raise ConcertoError("the domain has no cell with land", hint="check box, mask and land_fraction")
    if not has_elevation:
        _add_elevation(domain, path if kind != "points" or entry(variables, "elevation") else None, variables)
    domain.folder = folder
    return domain


def _resolution(config_domain):
    """Axes of the global grid of a resolution: lat, lon, bounds."""
    steps = entry(config_domain, "resolution", 2.0)
    steps = list(steps) if np.ndim(steps) else [steps, steps]
    counts = []
    for step, circle in zip(steps, (180.0, 360.0), strict=True):
        n = round(circle / step) if np.isfinite(step) and step > 0.0 else 0
        if n < 1 or abs(n * step - circle) > 1e-4 * step:
            raise ConcertoError(
                f"domain.resolution {step:g} does not divide {circle:g} degrees", hint="such as 2, 1, 0.5 or [1.5, 2.5]"
            )
        counts.append(n)
    n_lat, n_lon = counts
    north = 90.0 - np.arange(n_lat + 1) * 180.0 / n_lat
    west = -180.0 + np.arange(n_lon + 1) * 360.0 / n_lon
    lat_bounds = np.stack([north[1:], north[:-1]], axis=1)
    lon_bounds = np.stack([west[:-1], west[1:]], axis=1)
    return lat_bounds.mean(axis=1), lon_bounds.mean(axis=1), lat_bounds, lon_bounds


def _in_box(box, latitude, longitude):
    """Masks of latitudes and of longitudes in a box [west, south, east, north]."""
    if box is None:
        return np.ones(len(latitude), bool), np.ones(len(longitude), bool)
    west, south, east, north = (float(v) for v in box)
    if not (south < north and np.isfinite([west, east]).all()) or west == east:
        raise ConcertoError(f"domain.box {list(box)} is empty", hint="give [west, south, east, north] in degrees")
    width = 360.0 if abs(east - west) >= 360.0 else np.mod(east - west, 360.0)
    rows = (latitude >= south - 1e-9) & (latitude <= north + 1e-9)
    return rows, (np.mod(longitude - west + 1e-9, 360.0) <= width + 2e-9) | (width == 360.0)


def _lat_lon(config_domain, folder, kind, path, variables):
    """Domain of a lat-lon grid (elevation still NaN)."""
    notes: list[str] = []
    grid = None
    if kind == "file":
        if path is None:
            raise ConcertoError("domain.grid is file but domain.file is not given", hint="name a NetCDF file")
        with open_file(path) as file:
            land_name = _variable_name(file, path, entry(variables, "land_fraction"), "land_fraction")
            wanted = entry(variables, "mask")
            mask_name = None
            if land_name is None:
                mask_name = _variable_name(file, path, wanted if wanted in file.variables else None, "mask")
                if mask_name is None:
                    raise ConcertoError(
                        f"{path}: neither a land fraction nor a mask was found",
                        hint=f"name one in domain.variables; the file has {', '.join(file.variables)}",
                    )
            grid = Grid(file, path, file.variables[land_name or mask_name].dimensions, variables)
        lat, lon, lat_bounds, lon_bounds = grid.lat, grid.lon, grid.lat_bounds, grid.lon_bounds
    else:
        land_name = mask_name = None
        if path:
            with open_file(path) as file:
                land_name = _variable_name(file, path, entry(variables, "land_fraction"), "land_fraction")
        lat, lon, lat_bounds, lon_bounds = _resolution(config_domain)
    rows, columns = _in_box(entry(config_domain, "box"), lat, lon)
    if not (rows.any() and columns.any()):
        raise ConcertoError(
            f"no cell centre of the {len(lat)} x {len(lon)} grid lies in domain.box {list(config_domain.box)}",
            hint="give [west, south, east, north] in degrees, wider than a cell",
        )
    used = np.ones((int(rows.sum()), int(columns.sum())), bool)
    region = entry(config_domain, "mask")
    if region is None and kind == "file" and land_name and entry(variables, "mask"):
        region = path  # a mask beside the land fraction
    if region is not None:
        used = _region(Path(folder) / region, entry(variables, "mask"), lat[rows], lon[columns])
        row_at, column_at = np.flatnonzero(used.any(axis=1)), np.flatnonzero(used.any(axis=0))
        if len(row_at):  # the smallest lat-lon window that holds the region
            window = slice(row_at[0], row_at[-1] + 1), slice(column_at[0], column_at[-1] + 1)
            used = used[window]
            rows = np.isin(np.arange(len(lat)), np.flatnonzero(rows)[window[0]])
            columns = np.isin(np.arange(len(lon)), np.flatnonzero(columns)[window[1]])
    ids = np.flatnonzero(rows)[:, None].astype(np.int64) * len(lon) + np.flatnonzero(columns)[None, :]
    lat, lon, lat_bounds, lon_bounds = lat[rows], lon[columns], lat_bounds[rows], lon_bounds[columns]
    everywhere = np.arange(ids.size)
    full = Domain(
        kind="latlon",
        latitude=np.repeat(lat, len(lon)),
        longitude=np.tile(lon, len(lat)),
        area=cell_area(lat_bounds, lon_bounds).ravel(),
        land_fraction=np.ones(ids.size),
        elevation=np.full(ids.size, np.nan),
        cell_id=ids.ravel(),
        lat=lat,
        lon=lon,
        lat_bounds=lat_bounds,
        lon_bounds=lon_bounds,
        index=everywhere,
        notes=notes,
    )
    if land_name or mask_name:
        full.land_fraction = _land_fraction(path, land_name, mask_name, full, grid)
    if kind == "file" and entry(variables, "area"):
        full.area = _file_area(path, entry(variables, "area"), full, grid)
    elif kind == "embedded" and land_name is None:
        from concerto.domain.embedded import embedded_land

        full.land_fraction = np.asarray(embedded_land(lat_bounds, lon_bounds), dtype=float).ravel()
    return full._select(used.ravel() & (full.land_fraction > 0.0))


def _file_area(path, name, domain, grid):
    """Areas of the cells (cell,) as a file gives them, m2."""
    with Map(path, name, "domain.variables.area", grid) as source:
        unit = source.units.lower()
        if unit not in AREA_UNITS or source.classes:
            raise ConcertoError(f"{path}: {name} is in {source.units}", hint="give areas (lat, lon) in m2")
        area = average(source, domain)[0] * AREA_UNITS[unit]
    used = domain.land_fraction > 0.0
    if not (area[used] > 0.0).all():
        raise ConcertoError(
            f"{path}: {name} is missing or not positive in {int((~(area[used] > 0.0)).sum())} land cells"
        )
    domain.notes.append(f"area: {name} of {path.name}")
    return area


def _land_fraction(path, land_name, mask_name, domain, grid=None):
    """Share of land (cell,) from the variable of a file; missing values and what the map does not reach are sea."""
    with Map(path, land_name or mask_name, "domain.variables", grid) as source:
        if source.classes:
            raise ConcertoError(
                f"{path}: {source.variable.name} has the further dimension {source.classes}",
                hint="a land fraction depends on latitude and longitude only",
            )
        extremes = []

        def keep(values, *_):
            if mask_name:
                return (np.nan_to_num(values) > 0.0).astype(float)
            extremes.extend((np.nanmin(values, initial=0.0), np.nanmax(values, initial=0.0)))
            return np.where(np.isfinite(values), values, 0.0)

        values, share = average(source, domain, keep=keep)
        values = np.where(share > 0.0, values, 0.0) * np.where(share > 1.0 - 1e-3, 1.0, share)
        if mask_name:
            domain.notes.append(f"land: {mask_name} > 0 of {path.name}")
            return values
        scale = fraction_scale(source.units, max(extremes[1], -extremes[0]), path, source.variable.name)
        if extremes[0] * scale < -1e-3:
            raise ConcertoError(
                f"{path}: {source.variable.name} falls to {extremes[0]:g}", hint="is its missing value declared?"
            )
        domain.notes.append(f"land: {source.variable.name} of {path.name}, {method(source, domain)}")
        return np.clip(values * scale, 0.0, 1.0)


def _region(path, wanted, lat, lon):
    """Mask (lat, lon) of a file on the same grid: where its variable is greater than 0."""
    with open_file(path) as file:
        name = wanted if wanted in file.variables else None
        if name is None:
            flat = [
                v.name
                for v in file.variables.values()
                if sum(n > 1 for n in v.shape) == 2 and v.dtype is not str and "bnds" not in v.name + str(v.dimensions)
            ]
            known = [n for n in flat if n.lower() in NAMES["mask"][1]]
            if len(known or flat) != 1:
                raise ConcertoError(
                    f"{path}: which variable is the mask is not clear",
                    hint=f"name it in domain.variables.mask; the file has {', '.join(file.variables)}",
                )
            name = (known or flat)[0]
    with Map(path, name, "domain.variables.mask") as source:
        rows, columns = same_axes(lat, source.grid.lat), same_axes(lon, source.grid.lon)
        if rows is None or columns is None or source.classes:
            raise ConcertoError(
                f"{path}: the mask does not stand on the grid of the run "
                f"({len(source.grid.lat)} x {len(source.grid.lon)} against {len(lat)} x {len(lon)} cells; centres must "
                f"agree within {100 * SAME_GRID:g} % of the spacing)",
                hint="bring the mask to that grid, or use domain.box",
            )
        values = source.rows(0, len(source.grid.lat))
    return np.nan_to_num(values)[np.ix_(rows, columns)] > 0.0


def _add_elevation(domain, path, variables):
    """Elevation of the cells from the file, else of the package."""
    if path is not None and path.suffix.lower() != ".csv":
        with open_file(path) as file:
            name = _variable_name(file, path, entry(variables, "elevation"), "elevation")
        if name:
            with Map(path, name, "domain.variables.elevation", named=variables) as source:
                unit = source.units.lower()
                scales = {"": 1.0, "m": 1.0, "meter": 1.0, "meters": 1.0, "metre": 1.0, "metres": 1.0, "km": 1000.0}
                scales |= {unit: 1.0 / 9.80665 for unit in ("m2 s-2", "m**2 s**-2", "m2/s2", "m^2/s^2")}
                if unit not in scales:
                    raise ConcertoError(f"{path}: {name} is in {source.units}", hint="give elevation in m")
                with open_file(path) as file:
                    land_name = _variable_name(file, path, entry(variables, "land_fraction"), "land_fraction")
                _map_elevation(source, domain, scales[unit], land_name, variables)
            return
    domain.elevation = _package_elevation(domain)
    domain.notes.append("elevation: of the package")


def _package_elevation(domain):
    from concerto.domain.embedded import embedded_elevation

    size = None
    if domain.kind == "latlon":  # of irregular grids the usual size; of huge cells the middle
        size = tuple(min(float(np.median(b[:, 1] - b[:, 0])), 5.0) for b in (domain.lat_bounds, domain.lon_bounds))
    return np.asarray(embedded_elevation(domain.latitude, domain.longitude, size), dtype=float)


def _map_elevation(source, domain, scale, land_name, variables):
    """Elevation of the cells from a map: of the land alone where the file says what is land.

    Maps that hold one number all over the sea, such as 6690 m, have averaged it into their coasts as well: there the
    elevation is that of the package.
    """
    what, path = source.variable.name, source.path
    if land_name is None:
        domain.elevation = continuous(source, domain, "elevation", domain.notes, scale)
        return
    with Map(path, land_name, "domain.variables.land_fraction", named=variables) as land:
        lat, lon = land.grid.lat, land.grid.lon
        if land.classes or not (np.array_equal(lat, source.grid.lat) and np.array_equal(lon, source.grid.lon)):
            domain.elevation = continuous(source, domain, "elevation", domain.notes, scale)
            return
        percent = 100.0 if land.units.lower() in ("%", "percent", "per cent") else 1.0
        weights, at_sea = {}, None
        single = domain.kind != "latlon" or method(source, domain) == "on the grid of the run"  # to the bit

        def weight(values, first, last):
            nonlocal at_sea
            if (first, last) not in weights:
                share = np.nan_to_num(land.rows(first, last)) / percent
                sea = values[(share <= 0.0) & np.isfinite(values)]
                if len(sea) >= 50:
                    number, count = max(zip(*np.unique(sea, return_counts=True), strict=True), key=lambda p: p[1])
                    if count > 0.9 * len(sea) and abs(number * scale) > 200.0:
                        at_sea = float(number)
                if at_sea is not None:
                    share = np.where((share < 0.99) | (values == at_sea), 0.0, share)
                used = np.isfinite(values) & (share > 0.0)
                weights[first, last] = np.where(used, 1.0 if single else share, np.nan)
            return weights[first, last]

        total, _ = average(source, domain, keep=lambda v, a, b: v * weight(v, a, b))
        share, _ = average(source, domain, keep=lambda v, a, b: np.where(np.isfinite(v), weight(v, a, b), np.nan))
    values = total / share
    missing = ~np.isfinite(values)
    if at_sea is not None:
        values[missing] = _package_elevation(domain)[missing] / scale
        domain.notes.append(
            f"elevation: {what} of {path.name} is {at_sea:g} {source.units or 'm'} at sea and a mixture at coasts, "
            f"which are left out; {int(missing.sum())} of {domain.n_cell} cells have that of the package"
        )
    elif missing.any():
        filled = fill(
            source, domain, missing, lambda a, b: np.isfinite(source.rows(a, b)),
            lambda row: source.rows(row, row + 1)[0], "elevation", domain.notes,
        )  # fmt: skip
        for cell, value in filled.items():
            values[cell] = value
    domain.elevation = values * scale
    domain.notes.append(f"elevation: {what} of {path.name}, {method(source, domain)}")


# --- points ---------------------------------------------------------------------------------------------------------

POINT_COLUMNS = {
    "latitude": ("latitude", "lat"),
    "longitude": ("longitude", "lon"),
    "area": ("area", "cell_area", "areacella"),
    "land_fraction": ("land_fraction", "landfrac", "sftlf"),
    "elevation": ("elevation", "altitude"),
    "canopy_height": ("canopy_height",),
    "name": ("name", "site", "site_name"),
    "igbp": ("igbp",),
    "pft": ("pft",),
    "soil": ("soil", "soil_texture", "texture"),
}
TEXT = ("name", "igbp", "pft", "soil")


def _points(config_domain, folder):
    """Domain of a list of points, and whether it has elevations."""
    if entry(config_domain, "mask"):
        raise ConcertoError("domain.mask goes with grids, not with points", hint="leave out points, or use domain.box")
    source = entry(config_domain, "points")
    if source is None:
        raise ConcertoError("domain.grid is points but domain.points is not given", hint="give a list or a file")
    if isinstance(source, str | Path):
        where = Path(folder) / source
        if where.suffix.lower() in (".csv", ".txt"):
            columns = _points_of_csv(where)
        else:
            columns = _points_of_netcdf(where, entry(config_domain, "variables", {}))
    else:
        where = "domain.points"
        columns = {name: [entry(point, name) for point in source] for name in POINT_COLUMNS}
        columns = {name: values for name, values in columns.items() if any(v is not None for v in values)}
    for name in ("latitude", "longitude"):
        if name not in columns or not len(columns[name]):
            raise ConcertoError(f"{where}: points have no {name}", hint="give latitude and longitude in degrees")
    numbers = {name: _numbers(columns[name], name, where) for name in columns if name not in TEXT}
    texts = {
        name: np.array(["" if v is None else str(v).strip() for v in columns[name]], dtype=object)
        for name in TEXT
        if name in columns
    }
    n = len(numbers["latitude"])
    checks = {"latitude": (-90.0, 90.0), "longitude": (-360.0, 360.0), "land_fraction": (0.0, 1.0)}
    for name, (low, high) in checks.items():
        if name in numbers:
            bad = ~((numbers[name] >= low) & (numbers[name] <= high))
            if bad.any():
                at = int(np.argmax(bad))
                raise ConcertoError(
                    f"{where}: {name} of point {at + 1} is {numbers[name][at]:g}; {int(bad.sum())} points are outside "
                    f"{low:g} to {high:g}",
                    hint="correct or leave out these points",
                )
    area = numbers.get("area", np.ones(n))
    if not (area > 0.0).all():
        raise ConcertoError(
            f"{where}: the area of point {int(np.argmax(~(area > 0.0))) + 1} is missing or not positive",
            hint="give the area of every point in m2, or of none",
        )
    land = numbers.get("land_fraction", np.ones(n))
    facts = dict(texts)
    if "canopy_height" in numbers:
        facts["canopy_height"] = numbers["canopy_height"]
    longitude = wrap_longitude(numbers["longitude"])
    domain = Domain(
        kind="points",
        latitude=numbers["latitude"],
        longitude=longitude,
        area=area,
        land_fraction=land,
        elevation=numbers.get("elevation", np.full(n, np.nan)),
        cell_id=np.arange(n, dtype=np.int64),
        facts=facts,
    )
    if (area == 1.0).all():
        domain.notes.append("points have no area: sums over cells count each point as 1 m2")
    rows, columns_ = _in_box(entry(config_domain, "box"), domain.latitude, longitude)
    domain = domain._select(rows & columns_ & (land > 0.0))
    if "elevation" not in numbers:
        return domain, False
    missing = ~np.isfinite(domain.elevation)
    if missing.any():
        from concerto.domain.embedded import embedded_elevation

        of_package = np.asarray(embedded_elevation(domain.latitude[missing], domain.longitude[missing]), dtype=float)
        domain.elevation[missing] = of_package
        domain.notes.append(f"elevation: of the package at {int(missing.sum())} points")
    return domain, True


def _towers(config_domain, folder, forcing):
    """Domain of the towers of the forcing: their types, unless the section has a land cover of its own."""
    from concerto.forcing.tower import place_facts

    own = entry(entry(config_domain, "land_cover", {}), "kind", "embedded") != "embedded"
    facts = place_facts(forcing, folder, plants=not own)
    place = {name: facts.pop(name) for name in ("latitude", "longitude", "elevation")}
    n = len(place["latitude"])
    return Domain(
        kind="points",
        area=np.ones(n),
        land_fraction=np.ones(n),
        cell_id=np.arange(n, dtype=np.int64),
        facts=facts,
        notes=["towers have no area: sums over cells count each as 1 m2"],
        **place | {"longitude": wrap_longitude(place["longitude"])},
    )


def _numbers(values, name, where):
    out = np.full(len(values), np.nan)
    for i, value in enumerate(values):
        if value is None or (isinstance(value, str) and value.strip().lower() in ("", "na", "nan")):
            continue
        try:
            out[i] = float(value)
        except (TypeError, ValueError):
            raise ConcertoError(f"{where}: {name} of point {i + 1} is '{value}', not a number") from None
    return out


def _points_of_csv(path):
    import csv

    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            lines = [line for line in file if line.strip() and not line.startswith("#")]
    except FileNotFoundError:
        raise ConcertoError(
            f"there is no file {path}", hint="check the path; it counts from the configuration"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConcertoError(f"{path} could not be read: {error}") from None
    if not lines:
        raise ConcertoError(f"{path} is empty", hint="a header line with latitude,longitude and a line for each point")
    rows = list(csv.reader(lines, delimiter=";" if ";" in lines[0] and "," not in lines[0] else ","))
    header = [name.strip().lower() for name in rows[0]]
    for i, row in enumerate(rows[1:], 2):
        if len(row) != len(header):
            raise ConcertoError(f"{path}: line {i} has {len(row)} values, the header {len(header)}")
    out = {}
    for name, aliases in POINT_COLUMNS.items():
        column = next((header.index(a) for a in aliases if a in header), None)
        if column is not None:
            out[name] = [row[column] for row in rows[1:]]
    return out


def _points_of_netcdf(path, named):
    with open_file(path) as file:
        lat = axis_variable(file, path, "latitude", None, named)
        lon = axis_variable(file, path, "longitude", lat.dimensions, named)
        out = {"latitude": floats(lat, path), "longitude": floats(lon, path)}
        for name, aliases in POINT_COLUMNS.items():
            if name in out:
                continue
            names = (entry(named, name),) if entry(named, name) else aliases
            variable = next(
                (v for k, v in file.variables.items() if k.lower() in names and v.dimensions[:1] == lat.dimensions),
                None,
            )
            if variable is None:
                continue
            if name in TEXT:
                values = variable[:]
                if getattr(values, "ndim", 1) == 2:  # characters
                    values = ["".join(c.decode() if isinstance(c, bytes) else str(c) for c in row) for row in values]
                if np.asarray(values).dtype.kind in "OUS":
                    out[name] = [v.decode() if isinstance(v, bytes) else str(v) for v in values]
            elif variable.ndim == 1:
                values = floats(variable, path)
                unit = str(getattr(variable, "units", "")).strip().lower()
                if name == "area":
                    if unit not in AREA_UNITS:
                        raise ConcertoError(f"{path}: {variable.name} is in {unit}", hint="give areas in m2")
                    values = values * AREA_UNITS[unit]
                elif name == "land_fraction":
                    values = np.nan_to_num(values)
                    scale = fraction_scale(unit, float(values.max(initial=0.0)), path, variable.name)
                    values = np.minimum(values * scale, 1.0)
                out[name] = values
    return out


# --- tiles and soil -------------------------------------------------------------------------------------------------


def add_tiles(domain, config_domain, climate, folder=None) -> Domain:
    """Tiles (type and share) and soil of the cells.

    Parameters
    ----------
    domain : Domain
        From :func:`make_cells`; not changed.
    config_domain : object with the attributes of the section `domain`
        land_cover (kind, file, variable, pft), soil (texture, file, variables), minimum_fraction, most_tiles.
    climate : dict
        temperature (cell, 12) degC and precipitation (cell, 12) mm month-1: climatology of the cells.
    folder : path that relative paths count from; that of :func:`make_cells` if not given

    Returns
    -------
    Domain
        Cells that are wholly ice or water are left out (see `notes`), so that it may have fewer cells; `cell_id` tells
        which. `land_fraction` is the share of land without ice and water.

    Raises
    ------
    ConcertoError
        A map cannot be read or contradicts its unit, a class is unknown, or no cell is left.

    Notes
    -----
    Water in a map of the whole cell first accounts for the sea that `land_fraction` has left out already; what exceeds
    it is taken as lakes. Of a cell with land fraction L, and shares w of water and i of ice in a map that covers it
    wholly, min(L, 1 - w) (1 - i / (1 - w)) stays; in a map of the land alone (no data at sea) L (1 - w - i).
    """
    temperature = np.asarray(climate["temperature"], dtype=float)
    precipitation = np.asarray(climate["precipitation"], dtype=float)
    for name, values in (("temperature", temperature), ("precipitation", precipitation)):
        if values.shape != (domain.n_cell, 12) or not np.isfinite(values).all():
            raise ConcertoError(
                f"climatology of {name}: twelve finite values are needed for each of {domain.n_cell} cells",
                hint="does the forcing cover every land cell of the domain?",
            )
    rule = land_cover.monthly_climate(temperature, precipitation)
    folder = domain.folder if folder is None else folder
    notes = list(domain.notes)
    cover, land = cover_of_cells(domain, config_domain, climate, rule, folder, notes)

    keep = (land * domain.land_fraction >= NO_LAND) & (cover.sum(axis=1) > 0.0)
    if not keep.any():
        raise ConcertoError("every cell of the domain is ice or water", hint="check box, mask and the land-cover map")
    if not keep.all():
        gone = float((domain.area * domain.land_fraction)[~keep].sum()) / 1e12
        words = f" ({gone:.3g} million km2)" if domain.kind == "latlon" else ""
        if "name" in domain.facts:
            named = domain.facts["name"][~keep]
            words = f" ({', '.join(map(str, named[:5]))}{', ...' if len(named) > 5 else ''})"
        notes.append(f"{int((~keep).sum())} of {domain.n_cell} cells are wholly ice or water and left out{words}")
    out = replace(domain, land_fraction=np.where(keep, domain.land_fraction * land, 0.0))._select(keep)
    cover = cover[keep]
    weights = out.area * out.land_fraction

    cover, lost = few_tiles(
        cover, float(entry(config_domain, "minimum_fraction", 0.0)), int(entry(config_domain, "most_tiles", N_PFT))
    )
    lost = float((lost * weights).sum() / weights.sum())
    if lost > 0.0:
        notes.append(f"small tiles: {100 * lost:.2g} % of the land went to the other tiles of its cell")
    out.tile_cell, out.tile_pft = (a.astype(np.int64) for a in np.nonzero(cover))
    out.tile_fraction = cover[out.tile_cell, out.tile_pft]
    out.soil = soil_of_cells(out, config_domain, folder, notes)
    if "canopy_height" in out.facts:
        from concerto.tables import loader

        table = np.array(loader.parameters()["canopy_height"].values)
        given = out.facts["canopy_height"][out.tile_cell]
        out.tile_parameters["canopy_height"] = np.where(np.isfinite(given), given, table[out.tile_pft])
    out.notes = notes
    return out
