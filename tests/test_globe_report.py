"""The page of a global run: totals, biomes, latitude bands, maps, from a synthetic world with known sums."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from concerto.errors import ConcertoError
from concerto.evaluation import globe

pytestmark = pytest.mark.release  # Python around the core; the core itself is run with checks elsewhere

YEAR = 3.15576e7
GRAMS = 1000.0 * YEAR
# biome -> leading type, its share, a second type, GPP, NPP (gC m-2 yr-1), peak LAI, C vegetation, C soil (kg m-2), ET
# (mm yr-1)
WORLD = {
    "tropical_evergreen": (4, 0.9, 14, 3100.0, 1100.0, 5.6, 18.0, 11.0, 1200.0),
    "savanna": (14, 0.6, 6, 1300.0, 600.0, 2.2, 3.0, 7.0, 700.0),
    "desert": (0, 0.9, 13, 60.0, 25.0, 0.2, 0.1, 2.5, 120.0),
    "temperate_grassland": (13, 0.8, 0, 900.0, 400.0, 2.4, 0.5, 13.0, 450.0),
    "temperate_deciduous": (7, 0.8, 13, 1400.0, 700.0, 5.0, 12.0, 12.0, 550.0),
    "boreal_evergreen": (2, 0.8, 12, 800.0, 300.0, 2.9, 5.0, 19.0, 330.0),
    "tundra": (12, 0.7, 0, 250.0, 130.0, 1.1, 0.7, 26.0, 160.0),
}


def biome_at(latitude, longitude):
    size = np.abs(latitude)
    dry = np.sin(np.radians(longitude * 2.0 + 40.0)) > 0.2
    return np.select(
        [size < 8, size < 18, size < 30, size < 45, size < 52, size < 66],
        [
            "tropical_evergreen",
            "savanna",
            np.where(dry, "desert", "savanna"),
            "temperate_grassland",
            np.where(dry, "temperate_grassland", "temperate_deciduous"),
            "boreal_evergreen",
        ],
        "tundra",
    )


def make_domain(step=5.0, box=(-180.0, -56.0, 180.0, 84.0), land=None):
    """Cells of a grid with made-up continents, or with the given function of the bounds as land."""
    from concerto.domain.grid import Domain, cell_area

    west, south, east, north = box
    lat = np.arange(north - step / 2, south, -step)
    lon = np.arange(west + step / 2, east, step)
    lat_bounds = np.stack([lat - step / 2, lat + step / 2], 1)
    lon_bounds = np.stack([lon - step / 2, lon + step / 2], 1)
    if land is not None:
        share = land(lat_bounds, lon_bounds)
    else:
        share = np.where(
            np.sin(np.radians(lon * 1.5))[None] + 0.3 * np.sin(np.radians(lat * 4))[:, None] > 0.15, 0.9, 0.0
        )
    index = np.flatnonzero(share.ravel() > 0.05)
    latitude, longitude = np.repeat(lat, len(lon))[index], np.tile(lon, len(lat))[index]
    biome = biome_at(latitude, longitude)
    rows = [WORLD[b] for b in biome]
    pairs = [sorted([(row[0], row[1]), (row[2], 1.0 - row[1])]) for row in rows]
    domain = Domain(
        kind="latlon",
        latitude=latitude,
        longitude=longitude,
        area=cell_area(lat_bounds, lon_bounds).ravel()[index],
        land_fraction=share.ravel()[index],
        elevation=np.zeros(len(index)),
        cell_id=index.astype(np.int64),
        lat=lat,
        lon=lon,
        lat_bounds=lat_bounds,
        lon_bounds=lon_bounds,
        index=index.astype(np.int64),
        tile_cell=np.repeat(np.arange(len(index)), 2),
        tile_pft=np.array([pft for pair in pairs for pft, _ in pair]),
        tile_fraction=np.array([f for pair in pairs for _, f in pair]),
    )
    return domain, biome


def year_of_values(domain, biome, year, noise=0.0):
    """Months (12, cell) of the variables of a stream, SI units; the annual means are those of WORLD."""
    table = np.array([WORLD[b][3:] for b in biome]).T
    rng = np.random.default_rng(year)
    spread = np.exp(noise * rng.standard_normal((1, domain.n_cell)))
    month = np.arange(12)[:, None]
    phase = np.where(domain.latitude > 0, 6.5, 0.5)
    swing = np.clip(np.abs(domain.latitude) / 50.0, 0.0, 0.95)
    season = 1.0 + swing * np.cos(2 * np.pi * (month - phase) / 12.0)
    season /= np.average(season, axis=0, weights=[31, 28.25, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31])
    gpp, npp, lai, vegetation, soil, water = table
    flux = spread * season
    trend = 1.0 + 0.002 * (year - 2000)
    return {
        "gpp": trend * gpp / GRAMS * flux,
        "npp": trend * npp / GRAMS * flux,
        "ra": trend * (gpp - npp) / GRAMS * flux,
        "rh": npp / GRAMS * (0.6 + 0.4 * season) * spread,
        "nbp": npp / GRAMS * spread * (trend * season - 0.6 - 0.4 * season + 0.012),
        "evapotranspiration": water / YEAR * flux,
        "transpiration": 0.55 * water / YEAR * flux,
        "surface_runoff": 0.2 * water / YEAR * flux,
        "drainage": 0.3 * water / YEAR * flux,
        "leaf_area": lai * season / season.max(0),
        "vegetation_carbon": vegetation * spread * trend * np.ones((12, 1)),
        "soil_organic_carbon": soil * spread * np.ones((12, 1)),
        "litter_carbon": 0.1 * soil * spread * np.ones((12, 1)),
    }


def write_run(folder, domain, biome, years=(2000, 2001), noise=0.0, values=year_of_values):
    """A folder as a run writes it."""
    from concerto.simulation.streams import Stream, StreamWriter

    folder.mkdir(parents=True, exist_ok=True)
    domain.save(folder / "domain.nc")
    names = tuple(values(domain, biome, years[0]))
    stream = Stream("monthly", "month", names)
    ends = [np.datetime64(f"{y}-01-01") for y in (years[0], years[1] + 1)]
    writer = StreamWriter(folder, stream, domain, start=ends[0], end=ends[1])
    lines = ["phase,year,gpp [PgC yr-1],npp [PgC yr-1],nbp [PgC yr-1],mrros [km3 yr-1],mrrob [km3 yr-1],cVeg [PgC]"]
    lines.append("equilibrium,1900,1,1,1,1,1,1")
    area = domain.area * domain.land_fraction
    for year in range(years[0], years[1] + 1):
        start, end = stream.intervals(f"{year}-01-01", f"{year + 1}-01-01", 1800.0)
        fields = values(domain, biome, year, noise)
        writer.write(str(year), start, end, {name: np.asarray(v) for name, v in fields.items()})
        sums = {name: float(np.average(v, axis=0) @ area) for name, v in fields.items()}
        row = [sums[name] * YEAR * 1e-12 for name in ("gpp", "npp", "nbp", "surface_runoff", "drainage")]
        lines.append(",".join(["historical", str(year), *map(repr, [*row, sums["vegetation_carbon"] * 1e-12])]))
    (folder / "totals.csv").write_text("\n".join(lines) + "\n")
    seconds = {"compute": 80.0, "input": 6.0, "output": 3.0, "waiting": 4.0, "spin-up": 20.0}
    facts = {
        "configuration": {
            "title": "A made-up world",
            "domain": {"grid": "embedded", "resolution": 5.0},
            "phases": [
                {"name": "equilibrium", "kind": "spinup", "climate": [1901, 1920]},
                {"name": "historical", "kind": "run", "years": list(years), "co2": "builtin"},
            ],
        },
        "source": "concerto 0.1.0",
        "versions": {"concerto": "0.1.0", "numpy": "2.1"},
        "ranks": 4,
        "phases": [
            {"name": "equilibrium", "result": "steady", "wall": 25.0, "ranks": [seconds] * 4},
            {"name": "historical", "result": "2 years", "wall": 100.0, "ranks": [seconds] * 4},
        ],
        "state": "complete",
        "summary": {"worst residual": {"water": "3.1e-12 kg m-2 in a step", "carbon": "2.0e-15 kg m-2 in a step"}},
    }
    (folder / "run.json").write_text(json.dumps(facts))
    return folder


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A run of the whole globe at 6 degrees and what is true of it."""
    domain, biome = make_domain(6.0, box=(-180.0, -60.0, 180.0, 84.0))
    folder = write_run(tmp_path_factory.mktemp("globe") / "out", domain, biome)
    return SimpleNamespace(folder=folder, domain=domain, biome=biome, data=globe.climatology(folder))


def truth(world, column):
    """Mean of the two years over the land, of a column of WORLD."""
    values = np.array([WORLD[b][column] for b in world.biome])
    area = world.domain.area * world.domain.land_fraction
    return float(values @ area), float(area.sum())


def test_totals_are_the_sums_over_the_land_of_the_sphere(world):
    found = globe.totals(world.data)
    gpp, land = truth(world, 3)
    # output is float32 (6e-8); 2001 has 365 days, the year of the rates 365.25, February weighs 28.25 days: 1e-4
    assert found["land_area"] == pytest.approx(land * 1e-12, rel=1e-5)
    assert found["gpp"] == pytest.approx(gpp * 1e-15 * 1.001, rel=3e-4)  # the trend of two years: 1, 1.002
    assert found["et_depth"] == pytest.approx(truth(world, 8)[0] / land, rel=3e-4)
    assert found["runoff"] == pytest.approx(0.5 * found["et"], rel=1e-4)  # made so, from its two parts
    assert found["transpiration_et"] == pytest.approx(0.55, rel=1e-5)
    assert found["ra_gpp"] + found["npp_gpp"] == pytest.approx(1.0, rel=1e-6)
    carbon = found["c_vegetation"] + found["c_soil"] + found["c_litter"]
    assert found["turnover"] == pytest.approx(carbon / found["gpp"], rel=1e-6)
    assert found["lai_vegetated"] > found["lai_mean"] - 1e-9


def test_latitude_bands_and_biomes_add_up_to_the_totals(world):
    total = globe.totals(world.data)
    bands = globe.by_latitude(world.data, 10.0)
    for key in ("gpp", "et", "c_soil", "land_area"):
        assert sum(row[key] for row in bands) == pytest.approx(total[key], rel=1e-9)
    assert [row["north"] for row in bands] == sorted((row["north"] for row in bands), reverse=True)
    biomes = globe.by_biome(world.data, world.domain)
    assert sum(row["land_area"] for row in biomes) == pytest.approx(total["land_area"], rel=1e-9)
    gpp = sum(row["land_area"] * row["values"]["gpp"][0] for row in biomes) * 1e-3  # gC m-2 on million km2: PgC
    assert gpp == pytest.approx(total["gpp"], rel=1e-9)


def test_cells_belong_to_the_biome_of_their_cover(world):
    rows = {row["biome"]: row for row in globe.by_biome(world.data, world.domain)}
    assert set(rows) == set(WORLD)
    for name, row in rows.items():
        assert row["cells"] == (world.biome == name).sum()
        mean, low, high = row["values"]["c_soil"]
        assert mean == pytest.approx(WORLD[name][7], rel=1e-6)  # float32
        assert low == pytest.approx(high, rel=1e-6)  # all its cells are alike
        assert row["values"]["lai_peak"][0] == pytest.approx(WORLD[name][5], rel=1e-6)


def test_climate_tells_savanna_from_steppe_and_polar_from_hot_desert():
    share = np.zeros((5, 17))
    share[:2, 14], share[2:4, 0], share[4, [2, 7, 13]] = 1.0, 1.0, (0.3, 0.3, 0.4)
    warm, cool = np.full(12, 24.0), np.linspace(-5.0, 25.0, 12)
    polar = np.linspace(-30.0, 6.0, 12)
    found = globe.biomes(share, np.array([10.0, 40.0, 25.0, 78.0, 50.0]), np.stack([warm, cool, warm, polar, cool]))
    # the last cell is a forest (trees 0.6) though grass is its leading type
    expected = ["savanna", "temperate_grassland", "desert", "cold_desert"]
    assert found[:4].tolist() == expected and found[4] in ("boreal_evergreen", "temperate_deciduous")
    by_latitude = globe.biomes(share, np.array([10.0, 40.0, 25.0, 78.0, 50.0]))
    assert by_latitude[:4].tolist() == expected


def test_what_is_outside_the_envelope_is_named():
    from concerto.evaluation.globe_report import outside

    values = {"gpp": 150.0, "npp": 80.0, "npp_gpp": 0.45, "c_soil": 300.0}
    rows = {row["key"]: row for row in globe.compare(values)}
    words = {key: rows[key]["verdict"] for key in values}
    assert words == {"gpp": "wider", "npp": "above", "npp_gpp": "inside", "c_soil": "below"}
    assert rows["gpp"]["inside"] is False and rows["gpp"]["away"] == "above"
    assert rows["runoff"]["verdict"] is None and rows["runoff"]["why"] == "not in the output"
    assert rows["beta"]["why"] == "needs a second run"
    named = [item["what"] for item in outside(rows.values())]
    assert named == ["Gross primary production", "Net primary production", "Carbon in soil, whole depth"]
    region = {row["key"]: row for row in globe.compare(values, whole=False)}
    assert region["gpp"]["verdict"] is None and region["npp_gpp"]["verdict"] == "inside"


def test_every_range_of_the_envelope_is_a_range_with_a_source():
    table = globe.envelope()
    for entry in table["total"].values():
        assert entry["range"][0] < entry["range"][1] and entry["source"] and entry["scope"] in ("globe", "any", "pair")
        if "wide" in entry:
            assert entry["wide"][0] <= entry["range"][0] and entry["wide"][1] >= entry["range"][1]
    for entry in table["biome"].values():
        assert entry["source"]
        assert all(entry[key][0] < entry[key][1] for key in table["biome_quantity"] if key in entry)


def test_equal_earth_keeps_areas_and_its_published_extent():
    from concerto.evaluation.maps import equal_earth

    lon, lat = np.meshgrid(np.linspace(-180.0, 180.0, 361), np.linspace(-90.0, 90.0, 361))
    x, y = equal_earth(lon, lat)
    dx, dy = np.diff(x, axis=1), np.diff(y, axis=0)
    cells = 0.5 * (dx[1:] + dx[:-1]) * 0.5 * (dy[:, 1:] + dy[:, :-1])
    exact = np.radians(1.0) * np.diff(np.sin(np.radians(lat)), axis=0)[:, :-1]
    # trapezia of half a degree: second order, worst in the rows at the poles
    np.testing.assert_allclose(cells[10:-10], exact[10:-10], rtol=1e-4)
    assert cells.sum() == pytest.approx(4.0 * np.pi, rel=1e-4)
    assert (x.max(), y.max()) == pytest.approx((2.7066, 1.3173), abs=1e-4)  # 17243959 and 8392928 m over 6371 km


def test_the_page_shows_totals_biomes_maps_and_the_run(world, tmp_path):
    from concerto.evaluation.globe_report import write_globe_report

    path = write_globe_report(tmp_path / "globe.html", world.folder)
    page = path.read_text()
    assert len(page) < 3e6 and [p.name for p in tmp_path.iterdir()] == ["globe.html"]
    for name in ("maps", "types", "biomes", "latitude", "seasons", "totals", "time"):
        assert f'<figure id="{name}">' in page
    assert "A made-up world" in page and "Tropical evergreen forest" in page
    assert f"{globe.totals(world.data)['gpp']:.1f}</div>" in page
    assert "3.1e-12 kg m-2 in a step" in page and "equilibrium" in page
    assert "http" not in page.replace("http://www.w3.org/", "")  # needs no network
    assert ">nan" not in page.lower()


def test_single_figures_are_files_of_the_chosen_format(world, tmp_path, monkeypatch):
    from concerto.evaluation import globe_report

    every = globe_report._figures
    monkeypatch.setattr(globe_report, "_figures", lambda found: [f for f in every(found) if f[0] == "time"])
    (png,) = globe_report.figure_files(world.folder, tmp_path / "figures", format="png")
    (svg,) = globe_report.figure_files(world.folder, tmp_path / "figures")
    assert png.name == "time.png" and png.read_bytes().startswith(b"\x89PNG")
    assert svg.name == "time.svg" and "</svg>" in svg.read_text() and "rank 3" in svg.read_text()
    seconds = globe_report.rank_times(globe_report.read_facts(world.folder))
    assert seconds["compute"].tolist() == [160.0] * 4  # two phases


def test_years_before_the_last_phase_are_not_in_the_series(world):
    from concerto.evaluation.globe_report import read_series

    year, values = read_series(world.folder)
    assert year.tolist() == [2000.0, 2001.0]
    total = globe.totals(world.data)
    assert values["runoff"].mean() == pytest.approx(total["runoff"], rel=1e-3)  # km3 to 1000 km3, both parts
    assert values["gpp"].mean() == pytest.approx(total["gpp"], rel=1e-3)


def test_regions_and_points_are_not_compared_with_the_globe(tmp_path):
    from dataclasses import replace

    from concerto.evaluation import globe_report

    domain, biome = make_domain(6.0, box=(0.0, 30.0, 120.0, 60.0))
    found = globe_report.analyse(write_run(tmp_path / "region", domain, biome))
    assert not found["whole"] and found["data"].land < 100.0
    judged = {row["key"] for row in found["compared"] if row["verdict"]}
    assert judged == {"npp_gpp", "ra_gpp", "transpiration_et"}
    n = domain.n_cell
    points = replace(domain, kind="points", area=np.ones(n), land_fraction=np.ones(n), index=None, lat=None, lon=None,
                     lat_bounds=None, lon_bounds=None)  # fmt: skip
    found = globe_report.analyse(write_run(tmp_path / "points", points, biome))
    assert "gpp" not in found["totals"] and found["data"].row is None
    assert found["totals"]["npp_gpp"] > 0.3 and found["latitudes"][0]["land_area"] is None


def test_other_units_and_statistics_are_left_out_with_a_note(world):
    import xarray as xr

    with xr.open_dataset(world.folder / "monthly_2000.nc") as ds:
        ds = ds.load()
    ds["gpp"].attrs["units"] = "gC m-2 d-1"
    ds["npp"].attrs["cell_methods"] = "time: maximum"
    data = globe.climatology(ds)
    assert "gpp" not in data.mean and "npp" not in data.mean and "ra" in data.mean
    assert any("gpp" in note and "gC m-2 d-1" in note for note in data.notes)
    assert any("npp" in note and "maximum" in note for note in data.notes)


def test_longitudes_from_0_to_360_and_rows_from_the_south_are_the_same_world(world):
    import xarray as xr

    with xr.open_dataset(world.folder / "monthly_2000.nc") as ds:
        ds = ds.load()
    turned = ds.isel(lat=slice(None, None, -1)).drop_vars(["lon_bnds", "lat_bnds"])
    turned = turned.assign_coords(lon=turned.lon.values % 360.0).sortby("lon")
    a, b = globe.climatology(ds), globe.climatology(turned)
    np.testing.assert_allclose(a.grid(a.mean["gpp"]), b.grid(b.mean["gpp"]))
    np.testing.assert_allclose(a.lon_edges, b.lon_edges, atol=1e-9)


def test_faults_of_the_folder_are_told(tmp_path):
    from concerto.evaluation.globe_report import figure_files, write_globe_report

    with pytest.raises(ConcertoError, match="no such folder"):
        write_globe_report(tmp_path / "a.html", tmp_path / "nothing")
    with pytest.raises(ConcertoError, match="no output files"):
        write_globe_report(tmp_path / "a.html", tmp_path)
    with pytest.raises(ConcertoError, match="pdf"):
        figure_files(tmp_path, tmp_path, format="pdf")
    (tmp_path / "monthly_2000.nc").write_bytes(b"not a file")
    with pytest.raises(ConcertoError, match="monthly_2000.nc"):
        write_globe_report(tmp_path / "a.html", tmp_path)
    (tmp_path / "monthly_2000.nc").unlink()
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(ConcertoError, match="run.json"):
        write_globe_report(tmp_path / "a.html", tmp_path)
    assert not (tmp_path / "a.html").exists()
