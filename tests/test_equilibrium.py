"""Equilibrium solvers: measured cycles that balance, wood, acceleration, and reports that do not flatter."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from concerto.errors import ConcertoError
from concerto.kernels import carbon, equilibrium, soil_column

DAY = 86400.0
THICKNESS = soil_column.THICKNESS


def solve(start, end, sums, transfer, **more):
    return equilibrium.flux_weighted_equilibrium(transfer, sums[0], sums[1], start, end, sums[2], sums[3], **more)


class Column:
    """Layered soil with seasons in n tiles, twelve steps of a month in a cycle."""

    months, step = 12, 30.4375 * DAY

    def __init__(self, seed, n=4, frozen=0):
        rng = np.random.default_rng(seed)
        self.rate, self.transfer, self.respired = carbon.decomposition_scheme("cencn", sand=rng.uniform(10, 90, n))
        season = 1.0 + 0.8 * np.sin(2.0 * np.pi * (np.arange(12) / 12.0 + rng.random((n, 1, 1))))
        self.scalar = rng.uniform(0.05, 0.6, (n, 1, 1)) * np.exp(-np.cumsum(THICKNESS))[:, None] * season
        self.mixing = rng.uniform(0.2, 5.0, (n, 1)) * 1e-4 / carbon.SECONDS_PER_YEAR / np.diff(np.cumsum(THICKNESS))
        if frozen:  # lower layers never thaw
            self.scalar[:, -frozen:] = 0.0
            self.mixing[:, -frozen:] = 0.0
        self.input = np.zeros((n, len(THICKNESS), 7, 12))
        profile = np.exp(-np.cumsum(THICKNESS) / 0.3)
        if frozen:
            profile[-frozen:] = 0.0
        for pool, share in zip((0, 1, 2, 6), (0.2, 0.4, 0.2, 0.2), strict=True):
            self.input[:, :, pool] = 0.05 * share * (profile / profile.sum())[:, None] * (2.0 - season) ** 2

    def start(self):
        return np.full(self.input.shape[:3], 0.01)

    def cycle(self, pools, measure=True, limitation=1.0):
        sums = None
        for month in range(self.months):
            arguments = (self.rate, self.transfer, self.scalar[..., month], self.mixing)
            supply = self.input[..., month]
            pools, loss = soil_column.litter_step(pools, supply, *arguments, time_step=self.step)
            pools, loss = soil_column.limit_litter(pools, loss, np.broadcast_to(limitation, pools.shape))
            pools, loss, _ = soil_column.soil_step(
                pools, loss, *arguments[:2], self.respired, *arguments[2:], time_step=self.step
            )
            if measure:
                factor = np.ones(pools.shape)
                factor[..., :3] = limitation
                sums = equilibrium.cycle_sums(
                    sums, pools, supply, self.rate, self.scalar[..., month], self.mixing, THICKNESS, factor, self.step
                )
        return pools, sums

    def exact(self):
        """Periodic pools from the matrix of the cycle, found by stepping unit pools."""
        size = self.input[0, ..., 0].size
        out = []
        for i in range(len(self.rate)):
            unit = np.vstack([np.eye(size), np.zeros(size)]).reshape(size + 1, *self.input.shape[1:3])
            one = object.__new__(Column)
            one.rate, one.transfer, one.respired = (np.repeat(a[i : i + 1], size + 1, axis=0) for a in
                                                    (self.rate, self.transfer, self.respired))  # fmt: skip
            one.scalar, one.mixing = (np.repeat(a[i : i + 1], size + 1, axis=0) for a in (self.scalar, self.mixing))
            one.input = np.concatenate([np.zeros((size, *self.input.shape[1:])), self.input[i : i + 1]])
            end = one.cycle(unit, measure=False)[0].reshape(size + 1, size)
            out.append(np.linalg.solve(np.eye(size) - end[:size].T, end[size]).reshape(self.input.shape[1:3]))
        return np.array(out)


# ------------------------------------------------------------------------------------------------ the column
def test_sums_of_a_cycle_account_for_every_gram():
    column = Column(1)
    for limitation in (1.0, 0.35):
        start = column.start()
        end, (supply, loss, down, up) = column.cycle(start, limitation=limitation)
        np.testing.assert_allclose(supply, column.input.sum(axis=-1), rtol=1e-14)
        gain = np.einsum("nrd,nld->nlr", column.transfer, loss) - loss + supply - down - up
        gain[:, 1:] += down[:, :-1]
        gain[:, :-1] += up[:, 1:]
        # twelve steps of pools up to 1 kg m-2: rounding 1e-15 each
        np.testing.assert_allclose(end - start, gain, atol=5e-14)


def test_few_passes_reach_the_exact_periodic_column():
    column = Column(2)
    exact = column.exact()
    total = exact.sum(axis=(1, 2))
    pools, distance = column.start(), []
    for _ in range(6):
        end, sums = column.cycle(pools)
        pools, _, correction = solve(pools, end, sums, column.transfer)
        distance.append(np.max(np.abs(pools - exact), axis=(1, 2)) / total)
    distance = np.array(distance)
    assert np.all(distance[3] < 1e-4)  # target of the model: 1e-4 of the total in at most ten cycles
    # litter that swings within the year makes the passes converge by a factor of about four each (measured)
    assert np.all(distance[5] < 1e-6) and np.all(distance[5] < 0.2 * distance[3])
    end, _ = column.cycle(pools)
    report = equilibrium.cycle_residual(pools, end)
    assert np.all(report.worst_change < 1e-6)


def test_the_periodic_column_is_a_fixed_point_of_the_solver():
    column = Column(3, n=3)
    exact = column.exact()
    end, sums = column.cycle(exact)
    pools, factor, correction = solve(exact, end, sums, column.transfer)
    # the unit-pool matrix loses 1e-16 of 1 against turnovers of 1e-4 a cycle
    np.testing.assert_allclose(factor, 1.0, atol=1e-9)
    np.testing.assert_allclose(pools, exact, rtol=1e-9)
    assert np.all(correction < 1e-9)


def test_pools_that_never_thaw_keep_their_carbon():
    column = Column(4, frozen=3)
    start = column.start()
    start[:, -3:] = 2.0
    end, sums = column.cycle(start)
    pools, factor, _ = solve(start, end, sums, column.transfer)
    np.testing.assert_array_equal(pools[:, -3:], 2.0)
    np.testing.assert_array_equal(factor[:, -3:], 1.0)
    assert np.all(pools[:, :-3] > 0.0) and np.isfinite(pools).all()


def test_an_empty_column_stays_empty():
    column = Column(5)
    column.input[:] = 0.0
    start = np.zeros(column.input.shape[:3])
    end, sums = column.cycle(start)
    pools, factor, correction = solve(start, end, sums, column.transfer)
    assert not pools.any() and np.all(factor == 1.0) and not correction.any()


def test_a_closed_circle_without_input_keeps_its_carbon():
    # two pools that only exchange carbon: nothing decides on their sum
    transfer = np.array([[0.0, 1.0], [1.0, 0.0]])
    loss, start = np.array([[0.1, 0.2]]), np.array([[1.0, 4.0]])
    pools, factor, _ = equilibrium.flux_weighted_equilibrium(transfer, np.zeros((1, 2)), loss, start, start)
    assert np.isfinite(factor).all()
    # their ratio is that of balance, one of them is kept
    np.testing.assert_allclose(factor[0, 0] * loss[0, 0], factor[0, 1] * loss[0, 1], rtol=1e-14)
    assert 1.0 in factor


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**31 - 1), st.integers(1, 6), st.integers(1, 7))
def test_balanced_flows_balance(seed, n_layer, n_pool):
    rng = np.random.default_rng(seed)
    shape = (3, n_layer, n_pool)
    transfer = rng.random((3, n_pool, n_pool)) * (rng.random((3, n_pool, n_pool)) > 0.5)
    transfer *= 0.95 / np.maximum(1.0, transfer.sum(axis=1, keepdims=True))
    loss, supply, other = (10.0 ** rng.uniform(-4, 0, shape) for _ in range(3))
    down, up = (10.0 ** rng.uniform(-6, 0, shape) for _ in range(2))
    down[:, -1], up[:, 0] = 0.0, 0.0
    pools = np.ones(shape)
    _, y, _ = equilibrium.flux_weighted_equilibrium(
        transfer, supply, loss, pools, pools, down, up, other_loss_sum=other
    )
    leaves = (loss + down + up + other) * y
    comes = supply + np.einsum("nrd,nld->nlr", transfer, loss * y)
    comes[:, 1:] += (down * y)[:, :-1]
    comes[:, :-1] += (up * y)[:, 1:]
    # elimination without subtraction: every factor to some ulp, so every balance too
    np.testing.assert_allclose(leaves, comes, rtol=1e-11)
    assert np.all(y > 0.0)
    _, double, _ = equilibrium.flux_weighted_equilibrium(
        transfer, 2.0 * supply, loss, pools, pools, down, up, other_loss_sum=other
    )
    np.testing.assert_allclose(double, 2.0 * y, rtol=1e-13)


def test_a_tile_does_not_depend_on_its_neighbours():
    column = Column(6, n=70)
    start = column.start()
    end, sums = column.cycle(start)
    together = solve(start, end, sums, column.transfer)[0]
    alone = solve(start[66:67], end[66:67], [a[66:67] for a in sums], column.transfer[66:67])[0]
    np.testing.assert_array_equal(together[66], alone[0])


def test_radioactive_decay_ages_slow_pools():
    # one pool, modern input: activity 1/(1 + lambda tau), as the exact solution of the spec says
    decay = np.log(2.0) / 5730.0
    one = np.ones((1, 1))
    for tau, permil in ((100.0, -11.952), (1000.0, -107.914), (10000.0, -547.446)):
        stock = tau * one  # input of 1 a year
        _, factor, _ = equilibrium.flux_weighted_equilibrium(
            np.zeros((1, 1)), one, one, stock, stock, other_loss_sum=decay * stock
        )
        assert 1000.0 * (factor[0, 0] - 1.0) == pytest.approx(permil, abs=6e-4)  # printed to 3 digits


# ------------------------------------------------------------------------------------------------------ wood
def test_wood_balances_growth_and_losses():
    rates = dict(conversion=0.03, death=0.02)
    sapwood, heartwood = np.array([1.0, 0.2]), np.array([0.5, 0.0])
    growth = np.array([0.3, 0.1])
    for _ in range(3):
        end_s = (sapwood + growth) / 1.05
        end_h = (heartwood + rates["conversion"] * end_s) / 1.02
        sums = (growth, rates["conversion"] * end_s, rates["death"] * end_s, rates["death"] * end_h)
        sapwood, heartwood, _ = equilibrium.wood_equilibrium(sapwood, heartwood, end_s, end_h, *sums)
    # implicit steps: 0.3 = 0.05 S, 0.03 S = 0.02 H; the start of a pool that grows in the cycle is solved in turns
    np.testing.assert_allclose(sapwood, growth / 0.05, rtol=2e-3)
    np.testing.assert_allclose(heartwood, 1.5 * growth / 0.05, rtol=6e-3)


def test_wood_that_costs_respiration_does_not_overshoot():
    # growth is what is left after the respiration of wood: S = gain/(loss + cost)
    gain, loss, cost = 0.5, 0.04, 0.06
    sapwood, seen = 0.5, []
    for _ in range(3):
        growth = gain - cost * sapwood
        sapwood, _, _ = equilibrium.wood_equilibrium(
            sapwood, 1.0, sapwood, 1.0, growth, 0.0, loss * sapwood, 0.0, cost * sapwood, 1.0
        )
        seen.append(sapwood)
    np.testing.assert_allclose(seen, gain / (loss + cost), rtol=1e-12)


def test_plants_without_wood_keep_none():
    sapwood, heartwood, factor = equilibrium.wood_equilibrium(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    assert sapwood == 0.0 and heartwood == 0.0 and np.all(factor == 1.0)


# -------------------------------------------------------------------------------------------------- anderson
def coupled(n=5):
    """Slowly converging coupled cycles: linear pools with a growth that saturates, spectral radius about 0.99."""
    rng = np.random.default_rng(8)
    rates = 10.0 ** rng.uniform(-2.0, -0.3, (n, 8))

    def cycle(x):
        supply = np.full_like(x, 0.02) * (0.5 + x[:, ::-1] / (1.0 + x[:, ::-1]))
        supply[:, 1:] += 0.4 * rates[:, :-1] * x[:, :-1]
        return x + supply - rates * x

    return cycle


def test_acceleration_needs_a_tenth_of_the_cycles():
    cycle = coupled()
    plain = np.full((5, 8), 0.1)
    steps = 0
    while np.max(np.abs(cycle(plain) / plain - 1.0)) > 1e-8 and steps < 5000:
        plain = cycle(plain)
        steps += 1
    history, state = equilibrium.AndersonHistory(), np.full((5, 8), 0.1)
    used = 0
    while np.max(np.abs(cycle(state) / state - 1.0)) > 1e-8 and used < 500:
        state, _ = equilibrium.anderson_step(state, cycle(state), history)
        used += 1
    assert used < 0.1 * steps
    # plain stepping stops 1e-8/(1 - 0.99) away from the fixed point
    np.testing.assert_allclose(state, plain, rtol=1e-5)


def test_acceleration_keeps_pools_positive_and_leaves_empty_ones_alone():
    cycle = coupled(3)
    history, state = equilibrium.AndersonHistory(), np.full((3, 8), 10.0)
    state[0, 3] = 0.0
    for _ in range(30):
        image = cycle(state)
        image[0, 3] = 0.0
        state, residual = equilibrium.anderson_step(state, image, history)
        assert np.all(state >= 0.0) and state[0, 3] == 0.0 and np.isfinite(state).all()


def test_a_residual_that_grows_brings_back_the_plain_iterate():
    history, state = equilibrium.AndersonHistory(), np.ones((1, 2))
    state, _ = equilibrium.anderson_step(state, np.array([[1.01, 1.02]]), history)
    state, _ = equilibrium.anderson_step(state, state * 1.005, history)
    image = state * np.array([[3.0, 5.0]])
    following, residual = equilibrium.anderson_step(state, image, history)
    np.testing.assert_allclose(following, image, rtol=1e-14)
    assert history.restarts[0] == 1


def test_tiles_are_accelerated_each_on_its_own():
    cycle = coupled(5)
    together, alone = np.full((5, 8), 0.3), np.full((5, 8), 0.3)[2:3]
    first, second = equilibrium.AndersonHistory(), equilibrium.AndersonHistory()
    for _ in range(6):
        together, _ = equilibrium.anderson_step(together, cycle(together), first)
        whole = np.repeat(alone, 5, axis=0)
        alone, _ = equilibrium.anderson_step(alone, cycle(whole)[2:3], second)
    np.testing.assert_allclose(together[2], alone[0], rtol=1e-9)  # least squares of other sizes round differently


# ---------------------------------------------------------------------------------------------------- report
def test_the_report_names_the_worst_pool_and_layer():
    start = np.ones((2, 3, 2))
    finish = start.copy()
    finish[1, 2, 0] += 0.3
    finish[1, 0, 1] -= 0.3
    finish[0, 1, 1] += 6e-5
    report = equilibrium.cycle_residual(start, finish, ("fast", "slow"), cycle_length=8.0)
    np.testing.assert_allclose(report.residual, [1e-5, 0.0], atol=1e-15)  # losses and gains of tile 2 cancel
    np.testing.assert_allclose(report.worst_change, [1e-5, 0.05], rtol=1e-9)
    assert report.worst(0) == "slow in layer 2" and report.worst(1) in ("fast in layer 3", "slow in layer 1")
    words = equilibrium.describe_residual(report)
    assert words.startswith("1 of 2 tiles") and "8 yr" in words and report.worst(1) in words


def test_arrays_of_the_wrong_shape_are_refused():
    with pytest.raises(ConcertoError, match="layer"):
        equilibrium.flux_weighted_equilibrium(np.zeros((1, 1)), 1.0, 1.0, 1.0, 1.0)
    with pytest.raises(ConcertoError, match="tile, unknown"):
        equilibrium.anderson_step(np.ones(3), np.ones(3), equilibrium.AndersonHistory())
    with pytest.raises(ConcertoError, match="cycle_residual"):
        equilibrium.cycle_residual(np.ones(3), np.ones(3))
