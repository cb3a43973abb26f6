"""Managed forests: which area of secondary forest is cut at the end of its rotation, and which is thinned.

The wood itself is taken by the operator of wood harvest (:func:`concerto.landuse.transitions.apply_transitions`).
Only trees are cut. Of the forest of a cell the share `share` is managed; as tiles do not tell which, the oldest stands
are taken to be those that nobody manages.

Rule: a managed stand is cut at the age `rotation`, the oldest first, in a year at most managed area / rotation. So an
old forest is brought into a regular one over a rotation and not felled at once, and a regular forest, with as much area
of each age below the rotation, yields managed area / rotation each year.

Secondary land ages in the mean field, the share 1 / D of a class of D years leaves it. Classes from the rotation R on
are ripe as a whole. In the class (from, to) with R in it the ripe share h of a year is such that the mean time to the
harvest is R. With r = R - from years to wait in it, and area cut in the year in which it comes in if it is in the
share h or has left the class,

    (1 - h) / (1 / D + (1 - 1 / D) h) = r      thus      h = (1 - r / D) / (1 + r - r / D).

In the first class area waits a year at least: 1 / (1 / D + (1 - 1 / D) h) = R.

Where classes are cohorts with a mean age of their own (`Layout.age`), a cohort is ripe from the age R - w / 2 on, as
its stands are not of one age. w: years in which it is cut at the area of a year, at most the breadth of its class.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields

import numpy as np

from concerto.errors import ConcertoError
from concerto.landuse.classes import OPEN_ENDED, PRIMARY

WHERE = "land_use.management.forestry"


def _setting(default, low, high, text):
    return field(default=default, metadata={"limits": (low, high), "text": text})


@dataclass(frozen=True)
class Forestry:
    """How forests are managed; names, defaults, limits and meaning here are those of the configuration.

    Attributes
    ----------
    rotation : yr, age at which a stand is cut; at least 1
    share : share of the forest of a cell that is managed, 0 to 1
    thinning : share of the wood of a stand that a thinning takes, 0 to 1; 0: no thinning
    thinning_interval : yr from one thinning of a stand to the next, at least 1: in a year 1 / interval of the managed
        area is thinned
    thinning_age : yr; classes of age that begin at it or later (cohorts of that age) are thinned
    planted_carbon : kg C m-2 of saplings on area that was cut, from the atmosphere, 0 to 1
    primary : whether primary forest is managed too; what is cut of it becomes secondary land

    Raises
    ------
    ConcertoError
        A value is no number or out of its limits.

    Examples
    --------
    >>> Forestry(rotation=60.0, thinning=0.2).thinned
    0.02
    """

    rotation: float = _setting(80.0, 1.0, np.inf, "age at which a managed stand is cut, yr")
    share: float = _setting(1.0, 0.0, 1.0, "share of secondary forest that is managed")
    thinning: float = _setting(0.0, 0.0, 1.0, "share of the wood of a stand that a thinning takes")
    thinning_interval: float = _setting(10.0, 1.0, np.inf, "years from one thinning of a stand to the next")
    thinning_age: float = _setting(20.0, 0.0, np.inf, "age from which stands are thinned, yr")
    planted_carbon: float = _setting(0.05, 0.0, 1.0, "carbon of the young trees that are planted after a cut, kg m-2")
    primary: bool = False

    def __post_init__(self):
        for name, setting in settings().items():
            (low, high), value = setting.metadata["limits"], getattr(self, name)
            number = isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
            if not (number and low <= value <= high and np.isfinite(value)):
                words = f"at least {low:g}" if high == np.inf else f"{low:g} to {high:g}"
                raise ConcertoError(
                    f"{WHERE}.{name} is {value!r}", hint=f"give a number, {words}: {setting.metadata['text']}"
                )
        if not isinstance(self.primary, (bool, np.bool_)):
            raise ConcertoError(f"{WHERE}.primary is {self.primary!r}", hint="it is true or false")

    @property
    def thinned(self) -> float:
        """Share of the wood of managed stands old enough that thinning takes in a year."""
        return self.thinning / self.thinning_interval


def settings() -> dict:
    """Settings that are numbers: name -> field of :class:`Forestry` with its default, ``limits`` and ``text``."""
    return {f.name: f for f in fields(Forestry) if f.metadata}


def ripe(classes, rotation) -> np.ndarray:
    """Share (class,) of a class of land that is cut in a year at a rotation, were there no limit of the year.

    Parameters
    ----------
    classes : classes of land with ``kind`` and ``age`` (from, to) or None
    rotation : yr

    Returns
    -------
    array (class,)
        0 for land that is neither primary nor secondary; primary forest and secondary land without ages are ripe.

    Examples
    --------
    >>> from concerto.landuse.classes import class_list
    >>> ripe(class_list(), 70.0)[[4, 5, 6]].round(4).tolist()
    [0.0, 0.0476, 1.0]
    """
    out = np.zeros(len(classes))
    for k, c in enumerate(classes):
        if c.kind not in ("primary", "secondary"):
            continue
        low, high = (0.0, np.inf) if c.age is None else c.age
        wait, leaves = rotation - low, 1.0 / (high - low)
        if c.age is None or wait <= 0.0:
            out[k] = 1.0
        elif wait * leaves < 1.0:
            if low > 0.0:
                out[k] = (1.0 - wait * leaves) / (1.0 + wait - wait * leaves)
            else:
                out[k] = (1.0 / max(rotation, 1.0) - leaves) / (1.0 - leaves) if leaves < 1.0 else 1.0
    return out


def shares(layout, settings, tree, harvested, most=0.95) -> tuple[np.ndarray, np.ndarray]:
    """Which share of the area of tiles is cut at the end of a rotation in a year, and which is thinned.

    Parameters
    ----------
    layout : `concerto.landuse.transitions.Layout`
    settings : Forestry
    tree : (type,), True for trees
    harvested : (cell, class, type), share of the area that other harvest takes first
    most : largest share that all harvests of a year take

    Returns
    -------
    cut : (cell, class, type), share of the area, beside ``harvested``
    thinned : (cell, class, type), share of the plants taken from the area that stays

    Examples
    --------
    >>> cut, thinned = shares(layout, Forestry(rotation=60.0), fates().tree, harvested)  # doctest: +SKIP
    """
    area = layout._of_tiles(layout.area) * np.asarray(tree)
    cut, thinned = np.zeros_like(area), np.zeros_like(area)
    places = [*([layout.first[PRIMARY]] if settings.primary else []), *layout.secondary[::-1]]  # oldest first
    target = (layout.table[:, layout.secondary[0]] >= 0).any(axis=1)
    area *= target[:, None, None]
    whole = area.sum(axis=2)
    left = (area * (1.0 - harvested)).sum(axis=2)
    forest = sum(whole[:, k] for k in places)
    if settings.share <= 0.0 or not forest.any():
        return cut, thinned
    rates = ripe(layout.classes, settings.rotation)
    nobody = (1.0 - settings.share) * forest
    yearly = settings.share * forest / settings.rotation
    may = yearly.copy()
    for k in places:
        kept = np.minimum(nobody, left[:, k])
        nobody = nobody - kept
        managed = left[:, k] - kept
        rate, old_enough = rates[k], layout.classes[k].age is None or layout.classes[k].age[0] >= settings.thinning_age
        if layout.age is not None and k in layout.secondary:
            low, high = layout.classes[k].age
            age = layout.age[:, k - layout.secondary[0]]
            lasts = np.divide(managed, yearly, out=np.zeros_like(managed), where=yearly > 0.0)
            rate = age >= settings.rotation - 0.5 * np.minimum(lasts, min(high - low, OPEN_ENDED))
            old_enough = age >= settings.thinning_age
        room = np.minimum(rate * managed, np.maximum(left[:, k] - (1.0 - most) * whole[:, k], 0.0))
        taken = np.minimum(may, room)
        may = may - taken
        some = whole[:, k] > 0.0
        share = np.where(some, taken / np.where(some, whole[:, k], 1.0), 0.0)
        cut[:, k] = np.where(area[:, k] > 0.0, share[:, None], 0.0)
        if settings.thinned > 0.0 and np.any(old_enough):
            stays = left[:, k] - taken
            of_those = np.where(stays > 0.0, (managed - taken) / np.where(stays > 0.0, stays, 1.0), 0.0)
            gone = np.where(some, 1.0 - stays / np.where(some, whole[:, k], 1.0), 0.0)
            limit = np.where(gone < most, (most - gone) / np.maximum(1.0 - gone, 1e-300), 0.0)
            thins = np.minimum(settings.thinned * of_those * old_enough, limit)
            thinned[:, k] = np.where(area[:, k] > 0.0, thins[:, None], 0.0)
    return cut, thinned
