"""Records of output streams: planned before a call of the core, accumulated in it, collected after it.

A record (a step, day, month or year) may begin in one call and end in another: what it has gathered is carried over, so
that its bits do not depend on where the calls are cut.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from concerto.simulation.streams import integral
from concerto.simulation.tiles import Records

OPERATION = {"mean": 1, "sum": 1, "minimum": 2, "maximum": 3, "last": 4}
EMPTY = {"minimum": np.inf, "maximum": -np.inf}
SPAN = {"day": "datetime64[D]", "month": "datetime64[M]", "year": "datetime64[Y]"}


@dataclass
class Finished:
    """Complete records of a stream.

    Attributes
    ----------
    start, end : arrays (record,) of datetime64[s]
    values : name -> array (record, tile) or (record, tile, layer)
    """

    start: np.ndarray
    end: np.ndarray
    values: dict


@dataclass
class _Of:
    """What one stream has at the moment."""

    columns: list[int]
    shape: dict  # name -> (first column, layers)
    amount: list[bool]  # whether a sum takes the values as they are
    open: np.ndarray | None = None  # (tile, column), the record that is not full yet
    began: object = None  # its start
    plan: tuple = field(default=())


class Accumulator:
    """Accumulates the streams of a run of tiles.

    Parameters
    ----------
    tiles : Tiles
    streams : objects with ``name``, ``frequency`` (step, day, month, year), ``variables`` (names of the table),
        ``statistic`` (mean, sum, minimum, maximum, last)
    """

    def __init__(self, tiles, streams):
        self.tiles, self.streams = tiles, list(streams)
        self._of = {}
        for stream in self.streams:
            columns, shape = tiles._select(stream.variables)
            amount = [stream.statistic == "sum" and not integral(v)[1] for v, (_, n) in shape.items() for _ in range(n)]
            self._of[stream.name] = _Of(columns, shape, amount)

    def starts(self, stream, time):
        """Start of the record that each step belongs to, datetime64[s]."""
        if stream.frequency == "step":
            return time
        return time.astype(SPAN[stream.frequency]).astype("datetime64[s]")

    def _end(self, stream, start):
        if stream.frequency == "step":
            return start + np.timedelta64(int(self.tiles.time_step), "s")
        kind = SPAN[stream.frequency]
        return (start.astype(kind) + 1).astype("datetime64[s]")

    def plan(self, first, n_step: int) -> Records:
        """What the core needs for the steps from ``first`` (datetime64) on."""
        step = np.timedelta64(int(self.tiles.time_step), "s")
        time = np.datetime64(first, "s") + np.arange(n_step) * step
        columns, operation, number, first_slot, slot_step = [], [], [], [], []
        record = np.zeros((2 * max(len(self.streams), 1), n_step), dtype=np.int32, order="F")
        weight = np.ones(record.shape, order="F")
        size = 0
        for k, stream in enumerate(self.streams):
            of = self._of[stream.name]
            start = self.starts(stream, time)
            unique, index = np.unique(start, return_inverse=True)
            end = self._end(stream, unique)
            record[2 * k : 2 * k + 2] = index + 1
            if stream.statistic == "mean":
                weight[2 * k] = (1.0 / ((end - unique) / step))[index]
            else:  # sums are integrals over time, but of what is an amount by itself
                weight[2 * k] = self.tiles.time_step
            n = len(of.columns)
            columns += of.columns
            operation += [OPERATION[stream.statistic]] * n
            number += [2 * k + (2 if amount else 1) for amount in of.amount]
            first_slot += range(size + 1, size + n + 1)
            slot_step += [n] * n
            of.plan = (size, unique, end, time[-1] + step)
            size += n * len(unique)
        tiles = self.tiles
        output = np.zeros((tiles.nproma, max(size, 1), tiles.n_block), order="F")
        for stream in self.streams:
            of = self._of[stream.name]
            n, (offset, unique, *_) = len(of.columns), of.plan
            output[:, offset : offset + n * len(unique), :] = EMPTY.get(stream.statistic, 0.0)
            if of.open is not None:
                if of.began != unique[0]:
                    raise ValueError(f"the record of {of.began} is open, the steps begin in that of {unique[0]}")
                output[:, offset : offset + n, :] = tiles._blocks(of.open)
        if not columns:
            columns, operation, number, first_slot, slot_step = [1], [1], [1], [1], [1]
        integers = (np.array(v, dtype=np.int32) for v in (columns, operation, number, first_slot, slot_step))
        return Records(*integers, record, weight, output)

    def collect(self, records: Records) -> dict[str, Finished]:
        """Complete records by stream after the call; the last one stays open if its time has not passed."""
        finished = {}
        for stream in self.streams:
            of = self._of[stream.name]
            n, (offset, unique, end, now) = len(of.columns), of.plan
            mine = records.output[:, offset : offset + n * len(unique), :].transpose(2, 0, 1)  # one stream at a time
            mine = mine.reshape(-1, len(unique), n)[: self.tiles.n_tile]
            full = len(unique) if end[-1] <= now else len(unique) - 1
            of.open, of.began = (mine[:, -1].copy(), unique[-1]) if full < len(unique) else (None, None)
            if full:
                parts = {}
                for name, (first, n_layer) in of.shape.items():
                    part = mine[:, :full, first : first + n_layer].swapaxes(0, 1)
                    parts[name] = part[:, :, 0].copy() if n_layer == 1 else part.copy()
                finished[stream.name] = Finished(unique[:full], end[:full], parts)
        return finished

    def state(self) -> dict[str, tuple]:
        """Open records for a checkpoint: stream -> (start, array (tile, column))."""
        return {name: (of.began, of.open) for name, of in self._of.items() if of.open is not None}

    def restore(self, state: dict[str, tuple]) -> None:
        """Go on from open records."""
        for name, (began, values) in state.items():
            self._of[name].began, self._of[name].open = np.datetime64(began, "s"), np.array(values)
