"""Moist air and the position of the sun."""

from datetime import datetime

import numpy as np
import pytest

from concerto.kernels import atmosphere


def test_humidity_functions_reproduce_pyrealm(reference):
    table = reference("ecosystem_hygro.csv")
    values = atmosphere.hygrometry(table["tc_degC"] + 273.15, table["p_Pa"], table["rh_frac"])
    # same formulae; the table has ten digits: 1e-8 allows for the last of them
    for name, value in zip(list(table)[3:], values, strict=True):
        np.testing.assert_allclose(value, table[name], rtol=1e-8, err_msg=name)


@pytest.mark.parametrize("ice", [False, True])
def test_slope_is_the_derivative_of_the_saturation_curve(ice):
    temperature = np.linspace(230.0, 320.0, 50)
    _, slope = atmosphere.saturation_vapour_pressure(temperature, ice=ice)
    upper, _ = atmosphere.saturation_vapour_pressure(temperature + 1e-3, ice=ice)
    lower, _ = atmosphere.saturation_vapour_pressure(temperature - 1e-3, ice=ice)
    # central difference: truncation 1e-9, rounding 1e-11 relative
    np.testing.assert_allclose((upper - lower) / 2e-3, slope, rtol=1e-8)


def test_air_over_ice_holds_less_vapour_below_freezing_and_both_curves_meet_there():
    water, _ = atmosphere.saturation_vapour_pressure(np.array([253.15, 273.15]))
    ice, _ = atmosphere.saturation_vapour_pressure(np.array([253.15, 273.15]), ice=True)
    assert ice[0] < 0.9 * water[0]
    assert ice[1] == water[1]


def test_moist_air_is_lighter_than_dry_air():
    density, heat_capacity, vapour_pressure = atmosphere.moist_air(290.0, np.array([0.0, 0.01]), 1e5)
    assert density[1] < density[0] == pytest.approx(1e5 / (287.04 * 290.0), rel=1e-14)
    assert heat_capacity[1] > heat_capacity[0]
    assert vapour_pressure[0] == 0.0
    # q = eps e / (p - (1 - eps) e)
    e = vapour_pressure[1]
    assert 0.622 * e / (1e5 - 0.378 * e) == pytest.approx(0.01, rel=1e-12)


def _times(table):
    times = [datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ") for text in table["time_utc_start"]]
    day = np.array([time.timetuple().tm_yday for time in times], dtype=float)
    return day, np.array([time.hour for time in times], dtype=float)


def test_sun_stands_where_the_nrel_algorithm_puts_it(reference):
    table = reference("ecosystem_cosz.csv")
    day, hour = _times(table)
    cosine = atmosphere.sun_position(table["lat"], table["lon"], day, hour)[3]
    mean, _, sunlit, _ = atmosphere.mean_cosine_zenith(table["lat"], table["lon"], day, hour, hour + 3.0)
    # accuracy of Spencer's series as measured for the table: 0.0019
    np.testing.assert_allclose(cosine, table["cosz_instant_start"], atol=0.002)
    np.testing.assert_allclose(mean, table["cosz_mean_positive_3h"], atol=0.002)
    # the table counts one-minute samples: one of 180, and up to a minute of equation of time
    np.testing.assert_allclose(sunlit, table["sunlit_fraction_3h"], atol=2.0 / 180.0)


@pytest.mark.parametrize("hours", [0.5, 3.0, 6.0, 24.0])
def test_interval_mean_is_the_integral_of_the_instants(hours):
    rng = np.random.default_rng(3)
    latitude, longitude = rng.uniform(-89, 89, 40), rng.uniform(-180, 180, 40)
    day, start = np.floor(rng.uniform(1, 366, 40)), rng.uniform(0, 24, 40)
    mean, sunlit_mean, fraction, top = atmosphere.mean_cosine_zenith(latitude, longitude, day, start, start + hours)
    steps = (np.arange(4000) + 0.5) / 4000 * hours
    instants = atmosphere.sun_position(latitude[:, None], longitude[:, None], day[:, None], start[:, None] + steps)[3]
    positive = np.maximum(instants, 0.0)
    # declination and equation of time are those of the middle of the interval: they move 0.4 degrees and 0.5
    # minutes a day at most
    np.testing.assert_allclose(mean, positive.mean(axis=1), atol=3e-3 * hours / 24 + 2e-6)
    np.testing.assert_allclose(fraction, (instants > 0).mean(axis=1), atol=3e-2 * hours / 24 + 1e-3)
    np.testing.assert_allclose(sunlit_mean * fraction, mean, atol=1e-12)
    assert np.all((top >= 0.0) & (top <= 1361.0 * 1.04))


def test_parts_of_an_interval_add_up_at_solstice_and_across_midnight():
    mean, _, _, _ = atmosphere.mean_cosine_zenith(66.0, 25.0, 172, 20.0, 26.0)
    parts = [atmosphere.mean_cosine_zenith(66.0, 25.0, 172, h, h + 0.5)[0] for h in np.arange(20.0, 26.0, 0.5)]
    # the declination hardly moves at solstice, the equation of time 0.05 minutes in 6 h
    assert mean == pytest.approx(np.mean(parts), abs=1e-4)


def test_polar_night_is_dark_and_polar_day_has_24_hours():
    mean, sunlit_mean, fraction, top = atmosphere.mean_cosine_zenith(80.0, 0.0, np.array([355.0, 172.0]), 0.0, 24.0)
    assert mean[0] == sunlit_mean[0] == fraction[0] == top[0] == 0.0
    assert fraction[1] == 1.0
    assert list(atmosphere.day_length(80.0, np.array([355, 172]))) == [0.0, 24.0]
    assert atmosphere.day_length(0.0, 80) == pytest.approx(12.0, abs=1e-9)


def test_equilibrium_evaporation_reproduces_lpjml(reference):
    table = reference("ecosystem_daylength_eeq.csv")
    hours, par, evaporation = atmosphere.equilibrium_evaporation(
        table["lat_deg"],
        table["doy"],
        table["tair_degC"] + 273.15,
        table["swdown_W_m2"],
        table["lwnet_W_m2"],
        table["albedo"],
    )
    # same formulae; the table has ten digits
    np.testing.assert_allclose(hours, table["daylength_h"], rtol=1e-8, atol=1e-8)
    np.testing.assert_allclose(par, table["par_J_m2_d"], rtol=1e-12)
    np.testing.assert_allclose(evaporation, table["eeq_mm_d"], rtol=1e-8, atol=1e-10)
