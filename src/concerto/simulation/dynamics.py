"""Vegetation that changes its area (option ``vegetation_dynamics = lpj``): the yearly host of the kernels.

Once a year the tiles of each cell exchange area. What lies on the area moves with it; plants on it die and become
litter of the tile that receives it; types that arrive start from seedlings. Weights are fractions of the cell.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache

import numpy as np

from concerto.errors import ConcertoError
from concerto.kernels import dynamics as kernels
from concerto.tables import loader

LATENT_FUSION, LIQUID, ICE, WATER, FREEZING = 3.337e5, 4188.0, 2117.0, 1000.0, 273.15  # as in the core
PLANT_POOLS = ("labile", "leaf", "fine_root", "sapwood", "heartwood", "seed")
CARBON_PLANT = tuple(f"carbon_{name}" for name in PLANT_POOLS)
# plants of each element, the soil pools that take what is felled
ELEMENTS = (
    (CARBON_PLANT, "soil_carbon"),
    (("nitrogen_plant",), "soil_nitrogen"),
    (("carbon13_plant",), "carbon13_soil"),
    (("carbon14_plant",), "carbon14_soil"),
)
PLANTS = (*CARBON_PLANT, "nitrogen_plant", "carbon13_plant", "carbon14_plant", "leaf_area")
# amounts per area, or linear in them, that stay on the ground when plants are felled
AMOUNTS = (
    "carbon_npp_day", "carbon_growth_buffer", "growth_release", "carbon_rh_buffer", "buffer_release",
    "carbon_export_buffer", "export_release", "harvest_buffer", "harvest_release", "grazing_release",
    "harvested_carbon", "harvested_nitrogen", "soil_carbon", "soil_nitrogen", "carbon13_soil", "carbon14_soil",
    "ammonium", "nitrate", "respiration_capacity", "canopy_liquid", "canopy_ice", "snow_ice", "snow_liquid",
    "snow_thickness", "soil_liquid", "soil_ice", "canopy_temperature", "ground_temperature", "day_deposition",
)  # fmt: skip
SEEDLING = 0.2  # labile carbon over that of full leaves, on area that a type gains and where it has less
SHADING_HEIGHT = 5.0  # m: plants of this height have half the chance of tall ones where a gap closes
WETTED_LAYERS = 5  # of soil, 0.28 m: they take up water that falls from plants that die
WARMED_LAYERS = 7  # of soil, 1 m: they take up what canopies of different heat capacity would gain or lose


@dataclass
class Change:
    """What a year of vegetation dynamics did; arrays over cells unless said.

    Attributes
    ----------
    weights : (tile,), fraction of the cell after the change
    moved : fraction of the cell that changed hands
    felled : carbon of plants that died on it, kg m-2 of the cell
    seedling_carbon, seedling_nitrogen : that came with seedlings from outside, kg m-2 of the cell
    """

    weights: np.ndarray
    moved: np.ndarray
    felled: np.ndarray
    seedling_carbon: np.ndarray
    seedling_nitrogen: np.ndarray


class _Slots:
    """Tiles of each cell as a rectangle (cell, slot), in the order of their types: the order of tiles has no effect."""

    def __init__(self, tiles):
        cells, row = np.unique(tiles.cell, return_inverse=True)
        order = np.lexsort((tiles.pft, row))
        first = np.searchsorted(row[order], np.arange(len(cells)))
        self.row, self.tile = row[order], order
        self.slot = np.arange(len(order)) - first[self.row]
        self.shape = (len(cells), int(self.slot.max()) + 1)
        self.first_tile = order[first]

    def take(self, values, empty=0.0):
        values = np.asarray(values, dtype=float)
        out = np.full((*self.shape, *values.shape[1:]), empty)
        out[self.row, self.slot] = values[self.tile]
        return out

    def give(self, values):
        out = np.empty((len(self.tile), *values.shape[2:]))
        out[self.tile] = values[self.row, self.slot]
        return out


def kinds(tiles) -> np.ndarray:
    """Kind of each tile: 0 not natural (never touched), 1 bare, 2 grass, 3 woody."""
    woody, leaves = tiles.parameter("woody") > 0.5, tiles.pft != loader.pft_names().index("bare")
    kind = np.where(woody, kernels.WOODY, np.where(leaves, kernels.GRASS, kernels.BARE))
    return np.where(tiles.parameter("annual_crop") > 0.5, 0.0, kind)


def litter_input(tiles, leaf, fine_root, wood, seed) -> np.ndarray:
    """Dead tissue (tile,), kg m-2 of one element, as input of the state rows of the soil scheme (tile, 63).

    By the qualities and profiles with which the model places its daily litter.
    """
    from concerto.kernels import carbon, microbial, soil_column, soil_water

    p, scheme = tiles.parameter, tiles.option("soil_carbon")
    out = np.zeros((tiles.n_tile, loader.layers()["soil_carbon"]))
    dead = dict(litter_leaf=leaf, litter_fine_root=fine_root, litter_wood=wood, litter_seed=seed)
    lignin, root_cn = p("litter_lignin"), p("root_cn")
    leaf_cn = p("leaf_cn") / np.maximum(1.0 - p("nitrogen_resorption"), 0.05)
    if scheme == "cencn":
        thickness = np.array(loader.soil_thickness())
        n_layer = loader.layers()["carbon_layer"]
        roots = soil_water.root_fractions(p("root_beta"), thickness, loader.layers()["root"])[:, :n_layer]
        surface, below = soil_column.litter_profiles(roots, thickness=thickness[:n_layer])
        pools = soil_column.litter_to_layers(
            surface, below, **dead, metabolic=p("litter_metabolic"), cellulose=p("litter_cellulose"),
            wood_aboveground=p("wood_aboveground"),
        )  # fmt: skip
        return pools.transpose(0, 2, 1).reshape(tiles.n_tile, -1)  # layer runs fastest
    quality = carbon.litter_quality(lignin, leaf_cn, root_cn)
    if scheme == "mimics":
        share = microbial.mimics_metabolic_fraction(quality[0])
        out[:, :2] = np.stack(microbial.mimics_litter_input(share, **dead), axis=1)
    elif scheme == "millennial":
        out[:, 0] = leaf + fine_root + wood + seed
    else:
        first = list(loader.parameters()).index("leaf_acid_soluble")
        names = list(loader.parameters())[first : first + 9]
        pools = carbon.one_layer_litter(
            scheme, **dead, metabolic=p("litter_metabolic"), cellulose=p("litter_cellulose"),
            dpm_rpm_ratio=p("dpm_rpm_ratio"), leaf_lignin_nitrogen=quality[0], root_lignin_nitrogen=quality[1],
            wood_above=p("wood_aboveground"), composition=np.stack([p(name) for name in names], axis=1),
        )  # fmt: skip
        out[:, : pools.shape[1]] = pools
    return out


def _columns(names):
    entries = loader.variables("state")
    return np.concatenate([np.arange(entries[n].column - 1, entries[n].column - 1 + entries[n].n_layer) for n in names])


def _soil_capacity(state, dry):
    """Heat capacity of the soil layers, J m-2 K-1."""
    thickness = np.array(loader.soil_thickness())
    liquid, ice = state[..., _columns(["soil_liquid"])], state[..., _columns(["soil_ice"])]
    return thickness * (dry[..., None] + WATER * (LIQUID * liquid + ICE * ice))


def _snow_capacity(state):
    return LIQUID * state[..., _columns(["snow_liquid"])] + ICE * state[..., _columns(["snow_ice"])]


def _canopy_heat(state, dry):
    """Sensible heat of canopies counted from the freezing point, J m-2."""
    liquid, ice, warm = (state[..., _columns([n])[0]] for n in ("canopy_liquid", "canopy_ice", "canopy_temperature"))
    return (dry + LIQUID * liquid + ICE * ice) * (warm - FREEZING)


def dry_capacities(tiles) -> tuple[np.ndarray, np.ndarray]:
    """Heat capacity of dry soil (tile,), J m-3 K-1, and of the canopy without water (tile,), J m-2 K-1."""
    p = tiles.parameter
    canopy = p("canopy_heat_capacity") * (0.05 + (1.1 + 0.1 * p("woody")) * p("maximum_leaf_area"))
    return (1.0 - p("theta_sat")) * 2.0e6, canopy


def stored(tiles) -> dict[str, np.ndarray]:
    """Carbon, nitrogen and water (kg m-2) and enthalpy (J m-2) in all stores of each tile."""
    return stored_rows(tiles._unblock(tiles.state), *dry_capacities(tiles))


def stored_rows(state, soil, canopy) -> dict[str, np.ndarray]:
    """:func:`stored` of rows of the state (tile, column), with their :func:`dry_capacities`."""
    entries = loader.variables("state")
    out = {
        e: state[:, _columns([n for n in entries if entries[n].role == e])].sum(axis=1) for e in ("carbon", "nitrogen")
    }
    part = {n: state[:, _columns([n])] for n in ("soil_liquid", "soil_ice", "soil_temperature", "snow_temperature",
            "snow_ice", "snow_liquid", "canopy_ice", "canopy_liquid")}  # fmt: skip
    depth = WATER * np.array(loader.soil_thickness())
    ice = (part["soil_ice"] * depth).sum(axis=1) + part["snow_ice"].sum(axis=1) + part["canopy_ice"][:, 0]
    liquid = (part["soil_liquid"] * depth).sum(axis=1) + part["snow_liquid"].sum(axis=1) + part["canopy_liquid"][:, 0]
    heat = (_soil_capacity(state, soil) * (part["soil_temperature"] - FREEZING)).sum(axis=1)
    heat += (_snow_capacity(state) * (part["snow_temperature"] - FREEZING)).sum(axis=1)
    heat += _canopy_heat(state, canopy)
    return out | {"water": ice + liquid, "energy": heat - LATENT_FUSION * ice}


class Some:
    """Some tiles of a `Tiles`, with what the operators ask of it: their parameters and the options of the run."""

    def __init__(self, tiles, index):
        self.tiles, self.index, self.n_tile, self.pft = tiles, np.asarray(index), len(index), tiles.pft[index]
        self.option = tiles.option

    def parameter(self, name):
        column = self.tiles._entry("parameter", name).column - 1
        return self.tiles.parameters[self.index % self.tiles.nproma, column, self.index // self.tiles.nproma]


class Exchange:
    """Area that changes hands between rows (tiles), as a list of flows.

    Sums go over the flows in the order given, for each receiver on its own: the result for a cell does not depend on
    other cells. A flow from a row to itself is area on which something happens (a harvest).

    Parameters
    ----------
    area : (row,), fraction of the cell before
    source, target : (flow,), rows
    amount : (flow,), fraction of the cell, positive; the flows of a target one after the other

    Attributes
    ----------
    kept, arrived, area : (row,), fraction of the cell that stays, that comes, and their sum
    rows : rows that get area
    """

    def __init__(self, area, source, target, amount):
        n = len(area)
        self.source, self.target, self.amount = source, target, amount
        kept = area - np.bincount(source, amount, n)
        # what rounding leaves of a tile that goes wholly is no tile
        self.kept = np.where(kept < 1e-14 * area, 0.0, kept)
        self.arrived = np.bincount(target, amount, n)
        self.area = self.kept + self.arrived
        first = np.flatnonzero(np.concatenate([[True], target[1:] != target[:-1]])) if len(target) else np.zeros(0, int)
        count = np.diff(np.append(first, len(target)))
        longest = np.argsort(-count, kind="stable")  # rows with most flows first: each round takes the head of the list
        self.first, self.count = first[longest], count[longest]
        self.rows = target[self.first]

    def total(self, values, share=None, of_source=True):
        """Sum of amount x share x values of the source (or of the flow) for each of ``rows``."""
        out = np.zeros((len(self.rows), *values.shape[1:]))
        weight = self.amount if share is None else self.amount * share
        for k in range(self.count[0] if len(self.count) else 0):
            head = int(np.searchsorted(-self.count, -k, side="left"))  # rows with more than k flows
            flow = self.first[:head] + k
            if share is not None and not weight[flow].any():
                continue
            part = values[self.source[flow]] if of_source else values[flow]
            out[:head] += part * weight[flow].reshape(-1, *[1] * (values.ndim - 1))
        return out

    def mixture(self, values, share=None):
        """Amounts per area of ``rows`` after the exchange."""
        shape = (-1, *[1] * (values.ndim - 1))
        mixed = self.total(values, share) + self.kept[self.rows].reshape(shape) * values[self.rows]
        return mixed * (1.0 / self.area[self.rows]).reshape(shape)

    def mean(self, values, share, copy):
        """Means over what lives on ``rows``; rows without any take the values of the rows ``copy``."""
        comes = self.total(np.ones(len(values)), share)
        kept = self.kept[self.rows]
        alive = kept + comes
        inverse = 1.0 / np.maximum(alive, 1e-300)
        mean = (self.total(values, share) + kept[:, None] * values[self.rows]) * inverse[:, None]
        mean = np.where((comes > 0.0)[:, None], mean, values[self.rows])
        return np.where((alive > 0.0)[:, None], mean, values[copy])


@cache
def _groups(shed):
    """Columns of the amounts, the plants, the soil and snow temperatures, and of all others."""
    held = ("canopy_liquid", "canopy_ice") if shed else ()
    left = (*held, "canopy_temperature") if shed else ()
    parts = [_columns([name for name in AMOUNTS if name not in left]), _columns(PLANTS + held)]
    parts += [_columns(["soil_temperature"]), _columns(["snow_temperature"])]
    return *parts, np.setdiff1d(np.arange(loader.columns("state")), np.concatenate(parts))


def exchange_rows(some, state, flows, survives, copy, fallen=None, shed=False):
    """State of the rows that get area: the one operator with which area changes hands.

    Parameters
    ----------
    some : Some, tiles of the rows
    state : (row, state column)
    flows : Exchange
    survives : (flow,), share of the plants that goes on living
    copy : (row of ``flows.rows``,), row whose memories a new tile takes
    fallen : dict of soil row name to (flow, pool), amount per area that becomes litter of the target; default all
        plants that do not survive
    shed : whether water on plants that die falls to the ground and plants that live keep their temperature; else both
        are mixed, also onto tiles without a canopy

    Returns
    -------
    state : (row of ``flows.rows``, state column)
    felled : (row of ``flows.rows``,), carbon of the litter, kg m-2 of the row
    """
    rows = flows.rows
    receivers = Some(some.tiles, some.index[rows])
    carried, plants, soil, snow, memories = _groups(shed)
    soil_dry, canopy_dry = dry_capacities(some)
    before_soil, before_snow = _soil_capacity(state, soil_dry), _snow_capacity(state)
    moving = np.concatenate([
        state[:, carried], before_soil * (state[:, soil] - FREEZING), before_snow * (state[:, snow] - FREEZING),
        _canopy_heat(state, canopy_dry)[:, None],
    ], axis=1)  # fmt: skip
    moving = flows.mixture(moving)
    out = np.empty((len(rows), state.shape[1]))
    n, n_soil = len(carried), len(carried) + len(soil)
    out[:, carried] = moving[:, :n]
    out[:, plants] = flows.mixture(state[:, plants], survives)
    out[:, memories] = flows.mean(state[:, memories], survives, copy)
    inverse = (1.0 / flows.area[rows])[:, None]
    dies = 1.0 - survives
    if shed:
        fell = flows.total(state[:, _columns(["canopy_liquid", "canopy_ice"])], dies) * inverse
        depth = WATER * sum(loader.soil_thickness()[:WETTED_LAYERS])
        for k, name in enumerate(("soil_liquid", "soil_ice")):
            out[:, _columns([name])[:WETTED_LAYERS]] += fell[:, k, None] / depth
    after_soil, after_snow = _soil_capacity(out, soil_dry[rows]), _snow_capacity(out)
    out[:, soil] = FREEZING + moving[:, n:n_soil] / after_soil
    out[:, snow] = FREEZING + np.where(after_snow > 0.0, moving[:, n_soil:-1] / np.maximum(after_snow, 1e-300), 0.0)
    # canopies have different capacities: what their mean temperature misses goes to the soil
    warming = (moving[:, -1] - _canopy_heat(out, canopy_dry[rows])) / after_soil[:, :WARMED_LAYERS].sum(axis=1)
    out[:, soil[:WARMED_LAYERS]] += warming[:, None]
    felled = np.zeros(len(rows))
    for names, soil_row in ELEMENTS:
        if fallen is None:
            dead = flows.total(state[:, _columns(names)], dies) * inverse
        else:
            dead = flows.total(fallen[soil_row], of_source=False) * inverse
        total = dead.sum(axis=1)
        if total.any():
            pools = litter_input(receivers, dead[:, 1], dead[:, 2], dead[:, 3] + dead[:, 4], dead[:, 0] + dead[:, 5])
            given = pools.sum(axis=1)
            pools *= np.where(given > 0.0, total / np.where(given > 0.0, given, 1.0), 0.0)[:, None]  # to round-off
            out[:, _columns([soil_row])] += pools
        if soil_row == "soil_carbon":
            felled = total
    return out, felled


def move(tiles, weights, transition, *, seedlings: bool = True, slots=None) -> Change:
    """Carry out transitions of area between the tiles of each cell.

    Amounts (carbon and nitrogen of soil and litter, water, heat) move with the area. Plants on it are felled and become
    litter of the receiver. Memories stay those of the plants that live; a tile that had no area takes those of the tile
    that gives it most. Each element, water and enthalpy are conserved, but for seedlings, which are counted.

    Parameters
    ----------
    tiles : Tiles, changed
    weights : (tile,), fraction of the cell before
    transition : (cell, from, to), fraction of the cell; slots in the order of types
    seedlings : whether types that gain area and lack carbon get some

    Returns
    -------
    Change
    """
    slots = slots or _Slots(tiles)
    state = tiles._unblock(tiles.state)
    slot_tile = np.zeros(slots.shape, dtype=int)
    slot_tile[slots.row, slots.slot] = slots.tile
    amount = np.array(transition.transpose(0, 2, 1), dtype=float)  # cell, to, from
    diagonal = np.arange(slots.shape[1])
    amount[:, diagonal, diagonal] = 0.0
    cell, target, source = np.nonzero(amount > 0.0)
    flows = Exchange(
        np.asarray(weights, dtype=float), slot_tile[cell, source], slot_tile[cell, target], amount[cell, target, source]
    )
    giver = np.zeros(tiles.n_tile, dtype=int)
    giver[slots.tile] = np.take_along_axis(slot_tile, amount.argmax(axis=2), axis=1)[slots.row, slots.slot]
    rows = flows.rows
    grown = flows.arrived > 0.0
    felled = np.zeros(tiles.n_tile)
    everything = Some(tiles, np.arange(tiles.n_tile))
    none = np.zeros(len(flows.amount))
    new, felled[rows] = exchange_rows(everything, state, flows, none, giver[rows], shed=True)
    state[rows] = new  # a tile that lost all of its area goes on beside the cell as it was
    new_carbon, new_nitrogen = _seedlings(tiles, state, grown) if seedlings else (np.zeros(tiles.n_tile),) * 2
    tiles.state[...] = tiles._blocks(state)

    def of_cells(per_tile):
        return slots.take(per_tile * flows.area).sum(axis=1)

    moved = slots.take(flows.arrived).sum(axis=1)
    return Change(flows.area, moved, of_cells(felled), of_cells(new_carbon), of_cells(new_nitrogen))


def _seedlings(tiles, values, grown):
    """Labile carbon and nitrogen from outside where a type gained area and lacks what seedlings need."""
    full = tiles.parameter("maximum_leaf_area") / tiles.parameter("specific_leaf_area")
    labile = _columns(["carbon_labile"])[0]
    lacking = np.where(grown, np.maximum(SEEDLING * full - values[:, labile], 0.0), 0.0)
    values[:, labile] += lacking
    for name in ("carbon13_plant", "carbon14_plant"):
        if tiles.option("isotopes") == "on":  # as air of the standard
            values[:, _columns([name])[0]] += lacking
    nitrogen = lacking / tiles.parameter("leaf_cn") * (tiles.option("nitrogen") == "cn")
    values[:, _columns(["nitrogen_plant"])[0]] += nitrogen
    return lacking, nitrogen


def dynamics_year_of(tiles, weights, coldest, warmth, *, increment=None, leaf_area=None, npp=None) -> Change:
    """One year of establishment, competition and mortality of the tiles of each cell.

    Parameters
    ----------
    tiles : Tiles, whose state is changed where area moves
    weights : (tile,), fraction of the cell
    coldest : (cell,) or scalar, 20-year mean of the coldest month, K; cells in the order of their numbers
    warmth : (cell,) or scalar, growing-degree days above 5 degC, K d
    increment : (tile,), NPP less turnover of the year, kg m-2; default the running mean of the state
    leaf_area : (tile,), largest leaf area index of the year; default the running mean of the state
    npp : (tile,), net primary production of the year, kg m-2; default the running mean of the state

    Returns
    -------
    Change, with the new weights

    Examples
    --------
    >>> change = dynamics_year_of(tiles, weights, 270.0, 1500.0)  # doctest: +SKIP
    >>> weights = change.weights  # doctest: +SKIP
    """
    slots = _Slots(tiles)
    area = slots.take(np.asarray(weights, dtype=float))
    theta = slots.take(tiles.parameter("theta_sat"), np.nan)
    if np.nanmax(np.nanmax(theta, axis=1) - np.nanmin(theta, axis=1)) > 1e-9:
        raise ConcertoError(
            "tiles of one cell have different pore space, so that area cannot move between them",
            hint="give all tiles of a cell the same soil, or leave vegetation_dynamics at 'prescribed'",
        )
    p = tiles.parameter
    coldest, warmth = (np.broadcast_to(np.asarray(value, dtype=float), slots.shape[0]) for value in (coldest, warmth))
    kind = slots.take(kinds(tiles))
    limits = ("climate_coldest_least", "climate_coldest_most", "climate_warmth_least")
    least, most, degree_days = (slots.take(p(name)) for name in limits)
    transition, _ = kernels.dynamics_year(
        kind, area, coldest, warmth, least, most, degree_days,
        slots.take(tiles.get("growth_365d") if increment is None else increment, 0.1),
        slots.take(tiles.get("leaf_area_365d") if leaf_area is None else leaf_area, 1.0),
    )  # fmt: skip
    cold, warm = coldest[:, None], warmth[:, None]
    establishes = (cold >= least) & (cold <= most) & (warm >= degree_days)
    production = np.maximum(365.25 * tiles.get("npp_365d") if npp is None else npp, 0.0)
    vigour = production * p("canopy_height") / (p("canopy_height") + SHADING_HEIGHT)
    transition, _ = kernels.gaps_year(
        transition, kind, area, establishes, slots.take(p("mortality")), slots.take(vigour)
    )
    return move(tiles, weights, transition, slots=slots)


@dataclass
class Dynamics:
    """Vegetation dynamics of a run: its bioclimate and its weights.

    Feed it the climate of each year, then let the year act::

        dynamics = Dynamics(tiles, weights)
        for year in years:
            ...  # advance the tiles
            dynamics.climate(day_of_year, air_temperature)
            weights = dynamics.year().weights
    """

    tiles: object
    weights: np.ndarray
    memory: np.ndarray = field(default=None)
    coldest: np.ndarray = field(default=None)
    warmth: np.ndarray = field(default=None)

    def __post_init__(self):
        self.weights = np.array(self.weights, dtype=float)
        self.cells = np.unique(self.tiles.cell)
        if self.memory is None:
            self.memory = np.zeros((len(self.cells), kernels.MEMORY))

    def climate(self, day_of_year, air_temperature) -> None:
        """Add days: ``day_of_year`` (day,), daily mean ``air_temperature`` (K) (cell, day), cells by number."""
        air = np.asarray(air_temperature, dtype=float)
        for k, day in enumerate(np.asarray(day_of_year, dtype=float)):
            self.memory, self.coldest, _, self.warmth = kernels.bioclimate_day(self.memory, day, air[:, k])

    def climate_of_forcing(self, forcing, time) -> None:
        """Add the days of a forcing array (cell, column, step) with the times of its steps."""
        column = loader.variables("forcing")["air_temperature"].column - 1
        day = np.asarray(time).astype("datetime64[D]")
        days, first = np.unique(day, return_index=True)
        air = forcing[self.cells, column, :]
        counts = np.diff(np.append(first, len(day)))
        of_year = (days - days.astype("datetime64[Y]").astype("datetime64[D]")).astype(int) + 1
        self.climate(of_year, np.add.reduceat(air, first, axis=1) / counts)

    def year(self, **facts) -> Change:
        """Let the year act on the tiles; see :func:`dynamics_year_of`."""
        change = dynamics_year_of(self.tiles, self.weights, self.coldest, self.warmth, **facts)
        self.weights = change.weights
        return change


def succession(path, years: int = 300, types: str | None = None, quiet: bool = True, **site):
    """Succession at a tower under its recycled climate: the slow step alone, and vegetation dynamics every year.

    The whole model is spun up for all types with prescribed areas and records the daily drivers of the slow step; from
    these equilibria and equal areas the slow step then runs for ``years`` years. Soil water and microclimate of each
    type stay those of the recorded years: what types do to one another acts through area, litter and soil carbon.

    Parameters
    ----------
    path : tower file
    years : length of the succession
    types : mixture as for ``--pft``; default all natural types in equal shares
    quiet : no progress bar
    **site : as for :func:`concerto.open_site`

    Returns
    -------
    xarray.Dataset (year, type): ``area``, ``npp_of_type`` (kg m-2 yr-1); (year,): ``moved``, ``felled`` and
    ``seedlings`` (kg m-2 of carbon), ``npp``,
    ``gpp`` (kg m-2 yr-1), ``vegetation_carbon``

    Examples
    --------
    >>> succession("FI-Hyy_2005-2007.nc", 300).area.isel(year=-1)  # doctest: +SKIP
    """
    import xarray as xr

    from concerto.simulation.progress import progress
    from concerto.simulation.site import open_site
    from concerto.simulation.spinup import completed_year, recorded, spin_up_tiles, whole_years

    names = loader.pft_names()
    if types is None:
        natural = [name for name in names if name != "bare" and not name.startswith("crop")]
        types = ",".join(f"{name}:{1.0 / len(natural)}" for name in natural)
    options = dict(site.pop("options", None) or {}) | {"phenology": "gsi", "vegetation_dynamics": "lpj"}
    parameters = {"stand_age": 0.0} | dict(site.pop("parameters", None) or {})
    run = open_site(path, pft=types, options=options, parameters=parameters, spinup="none", **site)
    tiles, step, forcing, ends = run.tiles, run.site.step_seconds, run.forcing, run.ends
    with progress(f"{run.site.name}: spin-up", 4 * forcing.shape[2], quiet) as bar:
        spin_up_tiles(tiles, forcing, ends, run.site.time_start, bar)
    length = whole_years(run.site.time_start, step)
    completed = length is None
    if completed:  # shorter than a year: completed as in the spin-up
        index = completed_year(run.site.time_start, step)
        forcing, length = np.asfortranarray(forcing[:, :, index]), len(index)
        per_day = int(round(86400 / step))
        ends = (np.arange(length) % per_day == per_day - 1).astype(np.int32)
    ends = ends[:length].copy()
    ends[-1] = 1
    drivers = recorded(tiles, forcing[:, :, :length], ends)
    parts = np.array_split(np.arange(drivers.shape[3]), round(drivers.shape[3] / 365.25))
    drivers = [np.asfortranarray(drivers[..., part]) for part in parts]
    column = {n: loader.variables("driver")[n].column - 1 for n in ("day_of_year", "air_temperature")}
    climate = [(d[0, column["day_of_year"], 0], d[0, column["air_temperature"], 0][None]) for d in drivers]
    if completed:  # days that were filled bear the date of the day they were taken from
        climate = [((day[0] - 1.0 + np.arange(len(day))) % 365.0 + 1.0, air) for day, air in climate]
    dynamics = Dynamics(tiles, run.weights)
    for part in climate:  # the bioclimate is that of the record from the start
        dynamics.climate(*part)
    rows = []
    with progress(f"{run.site.name}: succession", years, quiet) as bar:
        for year in range(years):
            part = drivers[year % len(drivers)]
            got = tiles.advance_slow(part, 1, ("leaf_area", "npp", "gpp", "vegetation_carbon"))
            dynamics.climate(*climate[year % len(drivers)])
            weights = dynamics.weights
            npp = got["npp"].mean(axis=0) * 3.15576e7
            change = dynamics.year(leaf_area=got["leaf_area"].max(axis=0), npp=npp)
            rows.append({
                "area": change.weights, "moved": change.moved[0], "felled": change.felled[0],
                "seedlings": change.seedling_carbon[0], "gpp": got["gpp"].mean(axis=0) @ weights * 3.15576e7,
                "npp": npp @ weights, "npp_of_type": npp,
                "vegetation_carbon": got["vegetation_carbon"][-1] @ weights,
            })  # fmt: skip
            bar(1)
    about = {"area": ("1", "fraction of the area"), "moved": ("yr-1", "share of the area that changed hands"),
             "felled": ("kg m-2 yr-1", "carbon of plants that died on it"),
             "seedlings": ("kg m-2 yr-1", "carbon of seedlings from outside"),
             "gpp": ("kg m-2 yr-1", "gross primary production"), "npp": ("kg m-2 yr-1", "net primary production"),
             "npp_of_type": ("kg m-2 yr-1", "net primary production of the type per its own area"),
             "vegetation_carbon": ("kg m-2", "carbon in vegetation")}  # fmt: skip
    out = {
        name: (("year", "type") if name in ("area", "npp_of_type") else ("year",),
               np.array([row[name] for row in rows]), {"units": units, "long_name": words})
        for name, (units, words) in about.items()
    }  # fmt: skip
    coords = {"year": np.arange(1, years + 1), "type": [names[k] for k in tiles.pft]}
    return xr.Dataset(out, coords=coords, attrs={"title": f"succession at {run.site.name}"})
