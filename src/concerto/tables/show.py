"""`concerto vars` and `concerto params`: the tables, searchable."""

from __future__ import annotations

import json
from difflib import get_close_matches

from concerto.errors import ConcertoError
from concerto.tables import loader


def _find(entries, pattern):
    """Entries whose name or meaning contains the pattern; an error with the nearest name if none does."""
    word = pattern.lower()
    found = [e for e in entries if any(word in text.lower() for text in (e.name, e.long_name, e.cmip or ""))]
    if not found:
        near = get_close_matches(pattern, [e.name for e in entries], n=1)
        raise ConcertoError(
            f"nothing in the table matches '{pattern}'",
            hint=f"did you mean '{near[0]}'?" if near else "give part of a name",
        )
    return found


def _table(title, columns, rows, whole=0, spare=()):
    """Print a table; its first ``whole`` columns are never broken, the ``spare`` ones left out where it is narrow."""
    from rich.table import Table
    from rich.text import Text

    from concerto.simulation.progress import show, table_width

    width = table_width()
    left_out = spare if width < 64 else spare[:1] if width < 96 else ()
    kept = [k for k, column in enumerate(columns) if column not in left_out]
    columns, rows = [columns[k] for k in kept], [[row[k] for k in kept] for row in rows]

    table = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for k, column in enumerate(columns):
        table.add_column(column, overflow="fold", no_wrap=k < whole)
    for row in rows:
        table.add_row(*map(Text, row))
    show(table)


def _bounds(entry):
    return f"{entry.bounds[0]:g} to {entry.bounds[1]:g}" if entry.bounds[1] < float("inf") else ""


def show_variables(pattern: str, as_json: bool = False) -> None:
    """Print the variables that match."""
    kinds = ("forcing", "state", "diagnostic", "cell", "tile")
    everything = [e for kind in kinds for e in loader.variables(kind).values()]
    found = _find(everything, pattern)
    if as_json:
        keys = ("name", "kind", "units", "long_name", "layers", "n_layer")
        rows = [{k: getattr(e, k) for k in keys} | {"output_name": e.cmip or e.name} for e in found]
        print(json.dumps(rows))
        return
    _table(
        f"{len(found)} variables",
        ("name", "kind", "unit", "output name", "bounds", "meaning"),
        [
            (
                e.name + (f" ({e.n_layer})" if e.n_layer > 1 else ""),
                e.kind,
                e.units,
                e.cmip or "",
                _bounds(e),
                e.long_name,
            )
            for e in found
        ],
        whole=2,
        spare=("bounds", "kind"),
    )


def show_parameters(pattern: str, as_json: bool = False) -> None:
    """Print the parameters that match; the value of each plant functional type where there are few."""
    found = _find(list(loader.parameters().values()), pattern)
    names = loader.pft_names()
    if as_json:
        print(
            json.dumps(
                [
                    {
                        "name": e.name,
                        "units": e.units,
                        "long_name": e.long_name,
                        "bounds": e.bounds,
                        "source": e.source,
                        "value": dict(zip(names, e.values, strict=True)) if e.per_pft else e.values[0],
                    }
                    for e in found
                ]
            )
        )
        return

    def span(e):
        low, high = min(e.values[1:]), max(e.values[1:])
        return f"{low:g}" if low == high else f"{low:g} to {high:g}"

    _table(
        f"{len(found)} parameters",
        ("name", "unit", "value", "bounds", "meaning", "source"),
        [(e.name, e.units, span(e), _bounds(e), e.long_name, e.source) for e in found],
        whole=3,
        spare=("source", "bounds"),
    )
    few = [e for e in found if e.per_pft]
    if 0 < len(few) <= 4:
        print()
        _table(
            "per plant functional type",
            ("id", "type", *[f"{e.name} ({e.units})" for e in few]),
            [(str(i), name, *[f"{e.values[i]:g}" for e in few]) for i, name in enumerate(names)],
        )


def show_options(pattern: str, as_json: bool = False) -> None:
    """Print the options, their choices and defaults."""
    found = _find(list(loader.options().values()), pattern)
    if as_json:
        rows = [{"name": e.name, "doc": e.long_name, "default": e.default, "choices": e.choices} for e in found]
        print(json.dumps(rows))
        return
    _table(
        f"{len(found)} options (* default)",
        ("option", "choice", "meaning"),
        [
            (e.name if i == 0 else "", choice + (" *" if choice == e.default else ""), meaning)
            for e in found
            for i, (choice, meaning) in enumerate(e.choices.items())
        ],
    )
