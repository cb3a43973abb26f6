"""Emissions by region, year and component: every table sums to the whole, nothing is in two places."""

import csv

import numpy as np
import pytest

from concerto.errors import ConcertoError
from concerto.landuse import accounting
from concerto.landuse.bookkeeping import TYPES, blue_table, bookkeep
from concerto.landuse.history import LandUseYear
from concerto.landuse.regions import BOXES, REST, regions

pytestmark = pytest.mark.release  # Python around the core; the core itself is run with checks elsewhere

FOREST = ["tropical_evergreen_forest", "temperate_deciduous_forest", "boreal_forest", "tropical_woodland"]
LATITUDE, LONGITUDE = np.array([-5.0, 50.0, 62.0, -40.0]), np.array([-60.0, 10.0, 100.0, -65.0])
AREA = np.array([1.0, 2.0, 0.5, 3.0])  # 1e12 m2, so that kg m-2 become Pg


class Made:
    """A history with all types of transition: clearing, abandonment, rotation, harvest, shifting."""

    first_year, last_year, n_cell = 2000, 2030, 4

    def year(self, y):
        n = self.n_cell
        area = np.tile([0.5, 0.2, 0.1, 0.05, 0.1, 0.05], (n, 1))
        moved = np.zeros((n, 6, 6))
        if y < 2015:
            moved[:, 0, 2], moved[:, 2, 4] = 0.004, 0.002
            moved[:, 1, 4], moved[:, 4, 1] = 0.003, 0.005
            moved[:, 0, 1] = 0.001
        else:
            moved[:, 2, 1] = 0.002
        moved *= np.array([1.0, 0.5, 0.2, 0.0])[:, None, None]  # nothing happens in the last cell
        mass = np.zeros((n, 5))
        mass[:3, 0] = mass[:3, 2] = 0.01
        return LandUseYear(y, area, moved, np.zeros((n, 5)), mass)


@pytest.fixture(scope="module")
def record():
    return bookkeep(Made(), blue_table(FOREST), d_nbp=lambda y: np.full((4, 6), 0.01) * np.arange(6))


@pytest.fixture(scope="module")
def bands():
    return regions(LATITUDE, LONGITUDE)


def close(a, b, scale):
    # sums of some hundred numbers of this size: round-off
    assert np.abs(np.asarray(a) - b).max() <= 1e-14 * scale


@pytest.mark.parametrize("by", ["component", "type", "process"])
def test_components_regions_sources_and_sinks_sum_to_the_whole(record, bands, by):
    table = accounting.bookkeeping_budget(record, bands, AREA, by=by)
    eluc, scale = record["eluc"] @ AREA, float(np.abs(table.source).sum("component").max())
    assert scale > 0.1
    whole = table.sel(region="all").sum("component")
    close(whole.net, eluc, scale)
    close(whole.source, record["gross_source"] @ AREA, scale)
    close(whole.sink, record["gross_sink"] @ AREA, scale)
    assert (table.net == table.source + table.sink).all()
    assert (table.source >= 0.0).all() and (table.sink <= 0.0).all()
    parts = table.drop_sel(region="all")
    assert list(parts["region"].values) == ["north", "tropics", "south"]
    for name in ("net", "source", "sink", "lasc"):
        close(parts[name].sum("region"), table[name].sel(region="all"), scale)
    assert (table.source.sel(region="south") == 0.0).all()


def test_components_have_the_signs_of_what_they_are(record, bands):
    net = accounting.bookkeeping_budget(record, bands, AREA).net.sel(region="all")
    assert list(net["component"].values) == list(accounting.COMPONENTS)
    assert (net.sel(component="deforestation") > 0.0).all()
    assert (net.sel(component="regrowth", year=slice(2016, None)) < 0.0).all()
    assert (net.sel(component="wood_harvest").isel(year=0) > 0.0).all()
    table = accounting.bookkeeping_budget(record, bands, AREA)
    assert (table.sink.sel(component="deforestation") == 0.0).all()
    shifting = table.sel(region="all", component="shifting_cultivation")
    assert (shifting.source > 0.0).all() and (shifting.sink < 0.0).all()
    assert "peat" not in net["component"] and "peat" in table.attrs


def test_lost_sinks_stand_apart(record, bands):
    table = accounting.bookkeeping_budget(record, bands, AREA)
    close(table.lasc.sel(region="all"), record["lasc"] @ AREA, 1.0)
    fixed = {name: values for name, values in record.items() if name not in ("lasc", "land_sink")}
    without = accounting.bookkeeping_budget(fixed, bands, AREA)
    assert "lasc" not in without and (without.net == table.net).all()


def test_every_pair_of_kinds_sums_to_its_group(bands):
    table = blue_table(FOREST)
    # one rate for all types, so that pairs can have them
    shape = table.soil_respiration[0]
    plain = type(table)(**{f: getattr(table, f) for f in table.__dataclass_fields__} | {"soil_respiration": shape})
    groups = accounting.bookkeeping_budget(bookkeep(Made(), plain), bands, AREA, by="type")
    pairs = accounting.bookkeeping_budget(bookkeep(Made(), plain, types="pairs"), bands, AREA, by="type")
    assert set(groups["component"].values) == set(TYPES)
    scale = float(groups.source.max())
    cleared = [f"{a}>{b}" for a in ("primary", "secondary") for b in ("pasture", "rangeland", "crop", "urban")]
    for name in ("net", "source", "sink"):
        close(pairs[name].sel(component=cleared).sum("component"), groups[name].sel(component="clearing"), 10 * scale)
        close(pairs[name].sum("component"), groups[name].sum("component"), 10 * scale)
    with pytest.raises(ConcertoError, match="groups"):
        accounting.bookkeeping_budget(bookkeep(Made(), plain, types="pairs"), bands, AREA)
    with pytest.raises(ConcertoError, match="by="):
        accounting.bookkeeping_budget(bookkeep(Made(), plain), bands, AREA, by="kind")


def test_the_csv_file_says_what_the_tables_say(record, bands, tmp_path):
    year = np.array([2001, 2002])
    parts = {"burned": np.full((2, 4), 0.3), "products": np.full((2, 4), 0.1), "seed": np.full((2, 4), -0.01),
             "land": np.array([[0.1, -0.2, 0.3, 0.0]] * 2)}  # fmt: skip
    lasc = np.array([[-0.05, 0.0, 0.02, 0.0]] * 2)
    runs = accounting.run_budget(year, parts, bands, AREA, "PgC yr-1", lasc)
    close(runs.net.sel(region="all").sum("component"), sum(parts.values()) @ AREA, 1.0)
    close(runs.net.sel(region="all", component="lost_sinks"), -lasc @ AREA, 1.0)
    tables = {"runs": runs, "bookkeeping": accounting.bookkeeping_budget(record, bands, AREA, units="PgC yr-1")}
    accounting.write_budget(tmp_path / "budget.csv", tables)
    text = (tmp_path / "budget.csv").read_text()
    assert "# bookkeeping: PgC yr-1" in text and "peat is not modelled" in text.splitlines()[0]
    rows = list(csv.DictReader(line for line in text.splitlines() if not line.startswith("#")))
    assert {row["method"] for row in rows} == {"runs", "bookkeeping"}
    one = [r for r in rows if (r["method"], r["region"], r["year"]) == ("bookkeeping", "tropics", "2005")]
    table = tables["bookkeeping"].sel(region="tropics", year=2005)
    for row in one:
        if row["component"] in accounting.COMPONENTS:
            for name in ("source", "sink", "net"):
                assert float(row[name]) == float(table[name].sel(component=row["component"]))
    whole = {row["component"]: float(row["net"]) for row in one}
    lost, total = whole.pop("lasc"), whole.pop("total")
    assert lost == float(table.lasc)
    close(sum(whole.values()), total, 1.0)


# --- regions


@pytest.mark.parametrize("which", ["bands", "boxes"])
def test_no_place_is_in_two_regions_or_in_none(which):
    random = np.random.default_rng(3)
    found = regions(random.uniform(-90, 90, 500), random.uniform(-180, 360, 500), which)
    assert (sum(found.values()) == 1.0).all()
    assert all(set(np.unique(mask)) <= {0.0, 1.0} for mask in found.values())


def test_places_are_where_they_belong():
    places = {
        "Europe": (48.9, 2.3), "South America": (-3.1, -60.0), "North America": (45.4, -75.7), "Africa": (-1.3, 36.8),
        "South Asia": (28.0, 77.2), "East Asia": (39.9, 116.4), "Southeast Asia": (0.0, 113.9),
        "Oceania": (-33.9, 151.2), "North Asia": (60.0, 100.0), "Western and Central Asia": (35.7, 51.4),
        "Central America": (19.4, -99.1),
    }  # fmt: skip
    assert set(places) == set(BOXES)
    found = regions(*np.array(list(places.values())).T, "boxes")
    for k, name in enumerate(places):
        assert found[name][k] == 1.0, name


def test_regions_come_from_a_map_or_are_given(tmp_path):
    import xarray as xr

    lat, lon = np.array([55.0, 5.0, -45.0]), np.array([5.0, 95.0, 185.0, 275.0])  # from the north, 0 to 360
    number = np.array([[1, 1, 2, 2], [1, 3, 3, 3], [7, 7, -1, 3]])
    attributes = {"flag_values": np.array([1, 2, 3], "i4"), "flag_meanings": "west_land east_land wet_land"}
    ds = xr.Dataset({"region": (("lat", "lon"), number.astype(float), attributes)}, {"lat": lat, "lon": lon})
    ds["region"] = ds["region"].where(ds["region"] > 0)
    ds.to_netcdf(tmp_path / "regions.nc")
    at = [52.0, 1.0, -44.0, -44.0], [10.0, -80.0, 0.0, 180.0]
    for which in (tmp_path / "regions.nc", f"{tmp_path}/regions.nc:region"):
        found = regions(*at, which)
        assert {name: mask.tolist() for name, mask in found.items()} == {
            "west_land": [1, 0, 0, 0], "wet_land": [0, 1, 0, 0], "7": [0, 0, 1, 0], REST: [0, 0, 0, 1],
        }  # fmt: skip
    given = regions(*at, {"box": (-90, 0, 20, 60), "mask": np.array([0, 0, 0.5, 0.0])})
    assert given["box"].tolist() == [1, 1, 0, 0] and given[REST].tolist() == [0, 0, 0.5, 1.0]
    for wrong, words in (
        ("nowhere", "no file"), (f"{tmp_path}/regions.nc:other", "no map 'other'"), ({"a": np.zeros(3)}, "3,"),
        ({"a": np.ones(4), "b": np.ones(4)}, "overlap"), ({"a": (1, 2, 3)}, "3 numbers"), ({REST: np.ones(4)}, REST),
    ):  # fmt: skip
        with pytest.raises(ConcertoError, match=words):
            regions(*at, wrong)
    with pytest.raises(ConcertoError, match="all"):
        accounting.run_budget([2000], {"burned": np.ones((1, 4))}, {"all": np.ones(4)})
