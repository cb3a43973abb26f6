"""Water in the soil: retention, Richards equation, roots, evaporation from bare soil."""

import numpy as np
import pytest

from concerto import _core as core
from concerto.domain.soil import soil_class, soil_classes, texture_class
from concerto.errors import ConcertoError
from concerto.kernels import soil_water as kernel

THICKNESS = np.array(kernel.LAYER_THICKNESS)
ROUND_OFF = 1e-14  # m of water: 8 m of soil hold 4 m, 4 * 2.2e-16 * some additions (specification: closure < 1e-14 m)


def hydraulics(name="medium"):
    return soil_class(name).hydraulics()


def storage(theta, thickness=THICKNESS):
    return (theta * thickness).sum(axis=-1)


def closure(before, step, water_input, sink, dt, thickness=THICKNESS):
    """Residual of the column, m."""
    gain = storage(step.theta, thickness) - storage(before, thickness)
    out = step.surface_runoff + step.drainage + np.sum(sink, axis=-1) * dt
    return np.abs(gain - (water_input * dt - out) / 1000.0)


def random_columns(seed, n=192):
    """Dry, saturated, layered, frozen and ordinary columns of all classes, with sinks up to all they hold."""
    rng = np.random.default_rng(seed)
    names = [soil_classes()[i] for i in rng.integers(0, 6, n)]
    soil = {key: np.array([hydraulics(name)[key] for name in names]) for key in hydraulics()}
    filling = rng.uniform(0.0, 1.0, (n, 10))
    kind = np.arange(n) % 4
    filling[kind == 0] *= 0.03
    filling[kind == 1] = 1.0
    filling[kind == 2] = np.round(filling[kind == 2])
    span = (soil["theta_sat"] - soil["theta_res"])[:, None]
    total = soil["theta_res"][:, None] + span * filling
    frozen = rng.uniform(0.0, 1.0, (n, 10)) * (rng.random((n, 1)) < 0.5) * (rng.random((n, 10)) < 0.6)
    ice = total * frozen
    theta = total - ice
    water = rng.choice([0.0, 1e-5, 1e-3, 100.0 / 3600.0], n)
    holds = np.maximum(theta - soil["theta_res"][:, None], 0.0) * THICKNESS * 1000.0
    taken = holds * rng.uniform(0.0, 1.0, (n, 10)) * rng.choice([0.0, 0.02, 1.0], (n, 1))
    return soil, theta, ice, water, taken


# ---- retention


def test_head_and_content_invert_each_other():
    for name in soil_classes():
        head = -np.geomspace(1e-2, 1e3, 40)
        theta, conductivity, capacity = kernel.van_genuchten(head, **hydraulics(name))
        back, conductivity_back, capacity_back = kernel.soil_state(theta[:, None], **hydraulics(name))
        # 1 - s loses digits near saturation: at -1 cm 1 - s is 1e-2 to 1e-3, hence 1e-12 and not 1e-15
        np.testing.assert_allclose(back[:, 0], head, rtol=1e-9)
        np.testing.assert_allclose(conductivity_back[:, 0], conductivity, rtol=1e-9)
        np.testing.assert_allclose(capacity_back[:, 0], capacity, rtol=1e-9)


def test_capacity_is_the_slope_of_content():
    head = -np.geomspace(1e-2, 1e2, 20)
    step = 1e-6 * np.abs(head)
    up = kernel.van_genuchten(head + step, **hydraulics())[0]
    down = kernel.van_genuchten(head - step, **hydraulics())[0]
    # central difference: truncation 1e-12, rounding 1e-16/(1e-6 * slope of 0.01) = 1e-8
    np.testing.assert_allclose((up - down) / (2 * step), kernel.van_genuchten(head, **hydraulics())[2], rtol=1e-6)


def test_saturated_soil_conducts_at_its_saturated_rate_and_ice_blocks_it():
    soil = hydraulics("coarse")
    head, conductivity, capacity = kernel.soil_state(np.array([soil["theta_sat"]]), **soil)
    assert abs(head[0]) < 1e-6 and conductivity[0] == pytest.approx(soil["k_sat"]) and abs(capacity[0]) < 1e-6
    half = soil["theta_sat"] / 2
    blocked = kernel.soil_state(np.array([half]), np.array([half]), **soil)[1]
    assert blocked[0] == pytest.approx(soil["k_sat"] * 1e-3, rel=1e-9)  # 10^(-6 * 0.5), pores full


def test_clapp_hornberger_at_half_saturation():
    head, k = kernel.clapp_hornberger(0.2, theta_sat=0.4, psi_sat=-0.2, b=5.0, k_sat=1e-6)
    assert head == pytest.approx(-0.2 * 2**5, rel=1e-12) and k == pytest.approx(1e-6 * 0.5**13, rel=1e-12)


def test_field_capacity_lies_between_wilting_point_and_porosity():
    for name in soil_classes():
        soil = soil_class(name)
        assert soil.theta_res < soil.wilting_point < soil.field_capacity < soil.theta_sat
    # closed form of van Genuchten at -1 and -153 m for the medium class, by hand
    assert soil_class().field_capacity == pytest.approx(0.01 + 0.429 * (1 + 3.14**1.1804) ** (1 / 1.1804 - 1))
    assert soil_class().wilting_point == pytest.approx(0.01 + 0.429 * (1 + (3.14 * 153) ** 1.1804) ** (1 / 1.1804 - 1))


def test_texture_classes_of_the_fao():
    sand = [82, 43, 10, 20, 10, np.nan]
    clay = [6, 18, 20, 45, 70, np.nan]
    assert list(texture_class(sand, clay)) == [
        "coarse",
        "medium",
        "medium_fine",
        "fine",
        "very_fine",
        "medium",
    ]
    with pytest.raises(ConcertoError):
        texture_class(80, 40)
    with pytest.raises(ConcertoError):
        soil_class("rock")


# ---- Richards equation


@pytest.mark.parametrize("case", ["medium", "celia"])
def test_infiltration_agrees_with_fine_grid_solution(reference, case):
    table = reference("ecosystem_richards_fine.csv")
    mine = np.isnan(table["h_top_m"]) if case == "medium" else ~np.isnan(table["h_top_m"])
    first = np.argmax(mine)
    soil = dict(
        theta_sat=table["theta_s"][first],
        theta_res=table["theta_r"][first],
        alpha=table["alpha_per_m"][first],
        vg_n=table["n"][first],
        vg_l=table["l"][first],
        k_sat=table["Ks_m_s"][first],
    )
    thickness = np.full(20, table["depth_m"][first] / 20)
    theta = np.full(20, float(kernel.van_genuchten(table["h_init_m"][first], **soil)[0]))
    head = 0.0 if case == "medium" else table["h_top_m"][first]
    water = table["q_top_m_s"][first] * 1000.0 if case == "medium" else 1.0  # celia: more than the soil takes
    infiltrated, time, dt = 0.0, 0.0, 1800.0
    for end in np.unique(table["t_s"][mine]):
        while time < end:
            step = kernel.richards_step(theta, water, dt=dt, thickness=thickness, surface_head=head, **soil)
            assert closure(theta, step, water, 0.0, dt, thickness) < ROUND_OFF
            theta, time, infiltrated = step.theta, time + dt, infiltrated + step.flux[0]
        rows = mine & (table["t_s"] == end)
        error = theta - table["theta_layer_mean"][rows]
        # specification: 0.01 m3 m-3 RMS with 20 cells, aim 0.006; measured 0.0015
        assert np.sqrt(np.mean(error**2)) < 0.003
        # infiltration within 4 % (specification's own measurement)
        assert infiltrated / 1000.0 == pytest.approx(table["cum_top_flux_m"][rows][0], rel=0.02)


@pytest.mark.parametrize("dt", [300.0, 1800.0, 21600.0])
def test_water_is_conserved_in_every_column_and_layer(dt):
    soil, theta, ice, water, taken = random_columns(int(dt))
    sink = taken / dt
    step = kernel.richards_step(theta, water, sink, ice, dt=dt, **soil)
    assert np.isfinite(step.theta).all()
    assert closure(theta, step, water, sink, dt).max() < ROUND_OFF
    layer = (step.theta - theta) * THICKNESS - (-np.diff(step.flux, axis=-1) - sink * dt) / 1000.0
    assert np.abs(layer).max() < ROUND_OFF
    # bounds to the rounding of up to 60 sub-steps (60 * 2e-16): never over-full, never below residual
    slack = 5e-14
    assert (step.theta <= soil["theta_sat"][:, None] - ice + slack).all()
    lowest = np.minimum(soil["theta_res"][:, None], theta - sink * dt / (1000.0 * THICKNESS))
    assert (step.theta >= lowest - slack).all()
    assert (step.drainage >= 0.0).all() and (step.surface_runoff >= 0.0).all()


def test_result_of_a_tile_does_not_depend_on_its_block():
    soil, theta, ice, water, taken = random_columns(5, n=64)
    whole = kernel.richards_step(theta, water, taken / 1800.0, ice, **soil)
    for lanes in (16, 32):
        for start in range(0, 64, lanes):
            part = slice(start, start + lanes)
            some = {name: value[part] for name, value in soil.items()}
            step = kernel.richards_step(theta[part], water[part], taken[part] / 1800.0, ice[part], **some)
            for a, b in zip(step, whole, strict=True):
                np.testing.assert_array_equal(a, b[part])


def test_hydrostatic_column_stays_at_rest():
    depth = np.cumsum(THICKNESS) - THICKNESS / 2
    for name in soil_classes():
        soil = hydraulics(name)
        theta = kernel.van_genuchten(depth - 100.0, **soil)[0]
        step = kernel.richards_step(theta, dt=21600.0, **soil)
        # no flux inside but for rounding of heads (1e-9 relative); the bottom drains at K(-94 m), which the
        # layer above it begins to feel
        conductivity = kernel.van_genuchten(depth - 100.0, **soil)[1]
        assert np.abs(step.flux[:-2]).max() < 1e-6 * conductivity[0] * 21600.0 * 1000.0 + 1e-15


def test_saturated_column_drains_monotonically_to_the_unit_gradient():
    soil = hydraulics("coarse")
    theta = np.full(10, soil["theta_sat"])
    first, before, top = None, np.inf, theta[0]
    for _ in range(200):
        step = kernel.richards_step(theta, dt=3600.0, **soil)
        assert step.drainage <= before * (1 + 1e-12) and step.theta[0] <= top + 1e-12
        first = first or float(step.drainage)
        theta, before, top = step.theta, step.drainage, step.theta[0]
    assert first == pytest.approx(soil["k_sat"] * 3600.0 * 1000.0, rel=0.1)  # saturated: q = K_s at first
    # wetter with depth while it drains; weighting gravity to 3/4 upstream leaves ripples of some 0.001
    assert np.all(np.diff(theta) >= -0.003)


def test_steady_rain_sets_the_conductivity_equal_to_the_rain():
    soil = hydraulics("medium")
    theta = np.full(10, 0.35)
    rain = 1e-4  # kg m-2 s-1, 8.6 mm a day, a tenth of K_s
    for _ in range(4000):
        step = kernel.richards_step(theta, rain, dt=21600.0, **soil)
        theta = step.theta
    np.testing.assert_allclose(kernel.soil_state(theta, **soil)[1], rain / 1000.0, rtol=1e-6)
    assert step.drainage == pytest.approx(rain * 21600.0, rel=1e-6)


def test_cloudburst_runs_off_and_frozen_soil_takes_nothing():
    soil = hydraulics("medium")
    rain = 100.0 / 3600.0
    step = kernel.richards_step(np.full(10, 0.3), rain, **soil)
    assert 0.5 * rain * 1800.0 < step.surface_runoff < rain * 1800.0  # K_s is 4 mm an hour
    assert step.theta[0] == pytest.approx(soil["theta_sat"], abs=0.005)  # and the surface is all but full
    frozen = kernel.richards_step(np.full(10, 0.02), rain, ice=np.full(10, 0.419), **soil)
    # K_s 10^(-6 * 0.95) with a gradient of some hundred over half a centimetre: below 1 % of the rain
    assert frozen.surface_runoff > 0.99 * rain * 1800.0


def test_time_step_of_half_an_hour_is_accurate_enough():
    """Ten days of storms, layers of the model: 1800 s against 60 s."""
    soil = hydraulics("medium")
    rng = np.random.default_rng(1)
    rain = np.where(rng.random(240) < 0.06, rng.exponential(4.0, 240), 0.0) / 3600.0  # per hour

    def run(dt):
        theta = np.full(10, 0.3)
        runoff = 0.0
        kept = []
        for t in np.arange(0.0, 240 * 3600.0, dt):
            sink = np.where(np.arange(10) < 5, 2e-5 * np.clip((theta - 0.15) / 0.1, 0, 1), 0.0)
            step = kernel.richards_step(theta, rain[int(t // 3600)], sink, dt=dt, **soil)
            theta, runoff = step.theta, runoff + step.surface_runoff
            if (t + dt) % 21600.0 == 0.0:
                kept.append(theta)
        return np.array(kept), runoff

    coarse, coarse_runoff = run(1800.0)
    fine, fine_runoff = run(120.0)
    # measured 0.002 over 60 days of the same kind of weather; half the grid error of the layers
    assert np.sqrt(np.mean((coarse - fine) ** 2)) < 0.005
    assert coarse_runoff == pytest.approx(fine_runoff, abs=0.05 * rain.sum() * 3600.0)


def test_wrong_number_of_layers_is_refused():
    with pytest.raises(ConcertoError, match="layers"):
        kernel.richards_step(np.zeros(4), **hydraulics())


# ---- roots


def test_root_shares_sum_to_one_and_follow_jackson():
    share = kernel.root_fractions(0.966)
    assert share.sum() == pytest.approx(1.0, abs=1e-14) and share[9] == 0.0
    assert share[0] == pytest.approx((1 - 0.966) / (1 - 0.966**400), rel=1e-12)


def column(head, temperature=290.0, name="medium"):
    head = np.broadcast_to(np.asarray(head, dtype=float), (10,))
    theta = kernel.van_genuchten(head, **hydraulics(name))[0]
    return kernel.root_fractions(0.966), theta, head, np.broadcast_to(temperature, (10,))


def test_stress_is_linear_in_head_between_its_limits():
    for head, expected in ((-1.0, 1.0), (-66.0, 1.0), (-160.5, 0.5), (-255.0, 0.0), (-1e4, 0.0)):
        layers, stress = kernel.water_stress(*column(head))
        assert stress == pytest.approx(expected, abs=1e-12)
        assert layers.sum() == pytest.approx(stress, abs=1e-14)


def test_stress_by_moisture_is_linear_between_wilting_point_and_field_capacity():
    soil = soil_class()
    share, theta, head, temperature = column(-5.0)
    stress = kernel.water_stress(
        share,
        theta,
        head,
        temperature,
        form="moisture",
        theta_open=soil.field_capacity,
        theta_closed=soil.wilting_point,
    )[1]
    expected = (theta[0] - soil.wilting_point) / (soil.field_capacity - soil.wilting_point)
    assert stress == pytest.approx(expected, rel=1e-12)
    with pytest.raises(ConcertoError):
        kernel.water_stress(share, theta, head, temperature, form="guess")


def test_frozen_or_waterless_layers_give_nothing_and_are_not_replaced():
    share, theta, head, temperature = column(-1.0)
    cold = np.where(np.arange(10) < 3, 271.15, temperature)  # exactly T_f - 2 K: counts as frozen
    assert kernel.water_stress(share, theta, head, cold)[1] == pytest.approx(1.0 - share[:3].sum(), rel=1e-12)
    dry = np.where(np.arange(10) < 3, 0.0, theta)
    assert kernel.water_stress(share, dry, head, temperature)[1] == pytest.approx(1.0 - share[:3].sum(), rel=1e-12)


def test_uptake_is_shared_by_available_water_and_never_overdraws_a_layer():
    share, theta, head, temperature = column(np.linspace(-200.0, -10.0, 10))
    layers, stress = kernel.water_stress(share, theta, head, temperature)
    transpiration, uptake = kernel.root_uptake(5e-5, layers, stress, theta, 0.01)
    assert transpiration == pytest.approx(5e-5, rel=1e-12)
    np.testing.assert_allclose(uptake, 5e-5 * layers / stress, rtol=1e-12)
    transpiration, uptake = kernel.root_uptake(1.0, layers, stress, theta, 0.01)  # a hundred times the possible
    holds = (theta - 0.01) * THICKNESS * 1000.0
    assert transpiration < 1.0 and (uptake * 1800.0 <= holds * (1 + 1e-12)).all()
    assert transpiration == pytest.approx(uptake.sum(), rel=1e-12)


def test_plants_at_full_stress_or_in_dew_take_nothing():
    layers, stress = kernel.water_stress(*column(-300.0))
    assert kernel.root_uptake(1e-4, layers, stress, np.full(10, 0.1), 0.01)[0] == 0.0
    layers, stress = kernel.water_stress(*column(-1.0))
    assert kernel.root_uptake(-1e-4, layers, stress, np.full(10, 0.3), 0.01)[0] == 0.0


# ---- evaporation from bare soil


def bare(theta, temperature=293.15):
    soil = {name: value for name, value in hydraulics().items() if name not in ("vg_l", "k_sat")}
    head = kernel.soil_head(np.array([theta]), theta_sat=0.439, theta_res=0.01, alpha=3.14, vg_n=1.1804)[0]
    return kernel.soil_evaporation_limits(temperature, theta, 0.0, head, **soil)


def test_dry_surface_layer_follows_swenson_and_lawrence():
    assert bare(0.8 * 0.439 + 1e-9)[0] == 0.0  # at its onset
    resistance, humidity, most = bare(0.2)
    air_dry = 0.01 + 0.429 * (3.14e4) ** -0.1804
    space = 0.439 - air_dry
    layer = 0.015 * (0.8 * 0.439 - 0.2) / (0.8 * 0.439 - air_dry)
    tortuosity = space**2 * (space / 0.439) ** (3 * 0.1804)
    expected = layer / (2.12e-5 * (293.15 / 273.15) ** 1.75 * tortuosity)
    assert resistance == pytest.approx(expected, rel=1e-10)
    assert most == pytest.approx(0.5 * 0.19 * 10.0 / 1800.0, rel=1e-12)


def test_pores_of_wet_soil_are_humid_and_dry_soil_holds_back():
    wet, dry = bare(0.43), bare(0.02)
    assert 0.999 < wet[1] <= 1.0 and 0.0 <= dry[1] < 0.6
    assert dry[0] > bare(0.1)[0] > bare(0.3)[0] > wet[0] == 0.0
    assert bare(0.01)[2] == 0.0


def test_minus_100_m_of_head_is_the_humidity_of_the_kelvin_equation():
    soil = {name: value for name, value in hydraulics().items() if name not in ("vg_l", "k_sat")}
    humidity = kernel.soil_evaporation_limits(293.15, 0.2, 0.0, -100.0, **soil)[1]
    assert humidity == pytest.approx(np.exp(-100.0 * 9.80665 / (461.5 * 293.15)), rel=1e-12)


def test_blocks_of_64_tiles_take_one_pass_in_dry_weather():
    soil, n = hydraulics(), 64
    theta = np.asfortranarray(np.full((n, 10), 0.25))
    zero = np.zeros((n, 10), order="F")
    arrays = {name: np.full(n, value) for name, value in soil.items()}
    passes = core.concerto_soil_water.soil_water_richards(
        dt=1800.0,
        change_limit=0.1,
        surface_head=0.0,
        thickness=THICKNESS,
        water_input=np.zeros(n),
        sink=zero,
        ice=zero,
        theta=theta,
        **arrays,
    )[3]
    assert passes == 1
