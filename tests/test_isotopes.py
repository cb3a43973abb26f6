"""Carbon isotopes: discrimination, tracers of plants and soil, decay, conversions, and the isotopes of the air."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import expm

from concerto.errors import ConcertoError
from concerto.forcing import isotopes as air
from concerto.kernels import carbon, isotopes

YEAR = isotopes.SECONDS_PER_YEAR
DAY = 86400.0
DECAY = np.log(2.0) / isotopes.HALF_LIFE  # yr-1

# A table with every kind of flux that vegetation_daily has: debt and germination to the labile pool (1), litter
# (sinks 7 to 10: leaf, fine root, wood, seed), growth from the labile pool, and growth respiration (sink 11).
TABLE = [
    *[(2, 1), (3, 1), (4, 1), (6, 1), (2, 7), (3, 8), (4, 9), (5, 9), (4, 5), (6, 10)],
    *[(1, 10), (1, 2), (1, 3), (1, 4), (1, 6), (1, 11)],
]
DONOR, RECEIVER = (np.array(column, dtype=np.int32) for column in zip(*TABLE, strict=True))
N_SINK = 5


def random_day(rng, pools):
    """Fluxes, gpp and maintenance that no pool of ``pools`` (..., 6) is overdrawn by, and the pools after it."""
    lead = pools.shape[:-1]
    flux = np.zeros((*lead, len(TABLE)))
    gpp = rng.choice([0.0, 1e-2], lead) * rng.random(lead)
    labile = pools[..., 0] + gpp
    after = pools.copy()
    for donor in range(2, 7):
        rows = np.flatnonzero(donor == DONOR)
        share = rng.random((*lead, len(rows) + 1)) ** 8  # mostly small, sometimes nearly all
        share /= share.sum(axis=-1, keepdims=True)
        if rng.random() < 0.1:  # a pool that gives all it has
            share /= share[..., :-1].sum(axis=-1, keepdims=True)
        flux[..., rows] = pools[..., donor - 1, None] * share[..., :-1]
    labile = labile + flux[..., RECEIVER == 1].sum(axis=-1)
    rows = np.flatnonzero(DONOR == 1)
    share = rng.random((*lead, len(rows) + 2)) ** 4
    share /= share.sum(axis=-1, keepdims=True)
    flux[..., rows] = labile[..., None] * share[..., : len(rows)]
    maintenance = labile * share[..., -1]
    after[..., 0] = labile - maintenance
    for k, (donor, receiver) in enumerate(TABLE):
        if donor > 1:
            after[..., donor - 1] -= flux[..., k]
        else:
            after[..., 0] -= flux[..., k]
        if 1 < receiver <= 6:
            after[..., receiver - 1] += flux[..., k]
    return flux, gpp, maintenance, np.maximum(after, 0.0)


def plants(tracer, pools, day, assimilate):
    flux, gpp, maintenance, _ = day
    return isotopes.tracer_plants_day(tracer, pools, flux, DONOR, RECEIVER, gpp, maintenance, assimilate, n_sink=N_SINK)


# ------------------------------------------------------------------------------------------------ photosynthesis
def test_c3_and_c4_plants_have_their_known_delta13c():
    discrimination = isotopes.carbon13_discrimination([280.0, 160.0], 400.0, [0.0, 1.0])
    np.testing.assert_allclose(discrimination, [4.4 + 22.6 * 0.7, 4.4 + 1.9 * 0.4], rtol=1e-14)
    delta = isotopes.delta13c(1.0, isotopes.carbon13_of_assimilate(-8.0, discrimination))
    # delta_p = (delta_a - D) / (1 + D/1000) (Farquhar et al. 1989), exact
    np.testing.assert_allclose(delta, (-8.0 - discrimination) / (1.0 + discrimination / 1000.0), atol=1e-10)
    # ranges of C3 and C4 plants, O'Leary (1988): -34 to -22 and -16 to -10 per mil
    assert -30.0 < delta[0] < -25.0 and -15.0 < delta[1] < -11.0


def test_c4_discrimination_rises_with_leakiness_and_falls_with_ci_where_it_is_small():
    tight, leaky = (isotopes.carbon13_discrimination([100.0, 300.0], 400.0, 1.0, leakiness=phi) for phi in (0.2, 0.5))
    assert tight[0] > tight[1] and leaky[0] < leaky[1]
    np.testing.assert_allclose(isotopes.carbon13_discrimination(100.0, 400.0, 1.0, leakiness=10.1 / 30.0), 4.4)


def test_dark_leaves_do_not_count():
    args = {"ca": 400.0, "time_step": 1800.0}
    day = isotopes.add_carbon13_discrimination(0.0, 2e-8, 300.0, **args)
    assert isotopes.add_carbon13_discrimination(day, -1e-8, 450.0, **args) == day
    mixed = isotopes.add_carbon13_discrimination(day, 6e-8, 200.0, **args)
    mean = isotopes.mean_carbon13_discrimination(mixed, 8e-8 * 1800.0)
    np.testing.assert_allclose(mean, 4.4 + 22.6 * (0.25 * 0.75 + 0.75 * 0.5), rtol=1e-13)
    assert isotopes.mean_carbon13_discrimination(0.0, 0.0) == 0.0
    # outside 0 to 1 the ratio is cut: no discrimination beyond that of the enzyme or below that of diffusion
    np.testing.assert_allclose(isotopes.carbon13_discrimination([900.0, -5.0], 400.0), [27.0, 4.4])
    assert np.isfinite(isotopes.carbon13_discrimination(0.0, 0.0))


# ------------------------------------------------------------------------------------------------ plants
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), ratio=st.floats(0.5, 2.0))
def test_a_uniform_ratio_stays_uniform_in_plants(seed, ratio):
    rng = np.random.default_rng(seed)
    pools = rng.random((8, 6)) * 10.0 ** rng.integers(-6, 2, (8, 6))
    tracer = ratio * pools
    size = pools.sum(axis=-1)
    for _ in range(40):
        day = random_day(rng, pools)
        tracer, sink, respired = plants(tracer, pools, day, ratio)
        flux, _, maintenance, pools = day
        size = np.maximum(size, pools.sum(axis=-1))
        # round-off of 40 days with some ten operations each, relative to the carbon that went through
        limit = 1e-13 * size[:, None]
        assert np.all(np.abs(tracer - ratio * pools) < limit)
        lost = np.stack([flux[:, k == RECEIVER].sum(axis=-1) for k in range(7, 12)], axis=-1)
        assert np.all(np.abs(sink - ratio * lost) < limit)
        assert np.all(np.abs(respired - ratio * maintenance) < limit[:, 0])


def test_a_uniform_ratio_stays_uniform_in_plants_for_ever():
    rng = np.random.default_rng(1)
    pools, ratio = rng.random((4, 6)), 0.973
    tracer = ratio * pools
    for _ in range(10000):
        day = random_day(rng, pools)
        tracer, _, _ = plants(tracer, pools, day, ratio)
        pools = day[3]
    # a pool forgets within days here, so the error does not grow with time
    assert np.max(np.abs(tracer - ratio * pools)) < 1e-14


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_tracers_are_conserved_and_never_negative_in_plants(seed):
    rng = np.random.default_rng(seed)
    pools = rng.random((8, 6)) * 10.0 ** rng.integers(-30, 2, (8, 6))
    pools[rng.random((8, 6)) < 0.2] = 0.0
    tracer = pools * rng.random((8, 6))
    for _ in range(20):
        day = random_day(rng, pools)
        assimilate = rng.random(8)
        before = tracer.sum(axis=-1) + assimilate * day[1]
        tracer, sink, respired = plants(tracer, pools, day, assimilate)
        after = tracer.sum(axis=-1) + sink.sum(axis=-1) + respired
        np.testing.assert_allclose(after, before, rtol=1e-14, atol=1e-300)  # 30 additions of round-off
        assert np.all(tracer >= 0.0) and np.all(sink >= 0.0) and np.all(respired >= 0.0)
        pools = day[3]


def test_labile_carbon_mixes_before_it_pays():
    pools = np.array([1.0, 0.0, 0.0, 0.0, 0.0, 0.0])
    flux = np.zeros(len(TABLE))
    flux[TABLE.index((1, 2))] = 0.5
    tracer, sink, respired = isotopes.tracer_plants_day(
        pools, pools, flux, DONOR, RECEIVER, gpp=1.0, maintenance=0.25, assimilate=2.0, n_sink=N_SINK
    )
    np.testing.assert_allclose([*tracer, respired], [1.875, 0.75, 0, 0, 0, 0, 0.375])
    assert not sink.any()


def test_tissue_gives_what_it_was_before_the_day():
    """Leaves that fall hold nothing of what was built on the same day; heartwood gets old sapwood."""
    pools = np.array([1.0, 2.0, 1.0, 4.0, 0.0, 0.0])
    flux = np.zeros(len(TABLE))
    for pair, amount in {(1, 2): 0.5, (2, 7): 1.0, (1, 4): 0.25, (4, 5): 1.0}.items():
        flux[TABLE.index(pair)] = amount
    start = pools * np.array([3.0, 1.0, 1.0, 1.0, 1.0, 1.0])
    tracer, sink, _ = isotopes.tracer_plants_day(start, pools, flux, DONOR, RECEIVER, 0.0, 0.0, 1.0, n_sink=N_SINK)
    np.testing.assert_allclose(tracer, [0.75, 2.5, 1.0, 3.75, 1.0, 0.0])
    np.testing.assert_allclose(sink, [1.0, 0, 0, 0, 0])


def test_nothing_comes_of_nothing_in_plants():
    nothing = np.zeros(6)
    results = isotopes.tracer_plants_day(
        nothing, nothing, np.zeros(len(TABLE)), DONOR, RECEIVER, 0.0, 0.0, 1.0, n_sink=N_SINK
    )
    assert not any(np.any(r) for r in results)


def test_a_plant_comes_to_the_ratio_of_its_assimilate():
    rng = np.random.default_rng(3)
    pools = rng.random(6)
    tracer = np.zeros(6)
    for _ in range(3000):
        day = random_day(rng, pools)
        tracer, _, _ = plants(tracer, pools, day, 0.98)
        pools = day[3]
    full = pools > 1e-9
    assert full.sum() > 3
    # exponential approach: each day replaces more than a per cent of every pool
    np.testing.assert_allclose(tracer[full] / pools[full], 0.98, rtol=1e-6)


# ------------------------------------------------------------------------------------------------ soil
def test_light_and_heavy_carbon_add_up():
    """12C stepped by itself and 13C from the tracer give all carbon: the operators are linear."""
    rng = np.random.default_rng(5)
    rate, transfer, respired = carbon.decomposition_scheme("cencn")
    total, delta = rng.random(7), rng.uniform(-35.0, -5.0, 7)
    tracer = isotopes.tracer_of_delta13c(total, delta)
    light = total - isotopes.STANDARD_ABUNDANCE * tracer
    inputs, input_delta = rng.random(7) * 1e-3, rng.uniform(-35.0, -5.0, 7)
    heavy_in = isotopes.tracer_of_delta13c(inputs, input_delta)
    args = (rate, transfer, respired, 0.8)
    for _ in range(200):
        total, _, _ = carbon.one_layer_step(total, inputs, *args)
        tracer, _, _ = carbon.one_layer_step(tracer, heavy_in, *args)
        light, _, _ = carbon.one_layer_step(light, inputs - isotopes.STANDARD_ABUNDANCE * heavy_in, *args)
    # round-off of 200 steps
    np.testing.assert_allclose(light + isotopes.STANDARD_ABUNDANCE * tracer, total, rtol=1e-13)
    # what was put in was between -35 and -5 per mil, so is what is there
    assert np.all(np.abs(isotopes.delta13c(total, tracer) + 20.0) < 15.0)


def test_one_pool_has_its_radiocarbon_age():
    """F = 1/(1 + lambda tau) for modern input: -11.952, -107.914, -547.446 per mil for 100, 1000, 10000 yr."""
    for tau, expected in ((100.0, -11.952), (1000.0, -107.914), (10000.0, -547.446)):
        rate = [1.0 / (tau * YEAR)]
        tracer = isotopes.radiocarbon_equilibrium([0.0], [3.0], rate, [[0.0]], 1.0, [1.0], [1.0])
        np.testing.assert_allclose(isotopes.delta14c(3.0, tracer[0]), expected, atol=5e-4)  # printed to 1e-3
        np.testing.assert_allclose(isotopes.turnover_time(isotopes.delta14c(3.0, tracer[0])), tau, rtol=1e-10)
        # the daily steps stay there: what comes is what leaves and what decays, to the splitting error lambda/2 d
        stock = [tau * 365.25]
        start = np.array(stock) / (1.0 + DECAY * tau)
        after, gone, _ = carbon.one_layer_step(start, [1.0], rate, [[0.0]], [1.0], 1.0)
        after, decayed = isotopes.radioactive_decay(after)
        np.testing.assert_allclose(start[0] + 1.0 - gone - decayed, after[0], rtol=1e-14)
        assert abs(after[0] - start[0]) < 1e-6


def test_decay_is_exact_for_every_step():
    for years in (1.0 / 365.25, 0.2, 1.0, 1000.0, 20000.0):
        days = years * 365.25
        kept, decayed = isotopes.radioactive_decay([2.0, 0.0, 1.0], days)
        share = -np.expm1(-DECAY * years)
        np.testing.assert_allclose(decayed, 3.0 * share, rtol=1e-14)
        np.testing.assert_allclose(kept.sum() + decayed, 3.0, rtol=1e-15)
        np.testing.assert_allclose(kept[0], 2.0 * np.exp(-DECAY * years), rtol=1e-14)
    once = isotopes.radioactive_decay([1.0], 4.0)[0]
    twice = isotopes.radioactive_decay(isotopes.radioactive_decay([1.0], 2.0)[0], 2.0)[0]
    np.testing.assert_allclose(once, twice, rtol=1e-15)


def test_the_equilibrium_of_a_cascade_solves_its_equations():
    rate, transfer, _ = carbon.decomposition_scheme("cencn", sand=[20.0, 80.0])
    inputs = np.array([0.1, 0.2, 0.1, 0.0, 0.0, 0.0, 0.2]) / YEAR
    scalar = 0.4
    for k in range(2):
        operator = (np.eye(7) - transfer[k]) @ np.diag(scalar * rate[k])
        stock = np.linalg.solve(operator, inputs)
        decaying = np.linalg.solve(operator + DECAY / YEAR * np.eye(7), 1.1 * inputs)
        got = isotopes.radiocarbon_equilibrium(np.zeros(7), stock, rate[k], transfer[k], scalar, inputs, 1.1 * inputs)
        np.testing.assert_allclose(got, decaying, rtol=1e-12)
    # pools without input or decomposition keep what they had
    kept = isotopes.radiocarbon_equilibrium(np.full(7, 9.0), stock, 0.0 * rate[0], transfer[0], 1.0, inputs, inputs)
    assert np.all(kept == 9.0)


def test_bomb_radiocarbon_passes_two_pools_like_the_exact_solution():
    """Air at 1 + 0.8 exp(-t/16 yr) from t = 0 on pools in equilibrium with 1; litter feeds a slow pool."""
    k, share, per_year = np.array([0.25, 0.01]), 0.3, 1.0
    stock = per_year / k * np.array([1.0, share])
    start = np.linalg.solve(np.array([[k[0] + DECAY, 0.0], [-share * k[0], k[1] + DECAY]]), [per_year, 0.0])
    # exact: state (X1, X2, excess of the air, 1)
    matrix = np.zeros((4, 4))
    matrix[0] = [-k[0] - DECAY, 0.0, per_year, per_year]
    matrix[1, :2] = [share * k[0], -k[1] - DECAY]
    matrix[2, 2] = -1.0 / 16.0
    days = 10.0
    exact, step = np.array([*start, 0.8, 1.0]), expm(matrix * days / 365.25)
    tracer, rate = start, k / YEAR
    transfer, respired = np.array([[0.0, 0.0], [share, 0.0]]), np.array([1.0 - share, 1.0])
    worst, peak = 0.0, np.zeros(2)
    for m in range(int(60 * 365.25 / days)):
        t = np.array([m, m + 1]) * days / 365.25
        mean = 1.0 + 0.8 * 16.0 * (np.exp(-t[0] / 16.0) - np.exp(-t[1] / 16.0)) / (t[1] - t[0])
        inputs = [per_year * days / 365.25 * mean, 0.0]
        tracer, _, _ = carbon.one_layer_step(tracer, inputs, rate, transfer, respired, 1.0, time_step=days * DAY)
        tracer, _ = isotopes.radioactive_decay(tracer, days)
        exact = step @ exact
        worst = max(worst, np.max(np.abs(tracer - exact[:2]) / stock))
        peak = np.maximum(peak, isotopes.delta14c(stock, tracer))
    # the mean of the air over ten days and decay after the step: below 0.02 per mil of signals of hundreds
    assert worst < 2e-5
    assert peak[0] > 350.0 and 50.0 < peak[1] < 200.0


def rothc_years(forcing, deficit, tracer_and_carbon, rows, clay, depth):
    """RothC months ``rows`` for carbon and 14C in the order of RothC_Py: decomposition, decay, then fresh input."""
    pools, tracer = tracer_and_carbon
    out = []
    for i in rows:
        green = forcing["PC"][i]
        deficit = carbon.rothc_deficit(deficit, forcing["Rain"][i], forcing["Evap"][i], clay, depth, green)
        scalar = carbon.temperature_scalar("rothc", forcing["Tmp"][i] + 273.15)
        scalar *= carbon.moisture_scalar("rothc", deficit=deficit, clay=clay, depth=depth) * (0.6 if green else 1.0)
        r = forcing["DPM_RPM"][i]
        fresh = forcing["C_inp"][i] * np.array([r / (1 + r), 1 / (1 + r), 0.0, 0.0])
        fresh = fresh + forcing["FYM"][i] * np.array([0.49, 0.49, 0.0, 0.02])
        pools, _ = carbon.rothc_month(pools, fresh, clay, scalar)
        tracer, _ = carbon.rothc_month(tracer, 0.0 * fresh, clay, scalar)
        tracer, _ = isotopes.radioactive_decay(tracer, 365.25 / 12.0, half_life=5568.0)
        tracer = tracer + forcing["modern"][i] / 100.0 * fresh
        out.append((pools, tracer))
    return deficit, out


def test_radiocarbon_of_rothc_follows_rothc_py(reference):
    site, forcing, expected = (reference(f"soil_rothc_{n}.csv") for n in ("site", "forcing", "expected"))
    for s, scenario in enumerate(site["scenario"]):
        f = {name: column[forcing["scenario"] == scenario] for name, column in forcing.items()}
        e = {name: column[expected["scenario"] == scenario] for name, column in expected.items()}
        clay, depth, inert = site["clay_pct"][s], site["depth_cm"][s], site["IOM_tC_ha"][s]
        start = np.array([site[f"init_{p}"][s] for p in ("DPM", "RPM", "BIO", "HUM")])
        got, deficit, first = [], 0.0, 0
        pair = (start, start)  # ages 0
        if site["spin_to_equilibrium"][s]:
            # the months of the peer's spin-up: the first year, then a year that repeats as an affine map
            first = 12
            deficit, out = rothc_years(f, 0.0, (np.zeros(4), np.zeros(4)), range(12), clay, depth)
            pair = out[-1]
            unit = [rothc_years(f, deficit, (x, x), range(12), clay, depth)[1][-1] for x in [np.zeros(4), *np.eye(4)]]
            years = int(e["spin_months"][0]) // 12 - 1
            for _ in range(years):
                pair = tuple(
                    unit[0][j] + sum(pair[j][p] * (unit[p + 1][j] - unit[0][j]) for p in range(4)) for j in (0, 1)
                )
            got.append(pair)
        deficit, out = rothc_years(f, deficit, pair, range(first, len(f["Tmp"])), clay, depth)
        got += out
        old = inert * np.exp(-np.log(2.0) / 5568.0 * 50000.0)
        ratio = np.array([(tracer.sum() + old) / (pools.sum() + inert) for pools, tracer in got])
        # the peer turns the ratio into an age with 5568 yr and that into Delta14C with 8035 yr
        age = -np.log(ratio) * 5568.0 / np.log(2.0)
        delta = (np.exp(-age / 8035.0) - 1.0) * 1000.0
        # rounding of some 20 000 months, and 12 printed digits
        np.testing.assert_allclose(delta[: len(e["delta14C"])], e["delta14C"], rtol=1e-8, err_msg=scenario)


# ------------------------------------------------------------------------------------------------ layered soil
THICKNESS = np.array([0.01, 0.02, 0.04, 0.09, 0.12, 0.30, 0.42, 1.00, 2.00])


def column(rng, lead=()):
    rate, transfer, respired = carbon.decomposition_scheme("cencn", sand=30.0)
    args = {
        "rate": rate,
        "transfer": transfer,
        "respired": respired,
        "scalar": rng.random((*lead, 9)),
        "mixing": 1e-4 / YEAR / np.maximum(0.5 * (THICKNESS[1:] + THICKNESS[:-1]), 0.01),
        "thickness": THICKNESS,
    }
    inputs = rng.random((*lead, 9, 7)) * 1e-4
    inputs[..., 3:6] = 0.0
    return args, inputs


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), ratio=st.floats(0.5, 2.0))
def test_a_uniform_ratio_stays_uniform_in_layers(seed, ratio):
    rng = np.random.default_rng(seed)
    args, inputs = column(rng, (3,))
    pools = rng.random((3, 9, 7)) * 10.0 ** rng.integers(-6, 1, (3, 9, 7))
    tracer = ratio * pools
    for _ in range(30):
        limitation = rng.random((3, 9, 7))
        before = tracer.sum(axis=(1, 2)) + ratio * inputs.sum(axis=(1, 2))
        pools, co2 = isotopes.tracer_column_day(pools, inputs, limitation=limitation, **args)
        tracer, co2_tracer = isotopes.tracer_column_day(tracer, ratio * inputs, limitation=limitation, **args)
        # the same operations on numbers with another last digit
        np.testing.assert_allclose(tracer, ratio * pools, rtol=1e-12)
        np.testing.assert_allclose(co2_tracer, ratio * co2, rtol=1e-12)
        np.testing.assert_allclose(tracer.sum(axis=(1, 2)) + co2_tracer.sum(axis=1), before, rtol=1e-13)
        assert np.all(tracer >= 0.0)


def test_nitrogen_shortage_keeps_the_tracer_in_litter():
    args, inputs = column(np.random.default_rng(2))
    start = np.ones((9, 7))
    free, _ = isotopes.tracer_column_day(start, inputs, limitation=np.ones((9, 7)), **args)
    held, _ = isotopes.tracer_column_day(start, inputs, limitation=np.zeros((9, 7)), **args)
    assert np.all(held[:, :3].sum(axis=0) > free[:, :3].sum(axis=0))
    np.testing.assert_allclose(held[:, 6], free[:, 6])  # coarse debris is not limited


def test_radiocarbon_of_layers_starts_in_equilibrium():
    args, inputs = column(np.random.default_rng(4))
    inputs[5:] *= 0.01
    per_second = inputs / DAY
    nothing = np.zeros((9, 7))
    # without decay (a half-life without end) the tracer is the carbon
    stock = isotopes.radiocarbon_column_equilibrium(
        nothing, nothing + 1.0, input=per_second, tracer_input=per_second, half_life=1e20, **args
    )
    np.testing.assert_allclose(stock, 1.0, rtol=1e-6)
    tracer = isotopes.radiocarbon_column_equilibrium(
        nothing, nothing + 1.0, input=per_second, tracer_input=per_second, **args
    )
    delta = isotopes.delta14c(1.0, tracer)
    assert np.all(delta < 0.0) and np.all(delta > -1000.0)
    assert np.all(delta[:, 5] < delta[:, 3])  # passive carbon is older than active
    # a day of input, decomposition, mixing and decay leaves the equilibrium where it is
    endless = np.full((9, 7), 1.0)
    pools = isotopes.radiocarbon_column_equilibrium(
        nothing, equilibrium_stock(args, per_second), input=per_second, tracer_input=per_second, **args
    )
    after, _ = isotopes.tracer_column_day(pools, inputs, limitation=endless, **args)
    after, decayed = isotopes.radioactive_decay(after.reshape(63), 1.0)
    # what is left of the balance: less than a thousandth of the decay of the day (splitting: lambda times a day)
    assert np.abs(after.reshape(9, 7) - pools).sum() < 1e-3 * decayed


def equilibrium_stock(args, per_second):
    """Carbon in equilibrium: one implicit step without end."""
    args = args | {"time_step": 1e17}
    stock, _ = isotopes.tracer_column_day(np.zeros((9, 7)), 1e17 * per_second, limitation=np.ones((9, 7)), **args)
    return stock


# ------------------------------------------------------------------------------------------------ conversions
def test_conversions_are_inverse_and_pools_without_carbon_have_no_value():
    delta = np.array([-60.0, -27.0, 0.0, 15.0])
    np.testing.assert_allclose(isotopes.delta13c(2.0, isotopes.tracer_of_delta13c(2.0, delta)), delta, atol=1e-10)
    np.testing.assert_allclose(isotopes.delta14c(2.0, isotopes.tracer_of_delta14c(2.0, delta)), delta, atol=1e-10)
    assert isotopes.tracer_of_delta13c(5.0, 0.0) == 5.0  # the standard: tracer = carbon
    assert np.isnan(isotopes.delta13c(0.0, 0.0)) and np.isnan(isotopes.delta14c(1e-12, 1e-12))


def test_conventional_ages_use_the_libby_mean_life():
    np.testing.assert_allclose(isotopes.radiocarbon_age(1000.0 * (np.exp(-1.0) - 1.0)), 8033.0)
    # the Delta14C of old wood depends on when it was measured, its age does not: 5730 yr of decay is one half
    np.testing.assert_allclose(isotopes.fraction_modern(0.0, 2015.0), np.exp(65.0 / 8267.0))
    np.testing.assert_allclose(isotopes.MEAN_LIFE, isotopes.HALF_LIFE / np.log(2.0), atol=1.0)
    assert isotopes.radiocarbon_age(500.0, 1975.0) < 0.0


# ------------------------------------------------------------------------------------------------ the air
def test_the_air_of_the_record_has_the_bomb_peak_in_order(shared):
    file = shared("data/ancillary/radiocarbon_atm_graven2017.csv")
    years = np.arange(1850.5, 2016.0)
    north, tropics, south = (air.delta14c_air(years, latitude, file) for latitude in (52.0, 10.0, -45.0))
    assert north.max() > tropics.max() > south.max() > 600.0
    assert 1963.0 < years[north.argmax()] < 1965.0 < years[south.argmax()] + 0.6
    assert abs(north[0] + 2.3) < 1e-12 and north[-1] < 30.0  # first row of the file
    # halfway between two mid years lies the mean of both; before the record its first value
    np.testing.assert_allclose(air.delta14c_air(1963.0, 60.0, file), 0.5 * (north[112] + north[113]))
    assert air.delta14c_air(1700.0, 60.0, file) == north[0]
    stamps = np.array(["1964-07-02", "1990-07-02"], dtype="datetime64[s]")
    mixed = air.delta14c_air(stamps, [60.0, -60.0], file)
    np.testing.assert_allclose(mixed, [north[114], south[140]], atol=0.2)  # a day off mid year


def test_after_the_record_comes_an_error_or_its_last_value(shared):
    file = shared("data/ancillary/radiocarbon_atm_graven2017.csv")
    with pytest.raises(ConcertoError, match="ends in 2015, but the year 2018"):
        air.delta14c_air(np.array([2000.0, 2018.2]), 50.0, file)
    assert air.delta14c_air(2018.2, 50.0, file, beyond="hold") == air.delta14c_air(2015.5, 50.0, file)


def test_the_zones_of_the_air_meet_at_thirty_degrees():
    assert list(air.zone([90.0, 30.0, 29.9, 0.0, -29.9, -30.0, -90.0])) == [0, 0, 1, 1, 1, 2, 2]


def test_without_files_the_air_is_that_before_bombs_and_after_coal():
    assert air.delta14c_air(np.datetime64("2000-01-01"), 50.0) == 0.0
    years = np.arange(1700, 2030) + 0.5
    delta = air.delta13c_air(years)
    assert np.all(np.diff(delta) <= 0.0) and delta[0] == -6.36 and delta[-1] == -8.71
    # Belmecheri & Lavergne (2020): annual values between the years of the table, which lines miss by up to 0.05
    known = {1880: -6.69, 1910: -6.83, 1940: -6.95, 1970: -7.32, 1980: -7.58, 2000: -8.06, 2010: -8.31}
    for year, value in known.items():
        assert abs(air.delta13c_air(year + 0.5) - value) < 0.05


def test_a_file_of_delta13c_replaces_the_table(tmp_path):
    file = tmp_path / "air.csv"
    file.write_text("# made up\nyear,delta13c\n1990.5,-7.0\n\n2000.5,-9.0\n")
    np.testing.assert_allclose(air.delta13c_air([1980.0, 1995.5, 2000.9], file), [-7.0, -8.0, -9.0])
    with pytest.raises(ConcertoError, match="2003"):
        air.delta13c_air(2003.0, file)


@pytest.mark.parametrize(
    "text, words",
    [
        ("year,delta13c\n1990,-7\n1980,-8\n", "do not increase"),
        ("year,delta13c\n1990,-7\n1991,\n", "line 3"),
        ("year,delta13c\n1990,-7\n1991,nan\n", "line 3"),
        ("year,delta13c\n1990,-7,3\n", "line 2"),
        ("year,delta13c\n1990,-7\n", "fewer than two"),
        ("year,delta13c\n1990,-7\n1991,-9999\n", "below -1000"),
    ],
)
def test_bad_files_are_refused_with_the_line(tmp_path, text, words):
    file = tmp_path / "air.csv"
    file.write_text(text)
    with pytest.raises(ConcertoError, match=words) as raised:
        air.delta13c_air(1990.0, file)
    assert str(file) in raised.value.message and raised.value.hint
    with pytest.raises(ConcertoError, match="cannot be read"):
        air.delta13c_air(1990.0, tmp_path / "none.csv")
