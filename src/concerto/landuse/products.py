"""Product pools of a cell: what is harvested or cleared and does not burn at once.

Three pools stand in a cell (kg m-2 of land): short-, middle- and long-lived, in the published meanings of "1, 10 and
100 years" (`CONVENTIONS`). All are advanced once a year and exactly, so nothing depends on a step.

There are two ways for carbon to come in, and both are exact:

* a **pulse**: :meth:`ProductPools.add` puts it into the pool now. The run does this on 1 January, before the first
  step; the pulse then decays for the whole year.
* **spread**: what is passed to :meth:`ProductPools.year` arrives evenly through that year, as annual totals of a
  statistic or a bookkeeping model do. It decays for half a year on average.

In `linear` a pulse leaves in n equal annual parts from the year after, whatever the day it came; the two ways then mean
the same.

Sources: Gasser et al. (2020) and OSCAR v3 (`efold`, `earles`: Houghton and Hackler 2001, Earles et al. 2012), CTSM
(`p90`), Houghton et al. (1983) (`linear`), LPJmL (`lpjml`: fractions of the stock that stands at the end of a year).
"""

from __future__ import annotations

import numpy as np

from concerto.errors import ConcertoError

SECONDS_PER_YEAR = 3.15576e7
#: Loss rates of CTSM's product pools, s-1: about 90 % are gone after 1, 10, 100 years.
P90_RATES = (7.2e-8, 7.2e-9, 7.2e-10)
#: Factors on the e-folding times in OSCAR (`mod_Ehwp_speed`), to stand in for other shapes of the decay.
SPEEDS = {"normal": 1.0, "fast": 0.8 / -np.log(0.2), "slow": 1.5 / -np.log(0.3)}
CONVENTIONS = {
    "efold": "stock / tau leaves per year, tau = 1, 10, 100 yr (OSCAR, Houghton and Hackler 2001)",
    "p90": "90 % gone after 1, 10, 100 yr: rates 7.2e-8, 7.2e-9, 7.2e-10 s-1 (CTSM)",
    "linear": "a pulse leaves in 1, 10, 100 equal annual parts from the year after (Houghton)",
    "earles": "stock / tau leaves per year, tau = 0.5, 2, 30 yr (OSCAR, Earles et al. 2012)",
    "lpjml": "fractions 1, 0.1, 0.01 of the stock leave at the end of each year (LPJmL; it has no first pool)",
}
_FRACTIONS = (1.0, 0.1, 0.01)


def rates(convention="efold", times=None, speed="normal", seconds_per_year=SECONDS_PER_YEAR):
    """Loss rates of the pools of an exponential convention.

    Parameters
    ----------
    convention : {"efold", "p90", "earles"}
    times : sequence of float, optional
        E-folding times, yr, instead of those of the convention (not for "p90").
    speed : {"normal", "fast", "slow"}
        Factor on the times (`SPEEDS`; not for "p90").
    seconds_per_year : float
        Length of the year for "p90", s (a no-leap year has 3.1536e7).

    Returns
    -------
    ndarray
        Rates, yr-1.

    Examples
    --------
    >>> rates("efold").tolist()
    [1.0, 0.1, 0.01]
    """
    if convention == "p90":
        if times is not None or speed != "normal":
            raise ConcertoError("Product pools: p90 has fixed rates.", hint="Use efold with times or speed.")
        return np.asarray(P90_RATES) * seconds_per_year
    if convention not in ("efold", "earles"):
        raise ConcertoError(f"Product pools: {convention} has no loss rates.", hint="Use efold, p90 or earles.")
    if speed not in SPEEDS:
        raise ConcertoError(f"Product pools: unknown speed {speed!r}.", hint=f"Use one of {', '.join(SPEEDS)}.")
    if times is None:
        times = (1.0, 10.0, 100.0) if convention == "efold" else (0.5, 2.0, 30.0)
    times = np.asarray(times, dtype=float) * SPEEDS[speed]
    if not np.all(times > 0.0):
        raise ConcertoError("Product pools: times must be positive.", hint="Give years, e.g. (1, 10, 100).")
    return 1.0 / times


def decay(stock, rate, spread=0.0):
    """Stock at the end of a year and what left, for dQ/dt = I - k Q.

    Parameters
    ----------
    stock : array_like
        Stock at the start of the year, pulses of 1 January included, kg m-2.
    rate : array_like
        k, yr-1.
    spread : array_like
        I, input that arrives evenly through the year, kg m-2 yr-1.

    Returns
    -------
    stock, loss : ndarray
        kg m-2 and kg m-2 yr-1; neither is negative, and stock + loss is what was there and came.

    Examples
    --------
    >>> left, lost = decay(1.0, 1.0)
    >>> round(float(left), 6)
    0.367879
    """
    stock, rate, spread = np.asarray(stock, float), np.asarray(rate, float), np.asarray(spread, float)
    kept = np.exp(-rate)
    mean = np.where(rate > 0.0, -np.expm1(-rate) / np.where(rate > 0.0, rate, 1.0), 1.0)
    after = stock * kept + spread * mean
    return after, (stock + spread) - after


class ProductPools:
    """Product pools of `n_cell` cells.

    Parameters
    ----------
    n_cell : int
    convention : {"efold", "p90", "linear", "earles", "lpjml"}
    elements : tuple of str
        What is counted, carbon first; ("carbon",) leaves nitrogen out.
    times : sequence, optional
        E-folding times or (linear) whole years of the pools, or (lpjml) fractions per year.
    speed, seconds_per_year
        See :func:`rates`.

    Notes
    -----
    The inputs of past years belong to the state in `linear` (one slot per year): :meth:`state` carries them.
    Stocks, inputs and losses are kg m-2 of land; n pools stand in the last axis.

    Examples
    --------
    >>> pools = ProductPools(1, "efold")
    >>> pools.add([[0.0, 1.0, 0.0]])             # 1 January
    >>> pools.year().round(4).tolist()           # kg C m-2 in this year
    [[0.0, 0.0952, 0.0]]
    """

    def __init__(
        self,
        n_cell,
        convention="efold",
        elements=("carbon", "nitrogen"),
        times=None,
        speed="normal",
        seconds_per_year=SECONDS_PER_YEAR,
    ):
        if convention not in CONVENTIONS:
            raise ConcertoError(
                f"Product pools: unknown convention {convention!r}.", hint=f"Use one of {', '.join(CONVENTIONS)}."
            )
        self.convention, self.elements = convention, tuple(elements)
        self._years, self._rate, self._fraction = None, None, None
        if convention == "linear":
            years = (1, 10, 100) if times is None else tuple(times)
            if any(n != int(n) or n < 1 for n in years):
                raise ConcertoError("Product pools: linear needs whole years of at least 1.", hint="E.g. (1, 10, 100).")
            self._years = tuple(int(n) for n in years)
            self.n_pool = len(years)
        elif convention == "lpjml":
            self._fraction = np.asarray(_FRACTIONS if times is None else times, dtype=float)
            if np.any(self._fraction <= 0.0) or np.any(self._fraction > 1.0):
                raise ConcertoError("Product pools: fractions must lie in (0, 1].", hint="E.g. (1, 0.1, 0.01).")
            self.n_pool = len(self._fraction)
        else:
            self._rate = rates(convention, times, speed, seconds_per_year)
            self.n_pool = len(self._rate)
        self.n_cell = int(n_cell)
        self.lost = {name: np.zeros((self.n_cell, self.n_pool)) for name in self.elements}
        self._stock = np.zeros((len(self.elements), self.n_cell, self.n_pool))
        # linear: for each pool the inputs of this year (slot 0) and of the n years before.
        self._inputs = None
        if self._years is not None:
            self._inputs = [np.zeros((len(self.elements), self.n_cell, n + 1)) for n in self._years]

    def stock(self, element="carbon"):
        """What the pools of a cell hold, kg m-2, (cell, pool)."""
        return self._stock[self._index(element)].copy()

    def add(self, carbon, nitrogen=None, *, past=False):
        """Put a pulse into the pools now (in the run: on 1 January, before the year's decay), kg m-2, (cell, pool).

        ``past``: it belongs to the year that has just ended (harvest of fields); in `linear` it leaves from now on.
        """
        amount = self._amount(carbon, nitrogen)
        self._stock += amount
        if self._inputs is not None:
            for pool, inputs in enumerate(self._inputs):
                inputs[:, :, int(past)] += amount[:, :, pool]

    def settle(self, carbon, nitrogen=None, years=60):
        """Add the stock that the same pulse at the end of every year of a long past leaves, kg m-2, (cell, pool).

        ``years``: pulses that are summed; 60 are the equilibrium of the first pool to round-off.
        """
        past = ProductPools.__new__(ProductPools)
        past.__dict__ |= self.__dict__
        past._stock = np.zeros_like(self._stock)
        past._inputs = None if self._inputs is None else [np.zeros_like(inputs) for inputs in self._inputs]
        for _ in range(years):
            past.year()
            past.add(carbon, nitrogen, past=True)
        self._stock = self._stock + past._stock
        if self._inputs is not None:
            self._inputs = [mine + more for mine, more in zip(self._inputs, past._inputs, strict=True)]

    def year(self, carbon=None, nitrogen=None):
        """Advance the pools by a year.

        Parameters
        ----------
        carbon, nitrogen : array_like, optional
            Input that arrives evenly through this year, kg m-2, (cell, pool); what came with :meth:`add` is not
            repeated here.

        Returns
        -------
        ndarray
            Carbon that went to the atmosphere in this year, kg m-2 yr-1, (cell, pool); `lost` has every element.
        """
        amount = self._amount(carbon, nitrogen)
        if self._inputs is not None:
            lost = np.empty_like(self._stock)
            for pool, (n, inputs) in enumerate(zip(self._years, self._inputs, strict=True)):
                inputs[:, :, 0] += amount[:, :, pool]
                lost[:, :, pool] = inputs[:, :, 1:].sum(axis=2) / n
                inputs[:, :, 1:] = inputs[:, :, :-1].copy()
                inputs[:, :, 0] = 0.0
                # From the inputs each time, so that no rounding gathers over centuries.
                # After the shift an input of a years ago has paid a - 1 of its n parts (slot 0 is empty).
                parts_left = np.concatenate([[0.0], np.arange(n, 0, -1)])
                self._stock[:, :, pool] = (inputs * (parts_left / n)).sum(axis=2)  # not @: bits of a cell are its own
        elif self._fraction is not None:
            held = self._stock + amount
            lost = held * self._fraction
            self._stock = held - lost
        else:
            self._stock, lost = decay(self._stock, self._rate, amount)
        self.lost = {name: lost[i] for i, name in enumerate(self.elements)}
        return lost[0].copy()

    def state(self):
        """Arrays for a restart file: "stock" (element, cell, pool) and, for linear, "inputs_0", ... (element, cell,
        slot) with the inputs of this year and of the years before."""
        out = {"stock": self._stock.copy()}
        if self._inputs is not None:
            out.update({f"inputs_{pool}": inputs.copy() for pool, inputs in enumerate(self._inputs)})
        return out

    def restore(self, state):
        """Take over what :meth:`state` gave; the pools go on to the same bits."""
        own = self.state()
        for name, values in own.items():
            if name not in state:
                raise ConcertoError(
                    f"Product pools: the state has no {name}; it is not of convention {self.convention}.",
                    hint="Restart with the convention of products that the state was written with.",
                )
            if np.shape(state[name]) != values.shape:
                raise ConcertoError(
                    f"Product pools: {name} of the state has shape {np.shape(state[name])}, not {values.shape}.",
                    hint="Restart with the same cells, elements and convention of products.",
                )
        if self._inputs is None and any(name.startswith("inputs_") for name in state):
            raise ConcertoError(
                f"Product pools: the state is of convention linear, not {self.convention}.",
                hint="Restart with the convention of products that the state was written with.",
            )
        self._stock = np.array(state["stock"], dtype=float)
        if self._inputs is not None:
            self._inputs = [np.array(state[f"inputs_{pool}"], dtype=float) for pool in range(self.n_pool)]

    def _index(self, element):
        if element not in self.elements:
            raise ConcertoError(f"Product pools: {element} is not counted.", hint=f"Known: {', '.join(self.elements)}.")
        return self.elements.index(element)

    def _amount(self, carbon, nitrogen):
        amount = np.zeros_like(self._stock)
        for element, values in (("carbon", carbon), ("nitrogen", nitrogen)):
            if values is None:
                continue
            values = np.asarray(values, dtype=float)
            if values.shape != (self.n_cell, self.n_pool):
                raise ConcertoError(
                    f"Product pools: input of {element} has shape {values.shape}, not {(self.n_cell, self.n_pool)}.",
                    hint="Give (cell, pool) in kg m-2.",
                )
            if not np.all(values >= 0.0):
                raise ConcertoError(
                    f"Product pools: {int(np.sum(~(values >= 0.0)))} inputs of {element} are negative or not numbers.",
                    hint="Products only come in through the input; losses follow from the convention.",
                )
            amount[self._index(element)] = values
        return amount
