"""The examples: every configuration loads, what their comments tell to type works, and they mean what they say."""

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from concerto.config import load, resolved

pytestmark = pytest.mark.release  # Python around the core; the core itself is run with checks elsewhere

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = sorted((ROOT / "examples").rglob("*.yaml"))
FILES = ("CRUJRA", "ERA5_LAND", "GSWP3", "LAND_COVER", "SOIL", "ALMA", "LUH2", "TOWER")


@pytest.fixture(autouse=True)
def no_files(monkeypatch):
    """Places of data that the examples ask for; there are none."""
    for name in FILES:
        monkeypatch.setenv(name, "nowhere.nc")


def told(path):
    """The commands of concerto in the comments of a configuration: lists of words, continued lines joined."""
    text = re.sub(r"\\\n#\s*", "", path.read_text())
    for line in re.findall(r"^#.*?\bconcerto ((?:run|check) .*)$", text, flags=re.M):
        yield shlex.split(line, comments=True)


def overrides(words):
    return [word for flag, word in zip(words, words[1:], strict=False) if flag == "--set"]


def by_name(path):
    return path.relative_to(ROOT / "examples").as_posix()


def test_there_are_examples_of_a_globe_a_region_land_use_and_the_experiments_of_trendy_and_lumip():
    assert {path.parent.name for path in EXAMPLES} == {"globe", "region", "land_use", "trendy", "lumip"}


@pytest.mark.parametrize("path", EXAMPLES, ids=by_name)
def test_an_example_is_a_valid_configuration_and_names_the_schema_for_editors(path):
    load(path)
    first = path.read_text().splitlines()[0]
    assert (path.parent / first.split("$schema=")[1]).resolve() == ROOT / "docs" / "concerto.schema.json"


@pytest.mark.parametrize("path", EXAMPLES, ids=by_name)
def test_an_example_says_how_it_is_run(path):
    commands = list(told(path))
    assert any(words[0] == "run" and words[1].endswith(path.name) for words in commands)
    for words in commands:
        load(path, overrides(words))


@pytest.mark.parametrize("path", EXAMPLES, ids=by_name)
def test_an_example_can_be_tried_without_any_file(path, capsys, monkeypatch):
    from concerto.simulation import plan

    monkeypatch.setattr(
        plan, "microseconds_per_step", lambda options: 1.0
    )  # the speed of the machine is not asked here
    free = [words for words in told(path) if load(path, overrides(words)).forcing.source == "embedded"]
    assert free
    words = overrides(free[0])
    if load(path, words).initial_state is not None:  # that of a run which is not made here
        words.append("initial_state=null")
    domain = load(path, words).domain
    small = domain.grid == "points" or np.max(domain.resolution or 0.0) >= 5.0
    if not small and not any("resolution" in word for word in words):
        words.append("domain.resolution=10")
    facts = plan.check_config(path, words, ranks=(1,), as_json=True)
    assert facts["cells"] >= (len(domain.points) if domain.grid == "points" else 11)
    assert facts["tiles"] >= facts["cells"]
    capsys.readouterr()


def test_the_trendy_experiments_differ_only_in_their_phases():
    found = {path.stem: resolved(load(path)) for path in EXAMPLES if path.parent.name == "trendy"}
    assert set(found) == {"spinup", "s0", "s1", "s2", "s3"}
    for name, config in found.items():
        assert config["output"].pop("folder") == f"out/{name}"
        for key in ("title", "phases", "initial_state"):
            config.pop(key, None)
    assert found["s0"] == found["s1"] == found["s2"] == found["s3"] == found["spinup"]


def test_the_runs_without_land_use_change_differ_from_those_with_it_in_their_phases():
    folder = ROOT / "examples" / "land_use"
    with_it, without = (resolved(load(folder / f"{name}.yaml")) for name in ("afforestation", "no_afforestation"))
    spinup, change = with_it.pop("phases")
    (held,) = without.pop("phases")
    assert held.pop("land_use") == {"fixed": with_it["land_use"]["idealised"]["years"][0] - 1}
    assert held == change
    assert without.pop("initial_state") == f"{with_it['output'].pop('folder')}/state_{spinup['name']}.nc"
    without["output"].pop("folder")
    assert with_it | {"title": ""} == without | {"title": ""}


def test_the_trendy_experiments_follow_the_protocol():
    found = {name: load(ROOT / "examples" / "trendy" / f"{name}.yaml") for name in ("spinup", "s0", "s1", "s2", "s3")}
    spinup, control = found["spinup"].phases[0], found["s0"].phases[0]
    for phase in (spinup, control):
        assert phase.co2 == 276.59
        assert phase.climate.cycle == (1901, 1920)
    assert found["s0"].air(control)["ndep"] == found["spinup"].air(spinup)["ndep"]
    history = found["s1"].phases[0]
    assert found["s1"].air(history)["co2"] == ("builtin", None)  # of each year
    assert history.climate.cycle == (1901, 1920)
    before, after = found["s2"].phases
    assert found["s2"].air(after) == found["s1"].air(history)
    assert after.climate == "transient" and after.years[0] == 1901 == before.years[1] + 1
    assert history.years == control.years == (before.years[0], after.years[1])
    for one, other in zip(found["s3"].phases, found["s2"].phases, strict=True):  # S3 lets land use change, no more
        assert one.land_use is None and one.model_copy(update={"land_use": other.land_use}) == other
    for phase in (spinup, control, history, before, after):
        assert phase.land_use.fixed == 1700
    for config in (found["s0"], found["s1"], found["s2"], found["s3"]):
        assert Path(config.initial_state) == Path(found["spinup"].output.folder) / f"state_{spinup.name}.nc"


def test_the_climate_of_the_trendy_cycle_ends_where_the_transient_climate_begins():
    before = load(ROOT / "examples" / "trendy" / "s2.yaml").phases[0]
    years = np.arange(before.years[0], before.years[1] + 1)
    first, last = before.climate.cycle
    assert first + (years[-1] - years[0]) % (last - first + 1) == last


def test_the_slurm_script_is_valid_and_knows_the_code_of_a_stopped_run():
    from concerto.simulation.run import STOPPED

    script = ROOT / "examples" / "globe" / "slurm.sh"
    assert f"$code -eq {STOPPED} " in script.read_text()
    assert "--signal=USR1@" in script.read_text()
    if shutil.which("bash"):
        subprocess.run(["bash", "-n", script], check=True)
