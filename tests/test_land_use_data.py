"""Histories of land use: rules, repairs, files of each layout, what grows in each kind of land, faults."""

import doctest
import importlib
import shutil
from dataclasses import replace

import land_use_files
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from land_use_files import (
    LATITUDE,
    LONGITUDE,
    STATES,
    cell_areas,
    history,
    transition_names,
    write_esa_cci,
    write_hilda,
    write_luh,
)

from concerto.domain.grid import make_cells
from concerto.domain.land_cover import ESA_CCI_CODES
from concerto.errors import ConcertoError
from concerto.landuse.classes import HARVEST, HILDA_GROUPS, KINDS, _nearest, class_list, compositions, state_map
from concerto.landuse.history import (
    LandUseYear,
    check,
    implied_area,
    net_transitions,
    repaired,
    split_gross,
)
from concerto.landuse.readers import esa_cci_shares, open_land_use

ROUND = 1e-12  # sums of a few hundred products of numbers up to 1 in double precision
KIND_OF = np.array([0, 0, 1, 1, 2, 3, 5, 4, 4, 4, 4, 4])  # of STATES, written out once more
PRIMARY, SECONDARY, PASTURE, RANGELAND, CROP, URBAN = range(6)


@pytest.fixture(scope="module")
def luh(tmp_path_factory):
    """A folder with files of the LUH2 layout, its history, the section that names them."""
    folder = tmp_path_factory.mktemp("luh")
    truth = history()
    return folder, truth, {"source": "luh2", "files": write_luh(folder, truth)}


@pytest.fixture(scope="module")
def fine():
    """Cells of the files themselves."""
    return make_cells({"grid": "latlon", "resolution": 0.5, "box": [-1.0, 46.0, 2.0, 48.0]})


@pytest.fixture(scope="module")
def coarse():
    """Six cells of the files in two of the model; the last third has none beside it."""
    return make_cells({"grid": "latlon", "resolution": [1.0, 1.0], "box": [-1.0, 46.0, 2.0, 48.0]})


def points(*places, **more):
    return make_cells({"grid": "points", "points": [{"latitude": a, "longitude": b, **more} for a, b in places]})


def opened(luh, domain, **more):
    folder, _, section = luh
    return open_land_use({**section, **more}, domain, folder)


def by_kind(states):
    """(state, ...) of STATES to (6, ...)."""
    out = np.zeros((6, *states.shape[1:]))
    np.add.at(out, KIND_OF, states)
    return out


# --- rules ----------------------------------------------------------------------------------------------------------


@st.composite
def years_of_land(draw, cells=3):
    """Areas with a sum of 1, any transitions (often more than there is), a next state without more primary land."""
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    sparse = draw(st.sampled_from([0.0, 0.5, 0.8]))

    def areas():
        area = random.dirichlet(np.full(6, draw(st.sampled_from([0.1, 1.0]))), cells)
        area = np.where(random.random((cells, 6)) < sparse, 0.0, area)
        area[:, CROP] += 1e-9
        return area / area.sum(axis=1, keepdims=True)

    area, after = areas(), areas()
    lost = np.maximum(after[:, 0] - area[:, 0], 0.0)
    after[:, 0] -= lost
    after[:, 1] += lost
    moved = random.random((cells, 6, 6)) * draw(st.sampled_from([1e-3, 0.1, 1.0]))
    moved[random.random(moved.shape) < sparse] = 0.0
    moved[:, range(6), range(6)] = 0.0
    moved[:, :, PRIMARY] = 0.0
    year = LandUseYear.still(2000, area)
    year.transitions = moved
    return year, after


@settings(max_examples=80, deadline=None)
@given(years_of_land())
def test_a_repaired_year_obeys_every_rule_and_reaches_the_next_state(case):
    year, after = case
    out, amounts = repaired(year, after)
    check(out, after)
    assert out.transitions.min() >= 0.0
    assert (out.transitions.sum(axis=2) <= out.area + ROUND).all()
    # a cell within the tolerance is left alone, any other reaches the next state to round-off
    miss = np.abs(out.area_after() - after).max(axis=1)
    assert ((miss < ROUND) | (amounts["remainder"] == 0.0)).all()
    assert miss.max() <= 1e-6
    assert not out.transitions[:, :, PRIMARY].any()
    assert np.abs(out.area_after().sum(axis=1) - 1.0).max() < ROUND


@settings(max_examples=60, deadline=None)
@given(years_of_land())
def test_a_year_that_obeys_the_rules_keeps_every_bit(case):
    year, after = case
    good, _ = repaired(year, after)
    again, amounts = repaired(good, good.area_after())
    # areas were divided by their sum before: that changes the last bit at most
    assert np.abs(again.area - good.area).max() <= 2.3e-16
    unscaled = amounts["scaled"] == 0.0
    assert np.array_equal(again.transitions[unscaled], good.transitions[unscaled])
    assert max(float(np.max(v)) for v in amounts.values()) < ROUND


@settings(max_examples=60, deadline=None)
@given(years_of_land())
def test_net_transitions_lead_to_the_same_state_with_the_least_moving(case):
    year, after = case
    net = net_transitions(year.area, after)
    assert np.abs(implied_area(year.area, net) - after).max() < ROUND
    assert not np.logical_and(net > 0.0, np.swapaxes(net, 1, 2) > 0.0).any()
    moved = 0.5 * np.abs(after - year.area).sum(axis=1)
    assert np.abs(net.sum(axis=(1, 2)) - moved).max() < ROUND


@settings(max_examples=60, deadline=None)
@given(years_of_land())
def test_gross_less_what_goes_both_ways_changes_areas_equally(case):
    year, _ = case
    net, swap = split_gross(year.transitions)
    assert np.array_equal(swap, np.swapaxes(swap, 1, 2))
    assert np.abs(implied_area(year.area, net) - implied_area(year.area, year.transitions)).max() < ROUND
    assert not np.logical_and(net > 0.0, np.swapaxes(net, 1, 2) > 0.0).any()


def test_transitions_larger_than_their_source_are_scaled_to_it():
    year = LandUseYear.still(2000, [[0.7, 0.0, 0.0, 0.0, 0.3, 0.0]])
    year.transitions[0, CROP, [SECONDARY, PASTURE]] = 0.2, 0.4
    out, amounts = repaired(year)
    assert out.transitions[0, CROP, [SECONDARY, PASTURE]] == pytest.approx([0.1, 0.2], abs=1e-15)
    assert amounts["scaled"] == pytest.approx([0.3], abs=1e-15)
    assert out.area_after()[0, CROP] == pytest.approx(0.0, abs=1e-15)


@pytest.mark.parametrize(
    "change, words",
    [
        (lambda y: y.area.__setitem__((1, 0), 0.9), "sum to 1.2"),
        (lambda y: y.transitions.__setitem__((0, CROP, PASTURE), 0.4), "transitions out of crop are 0.4, more than"),
        (lambda y: y.transitions.__setitem__((0, CROP, PASTURE), -0.1), "a transition is -0.1"),
        (lambda y: y.harvest_mass.__setitem__((0, 1), -2.0), "a harvested mass is -2"),
        (lambda y: y.harvest_area.__setitem__((0, 1), -0.1), "a harvested area is -0.1"),
        (lambda y: y.transitions.__setitem__((0, CROP, PASTURE), np.nan), "missing"),
        (lambda y: y.transitions.__setitem__((0, CROP, PASTURE), 0.1), "the transitions lead to"),
    ],
)
def test_each_broken_rule_is_named(change, words):
    year = LandUseYear.still(2000, np.tile([0.7, 0.0, 0.0, 0.0, 0.3, 0.0], (2, 1)))
    after = year.area.copy()
    check(year, after)
    change(year)
    with pytest.raises(ConcertoError, match=words) as error:
        check(year, after, where="states.nc")
    assert str(error.value).startswith("states.nc, 2000: ") and error.value.hint
    with pytest.raises(ConcertoError, match=r"at (47.25|46.5) N, -?\d E"):
        check(year, after, places=([47.25, 46.5], [-1.0, 2.0]))


# --- LUH2 and LUH3 --------------------------------------------------------------------------------------------------


def test_there_are_108_transitions():
    assert len(transition_names()) == 108


def test_states_become_fractions_of_land(luh, fine):
    truth, series = luh[1], opened(luh, fine)
    assert (series.first_year, series.last_year) == (1850, 1853)
    assert any("108 transitions" in note for note in series.notes)
    for t, y in enumerate(truth["years"]):
        expected = by_kind(truth["states"][t]) / (1.0 - truth["water"])
        assert np.abs(series.year(y).area - expected.reshape(6, -1).T).max() < ROUND
        assert np.abs(series.year(y).area.sum(axis=1) - 1.0).max() < ROUND


@pytest.mark.parametrize("grid", ["fine", "coarse"])
def test_transitions_lead_from_each_state_to_the_next(luh, grid, request):
    series = opened(luh, request.getfixturevalue(grid), inconsistent="refuse")
    for y in range(1850, 1853):
        year = series.year(y)
        assert year.has_transitions and year.transitions.sum() > 0.0
        assert np.abs(year.area_after() - series.year(y + 1).area).max() < ROUND
    last = series.year(1853)
    assert not last.has_transitions and not last.transitions.any()
    assert series.repairs() == []


def test_harvested_primary_land_becomes_secondary(luh, fine):
    truth, year = luh[1], opened(luh, fine).year(1850)
    land = (1.0 - truth["water"]).ravel()
    direct = sum(v[0].ravel() for (a, b), v in truth["moves"].items() if a[:5] in ("primf", "primn") and "secd" in b)
    cut = truth["harvest"][0, :2].reshape(2, -1)
    expected = (direct + cut.sum(axis=0)) / land
    assert np.abs(year.transitions[:, PRIMARY, SECONDARY] - expected).max() < ROUND
    assert np.abs(year.harvest_area[:, :2] - (cut / land).T).max() < ROUND
    beside = year.transitions_beside_harvest()
    assert np.abs(beside[:, PRIMARY, SECONDARY] - direct / land).max() < ROUND
    beside[:, PRIMARY, SECONDARY] = year.transitions[:, PRIMARY, SECONDARY]
    assert np.array_equal(beside, year.transitions)


def test_the_mean_over_coarse_cells_is_by_area_of_land(luh, coarse):
    truth, year = luh[1], opened(luh, coarse).year(1851)
    area = cell_areas(LATITUDE, LONGITUDE)
    land, mass = area * (1.0 - truth["water"]), truth["mass"][1]

    def block(values):  # sums of 2 x 2 cells, from the north-west
        return values.reshape(2, 2, 3, 2).sum(axis=(1, 3)).ravel()

    for kind, values in enumerate(by_kind(truth["states"][1])):
        assert np.abs(year.area[:, kind] - block(values * area) / block(land)).max() < ROUND
    # 1e-9: the area of the cells in the file was made with another formula of the same sphere
    for k in range(len(HARVEST)):
        assert year.harvest_mass[:, k] == pytest.approx(block(mass[k]) / block(land), rel=1e-9)
    crops = truth["states"][1, 7:]
    fertiliser = sum((50.0 + 10.0 * k) * 1e-4 * crops[k] for k in range(5))
    expected = block(fertiliser * area) / block(crops.sum(axis=0) * area)
    assert np.abs(year.management["fertiliser"] - expected).max() < ROUND
    expected = block((crops[1] + crops[3]) * area) / block(crops.sum(axis=0) * area)
    assert np.abs(year.management["crop_c4"] - expected).max() < ROUND
    assert year.management["fuelwood"] == pytest.approx(0.4, abs=1e-12)
    assert year.secondary_age == pytest.approx(33.0, abs=1e-9)
    expected = block(truth["states"][1, 0] * area) / block(truth["states"][1, :2].sum(axis=0) * area)
    assert np.abs(year.forest[:, 0] - expected).max() < ROUND
    expected = block(truth["states"][1, [0, 2]].sum(axis=0) * area) / block(truth["states"][1, :4].sum(axis=0) * area)
    assert np.abs(year.forest_of_natural() - expected).max() < ROUND


def test_a_point_and_a_finer_cell_take_the_cell_that_holds_them(luh, fine):
    whole = opened(luh, fine).year(1850)
    there = opened(luh, points((47.3, 0.3), (46.3, 1.6))).year(1850)
    for k, (lat, lon) in enumerate([(47.25, 0.25), (46.25, 1.75)]):
        cell = np.flatnonzero((fine.latitude == lat) & (fine.longitude == lon))[0]
        assert np.abs(there.area[k] - whole.area[cell]).max() < ROUND
        assert np.abs(there.transitions[k] - whole.transitions[cell]).max() < ROUND
    finer = make_cells({"grid": "latlon", "resolution": 0.25, "box": [-1.0, 46.0, 2.0, 48.0]})
    inside = opened(luh, finer).year(1850)
    cell = np.array([
        np.argmin(np.abs(fine.latitude - a) + np.abs(fine.longitude - b))
        for a, b in zip(finer.latitude, finer.longitude, strict=True)
    ])  # fmt: skip
    assert np.abs(inside.area - whole.area[cell]).max() < ROUND


def test_a_rank_reads_the_same_bits(luh, coarse):
    whole = opened(luh, coarse)
    for first, last in ((0, 2), (2, 6), (3, 4), (4, 4)):
        part = whole.subset(slice(first, last)).year(1851)
        full = whole.year(1851)
        for name in ("area", "transitions", "harvest_area", "harvest_mass", "forest", "secondary_age"):
            assert np.array_equal(getattr(part, name), getattr(full, name)[first:last]), name
        for name, values in part.management.items():
            assert np.array_equal(values, full.management[name][first:last], equal_nan=True), name


def test_longitudes_from_0_to_360_and_cells_across_the_date_line(tmp_path):
    longitude = np.arange(0.5, 360.0, 1.0)
    latitude = np.array([0.5, -0.5])
    truth = history(years=(1850, 1851), latitude=latitude, longitude=longitude, seed=21)
    files = write_luh(tmp_path, truth, management=False)
    domain = points(*zip(np.zeros(4) + 0.5, (179.5, -179.5, 0.5, -0.5), strict=True))
    year = open_land_use({"source": "luh2", "files": files}, domain, tmp_path).year(1850)
    expected = by_kind(truth["states"][0]) / (1.0 - truth["water"])
    assert np.abs(year.area - expected[:, 0, [179, 180, 0, 359]].T).max() < ROUND
    box = make_cells({"grid": "latlon", "resolution": 1.0, "box": [178.0, -1.0, -178.0, 1.0]})
    year = open_land_use({"source": "luh2", "files": files}, box, tmp_path).year(1850)
    for cell in range(box.n_cell):
        row, column = int(0.5 - box.latitude[cell]), int(np.mod(box.longitude[cell], 360.0) - 0.5)
        assert np.abs(year.area[cell] - expected[:, row, column]).max() < ROUND
    assert box.n_cell == 8


def test_only_two_years_stay_in_memory(luh, coarse):
    series = opened(luh, coarse)
    first = series.year(1850)
    series.year(1851)
    assert series.year(1850) is first
    series.year(1852)
    assert len(series._cache) == 2


def test_the_files_may_be_upside_down_single_precision_and_in_days(tmp_path, luh, fine, monkeypatch):
    monkeypatch.setitem(land_use_files.FORMAT, "of files", "NETCDF4")
    truth = luh[1]
    flip = {**truth, "latitude": LATITUDE[::-1], "water": truth["water"][::-1], "states": truth["states"][:, :, ::-1]}
    flip["moves"] = {k: v[:, ::-1] for k, v in truth["moves"].items()}
    flip["harvest"], flip["mass"] = truth["harvest"][:, :, ::-1], truth["mass"][:, :, ::-1]
    files = write_luh(tmp_path, flip, kind="f4", time_units="days since 1850-01-01")
    series = open_land_use({"source": "luh2", "files": files}, fine, tmp_path)
    expected = opened(luh, fine)
    # single precision: 6e-8 of each of a dozen numbers
    assert np.abs(series.year(1851).area - expected.year(1851).area).max() < 1e-6
    assert np.abs(series.year(1851).transitions - expected.year(1851).transitions).max() < 1e-6
    assert series.repairs() == []


def test_without_transitions_they_are_the_net_ones(tmp_path, luh, fine):
    files = {k: v for k, v in luh[2]["files"].items() if k in ("states", "static")}
    truth = history(seed=3)
    truth["states"][1:] = truth["states"][0]
    truth["states"][1, 4] += 0.5 * truth["states"][0, 0]  # primary forest to pasture
    truth["states"][1, 0] *= 0.5
    truth["states"][2:] = truth["states"][1]
    write_luh(tmp_path, truth)
    series = open_land_use({"source": "luh2", "files": files}, fine, tmp_path)
    year = series.year(1850)
    assert np.abs(year.area_after() - series.year(1851).area).max() < ROUND
    assert (year.transitions > ROUND).sum() == fine.n_cell
    assert any("net ones" in note for note in series.notes)


def test_net_and_gross_give_the_same_areas(luh, coarse):
    gross, net = opened(luh, coarse), opened(luh, coarse, transitions="net")
    a, b = gross.year(1850), net.year(1850)
    assert np.abs(a.area_after() - b.area_after()).max() < ROUND
    assert b.transitions.sum() < a.transitions.sum()
    assert not np.logical_and(b.transitions > 0, np.swapaxes(b.transitions, 1, 2) > 0).any()


def test_removed_urban_land_is_shared_and_areas_still_follow(luh, coarse):
    kept, series = opened(luh, coarse), opened(luh, coarse, urban="remove")
    for y in (1850, 1851):
        year, whole = series.year(y), kept.year(y)
        assert not year.area[:, URBAN].any() and not year.transitions[:, URBAN].any()
        expected = whole.area[:, :URBAN] / (1.0 - whole.area[:, URBAN, None])
        assert np.abs(year.area[:, :URBAN] - expected).max() < ROUND
        assert np.abs(year.area_after() - series.year(y + 1).area).max() < ROUND


def test_land_without_data_is_primary_and_a_hole_is_an_error(tmp_path, fine):
    truth = history(seed=5)
    gone = np.zeros(truth["water"].shape, bool)
    gone[1, 2] = True
    files = write_luh(tmp_path, truth, missing=gone)
    series = open_land_use({"source": "luh2", "files": files}, fine, tmp_path)
    year = series.year(1851)
    cell = 1 * len(LONGITUDE) + 2
    assert year.area[cell, PRIMARY] == 1.0 and not year.transitions[cell].any()
    assert year.transitions[cell + 1].any()
    series.close()
    import netCDF4

    with netCDF4.Dataset(tmp_path / "states.nc", "a") as file:
        file["pastr"][:, 0, 0] = np.ma.masked
    series = open_land_use({"source": "luh2", "files": files}, fine, tmp_path)
    with pytest.raises(ConcertoError, match=r"states.nc, 1850: 1 of 12 states are missing at 47.75 N, -0.75 E"):
        series.year(1850)


def test_a_cell_without_land_in_the_file_takes_the_nearest(tmp_path, fine):
    water = np.full((4, 6), 0.25)
    water[0, 0] = 1.0
    truth = history(seed=6, water=water)
    files = write_luh(tmp_path, truth)
    series = open_land_use({"source": "luh2", "files": files}, fine, tmp_path)
    assert np.array_equal(series.year(1850).area[0], series.year(1850).area[1])
    # the next cell is half a degree of longitude away, at 47.75 N
    words = "1 of 24 cells without land in the file take its nearest, at most 0.34 degrees away"
    assert any(words in note for note in series.notes)


def test_a_history_that_does_not_cover_the_domain_is_refused(tmp_path, fine):
    far = "{} does not cover the domain: 24 of 24 cells have no land in it within {} degrees, the farthest, at"
    for step, words in (
        ({"longitude": LONGITUDE + 180.0}, far.format("states.nc", 2)),
        ({"latitude": LATITUDE[::-1] - 90.0}, far.format("states.nc", 2)),
        ({"longitude": LONGITUDE[:1] + 180.0 + np.arange(6.0), "latitude": 47.5 - np.arange(4.0)},
         far.format("states.nc", 4)),
    ):  # fmt: skip
        files = write_luh(tmp_path, {**history(seed=6), **step}, management=False)
        with pytest.raises(ConcertoError, match=words) as error:
            open_land_use({"source": "luh2", "files": files}, fine, tmp_path)
        assert "shifted" in error.value.hint
    files = write_luh(tmp_path, {**history(seed=6), "latitude": LATITUDE + 5.0}, management=False)
    with pytest.raises(ConcertoError, match="the farthest, at 46.25 N, .* by 5 degrees"):
        open_land_use({"source": "luh2", "files": files}, fine, tmp_path)


@pytest.mark.parametrize("layout", ["plain", "upside down", "lon first", "packed", "valid", "missing_value"])
def test_pixels_are_those_of_the_masked_box(tmp_path, fine, layout):
    import netCDF4

    files = write_luh(tmp_path, history(seed=6), management=False)
    with netCDF4.Dataset(tmp_path / "static.nc", "w") as file:
        latitude = LATITUDE[::-1] if layout == "upside down" else LATITUDE
        longitude = np.roll(LONGITUDE % 360.0, 2)
        for name, values in (("lat", latitude), ("lon", longitude)):
            file.createDimension(name, len(values))
            file.createVariable(name, "f8", (name,))[:] = values
        dims = ("lon", "lat") if layout == "lon first" else ("lat", "lon")
        water = np.linspace(0.01, 0.9, 24).reshape([len(file.dimensions[d]) for d in dims]).astype("f4")
        variable = file.createVariable("icwtr", "i2" if layout == "packed" else "f4", dims, fill_value=-999)
        if layout == "packed":
            variable.scale_factor = 0.001
        if layout == "valid":
            variable.valid_max = np.float32(0.5)
        if layout == "missing_value":
            variable.missing_value = water[1, 1]
        variable[:] = np.ma.masked_where(np.arange(24).reshape(water.shape) == 9, water)
        variable[2, 2] = 0.25
    series = open_land_use({"source": "luh2", "files": files}, fine, tmp_path)
    for domain in (fine, fine.take(slice(8, 20))):
        to = series.to_cells if domain is fine else series.subset(slice(8, 20)).to_cells
        box = series.static.raw("icwtr", None, to.rows, to.columns).astype(float).filled(np.nan)
        place = (to.row - to.rows[0]) * box.shape[1] + to.column - to.columns[0]
        assert np.array_equal(series.static.pixels("icwtr", None, to), box.ravel()[place], equal_nan=True)
    whole = series.static.raw("icwtr", None, (0, 4))
    assert np.ma.count_masked(whole) == {"valid": 11, "missing_value": 2}.get(layout, 1)
    assert len(series.to_cells.pixels) == 24 - np.ma.count_masked(whole)  # what is missing is no land


def test_an_outline_has_the_same_land_and_no_more_management_than_asked_for(luh, coarse, monkeypatch):
    whole, series, read = opened(luh, coarse), opened(luh, coarse), []
    expected = {y: whole.year(y) for y in (1850, 1851)}
    pixels = type(series.states).pixels
    monkeypatch.setattr(
        type(series.states), "pixels", lambda self, name, *more: (read.append(name), pixels(self, name, *more))[1]
    )
    outline = series.outline(["irrigated"])
    for y in (1850, 1851):
        a, b = expected[y], outline.year(y)
        for name in ("area", "transitions", "harvest_area", "harvest_mass"):
            assert np.array_equal(getattr(a, name), getattr(b, name)), name
        assert set(b.management) == {"irrigated", "crop_c4"} and b.secondary_age is None
        assert np.array_equal(a.management["irrigated"], b.management["irrigated"])
    assert "irrig_c3ann" in read and not {"fertl_c3ann", "fulwd", "secma"} & set(read)
    monkeypatch.undo()
    assert set(series.year(1850).management) > {"irrigated", "fertiliser", "fuelwood"}  # the series itself has all
    held = opened(luh, coarse, fixed_year=1851).outline()
    assert set(held.year(1700).management) == {"crop_c4"}


def test_years_outside_are_refused_or_held(luh, coarse):
    series = opened(luh, coarse)
    with pytest.raises(ConcertoError, match="no year 1840: its states are those of 1850 to 1853"):
        series.year(1840)
    held = opened(luh, coarse, held=True)
    early, late = held.year(1840), held.year(1900)
    assert early.year == 1840 and not early.transitions.any() and not early.harvest_area.any()
    assert np.array_equal(early.area, held.year(1850).area)
    assert np.array_equal(late.area, held.year(1853).area)


def test_land_use_held_at_one_year_never_changes(luh, coarse):
    fixed, series = opened(luh, coarse, fixed_year=1851), opened(luh, coarse)
    for y in (1500, 1850, 1852, 2020):
        year = fixed.year(y)
        assert year.year == y
        assert np.array_equal(year.area, series.year(1851).area)
        assert not year.transitions.any() and not year.harvest_mass.any()
        assert "fertiliser" in year.management
    part = fixed.subset(slice(1, 3)).year(1700)
    assert np.array_equal(part.area, series.year(1851).area[1:3])
    with pytest.raises(ConcertoError, match="fixed_year is 1700"):
        opened(luh, coarse, fixed_year=1700)


def test_states_of_a_newer_release_come_from_the_file_and_the_map(tmp_path, fine):
    states = (*STATES, "pltns")
    truth = history(states=states, seed=8)
    files = write_luh(tmp_path, truth, management=False)
    series = open_land_use({"source": "luh3", "files": files}, fine, tmp_path)
    land = 1.0 - truth["water"]
    expected = (truth["states"][0, [2, 3, 12]].sum(axis=0) / land).ravel()
    assert np.abs(series.year(1850).area[:, SECONDARY] - expected).max() < ROUND
    own = tmp_path / "own.toml"
    text = (state_map.__globals__["STATES"]).read_text()
    own.write_text(text.replace('pltns = { kind = "secondary", forest = true }', 'pltns = "crop"'))
    series = open_land_use({"source": "luh3", "files": files, "states": "own.toml"}, fine, tmp_path)
    expected = (truth["states"][0, [*range(7, 12), 12]].sum(axis=0) / land).ravel()
    assert np.abs(series.year(1850).area[:, CROP] - expected).max() < ROUND
    own.write_text(text.replace("pltns", "pinus"))
    with pytest.raises(ConcertoError, match="states.nc: pltns is no known state"):
        open_land_use({"source": "luh3", "files": files, "states": "own.toml"}, fine, tmp_path)


def edited(luh, tmp_path, name, edit):
    """The section of files of which one was changed."""
    import netCDF4

    folder, _, section = luh
    for file in section["files"].values():
        shutil.copy(folder / file, tmp_path / file)
    with netCDF4.Dataset(tmp_path / f"{name}.nc", "a") as file:
        edit(file)
    return section


def at(name, key, value):
    return lambda file: file[name].__setitem__(key, value)


FIRST = (0, 0, 0)
FAULTS = {
    "a sum off": ("states", at("pastr", FIRST, 0.9), "repair", r"states.nc, 1850: states sum to .* at 47.75 N"),
    "a sum slightly off": (
        "states", lambda f: at("pastr", FIRST, f["pastr"][0, 0, 0] + 1e-3)(f), "refuse", "1850: states sum to"
    ),
    "more than there is": (
        "transitions", at("pastr_to_c3ann", FIRST, 0.9), "refuse", "transitions out of pasture are .*, more than its"
    ),
    "not the next state": (
        "transitions", lambda f: at("c4ann_to_urban", FIRST, f["c4ann"][0] if "c4ann" in f.variables else 0.0)(f),
        "refuse", "the transitions lead to .* of (crop|urban), the state of 1851 has",
    ),
    "primary land that grows": (
        "states", lambda f: (at("primf", (1, 0, 0), f["primf"][1, 0, 0] + f["secdf"][1, 0, 0] + 0.02)(f),
                             at("secdf", (1, 0, 0), 0.0)(f), at("pastr", (1, 0, 0), f["pastr"][1, 0, 0] - 0.02)(f)),
        "repair", "states.nc, 1850: primary land grows from",
    ),
    "a negative state": ("states", at("urban", FIRST, -0.5), "repair", "urban is -0.5, less than zero"),
    "a negative harvest": ("transitions", at("secmf_bioh", FIRST, -5.0), "repair", "secmf_bioh is less than zero"),
    "a negative area cut": ("transitions", at("secmf_harv", FIRST, -0.5), "repair", "secmf_harv is -0.5"),
    "shifted years": (
        "transitions", lambda f: f["time"].__setitem__(slice(None), f["time"][:] + 1), "repair",
        "transitions.nc has no year 1850",
    ),
    "per cent": ("transitions", at("pastr_to_c3ann", FIRST, 12.0), "repair", "pastr_to_c3ann reaches 12, more than"),
    "a missing transition": (
        "transitions", at("pastr_to_c3ann", FIRST, np.ma.masked), "repair", "pastr_to_c3ann is missing where the states"
    ),
    "a unit of mass": (
        "transitions", lambda f: f["secmf_bioh"].setncattr("units", "m3"), "repair", "secmf_bioh is in m3, not kg C"
    ),
    "a unit of area": ("static", lambda f: f["carea"].setncattr("units", "m2"), "repair", "carea in m2 is 1e-06 times"),
    "a unit of a state": (
        "states", lambda f: f["urban"].setncattr("units", "km2"), "repair", "urban is in km2, not a fraction"
    ),
    "a unit of fertiliser": (
        "management", lambda f: f["fertl_c3ann"].setncattr("units", "lb"), "repair", "fertl_c3ann is in lb, not kg N"
    ),
    "an unknown state": ("states", lambda f: f.renameVariable("pastr", "paster"), "repair", "paster is no known state"),
    "a transition to nowhere": (
        "transitions", lambda f: f.renameVariable("pastr_to_c3ann", "pastr_to_maize"), "repair",
        "pastr_to_maize names maize, which is no state",
    ),
    "into primary land": (
        "transitions", lambda f: f.renameVariable("pastr_to_c3ann", "pastr_to_primf"), "repair", "leads into primary"
    ),
    "no water": ("static", lambda f: f.renameVariable("icwtr", "ice"), "repair", "there is no variable icwtr"),
    "another grid": ("static", at("lat", slice(None), LATITUDE + 1.0), "repair", "are on different grids"),
    "negative fertiliser": (
        "management", at("fertl_c3ann", FIRST, -50.0), "repair", "1850: fertl_c3ann is -0.005 kg N m-2 yr-1, less than"
    ),
    "negative irrigation": ("management", at("irrig_c4ann", FIRST, -0.5), "repair", "irrig_c4ann is -0.5, less than z"),
    "a fraction of fertiliser below zero": (
        "management", at("fertl_c3ann", FIRST, -0.05), "refuse", "fertl_c3ann is -5e-06 kg N m-2 yr-1, less than zero"
    ),
    "missing fertiliser": (
        "management", at("fertl_c3per", FIRST, np.ma.masked), "repair",
        "management.nc, 1850: fertl_c3per is missing where there is c3per, at 47.75 N, -0.75 E",
    ),
    "missing irrigation": (
        "management", at("irrig_c3nfx", (0, slice(2)), np.nan), "repair",
        "irrig_c3nfx is missing where there is c3nfx, at 47.75 N, .* and in 11 more",
    ),
    "missing fuelwood": (
        "management", at("fulwd", FIRST, np.ma.masked), "repair", "fulwd is missing where wood is harvested, at 47.75 N"
    ),
    "a mass in grams": (
        "transitions", lambda f: at("secmf_bioh", 0, f["secmf_bioh"][0] * 1e3)(f), "repair",
        "secmf_bioh is .* kg C m-2 of the land that is cut, more than the 60 that any forest holds, at 47.75 N",
    ),
    "a mass beyond the land": (
        "transitions", lambda f: (at("secmf_harv", 0, 0.0)(f), at("secmf_bioh", FIRST, 1e12)(f)), "repair",
        "secmf_bioh is .* kg C m-2 of the land, more than the 60",
    ),
    "a year without states": (
        "states", lambda f: [at(n, (1, 0, 0), np.ma.masked)(f) for n in STATES], "repair",
        "states.nc: all states of 1851 are missing, and those of 1850 are not, at 47.75 N, -0.75 E",
    ),
    "a first year without states": (
        "states", lambda f: [at(n, FIRST, np.ma.masked)(f) for n in STATES], "repair",
        "states.nc: all states of 1850 are missing, and those of 1851 are not, at 47.75 N, -0.75 E",
    ),
    "water in per cent": ("static", at("icwtr", (0, 0), 40.0), "repair", "icwtr reaches 40, not a fraction"),
    "water below zero": ("static", at("icwtr", (0, 0), -0.2), "repair", "icwtr reaches -0.2, not a fraction"),
    "times that go back": (
        "states", at("time", slice(2, 4), 0.0), "repair",
        "states.nc is damaged: its times do not increase, 1001 is followed by 0 on time",
    ),
    "a gap in time": ("states", at("time", 3, 1004.0), "repair", "states.nc: the year 1853 is missing"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_of_a_file_is_one_clear_sentence(luh, fine, tmp_path, fault):
    name, edit, rule, words = FAULTS[fault]
    section = edited(luh, tmp_path, name, edit)
    with pytest.raises(ConcertoError, match=words) as error:
        open_land_use({**section, "inconsistent": rule}, fine, tmp_path).year(1850)
    assert error.value.hint and "\n" not in error.value.message


def test_transitions_labelled_one_year_off_are_recognised(tmp_path, fine):
    truth = history(years=(1850, 1854), seed=11)
    for step, words in (
        (1, "seem shifted by one year: those labelled with the year after .* one year too late"),
        (-1, "seem shifted by one year: those labelled with the year before .* one year too early"),
    ):
        moved = {**truth, "moves": {k: np.roll(v, step, axis=0) for k, v in truth["moves"].items()}}
        moved["harvest"], moved["mass"] = np.roll(truth["harvest"], step, axis=0), np.roll(truth["mass"], step, axis=0)
        files = write_luh(tmp_path, moved, management=False)
        series = open_land_use({"source": "luh2", "files": files}, fine, tmp_path)
        with pytest.raises(ConcertoError, match=words):
            series.year(1852)
        series.close()


def test_small_faults_are_repaired_and_reported(luh, fine, tmp_path):
    def edit(file):
        file["pastr_to_c3ann"][0, 0, 0] += 0.02
        file["c3per_to_c4per"][0, 0, 1] += 0.9  # within crop: of no concern
        file["urban_to_pastr"][1, 0, 2] = 0.9

    section = edited(luh, tmp_path, "transitions", edit)
    series, good = open_land_use(section, fine, tmp_path), opened(luh, fine)
    for y in (1850, 1851):
        assert np.abs(series.year(y).area_after() - good.year(y + 1).area).max() < ROUND
        assert series.year(y).transitions.min() >= 0.0
    same = slice(6, None)
    assert np.array_equal(series.year(1850).transitions[same], good.year(1850).transitions[same])
    text = " ".join(series.repairs())
    assert "scaled down in 1 year, most in 1851" in text and "net transitions were added" in text
    with pytest.raises(ConcertoError, match="at 47.75 N, -0.75 E"):
        open_land_use({**section, "inconsistent": "refuse"}, fine, tmp_path).year(1850)


def test_small_negative_values_are_repaired_with_their_amount(luh, fine, tmp_path):
    def edit(file):
        file["fertl_c3ann"][0, 0, 0] = -0.05  # kg N ha-1
        file["irrig_c4ann"][1, 0, 0] = -0.004

    section = edited(luh, tmp_path, "management", edit)
    series = open_land_use(section, fine, tmp_path)
    for y in (1850, 1851):
        year = series.year(y)
        assert year.management["fertiliser"].min() > 0.0 and year.management["irrigated"].min() > 0.0
    text = " ".join(series.repairs())
    assert "small negative rates of fertiliser were set to zero in 1 year, most in 1850: 5e-06 kg N m-2 yr-1" in text
    assert "small negative shares of management were set to zero in 1 year, most in 1851: 0.004 as a share" in text
    section = edited(luh, tmp_path, "transitions", at("secnf_harv", FIRST, -0.004))
    series, land = open_land_use(section, fine, tmp_path), 1.0 - luh[1]["water"][0, 0]
    assert series.year(1850).harvest_area.min() == 0.0
    words = f"small negative values were set to zero in 1 year, most in 1850: {0.004 / land:.2g} of the land of a cell"
    assert words in " ".join(series.repairs())


def test_a_negative_harvest_counts_among_the_repairs():
    year = LandUseYear.still(2000, np.eye(6)[:2])
    year.harvest_area[1, 2], year.harvest_mass[0, 3] = -0.25, -2.0
    out, amounts = repaired(year)
    assert not out.harvest_area.any() and not out.harvest_mass.any()
    assert amounts["negative"].tolist() == [0.0, 0.25] and amounts["mass"].tolist() == [2.0, 0.0]


def test_water_that_is_not_a_number_is_no_land(luh, fine, tmp_path):
    section = edited(luh, tmp_path, "static", at("icwtr", (0, 0), np.nan))
    series = open_land_use(section, fine, tmp_path)
    assert np.array_equal(series.year(1850).area[0], series.year(1850).area[1])
    assert any("1 of 24 cells without land" in note for note in series.notes)


@pytest.mark.parametrize("name, lost", [("states", 1), ("transitions", 5000), ("management", 40), ("static", 8)])
def test_a_classic_file_that_was_cut_is_refused(luh, fine, tmp_path, name, lost):
    section = edited(luh, tmp_path, name, lambda file: None)
    path = tmp_path / f"{name}.nc"
    whole = path.read_bytes()
    path.write_bytes(whole[:-lost])
    with pytest.raises(ConcertoError, match=f"{name}.nc is shorter than its header says: {lost} bytes are missing"):
        open_land_use(section, fine, tmp_path)
    path.write_bytes(whole)
    open_land_use(section, fine, tmp_path).year(1850)


def test_missing_files_and_words_are_named(luh, fine, tmp_path):
    files = luh[2]["files"]
    for section, words in (
        ({"source": "luh2", "files": {**files, "states": "no.nc"}}, "there is no file .*no.nc"),
        ({"source": "luh2", "files": {"static": "static.nc"}}, "land_use.files has no states"),
        ({"source": "luh4"}, "land_use.source is 'luh4'"),
        ({"source": "luh2", "files": files, "transitions": "both"}, "land_use.transitions is 'both'"),
        ({"source": "luh2", "files": files, "inconsistent": "ignore"}, "land_use.inconsistent is 'ignore'"),
        ({"source": "luh2", "files": files, "secondary": "many"}, "land_use.secondary is 'many'"),
        ({"source": "luh2", "files": {**files, "states": "static.nc"}}, "icwtr is no known state"),
        ({"source": "hilda", "files": {"maps": "h_{year}.nc"}}, "no file matches h_{year}.nc"),
    ):
        with pytest.raises(ConcertoError, match=words):
            open_land_use(section, fine, luh[0])
    assert open_land_use({"source": "none"}, fine) is None


# --- maps of classes ------------------------------------------------------------------------------------------------

FINE_LAT, FINE_LON = 47.95 - 0.1 * np.arange(20), -0.95 + 0.1 * np.arange(30)  # a hundred in a cell of a degree


def hilda_codes(seed=2, codes=(22, 23, 33, 41, 44, 45, 55, 66, 11), n_year=3):
    random = np.random.default_rng(seed)
    out = np.empty((n_year, 20, 30), int)
    out[0] = random.choice(codes, (20, 30))
    for t in range(1, n_year):
        change = random.random((20, 30)) < 0.2
        out[t] = np.where(change, random.choice(codes, (20, 30)), out[t - 1])
    out[:, :3, :4] = 77
    return out


def pixel_area(lat):
    return np.repeat(cell_areas(lat, FINE_LON)[:, :1], len(FINE_LON), axis=1)


@pytest.mark.parametrize("single", [True, False])
def test_hilda_transitions_are_counted_in_fine_pixels(tmp_path, coarse, single):
    codes, years = hilda_codes(), [1960, 1961, 1962]
    path = tmp_path / ("hilda.nc" if single else "hilda_{year}.nc")
    write_hilda(path, codes, years, FINE_LAT, FINE_LON, single=single)
    series = open_land_use({"source": "hilda", "files": {"maps": path.name}}, coarse, tmp_path)
    assert (series.first_year, series.last_year, series.version) == (1960, 1962, "2.1")
    weight = pixel_area(FINE_LAT)
    kind = np.vectorize({11: 5, 22: 4, 23: 4, 33: 2, 41: 0, 44: 0, 45: 0, 55: 0, 66: 0, 77: -1}.get)(codes)

    def share(mask, land):  # of the land of each cell of a degree
        def block(values):
            return values.reshape(2, 10, 3, 10).sum(axis=(1, 3)).ravel()

        return block(weight * mask) / block(weight * land)

    land = kind[0] >= 0
    first, second = series.year(1960), series.year(1961)
    for k in (0, 2, 4, 5):
        assert np.abs(first.area[:, k] - share(kind[0] == k, land)).max() < 1e-10  # sines and sums in another order
    for a, b in ((0, 4), (0, 2), (2, 4), (4, 5), (4, 2)):
        expected = share((kind[0] == a) & (kind[1] == b), land)
        assert np.abs(first.transitions[:, a, b] - expected).max() < 1e-10
    assert np.abs(first.transitions[:, CROP, SECONDARY] - share((kind[0] == 4) & (kind[1] == 0), land)).max() < 1e-10
    assert not first.transitions[:, :, PRIMARY].any()
    assert np.abs(second.area - first.area_after()).max() < ROUND
    third = series.year(1962)
    assert np.abs(third.area[:, :2].sum(axis=1) - share(kind[2] == 0, land)).max() < 1e-10
    forest = np.isin(codes[0], (41, 44, 45))
    expected = share(forest, land) / share(kind[0] == 0, land)
    assert np.abs(first.forest[:, PRIMARY] - expected).max() < 1e-10
    # another order of years, and a rank, come to the same
    again = open_land_use({"source": "hilda", "files": path.name}, coarse, tmp_path)
    part = again.subset(slice(2, 5))
    assert np.array_equal(part.year(1962).area, third.area[2:5])
    assert np.array_equal(part.year(1960).transitions, first.transitions[2:5])
    nobody = again.subset(slice(3, 3)).year(1961)
    assert nobody.area.shape == (0, 6) and nobody.transitions.shape == (0, 6, 6)


@pytest.mark.parametrize("pattern", ["in_{year}/h.nc", "in_*/h.nc", "one/h_*.nc", "one/h_19{year}.nc"])
def test_files_are_found_by_patterns(tmp_path, coarse, pattern):
    for k, year in enumerate((1960, 1961, 1962)):
        for path in (tmp_path / f"in_{year}/h.nc", tmp_path / f"one/h_19{year}.nc"):
            write_hilda(path, hilda_codes()[k : k + 1], [year], FINE_LAT, FINE_LON)
    series = open_land_use({"source": "hilda", "files": pattern}, coarse, tmp_path)
    assert (series.first_year, series.last_year) == (1960, 1962)


def test_code_44_of_hilda_is_forest_or_deciduous_by_version(tmp_path, coarse):
    for name, codes, legend, version in (
        ("a.nc", (11, 22, 33, 44, 55, 66), None, "1.0"),
        ("b.nc", (11, 22, 33, 44, 55, 66), [11, 22, 33, 40, 41, 44], "2.1"),
        ("c.nc", (11, 22, 33, 41, 44), None, "2.1"),
    ):
        write_hilda(tmp_path / name, hilda_codes(codes=codes), [1960, 1961, 1962], FINE_LAT, FINE_LON, legend=legend)
        series = open_land_use({"source": "hilda", "files": name}, coarse, tmp_path)
        assert series.version == version
        assert any(version in note and "44" in note for note in series.notes)
    assert HILDA_GROUPS["1.0"][44] == {"tree_local": 100} and HILDA_GROUPS["2.1"][44] == {"tree_bd": 100}
    assert all(sum(groups.values()) == 100 for table in HILDA_GROUPS.values() for groups in table.values())
    given = open_land_use({"source": "hilda", "files": "a.nc", "version": "2.1"}, coarse, tmp_path)
    assert given.version == "2.1"


def test_land_that_turns_into_water_leaves_the_rest_consistent(tmp_path, coarse):
    codes = hilda_codes(n_year=2)
    codes[1, 5:8] = 77
    write_hilda(tmp_path / "h.nc", codes, [1960, 1961], FINE_LAT, FINE_LON)
    series = open_land_use({"source": "hilda", "files": "h.nc"}, coarse, tmp_path)
    expected = series._kinds(1961)[0]
    assert np.abs(series.year(1961).area[:, 2:] - expected[:, 1:]).max() < ROUND
    assert series.repairs()


def test_pasture_may_be_parted_into_rangeland(tmp_path, coarse):
    write_hilda(tmp_path / "h.nc", hilda_codes(), [1960, 1961, 1962], FINE_LAT, FINE_LON)
    section = {"source": "hilda", "files": "h.nc"}
    whole = open_land_use(section, coarse, tmp_path).year(1960)
    year = open_land_use({**section, "pasture_share": 0.25}, coarse, tmp_path).year(1960)
    assert np.abs(year.area[:, PASTURE] - 0.25 * whole.area[:, PASTURE]).max() < ROUND
    assert np.abs(year.area[:, RANGELAND] - 0.75 * whole.area[:, PASTURE]).max() < ROUND
    assert np.abs(year.area_after().sum(axis=1) - 1.0).max() < ROUND


def test_faults_of_class_maps_are_named(tmp_path, coarse):
    codes = hilda_codes()
    codes[1, 4, 4] = 12
    write_hilda(tmp_path / "h.nc", codes, [1960, 1961, 1962], FINE_LAT, FINE_LON)
    with pytest.raises(ConcertoError, match="h.nc, 1961: 12 is no class of HILDA"):
        open_land_use({"source": "hilda", "files": "h.nc"}, coarse, tmp_path).year(1960)
    write_hilda(tmp_path / "g_{year}.nc", hilda_codes(), [1960, 1961, 1963], FINE_LAT, FINE_LON, single=False)
    with pytest.raises(ConcertoError, match="the year 1962 is missing"):
        open_land_use({"source": "hilda", "files": "g_{year}.nc"}, coarse, tmp_path)


def test_maps_of_another_region_are_refused(tmp_path, coarse):
    write_hilda(tmp_path / "h.nc", hilda_codes(), [1960, 1961, 1962], FINE_LAT, FINE_LON + 180.0)
    with pytest.raises(ConcertoError, match="h.nc does not cover the domain: no cell of 6 has land in it"):
        open_land_use({"source": "hilda", "files": "h.nc"}, coarse, tmp_path)


def test_esa_cci_crosswalk_is_the_published_table(reference):
    table = reference("disturb_esacci_lc_to_pft.csv")
    for row, code in enumerate(table["lccs"].astype(int)):
        values = {name: float(table[name][row]) / 100.0 for name in table}
        expected = [
            sum(v for name, v in values.items() if name.startswith("tree")),
            sum(v for name, v in values.items() if name.startswith("shrub")) + values["grass_nat"] + values["bare"],
            0.0,
            values["grass_man"],
            values["urban"],
            values["water"] + values["snow_ice"] + values["no_data"],
        ]
        assert esa_cci_shares(code) == pytest.approx(expected, abs=1e-14), (
            code
        )  # round-off of a few halves of a per cent
    assert set(ESA_CCI_CODES) <= set(table["lccs"].astype(int))


def test_esa_cci_gives_net_transitions_of_its_shares(tmp_path, coarse):
    random = np.random.default_rng(4)
    codes = np.repeat(random.choice([10, 30, 50, 60, 130, 190, 200, 210], (1, 20, 30)), 3, axis=0)
    codes[1, :5][codes[1, :5] == 50] = 10  # forest to crop
    codes[2] = codes[1]
    codes[2][codes[2] == 10] = 130  # crop to grass
    write_esa_cci(tmp_path / "esa_{year}.nc", codes, [2000, 2001, 2002], FINE_LAT, FINE_LON)
    series = open_land_use({"source": "esa_cci", "files": {"maps": "esa_{year}.nc"}}, coarse, tmp_path)
    first, second, third = (series.year(y) for y in (2000, 2001, 2002))
    assert not first.area[:, SECONDARY].any() and first.area[:, CROP].min() > 0.1
    assert (first.transitions[:, PRIMARY, CROP].sum() > 0.0) and not first.transitions[:, CROP].any()
    assert second.transitions[:, CROP, SECONDARY].min() > 0.1 and not second.transitions[:, CROP, PRIMARY].any()
    assert np.abs(third.area - second.area_after()).max() < ROUND
    weight = pixel_area(FINE_LAT)
    crop, land = np.zeros((20, 30)), np.zeros((20, 30))
    for code in np.unique(codes[2]):
        crop[codes[2] == code], land[codes[2] == code] = esa_cci_shares(code)[3], 1.0 - esa_cci_shares(code)[5]

    def block(values):
        return (weight * values).reshape(2, 10, 3, 10).sum(axis=(1, 3)).ravel()

    assert np.abs(third.area[:, CROP] - block(crop) / block(land)).max() < 1e-10
    assert any("no pasture" in note for note in series.notes)


# --- tables and rules -----------------------------------------------------------------------------------------------


def test_a_table_moves_what_it_says(tmp_path):
    domain = points((10.0, 20.0), (50.0, 8.0))
    (tmp_path / "t.csv").write_text(
        "# a comment\nyear, latitude, longitude, from, to, fraction, harvest_mass\n"
        "1900,,,,crop,0.2,\n"
        "1900,10.0,20.0,primary,pasture,0.3,\n"
        "1902,50,8,primf,secdf,0.4,3.5\n"
        "1903,,,crop,secondary,0.1,\n"
        "1904,50,8,secondary,secondary,0.05,1.5\n"
    )
    series = open_land_use({"source": "table", "files": {"table": "t.csv"}}, domain, tmp_path)
    assert (series.first_year, series.last_year) == (1900, 1905)
    first = series.year(1900)
    assert first.area[:, [PRIMARY, CROP]] == pytest.approx(np.array([[0.8, 0.2]] * 2), abs=1e-15)
    assert first.transitions[0, PRIMARY, PASTURE] == 0.3 and not first.transitions[1].any()
    cut = series.year(1902)
    assert cut.transitions[1, PRIMARY, SECONDARY] == 0.4
    assert cut.harvest_area[1].tolist() == [0.4, 0, 0, 0, 0] and cut.harvest_mass[1, 0] == 3.5
    thinned = series.year(1904)
    assert thinned.harvest_area[1, 2] == 0.05 and thinned.harvest_mass[1, 2] == 1.5 and not thinned.transitions.any()
    last = series.year(1950)
    assert last.area[0] == pytest.approx([0.5, 0.1, 0.3, 0, 0.1, 0], abs=1e-14)
    assert last.area[1] == pytest.approx([0.4, 0.5, 0, 0, 0.1, 0], abs=1e-14)
    assert np.array_equal(series.year(1900).area, first.area)  # back in time
    part = series.subset(slice(1, 2))
    assert np.array_equal(part.year(1902).transitions, cut.transitions[1:])


@pytest.mark.parametrize(
    "row, words",
    [
        ("1900,,,primary,forest,0.1", "'forest' is no kind of land"),
        ("1900,,,primary,pasture,1.5", "line 2: the fraction is 1.5"),
        ("1900,,,crop,primary,0.5", "crop becomes primary land"),
        ("1900.5,,,crop,pasture,0.5", "1900.5 is no calendar year"),
        ("1900,,,crop,pasture,much", "fraction is 'much', not a number"),
        ("1900,-40,8,crop,pasture,0.1", "no row for a cell"),
        ("1900,,,crop,pasture,0.1", "transitions out of crop are 0.1, more than its area of 0"),
    ],
)
def test_each_fault_of_a_table_is_named(tmp_path, row, words):
    (tmp_path / "t.csv").write_text(f"year,latitude,longitude,from,to,fraction\n{row}\n")
    section = {"source": "table", "files": "t.csv", "inconsistent": "refuse"}
    with pytest.raises(ConcertoError, match=words):
        open_land_use(section, points((10.0, 20.0)), tmp_path).year(1900)


def rule(**more):
    section = {"source": "idealised", **{k: more.pop(k) for k in ("initial",) if k in more}, "idealised": more}
    return open_land_use(section, points((10.0, 20.0), (0.0, 30.0)))


def test_deforestation_is_linear_and_then_held():
    series = rule(kind="deforest", years=[1900, 1950], fraction=1.0)
    forest = np.array([series.year(y).area[0, PRIMARY] for y in range(1890, 2001, 5)])
    expected = np.clip(1.0 - (np.arange(1890, 2001, 5) - 1900) / 50.0, 0.0, 1.0)
    assert np.abs(forest - expected).max() < ROUND
    assert series.year(1950).area[0].tolist()[PRIMARY] == 0.0
    assert series.year(1949).has_transitions and not series.year(1950).transitions.any()
    pulse = rule(kind="deforest", years=[1900, 1900], fraction=0.5, to="crop")
    assert pulse.year(1899).transitions[0, PRIMARY, CROP] == 0.5 and pulse.year(1900).area[0, CROP] == 0.5


@pytest.mark.parametrize("kind, start", [("afforest", PASTURE), ("abandon", CROP)])
def test_land_given_up_becomes_secondary(kind, start):
    series = rule(kind=kind, years=[1900, 1910], fraction=0.6)
    assert series.year(1900).area[0, start] == 1.0
    assert series.year(1905).area[0, SECONDARY] == pytest.approx(0.3, abs=1e-14)
    assert series.year(2000).area[0, [start, SECONDARY]] == pytest.approx([0.4, 0.6], abs=1e-14)


def test_a_stand_is_cut_and_grows_again_every_rotation():
    series = rule(kind="cut_and_regrow", years=[1900, 1960], every=30)
    first, second = series.year(1899), series.year(1929)
    assert first.transitions[0, PRIMARY, SECONDARY] == 1.0 and first.harvest_area[0].tolist() == [1, 0, 0, 0, 0]
    assert not second.transitions.any() and second.harvest_area[0].tolist() == [0, 0, 1, 0, 0]
    assert [y for y in range(1895, 1970) if series.year(y).harvest_area.any()] == [1899, 1929, 1959]


def test_shifting_cultivation_moves_land_and_keeps_areas():
    series = rule(kind="shifting", years=[1900, 1910], fraction=0.05, initial={"secondary": 0.6, "crop": 0.2})
    year = series.year(1905)
    assert year.transitions[0, SECONDARY, CROP] == year.transitions[0, CROP, SECONDARY] == 0.05
    assert year.area[0] == pytest.approx([0.2, 0.6, 0, 0, 0.2, 0], abs=1e-14)
    assert not split_gross(year.transitions)[0].any()


@pytest.mark.parametrize(
    "more, words",
    [
        ({"kind": "burn", "years": [1, 2]}, "kind is 'burn'"),
        ({"kind": "deforest", "years": [1950, 1900]}, r"years is \[1950, 1900\]"),
        ({"kind": "deforest", "years": [1900, 1950], "fraction": 2.0}, "fraction is 2.0"),
        ({"kind": "deforest", "years": [1900, 1950], "to": "pastur"}, "'pastur' is no kind of land"),
        ({"kind": "deforest", "years": [1900, 1950], "to": "primary"}, "from and to are both primary"),
        ({"kind": "abandon", "years": [1900, 1950], "to": "primary"}, "nothing can become primary"),
        ({"kind": "deforest", "years": [1900, 1950], "fraction": 0.5, "initial": {"crop": 0.9}}, "primary has 0.1"),
    ],
)
def test_each_fault_of_a_rule_is_named(more, words):
    with pytest.raises(ConcertoError, match=words):
        rule(**more)


# --- what grows -----------------------------------------------------------------------------------------------------


def test_the_classes_of_a_run_have_their_order_and_ages():
    classes = class_list()
    assert [c.name for c in classes][:3] == ["primary", "secondary_0", "secondary_1"] and len(classes) == 12
    ages = [c.age for c in classes if c.kind == "secondary"]
    assert ages[0] == (0.0, 10.0) and ages[-1] == (100.0, float("inf"))
    assert all(a[1] == b[0] for a, b in zip(ages, ages[1:], strict=False))
    assert [c.kind for c in class_list("single")] == list(KINDS)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from(["advisory", "strict"]),
    st.sampled_from(["natural", "cleared"]),
    st.sampled_from(["bare", "green"]),
)
def test_compositions_sum_to_one_and_keep_to_their_plants(seed, luh_forest, rangeland, urban):
    random = np.random.default_rng(seed)
    cover = random.dirichlet(np.full(17, 0.2), 6)
    cover[0], cover[1] = 0.0, np.eye(17)[15]  # nothing known; crops only
    cover[2, 1:9] = 0.0  # no trees
    forest = random.random((6, 2))
    forest[3], forest[4, 0] = np.nan, np.nan
    out = compositions(
        cover, random.random(6), forest=forest, luh_forest=luh_forest, rangeland=rangeland, urban=urban
    )  # fmt: skip
    assert set(out) == set(KINDS)
    for kind, values in out.items():
        assert values.min() >= 0.0 and np.abs(values.sum(axis=1) - 1.0).max() < ROUND
        assert kind == "crop" or not values[:, 15:].any()
    assert np.abs(out["pasture"][:, 12:15].sum(axis=1) - 1.0).max() < ROUND
    assert np.abs(out["crop"][:, 15:].sum(axis=1) - 1.0).max() < ROUND


def test_the_forest_flag_advises_or_decides():
    cover = np.zeros((2, 17))
    cover[:, 7], cover[:, 10], cover[:, 13] = 0.3, 0.2, 0.5
    forest = np.array([[1.0, 0.0], [0.2, 0.2]])
    area = np.array([0.6, 0.2])  # of natural land is forest
    strict = compositions(cover, [0.0, 0.0], forest=forest, forest_area=area, luh_forest="strict")
    assert strict["primary"][0, 7] == 1.0 and strict["secondary"][0, 7] == 0.0
    assert strict["primary"][1, 7] == pytest.approx(0.2, abs=1e-15)
    advisory = compositions(cover, [0.0, 0.0], forest=forest, forest_area=area)
    # 0.3 of trees in 0.6 of forest: half of it is trees, the other natural grass
    assert advisory["primary"][0, [7, 13]] == pytest.approx([0.5, 0.5], abs=1e-15)
    # more trees than forest: the forest is full
    assert advisory["primary"][1, 7] == pytest.approx(0.2, abs=1e-15)
    assert advisory["primary"][1, 10] == pytest.approx(0.8 * 0.2 / 0.7, abs=1e-15)


def test_a_forest_without_trees_takes_those_of_the_nearest_cell():
    cover = np.zeros((3, 17))
    cover[0, 13], cover[1, 4], cover[2, 7] = 1.0, 1.0, 1.0
    out = compositions(
        cover, np.zeros(3), forest=np.ones((3, 2)), luh_forest="strict", latitude=[0, 20, 3], longitude=[179, 179, -179]
    )
    assert out["primary"][0, 7] == 1.0


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 400), st.sampled_from([0.0, 0.5, 5.0]), st.sampled_from([0.02, 0.5]))
def test_the_nearest_place_is_that_of_a_comparison_with_all(seed, n, step, share):
    random = np.random.default_rng(seed)
    latitude, longitude = random.uniform(-90.0, 90.0, n), random.uniform(-180.0, 180.0, n)
    if step:  # many places are equally near: then the first
        latitude, longitude = np.round(latitude / step) * step, np.round(longitude / step) * step
    has = (random.random(n) < share) & (latitude > random.uniform(-90.0, 90.0))
    has[random.integers(n)] = True
    cover, a, b = np.arange(n)[:, None] * 1.0, np.radians(latitude), np.radians(longitude)
    place = np.stack([np.cos(a) * np.cos(b), np.cos(a) * np.sin(b), np.sin(a)], axis=1)
    square = np.round(((place[:, None] - place[has][None]) ** 2).sum(axis=2), 12)
    expected = np.where(has, np.arange(n), np.flatnonzero(has)[np.argmin(square, axis=1)])
    assert np.array_equal(_nearest(cover, has, latitude, longitude)[:, 0], expected)


def test_grass_and_crops_follow_climate_and_the_data_set():
    cover = np.zeros((3, 17))
    cover[:, 7] = 1.0
    cover[2] = np.eye(17)[12]  # arctic grass
    out = compositions(cover, [0.0, 0.7, 0.0], crop_c4_share=[0.2, np.nan, 0.0])
    assert out["pasture"][:, [12, 13, 14]].tolist() == [[0, 1, 0], pytest.approx([0, 0.3, 0.7]), [1, 0, 0]]
    assert out["crop"][:, 16] == pytest.approx([0.2, 0.7, 0.0], abs=1e-15)
    cleared = compositions(cover, [0.0, 0.7, 0.0], rangeland="cleared")["rangeland"]
    assert not cleared[:2, 1:9].any() and cleared[2, 12] == 1.0


def test_maps_of_states_are_checked(tmp_path):
    (tmp_path / "m.toml").write_text('[states]\nprimf = "wood"\n')
    with pytest.raises(ConcertoError, match="state primf is of the kind 'wood'"):
        state_map(tmp_path / "m.toml")
    (tmp_path / "m.toml").write_text("[states\n")
    with pytest.raises(ConcertoError, match="is no TOML"):
        state_map(tmp_path / "m.toml")
    assert {KINDS[k] for k in state_map().kind.values()} == set(KINDS)


@pytest.mark.parametrize("module", ["classes", "history", "readers"])
def test_examples_run(module):
    result = doctest.testmod(importlib.import_module(f"concerto.landuse.{module}"))
    assert result.attempted > 0 and result.failed == 0


def test_a_year_can_be_cut_to_some_cells():
    year = replace(LandUseYear.still(2000, np.eye(6)), management={"irrigated": np.arange(6.0)})
    part = year.take(slice(1, 3))
    assert part.area.tolist() == np.eye(6)[1:3].tolist() and part.management["irrigated"].tolist() == [1.0, 2.0]
