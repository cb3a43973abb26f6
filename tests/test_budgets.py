"""Water, energy and carbon are neither made nor lost, in any weather, with any scheme, at any time step."""

import numpy as np
import pytest
from synthetic import extreme_forcing, start

from concerto import Tiles
from concerto.tables import loader

N_CELL = 48
CHOICES = [
    (name, choice) for name, entry in loader.options().items() for choice in entry.choices if choice != entry.default
]

# Round-off, with a reserve over what is seen (in comments). Water: the column holds up to 3e3 kg m-2, last bit 5e-13.
# Carbon: pools of tens of kg m-2, last bit 4e-15. Energy: the enthalpy of 8 m of
# frozen soil reaches 1e9 J m-2, last bit 1e-7, so that its change is uncertain by a few 1e-7 J m-2, divided by the step
# of 300 s or more. Nitrogen: as carbon.
LIMITS = {"water": 1e-10, "energy": 1e-8, "carbon": 1e-13, "nitrogen": 1e-13}  # kg m-2, W m-2, kg m-2 in a step or day


def all_types(step_seconds, options=None, **settings):
    """Every plant type in every cell of the forcing."""
    n_type = len(loader.pft_names())
    types = np.tile(np.arange(n_type), N_CELL)
    tiles = Tiles(
        types, float(step_seconds), cell=np.repeat(np.arange(N_CELL), n_type), options=options or {}, **settings
    )
    tiles.set_parameter("reference_height", np.maximum(30.0, tiles.parameter("canopy_height") + 10.0))
    return tiles


def run(step_seconds, days, options=None, seed=1, change=None):
    """Worst residuals (water, energy, carbon) of any step; fails on a state out of its bounds or not finite."""
    forcing, ends = extreme_forcing(N_CELL, days, step_seconds, seed)
    tiles = all_types(step_seconds, options)
    if change:
        change(tiles)
    start(tiles, forcing)
    names = tuple(loader.variables("diagnostic"))
    per_day = 86400 // step_seconds
    for day in range(days):  # bounds are checked at the end of each call and each day
        part = slice(day * per_day, (day + 1) * per_day)
        results = tiles.advance(forcing[:, :, part], ends[part], names)
        for name, values in results.items():
            assert np.isfinite(values).all(), name
    assert np.isfinite(tiles.state).all()
    return tiles


def assert_closed(tiles):
    for (name, limit), worst in zip(LIMITS.items(), tiles.worst, strict=True):
        assert worst.max() <= limit, f"{name}: {worst.max():.1e} in tile {worst.argmax()}"


@pytest.mark.parametrize("step_seconds, days", [(300, 3), (1800, 12), (3600, 16), (10800, 24), (21600, 30)])
def test_nothing_is_lost_in_extreme_weather_at_any_time_step(step_seconds, days):
    assert_closed(run(step_seconds, days))


@pytest.mark.parametrize("option, choice", CHOICES, ids=[f"{o}={c}" for o, c in CHOICES])
def test_nothing_is_lost_with_any_scheme(option, choice):
    needs = loader.needed(option, choice)
    assert_closed(run(1800, 6, {option: choice} | needs, seed=2))


@pytest.mark.parametrize("switch", ["hold_soil_water", "outside_water"])
def test_water_from_outside_is_counted(switch):
    tiles = run(1800, 6, seed=3, change=lambda tiles: tiles.set_parameter(switch, 1.0))
    assert_closed(tiles)


def test_plants_fed_from_outside_are_not_stressed_by_dry_soil():
    """On dry soil they transpire as if it were wet, and all of it is counted as water from outside."""
    forcing, ends = extreme_forcing(N_CELL, 6, 1800, 4)
    seen = {}
    for switch in (None, "hold_soil_water", "outside_water"):
        tiles = all_types(1800)
        start(tiles, forcing)
        if switch:
            tiles.set_parameter(switch, 1.0)
        tiles.set("soil_liquid", 0.35 * tiles.get("soil_liquid"))  # from field capacity to below wilting
        result = tiles.advance(forcing, ends, ("transpiration", "held_water"))
        seen[switch] = {name: values.mean() for name, values in result.items()}
    assert seen[None]["held_water"] == 0.0
    assert seen["outside_water"]["transpiration"] > 2.0 * seen[None]["transpiration"]
    # each tile's transpiration comes from outside, nothing else does
    assert seen["outside_water"]["held_water"] == pytest.approx(seen["outside_water"]["transpiration"], rel=1e-12)
    assert seen["hold_soil_water"]["held_water"] >= seen["hold_soil_water"]["transpiration"] - 1e-12


TEXTURES = ("coarse", "fine", "very_fine", "organic")


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(12))
def test_nothing_is_lost_in_any_mixture_of_schemes_soil_and_time_step(seed):
    from concerto.domain.soil import soil_class

    random = np.random.default_rng(seed)
    step_seconds, days = [(300, 1), (900, 3), (1800, 6), (3600, 8), (10800, 8), (21600, 8)][seed % 6]
    options = {name: str(random.choice(list(entry.choices))) for name, entry in loader.options().items()}
    for name, choice in list(options.items()):  # what one choice needs of another is given to it
        for other, allowed in (loader.options()[name].needs or {}).get(choice, {}).items():
            allowed = [allowed] if isinstance(allowed, str) else allowed
            if options[other] not in allowed:
                options[other] = str(random.choice(allowed))
    texture = soil_class(TEXTURES[seed % 4])

    def soil(tiles):
        for name in ("theta_sat", "theta_res", "k_sat", "sand", "clay"):
            tiles.set_parameter(name, getattr(texture, name))
        for name in ("alpha", "n", "l"):
            tiles.set_parameter(f"vg_{name}", getattr(texture, name))

    assert_closed(run(step_seconds, days, options, seed=100 + seed, change=soil))


def test_the_water_in_all_stores_is_what_fell_less_what_left():
    """Counted here from states and fluxes, not taken from the residual of the core."""
    forcing, ends = extreme_forcing(N_CELL, 6, 1800, seed=4)
    tiles = start(all_types(1800), forcing)

    def stored():
        soil = (tiles.get("soil_liquid") + tiles.get("soil_ice")) @ (1000.0 * np.array(loader.soil_thickness()))
        snow = (tiles.get("snow_ice") + tiles.get("snow_liquid")).sum(axis=1)
        return soil + snow + tiles.get("canopy_liquid") + tiles.get("canopy_ice")

    before = stored()
    fluxes = tiles.advance(forcing, ends, ("evapotranspiration", "surface_runoff", "drainage"))
    columns = loader.variables("forcing")
    fell = sum(forcing[:, columns[name].column - 1, :].sum(axis=1) for name in ("rainfall", "snowfall"))[tiles.cell]
    left = sum(values.sum(axis=0) for values in fluxes.values())
    # 288 steps of the round-off of 3e3 kg m-2, and the sum of fluxes up to 1e3 kg m-2
    assert np.abs(stored() - before - 1800.0 * (fell - left)).max() < 288 * 2e-12 + 1e-9
    assert (1800.0 * fell).max() > 100.0 and (1800.0 * left).max() > 50.0


def test_the_carbon_in_all_stores_is_what_was_taken_up():
    """Counted here over six days with their daily steps: allocation, litter and decomposition only move carbon."""
    forcing, ends = extreme_forcing(N_CELL, 6, 1800, seed=5)
    tiles = start(all_types(1800), forcing)
    tiles.set("soil_carbon", 0.2)
    names = [name for name, entry in loader.variables("state").items() if entry.role == "carbon"]

    def stored():
        return sum(tiles.get(name).reshape(tiles.n_tile, -1).sum(axis=1) for name in names)

    before = stored()
    fluxes = tiles.advance(forcing, ends, ("gpp", "ra", "rh", "nbp"))
    gained = 1800.0 * (fluxes["gpp"] - fluxes["ra"] - fluxes["rh"]).sum(axis=0)
    assert np.abs(stored() - before - gained).max() < 288 * 1e-14 + 1e-12  # round-off of 30 kg m-2 in 288 steps
    assert np.abs(gained).max() > 1e-3 and np.allclose(
        gained, 1800.0 * fluxes["nbp"].sum(axis=0), rtol=1e-9, atol=1e-12
    )


def test_a_state_out_of_bounds_is_found_and_named():
    from concerto.errors import ConcertoError

    forcing, ends = extreme_forcing(N_CELL, 1, 1800)
    tiles = start(all_types(1800), forcing)
    bad = np.zeros(tiles.n_tile)
    bad[37] = np.nan
    tiles.set("carbon_seed", bad)
    with pytest.raises(ConcertoError, match="became nan kg m-2.*, outside.*at tile 38, step"):
        tiles.advance(forcing, ends)
