"""One self-contained HTML page about a global or regional run, beside the plausibility envelope."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from concerto.errors import ConcertoError
from concerto.evaluation import globe
from concerto.evaluation.report import flatten, number

_CARDS = (  # quantity, name, unit, digits
    ("gpp", "Photosynthesis (GPP)", "PgC yr⁻¹", 1),
    ("npp", "Net primary production", "PgC yr⁻¹", 1),
    ("nbp", "Net land uptake", "PgC yr⁻¹", 2),
    ("et", "Evapotranspiration", "10³ km³ yr⁻¹", 1),
    ("runoff", "Runoff", "10³ km³ yr⁻¹", 1),
    ("c_vegetation", "Carbon in vegetation", "PgC", 0),
    ("c_soil", "Carbon in soil", "PgC", 0),
    ("turnover", "Turnover of carbon", "yr", 1),
)
_POINT_CARDS = (  # of the means, for points without areas
    ("gpp", "Photosynthesis (GPP)", "gC m⁻² yr⁻¹", 0),
    ("npp", "Net primary production", "gC m⁻² yr⁻¹", 0),
    ("et", "Evapotranspiration", "mm yr⁻¹", 0),
    ("c_vegetation", "Carbon in vegetation", "kgC m⁻²", 1),
    ("c_soil_all", "Carbon in soil", "kgC m⁻²", 1),
)
_REST = (  # totals without a range
    ("ra", "Plant respiration", "PgC yr⁻¹", 1),
    ("rh", "Heterotrophic respiration", "PgC yr⁻¹", 1),
    ("c_litter", "Carbon in litter", "PgC", 0),
    ("c_total", "Carbon of the land", "PgC", 0),
    ("transpiration", "Transpiration", "10³ km³ yr⁻¹", 1),
    ("precipitation", "Precipitation", "10³ km³ yr⁻¹", 1),
    ("runoff_precipitation", "Runoff / precipitation", "", 2),
    ("latent", "Latent heat", "W m⁻²", 1),
    ("sensible", "Sensible heat", "W m⁻²", 1),
    ("lai_mean", "Leaf area index, all land", "m² m⁻²", 2),
    ("land_area", "Land of the run, without ice", "10⁶ km²", 1),
)
_SUM_UNITS = ("PgC yr⁻¹", "PgC", "10³ km³ yr⁻¹", "10⁶ km²")
_BIOME_DIGITS = {"gpp": 0, "npp": 0, "lai_peak": 1, "c_vegetation": 1, "c_soil": 1, "et": 0, "turnover": 0}
_WORDS = {"inside": "inside", "wider": "wider spread", "below": "below", "above": "above"}
_COLUMNS = {  # columns of totals.csv -> quantity of the figure
    **{name: name for name in ("gpp", "npp", "rh", "nbp", "et", "runoff", "lai", "co2")},
    **{name: name for name in ("c_vegetation", "c_soil", "c_litter")},
    **{"evspsbl": "et", "mrro": "runoff", "mrros": "runoff", "mrrob": "runoff"},  # parts are added
    **{"cVeg": "c_vegetation", "cSoil": "c_soil", "cLitter": "c_litter"},
}
_TO_UNIT = {  # units of totals.csv -> factor to the unit of the figure
    **dict.fromkeys(("PgC yr-1", "GtC yr-1", "Pg yr-1", "PgC", "GtC", "Pg", "1000 km3 yr-1", "1e3 km3 yr-1"), 1.0),
    **dict.fromkeys(("m2 m-2", "1", "ppm", "1e-6", "umol mol-1"), 1.0),
    **{"km3 yr-1": 1e-3, "kg yr-1": 1e-12, "kg": 1e-12},
}
_PHASES = {"compute": "compute", "step": "compute", "model": "compute", "input": "input", "read": "input",
           "forcing": "input", "output": "output", "write": "output", "waiting": "waiting", "wait": "waiting",
           "idle": "waiting", "spin-up": "spin-up", "spinup": "spin-up", "land use": "compute",
           "other": "other"}  # fmt: skip


LARGE = 1.0  # million km2 of land from which sums say more than means


def _sums(data):
    """Whether sums over the land are shown; else means, as for points."""
    return data.extensive and data.land >= LARGE


def _digits(value):
    """Decimals that show three figures."""
    size = abs(value)
    return 0 if size >= 100 else 1 if size >= 10 else 2


def _range(low, high, digits=None):
    digits = digits if digits is not None else max(_digits(high), 0)
    if float(low).is_integer() and float(high).is_integer():
        digits = 0
    between = " to " if low < 0 else "\u2060–\u2060"  # no break at the dash
    return f"{number(low, digits)}{between}{number(high, digits)}"


def _strip(row, width=150, height=16):
    """A small scale: grey the wider spread and the range, a dot the value; cut values have a pointed end."""
    low, high = row["low"], row["high"]
    wide_low, wide_high = row["wide"] or (low, high)
    margin = 0.45 * max(wide_high - wide_low, high - low)
    left, right = wide_low - margin, wide_high + margin
    if left < 0.0 <= low:
        left = min(0.0, low)

    def x(value):
        return 6.0 + (width - 12.0) * (min(max(value, left), right) - left) / (right - left)

    middle = height / 2
    parts = [f'<line x1="2" x2="{width - 2}" y1="{middle}" y2="{middle}" stroke="#dfe3e7"/>']
    for a, b, colour, tall in ((wide_low, wide_high, "#e6e9ec", 8), (low, high, "#b8c4ce", 8)):
        parts.append(
            f'<rect x="{x(a):.1f}" width="{x(b) - x(a):.1f}" y="{middle - tall / 2}" height="{tall}" fill="{colour}"/>'
        )
    value = row["value"]
    colour = {"inside": "#0072b2", "wider": "#e69f00", None: "#737c88"}.get(row["verdict"], "#d55e00")
    if left <= value <= right:
        parts.append(f'<circle cx="{x(value):.1f}" cy="{middle}" r="4" fill="{colour}"/>')
    else:
        tip, foot = (1, 9) if value < left else (width - 1, width - 9)
        parts.append(f'<path d="M{tip} {middle} L{foot} {middle - 5} L{foot} {middle + 5} Z" fill="{colour}"/>')
    return f'<svg class="strip" width="{width}" height="{height}" aria-hidden="true">{"".join(parts)}</svg>'


def read_facts(folder):
    """What the run says of itself (``run.json``); an empty dict where there is none.

    Raises
    ------
    ConcertoError
        The file is not JSON.
    """
    import json

    path = Path(folder) / "run.json"
    if not path.is_file():
        return {}
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise ConcertoError(f"{path}: cannot be read ({error}).", hint="Remove it; the page works without.") from None
    return facts if isinstance(facts, dict) else {}


def read_series(folder, notes=None):
    """Totals year by year of ``totals.csv``.

    Parameters
    ----------
    folder : path
    notes : list of str, optional
        Takes what was left out.

    Returns
    -------
    (year, dict) or None
        The columns that the figure knows, in PgC (yr-1), 1000 km3 yr-1. Headers are ``name``, ``name (unit)`` or
        ``name [unit]``; columns without a known unit are left out. With a column ``phase`` the last phase counts.
    """
    import csv
    import re

    path = Path(folder) / "totals.csv"
    if not path.is_file():
        return None
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.reader(line for line in file if line.strip() and not line.startswith("#")))
    if len(rows) < 3:
        return None
    head = [re.fullmatch(r"\s*([^\s\[(]+)\s*(?:[\[(](.*)[\])])?\s*", cell) for cell in rows[0]]
    head = [(m.group(1), m.group(2)) if m else (cell.strip(), None) for m, cell in zip(head, rows[0], strict=True)]
    names = [name for name, _ in head]
    body = [row for row in rows[1:] if len(row) == len(head)]
    if "phase" in names:
        k, first = names.index("phase"), len(body) - 1
        while first > 0 and body[first - 1][k] == body[-1][k]:
            first -= 1
        body = body[first:]

    def values(k):
        out = np.full(len(body), np.nan)
        for i, row in enumerate(body):
            try:
                out[i] = float(row[k])
            except ValueError:
                pass
        return out

    clock = next((names.index(name) for name in ("year", "time") if name in names), None)
    if clock is None or not body:
        return None
    year = np.array([float(row[clock][:4]) if row[clock][:4].strip().lstrip("-").isdigit() else np.nan for row in body])
    found, strange = {}, []
    for k, (name, unit) in enumerate(head):
        key = _COLUMNS.get(name)
        if key is None:
            continue
        factor = 1.0 if unit is None and key in ("lai", "co2") else _TO_UNIT.get((unit or "").strip())
        if factor is None:
            strange.append(f"{name} ({unit or 'no unit'})")
            continue
        found[key] = values(k) * factor + (found[key] if name == "mrrob" and key in found else 0.0)
    if strange and notes is not None:
        notes.append(f"Columns of totals.csv with a unit that is not known are left out: {', '.join(strange)}.")
    good = np.isfinite(year)
    return (year[good], {key: value[good] for key, value in found.items()}) if found and good.sum() > 1 else None


def _yearly(data):
    """Totals year by year from the output itself, for the years of the means."""
    area = data.area.sum()
    out = {}
    for name, key in (("lai", "lai"),):
        if name in data.yearly:
            out[key] = data.yearly[name]
    if data.extensive:
        for name, key, factor in (
            *((name, name, globe.SECONDS_PER_YEAR * 1e-12) for name in ("gpp", "npp", "rh", "nbp")),
            ("evspsbl", "et", globe.SECONDS_PER_YEAR * 1e-15),
            ("mrro", "runoff", globe.SECONDS_PER_YEAR * 1e-15),
            ("cVeg", "c_vegetation", 1e-12),
            ("cSoil", "c_soil", 1e-12),
            ("cLitter", "c_litter", 1e-12),
        ):
            if name in data.yearly:
                out[key] = data.yearly[name] * area * factor
    return (data.year, out) if out and len(data.year) > 1 else None


def rank_times(facts):
    """Seconds of each rank by what they were spent on, summed over the phases of a run.

    Parameters
    ----------
    facts : dict
        Of ``run.json``: ``phases``, a list of dict with ``ranks``, one dict of seconds per rank (compute, input,
        output, spin-up, waiting); or ``ranks`` alone, of the same form.

    Returns
    -------
    dict kind -> (rank,) seconds, or None where the facts do not say
    """
    phases = facts.get("phases")
    lists = [phase.get("ranks") for phase in phases if isinstance(phase, dict)] if isinstance(phases, list) else []
    lists = [found for found in [*lists, facts.get("ranks")] if isinstance(found, list) and found]
    number_of = max(map(len, lists), default=0)
    out = {}
    for found in lists:
        for rank, row in enumerate(found):
            for key, value in row.items() if isinstance(row, dict) else ():
                kind = _PHASES.get(str(key))
                if kind and isinstance(value, int | float) and not isinstance(value, bool):
                    out.setdefault(kind, np.zeros(number_of))[rank] += value
    return out or None


def _tidy(value):
    if isinstance(value, bool) or value is None:
        return "–" if value is None else "yes" if value else "no"
    if isinstance(value, int | float):
        small = value != 0 and (abs(value) < 0.01 or abs(value) >= 1e7)
        return f"{value:.2e}".replace("-", "−") if small else number(value, 0 if float(value).is_integer() else 2)
    if isinstance(value, dict):
        return ", ".join(f"{k} {_tidy(v)}" for k, v in value.items())
    if isinstance(value, list | tuple):
        return "–".join(map(str, value)) if len(value) == 2 else ", ".join(_tidy(v) for v in value)
    return str(value)


def _phases(facts):
    """Table of the phases: head and rows of text."""
    rows = facts.get("phases")
    if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) for row in rows):
        return None
    config = facts.get("configuration")
    told = config.get("phases") if isinstance(config, dict) else None
    told = {p.get("name"): p for p in told if isinstance(p, dict)} if isinstance(told, list) else {}
    rows = [{"name": row.get("name")} | {k: told.get(row.get("name"), {}).get(k) for k in ("kind", "years", "climate",
            "co2")} | row for row in rows]  # fmt: skip
    plain = [{k: v for k, v in row.items() if v is not None and k != "ranks"} for row in rows]
    order = ("name", "kind", "years", "climate", "co2", "result", "wall")
    there = dict.fromkeys(k for row in plain for k in row)
    head = [*(k for k in order if k in there), *(k for k in there if k not in order)][:9]

    def text(key, value):
        if key in ("wall", "seconds") and isinstance(value, int | float):
            return (
                f"{value / 3600:.2f} h"
                if value > 7200
                else f"{value / 60:.1f} min"
                if value > 180
                else f"{value:.1f} s"
            )
        if key in ("years", "year", "climate", "co2") and not isinstance(value, dict):
            return (
                "–".join(map(str, value)) if isinstance(value, list | tuple) else "–" if value is None else str(value)
            )
        return _tidy(value)

    names = {"wall": "wall time", "co2": "CO2"}
    return {"head": [names.get(k, k.replace("_", " ")) for k in head],
            "body": [[text(k, row.get(k)) for k in head] for row in plain]}  # fmt: skip


def _named(value):
    """Nested lists of sections as dicts by their names, for a flat table."""
    if isinstance(value, dict):
        return {key: _named(item) for key, item in value.items() if item not in (None, {}, [])}
    if isinstance(value, list | tuple) and value and all(isinstance(item, dict) for item in value):
        return {str(item.get("name", k + 1)): _named({a: b for a, b in item.items() if a != "name"})
                for k, item in enumerate(value)}  # fmt: skip
    return "yes" if value is True else "no" if value is False else value


def _section(value):
    """Flat rows of a section of the run's facts."""
    return flatten(_named(value)) if isinstance(value, dict) and value else []


def _run_rows(facts):
    """State of the run, in lines."""
    summary = facts.get("summary") if isinstance(facts.get("summary"), dict) else {}
    ranks = facts.get("ranks")
    rows = {
        "state": facts.get("state"),
        "ranks": ranks if isinstance(ranks, int) else len(ranks) if isinstance(ranks, list) else None,
        "wall time": summary.get("wall time"),
        "tables of the core": facts.get("tables"),
        "output": summary.get("output"),
    }
    return [(name, str(value)) for name, value in rows.items() if value is not None]


def _residuals(facts):
    summary = facts.get("summary") if isinstance(facts.get("summary"), dict) else {}
    return _section(facts.get("residuals") or summary.get("worst residual"))


LEAST_HISTORY = 50  # years of run phases from which the net uptake says more than how good the spin-up was


def _without_history(facts):
    """The net land sink of a run that has hardly any history beside its spin-up has no range."""
    config = facts.get("configuration")
    phases = config.get("phases") if isinstance(config, dict) else None
    spans = [p.get("years") for p in phases if isinstance(p, dict)] if isinstance(phases, list) else []
    spans = [span for span in spans if isinstance(span, list) and len(span) == 2]
    if not spans or sum(last - first + 1 for first, last in spans) >= LEAST_HISTORY:
        return {}
    return {"nbp": "near an equilibrium"}


def analyse(folder, years=20, without=None, inputs=None):
    """Everything that the page and the figures show.

    Parameters
    ----------
    folder : path
        Folder of a run.
    years : int
        Last years of which the means are taken.
    without : path, optional
        Folder of the same run with land use held (S2), for all that land use does.
    inputs : path, optional
        Folder to which the paths of the land-use history refer (that of the configuration): gross flows, bookkeeping.

    Returns
    -------
    dict
        ``data`` (Climatology), ``domain`` (or None), ``whole`` (bool), ``totals``, ``compared``, ``biomes``,
        ``biomes_compared``, ``latitudes``, ``share`` (cell, 17) and ``biome`` (cell,) or None, ``series``, ``facts``,
        ``notes``, ``land_use`` (dict, or None for a run without).
    """
    folder = Path(folder)
    globe.stream_files(folder)  # a missing folder is told before anything else
    facts, notes = read_facts(folder), []
    domain = globe.read_domain(folder)
    data = globe.climatology(folder, years, domain)
    notes += data.notes
    whole = globe.is_globe(data)
    totals = globe.totals(data)
    biomes, share, biome = [], None, None
    if domain is not None and len(np.asarray(domain.tile_pft)):
        share = globe.cover(domain, data.latitude, data.longitude)
        temperature = data.months["tas"].T - 273.15 if "tas" in data.months else None
        biome = globe.biomes(share, data.latitude, temperature)
        biomes = globe.by_biome(data, domain)
    else:
        notes.append("No domain.nc in the folder: the plant types of the cells are not known, no biomes.")
    width = 10.0 if np.ptp(data.latitude) > 25.0 else 2.0
    return {
        "data": data,
        "domain": domain,
        "whole": whole,
        "totals": totals,
        "compared": globe.compare(totals, whole=whole, open_because=_without_history(facts)),
        "biomes": biomes,
        "biomes_compared": globe.compare_biomes(biomes),
        "latitudes": globe.by_latitude(data, width),
        "share": share,
        "biome": biome,
        "series": (read_series(folder, notes) if _sums(data) else None) or _yearly(data),
        "facts": facts,
        "notes": notes,
        "land_use": _land_use(folder, without, inputs, notes),
    }


def _land_use(folder, without, inputs, notes):
    """Land use of the run: it, that without change, the history, budgets; None where there is none."""
    from concerto.evaluation import land_use as lu

    if "land_use" not in globe.stream_files(folder):
        if without is not None:
            raise ConcertoError(f"{folder} has no land use to compare with {without}.", hint="Leave --without.")
        return None
    run = lu.read_land_use(folder)
    held = None if without is None else lu.read_land_use(without)
    if held is not None:
        lu.eluc(held, run)  # the same cells and years, and both have NBP
    history = lu.history_or_none(run, inputs, notes)
    budgets = lu.budgets(run, held, "bands", history, notes=notes)
    return {"run": run, "without": held, "history": history, "budgets": budgets}


def _figures(found):
    """Name, function (taking the format) and caption of each figure."""
    from concerto.evaluation import maps

    data, series = found["data"], found["series"]
    period = _period(data)
    ranks = rank_times(found["facts"])
    one = len(data.latitude) == 1  # a map of one place shows nothing
    out = [
        (
            "maps",
            lambda **k: None if one else maps.map_grid(data, **k),
            f"Means of {period}. Values per area of land; grey: not simulated. Ratios and turnover are left open where"
            " there is almost no photosynthesis or evaporation.",
        ),
        (
            "biomes",
            lambda **k: maps.biome_ranges(found["biomes"], **k),
            "Biomes beside the envelope. Grey: range of natural mature vegetation; dot: mean of the run, blue inside,"
            " orange outside the range; line: middle 80 % of the land of the biome. Cells are taken whole, with all"
            " their plant types.",
        ),
        (
            "types",
            lambda **k: None if one else maps.type_maps(data, found["share"], found["biome"], **k),
            "Vegetation. The plant functional type with the largest share of each cell, and the biome it counts to.",
        ),
        (
            "latitude",
            lambda **k: maps.zonal_means(data, **k),
            f"By latitude. Means over the land of a band, {period}; shade: middle 80 % of its land.",
        ),
        (
            "seasons",
            lambda **k: maps.hovmoeller(data, **k),
            f"Seasons. Monthly means over the land of each band of latitude, {period}.",
        ),
        (
            "totals",
            lambda **k: maps.total_series(*series, **k) if series is not None else None,
            "Year by year. Totals of the land of the run.",
        ),
        (
            "time",
            lambda **k: maps.wall_time(ranks, **k) if ranks is not None else None,
            "Wall time. What each rank spent its time on.",
        ),
    ]
    if (land_use := found["land_use"]) is not None:
        from concerto.evaluation.land_use import figures

        drawn = figures(land_use["run"], land_use["without"], land_use["history"])
        drawn = [row for row in drawn if not (one and row[0] in ("map", "tiles"))]
        out += [(f"land_use_{name}", draw, caption) for name, draw, caption in drawn]
    return out


def _period(data):
    return f"{data.first} to {data.last}" if data.first != data.last else str(data.first)


def _cards(found):
    data, by_key = found["data"], {row["key"]: row for row in found["compared"]}
    cards = []
    if _sums(data):
        for key, name, unit, digits in _CARDS:
            if key in found["totals"]:
                row = by_key[key]
                told = _range(row["low"], row["high"]) if row["verdict"] else None
                cards.append((name, number(found["totals"][key], digits), unit, told, row["verdict"], row["away"]))
    else:
        means = globe._depth(data.mean, data.area)
        for key, name, unit, digits in _POINT_CARDS:
            if key in means:
                cards.append((name, number(means[key], digits), unit, None, None, None))
    keys = ("name", "value", "unit", "range", "verdict", "away")
    return [dict(zip(keys, card, strict=True)) for card in cards]


def _total_rows(found):
    rows, sums = [], _sums(found["data"])
    for row in found["compared"]:
        if row["value"] is None or not np.isfinite(row["value"]) or not (sums or row["unit"] not in _SUM_UNITS):
            continue
        judged = row["verdict"] is not None
        rows.append(
            {
                "name": row["name"],
                "unit": row["unit"],
                "value": number(row["value"], _digits(row["value"])),
                "range": _range(row["low"], row["high"]) if judged else "",
                "wide": _range(*row["wide"]) if judged and row["wide"] else "",
                "verdict": _WORDS.get(row["verdict"], row["why"]),
                "kind": row["verdict"] or "open",
                "strip": _strip(row) if judged else "",
                "source": row["source"] + (f". Applies to {row['when']}" if row["when"] else ""),
            }
        )
    for key, name, unit, digits in _REST:
        if key in found["totals"] and (sums or unit not in _SUM_UNITS):
            rows.append(
                {"name": name, "unit": unit, "value": number(found["totals"][key], digits), "range": "", "wide": "",
                 "verdict": "", "kind": "open", "strip": "", "source": ""}
            )  # fmt: skip
    return rows


def _biome_table(found):
    if not found["biomes"]:
        return None
    data, table = found["data"], globe.envelope()
    quantities = [k for k in table["biome_quantity"] if any(k in row["values"] for row in found["biomes"])]
    judged = {(row["biome"], row["key"]): row for row in found["biomes_compared"]}
    body = []
    for row in found["biomes"]:
        cells = []
        for key in quantities:
            if key not in row["values"]:
                cells.append({"value": "–", "range": "", "kind": "open"})
                continue
            item, digits = judged.get((row["biome"], key)), _BIOME_DIGITS[key]
            value = row["values"][key][0]
            if 0.0 < value < 1.0:
                digits = max(digits, 2)
            cells.append(
                {
                    "value": number(value, digits),
                    "range": _range(item["low"], item["high"], 1 if digits else 0) if item else "",
                    "kind": item["verdict"] if item else "open",
                }
            )
        body.append(
            {
                "name": row["name"],
                "colour": table["biome"][row["biome"]]["colour"],
                "area": str(row["cells"])
                if not data.extensive
                else number(row["land_area"], 1)
                if _sums(data)
                else number(row["land_area"] * 1e6, 0),
                "share": f"{100 * row['share']:.0f}",
                "cells": cells,
            }
        )
    head = [(table["biome_quantity"][k]["name"], table["biome_quantity"][k]["unit"]) for k in quantities]
    if found["biomes"][0]["soil_depth"] == "all":
        head = [(name.replace(" to 1 m", ", all depths"), unit) for name, unit in head]
    return {"head": head, "body": body, "area": "cells" if not data.extensive else "10⁶ km²" if _sums(data) else "km²"}


def _latitude_table(found):
    if _sums(found["data"]):
        columns = (
            ("land_area", "Land", "10⁶ km²", 2), ("gpp", "GPP", "PgC yr⁻¹", 2), ("npp", "NPP", "PgC yr⁻¹", 2),
            ("nbp", "NBP", "PgC yr⁻¹", 3), ("et", "ET", "10³ km³ yr⁻¹", 2), ("runoff", "Runoff", "10³ km³ yr⁻¹", 2),
            ("c_vegetation", "C vegetation", "PgC", 1), ("c_soil", "C soil", "PgC", 1),
        )  # fmt: skip
        rows = [(row, row) for row in found["latitudes"]]
    else:
        columns = (
            ("gpp", "GPP", "gC m⁻² yr⁻¹", 0), ("npp", "NPP", "gC m⁻² yr⁻¹", 0), ("et", "ET", "mm yr⁻¹", 0),
            ("c_vegetation", "C vegetation", "kgC m⁻²", 1), ("c_soil_all", "C soil", "kgC m⁻²", 1),
        )  # fmt: skip
        rows = [(row, row["mean"]) for row in found["latitudes"]]
    columns = [c for c in columns if any(c[0] in values for _, values in rows)]
    with_lai = any("lai" in row["mean"] for row, _ in rows)

    def degrees(value):
        return f"{abs(value):g}°{' N' if value > 0 else ' S' if value < 0 else ''}"

    body = []
    for row, values in rows:
        cells = [number(values.get(key, np.nan), digits) for key, _, _, digits in columns]
        cells += [number(row["mean"].get("lai", np.nan), 2)] if with_lai else []
        body.append([f"{degrees(row['south'])} to {degrees(row['north'])}", *cells])
    head = [(name, unit) for _, name, unit, _ in columns] + ([("LAI", "m² m⁻²")] if with_lai else [])
    return {"head": head, "body": body}


_TITLES = {
    "runs": "Emission by what gives it",
    "bookkeeping": "Emission by bookkeeping, densities of the first years",
}
_PERIODS = 4


def _land_use_table(found):
    """Tables of land use: components, regions, areas; None for a run without."""
    from concerto.evaluation.land_use import KINDS

    land_use = found["land_use"]
    if land_use is None:
        return None
    run, without = land_use["run"], land_use["without"]
    tables = land_use["budgets"]
    largest = max(float(np.abs(table.net.sel(region="all")).max()) for table in tables.values())
    factor, unit = 1.0, run.unit
    if run.extensive and largest < 0.05:
        factor, unit = 1e3, "TgC"
    digits = 3 if factor * largest < 1 else 2 if factor * largest < 10 else 1 if factor * largest < 100 else 0

    def text(values, fewer=0):
        value = float(values) * factor
        return "–" if value == 0.0 else number(value, max(digits - fewer, 0))

    parts = []
    for method, title in _TITLES.items():
        if method not in tables:
            continue
        table = tables[method]
        whole = table.sel(region="all")
        year = whole["year"].values
        spans = np.array_split(np.arange(len(year)), min(_PERIODS, len(year)))
        rows = [(str(name).replace("_", " "), whole.sel(component=name)) for name in whole["component"].values]
        rows.append(("all", whole.sum("component")))
        body = [
            [name, text(row.source.mean()), text(row.sink.mean()), text(row.net.mean()), text(row.net.sum(), 1),
             *(text(row.net.values[s].mean()) for s in spans)]
            for name, row in rows
        ]  # fmt: skip
        if "lasc" in table:
            body.append(["LASC, apart", "", "", text(whole.lasc.mean()), text(whole.lasc.sum(), 1),
                         *(text(whole.lasc.values[s].mean()) for s in spans)])  # fmt: skip
        columns = ["–".join(map(str, dict.fromkeys((int(year[s[0]]), int(year[s[-1]]))))) for s in spans]
        head = [(name, f"{unit} yr⁻¹") for name in ("sources", "sinks", "net", *columns)]
        head.insert(3, ("sum", unit))
        parts.append({"title": title, "first": "component", "head": head, "body": body})
    names = [str(name) for name in tables["runs"]["region"].values if name != "all"]
    if len(names) > 1 and run.extensive:
        shown = [m for m in _TITLES if m in tables]
        body = [[name, *(text(tables[m].net.sel(region=name).sum("component").mean()) for m in shown)]
                for name in (*names, "all")]  # fmt: skip
        words = {"runs": "this run" if without is None else "two runs", "bookkeeping": "bookkeeping"}
        head = [(words[m], f"{unit} yr⁻¹") for m in shown]
        parts.append({"title": "Net emission by region", "first": "region", "head": head, "body": body})
    weight = run.area * 1e-12 if run.extensive else run.area / run.area.sum()
    area = np.einsum("yck,c->yk", run.kinds, weight)
    change = np.diff(area, axis=0)
    there = [k for k in range(len(KINDS)) if area[:, k].max() > 1e-6 * area.sum(axis=1).max()]
    digits = 3 if area.sum(axis=1).max() < 10 else 2
    body = [
        [KINDS[k], *("–" if v == 0.0 else number(v, digits) for v in (area[0, k], area[-1, k],
         np.maximum(change[:, k], 0.0).sum(), np.minimum(change[:, k], 0.0).sum()))]
        for k in there
    ]  # fmt: skip
    unit = "10⁶ km²" if run.extensive else "share"
    head = [(str(run.year[0]), unit), (str(run.year[-1]), unit), ("gained", unit), ("lost", unit)]
    parts.append({"title": "Area", "first": "kind of land", "head": head, "body": body})
    if without is None:
        notes = ["This is what clearing and products give to the air at once. The emission of land use (ELUC) needs a"
                 " second run whose land use is held: --without FOLDER. Litter, soil and growth are in the net"
                 " uptake."]  # fmt: skip
    else:
        notes = [f"All effects: net uptake of {without.folder} less that of this run. It contains the sinks that lost"
                 " forests would have been; bookkeeping does not."]  # fmt: skip
    notes.append("Positive to the atmosphere. Sources and sinks are summed apart: of the runs by cell and year, of"
                 " bookkeeping also by kind of land and process. Peat is not modelled.")  # fmt: skip
    return {"tables": parts, "notes": notes}


def outside(compared, biomes_compared=()):
    """Sentences about everything that is not inside its range.

    Parameters
    ----------
    compared : rows of ``globe.compare``
    biomes_compared : rows of ``globe.compare_biomes``

    Returns
    -------
    list of dict
        ``what``, ``text``, ``kind`` (wider, below, above); strongest departures are not hidden behind weak ones: first
        totals, then biomes, in the order of the envelope.
    """
    out = []
    for row in [*compared, *biomes_compared]:
        if row["verdict"] in (None, "inside"):
            continue
        value = number(row["value"], _digits(row["value"]))
        unit = f" {row['unit']}" if row["unit"] else ""
        text = f"{value}{unit}, {row['away']} {_range(row['low'], row['high'])}"
        if row["verdict"] == "wider":
            text += f", within the wider spread {_range(*row['wide'])}"
        if row["when"]:
            text += f" (the range applies to {row['when']})"
        what = f"{row['biome_name']}: {row['name']}" if "biome_name" in row else row["name"]
        out.append({"what": what, "text": text, "kind": row["verdict"]})
    return out


def _untested(compared):
    """Reasons with the names of the quantities that were not judged."""
    reasons = {}
    for row in compared:
        if row["verdict"] is None:
            reasons.setdefault(row["why"], []).append(row["name"])
    return [f"{why}: {', '.join(names)}" for why, names in reasons.items()]


def _context(found, figures):
    import concerto

    facts, data = found["facts"], found["data"]
    compared = found["compared"]
    judged = [row for row in compared if row["verdict"]] + [row for row in found["biomes_compared"] if row["verdict"]]
    versions = facts.get("versions") if isinstance(facts.get("versions"), dict) else {}
    version = str(facts.get("source") or versions.get("concerto") or concerto.__version__)
    places = "land cells" if data.extensive else "point" if len(data.latitude) == 1 else "points"
    where = [f"{number(len(data.latitude), 0)} {places}"]
    if data.lat_edges is not None:
        dlat, dlon = np.median(np.diff(data.lat_edges)), np.median(np.diff(data.lon_edges))
        where.append(f"{dlat:.3g}°" if abs(dlat - dlon) < 1e-6 else f"{dlat:.3g}° × {dlon:.3g}°")
    if data.extensive:
        where.append(
            f"{number(data.land, 1)} million km² of land"
            if _sums(data)
            else f"{number(data.land * 1e6, 0)} km² of land"
        )
    config, told = facts.get("configuration"), facts.get("notes")
    title = facts.get("title") or (config.get("title") if isinstance(config, dict) else None)
    return {
        "title": str(
            title or ("Global run" if found["whole"] else "Regional run" if data.extensive else "Run of points")
        ),
        "where": where,
        "period": f"means of {_period(data)}",
        "version": version if version.startswith("concerto") else f"concerto {version}",
        "whole": found["whole"],
        "kind": "globe" if found["whole"] else "region" if data.extensive else "points",
        "cards": _cards(found),
        "totals": _total_rows(found),
        "outside": outside(compared, found["biomes_compared"]),
        "judged": len(judged),
        "inside": sum(row["verdict"] == "inside" for row in judged),
        "untested": _untested(compared),
        "figures": figures,
        "biomes": _biome_table(found),
        "latitudes": _latitude_table(found),
        "land_use": _land_use_table(found),
        "phases": _phases(facts),
        "residuals": _residuals(facts),
        "run": _run_rows(facts),
        "versions": _section(facts.get("versions")),
        "configuration": _section(config),
        "notes": [*map(str, told if isinstance(told, list) else []), *found["notes"]],
        "sources": sorted({part for row in judged for part in row["source"].split("; ") if part}),
    }


def write_globe_report(path_html, folder, years=20, without=None, inputs=None):
    """Write the page of a global or regional run.

    Parameters
    ----------
    path_html : path
        File to write; it appears complete or not at all.
    folder : path
        Folder of the run: ``<stream>_<label>.nc`` (or ``.zarr``), and, where present, ``domain.nc``, ``totals.csv``,
        ``run.json``.
    years : int
        Last years of which the means are taken.
    without, inputs : path, optional
        As in :func:`analyse`: the run with land use held, the folder of the configuration.

    Returns
    -------
    pathlib.Path

    Raises
    ------
    ConcertoError
        No outputs, unreadable files, or a page that cannot be written.

    Examples
    --------
    >>> write_globe_report("globe.html", "runs/globe")  # doctest: +SKIP
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    from concerto.evaluation.plots import inline

    found = analyse(folder, years, without, inputs)
    figures = {}
    for name, draw, caption in _figures(found):
        svg = draw()
        if svg is not None:
            lead, _, rest = caption.partition(".")
            figures[name] = {"svg": inline(svg, lead), "lead": lead, "rest": rest}
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).with_name("templates")),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.get_template("globe.html").render(_context(found, figures))
    return _write(path_html, page.encode("utf-8"))


def _write(path, content):
    path = Path(path)
    part = path.with_name(path.name + ".part")
    try:
        part.write_bytes(content)
        os.replace(part, path)
    except OSError as error:
        part.unlink(missing_ok=True) if part.parent.is_dir() else None
        raise ConcertoError(f"{path}: cannot be written ({error.strerror}).", hint="Check the folder.") from None
    return path


def figure_files(folder, target, format="svg", years=20, without=None, inputs=None):
    """Write the figures of the page as single files.

    Parameters
    ----------
    folder : path
        Folder of the run.
    target : path
        Folder for the files, made where it is missing.
    format : "svg" or "png"
    years : int
        Last years of which the means are taken.
    without, inputs : path, optional
        As in :func:`analyse`: the run with land use held, the folder of the configuration.

    Returns
    -------
    list of pathlib.Path
        ``maps``, ``biomes``, ``types``, ``latitude``, ``seasons``, ``totals``, ``time``, ``land_use_map``,
        ``land_use_area``, ``land_use_flows``, ``land_use_uptake``, ``land_use_tiles``, as far as there is something to
        draw.
    """
    if format not in ("svg", "png"):
        raise ConcertoError(f"format: {format!r} is not a format of figures.", hint="Choose svg or png.")
    found = analyse(folder, years, without, inputs)
    target = Path(target)
    try:
        target.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConcertoError(f"{target}: cannot be made ({error.strerror}).", hint="Check the folder.") from None
    paths = []
    for name, draw, _ in _figures(found):
        content = draw(format=format)
        if content is not None:
            content = content.encode("utf-8") if isinstance(content, str) else content
            paths.append(_write(target / f"{name}.{format}", content))
    return paths
