"""A fault on any rank, in any file or of the disk ends all ranks soon, with one sentence, and leaves what was whole."""

import resource
import sys
from types import SimpleNamespace

import grid_files
import netCDF4
import numpy as np
import pytest
from short_run import different, mpirun, results, shorten, simulate, write_config

from concerto.errors import ConcertoError
from concerto.simulation import parallel, run

WEST, SOUTH, EAST, NORTH = -1.5, 45.0, 1.0, 47.0  # of the cells of grid_files


@pytest.fixture
def short(monkeypatch):
    """Phases of a few days."""
    shorten(monkeypatch.setattr)


@pytest.fixture(scope="module")
def weather():
    """Hourly weather of a year."""
    return grid_files.weather(365)


def from_files(folder, weather, **changes):
    """Configuration of a year of 6-hourly files."""
    files = grid_files.write_cru_jra(folder, weather)
    return write_config(
        folder / "files.yaml",
        domain={
            "grid": "latlon", "resolution": 0.5, "box": [WEST, SOUTH, EAST, NORTH],
            "land_cover": {"kind": "uniform", "pft": "grass_c3:1"},
        },
        forcing={"source": "cru_jra", "files": files},
        phases=[{"name": "present", "kind": "run", "years": [2001, 2001]} | changes],
    )  # fmt: skip


@pytest.mark.release
def test_a_missing_value_in_one_cell_and_step_is_named_once_by_all_ranks(tmp_path, weather):
    config = from_files(tmp_path, weather)
    (path,) = tmp_path.glob("*.tmp.2001.*.nc")
    with netCDF4.Dataset(path, "a") as file:
        file["tmp"][4 * 357 + 2, 3, 1] = np.nan  # 24 December, 12 UTC; on the first rank, the north comes first
    done = mpirun(2, config, tmp_path / "out", settings=["parallel.bundle=4", "parallel.chunk_days=2"])
    assert done.returncode == 2
    assert done.stderr.count("concerto:") == 1 and done.stderr.count("\n") == 2  # the sentence and its hint
    for word in (path.name, "tmp", "2001-12-24", "46.75", "-0.75"):
        assert word in done.stderr
    assert not list((tmp_path / "out").glob("*.nc.part"))


@pytest.mark.release
def test_a_bug_on_one_rank_ends_all_with_one_message(tmp_path):
    done = mpirun(3, write_config(tmp_path / "c.yaml"), tmp_path / "out", "bug", 1, 1,
                  settings=["parallel.bundle=1", "parallel.chunk_days=2"])  # fmt: skip
    assert done.returncode == 70
    assert done.stderr.count("concerto:") == 1 and "ZeroDivisionError: a fault on purpose" in done.stderr


@pytest.mark.release
@pytest.mark.parametrize("fault", ["missing year", "truncated", "calendar"])
def test_a_file_that_cannot_serve_is_named(tmp_path, weather, short, fault):
    config = from_files(tmp_path, weather, years=[2001, 2002] if fault == "missing year" else [2001, 2001])
    (path,) = tmp_path.glob("*.tmp.2001.*.nc")
    word = path.name
    if fault == "missing year":
        word = "2002"
    elif fault == "truncated":
        path.write_bytes(path.read_bytes()[:4000])
    else:
        with netCDF4.Dataset(path, "a") as file:
            file["time"].calendar = "moon"
    with pytest.raises(ConcertoError) as caught:
        simulate(config, tmp_path / "out")
    assert word in caught.value.message and "\n" not in caught.value.message
    assert fault != "calendar" or "moon" in caught.value.message


def test_a_full_disk_leaves_the_files_before_and_the_run_goes_on(tmp_path, short):
    phases = [{"name": f"in{year}", "kind": "run", "years": [year, year]} for year in (2000, 2001)]
    config = write_config(tmp_path / "c.yaml", phases=phases)
    simulate(config, tmp_path / "whole")
    simulate(config, tmp_path / "out", until="in2000")
    before = results(tmp_path / "out")
    room = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20000, room[1]))  # bytes of a file: those of results have more
    try:
        with pytest.raises(ConcertoError, match="could not be written") as caught:
            simulate(config, tmp_path / "out")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, room)
    assert "\n" not in caught.value.message and "disk full" in caught.value.hint
    found = results(tmp_path / "out")
    assert {name: found[name] for name in before if name != "totals.csv"} == {
        name: values for name, values in before.items() if name != "totals.csv"
    }
    simulate(config, tmp_path / "out")
    assert different(tmp_path / "out", results(tmp_path / "whole")) == []


def test_a_state_out_of_its_bounds_is_told_with_place_date_and_quantity(tmp_path, short, monkeypatch):
    start = run.Simulation._start_state

    def spoiled(self):
        start(self)
        values = self.tiles.get("carbon_leaf")
        values[2] = 1e9
        self.tiles.set("carbon_leaf", values)

    monkeypatch.setattr(run.Simulation, "_start_state", spoiled)
    with pytest.raises(ConcertoError, match=r"became .* kg m-2.*, outside .* at 50\.00 N 10\.00 E, .*2000-12-22T"):
        simulate(write_config(tmp_path / "c.yaml"), tmp_path / "out")


def test_a_launcher_whose_ranks_mpi_does_not_see_is_recognised(monkeypatch):
    monkeypatch.setenv("PMI_SIZE", "4")
    monkeypatch.setitem(sys.modules, "mpi4py", None)
    with pytest.raises(ConcertoError, match="started 4 ranks, but mpi4py cannot be used"):
        parallel.start()
    world = SimpleNamespace(Get_size=lambda: 1)
    library = SimpleNamespace(COMM_WORLD=world, Get_library_version=lambda: "Another MPI 1.0")
    monkeypatch.setitem(sys.modules, "mpi4py", SimpleNamespace(MPI=library))
    with pytest.raises(ConcertoError, match="started 4 ranks, but mpi4py uses Another MPI 1.0, which sees 1"):
        parallel.start()
