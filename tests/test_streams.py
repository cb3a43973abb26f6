"""Output streams: the same bytes on any ranks, CF files that appear complete or not at all, and back again."""

import errno
import hashlib
import json
import math
import os
import queue
import sys
import threading
import time
from types import SimpleNamespace

import netCDF4
import numpy as np
import pytest

from concerto.errors import ConcertoError
from concerto.simulation import streams
from concerto.simulation.streams import (
    Stream,
    StreamWriter,
    Totals,
    integral,
    open_run,
    round_digits,
    to_cells,
    to_pfts,
    unstack,
    variable_attributes,
)

pytestmark = pytest.mark.release  # Python around the core; the core itself is run with checks elsewhere

FACTS = {"title": "a test", "history": "made by hand", "configuration": {"years": [1990, 1991]}}
SHARD = 5  # rows; grids of a test are small


def zarr():
    return pytest.importorskip("zarr", reason="output as Zarr is an extra")


def domain(n_lat=3, n_lon=6, points=False, seed=1):
    """A box of which two thirds are land, with one to four tiles in a cell."""
    random = np.random.default_rng(seed)
    edges_lat, edges_lon = np.linspace(60.0, 60.0 - 2.0 * n_lat, n_lat + 1), np.linspace(0.0, 3.0 * n_lon, n_lon + 1)
    lat, lon = 0.5 * (edges_lat[1:] + edges_lat[:-1]), 0.5 * (edges_lon[1:] + edges_lon[:-1])
    index = np.flatnonzero(np.arange(n_lat * n_lon) % 3 != 1)
    count = random.integers(1, 5, len(index))
    cell = np.repeat(np.arange(len(index)), count)
    pft = np.concatenate([np.sort(random.choice(17, n, replace=False)) for n in count])
    share = random.random(len(cell))
    share /= np.bincount(cell, share)[cell]
    sines = np.sin(np.radians(edges_lat))
    area = streams.RADIUS**2 * np.radians(3.0) * (sines[:-1] - sines[1:])[index // n_lon]
    limits = lambda edges: None if points else np.stack([edges[:-1], edges[1:]], axis=1)  # noqa: E731
    return SimpleNamespace(
        kind="points" if points else "latlon", latitude=lat[index // n_lon], longitude=lon[index % n_lon], area=area,
        land_fraction=random.uniform(0.1, 1.0, len(index)), lat=None if points else lat, lon=None if points else lon,
        lat_bounds=limits(edges_lat), lon_bounds=limits(edges_lon), index=None if points else index, tile_cell=cell,
        tile_pft=pft, tile_fraction=share, n_cell=len(index), n_tile=len(cell),
    )  # fmt: skip


def part_of(whole, first, last):
    """Cells of a rank, with their tiles."""
    tiles = slice(*np.searchsorted(whole.tile_cell, [first, last]))
    return SimpleNamespace(
        n_cell=last - first, tile_cell=whole.tile_cell[tiles] - first, tile_pft=whole.tile_pft[tiles],
        tile_fraction=whole.tile_fraction[tiles], tiles=tiles,
    )  # fmt: skip


class Ranks:
    """The ranks of a run as threads of this process; a message that is expected for 10 s is taken as lost."""

    def __init__(self, size):
        self.size = size
        self.queues = {(a, b, what): queue.Queue() for a in range(size) for b in range(size) for what in "mgb"}

    def run(self, function):
        results, errors = [None] * self.size, []

        def work(rank):
            try:
                results[rank] = function(Rank(self, rank))
            except BaseException as error:  # the test judges it
                errors.append(error)

        threads = [threading.Thread(target=work, args=(rank,), daemon=True) for rank in range(self.size)]
        [thread.start() for thread in threads]
        [thread.join(20) for thread in threads]
        if errors:
            assert len(errors) == self.size, f"only some ranks ended with an error: {errors}"
            raise errors[0]
        return results


class Rank:
    def __init__(self, ranks, rank):
        self.ranks, self.rank, self.size = ranks, rank, ranks.size

    def send(self, value, dest, tag=0, what="m"):
        assert dest != self.rank
        self.ranks.queues[self.rank, dest, what].put((tag, value))

    def recv(self, source, tag=0, what="m"):
        found, value = self.ranks.queues[source, self.rank, what].get(timeout=10)
        assert found == tag
        return value

    def gather(self, value):
        if self.rank:
            return self.send(value, 0, what="g")
        return [value, *(self.recv(source, what="g") for source in range(1, self.size))]

    def bcast(self, value):
        if self.rank:
            return self.recv(0, what="b")
        [self.send(value, dest, what="b") for dest in range(1, self.size)]
        return value

    def barrier(self):
        self.bcast(self.gather(None))


def field(whole, records, layers, seed):
    """Values of tiles with more digits than float32 holds."""
    shape = (records, whole.n_tile) + ((layers,) if layers else ())
    return np.random.default_rng(seed).normal(size=shape) * 1e-7 + 1.0


def write_run(folder, stream, whole, limits, years=("1990", "1991"), format="netcdf", **settings):
    """Write years of a stream on as many ranks as the limits say; a stub of a host."""
    start, end = np.datetime64(f"{years[0]}-01-01"), np.datetime64(f"{int(years[-1]) + 1}-01-01")
    starts, ends = stream.intervals(start, end, 3 * 3600)
    labels = np.array([stream.file_of(day) for day in starts])

    def rank(parallel):
        own = part_of(whole, limits[parallel.rank], limits[parallel.rank + 1])
        writer = StreamWriter(
            folder, stream, whole, limits, parallel, FACTS, 3 * 3600, format, start, end, shard=SHARD, **settings
        )
        for label in dict.fromkeys(labels):
            at, values = labels == label, {}
            for k, name in enumerate(stream.variables):
                tiles = field(whole, len(starts), streams._entry(name).n_layer if streams._entry(name).layers else 0, k)
                tiles = tiles[at][:, own.tiles]
                turn = {"cell": to_cells, "pft": to_pfts, "tile": lambda v, _: v}[stream.per]
                values[name] = turn(tiles, own)
            writer.write(label, starts[at], ends[at], values)

    Ranks(len(limits) - 1).run(rank)
    return starts, ends


def contents(folder):
    """Digest of every file below a folder."""
    found = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in found}


# --- from tiles to cells


@pytest.mark.parametrize("layers", [0, 3])
def test_the_mean_of_a_cell_does_not_depend_on_the_cells_beside_it(layers):
    whole = domain(5, 9)
    values = field(whole, 4, layers, 3)
    together = to_cells(values, whole)
    for limits in ([0, 1, 2, 30], [0, 13, 13, 29, 30], list(range(31))):
        pieces = []
        for first, last in zip(limits[:-1], limits[1:], strict=True):
            own = part_of(whole, first, last)
            pieces.append(to_cells(values[:, own.tiles], own))
        assert np.concatenate(pieces, axis=1).tobytes() == together.tobytes()
    exact = [math.fsum(values[0, t].flat[0] * whole.tile_fraction[t] for t in np.flatnonzero(whole.tile_cell == c))
             for c in range(whole.n_cell)]  # fmt: skip
    # four products and sums of numbers near 1, and a weight that sums to 1 to rounding: some 2e-16 each
    np.testing.assert_allclose(together[0].reshape(whole.n_cell, -1)[:, 0], exact, rtol=2e-15)


def test_a_plant_type_that_a_cell_lacks_has_no_value():
    whole = domain()
    values = field(whole, 2, 3, 5)
    out = to_pfts(values, whole)
    assert out.shape == (2, whole.n_cell, 17, 3)
    assert np.array_equal(out[:, whole.tile_cell, whole.tile_pft], values)
    assert np.isfinite(out).sum() == values.size
    whole.tile_fraction = np.where(np.arange(values.shape[1]) == 1, 0.0, whole.tile_fraction)  # waits for land use
    assert np.isnan(to_pfts(values, whole)[:, whole.tile_cell[1], whole.tile_pft[1]]).all()


def test_a_plant_type_on_several_classes_of_land_has_its_mean_and_the_sum_of_shares(tmp_path):
    whole = domain()
    whole.tile_pft = whole.tile_pft * 0
    write_run(tmp_path, Stream("p", "year", ("gpp",), per="pft"), whole, [0, 12], ["1990"])
    with netCDF4.Dataset(tmp_path / "p_1990.nc") as data:
        share = data["pft_fraction"][:].reshape(17, -1)[:, whole.index]
    np.testing.assert_allclose(share, (np.arange(17) == 0)[:, None] + np.zeros(12), rtol=2e-15)  # sums of four shares
    values = field(whole, 2, 3, 5)
    out = to_pfts(values, whole)
    # the same products, whose sum is divided once; some 2e-16 each
    np.testing.assert_allclose(out[:, :, 0], to_cells(values, whole), rtol=2e-15)
    assert np.isnan(out[:, :, 1:]).all()


def test_the_values_of_a_type_do_not_depend_on_other_cells():
    whole = domain(5, 9)
    whole.tile_pft = whole.tile_pft // 8  # some cells have several tiles of a type, some have not
    values = field(whole, 4, 0, 3)
    together = to_pfts(values, whole)
    pieces = [to_pfts(values[:, own.tiles], own) for own in (part_of(whole, c, c + 1) for c in range(whole.n_cell))]
    assert np.concatenate(pieces, axis=1).tobytes() == together.tobytes()


# --- ranks


@pytest.mark.parametrize("format", ["netcdf", "zarr"])
@pytest.mark.parametrize("per", ["cell", "pft", "tile"])
def test_the_bytes_do_not_depend_on_the_number_of_ranks(tmp_path, format, per):
    if format == "zarr":
        zarr()
    whole = domain()
    stream = Stream("m", "month", ("gpp", "soil_temperature", "nitrogen_plant"), per=per)
    found = []
    for k, limits in enumerate(([0, 12], [0, 7, 12], [0, 2, 3, 12], [0, 0, 12, 12])):
        write_run(tmp_path / str(k), stream, whole, limits, format=format)
        found.append(contents(tmp_path / str(k)))
    assert len(found[0]) >= 2
    assert all(other == found[0] for other in found[1:])


def test_a_file_written_later_has_the_same_bytes(tmp_path):
    whole, stream = domain(), Stream("a", "year", ("gpp",))
    write_run(tmp_path / "1", stream, whole, [0, 12])
    time.sleep(1.1)  # HDF5 stamps whole seconds, where it does
    write_run(tmp_path / "2", stream, whole, [0, 12])
    assert contents(tmp_path / "1") == contents(tmp_path / "2")


@pytest.mark.parametrize("frequency", ["day", "year"])
def test_a_resumed_run_writes_the_same_bytes_into_its_store(tmp_path, frequency):
    """Years of days do not end with a chunk of the store: one is written in two parts, and again."""
    zarr()
    whole, stream = domain(), Stream("d", frequency, ("gpp",))
    write_run(tmp_path, stream, whole, [0, 7, 12], ("1991", "1992", "1993"), "zarr")
    once = contents(tmp_path)
    write_run(tmp_path, stream, whole, [0, 2, 3, 12], ("1991", "1992", "1993"), "zarr")
    assert contents(tmp_path) == once
    with pytest.raises(ConcertoError, match="d.zarr was made by another run"):
        write_run(tmp_path, stream, whole, [0, 12], ("1991", "1992"), "zarr")
    whole.longitude = whole.longitude + 1.0
    with pytest.raises(ConcertoError, match="longitude differs"):
        write_run(tmp_path, stream, whole, [0, 5, 12], ("1991", "1992", "1993"), "zarr")


def test_every_shard_has_exactly_one_writer():
    whole = domain(5, 9)
    stream = Stream("m", "month", ("gpp",), per="tile")
    for limits in ([0, 30], [0, 11, 12, 13, 30], [0, 30, 30], [0, 0, 17, 30]):

        def owners(parallel, limits=limits):
            writer = object.__new__(StreamWriter)
            writer.stream, writer.domain, writer.parallel = stream, whole, parallel
            writer.rows = np.searchsorted(whole.tile_cell, limits)
            writer._rows_of_shard(SHARD)
            writer.folder = None
            return writer._owners(), writer._shard, writer.rows

        shares = Ranks(len(limits) - 1).run(owners)
        owner, shard, rows = shares[0]
        assert len(owner) == -(-whole.n_tile // shard)
        assert all(rows[rank] <= k * shard < rows[rank + 1] for k, rank in enumerate(owner))
        assert all(np.array_equal(other[0], owner) and other[1] == shard for other in shares)


# --- what a file says


def test_a_file_of_a_grid_says_what_cf_and_cmip_want(tmp_path):
    whole = domain()
    stream = Stream("monthly", "month", ("gpp", "soil_temperature", "nitrogen_plant"))
    whole.lat_bounds = whole.lat_bounds[:, ::-1]  # from the south, as a domain has them
    write_run(tmp_path, stream, whole, [0, 12])
    assert sorted(os.listdir(tmp_path)) == ["monthly_1990.nc", "monthly_1991.nc"]
    with netCDF4.Dataset(tmp_path / "monthly_1990.nc") as data:
        assert data.Conventions.startswith("CF-1.") and data.frequency == "mon" and data.title == "a test"
        assert json.loads(data.configuration) == FACTS["configuration"]
        gpp = data["gpp"]
        assert gpp.dimensions == ("time", "lat", "lon") and gpp.dtype == np.float32 and gpp.units == "kg m-2 s-1"
        assert gpp.cell_methods == "area: mean where land time: mean" and gpp.cell_measures == "area: areacella"
        assert gpp.standard_name.startswith("gross_primary_productivity")
        assert gpp._FillValue == gpp.missing_value == np.float32(1e20)
        filters = gpp.filters()
        assert filters["zlib"] and filters["shuffle"] and filters["complevel"] == 1
        assert data["tsl"].dimensions == ("time", "depth", "lat", "lon")
        np.testing.assert_allclose(data["depth_bnds"][-1], [4.0, 8.0], rtol=1e-12)  # sums of the table
        assert data["nitrogen_plant"].dimensions[1] == "plant_pool"
        assert data["plant_pool"].flag_meanings.split()[1] == "leaf"
        for name, axis in (("time", "T"), ("lat", "Y"), ("lon", "X"), ("depth", "Z")):
            assert data[name].axis == axis and data[name].standard_name and data[name].units
            assert "_FillValue" not in data[name].ncattrs()
            assert data[data[name].bounds].dimensions == (name, "bnds")
        assert data["time"].calendar == "standard" and "middle" in data["time"].long_name
        times = netCDF4.num2date(data["time"][:], data["time"].units, data["time"].calendar)
        assert str(times[0]) == "1990-01-16 12:00:00" and str(times[1]) == "1990-02-15 00:00:00"
        assert (np.diff(data["lat"][:]) < 0.0).all()
        assert np.array_equal(data["lat_bnds"][:], [[60.0, 58.0], [58.0, 56.0], [56.0, 54.0]])
        land = ~np.ma.getmaskarray(gpp[0]).ravel()
        assert np.array_equal(np.flatnonzero(land), whole.index)
        assert data["sftlf"].units == "%" and data["areacella"].standard_name == "cell_area"
        np.testing.assert_allclose(data["sftlf"][:].ravel()[whole.index], 100.0 * whole.land_fraction, rtol=1e-15)
        assert (data["sftlf"][:].ravel()[~land] == 0.0).all()
        # the whole box is a belt of the sphere: rounding of the sum of 18 cells
        box = streams.RADIUS**2 * np.radians(18.0) * (np.sin(np.radians(60.0)) - np.sin(np.radians(54.0)))
        assert data["areacella"][:].sum() == pytest.approx(box, rel=1e-12)


def test_points_and_tiles_carry_their_places(tmp_path):
    whole = domain(points=True)
    write_run(tmp_path, Stream("p", "month", ("gpp",)), whole, [0, 4, 12], ["1990"])
    write_run(tmp_path, Stream("t", "month", ("gpp",), per="tile"), whole, [0, 4, 12], ["1990"])
    with netCDF4.Dataset(tmp_path / "p_1990.nc") as data:
        assert data["gpp"].dimensions == ("time", "cell") and data["gpp"].coordinates == "latitude longitude"
        assert np.array_equal(data["latitude"][:], whole.latitude) and np.array_equal(data["areacella"][:], whole.area)
    with netCDF4.Dataset(tmp_path / "t_1990.nc") as data:
        assert data["gpp"].dimensions == ("time", "tile")
        for name in ("cell", "pft", "fraction"):
            assert np.array_equal(data[name][:], getattr(whole, f"tile_{name}")) and name in data["gpp"].coordinates
        assert data["tile_area"][:].sum() == pytest.approx((whole.area * whole.land_fraction).sum(), rel=1e-12)


@pytest.mark.parametrize(
    "statistic, method, units, at",
    [
        ("mean", "area: mean where land time: mean", "kg m-2 s-1", "1990-01-01T12:00:00"),
        ("sum", "area: mean where land time: sum", "kg m-2", "1990-01-01T12:00:00"),
        ("minimum", "time: minimum area: mean where land", "kg m-2 s-1", "1990-01-01T12:00:00"),
        ("maximum", "time: maximum area: mean where land", "kg m-2 s-1", "1990-01-01T12:00:00"),
        ("last", "area: mean where land time: point", "kg m-2 s-1", "1990-01-02T00:00:00"),
    ],
)
def test_each_statistic_names_its_method_its_unit_and_its_time(tmp_path, statistic, method, units, at):
    stream = Stream("d", "day", ("gpp",), statistic)
    name, words = variable_attributes("gpp", stream)
    assert (name, words["units"]) == ("gpp", units) and words["cell_methods"] == method
    assert ("standard_name" in words) == (statistic != "sum")  # an amount is not the rate of that name
    write_run(tmp_path, stream, domain(), [0, 12], ["1990"])
    ds = open_run(tmp_path, "d")
    assert ds.time.values[0] == np.datetime64(at)
    assert ds.time_bnds.values[0].tolist() == [np.datetime64(f"1990-01-0{d}T00:00:00", "s").item() for d in (1, 2)]


def test_sums_have_the_unit_of_the_integral():
    found = {name: integral(name) for name in ("latent_heat", "nee", "water_stress", "soil_water", "residual_water")}
    assert found == {
        "latent_heat": ("J m-2", True),
        "nee": ("umol m-2", True),
        "water_stress": ("s", True),
        "soil_water": ("kg m-2 s", True),
        "residual_water": ("kg m-2", False),
    }


def test_records_belong_to_the_file_of_their_start():
    day = np.datetime64("1990-03-31T23:30:00")
    labels = [Stream("s", f, ("gpp",)).file_of(day) for f in ("step", "day", "month", "year")]
    assert labels == ["1990-03", "1990", "1990", "1990"]
    starts, ends = Stream("s", "month", ("gpp",)).intervals("1992-01-01", "1993-01-01", 1800)
    assert len(starts) == 12 and (ends - starts).astype(int)[1] == 29 * 86400 and (starts[1:] == ends[:-1]).all()
    assert len(Stream("s", "step", ("gpp",)).intervals("1992-01-01", "1992-01-02", 1800)[0]) == 48


# --- rounding


@pytest.mark.parametrize("digits", [1, 3, 5])
def test_rounding_keeps_the_digits_and_is_done_once(digits):
    random = np.random.default_rng(2)
    values = (random.normal(size=20000) * 10.0 ** random.integers(-30, 30, 20000)).astype(np.float32)
    values[:4] = np.nan, np.inf, 0.0, -0.0
    rounded = round_digits(values, digits)
    assert np.isnan(rounded[0]) and np.isinf(rounded[1]) and (rounded[2:4] == 0.0).all()
    error = np.abs(rounded[4:].astype(float) - values[4:]) / np.abs(values[4:].astype(float))
    assert 0.0 < error.max() <= 0.5 * 10.0**-digits
    assert np.array_equal(round_digits(rounded, digits)[1:], rounded[1:])
    assert abs(np.mean((rounded[4:].astype(float) - values[4:]) / values[4:])) < 0.05 * error.max()  # no drift


def test_both_formats_hold_the_same_rounded_numbers(tmp_path):
    zarr()
    whole, stream = domain(), Stream("m", "month", ("gpp", "soil_temperature"), digits=3)
    write_run(tmp_path / "n", stream, whole, [0, 12])
    write_run(tmp_path / "z", stream, whole, [0, 5, 12], format="zarr")
    files, store = open_run(tmp_path / "n", stream), unstack(open_run(tmp_path / "z", stream))
    for name in ("gpp", "tsl"):
        assert files[name].dims == store[name].dims
        np.testing.assert_array_equal(files[name].values, store[name].values)
        assert len(np.unique(files[name].values)) < 5  # 1 + noise of 1e-7: rounded to 1
    assert "3 significant digits" in files.gpp.comment


# --- back again


@pytest.mark.parametrize("format", ["netcdf", "zarr"])
def test_a_run_is_read_back_as_it_was_written(tmp_path, format):
    if format == "zarr":
        zarr()
    whole = domain()
    monthly, typed = Stream("m", "month", ("gpp", "soil_temperature")), Stream("m_2", "step", ("gpp",), per="pft")
    starts, ends = write_run(tmp_path, monthly, whole, [0, 3, 12], format=format)
    ds = open_run(tmp_path, "m")
    ds = unstack(ds) if format == "zarr" else ds
    assert ds.sizes["time"] == 24 and np.array_equal(ds.time_bnds.values, np.stack([starts, ends], axis=1))
    flat = ds.tsl.values.reshape(24, 10, -1)[:, :, whole.index]
    expected = to_cells(field(whole, 24, 10, 1), whole)
    assert np.array_equal(flat, np.moveaxis(expected, 1, -1).astype(np.float32))
    assert np.isnan(ds.gpp.values).mean() == pytest.approx(1 / 3, abs=1e-12)
    assert set(ds.data_vars) == {"gpp", "tsl"} and "areacella" in ds.coords
    assert ds.attrs["title"] == "a test" and not list(tmp_path.glob("*.part"))
    write_run(tmp_path, typed, whole, [0, 12], ["1990"], format=format)
    ds = open_run(tmp_path, typed)
    assert ds.sizes["time"] == 365 * 8 and ds.gpp.dims[:2] == ("time", "pft")
    assert str(ds.pft_name.values[4]) == "broad_evergreen_tropical"
    assert ds.time.values[1] == np.datetime64("1990-01-01T04:30:00")
    with pytest.raises(ConcertoError, match="no output of a stream n") as caught:
        open_run(tmp_path, "n")
    assert caught.value.hint == "there are m, m_2"


def test_records_not_yet_written_are_missing_in_a_store(tmp_path):
    zarr()
    whole, stream = domain(), Stream("m", "month", ("gpp",))
    writer = StreamWriter(tmp_path, stream, whole, None, None, FACTS, 1800, "zarr", "1990-01-01", "1993-01-01")
    starts, ends = stream.intervals("1991-01-01", "1992-01-01", 1800)
    writer.write("1991", starts, ends, {"gpp": np.ones((12, whole.n_cell))})
    gpp = open_run(tmp_path, "m").gpp.values
    assert gpp.shape == (36, whole.n_cell) and (gpp[12:24] == 1.0).all()
    assert np.isnan(gpp[:12]).all() and np.isnan(gpp[24:]).all()
    with pytest.raises(ValueError, match="no such records"):
        ten = np.timedelta64(3653, "D")
        writer.write("2001", starts[:1] + ten, ends[:1] + ten, {"gpp": np.ones((1, whole.n_cell))})


# --- faults


@pytest.mark.parametrize("at", ["fsync", "values"])
def test_a_full_disk_leaves_the_older_file_and_no_pieces(tmp_path, monkeypatch, at):
    whole, stream = domain(), Stream("a", "year", ("gpp", "soil_temperature"))
    write_run(tmp_path, stream, whole, [0, 12], ["1990"])
    before = contents(tmp_path)

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    if at == "fsync":
        monkeypatch.setattr(os, "fsync", full)
    else:
        monkeypatch.setattr(StreamWriter, "_put", full)
    with pytest.raises(ConcertoError, match="a_1990.nc could not be written: No space left on device"):
        write_run(tmp_path, stream, whole, [0, 2, 3, 12], ["1990"])  # every rank learns of it
    assert contents(tmp_path) == before


def test_a_full_disk_under_a_store_is_told_on_every_rank(tmp_path, monkeypatch):
    zarr()
    from zarr.storage import _local

    whole, stream = domain(), Stream("m", "month", ("gpp", "ra"))
    write_run(tmp_path, stream, whole, [0, 7, 12], format="zarr")
    before = contents(tmp_path)

    def full(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(_local, "_put", full)
    with pytest.raises(ConcertoError, match="m.zarr could not be written: No space left on device"):
        write_run(tmp_path, stream, whole, [0, 7, 12], format="zarr")
    assert contents(tmp_path) == before
    with pytest.raises(ConcertoError, match="new.zarr could not be written"):
        write_run(tmp_path, Stream("new", "month", ("gpp",)), whole, [0, 7, 12], format="zarr")
    assert contents(tmp_path) == before and not (tmp_path / "new.zarr.part").exists()


def test_places_that_cannot_hold_output_are_named(tmp_path, monkeypatch):
    whole, stream = domain(), Stream("a", "year", ("gpp",))
    (tmp_path / "file").write_text("")
    with pytest.raises(ConcertoError, match="file is a file, not a folder"):
        write_run(tmp_path / "file", stream, whole, [0, 7, 12])
    monkeypatch.setitem(sys.modules, "zarr", None)  # as if it were not installed
    with pytest.raises(ConcertoError) as caught:
        write_run(tmp_path, stream, whole, [0, 7, 12], format="zarr")
    assert caught.value.hint == "pip install concerto[zarr]"


@pytest.mark.parametrize(
    "wrong, words",
    [
        ({"frequency": "week"}, "frequency is 'week'"),
        ({"statistic": "median"}, "statistic is 'median'"),
        ({"per": "plant"}, "per is 'plant'"),
        ({"digits": 9}, "digits is 9"),
        ({"variables": ("gppp",)}, "variable gppp is not known"),
        ({"variables": ()}, "no variables"),
        ({"name": "a/b"}, "cannot be part of a file name"),
    ],
)
def test_a_stream_that_makes_no_sense_is_refused(wrong, words):
    with pytest.raises(ConcertoError, match=words):
        Stream(**{"name": "m", "variables": ("gpp",)} | wrong)


# --- totals


def test_totals_continue_from_the_rows_of_a_checkpoint(tmp_path, monkeypatch):
    totals = Totals(tmp_path, {"gpp": "Pg yr-1", "cVeg": "Pg"})
    totals.add({"time": "1990", "gpp": 120.1, "cVeg": 450.0})
    kept = json.loads(json.dumps(totals.rows))
    totals.add({"time": "1991", "gpp": 0.1 + 0.2, "cVeg": None})
    text = (tmp_path / "totals.csv").read_text()
    assert text == "time,gpp (Pg yr-1),cVeg (Pg)\n1990,120.1,450.0\n1991,0.30000000000000004,\n"
    again = Totals(tmp_path, {"gpp": "Pg yr-1", "cVeg": "Pg"}, rows=kept)
    again.add({"time": np.datetime64("1991"), "gpp": np.float64(0.1) + 0.2})
    assert (tmp_path / "totals.csv").read_text() == text and again.rows == totals.rows
    with pytest.raises(ConcertoError, match="other columns"):
        Totals(tmp_path, ["gpp"], rows=kept)
    with pytest.raises(ValueError, match="unknown column"):
        again.add({"time": "1992", "npp": 1.0})

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ConcertoError, match="totals.csv could not be written: No space left on device"):
        again.add({"time": "1992", "gpp": 1.0})
    assert (tmp_path / "totals.csv").read_text() == text and os.listdir(tmp_path) == ["totals.csv"]
