"""The weather generator: physically consistent weather with the climate it was asked for."""

import numpy as np
import pytest

from concerto.forcing.weather import DAYS, climate_normals, generate, solar_geometry
from concerto.tables import loader

STEFAN_BOLTZMANN = 5.670374e-8
SITES = list(climate_normals())
YEARS = 20


@pytest.fixture(scope="module")
def long_weather():
    """Twenty years of each site, generated once."""
    made = {}

    def get(site):
        if site not in made:
            made[site] = generate(climate_normals()[site], years=YEARS, seed=11)
        return made[site]

    return get


def month_of(weather):
    return weather["time"].astype("datetime64[M]").astype(int) % 12


def monthly_mean(weather, name):
    month = month_of(weather)
    return np.bincount(month, weather[name]) / np.bincount(month)


def precipitation(weather):
    return weather["rainfall"] + weather["snowfall"]


def local_days(weather, site, values):
    """Values as (day of local mean solar time, step), the broken first and last days left out."""
    shift = round(climate_normals()[site]["longitude"] / 360.0 * 48)
    first = (-shift) % 48
    return values[first : first + (len(values) - first) // 48 * 48].reshape(-1, 48)


def relative_humidity(weather):
    humidity, pressure = weather["specific_humidity"], weather["pressure"]
    vapour = humidity * pressure / (0.622 + 0.378 * humidity)
    celsius = weather["air_temperature"] - 273.15
    return vapour / (611.2 * np.exp(17.62 * celsius / (243.12 + celsius)))


@pytest.mark.parametrize("site", SITES)
def test_months_have_the_temperature_of_the_normals(site, long_weather):
    normals = climate_normals()[site]
    difference = monthly_mean(long_weather(site), "air_temperature") - 273.15 - normals["temperature"]
    # The generator centres its anomalies on local days; a month of UTC days is up to half a day off, which in
    # a Siberian spring is 0.35 K. Everything else stays below 0.1 K.
    allowed = 0.1 + 0.5 * np.abs(np.gradient(np.array(normals["temperature"], float))).max() / 30.0
    assert np.abs(difference).max() < allowed


@pytest.mark.parametrize("site", SITES)
def test_months_have_the_radiation_of_the_normals(site, long_weather):
    expected = np.array(climate_normals()[site]["shortwave"], float)
    difference = np.abs(monthly_mean(long_weather(site), "shortwave_down") - expected)
    # 2 %, and 1.5 W m-2 where the months of UTC days differ from those of local days in a steep polar spring
    assert np.all(difference < 0.02 * expected + 1.5)


@pytest.mark.parametrize("site", SITES)
def test_rain_and_wet_days_are_those_of_the_normals_within_their_sampling_error(site, long_weather):
    normals, weather = climate_normals()[site], long_weather(site)
    by_day = 1800.0 * local_days(weather, site, precipitation(weather)).sum(axis=1)
    by_year = np.array([days.sum() for days in np.array_split(by_day, YEARS)])
    total = 1800.0 * precipitation(weather).sum() / YEARS
    # four standard errors of the mean of independent years
    assert abs(total - sum(normals["precipitation"])) < 4.0 * by_year.std(ddof=1) / np.sqrt(YEARS)
    wet = (by_day > 0.0).sum() / YEARS
    # A chain with correlation 0.25 has 1.25 / 0.75 times the variance of independent days; four standard
    # errors.
    chance = np.array(normals["wet_days"], float) / DAYS
    error = np.sqrt((chance * (1.0 - chance) * DAYS).sum() * 1.25 / 0.75 / YEARS)
    assert abs(wet - sum(normals["wet_days"])) < 4.0 * error + 0.3  # two broken days of 20 years


def test_wet_days_follow_wet_days(long_weather):
    site = "temperate_deciduous"
    wet = local_days(long_weather(site), site, precipitation(long_weather(site))).sum(axis=1) > 0.0
    after_wet, after_dry = wet[1:][wet[:-1]].mean(), wet[1:][~wet[:-1]].mean()
    # Geng et al. 1986: the two chances differ by 0.25; the standard error of 7300 days is 0.012.
    assert after_wet - after_dry == pytest.approx(0.25, abs=0.05)


@pytest.mark.parametrize("site", SITES)
def test_air_is_never_supersaturated_and_has_the_humidity_of_the_normals(site, long_weather):
    humidity = relative_humidity(long_weather(site))
    assert humidity.max() <= 0.98 + 1e-9  # the cap, to the round-off of the two conversions
    assert humidity.min() > 0.03
    month = month_of(long_weather(site))
    mean = np.bincount(month, humidity) / np.bincount(month)
    # Rain and the capped shares move a month by some per cent; tower humidity is known to about 3 %.
    assert np.abs(mean - np.array(climate_normals()[site]["humidity"], float) / 100.0).max() < 0.06


@pytest.mark.parametrize("site", SITES)
def test_the_sky_radiates_between_a_clear_and_a_black_sky(site, long_weather):
    weather = long_weather(site)
    emissivity = weather["longwave_down"] / (STEFAN_BOLTZMANN * weather["air_temperature"] ** 4)
    # Prata's clear sky has 0.65 without vapour; annual means of towers lie between 0.80 (high, dry) and 0.93
    # (tropics).
    assert emissivity.min() > 0.65 and emissivity.max() <= 1.0
    assert 0.78 < emissivity.mean() < 0.95


@pytest.mark.parametrize("site", SITES)
def test_noon_is_brightest_and_the_afternoon_warmest(site, long_weather):
    weather = long_weather(site)
    sun = local_days(weather, site, weather["shortwave_down"]).mean(axis=0)
    warmth = local_days(weather, site, weather["air_temperature"]).mean(axis=0)
    hour = (np.arange(48) + 0.5) / 2.0
    # centroid of the day; longitude is rounded to half an hour in `local_days`
    assert (hour * sun).sum() / sun.sum() == pytest.approx(12.0, abs=0.3)
    assert 13.7 <= hour[warmth.argmax()] <= 15.3
    assert 3.0 <= hour[warmth.argmin()] <= 6.5


@pytest.mark.parametrize("site", SITES)
def test_midnight_is_no_break(site, long_weather):
    for name in ("air_temperature", "longwave_down", "wind_speed", "pressure"):
        change = np.abs(np.diff(long_weather(site)[name]))
        at_midnight = (np.arange(len(change)) + 1) % 48 == 0
        # the largest change of thousands of midnights is no larger than that of all other steps
        assert change[at_midnight].max() <= change[~at_midnight].max()


def test_snow_falls_only_in_cold_air_and_rain_only_in_mild(long_weather):
    for site in SITES:
        weather = long_weather(site)
        celsius = weather["air_temperature"] - 273.15
        # the wet bulb is below 4.3 degC: at 50 % humidity that is 8 degC of air, at 20 % 13 degC
        assert not np.any(weather["snowfall"][celsius > 14.0] > 0.0)
        # half of it is snow at a wet bulb of 0.8 degC, which in a desert is 4 degC of air
        assert weather["snowfall"][celsius > 4.0].sum() <= 0.1 * weather["snowfall"].sum()
        cold = celsius < -6.0
        falls = cold & (precipitation(weather) > 0.0)
        assert np.all(weather["snowfall"][falls] > 0.9 * precipitation(weather)[falls])


def test_polar_night_is_dark_and_its_sky_is_not_closed():
    weather = generate(climate_normals()["tundra"], "2001-12-01", seed=3)
    december = weather["time"] < np.datetime64("2002-01-01")
    assert np.all(weather["shortwave_down"][december] == 0.0)
    emissivity = (weather["longwave_down"] / (STEFAN_BOLTZMANN * weather["air_temperature"] ** 4))[december]
    # no sun does not mean overcast: Barrow's winter has 0.75 to 0.85 on average
    assert 0.72 < emissivity.mean() < 0.88


@pytest.mark.parametrize("site", SITES)
def test_all_values_are_possible(site, long_weather):
    weather, table = long_weather(site), loader.variables("forcing")
    for name, values in weather.items():
        if name != "time":
            low, high = table[name].bounds
            assert np.all((values >= low) & (values <= high)), name
    top = solar_geometry(
        weather["time"], 1800, climate_normals()[site]["latitude"], climate_normals()[site]["longitude"]
    )["top_of_atmosphere"]
    assert np.all(weather["shortwave_down"] <= 0.81 * top)


def test_wet_days_are_darker_and_of_smaller_range(long_weather):
    site = "cropland"
    weather = long_weather(site)
    wet = local_days(weather, site, precipitation(weather)).sum(axis=1) > 0.0
    sun = local_days(weather, site, weather["shortwave_down"]).mean(axis=1)
    span = np.ptp(local_days(weather, site, weather["air_temperature"]), axis=1)
    assert sun[wet].mean() < 0.85 * sun[~wet].mean()
    assert span[wet].mean() < 0.95 * span[~wet].mean()


def test_the_same_seed_gives_the_same_bits_and_another_seed_other_weather():
    normals = climate_normals()["savanna"]
    one, two, other = (generate(normals, seed=seed) for seed in (4, 4, 5))
    for name in one:
        assert np.array_equal(one[name], two[name])
    assert not np.array_equal(one["rainfall"], other["rainfall"])


@pytest.mark.parametrize("step", [1800, 3600])
def test_leap_years_have_366_days(step):
    weather = generate(climate_normals()["sahel"], "2003-01-01", years=2, step_seconds=step)
    assert len(weather["time"]) == (365 + 366) * 86400 // step
    assert weather["time"][0] == np.datetime64("2003-01-01T00:00:00")
    assert np.all(np.diff(weather["time"]) == np.timedelta64(step, "s"))


def test_hourly_weather_has_the_same_means_as_half_hourly():
    normals = climate_normals()["temperate_needle"]
    fine, coarse = (generate(normals, step_seconds=step, seed=2) for step in (1800, 3600))
    # The random numbers are the same; sampling a daily course at half the points moves its mean by less than
    # 0.1 K.
    assert fine["air_temperature"].mean() == pytest.approx(coarse["air_temperature"].mean(), abs=0.1)
    assert fine["shortwave_down"].mean() == pytest.approx(coarse["shortwave_down"].mean(), rel=0.01)
    assert 1800 * precipitation(fine).sum() == pytest.approx(3600 * precipitation(coarse).sum(), rel=0.01)


def test_every_embedded_site_is_complete_and_its_types_exist():
    for name, row in climate_normals().items():
        for key in ("temperature", "range", "precipitation", "wet_days", "shortwave", "humidity", "wind"):
            assert len(row[key]) == 12, (name, key)
        assert sum(row["pft"].values()) == pytest.approx(1.0, abs=1e-9)  # decimal fractions
        assert set(row["pft"]) <= set(loader.pft_names())
        wet = np.array(row["wet_days"], float)
        assert np.all((wet <= DAYS) & ((wet > 0) | (np.array(row["precipitation"]) < 1)))
        assert abs(row["longitude"] / 15.0 - row["utc_offset_hours"]) < 2.0
