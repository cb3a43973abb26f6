"""The slow half of the model alone does what it does behind the fast steps, in any block and with any neighbours."""

from functools import cache

import numpy as np
import pytest
from test_bit_identity import assert_same_bits, reorder

from concerto import Tiles
from concerto.forcing.weather import climate_normals, generate
from concerto.simulation.forcing import end_of_day, forcing_array
from concerto.simulation.spinup import (
    PLANT_POOLS,
    initialise,
    recorded,
    residual_of_a_cycle,
    slow_equilibrium,
    start_nitrogen,
    start_soil,
)
from concerto.tables import loader

STEP = 21600
DAY = 86400 // STEP
CLIMATES = ("temperate_deciduous", "tropical_rain_forest", "savanna", "tundra")
SCHEMES = {
    "carbon only": {},
    "nitrogen": {"nitrogen": "cn"},
    "rothc": {"soil_carbon": "rothc"},
    "yasso15": {"soil_carbon": "yasso15"},
    "mimics": {"soil_carbon": "mimics"},
    "millennial": {"soil_carbon": "millennial"},
    "crops and isotopes": {"nitrogen": "cn", "crops": "calendar", "isotopes": "on", "mortality_causes": "full"},
    "xylem": {"plant_hydraulics": "on", "drought_memory": "plc_damage", "allocation": "pipe_model"},
}


@cache
def weather_year(climates=CLIMATES):
    """A year of six-hourly weather, one cell for each climate: (forcing, ends of days)."""
    normals, rows, clock = climate_normals(), [], None
    for number, name in enumerate(climates):
        weather = generate(normals[name], "2003-01-01", years=1, seed=5 + number, step_seconds=STEP)
        clock = weather["time"]
        place = {key: normals[name][key] for key in ("latitude", "longitude")}
        rows.append(
            weather | place | {"co2": np.full(len(clock), 380.0), "prescribed_leaf_area": np.full(len(clock), 2.0)}
        )
    return forcing_array(rows, clock, STEP), end_of_day(clock, STEP)


def young_tiles(forcing, options=None, types=None, **settings):
    """New tiles with a little carbon in the soil: every plant type (or those given) in every cell of the forcing."""
    types = np.arange(len(loader.pft_names())) if types is None else np.asarray(types)
    cells = np.repeat(np.arange(len(forcing)), len(types))
    tiles = Tiles(np.tile(types, len(forcing)), float(STEP), cell=cells, options=options or {}, **settings)
    tiles.set_parameter("reference_height", np.maximum(30.0, tiles.parameter("canopy_height") + 10.0))
    air = forcing[:, loader.variables("forcing")["air_temperature"].column - 1, :]
    initialise(tiles, air.mean(axis=1)[tiles.cell])
    for name in ("temperature_10d", "temperature_30d"):
        tiles.set(name, air[:, :40].mean(axis=1)[tiles.cell])
    start_soil(tiles)
    if tiles.option("nitrogen") == "cn":
        start_nitrogen(tiles)
    if tiles.option("isotopes") == "on":
        set_isotopes(tiles, 0.97, 1.0)
    return tiles


def set_isotopes(tiles, abundance13, abundance14):
    """The same abundance in all pools."""
    plants = np.stack([tiles.get(f"carbon_{name}") for name in PLANT_POOLS], axis=1)
    for name, carbon in (("plant", plants), ("soil", tiles.get("soil_carbon"))):
        tiles.set(f"carbon13_{name}", abundance13 * carbon)
        tiles.set(f"carbon14_{name}", abundance14 * carbon)


def slow_states():
    """State variables that the slow step makes: stores, memories of days and longer, rates of the day."""
    fast = ("canopy_", "ground_", "snow_", "soil_temperature", "soil_liquid", "soil_ice", "day_", "noon_", "least_")
    return [name for name in loader.variables("state") if not name.startswith(fast + ("pmodel_", "buffer_owed"))]


def other_blocks(drivers, tiles, other, order=None):
    """Drivers of ``tiles`` in the blocks of ``other``, whose tiles are those of ``tiles`` in the given order."""
    per_tile = drivers.transpose(2, 0, 1, 3).reshape(-1, drivers.shape[1], drivers.shape[3])[: tiles.n_tile]
    if order is not None:
        per_tile = per_tile[order]
    shape = (other.n_block, other.nproma, *per_tile.shape[1:])
    return np.asfortranarray(per_tile[other._tile].reshape(shape).transpose(1, 2, 0, 3))


@cache
def summer(scheme):
    """State after half a year, drivers of the year that follows, and the tiles and fluxes at its end."""
    forcing, ends = weather_year()
    tiles = young_tiles(forcing, SCHEMES[scheme])
    half = 182 * DAY
    tiles.advance(np.asfortranarray(forcing[:, :, :half]), ends[:half])
    state, drivers = tiles.state.copy(), tiles.empty_drivers(int(ends.sum()))
    fluxes = tiles.advance(forcing, ends, ("gpp", "ra", "rh", "npp"), len(ends), drivers=drivers)
    return state, drivers, tiles, fluxes


def half_grown(scheme, **settings):
    """New tiles in the state after half a year."""
    state, _, reference, _ = summer(scheme)
    tiles = young_tiles(weather_year()[0], SCHEMES[scheme], **settings)
    values = reference._unblock(state)
    tiles.state[...] = tiles._blocks(values)
    return tiles


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_slow_half_alone_does_what_it_does_behind_the_fast_steps(scheme):
    _, drivers, online, fluxes = summer(scheme)
    tiles = half_grown(scheme)
    alone = tiles.advance_slow(drivers, 1, tuple(fluxes), drivers.shape[3])
    # sums over four steps of a day in another order, kept by a year of days: some ulp; seen 3e-15
    for name, values in fluxes.items():
        np.testing.assert_allclose(alone[name], values, rtol=0, atol=1e-13 * np.abs(values).max(), err_msg=name)
    for name in slow_states():
        expected = online.get(name)
        size = np.maximum(np.abs(expected), 1e-6 * np.abs(expected).max() + 1e-30)
        # small differences of fluxes; a buffer that is emptied step by step keeps what rounding leaves
        if name in ("carbon_npp_day", "carbon_rh_buffer", "buffer_release", "carbon_export_buffer", "export_release",
                    "harvest_buffer", "harvest_release"):  # fmt: skip
            size = np.maximum(size, 1e-3)
        wrong = np.abs(tiles.get(name) - expected) / size
        assert wrong.max() < 1e-9, f"{name}: {wrong.max():.1e}"
        assert np.abs(tiles.get(name) - expected).max() <= 1e-12 * max(np.abs(expected).max(), 1e-3), name


def test_the_year_is_worth_comparing():
    """Plants grow, starve and die in it, leaves fall to nothing, and nitrogen limits some."""
    _, drivers, tiles, fluxes = summer("nitrogen")
    columns = loader.variables("driver")
    per_tile = drivers.transpose(2, 0, 1, 3).reshape(-1, *drivers.shape[1::2])[: tiles.n_tile]
    leaf = per_tile[:, columns["leaf_area"].column - 1]
    paid = per_tile[:, columns["maintenance_paid"].column - 1]
    assert ((leaf > 0) & (leaf < 2e-3)).any() and leaf.max() > 3.0
    assert (np.abs(paid - 1.0) > 0.01).any(axis=1).sum() >= 3  # plants short of carbon pay less by day than by night
    assert paid.max() < 1.0 + 1e-9  # what a varying demand pays is never more than what its mean would
    assert tiles.get("leaf_nitrogen_factor").min() < 0.7
    assert (fluxes["npp"][0] > 1e-8).sum() > 20 and (fluxes["npp"][0] < 1e-9).sum() >= 4


def slow_outcome(tiles, drivers):
    names = ("gpp", "rh", "npp", "nbp", "vegetation_carbon")
    results = {name: values.T for name, values in tiles.advance_slow(drivers, 2, names, 5).items()}
    return results | {f"state {name}": tiles.get(name) for name in loader.variables("state")}


@cache
def slow_reference(scheme):
    return slow_outcome(half_grown(scheme), summer(scheme)[1])


SOME = ("crops and isotopes", "xylem", "mimics")


@pytest.mark.parametrize("scheme", SOME)
@pytest.mark.parametrize("settings", [{"nproma": 16}, {"nproma": 112}, {"nproma": 16, "threads": 2}], ids=str)
def test_blocks_and_threads_change_no_bit_of_the_slow_half(scheme, settings):
    tiles = half_grown(scheme, **settings)
    drivers = other_blocks(summer(scheme)[1], summer(scheme)[2], tiles)
    assert_same_bits(slow_outcome(tiles, drivers), slow_reference(scheme))


@pytest.mark.parametrize("scheme", SOME)
def test_order_and_neighbours_change_no_bit_of_the_slow_half(scheme):
    _, drivers, online, _ = summer(scheme)
    order = np.random.default_rng(2).permutation(online.n_tile)
    for chosen in (order, order[:1]):
        tiles = reorder(half_grown(scheme), chosen)
        assert_same_bits(
            slow_outcome(tiles, other_blocks(drivers, online, tiles, chosen)), slow_reference(scheme), chosen
        )


@pytest.mark.parametrize("scheme", SOME)
def test_a_slow_run_that_is_cut_changes_no_bit(scheme):
    drivers = summer(scheme)[1]
    days = drivers.shape[3]
    tiles = half_grown(scheme)
    for cycle in range(2):
        for part in (slice(0, 100 + cycle), slice(100 + cycle, days)):
            tiles.advance_slow(np.asfortranarray(drivers[..., part]))
    expected = slow_reference(scheme)
    assert_same_bits(
        {f"state {name}": tiles.get(name) for name in loader.variables("state")},
        {name: value for name, value in expected.items() if name.startswith("state")},
    )


def test_drivers_are_not_changed_by_a_slow_run():
    _, drivers, _, _ = summer("nitrogen")
    before = drivers.copy()
    half_grown("nitrogen").advance_slow(drivers, 1, solve=True)
    assert np.array_equal(before, drivers)


# ---- equilibrium


def few_tiles(options, types, climate="tropical_rain_forest"):
    """Tiles of one climate with a year of drivers of grown plants; nitrogen joins plants and soil in equilibrium."""
    forcing, ends = weather_year((climate,))
    tiles = young_tiles(forcing, options | {"nitrogen": "c_only"}, types=types)
    tiles.advance(forcing, ends)
    drivers = recorded(tiles, forcing, ends)
    if options.get("nitrogen") == "cn":
        slow_equilibrium(tiles, drivers, tolerance=1e-4)
        tiles.set_option("nitrogen", "cn")
        start_nitrogen(tiles)
        drivers = recorded(tiles, forcing, ends)
    return tiles, drivers


def carbon_pools(tiles):
    plants = np.stack([tiles.get(f"carbon_{name}") for name in PLANT_POOLS], axis=1)
    return np.concatenate([plants, tiles.get("soil_carbon")], axis=1)


@pytest.mark.parametrize(
    "options", [{}, {"soil_carbon": "rothc"}, {"nitrogen": "cn"}, {"soil_carbon": "mimics"}], ids=str
)
def test_the_equilibrium_returns_to_itself(options):
    """What is reported is what one more cycle changes, and ten more cycles change not much more."""
    tiles, drivers = few_tiles(options, [4, 13])
    report = slow_equilibrium(tiles, drivers, tolerance=1e-6)
    done = report["converged"]
    assert done.any() and (done.all() or "soil_carbon" in options)
    assert np.array_equal(done, report["residual"] < 1e-6)
    assert all(report["reason"][~done])  # microbes may swing for ever: then it says so
    before = carbon_pools(tiles)
    again = residual_of_a_cycle(tiles, drivers)
    assert np.all(again["residual"][done] < 1e-5)
    assert np.all(again["residual"][~done] > 1e-6)
    tiles.advance_slow(drivers, 9)
    change = np.abs(carbon_pools(tiles) - before).max(axis=1) / before.sum(axis=1)
    # ten cycles of the same drift, and a fifth more: the drift of one cycle is not quite that of the next
    assert np.all(change < 12 * np.maximum(report["residual"], again["residual"]) + 1e-9)
    # in equilibrium what plants make is respired by the soil (what is leached and harvested apart)
    assert np.all(np.abs(again["nbp"])[done] < 2e-3 * again["npp"][done])


def test_the_equilibrium_is_what_centuries_of_cycles_approach():
    """Herbs in the rain forest, RothC: the slowest pool that matters turns over in decades."""
    tiles, drivers = few_tiles({"soil_carbon": "rothc"}, [13])
    start = tiles.state.copy()
    slow_equilibrium(tiles, drivers, tolerance=1e-7)
    solved = carbon_pools(tiles)[0]
    tiles.state[...] = start
    distance = []
    for _ in range(3):
        tiles.advance_slow(drivers, 100)
        distance.append(np.abs(carbon_pools(tiles)[0] - solved).max() / solved.sum())
    # each century takes the rest of humus (0.02 yr-1 times the scalar) away
    assert distance[0] < 0.3 and distance[1] < 0.5 * distance[0] and distance[2] < 0.5 * distance[1] + 1e-7
    assert distance[2] < 1e-3, distance


@pytest.mark.slow
@pytest.mark.parametrize("options", [{}, {"nitrogen": "cn"}, {"soil_carbon": "mimics"}], ids=str)
def test_the_equilibrium_is_what_two_thousand_years_lead_to(options):
    tiles, drivers = few_tiles(options, [4, 13])
    start = tiles.state.copy()
    done = slow_equilibrium(tiles, drivers, tolerance=1e-6)["converged"]
    assert done.any() and (done.all() or "soil_carbon" in options)  # microbes may swing for ever
    solved = carbon_pools(tiles)
    if "nitrogen" in options:
        # a stand gathers its nitrogen from deposition and fixation alone, 1 g a year against a kilogram: 2000 years
        # from bare ground are not enough, so time is asked from the other side. A stand at the edge of nitrogen
        # limitation still moves by 4.6 % in 500 years although a cycle changes less than 1e-6: the known weak point
        tiles.advance_slow(drivers, 500)
        drift = np.abs(carbon_pools(tiles) - solved).max(axis=1) / solved.sum(axis=1)
        assert np.all(drift < 6e-2) and np.median(drift) < 3e-2, drift
        return
    tiles.state[...] = start
    tiles.advance_slow(drivers, 2000)
    distance = (np.abs(carbon_pools(tiles) - solved).max(axis=1) / solved.sum(axis=1))[done]
    # passive carbon of deep layers is still filling: 1/k of some centuries there
    assert np.all(distance < 1e-2), distance
