"""A global or regional run in numbers: totals, latitude bands and biomes beside the plausibility envelope.

Everything starts from a `Climatology`: means over years of the output of a run, cell by cell, made file by file so
that a long run at fine resolution fits into memory. The envelope is the table ``envelope.toml`` beside this module;
`compare` says for each quantity whether it is inside.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from concerto.errors import ConcertoError

SECONDS_PER_YEAR = 3.15576e7
RADIUS = 6371007.2  # m, authalic
MONTH_DAYS = np.array([31.0, 28.25, 31.0, 30.0, 31.0, 30.0, 31.0, 31.0, 30.0, 31.0, 30.0, 31.0])
FLUX, STOCK, HEAT = "kg m-2 s-1", "kg m-2", "W m-2"
UNITS = {  # variables that are used, with the unit they must have
    **dict.fromkeys(("gpp", "npp", "ra", "rh", "nbp", "evspsbl", "tran", "evspsblveg", "mrro", "mrros", "mrrob"), FLUX),
    **dict.fromkeys(("pr", "prra", "prsn"), FLUX),
    **dict.fromkeys(("cVeg", "cSoil", "cSoilAbove1m", "cLitter", "snw"), STOCK),
    **dict.fromkeys(("hfls", "hfss", "rns"), HEAT),
    "lai": "m2 m-2",
    "tas": "K",
}
_SPELLINGS = {"1": "m2 m-2", "m2/m2": "m2 m-2", "kg/m2/s": FLUX, "kg/m2": STOCK, "W/m2": HEAT, "mm s-1": FLUX}
_RANK = {"month": 0, "day": 1, "year": 2, "step": 3}  # which stream gives a variable, first choice first
_LARGEST_READ = 6.4e7  # bytes of one read


@functools.cache
def _envelope():
    import tomllib

    with open(Path(__file__).with_name("envelope.toml"), "rb") as file:
        return tomllib.load(file)


def envelope():
    """The plausibility envelope (``envelope.toml``).

    Returns
    -------
    dict
        ``total``: quantity -> name, unit, range, [wide], scope, source; ``biome``: biome -> name, colour, ranges of
        the quantities of ``biome_quantity``, source; ``globe``: thresholds.
    """
    import copy

    return copy.deepcopy(_envelope())


@dataclass
class Climatology:
    """Means over years, one value per land cell.

    Attributes
    ----------
    latitude, longitude : (cell,) degrees north, degrees east in [-180, 180)
    area : (cell,) m2 of land that the values stand for; 1 for points without an area
    mean : dict name -> (cell,) annual mean, CMIP names and SI units
    months : dict name -> (12, cell) mean of each calendar month; NaN for months without output
    yearly : dict name -> (year,) mean over the land of each complete year
    year : (year,) int, the years of ``yearly``
    first, last : first and last year of the means
    lat_edges, lon_edges : borders of rows and columns, ascending, degrees; None for points
    row, column : (cell,) place on these axes; None for points
    notes : list of str, what was left out or assumed
    """

    latitude: np.ndarray
    longitude: np.ndarray
    area: np.ndarray
    mean: dict
    months: dict
    yearly: dict = field(default_factory=dict)
    year: np.ndarray = field(default_factory=lambda: np.zeros(0, int))
    first: int = 0
    last: int = 0
    lat_edges: np.ndarray | None = None
    lon_edges: np.ndarray | None = None
    row: np.ndarray | None = None
    column: np.ndarray | None = None
    notes: list = field(default_factory=list)

    @property
    def extensive(self):
        """Whether the cells have areas, so that sums over them mean something."""
        return bool(self.area.sum() > 1e6)

    @property
    def land(self):
        """Land of the run, million km2; 0 for points without areas."""
        return float(self.area.sum()) * 1e-12 if self.extensive else 0.0

    def grid(self, values):
        """Values of the cells on the grid (row from the south, column from the west); NaN elsewhere."""
        out = np.full((len(self.lat_edges) - 1, len(self.lon_edges) - 1), np.nan)
        out[self.row, self.column] = values
        return out


def is_globe(climatology):
    """Whether the run covers enough land to be compared with global totals."""
    return climatology.land >= _envelope()["globe"]["least_land"]


# --- reading ------------------------------------------------------------


def _open(path):
    import xarray as xr

    try:
        if path.is_dir():
            return xr.open_zarr(path, chunks=None, decode_timedelta=False, consolidated=False)
        return xr.open_dataset(path, decode_timedelta=False)
    except (OSError, ValueError, KeyError) as error:
        raise ConcertoError(
            f"{path}: the file cannot be read ({error}).", hint="Remove an unfinished file, or repeat the run."
        ) from None


def stream_files(folder):
    """Files of each output stream of a run, in the order of their labels.

    Parameters
    ----------
    folder : path
        Folder of a run: ``<stream>_<year>.nc`` or ``<stream>_<year>-<month>.nc``, or ``<stream>.zarr``.

    Returns
    -------
    dict
        Stream name -> list of paths.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ConcertoError(f"{folder}: there is no such folder.", hint="Give the output folder of a run.")
    streams = {}
    for path in sorted([*folder.glob("*.nc"), *folder.glob("*.zarr")]):
        label = re.fullmatch(r"(.+)_-?\d+(-\d+)?", path.stem)
        stream = label.group(1) if label else path.stem if path.suffix == ".zarr" else None
        if stream is not None and stream != "state":
            streams.setdefault(stream, []).append(path)
    return streams


def _clock(ds):
    """Year, month (0 to 11) and days of every interval, and what the intervals are."""
    import xarray as xr

    if "time" not in ds.dims or "time" not in ds.variables:
        return None
    time = ds["time"]
    if time.size == 0 or not (np.issubdtype(time.dtype, np.datetime64) or time.dtype == object):
        return None
    name = time.attrs.get("bounds") or time.encoding.get("bounds")
    bounds = next((ds[n] for n in (name, "time_bounds", "time_bnds") if n and n in ds.variables), None)
    days = None
    if bounds is not None and np.issubdtype(bounds.dtype, np.number):
        try:  # bounds may lack units of their own
            units = {k: time.encoding[k] for k in ("units", "calendar") if k in time.encoding}
            bounds = xr.decode_cf(bounds.assign_attrs(units).to_dataset(name="b"))["b"]
        except (ValueError, KeyError):
            bounds = None
    if bounds is not None:
        start = bounds[:, 0]
        days = np.asarray((bounds[:, 1] - bounds[:, 0]).values)
        days = np.array([d / np.timedelta64(1, "D") if isinstance(d, np.timedelta64) else d.total_seconds() / 86400.0
                         for d in days])  # fmt: skip
    else:
        start = time
    year, month = start.dt.year.values.astype(int), start.dt.month.values.astype(int) - 1
    told = str(ds.attrs.get("frequency", "")).lower()[:3]
    kind = {"mon": "month", "day": "day", "yea": "year", "yr": "year", "ste": "step", "1hr": "step", "3hr": "step"}
    kind = kind.get(told)
    if days is None and time.size > 1:
        gap = np.diff(time.values[:2])[0]
        gap = gap / np.timedelta64(1, "D") if isinstance(gap, np.timedelta64) else gap.total_seconds() / 86400.0
        kind = kind or _kind(gap)
    elif days is not None:
        kind = kind or _kind(float(np.median(days)))
    kind = kind or ("year" if "ann" in str(ds.encoding.get("source", "")) else "month")
    if days is None:
        days = {"month": MONTH_DAYS[month], "year": np.full(len(year), 365.25)}.get(kind, np.ones(len(year)))
    return year, month, days, kind


def _kind(days):
    return "step" if days < 0.99 else "day" if days < 27.0 else "month" if days < 32.0 else "year"


def _edges(centres, bounds, least, greatest):
    """Borders of the intervals of an ascending axis."""
    if bounds is not None:
        low, high = np.minimum(*bounds.T), np.maximum(*bounds.T)
        edges = np.append(low, high[-1])
    elif len(centres) == 1:
        edges = np.array([centres[0] - 0.5, centres[0] + 0.5])
    else:
        middle = 0.5 * (centres[1:] + centres[:-1])
        edges = np.concatenate([[2 * centres[0] - middle[0]], middle, [2 * centres[-1] - middle[-1]]])
    return np.clip(edges, least, greatest)


def _wrap(longitude):
    return (np.asarray(longitude, float) + 180.0) % 360.0 - 180.0


def _variable(ds, *names):
    return next((ds[name] for name in names if name in ds.variables), None)


def _axes(ds):
    """Borders of lat and lon, row and column of each place of the flattened grid; latitudes; longitudes."""
    lat, lon = ds["lat"].values.astype(float), _wrap(ds["lon"].values)
    rows, columns = np.argsort(lat), np.argsort(lon, kind="stable")
    bounds = []
    for axis, order in (("lat", rows), ("lon", columns)):
        b = _variable(ds, ds[axis].attrs.get("bounds", ""), f"{axis}_bounds", f"{axis}_bnds")
        b = None if b is None else b.values.astype(float)[order]
        if axis == "lon" and b is not None:  # about the wrapped centres
            b = b + (lon[columns] - ds["lon"].values.astype(float)[order])[:, None]
        bounds.append(b)
    lat_edges = _edges(lat[rows], bounds[0], -90.0, 90.0)
    lon_edges = _edges(lon[columns], bounds[1], -180.0, 180.0)
    row, column = np.argsort(rows), np.argsort(columns)
    grid = (lat_edges, lon_edges, np.repeat(row, len(lon)), np.tile(column, len(lat)))
    return grid, np.repeat(lat, len(lon)), np.tile(lon, len(lat))


def _place(ds):
    """Where the values stand: dims beside time, latitude and longitude (flat), grid or None, cell size or None, and
    whether the size is that of the land."""
    grid, size, gridded = None, None, "lat" in ds.dims and "lon" in ds.dims
    if gridded and any({"lat", "lon"} <= set(var.dims) for var in ds.data_vars.values()):
        grid, latitude, longitude = _axes(ds)
        dims = ("lat", "lon")
        sine = np.sin(np.radians(grid[0]))
        size = RADIUS**2 * np.outer(np.diff(sine), np.radians(np.diff(grid[1])))[grid[2], grid[3]]
    else:
        latitude, longitude = _variable(ds, "latitude", "lat"), _variable(ds, "longitude", "lon")
        if latitude is None or longitude is None or latitude.ndim != 1:
            return None
        dims = latitude.dims
        latitude, longitude = latitude.values.astype(float), _wrap(longitude.values)
        number = _variable(ds, dims[0])
        if gridded and number is not None and number.attrs.get("compress") == "lat lon":
            whole, _, _ = _axes(ds)
            grid = (whole[0], whole[1], whole[2][number.values], whole[3][number.values])
    area, share = _variable(ds, "areacella", "cell_area", "area"), _variable(ds, "sftlf", "land_fraction")
    if area is not None and area.dims == dims:
        size = area.values.astype(float).ravel()
    if share is not None and share.dims == dims and size is not None:
        factor = 0.01 if share.attrs.get("units", "%") in ("%", "percent") else 1.0
        size = size * np.nan_to_num(share.values.astype(float).ravel()) * factor
        known = True
    else:
        known = False
    return dims, latitude, longitude, grid, size, known


class _Sums:
    """Sums over time of one variable."""

    def __init__(self, cells, monthly):
        self.value = np.zeros((12 if monthly else 1, cells))
        self.weight = np.zeros(12 if monthly else 1)
        self.years = {}

    def add(self, values, year, month, days, area):
        slot = month if len(self.weight) == 12 else np.zeros_like(month)
        for k in range(len(year)):
            good = np.isfinite(values[k]) & (area > 0.0)
            if not good.any():  # not written yet
                continue
            self.value[slot[k]] += days[k] * values[k]
            self.weight[slot[k]] += days[k]
            pair = self.years.setdefault(int(year[k]), [0.0, 0.0])
            pair[0] += days[k] * (values[k][good] @ area[good]) / max(area[good].sum(), 1e-30)
            pair[1] += days[k]


def climatology(data, years=20, domain=None):
    """Means over the last years of a run.

    Parameters
    ----------
    data : path or xarray.Dataset
        Folder of a run, or one data set with dimensions (time, lat, lon) or (time, cell); CMIP names; variables
        ``areacella`` (m2) and ``sftlf`` (%) where areas count; NaN where there is no land.
    years : int
        Number of last years to take; fewer where there are fewer.
    domain : Domain, optional
        Gives land areas that the files lack, and the grid of outputs along ``cell``; default ``domain.nc`` of the
        folder.

    Returns
    -------
    Climatology
        Values are means per land area. Monthly output comes before daily, annual and that of every step. Variables
        with an unknown unit, sums and extremes are left out, with a note.

    Raises
    ------
    ConcertoError
        No folder, no output files, none of the variables that are used.

    Examples
    --------
    >>> climatology("runs/globe").mean["gpp"]  # doctest: +SKIP
    """
    notes = []
    if hasattr(data, "data_vars"):
        where, pieces = "data set", {"data": [data]}
    else:
        where = Path(data)
        pieces = stream_files(where)
        if not any(pieces.values()):
            raise ConcertoError(
                f"{where}: no output files.", hint="Give the folder of a finished run, with <stream>_<year>.nc files."
            )
        domain = domain if domain is not None else read_domain(where)
    sources, last = {}, None  # name -> (rank, stream); last year of all
    clocks, place = {}, None
    for stream, files in pieces.items():
        first_file = files[0] if hasattr(files[0], "data_vars") else _open(files[0])
        clock, here = _clock(first_file), _place(first_file)
        if clock is None or here is None:
            notes.append(f"Stream {stream} is left out: no time or no latitude and longitude.")
            _close(first_file)
            continue
        used = []
        for name, unit in UNITS.items():
            if name not in first_file.data_vars:
                continue
            var = first_file[name]
            if set(var.dims) != {"time", *here[0]}:
                continue
            told = var.attrs.get("units")
            if told is not None and _SPELLINGS.get(told, told) != unit:
                notes.append(f"{name} of stream {stream} is left out: its unit is {told}, not {unit}.")
                continue
            method = str(var.attrs.get("cell_methods", ""))
            if any(word in method for word in ("time: sum", "time: maximum", "time: minimum", "time: point")):
                notes.append(f"{name} of stream {stream} is left out: it is not a mean ({method}).")
                continue
            used.append(name)
        if place is None and used:
            place = here
        _close(first_file)
        if used and (here[0] != place[0] or len(here[1]) != len(place[1])):
            notes.append(f"Stream {stream} is left out: other cells than in the first stream.")
            continue
        clocks[stream] = clock[3]
        for name in used:
            if name not in sources or _RANK[clock[3]] < sources[name][0]:
                sources[name] = (_RANK[clock[3]], stream)
    if not sources:
        raise ConcertoError(
            f"{where}: none of the variables of a global evaluation ({', '.join(list(UNITS)[:5])}, ...) is there.",
            hint="Write them in a stream of `output.streams` with `per: cell` and `statistic: mean`.",
        )
    dims, latitude, longitude, grid, area, known = place
    if domain is not None and (not known or grid is None):
        area, grid = _from_domain(domain, latitude, longitude, area, grid, known, notes)
    elif not known:
        notes.append("No land fraction (sftlf) in the output: every cell with values counts as all land.")
    area = np.ones(len(latitude)) if area is None else np.nan_to_num(area)
    chosen, phase, other = {stream for _, stream in sources.values()}, None, set()
    for stream in chosen:
        for file in (pieces[stream][-1],):
            ds = file if hasattr(file, "data_vars") else _open(file)
            end = int(_clock(ds)[0].max())
            if last is None or end >= last:
                last, phase = end, ds.attrs.get("phase")
            _close(ds)
    sums, seen, invalid = {}, {}, {}
    for stream in sorted(chosen):
        names = [name for name, (_, s) in sources.items() if s == stream]
        for file in pieces[stream]:
            ds = file if hasattr(file, "data_vars") else _open(file)
            clock = _clock(ds)
            if clock is None:
                notes.append(f"{file}: left out, no time.")
                continue
            if ds.attrs.get("phase") not in (None, phase):  # another experiment
                other.add(ds.attrs["phase"])
                if file is not ds:
                    _close(ds)
                continue
            year, month, days, _ = clock
            take = np.flatnonzero(year > last - years)
            step = max(1, int(_LARGEST_READ // (8 * len(latitude))))
            for name in names if len(take) else ():
                if name not in ds.data_vars:
                    continue
                if name not in sums:
                    sums[name] = _Sums(len(latitude), clocks[stream] != "year")
                var = ds[name].transpose("time", *dims)
                for k in range(0, len(take), step):
                    part = take[k : k + step]
                    values = var.isel(time=slice(part[0], part[-1] + 1)).values.astype(float)
                    values = values.reshape(len(values), -1)[part - part[0]]
                    sums[name].add(values, year[part], month[part], days[part], area)
                seen.setdefault(name, set()).update(np.unique(year[take]).tolist())
            if file is not ds:
                _close(ds)
    if other:
        notes.append(f"Means are of the phase {phase}; left out: {', '.join(sorted(other))}.")
    mean, months = {}, {}
    for name, total in sums.items():
        if not total.weight.any():
            notes.append(f"{name}: no finite value in the years {last - years + 1} to {last}.")
            continue
        with np.errstate(invalid="ignore", divide="ignore"):
            value = total.value / total.weight[:, None]
        if len(total.weight) == 12:
            there = total.weight > 0
            months[name] = value
            mean[name] = np.average(value[there], axis=0, weights=MONTH_DAYS[there])
            if not there.all():
                notes.append(f"{name}: output of {there.sum()} of 12 months only, its means are of these.")
        else:
            mean[name] = value[0]
    finite = np.zeros(len(latitude), bool)
    for value in mean.values():
        finite |= np.isfinite(value)
    keep = np.flatnonzero(finite & (area > 0.0))
    if not len(keep):
        raise ConcertoError(f"{where}: no cell has land and finite values.", hint="Look at areacella, sftlf, gpp.")
    mean = {name: value[keep] for name, value in mean.items()}
    months = {name: value[:, keep] for name, value in months.items()}
    for name, value in mean.items():
        invalid[name] = int((~np.isfinite(value)).sum())
    if any(invalid.values()):
        text = ", ".join(f"{name} in {n}" for name, n in invalid.items() if n)
        notes.append(f"Not a number, left out of the means: {text} of {len(keep)} land cells.")
    _derive(mean, months)
    every = sorted(set().union(*seen.values()))
    yearly, year = _years(sums, every)
    return Climatology(
        latitude[keep],
        longitude[keep],
        area[keep],
        mean,
        months,
        yearly,
        year,
        every[0],
        every[-1],
        *((None, None, None, None) if grid is None else (grid[0], grid[1], grid[2][keep], grid[3][keep])),
        notes,
    )


def _close(ds):
    if ds.encoding.get("source"):
        ds.close()


def _years(sums, every):
    """Land means of the years that are complete."""
    out = {}
    for name, total in sums.items():
        values = np.array([total.years.get(y, (np.nan, 0.0)) for y in every])
        with np.errstate(invalid="ignore", divide="ignore"):
            out[name] = np.where(values[:, 1] > 358.0, values[:, 0] / values[:, 1], np.nan)
    year = np.array(every, int)
    _derive(out, {})
    return out, year


def _derive(mean, months):
    """Variables that follow from others."""
    for target in (mean, months):
        for name, parts in (
            ("npp", (("gpp", 1), ("ra", -1))),
            ("ra", (("gpp", 1), ("npp", -1))),
            ("nbp", (("npp", 1), ("rh", -1))),
            ("mrro", (("mrros", 1), ("mrrob", 1))),
            ("pr", (("prra", 1), ("prsn", 1))),
        ):
            if name not in target and all(part in target for part, _ in parts):
                target[name] = sum(sign * target[part] for part, sign in parts)


def read_domain(folder):
    """The cells and tiles of a run (``domain.nc``), or None where there is no such file."""
    path = Path(folder) / "domain.nc"
    if not path.is_file():
        return None
    from concerto.domain.grid import Domain

    return Domain.load(path)


def _match(domain, latitude, longitude):
    """Number of the domain's cell at each place, -1 where there is none."""
    lat, lon = np.asarray(domain.latitude, float), _wrap(domain.longitude)
    if len(lat) == len(latitude) and np.allclose(lat, latitude, atol=1e-3) and np.allclose(lon, longitude, atol=1e-3):
        return np.arange(len(lat))

    def key(a, b):
        return (np.round((a + 90.0) * 1e3).astype(np.int64) << 20) + np.round((b + 180.0) * 1e3).astype(np.int64)

    ours, theirs = key(np.asarray(latitude), np.asarray(longitude)), key(lat, lon)
    order = np.argsort(theirs)
    at = np.minimum(np.searchsorted(theirs[order], ours), len(order) - 1)
    return np.where(theirs[order][at] == ours, order[at], -1)


def _from_domain(domain, latitude, longitude, area, grid, known, notes):
    """Land areas and grid from the domain where the output has none."""
    place = _match(domain, latitude, longitude)
    if (place < 0).all():
        notes.append("The cells of domain.nc are others than those of the output: it is left out.")
        return area, grid
    if not known:
        land = np.asarray(domain.area, float) * np.asarray(domain.land_fraction, float)
        area = np.where(place >= 0, land[place], 0.0)
    if grid is None and getattr(domain, "lat", None) is not None and getattr(domain, "index", None) is not None:
        lat, lon = np.asarray(domain.lat, float), np.asarray(domain.lon, float)
        rows, columns = np.argsort(lat), np.argsort(lon)
        edges = []
        for centres, order, name, limit in ((lat, rows, "lat_bounds", 90.0), (lon, columns, "lon_bounds", 180.0)):
            bounds = getattr(domain, name, None)
            bounds = None if bounds is None else np.asarray(bounds, float)
            if bounds is not None and bounds.ndim == 1:  # borders rather than pairs
                edges.append(np.sort(bounds))
            else:
                edges.append(_edges(centres[order], None if bounds is None else bounds[order], -limit, limit))
        index = np.asarray(domain.index)[place]
        grid = (*edges, np.argsort(rows)[index // len(lon)], np.argsort(columns)[index % len(lon)])
    return area, grid


def _climatology(ds, domain=None):
    return ds if isinstance(ds, Climatology) else climatology(ds, domain=domain)


# --- numbers ------------------------------------------------------------


def _mean(values, area):
    good = np.isfinite(values)
    return float(values[good] @ area[good] / area[good].sum()) if area[good].sum() > 0 else np.nan


def _depth(mean, area):
    """Means of the land of a set of cells in the units of the biome table; only what is known."""
    out = {}
    grams = 1000.0 * SECONDS_PER_YEAR
    for key, name, factor in (
        ("gpp", "gpp", grams),
        ("npp", "npp", grams),
        ("nbp", "nbp", grams),
        ("et", "evspsbl", SECONDS_PER_YEAR),
        ("c_vegetation", "cVeg", 1.0),
        ("c_soil_all", "cSoil", 1.0),
        ("c_litter", "cLitter", 1.0),
        ("lai", "lai", 1.0),
    ):
        if name in mean:
            out[key] = _mean(mean[name], area) * factor
    return out


def peak_lai(data):
    """Highest monthly mean of leaf area of each cell, m2 m-2 (of annual output: the mean); None without leaf area."""
    if "lai" in data.months:
        import warnings

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            return np.nanmax(data.months["lai"], axis=0)
    return data.mean.get("lai")


def carbon(data):
    """Carbon of vegetation, litter and soil, kg m-2 (cell,), or None where vegetation or soil is missing."""
    if "cVeg" not in data.mean or "cSoil" not in data.mean:
        return None
    return data.mean["cVeg"] + data.mean["cSoil"] + data.mean.get("cLitter", 0.0)


def totals(ds):
    """Totals and ratios of the land of a run.

    Parameters
    ----------
    ds : Climatology, xarray.Dataset or folder of a run

    Returns
    -------
    dict
        Only what the output allows: ``land_area`` (million km2); ``gpp``, ``npp``, ``ra``, ``rh``, ``nbp`` (PgC yr-1);
        ``et``, ``transpiration``, ``runoff``, ``precipitation`` (1000 km3 yr-1); ``et_depth`` (mm yr-1);
        ``c_vegetation``, ``c_soil``, ``c_soil_1m``, ``c_litter``, ``c_total`` (PgC); ``npp_gpp``, ``ra_gpp``,
        ``transpiration_et``, ``runoff_precipitation`` (ratios of the totals); ``turnover`` (yr, carbon over GPP as
        Carvalhais et al. 2014); ``lai_mean``, ``lai_vegetated`` (m2 m-2, land whose peak exceeds the threshold of the
        envelope); ``latent``, ``sensible`` (W m-2); ``snow_area`` (million km2, largest month of the north). Points
        without areas have ratios and means only.
    """
    data = _climatology(ds)
    mean, area = data.mean, data.area
    total = {name: _mean(value, area) * area.sum() for name, value in mean.items()}
    out = {}
    if data.extensive:
        out["land_area"] = data.land
        petagram, volume = SECONDS_PER_YEAR * 1e-12, SECONDS_PER_YEAR * 1e-15
        for key, name, factor in (
            *((name, name, petagram) for name in ("gpp", "npp", "ra", "rh", "nbp")),
            ("et", "evspsbl", volume),
            ("transpiration", "tran", volume),
            ("runoff", "mrro", volume),
            ("precipitation", "pr", volume),
            ("c_vegetation", "cVeg", 1e-12),
            ("c_soil", "cSoil", 1e-12),
            ("c_soil_1m", "cSoilAbove1m", 1e-12),
            ("c_litter", "cLitter", 1e-12),
        ):
            if name in total:
                out[key] = total[name] * factor
    if "evspsbl" in mean:
        out["et_depth"] = _mean(mean["evspsbl"], area) * SECONDS_PER_YEAR
    for key, above, below in (
        ("npp_gpp", "npp", "gpp"),
        ("ra_gpp", "ra", "gpp"),
        ("transpiration_et", "tran", "evspsbl"),
        ("runoff_precipitation", "mrro", "pr"),
    ):
        if above in total and below in total and total[below] > 0.0:
            out[key] = total[above] / total[below]
    stock = carbon(data)
    if stock is not None:
        stock = _mean(stock, area)
        if data.extensive:
            out["c_total"] = stock * area.sum() * 1e-12
        if "gpp" in mean and _mean(mean["gpp"], area) > 0.0:
            out["turnover"] = stock / (_mean(mean["gpp"], area) * SECONDS_PER_YEAR)
    if "lai" in mean:
        out["lai_mean"] = _mean(mean["lai"], area)
        green = peak_lai(data) >= _envelope()["globe"]["vegetated_lai"]
        if green.any():
            out["lai_vegetated"] = _mean(mean["lai"][green], area[green])
    for key, name in (("latent", "hfls"), ("sensible", "hfss")):
        if name in mean:
            out[key] = _mean(mean[name], area)
    if "snw" in data.months and data.extensive:
        north = data.latitude > 0.0
        cover = data.months["snw"][:, north] >= _envelope()["globe"]["snow_mass"]
        out["snow_area"] = float((cover @ area[north]).max()) * 1e-12
    return out


def by_latitude(ds, width=10.0):
    """Land means and sums of latitude bands, from north to south.

    Parameters
    ----------
    ds : Climatology, xarray.Dataset or folder of a run
    width : float
        Degrees of a band.

    Returns
    -------
    list of dict
        ``south``, ``north`` (degrees), ``land_area`` (million km2; None for points), ``cells``; sums ``gpp``, ``npp``,
        ``nbp`` (PgC yr-1), ``et``, ``runoff`` (1000 km3 yr-1), ``c_vegetation``, ``c_soil`` (PgC) where cells have
        areas; ``mean``: dict of gpp, npp, nbp (gC m-2 yr-1), et (mm yr-1), c_vegetation, c_soil_all, c_litter (kg m-2),
        lai. Bands without land are left out.
    """
    data = _climatology(ds)
    rows = []
    band = np.minimum(np.floor((data.latitude + 90.0) / width).astype(int), int(np.ceil(180.0 / width)) - 1)
    for k in sorted(set(band.tolist()), reverse=True):
        here = band == k
        mean = {name: value[here] for name, value in data.mean.items()}
        area = data.area[here]
        row = {"south": -90.0 + k * width, "north": min(-90.0 + (k + 1) * width, 90.0), "cells": int(here.sum())}
        row["land_area"] = float(area.sum()) * 1e-12 if data.extensive else None
        row["mean"] = _depth(mean, area)
        if data.extensive:
            for key, name, factor in (
                ("gpp", "gpp", SECONDS_PER_YEAR * 1e-12),
                ("npp", "npp", SECONDS_PER_YEAR * 1e-12),
                ("nbp", "nbp", SECONDS_PER_YEAR * 1e-12),
                ("et", "evspsbl", SECONDS_PER_YEAR * 1e-15),
                ("runoff", "mrro", SECONDS_PER_YEAR * 1e-15),
                ("c_vegetation", "cVeg", 1e-12),
                ("c_soil", "cSoil", 1e-12),
            ):
                if name in mean:
                    good = np.isfinite(mean[name])
                    row[key] = float(mean[name][good] @ area[good]) * factor
        rows.append(row)
    return rows


def cover(domain, latitude, longitude):
    """Share of each plant functional type at places, (cell, 17); NaN where the domain has no cell."""
    place = _match(domain, latitude, longitude)
    share = np.zeros((len(domain.latitude), 17))
    np.add.at(share, (np.asarray(domain.tile_cell), np.asarray(domain.tile_pft)), np.asarray(domain.tile_fraction))
    return np.where(place[:, None] >= 0, share[place], np.nan)


_FORMS = {  # life form -> types
    "bare": (0,),
    "tree": (1, 2, 3, 4, 5, 6, 7, 8),
    "shrub": (9, 10),
    "tundra": (11, 12),
    "grass": (13, 14),
    "crop": (15, 16),
}
_FORESTS = {
    "tropical_evergreen": (4,),
    "tropical_raingreen": (6,),
    "temperate_deciduous": (7,),
    "temperate_evergreen": (1, 5),
    "boreal_evergreen": (2,),
    "boreal_deciduous": (3, 8),
}


def biomes(share, latitude, temperature=None):
    """Biome of each cell from the cover of types and, where known, the temperature of the months.

    Parameters
    ----------
    share : (cell, 17) shares of the plant functional types
    latitude : (cell,) degrees north
    temperature : (cell, 12) degC, optional
        Monthly means. C4 grass counts as savanna where the coldest month is above 15.5 degC (the limit of tropical
        trees of Bonan et al. 2002), bare ground as cold desert where the warmest is below 10 degC; without them by
        latitude (30 and 60 degrees).

    Returns
    -------
    array of str
        Names of the table ``biome`` of the envelope; empty where the cover is unknown. First the life form (bare,
        trees, shrubs, arctic, grass, crops) with the largest share, then its largest group. Simulated leaf area is not
        asked: a forest without leaves must be seen as one.
    """
    share = np.asarray(share, float)
    forms = np.stack([share[:, list(types)].sum(1) for types in _FORMS.values()], 1)
    known = np.isfinite(forms).all(1)
    form = np.array(list(_FORMS))[np.argmax(np.nan_to_num(forms), 1)]
    forests = np.stack([share[:, list(types)].sum(1) for types in _FORESTS.values()], 1)
    forest = np.array(list(_FORESTS))[np.argmax(np.nan_to_num(forests), 1)]
    if temperature is not None:
        hot, cold = temperature.min(1) > 15.5, temperature.max(1) < 10.0
        unknown = ~np.isfinite(temperature).all(1)
        hot = np.where(unknown, np.abs(latitude) < 30.0, hot)
        cold = np.where(unknown, np.abs(latitude) > 60.0, cold)
    else:
        hot, cold = np.abs(latitude) < 30.0, np.abs(latitude) > 60.0
    savanna = (share[:, 14] >= share[:, 13]) & hot
    out = np.select(
        [form == "tree", form == "shrub", form == "tundra", form == "crop", form == "bare"],
        [forest, "mediterranean", "tundra", "cropland", np.where(cold, "cold_desert", "desert")],
        np.where(savanna, "savanna", "temperate_grassland"),
    )
    return np.where(known, out, "")


def _quantile(values, area, q):
    """Weighted quantile: the value below which the share ``q`` of the land lies."""
    order = np.argsort(values)
    position = np.cumsum(area[order]) - 0.5 * area[order]
    return float(np.interp(q * area.sum(), position, values[order]))


def by_biome(ds, domain, climate=None):
    """Land means and ranges of the biomes.

    Parameters
    ----------
    ds : Climatology, xarray.Dataset or folder of a run
    domain : Domain
        Cells and tiles of the run.
    climate : dict, optional
        ``temperature`` (cell of the domain, 12) degC; default the simulated months of ``tas`` where they are output,
        else latitude decides (see `biomes`).

    Returns
    -------
    list of dict
        In the order of the envelope, biomes without cells left out: ``biome``, ``name``, ``cells``, ``land_area``
        (million km2; None for points), ``share`` (mean share of the leading life form in the cells), ``values``:
        quantity of the envelope -> (mean, 10 %, 90 % of the land). Values are those of whole cells, with all their
        types. Turnover is carbon over GPP of the means, without range. Soil carbon is that to 1 m where the output has
        it, else the whole depth (``soil_depth``).
    """
    data = _climatology(ds, domain)
    share = cover(domain, data.latitude, data.longitude)
    temperature = None
    if climate is not None:
        place = _match(domain, data.latitude, data.longitude)
        temperature = np.where(place[:, None] >= 0, np.asarray(climate["temperature"], float)[place], np.nan)
    elif "tas" in data.months:
        temperature = data.months["tas"].T - 273.15
    biome = biomes(share, data.latitude, temperature)
    grams = 1000.0 * SECONDS_PER_YEAR
    soil = "cSoilAbove1m" if "cSoilAbove1m" in data.mean else "cSoil"
    fields = {
        key: data.mean[name] * factor
        for key, name, factor in (
            ("gpp", "gpp", grams),
            ("npp", "npp", grams),
            ("c_vegetation", "cVeg", 1.0),
            ("c_soil", soil, 1.0),
            ("et", "evspsbl", SECONDS_PER_YEAR),
        )
        if name in data.mean
    }
    if "lai" in data.mean:
        fields["lai_peak"] = peak_lai(data)
    stock = carbon(data)
    lead = np.stack([share[:, list(types)].sum(1) for types in _FORMS.values()], 1).max(1)
    rows = []
    for name, entry in _envelope()["biome"].items():
        here = biome == name
        if not here.any():
            continue
        area = data.area[here]
        values = {}
        for key in _envelope()["biome_quantity"]:
            if key in fields:
                value = fields[key][here]
                good = np.isfinite(value)
                if good.any():
                    low, high = (_quantile(value[good], area[good], q) for q in (0.1, 0.9))
                    values[key] = (_mean(value, area), low, high)
        if stock is not None and values.get("gpp", (0.0,))[0] > 20.0:  # below, the ratio means nothing
            values["turnover"] = (_mean(stock[here], area) * 1000.0 / values["gpp"][0], np.nan, np.nan)
        rows.append(
            {
                "biome": name,
                "name": entry["name"],
                "cells": int(here.sum()),
                "land_area": float(area.sum()) * 1e-12 if data.extensive else None,
                "share": _mean(lead[here], area),
                "soil_depth": "1 m" if soil == "cSoilAbove1m" else "all",
                "values": values,
            }
        )
    return rows


# --- envelope ------------------------------------------------------------


def judge(value, low, high, wide=None):
    """Word for a value beside a range: inside, wider (inside the wider spread only), below, above; None for NaN."""
    if value is None or not np.isfinite(value):
        return None
    if low <= value <= high:
        return "inside"
    if wide is not None and wide[0] <= value <= wide[1]:
        return "wider"
    return "below" if value < low else "above"


def compare(values, ranges=None, whole=True, open_because=None):
    """Quantities beside their ranges.

    Parameters
    ----------
    values : dict quantity -> number
        For example from `totals`.
    ranges : dict, optional
        Quantity -> table with ``range`` and, optionally, ``name``, ``unit``, ``wide``, ``scope``, ``source``, ``when``,
        or a pair of numbers; default the totals of the envelope.
    whole : bool
        Whether the run covers the globe; if not, rows of scope "globe" are not judged.
    open_because : dict, optional
        Quantity -> why it is not judged.

    Returns
    -------
    list of dict
        One per range: ``key``, ``name``, ``unit``, ``value`` (None where unknown), ``low``, ``high``, ``wide``,
        ``verdict`` (see `judge`; None: not judged), ``away`` (the same without the wider spread),
        ``inside`` (bool or None), ``why`` (why it was not judged), ``source``, ``when`` (to what the range applies).
    """
    ranges = _envelope()["total"] if ranges is None else ranges
    rows = []
    for key, entry in ranges.items():
        entry = entry if isinstance(entry, dict) else {"range": entry}
        value, (low, high), scope = values.get(key), entry["range"], entry.get("scope", "any")
        verdict, why = judge(value, low, high, entry.get("wide")), ""
        if scope == "pair":
            why = "needs a second run"
        elif scope == "globe" and not whole:
            why = "not a global run"
        elif value is None or not np.isfinite(value):
            why = "not in the output"
        else:
            why = (open_because or {}).get(key, "")
        verdict = None if why else verdict
        rows.append(
            {
                "key": key,
                "name": entry.get("name", key),
                "unit": entry.get("unit", ""),
                "value": value,
                "low": low,
                "high": high,
                "wide": entry.get("wide"),
                "verdict": verdict,
                "away": None if verdict is None else judge(value, low, high),
                "inside": None if verdict is None else verdict == "inside",
                "why": why,
                "source": entry.get("source", ""),
                "when": entry.get("when", ""),
            }
        )
    return rows


def compare_biomes(rows):
    """The rows of `by_biome` beside the envelope.

    Returns
    -------
    list of dict
        As of `compare`, one per biome and quantity that is known, with ``biome``, ``biome_name``, ``p10``, ``p90``.
    """
    table, quantities = _envelope()["biome"], _envelope()["biome_quantity"]
    out = []
    for row in rows:
        entry = table[row["biome"]]
        ranges = {key: {**told, "range": entry[key]} for key, told in quantities.items() if key in entry}
        means = {key: value[0] for key, value in row["values"].items()}
        for item in compare(means, ranges):
            if item["value"] is not None:
                _, low, high = row["values"][item["key"]]
                item |= {"biome": row["biome"], "biome_name": row["name"], "p10": low, "p90": high}
                item["source"] = entry["source"]
                out.append(item)
    return out
