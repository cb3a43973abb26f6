"""A gridded run gives the same bits on any ranks and threads, in any blocks and pieces, cut and continued or not."""

import json

import numpy as np
import pytest
from short_run import different, mpirun, results, shorten, simulate, write_config

from concerto.errors import ConcertoError
from concerto.simulation import run, spinup
from concerto.simulation.checkpoint import Checkpoint

STREAMS = [
    {"name": "monthly", "frequency": "month", "variables": ["carbon", "tas", "soil_temperature"]},
    {"name": "daily", "frequency": "day", "variables": ["gpp"], "per": "tile", "digits": 4},
    {"name": "highest", "frequency": "day", "variables": ["tas"], "statistic": "maximum"},
    {"name": "lowest", "frequency": "month", "variables": ["soil_temperature"], "statistic": "minimum", "per": "pft"},
    {"name": "amounts", "frequency": "month", "variables": ["gpp", "rainfall"], "statistic": "sum", "per": "tile"},
    {"name": "steps", "frequency": "step", "variables": ["gpp"]},
    {"name": "annual", "frequency": "year", "variables": ["soil_carbon"], "statistic": "last", "per": "pft"},
]


@pytest.fixture
def short(monkeypatch):
    """Phases of a few days."""
    shorten(monkeypatch.setattr)


@pytest.fixture(scope="module")
def globe(tmp_path_factory):
    """Configuration of more than 500 cells with several tiles, and the results of one rank and thread."""
    folder = tmp_path_factory.mktemp("globe")
    config = write_config(
        folder / "globe.yaml", domain={"grid": "embedded", "resolution": [6, 7.5]}, output={"streams": STREAMS}
    )
    with pytest.MonkeyPatch.context() as patch:
        shorten(patch.setattr)
        simulate(config, folder / "serial")
    facts = json.loads((folder / "serial/run.json").read_text())
    assert facts["cells"] >= 500 and facts["tiles"] > 3 * facts["cells"]
    return config, results(folder / "serial")


@pytest.mark.release
@pytest.mark.parametrize(
    ("ranks", "settings"),
    [
        (3, ["parallel.bundle=3", "parallel.nproma=16", "parallel.chunk_days=3"]),
        (4, ["parallel.bundle=250", "parallel.threads=2"]),  # one rank has no cells
    ],
)
def test_ranks_threads_blocks_and_pieces_do_not_change_a_bit(globe, tmp_path, ranks, settings):
    config, reference = globe
    done = mpirun(ranks, config, tmp_path, settings=settings)
    assert (done.returncode, done.stderr) == (0, "")
    assert different(tmp_path, reference) == []


@pytest.mark.release
def test_a_killed_run_goes_on_to_the_same_bits(globe, tmp_path, short):
    config, reference = globe
    done = mpirun(2, config, tmp_path, "kill", 1, 2, settings=["parallel.chunk_days=3"])
    assert done.returncode != 0
    simulate(config, tmp_path)
    assert different(tmp_path, reference) == []


@pytest.mark.release
def test_a_run_whose_rank_is_asked_to_stop_goes_on_to_the_same_bits(globe, tmp_path):
    config, reference = globe
    done = mpirun(3, config, tmp_path, "term", 2, 1, settings=["parallel.chunk_days=2"])
    assert done.returncode == run.STOPPED
    assert done.stderr.count("\n") == 1 and "before 2000-12-" in done.stderr
    assert json.loads((tmp_path / "run.json").read_text())["state"] == "stopped"
    done = mpirun(2, config, tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert different(tmp_path, reference) == []


@pytest.mark.release
def test_a_zarr_store_does_not_depend_on_the_ranks_either(tmp_path, short):
    pytest.importorskip("zarr", reason="needs zarr (pip install 'concerto[zarr]')")
    config = write_config(
        tmp_path / "globe.yaml",
        domain={"grid": "embedded", "resolution": [6, 7.5], "box": [-20, -35, 50, 35]},
        output={"streams": [stream for stream in STREAMS if stream["frequency"] == "day"], "format": "zarr"},
    )
    simulate(config, tmp_path / "serial")
    done = mpirun(3, config, tmp_path / "ranks")
    assert (done.returncode, done.stderr) == (0, "")
    assert different(tmp_path / "ranks", results(tmp_path / "serial")) == []


def state_of(path):
    """State of all tiles in a checkpoint."""
    checkpoint = Checkpoint(path)
    state = checkpoint.state(0, checkpoint.n_tile)
    checkpoint.close()
    return state


@pytest.mark.release
def test_the_equilibrium_of_a_tile_depends_neither_on_its_group_nor_on_a_stop(tmp_path, monkeypatch):
    phase = {"name": "equilibrium", "kind": "spinup", "climate": {"cycle": [2000, 2000]}, "rounds": 1}
    points = [{"latitude": latitude, "longitude": 20.0} for latitude in (62.0, 48.0, 21.0, 2.0)]
    config = write_config(tmp_path / "c.yaml", phases=[phase], domain={"grid": "points", "points": points})
    simulate(config, tmp_path / "whole")
    monkeypatch.setattr(run, "SOIL_CELLS", 2)
    monkeypatch.setattr(run, "PIECE_HOURS", 0.0)  # a piece after each group
    one = run.Simulation(config, [f"output.folder={tmp_path / 'cut'}", "parallel.bundle=1", "parallel.nproma=16"])
    group = spinup.spin_up_tiles

    def then_stop(*given):
        one._asked = run.STOP
        one.groups = getattr(one, "groups", 0) + 1
        return group(*given) if one.groups > 1 else (setattr(one, "_asked", 0), group(*given))[1]

    monkeypatch.setattr(spinup, "spin_up_tiles", then_stop)  # within the second group
    with pytest.raises(run.Stopped, match="in phase equilibrium"):
        one.run()
    monkeypatch.setattr(spinup, "spin_up_tiles", group)
    simulate(config, tmp_path / "cut")
    assert one.groups == 2
    assert different(tmp_path / "cut", results(tmp_path / "whole")) == []


@pytest.mark.parametrize("kind", ["netcdf", "zarr"])
def test_a_run_goes_on_where_years_are_added_and_says_when_nothing_is_left(tmp_path, short, capfd, kind):
    if kind == "zarr":
        pytest.importorskip("zarr", reason="needs zarr (pip install 'concerto[zarr]')")
    streams = [{"name": "daily", "frequency": "day", "variables": ["gpp", "tas"]}]
    config = write_config(tmp_path / "c.yaml", output={"streams": streams, "format": kind})
    more = "phases.present.years=[2000, 2001]"
    simulate(config, tmp_path / "whole", more)
    simulate(config, tmp_path / "parts")
    early = state_of(tmp_path / "parts/state_present.nc")
    simulate(config, tmp_path / "parts", more)
    late = state_of(tmp_path / "parts/checkpoint.nc")
    assert not np.array_equal(early, late)
    tells_the_years = {"netcdf": "daily_2000.nc", "zarr": "daily.zarr/zarr.json"}[kind]  # in its attributes
    assert different(tmp_path / "parts", results(tmp_path / "whole")) == [tells_the_years]
    before = results(tmp_path / "parts")
    run.Simulation(config, [f"output.folder={tmp_path / 'parts'}", more], quiet=False).run()
    assert "nothing is left to do" in capfd.readouterr().err
    assert different(tmp_path / "parts", before) == []
    assert json.loads((tmp_path / "parts/run.json").read_text())["state"] == "complete"


def test_a_run_begins_from_the_state_of_another_one_of_the_same_places(tmp_path, short):
    later = [{"name": "later", "kind": "run", "years": [2001, 2001]}]
    first = [{"name": "present", "kind": "run", "years": [2000, 2000]}]
    simulate(write_config(tmp_path / "both.yaml", phases=first + later), tmp_path / "both")
    simulate(tmp_path / "both.yaml", tmp_path / "until", until="present")
    start = {"phases": later, "initial_state": "until/state_present.nc"}
    simulate(write_config(tmp_path / "later.yaml", **start), tmp_path / "later")
    assert np.array_equal(state_of(tmp_path / "later/checkpoint.nc"), state_of(tmp_path / "both/checkpoint.nc"))
    assert (tmp_path / "later/daily_2001.nc").exists() and not (tmp_path / "until/daily_2001.nc").exists()
    points = [{"latitude": 50.0, "longitude": 10.5}, {"latitude": 2, "longitude": 24}]
    moved = write_config(tmp_path / "moved.yaml", domain={"grid": "points", "points": points}, **start)
    with pytest.raises(ConcertoError, match="other places"):
        simulate(moved, tmp_path / "moved")


def test_only_a_configuration_with_the_same_results_goes_on(tmp_path, short):
    config = write_config(tmp_path / "c.yaml")
    simulate(config, tmp_path / "out")
    for changed in ("model.parameters={g1: 3.0}", "forcing.seed=2", "model.time_step=3600"):
        with pytest.raises(ConcertoError, match=changed.split("=")[0]):
            simulate(config, tmp_path / "out", changed)
    before = results(tmp_path / "out")
    simulate(config, tmp_path / "out", "parallel.nproma=16", "checkpoint.every=5", "title=another")
    assert different(tmp_path / "out", before) == []
    simulate(config, tmp_path / "out", "model.time_step=3600", fresh=True)
    assert different(tmp_path / "out", before) != []


def test_what_failed_before_its_first_checkpoint_may_be_corrected(tmp_path, short, monkeypatch):
    config = write_config(tmp_path / "c.yaml")
    simulate(config, tmp_path / "right", "forcing.seed=2")
    with monkeypatch.context() as patch:
        patch.setattr(run.Simulation, "_advance", lambda *given: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            simulate(config, tmp_path / "out")
    simulate(config, tmp_path / "out", "forcing.seed=2")
    assert different(tmp_path / "out", results(tmp_path / "right")) == []


def test_streams_may_be_added_between_files_only(tmp_path, short, monkeypatch):
    config, added = write_config(tmp_path / "c.yaml"), tmp_path / "added.yaml"
    whole = [{"name": "daily", "frequency": "day", "variables": ["gpp", "tas"]}, STREAMS[0]]
    write_config(added, output={"streams": whole})
    with monkeypatch.context() as patch:
        patch.setattr(
            run.Simulation, "_asked", property(lambda self: run.STOP, lambda self, value: None), raising=False
        )
        with pytest.raises(run.Stopped):
            simulate(config, tmp_path / "out", "parallel.chunk_days=4")
    with pytest.raises(ConcertoError, match="monthly was added where one of its files would be cut"):
        simulate(added, tmp_path / "out")
    simulate(config, tmp_path / "out")
    simulate(added, tmp_path / "out", "phases.present.years=[2000, 2001]")
    assert (tmp_path / "out/monthly_2001.nc").exists() and not (tmp_path / "out/monthly_2000.nc").exists()


def test_two_runs_do_not_write_into_one_folder(tmp_path, short):
    config = write_config(tmp_path / "c.yaml")
    one = run.Simulation(config, [f"output.folder={tmp_path / 'out'}"])
    one._open_folder(fresh=False)
    with pytest.raises(ConcertoError, match="another run is writing"):
        simulate(config, tmp_path / "out")
    one._lock.close()
    assert simulate(config, tmp_path / "out")["title"].endswith("1 rank(s)")


def test_the_memory_of_a_rank_is_foreseen(tmp_path, capsys):
    """Forcing variables among those of the output, too, have their size."""
    from concerto.simulation import plan

    facts = plan.check_config(write_config(tmp_path / "c.yaml"), [], ranks=(1, 2))
    assert [row["ranks"] for row in facts["estimates"]] == [1, 2]
    assert all(50.0 < row["memory_megabytes"] < 500.0 for row in facts["estimates"])  # five tiles
    assert facts["output_megabytes_per_year"] > 0.0
