"""How many cycles, seconds and simulated years the equilibrium solvers need, against stepping through time.

    python benchmarks/equilibrium.py            # table in Markdown
    python benchmarks/equilibrium.py --nitrogen # with the nitrogen-limited column

Six synthetic climates (tropical forest, savanna, temperate forest, mediterranean, boreal forest, permafrost) of daily
means. The exact periodic state of the linear schemes comes from the matrix of a whole cycle, found by stepping unit
pools (one tile for each pool) through the year; from the same matrix follows how many years plain stepping needs. Time
is measured on the same compiled steps in both cases.
"""

from __future__ import annotations

import sys
import time

import numpy as np

from concerto import _core as core
from concerto.kernels import carbon, equilibrium, soil_column
from concerto.tables.decomposition import schemes

DAYS = 365
YEAR = 3.15576e7
# mean and amplitude of temperature (degC), annual rain (mm), wetness and its swing, litter and wood (kg C m-2 yr-1)
CLIMATES = {
    "tropical": (25.0, 2.0, 2500.0, 0.9, 0.1, 1.2, 0.30),
    "savanna": (24.0, 4.0, 800.0, 0.5, 0.45, 0.6, 0.05),
    "temperate": (10.0, 10.0, 800.0, 0.8, -0.15, 0.6, 0.25),
    "mediterranean": (15.0, 8.0, 500.0, 0.45, -0.40, 0.4, 0.15),
    "boreal": (2.0, 15.0, 500.0, 0.8, -0.05, 0.3, 0.20),
    "permafrost": (-8.0, 18.0, 250.0, 0.8, 0.0, 0.12, 0.10),
}
THICKNESS = soil_column.THICKNESS
DEPTH = np.cumsum(THICKNESS) - 0.5 * THICKNESS
TOP = THICKNESS[:5] / THICKNESS[:5].sum()  # layers of the one-layer schemes
WITHIN = 1e-4  # accuracy asked of the total of a column


def forcing():
    """Daily forcing of all climates: dict of arrays with the leading axes (climate, ..., day)."""
    table = np.array(list(CLIMATES.values()))
    mean, swing, rain, wet, wet_swing, litter, wood = table.T[:, :, None]
    day = np.arange(DAYS)
    season = -np.cos(2.0 * np.pi * (day - 20.0) / DAYS)
    air = mean + swing * season
    damping = np.sqrt(YEAR * 6.0e-7 / np.pi)  # depth of the annual wave, m
    phase = 2.0 * np.pi * (day - 20.0) / DAYS - DEPTH[:, None] / damping
    soil = mean[:, None] - swing[:, None] * np.exp(-DEPTH[:, None] / damping) * np.cos(phase)
    wetness = np.clip(wet + wet_swing * season, 0.02, 1.0)
    head = -(10.0 ** (2.3 * (1.0 - wetness)))  # -1 to -200 m
    # head below freezing follows from temperature in decomposition_scalar
    layered = np.empty((len(table), len(THICKNESS), DAYS))
    for d in range(DAYS):
        for k in range(len(THICKNESS)):
            layered[:, k, d] = carbon.decomposition_scalar(
                soil[:, k : k + 1, d] + 273.15, head[:, d : d + 1], np.ones(1)
            )
    layered *= soil_column.depth_scalar()[:, None]
    green = np.maximum(0.05, 1.0 + 0.8 * np.sin(2.0 * np.pi * (day - 150.0) / DAYS))
    green = green / green.sum()
    thaw = np.where(soil.max(axis=2) > 0.0, np.cumsum(THICKNESS), 0.0).max(axis=1)
    thaw = np.where(soil.min(axis=(1, 2)) > -5.0, 99.0, np.where(mean[:, 0] > 0.0, 99.0, thaw))
    return dict(
        air=air, soil=soil, wetness=wetness, layered=layered, rain=rain[:, 0], thaw=thaw,
        leaf=0.55 * (litter - wood) * green, root=0.45 * (litter - wood) * green,
        wood=np.broadcast_to(wood / DAYS, air.shape),
    )  # fmt: skip


# ------------------------------------------------------------------------------------------- one layer, linear
def one_layer(name, f):
    """Direct solution and exact state of one scheme in all climates; row of the table."""
    n = len(CLIMATES)
    soil = np.einsum("nkd,k->nd", f["layered"][:, :5], TOP)
    if name == "rothc":
        soil = carbon.temperature_scalar("rothc", f["air"] + 273.15) * np.clip(f["wetness"], 0.2, 1.0) * 0.6
    rate, transfer, respired = (np.array([a] * n) for a in carbon.decomposition_scheme(name))
    scalar = np.empty((n, rate.shape[1], DAYS))
    supply = np.empty_like(scalar)
    for d in range(DAYS):
        rain, air = f["rain"], f["air"][:, d] + 273.15
        scalar[..., d] = carbon.one_layer_scalars(name, soil[:, d], air, rain)
        supply[..., d] = carbon.one_layer_litter(name, f["leaf"][:, d], f["root"][:, d], f["wood"][:, d])
    inert = np.zeros_like(rate)
    begin = time.perf_counter()
    pools, _, residual = carbon.one_layer_periodic(scalar, supply, rate, transfer, respired, inert)
    seconds = time.perf_counter() - begin
    # matrix of the cycle, by an independent route: every climate and unit pool is a tile
    size = rate.shape[1]
    tiles = [np.repeat(a, size + 1, axis=0) for a in (rate, transfer, respired)]
    state = np.asfortranarray(np.tile(np.vstack([np.eye(size), np.zeros((1, size))]), (n, 1)))
    last = np.tile(np.arange(size + 1) == size, n)[:, None]
    tiles = [np.asfortranarray(a) for a in tiles]
    begin = time.perf_counter()
    for d in range(DAYS):
        core.concerto_decomposition.one_layer_step(
            n_substep=1, time_step=86400.0, rate=tiles[0], transfer=tiles[1], respired=tiles[2],
            scalar=np.asfortranarray(np.repeat(scalar[..., d], size + 1, axis=0)),
            input=np.asfortranarray(np.where(last, np.repeat(supply[..., d], size + 1, axis=0), 0.0)), carbon=state,
        )  # fmt: skip
    cycle_seconds = (time.perf_counter() - begin) / (size + 1)
    state = state.reshape(n, size + 1, size)
    distance, years = np.zeros(n), np.zeros(n)
    active = rate[0] > 0.0
    for i in range(n):
        matrix, q = state[i, :size].T[np.ix_(active, active)], state[i, size, active]
        exact = np.linalg.solve(np.eye(active.sum()) - matrix, q)
        distance[i] = np.abs(pools[i, active] - exact).max() / exact.sum()
        years[i] = stepping_years(matrix, exact, WITHIN)
    return dict(
        scheme=name, distance=distance, residual=residual, cycles=np.ones(n), solver=seconds, stepping=years,
        per_cycle=cycle_seconds,
    )  # fmt: skip


def stepping_years(matrix, exact, tolerance):
    """Cycles that plain stepping from empty pools needs until the total is within a tolerance of the exact one."""
    error, powers = exact, [matrix]
    while abs((powers[-1] @ exact).sum()) > tolerance * exact.sum() and len(powers) < 40:
        powers.append(powers[-1] @ powers[-1])
    count = 0
    for k in reversed(range(len(powers))):
        candidate = powers[k] @ error
        if abs(candidate.sum()) > tolerance * exact.sum():
            error, count = candidate, count + 2**k
    return count + 1


# ----------------------------------------------------------------------------------------------- layered column
class Column:
    """The layered column of all climates: constant scheme, mixing and forcing; cycles of its compiled daily step."""

    def __init__(self, f, nitrogen=False, copies=1):
        self.n = copies * len(CLIMATES)
        self.f, self.nitrogen, self.copies = f, nitrogen, copies
        self.rate, self.transfer, self.respired = (
            np.asfortranarray(np.array([a] * self.n)) for a in carbon.decomposition_scheme("cencn", sand=50.0)
        )
        self.mixing = np.asfortranarray(
            np.repeat(soil_column.mixing_coefficients(f["thaw"], f["thaw"]), copies, axis=0)
        )
        roots = np.exp(-3.0 * DEPTH) * THICKNESS
        depth = np.where(f["thaw"] > 3.9, 4.0, np.maximum(f["thaw"], THICKNESS[0]))
        surface, root = soil_column.litter_profiles(np.tile(roots, (len(CLIMATES), 1)), depth)
        self.surface, self.root = (np.asfortranarray(np.repeat(a, copies, axis=0)) for a in (surface, root))
        self.input, self.input_nitrogen = [], []
        for d in range(DAYS):
            amounts = [np.repeat(f[k][:, d], copies) for k in ("leaf", "root", "wood")]
            self.input.append(self._place(*amounts))
            self.input_nitrogen.append(self._place(amounts[0] / 55.0, amounts[1] / 42.0, amounts[2] / 330.0))
        self.scalar = [np.asfortranarray(np.repeat(f["layered"][..., d], copies, axis=0)) for d in range(DAYS)]
        self.seconds, self.days = 0.0, 0

    def _place(self, leaf, root, wood):
        return np.asfortranarray(
            soil_column.litter_to_layers(self.surface, self.root, litter_leaf=leaf, litter_fine_root=root,
                                         litter_wood=wood)
        )  # fmt: skip

    def start(self):
        """A poor first guess: a little of everything everywhere."""
        pools = np.full((self.n, len(THICKNESS), 7), 0.01)
        return np.asfortranarray(pools * THICKNESS[:, None] / THICKNESS.sum())

    def cycle(self, carbon_pools, feed=None, measure=True):
        """One year from ``carbon_pools``, returns the end and the sums; ``feed`` (tile) scales the input."""
        pools = np.array(carbon_pools, order="F")
        shape = pools.shape
        sums = [np.zeros(shape, order="F") for _ in range(4)]
        ones = np.ones(shape, order="F")
        begin = time.perf_counter()
        for d in range(DAYS):
            supply = self.input[d] if feed is None else self.input[d] * feed[:, None, None]
            supply = np.asfortranarray(supply)
            common = dict(time_step=86400.0, thickness=THICKNESS, rate=self.rate, transfer=self.transfer,
                          scalar=self.scalar[d], mixing=self.mixing)  # fmt: skip
            loss = core.concerto_soil_column.litter_step(**common, input=supply, carbon=pools)
            core.concerto_soil_column.soil_step(**common, respired=self.respired, carbon=pools, loss=loss)
            if measure:
                add_sums(self, d, ones, supply, pools, sums)
        self.seconds += time.perf_counter() - begin
        self.days += DAYS
        return pools, sums


def add_sums(column, d, limitation, supply, pools, sums):
    """One more day in the four sums of a cycle."""
    core.concerto_equilibrium.cycle_sums(
        n_mixed=6, time_step=86400.0, thickness=THICKNESS, rate=column.rate, scalar=column.scalar[d],
        mixing=column.mixing, limitation=limitation, input=supply, carbon=pools, input_sum=sums[0], loss_sum=sums[1],
        down_sum=sums[2], up_sum=sums[3],
    )  # fmt: skip


def solve(column, start, finish, sums, transfer=None):
    """Balanced pools from a measured cycle."""
    pools, _, correction = equilibrium.flux_weighted_equilibrium(
        column.transfer if transfer is None else transfer, sums[0], sums[1], start, finish, sums[2], sums[3]
    )
    return pools, correction


def exact_column(f):
    """Exact periodic pools of the linear column and the matrix of its cycle, for every climate."""
    size = len(THICKNESS) * 7
    column = Column(f, copies=size + 1)
    unit = np.vstack([np.eye(size), np.zeros((1, size))]).reshape(size + 1, len(THICKNESS), 7)
    feed = np.tile((np.arange(size + 1) == size).astype(float), len(CLIMATES))
    end, _ = column.cycle(np.tile(unit, (len(CLIMATES), 1, 1)), feed, measure=False)
    end = end.reshape(len(CLIMATES), size + 1, size)
    states, matrices = np.zeros((len(CLIMATES), size)), []
    for i in range(len(CLIMATES)):
        # ground that never thaws neither decomposes nor mixes: its pools keep any value and are left out
        active = np.diag(end[i, :size]) < 1.0 - 1e-13
        matrix = end[i, :size].T[np.ix_(active, active)]
        states[i, active] = np.linalg.solve(np.eye(active.sum()) - matrix, end[i, size, active])
        matrices.append((matrix, active))
    return states, matrices


def layered(f, passes=4, free=1):
    """Passes of (free cycles, measured cycle, solution) against the exact state; row of the table and the history."""
    exact, matrices = exact_column(f)
    column = Column(f)
    pools, cycles, solver, history = column.start(), 0, 0.0, []
    reached = np.zeros(len(CLIMATES))
    for _ in range(passes):
        for _ in range(free):
            pools, _ = column.cycle(pools, measure=False)
            cycles += 1
        end, sums = column.cycle(pools)
        cycles += 1
        begin = time.perf_counter()
        pools, correction = solve(column, pools, end, sums)
        solver += time.perf_counter() - begin
        flat = np.where([active for _, active in matrices], pools.reshape(len(CLIMATES), -1), 0.0)
        distance = np.abs(flat.sum(axis=1) / exact.sum(axis=1) - 1.0)
        worst = np.abs(flat - exact).max(axis=1) / exact.sum(axis=1)
        reached = np.where((reached == 0) & (np.maximum(distance, worst) < WITHIN), cycles, reached)
        history.append((cycles, distance, worst, correction))
    end, _ = column.cycle(pools, measure=False)
    report = equilibrium.cycle_residual(pools, end, schemes()["cencn"].pools)
    years = np.array([stepping_years(m, x[a], WITHIN) for (m, a), x in zip(matrices, exact, strict=True)])
    row = dict(
        scheme="cencn, 9 layers", distance=history[-1][2], residual=report.worst_change, cycles=reached,
        solver=solver + reached.max() * DAYS * column.seconds / column.days, stepping=years,
        per_cycle=DAYS * column.seconds / column.days,
    )  # fmt: skip
    return row, history, report


# ------------------------------------------------------------------------------ layered column, nitrogen limits
def nitrogen_cycle(column, state, measure=True):
    """One year of the nitrogen-limited column; state (carbon, nitrogen, ammonium, nitrate). Returns state and sums."""
    carbon_pools, nitrogen_pools, ammonium, nitrate = state
    sums = [[np.zeros_like(carbon_pools, order="F") for _ in range(4)] for _ in range(2)]
    uptake, shortage = np.zeros(column.n), np.zeros(column.n)
    f = column.f
    begin = time.perf_counter()
    for d in range(DAYS):
        demand = column.input_nitrogen[d].sum(axis=(1, 2)) * 1.1
        out = soil_column.soil_nitrogen_day(
            carbon_pools, column.rate, column.transfer, column.respired, column.scalar[d], column.mixing,
            column.input[d], nitrogen_pools, ammonium, nitrate, column.input_nitrogen[d],
            temperature=f["soil"][..., d] + 273.15, pore_water=f["wetness"][:, d : d + 1] * 0.8,
            liquid=f["wetness"][:, d : d + 1] * 0.35, drainage=np.maximum(0.0, f["wetness"][:, d] - 0.4) * 1.5,
            surface_profile=column.surface, root_profile=column.root, deposition=0.6e-3 / DAYS, fixation=0.3e-3 / DAYS,
            plant_demand=demand,
        )  # fmt: skip
        carbon_pools, nitrogen_pools = out["carbon"], out["nitrogen"]
        ammonium, nitrate = out["ammonium"], out["nitrate"]
        uptake += out["plant_uptake"]
        shortage += 1.0 - out["limitation"][:, :3, :3].mean(axis=(1, 2))
        if measure:
            limitation = np.asfortranarray(out["limitation"])
            add_sums(column, d, limitation, column.input[d], np.asfortranarray(carbon_pools), sums[0])
            add_sums(column, d, limitation, column.input_nitrogen[d], np.asfortranarray(nitrogen_pools), sums[1])
    column.seconds += time.perf_counter() - begin
    column.days += DAYS
    return (carbon_pools, nitrogen_pools, ammonium, nitrate), sums, uptake, shortage / DAYS


def nitrogen_solution(column, start, end, sums):
    """Balanced carbon and nitrogen: litter nitrogen is solved by itself, soil nitrogen follows from carbon."""
    pools, correction = solve(column, start[0], end[0], sums[0])
    among_litter = np.zeros_like(column.transfer)
    among_litter[:, :3, 6] = column.transfer[:, :3, 6]
    litter, _ = solve(column, start[1], end[1], sums[1], among_litter)
    return (pools, soil_column.set_soil_nitrogen(pools, litter), end[2], end[3]), correction


def accelerated(column, passes, carbon_passes=2, window=5):
    """Equilibrium with nitrogen: two passes of carbon alone, then passes with Anderson mixing of carbon and litter
    nitrogen (mineral nitrogen is fast and follows). One cycle per pass. Yields cycles, state, correction."""
    pools = column.start()
    for _ in range(carbon_passes):
        end, sums = column.cycle(pools)
        pools, _ = solve(column, pools, end, sums)
    state = (pools, soil_column.set_soil_nitrogen(pools, pools / 50.0), *(np.full(pools.shape[:2], 1e-5),) * 2)
    history, size = equilibrium.AndersonHistory(), pools[0].size
    for cycle in range(carbon_passes + 1, carbon_passes + passes + 1):
        end, sums, _, _ = nitrogen_cycle(column, state)
        image, correction = nitrogen_solution(column, state, end, sums)
        pair = [np.concatenate([a.reshape(column.n, size) for a in each[:2]], axis=1) for each in (state, image)]
        mixed, _ = equilibrium.anderson_step(*pair, history, window=window, floor=1e-14)
        pools = mixed[:, :size].reshape(state[0].shape)
        litter = mixed[:, size:].reshape(state[0].shape)
        state = (pools, soil_column.set_soil_nitrogen(pools, litter), *image[2:])
        yield cycle, state, correction


def nitrogen(f, passes=8, plain=120):
    """Nitrogen-limited column: accelerated and plain passes against the end of many plain passes."""
    column = Column(f, nitrogen=True)
    pools = column.start()
    state = (pools, soil_column.set_soil_nitrogen(pools, pools / 50.0), *(np.full(pools.shape[:2], 1e-5),) * 2)
    seen = []
    for cycle in range(1, plain + 1):
        end, sums, _, _ = nitrogen_cycle(column, state)
        state, correction = nitrogen_solution(column, state, end, sums)
        seen.append((cycle, state[0], correction))
    exact = state[0]
    total = exact.sum(axis=(1, 2))

    def show(cycle, pools, correction):
        distance = np.abs(pools.sum(axis=(1, 2)) / total - 1.0)
        worst = np.abs(pools - exact).max(axis=(1, 2)) / total
        print(f"  {cycle:3d} cycles: " + " ".join(f"{a:.0e}/{b:.0e}" for a, b in zip(distance, worst, strict=True))
              + f", correction {correction.max():.0e}")  # fmt: skip

    print("\ncencn in layers with nitrogen, distance of the carbon total and of the worst pool after each pass")
    for cycle, state, correction in accelerated(column, passes):
        show(cycle, state[0], correction)
    print("  without acceleration")
    for cycle in (5, 10, 20, 40):
        show(*seen[cycle - 1])
    end, _, uptake, shortage = nitrogen_cycle(column, state, measure=False)
    print("  share of the decomposition of the upper three layers that nitrogen holds back: "
          + " ".join(f"{x:.2f}" for x in shortage))  # fmt: skip
    report = equilibrium.cycle_residual(state[0], end[0], schemes()["cencn"].pools)
    print("  " + equilibrium.describe_residual(report))


def table(rows):
    """Markdown of the rows."""
    out = ["| scheme | climate | distance to exact | residual | cycles | years of stepping | ratio |",
           "|---|---|---|---|---|---|---|"]  # fmt: skip
    for row in rows:
        for i, climate in enumerate(CLIMATES):
            used = row["cycles"][i]
            out.append(
                f"| {row['scheme']} | {climate} | {row['distance'][i]:.1e} | {row['residual'][i]:.1e} | {used:.0f} | "
                f"{row['stepping'][i]:.0f} | {row['stepping'][i] / max(used, 1):.0f} |"
            )
    return "\n".join(out)


def main():
    f = forcing()
    rows = [one_layer(name, f) for name in schemes()]
    row, history, report = layered(f)
    rows.append(row)
    print(table(rows))
    print("\n| scheme | solver, s | stepping, s | ratio of time |\n|---|---|---|---|")
    for row in rows:
        stepping = row["stepping"].max() * row["per_cycle"]
        print(f"| {row['scheme']} | {row['solver']:.3f} | {stepping:.0f} | {stepping / row['solver']:.0f} |")
    print("\ncencn in layers, distance of the total and of the worst pool after each pass (climates as above)")
    for cycles, distance, worst, correction in history:
        print(f"  {cycles:2d} cycles: " + " ".join(f"{a:.0e}/{b:.0e}" for a, b in zip(distance, worst, strict=True))
              + f", correction {correction.max():.0e}")  # fmt: skip
    print(equilibrium.describe_residual(report))
    if "--nitrogen" in sys.argv:
        nitrogen(f)


if __name__ == "__main__":
    main()
