"""The layered soil carbon: placement of litter, mixing, decomposition, conservation and exact solutions."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from concerto.kernels import carbon
from concerto.kernels import soil_column as column

DAY, YEAR = 86400.0, 3.15576e7
LAYERS, POOLS = 9, 7
DEPTH = column.THICKNESS.sum()
SOIL = slice(3, 6)
seeds = st.integers(0, 2**32 - 1)
steps = st.floats(0.0, 12.0).map(lambda power: 10.0**power)  # 1 s to 30 000 yr


def still():
    return np.zeros(LAYERS - 1)


def random_column(seed, n=8):
    """Pools (some empty), litter, scheme, scalar (some frozen) and mixing (some none, some violent)."""
    rng = np.random.default_rng(seed)
    rate, transfer, respired = carbon.decomposition_scheme("cencn", sand=rng.uniform(0.0, 100.0, n))
    rate = rate * 10.0 ** rng.uniform(-2.0, 2.0, (n, POOLS))
    pools = 10.0 ** rng.uniform(-8.0, 0.3, (n, LAYERS, POOLS)) * (rng.random((n, LAYERS, POOLS)) > 0.3)
    litter = 0.01 * rng.random((n, LAYERS, POOLS)) * (rng.random((n, 1, 1)) > 0.2)
    litter[..., SOIL] = 0.0
    scalar = np.where(rng.random((n, LAYERS)) < 0.2, 0.0, rng.uniform(0.0, 4.0, (n, LAYERS)))
    speed = 10.0 ** rng.uniform(-16.0, 0.0, n) * (rng.random(n) > 0.2)
    mixing = column.mixing_coefficients(rng.choice([0.0, 0.5, 2.0, 8.0], n), 0.0, speed, 5.0 * speed)
    return dict(
        carbon=pools, input=litter, rate=rate, transfer=transfer, respired=respired, scalar=scalar, mixing=mixing
    )


def step(case, time_step=DAY, thickness=None):
    return column.soil_nitrogen_day(**case, with_nitrogen=False, time_step=time_step, thickness=thickness)


def total(pools):
    return pools.sum(axis=(-2, -1))


# ---- litter
@settings(max_examples=60, deadline=None)
@given(seed=seeds, depth=st.floats(0.0, 10.0), rooted=st.booleans())
def test_profiles_sum_to_one_wherever_the_soil_ends(seed, depth, rooted):
    roots = np.random.default_rng(seed).random(LAYERS) * rooted
    surface, below = column.litter_profiles(roots, depth)
    for profile in (surface, below):
        assert np.all(profile >= 0.0)
        assert abs(profile.sum() - 1.0) < 4e-16  # 9 additions of shares
        tops = np.append(0.0, np.cumsum(column.THICKNESS))[:-1]
        assert np.all(profile[1:][tops[1:] >= depth] == 0.0)
    if not rooted:
        np.testing.assert_array_equal(surface, below)


def test_surface_litter_falls_off_with_ten_centimetres():
    surface, below = column.litter_profiles(column.THICKNESS)
    edges = np.append(0.0, np.cumsum(column.THICKNESS))
    exact = -np.diff(np.exp(-edges / 0.1)) / (1.0 - np.exp(-DEPTH / 0.1))
    np.testing.assert_allclose(surface, exact, rtol=1e-12)  # differences of exponentials near 1
    # the first layer, 0.0025, takes what is left of 1
    np.testing.assert_allclose(below, column.THICKNESS / DEPTH, rtol=1e-14, atol=4e-16)


@settings(max_examples=40, deadline=None)
@given(seed=seeds, depth=st.floats(0.0, 4.0))
def test_all_litter_arrives(seed, depth):
    rng = np.random.default_rng(seed)
    tissue = dict(
        zip(("litter_leaf", "litter_fine_root", "litter_wood", "litter_seed"), rng.random((4, 16)), strict=True)
    )
    got = column.litter_to_layers(*column.litter_profiles(rng.random((16, LAYERS)), depth), **tissue)
    assert np.all(got >= 0.0) and np.all(got[..., SOIL] == 0.0)
    # sums of 36 numbers below 1
    np.testing.assert_allclose(got.sum(axis=(1, 2)), sum(tissue.values()), rtol=2e-15)
    np.testing.assert_allclose(got[..., 6].sum(axis=1), tissue["litter_wood"], rtol=1e-15)


def test_a_quarter_of_wood_dies_below_ground():
    roots = np.zeros(LAYERS)
    roots[5] = 1.0  # all roots in a layer that litter from above hardly reaches
    got = column.litter_to_layers(*column.litter_profiles(roots), litter_wood=1.0)
    surface, _ = column.litter_profiles(roots)
    np.testing.assert_allclose(got[5, 6], 0.25 + 0.75 * surface[5], rtol=1e-14)
    leaf = column.litter_to_layers(*column.litter_profiles(roots), litter_leaf=1.0)
    np.testing.assert_allclose(leaf.sum(axis=0), [0.25, 0.5, 0.25, 0, 0, 0, 0], atol=1e-15)


# ---- mixing
def test_mixing_regimes_follow_the_thaw_depth():
    middles = np.cumsum(column.THICKNESS) - 0.5 * column.THICKNESS
    animals = column.mixing_coefficients(8.0)
    np.testing.assert_allclose(animals, 1e-4 / YEAR / np.diff(middles), rtol=1e-13)
    assert not column.mixing_coefficients(0.0, 0.0).any()  # never thaws
    np.testing.assert_array_equal(column.mixing_coefficients(0.0, 1.0), column.mixing_coefficients(1.0, 0.0))
    frost = column.mixing_coefficients(1.0)
    strength = 5e-4 / YEAR * np.clip((3.0 - middles) / (3.0 - 1.0), 0.0, 1.0)
    half = 0.5 * column.THICKNESS
    exact = 1.0 / (half[:-1] / strength[:-1] + half[1:] / np.maximum(strength[1:], 1e-300))
    np.testing.assert_allclose(frost, exact, rtol=1e-13, atol=1e-200)
    assert np.all(np.isfinite(column.mixing_coefficients(3.0)))  # thaw depth at the limit
    # a layer that does not mix closes both its faces
    assert np.all(column.mixing_coefficients(1.0, depth_limit=1.5)[-2:] == 0.0)


def test_decomposition_slows_with_depth():
    middles = np.cumsum(column.THICKNESS) - 0.5 * column.THICKNESS
    np.testing.assert_allclose(column.depth_scalar(0.5), np.exp(-middles / 0.5), rtol=1e-14)


def analytic_profile(case, z):
    """Steady state of D C'' - k C + s(z) = 0 without flux at both ends, s exponential with total 1 (kg m-3)."""
    diffusivity, decay, depth, fold = case
    source = 1.0 / (fold * (1.0 - np.exp(-depth / fold)))
    shape = source / (decay - diffusivity / fold**2)
    root = np.sqrt(decay / diffusivity)
    # C = shape e^(-z/fold) + a e^(-root z) + b e^(-root (depth - z)), slopes 0 at 0 and depth
    far = np.exp(-root * depth)
    system = np.array([[-root, root * far], [-root * far, root]])
    a, b = np.linalg.solve(system, [shape / fold, shape / fold * np.exp(-depth / fold)])
    return shape * np.exp(-z / fold) + a * np.exp(-root * z) + b * np.exp(-root * (depth - z))


def steady_profile(case, thickness):
    """Concentration (kg m-3) of one mixed pool after a step long enough for the steady state."""
    diffusivity, decay, depth, fold = case
    long = 1e12 * YEAR
    edges = np.append(0.0, np.cumsum(thickness))
    litter = np.zeros((len(thickness), POOLS))
    litter[:, 0] = -np.diff(np.exp(-edges / fold)) / (1.0 - np.exp(-depth / fold)) * long / YEAR
    rate = np.zeros(POOLS)
    rate[0] = decay / YEAR
    mixing = column.mixing_coefficients(99.0, 0.0, diffusivity / YEAR, thickness=thickness)
    pools, _ = column.litter_step(
        np.zeros_like(litter), litter, rate, np.zeros((POOLS, POOLS)), np.ones(len(thickness)), mixing, long, thickness
    )
    return pools[:, 0] / thickness


def vertical_cases(table):
    names = ("D_m2_yr", "k_per_yr", "depth_m", "input_efold_m")
    for number in np.unique(table["case"]):
        rows = table["case"] == number
        yield tuple(table[name][rows][0] for name in names), {name: column[rows] for name, column in table.items()}


def test_profile_converges_to_the_analytic_one_with_second_order(reference):
    for case, rows in vertical_cases(reference("soil_vertical_analytic.csv")):
        # the table has 10 digits
        np.testing.assert_allclose(analytic_profile(case, rows["z_m"]), rows["C_kgC_m3"], rtol=1e-8)
        errors = []
        for size in (20, 40, 80, 160, 320):
            thickness = np.full(size, case[2] / size)
            middles = thickness[0] * (np.arange(size) + 0.5)
            got, exact = steady_profile(case, thickness), analytic_profile(case, middles)
            errors.append(np.max(np.abs(got / exact - 1.0)))
            # the stock is input over rate on every grid: rounding and 1e-11 of the step's length
            np.testing.assert_allclose((got * thickness).sum(), 1.0 / case[1], rtol=1e-10)
        order = np.log2(np.array(errors[:-1]) / errors[1:])
        assert np.all(order[-2:] > 1.89), order  # second order, once the grid resolves the profile
        if case == (1e-4, 0.1, 2.0, 0.1):  # an independent finite-volume program, printed to two digits
            np.testing.assert_allclose(errors[:4], [0.071, 0.021, 0.0052, 0.0014], rtol=0.03)
        assert errors[-1] < 5e-4


def test_production_layers_keep_the_stock_and_follow_the_profile(reference):
    for case, _ in vertical_cases(reference("soil_vertical_analytic.csv")):
        diffusivity, decay, _, fold = case
        case = diffusivity, decay, DEPTH, fold
        got = steady_profile(case, column.THICKNESS)
        edges = np.append(0.0, np.cumsum(column.THICKNESS))
        exact = np.array(
            [analytic_profile(case, np.linspace(a, b, 2001)).mean() for a, b in zip(edges, edges[1:], strict=False)]
        )
        np.testing.assert_allclose((got * column.THICKNESS).sum(), 1.0 / decay, rtol=1e-10)
        # carbon that lies in a wrong layer, 0.2, 0.4 and 1.0 % of the stock as measured
        assert np.abs((got - exact) * column.THICKNESS).sum() / 2.0 < 0.011 / decay


# ---- the step
@settings(max_examples=60, deadline=None)
@given(seed=seeds, time_step=steps)
def test_carbon_is_kept_and_positive_for_every_step_and_mixing(seed, time_step):
    case = random_column(seed)
    out = step(case, time_step)
    for name in ("carbon", "loss", "respiration"):
        assert np.all(out[name] >= 0.0) and np.all(np.isfinite(out[name])), name
    residual = total(case["carbon"] + case["input"]) - total(out["carbon"]) - out["respiration"].sum(axis=1)
    # columns hold up to 100 kg here; the bound of the project, 1e-13 kg m-2, is for 30
    assert np.max(np.abs(residual)) <= 1e-13 * max(1.0, np.max(total(case["carbon"])) / 30.0)


@settings(max_examples=30, deadline=None)
@given(seed=seeds, time_step=st.floats(0.0, 8.0).map(lambda power: 10.0**power))
def test_step_solves_the_whole_system_at_once(seed, time_step):
    case = random_column(seed, 2)
    out = step(case, time_step)
    for i in range(2):
        matrix = np.eye(LAYERS * POOLS)

        def flow(donor, receiver, amount, matrix=matrix):
            matrix[donor, donor] += amount
            if receiver is not None:
                matrix[receiver, donor] -= amount

        for layer in range(LAYERS):
            for pool in range(POOLS):
                here, decay = layer * POOLS + pool, time_step * case["scalar"][i, layer] * case["rate"][i, pool]
                flow(here, None, decay * case["respired"][i, pool])
                for receiver in range(POOLS):
                    flow(here, layer * POOLS + receiver, decay * case["transfer"][i, receiver, pool])
                if pool < 6 and layer < LAYERS - 1:
                    exchange = time_step * case["mixing"][i, layer]
                    flow(here, here + POOLS, exchange / column.THICKNESS[layer])
                    flow(here + POOLS, here, exchange / column.THICKNESS[layer + 1])
        exact = np.linalg.solve(matrix, (case["carbon"][i] + case["input"][i]).ravel())
        # the dense solve cancels where the kernel only adds: its error grows with the largest entry
        tolerance = 1e-15 * max(100.0, np.max(matrix)) * max(1.0, np.max(exact))
        np.testing.assert_allclose(out["carbon"][i].ravel(), exact, rtol=1e-12, atol=tolerance)


@settings(max_examples=20, deadline=None)
@given(seed=seeds)
def test_columns_do_not_know_their_neighbours(seed):
    case = random_column(seed, 40)
    order = np.random.default_rng(seed).permutation(40)
    out, other = step(case), step({name: value[order] for name, value in case.items()})
    for name in ("carbon", "loss", "respiration"):
        np.testing.assert_array_equal(out[name][order], other[name])  # bit for bit


def steady_state(scalar, litter, rate, transfer, respired, mixing, time_step=10.0 * YEAR):
    """Solve X = P (X + u) of the one-step map, P from unit pools."""
    size = LAYERS * POOLS
    unit = np.eye(size).reshape(size, LAYERS, POOLS)
    case = dict(rate=rate, transfer=transfer, respired=respired, scalar=scalar, mixing=mixing)
    matrix = step(case | dict(carbon=unit, input=np.zeros_like(unit)), time_step)["carbon"].reshape(size, size).T
    pools = np.linalg.solve(np.eye(size) - matrix, matrix @ litter.ravel()).reshape(LAYERS, POOLS)
    return pools, step(case | dict(carbon=pools, input=litter), time_step)


@pytest.mark.parametrize(
    "sand, stocks",
    [
        (20, (5.896182, 6.695335, 8.851373, 10.546117)),
        (50, (3.880176, 4.455328, 7.880330, 8.610662)),
        (80, (2.271232, 2.667613, 7.105356, 7.066005)),
    ],
)
def test_columns_have_the_closed_form_transit_times(sand, stocks):
    scheme = carbon.decomposition_scheme("cencn", sand=sand)
    surface, _ = column.litter_profiles(np.ones(LAYERS))
    for pool, stock in zip((0, 1, 2, 6), stocks, strict=True):
        litter = np.zeros((LAYERS, POOLS))
        litter[:, pool] = 10.0 * surface  # 1 per year in a step of ten
        pools, out = steady_state(np.ones(LAYERS), litter, *scheme, column.mixing_coefficients(8.0))
        # where all layers decompose alike the column is a single pool system; numbers are printed to 1e-6
        np.testing.assert_allclose(pools.sum(), stock, atol=6e-7)
        np.testing.assert_allclose(out["respiration"].sum(), 10.0, rtol=1e-12)


def test_steady_state_is_linear_in_litter_and_needs_no_small_step():
    rng = np.random.default_rng(5)
    scheme = carbon.decomposition_scheme("cencn", sand=40.0)
    mixing = column.mixing_coefficients(0.6)
    scalar, litter = rng.uniform(0.1, 1.0, LAYERS), rng.random((LAYERS, POOLS))
    litter[:, SOIL] = 0.0
    pools, out = steady_state(scalar, litter, *scheme, mixing)
    twice, _ = steady_state(scalar, 2.0 * litter, *scheme, mixing)
    np.testing.assert_allclose(twice, 2.0 * pools, rtol=1e-12)
    np.testing.assert_allclose(out["carbon"], pools, rtol=1e-10)  # one cycle returns it
    np.testing.assert_allclose(out["respiration"].sum(), litter.sum(), rtol=1e-10)
    longer, _ = steady_state(scalar, 10.0 * litter, *scheme, mixing, 100.0 * YEAR)
    # I - P of the shorter step has eigenvalues down to 1e-2
    np.testing.assert_allclose(longer, pools, rtol=1e-9)


def test_frozen_or_empty_ground_stays_as_it_is():
    case = random_column(1)
    case |= dict(scalar=np.zeros(LAYERS), mixing=still())
    out = step(case)
    np.testing.assert_array_equal(out["carbon"], case["carbon"] + case["input"])
    assert not out["respiration"].any() and not out["loss"].any()
    case |= dict(carbon=np.zeros((8, LAYERS, POOLS)), input=np.zeros((8, LAYERS, POOLS)), scalar=np.ones(LAYERS))
    out = step(case)
    assert not out["carbon"].any() and not out["respiration"].any()


def test_mixing_alone_moves_carbon_down_and_evens_it_out():
    case = random_column(2, 1)
    pools = np.zeros((LAYERS, POOLS))
    pools[0] = 1.0
    case |= dict(carbon=pools, input=0.0 * pools, scalar=np.zeros(LAYERS), mixing=column.mixing_coefficients(8.0))
    out = step(case, 1e15 * YEAR)["carbon"][0]
    # after an endless time the concentration is the same everywhere; coarse debris does not move
    np.testing.assert_allclose(out[:, :6], np.tile(column.THICKNESS[:, None] / DEPTH, 6), rtol=1e-9)
    np.testing.assert_array_equal(out[:, 6], pools[:, 6])
    once = step(case, YEAR)["carbon"][0]
    assert np.all(np.diff(once[:, 0] / column.THICKNESS) < 0.0)


@settings(max_examples=30, deadline=None)
@given(seed=seeds, ratio=st.floats(0.01, 10.0))
def test_isotopes_keep_a_uniform_ratio_under_limitation(seed, ratio):
    case = random_column(seed)
    names = ("rate", "transfer", "scalar", "mixing")
    shared = [case[name] for name in names]
    limitation = np.random.default_rng(seed).random((8, LAYERS, POOLS))
    pools, loss = column.litter_step(case["carbon"], case["input"], *shared)
    pools, loss = column.limit_litter(pools, loss, limitation)
    pools, loss, gas = column.soil_step(pools, loss, *shared[:2], case["respired"], *shared[2:])
    tracer, lost = column.litter_step(ratio * case["carbon"], ratio * case["input"], *shared)
    tracer, lost = column.limit_litter(tracer, lost, limitation)
    tracer, lost, tracer_gas = column.soil_step(tracer, lost, *shared[:2], case["respired"], *shared[2:])
    # every number is a sum of positive terms: a few tens of roundings
    for got, want in ((tracer, pools), (lost, loss), (tracer_gas, gas)):
        np.testing.assert_allclose(got, ratio * want, rtol=1e-13, atol=1e-30)
    residual = total(case["carbon"] + case["input"]) - total(pools) - gas.sum(axis=1)
    assert np.max(np.abs(residual)) <= 3e-13  # up to 100 kg in a column


def test_litter_that_may_not_decompose_stays():
    case = random_column(3)
    pools, loss = column.litter_step(*(case[k] for k in ("carbon", "input", "rate", "transfer", "scalar", "mixing")))
    half = np.full((8, LAYERS, POOLS), 0.5)
    after, left = column.limit_litter(pools, loss, half)
    np.testing.assert_allclose(left[..., :3], 0.5 * loss[..., :3], rtol=1e-15)
    np.testing.assert_array_equal(left[..., 3:], loss[..., 3:])
    np.testing.assert_allclose(after + left, pools + loss, rtol=1e-15)
    _, none = column.limit_litter(pools, loss, 0.0)
    assert not none[..., :3].any()


def test_fast_respiration_is_what_the_day_respires():
    case = random_column(4)
    scheme = carbon.decomposition_scheme("cencn", sand=40.0)
    case |= dict(zip(("rate", "transfer", "respired"), scheme, strict=True))
    case |= dict(input=0.0 * case["carbon"], mixing=still())
    capacity = column.column_respiration_capacity(case["carbon"], case["rate"], case["respired"])
    moment = step(case, 1e-3)["respiration"] / 1e-3
    # the step differs from the moment by rate x 1e-3 s, and by what reaches an almost empty pool in it
    np.testing.assert_allclose(moment, case["scalar"] * capacity, rtol=1e-7, atol=1e-30)
    half = column.column_respiration_capacity(case["carbon"], case["rate"], case["respired"], 0.5)
    np.testing.assert_allclose(half, 0.5 * capacity, rtol=1e-14)


def test_dissolved_carbon_leaves_instead_of_being_respired():
    gas = np.random.default_rng(6).random((16, LAYERS))
    left, export = column.dissolved_carbon(gas, np.linspace(-1.0, 20.0, 16), 0.05)
    np.testing.assert_allclose(left.sum(axis=1) + export, gas.sum(axis=1), rtol=1e-14)
    assert export[0] == 0.0 and np.all(export <= 0.05 * gas.sum(axis=1))
    share = export / gas.sum(axis=1)
    assert np.all(np.diff(share[1:]) > 0.0)
    left, export = column.dissolved_carbon(gas, 5.0, 0.0)
    np.testing.assert_array_equal(left, gas)
    assert not export.any()
