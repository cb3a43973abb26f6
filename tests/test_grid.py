"""Cells and tiles: areas on the sphere, grids however they are written, maps on other grids, cover, soil, files."""

from types import SimpleNamespace

import numpy as np
import pytest

from concerto.domain import land_cover
from concerto.domain.grid import Domain, add_tiles, cell_area, make_cells
from concerto.domain.maps import RADIUS, Map, average
from concerto.domain.soil import soil_class
from concerto.errors import ConcertoError

pytestmark = pytest.mark.release  # Python around the core; the core itself is run with checks elsewhere

SPHERE = 4.0 * np.pi * RADIUS**2
ROUNDING = 1e-12  # relative: sums of some thousand products in double precision


def section(**entries):
    """The section `domain` of a configuration."""
    return SimpleNamespace(**{"grid": "file", "minimum_fraction": 0.0, "most_tiles": 17} | entries)


def write(path, lat, lon, axes=("lat", "lon"), bounds=None, **variables):
    """A file with axes and variables: name=values or name=(values, attributes); further dimensions come first."""
    import netCDF4

    with netCDF4.Dataset(path, "w") as file:
        for name, values in zip(axes, (lat, lon), strict=True):
            file.createDimension(name, len(values))
            file.createVariable(name, np.asarray(values).dtype, (name,))[:] = values
        file[axes[0]].units, file[axes[1]].units = "degrees_north", "degrees_east"
        for name, values in (bounds or {}).items():
            if "nv" not in file.dimensions:
                file.createDimension("nv", 2)
            file.createVariable(f"{name}_bnds", "f8", (name, "nv"))[:] = values
            file[name].bounds = f"{name}_bnds"
        for name, values in variables.items():
            values, attributes = values if isinstance(values, tuple) else (values, {})
            values = np.ma.asarray(values)
            first = [f"{name}_{k}" for k in range(values.ndim - 2)]
            for dimension, size in zip(first, values.shape, strict=False):
                file.createDimension(dimension, size)
            fill = {"fill_value": -9999.0} if values.dtype.kind == "f" else {}
            variable = file.createVariable(name, values.dtype, (*first, *axes), **fill)
            variable.setncatts(attributes)
            variable[:] = values
            if first and "names" in attributes:
                file.createVariable(f"{name}_name", str, (first[0],))[:] = np.array(
                    attributes["names"].split(), dtype=object
                )
    return path


def climate(n, coldest=5.0, warmest=20.0, rain=60.0):
    """A mid-latitude climatology of n cells."""
    months = np.cos(2.0 * np.pi * (np.arange(12) - 6.5) / 12.0)
    temperature = 0.5 * (coldest + warmest) + 0.5 * (warmest - coldest) * months
    return {"temperature": np.tile(temperature, (n, 1)), "precipitation": np.full((n, 12), rain)}


UNIFORM = {"kind": "uniform", "pft": "grass_c3:0.75,needle_evergreen_boreal:0.25"}


# --- areas


@pytest.mark.parametrize("steps", [(2.0, 2.0), (1.5, 2.5), (0.5, 0.5)])
def test_the_cells_of_a_globe_have_the_area_of_the_sphere(steps):
    domain = make_cells(section(grid="latlon", resolution=list(steps)))
    assert domain.area.sum() == pytest.approx(SPHERE, rel=ROUNDING)
    assert domain.area[domain.latitude > 0.0].sum() == pytest.approx(SPHERE / 2.0, rel=ROUNDING)


def test_caps_and_narrow_rows_have_their_exact_area():
    for north in (1e-3, 0.1, 10.0):  # of a polar cap: 2 pi R^2 (1 - cos); with 1 - cos = 2 sin^2 free of cancellation
        cap = 4.0 * np.pi * RADIUS**2 * np.sin(np.radians(north) / 2.0) ** 2
        # the latitude 90 - north itself is rounded to 1.4e-14 degrees
        assert cell_area([[90.0 - north, 90.0]], [[0.0, 360.0]])[0, 0] == pytest.approx(cap, rel=4e-14 / north + 1e-14)


# --- the same grid, however it is written


def test_the_order_of_axes_in_the_file_does_not_matter(tmp_path):
    lat, lon = np.arange(-75.0, 90.0, 30.0), np.arange(30.0, 360.0, 60.0)
    random = np.random.default_rng(1)
    land, height = random.random((6, 6)), 1000.0 * random.random((6, 6))
    land[2, 3] = 0.0
    write(tmp_path / "a.nc", lat, lon, land_fraction=land, elevation=(height, {"units": "m"}))
    east = np.argsort((lon + 180.0) % 360.0)
    wrapped = (lon[east] + 180.0) % 360.0 - 180.0
    turned = np.ix_(np.arange(6)[::-1], east)
    write(
        tmp_path / "b.nc", lat[::-1], wrapped, ("y", "x"), landfrac=land[turned], orog=(height[turned], {"units": "m"})
    )
    a, b = make_cells(section(file="a.nc"), tmp_path), make_cells(section(file="b.nc"), tmp_path)
    assert a.n_cell == 35
    for name in ("latitude", "longitude", "area", "land_fraction", "elevation", "cell_id", "index", "lat_bounds"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
    assert (np.diff(a.lat) < 0.0).all() and (np.diff(a.lon) > 0.0).all() and (np.diff(a.cell_id) > 0).all()
    i = 20  # the value is that of the file at this place
    at = np.argmin(abs(lat - a.latitude[i])), np.argmin(abs(lon - a.longitude[i] % 360.0))
    assert a.land_fraction[i] == land[at] and a.elevation[i] == height[at]


def test_percent_and_missing_sea_are_read_by_their_unit(tmp_path):
    lat, lon = [45.0, -45.0], [-90.0, 90.0]
    percent = np.ma.masked_less(np.array([[100.0, 50.0], [-1.0, 0.0]]), 0.0)
    write(tmp_path / "a.nc", lat, lon, sftlf=(percent, {"units": "%"}))
    domain = make_cells(section(file="a.nc"), tmp_path)
    np.testing.assert_array_equal(domain.land_fraction, [1.0, 0.5])
    write(tmp_path / "b.nc", lat, lon, sftlf=(percent, {"units": "1"}))
    with pytest.raises(ConcertoError, match="reaches 100"):
        make_cells(section(file="b.nc"), tmp_path)


def test_irregular_grids_reach_the_poles_and_close_around_the_globe(tmp_path):
    lat = np.degrees(np.arcsin(np.polynomial.legendre.leggauss(32)[0]))  # a Gaussian grid
    lon = np.array([0.0, 40.0, 100.0, 170.0, 230.0, 300.0])
    write(tmp_path / "a.nc", lat, lon, mask=np.ones((32, 6), dtype="i4"))
    domain = make_cells(section(file="a.nc"), tmp_path)
    assert domain.area.sum() == pytest.approx(SPHERE, rel=ROUNDING)
    # axes in single precision make the same cells, to their rounding (4e-8 of 180 degrees over 40 degrees)
    write(tmp_path / "b.nc", lat.astype("f4"), lon.astype("f4"), mask=np.ones((32, 6), dtype="i4"))
    single = make_cells(section(file="b.nc"), tmp_path)
    np.testing.assert_allclose(single.area, domain.area, rtol=1e-5)
    # a region ends half a cell beyond its centres
    write(tmp_path / "c.nc", [50.0, 51.0, 53.0], [179.0, 180.0, 181.0], mask=np.ones((3, 3), dtype="i4"))
    region = make_cells(section(file="c.nc"), tmp_path)
    np.testing.assert_array_equal(region.lat_bounds, [[52.0, 54.0], [50.5, 52.0], [49.5, 50.5]])
    np.testing.assert_array_equal(region.lon, [-180.0, -179.0, 179.0])
    np.testing.assert_array_equal(region.lon_bounds, [[-180.5, -179.5], [-179.5, -178.5], [178.5, 179.5]])


def test_bounds_of_the_file_are_used_and_must_enclose_the_centres(tmp_path):
    lat, lon = [-10.0, 30.0], [0.0, 350.0]
    bounds = {"lat": [[-30.0, 10.0], [10.0, 40.0]], "lon": [[-5.0, 5.0], [345.0, 355.0]]}
    write(tmp_path / "a.nc", lat, lon, bounds=bounds, mask=np.ones((2, 2), dtype="i4"))
    domain = make_cells(section(file="a.nc"), tmp_path)
    np.testing.assert_allclose(domain.lon_bounds, [[-15.0, -5.0], [-5.0, 5.0]], atol=1e-12)
    np.testing.assert_array_equal(domain.lat_bounds, [[10.0, 40.0], [-30.0, 10.0]])
    bounds["lat"] = [[0.0, 10.0], [10.0, 40.0]]
    write(tmp_path / "b.nc", lat, lon, bounds=bounds, mask=np.ones((2, 2), dtype="i4"))
    with pytest.raises(ConcertoError, match="does not enclose"):
        make_cells(section(file="b.nc"), tmp_path)


def test_curvilinear_grids_are_refused_with_the_way_out(tmp_path):
    import netCDF4

    with netCDF4.Dataset(tmp_path / "a.nc", "w") as file:
        for name in ("y", "x"):
            file.createDimension(name, 3)
            file.createVariable(name, "f8", (name,))[:] = np.arange(3) * 1000.0
            file[name].units = "m"
        for name in ("lat", "lon", "land_fraction"):
            file.createVariable(name, "f8", ("y", "x"))[:] = 1.0
    with pytest.raises(ConcertoError, match="curvilinear") as error:
        make_cells(section(file="a.nc"), tmp_path)
    assert "grid: points" in error.value.hint


def test_what_is_no_grid_is_refused(tmp_path):
    one = np.ones((2, 2), dtype="i4")
    write(tmp_path / "twice.nc", [0.0, 10.0], [0.0, 360.0], mask=one)
    write(tmp_path / "order.nc", [0.0, 10.0, 5.0], [0.0, 10.0], mask=np.ones((3, 2), dtype="i4"))
    write(tmp_path / "beyond.nc", [0.0, 95.0], [0.0, 10.0], mask=one)
    write(tmp_path / "bare.nc", [0.0, 10.0], [0.0, 10.0], other=one)
    for name, words in {"twice": "twice", "order": "not strictly", "beyond": "exceeds 90", "bare": "neither"}.items():
        with pytest.raises(ConcertoError, match=words):
            make_cells(section(file=f"{name}.nc"), tmp_path)
    with pytest.raises(ConcertoError, match="there is no file"):
        make_cells(section(file="absent.nc"), tmp_path)
    with pytest.raises(ConcertoError, match="does not divide"):
        make_cells(section(grid="latlon", resolution=0.7))


# --- parts of the grid


def test_a_box_keeps_the_numbers_of_the_cells():
    whole = make_cells(section(grid="latlon", resolution=10.0))
    part = make_cells(section(grid="latlon", resolution=10.0, box=[170.0, -20.0, -160.0, 20.0]))
    assert set(part.longitude) == {175.0, -175.0, -165.0} and set(part.latitude) == {15.0, 5.0, -5.0, -15.0}
    np.testing.assert_array_equal(whole.latitude[part.cell_id], part.latitude)
    np.testing.assert_array_equal(whole.longitude[part.cell_id], part.longitude)
    np.testing.assert_array_equal(whole.area[part.cell_id], part.area)
    east = make_cells(section(grid="latlon", resolution=10.0, box=[340, -90, 360 + 20, 90]))  # longitudes of 0 to 360
    assert set(east.longitude) == {-15.0, -5.0, 5.0, 15.0}
    for box in ([0.0, 20.0, 10.0, 10.0], [1.0, 1.0, 2.0, 2.0]):
        with pytest.raises(ConcertoError, match="box"):
            make_cells(section(grid="latlon", resolution=10.0, box=box))


def test_a_mask_must_stand_on_the_grid_of_the_run(tmp_path):
    lat, lon = np.arange(85.0, -90.0, -10.0), np.arange(5.0, 360.0, 10.0)
    mask = ((lat[:, None] > 30.0) & (lat[:, None] < 60.0) & (lon[None, :] < 50.0)).astype("i4")
    write(tmp_path / "mask.nc", (lat + 1e-4).astype("f4"), lon, mask=mask)
    domain = make_cells(section(grid="latlon", resolution=10.0, mask="mask.nc"), tmp_path)
    assert domain.n_cell == mask.sum() and len(domain.lat) == 3 and len(domain.lon) == 5
    with pytest.raises(ConcertoError, match="does not stand on the grid"):
        make_cells(section(grid="latlon", resolution=5.0, mask="mask.nc"), tmp_path)
    write(tmp_path / "none.nc", lat, lon, mask=0 * mask)
    with pytest.raises(ConcertoError, match="no cell with land"):
        make_cells(section(grid="latlon", resolution=10.0, mask="none.nc"), tmp_path)


def test_values_return_to_their_place_on_the_map():
    domain = make_cells(section(grid="latlon", resolution=30.0, box=[-60, 0, 60, 90]))
    domain = domain._select(np.arange(domain.n_cell) % 2 == 0)
    field = domain.map(np.stack([domain.latitude, domain.longitude]))
    assert field.shape == (2, 3, 4) and np.isnan(field[0]).sum() == 6
    there = np.isfinite(field[0])
    np.testing.assert_array_equal(field[0][there], np.broadcast_to(domain.lat[:, None], (3, 4))[there])
    np.testing.assert_array_equal(field[1][there], np.broadcast_to(domain.lon[None, :], (3, 4))[there])


# --- points


def test_points_come_from_lists_tables_and_files_alike(tmp_path):
    import netCDF4

    rows = [(61.8, 24.3, 4e8, "FI-Hyy", "ENF", 180.0), (-12.5, 131.2, 2e8, "AU-How", "WSA", 40.0)]
    names = ("latitude", "longitude", "area", "name", "igbp", "elevation")
    listed = [dict(zip(names, row, strict=True)) for row in rows]
    table = "\n".join([",".join(names), *(",".join(map(str, row)) for row in rows)])
    (tmp_path / "p.csv").write_text("# two towers\n" + table)
    with netCDF4.Dataset(tmp_path / "p.nc", "w") as file:
        file.createDimension("cell", 2)
        for name, column in zip(names, zip(*rows, strict=True), strict=True):
            text = isinstance(column[0], str)
            variable = file.createVariable(name, str if text else "f8", ("cell",))
            values = np.array(column, dtype=object) if text else np.array(column)
            variable[:] = values * 1e-6 if name == "area" else values
        file["area"].units = "km2"
    domains = [make_cells(section(grid="points", points=p), tmp_path) for p in (listed, "p.csv", "p.nc")]
    for domain in domains:
        assert domain.kind == "points" and domain.index is None and domain.n_cell == 2
        np.testing.assert_array_equal(domain.latitude, [61.8, -12.5])  # as listed
        np.testing.assert_allclose(domain.area, [4e8, 2e8], rtol=1e-15)  # km2 to m2
        tiles = add_tiles(domain, section(land_cover={"kind": "uniform", "pft": "grass_c3"}), climate(2, 20.0, 30.0))
        assert tiles.tile_pft[0] == 1 and 6 in tiles.tile_pft  # as at a tower: one stand, savanna trees and grass
        assert set(tiles.tile_pft[tiles.tile_cell == 0]) == {1}
        with pytest.raises(ConcertoError, match="no map"):
            domain.map(np.zeros(2))


def test_points_that_are_no_places_are_named():
    cases = {
        "latitude of point 2 is 91": [{"latitude": 1, "longitude": 2}, {"latitude": 91, "longitude": 2}],
        "have no longitude": [{"latitude": 1}],
        "area of point 1": [{"latitude": 1, "longitude": 2, "area": -1.0}],
        "'here'": [{"latitude": 1, "longitude": "here"}],
    }
    for words, points in cases.items():
        with pytest.raises(ConcertoError, match=words):
            make_cells(section(grid="points", points=points))


# --- maps on another grid


def test_averages_conserve_the_integral_over_the_sphere(tmp_path):
    random = np.random.default_rng(2)
    lat = np.sort(random.uniform(-88.0, 88.0, 23))
    lon = np.sort(random.uniform(0.0, 360.0, 31))
    lat_edges = np.concatenate([[-90.0], 0.5 * (lat[1:] + lat[:-1]), [90.0]])
    middle = 0.5 * (lon[1:] + lon[:-1])
    seam = 0.5 * (lon[-1] - 360.0 + lon[0])
    lon_edges = np.concatenate([[seam], middle, [seam + 360.0]])
    lat_bounds = np.stack([lat_edges[:-1], lat_edges[1:]], 1)
    values = random.random((23, 31))
    for turn, resolution in ((0.0, 7.5), (100.0, [1.0, 30.0]), (250.0, 3.0)):  # the seam of the map lies elsewhere
        lon_bounds = np.stack([lon_edges[:-1], lon_edges[1:]], 1) + turn
        bounds = {"lat": lat_bounds, "lon": lon_bounds}
        path = write(tmp_path / f"{turn}.nc", lat, lon + turn, bounds=bounds, field=values)
        integral = (values * cell_area(lat_bounds, lon_bounds)).sum()
        domain = make_cells(section(grid="latlon", resolution=resolution))
        with Map(path, "field", "a test") as source:
            mean, share = average(source, domain)
        # overlaps below 1e-4 of a cell are dropped as rounding of axes, hence not to the last digit
        assert (mean * domain.area).sum() == pytest.approx(integral, rel=1e-6)
        assert share.min() > 1.0 - 1e-3
        assert mean.min() >= values.min() and mean.max() <= values.max()


def test_nested_cells_average_by_area_and_ignore_missing_parts(tmp_path):
    lat, lon = np.arange(89.5, -90.0, -1.0), np.arange(-179.5, 180.0, 1.0)
    values = np.random.default_rng(3).random((180, 360))
    values[:, 100:104] = np.nan
    path = write(tmp_path / "a.nc", lat, lon, field=np.ma.masked_invalid(values))
    domain = make_cells(section(grid="latlon", resolution=3.0))
    with Map(path, "field", "a test") as source:
        mean, share = average(source, domain)
    area = cell_area(np.stack([lat - 0.5, lat + 0.5], 1), np.stack([lon - 0.5, lon + 0.5], 1))
    weight = np.where(np.isfinite(values), area, 0.0)
    blocks = (np.nan_to_num(values) * weight).reshape(60, 3, 120, 3).sum(axis=(1, 3))
    whole = weight.reshape(60, 3, 120, 3).sum(axis=(1, 3))
    np.testing.assert_allclose(mean.reshape(60, 120), blocks / whole, rtol=ROUNDING)
    # columns 99 to 101 lose two of three cells, 102 to 104 two of three
    np.testing.assert_allclose(share.reshape(60, 120)[:, [33, 34]], 1.0 / 3.0, rtol=ROUNDING)


def test_a_map_on_the_grid_of_the_run_is_taken_to_the_bit(tmp_path):
    random = np.random.default_rng(4)
    lat, lon = (np.arange(59.9, 50.0, -0.1)).astype("f4"), np.arange(0.05, 10.0, 0.1).astype("f4")
    height = 1000.0 * random.random((len(lat), len(lon)))
    write(tmp_path / "a.nc", lat, lon, mask=np.ones(height.shape, dtype="i4"), elevation=(height, {"units": "m"}))
    domain = make_cells(section(file="a.nc"), tmp_path)
    np.testing.assert_array_equal(domain.elevation, height.ravel())
    part = make_cells(section(file="a.nc", box=[2.0, 52.0, 5.0, 55.0]), tmp_path)
    np.testing.assert_array_equal(part.elevation, height.ravel()[part.cell_id])


def test_cells_without_data_take_the_nearest_of_the_map(tmp_path):
    lat, lon = np.arange(85.0, -90.0, -10.0), np.arange(-175.0, 180.0, 10.0)
    number = np.arange(648.0).reshape(18, 36)
    height = np.where(np.random.default_rng(12).random((18, 36)) < 0.05, number, np.nan)
    height[:, (lon > -100.0) & (lon < 60.0)] = np.nan  # the nearest may lie beyond the date line or the pole
    write(tmp_path / "a.nc", lat, lon, mask=np.ones((18, 36), dtype="i4"), elevation=np.ma.masked_invalid(height))
    domain = make_cells(section(file="a.nc"), tmp_path)
    assert any(f"{int(np.isnan(height).sum())} of 648 cells without data" in note for note in domain.notes)
    ours, east = np.radians(domain.latitude)[:, None], np.radians(domain.longitude)[:, None]
    near = np.sin(ours) * np.sin(ours.T) + np.cos(ours) * np.cos(ours.T) * np.cos(east - east.T)  # of all pairs
    best = np.where(np.isfinite(height.ravel()), near, -1.0).max(axis=1)
    chosen = near[np.arange(648), domain.elevation.astype(int)]
    np.testing.assert_allclose(chosen, best, atol=1e-12)  # of cosines: rounding; ties are equally near


# --- land cover


def test_every_class_of_the_esa_table_is_that_of_the_paper(reference):
    table = reference("disturb_esacci_lc_to_pft.csv")
    names = {"grass_nat": "grass", "grass_man": "crop"}
    columns = [name for name in table if name not in ("lccs", "sum", "no_data")]
    for k, code in enumerate(table["lccs"]):
        if code == 0:
            continue
        paper = {names.get(name, name): table[name][k] for name in columns if table[name][k] > 0}
        assert land_cover.ESA_CCI_GROUPS[int(code)] == paper  # whole and half per cents: exact
    assert len(land_cover.ESA_CCI_CODES) == len(table["lccs"]) - 1
    assert all(sum(row.values()) == 100 for row in land_cover.ESA_CCI_GROUPS.values())


def test_class_maps_count_classes_by_area(tmp_path):
    lat, lon = np.arange(89.0, -90.0, -2.0), np.arange(-179.0, 180.0, 2.0)
    classes = np.full((90, 180), 50, dtype="i1")  # broadleaf evergreen
    classes[:, ::2] = np.int8(-56)  # 200, bare, in signed bytes
    write(tmp_path / "cci.nc", lat, lon, lccs_class=classes)
    domain = make_cells(section(grid="latlon", resolution=4.0, box=[-20, -20, 20, 20]))
    cover = {"kind": "esa_cci", "file": "cci.nc"}
    out = add_tiles(domain, section(land_cover=cover), climate(domain.n_cell), tmp_path)
    assert set(out.tile_pft) == {0, 5, 9, 10}
    # half of each cell is bare, 45 % temperate broadleaf evergreen trees
    np.testing.assert_allclose(out.tile_fraction[out.tile_pft == 0], 0.5, rtol=ROUNDING)
    np.testing.assert_allclose(out.tile_fraction[out.tile_pft == 5], 0.45, rtol=ROUNDING)
    np.testing.assert_allclose(out.land_fraction, 1.0)
    igbp = np.where(classes == 50, 10, 17).astype("i2")  # grass and water
    write(tmp_path / "igbp.nc", lat, lon, LC_Type1=igbp)
    out = add_tiles(domain, section(land_cover={"kind": "igbp", "file": "igbp.nc"}), climate(domain.n_cell), tmp_path)
    np.testing.assert_allclose(out.land_fraction, 0.5, rtol=ROUNDING)
    np.testing.assert_allclose(out.tile_area().sum(), 0.5 * domain.area.sum(), rtol=ROUNDING)


def test_ice_and_lakes_are_taken_from_the_land_and_the_sea_not_twice(tmp_path):
    lat, lon = [5.0, -5.0], np.arange(-25.0, 30.0, 10.0)
    land = np.array([1.0, 0.4, 0.4, 1.0, 1.0, 0.4])
    water = np.array([0.1, 0.6, 0.7, 0.0, 1.0, 0.6])
    ice = np.array([0.0, 0.0, 0.0, 1.0, 0.0, 0.2])
    fractions = np.zeros((17, 2, 6))
    fractions[16], fractions[14], fractions[9] = water, ice, 1.0 - water - ice
    write(tmp_path / "a.nc", lat, lon, landfrac=np.tile(land, (2, 1)), igbp_fraction=fractions)
    config = section(file="a.nc", land_cover={"kind": "igbp", "file": "a.nc"})
    domain = make_cells(config, tmp_path)
    out = add_tiles(domain, config, climate(12), tmp_path)
    # a lake; a coast; a coast with a lake; an ice sheet; the open water of a lake; a coast with a glacier
    assert set(out.longitude) == {-25.0, -15.0, -5.0, 25.0}
    np.testing.assert_allclose(out.land_fraction, 2 * [0.9, 0.4, 0.3, 0.2], rtol=ROUNDING)
    assert any("4 of 12 cells are wholly ice or water" in note for note in out.notes)
    np.testing.assert_array_equal(out.cell_id, [0, 1, 2, 5, 6, 7, 8, 11])
    with pytest.raises(ConcertoError, match="every cell"):
        far = section(file="a.nc", land_cover=config.land_cover, box=[10.0, -10.0, 20.0, 10.0])
        add_tiles(make_cells(far, tmp_path), far, climate(2), tmp_path)


def test_fractions_of_types_are_taken_by_order_or_name(tmp_path):
    lat, lon = [5.0, -5.0], [0.0, 10.0]
    share = np.random.default_rng(5).dirichlet(np.ones(17), size=(2, 2)).transpose(2, 0, 1)
    order = np.random.default_rng(6).permutation(17)
    names = " ".join(land_cover.PFT_NAMES[k] for k in order)
    write(tmp_path / "a.nc", lat, lon, pft_fraction=(100.0 * share, {"units": "%"}))
    write(tmp_path / "b.nc", lat, lon, cover=(share[order], {"names": names}))
    write(tmp_path / "c.nc", lat, lon, cover=share[:12])
    domain = make_cells(section(grid="points", points=[{"latitude": 4.0, "longitude": 9.0}]))
    for name in ("a.nc", "b.nc"):
        out = add_tiles(domain, section(land_cover={"kind": "pft", "file": name}), climate(1), tmp_path)
        np.testing.assert_allclose(out.tile_fraction, share[:, 0, 1], rtol=ROUNDING)
        np.testing.assert_array_equal(out.tile_pft, np.arange(17))
    with pytest.raises(ConcertoError, match="12 classes"):
        add_tiles(domain, section(land_cover={"kind": "pft", "file": "c.nc"}), climate(1), tmp_path)


def test_land_that_the_map_has_as_no_data_grows_what_grows_nearby(tmp_path):
    lat, lon = [15.0, 5.0, -5.0], np.arange(5.0, 60.0, 10.0)
    share = np.zeros((17, 3, 6))
    share[9], share[3] = 0.75, 0.25  # grass and deciduous trees
    share[3, :, 5], share[9, :, 5] = 1.0, 0.0
    share[:, :, 2:4] = np.nan
    classes = np.where(np.isnan(share[0]), 0, np.where(share[3] == 1.0, 60, 130)).astype("u1")
    write(tmp_path / "a.nc", lat, lon, igbp_fraction=np.ma.masked_invalid(share))
    write(tmp_path / "b.nc", lat, lon, lccs_class=classes)
    write(tmp_path / "land.nc", lat, lon, landfrac=np.full((3, 6), 0.5))
    for kind, file in (("igbp", "a.nc"), ("esa_cci", "b.nc")):
        config = section(file="land.nc", land_cover={"kind": kind, "file": file})
        out = add_tiles(make_cells(config, tmp_path), config, climate(18), tmp_path)
        tiles = [
            list(zip(out.tile_pft[out.tile_cell == k], out.tile_fraction[out.tile_cell == k], strict=True))
            for k in range(18)
        ]
        for row in range(3):
            assert tiles[6 * row + 2] == tiles[6 * row + 1] and tiles[6 * row + 3] == tiles[6 * row + 4]
            assert tiles[6 * row + 5] != tiles[6 * row + 4]
        assert any("6 of 18 cells without data" in note for note in out.notes)
        np.testing.assert_array_equal(out.land_fraction, 0.5)


def test_small_tiles_join_the_others_and_the_area_stays(tmp_path):
    random = np.random.default_rng(7)
    share = random.dirichlet(0.3 * np.ones(17), size=(4, 6)).transpose(2, 0, 1)
    write(tmp_path / "a.nc", [30.0, 10.0, -10.0, -30.0], np.arange(0.0, 60.0, 10.0), pft_fraction=share, mask=share[0])
    config = section(file="a.nc", land_cover={"kind": "pft", "file": "a.nc", "variable": "pft_fraction"})
    domain = make_cells(config, tmp_path)
    whole = add_tiles(domain, config, climate(domain.n_cell), tmp_path)
    config.minimum_fraction, config.most_tiles = 0.02, 3
    few = add_tiles(domain, config, climate(domain.n_cell), tmp_path)
    assert np.bincount(few.tile_cell).max() == 3 and few.tile_fraction.min() >= 0.02
    for out in (whole, few):
        np.testing.assert_allclose(np.bincount(out.tile_cell, out.tile_fraction), 1.0, rtol=ROUNDING)
        assert (np.diff(out.tile_cell * 17 + out.tile_pft) > 0).all()
    np.testing.assert_allclose(few.tile_area().sum(), whole.tile_area().sum(), rtol=ROUNDING)
    for cell in range(domain.n_cell):  # the largest stay, in their proportions
        large = np.sort(whole.tile_fraction[whole.tile_cell == cell])[::-1]
        kept = np.sort(few.tile_fraction[few.tile_cell == cell])[::-1]
        large = large[: len(kept)]
        np.testing.assert_allclose(kept, large / large.sum(), rtol=ROUNDING)
    config.minimum_fraction, config.most_tiles = 0.5, 1
    one = add_tiles(domain, config, climate(domain.n_cell), tmp_path)
    assert one.n_tile == domain.n_cell and (one.tile_fraction == 1.0).all()


def test_the_climate_decides_on_types():
    domain = make_cells(
        section(grid="points", points=[{"latitude": 0, "longitude": k, "igbp": "GRA"} for k in range(3)])
    )
    weather = {"temperature": np.tile([[-3.0], [15.0], [28.0]], (1, 12)), "precipitation": np.full((3, 12), 50.0)}
    out = add_tiles(domain, section(), weather)
    assert out.tile_pft.tolist() == [12, 13, 14]  # arctic, C3, C4
    # degree days of a sine: 10 K times 365 d over pi; straight lines between points a twelfth of its period apart
    # have 2.3 % less, and months are not equally long
    sine = 5.0 + 10.0 * np.sin(2.0 * np.pi * (np.arange(12) + 0.5) / 12.0)
    assert land_cover.monthly_climate(sine, np.ones(12)).gdd5 == pytest.approx(3650.0 / np.pi, rel=0.035)
    with pytest.raises(ConcertoError, match="twelve finite values"):
        add_tiles(domain, section(), {"temperature": np.full((3, 12), np.nan), "precipitation": np.ones((3, 12))})


# --- soil


def test_soil_follows_texture(tmp_path):
    lat, lon = [5.0, -5.0], [0.0, 10.0]
    sand = (np.array([[800.0, 430.0], [50.0, 200.0]]), {"units": "g kg-1"})
    clay = (np.array([[5.0, 18.0], [70.0, 45.0]]), {"units": "%"})
    classes = np.array([[1, 2], [5, 0]], dtype="i2")
    write(tmp_path / "a.nc", lat, lon, mask=np.ones((2, 2), "i4"), sand=sand, clay=clay, slt=classes)
    config = section(file="a.nc", land_cover=UNIFORM, soil={"file": "a.nc"})
    out = add_tiles(make_cells(config, tmp_path), config, climate(4), tmp_path)
    wanted = [soil_class(name) for name in ("coarse", "medium", "very_fine", "fine")]
    np.testing.assert_array_equal(out.soil["k_sat"], [c.k_sat for c in wanted])
    np.testing.assert_array_equal(out.soil["vg_l"], [c.l for c in wanted])
    np.testing.assert_allclose(out.soil["sand"], [80.0, 43.0, 5.0, 20.0])  # of the map, not of the class
    config.soil = {"file": "a.nc", "variables": {"texture": "slt"}}
    out = add_tiles(make_cells(config, tmp_path), config, climate(4), tmp_path)
    # the cell without a class takes the nearest: along the parallel it is as far as along the meridian but for 0.4 %
    np.testing.assert_array_equal(out.soil["vg_n"], [c.n for c in (*wanted[:3], wanted[2])])
    config.soil = {"texture": "coarse"}
    out = add_tiles(make_cells(config, tmp_path), config, climate(4), tmp_path)
    assert set(out.soil["theta_sat"]) == {0.403}
    write(tmp_path / "b.nc", lat, lon, sand=sand[0], clay=clay[0])
    config.soil = {"file": "b.nc"}
    with pytest.raises(ConcertoError, match="unit ''"):
        add_tiles(make_cells(config, tmp_path), config, climate(4), tmp_path)


# --- parts and files


def world(tmp_path):
    share = np.random.default_rng(8).dirichlet(np.ones(17), size=(6, 12)).transpose(2, 0, 1)
    land = np.random.default_rng(9).random((6, 12)) - 0.3
    lat, lon = np.arange(75.0, -90.0, -30.0), np.arange(-165.0, 180.0, 30.0)
    write(tmp_path / "w.nc", lat, lon, landfrac=np.maximum(land, 0.0), pft=share)
    config = section(file="w.nc", land_cover={"kind": "pft", "file": "w.nc"}, minimum_fraction=0.02, most_tiles=6)
    domain = make_cells(config, tmp_path)
    out = add_tiles(domain, config, climate(domain.n_cell), tmp_path)
    out.tile_parameters["canopy_height"] = np.random.default_rng(1).random(out.n_tile)
    return out


def equal(a, b):
    assert (a.kind, a.notes) == (b.kind, b.notes)
    ours, theirs = list(a._arrays()), list(b._arrays())
    assert [row[0] for row in ours] == [row[0] for row in theirs]
    for (name, x, _), (_, y, _) in zip(ours, theirs, strict=True):
        assert x.dtype == y.dtype, name
        np.testing.assert_array_equal(x, y, err_msg=name)


def test_a_saved_domain_comes_back_to_the_bit(tmp_path):
    domain = world(tmp_path)
    equal(Domain.load(domain.save(tmp_path / "domain.nc")), domain)
    points = [{"latitude": 10.0 / 3.0, "longitude": 2, "name": "Å", "pft": "grass_c3"}, {"latitude": 1, "longitude": 2}]
    cells = make_cells(section(grid="points", points=points))
    listed = add_tiles(cells, section(land_cover=UNIFORM), climate(2))
    equal(Domain.load(listed.save(tmp_path / "points.nc")), listed)
    assert not list(tmp_path.glob("*.part"))
    with pytest.raises(ConcertoError, match="no saved domain|not a saved domain"):
        Domain.load(tmp_path / "w.nc")
    with pytest.raises(ConcertoError, match="could not be written"):
        domain.save(tmp_path / "absent" / "domain.nc")


def test_parts_of_a_domain_make_the_whole(tmp_path):
    domain = world(tmp_path)
    parts = [domain.take(slice(a, b)) for a, b in ((0, 7), (7, 8), (8, 8), (8, domain.n_cell))]
    assert [part.n_cell for part in parts] == [7, 1, 0, domain.n_cell - 8]
    for name in ("latitude", "area", "cell_id", "index", "tile_pft", "tile_fraction"):
        np.testing.assert_array_equal(np.concatenate([getattr(p, name) for p in parts]), getattr(domain, name))
    for name in domain.soil:
        np.testing.assert_array_equal(np.concatenate([p.soil[name] for p in parts]), domain.soil[name])
    height = [p.tile_parameters["canopy_height"] for p in parts]
    np.testing.assert_array_equal(np.concatenate(height), domain.tile_parameters["canopy_height"])
    np.testing.assert_array_equal(np.concatenate([p.tile_area() for p in parts]), domain.tile_area())
    assert all(p.tile_cell.min(initial=0) == 0 for p in parts)


# --- real data


def test_the_land_of_the_earth(shared):
    path = str(shared("data/grid/global_land_1deg.nc"))
    config = section(
        file=path, land_cover={"kind": "igbp", "file": path, "variable": "igbp_fraction"}, minimum_fraction=0.02
    )
    domain = make_cells(config)
    # land with lakes: 149 million km2; MODIS water is taken off here, the one-degree map is coarse at coasts: 3 %
    assert (domain.area * domain.land_fraction).sum() == pytest.approx(1.47e14, rel=0.03)
    warm = np.repeat(30.0 - 0.6 * np.abs(domain.latitude)[:, None], 12, axis=1)
    out = add_tiles(domain, config, {"temperature": warm, "precipitation": np.full(warm.shape, 60.0)})
    # without the ice sheets (14 million km2) and glaciers about 131 to 133 million km2
    assert 1.27e14 < out.tile_area().sum() < 1.35e14
    kept = out.map(out.area * out.land_fraction)
    assert np.nansum(kept[out.lat < -60.0]) < 0.1e12  # of Antarctica only rocks and valleys, below 1 % of 14
    assert np.isnan(kept[np.ix_((out.lat > 70) & (out.lat < 78), np.abs(out.lon + 40) < 5)]).all()  # Greenland
    # one map at half the resolution keeps the area to the rounding of single precision in the file
    coarse = section(grid="latlon", resolution=2.0, file=path, variables={"land_fraction": "landfrac"})
    coarse = make_cells(coarse)
    np.testing.assert_allclose(
        (coarse.area * coarse.land_fraction).sum(), (domain.area * domain.land_fraction).sum(), rtol=1e-7
    )


@pytest.mark.parametrize(
    ("name", "shape"), [("stehekin_hourly_1949-01.nc", (8, 10)), ("walnut_gulch_3hourly_2008.nc", (3, 5))]
)
def test_small_basins(shared, name, shape):
    domain = make_cells(section(file=str(shared(f"data/grid/{name}"))))
    assert (len(domain.lat), len(domain.lon)) == shape and domain.n_cell == shape[0] * shape[1]
    # a sixteenth of a degree squared at this latitude; the row is narrow, so cos(lat) is right to 1e-6
    side = np.radians(0.0625) * RADIUS
    np.testing.assert_allclose(domain.area, side**2 * np.cos(np.radians(domain.latitude)), rtol=1e-5)
