"""The atmosphere through the centuries: CO2, nitrogen deposition and the isotopes of atmospheric CO2 year by year.

A `History` is a table of annual values with its source. Readers take the text layouts of TRENDY and CMIP (``year
value``, ``Annee_1850=284.7``) and CSV files with a header; CO2 and nitrogen deposition also come with the package.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from concerto.errors import ConcertoError
from concerto.forcing.co2 import annual_series

SECONDS_PER_YEAR = 3.15576e7
# Total deposition on land, g N m-2 yr-1. The globe received 34 Tg N in 1860, 100 in 1995 and 105 in 2005 (Galloway et
# al. 2004, doi:10.1007/s10533-004-0370-0, and 2008, doi:10.1126/science.1136674); land gets 57 % of it, the middle of
# Dentener et al. 2006 (doi:10.1029/2005GB002672: 36 to 51 % falls on the ocean), on 149e12 m2.
DEPOSITION = {1860: 0.130, 1995: 0.383, 2005: 0.402}


@dataclass(frozen=True)
class Quantity:
    """A quantity of the atmosphere: canonical unit, possible values, units that files use, names of columns."""

    long_name: str
    units: str
    bounds: tuple[float, float]
    factors: dict[str, float]  # unit of a file (lower case, no blanks or carets) -> factor to the canonical unit
    columns: tuple[str, ...]


_YEAR = SECONDS_PER_YEAR
QUANTITIES = {
    "co2": Quantity(
        "mole fraction of CO2 in air", "ppm", (100.0, 5000.0),
        {"ppm": 1.0, "ppmv": 1.0, "1e-6": 1.0, "umolmol-1": 1.0, "ppb": 1e-3, "molmol-1": 1e6},
        ("co2", "co2_ppm", "co2air", "data_mean_global"),
    ),
    "ndep": Quantity(
        "nitrogen deposition", "kg m-2 s-1", (0.0, 20e-3 / _YEAR),
        {"kgm-2s-1": 1.0, "gm-2yr-1": 1e-3 / _YEAR, "mgm-2yr-1": 1e-6 / _YEAR, "kgha-1yr-1": 1e-4 / _YEAR},
        ("ndep", "nitrogen_deposition", "total", "deposition"),
    ),
    "warming": Quantity("temperature anomaly", "K", (-20.0, 20.0), {"k": 1.0, "degc": 1.0, "c": 1.0},
                        ("anomaly", "warming", "temperature", "tas", "delta", "no_smoothing")),
    "delta13c": Quantity("delta13C of atmospheric CO2", "permil", (-20.0, 0.0), {"permil": 1.0},
                         ("delta13c", "d13c")),
    "delta14c": Quantity("Delta14C of atmospheric CO2", "permil", (-500.0, 2000.0), {"permil": 1.0},
                         ("delta14c", "d14c", "nh", "tropics", "sh")),
}  # fmt: skip


@dataclass(frozen=True)
class History:
    """Annual values of one quantity.

    Attributes
    ----------
    quantity : name in ``QUANTITIES``
    years : int array, consecutive calendar years
    values : float array, canonical unit of the quantity
    source : words for reports
    notes : list of str, what the reader did
    """

    quantity: str
    years: np.ndarray
    values: np.ndarray
    source: str
    constant: bool = False
    notes: list[str] = field(default_factory=list)

    @property
    def units(self) -> str:
        """Unit of the values."""
        return QUANTITIES[self.quantity].units

    def at(self, years) -> np.ndarray:
        """Values of calendar years (any shape): a step at each new year.

        Raises
        ------
        ConcertoError
            A year lies outside the series.
        """
        years = np.asarray(years).astype(int)
        if self.constant:
            return np.full(years.shape, self.values[0])
        outside = (years < self.years[0]) | (years > self.years[-1])
        if outside.any():
            raise ConcertoError(
                f"{self.source}: {QUANTITIES[self.quantity].long_name} is known for {self.years[0]} to "
                f"{self.years[-1]}, not for {years[outside].flat[0]}",
                hint="give a longer series, or run within its years",
            )
        return self.values[years - self.years[0]]

    def at_time(self, time) -> np.ndarray:
        """Values of the calendar years in which datetime64 stamps fall."""
        return self.at(np.asarray(time).astype("datetime64[Y]").astype(int) + 1970)

    def fixed(self, year: int) -> History:
        """The value of one year, for all years."""
        return constant(self.quantity, float(self.at(year)), f"{self.source}, held at {year}")


def constant(quantity: str, value: float, source: str = "") -> History:
    """One value (canonical unit) for all years."""
    about = QUANTITIES[quantity]
    low, high = about.bounds
    if not low <= value <= high:
        raise ConcertoError(
            f"{about.long_name} {value:g} {about.units} is outside {low:g} to {high:g} {about.units}",
            hint="check the unit",
        )
    return History(quantity, np.array([0]), np.array([float(value)]), source or f"constant {value:g}", True)


def built_in(quantity: str) -> History:
    """The series of the package.

    ``co2``: global annual mean 1700 to 2100, CMIP6 historical to 2014 and SSP2-4.5 after it (see `forcing.co2`).
    ``ndep``: one global mean over land. It stands at 0.130 g N m-2 yr-1 until 1860, at 0.383 in 1995 and at 0.402 from
    2005 on; between 1860 and 1995 it follows the rise of CO2 above 1860, a stand-in for the burning of fuel (half of
    the rise comes after 1965). Regions differ from it by a factor of three and more in both directions: give a file or
    a value.
    """
    years, co2 = annual_series()
    if quantity == "co2":
        return History("co2", years, co2, "built-in CO2 (CMIP6 historical, SSP2-4.5 after 2014)")
    if quantity == "ndep":
        at = dict(zip(years.tolist(), co2.tolist(), strict=True))
        share = np.clip((co2 - at[1860]) / (at[1995] - at[1860]), 0.0, 1.0)
        share[years < 1860] = 0.0
        values = DEPOSITION[1860] + (DEPOSITION[1995] - DEPOSITION[1860]) * share
        late = years > 1995
        values[late] = np.interp(years[late], [1995, 2005], [DEPOSITION[1995], DEPOSITION[2005]])
        return History("ndep", years, values * 1e-3 / SECONDS_PER_YEAR, "built-in nitrogen deposition (global land)")
    raise ConcertoError(
        f"the package has no series of {QUANTITIES[quantity].long_name}", hint="give a file with year and value"
    )


def resolve(quantity: str, given=None, start: int | None = None, **more) -> History:
    """A history from what a user gives: None (built-in), ``"constant"`` (held at ``start``), a number, or a file.

    Numbers: CO2 in ppm, nitrogen deposition in g N m-2 yr-1.
    """
    if isinstance(given, History):
        return given
    if given is None or str(given) == "builtin":
        return built_in(quantity)
    if str(given) == "constant":
        return built_in(quantity).fixed(start)
    try:
        value = float(str(given))
    except ValueError:
        return read_history(given, quantity, **more)
    scale = 1e-3 / SECONDS_PER_YEAR if quantity == "ndep" else 1.0
    word = "g N m-2 yr-1" if quantity == "ndep" else QUANTITIES[quantity].units
    if not np.isfinite(value):
        raise ConcertoError(f"{QUANTITIES[quantity].long_name} '{given}' is not a number", hint=f"give it in {word}")
    return constant(quantity, value * scale, f"constant {value:g} {word}")


# --- files


def read_history(path, quantity: str, *, column: str | None = None, scenario: str | None = None) -> History:
    """Read annual (or finer) values from text or CSV.

    Layouts: lines ``year value`` (TRENDY ``global_co2_ann_*.txt``), ``Annee_1850=284.7``, ``year month value``, and CSV
    with a header that names year and value; comments begin with ``#``, ``%`` or ``!``. The unit is taken from the name
    of the column (``co2_ppm``, ``ndep [kg ha-1 yr-1]``) or from a comment ``units: ...``. Finer values are averaged by
    calendar year, years between given ones are interpolated; both are noted.

    Parameters
    ----------
    path : file
    quantity : name in ``QUANTITIES``
    column : column of the value, where a file has several
    scenario : value of the column ``scenario`` for the years that several scenarios share

    Returns
    -------
    History in the canonical unit

    Raises
    ------
    ConcertoError
        Names file, line and fault: no number, falling times, repeated years, unknown unit, impossible values.

    Examples
    --------
    >>> read_history("global_co2_ann_1700_2024.txt", "co2").at([1850, 2000])  # doctest: +SKIP
    """
    path = Path(path)
    about = QUANTITIES[quantity]
    lines = _lines(path, about)
    unit = next(
        (m[1].strip() for _, line in lines if (m := re.match(r"^[#%!]+\s*units?\s*[:=]\s*(.+)$", line, re.I))), None
    )
    rows = [(number, line) for number, line in lines if line and line[0] not in "#%!"]
    if not rows:
        raise ConcertoError(f"{path} holds no values", hint=f"one line a year: year and {about.long_name}")
    if re.match(r"^[A-Za-z_]+_?(\d{4})\s*=", rows[0][1]):
        numbers, time, value = _assignments(path, rows)
    elif re.match(r"^[\"']?[A-Za-z_]", rows[0][1]):
        numbers, time, value, found = _table(path, rows, about, column, scenario)
        unit = found or unit
    else:
        numbers, time, value = _columns(path, rows)
    notes = []
    if unit is None:
        unit = "g m-2 yr-1" if quantity == "ndep" else about.units
        notes.append(f"{path.name}: no unit stated, taken as {unit}")
    value = value * _factor(path, unit, about)
    low, high = about.bounds
    wrong = ~((value >= low) & (value <= high))
    if wrong.any():
        k = int(np.argmax(wrong))
        raise ConcertoError(
            f"{path}, line {numbers[k]}: {about.long_name} {value[k]:g} {about.units} is outside {low:g} to {high:g} "
            f"{about.units} ({int(wrong.sum())} value(s))",
            hint=f"is the unit really {unit}? State it in a comment, # units: ..., or in the name of the column",
        )
    falling = np.flatnonzero(np.diff(time) <= 0.0)
    if len(falling):
        k = falling[0] + 1
        word = "is repeated" if time[k] == time[k - 1] else f"follows {time[k - 1]:g}"
        raise ConcertoError(
            f"{path}, line {numbers[k]}: the time {time[k]:g} {word}; times must rise",
            hint="sort the lines, or choose one scenario",
        )
    calendar = np.floor(time).astype(int)
    years, index, count = np.unique(calendar, return_inverse=True, return_counts=True)
    means = np.bincount(index, weights=value) / count
    if count.max() > 1:
        notes.append(f"{path.name}: mean of up to {count.max()} values a year")
    every = np.arange(years[0], years[-1] + 1)
    if len(every) > len(years):
        notes.append(f"{path.name}: {len(every) - len(years)} years between given ones are interpolated")
        means = np.interp(every, years, means)
    return History(quantity, every, means, path.name, False, notes)


def _lines(path, about):
    if not path.exists():
        raise ConcertoError(
            f"{path} does not exist ({about.long_name})", hint="give a file, a number, 'constant' or 'builtin'"
        )
    if path.is_dir():
        raise ConcertoError(f"{path} is a directory", hint="name the file in it")
    data = path.read_bytes()
    if data[:3] == b"CDF" or data[:4] == b"\x89HDF":
        raise ConcertoError(
            f"{path} is NetCDF; the annual series are read from text", hint="write it as lines of year and value"
        )
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ConcertoError(f"{path} is no text", hint="write it as lines of year and value") from None
    return [(k + 1, line.strip()) for k, line in enumerate(text.splitlines())]


def _number(path, number, word):
    try:
        value = float(word)
    except ValueError:
        value = np.nan
    if not np.isfinite(value):
        raise ConcertoError(f"{path}, line {number}: '{word}' is not a number", hint="one line a year: year and value")
    return value


def _assignments(path, rows):
    """``Annee_1850=284.7``"""
    out = []
    for number, line in rows:
        match = re.match(r"^[A-Za-z_]+_?(\d{4})\s*=\s*(\S+)$", line)
        if match is None:
            raise ConcertoError(
                f"{path}, line {number}: '{line[:40]}' is not of the form Annee_YEAR=VALUE", hint="mend that line"
            )
        out.append((number, float(match[1]), _number(path, number, match[2])))
    numbers, time, value = zip(*out, strict=True)
    return numbers, np.array(time), np.array(value)


def _words(line):
    cells = re.split(r"[,;]", line) if re.search(r"[,;]", line) else line.split()
    return [cell.strip().strip("\"'") for cell in cells]


def _columns(path, rows):
    """``year value`` or ``year month value``"""
    out, width = [], len(_words(rows[0][1]))
    for number, line in rows:
        words = _words(line)
        if len(words) != width or width < 2:
            raise ConcertoError(
                f"{path}, line {number}: {len(words)} columns, expected {max(width, 2)}",
                hint="year and value in each line",
            )
        cells = [_number(path, number, word) for word in words]
        out.append((number, *cells))
    table = np.array([row[1:] for row in out])
    if width == 2:
        time, value = table[:, 0], table[:, 1]
    elif width == 3 and np.all((table[:, 1] >= 1) & (table[:, 1] <= 12) & (table[:, 1] % 1 == 0)):
        time, value = table[:, 0] + (table[:, 1] - 0.5) / 12.0, table[:, 2]
    else:
        raise ConcertoError(
            f"{path} has {width} columns without a header", hint="add a header that names year and value"
        )
    return [row[0] for row in out], time, value


def _plain(name):
    return re.sub(r"[^a-z0-9]+", "_", re.split(r"[\[(]", name.lower())[0]).strip("_")


def _table(path, rows, about, column, scenario):
    """CSV or blanks with a header."""
    number, line = rows[0]
    header = _words(line)
    plain = [_plain(word) for word in header]
    years = [k for k, word in enumerate(plain) if word.split("_")[0] in ("year", "years", "time", "date", "annee")]
    if not years:
        raise ConcertoError(
            f"{path}, line {number}: no column is named year ({', '.join(header)})", hint="name the column of the year"
        )
    months = [k for k, word in enumerate(plain) if word in ("month", "mon")]
    if column is not None:
        chosen = [k for k, word in enumerate(header) if word == column or _plain(column) == plain[k]]
    else:
        rest = [k for k in range(len(header)) if k not in years + months and plain[k] != "scenario"]
        chosen = [k for k in rest if plain[k] in about.columns or plain[k].split("_")[0] in about.columns]
        chosen = rest if not chosen and len(rest) == 1 else chosen
    if len(chosen) != 1:
        word = "no column" if not chosen else f"{len(chosen)} columns"
        raise ConcertoError(
            f"{path}, line {number}: {word} for {about.long_name}{f' named {column}' if column else ''} "
            f"({', '.join(header)})",
            hint=f"name the column {about.columns[0]}, or say which one it is",
        )
    kinds = [k for k, word in enumerate(plain) if word == "scenario"]
    body = [(n, _words(text)) for n, text in rows[1:]]
    for n, words in body:
        if len(words) != len(header):
            raise ConcertoError(f"{path}, line {n}: {len(words)} columns, the header has {len(header)}", hint="mend it")
    if kinds:
        body = _of_scenario(path, body, years[0], kinds[0], scenario)
    elif scenario is not None:
        raise ConcertoError(f"{path} has no column scenario", hint="leave the scenario out")
    numbers = [n for n, _ in body]
    if not numbers:
        raise ConcertoError(f"{path} holds no values", hint=f"one line a year: year and {about.long_name}")
    time = np.array([_number(path, n, words[years[0]]) for n, words in body])
    if months:
        time = time + (np.array([_number(path, n, words[months[0]]) for n, words in body]) - 0.5) / 12.0
    value = np.array([_number(path, n, words[chosen[0]]) for n, words in body])
    bracket = re.search(r"[\[(](.+?)[\])]", header[chosen[0]])
    unit = bracket[1] if bracket else None
    if unit is None and any(_key(part) in about.factors for part in plain[chosen[0]].split("_")[1:]):
        unit = next(part for part in plain[chosen[0]].split("_")[1:] if _key(part) in about.factors)
    return numbers, time, value, unit


def _of_scenario(path, body, year, kind, scenario):
    """The rows that all scenarios share, and those of one of them."""
    names = list(dict.fromkeys(words[kind] for _, words in body))
    seen: dict[str, list[str]] = {}
    for _, words in body:
        seen.setdefault(words[year], []).append(words[kind])
    shared = {words[kind] for _, words in body if len(seen[words[year]]) == 1}
    others = [name for name in names if name not in shared]
    if scenario is not None and scenario not in names:
        raise ConcertoError(f"{path} has no scenario '{scenario}'", hint=f"choose one of {', '.join(others or names)}")
    if scenario is None and not others:
        return body
    # without a choice, the years that need none
    return [(n, words) for n, words in body if words[kind] in shared or words[kind] == scenario]


def _key(unit):
    unit = unit.lower().replace("\N{MICRO SIGN}", "u").replace("\N{PER MILLE SIGN}", "permil")
    unit = re.sub(r"\^|\*\*|\s|_", "", unit).replace("per mil", "permil")
    unit = re.sub(r"/(m2|ha|year|yr|y|s|mol)", lambda m: {"m2": "m-2"}.get(m[1], f"{m[1]}-1"), unit)
    unit = re.sub(r"(year|(?<![a-z])a|(?<=\d)a|(?<=\d)y)-1", "yr-1", unit)
    return re.sub(r"^(kg|mg|g)n(?=m|h)", r"\1", unit)


def _factor(path, unit, about):
    key = _key(unit)
    if key not in about.factors:
        raise ConcertoError(
            f"{path}: the unit '{unit}' of {about.long_name} is not known",
            hint=f"known (blanks do not matter): {', '.join(about.factors)}",
        )
    return about.factors[key]
