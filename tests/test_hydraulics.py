"""Plants between soil and air: stomata that weigh water against carbon, cavitation and its memory."""

import numpy as np
import pytest
from synthetic import climate_tiles, start

from concerto import Tiles
from concerto.errors import ConcertoError
from concerto.kernels import hydraulics, leaf, sox


def saturation(celsius):
    return 611.2 * np.exp(17.62 * celsius / (243.12 + celsius))


def sox_leaf(capacity, deficit=1000.0, **changes):
    settings = dict(g1=capacity, stomata="sox", g0=0.0, g_min=1e-6, boundary_conductance=1e6) | changes
    return leaf.gas_exchange(298.15, saturation(25.0) - deficit, 1200.0, 60.0, **settings)


@pytest.mark.parametrize("c4", [0.0, 1.0])
def test_stomata_maximise_assimilation_times_conductance(c4):
    # with K falling by 1/xi per conductance, the condition of SOX is that An exp(-gc/xi) is largest
    capacity, deficit, pressure, ca = 0.01, 1000.0, 101325.0, 41.0
    out = sox_leaf(capacity, deficit, c4=c4)
    xi = capacity * pressure / deficit
    # An at given conductance: fixed stomata are Ball-Berry with slope 0 and intercept gs
    g = np.linspace(0.3, 3.0, 2701) * float(out["conductance"])
    fixed = sox_leaf(0.0, deficit, c4=c4, stomata="ball_berry", g0=g)
    worth = fixed["net_assimilation"] * np.exp(-g / 1.6 / xi)
    best = g[np.argmax(worth)]
    assert best == pytest.approx(float(out["conductance"]), rel=2e-3)  # two steps of the search
    drop = out["net_assimilation"] * 1.6e-6 * pressure / out["conductance"]
    assert float(out["ci"]) == pytest.approx(ca - drop, rel=1e-6)


def test_sox_and_medlyn_agree_about_dry_air_when_the_soil_is_wet():
    # the root of the deficit of both laws: within 4 % from 0.5 to 3 kPa once they agree at 1 kPa
    deficit = np.array([500.0, 2000.0, 3000.0])
    target = sox_leaf(4.0, 1000.0, stomata="medlyn")["conductance"]
    low, high = 1e-4, 1.0
    for _ in range(60):
        middle = np.sqrt(low * high)
        low, high = (middle, high) if sox_leaf(middle)["conductance"] < target else (low, middle)
    ours = sox_leaf(low, deficit)["conductance"]
    theirs = sox_leaf(4.0, deficit, stomata="medlyn")["conductance"]
    np.testing.assert_allclose(ours, theirs, rtol=0.04)


def test_dry_soil_weak_xylem_and_soil_resistance_close_stomata():
    capacity = sox.xylem_capacity(np.linspace(-6.0, 0.0, 121))
    assert np.all(np.diff(capacity) > 0.0) and np.all(capacity > 0.0)
    half = sox.xylem_capacity(-1.0, least_resistance=2000.0)
    assert half == pytest.approx(0.5 * sox.xylem_capacity(-1.0), rel=1e-12)
    assert sox.xylem_capacity(-1.0, soil_resistance=500.0) < sox.xylem_capacity(-1.0)
    near = sox.xylem_capacity(-2.0 + np.linspace(-2e-3, 2e-3, 401))
    assert np.max(np.abs(np.diff(near, 2))) < 1e-7 * near[0]  # no kink where the difference becomes a derivative
    open_, shut = (sox_leaf(sox.xylem_capacity(p)) for p in (-0.1, -4.0))
    assert shut["conductance"] < 0.6 * open_["conductance"]
    assert shut["ci"] < open_["ci"]


def test_dark_leaves_of_sox_keep_their_floor():
    out = leaf.gas_exchange(298.15, 1500.0, np.array([0.0, 1.0]), 60.0, g1=0.01, stomata="sox", g_min=2e-3)
    assert np.all(out["conductance"] == 2e-3) and np.all(out["net_assimilation"] < 0.0)


def test_supply_meets_demand():
    demand = np.array([0.0, 1e-4, 2e-3, 6e-3, 2e-2])[:, None, None]
    source = np.array([-0.01, -0.5, -1.5, -4.0, -10.0])[:, None]
    damage = np.array([0.0, 0.4, 0.9])
    factor, potential = hydraulics.stress(demand, source, damage=damage, height_potential=0.15)
    assert np.all((factor >= 0.0) & (factor <= 1.0))
    again, _, loss, opening = hydraulics.state(demand * factor, source, damage=damage, height_potential=0.15)
    # ten steps of regula falsi in these extreme cases (seen 2.4e-3)
    assert np.max(np.abs(opening - factor)) < 5e-3
    np.testing.assert_allclose(again[factor > 0.05], potential[factor > 0.05], rtol=0.02)
    # more demand, drier soil, more damage: lower opening
    assert np.all(np.diff(factor, axis=0) <= 1e-6)
    assert np.all(np.diff(factor, axis=1) <= 1e-6)
    assert np.all(np.diff(factor, axis=2) <= 1e-3)
    assert np.all(loss >= damage - 1e-12)


def test_without_flow_the_plant_stands_at_the_root_zone_potential():
    xylem = dict(potential_half=-1.5, steepness=2.0)
    leaf_potential, stem, loss, _ = hydraulics.state(0.0, -1.2, height_potential=0.3, **xylem)
    assert leaf_potential == stem == pytest.approx(-1.5, abs=1e-12)
    assert loss == pytest.approx(0.5, abs=1e-12)


def test_damage_falls_with_growth_and_never_without():
    growth, damage = 2e-3, 0.6
    for _ in range(200):
        damage, _ = hydraulics.damage_step(damage, -0.01, sapwood_growth=growth, sapwood=1.0)
    assert float(damage) == pytest.approx(0.6 * np.exp(-200 * growth), rel=1e-12)
    still, loss = hydraulics.damage_step(0.6, -0.01)
    assert still == 0.6 and loss == 0.6


def test_damage_follows_the_driest_day_and_stays_below_one():
    lowest = np.array([-0.5, -2.0, -3.0, -1.0, -20.0, -0.1])
    damage = 0.0
    seen = []
    for potential in lowest:
        damage, _ = hydraulics.damage_step(damage, potential, potential_half=-3.0, unfilled=0.8)
        seen.append(float(damage))
    assert np.all(np.diff(seen) >= 0.0) and seen[-1] <= 0.8
    assert seen[2] == pytest.approx(0.4, rel=1e-12)  # 0.8 of half


SCHEMES = {
    "head": {},
    "content": {"water_stress": "content"},
    "sox": {"stomata": "sox"},
    "hydraulics": {"plant_hydraulics": "on"},
    "memory": {"plant_hydraulics": "on", "drought_memory": "plc_damage"},
    "all": {"stomata": "sox", "plant_hydraulics": "on", "drought_memory": "plc_damage"},
}
SHOWN = ("gpp", "transpiration", "leaf_water_potential", "loss_of_conductivity", "water_stress")


def dry_down(options, dry=50, wet=10):
    """Mediterranean trees in July without rain, then with moist soil: daily means (day, tile), and the tiles."""
    tiles, forcing, ends = climate_tiles(
        ["mediterranean"], n_tile=17, start_day="2005-06-20", days=dry + wet, options=options
    )
    from concerto.tables import loader

    column = loader.variables("forcing")["rainfall"].column - 1
    forcing[:, column, :] = 0.0
    start(tiles, forcing)
    tiles.set("soil_carbon", 1.0)
    cut = 48 * dry
    first = tiles.advance(forcing[:, :, :cut], ends[:cut], SHOWN, steps_per_output=48)
    tiles.set("soil_liquid", 0.35)
    second = tiles.advance(forcing[:, :, cut:], ends[cut:], SHOWN, steps_per_output=48)
    # limits of test_budgets
    assert tiles.worst[0].max() < 1e-10 and tiles.worst[1].max() < 1e-8 and tiles.worst[2].max() < 1e-13
    return {name: np.concatenate([first[name], second[name]]) for name in SHOWN}, tiles


@pytest.fixture(scope="module")
def runs():
    return {name: dry_down(options) for name, options in SCHEMES.items()}


@pytest.mark.parametrize("scheme", list(SCHEMES))
def test_plants_use_less_as_soil_dries_and_budgets_stay_closed(runs, scheme):
    out, _ = runs[scheme]
    trees = slice(4, 9)
    assert np.isfinite(out["gpp"]).all()
    assert out["transpiration"][40:50, trees].mean() < 0.9 * out["transpiration"][2:8, trees].mean()


def test_leaf_potential_falls_and_conductivity_is_lost_as_soil_dries(runs):
    out, _ = runs["hydraulics"]
    trees = slice(4, 9)
    assert np.all(out["leaf_water_potential"][45, trees] < out["leaf_water_potential"][3, trees])
    assert np.all(out["loss_of_conductivity"][45, trees] > out["loss_of_conductivity"][3, trees])


def test_only_memory_leaves_a_legacy_after_rewetting(runs):
    trees = slice(4, 9)
    after = {name: runs[name][0]["gpp"][-5:, trees].mean(axis=0) for name in ("hydraulics", "memory")}
    assert np.all(runs["hydraulics"][1].get("xylem_damage") == 0.0)
    damage = runs["memory"][1].get("xylem_damage")[trees]
    assert np.all((damage > 0.0) & (damage <= 1.0)) and damage.max() > 0.1
    assert np.all(after["memory"] <= after["hydraulics"])
    assert after["memory"].sum() < after["hydraulics"].sum()


def test_memory_needs_hydraulics():
    with pytest.raises(ConcertoError, match="plant_hydraulics"):
        Tiles([1], options={"drought_memory": "plc_damage"})
