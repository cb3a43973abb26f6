"""The cheap soil water: cascade of buckets, and SPLASH."""

import numpy as np
import pytest

from concerto.domain.soil import soil_class
from concerto.kernels import soil_water as kernel

THICKNESS = np.array(kernel.LAYER_THICKNESS)
SOIL = soil_class("medium").hydraulics()


def storage(theta):
    return (theta * THICKNESS).sum(axis=-1)


@pytest.mark.parametrize("dt", [300.0, 1800.0, 21600.0, 86400.0])
def test_buckets_conserve_water_within_their_bounds(dt):
    rng = np.random.default_rng(3)
    total = 0.01 + 0.429 * rng.choice([0.0, 0.02, 0.5, 0.9, 1.0], (160, 10))
    ice = total * rng.choice([0.0, 0.5, 1.0], (160, 10))
    theta = total - ice
    water = rng.choice([0.0, 1e-5, 1e-3, 100.0 / 3600.0], 160)
    sink = np.maximum(theta - 0.01, 0.0) * THICKNESS * 1000.0 / dt * rng.choice([0.0, 0.1, 1.0], (160, 1))
    step = kernel.bucket_step(theta, water, sink, ice, dt=dt, **SOIL)
    residual = storage(step.theta) - storage(theta)
    residual -= (water * dt - step.surface_runoff - step.drainage - sink.sum(axis=1) * dt) / 1000.0
    # m of water; the column holds 3.5 m, some ten additions per layer
    assert np.abs(residual).max() < 1e-14
    layer = (step.theta - theta) * THICKNESS - (-np.diff(step.flux, axis=-1) - sink * dt) / 1000.0
    assert np.abs(layer).max() < 1e-14
    assert (step.theta <= 0.439 - ice + 1e-15).all()
    assert (step.theta >= np.minimum(0.01, theta) - 1e-15).all()
    assert (step.drainage >= 0.0).all() and (step.surface_runoff >= 0.0).all()


def test_buckets_stop_draining_at_field_capacity():
    theta = np.full(10, SOIL["theta_sat"])
    for _ in range(3000):
        theta = kernel.bucket_step(theta, dt=86400.0, **SOIL).theta
    # K falls as a layer empties: after 8 years the last 0.03 is still on its way
    capacity = soil_class("medium").field_capacity
    assert (theta >= capacity - 1e-12).all() and theta[0] == pytest.approx(capacity, abs=0.03)
    assert np.all(np.diff(theta) >= -1e-12)


def test_dry_buckets_fill_from_the_top():
    step = kernel.bucket_step(np.full(10, 0.1), 2e-3, **SOIL)  # 3.6 mm in half an hour
    assert step.theta[0] > 0.3 and step.theta[5] == pytest.approx(0.1, abs=1e-12)
    assert step.flux[0] == pytest.approx(3.6 * np.sqrt(1 - 0.09 / 0.429), rel=1e-9)  # (1 - S)^(1/2)


def test_bucket_tile_does_not_depend_on_its_block():
    theta = np.random.default_rng(0).uniform(0.02, 0.43, (64, 10))
    whole = kernel.bucket_step(theta, 1e-3, **SOIL)
    half = kernel.bucket_step(theta[32:], 1e-3, **SOIL)
    np.testing.assert_array_equal(whole.theta[32:], half.theta)


def pyrealm_pressure(elevation):
    """Standard atmosphere with the constants of the table's program."""
    return 101325.0 * (1 - 0.0065 * elevation / 298.15) ** (9.80665 * 0.028963 / (8.3145 * 0.0065))


def days_of(dates):
    dates = np.array(dates, dtype="datetime64[D]")
    year = dates.astype("datetime64[Y]")
    length = ((year + 1).astype("datetime64[D]") - year.astype("datetime64[D]")).astype(int)
    return (dates - year.astype("datetime64[D]")).astype(int) + 1, length


def run_splash(table, site, **changes):
    rows = table["site"] == site
    day, length = days_of(table["date"][rows])
    start = table["wn0_mm"][rows][0]
    elevation = table["elv_m"][rows][0]
    inputs = dict(
        latitude=table["lat"][rows][0],
        elevation=elevation,
        pressure=pyrealm_pressure(elevation),
        temperature=table["tc_degC"][rows] + 273.15,
        sunshine=table["sf_frac"][rows],
        precipitation=table["pn_mm_d"][rows],
        water=start,
        molar_mass_ratio=0.028963 / 0.01802,
    )
    inputs.update(changes)
    return rows, inputs, kernel.splash(day, length, **inputs)


def test_splash_agrees_with_pyrealm(reference):
    table = reference("ecosystem_splash_daily.csv")
    columns = dict(
        extraterrestrial="ra_d_J_m2",
        photons="ppfd_d_mol_m2",
        net_day="rn_d_J_m2",
        net_night="rnn_d_J_m2",
        condensation="cond_mm_d",
        equilibrium="eet_mm_d",
        potential="pet_mm_d",
        actual="aet_mm_d",
        runoff="ro_mm_d",
        water="wn_mm",
    )
    for site in np.unique(table["site"].astype(str)):
        rows, _, days = run_splash(table, site)
        for name, column in columns.items():
            expected = table[column][rows]
            # 1e-6 relative with the peer's constants; small numbers: 8 printed digits of the largest
            np.testing.assert_allclose(
                getattr(days, name),
                expected,
                rtol=1e-6,
                atol=1e-7 * np.abs(expected).max(),
                err_msg=f"{site} {name}",
            )


def test_splash_closes_even_when_the_bucket_runs_dry(reference):
    table = reference("ecosystem_splash_daily.csv")
    site = table["site"][0]
    # a bucket of 1 mm with an enormous supply rate: evapotranspiration would exceed what there is
    _, inputs, days = run_splash(table, site, capacity=1.0, supply_rate=50.0, water=0.5)
    before = np.concatenate([[0.5], days.water[:-1]])
    residual = before + inputs["precipitation"] + days.condensation - days.actual - days.runoff - days.water
    assert np.abs(residual).max() < 1e-13  # kg m-2, numbers up to 50: rounding is 7e-15 an operation
    assert (days.water >= 0.0).all() and (days.water <= 1.0).all()
    assert (days.water == 0.0).any()  # the shortfall did occur


def test_polar_night_has_no_radiation_and_no_evapotranspiration():
    days = kernel.splash([355], [365], 80.0, 0.0, 101325.0, [250.0], [0.5], [0.0], 50.0)
    assert days.extraterrestrial[0] == pytest.approx(0.0, abs=1e-3) and days.actual[0] == pytest.approx(0.0, abs=1e-9)
    assert days.net_night[0] < 0.0
