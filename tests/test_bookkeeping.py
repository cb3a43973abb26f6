"""Bookkeeping and accounting of land-use emissions: OSCAR's numbers, closed balances, and sums of parts."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from concerto.errors import ConcertoError
from concerto.landuse import accounting
from concerto.landuse.bookkeeping import (
    DENSITIES,
    KINDS,
    PROCESSES,
    Bookkeeping,
    CarbonTable,
    blue_table,
    bookkeep,
    clearing_matrix,
    densities_from_tiles,
    oscar_table,
    run_table,
    shift_share,
    split_shifting,
    wood_shares,
)

NAMES = ("forest", "nonforest", "cropland", "pasture")
NATURAL = (True, True, False, False, False)


@pytest.fixture
def oscar(shared):
    data = json.loads(shared("reference/disturb_bookkeeping_parameters.json").read_text())
    order = data["biome_order"]
    table = oscar_table(data["parameters"], order, NATURAL)
    area = np.array([[data["initial_area_Mha"][name] for name in order]])
    return SimpleNamespace(data=data, order=order, table=table, area=area)


def forcing(oscar, case, year):
    """Transitions, shifting, harvest and climate of a case of the reference."""
    events, place = oscar.data["cases"][case], oscar.order.index
    moved, shifted, wood = np.zeros((1, 5, 5)), np.zeros((1, 5, 5)), np.zeros((1, 5))
    for name, target in (("acover", moved), ("ashift", shifted)):
        for donor, receiver, first, last, rate in events.get(name, []):
            target[0, place(donor), place(receiver)] += rate * (first <= year <= last)
    for biome, first, last, rate in events.get("hwood", []):
        wood[0, place(biome)] += rate * (first <= year <= last)
    climate = {}
    if "dnpp" in events:
        climate = {"d_npp": np.array([events["dnpp"][year]]), "d_temperature": events["dT"][year]}
    return moved, shifted, wood, climate


CASES = (
    "pulse_forest_to_crop",
    "clear_then_abandon",
    "shifting_cultivation",
    "wood_harvest_40yr",
    "clear_with_npp_and_warming",
    "npp_and_warming_no_luc",
)


@pytest.mark.parametrize("case", CASES)
def test_oscar_is_reproduced_and_its_balance_closes(reference, oscar, case):
    columns = reference("disturb_bookkeeping.csv")
    rows = np.flatnonzero(columns["case"] == case)
    largest = {name: np.abs(values[rows]).max() for name, values in columns.items() if name != "case"}
    books = Bookkeeping(oscar.table, oscar.area)
    emitted = potential = 0.0
    for row in rows[1:]:
        moved, shifted, wood, climate = forcing(oscar, case, int(columns["year"][row]))
        year = books.year(moved, shifted, wood, **climate)
        emitted, potential = emitted + year.eluc, potential + year.potential_change
        got = {"eluc_PgC": year.eluc[0]}
        if climate:
            got |= {"lasc_PgC": year.lasc[0], "fland_PgC": year.land_sink[0]}
        for i in range(3):
            got[f"chwp{i}_end_PgC"] = books.products[:, 0, i].sum()
        for i, name in enumerate(NAMES):
            got[f"darea_{name}_end_Mha"] = year.area_change[0, i]
            for box, label in enumerate(("dcveg", "dcsoil1", "dcsoil2")):
                got[f"{label}_{name}_end_PgC"] = books.boxes[:, box, :, 0, i].sum()
            if climate:
                got[f"dnbp_{name}_PgC_Mha"] = year.nbp_change[0, i]
        for name, value in got.items():
            # Tolerance of the table's entry: 1e-6; absolute only where a pool is below a millionth of its largest.
            assert value == pytest.approx(columns[name][row], rel=1e-6, abs=1e-12 * largest[name]), (name, row)
        # What is emitted is what the land and the products lose, year by year.
        assert abs(year.eluc + year.stock_change + year.potential_change)[0] < 1e-12
    stocks = sum(year.stock.values())
    assert abs(emitted + stocks + potential)[0] < 1e-10  # the identity of section 4.2, checked there to 1e-10
    if case != "npp_and_warming_no_luc" and not climate:
        table = oscar.table
        full = year.area_change @ (table.vegetation + table.litter + table.soil)
        assert abs(emitted + stocks + full)[0] < 1e-10


def test_moving_and_constant_densities_are_integrated_alike(oscar):
    # Propagators and power series are two codes for one system: a change of NPP of zero must not be seen.
    one, other = Bookkeeping(oscar.table, oscar.area), Bookkeeping(oscar.table, oscar.area)
    for y in range(1, 31):
        moved, shifted, wood, _ = forcing(oscar, "clear_then_abandon", y)
        wood[0, 0] = 0.01
        steady, series = one.year(moved, None, wood), other.year(moved, None, wood, d_npp=np.zeros((1, 5)))
        # Both are exact; left is round-off of sums over some 30 terms.
        np.testing.assert_allclose(steady.flux, series.flux, rtol=1e-11, atol=1e-16)
        np.testing.assert_allclose(one.boxes, other.boxes, rtol=1e-11, atol=1e-15)


def random_case(seed, n=3):
    """Areas, transitions that fit them, harvest and a table, all random."""
    rng = np.random.default_rng(seed)
    area = rng.dirichlet(np.ones(6), n)
    moved = rng.random((n, 6, 6)) * (rng.random((n, 6, 6)) < 0.5)
    moved[:, range(6), range(6)] = 0.0
    moved[:, :, 0] = 0.0
    moved *= 0.2 * area[:, :, None] / np.maximum(moved.sum(axis=2, keepdims=True), 1.0)
    wood = np.zeros((n, 6))
    wood[:, :2] = 0.1 * rng.random((n, 2))
    if seed % 2:
        table = blue_table(rng.choice(list(DENSITIES), n))
    else:
        densities = [rng.uniform(0.0, 20.0, (n, 6)) for _ in range(3)]
        table = run_table(densities, rng.uniform(0.0, 1.5, (n, 6)))
    return table, area, moved, wood


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from(["pulse", "spread"]), st.sampled_from(["groups", "pairs"]))
def test_every_balance_closes_for_any_transitions(seed, timing, types):
    table, area, moved, wood = random_case(seed)
    if types == "pairs" and seed % 2:
        types = "groups"  # the rates of the BLUE-like table belong to the groups
    books = Bookkeeping(table, area, types=types, clear=clearing_matrix(1 + seed % 9), harvest_share=wood_shares())
    lasting, shifting = split_shifting(moved)
    assert lasting + shifting == pytest.approx(moved, abs=1e-17)
    rng = np.random.default_rng(seed)
    for y in range(4):
        scale = 0.5**y
        transient = [np.broadcast_to(getattr(table, name), area.shape) for name in ("vegetation", "litter", "soil")]
        transient = [d * rng.uniform(0.8, 1.3, area.shape) for d in transient]
        given = transient if y % 2 else None
        d_nbp = rng.normal(size=area.shape)
        year = books.year(scale * lasting, scale * shifting, wood, densities=given, d_nbp=d_nbp, timing=timing)
        # Round-off on stocks of some 10 kg m-2.
        assert year.eluc + year.stock_change + year.potential_change == pytest.approx(np.zeros(3), abs=1e-12)
        assert sum(year.by_type().values()) == pytest.approx(year.eluc, abs=1e-13)
        assert sum(year.by_process().values()) == pytest.approx(year.eluc, abs=1e-13)
        assert year.gross_source + year.gross_sink == pytest.approx(year.eluc, abs=1e-13)
        assert np.all(year.gross_source >= 0.0) and np.all(year.gross_sink <= 0.0)
        assert books.area.sum(axis=1) == pytest.approx(np.ones(3), abs=1e-14)
        assert year.land_sink == pytest.approx(np.sum(d_nbp * area, axis=1) + year.lasc, abs=1e-13)


def test_no_transition_means_no_emission():
    table, area, _, _ = random_case(4)
    books = Bookkeeping(table, area)
    for _ in range(3):
        year = books.year(np.zeros((3, 6, 6)), densities=[np.full((3, 6), 7.0)] * 3)
        assert not np.any(year.flux) and not np.any(books.boxes) and not np.any(books.products)


def test_all_carbon_of_cleared_forest_reaches_the_air_or_the_new_land():
    table = blue_table(["tropical_evergreen_forest"])
    books = Bookkeeping(table, [[1.0, 0, 0, 0, 0, 0]])
    moved = np.zeros((1, 6, 6))
    moved[0, 0, 4] = 1.0
    years = [books.year(moved if y == 0 else None, timing="pulse") for y in range(600)]
    total = sum(year.eluc[0] for year in years)
    full = table.vegetation + table.litter + table.soil
    # The slowest response is that of products, 10 years: e^-60 is left.
    assert total == pytest.approx(full[0, 0] - full[0, 4], rel=1e-12)
    assert years[0].eluc[0] > years[1].eluc[0] > years[5].eluc[0] > 0.0
    np.testing.assert_allclose(books.area, [[0, 0, 0, 0, 1.0, 0]])


def test_forest_that_comes_back_takes_up_what_its_density_exceeds_cropland_by():
    table = blue_table(["temperate_deciduous_forest"])
    books = Bookkeeping(table, [[0, 0, 0, 0, 1.0, 0]], clear=clearing_matrix())
    moved = np.zeros((1, 6, 6))
    moved[0, 4, 1] = 1.0
    years = [books.year(moved if y == 0 else None, timing="pulse") for y in range(700)]
    full = table.vegetation + table.litter + table.soil
    assert sum(year.eluc[0] for year in years) == pytest.approx(full[0, 4] - full[0, 1], rel=1e-9)
    # The slowest response is the soil's, 30 years: e^-23 is left.
    assert all(year.by_process()["regrowth"][0] <= 0.0 for year in years)
    # Regrowth is exponential with its time constant of 20 years.
    regrowth = np.array([year.by_process()["regrowth"][0] for year in years[:40]])
    assert regrowth[1:] / regrowth[:-1] == pytest.approx(np.exp(-1 / 20), rel=1e-10)


def test_blue_clears_soils_faster_than_it_restores_them():
    table = blue_table(["boreal_forest"])
    assert table.soil_respiration.shape == (6, 1, 6)

    def soil_share(donor, receiver):
        books = Bookkeeping(table, np.eye(6)[[donor]], clear=clearing_matrix())
        moved = np.zeros((1, 6, 6))
        moved[0, donor, receiver] = 1.0
        flux = [
            books.year(moved if y == 0 else None, timing="pulse").flux[PROCESSES.index("soil")].sum() for y in range(20)
        ]
        return sum(flux) / (table.soil[0, donor] - table.soil[0, receiver])

    # Time constants of 10 and 50 years: 1 - exp(-20 / tau).
    assert soil_share(0, 4) == pytest.approx(1 - np.exp(-2.0), rel=1e-10)
    assert soil_share(4, 1) == pytest.approx(1 - np.exp(-0.4), rel=1e-10)


@pytest.mark.parametrize(("time", "at_once"), [(0.01, 1.0), (1e9, 0.0)])
def test_products_of_very_short_and_very_long_life(oscar, time, at_once):
    from dataclasses import replace

    table = replace(oscar.table, product_time=np.full(3, time))
    for climate in ({}, {"d_npp": np.full((1, 5), 1e-6)}):
        books = Bookkeeping(table, oscar.area)
        books.year(None, None, [[1.0, 0, 0, 0, 0]], timing="pulse", **climate)
        held = books.products.sum() / table.product_share[0].sum()
        assert held == pytest.approx(1.0 - at_once, abs=1e-8)  # exp(-100) and 1 - 1e-9 are left


def test_harvest_and_shifting_move_no_area_and_only_borrow(oscar):
    books = Bookkeeping(oscar.table, oscar.area)
    moved, shifted, wood, _ = forcing(oscar, "shifting_cultivation", 1)
    years = [books.year(None, shifted, [[0.01, 0, 0, 0, 0]])]
    years += [books.year() for _ in range(100)]
    np.testing.assert_array_equal(books.area, oscar.area)
    # Shifting cultivation and harvest only borrow from the atmosphere: what was emitted is missing on land, no more.
    left = sum(years[-1].stock.values())[0]
    assert sum(year.eluc[0] for year in years) + left == pytest.approx(0.0, abs=1e-13)
    assert abs(left) < 1e-3  # Pg C, of the 0.01 harvested: a century later most has grown back
    assert years[0].by_process()["wood_harvest"][0] > 0.0
    assert shift_share(0.0, 5.0) == 0.0 and shift_share(1.0, 0.0) == 1.0


def test_transitions_of_january_emit_earlier_than_those_spread_over_the_year(oscar):
    pulse, spread = Bookkeeping(oscar.table, oscar.area), Bookkeeping(oscar.table, oscar.area)
    moved = forcing(oscar, "pulse_forest_to_crop", 1)[0]
    one, other = (books.year(moved, timing=timing) for books, timing in ((pulse, "pulse"), (spread, "spread")))
    assert one.eluc[0] > other.eluc[0] > 0.0
    # What both are committed to is the same.
    assert one.eluc[0] + sum(one.stock.values())[0] == pytest.approx(other.eluc[0] + sum(other.stock.values())[0])
    np.testing.assert_allclose(pulse.area, spread.area, rtol=1e-15)


def test_a_restart_of_the_books_goes_on_to_the_same_bits():
    table, area, moved, wood = random_case(8)
    one = Bookkeeping(table, area)
    for _ in range(3):
        one.year(0.3 * moved, None, wood)
    other = Bookkeeping(table, area)
    other.restore(one.state())
    np.testing.assert_array_equal(one.year(0.1 * moved).flux, other.year(0.1 * moved).flux)


def test_cells_do_not_see_each_other():
    table, area, moved, wood = random_case(6)
    together = Bookkeeping(table, area).year(moved, None, wood, timing="pulse")
    from dataclasses import fields, replace

    for cell in range(3):
        part = {f.name: getattr(table, f.name) for f in fields(table)}
        part = {k: v[[cell]] for k, v in part.items() if isinstance(v, np.ndarray) and v.ndim == 2 and len(v) == 3}
        alone = Bookkeeping(replace(table, **part), area[[cell]]).year(
            moved[[cell]], None, wood[[cell]], timing="pulse"
        )
        # Equal but for the last bit: the series for the propagators is cut after the fastest rate of all cells.
        np.testing.assert_allclose(alone.flux[..., 0], together.flux[..., cell], rtol=1e-13, atol=1e-16)


def history(n=2, years=5):
    """A history like LandUse: primary land becomes crops, some of it fallow, wood is cut."""
    area = np.tile([0.6, 0.2, 0.1, 0.0, 0.1, 0.0], (n, 1))
    moved = np.zeros((n, 6, 6))
    moved[:, 0, 4], moved[:, 1, 4], moved[:, 4, 1], moved[:, 0, 1] = 0.02, 0.01, 0.015, 0.005
    states = {}
    for y in range(2000, 2000 + years):
        mass = np.tile([0.02, 0.0, 0.01, 0.0, 0.0], (n, 1))
        states[y] = SimpleNamespace(area=area.copy(), transitions=moved, harvest_mass=mass, management={})
        area = area + moved.sum(axis=1) - moved.sum(axis=2)
    return SimpleNamespace(first_year=2000, last_year=2000 + years - 1, year=states.__getitem__), states


def test_a_history_is_followed_and_its_components_sum_up(tmp_path):
    land_use, states = history()
    table = blue_table(["tropical_evergreen_forest", "temperate_grassland"])
    record = bookkeep(land_use, table, d_nbp=lambda y: np.full((2, 6), 0.01))
    assert record["year"].tolist() == [2001, 2002, 2003, 2004]
    np.testing.assert_allclose(record["books"].area, states[2004].area, atol=1e-14)
    assert bookkeep(land_use, table, timing="spread")["year"].tolist() == [2000, 2001, 2002, 2003]
    weights = np.array([1e10, 2e10])
    budget = accounting.budget_table(record, weights)
    parts = ("deforestation", "shifting_source", "regrowth", "shifting_sink", "wood_harvest", "other_transitions")
    np.testing.assert_allclose(sum(budget[name] for name in parts), budget["eluc"], rtol=1e-12)
    np.testing.assert_allclose(budget["gross_source"] + budget["gross_sink"], budget["eluc"], rtol=1e-12)
    np.testing.assert_allclose(budget["eluc"], record["eluc"] @ weights, rtol=1e-12)
    np.testing.assert_allclose(sum(accounting.by_type(record, weights).values()), budget["eluc"], rtol=1e-12)
    assert np.all(budget["deforestation"] > 0.0) and np.all(budget["shifting_sink"] < 0.0)
    assert np.all(np.isnan(budget["peat"]))
    accounting.write_table(tmp_path / "table.csv", budget)
    lines = [line for line in (tmp_path / "table.csv").read_text().splitlines() if not line.startswith("#")]
    assert lines[0].split(",")[:2] == ["year", "eluc"] and lines[1].startswith("2001,") and lines[1].endswith("n/a")
    assert float(lines[1].split(",")[1]) == budget["eluc"][0]
    data = accounting.to_dataset(record)
    np.testing.assert_allclose(data.flux.sum(("process", "type")), data.eluc)
    # Equal changes of NBP everywhere: no land is a better sink than another (round-off of 1e-2).
    assert np.abs(data.lasc).max() < 1e-16


def test_regions_add_up_to_the_whole():
    values = np.random.default_rng(0).normal(size=(4, 5))
    share = np.array([1.0, 1.0, 0.25, 0.0, 0.0])
    values[:, 4] = np.nan  # a cell outside does not spoil the sum
    sums = accounting.regional_sums(values, {"a": share, "b": [0, 0, 0.75, 1.0, 0]}, weights=np.arange(1.0, 6.0))
    np.testing.assert_allclose(sums["a"] + sums["b"], values[:, :4] @ np.arange(1.0, 5.0))
    with pytest.raises(ConcertoError, match="mask"):
        accounting.regional_sums(values, {"a": [2.0] * 5})


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(-5, 5), min_size=7, max_size=7))
def test_factorial_and_bookkeeping_differ_by_defined_terms(values):
    s2, s3, fixed, transient, loss, s0, cover = (np.array([v, 2 * v]) for v in values)
    terms = accounting.compare(s2, s3, fixed, transient, loss, s0, cover)
    # Round-off of numbers of order 10.
    total = terms["minus_lasc"] + terms["density_effect"] + terms["process_residual"]
    assert total == pytest.approx(terms["difference"], abs=1e-14)
    assert terms["structure"] + terms["interaction"] == pytest.approx(terms["process_residual"], abs=1e-14)
    # The LASC of four runs is that for which nothing is left over.
    from_runs = accounting.lasc_from_runs(s0, s2, cover, s3, transient, fixed)
    none_left = accounting.compare(s2, s3, fixed, transient, from_runs, s0, cover)
    assert none_left["interaction"] == pytest.approx(np.zeros(2), abs=1e-13)


def test_factorial_runs_of_the_bookkeeping_model_itself_leave_no_residual(oscar):
    """Built from OSCAR: S2 keeps areas, S3 = land sink - ELUC; their difference must be bookkeeping less LASC."""
    transient, fixed, still = (Bookkeeping(oscar.table, oscar.area) for _ in range(3))
    rows = []
    for y in range(1, 41):
        moved, _, _, climate = forcing(oscar, "clear_with_npp_and_warming", y)
        a, b, c = transient.year(moved, **climate), fixed.year(moved), still.year(**climate)
        s2, s3 = c.land_sink[0], a.land_sink[0] - a.eluc[0]
        rows.append((s2, s3, b.eluc[0], a.eluc[0], a.lasc[0]))
    terms = accounting.compare(*np.array(rows).T)
    # Sums over 40 years of an exact integration: round-off of numbers below 1 Pg C.
    assert np.abs(terms["process_residual"]).max() < 1e-13
    # More CO2 makes forests sinks, and losing them a loss: LASC is negative, the factorial ELUC larger.
    assert terms["minus_lasc"][20:].min() > 0.0
    assert accounting.land_sink([1.0], [0.2])[0] == pytest.approx(0.8)
    assert accounting.lasc([[1.0, 2.0]], [[-3.0, 1.0]])[0] == -1.0


def test_densities_of_tiles_are_area_means_and_gaps_take_their_like():
    # Two cells: cell 0 has two plant types on primary land and a crop, cell 1 only pasture.
    densities, filled = densities_from_tiles(
        [0, 0, 0, 1], [0, 0, 4, 2], [0.3, 0.1, 0.6, 1.0], [10.0, 2.0, 0.5, 1.0], [1.0, 1.0, 0.2, 0.3], [9, 9, 6, 7], 2
    )
    vegetation = densities[0]
    assert vegetation[0, 0] == pytest.approx(8.0)
    assert vegetation[0, 1] == pytest.approx(8.0)  # secondary from primary
    assert vegetation[0, 5] == pytest.approx(0.5)  # towns from crops
    assert vegetation[1, 3] == pytest.approx(1.0)  # rangeland from pasture
    assert vegetation[1, 0] == pytest.approx(8.0)  # from the other cell
    assert filled.sum() == 12 - 3 and not filled[0, 0]
    table = run_table(densities, np.full((2, 6), 0.5))
    # In equilibrium every pool gets what it loses.
    litter_fall = table.to_litter * table.vegetation
    decayed = (table.litter_respiration + table.litter_to_soil) * table.litter
    assert decayed == pytest.approx(litter_fall)
    assert table.soil_respiration * table.soil == pytest.approx(table.litter_to_soil * table.litter)


def test_rule_four_clears_for_crops_and_pasture_but_not_for_rangeland_or_abandonment():
    clear = clearing_matrix(4)
    place = KINDS.index
    assert clear[place("primary"), place("crop")] == 1 and clear[place("secondary"), place("pasture")] == 1
    assert clear[place("primary"), place("rangeland")] == 0 and clear[place("primary"), place("secondary")] == 0
    assert clear[place("pasture"), place("secondary")] == 0 and clear[place("crop"), place("secondary")] == 1
    assert clearing_matrix(2)[place("rangeland"), place("pasture")] == 0


def test_wrong_books_are_refused_with_a_reason():
    table, area, moved, wood = random_case(2)
    books = Bookkeeping(table, area)
    with pytest.raises(ConcertoError, match="more goes than there is"):
        books.year(moved + np.where(np.eye(6), 0, 2.0))
    with pytest.raises(ConcertoError, match="negative or no numbers"):
        books.year(np.where(np.eye(6), 0, -moved - 1e-9))
    with pytest.raises(ConcertoError, match="diagonal"):
        books.year(np.broadcast_to(0.01 * np.eye(6), (3, 6, 6)))
    with pytest.raises(ConcertoError, match="shifting changes areas"):
        books.year(None, moved)
    with pytest.raises(ConcertoError, match="rates by type"):
        Bookkeeping(blue_table(["tundra"]), np.eye(6)[[0]]).year(d_npp=np.ones((1, 6)))
    with pytest.raises(ConcertoError, match="exceed 1"):
        CarbonTable(
            ("a",), (True,), *([1.0],) * 9, above_ground=[1.0], product_share=[[0.9]], product_time=[1.0], burned=[0.2]
        )
    with pytest.raises(ConcertoError, match="unknown potential vegetation"):
        blue_table(["jungle"])
    with pytest.raises(ConcertoError, match="shapes"):
        accounting.eluc_factorial([1.0], [1.0, 2.0])
