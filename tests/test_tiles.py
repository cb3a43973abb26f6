"""The batch of tiles as a script uses it: what does not fit is refused in words, and calls may be cut anywhere."""

import numpy as np
import pytest
from synthetic import climate_tiles, start

from concerto import Tiles
from concerto.errors import ConcertoError
from concerto.tables import loader


def batch(n_tile=40, days=1, **settings):
    tiles, forcing, ends = climate_tiles(["temperate_deciduous", "prairie"], n_tile=n_tile, days=days, **settings)
    return start(tiles, forcing), forcing, ends


@pytest.mark.parametrize(
    "settings",
    [
        {"pft": []},
        {"pft": [-1]},
        {"pft": [99]},
        {"pft": [1, 2], "cell": [0]},
        {"pft": [1, 2], "cell": [0, -1]},
        {"pft": [1], "time_step": 0.0},
        {"pft": [1], "time_step": float("nan")},
    ],
)
def test_tiles_that_make_no_sense_are_refused(settings):
    with pytest.raises(ConcertoError):
        Tiles(**settings)


def test_forcing_that_does_not_fit_is_refused_before_the_core_reads_beyond_it():
    tiles, forcing, ends = batch()
    for wrong, flags in ((forcing[:1], ends), (forcing[:, :-1], ends), (forcing, ends[:-1]), (forcing[:, :, :0], [])):
        with pytest.raises(ConcertoError):
            tiles.advance(wrong, flags)


def test_forcing_that_is_not_finite_is_found_wherever_it_is_and_changes_nothing():
    tiles, forcing, ends = batch()
    before = tiles.state.copy()
    for entry in loader.variables("forcing").values():
        bad = forcing.copy(order="F")
        bad[1, entry.column - 1, 20:22] = np.nan
        with pytest.raises(ConcertoError, match="first at step 21 of cell 2") as caught:
            tiles.advance(bad, ends)
        assert entry.long_name in str(caught.value)
    assert np.array_equal(tiles.state, before)
    unused = np.asfortranarray(np.concatenate([forcing, np.full_like(forcing[:1], np.nan)]))  # a cell of ocean
    tiles.advance(unused, ends)


def test_a_bad_tile_is_named_and_other_blocks_arrive():
    tiles, forcing, ends = batch(nproma=16)
    other, _, _ = batch(nproma=16)
    wood = tiles.get("carbon_heartwood")
    wood[20] = 1000.0  # kg m-2, twice the bound
    tiles.set("carbon_heartwood", wood)
    with pytest.raises(ConcertoError, match="tile 21"):
        tiles.advance(forcing[:, :, :1], ends[:1])
    other.advance(forcing[:, :, :1], ends[:1])
    blocks = [0, 2]
    assert np.array_equal(tiles.state[:, :, blocks], other.state[:, :, blocks])


def test_a_run_in_pieces_with_a_saved_state_gives_the_same_bits():
    whole, forcing, ends = batch(days=2)
    whole.advance(forcing, ends)
    first, _, _ = batch(days=2)
    first.advance(forcing[:, :, :31], ends[:31])
    second = Tiles(whole.pft, whole.time_step, cell=whole.cell, threads=2)
    second.set_parameter("reference_height", whole.parameter("reference_height"))
    second.state = np.ascontiguousarray(first.state)  # as read from a file
    for span in (slice(31, 60), slice(60, 96)):
        second.advance(forcing[:, :, span], ends[span])
    assert np.array_equal(second.state, whole.state)


def test_foolish_numbers_of_threads_and_blocks_do_no_harm():
    tiles, forcing, ends = batch(n_tile=20, threads=-1, nproma=10**6)
    assert tiles.nproma == 32
    tiles.advance(forcing[:, :, :2], ends[:2])
    assert Tiles(np.zeros(5000, dtype=int), nproma=10**6).nproma == 240
