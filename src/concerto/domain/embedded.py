"""The Earth without any external file: land, elevation, monthly climate and potential vegetation of every place.

For demonstrations, tutorials and tests. Land is the Natural Earth outline, elevation an ETOPO relief, temperature the
climatology of a reanalysis as the SPEEDY model uses it; precipitation is what is typical of the Koeppen-Geiger class of
the place and its season, not a measurement; all else follows from these by the relations named below. Vegetation is
what climate alone would allow: no crops, no cities, no history. `docs/embedded-globe.md` lists sources, terms,
relations and checks; `docs/make_embedded.py` makes the data file.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np

from concerto.domain.land_cover import N_PFT, Climate, c4_share, split_group
from concerto.errors import ConcertoError

DATA = Path(__file__).parent / "data"
LAPSE_RATE = 0.0065  # K m-1
PER_DEGREE = 160.0  # steps of the stored outline in a degree
OUTLINE_STEP = 0.1  # widest distance of the parallels on which land is measured, degrees
DAYS = np.array([31.0, 28.25, 31.0, 30.0, 31.0, 30.0, 31.0, 31.0, 30.0, 31.0, 30.0, 31.0])
MONTH_END = np.cumsum(np.array([31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]))
SOLAR_CONSTANT = 1361.0  # W m-2
STEFAN_BOLTZMANN = 5.670374e-8
BUCKET = 150.0  # water that the soil of the moisture index holds, mm
MOST_TYPES = 6  # of plants in a cell
SMALLEST_SHARE = 0.02  # of a type in a cell


@cache
def _data() -> dict:
    """Arrays of the data file, decoded; read once."""
    path = DATA / "embedded.npz"
    if not path.is_file():
        raise ConcertoError(f"The data of the embedded globe are missing: {path}.", hint="Install concerto again.")
    with np.load(path) as stored:
        fields = {name: stored[name] for name in stored.files}
    out = {
        "start": fields["outline_start"],
        "outline": np.cumsum(fields["outline"], axis=0, dtype=np.int16) / PER_DEGREE,
    }
    scales = (("elevation", 10.0), ("temperature", 0.1), ("precipitation", 0.02))
    for name, scale in scales:
        out[name] = np.cumsum(fields[name], axis=-1, dtype=np.int16) * scale
    return out


def coastline():
    """Outline of the land for maps.

    Returns
    -------
    longitude, latitude : arrays (point,), degrees; NaN between two lines
        Coasts of continents, of islands above 0.02 square degrees and of the Caspian Sea (Natural Earth 1:50m,
        simplified to 0.04 degrees).

    Examples
    --------
    >>> longitude, latitude = coastline()
    >>> bool(np.nanmax(latitude) > 83.0)
    True
    """
    data = _data()
    lines = []
    for first, last in zip(data["start"][:-1], data["start"][1:], strict=True):
        ring = data["outline"][first:last]
        turn = np.floor((ring[:, 0] + 180.0) / 360.0)
        at_pole = ring[:, 1] < -89.98  # where the ring is closed along the pole is no coast
        cut = np.flatnonzero((np.diff(turn) != 0.0) | (at_pole[1:] != at_pole[:-1])) + 1
        for piece in np.split(np.arange(len(ring)), cut):
            if not at_pole[piece[0]]:
                lines += [
                    ring[piece] - np.stack([360.0 * turn[piece], 0.0 * turn[piece]], axis=1),
                    np.full((1, 2), np.nan),
                ]
                after = piece[-1] + 1
                if (
                    after < len(ring) and turn[after] != turn[after - 1] and not at_pole[after]
                ):  # up to the border and on
                    side = 180.0 if turn[after] > turn[after - 1] else -180.0
                    border = 360.0 * max(turn[after], turn[after - 1]) - 180.0
                    a, b = ring[after - 1], ring[after]
                    lat = a[1] + (border - a[0]) / (b[0] - a[0]) * (b[1] - a[1])
                    a, b = a - [360.0 * turn[after - 1], 0.0], b - [360.0 * turn[after], 0.0]
                    lines += [np.array([a, [side, lat], [np.nan] * 2, [-side, lat], b, [np.nan] * 2])]
    return np.concatenate(lines)[:, 0], np.concatenate(lines)[:, 1]


@cache
def _edges():
    """Edges of all rings that are not along a parallel: lon and lat of both ends, each (edge,)."""
    data = _data()
    points, start = data["outline"], data["start"]
    inside = np.ones(len(points), bool)
    inside[start[1:] - 1] = False  # no edge from a ring's last point to the next ring
    a = np.flatnonzero(inside)
    a = a[points[a, 1] != points[a + 1, 1]]
    return points[a, 0], points[a, 1], points[a + 1, 0], points[a + 1, 1]


def _pairs(bounds, name):
    """Lower and upper bound of each cell from edges (n + 1,) or pairs (n, 2) in any direction."""
    bounds = np.asarray(bounds, dtype=float)
    if bounds.ndim == 1 and bounds.size >= 2:
        bounds = np.stack([bounds[:-1], bounds[1:]], axis=1)
    if bounds.ndim != 2 or bounds.shape[1] != 2 or not np.isfinite(bounds).all():
        raise ConcertoError(
            f"{name} are not the bounds of cells.", hint="Give edges (n + 1,) or pairs (n, 2), degrees."
        )
    return bounds.min(axis=1), bounds.max(axis=1)


def embedded_land(lat_bounds, lon_bounds):
    """Share of land (lakes but for the Caspian Sea, and land ice, count as land) of the cells of a grid.

    Exact along parallels; across them the land is measured on parallels at most 0.1 degree apart that divide each
    row of cells into equal areas.

    Parameters
    ----------
    lat_bounds : array (lat + 1,) or (lat, 2)
        Degrees north, any direction.
    lon_bounds : array (lon + 1,) or (lon, 2)
        Degrees east, any origin.

    Returns
    -------
    array (lat, lon), 0 to 1

    Raises
    ------
    ConcertoError
        Bounds that are no bounds, or beyond the poles.

    Examples
    --------
    >>> embedded_land([20.0, 25.0], [0.0, 5.0, 10.0]).tolist()  # the Sahara
    [[1.0, 1.0]]
    """
    south, north = _pairs(lat_bounds, "lat_bounds")
    west, east = _pairs(lon_bounds, "lon_bounds")
    if (abs(south) > 90.0 + 1e-9).any() or (abs(north) > 90.0 + 1e-9).any():
        raise ConcertoError("lat_bounds reach beyond a pole.", hint="Latitudes are -90 to 90 degrees north.")
    count = np.maximum(2, np.ceil((north - south) / OUTLINE_STEP - 1e-9).astype(int))
    row = np.repeat(np.arange(len(south)), count)
    step = np.arange(len(row)) - np.repeat(np.cumsum(count) - count, count)
    low, high = np.sin(np.deg2rad(south)), np.sin(np.deg2rad(north))
    parallel = np.rad2deg(np.arcsin(np.clip(low[row] + (step + 0.5) / count[row] * (high - low)[row], -1.0, 1.0)))
    order = np.argsort(parallel, kind="stable")
    lines = parallel[order]

    # Where the parallels cross the outline: land begins at an edge that goes south and ends at one that goes north.
    lon0, lat0, lon1, lat1 = _edges()
    first = np.searchsorted(lines, np.minimum(lat0, lat1), side="left")
    last = np.searchsorted(lines, np.maximum(lat0, lat1), side="left")
    edge = np.repeat(np.arange(len(lon0)), last - first)
    line = np.arange(len(edge)) - np.repeat(np.cumsum(last - first) - last, last - first)
    share = (lines[line] - lat0[edge]) / (lat1 - lat0)[edge]
    crossing = lon0[edge] + share * (lon1 - lon0)[edge]
    sign = np.where(lat1[edge] < lat0[edge], 1.0, -1.0)

    # Length of land west of a meridian x: sum of sign (x - crossing) over the crossings west of x; periodic.
    beyond = np.floor((crossing + 180.0) / 360.0)  # the outline of Siberia goes on beyond 180 degrees east
    crossing = crossing - 360.0 * beyond
    base = -np.bincount(line, sign * beyond, minlength=len(lines))[:, None]  # land at 180 degrees west already
    whole = 360.0 * base + np.bincount(line, sign * (180.0 - crossing), minlength=len(lines))[:, None]
    turn = [np.floor((x + 180.0) / 360.0) for x in (west, east)]
    meridians, place = np.unique(np.concatenate([west - 360.0 * turn[0], east - 360.0 * turn[1]]), return_inverse=True)
    slot = line * (len(meridians) + 1) + np.searchsorted(meridians, crossing, side="left")
    size = len(lines) * (len(meridians) + 1)
    number = np.bincount(slot, sign, minlength=size).reshape(len(lines), -1).cumsum(axis=1)[:, :-1]
    moment = np.bincount(slot, sign * crossing, minlength=size).reshape(len(lines), -1).cumsum(axis=1)[:, :-1]
    length = meridians * number - moment + base * (meridians + 180.0)
    length = length[:, place.ravel()]
    land = length[:, len(west) :] + whole * turn[1] - length[:, : len(west)] - whole * turn[0]
    total = np.zeros((len(south), len(west)))
    np.add.at(total, row[order], land / np.maximum(east - west, 1e-12))
    return np.clip(total / count[:, None], 0.0, 1.0)


def _bilinear(field, south, west, step, latitude, longitude, weight=None):
    """Field (..., lat, lon) of a global grid at places (cell,): (cell, ...).

    Periodic in longitude, constant beyond the outermost parallels. With ``weight`` (lat, lon) only the cells that
    have weight count; NaN where none has.
    """
    n_lat, n_lon = field.shape[-2:]
    y = np.clip((latitude - south) / step, 0.0, n_lat - 1.0)
    x = np.mod((longitude - west) / step, n_lon)
    j = np.minimum(y.astype(int), n_lat - 2)
    i = x.astype(int) % n_lon
    fy, fx = y - j, x - np.floor(x)
    total, norm = 0.0, 0.0
    for dj, wy in ((0, 1.0 - fy), (1, fy)):
        for di, wx in ((0, 1.0 - fx), (1, fx)):
            share = wy * wx
            if weight is not None:
                share = share * weight[j + dj, (i + di) % n_lon]
            total = total + share * field[..., j + dj, (i + di) % n_lon]
            norm = norm + share
    if weight is not None:
        total = np.divide(total, norm, out=np.full(np.shape(total), np.nan), where=norm > 1e-9)
    return np.ascontiguousarray(np.moveaxis(np.asarray(total), -1, 0))


def _places(latitude, longitude):
    """Both as arrays (cell,) and their common shape."""
    latitude, longitude = np.broadcast_arrays(np.asarray(latitude, dtype=float), np.asarray(longitude, dtype=float))
    bad = ~(np.isfinite(latitude) & np.isfinite(longitude)) | (abs(latitude) > 90.0 + 1e-9)
    if bad.any():
        raise ConcertoError(
            f"{int(bad.sum())} of {bad.size} places have no latitude within -90 to 90 or no longitude.",
            hint="Give degrees north and degrees east.",
        )
    return latitude.ravel(), longitude.ravel(), latitude.shape


def embedded_elevation(latitude, longitude, size=None):
    """Elevation of the land above the sea.

    Parameters
    ----------
    latitude, longitude : arrays of one shape (or shapes that broadcast)
        Degrees north and east.
    size : float or (float, float), optional
        Size of the cells in latitude and longitude, degrees: the mean over the land of the cell. Without it
        the elevation around the point (values are means over two thirds of a degree).

    Returns
    -------
    array, m
        Not below 0; 0 in the sea. ETOPO, 10 m steps.

    Examples
    --------
    >>> bool(embedded_elevation(31.0, 88.0) > 4000.0)  # Tibet
    True
    """
    latitude, longitude, shape = _places(latitude, longitude)
    field = _data()["elevation"]
    step = 180.0 / field.shape[0]
    land = (field > 0.0).astype(float)
    dlat, dlon = np.broadcast_to(np.asarray(0.0 if size is None else size, dtype=float), (2,))
    n_lat, n_lon = (max(1, int(np.ceil(d / step - 1e-9))) for d in (dlat, dlon))
    total, norm = np.zeros(len(latitude)), np.zeros(len(latitude))
    for a in (np.arange(n_lat) + 0.5) / n_lat - 0.5:
        for b in (np.arange(n_lon) + 0.5) / n_lon - 0.5:
            y, x = np.clip(latitude + a * dlat, -90.0, 90.0), longitude + b * dlon
            start = -90.0 + 0.5 * step, -180.0 + 0.5 * step, step
            share = _bilinear(land, *start, y, x)
            value = _bilinear(field, *start, y, x)  # the sea counts 0 in both, so the ratio is the mean of the land
            total, norm = total + value, norm + share
    return np.where(norm > 0.02, total / np.maximum(norm, 0.02), 0.0).reshape(shape)


@cache
def _inland():
    """Land within about 4 degrees (lat, lon), 0 to 1, on a 2.5 degree grid from 90 S, 180 W."""
    land = embedded_land(np.linspace(-90.0, 90.0, 73), np.linspace(-180.0, 180.0, 145))
    rows = np.pad(land, ((1, 1), (0, 0)), mode="edge")
    rows = rows[:-2] + rows[1:-1] + rows[2:]
    return (rows + np.roll(rows, 1, axis=1) + np.roll(rows, -1, axis=1)) / 9.0


@cache
def _sun(latitude: tuple):
    """Radiation above the atmosphere (lat, 12), W m-2, and length of the day, s, as monthly means (Spencer 1971)."""
    phi = np.deg2rad(np.array(latitude))[:, None]
    day = np.arange(1, 366)
    angle = 2.0 * np.pi * (day - 1) / 365.0
    declination = (
        0.006918 - 0.399912 * np.cos(angle) + 0.070257 * np.sin(angle) - 0.006758 * np.cos(2 * angle)
        + 0.000907 * np.sin(2 * angle) - 0.002697 * np.cos(3 * angle) + 0.00148 * np.sin(3 * angle)
    )  # fmt: skip
    distance = (
        1.00011 + 0.034221 * np.cos(angle) + 0.00128 * np.sin(angle) + 0.000719 * np.cos(2 * angle)
        + 0.000077 * np.sin(2 * angle)
    )  # fmt: skip
    half = np.arccos(np.clip(-np.tan(np.clip(phi, -1.5706, 1.5706)) * np.tan(declination), -1.0, 1.0))
    top = half * np.sin(phi) * np.sin(declination) + np.cos(phi) * np.cos(declination) * np.sin(half)
    top = SOLAR_CONSTANT / np.pi * distance * np.maximum(top, 0.0)
    first = np.r_[0, MONTH_END[:-1]]
    lengths = np.diff(np.r_[0, MONTH_END])
    return np.add.reduceat(top, first, axis=1) / lengths, np.add.reduceat(
        half, first, axis=1
    ) / lengths / np.pi * 86400.0


def _radiation_above(latitude):
    """As `_sun` for places (cell,): (cell, 12) each."""
    rows, place = np.unique(np.round(latitude, 6), return_inverse=True)
    top, day = _sun(tuple(rows.tolist()))
    return top[place.ravel()], day[place.ravel()]


def _clear_sky(top, day_length, elevation):
    """Share of the radiation above the atmosphere that a clear sky lets through, (cell, 12).

    Haurwitz (1945): 1098 W m-2 cos z exp(-0.059 / cos z), at the energy-weighted mean height of the sun (1.23 times
    the mean cosine of the day, as for a half sine), and 2 % more per 1000 m (FAO-56).
    """
    cosine = 1.23 * top / (SOLAR_CONSTANT * np.maximum(day_length / 86400.0, 0.01))
    share = 1098.0 / SOLAR_CONSTANT * np.exp(-0.059 / np.clip(cosine, 0.05, 1.0))
    return np.minimum(share + 2e-5 * elevation[:, None], 0.85)


def _saturation(temperature):
    """Pa over water, of degC (Bolton 1980)."""
    return 611.2 * np.exp(17.67 * temperature / (temperature + 243.5))


def _pressure(elevation):
    """Pa, of m: the standard atmosphere."""
    return 101325.0 * (1.0 - 2.25577e-5 * elevation) ** 5.25588


def _potential_evaporation(temperature, vapour_pressure, shortwave, clear_share, elevation):
    """Priestley & Taylor (1972), mm per month; net radiation of grass as in FAO-56 (Allen et al. 1998).

    temperature (cell, 12) degC, vapour_pressure Pa, shortwave W m-2, clear_share: shortwave over that of a clear
    sky, elevation (cell,) m.
    """
    longwave = STEFAN_BOLTZMANN * (temperature + 273.15) ** 4 * (0.34 - 0.14 * np.sqrt(vapour_pressure / 1000.0))
    net = 0.77 * shortwave - longwave * np.clip(1.35 * clear_share - 0.35, 0.05, 1.0)
    slope = _saturation(temperature) * 17.67 * 243.5 / (temperature + 243.5) ** 2
    psychrometric = 0.000665 * _pressure(elevation)[:, None]
    latent = 2.501e6 - 2361.0 * temperature
    return 1.26 * slope / (slope + psychrometric) * np.maximum(net, 0.0) / latent * 86400.0 * DAYS


def embedded_normals(latitude, longitude, elevation=None):
    """Monthly normals of places.

    Temperature is interpolated at sea level and brought to the elevation with 6.5 K km-1. From precipitation and
    temperature follow the wet days, the cloudiness, the shortwave, the diurnal range (Hargreaves & Samani 1982, solved
    for the range), the humidity (Kimball et al. 1997: dew point from the coldest temperature of the day and aridity;
    here the aridity of the month and the two before, so that a dry season is dry) and, by latitude and distance from
    the sea, the wind.

    Parameters
    ----------
    latitude, longitude : arrays (cell,)
        Degrees north and east.
    elevation : array (cell,), optional
        m; default `embedded_elevation`.

    Returns
    -------
    dict of arrays (cell, 12)
        temperature (degC), range (mean daily maximum minus minimum, K), precipitation (mm per month), wet_days
        (days with 1 mm or more), shortwave (W m-2), humidity (relative, %), wind (10 m, m s-1).

    Examples
    --------
    >>> manaus = embedded_normals([-3.1], [-60.0])
    >>> bool(manaus["precipitation"].sum() > 1500.0)
    True
    """
    latitude, longitude, _ = _places(np.atleast_1d(latitude), np.atleast_1d(longitude))
    if elevation is None:
        elevation = embedded_elevation(latitude, longitude)
    elevation = np.broadcast_to(np.asarray(elevation, dtype=float), latitude.shape)
    data = _data()
    temperature = _bilinear(data["temperature"], -90.0, 0.0, 2.5, latitude, longitude) - LAPSE_RATE * elevation[:, None]
    rate = np.maximum(_bilinear(data["precipitation"], -88.75, 1.25, 2.5, latitude, longitude), 0.0)
    inland = _bilinear(_inland(), -88.75, -178.75, 2.5, latitude, longitude)[:, None]

    precipitation = rate * DAYS
    wet_days = wet_days_of(precipitation, temperature)
    top, day_length = _radiation_above(latitude)
    clearest = _clear_sky(top, day_length, elevation)
    hargreaves = (0.19 - 0.03 * inland) * (1.0 + 2.7e-5 * elevation[:, None])  # Allen 1997, Annandale et al. 2002
    season = precipitation + np.roll(precipitation, 1, axis=1) + np.roll(precipitation, 2, axis=1)
    annual = np.maximum(4.0 * season, 20.0) / 1000.0  # m: that of the last three months, as if it were so all year
    sunny = 1.0 - 0.75 * wet_days / DAYS
    diurnal = np.clip((clearest * sunny / hargreaves) ** 2, 4.0, 16.0)
    coldest = temperature - 0.5 * diurnal
    evaporation = _potential_evaporation(temperature, _saturation(coldest), clearest * sunny * top, sunny, elevation)
    aridity = evaporation / DAYS / 1000.0 * (day_length / 86400.0) / annual
    vapour = _saturation(_dew_point(coldest, diurnal, np.clip(aridity, 0.0, 0.06)))
    humidity = np.clip(100.0 * vapour / _saturation(temperature), 10.0, 98.0)
    wind = 1.8 + 1.5 * np.minimum(abs(latitude) / 50.0, 1.0)[:, None] + 1.5 * (1.0 - inland)
    return {
        "temperature": temperature,
        "range": diurnal,
        "precipitation": precipitation,
        "wet_days": wet_days,
        "shortwave": clearest * sunny * top,
        "humidity": humidity,
        "wind": np.broadcast_to(wind, temperature.shape).copy(),
    }


def wet_days_of(precipitation, temperature):
    """Days with rain or snow of a month from its sum and mean temperature.

    The power 0.45 of the sum (New et al. 2000, J. Climate 13, 2217); the factor, 1.7 below 5 degC and 1.35 above
    25 degC (showers are heavier where it is warm), is ours, set by hand for days of 1 mm and more. A wet day has
    1 to 60 mm.

    Parameters
    ----------
    precipitation : array (..., 12), mm per month
    temperature : array (..., 12), degC

    Returns
    -------
    array (..., 12), days; at most 28

    Examples
    --------
    >>> float(np.round(wet_days_of(50.0, 5.0), 1))
    9.9
    """
    precipitation = np.asarray(precipitation, dtype=float)
    days = np.interp(temperature, [5.0, 25.0], [1.7, 1.35]) * precipitation**0.45
    return np.clip(np.clip(days, precipitation / 60.0, precipitation), 0.0, 28.0)


def _dew_point(coldest, diurnal, aridity):
    """degC (Kimball, Running & Nemani 1997, eq. 4); aridity: possible evaporation of a day over annual rain."""
    factor = 1.003 - 1.444 * aridity + 12.312 * aridity**2 - 32.766 * aridity**3
    return (coldest + 273.15) * (-0.127 + 1.121 * factor + 0.0006 * diurnal) - 273.15


def moisture_index(normals, latitude, elevation=0.0):
    """Actual over potential evaporation of a mean year (the alpha of BIOME, Prentice et al. 1992).

    A soil that holds 150 mm and dries exponentially (Thornthwaite & Mather 1955), with snow below 0 degC; potential
    evaporation by Priestley & Taylor.

    Parameters
    ----------
    normals : dict
        As `embedded_normals` returns: temperature, precipitation, shortwave, humidity (cell, 12).
    latitude : array (cell,), degrees north
    elevation : array (cell,) or float, m

    Returns
    -------
    array (cell,), 0 to 1
    """
    temperature, precipitation = (np.asarray(normals[k], dtype=float) for k in ("temperature", "precipitation"))
    latitude = np.asarray(latitude, dtype=float)
    elevation = np.broadcast_to(np.asarray(elevation, dtype=float), latitude.shape)
    top, day_length = _radiation_above(latitude)
    clear = top * _clear_sky(top, day_length, elevation)
    share = np.clip(normals["shortwave"] / np.maximum(clear, 1.0), 0.0, 1.0)
    vapour = np.asarray(normals["humidity"], dtype=float) / 100.0 * _saturation(temperature)
    potential = _potential_evaporation(temperature, vapour, np.asarray(normals["shortwave"]), share, elevation)
    potential = np.where(temperature > 0.0, potential, 0.0)
    water, snow = np.full(len(latitude), BUCKET), np.zeros(len(latitude))
    for year in range(4):
        actual = np.zeros(len(latitude))
        for m in range(12):
            frozen = temperature[:, m] <= 0.0
            supply = np.where(frozen, 0.0, precipitation[:, m] + snow)
            snow = np.where(frozen, snow + precipitation[:, m], 0.0)
            lack = np.maximum(potential[:, m] - supply, 0.0)
            left = np.minimum(water * np.exp(-lack / BUCKET) + np.maximum(supply - potential[:, m], 0.0), BUCKET)
            actual += np.where(lack > 0.0, supply + water - left, potential[:, m])
            water = left
        if year > 0:
            snow = np.where((temperature > 0.0).any(axis=1), snow, 0.0)
    return np.clip(actual / np.maximum(potential.sum(axis=1), 1e-6), 0.0, 1.0) * (potential.sum(axis=1) > 1e-6)


def bioclimate(normals) -> Climate:
    """Coldest and warmest month (degC), growing degree days above 5 degC (K d) and C4 share of (cell, 12) normals.

    Temperature between the months' middles is linear. Months for the C4 share are those of `c4_share`.
    """
    temperature = np.asarray(normals["temperature"], dtype=float)
    middle = MONTH_END - np.diff(np.r_[0, MONTH_END]) / 2.0
    day = np.arange(2.5, 365.0, 5.0)
    basis = [np.interp(day, middle, one, period=365.0) for one in np.eye(12)]
    daily = sum(
        temperature[:, m, None] * basis[m] for m in range(12)
    )  # no BLAS: a cell never depends on its neighbours
    degree_days = 5.0 * np.maximum(daily - 5.0, 0.0).sum(axis=1)
    share = c4_share(temperature, np.asarray(normals["precipitation"]) * (365.25 / 12.0) / DAYS)
    return Climate(temperature.min(axis=1), temperature.max(axis=1), degree_days, share)


def embedded_cover(normals, latitude, elevation=0.0):
    """Potential vegetation of places as shares of the model's plant types, and their share of ice.

    Plants that the climate allows, without people: no crops. Trees grow with moisture (`moisture_index`) and warmth
    (growing degree days); their kinds follow the limits of Prentice et al. (1992) and Bonan et al. (2002); the rest
    is grass and shrubs, and bare ground where it is dry or cold. Where the warmest month is below 0 degC there is
    ice, from 1 degC on none. At most six types, none below 0.02.

    Parameters
    ----------
    normals : dict of arrays (cell, 12)
        As of `embedded_normals`.
    latitude : array (cell,)
        Degrees north.
    elevation : array (cell,) or float, m

    Returns
    -------
    fractions : array (cell, 17)
        Of the land that has no ice; the sum is 1.
    ice : array (cell,)
        Share of the land under ice, 0 to 1.
    """
    latitude = np.atleast_1d(np.asarray(latitude, dtype=float))
    climate = bioclimate(normals)
    coldest, warmest, warmth = climate.coldest, climate.warmest, climate.gdd5
    moisture = moisture_index(normals, latitude, elevation)

    trees = 0.9 * np.interp(moisture, [0.4, 0.9], [0.0, 1.0]) * np.interp(warmth, [300.0, 700.0], [0.0, 1.0])
    plants = np.interp(moisture, [0.03, 0.28], [0.0, 1.0]) * np.interp(warmth, [50.0, 450.0], [0.1, 1.0])
    plants = np.maximum(plants, trees)
    low = plants - trees
    shrubs = low * np.interp(moisture, [0.1, 0.3, 0.45], [0.5, 0.4, 0.15])
    shrubs = np.where(warmth < 1000.0, 0.3 * low, shrubs)

    groups = {name: np.zeros(len(latitude)) for name in ("tree_be", "tree_bd", "tree_ne", "tree_nd")}
    tropical = np.interp(coldest, [14.0, 17.0], [0.0, 1.0])
    boreal = np.maximum(np.interp(coldest, [-19.0, -15.0], [1.0, 0.0]), np.interp(warmth, [1000.0, 1300.0], [1.0, 0.0]))
    boreal = boreal * (1.0 - tropical)
    temperate = 1.0 - tropical - boreal
    evergreen = np.interp(moisture, [0.75, 0.95], [0.0, 1.0])  # of tropical trees; the others lose leaves in drought
    groups["tree_be"] += tropical * evergreen
    groups["tree_bd"] += tropical * (1.0 - evergreen)
    broad = np.interp(coldest, [-15.0, -2.0, 5.0, 10.0], [0.35, 0.7, 0.45, 0.3])
    hardy = np.interp(coldest, [2.0, 6.0, 12.0], [0.0, 0.3, 0.55])  # broadleaved evergreens need mild winters
    groups["tree_bd"] += temperate * broad
    groups["tree_be"] += temperate * hardy
    groups["tree_ne"] += temperate * (1.0 - broad - hardy)
    larch = np.interp(warmest - coldest, [38.0, 45.0], [0.0, 0.8]) * np.interp(coldest, [-26.0, -20.0], [1.0, 0.0])
    groups["tree_nd"] += boreal * larch
    groups["tree_bd"] += boreal * 0.2
    groups["tree_ne"] += boreal * (0.8 - larch)

    out = np.zeros((len(latitude), N_PFT))
    for name, share in groups.items():
        for pft, part in split_group(name, climate).items():
            out[:, pft] += trees * share * part
    hot = np.interp(coldest, [0.0, 8.0], [0.0, 1.0]) * (warmth >= 1000.0)
    for pft, part in split_group("shrub_bd", climate).items():
        out[:, pft] += shrubs * (1.0 - hot) * part
    out[:, 9] += shrubs * hot
    for pft, part in split_group("grass", climate).items():
        out[:, pft] += (low - shrubs) * part
    out[:, 0] = np.maximum(1.0 - out.sum(axis=1), 0.0)
    few = np.sort(out, axis=1)[:, -MOST_TYPES, None]
    out = np.where((out >= few) & (out >= SMALLEST_SHARE), out, 0.0)
    return out / out.sum(axis=1, keepdims=True), np.interp(warmest, [0.0, 1.0], [1.0, 0.0])
