"""13C and 14C as tracers of carbon: photosynthetic discrimination, pools of plants and soil, decay, conversions.

Thin over the compiled core. Inputs broadcast against each other; a trailing axis of pools or fluxes is named
where there is one. A tracer is the abundance of the isotope relative to that of the standard, times the carbon
(kg m-2): tracer = carbon means delta13C = 0 (VPDB) or Delta14C = 0 per mil.
"""

from __future__ import annotations

import numpy as np

from concerto import _core as core
from concerto.kernels.carbon import _run

HALF_LIFE = 5730.0  # yr (Godwin 1962); 5568 (Libby) only to repeat programs that use it
LIBBY_MEAN_LIFE = 8033.0  # yr, of conventional ages (Stuiver & Polach 1977)
MEAN_LIFE = 8267.0  # yr, that of the half-life
STANDARD_RATIO = 0.0112372  # 13C / 12C of VPDB (Craig 1957)
STANDARD_ABUNDANCE = STANDARD_RATIO / (1.0 + STANDARD_RATIO)  # 13C / C of VPDB
FRACTIONATION = {
    "diffusion": 4.4,
    "carboxylation": 27.0,
    "pep_carboxylation": -5.7,
    "leak": 30.0,
    "leakiness": 0.4,
}
SECONDS_PER_YEAR = 3.15576e7


# ---- photosynthesis
def carbon13_discrimination(ci, ca, c4=0.0, **constants):
    """Discrimination of a leaf against 13C, per mil: R_air / R_assimilate - 1.

    C3: a + (b - a) ci/ca (Farquhar, O'Leary & Berry 1982); C4: a + (b4 + b3 phi - a) ci/ca (Farquhar 1983).

    Parameters
    ----------
    ci, ca : CO2 inside the leaf and in the air, ppm (or Pa, both the same)
    c4 : 1 for C4 plants
    **constants : diffusion (a) 4.4, carboxylation (b) 27, pep_carboxylation (b4) -5.7, leak (b3) 30 per mil;
        leakiness (phi) 0.4

    Examples
    --------
    >>> carbon13_discrimination([280.0, 160.0], 400.0, [0.0, 1.0]).round(2)
    array([20.22,  5.16])
    """
    scalars = FRACTIONATION | constants
    return _run(core.concerto_isotopes.discrimination, {"ci": ci, "ca": ca, "c4": c4}, **scalars)


def add_carbon13_discrimination(weighted, assimilation, ci, ca, c4=0.0, time_step=1800.0, **constants):
    """Sum of gross assimilation times discrimination (kg m-2 per mil) after a step of one class of leaves.

    ``assimilation`` kg m-2 s-1, ``time_step`` s, the rest as in :func:`carbon13_discrimination`.
    """
    tile = {"assimilation": assimilation, "ci": ci, "ca": ca, "c4": c4}
    state = {"weighted": (weighted, 0)}
    scalars = FRACTIONATION | constants
    return _run(core.concerto_isotopes.add_discrimination, tile, state=state, time_step=time_step, **scalars)


def mean_carbon13_discrimination(weighted, gpp):
    """Mean discrimination (per mil) weighted by photosynthesis; both sums in kg m-2 (per mil), 0 without any."""
    return _run(core.concerto_isotopes.mean_discrimination, {"weighted": weighted, "gpp": gpp})


def carbon13_of_assimilate(delta13c_air, discrimination):
    """Normalised 13C abundance (dimensionless) of assimilate, from the delta13C of the air and discrimination, per mil.

    Examples
    --------
    >>> delta13c(1.0, carbon13_of_assimilate(-8.0, 20.0)).round(3)
    np.float64(-27.451)
    """
    return _run(core.concerto_isotopes.assimilate_carbon13, {"delta_air": delta13c_air, "permil": discrimination})


def carbon14_of_assimilate(delta14c_air):
    """Normalised 14C abundance (dimensionless) of assimilate: Delta14C (per mil) is free of fractionation."""
    return _run(core.concerto_isotopes.assimilate_carbon14, {"delta_air": delta14c_air})


# ---- pools
def tracer_plants_day(tracer, carbon, flux, flux_donor, flux_receiver, gpp, maintenance, assimilate, n_sink):
    """One day of a tracer in plants, from a table of carbon fluxes.

    Tissue gives with the ratio it had before the day; the labile pool first mixes what it held, the assimilate and
    what tissue returns to it.

    Parameters
    ----------
    tracer, carbon : (..., 6) tracer and carbon before the day, kg m-2: labile, leaf, fine root, sapwood,
        heartwood, seed
    flux : (..., flux) carbon moved in the day, kg m-2
    flux_donor : (flux,) pool that gives, 1 to 6
    flux_receiver : (flux,) pool that gets, 1 to 6, or 6 + number of a sink outside the plant
    gpp, maintenance : photosynthesis and maintenance respiration of the day, kg m-2
    assimilate : normalised abundance of the assimilate
    n_sink : sinks of the table

    Returns
    -------
    tracer : (..., 6) after the day, kg m-2
    sink : (..., n_sink) tracer that each sink got, kg m-2
    respired : tracer in maintenance respiration, kg m-2
    """
    tile = {"gpp": gpp, "maintenance": maintenance, "assimilate": assimilate}
    return _run(
        core.concerto_isotopes.tracer_plants_day,
        tile,
        tail={"flux": (flux, 1), "carbon": (carbon, 1)},
        state={"tracer": (tracer, 1)},
        flux_donor=np.asarray(flux_donor, dtype=np.int32),
        flux_receiver=np.asarray(flux_receiver, dtype=np.int32),
        n_sink=n_sink,
    )


def radioactive_decay(tracer, time_step=1.0, half_life=HALF_LIFE):
    """Pools (..., pool) after a time (d) of decay with a half-life (yr), and what they lost, kg m-2.

    Examples
    --------
    >>> radioactive_decay([1.0], time_step=5730 * 365.25)[0].round(12)
    array([0.5])
    """
    state = {"tracer": (tracer, 1)}
    scalars = {"time_step": time_step, "half_life": half_life}
    return _run(core.concerto_isotopes.radioactive_decay, state=state, **scalars)


def radiocarbon_equilibrium(tracer, carbon, rate, transfer, scalar, input, tracer_input, half_life=HALF_LIFE):
    """14C of soil pools without layers in equilibrium with decay, as the start after a spin-up.

    The ratios that means of scalar and inputs give, times the carbon. Pools that do not decompose keep their tracer.

    Parameters
    ----------
    tracer, carbon : (..., pool) 14C tracer and carbon, kg m-2
    rate, transfer : (..., pool) s-1 and (..., receiver, donor) of ``decomposition_scheme``
    scalar : mean environment scalar
    input, tracer_input : (..., pool) mean input of carbon and of its 14C, kg m-2 s-1
    half_life : yr

    Examples
    --------
    >>> year = 3.15576e7
    >>> tracer = radiocarbon_equilibrium([0.0], [1.0], [1e-3 / year], [[0.0]], 1.0, [1.0], [1.0])
    >>> delta14c(1.0, tracer[0]).round(3)
    np.float64(-107.914)
    """
    tail = {"rate": (rate, 1), "transfer": (transfer, 2), "carbon": (carbon, 1)}
    tail |= {"input": (input, 1), "tracer_input": (tracer_input, 1)}
    state = {"tracer": (tracer, 1)}
    routine = core.concerto_isotopes.radiocarbon_equilibrium
    return _run(routine, {"scalar": scalar}, tail=tail, state=state, half_life=half_life)


def tracer_column_day(
    tracer, input, rate, transfer, respired, scalar, mixing, limitation, thickness, time_step=86400.0
):
    """One step of a tracer in layered soil, with the operators of carbon (``soil_column``).

    Parameters
    ----------
    tracer, input : (..., layer, pool) tracer of the pools and in the litter of the step, kg m-2 per layer
    rate, transfer, respired : (..., pool) s-1, (..., receiver, donor), (..., pool) of ``decomposition_scheme``
    scalar : (..., layer) environment scalar
    mixing : (..., layer - 1) diffusivity over distance at faces, m s-1
    limitation : (..., layer, pool) share of potential decomposition that nitrogen allows, 0 to 1
    thickness : (layer,) m
    time_step : s

    Returns
    -------
    tracer : (..., layer, pool) kg m-2 per layer
    respiration : (..., layer) tracer respired, kg m-2 per layer
    """
    tail = {"rate": (rate, 1), "transfer": (transfer, 2), "respired": (respired, 1), "scalar": (scalar, 1)}
    tail |= {"mixing": (mixing, 1), "limitation": (limitation, 2), "input": (input, 2)}
    scalars = {"time_step": time_step, "thickness": np.asarray(thickness, dtype=float)}
    return _run(core.concerto_isotopes.tracer_column_day, tail=tail, state={"tracer": (tracer, 2)}, **scalars)


def radiocarbon_column_equilibrium(
    tracer, carbon, rate, transfer, respired, scalar, mixing, input, tracer_input, thickness, half_life=HALF_LIFE
):
    """14C of layered soil in equilibrium with decay: as :func:`radiocarbon_equilibrium`, with axes (..., layer, pool).

    ``mixing`` (..., layer - 1) m s-1, ``scalar`` (..., layer), ``thickness`` (layer,) m; inputs kg m-2 s-1 per layer.
    """
    tail = {"rate": (rate, 1), "transfer": (transfer, 2), "respired": (respired, 1), "scalar": (scalar, 1)}
    tail |= {"mixing": (mixing, 1), "carbon": (carbon, 2), "input": (input, 2), "tracer_input": (tracer_input, 2)}
    scalars = {"half_life": half_life, "thickness": np.asarray(thickness, dtype=float)}
    routine = core.concerto_isotopes.radiocarbon_column_equilibrium
    return _run(routine, tail=tail, state={"tracer": (tracer, 2)}, **scalars)


# ---- conversions
def delta13c(carbon, tracer, smallest=1e-9):
    """delta13C (VPDB, per mil) of pools or fluxes, kg m-2; nan where carbon is below ``smallest``."""
    tile = {"carbon": carbon, "tracer": tracer}
    return _run(core.concerto_isotopes.delta_carbon13, tile, missing=np.nan, smallest=smallest)


def tracer_of_delta13c(carbon, delta):
    """13C tracer (kg m-2) of carbon (kg m-2) with a delta13C (VPDB, per mil); the inverse of ``delta13c``.

    Examples
    --------
    >>> delta13c(2.0, tracer_of_delta13c(2.0, -25.0)).round(10)
    np.float64(-25.0)
    """
    ratio = 1.0 + 1e-3 * np.asarray(delta, dtype=float)
    return np.asarray(carbon) * ratio * (1.0 + STANDARD_RATIO) / (1.0 + STANDARD_RATIO * ratio)


def delta14c(carbon, tracer, smallest=1e-9):
    """Delta14C (per mil, normalised for fractionation) of pools or fluxes, kg m-2; nan below ``smallest`` carbon."""
    tile = {"carbon": carbon, "tracer": tracer}
    return _run(core.concerto_isotopes.delta_carbon14, tile, missing=np.nan, smallest=smallest)


def tracer_of_delta14c(carbon, delta):
    """14C tracer (kg m-2) of carbon (kg m-2) with a Delta14C (per mil); the inverse of ``delta14c``."""
    return np.asarray(carbon) * (1.0 + 1e-3 * np.asarray(delta, dtype=float))


def fraction_modern(delta, year=1950.0):
    """F14C (dimensionless) of material measured in ``year`` with a Delta14C (per mil): the standard decays until then.

    F14C = (1 + Delta14C / 1000) exp((year - 1950) / 8267 yr) (Stuiver & Polach 1977; Reimer et al. 2004).
    """
    return (1.0 + 1e-3 * np.asarray(delta, dtype=float)) * np.exp((np.asarray(year, dtype=float) - 1950.0) / MEAN_LIFE)


def radiocarbon_age(delta, year=1950.0, mean_life=LIBBY_MEAN_LIFE):
    """Conventional radiocarbon age, yr before 1950, of a Delta14C (per mil) measured in ``year``; negative after bombs.

    Examples
    --------
    >>> radiocarbon_age(-107.914).round()
    np.float64(917.0)
    """
    return -mean_life * np.log(fraction_modern(delta, year))


def turnover_time(delta, delta_air=0.0, half_life=HALF_LIFE):
    """Turnover time, yr, of one well-mixed steady pool with a Delta14C (per mil) under air of constant ``delta_air``.

    tau = (F_air / F - 1) / lambda: the inverse of F = F_air / (1 + lambda tau). Not for material that holds bomb 14C.

    Examples
    --------
    >>> turnover_time(-11.952).round()
    np.float64(100.0)
    """
    ratio = (1.0 + 1e-3 * np.asarray(delta_air, dtype=float)) / (1.0 + 1e-3 * np.asarray(delta, dtype=float))
    return (ratio - 1.0) * half_life / np.log(2.0)
