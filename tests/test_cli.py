"""Every mistake at the command line gets one sentence and a hint, no input is overwritten, and the files agree."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from synthetic import site_file

import concerto as co
from concerto.errors import ConcertoError

netCDF4 = pytest.importorskip("netCDF4")
DAYS = 5


@pytest.fixture(scope="module")
def tower(tmp_path_factory):
    """A tower of five summer days with fluxes; a quarter of the steps is gap-filled (flag 1)."""
    path = site_file(
        tmp_path_factory.mktemp("a folder with blanks") / "XX-Syn tower.nc",
        step=1800, days=DAYS, leaf_area=True, start_day="2003-07-01",
    )  # fmt: skip
    with netCDF4.Dataset(str(path), "a") as data:
        n = data.dimensions["time"].size
        light = data["SWdown"][:] / 500.0
        for name, values, unit in (
            ("NEE", 2.0 - 10.0 * light, "umol m-2 s-1"),
            ("Qle", 100.0 * light, "W m-2"),
        ):
            data.createVariable(name, "f8", ("time",)).units = unit
            data[name][:] = values
            data.createVariable(f"{name}_qc", "i1", ("time",))[:] = np.arange(n) % 4 == 3
    return path


@pytest.fixture(scope="module")
def run_file(tower):
    path = tower.with_name("run of five days.nc")
    co.open_site(tower, spinup="none").to_netcdf(path)
    return path


def one_sentence(err):
    """The message of a failure: one line, and at most one with a hint."""
    lines = err.strip().splitlines()
    assert lines[0].startswith("concerto: ") and len(lines) <= 2, err
    assert all(line.startswith("  hint: ") for line in lines[1:]), err
    assert "Traceback" not in err and "\x1b" not in err
    return lines[0]


MISTAKES = {
    "unknown command": (["sit"], "sit"),
    "nothing given": (["site"], "FILE is missing"),
    "misspelt option": (["site", "TOWER", "--outt", "x.nc"], "did you mean --out"),
    "option without value": (["site", "TOWER", "--out"], "--out needs a value"),
    "no output": (["site", "TOWER"], "--out is missing"),
    "not a number": (["site", "TOWER", "--out", "x.nc", "--threads", "two"], "two"),
    "negative threads": (["site", "TOWER", "--out", "x.nc", "--threads", "-3"], "--threads"),
    "no tiles": (["bench", "--tiles", "0"], "--tiles"),
    "no years": (["demo", "--years", "0"], "--years"),
    "no such file": (["site", "nofile.nc", "--out", "x.nc"], "nofile.nc"),
    "no such folder": (["site", "TOWER", "--out", "nofolder/x.nc"], "nofolder"),
    "name without ending": (["site", "TOWER", "--out", "x"], ".nc"),
    "page over data": (["site", "TOWER", "--out", "x.nc", "--report", "x.nc"], ".html"),
    "page in no folder": (["site", "TOWER", "--out", "x.nc", "--report", "nofolder/x.html"], "nofolder"),
    "output is the input": (["site", "TOWER", "--out", "TOWER"], "read or written in the same command"),
    "set without value": (["site", "TOWER", "--out", "x.nc", "--set", "g1"], "--set 'g1'"),
    "set to a word": (["site", "TOWER", "--out", "x.nc", "--set", "g1=abc"], "abc"),
    "set outside its bounds": (["site", "TOWER", "--out", "x.nc", "--set", "g1=1e9"], "bounds"),
    "unknown parameter": (["site", "TOWER", "--out", "x.nc", "--set", "gg1=3"], "gg1"),
    "unknown choice": (["site", "TOWER", "--out", "x.nc", "--option", "stomata=ball"], "ball_berry"),
    "unknown type": (["site", "TOWER", "--out", "x.nc", "--pft", "tree"], "tree"),
    "end before start": (["site", "TOWER", "--out", "x.nc", "--start", "2003-07-03", "--end", "2003-07-01"], "before"),
    "no date": (["site", "TOWER", "--out", "x.nc", "--start", "yesterday"], "yesterday"),
    "too short to spin up": (["site", "TOWER", "--out", "x.nc", "--end", "2003-07-01"], "less than two days"),
    "run as tower": (["check", "RUN"], "output of concerto"),
    "page over its run": (["report", "RUN", "--out", "RUN"], ".html"),
    "tower as run": (["report", "TOWER", "--out", "x.html"], "none of gpp"),
    "observations are a run": (["evaluate", "RUN", "--obs", "RUN"], "output of concerto"),
    "no such training": (["evaluate", "RUN", "--obs", "TOWER", "--training", "nofolder"], "nofolder"),
    "empty training": (["evaluate", "RUN", "--obs", "TOWER", "--training", "EMPTY"], "no tower file"),
    "no match": (["params", "zzz"], "zzz"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_gets_one_sentence_and_code_2(mistake, concerto, tower, run_file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    words, expected = MISTAKES[mistake]
    before = tower.read_bytes(), run_file.read_bytes()
    places = {"TOWER": tower, "RUN": run_file, "EMPTY": tmp_path / "empty"}
    code, out, err = concerto(*[places.get(word, word) for word in words])
    assert (code, out) == (2, "")
    assert expected in one_sentence(err) + err
    assert (tower.read_bytes(), run_file.read_bytes()) == before
    assert sorted(os.listdir(tmp_path)) == ["empty"]


def test_under_a_launcher_one_rank_writes_the_page(concerto, run_file, tmp_path, monkeypatch):
    monkeypatch.setenv("OMPI_COMM_WORLD_RANK", "1")
    page = tmp_path / "page.html"
    assert concerto("report", run_file, "--out", page) == (0, "", "") and not page.exists()
    monkeypatch.setenv("OMPI_COMM_WORLD_RANK", "0")
    assert concerto("report", run_file, "--out", page)[0] == 0 and page.exists()


def test_a_bug_is_reported_in_one_line_and_with_its_place_on_demand(concerto, monkeypatch):
    def broken(*args, **options):
        raise RuntimeError("two\nlines")

    monkeypatch.setattr("concerto.tables.show.show_variables", broken)
    code, _, err = concerto("vars")
    assert code == 70 and "internal error: RuntimeError: two lines; please report" in one_sentence(err)
    monkeypatch.setenv("CONCERTO_DEBUG", "1")
    with pytest.raises(RuntimeError):
        concerto("vars")


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (MemoryError(), 2, "not enough memory"),
        (PermissionError(13, "Permission denied", "x.nc"), 2, "x.nc: Permission denied"),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
)
def test_the_machine_may_fail_too(concerto, monkeypatch, error, code, words):
    def broken(*args, **options):
        raise error

    monkeypatch.setattr("concerto.tables.show.show_variables", broken)
    found, _, err = concerto("vars")
    assert found == code and words in one_sentence(err)


def test_a_reader_that_leaves_early_is_no_error():
    command = [sys.executable, "-m", "concerto", "params", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        process.stdout.close()  # as `| true` does
        err = process.stderr.read()
        assert process.wait(60) in (0, 141)
    assert err == ""


def test_a_run_tells_what_it_did(concerto, tower, tmp_path):
    out = tmp_path / "my run.nc"
    page = tmp_path / "my page.html"
    code, text, err = concerto("site", tower, "--out", out, "--spinup", "none", "--report", page, "--json")
    assert (code, err) == (0, "")
    summary = json.loads(text)
    row = summary["fluxes"]["latent heat"]
    assert row["measured_steps"] == 0.75 * 48 * DAYS
    with netCDF4.Dataset(str(tower)) as tower_data, netCDF4.Dataset(str(out)) as data:
        measured = np.arange(48 * DAYS) % 4 != 3
        # the file holds 32 bits: 1e-6 of the largest value
        assert row["tower_on_measured_steps"] == pytest.approx(tower_data["Qle"][:][measured].mean(), rel=1e-12)
        assert row["model_on_measured_steps"] == pytest.approx(data["hfls"][:][measured].mean(), abs=1e-3)
        assert row["model"] == pytest.approx(data["hfls"][:].mean(), abs=1e-3)
        assert data.history.split(" ", 1)[1].startswith("concerto site ") and "--spinup none" in data.history
        assert co.__version__ in data.history
        assert float(data["latitude"][...]) == float(tower_data["latitude"][...])
        assert data["latitude"].units == "degrees_north"
        assert (data["time_bnds"][:, 1] - data["time_bnds"][:, 0] == 1800.0).all()
        for name, variable in data.variables.items():
            assert "units" in variable.ncattrs() or name.endswith("_bnds"), name
    assert "Latent heat" in page.read_text()
    assert not list(tmp_path.glob("*.part"))
    code, text, _ = concerto("site", tower, "--out", out, "--spinup", "none")
    assert code == 0 and "\x1b" not in text and "measured steps" in text
    assert not [line for line in text.splitlines() if line != line.rstrip()]


def test_the_last_day_is_included(concerto, tower):
    code, text, _ = concerto("check", tower, "--start", "2003-07-02", "--end", "2003-07-03", "--json")
    assert code == 0 and json.loads(text)["steps"] == 2 * 48


def test_a_second_run_repeats_the_first_and_follows_what_is_set(tower):
    run = co.open_site(tower, spinup="none")
    run.tiles.set("soil_liquid", 0.25)
    first, second = run.run(), run.run()
    for name in first.data_vars:
        assert np.array_equal(first[name], second[name]), name
    run.tiles.set_parameter("g1", 2.0)
    third = run.run()
    assert not np.array_equal(third.gpp, first.gpp)
    assert json.loads(third.attrs["configuration"])["parameters"] == {"g1": 2.0}
    fresh = co.open_site(tower, spinup="none", parameters={"g1": 2.0})
    fresh.tiles.set("soil_liquid", 0.25)
    assert np.array_equal(fresh.run().gpp, third.gpp)
    assert len(repr(run)) < 300  # what a notebook shows


def test_open_site_names_an_argument_that_does_not_exist(tower):
    with pytest.raises(ConcertoError, match="no argument 'g1'"):
        co.open_site(tower, g1=3.0)
    with pytest.raises(ConcertoError, match="spinup"):
        co.open_site(tower, spinup=False)
    with pytest.raises(ConcertoError, match="threads"):
        co.open_site(tower, threads=0)


@pytest.fixture(scope="module")
def fluxnet(tower):
    """The tower as a FLUXNET2015 file: degC, hPa, kPa, mm in half an hour, -9999."""
    from concerto.forcing import derive

    path = tower.with_name("FLX_XX-Syn_FLUXNET2015_FULLSET_HH_2003-2003_1-4.csv")
    with netCDF4.Dataset(str(tower)) as data:
        v = {name: np.asarray(data[name][:], float) for name in data.variables if data[name].dimensions == ("time",)}
    vapour = derive.vapour_pressure(v["Qair"], v["Psurf"])
    start = np.datetime64("2003-07-01T00:00") + np.arange(48 * DAYS) * np.timedelta64(30, "m")
    columns = {
        "TIMESTAMP_START": [str(s).translate(str.maketrans("", "", "-T:")) for s in start],
        "TIMESTAMP_END": [str(s + 30).translate(str.maketrans("", "", "-T:")) for s in start],
        "TA_F": v["Tair"] - 273.15, "SW_IN_F": v["SWdown"], "LW_IN_F": v["LWdown"], "PA_F": v["Psurf"] / 1000.0,
        "VPD_F": (derive.saturation_pressure_bolton(v["Tair"]) - vapour) / 100.0, "WS_F": v["Wind"],
        "P_F": (v["Rainf"] + v["Snowf"]) * 1800.0, "LAI": v["LAI"],
        "NEE_VUT_REF": v["NEE"], "NEE_VUT_REF_QC": v["NEE_qc"], "LE_F_MDS": v["Qle"], "LE_F_MDS_QC": v["Qle_qc"],
        "G_F_MDS": np.full(48 * DAYS, -9999.0),
    }  # fmt: skip
    cells = [values if isinstance(values, list) else [repr(float(x)) for x in values] for values in columns.values()]
    path.write_text("\n".join([",".join(columns), *(",".join(row) for row in zip(*cells, strict=True))]) + "\n")
    return path


def test_a_fluxnet_file_gives_the_run_and_the_scores_of_the_netcdf_file(concerto, tower, fluxnet, tmp_path):
    with netCDF4.Dataset(str(tower)) as data:
        facts = {name: float(data[name][...]) for name in ("latitude", "longitude", "elevation", "canopy_height")}
        facts |= {"reference_height": float(data["reference_height"][...]), "igbp": data.IGBP}
        facts["utc_offset_hours"] = float(data.utc_offset_hours)
    words = [part for name, value in facts.items() for part in (f"--{name.replace('_', '-')}", value)]
    code, out, err = concerto("site", fluxnet, "--out", tmp_path / "no place.nc")
    assert code == 2 and "latitude" in one_sentence(err)
    results = {}
    for name, file, given in (("csv", fluxnet, words), ("nc", tower, [])):
        target = tmp_path / f"{name}.nc"
        # both report pages read the tower's fluxes from the file that was run
        page = ["--report", tmp_path / f"{name}.html"]
        code, _, err = concerto("site", file, "--out", target, "--spinup", "none", "--quiet", *given, *page)
        assert (code, err) == (0, "")
        code, text, err = concerto("evaluate", target, "--obs", file, "--json")
        assert (code, err) == (0, "")
        with netCDF4.Dataset(str(target)) as data:
            results[name] = {key: np.asarray(data[key][:]) for key in ("gpp", "hfls", "hfss", "tas", "time")}
            results[name]["scores"] = json.loads(text)["scores"]["half-hourly"]
    for key in ("gpp", "hfls", "hfss", "tas", "time"):
        a, b = results["csv"][key], results["nc"][key]
        # humidity goes through the deficit, rain through mm, and the file holds 32 bits
        assert np.allclose(a, b, rtol=1e-4, atol=1e-4 * np.abs(b).max()), key
    for flux in ("NEE", "Qle"):
        for source in ("model", "1lin"):
            a, b = results["csv"]["scores"][flux][source], results["nc"]["scores"][flux][source]
            assert a["n"] == b["n"] == 0.75 * 48 * DAYS
            assert a["rmse"] == pytest.approx(b["rmse"], rel=1e-3)
