"""Soil carbon: schemes against peers and exact solutions, scalars, equilibrium, conservation."""

import numpy as np
import pytest

from concerto.kernels import carbon
from concerto.tables.decomposition import schemes

YEAR = carbon.SECONDS_PER_YEAR
DAY = 86400.0


def run(name, state, input_per_second, seconds, scalar, **soil):
    """Pools and respiration rate after a time with constant rates and input."""
    rate, transfer, respired = carbon.decomposition_scheme(name, **soil)
    substeps = int(np.ceil(20.0 * np.max(rate) * scalar * seconds)) + 1
    pools, _, _ = carbon.soil_carbon_step(
        state,
        np.asarray(input_per_second) * seconds,
        rate,
        transfer,
        respired,
        scalar,
        time_step=seconds,
        n_substep=substeps,
    )
    return pools, carbon.heterotrophic_respiration(pools, rate, respired, scalar)


# ------------------------------------------------------------------------------------------------ schemes
def test_tables_share_out_all_that_decomposes():
    for scheme in schemes().values():
        assert all(-1e-12 < r <= 1.0 for r in scheme.respired)
        rate, transfer, respired = carbon.decomposition_scheme(scheme.name, sand=[5, 50, 95], clay=[60, 20, 2])
        assert np.all(rate >= 0.0) and np.all(transfer >= 0.0) and np.all(respired >= -1e-15)
        np.testing.assert_allclose(transfer.sum(axis=-2) + respired, 1.0, atol=1e-15)


@pytest.mark.parametrize(
    "sand, stocks",
    [
        (20, (5.896182, 6.695335, 8.851373, 10.546117)),
        (50, (3.880176, 4.455328, 7.880330, 8.610662)),
        (80, (2.271232, 2.667613, 7.105356, 7.066005)),
    ],
)
def test_century_cascade_has_its_closed_form_transit_times(sand, stocks):
    rate, transfer, respired = carbon.decomposition_scheme("cencn", sand=sand)
    unit = np.zeros((4, 7, 1))
    for case, pool in enumerate((0, 1, 2, 6)):
        unit[case, pool] = DAY / YEAR  # 1 per year
    pools, co2, residual = carbon.soil_carbon_periodic(np.ones(1), unit, rate, transfer, respired)
    # the numbers are printed to 1e-6: half a unit, and a little for the base rates as decimal numbers
    np.testing.assert_allclose(pools.sum(axis=-1), stocks, atol=6e-7)
    np.testing.assert_allclose(co2 * YEAR / DAY, 1.0, rtol=1e-10)  # respiration equals input
    assert np.all(residual < 1e-12)


def test_rothc_month_by_month_follows_rothc_py(reference):
    site, forcing, expected = (reference(f"soil_rothc_{n}.csv") for n in ("site", "forcing", "expected"))
    for s, scenario in enumerate(site["scenario"]):
        rows = forcing["scenario"] == scenario
        f = {name: column[rows] for name, column in forcing.items()}
        e = {name: column[expected["scenario"] == scenario] for name, column in expected.items()}
        clay, depth, inert = site["clay_pct"][s], site["depth_cm"][s], site["IOM_tC_ha"][s]
        if site["spin_to_equilibrium"][s]:  # step 0: equilibrium with forcing rows 1 to 12
            pools, deficit = np.array([e[p][0] for p in ("DPM", "RPM", "BIO", "HUM")]), e["SWC"][0]
        else:
            pools, deficit = np.array([site[f"init_{p}"][s] for p in ("DPM", "RPM", "BIO", "HUM")]), 0.0
        shift = 11 if site["spin_to_equilibrium"][s] else -1
        for row in np.flatnonzero(e["step"] > 0):
            i = int(e["step"][row]) + shift
            green = f["PC"][i]
            deficit = carbon.rothc_deficit(deficit, f["Rain"][i], f["Evap"][i], clay, depth, green)
            a = carbon.temperature_scalar("rothc", f["Tmp"][i] + 273.15)
            b = carbon.moisture_scalar("rothc", deficit=deficit, clay=clay, depth=depth)
            c = 0.6 if green else 1.0
            r = f["DPM_RPM"][i]
            plant = f["C_inp"][i] * np.array([r / (1 + r), 1 / (1 + r), 0.0, 0.0])
            manure = f["FYM"][i] * np.array([0.49, 0.49, 0.0, 0.02])
            pools, _ = carbon.rothc_month(pools, plant + manure, clay, a * b * c)
            got = [a, b, c, *pools, pools.sum() + inert]
            want = [e[n][row] for n in ("RM_TMP", "RM_Moist", "RM_PC", "DPM", "RPM", "BIO", "HUM", "SOC")]
            # spec: 1e-9 given the equilibrium row as start (the table has 12 digits)
            np.testing.assert_allclose(got, want, rtol=1e-9, err_msg=f"{scenario} row {row}")


def test_rothc_in_continuous_time_follows_soilr(reference):
    t = reference("soil_rothc_continuous_soilr.csv")
    for i in range(len(t["case"])):
        ratio = t["DR"][i]
        per_year = np.array([ratio / (1 + ratio), 1 / (1 + ratio), 0, 0, 0]) * t["In"][i]
        per_year += np.array([0.49, 0.49, 0, 0.02, 0]) * t["FYM"][i]
        start = np.array([0, 0, 0, 0, 2.7])
        seconds = t["t_year"][i] * YEAR
        pools, co2 = run("rothc", start, per_year / YEAR, seconds, t["xi"][i], clay=t["clay"][i])
        want = [t[n][i] for n in ("DPM", "RPM", "BIO", "HUM", "IOM", "release")]
        # the peer's solver runs at its default tolerance: 2e-6 measured, 1e-5 in the spec
        np.testing.assert_allclose([*pools, co2 * YEAR], want, rtol=1e-5)


def test_century_follows_soilr(reference):
    t = reference("soil_century_soilr.csv")
    week = 7.0 * DAY
    for i in range(len(t["case"])):
        clay, silt = t["clay"][i], t["silt"][i]
        metabolic = 0.85 - 0.018 * t["LN"][i]
        above, below = t["surfaceIn"][i], t["soilIn"][i]
        shares = np.array([above * (1 - metabolic), above * metabolic, below * (1 - metabolic), below * metabolic])
        per_week = np.concatenate([shares, np.zeros(3)])
        soil = dict(sand=100.0 * (1.0 - clay - silt), clay=100.0 * clay, lignin=t["Ls"][i])
        pools, co2 = run("century", np.zeros(7), per_week / week, t["t_week"][i] * week, t["xi"][i], **soil)
        names = ("STRsurf", "METsurf", "STRsoil", "METsoil", "ACT", "SLW", "PAS", "release")
        # the peer's solver runs at its default tolerance: 2e-5 measured, 1e-4 in the spec
        np.testing.assert_allclose([*pools, co2 * week], [t[n][i] for n in names], rtol=1e-4)


def test_yasso07_follows_soilr(reference):
    t = reference("soil_yasso07_soilr.csv")
    for i in range(len(t["case"])):
        per_year = np.array([t["In_to_A"][i], 0, 0, 0, 0])
        pools, co2 = run("yasso07", np.zeros(5), per_year / YEAR, t["t_year"][i] * YEAR, t["xi"][i])
        # the peer's solver runs at its default tolerance: 3e-5 measured, 1e-4 in the spec
        want = [t[n][i] for n in ("A", "W", "E", "N", "H", "release")]
        np.testing.assert_allclose([*pools, co2 * YEAR], want, rtol=1e-4)


# ------------------------------------------------------------------------------------------------ the step
def random_case(rng, name, n):
    rate, transfer, respired = carbon.decomposition_scheme(name, sand=rng.uniform(0, 95, n), clay=rng.uniform(0, 60, n))
    pools = 10.0 ** rng.uniform(-6, 1, (n, len(schemes()[name].pools))) * (rng.random((n, 1)) > 0.1)
    supply = 0.01 * rng.random(pools.shape) * (rng.random((n, 1)) > 0.2)
    scalar = np.where(rng.random(n) < 0.15, 0.0, rng.uniform(0.0, 5.0, n))
    return pools, supply, rate, transfer, respired, scalar


@pytest.mark.parametrize("name", schemes())
def test_carbon_is_conserved_in_every_step(name):
    pools, supply, *rest = random_case(np.random.default_rng(1), name, 4096)
    after, co2, decomposed = carbon.soil_carbon_step(pools, supply, *rest)
    residual = supply.sum(axis=1) - co2 - (after.sum(axis=1) - pools.sum(axis=1))
    # stocks reach 70 kg m-2, sums of them round at 1e-14; the project's bound is 1e-13 kg m-2
    assert np.max(np.abs(residual)) < 1e-13
    assert np.all(after >= 0.0) and np.all(co2 >= 0.0) and np.all(decomposed >= 0.0)


@pytest.mark.parametrize("name", ["cencn", "rothc"])
def test_daily_step_is_the_matrix_exponential(name):
    linalg = pytest.importorskip("scipy.linalg")
    pools, supply, rate, transfer, respired, scalar = random_case(np.random.default_rng(2), name, 20)
    after, _, _ = carbon.soil_carbon_step(pools, supply, rate, transfer, respired, scalar)
    for i in range(20):
        m = scalar[i] * DAY * (transfer[i] - np.eye(len(rate[i]))) @ np.diag(rate[i])
        augmented = np.block([[m, supply[i][:, None]], [np.zeros((1, len(m) + 1))]])
        exact = (linalg.expm(augmented) @ np.append(pools[i], 1.0))[:-1]
        # both sides are double precision, sums of up to 9 terms
        np.testing.assert_allclose(after[i], exact, rtol=1e-12, atol=1e-14)


def test_two_half_steps_equal_one():
    pools, supply, *rest = random_case(np.random.default_rng(3), "cencn", 100)
    once, _, _ = carbon.soil_carbon_step(pools, supply, *rest)
    half, _, _ = carbon.soil_carbon_step(pools, 0.5 * supply, *rest, time_step=0.5 * DAY)
    twice, _, _ = carbon.soil_carbon_step(half, 0.5 * supply, *rest, time_step=0.5 * DAY)
    np.testing.assert_allclose(twice, once, rtol=1e-13, atol=1e-15)  # composition of exponentials, rounding only


def test_frozen_or_empty_soil_respires_nothing_and_keeps_its_carbon():
    rate, transfer, respired = carbon.decomposition_scheme("cencn")
    pools = np.arange(1.0, 8.0)
    after, co2, _ = carbon.soil_carbon_step(pools, np.zeros(7), rate, transfer, respired, scalar=0.0)
    np.testing.assert_array_equal(after, pools)
    assert co2 == 0.0
    after, co2, _ = carbon.soil_carbon_step(np.zeros(7), np.zeros(7), rate, transfer, respired, scalar=3.0)
    assert co2 == 0.0 and not after.any()


def test_litter_is_shared_out_whole():
    rng = np.random.default_rng(4)
    tissue = dict(
        zip(
            ("litter_leaf", "litter_fine_root", "litter_wood", "litter_seed"),
            rng.random((4, 50)),
            strict=True,
        )
    )
    total = sum(tissue.values())
    for name in schemes():
        np.testing.assert_allclose(carbon.litter_to_pools(name, **tissue).sum(axis=-1), total, rtol=1e-15)
    got = carbon.litter_to_pools("cencn", litter_leaf=1.0, litter_wood=2.0)
    np.testing.assert_allclose(got, [0.25, 0.5, 0.25, 0.0, 0.0, 0.0, 2.0])
    np.testing.assert_allclose(carbon.litter_to_pools("rothc", 1.0, dpm_rpm_ratio=1.44)[0], 1.44 / 2.44)


def test_half_hourly_respiration_and_the_buffer_close_with_the_daily_step():
    from concerto import _core as core

    rate, transfer, respired = carbon.decomposition_scheme("cencn")
    pools = np.tile([0.03, 0.4, 0.2, 0.2, 5.0, 9.0, 2.0], (16, 1))
    buffer, release = np.zeros(16), np.zeros(16)
    start, emitted, supplied = pools.sum(axis=1), 0.0, 0.0
    rng = np.random.default_rng(5)
    for _ in range(30):
        scalar = 0.5 * (1.0 + 0.6 * np.sin(2.0 * np.pi * np.arange(48) / 48.0)) * rng.uniform(0.5, 1.0)
        for moment in scalar:
            flux = carbon.heterotrophic_respiration(pools, rate, respired, moment) + release
            buffer -= 1800.0 * flux
            emitted += 1800.0 * flux
        supply = rng.uniform(0.0, 0.002, (16, 7))
        pools, co2, _ = carbon.soil_carbon_step(pools, supply, rate, transfer, respired, scalar.mean())
        supplied += supply.sum(axis=1)
        release, imbalance = core.concerto_decomposition.close_respiration_buffer(
            day=DAY, respiration=co2, buffer=buffer
        )
        assert np.all(imbalance < 0.05)  # the warning bound: frozen pools are a good picture of the day
    residual = start + supplied - emitted - pools.sum(axis=1) - buffer
    assert np.max(np.abs(residual)) < 1e-13 * 30  # 30 daily steps of the project's bound


# --------------------------------------------------------------------------------------------- equilibrium
def season(rng, n, days):
    phase = 2.0 * np.pi * np.arange(days) / days
    return np.clip(rng.uniform(0.1, 0.8, (n, 1)) - rng.uniform(0.0, 0.6, (n, 1)) * np.cos(phase), 0.0, None)


def test_periodic_solution_is_where_brute_force_ends():
    rng = np.random.default_rng(6)
    # slow pools made faster, so that stepping reaches equilibrium within the test
    rate, transfer, respired = carbon.decomposition_scheme("cencn", sand=[10.0, 50.0, 90.0])
    rate = np.maximum(rate, 0.5 / YEAR)
    days = 73  # five-day steps
    step = 5.0 * DAY
    scalar = season(rng, 3, days) + 0.2
    supply = 0.004 * rng.random((3, 7, days))
    pools, co2, residual = carbon.soil_carbon_periodic(scalar, supply, rate, transfer, respired, time_step=step)
    brute = np.zeros((3, 7))
    for _ in range(150):
        for day in range(days):
            brute, _, _ = carbon.soil_carbon_step(
                brute, supply[..., day], rate, transfer, respired, scalar[:, day], step
            )
    # the slowest mode decays with about 0.2 yr-1: exp(-0.2 x 150) = 1e-13 of the start is left
    np.testing.assert_allclose(brute, pools, rtol=1e-10)
    np.testing.assert_allclose(co2, supply.sum(axis=(1, 2)), rtol=1e-11)
    assert np.all(residual < 1e-12)


@pytest.mark.parametrize("name", ["cencn", "rothc"])
def test_equilibrium_returns_to_itself_and_respires_its_input(name):
    rng = np.random.default_rng(7)
    size = len(schemes()[name].pools)
    rate, transfer, respired = carbon.decomposition_scheme(
        name, sand=rng.uniform(5, 90, 16), clay=rng.uniform(2, 50, 16)
    )
    supply = np.zeros((16, size, 365))
    supply[:, :2] = 0.002 * rng.random((16, 2, 365))
    start = np.zeros((16, size))
    if name == "rothc":
        start[:, 4] = 2.7  # inert carbon stays as it was
    scalar = season(rng, 16, 365)
    pools, co2, residual = carbon.soil_carbon_periodic(scalar, supply, rate, transfer, respired, start)
    # spec: one cycle from the solution returns it to 1e-10
    assert np.all(residual < 1e-10)
    np.testing.assert_allclose(co2, supply.sum(axis=(1, 2)), rtol=1e-9)
    if name == "rothc":
        np.testing.assert_array_equal(pools[:, 4], 2.7)
    double, _, _ = carbon.soil_carbon_periodic(scalar, 2.0 * supply, rate, transfer, respired, 2.0 * start)
    np.testing.assert_allclose(double, 2.0 * pools, rtol=1e-12)  # linear in the input


def test_soil_that_never_thaws_keeps_its_carbon():
    rate, transfer, respired = carbon.decomposition_scheme("cencn")
    start = np.arange(1.0, 8.0)
    pools, co2, residual = carbon.soil_carbon_periodic(
        np.zeros(365), np.zeros((7, 365)), rate, transfer, respired, start
    )
    np.testing.assert_array_equal(pools, start)
    assert co2 == 0.0 and residual == 0.0


# ------------------------------------------------------------------------------------------------- scalars
TEMPERATURE = {
    "Arrhenius_A1000_Ea75000": ("arrhenius", dict(factor=1000.0, activation_energy=75000.0, gas=8.3144621)),
    "Century1": ("century1", {}),
    "Daycent1": ("daycent1", {}),
    "Daycent2": ("daycent2", dict(lowest=-1.0)),  # the peer has no lower bound
    "Demeter_Q10_2": ("q10", dict(q10=2.0, reference=293.15)),
    "Kirschbaum": ("kirschbaum", {}),
    "LloydTaylor_273": ("lloyd_taylor", dict(zero_celsius=273.0)),
    "Q10_ref10_2": ("q10", dict(q10=2.0, reference=283.15)),
    "RothC_26_3": ("rothc", dict(scale=47.9, slope=106.0, shift=18.3, lowest=-18.3)),
    "Standcarb": ("standcarb", {}),
}


@pytest.mark.parametrize("column", TEMPERATURE)
def test_temperature_scalars_follow_soilr(reference, column):
    table = reference("soil_scalars_temperature.csv")
    name, parameters = TEMPERATURE[column]
    got = carbon.temperature_scalar(name, table["T_degC"] + 273.15, **parameters)
    np.testing.assert_allclose(got, table[column], rtol=1e-9)  # spec; the table has 12 digits


def test_moisture_scalars_follow_soilr(reference):
    table = reference("soil_scalars_moisture.csv")
    w = table["theta"]
    got = {
        "Candy_PV045": carbon.moisture_scalar("candy", pore_volume=0.45, water=w),
        "Daycent1_fine": carbon.moisture_scalar("daycent1", bulk_density=1.3, water=w),
        "Daycent2_WP10_FC35": carbon.moisture_scalar("daycent2", wilting=10, field_capacity=35, water=100 * w),
        "Demeter_sat45": carbon.moisture_scalar("demeter", saturation=0.45, water=w),
        "Gompertz": carbon.moisture_scalar("gompertz", water=w),
        "Moyano": carbon.moisture_scalar("moyano", water=w),
        "Skopp_rwc": carbon.moisture_scalar("skopp", relative_water=w / 0.45),
        "Century_PPT_PET": carbon.moisture_scalar("century", precipitation_ratio=2.5 * w),
    }
    for name, value in got.items():
        np.testing.assert_allclose(value, table[name], rtol=1e-9, err_msg=name)  # spec; 12 digits


def test_rothc_scalars_follow_pyrothc(reference):
    t = reference("soil_rothc_scalars_pyrothc.csv")
    warmth = carbon.temperature_scalar("rothc", t["T_degC"] + 273.15, scale=47.9, slope=106, shift=18.3, lowest=-18.3)
    np.testing.assert_allclose(warmth, t["fT"], rtol=1e-10)
    for case in np.unique(t["case"]):
        deficit = 0.0
        for i in np.flatnonzero(t["case"] == case):
            # the peer divides the largest deficit by 1.8 where the soil is bare, here by way of the depth
            depth = t["depth_cm"][i] / (1.8 if t["bare"][i] else 1.0)
            deficit = carbon.rothc_deficit(deficit, t["rain_mm"][i], t["evap_mm"][i], t["clay_pct"][i], depth)
            wetness = carbon.moisture_scalar("rothc", deficit=deficit, clay=t["clay_pct"][i], depth=depth)
            # spec: 1e-10; the deficit is printed to 12 digits
            np.testing.assert_allclose([deficit, wetness], [t["acc_TSMD_mm"][i], t["b"][i]], rtol=1e-10)


def test_scalars_have_their_check_values():
    kelvin = np.array([-10.0, 0.0, 10.0, 25.0]) + 273.15
    want = [0.0469666, 0.3021360, 1.0, 3.2006093]
    np.testing.assert_allclose(carbon.temperature_scalar("lloyd_taylor", kelvin), want, atol=5e-8)  # as printed
    kelvin = np.array([-20.0, 0.0, 15.0, 25.0, 30.0, 40.0]) + 273.15
    want = [0.01, 0.118212, 0.547063, 0.906360, 1.0, 1.098837]
    np.testing.assert_allclose(carbon.temperature_scalar("century_arctan", kelvin), want, atol=5e-7)
    head = np.array([-0.01, -0.033, -0.1, -1.0, -1.5]) / 9.80665e-3
    want = [0.767010, 0.594172, 0.433677, 0.100343, 0.041646]
    np.testing.assert_allclose(carbon.moisture_scalar("log_potential", head=head), want, atol=5e-7)


def test_default_scalar_meets_the_century_curve_at_15_degrees():
    got = carbon.decomposition_scalar(np.full(5, 288.15), np.full(5, -1e-3), np.full(5, 0.2))
    np.testing.assert_allclose(got, 0.547063, atol=1e-6)  # the factor is printed to 6 digits


def test_decomposition_stops_in_frozen_and_dry_soil():
    layers = np.ones(3) / 3.0
    frozen = carbon.decomposition_scalar(np.full(3, 265.0), np.full(3, -1.0), layers)
    dry = carbon.decomposition_scalar(np.full(3, 290.0), np.full(3, -1000.0), layers)
    cold = carbon.decomposition_scalar(np.full(3, 267.0), np.full(3, -1.0), layers, name="rothc")
    assert frozen == 0.0 and dry == 0.0 and cold == 0.0
    warmer = carbon.decomposition_scalar(np.full(3, 272.65), np.full(3, -1.0), layers)
    assert 0.0 < warmer < 0.1  # liquid water at half a degree below freezing
    saturated = carbon.decomposition_scalar(np.full(3, 290.0), np.full(3, 0.5), layers)  # ponded: positive head
    assert np.isclose(saturated, 0.820595 * 1.5 ** ((290.0 - 298.15) / 10.0), rtol=1e-12)
