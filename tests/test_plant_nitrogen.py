"""Nitrogen in plants: conservation, resorption, growth, and what happens without it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from concerto.kernels import carbon

POOLS = carbon.POOLS
LITTER = ("litter_leaf", "litter_fine_root", "litter_wood", "litter_seed")
FULL = 5.5 / 30.8
CN = np.array([carbon.CN[name] for name in ("leaf_cn", "root_cn", "sapwood_cn", "heartwood_cn", "seed_cn")])
# stocks of at most a few kg N m-2 round at 1e-15; the project's bound is 1e-13 kg m-2
BOUND = 1e-13


def state(**given):
    base = dict(labile=0.3, leaf=0.15, fine_root=0.2, sapwood=4.0, heartwood=6.0, seed=0.05)
    return np.array([(base | given)[name] for name in POOLS])


def day(pools, nitrogen, net=0.004, kelvin=290.0, stress=1.0, target=5.0, uptake=0.0, limited=True, **traits):
    """A day of carbon and then nitrogen."""
    supply = carbon.plant_nitrogen_supply(nitrogen) if limited else 1e30
    before = dict(zip(POOLS, np.moveaxis(pools, -1, 0), strict=True)) | {"stress_memory": 1.0}
    out = carbon.vegetation_day(before, net, kelvin, stress, target, nitrogen_supply=supply, **traits)
    after = np.stack([out[name] for name in POOLS], axis=-1)
    plant = carbon.plant_nitrogen_day(nitrogen, out["flux"], pools, after, out["growth_nitrogen"], FULL, uptake)
    return out, after, plant


def balance(nitrogen, plant, uptake=0.0):
    lost = sum(plant[name] for name in LITTER)
    return plant["nitrogen"].sum(-1) - nitrogen.sum(-1) - uptake + lost


amounts = st.one_of(st.just(0.0), st.floats(1e-12, 5.0))


@settings(max_examples=60, deadline=None)
@given(
    arrays(float, (16, 6), elements=amounts),
    arrays(float, (16, 6), elements=st.one_of(st.just(0.0), st.floats(1e-14, 0.3))),
    arrays(float, 16, elements=st.floats(-0.05, 0.05)),
    st.floats(230.0, 318.0),
    st.floats(0.0, 6.0),
    st.floats(0.0, 0.01),
    st.sampled_from(list(carbon.ALLOCATION)),
    st.booleans(),
)
def test_nitrogen_is_conserved_and_never_negative(pools, nitrogen, net, kelvin, target, uptake, allocation, limited):
    _, _, plant = day(pools, nitrogen, net, kelvin, 0.7, target, uptake, limited, mortality=0.3, allocation=allocation)
    assert np.abs(balance(nitrogen, plant, uptake)).max() < BOUND
    assert plant["nitrogen"].min() >= 0.0
    assert min(plant[name].min() for name in (*LITTER, "demand")) >= 0.0
    assert plant["leaf_factor"].min() >= 0.6 and plant["leaf_factor"].max() <= 1.0


def test_plants_start_with_tissue_at_its_target():
    pools = state()
    nitrogen = carbon.plant_nitrogen_start(pools, FULL)
    np.testing.assert_allclose(nitrogen[1:], pools[1:] / CN, rtol=1e-14)  # the definition
    assert 0.0 < nitrogen[0] <= FULL / CN[0]
    bare = carbon.plant_nitrogen_start(np.zeros(6), FULL)
    assert not bare.any()


def test_healthy_plants_keep_their_stoichiometry():
    pools, nitrogen = state(), carbon.plant_nitrogen_start(state(), FULL)
    demand = 0.0
    for _ in range(60):
        _, pools, plant = day(pools, nitrogen, net=0.006, uptake=demand)
        nitrogen, demand = plant["nitrogen"], float(plant["demand"])
    np.testing.assert_allclose((pools / nitrogen)[1:4], CN[:3], rtol=1e-3)  # refilled within days
    assert plant["leaf_factor"] > 0.999


def test_shed_leaves_give_half_their_nitrogen_back_and_dead_plants_none():
    pools, nitrogen = state(), carbon.plant_nitrogen_start(state(), FULL)
    quiet = dict(leaf_longevity=1e12, fine_root_longevity=1e12, sapwood_longevity=1e12, seed_longevity=1e12)
    out, _, plant = day(pools, nitrogen, 0.0, 200.0, 1.0, 0.0, mortality=0.0, shed_time=0.0, **quiet)
    np.testing.assert_allclose(out["litter_leaf"], 0.15, rtol=1e-9)  # turnover of 1e-12 yr-1
    np.testing.assert_allclose(plant["litter_leaf"], 0.5 * 0.15 / CN[0], rtol=1e-9)
    _, _, plant = day(pools, nitrogen, 0.0, 200.0, 1.0, 5.0, mortality=365.25, flush_time=1e12, **quiet)
    np.testing.assert_allclose(plant["litter_leaf"], (1.0 - np.exp(-1.0)) * 0.15 / CN[0], rtol=1e-9)
    dead = (1.0 - np.exp(-1.0)) * (nitrogen[0] + nitrogen[5])
    np.testing.assert_allclose(plant["litter_seed"], dead, rtol=1e-6)  # growth at -73 degC is 1e-6 of that at 25


def test_heartwood_keeps_what_its_stoichiometry_asks_for():
    pools, nitrogen = state(heartwood=0.0), carbon.plant_nitrogen_start(state(heartwood=0.0), FULL)
    out, after, plant = day(pools, nitrogen, 0.0, 200.0, 1.0, 0.0, mortality=0.0)
    np.testing.assert_allclose(plant["nitrogen"][4], after[4] / 500.0, rtol=1e-12)
    assert after[4] > 0.0


def test_growth_without_nitrogen_stops_and_the_carbon_stays_labile():
    pools, nitrogen = state(leaf=0.0), np.zeros(6)
    out, after, plant = day(pools, nitrogen, net=0.01)
    assert out["flux"][carbon.FLUXES.index("leaf_growth")] == 0.0 and out["growth_respiration"] == 0.0
    free = carbon.vegetation_day(dict(zip(POOLS, pools, strict=True)) | {"stress_memory": 1.0}, 0.01, 290.0, 1.0, 5.0)
    assert free["growth_respiration"] > 0.0 and after[0] > free["labile"]
    np.testing.assert_allclose(out["growth_nitrogen"], free["growth_nitrogen"], rtol=1e-14)
    assert plant["demand"] >= out["growth_nitrogen"]


def test_all_growth_is_scaled_by_one_ratio_when_nitrogen_is_short():
    before = dict(zip(POOLS, state(leaf=0.05), strict=True)) | {"stress_memory": 1.0}
    free = carbon.vegetation_day(before, 0.01, 290.0, 1.0, 5.0)
    short = carbon.vegetation_day(before, 0.01, 290.0, 1.0, 5.0, nitrogen_supply=0.25 * free["growth_nitrogen"])
    grown = slice(carbon.FLUXES.index("leaf_growth"), None)
    np.testing.assert_allclose(short["flux"][grown], 0.25 * free["flux"][grown], rtol=1e-14)


def test_new_tissue_may_be_poorer_by_a_third_before_growth_is_held_back():
    pools = state(leaf=0.0)
    nitrogen = carbon.plant_nitrogen_start(pools, FULL)
    need = float(day(pools, nitrogen, limited=False)[0]["growth_nitrogen"])
    nitrogen[0] = need / 1.33
    out, after, plant = day(pools, nitrogen)
    np.testing.assert_allclose(out["flux"][carbon.FLUXES.index("leaf_growth")], after[1], rtol=1e-12)
    np.testing.assert_allclose(plant["nitrogen"][1], after[1] / CN[0] / 1.33, rtol=2e-2)  # old fluxes give a little


def test_poor_leaves_lower_capacity_down_to_a_floor_and_ask_for_nitrogen():
    pools = state()
    full = carbon.plant_nitrogen_start(pools, FULL)
    for share, expected in ((1.0, 1.0), (0.8, 0.8), (0.3, 0.6)):
        nitrogen = full.copy()
        nitrogen[0], nitrogen[1] = 0.0, share * full[1]
        _, after, plant = day(pools, nitrogen, 0.0, 200.0, mortality=0.0)
        np.testing.assert_allclose(plant["leaf_factor"], expected, rtol=5e-3)  # a day of turnover refills a little
        lacking = after[1] / CN[0] - plant["nitrogen"][1]
        assert plant["demand"] >= 0.99 * lacking
        assert 0.6 <= plant["leaf_factor"] <= 1.0


def test_refilling_serves_leaves_first():
    pools = state()
    nitrogen = carbon.plant_nitrogen_start(pools, FULL)
    nitrogen[:] = [0.001, 0.5 * nitrogen[1], 0.5 * nitrogen[2], nitrogen[3], nitrogen[4], nitrogen[5]]
    _, _, plant = day(pools, nitrogen, 0.0, 200.0, mortality=0.0)
    assert plant["nitrogen"][1] > nitrogen[1] and plant["nitrogen"][2] <= nitrogen[2]


@pytest.mark.parametrize("allocation", carbon.ALLOCATION)
def test_plants_without_anything_stay_without(allocation):
    _, after, plant = day(np.zeros(6), np.zeros(6), 0.0, allocation=allocation)
    assert not after.any() and not plant["nitrogen"].any() and plant["leaf_factor"] == 1.0
    assert np.isfinite(plant["demand"])


def test_carbon_only_plants_take_up_nitrogen_until_they_are_whole():
    """The change from carbon only to carbon and nitrogen without the start helper."""
    pools, nitrogen = state(), np.zeros(6)
    uptake = 0.0
    for _ in range(90):
        _, pools, plant = day(pools, nitrogen, net=0.004, uptake=uptake, mortality=0.0)
        assert np.abs(balance(nitrogen, plant, uptake)) < BOUND
        nitrogen, uptake = plant["nitrogen"], float(plant["demand"])
    assert plant["leaf_factor"] > 0.99
