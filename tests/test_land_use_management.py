"""Management of land in gridded runs: what is taken becomes products, nothing acts elsewhere, cuts change no bit."""

import json

import netCDF4
import numpy as np
import pytest
from land_use_files import history, write_luh
from short_run import different, mpirun, results, shorten, simulate, write_config

from concerto.config import load
from concerto.errors import ConcertoError
from concerto.landuse.classes import CROP, GRASSES, MANAGEMENT, PASTURE, RANGELAND
from concerto.landuse.host import LandUseHost
from concerto.landuse.products import ProductPools
from concerto.simulation import dynamics, run
from concerto.simulation.streams import to_cells
from concerto.tables import loader

FLOAT32 = 2.0**-24  # largest relative rounding of a value in the files
PLACES = ((50.0, 10.0), (2.0, 24.0))
OF_LUH = ((46.3, -0.3), (47.2, 0.2), (47.2, 1.4))
START = {"primary": 0.3, "pasture": 0.2, "rangeland": 0.3, "crop": 0.2}
RULE = {"kind": "deforest", "years": [2000, 2003], "fraction": 0.2, "from": "primary", "to": "crop"}
FARMS = {"livestock": {"pasture": 1e-4, "rangeland": 2e-5}, "residue_left": 0.5}
TILES = [{"name": "tiles", "frequency": "year", "variables": ["harvested_carbon"], "statistic": "last", "per": "tile"}]


@pytest.fixture(autouse=True)
def short(monkeypatch):
    """The first phase begins a few days before the end of its first year."""
    shorten(monkeypatch.setattr)


def points(places):
    return {"grid": "points", "points": [{"latitude": north, "longitude": east} for north, east in places]}


def config_of(path, years=(2000, 2002), management=None, options=None, land_use=None, spinup=False, **sections):
    """A run of two places with crops, pasture and rangeland under the embedded weather of one year."""
    land = {"source": "idealised", "idealised": RULE, "initial": START, "management": FARMS} | (land_use or {})
    if management is not None:
        land["management"] = management
    cycle = {"cycle": [2000, 2000]}
    phases = [{"name": "change", "kind": "run", "years": list(years), "climate": cycle}]
    if spinup:
        phases.insert(0, {"name": "equilibrium", "kind": "spinup", "climate": cycle, "rounds": 1})
    default = {
        "domain": points(PLACES), "land_use": land, "phases": phases, "output": {"streams": TILES},
        "model": {"time_step": 10800, "options": {"crops": "calendar"} | (options or {})},
    }  # fmt: skip
    return write_config(path, **default | sections)


def luh_config(folder, management, years=(1850, 1852), **more):
    """A run of three places with the management of LUH2."""
    land = {"source": "luh2", "files": write_luh(folder, history()), "idealised": None, "initial": None}
    sections = {"domain": points(OF_LUH), "land_use": land} | more
    return config_of(folder / "luh.yaml", years, management, {"nitrogen": "cn"}, **sections)


def values(folder, stream, year, name):
    """Values of one record, float64."""
    with netCDF4.Dataset(folder / f"{stream}_{year}.nc") as file:
        return np.ma.filled(file[name][0].astype(float), np.nan)


@pytest.fixture
def years_of(monkeypatch):
    """What stands in the cells at the end of each year, and what came in the year, in full precision."""
    found = []

    def year_is_over(self, record, after=run.Simulation._year_is_over):
        after(self, record)
        stock = {"carbon": np.zeros(self.own.n_cell), "nitrogen": np.zeros(self.own.n_cell)}
        area = self.land.layout.area[self.members]
        for element, total in dynamics.stored(self.work).items():
            if element in stock:
                stock[element] += np.bincount(self.land.layout.cell[self.members], area * total, self.own.n_cell)
        products = {element: self.land.products.stock(element).sum(axis=1) for element in stock}
        seconds = (record.end[-1] - record.start[-1]) / np.timedelta64(1, "s")
        nbp = to_cells(record.values["nbp"], self.own)[0] * seconds
        rows = {name: v * seconds for name, v in self.land_now.items()}
        found.append({"stock": stock, "products": products, "nbp": nbp, "rows": rows})

    monkeypatch.setattr(run.Simulation, "_year_is_over", year_is_over)
    return found


# --- nothing is lost


@pytest.mark.parametrize(("products", "held"), [("efold", False), ("linear", False), ("efold", True)])
def test_carbon_of_land_and_products_changes_by_the_net_uptake(tmp_path, years_of, products, held):
    config = config_of(tmp_path / "c.yaml", land_use={"products": products})
    simulate(config, tmp_path / "out", *(["phases.change.land_use={fixed: 2000}"] if held else []))
    assert len(years_of) == 3 and held == (years_of[-1]["rows"]["moved_area"] == 0.0).all()
    for before, after in zip(years_of, years_of[1:], strict=False):
        rows = after["rows"]
        uptake = after["nbp"] + rows["farm_harvest_to_products"] - rows["land_use_emission"]
        stock = [year["stock"]["carbon"] + year["products"]["carbon"] for year in (before, after)]
        # some 3e3 steps are summed, each rounded to 1e-16 of the stocks, and most roundings cancel
        assert np.abs(stock[1] - stock[0] - uptake).max() <= 1e-12 * stock[1].max()
        assert (rows["farm_harvest_to_products"] > 1e-3).all()  # 1e9 as much as is allowed to be lost
        change = after["products"]["carbon"] - before["products"]["carbon"]
        into = rows["deforestation_to_products"] + rows["harvest_to_products"] - rows["product_decomposition"]
        assert change == pytest.approx(into, rel=1e-12, abs=1e-15)
        assert rows["harvest_to_products"] == pytest.approx(
            rows["farm_harvest_to_products"] + rows["wood_harvest_to_products"], rel=1e-15
        )
    with open(tmp_path / "out/totals.csv") as file:
        head, *_, last = (line.strip().split(",") for line in file)
    total = {name.split(" ")[0]: float(value) for name, value in zip(head, last, strict=True)}
    expected = total["nbp"] + total["farm_harvest_to_products"] - total["fLuc"]
    assert total["net_uptake"] == pytest.approx(expected, rel=1e-15)


def test_manure_beyond_all_harvest_comes_from_elsewhere(tmp_path, years_of):
    config = config_of(tmp_path / "c.yaml", (2000, 2001), {"manure": 0.06})  # 0.87 kg of carbon to a m2 of field
    simulate(config, tmp_path / "out")
    before, after = years_of
    assert (after["rows"]["farm_harvest_to_products"] == 0.0).all()
    uptake = after["nbp"] - after["rows"]["land_use_emission"]
    stock = [year["stock"]["carbon"] + year["products"]["carbon"] for year in years_of]
    assert np.abs(stock[1] - stock[0] - uptake).max() <= 1e-12 * stock[1].max()


SOURCES = ("nitrogen_fixation", "fertiliser_nitrogen")
LOSSES = ("nitrous_oxide", "dinitrogen", "nitrogen_leaching")


def test_nitrogen_of_land_and_products_changes_by_what_comes_and_goes(tmp_path, years_of, monkeypatch):
    """In each cell: deposition, fixation, fertiliser and seed come; gases, leaching, smoke and decay of products go."""
    net = {}

    def advance(self, accumulator, forcing, days, wrapped=run.Simulation._advance):
        finished = wrapped(self, accumulator, forcing, days)
        column = loader.variables("forcing")["nitrogen_deposition"].column - 1
        rate = forcing[:, column].mean(axis=1)[self.work.cell]  # the rates of the day stand in the state at its end
        rate = rate + sum(map(self.work.get, SOURCES)) - sum(map(self.work.get, LOSSES))
        layout, year = self.land.layout, int(str(days[0])[:4])
        of_cells = np.bincount(layout.cell[self.members], layout.area[self.members] * rate * 86400.0)
        net[year] = net.get(year, 0.0) + of_cells
        return finished

    monkeypatch.setattr(run.Simulation, "_advance", advance)
    management = FARMS | {"fertiliser": 0.01, "manure": 0.0002, "irrigation": "on"}
    config = config_of(tmp_path / "c.yaml", (2000, 2001), management, {"nitrogen": "cn"})
    simulate(config, tmp_path / "out", "parallel.chunk_days=1")
    before, after = years_of
    rows = after["rows"]
    assert (rows["farm_harvest_nitrogen_to_products"] > 1e-5).all()
    change = sum(after[store]["nitrogen"] - before[store]["nitrogen"] for store in ("stock", "products"))
    expected = net[2001] + rows["seed_nitrogen"] - rows["deforestation_nitrogen_to_atmosphere"]
    expected = expected - rows["product_nitrogen_decomposition"]
    # 365 days, each rounded to 1e-16 of the stock; most roundings cancel
    assert np.abs(change - expected).max() <= 1e-13 * after["stock"]["nitrogen"].max()


def test_nitrogen_that_land_use_moves_is_in_tiles_or_products_or_told(tmp_path, years_of, monkeypatch):
    turns = []

    def begin(self, tiles, *given, wrapped=LandUseHost.begin):
        def nitrogen():
            return np.bincount(self.layout.cell, self.layout.area * dynamics.stored(tiles)["nitrogen"])

        before = nitrogen()
        rows = wrapped(self, tiles, *given)
        turns.append((before, nitrogen(), rows))  # the rows get the harvest of fields at the end of the year
        return rows

    monkeypatch.setattr(LandUseHost, "begin", begin)
    management = FARMS | {"fertiliser": 0.01, "manure": 0.0002, "irrigation": "on"}
    config = config_of(tmp_path / "c.yaml", management=management, options={"nitrogen": "cn"})
    simulation = run.Simulation(config, [f"output.folder={tmp_path / 'out'}"])
    simulation.run()
    assert simulation.worst[3] < 1e-12  # kg m-2 in a step, whose budget has fertiliser, harvest and grazing in it
    year = 365 * 86400.0
    for before, after, rows in turns[1:]:
        gone = rows["deforestation_nitrogen_to_atmosphere"] + rows["nitrogen_to_products"] - rows["seed_nitrogen"]
        gone = (gone - rows["farm_harvest_nitrogen_to_products"]) * year
        assert np.abs(after - before + gone).max() <= 1e-12 * before.max()  # sums of a few tens of products
        assert (rows["deforestation_nitrogen_to_atmosphere"] > 0.0).all()
    for before, after in zip(years_of, years_of[1:], strict=False):
        rows = after["rows"]
        change = after["products"]["nitrogen"] - before["products"]["nitrogen"]
        into = rows["nitrogen_to_products"] - rows["product_nitrogen_decomposition"]
        assert change == pytest.approx(into, rel=1e-12, abs=1e-16)
        assert (rows["farm_harvest_nitrogen_to_products"] > 0.0).any()
    assert values(tmp_path / "out", "land_use", 2002, "nProduct") == pytest.approx(
        years_of[-1]["products"]["nitrogen"], rel=2 * FLOAT32
    )


def test_products_of_fields_are_what_their_tiles_have_yielded(tmp_path):
    simulate(config_of(tmp_path / "c.yaml", (2000, 2001)), tmp_path / "out")
    with netCDF4.Dataset(tmp_path / "out/tiles_2001.nc") as file:
        cell, share = np.asarray(file["cell"][:]), np.asarray(file["tile_share"][0], dtype=float)
        yielded = np.ma.filled(file["harvested_carbon"][0].astype(float), 0.0)
    of_cells = np.bincount(cell, share * yielded)
    assert of_cells == pytest.approx(
        values(tmp_path / "out", "land_use", 2001, "farm_harvest_to_products") * 365 * 86400.0, rel=4 * FLOAT32
    )
    with netCDF4.Dataset(tmp_path / "out/state_change.nc") as file:
        assert not np.asarray(file["harvested_carbon"][:]).any()  # it is products now


def test_harvest_of_a_year_leaves_from_the_next_year_on():
    for convention in ("efold", "linear"):
        pools = ProductPools(1, convention)
        pools.year()
        pools.add([[1.0, 0.0, 0.0]], past=True)
        lost = pools.year().sum()
        assert lost == pytest.approx(1.0 if convention == "linear" else 1.0 - np.exp(-1.0), rel=1e-15)
        settled = ProductPools(1, convention)
        settled.settle([[1.0, 0.0, 0.0]])
        for _ in range(3):  # what leaves is what came
            assert settled.year().sum() == pytest.approx(1.0, rel=1e-12)  # 60 pulses are summed
            settled.add([[1.0, 0.0, 0.0]], past=True)


def test_after_a_spin_up_products_of_fields_decay_as_they_come(tmp_path):
    still = RULE | {"fraction": 0.0}
    config = config_of(tmp_path / "c.yaml", (2000, 2001), land_use={"idealised": still}, spinup=True)
    simulate(config, tmp_path / "out")
    with netCDF4.Dataset(tmp_path / "out/state_equilibrium.nc") as file:
        assert not np.asarray(file["harvested_carbon"][:]).any()
    came = values(tmp_path / "out", "land_use", 2001, "farm_harvest_to_products")
    left = values(tmp_path / "out", "land_use", 2000, "fProductDecomp")
    assert (came > 0.0).all()
    # one round of a spin-up is no equilibrium of water: crops of the tropics differ by 9 % from those of its last cycle
    assert left == pytest.approx(came, rel=0.15)


# --- what acts where


def of_kind(simulation):
    layout = simulation.land.layout
    return layout.kind[layout.land_class], layout.pft


def test_management_acts_on_its_kind_of_land_alone(tmp_path):
    management = FARMS | {"fertiliser": 0.012, "manure": 0.003, "irrigation": "on"}
    config = config_of(tmp_path / "c.yaml", (2000, 2000), management, {"nitrogen": "cn", "tillage": "conventional"})
    simulation = run.Simulation(config, [f"output.folder={tmp_path / 'out'}"])
    assert simulation.config.model.options["irrigation"] == "demand"
    assert simulation.config.model.options["grazing"] == "livestock"
    simulation.run()
    kind, pft = of_kind(simulation)
    grass = (pft >= GRASSES.start) & (pft < GRASSES.stop)
    get = simulation.tiles.parameter
    assert set(kind) > {CROP, PASTURE, RANGELAND}
    for name, value in (("fertiliser", 0.012), ("manure", 0.003), ("irrigated", 1.0)):
        assert np.array_equal(get(name), np.where(kind == CROP, value, 0.0))
    animals = np.where(grass, np.select([kind == PASTURE, kind == RANGELAND], [1e-4, 2e-5], 0.0), 0.0)
    assert np.array_equal(get("livestock_density"), animals)
    assert (get("residue_left")[kind == CROP] == 0.5).all() and (get("residue_left")[kind != CROP] != 0.5).all()
    assert np.array_equal(simulation.work.parameter("fertiliser"), get("fertiliser")[simulation.members])


def test_without_management_grass_that_nobody_uses_is_not_eaten_or_mown(tmp_path):
    for option, name, kinds in (("livestock", "livestock_density", (PASTURE, RANGELAND)),
                                ("mowing", "mowing_leaf_area", (PASTURE,))):  # fmt: skip
        config = config_of(tmp_path / "c.yaml", (2000, 2000), {}, {"grazing": option})
        simulation = run.Simulation(config, [f"output.folder={tmp_path / option}"])
        simulation.run()
        kind, pft = of_kind(simulation)
        used = simulation.tiles.parameter(name) > 0.0
        assert used[np.isin(kind, kinds) & (pft >= GRASSES.start) & (pft < GRASSES.stop)].all()
        assert not used[~np.isin(kind, kinds)].any()


def test_fertiliser_and_water_of_a_history_follow_cell_and_year(tmp_path, monkeypatch):
    seen = {}

    def new_year(self, phase, year, wrapped=run.Simulation._new_year):
        wrapped(self, phase, year)
        seen[year] = {name: self.work.parameter(name).copy() for name in ("fertiliser", "irrigated")}
        expected = self.land.series.year(self.land.year).management
        kind, cell = self.land.layout.kind[self.land.layout.land_class], self.land.layout.cell
        for name, found in seen[year].items():
            of_tiles = np.where(kind == CROP, expected[name][cell], 0.0)[self.members]
            assert np.array_equal(found, of_tiles) and found.max() > 0.0
        seen[year] = expected["fertiliser"]

    monkeypatch.setattr(run.Simulation, "_new_year", new_year)
    management = {"fertiliser": "history", "irrigation": "history"}
    simulate(luh_config(tmp_path, management), tmp_path / "out")
    assert sorted(seen) == [1850, 1851, 1852]
    assert (seen[1851] != seen[1850]).all() and len(set(seen[1850])) == 3
    assert (seen[1850] > 50e-4).all() and (seen[1850] < 90e-4).all()  # 50 to 90 kg per hectare by crop
    held = {"name": "held", "kind": "run", "years": [1850, 1851], "climate": {"cycle": [2000, 2000]},
            "land_use": {"fixed": 1851}}  # fmt: skip
    transient = seen[1851]
    simulate(luh_config(tmp_path, management, phases=[held]), tmp_path / "held")
    assert np.array_equal(seen[1850], transient) and np.array_equal(seen[1851], transient)


def test_forests_are_cut_in_rotation(tmp_path):
    start = {"primary": 0.2, "secondary": 0.8}
    yields = {}
    for rotation in ("off", {"rotation": 20, "share": 0.5}):
        land = {"initial": start, "idealised": RULE | {"fraction": 0.0}, "management": {"forestry": rotation}}
        config = config_of(tmp_path / "c.yaml", (2000, 2001), land_use=land)
        folder = tmp_path / ("off" if rotation == "off" else "managed")
        simulate(config, folder)
        yields[folder.name] = values(folder, "land_use", 2001, "forestry_to_products")
    assert (yields["off"] == 0.0).all() and (yields["managed"] > 0.0).all()
    wood = values(tmp_path / "managed", "land_use", 2001, "wood_harvest_to_products")
    assert yields["managed"] == pytest.approx(wood, rel=FLOAT32)  # there is no other harvest
    planted = values(tmp_path / "managed", "land_use", 2001, "seed_carbon")
    assert (planted > values(tmp_path / "off", "land_use", 2001, "seed_carbon")).all()
    # management stays where land use is held: the same forests are cut, as the history changes nothing anyway
    held = {"name": "held", "kind": "run", "years": [2000, 2001], "climate": {"cycle": [2000, 2000]},
            "land_use": {"fixed": 2000}}  # fmt: skip
    simulate(config_of(tmp_path / "held.yaml", land_use=land, phases=[held]), tmp_path / "held")
    assert np.array_equal(values(tmp_path / "held", "land_use", 2001, "forestry_to_products"), yields["managed"])


def test_primary_forest_that_is_managed_becomes_secondary(tmp_path):
    forestry = {"rotation": 20, "forests": "all"}
    land = {"initial": {"primary": 1.0}, "idealised": RULE | {"fraction": 0.0}, "management": {"forestry": forestry}}
    simulate(config_of(tmp_path / "c.yaml", (2000, 2001), land_use=land), tmp_path / "out")
    area = values(tmp_path / "out", "land_use", 2001, "secondary_area")
    cut = values(tmp_path / "out", "land_use", 2001, "forestry_area")
    assert (cut > 0.0).all() and (cut <= 1.0 / 20.0).all() and area == pytest.approx(cut, rel=2 * FLOAT32)


# --- area of tiles


def test_tiles_tell_their_area_in_each_record_and_cells_how_many_have_some(tmp_path):
    streams = [{"name": "tiles", "frequency": "month", "variables": ["gpp"], "per": "tile", "digits": 3}]
    simulate(config_of(tmp_path / "c.yaml", output={"streams": streams}), tmp_path / "out")
    last = None
    for year in (2001, 2002):
        with netCDF4.Dataset(tmp_path / f"out/tiles_{year}.nc") as file:
            share, cell = np.asarray(file["tile_share"][:], dtype=float), np.asarray(file["cell"][:])
            gone = np.ma.getmaskarray(file["gpp"][:])
        assert (share == share[0]).all() and len(share) == 12  # areas change on 1 January
        assert last is None or (share[0] != last).any()
        last = share[0]
        assert np.bincount(cell, last) == pytest.approx(1.0, abs=30 * FLOAT32)
        assert ((last <= 0.0) == gone[0]).all()
        count = np.bincount(cell[last > 0.0])
        assert (values(tmp_path / "out", "land_use", year, "tiles_with_area") == count).all()


# --- the same bits


def stopped_within(day, monkeypatch):
    """Ask the run to stop after the call of the core that has this day."""
    advance = run.Simulation._advance

    def and_stop(self, accumulator, forcing, days):
        if np.datetime64(day) in days:
            self._asked = run.STOP
        return advance(self, accumulator, forcing, days)

    monkeypatch.setattr(run.Simulation, "_advance", and_stop)


ALL = FARMS | {"fertiliser": "history", "irrigation": "history", "manure": 0.002,
               "forestry": {"rotation": 60, "thinning": 0.2}}  # fmt: skip
MONTHS = [*TILES, {"name": "months", "frequency": "month", "variables": ["gpp"], "per": "tile"}]


def test_a_stop_within_a_year_does_not_change_a_bit(tmp_path, monkeypatch):
    config = luh_config(tmp_path, ALL, (1850, 1851), output={"streams": MONTHS})
    simulate(config, tmp_path / "whole")
    with monkeypatch.context() as patch:
        stopped_within("1851-08-01", patch)  # after the harvest of some fields
        with pytest.raises(run.Stopped, match="before 1851-"):
            simulate(config, tmp_path / "cut", "parallel.chunk_days=40")
    simulate(config, tmp_path / "cut")
    assert different(tmp_path / "cut", results(tmp_path / "whole")) == []
    assert (values(tmp_path / "cut", "land_use", 1851, "farm_harvest_to_products") > 0.0).all()


def test_phases_cut_at_a_year_are_as_one_phase(tmp_path, monkeypatch):
    cycle = {"climate": {"cycle": [2000, 2000]}}
    parts = [{"name": "one", "kind": "run", "years": [2000, 2001]} | cycle,
             {"name": "two", "kind": "run", "years": [2002, 2002]} | cycle]  # fmt: skip
    simulate(config_of(tmp_path / "one.yaml"), tmp_path / "one")
    with monkeypatch.context() as patch:
        start = run._start
        whole = np.datetime64("2002-01-01", "s")  # the second phase begins with its year
        patch.setattr(run, "_start", lambda phase: start(phase) if phase.years[0] == 2000 else whole)
        simulate(config_of(tmp_path / "two.yaml", phases=parts), tmp_path / "two")
    assert (tmp_path / "one/totals.csv").read_bytes() == (tmp_path / "two/totals.csv").read_bytes()


@pytest.mark.release
def test_ranks_do_not_change_a_bit(tmp_path):
    config = luh_config(tmp_path, ALL, (1850, 1851), output={"streams": MONTHS})
    simulate(config, tmp_path / "one")
    settings = ["parallel.bundle=1", "parallel.nproma=16", "parallel.chunk_days=90"]
    done = mpirun(2, config, tmp_path / "cut", "term", 1, 3, settings=settings)
    assert done.returncode == run.STOPPED, done.stderr
    done = mpirun(4, config, tmp_path / "cut", settings=settings)  # the fourth has no cells
    assert (done.returncode, done.stderr) == (0, "")
    assert different(tmp_path / "cut", results(tmp_path / "one")) == []


# --- faults and notes


@pytest.mark.parametrize(
    ("management", "options", "words"),
    [
        ({"fertiliser": 0.01}, {}, "model.options.nitrogen is c_only"),
        ({"fertiliser": "history"}, {"nitrogen": "cn"}, "history is for land_use.source: luh2 or luh3"),
        ({"irrigation": "history"}, {}, "history is for land_use.source: luh2 or luh3"),
        ({"irrigation": "off"}, {"irrigation": "demand"}, "irrigation is off, but model.options.irrigation is demand"),
        ({"livestock": "off"}, {"grazing": "livestock"}, "livestock is off, but model.options.grazing is livestock"),
        ({"livestock": {"pasture": 1e-4}}, {"grazing": "mowing"}, "needs model.options.grazing: livestock"),
        ({"livestock": {"meadow": 1e-4}}, {}, "unknown key"),
        ({"livestock": 1e-4}, {}, "keys with values are expected"),
        ({"residue_left": 1.5}, {}, "must be at most 1"),
        ({"fertiliser": "histroy"}, {"nitrogen": "cn"}, "not one of off or history"),
        ({"fertiliser": 120.0}, {"nitrogen": "cn"}, "must be at most"),
        ({"forestry": {"rotation": 0}}, {}, "must be at least 1"),
        ({"residue_left": 0.5}, {"crops": "grass"}, "model.options.crops: grass nothing is harvested"),
    ],
)
def test_management_that_cannot_act_is_refused_in_a_sentence(tmp_path, management, options, words):
    with pytest.raises(ConcertoError) as told:
        load(config_of(tmp_path / "c.yaml", management=management, options=options))
    assert words in told.value.message and told.value.hint
    assert "land_use.management" in told.value.message


@pytest.mark.parametrize(("name", "value"), [("residue_left", 0.5), ("fertiliser", 0.01), ("manure", 0.01),
                                             ("irrigation", "on"), ("livestock", {"pasture": 1e-4})])  # fmt: skip
def test_a_parameter_that_management_sets_is_not_set_twice(tmp_path, name, value):
    def config(management):
        options = {"crops": "calendar", "nitrogen": "cn"}
        parameters = {"time_step": 10800, "options": options, "parameters": {MANAGEMENT[name]: 0.005}}
        return load(config_of(tmp_path / "c.yaml", management=management, model=parameters))

    with pytest.raises(ConcertoError, match=f"sets the parameter {MANAGEMENT[name]}, which stands in model.parameters"):
        config({name: value})
    assert config({}).model.parameters == {MANAGEMENT[name]: 0.005}


def test_fertiliser_of_a_history_above_its_bound_is_told_once_with_the_amount(tmp_path):
    config = luh_config(tmp_path, {"fertiliser": "history"}, (1850, 1851))
    assert not any("is taken as" in note for note in simulate(config, tmp_path / "usual")["notes"])
    with netCDF4.Dataset(tmp_path / "management.nc", "a") as file:
        for name in [name for name in file.variables if name.startswith("fertl")]:
            file[name][1] = 3000.0  # of 1851, kg ha-1 yr-1
    summary = simulate(config, tmp_path / "out")
    (told,) = (note for note in summary["notes"] if "is taken as" in note)
    assert "fertiliser of the history is up to 0.3 kg m-2 yr-1 (in 1851); above 0.2" in told


def test_a_history_without_management_is_refused(tmp_path):
    config = luh_config(tmp_path, {"fertiliser": "history"})
    tree = json.loads(config.read_text())
    del tree["land_use"]["files"]["management"]
    config.write_text(json.dumps(tree))
    with pytest.raises(ConcertoError, match="fertiliser: history needs the file of management"):
        load(config)
    with netCDF4.Dataset(tmp_path / "management.nc", "a") as file:
        for name in [name for name in file.variables if name.startswith("fertl")]:
            file.renameVariable(name, name.replace("fertl", "other"))
    with pytest.raises(ConcertoError, match="no fertl_<crop>"):
        simulate(luh_again(tmp_path), tmp_path / "out")


def luh_again(folder):
    tree = json.loads((folder / "luh.yaml").read_text())
    tree["land_use"]["files"]["management"] = "management.nc"
    (folder / "luh.yaml").write_text(json.dumps(tree))
    return folder / "luh.yaml"


def test_a_run_says_once_that_crops_as_grass_have_no_harvest(tmp_path):
    config = config_of(tmp_path / "c.yaml", (2000, 2000), {}, {"crops": "grass"})
    summary = simulate(config, tmp_path / "out")
    assert sum("crops are neither sown nor harvested" in note for note in summary["notes"]) == 1
    assert (values(tmp_path / "out", "land_use", 2000, "farm_harvest_to_products") == 0.0).all()


def test_repairs_and_transitions_without_area_are_told_with_amounts(tmp_path):
    (tmp_path / "moves.csv").write_text(
        "year,from,to,fraction\n2000,,secondary,0.0\n2000,secondary,crop,0.3\n2000,primary,crop,0.1\n"
    )
    land = {"source": "table", "files": {"table": "moves.csv"}, "idealised": None, "initial": {"primary": 1.0}}
    summary = simulate(config_of(tmp_path / "c.yaml", (2000, 2001), {}, land_use=land), tmp_path / "out")
    told = [note for note in summary["notes"] if "scaled down" in note]
    assert len(told) == 1 and "0.3 of the land" in told[0]


def test_transitions_that_find_no_area_are_told(tmp_path, monkeypatch):
    """Harvest by mass takes more area than the history has; what is then wanting is told with its amount."""
    from concerto.landuse import host

    original = host.apply_year

    def apply_year(*given):
        result = original(*given)
        result.unmet[:, 0, CROP] = 0.02, 0.0
        return result

    monkeypatch.setattr(host, "apply_year", apply_year)
    config = config_of(tmp_path / "c.yaml", (2000, 2002), {})
    summary = simulate(config, tmp_path / "out")
    (told,) = (note for note in summary["notes"] if note.startswith(run.NOT_THERE))
    assert told.endswith("in 2 years, most in 2001: 0.02 of a cell's land")
    assert values(tmp_path / "out", "land_use", 2001, "unmet_area") == pytest.approx([0.02, 0.0], rel=FLOAT32)
