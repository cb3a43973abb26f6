"""Water, energy and carbon are neither made nor lost, in any weather, with any scheme, at any time step."""

import numpy as np
import pytest
from synthetic import extreme_forcing, start

from concerto import Tiles
from concerto.tables import loader

N_CELL = 48
CHOICES = [(name, choice) for name, entry in loader.options().items() for choice in entry.choices if choice != entry.default]

# Round-off, with a reserve of five to ten over what is seen. Water: the column holds up to 3e3 kg m-2, whose last bit
# is 5e-13 kg m-2. Carbon: pools of tens of kg m-2, last bit 4e-15 kg m-2. Energy: the enthalpy of 8 m of soil
# reaches 1e9 J m-2 (frozen), last bit 1e-7 J m-2, so that its difference over a step is uncertain by a few 1e-7 J m-2 / dt;
# the fluxes add a few last bits of 1e3 W m-2.
WATER = 1e-10  # kg m-2 in a step
CARBON = 1e-13  # kg m-2 in a step


def energy_limit(step_seconds):
    """W m-2."""
    return max(1e-8, 3e-6 / step_seconds)


def all_types(step_seconds, options=None, **settings):
    """Every plant type in every cell of the forcing."""
    n_type = len(loader.pft_names())
    types = np.tile(np.arange(n_type), N_CELL)
    tiles = Tiles(types, float(step_seconds), cell=np.repeat(np.arange(N_CELL), n_type), options=options or {}, **settings)
    tiles.set_parameter("reference_height", np.maximum(30.0, tiles.parameter("canopy_height") + 10.0))
    return tiles


def run(step_seconds, days, options=None, seed=1, change=None):
    """Worst residuals (water, energy, carbon) of any step; fails on a state out of its bounds or not finite."""
    forcing, ends = extreme_forcing(N_CELL, days, step_seconds, seed)
    tiles = start(all_types(step_seconds, options), forcing)
    if change:
        change(tiles)
    names = tuple(loader.variables("diagnostic"))
    per_day = 86400 // step_seconds
    for day in range(days):  # bounds are checked at the end of each call and each day
        part = slice(day * per_day, (day + 1) * per_day)
        results = tiles.advance(forcing[:, :, part], ends[part], names)
        for name, values in results.items():
            assert np.isfinite(values).all(), name
    assert np.isfinite(tiles.state).all()
    return tiles


def assert_closed(tiles, step_seconds):
    water, energy, carbon = tiles.worst.max(axis=1)
    assert water <= WATER, f"water {water:.1e} kg m-2, tile {tiles.worst[0].argmax()}"
    assert energy <= energy_limit(step_seconds), f"energy {energy:.1e} W m-2, tile {tiles.worst[1].argmax()}"
    assert carbon <= CARBON, f"carbon {carbon:.1e} kg m-2, tile {tiles.worst[2].argmax()}"


@pytest.mark.parametrize("step_seconds, days", [(300, 3), (1800, 12), (3600, 16), (10800, 24), (21600, 30)])
def test_nothing_is_lost_in_extreme_weather_at_any_time_step(step_seconds, days):
    assert_closed(run(step_seconds, days), step_seconds)


@pytest.mark.parametrize("option, choice", CHOICES, ids=[f"{o}={c}" for o, c in CHOICES])
def test_nothing_is_lost_with_any_scheme(option, choice):
    assert_closed(run(1800, 6, {option: choice}, seed=2), 1800)
