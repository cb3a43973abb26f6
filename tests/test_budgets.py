"""Water, energy and carbon are neither made nor lost, in any weather, with any scheme, at any time step."""

import numpy as np
import pytest
from synthetic import extreme_forcing, start

from concerto import Tiles
from concerto.tables import loader

N_CELL = 48
CHOICES = [(name, choice) for name, entry in loader.options().items() for choice in entry.choices if choice != entry.default]

# Round-off, with a reserve over what is seen (in comments). Water: the column holds up to 3e3 kg m-2, last bit 5e-13. Carbon:
# pools of tens of kg m-2, last bit 4e-15. Energy: the enthalpy of 8 m of frozen soil reaches 1e9 J m-2, last bit 1e-7,
# so that its change is uncertain by a few 1e-7 J m-2, divided by the step of 300 s or more.
LIMITS = {"water": 1e-10, "energy": 1e-8, "carbon": 1e-13}  # kg m-2, W m-2, kg m-2 in a step; seen 2e-12, 4e-9, 3e-15


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


def assert_closed(tiles):
    for (name, limit), worst in zip(LIMITS.items(), tiles.worst, strict=True):
        assert worst.max() <= limit, f"{name}: {worst.max():.1e} in tile {worst.argmax()}"


@pytest.mark.parametrize("step_seconds, days", [(300, 3), (1800, 12), (3600, 16), (10800, 24), (21600, 30)])
def test_nothing_is_lost_in_extreme_weather_at_any_time_step(step_seconds, days):
    assert_closed(run(step_seconds, days))


@pytest.mark.parametrize("option, choice", CHOICES, ids=[f"{o}={c}" for o, c in CHOICES])
def test_nothing_is_lost_with_any_scheme(option, choice):
    assert_closed(run(1800, 6, {option: choice}, seed=2))
