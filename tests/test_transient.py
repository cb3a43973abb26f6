"""From an early equilibrium through the centuries to the record: seasons kept, carbon conserved, CO2 felt."""

import json

import numpy as np
import pytest
from synthetic import site_file

import concerto as co
from concerto.errors import ConcertoError
from concerto.simulation.restart import read_restart
from concerto.simulation.spinup import start_nitrogen, start_soil
from concerto.simulation.transient import (
    SOIL,
    Cycle,
    annual_path,
    elements,
    harvest,
    plants,
    set_plants,
    transient,
    warmed,
)
from concerto.tables import loader

pytestmark = pytest.mark.release  # Python around the core; the core itself is run with checks elsewhere

STEP = 21600  # six hours: a year in a tenth of a second


@pytest.fixture(scope="module")
def tower(tmp_path_factory):
    return site_file(tmp_path_factory.mktemp("tower") / "XX-Syn.nc", "temperate_deciduous", STEP)


@pytest.fixture(scope="module")
def grass(tmp_path_factory):
    return site_file(tmp_path_factory.mktemp("grass") / "XX-Gra.nc", "prairie", STEP)


@pytest.fixture(scope="module")
def cut(tower):
    """A forest from 1960, cut in 1975."""
    return transient(tower, 1960, disturbed=1975)


def stores(annual):
    return (annual.cVeg + annual.cLitter + annual.cSoil + annual.cProduct).values


def gain(annual):
    return (annual.nbp * annual.days * 86400.0).values


# --- the calendar


def axis(start, days, per_day=4):
    return np.datetime64(start, "s") + np.arange(days * per_day) * np.timedelta64(86400 // per_day, "s")


def test_years_of_the_record_come_in_order_and_lead_into_it():
    cycle = Cycle(axis("2005-01-01", 1095), STEP)
    assert list(cycle.years) == [2005, 2006, 2007]
    assert [cycle.source(year) for year in (2001, 2002, 2003, 2004)] == [2007, 2005, 2006, 2007]


@pytest.mark.parametrize(("year", "days"), [(1900, 365), (1904, 366), (2000, 366), (1999, 365)])
def test_seasons_stay_and_leap_days_are_handled(year, days):
    record = axis("2003-01-01", 1461)  # with the leap year 2004
    cycle = Cycle(record, STEP)
    time, index = cycle.steps(year)
    assert len(time) == 4 * days and time[0] == np.datetime64(f"{year}-01-01")
    source = record[index]
    assert np.all(source.astype("datetime64[Y]") == np.datetime64(str(cycle.source(year))))

    def month_day_hour(stamps):
        words = np.datetime_as_string(stamps)
        return np.array([word[5:] for word in words])

    same = month_day_hour(time) == month_day_hour(source)
    leap_day = np.array([word.startswith("02-29") for word in month_day_hour(time)])
    assert np.all(same | leap_day)
    if cycle.source(year) != 2004:
        assert all(word.startswith("02-28") for word in month_day_hour(source[leap_day]))


def test_the_history_ends_where_the_record_begins():
    cycle = Cycle(axis("2004-05-07", 238), STEP)  # eight months, as one of the example towers
    time, index = cycle.steps(2004, np.datetime64("2004-05-07T00:00:00"))
    assert time[-1] == np.datetime64("2004-05-06T18:00:00") and index.min() >= 0
    # January is not in the record: days of equal declination, so no summer in January
    january = axis("2004-05-07", 238)[index[: 31 * 4]]
    assert np.all(np.isin(january.astype("datetime64[M]").astype(int) % 12, [10, 11]))


def test_a_gap_is_filled_from_the_other_years():
    record = np.delete(axis("2005-01-01", 730), np.arange(40, 60))
    index = Cycle(record, STEP).steps(2003)[1]
    assert np.all(record[index[40:60]].astype("datetime64[Y]") == np.datetime64("2006"))
    with pytest.raises(ConcertoError, match="not one whole day"):
        Cycle(axis("2005-01-01", 1)[1:], STEP)


# --- the run


def test_the_two_outputs_cover_history_and_record(cut, tower):
    annual, record = cut.annual, cut.record
    assert list(annual.year.values) == list(range(1960, 2004))
    assert np.all(annual.days.values == [366 if year % 4 == 0 else 365 for year in annual.year.values])
    assert record.sizes["time"] == 1460 and str(record.time.values[0])[:10] == "2003-01-01"
    for name in ("gpp", "npp", "ra", "rh", "nbp", "nep", "cVeg", "cLitter", "cSoil", "cProduct", "lai", "tas", "co2"):
        assert annual[name].attrs["units"] and annual[name].attrs["long_name"]
        assert np.isfinite(annual[name].values).all()
    # the last year is the record
    assert float(annual.gpp[-1]) == pytest.approx(float(record.gpp.mean()), rel=1e-12)
    assert float(annual.cSoil[-1]) == pytest.approx(float(record.cSoil[-1]), rel=1e-12)
    assert "1960" in repr(cut) and cut.summary["history"]
    settings = json.loads(record.attrs["configuration"])["history"]
    assert settings["disturbed"] == 1975 and settings["from"] == 1960
    assert "built-in CO2" in settings["co2"] and settings["years of the record that are recycled"] == [2003]
    assert json.loads(record.attrs["summary"])["spin-up"].startswith("history from 1960")


def test_co2_of_the_years_is_used(cut):
    from concerto.forcing.history import built_in

    # the mean of a year of equal numbers, to round-off
    assert np.allclose(cut.annual.co2.values, built_in("co2").at(cut.annual.year.values), rtol=1e-12)


def test_carbon_is_conserved_through_history_harvest_and_record(cut):
    """To round-off of 1460 additions to pools of 60 kg m-2 in each year; the year of the harvest included."""
    change = np.diff(stores(cut.annual))
    assert np.abs(change - gain(cut.annual)[1:]).max() < 1e-9


def test_the_budgets_of_all_years_are_closed(cut):
    worst = cut.summary["worst residual"]
    for name, limit in (("water", 1e-10), ("energy", 1e-8), ("carbon", 1e-13)):  # as in test_budgets.py
        assert 0.0 <= float(worst[name].split()[0]) <= limit, worst


def test_a_failure_names_the_place_and_the_time(tower, monkeypatch):
    """Air of 97 degC in the second year of the history."""
    from concerto.simulation import transient as module

    def hot(self, year, end=None, atmosphere=None):
        time, forcing, ends = plain(self, year, end, atmosphere)
        if year == 2001 and atmosphere is None:
            forcing[:, self.column["air"], 400:] = 370.0
        return time, forcing, ends

    plain = module._History.year
    monkeypatch.setattr(module._History, "year", hot)
    with pytest.raises(ConcertoError, match="outside.*XX-Syn, tile 1, 2001-.* local time"):
        transient(tower, 2000)


def test_a_harvest_takes_the_wood_and_the_stand_grows_again(cut):
    annual = cut.annual
    at = 1975 - 1960
    taken = float((annual.fHarvestToProduct * annual.days * 86400.0)[at])
    assert np.count_nonzero(annual.fHarvestToProduct.values) == 1
    assert 0.4 * float(annual.cVeg[at - 1]) < taken < 0.525 * float(annual.cVeg[at - 1])  # 0.75 x 0.7 of the wood
    assert float(annual.cVeg[at]) < 0.1 * float(annual.cVeg[at - 1])
    assert float(annual.cLitter[at]) > 1.5 * float(annual.cLitter[at - 1])
    assert np.all(np.diff(annual.cVeg.values[at:]) > 0.0) and float(annual.cVeg[-1]) > 5.0
    assert float(annual.nbp[at]) < float(annual.nep[at]) < 0.0 < float(annual.nep[-1])
    left = annual.cProduct.values[at:]
    assert np.all(np.diff(left) < 0.0)
    # half with 10 and half with 100 years; years of 365.25 days on average
    age = 29.0
    assert left[-1] == pytest.approx(taken * 0.5 * (np.exp(-age / 10.0) + np.exp(-age / 100.0)), rel=1e-3)


@pytest.fixture(scope="module")
def still(tower):
    """Nothing changes: constant CO2."""
    return transient(tower, 1990, co2="constant")


def test_without_change_the_equilibrium_stays(still):
    """The recycled year has leap days that the spin-up did not see: GPP varies by 1/366 of itself."""
    annual = still.annual
    from concerto.forcing.history import built_in

    assert np.allclose(annual.co2.values, built_in("co2").at(1990), rtol=1e-12)  # also in the record
    assert np.ptp(annual.gpp.values) < 0.01 * float(annual.gpp.mean())
    assert abs(float(annual.nbp.mean())) < 0.005 * float(annual.gpp.mean())
    assert np.ptp(stores(annual)) < 0.005 * float(stores(annual)[0])


def test_rising_co2_makes_a_sink(tower, still):
    rising = transient(tower, 1990).annual
    assert float(rising.gpp[-1]) > 1.01 * float(still.annual.gpp[-1])
    assert float(rising.nbp[-1]) > float(still.annual.nbp[-1]) + 0.01 * float(rising.gpp[-1])


def test_warming_is_relative_to_the_record(tower, tmp_path):
    path = tmp_path / "warming.csv"
    path.write_text("year,anomaly\n" + "".join(f"{y},{0.02 * (y - 1900)}\n" for y in range(1990, 2010)))
    run = transient(tower, 1995, climate="delta", warming=path)
    tas = run.annual.tas.values
    # 8 years before the record at 0.02 K a year; leap days shift the mean of a year by hundredths
    assert tas[0] - tas[-1] == pytest.approx(-0.16, abs=0.03) and tas[-2] - tas[-1] == pytest.approx(-0.02, abs=0.03)
    plain = co.open_site(tower, spinup="none")
    weather = [
        loader.variables("forcing")[name].column - 1 for name in ("air_temperature", "rainfall", "longwave_down")
    ]
    assert np.array_equal(run.site_run.forcing[:, weather], plain.forcing[:, weather])


def test_warmed_air_keeps_its_relative_humidity_and_its_precipitation(tower):
    from concerto.forcing.derive import saturation_pressure, vapour_pressure

    forcing = co.open_site(tower, spinup="none").forcing
    column = {name: entry.column - 1 for name, entry in loader.variables("forcing").items()}
    for anomaly in (3.0, -3.0):
        other = warmed(forcing, anomaly)

        def relative(values):
            humidity, pressure = values[0, column["specific_humidity"]], values[0, column["pressure"]]
            return vapour_pressure(humidity, pressure) / saturation_pressure(values[0, column["air_temperature"]])

        # q and e are proportional but for the factor p - 0.378 e: within 2 %
        assert np.allclose(relative(other), relative(forcing), rtol=0.02)
        assert np.allclose(other[0, column["air_temperature"]] - forcing[0, column["air_temperature"]], anomaly)
        rain, snow = (other[0, column[name]] for name in ("rainfall", "snowfall"))
        before = forcing[0, column["rainfall"]] + forcing[0, column["snowfall"]]
        assert np.allclose(rain + snow, before, rtol=1e-12, atol=1e-18) and rain.min() >= 0.0 and snow.min() >= 0.0
        less = snow.sum() - forcing[0, column["snowfall"]].sum()
        assert less * anomaly < 0.0
        assert (other[0, column["longwave_down"]] - forcing[0, column["longwave_down"]]).mean() * anomaly > 0.0
    assert np.array_equal(warmed(forcing, 0.0), forcing)


@pytest.mark.parametrize("scheme", list(loader.options()["soil_carbon"].choices))
def test_a_harvest_conserves_every_element_and_leaves_grass_alone(tower, scheme):
    """To round-off of sums of 25 kg m-2 in 63 places."""
    options = {"soil_carbon": scheme} | ({"nitrogen": "cn"} if scheme == "cencn" else {})
    options |= {} if scheme in ("mimics", "millennial") else {"isotopes": "on"}
    run = co.open_site(tower, pft="needle_evergreen_boreal:0.5,grass_c3:0.5", spinup="none", options=options)
    tiles = run.tiles
    tiles.set("carbon_sapwood", [4.0, 0.0])
    tiles.set("carbon_heartwood", [6.0, 0.0])
    start_soil(tiles)
    expected = ["carbon"]
    if "nitrogen" in options:
        start_nitrogen(tiles)
        expected += ["nitrogen"]
    pools = plants(tiles, "carbon")
    if "isotopes" in options:
        expected += ["carbon13", "carbon14"]
        for element, ratio in (("carbon13", 0.975), ("carbon14", 1.05)):
            set_plants(tiles, element, pools * ratio * np.linspace(0.9, 1.1, 6))
            tiles.set(f"{element}_soil", tiles.get("soil_carbon") * ratio)
    assert elements(tiles) == expected

    def total(element):
        return plants(tiles, element).sum(axis=1) + tiles.get(SOIL[element]).sum(axis=1)

    before = {element: total(element) for element in expected}
    soil = {element: tiles.get(SOIL[element]) for element in expected}
    out = harvest(tiles)
    assert np.allclose(out["product"], [0.75 * 0.7 * 10.0, 0.0], rtol=1e-14) and list(out["woody"]) == [True, False]
    for element in expected:
        product = out["product" if element == "carbon" else f"product_{element}"]
        assert np.abs(before[element] - total(element) - product).max() < 1e-13, element
        assert product[0] > 0.0 and np.all(tiles.get(SOIL[element]) >= soil[element])
    assert np.array_equal(plants(tiles, "carbon")[1], pools[1])
    assert tiles.get("carbon_sapwood")[0] == 0.0 and 0.0 < tiles.get("carbon_labile")[0] and out["litter"][0] > 4.0


def test_litter_of_a_harvest_lies_as_the_daily_step_lays_it(tower):
    """Slash above ground to the debris near the surface, roots below, soil organic matter untouched with its C:N."""
    tiles = co.open_site(tower, spinup="none", options={"nitrogen": "cn"}).tiles
    tiles.set("carbon_sapwood", 4.0)
    tiles.set("carbon_heartwood", 6.0)
    start_soil(tiles)
    start_nitrogen(tiles)
    layers = loader.layers()["carbon_layer"]
    carbon, nitrogen = (tiles.get(name)[0].reshape(-1, layers) for name in ("soil_carbon", "soil_nitrogen"))
    roots = tiles.get("carbon_fine_root")[0]
    harvest(tiles)
    gain = tiles.get("soil_carbon")[0].reshape(-1, layers) - carbon  # (pool, layer)
    gain_nitrogen = tiles.get("soil_nitrogen")[0].reshape(-1, layers) - nitrogen
    assert np.all(gain[3:6] == 0.0) and np.all(gain_nitrogen[3:6] == 0.0)
    litter, wood = [0, 1, 2, 6], 10.0 * (1.0 - 0.75 * 0.7)
    assert np.all(gain[litter] >= 0.0) and np.all(gain_nitrogen[litter] >= 0.0)
    assert gain[6].sum() == pytest.approx(wood, rel=1e-12) and gain[:3].sum() > roots
    shallow = np.cumsum(loader.soil_thickness())[:layers] < 0.3
    # three quarters by exp(-z/0.1 m), of which 94 % lie above 0.28 m, the rest with the roots
    assert 0.75 * 0.9 < gain[6, shallow].sum() / wood < 1.0 and gain[6, -1] > 0.0
    mixed = 10.0 / (4.0 / tiles.parameter("sapwood_cn")[0] + 6.0 / tiles.parameter("heartwood_cn")[0])
    assert gain[6].sum() / gain_nitrogen[6].sum() == pytest.approx(mixed, rel=1e-9)


def test_a_soil_short_of_equilibrium_takes_up_carbon_and_this_is_said(tower):
    run = transient(tower, 2000, co2="constant", equilibrium_fraction=0.5)
    assert float(run.annual.nbp[0]) > 0.1 * float(run.annual.gpp[0])
    assert any("times 0.5 after the spin-up" in line for line in run.summary["notes"])


@pytest.fixture(scope="module")
def traced(tower, tmp_path_factory):
    """Nitrogen and isotopes from 1985, with a pulse of 14C and a rise of nitrogen deposition, cut in 1992."""
    folder = tmp_path_factory.mktemp("series")
    radiocarbon, deposition = folder / "delta14c.csv", folder / "ndep.csv"
    rows = [f"{year}.5,{500.0 if year >= 1990 else 0.0},10.0,20.0" for year in range(1950, 2000)]
    radiocarbon.write_text("Year.AD,NH,Tropics,SH\n" + "\n".join(rows) + "\n")
    rows = [f"{year},{0.2 if year < 1990 else 1.5}" for year in range(1980, 2010)]
    deposition.write_text("year,ndep [g m-2 yr-1]\n" + "\n".join(rows) + "\n")
    options = {"nitrogen": "cn", "isotopes": "on"}
    return transient(tower, 1985, ndep=deposition, delta14c=radiocarbon, disturbed=1992, options=options)


def test_deposition_and_isotopes_of_the_air_are_those_of_the_year(traced):
    annual = traced.annual
    grams = annual.fNdep.values * 3.15576e10
    assert np.allclose(grams[[0, 4, 5, -1]], [0.2, 0.2, 1.5, 1.5], rtol=1e-12)
    assert list(annual.delta14c_air.values[[0, 4, 5, -1]]) == [0.0, 0.0, 500.0, 500.0]  # the north; held after 1999
    assert any("ends in 1999, held at 500 permil" in note for note in traced.summary["notes"])
    assert annual.delta13c_air.values[0] == pytest.approx(-7.7, abs=0.1)  # a line from 1976 to 1989
    column = {name: entry.column - 1 for name, entry in loader.variables("forcing").items()}
    forcing = traced.site_run.forcing
    assert np.allclose(forcing[:, column["nitrogen_deposition"]], 1.5e-3 / 3.15576e7, rtol=1e-12)
    assert np.all(forcing[:, column["delta14c_air"]] == 500.0)
    settings = json.loads(annual.attrs["configuration"])["history"]
    assert settings["nitrogen deposition"] == "ndep.csv" and settings["Delta14C of CO2"] == "delta14c.csv"


def test_a_pulse_of_14c_runs_from_leaves_to_the_soil(traced):
    """C3 plants lie 17 to 23 per mil below the air (Farquhar et al. 1989); 14C reaches what turns over fast first."""
    annual = traced.annual
    for name in ("vegetation", "litter", "soil", "respired"):
        values = annual[f"delta13c_{name}"].values
        assert np.all((values > -32.0) & (values < -22.0)), (name, values)
        assert np.isfinite(annual[f"delta14c_{name}"].values).all()
    old = annual.isel(year=slice(0, 5))
    assert np.all(old.delta14c_soil.values < -3.0) and np.all(old.delta14c_vegetation.values > -30.0)
    assert np.ptp(old.delta14c_soil.values) < 0.3  # in equilibrium before the pulse
    last = annual.isel(year=-1)
    # the stand that grew after the cut is of the new air, respired carbon of all ages, the soil is slowest
    assert 480.0 < float(last.delta14c_vegetation) <= 500.0
    assert 100.0 < float(last.delta14c_respired) < 500.0
    assert float(old.delta14c_soil[-1]) + 5.0 < float(last.delta14c_soil) < float(last.delta14c_litter)


def test_nitrogen_of_the_history_adds_up(traced):
    """Stocks change by what comes less what goes. Rates are those of the day before: a day's worth at each new year."""
    annual = traced.annual
    stock = (annual.nVeg + annual.nLitter + annual.nSoil + annual.nMineral).values
    net = annual.fNdep + annual.fBNF - annual.fN2O - annual.dinitrogen - annual.fNleach
    change, came = np.diff(stock), (net * annual.days * 86400.0).values[1:]
    cut = annual.year.values[1:] == 1992
    assert np.abs(change - came)[~cut].max() < 3e-5  # a day of 10 g m-2 yr-1
    assert change[cut] < came[cut] - 1e-3  # nitrogen of the wood that was taken
    assert np.abs(np.diff(stores(annual)) - gain(annual)[1:]).max() < 1e-9


def test_a_site_run_takes_its_own_deposition(grass):
    run = co.open_site(grass, ndep=2.0, delta14c=100.0)
    column = {name: entry.column - 1 for name, entry in loader.variables("forcing").items()}
    assert np.allclose(run.forcing[:, column["nitrogen_deposition"]], 2e-3 / 3.15576e7, rtol=1e-12)
    assert np.all(run.forcing[:, column["delta14c_air"]] == 100.0)
    assert any("nitrogen_deposition: constant 2" in line for line in run.site.report)


@pytest.mark.parametrize("scheme", ["mimics", "millennial"])
def test_isotopes_need_a_linear_scheme(grass, scheme):
    with pytest.raises(ConcertoError, match=f"isotopes: 'on' needs soil_carbon = cencn, .* which is {scheme}"):
        co.open_site(grass, options={"isotopes": "on", "soil_carbon": scheme})


def test_the_harvest_of_crops_leaves_with_the_balance(tmp_path):
    path = site_file(tmp_path / "XX-Cro.nc", "cropland", STEP)
    annual = transient(path, 1995, options={"crops": "calendar"}).annual
    assert (annual.fHarvest * annual.days * 86400.0).values.max() > 0.01
    assert np.abs(np.diff(stores(annual)) - gain(annual)[1:]).max() < 1e-9


def test_hay_and_livestock_are_harvest_without_crops(grass):
    annual = transient(grass, 2000, options={"grazing": "mowing"}).annual
    assert (annual.fHarvest > 0.0).any()
    run = co.open_site(grass, options={"grazing": "livestock"}, spinup="none")
    run.run()
    grams = float(run.summary["harvest"].split(" gC")[0])
    assert grams >= 0.0 and "harvest" not in co.open_site(grass, spinup="none")._harvest({})


# --- the command


def test_the_command_writes_both_files_and_a_restart_file(concerto, tower, tmp_path):
    import xarray as xr

    co2 = tmp_path / "co2.txt"
    co2.write_text("1999 300\n2000 400\n2001 500\n2002 600\n")
    out, state = tmp_path / "run.nc", tmp_path / "state.nc"
    code, text, err = concerto(
        "transient", tower, "--from", 2000, "--co2", co2, "--out", out, "--restart-out", state, "--set", "g1=3"
    )
    assert (code, err) == (0, "")
    for word in ("XX-Syn: 2000 to 2003", "history", "co2.txt", "NBP", "run_annual.nc", "state.nc"):
        assert word in text, text
    with xr.open_dataset(annual_path(out)) as annual, xr.open_dataset(out) as record:
        assert np.allclose(annual.co2.values[:3], [400.0, 500.0, 600.0])
        assert annual.attrs["Conventions"] == "CF-1.11" and "concerto transient" in annual.attrs["history"]
        assert annual.nbp.attrs["standard_name"] and record.sizes["time"] == 1460
        assert json.loads(annual.attrs["configuration"])["parameters"] == {"g1": 3.0, "stand_age": 0.0}
    kept = read_restart(state)
    assert str(kept.time_utc)[:10] == "2004-01-01" and np.all(kept.tiles.parameter("g1") == 3.0)
    code, text, err = concerto(
        "transient", tower, "--from", 2002, "--out", out, "--json", "--annual", tmp_path / "y.nc"
    )
    assert (code, err) == (0, "") and json.loads(text)["annual output"] == str(tmp_path / "y.nc")
    assert not list(tmp_path.glob("*.part"))


def test_the_report_page_shows_the_history_of_its_own_run_only(traced, tower, tmp_path):
    from concerto.evaluation.plots import running_mean
    from concerto.evaluation.report import write_report

    out = tmp_path / "run.nc"
    traced.to_netcdf(out)
    page = write_report(tmp_path / "a.html", out).read_text()
    for word in ('id="history"', "From 1985 to 2003", "Radiocarbon", "Nitrogen fluxes", "Net uptake by land"):
        assert word in page, word
    co.open_site(tower, spinup="none").to_netcdf(out)  # the annual file is now of another run
    assert 'id="history"' not in write_report(tmp_path / "b.html", out).read_text()
    means = running_mean(np.arange(6.0), 3)
    assert np.isnan(means[[0, -1]]).all() and np.allclose(means[1:-1], [1.0, 2.0, 3.0, 4.0])


MISTAKES = {
    "no history": (["--from", "2003"], "record begins on 2003-01-01"),
    "later than the record": (["--from", "2050"], "starts in 2050"),
    "no year": (["--from", "soon"], "soon"),
    "before the series": (["--from", "1600"], "1700 to 2100, not for 1600"),
    "cut before": (["--from", "1990", "--disturbed", "1980"], "1980 lies outside the history, 1990 to 2002"),
    "delta without file": (["--climate", "delta"], "anomalies"),
    "file without delta": (["--warming", "CO2"], "anomalies"),
    "short series": (["--co2", "CO2"], "1990 to 1991, not for 1850"),
    "short warming": (["--from", "1995", "--climate", "delta", "--warming", "ANOMALY"], "1995 to 1996, not for 2003"),
    "no such file": (["--co2", "none.txt"], "none.txt does not exist"),
    "impossible CO2": (["--co2", "5"], "outside"),
    "impossible isotope": (["--delta14c", "1e9"], "outside"),
    "no file of isotopes": (["--delta14c", "none.csv"], "none.csv does not exist"),
    "no linear scheme": (["--option", "isotopes=on", "--option", "soil_carbon=mimics"], "needs soil_carbon = cencn"),
    "impossible deposition": (["--ndep", "9999"], "outside"),
    "no fraction": (["--equilibrium-fraction", "0"], "equilibrium_fraction is 0"),
    "too short": (["--end", "2003-01-01"], "less than two days"),
    "over its input": (["--out", "TOWER"], "read or written in the same command"),
    "twice the same": (["--annual", "OUT"], "read or written in the same command"),
    "parameter": (["--set", "g1=99"], "bounds"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_sentence_before_any_work(mistake, concerto, tower, tmp_path):
    series, anomaly, out = tmp_path / "co2.txt", tmp_path / "anomaly.txt", tmp_path / "out.nc"
    series.write_text("1990 350\n1991 351\n")
    anomaly.write_text("1995 0.1\n1996 0.2\n")
    words, expected = MISTAKES[mistake]
    places = {"CO2": series, "TOWER": tower, "OUT": out, "ANOMALY": anomaly}
    words = [places.get(word, word) for word in words]
    if "--out" not in words:
        words += ["--out", out]
    before = tower.read_bytes()
    code, text, err = concerto("transient", tower, *words)
    lines = err.strip().splitlines()
    assert (code, text) == (2, "") and expected in err and len(lines) <= 2, err
    assert lines[0].startswith("concerto: ") and all(line.startswith("  hint: ") for line in lines[1:])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["anomaly.txt", "co2.txt"] and tower.read_bytes() == before


def test_grass_has_no_wood_to_cut(grass):
    with pytest.raises(ConcertoError, match="no plant type has wood"):
        transient(grass, 1990, disturbed=1995)
    with pytest.raises(ConcertoError, match="climate is 'hot'"):
        transient(grass, 1990, climate="hot")
