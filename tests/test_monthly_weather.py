"""Weather from monthly fields: every month keeps its climate, every cell its own weather."""

import numpy as np
import pytest

from concerto.errors import ConcertoError
from concerto.forcing.derive import saturation_pressure, specific_humidity
from concerto.forcing.disaggregate import model_steps
from concerto.forcing.monthly import FIELDS, MonthlyForcing, is_leap, month_lengths
from concerto.forcing.weather import climate_normals
from concerto.tables import loader

pytestmark = pytest.mark.release  # Python around the core; the core itself is run with checks elsewhere

SITES = list(climate_normals().values())
N = len(SITES)


def fields(copies=1):
    return {name: np.array([site[name] for site in SITES] * copies, dtype=float) for name in FIELDS}


def make(normals=None, copies=1, seed=1, **options):
    place = [np.array([site[name] for site in SITES] * copies) for name in ("latitude", "longitude", "elevation")]
    return MonthlyForcing(normals or fields(copies), *place, 5 + 3 * np.arange(N * copies), seed, **options)


def month_sum(daily, year):
    return np.add.reduceat(daily, np.concatenate(([0], np.cumsum(month_lengths(year))[:-1])), axis=1)


def month_mean(daily, year):
    return month_sum(daily, year) / month_lengths(year)


@pytest.fixture(scope="module")
def years():
    source = make()
    return {year: source.year(year) for year in range(2001, 2011)}


def test_every_month_of_every_year_has_the_means_and_sums_of_its_field(years):
    given = fields()
    for year, day in years.items():
        # sums of 31 values: round-off of their size, 1e-13
        assert np.allclose(
            month_mean(day["air_temperature"], year) - 273.15, given["temperature"], rtol=0.0, atol=1e-11
        )
        assert np.allclose(month_mean(day["shortwave_down"], year), given["shortwave"], rtol=1e-12, atol=1e-12)
        assert np.allclose(
            86400.0 * month_sum(day["precipitation"], year), given["precipitation"], rtol=1e-12, atol=0.0
        )
        assert np.allclose(month_mean(day["wind_speed"], year), given["wind"], rtol=1e-12, atol=0.0)
        span = month_mean(day["air_temperature_max"] - day["air_temperature_min"], year)
        assert np.allclose(span, given["range"], rtol=0.0, atol=1e-11)


def test_months_have_their_wet_days(years):
    given = fields()
    wet = np.array([month_sum((day["precipitation"] > 0.0).astype(float), year) for year, day in years.items()])
    least = np.where(given["precipitation"] > 0.0, np.maximum(np.floor(given["wet_days"]), 1.0), 0.0)
    # whole numbers of days are kept exactly; fractions go up or down, a dry month with a little rain has one day
    assert np.all((wet >= least) & (wet <= np.maximum(least, np.ceil(given["wet_days"]))))
    fractional = fields()
    fractional["wet_days"] = np.full((N, 12), 6.3)
    source = make(fractional)
    number = [month_sum((source.year(y)["precipitation"] > 0.0).astype(float), y).mean() for y in range(1, 11)]
    rainy = (given["precipitation"] > 0.0).mean()
    # 10 years of 12 months and N sites: standard error 0.46 / sqrt(120 N)
    assert np.mean(number) / rainy == pytest.approx(6.3, abs=4.0 * 0.46 / np.sqrt(120.0 * N * rainy) + 0.01)


def test_wet_days_follow_wet_days_and_are_darker(years):
    wet = np.concatenate([day["precipitation"] > 0.0 for day in years.values()], axis=1)
    share = np.repeat(wet.mean(axis=1)[:, None], wet.shape[1], axis=1)
    moderate = (share > 0.2) & (share < 0.6)
    after_wet = wet[:, 1:][wet[:, :-1] & moderate[:, 1:]].mean()
    after_dry = wet[:, 1:][~wet[:, :-1] & moderate[:, 1:]].mean()
    # Geng et al. 1986 have 0.25 within a month; the seasons and the sites add to it
    assert 0.15 < after_wet - after_dry < 0.45
    sky = np.concatenate([day["shortwave_down"] for day in years.values()], axis=1)
    summer = sky > 50.0
    assert sky[wet & summer].mean() < 0.9 * sky[~wet & summer].mean()


def test_days_vary_and_remember_the_day_before(years):
    warmth = np.concatenate([day["air_temperature"] for day in years.values()], axis=1)
    anomaly = (
        warmth
        - np.mean([day["air_temperature"][:, :365].copy() for day in years.values()], axis=0)[
            :, np.concatenate([np.minimum(np.arange(365 + is_leap(year)), 364) for year in years])
        ]
    )
    one = [np.corrcoef(row[:-1], row[1:])[0, 1] for row in anomaly]
    # memory 0.70, less what the months with their fixed means take away
    assert 0.5 < np.mean(one) < 0.75
    assert np.all(anomaly.std(axis=1) > 0.8)


def test_new_year_is_no_break(years):
    for name, most in (("air_temperature", 1.6), ("pressure", 1.6), ("longwave_down", 1.6)):
        ends = [np.abs(years[y + 1][name][:, 0] - years[y][name][:, -1]) for y in range(2001, 2010)]
        inside = [np.abs(np.diff(years[y][name][:, :20], axis=1)) for y in range(2001, 2011)]
        # 9 New Years of each site against its January; means of 9 |x| scatter by a quarter
        assert np.mean(ends) < most * np.mean(inside), name


def test_all_values_are_possible(years):
    table = loader.variables("forcing")
    for day in years.values():
        for name, values in day.items():
            key = name.removesuffix("_min").removesuffix("_max")
            low, high = table[key].bounds if key in table else (0.0, 0.1)
            assert np.all((values >= low) & (values <= high)), name
        saturated = specific_humidity(saturation_pressure(day["air_temperature"]), day["pressure"])
        assert np.all(day["specific_humidity"] <= saturated)
        emissivity = day["longwave_down"] / (5.670374e-8 * day["air_temperature"] ** 4)
        # Prata's dry sky is 0.65; the mean of T^4 exceeds the mean's by up to 1 %
        assert emissivity.min() > 0.6 and emissivity.max() < 1.02 and 0.75 < emissivity.mean() < 0.95


def test_humidity_is_that_of_the_field(years):
    humid = []
    for year, day in years.items():
        vapour = day["specific_humidity"] * day["pressure"] / (0.622 + 0.378 * day["specific_humidity"])
        humid.append(month_mean(vapour / saturation_pressure(day["air_temperature"]), year))
    # against the saturation of the mean instead of the mean over the day: up to a seventh less for ranges of 18 K
    difference = np.mean(humid, axis=0) - fields()["humidity"] / 100.0
    assert difference.max() < 0.02 and difference.min() > -0.12
    dry = fields()
    saturated = saturation_pressure(dry["temperature"] + 273.15)
    dry["vapour_pressure_deficit"] = saturated * (1.0 - dry.pop("humidity") / 100.0)
    source = make(dry)
    one, other = source.year(2001)["specific_humidity"], years[2001]["specific_humidity"]
    # deficits of the mean temperature for those of the day: close, not the same
    assert np.abs(one.mean(axis=1) / other.mean(axis=1) - 1.0).max() < 0.2
    assert any("deficit" in note for note in source.notes)


def test_polar_night_and_rainless_months_stay_so():
    normals = fields()
    normals["precipitation"][:] = 0.0
    normals["wind"][:] = 0.0
    tundra = [k for k, site in enumerate(SITES) if site["latitude"] > 70.0]
    day = make(normals).year(2003)
    assert not np.any(day["precipitation"]) and not np.any(day["wind_speed"])
    assert tundra and np.all(day["shortwave_down"][tundra, 340:] == 0.0)
    normals["shortwave"][tundra, 11] = 2.0  # a field that has light where there is no sun keeps it
    assert np.allclose(make(normals).year(2003)["shortwave_down"][tundra, 340:], 2.0, rtol=1e-12)


def test_weather_depends_on_seed_cell_and_year_alone():
    source = make(copies=2)
    whole = source.year(2004)
    for some in (slice(0, 1), slice(2, 9), slice(7, 8), slice(3, None)):
        part = source.subset(some).year(2004)
        for name in whole:
            assert np.array_equal(whole[name][some], part[name]), name
    fresh = make(copies=2)
    fresh.year(1999), fresh.year(2004), fresh.year(1850)
    assert all(np.array_equal(whole[name], fresh.year(2004)[name]) for name in whole)
    # the same climate twice under two numbers is two weathers, and so are years and seeds
    assert not np.any(np.all(whole["air_temperature"][:N] == whole["air_temperature"][N:], axis=1))
    assert not np.array_equal(whole["air_temperature"][:, :365], source.year(2005)["air_temperature"])
    assert not np.array_equal(whole["air_temperature"], make(copies=2, seed=2).year(2004)["air_temperature"])


def test_neighbouring_cells_and_years_are_not_alike():
    normals = {name: np.repeat(values[:1], 40, axis=0) for name, values in fields().items()}
    source = MonthlyForcing(normals, np.full(40, 50.0), np.zeros(40), np.zeros(40), np.arange(40), 1)
    series = source.year(2001)["pressure"]
    correlation = np.corrcoef(series)[np.triu_indices(40, 1)]
    # 365 days with memory 0.45: standard error 0.064; 780 pairs
    assert np.abs(correlation).max() < 4.5 * 0.064 and abs(correlation.mean()) < 0.02


def test_reading_gives_the_days_asked_for_and_one_beside_each():
    source = make()
    days = np.arange("2003-12-29", "2004-01-03", dtype="datetime64[D]")
    read, before, after = source.read(days), source.year(2003), source.year(2004)
    for name in source.variables:
        assert np.array_equal(read[name], np.concatenate((before[name][:, 361:], after[name][:, :3]), axis=1)), name
    long = source.read(np.arange("2003-12-01", "2004-03-05", dtype="datetime64[D]"))
    for name in source.variables:
        assert np.array_equal(long[name][:, 28:35], read[name]), name
    assert source.first_day is None and source.native_seconds == 86400 and not source.instantaneous
    assert source.read(np.array(["2004-02-29"], "datetime64[D]"))["pressure"].shape == (N, 3)
    assert source.bytes_per_day() == 8 * N * len(source.variables)


def test_transient_months_are_followed_year_by_year():
    random = np.random.default_rng(4)
    normals = fields()
    months = {
        "temperature": np.tile(normals["temperature"], 3) + np.repeat([0.0, 4.0, -2.0], 12),
        "precipitation": np.tile(normals["precipitation"], 3) * random.random((N, 36)),
    }
    source = make(normals, months=months, first_year=1901)
    assert source.first_day == np.datetime64("1901-01-01") and source.last_day == np.datetime64("1903-12-31")
    for k, year in enumerate((1901, 1902, 1903)):
        day, here = source.year(year), slice(12 * k, 12 * k + 12)
        assert np.allclose(
            month_mean(day["air_temperature"], year) - 273.15, months["temperature"][:, here], atol=1e-11
        )
        assert np.allclose(
            86400.0 * month_sum(day["precipitation"], year), months["precipitation"][:, here], rtol=1e-12
        )
    climate = source.climatology()
    assert climate["years"] == [1901, 1903]
    assert np.allclose(climate["temperature"], normals["temperature"] + 2.0 / 3.0)
    last = source.read(np.array(["1903-12-31"], "datetime64[D]"))["pressure"]
    assert np.array_equal(last[:, 1], last[:, 2])  # the edge is repeated
    part = source.subset(slice(1, 3))
    assert np.array_equal(part.year(1902)["precipitation"], source.year(1902)["precipitation"][1:3])
    with pytest.raises(ConcertoError, match="not within the monthly fields"):
        source.read(np.array(["1904-01-01"], "datetime64[D]"))


def test_the_steps_of_the_model_keep_the_months():
    source, days = make(), np.arange("2001-01-01", "2002-01-01", dtype="datetime64[D]")
    steps = model_steps(
        source.read(days), source.latitude, source.longitude, days, 86400, 3600, cell_id=source.cell_id, co2=400.0
    )
    given = fields()
    hours = [
        values.reshape(N, 365, 24).mean(axis=2) for values in (steps[:, 0], steps[:, 3], steps[:, 6] + steps[:, 7])
    ]
    assert np.allclose(month_mean(hours[0], 2001) - 273.15, given["temperature"], rtol=0.0, atol=1e-11)
    assert np.allclose(month_mean(hours[1], 2001), given["shortwave"], rtol=1e-12, atol=1e-11)
    assert np.allclose(86400.0 * month_sum(hours[2], 2001), given["precipitation"], rtol=1e-12, atol=1e-12)


def test_midnight_is_no_break_in_the_steps_made_from_generated_days():
    source, days = make(), np.arange("2001-01-01", "2002-01-01", dtype="datetime64[D]")
    steps = model_steps(source.read(days), source.latitude, source.longitude, days, 86400, 1800, co2=400.0)
    change = np.abs(np.diff(steps[:, 0], axis=1))
    at_midnight = change[:, 47::48].mean(axis=1)
    # midnight UTC is a morning or afternoon of steep change at some sites; days that have to be drawn in add to it
    assert np.all(at_midnight < 2.5 * change.mean(axis=1))
    assert at_midnight.mean() < 1.5 * change.mean()


def test_faults_of_the_fields_are_named():
    with pytest.raises(ConcertoError, match="no wind"):
        make({name: values for name, values in fields().items() if name != "wind"})
    wrong = fields()
    wrong["humidity"][2, 3] = np.nan
    with pytest.raises(ConcertoError, match="humidity is nan in cell 11, month 4"):
        make(wrong)
    with pytest.raises(ConcertoError, match="first year"):
        make(months={"temperature": np.zeros((N, 24))})
    with pytest.raises(ConcertoError, match=r"shape \(.*, 13\)"):
        make(months={"temperature": np.zeros((N, 13))}, first_year=1901)
    with pytest.raises(ConcertoError, match="24 months instead of 12"):
        make({name: np.tile(values, 2) for name, values in fields().items()})
