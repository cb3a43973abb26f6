"""Restart files: the whole state of a run in one NetCDF file, read back to the bit.

Every state variable stands in it under its own name with unit and layer labels, beside tiles (type, weight, cell), the
parameters that differ from the table, options, the clock and the configuration. Writing is atomic; reading refuses what
does not fit in one sentence.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, fields
from pathlib import Path

import numpy as np

from concerto import __version__
from concerto.errors import ConcertoError
from concerto.simulation.site import SiteRun, open_site
from concerto.simulation.tiles import Tiles
from concerto.tables import loader

SCHEMA = 1  # raised when the layout of the file changes so that an older reader would err
MARK = "concerto restart"  # attribute ``format``
OWN = ("pft", "pft_name", "weight", "cell", "converged", "time", "seconds_into_day")
PREFIX = "parameter_"
EPOCH = np.datetime64("1970-01-01T00:00:00", "s")


@dataclass
class Restart:
    """What a restart file holds.

    Attributes
    ----------
    tiles : Tiles with the state and the parameters of the file
    weights : list, area fractions of the tiles in their cells
    time_utc : datetime64[s], start of the next step
    time_step : s, of the run that wrote the file
    configuration : dict, settings of that run
    converged : array (tile,), False where the spin-up that wrote the file did not converge
    notes : list of str, what was added or passed over on reading
    attributes : dict, global attributes of the file
    """

    path: Path
    tiles: object
    weights: list[float]
    time_utc: np.datetime64
    time_step: float
    configuration: dict
    converged: np.ndarray
    notes: list[str] = field(default_factory=list)
    attributes: dict = field(default_factory=dict)

    def mixture(self) -> str:
        """Types and weights as the option --pft wants them."""
        names = loader.pft_names()
        return ",".join(f"{names[p]}:{w!r}" for p, w in zip(self.tiles.pft, self.weights, strict=True))


def pool_names(scheme: str) -> list[str]:
    """Names of the soil carbon pools of a scheme, in the order of the state."""
    from concerto.kernels import microbial
    from concerto.tables import decomposition

    schemes = decomposition.schemes()
    own = {"mimics": microbial.MIMICS_POOLS, "millennial": microbial.MILLENNIAL_POOLS}
    return list(schemes[scheme].pools) if scheme in schemes else list(own.get(scheme, ()))


def dimension(name: str) -> str:
    """Name of a layer dimension in the file: that of the table, unless a state variable has it."""
    return f"{name}_kind" if name in loader.variables("state") else name


def layer_labels(name: str, scheme: str) -> np.ndarray:
    """Readable coordinate of a layer dimension: middle depth in m (soil layers) or names."""
    size = loader.layers()[name]
    depth = np.cumsum(loader.soil_thickness())
    if name in ("soil", "root"):
        edges = np.concatenate([[0.0], depth[:size]])
        return 0.5 * (edges[1:] + edges[:-1])
    if name == "phenology_limiter" and size == 4:
        return np.array(["cold", "heat", "light", "water"], dtype=object)
    if name == "noon_window" and size == 6:
        words = ["weight", "temperature", "vapour_pressure_deficit", "co2", "pressure", "photons"]
        return np.array(words, dtype=object)
    if name == "plant_pool" and size == 6:
        return np.array(["labile", "leaf", "fine_root", "sapwood", "heartwood", "seed"], dtype=object)
    if name.startswith("soil_carbon") or name.startswith("soil_nitrogen"):
        pools = pool_names(scheme)
        n_root = loader.layers().get("root", 9)
        if size == n_root * 7 and len(pools) == 7 and scheme == "cencn":  # layer runs fastest
            return np.array([f"{pool} to {z:g} m" for pool in pools for z in depth[:n_root]], dtype=object)
        return np.array([pools[k] if k < len(pools) else f"unused {k + 1}" for k in range(size)], dtype=object)
    return np.array([f"{k + 1}" for k in range(size)], dtype=object)


def _value_digest() -> str:
    """Digest of the values of the parameter table: a run that continues on other values is not the same run."""
    import hashlib

    words = json.dumps({name: entry.values for name, entry in loader.parameters().items()}, sort_keys=True)
    return hashlib.sha256(words.encode()).hexdigest()[:16]


def _default_parameters(tiles) -> dict[str, np.ndarray]:
    return {name: np.array(entry.values)[tiles.pft] for name, entry in loader.parameters().items()}


def _plain(value):
    """NumPy numbers of a configuration as those of JSON."""
    return value.item() if hasattr(value, "item") else value if isinstance(value, str | int | float) else str(value)


def write_restart(path, tiles, weights, time_utc, *, configuration=None, converged=True, attributes=None) -> Path:
    """Write the state of tiles; the file appears under its name only when it is complete and on the disk.

    Parameters
    ----------
    path : file to write, name ending in .nc
    tiles : Tiles
    weights : array (tile,), area fractions
    time_utc : datetime64, UTC time of the next step
    configuration : dict that JSON can hold, kept as it is
    converged : bool or array (tile,); False marks a state that is no equilibrium
    attributes : dict of further global attributes

    Returns
    -------
    Path of the file

    Raises
    ------
    ConcertoError
        A state value is not finite, or the place cannot be written (an older file of that name stays).

    Examples
    --------
    >>> write_restart("state.nc", run.tiles, run.weights, "2008-01-01")  # doctest: +SKIP
    """
    from concerto.simulation.output import _history, check_target, publish

    path = check_target(path)
    weights = np.asarray(weights, dtype=float)
    if weights.shape != (tiles.n_tile,):
        raise ConcertoError(f"{path}: {weights.size} weights for {tiles.n_tile} tiles", hint="one weight for each tile")
    time = np.datetime64(time_utc).astype("datetime64[s]")
    scheme = tiles.options.get("soil_carbon", loader.options()["soil_carbon"].default)
    states = {name: tiles.get(name) for name in loader.variables("state")}
    for name, values in states.items():
        if not np.isfinite(values).all():
            bad = np.argwhere(~np.isfinite(values))
            raise ConcertoError(
                f"{path} is not written: {name} is not finite in {len(bad)} place(s), first in tile {bad[0][0] + 1}",
                hint="find the step at which it fails before you save the state",
            )
    changed = {
        name: tiles.parameter(name)
        for name, table in _default_parameters(tiles).items()
        if not np.array_equal(tiles.parameter(name), table)
    }
    part = path.with_name(path.name + ".part")
    facts = {
        "format": MARK,
        "schema": np.int32(SCHEMA),
        "title": "state of a concerto run",
        "Conventions": "CF-1.11",
        "source": f"concerto {__version__}",
        "tables_digest": loader.digest(),
        "parameter_digest": _value_digest(),
        "time_step": float(tiles.time_step),
        "options": json.dumps(
            {name: tiles.options.get(name, entry.default) for name, entry in loader.options().items()}
        ),
        "configuration": json.dumps(configuration or {}, default=_plain),
        "converged": np.int32(np.all(converged)),
        "history": _history(None),
        **(attributes or {}),
    }
    try:
        _write(part, tiles, weights, time, states, changed, scheme, converged, facts)
        publish(part, path)
    except (OSError, RuntimeError) as error:  # netCDF4 reports a full disk as RuntimeError
        part.unlink(missing_ok=True)
        words = getattr(error, "strerror", None) or error
        raise ConcertoError(
            f"{path} could not be written: {words}", hint="is the disk full? An older file of that name is unchanged"
        ) from None
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    return path


def _write(part, tiles, weights, time, states, changed, scheme, converged, facts):
    import netCDF4

    names = loader.pft_names()
    with netCDF4.Dataset(str(part), "w", format="NETCDF4") as data:
        data.setncatts(facts)
        data.createDimension("tile", tiles.n_tile)

        def put(name, values, dims, units, long_name, kind="f8", **more):
            check = {"fletcher32": True} if dims and kind is not str else {}
            variable = data.createVariable(name, kind, dims, fill_value=None if kind is str else False, **check)
            variable.setncatts({"units": units, "long_name": long_name} | more)
            if kind is str:
                for k, word in enumerate(values):
                    variable[k] = str(word)
            else:
                variable[...] = values
            return variable

        seconds = int((time - EPOCH).astype(int))
        put("time", seconds, (), "seconds since 1970-01-01 00:00:00", "UTC time of the next step", "i8",
            calendar="standard", standard_name="time")  # fmt: skip
        put("seconds_into_day", seconds % 86400, (), "s", "seconds of the UTC day that have passed", "i4")
        flags = {"flag_values": np.arange(len(names), dtype="i4"), "flag_meanings": " ".join(names)}
        put("pft", tiles.pft, ("tile",), "1", "plant functional type", "i4", **flags)
        put("pft_name", [names[p] for p in tiles.pft], ("tile",), "1", "name of the plant functional type", str)
        put("weight", weights, ("tile",), "1", "area fraction of the tile in its cell")
        put("cell", tiles.cell, ("tile",), "1", "row of the forcing, from 0", "i4")
        put("converged", np.broadcast_to(np.asarray(converged, dtype="i1"), tiles.n_tile), ("tile",), "1",
            "1: in equilibrium by the criterion of the spin-up, or no spin-up", "i1")  # fmt: skip
        used = dict.fromkeys(e.layers for e in loader.variables("state").values() if e.layers)
        for name in used:
            labels = layer_labels(name, scheme)
            data.createDimension(dimension(name), len(labels))
            if labels.dtype == object:
                put(dimension(name), labels, (dimension(name),), "1", "pool or layer", str)
            else:
                depth = {"positive": "down", "axis": "Z"}
                put(name, labels, (name,), "m", "depth of the middle of the layer", **depth)
        for name, entry in loader.variables("state").items():
            dims = (dimension(entry.layers), "tile") if entry.layers else ("tile",)
            values = states[name].T if entry.n_layer > 1 else states[name].reshape(-1, tiles.n_tile)[0]
            if entry.layers and entry.n_layer == 1:
                values = values[None, :]
            more = {"role": entry.role} if entry.role else {}
            if entry.standard_name:
                more["standard_name"] = entry.standard_name
            put(name, values, dims, entry.units, entry.long_name, **more)
        for name, values in changed.items():
            entry = loader.parameters()[name]
            put(PREFIX + name, values, ("tile",), entry.units, f"parameter: {entry.long_name}")


def _open(path):
    import netCDF4

    path = Path(path)
    if not path.exists():
        raise ConcertoError(f"{path} does not exist", hint="`concerto spinup FILE --out STATE.nc` makes a restart file")
    if path.is_dir():
        raise ConcertoError(f"{path} is a directory", hint="name the restart file in it")
    try:
        data = netCDF4.Dataset(str(path))
    except PermissionError:
        raise ConcertoError(f"{path} cannot be read: no permission", hint="check the permissions") from None
    except (OSError, RuntimeError):
        raise ConcertoError(
            f"{path} is truncated or no NetCDF file", hint="write it again; a complete one is never cut by concerto"
        ) from None
    data.set_auto_mask(False)
    data.set_auto_scale(False)
    return path, data


def _values(path, variable):
    try:
        return variable[...]
    except (OSError, RuntimeError, IndexError):
        raise ConcertoError(
            f"{path}: {variable.name} cannot be read, the file is truncated or damaged", hint="write it again"
        ) from None


def _attribute(path, data, name):
    if name not in data.ncattrs():
        raise ConcertoError(f"{path}: the attribute {name} is missing", hint="write the restart file again")
    return data.getncattr(name)


def _dictionary(path, data, name):
    try:
        found = json.loads(_attribute(path, data, name))
    except (TypeError, ValueError):
        found = None
    if not isinstance(found, dict):
        raise ConcertoError(
            f"{path}: the attribute {name} is not a JSON dictionary", hint="write the restart file again"
        )
    return found


def read_restart(path, *, nproma: int = 64, threads: int = 1) -> Restart:
    """Read a restart file; the state is that which was written, to the bit.

    A state variable that this version knows but the file does not (it was added later) starts from the initial value of
    the table, and a note says so; without such a value, or if the file was written with the same tables, the file is
    refused.

    Parameters
    ----------
    path : restart file
    nproma, threads : of the new tiles; results do not depend on them

    Returns
    -------
    Restart

    Raises
    ------
    ConcertoError
        Another schema, option or layer layout; a missing, damaged, non-finite or impossible value.

    Examples
    --------
    >>> state = read_restart("state.nc")  # doctest: +SKIP
    >>> state.tiles.get("soil_temperature").shape  # doctest: +SKIP
    (1, 10)
    """
    path, data = _open(path)
    with data:
        if "format" not in data.ncattrs() or data.getncattr("format") != MARK:
            raise ConcertoError(
                f"{path} is no restart file of concerto", hint="`concerto spinup FILE --out STATE.nc` makes one"
            )
        schema = int(_attribute(path, data, "schema"))
        if schema != SCHEMA:
            raise ConcertoError(
                f"{path} has the layout {schema} of restart files, this version reads {SCHEMA}",
                hint=f"read it with the concerto that wrote it ({_attribute(path, data, 'source')}), or spin up again",
            )
        return _read(path, data, nproma, threads)


def _read(path, data, nproma, threads):
    notes = []
    same_tables = _attribute(path, data, "tables_digest") == loader.digest()
    if _attribute(path, data, "parameter_digest") != _value_digest():
        notes.append(
            "the table of parameters has changed since: what the file does not hold is taken from the present one"
        )
    options = _options(path, _dictionary(path, data, "options"), notes)
    for name in OWN:
        if name not in data.variables:
            raise ConcertoError(f"{path}: the variable {name} is missing", hint="write the restart file again")
    clock = _values(path, data["time"])
    tiles = Tiles(
        _types(path, data),
        float(_attribute(path, data, "time_step")),
        cell=_values(path, data["cell"]),
        options=options,
        nproma=nproma,
        threads=threads,
    )
    weights = np.asarray(_values(path, data["weight"]), dtype=float)
    if not np.all((weights >= 0.0) & (weights <= 1.0)):
        raise ConcertoError(f"{path}: a weight of a tile is not between 0 and 1", hint="write the restart file again")
    for name in data.variables:
        if not name.startswith(PREFIX):
            continue
        parameter = name.removeprefix(PREFIX)
        if parameter not in loader.parameters():
            notes.append(f"parameter {parameter} is not known any more: passed over")
            continue
        values = _values(path, data[name])
        if values.shape != (tiles.n_tile,) or not np.isfinite(values).all():
            raise ConcertoError(
                f"{path}: parameter {parameter} is not finite or not one value for each tile",
                hint="write the restart file again",
            )
        tiles.set_parameter(parameter, values, check=False)
    scheme = tiles.options.get("soil_carbon", loader.options()["soil_carbon"].default)
    for name, entry in loader.variables("state").items():
        if name in data.variables:
            tiles.set(name, _state(path, data, name, entry, tiles.n_tile, scheme))
        elif entry.initial is not None and not same_tables:
            notes.append(f"{name} is new since the file was written: starts at {entry.initial:g} {entry.units}")
        else:
            raise ConcertoError(
                f"{path}: the state variable {name} ({entry.long_name}) is missing",
                hint="write the file again, or spin up again with this version",
            )
    known = (
        {dimension(e.layers) for e in loader.variables("state").values() if e.layers}
        | set(loader.variables("state"))
        | set(OWN)
    )
    for name in data.variables:
        if name in known or name.startswith(PREFIX):
            continue
        if "role" in data[name].ncattrs() and np.any(_values(path, data[name]) != 0.0):
            raise ConcertoError(
                f"{path}: {name} holds {data[name].getncattr('role')} that this version has no place for",
                hint="use the concerto that wrote the file, or spin up again",
            )
        notes.append(f"{name} is not known any more: passed over")
    return Restart(
        path, tiles, [float(w) for w in weights], EPOCH + np.timedelta64(int(clock), "s"), tiles.time_step,
        _dictionary(path, data, "configuration"), _values(path, data["converged"]).astype(bool), notes,
        {name: data.getncattr(name) for name in data.ncattrs()},
    )  # fmt: skip


def _types(path, data):
    """Numbers of the plant types, by name: their order may change between versions."""
    names = loader.pft_names()
    words = [str(word) for word in np.atleast_1d(_values(path, data["pft_name"]))]
    for word in words:
        if word not in names:
            raise ConcertoError(
                f"{path}: the plant type '{word}' is not known here", hint="see `concerto params`; spin up again"
            )
    return [names.index(word) for word in words]


def _options(path, found, notes):
    known, options = loader.options(), {}
    for name, choice in found.items():
        if name not in known:
            raise ConcertoError(
                f"{path}: the option {name} (= {choice}) is not known here",
                hint="use the concerto that wrote the file, or spin up again",
            )
        if choice not in known[name].choices:
            raise ConcertoError(
                f"{path}: option {name} is '{choice}', which is not one of {', '.join(known[name].choices)}",
                hint="use the concerto that wrote the file, or spin up again",
            )
        options[name] = choice
    for name in known:
        if name not in found:
            notes.append(f"option {name} is new since the file was written: {known[name].default}")
    return options


def _state(path, data, name, entry, n_tile, scheme):
    variable = data[name]
    expected = (entry.n_layer, n_tile) if entry.layers else (n_tile,)
    if variable.shape != expected:
        what = f"{entry.layers} x tile" if entry.layers else "tile"
        raise ConcertoError(
            f"{path}: {name} has the layout {' x '.join(map(str, variable.shape))}, not "
            f"{' x '.join(map(str, expected))} ({what})",
            hint="the layers of the model have changed: spin up again with this version",
        )
    if entry.layers and dimension(entry.layers) in data.variables:
        there, here = _values(path, data[dimension(entry.layers)]), layer_labels(entry.layers, scheme)
        if list(map(str, there)) != list(map(str, here)):
            k = next(k for k in range(len(here)) if str(there[k]) != str(here[k]))
            raise ConcertoError(
                f"{path}: layer {k + 1} of {entry.layers} is '{there[k]}' in the file and '{here[k]}' here ({name})",
                hint="the layers of the model have changed: spin up again with this version",
            )
    values = np.asarray(_values(path, variable), dtype=float)
    low, high = entry.bounds
    for wrong, word in ((~np.isfinite(values), "is not finite"), ((values < low) | (values > high), None)):
        if wrong.any():
            bad = np.argwhere(wrong)
            word = word or f"= {values[tuple(bad[0])]:g} {entry.units} is outside {low:g} to {high:g}"
            raise ConcertoError(
                f"{path}: {name} {word} in {len(bad)} place(s), first in tile {bad[0][-1] + 1}",
                hint="the file is damaged or was edited: write it again",
            )
    return values.T if entry.layers else values


# --- runs of a tower


class ContinuedRun(SiteRun):
    """A site run whose state came from a restart file or a history, and that says so (``origin``)."""

    origin = ""
    converged = True  # the equilibrium behind it, bool or array (tile,)

    @classmethod
    def of(cls, run, origin):
        """The same run, with the words on its origin."""
        other = cls(**{f.name: getattr(run, f.name) for f in fields(run) if f.init})
        other.origin = origin
        return other

    def __repr__(self):
        return super().__repr__().replace("spin-up none", self.origin)

    def _summary(self, *arguments):
        self.spinup_state = {"state": self.origin, "converged": self.converged}
        return super()._summary(*arguments)


def write_site_restart(run, path, time_utc=None, **more) -> Path:
    """Write the state of a site run, as it is after its last step, or for ``time_utc``; see :func:`write_restart`."""
    step = np.timedelta64(int(run.site.step_seconds), "s")
    time = run.site.time_start[-1] + step if time_utc is None else time_utc
    attributes = {"site": run.site.name, "latitude": run.site.latitude, "longitude": run.site.longitude}
    more.setdefault("converged", run.spinup_state.get("converged", True))
    settings = run.settings | {"parameters": run.settings.get("parameters", {}) | run._changed_parameters()}
    return write_restart(path, run.tiles, run.weights, time, configuration=settings, attributes=attributes, **more)


def continue_site(file, restart, *, pft=None, parameters=None, options=None, **more):
    """A run of one tower file that starts from a restart file instead of a spin-up.

    Types, weights, options and parameters are those of the restart file; ``parameters`` given here replace them.

    Parameters
    ----------
    file : tower file
    restart : restart file
    pft, options : may be given, but must say what the restart file says
    parameters : values by name, units of the table
    **more : as for :func:`concerto.open_site`

    Returns
    -------
    SiteRun whose ``run`` starts from that state

    Raises
    ------
    ConcertoError
        If types, options or the time of the day do not fit.

    Examples
    --------
    >>> ds = continue_site("FI-Hyy_2005-2007.nc", "state.nc", start="2006-01-01").run()  # doctest: +SKIP
    """
    state = read_restart(restart)
    restart, options = Path(restart), dict(options or {})
    for name in ("soil", "spinup"):
        if more.get(name) not in (None, "auto", "none") or (name == "soil" and more.get(name)):
            raise ConcertoError(
                f"{name} was given together with the restart file {restart}, which brings its own",
                hint=f"leave {name} out, or spin up with it",
            )
    for name, choice in options.items():
        there = state.tiles.options.get(name)
        if there is not None and choice != there:
            raise ConcertoError(
                f"option {name} is '{choice}' here, but '{there}' in {restart}",
                hint="leave the option out, or spin up with it",
            )
    run = open_site(
        file, pft=pft or state.mixture(), parameters=parameters, options=state.tiles.options | options,
        **more | {"spinup": "none"},
    )  # fmt: skip
    names = loader.pft_names()
    if list(run.tiles.pft) != list(state.tiles.pft) or not np.allclose(run.weights, state.weights, rtol=1e-12):
        there = ", ".join(f"{names[p]} {100 * w:.0f} %" for p, w in zip(state.tiles.pft, state.weights, strict=True))
        raise ConcertoError(f"the plant types given are not those of {restart} ({there})", hint="leave --pft out")
    begins = run.site.time_start[0]
    if np.max(state.tiles.get("day_steps")) > 0.0 and (begins - state.time_utc).astype(int) % 86400 != 0:
        raise ConcertoError(
            f"{restart} stops within a day, at {state.time_utc} UTC, and {Path(file).name} begins at {begins} UTC",
            hint="continue at that time of the day (--start), or save the state at the end of a UTC day",
        )
    report = [f"state from {restart.name}, saved for {state.time_utc} UTC", *state.notes]
    if begins != state.time_utc:
        report.append(f"warning: the record begins at {begins} UTC, not at the time of the restart file")
    if not state.converged.all():
        report.append(f"warning: the spin-up behind {restart.name} did not converge")
    given = {name: run.tiles.parameter(name) for name in parameters or {}}
    for name in loader.variables("state"):
        run.tiles.set(name, state.tiles.get(name))
    place = state.tiles.parameter("latitude")[0]
    elsewhere = abs(place - run.site.latitude) > 0.05
    if elsewhere:
        report.append(f"warning: {restart.name} is the state of a place at {place:.2f} N; the site keeps its own facts")
    facts = {"latitude", "home_temperature", "canopy_height", "reference_height", "hold_soil_water", "outside_water"}
    for name in loader.parameters():
        if not (elsewhere and name in facts):
            run.tiles.set_parameter(name, state.tiles.parameter(name), check=False)
    for name, values in given.items():
        run.tiles.set_parameter(name, values)
    run = ContinuedRun.of(run, report[0])
    run.converged = state.converged
    run.weights = list(state.weights)
    run.site.report += report
    before = state.configuration.get("parameters", {})
    run.settings |= {"restart": restart.name, "parameters": before | run.settings.get("parameters", {})}
    return run


# --- spin-up alone

ROWS = {  # what the search for the equilibrium tells of each tile: key, heading of the table, format
    "residual": ("change", ".1e"),
    "worst_pool": ("worst pool", ""),
    "isotope_residual": ("isotopes", ".1e"),
    "whole_residual": ("whole model", ".1e"),
    "cycles": ("cycles", "d"),
    "seconds": ("seconds", ".1f"),
}


def convergence(solved: dict, n_tile: int) -> dict[str, np.ndarray]:
    """The result of ``spin_up`` as arrays (tile,): those of ``ROWS`` that it has, and ``converged``."""
    found = {name: np.broadcast_to(np.asarray(solved[name]), n_tile) for name in ROWS if name in solved}
    return found | {"converged": np.broadcast_to(np.asarray(solved["converged"], dtype=bool), n_tile)}


def spinup_command(file, out, *, passes=None, quiet=False, as_json=False, **settings):
    """The command ``concerto spinup``: spins up, writes the restart file, prints the table of convergence.

    Returns
    -------
    None, or (sentence, hint) if a tile did not converge
    """
    from concerto.simulation.output import check_target
    from concerto.simulation.progress import progress
    from concerto.simulation.spinup import spin_up

    check_target(out, keep=(file,))
    run = open_site(file, spinup="auto", **settings)
    with progress(f"{run.site.name}: spin-up", 4 * run.forcing.shape[2], quiet or as_json) as bar:
        solved = spin_up(run, bar, **({} if passes is None else {"passes": passes}))
    found = convergence(solved, run.tiles.n_tile)
    write_site_restart(run, out, run.site.time_start[0], converged=found["converged"])
    names = [loader.pft_names()[p] for p in run.tiles.pft]
    reasons = list(solved.get("reasons", ()))
    if as_json:
        rows = [{key: _plain(values[k]) for key, values in found.items()} for k in range(run.tiles.n_tile)]
        rows = [{"tile": k + 1, "pft": names[k], "weight": run.weights[k]} | row for k, row in enumerate(rows)]
        words = {"site": run.site.name, "output": str(out), "state": solved.get("state", ""), "tiles": rows}
        words |= {"converged": bool(found["converged"].all()), "reasons": reasons, "input": list(run.site.report)}
        print(json.dumps(words))
    elif not quiet:
        _show_convergence(run, names, found, solved, out)
    if found["converged"].all():
        return None
    bad = np.flatnonzero(~found["converged"])
    k = bad[np.argmax(found["residual"][bad])]
    reason = next((words for words in reasons if words.startswith(f"tile {k + 1}: ")), "")
    reason = reason.removeprefix(f"tile {k + 1}: ") or (
        f"{found['worst_pool'][k]} still changes by {found['residual'][k]:.1e} of the total in a cycle"
    )
    return (
        f"{len(bad)} of {run.tiles.n_tile} tile(s) did not converge, worst tile {k + 1} ({names[k]}): {reason}; "
        f"{out} is written and marked converged = 0",
        "a longer or complete record, or parameters that let the plants live, help",
    )


def _show_convergence(run, names, found, solved, out):
    from rich.table import Table

    from concerto.simulation.progress import show

    table = Table(title=f"{run.site.name}: change over one more cycle", title_justify="left", box=None)
    keys = [key for key in ROWS if key in found]
    for word in ("tile", "plant type", "weight", *(ROWS[key][0] for key in keys), "converged"):
        left = word in ("plant type", "worst pool")
        table.add_column(word, justify="left" if left else "right", no_wrap=word != "worst pool")
    for k, name in enumerate(names):
        cells = [format(_plain(found[key][k]), ROWS[key][1]) for key in keys]
        table.add_row(str(k + 1), name, f"{run.weights[k]:.3f}", *cells, "yes" if found["converged"][k] else "NO")
    show(table)
    print("changes of the slow half and of the whole model over a cycle, relative to the total of the element")
    for words in solved.get("reasons", ()):
        print(words)
    print(out)
