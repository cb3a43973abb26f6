"""Writes docs/concerto.schema.json and docs/configuration.md: ``python -m concerto.config.document``."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from concerto.config.schema import Config, _expand, _outputs, schema_json

HEAD = """\
# Configuration of gridded runs

One YAML file describes a run on many cells. The least is

```yaml
domain: {grid: embedded, resolution: 4}
```

Everything else has a default. Unknown keys are refused with the nearest name; each fault is told with file, line and
key.

```yaml
# yaml-language-server: $schema=docs/concerto.schema.json
title: history of Europe
domain:
  grid: file
  file: ${DATA}/land.nc
  box: [-12, 34, 40, 72]
forcing:
  source: cru_jra
  files: "${DATA}/crujra/{variable}_{year}.nc"
model:
  options: {nitrogen: cn}
  parameters: {g1: {needle_evergreen_boreal: 2.2}}
phases:
  - {name: equilibrium, kind: spinup, climate: {cycle: [1901, 1920]}, co2: {fixed: 1850}, ndep: {fixed: 1850}}
  - {name: industrial, kind: run, years: [1850, 1900], climate: {cycle: [1901, 1920]}, outputs: [annual]}
  - {name: historical, kind: run, years: [1901, 2020]}
output:
  folder: europe
  streams:
    - {name: annual, frequency: year}
    - {name: monthly, frequency: month, variables: [gpp, nbp, evspsbl, mrso, energy], digits: 4}
    - {name: hottest, frequency: month, variables: [ts], statistic: maximum}
```

```yaml
# two places, half-hourly
domain:
  grid: points
  points:
    - {name: north, latitude: 61.85, longitude: 24.29, igbp: ENF}
    - {name: south, latitude: -12.5, longitude: 131.2, pft: "grass_c4:0.7,broad_evergreen_tropical:0.3"}
output:
  streams: [{name: fluxes, frequency: step, variables: [gpp, hfls, hfss]}]
```

- **Editors** check and complete the file with `docs/concerto.schema.json`; the first line above names it.
- **Environment**: `${NAME}` and `${NAME:-default}` in a value; within `{ }` and `[ ]` in quotes.
- **Overrides**: `--set domain.resolution=4 --set phases.historical.years=[1901,1950]` win over the file. Items of
  lists are found by number (from 0), phases and streams also by name. `--set checkpoint.hours=null` takes a key away.
- **Paths** are relative to the folder of the file. **Years** are calendar years, both included; times are UTC.
- A key without a value counts as not given. `on`, `off`, `yes` and `no` are words (YAML 1.2); no key takes true or
  false.
- **Atmosphere**: a plain number is ppm (g N m-2 yr-1, permil); `{fixed: 1850}` is the value of that calendar year. In
  a phase it is the year of the file that `atmosphere` names, else of the built-in series. A spin-up holds the first
  year of the next run phase where nothing else is said.
- **Going on** with another configuration is refused where it would alter results. These may change: `title`,
  `parallel`, `checkpoint`, `output.folder`, a later end of the last phase, phases after it, and more streams.
"""


def _kind(row, schema) -> str:
    """Type of a key in words."""
    if "$ref" in row:
        return "keys below" if "enum" not in row else ""
    if "enum" in row or "const" in row:
        words = row.get("enum") or [row["const"]]
        return ", ".join(f"`{word}`" for word in words) if len(words) < 20 else "name"
    if "anyOf" in row or "oneOf" in row:
        parts = []
        for part in row.get("anyOf", row.get("oneOf")):
            if part.get("type") == "null":
                continue
            if part.get("$ref", "").endswith(("Fixed", "Cycle")):
                word = "fixed: year" if part["$ref"].endswith("Fixed") else "cycle: [first, last]"
                parts.append(f"{{{word}}}")
            else:
                parts.append(_kind(part, schema))
        return " or ".join(dict.fromkeys(filter(None, parts)))
    kind = row.get("type")
    if kind == "array":
        if "prefixItems" in row:
            return f"[{', '.join(_kind(part, schema) for part in row['prefixItems'])}]"
        return f"list ({_kind(row['items'], schema)})"
    words = {"integer": "whole number", "string": "text", "object": "mapping", "boolean": "true or false"}
    word = words.get(kind, kind)
    if kind == "object" and "enum" in row.get("propertyNames", {}) and len(row["propertyNames"]["enum"]) < 9:
        word += f" of {', '.join(row['propertyNames']['enum'])}"
    low, high = row.get("minimum"), row.get("maximum")
    if (low, high) == (1, 9999):
        return "year"
    limits = (("≥", low), (">", row.get("exclusiveMinimum")), ("≤", high))
    bounds = [f"{sign} {limit:.10g}" for sign, limit in limits if limit is not None]
    return f"{word} {', '.join(bounds)}".strip()


def _default(name, row, required) -> str:
    if name in required:
        return "**needed**"
    value = row.get("default")
    if (
        value is None
        or isinstance(value, (dict, list))
        and (not value or any(isinstance(v, (dict, list)) for v in value))
    ):
        return ""
    return "" if isinstance(value, dict) else f"`{value if isinstance(value, str) else json.dumps(value)}`"


def _reference(row) -> str:
    """The first reference to another section within the type of a key; empty without one."""
    if "$ref" in row:
        return row["$ref"]
    parts = [*row.get("anyOf", []), *row.get("oneOf", []), *([row["items"]] if "items" in row else [])]
    return next(filter(None, map(_reference, parts)), "")


def _table(title, node, schema):
    """Heading, table and tables of the sections below."""
    lines = ["| key | value | default | meaning |", "|---|---|---|---|"]
    below = []
    for name, row in node["properties"].items():
        inner = schema["$defs"].get(_reference(row).rpartition("/")[2])
        kind = _kind(row, schema)
        if inner and inner["title"] not in ("Fixed", "Cycle"):
            below.append((f"{title}.{name}" if title else name, inner))
        lines.append(f"| `{name}` | {kind} | {_default(name, row, node.get('required', ()))} | {row['description']} |")
    text = [line.replace(" |  |", " | |") for line in lines]
    heading = f"## `{title}`" if title else "## Sections"
    out = [heading, "", *([node["description"], ""] if title else []), *text, ""]
    for name, inner in below:
        out += _table(name, inner, schema)
    return out


def page() -> str:
    """Text of docs/configuration.md."""
    schema = Config.model_json_schema()
    entries, _ = _outputs()
    out = [HEAD, *_table("", schema, schema), "## Groups of output variables", ""]
    out += ["Rows that the chosen options leave empty are left out. Any other variable of the",
            "[tables](tables/variables.md) can be named by its own name or its CMIP name.", "",
            "| group | variables |", "|---|---|"]  # fmt: skip
    full = {"nitrogen": "cn", "plant_hydraulics": "on", "crops": "calendar", "isotopes": "on"}
    full |= {"grazing": "livestock", "irrigation": "demand"}
    for group in ("carbon", "water", "energy", "nitrogen"):
        names = ", ".join(f"`{entries[name].cmip or name}`" for name in _expand(group, full))
        out.append(f"| {group} | {names} |")
    return "\n".join([*out, "| all | all of these |"]) + "\n"


def main(folder="docs") -> None:
    """Write both files."""
    folder = Path(folder)
    (folder / "concerto.schema.json").write_text(schema_json(), encoding="utf-8")
    (folder / "configuration.md").write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
