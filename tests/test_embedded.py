"""The embedded globe: land, elevation, climate and potential vegetation without external data."""

import numpy as np
import pytest

from concerto.domain import embedded
from concerto.domain.land_cover import PFT_NAMES
from concerto.errors import ConcertoError

pytestmark = pytest.mark.release  # Python around the core; the core itself is run with checks elsewhere

RADIUS = 6371007.2
PLACES = {  # latitude, longitude
    "sahara": (27.0, 1.0),
    "amazon": (-4.0, -63.0),
    "siberia": (62.0, 128.0),
    "congo": (0.5, 22.0),
    "australia": (-26.0, 133.0),
    "bengal": (24.5, 91.0),
    "tibet": (32.0, 88.0),
    "finland": (62.0, 25.0),
    "france": (47.0, 2.0),
    "greenland": (74.0, -40.0),
    "antarctica": (-80.0, 100.0),
}


def grid(step):
    """Bounds (north to south, west to east) and areas (lat, lon) of a global grid."""
    lat, lon = np.linspace(90.0, -90.0, round(180 / step) + 1), np.linspace(-180.0, 180.0, round(360 / step) + 1)
    sine = np.sin(np.deg2rad(lat))
    return lat, lon, np.outer(RADIUS**2 * (sine[:-1] - sine[1:]), np.deg2rad(np.diff(lon)))


@pytest.fixture(scope="module")
def places():
    """Normals, cover, ice and elevation of PLACES by name."""
    latitude, longitude = np.array(list(PLACES.values())).T
    elevation = embedded.embedded_elevation(latitude, longitude)
    normals = embedded.embedded_normals(latitude, longitude, elevation)
    cover, ice = embedded.embedded_cover(normals, latitude, elevation)
    return {
        name: {key: value[i] for key, value in normals.items()}
        | {"cover": dict(zip(PFT_NAMES, cover[i], strict=True)), "ice": ice[i], "elevation": elevation[i]}
        for i, name in enumerate(PLACES)
    }


@pytest.fixture(scope="module")
def world():
    """Land cells at 2 degrees: latitude, area of land, normals, cover, ice."""
    lat, lon, area = grid(2.0)
    land = embedded.embedded_land(lat, lon)
    latitude, longitude = np.meshgrid((lat[1:] + lat[:-1]) / 2, (lon[1:] + lon[:-1]) / 2, indexing="ij")
    use = land > 0.05
    latitude, longitude = latitude[use], longitude[use]
    elevation = embedded.embedded_elevation(latitude, longitude, 2.0)
    normals = embedded.embedded_normals(latitude, longitude, elevation)
    cover, ice = embedded.embedded_cover(normals, latitude, elevation)
    return {
        "latitude": latitude, "longitude": longitude, "elevation": elevation, "area": (land * area)[use],
        "normals": normals, "cover": cover, "ice": ice,
    }  # fmt: skip


def test_the_earth_has_its_land_area():
    lat, lon, area = grid(1.0)
    land = embedded.embedded_land(lat, lon) * area
    without_antarctica = land[:150].sum()  # rows north of 60 degrees south
    # 134.9 million km2 by common atlases; 1 % for the simplified outline and the small islands left out.
    assert without_antarctica == pytest.approx(134.9e12, rel=0.01)
    # Natural Earth's Antarctica without ice shelves; atlases differ by some per cent on what counts as land.
    assert land[150:].sum() == pytest.approx(12.3e12, rel=0.03)


def test_land_does_not_depend_on_the_resolution():
    lat, lon, area = grid(1.0)
    fine = embedded.embedded_land(lat, lon) * area
    lat, lon, area = grid(2.0)
    coarse = embedded.embedded_land(lat, lon) * area
    # Both measure on parallels about 0.1 degree apart: single cells may differ by a slanting coast between two
    # parallels (1 % of a cell), the whole by far less.
    together = fine.reshape(90, 2, 180, 2).sum(axis=(1, 3))
    assert abs(together - coarse).max() < 0.01 * area.max()
    assert coarse.sum() == pytest.approx(fine.sum(), rel=1e-4)


def test_land_does_not_depend_on_how_bounds_are_written():
    lat, lon = np.array([70.0, 60.0, 55.0]), np.array([170.0, 176.0, 184.0, 192.0])  # across the 180th meridian
    land = embedded.embedded_land(lat, lon)
    pairs = embedded.embedded_land(np.stack([lat[1:], lat[:-1]], 1), np.stack([lon[:-1], lon[1:]], 1) - 360.0)
    # Round-off of adding and taking away 360 degrees, over the width of a cell.
    np.testing.assert_allclose(land, pairs, atol=1e-10)
    assert land[0, 0] > 0.5  # Chukotka
    whole = embedded.embedded_land([-90.0, 90.0], [-180.0, 180.0])
    np.testing.assert_allclose(whole, embedded.embedded_land([-90.0, 90.0], [20.0, 380.0]), atol=1e-10)
    np.testing.assert_allclose(embedded.embedded_land([-90.0, -87.0], [-180.0, 0.0, 180.0]), 1.0, atol=1e-10)


def test_sea_is_no_land():
    for latitude, longitude in ((0.0, -30.0), (30.0, -160.0), (-50.0, 80.0), (85.0, 0.0), (42.0, 50.5), (35.5, 18.0)):
        land = embedded.embedded_land([latitude, latitude + 0.5], [longitude, longitude + 0.5])
        assert land[0, 0] == 0.0, (latitude, longitude)


def test_inland_is_all_land():
    for name in PLACES:
        latitude, longitude = PLACES[name]
        if name != "bengal":
            land = embedded.embedded_land([latitude, latitude + 1.0], [longitude, longitude + 1.0])
            assert land[0, 0] == pytest.approx(1.0, abs=1e-9), name


def test_coastline_stays_on_the_map():
    longitude, latitude = embedded.coastline()
    assert np.array_equal(np.isnan(longitude), np.isnan(latitude))
    assert np.nanmin(longitude) == -180.0 and np.nanmax(longitude) == 180.0
    assert np.nanmin(latitude) > -86.0  # no line along the pole
    # No stroke across the map: the longest straight piece of the simplified outline has a few degrees.
    assert np.nanmax(abs(np.diff(longitude))) < 10.0


def test_mountains_are_high_and_plains_low(places):
    assert places["tibet"]["elevation"] > 4500.0
    assert places["amazon"]["elevation"] < 150.0
    assert embedded.embedded_elevation(0.0, -30.0) == 0.0
    # A big cell has the mean of its parts, weighted with their land (all land here; 10 m steps and sampling).
    latitude, longitude = np.meshgrid([30.5, 31.5], [85.5, 86.5])
    parts = embedded.embedded_elevation(latitude, longitude, 1.0)
    assert embedded.embedded_elevation(31.0, 86.0, 2.0) == pytest.approx(parts.mean(), rel=0.02)


def test_temperature_falls_with_elevation():
    low = embedded.embedded_normals([30.0], [90.0], [0.0])["temperature"]
    high = embedded.embedded_normals([30.0], [90.0], [2000.0])["temperature"]
    np.testing.assert_allclose(low - high, 13.0, atol=1e-9)  # 6.5 K per km, exact but for round-off


def test_sahara_is_dry_hot_and_bare(places):
    here = places["sahara"]
    assert here["precipitation"].sum() < 100.0
    assert here["temperature"].max() > 30.0
    assert here["range"].mean() > 14.0
    assert here["humidity"].mean() < 40.0
    assert here["cover"]["bare"] > 0.9


def test_rain_forests_are_wet_and_evergreen(places):
    for name in ("amazon", "congo"):
        here = places[name]
        assert here["precipitation"].sum() > 1500.0
        assert here["temperature"].min() > 20.0
        assert here["cover"]["broad_evergreen_tropical"] > 0.5


def test_siberia_is_cold_and_grows_larch(places):
    here = places["siberia"]
    assert here["temperature"].min() < -25.0 and here["temperature"].max() > 12.0
    assert here["cover"]["needle_deciduous_boreal"] > 0.4


def test_monsoon_rain_falls_in_summer(places):
    rain = places["bengal"]["precipitation"]
    assert rain[5:9].sum() > 0.6 * rain.sum() and rain.sum() > 1500.0


def test_vegetation_is_where_it_grows(places):
    assert (
        places["finland"]["cover"]["needle_evergreen_boreal"] + places["finland"]["cover"]["needle_evergreen_temperate"]
        > 0.4
    )
    assert places["france"]["cover"]["broad_deciduous_temperate"] > 0.3
    assert places["australia"]["cover"]["bare"] + places["australia"]["cover"]["grass_c4"] > 0.5
    assert places["greenland"]["ice"] == 1.0 and places["antarctica"]["ice"] == 1.0
    assert all(places[name]["ice"] == 0.0 for name in places if name not in ("greenland", "antarctica"))


def test_means_of_the_land_are_those_of_the_earth(world):
    weight = np.where(world["latitude"] > -60.0, world["area"], 0.0)

    def mean(values):
        return float((values * weight).sum() / weight.sum())

    normals = world["normals"]
    # Ranges of observational data sets for land without Antarctica (CRU, GPCC, GPCP, CERES), not of one of them.
    assert 12.0 < mean(normals["temperature"].mean(axis=1)) < 14.5
    assert 700.0 < mean(normals["precipitation"].sum(axis=1)) < 860.0
    assert 175.0 < mean(normals["shortwave"].mean(axis=1)) < 205.0
    assert 9.0 < mean(normals["range"].mean(axis=1)) < 13.0
    assert 55.0 < mean(normals["humidity"].mean(axis=1)) < 75.0
    trees = world["cover"][:, 1:9].sum(axis=1) * (1.0 - world["ice"])
    assert 45e12 < (trees * weight).sum() < 62e12  # potential forest; about 40 million km2 are left today
    assert 1.6e12 < (world["ice"] * weight).sum() < 2.7e12  # Greenland and the high Arctic


def test_normals_are_possible(world):
    normals = world["normals"]
    for name, low, high in (
        ("temperature", -75.0, 45.0), ("range", 4.0, 16.0), ("precipitation", 0.0, 2000.0), ("wet_days", 0.0, 28.0),
        ("shortwave", 0.0, 450.0), ("humidity", 10.0, 98.0), ("wind", 1.0, 8.0),
    ):  # fmt: skip
        assert np.isfinite(normals[name]).all() and normals[name].shape == (len(world["latitude"]), 12)
        assert normals[name].min() >= low and normals[name].max() <= high, name
    rain_of_day = normals["precipitation"] / np.maximum(normals["wet_days"], 1e-9)
    some = normals["precipitation"] > 1.0
    assert rain_of_day[some].min() > 0.99


def test_cover_is_complete_and_without_crops(world):
    cover, ice = world["cover"], world["ice"]
    np.testing.assert_allclose(cover.sum(axis=1), 1.0, atol=1e-12)  # round-off of 17 terms
    assert (cover[:, 15:] == 0.0).all() and (cover >= 0.0).all()
    assert ((cover > 0.0).sum(axis=1) <= 6).all() and cover[cover > 0.0].min() >= 0.02
    assert ((ice >= 0.0) & (ice <= 1.0)).all()
    assert set(np.flatnonzero(cover.sum(axis=0))) == set(range(15))  # every natural type has its place on Earth


def test_more_rain_means_more_trees_and_less_bare_ground():
    rain = np.linspace(0.0, 2500.0, 26)
    here = embedded.embedded_normals([10.0], [20.0])
    normals = {name: np.repeat(values, len(rain), axis=0) for name, values in here.items()}
    normals["precipitation"] = rain[:, None] / 12.0 * np.ones(12)
    cover, _ = embedded.embedded_cover(normals, np.full(len(rain), 10.0))
    # A type below 2 % is left out and the others grow by as much: that is how far the order may be disturbed.
    assert (np.diff(cover[:, 1:9].sum(axis=1)) > -0.021).all() and cover[-1, 1:9].sum() > 0.85
    assert (np.diff(cover[:, 0]) < 0.021).all() and cover[0, 0] > 0.95 and cover[-1, 0] == 0.0


def test_a_place_does_not_depend_on_the_others(world):
    some = slice(1000, 1007)
    place = world["latitude"][some], world["longitude"][some], world["elevation"][some]
    normals = embedded.embedded_normals(*place)
    cover, ice = embedded.embedded_cover(normals, place[0], place[2])
    for name, values in normals.items():
        assert np.array_equal(values, world["normals"][name][some]), name
    assert np.array_equal(cover, world["cover"][some]) and np.array_equal(ice, world["ice"][some])
    one = embedded.embedded_normals(place[0][3:4], place[1][3:4], place[2][3:4])
    assert all(np.array_equal(one[name][0], normals[name][3]) for name in one)
    shifted = embedded.embedded_normals(place[0], place[1] + 360.0, place[2])
    np.testing.assert_allclose(shifted["temperature"], normals["temperature"], atol=1e-9)  # round-off of 360 degrees


def test_wrong_places_are_named():
    with pytest.raises(ConcertoError, match="1 of 2 places"):
        embedded.embedded_normals([0.0, 91.0], [0.0, 0.0])
    with pytest.raises(ConcertoError, match="pole"):
        embedded.embedded_land([80.0, 95.0], [0.0, 5.0])
    with pytest.raises(ConcertoError, match="bounds"):
        embedded.embedded_land(50.0, [0.0, 5.0])
