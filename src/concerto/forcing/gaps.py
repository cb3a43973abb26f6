"""Gap filling of forcing series, with a flag at every filled step and a line in the report.

Up to 3 hours: straight line. Longer: the mean course of the day, over the
measured values of the same time of day within 7 days on either side, twice as many where there
is none (Falge et
al. 2001, Agric. For. Meteorol. 107, 43-69, "mean diurnal variation").
"""

from __future__ import annotations

import numpy as np

LINEAR_SECONDS = 3 * 3600
WINDOW_DAYS = 7

FLAG_UNKNOWN = -1
FLAG_MEASURED = 0
FLAG_LINEAR = 1
FLAG_DIURNAL = 2
FLAG_POOR = 3
FLAG_DERIVED = 4
FLAG_PRESCRIBED = 5


def runs(missing: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """First index and length of each run of True in a boolean series of shape (n,).

    Examples
    --------
    >>> [part.tolist() for part in runs(np.array([True, False, True, True]))]
    [[0, 2], [1, 2]]
    """
    edges = np.diff(np.concatenate(([0], missing.astype(np.int8), [0])))
    first = np.flatnonzero(edges == 1)
    return first, np.flatnonzero(edges == -1) - first


def longest(missing: np.ndarray) -> tuple[int, int]:
    """First index and length of the longest run of True; (0, 0) without one."""
    first, length = runs(missing)
    if first.size == 0:
        return 0, 0
    k = int(np.argmax(length))
    return int(first[k]), int(length[k])


def _diurnal_mean(values: np.ndarray, steps_per_day: int, window_days: int) -> np.ndarray:
    """Mean of the measured values at the same time of day within `window_days`; NaN where there is none."""
    n = values.size
    days = -(-n // steps_per_day)
    table = np.full(days * steps_per_day, np.nan)
    table[:n] = values
    table = table.reshape(days, steps_per_day)
    known = np.isfinite(table)
    count = np.zeros((days + 1, steps_per_day))
    total = np.zeros((days + 1, steps_per_day))
    np.cumsum(known, axis=0, out=count[1:])
    np.cumsum(np.where(known, table, 0.0), axis=0, out=total[1:])
    low = np.maximum(np.arange(days) - window_days, 0)
    high = np.minimum(np.arange(days) + window_days + 1, days)
    number = count[high] - count[low]
    with np.errstate(invalid="ignore"):
        mean = np.where(number > 0.5, (total[high] - total[low]) / np.maximum(number, 1.0), np.nan)
    return mean.reshape(-1)[:n]


def fill_gaps(values, flag, step_seconds: int):
    """Fill every gap of one series by line or mean course of the day.

    Parameters
    ----------
    values : array of shape (n,)
        NaN where missing; changed in place.
    flag : int8 array of shape (n,)
        Changed in place: 1 line, 2 mean course of the day, 3 the same from a window beyond 7 days.
    step_seconds : int
        Length of a step, s; a divisor of one day.

    Returns
    -------
    n_linear, n_diurnal, n_wide : int
        Steps filled in each way. Steps whose time of day is never measured stay NaN.

    Examples
    --------
    >>> x = np.array([1.0, np.nan, 3.0]); f = np.zeros(3, np.int8)
    >>> fill_gaps(x, f, 3600), x.tolist()
    ((1, 0, 0), [1.0, 2.0, 3.0])
    """
    missing = ~np.isfinite(values)
    if not missing.any() or missing.all():
        return 0, 0, 0
    n = values.size
    first, length = runs(missing)
    inner = (first > 0) & (first + length < n) & (length * step_seconds <= LINEAR_SECONDS)
    short = np.zeros(n + 1, dtype=int)
    np.add.at(short, first[inner], 1)
    np.add.at(short, (first + length)[inner], -1)
    short = np.cumsum(short)[:n] > 0
    measured = values.copy()
    place = np.arange(n)
    values[short] = np.interp(place[short], place[~missing], values[~missing])
    flag[short] = FLAG_LINEAR
    counts = [0, 0]
    todo = missing & ~short
    window = WINDOW_DAYS
    steps_per_day = 86400 // step_seconds
    days = -(-n // steps_per_day)
    while todo.any() and window < 2 * days:
        mean = _diurnal_mean(measured, steps_per_day, window)
        now = todo & np.isfinite(mean)
        values[now] = mean[now]
        flag[now] = FLAG_DIURNAL if window == WINDOW_DAYS else FLAG_POOR
        counts[0 if window == WINDOW_DAYS else 1] += int(now.sum())
        todo &= ~now
        window *= 2
    return int(short.sum()), counts[0], counts[1]


def fill_linear(values, flag) -> int:
    """Fill every gap by a straight line, ends by the nearest value (leaf area index); returns the count."""
    missing = ~np.isfinite(values)
    if not missing.any() or missing.all():
        return 0
    place = np.arange(values.size)
    values[missing] = np.interp(place[missing], place[~missing], values[~missing])
    flag[missing] = FLAG_LINEAR
    return int(missing.sum())
