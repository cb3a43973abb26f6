"""What the run of one tower tells of its management: settings without effect, totals, dates, water."""

import re
from types import SimpleNamespace

import numpy as np
import pytest
from synthetic import site_file

import concerto as co
from concerto.errors import ConcertoError
from concerto.landuse.idealised import Idealised
from concerto.simulation.daily import open_daily

STEP = 3600
YEAR = 3.15576e7 * 1000.0  # kg m-2 s-1 -> g m-2 yr-1
DAY = 86400.0


@pytest.fixture(scope="module")
def sites(tmp_path_factory):
    """Tower files: a field, a meadow, a meadow with leaf area, a wood; and a field without measured rain."""
    folder = tmp_path_factory.mktemp("sites")
    made = {
        "field": site_file(folder / "XX-Cro.nc", "cropland", STEP),
        "meadow": site_file(folder / "XX-Gra.nc", "prairie", STEP),
        "leafy": site_file(folder / "XX-Lai.nc", "prairie", STEP, leaf_area=True),
        "wood": site_file(folder / "XX-Dbf.nc", "temperate_deciduous", STEP, days=20),
        "unmeasured": site_file(folder / "XX-Unk.nc", "cropland", STEP),
    }
    import netCDF4

    with netCDF4.Dataset(made["unmeasured"], "a") as data:  # flags: 5, prescribed
        for name in ("Rainf", "Snowf"):
            flag = data.createVariable(f"{name}_qc", "i1", ("time",), fill_value=-1)
            flag.setncatts({"flag_values": np.arange(6, dtype="i1"), "flag_meanings": "a b c d e f"})
            flag[:] = 5
    return made


def finished(path, spinup="none", **settings):
    """A run that is over, and its output."""
    run = co.open_site(path, spinup=spinup, **settings)
    return run, run.run()


def number(words, after="") -> float:
    """First number in words, behind a word."""
    return float(re.search(rf"{re.escape(after)}\D*?(-?\d+(\.\d+)?)", words)[1])


# --- water of fields whose rain nobody measured


def water_lines(run):
    return [line for line in run.site.report if "irrigation unknown" in line]


def test_irrigation_by_demand_replaces_water_from_nowhere(sites):
    path = sites["unmeasured"]
    options = {"crops": "calendar", "irrigation": "demand"}
    plain = co.open_site(path, spinup="none")
    assert (plain.tiles.parameter("outside_water") == 1.0).all() and "given the water" in water_lines(plain)[0]
    run, ds = finished(path, options=options)
    assert (run.tiles.parameter("outside_water") == 0.0).all()
    assert len(water_lines(run)) == 1 and "are irrigated" in water_lines(run)[0]
    assert "given the water" not in " ".join(run.summary["input"])
    given = float(ds.irrigation.mean()) * YEAR / 1000.0  # mm
    assert given > 0.0
    assert number(run.summary["management"]["irrigation"]) == round(given)


def test_water_from_outside_may_still_be_chosen(sites):
    run = co.open_site(
        sites["unmeasured"], spinup="none", options={"irrigation": "demand"}, parameters={"outside_water": 1}
    )
    run.run()
    assert "given the water" in water_lines(run)[0]
    assert any("nothing is irrigated" in line for line in run.summary["notes"])


def test_the_line_on_water_follows_what_is_set(sites):
    run = co.open_site(sites["unmeasured"], spinup="none", parameters={"outside_water": 0})
    assert len(water_lines(run)) == 1 and "rain of the file" in water_lines(run)[0]
    run.tiles.set_parameter("outside_water", 1.0)
    run.run()
    assert len(water_lines(run)) == 1 and "given the water" in water_lines(run)[0]


# --- settings that cannot act


@pytest.mark.parametrize(
    "site, settings, word",
    [
        ("field", {"parameters": {"fertiliser": 0.01}}, "nitrogen is c_only"),
        ("field", {"parameters": {"residue_left": 0.2}}, "crops is grass"),
        ("field", {"parameters": {"crop_harvest_index": 0.2}}, "crops is grass"),
        ("field", {"parameters": {"irrigated": 0.5}}, "irrigation is off"),
        ("meadow", {"parameters": {"livestock_density": 1e-4}}, "grazing is off"),
        ("meadow", {"parameters": {"livestock_density": 1e-4}, "options": {"grazing": "mowing"}}, "grazing is mowing"),
        ("meadow", {"parameters": {"mowing_leaf_area": 0.8}}, "grazing is off"),
        ("meadow", {"parameters": {"residue_left": 0.2}, "options": {"crops": "calendar"}}, "no crops here"),
        ("wood", {"parameters": {"livestock_density": 1e-4}, "options": {"grazing": "livestock"}}, "no herbs here"),
    ],
)
def test_a_parameter_that_nothing_reads_is_refused(sites, site, settings, word):
    with pytest.raises(ConcertoError) as caught:
        co.open_site(sites[site], spinup="none", **settings)
    assert word in caught.value.message and next(iter(settings["parameters"])) in caught.value.message
    assert caught.value.hint


def test_a_value_that_is_that_of_the_table_anyway_may_be_given(sites):
    co.open_site(sites["field"], spinup="none", parameters={"fertiliser": 0.0, "residue_left": 0.7})


@pytest.mark.parametrize(
    "site, settings, word",
    [
        ("wood", {"options": {"crops": "calendar"}}, "no crop is here"),
        ("wood", {"options": {"grazing": "livestock"}}, "no herbs are here"),
        ("field", {"pft": "crop_c3", "options": {"grazing": "mowing"}}, "mowing_leaf_area of crop_c3 is 0"),
        ("wood", {"options": {"irrigation": "demand"}}, "irrigated of"),
    ],
)
def test_an_option_that_finds_nothing_is_told(sites, site, settings, word):
    run, _ = finished(sites[site], **settings)
    assert any(word in line for line in run.summary["notes"]), run.summary.get("notes")


@pytest.mark.parametrize("grazing", ["livestock", "mowing"])
def test_given_leaf_area_hides_what_is_eaten_and_this_is_said(sites, grazing):
    plain, before = finished(sites["leafy"])
    run, after = finished(sites["leafy"], options={"grazing": grazing})
    assert float(abs(after.lai - before.lai).max()) == 0.0  # the reason for the note
    assert any("--option phenology=gsi" in line for line in run.summary["notes"])
    assert not {"notes", "management", "harvest"} & set(plain.summary)
    free, _ = finished(sites["leafy"], options={"grazing": grazing, "phenology": "gsi"})
    assert "notes" not in free.summary


# --- totals


def test_a_field_tells_its_harvest_and_its_days(sites):
    run, ds = finished(
        sites["field"], "auto", pft="crop_c3", options={"crops": "calendar", "nitrogen": "cn"},
        parameters={"fertiliser": 0.012},
    )  # fmt: skip
    words, done = run.summary["harvest"], run.summary["management"]
    harvest, residue = (float(ds[name].mean()) * YEAR for name in ("fHarvest", "residue_carbon"))
    # each is rounded to a gram
    assert number(words) == pytest.approx(harvest, abs=0.51)
    assert number(words, "residue") == pytest.approx(residue, abs=0.51)
    assert number(words, "seed") == pytest.approx(harvest - residue, abs=0.51)
    assert number(words, "net uptake with it") == pytest.approx(float(ds.nbp.mean()) * YEAR, abs=0.51)
    assert number(done["fertiliser"]) == pytest.approx(float(ds.fNfert.mean()) * YEAR, abs=0.0051)
    assert number(done["N2O"]) == pytest.approx(float(ds.fN2O.mean()) * YEAR, abs=0.00051)
    sown, cut = (np.datetime64(re.search(r"\d{4}-\d\d-\d\d", done[name])[0]) for name in ("sown", "harvested"))
    assert np.timedelta64(60, "D") < cut - sown < np.timedelta64(200, "D") and "UTC" in done["sown"]
    # the rate stands from the last step of the UTC day of the cut through the next; the axis is local
    offset = np.timedelta64(int(3600 * run.site.utc_offset_hours), "s")
    utc = (ds.time.values - offset).astype("datetime64[D]")
    assert np.unique(utc[ds.residue_carbon.values > 0.0]).tolist() == [cut.tolist(), (cut + 1).tolist()]


def test_a_season_without_sowing_is_told(sites):
    run, _ = finished(sites["field"], pft="crop_c3", options={"crops": "calendar"}, end="2003-01-20")
    assert run.summary["management"]["sown"] == "never in this record"


def test_a_meadow_tells_how_often_it_was_mown(sites):
    run, ds = finished(
        sites["meadow"], "auto", pft="grass_c3", options={"grazing": "mowing"}, parameters={"mowing_leaf_area": 0.9}
    )
    # every cut leaves through one day, and a cut is 25 days after the last
    days = int(round(float((ds.fHarvest > 0.0).sum()) * STEP / DAY))
    assert days > 0 and number(run.summary["management"]["mown"]) == days
    assert number(run.summary["harvest"], "hay") == number(run.summary["harvest"])


def test_a_meadow_that_was_never_high_enough_tells_why(sites):
    run, _ = finished(
        sites["meadow"], pft="grass_c3", options={"grazing": "mowing"}, parameters={"mowing_leaf_area": 11.0}
    )
    words = run.summary["management"]["mown"]
    assert words.startswith("0 times") and "mowing_leaf_area is 11" in words
    assert 0.0 < number(words, "leaf area of") < 11.0 and number(run.summary["harvest"]) == 0.0


def test_a_pasture_tells_what_was_eaten(sites):
    run, ds = finished(sites["meadow"], "auto", options={"grazing": "livestock"})
    words = run.summary["management"]["livestock"]
    assert number(words, "eaten") == pytest.approx(float(ds.grazing_carbon.mean()) * YEAR, abs=0.51)
    assert number(words, "to the air") == pytest.approx(float(ds.fGrazing.mean()) * YEAR, abs=0.51)
    assert number(words, "eaten") > number(words, "to the air") > number(words, "methane") > 0.0
    assert "livestock products" in run.summary["harvest"]


def test_carbon_of_manure_is_told_and_written(sites):
    run, ds = finished(sites["meadow"], parameters={"manure": 0.01})
    # 14.5 kg of carbon with each kg of nitrogen, a share each day
    assert number(run.summary["management"]["manure"]) == pytest.approx(145.0, rel=0.02)
    assert "manure_carbon" in ds


def test_daily_steps_tell_their_harvest(sites):
    run = open_daily(sites["field"], spinup="none", options={"crops": "calendar"})
    ds = run.run()
    assert number(run.summary["harvest"]) == pytest.approx(float(ds.fHarvest.mean()) * YEAR, abs=0.51)
    assert "2003-" in run.summary["management"]["harvested"]
    # nee in grams of carbon, as the other fluxes
    fluxes = {name: number(words) for name, words in run.summary["mean fluxes"].items()}
    assert fluxes["nee"] == pytest.approx(fluxes["rh"] - fluxes["npp"], abs=2.0)  # three numbers rounded to a gram
    plain = open_daily(sites["meadow"], spinup="none")
    plain.run()
    assert not {"harvest", "management", "notes"} & set(plain.summary)


# --- the state that a field starts from


def test_a_field_without_spin_up_is_bare_until_it_is_sown(sites):
    run, ds = finished(sites["field"], pft="crop_c3", options={"crops": "calendar", "nitrogen": "cn"})
    sown = np.datetime64(re.search(r"\d{4}-\d\d-\d\d", run.summary["management"]["sown"])[0])
    before = ds.sel(time=slice(None, sown - 1))
    assert before.sizes["time"] > 0 and float(before.lai.max()) == 0.0 and float(before.gpp.max()) == 0.0
    assert float(ds.lai.max()) > 1.0 and "bare" in run.summary["spin-up"]
    # carbon and nitrogen are there, all of it seed
    fresh = co.open_site(
        sites["field"], spinup="none", pft="crop_c3", options={"crops": "calendar", "nitrogen": "cn"}
    ).tiles
    assert fresh.get("carbon_seed")[0] == fresh.parameter("crop_sowing_carbon")[0]
    ratio = fresh.get("carbon_seed")[0] / fresh.get("nitrogen_plant")[0].sum()
    assert ratio == pytest.approx(fresh.parameter("seed_cn")[0], rel=1e-12)


# --- cuts of a rule that the run does not see


@pytest.mark.parametrize("span, silent", [((2000, 2005), False), ((1985, 1995), True), ((1990, 1991), False)])
def test_a_rule_whose_cuts_lie_before_the_run_says_so(span, silent):
    rule = {"kind": "cut_and_regrow", "years": [1980, 1990], "fraction": 0.5}
    series = Idealised({"idealised": rule}, SimpleNamespace(n_cell=2))
    assert (series.idle(*span) == []) is silent
    assert silent or "no cut" in series.idle(*span)[0]
    growth = Idealised({"idealised": rule | {"kind": "deforest"}}, SimpleNamespace(n_cell=2))
    assert growth.idle(*span) == []
