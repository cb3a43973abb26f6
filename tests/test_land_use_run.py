"""Land use within a gridded run: nothing is lost, the same bits however it is cut, faults in one sentence."""

import csv
import json

import netCDF4
import numpy as np
import pytest
from land_use_files import history, write_luh
from short_run import different, mpirun, results, shorten, simulate, write_config

from concerto.errors import ConcertoError
from concerto.landuse.accounting import eluc_factorial
from concerto.landuse.host import LandUseHost
from concerto.simulation import run

FLOAT32 = 2.0**-24  # largest relative rounding of a value in the files
TWO = {"grid": "points", "points": [{"latitude": 50.0, "longitude": 10.0}, {"latitude": 2, "longitude": 24}]}
PLACES = ((46.3, -0.3), (47.2, 0.2), (47.2, 1.4))
OF_LUH = {"grid": "points", "points": [{"latitude": north, "longitude": east} for north, east in PLACES]}
DEFOREST = {"kind": "deforest", "years": [2000, 2002], "fraction": 0.4, "from": "primary", "to": "pasture"}
SHIFTING = {"kind": "shifting", "years": [2000, 2004], "fraction": 0.02, "from": "secondary", "to": "crop"}
STOCKS = [{"name": "stocks", "frequency": "year", "variables": ["cVeg", "cLitter", "cSoil"], "statistic": "last"},
          {"name": "fluxes", "frequency": "year", "variables": ["nbp"]}]  # fmt: skip
WHOLE_YEARS = run._start  # of phases, before the tests shorten them
POOLS = ("cVeg", "cLitter", "cSoil", "cProduct")


@pytest.fixture(autouse=True)
def short(monkeypatch):
    """The first phase begins a few days before the end of its first year."""
    shorten(monkeypatch.setattr)


def config_of(path, years=(2000, 2002), rule=None, spinup=False, land_use=None, phase=None, **sections):
    """A run under the embedded weather of one year."""
    land = {"source": "idealised", "idealised": rule or DEFOREST} | (land_use or {})
    phases = [{"name": "change", "kind": "run", "years": list(years), "climate": {"cycle": [2000, 2000]}}]
    phases[0] |= phase or {}
    if spinup:
        phases.insert(0, {"name": "equilibrium", "kind": "spinup", "climate": {"cycle": [2000, 2000]}, "rounds": 1})
    default = {"domain": TWO, "land_use": land, "phases": phases, "output": {"streams": STOCKS}}
    return write_config(path, **default | sections)


def luh_config(folder, **sections):
    """A run of three places and 1850 to 1852 with all states and transitions of LUH2, harvest included."""
    files = write_luh(folder, history())
    land = {"source": "luh2", "files": files, "idealised": None, "products": "linear"}
    return config_of(folder / "luh.yaml", (1850, 1852), domain=OF_LUH, land_use=land, **sections)


def totals(folder):
    """Columns of totals.csv by name without unit."""
    with open(folder / "totals.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    return {name.split(" ")[0]: np.array([float(row[name]) for row in rows]) for name in rows[0]}


def values(folder, stream, year, name):
    """Values of one record, float64."""
    with netCDF4.Dataset(folder / f"{stream}_{year}.nc") as file:
        return np.ma.filled(file[name][0].astype(float), np.nan)


# --- nothing is lost


@pytest.fixture(scope="module")
def luh(tmp_path_factory):
    """Configuration with files of LUH2, and the folder of its run."""
    folder = tmp_path_factory.mktemp("luh")
    streams = [*STOCKS, {"name": "tile", "frequency": "month", "variables": ["gpp"], "per": "tile"},
               {"name": "pft", "frequency": "year", "variables": ["cVeg"], "per": "pft", "statistic": "last"},
               {"name": "lut", "frequency": "year", "variables": ["cVeg", "tsl"], "per": "class", "statistic": "last"},
               ]  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        shorten(patch.setattr)
        config = luh_config(folder, output={"streams": streams})
        simulate(config, folder / "out")
    return config, folder / "out"


def test_carbon_of_each_cell_and_year_changes_by_uptake_less_emission(luh):
    _, folder = luh
    moved = 0.0
    for year in (1851, 1852):
        seconds = 86400.0 * (366 if year == 1852 else 365)
        stocks = np.array([[values(folder, "land_use" if name == "cProduct" else "stocks", y, name) for name in POOLS]
                           for y in (year - 1, year)])  # fmt: skip
        nbp, emission = values(folder, "fluxes", year, "nbp"), values(folder, "land_use", year, "fLuc")
        terms = np.abs(stocks).sum(axis=(0, 1)) + (np.abs(nbp) + np.abs(emission)) * seconds
        missing = stocks[1].sum(axis=0) - stocks[0].sum(axis=0) - (nbp - emission) * seconds
        assert (np.abs(missing) <= FLOAT32 * terms).all()  # ten values, each rounded once
        assert (emission * seconds > 100.0 * FLOAT32 * terms).all()  # an emission that were left out would be seen
        moved += values(folder, "land_use", year, "moved_area")
    assert (moved > 0.02).all()
    found = totals(folder)
    stock = sum(found[name] for name in POOLS)
    # sums of 3e3 steps and of products of float64 numbers of the size of the stocks
    assert np.abs(np.diff(stock) - found["net_uptake"][1:]).max() <= 1e-12 * stock.max()
    assert found["net_uptake"] == pytest.approx(found["nbp"] - found["fLuc"], rel=1e-15)


def test_parts_of_the_emission_and_the_kinds_of_land_have_their_sums(luh):
    _, folder = luh
    fluxes = ["fLuc", "seed_carbon", "fProductDecomp"]
    fluxes += ["fDeforestToAtmos", "fDeforestToProduct", "fHarvestToProduct"]
    get = {name: values(folder, "land_use", 1852, name) for name in fluxes}
    parts = get["fDeforestToAtmos"] + get["fProductDecomp"] - get["seed_carbon"]
    assert get["fLuc"] == pytest.approx(parts, rel=8 * FLOAT32)
    kinds = ("primary", "secondary", "pasture", "rangeland", "crop", "urban")
    area = sum(values(folder, "land_use", 1852, f"{kind}_area") for kind in kinds)
    assert area == pytest.approx(1.0, abs=6 * FLOAT32)
    change = values(folder, "land_use", 1852, "cProduct") - values(folder, "land_use", 1851, "cProduct")
    flux = get["fDeforestToProduct"] + get["fHarvestToProduct"] - get["fProductDecomp"]
    assert change == pytest.approx(flux * 366 * 86400, abs=1e-6)  # kg m-2; the products are some hundreds of g m-2
    assert (get["fHarvestToProduct"] > 0.0).any() and (get["fDeforestToProduct"] > 0.0).all()


def test_tiles_and_types_without_area_have_no_value(luh):
    _, folder = luh
    with netCDF4.Dataset(folder / "tile_1850.nc") as first, netCDF4.Dataset(folder / "tile_1852.nc") as last:
        area, early, late = first["fraction"][:], first["gpp"][:], last["gpp"][:]
        assert set(np.asarray(first["land_class"][:])) == set(range(12))
        assert (np.ma.getmaskarray(early) == (np.asarray(area) <= 0.0)).all()
        assert np.ma.getmaskarray(late).sum() < np.ma.getmaskarray(early)[0].sum() * 12  # secondary land has got older
    of_cells = values(folder, "stocks", 1852, "cVeg")
    assert np.isfinite(of_cells).all()


def shares_hold(folder, moved):
    """Shares of types and land-use tiles sum to 1, with them values to those of the cell, in each record."""
    from concerto.simulation.streams import open_run

    stocks = open_run(folder, "stocks")
    for stream, axis, name in (("pft", "pft", "pft_share"), ("lut", "landuse", "class_share")):
        with open_run(folder, stream) as ds:
            share = ds[name].astype(float)
            assert share.dims == ("time", axis, "cell") and "time" in ds[name].dims and name in ds.coords
            assert np.abs(share.sum(axis) - 1.0).max() <= 17 * FLOAT32
            assert (np.isnan(ds.cVeg) == (share == 0.0)).all()
            whole = (share * ds.cVeg.astype(float)).sum(axis)
            # products of rounded numbers, none negative: each errs by two roundings, the whole by another
            np.testing.assert_allclose(whole, stocks.cVeg, rtol=4 * FLOAT32)
            change = np.abs(share[-1] - share[0]).max()
            assert change > 0.01 if moved else change == 0.0
    return stocks


def test_shares_of_types_and_land_use_tiles_are_those_of_each_record(luh):
    from concerto.simulation.streams import open_run

    _, folder = luh
    shares_hold(folder, True)
    with open_run(folder, "lut") as ds:
        assert ds.tsl.dims == ("time", "landuse", "depth", "cell")
        assert ds.landuse.attrs["flag_meanings"] == "psl pst crp urb" and str(ds.landuse_name.values[2]) == "crops"
        for k, kinds in enumerate((("primary", "secondary"), ("pasture", "rangeland"), ("crop",), ("urban",))):
            for r, year in enumerate((1850, 1851, 1852)):
                area = sum(values(folder, "land_use", year, f"{kind}_area") for kind in kinds)
                np.testing.assert_allclose(ds.class_share[r, k], area, rtol=3 * FLOAT32, atol=3 * FLOAT32)
    with open_run(folder, "pft") as ds:  # that of the start
        np.testing.assert_allclose(ds.pft_fraction, ds.pft_share[0], rtol=2 * FLOAT32)
    with netCDF4.Dataset(folder / "tile_1850.nc") as file:
        assert file["gpp"].coordinates == "latitude longitude cell pft land_class tile_share"
        assert "cell_measures" not in file["gpp"].ncattrs() and "tile_share" not in file["tile_share"].coordinates
    with netCDF4.Dataset(folder / "pft_1850.nc") as file:
        assert file["cVeg"].coordinates == "latitude longitude pft_name pft_share"


def test_land_use_tiles_need_land_use(tmp_path, concerto):
    config = write_config(tmp_path / "c.yaml", output={"streams": [STOCKS[0] | {"per": "class"}]})
    code, _, words = concerto("check", config)
    assert code == 2 and words.count("\n") <= 2
    assert "per: class needs classes of land, and there is no land use" in words


def test_nitrogen_is_not_lost_either(tmp_path, monkeypatch):
    found = []
    check = LandUseHost._check
    monkeypatch.setattr(LandUseHost, "_check", lambda self, result: (found.append(result), check(self, result)))
    config = config_of(tmp_path / "c.yaml", (2000, 2001), model={"time_step": 10800, "options": {"nitrogen": "cn"}})
    simulate(config, tmp_path / "out")
    (year,) = found
    assert (year.to_products["nitrogen"].sum(axis=1) > 0.0).all()
    assert set(year.residual) >= {"carbon", "nitrogen", "water", "energy"}
    assert np.abs(year.residual["nitrogen"]).max() < 1e-12  # relative; sums of a few tens of products


# --- the same bits


def test_land_use_that_is_held_is_as_if_it_changed_after_the_end(tmp_path):
    late = DEFOREST | {"years": [2005, 2006]}
    simulate(config_of(tmp_path / "late.yaml", (2000, 2001), late), tmp_path / "late")
    simulate(config_of(tmp_path / "held.yaml", (2000, 2001), phase={"land_use": {"fixed": 2000}}), tmp_path / "held")
    years = {"years": [2000, 2003]}  # tiles of pasture wait
    held = config_of(tmp_path / "wait.yaml", (2000, 2001), phase={"land_use": {"fixed": 2000}}, land_use=years)
    simulate(held, tmp_path / "wait")
    for name in ("held", "wait"):
        assert (tmp_path / name / "totals.csv").read_bytes() == (tmp_path / "late/totals.csv").read_bytes()
        for stream, variable in (("stocks", "cSoil"), ("fluxes", "nbp"), ("land_use", "fLuc")):
            expected = values(tmp_path / "late", stream, 2001, variable)
            assert np.array_equal(values(tmp_path / name, stream, 2001, variable), expected)
    counts = [json.loads((tmp_path / name / "run.json").read_text())["tiles"] for name in ("late", "held", "wait")]
    assert counts[0] == counts[1] < counts[2]


@pytest.mark.parametrize("merge_below", [0.01, 0.0])
def test_before_the_first_change_land_that_is_held_grows_older_like_any_other(tmp_path, merge_below):
    """S2 and S3 from one state: the emission of land use is 0 before land changes, to the bit."""
    start = {"initial": {"primary": 0.5, "secondary": 0.5}, "merge_below": merge_below, "years": [2000, 2007]}
    late = DEFOREST | {"years": [2006, 2007]}
    simulate(config_of(tmp_path / "a.yaml", (2000, 2001), late, land_use=start), tmp_path / "s3")
    held = config_of(tmp_path / "b.yaml", (2000, 2001), late, land_use=start, phase={"land_use": {"fixed": 2000}})
    simulate(held, tmp_path / "s2")
    assert (tmp_path / "s2/totals.csv").read_bytes() == (tmp_path / "s3/totals.csv").read_bytes()
    ages = [values(tmp_path / "s2", "land_use", year, "secondary_age") for year in (2000, 2001)]
    assert (ages[1] > ages[0]).all()
    assert np.array_equal(ages[1], values(tmp_path / "s3", "land_use", 2001, "secondary_age"))
    # a run that goes on from the state of a year is a year later, too
    on = {"initial_state": "s3/state_change.nc", "rule": late, "land_use": start, "phases": [
        {"name": "more", "kind": "run", "years": [2002, 2002], "climate": {"cycle": [2000, 2000]}}]}  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run, "_start", WHOLE_YEARS)
        simulate(config_of(tmp_path / "c.yaml", **on), tmp_path / "s3_on")
        on["phases"][0]["land_use"] = {"fixed": 2001}
        simulate(config_of(tmp_path / "d.yaml", **on), tmp_path / "s2_on")
    assert (tmp_path / "s2_on/totals.csv").read_bytes() == (tmp_path / "s3_on/totals.csv").read_bytes()


def test_a_state_without_ages_goes_on_with_those_of_its_classes_and_says_so(tmp_path, monkeypatch):
    start = {"initial": {"primary": 0.5, "secondary": 0.5}, "merge_below": 0.0, "years": [2000, 2007]}
    late = DEFOREST | {"years": [2006, 2007]}
    simulate(config_of(tmp_path / "a.yaml", (2000, 2002), late, land_use=start), tmp_path / "mean_field")
    before = values(tmp_path / "mean_field", "land_use", 2002, "secondary_age")
    monkeypatch.setattr(run, "_start", WHOLE_YEARS)
    phases = [{"name": "more", "kind": "run", "years": [2003, 2003], "climate": {"cycle": [2000, 2000]}}]
    config = config_of(tmp_path / "b.yaml", rule=late, land_use=start | {"merge_below": 0.01}, phases=phases,
                       initial_state="mean_field/state_change.nc")  # fmt: skip
    summary = simulate(config, tmp_path / "cohorts")
    assert sum("has no ages" in note for note in summary["notes"]) == 1
    after = values(tmp_path / "cohorts", "land_use", 2003, "secondary_age")
    assert after == pytest.approx(before + 1.0, rel=1e-6)  # float32 in the files


@pytest.mark.release
def test_ranks_and_a_stop_within_a_year_of_change_do_not_change_a_bit(luh, tmp_path):
    config, reference = luh
    settings = ["parallel.bundle=1", "parallel.nproma=16", "parallel.chunk_days=90"]
    done = mpirun(2, config, tmp_path / "cut", "term", 1, 3, settings=settings)
    assert done.returncode == run.STOPPED and "before 1851-" in done.stderr
    done = mpirun(4, config, tmp_path / "cut", settings=settings)  # the fourth has no cells
    assert (done.returncode, done.stderr) == (0, "")
    assert different(tmp_path / "cut", results(reference)) == []


def stopped_within(day, monkeypatch):
    """Ask the run to stop after the call of the core that has this day."""
    advance = run.Simulation._advance

    def and_stop(self, accumulator, forcing, days):
        if np.datetime64(day) in days:
            self._asked = run.STOP
        return advance(self, accumulator, forcing, days)

    monkeypatch.setattr(run.Simulation, "_advance", and_stop)


def test_a_run_that_is_taken_up_again_knows_the_ages_of_its_land(tmp_path, monkeypatch):
    start = {"initial": {"primary": 0.3, "secondary": 0.4, "crop": 0.3}}
    config = config_of(tmp_path / "c.yaml", (2000, 2002), SHIFTING, land_use=start)
    simulate(config, tmp_path / "whole")
    with monkeypatch.context() as patch:
        stopped_within("2001-06-01", patch)
        with pytest.raises(run.Stopped, match="before 2001-"):
            simulate(config, tmp_path / "cut", "parallel.chunk_days=50")
    simulate(config, tmp_path / "cut")
    assert different(tmp_path / "cut", results(tmp_path / "whole")) == []
    ages = [values(tmp_path / "cut", "land_use", year, "secondary_age") for year in (2000, 2001, 2002)]
    # of the mean age of 15 years; 0.02 of 0.4 begins anew each year, and shifting cultivation takes the same from older
    assert ages[1] == pytest.approx(16.0 * 0.95, rel=1e-6) and (ages[2] > ages[1] - 0.1).all()


def test_a_zarr_store_of_two_phases_is_the_same_whether_cut_or_not(tmp_path, monkeypatch):
    pytest.importorskip("zarr", reason="needs zarr (pip install 'concerto[zarr]')")
    phases = [{"name": name, "kind": "run", "years": years, "climate": {"cycle": [2000, 2000]}}
              for name, years in (("one", [2001, 2001]), ("two", [2002, 2002]))]  # fmt: skip
    rule = DEFOREST | {"years": [2001, 2002]}
    typed = [{"name": name, "frequency": "year", "variables": ["cVeg"], "statistic": "last", "per": per}
             for name, per in (("pft", "pft"), ("lut", "class"))]  # fmt: skip
    output = {"streams": [*STOCKS, *typed], "format": "zarr"}
    config = config_of(tmp_path / "c.yaml", rule=rule, phases=phases, output=output)
    monkeypatch.setattr(run, "_start", WHOLE_YEARS)
    simulate(config, tmp_path / "whole")
    with monkeypatch.context() as patch:
        stopped_within("2002-06-01", patch)
        with pytest.raises(run.Stopped, match="before 2002-0"):
            simulate(config, tmp_path / "cut", "parallel.chunk_days=50")
    simulate(config, tmp_path / "cut")
    assert different(tmp_path / "cut", results(tmp_path / "whole")) == []
    assert (tmp_path / "whole/land_use.zarr/fLuc").is_dir()
    shares_hold(tmp_path / "whole", True)
    assert totals(tmp_path / "cut")["fLuc"][1] > 0.0


# --- phases, states, scenarios


def test_runs_that_share_a_spin_up_differ_by_the_factorial_emission(tmp_path, monkeypatch):
    more = {"land_use": {"years": [2000, 2003]}, "spinup": True}
    first = config_of(tmp_path / "first.yaml", (2000, 2001), **more)
    simulate(first, tmp_path / "first", until="equilibrium")
    start = {"initial_state": "first/state_equilibrium.nc", "land_use": more["land_use"]}
    s2 = config_of(tmp_path / "s2.yaml", (2000, 2001), phase={"land_use": {"fixed": 2000}}, **start)
    simulate(s2, tmp_path / "s2")
    simulate(config_of(tmp_path / "s3.yaml", (2000, 2001), **start), tmp_path / "s3")
    simulate(first, tmp_path / "first")  # goes on
    assert (tmp_path / "first/totals.csv").read_bytes() == (tmp_path / "s3/totals.csv").read_bytes()
    held, change = totals(tmp_path / "s2"), totals(tmp_path / "s3")
    emission = eluc_factorial(held["net_uptake"], change["net_uptake"])
    assert emission[0] == 0.0 and (emission[1:] > 0.0).all()
    assert held["fLuc"].tolist() == [0.0, 0.0]
    # what the forests have lost, since the start, is what has gone beyond the sink of S2
    stock = [sum(found[name] for name in POOLS) for found in (held, change)]
    assert (stock[0] - stock[1])[-1] == pytest.approx(emission.sum(), rel=1e-9)  # differences of stocks 1e3 as large

    from concerto.evaluation import land_use as lu

    # land that changes hands on the first day: the table has the first year, and all that totals.csv has
    later = config_of(tmp_path / "s2b.yaml", (2001, 2002), phase={"land_use": {"fixed": 2000}}, **start)
    simulate(later, tmp_path / "s2b")
    simulate(config_of(tmp_path / "s3b.yaml", (2001, 2002), **start), tmp_path / "s3b")
    s2, s3 = (lu.read_land_use(tmp_path / name) for name in ("s2b", "s3b"))
    given = lu.budgets(s3, s2)["runs"].net.sel(region="all").sum("component")
    emission = totals(tmp_path / "s2b")["net_uptake"] - totals(tmp_path / "s3b")["net_uptake"]
    assert given.year.values.tolist() == [2001, 2002] and emission[0] > 0.1 * emission[1] > 0.0
    # gC m-2 of points; in totals.csv PgC. Files are float32, and the emission is a good part of what is subtracted
    assert given.values * s3.area.sum() * 1e-15 == pytest.approx(emission, rel=1e-5)
    assert lu.flow_matrix(s3, lu.history_of(s3))[0, 2] == pytest.approx(0.4, abs=1e-12)  # of both years
    assert lu.flow_matrix(s3)[0, 2] == pytest.approx(0.2, abs=1e-6)  # the files do not have the areas of 2000

    settings = {"products": "p90", "merge_below": 0.02}
    told = simulate(config_of(tmp_path / "p.yaml", (2000, 2001), **start | {"land_use": more["land_use"] | settings}),
                    tmp_path / "p")["notes"]  # fmt: skip
    for words in ("land_use.products: efold, this run has p90", "land_use.merge_below: 0.01, this run has 0.02"):
        assert sum(words in note for note in told) == 1
    assert not any("initial state" in n for n in json.loads((tmp_path / "s3/run.json").read_text())["notes"])

    another = config_of(tmp_path / "other.yaml", (2000, 2001), DEFOREST | {"to": "crop"}, **start)
    with pytest.raises(ConcertoError, match="tiles|classes of land") as told:
        simulate(another, tmp_path / "other")
    assert told.value.message.count(". ") == 0 and "land_use.years" in told.value.hint
    rangeland = config_of(tmp_path / "range.yaml", (2000, 2001), DEFOREST | {"to": "rangeland"}, **start)
    secondary = config_of(tmp_path / "secondary.yaml", (2000, 2001), DEFOREST | {"to": "secondary"},
                          land_use={"secondary": "single", "years": [2000, 2003]})  # fmt: skip
    simulate(secondary, tmp_path / "secondary")  # as many tiles of the same types
    rangeland.write_text(rangeland.read_text().replace("first/state_equilibrium", "secondary/state_change"))
    with pytest.raises(ConcertoError, match="classes of land"):
        simulate(rangeland, tmp_path / "range")


def test_a_spin_up_after_years_keeps_what_it_found(tmp_path, monkeypatch):
    cycle = {"cycle": [2000, 2000]}
    phases = [
        {"name": "past", "kind": "run", "years": [2000, 2000], "climate": cycle},
        {"name": "rest", "kind": "spinup", "rounds": 1, "climate": cycle, "land_use": {"fixed": 2000}},
        {"name": "later", "kind": "run", "years": [2001, 2001], "climate": cycle},
    ]
    simulate(config_of(tmp_path / "c.yaml", phases=phases), tmp_path / "out")
    carbon = {}
    for name in ("past", "rest", "later"):
        with netCDF4.Dataset(tmp_path / f"out/state_{name}.nc") as file:
            carbon[name] = np.asarray(file["carbon_heartwood"][:]) @ np.asarray(file["land_tile_area"][:])
    assert carbon["rest"] > 10.0 * carbon["past"] and carbon["later"] > 0.3 * carbon["rest"]


def test_phases_whose_land_use_would_go_back_are_refused(tmp_path, concerto, monkeypatch):
    monkeypatch.setattr(run, "_start", WHOLE_YEARS)
    cycle = {"climate": {"cycle": [2000, 2000]}}
    phases = [{"name": "held", "kind": "run", "years": [1990, 1990], "land_use": {"fixed": 2002}} | cycle,
              {"name": "change", "kind": "run", "years": [2000, 2000]} | cycle]  # fmt: skip
    code, _, words = concerto("check", config_of(tmp_path / "c.yaml", phases=phases))
    assert code == 2 and "begins with the land use of 2000, and the state before it has that of 2002" in words
    phases[0]["land_use"] = {"fixed": 1990}  # what lies between acts at once
    summary = simulate(config_of(tmp_path / "d.yaml", phases=phases), tmp_path / "out")
    assert any("land use of 1990 to 2000 acts at once" in note for note in summary["notes"])


def test_years_that_are_added_need_their_tiles_from_the_start(tmp_path):
    late = DEFOREST | {"years": [2001, 2003]}
    config = config_of(tmp_path / "c.yaml", (2000, 2000), late)
    simulate(config, tmp_path / "out")
    with pytest.raises(ConcertoError, match="by 2002 there is pasture land at 50.00 N 10.00 E") as told:
        simulate(config, tmp_path / "out", "phases.change.years=[2000, 2002]")
    assert "land_use.years" in told.value.hint
    config = config_of(tmp_path / "d.yaml", (2000, 2000), late, land_use={"years": [2000, 2003]})
    simulate(config, tmp_path / "whole", "phases.change.years=[2000, 2002]")
    simulate(config, tmp_path / "parts")
    simulate(config, tmp_path / "parts", "phases.change.years=[2000, 2002]")
    names = different(tmp_path / "parts", results(tmp_path / "whole"))
    assert names == ["fluxes_2000.nc", "land_use_2000.nc", "stocks_2000.nc"]  # these tell the years in attributes


def test_what_goes_both_ways_emits_more_than_its_net_change(tmp_path):
    found = {}
    start = {"initial": {"primary": 0.3, "secondary": 0.4, "crop": 0.3}}
    for secondary in ("age_classes", "single"):
        for moves in ("gross", "net"):
            config = config_of(
                tmp_path / "c.yaml", (2000, 2001), SHIFTING,
                land_use=start | {"transitions": moves, "secondary": secondary},
            )  # fmt: skip
            folder = tmp_path / f"{secondary}_{moves}"
            simulate(config, folder)
            found[secondary, moves] = totals(folder)["fLuc"].sum()
        assert found[secondary, "net"] == 0.0 < found[secondary, "gross"]
    age = values(tmp_path / "age_classes_gross", "land_use", 2001, "secondary_age")
    assert (age > 1.0).all() and (values(tmp_path / "single_gross", "land_use", 2001, "secondary_age") == 0.0).all()


def test_towns_and_secondary_land_where_there_was_none(tmp_path):
    """A cell that is all town has bare ground only; the first secondary land takes its memory from primary land."""
    (tmp_path / "moves.csv").write_text(
        "year,latitude,longitude,from,to,fraction\n2000,50,10,,urban,1.0\n2000,2,24,primary,secondary,0.5\n"
        "2000,-10,10,primary,crop,0.5\n"
    )
    land = {"source": "table", "files": {"table": "moves.csv"}, "idealised": None, "wood_harvest": "area"}
    config = config_of(tmp_path / "c.yaml", (2000, 2001), land_use=land, spinup=True)
    summary = simulate(config, tmp_path / "out")
    assert any("1 rows of moves.csv lie outside" in note for note in summary["notes"])
    assert values(tmp_path / "out", "land_use", 2001, "urban_area").tolist() == [1.0, 0.0]
    assert values(tmp_path / "out", "land_use", 2001, "secondary_area").tolist() == [0.0, 0.5]
    wood = values(tmp_path / "out", "land_use", 2001, "fHarvestToProduct")
    assert wood[0] == 0.0 and wood[1] > 0.0
    assert values(tmp_path / "out", "stocks", 2001, "cVeg")[0] == 0.0


# --- faults


def test_faults_of_the_history_are_one_sentence(tmp_path, concerto):
    truth = history()
    config = luh_config(tmp_path)
    out = ("--out", tmp_path / "out", "--quiet")

    def told(*words):
        code, _, err = concerto("run", config, *out, *words)
        assert code == 2 and err.count("\n") <= 2 and "Traceback" not in err
        return err

    assert "no year 1854" in told("--set", "phases.change.years=[1850, 1854]")
    refuse = ("--set", "land_use.inconsistent=refuse")
    with netCDF4.Dataset(tmp_path / "states.nc", "a") as file:
        file["primn"][1] = 0.8 * file["primn"][1]
    assert "states.nc, 1851" in (words := told(*refuse)) and "sum to" in words
    write_luh(tmp_path, truth)
    with netCDF4.Dataset(tmp_path / "transitions.nc", "a") as file:
        file["primf_to_c3ann"][0] = 0.9
    words = told(*refuse)
    assert "transitions out of primary" in words and "more than its area" in words
    write_luh(tmp_path / "other", history(latitude=np.array([47.5, 46.5]), longitude=np.array([-0.5, 0.5, 1.5])))
    words = told("--set", "land_use.files.transitions=other/transitions.nc")
    assert "are on different grids" in words
    write_luh(tmp_path, history((1850, 1851)))
    assert "no year 1852" in told()


def test_vegetation_dynamics_beside_land_cover_are_refused(tmp_path, concerto):
    config = config_of(tmp_path / "c.yaml", model={"time_step": 10800, "options": {"vegetation_dynamics": "lpj"}})
    code, _, words = concerto("check", config)
    assert code == 2 and "vegetation_dynamics 'lpj'" in words and "\n" in words
