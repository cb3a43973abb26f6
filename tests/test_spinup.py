"""Spin-up of the coupled ecosystem: it ends in a state that returns to itself, says so truthfully, tile by tile."""

import numpy as np
import pytest
from synthetic import climate_tiles

from concerto.kernels.isotopes import carbon13_of_assimilate, carbon14_of_assimilate
from concerto.simulation import spinup
from concerto.simulation.spinup import change_of_pools, isotope_equilibrium, slow_equilibrium, some_tiles
from concerto.tables import loader

CLIMATES = ("temperate_deciduous", "boreal_evergreen", "prairie")
SCHEMES = ("cencn", "rothc", "century", "yasso07", "yasso15", "yasso20", "mimics", "millennial")


@pytest.fixture(scope="module")
def year():
    """State and drivers of ten tiles after a year of the whole model from bare ground."""
    tiles, forcing, ends = climate_tiles(CLIMATES, n_tile=10, days=365, nproma=16)
    column = loader.variables("forcing")["air_temperature"].column - 1
    spinup.initialise(tiles, forcing[:, column, :].mean(axis=1)[tiles.cell])
    spinup.start_soil(tiles)
    spinup._first_days(tiles, forcing)
    drivers = spinup.recorded(tiles, forcing, ends)
    return tiles, drivers


def fresh(year, members=None, **options):
    """Some tiles of the year with other options, soil as at the start, and their drivers."""
    tiles, drivers = some_tiles(year[0], np.arange(10) if members is None else members, year[1])
    for name, choice in options.items():
        tiles.set_option(name, choice)
    spinup.start_soil(tiles)
    if tiles.option("nitrogen") == "cn":
        spinup.start_nitrogen(tiles)
    return tiles, drivers


@pytest.mark.parametrize("scheme", SCHEMES)
def test_every_scheme_returns_to_itself(year, scheme):
    tiles, drivers = fresh(year, soil_carbon=scheme)
    report = slow_equilibrium(tiles, drivers)
    assert report["converged"].all(), report["reason"]
    before = tiles._unblock(tiles.state)
    tiles.advance_slow(drivers, 1)
    again = change_of_pools(tiles, before, tiles._unblock(tiles.state))["residual"]
    # the reported cycle changed less than 1e-5; where a disturbance grows by `multiplier` so may the next change
    assert np.all(again < 1e-5 * np.maximum(1.5, 1.5 * report.get("multiplier", np.ones(10))))
    assert report["cycles"].max() <= 60


def test_with_nitrogen_it_returns_to_itself(year):
    tiles, drivers = fresh(year)
    slow_equilibrium(tiles, drivers, tolerance=1e-4)
    tiles.set_option("nitrogen", "cn")
    spinup.start_nitrogen(tiles)
    report = slow_equilibrium(tiles, drivers)
    # where nothing grows the last nitrate leaves over millennia; it is reported and small
    plants = sum(tiles.get(f"carbon_{pool}") for pool in spinup.PLANT_POOLS)
    # at the edge of nitrogen limitation rounding decides whether one tile of nine ends at 3e-6 or at 5e-6
    assert np.mean(report["converged"][plants > 1e-3]) > 0.7, report["reason"]
    assert np.all(report["residual"][plants > 1e-3] < 1e-4)
    assert np.all(report["residual"] < 1e-3)
    # nitrogen of soil pools belongs to their carbon
    layers = loader.layers()["carbon_layer"]
    passive = slice(5 * layers, 6 * layers)
    ratio = tiles.parameter("soil_cn_passive")[:, None]
    np.testing.assert_allclose(
        tiles.get("soil_nitrogen")[:, passive] * ratio, tiles.get("soil_carbon")[:, passive], rtol=1e-9, atol=1e-12
    )  # atol: kg m-2, below any pool that matters


@pytest.mark.parametrize(
    "options", [{}, {"nitrogen": "cn"}, {"soil_carbon": "mimics"}, {"isotopes": "on"}], ids=["c", "cn", "mimics", "iso"]
)
def test_a_tile_does_not_know_its_neighbours(year, options):
    def state(members):
        tiles, drivers = fresh(year, members, **options)
        report = slow_equilibrium(tiles, drivers, tolerance=1e-4, passes=8)
        if options.get("isotopes"):
            isotope_equilibrium(tiles, drivers, passes=2)
        return tiles._unblock(tiles.state), report["cycles"]

    together, cycles = state(np.arange(10))
    for k in (0, 3, 9):
        alone, own = state([k])
        np.testing.assert_array_equal(alone[0], together[k])  # to the last bit
        assert own[0] == cycles[k]
    pair, _ = state([9, 3])
    np.testing.assert_array_equal(pair, together[[9, 3]])


def test_stepping_on_confirms_the_equilibrium(year):
    tiles, drivers = fresh(year)
    slow_equilibrium(tiles, drivers, tolerance=1e-8, passes=60)
    before = tiles._unblock(tiles.state)
    tiles.advance_slow(drivers, 200)
    # the slowest pools turn over in centuries: a false equilibrium would show; 1e-4 of the total is what is promised
    assert change_of_pools(tiles, before, tiles._unblock(tiles.state))["residual"].max() < 1e-4


@pytest.mark.parametrize("scheme", ["rothc", "century", "yasso07", "yasso15", "yasso20"])
def test_linear_soil_without_layers_needs_one_cycle(year, scheme):
    tiles, drivers = fresh(year, soil_carbon=scheme)
    slow_equilibrium(tiles, drivers, tolerance=1e-11, passes=80)  # plants in equilibrium to round-off
    spinup.start_soil(tiles)
    tiles.advance_slow(drivers, 1, solve=1)
    solved = tiles.get("soil_carbon")
    tiles.advance_slow(drivers, 1)
    change = np.abs(tiles.get("soil_carbon") - solved).max(axis=1)
    # what remains is the plants' own change (1e-11 a cycle) over the slowness of the soil
    assert np.all(change < 1e-9 * np.maximum(solved.sum(axis=1), 1e-2))


def test_isotopes_take_the_ratio_of_the_assimilate_and_decay(year):
    tiles, drivers = fresh(year, isotopes="off")
    entries = loader.variables("driver")
    for name, value in {"delta13c_air": -8.0, "discrimination": 18.0, "delta14c_air": 0.0}.items():
        drivers[:, entries[name].column - 1] = value
    slow_equilibrium(tiles, drivers, tolerance=1e-7, passes=60)
    tiles.set_option("isotopes", "on")
    report = isotope_equilibrium(tiles, drivers)
    assert np.all(report["isotope_residual"] < 1e-5), report
    soil, plants = tiles.get("soil_carbon"), np.stack([tiles.get(f"carbon_{p}") for p in spinup.PLANT_POOLS], axis=1)
    ratio = float(carbon13_of_assimilate(-8.0, 18.0))
    for part, carbon in (("soil", soil), ("plant", plants)):
        total = carbon.sum(axis=1)
        alive = total > 1e-2  # one of the types has no plants
        assert alive.sum() >= 8
        # carbon and tracer are each periodic to 1e-6 or better of their totals
        assert np.all(np.abs(tiles.get(f"carbon13_{part}").sum(axis=1) - ratio * total)[alive] < 1e-4 * total[alive])
    fresh_ratio = float(carbon14_of_assimilate(0.0))
    layers = loader.layers()["carbon_layer"]
    old, new = slice(5 * layers, 6 * layers), slice(0, layers)
    alive = soil[:, new].sum(axis=1) > 1e-4
    age = (tiles.get("carbon14_soil")[:, old].sum(axis=1) / soil[:, old].sum(axis=1))[alive]
    litter = (tiles.get("carbon14_soil")[:, new].sum(axis=1) / soil[:, new].sum(axis=1))[alive]
    assert np.all(age < 0.99 * fresh_ratio), age
    assert np.all(age > 0.0)
    assert np.all(np.abs(litter / fresh_ratio - 1.0) < 5e-3)  # litter is younger than 40 years: lambda * 40 yr = 5e-3


def test_ground_without_plants_and_frozen_ground_are_quiet(year):
    tiles, drivers = fresh(year)
    entries = loader.variables("driver")
    for name in ("gpp", "leaf_respiration", "nitrogen_deposition"):
        drivers[:, entries[name].column - 1] = 0.0
    for pool in spinup.PLANT_POOLS:
        tiles.set(f"carbon_{pool}", 0.0)
    frozen = entries["decomposition"]
    half = drivers.copy(order="F")
    half[:, frozen.column - 1 : frozen.column - 1 + frozen.n_layer] = 0.0
    for case in (drivers, half):
        report = slow_equilibrium(tiles, case)
        assert np.isfinite(tiles.state).all()
        assert report["converged"].all(), report["reason"]


def test_what_did_not_converge_is_named(year):
    tiles, drivers = fresh(year)
    report = slow_equilibrium(tiles, drivers, tolerance=1e-12, passes=1)
    assert not report["converged"].any()
    names = spinup.slow_pools(tiles, "carbon")[0]
    for pool, reason in zip(report["worst_pool"], report["reason"], strict=True):
        assert pool in names
        assert reason.startswith(pool) and "% a cycle" in reason and "after 1 pass" in reason


def test_an_unstable_microbial_soil_is_named(year):
    tiles, _ = fresh(year, [0, 1], soil_carbon="mimics")
    turn = 2.0 * np.pi / 140.0
    unstable = np.diag([0.5] * 7)
    unstable[:2, :2] = 1.0005 * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    newton = np.zeros((spinup.NEWTON_ROWS, 2))
    newton[2:51, 0] = unstable.ravel(order="F")
    newton[2:51, 1] = np.diag([0.9] * 7).ravel(order="F")
    stability = spinup._microbial_stability(tiles, newton, 1.0)
    assert stability["multiplier"] == pytest.approx([1.0005, 0.9], rel=1e-12)
    report = stability | {"converged": np.array([True, True])}
    assert list(spinup._reasons(tiles, report, 5, 1.0)) == [
        "mimics unstable: multiplier 1.0005, oscillation of 140 yr", ""
    ]  # fmt: skip


def test_the_whole_spin_up_reports_the_whole_model():
    tiles, forcing, ends = climate_tiles(("prairie",), n_tile=3, days=365, nproma=16, options={"isotopes": "on"})
    time = np.datetime64("2004-01-01T00:00:00") + np.arange(len(ends)) * np.timedelta64(1800, "s")
    tiles.set_parameter("stand_age", 0.0)  # wood in equilibrium
    report = spinup.spin_up_tiles(tiles, forcing, ends, time, lambda steps: None, rounds=2)
    for name in ("residual", "whole_residual", "production_change", "isotope_residual", "rounds", "cycles", "gpp"):
        assert report[name].shape == (3,) and np.isfinite(report[name]).all(), name
    # two cycles of the whole model are not enough for all: what still changes is named
    assert (report["residual"] < spinup.TOLERANCE).all(), report["reasons"]
    assert list(report["converged"]) == list(report["whole_residual"] < spinup.WORTH_A_WORD)
    assert len(report["reasons"]) >= (~report["converged"]).sum()
    assert tiles.option("isotopes") == "on" and "of the whole model" in report["state"]
    before = tiles._unblock(tiles.state)
    tiles.advance(forcing, ends)
    seen = change_of_pools(tiles, before, tiles._unblock(tiles.state))["residual"]
    # the next cycle of the whole model is closer than the one reported, or as close as replaying its drivers allows
    assert np.all(seen < np.maximum(report["whole_residual"], 1e-3))
