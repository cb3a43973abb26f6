"""Metrics of a simulated series against an observed one.

Every function takes arrays of equal shape (they are broadcast), leaves out each pair in which either is not
finite, works along ``axis`` and returns NaN where fewer than ``minimum`` pairs remain or where the
observations do not vary. The definitions are those of PLUMBER (Best et al. 2015,
doi:10.1175/JHM-D-14-0158.1).

Example
-------
>>> import numpy as np
>>> observed, simulated = np.array([1.0, 2.0, 3.0, np.nan]), np.array([2.0, 2.0, 2.0, 9.0])
>>> round(float(nme(simulated, observed)), 3)
1.0
"""

from __future__ import annotations

import numpy as np

METRICS = ("n", "mean_obs", "mean_sim", "bias", "rmse", "nme", "r", "sd_ratio", "sd_ratio_error")


def _pairs(simulated, observed, axis):
    """Deviations from the means over the common steps, zero elsewhere; means; number of pairs."""
    s, o = np.broadcast_arrays(np.asarray(simulated, float), np.asarray(observed, float))
    good = np.isfinite(s) & np.isfinite(o)
    n = good.sum(axis)
    s, o = np.where(good, s, 0.0), np.where(good, o, 0.0)
    divisor = np.maximum(n, 1)
    mean_s, mean_o = s.sum(axis) / divisor, o.sum(axis) / divisor
    ds = np.where(good, s - np.expand_dims(mean_s, axis), 0.0)
    do = np.where(good, o - np.expand_dims(mean_o, axis), 0.0)
    return s, o, ds, do, mean_s, mean_o, n


def _ratio(a, b):
    """a / b, NaN where b is zero."""
    return np.where(b > 0.0, a / np.where(b > 0.0, b, 1.0), np.nan)


def scores(simulated, observed, axis=-1, minimum=2):
    """All metrics at once.

    Parameters
    ----------
    simulated, observed : array_like
        Series of equal shape and unit; NaN where missing.
    axis : int
        Axis of time.
    minimum : int
        Fewest pairs for which a metric is given; below it all metrics but ``n`` are NaN.

    Returns
    -------
    dict of numpy arrays (0-d for one series)
        ``n`` pairs; ``mean_obs``, ``mean_sim``, ``bias`` = mean(s) - mean(o), ``rmse`` in the unit of the
        series;
        ``nme`` = sum|s - o| / sum|o - mean(o)|, 0 perfect, 1 as good as the observed mean; ``r`` linear
        correlation;
        ``sd_ratio`` = sd(s) / sd(o); ``sd_ratio_error`` = |1 - sd_ratio|.
    """
    s, o, ds, do, mean_s, mean_o, n = _pairs(simulated, observed, axis)
    enough = n >= max(int(minimum), 1)
    divisor = np.maximum(n, 1)
    variance_s, variance_o = (ds * ds).sum(axis), (do * do).sum(axis)
    # A constant series has a variance of round-off, not of zero: 1e-24 of the mean square is far below any
    # data.
    floor = 1e-24 * (o * o).sum(axis)
    varies = variance_o > floor
    ratio = np.where(varies, np.sqrt(_ratio(variance_s, np.where(varies, variance_o, 0.0))), np.nan)
    correlates = varies & (variance_s > 1e-24 * (s * s).sum(axis))
    r = np.where(correlates, _ratio((ds * do).sum(axis), np.sqrt(variance_s * variance_o)), np.nan)
    values = {
        "mean_obs": mean_o,
        "mean_sim": mean_s,
        "bias": mean_s - mean_o,
        "rmse": np.sqrt(((s - o) ** 2).sum(axis) / divisor),
        "nme": np.where(varies, _ratio(np.abs(s - o).sum(axis), np.abs(do).sum(axis)), np.nan),
        "r": r,
        "sd_ratio": ratio,
        "sd_ratio_error": np.abs(1.0 - ratio),
    }
    return {"n": n, **{name: np.where(enough, value, np.nan) for name, value in values.items()}}


def count(simulated, observed, axis=-1):
    """Number of pairs in which both values are finite."""
    return scores(simulated, observed, axis)["n"]


def bias(simulated, observed, axis=-1, minimum=2):
    """Mean of the simulated minus mean of the observed series, in their unit."""
    return scores(simulated, observed, axis, minimum)["bias"]


def rmse(simulated, observed, axis=-1, minimum=2):
    """Root of the mean squared difference, in the unit of the series."""
    return scores(simulated, observed, axis, minimum)["rmse"]


def nme(simulated, observed, axis=-1, minimum=2):
    """Normalised mean error, sum|s - o| / sum|o - mean(o)|: 0 perfect, 1 no better than the observed mean."""
    return scores(simulated, observed, axis, minimum)["nme"]


def correlation(simulated, observed, axis=-1, minimum=2):
    """Linear (Pearson) correlation; NaN where either series is constant."""
    return scores(simulated, observed, axis, minimum)["r"]


def sd_ratio(simulated, observed, axis=-1, minimum=2):
    """Standard deviation of the simulated over that of the observed series."""
    return scores(simulated, observed, axis, minimum)["sd_ratio"]
