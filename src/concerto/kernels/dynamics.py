"""Vegetation that changes its area, and the mixing that conserves what stands on moved area.

Arrays are cells x tiles; ``area`` is the fraction of the cell (dimensionless).
"""

from __future__ import annotations

import numpy as np

from concerto import _core as core
from concerto.kernels.carbon import _run

MEMORY = 11  # length of the memory of the bioclimate; it starts at 0
BARE, GRASS, WOODY = 1.0, 2.0, 3.0  # kinds; 0 is not natural and never touched


def bioclimate_day(memory, day_of_year, air_temperature):
    """Means of 20 years of the coldest and warmest month (K) and of growing-degree days above 5 degC (K d).

    ``memory`` (..., 11) starts at 0. Returns memory, coldest, warmest, warmth.

    Examples
    --------
    >>> memory, coldest, warmest, warmth = bioclimate_day(np.zeros(MEMORY), 1.0, 283.15)
    >>> float(coldest), float(warmth)
    (283.15, 5.0)
    """
    tile = dict(day_of_year=day_of_year, air_temperature=air_temperature)
    return _run(core.concerto_dynamics.bioclimate_day, tile, state={"memory": (memory, 1)})


def _cells(value, shape):
    return np.asfortranarray(np.broadcast_to(np.asarray(value, dtype=float), shape))


def dynamics_year(
    kind, area, coldest, warmth, coldest_least=0.0, coldest_most=1e9, warmth_least=0.0, increment=0.1, leaf_area=3.0
):
    """Area that changes hands in a year (Sitch et al. 2003, with areas of tiles for crowns).

    Parameters
    ----------
    kind, area : (cell, tile); kinds `BARE`, `GRASS`, `WOODY`, 0 for others; area as fraction of the cell
    coldest, warmth : (cell,) coldest month, K, and growing-degree days, K d
    coldest_least, coldest_most, warmth_least : (cell, tile) limits of the types, K, K, K d
    increment : NPP less turnover of the year, kg m-2
    leaf_area : largest leaf area index of the year, m2 m-2

    Returns
    -------
    transition : (cell, from, to), fraction of the cell
    new_area : (cell, tile)
    """
    shape = np.shape(area)
    arrays = dict(
        kind=kind,
        area=area,
        coldest_least=coldest_least,
        coldest_most=coldest_most,
        warmth_least=warmth_least,
        increment=increment,
        leaf_area=leaf_area,
    )
    return core.concerto_dynamics.dynamics_year(
        coldest=_cells(coldest, shape[0]),
        warmth=_cells(warmth, shape[0]),
        **{name: _cells(value, shape) for name, value in arrays.items()},
    )


def gaps_year(transition, kind, area, establishes=1.0, turnover=0.02, vigour=1.0):
    """Net exchange of area between woody types through the gaps of dying trees, added to ``transition``.

    Parameters
    ----------
    transition : (cell, from, to), fraction of the cell, of :func:`dynamics_year`
    kind, area : as of :func:`dynamics_year`
    establishes : (cell, tile), 1 where the climate lets the type establish
    turnover : share of the area whose trees die in the year
    vigour : strength in the lottery, any unit

    Returns
    -------
    transition, new_area
    """
    shape = np.shape(area)
    arrays = dict(kind=kind, area=area, establishes=establishes, turnover=turnover, vigour=vigour)
    transition = np.array(transition, dtype=float, order="F")
    new_area = core.concerto_dynamics.gaps_year(
        transition=transition, **{name: _cells(value, shape) for name, value in arrays.items()}
    )
    return transition, new_area


def _moved(area, transition, carried=1.0):
    n_cell, n_slot = np.shape(area)
    shape = (n_cell, n_slot, n_slot)
    return dict(area=_cells(area, shape[:2]), transition=_cells(transition, shape)), _cells(carried, shape)


def area_after(area, transition):
    """Area (fraction of the cell) after transitions (cell, from, to)."""
    return core.concerto_dynamics.area_after(**_moved(area, transition)[0])


def move_area(state, area, transition, carried=1.0):
    """Amounts per area (cell, tile, amount), such as kg m-2, after transitions (cell, from, to).

    ``carried`` (cell, from, to) is the share that arrives as it is. Returns the amounts and what was not
    carried, per new area of the receiver: the sum of area x (amount + rest) is conserved.
    """
    arrays, share = _moved(area, transition, carried)
    state = np.array(state, dtype=float, order="F")
    rest = core.concerto_dynamics.move_area(state=state, carried=share, **arrays)
    return state, rest


def move_area_heat(temperature, area, transition, capacity_before, capacity_after):
    """Temperatures (cell, tile, layer; K) after transitions: sensible heat is conserved.

    Capacities J m-2 K-1 of the same shape, with the water before and after the mixing.
    """
    arrays, _ = _moved(area, transition)
    temperature = np.array(temperature, dtype=float, order="F")
    core.concerto_dynamics.move_area_heat(
        capacity_before=_cells(capacity_before, temperature.shape),
        capacity_after=_cells(capacity_after, temperature.shape),
        temperature=temperature,
        **arrays,
    )
    return temperature


def move_area_mean(state, area, transition, carried=1.0):
    """Memories (cell, tile, memory) of any unit after transitions, such as running means in K: the mean over
    the plants that survive; a new tile takes those of the tile that gives most."""
    arrays, share = _moved(area, transition, carried)
    state = np.array(state, dtype=float, order="F")
    core.concerto_dynamics.move_area_mean(state=state, carried=share, **arrays)
    return state
