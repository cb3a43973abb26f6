"""The snow pack: budgets of water and enthalpy, layering, limits of albedo and cover."""

import numpy as np
import pytest

from concerto.kernels import snow, soil_heat

FREEZING, FUSION, C_LIQUID, C_ICE = 273.15, 3.337e5, 4188.0, 2117.0


def pack(mass, density=250.0, temperature=265.0, wet=0.0):
    """A pack in the lowest layer, then layered: ice, liquid, thickness, temperature."""
    mass = np.atleast_1d(np.asarray(mass, dtype=float))
    ice, liquid, thickness = np.zeros((3, mass.size, 3))
    ice[:, 2], liquid[:, 2], thickness[:, 2] = mass * (1.0 - wet), mass * wet, mass / density
    return list(snow.snow_remap(ice, liquid, thickness, np.full((mass.size, 3), temperature)))


def heat_content(ice, liquid, thickness, temperature):
    return np.sum((C_ICE * ice + C_LIQUID * liquid) * (temperature - FREEZING) - FUSION * ice, axis=-1)


def random_packs(n, seed):
    """Layers of any thickness, density, wetness and temperature, some of them empty."""
    rng = np.random.default_rng(seed)
    thickness = rng.choice([0.0, 0.01, 0.04, 0.1, 0.3, 1.5], (n, 3)) * rng.uniform(0.5, 1.5, (n, 3))
    ice = thickness * rng.uniform(50.0, 450.0, (n, 3))
    liquid = thickness * rng.uniform(0.0, 30.0, (n, 3)) * rng.choice([0.0, 1.0], (n, 3))
    return ice, liquid, thickness, rng.uniform(240.0, FREEZING, (n, 3))


class Column:
    """Snow on the default soil, stepped as the model does it, with its budgets."""

    def __init__(self, n, soil_temperature=275.0, theta=0.3):
        self.snow = pack(np.zeros(n))
        self.liquid, self.ice = np.full((n, 10), theta), np.zeros((n, 10))
        self.temperature = np.full((n, 10), soil_temperature)
        self.dry, _, _, self.exponent, self.entry = soil_heat.soil_thermal_parameters()

    def enthalpy(self):
        ice, liquid, _, temperature = self.snow
        return soil_heat.column_enthalpy(ice, liquid, temperature, self.liquid, self.ice, self.temperature, self.dry)

    def mass(self):
        return np.sum(self.snow[0] + self.snow[1], axis=1)

    def step(self, dt, snowfall, rain, air, flux, slope, sublimation=0.0):
        """Returns the residuals of enthalpy (J m-2) and snow water (kg m-2), outflow, skin temperature."""
        before, mass = self.enthalpy(), self.mass()
        *self.snow, through, _, precipitation_heat = snow.snow_precipitation(*self.snow, snowfall, rain, air)
        capacity, conductivity = soil_heat.soil_thermal_properties(self.liquid, self.ice)
        snow_capacity, snow_conductivity = snow.snow_thermal_properties(*self.snow[:3])
        self.snow[3], self.temperature, skin, ground = soil_heat.ground_heat(
            dt,
            flux,
            slope,
            air,
            self.snow[0],
            self.snow[2],
            snow_capacity,
            snow_conductivity,
            self.liquid,
            self.ice,
            capacity,
            conductivity,
            self.snow[3],
            self.temperature,
            self.exponent,
        )
        *self.snow, outflow, _, outflow_heat, to_soil, unmet, _ = snow.snow_hydrology(
            dt, *self.snow, self.temperature[:, 0], sublimation
        )
        self.snow = list(snow.snow_remap(*self.snow))
        self.liquid, self.ice, self.temperature = soil_heat.phase_change(
            self.liquid,
            self.ice,
            self.temperature,
            to_soil,
            freezing_exponent=self.exponent,
            freezing_entry=self.entry,
            dry_capacity=self.dry,
        )
        vapour = sublimation - unmet
        # vapour leaves with the enthalpy 0 it is given here: L_v is outside, the ice took L_f with it
        energy = self.enthalpy() - before - precipitation_heat - ground * dt + outflow_heat - FUSION * vapour
        water = self.mass() - mass - snowfall - (rain - through) + outflow + vapour
        return energy, water, outflow, skin


@pytest.mark.parametrize("dt", [300.0, 1800.0, 21600.0])
def test_a_winter_closes_its_budgets_of_water_and_heat(dt):
    n, rng = 16, np.random.default_rng(4)
    column = Column(n)
    days = {300.0: 10, 1800.0: 80, 21600.0: 200}[dt]  # a shorter winter of heavier snow for short steps
    steps, scale = round(days * 86400.0 / dt), 200.0 / days
    deepest, thickest, worst_energy, worst_water, layers = 0.0, 0.0, 0.0, 0.0, set()
    total_in = total_out = np.zeros(n)
    for step in range(steps):
        season = step / steps
        air = (
            278.0
            - 25.0 * np.sin(np.pi * season)
            + 5.0 * np.sin(2.0 * np.pi * step * dt / 86400.0)
            + rng.normal(0.0, 2.0, n)
        )
        storm = (rng.random(n) < 0.15) & (season < 0.9)
        precipitation = np.where(storm, rng.exponential(8e-5, n), 0.0) * dt * scale
        share = snow.precipitation_phase(air, 0.8 * 611.2 * np.exp(17.62 * (air - FREEZING) / (air - 30.03)))[1]
        flux = 120.0 * max(0.0, np.sin(2.0 * np.pi * step * dt / 86400.0)) - 40.0 + 180.0 * max(0.0, season - 0.5)
        available = np.sum(column.snow[0], axis=1)
        sublimation = np.minimum(available, rng.uniform(-1e-6, 1e-5, n) * dt)
        energy, water, outflow, skin = column.step(
            dt, precipitation * share, precipitation * (1.0 - share), air, flux, -18.0, sublimation
        )
        worst_energy = max(worst_energy, np.abs(energy).max())
        worst_water = max(worst_water, np.abs(water).max())
        deepest = max(deepest, column.mass().max())
        thickest = max(thickest, column.snow[2].sum(axis=1).max())
        layers |= set(np.sum(column.snow[0] > 0.0, axis=1))
        total_in, total_out = total_in + precipitation, total_out + outflow
        assert np.all(column.snow[3] < FREEZING + 1e-6) and np.all(column.snow[3] > 200.0)
        assert np.all(skin > 210.0) and np.all(skin < 330.0)
        density = (column.snow[0] + column.snow[1])[column.snow[0] > 0.01] / column.snow[2][column.snow[0] > 0.01]
        assert np.all(density > 49.0) and np.all(density < 920.0)
    assert layers == {0, 1, 2, 3} and deepest > 50.0  # it was a winter
    if dt >= 1800.0:
        assert column.mass().max() == 0.0  # and it ended
    # targets: 1e-8 W m-2 (4e-6 J m-2 is the rounding of sums over a column of 1e9 J m-2), 1e-10 kg m-2
    assert worst_energy < max(1e-8 * dt, 4e-6)
    assert worst_water < 1e-12


@pytest.mark.parametrize("flux", [20.0, 200.0, 900.0])
@pytest.mark.parametrize("dt", [300.0, 1800.0, 21600.0])
def test_a_millimetre_of_snow_vanishes_and_leaves_its_water_and_heat(flux, dt):
    column = Column(16, soil_temperature=274.0)
    column.snow = pack(np.full(16, 1.0), density=120.0, temperature=270.0)
    gone = 0.0
    for _ in range(int(86400.0 * 4 / dt)):
        energy, water, outflow, skin = column.step(dt, 0.0, 0.0, 273.15, flux, -15.0)
        gone = gone + outflow
        assert np.abs(energy).max() < max(1e-8 * dt, 4e-6)
        assert np.abs(water).max() < 1e-14
        assert np.all((skin > 250.0) & (skin < 400.0))
    assert np.all(column.mass() == 0.0)
    np.testing.assert_allclose(gone, 1.0, rtol=1e-12)


def test_traces_of_snow_wait_on_frozen_soil_and_dissolve_on_thawed_soil():
    for soil, left in ((270.0, 0.005), (274.0, 0.0)):
        state = pack(0.005)
        *state, outflow, _, _, to_soil, _, melt = snow.snow_hydrology(1800.0, *state, soil)
        np.testing.assert_allclose(np.sum(state[0]), left, rtol=1e-12)
        np.testing.assert_allclose(outflow, 0.005 - left, rtol=1e-12)
        np.testing.assert_allclose(melt, 0.005 - left, rtol=1e-12)
        expected = 0.0 if left else heat_content(*pack(0.005))[0]
        np.testing.assert_allclose(to_soil, expected, rtol=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_moving_the_layer_interfaces_conserves_ice_liquid_and_enthalpy(seed):
    old = random_packs(512, seed)
    new = snow.snow_remap(*old)
    for k in range(3):
        # a few roundings of masses up to 600 kg m-2
        np.testing.assert_allclose(new[k].sum(axis=1), old[k].sum(axis=1), rtol=1e-14, atol=1e-14)
    np.testing.assert_allclose(heat_content(*new), heat_content(*old), rtol=1e-13, atol=1e-8)
    assert np.all(new[3] <= FREEZING + 1e-9) and np.all(new[3] >= 239.9)


def test_layer_thicknesses_follow_the_depth_of_the_pack_and_a_second_remap_changes_nothing():
    depth = np.array([0.0, 0.02, 0.049, 0.06, 0.2, 0.26, 0.4, 2.0])
    first = pack(depth * 250.0, density=250.0)
    expected = [
        [0, 0, 0],
        [0, 0, 0.02],
        [0, 0, 0.049],
        [0, 0.03, 0.03],
        [0, 0.05, 0.15],
        [0.05, 0.105, 0.105],
        [0.05, 0.175, 0.175],
        [0.05, 0.2, 1.75],
    ]
    np.testing.assert_allclose(first[2], expected, rtol=0, atol=1e-12)
    second = snow.snow_remap(*first)
    for a, b in zip(first, second, strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-12, atol=1e-14)


def test_rain_freezes_in_cold_snow_and_drains_from_ripe_snow():
    cold = pack(100.0, temperature=253.15)
    mass, before = 100.0, heat_content(*cold)
    *state, through, _, heat = snow.snow_precipitation(*cold, 0.0, 5.0, 278.15)
    *state, outflow, _, _, _, _, _ = snow.snow_hydrology(1800.0, *state, 272.0)
    assert through == 0.0 and outflow == 0.0  # 100 kg at -20 degC freeze 12 kg, and 0.03 of the volume holds more
    np.testing.assert_allclose(state[0].sum() + state[1].sum(), mass + 5.0, rtol=1e-14)
    np.testing.assert_allclose(heat_content(*state), before + heat, rtol=1e-12)

    ripe = pack(100.0, temperature=FREEZING)
    *state, through, _, _ = snow.snow_precipitation(*ripe, 0.0, 50.0, 278.15)
    *state, outflow, outflow_temperature, _, _, _, _ = snow.snow_hydrology(1800.0, *state, 272.0)
    assert outflow > 25.0
    np.testing.assert_allclose(outflow_temperature, FREEZING, rtol=0, atol=1e-9)
    # what stays is at most the holding capacity of the pack as it was before compaction, 0.03 m3 m-3
    assert state[1].sum() <= 0.03 * 1000.0 * 0.4 + 1e-9


def test_sublimation_is_taken_from_the_top_and_frost_is_added_there():
    state = pack(100.0)
    before, top = heat_content(*state), state[0][0].copy()
    *after, outflow, _, _, to_soil, unmet, _ = snow.snow_hydrology(1800.0, *state, 270.0, 1.0)
    assert unmet == 0.0 and outflow == 0.0
    np.testing.assert_allclose(after[0][0], top - [1.0, 0.0, 0.0], rtol=1e-13)
    np.testing.assert_allclose(heat_content(*after) + to_soil, before + FUSION * 1.0, rtol=1e-13)
    *after, _, _, _, _, unmet, _ = snow.snow_hydrology(1800.0, *state, 270.0, -0.5)
    assert unmet == 0.0
    np.testing.assert_allclose(after[0][0], top + [0.5, 0.0, 0.0], rtol=1e-13)
    *after, _, _, _, to_soil, unmet, _ = snow.snow_hydrology(1800.0, *state, 270.0, 101.0)
    np.testing.assert_allclose(unmet, 1.0, rtol=1e-12)  # no more than there is
    assert after[0].sum() == 0.0
    np.testing.assert_allclose(to_soil, before + FUSION * 100.0, rtol=1e-10)


def test_fresh_snow_settles_towards_old_snow():
    state = pack(80.0, density=80.0, temperature=268.0)
    densities = []
    for _ in range(48 * 60):
        *state, _, _, _, _, _, _ = snow.snow_hydrology(1800.0, *state, 270.0)
        state = list(snow.snow_remap(*state))
        densities.append(80.0 / state[2].sum())
    assert np.all(np.diff(densities) > 0.0)
    assert 100.0 < densities[48] < 160.0  # Anderson: fast while below 100 kg m-3, then slowly
    assert 150.0 < densities[-1] < 400.0


def test_precipitation_turns_from_snow_to_rain_with_the_wet_bulb():
    air = FREEZING + np.linspace(-15.0, 15.0, 61)
    saturated = 611.2 * np.exp(17.62 * (air - FREEZING) / (air - 30.03))
    wet_bulb, share = snow.precipitation_phase(air, saturated)
    np.testing.assert_allclose(wet_bulb, air, rtol=0, atol=1e-9)
    np.testing.assert_allclose(share, 1.0 / (1.0 + 6.99e-5 * np.exp(2.0 * (air - FREEZING + 3.97))), rtol=1e-8)
    assert share[0] > 0.999 and share[-1] < 1e-6 and np.all(np.diff(share) <= 0.0)
    dry_bulb, more = snow.precipitation_phase(air, 0.4 * saturated)
    assert np.all(dry_bulb < wet_bulb) and np.all(more >= share)
    # psychrometric equation solved (Newton, quadratic convergence)
    residual = (
        611.2 * np.exp(17.62 * (dry_bulb - FREEZING) / (dry_bulb - 30.03))
        - 101325.0 * 1004.64 / (0.622 * 2.501e6) * (air - dry_bulb)
        - 0.4 * saturated
    )
    assert np.abs(residual).max() < 1e-6


def test_albedo_stays_between_its_limits_and_falls_with_age():
    _, *fresh = snow.snow_albedo(1800.0, 0.0, 260.0, 1.0, snowfall=1.0, water_equivalent=10.0)
    np.testing.assert_allclose(fresh, [0.95, 0.95, 0.65, 0.65], rtol=1e-14)
    _, *old = snow.snow_albedo(1800.0, 1e9, 260.0, 1.0, snowfall=0.0, water_equivalent=10.0)
    np.testing.assert_allclose(old, [0.76, 0.76, 0.325, 0.325], rtol=1e-6)
    age, *low_sun = snow.snow_albedo(1800.0, 0.5, 260.0, 0.0, water_equivalent=10.0)
    assert low_sun[0] > low_sun[1] and low_sun[2] > low_sun[3] and max(low_sun) < 1.0
    warmer = snow.snow_albedo(1800.0, 0.5, FREEZING, 0.0, water_equivalent=10.0)[0]
    assert warmer > age > 0.5
    np.testing.assert_allclose(warmer - 0.5, 1800.0 * 1e-6 * 2.3, rtol=1e-9)
    assert snow.snow_albedo(1800.0, 0.5, 260.0, 0.5, water_equivalent=0.0)[0] == 0.0


def test_cover_and_burial_go_from_none_to_all():
    ice, liquid, thickness, _ = pack(np.array([0.0, 1.0, 10.0, 1000.0]), density=200.0)
    depth, mass, cover, buried = snow.snow_surface(ice, liquid, thickness, 0.02, 1.0)
    np.testing.assert_allclose(mass, [0.0, 1.0, 10.0, 1000.0], rtol=1e-14)
    np.testing.assert_allclose(depth, mass / 200.0, rtol=1e-13)
    np.testing.assert_allclose(cover, np.tanh(depth / (0.02 * 2.0)), rtol=1e-12)
    np.testing.assert_allclose(buried, np.clip(depth / 0.2, 0.0, 1.0), rtol=1e-12)
    assert snow.snow_surface(ice, liquid, thickness, 0.02, 1.0, 1.0, 3.0)[3][3] == 1.0


def test_results_do_not_depend_on_how_tiles_are_blocked():
    state = random_packs(64, 7)
    sublimation, soil = np.linspace(-0.1, 0.5, 64), np.linspace(268.0, 278.0, 64)

    def run(part):
        out = snow.snow_hydrology(1800.0, *(v[part] for v in state), soil[part], sublimation[part])
        return [*out, *snow.snow_remap(*out[:4]), *snow.snow_surface(*out[:3])]

    whole = run(slice(None))
    for start in range(0, 64, 16):
        part = slice(start, start + 16)
        for a, b in zip(run(part), whole, strict=True):
            assert np.array_equal(a, b[part])
