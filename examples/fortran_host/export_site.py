"""Writes forcing, parameters and new state of a tower for the Fortran host: export_site.py FILE.nc OUT.bin [STEPS]."""

import sys

import numpy as np

import concerto as co
from concerto.simulation.spinup import initialise
from concerto.tables import loader


def new_state(run):
    """State of new tiles at the mean air temperature of the record."""
    column = loader.variables("forcing")["air_temperature"].column - 1
    initialise(run.tiles, run.forcing[0, column, :].mean())
    return run


def export(run, path, steps):
    """Write the stream file that host.f90 reads."""
    tiles = run.tiles
    unblock = tiles._unblock
    steps = min(steps, run.forcing.shape[2])
    sizes = [tiles.n_tile, steps, *(a.shape[1] for a in (run.forcing, tiles.state, tiles.parameters)), tiles.nproma]
    with open(path, "wb") as file:
        np.array(sizes, dtype=np.int32).tofile(file)
        np.array([tiles.time_step], dtype=np.float64).tofile(file)
        tiles._option_numbers.tofile(file)
        tiles.pft.astype(np.int32).tofile(file)
        for blocks in (tiles.parameters, tiles.state):
            np.asarray(unblock(blocks)).T.tofile(file)  # one column after the other
        run.ends[:steps].astype(np.int32).tofile(file)
        run.forcing[0, :, :steps].T.tofile(file)  # one step after the other


if __name__ == "__main__":
    site_run = new_state(co.open_site(sys.argv[1], spinup="none"))
    export(site_run, sys.argv[2], int(sys.argv[3]) if len(sys.argv) > 3 else 48 * 30)
