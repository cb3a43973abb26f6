"""The experiments of LUMIP: each differs from land-hist in its switch alone, and a switch not turned is neutral."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from land_use_files import history, write_luh
from short_run import different, results, shorten, simulate

from concerto.config import load, resolved

pytestmark = pytest.mark.release  # Python around the core; the core itself is run with checks elsewhere

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "examples" / "lumip"
OFF = {"fertiliser": {"land_use.management.fertiliser": "off"}, "irrigation": {
    "land_use.management.irrigation": "off", "model.options.irrigation": "off"}}  # fmt: skip
SWITCH = {  # keys that differ from land-hist, beside phases, and their values
    "land-noLu": {},
    "land-cCO2": {},
    "land-cClim": {},
    "land-crop-grass": {"model.options.crops": "grass"} | OFF["fertiliser"] | OFF["irrigation"],
    "land-crop-noFert": OFF["fertiliser"],
    "land-crop-noIrrig": OFF["irrigation"],
    "land-crop-noIrrigFert": OFF["fertiliser"] | OFF["irrigation"],
    "land-noPasture": {"land_use.management.livestock": "off", "model.options.grazing": "off"},
    "land-noShiftCultivate": {"land_use.transitions": "net"},
    "land-noWoodHarv": {"land_use.wood_harvest": "off"},
}
PHASES = {  # what differs in every phase
    "land-noLu": {"land_use": {"fixed": 1850}},
    "land-cCO2": {"co2": {"fixed": 1850}},
}
PLACES = [{"latitude": 46.3, "longitude": -0.3}]
DRY_SUMMER = [{"latitude": -33.3, "longitude": 19.2}]  # where it is summer when years begin


@pytest.fixture(autouse=True)
def places(monkeypatch):
    monkeypatch.setenv("LUH2", ".")
    monkeypatch.setenv("GSWP3", ".")


def flat(value, at=""):
    """Nested mapping as dotted keys."""
    if not isinstance(value, dict):
        return {at: value}
    return {k: v for name, item in value.items() for k, v in flat(item, f"{at}.{name}" if at else name).items()}


def settings(name):
    config = resolved(load(FOLDER / f"{name}.yaml"))
    phases = config.pop("phases")
    assert config["output"].pop("folder") == f"out/{name}"
    assert config.pop("title") == f"LUMIP {name.replace('land-spinup', 'spin-up')}"
    return flat(config), phases


@pytest.mark.parametrize("name", SWITCH)
def test_an_experiment_differs_from_land_hist_in_its_switch_and_nothing_else(name):
    usual, usual_phases = settings("land-hist")
    found, phases = settings(name)
    changed = {k: found.get(k) for k in {*usual, *found} if found.get(k) != usual.get(k)}
    prefix = "land_use.management.livestock."
    assert {k: v for k, v in changed.items() if not k.startswith(prefix)} == SWITCH[name]
    for mine, theirs in zip(phases, usual_phases, strict=True):
        extra = dict(PHASES.get(name, {}))
        if name == "land-cClim" and mine["name"] == "history":
            extra["climate"] = usual_phases[0]["climate"]
        assert mine == theirs | extra
    assert SWITCH[name] or any(mine != theirs for mine, theirs in zip(phases, usual_phases, strict=True))


def test_the_experiments_start_from_one_spin_up_of_1850_or_from_their_own():
    usual, _ = settings("land-hist")
    assert usual.pop("initial_state") == "out/land-spinup/state_spinup.nc"
    spinup, (phase,) = settings("land-spinup")
    assert spinup == usual and phase["name"] == "spinup"
    assert phase["land_use"] == phase["co2"] == phase["ndep"] == {"fixed": 1850}
    early, phases = settings("land-hist-altStartYear")
    assert {k for k in {*usual, *early} if usual.get(k) != early.get(k)} == {"land_use.years"}
    assert [p["kind"] for p in phases] == ["spinup", "run", "run"]
    assert phases[1]["years"] == [1700, 1900] and phases[2]["years"] == [1901, 2014]


def test_deforest_globe_takes_all_forest_in_fifty_years_and_waits_for_thirty():
    config = load(FOLDER / "deforest-globe.yaml")
    first, last = config.land_use.idealised.years
    assert last - first == 50 and config.land_use.idealised.fraction == 1.0
    assert config.phases[-1].years == (first, last + 30)


def test_fire_is_not_told_to_exist():
    names = {path.stem for path in FOLDER.glob("*.yaml")}
    assert names == {*SWITCH, "land-hist", "land-hist-altStartYear", "land-spinup", "deforest-globe"}
    page = (ROOT / "docs" / "land-use-experiments.md").read_text()
    for name in names:
        assert f"`{name}`" in page
    assert "land-noFire" in page


# --- switches in a run


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """Runs an experiment at one place, with made-up files of LUH2 and embedded weather, from a few days before the end
    of 1850 to 1851; gives its folder."""
    return runner(tmp_path_factory.mktemp("lumip"), history((1850, 1853)), PLACES)


def runner(folder, truth, places):
    files, made = write_luh(folder, truth), {}

    def run(name, label="", *more):
        key = name + label
        if key in made:
            return made[key]
        text = (FOLDER / f"{name}.yaml").read_text()
        text = re.sub(r"^  - \{name: (before|history).*\n", "", text, flags=re.M)
        text = re.sub(r"^initial_state.*\n", "", text, flags=re.M)  # more may name another
        climate = "{cycle: [1901, 1902]}" if name == "land-cClim" else "transient"
        extra = {"land-noLu": ", land_use: {fixed: 1850}", "land-cCO2": ", co2: {fixed: 1850}"}.get(name, "")
        # embedded weather has no trend, its years differ: years apart from 1850 stand for another climate
        phase = f"  - {{name: history, kind: run, years: [1850, 1851], climate: {climate}{extra}}}\n"
        if name != "land-spinup":
            text = text.replace("phases:\n", "phases:\n" + phase)
        config = folder / f"{key}.yaml"
        config.write_text(text)
        words = [
            "forcing={source: embedded}", "domain={grid: points, points: " + str(places).replace("'", "") + "}",
            "land_use.files=" + str({k: str(folder / v) for k, v in files.items()}).replace("'", ""),
            "land_use.secondary=single", "land_use.years=[1850, 1851]", "model.time_step=10800",
            "output.streams=[{name: annual, frequency: year, variables: [carbon, evspsbl]}]", "checkpoint=null",
            "title=switches", *more,
        ]  # fmt: skip
        with pytest.MonkeyPatch.context() as patch:
            shorten(patch.setattr)
            patch.setenv("LUH2", ".")
            patch.setenv("GSWP3", ".")
            simulate(config, folder / key, *words)
        made[key] = folder / key
        return made[key]

    return run


@pytest.mark.slow
def test_irrigation_ends_with_the_state_of_the_irrigated_spin_up(tmp_path):
    """Without irrigation, its rate in the state that all experiments start from makes no difference to any bit."""
    import netCDF4

    latitude, longitude = np.arange(-32.75, -35.0, -0.5), np.arange(18.25, 21.0, 0.5)
    run = runner(tmp_path, history((1850, 1853), latitude=latitude, longitude=longitude), DRY_SUMMER)
    spinup = run("land-spinup", "", "phases.spinup.climate=[1901,1902]", "phases.spinup.rounds=1")
    state, found = tmp_path / "start.nc", {}  # one name, as files tell what they start from
    shutil.copy(spinup / "state_spinup.nc", state)
    for label in ("wet", "dry"):
        with netCDF4.Dataset(state, "a") as file:
            assert file["irrigation_rate"][:].max() > 0.0
            if label == "dry":
                file["irrigation_rate"][:] = 0.0
        for name in ("land-hist", "land-crop-noIrrig"):
            found[name, label] = outputs(run(name, f"-{label}", f"initial_state={state}"))
    assert found["land-hist", "wet"] != found["land-hist", "dry"]
    assert found["land-crop-noIrrig", "wet"] == found["land-crop-noIrrig", "dry"]
    with netCDF4.Dataset(tmp_path / "land-crop-noIrrig-wet" / "state_history.nc") as file:
        assert not file["irrigation_rate"][:].any()


def outputs(folder):
    return {name: content for name, content in results(folder).items() if name.startswith(("annual", "land_use"))}


def test_two_runs_whose_switches_are_equal_are_the_same_to_the_bit(tiny):
    usual = results(tiny("land-hist"))
    assert different(tiny("land-hist", "-again"), usual) == []
    # an experiment whose switch is turned back
    back = ["land_use.management.fertiliser=history"]
    assert different(tiny("land-crop-noFert", "-back", *back), usual) == []
    assert different(tiny("land-noShiftCultivate", "-back", "land_use.transitions=gross"), usual) == []


@pytest.mark.parametrize("name", SWITCH)
def test_every_switch_has_an_effect(tiny, name):
    usual, changed = outputs(tiny("land-hist")), outputs(tiny(name))
    assert usual.keys() == changed.keys()
    assert any(usual[file] != changed[file] for file in usual)


def test_switches_act_on_what_they_name(tiny):
    import netCDF4

    def of(name, variable, stream="land_use", year=1851):
        with netCDF4.Dataset(tiny(name) / f"{stream}_{year}.nc") as file:
            return np.ma.filled(file[variable][0].astype(float), np.nan)

    assert (of("land-hist", "fHarvestToProduct") > of("land-noWoodHarv", "fHarvestToProduct")).all()
    # what goes both ways is left out; the areas that come of it are the same up to the rounding of the files
    assert (of("land-noShiftCultivate", "moved_area") < of("land-hist", "moved_area")).all()
    for kind in ("pasture", "crop"):
        assert of("land-noShiftCultivate", f"{kind}_area") == pytest.approx(of("land-hist", f"{kind}_area"), abs=1e-6)
    assert (of("land-noLu", "moved_area") == 0.0).all()
    assert (of("land-noLu", "crop_area") == of("land-noLu", "crop_area", year=1850)).all()
