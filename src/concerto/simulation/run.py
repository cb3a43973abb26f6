"""The gridded run: phases of spin-up and years over all cells, on any number of ranks, to the same bits.

Each rank has a contiguous run of bundles of cells, reads their forcing ahead of the computation in a thread of its own,
and advances its tiles in calls of several days. Records are accumulated in the core, gathered when their file is
complete, and written by one rank. Checkpoints let any number of ranks go on.
"""

from __future__ import annotations

import hashlib
import json
import os
import resource
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace

import numpy as np

from concerto import __version__
from concerto.errors import ConcertoError
from concerto.landuse.history import TOLERANCE
from concerto.simulation.accumulate import Accumulator
from concerto.simulation.checkpoint import (
    PIECE,
    Checkpoint,
    read_pieces,
    remove_pieces,
    second_name,
    write_checkpoint,
    write_piece,
)
from concerto.simulation.parallel import Call, Flag, Parallel
from concerto.simulation.tiles import HARVESTED, RESIDUALS, Tiles, residual_words
from concerto.tables import loader

STOP, SAVE = 2, 1  # what a rank asks of all
ZONES = (45.0, 0.0, -45.0)  # latitudes in the three zones of Delta14C, north to south
STOPPED = 75  # exit code of a run that was asked to stop and can go on
REFERENCE_HEIGHT = 10.0  # m, of gridded forcing that does not say
SOIL_CELLS = 64  # most cells that are spun up together
PIECE_HOURS = 0.25  # between pieces of a spin-up, where checkpoint.hours does not say otherwise
DONE, DONE_NOT_CONVERGED = 1, 2  # how the spin-up of a tile ended
SUMMER_HALF_RANGE = 5.5  # K, half the daily range of the warmest month where the forcing does not tell it
TOTALS_MEAN = ("gpp", "npp", "ra", "rh", "nbp", "evapotranspiration", "transpiration", "surface_runoff", "drainage")
TOTALS_LAST = ("vegetation_carbon", "litter_carbon", "soil_organic_carbon", "coarse_debris_carbon")
LAND_TOTALS = {"fLuc": "PgC yr-1", "cProduct": "PgC", "farm_harvest_to_products": "PgC yr-1", "net_uptake": "PgC yr-1"}
NOT_THERE = "land use: transitions found no area"  # how the note of them begins
LAND_USE_OF = ("products", "merge_below")  # settings that a state which a run begins from should share
POOLS_OF = ("soil_carbon", "nitrogen", "isotopes")  # options that decide which pools a state has
NOT_CLOSED = (1e-6, 1e-3, 1e-9, 1e-9)  # residuals of a step that are a fault, far above round-off, units of RESIDUALS
CARBON_FLUX = ("gpp", "npp", "ra", "rh", "nbp")


class Stopped(Exception):
    """The run was asked to stop; its checkpoint is written."""

    shared = True  # all ranks raise it


class _GivenUp(Exception):
    """The run was asked to stop within the spin-up of a group of cells, which is left for the next start."""


@dataclass(frozen=True)
class _Totals:
    """A stream that the run keeps for itself."""

    name: str
    variables: tuple
    statistic: str
    frequency: str = "year"


@dataclass
class _Waiting:
    """Finished records of a stream that wait until their file is complete."""

    label: str | None = None
    start: list = field(default_factory=list)
    end: list = field(default_factory=list)
    values: dict = field(default_factory=dict)  # name -> list of arrays (cell or tile, ...)


class Clock:
    """Seconds of a rank by what they were spent on."""

    def __init__(self):
        self.seconds = dict.fromkeys(("compute", "input", "output", "waiting", "spin-up", "land use"), 0.0)
        self._began = time.perf_counter()

    def add(self, name, began):
        """Add the time since ``began``; returns the present."""
        now = time.perf_counter()
        self.seconds[name] += now - began
        return now

    def whole(self) -> float:
        """Seconds since the start."""
        return time.perf_counter() - self._began


class Simulation:
    """A gridded run.

    Parameters
    ----------
    config : configuration file, or ``concerto.config.Config``
    overrides : words ``section.key=value``
    parallel : Parallel, the ranks; default: those of the launcher
    quiet : no progress and no table

    Attributes
    ----------
    config, domain (of the whole run), own (domain of this rank), tiles, source (its forcing)

    Examples
    --------
    >>> summary = Simulation("examples/globe/globe.yaml").run()  # doctest: +SKIP
    """

    def __init__(self, config, overrides=(), parallel: Parallel | None = None, quiet: bool = True):
        from concerto.config import Config, load
        from concerto.simulation.parallel import start

        self.parallel = parallel or start()
        self.config = (
            config if isinstance(config, Config) else self.parallel.only_first(lambda: load(config, overrides))
        )
        if self.config.forcing.source == "tower":
            self._of_record()
        self.quiet = quiet or not self.parallel.first
        self.folder = self.config.path(self.config.output.folder)
        self.clock = Clock()
        self.notes: list[str] = []
        self.phases: list[dict] = []
        self.worst = np.zeros(len(RESIDUALS))
        self.worst_of_spin_up = self.worst  # apart: a tile that is done goes on with its group, how long is no result
        self.rows: list[list] = []  # totals by year
        self.unmet = [0.0, 0, 0]  # transitions without area: most of the land of a cell, in which year, in how many
        self.domain = None
        self._old: dict = {}  # run.json of the start before
        self._asked = 0
        self._lock = None
        self._settled = False  # whether the folder is ours to write into

    def _of_record(self):
        """What a configuration takes from the record of a tower: its years and, if not given, its time step."""
        from concerto.config.schema import Cycle
        from concerto.forcing import tower

        section, model = self.config.forcing, self.config.model

        def read():
            return tower.whole_years(section, self.config.folder), tower.time_step(section, self.config.folder)

        years, step = self.parallel.only_first(read)
        for phase in self.config.phases:
            if phase.climate == "record":
                phase.climate = Cycle(cycle=years)
        if "time_step" not in model.model_fields_set and 60 <= step <= 10800:
            model.time_step = step
        if step % model.time_step and model.time_step % step:
            raise ConcertoError(
                f"model.time_step is {model.time_step} s and the interval of the tower {step} s, of which neither is a "
                "multiple of the other",
                hint="leave model.time_step out, or write a multiple, such as 10800",
            )

    # --- what a fault on one rank leaves for the others
    def notice(self):
        """File by which the first rank that fails tells the others to stay silent."""
        return self.folder / "failed.part" if self._settled else None

    # --- the course of the run

    def run(self, fresh: bool = False, until: str | None = None) -> dict:
        """Run what is not done yet.

        Parameters
        ----------
        fresh : start anew; outputs of an earlier run in the folder are removed
        until : name of the phase to stop after

        Returns
        -------
        dict, the closing table

        Raises
        ------
        Stopped
            On SIGTERM, SIGUSR1 or SIGUSR2, after the checkpoint.
        """
        config = self.config
        if until is not None and until not in [phase.name for phase in config.phases]:
            raise ConcertoError(
                f"there is no phase '{until}'", hint="known: " + ", ".join(phase.name for phase in config.phases)
            )
        names = [phase.name for phase in config.phases]
        last = len(names) if until is None else names.index(until) + 1
        try:
            with self._signals():
                self.parallel.only_first(lambda: self._open_folder(fresh))
                self._settled = True
                self._domain()
                self._tiles()
                position = self._continue()
                first = position["phase"]
                if not self.quiet and first >= last:
                    print(f"{self.folder}: phase {names[last - 1]} is over, nothing is left to do", file=sys.stderr)
                for k in range(first, last):
                    self._phase(k, config.phases[k], position if k == first else {})
            return self._close(max(first, last) == len(names), first < last)
        finally:
            if self._lock is not None:
                self._lock.close()

    def _phase(self, k, phase, position):
        """A phase, and what run.json tells of it."""
        began, before = time.perf_counter(), dict(self.clock.seconds)
        if self._land_use:
            from concerto.landuse.host import check_follows

            check_follows(self.config, phase, self.land.year, position.get("next"))
        stopped = None
        try:
            words = (self._spin_up if phase.kind == "spinup" else self._years)(k, phase, position)
        except Stopped as error:
            words, stopped = f"stopped {error}", error
        used = {name: value - before[name] for name, value in self.clock.seconds.items()}
        ranks, wall = self.parallel.gather(used), time.perf_counter() - began
        self.parallel.only_first(lambda: self._tell(phase, words, wall, ranks, "stopped" if stopped else "running"))
        if stopped:
            raise stopped

    def _tell(self, phase, words, wall, ranks, state):
        """Rank 0: the row of a phase, with what earlier starts have spent on it."""
        old = next((row for row in self.phases if row["name"] == phase.name), None)
        if old is not None:
            self.phases.remove(old)
            wall += old["wall"]
            if len(old["ranks"]) == len(ranks):
                both = zip(old["ranks"], ranks, strict=True)
                ranks = [{name: a.get(name, 0.0) + value for name, value in b.items()} for a, b in both]
        self.phases.append({"name": phase.name, "result": words, "wall": wall, "ranks": ranks})
        self._write_facts({"state": state})

    @contextmanager
    def _signals(self):
        before = {}

        def ask(number, frame):
            self._asked = STOP

        try:
            for name in ("SIGTERM", "SIGUSR1", "SIGUSR2"):
                before[name] = signal.signal(getattr(signal, name), ask)
        except ValueError:  # not the main thread: then the host handles signals
            pass
        try:
            yield
        finally:
            for name, old in before.items():
                signal.signal(getattr(signal, name), old)

    # --- folder, domain, tiles

    def _open_folder(self, fresh):
        import fcntl

        from concerto.config import differences, resolved

        folder = self.folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = open(folder / "run.lock", "w")  # released by the system when the process ends, however it does
        except OSError as error:
            raise ConcertoError(
                f"the output folder {folder} cannot be written: {error.strerror}", hint="choose another output.folder"
            ) from None
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConcertoError(
                f"another run is writing into {folder}", hint="wait for it, or choose another output.folder"
            ) from None
        except OSError:
            pass  # a file system without locks
        found, going = folder / "run.json", (folder / "checkpoint.nc").exists() or any(folder.glob(PIECE.format("*")))
        try:
            old = json.loads(found.read_text()) if found.exists() else {}
            before = old["configuration"] if old else None
        except (ValueError, KeyError, OSError):
            if not fresh:
                raise ConcertoError(f"{found} is damaged", hint="start anew with --fresh") from None
            old, before = {}, None
        if going and before is None and not fresh:
            raise ConcertoError(
                f"{folder} has a checkpoint, but no run.json that says of what",
                hint="choose another output.folder, or start anew with --fresh",
            )
        changed = differences(before, resolved(self.config)) if before else []
        if changed and going and not fresh:
            raise ConcertoError(
                f"{folder} holds a run with another configuration ({'; '.join(changed[:3])}"
                + (f" and {len(changed) - 3} more)" if len(changed) > 3 else ")"),
                hint="choose another output.folder, or start anew with --fresh",
            )
        if fresh or changed:  # without a checkpoint nothing of the earlier start is of use
            self._remove_old(before or {})
        else:
            self._old, self.phases, self.notes = old, old.get("phases", []), old.get("notes", [])
        self._tidy()
        if not going or fresh:  # else once the new configuration has proved to go on from there
            self._write_facts({"state": "running"})

    def _tidy(self):
        """Remove what a killed run has left unfinished."""
        import shutil

        for part in self.folder.glob("*.part"):
            shutil.rmtree(part) if part.is_dir() else part.unlink()
        for store in self.folder.glob("*.zarr"):
            for part in store.rglob("*.partial"):
                part.unlink()

    def _remove_old(self, before):
        import shutil

        names = ["checkpoint.nc", "domain.nc", "totals.csv", "run.json", "report.html"]
        old = [self.folder / name for name in names] + list(self.folder.glob("state_*.nc"))
        streams = {"land_use", *(stream.name for stream in self.config.output.streams)}
        streams |= {stream["name"] for stream in before.get("output", {}).get("streams", [])}
        for name in streams:
            old += self.folder.glob(f"{name}_[0-9]*.nc")
            shutil.rmtree(self.folder / f"{name}.zarr", ignore_errors=True)
        for path in old:
            path.unlink(missing_ok=True)
        remove_pieces(self.folder)

    def _write_facts(self, more):
        """run.json: what a reader, the report and the next start want to know."""
        from concerto.config import resolved

        facts = {
            "configuration": resolved(self.config),
            "source": f"concerto {__version__}",
            "tables": loader.digest(),
            "versions": _versions(),
            "ranks": self.parallel.size,
            "phases": self.phases,
            "notes": self._all_notes(),
            **more,
        }
        if self.domain is not None:
            facts |= {"cells": self.domain.n_cell, "tiles": self.domain.n_tile}
        path = self.folder / "run.json"
        part = path.with_name("run.json.part")
        try:
            part.write_text(json.dumps(facts, indent=1, default=str))
            os.replace(part, path)
        except OSError as error:
            part.unlink(missing_ok=True)
            raise ConcertoError(f"{path} could not be written: {error.strerror}", hint="is the disk full?") from None

    def _all_notes(self):
        domain = self.domain.notes if self.domain is not None else []
        notes = [note for note in self.notes if note not in domain and not note.startswith(NOT_THERE)]
        most, year, years = self.unmet
        if years:
            notes.append(f"{NOT_THERE} in {years} year{'s' * (years > 1)}, most in {year}: {most:.2g} of a cell's land")
        return [*domain, *notes]

    def _domain(self):
        """The domain of the whole run on every rank, and this rank's share of it."""
        from concerto.domain.bundles import bundle_limits, cell_cost, distribute
        from concerto.forcing.gridded import open_forcing

        self.domain = self.parallel.bcast(self.parallel.only_first(self._whole_domain))
        domain, parallel = self.domain, self.parallel
        first_cell = bundle_limits(domain.n_cell, self.config.parallel.bundle)
        cost = np.add.reduceat(cell_cost(domain), first_cell[:-1])
        self.limits = first_cell[distribute(cost, parallel.size)]
        first, last = self.limits[parallel.rank], self.limits[parallel.rank + 1]
        self.tile_limits = np.searchsorted(domain.tile_cell, self.limits)
        self.first_tile, self.last_tile = self.tile_limits[parallel.rank], self.tile_limits[parallel.rank + 1]
        self.idle = first == last  # more ranks than bundles
        self.own = domain.take(slice(0, 1) if self.idle else slice(first, last))
        self.n_own_tile = 0 if self.idle else self.own.n_tile
        self.n_own_cell = 0 if self.idle else self.own.n_cell
        self.source = None if self.idle else open_forcing(self.config.forcing, self.own, self.config.folder)
        prescribed = self.config.model.options.get("phenology") == "prescribed"
        if prescribed and self.source is not None and "leaf_area_index" not in self.source.variables:
            raise ConcertoError(
                "phenology 'prescribed' needs leaf area in the forcing",
                hint="leave the option out, or add LAI to the files",
            )

    def _whole_domain(self, save=True):
        from concerto.domain.grid import Domain, add_tiles, make_cells
        from concerto.forcing.gridded import open_forcing

        if self.config.model.options.get("vegetation_dynamics") == "lpj":
            raise ConcertoError(
                "vegetation_dynamics 'lpj' changes areas over decades; a gridded run keeps those of its land cover",
                hint="leave the option out",
            )
        if self._land_use:
            from concerto.landuse.host import check_phases

            check_phases(self.config)
        path = self.folder / "domain.nc"
        if save and path.exists():
            return Domain.load(path)
        cells = make_cells(self.config.domain, self.config.folder, self.config.forcing)
        source = open_forcing(self.config.forcing, cells, self.config.folder)
        climate = source.climatology()
        domain = add_tiles(cells, self.config.domain, climate)
        domain.notes += [note for note in source.notes if note not in domain.notes]
        kept = np.searchsorted(cells.cell_id, domain.cell_id)
        if self._land_use:
            from concerto.landuse.host import with_classes

            domain = with_classes(domain, self.config, {n: climate[n][kept] for n in ("temperature", "precipitation")})
        warmest = climate["temperature"][kept].max(axis=1)
        half = 0.5 * climate["range"][kept].max(axis=1) if "range" in climate else SUMMER_HALF_RANGE
        low, high = loader.parameters()["home_temperature"].bounds
        home = np.clip(warmest + half + 273.15, low, high)  # ice-cold cells too
        domain.tile_parameters["home_temperature"] = home[domain.tile_cell]
        if save:
            domain.save(path)
        return domain

    @property
    def _land_use(self) -> bool:
        return self.config.land_use.source != "none"

    def _tiles(self):
        self.tiles = self.work = make_tiles(self.own, self.config)
        if self.parallel.first and (self.tiles.parameter("outside_water") > 0.0).any():
            self.notes.append("plants of a field without measured rain are given the water they need (outside_water)")
        self.members, self.land, self.land_now = None, None, {}  # with land use only tiles that have area are advanced
        if self._land_use:
            from concerto.landuse.host import LandUseHost

            first = 0 if self.idle else self.limits[self.parallel.rank]
            self.land = LandUseHost(self.config, self.own, self.domain, int(first))
            self.land.manage(self.tiles)
        if not self.idle:
            self._start_state()

    def _start_state(self):
        from concerto.simulation.spinup import initialise

        climate = self.source.climatology()["temperature"].mean(axis=1) + 273.15
        initialise(self.tiles, climate[self.own.tile_cell])
        for name in ("temperature_10d", "temperature_30d"):
            self.tiles.set(name, climate[self.own.tile_cell])

    def _continue(self) -> dict:
        """Where the run stands: phase, next step, open records; the state is read."""
        path = self.folder / "checkpoint.nc"
        initial = self.config.initial_state
        if not path.exists() and initial is None:
            return {"phase": 0}
        checkpoint = Checkpoint(path if path.exists() else self.config.path(initial))
        self._fits(checkpoint)
        if not self.idle:
            self.tiles.state = self.tiles._blocks(checkpoint.state(self.first_tile, self.last_tile))
        if self._land_use:
            self._restore_land(checkpoint)
        if not path.exists():
            checkpoint.close()
            self._note_other_land_use(checkpoint)
            return {"phase": 0}
        facts, phases = checkpoint.facts, self.config.phases
        self.rows, self.worst = facts["totals"], np.array(facts["worst"])
        self.unmet = facts.get("unmet", self.unmet)
        done = np.zeros(self.n_own_tile, dtype="i1")
        if checkpoint.has("done") and not self.idle:
            done = checkpoint.array("done", self.first_tile, self.last_tile)
        phase, next_step = facts["phase"], facts.get("next")
        if facts.get("ended") and np.datetime64(facts["ended"]) < _end(phases[phase - 1]):
            phase, next_step = phase - 1, facts["ended"]  # the last phase has got more years
        if next_step:
            self._check_added(phases[phase], facts.get("streams"), np.datetime64(next_step, "s"))
        self.phases = [row for row in self.phases if row["name"] in [p.name for p in phases[: phase + 1]]]
        if not next_step and not done.any() and phase < len(phases):  # begins anew
            self.phases = [row for row in self.phases if row["name"] != phases[phase].name]
        if not self.quiet and phase < len(phases):
            where = f"phase {phases[phase].name}" + (f", {next_step[:10]}" if next_step else "")
            print(f"{self.folder}: going on from its checkpoint ({where})", file=sys.stderr)
        self.parallel.only_first(lambda: self._write_facts({"state": "running"}))
        return {"phase": phase, "next": next_step, "done": done, "checkpoint": checkpoint}

    def _note_other_land_use(self, checkpoint):
        """Tell settings of land use that differ from those that made the state a run begins from."""
        for name, before in checkpoint.facts.get("land_use", {}).items() if self._land_use else ():
            now = getattr(self.config.land_use, name)
            note = f"land use: the initial state was made with land_use.{name}: {before}, this run has {now}"
            if now != before and note not in self.notes:
                self.notes.append(note)

    def _check_added(self, phase, known, begin):
        """Refuse output streams that would begin in the middle of one of their files."""
        for stream in self._streams_of(phase):
            label = stream.file_of
            if known is not None and stream.name not in known and label(begin) == label(begin - np.timedelta64(1, "s")):
                raise ConcertoError(
                    f"the output stream {stream.name} was added where one of its files would be cut ({begin})",
                    hint="go on without it to the end of the year, or start anew with --fresh",
                )

    def _fits(self, checkpoint):
        """Refuse the state of other places, types or pools."""
        words, facts = "", checkpoint.facts
        if checkpoint.n_tile != self.domain.n_tile:
            words = f"has {checkpoint.n_tile} tiles, the domain {self.domain.n_tile}"
        elif facts["places"] != self._places():
            classes = ", plant types or classes of land" if self._land_use else " or plant types"
            words = f"is of other places{classes} than the domain"
        else:  # pools that one of the two does not fill
            for name in POOLS_OF:
                if facts[name] != self.tiles.option(name):
                    words = f"was made with {name} = {facts[name]}, the run has {self.tiles.option(name)}"
        if words:
            hint = "a state fits only the domain and the soil that it was made for"
            if self._land_use:
                hint += "; runs that share one want the same land_use.years"
            raise ConcertoError(f"{checkpoint.path} {words}", hint=hint)

    def _places(self) -> str:
        """Digest of where the tiles are, of what types, and of their soil."""
        domain, found = self.domain, hashlib.sha256()
        for values in (domain.latitude, domain.longitude, *(domain.soil[name] for name in sorted(domain.soil))):
            found.update(np.round(np.asarray(values, dtype="<f8"), 6).tobytes())
        for values in (domain.tile_cell, domain.tile_pft, domain.tile_class):
            if values is not None:
                found.update(np.asarray(values, dtype="<i8").tobytes())
        return found.hexdigest()[:16]

    def _save(self, facts, arrays=None, name="checkpoint.nc"):
        began = time.perf_counter()
        self.parallel.barrier()
        began = self.clock.add("waiting", began)
        self._sync()
        arrays = dict(arrays or {})
        if self.land is not None:
            facts = facts | {"land_year": self.land.year, "land_last": self.land.last, "unmet": self.unmet}
            facts["land_use"] = {name: getattr(self.config.land_use, name) for name in LAND_USE_OF}
            cells, tiles = self.land.arrays()
            cells |= {f"now_{name}": values for name, values in self.land_now.items()}
            arrays |= {f"land_cell_{name}": values[: self.n_own_cell] for name, values in cells.items()}
            arrays |= {f"land_tile_{name}": values[: self.n_own_tile] for name, values in tiles.items()}
        if not self.idle:
            self.worst = np.maximum(self.worst, self.tiles.worst.max(axis=1))
        worst = np.max(self.parallel.allgather(self.worst), axis=0)
        facts = facts | {"totals": self.rows, "worst": worst.tolist(), "places": self._places()}
        facts |= {name: self.tiles.option(name) for name in POOLS_OF}
        write_checkpoint(
            self.folder / name,
            self.parallel,
            None if self.idle else self.tiles,
            facts,
            dict(sorted((arrays or {}).items())),
        )
        self.clock.add("output", began)

    def _sync(self):
        """The state of the tiles with area into that of all tiles."""
        if self.members is None or self.idle:
            return
        state = self.tiles._unblock(self.tiles.state)
        state[self.members] = self.work._unblock(self.work.state)
        self.tiles.state = self.tiles._blocks(state)
        self.tiles.worst[:, self.members] = np.maximum(self.tiles.worst[:, self.members], self.work.worst)

    def _restore_land(self, checkpoint):
        rank, prefix = self.parallel.rank, len("land_cell_")
        cells = {name[prefix:]: checkpoint.array(name, self.limits[rank], self.limits[rank + 1])
                 for name in checkpoint.names() if name.startswith("land_cell_")}  # fmt: skip
        self.land_now = {name[4:]: cells.pop(name) for name in list(cells) if name.startswith("now_")}
        facts = checkpoint.facts
        if self.idle:
            self.land.year = facts["land_year"]
            return
        area = checkpoint.array("land_tile_area", self.first_tile, self.last_tile)
        told = self.land.restore(facts["land_year"], cells, {"area": area})
        self.notes += [note for note in told if note not in self.notes]
        self.land.manage(self.tiles)
        if self.land.last > facts["land_last"]:  # phases have got more years
            self.land.check_tiles()

    def _with_area(self):
        """Advance from now on the tiles that have area."""
        from concerto.simulation.spinup import some_tiles

        if not self.idle:
            self.members = self.land.members()
            self.work = some_tiles(self.tiles, self.members)[0]

    def _new_year(self, phase, year):
        """1 January: land changes hands."""
        from concerto.landuse.host import year_of

        began, before = time.perf_counter(), self.land.year
        self._sync()
        wanted = year_of(self.config, phase, year)
        if self.idle:
            self.land.year = max(before, wanted)
            self.land_now = {name: np.zeros(0) for name in self.land.rows}
        else:
            days = int((np.datetime64(f"{year + 1:04d}-01-01") - np.datetime64(f"{year:04d}-01-01")).astype(int))
            self.land_now = self.land.begin(self.tiles, wanted, days, bool(self.land_now))
        if wanted > before + 1:
            self.notes.append(f"phase {phase.name}: land use of {before} to {wanted} acts at once, on 1 January {year}")
        self._with_area()
        self.clock.add("land use", began)

    def _year_is_over(self, record):
        """31 December: what fields and pastures have yielded becomes products."""
        seconds = float((record.end[-1] - record.start[-1]) / np.timedelta64(1, "s"))
        if not self.idle:
            self.land.harvest(self.work, self.members, self.land_now, seconds)
        whole = self.parallel.gather_rows(self.land_now["unmet_area"][: self.n_own_cell])
        if self.parallel.first:
            most, year, years = self.unmet
            found = float(whole.max(initial=0.0))
            if found > TOLERANCE:
                self.unmet = [max(most, found), _year(record.start[-1]) if found > most else year, years + 1]

    def _save_end(self, phase, facts):
        """The state at the end of a phase, which is the checkpoint as well."""
        name = f"state_{phase.name}.nc"
        self._save(facts, name=name)
        self.parallel.only_first(lambda: second_name(self.folder / name, self.folder / "checkpoint.nc"))

    # --- forcing

    def _air(self, phase, first, last):
        """Histories of the atmosphere in a phase: name -> list of (History, year at which it is held or None)."""
        from concerto.forcing.history import resolve
        from concerto.forcing.isotopes import air_history

        found = {}
        for name, (series, year) in self.config.air(phase).items():
            if name in ("co2", "ndep"):
                history = [resolve(name, series, first)]
            else:  # Delta14C differs between three zones of latitude
                zones = ZONES if name == "delta14c" else ZONES[1:2]
                history = [air_history(name, series, zone, year or first, year or last) for zone in zones]
            found[name] = [(h, year) for h in history]
            for h in history:
                h.at(np.array([first, last]) if year is None else year)  # refuses years outside the series
        return found

    def _air_of(self, found, year):
        """CO2 and the further columns of a year: numbers, or arrays (cell,) of this rank."""
        now = {
            name: [float(h.at(year if held is None else held)) for h, held in pairs] for name, pairs in found.items()
        }
        carbon14 = now["delta14c"]
        if len(set(carbon14)) > 1:
            carbon14 = [np.select([self.own.latitude > 30.0, self.own.latitude > -30.0], carbon14[:2], carbon14[2])]
        extra = {
            "nitrogen_deposition": now["ndep"][0],
            "delta13c_air": now["delta13c"][0],
            "delta14c_air": carbon14[0],
        }
        return now["co2"][0], extra

    def _climate_years(self, phase, years):
        """Climate year of each year of a phase."""
        cycle = _cycle(phase)
        if cycle is None:
            climate = years
        else:
            climate = cycle[0] + (years - years[0]) % (cycle[1] - cycle[0] + 1)
        source = self.source
        if source is not None and source.first_day is not None:
            low, high = (_year(source.first_day), _year(source.last_day))
            low += source.first_day > np.datetime64(f"{low}-01-01")
            high -= source.last_day < np.datetime64(f"{high}-12-31")
            if high < low:
                raise ConcertoError(
                    f"the forcing, {source.first_day} to {source.last_day}, has no whole calendar year",
                    hint="give files of whole years: phases are made of them",
                )
            bad = climate[(climate < low) | (climate > high)]
            if len(bad):
                raise ConcertoError(
                    f"phase {phase.name}: the climate of {bad[0]} is wanted, the forcing has complete years from "
                    f"{low} to {high}",
                    hint="change the years of the phase, or repeat some with climate: {cycle: [first, last]}",
                )
        return climate

    def _chunk_days(self) -> int:
        """Days of one call, the same on all ranks: two buffers of forcing within the memory asked for."""
        per_day = int(round(86400 / self.tiles.time_step))
        need = 0
        if not self.idle:
            need = self._bytes_of_day(per_day, self.own.n_cell, self.own.n_tile, self.source.bytes_per_day())
        need, tiles = (max(self.parallel.allgather(value)) for value in (need, self.n_own_tile))
        return days_of_call(self.config.parallel, need, tiles, per_day)

    def _bytes_of_day(self, per_day, cells, tiles, native) -> float:
        """Memory for a day of forcing, two calls of it, and of records: in the core, by stream, by variable."""
        forcing = 2 * (8 * loader.columns("forcing") * per_day * cells + native)
        return forcing + 3 * 8 * tiles * self._records_of_day(per_day)

    def _records_of_day(self, per_day) -> int:
        """Values of a tile in the records of a day."""
        entries = loader.outputs()
        many = {"step": per_day, "day": 1}
        return sum(many.get(s.frequency, 0) * sum(entries[v].n_layer for v in s.variables) for s in self._streams())

    # --- spin-up

    def _spin_up(self, k, phase, position) -> str:
        from concerto.forcing.disaggregate import model_steps
        from concerto.simulation.forcing import ForcingInPieces
        from concerto.simulation.progress import progress
        from concerto.simulation.spinup import some_tiles, spin_up_tiles

        began = time.perf_counter()
        cycle = _cycle(phase)
        held = cycle[0]  # a year that all histories know; the spin-up holds them at years of their own
        done = position.get("done")
        if done is None or not len(done):
            done = np.zeros(self.n_own_tile, dtype="i1")
        busy = self.own.tile_fraction[: self.n_own_tile] > 0.0
        if self._land_use:  # tiles without area wait
            done[~busy] = DONE
            self._sync()
            self.members, self.work = None, self.tiles  # after years, which advance their own
        n_busy = int(busy.sum()) if self._land_use else self.n_own_tile
        if "checkpoint" in position:
            position["checkpoint"].close()
        call, saved, reasons = Call(self.parallel), time.monotonic(), []
        every = 3600.0 * (self.config.checkpoint.hours or PIECE_HOURS)
        if not self.idle:
            self._climate_years(phase, np.arange(cycle[0], cycle[1] + 1))
            days = np.arange(np.datetime64(f"{cycle[0]}-01-01"), np.datetime64(f"{cycle[1] + 1}-01-01"))
            step = int(self.tiles.time_step)
            per_day = 86400 // step
            n_step = len(days) * per_day
            times = days[0].astype("datetime64[s]") + np.arange(n_step) * np.timedelta64(step, "s")
            ends = (np.arange(n_step) % per_day == per_day - 1).astype(np.int32)
            co2, extra = self._air_of(self._air(phase, held, held), held)
            groups = self._groups(len(days))
            final = self.tiles._unblock(self.tiles.state)
            for at, state, how in read_pieces(self.folder, phase.name, self.first_tile, self.last_tile):
                final[at], done[at] = state, how

            def wanted():
                """Whether the run should stop; tells the other ranks."""
                if self._asked:
                    call.out()
                return self._asked or call.heard()

            total = 5 * n_step * sum(len(outer) for outer in groups.values())
            with progress(f"{phase.name}: spin-up of {self.domain.n_cell} cells", total, self.quiet) as bar:
                for outer in groups.values():
                    first_cell, last_cell = outer[0][0], outer[-1][1]
                    group_days = days
                    own = self.own.take(slice(first_cell, last_cell))
                    if all(done[np.isin(self.own.tile_cell, np.arange(first_cell, last_cell))]):
                        bar(5 * n_step * len(outer))
                        continue
                    if wanted():
                        break
                    source = self.source.subset(slice(first_cell, last_cell))
                    native = source.read(group_days)
                    for a, b in outer:
                        inside = (self.own.tile_cell >= a) & (self.own.tile_cell < b)
                        members = np.flatnonzero(inside & (self.own.tile_fraction > 0.0))
                        if done[members].all():
                            bar(5 * n_step)
                            continue
                        rows = slice(a - first_cell, b - first_cell)
                        here = {name: values[rows] for name, values in native.items()}
                        place = own.take(rows)
                        of_cells = {name: value[a:b] if np.ndim(value) else value for name, value in extra.items()}
                        many = 86400 // source.native_seconds

                        def make(first, last, here=here, place=place, many=many, of_cells=of_cells, source=source):
                            if wanted():
                                raise _GivenUp
                            d0, d1 = first // per_day, -(-last // per_day)
                            part = {name: v[:, d0 * many : d1 * many + 2] for name, v in here.items()}
                            out = model_steps(
                                part, place.latitude, place.longitude, days[d0:d1], source.native_seconds, step,
                                instantaneous=source.instantaneous, cell_id=place.cell_id, co2=co2, extra=of_cells,
                            )  # fmt: skip
                            return out[:, :, first - d0 * per_day : last - d0 * per_day]

                        forcing = ForcingInPieces(make, (b - a, loader.columns("forcing"), n_step), 366 * per_day)
                        part = some_tiles(self.tiles, members)[0]
                        part.cell = part.cell - a
                        part.cell_of_tile = part.cell_of_tile - np.int32(a)
                        spent = 0

                        def count(steps):
                            nonlocal spent
                            spent += steps
                            bar(steps)

                        def describe(tile, number, members=members):
                            return f"{self._place(members[tile])}, step {number + 1} of a spin-up cycle"

                        try:
                            found = spin_up_tiles(part, forcing, ends, times, count, describe, phase.rounds)
                        except _GivenUp:
                            break
                        bar(max(5 * n_step - spent, 0))
                        for element, name in HARVESTED.items() if self._land_use else ():
                            part.set(name, found[f"harvest_{element}"])
                        final[members] = part._unblock(part.state)
                        self.worst_of_spin_up = np.maximum(self.worst_of_spin_up, part.worst.max(axis=1))
                        converged = np.asarray(found["converged"], dtype=bool)
                        reasons += [
                            f"{self._place(members[i])}: {found['reason'][i]}" for i in np.flatnonzero(~converged)
                        ]
                        done[members] = np.where(converged, DONE, DONE_NOT_CONVERGED)
                        if time.monotonic() - saved > every:
                            over, saved = np.flatnonzero(done), time.monotonic()
                            write_piece(
                                self.folder, self.parallel.rank, phase.name, over + self.first_tile, final[over],
                                done[over],
                            )  # fmt: skip
            self.tiles.state = self.tiles._blocks(final)
        self.clock.add("spin-up", began)
        if self._asked:
            call.out()
        stop, left = call.close(), sum(self.parallel.allgather(int((done == 0).sum())))
        if stop and left:
            self._save({"phase": k}, {"done": done})
            self.parallel.only_first(lambda: remove_pieces(self.folder))
            raise Stopped(f"in phase {phase.name}, with {left} of {sum(self.parallel.allgather(n_busy))} tiles to do")
        if self._land_use and not self.idle:
            self.land.settle(self.tiles)
        self._save_end(phase, {"phase": k + 1})
        self.parallel.only_first(lambda: remove_pieces(self.folder))
        if stop and k + 1 < len(self.config.phases):
            raise Stopped(f"after phase {phase.name}")
        counts = self.parallel.allgather((n_busy, int((done == DONE_NOT_CONVERGED).sum()), reasons[:3]))
        tiles, bad = sum(c[0] for c in counts), sum(c[1] for c in counts)
        if bad:
            self.notes += [reason for c in counts for reason in c[2] if reason not in self.notes][:5]
        return f"equilibrium of {tiles} tiles" + (f", {bad} NOT converged" if bad else "")

    def _groups(self, n_day) -> dict:
        """Cells that are read together (outer) and spun up together (inner): lists of (first, last) cell."""
        bundle = self.config.parallel.bundle
        memory = self.config.parallel.memory * 1e9
        read = max(int(memory / 2 / max(self.source.bytes_per_day() / self.own.n_cell * n_day, 1)), 1)
        drivers = 8 * loader.columns("driver") * n_day * max(self.own.n_tile / self.own.n_cell, 1)
        inner = int(np.clip(memory / 2 / drivers, 1, SOIL_CELLS))
        inner = max(inner // bundle * bundle, min(bundle, inner))
        groups, k = {}, 0
        for a in range(0, self.own.n_cell, inner):
            b = min(a + inner, self.own.n_cell)
            if k in groups and b - groups[k][0][0] > read:
                k += 1
            groups.setdefault(k, []).append((a, b))
        return groups

    # --- years

    def _years(self, k, phase, position) -> str:
        from concerto.simulation.progress import progress
        from concerto.simulation.streams import StreamWriter

        first_year, last_year = phase.years
        years = np.arange(first_year, last_year + 1)
        climate = dict(zip(years.tolist(), self._climate_years(phase, years).tolist(), strict=True))
        air = self._air(phase, first_year, last_year)
        streams = self._streams_of(phase)
        start, end = _start(phase), _end(phase)
        writers = {}
        for s in streams:  # a store holds all phases
            all_of = [p for p in self.config.phases if p.kind == "run" and s in self._streams_of(p)]
            writers[s.name] = StreamWriter(
                self.folder, self._written(s), self.domain, self.limits, self.parallel, self._attributes(phase),
                self.tiles.time_step, format=self.config.output.format, start=_start(all_of[0]), end=_end(all_of[-1]),
                scheme=self.tiles.option("soil_carbon"),
            )  # fmt: skip
        own = (_Totals("_mean", TOTALS_MEAN, "mean"), _Totals("_last", TOTALS_LAST, "last"))
        if self._land_use:
            from concerto.simulation.streams import Stream

            stream = Stream("land_use", "year", tuple(self.land.rows), "mean", "cell")
            all_of = [p for p in self.config.phases if p.kind == "run"]
            writers["land_use"] = StreamWriter(
                self.folder, stream, self.domain, self.limits, self.parallel, self._attributes(phase),
                self.tiles.time_step, format=self.config.output.format, start=_start(all_of[0]), end=_end(all_of[-1]),
            )  # fmt: skip
            self._with_area()
        accumulator = Accumulator(self.work, [*streams, *own])
        waiting = {s.name: _Waiting() for s in streams}
        begin = np.datetime64(position.get("next") or start, "s")
        if position.get("next"):
            self._restore(position["checkpoint"], accumulator, waiting, begin)
        chunks = list(self._chunks(begin, end))
        flag, saved = Flag(self.parallel), time.monotonic()
        total = int((end - begin) / np.timedelta64(1, "D"))
        try:
            with (
                progress(f"{phase.name} {first_year}-{last_year}", total, self.quiet) as bar,
                ThreadPoolExecutor(1) as reader,
            ):
                ahead = reader.submit(self._make, chunks[0], climate, air) if chunks else None
                for number, days in enumerate(chunks):
                    now = time.perf_counter()
                    forcing = ahead.result()
                    now = self.clock.add("input", now)
                    if self._land_use and (str(days[0])[5:] == "01-01" or not self.land_now):
                        self._new_year(phase, _year(days[0]))
                        accumulator = Accumulator(self.work, [*streams, *own])
                        now = time.perf_counter()
                    if number + 1 < len(chunks):
                        ahead = reader.submit(self._make, chunks[number + 1], climate, air)
                    finished = self._advance(accumulator, forcing, days)
                    bar(len(days))
                    after = (days[-1] + 1).astype("datetime64[s]")
                    self.clock.add("compute", now)
                    self._take(streams, finished, waiting, writers)
                    if "_mean" in finished:
                        if self._land_use:
                            self._year_is_over(finished["_mean"])
                        self._year(phase, finished)
                        if self._land_use:
                            self._write_land(writers["land_use"], finished["_mean"])
                    due = self._due(saved)
                    if due:
                        saved = time.monotonic()
                    asked = flag.exchange(self._asked | due)
                    year = _year(days[-1])
                    year_ends = _year(after) > year
                    every = year_ends and (year - first_year + 1) % self.config.checkpoint.every == 0
                    if after < end and (asked >= SAVE or every):
                        self._checkpoint(k, after, accumulator, waiting)
                        if asked >= STOP:
                            flag.close()
                            raise Stopped(f"before {after.astype('datetime64[D]')} of phase {phase.name}")
        except ConcertoError as error:
            if getattr(error, "shared", False):  # all ranks leave here: no message stays on its way
                flag.close()
            raise
        asked = flag.close()
        self._save_end(phase, {"phase": k + 1, "ended": str(end)})
        if max(self.parallel.allgather(max(asked, self._asked))) >= STOP and k + 1 < len(self.config.phases):
            raise Stopped(f"after phase {phase.name}")
        return f"{last_year - first_year + 1} years"

    def _streams(self):
        from concerto.config import stream_variables
        from concerto.simulation.streams import Stream

        options = self.config.model.options
        return [
            Stream(
                s.name, s.frequency, tuple(stream_variables(s.variables, options)), s.statistic, s.per,
                s.digits,
            )
            for s in self.config.output.streams
        ]  # fmt: skip

    def _written(self, stream):
        """A stream with what the run adds to it: the shares of land that land use changes."""
        from concerto.simulation.streams import SHARES

        if not self._land_use or stream.per not in SHARES:
            return stream
        return replace(stream, variables=(*stream.variables, SHARES[stream.per]))

    def _streams_of(self, phase):
        return [stream for stream in self._streams() if phase.outputs is None or stream.name in phase.outputs]

    def _attributes(self, phase) -> dict:
        from concerto.config import resolved

        return {
            "title": self.config.title,
            "phase": phase.name,
            "source": f"concerto {__version__}, core tables {loader.digest()}",
            "configuration": json.dumps(_of_results(resolved(self.config))),
            "versions": json.dumps(_versions()),
            "comment": "Carbon as mass of C. Means over the land that the tiles stand for (sftlf).",
        }

    def _chunks(self, begin, end):
        """Days of each call; no call crosses a new year."""
        size, day, last = self._chunk_days(), begin.astype("datetime64[D]"), end.astype("datetime64[D]")
        while day < last:
            new_year = np.datetime64(f"{_year(day) + 1}-01-01")
            stop = min(day + size, new_year, last)
            yield np.arange(day, stop)
            day = stop

    def _make(self, days, climate, air):
        """Forcing of a chunk of days; runs in the thread that reads ahead."""
        if self.idle:
            return None
        from concerto.forcing.disaggregate import model_steps

        year = _year(days[0])
        co2, extra = self._air_of(air, year)
        native = self.source.read(in_year(days, climate[year]))
        return model_steps(
            native, self.own.latitude, self.own.longitude, days, self.source.native_seconds, int(self.tiles.time_step),
            instantaneous=self.source.instantaneous, cell_id=self.own.cell_id, co2=co2, extra=extra,
        )  # fmt: skip

    def _advance(self, accumulator, forcing, days):
        per_day = int(round(86400 / self.tiles.time_step))
        n_step = len(days) * per_day
        ends = (np.arange(n_step) % per_day == per_day - 1).astype(np.int32)
        first = days[0].astype("datetime64[s]")
        records = accumulator.plan(first, n_step)
        if not self.idle:

            def describe(tile, step):
                tile = tile if self.members is None else self.members[tile]
                return f"{self._place(tile)}, {first + step * np.timedelta64(int(self.tiles.time_step), 's')} UTC"

            self.work.advance(forcing, ends, describe=describe, records=records)
        finished = accumulator.collect(records)
        if self.members is not None:  # tiles without area count for nothing
            for found in finished.values():
                found.values = {name: self._of_all(values) for name, values in found.values.items()}
        return finished

    def _of_all(self, values):
        """(record, tile with area, ...) -> (record, tile, ...), 0 where there is no area."""
        out = np.zeros((len(values), self.tiles.n_tile, *values.shape[2:]))
        out[:, self.members] = values
        return out

    def _write_land(self, writer, record):
        """What land use did in the year that is over."""
        began = time.perf_counter()
        values = {name: v[None, : self.n_own_cell].astype(np.float32) for name, v in self.land_now.items()}
        try:
            with self._alone():
                writer.write(str(_year(record.start[-1])), record.start[-1:], record.end[-1:], values)
        except ConcertoError as error:
            error.shared = True
            raise
        self.clock.add("output", began)

    def _place(self, tile) -> str:
        cell = self.own.tile_cell[tile]
        name = loader.pft_names()[self.own.tile_pft[tile]]
        latitude, longitude = self.own.latitude[cell], self.own.longitude[cell]
        north, east = "SN"[int(latitude >= 0)], "WE"[int(longitude >= 0)]
        land = f" on {self._classes()[self.own.tile_class[tile]].name} land" if self._land_use else ""
        return f"{abs(latitude):.2f} {north} {abs(longitude):.2f} {east}, {name}{land}"

    def _values(self, stream, values):
        """Values of this rank as the stream wants them; none if it has no cells."""
        from concerto.simulation.streams import groups, to_cells, to_groups

        if stream.per == "tile":
            if self.members is not None:
                values[:, self.own.tile_fraction <= 0.0] = np.nan
            return values[:, : self.n_own_tile]
        if stream.per == "cell":
            return to_cells(values, self.own)[:, : self.n_own_cell]
        return to_groups(values, self.own, *groups(stream.per, self.own, self._classes()))[:, : self.n_own_cell]

    def _shares(self, stream):
        """Shares of the land that land use has made, (own cell, group) or (own tile,)."""
        from concerto.simulation.streams import groups, shares

        if stream.per == "tile":
            return self.own.tile_fraction[: self.n_own_tile]
        return shares(self.own, *groups(stream.per, self.own, self._classes()))[: self.n_own_cell]

    def _classes(self) -> tuple:
        """Classes of land of the run, to which ``tile_class`` refers."""
        from concerto.landuse.classes import class_list

        return class_list(self.config.land_use.secondary) if self._land_use else ()

    def _alone(self):
        """While rank 0 writes NetCDF, the thread that reads ahead is not in the library, which knows no threads."""
        from concerto.forcing.gridded import NETCDF_LOCK

        return NETCDF_LOCK if self.parallel.first else nullcontext()

    def _take(self, streams, finished, waiting, writers):
        """Finished records wait for their file; a complete file is written."""
        for stream in streams:
            if stream.name not in finished:
                continue
            found, wait = finished[stream.name], waiting[stream.name]
            with np.errstate(over="ignore"):  # the precision of the files: half the memory of what waits
                values = {name: self._values(stream, v).astype(np.float32) for name, v in found.values.items()}
            for name in self._written(stream).variables[len(stream.variables) :]:
                share = self._shares(stream).astype(np.float32)
                values[name] = np.broadcast_to(share, (len(found.start), *share.shape))
            for r, (start, end) in enumerate(zip(found.start, found.end, strict=True)):
                wait.label = stream.file_of(start)
                wait.start.append(start)
                wait.end.append(end)
                for name, v in values.items():
                    wait.values.setdefault(name, []).append(v[r])
                if stream.file_of(end) != wait.label:
                    now = time.perf_counter()
                    self.parallel.barrier()
                    now = self.clock.add("waiting", now)
                    stacked = {name: np.stack(wait.values.pop(name)) for name in list(wait.values)}
                    try:
                        with self._alone():
                            writers[stream.name].write(wait.label, np.array(wait.start), np.array(wait.end), stacked)
                    except ConcertoError as error:
                        error.shared = True  # the writer raises on all ranks
                        raise
                    self.clock.add("output", now)
                    wait.label, wait.start, wait.end = None, [], []

    def _year(self, phase, finished):
        """Totals of a year that is over, summed in the order of all cells on rank 0."""
        from concerto.simulation.streams import Totals, to_cells

        began = time.perf_counter()
        mean, last = finished["_mean"], finished["_last"]
        names = [*mean.values, *last.values]
        for r in range(len(mean.start)):
            columns = [to_cells((mean.values | last.values)[name][r : r + 1], self.own)[0] for name in names]
            mine = np.stack(columns, axis=1)[: self.n_own_cell]
            whole = self.parallel.gather_rows(mine)
            land = self._land_totals(mean.end[r] - mean.start[r]) if self._land_use else {}
            if self.parallel.first:
                area = self.domain.area * self.domain.land_fraction
                seconds = float((mean.end[r] - mean.start[r]) / np.timedelta64(1, "s"))
                found = {_total_unit(name)[0]: float(np.sum(values * area)) * _total_factor(name, seconds)
                         for name, values in zip(names, whole.T, strict=True)}  # fmt: skip
                if self._land_use:
                    found |= land
                    found["net_uptake"] = found["nbp"] + land["farm_harvest_to_products"] - land["fLuc"]
                totals = Totals(self.folder, self._total_units(), self.rows)
                totals.add({"time": _year(mean.start[r])} | found)
                self.rows = totals.rows
        self.clock.add("output", began)

    def _total_units(self) -> dict:
        units = dict(map(_total_unit, (*TOTALS_MEAN, *TOTALS_LAST)))
        return units | (LAND_TOTALS if self._land_use else {})

    def _land_totals(self, span) -> dict:
        """Emission and products of all cells on rank 0."""
        seconds, out = float(span / np.timedelta64(1, "s")), {}
        rows = (("land_use_emission", seconds), ("product_carbon", 1.0), ("farm_harvest_to_products", seconds))
        for name, factor in rows:
            whole = self.parallel.gather_rows(self.land_now[name][: self.n_own_cell])
            if self.parallel.first:
                total = float(np.sum(whole * self.domain.area * self.domain.land_fraction))
                out[_total_unit(name)[0]] = total * factor * 1e-12
        return out

    def _due(self, saved) -> int:
        hours = self.config.checkpoint.hours
        return SAVE if hours and time.monotonic() - saved > hours * 3600.0 else 0

    def _checkpoint(self, k, after, accumulator, waiting):
        """Everything that the next start needs; called at the end of a chunk."""
        facts, arrays = {"phase": k, "next": str(after), "open": {}, "waiting": {}, "streams": list(waiting)}, {}
        for name, (began, values) in accumulator.state().items():
            facts["open"][name] = str(began)
            if self.members is not None:
                values = self._of_all(values[None])[0]
            arrays[f"open_{name}"] = values[: self.n_own_tile]
        for name, wait in waiting.items():
            if not wait.start:
                continue
            facts["waiting"][name] = [[str(a), str(b)] for a, b in zip(wait.start, wait.end, strict=True)]
            for variable, values in wait.values.items():
                arrays[f"waiting_{name}_{variable}"] = np.stack(values, axis=1)  # rows first
        self._save(facts, arrays)

    def _restore(self, checkpoint, accumulator, waiting, begin):
        """Open and waiting records of a checkpoint."""
        facts, rank = checkpoint.facts, self.parallel.rank
        streams = {s.name: s for s in self._streams()}
        tiles = self.first_tile, self.last_tile
        cells = self.limits[rank], self.limits[rank + 1]
        found = {}
        for name, began in facts.get("open", {}).items():
            values = checkpoint.array(f"open_{name}", *tiles)
            if self.idle:
                values = np.zeros((self.tiles.n_tile, *values.shape[1:]))
            elif self.members is not None:
                values = values[self.members]
            found[name] = (began, values)
        accumulator.restore(found)
        for name, spans in facts.get("waiting", {}).items():
            stream, wait = streams[name], waiting[name]
            wait.start = [np.datetime64(a, "s") for a, _ in spans]
            wait.end = [np.datetime64(b, "s") for _, b in spans]
            wait.label = stream.file_of(wait.start[0])
            for variable in self._written(stream).variables:
                values = checkpoint.array(f"waiting_{name}_{variable}", *(tiles if stream.per == "tile" else cells))
                wait.values[variable] = list(np.moveaxis(values, 1, 0))
        checkpoint.close()

    # --- the end

    def _close(self, complete, worked) -> dict:
        if not self.idle:
            self.worst = np.maximum(self.worst, self.tiles.worst.max(axis=1))
        worst = np.max(self.parallel.allgather(np.maximum(self.worst, self.worst_of_spin_up)), axis=0)
        memory = self.parallel.gather(round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024.0))
        if not self.parallel.first:
            return {}
        if not worked and "summary" in self._old:  # what it says stays true
            kept = {name: self._old[name] for name in ("state", "ranks", "summary", "memory_megabytes", "versions")}
            self._write_facts(kept)
            return kept["summary"]
        summary = self._summary(worst)
        state = "complete" if complete else "stopped"
        self._write_facts({"state": state, "summary": summary, "memory_megabytes": memory})
        return summary

    def _summary(self, worst):
        domain, config = self.domain, self.config
        summary = {
            "title": f"{config.title}: {domain.n_cell} cells, {domain.n_tile} tiles, {self.parallel.size} rank(s)",
            "phases": {p["name"]: f"{p['result']}, {p['wall']:.1f} s" for p in self.phases},
        }
        if self.rows:
            units_of = self._total_units()
            last = self.rows[-1]
            summary[f"totals of {last[0]}"] = {
                name: f"{value:.4g} {unit}" for (name, unit), value in zip(units_of.items(), last[1:], strict=True)
            }
        shares = [rank for p in self.phases for rank in p["ranks"]]
        total = sum(sum(rank.values()) for rank in shares) or 1.0
        summary["wall time"] = ", ".join(
            f"{name} {100 * sum(rank[name] for rank in shares) / total:.1f} %" for name in self.clock.seconds
        )
        summary["worst residual"] = residual_words(worst)
        for k, (name, unit) in enumerate(RESIDUALS.items()):
            if worst[k] > NOT_CLOSED[k]:
                self.notes.append(f"the budget of {name} did not close: {worst[k]:.1e} {unit} in a step; please report")
        if self._all_notes():
            summary["notes"] = self._all_notes()
        summary["output"] = str(self.folder)
        return summary


def days_of_call(settings, need, tiles, per_day) -> int:
    """Days of one call of the core.

    Parameters
    ----------
    settings : section ``parallel`` of the configuration
    need : bytes for a day on the rank with most
    tiles : of the rank with most
    per_day : steps of a day
    """
    if settings.chunk_days:
        return settings.chunk_days
    # calls of about four seconds keep the share of Python small, show progress and answer a signal soon
    seconds = 1.3e-6 * per_day * max(tiles, 1) / max(settings.threads, 1)
    return int(np.clip(min(settings.memory * 1e9 / max(need, 1), max(4.0 / seconds, 1.0)), 1, 366))


def make_tiles(domain, config) -> Tiles:
    """Tiles of a domain with the parameters of its soil, place and types, and those of the configuration."""
    from concerto.config import parameter_values
    from concerto.domain.grid import PLACE_PARAMETERS

    tiles = Tiles(
        domain.tile_pft, config.model.time_step, cell=domain.tile_cell, options=dict(config.model.options),
        nproma=config.parallel.nproma, threads=config.parallel.threads,
    )  # fmt: skip
    for name, values in domain.soil.items():
        tiles.set_parameter(name, values[domain.tile_cell])
    for name, values in domain.tile_parameters.items():
        tiles.set_parameter(name, values)
    for name in PLACE_PARAMETERS:
        # land use changes the plants of a field: unknown water is given neither to others nor to irrigated ones
        watered = domain.tile_class is not None or tiles.option("irrigation") == "demand"
        if name in domain.facts and not (name == "outside_water" and watered):
            tiles.set_parameter(name, domain.facts[name][domain.tile_cell])
    tiles.set_parameter("latitude", domain.latitude[domain.tile_cell])
    tiles.set_parameter("stand_age", 0.0)  # wood in equilibrium; towers stand in young stands, the land does not
    for name, values in parameter_values(config.model.parameters).items():
        tiles.set_parameter(name, np.array(values)[domain.tile_pft])
    # forcing stands at a height above the canopy, as at a tower
    height = np.full(domain.n_cell, config.forcing.reference_height or REFERENCE_HEIGHT)
    height = domain.facts.get("reference_height", height)[domain.tile_cell]
    height = np.maximum(height, tiles.parameter("canopy_height") + 2.0)
    tiles.set_parameter("reference_height", height)
    return tiles


def _start(phase):
    """Start of a phase of years."""
    return np.datetime64(f"{phase.years[0]}-01-01", "s")


def _end(phase):
    """End of a phase of years; before all time for a spin-up."""
    return np.datetime64(f"{phase.years[1] + 1}-01-01", "s") if phase.kind == "run" else np.datetime64("-9999", "s")


def _of_results(tree) -> dict:
    """A configuration without what results do not depend on, so that files do not depend on it either."""
    tree = {name: value for name, value in tree.items() if name not in ("parallel", "checkpoint")}
    return tree | {"output": {name: value for name, value in tree["output"].items() if name != "folder"}}


def in_year(days, year):
    """The same calendar days in another year; 29 February: 28 February again."""
    days = np.asarray(days, dtype="datetime64[D]")
    month = days.astype("datetime64[M]")
    day = (days - month.astype("datetime64[D]")).astype(int)
    moved = (month.astype(int) % 12 + 12 * (int(year) - 1970)).astype("datetime64[M]")
    length = ((moved + 1).astype("datetime64[D]") - moved.astype("datetime64[D]")).astype(int)
    return moved.astype("datetime64[D]") + np.minimum(day, length - 1)


def _cycle(phase):
    """First and last year of a repeated climate, or None."""
    return None if phase.climate == "transient" else phase.climate.cycle


def _year(day) -> int:
    return int(np.datetime64(day).astype("datetime64[Y]").astype(int)) + 1970


def _total_unit(name):
    """Name and unit of a global total: carbon in PgC, water in km3; fluxes by year."""
    from concerto.simulation.output import attributes

    return attributes(name)[0], ("PgC" if name in TOTALS_LAST else "PgC yr-1" if name in CARBON_FLUX else "km3 yr-1")


def _total_factor(name, seconds):
    """From kg (of a rate: kg s-1) to the unit; a cubic kilometre of water is 1e12 kg."""
    return 1e-12 if name in TOTALS_LAST else seconds * 1e-12


def _versions() -> dict:
    import netCDF4

    return {
        "concerto": __version__,
        "python": sys.version.split()[0],
        "numpy": np.__version__,
        "netCDF4": netCDF4.__version__,
    }
