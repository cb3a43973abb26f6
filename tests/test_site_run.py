"""`concerto site` as its users meet it: one command, one complete file, and one sentence when something is wrong."""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from synthetic import site_file

import concerto as co
from concerto.errors import ConcertoError
from concerto.tables import loader

STEP = 3600
YEAR = 8760
# Names and units that other programs look for (CMIP tables; nee and ustar are not in them).
CMIP = {
    "gpp": "kg m-2 s-1", "ra": "kg m-2 s-1", "rh": "kg m-2 s-1", "npp": "kg m-2 s-1", "nbp": "kg m-2 s-1",
    "nee": "umol m-2 s-1", "hfls": "W m-2", "hfss": "W m-2", "hfdsl": "W m-2", "rns": "W m-2", "rsds": "W m-2",
    "rsus": "W m-2", "rlds": "W m-2", "rlus": "W m-2", "evspsbl": "kg m-2 s-1", "tran": "kg m-2 s-1",
    "mrros": "kg m-2 s-1", "mrrob": "kg m-2 s-1", "mrso": "kg m-2", "snw": "kg m-2", "snd": "m", "ts": "K", "tas": "K",
    "tsl": "K", "lai": "1", "cVeg": "kg m-2", "cLitter": "kg m-2", "cSoil": "kg m-2", "ustar": "m s-1",
    "prra": "kg m-2 s-1", "prsn": "kg m-2 s-1",
}  # fmt: skip


def concerto(*arguments, cwd=None, **keywords):
    """Run the command line in a process of its own."""
    command = [sys.executable, "-m", "concerto", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=cwd, **keywords)


def assert_one_sentence(done, *words):
    """Exit code 2, one line of message, one of advice, and the words that name the fault."""
    assert done.returncode == 2, done.stderr
    lines = done.stderr.strip().splitlines()
    assert lines[0].startswith("concerto: ") and len(lines) <= 2, done.stderr
    assert len(lines) == 1 or lines[1].startswith("  hint: "), done.stderr
    for word in words:
        assert str(word) in done.stderr, done.stderr


@pytest.fixture(scope="module")
def year(tmp_path_factory):
    """A tower file of one year and the finished command: (input, output, process)."""
    folder = tmp_path_factory.mktemp("site")
    path = site_file(folder / "XX-Syn_2003-2003.nc", "temperate_deciduous", STEP)
    out = folder / "run.nc"
    return path, out, concerto("site", path, "--out", out)


@pytest.fixture(scope="module")
def short(tmp_path_factory):
    """A tower file of fifty summer days."""
    return site_file(tmp_path_factory.mktemp("short") / "XX-Sho.nc", "prairie", STEP, days=50, start_day="2003-05-01")


def opened(path):
    import xarray as xr

    with xr.open_dataset(path) as ds:
        return ds.load()


# --- the finished run


def test_a_year_runs_with_one_command_and_ends_with_a_summary(year):
    path, out, done = year
    assert done.returncode == 0, done.stderr
    assert out.exists() and not list(out.parent.glob("*.part"))
    for word in ("XX-Syn: 2003-01-01 to 2003-12-31", "plant types", "spin-up", "GPP", "worst residual", "latent heat"):
        assert word in done.stdout, done.stdout
    assert "Traceback" not in done.stderr


def test_the_time_axis_is_that_of_the_forcing(year):
    path, out, _ = year
    given, made = opened(path), opened(out)
    assert made.sizes["time"] == YEAR
    assert np.array_equal(made.time.values, given.time.values)
    assert made.time.attrs["standard_name"] == "time" and made.time.attrs["bounds"] == "time_bnds"
    assert np.array_equal(made.time_bnds.values, given.time_bnds.values)


def test_names_units_and_attributes_are_those_of_the_conventions(year):
    import netCDF4

    _, out, _ = year
    with netCDF4.Dataset(out) as made:
        assert made.Conventions.startswith("CF-1.")
        for name in ("title", "source", "site", "configuration", "summary", "input_report"):
            assert made.getncattr(name)
        assert made.source.endswith(loader.digest())
        for name, unit in CMIP.items():
            assert name in made.variables, name
            assert made[name].units == unit, name
        for name, variable in made.variables.items():
            if name in ("time", "depth", "latitude", "longitude") or name.endswith("_bnds"):
                continue
            assert variable.units and variable.long_name, name
            assert variable.cell_methods.startswith("area: mean where land time: "), name
            assert variable.dimensions[0] == "time", name
            if name in CMIP and name not in ("nee", "ustar"):
                assert variable.standard_name, name
        assert made["depth"].positive == "down" and made["depth"].bounds == "depth_bnds"
        assert json.loads(made.configuration)["options"]["stomata"] == "medlyn"


def test_every_value_is_finite(year):
    ds = opened(year[1])
    for name, values in ds.items():
        if values.dtype.kind == "f":
            assert np.isfinite(values.values).all(), name


def test_the_budgets_that_the_summary_reports_are_closed(year):
    worst = json.loads(opened(year[1]).attrs["summary"])["worst residual"]
    for name, limit in (("water", 1e-10), ("energy", 1e-8), ("carbon", 1e-13)):  # as in test_budgets.py
        assert float(worst[name].split()[0]) <= limit, worst


@pytest.fixture(scope="module")
def api(year):
    """The same run through the Python interface, in double precision."""
    return co.open_site(year[0]).run()


def test_python_gives_the_numbers_of_the_command_line(year, api):
    ds = opened(year[1])
    assert set(ds.data_vars) == set(api.data_vars)
    for name in ds.data_vars:
        assert np.array_equal(ds[name].values, api[name].values.astype(ds[name].dtype)), name


@pytest.mark.slow
def test_a_second_run_gives_the_same_values(year, tmp_path):
    path, out, _ = year
    done = concerto("site", path, "--out", tmp_path / "again.nc", "--quiet", "--threads", 2)
    assert done.returncode == 0 and done.stdout == ""
    first, second = opened(out), opened(tmp_path / "again.nc")
    for name in first.data_vars:
        assert np.array_equal(first[name].values, second[name].values), name


# --- nature, in the output


def test_nothing_is_assimilated_in_the_dark(api):
    dark = api.rsds.values == 0.0
    assert dark.sum() > YEAR / 4
    assert np.abs(api.gpp.values[dark]).max() < 1e-15  # kg m-2 s-1; by day up to 4e-7
    assert api.gpp.values.max() > 1e-7


def test_fluxes_are_of_the_size_of_a_temperate_forest(api):
    summer = api.isel(time=slice(151 * 24, 243 * 24))
    assert api.hfls.min() > -80.0  # W m-2; dew and frost release a few tens
    assert 20.0 < float(api.hfls.mean()) < 80.0
    assert 0.1 < float(summer.hfss.mean() / summer.hfls.mean()) < 2.0  # Bowen ratio
    assert 0.5 < float(api.gpp.mean()) * 31557600.0 < 3.5  # kg m-2 a year
    assert 0.0 < float(api.nbp.mean()) < 0.15 * float(api.gpp.mean())  # a stand of 45 years grows
    assert float(api.tas.min()) - 25.0 < float(api.ts.min()) and float(api.ts.max()) < float(api.tas.max()) + 30.0
    assert float(api.snw.max()) > 1.0 and float(api.snw.isel(time=200 * 24)) == 0.0


@pytest.mark.slow
def test_an_old_stand_is_in_equilibrium_after_the_spin_up(year):
    ds = co.open_site(year[0], parameters={"stand_age": 0.0}).run()
    assert abs(float(ds.nbp.mean())) < 0.01 * float(ds.gpp.mean())


def test_radiation_becomes_turbulent_and_ground_heat(api):
    """What the canopy stores is missing in the sum, with the melt of its snow and the warmth that drip carries."""
    rest = (api.rns - api.hfls - api.hfss - api.hfdsl).values
    summer = rest[151 * 24 : 273 * 24]
    assert abs(rest.mean()) < 1.0 and abs(summer.mean()) < 1.0  # W m-2
    assert np.percentile(np.abs(summer), 99) < 60.0 and np.abs(rest).max() < 300.0
    assert np.allclose(api.rns, api.rsds - api.rsus + api.rlds - api.rlus, atol=1e-9)


def test_water_that_falls_is_found_again(api):
    """The canopy's water is not in the output: 0.1 kg m-2 per leaf and stem area in summer, 20 as snow in winter."""
    fluxes = (api.prra + api.prsn - api.evspsbl - api.mrros - api.mrrob).values * STEP
    stored = (api.mrso + api.snw).values
    canopy = np.cumsum(fluxes[1:]) - (stored[1:] - stored[0])  # more or less than at the start
    assert np.ptp(canopy[151 * 24 : 273 * 24]) < 1.0
    assert np.ptp(canopy) < 20.0
    assert abs(fluxes[151 * 24 : 273 * 24]).sum() > 300.0
    parts = (api.tran + api.evspsblveg + api.evspsblsoi).values
    assert np.allclose(parts, api.evspsbl.values, rtol=1e-12, atol=1e-18)


def test_carbon_that_is_taken_up_is_found_again(api):
    """To round-off of 2e4 additions of pools of 30 kg m-2."""
    gained = (api.nbp.values * STEP)[1:]
    stored = (api.cVeg + api.cLitter + api.cSoil).values
    assert np.abs(np.cumsum(gained) - (stored[1:] - stored[0])).max() < 1e-9
    assert np.allclose(api.nee.values, -api.nbp.values / 12.011e-9, rtol=1e-12, atol=1e-15)
    assert np.allclose(api.npp.values, (api.gpp - api.ra).values, rtol=1e-12, atol=1e-18)


# --- choices


def test_json_prints_one_object_and_nothing_else(short, tmp_path):
    done = concerto("site", short, "--out", tmp_path / "a.nc", "--json")
    assert done.returncode == 0 and done.stderr == "", done.stderr
    summary = json.loads(done.stdout)
    assert summary["output"] == str(tmp_path / "a.nc") and "worst residual" in summary
    assert any("less than a year" in line for line in summary["input"])


def test_a_run_without_spin_up_starts_from_a_sensible_state(short, tmp_path):
    done = concerto("site", short, "--out", tmp_path / "a.nc", "--spinup", "none", "--quiet")
    assert done.returncode == 0, done.stderr
    ds = opened(tmp_path / "a.nc")
    assert np.abs(ds.tsl.values - float(ds.tas.mean())).max() < 30.0


@pytest.mark.slow
def test_types_parameters_and_options_are_used_and_recorded(short, tmp_path):
    plain = co.open_site(short).run()
    words = [
        "--pft",
        "crop_c4:0.7,grass_c3:0.3",
        "--set",
        "g1=2.5",
        "maximum_leaf_area=4",
        "--option",
        "soil_water=bucket",
    ]
    done = concerto("site", short, "--out", tmp_path / "a.nc", "--quiet", *words)
    assert done.returncode == 0, done.stderr
    ds = opened(tmp_path / "a.nc")
    settings = json.loads(ds.attrs["configuration"])
    assert settings["pft"] == {"crop_c4": 0.7, "grass_c3": 0.3}
    assert settings["parameters"] == {"g1": 2.5, "maximum_leaf_area": 4.0}
    assert settings["options"]["soil_water"] == "bucket"
    assert abs(float(ds.gpp.mean() / plain.gpp.mean()) - 1.0) > 0.01


@pytest.mark.slow
def test_without_precipitation_the_soil_is_held_unstressed_and_this_is_said(tmp_path):
    path = site_file(tmp_path / "XX-Dry.nc", "temperate_deciduous", STEP, days=200, precipitation=False)
    done = concerto("site", path, "--out", tmp_path / "a.nc")
    assert done.returncode == 0, done.stderr
    words = " ".join(done.stdout.split())
    assert "no precipitation" in words and "held unstressed" in words and "tier D" in words
    ds = opened(tmp_path / "a.nc")
    assert ds.attrs["has_precipitation"] == 0
    assert np.all(ds.water_stress.values[150 * 24 :] == 1.0)  # June and July
    assert float(ds.tran.values[150 * 24 :].mean()) > 1e-5  # and plants transpire: 1 mm a day
    assert np.ptp(ds.mrso.values[150 * 24 :]) < 1e-2  # kg m-2 of 2,900, in single precision


# --- faults


@pytest.mark.parametrize(
    "words, named",
    [
        (["--set", "vcmax25=9999"], ("vcmax25", "9999", "5 to 250")),
        (["--set", "vcmax26=50"], ("vcmax26", "vcmax25")),
        (["--set", "vcmax25=much"], ("vcmax25", "much")),
        (["--set", "vcmax25=nan"], ("vcmax25", "nan")),
        (["--set", "vcmax25"], ("vcmax25", "NAME=VALUE")),
        (["--option", "stomata=jarvis"], ("stomata", "jarvis", "medlyn")),
        (["--option", "stomates=medlyn"], ("stomates",)),
        (["--option", "phenology=prescribed"], ("LAI",)),
        (["--pft", "oak"], ("oak",)),
        (["--pft", "grass_c3:-1"], ("grass_c3", "from 0 on")),
        (["--igbp", "XYZ"], ("XYZ",)),
        (["--soil", "lava"], ("lava",)),
    ],
    ids=lambda value: "".join(value) if isinstance(value, list) else "",
)
def test_wrong_settings_end_in_one_sentence_before_any_work(short, tmp_path, words, named):
    began = time.monotonic()
    done = concerto("site", short, "--out", tmp_path / "a.nc", *words)
    assert_one_sentence(done, *named)
    assert time.monotonic() - began < 20.0
    assert not list(tmp_path.iterdir())


def test_places_that_cannot_be_written_are_refused_before_any_work(short, tmp_path):
    assert_one_sentence(concerto("site", short, "--out", tmp_path / "none" / "a.nc"), "none", "does not exist")
    assert_one_sentence(concerto("site", short, "--out", tmp_path), ".nc")
    (tmp_path / "folder.nc").mkdir()
    assert_one_sentence(concerto("site", short, "--out", tmp_path / "folder.nc"), "directory")
    (tmp_path / "file").write_text("")
    assert_one_sentence(concerto("site", short, "--out", tmp_path / "file" / "a.nc"), "file")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "folder.nc"]


@pytest.mark.slow
def test_a_read_only_folder_is_refused(short, tmp_path):
    folder = tmp_path / "locked"
    folder.mkdir()
    folder.chmod(0o555)
    if os.access(folder, os.W_OK):  # root may write anywhere but into /proc
        folder = Path("/proc")
        if not folder.exists():
            pytest.skip("no folder here is closed to root")
    assert_one_sentence(concerto("site", short, "--out", folder / "a.nc"), folder)


def test_a_missing_input_is_named(tmp_path):
    assert_one_sentence(concerto("site", tmp_path / "none.nc", "--out", tmp_path / "a.nc"), "none.nc")


def test_an_interrupted_run_leaves_no_file(year, tmp_path):
    mixture = ",".join(f"{name}:1" for name in loader.pft_names())  # longer than a run of one type
    command = [
        sys.executable,
        "-m",
        "concerto",
        "site",
        str(year[0]),
        "--out",
        str(tmp_path / "a.nc"),
        "--pft",
        mixture,
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path)
    maps = Path(f"/proc/{process.pid}/maps")
    if maps.exists():
        until = time.monotonic() + 30.0
        while "_core" not in maps.read_text() and time.monotonic() < until:
            time.sleep(0.02)
        time.sleep(0.7)
    else:
        time.sleep(2.0)
    process.send_signal(signal.SIGINT)
    _, words = process.communicate(timeout=60)
    assert process.returncode == 130, words
    assert words.strip() == "concerto: interrupted"
    assert not list(tmp_path.iterdir())


def test_an_interrupt_while_the_file_is_written_leaves_no_file(short, tmp_path, monkeypatch):
    import xarray as xr

    def interrupted(self, path, **keywords):
        Path(path).write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(xr.Dataset, "to_netcdf", interrupted)
    with pytest.raises(KeyboardInterrupt):
        co.open_site(short).to_netcdf(tmp_path / "a.nc")
    assert not list(tmp_path.iterdir())


def test_a_full_disk_ends_in_one_sentence_and_keeps_the_old_file(short, tmp_path):
    """A limit of the file size stands for the full disk: writing beyond it fails (EFBIG for ENOSPC)."""
    out = tmp_path / "a.nc"
    out.write_text("of an earlier run")

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    done = concerto("site", short, "--out", out, "--quiet", preexec_fn=limit)
    assert_one_sentence(done, "a.nc", "could not be written")
    assert [p.name for p in tmp_path.iterdir()] == ["a.nc"] and out.read_text() == "of an earlier run"


@pytest.mark.slow
def test_a_disk_that_is_really_full_ends_in_one_sentence(short, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    try:
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(disk)], capture_output=True)
    except OSError:
        pytest.skip("mount is not on this machine")
    if mounted.returncode != 0:
        pytest.skip("only root can mount a small disk")
    try:
        done = concerto("site", short, "--out", disk / "a.nc", "--quiet")
        assert_one_sentence(done, "a.nc", "could not be written")
        assert not list(disk.iterdir())
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_failing_state_is_reported_with_place_date_and_quantity(short):
    run = co.open_site(short, spinup="none")
    from concerto.simulation.spinup import initialise

    initialise(run.tiles, 290.0)
    run.tiles.set("soil_temperature", 345.0)
    run.forcing[0, 0, 30:] = 335.0  # air of 62 degC
    run.forcing[0, 3, 30:] = 1400.0
    with pytest.raises(ConcertoError, match="soil temperature.*outside.*XX-Syn.*2003-05-") as raised:
        run._advance(0, run.forcing.shape[2], lambda steps: None)
    assert raised.value.hint
