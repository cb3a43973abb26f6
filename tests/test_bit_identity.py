"""The numbers of a tile do not depend on its neighbours: not on block size, threads, order, or where a run is cut."""

from functools import cache

import numpy as np
import pytest
from synthetic import climate_tiles, start

from concerto.forcing.weather import climate_normals
from concerto.tables import loader

# Starts of ten days: snow melt, deep winter, mid-summer (some climates lie in the other half of the year).
SEASONS = ("2004-04-10", "2004-01-20", "2004-07-15")
SCHEMES = {
    "default": {},
    "bucket": {"soil_water": "bucket"},
    "pmodel": {"vcmax": "pmodel", "stomata": "pmodel"},
    "xylem": {"stomata": "sox", "plant_hydraulics": "on", "drought_memory": "plc_damage", "water_stress": "content"},
    "leaf water": {"plant_hydraulics": "on", "drought_memory": "plc_damage"},
    "the others": {
        "stomata": "leuning", "temperature_response": "kk07", "kinetics": "molefrac", "leaf_respiration": "ryan",
        "ci_solver": "chandrupatla", "canopy_light": "dpf97", "phenology": "prescribed", "soil_carbon": "rothc",
    },
}  # fmt: skip
SELECT = ("nee", "latent_heat", "gpp", "rh", "soil_water", "snow_mass", "residual_energy")


def case(scheme, season, order=None, **settings):
    """Tiles of all types in all climates, snow on every third one, frost in every fifth: (tiles, forcing, ends)."""
    tiles, forcing, ends = climate_tiles(list(climate_normals()), start_day=season, options=SCHEMES[scheme], **settings)
    start(tiles, forcing)
    deep = np.arange(tiles.n_tile) % 3 == 0
    layers = np.zeros((tiles.n_tile, 3))
    layers[deep] = (9.0, 35.0, 60.0)
    tiles.set("snow_ice", layers)
    tiles.set("snow_thickness", layers / 220.0)
    tiles.set("snow_temperature", np.where(layers > 0.0, 268.0, 273.15))
    frozen = (np.arange(tiles.n_tile) % 5 == 0)[:, None]
    content = tiles.get("soil_liquid") + tiles.get("soil_ice")
    tiles.set("soil_temperature", np.where(frozen, 270.0, tiles.get("soil_temperature")))
    tiles.set("soil_ice", np.where(frozen, 0.6 * content, tiles.get("soil_ice")))
    tiles.set("soil_liquid", content - tiles.get("soil_ice"))
    tiles.set("soil_carbon", 0.1)
    if order is not None:
        tiles = reorder(tiles, order)
    return tiles, forcing, ends


def reorder(tiles, order):
    """The same tiles in another order."""
    from concerto import Tiles

    other = Tiles(
        tiles.pft[order],
        tiles.time_step,
        cell=tiles.cell[order],
        options=tiles.options,
        nproma=tiles.nproma,
        threads=tiles.threads,
    )
    for name in loader.parameters():
        other.set_parameter(name, tiles.parameter(name)[order])
    for name in loader.variables("state"):
        other.set(name, tiles.get(name)[order])
    return other


def outcome(tiles, forcing, ends):
    """All states at the end and some fluxes of every step: {name: (tile, ...)}."""
    results = tiles.advance(forcing, ends, SELECT)
    values = {name: results[name].T for name in SELECT}
    return values | {f"state {name}": tiles.get(name) for name in loader.variables("state")}


@cache
def reference_run(scheme, season):
    return outcome(*case(scheme, season))


def assert_same_bits(values, expected, order=slice(None)):
    for name, value in values.items():
        wrong = np.flatnonzero((value != expected[name][order]).reshape(len(value), -1).any(axis=1))
        assert wrong.size == 0, f"{name} differs in {wrong.size} tiles, first {wrong[0]}"


def first_is_fast(values):
    """All but the first one take long in the build with run-time checks."""
    return [v if k == 0 else pytest.param(v, marks=pytest.mark.slow) for k, v in enumerate(values)]


every_case = pytest.mark.parametrize("season", first_is_fast(SEASONS))
every_scheme = pytest.mark.parametrize("scheme", first_is_fast(SCHEMES))


@every_scheme
@every_case
def test_the_cases_are_worth_comparing(scheme, season):
    values = reference_run(scheme, season)
    assert all(np.isfinite(v).all() for v in values.values())
    assert (values["snow_mass"].max(axis=1) > 5.0).sum() >= 40  # snow
    assert (values["state soil_ice"].max(axis=1) > 0.05).sum() >= 5  # frost
    assert (values["gpp"].max(axis=1) > 1e-8).sum() >= 50  # growth
    assert np.unique(values["latent_heat"][:, -1]).size > 140  # no two tiles alike


@every_scheme
@every_case
@pytest.mark.parametrize("nproma", [16, 128, 240])
def test_block_size_changes_no_bit(scheme, season, nproma):
    assert_same_bits(outcome(*case(scheme, season, nproma=nproma)), reference_run(scheme, season))


@every_scheme
@every_case
def test_threads_change_no_bit(scheme, season):
    assert_same_bits(outcome(*case(scheme, season, threads=2, nproma=16)), reference_run(scheme, season))


@every_scheme
@every_case
def test_order_of_tiles_changes_no_bit(scheme, season):
    expected = reference_run(scheme, season)
    order = np.random.default_rng(3).permutation(len(expected["nee"]))
    assert_same_bits(outcome(*case(scheme, season, order)), expected, order)


@every_scheme
@every_case
def test_neighbours_change_no_bit(scheme, season):
    """A tile alone in its block, the rest padding with copies of it."""
    expected = reference_run(scheme, season)
    for tile in (0, 77, 149):
        assert_same_bits(outcome(*case(scheme, season, np.array([tile]))), expected, np.array([tile]))


@every_scheme
@every_case
def test_a_run_that_is_cut_and_continued_from_its_saved_state_changes_no_bit(scheme, season, tmp_path):
    tiles, forcing, ends = case(scheme, season)
    cut = 48 * 4 + 17  # in the middle of a day
    parts = [tiles.advance(forcing[:, :, :cut], ends[:cut], SELECT)]
    np.save(tmp_path / "state.npy", tiles.state)
    tiles, forcing, ends = case(scheme, season)
    tiles.state[...] = np.load(tmp_path / "state.npy")
    parts.append(tiles.advance(forcing[:, :, cut:], ends[cut:], SELECT))
    values = {name: np.concatenate([p[name] for p in parts]).T for name in SELECT}
    values |= {f"state {name}": tiles.get(name) for name in loader.variables("state")}
    assert_same_bits(values, reference_run(scheme, season))


@pytest.mark.slow
def test_more_tiles_than_a_large_block_hold_give_the_same_bits_as_small_blocks():
    """1,100 tiles: blocks of 240, the largest, against 16 and 64."""
    results = []
    for nproma in (1024, 64, 16):
        tiles, forcing, ends = climate_tiles(list(climate_normals()), n_tile=1100, days=2, nproma=nproma)
        start(tiles, forcing)
        assert tiles.nproma == min(nproma, 240)  # the largest block
        results.append(outcome(tiles, forcing, ends))
    assert_same_bits(results[1], results[0])
    assert_same_bits(results[2], results[0])
