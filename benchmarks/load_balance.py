"""How evenly a globe spreads over ranks, and what a time step's work, reading and writing cost: a model, not a run.

    python benchmarks/load_balance.py [--resolution 2 1 0.5] [--ranks 1 16 ...] [--land synthetic]

The first tables show the largest load over the mean, minus 1, for bundles of 1 to 16 cells: contiguous runs of bundles
(as `concerto.domain.bundles` deals them) and, for comparison, the heaviest bundle first to the rank with least work.
The last table is a scaling model of a year; every assumption is an argument. Time-chunked files hold a map of each
interval in a piece, space-chunked ones a year of a square of cells; the efficiency is with the latter. Cells and tiles
are those of the package (potential vegetation), or synthetic ones.
"""

from __future__ import annotations

import argparse
import heapq
import time
from types import SimpleNamespace

import numpy as np

from concerto.domain.bundles import bundle_cost, bundle_limits, cell_cost, distribute, imbalance, loads

SIZES = (1, 2, 4, 8, 16)
RANKS = (1, 4, 16, 64, 256, 1000, 4000, 10000)
VARIABLES = 8  # of forcing


def globe(resolution: float, land: str):
    """Cells with tiles of a resolution in degrees, and the shape of the grid."""
    n_lat, n_lon = round(180 / resolution), round(360 / resolution)
    if land == "embedded":
        from concerto.domain.embedded import embedded_normals
        from concerto.domain.grid import add_tiles, make_cells

        config = SimpleNamespace(grid="embedded", resolution=resolution, minimum_fraction=0.02, most_tiles=6)
        domain = make_cells(config)
        normals = embedded_normals(domain.latitude, domain.longitude, domain.elevation)
        domain = add_tiles(domain, config, normals)
        return domain, (n_lat, n_lon)
    random = np.random.default_rng(1)
    lat = 90.0 - (np.arange(n_lat) + 0.5) * resolution
    lon = -180.0 + (np.arange(n_lon) + 0.5) * resolution
    waves = sum(
        np.sin(np.radians(k * lon + random.uniform(0, 360)))[None, :]
        * np.cos(np.radians(j * lat + random.uniform(0, 360)))[:, None]
        for k, j in ((1, 2), (2, 1), (3, 4), (5, 3))
    )
    is_land = waves > np.quantile(waves, 0.7)
    zonal = 4.0 - 2.5 * np.cos(np.radians(3.0 * lat))[:, None] + random.normal(0.0, 1.0, (n_lat, n_lon))
    tiles = np.clip(np.rint(zonal), 1, 7).astype(int)[is_land]
    return SimpleNamespace(
        n_cell=len(tiles), n_tile=int(tiles.sum()), tile_cell=np.repeat(np.arange(len(tiles)), tiles)
    ), (n_lat, n_lon)


def longest_first(cost, ranks):
    """Loads when the heaviest bundle goes to the rank with the least work (not contiguous)."""
    ordered = np.sort(cost)[::-1].tolist()
    if len(ordered) <= ranks:
        return np.array(ordered + [0.0] * (ranks - len(ordered)))
    heap = [0.0] * ranks
    for value in ordered:
        heapq.heapreplace(heap, heap[0] + value)
    return np.array(heap)


def imbalances(domain, ranks):
    """Contiguous and longest-first imbalance, arrays (size, rank)."""
    cells = cell_cost(domain)
    out = np.zeros((2, len(SIZES), len(ranks)))
    for i, size in enumerate(SIZES):
        cost = bundle_cost(cells, bundle_limits(domain.n_cell, size))
        for j, n in enumerate(ranks):
            out[0, i, j] = imbalance(loads(cost, distribute(cost, n)))
            out[1, i, j] = imbalance(longest_first(cost, n))
    return out


def line(words, values, form="{:>9.3f}"):
    print(f"{words:<26}" + "".join(form.format(v) if np.isfinite(v) else f"{'-':>9}" for v in values))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--resolution", type=float, nargs="+", default=[2.0, 1.0, 0.5], help="degrees")
    add("--ranks", type=int, nargs="+", default=list(RANKS))
    add("--land", choices=("embedded", "synthetic"), default="embedded")
    add("--bundle", type=int, help="cells of a bundle in the scaling model; default: the recommended ones")
    add("--microseconds", type=float, default=1.27, help="of a tile and time step on one core")
    add("--block", type=int, default=16, help="tiles are padded to a multiple of this on each rank")
    add("--steps-per-day", type=int, default=48)
    add("--native-hours", type=float, default=6.0, help="interval of the forcing files")
    add("--bandwidth", type=float, default=2000.0, help="of the file system, all ranks together, MB/s")
    add("--rank-bandwidth", type=float, default=300.0, help="of one rank reading or decompressing, MB/s")
    add("--latency", type=float, default=5.0, help="of one request to the file system, ms")
    add("--chunk-mb", type=float, default=1.0, help="size of a chunk of the space-chunked files, MB")
    add("--output-variables", type=int, default=40, help="monthly, per cell")
    add("--network", type=float, default=1000.0, help="into rank 0, MB/s")
    add("--message", type=float, default=5.0, help="latency of a message, microseconds")
    arguments = parser.parse_args()
    began = time.perf_counter()
    for resolution in arguments.resolution:
        domain, shape = globe(resolution, arguments.land)
        ranks = [n for n in arguments.ranks if n <= domain.n_cell]
        print(
            f"\n{resolution:g} degrees, {arguments.land} land: {domain.n_cell} cells, {domain.n_tile} tiles "
            f"({domain.n_tile / domain.n_cell:.1f} a cell)\nlargest load / mean - 1"
        )
        line("ranks", ranks, "{:>9.0f}")
        tables = imbalances(domain, ranks)
        for table, words in zip(tables, ("contiguous", "longest first"), strict=True):
            for size, row in zip(SIZES, table, strict=True):
                line(f"{words}, bundle {size}", row)
        # the largest bundle that costs at most 0.02 more than single cells, since large bundles make few messages
        good = [
            max(s for s, row in zip(SIZES, tables[0], strict=True) if row[j] <= tables[0][0][j] + 0.02)
            for j in range(len(ranks))
        ]
        line("recommended bundle", good, "{:>9.0f}")
        scaling(domain, shape, ranks, [arguments.bundle or size for size in good], arguments)
    print(f"\n{time.perf_counter() - began:.1f} s")


def scaling(domain, shape, ranks, sizes, a):
    """Print the model of a year."""
    tiles_of_cell, cost_of_cell = np.bincount(domain.tile_cell, minlength=domain.n_cell), cell_cost(domain)
    intervals = 365.0 * 24.0 / a.native_hours
    names = ("compute", "read_time", "read_once", "mb_time", "read_space", "mb_space", "gather", "efficiency")
    rows = {name: [] for name in names}
    for n, size in zip(ranks, sizes, strict=True):
        limits = bundle_limits(domain.n_cell, size)
        first = distribute(bundle_cost(cost_of_cell, limits), n)
        of_rank = np.ceil(loads(bundle_cost(tiles_of_cell, limits), first) / a.block) * a.block
        compute = of_rank.max() * a.microseconds * 1e-6 * a.steps_per_day * 365.0
        # time-chunked: each chunk is a whole map of one interval (4 bytes a cell); each rank must read all of them
        whole = shape[0] * shape[1] * 4.0 * intervals * VARIABLES / 1e6
        read_time = max(whole * n / a.bandwidth, whole / a.rank_bandwidth) + a.latency * 1e-3 * intervals * VARIABLES
        # or one rank reads the maps and sends each rank its cells, a month at a time
        land = domain.n_cell * 4.0 * intervals * VARIABLES / 1e6
        read_once = whole / a.rank_bandwidth + a.latency * 1e-3 * intervals * VARIABLES + land / a.network
        read_once += 12 * (n - 1) * a.message * 1e-6
        # space-chunked: a year of a square of cells; a rank reads the chunks that its run of cells touches
        per_chunk = max(1.0, a.chunk_mb * 1e6 / (4.0 * intervals))
        side = max(1, int(np.sqrt(per_chunk)))
        touched = chunks_touched(domain, shape, limits[first], side)
        space = touched.max() * side**2 * 4.0 * intervals * VARIABLES / 1e6
        total = touched.sum() * side**2 * 4.0 * intervals * VARIABLES / 1e6
        read_space = max(total / a.bandwidth, space / a.rank_bandwidth) + a.latency * 1e-3 * touched.max() * VARIABLES
        gather = 12 * (
            domain.n_cell * a.output_variables * 4.0 / 1e6 * (1.0 / a.network + 1.0 / a.rank_bandwidth)
            + (n - 1) * a.message * 1e-6
        )
        ideal = domain.n_tile * a.microseconds * 1e-6 * a.steps_per_day * 365.0 / n
        values = (
            compute,
            read_time,
            read_once,
            whole,
            read_space,
            space,
            gather,
            ideal / (compute + read_space + gather),
        )
        for name, value in zip(rows, values, strict=True):
            rows[name].append(value)
    print(
        f"model of a year: {a.microseconds:g} us a tile and step, {a.steps_per_day} steps a day, forcing every "
        f"{a.native_hours:g} h, blocks of {a.block}, {a.bandwidth:g} MB/s, {a.latency:g} ms"
    )
    line("compute, s", rows["compute"], "{:>9.3g}")
    line("time-chunked, MB a rank", rows["mb_time"], "{:>9.0f}")
    line("time-chunked, s", rows["read_time"], "{:>9.3g}")
    line("the same, read once, s", rows["read_once"], "{:>9.3g}")
    line("space-chunked, MB a rank", rows["mb_space"], "{:>9.0f}")
    line("space-chunked, s", rows["read_space"], "{:>9.3g}")
    line("monthly output, s", rows["gather"], "{:>9.3g}")
    line("parallel efficiency", rows["efficiency"], "{:>9.2f}")


def chunks_touched(domain, shape, cells, side):
    """Square chunks of the grid that hold cells of each rank (rank,)."""
    index = getattr(domain, "cell_id", None)
    if index is None:
        index = np.linspace(0, shape[0] * shape[1] - 1, domain.n_cell).astype(int)
    across = -(-shape[1] // side)
    chunk = (index // shape[1] // side) * across + index % shape[1] // side
    rank = np.repeat(np.arange(len(cells) - 1), np.diff(cells))
    pairs = np.unique(rank * (across * shape[0]) + chunk)
    return np.bincount(pairs // (across * shape[0]), minlength=len(cells) - 1)


if __name__ == "__main__":
    main()
