"""Reading the configuration: YAML with line numbers, environment variables, overrides; comparing two of them."""

from __future__ import annotations

import copy
import hashlib
import json
import os
import re
from datetime import date
from pathlib import Path

from pydantic import BaseModel, ValidationError

from concerto.config.schema import PHASES, STREAMS, Config, Fault, listed, nearest, shown
from concerto.errors import ConcertoError

# Keys that may change between parts of a run: they do not alter results. In addition the last phase may end later,
# phases may be added after it, and streams may be added.
HARMLESS = ("title", "parallel", "checkpoint", "output.folder")
_VARIABLE = re.compile(r"\$\{([A-Za-z_]\w*)(?::-([^}]*))?\}")


def load(path, overrides=()) -> Config:
    """Read and check a configuration.

    Parameters
    ----------
    path : YAML file. ``${NAME}`` and ``${NAME:-default}`` in values stand for environment variables; keys without a
        value count as not given.
    overrides : words ``dotted.key=value``, values in YAML, which win over the file. Items of lists are found by number
        (from 0) or, for phases and streams, by name.

    Returns
    -------
    Config; relative paths in it refer to ``Config.folder``, the folder of the file

    Raises
    ------
    ConcertoError
        Names file, line, key and fault, and the nearest valid name.

    Examples
    --------
    >>> config = load("globe.yaml", ["phases.historical.years=[1901, 1950]"])  # doctest: +SKIP
    """
    path = Path(path)
    tree = _parse(_text(path), path)
    places: dict[tuple, str] = {(): str(path)}
    data = _plain(tree, (), places)
    for word in overrides:
        _override(data, places, word)
    return from_dict(data, path.absolute().parent, str(path), places)


def from_dict(data: dict, folder=".", source: str = "configuration", places: dict | None = None) -> Config:
    """Check a configuration that is a dictionary already, such as one that `resolved` made.

    Parameters
    ----------
    data : sections and keys as in the file
    folder : to which relative paths refer
    source : words for messages
    places : for messages: keys on the way to a value -> where it stands

    Raises
    ------
    ConcertoError
    """
    data = _given(data)
    try:
        config = Config.model_validate(data)
    except ValidationError as errors:
        places = places or {(): source}
        raise _explained(errors, data, places) from None
    config._folder = Path(folder)
    return config


def _given(value):
    """Without keys that have no value."""
    if isinstance(value, dict):
        return {name: _given(item) for name, item in value.items() if item is not None}
    return [_given(item) for item in value] if isinstance(value, (list, tuple)) else value


# --- YAML


def _text(path):
    if not path.exists():
        near = path.parent.glob("*.y*ml") if path.parent.is_dir() else ()
        raise ConcertoError(
            f"{path} does not exist", hint=nearest(path.name, [p.name for p in near], "give a YAML file")
        )
    if path.is_dir():
        raise ConcertoError(f"{path} is a folder", hint="name the YAML file in it")
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise ConcertoError(f"{path} is no text in UTF-8", hint="give a YAML file") from None
    except OSError as error:
        raise ConcertoError(f"{path} cannot be read: {error.strerror}", hint="check its permissions") from None


def _parse(text, path):
    from ruamel.yaml import YAML
    from ruamel.yaml.comments import CommentedMap
    from ruamel.yaml.constructor import DuplicateKeyError
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    yaml = YAML()
    yaml.preserve_quotes = True
    try:
        tree = yaml.load(text)
    except DuplicateKeyError as error:
        name = re.search(r'duplicate key "(.*?)"', str(error.problem))
        raise ConcertoError(
            f"{path}, line {error.problem_mark.line + 1}: the key {name[1] if name else ''} stands twice",
            hint=f"remove one; the mapping begins in line {error.context_mark.line + 1}",
        ) from None
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line if mark else 0
        words = text.splitlines()[line] if line < len(text.splitlines()) else ""
        if "\t" in words:
            raise ConcertoError(
                f"{path}, line {line + 1}: a tab; YAML wants blanks", hint="replace tabs by blanks"
            ) from None
        hint = "check indentation, colons, quotes and brackets there and in the line before"
        if "{" in words and _VARIABLE.search(words):
            hint = 'within { } and [ ] environment variables need quotes: "${NAME}"'
        problem = str(error.problem or error.context or "no YAML").splitlines()[0]
        if "another document" in problem:
            problem, hint = "a second document begins", "remove the line ---"
        raise ConcertoError(f"{path}, line {line + 1}: {problem}", hint=hint) from None
    except (YAMLError, ValueError) as error:
        words = str(error).strip().splitlines()[0]
        raise ConcertoError(f"{path} is no YAML: {words}", hint="write it with a text editor") from None
    if tree is None:
        raise ConcertoError(f"{path} is empty", hint="the least is: domain: {grid: embedded, resolution: 4}")
    if not isinstance(tree, CommentedMap):
        raise ConcertoError(
            f"{path} holds {'a list' if isinstance(tree, list) else 'a single value'}, not sections with keys",
            hint="the least is: domain: {grid: embedded, resolution: 4}",
        )
    return tree


def _line(container, name, places, at):
    """Place of an item of a mapping or list; that of its parent where YAML merged it from elsewhere."""
    try:
        line = container.lc.key(name)[0] if isinstance(container, dict) else container.lc.item(name)[0]
        return f"{places[()]}, line {line + 1}"
    except (KeyError, AttributeError, TypeError):
        return places[at]


def _plain(node, at, places):
    """Plain Python values of a YAML tree; fills ``places``."""
    if isinstance(node, (dict, list)):
        out = {} if isinstance(node, dict) else []
        for name, item in node.items() if isinstance(node, dict) else enumerate(node):
            here = (*at, name if isinstance(node, list) else str(name))
            places[here] = _line(node, name, places, at)
            value = _plain(item, here, places)
            out.append(value) if isinstance(node, list) else out.update({str(name): value})
        return out
    return _scalar(node, at, places)


def _scalar(node, at, places):
    """A scalar of YAML, environment variables filled in."""
    where = f"{places[at]}, {_dotted(at)}"
    if hasattr(node, "tag") and type(node).__name__ == "TaggedScalar":
        raise ConcertoError(f"{where}: the tag {node.tag.value} is not known", hint="remove it")
    if isinstance(node, bool) or type(node).__name__ == "ScalarBoolean":
        raise ConcertoError(f"{where}: no key takes true or false", hint="see the page of the configuration")
    if isinstance(node, date):
        return str(node)[:10]
    if isinstance(node, str):

        def value(match):
            name, default = match.groups()
            if os.environ.get(name) or name in os.environ and default is None:
                return os.environ[name]
            if default is None:
                raise ConcertoError(
                    f"{where}: the environment variable {name} is not set",
                    hint=f"export {name}=..., or write ${{{name}:-default}}",
                )
            return default

        text = _VARIABLE.sub(value, node)
        if "${" in node and "${" in _VARIABLE.sub("", node):
            raise ConcertoError(
                f"{where}: {shown(str(node))} is no reference to an environment variable",
                hint="write ${NAME} or ${NAME:-default}",
            )
        if text == node or type(node) is not str:  # unchanged, or in quotes
            return str(text)
        found = _yaml(text)
        return found if isinstance(found, (int, float)) and not isinstance(found, bool) else text
    return node if node is None else float(node) if isinstance(node, float) else int(node)


def _yaml(text):
    """Value of a short YAML text; None where it is none."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        return YAML(typ="safe", pure=True).load(text)
    except (YAMLError, ValueError):
        return None


# --- overrides


def _override(data, places, word):
    name, sign, text = (part.strip() for part in word.partition("="))
    if not sign or not name or not all(name.split(".")):
        raise ConcertoError(
            f"--set '{word}' is not of the form KEY=VALUE", hint="write for example --set domain.resolution=4"
        )
    where = f"--set {word}"
    value = _yaml(text)
    if value is None and text not in ("", "null", "~"):
        raise ConcertoError(f"{where}: the value is no YAML", hint="put it in quotes")
    keys, at, node = name.split("."), (), data
    for k, part in enumerate(keys):
        if isinstance(node, dict) and node.get(part) is None and k < len(keys) - 1:
            lists = {("phases",): PHASES, ("output", "streams"): STREAMS}
            node[part] = copy.deepcopy(lists.get((*at, part), {}))
            places[(*at, part)] = where
        elif isinstance(node, list):
            part = _item(node, part, where, _dotted(at))
        elif not isinstance(node, dict):
            raise ConcertoError(
                f"{where}: {'.'.join(keys[:k])} is {shown(node)}, which has no keys",
                hint=f"set it as a whole: --set '{'.'.join(keys[:k])}={{{part}: ...}}'",
            )
        at = (*at, part)
        if k < len(keys) - 1:
            node = node[part]
    for other in [other for other in places if other[: len(at)] == at]:
        del places[other]
    places[at] = where
    node[at[-1]] = _plain(value, at, places)


def _item(items, word, where, dotted):
    names = [item.get("name") if isinstance(item, dict) else None for item in items]
    if word in names:
        return names.index(word)
    if word.isdigit() and int(word) < len(items):
        return int(word)
    known = [name for name in names if name]
    hint = nearest(word, known) if known else f"items are numbered from 0 to {len(items) - 1}" if items else None
    raise ConcertoError(f"{where}: {dotted} has no item '{word}'", hint=hint or "the list is empty")


# --- messages


def _dotted(at, data=None) -> str:
    """Keys joined by dots, items of lists by name where they have one."""
    words, known = [], data is not None
    for part in at:
        data = data[part] if isinstance(data, dict) and part in data or _is_item(data, part) else None
        if isinstance(part, int) and known and data is None:  # an item of a default
            continue
        named = isinstance(part, int) and isinstance(data, dict) and isinstance(data.get("name"), str)
        words.append(data["name"] if named else str(part))
    return ".".join(words)


def _is_item(data, part):
    return isinstance(data, list) and isinstance(part, int) and part < len(data)


def _explained(errors, data, places) -> ConcertoError:
    """The first fault of the file as an error; unknown keys first, since a misspelt key is also a missing one."""
    faults = []
    for error in errors.errors(include_url=False):
        at = []
        node = data
        for part in error["loc"]:  # parts that are no keys tell which of several types was tried
            if isinstance(node, dict) and part in node or _is_item(node, part):
                node = node[part]
                at.append(part)
        cause = error.get("ctx", {}).get("error")
        at = (*at, *cause.at) if isinstance(cause, Fault) else tuple(at)
        message, hint = _sentence(error, cause, at)
        nearby = next(places[at[:k]] for k in range(len(at), -1, -1) if at[:k] in places)
        line = re.search(r", line (\d+)$", nearby)
        rank = (error["type"] != "extra_forbidden", int(line[1]) if line else 0)
        dotted = _dotted(at, data)
        if nearby.startswith("--set") and nearby[6:].partition("=")[0].strip().count(".") == len(at) - 1:
            dotted = ""  # the override names it already
        faults.append((rank, at, f"{nearby}{', ' + dotted if dotted else ''}: {message}", hint))
    faults.sort(key=lambda fault: fault[0])
    others = len({fault[1] for fault in faults}) - 1
    _, _, message, hint = faults[0]
    more = f" ({others} more fault{'s' if others > 1 else ''} after this)" if others else ""
    return ConcertoError(message, hint=f"{hint or 'see the page of the configuration'}{more}")


def _section(annotation):
    """The model within the type of a field, if any."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((m for part in getattr(annotation, "__args__", ()) if (m := _section(part))), None)


def _field(at):
    """Section that a place belongs to (its keys if it is one itself), and the last field on the way."""
    section, field = Config, None
    for part in at:
        if isinstance(part, str) and section and part in section.model_fields:
            field = section.model_fields[part]
            section = _section(field.annotation)
    return section, field


def _homes(name, section=Config, at=()):
    """Sections that have a key of this name."""
    for part, field in section.model_fields.items():
        if part == name:
            yield ".".join(at)
        inner = _section(field.annotation)
        if inner:
            yield from _homes(name, inner, (*at, part))


def _sentence(error, cause, at):
    """Message and hint of one error of pydantic."""
    kind, value, ctx = error["type"], error["input"], error.get("ctx", {})
    section, field = _field(at)
    name = next((part for part in reversed(at) if isinstance(part, str)), "")
    about = f"{name}: {field.description}" if field is not None else None
    if isinstance(cause, Fault):
        return cause.message, cause.hint
    if kind == "extra_forbidden":
        section, _ = _field(at[:-1])
        known = list(section.model_fields)
        homes = [home for home in _homes(at[-1]) if home]
        return "unknown key", nearest(
            at[-1], known, f"it belongs to {listed(homes)}" if homes else f"keys here: {', '.join(known)}"
        )
    if kind == "missing":
        name = error["loc"][-1]
        text = section.model_fields[name].description if section and name in section.model_fields else None
        if name == "domain":
            return "the section domain is missing", "the least is: domain: {grid: embedded, resolution: 4}"
        return f"the key {name} is missing", f"add {name}: {text}" if text else f"add {name}"
    if kind == "literal_error":
        known = re.findall(r"'(.*?)'", ctx["expected"])
        return f"{shown(value)} is not one of {listed(known)}", nearest(value, known, about)
    limits = {"greater_than_equal": ("ge", "at least"), "greater_than": ("gt", "more than"),
              "less_than_equal": ("le", "at most"), "less_than": ("lt", "less than")}  # fmt: skip
    if kind in limits:
        name, words = limits[kind]
        return f"{shown(value)} must be {words} {ctx[name]:.10g}", about
    if kind.startswith(("int", "float", "finite")):
        whole = "whole number" if kind.startswith("int") else "number"
        return f"{shown(value)} is no {whole}", about
    if kind.startswith("string"):
        if isinstance(value, str):
            return "the text is empty", about
        quotes = f'put it in quotes: "{value}"' if isinstance(value, (int, float)) else about
        return f"{shown(value)} is no text", quotes
    if kind in ("model_type", "model_attributes_type", "dict_type"):
        keys = f"keys here: {', '.join(section.model_fields)}" if section else about
        return f"{shown(value)} stands where keys with values are expected", keys
    if kind in ("list_type", "tuple_type"):
        return f"{shown(value)} stands where a list is expected", about if isinstance(
            value, dict
        ) else f"write [{value}]"
    if kind == "too_short":
        return "the list is empty", about
    return error["msg"], about


# --- what is stored, and comparing


def resolved(config: Config) -> dict:
    """Every key with its value, defaults filled in, ready for JSON: what the files of a run store.

    ``from_dict(resolved(config), config.folder)`` equals ``config``.
    """
    return config.model_dump(mode="json", exclude_none=True, by_alias=True)


def digest(config: Config) -> str:
    """Sixteen characters that are equal where everything that alters results is equal."""
    flat = {name: value for name, value in _flat(resolved(config)).items() if not _harmless(name)}
    return hashlib.sha256(json.dumps(flat, sort_keys=True).encode()).hexdigest()[:16]


def _harmless(name):
    return any(name == free or name.startswith(free + ".") for free in HARMLESS)


def _flat(value, at=""):
    """Dotted key -> value; phases and streams by name."""
    if at in ("phases", "output.streams"):
        value = {item["name"]: item for item in value}
    if not isinstance(value, dict):
        return {at: value}
    return {n: v for name, item in value.items() for n, v in _flat(item, f"{at}.{name}" if at else name).items()}


def differences(a: dict, b: dict) -> list[str]:
    """What keeps a run of configuration ``a`` from going on with ``b``; both as `resolved` makes them.

    Left out are keys that do not alter results (`HARMLESS`), a last phase that ends later, phases added after it, and
    added streams.

    Returns
    -------
    list of ``dotted.key: old -> new``
    """
    old_phases, new_phases = ([phase["name"] for phase in c.get("phases", [])] for c in (a, b))
    known = {stream["name"] for stream in a.get("output", {}).get("streams", [])}
    kept = {"phases": [phase for phase in b.get("phases", []) if phase["name"] in old_phases]}
    kept["phases"] = [
        phase | ({"outputs": [name for name in phase["outputs"] if name in known]} if "outputs" in phase else {})
        for phase in kept["phases"]
    ]
    streams = [stream for stream in b.get("output", {}).get("streams", []) if stream["name"] in known]
    old, new = _flat(a), _flat(b | kept | {"output": b.get("output", {}) | {"streams": streams}})
    if old_phases:
        end = f"phases.{old_phases[-1]}.years"
        before, after = old.get(end), new.get(end)
        if before and after and before[0] == after[0] and after[1] > before[1]:
            new[end] = before
    out = []
    if new_phases[: len(old_phases)] != old_phases:
        out.append(f"phases: {', '.join(old_phases)} -> {', '.join(new_phases)}")
        old = {n: v for n, v in old.items() if n.split(".")[0] != "phases" or n.split(".")[1] in new_phases}
    left = {stream["name"] for stream in streams}
    out += [f"output.streams: {name} -> (not given)" for name in sorted(known - left)]
    old = {n: v for n, v in old.items() if not n.startswith("output.streams.") or n.split(".")[2] in left}
    for name in [*old, *(name for name in new if name not in old)]:
        before, after = old.get(name), new.get(name)
        if before != after and not _harmless(name):
            out.append(f"{name}: {_word(before)} -> {_word(after)}")
    return out


def _word(value):
    return "(not given)" if value is None else value if isinstance(value, str) else json.dumps(value)
