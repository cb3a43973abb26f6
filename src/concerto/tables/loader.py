"""Reads the tables that declare every variable, parameter and option once.

Standard library only: the build runs this file before anything is installed.
"""

from __future__ import annotations

import hashlib
import tomllib
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).parent
FILES = ("variables.toml", "parameters.toml", "options.toml")


@dataclass(frozen=True)
class Entry:
    """One row of a table: a variable, a parameter or an option."""

    name: str
    kind: str
    units: str = "1"
    long_name: str = ""
    layers: str | None = None
    n_layer: int = 1
    column: int = 0  # 1-based first column in its array
    bounds: tuple[float, float] = (float("-inf"), float("inf"))
    extra: dict = field(default_factory=dict)

    def __getattr__(self, name):
        extra = self.__dict__.get("extra", {})
        if name.startswith("__"):
            raise AttributeError(name)
        return extra.get(name)


def _read(name: str) -> dict:
    with open(FOLDER / name, "rb") as file:
        return tomllib.load(file)


def digest() -> str:
    """Digest of the tables; the compiled core carries the one it was built from."""
    total = hashlib.sha256()
    for name in FILES:
        total.update((FOLDER / name).read_bytes())
    return total.hexdigest()[:16]


@cache
def layers() -> dict[str, int]:
    """Number of layers (or pools) by name."""
    return dict(_read("variables.toml")["layers"])


@cache
def soil_thickness() -> list[float]:
    """Thickness of the soil layers, m, from the surface down."""
    return list(_read("variables.toml")["geometry"]["soil_thickness"])


@cache
def variables(kind: str) -> dict[str, Entry]:
    """Entries of one kind (``forcing``, ``state`` or ``diagnostic``), in the order of their columns."""
    size = layers()
    out, column = {}, 1
    for name, row in _read("variables.toml")[kind].items():
        row = dict(row)
        n_layer = size[row["layers"]] if "layers" in row else 1
        bounds = tuple(row.pop("bounds", (float("-inf"), float("inf"))))
        out[name] = Entry(
            name, kind, row.pop("units"), row.pop("long_name"), row.pop("layers", None), n_layer, column, bounds, row
        )
        column += n_layer
    return out


def outputs() -> dict[str, Entry]:
    """Everything that output streams can hold, of each tile."""
    return variables("diagnostic") | variables("state") | variables("forcing")


def filled(entry: Entry, choice) -> bool:
    """Whether the chosen options fill a row; ``choice(option)`` is the choice of an option.

    ``only_with`` of the row names them: option=choice, several separated by ``|``.
    """
    wanted = [word.partition("=") for word in (entry.only_with or "").split("|") if word]
    return not wanted or any(choice(option) == name for option, _, name in wanted)


def columns(kind: str) -> int:
    """Number of columns of one kind."""
    last = list((parameters() if kind == "parameter" else variables(kind)).values())[-1]
    return last.column + last.n_layer - 1


@cache
def pft_names() -> list[str]:
    """Names of the plant functional types; the position is the id."""
    return list(_read("parameters.toml")["pft"]["names"])


@cache
def parameters() -> dict[str, Entry]:
    """Entries of the parameter table; ``extra['values']`` holds one value per plant functional type."""
    table = _read("parameters.toml")
    n_pft = len(table["pft"]["names"])
    out, column = {}, 1
    for name, row in table["parameter"].items():
        row = dict(row)
        value = row.pop("value")
        values = list(value) if isinstance(value, list) else [value] * n_pft
        if len(values) != n_pft:
            raise ValueError(f"parameters.toml: {name} has {len(values)} values, expected 1 or {n_pft}")
        row["values"] = [float(v) for v in values]
        row["per_pft"] = isinstance(value, list)
        bounds = tuple(row.pop("bounds"))
        if not all(bounds[0] <= v <= bounds[1] for v in row["values"]):
            raise ValueError(f"parameters.toml: a value of {name} is outside its bounds {bounds}")
        out[name] = Entry(name, "parameter", row.pop("units"), row.pop("long_name"), None, 1, column, bounds, row)
        column += 1
    return out


@cache
def options() -> dict[str, Entry]:
    """Options with ``extra['choices']`` (name -> meaning, in the order of the integers from 1) and ``default``."""
    out = {}
    for column, (name, row) in enumerate(_read("options.toml").items(), start=1):
        if row["default"] not in row["choices"]:
            raise ValueError(f"options.toml: default of {name} is not among its choices")
        out[name] = Entry(name, "option", "", row["doc"], None, 1, column, extra=dict(row))
    return out


def needed(name: str, choice: str) -> dict[str, str]:
    """Choices of other options that a choice needs; of several allowed ones the first."""
    needs = (options()[name].needs or {}).get(choice, {})
    return {other: allowed if isinstance(allowed, str) else allowed[0] for other, allowed in needs.items()}


def option_numbers(chosen: dict[str, str] | None = None) -> list[int]:
    """Integer codes of all options, the defaults replaced by ``chosen``."""
    chosen = dict(chosen or {})
    numbers = []
    for name, entry in options().items():
        choice = chosen.pop(name, entry.default)
        names = list(entry.choices)
        if choice not in names:
            raise KeyError(f"option {name}: '{choice}' is not one of {', '.join(names)}")
        numbers.append(names.index(choice) + 1)
    named = {name: list(entry.choices)[numbers[entry.column - 1] - 1] for name, entry in options().items()}
    for name, entry in options().items():
        for other, allowed in (entry.needs or {}).get(named[name], {}).items():
            allowed = [allowed] if isinstance(allowed, str) else allowed
            if named[other] not in allowed:
                words = allowed[0] if len(allowed) == 1 else f"{', '.join(allowed[:-1])} or {allowed[-1]}"
                raise KeyError(f"option {name}: '{named[name]}' needs {other} = {words}, which is {named[other]}")
    if chosen:
        raise KeyError(f"unknown option {', '.join(chosen)}; known: {', '.join(options())}")
    return numbers
