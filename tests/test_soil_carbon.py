"""Soil carbon: schemes against peers and exact solutions, scalars, equilibrium, conservation."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from concerto.kernels import carbon
from concerto.tables.decomposition import schemes

YEAR = carbon.SECONDS_PER_YEAR
DAY = 86400.0


def run(name, state, input_per_second, seconds, scalar, **soil):
    """Pools and respiration rate after a time with constant rates and input."""
    rate, transfer, respired = carbon.decomposition_scheme(name, **soil)
    substeps = int(np.ceil(20.0 * np.max(rate) * scalar * seconds)) + 1
    pools, _, _ = carbon.one_layer_step(
        state,
        np.asarray(input_per_second) * seconds,
        rate,
        transfer,
        respired,
        scalar,
        time_step=seconds,
        n_substep=substeps,
    )
    return pools, carbon.one_layer_respiration(pools, rate, respired, scalar)


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
    pools, co2, residual = carbon.one_layer_periodic(np.ones((1, 1)), unit, rate, transfer, respired)
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


def soft(values):
    """A W E N H as the nine pools of the Yasso tables: all in the class of soft litter."""
    return np.array([*values[:4], 0, 0, 0, 0, values[4]])


def test_yasso07_follows_soilr(reference):
    t = reference("soil_yasso07_soilr.csv")
    for i in range(len(t["case"])):
        per_year = soft([t["In_to_A"][i], 0, 0, 0, 0])
        pools, co2 = run("yasso07", np.zeros(9), per_year / YEAR, t["t_year"][i] * YEAR, t["xi"][i])
        assert not pools[4:8].any()
        # the peer's solver runs at its default tolerance: 3e-5 measured, 1e-4 in the spec
        want = [t[n][i] for n in ("A", "W", "E", "N", "H", "release")]
        np.testing.assert_allclose([*pools[:4], pools[8], co2 * YEAR], want, rtol=1e-4)


def test_yasso15_follows_ryassofortran(reference):
    t = reference("soil_yasso15_cases.csv")
    rate, transfer, _ = carbon.decomposition_scheme("yasso15")
    awen = "AWENH"
    for i in range(len(t["case"])):
        months = np.array([t[f"T{m:02d}_degC"][i] for m in range(1, 13)])
        rain, size = t["prec_mm_yr"][i], t["diam_cm"][i]
        scalar = carbon.one_layer_scalars("yasso15", 1.0, months + 273.15, rain, size).mean(axis=0)
        # leaching of the peer: one more loss of A, W, E, N that nobody receives
        speed = rate * scalar
        leached = -t["leach"][i] * rain / 1000.0 / YEAR * (np.arange(9) < 8)
        given_on = transfer * (speed / (speed + leached))
        lost = 1.0 - given_on.sum(axis=0)
        # wood of the peer's case is our wood; what has no size may go to either class
        pools = [4, 5, 6, 7, 8] if size > 0 else [0, 1, 2, 3, 8]
        litter, start = np.zeros(9), np.zeros(9)
        litter[pools] = [t[f"lit_{p}"][i] for p in awen]
        start[pools] = [t[f"init_{p}"][i] for p in awen]
        if t["steady"][i]:
            got, _, _ = carbon.one_layer_periodic(
                np.ones((9, 1)), litter[:, None] / YEAR * DAY, speed + leached, given_on, lost, start
            )
        else:
            years = t["time_yr"][i]
            steps = int(np.ceil(20.0 * np.max(speed + leached) * years * YEAR)) + 1
            got, _, _ = carbon.one_layer_step(
                start, litter * years, speed + leached, given_on, lost, 1.0, max(years, 1e-9) * YEAR, steps
            )
        # spec: 1e-8, of the largest pool where a pool is far smaller than the rest (12 digits are printed)
        want = np.array([t[f"out_{p}"][i] for p in awen])
        np.testing.assert_allclose(got[pools], want, rtol=1e-8, atol=1e-13, err_msg=t["case"][i])


def test_century_pulse_follows_centurypy(reference):
    t = reference("soil_centurypy.csv")
    for case in np.unique(t["case"]):
        rows = np.flatnonzero(t["case"] == case)
        q = {name: column[rows[0]] for name, column in t.items()}
        # structural, metabolic, slow, active, passive; rates per day
        rate = np.array([q["Kest"], q["Kmet"], q["Kminl"], q["Khumac"], q["Kminp"]]) / DAY
        fine = 0.85 - 0.68 * q["silt_plus_clay"]
        transfer = np.zeros((5, 5))
        transfer[2, 0] = (1 - q["ResEL"]) * q["PartEst"]
        transfer[3, 0] = (1 - q["ResEA"]) * (1 - q["PartEst"])
        transfer[3, 1] = 1 - q["ResMet"]
        transfer[3, 2] = 1 - q["ResLA"] - q["PartLen"]
        transfer[4, 2] = q["PartLen"]
        transfer[2, 3] = 1 - fine - q["PartAct"]
        transfer[4, 3] = q["PartAct"]
        transfer[3, 4] = 1 - q["ResPA"]
        # the share that is metabolic comes from our litter routine
        litter = carbon.one_layer_litter("century", q["necromass"], leaf_lignin_nitrogen=q["lignin_to_N"])
        start = np.array([litter[0], litter[1], q["slow0"], q["active0"], q["passive0"]])
        for row in rows:
            days = t["day"][row]
            pools, _, _ = carbon.one_layer_step(
                start, np.zeros(5), rate, transfer, 1 - transfer.sum(axis=0), 1.0, max(days, 1e-9) * DAY, int(days) + 1
            )
            names = ("structural", "metabolic", "slow", "active", "passive", "respired")
            want = [t[n][row] for n in names]
            respired = q["resp0"] + start.sum() - pools.sum()
            # the table was integrated at a tolerance of 1e-11 and is printed to 8 decimals
            np.testing.assert_allclose([*pools, respired], want, rtol=1e-8, atol=1e-6)


def test_yasso20_sends_no_more_carbon_on_than_leaves():
    # the published fractions of A and N add to 1.0042; the table holds them at 1 (nothing respired)
    _, transfer, respired = carbon.decomposition_scheme("yasso20")
    np.testing.assert_allclose(respired[[0, 3]], 0.0, atol=1e-15)
    assert np.all(transfer.sum(axis=0) <= 1.0 + 1e-15)


def test_size_slows_wood_only_and_thin_wood_not_at_all():
    for name in ("yasso07", "yasso15", "yasso20"):
        bare = carbon.one_layer_scalars(name, air_temperature=283.15, diameter=0.0)
        np.testing.assert_array_equal(bare[:4], bare[4:8])
        thin = carbon.one_layer_scalars(name, air_temperature=283.15, diameter=np.linspace(0.0, 0.3, 20))
        np.testing.assert_array_equal(thin, np.broadcast_to(bare, thin.shape))
        # Yasso20's polynomial is negative between 0.5 and 1.5 cm: no slowing there, no NaN
        wide = carbon.one_layer_scalars(name, air_temperature=283.15, diameter=np.linspace(0.0, 60.0, 200))
        assert np.all(np.diff(wide[:, 4:8], axis=0) <= 0.0) and np.all(wide[-1, 4:8] < 0.5 * bare[4:8])
        np.testing.assert_array_equal(wide[:, [0, 1, 2, 3, 8]], np.broadcast_to(bare[[0, 1, 2, 3, 8]], (200, 5)))


def test_yasso_needs_rain_and_survives_any_cold():
    for name in ("yasso07", "yasso15", "yasso20"):
        assert not carbon.one_layer_scalars(name, air_temperature=283.15, annual_precipitation=0.0).any()
        cold = carbon.one_layer_scalars(name, air_temperature=193.15)
        # Yasso15's quadratic term of humus is small: exp(-2.8 - 1.3) at -80 degC
        assert np.all(cold < 0.05) and np.all(cold >= 0.0)


def test_inert_carbon_does_not_answer_to_the_soil():
    scalar = carbon.one_layer_scalars("rothc", soil_scalar=0.3)
    np.testing.assert_array_equal(scalar, [0.3, 0.3, 0.3, 0.3, 1.0])
    np.testing.assert_array_equal(carbon.one_layer_scalars("century", soil_scalar=[0.0, 2.0])[1], np.full(7, 2.0))


def test_litter_of_century_splits_by_lignin_and_place():
    got = carbon.one_layer_litter("century", 1.0, 2.0, 4.0, leaf_lignin_nitrogen=10.0, root_lignin_nitrogen=1000.0)
    leaf, root = 0.85 - 0.18, 0.2  # beyond lignin:N = 36 the metabolic share stays at 0.2
    want = [1 - leaf + 3.0, leaf, 2 * (1 - root) + 1.0, 2 * root, 0, 0, 0]
    np.testing.assert_allclose(got, want, rtol=1e-14)
    assert carbon.one_layer_litter("century", 1.0, leaf_lignin_nitrogen=0.0)[1] == 0.85
    leaf, root, structural = carbon.litter_quality(0.25, 50.0, 42.0)
    assert leaf == 0.25 * 2.5 * 50.0 and root == 0.25 * 2.5 * 42.0
    shares = [max(0.2, 0.85 - 0.018 * x) for x in (leaf, root)]
    np.testing.assert_allclose(structural, 0.25 / (1.0 - np.mean(shares)), rtol=1e-14)


def test_litter_of_yasso_keeps_wood_apart():
    got = carbon.one_layer_litter("yasso15", 1.0, 2.0, 4.0, 0.5, composition="needle")
    needle = carbon.LITTER_COMPOSITION["needle"]
    np.testing.assert_allclose(got[:3], 1.5 * np.array(needle[:3]) + 2.0 * np.array(needle[3:6]), rtol=1e-14)
    np.testing.assert_allclose([got[:4].sum(), got[4:8].sum(), got[8]], [3.5, 4.0, 0.0], rtol=1e-14)
    np.testing.assert_allclose(got[4:7], 4.0 * np.array(needle[6:]), rtol=1e-14)


# ------------------------------------------------------------------------------------------------ the step
def random_case(rng, name, n):
    rate, transfer, respired = carbon.decomposition_scheme(name, sand=rng.uniform(0, 95, n), clay=rng.uniform(0, 60, n))
    pools = 10.0 ** rng.uniform(-6, 1, (n, len(schemes()[name].pools))) * (rng.random((n, 1)) > 0.1)
    supply = 0.01 * rng.random(pools.shape) * (rng.random((n, 1)) > 0.2)
    scalar = np.where(rng.random((n, 1)) < 0.15, 0.0, rng.uniform(0.0, 5.0, (n, 1)))
    return pools, supply, rate, transfer, respired, scalar


@pytest.mark.parametrize("name", schemes())
def test_carbon_is_conserved_in_every_step(name):
    pools, supply, *rest = random_case(np.random.default_rng(1), name, 4096)
    after, co2, decomposed = carbon.one_layer_step(pools, supply, *rest)
    residual = supply.sum(axis=1) - co2 - (after.sum(axis=1) - pools.sum(axis=1))
    # stocks reach 70 kg m-2, sums of them round at 1e-14; the project's bound is 1e-13 kg m-2
    assert np.max(np.abs(residual)) < 1e-13
    assert np.all(after >= 0.0) and np.all(co2 >= 0.0) and np.all(decomposed >= 0.0)


@pytest.mark.parametrize("name", schemes())
def test_daily_step_is_the_matrix_exponential(name):
    linalg = pytest.importorskip("scipy.linalg")
    pools, supply, rate, transfer, respired, scalar = random_case(np.random.default_rng(2), name, 20)
    after, _, _ = carbon.one_layer_step(pools, supply, rate, transfer, respired, scalar)
    for i in range(20):
        m = scalar[i, 0] * DAY * (transfer[i] - np.eye(len(rate[i]))) @ np.diag(rate[i])
        augmented = np.block([[m, supply[i][:, None]], [np.zeros((1, len(m) + 1))]])
        exact = (linalg.expm(augmented) @ np.append(pools[i], 1.0))[:-1]
        # both sides are double precision, sums of up to 9 terms
        np.testing.assert_allclose(after[i], exact, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("name", schemes())
def test_pools_with_their_own_scalars_follow_the_matrix_exponential(name):
    linalg = pytest.importorskip("scipy.linalg")
    rng = np.random.default_rng(12)
    pools, supply, rate, transfer, respired, _ = random_case(rng, name, 20)
    scalar = rng.uniform(0.0, 4.0, pools.shape)
    after, co2, decomposed = carbon.one_layer_step(pools, supply, rate, transfer, respired, scalar)
    for i in range(20):
        m = DAY * (transfer[i] - np.eye(len(rate[i]))) @ np.diag(rate[i] * scalar[i])
        augmented = np.block([[m, supply[i][:, None]], [np.zeros((1, len(m) + 1))]])
        exact = (linalg.expm(augmented) @ np.append(pools[i], 1.0))[:-1]
        # both sides are double precision, sums of up to 11 terms
        np.testing.assert_allclose(after[i], exact, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(co2, (respired * decomposed).sum(axis=1), rtol=1e-13)
    flux = carbon.one_layer_respiration(pools, rate, respired, scalar)
    np.testing.assert_allclose(flux, (scalar * rate * respired * pools).sum(axis=1), rtol=1e-13)


def test_one_scalar_for_all_pools_is_the_scalar_of_each():
    for name in schemes():
        pools, supply, rate, transfer, respired, scalar = random_case(np.random.default_rng(13), name, 64)
        one = carbon.one_layer_step(pools, supply, rate, transfer, respired, scalar)
        many = carbon.one_layer_step(pools, supply, rate, transfer, respired, np.repeat(scalar, pools.shape[1], axis=1))
        for a, b in zip(one, many, strict=True):
            np.testing.assert_array_equal(a, b)


def nine(highest):
    return st.lists(st.floats(0.0, highest), min_size=9, max_size=9)


NAMES = st.sampled_from(sorted(schemes()))


@settings(max_examples=60, deadline=None)
@given(NAMES, nine(50.0), nine(6.0), nine(0.02), st.floats(0.0, 100.0), st.floats(0.0, 100.0))
def test_any_step_conserves_carbon_and_keeps_it_positive(name, pools, scalar, supply, clay, part):
    size = len(schemes()[name].pools)
    rate, transfer, respired = carbon.decomposition_scheme(name, sand=(100.0 - clay) * part / 100.0, clay=clay)
    pools, scalar, supply = np.array(pools[:size]), np.array(scalar[:size]), np.array(supply[:size])
    after, co2, decomposed = carbon.one_layer_step(pools, supply, rate, transfer, respired, scalar)
    # identity 1 of the spec: 1e-13 kg m-2, and sums of stocks of up to 450 kg m-2 that round at 1e-13
    assert abs(supply.sum() - co2 - (after.sum() - pools.sum())) < 1e-13 + 3e-16 * pools.sum()
    assert np.all(after >= 0.0) and co2 >= 0.0 and np.all(decomposed >= 0.0)


@settings(max_examples=40, deadline=None)
@given(NAMES, st.integers(0, 2**31 - 1), st.integers(1, 40))
def test_any_equilibrium_respires_its_input_and_is_linear_in_it(name, seed, days):
    rng = np.random.default_rng(seed)
    size = len(schemes()[name].pools)
    rate, transfer, respired = carbon.decomposition_scheme(name, sand=rng.uniform(0, 95), clay=rng.uniform(0, 60))
    scalar, supply = rng.uniform(0.05, 3.0, (size, days)), 0.01 * rng.random((size, days))
    supply[rate == 0.0] = 0.0  # nothing enters inert carbon
    pools, co2, residual = carbon.one_layer_periodic(scalar, supply, rate, transfer, respired)
    assert residual < 1e-10  # identity 10 of the spec
    # slow pools turn over in 1e5 cycles of a few days: 1e-16 of the stock over its flux
    np.testing.assert_allclose(co2, supply.sum(), rtol=1e-9)
    twice, _, _ = carbon.one_layer_periodic(scalar, 2.0 * supply, rate, transfer, respired)
    np.testing.assert_allclose(twice, 2.0 * pools, rtol=1e-12)


@pytest.mark.parametrize("name", schemes())
def test_two_half_steps_equal_one(name):
    pools, supply, *rest = random_case(np.random.default_rng(3), name, 100)
    once, _, _ = carbon.one_layer_step(pools, supply, *rest)
    half, _, _ = carbon.one_layer_step(pools, 0.5 * supply, *rest, time_step=0.5 * DAY)
    twice, _, _ = carbon.one_layer_step(half, 0.5 * supply, *rest, time_step=0.5 * DAY)
    np.testing.assert_allclose(twice, once, rtol=1e-13, atol=1e-15)  # composition of exponentials, rounding only


def test_frozen_or_empty_soil_respires_nothing_and_keeps_its_carbon():
    rate, transfer, respired = carbon.decomposition_scheme("cencn")
    pools = np.arange(1.0, 8.0)
    after, co2, _ = carbon.one_layer_step(pools, np.zeros(7), rate, transfer, respired, scalar=0.0)
    np.testing.assert_array_equal(after, pools)
    assert co2 == 0.0
    after, co2, _ = carbon.one_layer_step(np.zeros(7), np.zeros(7), rate, transfer, respired, scalar=3.0)
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
        # three sums of up to nine terms
        for plant in carbon.LITTER_COMPOSITION:
            shares = carbon.one_layer_litter(name, **tissue, composition=plant)
            np.testing.assert_allclose(shares.sum(axis=-1), total, rtol=1e-15)
            assert np.all(shares >= 0.0)
    got = carbon.one_layer_litter("cencn", litter_leaf=1.0, litter_wood=2.0)
    np.testing.assert_allclose(got, [0.25, 0.5, 0.25, 0.0, 0.0, 0.0, 2.0])
    np.testing.assert_allclose(carbon.one_layer_litter("rothc", 1.0, dpm_rpm_ratio=1.44)[0], 1.44 / 2.44)


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
            flux = carbon.one_layer_respiration(pools, rate, respired, moment) + release
            buffer -= 1800.0 * flux
            emitted += 1800.0 * flux
        supply = rng.uniform(0.0, 0.002, (16, 7))
        pools, co2, _ = carbon.one_layer_step(pools, supply, rate, transfer, respired, scalar.mean())
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
    course = np.clip(rng.uniform(0.1, 0.8, (n, 1)) - rng.uniform(0.0, 0.6, (n, 1)) * np.cos(phase), 0.0, None)
    return course[:, None, :]  # one scalar for all pools


def test_periodic_solution_is_where_brute_force_ends():
    rng = np.random.default_rng(6)
    # slow pools made faster, so that stepping reaches equilibrium within the test
    rate, transfer, respired = carbon.decomposition_scheme("cencn", sand=[10.0, 50.0, 90.0])
    rate = np.maximum(rate, 0.5 / YEAR)
    days = 73  # five-day steps
    step = 5.0 * DAY
    scalar = season(rng, 3, days) + 0.2
    supply = 0.004 * rng.random((3, 7, days))
    pools, co2, residual = carbon.one_layer_periodic(scalar, supply, rate, transfer, respired, time_step=step)
    brute = np.zeros((3, 7))
    for _ in range(150):
        for day in range(days):
            brute, _, _ = carbon.one_layer_step(
                brute, supply[..., day], rate, transfer, respired, scalar[:, :, day], step
            )
    # the slowest mode decays with about 0.2 yr-1: exp(-0.2 x 150) = 1e-13 of the start is left
    np.testing.assert_allclose(brute, pools, rtol=1e-10)
    np.testing.assert_allclose(co2, supply.sum(axis=(1, 2)), rtol=1e-11)
    assert np.all(residual < 1e-12)


@pytest.mark.parametrize("name", schemes())
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
    pools, co2, residual = carbon.one_layer_periodic(scalar, supply, rate, transfer, respired, start)
    # spec: one cycle from the solution returns it to 1e-10
    assert np.all(residual < 1e-10)
    np.testing.assert_allclose(co2, supply.sum(axis=(1, 2)), rtol=1e-9)
    if name == "rothc":
        np.testing.assert_array_equal(pools[:, 4], 2.7)
    double, _, _ = carbon.one_layer_periodic(scalar, 2.0 * supply, rate, transfer, respired, 2.0 * start)
    np.testing.assert_allclose(double, 2.0 * pools, rtol=1e-12)  # linear in the input


def test_soil_that_never_thaws_keeps_its_carbon():
    rate, transfer, respired = carbon.decomposition_scheme("cencn")
    start = np.arange(1.0, 8.0)
    pools, co2, residual = carbon.one_layer_periodic(
        np.zeros((1, 365)), np.zeros((7, 365)), rate, transfer, respired, start
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
    np.testing.assert_allclose(
        carbon.moisture_scalar("log_potential", head=head, head_dry=-2.0 / 9.80665e-3), want, atol=5e-7
    )  # -2 MPa


def test_default_scalar_meets_the_century_curve_at_15_degrees():
    got = carbon.decomposition_scalar(np.full(5, 288.15), np.full(5, -1e-3), np.full(5, 0.2))
    np.testing.assert_allclose(got, 0.547063, atol=1e-6)  # the factor is printed to 6 digits


def test_decomposition_stops_in_frozen_and_dry_soil():
    layers = np.ones(3) / 3.0
    frozen = carbon.decomposition_scalar(np.full(3, 265.0), np.full(3, -1.0), layers)
    dry = carbon.decomposition_scalar(np.full(3, 290.0), np.full(3, -1050.0), layers)  # below -10 MPa
    cold = carbon.decomposition_scalar(np.full(3, 267.0), np.full(3, -1.0), layers, name="rothc")
    assert frozen == 0.0 and dry == 0.0 and cold == 0.0
    warmer = carbon.decomposition_scalar(np.full(3, 272.65), np.full(3, -1.0), layers)
    assert 0.0 < warmer < 0.1  # liquid water at half a degree below freezing
    saturated = carbon.decomposition_scalar(np.full(3, 290.0), np.full(3, 0.5), layers)  # ponded: positive head
    assert np.isclose(saturated, 0.820595 * 1.5 ** ((290.0 - 298.15) / 10.0), rtol=1e-12)
