"""Land use made up by a rule: deforestation, afforestation, abandonment, cutting, shifting cultivation."""

from __future__ import annotations

import numpy as np

from concerto.domain.maps import entry
from concerto.errors import ConcertoError
from concerto.landuse.classes import KINDS, PRIMARY, SECONDARY, kind_number
from concerto.landuse.history import LandUseYear
from concerto.landuse.readers import Followed, initial_area, options

DEFAULTS = {
    "deforest": ("primary", "pasture"),
    "afforest": ("pasture", "secondary"),
    "abandon": ("crop", "secondary"),
    "cut_and_regrow": ("primary", "secondary"),
    "shifting": ("secondary", "crop"),
}


class Idealised(Followed):
    """A rule of the section `land_use.idealised`: kind, years, fraction, from, to, every.

    Parameters
    ----------
    config : section `land_use`
    domain : Domain

    Notes
    -----
    deforest, afforest, abandon : over `years: [a, b]` the same fraction of land every year goes from one kind to
        another, `fraction` in all; the state of a is the first, that of b has all of it (with a = b at once, on
        1 January of a). Afterwards land use is held, as in deforest-globe of LUMIP (Lawrence et al. 2016).
    cut_and_regrow : `fraction` of land is cut on 1 January of each year of the list `years`, or every `every` years
        from the first to the second, and grows again as secondary land. Primary land is cut first.
    shifting : from the state of a to that of b, `fraction` of land goes each year both ways between two kinds.

    `initial` gives the first state; else all land is of the kind that `from` names (shifting: half and half).
    """

    def __init__(self, config, domain, folder="."):
        super().__init__(**options(config, held=True))
        section = entry(config, "idealised")
        if section is None:
            raise ConcertoError(
                "land_use.idealised is missing", hint="idealised: {kind: deforest, years: [1900, 1950]}"
            )
        self.kind = entry(section, "kind", "deforest")
        if self.kind not in DEFAULTS:
            raise ConcertoError(f"land_use.idealised.kind is '{self.kind}'", hint=f"choose {', '.join(DEFAULTS)}")
        years = entry(section, "years")
        many = self.kind == "cut_and_regrow"
        if not isinstance(years, (list, tuple)) or not years or any(not isinstance(y, int) for y in years):
            raise ConcertoError("land_use.idealised.years is no list of years", hint="write years: [1900, 1950]")
        if list(years) != sorted(years) or (not many and len(years) != 2):
            raise ConcertoError(f"land_use.idealised.years is {list(years)}", hint="write years: [first, last]")
        self.fraction = entry(section, "fraction", 1.0)
        if not (isinstance(self.fraction, (int, float)) and 0.0 <= self.fraction <= 1.0):
            raise ConcertoError(
                f"land_use.idealised.fraction is {self.fraction}", hint="give a fraction of land from 0 to 1"
            )
        a, b = DEFAULTS[self.kind]
        where = "land_use.idealised"
        # 'from' is a word of Python: the model of the configuration has the names source and target
        self.source = kind_number(entry(section, "from", entry(section, "source", a)), f"{where}.from")
        self.target = kind_number(entry(section, "to", entry(section, "target", b)), f"{where}.to")
        self.n_cell = domain.n_cell
        if self.source == self.target and not many:
            raise ConcertoError(f"{where}: from and to are both {KINDS[self.source]}", hint="name two kinds of land")
        if self.target == PRIMARY or (self.kind == "shifting" and self.source == PRIMARY):
            raise ConcertoError(f"{where}: nothing can become primary land", hint="use secondary")
        if many and self.source not in (PRIMARY, SECONDARY):
            raise ConcertoError(f"{where}: {KINDS[self.source]} is not cut", hint="from: primary or secondary")
        self._schedule(years, entry(section, "every"))
        default = {KINDS[self.source]: 1.0}
        if self.kind == "shifting":
            default = {KINDS[self.source]: 0.5, KINDS[self.target]: 0.5}
        self.first = initial_area(config, domain.n_cell, default)
        self._check_area()
        self._begin()
        share = f"{self.fraction:g} of the land" + {
            "shifting": " a year, both ways",
            "cut_and_regrow": " each time",
        }.get(self.kind, " in all")
        self.notes.append(
            f"land use: {self.kind}, {KINDS[self.source]} to {KINDS[self.target]}, {share}, {years[0]} to {years[-1]}"
        )

    def _schedule(self, years, every):
        """Amount by label of the year: the label y acts on 1 January of y + 1."""
        a, b = years[0], years[-1]
        if self.kind == "cut_and_regrow":
            if every is not None:
                if not isinstance(every, int) or every < 1 or len(years) != 2:
                    raise ConcertoError(
                        f"land_use.idealised.every is {every}", hint="give whole years, with years: [first, last]"
                    )
                years = range(a, b + 1, every)
            self.amount = {y - 1: self.fraction for y in years}
        elif self.kind == "shifting":
            self.amount = {y: self.fraction for y in range(a, b)}
        elif a == b:
            self.amount = {a - 1: self.fraction}
        else:
            self.amount = {y: self.fraction / (b - a) for y in range(a, b)}
        self.first_year = min(self.amount, default=a)
        self.last_year = max(self.amount, default=a - 1) + 1

    def idle(self, first: int, last: int) -> list[str]:
        """A note where no cut falls on a 1 January on which the land use goes on, from ``first`` to ``last``."""
        if self.kind != "cut_and_regrow" or any(first <= y < last for y in self.amount):
            return []
        cuts = [y + 1 for y in self.amount]
        span = f"{cuts[0]}" if len(cuts) == 1 else f"{cuts[0]} to {cuts[-1]}"
        return [
            f"land use: no cut falls into the years of the run after its start, {first} to {last} (cuts: {span}); the "
            "land is as after the cuts before"
        ]

    def _check_area(self):
        have = self.first[:, self.source].min(initial=1.0)
        if self.kind == "cut_and_regrow":
            have = self.first[:, [PRIMARY, SECONDARY]].sum(axis=1).min(initial=1.0)
        if self.kind == "shifting":
            have = min(have, self.first[:, self.target].min(initial=1.0))
        if self.fraction > have + 1e-9:
            raise ConcertoError(
                f"land_use.idealised: {self.fraction:g} of the land is to change, and "
                f"{KINDS[self.source]} has {have:g}",
                hint="lower the fraction or give the first state in land_use.initial",
            )

    def _start(self):
        return self.first.copy()

    def _take(self, cells):
        super()._take(cells)
        self.first = self.first[cells]

    def _step(self, y, area):
        year = LandUseYear.still(y, area)
        year.has_transitions = True
        amount = self.amount.get(y, 0.0)
        i, j = self.source, self.target
        if self.kind == "cut_and_regrow":
            old = np.minimum(area[:, PRIMARY], amount)
            year.transitions[:, PRIMARY, SECONDARY] = old
            year.harvest_area[:, 0] = old
            year.harvest_area[:, 2] = np.minimum(area[:, SECONDARY], amount - old)
        else:
            moved = np.minimum(amount, area[:, i])
            if y == self.last_year - 1 and self.kind != "shifting":  # to the last bit: nothing is left by rounding
                moved = np.where(area[:, i] - amount < 1e-12, area[:, i], amount)
            year.transitions[:, i, j] = moved
            if self.kind == "shifting":
                year.transitions[:, j, i] = np.minimum(amount, area[:, j])
        return year
