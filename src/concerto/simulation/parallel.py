"""Ranks: one interface for a serial run and for MPI, and faults that end all ranks with one message.

mpi4py is an extra: it is imported only where a launcher has started the process. Nothing here is used in the loop over
time but `Flag`, whose messages are on their way while the core computes.
"""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager

import numpy as np

from concerto.errors import ConcertoError

# What launchers say of the number of their ranks: Open MPI, MPICH and others with PMI, a step of Slurm.
LAUNCHERS = {
    "Open MPI": "OMPI_COMM_WORLD_SIZE",
    "MPICH or Intel MPI": "PMI_SIZE",
    "Slurm": "SLURM_STEP_NUM_TASKS",
}
SHARED_CODE = 2  # exit code of the ranks that leave the message to the first
ROWS, CALL = 7, 8  # tags of messages


class Parallel:
    """The ranks of a run.

    Attributes
    ----------
    rank, size : this rank, from 0, and their number
    comm : communicator of mpi4py, or None
    """

    def __init__(self, comm=None):
        self.comm = comm
        self.rank = comm.Get_rank() if comm is not None else 0
        self.size = comm.Get_size() if comm is not None else 1

    @property
    def first(self) -> bool:
        """Whether this is the rank that reports and writes."""
        return self.rank == 0

    def gather(self, value):
        """List of the values of all ranks on rank 0, else None."""
        return [value] if self.size == 1 else self.comm.gather(value, root=0)

    def allgather(self, value) -> list:
        """List of the values of all ranks."""
        return [value] if self.size == 1 else self.comm.allgather(value)

    def bcast(self, value):
        """The value of rank 0."""
        return value if self.size == 1 else self.comm.bcast(value, root=0)

    def send(self, value, dest, tag=0):
        """Send a value to a rank."""
        self.comm.send(value, dest=dest, tag=tag)

    def recv(self, source, tag=0):
        """Value from a rank."""
        return self.comm.recv(source=source, tag=tag)

    def barrier(self):
        """Wait for all ranks."""
        if self.size > 1:
            self.comm.Barrier()

    def gather_rows(self, values):
        """Arrays (row, ...) of all ranks behind each other on rank 0, else None; float64 or integers.

        One message of plain memory for each rank; the numbers of rows may differ.
        """
        values = np.ascontiguousarray(values)
        if self.size == 1:
            return values
        rows = self.comm.gather(len(values), root=0)
        if not self.first:
            if values.size:
                self.comm.Send(values, dest=0, tag=ROWS)
            return None
        out = np.empty((sum(rows), *values.shape[1:]), dtype=values.dtype)
        start = 0
        for source, count in enumerate(rows):
            part = out[start : start + count]
            if source == 0:
                part[...] = values
            elif part.size:
                self.comm.Recv(part, source=source, tag=ROWS)
            start += count
        return out

    def only_first(self, function):
        """Result of a function that rank 0 alone calls; an error of it is raised on every rank."""
        result, error = None, None
        if self.first:
            try:
                result = function()
            except ConcertoError as caught:
                error = caught
        result, error = self.bcast((result, error))
        if error is not None:
            error.shared = True  # every rank raises it, one prints it
            raise error
        return result


class Flag:
    """A number that each rank raises and all learn, one round later, without waiting for each other.

    ``exchange(value)`` starts the message of this round and returns the largest value of the round before.
    """

    def __init__(self, parallel: Parallel):
        self.parallel = parallel
        self._request = None
        self._mine = self._all = None
        self._before = 0

    def exchange(self, value: int) -> int:
        """Largest value of any rank, of the round before."""
        if self.parallel.size == 1:
            return value
        from mpi4py import MPI

        result = 0
        if self._request is not None:
            self._request.Wait()
            result = int(self._all[0])
        self._mine, self._all = np.array([value], dtype="i4"), np.zeros(1, dtype="i4")
        self._request = self.parallel.comm.Iallreduce(self._mine, self._all, op=MPI.MAX)
        return result

    def close(self) -> int:
        """Finish the message that is on its way; its largest value."""
        if self._request is None:
            return 0
        self._request.Wait()
        self._request = None
        return int(self._all[0])


class Call:
    """A word that any rank calls out to all others, who listen for it whenever they like.

    For work that the ranks do at their own pace, where :class:`Flag` would make them wait for each other.
    """

    def __init__(self, parallel: Parallel):
        self.parallel = parallel
        self._sent = None

    def out(self) -> None:
        """Call; once is enough."""
        ranks, own = range(self.parallel.size), self.parallel.rank
        if self._sent is None:
            self._sent = [self.parallel.comm.isend(None, dest=rank, tag=CALL) for rank in ranks if rank != own]

    def heard(self) -> bool:
        """Whether another rank has called."""
        return self.parallel.size > 1 and self.parallel.comm.iprobe(tag=CALL)

    def close(self) -> bool:
        """Whether any rank has called; collective, takes all messages out of the way."""
        called = self.parallel.allgather(self._sent is not None)
        for rank, one in enumerate(called):
            if one and rank != self.parallel.rank:
                self.parallel.recv(rank, CALL)
        for request in self._sent or ():
            request.wait()
        self._sent = None
        return any(called)


def launcher() -> tuple[str, int] | None:
    """Name of the launcher that started this process and its number of ranks, if there was one."""
    for name, variable in LAUNCHERS.items():
        words = os.environ.get(variable, "")
        if words.isdigit():
            return name, int(words)
    return None


def start() -> Parallel:
    """The ranks of this process: those of the launcher, or one.

    Raises
    ------
    ConcertoError
        mpi4py is absent although a launcher started several ranks, or launcher and MPI library do not belong together.
    """
    found = launcher()
    if found is None or found[1] == 1 and "mpi4py" not in sys.modules:
        return Parallel()
    name, ranks = found
    os.environ.setdefault("MPIR_CVAR_SUPPRESS_ABORT_MESSAGE", "1")  # MPICH: there is a message of our own
    try:
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:
        raise ConcertoError(
            f"{name} started {ranks} ranks, but mpi4py cannot be used: {str(error).splitlines()[0]}",
            hint="pip install 'concerto[mpi]', or start concerto without mpirun",
        ) from None
    comm = MPI.COMM_WORLD
    if comm.Get_size() != ranks:
        library = " ".join(MPI.Get_library_version().splitlines()[0].strip("\0 ").split())[:60]
        raise ConcertoError(
            f"the launcher ({name}) started {ranks} ranks, but mpi4py uses {library}, which sees {comm.Get_size()}",
            hint="use the mpirun that belongs to that library, or reinstall mpi4py with the launcher's library",
        )
    return Parallel(comm)


@contextmanager
def together(parallel: Parallel, explain, notice=lambda: None):
    """Any exception on one rank ends all ranks, with one message.

    Parameters
    ----------
    parallel : the ranks
    explain : function (exception) -> exit code, which prints what a user should read
    notice : function () -> path or None
        File that the first rank to fail creates; the others then stay silent.
    """
    if parallel.size == 1:
        yield
        return
    try:
        yield
    except BaseException as error:  # KeyboardInterrupt too: a rank that leaves alone would leave the others waiting
        if isinstance(error, SystemExit) and (not error.code or getattr(error.__context__, "shared", False)):
            raise  # of all ranks: each ends by itself
        if getattr(error, "shared", False):  # all ranks raise it: they end by themselves, and one prints it
            sys.exit(explain(error) if parallel.first else SHARED_CODE)
        code = error.code if isinstance(error, SystemExit) and isinstance(error.code, int) else 1
        if not isinstance(error, SystemExit) and _first_to_fail(notice()):
            code = explain(error)
        sys.stderr.flush()
        sys.stdout.flush()
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # MPI libraries add lines of their own
        parallel.comm.Abort(code)


def _first_to_fail(notice) -> bool:
    if notice is None:
        return True
    try:
        os.close(os.open(notice, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
    except FileExistsError:
        return False
    except OSError:  # a full or unwritable disk: better several messages than none
        return True
    return True


def launcher_rank() -> int:
    """Rank as the launcher counts, before MPI is started; 0 without one."""
    words = (os.environ.get(name, "") for name in ("OMPI_COMM_WORLD_RANK", "PMI_RANK", "SLURM_PROCID"))
    return next((int(word) for word in words if word.isdigit()), 0)
