"""Bundles of cells and their distribution over ranks.

A bundle is a fixed number of consecutive cells, whatever the number of ranks; a rank has a contiguous run of bundles.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right

import numpy as np

from concerto.errors import ConcertoError

COST_PER_TILE = 1.0
COST_PER_CELL = 0.1  # forcing of a cell, relative to the work on a tile
UNITS = 2**60  # the sum of all costs in whole units: sums are exact, so equal costs are dealt equally


def bundle_limits(n_cell: int, size: int = 8) -> np.ndarray:
    """First cells of the bundles, and the number of cells at the end.

    Parameters
    ----------
    n_cell : cells of the domain
    size : cells of a bundle; the last one may be smaller

    Returns
    -------
    int64 array (bundle + 1,)

    Examples
    --------
    >>> bundle_limits(20, 8).tolist()
    [0, 8, 16, 20]
    """
    if size < 1 or n_cell < 0:
        raise ConcertoError(f"{n_cell} cells in bundles of {size}", hint="parallel.bundle must be 1 or more")
    return np.append(np.arange(0, n_cell, size, dtype=np.int64), np.int64(n_cell))


def cell_cost(domain, per_tile: float = COST_PER_TILE, per_cell: float = COST_PER_CELL) -> np.ndarray:
    """Cost of each cell (cell,): its tiles (with land use those that have area), and a constant for its forcing.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> cell_cost(SimpleNamespace(n_cell=2, tile_cell=np.array([0, 0, 1]))).tolist()
    [2.1, 1.1]
    """
    land_use = getattr(domain, "tile_class", None) is not None
    cell = domain.tile_cell[domain.tile_fraction > 0.0] if land_use else domain.tile_cell
    return per_tile * np.bincount(cell, minlength=domain.n_cell) + per_cell


def bundle_cost(cost_of_cell, limits) -> np.ndarray:
    """Sums of the costs of cells (cell,) over the bundles (bundle,).

    Examples
    --------
    >>> bundle_cost([1.0, 2.0, 4.0], [0, 2, 3]).tolist()
    [3.0, 4.0]
    """
    return _sums(cost_of_cell, limits)


def distribute(cost_of_bundle, ranks: int) -> np.ndarray:
    """Contiguous runs of bundles for ranks, so that the largest load is as small as it can be.

    Parameters
    ----------
    cost_of_bundle : array (bundle,), not negative
    ranks : number of ranks

    Returns
    -------
    int64 array (rank + 1,)
        First bundle of each rank, and the number of bundles. Every rank has at least one bundle if there are enough;
        if there are not, the ranks after the last bundle get nothing.

    Notes
    -----
    Bisection on the largest load finds the least one that a greedy packing can keep. Among the distributions with that
    load each limit is put as near to equal loads as they allow. Costs count in whole units of 2**-60 of their sum, so
    the result does not depend on the order of summation and is the same on every rank.

    Examples
    --------
    >>> distribute([1, 1, 1, 1, 4, 1], 3).tolist()
    [0, 4, 5, 6]
    """
    cost = np.asarray(cost_of_bundle, dtype=float)
    if ranks < 1 or cost.ndim != 1 or not (np.isfinite(cost).all() and (cost >= 0.0).all()):
        raise ConcertoError("bundles cannot be distributed: costs must be finite and not negative, ranks 1 or more")
    n = len(cost)
    if n <= ranks:
        return np.minimum(np.arange(ranks + 1, dtype=np.int64), n)
    total = cost.sum()
    whole = np.ones(n, dtype=np.int64) if total <= 0.0 else np.rint(cost / total * UNITS).astype(np.int64)
    ends = [0, *np.cumsum(whole).tolist()]  # ends[i]: units before bundle i
    largest = int(whole.max())

    def packed(load):
        """Largest load of a packing that fills each rank up to a load, or None if bundles are left."""
        start, worst = 0, 0
        for _ in range(ranks):
            stop = bisect_right(ends, ends[start] + load, start) - 1
            worst = max(worst, ends[stop] - ends[start])
            start = stop
            if start == n:
                return worst
        return None

    low = max(largest, -(-ends[n] // ranks))
    worst = packed(low)
    if worst is None:
        high = packed(low + largest)  # never more: a rank short of the mean by less than a bundle
        while high - low > 1:  # low does not suffice, high does
            middle = (low + high) // 2
            worst = packed(middle)
            low, high = (middle, high) if worst is None else (low, worst)
        worst = high
    # earliest limit of each rank from which the ranks after it can still carry the rest
    earliest = [0] * (ranks + 1)
    earliest[ranks] = n
    for r in range(ranks - 1, 0, -1):
        earliest[r] = bisect_left(ends, ends[earliest[r + 1]] - worst, 0, earliest[r + 1] + 1)
    limits = [0] * (ranks + 1)
    limits[ranks] = n
    for r in range(1, ranks):
        before = limits[r - 1]
        first = max(earliest[r], before + 1)
        last = min(bisect_right(ends, ends[before] + worst, before) - 1, n - (ranks - r))
        ideal = r * ends[n] // ranks
        near = bisect_left(ends, ideal)
        if near > 0 and ideal - ends[near - 1] <= ends[min(near, n)] - ideal:
            near -= 1
        limits[r] = min(max(near, first), last)
    return np.array(limits, dtype=np.int64)


def loads(cost_of_bundle, first_bundles) -> np.ndarray:
    """Load of each rank (rank,) of a distribution.

    Examples
    --------
    >>> loads([1, 1, 1, 1, 4, 1], [0, 4, 5, 6]).tolist()
    [4.0, 4.0, 1.0]
    """
    return _sums(cost_of_bundle, first_bundles)


def imbalance(rank_loads) -> float:
    """Largest load over the mean, minus 1: the share of the time that the average rank waits, over its own work.

    Examples
    --------
    >>> imbalance([1.0, 1.0, 4.0])
    1.0
    """
    rank_loads = np.asarray(rank_loads, dtype=float)
    mean = rank_loads.mean()
    return float(rank_loads.max() / mean - 1.0) if mean > 0.0 else 0.0


def _sums(values, limits):
    """Sums between limits, exact zero where a run is empty."""
    values, limits = np.asarray(values, dtype=float), np.asarray(limits)
    out = np.zeros(len(limits) - 1)
    some = np.flatnonzero(limits[1:] > limits[:-1])
    if len(some):
        out[some] = np.add.reduceat(values, limits[some])
    return out
