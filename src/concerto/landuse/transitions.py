"""A year of land use on the tiles of a run: what stands on area that changes hands goes with it, nothing is lost.

Tiles are (cell, class of land, plant type). They are made once, for all classes and types that a cell ever has
(:func:`slots`); an area of 0 is a tile that waits. Once a year, before the first step of 1 January,
:func:`apply_transitions` ages secondary land, harvests wood and carries out the transitions, all of them on one state.
Soil, litter, water and heat move with the area; plants live where the land is not cleared, else they burn, become
products, or litter of the tile that receives the area.

Areas are fractions of the land of the cell, densities kg m-2 of the tile, fluxes kg m-2 of the land of the cell.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np

from concerto.errors import ConcertoError
from concerto.landuse.classes import CROP, KINDS, OPEN_ENDED, PASTURE, PRIMARY, RANGELAND, SECONDARY, URBAN
from concerto.landuse.forestry import shares
from concerto.simulation import dynamics
from concerto.simulation.dynamics import ELEMENTS, Exchange, Some
from concerto.tables import loader

# What a rule clears when crop, pasture or rangeland receives area: all of it, or only primary and secondary land
# (Ma et al. 2020, as numbered in FATES)
RULES = {
    1: ("all", "all", "natural"), 2: ("all", "natural", "natural"), 3: ("all", "all", "all"), 4: ("all", "all", ""),
    5: ("all", "", "all"), 6: ("all", "", ""), 7: ("", "all", "all"), 8: ("", "all", ""), 9: ("", "", "all"),
}  # fmt: skip
LIVES, DIES, CLEARED, HARVESTED, PLANTED, THINNED = range(6)  # what plants on moved area meet; planted: cut before it
POOLS = len(dynamics.PLANT_POOLS)  # labile, leaf, fine root, sapwood, heartwood, seed
LEAF, SAPWOOD, HEARTWOOD = 1, 3, 4
NAMES = {"soil_carbon": "carbon", "soil_nitrogen": "nitrogen", "carbon13_soil": "carbon13", "carbon14_soil": "carbon14"}
CELLS = 64  # worked on at a time, for the cache
GROWN = 30.0  # yr, e-folding time of the growth by which ages of secondary land are told apart
NEW_LAND = 0.1  # share of `merge_below` from which the youngest class is kept apart: it gathers land of several years
HEAT_SCALE = 1e8  # J m-2: closure of heat is relative to at least this, the heat of 3 m of soil 15 K from freezing


@dataclass(frozen=True)
class Options:
    """How land use acts.

    Attributes
    ----------
    clearing : rule 1 to 9, or a matrix (6, 6) of True where a transition destroys vegetation
    wood_harvest : mass, area or off
    minimum_area : a kind of land that a cell does not have comes to be only with so much area (fraction of land)
    fates : set of shares in `fates.toml`: default, fates or lpjml
    slash : share by which conversion and products of cleared wood are less, left on the land
    seed_carbon : kg C m-2 on area whose plants died, from the atmosphere
    fallow : yr, length of the fallow in shifting cultivation
    mature_age : yr, mean age from which secondary forest is mature
    most_harvested : largest share of a forest that is cut in a year (by mass, and by forestry)
    efficiency : share of above-ground wood that a harvest takes away
    pulp : share of roundwood that goes to the pool of 10 yr; the rest lasts 100 yr
    ash : share of burned nitrogen that stays as ash
    clearing_supplies_harvest : products of 10 and 100 yr of cleared land count as harvest (by mass)
    pasture_from_grass : pasture is taken from natural grassland first
    ageing : let secondary land grow older by a year before the transitions
    merge_below : classes of age are joined where that misplaces less growth than this (fraction of land, see
        :func:`_joined`); then each class has its own mean age and goes on as a whole. 0: never, and ageing is in the
        mean field
    check : compute the closure of the budgets
    """

    clearing: object = 4
    wood_harvest: str = "mass"
    minimum_area: float = 1e-4
    fates: str = "default"
    slash: float = 0.0
    seed_carbon: float = 1e-3
    fallow: float = 15.0
    mature_age: float = 40.0
    most_harvested: float = 0.95
    efficiency: float = 0.7
    pulp: float = 0.5
    ash: float = 0.45
    clearing_supplies_harvest: bool = False
    pasture_from_grass: bool = False
    ageing: bool = True
    merge_below: float = 0.0
    check: bool = True

    def __post_init__(self):
        if self.wood_harvest not in ("mass", "area", "off"):
            raise ConcertoError(f"land_use.wood_harvest is '{self.wood_harvest}'", hint="choose mass, area or off")
        clears(self.clearing)
        fates(self.fates)
        for name in ("slash", "most_harvested", "efficiency", "pulp", "ash", "merge_below"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ConcertoError(f"land_use.{name} is {getattr(self, name)}", hint="it is a share, 0 to 1")


def clears(clearing=4) -> np.ndarray:
    """Matrix (from, to) of kinds: True where the transition destroys the vegetation.

    Land that becomes urban is cleared by every rule, land that becomes secondary by none.

    Examples
    --------
    >>> bool(clears(4)[PRIMARY, CROP]), bool(clears(4)[PRIMARY, RANGELAND])
    (True, False)
    """
    if np.ndim(clearing) == 2:
        matrix = np.array(clearing, dtype=bool)
        if matrix.shape != (6, 6):
            raise ConcertoError(f"the clearing matrix is {matrix.shape}", hint=f"(6, 6): from, to {', '.join(KINDS)}")
        return matrix
    if clearing not in RULES:
        raise ConcertoError(f"land_use.clearing is '{clearing}'", hint="choose a rule from 1 to 9")
    matrix = np.zeros((6, 6), dtype=bool)
    for kind, donors in zip((CROP, PASTURE, RANGELAND), RULES[clearing], strict=True):
        matrix[:, kind] = donors == "all"
        matrix[[PRIMARY, SECONDARY], kind] = donors != ""
    matrix[:, URBAN] = True
    np.fill_diagonal(matrix, False)
    return matrix


@dataclass(frozen=True)
class Fates:
    """Shares of cleared vegetation by plant type.

    Attributes
    ----------
    above : (type, pool), share of a pool that is above-ground wood
    conversion : (type,), share of that burned at once
    products : (type, 3), to the pools of 1, 10 and 100 yr
    leaf_burned : (type,)
    tree : (type,), True for trees
    """

    above: np.ndarray
    conversion: np.ndarray
    products: np.ndarray
    leaf_burned: np.ndarray
    tree: np.ndarray


@cache
def fates(name: str = "default") -> Fates:
    """The shares of a set of `fates.toml`.

    Examples
    --------
    >>> fates().products[4].tolist()
    [0.0, 0.4, 0.0]
    """
    with open(Path(__file__).with_name("fates.toml"), "rb") as file:
        table = tomllib.load(file)
    groups = table.pop("groups")
    if name not in table:
        raise ConcertoError(f"land_use.fates is '{name}'", hint=f"choose {', '.join(table)}")
    types = loader.pft_names()
    group = {pft: key for key, members in groups.items() for pft in members}
    rows = [table[name][group[pft]] for pft in types]
    above = np.zeros((len(types), POOLS))
    above[:, SAPWOOD : HEARTWOOD + 1] = [row["aboveground"] for row in rows]
    return Fates(
        above, np.array([row["conversion"] for row in rows]), np.array([row["products"] for row in rows]),
        np.array([row["leaf_burned"] for row in rows]), np.array([group[pft].endswith("tree") for pft in types]),
    )  # fmt: skip


@dataclass
class Layout:
    """Which tile is what, and how much area it has. ``area``, ``deficit`` and ``age`` belong into a checkpoint.

    Attributes
    ----------
    classes : classes of the run, with ``name``, ``kind`` and ``age`` (from, to) or None, in their order
    cell, land_class, pft : (tile,); rows of cells, indices of ``classes``, plant types
    area : (tile,), fraction of land; 0: a tile that waits
    deficit : (cell, 6, 6), transitions that were too small and wait, fraction of land
    age : (cell, class of secondary land), yr, mean age of its area; None where ageing is in the mean field
    """

    classes: tuple
    cell: np.ndarray
    land_class: np.ndarray
    pft: np.ndarray
    area: np.ndarray
    deficit: np.ndarray | None = None
    age: np.ndarray | None = None

    def __post_init__(self):
        for name in ("cell", "land_class", "pft"):
            setattr(self, name, np.asarray(getattr(self, name), dtype=int))
        self.area = np.array(self.area, dtype=float)
        self.n_cell = int(self.cell.max()) + 1 if self.deficit is None else len(self.deficit)
        if self.deficit is None:
            self.deficit = np.zeros((self.n_cell, 6, 6))
        self.kind = np.array([KINDS.index(c.kind) for c in self.classes])
        self.secondary = np.flatnonzero(self.kind == SECONDARY)
        self.first = np.array([np.flatnonzero(self.kind == k)[0] for k in range(6)])  # class that new area enters
        self.table = np.full((self.n_cell, len(self.classes), len(loader.pft_names())), -1)
        self.table[self.cell, self.land_class, self.pft] = np.arange(len(self.cell))
        if (self.table >= 0).sum() != len(self.cell):
            raise ConcertoError("two tiles are of the same cell, class of land and type", hint="join them")

    def mean_age(self) -> np.ndarray:
        """Middle of each class of secondary land, yr; land whose age is not followed is 0."""
        ages = [self.classes[k].age for k in self.secondary]
        return np.array([0.0 if a is None else 0.5 * (a[0] + min(a[1], a[0] + OPEN_ENDED)) for a in ages])

    def areas(self) -> np.ndarray:
        """Area of each class (cell, class), fraction of land."""
        return self._of_tiles(self.area).sum(axis=2)

    def kinds(self) -> np.ndarray:
        """Area of each kind (cell, 6), fraction of land."""
        return self._of_classes(self.areas())

    def secondary_age(self) -> np.ndarray:
        """Mean age of secondary land (cell,), yr; NaN where there is none."""
        area = self.areas()[:, self.secondary]
        age = self.mean_age() if self.age is None else self.age
        total, weighted = area.sum(axis=1), (area * age).sum(axis=1)  # not @: bits of a cell are its own
        return np.where(total > 0.0, weighted / np.where(total > 0.0, total, 1.0), np.nan)

    def follow_age(self, start=None) -> None:
        """Follow the mean age of each class from now on; ``start`` (cell,): age of all secondary land, yr."""
        self.age = np.tile(self.mean_age(), (self.n_cell, 1))
        if start is not None:
            start = np.asarray(start, dtype=float)[:, None]
            low, high = np.array([self.classes[k].age for k in self.secondary]).T
            self.age = np.where((start >= low) & (start < high), start, self.age)

    def _of_tiles(self, values):
        """(tile,) -> (cell, class, type), 0 where there is no tile."""
        return np.where(self.table >= 0, np.append(values, 0.0)[self.table], 0.0)

    def _of_classes(self, values):
        """(cell, class, ...) -> (cell, 6, ...)."""
        out = np.zeros((values.shape[0], 6, *values.shape[2:]))
        for k, kind in enumerate(self.kind):
            out[:, kind] += values[:, k]
        return out


def kinds_used(land_use, years=None) -> np.ndarray:
    """Kinds (cell, 6) that the land-use history of a cell ever has, harvests of primary land included."""
    years = range(land_use.first_year, land_use.last_year + 1) if years is None else years
    used = None
    for y in years:
        year = land_use.year(y)
        now = (year.area > 0.0) | (year.transitions.sum(axis=1) > 0.0)
        now[:, SECONDARY] |= (year.harvest_area.sum(axis=1) > 0.0) | (year.harvest_mass.sum(axis=1) > 0.0)
        used = now if used is None else used | now
    return used


def slots(classes, compositions, used, start, *, secondary_age=15.0) -> Layout:
    """The least tiles that the cells need for their land-use history, with their area at the start.

    A cell has a tile for each type in the compositions of each class that it ever uses. Secondary land needs all its
    classes of age: a cell of five natural types that knows all kinds has 5 x (1 + 7 + 1) + 2 (grass) + 2 (crops) + 1
    = 50 tiles, one that is always primary 5, with one class of secondary land at most 20.

    Parameters
    ----------
    classes : classes of the run, `concerto.landuse.classes.class_list()`
    compositions : dict of kind to array (cell, type), or a sequence of them (of several years); each share needs a tile
    used : (cell, 6), kinds that a cell ever has (:func:`kinds_used`)
    start : (cell, 6), fractions of land at the start, with a sum of 1
    secondary_age : yr, of secondary land at the start; a number or (cell,), 15 where it is NaN

    Returns
    -------
    Layout, tiles in the order of cells, classes and types

    Examples
    --------
    >>> layout = slots(class_list(), compositions, kinds_used(land_use), land_use.year(1700).area)  # doctest: +SKIP
    >>> tiles = Tiles(layout.pft, cell=layout.cell)  # doctest: +SKIP
    """
    several = [compositions] if isinstance(compositions, dict) else list(compositions)
    start = np.asarray(start, dtype=float)
    used = np.asarray(used, dtype=bool) | (start > 0.0)
    if np.abs(start.sum(axis=1) - 1.0).max() > 1e-6:
        cell = int(np.abs(start.sum(axis=1) - 1.0).argmax())
        raise ConcertoError(
            f"areas at the start have the sum {start[cell].sum():g} in cell {cell + 1}", hint="fractions of land"
        )
    kind = np.array([KINDS.index(c.kind) for c in classes])
    n_cell = len(start)
    grows = np.zeros((n_cell, len(classes), len(loader.pft_names())), dtype=bool)
    area = np.zeros(grows.shape)
    age = np.broadcast_to(np.asarray(secondary_age, dtype=float), (n_cell,))
    age = np.where(np.isfinite(age), np.maximum(age, 0.0), 15.0)
    for k, c in enumerate(classes):
        for some in several:
            grows[:, k] |= (np.asarray(some[c.kind]) > 0.0) & used[:, kind[k], None]
        share = 1.0 if c.age is None else ((age >= c.age[0]) & (age < c.age[1]))[:, None]
        area[:, k] = np.asarray(several[0][c.kind]) * start[:, kind[k], None] * share
    cell, land_class, pft = np.nonzero(grows)
    return Layout(tuple(classes), cell, land_class, pft, area[cell, land_class, pft], np.zeros((n_cell, 6, 6)))


@dataclass
class Result:
    """What a year of land use did. Fluxes in kg m-2 of the land of each cell, for the whole year.

    Attributes
    ----------
    area : (cell, 6), kinds after the year, fraction of land
    to_atmosphere : dict of element to (cell,), burned at once, net of ash; carbon, nitrogen, carbon13, carbon14
    to_products : dict of element to (cell, 3), pools of 1, 10 and 100 yr
    to_litter : dict of element to (cell,)
    ash : (cell,), burned nitrogen that stays as ammonium
    establishment : dict of element to (cell,), seed from outside
    runoff : (cell,), water above saturation
    runoff_heat : (cell,), heat of that water counted from the freezing point, J m-2
    carbon_by_transition : dict atmosphere, products, litter, of (cell, 6, 6) from, to; harvests of secondary land stand
        on the diagonal, those of primary land with primary to secondary
    wood_to_products : (cell, 3), share of ``to_products`` of carbon that comes from wood harvest, forestry included
    harvest_area : (cell,), fraction of land harvested, forestry included but for its thinning
    wood_harvest_deficit : (cell,), kg C m-2 (fraction of land, for harvest by area) that no forest could give
    unmet : (cell, 6, 6), transitions for which there was no area, fraction of land
    deferred : (cell, 6, 6), those that wait for more, fraction of land
    moved : (cell,), fraction of land that changed hands (ageing not counted)
    wood_from_clearing : (cell,), demand for wood that cleared land met, kg C m-2
    forestry_to_products : (cell, 3), share of ``wood_to_products`` that comes from managed forests
    forestry_area : (cell,), fraction of land that they cut at the end of a rotation
    thinned : (cell,), fraction of land whose plants thinning took, the share of a stand times its area
    residual : dict of carbon, nitrogen, water, energy, carbon13, carbon14 to (cell,): closure relative to the store
        (heat: to at least 1e8 J m-2); empty without ``check``
    """

    area: np.ndarray
    to_atmosphere: dict
    to_products: dict
    to_litter: dict
    ash: np.ndarray
    establishment: dict
    runoff: np.ndarray
    runoff_heat: np.ndarray
    carbon_by_transition: dict
    wood_to_products: np.ndarray
    harvest_area: np.ndarray
    wood_harvest_deficit: np.ndarray
    unmet: np.ndarray
    deferred: np.ndarray
    moved: np.ndarray
    wood_from_clearing: np.ndarray
    forestry_to_products: np.ndarray
    forestry_area: np.ndarray
    thinned: np.ndarray
    residual: dict = field(default_factory=dict)


# --- which area goes where ----------------------------------------------------------------------------------------


@dataclass
class _Flows:
    """Flows between tiles: source, target, amount (fraction of land), what plants meet, from x 6 + to of the kinds."""

    parts: list = field(default_factory=list)

    def add(self, source, target, amount, fate, pair):
        keep = amount > 0.0
        source, target, amount = source[keep], target[keep], amount[keep]
        fate = np.broadcast_to(fate, keep.shape)[keep]
        self.parts.append((source, target, amount, fate, np.full(len(source), pair)))

    def sorted(self, layout):
        """In the order of cells, targets, sources (classes, then types) and fates, whatever the order of tiles."""
        if not self.parts:
            return (np.zeros(0, dtype=int),) * 2 + (np.zeros(0),) + (np.zeros(0, dtype=int),) * 2
        source, target, amount, fate, pair = (np.concatenate(part) for part in zip(*self.parts, strict=True))
        n = layout.table.shape[2]
        key = layout.land_class * n + layout.pft
        size = len(layout.classes) * n
        order = np.argsort(((layout.cell[target] * size + key[target]) * size + key[source]) * 6 + fate, kind="stable")
        return source[order], target[order], amount[order], fate[order], pair[order]


def _ageing(layout) -> _Flows:
    """Secondary land grows older: the share 1 / breadth of each class goes to the next."""
    flows = _Flows()
    pair = SECONDARY * 6 + SECONDARY
    for k, older in zip(layout.secondary[:-1], layout.secondary[1:], strict=True):
        low, high = layout.classes[k].age
        both = (layout.table[:, k] >= 0) & (layout.table[:, older] >= 0)
        source, target = layout.table[:, k][both], layout.table[:, older][both]
        flows.add(source, target, layout.area[source] / (high - low), LIVES, pair)
    return flows


def _joined(area, age, bounds, below):
    """Which classes of age go where (cell, class) -> class, and the mean age there (cell, class).

    A class goes to that of its mean age, and joins what is there. Then neighbours in age are joined, those that lose
    least first, as long as they lose less than ``below``: with the areas a and b and the growth
    g = 1 - exp(-age / 30 yr) joining moves the share ab / (a + b) |g_a - g_b| of full-grown vegetation from land that
    has it to land that has not. It is small where an area is small or the ages are alike. The youngest class gathers
    the new land of several years and is joined only below a tenth of that. Depends on areas and ages of the cell alone,
    not on the state.

    Parameters
    ----------
    area, age : (cell, class), classes in the order of age
    bounds : (class,), lower bounds of age
    """
    n_cell, n = area.shape
    cells = np.arange(n_cell)
    goes = np.searchsorted(bounds, age, side="right") - 1
    sizes, mean = np.zeros((n_cell, n)), np.zeros((n_cell, n))
    for k in range(n):
        to = goes[:, k]
        sizes[cells, to] += area[:, k]
        mean[cells, to] += (age[:, k] - mean[cells, to]) * _share(area[:, k], sizes[cells, to])
    where = np.tile(np.arange(n), (n_cell, 1))  # class -> the youngest of its group
    limit = np.full(n, below)
    limit[0] *= NEW_LAND
    for _ in range(n - 1):
        growth = 1.0 - np.exp(-mean / GROWN)
        loss, older = np.full((n_cell, n), np.inf), np.full((n_cell, n), -1)
        following = np.full(n_cell, -1)
        for k in range(n)[::-1]:
            there = sizes[:, k] > 0.0
            pair = there & (following >= 0)
            a, b = sizes[:, k], sizes[cells, following]
            apart = np.abs(growth[:, k] - growth[cells, following]) * a * _share(b, a + b)
            loss[:, k] = np.where(pair, apart / limit[k], np.inf)
            older[:, k] = following
            following = np.where(there, k, following)
        best = loss.argmin(axis=1)
        do = np.flatnonzero(loss[cells, best] < 1.0)
        if len(do) == 0:
            break
        young, old = best[do], older[do, best[do]]
        sizes[do, young] += sizes[do, old]
        mean[do, young] += (mean[do, old] - mean[do, young]) * sizes[do, old] / sizes[do, young]
        sizes[do, old] = mean[do, old] = 0.0
        where[do] = np.where(where[do] == old[:, None], young[:, None], where[do])
    place = np.searchsorted(bounds, mean, side="right") - 1  # groups follow one another in age: each has a class
    found = np.take_along_axis(place, np.take_along_axis(where, goes, axis=1), axis=1)
    new_age = np.zeros((n_cell, n))
    cell, group = np.nonzero(sizes > 0.0)
    new_age[cell, place[cell, group]] = mean[cell, group]
    return np.where(area > 0.0, found, np.arange(n)), new_age


def _cohorts(layout, options) -> _Flows:
    """Flows that bring classes of secondary land to that of their age and join them (:func:`_joined`)."""
    flows = _Flows()
    old = layout.secondary
    bounds = np.array([layout.classes[k].age[0] for k in old])
    place, age = _joined(layout.areas()[:, old], layout.age, bounds, options.merge_below)
    table = layout.table[:, old]
    target = np.take_along_axis(table, place[:, :, None], axis=1)
    moves = (place != np.arange(len(old))) & ((table < 0) | (target >= 0)).all(axis=2)
    cell, k = np.nonzero(moves)
    source, target = table[cell, k], target[cell, k]
    there = source >= 0
    flows.add(source[there], target[there], layout.area[source[there]], LIVES, SECONDARY * 6 + SECONDARY)
    whole = ~((place != np.arange(len(old))) & ~moves).any(axis=1)  # all that was to move had tiles to move to
    layout.age = np.where(whole[:, None], age, layout.age)
    return flows


def _rejuvenated(layout, flows):
    """Mean ages after flows into secondary land, whose area begins anew at the lower bound of its class."""
    age = layout.age
    n = len(layout.classes)
    came = np.zeros(layout.n_cell * n)
    for source, target, amount, fate, _ in flows.parts:
        anew = (source != target) | (layout.land_class[target] == layout.first[SECONDARY])
        anew &= fate != THINNED
        place = layout.cell[target] * n + layout.land_class[target]
        came += np.bincount(place, amount * anew, len(came))
    came = came.reshape(-1, n)[:, layout.secondary]
    now = layout.areas()[:, layout.secondary]
    low = np.array([layout.classes[k].age[0] for k in layout.secondary])
    stays = np.clip(1.0 - _share(came, now), 0.0, 1.0)
    layout.age = np.where(came > 0.0, low + (age - low) * stays, age)


def _take(wanted, room, order):
    """Fill `wanted` (cell,) from `room` (cell, place) in an order of places. Returns what is taken, what is wanting."""
    taken = np.zeros_like(room)
    for k in order:
        taken[:, k] = np.minimum(wanted, room[:, k])
        wanted = wanted - taken[:, k]
    return taken, wanted


def _harvest(layout, wood, tree, harvest, options):
    """Share of the area of each (cell, class, tree or not) that is cut, and what could not be had (cell,)."""
    area = layout._of_tiles(layout.area)
    parts = np.stack([(area * ~tree).sum(axis=2), (area * tree).sum(axis=2)], axis=2)  # cell, class, (other, trees)
    if options.wood_harvest == "mass":
        mass = area * layout._of_tiles(wood)
        parts = np.stack([(mass * ~tree).sum(axis=2), (mass * tree).sum(axis=2)], axis=2)
    most = options.most_harvested if options.wood_harvest == "mass" else 1.0
    possible = (layout.table[:, layout.first[SECONDARY]] >= 0).any(axis=1)
    n_class = len(layout.classes)
    room = (most * parts * possible[:, None, None]).reshape(len(area), -1)  # place: 2 x class + tree
    age, old_first = layout.mean_age(), layout.secondary[::-1]
    mature = [k for k in old_first if age[list(layout.secondary).index(k)] >= options.mature_age]
    if layout.classes[layout.secondary[0]].age is None:
        mature = list(old_first)
    young = [k for k in old_first if k not in mature]
    primary = layout.first[PRIMARY]
    places = [[2 * primary + 1], [2 * primary], [2 * k + 1 for k in mature], [2 * k + 1 for k in young],
              [2 * k for k in old_first]]  # fmt: skip
    taken = np.zeros_like(room)
    missing = np.zeros((len(room), 5))
    for c in range(5):
        got, missing[:, c] = _take(harvest[:, c], room - taken, places[c])
        taken += got
    if options.wood_harvest == "mass":
        got, left = _take(missing.sum(axis=1), room - taken, [p for c in (2, 3, 0, 4, 1) for p in places[c]])
        taken += got
    else:  # the area of the data set: within primary and within secondary land
        got, left = _take(missing[:, :2].sum(axis=1), room - taken, places[0] + places[1])
        taken += got
        got, more = _take(missing[:, 2:].sum(axis=1), room - taken, places[2] + places[3] + places[4])
        taken += got
        left = left + more
    parts = parts.reshape(room.shape)
    share = np.where(parts > 0.0, np.minimum(taken / np.where(parts > 0.0, parts, 1.0), most), 0.0)
    return share.reshape(len(area), n_class, 2), np.where(left > 1e-15, left, 0.0)


def _of_kinds(layout, demand, room, minimum):
    """Limit transitions of kinds (cell, 6, 6) to the area there is; keep back what is too small to make a tile."""
    demand = np.maximum(demand, 0.0) * (1.0 - np.eye(6))
    have = layout._of_classes(layout.areas())
    come = demand.sum(axis=1)
    small = (have + come < minimum) & (come > 0.0)  # (cell, to)
    deferred = np.where(small[:, None, :], demand, 0.0)
    demand = np.where(small[:, None, :], 0.0, demand)
    out, room = demand.sum(axis=2), layout._of_classes(room)
    # an area that is left but for rounding goes wholly
    scale = np.where(out >= room * (1.0 - 1e-12), room / np.where(out > 0.0, out, 1.0), 1.0)
    done = demand * np.where(out > 0.0, scale, 1.0)[:, :, None]
    unmet = np.maximum(demand - done, 0.0)
    return done, np.where(unmet > 1e-9 * demand, unmet, 0.0), deferred


def _of_all_classes(layout, done, room, fallow):
    """Transitions of kinds as transitions of classes (cell, class, class): which age of secondary land is taken."""
    n = len(layout.classes)
    out = np.zeros((len(done), n, n))
    for i in range(6):
        if i != SECONDARY:
            out[:, layout.first[i], layout.first] = done[:, i]
    old = layout.secondary
    if len(old) == 1:
        out[:, old[0], layout.first] = done[:, SECONDARY]
        return out
    ready = (layout.mean_age() if layout.age is None else layout.age) >= 0.5 * fallow
    shifting = np.minimum(done[:, SECONDARY], done[:, :, SECONDARY])
    total = shifting.sum(axis=1)
    taken, left = _take(total, np.where(ready, room[:, old], 0.0), range(len(old)))
    taken += _take(left, np.where(ready, 0.0, room[:, old]), range(len(old))[::-1])[0]
    rest = np.maximum(room[:, old] - taken, 0.0)
    left = rest.sum(axis=1)
    for j in range(6):
        target = layout.first[j]
        out[:, old, target] += taken * _share(shifting[:, j], total)[:, None]
        permanent = _share(done[:, SECONDARY, j] - shifting[:, j], left)
        out[:, old, target] += rest * np.clip(permanent, 0.0, 1.0)[:, None]
    return out


def _limited(layout, demand, room, options):
    """Transitions of classes that there is area for; those of kinds that there is none for, and those that wait."""
    if demand.shape[1] == 6:
        done, unmet, deferred = _of_kinds(layout, demand + layout.deficit, room, options.minimum_area)
        return _of_all_classes(layout, done, room, options.fallow), unmet, deferred
    between = demand * (1.0 - np.eye(len(layout.classes)))
    out = between.sum(axis=2)
    done = between * np.where(out >= room * (1.0 - 1e-12), _share(room, out), 1.0)[:, :, None]
    missing = np.maximum(between - done, 0.0)
    missing = np.where(missing > 1e-9 * between, missing, 0.0)
    unmet = layout._of_classes(layout._of_classes(missing).transpose(0, 2, 1)).transpose(0, 2, 1)
    return done, unmet, layout.deficit.copy()


def _share(values, total):
    return np.where(total > 0.0, values / np.where(total > 0.0, total, 1.0), 0.0)


def _mixtures(layout, compositions):
    """Compositions as shares of the tiles that there are, (cell, class, type)."""
    if isinstance(compositions, dict):
        values = np.stack([np.asarray(compositions[c.kind], dtype=float) for c in layout.classes], axis=1)
    else:
        values = np.asarray(compositions, dtype=float)
        values = values[:, layout.kind] if values.shape[1] == 6 else values
    there = layout.table >= 0
    values = np.where(there, values, 0.0)
    values = np.where(values.sum(axis=2, keepdims=True) > 0.0, values, there)
    return _share(values, values.sum(axis=2, keepdims=True))


def _plan(layout, between, harvested, mixtures, clear, woody, crop, options, forestry=None) -> _Flows:
    """Flows of a harvest (share of the area of each (cell, class, type)), of forestry, of transitions of classes."""
    flows = _Flows()
    area = layout._of_tiles(layout.area)
    cut = area * harvested
    room = area - cut
    felled = [(cut, HARVESTED)]
    if forestry is not None:
        felled.append((area * forestry[0], PLANTED))
        room = np.maximum(room - felled[1][0], 0.0)
    young = layout.first[SECONDARY]
    types = np.arange(area.shape[2])

    def spread(cells, i, j, amount, fate, pair):
        """Area `amount` (cells, type) of class i onto the mixture of class j."""
        row, p = np.nonzero(amount)
        if len(row) == 0:
            return
        shares = mixtures[cells, j]
        many = amount[row, p][:, None] * shares[row]
        k, q = np.nonzero(many)
        cell = cells[row[k]]
        flows.add(layout.table[cell, i, p[k]], layout.table[cell, j, q], many[k, q], fate, pair)

    def straight(cells, i, j, amount, fate, pair):
        """Area `amount` (cells, type) of class i to the same types of class j."""
        row, p = np.nonzero(amount)
        fate = np.broadcast_to(fate, amount.shape)[row, p]
        flows.add(layout.table[cells[row], i, p], layout.table[cells[row], j, p], amount[row, p], fate, pair)

    natural = np.flatnonzero((layout.kind == PRIMARY) | (layout.kind == SECONDARY))
    for i, (cut, wood) in ((i, part) for i in natural for part in felled):
        cells = np.flatnonzero(cut[:, i].any(axis=1))
        if len(cells) == 0:
            continue
        same = layout.table[cells, young] >= 0
        pair = layout.kind[i] * 6 + SECONDARY
        straight(cells, i, young, np.where(same, cut[cells, i], 0.0), np.where(woody, wood, LIVES), pair)
        for fate, these in ((wood, woody), (DIES, ~woody)):
            spread(cells, i, young, np.where(~same & these, cut[cells, i], 0.0), fate, pair)

    pairs = [(i, j) for i in range(len(layout.classes)) for j in range(len(layout.classes)) if i != j]
    pairs = [pair for pair in pairs if between[:, pair[0], pair[1]].any()]
    if options.pasture_from_grass:  # these come first: what they leave is shared by the others
        pairs.sort(key=lambda pair: not (layout.kind[pair[0]] < 2 and layout.kind[pair[1]] == PASTURE))
    for i, j in pairs:
        cells = np.flatnonzero(between[:, i, j] > 0.0)
        amount, source = between[cells, i, j][:, None], room[cells, i]
        from_kind, to_kind = layout.kind[i], layout.kind[j]
        pair = from_kind * 6 + to_kind
        if not (layout.table[cells, j] >= 0).any(axis=1).all():
            cell = int(cells[~(layout.table[cells, j] >= 0).any(axis=1)][0])
            raise ConcertoError(
                f"cell {cell + 1} has no tiles of {layout.classes[j].name}, but land use gives it area",
                hint="make the tiles with the whole land-use history (`slots`)",
            )
        if options.pasture_from_grass and from_kind < 2 and to_kind == PASTURE:
            grass = np.where(woody, 0.0, source)
            first = np.minimum(amount, grass.sum(axis=1, keepdims=True))
            moved = first * _share(grass, grass.sum(axis=1, keepdims=True))
            other = source - grass
            moved = moved + (amount - first) * _share(other, other.sum(axis=1, keepdims=True))
            room[cells, i] = np.maximum(source - moved, 0.0)
        else:
            moved = amount * _share(source, source.sum(axis=1, keepdims=True))
        if clear[from_kind, to_kind]:
            spread(cells, i, j, moved, CLEARED, pair)
            continue
        stays = np.where(layout.table[cells, j] >= 0, moved, 0.0)
        mixture = mixtures[cells, j]
        if (
            to_kind == SECONDARY and from_kind != PRIMARY
        ):  # abandoned: woody plants live on, the rest becomes the natural mixture; crops die
            stays = np.where(woody, stays, np.where(crop, 0.0, np.minimum(stays, amount * mixture)))
            lacks = np.maximum(amount * mixture - stays, 0.0)
            total = lacks.sum(axis=1, keepdims=True)
            mixture = np.where(total > 0.0, _share(lacks, total), mixture)
        straight(cells, i, j, stays, LIVES, pair)
        rest = np.maximum(moved - stays, 0.0)
        rest[rest < 1e-14 * amount] = 0.0
        for p in types[rest.any(axis=0)]:
            row = np.flatnonzero(rest[:, p])
            many = rest[row, p][:, None] * mixture[row]
            k, q = np.nonzero(many)
            cell = cells[row[k]]
            flows.add(layout.table[cell, i, p], layout.table[cell, j, q], many[k, q], DIES, pair)
    if forestry is not None and forestry[1].any():  # thinning: of stands that stay, where they are
        stays = layout.area.copy()
        for source, _, amount, _, _ in flows.parts:
            stays -= np.bincount(source, amount, len(stays))
        stays = np.where(stays < 1e-14 * layout.area, 0.0, stays)
        for i in natural:
            cell, p = np.nonzero(forestry[1][:, i])
            tile = layout.table[cell, i, p]
            flows.add(tile, tile, stays[tile] * forestry[1][cell, i, p], THINNED, layout.kind[i] * 7)
    return flows


# --- the state ------------------------------------------------------------------------------------------------------


class _Rows:
    """Tiles of some cells as rows of the state."""

    def __init__(self, tiles, index):
        self.tiles, self.index = tiles, index
        self.blocks, block = np.unique(index // tiles.nproma, return_inverse=True)
        self.place = block * tiles.nproma + index % tiles.nproma

    def take(self):
        state = self.tiles.state[:, :, self.blocks]
        state = np.ascontiguousarray(state.transpose(2, 0, 1)).reshape(-1, state.shape[1])
        return state[self.place]

    def give(self, rows, values):
        where = self.index[rows]
        self.tiles.state[where % self.tiles.nproma, :, where // self.tiles.nproma] = values


def _initial(tiles, index, temperature):
    """Start values (index, column) of tiles, as those of a new run."""
    from concerto.simulation.spinup import initialise
    from concerto.simulation.tiles import Tiles

    some = Tiles(tiles.pft[index], tiles.time_step, cell=tiles.cell[index], options=dict(tiles.options))
    some.parameters = some._blocks(tiles.parameters[index % tiles.nproma, :, index // tiles.nproma])
    initialise(some, temperature)
    return some._unblock(some.state)


def _copies(layout, area):
    """Tile whose memories a new one takes, (cell, type): the largest natural one of the type, else of all; -1: none."""
    natural = np.flatnonzero((layout.kind == PRIMARY) | (layout.kind == SECONDARY))
    table = layout.table[:, natural]
    size = np.where(table >= 0, np.append(area, 0.0)[table], 0.0)
    of_type = np.take_along_axis(table, size.argmax(axis=1)[:, None], axis=1)[:, 0]
    flat, sizes = table.reshape(len(table), -1), size.reshape(len(table), -1)
    largest = np.take_along_axis(flat, sizes.argmax(axis=1)[:, None], axis=1)
    largest = np.where(sizes.max(axis=1, keepdims=True) > 0.0, largest, -1)
    return np.where(size.max(axis=1) > 0.0, of_type, largest)


def _givers(flows):
    """Row that gives most to each receiving row."""
    best, giver = np.zeros(len(flows.rows)), flows.rows.copy()
    for k in range(flows.count[0] if len(flows.count) else 0):
        head = int(np.searchsorted(-flows.count, -k, side="left"))
        flow = flows.first[:head] + k
        better = flows.amount[flow] > best[:head]
        giver[:head] = np.where(better, flows.source[flow], giver[:head])
        best[:head] = np.maximum(flows.amount[flow], best[:head])
    return giver


class _Account:
    """Sums of a year over cells; those worked on are a window of them."""

    def __init__(self, n_cell):
        names = NAMES.values()
        self.n = n_cell
        self.atmosphere = {name: np.zeros(n_cell) for name in names}
        self.products = {name: np.zeros((n_cell, 3)) for name in names}
        self.litter = {name: np.zeros(n_cell) for name in names}
        self.established = {name: np.zeros(n_cell) for name in names}
        self.ash, self.runoff, self.runoff_heat = np.zeros(n_cell), np.zeros(n_cell), np.zeros(n_cell)
        self.pairs = {name: np.zeros((n_cell, 36)) for name in ("atmosphere", "products", "litter")}
        self.wood, self.forestry, self.thinned = np.zeros((n_cell, 3)), np.zeros((n_cell, 3)), np.zeros(n_cell)
        self.planted_carbon = 0.0  # kg C m-2 of saplings
        self.residual = {}
        self.window(0, n_cell)

    def window(self, first, end):
        self.first, self.size, self.here = first, end - first, slice(first, end)

    def add(self, target, cell, values):
        """Add the sums over cells of values (n,) or (n, k) to a row or to the columns of an array over cells."""
        for k in range(values.shape[1] if values.ndim == 2 else 1):
            place = (self.here, k) if values.ndim == 2 else self.here
            target[place] += np.bincount(cell - self.first, values[:, k] if values.ndim == 2 else values, self.size)


def _stores(some, state, options):
    found = dynamics.stored_rows(state, *dynamics.dry_capacities(some))
    if some.option("isotopes") == "on":
        for name in ("carbon13", "carbon14"):
            found[name] = state[:, dynamics._columns([f"{name}_plant", f"{name}_soil"])].sum(axis=1)
    return found


def _carry_out(tiles, layout, flows, fuelwood, options, account):
    """Move what the flows say; the areas of the layout change."""
    source, target, amount, fate, pair = flows.sorted(layout)
    if len(source) == 0:
        return
    copies = _copies(layout, layout.area)
    cell_of_flow = layout.cell[target]
    cells = np.unique(cell_of_flow)
    by_cell = np.argsort(layout.cell, kind="stable")
    begins = np.searchsorted(layout.cell[by_cell], np.arange(layout.n_cell + 1))
    area_after = layout.area.copy()
    local = np.zeros(len(layout.cell), dtype=int)
    for start in range(0, len(cells), CELLS):
        part = cells[start : start + CELLS]
        low, high = np.searchsorted(cell_of_flow, [part[0], part[-1] + 1])
        index = np.concatenate([by_cell[begins[c] : begins[c + 1]] for c in part])
        local[index] = np.arange(len(index))
        exchange = Exchange(layout.area[index], local[source[low:high]], local[target[low:high]], amount[low:high])
        account.window(part[0], part[-1] + 1)
        facts = (local, copies, fate[low:high], pair[low:high], fuelwood, options, account)
        _carry_out_part(tiles, layout, index, exchange, *facts)
        touched = np.concatenate([exchange.source, exchange.target])
        area_after[index[touched]] = exchange.area[touched]
    layout.area[:] = area_after
    last = tiles.n_tile - 1
    padding = np.arange(tiles.n_tile, tiles.nproma * tiles.n_block)
    if len(padding):
        values = tiles.state[last % tiles.nproma, :, last // tiles.nproma].copy()
        tiles.state[padding % tiles.nproma, :, padding // tiles.nproma] = values


def _carry_out_part(tiles, layout, index, flows, local, copies, fate, pair, fuelwood, options, account):
    table = fates(options.fates)
    rows, some = _Rows(tiles, index), Some(tiles, index)
    state = rows.take()
    cell, pft = layout.cell[index], layout.pft[index]
    before = _stores(some, state, options) if options.check else None
    receivers = flows.rows
    copy = copies[cell[receivers], pft[receivers]]
    copy = np.where(copy >= 0, local[copy], _givers(flows))

    # what becomes of the plants, (flow, pool)
    died = np.flatnonzero(fate != LIVES)
    type_, flow_cell = pft[flows.source[died]], cell[flows.source[died]]
    cleared, cut = (fate[died] == CLEARED)[:, None], (fate[died] >= HARVESTED)[:, None]
    above = table.above[type_]
    left = 1.0 - options.slash
    burned = cleared * above * (left * table.conversion[type_])[:, None]
    burned[:, LEAF] = cleared[:, 0] * table.leaf_burned[type_]
    fuel = fuelwood[flow_cell]
    wood = np.stack([fuel, (1.0 - fuel) * options.pulp, (1.0 - fuel) * (1.0 - options.pulp)], axis=1)
    to_pool = np.where(cleared, left * table.products[type_], cut * options.efficiency * wood)  # (flow, 3) of above
    to_litter = 1.0 - burned - above * to_pool.sum(axis=1)[:, None]
    weight = flows.amount[died]
    fallen, ash = {}, None
    followed = {
        "soil_carbon": True, "soil_nitrogen": tiles.option("nitrogen") == "cn",
        "carbon13_soil": tiles.option("isotopes") == "on", "carbon14_soil": tiles.option("isotopes") == "on",
    }  # fmt: skip
    for names, soil_row in ELEMENTS:
        element = NAMES[soil_row]
        fallen[soil_row] = np.zeros((len(fate), POOLS))
        if not followed[soil_row]:
            fallen[soil_row][died] = state[flows.source[died]][:, dynamics._columns(names)]
            continue
        plants = state[flows.source[died][:, None], dynamics._columns(names)]
        fallen[soil_row][died] = plants * to_litter
        smoke = (plants * burned).sum(axis=1)
        if element == "nitrogen":
            ash = np.zeros(len(fate))
            ash[died] = options.ash * smoke
            account.add(account.ash, flow_cell, weight * ash[died])
            smoke = smoke - ash[died]
        smoke = weight * smoke
        stock = weight * (plants * above).sum(axis=1)
        goods = stock[:, None] * to_pool
        litter = weight * (plants * to_litter).sum(axis=1)
        account.add(account.atmosphere[element], flow_cell, smoke)
        account.add(account.litter[element], flow_cell, litter)
        account.add(account.products[element], flow_cell, goods)
        if element == "carbon":
            key = (flow_cell - account.first) * 36 + pair[died]
            for name, values in (("atmosphere", smoke), ("products", goods.sum(axis=1)), ("litter", litter)):
                account.pairs[name][account.here] += np.bincount(key, values, account.size * 36).reshape(-1, 36)
            account.add(account.wood, flow_cell, goods * cut)
            account.add(account.forestry, flow_cell, goods * (cut & (fate[died] != HARVESTED)[:, None]))
            account.add(account.thinned, flow_cell, weight * (fate[died] == THINNED))

    new, _ = dynamics.exchange_rows(some, state, flows, (fate == LIVES).astype(float), copy, fallen, shed=True)
    inverse = 1.0 / flows.area[receivers]
    if ash is not None and ash.any():
        thickness = np.array(loader.soil_thickness())[: loader.layers()["carbon_layer"]]
        depth = np.concatenate([[0.0], np.cumsum(thickness)])
        profile = np.exp(-depth[:-1] / 0.1) - np.exp(-depth[1:] / 0.1)  # as litter of the surface
        gift = flows.total(ash, of_source=False) * inverse
        new[:, dynamics._columns(["ammonium"])] += gift[:, None] * (profile / profile.sum())
    # water above saturation
    liquid, ice = dynamics._columns(["soil_liquid"]), dynamics._columns(["soil_ice"])
    over = new[:, liquid] + new[:, ice] - some.parameter("theta_sat")[receivers, None]
    over = np.where(over > 1e-9, np.minimum(over, new[:, liquid]), 0.0)
    if over.any():
        mass = over * dynamics.WATER * np.array(loader.soil_thickness())
        area = flows.area[receivers]
        heat = mass * dynamics.LIQUID * (new[:, dynamics._columns(["soil_temperature"])] - dynamics.FREEZING)
        new[:, liquid] -= over
        account.add(account.runoff, cell[receivers], area * mass.sum(axis=1))
        account.add(account.runoff_heat, cell[receivers], area * heat.sum(axis=1))
    _sow(tiles, some, new, flows, fate, cell, options, followed, account)
    values = state
    values[receivers] = new
    emptied = np.flatnonzero((layout.area[index] > 0.0) & (flows.area <= 0.0))
    if len(emptied):
        soil = dynamics._columns(["soil_temperature"])
        values[emptied] = _initial(tiles, index[emptied], state[emptied][:, soil].mean(axis=1))
    changed = np.union1d(receivers, emptied)
    rows.give(changed, values[changed])
    if options.check:
        after = _stores(some, values, options)
        old, area = layout.area[index], flows.area
        for name in before:
            change, store = account.residual.setdefault(name, (np.zeros(account.n), np.zeros(account.n)))
            was = np.bincount(cell - account.first, old * before[name], account.size)
            account.add(change, cell, area * after[name])
            change[account.here] -= was
            store[account.here] = np.maximum(store[account.here], np.abs(was))


def _sow(tiles, some, new, flows, fate, cell, options, followed, account):
    """Seed on area whose plants died, saplings where forestry cut; crops that have a calendar are sown by it."""
    receivers = flows.rows
    grows = some.pft[receivers] != loader.pft_names().index("bare")
    if tiles.option("crops") == "calendar":
        grows &= some.parameter("annual_crop")[receivers] < 0.5
    planted = (fate == PLANTED) & fates(options.fates).tree[some.pft[flows.target]]
    bare = flows.total(((fate != LIVES) & (fate != THINNED) & ~planted).astype(float), of_source=False)
    bare = np.where(grows, bare, 0.0)
    seed = options.seed_carbon * bare / flows.area[receivers]
    if planted.any():
        seed += account.planted_carbon * flows.total(planted.astype(float), of_source=False) / flows.area[receivers]
    if not seed.any():
        return
    nitrogen = seed / some.parameter("leaf_cn")[receivers]
    amounts = {"carbon": seed, "nitrogen": nitrogen, "carbon13": seed, "carbon14": seed}  # isotopes as in standard air
    columns = {"carbon": "carbon_labile", "nitrogen": "nitrogen_plant", "carbon13": "carbon13_plant",
               "carbon14": "carbon14_plant"}  # fmt: skip
    for soil_row, element in NAMES.items():
        if followed[soil_row]:
            new[:, dynamics._columns([columns[element]])[0]] += amounts[element]
            account.add(account.established[element], cell[receivers], flows.area[receivers] * amounts[element])


def apply_transitions(
    tiles, layout, transitions, harvest=None, compositions=None, options=None, *, fuelwood=0.5, forestry=None
) -> Result:
    """Carry out a year of land use on the tiles: ageing of secondary land, wood harvest, transitions.

    Call it once a year, before the first step of 1 January, with the transitions that turn the state of the year before
    into that of the year. Harvest takes its area first; transitions share what is left, all on the same state.

    Parameters
    ----------
    tiles : Tiles, changed
    layout : Layout, changed: ``area`` and ``deficit``
    transitions : (cell, 6, 6) of kinds or (cell, class, class), fraction of land from (second) to (third); from primary
        to secondary with the harvested area: what the harvest does not take (none where it is off) moves alive
    harvest : (cell, 5), kg C m-2 of land or fraction of land, as ``options.wood_harvest`` says: primary forest, primary
        non-forest, mature and young secondary forest, secondary non-forest; None: no harvest
    compositions : dict of kind to (cell, type), or (cell, 6 or class, type): what new area of a class carries; default
        what the class has now
    options : Options
    fuelwood : share of the harvest that is burned as fuel (pool of 1 yr), a number or (cell,)
    forestry : Forestry: rotation and thinning of what ``harvest`` leaves, whatever ``options.wood_harvest`` says; None:
        no managed forests

    Returns
    -------
    Result

    Raises
    ------
    ConcertoError
        If the arrays do not fit the layout, or a class receives area in a cell that has no tiles of it.

    Examples
    --------
    >>> result = apply_transitions(tiles, layout, year.transitions, year.harvest_mass, mixtures)  # doctest: +SKIP
    """
    options = options or Options()
    n, n_class = layout.n_cell, len(layout.classes)
    demand = np.asarray(transitions, dtype=float)
    if demand.shape not in {(n, 6, 6), (n, n_class, n_class)} or len(layout.cell) != tiles.n_tile:
        raise ConcertoError(
            f"transitions are {demand.shape} for {n} cells with {len(layout.cell)} tiles, the run has {tiles.n_tile}",
            hint="(cell, 6, 6) of kinds or (cell, class, class), and the layout of these tiles",
        )
    if not np.isfinite(demand).all() or demand.min(initial=0.0) < 0.0:
        raise ConcertoError("transitions are negative or not finite", hint="mend the land-use history (`repaired`)")
    table = fates(options.fates)
    account = _Account(n)
    fuelwood = np.broadcast_to(np.asarray(fuelwood, dtype=float), (n,))
    parted = len(layout.secondary) > 1
    if options.merge_below > 0.0 and parted:
        if layout.age is None:
            layout.follow_age()
        layout.age += options.ageing
    elif options.ageing and parted:
        layout.age = None
        _carry_out(tiles, layout, _ageing(layout), fuelwood, options, account)

    areas = layout.areas()
    clear = clears(options.clearing)
    harvested, wanting, met = np.zeros((n, n_class, 2)), np.zeros(n), np.zeros(n)
    if harvest is not None and options.wood_harvest != "off" and np.any(harvest):
        above = table.above[layout.pft]
        wood = sum(tiles.get(f"carbon_{dynamics.PLANT_POOLS[k]}") * above[:, k] for k in (SAPWOOD, HEARTWOOD))
        harvest = np.asarray(harvest, dtype=float)
        if options.clearing_supplies_harvest and options.wood_harvest == "mass":
            timber = wood * (1.0 - options.slash) * table.products[layout.pft, 1:].sum(axis=1)
            mean = _share(layout._of_tiles(layout.area * timber).sum(axis=2), areas)
            cleared = _limited(layout, demand, areas, options)[0] * clear[layout.kind[:, None], layout.kind]
            wanted = harvest.sum(axis=1)
            met = np.minimum(wanted, (cleared.sum(axis=2) * mean).sum(axis=1) / options.efficiency)
            harvest = harvest * (1.0 - _share(met, wanted))[:, None]
        harvested, wanting = _harvest(layout, wood, table.tree, harvest, options)
    harvested = np.where(table.tree, harvested[:, :, 1:], harvested[:, :, :1])  # (cell, class, type)
    cut, managed, forestry_cut = (layout._of_tiles(layout.area) * harvested).sum(axis=2), None, np.zeros(n)
    if forestry is not None:
        account.planted_carbon = forestry.planted_carbon
        managed = shares(layout, forestry, table.tree, harvested, options.most_harvested)
        by_class = (layout._of_tiles(layout.area) * managed[0]).sum(axis=2)
        cut, forestry_cut = cut + by_class, by_class.sum(axis=1)
    primary, young = layout.first[PRIMARY], layout.first[SECONDARY]
    place = (PRIMARY, SECONDARY) if demand.shape[1] == 6 else (primary, young)
    demand = demand.copy()
    demand[:, *place] = np.maximum(demand[:, *place] - cut[:, primary], 0.0)  # the harvested part of it is done
    between, unmet, deferred = _limited(layout, demand, areas - cut, options)
    flows = _Flows()
    if between.any() or harvested.any() or (managed is not None and any(part.any() for part in managed)):
        if compositions is None:
            compositions = layout._of_tiles(layout.area)
        mixtures = _mixtures(layout, compositions)
        woody, crop = (np.asarray(loader.parameters()[name].values) > 0.5 for name in ("woody", "annual_crop"))
        flows = _plan(layout, between, harvested, mixtures, clear, woody, crop, options, managed)
    _carry_out(tiles, layout, flows, fuelwood, options, account)
    if options.merge_below > 0.0 and parted:
        _rejuvenated(layout, flows)
        if options.ageing:
            _carry_out(tiles, layout, _cohorts(layout, options), fuelwood, options, account)
    layout.deficit[:] = deferred
    return Result(
        area=layout.kinds(), to_atmosphere=account.atmosphere, to_products=account.products, to_litter=account.litter,
        ash=account.ash, establishment=account.established, runoff=account.runoff, runoff_heat=account.runoff_heat,
        carbon_by_transition={name: values.reshape(n, 6, 6) for name, values in account.pairs.items()},
        wood_from_clearing=met, wood_to_products=account.wood, forestry_to_products=account.forestry,
        forestry_area=forestry_cut, thinned=account.thinned,
        harvest_area=cut.sum(axis=1), wood_harvest_deficit=wanting, unmet=unmet,
        deferred=deferred, moved=between.sum(axis=(1, 2)) + cut.sum(axis=1),
        residual=_closure(account) if options.check else {},
    )  # fmt: skip


def _closure(account):
    """Change of the stores less what came and went, relative to the stores."""
    out = {}
    for name, (change, scale) in account.residual.items():
        if name == "water":
            change, least = change + account.runoff, 1.0
        elif name == "energy":
            change, least = change + account.runoff_heat, HEAT_SCALE
        else:
            gone = account.atmosphere[name] + account.products[name].sum(axis=1)
            change, least = change + gone - account.established[name], 1e-3 if name == "nitrogen" else 1e-2
        out[name] = change / np.maximum(scale, least)
    return out


def apply_year(tiles, layout, year, compositions, options=None, forestry=None) -> Result:
    """:func:`apply_transitions` with a year of a land-use history (`concerto.landuse.history.LandUseYear`).

    On 1 January of the year Y give the year Y - 1, whose transitions lead to the state of Y.
    """
    options = options or Options()
    harvest = {"mass": year.harvest_mass, "area": year.harvest_area, "off": None}[options.wood_harvest]
    fuelwood = np.asarray((year.management or {}).get("fuelwood", np.nan), dtype=float)
    fuelwood = np.where(np.isfinite(fuelwood), fuelwood, 0.5)
    return apply_transitions(
        tiles, layout, year.transitions, harvest, compositions, options, fuelwood=fuelwood, forestry=forestry
    )


# --- arrays alone -----------------------------------------------------------------------------------------------------


def redistribute(area, density, transitions, clear, *, wood_aboveground=0.75, burn_wood=0.6, burn_leaf=0.0,
                 products=(0.0, 0.3, 0.1)):  # fmt: skip
    """The rule on arrays: one tile for each class, pools leaf, wood, root, litter, woody debris, and any others.

    Parameters
    ----------
    area : (cell, class), fraction of land
    density : (cell, class, pool), kg m-2 of the class; pools after the fifth move with the area
    transitions : (cell, class, class), fraction of land from (second) to (third)
    clear : (class, class), True where leaf, wood and root of the moved area are cleared
    wood_aboveground, burn_wood, burn_leaf, products : shares: of wood above ground, of that burned, of leaves burned,
        of above-ground wood to the pools of 1, 10, 100 yr

    Returns
    -------
    area, density : after the transitions
    to_atmosphere : (cell,), kg m-2 of land
    to_products : (cell, 3)

    Examples
    --------
    >>> area, density, smoke, goods = redistribute(
    ...     [[0.6, 0.4]], [[[0.0, 10.0, 0, 0, 0, 5.0], [0.0, 0.0, 0, 0, 0, 1.0]]], [[[0.0, 0.1], [0.0, 0.0]]],
    ...     [[False, True], [False, False]])
    >>> round(float(smoke[0]), 3), density[0, 1].round(3).tolist()
    (0.45, [0.0, 0.0, 0.0, 0.0, 0.5, 1.8])
    """
    area, density = np.asarray(area, dtype=float), np.array(density, dtype=float)
    moved = np.array(transitions, dtype=float)
    n_cell, n_class = area.shape
    moved[:, np.arange(n_class), np.arange(n_class)] = 0.0
    cell, target, source = np.nonzero(moved.transpose(0, 2, 1))
    amount = moved[cell, source, target]
    flows = Exchange(area.ravel(), cell * n_class + source, cell * n_class + target, amount)
    dies = np.asarray(clear, dtype=bool)[source, target].astype(float)
    rows = density.reshape(n_cell * n_class, -1)
    new = flows.mixture(rows)
    new[:, :3] = flows.mixture(rows[:, :3], 1.0 - dies)
    plants = rows[flows.source, :3] * dies[:, None]
    above = wood_aboveground * plants[:, 1]
    smoke = above * burn_wood + burn_leaf * plants[:, 0]
    goods = above[:, None] * np.asarray(products, dtype=float)
    litter = (1.0 - burn_leaf) * plants[:, 0] + plants[:, 2]
    debris = plants[:, 1] - above * burn_wood - goods.sum(axis=1)
    fallen = flows.total(np.stack([litter, debris], axis=1), of_source=False)
    new[:, 3:5] += fallen / flows.area[flows.rows, None]
    out = np.where((flows.area > 0.0)[:, None], rows, 0.0)
    out[flows.rows] = new
    to_products = np.stack([np.bincount(cell, amount * goods[:, k], n_cell) for k in range(3)], axis=1)
    shape = density.shape
    return (
        flows.area.reshape(area.shape), out.reshape(shape), np.bincount(cell, amount * smoke, n_cell), to_products,
    )  # fmt: skip
