"""A gridded run of a few days at the end of a year, for tests; as a script under mpirun, with a fault on request.

    python short_run.py CONFIG FOLDER [FAULT RANK CHECKPOINT] [-- KEY=VALUE ...]

FAULT (kill, term, bug) happens on that rank after so many checkpoints; one is then written after each call of the core.
"""

import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from concerto.simulation import run

DAYS = 10  # of the first year of a phase that are run: the last ones, so that all records end
OVERSUBSCRIBE = {  # Open MPI wants to be asked for more ranks than cores, and by root
    "OMPI_ALLOW_RUN_AS_ROOT": "1",
    "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    "OMPI_MCA_rmaps_base_oversubscribe": "1",
    "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",
}


def shorten(patch=setattr):
    """Let each phase begin a few days before the end of its first year."""
    patch(run, "_start", lambda phase: np.datetime64(f"{phase.years[0] + 1}-01-01", "s") - np.timedelta64(DAYS, "D"))


def write_config(path, **sections):
    """A configuration of small domains and coarse steps; JSON is YAML."""
    default = {
        "domain": {
            "grid": "points",
            "points": [{"latitude": 50.0, "longitude": 10.0}, {"latitude": 2, "longitude": 24}],
        },
        "model": {"time_step": 10800},
        "phases": [{"name": "present", "kind": "run", "years": [2000, 2000]}],
        "output": {"streams": [{"name": "daily", "frequency": "day", "variables": ["gpp", "tas"]}]},
    }
    path.write_text(json.dumps(default | sections))
    return path


def simulate(config, folder, *settings, **options):
    """Run on one rank in this process."""
    return run.Simulation(config, [f"output.folder={folder}", *settings]).run(**options)


def mpirun(ranks, config, folder, *fault, settings=()):
    """Run as a script on so many ranks; skips the test where that is not possible."""
    launcher = shutil.which("mpirun", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
    if importlib.util.find_spec("mpi4py") is None or launcher is None:
        pytest.skip("needs mpi4py and mpirun (pip install 'concerto[mpi]')")
    command = [launcher, "-n", ranks, sys.executable, __file__, config, folder, *fault, "--", *settings]
    return subprocess.run(
        [str(word) for word in command], env=os.environ | OVERSUBSCRIBE, capture_output=True, text=True, timeout=120
    )


def results(folder):
    """Bytes of all files of results and states by name; run.json tells of times and ranks."""
    folder = Path(folder)
    files = [path for path in folder.rglob("*") if path.is_file() and path.name not in ("run.json", "run.lock")]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def different(folder, reference):
    """Names of files that are not the same to the bit; ``reference`` as of `results`."""
    found = results(folder)
    return sorted(name for name in {*found, *reference} if found.get(name) != reference.get(name))


def _fail(fault, rank, number):
    written, count = run.Simulation._checkpoint, []

    def checkpoint(self, *given):
        written(self, *given)
        count.append(1)
        if len(count) == number and self.parallel.rank == rank:
            if fault == "bug":
                raise ZeroDivisionError("a fault on purpose")
            os.kill(os.getpid(), {"kill": signal.SIGKILL, "term": signal.SIGTERM}[fault])

    run.Simulation._checkpoint = checkpoint
    run.Simulation._due = lambda self, saved: run.SAVE


def _main(words, settings):
    from concerto.cli import main

    config, folder, *fault = words
    shorten()
    if fault:
        _fail(fault[0], int(fault[1]), int(fault[2]))
    sys.argv = ["concerto", "run", config, "--out", folder, "--quiet"]
    for setting in settings:
        sys.argv += ["--set", setting]
    main()


if __name__ == "__main__":
    cut = sys.argv.index("--")
    _main(sys.argv[1:cut], sys.argv[cut + 1 :])
