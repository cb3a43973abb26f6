"""Gridded forcing: every layout gives back the weather it was written from; faults are sentences.

Files are float32: what comes back differs by at most 1.2e-7 of the value as written (`SINGLE` leaves room for two
roundings). Differences of sums since midnight lose more: the sum of a day is up to 24 times an hour (`DIFFERENCE`).
"""

import pickle

import grid_files as g
import netCDF4
import numpy as np
import pytest

from concerto.errors import ConcertoError
from concerto.forcing import derive
from concerto.forcing.gridded import find_files, open_forcing, source_day

pytestmark = pytest.mark.release  # Python around the core; the core itself is run with checks elsewhere

SINGLE = 3e-7
DIFFERENCE = 24 * SINGLE


def days(first, number):
    return np.datetime64(first, "D") + np.arange(number)


def agree(found, expected, tolerance=SINGLE):
    __tracebackhide__ = True
    assert found.shape == expected.shape
    # relative to the largest value: what the stored numbers can hold
    assert np.abs(found - expected).max() <= tolerance * np.abs(expected).max()


def fault(source, files, domain=None, folder=".", read=True, **settings):
    """Message and hint of the fault in opening or reading all days."""
    with pytest.raises(ConcertoError) as caught:
        forcing = open_forcing({"source": source, "files": files} | settings, domain or g.cells(), folder)
        if read:
            forcing.read(days(forcing.first_day, int((forcing.last_day - forcing.first_day).astype(int)) + 1))
    assert caught.value.hint
    assert "\n" not in caught.value.message
    return str(caught.value)


@pytest.fixture(scope="module")
def truth():
    return g.weather(8)


# --- the layouts ------------------------------------------------------------------------------------------------------


def test_cru_jra_amounts_of_six_hours_become_means_and_instants_stay(tmp_path, truth):
    files = g.write_cru_jra(tmp_path, truth)
    forcing = open_forcing({"source": "cru_jra", "files": files}, g.cells())
    assert (forcing.native_seconds, forcing.calendar) == (21600, "noleap")
    assert forcing.instantaneous == {"air_temperature", "specific_humidity", "pressure", "wind_speed"}
    assert (str(forcing.first_day), str(forcing.last_day)) == ("2001-01-01", "2001-01-08")
    read = forcing.read(days("2001-01-02", 3))
    assert set(read) == set(forcing.variables) and all(v.dtype == np.float64 for v in read.values())
    hours = slice(24 - 6, 4 * 24 + 6)  # with one interval of six hours at each end
    for name, key in (("air_temperature", "Tair"), ("specific_humidity", "Qair"), ("pressure", "Psurf")):
        agree(read[name], g.of_cells(truth[key][hours][::6]))
    agree(read["wind_speed"], g.of_cells(np.hypot(truth["Wind_E"], truth["Wind_N"])[hours][::6]))
    for name, key in (("shortwave_down", "SWdown"), ("longwave_down", "LWdown"), ("precipitation", "Precip")):
        agree(read[name], g.of_cells(truth[key][hours].reshape(-1, 6, 4, 5).mean(axis=1)))


@pytest.mark.parametrize("rates", [False, True])
def test_era5_values_belong_to_the_hour_before_the_stamp(tmp_path, truth, rates):
    files = g.write_era5(tmp_path, truth, rates=rates)
    forcing = open_forcing({"source": "era5", "files": files}, g.cells())
    assert (forcing.native_seconds, str(forcing.last_day)) == (3600, "2001-01-08")
    read = forcing.read(days("2001-01-03", 2))
    hours = slice(47, 97)
    agree(read["air_temperature"], g.of_cells(truth["Tair"][hours]))
    agree(read["specific_humidity"], g.of_cells(truth["Qair"][hours]), 3e-5)  # steep in the dew point: 17 % of 3e-5 K
    agree(read["shortwave_down"], g.of_cells(truth["SWdown"][hours]))
    agree(read["longwave_down"], g.of_cells(truth["LWdown"][hours]))
    agree(read["snowfall"], g.of_cells(truth["Snowf"][hours]))
    agree(read["rainfall"], g.of_cells((truth["Precip"] - truth["Snowf"])[hours]))
    assert "shortwave_down" not in forcing.instantaneous and "air_temperature" in forcing.instantaneous


def test_era5_land_accumulates_from_midnight(tmp_path, truth):
    files = g.write_era5_land(tmp_path, truth)
    forcing = open_forcing({"source": "era5_land", "files": files}, g.cells())
    assert (str(forcing.first_day), str(forcing.last_day)) == ("2001-01-01", "2001-01-08")
    whole = forcing.read(days("2001-01-01", 8))
    for name, key in (("shortwave_down", "SWdown"), ("longwave_down", "LWdown"), ("snowfall", "Snowf")):
        hours = g.of_cells(truth[key])
        # the last hour of the record would need the next file: it repeats the one before
        hours[:, -1] = hours[:, -2]
        agree(whole[name][:, 1:-1], hours, DIFFERENCE)
        days_sum = whole[name][:, 1:-25].reshape(20, 7, 24).sum(axis=2)
        agree(days_sum, g.of_cells(truth[key])[:, :-24].reshape(20, 7, 24).sum(axis=2))  # sums lose nothing
    assert any("repeats the one before" in note for note in forcing.notes)
    middle = forcing.read(days("2001-01-04", 1))  # crosses the border of the two files
    agree(middle["shortwave_down"], g.of_cells(truth["SWdown"][71:97]), DIFFERENCE)


def test_packed_integers_are_unpacked(tmp_path, truth):
    files = g.write_era5(tmp_path, truth, packed=("t2m", "strd"))
    read = open_forcing({"source": "era5", "files": files}, g.cells()).read(days("2001-01-03", 1))
    step = np.ptp(truth["Tair"]) / 65000.0
    assert np.abs(read["air_temperature"] - g.of_cells(truth["Tair"][47:73])).max() <= 0.51 * step


@pytest.mark.parametrize("noon", [False, True])
def test_isimip3_days_are_days_whatever_hour_the_stamp_has(tmp_path, truth, noon):
    files = g.write_isimip3(tmp_path, truth, noon=noon)
    forcing = open_forcing({"source": "isimip3", "files": files}, g.cells())
    read = forcing.read(days("2001-01-02", 3))
    air = truth["Tair"][:-1].reshape(8, 24, 4, 5)[0:5]
    agree(read["air_temperature"], g.of_cells(air.mean(axis=1)))
    agree(read["air_temperature_min"], g.of_cells(air.min(axis=1)))
    agree(read["air_temperature_max"], g.of_cells(air.max(axis=1)))
    rain = g.means(truth["Precip"] - truth["Snowf"], 24)[0:5]
    agree(read["rainfall"], g.of_cells(rain))  # pr includes prsn
    assert forcing.native_seconds == 86400 and not forcing.instantaneous


@pytest.mark.parametrize("bounds", [True, False])
def test_gswp3_stamps_in_the_middle_are_brought_to_the_start(tmp_path, truth, bounds):
    files = g.write_gswp3(tmp_path, truth, bounds=bounds)
    forcing = open_forcing({"source": "gswp3", "files": files}, g.cells())
    read = forcing.read(days("2001-01-01", 8))
    agree(read["air_temperature"][:, 1:-1], g.of_cells(g.means(truth["Tair"], 3)))
    agree(read["shortwave_down"][:, 1:-1], g.of_cells(g.means(truth["SWdown"], 3)))
    assert (forcing.native_seconds, forcing.instantaneous) == (10800, frozenset())


def test_cell_methods_make_a_variable_an_instant(tmp_path, truth):
    path = g.write_alma(tmp_path / "a.nc", truth)
    with netCDF4.Dataset(path, "a") as file:
        file["Tair"].cell_methods = "area: mean time: point"
        file["Wind"].cell_methods = "time: mean"
    forcing = open_forcing({"source": "alma", "files": str(path)}, g.cells())
    assert forcing.instantaneous == {"air_temperature"}


def test_alma_in_local_time_is_brought_to_utc(tmp_path, truth):
    path = g.write_alma(tmp_path / "a.nc", truth, local=9)
    by_setting = open_forcing({"source": "alma", "files": str(path), "time_offset_hours": 9}, g.cells())
    read = by_setting.read(days("2001-01-02", 2))
    agree(read["shortwave_down"], g.of_cells(truth["SWdown"][23:73]))
    by_setting.close()
    with netCDF4.Dataset(path, "a") as file:
        file.utc_offset_hours = 9.0
    by_attribute = open_forcing({"source": "alma", "files": str(path)}, g.cells())
    assert np.array_equal(by_attribute.read(days("2001-01-02", 2))["shortwave_down"], read["shortwave_down"])
    sentence = fault("alma", str(path), time_offset_hours=0)
    assert "behind the sun" in sentence and "time_offset_hours" in sentence


def test_intervals_across_the_utc_day_keep_their_means(tmp_path, truth):
    path = g.write_alma(tmp_path / "a.nc", truth, hours=3, local=-7)
    forcing = open_forcing({"source": "alma", "files": str(path), "time_offset_hours": -8}, g.cells())
    assert forcing.native_seconds == 3600  # the record begins at 01 UTC
    read = forcing.read(days("2001-01-02", 2))
    for name, key in (("air_temperature", "Tair"), ("shortwave_down", "SWdown"), ("longwave_down", "LWdown")):
        three = read[name][:, 3:-2].reshape(20, -1, 3).mean(axis=2)  # from 02 to 01 UTC: not the intervals
        inside = read[name][:, 2:-3].reshape(20, -1, 3).mean(axis=2)  # from 01 UTC on: the intervals of the file
        expected = g.of_cells(g.means(truth[key], 3))[:, 8 : 8 + inside.shape[1]]
        agree(inside, expected)
        assert np.abs(three - expected).max() > 1e-3
    hours = read["shortwave_down"][:, 2:-3].reshape(20, -1, 3)
    assert (np.ptp(hours, axis=2) > 1.0).any()  # follows the sun within the interval


def test_humidity_may_come_from_relative_humidity_or_deficit(tmp_path, truth):
    fields = g.alma(truth)
    saturated = derive.saturation_pressure_bolton(fields["Tair"][0])
    vapour = derive.vapour_pressure(fields["Qair"][0], fields["Psurf"][0])
    for name, values, unit in (
        ("RH", 100.0 * vapour / saturated, "%"),
        ("VPD", (saturated - vapour) / 100.0, "hPa"),
    ):
        path = tmp_path / f"{name}.nc"
        kept = {k: v for k, v in fields.items() if k != "Qair"} | {name: (values, unit)}
        g.write(path, kept, np.arange(192), "hours since 2001-01-01", g.LATITUDE, g.LONGITUDE, dtype="f8")
        read = open_forcing({"source": "alma", "files": str(path)}, g.cells()).read(days("2001-01-01", 8))
        agree(read["specific_humidity"][:, 1:-1], g.of_cells(fields["Qair"][0]), 1e-12)  # double precision on disk


def test_preliminary_and_final_era5_are_merged(tmp_path, truth):
    path = tmp_path / "a.nc"
    fields = g.alma(truth)
    g.write(path, fields, np.arange(192), "hours since 2001-01-01", g.LATITUDE, g.LONGITUDE)
    with netCDF4.Dataset(path, "a") as file:
        file.createDimension("expver", 2)
        drop(file, "LWdown")
        both = file.createVariable("LWdown", "f4", ("time", "expver", "lat", "lon"))
        both.units = "W m-2"
        both[:100, 0], both[100:, 0] = fields["LWdown"][0][:100], np.nan
        both[:100, 1], both[100:, 1] = np.nan, fields["LWdown"][0][100:]
    read = open_forcing({"source": "alma", "files": str(path)}, g.cells()).read(days("2001-01-01", 8))
    agree(read["longwave_down"][:, 1:-1], g.of_cells(fields["LWdown"][0]))


@pytest.mark.parametrize("order", [("time", "place"), ("place", "time")])
def test_a_list_of_places_is_matched_by_position(tmp_path, truth, order):
    domain = g.cells()
    fields = {name: (g.of_cells(values), unit) for name, (values, unit) in g.alma(truth).items()}
    path = tmp_path / "points.nc"
    with netCDF4.Dataset(path, "w") as file:
        file.createDimension("time", 192)
        file.createDimension("place", 20)
        file.createVariable("time", "f8", ("time",))[:] = np.arange(192)
        file["time"].units = "hours since 2001-01-01 00:00:00 UTC"
        file.createVariable("latitude", "f8", ("place",))[:] = domain.latitude[::-1]
        file.createVariable("longitude", "f8", ("place",))[:] = domain.longitude[::-1] % 360.0
        for name, (values, unit) in fields.items():
            variable = file.createVariable(name, "f4", order)
            variable[:] = values[::-1].T if order[0] == "time" else values[::-1]
            variable.units = unit
    forcing = open_forcing({"source": "alma", "files": str(path)}, domain)
    agree(forcing.read(days("2001-01-02", 2))["pressure"], fields["Psurf"][0][:, 23:73])
    assert not any("nearest" in note for note in forcing.notes)
    domain.latitude[3] += 0.1
    moved = open_forcing({"source": "alma", "files": str(path)}, domain)
    assert any("1 of 20 cells" in note for note in moved.notes)
    domain.latitude[3] += 1.0
    domain.longitude[3] += 5.0
    assert "1 of 20 cells have no forcing" in fault("alma", str(path), domain)


def test_a_tower_file_of_plumber2_is_a_grid_of_one_cell(tmp_path, truth):
    path = tmp_path / "tower.nc"
    with netCDF4.Dataset(path, "w") as file:
        for name, size in (("time", 192), ("y", 1), ("x", 1)):
            file.createDimension(name, size)
        file.createVariable("time", "f8", ("time",))[:] = np.arange(192) * 3600.0
        file["time"].units = "seconds since 2001-01-01 00:00:00"
        file.createVariable("latitude", "f4", ("y", "x"))[:] = 45.25
        file.createVariable("longitude", "f4", ("y", "x"))[:] = 0.25
        for name, (values, unit) in g.alma(truth).items():
            file.createVariable(name, "f4", ("time", "y", "x"))[:] = values[:, :1, 3:4]
            file[name].units = unit
    forcing = open_forcing({"source": "alma", "files": str(path)}, g.cells(np.array([45.25]), np.array([0.25])))
    agree(forcing.read(days("2001-01-02", 1))["pressure"], truth["Psurf"][23:49, 0, 3][None])


def test_a_rank_without_cells_reads_nothing(tmp_path, truth):
    forcing = open_forcing({"source": "era5_land", "files": g.write_era5_land(tmp_path, truth)}, g.cells())
    none = forcing.subset(slice(20, 20))
    read = none.read(days("2001-01-02", 2))
    assert set(read) == set(forcing.variables) and all(v.shape == (0, 50) for v in read.values())
    assert none.bytes_per_day() == 0


def test_reading_in_the_background_gives_the_same(tmp_path, truth):
    from concurrent.futures import ThreadPoolExecutor

    forcing = open_forcing({"source": "era5", "files": g.write_era5(tmp_path, truth)}, g.cells())
    with ThreadPoolExecutor(1) as pool:
        ahead = [pool.submit(forcing.read, days(f"2001-01-0{d}", 1)) for d in range(1, 8)]
        for d, future in enumerate(ahead, 1):
            read = forcing.subset(slice(0, 20)).read(days(f"2001-01-0{d}", 1))
            assert all(np.array_equal(future.result()[name], read[name]) for name in read)


# --- calendars --------------------------------------------------------------------------------------------------------


def number_of_day(n_day):
    """Weather whose temperature, K, is 250 + the number of the day of the file / 10."""
    truth = g.weather(1)
    out = {name: np.repeat(v[:1] * 0 + v[12:13], n_day * 24 + (len(v) == 25), axis=0) for name, v in truth.items()}
    out["Tair"] = out["Tair"] * 0.0 + 250.0 + (np.arange(n_day * 24 + 1) // 24)[:, None, None] * 0.1
    return out


def test_the_leap_day_of_a_noleap_source_is_28_february_again(tmp_path):
    one = np.array([45.25]), np.array([0.25])
    truth = {k: v[:, :1, 3:4] for k, v in number_of_day(365 * 4).items()}
    files = g.write_isimip3(tmp_path, truth, 2003, latitude=one[0], longitude=one[1], calendar="noleap")
    forcing = open_forcing({"source": "isimip3", "files": files}, g.cells(*one))
    assert (str(forcing.first_day), str(forcing.last_day)) == ("2003-01-01", "2006-12-31")
    day = (forcing.read(days("2004-02-27", 4))["air_temperature"][0] - 250.0) * 10.0
    assert np.abs(day - np.array([421, 422, 423, 423, 424, 425])).max() < 1e-3  # float32 of 290 K: 3e-5 K


def test_a_year_of_360_days_is_spread_over_the_real_one(tmp_path):
    one = np.array([45.25]), np.array([0.25])
    truth = {k: v[:, :1, 3:4] for k, v in number_of_day(720).items()}
    files = g.write_isimip3(tmp_path, truth, 2003, latitude=one[0], longitude=one[1], calendar="360_day")
    forcing = open_forcing({"source": "isimip3", "files": files}, g.cells(*one))
    assert (str(forcing.first_day), str(forcing.last_day)) == ("2003-01-01", "2004-12-31")
    read = forcing.read(days("2003-01-01", 365))["air_temperature"][0, 1:-1]
    expected = np.arange(365) * 360 // 365
    assert np.abs((read - 250.0) * 10.0 - expected).max() < 1e-3
    leap = np.diff(source_day(days("2004-02-27", 4), "360_day"))
    assert leap.min() == 0 and leap.max() == 1


# --- halo, cells, files -----------------------------------------------------------------------------------------------


def test_the_halo_repeats_the_edge_at_the_ends_of_the_record(tmp_path, truth):
    forcing = open_forcing({"source": "isimip3", "files": g.write_isimip3(tmp_path, truth)}, g.cells())
    read = forcing.read(days("2001-01-01", 8))["longwave_down"]
    assert read.shape == (20, 10)
    assert np.array_equal(read[:, 0], read[:, 1]) and np.array_equal(read[:, -1], read[:, -2])
    assert np.array_equal(forcing.read(days("2001-01-03", 1))["longwave_down"], read[:, 2:5])


def test_a_subset_reads_what_the_whole_reads(tmp_path, truth):
    domain = g.cells()
    forcing = open_forcing({"source": "era5", "files": g.write_era5(tmp_path, truth)}, domain)
    whole = forcing.read(days("2001-01-02", 2))
    for part in (slice(0, 3), slice(7, 16), slice(19, 20)):
        copy = pickle.loads(pickle.dumps(forcing.subset(part)))
        read = copy.read(days("2001-01-02", 2))
        assert all(np.array_equal(read[name], whole[name][part]) for name in whole)
        assert copy.bytes_per_day() == 8 * 24 * len(whole) * (part.stop - part.start)
    pair = forcing.subset((7, 16)).read(days("2001-01-02", 1))
    assert len(pair["pressure"]) == 9


def test_only_the_box_of_the_own_cells_is_read(tmp_path, truth, monkeypatch):
    forcing = open_forcing({"source": "isimip3", "files": g.write_isimip3(tmp_path, truth)}, g.cells())
    seen = []
    raw = type(forcing)._raw
    monkeypatch.setattr(
        type(forcing), "_raw", lambda self, s, a, b, box: seen.append((b - a, box)) or raw(self, s, a, b, box)
    )
    forcing.subset(slice(6, 8)).read(days("2001-01-03", 2))
    assert {n for n, _ in seen} == {4}
    assert all(box[0].stop - box[0].start == 1 and box[1].stop - box[1].start == 2 for _, box in seen)


def test_cells_at_both_edges_of_the_axis_are_two_boxes(tmp_path):
    lon = np.arange(0.25, 360.0, 5.0)
    lat = np.array([10.25, 15.25])
    truth = g.weather(2, lat, lon)
    files = g.write_isimip3(tmp_path, truth, latitude=lat, longitude=lon)
    domain = g.cells(np.array([10.25]), np.array([-4.75, 0.25]))
    forcing = open_forcing({"source": "isimip3", "files": files}, domain)
    assert len(forcing._boxes) == 2
    read = forcing.read(days("2001-01-01", 1))["pressure"][:, 1]
    agree(read, g.means(truth["Psurf"], 24)[0, 0, [-1, 0]])


def test_cells_beside_the_centres_take_the_nearest_and_say_so(tmp_path, truth):
    files = g.write_isimip3(tmp_path, truth)
    domain = g.cells()
    domain.latitude[0] += 0.1
    forcing = open_forcing({"source": "isimip3", "files": files}, domain)
    note = next(n for n in forcing.notes if "nearest" in n)
    assert "1 of 20 cells" in note and "0.1 degrees" in note
    exact = open_forcing({"source": "isimip3", "files": files}, g.cells())
    assert not any("nearest" in n for n in exact.notes)
    a, b = (f.read(days("2001-01-01", 1))["pressure"] for f in (forcing, exact))
    assert np.array_equal(a, b)


def test_a_cell_at_sea_takes_the_nearest_land_within_two_cells(tmp_path, truth):
    sea = {name: values.copy() for name, values in truth.items()}
    for values in sea.values():
        values[:, :, :2] = np.nan  # the two western columns
    files = g.write_cru_jra(tmp_path, sea)
    with netCDF4.Dataset(next(tmp_path.glob("*tmp*")), "a") as file:
        file["tmp"][:, :, :2] = -999.0
    forcing = open_forcing({"source": "cru_jra", "files": files}, g.cells())
    note = next(n for n in forcing.notes if "no data" in n)
    assert "8 of 20 cells" in note and "km" in note
    read = forcing.read(days("2001-01-01", 1))["pressure"]
    assert np.array_equal(read[0], read[2]) and np.array_equal(read[1], read[2])
    for values in sea.values():
        values[:, :, :3] = np.nan
    sentence = fault("cru_jra", g.write_cru_jra(tmp_path / "b", sea))
    assert "4 of 20 cells have no forcing within 2 cells" in sentence and "longitude -1.25" in sentence


def test_a_single_missing_time_is_a_fault_and_not_a_sea(tmp_path, truth):
    broken = {name: values.copy() for name, values in truth.items()}
    broken["LWdown"][24 * 3 : 24 * 3 + 6, 1, 2] = np.nan
    sentence = fault("cru_jra", g.write_cru_jra(tmp_path, broken))
    assert "dlwrf.2001" in sentence and "2001-01-04 00:00" in sentence
    assert "latitude 45.75, longitude -0.25" in sentence and "1 value of 1 cell" in sentence


def test_files_may_be_named_in_many_ways(tmp_path, truth):
    pattern = g.write_isimip3(tmp_path, truth)
    names = [n for n in g.daily(truth)]
    expected = open_forcing({"source": "isimip3", "files": pattern}, g.cells()).read(days("2001-01-02", 1))
    by_variable = {n: str(tmp_path / f"{n}_*.nc") for n in names}
    ways = [
        (str(tmp_path), "."), ("*.nc", tmp_path), ([f"{n}_gswp3*.nc" for n in names], tmp_path), (by_variable, "."),
        ({**by_variable, "tas": "tas_gswp3-w5e5_obsclim_2001-2001.nc"}, tmp_path),
        ("{variable}_gswp3-w5e5_obsclim_{year}-2001.nc", tmp_path),
    ]  # fmt: skip
    for files, folder in ways:
        read = open_forcing({"source": "isimip3", "files": files}, g.cells(), folder).read(days("2001-01-02", 1))
        assert all(np.array_equal(read[name], expected[name]) for name in expected)
    (tmp_path / "tas_gswp3-w5e5_obsclim_notes.nc").write_text("none of ours")
    assert len(find_files(pattern, ".", {"Tair": ("tas",)})[0][1]) == 1


def test_a_zarr_store_reads_as_the_file_it_was_made_from(tmp_path, truth):
    pytest.importorskip("zarr", reason="zarr is not installed")
    path = g.write_alma(tmp_path / "a.nc", truth)
    g.write_zarr(tmp_path / "a.zarr", path)
    a, b = (
        open_forcing({"source": "alma", "files": f}, g.cells(), tmp_path).read(days("2001-01-02", 2))
        for f in ("a.nc", "a.zarr")
    )
    assert all(np.array_equal(a[name], b[name]) for name in a)


def test_many_files_need_few_handles(tmp_path, truth):
    files = g.write_era5(tmp_path, truth, files=12)
    forcing = open_forcing({"source": "era5", "files": files}, g.cells())
    forcing.handles.close()
    forcing.handles.limit = 2
    read = forcing.read(days("2001-01-01", 8))
    agree(read["air_temperature"][:, 1:-1], g.of_cells(truth["Tair"][:-1]))
    assert len(forcing.handles._open) == 2


def test_climatology_is_that_of_complete_years(tmp_path):
    one = np.array([45.25]), np.array([0.25])
    truth = {k: v[:, :1, 3:4] for k, v in number_of_day(365 * 2 + 31).items()}
    files = g.write_isimip3(tmp_path, truth, 2001, latitude=one[0], longitude=one[1])
    forcing = open_forcing({"source": "isimip3", "files": files}, g.cells(*one))
    climate = forcing.climatology()
    assert climate["years"] == [2001, 2002] and climate["temperature"].shape == (1, 12)
    day = np.arange(31)  # January of both years
    expected = (np.mean(25.0 + day * 0.01) * 10 + np.mean(25.0 + (day + 365) * 0.01) * 10) / 2 - 273.15
    assert abs(climate["temperature"][0, 0] - expected) < 1e-4  # float32 of 300 K: 3e-5 K
    rate = truth["Precip"][0, 0, 0]
    agree(climate["precipitation"][0, :2], np.array([31.0, 28.0]) * 86400.0 * rate)
    assert forcing.climatology() is climate
    assert any("2001 to 2002" in note for note in forcing.notes)


# --- monthly ----------------------------------------------------------------------------------------------------------


def test_monthly_fields_come_back_as_the_means_of_the_days(tmp_path):
    fields = g.write_monthly(tmp_path / "m.nc")
    domain = g.cells()
    forcing = open_forcing({"source": "monthly", "files": "m.nc", "seed": 3}, domain, tmp_path)
    assert (str(forcing.first_day), str(forcing.last_day)) == ("2001-01-01", "2002-12-31")
    july = forcing.read(days("2002-07-01", 31))
    agree(july["air_temperature"][:, 1:-1].mean(axis=1) - 273.15, g.of_cells(fields["tmp"])[:, 18], 1e-6)
    agree(july["precipitation"][:, 1:-1].sum(axis=1) * 86400.0, g.of_cells(fields["pre"])[:, 18], 1e-6)
    agree(july["shortwave_down"][:, 1:-1].mean(axis=1), g.of_cells(fields["rsds"])[:, 18], 1e-6)
    climate = forcing.climatology()
    agree(climate["precipitation"], g.of_cells(fields["pre"]).reshape(20, 2, 12).mean(axis=1))


def test_twelve_months_serve_any_year_and_wind_has_a_stated_default(tmp_path):
    g.write_monthly(tmp_path / "m.nc", n_year=1, wind=False)
    forcing = open_forcing({"source": "monthly", "files": "m.nc"}, g.cells(), tmp_path)
    assert forcing.first_day is None
    assert any("2 m s-1" in note for note in forcing.notes)
    read = forcing.read(days("1900-03-01", 31))
    agree(read["wind_speed"][:, 1:-1].mean(axis=1), np.full(20, 2.0))


def test_monthly_files_have_their_own_faults(tmp_path):
    g.write_monthly(tmp_path / "m.nc")
    with netCDF4.Dataset(tmp_path / "m.nc", "a") as file:
        file["time"][5:] = file["time"][5:] + 31.0
    sentence = fault("monthly", "m.nc", folder=tmp_path)
    assert "2001-05 to 2001-07" in sentence
    g.write_monthly(tmp_path / "n.nc")
    with netCDF4.Dataset(tmp_path / "n.nc", "a") as file:
        file["rsds"].units = "J m-2"
        file.renameVariable("dtr", "anything")
    assert "rsds has the unit 'J m-2'" in fault("monthly", "n.nc", folder=tmp_path)
    with netCDF4.Dataset(tmp_path / "n.nc", "a") as file:
        file["rsds"].units = "W m-2"
    assert "daily range is missing" in fault("monthly", "n.nc", folder=tmp_path)


# --- faults -----------------------------------------------------------------------------------------------------------


def alma_file(tmp_path, truth, **options):
    return g.write_alma(tmp_path / "a.nc", truth, **options)


def change(path, what):
    with netCDF4.Dataset(path, "a") as file:
        what(file)
    return str(path)


def set_time(file, at, by):
    file["time"][at] = file["time"][at] + by


def drop(file, name):
    file.renameVariable(name, "x_" + name)


FAULTS = [
    (lambda f: set_time(f, slice(50, None), 24), ["time has a gap at 1 place", "2001-01-03 01:00", "2001-01-04 02:00"]),
    (lambda f: set_time(f, 50, -1), ["time occurs twice", "2001-01-03 01:00"]),
    (lambda f: set_time(f, 50, -2), ["time runs backwards"]),
    (lambda f: f["Tair"].delncattr("units"), ["Tair has no unit", "K, degC"]),
    (lambda f: f["SWdown"].setncattr("units", "cal"), ["SWdown has the unit 'cal'", "W m-2, J m-2 (per interval)"]),
    (lambda f: f["time"].setncattr("calendar", "julian"), ["calendar 'julian'", "360_day"]),
    (lambda f: f["time"].delncattr("units"), ["'time' has no units", "hours since"]),
    (lambda f: f["time"].setncattr("units", "day as %Y%m%d.%f"), ["'day as %Y%m%d.%f'"]),
    (lambda f: drop(f, "LWdown"), ["longwave radiation is missing", "does not estimate longwave", "source: monthly"]),
    (lambda f: drop(f, "Wind"), ["wind is missing", "Wind_E"]),
    (lambda f: f["Tair"].setncattr("units", "degC"), ["Tair give air_temperature =", "180 to 340", "of 20 cells"]),
    (lambda f: f["SWdown"].__setitem__((30, 1, 1), -80.0), ["shortwave_down = -80", "2001-01-02 06:00", "45.75"]),
    (lambda f: f["Rainf"].__setitem__((30, 1, 1), np.nan), ["Rainf is missing at 2001-01-02 06:00", "of 1 cell in"]),
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(FAULTS)))
def test_a_fault_of_a_file_is_one_sentence(tmp_path, truth, number):
    what, words = FAULTS[number]
    sentence = fault("alma", change(alma_file(tmp_path, truth), what))
    assert sentence.startswith(("a.nc", str(tmp_path)))
    for word in words:
        assert word in sentence


def test_a_truncated_file_is_named(tmp_path, truth):
    path = alma_file(tmp_path, truth)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    assert "a.nc cannot be read: it is truncated or corrupt" in fault("alma", str(path))


def test_damage_inside_a_file_is_named_when_it_is_read(tmp_path, truth):
    path = tmp_path / "a.nc"
    g.write_alma(path, truth, chunk=(24, 4, 5))
    with netCDF4.Dataset(path) as file:
        assert file["Tair"].chunking() == [24, 4, 5]
    content = bytearray(path.read_bytes())
    starts = [i for i in range(len(content) - 1) if content[i] == 0x78 and content[i + 1] in (0x5E, 0x01, 0x9C)]
    for start in starts[4:]:  # compressed chunks after the first: their bytes are no deflate stream any more
        content[start : start + 30] = b"\xff" * 30
    path.write_bytes(bytes(content))
    sentence = fault("alma", str(path))
    assert "a.nc: " in sentence and "cannot be read, the file is truncated or corrupt" in sentence
    assert "Reading from 2001-01-" in sentence


def test_a_missing_year_and_an_overlap_are_named(tmp_path):
    one = np.array([45.25]), np.array([0.25])
    truth = {k: v[:, :1, 3:4] for k, v in number_of_day(365 * 3).items()}
    pattern = g.write_cru_jra(tmp_path, truth, 2001, latitude=one[0], longitude=one[1])
    (tmp_path / "crujra.v2.5.5d.pre.2002.365d.noc.nc").unlink()
    sentence = fault("cru_jra", pattern, g.cells(*one), read=False)
    assert "there is no file of pre for 2002, between crujra.v2.5.5d.pre.2001" in sentence
    (tmp_path / "crujra.v2.5.5d.pre.2002.365d.noc.nc").write_bytes(
        (tmp_path / "crujra.v2.5.5d.pre.2001.365d.noc.nc").read_bytes()
    )
    sentence = fault("cru_jra", pattern, g.cells(*one), read=False)
    assert "overlap" in sentence and "pre.2001" in sentence and "pre.2002" in sentence


def test_variables_on_two_grids_are_refused(tmp_path, truth):
    pattern = g.write_isimip3(tmp_path, truth)
    with netCDF4.Dataset(tmp_path / "rsds_gswp3-w5e5_obsclim_2001-2001.nc", "a") as file:
        file["lon"][:] = file["lon"][:] + 0.25
    sentence = fault("isimip3", pattern)
    assert "rsds has another grid" in sentence and "longitude -1" in sentence


def test_days_outside_the_files_name_what_there_is(tmp_path, truth):
    forcing = open_forcing({"source": "isimip3", "files": g.write_isimip3(tmp_path, truth)}, g.cells())
    with pytest.raises(
        ConcertoError, match="asked for 2001-01-07 to 2001-01-10, the files cover 2001-01-01 to 2001-01-08"
    ):
        forcing.read(days("2001-01-07", 4))


def test_the_two_era5_products_are_not_confused(tmp_path, truth):
    summer = g.weather(4, first_day="2001-06-20")
    land = g.write_era5_land(tmp_path / "land", summer, "2001-06-20")
    assert "the source is era5_land" in fault("era5", land)
    hourly = g.write_era5(tmp_path / "era5", summer, "2001-06-20")
    assert "the source is era5" in fault("era5_land", hourly)
    rates = change(g.write(
        tmp_path / "r.nc", {"ssrd": (summer["SWdown"], "W m-2")}, np.arange(96), "hours since 2001-06-20",
        g.LATITUDE, g.LONGITUDE), lambda f: None)  # fmt: skip
    assert "since midnight" in fault("era5_land", rates)


def test_what_is_asked_for_must_exist(tmp_path, truth):
    g.write_isimip3(tmp_path, truth)
    assert "'era6'" in fault("era6", "x.nc") and "Did you mean 'era5'" in fault("era6", "x.nc")
    assert "no file" in fault("isimip3", "tas.nc", folder=tmp_path).lower()
    assert "{model}" in fault("isimip3", "{model}.nc", folder=tmp_path)
    assert "No file fits '{variable}_2001.nc'" in fault("isimip3", "{variable}_2001.nc", folder=tmp_path)
    assert "'tass' is not a variable" in fault("isimip3", {"tass": "tas*.nc"}, folder=tmp_path)
    assert "forcing.files is not given" in fault("isimip3", None)
    assert "interval is 86400 s; gswp3 has 10800 s" in fault("gswp3", "*.nc", folder=tmp_path)
    assert "no variable of the source cru_jra" in fault("cru_jra", "*.nc", folder=tmp_path)


# --- real files -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "offset", "first", "last"),
    [
        ("walnut_gulch_3hourly_2008", -7, "2008-01-01", "2008-12-31"),
        ("stehekin_hourly_1949-01", -8, "1949-01-01", "1949-01-10"),
    ],
)
def test_real_grids_in_local_time(shared, name, offset, first, last):
    path = shared(f"data/grid/{name}.nc")
    with netCDF4.Dataset(path) as file:
        domain = g.cells(file["lat"][:].data, file["lon"][:].data)
        light = file["SWdown"][:, 0, 0] if "walnut" in name else file["SWdown"][:, 4, 5]
        row, column = (0, 0) if "walnut" in name else (4, 5)
        place = float(file["lat"][row]), float(file["lon"][column])
    forcing = open_forcing({"source": "alma", "files": str(path), "time_offset_hours": offset}, domain)
    assert (str(forcing.first_day), str(forcing.last_day)) == (first, last)
    cell = int(np.argmin(np.abs(domain.latitude - place[0]) + np.abs(domain.longitude - place[1])))
    number = int((forcing.last_day - forcing.first_day).astype(int)) + 1
    read = forcing.read(days(first, number))
    hour = np.arange(24)
    course = read["shortwave_down"][cell, 1:-1].reshape(-1, 24).mean(axis=0)
    # the centre of the daily light is solar noon; 0.5 h for the equation of time, hills and the ends of the record
    centre = np.angle((course * np.exp(2j * np.pi * (hour + 0.5) / 24.0)).sum()) * 12.0 / np.pi % 24.0
    assert abs(centre - (12.0 - place[1] / 15.0)) < 0.5
    # a west offset moves the end of the record to the beginning of a day outside: what is in is all but that
    inside = read["shortwave_down"][cell, 1 - offset : -1].sum() * 3600.0
    step = 86400 // (8 if "walnut" in name else 24)
    lost = light[len(light) + offset * 3600 // step - (1 if "walnut" in name else 0) :].sum() * step
    assert abs(inside - light.sum() * step) <= lost + 1e-6 * inside
    if "walnut" in name:
        climate = forcing.climatology()
        assert climate["years"] == [2008, 2008]
        # semi-arid Arizona with summer rain: some 450 mm fell in 2008, most of it in July to September
        annual = climate["precipitation"].sum(axis=1)
        assert (annual > 300.0).all() and (annual < 600.0).all()
        assert (climate["precipitation"][:, 6:9].sum(axis=1) > 0.6 * annual).all()
    else:
        assert any("16 of 80 cells" in note for note in forcing.notes)


def test_real_months_of_points(shared):
    from types import SimpleNamespace

    path = shared("data/grid/monthly_points_2001-2016.nc")
    with netCDF4.Dataset(path) as file:
        lat, lon = file["latitude"][:].data, file["longitude"][:].data
        mean = 0.5 * (file["Tmin"][:] + file["Tmax"][:])
        rain = file["Precip"][:]
    pick = np.arange(0, 194, 20)
    domain = SimpleNamespace(
        latitude=lat[pick], longitude=lon[pick], elevation=np.zeros(pick.size), cell_id=np.arange(pick.size)
    )
    forcing = open_forcing({"source": "monthly", "files": str(path)}, domain)
    assert (str(forcing.first_day), str(forcing.last_day)) == ("2001-01-01", "2016-12-31")
    read = forcing.read(days("2004-02-01", 29))
    agree(read["air_temperature"][:, 1:-1].mean(axis=1), mean[pick, 37].astype(float) + 273.15, 1e-6)
    agree(read["precipitation"][:, 1:-1].mean(axis=1) * 86400.0, np.maximum(rain[pick, 37], 0).astype(float), 1e-6)
