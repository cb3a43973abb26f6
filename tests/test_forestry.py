"""Managed forests: the wood that a rotation and thinning take, the area that they leave, what is planted."""

import numpy as np
import pytest
from test_land_use_transitions import ALL, assert_closed, cover, of, one, spread_ages, totals, world

from concerto import Tiles
from concerto.errors import ConcertoError
from concerto.landuse import forestry as module
from concerto.landuse import transitions as land
from concerto.landuse.classes import CROP, PRIMARY, SECONDARY, class_list
from concerto.landuse.forestry import Forestry, ripe, shares
from concerto.landuse.history import LandUseYear
from concerto.simulation import dynamics
from concerto.simulation.spinup import initialise
from concerto.tables import loader

TREE = land.fates().tree
STILL = np.zeros((3, 6, 6))
MOST = 0.95  # of a forest is cut in a year
DELAY = (1.0 - MOST) / MOST  # yr: what is ripe waits for so long, as 0.05 of it is left to the next year


def forest(secondary="age_classes", age=150.0, primary=0.0):
    """A cell of one kind of tree."""
    mixtures = {kind: cover(1, broad_deciduous_temperate=1.0) for kind in land.KINDS}
    area = np.array([[primary, 1.0 - primary, 0.0, 0.0, 0.0, 0.0]])
    layout = land.slots(class_list(secondary), mixtures, np.eye(6)[:2].sum(axis=0)[None] > 0.0, area, secondary_age=age)
    tiles = Tiles(layout.pft, 1800.0, cell=layout.cell)
    initialise(tiles, np.full(tiles.n_tile, 285.0))
    for name, carbon in (("leaf", 0.2), ("fine_root", 0.2), ("sapwood", 3.0), ("heartwood", 5.0)):
        tiles.set(f"carbon_{name}", carbon)
    return tiles, layout, mixtures


def areas_cut(layout, settings, years):
    """Area cut in each year, fraction of land: the areas alone, ageing in the mean field."""
    breadth = np.array([high - low for low, high in (layout.classes[k].age for k in layout.secondary)])
    tile = np.array([layout.table[0, k].max() for k in layout.secondary])
    out = np.zeros(years)
    for y in range(years):
        moved = layout.area[tile] / breadth
        layout.area[tile] += np.append(0.0, moved[:-1]) - moved
        cut = shares(layout, settings, TREE, np.zeros(layout.table.shape))[0].sum(axis=2)[0, layout.secondary]
        out[y] = (layout.area[tile] * cut).sum()
        layout.area[tile] *= 1.0 - cut
        layout.area[tile[0]] += out[y]
    return out


def plants(tiles):
    return sum(tiles.get(f"carbon_{name}") for name in dynamics.PLANT_POOLS)


def wood(tiles):
    return 0.75 * (tiles.get("carbon_sapwood") + tiles.get("carbon_heartwood"))


# --- conservation ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("secondary", ["age_classes", "single"])
def test_hundreds_of_random_years_with_forestry_conserve_carbon_nitrogen_water_and_heat(secondary):
    random = np.random.default_rng(17)
    taken = 0.0
    for _ in range(15):
        tiles, layout, mixtures = world(3, ALL, secondary)
        for _ in range(10):
            clearing = int(random.integers(1, 10))
            how = land.Options(
                wood_harvest=random.choice(["mass", "area", "off"]), clearing=clearing,
                merge_below=float(random.choice([0.0, 0.003, 0.05])),
            )  # fmt: skip
            settings = Forestry(
                rotation=float(random.uniform(1.0, 130.0)), share=float(random.random()),
                thinning=float(random.random()), thinning_interval=float(random.uniform(1.0, 10.0)),
                thinning_age=float(random.choice([0.0, 20.0])), planted_carbon=float(0.2 * random.random()),
                primary=bool(random.random() < 0.5),
            )  # fmt: skip
            speed = random.choice([0.0, 0.02, 0.5, 3.0])
            wanted = speed * random.random((3, 6, 6)) * (random.random((3, 6, 6)) < 0.3) * layout.kinds()[:, :, None]
            wanted[:, :, PRIMARY] = 0.0
            harvest = random.random((3, 5)) * random.choice([0.0, 1e-3, 0.5 if how.wood_harvest == "mass" else 0.05])
            before = totals(tiles, layout)
            result = land.apply_transitions(
                tiles, layout, wanted, harvest, mixtures, how, fuelwood=random.random(3), forestry=settings
            )
            assert all(np.abs(values).max() <= 1e-12 for values in result.residual.values())  # as specified
            assert_closed(before, tiles, layout, result)
            assert layout.area.min() >= 0.0 and np.isfinite(tiles.state).all()
            assert np.all(result.forestry_to_products <= result.wood_to_products * (1.0 + 1e-12))
            taken += result.forestry_to_products.sum()
    assert taken > 0.3  # kg C m-2: forests were there


# --- rotation --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rotation", [5.0, 25.0, 60.0, 80.0, 90.0, 150.0])
@pytest.mark.parametrize("share", [1.0, 0.4])
def test_a_managed_forest_becomes_regular_and_yields_its_area_over_the_rotation(rotation, share):
    layout = forest()[1]
    cut = areas_cut(layout, Forestry(rotation=rotation, share=share), int(max(250, 6 * rotation)))
    # area = flux x mean age at harvest, which is the rotation and up to DELAY; 1e-5: what is left of the start
    assert share / (rotation + DELAY) * (1.0 - 1e-5) <= cut[-1] <= share / rotation * (1.0 + 1e-12)
    assert cut.max() <= share / rotation * (1.0 + 1e-12)  # an old forest is not felled at once
    areas = layout.areas()[0, layout.secondary]
    for k, area in zip(layout.secondary, areas, strict=True):
        low, high = layout.classes[k].age
        if low > 0.0 and high <= rotation:  # as much of each age
            assert area == pytest.approx(cut[-1] * (high - low), rel=1e-4)
    if rotation <= 80.0:  # what nobody manages grows old
        assert areas[-1] == pytest.approx(1.0 - share, rel=0.01, abs=2e-3)


def test_one_class_of_secondary_land_yields_area_over_rotation_from_the_first_year():
    tiles, layout, mixtures = forest("single")
    carbon = wood(tiles)[layout.secondary[0]]
    result = land.apply_transitions(
        tiles, layout, STILL[:1], None, mixtures, fuelwood=0.2, forestry=Forestry(rotation=50.0, share=0.6)
    )
    assert result.forestry_area[0] == pytest.approx(0.6 / 50.0, rel=1e-12)
    goods = 0.7 * carbon * 0.6 / 50.0 * np.array([0.2, 0.4, 0.4])
    assert np.allclose(result.forestry_to_products[0], goods, rtol=1e-12)  # round-off
    assert np.array_equal(result.wood_to_products, result.forestry_to_products)


@pytest.mark.parametrize("rotation", [12.0, 37.5, 60.0, 95.0, 140.0])
def test_the_mean_time_to_the_harvest_is_the_rotation(rotation):
    """Area followed through the classes year by year, with the rates of cutting and nothing else."""
    classes = class_list()
    rates = ripe(classes, rotation)[1:8]
    area, left, time = np.eye(7)[0], 1.0, 0.0
    breadth = np.array([10.0, 10.0, 20.0, 20.0, 20.0, 20.0, np.inf])
    for _ in range(4000):
        time += left
        moved = area / breadth
        area = area - moved + np.append(0.0, moved[:-1])
        area = area * (1.0 - rates)
        left = area.sum()
    assert left < 1e-12 and time == pytest.approx(rotation, rel=1e-9)
    young = [classes[k + 1].age[1] <= rotation for k in range(7)]
    assert not rates[young].any()
    assert not ripe(classes, rotation)[8:].any()


def test_a_young_plantation_is_left_to_grow():
    young, old = (areas_cut(forest(age=age)[1], Forestry(rotation=60.0), 12).sum() for age in (5.0, 70.0))
    assert young < 0.01  # the mean field is not sharp
    assert old == pytest.approx(12.0 / 60.0, rel=1e-12)


def test_the_operator_cuts_the_area_that_the_rule_says():
    tiles, layout, mixtures = forest()
    rule, settings = forest()[1], Forestry(rotation=30.0, thinning=0.2)
    wanted = areas_cut(rule, settings, 60)
    for y in range(60):
        result = land.apply_transitions(tiles, layout, STILL[:1], None, mixtures, forestry=settings)
        assert result.forestry_area[0] == pytest.approx(wanted[y], rel=1e-10)
    assert np.allclose(layout.area, rule.area, rtol=1e-10, atol=1e-15)  # 60 years of round-off


def test_cohorts_are_cut_at_no_more_than_area_over_rotation():
    tiles, layout, mixtures = forest()
    how, cut = land.Options(merge_below=0.02), []
    for _ in range(240):
        result = land.apply_transitions(tiles, layout, STILL[:1], None, mixtures, how, forestry=Forestry(rotation=40.0))
        cut.append(result.forestry_area[0])
    assert layout.age is not None and max(cut) <= 1.0 / 40.0 * (1.0 + 1e-12)
    assert np.mean(cut[120:]) > 0.9 / 40.0  # ages are known to a few of 40 yr


def test_only_trees_are_cut_and_the_oldest_first():
    tiles, layout, mixtures = world()
    spread_ages(layout)
    before, area, state = totals(tiles, layout), layout.area.copy(), tiles.state.copy()
    trees = np.bincount(layout.cell, area * (of(layout, SECONDARY) & TREE[layout.pft]))
    result = land.apply_transitions(
        tiles, layout, STILL, None, mixtures, land.Options(ageing=False, wood_harvest="off"),
        forestry=Forestry(rotation=50.0, planted_carbon=0.0),
    )  # fmt: skip
    change = layout.area - area
    young, old = layout.land_class == layout.secondary[0], layout.land_class == layout.secondary[-1]
    assert np.allclose(result.forestry_area, trees / 50.0, rtol=1e-12)
    assert np.array_equal(result.harvest_area, result.forestry_area)
    assert not change[~TREE[layout.pft] | ~(young | old)].any()
    assert np.allclose(np.bincount(layout.cell, change * old), -trees / 50.0, rtol=1e-11)
    assert np.allclose(np.bincount(layout.cell, change * young), trees / 50.0, rtol=1e-11)
    still = np.flatnonzero(change == 0.0)
    assert np.array_equal(tiles._unblock(tiles.state)[still], tiles._unblock(state)[still])
    assert_closed(before, tiles, layout, result)


def test_forestry_takes_what_the_harvest_of_the_history_leaves():
    tiles, layout, mixtures = world()
    spread_ages(layout)
    tree = of(layout, SECONDARY) & TREE[layout.pft]
    area, harvest = np.bincount(layout.cell, layout.area * tree), np.zeros((3, 5))
    for wanted, left in ((1e3, 0.0), (0.0, 1.0)):
        tiles, layout, mixtures = world()
        spread_ages(layout)
        harvest[:, 2] = wanted
        result = land.apply_transitions(tiles, layout, STILL, harvest, mixtures, forestry=Forestry(rotation=20.0))
        assert np.allclose(result.forestry_area, left * area / 20.0, rtol=1e-12, atol=1e-16)
    # both: the history is served first, forestry has its area of the year beside it, and never more than 0.95 in all
    stock = []
    for settings in (None, Forestry(rotation=20.0), Forestry(rotation=1.0, thinning=1.0, thinning_interval=1.0)):
        tiles, layout, mixtures = world()
        spread_ages(layout)
        harvest[:, 2] = 0.003
        there = np.bincount(layout.cell, layout.area * wood(tiles) * tree)
        result = land.apply_transitions(
            tiles, layout, STILL, harvest, mixtures, land.Options(ageing=False), forestry=settings
        )
        other = result.wood_to_products - result.forestry_to_products
        assert np.allclose(other.sum(axis=1), 0.7 * 0.003, rtol=1e-11)
        stock.append(result.wood_to_products.sum(axis=1) / (0.7 * there))
    assert np.all(stock[0] < stock[1]) and np.all(stock[1] < stock[2])
    assert np.all(stock[2] <= MOST + 1e-12)


def test_harvest_of_the_history_has_a_switch_of_its_own():
    tiles, layout, mixtures = world()
    harvest = np.full((3, 5), 0.01)
    off = land.Options(wood_harvest="off")
    result = land.apply_transitions(tiles, layout, STILL, harvest, mixtures, off, forestry=Forestry(rotation=20.0))
    assert np.array_equal(result.wood_to_products, result.forestry_to_products)
    assert result.forestry_to_products.sum() > 0.0


def test_primary_forest_is_touched_only_where_asked():
    for primary in (False, True):
        tiles, layout, mixtures = forest(primary=1.0)
        result = land.apply_transitions(
            tiles, layout, STILL[:1], None, mixtures, forestry=Forestry(rotation=40.0, primary=primary)
        )
        assert result.forestry_area[0] == pytest.approx(primary / 40.0, rel=1e-12)
        assert layout.kinds()[0, SECONDARY] == pytest.approx(primary / 40.0, rel=1e-12)


def test_felled_land_can_be_cleared_in_the_same_year():
    tiles, layout, mixtures = world()
    before = totals(tiles, layout)
    settings = Forestry(rotation=10.0, thinning=0.5, thinning_interval=1.0)
    result = land.apply_transitions(
        tiles, layout, one(SECONDARY, CROP, 1.0, layout), None, mixtures, land.Options(ageing=False), forestry=settings
    )
    # what is cut is there no more for the transition; the rest goes wholly, and land that goes is not thinned
    assert np.allclose(layout.kinds()[:, SECONDARY], result.forestry_area, rtol=1e-10)
    assert result.thinned.max() == 0.0
    assert_closed(before, tiles, layout, result)


# --- thinning --------------------------------------------------------------------------------------------------------


def test_thinning_takes_the_stated_wood_and_leaves_the_age():
    settings = Forestry(rotation=1e9, thinning=0.3, thinning_interval=5.0, thinning_age=40.0)  # cuts 1e-9 of the area
    tiles, layout, mixtures = world()
    spread_ages(layout)
    before, carbon, area = totals(tiles, layout), plants(tiles), layout.area.copy()
    timber, old = wood(tiles), np.isin(layout.land_class, layout.secondary[3:]) & TREE[layout.pft]
    leaf_area, soil = tiles.get("leaf_area"), tiles.get("soil_carbon").sum(axis=1)
    how = land.Options(ageing=False)
    result = land.apply_transitions(tiles, layout, STILL, None, mixtures, how, fuelwood=0.0, forestry=settings)
    share = 0.3 / 5.0
    assert np.abs(layout.area - area).max() < 1e-9
    assert np.allclose(result.thinned, share * np.bincount(layout.cell, area * old), rtol=1e-6)
    goods = 0.7 * share * np.bincount(layout.cell, area * timber * old)
    assert np.allclose(result.forestry_to_products.sum(axis=1), goods, rtol=1e-6)
    there = old & (area > 0.0)
    assert np.allclose(plants(tiles)[there], (1.0 - share) * carbon[there], rtol=1e-12)
    assert np.allclose(tiles.get("leaf_area")[there], (1.0 - share) * leaf_area[there], rtol=1e-12)
    assert np.all(tiles.get("soil_carbon").sum(axis=1)[there] > soil[there])  # slash
    young = np.isin(layout.land_class, layout.secondary[1:3])
    assert np.array_equal(plants(tiles)[young], carbon[young])
    assert_closed(before, tiles, layout, result)


def test_thinning_does_not_make_a_cohort_younger():
    found = []
    for thinning in (0.0, 0.9):
        tiles, layout, mixtures = world()
        spread_ages(layout)
        settings = Forestry(rotation=1e9, thinning=thinning, thinning_interval=1.0, thinning_age=0.0)
        land.apply_transitions(tiles, layout, STILL, None, mixtures, land.Options(merge_below=1e-6), forestry=settings)
        found.append((layout.age, plants(tiles)))
    assert np.allclose(found[0][0], found[1][0], rtol=1e-6) and found[1][1].sum() < 0.9 * found[0][1].sum()


def test_a_thinned_stand_is_not_planted():
    tiles, layout, mixtures = forest("single")
    settings = Forestry(rotation=1e9, thinning=0.2, thinning_interval=1.0, planted_carbon=0.9)
    result = land.apply_transitions(tiles, layout, STILL[:1], None, mixtures, forestry=settings)
    assert result.establishment["carbon"][0] == pytest.approx(0.9 / 1e9, rel=1e-12)
    assert result.thinned[0] == pytest.approx(0.2, rel=1e-8)


def test_only_what_is_managed_is_thinned():
    tiles, layout, mixtures = forest("single")
    settings = Forestry(rotation=100.0, share=0.5, thinning=0.2, thinning_interval=2.0)
    result = land.apply_transitions(tiles, layout, STILL[:1], None, mixtures, forestry=settings)
    assert result.thinned[0] == pytest.approx(0.1 * 0.5 * (1.0 - 1.0 / 100.0), rel=1e-12)


# --- planting --------------------------------------------------------------------------------------------------------


def test_a_planted_stand_begins_with_its_saplings_and_the_air_pays_for_them():
    tiles, layout, mixtures = world(3, ALL)
    young = (layout.land_class == layout.secondary[0]) & TREE[layout.pft]
    spread_ages(layout)
    layout.area[layout.land_class == layout.secondary[0]] = 0.0  # all of it is old
    layout.area /= np.bincount(layout.cell, layout.area)[layout.cell]
    before = totals(tiles, layout)
    how = land.Options(ageing=False)
    settings = Forestry(rotation=40.0, planted_carbon=0.07)
    result = land.apply_transitions(tiles, layout, STILL, None, mixtures, how, forestry=settings)
    there = young & (layout.area > 0.0)
    assert there.any() and np.allclose(plants(tiles)[there], 0.07, rtol=1e-12)  # round-off
    assert np.allclose(tiles.get("carbon_labile")[there], 0.07, rtol=1e-12)
    assert np.allclose(result.establishment["carbon"], 0.07 * result.forestry_area, rtol=1e-12)
    cn = np.asarray(loader.parameters()["leaf_cn"].values)[layout.pft[there]]
    assert np.allclose(tiles.get("nitrogen_plant")[there].sum(axis=1), 0.07 / cn, rtol=1e-12)
    assert_closed(before, tiles, layout, result)


def test_other_land_gets_seed_and_not_saplings():
    tiles, layout, mixtures = world()
    settings = Forestry(rotation=1e9, planted_carbon=0.9)
    result = land.apply_transitions(
        tiles, layout, one(CROP, SECONDARY, 0.5, layout), None, mixtures, land.Options(ageing=False), forestry=settings
    )
    seeded = 0.5 * (layout.kinds()[:, CROP] * 2.0)
    assert np.allclose(result.establishment["carbon"], 1e-3 * seeded, rtol=1e-4)  # saplings: 1e-9


# --- off -------------------------------------------------------------------------------------------------------------


def test_without_managed_forests_all_bits_are_as_they_were():
    found = []
    for forestry in (None, Forestry(share=0.0, rotation=1.0, thinning=1.0)):
        tiles, layout, mixtures = world()
        wanted = one(PRIMARY, CROP, 0.1, layout) + one(CROP, SECONDARY, 0.2, layout)
        result = land.apply_transitions(tiles, layout, wanted, np.full((3, 5), 0.01), mixtures, forestry=forestry)
        assert not result.forestry_to_products.any() and not result.forestry_area.any() and not result.thinned.any()
        found.append((tiles.state, layout.area, result.to_products["carbon"], result.establishment["carbon"]))
    for ours, theirs in zip(*found, strict=True):
        assert np.array_equal(ours, theirs)


def test_no_trees_no_harvest():
    tiles, layout, mixtures = world()
    layout.area[TREE[layout.pft]] = 0.0
    layout.area /= np.bincount(layout.cell, layout.area)[layout.cell]
    state = tiles.state.copy()
    settings = Forestry(rotation=1.0, thinning=1.0, thinning_interval=1.0, thinning_age=0.0, primary=True)
    how = land.Options(ageing=False)
    result = land.apply_transitions(tiles, layout, STILL, None, mixtures, how, forestry=settings)
    assert np.array_equal(tiles.state, state)
    assert not result.wood_to_products.any() and not result.forestry_area.any()


def test_the_other_cells_and_the_order_of_tiles_have_no_effect():
    settings = Forestry(rotation=30.0, share=0.7, thinning=0.3, thinning_age=0.0)
    order = np.random.default_rng(2).permutation(len(world()[1].cell))
    tiles, layout, mixtures = world()
    one_way = land.apply_transitions(tiles, layout, STILL, None, mixtures, forestry=settings)
    others, mixed, _ = world(order=order)
    other_way = land.apply_transitions(others, mixed, STILL, None, mixtures, forestry=settings)
    assert np.array_equal(tiles._unblock(tiles.state)[order], others._unblock(others.state))
    assert np.array_equal(layout.area[order], mixed.area)
    assert np.array_equal(one_way.forestry_to_products, other_way.forestry_to_products)


def test_a_year_of_a_history_takes_the_settings():
    found = []
    for settings in (None, Forestry(rotation=20.0)):
        tiles, layout, mixtures = world()
        spread_ages(layout)
        none = np.zeros((3, 5))
        year = LandUseYear(2000, layout.kinds(), STILL, none, none, None, {}, None)
        found.append(land.apply_year(tiles, layout, year, mixtures, forestry=settings).forestry_area)
    assert found[0].max() == 0.0 and found[1].min() > 0.0


def test_shares_are_of_trees_of_secondary_land():
    _, layout, _ = world()
    none = np.zeros(layout.table.shape)
    cut, thinned = shares(layout, Forestry(rotation=2.0, thinning=0.5, thinning_age=0.0), TREE, none)
    for part in (cut, thinned):
        assert part.any() and part.min() >= 0.0 and part.max() <= MOST
        assert not part[:, layout.kind != SECONDARY].any() and not part[:, :, ~TREE].any()


@pytest.mark.parametrize(
    "wrong",
    [{"rotation": 0.5}, {"rotation": float("nan")}, {"share": 1.1}, {"thinning": -0.1}, {"thinning_interval": 0.0},
     {"planted_carbon": -1.0}, {"planted_carbon": 5.0}, {"primary": 1}, {"rotation": "80"}, {"share": True}],
)  # fmt: skip
def test_wrong_settings_are_refused(wrong):
    with pytest.raises(ConcertoError, match="land_use.management.forestry"):
        Forestry(**wrong)


def test_the_configuration_has_the_settings_their_defaults_and_limits():
    from concerto.config import schema
    from concerto.landuse.host import _forestry

    assert _forestry(schema.Forestry()) == Forestry() and _forestry("off") is None
    assert _forestry(schema.Forestry(rotation=1e4, forests="all")) == Forestry(rotation=1e4, primary=True)
    for name, setting in module.settings().items():
        low, high = setting.metadata["limits"]
        for value in (np.nextafter(low, -np.inf), np.nextafter(high, np.inf), np.nan):
            with pytest.raises(ConcertoError):
                Forestry(**{name: value})
            with pytest.raises(ValueError, match=name):
                schema.Forestry(**{name: value})
        edge = low if high == np.inf else high
        assert getattr(_forestry(schema.Forestry(**{name: edge})), name) == edge
