"""Hazards of plants against hand numbers, their limits and their memories."""

import numpy as np
import pytest

from concerto.kernels import carbon

CAUSE = {name: k for k, name in enumerate(carbon.CAUSES)}


def hazard(cause, *, option="full", **state):
    return carbon.mortality_rates(option, **state)[0][..., CAUSE[cause]]


@pytest.mark.parametrize("option", carbon.MORTALITY)
def test_hazards_add_up_and_none_is_negative(option):
    rng = np.random.default_rng(2)
    n = 3000
    each, total = carbon.mortality_rates(
        option,
        air_temperature=rng.uniform(180.0, 320.0, n),
        labile_mean=rng.uniform(-0.1, 0.5, n),
        stress_mean=rng.random(n),
        conductivity_loss=rng.uniform(0.0, 1.0, n) if option == "full" else None,
        heat_days=rng.uniform(0.0, 900.0, n),
        growth_mean=rng.normal(0.0, 1.0, n),
        background=rng.uniform(0.0, 0.05, n),
    )
    assert each.min() >= 0.0
    np.testing.assert_allclose(total, each.sum(-1), rtol=1e-14)
    # the largest hazards of the sources: 0.6 starvation, 0.6 drought, 1 heat, 3 frost
    assert total.max() <= 0.05 + 0.6 + 0.6 + 1.0 + 3.0


def test_background_alone_ignores_everything_else():
    each, total = carbon.mortality_rates(
        "background", air_temperature=180.0, labile_mean=0.0, stress_mean=0.0, heat_days=1e4, background=0.0211
    )
    assert total == 0.0211 and each[CAUSE["background"]] == 0.0211 and each.sum() == total


def test_healthy_plants_die_at_the_background_rate_only():
    _, total = carbon.mortality_rates("full", background=0.02)
    assert total == 0.02


def test_starvation_grows_as_the_reserve_runs_out():
    reserve = 0.1 * 1.5 * 0.18  # share x reserve_ratio x full leaves
    given = [hazard("starvation", labile_mean=share * reserve) for share in (2.0, 1.0, 0.5, 0.0, -1.0)]
    np.testing.assert_allclose(given, [0.0, 0.0, 0.3, 0.6, 0.6], atol=1e-14)


def test_drought_kills_below_the_threshold_of_stress_or_beyond_half_the_conductivity():
    given = [hazard("drought", stress_mean=stress) for stress in (1.0, 0.05, 0.025, 0.0)]
    np.testing.assert_allclose(given, [0.0, 0.0, 0.3, 0.6], atol=1e-14)
    given = [hazard("drought", conductivity_loss=loss, stress_mean=0.0) for loss in (0.0, 0.5, 0.75, 1.0)]
    np.testing.assert_allclose(given, [0.0, 0.0, 0.3, 0.6], atol=1e-14)


def test_heat_kills_by_degree_days_and_frost_near_the_tolerated_temperature():
    given = [hazard("heat", heat_days=days) for days in (0.0, 100.0, 400.0, 4000.0)]
    np.testing.assert_allclose(given, [0.0, 0.25, 1.0, 1.0], rtol=1e-14)
    tolerance = 243.15
    given = [hazard("frost", air_temperature=tolerance + dt, frost_tolerance=tolerance) for dt in (9, 5, 2.5, 0, -9)]
    np.testing.assert_allclose(given, [0.0, 0.0, 1.5, 3.0, 3.0], atol=1e-12)


def test_slow_growth_kills_trees_but_not_herbs():
    # 0.015 / (1 + 0.2 x 100 g C per m2 of leaf) by hand
    fast = hazard("slow_growth", option="growth_efficiency", growth_mean=0.5, leaf_area_mean=5.0)
    np.testing.assert_allclose(fast, 0.015 / 21.0, rtol=1e-14)
    assert hazard("slow_growth", option="growth_efficiency", growth_mean=-0.2) == 0.015
    assert hazard("slow_growth", option="growth_efficiency", growth_mean=-0.2, woody=0.0) == 0.0


def test_memories_approach_what_stays_constant():
    memory = dict.fromkeys(carbon.MEMORIES, 0.0)
    for _ in range(300):
        memory = carbon.mortality_memory(memory, 300.15, 0.4, 0.002, 0.0005, 0.2, 3.0, time_step=20.0)
    # 6000 days of 365.25 d and 30 d: exp(-16) = 7e-8
    expected = dict(stress_mean=0.4, heat_days=365.25 * 4.0, growth_mean=0.0015 * 365.25 / 20.0, leaf_area_mean=3.0)
    for name, value in (expected | {"labile_mean": 0.2}).items():
        np.testing.assert_allclose(memory[name], value, rtol=1e-6)
    once = carbon.mortality_memory(memory | {"stress_mean": 1.0}, 280.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    np.testing.assert_allclose(once["stress_mean"], np.exp(-1.0 / 30.0), rtol=1e-14)


def test_leaves_are_damaged_around_their_limit_of_heat():
    np.testing.assert_allclose(carbon.heat_damage(322.15), 0.5, rtol=1e-12)
    assert carbon.heat_damage(303.15) < 1e-5 and carbon.heat_damage(400.0) > 1.0 - 1e-12
    assert carbon.heat_damage(250.0) < 1e-15
    # two half days lose what one day loses
    half = carbon.heat_damage(321.0, time_step=0.5)
    np.testing.assert_allclose(1.0 - (1.0 - half) ** 2, carbon.heat_damage(321.0), rtol=1e-12)


def test_damaged_leaves_fall_and_keep_nothing_else_from_living():
    pools = dict(labile=0.3, leaf=0.15, fine_root=0.2, sapwood=4.0, heartwood=6.0, seed=0.05, stress_memory=1.0)
    quiet = dict(mortality=0.0, leaf_longevity=1e12)
    hurt = carbon.vegetation_day(pools, 0.0, 200.0, 1.0, 5.0, leaf_damage=0.3, flush_time=1e12, **quiet)
    np.testing.assert_allclose(hurt["litter_leaf"], 0.3 * 0.15, rtol=1e-9)  # leaf_longevity of 1e12 yr
    whole = carbon.vegetation_day(pools, 0.0, 200.0, 1.0, 5.0, flush_time=1e12, **quiet)
    np.testing.assert_allclose(hurt["sapwood"], whole["sapwood"], rtol=1e-9)


# ---- in the model
def test_the_hazards_of_the_model_are_those_of_its_option():
    from synthetic import extreme_forcing, start

    from concerto import Tiles
    from concerto.tables import loader

    causes = ("background", "starvation", "drought", "heat", "frost", "slow_growth")
    forcing, ends = extreme_forcing(8, 12, 1800, seed=3)
    found = {}
    for choice in loader.options()["mortality_causes"].choices:
        types = np.tile(np.arange(17), 8)
        tiles = Tiles(types, 1800.0, cell=np.repeat(np.arange(8), 17), options={"mortality_causes": choice})
        start(tiles, forcing)
        tiles.advance(forcing, ends)
        found[choice] = {cause: tiles.get(f"mortality_{cause}") for cause in causes}
        assert np.array_equal(found[choice]["background"], tiles.parameter("mortality"))
    assert all(found["background"][cause].max() == 0.0 for cause in causes[1:])
    assert found["full"]["frost"].max() > 0.1 and found["full"]["slow_growth"].max() == 0.0
    slow = found["growth_efficiency"]["slow_growth"]
    assert 0.0 < slow.max() <= 0.015 and slow[tiles.parameter("woody") < 0.5].max() == 0.0
