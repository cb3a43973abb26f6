"""Land use of one year, of a series of years, and the rules both have to obey.

Numbers are fractions of the land of a cell (without ice and water) unless said. The state of year y is that at the
START of y; the transitions of y turn it into the state of y + 1, so a run applies the transitions of Y - 1 on
1 January of Y, before its first step.

Rules, with a tolerance of 1e-6: (1) areas sum to 1; (2) transitions are not negative; (3) what leaves a kind is not
more than there is of it; (4) area before, less what leaves, plus what comes, is the area after; nothing becomes
primary. `check` refuses what breaks them, `repaired` mends it and says by how much. Tiles that are too small to be
made (rule 5) are the business of the operator.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field, replace

import numpy as np

from concerto.errors import ConcertoError
from concerto.landuse.classes import HARVEST, KINDS, PRIMARY, SECONDARY, class_list

TOLERANCE = 1e-6
REPAIRABLE = 0.01  # of land: sums and negative values that are further off are an error even where repairs are allowed


@dataclass
class LandUseYear:
    """Land use of one year for the cells of a domain.

    Attributes
    ----------
    year : int
    area : array (cell, 6)
        Fractions of land of `KINDS` at the start of the year; the sum is 1.
    transitions : array (cell, 6, 6)
        Fraction of land that goes from i to j between this start of a year and the next; diagonal 0. The harvested
        area of primary land is among them (primary to secondary).
    harvest_area : array (cell, 5)
        Fraction of land that is harvested in the year, by `HARVEST`.
    harvest_mass : array (cell, 5)
        kg C m-2 of land in the year, slash included as the data set has it.
    management : dict of str to array (cell,)
        Whatever the source has of: fertiliser (kg N m-2 yr-1 of crop area), irrigated, biofuel (shares of crop area),
        crop_c4 (C4 share of crop area, NaN without crops), fuelwood, roundwood (shares of the harvest).
    forest : array (cell, 2) or None
        Forest share of primary and of secondary land; NaN where there is no such land, None where it is not known.
    secondary_age : array (cell,) or None
        Mean age of secondary land, yr; NaN where there is none, None where it is not known.
    has_transitions : bool
        False for the last state of a series and for years that are held.
    """

    year: int
    area: np.ndarray
    transitions: np.ndarray
    harvest_area: np.ndarray
    harvest_mass: np.ndarray
    management: dict[str, np.ndarray] = field(default_factory=dict)
    forest: np.ndarray | None = None
    secondary_age: np.ndarray | None = None
    has_transitions: bool = True

    @classmethod
    def still(cls, year: int, area) -> LandUseYear:
        """A year in which nothing changes: areas (cell, 6), no transitions, no harvest."""
        area = np.array(area, dtype=float)
        n, k = area.shape
        none = np.zeros((n, len(HARVEST)))
        return cls(year, area, np.zeros((n, k, k)), none, none.copy(), has_transitions=False)

    def area_after(self) -> np.ndarray:
        """Areas (cell, 6) at the start of the next year that the transitions lead to."""
        return implied_area(self.area, self.transitions)

    def transitions_beside_harvest(self) -> np.ndarray:
        """Transitions (cell, 6, 6) without the harvested area of primary land.

        For who cuts `harvest_area` (or the area of `harvest_mass`) himself and moves it to secondary land: with
        `transitions` as they are it would leave primary land twice.
        """
        out = self.transitions.copy()
        out[:, PRIMARY, SECONDARY] -= self.harvest_area[:, 0] + self.harvest_area[:, 1]
        # what repairs took from the transitions, or rounding, does not make them negative
        out[:, PRIMARY, SECONDARY] = np.where(out[:, PRIMARY, SECONDARY] > 1e-16, out[:, PRIMARY, SECONDARY], 0.0)
        return out

    def forest_of_natural(self) -> np.ndarray | None:
        """Forest share (cell,) of primary and secondary land together, 0 where there is none; None if not known."""
        if self.forest is None:
            return None
        natural = self.area[:, [PRIMARY, SECONDARY]]
        wood, total = (np.nan_to_num(self.forest) * natural).sum(axis=1), natural.sum(axis=1)
        return np.divide(wood, total, out=np.zeros(len(total)), where=total > 0.0)

    def take(self, cells) -> LandUseYear:
        """The same for some cells (slice or index)."""
        out = copy.copy(self)
        for name in ("area", "transitions", "harvest_area", "harvest_mass", "forest", "secondary_age"):
            value = getattr(self, name)
            setattr(out, name, None if value is None else value[cells].copy())
        out.management = {name: value[cells].copy() for name, value in self.management.items()}
        return out


class LandUse:
    """A series of years of land use for the cells of a domain; readers derive from it.

    Attributes
    ----------
    first_year, last_year : int
        Of the states; the last has no transitions.
    classes : tuple of LandClass
        Classes of the run (`class_list`); areas and transitions are by `KINDS`.
    held : bool
        Whether years outside of the series have the first or last state without transitions.
    notes : list of str
        What was assumed or filled when the series was opened.
    """

    first_year: int
    last_year: int
    n_cell: int

    def __init__(self, *, secondary="age_classes", held=False, inconsistent="repair", gross=True, tolerance=TOLERANCE):
        if inconsistent not in ("repair", "refuse"):
            raise ConcertoError(f"land_use.inconsistent is '{inconsistent}'", hint="choose repair or refuse")
        self.classes = class_list(secondary)
        self.held, self.inconsistent, self.gross, self.tolerance = held, inconsistent, gross, tolerance
        self.notes: list[str] = []
        self._cache: dict[int, LandUseYear] = {}
        self._repairs: dict[str, tuple[float, int, set]] = {}
        self._only: frozenset[str] | None = None  # management that is read; None: all of it

    def year(self, y: int) -> LandUseYear:
        """Land use of year y; the two last that were asked for stay in memory. Do not change the arrays.

        Raises
        ------
        ConcertoError
            The year is outside of the series and `held` is off, a file is missing or breaks the rules.
        """
        y = int(y)
        inside = min(max(y, self.first_year), self.last_year)
        if inside != y and not self.held:
            raise ConcertoError(
                f"land use has no year {y}: its states are those of {self.first_year} to {self.last_year}",
                hint="choose other years, or hold its ends with land_use.held: true or one year with fixed_year",
            )
        if inside != y:
            return held_year(self.year(inside), y)
        if y not in self._cache:
            made = self._make(y)
            while len(self._cache) > 1:
                self._cache.pop(next(iter(self._cache)))
            self._cache[y] = made
        return self._cache[y]

    def subset(self, cells) -> LandUse:
        """The same for a contiguous run of cells, slice(first, last), as those of a rank."""
        first, last, step = cells.indices(self.n_cell)
        if step != 1:
            raise ConcertoError("cells are taken as a contiguous run", hint="give slice(first, last)")
        cells = slice(first, max(first, last))
        out = copy.copy(self)
        out._cache, out._repairs, out.notes = {}, {}, list(self.notes)
        out.n_cell = cells.stop - cells.start
        out._take(cells)
        return out

    def outline(self, management=()) -> LandUse:
        """The same series for who looks through many years: no ages, and only some of the management (names).

        Files, notes and repairs are shared with this one.
        """
        out = copy.copy(self)
        out._cache, out._only = {}, frozenset(management)
        return out

    def repairs(self) -> list[str]:
        """What was repaired up to now, a sentence for each kind of repair."""
        return [
            f"land use: {REPAIRS[name]} in {len(years)} {'year' if len(years) == 1 else 'years'}, "
            f"most in {year}: {largest:.2g} {REPAIR_UNITS.get(name, 'of the land of a cell')}"
            for name, (largest, year, years) in self._repairs.items()
        ]

    def _cell_places(self):
        """Latitude and longitude of the cells for `check`; None where they are not known."""
        domain = getattr(self, "domain", None)
        return None if domain is None else (domain.latitude, domain.longitude)

    def close(self):
        """Close files."""

    def _make(self, y: int) -> LandUseYear:
        raise NotImplementedError

    def _take(self, cells: slice):
        raise NotImplementedError

    def _record(self, amounts, year):
        """Keep account of the amounts of repairs: dict of name to (cell,)."""
        for name, amount in amounts.items():
            largest = float(np.max(amount, initial=0.0))
            if largest > 1e-12:
                old = self._repairs.get(name, (0.0, year, set()))
                best = (largest, year) if largest > old[0] else old[:2]
                self._repairs[name] = (*best, old[2] | {year})


class Fixed(LandUse):
    """Land use held at one year of a series: its areas and management in every year, no transitions, no harvest."""

    def __init__(self, series: LandUse, fixed_year: int):
        super().__init__(held=True, inconsistent=series.inconsistent)
        self.series, self.fixed_year = series, int(fixed_year)
        self.classes, self.n_cell = series.classes, series.n_cell
        self.first_year = self.last_year = self.fixed_year
        self.notes = [*series.notes, f"land use: held at {fixed_year}, without transitions and harvest"]
        self._state: LandUseYear | None = None

    def year(self, y: int) -> LandUseYear:
        if self._state is None:
            self._state = held_year(self.series.year(self.fixed_year), self.fixed_year)
        return replace(self._state, year=int(y))

    def repairs(self):
        return self.series.repairs()

    def close(self):
        self.series.close()

    def outline(self, management=()):
        out = super().outline(management)
        out.series, out._state = self.series.outline(management), None
        return out

    def _take(self, cells):
        self.series = self.series.subset(cells)
        self._state = None


def held_year(state: LandUseYear, year: int) -> LandUseYear:
    """A year in which land use stays as ``state`` has it: no transitions, no harvest, the same management."""
    still = LandUseYear.still(year, state.area)
    return replace(still, management=dict(state.management), forest=state.forest, secondary_age=state.secondary_age)


# --- arithmetic of transitions --------------------------------------------------------------------------------------


def implied_area(area, transitions) -> np.ndarray:
    """Area after transitions (cell, k): area less what leaves plus what comes, not below zero by rounding."""
    after = area - transitions.sum(axis=2) + transitions.sum(axis=1)
    return np.where(after > 1e-15, after, np.where(after < -1e-12, after, 0.0))


def net_transitions(area_before, area_after) -> np.ndarray:
    """Least transitions between two states: each loser gives to all gainers in proportion to their gain.

    Parameters
    ----------
    area_before, area_after : array (cell, k)
        Fractions with equal sums in a cell.

    Returns
    -------
    array (cell, k, k)
        T(i, j) = loss of i times gain of j / sum of gains.

    Examples
    --------
    >>> net_transitions([[0.5, 0.25, 0.25]], [[0.0, 0.5, 0.5]])[0, 0].tolist()
    [0.0, 0.25, 0.25]
    """
    change = np.asarray(area_after, dtype=float) - np.asarray(area_before, dtype=float)
    lost, gained = np.maximum(-change, 0.0), np.maximum(change, 0.0)
    total = gained.sum(axis=1)
    share = gained / np.where(total > 0.0, total, 1.0)[:, None]
    return lost[:, :, None] * share[:, None, :]


def split_gross(transitions) -> tuple[np.ndarray, np.ndarray]:
    """Net part of gross transitions and the part that goes both ways (shifting cultivation).

    Parameters
    ----------
    transitions : array (cell, k, k)

    Returns
    -------
    net, swap : array (cell, k, k)
        swap(i, j) = min(T(i, j), T(j, i)), net = T - swap; both lead to the same areas.
    """
    swap = np.minimum(transitions, np.swapaxes(transitions, 1, 2))
    return transitions - swap, swap


# --- rules ----------------------------------------------------------------------------------------------------------

REPAIRS = {
    "sum": "areas were brought to a sum of 1",
    "negative": "small negative values were set to zero",
    "scaled": "transitions larger than their source were scaled down",
    "reduced": "transitions were lowered to fit the next state",
    "remainder": "net transitions were added to reach the next state",
    "primary": "primary land grew with the states",
    "mass": "small negative harvested masses were set to zero",
    "rate": "small negative rates of fertiliser were set to zero",
    "share": "small negative shares of management were set to zero",
}
REPAIR_UNITS = {"mass": "kg C m-2 of land", "rate": "kg N m-2 yr-1", "share": "as a share"}  # others: of the land


def repaired(year: LandUseYear, area_after=None, tolerance=TOLERANCE, *, closed=(PRIMARY,)):
    """A year that obeys the rules, and what was changed.

    Parameters
    ----------
    year : LandUseYear
        Not changed. Any number of kinds.
    area_after : array (cell, k), optional
        State at the start of the next year that the transitions should lead to.
    tolerance : float or array (cell,)
        Smaller departures from rule 3 and 4 are left alone.
    closed : tuple of columns
        Kinds that nothing may enter.

    Returns
    -------
    LandUseYear
        Cells that obey the rules keep every bit of their transitions.
    dict of str to array (cell,)
        Fraction of land that each repair of `REPAIRS` moved; mass: kg C m-2 of land.

    Notes
    -----
    In this order: negative values become zero; areas are divided by their sum; all that leaves a kind is scaled by
    area / sum; where the next state is missed by more than the tolerance, what leaves a closed kind is scaled to its
    loss, what enters a kind is scaled to no more than its next area, and the rest is made up with `net_transitions`.
    The result misses the next state by round-off.
    """
    n, k = year.area.shape
    tolerance = np.broadcast_to(np.asarray(tolerance, dtype=float), (n,))
    amounts = {name: np.zeros(n) for name in REPAIRS}
    area, moved = np.array(year.area, dtype=float), np.array(year.transitions, dtype=float)
    harvest_area, harvest_mass = np.maximum(year.harvest_area, 0.0), np.maximum(year.harvest_mass, 0.0)
    moved[:, range(k), range(k)] = 0.0
    amounts["negative"] = -(
        np.minimum(area, 0.0).sum(axis=1)
        + np.minimum(moved, 0.0).sum(axis=(1, 2))
        + np.minimum(year.harvest_area, 0.0).sum(axis=1)
    )
    amounts["mass"] = -np.minimum(year.harvest_mass, 0.0).sum(axis=1)
    area, moved = np.maximum(area, 0.0), np.maximum(moved, 0.0)
    total = area.sum(axis=1)
    if not (total > 0.0).all():
        raise ConcertoError(f"land use of {year.year}: a cell has no area at all", hint="correct the states")
    off = np.abs(total - 1.0)
    area = np.where((off > 0.0)[:, None], area / total[:, None], area)
    amounts["sum"] = np.where(off > 1e-12, off, 0.0)

    out = moved.sum(axis=2)
    more = out > area + 1e-15
    factor = np.where(more, area / np.where(more, out, 1.0), 1.0)
    over = np.where(more, out - area, 0.0).sum(axis=1)
    moved = moved * factor[:, :, None]
    amounts["scaled"] = over
    if area_after is not None:
        target = np.maximum(np.asarray(area_after, dtype=float), 0.0)
        target = target / target.sum(axis=1, keepdims=True)
        bad = np.flatnonzero(np.abs(implied_area(area, moved) - target).max(axis=1) > tolerance)
        if len(bad):
            moved[bad] = _fitted(area[bad], moved[bad], target[bad], closed, bad, amounts)
    return replace(year, area=area, transitions=moved, harvest_area=harvest_area, harvest_mass=harvest_mass), amounts


def _fitted(area, moved, target, closed, cells, amounts):
    """Transitions (cell, k, k) that lead from area to target, near those given; amounts are added to `cells`."""
    before = moved
    for i in closed:
        amounts["primary"][cells] += np.maximum(target[:, i] - area[:, i], 0.0)
        out, loss = moved[:, i].sum(axis=1), np.maximum(area[:, i] - target[:, i], 0.0)
        factor = np.where(out > loss, loss / np.where(out > 0.0, out, 1.0), 1.0)
        moved = moved.copy()
        moved[:, i] *= factor[:, None]
        moved[:, :, i] = 0.0
    # with inflow no larger than the next area, area + inflow - target, all that may leave, is no more than the area
    inflow = moved.sum(axis=1)
    factor = np.where(inflow > target, target / np.where(inflow > 0.0, inflow, 1.0), 1.0)
    moved = moved * factor[:, None, :]
    reached, wanted = implied_area(area, moved), target.copy()
    for i in closed:  # not by rounding either
        wanted[:, i] = np.where(
            target[:, i] <= area[:, i] + 1e-12, np.minimum(target[:, i], reached[:, i]), target[:, i]
        )
    rest = net_transitions(reached, wanted)
    rest = np.where(rest > 1e-16, rest, 0.0)
    amounts["reduced"][cells] += (before - moved).sum(axis=(1, 2))
    amounts["remainder"][cells] += rest.sum(axis=(1, 2))
    return moved + rest


def _first(bad, places):
    """The first of the cells of a mask, and words for where it is and how many there are."""
    cell, many, n = int(np.argmax(bad)), int(bad.sum()), len(bad)
    if places is None:
        return cell, f"in cell {cell}" + (f" and {many - 1} more of {n}" if many > 1 else f" of {n}")
    words = f"at {places[0][cell]:g} N, {places[1][cell]:g} E"
    return cell, words + (f" and in {many - 1} more of {n} cells" if many > 1 else "")


def check(
    year: LandUseYear,
    area_after=None,
    tolerance=TOLERANCE,
    *,
    where="land use",
    previous=None,
    following=None,
    closed=(PRIMARY,),
    only=("negative", "sum", "source", "closed", "next"),
    places=None,
) -> None:
    """Refuse a year that breaks the rules.

    Parameters
    ----------
    year : LandUseYear
    area_after : array (cell, k), optional
        State at the start of the next year.
    tolerance : float or array (cell,)
    where : str
        What the sentence starts with, such as the name of a file.
    previous, following : array (cell, k, k), optional
        Transitions labelled with the year before and after, to tell a shift of labels from other faults.
    closed : tuple of columns
        Kinds that nothing may enter.
    only : tuple of str
        Rules to look at: negative, sum, source, closed, next. A shift is always looked for.
    places : (latitude, longitude), optional
        Of the cells, degrees, for the sentence; without them it has the number of the cell.

    Raises
    ------
    ConcertoError
        Names the rule, the year, the first cell and the number of cells.
    """
    n, k = year.area.shape
    names = KINDS if k == len(KINDS) else tuple(str(i) for i in range(k))
    at = f"{where}, {year.year}"
    tolerance = np.broadcast_to(np.asarray(tolerance, dtype=float), (n,))
    if "negative" in only:
        for what, values, limit in (
            ("area", year.area, tolerance),
            ("transition", year.transitions.reshape(n, k * k), tolerance),
            ("harvested area", year.harvest_area, tolerance),
            ("harvested mass", year.harvest_mass, tolerance),
        ):
            bad = ~(values.min(axis=1) >= -limit)  # also NaN
            if bad.any():
                cell, words = _first(bad, places)
                raise ConcertoError(
                    f"{at}: a {what} is {np.nanmin(values[cell]):.4g}, less than zero or missing, {words}",
                    hint="fractions, transitions and harvests are zero or more; correct the file",
                )
    if "sum" in only:
        total = year.area.sum(axis=1)
        bad = np.abs(total - 1.0) > tolerance
        if bad.any():
            cell, words = _first(bad, places)
            raise ConcertoError(
                f"{at}: fractions of land sum to {total[cell]:.7g}, not 1, {words}",
                hint="correct the states, or allow repairs with land_use.inconsistent: repair",
            )
    if "source" in only:
        over = year.transitions.sum(axis=2) - year.area
        bad = over.max(axis=1) > tolerance
        if bad.any():
            cell, words = _first(bad, places)
            i = int(np.argmax(over[cell]))
            raise ConcertoError(
                f"{at}: transitions out of {names[i]} are {year.transitions[cell, i].sum():.4g}, more than its area "
                f"of {year.area[cell, i]:.4g}, {words}",
                hint="correct the transitions, or let them be scaled with land_use.inconsistent: repair",
            )
    if area_after is None:
        return
    for i in closed if "closed" in only else ():
        grown = area_after[:, i] - year.area[:, i]
        bad = grown > tolerance
        if bad.any():
            cell, words = _first(bad, places)
            raise ConcertoError(
                f"{at}: {names[i]} land grows from {year.area[cell, i]:.6g} to {area_after[cell, i]:.6g} of the land, "
                f"{words}",
                hint="land once used is secondary; correct the states, or the map of states",
            )
    miss = np.abs(implied_area(year.area, year.transitions) - area_after)
    bad = miss.max(axis=1) > tolerance
    if not bad.any():
        return
    for other, words in ((previous, "before"), (following, "after")):
        if other is None:
            continue
        still = np.abs(implied_area(year.area, other) - area_after)
        # a shift explains (nearly) all of it; anything else leaves most of the difference
        if miss.sum() > 1e-4 and still.sum() < 0.1 * miss.sum():
            late = "early" if words == "before" else "late"
            raise ConcertoError(
                f"{at}: transitions seem shifted by one year: those labelled with the year {words} lead from this "
                f"state to the next, so they stand one year too {late}",
                hint="a state is that of the start of its year, and transitions of a year lead to the next state: "
                "correct the years of one of the files",
            )
    if "next" in only:
        cell, words = _first(bad, places)
        i = int(np.argmax(miss[cell]))
        raise ConcertoError(
            f"{at}: the transitions lead to {implied_area(year.area, year.transitions)[cell, i]:.6g} of {names[i]}, "
            f"the state of {year.year + 1} has {area_after[cell, i]:.6g}, {words}",
            hint="use states and transitions of one release, or allow repairs with land_use.inconsistent: repair",
        )


def add_harvest_to_transitions(transitions, harvest_area) -> None:
    """Add the harvested primary area to the transitions from primary to secondary, in place."""
    transitions[:, PRIMARY, SECONDARY] += harvest_area[:, 0] + harvest_area[:, 1]
