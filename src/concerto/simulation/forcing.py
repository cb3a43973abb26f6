"""Forcing as the core wants it: one array (cell, column, step), with solar geometry and the ends of the days."""

from __future__ import annotations

import numpy as np

from concerto.forcing.history import built_in
from concerto.forcing.isotopes import delta13c_air
from concerto.forcing.weather import solar_geometry
from concerto.tables import loader


def noon_weight(time_utc, step_seconds, longitude, window_hours=1.0):
    """1 in the intervals whose middle lies within ``window_hours`` of local mean noon, else 0 (Mengoli et al. 2022)."""
    time = np.asarray(time_utc).astype("datetime64[s]")
    hour = (time - time.astype("datetime64[D]")).astype(float) / 3600.0 + step_seconds / 7200.0
    local = (hour + longitude / 15.0) % 24.0
    return (np.abs(local - 12.0) <= window_hours).astype(float)


def end_of_day(time_utc, step_seconds):
    """1 where the daily step follows: the interval ends the UTC day (also the last one of a broken day)."""
    time = np.asarray(time_utc).astype("datetime64[s]")
    day = time.astype("datetime64[D]")
    after = (time + np.timedelta64(int(step_seconds), "s")).astype("datetime64[D]")
    ends = after > day
    ends[:-1] |= day[1:] > day[:-1]
    return ends.astype(np.int32)


def forcing_array(cells: list[dict], time_utc, step_seconds):
    """Forcing of the core.

    Parameters
    ----------
    cells : one dict for each cell: the forcing variables of the table as arrays (step,), ``latitude``, ``longitude``;
        ``prescribed_leaf_area`` may be absent (-1: prognostic leaf area), nitrogen deposition too (a mean over land
        by year) and the isotopes of CO2 (13C by year, Delta14C 0)
    time_utc : array of datetime64 (step,), starts of the intervals
    step_seconds : s

    Returns
    -------
    array (cell, column, step), Fortran order, units of the table
    """
    time = np.asarray(time_utc).astype("datetime64[s]")
    columns = loader.variables("forcing")
    out = np.empty((len(cells), loader.columns("forcing"), len(time)), order="F")
    day = (time.astype("datetime64[D]") - time.astype("datetime64[Y]").astype("datetime64[D]")).astype(float) + 1.0
    deposition, carbon13 = built_in("ndep").at_time(time), delta13c_air(time, beyond="hold")
    for c, cell in enumerate(cells):
        sun = solar_geometry(time, step_seconds, cell["latitude"], cell["longitude"])
        derived = {
            "cosine_zenith": sun["cosine_sunlit"],
            "day_of_year": day,
            "noon_weight": noon_weight(time, step_seconds, cell["longitude"]),
            "prescribed_leaf_area": -1.0,
            "nitrogen_deposition": deposition,
            "delta13c_air": carbon13,
            "delta14c_air": 0.0,
        }
        for name, entry in columns.items():
            out[c, entry.column - 1, :] = cell[name] if cell.get(name) is not None else derived[name]
    return out


class ForcingInPieces:
    """Forcing of many steps that is made when a span of it is asked for; slices like the array (cell, column, step).

    A span of steps is another such object, which ``numpy.asfortranarray`` turns into the array; a single column is an
    array at once.

    Parameters
    ----------
    make : function (first step, last step) -> array (cell, column, last - first), Fortran order
    shape : cells, columns, steps
    piece : steps made at a time where a whole column is asked for
    """

    def __init__(self, make, shape, piece, first=0):
        self._make, self._piece, self._first = make, piece, first
        self.shape = tuple(shape)
        self.ndim = 3

    def __getitem__(self, key):
        _, column, step = key
        if isinstance(step, slice):
            start, stop, _ = step.indices(self.shape[2])
            part = ForcingInPieces(
                self._make, (*self.shape[:2], max(stop - start, 0)), self._piece, self._first + start
            )
            return part if isinstance(column, slice) else part._column(column)
        return self[:, :, step : step + 1].__array__()[:, column, 0]

    def _column(self, column):
        spans = range(0, self.shape[2], self._piece)
        parts = [self[:, :, k : k + self._piece].__array__()[:, column, :].copy() for k in spans]
        return np.concatenate(parts, axis=1) if parts else np.empty((self.shape[0], 0))

    def __array__(self, dtype=None, copy=None):
        return self._make(self._first, self._first + self.shape[2])
