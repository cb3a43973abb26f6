"""Gridded runs with real data: a basin, towers of the world, maps of one degree; and what files of the world do."""

import grid_files as g
import netCDF4
import numpy as np
import pytest

from concerto.domain.grid import add_tiles, make_cells
from concerto.errors import ConcertoError
from concerto.forcing.disaggregate import model_steps
from concerto.forcing.gridded import open_forcing
from concerto.tables import loader

pytestmark = pytest.mark.release  # Python around the core; the core itself is run with checks elsewhere

WALNUT, POINTS, LAND = (
    f"data/grid/{name}.nc" for name in ("walnut_gulch_3hourly_2008", "monthly_points_2001-2016", "global_land_1deg")
)
HOURS_WEST = 7
# the cover of the file has no names of its classes; if the first is water, it is a third open shrubland, else grassland
COVER = "shrub_deciduous_temperate:0.33,grass_c4:0.67"
COLUMNS = {
    "Tair": "air_temperature", "Qair": "specific_humidity", "Psurf": "pressure", "SWdown": "shortwave_down",
    "LWdown": "longwave_down", "Wind": "wind_speed", "Rainf": "rainfall", "Snowf": "snowfall",
}  # fmt: skip


def days(first, number):
    return np.datetime64(first, "D") + np.arange(number)


def run(folder, text):
    """Run a configuration; the closing table and the monthly stream."""
    from concerto.simulation.run import Simulation

    path = folder / "run.yaml"
    path.write_text(text)
    summary = Simulation(path).run()
    out = {}
    for file in sorted((folder / "out").glob("monthly_*.nc")):
        with netCDF4.Dataset(file) as data:
            for name, variable in data.variables.items():
                if variable.dtype.kind == "f":
                    out[name] = np.ma.filled(variable[:].astype(float), np.nan)
    return summary, out


# --- a basin of 15 cells, three-hourly, in local time ---------------------------------------------------------------


def walnut(path):
    section = {"grid": "file", "file": str(path), "land_cover": {"kind": "uniform", "pft": COVER}}
    cells = make_cells(section)
    source = open_forcing({"source": "alma", "files": str(path), "time_offset_hours": -HOURS_WEST}, cells)
    return section, cells, source


def test_every_interval_of_a_basin_comes_to_its_hour_and_keeps_its_mean(shared):
    path = shared(WALNUT)
    section, cells, source = walnut(path)
    assert source.native_seconds == 3600  # three hours of local time are no three hours of the UTC day
    read = source.read(days("2008-01-01", 366))
    with netCDF4.Dataset(path) as file:
        order = np.argsort(-file["lat"][:])
        stored = {n: file[n][:].data[:, order].reshape(2928, 15).T.astype(float) for n in COLUMNS}
    for name, column in COLUMNS.items():
        ours = read[column][:, 1:-1]
        if name == "SWdown":  # follows the sun within the three hours, whose mean stays
            ours, expected = (
                ours[:, HOURS_WEST : HOURS_WEST + 8775].reshape(15, -1, 3).mean(axis=2),
                stored[name][:, :2925],
            )
        else:
            expected = np.repeat(stored[name], 3, axis=1)[:, : 8784 - HOURS_WEST]
            ours = ours[:, HOURS_WEST:]
        np.testing.assert_allclose(ours, expected, rtol=1e-12, atol=1e-14 if name != "SWdown" else 1e-10)
        # the seven hours before the record are those of the day after
        if name != "SWdown":
            np.testing.assert_array_equal(read[column][:, 1:8], read[column][:, 25:32])
    # and the steps of the model hold the same amounts of each hour
    part = days("2008-07-01", 20)
    native = source.read(part)
    steps = model_steps(native, cells.latitude, cells.longitude, part, 3600, 1800, cell_id=cells.cell_id, co2=385.0)
    table = loader.variables("forcing")
    for column in set(COLUMNS.values()) - {"pressure"}:
        made = steps[:, table[column].column - 1].reshape(15, -1, 2).mean(axis=2)
        # round-off of a mean over two steps
        np.testing.assert_allclose(made, native[column][:, 1:-1], rtol=1e-10, atol=1e-9 * native[column].max())


def test_leaf_area_of_twelve_months_goes_from_middle_to_middle(shared):
    path = shared(WALNUT)
    _, _, source = walnut(path)
    assert "leaf_area_index" in source.variables
    with netCDF4.Dataset(path) as file:
        leaf = file["LAI"][:].data[:, np.argsort(-file["lat"][:])].reshape(12, 15).T.astype(float)
    read = source.read(days("2008-01-01", 366))["leaf_area_index"][:, 1:-1].reshape(15, 366, 24)
    middles = np.array([15, 45, 75, 105, 136, 166, 197, 228, 258, 289, 319, 350])
    # half a day from the middle of a month at most, where leaf area changes by at most 0.1 in a month
    np.testing.assert_allclose(read[:, middles].mean(axis=2), leaf, atol=2e-2)
    part = source.subset(slice(4, 6)).read(days("2008-08-01", 2))["leaf_area_index"]
    np.testing.assert_array_equal(part, source.read(days("2008-08-01", 2))["leaf_area_index"][4:6])


def test_a_basin_runs_through_its_year(shared, tmp_path):
    path = shared(WALNUT)
    summary, monthly = run(
        tmp_path,
        f"""
title: Walnut Gulch
domain: {{grid: file, file: {path}, land_cover: {{kind: uniform, pft: "{COVER}"}}}}
forcing: {{source: alma, files: {path}, time_offset_hours: -7}}
model: {{time_step: 3600}}
phases: [{{name: run, kind: run, years: [2008, 2008]}}]
output: {{streams: [{{name: monthly, frequency: month, variables: [tas, gpp, evspsbl, prra, prsn, hfls]}}]}}
""",
    )
    with netCDF4.Dataset(path) as file:
        air = file["Tair"][:].mean(axis=(1, 2))
        rain = (file["Rainf"][:] + file["Snowf"][:]).mean(axis=(1, 2))
    seconds = 86400.0 * np.array([31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31])
    mean = {
        n: np.nanmean(v.reshape(12, -1), axis=1) for n, v in monthly.items() if v.shape[:1] == (12,) and v.size == 180
    }
    # cells of a basin of 0.2 degrees differ in area by less than 0.2 %; the ends of the year lack seven hours
    assert abs(np.sum(mean["tas"] * seconds) / seconds.sum() - air.mean()) < 0.02
    amount = np.sum((mean["prra"] + mean["prsn"]) * seconds)
    assert abs(amount / (rain.sum() * 10800.0) - 1.0) < 0.01
    # the summer rain makes the plants of a semi-arid basin grow: most of the production is that of July to October
    assert mean["gpp"][6:10].sum() > 0.5 * mean["gpp"].sum()
    # round-off of stores of some 1000 kg m-2
    assert float(summary["worst residual"]["water"].split()[0]) < 1e-9
    # latent heat of evaporation 2.5 MJ kg-1, of ice 2.83
    assert 2.4e6 < np.sum(mean["hfls"]) / np.sum(mean["evspsbl"]) < 2.85e6


def test_classes_without_numbers_or_names_are_taken_in_order_and_said_so(shared):
    path = shared(WALNUT)
    section, cells, source = walnut(path)
    section["land_cover"] = {"kind": "igbp", "file": str(path), "variable": "Cv"}
    domain = add_tiles(cells, section, source.climatology())
    assert any("the first is taken as ENF, the last as WAT" in note for note in domain.notes)


# --- towers of the world, months ------------------------------------------------------------------------------------


def test_towers_of_the_world_keep_their_months(shared, tmp_path):
    path = shared(POINTS)
    pick = np.array([0, 30, 60, 90, 120, 150, 170, 190])
    with netCDF4.Dataset(path) as file:
        rows = [
            f"    - {{latitude: {file['latitude'][i]}, longitude: {file['longitude'][i]}, igbp: {file['igbp'][i]}}}"
            for i in pick
        ]
        stored = {n: file[n][:].data[pick, 36:48].astype(float) for n in ("Tmin", "Tmax", "SWdown", "Precip")}
    summary, monthly = run(
        tmp_path,
        "title: towers\ndomain:\n  grid: points\n  points:\n"
        + "\n".join(rows)
        + f"""
forcing: {{source: monthly, files: {path}}}
model: {{time_step: 3600}}
phases: [{{name: run, kind: run, years: [2004, 2004]}}]
output: {{streams: [{{name: monthly, frequency: month, variables: [tas, rsds, prra, prsn, gpp]}}]}}
""",
    )
    # single precision of the output: 1e-7 of 300 K; the chain keeps means to round-off
    np.testing.assert_allclose(monthly["tas"].T, 0.5 * (stored["Tmin"] + stored["Tmax"]) + 273.15, rtol=0, atol=1e-4)
    np.testing.assert_allclose(monthly["rsds"].T, stored["SWdown"] / 0.0864, rtol=1e-5, atol=1e-4)
    # rain and snow may cross midnight of the end of a month by no step: the month keeps its amount
    np.testing.assert_allclose(
        (monthly["prra"] + monthly["prsn"]).T * 86400.0, np.maximum(stored["Precip"], 0.0), rtol=1e-4, atol=1e-4
    )
    assert (monthly["gpp"].sum(axis=0) > 0.0).all()


def test_every_tower_takes_its_own_months(shared):
    """Places near each other, and the one under ice, are not mixed up."""
    path = shared(POINTS)
    section = {"grid": "points", "points": str(path)}
    cells = make_cells(section)
    source = open_forcing({"source": "monthly", "files": str(path)}, cells)
    climate = source.climatology()
    with netCDF4.Dataset(path) as file:
        air = (0.5 * (file["Tmin"][:] + file["Tmax"][:])).data.astype(float)
        names = [str(n) for n in file["site"][:]]
    np.testing.assert_allclose(climate["temperature"], air.reshape(194, 16, 12).mean(axis=1), atol=1e-6)
    domain = add_tiles(cells, section, climate)
    left_out = set(range(194)) - set(domain.cell_id.tolist())
    assert len(left_out) == 1 and any(names[i] in note for i in left_out for note in domain.notes)


# --- maps of one degree ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("resolution", [5.0, 10.0])
def test_coarse_cells_are_means_of_all_that_lie_in_them(shared, tmp_path, resolution):
    """Centres of 5 degrees fall on centres of 1 degree, which is not the same grid."""
    path = shared(LAND)
    (tmp_path / "land.nc").symlink_to(path)
    section = {"grid": "latlon", "resolution": resolution, "file": "land.nc",
               "land_cover": {"kind": "igbp", "file": "land.nc"}, "minimum_fraction": 0.0}  # fmt: skip
    cells = make_cells(section, tmp_path)
    assert any("area mean of a 180 x 360 map" in note for note in cells.notes)
    with netCDF4.Dataset(path) as file:
        land, height = file["landfrac"][:].data.astype(float), file["elevation"][:].data.astype(float)
        lat = file["lat"][:].data
    south = np.radians(lat - 0.5)
    area = 6371007.2**2 * np.radians(1.0) * (np.sin(south + np.radians(1.0)) - np.sin(south))[:, None]
    # exact areas on both sides
    assert abs((cells.area * cells.land_fraction).sum() / (area * land).sum() - 1.0) < 1e-6
    # 6690 m at sea is no elevation, of islands and coasts neither
    assert any("6690 m at sea" in note for note in cells.notes)
    weight = cells.area * cells.land_fraction
    inner = (land >= 0.99) & (height < 6690.0)
    of_file = (height * area)[inner].sum() / np.broadcast_to(area, land.shape)[inner].sum()
    assert abs((cells.elevation * weight).sum() / weight.sum() - of_file) < 150.0
    assert cells.elevation[cells.land_fraction < 0.05].max() < 2500.0
    # names of files count from the folder of the configuration
    climate = {"temperature": np.full((cells.n_cell, 12), 15.0), "precipitation": np.full((cells.n_cell, 12), 80.0)}
    domain = add_tiles(cells, section, climate)
    assert domain.n_tile > domain.n_cell


def test_the_land_of_a_file_goes_before_that_of_the_package(shared):
    path = str(shared(LAND))
    one = make_cells({"grid": "embedded", "resolution": 10.0, "file": path})
    two = make_cells({"grid": "latlon", "resolution": 10.0, "file": path})
    np.testing.assert_array_equal(one.cell_id, two.cell_id)
    np.testing.assert_array_equal(one.land_fraction, two.land_fraction)


# --- what files of the world do -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def truth():
    return g.weather(60)


def isimip(folder, truth, **changes):
    """Daily files of each variable, latitude descending; `changes`: name -> (values, unit, latitude) in place of it."""
    pattern = g.write_isimip3(folder, truth)
    for name, (values, unit, latitude) in changes.items():
        for old in folder.glob(f"{name}_*"):
            old.unlink()
        path = folder / f"{name}_gswp3-w5e5_obsclim_2001-2001.nc"
        g.write(path, {name: (values, unit)}, np.arange(len(values)), "days since 2001-01-01", latitude, g.LONGITUDE)
    return pattern


def test_latitude_may_run_the_other_way_in_some_files(tmp_path, truth):
    cells = g.cells()
    plain = open_forcing({"source": "isimip3", "files": isimip(tmp_path / "a", truth)}, cells)
    air, unit = g.daily(truth)["tas"]
    mixed = isimip(tmp_path / "b", truth, tas=(air, unit, g.LATITUDE))
    other = open_forcing({"source": "isimip3", "files": mixed}, cells)
    part = other.subset(slice(3, 9))
    wanted = plain.read(days("2001-01-05", 3))
    for name, values in other.read(days("2001-01-05", 3)).items():
        np.testing.assert_array_equal(values, wanted[name])
    np.testing.assert_array_equal(part.read(days("2001-01-05", 3))["air_temperature"], wanted["air_temperature"][3:9])


def test_more_snow_than_precipitation_is_a_wrong_unit(tmp_path, truth):
    water = g.daily(truth)["pr"][0]
    pattern = isimip(tmp_path, truth, pr=(water, "mm d-1", g.LATITUDE))
    source = open_forcing({"source": "isimip3", "files": pattern}, g.cells())
    with pytest.raises(ConcertoError, match="prsn is larger than pr, which includes it"):
        source.read(days("2001-01-01", 30))


def test_rain_of_no_place_on_earth_is_refused(tmp_path):
    truth = g.weather(366, first_day="2001-01-01")
    water = g.daily(truth)["pr"][0]
    pattern = isimip(tmp_path, truth, pr=(water * 1e-3 * 300.0, "m s-1", g.LATITUDE))
    source = open_forcing({"source": "isimip3", "files": pattern}, g.cells())
    with pytest.raises(ConcertoError, match="mm of precipitation a year.*12000 mm"):
        source.climatology()


def test_files_may_share_the_interval_at_their_border(tmp_path, truth):
    """Yearly files often end with the first instant of the next year."""
    fields = g.alma(truth, 3)
    whole = g.write(
        tmp_path / "whole.nc", fields, np.arange(480) * 3, "hours since 2001-01-01", g.LATITUDE, g.LONGITUDE
    )
    for k, part in enumerate((slice(0, 241), slice(240, 480))):
        some = {name: (values[part], unit) for name, (values, unit) in fields.items()}
        g.write(
            tmp_path / f"part_{k}.nc", some, np.arange(480)[part] * 3, "Hours Since 2001-01-01T00:00:00Z", g.LATITUDE,
            g.LONGITUDE,
        )  # fmt: skip
    one = open_forcing({"source": "alma", "files": str(whole)}, g.cells())
    two = open_forcing({"source": "alma", "files": str(tmp_path / "part_*.nc")}, g.cells())
    assert any("overlap by 1 interval" in note for note in two.notes)
    for name, values in two.read(days("2001-01-30", 3)).items():
        np.testing.assert_array_equal(values, one.read(days("2001-01-30", 3))[name])


def test_absolute_dates_are_dates(tmp_path, truth):
    pattern = isimip(tmp_path / "a", truth)
    plain = open_forcing({"source": "isimip3", "files": pattern}, g.cells())
    plain.close()
    for path in (tmp_path / "a").glob("*.nc"):
        with netCDF4.Dataset(path, "a") as file:
            dates = np.datetime64("2001-01-01") + np.arange(60)
            file["time"].units = "day as %Y%m%d.%f"
            file["time"][:] = [int(str(d).replace("-", "")) + 0.5 for d in dates]
    other = open_forcing({"source": "isimip3", "files": pattern}, g.cells())
    assert (other.first_day, other.last_day) == (plain.first_day, plain.last_day)
    np.testing.assert_array_equal(
        other.read(days("2001-02-27", 3))["air_temperature"], plain.read(days("2001-02-27", 3))["air_temperature"]
    )


def test_what_is_missing_is_named_and_not_what_is_there(tmp_path, truth):
    pattern = isimip(tmp_path, truth)
    next(tmp_path.glob("huss_*")).unlink()
    with pytest.raises(ConcertoError, match=r"humidity is missing; isimip3 needs one of Qair, hurs, huss \(") as fault:
        open_forcing({"source": "isimip3", "files": pattern}, g.cells())
    assert str(tmp_path) in fault.value.message


def test_the_variable_that_ends_first_is_named(tmp_path, truth):
    light, unit = g.daily(truth)["rlds"]
    pattern = isimip(tmp_path, truth, rlds=(light[:40], unit, g.LATITUDE))
    source = open_forcing({"source": "isimip3", "files": pattern}, g.cells())
    assert any("ends on 2001-02-09, as rlds do" in note for note in source.notes)
