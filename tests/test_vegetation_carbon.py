"""Plant carbon: respiration, growth, turnover, and equilibrium with the soil."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from concerto.kernels import carbon

NAMES = (*carbon.POOLS, "stress_memory")
LITTER = ("litter_leaf", "litter_fine_root", "litter_wood", "litter_seed")
TREE = dict(carbon.TRAITS)
GRASS = TREE | dict(
    specific_leaf_area=40.24,
    maximum_leaf_area=3.0,
    woody=0.0,
    root_leaf_ratio=1.57,
    reserve_ratio=2.0,
    seed_share=0.75,
    leaf_longevity=0.35,
    fine_root_longevity=2.0,
    mortality=0.0,
)
NEEDLE = TREE | dict(
    specific_leaf_area=10.0,
    maximum_leaf_area=4.0,
    root_leaf_ratio=0.75,
    flush_time=1e6,
    reserve_ratio=0.5,
    leaf_longevity=4.0,
    fine_root_longevity=2.0,
    mortality=0.0212,
)
TROPICAL = NEEDLE | dict(
    specific_leaf_area=19.0,
    maximum_leaf_area=6.0,
    root_leaf_ratio=1.47,
    leaf_longevity=1.6,
    sapwood_longevity=30.0,
    mortality=0.024,
)


def pools(n=None, **given):
    base = dict(labile=0.3, leaf=0.15, fine_root=0.2, sapwood=4.0, heartwood=6.0, seed=0.05, stress_memory=1.0) | given
    return base if n is None else {k: np.broadcast_to(v, n).copy() for k, v in base.items()}


def total(state):
    return sum(np.asarray(state[name]) for name in carbon.POOLS)


# --------------------------------------------------------------------------------------------- respiration
def test_maintenance_respiration_has_its_base_rates_at_20_degrees():
    leaf, stem, root, paid = carbon.maintenance_respiration(10.0, 0.3, 5.0, 293.15, 293.15, 1e-8)
    np.testing.assert_allclose([stem, root], [5.0 * 8.3e-7 / 330.0, 0.3 * 2.525e-6 / 42.0], rtol=1e-14)
    assert leaf == 1e-8 and paid == 1.0
    _, warm_stem, warm_root, _ = carbon.maintenance_respiration(10.0, 0.3, 5.0, 303.15, 283.15, 1e-8)
    np.testing.assert_allclose([warm_stem / stem, warm_root / root], [1.5, 1.0 / 1.5], rtol=1e-12)


def test_respiration_is_reduced_before_the_labile_pool_is_empty():
    demand = sum(carbon.maintenance_respiration(10.0, 0.3, 5.0, 293.15, 293.15, 1e-8)[:3])
    for days, share in ((10.0, 1.0), (5.0, 1.0), (1.0, 0.2), (0.0, 0.0)):
        leaf, stem, root, paid = carbon.maintenance_respiration(days * 86400.0 * demand, 0.3, 5.0, 293.15, 293.15, 1e-8)
        np.testing.assert_allclose([paid, (leaf + stem + root) / demand], share, rtol=1e-12)


def test_plants_without_carbon_respire_nothing():
    assert carbon.maintenance_respiration(0.0, 0.0, 0.0, 300.0, 300.0)[:3] == (0.0, 0.0, 0.0)


# ------------------------------------------------------------------------------------------------ the day
def test_carbon_is_conserved_in_every_daily_step():
    rng = np.random.default_rng(1)
    n = 20000

    def empty_or(value, chance=0.1):
        return np.where(rng.random(n) < chance, 0.0, value)

    state = pools(
        labile=empty_or(rng.random(n)),
        leaf=empty_or(rng.random(n) * 0.6),
        fine_root=empty_or(rng.random(n)),
        sapwood=empty_or(rng.random(n) * 20.0),
        heartwood=empty_or(rng.random(n) * 30.0),
        seed=empty_or(rng.random(n)),
        stress_memory=rng.random(n),
    )
    net = rng.normal(0.0, 0.02, n)
    traits = dict(
        specific_leaf_area=rng.uniform(8.0, 50.0, n),
        maximum_leaf_area=rng.uniform(0.0, 7.0, n),
        woody=rng.integers(0, 2, n),
        flush_time=rng.choice([0.0, 10.0, 1e6], n),
        shed_time=rng.choice([0.0, 10.0], n),
        reserve_ratio=rng.choice([0.0, 0.5, 2.0], n),
        seed_share=rng.random(n),
        leaf_longevity=rng.uniform(0.2, 5.0, n),
        mortality=empty_or(rng.random(n) * 0.3, 0.3),
    )
    day = carbon.vegetation_day(
        state,
        net,
        rng.uniform(230.0, 318.0, n),
        empty_or(rng.random(n)),
        empty_or(rng.uniform(0, 7, n)),
        **traits,
    )
    out = sum(day[name] for name in LITTER) + day["growth_respiration"]
    residual = (total(day) - total(state)) - (net - out)
    # stocks reach 50 kg m-2, whose sums round at 1e-14; the project's bound is 1e-13 kg m-2
    assert np.max(np.abs(residual)) < 1e-13
    fluxes = np.array([day[name] for name in (*LITTER, "growth_respiration", "leaf_deficit", "leaf_area")])
    assert np.all(fluxes >= -1e-18)  # differences of pools: rounding of an empty flux
    rich = total(state) - state["heartwood"] + net > 0.0  # a debt beyond all living tissue cannot be paid
    for name in carbon.POOLS:
        assert np.all(day[name][rich] >= 0.0)


# donor and receiver of every flux: pools by name, litter by tissue, growth respiration
TABLE = {
    "leaf_debt": ("leaf", "labile"),
    "root_debt": ("fine_root", "labile"),
    "sapwood_debt": ("sapwood", "labile"),
    "seed_debt": ("seed", "labile"),
    "labile_mortality": ("labile", "litter_seed"),
    "leaf_mortality": ("leaf", "litter_leaf"),
    "root_mortality": ("fine_root", "litter_fine_root"),
    "sapwood_mortality": ("sapwood", "litter_wood"),
    "heartwood_mortality": ("heartwood", "litter_wood"),
    "seed_mortality": ("seed", "litter_seed"),
    "leaf_turnover": ("leaf", "litter_leaf"),
    "root_turnover": ("fine_root", "litter_fine_root"),
    "sapwood_turnover": ("sapwood", "litter_wood"),
    "seed_turnover": ("seed", "litter_seed"),
    "heartwood_formation": ("sapwood", "heartwood"),
    "germination": ("seed", "labile"),
    "leaf_growth": ("labile", "leaf"),
    "root_growth": ("labile", "fine_root"),
    "sapwood_growth": ("labile", "sapwood"),
    "seed_growth": ("labile", "seed"),
    "growth_respiration": ("labile", "growth_respiration"),
}


def test_the_core_has_the_table_of_fluxes():
    from concerto import _core

    names = (*carbon.POOLS, *LITTER, "growth_respiration")
    vegetation = _core.concerto_vegetation
    assert tuple(TABLE) == carbon.FLUXES and vegetation.n_plant_flux == len(TABLE)
    assert [names[k - 1] for k in vegetation.flux_donor] == [donor for donor, _ in TABLE.values()]
    assert [names[k - 1] for k in vegetation.flux_receiver] == [receiver for _, receiver in TABLE.values()]
    for k, name in enumerate(TABLE, start=1):
        assert getattr(vegetation, f"flux_{name}") == k


pool = st.one_of(st.just(0.0), st.floats(1e-12, 30.0))


@settings(max_examples=60, deadline=None)
@given(
    arrays(float, (16, 6), elements=pool),
    arrays(float, 16, elements=st.floats(-0.05, 0.05)),
    st.floats(230.0, 318.0),
    st.floats(0.0, 1.0),
    st.floats(0.0, 7.0),
    st.sampled_from(list(carbon.ALLOCATION)),
    st.sampled_from([0.0, 1.0]),
    st.one_of(st.just(1e30), st.floats(0.0, 1e-3)),
    st.sampled_from([0.0, 10.0, 1e6]),
    st.sampled_from([1e30, 20.0]),
    st.floats(0.0, 1.0),
)
def test_fluxes_are_the_changes_of_the_pools(
    start, net, kelvin, stress, target, allocation, woody, supply, flush, branch, damage
):
    state = {name: start[:, k] for k, name in enumerate(carbon.POOLS)} | {"stress_memory": 0.6}
    day = carbon.vegetation_day(
        state, net, kelvin, stress, target, allocation=allocation, woody=woody, nitrogen_supply=supply,
        flush_time=flush, branch_longevity=branch, leaf_damage=damage, mortality=0.5,
    )  # fmt: skip
    assert day["flux"].min() >= 0.0
    change = dict.fromkeys((*carbon.POOLS, *LITTER, "growth_respiration"), 0.0)
    for k, (donor, receiver) in enumerate(TABLE.values()):
        change[donor] = change[donor] - day["flux"][:, k]
        change[receiver] = change[receiver] + day["flux"][:, k]
    change["labile"] = change["labile"] + net
    for name in carbon.POOLS:
        # sums of stocks up to 30 kg m-2; the project's bound
        assert np.abs(day[name] - state[name] - change[name]).max() < 1e-13
    for name in (*LITTER, "growth_respiration"):
        np.testing.assert_allclose(day[name], change[name], rtol=1e-13)
    paid = start.sum(1) - start[:, 4] + net >= 0.0  # a debt beyond all living tissue stays
    assert all(day[name][paid].min(initial=0.0) >= 0.0 for name in carbon.POOLS)


@pytest.mark.parametrize("allocation", list(carbon.ALLOCATION)[1:])
def test_every_allocation_puts_carbon_elsewhere(allocation):
    state = pools(labile=1.0)
    drivers = (state, 0.005, 295.0, 0.8, 5.0)
    grown = slice(carbon.FLUXES.index("leaf_growth"), carbon.FLUXES.index("growth_respiration"))
    other = carbon.vegetation_day(*drivers, allocation=allocation)["flux"][grown]
    default = carbon.vegetation_day(*drivers)["flux"][grown]
    assert np.abs(other - default).max() > 0.01 * default.sum()


def test_the_pipe_model_builds_the_wood_of_full_leaves_before_seed():
    # 5.5 m2 of leaves x 20 m x 200 kg m-3 / 5000 m2 m-2 = 4.4 kg m-2 of sapwood
    short = carbon.vegetation_day(pools(labile=1.0, sapwood=4.0), 0.0, 295.0, 1.0, 5.0, allocation="pipe_model")
    enough = carbon.vegetation_day(pools(labile=1.0, sapwood=4.5), 0.0, 295.0, 1.0, 5.0, allocation="pipe_model")
    seed, wood = carbon.FLUXES.index("seed_growth"), carbon.FLUXES.index("sapwood_growth")
    assert short["flux"][seed] == 0.0 and short["flux"][wood] > 0.0
    np.testing.assert_allclose(enough["flux"][seed] / enough["flux"][wood], 1.0 / 9.0, rtol=1e-12)


def test_fixed_shares_follow_their_ratios():
    state = pools(labile=1.0)
    day = carbon.vegetation_day(
        state, 0.0, 295.0, 1.0, 0.1, allocation="fixed", stem_leaf_ratio=2.0, root_leaf_ratio=1.5
    )
    leaf, root, wood, seed = day["flux"][carbon.FLUXES.index("leaf_growth") :][:4]
    ratios = [root / leaf, (wood + seed) / leaf, seed / wood]
    np.testing.assert_allclose(ratios, [1.5, 2.0 * 1.3, 1.0 / 9.0], rtol=1e-12)
    # 2.7 / (1 + exp(-0.004 (NPP - 300))) - 0.4 with NPP in g m-2 yr-1, times 1.3 for coarse roots
    for npp in (1000.0, 100.0):
        day = carbon.vegetation_day(state, 0.0, 295.0, 1.0, 0.1, allocation="fixed", annual_npp=0.001 * npp)
        flux = day["flux"]
        stem = 2.7 / (1.0 + np.exp(-0.004 * (npp - 300.0))) - 0.4
        k = carbon.FLUXES.index("leaf_growth")
        np.testing.assert_allclose((flux[k + 2] + flux[k + 3]) / flux[k], 1.3 * stem, rtol=1e-12)


def test_dry_soil_favours_roots_and_shade_favours_stems_when_resources_decide():
    leaf, root, wood = (carbon.FLUXES.index(name) for name in ("leaf_growth", "root_growth", "sapwood_growth"))

    def shares(**given):
        grown = carbon.vegetation_day(pools(labile=1.0, **given), 0.0, 295.0, 1.0, 0.01, allocation="resource")["flux"]
        return grown[root] / grown[leaf : leaf + 4].sum(), grown[wood] / grown[leaf : leaf + 4].sum()

    sunny, dry, shaded = shares(leaf=0.03), shares(leaf=0.03, stress_memory=0.2), shares(leaf=0.2)
    assert dry[0] > sunny[0] + 0.05 and shaded[1] > sunny[1] + 0.05


def test_branches_and_coarse_roots_fall_from_sapwood():
    still = dict(mortality=0.0, woody=1.0, sapwood_longevity=1e12)
    day = carbon.vegetation_day(pools(), 0.0, 200.0, 1.0, 0.0, branch_longevity=20.0, **still)
    lost = 4.0 / (1.0 + 20.0 * 365.25)  # implicit step of one day
    np.testing.assert_allclose(day["litter_wood"], lost, rtol=1e-6)  # the small growth of heartwood
    both = carbon.vegetation_day(pools(), 0.0, 200.0, 1.0, 0.0, branch_longevity=20.0, mortality=0.0)["flux"]
    ratio = both[carbon.FLUXES.index("heartwood_formation")] / both[carbon.FLUXES.index("sapwood_turnover")]
    np.testing.assert_allclose(ratio, 20.0 / 25.0, rtol=1e-12)


def test_responses_of_respiration_are_one_at_20_degrees():
    for option in carbon.MAINTENANCE:
        np.testing.assert_allclose(carbon.maintenance_response(293.15, 1.7, option), 1.0, rtol=1e-13)
    # by hand: (3.09 - 0.043 x 25)^1 at 30 degC; 308.56 (1/66.02 - 1/76.02) in the exponent
    np.testing.assert_allclose(carbon.maintenance_response(303.15, 1.7, "tjoelker"), 2.015, rtol=1e-12)
    expected = np.exp(308.56 * (1.0 / 66.02 - 1.0 / 76.02))
    np.testing.assert_allclose(carbon.maintenance_response(303.15, 1.7, "lloyd_taylor"), expected, rtol=1e-12)
    for option in carbon.MAINTENANCE:
        assert np.isfinite(carbon.maintenance_response(180.0, 2.0, option))


def test_respiration_acclimates_to_warmth():
    plain = carbon.maintenance_response(303.15, 2.0)
    for kelvin in (278.15, 298.15, 308.15):
        factor = carbon.maintenance_response(303.15, 2.0, temperature_10d=kelvin) / plain
        np.testing.assert_allclose(factor, 10.0 ** (-0.00794 * (kelvin - 298.15)), rtol=1e-12)


def test_nothing_comes_from_nothing():
    empty = dict.fromkeys(carbon.POOLS, 0.0) | {"stress_memory": 1.0}
    day = carbon.vegetation_day(empty, 0.0, 293.15, 1.0, 5.0)
    assert total(day) == 0.0 and all(day[name] == 0.0 for name in LITTER)
    np.testing.assert_allclose(day["leaf_deficit"], 5.0 / TREE["specific_leaf_area"])


@pytest.mark.parametrize("kelvin, stress", [(293.15, 0.0), (183.15, 1.0)])
def test_trees_do_not_grow_wood_in_dry_soil_or_deep_frost(kelvin, stress):
    day = carbon.vegetation_day(pools(), 0.01, kelvin, stress, 0.0, mortality=0.0, sapwood_longevity=1e12)
    # at -90 degC the temperature response is 1e-7 of that at 25 degC
    assert abs(day["sapwood"] - 4.0) < 1e-8 and day["growth_respiration"] < 1e-8


def test_leaf_pool_follows_prescribed_leaf_area():
    state = pools(labile=0.5)
    for target in (1.0, 4.0, 5.0, 2.0, 0.0):
        day = carbon.vegetation_day(state, 0.004, 290.0, 0.8, target, flush_time=0.0, shed_time=0.0)
        np.testing.assert_allclose(day["leaf_area"], target, rtol=1e-13, atol=1e-15)
        np.testing.assert_allclose(day["leaf_deficit"], 0.0, atol=1e-16)
        state = {name: day[name] for name in NAMES}


def test_prescribed_leaf_area_beyond_the_reserve_leaves_a_deficit_and_conserves_carbon():
    state = pools(labile=0.02, leaf=0.0)
    day = carbon.vegetation_day(state, 0.0, 290.0, 1.0, 5.0, flush_time=0.0, shed_time=0.0)
    np.testing.assert_allclose(day["leaf"] + day["leaf_deficit"], 5.0 / TREE["specific_leaf_area"], rtol=1e-14)
    assert 0.0 < day["leaf"] <= 0.02 / 1.11 and 0.0 <= day["labile"] < 1e-4
    lost = day["growth_respiration"] + sum(day[name] for name in LITTER)
    assert abs(total(state) - total(day) - lost) < 1e-13


def test_deciduous_trees_flush_from_their_reserve_within_a_month():
    state = pools(labile=1.5 * 5.5 / 30.8, leaf=0.0)
    for _ in range(30):
        day = carbon.vegetation_day(state, 0.0, 283.15, 1.0, 5.5)
        state = {name: day[name] for name in NAMES}
    assert day["leaf_area"] > 0.8 * 5.5


def test_herbs_without_a_reserve_start_the_season_from_seed():
    state = pools(labile=0.0, leaf=0.0, sapwood=0.0, heartwood=0.0, seed=0.2)
    herb = carbon.vegetation_day(state, 0.0, 283.15, 1.0, 3.0, **GRASS)
    assert herb["leaf"] > 0.0 and herb["seed"] < 0.2
    lost = herb["growth_respiration"] + sum(herb[name] for name in LITTER)
    assert abs(total(state) - total(herb) - lost) < 1e-13  # the project's bound
    tree = carbon.vegetation_day(state, 0.0, 283.15, 1.0, 3.0, **TREE)
    assert tree["leaf"] == 0.0


def test_a_debt_beyond_the_labile_pool_is_paid_by_tissue():
    state = pools(labile=0.001)
    day = carbon.vegetation_day(state, -0.02, 250.0, 1.0, 0.0)
    assert -1e-17 <= day["labile"] < 1e-9
    assert day["sapwood"] < 4.0


def test_turnover_is_implicit_and_mortality_exponential():
    state = pools(labile=0.0)
    quiet = dict(
        leaf_longevity=1e12,
        fine_root_longevity=2.0,
        sapwood_longevity=1e12,
        seed_longevity=1e12,
        shed_time=1e12,
    )
    day = carbon.vegetation_day(state, 0.0, 290.0, 1.0, 0.0, mortality=0.0, **quiet)
    np.testing.assert_allclose(day["fine_root"], 0.2 / (1.0 + 1.0 / (365.25 * 2.0)), rtol=1e-14)
    day = carbon.vegetation_day(state, 0.0, 290.0, 1.0, 0.0, mortality=0.5, **quiet)
    np.testing.assert_allclose(day["heartwood"], 6.0 * np.exp(-0.5 / 365.25), rtol=1e-14)
    np.testing.assert_allclose(day["litter_wood"], 10.0 * -np.expm1(-0.5 / 365.25), rtol=1e-11)  # 1 - exp cancels


def test_growth_respiration_is_a_fixed_share_of_what_is_built():
    day = carbon.vegetation_day(pools(), 0.005, 298.15, 1.0, 5.0, mortality=0.0)
    gained = total(day) - day["labile"] - (total(pools()) - 0.3) + sum(day[name] for name in LITTER)
    np.testing.assert_allclose(day["growth_respiration"], 0.11 * gained, rtol=1e-10)  # difference of stocks


# -------------------------------------------------------------------------------------------- equilibrium
def climate(mean, amplitude, gpp, leaf_respiration, area, season=None, low=0.0):
    """Daily drivers of a smooth year: GPP and leaf respiration are annual sums, kg m-2."""
    day = np.arange(365)
    celsius = mean - amplitude * np.cos(2.0 * np.pi * (day - 15) / 365.0)
    light = 1.0 - 0.7 * np.cos(2.0 * np.pi * (day + 10) / 365.0) if amplitude > 5 else np.ones(365)
    weight = np.clip(celsius / 15.0, 0.0, 1.5) * light
    leaves = np.full(365, area)
    if season:
        on = 1.0 / (1.0 + np.exp(-(day - season[0]) / 4.0)) / (1.0 + np.exp((day - season[1]) / 5.0))
        weight, leaves = weight * on, low + (area - low) * on
    heskel = np.exp(0.1012 * (celsius - 25.0) - 0.0005 * (celsius**2 - 625.0)) * leaves
    ground = mean + 0.6 * (celsius - mean)
    decay = 0.820595 * 1.5 ** ((ground - 25.0) / 10.0) * 0.6 * np.clip((ground + 2.0) / 3.0, 0.0, 1.0)
    return np.array(
        [
            gpp * weight / weight.sum(),
            leaf_respiration * heskel / heskel.sum(),
            celsius + 273.15,
            np.clip((celsius + 3.0) / 4.0, 0.0, 1.0),
            leaves,
            1.5 ** ((celsius - 20.0) / 10.0),
            1.5 ** ((ground - 20.0) / 10.0),
            decay,
        ]
    )


# annual GPP, leaf respiration and leaf area about as observed at DK-Sor, FI-Hyy, GF-Guy and in a meadow
BIOMES = {
    "beech": (climate(8.5, 9.0, 1.9, 0.35, 5.0, (125, 290)), TREE, 1.0),
    "pine": (climate(4.0, 11.0, 1.1, 0.22, 4.0), NEEDLE, 0.6),
    "rainforest": (climate(25.8, 0.5, 3.8, 1.1, 6.0), TROPICAL, 0.2),
    "meadow": (climate(9.0, 8.0, 1.2, 0.2, 3.0, (95, 300), 0.3), GRASS, 1.0),
}


STEP = 5.0  # d


def years_of_growth(starts, n_year):
    """Plants of all biomes after years of the same drivers, in steps of five days, from several starts.

    Returns state (start, biome), the state a year before, GPP and NPP (kg m-2) and litter (tissue, step, start, biome)
    of the last year.
    """
    traits = {name: np.array([row[1][name] for row in BIOMES.values()]) for name in carbon.TRAITS}
    factor = np.array([row[2] for row in BIOMES.values()])
    root_rate, sapwood_rate = factor * 2.525e-6 / 42.0, factor * 8.3e-7 / 330.0
    driver = np.stack([row[0] for row in BIOMES.values()])[:, :7]
    steps = driver.reshape(*driver.shape[:2], -1, int(STEP)).mean(axis=-1).T  # (step, driver, biome)
    state = {name: np.stack([np.broadcast_to(s[name], len(BIOMES)) for s in starts]) for name in NAMES}
    for _ in range(n_year):
        before, gpp_sum, npp_sum, litter = state, 0.0, 0.0, []
        for gpp, leaf, kelvin, stress, area, stem, root in steps:
            demand = leaf + 86400.0 * (state["sapwood"] * sapwood_rate * stem + state["fine_root"] * root_rate * root)
            paid = np.minimum(1.0, state["labile"] / (5.0 * demand + 1e-30))
            net = STEP * (gpp - paid * demand)
            day = carbon.vegetation_day(state, net, kelvin, stress, area, STEP, **traits)
            gpp_sum, npp_sum = gpp_sum + STEP * gpp, npp_sum + net - day["growth_respiration"]
            litter.append([day[name] for name in LITTER])
            state = {name: day[name] for name in NAMES}
    return state, before, gpp_sum, npp_sum, np.moveaxis(litter, 0, 1)


@pytest.fixture(scope="module")
def grown():
    woody = np.array([row[1]["woody"] for row in BIOMES.values()])
    first = pools(sapwood=4.0 * woody, heartwood=6.0 * woody)
    other = pools(labile=0.1, sapwood=20.0 * woody, heartwood=woody, leaf=0.0)
    return years_of_growth((first, other), 300)


def test_plants_in_equilibrium_keep_a_sensible_share_of_production(grown):
    state, before, gpp, npp, litter = grown
    # heartwood comes last: 300 yr over a turnover of 42 to 47 yr leave 1e-3 of the start, a year changes 1e-4 of it
    np.testing.assert_allclose(total(state), total(before), rtol=1e-4)
    # Ra/GPP of 0.4 to 0.6 is the envelope of the specification
    assert np.all((0.40 < npp / gpp) & (npp / gpp < 0.60))
    # what plants gain they lose as litter, but for the growth that is left; the sum itself closes to round-off
    np.testing.assert_allclose(litter.sum(axis=(0, 1)), npp, rtol=5e-3)
    np.testing.assert_allclose(total(state) - total(before), npp - litter.sum(axis=(0, 1)), atol=1e-12)
    for k, biome in enumerate(BIOMES):
        if biome != "meadow":
            assert 2.0 < state["sapwood"][0, k] < 30.0 and state["heartwood"][0, k] > state["sapwood"][0, k]
        supply = carbon.one_layer_litter("cencn", *litter[:, :, 0, k]).T
        decay = BIOMES[biome][0][7].reshape(1, -1, int(STEP)).mean(axis=-1)
        scheme = carbon.decomposition_scheme("cencn")
        soil, respired, residual = carbon.one_layer_periodic(decay, supply, *scheme, time_step=STEP * 86400.0)
        assert residual < 1e-10
        np.testing.assert_allclose(respired, litter[:, :, 0, k].sum(), rtol=1e-9)  # the soil respires all that it gets
        assert 5.0 < soil.sum() < 40.0  # kg m-2, envelope of soil carbon


def test_equilibrium_does_not_depend_on_the_start(grown):
    for name in carbon.POOLS:
        first, other = grown[0][name]
        # as above: 1e-3 of a difference of the size of the stock is left
        np.testing.assert_allclose(other, first, rtol=3e-3, atol=1e-6)


def test_bare_ground_stays_without_plants():
    empty = dict.fromkeys(carbon.POOLS, 0.0) | {"stress_memory": 1.0}
    state = carbon.vegetation_day(empty, 0.0, 290.0, 1.0, 0.0, **(GRASS | {"maximum_leaf_area": 0.0}))
    assert total(state) == 0.0 and not state["flux"].any() and state["leaf_area"] == 0.0


# ------------------------------------------------------------------------------------------------- young stands
# GPP of a closed canopy (kg m-2 yr-1), temperature (degC), growing season (day of year) and respiration factor
STANDS = {
    "rainforest": (3.8, 26.0, (0, 365), TROPICAL, 0.2),
    "pine": (1.3, 12.0, (120, 285), NEEDLE | dict(maximum_leaf_area=2.0), 0.6),
    "beech": (2.0, 15.0, (110, 290), TREE, 1.0),
}


def stand(name, years, seed=1e-3, light=1.0, **first):
    """State at the end of every year, and the largest leaf area of the year, of plants that grow from seed.

    GPP follows the light that leaves absorb (extinction 0.5); respiration is paid while the labile pool lasts.
    """
    gpp, celsius, (begin, end), traits, factor = STANDS[name]
    full = traits["maximum_leaf_area"]
    most = gpp / (end - begin) / (1.0 - np.exp(-0.5 * full))
    seed = np.atleast_1d(seed)
    state = dict.fromkeys(carbon.POOLS, 0.0 * seed) | dict(labile=seed, stress_memory=np.ones(seed.shape)) | first
    ends, areas = [], []
    for _ in range(years):
        largest = 0.0 * seed
        for day in np.arange(0.0, 365.0, STEP):
            grows = begin <= day < end
            warmth = celsius if grows else -5.0
            target = full if grows or traits["flush_time"] > 1e3 else 0.0
            area = state["leaf"] * traits["specific_leaf_area"]
            rate = factor * 1.5 ** ((warmth - 20.0) / 10.0)
            demand = 86400.0 * rate * (state["sapwood"] * 8.3e-7 / 330.0 + state["fine_root"] * 2.525e-6 / 42.0)
            potential = grows * most * (1.0 - np.exp(-0.5 * area))
            demand = demand + 0.25 * potential  # leaves respire a quarter of what they can assimilate
            net = STEP * (light * potential - demand * np.minimum(1.0, state["labile"] / (5.0 * demand + 1e-30)))
            day = carbon.vegetation_day(state, net, warmth + 273.15, 1.0, target, STEP, **traits)
            out = sum(day[name] for name in LITTER) + day["growth_respiration"]
            # the project's bound of a day
            assert np.max(np.abs(total(day) - total(state) - net + out)) < 1e-13
            state = {name: day[name] for name in NAMES}
            largest = np.maximum(largest, day["leaf_area"])
        ends.append(state)
        areas.append(largest)
    return ends, np.array(areas)


@pytest.mark.parametrize(("name", "earliest", "latest"), [("rainforest", 1, 3), ("pine", 5, 10), ("beech", 1, 3)])
def test_a_cut_stand_closes_smoothly(name, earliest, latest):
    full = STANDS[name][3]["maximum_leaf_area"]
    _, area = stand(name, 30)
    area = area[:, 0]
    # leaves shade the ground after as many years as after clear-cuts, neither at once nor after a long wait
    assert earliest <= np.flatnonzero(area > 1.0)[0] + 1 <= latest
    steps = np.diff(np.append(0.0, area))
    assert np.all(steps > -1e-6 * full) and area.max() <= full * (1.0 + 1e-12)  # no swing, nothing beyond a full canopy
    # the canopy closes in years; growth with the square of the store brought 2/3 and more of it in one
    assert steps.max() < 0.45 * full
    np.testing.assert_allclose(area[-1], full, rtol=1e-3)  # closed at last, but for the turnover of five days


@pytest.mark.parametrize("name", STANDS)
def test_seedlings_grow_by_a_share_of_what_they_are_and_never_faster_with_size(name):
    seed = np.array([1e-4, 1e-3])
    ends, area = stand(name, 12, seed)
    size = np.array([total(end) for end in ends])
    assert np.all(np.diff(size[:, 0]) > 0.0)
    growth = np.diff(np.log(size), axis=0)
    # growth relative to size falls as plants become large (allometry, then shade). The second year has no dead start
    assert np.all(np.diff(growth[1:], axis=0) < 0.02 * growth[1:-1])
    # the first years: at most e**5 in a year (seedlings of trees reach 0.02 to 0.1 per day only in best conditions)
    assert np.all((0.3 < growth[0]) & (growth[0] < 5.0))
    # ten times the seed is an advance of some years, not of a long wait in proportion to 1/seed
    assert np.flatnonzero(area[:, 0] > 1.0)[0] - np.flatnonzero(area[:, 1] > 1.0)[0] <= 4


@pytest.mark.parametrize("allocation", ["target_ratio", "pipe_model", "fixed", "resource"])
def test_seedlings_of_every_allocation_use_their_store(allocation):
    seed = pools(labile=1e-3, leaf=0.0, fine_root=0.0, sapwood=0.0, heartwood=0.0, seed=0.0)
    for _ in range(60):
        seed = carbon.vegetation_day(seed, 0.0, 298.15, 1.0, 6.0, allocation=allocation, **TROPICAL)
    # three times the residence time of 20 days: half of the store at least has become tissue
    assert sum(seed[name] for name in carbon.POOLS[1:]) > 0.5e-3 / 1.11 and seed["labile"] < 0.5e-3


def test_plants_of_a_closed_stand_do_not_feel_their_size():
    heartwood = np.array([6.0, 60.0, 0.0])
    sapwood = np.array([4.0, 4.0, 0.2])
    for traits in (TREE, NEEDLE, TROPICAL):
        day = carbon.vegetation_day(pools(3, heartwood=heartwood, sapwood=sapwood), 0.01, 290.0, 1.0, 5.5, **traits)
        for name in ("leaf_growth", "root_growth", "sapwood_growth", "seed_growth"):
            flux = day["flux"][:, carbon.FLUXES.index(name)]
            assert flux[0] == flux[1]
        assert day["leaf"][2] < day["leaf"][0]


def test_herbs_and_prescribed_leaf_area_do_not_wait_for_wood():
    small = pools(leaf=0.0, sapwood=np.array([0.0, 9.0]), heartwood=0.0)
    for traits in (GRASS, TREE | dict(flush_time=0.0, shed_time=0.0)):
        day = carbon.vegetation_day(small, 0.0, 290.0, 1.0, 3.0, **traits)
        assert day["leaf"][0] == day["leaf"][1]


@pytest.mark.parametrize("name", STANDS)
def test_seedlings_in_the_dark_die_down(name):
    ends, _ = stand(name, 6, light=0.0)
    size = np.array([total(end)[0] for end in ends])
    # every year is a loss; tissue goes with its turnover of up to four years, mortality included
    assert np.all(np.diff(np.append(1e-3, size)) < 0.0) and size[-1] < 0.3e-3
    for end in ends:
        assert all(end[pool][0] >= 0.0 for pool in carbon.POOLS)


@pytest.mark.parametrize(("kelvin", "stress"), [(290.0, 0.0), (233.15, 1.0)])
def test_seedlings_wait_in_dry_or_frozen_soil(kelvin, stress):
    seed = pools(labile=1e-3, leaf=0.0, fine_root=0.0, sapwood=0.0, heartwood=0.0, seed=0.0)
    state = seed
    for _ in range(30):
        state = carbon.vegetation_day(state, 0.0, kelvin, stress, 4.0, **NEEDLE)
    # what is left of the growth at -40 degC is 3e-4 of that at 25 degC: a millionth of the store in a month
    assert state["leaf"] < 1e-6 and state["labile"] > 0.99e-3
