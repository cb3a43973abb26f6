"""Bundles for ranks: contiguous, the largest load as small as it can be, the same wherever it is computed."""

from itertools import combinations
from types import SimpleNamespace

import numpy as np
import pytest

from concerto.domain.bundles import bundle_cost, bundle_limits, cell_cost, distribute, imbalance, loads
from concerto.errors import ConcertoError

pytestmark = pytest.mark.release  # Python around the core; the core itself is run with checks elsewhere


def test_bundles_do_not_depend_on_ranks_and_cover_all_cells():
    assert bundle_limits(20, 8).tolist() == [0, 8, 16, 20]
    assert bundle_limits(16, 8).tolist() == [0, 8, 16]
    assert bundle_limits(3, 8).tolist() == [0, 3]
    assert bundle_limits(0, 8).tolist() == [0]
    with pytest.raises(ConcertoError):
        bundle_limits(5, 0)


def test_the_largest_load_is_the_least_of_all_contiguous_distributions():
    random = np.random.default_rng(1)
    for _ in range(120):
        n, ranks = int(random.integers(1, 9)), int(random.integers(1, 6))
        cost = random.choice([random.random(n), random.integers(0, 4, n).astype(float)])
        limits = distribute(cost, ranks)
        cuts = [(0, *c, n) for c in combinations(range(n + 1), ranks - 1)] if ranks > 1 else [(0, n)]
        cuts += [(0, *sorted(c), n) for c in np.random.default_rng(2).integers(0, n + 1, (50, ranks - 1)).tolist()]
        best = min(loads(cost, c).max() for c in cuts)
        # sums in double precision; the distribution itself counts in whole units of 1e-18 of the total
        assert loads(cost, limits).max() <= best + 1e-14 * cost.sum()


@pytest.mark.parametrize("ranks", [1, 2, 7, 64, 500, 999, 1000, 1001, 4000])
def test_every_bundle_has_one_rank_and_every_rank_a_bundle_if_there_are_enough(ranks):
    cost = 1.0 + np.random.default_rng(3).integers(0, 12, 1000)
    cost[500] = 200.0  # one bundle is heavier than a fair share
    limits = distribute(cost, ranks)
    assert len(limits) == ranks + 1 and limits[0] == 0 and limits[-1] == 1000
    count = np.diff(limits)
    assert count.min() >= (1 if ranks <= 1000 else 0) and count.sum() == 1000
    if ranks > 1000:  # ranks after the last bundle get nothing
        assert (count[:1000] == 1).all() and (count[1000:] == 0).all()
    of_rank = loads(cost, limits)
    assert of_rank.sum() == cost.sum()
    assert of_rank.max() <= max(200.0, cost.sum() / ranks + 200.0)


def test_equal_costs_are_dealt_equally_whatever_their_unit():
    for unit in (1.0, 0.1, 1.0 / 3.0, 1e-9):
        count = np.diff(distribute(np.full(1000, unit), 16))
        assert count.max() - count.min() <= 1
        np.testing.assert_array_equal(distribute(np.full(1000, unit), 16), distribute(np.ones(1000), 16))
    assert np.diff(distribute(np.zeros(10), 4)).max() == 3
    assert distribute([], 3).tolist() == [0, 0, 0, 0]


def test_impossible_costs_are_refused():
    for cost, ranks in (([1.0, -1.0], 1), ([1.0, np.nan], 1), ([1.0], 0), ([[1.0]], 1)):
        with pytest.raises(ConcertoError):
            distribute(cost, ranks)


def test_cost_counts_tiles_and_forcing_of_cells():
    domain = SimpleNamespace(n_cell=4, tile_cell=np.array([0, 0, 0, 2, 3]))
    np.testing.assert_allclose(cell_cost(domain), [3.1, 0.1, 1.1, 1.1], rtol=1e-15)
    cost = cell_cost(domain, per_tile=2.0, per_cell=1.0)
    assert cost.tolist() == [7.0, 1.0, 3.0, 3.0]
    assert bundle_cost(cost, [0, 2, 4]).tolist() == [8.0, 6.0]
    assert imbalance([8.0, 6.0]) == pytest.approx(1.0 / 7.0) and imbalance([0.0, 0.0]) == 0.0


def test_ten_bundles_a_rank_wait_little():
    # a globe: 15000 cells of 1 to 7 tiles with zonal bands; documented is 5 % at ten bundles of 8 cells a rank
    random = np.random.default_rng(4)
    tiles = np.clip(np.rint(4 + 2 * np.sin(np.arange(15000) / 400.0) + random.normal(0, 1, 15000)), 1, 7)
    cost = bundle_cost(tiles + 0.1, bundle_limits(15000, 8))
    waits = [imbalance(loads(cost, distribute(cost, ranks))) for ranks in (16, 64, 187)]
    assert waits == sorted(waits) and waits[0] < 0.02 and waits[-1] < 0.10
