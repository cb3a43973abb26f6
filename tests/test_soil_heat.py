"""Heat in the ground: exact solutions, closure of the enthalpy budget, extremes."""

import numpy as np
import pytest

from concerto.kernels import snow, soil_heat

FREEZING, FUSION, C_LIQUID, C_ICE = 273.15, 3.337e5, 4188.0, 2117.0
DZ = soil_heat.LAYER_THICKNESS


def no_snow(*shape):
    """Arguments of `ground_heat` for bare ground."""
    zero = np.zeros((*shape, 3))
    return dict(
        snow_ice=zero,
        snow_thickness=zero,
        snow_capacity=zero,
        snow_conductivity=zero,
        snow_temperature=zero + FREEZING,
    )


def held_surface(temperature):
    """A surface flux that holds the skin at a temperature (to 1e-6 K)."""
    return dict(flux=0.0, flux_slope=-1e10, reference_temperature=temperature)


def random_columns(n=64, seed=1):
    """Wet, dry, frozen and thawed soils, with and without snow of any depth."""
    rng = np.random.default_rng(seed)
    theta_sat = rng.uniform(0.35, 0.65, n)
    dry, _, _, exponent, entry = soil_heat.soil_thermal_parameters(
        theta_sat, 0.3, rng.uniform(0.8, 4.0, n), rng.uniform(1.1, 1.4, n)
    )
    water = theta_sat[:, None] * rng.choice([0.0, 0.02, 0.3, 0.7, 1.0], (n, 10))
    ice = water * rng.choice([0.0, 0.0, 0.5, 1.0], (n, 10))
    mass = rng.choice([0.0, 1e-6, 0.009, 0.02, 1.0, 30.0, 400.0], n)
    density = rng.uniform(60.0, 480.0, n)
    snow_ice, snow_liquid, thickness = np.zeros((3, n, 3))
    snow_ice[:, 2], snow_liquid[:, 2], thickness[:, 2] = mass, 0.02 * mass, mass / density
    snow_temperature = np.repeat(rng.uniform(250.0, FREEZING, n)[:, None], 3, 1)
    snow_ice, snow_liquid, thickness, snow_temperature = snow.snow_remap(
        snow_ice, snow_liquid, thickness, snow_temperature
    )
    return dict(
        theta_sat=theta_sat,
        dry_capacity=dry,
        freezing_exponent=exponent,
        freezing_entry=entry,
        liquid=water - ice,
        ice=ice,
        temperature=rng.uniform(250.0, 310.0, (n, 10)),
        snow_ice=snow_ice,
        snow_liquid=snow_liquid,
        snow_thickness=thickness,
        snow_temperature=snow_temperature,
        flux=rng.uniform(-300.0, 600.0, n),
        flux_slope=-rng.uniform(1.0, 60.0, n),
        reference_temperature=rng.uniform(260.0, 300.0, n),
    )


def enthalpy(c):
    return soil_heat.column_enthalpy(
        c["snow_ice"],
        c["snow_liquid"],
        c["snow_temperature"],
        c["liquid"],
        c["ice"],
        c["temperature"],
        c["dry_capacity"],
    )


def heat_step(c, dt):
    """Conduction through the column `c` (changed in place); returns skin temperature and ground heat flux."""
    capacity, conductivity = soil_heat.soil_thermal_properties(c["liquid"], c["ice"], c["theta_sat"], 0.3)
    snow_capacity, snow_conductivity = snow.snow_thermal_properties(
        c["snow_ice"], c["snow_liquid"], c["snow_thickness"]
    )
    c["snow_temperature"], c["temperature"], skin, flux = soil_heat.ground_heat(
        dt,
        c["flux"],
        c["flux_slope"],
        c["reference_temperature"],
        c["snow_ice"],
        c["snow_thickness"],
        snow_capacity,
        snow_conductivity,
        c["liquid"],
        c["ice"],
        capacity,
        conductivity,
        c["snow_temperature"],
        c["temperature"],
        c["freezing_exponent"],
    )
    return skin, flux


def freeze(c, top_heat=0.0, supercooling=True):
    c["liquid"], c["ice"], c["temperature"] = soil_heat.phase_change(
        c["liquid"],
        c["ice"],
        c["temperature"],
        top_heat,
        c["theta_sat"],
        c["freezing_exponent"],
        c["freezing_entry"],
        c["dry_capacity"],
        supercooling,
    )


def wave(conductivity, capacity, mean, amplitude, period, z, t):
    damping = np.sqrt(2.0 * conductivity / capacity / (2.0 * np.pi / period))
    return mean + amplitude * np.exp(-z / damping) * np.sin(2.0 * np.pi * t / period - z / damping)


def march_wave(table, cells, steps):
    """Temperature at the nodes after a march over one period of the damped wave."""
    conductivity, capacity, mean, amplitude, period = (
        table[name][0] for name in ("lambda_W_mK", "C_J_m3K", "Tmean_K", "amp_K", "period_s")
    )
    depth = 12.0 * np.sqrt(conductivity / capacity * period / np.pi)  # 12 damping depths: e^-12 of the amplitude
    thickness = np.full(cells, depth / cells)
    z = (np.arange(cells) + 0.5) * depth / cells
    temperature = wave(conductivity, capacity, mean, amplitude, period, z, 0.0)
    dt = period / steps
    history = [temperature]
    for step in range(1, steps + 1):
        surface = wave(conductivity, capacity, mean, amplitude, period, 0.0, step * dt)
        _, temperature, _, _ = soil_heat.ground_heat(
            dt,
            **held_surface(surface),
            **no_snow(),
            soil_liquid=0.0 * thickness,
            soil_ice=0.0 * thickness,
            soil_capacity=capacity * thickness,
            soil_conductivity=np.full(cells, conductivity),
            soil_temperature=temperature,
            layer_thickness=thickness,
        )
        history.append(temperature)
    exact = [wave(conductivity, capacity, mean, amplitude, period, z, step * dt) for step in range(steps + 1)]
    return z, np.array(history), np.array(exact)


def test_the_damped_wave_converges_with_second_order_in_depth(reference):
    table = reference("ecosystem_heat_wave_analytic.csv")
    # backward Euler is first order in time: time step with the square of the depth step
    errors = []
    for cells, steps in ((40, 160), (80, 640), (160, 2560)):
        _, got, exact = march_wave(table, cells, steps)
        errors.append(np.abs(got - exact).max())
    orders = np.log2(np.array(errors[:-1]) / errors[1:])
    assert np.all(orders > 1.75)  # asymptotically 2; 1.81 and 1.90 here
    assert errors[-1] < 0.02  # of an amplitude of 8 K


def test_the_damped_wave_table_is_reproduced(reference):
    table = reference("ecosystem_heat_wave_analytic.csv")
    z, got, _ = march_wave(table, 240, 1440)
    period = table["period_s"][0]
    same = table["period_s"] == period
    worst = 0.0
    for depth, t, expected in zip(table["z_m"][same], table["t_s"][same], table["T_K"][same], strict=True):
        if depth <= z[0] or depth >= z[-1] or t > period:
            continue
        profile = got[round(t / period * 1440)]
        worst = max(worst, abs(np.interp(depth, z, profile) - expected))
    assert 0.0 < worst < 0.03  # discretisation only: 1-min steps, cells of a twentieth of the damping depth


def march_neumann(table, dz, dt, times):
    row = {name: table[name][0] for name in table}
    cells = int(8.0 / dz)
    thickness = np.full(cells, dz)
    # c_liq - c_ice is not free here: the frozen capacity of the exact solution is met to 4 % only
    dry = row["C_unfrozen"] - 1000.0 * C_LIQUID * row["theta_freezable"]
    liquid, ice = np.full(cells, row["theta_freezable"]), np.zeros(cells)
    temperature = np.full(cells, row["T_init_K"])
    fronts, profiles = [], []
    for step in range(1, round(times[-1] / dt) + 1):
        frozen = ice / row["theta_freezable"]
        conductivity = frozen * row["lambda_frozen"] + (1.0 - frozen) * row["lambda_unfrozen"]
        capacity = thickness * (dry + 1000.0 * (C_LIQUID * liquid + C_ICE * ice))
        _, temperature, _, _ = soil_heat.ground_heat(
            dt,
            **held_surface(row["T_surf_K"]),
            **no_snow(),
            soil_liquid=liquid,
            soil_ice=ice,
            soil_capacity=capacity,
            soil_conductivity=conductivity,
            soil_temperature=temperature,
            freezing_exponent=1e6,
            layer_thickness=thickness,
        )
        liquid, ice, temperature = soil_heat.phase_change(
            liquid,
            ice,
            temperature,
            theta_sat=row["theta_freezable"],
            dry_capacity=dry,
            supercooling=False,
            layer_thickness=thickness,
        )
        if any(abs(step * dt - t) < 1.0 for t in times):
            fronts.append(np.sum(ice * thickness) / row["theta_freezable"])
            profiles.append(temperature)
    return np.array(fronts), profiles, (np.arange(cells) + 0.5) * dz


@pytest.mark.parametrize("dz, dt", [(0.02, 900.0), (0.04, 1800.0), (0.02, 3600.0)])
def test_the_freezing_front_moves_as_in_the_neumann_solution(reference, dz, dt):
    table = reference("ecosystem_freeze_neumann.csv")
    times, first = np.unique(table["t_s"], return_index=True)
    fronts, profiles, z = march_neumann(table, dz, dt, times)
    # tolerance of the table's description: 5 % with layers of 1-2 cm and no word on the step
    np.testing.assert_allclose(fronts, table["front_depth_m"][first], rtol=0.05)
    for t, profile in zip(times, profiles, strict=True):
        here = table["t_s"] == t
        got = np.interp(table["z_m"][here], z, profile)
        assert np.abs(got - table["T_K"][here]).max() < 0.5  # 5 % of the 10 K below freezing


@pytest.mark.parametrize("dt", [300.0, 1800.0, 21600.0])
@pytest.mark.parametrize("seed", range(4))
def test_conduction_changes_enthalpy_by_the_ground_heat_flux(dt, seed):
    c = random_columns(256, seed)
    before = enthalpy(c)
    skin, flux = heat_step(c, dt)
    assert np.all(np.isfinite(c["temperature"])) and np.all(np.isfinite(c["snow_temperature"]))
    expected = c["flux"] + c["flux_slope"] * (skin - c["reference_temperature"])
    np.testing.assert_allclose(flux, expected, rtol=1e-14, atol=1e-12)
    # 1e-8 W m-2 is the budget target; 2e-15 of the enthalpy is the rounding of a 1e9 J m-2 column
    limit = np.maximum(1e-8 * dt, 4e-15 * np.abs(before) + 4e-6)
    assert np.all(np.abs(enthalpy(c) - before - flux * dt) < limit)


@pytest.mark.parametrize("dt", [300.0, 1800.0, 21600.0])
def test_soil_between_frost_and_thaw_stays_within_the_temperatures_that_drive_it(dt):
    c = random_columns(128, 11)
    c["snow_ice"], c["snow_liquid"], c["snow_thickness"] = np.zeros((3, 128, 3))
    c["temperature"] = np.full((128, 10), 272.5)
    for _ in range(10):  # from arbitrary water and ice to the freezing curve
        freeze(c)
    lowest, highest = c["temperature"].min(axis=1), c["temperature"].max(axis=1)
    rng = np.random.default_rng(0)
    for _ in range(200):
        c |= dict(
            flux=rng.uniform(-300.0, 400.0, 128),
            flux_slope=np.full(128, -15.0),
            reference_temperature=rng.uniform(263.0, 279.0, 128),
        )
        skin, _ = heat_step(c, dt)
        freeze(c)
        lowest, highest = np.minimum(lowest, skin), np.maximum(highest, skin)
        # the maximum principle of heat conduction; 3 K for the splitting of conduction and phase change
        assert np.all(c["temperature"].min(axis=1) > lowest - 3.0)
        assert np.all(c["temperature"].max(axis=1) < highest + 3.0)


def test_skin_flux_equals_conduction_into_the_first_layer_without_snow():
    c = random_columns(64, 3)
    c["snow_ice"], c["snow_liquid"], c["snow_thickness"] = np.zeros((3, 64, 3))
    c["liquid"], c["ice"] = c["liquid"] + c["ice"], 0.0 * c["ice"]
    _, conductivity = soil_heat.soil_thermal_properties(c["liquid"], c["ice"], c["theta_sat"], 0.3)
    skin, flux = heat_step(c, 1800.0)
    into = 2.0 * conductivity[:, 0] / DZ[0] * (skin - c["temperature"][:, 0])
    np.testing.assert_allclose(flux, into, rtol=1e-9, atol=1e-9)


def test_melting_snow_holds_the_skin_at_the_freezing_point():
    column = random_columns(16, 5)
    shape = (16, 3)
    column |= dict(
        flux=np.full(16, 400.0),
        flux_slope=np.full(16, -15.0),
        reference_temperature=np.full(16, FREEZING),
        temperature=np.full((16, 10), FREEZING),
    )
    for mass, held in ((50.0, True), (0.02, False)):
        c = dict(column)
        c["snow_ice"], c["snow_liquid"], c["snow_thickness"] = np.zeros((3, *shape))
        c["snow_ice"][:, 2], c["snow_thickness"][:, 2] = mass, mass / 250.0
        c["snow_temperature"] = np.full(shape, FREEZING)
        skin, flux = heat_step(c, 1800.0)
        if held:
            np.testing.assert_allclose(skin, FREEZING, rtol=0, atol=1e-12)
            np.testing.assert_allclose(flux, 400.0, rtol=1e-12)
        else:
            assert np.all(skin > FREEZING + 1.0)  # 0.02 kg m-2 of ice cannot take 400 W m-2 for half an hour


@pytest.mark.parametrize("supercooling", [True, False])
@pytest.mark.parametrize("seed", range(4))
def test_freezing_and_thawing_keep_enthalpy_and_water(supercooling, seed):
    c = random_columns(256, seed)
    before, water = enthalpy(c), c["liquid"] + c["ice"]
    top_heat = np.random.default_rng(seed).uniform(-3e5, 3e5, 256)
    freeze(c, top_heat, supercooling)
    assert np.all(c["liquid"] >= 0.0) and np.all(c["ice"] >= 0.0)
    np.testing.assert_allclose(c["liquid"] + c["ice"], water, rtol=1e-15, atol=1e-16)
    # target 1e-8 W m-2 over 1800 s, or the rounding of the column's enthalpy
    limit = np.maximum(1.8e-5, 4e-15 * np.abs(before))
    assert np.all(np.abs(enthalpy(c) - before - top_heat) < limit)
    warm = c["temperature"] > FREEZING + 1e-9
    assert np.all(c["ice"][warm] < 1e-12)


def test_unfrozen_water_follows_the_freezing_curve():
    rng = np.random.default_rng(2)
    n = 4096
    theta_sat, p, entry = rng.uniform(0.35, 0.6, n), rng.uniform(0.1, 0.4, n), rng.uniform(0.002, 0.01, n)
    water = theta_sat * rng.uniform(0.1, 1.0, n)
    depression = 10.0 ** rng.uniform(-2.0, 1.3, n)
    dry = np.full(n, 1.1e6)

    def on_curve(x):
        liquid = np.minimum(water, theta_sat * (x / entry) ** -p)
        return liquid, water - liquid

    def repeated(x, heat, steps):
        liquid, ice = on_curve(x)
        state = [np.repeat(v[:, None], 2, 1) for v in (liquid, ice, FREEZING - x)]
        for _ in range(steps):
            state = soil_heat.phase_change(*state, heat / steps, theta_sat, p, entry, dry, True, np.array([0.1, 0.1]))
        liquid, ice, temperature = (v[:, 0] for v in state)
        limit = np.minimum(water, theta_sat * (np.maximum(FREEZING - temperature, 1e-9) / entry) ** -p)
        return np.abs(liquid - limit)

    # a column on the curve stays there
    assert repeated(depression, np.zeros(n), 1).max() < 1e-12
    # heat of +-30 W m-2 for half an hour in 0.1 m: the search leaves less than 0.002 m3 m-3 (typical 1e-6)
    heat = rng.uniform(-5.4e4, 5.4e4, n)
    distance = repeated(depression, heat, 1)
    assert np.quantile(distance, 0.99) < 0.002
    assert distance.max() < 0.02
    # left alone, what remains of a jump of +-6e5 J m-2 vanishes
    liquid, ice = on_curve(depression)
    state = [np.repeat(v[:, None], 2, 1) for v in (liquid, ice, FREEZING - depression)]
    jump = rng.uniform(-6e5, 6e5, n)
    for _ in range(6):
        state = soil_heat.phase_change(*state, jump, theta_sat, p, entry, dry, True, np.array([0.1, 0.1]))
        jump = np.zeros(n)
    liquid, _, temperature = (v[:, 0] for v in state)
    limit = np.minimum(water, theta_sat * (np.maximum(FREEZING - temperature, 1e-9) / entry) ** -p)
    assert np.abs(liquid - limit).max() < 1e-6


def moved_water(n, seed, size):
    """Random interface fluxes, root uptake, lateral runoff and evaporation that leave no layer below zero."""
    rng = np.random.default_rng(seed)
    c = random_columns(n, seed)
    c["liquid"] = c["theta_sat"][:, None] * rng.uniform(0.05, 0.9, (n, 10))
    available = 1000.0 * DZ * c["liquid"]
    flux = (
        rng.uniform(-0.1, 0.2, (n, 11))
        * size
        * np.minimum.reduce(
            [
                np.pad(available, ((0, 0), (1, 0)), mode="edge"),
                np.pad(available, ((0, 0), (0, 1)), mode="edge"),
            ]
        )
    )
    uptake = rng.uniform(0.0, 0.2, (n, 10)) * available
    runoff = rng.uniform(0.0, 0.05, (n, 10)) * available
    evaporation = np.zeros((n, 10))
    evaporation[:, 0] = 0.1 * available[:, 0]
    after = available + flux[:, :-1] - flux[:, 1:] - uptake - runoff - evaporation
    keep = np.all(after > 0.0, axis=1)
    c = {name: value[keep] for name, value in c.items()}
    c["after"] = after[keep] / (1000.0 * DZ)
    return c, flux[keep], uptake[keep], runoff[keep]


@pytest.mark.parametrize("seed", range(4))
def test_moving_water_carries_heat_without_loss(seed):
    c, flux, uptake, runoff = moved_water(256, seed, 1.0)
    assert len(flux) > 100
    inflow_temperature = np.random.default_rng(seed).uniform(FREEZING, 300.0, len(flux))
    before = enthalpy(c)
    liquid_before = c["liquid"]
    c["liquid"] = c.pop("after")
    c["temperature"], inflow, outflow, to_canopy = soil_heat.advect_heat(
        liquid_before,
        c["liquid"],
        c["ice"],
        flux,
        inflow_temperature,
        uptake,
        runoff,
        c["temperature"],
        c["dry_capacity"],
    )
    change = enthalpy(c) - before
    assert np.all(np.abs(change - inflow + outflow + to_canopy) < np.maximum(1.8e-5, 4e-15 * np.abs(before)))
    np.testing.assert_allclose(
        to_canopy, np.sum(C_LIQUID * uptake * (c["temperature"] - FREEZING), axis=1), rtol=1e-10, atol=1e-6
    )


def test_percolation_of_many_pore_volumes_brings_soil_to_the_temperature_of_the_rain():
    n_layer = 10
    theta = np.full(n_layer, 0.3)
    flux = np.full(n_layer + 1, 3e5)  # 300 m of water through 8 m of soil in one step: stable, and nearly 290 K
    temperature, *_ = soil_heat.advect_heat(
        theta, theta, 0.0 * theta, flux, 290.0, 0.0 * theta, 0.0 * theta, np.full(n_layer, 275.0)
    )
    assert np.all(temperature < 290.0) and np.all(temperature > 289.0)


def test_conductivity_lies_between_dry_and_saturated_and_ice_conducts_better():
    saturation = np.linspace(0.0, 1.0, 11)
    capacity, wet = soil_heat.soil_thermal_properties(
        0.439 * saturation[:, None], np.zeros((11, 1)), layer_thickness=[0.1]
    )
    _, frozen = soil_heat.soil_thermal_properties(np.zeros((11, 1)), 0.439 * saturation[:, None], layer_thickness=[0.1])
    density = 2700.0 * (1.0 - 0.439)
    dry = (0.135 * density + 64.7) / (2700.0 - 0.947 * density)
    solid = 7.7**0.215 * 2.0**0.785
    # the formulas of the source, evaluated directly
    np.testing.assert_allclose(wet[0], dry, rtol=1e-12)
    np.testing.assert_allclose(wet[-1], solid**0.561 * 0.57**0.439, rtol=1e-12)
    np.testing.assert_allclose(frozen[-1], solid**0.561 * 2.29**0.439, rtol=1e-12)
    np.testing.assert_allclose(capacity[:, 0], 0.1 * (0.561 * 2.0e6 + 0.439 * saturation * 4.188e6), rtol=1e-12)
    assert np.all(np.diff(wet[:, 0]) >= -1e-12) and np.all(np.diff(frozen[:, 0]) > 0.0)


def test_results_do_not_depend_on_how_tiles_are_blocked():
    def run(part):
        c = {name: value[part].copy() for name, value in random_columns(128, 9).items()}
        skin, flux = heat_step(c, 1800.0)
        freeze(c)
        return np.concatenate([skin, flux, c["temperature"].ravel(), c["ice"].ravel(), c["snow_temperature"].ravel()])

    whole = random_columns(128, 9)
    skin, flux = heat_step(whole, 1800.0)
    freeze(whole)
    for start in range(0, 128, 16):
        part = slice(start, start + 16)
        expected = np.concatenate(
            [
                skin[part],
                flux[part],
                whole["temperature"][part].ravel(),
                whole["ice"][part].ravel(),
                whole["snow_temperature"][part].ravel(),
            ]
        )
        assert np.array_equal(run(part), expected)
