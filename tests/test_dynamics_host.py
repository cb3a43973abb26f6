"""Vegetation dynamics in the model: what moves with area is conserved, and types come and go with the climate."""

import numpy as np
import pytest
from synthetic import extreme_forcing

from concerto import Tiles
from concerto.domain.soil import soil_class
from concerto.errors import ConcertoError
from concerto.kernels import dynamics as kernels
from concerto.simulation import dynamics
from concerto.simulation.spinup import initialise
from concerto.tables import loader

NAMES = loader.pft_names()
TYPES = ("bare", "needle_evergreen_boreal", "broad_evergreen_tropical", "broad_deciduous_temperate", "grass_c3",
         "grass_c4", "crop_c3")  # fmt: skip
OPTIONS = {"nitrogen": "cn", "isotopes": "on"}
N_CELL = 2


def world(options=OPTIONS, order=None, days=5):
    """Two cells with seven types each after some days of rough weather, and areas."""
    random = np.random.default_rng(3)
    pft = np.tile([NAMES.index(name) for name in TYPES], N_CELL)
    cell = np.repeat(np.arange(N_CELL), len(TYPES))
    area = random.dirichlet(np.ones(len(TYPES)), N_CELL).ravel()
    area[2] += area[5]
    area[5] = 0.0  # a type without area
    pools = random.uniform(0.0, 2.0, (len(pft), loader.layers()["soil_carbon"]))
    leaf = random.uniform(0.05, 0.5, len(pft))
    order = np.arange(len(pft)) if order is None else order
    tiles = Tiles(pft[order], 1800.0, cell=cell[order], options=dict(options))
    texture = soil_class("medium")
    for name in ("theta_sat", "theta_res", "k_sat", "sand", "clay"):
        tiles.set_parameter(name, getattr(texture, name))
    for name in ("alpha", "n", "l"):
        tiles.set_parameter(f"vg_{name}", getattr(texture, name))
    forcing, ends = extreme_forcing(N_CELL, days, 1800, seed=11)
    initialise(tiles, 285.0)
    used = {"cencn": 63, "mimics": 7, "millennial": 5, "rothc": 5}.get(dict(options).get("soil_carbon", "cencn"), 7)
    for row in ("soil_carbon", "carbon13_soil", "carbon14_soil"):
        tiles.set(row, pools[order] * (np.arange(63) < used) * (0.05 if used == 5 else 1.0))
    tiles.set("carbon_seed", leaf[order])
    for row in ("nitrogen_plant", "carbon13_plant", "carbon14_plant"):
        tiles.set(row, leaf[order][:, None] * np.linspace(0.2, 1.0, 6))
    tiles.set("soil_nitrogen", pools[order] * 0.05)
    tiles.advance(forcing, ends)
    return tiles, area[order], (forcing, ends)


def totals(tiles, weights):
    """Stores of the cells, with the isotopes."""
    found = dynamics.stored(tiles)
    found["carbon13"] = tiles.get("carbon13_plant").sum(axis=1) + tiles.get("carbon13_soil").sum(axis=1)
    found["carbon14"] = tiles.get("carbon14_plant").sum(axis=1) + tiles.get("carbon14_soil").sum(axis=1)
    return {name: np.bincount(tiles.cell, weights * values) for name, values in found.items()}


def random_transition(area, seed=5):
    """Part of every area goes to some others (slots in the order of types, as the host has them)."""
    random = np.random.default_rng(seed)
    share = random.random((N_CELL, len(TYPES), len(TYPES))) * (random.random((N_CELL, len(TYPES), len(TYPES))) < 0.4)
    share *= 0.9 / np.maximum(share.sum(axis=2, keepdims=True), 1.0)
    share[:, np.arange(len(TYPES)), np.arange(len(TYPES))] = 0.0
    return share * area.reshape(N_CELL, -1, 1)


def test_every_store_of_an_element_moves_with_the_area_or_is_felled():
    placed = set(dynamics.AMOUNTS) | set(dynamics.PLANTS)
    for name, entry in loader.variables("state").items():
        if entry.role in ("carbon", "nitrogen") or name.startswith(("carbon13", "carbon14")):
            assert name in placed, name
    assert not set(dynamics.AMOUNTS) & set(dynamics.PLANTS)


def test_carbon_nitrogen_isotopes_water_and_heat_are_conserved_when_area_moves():
    tiles, area, _ = world()
    before = totals(tiles, area)
    change = dynamics.move(tiles, area, random_transition(area))
    after = totals(tiles, change.weights)
    assert change.moved.min() > 0.1 and change.felled.min() > 0.01  # something happened
    after["carbon"] -= change.seedling_carbon
    after["nitrogen"] -= change.seedling_nitrogen
    for name in ("carbon13", "carbon14"):
        after[name] -= change.seedling_carbon
    for name, values in before.items():
        # round-off of sums over 200 stores and 7 tiles; heat is a difference of large terms
        scale = np.abs(values) + (1e9 if name == "energy" else 0.0)
        assert np.abs(after[name] - values).max() < 1e-13 * scale.max() + 1e-14, name
    assert np.allclose(np.bincount(tiles.cell, change.weights), 1.0, rtol=1e-14)


def test_water_on_plants_that_are_felled_falls_to_the_ground():
    """On bare ground it would boil away as from a canopy; soil that is full takes it up and gives it off."""
    tiles, area, (forcing, ends) = world({"nitrogen": "cn"})
    full = np.broadcast_to(tiles.parameter("theta_sat")[:, None], tiles.get("soil_liquid").shape)
    tiles.set("soil_liquid", full * (1.0 - 1e-6))
    for name in ("soil_ice", "canopy_ice"):
        tiles.set(name, 0.0 * tiles.get(name))
    bare = tiles.pft == NAMES.index("bare")
    tiles.set("canopy_liquid", np.where(bare, 0.0, 1.5))
    before = totals(tiles, area)["water"]
    change = dynamics.move(tiles, area, random_transition(area))
    assert np.abs(totals(tiles, change.weights)["water"] / before - 1.0).max() < 1e-14  # round-off
    assert tiles.get("canopy_liquid")[bare].tolist() == [0.0, 0.0]
    tiles.worst[:] = 0.0
    tiles.advance(forcing, ends)
    assert tiles.worst[0].max() < 1e-11  # water, kg m-2 in a step: round-off of 3.5e3 kg m-2


@pytest.mark.parametrize("scheme", list(loader.options()["soil_carbon"].choices))
def test_what_is_felled_becomes_litter_of_every_soil_scheme(scheme):
    tiles, area, _ = world({"soil_carbon": scheme}, days=1)
    before = totals(tiles, area)["carbon"]
    change = dynamics.move(tiles, area, random_transition(area), seedlings=False)
    assert np.allclose(totals(tiles, change.weights)["carbon"], before, rtol=1e-14)  # round-off
    assert change.seedling_carbon.max() == 0.0


def test_litter_of_the_host_lies_where_the_model_puts_its_own():
    tiles, _, _ = world(days=1)
    input_ = dynamics.litter_input(tiles, 1.0 + np.zeros(tiles.n_tile), 0.0, 0.0, 0.0).reshape(-1, 7, 9)
    assert np.allclose(input_.sum(axis=(1, 2)), 1.0) and input_[:, 3:].max() == 0.0
    profile = input_[:, 0] / input_[:, 0].sum(axis=1, keepdims=True)
    edges = np.concatenate([[0.0], np.cumsum(loader.soil_thickness())[:9]])
    assert np.allclose(profile, -np.diff(np.exp(-edges / 0.1)), atol=1e-12)  # e-folding depth of 0.1 m


def test_nothing_changes_where_no_area_moves():
    tiles, area, _ = world()
    state = tiles.state.copy()
    change = dynamics.move(tiles, area, np.zeros((N_CELL, len(TYPES), len(TYPES))))
    assert np.array_equal(tiles.state, state) and np.array_equal(change.weights, area)
    assert change.seedling_carbon.max() == 0.0 and change.felled.max() == 0.0


def test_a_tile_that_gains_nothing_keeps_every_bit():
    tiles, area, _ = world()
    before = tiles._unblock(tiles.state)
    transition = np.zeros((N_CELL, len(TYPES), len(TYPES)))
    transition[:, 3, 4] = 0.5 * area.reshape(N_CELL, -1)[:, 3]
    change = dynamics.move(tiles, area, transition)
    same = (tiles._unblock(tiles.state) == before).all(axis=1)
    assert np.array_equal(same, np.tile(np.arange(len(TYPES)) != 4, N_CELL))
    assert np.array_equal(change.weights[same & (tiles.pft != tiles.pft[3])], area[same & (tiles.pft != tiles.pft[3])])


def test_the_order_of_tiles_does_not_matter():
    order = np.random.default_rng(7).permutation(N_CELL * len(TYPES))
    found = []
    for these in (np.arange(len(order)), order):
        tiles, area, _ = world(order=these)
        change = dynamics.dynamics_year_of(tiles, area, 285.0, 3000.0)
        found.append((tiles._unblock(tiles.state), change.weights))
        assert change.moved.min() > 0.0
    assert np.array_equal(found[0][0][order], found[1][0]) and np.array_equal(found[0][1][order], found[1][1])


def test_a_climate_that_turns_cold_kills_tropical_trees_and_grass_takes_their_place():
    tiles, area, _ = world()
    change = dynamics.dynamics_year_of(tiles, area, 275.0, 2500.0)
    tropical, grass, crop = (tiles.pft == NAMES.index(name) for name in (TYPES[2], "grass_c3", "crop_c3"))
    assert change.weights[tropical].max() == 0.0
    assert np.all(change.weights[grass] > area[grass]) and np.array_equal(change.weights[crop], area[crop])


def test_trees_that_come_start_from_counted_seedlings():
    tiles, area, _ = world()
    oak, grass = (np.flatnonzero(tiles.pft == NAMES.index(name)) for name in ("broad_deciduous_temperate", "grass_c3"))
    area[grass] += area[oak]
    area[oak] = 0.0
    before = totals(tiles, area)["carbon"]
    change = dynamics.dynamics_year_of(tiles, area, 275.0, 2500.0)
    assert np.all((change.weights[oak] > 0.0) & (change.weights[oak] < 0.15))
    full = (tiles.parameter("maximum_leaf_area") / tiles.parameter("specific_leaf_area"))[oak]
    assert np.allclose(tiles.get("carbon_labile")[oak], dynamics.SEEDLING * full)
    assert tiles.get("carbon_sapwood")[oak].max() == 0.0 and tiles.get("leaf_area")[oak].max() == 0.0
    after = totals(tiles, change.weights)["carbon"]
    assert np.all(change.seedling_carbon > 0.0) and np.allclose(after - change.seedling_carbon, before, rtol=1e-13)


def test_the_model_runs_on_after_area_has_moved_and_its_budgets_close():
    tiles, area, (forcing, ends) = world()
    weights = area
    for seed in (5, 6):
        weights = dynamics.move(tiles, weights, random_transition(weights, seed)).weights
    tiles.worst[:] = 0.0
    tiles.advance(forcing, ends)
    # water: round-off of columns of 3e3 kg m-2; energy: that of 1e9 J m-2 in 1800 s; carbon and nitrogen: of 200 kg m-2
    assert np.all(tiles.worst.max(axis=1) < [1e-9, 1e-4, 1e-11, 1e-11])


def test_the_bioclimate_of_the_host_follows_its_forcing():
    tiles, area, _ = world(days=1)
    host = dynamics.Dynamics(tiles, area)
    day = np.arange(1, 366)
    air = 285.0 - 12.0 * np.cos(2 * np.pi * (day - 15.0) / 365.0) + np.array([[0.0], [5.0]])
    for _ in range(3):
        host.climate(day, air)
    assert np.allclose(host.coldest, [273.4, 278.4], atol=0.3) and np.diff(host.warmth)[0] > 800.0
    change = host.year()
    assert np.array_equal(host.weights, change.weights)


def test_tiles_of_one_cell_need_the_same_soil():
    tiles, area, _ = world(days=1)
    tiles.set_parameter("theta_sat", np.linspace(0.4, 0.5, tiles.n_tile))
    with pytest.raises(ConcertoError, match="pore space"):
        dynamics.dynamics_year_of(tiles, area, 285.0, 3000.0)


def test_grass_needs_no_reseeding_where_its_stores_are_full():
    tiles, area, _ = world()
    tiles.set("carbon_labile", 5.0)
    area = np.full(tiles.n_tile, 1.0 / len(TYPES))
    change = dynamics.dynamics_year_of(tiles, area, 285.0, 3000.0)
    grown = change.weights > area
    without = kernels.WOODY == dynamics.kinds(tiles)
    assert np.any(grown & ~without) and change.moved.min() > 0.0
    assert change.seedling_carbon.max() == 0.0


def test_a_site_run_refuses_to_change_areas(tmp_path):
    from synthetic import site_file

    import concerto

    path = tmp_path / "tower.nc"
    site_file(path, days=4)
    run = concerto.open_site(path, pft="grass_c3", options={"vegetation_dynamics": "lpj"})
    with pytest.raises(ConcertoError, match="lpj"):
        run.run()
