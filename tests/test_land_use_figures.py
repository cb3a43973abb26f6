"""Figures and numbers of land use from the output folder of a run, on a made-up region with known answers."""

import json
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from concerto.errors import ConcertoError
from concerto.evaluation import land_use as lu
from concerto.landuse.classes import KINDS

pytestmark = pytest.mark.release  # Python around the core; the core itself is run with checks elsewhere

FIRST, LAST = 2000, 2006
YEARS = np.arange(FIRST, LAST + 1)
N_CELL = 3  # of a grid of 2 x 2; the fourth is sea
SECTION = {
    "source": "idealised", "secondary": "single", "initial": {"primary": 0.8, "secondary": 0.1, "pasture": 0.1},
    "idealised": {"kind": "deforest", "years": [2001, 2004], "fraction": 0.3, "from": "primary", "to": "pasture"},
}  # fmt: skip
DENSITY = {  # kg C m-2, kg C m-2 yr-1: forest, forest, pasture
    "cVeg": (15.0, 15.0, 0.5), "cLitter": (2.0, 2.0, 1.0), "cSoil": (9.0, 9.0, 7.0), "npp": (1.0, 1.0, 0.5),
    "nbp": (0.0, 0.0, 0.0),
}  # fmt: skip


def make_domain():
    from concerto.domain.grid import Domain, cell_area

    lat, lon = np.array([5.0, -5.0]), np.array([-65.0, -55.0])
    bounds = [np.stack([v - 5.0, v + 5.0], 1) for v in (lat, lon)]
    index = np.array([0, 2, 3])  # the north-eastern cell is sea
    mixtures = {kind: np.zeros((N_CELL, 17)) for kind in KINDS}
    for kind in KINDS:
        mixtures[kind][:, 4 if kind in ("primary", "secondary") else 14] = 1.0
    start = [SECTION["initial"][k] for k in ("primary", "secondary", "pasture")]
    return Domain(
        kind="latlon", latitude=np.repeat(lat, 2)[index], longitude=np.tile(lon, 2)[index],
        area=cell_area(*bounds).ravel()[index], land_fraction=np.array([1.0, 0.5, 1.0]), elevation=np.zeros(N_CELL),
        cell_id=index.astype(np.int64), lat=lat, lon=lon, lat_bounds=bounds[0], lon_bounds=bounds[1],
        index=index.astype(np.int64), tile_cell=np.repeat(np.arange(N_CELL), 3), tile_pft=np.tile([4, 4, 14], N_CELL),
        tile_fraction=np.tile(start, N_CELL), tile_class=np.tile([0, 1, 2], N_CELL), mixtures=mixtures,
    )  # fmt: skip


def write(folder, stream, values, dims):
    """One file of a stream with all years; values name -> (year, cell or tile), fluxes given per year."""
    import xarray as xr

    start = np.array([f"{y}-01-01" for y in (*YEARS, LAST + 1)], "datetime64[s]")
    seconds = (start[1:] - start[:-1]).astype(float)[:, None]
    ds = xr.Dataset({"time_bnds": (("time", "bnds"), np.stack([start[:-1], start[1:]], 1))},
                    {"time": start[:-1] + np.timedelta64(150, "D")})  # fmt: skip
    for name, value in values.items():
        stock = name.startswith("c") or name.endswith("_area")
        value = np.asarray(value, float) if stock else value / seconds
        if dims == ("lat", "lon"):
            full = np.full((len(YEARS), 4), np.nan)
            full[:, make_domain().index] = value
            value = full.reshape(-1, 2, 2)
        ds[name] = (("time", *dims), value)
    encoding = {v: {"units": "seconds since 2000-01-01", "calendar": "standard"} for v in ("time", "time_bnds")}
    ds.to_netcdf(folder / f"{stream}_{FIRST}.nc", encoding=encoding)


def make(folder, changes, nbp=0.0):
    """A run with (changes) or without deforestation; ``nbp`` (year, cell) of the land, kg C m-2 yr-1."""
    folder.mkdir()
    domain = make_domain()
    domain.save(folder / "domain.nc")
    configuration = {"domain": {"grid": "embedded"}, "land_use": SECTION, "phases": [
        {"name": "change", "kind": "run", "years": [FIRST, LAST]}]}  # fmt: skip
    (folder / "run.json").write_text(json.dumps({"configuration": configuration}))
    gone = 0.3 * np.clip(YEARS - 2001, 0, 3) / 3 if changes else np.zeros(len(YEARS))
    share = {"primary": 0.8 - gone, "secondary": 0.1 + 0 * gone, "pasture": 0.1 + gone}
    one = np.ones((len(YEARS), N_CELL))
    fluxes = {"fDeforestToAtmos": 0.4, "fProductDecomp": 0.1, "seed_carbon": 0.05, "fLuc": 0.45}
    values = {name: one * value * changes for name, value in fluxes.items()} | {"cProduct": one}
    values |= {f"{kind}_area": one * share.get(kind, np.zeros(len(YEARS)))[:, None] for kind in KINDS}
    write(folder, "land_use", values, ("lat", "lon"))
    write(folder, "annual", {"nbp": one * nbp}, ("lat", "lon"))
    tiles = {name: np.tile(np.tile(value, N_CELL), (len(YEARS), 1)) for name, value in DENSITY.items()}
    write(folder, "tiles", tiles, ("tile",))
    return lu.read_land_use(folder)


@pytest.fixture
def runs(tmp_path):
    return make(tmp_path / "s2", 0, 0.02), make(tmp_path / "s3", 1, 0.01)


def test_net_uptake_is_that_of_the_land_less_what_land_use_emits(runs):
    held, changed = runs
    # Files are in double precision, seconds of the year go in and out: round-off.
    np.testing.assert_allclose(changed.uptake, 0.01 - 0.45, rtol=1e-12)
    np.testing.assert_allclose(lu.eluc(held, changed), 0.02 + 0.44, rtol=1e-12)
    np.testing.assert_allclose(changed.total(changed.uptake), -0.44 * changed.area.sum() * 1e-12, rtol=1e-12)
    assert changed.area[1] == pytest.approx(0.5 * changed.domain.area[1])


def test_land_that_flows_between_kinds_explains_their_areas(runs):
    _, changed = runs
    areas = np.einsum("yck,c->yk", changed.kinds, changed.area)
    history = lu.history_of(changed)
    for matrix in (lu.flow_matrix(changed), lu.flow_matrix(changed, history)):
        # sums of six years of areas near 1e12 m2, taken as differences: round-off of the areas
        np.testing.assert_allclose(areas[0] - matrix.sum(1) + matrix.sum(0), areas[-1], rtol=1e-9, atol=1e3)
        assert matrix[0, 2] == pytest.approx(0.3 * changed.area.sum())


def test_values_by_kind_are_means_over_their_tiles(runs):
    kinds = lu.by_kind(runs[0])
    np.testing.assert_allclose(kinds["cSoil"][:, :, :3], np.broadcast_to(DENSITY["cSoil"], (7, N_CELL, 3)))
    np.testing.assert_allclose(kinds["npp"][:, :, 2], 0.5, rtol=1e-12)
    assert np.isnan(kinds["cVeg"][:, :, 3:]).all()


def test_a_run_that_does_what_bookkeeping_does_leaves_nothing_to_explain(runs, tmp_path):
    held, changed = runs
    history = lu.history_of(changed)
    eluc = lu.beside_bookkeeping(held, changed, history)["record"]["eluc"]
    assert eluc.min() >= 0.0 and eluc.max() > 0.1
    nbp = 0.02 - np.vstack([np.zeros(N_CELL), eluc]) + 0.45
    result = lu.beside_bookkeeping(held, make(tmp_path / "same", 1, nbp), history)
    scale = np.abs(result["bookkeeping"]).max()
    # the same numbers, through files and totals: round-off
    for name in ("difference", "process_residual", "density_effect", "lasc"):
        assert np.abs(result[name]).max() < 1e-12 * scale, name
    whole = ("year", "eluc", "gross_source", "gross_sink", "peat")
    parts = [values for name, values in result["table"].items() if name not in whole]
    np.testing.assert_allclose(np.sum(parts, axis=0), result["table"]["eluc"], rtol=1e-9, atol=1e-12 * scale)


def test_the_terms_of_the_difference_sum_to_it(runs):
    held, changed = runs
    result = lu.beside_bookkeeping(held, changed, lu.history_of(changed))
    terms = result["minus_lasc"] + result["density_effect"] + result["process_residual"]
    # sums of numbers of order 1 PgC: round-off
    np.testing.assert_allclose(terms, result["difference"], rtol=0, atol=1e-14)
    assert np.abs(result["difference"]).max() > 0.01


def texts(svg):
    root = ElementTree.fromstring(svg)
    return {node.text.strip() for node in root.iter("{http://www.w3.org/2000/svg}text") if node.text}


def test_figures_say_what_they_show(runs):
    held, changed = runs
    assert {"primary", "secondary", "pasture"} <= texts(lu.area_series(changed))
    assert "crop" not in texts(lu.area_series(changed))
    words = texts(lu.uptake_attribution(changed))
    assert {"net uptake", "NBP of the land", "clearing (burned)", "decay of products", "seed"} <= words
    flows = texts(lu.flow_diagram(lu.flow_matrix(changed) * 1e-12))
    assert "Land that changed hands, million km²" in flows and "primary" in flows and "crop" not in flows
    maps = texts(lu.emission_map(changed, held))
    assert "All effects, S2 − S3, 2000–2006, kgC m⁻²" in maps
    result = lu.beside_bookkeeping(held, changed, lu.history_of(changed))
    assert "bookkeeping" in texts(lu.comparison(result))
    assert lu.flow_diagram(np.zeros((6, 6))) is None  # nothing moved
    assert lu.tiles_map(changed) is None  # three tiles in each cell
    changed.domain.tile_cell[-1] = 0
    assert "Tiles of a cell, 9 in all" in texts(lu.tiles_map(changed))


def test_farm_harvest_that_enters_products_has_not_left_the_land_yet(runs):
    _, changed = runs
    before = changed.uptake.copy()
    changed.flux[lu.FARM] = np.full_like(before, 0.2)
    np.testing.assert_allclose(changed.uptake, before + 0.2)
    assert "farm harvest kept in products" in texts(lu.uptake_attribution(changed))


# --- tables


def test_parts_of_the_emission_sum_to_it(runs):
    held, changed = runs
    alone, both = lu.parts_of(changed), lu.parts_of(changed, held)
    # the files have double precision: round-off of numbers below 1
    np.testing.assert_allclose(sum(alone.values()), changed.flux["fLuc"], rtol=0, atol=1e-15)
    np.testing.assert_allclose(sum(both.values()), lu.eluc(held, changed), rtol=0, atol=1e-15)
    for run in runs:
        run.flux[lu.FARM] = np.full_like(run.nbp, 0.3 if run is changed else 0.1)
    np.testing.assert_allclose(sum(lu.parts_of(changed, held).values()), lu.eluc(held, changed), rtol=0, atol=1e-15)


def test_budgets_of_runs_and_of_bookkeeping_close(runs):
    held, changed = runs
    tables = lu.budgets(changed, held, "boxes", lu.history_of(changed))
    assert list(tables) == ["runs", "bookkeeping", "bookkeeping transient", "bookkeeping by transition"]
    result = lu.beside_bookkeeping(held, changed, lu.history_of(changed))
    scale = np.abs(result["factorial"]).max()
    for name, whole in (("runs", result["factorial"]), ("bookkeeping", result["bookkeeping"]),
                        ("bookkeeping transient", result["transient"]),
                        ("bookkeeping by transition", result["bookkeeping"])):  # fmt: skip
        found = tables[name].net.sel(region="all").sum("component")
        if name == "runs":  # all years, the first too
            assert np.array_equal(found.year, YEARS)
            assert np.abs(found - held.total(lu.eluc(held, changed))).max() < 1e-14 * max(scale, 1.0)
            found = found[1:]
        assert np.array_equal(found.year, result["year"])
        # sums over cells and components: round-off
        assert np.abs(found - whole).max() < 1e-14 * max(scale, 1.0), name
        assert list(tables[name].region.values) == ["South America", "all"]
    lost = tables["runs"].net.sel(region="all", component="lost_sinks")
    assert np.abs(lost[1:] - result["minus_lasc"]).max() < 1e-14 and lost[0] == 0.0
    pairs = lu.budgets(changed, held, history=lu.history_of(changed), types="pairs")
    assert list(pairs["bookkeeping by transition"].component.values) == ["primary>pasture"]
    assert list(lu.budgets(changed)) == ["runs"]


def test_files_of_the_budget_say_what_is_missing(runs, tmp_path):
    held, changed = runs
    paths, notes = lu.budget_files(changed.folder, tmp_path / "alone")
    assert [p.name for p in paths] == ["land_use_budget.csv", "land_use_budget_runs.nc"] and "ELUC" in notes[0]
    paths, notes = lu.budget_files(changed.folder, tmp_path / "both", without=held.folder)  # idealised: needs no file
    assert len(paths) == 5 and len(notes) == 1 and "leaves out 2000" in notes[0]
    assert all(p.is_file() for p in paths)
    import xarray as xr

    tiles = held.folder / f"tiles_{FIRST}.nc"
    with xr.open_dataset(tiles) as ds:
        later = ds.isel(time=slice(2, None)).load()
    later.to_netcdf(tiles)
    paths, notes = lu.budget_files(changed.folder, tmp_path / "later", without=held.folder)
    assert len(paths) == 2 and "each year from 2000 to 2006" in notes[0]
    tiles.unlink()
    paths, notes = lu.budget_files(changed.folder, tmp_path / "less", without=held.folder)
    assert len(paths) == 2 and "No bookkeeping" in notes[0]
    assert ",land," in paths[0].read_text()


def test_runs_that_are_swapped_or_the_same_are_not_compared_without_a_word(runs, tmp_path):
    held, changed = runs
    _, notes = lu.budget_files(held.folder, tmp_path / "swapped", without=changed.folder)
    assert any("are the two runs swapped?" in note and str(changed.folder) in note for note in notes)
    with pytest.raises(ConcertoError, match="compared with itself"):
        lu.budget_files(changed.folder, tmp_path / "same", without=changed.folder / ".." / "s3")


def test_land_that_moves_on_the_first_day_is_in_the_flows(runs):
    _, changed = runs
    later = lu.flow_matrix(changed)
    changed.moved = np.zeros((len(YEARS), N_CELL))
    changed.kinds[:, :, 0] -= 0.05  # since the start
    changed.kinds[:, :, 4] += 0.05
    assert lu.flow_matrix(changed) == pytest.approx(later, abs=1e3)  # m2 of 1e12: a state of later, not of the start
    changed.moved[0] = 0.05
    found = lu.flow_matrix(changed) - later
    assert found[0, 4] == pytest.approx(0.05 * changed.area.sum()) and found.sum() == pytest.approx(found[0, 4])


def test_a_history_of_files_is_followed_only_where_their_folder_is_named(runs, tmp_path):
    held, changed = runs
    section = changed.facts["configuration"]["land_use"]
    section.pop("idealised")
    section |= {"source": "table", "files": {"table": "history.csv"}}
    for run in runs:
        (run.folder / "run.json").write_text(json.dumps(changed.facts))
    assert lu.history_or_none(changed) is None
    notes = []
    assert lu.history_or_none(changed, tmp_path, notes) is None and "history.csv" in notes[0]
    (tmp_path / "history.csv").write_text("year,from,to,fraction\n2001,primary,pasture,0.1\n")
    assert lu.history_or_none(changed, tmp_path) is not None
    _, notes = lu.budget_files(changed.folder, tmp_path / "out", without=held.folder)
    assert "folder of the configuration" in notes[0]


def test_the_command_writes_tables_and_figures(runs, tmp_path, monkeypatch, capsys):
    from concerto import cli

    held, changed = runs
    words = ["land-use", changed.folder, "--without", held.folder, "--out", tmp_path / "out", "--regions", "boxes"]
    monkeypatch.setattr("sys.argv", ["concerto", *map(str, words)])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert not stop.value.code
    found = capsys.readouterr().out.split()
    assert len(found) == 9 and all(name in " ".join(found) for name in ("budget.csv", "map.svg", "uptake.svg"))
    assert "South America" in (tmp_path / "out" / "land_use_budget.csv").read_text()


# --- the page


def with_weather(folder):
    """Monthly photosynthesis, so that there is something beside land use on the page."""
    import xarray as xr

    with xr.open_dataset(folder / f"annual_{FIRST}.nc") as ds:
        ds = ds.load()
    ds["gpp"] = xr.full_like(ds["nbp"], 3e-8).where(ds["nbp"].notnull()).assign_attrs(units="kg m-2 s-1")
    encoding = {v: {"units": "seconds since 2000-01-01"} for v in ("time", "time_bnds")}
    ds.to_netcdf(folder / f"annual_{FIRST}.nc", encoding=encoding)


def test_the_page_of_a_run_shows_its_land_use(runs, tmp_path, monkeypatch):
    from concerto.evaluation import maps
    from concerto.evaluation.globe_report import write_globe_report

    for name in ("map_grid", "type_maps", "biome_ranges", "zonal_means", "hovmoeller", "total_series"):
        monkeypatch.setattr(maps, name, lambda *a, **k: None)  # drawn in other tests
    held, changed = runs
    for run in runs:
        with_weather(run.folder)
    page = write_globe_report(tmp_path / "both.html", changed.folder, without=held.folder).read_text()
    for name in ("map", "area", "flows", "uptake"):
        assert f'id="land_use_{name}"' in page
    for words in ("<h2>Land use</h2>", "Emission by what gives it", "Emission by bookkeeping", "lost sinks",
                  "deforestation", "All effects, S2 − S3", "Peat is not modelled", "kind of land"):  # fmt: skip
        assert words in page, words
    alone = write_globe_report(tmp_path / "alone.html", changed.folder).read_text()
    assert "needs a second run" in alone and "Emission by bookkeeping" not in alone
    for path in changed.folder.glob("land_use_*.nc"):
        path.unlink()
    without = write_globe_report(tmp_path / "without.html", changed.folder).read_text()
    assert "<h2>Land use</h2>" not in without
    with pytest.raises(ConcertoError, match="no land use"):
        write_globe_report(tmp_path / "wrong.html", changed.folder, without=held.folder)


def test_figure_files_appear_in_the_chosen_format(runs, tmp_path):
    held, changed = runs
    paths = lu.figure_files(changed.folder, tmp_path / "figures", without=held.folder, format="png")
    assert [p.stem for p in paths] == ["land_use_map", "land_use_area", "land_use_flows", "land_use_uptake"]
    assert all(p.read_bytes().startswith(b"\x89PNG") for p in paths)
    with pytest.raises(ConcertoError, match="format"):
        lu.figure_files(changed.folder, tmp_path, format="jpg")


def test_what_is_missing_is_named(runs, tmp_path):
    held, changed = runs
    with pytest.raises(ConcertoError, match=r"no domain\.nc"):
        lu.read_land_use(tmp_path)
    (held.folder / f"land_use_{FIRST}.nc").unlink()
    with pytest.raises(ConcertoError, match="land_use_<year>"):
        lu.read_land_use(held.folder)
    (changed.folder / f"annual_{FIRST}.nc").unlink()
    without = lu.read_land_use(changed.folder)
    assert without.uptake is None and lu.uptake_attribution(without) is None
    with pytest.raises(ConcertoError, match="no nbp per cell"):
        lu.eluc(held, without)
    (changed.folder / f"tiles_{FIRST}.nc").unlink()
    with pytest.raises(ConcertoError):
        lu.by_kind(changed)
