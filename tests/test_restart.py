"""A run may stop and go on: through a file, at any step, to the same bits; a file that does not fit is refused."""

import json
import os
import resource
import signal
import subprocess
import sys

import numpy as np
import pytest
from synthetic import climate_tiles, site_file, start

from concerto.errors import ConcertoError
from concerto.forcing.weather import climate_normals
from concerto.simulation import restart
from concerto.simulation.restart import continue_site, read_restart, write_restart
from concerto.simulation.spinup import initialise, start_nitrogen, start_soil
from concerto.simulation.transient import plants, set_plants
from concerto.tables import loader

netCDF4 = pytest.importorskip("netCDF4")
pytestmark = pytest.mark.release  # Python around the core; the core itself is run with checks elsewhere
SELECT = ("nee", "latent_heat", "gpp", "rh", "soil_water")


def case(**settings):
    """Tiles of all types over all climates in spring, some parameters changed."""
    tiles, forcing, ends = climate_tiles(list(climate_normals()), n_tile=60, start_day="2004-04-10", **settings)
    start(tiles, forcing)
    start_soil(tiles)
    if tiles.option("nitrogen") == "cn":
        start_nitrogen(tiles)
    if tiles.option("isotopes") == "on":
        for element in ("carbon13", "carbon14"):
            set_plants(tiles, element, 0.98 * plants(tiles, "carbon"))
            tiles.set(f"{element}_soil", 0.97 * tiles.get("soil_carbon"))
    tiles.set_parameter("g1", np.linspace(2.0, 5.0, tiles.n_tile))
    return tiles, forcing, ends


def weights(tiles):
    return np.random.default_rng(1).random(tiles.n_tile)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A restart file of three days into a run, and its tiles."""
    tiles, forcing, ends = case()
    tiles.advance(forcing[:, :, :100], ends[:100])
    path = tmp_path_factory.mktemp("restart") / "state.nc"
    write_restart(path, tiles, weights(tiles), "2004-04-12T02:00", configuration={"site": "XX", "n": np.int64(3)})
    return path, tiles


@pytest.fixture
def copy(saved, tmp_path):
    """A copy of the file that may be spoilt."""
    path = tmp_path / "spoilt.nc"
    path.write_bytes(saved[0].read_bytes())
    return path


def edit(path, change):
    with netCDF4.Dataset(str(path), "a") as data:
        data.set_auto_mask(False)
        change(data)


def refused(path, *words):
    with pytest.raises(ConcertoError) as raised:
        read_restart(path)
    assert raised.value.hint and "\n" not in raised.value.message
    for word in (path.name, *words):
        assert str(word) in raised.value.message, raised.value.message


# --- to the bit


def test_state_and_parameters_come_back_to_the_bit(saved):
    path, tiles = saved
    state = read_restart(path, nproma=16)
    assert list(state.tiles.pft) == list(tiles.pft) and list(state.tiles.cell) == list(tiles.cell)
    for name in loader.variables("state"):
        assert np.array_equal(state.tiles.get(name), tiles.get(name)), name
        assert state.tiles.get(name).tobytes() == tiles.get(name).tobytes(), name  # also the sign of a zero
    for name in loader.parameters():
        assert np.array_equal(state.tiles.parameter(name), tiles.parameter(name)), name
    assert state.weights == list(weights(tiles)) and state.time_step == 1800.0 and not state.notes
    assert state.time_utc == np.datetime64("2004-04-12T02:00:00") and state.converged.all()
    assert state.configuration == {"site": "XX", "n": 3}


@pytest.mark.parametrize("cut", [48 * 4 + 17, 48 * 5], ids=["in the middle of a day", "at midnight"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"nitrogen": "cn", "isotopes": "on", "crops": "calendar", "mortality_causes": "full"},
        {"plant_hydraulics": "on", "drought_memory": "plc_damage", "soil_carbon": "mimics", "phenology": "knorr"},
        {"soil_water": "bucket", "soil_carbon": "yasso20", "isotopes": "on", "vcmax": "pmodel", "stomata": "pmodel"},
        {"stomata": "sox", "soil_carbon": "millennial", "phenology": "stress_deciduous"},
    ],
    ids=["default", "nitrogen, isotopes, crops", "hydraulics, mimics", "bucket, yasso", "sox, millennial"],
)
def test_a_run_cut_in_two_through_a_file_changes_no_bit(cut, options, tmp_path):
    tiles, forcing, ends = case(options=options)
    expected = tiles.advance(forcing, ends, SELECT)
    first, _, _ = case(options=options, nproma=16)
    parts = [first.advance(forcing[:, :, :cut], ends[:cut], SELECT)]
    write_restart(tmp_path / "a.nc", first, weights(first), "2004-04-14T08:30")
    second = read_restart(tmp_path / "a.nc", nproma=32, threads=2).tiles
    assert second.options.items() >= options.items()
    parts.append(second.advance(forcing[:, :, cut:], ends[cut:], SELECT))
    for name in SELECT:
        assert np.array_equal(np.concatenate([part[name] for part in parts]), expected[name]), name
    for name in loader.variables("state"):
        assert np.array_equal(second.get(name), tiles.get(name)), name


def test_the_file_is_readable_without_concerto(saved):
    import xarray as xr

    path, tiles = saved
    with xr.open_dataset(path, decode_timedelta=False) as ds:
        ds.load()
    assert str(ds.time.values)[:16] == "2004-04-12T02:00" and int(ds.seconds_into_day) == 7200
    pools = ds["soil_carbon_kind"].values
    assert pools[0] == "metabolic to 0.01 m" and pools[-1] == "coarse_debris to 4 m"
    assert list(ds["plant_pool"].values) == ["labile", "leaf", "fine_root", "sapwood", "heartwood", "seed"]
    assert np.all(np.diff(ds.soil.values) > 0) and ds.soil.attrs["units"] == "m"
    names = loader.pft_names()
    assert list(ds.pft_name.values) == [names[p] for p in tiles.pft]
    for name, entry in loader.variables("state").items():
        assert ds[name].attrs["units"] == entry.units and ds[name].attrs["long_name"] == entry.long_name
        assert ds[name].dims[-1] == "tile" and ds[name].dtype == np.float64
    changed = {name for name in ds if name.startswith("parameter_")}
    assert changed == {"parameter_reference_height", "parameter_g1"}
    assert json.loads(ds.attrs["options"])["stomata"] == "medlyn" and ds.attrs["converged"] == 1
    assert ds.attrs["tables_digest"] == loader.digest()
    assert not list(path.parent.glob("*.part"))


# --- what was added later


def test_a_variable_that_was_added_later_starts_from_its_initial_value(copy):
    def older(data):
        data.tables_digest = "0" * 16
        data.renameVariable("snow_age", "age_of_the_snow")

    edit(copy, older)
    state = read_restart(copy)
    assert np.all(state.tiles.get("snow_age") == loader.variables("state")["snow_age"].initial)
    assert any("snow_age is new" in note for note in state.notes)
    assert any("age_of_the_snow is not known" in note for note in state.notes)


def test_an_option_that_was_added_later_takes_its_default(copy):
    def older(data):
        data.options = json.dumps({k: v for k, v in json.loads(data.options).items() if k != "stomata"})
        data.parameter_digest = "0" * 16
        data.renameVariable("parameter_g1", "parameter_g17")

    edit(copy, older)
    state = read_restart(copy)
    notes = " ".join(state.notes)
    assert "option stomata is new" in notes and "g17 is not known" in notes and "parameters has changed" in notes
    assert state.tiles.options.get("stomata", "medlyn") == "medlyn"


def _attribute(name, value):
    return lambda data: data.setncattr(name, value)


def _rename(name):
    return lambda data: data.renameVariable(name, name + "_x")


def _value(name, place, value):
    def change(data):
        values = data[name][...]
        values[place] = value
        data[name][...] = values

    return change


def _option(name, choice):
    return lambda data: data.setncattr("options", json.dumps(json.loads(data.options) | {name: choice}))


def _no_attribute(name):
    return lambda data: data.delncattr(name)


def _other_layout(data):
    data.renameVariable("soil_ice", "soil_ice_x")
    data.createDimension("other", 7)
    data.createVariable("soil_ice", "f8", ("other", "tile"))[...] = 0.0


def _lost_mass(data):
    data.createVariable("carbon_moss", "f8", ("tile",))[...] = 1.0
    data["carbon_moss"].role = "carbon"


def _older_without_value(data):
    data.tables_digest = "0" * 16
    data.renameVariable("soil_temperature", "soil_temperature_x")


FAULTS = {
    "another kind of file": (_attribute("format", "other"), "no restart file"),
    "later layout": (_attribute("schema", np.int32(99)), "layout 99", "reads 1"),
    "no digest": (_no_attribute("tables_digest"), "attribute tables_digest is missing"),
    "configuration is no JSON": (_attribute("configuration", "{"), "configuration", "JSON"),
    "options are a list": (_attribute("options", "[1]"), "options", "JSON"),
    "unknown option": (_option("weather", "good"), "option weather"),
    "unknown choice": (_option("stomata", "jarvis"), "stomata", "jarvis", "medlyn"),
    "no clock": (_rename("time"), "time is missing"),
    "no weights": (_rename("weight"), "weight is missing"),
    "impossible weight": (_value("weight", 0, 3.0), "weight"),
    "missing variable": (_rename("snow_age"), "snow_age", "missing"),
    "missing variable without initial value": (_older_without_value, "soil_temperature", "missing"),
    "NaN": (_value("soil_liquid", (2, 7), np.nan), "soil_liquid is not finite in 1 place(s), first in tile 8"),
    "impossible value": (_value("soil_temperature", (0, 0), 9e36), "soil_temperature", "9e+36 K", "tile 1"),
    "NaN in a parameter": (_value("parameter_g1", 3, np.nan), "parameter g1", "not finite"),
    "other layers": (_other_layout, "soil_ice", "7 x 60", "10 x 60"),
    "other depths": (_value("soil", 3, 0.5), "layer 4 of soil", "0.5"),
    "other pools": (_value("soil_carbon_kind", 9, "peat"), "layer 10 of soil_carbon", "peat", "cellulose"),
    "carbon without a place": (_lost_mass, "carbon_moss", "no place"),
    "unknown type": (_value("pft_name", 0, "oak"), "oak"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_file_that_does_not_fit_is_refused_in_one_sentence(fault, copy):
    change, *words = FAULTS[fault]
    edit(copy, change)
    refused(copy, *words)


def test_a_truncated_or_damaged_file_is_refused(copy, tmp_path):
    whole = copy.read_bytes()
    for share in (0.02, 0.5, 0.99):
        copy.write_bytes(whole[: int(share * len(whole))])
        refused(copy, "truncated")
    # one byte within the values of a variable: the checksum of the variable notices
    at = whole.find(read_restart(_written(tmp_path / "whole.nc", whole)).tiles.get("temperature_10d").tobytes())
    assert at > 0
    copy.write_bytes(whole[: at + 9] + bytes([whole[at + 9] ^ 1]) + whole[at + 10 :])
    refused(copy, "temperature_10d", "damaged")


def _written(path, content):
    path.write_bytes(content)
    return path


def test_what_is_no_file_is_refused(tmp_path):
    refused(tmp_path / "none.nc", "does not exist")
    (tmp_path / "folder.nc").mkdir()
    refused(tmp_path / "folder.nc", "directory")
    refused(_written(tmp_path / "words.nc", b"words"), "no NetCDF")
    refused(_written(tmp_path / "empty.nc", b""), "no NetCDF")
    with netCDF4.Dataset(str(tmp_path / "other.nc"), "w"):
        pass
    refused(tmp_path / "other.nc", "no restart file")


def test_a_state_that_is_not_finite_is_not_written(tmp_path):
    tiles, _, _ = case()
    tiles.set("soil_liquid", np.nan)
    with pytest.raises(ConcertoError, match="soil_liquid is not finite") as raised:
        write_restart(tmp_path / "a.nc", tiles, weights(tiles), "2004-01-01")
    assert raised.value.hint and not list(tmp_path.iterdir())


def test_places_and_weights_are_checked_before_writing(tmp_path):
    tiles, _, _ = case()
    for path, word in ((tmp_path / "no" / "a.nc", "does not exist"), (tmp_path / "a", "end in .nc")):
        with pytest.raises(ConcertoError, match=word):
            write_restart(path, tiles, weights(tiles), "2004-01-01")
    with pytest.raises(ConcertoError, match="2 weights for 60 tiles"):
        write_restart(tmp_path / "a.nc", tiles, [0.5, 0.5], "2004-01-01")
    assert not list(tmp_path.iterdir())


WRITE = """
import sys
sys.path.insert(0, {tests!r})
from concerto import Tiles
from concerto.errors import ConcertoError
from concerto.simulation.restart import write_restart
tiles = Tiles([1] * 400)
for name in ("canopy_temperature", "soil_temperature"):
    tiles.set(name, 280.0)
try:
    write_restart({path!r}, tiles, [0.0] * 400, "2004-01-01")
except ConcertoError as error:
    print(error.message, "HINT", error.hint)
"""


def _write_in_a_process(path, **keywords):
    code = WRITE.format(tests=os.path.dirname(__file__), path=str(path))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, **keywords)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_full_disk_keeps_the_old_file(tmp_path):
    """A limit of the file size stands for the full disk (EFBIG for ENOSPC)."""
    path = _written(tmp_path / "a.nc", b"of an earlier run")

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    words = _write_in_a_process(path, preexec_fn=limit)
    assert "a.nc could not be written" in words and "HINT is the disk full" in words
    assert [p.name for p in tmp_path.iterdir()] == ["a.nc"] and path.read_bytes() == b"of an earlier run"


def test_a_disk_that_is_really_full_keeps_the_old_file(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    try:
        command = ["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", str(disk)]
        mounted = subprocess.run(command, capture_output=True).returncode == 0
    except OSError:
        mounted = False
    if not mounted:
        pytest.skip("only root can mount a small disk")
    try:
        path = _written(disk / "a.nc", b"old")
        words = _write_in_a_process(path)
        assert "a.nc could not be written" in words and "HINT is the disk full" in words
        assert [p.name for p in disk.iterdir()] == ["a.nc"] and path.read_bytes() == b"old"
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_an_interrupt_leaves_no_half_file(tmp_path, monkeypatch):
    tiles, _, _ = case()

    def interrupted(part, *others):
        part.write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(restart, "_write", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_restart(tmp_path / "a.nc", tiles, weights(tiles), "2004-01-01")
    assert not list(tmp_path.iterdir())


# --- runs of a tower


@pytest.fixture(scope="module")
def tower(tmp_path_factory):
    """A tower file of a year of three-hourly weather, local time five hours behind UTC."""
    return site_file(tmp_path_factory.mktemp("tower") / "XX-Syn.nc", "temperate_deciduous", 10800)


MIXTURE = "broad_deciduous_temperate:0.7,grass_c3:0.2,needle_evergreen_boreal:0.1"


def test_a_site_run_cut_in_two_through_files_changes_no_bit(concerto, tower, tmp_path):
    spun = tmp_path / "spun.nc"
    code, out, err = concerto("spinup", tower, "--out", spun, "--pft", MIXTURE, "--set", "g1=3", "--json")
    assert (code, err) == (0, ""), err
    found = json.loads(out)
    assert found["converged"] and len(found["tiles"]) == 3
    assert {"residual", "worst_pool", "converged", "cycles", "seconds"} <= set(found["tiles"][0])
    whole, first, second, middle = (tmp_path / f"{name}.nc" for name in ("whole", "first", "second", "middle"))
    for words in (
        ("--restart", spun, "--out", whole, "--restart-out", tmp_path / "end.nc"),
        ("--restart", spun, "--out", first, "--end", "2003-06-30", "--restart-out", middle),
        ("--restart", middle, "--out", second, "--start", "2003-07-01", "--restart-out", tmp_path / "end2.nc"),
    ):
        code, _, err = concerto("site", tower, "--quiet", *words)
        assert (code, err) == (0, "")
    import xarray as xr

    with xr.open_dataset(whole) as a, xr.open_dataset(first) as b, xr.open_dataset(second) as c:
        assert b.sizes["time"] + c.sizes["time"] == a.sizes["time"]
        for name in ("gpp", "hfls", "rh", "cVeg", "cSoil", "tsl", "mrso"):
            assert np.array_equal(np.concatenate([b[name].values, c[name].values]), a[name].values), name
        settings = json.loads(c.attrs["configuration"])
        assert settings["restart"] == "middle.nc" and settings["parameters"] == {"g1": 3.0}
        assert "state from middle.nc" in json.loads(c.attrs["summary"])["spin-up"]
    one, two = read_restart(tmp_path / "end.nc"), read_restart(tmp_path / "end2.nc")
    assert one.time_utc == two.time_utc == np.datetime64("2004-01-01T05:00:00")
    for name in loader.variables("state"):
        assert np.array_equal(one.tiles.get(name), two.tiles.get(name)), name


def test_set_wins_over_the_restart_file(tower, tmp_path):
    run = continue_site(tower, _spun(tower, tmp_path), parameters={"g1": 2.0}, end="2003-01-05")
    assert np.all(run.tiles.parameter("g1") == 2.0)
    assert "from" in repr(run) and np.allclose(run.weights, [0.7, 0.2, 0.1])


def _spun(tower, folder, converged=True, hours=5):
    """A restart file without a spin-up: the start values, at an hour (UTC) of the first day."""
    import concerto as co

    run = co.open_site(tower, pft=MIXTURE, spinup="none")
    if hours % 24 != 5:
        run.tiles.set("day_steps", 3600.0)
    path = folder / "spun.nc"
    restart.write_site_restart(run, path, np.datetime64("2003-01-01") + np.timedelta64(hours, "h"), converged=converged)
    return path


def test_what_contradicts_the_restart_file_is_refused(concerto, tower, tmp_path):
    spun = _spun(tower, tmp_path)
    for words, named in (
        (["--option", "soil_carbon=rothc"], ("soil_carbon", "rothc", "cencn")),
        (["--pft", "grass_c3"], ("plant types", "grass_c3 20 %")),
        (["--restart-out", tmp_path / "o.nc"], ("o.nc", "read or written")),
        (["--restart-out", tmp_path / "none" / "s.nc"], ("does not exist",)),
    ):
        code, _, err = concerto("site", tower, "--restart", spun, "--out", tmp_path / "o.nc", *words)
        assert code == 2 and len(err.strip().splitlines()) == 2, err
        assert all(str(word) in err for word in named), err
    code, _, err = concerto("site", tower, "--restart", spun, "--out", spun)
    assert code == 2 and "read or written in the same command" in err


def test_a_state_within_a_day_goes_on_at_that_time_of_the_day_only(tower, tmp_path):
    with pytest.raises(ConcertoError, match="stops within a day") as raised:
        continue_site(tower, _spun(tower, tmp_path, hours=8))
    assert raised.value.hint
    run = continue_site(tower, _spun(tower, tmp_path, hours=5 + 24), end="2003-01-05")
    assert any("warning: the record begins at" in line for line in run.site.report)


def test_a_state_that_did_not_converge_is_said_so(tower, tmp_path):
    spun = _spun(tower, tmp_path, converged=np.array([True, False, True]))
    assert list(read_restart(spun).converged) == [True, False, True]
    with netCDF4.Dataset(str(spun)) as data:
        assert data.converged == 0
    run = continue_site(tower, spun, end="2003-01-05")
    assert any("did not converge" in line for line in run.site.report)


# --- spin-up alone


def test_a_tile_that_did_not_converge_ends_with_code_3_and_a_report(concerto, tower, tmp_path, monkeypatch):
    def half(run, bar, **limits):
        initialise(run.tiles, 285.0)
        run.tiles.set("carbon_leaf", 0.1)
        return {
            "state": "periodic", "residual": np.array([1e-9, 0.02, 1e-6]), "converged": np.array([True, False, True]),
            "worst_pool": np.array(["slow", "passive", "leaf"]), "cycles": np.array([3, 40, 3]),
            "seconds": np.array([0.1, 2.0, 0.1]),
            "reasons": ["tile 2: passive still grows 2 % a cycle after 40 passes"],
        }  # fmt: skip

    monkeypatch.setattr("concerto.simulation.spinup.spin_up", half)
    out = tmp_path / "state.nc"
    code, text, err = concerto("spinup", tower, "--out", out, "--pft", MIXTURE)
    assert code == 3 and len(err.strip().splitlines()) == 2, err
    for word in ("1 of 3", "tile 2", "grass_c3", "passive", "still grows 2 %", "40 passes", "converged = 0"):
        assert word in err, err
    assert "NO" in text and "2.0e-02" in text and "tile 2: passive still grows" in text
    state = read_restart(out)
    assert list(state.converged) == [True, False, True] and np.all(state.tiles.get("carbon_leaf") == 0.1)


def test_a_search_that_is_cut_short_is_no_equilibrium_and_everybody_says_so(concerto, tower, tmp_path):
    """One pass of the search instead of some ten: a real failure, from the spin-up to the run that builds on it."""
    state, out = tmp_path / "state.nc", tmp_path / "run.nc"
    words = ("--pft", "broad_deciduous_temperate", "--option", "nitrogen=cn", "--passes", "1")
    code, text, err = concerto("spinup", tower, "--out", state, *words)
    assert code == 3 and "1 of 1 tile(s) did not converge" in err and "after 1 passes" in err and "NO" in text
    code, text, _ = concerto("spinup", tower, "--out", state, *words, "--json")
    found = json.loads(text)
    assert code == 3 and not found["converged"] and not found["tiles"][0]["converged"] and found["reasons"]
    assert found["tiles"][0]["residual"] > 1e-5 and found["tiles"][0]["worst_pool"]
    code, text, err = concerto("site", tower, "--restart", state, "--end", "2003-01-05", "--out", out, "--json")
    summary = json.loads(text)
    assert (code, summary["converged"]) == (0, False) and "did not converge" in summary["warning"]
    code, text, _ = concerto("site", tower, "--restart", state, "--end", "2003-01-05", "--out", out)
    assert "warning" in text and "did not converge" in text


def test_a_site_run_on_an_unfinished_spin_up_warns(tower, tmp_path, monkeypatch):
    import concerto as co
    from concerto.simulation import spinup

    plain = spinup.spin_up
    monkeypatch.setattr(spinup, "spin_up", lambda run, bar: plain(run, bar, passes=1))
    run = co.open_site(tower)
    ds = run.run()
    assert run.summary["converged"] is False and "1 of 1 tile(s) did not converge" in run.summary["warning"]
    assert json.loads(ds.attrs["summary"])["converged"] is False
    assert not read_restart(restart.write_site_restart(run, tmp_path / "a.nc")).converged.any()


def test_a_converged_spin_up_prints_its_table(concerto, tower, tmp_path):
    code, text, err = concerto("spinup", tower, "--out", tmp_path / "s.nc")
    assert (code, err) == (0, "")
    for word in ("broad_deciduous_temperate", "worst pool", "cycles", "yes", "s.nc"):
        assert word in text, text
    assert read_restart(tmp_path / "s.nc").converged.all()
    code, text, err = concerto("spinup", tower, "--out", tmp_path / "s.nc", "--quiet")
    assert (code, text, err) == (0, "", "")


def test_mistakes_of_the_spin_up_are_one_sentence(concerto, tower, tmp_path):
    for words, named in (
        (["--out", tmp_path / "a"], ".nc"),
        (["--out", tower], "read or written"),
        (["--out", tmp_path / "a.nc", "--end", "2003-01-01"], "less than two days"),
        (["--out", tmp_path / "a.nc", "--set", "g1=99"], "bounds"),
    ):
        code, text, err = concerto("spinup", tower, *words)
        assert (code, text) == (2, "") and named in err and len(err.strip().splitlines()) <= 2, err
    assert not list(tmp_path.iterdir())
