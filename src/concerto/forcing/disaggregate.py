"""Forcing of coarse intervals as steps of the model: all cells and columns at once, in the compiled core.

Means stay what they were, points are passed through, and a step depends on its interval and the two beside it alone.
Methods and sources: module ``concerto_disaggregate`` of the core and the page "Forcing in time" of the documentation.
"""

from __future__ import annotations

import numpy as np

from concerto.errors import ConcertoError
from concerto.tables import loader

DAY_SECONDS = 86400
# in the order of the core
CONTINUOUS = (
    "air_temperature", "specific_humidity", "pressure", "longwave_down", "wind_speed", "shortwave_down",
)  # fmt: skip
COLUMNS = (
    *CONTINUOUS, "rainfall", "snowfall", "cosine_zenith", "day_of_year", "noon_weight", "prescribed_leaf_area",
    "co2", "nitrogen_deposition", "delta13c_air", "delta14c_air",
)  # fmt: skip


def uniform_hash(cell_id, days, number):
    """Random numbers of cells and days that need no state: the finaliser of splitmix64 (Steele et al. 2014).

    Parameters
    ----------
    cell_id : array of int (cell,)
    days : array of datetime64[D] (day,)
    number : which of several independent numbers of a day

    Returns
    -------
    array (cell, day) in [0, 1), the same bits on every machine
    """

    def mixed(bits):
        bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return bits ^ (bits >> np.uint64(31))

    golden = np.uint64(0x9E3779B97F4A7C15)
    cell = np.asarray(cell_id).astype(np.int64).astype(np.uint64)
    day = np.asarray(days).astype("datetime64[D]").astype(np.int64).astype(np.uint64)
    cell = mixed((cell + np.uint64(1)) * golden)
    day = mixed((day ^ (np.asarray([number], dtype=np.uint64) << np.uint64(48))) * golden + np.uint64(1))
    return (mixed(cell[:, None] ^ day) >> np.uint64(11)) * 2.0**-53


def _positive_divisor(value, what):
    if value < 1 or DAY_SECONDS % value:
        raise ConcertoError(
            f"The {what} of {value} s does not divide a day.", hint="Take 1800, 3600, 10800 or 21600 s."
        )
    return int(value)


def model_steps(
    native: dict,
    domain_latitude,
    domain_longitude,
    days,
    native_seconds: int,
    step_seconds: int,
    *,
    instantaneous=(),
    cell_id=None,
    model_days=None,
    co2,
    extra=None,
    out=None,
    threads: int = 1,
):
    """Forcing of the core from native intervals.

    Parameters
    ----------
    native : dict of arrays (cell, day * intervals of a day + 2), SI units, the first and last interval being those
        before and after the days: ``air_temperature``, ``specific_humidity``, ``pressure``, ``shortwave_down``,
        ``longwave_down``, ``wind_speed`` and either ``precipitation`` (its snow by the wet bulb) or ``rainfall`` and
        ``snowfall``; optional ``air_temperature_min`` and ``air_temperature_max`` (of daily intervals) and
        ``leaf_area_index``
    domain_latitude, domain_longitude : (cell,) degrees north and east
    days : (day,) datetime64[D], days of the forcing (UTC); they decide at what time of the day rain falls
    native_seconds, step_seconds : lengths of the intervals and of the steps, s; both divide a day, and one the other
    instantaneous : names of the variables that hold at the start of the interval; the others are means over it
    cell_id : (cell,) integers that stand for the cells where rain is given a time of the day; 0, 1, ... if left out
    model_days : (day,) datetime64[D], days of the model (sun, day of the year) where forcing of other days is used
    co2 : mole fraction, 1e-6: a number, (cell,) or (cell or 1, day)
    extra : dict with ``nitrogen_deposition`` (kg m-2 s-1), ``delta13c_air``, ``delta14c_air`` (permil), of shapes as
        ``co2``; what is left out is the built-in history of the model days (Delta14C: 0)
    out : array (cell, column, step) in Fortran order to be filled, else a new one
    threads : of the compiled loop; the bits do not depend on it

    Returns
    -------
    array (cell, column, step), Fortran order, units of the forcing table

    Raises
    ------
    ConcertoError
        Steps and intervals that do not fit, variables missing or of the wrong shape.

    Examples
    --------
    >>> values = {"air_temperature": 280.0, "specific_humidity": 0.004, "pressure": 1e5, "shortwave_down": 200.0}
    >>> values |= {"longwave_down": 300.0, "wind_speed": 2.0, "precipitation": 1e-5}
    >>> native = {name: np.full((1, 6), value) for name, value in values.items()}
    >>> steps = model_steps(native, [50.0], [0.0], ["2001-06-01"], 21600, 1800, co2=400.0)
    >>> steps.shape
    (1, 16, 48)
    >>> round(float(steps[0, 0].mean()), 6)
    280.0
    """
    from concerto import _core

    native_seconds = _positive_divisor(native_seconds, "interval of the forcing")
    step_seconds = _positive_divisor(step_seconds, "time step of the model")
    if native_seconds % step_seconds and step_seconds % native_seconds:
        raise ConcertoError(
            f"Steps of {step_seconds} s and forcing of {native_seconds} s do not fit each other.",
            hint="One must be a multiple of the other.",
        )
    latitude = np.atleast_1d(np.asarray(domain_latitude, dtype=float))
    longitude = np.atleast_1d(np.asarray(domain_longitude, dtype=float))
    days = np.atleast_1d(np.asarray(days, dtype="datetime64[D]"))
    model_days = days if model_days is None else np.atleast_1d(np.asarray(model_days, dtype="datetime64[D]"))
    n_cell, n_day = len(latitude), len(days)
    if len(longitude) != n_cell or len(model_days) != n_day:
        raise ConcertoError(
            f"{n_cell} latitudes stand against {len(longitude)} longitudes, {n_day} days against {len(model_days)}.",
            hint="Give one value for each cell and day.",
        )
    n_time = n_day * (DAY_SECONDS // native_seconds) + 2
    steps = DAY_SECONDS // step_seconds
    unknown = set(instantaneous) - set(CONTINUOUS) - {"precipitation", "rainfall", "snowfall", "leaf_area_index"}
    if unknown:
        raise ConcertoError(
            f"No variable {sorted(unknown)[0]} can be instantaneous.", hint="Known: " + ", ".join(CONTINUOUS)
        )

    def series(name):
        if native.get(name) is None:
            raise ConcertoError(f"The forcing has no {name}.", hint="Its variables: " + ", ".join(sorted(native)))
        values = np.ascontiguousarray(native[name], dtype=float)
        if values.shape != (n_cell, n_time):
            raise ConcertoError(
                f"{name} has the shape {values.shape} instead of {(n_cell, n_time)}.",
                hint="Cells, and the intervals of the days with one more at each end.",
            )
        return values.T  # the core has time first, in Fortran order

    def present(*names):
        return all(native.get(name) is not None for name in names)

    nothing = np.zeros((n_time, 1), order="F")
    has_extremes = present("air_temperature_min", "air_temperature_max") and native_seconds == DAY_SECONDS
    has_snow = not present("precipitation")
    history = _history(model_days, extra or {})
    air = np.empty((n_cell, n_day, 4), order="F")
    for k, value in enumerate((co2, *history)):
        value = np.asarray(value, dtype=float)
        air[:, :, k] = value[:, None] if value.ndim == 1 else value
    if cell_id is None:
        cell_id = np.arange(n_cell)
    random = np.empty((2, n_day, n_cell), order="F")
    if native_seconds == DAY_SECONDS and step_seconds < DAY_SECONDS:
        random[0], random[1] = uniform_hash(cell_id, days, 0).T, uniform_hash(cell_id, days, 1).T
    else:
        random[...] = 0.0

    table = loader.variables("forcing")
    shape = (n_cell, loader.columns("forcing"), n_day * steps)
    if out is None:
        out = np.empty(shape, order="F")
    elif out.shape != shape or out.dtype != float or not out.flags.f_contiguous:
        raise ConcertoError(f"The array to be filled is not of the shape {shape}, float64, in Fortran order.")
    _core.concerto_disaggregate.native_to_steps(
        n_thread=threads,
        steps=steps,
        has_extremes=int(has_extremes),
        has_snow=int(has_snow),
        has_leaf=int(present("leaf_area_index")),
        instantaneous=[int(name in instantaneous) for name in CONTINUOUS],
        columns=[table[name].column for name in COLUMNS],
        latitude=latitude,
        longitude=longitude,
        day_of_year=(model_days - model_days.astype("datetime64[Y]").astype("datetime64[D]")).astype(float) + 1.0,
        random=random,
        air=air,
        air_temperature=series("air_temperature"),
        temperature_least=series("air_temperature_min") if has_extremes else nothing,
        temperature_greatest=series("air_temperature_max") if has_extremes else nothing,
        specific_humidity=series("specific_humidity"),
        air_pressure=series("pressure"),
        shortwave_down=series("shortwave_down"),
        longwave_down=series("longwave_down"),
        wind_speed=series("wind_speed"),
        precipitation=series("rainfall" if has_snow else "precipitation"),
        snowfall=series("snowfall") if has_snow else nothing,
        leaf_area=series("leaf_area_index") if present("leaf_area_index") else nothing,
        forcing=out,
    )
    return out


def _history(days, extra):
    """Nitrogen deposition, delta13C and Delta14C, as given or from the built-in histories."""
    unknown = set(extra) - {"nitrogen_deposition", "delta13c_air", "delta14c_air"}
    if unknown:
        raise ConcertoError(
            f"{sorted(unknown)[0]} is no column that can be given.",
            hint="Give nitrogen_deposition, delta13c_air or delta14c_air.",
        )
    deposition, carbon13, carbon14 = (extra.get(k) for k in ("nitrogen_deposition", "delta13c_air", "delta14c_air"))
    if deposition is None:
        from concerto.forcing.history import built_in

        deposition = np.atleast_1d(built_in("ndep").at_time(days.astype("datetime64[s]")))[None, :]
    if carbon13 is None:
        from concerto.forcing.isotopes import delta13c_air

        carbon13 = np.atleast_1d(delta13c_air(days.astype("datetime64[s]"), beyond="hold"))[None, :]
    return deposition, carbon13, 0.0 if carbon14 is None else carbon14
