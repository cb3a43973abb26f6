"""Rain and snow on the canopy."""

import numpy as np
import pytest

from concerto.kernels.soil_water import interception

DT = 1800.0
MILD = dict(air_temperature=283.15, canopy_temperature=283.15, wind_speed=2.0)
COLD = dict(air_temperature=263.15, canopy_temperature=263.15, wind_speed=0.0)


def test_canopy_conserves_water_whatever_the_weather_and_leaf_area():
    rng = np.random.default_rng(0)
    n = 320
    area = rng.choice([0.0, 0.05, 1.0, 5.0, 10.0], n)
    rain, snow = rng.choice([0.0, 1e-7, 1e-4, 0.03], (2, n))
    liquid, ice = rng.choice([0.0, 1e-9, 0.2, 5.0], (2, n))
    temperature = rng.uniform(230.0, 310.0, n)
    out = interception(
        area,
        rain,
        snow,
        liquid,
        ice,
        air_temperature=temperature,
        canopy_temperature=temperature,
        wind_speed=3.0,
    )
    # kg m-2; the throughput is at most 64 kg, rounding 1e-14
    assert np.abs(out[0] - liquid - (rain - out[2]) * DT).max() < 5e-14
    assert np.abs(out[1] - ice - (snow - out[3]) * DT).max() < 5e-14
    for value in out:
        assert (value >= 0.0).all()
    assert (out[0] <= 0.1 * area + 1e-15).all() and (out[4] <= 1.0).all()


def test_leaf_fall_hands_all_water_to_the_ground():
    liquid, ice, rain, snow, wet = interception(0.0, 0.0, 0.0, 0.4, 3.0, **COLD)
    assert liquid == 0.0 and ice == 0.0 and wet == 0.0
    assert rain * DT == pytest.approx(0.4, rel=1e-14) and snow * DT == pytest.approx(3.0, rel=1e-14)


def test_filling_is_exponential_and_saturates_at_capacity():
    most, amount = 0.5, 0.1  # LAI + SAI of 5
    liquid = interception(5.0, amount / DT, 0.0, 0.0, 0.0, **MILD)[0]
    expected = min((1 - np.exp(-2.5)) * amount, most * (1 - np.exp(-amount / most)))
    assert liquid == pytest.approx(expected, rel=1e-12)
    assert interception(5.0, 0.1, 0.0, 0.0, 0.0, **MILD)[0] == pytest.approx(most, rel=1e-9)


def test_no_leaves_let_everything_through():
    assert interception(0.0, 1e-3, 2e-4, 0.0, 0.0, **COLD)[2:4] == (1e-3, 2e-4)


def test_wet_fraction_is_the_two_thirds_power_of_filling():
    wet = interception(5.0, 0.0, 0.0, [0.0, 0.0625, 0.5], 0.0, **MILD)[4]
    np.testing.assert_allclose(wet, [0.0, 0.25, 1.0], rtol=1e-12)


def test_snow_stays_in_calm_cold_and_falls_in_wind_or_warmth():
    stay = interception(5.0, 0.0, 0.0, 0.0, 4.0, **COLD)[1]
    assert stay == 4.0
    windy = interception(5.0, 0.0, 0.0, 0.0, 4.0, **(COLD | dict(wind_speed=5.0)))[1]
    assert windy == pytest.approx(4.0 * np.exp(-5.0 / 1.56e5 * DT), rel=1e-12)
    warm = interception(5.0, 0.0, 0.0, 0.0, 4.0, **(COLD | dict(canopy_temperature=274.15)))[1]
    assert warm == pytest.approx(4.0 * np.exp(-4.0 / 1.87e5 * DT), rel=1e-12)
