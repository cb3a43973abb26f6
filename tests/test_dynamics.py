"""Vegetation that changes its area: what moves is conserved, in any order, and climate and light set the limits."""

import json

import numpy as np
import pytest

from concerto.kernels import dynamics

hypothesis = pytest.importorskip("hypothesis")
given, st = hypothesis.given, hypothesis.strategies

KIND = np.array([[dynamics.BARE, dynamics.GRASS, dynamics.WOODY, dynamics.WOODY, 0.0]])


def random_case(seed, n_cell=3, n_slot=5):
    """Areas that sum to one, and transitions that leave no tile negative; some tiles are empty, some vanish."""
    random = np.random.default_rng(seed)
    area = random.random((n_cell, n_slot)) * (random.random((n_cell, n_slot)) > 0.2)
    area /= np.maximum(area.sum(axis=1, keepdims=True), 1e-12)
    moves = random.random((n_cell, n_slot, n_slot)) * (random.random((n_cell, n_slot, n_slot)) > 0.5)
    moves[:, np.arange(n_slot), np.arange(n_slot)] = 0.0
    share = random.choice([0.0, 0.3, 1.0], size=(n_cell, n_slot, 1))
    moves *= share * area[:, :, None] / np.maximum(moves.sum(axis=2, keepdims=True), 1e-12)
    carried = random.choice([0.0, 1.0], size=moves.shape)
    return random, area, moves, carried


@given(seed=st.integers(0, 10**6))
def test_what_stands_on_moved_area_is_conserved(seed):
    random, area, moves, carried = random_case(seed)
    state = 30.0 * random.random((3, 5, 4))
    after, felled = dynamics.move_area(state, area, moves, carried)
    new = dynamics.area_after(area, moves)
    np.testing.assert_allclose(new.sum(axis=1), area.sum(axis=1), rtol=1e-14)
    before = np.einsum("ij,ijk->ik", area, state)
    # sums over 25 parcels: a few ulp each
    np.testing.assert_allclose(np.einsum("ij,ijk->ik", new, after + felled), before, rtol=1e-13)
    low, high = state.min(axis=(1, 2)), state.max(axis=(1, 2))
    whole, _ = dynamics.move_area(state, area, moves)
    filled = new > 0.0
    assert np.all(whole[filled] <= np.broadcast_to(high[:, None, None], whole.shape)[filled] * (1 + 1e-14))
    assert np.all(whole[filled] >= np.broadcast_to(low[:, None, None], whole.shape)[filled] * (1 - 1e-14))


@given(seed=st.integers(0, 10**6))
def test_the_order_of_tiles_does_not_matter(seed):
    random, area, moves, carried = random_case(seed)
    state = random.random((3, 5, 2))
    order = random.permutation(5)
    after, felled = dynamics.move_area(state, area, moves, carried)
    turned = moves[:, order][:, :, order], carried[:, order][:, :, order]
    other, other_felled = dynamics.move_area(state[:, order], area[:, order], *turned)
    np.testing.assert_allclose(other, after[:, order], rtol=1e-13, atol=1e-15)  # sums in another order
    np.testing.assert_allclose(other_felled, felled[:, order], rtol=1e-13, atol=1e-15)


@given(seed=st.integers(0, 10**6))
def test_heat_and_water_are_conserved_together(seed):
    random, area, moves, _ = random_case(seed)
    water = random.random((3, 5, 2))  # liquid and ice, kg m-2
    temperature = 260.0 + 40.0 * random.random((3, 5, 1))
    dry = 1e5 * random.random()

    def capacity(w):
        return dry + 4188.0 * w[..., :1] + 2117.0 * w[..., 1:]

    mixed, _ = dynamics.move_area(water, area, moves)
    new = dynamics.area_after(area, moves)
    after = dynamics.move_area_heat(temperature, area, moves, capacity(water), capacity(mixed))
    before_heat = (area[..., None] * capacity(water) * (temperature - 273.15)).sum(axis=(1, 2))
    after_heat = (new[..., None] * capacity(mixed) * (after - 273.15)).sum(axis=(1, 2))
    # heat from the freezing point has both signs: relative to its size without cancellation
    size = (area[..., None] * capacity(water) * np.abs(temperature - 273.15)).sum(axis=(1, 2))
    assert np.all(np.abs(after_heat - before_heat) <= 1e-12 * size)
    assert after.min() >= temperature.min() - 1e-10 and after.max() <= temperature.max() + 1e-10


def test_no_change_leaves_every_bit():
    random, area, _, _ = random_case(7)
    state, none = random.random((3, 5, 4)), np.zeros((3, 5, 5))
    after, felled = dynamics.move_area(state, area, none)
    assert np.array_equal(after, state) and not felled.any()
    assert np.array_equal(dynamics.area_after(area, none), area)
    assert np.array_equal(dynamics.move_area_mean(state, area, none), state)
    heat = dynamics.move_area_heat(280.0 + state, area, none, 1e5 + state, 1e5 + state)
    assert np.array_equal(heat, 280.0 + state)


def test_a_tile_that_only_shrinks_keeps_its_amounts_per_area_to_the_last_bit():
    moves = np.zeros((1, 3, 3))
    moves[0, 0, 1] = 0.123
    state = np.array([[[1.1], [2.2], [3.3]]])
    after, _ = dynamics.move_area(state, [[0.3, 0.3, 0.4]], moves)
    assert after[0, 0, 0] == 1.1 and after[0, 2, 0] == 3.3
    assert after[0, 1, 0] == pytest.approx((0.3 * 2.2 + 0.123 * 1.1) / 0.423, rel=1e-14)


def test_memories_follow_the_plants_that_survive_and_a_new_tile_takes_those_of_its_largest_donor():
    area, moves, state = np.array([[0.5, 0.2, 0.3, 0.0]]), np.zeros((1, 4, 4)), np.array([[[1.0], [2.0], [3.0], [9.0]]])
    moves[0, 0, 1], moves[0, 2, 3], moves[0, 1, 3] = 0.1, 0.15, 0.05
    cleared = dynamics.move_area_mean(state, area, moves, carried=0.0)
    np.testing.assert_array_equal(cleared[0, :, 0], [1.0, 2.0, 3.0, 3.0])
    carried = dynamics.move_area_mean(state, area, moves)
    assert carried[0, 1, 0] == pytest.approx((0.15 * 2.0 + 0.1 * 1.0) / 0.25, rel=1e-14)
    assert carried[0, 3, 0] == pytest.approx((0.15 * 3.0 + 0.05 * 2.0) / 0.2, rel=1e-14)


def test_cleared_and_mixed_land_follows_the_reference(shared):
    with open(shared("reference/disturb_transitions.json")) as file:
        cases = json.load(file)["cases"]
    for case in cases:
        area, density = np.array([case["area_before"]]), np.array([case["density_before"]])
        moves, clear = np.array([case["transitions"]]), np.array([case["clear"]])
        share = case["fractions"]
        after, felled = dynamics.move_area(density, area, moves, np.where(clear, 0.0, 1.0))
        soil, _ = dynamics.move_area(density[..., 3:], area, moves)
        after[..., 3:] = soil
        leaf, wood, root = (felled[..., k] for k in range(3))
        burnt = share["wood_aboveground"] * wood * (share["burn_wood"] + sum(share["prod"]))
        after[..., 3] += leaf * (1.0 - share["burn_leaf"]) + root
        after[..., 4] += wood - burnt
        np.testing.assert_allclose(dynamics.area_after(area, moves)[0], case["area_after"], atol=1e-14)
        np.testing.assert_allclose(after[0], case["density_after"], rtol=1e-10, atol=1e-12)  # README: 1e-10


# ---- establishment, competition, mortality


def run(years, area, coldest=285.0, warmth=3000.0, **traits):
    area = np.array([area], dtype=float)
    for _ in range(years):
        moves, area = dynamics.dynamics_year(KIND, area, coldest, warmth, **traits)
        assert np.all(moves >= 0.0) and area.min() >= 0.0
        assert area.sum() == pytest.approx(1.0, abs=1e-12)
    return area[0]


def test_trees_close_the_canopy_to_their_largest_cover_and_grass_takes_the_rest():
    area = run(300, [0.8, 0.0, 0.0, 0.0, 0.2], increment=0.3)
    assert area[4] == pytest.approx(0.2, abs=1e-14)  # not natural
    assert 0.6 * 0.8 < area[2] + area[3] <= 0.95 * 0.8 + 1e-12
    assert area[2] == pytest.approx(area[3], rel=1e-9)  # equal types share equally
    assert area[0] < 1e-12 and area[1] == pytest.approx(0.8 - area[2] - area[3], abs=1e-12)


def test_one_year_of_establishment_is_that_of_the_paper():
    _, new = dynamics.dynamics_year(KIND, np.array([[0.0, 0.6, 0.4, 0.0, 0.0]]), 285.0, 3000.0, increment=1e9)
    gain = 0.12 * (1.0 - np.exp(-5.0 * 0.6)) * 0.6 / 2.0  # two types; no mortality at such growth
    assert new[0, 3] == pytest.approx(gain, rel=1e-12)
    assert new[0, 2] == pytest.approx(0.4 + gain, rel=1e-6)


def test_mortality_falls_with_growth():
    full = np.array([[0.0, 0.05, 0.95, 0.0, 0.0]])
    _, poor = dynamics.dynamics_year(KIND, full, 285.0, 0.0, warmth_least=1.0, increment=0.0)
    _, rich = dynamics.dynamics_year(KIND, full, 285.0, 0.0, warmth_least=1.0, increment=0.3, leaf_area=3.0)
    assert 0.95 - poor[0, 2] == pytest.approx(0.015 * 0.95, rel=1e-10)
    assert 0.95 - rich[0, 2] == pytest.approx(0.015 / (1.0 + 0.2 * 100.0) * 0.95, rel=1e-10)


def test_types_beyond_their_climate_die_and_do_not_come_back():
    limits = np.array([[0.0, 0.0, 290.0, 250.0, 0.0]])
    area = run(100, [0.0, 0.2, 0.4, 0.4, 0.0], coldest=280.0, coldest_least=limits)
    assert area[2] == 0.0 and area[3] > 0.5
    never_warm = run(100, [0.0, 1.0, 0.0, 0.0, 0.0], warmth=100.0, warmth_least=np.array([[0, 0, 350.0, 350.0, 0]]))
    np.testing.assert_allclose(never_warm, [0, 1, 0, 0, 0], atol=1e-14)
    too_cold = run(3, [0.0, 0.6, 0.4, 0.0, 0.0], coldest=200.0, coldest_least=210.0)
    np.testing.assert_allclose(too_cold, [1, 0, 0, 0, 0], atol=1e-14)  # bare


def test_too_dense_trees_are_thinned():
    area = run(1, [0.0, 0.0, 0.6, 0.4, 0.0], increment=1e9)
    assert area[2] + area[3] == pytest.approx(0.95, rel=1e-9)
    assert area[2] / area[3] == pytest.approx(1.5, rel=1e-9)


def test_bioclimate_is_that_of_the_months_and_remembers_twenty_years():
    memory = np.zeros(dynamics.MEMORY)

    def year(shift):
        nonlocal memory
        for day in range(1, 366):
            air = 283.15 + shift - 10.0 * np.cos(2.0 * np.pi * (day - 15.2) / 365.0)
            memory, *means = dynamics.bioclimate_day(memory, day, air)
        return means

    for _ in range(3):
        coldest, warmest, warmth = year(0.0)
    # means of a month of a sine of amplitude 10: the peak times sin(x)/x, x = pi/12; half a day of phase
    assert coldest == pytest.approx(283.15 - 10.0 * 0.9886, abs=0.02)
    assert warmest == pytest.approx(283.15 + 10.0 * 0.9886, abs=0.02)
    days = np.arange(1, 366)
    exact = np.maximum(0.0, 5.0 - 10.0 * np.cos(2.0 * np.pi * (days - 15.2) / 365.0)).sum()
    assert warmth == pytest.approx(exact, rel=1e-12)
    for _ in range(20):
        colder, _, _ = year(4.0)
    year(4.0)
    assert colder - coldest == pytest.approx(4.0 * (1.0 - np.exp(-19.0 / 20.0) * _weight(2)), abs=0.15)


def _weight(years):
    """Weight of the first years in the mean of these and 19 later ones, over exp(-19/20)."""
    return (1.0 - np.exp(-years / 20.0)) / (1.0 - np.exp(-(years + 19.0) / 20.0))


def test_gaps_go_to_the_stronger_type_and_a_type_alone_keeps_its_own():
    from concerto.kernels.dynamics import gaps_year

    kind, area = np.array([[3.0, 3.0, 3.0, 2.0]]), np.array([[0.3, 0.3, 0.2, 0.2]])
    none = np.zeros((1, 4, 4))
    moved, after = gaps_year(none, kind, area, turnover=0.02, vigour=[[1.0, 2.0, 1.0, 9.0]])
    # by hand: 0.016 of gaps, tickets 0.3, 0.6, 0.2 of 1.1
    assert np.allclose(
        after, [[0.3 - 0.006 + 0.016 * 3 / 11, 0.3 - 0.006 + 0.016 * 6 / 11, 0.2 - 0.004 + 0.016 * 2 / 11, 0.2]]
    )
    assert np.all(np.minimum(moved, moved.transpose(0, 2, 1)) == 0.0)  # net exchange only
    assert np.array_equal(gaps_year(none, kind, area, turnover=0.02, vigour=1.0)[1], area)  # equals stay as they are
    only = gaps_year(none, kind, area, establishes=[[1.0, 0.0, 0.0, 0.0]], turnover=0.02)[1]
    assert np.allclose(only, [[0.3 + 0.02 * 0.5, 0.3 * 0.98, 0.2 * 0.98, 0.2]])
    alone = np.array([[0.8, 0.0, 0.0, 0.2]])
    assert np.array_equal(gaps_year(none, kind, alone, turnover=0.02)[0], none)
