"""A flux tower as domain and forcing of a run from YAML: the record, place and plants of `concerto site`."""

import json

import netCDF4
import numpy as np
import pytest
from synthetic import site_file

import concerto as co
from concerto.config import load
from concerto.domain.grid import make_cells
from concerto.errors import ConcertoError
from concerto.forcing import read_site
from concerto.forcing.gridded import open_forcing
from concerto.forcing.tower import whole_years
from concerto.simulation import plan
from concerto.simulation.run import Simulation, make_tiles

UMOL = 1e9 / 12.011  # umol of carbon in a kg
FLUXES = ["gpp", "hfls", "hfss", "carbon"]
YEAR = {"name": "year", "kind": "run", "years": [2003, 2003]}


@pytest.fixture(scope="module")
def tower(tmp_path_factory):
    """A forest in local time, five hours behind UTC, a year of hours."""
    return site_file(tmp_path_factory.mktemp("tower") / "XX-Syn_2003-2003.nc")


def configured(folder, files, phases=(YEAR,), tower=None, more=None, **sections):
    section = {"source": "tower", "files": str(files)} | ({"tower": tower} if tower else {}) | (more or {})
    default = {
        "domain": {"grid": "tower"}, "forcing": section, "phases": list(phases),
        "output": {"streams": [{"name": "fluxes", "frequency": "year", "variables": FLUXES}]},
    }  # fmt: skip
    path = folder / "tower.yaml"
    path.write_text(json.dumps(default | sections))
    return path


def source_of(files, **section):
    section = {"source": "tower", "files": str(files) if not isinstance(files, list) else files} | section
    return open_forcing(section, make_cells({"grid": "tower"}, ".", section))


def fault(function, *given, **more):
    with pytest.raises(ConcertoError) as found:
        function(*given, **more)
    return str(found.value)


def shifted(path, hours, start=0, stop=None, step=3600, **attributes):
    """The same record as a tower whose clock is `hours` from UTC, at the longitude where that is so."""
    from shutil import copyfile

    copyfile(path, path.with_suffix(".old"))
    with netCDF4.Dataset(path.with_suffix(".old")) as old, netCDF4.Dataset(path, "w") as new:
        new.setncatts({name: old.getncattr(name) for name in old.ncattrs()} | {"utc_offset_hours": hours} | attributes)
        new.createDimension("time", len(old["time"][start:stop]))
        for name, variable in old.variables.items():
            if name == "time_bnds":
                continue
            made = new.createVariable(name, "f8", variable.dimensions)
            made.setncatts({k: variable.getncattr(k) for k in variable.ncattrs() if k not in ("_FillValue", "bounds")})
            made[...] = variable[start:stop] if variable.dimensions else variable[...]
        new["longitude"][...] = 15.0 * hours
    return path


# --- the record -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("hours", [1.0, -7.0, 10.0, 9.5])
def test_every_hour_of_the_record_is_used_once_and_at_its_time(tmp_path, hours):
    path = shifted(site_file(tmp_path / "a.nc"), hours)
    site, source = read_site(path), source_of(path)
    assert source.native_seconds == (1800 if hours == 9.5 else 3600)  # the days of UTC cut an hour in halves
    assert (str(source.first_day), str(source.last_day)) == ("2003-01-01", "2003-12-31")
    read = source.read(np.arange(source.first_day, source.last_day + 1))
    halves = 3600 // source.native_seconds
    for name, values in read.items():
        ours, theirs = values[0, 1:-1], np.repeat(site.forcing[name], halves)
        assert np.array_equal(np.sort(ours), np.sort(theirs)), name  # nothing lost, nothing twice
        time = source.first_day.astype("datetime64[s]") + np.arange(ours.size) * np.timedelta64(3600 // halves, "s")
        _, a, b = np.intersect1d(time, site.time_start, return_indices=True)
        assert len(a) >= site.n_steps - 10  # but for the hours that UTC has on another day
        assert np.array_equal(ours[a], site.forcing[name][b])


def test_days_come_back_in_any_order_with_the_intervals_around_them(tower):
    source = source_of(tower)
    whole = source.read(np.arange(source.first_day, source.last_day + 1))["air_temperature"][0]
    days = np.array(["2003-02-28", "2003-02-28", "2003-03-01"], "datetime64[D]")  # as 29 February of 2004 is read
    part = source.read(days)["air_temperature"][0]
    at = 1 + 24 * 58
    assert np.array_equal(part, np.concatenate([whole[at - 1 : at + 24], whole[at : at + 49]]))
    assert "2003-01-01 to 2003-12-31, and 2004-01-01" in fault(source.read, ["2004-01-01"])


def test_the_climate_of_the_domain_is_that_of_the_record(tower):
    site, climate = read_site(tower), source_of(tower).climatology()
    assert climate["years"] == [2003, 2003]
    water = (site.forcing["rainfall"] + site.forcing["snowfall"]).sum() * 3600.0
    assert climate["precipitation"].sum() == pytest.approx(water, rel=1e-12)
    lengths = np.array([31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31])
    mean = site.forcing["air_temperature"].mean() - 273.15
    assert (climate["temperature"] @ lengths)[0] / 365.0 == pytest.approx(mean, rel=1e-9)


# --- place and plants -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("climate", ["temperate_deciduous", "cropland", "tundra"])
@pytest.mark.parametrize("rain", [True, False])
def test_the_tiles_are_those_of_the_site_command(tmp_path, climate, rain):
    path = site_file(tmp_path / "a.nc", climate=climate, precipitation=rain)
    site = co.open_site(path)
    run = Simulation(configured(tmp_path, path))
    run.domain = domain = run._whole_domain(save=False)
    tiles = make_tiles(domain, run.config)
    assert run.config.model.time_step == site.tiles.time_step == 3600  # that of the record
    order = np.argsort(site.tiles.pft)
    assert domain.tile_pft.tolist() == np.asarray(site.tiles.pft)[order].tolist()
    assert np.allclose(domain.tile_fraction, np.array(site.weights)[order], rtol=1e-14)
    assert domain.facts["name"].tolist() == ["XX-Syn"]
    assert (domain.latitude[0], domain.longitude[0], domain.elevation[0]) == (
        site.site.latitude, site.site.longitude, site.site.elevation)  # fmt: skip
    for name in co.tables.loader.parameters():
        if name != "stand_age":  # of a run from YAML: wood in equilibrium
            assert np.array_equal(tiles.parameter(name), site.tiles.parameter(name)[order]), name


def test_what_the_file_does_not_say_is_said_in_the_configuration(tmp_path, tower):
    path = tmp_path / "b.csv"
    site = read_site(tower)
    columns = {
        "TA_F": site.forcing["air_temperature"] - 273.15, "SW_IN_F": site.forcing["shortwave_down"],
        "VPD_F": 0.5 + 0.1 * np.arange(site.n_steps) % 0.4, "PA_F": site.forcing["pressure"] / 1e3,
        "P_F": (site.forcing["rainfall"] + site.forcing["snowfall"]) * 3600.0, "WS_F": site.forcing["wind_speed"],
    }  # fmt: skip
    stamps = [
        str(t)[:16].translate(str.maketrans("", "", "-T:"))
        for t in [*site.time_local, np.datetime64("2004-01-01T00:00")]
    ]
    rows = zip(stamps, stamps[1:], *columns.values(), strict=False)
    lines = [",".join(map(str, ("TIMESTAMP_START", "TIMESTAMP_END", *columns))), *(",".join(map(str, r)) for r in rows)]
    path.write_text("\n".join(lines) + "\n")
    place = {"latitude": site.latitude, "longitude": site.longitude, "elevation": 40.0, "igbp": "DBF", "name": "here"}
    config = configured(tmp_path, path, tower=place, more={"time_offset_hours": -5, "reference_height": 33.0})
    run = Simulation(config)
    domain = run._whole_domain(save=False)
    assert domain.facts["name"][0] == "here" and domain.elevation[0] == 40.0
    assert domain.facts["reference_height"][0] == 33.0
    words = fault(Simulation, configured(tmp_path, path))
    assert "latitude of the site" in words and "forcing.tower.latitude" in words
    del place["igbp"]
    without = Simulation(configured(tmp_path, path, tower=place))
    assert "igbp: ENF" in fault(without._whole_domain, save=False)
    grass = {"grid": "tower", "land_cover": {"kind": "uniform", "pft": "grass_c3:1"}}
    run = Simulation(configured(tmp_path, path, tower=place, domain=grass))
    assert run._whole_domain(save=False).tile_pft.tolist() == [13]


def test_several_towers_are_cells_of_one_run(tmp_path):
    a = site_file(tmp_path / "a.nc")
    b = site_file(tmp_path / "b.nc", climate="boreal_evergreen", step=1800)
    run = Simulation(configured(tmp_path, tmp_path / "*.nc"))
    domain = run._whole_domain(save=False)
    assert run.config.model.time_step == 1800 and domain.n_cell == 2
    source = open_forcing(run.config.forcing, domain.take(slice(1, 2)), ".")
    alone = source_of(b)
    day = np.array(["2003-07-01"], "datetime64[D]")
    assert all(np.array_equal(source.read(day)[name], alone.read(day)[name]) for name in alone.variables)
    both = source_of([str(a), str(b)])
    assert np.array_equal(both.subset(slice(1, 2)).read(day)["air_temperature"], alone.read(day)["air_temperature"])
    assert both.read(day)["air_temperature"].shape == (2, 50)
    one = Simulation(configured(tmp_path, a))
    assert (
        "but there are 2 files" in fault(Simulation, configured(tmp_path, tmp_path / "*.nc", tower={"igbp": "ENF"}))
        and one.config.model.time_step == 3600
    )


# --- years ------------------------------------------------------------------------------------------------------------


def test_phases_repeat_the_whole_years_of_the_record(tmp_path, tower):
    phases = [
        {"name": "rest", "kind": "spinup"},
        {"name": "century", "kind": "run", "years": [1950, 2050], "climate": "record"},
    ]
    run = Simulation(configured(tmp_path, tower, phases))
    assert [phase.climate.cycle for phase in run.config.phases] == [(2003, 2003)] * 2
    assert Simulation(configured(tmp_path, tower, model={"time_step": 10800})).config.model.time_step == 10800
    assert "3600 s" in fault(Simulation, configured(tmp_path, tower, model={"time_step": 2400}))


def test_incomplete_years_are_left_out_and_a_record_without_a_whole_one_is_refused(tmp_path):
    year = site_file(tmp_path / "a.nc")
    assert whole_years({"files": str(year)}) == (2003, 2003)
    lacks_hours = shifted(site_file(tmp_path / "b.nc"), 1, stop=-12)  # half a day at an end is that of the other end
    assert whole_years({"files": str(lacks_hours)}) == (2003, 2003)
    half = shifted(site_file(tmp_path / "c.nc"), 1, start=24 * 90)
    words = fault(whole_years, {"files": str(half)})
    assert "c.nc holds 2003-04-01 00:00 to 2004-01-01 00:00, which is no whole calendar year" in words
    words = fault(whole_years, {"files": str(year), "tower": {"years": [2003, 2004]}})
    assert "of the years 2003 to 2004 that forcing.tower.years asks for" in words
    assert "no file" in fault(whole_years, {"files": str(tmp_path / "none.nc")}).lower()
    later = Simulation(configured(tmp_path, year, [YEAR | {"years": [2010, 2010]}]))
    later.source = source_of(year)
    words = fault(later._climate_years, later.config.phases[0], np.array([2010]))
    assert "the climate of 2010 is wanted, the forcing has complete years from 2003 to 2003" in words


@pytest.mark.parametrize(
    ("words", "sections"),
    [
        ("a tower is both", {"domain": {"grid": "embedded", "resolution": 30}}),
        ("a tower is both", {"forcing": {"source": "embedded"}}),
        ("box is for grid", {"domain": {"grid": "tower", "box": [0, 40, 20, 60]}}),
        ("needs the key files", {"forcing": {"source": "tower"}}),
        ("a tower has all in one", {"forcing": {"source": "tower", "files": {"Tair": "a.nc"}}}),
        ("not an IGBP", {"forcing": {"source": "tower", "files": "a.nc", "tower": {"igbp": "ENFF"}}}),
        ("land use changes them", {
            "model": {"options": {"phenology": "prescribed"}},
            "land_use": {"source": "idealised", "idealised": {"kind": "deforest", "years": [2003, 2003]}}}),
    ],
)  # fmt: skip
def test_a_fault_of_the_configuration_is_one_sentence(tmp_path, words, sections):
    assert words in fault(load, configured(tmp_path, "a.nc", **sections))


def test_record_is_a_word_for_towers_alone(tmp_path):
    path = configured(tmp_path, "a.nc", [YEAR | {"climate": "record"}], domain={"grid": "embedded", "resolution": 30})
    path.write_text(path.read_text().replace('"source": "tower", "files": "a.nc"', '"source": "embedded"'))
    assert "record is for forcing.source: tower" in fault(load, path)


def test_leaf_area_of_the_tower_is_that_of_the_plants_where_it_is_asked_for(tmp_path):
    path = site_file(tmp_path / "a.nc", leaf_area=True, days=365)
    site = co.open_site(path)
    run = Simulation(configured(tmp_path, path, model={"options": {"phenology": "prescribed"}}))
    run.folder.mkdir()
    run._domain()
    run._tiles()
    made = run._make(
        np.array(["2003-07-10"], "datetime64[D]"), {2003: 2003}, run._air(run.config.phases[0], 2003, 2003)
    )
    column = co.tables.loader.variables("forcing")["prescribed_leaf_area"].column - 1
    at = np.flatnonzero(site.site.time_start == np.datetime64("2003-07-10T00:00"))[0]
    # a slow series is no other within an hour
    assert np.allclose(made[0, column], site.forcing[0, column, at : at + 24], rtol=1e-3)
    bare = Simulation(
        configured(tmp_path, site_file(tmp_path / "b.nc"), model={"options": {"phenology": "prescribed"}})
    )
    assert "needs leaf area" in fault(bare._domain)


# --- whole runs -------------------------------------------------------------------------------------------------------


def both(path, folder):
    """Means of GPP (umol m-2 s-1), latent and sensible heat (W m-2): site command, run from YAML of the same years."""
    site = co.open_site(path, options={"phenology": "gsi"})
    site.run()
    theirs = [site.summary["fluxes"][name]["model"] for name in ("GPP", "latent heat", "sensible heat")]
    first, last = whole_years({"files": str(path)})
    air = {"co2": float(site.site.forcing["co2"].mean())}
    config = configured(
        folder, path, [{"name": "rest", "kind": "spinup"} | air, YEAR | {"years": [first, last]} | air],
        model={"parameters": {"stand_age": float(site.tiles.parameter("stand_age")[0])}},
    )  # fmt: skip
    Simulation(config, [f"output.folder={folder}/out"]).run()
    ds = co.open_run(folder / "out", "fluxes")
    days = ds.time_bnds.diff("bnds").values.astype("timedelta64[h]").astype(float).ravel() if "time_bnds" in ds else 1.0
    ours = [float(np.average(ds[name].values.ravel(), weights=days)) for name in ("gpp", "hfls", "hfss")]
    return np.array(theirs), np.array(ours) * [UMOL, 1.0, 1.0]


def test_a_run_without_land_use_agrees_with_the_site_command(tmp_path, tower):
    theirs, ours = both(tower, tmp_path)
    # the same steps, plants and soil; different are the hour at which the year begins (UTC), and that deposition of
    # nitrogen and CO2 are those of years: less than the tenth of a per cent, and of a W m-2 of heat
    assert np.allclose(ours[:2], theirs[:2], rtol=1e-3) and abs(ours[2] - theirs[2]) < 0.1, (ours, theirs)


def test_a_run_of_a_real_tower_agrees_with_the_site_command(tmp_path, shared):
    theirs, ours = both(shared("data/sites/NL-Loo_1997-1997.nc"), tmp_path)
    assert np.allclose(ours[:2], theirs[:2], rtol=1e-3) and abs(ours[2] - theirs[2]) < 0.1, (ours, theirs)


CUT = {
    "land_use": {"source": "table", "files": {"table": "pasture.csv"}, "secondary": "single"},
    "model": {"time_step": 10800},
}


def test_a_forest_of_a_tower_that_is_cut_and_given_up_begins_to_grow_again(tmp_path, tower):
    (tmp_path / "pasture.csv").write_text(
        "year,from,to,fraction\n2000,primary,pasture,1.0\n2001,pasture,secondary,1.0\n"
    )
    phases = [
        {"name": "rest", "kind": "spinup", "rounds": 1},
        {"name": "change", "kind": "run", "years": [2000, 2003], "climate": "record"},
    ]
    run = Simulation(configured(tmp_path, tower, phases, **CUT))
    run.run()
    domain = run.domain
    forest = domain.tile_pft == 7
    kinds = run.land.layout.kind[run.land.layout.land_class]
    canopy = run.tiles.parameter("canopy_height")
    assert forest.sum() == 2 and (canopy[forest] == 20.0).all()  # that of the tower on primary and secondary land
    assert (canopy[kinds == 3] < 2.0).all()  # pasture
    ds, land = co.open_run(tmp_path / "out", "fluxes"), co.open_run(tmp_path / "out", "land_use")
    assert land.primary_area.values.ravel()[0] == 1.0 and land.pasture_area.values.ravel()[1] == 1.0
    assert land.secondary_area.values.ravel().tolist()[2:] == [1.0, 1.0]
    carbon = ds.cVeg.values.ravel()
    assert carbon[1] < 0.2 * carbon[0] and carbon[3] > 2.0 * carbon[2]
    assert land.cProduct.values.ravel()[1] > 0.05 * carbon[0] and "XX-Syn" in str(ds.name.values)


def test_check_tells_what_was_filled_and_what_it_would_take(tmp_path, tower, monkeypatch, capsys):
    monkeypatch.setattr(plan, "microseconds_per_step", lambda options: 1.0)
    facts = plan.check_config(configured(tmp_path, tower), (), ranks=(1,), as_json=True)
    capsys.readouterr()
    assert facts["cells"] == facts["tiles"] == 1 and "2003-01-01 to 2003-12-31" in facts["forcing"]
    notes = "\n".join(facts["notes"])
    assert "XX-Syn (DBF)" in notes and "CO2 is that of the configuration" in notes
