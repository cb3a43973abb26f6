"""Tiles in blocks: the state and parameters of a simulation, and the call that advances them in the compiled core."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from concerto import _core
from concerto.errors import ConcertoError
from concerto.tables import loader

# The rows of ``worst``, in their order, with their units
RESIDUALS = {"water": "kg m-2", "energy": "W m-2", "carbon": "kg m-2", "nitrogen": "kg m-2"}


def residual_words(worst) -> dict[str, str]:
    """The largest residual of each budget in words, from ``worst`` (row,) or (row, tile)."""
    largest = np.reshape(worst, (len(RESIDUALS), -1)).max(axis=1)
    return {name: f"{largest[k]:.1e} {unit} in a step" for k, (name, unit) in enumerate(RESIDUALS.items())}


LARGEST_BLOCK = 240
FIRST_FORCING = 100000  # columns of the core above it are those of the forcing
HARVESTED = {"carbon": "harvested_carbon", "nitrogen": "harvested_nitrogen"}  # states that count what left for products
NEWTON_ROWS = 51  # what the solution of a microbial scheme tells of a tile


def check_core():
    """Refuse a compiled core that was built from other tables than the installed ones."""
    built = _core.concerto_interface.core_digest().decode()
    if built != loader.digest():
        raise ConcertoError(
            f"the compiled core was built from other tables ({built}) than those installed ({loader.digest()})",
            hint="reinstall concerto",
        )


def block_size(n_tile: int, nproma: int = 64) -> tuple[int, int]:
    """Tiles per block (a multiple of 16, 240 at most) and number of blocks.

    The step keeps about 16 kB for each tile of a block on the stack, hence the limit. Columns whose stride is a
    multiple of 2048 bytes fall on the same cache sets, hence not 256.
    """
    nproma = min(-(-min(max(nproma, 1), LARGEST_BLOCK) // 16) * 16, -(-n_tile // 16) * 16)
    return nproma, -(-n_tile // nproma)


@dataclass
class Records:
    """What one call of the core accumulates, and where.

    Attributes
    ----------
    columns : int array (select,), diagnostic column; negative: state column; above FIRST_FORCING: forcing column
    operation : int array (select,), 1 weighted sum, 2 smallest, 3 largest, 4 last value
    stream, first_slot, slot_step : int arrays (select,), stream (from 1), place of the first record, and from one to
        the next
    record_of_step : int array (stream, step), record from 1 that a step belongs to; 0: none
    weight_of_step : array (stream, step), factor of a step in a weighted sum
    output : array (nproma, slot, block), Fortran order; records go on from what is there
    """

    columns: np.ndarray
    operation: np.ndarray
    stream: np.ndarray
    first_slot: np.ndarray
    slot_step: np.ndarray
    record_of_step: np.ndarray
    weight_of_step: np.ndarray
    output: np.ndarray

    @classmethod
    def plain(cls, tiles, columns, n_step, n_out, steps):
        """Means over so many steps of every column; a last record that is not full is left out."""
        n = max(len(columns), 1)
        record = np.arange(n_step) // steps + 1
        record[record > n_out] = 0
        return cls(
            np.array(columns or [1], dtype=np.int32),
            np.ones(n, dtype=np.int32),
            np.ones(n, dtype=np.int32),
            np.arange(1, n + 1, dtype=np.int32),
            np.full(n, n, dtype=np.int32),
            np.asfortranarray(record[None, :].astype(np.int32)),
            np.full((1, n_step), 1.0 / steps, order="F"),
            np.zeros((tiles.nproma, n * max(n_out, 1), tiles.n_block), order="F"),
        )


@dataclass
class Tiles:
    """State, parameters and options of ``n_tile`` tiles.

    Attributes
    ----------
    state, parameters : arrays (nproma, column, block), Fortran order, units of the tables
    cell_of_tile : array (nproma, block) of rows of the forcing, from 1
    worst : array (4, n_tile), the largest residual of any step: water (kg m-2), energy (W m-2), carbon and nitrogen
        (kg m-2)
    """

    pft: np.ndarray
    time_step: float = 1800.0
    cell: np.ndarray | None = None
    options: dict = field(default_factory=dict)
    nproma: int = 64
    threads: int = 1

    def __post_init__(self):
        check_core()
        self.pft = np.atleast_1d(np.asarray(self.pft, dtype=int))
        self.n_tile = len(self.pft)
        if self.n_tile == 0 or self.pft.min() < 0 or self.pft.max() >= len(loader.pft_names()):
            raise ConcertoError(
                f"plant functional types must be numbers from 0 to {len(loader.pft_names()) - 1}, one for each tile",
                hint="see `concerto params`",
            )
        if not 0 < self.time_step <= 86400:
            raise ConcertoError(f"the time step is {self.time_step} s", hint="above 0 and not longer than a day")
        self.nproma, self.n_block = block_size(self.n_tile, self.nproma)
        self.cell = np.arange(self.n_tile) if self.cell is None else np.asarray(self.cell, dtype=int)
        if self.cell.shape != (self.n_tile,) or self.cell.min() < 0:
            raise ConcertoError(
                f"cell does not give a row of the forcing for each of the {self.n_tile} tiles",
                hint="one number for each tile, counted from 0",
            )
        try:
            self._option_numbers = np.array(loader.option_numbers(self.options), dtype=np.int32)
        except KeyError as error:
            raise ConcertoError(str(error.args[0]), hint="see `concerto params --options`") from None
        padded = self.nproma * self.n_block
        self._tile = np.minimum(np.arange(padded), self.n_tile - 1)
        table = np.array([entry.values for entry in loader.parameters().values()])  # (parameter, pft)
        self.parameters = self._blocks(table[:, self.pft].T)
        self.state = np.zeros((self.nproma, loader.columns("state"), self.n_block), order="F")
        for entry in loader.variables("state").values():
            first = entry.column - 1
            self.state[:, first : first + entry.n_layer, :] = entry.initial or 0.0
        self.cell_of_tile = np.asfortranarray(
            (self.cell[self._tile] + 1).reshape(self.n_block, self.nproma).T.astype(np.int32)
        )
        self.worst = np.zeros((len(RESIDUALS), self.n_tile), order="F")

    def _blocks(self, values):
        """(n_tile, column) -> (nproma, column, block), the last block padded with copies of the last tile."""
        values = np.asarray(values, dtype=float)[self._tile]
        return np.asfortranarray(values.reshape(self.n_block, self.nproma, -1).transpose(1, 2, 0))

    def _unblock(self, blocks):
        """(nproma, column, block) -> (n_tile, column), a copy."""
        return blocks.transpose(2, 0, 1).reshape(self.nproma * self.n_block, -1)[: self.n_tile].copy()

    def _entry(self, kind, name):
        entries = loader.parameters() if kind == "parameter" else loader.variables(kind)
        if name not in entries:
            from difflib import get_close_matches

            near = get_close_matches(name, entries, n=1)
            raise ConcertoError(
                f"there is no {kind} '{name}'", hint=f"did you mean '{near[0]}'?" if near else "see `concerto params`"
            )
        return entries[name]

    def get(self, name: str) -> np.ndarray:
        """State variable by name: (n_tile,) or (n_tile, layer)."""
        entry = self._entry("state", name)
        first = entry.column - 1
        values = self._unblock(self.state[:, first : first + entry.n_layer, :])
        return values[:, 0].copy() if entry.n_layer == 1 else values.copy()

    def set(self, name: str, values) -> None:
        """Set a state variable: a scalar, (n_tile,) or (n_tile, layer)."""
        entry = self._entry("state", name)
        values = np.asarray(values, dtype=float)
        allowed = {(), (self.n_tile,), (self.n_tile, entry.n_layer), (1, entry.n_layer)}
        if values.shape not in allowed:
            raise ConcertoError(
                f"values for {name} have the shape {values.shape}, not ({self.n_tile},) "
                f"or ({self.n_tile}, {entry.n_layer})",
                hint="one value, one for each tile, or one for each tile and layer",
            )
        if entry.n_layer == 1 and values.ndim == 2:
            values = values[:, 0]
        if entry.n_layer > 1 and values.shape == (self.n_tile,):
            values = values[:, None]
        if entry.n_layer == 1:
            values = np.broadcast_to(values, self.n_tile)[:, None]
        first = entry.column - 1
        self.state[:, first : first + entry.n_layer, :] = self._blocks(
            np.broadcast_to(values, (self.n_tile, entry.n_layer))
        )

    def set_option(self, name: str, choice: str) -> None:
        """Change the choice of an option; pools are not translated."""
        options = dict(self.options) | {name: choice}
        try:
            self._option_numbers = np.array(loader.option_numbers(options), dtype=np.int32)
        except KeyError as error:
            raise ConcertoError(str(error.args[0]), hint="see `concerto params --options`") from None
        self.options = options

    def option(self, name: str) -> str:
        """The choice of an option."""
        return self.options.get(name, loader.options()[name].default)

    def parameter(self, name: str) -> np.ndarray:
        """Parameter by name, (n_tile,)."""
        return self._unblock(self.parameters)[:, self._entry("parameter", name).column - 1].copy()

    def set_parameter(self, name: str, values, *, check: bool = True) -> None:
        """Set a parameter of all tiles (scalar) or of each (n_tile,); checked against the bounds of the table."""
        entry = self._entry("parameter", name)
        values = np.asarray(values, dtype=float)
        if values.shape not in {(), (1,), (self.n_tile,)}:
            raise ConcertoError(
                f"values for {name} have the shape {values.shape}; there are {self.n_tile} tiles",
                hint="one value, or one for each tile",
            )
        values = np.broadcast_to(values, self.n_tile)
        low, high = entry.bounds
        if check and not np.all((values >= low) & (values <= high)):
            worst = values[~((values >= low) & (values <= high))][0]
            raise ConcertoError(
                f"parameter {name} = {worst:g} {entry.units} is outside its bounds {low:g} to {high:g}",
                hint=f"see `concerto params {name}`",
            )
        self.parameters[:, entry.column - 1 : entry.column, :] = self._blocks(values[:, None])

    def _check_forcing(self, forcing, end_of_day, steps_per_output):
        """The core trusts sizes and cell numbers, and a NaN may vanish in it without a trace."""
        if np.ndim(forcing) != 3 or forcing.shape[1:] != (loader.columns("forcing"), len(end_of_day)):
            raise ConcertoError(
                f"the forcing has the shape {np.shape(forcing)}, not (cell, {loader.columns('forcing')}, "
                f"{len(end_of_day)} steps)",
                hint="concerto.simulation.forcing.forcing_array makes it",
            )
        if len(end_of_day) == 0 or steps_per_output < 1:
            raise ConcertoError(f"{len(end_of_day)} steps, {steps_per_output} for a record", hint="at least 1 of each")
        if self.cell_of_tile.min() < 1 or self.cell_of_tile.max() > len(forcing):
            raise ConcertoError(
                f"tiles use cells up to {self.cell_of_tile.max() - 1}, the forcing has {len(forcing)}",
                hint="`cell` counts the rows of the forcing from 0",
            )
        if np.isfinite(forcing.sum()):
            return
        used = np.unique(self.cell_of_tile) - 1
        for entry in loader.variables("forcing").values():
            bad = np.argwhere(~np.isfinite(forcing[used, entry.column - 1, :]))
            if len(bad):
                step = bad[:, 1].min()
                cell = used[bad[bad[:, 1] == step][0, 0]]
                raise ConcertoError(
                    f"{entry.long_name} is not finite {len(bad)} times, first at step {step + 1} of cell {cell + 1}",
                    hint="fill the gaps of the forcing (`concerto check FILE`)",
                )

    def advance(
        self,
        forcing,
        end_of_day,
        select=(),
        steps_per_output=1,
        describe=None,
        seconds=None,
        drivers=None,
        records=None,
    ):
        """Advance all tiles.

        Parameters
        ----------
        forcing : array (n_cell, forcing column, step), Fortran order, units of the table
        end_of_day : array (step,), 1 where the daily step follows
        select : names of diagnostics, state or forcing variables to return
        steps_per_output : fast steps in the mean of one record
        describe : function (tile, step) -> str, optional
            Words for a tile and a step in the error that a failure raises.
        seconds : array (8,), optional
            Time spent in each part of the fast step is added to it (one thread).
        drivers : array (nproma, driver column, block, day), Fortran order, optional
            Filled with the drivers of each day that ends, for :meth:`advance_slow`.
        records : Records, optional
            What to accumulate and where, instead of ``select``.

        Returns
        -------
        dict name -> array (record, n_tile) or (record, n_tile, layer)

        Raises
        ------
        ConcertoError
            If the arrays do not fit, a forcing value that a tile uses is not finite (nothing was advanced), or a state
            value left its bounds: its block then stands at the step named, the other blocks at the end of the call.
        """
        self._check_forcing(forcing, end_of_day, steps_per_output)
        self.state = np.asfortranarray(self.state, dtype=float)  # it may have been replaced by a plain copy
        columns, shape = self._select(select)
        n_step = forcing.shape[2]
        n_out = n_step // steps_per_output if columns else 0
        if records is None:
            records = Records.plain(self, columns, n_step, n_out, steps_per_output)
        failure = _core.concerto_interface.core_advance(
            n_thread=max(int(self.threads), 1),
            option_numbers=self._option_numbers,
            time_step=self.time_step,
            select_column=records.columns,
            operation=records.operation,
            stream=records.stream,
            first_slot=records.first_slot,
            slot_step=records.slot_step,
            record_of_step=records.record_of_step,
            weight_of_step=records.weight_of_step,
            end_of_day=np.asarray(end_of_day, dtype=np.int32),
            cell_of_tile=self.cell_of_tile,
            forcing=forcing,
            parameters=self.parameters,
            state=self.state,
            drivers=np.zeros((self.nproma, loader.columns("driver"), self.n_block, 1), order="F")
            if drivers is None
            else drivers,
            record_drivers=int(drivers is not None),
            output=records.output,
            worst=self.worst,
            timed=int(seconds is not None),
            seconds=np.zeros(8) if seconds is None else seconds,
        )
        self._refuse(failure, describe, "step")
        if not columns:
            return {}
        values = self._unblock(records.output).reshape(self.n_tile, n_out, len(columns)).transpose(2, 0, 1)
        return self._results(values, shape, n_out)

    def advance_slow(self, drivers, cycles=1, select=(), days_per_output=1, solve=False, describe=None, newton=None):
        """Advance plants, soil carbon, nitrogen and isotopes alone, through cycles of recorded daily drivers.

        Parameters
        ----------
        drivers : array (nproma, driver column, block, day), Fortran order, as :meth:`advance` fills it
        cycles : how often the days are gone through
        select : names of diagnostics or state variables to return
        days_per_output : days in the mean of one record
        solve : after the last cycle, set the slow pools to the values with which that cycle would have closed (2: all
            but those of a microbial scheme)
        newton : array (NEWTON_ROWS, n_tile), Fortran order, optional
            Filled by the solution of a microbial scheme: residual, cycles, tangent map of a cycle.

        Returns
        -------
        dict name -> array (record, n_tile) or (record, n_tile, layer)

        Raises
        ------
        ConcertoError
            If a state value left its bounds.
        """
        self.state = np.asfortranarray(self.state, dtype=float)
        columns, shape = self._select(select)
        if any(column > FIRST_FORCING for column in columns):
            raise ConcertoError("the slow half knows no forcing", hint="select diagnostics or state variables")
        n_out = drivers.shape[3] * cycles // days_per_output if columns else 0
        output = np.zeros((max(len(columns), 1), self.n_tile, max(n_out, 1)), order="F")
        failure = _core.concerto_interface.core_slow(
            n_thread=max(int(self.threads), 1),
            option_numbers=self._option_numbers,
            n_cycle=cycles,
            solve=int(solve),
            days_per_output=days_per_output,
            select_column=np.array(columns or [1], dtype=np.int32),
            drivers=drivers,
            parameters=self.parameters,
            state=self.state,
            output=output,
            worst=self.worst,
            newton=np.zeros((NEWTON_ROWS, self.n_tile), order="F") if newton is None else newton,
        )
        self._refuse(failure, describe, "day of the slow cycles")
        return self._results(output, shape, n_out)

    def empty_drivers(self, days: int) -> np.ndarray:
        """Room for the drivers of so many days."""
        return np.zeros((self.nproma, loader.columns("driver"), self.n_block, days), order="F")

    def _select(self, names):
        """Columns of the core for names of diagnostics, state and forcing, and where each name starts among them."""
        columns, shape = [], {}
        diagnostics, forcing = loader.variables("diagnostic"), loader.variables("forcing")
        for name in names:
            if name in forcing:
                entry, sign, offset = forcing[name], 1, FIRST_FORCING
            else:
                entry, offset = diagnostics.get(name) or self._entry("state", name), 0
                sign = 1 if name in diagnostics else -1
            shape[name] = (len(columns), entry.n_layer)
            columns += [sign * (offset + entry.column + k) for k in range(entry.n_layer)]
        return columns, shape

    def _refuse(self, failure, describe, what):
        """Raise what the core reports."""
        if failure[0] == 1:
            raise ConcertoError("the sizes of the arrays do not fit the compiled core", hint="reinstall concerto")
        if failure[0] == 2:
            tile, column, step = failure[1] - 1, failure[2], failure[3] - 1
            states = loader.variables("state")
            entry = next(e for e in states.values() if e.column <= column < e.column + e.n_layer)
            layer = f" (layer {column - entry.column + 1})" if entry.n_layer > 1 else ""
            where = describe(tile, step) if describe else f"tile {tile + 1}, {what} {step + 1}"
            value = self._unblock(self.state)[tile, column - 1]
            raise ConcertoError(
                f"{entry.long_name}{layer} became {value:g} {entry.units}, outside "
                f"{entry.bounds[0]:g} to {entry.bounds[1]:g}, at {where}",
                hint="check the forcing at and before that time (`concerto check FILE`) and the parameters given",
            )

    @staticmethod
    def _results(output, shape, n_out):
        results = {}
        for name, (first, n_layer) in shape.items():
            values = output[first : first + n_layer].transpose(2, 1, 0)[:n_out]
            results[name] = values[:, :, 0].copy() if n_layer == 1 else values.copy()
        return results
