"""Forcing in time: means stay means, the sun rises when it should, and cells do not see each other."""

import numpy as np
import pytest

from concerto.errors import ConcertoError
from concerto.forcing.derive import saturation_pressure, snow_fraction, specific_humidity
from concerto.forcing.disaggregate import COLUMNS, model_steps, uniform_hash
from concerto.forcing.weather import solar_geometry
from concerto.simulation.forcing import noon_weight
from concerto.tables import loader

STEP = 1800
MEANS = ("air_temperature", "specific_humidity", "pressure", "shortwave_down", "longwave_down", "wind_speed")
ROUND_OFF = 1e-13  # of 48 added values: 48 times 1.1e-16 and some for the products
PLACE = {name: entry.column - 1 for name, entry in loader.variables("forcing").items()}


def days_from(first, number):
    return np.datetime64(first, "D") + np.arange(number)


def make_native(n_cell, n_day, per_day, seed=3):
    """Rough weather: every interval on its own, with wet, dry, calm, dark and saturated ones."""
    random = np.random.default_rng(seed)
    shape = (n_cell, n_day * per_day + 2)
    native = {
        "air_temperature": random.normal(280.0, 10.0, shape),
        "pressure": random.normal(95000.0, 800.0, shape),
        "shortwave_down": np.maximum(random.normal(100.0, 120.0, shape), 0.0),
        "longwave_down": random.normal(300.0, 30.0, shape),
        "wind_speed": np.maximum(random.normal(2.0, 3.0, shape), 0.0),
        "precipitation": np.maximum(random.normal(0.0, 2e-5, shape), 0.0),
    }
    saturated = saturation_pressure(native["air_temperature"])
    native["specific_humidity"] = specific_humidity(random.random(shape) * saturated, native["pressure"])
    if per_day == 1:
        native["air_temperature_min"] = native["air_temperature"] - 6.0 * random.random(shape)
        native["air_temperature_max"] = native["air_temperature"] + 6.0 * random.random(shape)
    return native


def places(n_cell, seed=5):
    random = np.random.default_rng(seed)
    return random.uniform(-89.0, 89.0, n_cell), random.uniform(-180.0, 180.0, n_cell)


def steps_of(native, days, native_seconds, latitude, longitude, step=STEP, **options):
    out = model_steps(native, latitude, longitude, days, native_seconds, step, co2=400.0, **options)
    return {name: out[:, column] for name, column in PLACE.items()}


def averaged(values, number):
    return values.reshape(len(values), number, -1).mean(axis=2)


@pytest.mark.parametrize("native_seconds", [3600, 10800, 21600, 86400])
@pytest.mark.parametrize("extremes", [True, False])
def test_every_interval_keeps_its_mean(native_seconds, extremes):
    n_day, per_day = 6, 86400 // native_seconds
    native = make_native(11, n_day, per_day)
    if not extremes:
        native.pop("air_temperature_min", None), native.pop("air_temperature_max", None)
    steps = steps_of(native, days_from("2003-03-28", n_day), native_seconds, *places(11))
    for name in MEANS:
        given, made = native[name][:, 1:-1], averaged(steps[name], n_day * per_day)
        assert np.abs(made - given).max() <= ROUND_OFF * np.abs(given).max(), name
    falls = averaged(steps["rainfall"] + steps["snowfall"], n_day * per_day)
    given = native["precipitation"][:, 1:-1]
    assert np.abs(falls - given).max() <= ROUND_OFF * given.max()


@pytest.mark.parametrize("native_seconds", [10800, 86400])
def test_nothing_leaves_what_is_possible(native_seconds):
    n_day = 20
    native = make_native(40, n_day, 86400 // native_seconds)
    steps = steps_of(native, days_from("2003-01-01", n_day), native_seconds, *places(40))
    for name in ("specific_humidity", "wind_speed", "shortwave_down", "longwave_down", "rainfall", "snowfall"):
        assert steps[name].min() >= 0.0, name
    saturated = specific_humidity(saturation_pressure(steps["air_temperature"]), steps["pressure"])
    room = averaged(saturated, native["wind_speed"].shape[1] - 2) > native["specific_humidity"][:, 1:-1]
    excess = averaged(steps["specific_humidity"] - saturated, room.shape[1]).reshape(room.shape)
    highest = (steps["specific_humidity"] / saturated).reshape(40, room.shape[1], -1).max(axis=2)
    # where the mean allows it no step is above saturation (round-off of two formulas for it)
    assert highest[room].max() <= 1.0 + 1e-12
    assert room.mean() > 0.5 and excess[room].max() < 0.0


def test_air_wetter_than_saturation_keeps_its_mean():
    native = make_native(3, 2, 4)
    native["specific_humidity"][:] = 0.03
    native["air_temperature"][:] = 280.0
    steps = steps_of(native, days_from("2003-06-01", 2), 21600, *places(3))
    assert np.allclose(averaged(steps["specific_humidity"], 8), 0.03, rtol=1e-14, atol=0.0)
    saturated = specific_humidity(saturation_pressure(steps["air_temperature"]), steps["pressure"])
    # the excess is even in each interval, to the round-off of 0.03
    excess = (steps["specific_humidity"] - saturated).reshape(3, 8, 12)
    assert np.ptp(excess, axis=2).max() < 1e-15 and excess.min() > 0.0


def test_a_smooth_course_is_drawn_more_closely_than_by_its_means():
    # A daily wave in means of 6 hours: parabolas are measured to be within 26 % of its amplitude, means within 64 %.
    n_day = 4
    hour = (np.arange((n_day * 4 + 2) * 12) - 12 + 0.5) / 2.0
    truth = 285.0 + 8.0 * np.cos((hour - 14.0) * np.pi / 12.0)
    native = make_native(1, n_day, 4)
    native["air_temperature"] = truth.reshape(1, -1, 12).mean(axis=2)
    made = steps_of(native, days_from("2003-06-01", n_day), 21600, [40.0], [0.0])["air_temperature"][0]
    means = np.repeat(native["air_temperature"][0, 1:-1], 12)
    assert np.abs(made - truth[12:-12]).max() < 0.3 * 8.0
    assert np.abs(means - truth[12:-12]).max() > 0.5 * 8.0
    assert np.std(made - truth[12:-12]) < 0.5 * np.std(means - truth[12:-12])
    # and it is continuous: no step changes more than three times the greatest true change
    assert np.abs(np.diff(made)).max() < 3.0 * np.abs(np.diff(truth)).max()


def test_points_are_joined_by_lines():
    native = make_native(5, 3, 8)
    steps = steps_of(
        native, days_from("2003-06-01", 3), 10800, *places(5), instantaneous=("air_temperature", "wind_speed")
    )
    for name in ("air_temperature", "wind_speed"):
        made = steps[name].reshape(5, 24, 6)
        start, end = native[name][:, 1:-1], native[name][:, 2:]
        # extrapolated by half a step, the line meets the points at both ends
        assert np.allclose(1.5 * made[..., 0] - 0.5 * made[..., 1], start, rtol=1e-13, atol=1e-12)
        assert np.allclose(1.5 * made[..., -1] - 0.5 * made[..., -2], end, rtol=1e-13, atol=1e-12)


def test_equal_intervals_are_copied_and_finer_ones_averaged():
    native = make_native(9, 2, 48)
    latitude, longitude = places(9)
    days = days_from("2003-06-01", 2)
    same = steps_of(native, days, STEP, latitude, longitude)
    hourly = steps_of(native, days, STEP, latitude, longitude, step=3600)
    for name in MEANS:
        assert np.array_equal(same[name], native[name][:, 1:-1]), name
        pairs = native[name][:, 1:-1].reshape(9, 48, 2).mean(axis=2)
        assert np.allclose(hourly[name], pairs, rtol=1e-15, atol=0.0), name
    assert np.allclose(same["rainfall"] + same["snowfall"], native["precipitation"][:, 1:-1], rtol=1e-15, atol=0.0)
    points = steps_of(native, days, STEP, latitude, longitude, step=3600, instantaneous=("pressure",))["pressure"]
    p = native["pressure"]
    trapezoid = 0.25 * (p[:, 1:-1:2] + 2.0 * p[:, 2:-1:2] + p[:, 3::2])
    assert np.allclose(points, trapezoid, rtol=1e-15, atol=0.0)


def test_the_sun_is_that_of_the_exact_integral():
    latitude = np.array([-90.0, -66.5, -20.0, 0.0, 23.4, 50.0, 66.6, 71.3, 90.0, 10.0])
    longitude = np.array([0.0, 179.9, -180.0, 12.3, 77.0, -0.1, 18.8, -156.8, 5.0, 100.0])
    days = np.datetime64("2004-01-01") + np.arange(0, 366, 7)
    native = make_native(10, len(days), 1)
    native["shortwave_down"][:] = 100.0
    steps = steps_of(native, days, 86400, latitude, longitude)
    time = (days.astype("datetime64[s]")[:, None] + np.arange(48) * np.timedelta64(STEP, "s")).ravel()
    for c in range(10):
        sun = solar_geometry(time, STEP, latitude[c], longitude[c])
        # the same formula but for the sine at sunrise, a square root: 1e-8 of a short day at worst, 1e-10 here
        assert np.allclose(steps["cosine_zenith"][c], sun["cosine_sunlit"], rtol=0.0, atol=1e-9)
        assert np.array_equal(steps["noon_weight"][c], noon_weight(time, STEP, longitude[c]))
        top = sun["top_of_atmosphere"].reshape(-1, 48)
        made = steps["shortwave_down"][c].reshape(-1, 48)
        bright = top.mean(axis=1) > 200.0
        # in proportion to the sun above the atmosphere; its distance changes by up to 3e-4 in half a day
        expected = 100.0 * top[bright] / top[bright].mean(axis=1)[:, None]
        assert np.allclose(made[bright], expected, rtol=6e-4, atol=1e-6)
    assert np.array_equal(steps["day_of_year"][0].reshape(-1, 48)[:, 0], 1.0 + np.arange(0, 366, 7))


def test_radiation_without_a_computed_sun_is_even_and_never_more_than_the_sun_gives():
    native = make_native(2, 3, 4)
    native["shortwave_down"][:] = 1.5
    steps = steps_of(native, days_from("2003-12-20", 3), 21600, [85.0, 64.0], [0.0, 0.0])
    assert np.all(steps["shortwave_down"][0] == 1.5)
    assert np.all(steps["cosine_zenith"][0] == 0.0)
    top = 1361.0 * 1.04 * steps["cosine_zenith"][1]  # 1.04: the sun is nearest in January
    assert np.all(steps["shortwave_down"][1] <= top + 1.5)
    assert steps["shortwave_down"][1].max() > 1.5  # the noon of the second place has sun


def test_days_have_their_range_and_are_warmest_in_the_afternoon():
    n_day = 5
    native = make_native(30, n_day, 1)
    latitude, longitude = places(30)
    latitude *= 60.0 / 90.0
    for name, offset in (("air_temperature", 0.0), ("air_temperature_min", -5.0), ("air_temperature_max", 7.0)):
        native[name] = np.full_like(native[name], 285.0) + offset
    steps = steps_of(native, days_from("2003-03-20", n_day), 86400, latitude, longitude)
    kelvin = steps["air_temperature"].reshape(30, n_day, 48)
    # to the round-off of 300 K
    assert np.allclose(np.ptp(kelvin, axis=2), 12.0, rtol=0.0, atol=1e-11)
    solar = (np.arange(48) + 0.5) / 2.0 + longitude[:, None] / 15.0
    at_maximum = solar[np.arange(30), kelvin[:, 2].argmax(axis=1)] % 24.0
    at_minimum = solar[np.arange(30), kelvin[:, 2].argmin(axis=1)] % 24.0
    # 14 h solar time and sunrise at 6 h, half a step, and the equation of time of 8 minutes
    assert np.all(np.abs(at_maximum - 14.0) < 0.5)
    assert np.all(np.abs(at_minimum - 6.0) < 0.75)
    # same days in a row: midnight is no break
    change = np.abs(np.diff(steps["air_temperature"], axis=1))
    assert change[:, 47::48].max() <= change.max()
    assert change.max() < 2.0


@pytest.mark.parametrize("first", ["2003-06-20", "2003-12-20"])
def test_days_without_night_and_nights_without_day_have_a_course(first):
    native = make_native(4, 3, 1)
    native["shortwave_down"][:] = 0.0 if first.endswith("12-20") else 300.0
    steps = steps_of(native, days_from(first, 3), 86400, [89.0, 75.0, 68.0, 90.0], [0.0, 90.0, -170.0, 0.0])
    for name in MEANS:
        assert np.all(np.isfinite(steps[name]))
    span = np.ptp(steps["air_temperature"].reshape(4, 3, 48), axis=2)
    given = (native["air_temperature_max"] - native["air_temperature_min"])[:, 1:-1]
    assert np.allclose(span, given, rtol=0.0, atol=1e-11)  # round-off of 300 K


def test_snow_falls_by_the_wet_bulb_of_the_step():
    native = make_native(50, 4, 4)
    native["air_temperature"] = 273.15 + np.random.default_rng(1).uniform(-30.0, 15.0, native["air_temperature"].shape)
    steps = steps_of(native, days_from("2003-03-20", 4), 21600, *places(50))
    total = steps["rainfall"] + steps["snowfall"]
    share = snow_fraction(steps["air_temperature"], steps["specific_humidity"], steps["pressure"])
    # Six Newton steps from the same start; shortcuts where the share is 0 or 1 anyway (1e-15)
    falls = total > 0.0
    assert np.allclose(steps["snowfall"][falls], (share * total)[falls], rtol=1e-9, atol=1e-20)
    kinds = share[falls]
    assert np.any(kinds == 0.0) and np.any(kinds > 0.999999) and np.any((kinds > 0.1) & (kinds < 0.9))


def test_all_snow_stays_snow_and_no_rain_none():
    native = make_native(4, 2, 1)
    total = native.pop("precipitation")
    native["rainfall"], native["snowfall"] = 0.0 * total, total
    steps = steps_of(native, days_from("2003-03-20", 2), 86400, *places(4))
    assert np.all(steps["rainfall"] == 0.0)
    assert np.allclose(averaged(steps["snowfall"], 2), total[:, 1:-1], rtol=1e-13, atol=0.0)
    native["snowfall"] = 0.0 * total
    native["wind_speed"][:] = 0.0
    steps = steps_of(native, days_from("2003-03-20", 2), 86400, *places(4))
    assert not np.any(steps["snowfall"]) and not np.any(steps["wind_speed"])


def test_a_rainy_day_has_one_event_longer_for_much_rain_and_in_the_cold():
    n_day, n_cell = 60, 20
    native = make_native(n_cell, n_day, 1)
    amounts, mean_steps = (2.0, 40.0), {}
    for kelvin in (268.15, 298.15):
        for amount in amounts:
            native["air_temperature"][:] = kelvin
            native["air_temperature_min"][:], native["air_temperature_max"][:] = kelvin - 3.0, kelvin + 3.0
            native["precipitation"][:] = amount / 86400.0
            steps = steps_of(native, days_from("2003-03-20", n_day), 86400, *places(n_cell))
            wet = (steps["rainfall"] + steps["snowfall"]).reshape(n_cell, n_day, 48) > 0.0
            starts = np.diff(np.pad(wet, ((0, 0), (0, 0), (1, 0))).astype(int), axis=2) == 1
            assert np.all(starts.sum(axis=2) == 1)
            mean_steps[kelvin, amount] = wet.sum(axis=2).mean()
    # expected 2.5 h at 25 degC and 10 h in frost, plus 1 h for 30 mm; the sampling error of 1200 days is 0.1 steps
    assert mean_steps[298.15, 2.0] == pytest.approx(2 * 2.57, abs=0.5)
    assert mean_steps[268.15, 2.0] == pytest.approx(2 * 10.07, abs=0.5)
    assert mean_steps[298.15, 40.0] == pytest.approx(2 * 3.83, abs=0.5)


def test_random_numbers_are_even_independent_and_the_same_everywhere():
    days = days_from("1901-01-01", 400)
    numbers = uniform_hash(np.arange(300), days, 0)
    other = uniform_hash(np.arange(300), days, 1)
    assert numbers.min() >= 0.0 and numbers.max() < 1.0
    counts = np.histogram(numbers, 20, (0.0, 1.0))[0]
    # 6000 expected in each class, five standard deviations of 77
    assert np.abs(counts - numbers.size / 20).max() < 5.0 * 77.0
    for a, b in ((numbers, other), (numbers[:-1], numbers[1:]), (numbers[:, :-1], numbers[:, 1:])):
        assert abs(np.corrcoef(a.ravel(), b.ravel())[0, 1]) < 5.0 / np.sqrt(numbers.size)
    # integers only: the bits are a matter of definition, not of the machine
    assert uniform_hash([7], ["2000-02-29"], 1)[0, 0].hex() == "0x1.27b04c7db5838p-1"


@pytest.mark.parametrize("native_seconds", [1800, 21600, 86400])
def test_cells_do_not_depend_on_chunks_neighbours_or_threads(native_seconds):
    n_day, n_cell, per_day = 9, 29, 86400 // native_seconds
    native = make_native(n_cell, n_day, per_day)
    native["leaf_area_index"] = np.random.default_rng(2).random(native["wind_speed"].shape)
    latitude, longitude = places(n_cell)
    days, cells = days_from("2003-12-27", n_day), 1000 + 3 * np.arange(n_cell)

    def run(some, few, **options):
        window = slice(few.start * per_day, few.stop * per_day + 2)
        part = {name: values[some, window] for name, values in native.items()}
        place = latitude[some], longitude[some]
        return model_steps(part, *place, days[few], native_seconds, STEP, cell_id=cells[some], co2=380.0, **options)

    whole = run(slice(None), slice(0, n_day))
    assert np.array_equal(whole, run(slice(None), slice(0, n_day), threads=3))
    chunks = [run(slice(None), slice(a, b)) for a, b in ((0, 4), (4, 5), (5, n_day))]
    assert np.array_equal(whole, np.concatenate(chunks, axis=2))
    for some in (slice(0, 1), slice(3, 20), slice(17, 18), slice(5, None)):
        assert np.array_equal(whole[some], run(some, slice(0, n_day)))


def test_all_columns_are_filled_within_their_bounds():
    native = make_native(6, 3, 4)
    native["leaf_area_index"] = np.full_like(native["wind_speed"], 2.5)
    out = np.full((6, loader.columns("forcing"), 144), np.nan, order="F")
    extra = {
        "nitrogen_deposition": 1e-11,
        "delta13c_air": np.linspace(-8.0, -7.0, 6),
        "delta14c_air": [[1.0, 2.0, 3.0]],
    }
    days, place = days_from("2003-06-01", 3), places(6)
    made = model_steps(native, *place, days, 21600, STEP, co2=np.arange(6) + 400.0, extra=extra, out=out)
    assert made is out
    table = loader.variables("forcing")
    assert set(COLUMNS) == set(table)
    for name, entry in table.items():
        values = out[:, entry.column - 1]
        assert np.all((values >= entry.bounds[0]) & (values <= entry.bounds[1])), name
    assert np.all(out[:, PLACE["co2"]] == np.arange(6)[:, None] + 400.0)
    assert np.all(out[:, PLACE["delta13c_air"]] == np.linspace(-8.0, -7.0, 6)[:, None])
    assert np.array_equal(out[0, PLACE["delta14c_air"]], np.repeat([1.0, 2.0, 3.0], 48))
    assert np.all(out[:, PLACE["prescribed_leaf_area"]] == 2.5)
    native.pop("leaf_area_index")
    assert np.all(steps_of(native, days, 21600, *place)["prescribed_leaf_area"] == -1.0)


def test_days_of_other_years_have_the_sun_of_the_model():
    native = make_native(2, 1, 4)
    out = steps_of(native, days_from("1901-02-28", 1), 21600, *places(2), model_days=days_from("1996-02-29", 1))
    assert np.all(out["day_of_year"] == 60.0)


def test_faults_are_named():
    native = make_native(2, 1, 4)
    days = days_from("2003-01-01", 1)
    with pytest.raises(ConcertoError, match="do not fit"):
        model_steps(native, *places(2), days, 10800, 7200, co2=400.0)
    with pytest.raises(ConcertoError, match="does not divide a day"):
        model_steps(native, *places(2), days, 21600, 1700, co2=400.0)
    with pytest.raises(ConcertoError, match=r"air_temperature has the shape \(2, 6\)"):
        model_steps(native, *places(2), days, 3600, 1800, co2=400.0)
    del native["pressure"]
    with pytest.raises(ConcertoError, match="no pressure"):
        model_steps(native, *places(2), days, 21600, 1800, co2=400.0)


# Site, interval: correlation and root mean square error of temperature (K) and radiation (W m-2) of half-hours made
# from their means of 6 hours and of days. Measured: Tharandt 0.996, 0.69, 0.959, 55.4 and 0.981, 1.49, 0.943, 65.2;
# Walnut Gulch 0.991, 1.03, 0.976, 73.0 and 0.986, 1.32, 0.969, 82.8. The limits leave a tenth of the error.
MEASURED = {
    ("DE-Tha_1998-1998.nc", 21600): (0.994, 0.76, 0.95, 61.0),
    ("DE-Tha_1998-1998.nc", 86400): (0.978, 1.64, 0.935, 72.0),
    ("US-Wkg_2004-2004.nc", 21600): (0.988, 1.14, 0.97, 80.5),
    ("US-Wkg_2004-2004.nc", 86400): (0.982, 1.45, 0.965, 91.0),
}


@pytest.mark.parametrize(("file", "native_seconds"), list(MEASURED))
def test_the_days_of_a_flux_tower_come_back_from_their_means(file, native_seconds, shared):
    netcdf = pytest.importorskip("netCDF4")
    with netcdf.Dataset(shared("data/sites") / file) as data:
        offset = float(
            data["time"].utc_offset_hours if "utc_offset_hours" in data["time"].ncattrs() else data.utc_offset_hours
        )
        place = [float(np.squeeze(data[name][:])) for name in ("latitude", "longitude")]
        start = netcdf.num2date(data["time"][0], data["time"].units).isoformat()
        names = {"air_temperature": "Tair", "specific_humidity": "Qair", "pressure": "Psurf", "wind_speed": "Wind"}
        names |= {"shortwave_down": "SWdown", "longwave_down": "LWdown", "precipitation": "Rainf"}
        truth = {name: np.squeeze(np.asarray(data[there][:], float)) for name, there in names.items()}
    first_utc = np.datetime64(start, "s") - np.timedelta64(round(offset * 3600.0), "s")
    before = int((-(first_utc - first_utc.astype("datetime64[D]")).astype(int)) % 86400 // STEP)
    n_day = (len(truth["wind_speed"]) - before) // 48
    days = days_from((first_utc + before * np.timedelta64(STEP, "s")).astype("datetime64[D]"), n_day)
    truth = {name: values[before : before + 48 * n_day] for name, values in truth.items()}
    pieces = {name: values.reshape(-1, native_seconds // STEP) for name, values in truth.items()}
    native = {name: values.mean(axis=1) for name, values in pieces.items()}
    native["air_temperature_min"] = pieces["air_temperature"].min(axis=1)
    native["air_temperature_max"] = pieces["air_temperature"].max(axis=1)
    native = {name: np.concatenate((v[:1], v, v[-1:]))[None] for name, v in native.items()}
    made = steps_of(native, days, native_seconds, place[:1], place[1:])
    limits = MEASURED[file, native_seconds]
    for name, least, most in (("air_temperature", *limits[:2]), ("shortwave_down", *limits[2:])):
        error = np.sqrt(np.mean((made[name][0] - truth[name]) ** 2))
        correlation = np.corrcoef(made[name][0], truth[name])[0, 1]
        assert correlation > least and error < most, (name, correlation, error)
