"""Spin-up: heat and water by cycling the forcing, plants, soil carbon and nitrogen by the slow step alone.

The fast step is cycled a few times; each cycle records the daily drivers of the slow half (production, temperature
responses, stress, environment of the soil). Through these the slow step is cycled alone, and after a measured cycle the
slow pools are set to the values with which that cycle would have closed (flux-weighted solution), until a further cycle
changes nothing: plants, litter, soil, nitrogen and isotopes return to themselves without stepping through centuries.
The cycle is a whole number of years. What is returned is the change over one more cycle, not a count of iterations.
"""

from __future__ import annotations

import copy
import time

import numpy as np

from concerto import _core
from concerto.kernels.equilibrium import AndersonHistory, anderson_step
from concerto.kernels.isotopes import carbon13_of_assimilate, carbon14_of_assimilate
from concerto.simulation.restart import layer_labels
from concerto.simulation.tiles import HARVESTED, NEWTON_ROWS, block_size
from concerto.tables import decomposition, loader

TOLERANCE = 3e-6  # change of any pool over one more cycle, relative to the total of its element
FIRST_TOLERANCE = 1e-3  # the same before the first cycle of the whole model
WORTH_A_WORD = 1e-3  # change over a cycle of the whole model that no longer counts as converged
LARGEST_RESIDUAL = 1e-4  # change over a cycle of the whole model that is aimed at
MOST_PASSES = 40  # of a measured cycle with solution and a free cycle, in one round
MOST_ROUNDS = 3  # cycles of the whole model, each followed by an equilibrium of the slow half
MOST_YEARS = 9.0  # or as many cycles as fit into these: soil water remembers the start for long where it is dry
MINERAL_STEP = 1.5  # largest factor between mixed and plain pass for mineral nitrogen
FIRST_MIXED = 1  # passes that are not combined with others
MICROBIAL = {"mimics": 7, "millennial": 5}  # schemes and their pools
MICROBIAL_SOLVED = (0, 3, 8, 14, 20)  # passes that solve for microbes anew; those between correct that solution
LARGEST_MOVE = 1.0  # of the logarithm of a microbial pool in a step
SLOWLY_DAMPED = 0.99  # multiplier above which an oscillation is worth a word
SMALLEST_TOTAL = {"carbon": 1e-2, "nitrogen": 1e-3}  # kg m-2; changes of less are measured against it
BARREN = 1e-3  # kg m-2 yr-1 of gross production, below which a tile holds no carbon in equilibrium
SEEDLINGS = 1e-3  # kg m-2 of labile carbon that stay there
PLANT_POOLS = ("labile", "leaf", "fine_root", "sapwood", "heartwood", "seed")
TOTALS = ("gpp", "npp", "rh", "nbp")


def initialise(tiles, mean_temperature) -> None:
    """State of new tiles: soil at the mean temperature and field capacity, plants with full leaves (core routine)."""
    per_tile = np.broadcast_to(np.asarray(mean_temperature, dtype=float), tiles.n_tile)
    _core.concerto_interface.core_initialise(
        mean_temperature=np.asfortranarray(tiles._blocks(per_tile[:, None])[:, 0, :]),
        parameters=tiles.parameters,
        state=tiles.state,
    )


def whole_years(time_utc, step_seconds):
    """Slice of the forcing that is a whole number of years, or None where the record is shorter than 360 days."""
    per_day = int(round(86400 / step_seconds))
    days = len(time_utc) / per_day
    years = int((days + 1.5) / 365.25)
    if years < 1:
        return None
    return min(len(time_utc), int(round(years * 365.25)) * per_day)


def completed_year(time_utc, step_seconds):
    """Step indices of a whole year made from a shorter record: a missing day takes the present day of equal solar
    declination on the other side of the solstice, else the nearest one in declination."""
    per_day = int(round(86400 / step_seconds))
    time = np.asarray(time_utc).astype("datetime64[s]")
    day = time.astype("datetime64[D]")
    days, first, count = np.unique(day, return_index=True, return_counts=True)
    full = count == per_day
    days, first = days[full], first[full]
    of_year = (days - days.astype("datetime64[Y]").astype("datetime64[D]")).astype(int)
    angle = np.sin(2 * np.pi * (np.arange(365) - 80.0) / 365.0)
    present = {int(d): int(f) for d, f in zip(of_year, first, strict=True)}
    index = []
    start = int(of_year[0])
    for k in range(365):
        d = (start + k) % 365
        if d not in present:
            candidates = np.array(sorted(present))
            candidates = candidates[candidates < 365]
            d = int(candidates[np.argmin(np.abs(angle[candidates] - angle[d]) + 1e-4 * np.abs(candidates - d))])
        index.append(np.arange(present[d], present[d] + per_day))
    return np.concatenate(index)


def slow_pools(tiles, element: str) -> tuple[list[str], np.ndarray]:
    """Stores of an element that a cycle must return: readable names, and columns (from 0) of the state."""
    buffers = ("carbon_npp_day", "carbon_growth_buffer", "carbon_rh_buffer", "carbon_export_buffer")
    names, columns = [], []
    for name, entry in loader.variables("state").items():
        if entry.role != element or name in buffers:
            continue
        labels = [""] if entry.n_layer == 1 else layer_labels(entry.layers, tiles.option("soil_carbon"))
        names += [f"{name} {label}".strip() for label in labels]
        columns += range(entry.column - 1, entry.column - 1 + entry.n_layer)
    return names, np.array(columns)


def _elements(tiles) -> tuple[str, ...]:
    return ("carbon", "nitrogen") if tiles.option("nitrogen") == "cn" else ("carbon",)


def accumulation(tiles, drivers) -> np.ndarray:
    """Growth in a cycle of layered soil pools that are younger than their equilibrium (parameter soil_age), relative.

    With turnover time t a pool of age a is at 1 - exp(-a / t) of its equilibrium and grows by 1 / (t (exp(a / t) - 1)).

    Returns
    -------
    array (tile, state column); 0 for all other pools and schemes
    """
    growth = np.zeros((tiles.n_tile, loader.columns("state")))
    scheme = tiles.option("soil_carbon")
    if scheme != "cencn":
        return growth
    layers = loader.layers()["carbon_layer"]
    entry = loader.variables("driver")["decomposition"]
    scalar = drivers[:, entry.column - 1 : entry.column - 1 + layers].mean(axis=3)
    scalar = scalar.transpose(2, 0, 1).reshape(-1, layers)[: tiles.n_tile]
    years, age = drivers.shape[3] / 365.25, tiles.parameter("soil_age")[:, None]
    for pool, rate in enumerate(decomposition.schemes()[scheme].rates):
        turnover = rate * tiles.parameter("decomposition_rate")[:, None] * scalar
        ratio = np.clip(age * turnover, 1e-6, 100.0)
        for name in ("soil_carbon", "soil_nitrogen"):
            first = loader.variables("state")[name].column - 1 + pool * layers
            growth[:, first : first + layers] = years / age * ratio / np.expm1(ratio)
    return growth


def change_of_pools(tiles, before, after, growth=0.0) -> dict:
    """Largest change of a pool between two states, relative to the total of its element in the tile.

    Parameters
    ----------
    tiles : Tiles, for its options
    before, after : (tile, state column), units of the table
    growth : relative growth that is no sign of a wrong state, as of :func:`accumulation`

    Returns
    -------
    dict of arrays (tile,): ``residual``, ``worst_pool`` (its name), ``growth`` (change of that pool over itself)
    """
    n = len(after)
    growth = np.broadcast_to(growth, after.shape)
    out = {"residual": np.zeros(n), "worst_pool": np.full(n, "", dtype=object), "growth": np.zeros(n)}
    everyone = np.arange(n)
    for element in _elements(tiles):
        names, columns = slow_pools(tiles, element)
        old, new = np.ascontiguousarray(before[:, columns]), np.ascontiguousarray(after[:, columns])
        total = np.maximum(new.sum(axis=1), SMALLEST_TOTAL[element])
        # the expected growth is known to its half: mixing carries some of it to other layers
        change = np.maximum(np.abs(new - old) - 1.5 * growth[:, columns] * new, 0.0) / total[:, None]
        largest = change.argmax(axis=1)
        value = change[everyone, largest]
        worse = value > out["residual"]
        own = np.maximum(np.abs(old[everyone, largest]), 1e-30)
        own_growth = (new - old)[everyone, largest] / own
        out["worst_pool"] = np.where(worse, np.array(names, dtype=object)[largest], out["worst_pool"])
        out["growth"] = np.where(worse, own_growth, out["growth"])
        out["residual"] = np.maximum(out["residual"], value)
    return out


def residual_of_a_cycle(tiles, drivers) -> dict:
    """What one more cycle changes: the true distance from a periodic state. The tiles end after that cycle.

    Returns
    -------
    dict as of :func:`change_of_pools`, with the means of the cycle: ``gpp``, ``npp``, ``rh``, ``nbp`` (kg m-2 s-1)
    """
    before = tiles._unblock(tiles.state)
    means = tiles.advance_slow(drivers, 1, TOTALS, days_per_output=drivers.shape[3])
    growth = accumulation(tiles, drivers)
    report = change_of_pools(tiles, before, tiles._unblock(tiles.state), growth)
    return report | {name: values[0] for name, values in means.items()}


def some_tiles(tiles, members, drivers=None):
    """A copy of some tiles, and of their drivers: what a tile becomes does not depend on its neighbours."""
    members = np.asarray(members)
    part = copy.copy(tiles)
    part.pft, part.cell, part.n_tile = tiles.pft[members], tiles.cell[members], len(members)
    part.nproma, part.n_block = block_size(len(members), tiles.nproma)
    part._tile = np.minimum(np.arange(part.nproma * part.n_block), len(members) - 1)
    part.parameters = part._blocks(tiles._unblock(tiles.parameters)[members])
    part.state = part._blocks(tiles._unblock(tiles.state)[members])
    part.cell_of_tile = np.asfortranarray(
        (part.cell[part._tile] + 1).reshape(part.n_block, part.nproma).T.astype(np.int32)
    )
    part.worst = np.zeros((len(tiles.worst), len(members)), order="F")
    if drivers is None:
        return part, None
    lane = members[part._tile]
    picked = part.empty_drivers(drivers.shape[3])
    for block in range(part.n_block):
        of = lane[block * part.nproma : (block + 1) * part.nproma]
        picked[:, :, block, :] = drivers[of % tiles.nproma, :, of // tiles.nproma, :]
    return part, picked


def slow_equilibrium(tiles, drivers, tolerance: float = TOLERANCE, passes: int = MOST_PASSES) -> dict:
    """Bring the slow half of all tiles to the periodic state of a cycle of daily drivers.

    Each pass is a measured cycle with the solution for the slow pools, and a free cycle that shows what is left to
    change; passes are combined by Anderson mixing, which takes the coupling of plants, soil and nitrogen into account.
    A tile stops at its own pass and is left alone from then on: its result does not depend on the other tiles.

    Parameters
    ----------
    tiles : Tiles whose slow pools are replaced
    drivers : array (nproma, driver column, block, day), whole years
    tolerance : largest accepted change of a pool over one more cycle, relative to the total of its element
    passes : most passes

    Returns
    -------
    dict of arrays (tile,) as of :func:`residual_of_a_cycle`, and ``cycles`` (forcing cycles used), ``converged``,
    ``reason`` (words: why it did not converge, or what to know of the state; empty if nothing) and, for microbial
    schemes, ``multiplier`` (by which a small disturbance of the soil grows in a cycle) and ``oscillation`` (yr)
    """
    columns, most, factor = _mixed_columns(tiles)
    n = tiles.n_tile
    barren = _production(tiles, drivers) < BARREN
    if barren.any():
        _clear(tiles, barren)
    final, report = tiles._unblock(tiles.state), {}
    active, work, days = np.flatnonzero(~barren), tiles, drivers
    if barren.any():
        report = {name: np.zeros(n) for name in ("residual", "growth", *TOTALS)}
        report |= {"worst_pool": np.full(n, "", dtype=object), "finished": barren.copy()}
        if barren.all():
            passes = 0
        else:
            work, days = some_tiles(tiles, active, drivers)
    history = [AndersonHistory() for _ in range(n)]
    cycles = np.zeros(n, dtype=int)
    newton = np.zeros((NEWTON_ROWS, n))
    microbial = tiles.option("soil_carbon") in MICROBIAL
    for k in range(passes):
        start = work._unblock(work.state)[:, columns]
        if microbial and k not in MICROBIAL_SOLVED:
            _microbial_pass(work, days, newton[:, active])
        else:
            solver = np.zeros((NEWTON_ROWS, work.n_tile), order="F")
            work.advance_slow(days, 1, solve=1, newton=solver)
            newton[:, active] = solver
        found = residual_of_a_cycle(work, days)
        image = work._unblock(work.state)
        here = np.flatnonzero(np.isin(members := active, _unfinished(report, n)))
        for name, values in found.items():
            report.setdefault(name, np.zeros(n, dtype=values.dtype))[members[here]] = values[here]
        final[members[here]] = image[here]
        cycles[members[here]] += 2
        report.setdefault("finished", np.zeros(n, dtype=bool))[members[here]] = found["residual"][here] < tolerance
        left = _unfinished(report, n)
        if len(left) == 0:
            break
        if k >= FIRST_MIXED and not microbial:
            for i in np.flatnonzero(np.isin(members, left)):
                one = slice(i, i + 1)
                plain = image[i, columns]
                mixed = anderson_step(start[one], plain[None], history[members[i]])[0][0]
                mixed = np.clip(mixed, plain / factor, np.where(plain > 0, plain * factor, mixed))  # empty pools fill
                image[i, columns] = np.minimum(mixed, np.maximum(plain, most))
        work.state = work._blocks(image)
        _soil_nitrogen_of_carbon(work)
        if (
            block_size(len(left), tiles.nproma)[1] * block_size(len(left), tiles.nproma)[0]
            < 0.75 * work.nproma * work.n_block
        ):
            keep = np.flatnonzero(np.isin(members, left))
            work, days = some_tiles(work, keep, days)
            active = members[keep]
    tiles.state = tiles._blocks(final)
    report["converged"] = report.pop("finished")
    report["cycles"] = cycles
    years = drivers.shape[3] / 365.25
    report |= _microbial_stability(tiles, newton, years)
    report["reason"] = _reasons(tiles, report, passes, years)
    return report


def _clear(tiles, members):
    """Nothing lives where nothing is produced: no carbon but that of a few seedlings, which a better climate may wake.

    Cold keeps what died in the first year from decomposing; without this it would be taken for a steady input.
    """
    labile = tiles.get("carbon_labile")
    keep = np.where(members, np.minimum(1.0, SEEDLINGS / np.maximum(labile, 1e-30)), 1.0)
    tiles.set("carbon_labile", labile * keep)
    for name in PLANT_POOLS[1:]:
        tiles.set(f"carbon_{name}", np.where(members, 0.0, tiles.get(f"carbon_{name}")))
    for element in ("nitrogen", "carbon13", "carbon14"):
        plants = tiles.get(f"{element}_plant")
        plants[members, 1:] = 0.0
        plants[:, 0] *= keep
        tiles.set(f"{element}_plant", plants)
    for name in ("soil_carbon", "soil_nitrogen", "carbon13_soil", "carbon14_soil"):
        soil = tiles.get(name)
        soil[members] = 0.0
        tiles.set(name, soil)
    tiles.set("leaf_area", np.where(members, 0.0, tiles.get("leaf_area")))


def _microbial_pass(tiles, drivers, newton):
    """A cycle, wood solved for, and soil by one step of Newton's method with the tangent map of the first solution.

    The first solution takes production and litter quality as constant through the cycle; here the whole slow half acts.
    """
    pools = MICROBIAL[tiles.option("soil_carbon")]
    start = tiles.get("soil_carbon")[:, :pools]
    tiles.advance_slow(drivers, 1, solve=2)
    soil = tiles.get("soil_carbon")
    for i in range(tiles.n_tile):
        tangent = newton[2 : 2 + pools * pools, i].reshape(pools, pools, order="F")
        old, new = start[i], soil[i, :pools]
        if not (np.isfinite(tangent).all() and (old > 0).all() and (new > 0).all() and newton[0, i] < 1e-3):
            continue
        try:
            step = np.linalg.solve(np.eye(pools) - tangent, np.log(new / old))
        except np.linalg.LinAlgError:
            continue
        soil[i, :pools] = old * np.exp(np.clip(step, -LARGEST_MOVE, LARGEST_MOVE))
    tiles.set("soil_carbon", soil)


def _unfinished(report, n):
    return np.flatnonzero(~report["finished"]) if "finished" in report else np.arange(n)


def _mixed_columns(tiles):
    """Columns of the state that passes are combined for, the most that mixing may make of each, and by which factor
    it may differ from the plain pass: mineral nitrogen in surplus has no scale of its own and can run away."""
    columns, factor = [], []
    for element in _elements(tiles):
        names, more = slow_pools(tiles, element)
        columns.append(more)
        factor += [MINERAL_STEP if name.startswith(("ammonium", "nitrate")) else 1e30 for name in names]
    columns, factor = np.concatenate(columns), np.array(factor)
    most = np.zeros(loader.columns("state"))
    for entry in loader.variables("state").values():
        most[entry.column - 1 : entry.column - 1 + entry.n_layer] = 0.5 * entry.bounds[1]
    return columns, most[columns], factor


def _microbial_stability(tiles, newton, years) -> dict:
    """Largest Floquet multiplier of a microbial scheme and the period of its oscillation, from its tangent map."""
    pools = MICROBIAL.get(tiles.option("soil_carbon"))
    if pools is None:
        return {}
    multiplier, oscillation = np.zeros(tiles.n_tile), np.zeros(tiles.n_tile)
    for i in range(tiles.n_tile):
        tangent = newton[2 : 2 + pools * pools, i].reshape(pools, pools, order="F")
        if not np.isfinite(tangent).all():
            multiplier[i] = np.inf
            continue
        values = np.linalg.eigvals(tangent)
        leading = values[np.abs(values).argmax()]
        multiplier[i] = abs(leading)
        angle = abs(np.angle(leading))
        oscillation[i] = 2.0 * np.pi * years / angle if 1e-6 < angle and abs(leading) > 0 else 0.0
    return {"multiplier": multiplier, "oscillation": oscillation, "solver_residual": newton[0].copy()}


def _reasons(tiles, report, passes, years) -> np.ndarray:
    """Words for each tile: why it did not converge, or what one should know of its state."""
    scheme = tiles.option("soil_carbon")
    words = np.full(tiles.n_tile, "", dtype=object)
    for i in range(tiles.n_tile):
        parts = []
        if not report["converged"][i]:
            verb = "grows" if report["growth"][i] > 0 else "shrinks"
            parts.append(
                f"{report['worst_pool'][i]} still {verb} {100 * abs(report['growth'][i]):.2g} % a cycle "
                f"({report['residual'][i]:.1e} of the total) after {passes} passes"
            )
        if "multiplier" in report:
            multiplier, period = report["multiplier"][i], report["oscillation"][i]
            swing = f", oscillation of {period:.0f} yr" if period > 2.5 * years else ""
            swing = swing or (", oscillation within two cycles" if period > 0 else "")
            if report["solver_residual"][i] > 1e-3:
                parts.append(f"{scheme}: no periodic state found (a cycle changes a pool by "
                             f"{100 * report['solver_residual'][i]:.2g} %)")  # fmt: skip
            elif multiplier >= 1.0:
                parts.append(f"{scheme} unstable: multiplier {multiplier:.4f}{swing}")
            elif period > 10.0 and multiplier > SLOWLY_DAMPED:
                parts.append(f"{scheme} slowly damped: multiplier {multiplier:.4f}{swing}")
        words[i] = "; ".join(parts)
    return words


def isotope_equilibrium(tiles, drivers, tolerance: float = TOLERANCE, passes: int = 8) -> dict:
    """13C and 14C of plants and soil that return to themselves over a cycle of daily drivers, with the carbon as it is.

    All pools start with the ratio of the assimilate (mean weighted by production); wood and soil are then solved for,
    with radioactive decay, and fast pools relax in the free cycle of each pass.

    Returns
    -------
    dict of arrays (tile,): ``isotope_residual`` (largest change of a pool over one more cycle, relative to the total of
    the isotope), ``isotope_worst_pool``, ``isotope_cycles``
    """
    entries, states = loader.variables("driver"), loader.variables("state")

    def row(name):
        return np.asarray(drivers[:, entries[name].column - 1])  # (lane, block, day)

    production = row("gpp")
    shape = production.shape
    flat = {name: row(name).ravel() for name in ("delta13c_air", "discrimination", "delta14c_air")}
    daily = {
        "carbon13": carbon13_of_assimilate(flat["delta13c_air"], flat["discrimination"]).reshape(shape),
        "carbon14": carbon14_of_assimilate(flat["delta14c_air"]).reshape(shape),
    }
    carbon = {
        "plant": np.stack([tiles.get(f"carbon_{name}") for name in PLANT_POOLS], axis=1),
        "soil": tiles.get("soil_carbon"),
    }
    names, columns, isotope_of = [], [], []
    for isotope, values in daily.items():
        weight = production.sum(axis=2)
        ratio = np.where(
            weight > 1e-9, (values * production).sum(axis=2) / np.maximum(weight, 1e-9), values.mean(axis=2)
        )
        ratio = ratio.T.ravel()[: tiles.n_tile]
        for part, amount in carbon.items():
            name = f"{isotope}_{part}"
            tiles.set(name, amount * ratio[:, None])
            first, width = states[name].column - 1, states[name].n_layer
            columns += range(first, first + width)
            labels = PLANT_POOLS if part == "plant" else layer_labels("soil_carbon", tiles.option("soil_carbon"))
            names += [f"{isotope} {label}" for label in labels]
            isotope_of += [isotope] * width
    columns, isotope_of, names = np.array(columns), np.array(isotope_of), np.array(names, dtype=object)
    n = tiles.n_tile
    residual, worst, cycles = np.full(n, np.inf), np.full(n, "", dtype=object), np.zeros(n, dtype=int)
    final = tiles._unblock(tiles.state)
    for _ in range(passes):
        before = tiles._unblock(tiles.state)
        tiles.advance_slow(drivers, 1, solve=True)
        solved = before.copy()
        solved[:, columns] = tiles._unblock(tiles.state)[:, columns]
        tiles.state = tiles._blocks(solved)
        tiles.advance_slow(drivers, 1)
        after = tiles._unblock(tiles.state)
        busy = np.flatnonzero(residual >= tolerance)
        cycles[busy] += 2
        final[busy] = after[busy]
        value = np.zeros((n, len(columns)))
        for isotope in daily:
            mine = isotope_of == isotope
            new, old = np.ascontiguousarray(after[:, columns[mine]]), solved[:, columns[mine]]
            total = np.maximum(new.sum(axis=1), SMALLEST_TOTAL["carbon"])
            value[:, mine] = np.abs(new - old) / total[:, None]
        largest = value.argmax(axis=1)
        residual[busy] = value[np.arange(n), largest][busy]
        worst[busy] = names[largest][busy]
        if (residual < tolerance).all():
            break
    tiles.state = tiles._blocks(final)
    return {"isotope_residual": residual, "isotope_worst_pool": worst, "isotope_cycles": cycles}


def _soil_nitrogen_of_carbon(tiles):
    """Nitrogen of soil pools with a fixed C:N follows from their carbon."""
    if tiles.option("nitrogen") != "cn":
        return
    layers = loader.layers()["carbon_layer"]
    carbon, nitrogen = tiles.get("soil_carbon"), tiles.get("soil_nitrogen")
    for k, name in enumerate(("active", "slow", "passive"), start=3):
        pool = slice(k * layers, (k + 1) * layers)
        nitrogen[:, pool] = carbon[:, pool] / tiles.parameter(f"soil_cn_{name}")[:, None]
    tiles.set("soil_nitrogen", nitrogen)


def start_soil(tiles):
    """A little carbon in every pool: a solution can multiply what is there, not create it."""
    size = loader.layers()["soil_carbon"]
    scheme = tiles.option("soil_carbon")
    names = layer_labels("soil_carbon", scheme)
    used = np.array([0.0 if str(name).startswith("unused") else 1e-2 for name in names])
    tiles.set("soil_carbon", np.broadcast_to(used, (tiles.n_tile, size)))


def start_nitrogen(tiles):
    """Nitrogen of plants and soil that have carbon: plants at their targets, litter at the C:N of what falls."""
    from concerto.kernels.carbon import plant_nitrogen_start

    ratios = {f"{name}_cn": tiles.parameter(f"{name}_cn") for name in ("leaf", "root", "sapwood", "heartwood", "seed")}
    plants = np.stack([tiles.get(f"carbon_{name}") for name in PLANT_POOLS], axis=1)
    full_leaf = tiles.parameter("maximum_leaf_area") / tiles.parameter("specific_leaf_area")
    tiles.set("nitrogen_plant", plant_nitrogen_start(plants, full_leaf=full_leaf, **ratios))
    layers = loader.layers()["carbon_layer"]
    soft = 1.5 * ratios["root_cn"]
    cn = np.stack([soft, soft, soft, soft, soft, soft, ratios["sapwood_cn"]], axis=1)
    tiles.set("soil_nitrogen", tiles.get("soil_carbon") / np.repeat(cn, layers, axis=1))
    tiles.set("ammonium", 1e-4)
    tiles.set("nitrate", 1e-4)
    _soil_nitrogen_of_carbon(tiles)


def spin_up_tiles(
    tiles, forcing, ends, time_utc, bar, describe=None, rounds: int | None = None, passes: int = MOST_PASSES
) -> dict:
    """Bring tiles to the equilibrium of their own forcing.

    A year of the whole model gives first drivers and a first equilibrium of the slow half. Then cycles of the whole
    model alternate with equilibria of the slow half until a cycle of the whole model leaves the slow pools of a tile
    where they were, or ``rounds`` are over. What the last such cycle changed is returned as ``whole_residual``.

    Parameters
    ----------
    tiles, forcing, ends : as for ``Tiles.advance``; the forcing may be a ``ForcingInPieces``
    time_utc : starts of the steps
    bar : function that is told of finished steps
    rounds : most cycles of the whole model after the first year; None: 3, or as many as fit into 9 years
    passes : most passes of each equilibrium of the slow half

    Returns
    -------
    dict: ``state`` (words), ``reasons`` (one sentence for each tile that needs one), arrays (tile,) ``residual``,
    ``worst_pool``, ``converged``, ``cycles`` (of the slow half), ``rounds`` (cycles of the whole model), ``seconds``,
    ``whole_residual``, ``whole_worst_pool``, ``production_change`` (of GPP between the last two cycles of the whole
    model, relative), ``gpp``, ``npp``, ``rh`` of the equilibrium (kg m-2 yr-1), for microbial schemes ``multiplier``
    and ``oscillation``, with isotopes ``isotope_residual``, ``isotope_worst_pool``
    """
    began = time.perf_counter()
    length = whole_years(time_utc, tiles.time_step)
    words = ""
    if length is None:
        index = completed_year(time_utc, tiles.time_step)
        forcing = np.asfortranarray(forcing[:, :, index])
        per_day = int(round(86400 / tiles.time_step))
        ends = (np.arange(len(index)) % per_day == per_day - 1).astype(np.int32)
        words = " (record shorter than a year: completed by days of equal declination, state is indicative)"
        length = len(index)
    forcing, ends = forcing[:, :, :length], ends[:length].copy()
    ends[-1] = 1  # the cycle may end within a day of UTC: close it, the next one starts anew
    column = loader.variables("forcing")["air_temperature"].column - 1
    initialise(tiles, forcing[:, column, :].mean(axis=1)[tiles.cell])
    start_soil(tiles)
    _first_days(tiles, forcing)
    years = length * tiles.time_step / 31557600.0
    rounds = rounds or max(MOST_ROUNDS, int(MOST_YEARS / years + 0.1))
    chosen = dict(tiles.options)
    solved = _rounds(tiles, forcing, ends, bar, describe, rounds, passes)
    tiles.options = chosen
    tiles.set_option("nitrogen", tiles.option("nitrogen"))
    words += _leave_equilibrium(tiles)
    if tiles.option("isotopes") == "on":
        solved["converged"] &= solved["isotope_residual"] < LARGEST_RESIDUAL
    solved["converged"] &= solved["whole_residual"] < WORTH_A_WORD
    worst = int(solved["residual"].argmax())
    change = f"change over one more cycle {solved['residual'][worst]:.1e} of the total"
    change += f", in {solved['worst_pool'][worst]}" if solved["residual"][worst] > 0 else ""
    change += f"; of the whole model {solved['whole_residual'].max():.1e}"
    for i in np.flatnonzero(solved["whole_residual"] > WORTH_A_WORD):
        text = (
            f"the last cycle of the whole model, {solved['rounds'][i]} after the first year, still changed "
            f"{solved['whole_worst_pool'][i]} by {solved['whole_residual'][i]:.1e} of the total and production by "
            f"{100 * solved['production_change'][i]:.2g} % (soil water and temperature)"
        )
        solved["reason"][i] = "; ".join(filter(None, (solved["reason"][i], text)))
    reasons = [
        f"tile {i + 1}: {reason}" for i, reason in enumerate(solved["reason"]) if reason
    ]  # most have nothing to say
    lost = "" if solved["converged"].all() else " (NOT converged)"
    if reasons:
        lost += f"; {reasons[0]}" + (f" and {len(reasons) - 1} more" if len(reasons) > 1 else "")
    per_year = {name: solved.pop(name) * 31557600.0 for name in ("gpp", "npp", "rh", "nbp")}
    return (
        solved
        | per_year
        | {
            "state": f"periodic over {years:.1f} years{words}; {change}{lost}",
            "reasons": reasons,
            "seconds": np.full(tiles.n_tile, time.perf_counter() - began),
        }
    )


def _rounds(tiles, forcing, ends, bar, describe, rounds, passes) -> dict:
    """Cycles of the whole model and equilibria of the slow half in turn; each tile stops at its own round."""
    per_year = int(round(365.25 * 86400 / tiles.time_step))
    length = forcing.shape[2]
    year = min(length, per_year)
    first = ends[:year].copy()
    first[-1] = 1
    with_nitrogen, with_isotopes = tiles.option("nitrogen") == "cn", tiles.option("isotopes") == "on"

    def switch(part, nitrogen, isotopes):
        part.set_option("nitrogen", "cn" if nitrogen and with_nitrogen else "c_only")
        part.set_option("isotopes", "on" if isotopes and with_isotopes else "off")

    switch(tiles, False, False)  # nitrogen joins plants and soil that are in equilibrium without it
    drivers = recorded(tiles, forcing[:, :, :year], first, describe)
    bar(year)
    start = slow_equilibrium(tiles, drivers, tolerance=FIRST_TOLERANCE)
    if with_nitrogen:
        switch(tiles, True, False)
        start_nitrogen(tiles)
    n = tiles.n_tile
    cycles, production = start["cycles"].copy(), _production(tiles, drivers)
    final, solved, active, work = tiles._unblock(tiles.state), {}, np.arange(n), tiles
    harvest: dict[str, np.ndarray] = {}
    for k in range(rounds):
        switch(work, True, True)
        before = work._unblock(work.state)
        _harvested(work, 1.0)
        drivers = recorded(work, forcing, ends, describe)
        for name, values in _harvested(work, length / per_year).items():
            harvest.setdefault(name, np.full((rounds, n), np.nan))[k, active] = values
        bar(length)
        whole = change_of_pools(work, before, work._unblock(work.state))
        new = _production(work, drivers)
        whole["residual"][new < BARREN] = 0.0
        switch(work, True, False)
        found = slow_equilibrium(work, drivers, passes=passes)
        if with_isotopes:
            switch(work, True, True)
            found |= isotope_equilibrium(work, drivers)
        _harvested(work, 1.0)  # a run begins to count after its spin-up
        found |= {"whole_residual": whole["residual"], "whole_worst_pool": whole["worst_pool"]}
        change = np.abs(new - production) / np.maximum(new, 1e-6)
        found |= {"production_change": change, "rounds": np.full(work.n_tile, k + 1)}
        cycles[active] += found.pop("cycles")
        for name, values in found.items():
            solved.setdefault(name, np.zeros(n, dtype=values.dtype))[active] = values
        final[active] = work._unblock(work.state)
        left = np.flatnonzero((whole["residual"] > LARGEST_RESIDUAL) | (k == 0 and with_nitrogen))
        if len(left) == 0 or k == rounds - 1:
            break
        active, production = active[left], new[left]
        work = some_tiles(work, left)[0]
        original = active
        inner = describe
        if inner is not None:

            def describe(tile, step, original=original, inner=inner):
                return inner(int(original[tile]), step)

    tiles.state = tiles._blocks(final)
    # without a winter the day of sowing varies, and a cycle may hold no harvest or two: that of most rounds
    return solved | {"cycles": cycles} | {name: np.nanmedian(values, axis=0) for name, values in harvest.items()}


def _harvested(tiles, years) -> dict:
    """What has left fields and pastures for products in some years, and the tiles count from 0 again.

    Returns
    -------
    dict: ``harvest_carbon``, ``harvest_nitrogen``, (tile,), kg m-2 yr-1
    """
    found = {f"harvest_{element}": tiles.get(name) / years for element, name in HARVESTED.items()}
    for name in HARVESTED.values():
        tiles.set(name, 0.0)
    return found


def _production(tiles, drivers) -> np.ndarray:
    """Gross primary production of the drivers, kg m-2 yr-1 (tile,)."""
    days = drivers[:, loader.variables("driver")["gpp"].column - 1]
    return 365.25 * days.mean(axis=2).T.ravel()[: tiles.n_tile]


def _leave_equilibrium(tiles) -> str:
    """Wood and coarse debris of a stand of a given age, and soil short of (or beyond) its equilibrium; in words.

    Since the stand began, sapwood has grown as in equilibrium and has lost what dies, falls or turns to heartwood. The
    coarse debris of the stand before has rotted while the young stand made less of it; without this the debris would
    release what the wood takes up. Nitrogen and isotopes keep their ratio to carbon.
    """
    words = ""
    age, share = tiles.parameter("stand_age"), tiles.parameter("soil_equilibrium_fraction")
    if (age > 0).any():
        layers = loader.layers()["carbon_layer"]
        debris = slice(6 * layers, 7 * layers)  # only the layered soil has it
        sapwood, heartwood = tiles.get("carbon_sapwood"), tiles.get("carbon_heartwood")
        coarse = tiles.get("soil_carbon")[:, debris].sum(axis=1)
        if tiles.option("soil_carbon") != "cencn":
            coarse = np.zeros_like(coarse)
        death = tiles.parameter("mortality")
        fall = death + 1.0 / tiles.parameter("branch_longevity")
        loss = fall + 1.0 / tiles.parameter("sapwood_longevity")
        formation = death * heartwood / np.maximum(sapwood, 1e-12)  # closes heartwood in equilibrium
        decay = (fall * sapwood + death * heartwood) / np.maximum(coarse, 1e-12)  # closes debris
        young, core, rotten, step = np.zeros_like(age), np.zeros_like(age), coarse.copy(), age / 500.0
        for _ in range(500):  # implicit Euler, for all tiles at once
            young = (young + step * loss * sapwood) / (1.0 + step * loss)
            core = (core + step * formation * young) / (1.0 + step * death)
            rotten = (rotten + step * (fall * young + death * core)) / (1.0 + step * decay)
        new, old = np.stack([young, core, rotten]), np.stack([sapwood, heartwood, coarse])
        ratio = np.where((age > 0) & (old > 0), new / np.maximum(old, 1e-300), 1.0)
        tiles.set("carbon_sapwood", sapwood * ratio[0])
        tiles.set("carbon_heartwood", heartwood * ratio[1])
        for name in ("nitrogen_plant", "carbon13_plant", "carbon14_plant"):
            pools = tiles.get(name)
            pools[:, 3:5] *= ratio[:2].T
            tiles.set(name, pools)
        if tiles.option("soil_carbon") == "cencn":
            for name in ("soil_carbon", "soil_nitrogen", "carbon13_soil", "carbon14_soil"):
                pools = tiles.get(name)
                pools[:, debris] *= ratio[2][:, None]
                tiles.set(name, pools)
        ages = sorted({f"{a:g}" for a in age[age > 0]}, key=float)
        words += f", wood and debris of a stand of {' or '.join(ages)} years (parameter stand_age; 0: equilibrium)"
    if (share != 1.0).any():
        for name in ("soil_carbon", "soil_nitrogen", "carbon13_soil", "carbon14_soil"):
            tiles.set(name, tiles.get(name) * share[:, None])
        words += ", soil at the given fraction of its equilibrium (parameter soil_equilibrium_fraction)"
    return words


def recorded(tiles, forcing, ends, describe=None):
    """Advance through the forcing and keep the drivers of every day, for :meth:`Tiles.advance_slow`."""
    last = np.flatnonzero(ends)
    drivers = tiles.empty_drivers(len(last))
    block, step = 60, 0  # days in one call, so that an interrupt is handled
    for k in range(0, len(last), block):
        stop = int(last[min(k + block, len(last)) - 1]) + 1
        piece = np.asfortranarray(forcing[:, :, step:stop])
        tiles.advance(piece, ends[step:stop], describe=describe, drivers=drivers[..., k : k + block])
        step = stop
    return drivers


def _first_days(tiles, forcing):
    """Memories of temperature start from the forcing's own first weeks, leaf area from the first prescribed value."""
    entries = loader.variables("forcing")
    air = forcing[:, entries["air_temperature"].column - 1, :]
    steps = int(86400 / tiles.time_step)
    for days in (10, 30):
        window = np.concatenate([air[:, -days * steps // 2 :], air[:, : days * steps // 2]], axis=1)
        tiles.set(f"temperature_{days}d", window.mean(axis=1)[tiles.cell])
    leaf = forcing[:, entries["prescribed_leaf_area"].column - 1, 0][tiles.cell]
    tiles.set("leaf_area", np.where(leaf >= 0, leaf, tiles.get("leaf_area")))


def spin_up(run, bar, **limits) -> dict:
    """Spin up a site run; ``limits`` (``rounds``, ``passes``) as for :func:`spin_up_tiles`."""

    def describe(tile, step):
        return f"{run.site.name}, tile {tile + 1}, step {step + 1} of a spin-up cycle"

    return spin_up_tiles(run.tiles, run.forcing, run.ends, run.site.time_start, bar, describe, **limits)
