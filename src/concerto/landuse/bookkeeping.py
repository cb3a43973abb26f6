"""Bookkeeping of land-use emissions: what each transition leaves behind, followed for centuries.

Land is kept in two parts. *Densities* (carbon per area of a biome in equilibrium with its climate) may change with
CO2 and climate; the *anomalies* that land use makes on top of them (cleared vegetation, slash, soil that is not yet
that of its new biome, products) decay back to zero. ELUC is what the anomalies give to the atmosphere, so it is defined
also where vegetation grows back. Equations: OSCAR v3 (Gasser and Ciais 2013; Gasser et al. 2020). The BLUE-like scheme
(Hansis et al. 2015) is the same operator with rates that belong to the type of transition (:func:`blue_table`).

The system is linear and its coefficients are constant within a year, so a year is integrated exactly: with closed
propagators where densities are constant in the year, by a power series (summed to round-off, with sub-steps so that the
fastest rate times the sub-step is at most one) where they move. There is no step to converge.

Units: anything consistent, e.g. kg C m-2 with areas as fractions of a cell's land (the run), or Pg C Mha-1 with Mha
(OSCAR). Axes: type of transition T, region or cell R, biome B, product pool W. ELUC is positive to the atmosphere.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from concerto.errors import ConcertoError
from concerto.landuse.classes import KINDS
from concerto.landuse.products import decay

NATURAL = (True, True, False, False, False, False)
#: What the flux of a transition is made of; `flux` of a year has these in its first axis.
PROCESSES = ("burning", "slash", "regrowth", "soil", "products")
#: Types of transition with `types="groups"`.
TYPES = ("clearing", "abandonment", "rotation", "natural", "shifting", "harvest")
_BOXED = {"slash": 0, "regrowth": 1, "soil": 2}  # processes that pass through vegetation, litter and soil


@dataclass(frozen=True)
class CarbonTable:
    """Densities and rates of the biomes.

    Every array ends in the biome axis (B) and may have a region axis before it, (R, B); rates of decay may have a
    type axis before that, (T, R or 1, B): then they belong to the transition that made the anomaly.

    Parameters
    ----------
    biomes, natural : tuple
        Names, and which of them are natural land.
    vegetation, litter, soil : array_like
        Equilibrium densities, carbon per area.
    to_atmosphere, to_litter, to_soil : array_like
        Loss rates of vegetation to fire, harvest and grazing together; to litter; to soil; yr-1.
    litter_respiration, litter_to_soil, soil_respiration : array_like
        yr-1.
    above_ground : array_like
        Share of cleared vegetation that may be burned or taken.
    product_share : array_like, (..., B, W)
        Shares of it (and of harvested wood) that enter the product pools.
    product_time : array_like, (W,)
        E-folding times of the pools, yr.
    burned : array_like
        Share of it that burns at clearing.
    slash_to_litter : array_like, optional
        Share of slash that is litter, the rest soil; default to_litter / (to_litter + to_soil).
    shift_share : array_like
        Share of full biomass that fallow of shifting cultivation has when it is cut (:func:`shift_share`).
    warming, warming2, wetting : array_like
        Respiration times exp(warming dT + warming2 dT^2) (1 + wetting dP), K-1, K-2, per unit of dP.
    notes : tuple of str
        Where the numbers are from.
    """

    biomes: tuple
    natural: tuple
    vegetation: np.ndarray
    litter: np.ndarray
    soil: np.ndarray
    to_atmosphere: np.ndarray
    to_litter: np.ndarray
    to_soil: np.ndarray
    litter_respiration: np.ndarray
    litter_to_soil: np.ndarray
    soil_respiration: np.ndarray
    above_ground: np.ndarray
    product_share: np.ndarray
    product_time: np.ndarray
    burned: np.ndarray = 0.0
    slash_to_litter: np.ndarray | None = None
    shift_share: np.ndarray = 1.0
    warming: np.ndarray = 0.0
    warming2: np.ndarray = 0.0
    wetting: np.ndarray = 0.0
    notes: tuple = ()

    def __post_init__(self):
        n = len(self.biomes)
        if self.slash_to_litter is None:
            fall = np.asarray(self.to_litter, float) + np.asarray(self.to_soil, float)
            share = np.where(fall > 0.0, np.asarray(self.to_litter, float) / np.where(fall > 0.0, fall, 1.0), 1.0)
            object.__setattr__(self, "slash_to_litter", share)
        for name in _DENSITIES + _RATES + _SHARES + _FACTORS:
            values = np.asarray(getattr(self, name), dtype=float)
            if values.ndim == 0:
                values = np.full(n, float(values))
            if values.shape[-1] != n or not np.all(np.isfinite(values)):
                raise ConcertoError(
                    f"Bookkeeping: {name} has shape {values.shape} or values that are no numbers, for {n} biomes.",
                    hint="Give one finite number for each biome, in the last axis.",
                )
            if name not in _FACTORS and np.any(values < 0.0):
                raise ConcertoError(f"Bookkeeping: {name} has negative values.", hint="Densities and rates are >= 0.")
            if name in _SHARES and np.any(values > 1.0):
                raise ConcertoError(f"Bookkeeping: {name} has shares above 1.", hint="Shares lie in 0 to 1.")
            object.__setattr__(self, name, values)
        times = np.asarray(self.product_time, dtype=float)
        share = np.asarray(self.product_share, dtype=float)
        if share.shape[-2:] != (n, len(times)) or np.any(share < 0.0) or not np.all(times > 0.0):
            raise ConcertoError(
                f"Bookkeeping: product_share of {share.shape}, not (..., {n}, {len(times)}), or values below 0.",
                hint="Give one share for each biome and product pool.",
            )
        if np.any(share.sum(axis=-1) + self.burned > 1.0 + 1e-12):
            raise ConcertoError("Bookkeeping: shares of products and burning exceed 1.", hint="Slash is the rest of 1.")
        object.__setattr__(self, "product_share", share)
        object.__setattr__(self, "product_time", times)

    @property
    def slash(self):
        """Share of cleared vegetation that stays on the land, (..., B)."""
        return self.above_ground * (1.0 - self.product_share.sum(axis=-1) - self.burned) + (1.0 - self.above_ground)


_DENSITIES = ("vegetation", "litter", "soil")
_RATES = ("to_atmosphere", "to_litter", "to_soil", "litter_respiration", "litter_to_soil", "soil_respiration")
_SHARES = ("above_ground", "burned", "slash_to_litter", "shift_share")
_FACTORS = ("warming", "warming2", "wetting")


@dataclass
class BookkeepingYear:
    """What one year of bookkeeping gives; fluxes are totals of the year, positive to the atmosphere.

    Attributes
    ----------
    flux : (process, T, R)
        Net flux by `PROCESSES` and `types`; everything below is a sum of it.
    source : (process, T, R)
        Positive part of `flux`, biome by biome and box by box before summing; `flux - source` is the sink.
    gross_source, gross_sink : (R,)
        Positive and negative parts in all: source + sink = eluc.
    stock : dict of (R,)
        Anomalies at the end of the year: vegetation, litter, soil, products.
    stock_change : (R,)
        Change of their sum in this year.
    potential_change : (R,)
        Change of equilibrium carbon through the change of area, at the densities of the moment:
        eluc + stock_change + potential_change = 0.
    area_change : (R, B)
        Area of each biome at the end of the year less that at the start of the bookkeeping.
    lasc, land_sink : (R,) or None
        Loss of additional sink capacity (negative when sinks are lost) and sink of the whole land, where a perturbation
        of NBP is known.
    nbp_change : (R, B) or None
        That perturbation per area, total of the year.
    """

    types: tuple
    flux: np.ndarray
    source: np.ndarray
    gross_source: np.ndarray
    gross_sink: np.ndarray
    stock: dict
    stock_change: np.ndarray
    potential_change: np.ndarray
    area_change: np.ndarray
    lasc: np.ndarray | None = None
    land_sink: np.ndarray | None = None
    nbp_change: np.ndarray | None = None

    @property
    def eluc(self):
        """Land-use emission, (R,)."""
        return self.flux.sum(axis=(0, 1))

    def by_type(self):
        """ELUC by type of transition: dict of (R,); their sum is `eluc`."""
        return {name: self.flux[:, t].sum(axis=0) for t, name in enumerate(self.types)}

    def by_process(self):
        """ELUC by process: dict of (R,); their sum is `eluc`. Harvest with its regrowth is a process of its own."""
        harvest = self.types.index("harvest")
        other = [t for t in range(len(self.types)) if t != harvest]
        part = {name: self.flux[p, other].sum(axis=0) for p, name in enumerate(PROCESSES)}
        return {
            "deforestation": part["burning"] + part["slash"],
            "regrowth": part["regrowth"],
            "soil_legacy": part["soil"],
            "products": part["products"],
            "wood_harvest": self.flux[:, harvest].sum(axis=0),
        }


def shift_share(npp, vegetation, fallow=15.0):
    """Share of full biomass that fallow reaches, 1 - exp(-fallow NPP / vegetation) (OSCAR; `fallow` in yr)."""
    npp, vegetation = np.asarray(npp, float), np.asarray(vegetation, float)
    safe = np.where(vegetation > 0.0, vegetation, 1.0)
    return np.where(vegetation > 0.0, -np.expm1(-fallow * np.maximum(npp, 0.0) / safe), 1.0)


def clearing_matrix(rule=4):
    """Which transitions between the six `KINDS` clear vegetation, (donor, receiver) of 0 and 1.

    `rule` 1 to 9 is that of Ma et al. (2020) as coded in FATES; towns always clear, abandonment kills crops only.
    Primary to secondary land (by harvest) does not clear: the wood taken is counted as harvest.
    """
    from concerto.landuse.transitions import clears

    clear = clears(rule).astype(float)
    clear[KINDS.index("crop"), :] = 1.0
    np.fill_diagonal(clear, 0.0)
    return clear


def wood_shares(fuelwood=0.5, efficiency=0.7):
    """Shares of harvested wood that enter the product pools, (..., 1, 3), for `harvest_share`.

    `efficiency` of the wood cut is taken away, the rest is slash (LUH2 counts it in the mass); fuelwood goes to the
    1-year pool, half of the rest each to the 10- and 100-year pools (pulp, sawn wood). `fuelwood` may be (cell,).
    """
    fuelwood = np.clip(np.asarray(fuelwood, float), 0.0, 1.0)
    other = 0.5 * (1.0 - fuelwood)
    return efficiency * np.stack([fuelwood, other, other], axis=-1)[..., None, :]


def split_shifting(transitions, natural=NATURAL):
    """Split transitions into lasting ones and shifting cultivation, S_ij = min(T_ij, T_ji) of natural-managed pairs.

    Returns
    -------
    lasting, shifting : (R, B, B)
    """
    transitions = np.asarray(transitions, float)
    natural = np.asarray(natural, bool)
    pair = natural[:, None] != natural[None, :]
    shifting = np.where(pair, np.minimum(transitions, np.swapaxes(transitions, 1, 2)), 0.0)
    return transitions - shifting, shifting


def _terms(largest):
    """Terms of the power series for a product of rate and step: until they are below round-off."""
    size, k = 1.0, 0
    while size > 1e-18 or k < 2:
        k += 1
        size *= 2.0 * largest / k
    return k + 1


class Bookkeeping:
    """Anomalies that land use has made in R regions or cells, advanced year by year.

    Parameters
    ----------
    table : CarbonTable
    area : (R, B)
        Area of each biome at the start (fractions of land in the run).
    types : {"groups", "pairs"}
        Types of transition to keep apart: `TYPES`, or every pair of biomes ("forest>crop"), "shifting" and "harvest".
    clear : (B, B), optional
        Share of a transition i to j that clears vegetation; default everything (OSCAR). See :func:`clearing_matrix`.
    harvest_share : (..., B, W), optional
        Shares of harvested wood that enter the product pools; default `table.product_share`.

    Examples
    --------
    >>> books = Bookkeeping(blue_table(["tropical_evergreen_forest"]), np.array([[1.0, 0, 0, 0, 0, 0]]))
    >>> moved = np.zeros((1, 6, 6)); moved[0, 0, 4] = 0.1    # a tenth of the land: primary to crop
    >>> first = books.year(moved, timing="pulse")
    >>> bool(first.eluc[0] > 0.0)
    True
    """

    def __init__(self, table, area, types="groups", clear=None, harvest_share=None):
        self.table = table
        self.area = np.atleast_2d(np.asarray(area, dtype=float)).copy()
        n, n_biome = self.area.shape
        if n_biome != len(table.biomes):
            raise ConcertoError(
                f"Bookkeeping: area has {n_biome} biomes, the table {len(table.biomes)}.", hint="Give (region, biome)."
            )
        self.types, self._pair = _types(table, types)
        self._clear = np.ones((n_biome, n_biome)) if clear is None else np.asarray(clear, dtype=float)
        share = table.product_share if harvest_share is None else np.asarray(harvest_share, dtype=float)
        if np.any(share < 0.0) or np.any(share.sum(axis=-1) > 1.0 + 1e-12):
            raise ConcertoError("Bookkeeping: shares of harvested wood exceed 1.", hint="Slash is the rest of 1.")
        self.harvest_share = share
        n_type, n_pool = len(self.types), len(table.product_time)
        for name in _RATES:
            rate = getattr(table, name)
            if rate.ndim > 2 and rate.shape[0] != n_type:
                raise ConcertoError(
                    f"Bookkeeping: {name} has {rate.shape[0]} types, the bookkeeping {n_type}.",
                    hint=f"Its types are {', '.join(self.types)}.",
                )
        self.area_start = self.area.copy()
        # Anomalies: (slash, regrowth, soil) x (vegetation, litter, soil) x T x R x B, and products T x R x W.
        self.boxes = np.zeros((3, 3, n_type, n, n_biome))
        self.products = np.zeros((n_type, n, n_pool))
        self.perturbation = np.zeros((3, n, n_biome))  # of the densities, by CO2 and climate
        self._cached = {}

    def state(self):
        """Arrays that :meth:`restore` needs to go on to the same bits."""
        names = ("area", "area_start", "boxes", "products", "perturbation")
        return {name: getattr(self, name).copy() for name in names}

    def restore(self, state):
        """Take over what :meth:`state` gave."""
        for name, values in self.state().items():
            if name not in state or np.shape(state[name]) != values.shape:
                raise ConcertoError(
                    f"Bookkeeping: {name} is missing in the state or of another shape than {values.shape}.",
                    hint="Go on with the same regions, biomes, types and product pools.",
                )
            setattr(self, name, np.array(state[name], dtype=float))

    def year(
        self,
        transitions=None,
        shifting=None,
        harvest=None,
        d_npp=None,
        d_temperature=0.0,
        d_precipitation=0.0,
        densities=None,
        d_nbp=None,
        timing="spread",
    ):
        """Advance by one year.

        Parameters
        ----------
        transitions : (R, B, B), optional
            Area that goes from i to j in this year.
        shifting : (R, B, B), optional
            Area of shifting cultivation (:func:`split_shifting`); what a biome gives and gets must be equal.
        harvest : (R, B), optional
            Wood taken, carbon of the region in this year.
        d_npp : (R, B), optional
            Change of NPP per area against the start: the densities then move with it and with temperature (OSCAR).
        d_temperature, d_precipitation : array_like, broadcast to (R, B)
            Change of this year against the start, for respiration.
        densities : sequence of three (R, B), optional
            Vegetation, litter and soil of this year instead of the table's: transient densities of the run.
        d_nbp : (R, B), optional
            Change of NBP per area from elsewhere (the run): gives LASC and the land sink.
        timing : {"spread", "pulse"}
            Evenly through the year, or on 1 January before everything else (the run).

        Returns
        -------
        BookkeepingYear
        """
        table, (n, n_biome) = self.table, self.area.shape
        if timing not in ("spread", "pulse"):
            raise ConcertoError(f"Bookkeeping: unknown timing {timing!r}.", hint="Use spread or pulse.")
        moved = self._input("transitions", transitions, (n, n_biome, n_biome))
        shifted = self._input("shifting", shifting, (n, n_biome, n_biome))
        taken = self._input("harvest", harvest, (n, n_biome))
        unbalanced = np.abs(shifted.sum(axis=1) - shifted.sum(axis=2))
        if np.any(unbalanced > 1e-9 * max(1.0, float(shifted.max(initial=0.0)))):
            raise ConcertoError(
                f"Bookkeeping: shifting changes areas in {int(np.sum(unbalanced.max(axis=1) > 0))} regions.",
                hint="Give the reciprocal part of the transitions (split_shifting), the rest as transitions.",
            )
        if densities is not None and d_npp is not None:
            raise ConcertoError("Bookkeeping: both densities and d_npp are given.", hint="Give one of them.")
        net = moved.sum(axis=1) - moved.sum(axis=2)
        excess = moved.sum(axis=2) - self.area
        bad = np.any(excess > 1e-6 * self.area.sum(axis=1, keepdims=True), axis=1)
        if np.any(bad):
            raise ConcertoError(
                f"Bookkeeping: more goes than there is in {int(bad.sum())} regions, first {int(bad.argmax())}.",
                hint="Repair the land-use history (area at the start and transitions must fit).",
            )

        moves = np.any(self.perturbation != 0.0) or d_npp is not None
        climate = np.any(np.asarray(d_temperature) != 0.0) or np.any(np.asarray(d_precipitation) != 0.0)
        moves = densities is None and (bool(moves) or bool(climate))
        warmth = np.exp(table.warming * d_temperature + table.warming2 * np.asarray(d_temperature, float) ** 2)
        response = np.broadcast_to(warmth * (1.0 + table.wetting * d_precipitation), (n, n_biome))
        rates = self._rates(response)
        operator = _Operator(self, moved, shifted, taken)
        before = self.boxes.sum(axis=(0, 1, 2, 4)) + self.products.sum(axis=(0, 2))
        area_change = self.area - self.area_start
        if densities is None:
            base = [np.broadcast_to(getattr(table, name), (n, n_biome)) for name in _DENSITIES]
        else:
            base = [self._input("densities", d, (n, n_biome)) for d in densities]

        if timing == "pulse":
            now = [d + p for d, p in zip(base, self.perturbation, strict=True)] if densities is None else base
            boxes, products, burned = operator(now, first=True)
            self.boxes += boxes
            self.products += products
            potential = np.sum(net * sum(now), axis=1)
            self.area = self.area + net
            area_change = self.area - self.area_start
            operator, net = None, np.zeros_like(net)
        else:
            burned, potential = 0.0, None

        nbp_change = lasc = None
        if moves:
            d_npp = np.zeros((n, n_biome)) if d_npp is None else np.broadcast_to(np.asarray(d_npp, float), (n, n_biome))
            series = self._series(base, d_npp, response, rates, operator, net, area_change)
            boxes_mean, products_lost, more_burned, more_potential, nbp_change, lasc = series
        else:
            boxes_mean, products_lost, more_burned = self._steady(base, rates, operator)
            more_potential = np.sum(net * sum(base), axis=1)
        burned = burned + more_burned
        potential = more_potential if potential is None else potential + more_potential
        if d_nbp is not None:
            nbp_change = np.broadcast_to(np.asarray(d_nbp, float), (n, n_biome))
            lasc = np.sum(nbp_change * (area_change + 0.5 * net), axis=1)
        self.area = self.area + net
        return self._account(boxes_mean, products_lost, burned, rates, before, potential, nbp_change, lasc)

    # -- parts of a year -----------------------------------------------------------------------------------------

    def _input(self, name, values, shape):
        if values is None:
            return np.zeros(shape)
        values = np.asarray(values, dtype=float)
        if values.shape != shape:
            raise ConcertoError(f"Bookkeeping: {name} has shape {values.shape}, not {shape}.", hint="See its axes.")
        if not np.all(values >= 0.0):
            raise ConcertoError(
                f"Bookkeeping: {name} has {int(np.sum(~(values >= 0.0)))} values that are negative or no numbers.",
                hint="Repair the land-use history.",
            )
        if len(shape) == 3 and np.any(values[:, np.arange(shape[1]), np.arange(shape[1])] != 0.0):
            raise ConcertoError(f"Bookkeeping: {name} has a diagonal.", hint="Land that stays is no transition.")
        return values

    def _rates(self, response):
        table = self.table
        shape = self.boxes.shape[2:]
        shape = shape if any(getattr(table, name).ndim > 2 for name in _RATES) else shape[1:]
        wide = {name: np.broadcast_to(getattr(table, name), shape) for name in _RATES}
        for name in _RATES[3:]:
            wide[name] = wide[name] * response
        wide["loss"] = wide["to_atmosphere"] + wide["to_litter"] + wide["to_soil"]
        wide["litter_loss"] = wide["litter_respiration"] + wide["litter_to_soil"]
        return wide

    def _steady(self, base, rates, operator):
        """A year with constant densities: boxes by propagators, products by exact decay."""
        known = self._cached.get("rates")
        if known is None or any(not np.array_equal(known[name], rates[name]) for name in _RATES):
            self._cached = {"rates": rates, "propagators": _propagators(rates)}
        whole, once, twice = self._cached["propagators"]
        rate = 1.0 / self.table.product_time
        if operator is None:
            mean = _apply(once, self.boxes)
            self.boxes = _apply(whole, self.boxes)
            self.products, lost = decay(self.products, rate)
            return mean, lost, 0.0
        boxes, products, burned = operator(base, first=True)
        mean = _apply(once, self.boxes) + _apply(twice, boxes)
        self.boxes = _apply(whole, self.boxes) + _apply(once, boxes)
        self.products, lost = decay(self.products, rate, products)
        return mean, lost, burned

    def _series(self, base, d_npp, response, rates, operator, net, area_change):
        """A year in which densities move: power series of the whole linear system."""
        if any(rate.ndim > 2 for rate in rates.values()):
            raise ConcertoError(
                "Bookkeeping: densities cannot follow climate with rates by type of transition.",
                hint="Give the transient densities of the run (densities=...).",
            )
        product_rate = 1.0 / self.table.product_time
        fastest = max(float(product_rate.max()), *(float(np.max(rates[k])) for k in ("loss", "litter_loss")))
        fastest = max(fastest, float(np.max(rates["soil_respiration"])), 1e-9)
        steps = int(np.ceil(fastest))
        h = 1.0 / steps
        terms = _terms(fastest * h)
        # Respiration of the equilibrium stocks changes with climate: a constant source of the densities' perturbation.
        extra = (response - 1.0) / response
        push = [
            d_npp,
            -rates["litter_loss"] * extra * base[1],
            rates["litter_to_soil"] * extra * base[1] - rates["soil_respiration"] * extra * base[2],
        ]
        flow = -rates["litter_respiration"] * extra * base[1] - rates["soil_respiration"] * extra * base[2]
        mean, lost, burned = np.zeros_like(self.boxes), np.zeros_like(self.products), 0.0
        potential, lasc, nbp_total = 0.0, 0.0, np.zeros_like(d_npp)
        area_now = area_change
        for _ in range(steps):
            d, x, q = self.perturbation, self.boxes, self.products
            d_end, x_end, q_end = d.copy(), x.copy(), q.copy()
            area_slope = h * net
            for k in range(terms):
                nbp = -rates["to_atmosphere"] * d[0] - rates["litter_respiration"] * d[1]
                nbp = nbp - rates["soil_respiration"] * d[2]
                density = [d[0], d[1], d[2]]
                if k == 0:
                    nbp = nbp + d_npp + flow
                    density = [b + p for b, p in zip(base, d, strict=True)]
                nbp_total = nbp_total + nbp * (h / (k + 1))
                lasc = lasc + np.sum(nbp * (area_now * (h / (k + 1)) + area_slope * (h / (k + 2))), axis=1)
                potential = potential + np.sum(net * sum(density), axis=1) * (h / (k + 1))
                mean += x * (h / (k + 1))
                lost += q * product_rate * (h / (k + 1))
                d_next = np.stack(_derivative(*d, rates))
                x_next = np.stack(_derivative(x[:, 0], x[:, 1], x[:, 2], rates), axis=1)
                q_next = -product_rate * q
                if k == 0:
                    d_next = d_next + np.stack(push)
                if operator is not None:
                    boxes, products, fire = operator(density, first=k == 0)
                    x_next += boxes
                    q_next += products
                    burned = burned + fire * (h / (k + 1))
                step = h / (k + 1)
                d, x, q = d_next * step, x_next * step, q_next * step
                d_end, x_end, q_end = d_end + d, x_end + x, q_end + q
            self.perturbation, self.boxes, self.products = d_end, x_end, q_end
            area_now = area_now + area_slope
        return mean, lost, burned, potential, nbp_total, lasc

    def _account(self, mean, lost, burned, rates, before, potential, nbp_change, lasc):
        n_type, n, _ = self.boxes.shape[2:]
        emitted = (
            rates["to_atmosphere"] * mean[:, 0]
            + rates["litter_respiration"] * mean[:, 1]
            + rates["soil_respiration"] * mean[:, 2]
        )
        flux = np.zeros((len(PROCESSES), n_type, n))
        flux[PROCESSES.index("burning")] = burned
        flux[PROCESSES.index("products")] = lost.sum(axis=2)
        for name, position in _BOXED.items():
            flux[PROCESSES.index(name)] = emitted[position].sum(axis=2)
        source = flux.copy()  # what burns and decays has one sign
        for name, position in _BOXED.items():
            source[PROCESSES.index(name)] = np.maximum(emitted[position], 0.0).sum(axis=2)
        stock = {name: self.boxes[:, box].sum(axis=(0, 1, 3)) for box, name in enumerate(_DENSITIES)}
        stock["products"] = self.products.sum(axis=(0, 2))
        after = self.boxes.sum(axis=(0, 1, 2, 4)) + self.products.sum(axis=(0, 2))
        sink = np.minimum(emitted, 0.0).sum(axis=(0, 1, 3))
        area_change = self.area - self.area_start
        land_sink = None
        if lasc is not None:
            land_sink = np.sum(nbp_change * self.area_start, axis=1) + lasc
        return BookkeepingYear(
            self.types, flux, source, source.sum(axis=(0, 1)), sink, stock, after - before, potential, area_change,
            lasc, land_sink, nbp_change,
        )  # fmt: skip


def _types(table, types):
    n = len(table.biomes)
    natural = np.asarray(table.natural, bool)
    if types == "groups":
        pair = np.where(natural[:, None], np.where(natural, 3, 0), np.where(natural, 1, 2))
        return TYPES, pair
    if types == "pairs":
        names, pair = [], np.full((n, n), -1)
        for i, donor in enumerate(table.biomes):
            for j, receiver in enumerate(table.biomes):
                if i != j:
                    pair[i, j] = len(names)
                    names.append(f"{donor}>{receiver}")
        return (*names, "shifting", "harvest"), pair
    raise ConcertoError(f"Bookkeeping: unknown types {types!r}.", hint="Use groups or pairs.")


class _Operator:
    """Forcing of the anomalies by the transitions of a year, linear in the densities."""

    def __init__(self, books, moved, shifted, taken):
        table = books.table
        self.table, self.taken, self.harvest_share = table, taken, books.harvest_share
        self.shape = books.boxes.shape, books.products.shape
        n_type = len(books.types)
        self.shift, self.harvest = books.types.index("shifting"), books.types.index("harvest")
        self.active = [t for t in range(n_type) if np.any(moved[:, books._pair == t] != 0.0)]
        self.moved = {t: np.where(books._pair == t, moved, 0.0) for t in self.active}
        self.cleared = {t: m * books._clear for t, m in self.moved.items()}
        self.shifted = shifted if np.any(shifted != 0.0) else None

    def __call__(self, densities, first):
        """Forcing (3, 3, T, R, B), (T, R, W), (T, R); `first` adds what does not depend on densities (harvest)."""
        table = self.table
        boxes, products = np.zeros(self.shape[0]), np.zeros(self.shape[1])
        burned = np.zeros(self.shape[1][:2])
        vegetation, litter, soil = densities
        slash, regrowth, legacy = (boxes[_BOXED[name]] for name in ("slash", "regrowth", "soil"))
        for t in self.active:
            moved, cleared = self.moved[t], self.cleared[t]
            came = moved.sum(axis=1)
            regrowth[0, t] = _carry(vegetation, moved - cleared) - came * vegetation
            legacy[1, t] = _carry(litter, moved) - came * litter
            legacy[2, t] = _carry(soil, moved) - came * soil
            self._fate(vegetation, cleared, t, slash, products, burned)
        if self.shifted is not None:
            cut = vegetation * table.shift_share
            regrowth[0, self.shift] = -cut * self.shifted.sum(axis=1)
            self._fate(cut, self.shifted, self.shift, slash, products, burned)
        if first:
            t, taken = self.harvest, self.taken
            left = taken * (1.0 - self.harvest_share.sum(axis=-1))
            regrowth[0, t] = -taken
            slash[1, t] = table.slash_to_litter * left
            slash[2, t] = (1.0 - table.slash_to_litter) * left
            products[t] = np.sum(self.harvest_share * taken[..., None], axis=-2)
        return boxes, products, burned

    def _fate(self, vegetation, cleared, t, slash, products, burned):
        table = self.table
        left = vegetation * table.slash
        slash[1, t] = _carry(left * table.slash_to_litter, cleared)
        slash[2, t] = _carry(left * (1.0 - table.slash_to_litter), cleared)
        gone = vegetation * table.above_ground * cleared.sum(axis=2)
        products[t] = np.sum(table.product_share * gone[..., None], axis=-2)
        burned[t] = np.sum(table.burned * gone, axis=-1)


def _carry(density, moved):
    """What arrives at j: sum over i of density_i moved_ij, (R, B)."""
    return np.matmul(density[:, None, :], moved)[:, 0, :]


def _derivative(vegetation, litter, soil, rates):
    return (
        -rates["loss"] * vegetation,
        rates["to_litter"] * vegetation - rates["litter_loss"] * litter,
        rates["to_soil"] * vegetation + rates["litter_to_soil"] * litter - rates["soil_respiration"] * soil,
    )


def _propagators(rates):
    """exp(K), its integral and the integral of that over a year, each a lower triangle of arrays (to, from)."""
    shape = rates["loss"].shape
    fastest = max(float(np.max(rates[k], initial=0.0)) for k in ("loss", "litter_loss", "soil_respiration"))
    steps = max(1, int(np.ceil(fastest)))
    terms = _terms(max(fastest, 1e-9) / steps)
    h = 1.0 / steps
    whole, once, twice = ({} for _ in range(3))
    for start in range(3):
        x = [np.zeros(shape) for _ in range(3)]
        x[start] = np.ones(shape)
        total, double = [np.zeros(shape) for _ in range(3)], [np.zeros(shape) for _ in range(3)]
        for _ in range(steps):
            end, part = [v.copy() for v in x], [np.zeros(shape) for _ in range(3)]
            double = [b + h * a for a, b in zip(total, double, strict=True)]
            for k in range(terms):
                part = [p + v * (h / (k + 1)) for p, v in zip(part, x, strict=True)]
                double = [b + v * (h * h / ((k + 1) * (k + 2))) for b, v in zip(double, x, strict=True)]
                x = [v * (h / (k + 1)) for v in _derivative(*x, rates)]
                end = [e + v for e, v in zip(end, x, strict=True)]
            total = [a + p for a, p in zip(total, part, strict=True)]
            x = end
        for to in range(start, 3):
            whole[to, start], once[to, start], twice[to, start] = x[to], total[to], double[to]
    return whole, once, twice


def _apply(propagator, boxes):
    out = np.empty_like(boxes)
    for to in range(3):
        out[:, to] = sum(propagator[to, start] * boxes[:, start] for start in range(to + 1))
    return out


# -- tables ------------------------------------------------------------------------------------------------------


def oscar_table(parameters, biomes, natural):
    """Table from the parameters of an OSCAR region, named as there.

    Parameters
    ----------
    parameters : dict
        `npp_0`, `mu1_0`, `mu2_0`, `rho1_0`, `muM_0`, `rho2_0`, `igni_0`, `harv_0`, `graz_0`, `p_agb`, `p_hwp` (a
        number, or for p_hwp a list over pools, for each biome), `t_hwp` (list); optional `w_t_hwp`, `t_shift`,
        `g_respT`, `g_respT2`, `g_respP` (dict or list). Pg C, Mha, yr.
    biomes, natural : sequence
        Their order, and which are natural land.
    """

    def column(name, default=0.0):
        values = parameters.get(name, default)
        if isinstance(values, dict):
            values = [values[biome] for biome in biomes]
        return np.asarray(values, dtype=float)

    out = column("igni_0") + column("harv_0") + column("graz_0")
    litter_loss = column("rho1_0") + column("muM_0")
    vegetation = column("npp_0") / (out + column("mu1_0") + column("mu2_0"))
    litter = column("mu1_0") * vegetation / np.where(litter_loss > 0.0, litter_loss, np.inf)
    soil = (column("mu2_0") * vegetation + column("muM_0") * litter) / column("rho2_0")
    return CarbonTable(
        biomes=tuple(biomes),
        natural=tuple(natural),
        vegetation=vegetation,
        litter=litter,
        soil=soil,
        to_atmosphere=out,
        to_litter=column("mu1_0"),
        to_soil=column("mu2_0"),
        litter_respiration=column("rho1_0"),
        litter_to_soil=column("muM_0"),
        soil_respiration=column("rho2_0"),
        above_ground=column("p_agb"),
        product_share=column("p_hwp"),
        product_time=column("t_hwp") * parameters.get("w_t_hwp", 1.0),
        shift_share=shift_share(column("npp_0"), vegetation, parameters.get("t_shift", 15.0)),
        warming=column("g_respT"),
        warming2=column("g_respT2"),
        wetting=column("g_respP"),
        notes=("OSCAR v3 (Gasser et al. 2020)",),
    )


def densities_from_tiles(cell, kind, weight, c_vegetation, c_litter, c_soil, n_cell, n_kind=6):
    """Carbon per area of each land-use kind of each cell, from tiles (cell, class, plant type).

    Parameters
    ----------
    cell, kind : (tile,) int
        Cell and position in `KINDS` (age classes of secondary land all count as secondary).
    weight : (tile,)
        Area fraction of the cell's land.
    c_vegetation, c_litter, c_soil : (tile,)
        kg m-2 of the tile (cVeg, cLitter with coarse woody debris, cSoil).

    Returns
    -------
    densities : list of three (cell, kind)
        Area means over plant types. A kind that a cell does not have takes the values of its like in the same cell
        (secondary and primary, pasture and rangeland, towns from crops), else the mean of that kind over all cells,
        else that of all land.
    filled : (cell, kind) bool
        Which values were filled so.

    Notes
    -----
    Bookkeeping wants densities in equilibrium: young secondary land lowers those of `secondary`. Where primary land
    is left, :func:`run_table` can use its densities for secondary land too.
    """
    cell, kind, weight = np.asarray(cell, int), np.asarray(kind, int), np.asarray(weight, float)
    area = np.zeros((n_cell, n_kind))
    np.add.at(area, (cell, kind), weight)
    filled = ~(area > 0.0)
    if np.all(filled):
        raise ConcertoError("Bookkeeping: no tile has an area.", hint="Give weights of a state after its spin-up.")
    densities = []
    for values in (c_vegetation, c_litter, c_soil):
        total = np.zeros((n_cell, n_kind))
        np.add.at(total, (cell, kind), weight * np.asarray(values, float))
        density = np.where(filled, np.nan, total / np.where(filled, 1.0, area))
        if n_kind == len(KINDS):
            for one, like in ((0, 1), (1, 0), (3, 2), (2, 3), (5, 4)):
                density[:, one] = np.where(np.isnan(density[:, one]), density[:, like], density[:, one])
        for k in range(n_kind):
            known = area[:, k].sum()
            mean = total[:, k].sum() / known if known > 0.0 else total.sum() / area.sum()
            density[:, k] = np.where(np.isnan(density[:, k]), mean, density[:, k])
        densities.append(density)
    return densities, filled


def densities_from_output(data, kind="land_class", cell="cell", weight="weight", n_cell=None):
    """:func:`densities_from_tiles` from a file or dataset over tiles with cVeg, cLitter, cSoil (kg m-2).

    Parameters
    ----------
    data : str, Path or xarray.Dataset
        With variables or coordinates `kind` (position in `KINDS`), `cell` and `weight`; a `time` axis is averaged.
    """
    import xarray as xr

    data = data if isinstance(data, xr.Dataset) else xr.open_dataset(data)
    missing = [name for name in ("cVeg", "cLitter", "cSoil", kind, cell, weight) if name not in data]
    if missing:
        raise ConcertoError(
            f"Bookkeeping: {', '.join(missing)} missing in the densities' file.", hint="Write annual output by tile."
        )
    values = [data[name] for name in ("cVeg", "cLitter", "cSoil")]
    values = [v.mean("time") if "time" in v.dims else v for v in values]
    cells = data[cell].values.astype(int)
    n_cell = int(cells.max()) + 1 if n_cell is None else n_cell
    return densities_from_tiles(cells, data[kind].values, data[weight].values, *(v.values for v in values), n_cell)


def run_table(
    densities,
    npp,
    humified=0.3,
    above_ground=(0.75, 0.75, 0.75, 0.75, 0.0, 0.0),
    burned=(0.6, 0.6, 0.6, 0.6, 0.0, 0.0),
    product_share=None,
    product_time=(1.0, 10.0, 100.0),
    fallow=15.0,
    secondary_like_primary=True,
    longest=1000.0,
):
    """Table of the six kinds of each cell from the run's own densities and NPP.

    Each cell is taken to be in equilibrium: all NPP falls as litter, the share `humified` of decaying litter becomes
    soil, and the rates follow from fluxes over stocks.

    Parameters
    ----------
    densities : list of three (cell, 6)
        Vegetation, litter, soil, kg C m-2 (:func:`densities_from_tiles`).
    npp : (cell, 6)
        kg C m-2 yr-1.
    humified : float
        Share of litter decay that becomes soil carbon.
    above_ground, burned : (6,) or (cell, 6)
        Shares as in the run (clearing of woody types; the defaults burn 0.6).
    product_share : (6, 3) or (cell, 6, 3), optional
        Default 0.4 of natural land and pastures into the 10-year pool, nothing of crops and towns (tropical trees).
    fallow : float
        Years of fallow of shifting cultivation.
    secondary_like_primary : bool
        Secondary land grows towards the densities of primary land.
    longest : float
        Turnover times are at most this, yr: with hardly any NPP nothing would ever change.
    """
    vegetation, litter, soil = (np.array(d, dtype=float) for d in densities)
    npp = np.array(npp, dtype=float)
    if secondary_like_primary:
        for values in (vegetation, litter, soil, npp):
            values[:, 1] = values[:, 0]
    least = 1.0 / longest
    npp = np.maximum(npp, 0.0)

    def rate(flux, stock):
        return np.clip(flux / np.maximum(stock, 1e-12), least, 10.0)

    if product_share is None:
        product_share = np.zeros((6, 3))
        product_share[:4, 1] = 0.4
    to_litter, litter_loss = rate(npp, vegetation), rate(npp, litter)
    return CarbonTable(
        biomes=KINDS,
        natural=NATURAL,
        vegetation=vegetation,
        litter=litter,
        soil=soil,
        to_atmosphere=0.0,
        to_litter=to_litter,
        to_soil=0.0,
        litter_respiration=(1.0 - humified) * litter_loss,
        litter_to_soil=humified * litter_loss,
        soil_respiration=rate(humified * npp, soil),
        above_ground=np.asarray(above_ground, float),
        burned=np.asarray(burned, float),
        product_share=product_share,
        product_time=product_time,
        shift_share=shift_share(npp, vegetation, fallow),
        notes=("densities and NPP of the run; rates from fluxes over stocks, in equilibrium",),
    )


#: Vegetation and soil (to 1 m) of undisturbed land, Mg C ha-1, and its zone: means of Houghton (1995), Table 1, as a
#: teaching page reprints it. These are not BLUE's own numbers.
DENSITIES = {
    "tropical_evergreen_forest": (177.0, 104.0, "tropical"),
    "tropical_seasonal_forest": (116.0, 86.0, "tropical"),
    "temperate_evergreen_forest": (161.0, 134.0, "temperate"),
    "temperate_deciduous_forest": (131.0, 134.0, "temperate"),
    "boreal_forest": (90.0, 206.0, "boreal"),
    "tropical_woodland": (50.0, 64.0, "tropical"),
    "tropical_grassland": (16.0, 48.0, "tropical"),
    "temperate_woodland": (27.0, 69.0, "temperate"),
    "temperate_grassland": (7.0, 169.0, "temperate"),
    "tundra": (3.0, 204.0, "boreal"),
    "desert_scrub": (3.0, 58.0, "temperate"),
}
#: Response of each zone; all numbers unverified (see :func:`blue_table`). Vegetation of crops and of pastures
#: (Mg C ha-1; Houghton 1995), e-folding times (yr) of regrowing trees, slash, soil after clearing and abandonment.
RESPONSE = {
    "tropical": {"crop": 7.0, "pasture": 16.0, "regrowth": 15.0, "slash": 2.5, "soil_loss": 5.0, "soil_gain": 20.0},
    "temperate": {"crop": 4.0, "pasture": 7.0, "regrowth": 20.0, "slash": 10.0, "soil_loss": 8.0, "soil_gain": 30.0},
    "boreal": {"crop": 4.0, "pasture": 7.0, "regrowth": 30.0, "slash": 20.0, "soil_loss": 10.0, "soil_gain": 50.0},
}


def blue_table(potential, secondary=0.75, crop_soil=0.75, pasture_soil=0.88, responses=None):
    """Table of the BLUE-like scheme: exponential responses whose time constants belong to the type of transition.

    Every anomaly goes straight to (or comes from) the atmosphere with its own time constant: vegetation grows back,
    slash and products decay, soil approaches that of its new use, fast when cleared and slowly when abandoned. This is
    the structure of Hansis et al. (2015) with the operator of this module.

    **The numbers are unverified**: densities are those of Houghton (1995), reductions and times are round numbers after
    Houghton et al. (1983) as generally quoted; neither is the published table of BLUE. Replace what matters.

    Parameters
    ----------
    potential : (cell,) of str
        Potential vegetation, a key of `DENSITIES`.
    secondary : float
        Vegetation of mature secondary over primary forest.
    crop_soil, pasture_soil : float
        Soil carbon of cropland (and towns), of pasture and rangeland over that of natural land.
    responses : dict, optional
        Instead of `RESPONSE`.

    Returns
    -------
    CarbonTable
        kg C m-2; rates (T, cell, kind) for `types="groups"`.
    """
    responses = RESPONSE if responses is None else responses
    unknown = sorted({name for name in potential if name not in DENSITIES})
    if unknown:
        raise ConcertoError(
            f"Bookkeeping: unknown potential vegetation {', '.join(unknown)}.", hint=f"Known: {', '.join(DENSITIES)}."
        )
    zone = [responses[DENSITIES[name][2]] for name in potential]
    tropical = np.array([DENSITIES[name][2] == "tropical" for name in potential])
    woody = np.array(["forest" in name or "woodland" in name for name in potential])
    full = np.array([DENSITIES[name][0] for name in potential])
    ground = np.array([DENSITIES[name][1] for name in potential])

    def of(name):
        return np.array([response[name] for response in zone])

    n, forest = len(full), np.where(woody, secondary, 1.0)
    pasture = np.minimum(of("pasture"), full)
    vegetation = 0.1 * np.stack([full, full * forest, pasture, pasture, of("crop"), np.zeros(n)], axis=1)
    share = np.array([1.0, 1.0, pasture_soil, pasture_soil, crop_soil, crop_soil])
    regrowth = np.where(woody, of("regrowth"), 2.0)
    loss = np.stack([regrowth, regrowth, *(np.full(n, 1.0) for _ in range(4))], axis=1)
    soil_time = np.empty((len(TYPES), n, 6))
    for t, name in enumerate(TYPES):
        gain = name in ("abandonment", "natural")
        soil_time[t] = of("soil_gain" if gain else "soil_loss")[:, None]
    product_share = np.zeros((n, 6, 3))
    product_share[:, :2, 1] = np.where(woody, np.where(tropical, 0.4, 0.3), 0.0)[:, None]
    product_share[:, :2, 2] = np.where(woody & ~tropical, 0.1, 0.0)[:, None]
    burned = np.zeros((n, 6))
    burned[:, :2] = np.where(woody, 0.6, 0.0)[:, None]
    above = np.zeros((n, 6))
    above[:, :2] = np.where(woody, 0.75, 0.0)[:, None]
    return CarbonTable(
        biomes=KINDS,
        natural=NATURAL,
        vegetation=vegetation,
        litter=np.zeros((n, 6)),
        soil=0.1 * ground[:, None] * share,
        to_atmosphere=1.0 / loss,
        to_litter=0.0,
        to_soil=0.0,
        litter_respiration=np.broadcast_to(1.0 / of("slash")[:, None], (n, 6)),
        litter_to_soil=0.0,
        soil_respiration=1.0 / soil_time,
        above_ground=above,
        product_share=product_share,
        product_time=(1.0, 10.0, 100.0),
        burned=burned,
        slash_to_litter=1.0,
        notes=("structure of Hansis et al. (2015); densities of Houghton (1995); times unverified",),
    )


# -- a history ---------------------------------------------------------------------------------------------------


def bookkeep(
    land_use,
    table,
    years=None,
    timing="pulse",
    shifting=True,
    wood_harvest=True,
    clear=None,
    types="groups",
    densities=None,
    d_nbp=None,
    harvest_share=None,
):
    """Bookkeeping of a land-use history, year by year.

    Parameters
    ----------
    land_use : LandUse
        Its `year(y)` has `area` (cell, 6) at the start of y, `transitions` (cell, 6, 6) between this start and the
        next, `harvest_mass` (cell, 5), kg C m-2 of land.
    table : CarbonTable
        Of the six kinds (:func:`run_table`, :func:`blue_table`).
    years : sequence of int, optional
        Years of the result; default all that the history gives.
    timing : {"pulse", "spread"}
        "pulse" as in the run: the transitions from y - 1 to y act on 1 January of y. "spread": those from y to y + 1
        act evenly through y.
    shifting, wood_harvest : bool
        Treat reciprocal transitions as shifting cultivation; count harvest.
    clear : (6, 6), optional
        Default :func:`clearing_matrix` (rule 4).
    densities : callable, optional
        year -> three (cell, 6) arrays: transient densities of the run.
    d_nbp : callable, optional
        year -> (cell, 6): change of NBP per area (kg C m-2 yr-1), for LASC and the land sink.
    harvest_share : array_like, optional
        See :func:`wood_shares`; default with `management["fuelwood"]` of the year where the history has it, else 0.5.

    Returns
    -------
    dict
        `year` (Y,), `types`, `processes`, `flux` and `source` (Y, process, type, cell), `eluc`, `gross_source`,
        `gross_sink`, `stock_change`, `potential_change` and, with `d_nbp`, `lasc` and `land_sink` (Y, cell), kg C m-2
        of land yr-1; `books`, the :class:`Bookkeeping` at the end.
    """
    lag = 1 if timing == "pulse" else 0
    if years is None:
        years = range(land_use.first_year + lag, land_use.last_year + lag)
    years = [int(y) for y in years]
    if not years:
        raise ConcertoError("Bookkeeping: the history has no transitions.", hint="It needs states of two years.")
    clear = clearing_matrix() if clear is None else clear
    books, parts = None, []
    for y in years:
        now = land_use.year(y - lag)
        if books is None:
            books = Bookkeeping(table, now.area, types=types, clear=clear, harvest_share=harvest_share)
        # The history repairs its states within a tolerance: take its areas, so that nothing gathers over centuries.
        books.area = np.array(now.area, dtype=float)
        moved, reciprocal = np.asarray(now.transitions, float), None
        if shifting:
            moved, reciprocal = split_shifting(moved, table.natural)
        taken = None
        if harvest_share is None:
            fuelwood = (now.management or {}).get("fuelwood")
            fuelwood = 0.5 if fuelwood is None else np.where(np.isfinite(fuelwood), fuelwood, 0.5)
            books.harvest_share = wood_shares(fuelwood)
        if wood_harvest and now.harvest_mass is not None:
            mass = np.asarray(now.harvest_mass, float)
            taken = np.zeros(books.area.shape)
            taken[:, 0], taken[:, 1] = mass[:, :2].sum(axis=1), mass[:, 2:].sum(axis=1)
        parts.append(
            books.year(
                moved,
                reciprocal,
                taken,
                densities=None if densities is None else densities(y),
                d_nbp=None if d_nbp is None else d_nbp(y),
                timing=timing,
            )
        )
    out = {"year": np.array(years), "types": books.types, "processes": PROCESSES, "books": books}
    for name in ("flux", "source", "eluc", "gross_source", "gross_sink", "stock_change", "potential_change"):
        out[name] = np.stack([getattr(part, name) for part in parts])
    if d_nbp is not None:
        out["lasc"] = np.stack([part.lasc for part in parts])
        out["land_sink"] = np.stack([part.land_sink for part in parts])
    return out
