"""Carbon isotopes of the air: delta13C and Delta14C of CO2 at given times and latitudes.

Radiocarbon comes from a file in the layout of Graven et al. (2017, doi:10.5194/gmd-10-4405-2017): annual means at mid
year in three zones, ``Year.AD,NH,Tropics,SH``. None is shipped; without one Delta14C is 0, right before about 1950.
delta13C comes from a file of two columns or from a short table that is built in.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from concerto.errors import ConcertoError
from concerto.forcing.history import QUANTITIES, History, constant, read_history

ZONES = ("NH", "Tropics", "SH")
ZONE_BORDER = 30.0  # degrees: 90 N to 30 N, 30 N to 30 S, 30 S to 90 S (Graven et al. 2017)
# Annual means, global, per mil (VPDB): ice cores, firn and flasks as compiled by Belmecheri & Lavergne (2020,
# Dendrochronologia 63:125748), 1850 to 2015 the record of Graven et al. (2017). Lines between these years stay
# within 0.05 per mil of the annual values.
DELTA13C = {
    1765: -6.36,
    1850: -6.61,
    1900: -6.73,
    1920: -6.87,
    1950: -6.98,
    1961: -7.08,
    1976: -7.49,
    1989: -7.84,
    1994: -7.88,
    2003: -8.15,
    2015: -8.44,
    2024: -8.71,
}


def decimal_year(time) -> np.ndarray:
    """Years with fraction of datetime64 stamps; numbers pass as they are.

    Examples
    --------
    >>> decimal_year(np.datetime64("2001-07-02T12:00"))
    np.float64(2001.5)
    """
    time = np.asarray(time)
    if not np.issubdtype(time.dtype, np.datetime64):
        return time.astype(float)[()]
    stamp = time.astype("datetime64[s]")
    year = stamp.astype("datetime64[Y]")
    start = year.astype("datetime64[s]")
    length = ((year + 1).astype("datetime64[s]") - start).astype(float)
    return year.astype(int) + 1970.0 + (stamp - start).astype(float) / length


def _read(path, columns) -> np.ndarray:
    """Numbers of a CSV file with a header, comments after #; years increase, nothing is missing."""
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as fault:
        raise ConcertoError(f"{path}: cannot be read ({fault}).", hint="Check the path and the format.") from fault
    lines = [(k, line) for k, line in enumerate(text.splitlines(), 1) if line.strip() and not line.startswith("#")]
    hint = f"The file needs a header and the columns {', '.join(columns)}, separated by commas."
    rows = []
    for k, line in lines[1:]:
        try:
            row = [float(word) for word in line.split(",")]
        except ValueError:
            row = []
        if len(row) != len(columns) or not np.all(np.isfinite(row)):
            raise ConcertoError(f"{path}: line {k} ({line.strip()!r}) has not {len(columns)} numbers.", hint=hint)
        rows.append(row)
    table = np.array(rows)
    if len(rows) < 2 or not np.all(np.diff(table[:, 0]) > 0.0):
        raise ConcertoError(f"{path}: the years do not increase from line to line, or are fewer than two.", hint=hint)
    if np.any(table[:, 1:] < -1000.0):
        raise ConcertoError(f"{path}: a value is below -1000 per mil.", hint="Values are delta in per mil.")
    return table


def read_radiocarbon(path) -> tuple[np.ndarray, np.ndarray]:
    """Years (n,) and Delta14C (n, 3), per mil, of the zones north, tropics and south.

    Raises
    ------
    ConcertoError
        The file cannot be read, or a line is not a year and three values.
    """
    table = _read(path, ("Year.AD", *ZONES))
    return table[:, 0], table[:, 1:]


def read_delta13c(path) -> tuple[np.ndarray, np.ndarray]:
    """Years (n,) and delta13C of the air (n,), per mil (VPDB), of a CSV file with the columns year, delta13c."""
    table = _read(path, ("year", "delta13c"))
    return table[:, 0], table[:, 1]


def zone(latitude) -> np.ndarray:
    """0 north of 30 N, 1 between, 2 south of 30 S.

    Examples
    --------
    >>> zone([62.0, -10.0, -36.0])
    array([0, 1, 2])
    """
    latitude = np.asarray(latitude, dtype=float)
    return np.where(latitude >= ZONE_BORDER, 0, np.where(latitude <= -ZONE_BORDER, 2, 1))[()]


def _at(year, known, value, what, file, beyond):
    """Lines between annual means; before the series its first value, after it an error or the last value."""
    last = known[-1] + 0.5  # a mean at mid year stands for the year
    late = year > last
    if beyond == "error" and np.any(late):
        raise ConcertoError(
            f"{file}: {what} ends in {int(known[-1])}, but the year {int(np.max(year))} is asked for.",
            hint="Extend the file, or ask to hold the last value.",
        )
    return np.interp(year, known, value)


def delta14c_air(time, latitude, file=None, beyond="error") -> np.ndarray:
    """Delta14C of CO2 in the air, per mil.

    Parameters
    ----------
    time : datetime64 stamps or decimal years, any shape
    latitude : degrees north, one value or of the shape of ``time``
    file : CSV in the layout of Graven et al. (2017); None: 0 at all times, as before 1950
    beyond : after the last year: ``error`` or ``hold`` (before the first: its value)

    Returns
    -------
    array of the common shape

    Raises
    ------
    ConcertoError
        The file is bad, or a year lies after its end.
    """
    year, place = np.broadcast_arrays(decimal_year(time), zone(latitude))
    if file is None:
        return np.zeros(year.shape)
    known, value = read_radiocarbon(file)
    return np.choose(place, [_at(year, known, value[:, k], "Delta14C of the air", file, beyond) for k in range(3)])


def delta13c_air(time, file=None, beyond="error") -> np.ndarray:
    """delta13C of CO2 in the air, per mil (VPDB), global annual means.

    Parameters
    ----------
    time : datetime64 stamps or decimal years, any shape
    file : CSV with the columns year, delta13c; None: the built-in table, -6.36 before 1765 and -8.71 after 2024
    beyond : after the last year of a file: ``error`` or ``hold`` (before the first: its value)

    Examples
    --------
    >>> delta13c_air([1850.5, 2015.5]).round(2)
    array([-6.61, -8.44])
    """
    year = np.asarray(decimal_year(time))
    if file is None:
        return np.interp(year, np.array(list(DELTA13C)) + 0.5, list(DELTA13C.values()))
    known, value = read_delta13c(file)
    return _at(year, known, value, "delta13C of the air", file, beyond)


def air_history(quantity: str, given, latitude: float, start: int, last: int) -> History:
    """Annual delta13C or Delta14C of CO2 for the years ``start`` to ``last``.

    Parameters
    ----------
    quantity : ``delta13c`` or ``delta14c``
    given : None (13C: the built-in table, Delta14C: 0), number (per mil), ``"constant"`` (the built-in value of
        ``start``), History, or a file: that of Graven et al. (2017) with its three zones, or one that
        :func:`concerto.forcing.history.read_history` reads. Before its first year a file has its first value, after its
        last year it is held, and a note says so.
    latitude : degrees north, for the zone
    start, last : years

    Raises
    ------
    ConcertoError
        The file is bad or the number impossible.

    Examples
    --------
    >>> air_history("delta13c", None, 62.0, 1850, 2007).at([1850, 2000]).round(2)
    array([-6.61, -8.06])
    """
    if isinstance(given, History):
        return given
    years = np.arange(start, max(last, start) + 1)
    if given is None or str(given) in ("builtin", "constant"):
        if quantity == "delta14c":
            return constant(quantity, 0.0, "0, as before 1950 (no file of Delta14C)")
        found = History(quantity, years, delta13c_air(years + 0.5), "built-in delta13C of CO2")
        return found.fixed(start) if str(given) == "constant" else found
    try:
        value = float(str(given))
    except ValueError:
        pass
    else:
        if not np.isfinite(value):
            raise ConcertoError(
                f"{QUANTITIES[quantity].long_name} '{given}' is not a number", hint="give it in per mil"
            )
        return constant(quantity, value, f"constant {value:g} permil")
    found = read_history(given, quantity, column=_zone_column(given, latitude) if quantity == "delta14c" else None)
    notes = list(found.notes)
    if last > found.years[-1]:
        notes.append(f"{found.source}: ends in {found.years[-1]}, held at {found.values[-1]:g} permil after it")
    if start < found.years[0]:
        notes.append(f"{found.source}: begins in {found.years[0]}, held at {found.values[0]:g} permil before it")
    values = found.at(np.clip(years, found.years[0], found.years[-1]))
    return History(quantity, years, values, found.source, False, notes)


def _zone_column(path, latitude) -> str | None:
    """Name of the column of the zone, if the header of the file has the three zones."""
    try:
        head = next(line for line in Path(path).read_text(encoding="utf-8-sig").splitlines() if line[:1] not in "#%!")
    except (OSError, UnicodeDecodeError, StopIteration):
        return None  # the reader says what is wrong
    words = [word.strip().strip("\"'") for word in head.split(",")]
    return ZONES[zone(latitude)] if set(ZONES) <= set(words) else None
