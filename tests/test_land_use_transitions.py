"""Land use on the tiles of a run: what stands on area that changes hands is neither lost nor made."""

import json
from functools import cache
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic import extreme_forcing

from concerto import Tiles
from concerto.errors import ConcertoError
from concerto.kernels import dynamics as kernels
from concerto.landuse import transitions as land
from concerto.landuse.classes import CROP, PASTURE, PRIMARY, RANGELAND, SECONDARY, URBAN, class_list
from concerto.landuse.history import LandUseYear
from concerto.simulation import dynamics
from concerto.simulation.dynamics import Exchange
from concerto.simulation.spinup import initialise
from concerto.tables import loader

NAMES = loader.pft_names()
WOODY = np.asarray(loader.parameters()["woody"].values) > 0.5
ALL = {"nitrogen": "cn", "isotopes": "on"}
NATURAL = ("needle_evergreen_boreal", "broad_deciduous_temperate", "shrub_deciduous_temperate", "grass_c3")
YEAR = land.Options(ageing=False)


def cover(n_cell, **shares):
    out = np.zeros((n_cell, len(NAMES)))
    for name, share in shares.items():
        out[:, NAMES.index(name)] = share
    return out


def compositions(n_cell, seed=1):
    random = np.random.default_rng(seed)
    natural = cover(n_cell, **dict(zip(NATURAL, random.dirichlet(np.ones(4), n_cell).T, strict=True)))
    return {
        "primary": natural, "secondary": natural, "pasture": cover(n_cell, grass_c3=0.7, grass_c4=0.3),
        "rangeland": natural, "crop": cover(n_cell, crop_c3=0.6, crop_c4=0.4), "urban": cover(n_cell, bare=1.0),
    }  # fmt: skip


@cache
def start(n_cell, options, secondary):
    """Layout and state of cells with all kinds of land, with random stores that the model could have."""
    random = np.random.default_rng(3)
    mixtures = compositions(n_cell)
    areas = random.dirichlet(np.ones(6), n_cell)
    layout = land.slots(
        class_list(secondary), mixtures, np.ones((n_cell, 6)), areas, secondary_age=np.linspace(5.0, 110.0, n_cell)
    )
    tiles = Tiles(layout.pft, 1800.0, cell=layout.cell, options=dict(options))
    initialise(tiles, 275.0 + 20.0 * random.random(tiles.n_tile))
    n, wood = tiles.n_tile, tiles.parameter("woody")
    leaf_area = tiles.parameter("maximum_leaf_area") * random.random(n)
    tiles.set("leaf_area", leaf_area)
    tiles.set("carbon_leaf", leaf_area / tiles.parameter("specific_leaf_area"))
    for name, most in (("labile", 0.2), ("fine_root", 0.3), ("seed", 0.02)):
        tiles.set(f"carbon_{name}", most * random.random(n) * (layout.pft > 0))
    tiles.set("carbon_sapwood", 4.0 * wood * random.random(n))
    tiles.set("carbon_heartwood", 8.0 * wood * random.random(n))
    tiles.set("soil_carbon", random.random((n, 63)))
    tiles.set("soil_liquid", random.uniform(0.1, 0.3, (n, 10)))
    tiles.set("soil_ice", random.uniform(0.0, 0.1, (n, 10)))
    snowy = (layout.cell % 2 == 0)[:, None] * np.array([1.0, 1.0, 0.0])
    tiles.set("snow_ice", 10.0 * snowy * random.random((n, 1)))
    tiles.set("snow_thickness", 0.05 * snowy)
    tiles.set("snow_temperature", np.where(snowy > 0.0, 268.0, 273.15))
    carbon = np.stack([tiles.get(f"carbon_{name}") for name in dynamics.PLANT_POOLS], axis=1)
    if dict(options).get("nitrogen") == "cn":
        tiles.set("nitrogen_plant", carbon / np.array([30.0, 25.0, 40.0, 200.0, 300.0, 30.0]))
        tiles.set("soil_nitrogen", 0.05 * tiles.get("soil_carbon"))
        tiles.set("ammonium", 1e-3 * random.random((n, 9)))
    if dict(options).get("isotopes") == "on":
        tiles.set("carbon13_plant", 0.98 * carbon)
        tiles.set("carbon14_plant", 0.97 * carbon)
        for name in ("carbon13_soil", "carbon14_soil"):
            tiles.set(name, 0.95 * tiles.get("soil_carbon"))
    forcing, ends = extreme_forcing(n_cell, 2, 1800, seed=11)
    tiles.advance(forcing, ends)  # the state is one of the model
    return layout, tiles.state


def world(n_cell=3, options=ALL, secondary="age_classes", order=None):
    layout, state = start(n_cell, tuple(options.items()), secondary)
    order = np.arange(len(layout.cell)) if order is None else order
    tiles = Tiles(layout.pft[order], 1800.0, cell=layout.cell[order], options=dict(options))
    nproma = tiles.nproma
    tiles.state = tiles._blocks(state[order % nproma, :, order // nproma])
    return tiles, land.Layout(
        layout.classes, layout.cell[order], layout.land_class[order], layout.pft[order], layout.area[order],
        np.zeros((n_cell, 6, 6)),
    ), compositions(n_cell)  # fmt: skip


def one(i, j, share, layout):
    """A transition of a share of a kind in all cells."""
    out = np.zeros((layout.n_cell, 6, 6))
    out[:, i, j] = share * layout.kinds()[:, i]
    return out


def totals(tiles, layout):
    found = dynamics.stored(tiles)
    for name in ("carbon13", "carbon14"):
        found[name] = tiles.get(f"{name}_plant").sum(axis=1) + tiles.get(f"{name}_soil").sum(axis=1)
    return {name: np.bincount(layout.cell, layout.area * values) for name, values in found.items()}


def assert_closed(before, tiles, layout, *results, tolerance=1e-12):
    """Stores and fluxes, summed here and not by the operator; round-off of sums over 50 tiles is 1e-14."""
    after = totals(tiles, layout)
    for result in results:
        after["water"] += result.runoff
        after["energy"] += result.runoff_heat
        for name in ("carbon", "nitrogen", "carbon13", "carbon14"):
            after[name] += result.to_atmosphere[name] + result.to_products[name].sum(axis=1)
            after[name] -= result.establishment[name]
    for name, values in before.items():
        scale = np.maximum(np.abs(values), 1e8 if name == "energy" else 1e-3)  # heat: a difference of large terms
        assert np.all(np.abs(after[name] - values) <= tolerance * scale), name
    assert np.abs(layout.kinds().sum(axis=1) - 1.0).max() <= tolerance


def of(layout, kind, pft=None):
    """Tiles of a kind, and of a type."""
    these = layout.kind[layout.land_class] == kind
    return these if pft is None else these & (layout.pft == NAMES.index(pft))


# --- the rule --------------------------------------------------------------------------------------------------------


def test_the_rule_is_that_of_the_reference_cases(shared):
    with open(shared("reference/disturb_transitions.json")) as file:
        cases = json.load(file)["cases"]
    assert len(cases) == 8
    for case in cases:
        share = case["fractions"]
        area, density, smoke, goods = land.redistribute(
            [case["area_before"]], [case["density_before"]], [case["transitions"]], case["clear"],
            wood_aboveground=share["wood_aboveground"], burn_wood=share["burn_wood"], burn_leaf=share["burn_leaf"],
            products=share["prod"],
        )  # fmt: skip
        found = np.concatenate([area.ravel(), density.ravel(), smoke, goods.ravel()])
        wanted = np.concatenate([case["area_after"], np.ravel(case["density_after"]), [case["to_atmosphere"]],
                                 case["to_products"]])  # fmt: skip
        assert np.abs(found - wanted).max() < 1e-10  # tolerance of the reference


def test_the_exchange_is_that_of_the_kernels_of_vegetation_dynamics():
    random = np.random.default_rng(5)
    area, density = random.dirichlet(np.ones(6), 4), random.random((4, 6, 3))
    moved = random.random((4, 6, 6)) * (random.random((4, 6, 6)) < 0.5) * area[:, :, None] / 6.0
    moved[:, np.arange(6), np.arange(6)] = 0.0
    moved[0, 2], moved[0, :, 2] = 0.0, 0.0
    moved[0, 2, 3] = area[0, 2]  # goes wholly
    cell, target, source = np.nonzero(moved.transpose(0, 2, 1))
    flows = Exchange(area.ravel(), cell * 6 + source, cell * 6 + target, moved[cell, source, target])
    new = density.reshape(24, 3).copy()
    new[flows.rows] = flows.mixture(new)
    wanted, _ = kernels.move_area(density, area, moved)
    there = flows.area > 0.0
    assert np.allclose(flows.area, kernels.area_after(area, moved).ravel(), rtol=1e-14, atol=0.0)  # round-off
    assert np.allclose(new[there], wanted.reshape(24, 3)[there], rtol=1e-14, atol=0.0)
    assert flows.area.reshape(4, 6)[0, 2] == 0.0


RULES = [(1, 1, "PS"), (1, "PS", "PS"), (1, 1, 1), (1, 1, 0), (1, 0, 1), (1, 0, 0), (0, 1, 1), (0, 1, 0), (0, 0, 1)]


@pytest.mark.parametrize("rule", range(1, 10))
def test_the_clearing_rules_are_those_of_ma_2020(rule):
    crop, pasture, rangeland = RULES[rule - 1]
    matrix = land.clears(rule)
    for kind, which in ((CROP, crop), (PASTURE, pasture), (RANGELAND, rangeland)):
        donors = [i for i in range(6) if i != kind]
        wanted = [bool(which) and (which == 1 or i in (PRIMARY, SECONDARY)) for i in donors]
        assert matrix[donors, kind].tolist() == wanted
    assert not matrix[:, [PRIMARY, SECONDARY]].any() and matrix[:URBAN, URBAN].all()


def test_shares_of_cleared_wood_are_shares():
    for name in ("default", "fates", "lpjml"):
        table = land.fates(name)
        assert table.conversion.min() >= 0.0 and table.products.min() >= 0.0
        assert (table.conversion + table.products.sum(axis=1)).max() < 1.0 + 1e-12  # decimals of the table
        assert np.array_equal(table.above.sum(axis=1) > 0.0, WOODY)
    assert np.array_equal(land.fates().tree, WOODY & ~np.char.startswith(NAMES, "shrub"))


# --- conservation ----------------------------------------------------------------------------------------------------


@settings(max_examples=20, deadline=None)
@given(
    seed=st.integers(0, 10**6), speed=st.sampled_from([1e-5, 0.02, 0.5, 3.0]), clearing=st.integers(1, 9),
    harvest=st.sampled_from(["mass", "area", "off"]), nitrogen=st.sampled_from(["cn", "c_only"]),
    secondary=st.sampled_from(["age_classes", "single"]), fates=st.sampled_from(["default", "fates", "lpjml"]),
    grass=st.booleans(), supplies=st.booleans(),
)  # fmt: skip
def test_random_histories_conserve_carbon_nitrogen_water_and_heat(
    seed, speed, clearing, harvest, nitrogen, secondary, fates, grass, supplies
):
    random = np.random.default_rng(seed)
    options = {"nitrogen": nitrogen, "isotopes": "on" if seed % 2 else "off"}
    tiles, layout, mixtures = world(3, options, secondary)
    how = land.Options(
        clearing=clearing, wood_harvest=harvest, fates=fates, pasture_from_grass=grass, slash=0.1 * grass,
        clearing_supplies_harvest=supplies,
    )  # fmt: skip
    before, results = totals(tiles, layout), []
    for _ in range(3):
        wanted = speed * random.random((3, 6, 6)) * (random.random((3, 6, 6)) < 0.3) * layout.kinds()[:, :, None]
        wanted[:, :, PRIMARY] = 0.0
        wood = random.random((3, 5)) * (0.5 if harvest == "mass" else 0.05)
        results.append(land.apply_transitions(tiles, layout, wanted, wood, mixtures, how, fuelwood=random.random(3)))
        residual = results[-1].residual
        assert set(residual) >= {"carbon", "nitrogen", "water", "energy"}
        assert max(np.abs(values).max() for values in residual.values()) <= 1e-12  # as specified
        assert layout.area.min() >= 0.0 and np.isfinite(tiles.state).all()
    if options["isotopes"] == "off":  # rows that nobody follows
        for result in results:
            assert not result.to_products["carbon13"].any()
    assert_closed(before, tiles, layout, *results)


def test_what_is_cleared_is_carbon_of_plants_and_nothing_else():
    tiles, layout, mixtures = world()
    plants = sum(tiles.get(name) for name in dynamics.CARBON_PLANT)
    area = layout.area.copy()
    result = land.apply_transitions(tiles, layout, one(PRIMARY, CROP, 0.5, layout), None, mixtures, YEAR)
    felled = 0.5 * np.bincount(layout.cell, np.where(of(layout, PRIMARY), area * plants, 0.0))
    parts = result.to_atmosphere["carbon"] + result.to_products["carbon"].sum(axis=1) + result.to_litter["carbon"]
    assert np.allclose(parts, felled, rtol=1e-13)  # round-off
    by_pair = sum(result.carbon_by_transition.values())
    assert np.allclose(by_pair[:, PRIMARY, CROP], felled, rtol=1e-13)
    assert by_pair.sum() == pytest.approx(felled.sum(), rel=1e-13)


def test_above_ground_wood_burns_and_lasts_by_group_of_types():
    tiles, layout, mixtures = world(2)
    only = of(layout, PRIMARY, "broad_deciduous_temperate")
    tiles.set("carbon_sapwood", np.where(only, 4.0, 0.0))
    tiles.set("carbon_heartwood", np.where(only, 6.0, 0.0))
    area = np.bincount(layout.cell, layout.area * only)
    result = land.apply_transitions(tiles, layout, one(PRIMARY, CROP, 1.0, layout), None, mixtures, YEAR)
    above = 0.75 * 10.0 * area
    assert np.allclose(result.to_atmosphere["carbon"], 0.6 * above, rtol=1e-13)
    assert np.allclose(result.to_products["carbon"], above[:, None] * [0.0, 0.3, 0.1], rtol=1e-13)


def test_ash_keeps_part_of_burned_nitrogen_as_ammonium():
    tiles, layout, mixtures = world(2)
    ammonium = np.bincount(layout.cell, layout.area * tiles.get("ammonium").sum(axis=1))
    result = land.apply_transitions(tiles, layout, one(PRIMARY, CROP, 0.7, layout), None, mixtures, YEAR)
    assert np.allclose(result.ash / (result.ash + result.to_atmosphere["nitrogen"]), 0.45, rtol=1e-13)
    after = np.bincount(layout.cell, layout.area * tiles.get("ammonium").sum(axis=1))
    assert result.ash.min() > 0.0 and np.allclose(after - ammonium, result.ash, rtol=1e-11)


def test_isotopes_of_products_have_the_ratio_of_what_was_felled():
    tiles, layout, mixtures = world()
    plants = np.stack([tiles.get(name) for name in dynamics.CARBON_PLANT], axis=1)
    tiles.set("carbon13_plant", 0.98 * plants)
    tiles.set("carbon14_plant", 0.97 * plants)
    result = land.apply_transitions(tiles, layout, one(SECONDARY, PASTURE, 0.6, layout), None, mixtures, YEAR)
    carbon = result.to_products["carbon"][:, 1]
    assert carbon.min() > 0.0
    assert np.allclose(result.to_products["carbon13"][:, 1], 0.98 * carbon, rtol=1e-13)
    assert np.allclose(result.to_atmosphere["carbon14"], 0.97 * result.to_atmosphere["carbon"], rtol=1e-13)


# --- what lives and what dies ----------------------------------------------------------------------------------------


def test_forest_that_becomes_rangeland_without_clearing_stays_the_same_forest():
    tiles, layout, mixtures = world()
    plants = {pft: totals_of(tiles, layout, pft) for pft in NATURAL}
    result = land.apply_transitions(tiles, layout, one(PRIMARY, RANGELAND, 0.4, layout), None, mixtures, YEAR)
    for pft in NATURAL:
        assert np.allclose(totals_of(tiles, layout, pft), plants[pft], rtol=1e-13)
    assert result.to_litter["carbon"].max() == 0.0 and result.establishment["carbon"].max() == 0.0
    assert result.moved.min() > 0.0


def totals_of(tiles, layout, pft):
    """Plant carbon of a type in each cell, kg m-2 of land."""
    plants = sum(tiles.get(name) for name in dynamics.CARBON_PLANT)
    return np.bincount(layout.cell, layout.area * plants * (layout.pft == NAMES.index(pft)))


def test_abandoned_cropland_loses_its_crops_and_gets_seed_of_the_natural_types():
    tiles, layout, mixtures = world()
    crops = totals_of(tiles, layout, "crop_c3") + totals_of(tiles, layout, "crop_c4")
    area = layout.areas()[:, layout.first[CROP]]
    wanted = one(CROP, SECONDARY, 1.0, layout)
    result = land.apply_transitions(tiles, layout, wanted, None, mixtures, YEAR)
    assert np.allclose(result.to_litter["carbon"], crops, rtol=1e-13)
    assert np.allclose(result.establishment["carbon"], 1e-3 * area, rtol=1e-13)
    assert result.to_atmosphere["carbon"].max() == result.to_products["carbon"].max() == 0.0
    gone = of(layout, CROP)
    assert layout.area[gone].max() == 0.0  # exactly


def test_abandoned_pasture_regains_the_natural_mixture_and_keeps_grass_where_grass_will_be():
    tiles, layout, mixtures = world()
    was = layout._of_tiles(layout.area)[:, layout.first[SECONDARY]]
    wanted = one(PASTURE, SECONDARY, 0.5, layout)
    come = wanted[:, PASTURE, SECONDARY][:, None]
    grass = NAMES.index("grass_c3")
    result = land.apply_transitions(tiles, layout, wanted, None, mixtures, YEAR)
    gained = layout._of_tiles(layout.area)[:, layout.first[SECONDARY]] - was
    assert np.allclose(gained, come * mixtures["secondary"], atol=1e-15)
    lives = np.minimum(0.7, mixtures["secondary"][:, grass]) * come[:, 0]
    assert np.allclose(result.establishment["carbon"], 1e-3 * (come[:, 0] - lives), rtol=1e-12)


def test_crops_that_have_a_calendar_are_sown_by_it():
    for crops, sown in (("calendar", 0.0), ("grass", 1e-3)):
        tiles, layout, mixtures = world(options=ALL | {"crops": crops})
        wanted = one(PRIMARY, CROP, 0.5, layout)
        result = land.apply_transitions(tiles, layout, wanted, None, mixtures, YEAR)
        assert np.allclose(result.establishment["carbon"], sown * wanted[:, PRIMARY, CROP], rtol=1e-13)


def test_trees_of_rangeland_live_on_where_it_is_abandoned():
    tiles, layout, mixtures = world()
    trees = {pft: totals_of(tiles, layout, pft) for pft in NATURAL[:3]}
    land.apply_transitions(tiles, layout, one(RANGELAND, SECONDARY, 0.8, layout), None, mixtures, YEAR)
    for pft, carbon in trees.items():
        assert np.allclose(totals_of(tiles, layout, pft), carbon, rtol=1e-13)


def test_pasture_is_taken_from_grassland_first_where_asked():
    tiles, layout, mixtures = world()
    grass = of(layout, PRIMARY, "grass_c3")
    wanted = np.zeros((3, 6, 6))
    there = np.bincount(layout.cell, layout.area * grass)
    wanted[:, PRIMARY, PASTURE] = 0.5 * there
    how = land.Options(ageing=False, pasture_from_grass=True, minimum_area=0.0)
    result = land.apply_transitions(tiles, layout, wanted, None, mixtures, how)
    assert np.allclose(np.bincount(layout.cell, layout.area * grass), 0.5 * there, rtol=1e-14)
    assert result.to_products["carbon"].max() == 0.0


def test_a_tile_that_appears_takes_the_memories_of_the_largest_natural_one():
    tiles, layout, mixtures = world(1)
    tiles.set("temperature_30d", 250.0 + np.arange(tiles.n_tile))
    crop = of(layout, CROP)
    move = one(CROP, PASTURE, 1.0, layout)
    land.apply_transitions(tiles, layout, move, None, mixtures, YEAR)
    natural = of(layout, PRIMARY) | of(layout, SECONDARY)
    memory = tiles.get("temperature_30d")
    largest = np.argmax(np.where(natural, layout.area, 0.0))
    land.apply_transitions(tiles, layout, one(PRIMARY, CROP, 0.3, layout), None, mixtures, YEAR)
    assert np.all(layout.area[crop] > 0.0) and np.all(tiles.get("temperature_30d")[crop] == memory[largest])


def test_water_on_felled_plants_falls_to_the_ground():
    """A tile without a canopy cannot hold it: a little of it that freezes there would heat it by 100 K."""
    tiles, layout, mixtures = world()
    tiles.set("canopy_liquid", np.where(of(layout, URBAN), 0.0, 2.0))
    tiles.set("canopy_ice", np.where(of(layout, URBAN), 0.0, 5.0))
    tiles.set("canopy_temperature", np.where(of(layout, URBAN), 290.0, 262.0))
    before = totals(tiles, layout)
    wanted = one(PRIMARY, URBAN, 0.5, layout) + one(PRIMARY, RANGELAND, 0.3, layout)
    result = land.apply_transitions(tiles, layout, wanted, None, mixtures, YEAR)
    built, grazed = of(layout, URBAN), of(layout, RANGELAND)
    assert tiles.get("canopy_liquid")[built].max() == tiles.get("canopy_ice")[built].max() == 0.0
    assert np.all(tiles.get("canopy_temperature")[built] == 290.0)
    assert np.allclose(tiles.get("canopy_ice")[grazed], 5.0, rtol=1e-14)  # on plants that live
    assert_closed(before, tiles, layout, result)


def test_water_above_saturation_runs_off_with_its_heat():
    tiles, layout, mixtures = world()
    tiles.set("soil_liquid", 0.30)
    tiles.set_parameter("theta_sat", np.where(of(layout, CROP), 0.25, 0.44))
    before = totals(tiles, layout)
    result = land.apply_transitions(tiles, layout, one(PRIMARY, CROP, 0.5, layout), None, mixtures, YEAR)
    assert result.runoff.min() > 1.0
    wet = (tiles.get("soil_liquid") + tiles.get("soil_ice"))[of(layout, CROP)]
    assert wet.max() <= 0.25 + 1e-9  # what counts as saturated
    assert_closed(before, tiles, layout, result)


# --- nothing, all, order, cells --------------------------------------------------------------------------------------


def test_nothing_changes_without_transitions():
    tiles, layout, mixtures = world()
    state, area = tiles.state.copy(), layout.area.copy()
    result = land.apply_transitions(tiles, layout, np.zeros((3, 6, 6)), np.zeros((3, 5)), mixtures, YEAR)
    assert np.array_equal(tiles.state, state) and np.array_equal(layout.area, area)
    assert result.moved.max() == 0.0 and not result.residual


def test_tiles_that_take_no_part_keep_every_bit():
    tiles, layout, mixtures = world()
    before = tiles._unblock(tiles.state)
    land.apply_transitions(tiles, layout, one(PRIMARY, CROP, 0.5, layout), None, mixtures, YEAR)
    same = (tiles._unblock(tiles.state) == before).all(axis=1)
    assert np.array_equal(same, ~of(layout, CROP))  # a tile that shrinks keeps its densities


def test_tiles_that_fill_the_last_block_are_copies_of_the_last_one():
    tiles, layout, mixtures = world()
    assert layout.kind[layout.land_class[-1]] == URBAN and tiles.n_tile < tiles.nproma * tiles.n_block
    land.apply_transitions(tiles, layout, one(PRIMARY, URBAN, 0.5, layout), None, mixtures, YEAR)
    assert np.array_equal(tiles.state, tiles._blocks(tiles._unblock(tiles.state)))


def test_the_order_of_tiles_and_the_other_cells_have_no_effect():
    random = np.random.default_rng(9)
    wanted = 0.1 * random.random((5, 6, 6)) * (random.random((5, 6, 6)) < 0.5)
    wanted[:, :, PRIMARY] = 0.0
    wood, found = 0.3 * random.random((5, 5)), []
    n_tile = len(world(5)[1].cell)
    for order in (np.arange(n_tile), random.permutation(n_tile)):
        tiles, layout, mixtures = world(5, order=order)
        result = land.apply_transitions(tiles, layout, wanted, wood, mixtures)
        found.append((tiles._unblock(tiles.state), layout.area, result.to_products["carbon"]))
    assert np.array_equal(found[0][0][order], found[1][0]) and np.array_equal(found[0][1][order], found[1][1])
    assert np.array_equal(found[0][2], found[1][2])
    for cell in range(5):  # each alone, as on a rank of its own
        tiles, whole, mixtures = world(5)
        these = np.flatnonzero(whole.cell == cell)
        some = Tiles(whole.pft[these], 1800.0, options=dict(ALL), cell=np.zeros(len(these), dtype=int))
        some.state = some._blocks(tiles._unblock(tiles.state)[these])
        layout = land.Layout(whole.classes, some.cell, whole.land_class[these], whole.pft[these], whole.area[these])
        alone = {kind: values[[cell]] for kind, values in mixtures.items()}
        land.apply_transitions(some, layout, wanted[[cell]], wood[[cell]], alone)
        assert np.array_equal(some._unblock(some.state), found[0][0][these])
        assert np.array_equal(layout.area, found[0][1][these])


def test_transitions_act_on_one_state_whatever_their_order():
    """Two at once are not one after the other: cropland that goes to pasture is that of the start of the year."""
    tiles, layout, mixtures = world()
    was = tiles.get("carbon_heartwood")[of(layout, PRIMARY)].max()
    both = one(PRIMARY, CROP, 0.5, layout) + one(CROP, PASTURE, 1.0, layout)
    crop = layout.kinds()[:, CROP]
    fresh = both[:, PRIMARY, CROP]
    land.apply_transitions(tiles, layout, both, None, mixtures, YEAR)
    assert was > 0.0 and np.allclose(layout.kinds()[:, CROP], fresh, rtol=1e-13) and crop.min() > 0.0


def test_all_that_goes_leaves_an_area_of_exactly_0_and_a_state_with_which_the_model_runs():
    tiles, layout, mixtures = world()
    wanted = sum(one(kind, CROP, 1.0, layout) for kind in (PRIMARY, SECONDARY, RANGELAND))
    land.apply_transitions(tiles, layout, wanted, None, mixtures, YEAR)
    gone = of(layout, PRIMARY) | of(layout, SECONDARY) | of(layout, RANGELAND)
    assert layout.area[gone].max() == 0.0
    fresh = Tiles(layout.pft, 1800.0, options=dict(ALL))
    initialise(fresh, 285.0)
    had = gone & (world()[1].area > 0.0)
    for name in ("carbon_labile", "leaf_area", "soil_carbon", "snow_ice", "nitrogen_plant"):
        assert np.array_equal(tiles.get(name)[had], fresh.get(name)[had])  # start values
    forcing, ends = extreme_forcing(3, 3, 1800, seed=11)
    tiles.worst[:] = 0.0
    tiles.advance(forcing, ends)
    # round-off, as in the tests of vegetation dynamics
    assert np.all(tiles.worst.max(axis=1) < [1e-9, 1e-4, 1e-11, 1e-11])


def test_the_model_runs_on_after_years_of_land_use_and_its_budgets_close():
    tiles, layout, mixtures = world()
    random = np.random.default_rng(4)
    forcing, ends = extreme_forcing(3, 2, 1800, seed=12)
    for _ in range(3):
        wanted = 0.2 * random.random((3, 6, 6)) * layout.kinds()[:, :, None]
        wanted[:, :, PRIMARY] = 0.0
        land.apply_transitions(tiles, layout, wanted, np.full((3, 5), 0.05), mixtures)
        tiles.worst[:] = 0.0
        tiles.advance(forcing, ends)
        assert np.all(tiles.worst.max(axis=1) < [1e-9, 1e-4, 1e-11, 1e-11])


def test_land_that_appears_and_goes_again_returns_its_soil():
    tiles, layout, mixtures = world(2)
    share = layout.kinds()[:, CROP]
    soil = np.bincount(layout.cell, layout.area * tiles.get("nitrate").sum(axis=1))
    land.apply_transitions(tiles, layout, one(CROP, URBAN, 1.0, layout), None, mixtures, YEAR)
    assert layout.kinds()[:, CROP].max() == 0.0
    back = np.zeros((2, 6, 6))
    back[:, URBAN, CROP] = share
    land.apply_transitions(tiles, layout, back, None, mixtures, YEAR)
    assert np.allclose(layout.kinds()[:, CROP], share, rtol=1e-13)
    assert np.allclose(np.bincount(layout.cell, layout.area * tiles.get("nitrate").sum(axis=1)), soil, rtol=1e-13)


# --- limits ----------------------------------------------------------------------------------------------------------


def test_more_than_there_is_cannot_go():
    tiles, layout, mixtures = world()
    wanted = one(PASTURE, CROP, 0.8, layout) + one(PASTURE, URBAN, 0.8, layout)
    wanted += one(PASTURE, PASTURE, 0.9, layout)  # what stays is no transition
    result = land.apply_transitions(tiles, layout, wanted, None, mixtures, YEAR)
    assert layout.kinds()[:, PASTURE].max() == 0.0
    assert np.allclose(result.unmet[:, PASTURE, CROP], 0.375 * wanted[:, PASTURE, CROP], rtol=1e-12)


def test_an_area_too_small_for_a_tile_waits_until_there_is_more():
    tiles, layout, mixtures = world(2)
    land.apply_transitions(tiles, layout, one(CROP, PASTURE, 1.0, layout), None, mixtures, YEAR)
    little = np.zeros((2, 6, 6))
    little[:, PRIMARY, CROP] = 4e-5
    areas = []
    for _ in range(3):
        result = land.apply_transitions(tiles, layout, little, None, mixtures, YEAR)
        areas.append(layout.kinds()[:, CROP].max())
    assert areas[:2] == [0.0, 0.0] and areas[2] == pytest.approx(1.2e-4, rel=1e-12)
    assert result.deferred.max() == layout.deficit.max() == 0.0


def test_cells_have_tiles_only_for_what_they_ever_use():
    mixtures = compositions(2)
    used = np.zeros((2, 6))
    used[1, [SECONDARY, CROP]] = 1.0
    layout = land.slots(class_list(), mixtures, used, [[1, 0, 0, 0, 0, 0]] * 2)
    assert np.bincount(layout.cell).tolist() == [4, 4 + 7 * 4 + 2]
    assert np.allclose(layout.kinds(), [[1, 0, 0, 0, 0, 0]] * 2)
    tiles = Tiles(layout.pft, 1800.0, cell=layout.cell)
    initialise(tiles, 285.0)
    wanted = np.zeros((2, 6, 6))
    wanted[0, PRIMARY, CROP] = 0.1
    with pytest.raises(ConcertoError, match="no tiles of crop"):
        land.apply_transitions(tiles, layout, wanted, None, mixtures)


def test_a_history_tells_which_kinds_a_cell_uses():
    none = np.zeros((1, 6, 6))
    cut = np.array([[0.01, 0, 0, 0, 0]])
    crop = none.copy()
    crop[0, PRIMARY, CROP] = 0.1
    area = np.array([[1.0, 0, 0, 0, 0, 0]])
    years = {
        1900: SimpleNamespace(area=area, transitions=none, harvest_area=cut, harvest_mass=0.0 * cut),
        1901: SimpleNamespace(area=area, transitions=crop, harvest_area=0.0 * cut, harvest_mass=0.0 * cut),
    }
    history = SimpleNamespace(first_year=1900, last_year=1901, year=years.__getitem__)
    assert land.kinds_used(history).tolist() == [[True, True, False, False, True, False]]


def test_a_year_of_a_history_is_carried_out():
    areas = np.array([[0.6, 0.1, 0.1, 0.0, 0.2, 0.0]])
    move, cut = np.zeros((1, 6, 6)), np.array([[0.0, 0.0, 0.0, 0.01, 0.0]])
    move[0, PRIMARY, CROP] = 0.05
    mixtures = compositions(1)
    layout = land.slots(class_list(), mixtures, areas > 0.0, areas, secondary_age=np.array([np.nan]))
    assert np.allclose(layout.secondary_age(), 15.0)  # its class is that of 10 to 20 yr
    tiles = Tiles(layout.pft, 1800.0, cell=layout.cell)
    initialise(tiles, 285.0)
    tiles.set("carbon_heartwood", 5.0 * tiles.parameter("woody"))
    year = LandUseYear(1900, areas, move, cut, 0.1 * cut, {"fuelwood": np.array([1.0])})
    for how, harvest in (("mass", 1e-3), ("area", 1e-2)):
        result = land.apply_year(tiles, layout, year, mixtures, land.Options(wood_harvest=how, ageing=False))
        cut_carbon = result.wood_to_products.sum() / 0.7
        assert (cut_carbon if how == "mass" else result.harvest_area[0]) == pytest.approx(harvest, rel=1e-9)
        assert not result.wood_to_products[:, 1:].any()  # all of it is fuelwood
    assert np.allclose(result.area, [[0.5, 0.1, 0.1, 0.0, 0.3, 0.0]])


@pytest.mark.parametrize(
    "wrong", [dict(clearing=10), dict(wood_harvest="some"), dict(fates="none"), dict(slash=2.0), dict(clearing=[[1]])]
)
def test_wrong_options_are_refused(wrong):
    with pytest.raises(ConcertoError):
        land.Options(**wrong)


def test_wrong_transitions_are_refused():
    tiles, layout, mixtures = world(2)
    with pytest.raises(ConcertoError, match="shape|cells"):
        land.apply_transitions(tiles, layout, np.zeros((3, 6, 6)), None, mixtures)
    with pytest.raises(ConcertoError, match="negative"):
        land.apply_transitions(tiles, layout, np.full((2, 6, 6), -1e-3), None, mixtures)


# --- age and wood ----------------------------------------------------------------------------------------------------


def test_secondary_land_ages_in_the_mean_field_and_keeps_its_stores():
    tiles, layout, mixtures = world()
    before, area = totals(tiles, layout), layout.areas()
    result = land.apply_transitions(tiles, layout, np.zeros((3, 6, 6)), None, mixtures)
    breadth = np.array([10.0, 10.0, 20.0, 20.0, 20.0, 20.0, np.inf])
    old = area[:, layout.secondary]
    flow = old / breadth
    wanted = old - flow + np.concatenate([np.zeros((3, 1)), flow[:, :-1]], axis=1)
    assert np.allclose(layout.areas()[:, layout.secondary], wanted, rtol=1e-13, atol=1e-17)
    assert_closed(before, tiles, layout, result)
    assert result.to_litter["carbon"].max() == 0.0 and result.moved.max() == 0.0


def spread_ages(layout):
    """The same area in each class of age."""
    total = layout.kinds()[:, SECONDARY]
    mixture = compositions(layout.n_cell)["secondary"]
    for k in layout.secondary:
        these = layout.land_class == k
        layout.area[these] = (total[:, None] / 7.0 * mixture)[layout.cell[these], layout.pft[these]]


def test_shifting_cultivation_takes_the_youngest_that_has_lain_fallow_long_enough():
    tiles, layout, mixtures = world()
    spread_ages(layout)
    area = layout.areas()[:, layout.secondary]
    wanted = np.zeros((3, 6, 6))
    wanted[:, SECONDARY, CROP] = wanted[:, CROP, SECONDARY] = np.minimum(
        1.5 * area[:, 0], 0.9 * layout.kinds()[:, CROP]
    )
    amount = wanted[:, CROP, SECONDARY]
    land.apply_transitions(tiles, layout, wanted, None, mixtures, YEAR)
    change = layout.areas()[:, layout.secondary] - area
    assert np.allclose(change[:, 0], amount, rtol=1e-12)  # 5 yr is too young for a fallow of 15: it only gains
    assert np.allclose(change[:, 1], -np.minimum(amount, area[:, 1]), rtol=1e-11)
    assert np.allclose(change[:, 2], -np.maximum(amount - area[:, 1], 0.0), rtol=1e-11, atol=1e-16)
    assert np.abs(change[:, 3:]).max() < 1e-15


def test_permanent_conversion_takes_all_ages_alike():
    tiles, layout, mixtures = world()
    spread_ages(layout)
    area = layout.areas()[:, layout.secondary]
    land.apply_transitions(tiles, layout, one(SECONDARY, CROP, 0.3, layout), None, mixtures, YEAR)
    assert np.allclose(layout.areas()[:, layout.secondary], 0.7 * area, rtol=1e-13)


def test_wood_harvest_takes_the_oldest_and_resets_its_age():
    tiles, layout, mixtures = world()
    spread_ages(layout)
    area = layout.areas()[:, layout.secondary]
    harvest = np.zeros((3, 5))
    harvest[:, 2] = 1e-3
    how = land.Options(ageing=False, wood_harvest="area")
    result = land.apply_transitions(tiles, layout, np.zeros((3, 6, 6)), harvest, mixtures, how)
    change = layout.areas()[:, layout.secondary] - area
    assert np.allclose(change[:, 0], 1e-3, rtol=1e-9) and np.allclose(change[:, 6], -1e-3, rtol=1e-9)
    assert np.allclose(result.harvest_area, 1e-3, rtol=1e-12) and np.abs(change[:, 1:6]).max() == 0.0


def test_harvest_by_mass_gives_the_wood_that_was_asked_for():
    tiles, layout, mixtures = world()
    before = totals(tiles, layout)
    harvest = np.zeros((3, 5))
    harvest[:, 0] = 0.01
    primary = layout.kinds()[:, PRIMARY]
    result = land.apply_transitions(
        tiles, layout, np.zeros((3, 6, 6)), harvest, mixtures, YEAR, fuelwood=np.array([0.0, 0.5, 1.0])
    )
    shares = np.array([[0.0, 0.5, 0.5], [0.5, 0.25, 0.25], [1.0, 0.0, 0.0]])
    assert np.allclose(result.to_products["carbon"], 0.7 * 0.01 * shares, rtol=1e-12, atol=1e-18)
    assert np.array_equal(result.wood_to_products, result.to_products["carbon"])
    assert result.to_atmosphere["carbon"].max() == 0.0 and result.wood_harvest_deficit.max() == 0.0
    assert np.allclose(primary - layout.kinds()[:, PRIMARY], result.harvest_area, rtol=1e-10)
    assert np.all(result.carbon_by_transition["products"][:, PRIMARY, SECONDARY] > 0.0)
    assert_closed(before, tiles, layout, result)


def test_the_harvested_area_of_primary_land_is_part_of_its_transition():
    harvest = np.zeros((3, 5))
    harvest[:, 0] = 0.002
    for how, wood in (("area", harvest), ("mass", 0.1 * harvest), ("off", harvest)):
        tiles, layout, mixtures = world()
        kinds, wanted = layout.kinds(), np.zeros((3, 6, 6))
        plants = {pft: totals_of(tiles, layout, pft) for pft in NATURAL}
        wanted[:, PRIMARY, SECONDARY] = 0.002
        options = land.Options(ageing=False, wood_harvest=how)
        result = land.apply_transitions(tiles, layout, wanted, wood, mixtures, options)
        assert np.allclose(kinds[:, PRIMARY] - layout.kinds()[:, PRIMARY], 0.002, rtol=1e-10)
        assert np.allclose(result.moved, 0.002, rtol=1e-10)
        assert np.all(result.harvest_area < {"area": 0.002 + 1e-9, "mass": 0.0018, "off": 1e-300}[how])
        alive = [np.allclose(totals_of(tiles, layout, pft), plants[pft], rtol=1e-13) for pft in NATURAL]
        assert alive == ([True] * 4 if how == "off" else [False, False, True, True])  # trees are cut, nothing else


def test_a_demand_that_no_forest_can_meet_is_reported_and_never_taken_from_soil():
    tiles, layout, mixtures = world()
    natural = of(layout, PRIMARY) | of(layout, SECONDARY)
    wood = 0.75 * (tiles.get("carbon_sapwood") + tiles.get("carbon_heartwood"))
    there = np.bincount(layout.cell, layout.area * wood * natural)
    before = totals(tiles, layout)
    result = land.apply_transitions(tiles, layout, np.zeros((3, 6, 6)), np.full((3, 5), 20.0), mixtures, YEAR)
    assert np.allclose(result.wood_harvest_deficit, 100.0 - 0.95 * there, rtol=1e-12)
    assert np.allclose(result.to_products["carbon"].sum(axis=1), 0.7 * 0.95 * there, rtol=1e-12)
    assert_closed(before, tiles, layout, result)


def test_demand_goes_on_from_old_to_young_secondary_forest_and_then_to_primary():
    tiles, layout, mixtures = world(1)
    spread_ages(layout)
    wood = 0.75 * (tiles.get("carbon_sapwood") + tiles.get("carbon_heartwood")) * layout.area
    tree = land.fates().tree[layout.pft]
    mature = np.isin(layout.land_class, layout.secondary[layout.mean_age() >= 40.0])
    young = of(layout, SECONDARY) & ~mature
    stock = [0.95 * wood[these & tree].sum() for these in (mature, young, of(layout, PRIMARY))]
    harvest = np.zeros((1, 5))
    harvest[0, 2] = stock[0] + stock[1] + 0.5 * stock[2]
    primary = np.sum(layout.area[of(layout, PRIMARY) & tree])
    land.apply_transitions(tiles, layout, np.zeros((1, 6, 6)), harvest, mixtures, YEAR)
    assert np.isclose(layout.area[of(layout, PRIMARY) & tree].sum(), primary * (1.0 - 0.475), rtol=1e-12)


def test_products_of_cleared_land_count_as_harvest_where_asked():
    tiles, layout, mixtures = world()
    harvest = np.full((3, 5), 1e-3)
    how = land.Options(ageing=False, clearing_supplies_harvest=True)
    move = one(PRIMARY, CROP, 0.5, layout)
    result = land.apply_transitions(tiles, layout, move, harvest, mixtures, how)
    assert np.allclose(result.wood_from_clearing, 5e-3, rtol=1e-12) and result.harvest_area.max() < 1e-15


def test_harvested_grassland_keeps_its_grass():
    tiles, layout, mixtures = world(1)
    for name in ("carbon_sapwood", "carbon_heartwood"):
        tiles.set(name, 0.0)
    grass = totals_of(tiles, layout, "grass_c3")
    harvest = np.zeros((1, 5))
    harvest[0, 1] = 0.01
    how = land.Options(ageing=False, wood_harvest="area")
    result = land.apply_transitions(tiles, layout, np.zeros((1, 6, 6)), harvest, mixtures, how)
    assert np.allclose(totals_of(tiles, layout, "grass_c3"), grass, rtol=1e-13)
    assert result.harvest_area[0] == pytest.approx(0.01, rel=1e-12)


def test_one_class_of_secondary_land_is_harvested_in_place():
    tiles, layout, mixtures = world(3, secondary="single")
    before, kinds = totals(tiles, layout), layout.kinds()
    harvest = np.zeros((3, 5))
    harvest[:, 2] = 1e-3
    result = land.apply_transitions(tiles, layout, np.zeros((3, 6, 6)), harvest, mixtures)
    assert np.allclose(layout.kinds(), kinds, rtol=1e-13)
    assert result.to_products["carbon"].sum() > 0.0
    assert_closed(before, tiles, layout, result)


def test_transitions_of_classes_are_taken_as_they_are():
    tiles, layout, mixtures = world()
    spread_ages(layout)
    area, before = layout.areas(), totals(tiles, layout)
    wanted = np.zeros((3, len(layout.classes), len(layout.classes)))
    oldest, crop = layout.secondary[-1], layout.first[CROP]
    wanted[:, oldest, crop] = 0.5 * area[:, oldest]
    wanted[:, oldest, layout.first[URBAN]] = area[:, oldest]  # in all more than there is
    result = land.apply_transitions(tiles, layout, wanted, None, mixtures, YEAR)
    assert layout.areas()[:, oldest].max() == 0.0
    assert np.allclose(layout.areas()[:, crop] - area[:, crop], area[:, oldest] / 3.0, rtol=1e-10)
    assert np.allclose(result.unmet[:, SECONDARY].sum(axis=1), 0.5 * area[:, oldest], rtol=1e-12)
    assert_closed(before, tiles, layout, result)


# --- classes of age that are joined ----------------------------------------------------------------------------------

JOIN = 0.003
AGES = np.array([0.0, 10.0, 20.0, 40.0, 60.0, 80.0, 100.0])


def joined_world(n_cell=3, **more):
    """Secondary land of all ages, whose mean ages are the middles of the classes."""
    tiles, layout, mixtures = world(n_cell, **more)
    spread_ages(layout)
    layout.follow_age()
    return tiles, layout, mixtures


def random_year(random, layout, speed=0.05):
    wanted = speed * random.random((layout.n_cell, 6, 6)) * (random.random((layout.n_cell, 6, 6)) < 0.3)
    wanted *= layout.kinds()[:, :, None]
    wanted[:, :, PRIMARY] = 0.0
    return wanted, 0.02 * random.random((layout.n_cell, 5))


def losses(layout):
    """What joining each class with the next older one that has area would misplace, by the formula; and the younger."""
    out = []
    for area, age in zip(layout.areas()[:, layout.secondary], layout.age, strict=True):
        k = np.flatnonzero(area)
        a, b, grown = area[k[:-1]], area[k[1:]], np.exp(-age[k] / 30.0)
        out += list(zip(a * b / (a + b) * np.abs(np.diff(grown)), k[:-1], strict=True))
    return out


@pytest.mark.parametrize("seed", range(4))
def test_years_with_joined_ages_conserve_everything_and_give_each_kind_its_area(seed):
    random = np.random.default_rng(seed)
    tiles, layout, mixtures = joined_world(options={"nitrogen": ("cn", "c_only")[seed % 2], "isotopes": "on"})
    apart, fixed, _ = world()
    spread_ages(fixed)
    before, results = totals(tiles, layout), []
    for _ in range(12):
        wanted, _ = random_year(random, layout)
        how = land.Options(merge_below=JOIN, wood_harvest="area")
        cut = np.array([0.0, 0.0, 0.002, 0.0, 0.0]) * np.ones((3, 1))
        results.append(land.apply_transitions(tiles, layout, wanted, cut, mixtures, how))
        assert max(np.abs(values).max() for values in results[-1].residual.values()) <= 1e-12  # as specified
        land.apply_transitions(apart, fixed, wanted, cut, mixtures, land.Options(wood_harvest="area"))
        there = layout.areas()[:, layout.secondary] > 0.0
        rows, k = np.nonzero(there)
        age = layout.age[rows, k]
        assert np.all(age >= AGES[k]) and np.all(age < np.append(AGES[1:], np.inf)[k])
        for loss, young in losses(layout):  # nothing is left to join
            assert loss >= JOIN * (0.1 if young == 0 else 1.0) * (1.0 - 1e-12)
    assert np.allclose(layout.kinds(), fixed.kinds(), rtol=1e-11)  # not a bit of area waits or is lost
    assert (layout.area > 0.0).sum() < (fixed.area > 0.0).sum()
    assert_closed(before, tiles, layout, *results)


def test_land_given_up_in_one_year_stays_one_class_and_knows_its_age():
    """In the mean field it spreads over all classes within years."""
    tiles, layout, mixtures = joined_world(1)
    old = layout.secondary
    layout.area[np.isin(layout.land_class, old[1:])] = 0.0
    layout.age[:] = 0.0
    how = land.Options(merge_below=JOIN)
    ages, places = [], []
    for _ in range(110):
        land.apply_transitions(tiles, layout, np.zeros((1, 6, 6)), None, mixtures, how)
        places.append(np.flatnonzero(layout.areas()[0, old]).tolist())
        ages.append(layout.secondary_age()[0])
    assert np.allclose(ages, np.arange(1, 111), rtol=1e-14)
    assert places == [[int(np.searchsorted(AGES, a, side="right")) - 1] for a in range(1, 111)]


def test_the_age_of_joined_classes_is_the_mean_of_their_area():
    tiles, layout, mixtures = joined_world()
    before, was = layout.areas()[:, layout.secondary], layout.age
    wanted = one(CROP, SECONDARY, 0.5, layout) + one(SECONDARY, CROP, 0.1, layout)
    come = wanted[:, CROP, SECONDARY]
    gone, _ = land._take(np.minimum(come, wanted[:, SECONDARY, CROP]), before, [1, 2, 3, 4, 5, 6, 0])
    rest = before - gone
    rest = rest - rest * ((wanted[:, SECONDARY, CROP] - gone.sum(axis=1)) / rest.sum(axis=1))[:, None]
    expected = (rest * (was + 1.0)).sum(axis=1) / (rest.sum(axis=1) + come)
    land.apply_transitions(tiles, layout, wanted, None, mixtures, land.Options(merge_below=0.1))
    assert np.allclose(layout.secondary_age(), expected, rtol=1e-12)
    assert (layout.areas()[:, layout.secondary] > 0.0).sum() < 3 * 7  # some were joined


def test_new_land_is_gathered_before_it_is_joined_with_older():
    """A little each year is not mixed into old forest at once: a class of its own, joined as a whole later or never."""
    tiles, layout, mixtures = joined_world(1)
    old = layout.secondary
    layout.area[np.isin(layout.land_class, old[:-1])] = 0.0
    wanted = np.zeros((1, 6, 6))
    wanted[0, PRIMARY, SECONDARY] = 0.0005
    young, most = [], 0
    for _ in range(60):
        land.apply_transitions(tiles, layout, wanted, None, mixtures, land.Options(merge_below=JOIN))
        area = layout.areas()[0, old]
        young.append(area[0])
        most = max(most, (area > 0.0).sum())
    assert young[8] == pytest.approx(9 * 0.0005, rel=1e-9) and max(young) >= 0.0095  # twenty years of it, mean age ten
    assert 2 <= most <= 5


def test_joined_ages_do_not_depend_on_the_order_of_tiles_or_on_other_cells():
    random = np.random.default_rng(9)
    n_tile, found = len(world(5)[1].cell), []
    how = land.Options(merge_below=JOIN)
    years = [random_year(random, joined_world(5)[1], 0.02) for _ in range(3)]
    for order in (np.arange(n_tile), random.permutation(n_tile)):
        tiles, layout, mixtures = joined_world(5, order=order)
        for wanted, wood in years:
            land.apply_transitions(tiles, layout, wanted, wood, mixtures, how)
        found.append((tiles._unblock(tiles.state), layout.area, layout.age))
    assert np.array_equal(found[0][0][order], found[1][0]) and np.array_equal(found[0][1][order], found[1][1])
    assert np.array_equal(found[0][2], found[1][2])
    for cell in range(5):
        tiles, whole, mixtures = joined_world(5)
        these = np.flatnonzero(whole.cell == cell)
        some = Tiles(whole.pft[these], 1800.0, options=dict(ALL), cell=np.zeros(len(these), dtype=int))
        some.state = some._blocks(tiles._unblock(tiles.state)[these])
        layout = land.Layout(whole.classes, some.cell, whole.land_class[these], whole.pft[these], whole.area[these])
        layout.follow_age()
        alone = {kind: values[[cell]] for kind, values in mixtures.items()}
        for wanted, wood in years:
            land.apply_transitions(some, layout, wanted[[cell]], wood[[cell]], alone, how)
        assert np.array_equal(some._unblock(some.state), found[0][0][these])
        assert np.array_equal(layout.area, found[0][1][these]) and np.array_equal(layout.age[0], found[0][2][cell])


def test_joined_classes_that_wait_keep_every_bit():
    tiles, layout, mixtures = joined_world()
    how = land.Options(merge_below=JOIN)
    land.apply_transitions(tiles, layout, np.zeros((3, 6, 6)), None, mixtures, how)
    state, area, age = tiles.state.copy(), layout.area.copy(), layout.age.copy()
    assert sum(len(part[0]) for part in land._cohorts(layout, how).parts) == 0
    assert np.array_equal(layout.age, age)
    still = land.Options(merge_below=JOIN, ageing=False)
    land.apply_transitions(tiles, layout, np.zeros((3, 6, 6)), np.zeros((3, 5)), mixtures, still)
    assert np.array_equal(tiles.state, state) and np.array_equal(layout.area, area)
    assert np.array_equal(layout.age, age)


def test_one_class_of_secondary_land_has_nothing_to_join():
    found = []
    for below in (0.0, JOIN):
        tiles, layout, mixtures = world(secondary="single")
        wanted = one(SECONDARY, CROP, 0.2, layout)
        land.apply_transitions(tiles, layout, wanted, None, mixtures, land.Options(merge_below=below))
        found.append(tiles.state)
    assert np.array_equal(*found) and layout.age is None


def test_types_that_never_cover_enough_of_a_cell_have_no_tiles_in_that_kind_of_land():
    from concerto.landuse.host import _large_enough

    mixtures = compositions(2)
    mixtures["rangeland"] = cover(2, **dict(zip(NATURAL, (0.5, 0.3, 0.15, 0.05), strict=True)))
    most = np.ones((2, 6))
    most[:, RANGELAND] = 0.1, 0.0
    found = _large_enough(mixtures, most, 0.02)
    kept = [found["rangeland"][0, NAMES.index(name)] for name in NATURAL]
    assert np.allclose(kept, [0.625, 0.375, 0.0, 0.0], rtol=1e-14)  # 0.05, 0.03, 0.015 and 0.005 of the cell
    assert found["rangeland"][1, NAMES.index(NATURAL[0])] == 1.0  # comes and goes: the largest stays
    assert np.array_equal(found["pasture"], mixtures["pasture"])
    assert np.allclose(sum(found.values()).sum(axis=1), 6.0)
