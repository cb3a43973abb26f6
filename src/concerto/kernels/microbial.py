"""Microbial soil carbon: MIMICS and Millennial version 2, over arrays of any shape.

Thin over the compiled core. Inputs broadcast against each other; a trailing axis of pools or days is named
where there is one. State that a routine updates is returned, never changed in place.
"""

from __future__ import annotations

import numpy as np

from concerto import _core as core
from concerto.kernels.carbon import _run

DAY = 86400.0
MIMICS_POOLS = (
    "metabolic_litter",
    "structural_litter",
    "microbes_r",
    "microbes_k",
    "protected_physically",
    "protected_chemically",
    "available",
)
MILLENNIAL_POOLS = ("particulate", "low_molecular", "aggregates", "microbes", "mineral_associated")

_MIMICS_NAMES = (
    "v_slope v_intercept v_factor "
    "v_metabolic_r v_structural_r v_available_r v_metabolic_k v_structural_k v_available_k "
    "k_slope_metabolic k_slope_structural k_slope_available k_intercept k_factor "
    "k_metabolic_r k_structural_r k_available_r k_metabolic_k k_structural_k k_available_k "
    "texture texture_clay oxidation_r oxidation_k "
    "efficiency_r efficiency_structural_r efficiency_k efficiency_structural_k "
    "death_r death_metabolic_r death_k death_metabolic_k "
    "death_production death_least death_most death_factor "
    "physical_r physical_clay_r physical_k physical_clay_k "
    "chemical_r chemical_metabolic_r chemical_k chemical_metabolic_k desorption desorption_clay "
    "bypass_metabolic bypass_structural desorption_q10 desorption_reference depth density_exponent reverse floor"
).split()
_MILLENNIAL_NAMES = (
    "to_particulate break_particulate half_particulate factor_particulate energy_particulate aggregation breakdown "
    "leaching desorption sorption_ph sorption_base half_uptake factor_uptake energy_uptake death "
    "aggregation_mineral efficiency efficiency_slope efficiency_reference suction_slope dry_activity death_mineral "
    "capacity gas_constant suction"
).split()


def _setting(names, values, changes):
    setting = np.array(values)
    for name, value in (changes or {}).items():
        if name not in names:
            raise KeyError(f"no parameter '{name}'; there are {', '.join(names)}")
        setting[names.index(name)] = value
    return setting


def mimics_parameters(**changes):
    """Parameters of MIMICS by name, with ``changes`` (per h and mg cm-3, as in the paper).

    Examples
    --------
    >>> mimics_parameters(density_exponent=1.5)["density_exponent"].item()
    1.5
    """
    values = _setting(_MIMICS_NAMES, core.concerto_mimics.mimics_parameters(), changes)
    return dict(zip(_MIMICS_NAMES, values, strict=True))


def millennial_parameters(**changes):
    """Parameters of Millennial version 2 by name, with ``changes`` (g m-2 and d, as in the paper)."""
    values = _setting(_MILLENNIAL_NAMES, core.concerto_millennial.millennial_parameters(), changes)
    return dict(zip(_MILLENNIAL_NAMES, values, strict=True))


def _mimics(parameters):
    return _setting(_MIMICS_NAMES, core.concerto_mimics.mimics_parameters(), parameters)


def _millennial(parameters):
    return _setting(_MILLENNIAL_NAMES, core.concerto_millennial.millennial_parameters(), parameters)


# ---- MIMICS
def mimics_metabolic_fraction(lignin_nitrogen, factor=1.0):
    """Metabolic share of litter from lignin:N, the ratio of mass fractions of **dry matter**.

    ``lignin_nitrogen`` = lignin share x 2.5 x C:N for litter that is 40 % carbon. Without the 2.5 (or divided by it)
    cold sites become unstable. ``factor`` 1 (site code) or 0.75 (CTSM).

    Examples
    --------
    >>> mimics_metabolic_fraction(20.588235).round(4)
    np.float64(0.5824)
    """
    return _run(
        core.concerto_mimics.mimics_metabolic_fraction, {"lignin_nitrogen": lignin_nitrogen}, factor=float(factor)
    )


def mimics_moisture(liquid, ice=0.0, option="corpse"):
    """Moisture factor of microbial uptake from liquid water and ice over pore space; ``none`` or ``corpse``."""
    number = {"none": 1, "corpse": 2}[option]
    return _run(core.concerto_mimics.mimics_moisture, {"liquid": liquid, "ice": ice}, option=number)


def mimics_litter_input(metabolic_fraction, litter_leaf=0.0, litter_fine_root=0.0, litter_wood=0.0, litter_seed=0.0):
    """Metabolic and structural litter (kg m-2) from dead tissue (kg m-2, or any other unit); wood is structural."""
    tile = dict(
        metabolic_fraction=metabolic_fraction,
        litter_leaf=litter_leaf,
        litter_fine_root=litter_fine_root,
        litter_wood=litter_wood,
        litter_seed=litter_seed,
    )
    return _run(core.concerto_mimics.mimics_litter_input, tile)


def _mimics_soil(clay, metabolic_fraction, annual_production):
    return dict(clay=clay, metabolic_fraction=metabolic_fraction, annual_production=annual_production)


def mimics_rates(
    carbon,
    temperature,
    clay,
    metabolic_fraction,
    annual_production,
    input_metabolic=0.0,
    input_structural=0.0,
    moisture_factor=1.0,
    parameters=None,
):
    """Rates of change of the MIMICS pools (kg m-2 s-1) and respiration (kg m-2 s-1).

    Parameters
    ----------
    carbon : (..., 7) kg m-2, order of ``MIMICS_POOLS``
    temperature : soil, K
    clay : per cent
    metabolic_fraction : share of litter
    annual_production : net primary production, kg m-2 yr-1 (scales mortality)
    input_metabolic, input_structural : litter, kg m-2 s-1
    moisture_factor : 0 to 1
    parameters : dict of changes to ``mimics_parameters``
    """
    tile = _mimics_soil(clay, metabolic_fraction, annual_production) | dict(
        temperature=temperature,
        moisture_factor=moisture_factor,
        input_metabolic=input_metabolic,
        input_structural=input_structural,
    )
    return _run(core.concerto_mimics.mimics_rates, tile, tail={"carbon": (carbon, 1)}, setting=_mimics(parameters))


def mimics_day(
    carbon,
    temperature,
    clay,
    metabolic_fraction,
    annual_production,
    input_metabolic=0.0,
    input_structural=0.0,
    moisture_factor=1.0,
    time_step=DAY,
    n_substep=4,
    parameters=None,
):
    """Pools after one step, respiration of the step and total (kg m-2); inputs are litter of the step, kg m-2.

    Other arguments as ``mimics_rates``.

    Examples
    --------
    >>> pools = [0.31, 1.24, 0.013, 0.015, 0.88, 1.01, 1.28]
    >>> after, respiration, total = mimics_day(pools, 282.85, 17.0, 0.58, 0.2155, 3.4e-4, 2.5e-4)
    >>> float(respiration.round(5))
    0.00058
    """
    tile = _mimics_soil(clay, metabolic_fraction, annual_production) | dict(
        temperature=temperature,
        moisture_factor=moisture_factor,
        input_metabolic=input_metabolic,
        input_structural=input_structural,
    )
    return _run(
        core.concerto_mimics.mimics_day,
        tile,
        state={"carbon": (carbon, 1)},
        n_substep=n_substep,
        time_step=time_step,
        setting=_mimics(parameters),
    )


def _days(**drivers):
    """Drivers with a trailing axis of days, broadcast along it."""
    drivers = {name: np.atleast_1d(np.asarray(value, dtype=float)) for name, value in drivers.items()}
    days = max(value.shape[-1] for value in drivers.values())
    return {name: (np.broadcast_to(v, (*v.shape[:-1], days)), 1) for name, v in drivers.items()}


def mimics_cycle(
    carbon,
    temperature,
    clay,
    metabolic_fraction,
    annual_production,
    input_metabolic,
    input_structural,
    moisture_factor=1.0,
    n_cycle=1,
    time_step=DAY,
    n_substep=4,
    parameters=None,
):
    """Pools after ``n_cycle`` cycles of daily drivers (trailing axis of days) and respiration of the last, kg m-2.

    ``temperature``, ``moisture_factor``, ``input_metabolic`` and ``input_structural`` (kg m-2 per step) have
    a trailing axis of days, of length 1 where constant.
    """
    tail = _days(
        temperature=temperature,
        moisture_factor=moisture_factor,
        input_metabolic=input_metabolic,
        input_structural=input_structural,
    )
    return _run(
        core.concerto_mimics.mimics_cycle,
        _mimics_soil(clay, metabolic_fraction, annual_production),
        tail=tail,
        state={"carbon": (carbon, 1)},
        n_cycle=n_cycle,
        n_substep=n_substep,
        time_step=time_step,
        setting=_mimics(parameters),
    )


def mimics_steady_state(
    temperature,
    clay,
    metabolic_fraction,
    annual_production,
    input_metabolic,
    input_structural,
    moisture_factor=1.0,
    n_iteration=60,
    parameters=None,
):
    """Pools that constant forcing keeps, and whether they are stable.

    Arguments as ``mimics_rates`` (inputs kg m-2 s-1).

    Returns
    -------
    carbon : (..., 7) kg m-2
    residual : largest relative rate of change, s-1
    eigenvalue : complex, s-1, of the Jacobian in log X with the largest real part; positive: unstable
    """
    tile = _mimics_soil(clay, metabolic_fraction, annual_production) | dict(
        temperature=temperature,
        moisture_factor=moisture_factor,
        input_metabolic=input_metabolic,
        input_structural=input_structural,
    )
    carbon, residual, jacobian = _run(
        core.concerto_mimics.mimics_steady_state, tile, n_iteration=n_iteration, setting=_mimics(parameters)
    )
    return carbon, residual, _leading(jacobian, np.real)


def _leading(jacobian, measure):
    values = np.linalg.eigvals(jacobian).astype(complex)
    place = np.argmax(measure(values), axis=-1)[..., None]
    return np.take_along_axis(values, place, axis=-1)[..., 0]


def mimics_periodic(
    temperature,
    clay,
    metabolic_fraction,
    annual_production,
    input_metabolic,
    input_structural,
    moisture_factor=1.0,
    n_iteration=36,
    tolerance=1e-10,
    time_step=DAY,
    n_substep=4,
    parameters=None,
):
    """Pools that return to themselves after a cycle of daily drivers, by Newton's method in log X.

    Drivers as ``mimics_cycle``.

    Returns
    -------
    carbon : (..., 7) at the start of the cycle, kg m-2
    respiration : of the cycle, kg m-2
    residual : largest change of log X over the cycle; above ``tolerance``: not solved
    cycles : forcing cycles consumed, tangents included
    multiplier : complex Floquet multiplier of largest modulus; modulus of 1 or more: unstable, an angle: oscillating
        with the period 2 pi/angle cycles
    """
    tail = _days(
        temperature=temperature,
        moisture_factor=moisture_factor,
        input_metabolic=input_metabolic,
        input_structural=input_structural,
    )
    carbon, respiration, residual, cycles, _, jacobian = _run(
        core.concerto_mimics.mimics_periodic,
        _mimics_soil(clay, metabolic_fraction, annual_production),
        tail=tail,
        n_iteration=n_iteration,
        n_substep=n_substep,
        time_step=time_step,
        tolerance=tolerance,
        setting=_mimics(parameters),
    )
    return carbon, respiration, residual, cycles, _leading(jacobian, np.abs)


# ---- Millennial
def _millennial_soil(porosity, ph, clay_silt, bulk_density):
    return dict(porosity=porosity, ph=ph, clay_silt=clay_silt, bulk_density=bulk_density)


def millennial_derivatives(
    carbon,
    temperature,
    water,
    input=0.0,
    porosity=0.6,
    ph=6.5,
    clay_silt=60.0,
    bulk_density=1200.0,
    parameters=None,
):
    """Rates of change of the Millennial pools, respiration and leaching (kg m-2 s-1).

    Parameters
    ----------
    carbon : (..., 5) kg m-2, order of ``MILLENNIAL_POOLS``
    temperature : soil, K
    water : liquid water content, m3 m-3
    input : litter, kg m-2 s-1
    porosity : m3 m-3
    ph : soil pH
    clay_silt : per cent
    bulk_density : kg m-3
    parameters : dict of changes to ``millennial_parameters``
    """
    tile = _millennial_soil(porosity, ph, clay_silt, bulk_density) | dict(
        temperature=temperature, water=water, input=input
    )
    return _run(
        core.concerto_millennial.millennial_derivatives,
        tile,
        tail={"carbon": (carbon, 1)},
        setting=_millennial(parameters),
    )


def millennial_day(
    carbon,
    temperature,
    water,
    input=0.0,
    porosity=0.6,
    ph=6.5,
    clay_silt=60.0,
    bulk_density=1200.0,
    time_step=DAY,
    n_substep=2,
    parameters=None,
):
    """Pools after one step, respiration, leaching and total (kg m-2); ``input`` is litter of the step, kg m-2.

    Other arguments as ``millennial_derivatives``.
    """
    tile = _millennial_soil(porosity, ph, clay_silt, bulk_density) | dict(
        temperature=temperature, water=water, input=input
    )
    return _run(
        core.concerto_millennial.millennial_day,
        tile,
        state={"carbon": (carbon, 1)},
        n_substep=n_substep,
        time_step=time_step,
        setting=_millennial(parameters),
    )


def millennial_cycle(
    carbon,
    temperature,
    water,
    input,
    porosity=0.6,
    ph=6.5,
    clay_silt=60.0,
    bulk_density=1200.0,
    n_cycle=1,
    time_step=DAY,
    n_substep=2,
    parameters=None,
):
    """Pools after ``n_cycle`` cycles of daily drivers, respiration and leaching of the last, kg m-2.

    ``temperature``, ``water`` and ``input`` (kg m-2 per step) have a trailing axis of days.
    """
    return _run(
        core.concerto_millennial.millennial_cycle,
        _millennial_soil(porosity, ph, clay_silt, bulk_density),
        tail=_days(temperature=temperature, water=water, input=input),
        state={"carbon": (carbon, 1)},
        n_cycle=n_cycle,
        n_substep=n_substep,
        time_step=time_step,
        setting=_millennial(parameters),
    )


def millennial_steady_state(
    temperature,
    water,
    input,
    porosity=0.6,
    ph=6.5,
    clay_silt=60.0,
    bulk_density=1200.0,
    parameters=None,
):
    """Pools (..., 5) that constant forcing keeps, kg m-2; arguments as ``millennial_derivatives``.

    No such state exists where microbes cannot grow (growth efficiency 0 above 30.8 degC, dry soil).
    """
    tile = _millennial_soil(porosity, ph, clay_silt, bulk_density) | dict(
        temperature=temperature, water=water, input=input
    )
    return _run(core.concerto_millennial.millennial_steady_state, tile, setting=_millennial(parameters))


def millennial_periodic(
    temperature,
    water,
    input,
    porosity=0.6,
    ph=6.5,
    clay_silt=60.0,
    bulk_density=1200.0,
    n_iteration=36,
    tolerance=1e-10,
    time_step=DAY,
    n_substep=2,
    parameters=None,
):
    """Pools that return to themselves after a cycle of daily drivers, by Newton's method in log X.

    Returns
    -------
    carbon, respiration, leached, residual, cycles, multiplier : as ``mimics_periodic``, with the carbon leached in
        the cycle, kg m-2
    """
    carbon, respiration, leached, residual, cycles, _, jacobian = _run(
        core.concerto_millennial.millennial_periodic,
        _millennial_soil(porosity, ph, clay_silt, bulk_density),
        tail=_days(temperature=temperature, water=water, input=input),
        n_iteration=n_iteration,
        n_substep=n_substep,
        time_step=time_step,
        tolerance=tolerance,
        setting=_millennial(parameters),
    )
    return carbon, respiration, leached, residual, cycles, _leading(jacobian, np.abs)
