"""The compiled processes as vectorised NumPy functions, one module for each room of the model.

Every function is reached through its module or directly: ``kernels.leaf.c3_photosynthesis`` is
``kernels.c3_photosynthesis``. Inputs broadcast; units stand in the docstrings. Modules are imported when a
name is first used.

Examples
--------
>>> from concerto import kernels
>>> round(float(kernels.saturation_vapour_pressure(293.15)[0]))
2333
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil


def _rooms() -> list[str]:
    return [module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_")]


def _functions(room: str) -> dict:
    """Public functions that a room defines itself, by name."""
    module = importlib.import_module(f"{__name__}.{room}")
    return {
        name: value
        for name, value in vars(module).items()
        if inspect.isfunction(value) and value.__module__ == module.__name__ and not name.startswith("_")
    }


def describe(pattern: str = "") -> dict[str, str]:
    """What the kernels do, by ``room.function``: the first sentence of their docstrings.

    Parameters
    ----------
    pattern : str
        Part of a name or of its description; all kernels if empty.

    Examples
    --------
    >>> list(describe("day_length"))
    ['atmosphere.day_length']
    """
    word = pattern.lower()
    lines = {
        f"{room}.{name}": inspect.getdoc(function).partition("\n")[0]
        for room in _rooms()
        for name, function in _functions(room).items()
    }
    return {name: line for name, line in lines.items() if word in name.lower() or word in line.lower()}


def __getattr__(name):
    if not name.startswith("_"):
        rooms = _rooms()
        if name in rooms:
            return importlib.import_module(f"{__name__}.{name}")
        for room in rooms:
            functions = _functions(room)
            if name in functions:
                return functions[name]
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'; see {__name__}.describe()")


def __dir__():
    names = {name for room in _rooms() for name in _functions(room)}
    return sorted(names | set(_rooms()) | {"describe"})
