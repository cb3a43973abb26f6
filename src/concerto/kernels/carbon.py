"""Phenology, plant carbon, decomposition and their equilibrium: one function per process, over arrays of
any shape.

Thin over the compiled core. Inputs broadcast against each other; a trailing axis of pools (or layers,
days) is named where
there is one. State that a routine updates is returned, never changed in place.
"""

from __future__ import annotations

import numpy as np

from concerto import _core as core
from concerto.kernels._call import LANES
from concerto.tables import decomposition as tables

FREEZING = 273.15
SECONDS_PER_YEAR = 3.15576e7
HEAD_DRY, HEAD_WET = -2.0 / 9.80665e-3, -0.002 / 9.80665e-3  # -2 and -0.002 MPa as head, m
CENTURY_Q10_FACTOR = 0.820595  # Q10 1.5 (25 degC) to the CENTURY curve (30 degC) at 15 degC


def _run(routine, tile=None, *, tail=None, state=None, **scalars):
    """Call a block routine: ``tile`` one value per tile, ``tail`` and ``state`` {name: (array, trailing
    axes)}.

    Returns the updated ``state`` arrays, then the outputs, each of the broadcast shape plus its own
    trailing axes.
    """
    tile = {name: np.asarray(value, dtype=float) for name, value in (tile or {}).items()}
    rest = {name: (np.asarray(a, dtype=float), k) for name, (a, k) in ((tail or {}) | (state or {})).items()}
    lead = [a.shape for a in tile.values()] + [a.shape[: a.ndim - k] for a, k in rest.values()]
    shape = np.broadcast_shapes(*lead)
    n = int(np.prod(shape, dtype=int))
    padded = max(LANES, -(-n // LANES) * LANES)  # as the model pads its blocks: every element in vector code

    def block(value, axes):
        own = value.shape[value.ndim - axes :]
        out = np.empty((padded, *own), order="F")
        out[:n] = np.broadcast_to(value, shape + own).reshape((n, *own))
        out[n:] = out[n - 1 : n] if n else 0.0
        return out

    def unblock(value):
        out = value[:n].reshape(shape + value.shape[1:])
        return out[()] if out.ndim == 0 else out

    arrays = {name: block(value, 0) for name, value in tile.items()}
    arrays |= {name: block(value, axes) for name, (value, axes) in rest.items()}
    outputs = routine(**arrays, **scalars)
    outputs = outputs if isinstance(outputs, tuple) else () if outputs is None else (outputs,)
    result = tuple(unblock(arrays[name]) for name in (state or {})) + tuple(unblock(value) for value in outputs)
    return result[0] if len(result) == 1 else result


# ---- phenology
def growing_season_index(limiter, air_temperature, shortwave, water_stress, cold, heat, light, water):
    """One day of the growing-season index (Jolly et al. 2005; LPJmL).

    Parameters
    ----------
    limiter : (..., 4) limiters of yesterday: cold, heat, light, water
    air_temperature : daily mean, K
    shortwave : daily mean, W m-2
    water_stress : 0 to 1 (1: none)
    cold, heat, light, water : triples (slope, base, rate); bases in degC, degC, W m-2, per cent; rates in d-1

    Returns
    -------
    limiter : (..., 4) of today
    phenology : their product, 0 to 1

    Examples
    --------
    >>> growing_season_index(np.ones(4), 283.15, 150.0, 1.0, (0.56, 5.7, 0.2), (1.7, 41.5, 0.2),
    ...                      (28.0, 39.8, 0.2), (3.2, 21.0, 0.6))[1].round(3)
    np.float64(0.983)
    """
    tile = {"air_temperature": air_temperature, "shortwave": shortwave, "water_stress": water_stress}
    for name, triple in {"cold": cold, "heat": heat, "light": light, "water": water}.items():
        tile |= {f"{name}_{part}": value for part, value in zip(("slope", "base", "rate"), triple, strict=True)}
    return _run(core.concerto_phenology.gsi_step, tile, state={"limiter": (limiter, 1)})


def leaf_area_target(maximum_leaf_area, phenology=1.0, evergreen=0.0, prescribed_leaf_area=-1.0, option="gsi"):
    """Leaf area index (m2 m-2) that growth and shedding aim at; ``option`` is ``gsi`` or ``prescribed``."""
    number = {"gsi": 1, "prescribed": 2}[option]
    tile = {
        "evergreen": evergreen,
        "maximum_leaf_area": maximum_leaf_area,
        "phenology": phenology,
        "prescribed_leaf_area": prescribed_leaf_area,
    }
    return _run(core.concerto_phenology.leaf_area_target, tile, option=number)


def knorr_leaf_area(
    leaf_area,
    temperature_memory,
    leaf_area_memory,
    air_temperature,
    day_length,
    plant_water,
    transpiration,
    maximum_leaf_area,
    temperature_threshold,
    temperature_spread,
    day_length_threshold,
    day_length_spread,
    growth_rate,
    loss_rate,
    water_time,
    time_step=1.0,
):
    """Leaf area after one step of the prognostic scheme of Knorr et al. (2010).

    Temperatures K, day lengths h, ``plant_water`` kg m-2, ``transpiration`` kg m-2 d-1, rates d-1, times
    and step d.
    Returns temperature memory, leaf area memory, leaf area, share of plants active by temperature.
    """
    tile = dict(
        air_temperature=air_temperature,
        day_length=day_length,
        plant_water=plant_water,
        transpiration=transpiration,
        maximum_leaf_area=maximum_leaf_area,
        temperature_threshold=temperature_threshold,
        temperature_spread=temperature_spread,
        day_length_threshold=day_length_threshold,
        day_length_spread=day_length_spread,
        growth_rate=growth_rate,
        loss_rate=loss_rate,
        water_time=water_time,
    )
    state = {
        "temperature_memory": (temperature_memory, 0),
        "leaf_area_memory": (leaf_area_memory, 0),
        "leaf_area": (leaf_area, 0),
    }
    return _run(core.concerto_phenology.knorr_leaf_area_step, tile, state=state, time_step=time_step)


def optimal_leaf_area(
    potential_production,
    co2_pressure,
    ci_ratio,
    vapour_deficit,
    precipitation,
    aridity,
    season_length,
    extinction=0.5,
    cost=12.227,
    season_factor=0.771,
):
    """Largest leaf area that light or water pays for (Zhou, Cai & Prentice 2025).

    Annual potential GPP and precipitation in mol m-2, CO2 and vapour pressure deficit in Pa, season
    length in d.
    Returns largest absorbed share of light, largest leaf area index, slope m of its seasonal course, and f0.
    """
    tile = dict(
        potential_production=potential_production,
        co2_pressure=co2_pressure,
        ci_ratio=ci_ratio,
        vapour_deficit=vapour_deficit,
        precipitation=precipitation,
        aridity=aridity,
        season_length=season_length,
    )
    scalars = dict(extinction=extinction, cost=cost, season_factor=season_factor)
    return _run(core.concerto_phenology.optimal_leaf_area, tile, **scalars)


def optimal_leaf_area_day(leaf_area, slope, production, leaf_area_maximum, extinction=0.5, relaxation=0.067):
    """Leaf area index after one day with potential GPP ``production`` (mol m-2 d-1); ``slope`` is m of
    `optimal_leaf_area`."""
    tile = dict(slope=slope, production=production, leaf_area_maximum=leaf_area_maximum)
    return _run(
        core.concerto_phenology.optimal_leaf_area_day,
        tile,
        state={"leaf_area": (leaf_area, 0)},
        extinction=extinction,
        relaxation=relaxation,
    )


# ---- plants
def maintenance_respiration(
    labile,
    fine_root,
    sapwood,
    air_temperature,
    root_temperature,
    leaf_respiration=0.0,
    root_respiration=2.525e-6,
    sapwood_respiration=8.3e-7,
    respiration_factor=1.0,
    root_cn=42.0,
    sapwood_cn=330.0,
    q10=1.5,
):
    """Maintenance respiration (kg m-2 s-1) of leaves (as demanded), stems and fine roots, limited by the
    labile pool.

    Pools kg m-2; rates per nitrogen at 20 degC, s-1 (Ryan 1991, CTSM). Returns leaf, stem, root and the
    share paid.
    """
    tile = dict(
        labile=labile,
        fine_root=fine_root,
        sapwood=sapwood,
        leaf_respiration=leaf_respiration,
        air_temperature=air_temperature,
        root_temperature=root_temperature,
        root_respiration=root_respiration,
        sapwood_respiration=sapwood_respiration,
        respiration_factor=respiration_factor,
        root_cn=root_cn,
        sapwood_cn=sapwood_cn,
        q10=q10,
    )
    return _run(core.concerto_vegetation.maintenance_respiration, tile)


POOLS = ("labile", "leaf", "fine_root", "sapwood", "heartwood", "seed")
TRAITS = dict(
    specific_leaf_area=30.8,
    maximum_leaf_area=5.5,
    woody=1.0,
    root_leaf_ratio=1.39,
    labile_time=20.0,
    flush_time=10.0,
    shed_time=10.0,
    reserve_ratio=1.5,
    growth_fraction=0.11,
    seed_share=0.1,
    leaf_longevity=2.0,
    fine_root_longevity=1.0,
    sapwood_longevity=25.0,
    seed_longevity=1.0,
    mortality=0.0211,
)


def vegetation_day(pools, net_carbon, air_temperature, water_stress, leaf_area_target, time_step=1.0, **traits):
    """One daily step of plant carbon.

    Parameters
    ----------
    pools : dict with `POOLS` (kg m-2) and ``stress_memory`` (0 to 1)
    net_carbon : GPP - maintenance respiration of the day, kg m-2
    air_temperature : K
    water_stress : 0 to 1 (1: none)
    leaf_area_target : m2 m-2
    time_step : d
    **traits : those of `TRAITS` that differ from a temperate broadleaved deciduous tree

    Returns
    -------
    dict of the new pools and of ``growth_respiration``, ``litter_leaf``, ``litter_fine_root``,
    ``litter_wood``,
    ``litter_seed``, ``leaf_deficit`` (kg m-2) and ``leaf_area`` (m2 m-2).
    """
    unknown = set(traits) - set(TRAITS)
    if unknown:
        raise TypeError(f"unknown trait {sorted(unknown)[0]}; known: {', '.join(TRAITS)}")
    tile = (
        TRAITS
        | traits
        | dict(
            net_carbon=net_carbon,
            air_temperature=air_temperature,
            water_stress=water_stress,
            leaf_area_target=leaf_area_target,
        )
    )
    names = (*POOLS, "stress_memory")
    out = _run(
        core.concerto_vegetation.vegetation_daily,
        tile,
        state={name: (pools[name], 0) for name in names},
        time_step=time_step,
    )
    more = (
        "growth_respiration",
        "litter_leaf",
        "litter_fine_root",
        "litter_wood",
        "litter_seed",
        "leaf_deficit",
        "leaf_area",
    )
    return dict(zip(names + more, out, strict=True))


# ---- decomposition
def decomposition_scheme(name, sand=43.0, clay=18.0, lignin=0.2, n_pool=None):
    """Rates (..., pool), transfer fractions (..., receiver, donor) and respired fractions (..., pool) of
    a scheme.

    ``name`` is ``cencn``, ``rothc``, ``century`` or ``yasso07``; sand and clay in per cent, ``lignin``
    (share of structural
    litter) acts in ``century`` only. Rates in s-1. ``n_pool`` beyond those of the scheme adds empty pools.
    """
    scheme = tables.schemes()[name]
    return _run(
        core.concerto_decomposition.decomposition_scheme,
        dict(sand=sand, clay=clay, lignin=lignin),
        n_pool=n_pool or len(scheme.pools),
        scheme=scheme.number,
    )


def litter_to_pools(
    name,
    litter_leaf=0.0,
    litter_fine_root=0.0,
    litter_wood=0.0,
    litter_seed=0.0,
    metabolic=0.25,
    cellulose=0.5,
    dpm_rpm_ratio=0.25,
):
    """Input (..., pool) of a scheme from dead tissue, all kg m-2 (or any other unit)."""
    scheme = tables.schemes()[name]
    tile = dict(
        litter_leaf=litter_leaf,
        litter_fine_root=litter_fine_root,
        litter_wood=litter_wood,
        litter_seed=litter_seed,
        metabolic=metabolic,
        cellulose=cellulose,
        dpm_rpm_ratio=dpm_rpm_ratio,
    )
    return _run(core.concerto_decomposition.litter_to_pools, tile, n_pool=len(scheme.pools), scheme=scheme.number)


def soil_carbon_step(carbon, input, rate, transfer, respired, scalar=1.0, time_step=86400.0, n_substep=1):
    """One step of linear soil carbon pools, exact for constant rates.

    ``carbon``, ``input`` (kg m-2 in the step), ``rate`` (s-1), ``respired`` are (..., pool), ``transfer``
    (..., receiver,
    donor), ``scalar`` (...). Use more substeps where rate x scalar x step exceeds 0.3. Returns the pools,
    respiration and what
    left each pool (kg m-2).
    """
    tail = {"input": (input, 1), "rate": (rate, 1), "transfer": (transfer, 2), "respired": (respired, 1)}
    return _run(
        core.concerto_decomposition.soil_carbon_step,
        {"scalar": scalar},
        tail=tail,
        state={"carbon": (carbon, 1)},
        time_step=time_step,
        n_substep=n_substep,
    )


def heterotrophic_respiration(carbon, rate, respired, scalar=1.0):
    """Respiration (kg m-2 s-1) of pools (..., pool) at a moment; see `soil_carbon_step`."""
    tail = {"carbon": (carbon, 1), "rate": (rate, 1), "respired": (respired, 1)}
    return _run(core.concerto_decomposition.heterotrophic_respiration, {"scalar": scalar}, tail=tail)


def soil_carbon_periodic(scalar, input, rate, transfer, respired, carbon=0.0, time_step=86400.0):
    """Pools that return to themselves after a cycle (exact solve).

    ``scalar`` (..., day), ``input`` (..., pool, day) in kg m-2; ``carbon`` keeps pools that never
    decompose. Returns the pools
    at the start of the cycle, the respiration of a cycle and the residual (relative).
    """
    tail = {
        "scalar": (scalar, 1),
        "input": (input, 2),
        "rate": (rate, 1),
        "transfer": (transfer, 2),
        "respired": (respired, 1),
    }
    start = np.broadcast_to(np.asarray(carbon, dtype=float), np.shape(rate))
    return _run(
        core.concerto_decomposition.soil_carbon_periodic,
        tail=tail,
        state={"carbon": (start, 1)},
        time_step=time_step,
    )


def rothc_month(carbon, input, clay, scalar, time_step=1.0 / 12.0):
    """One month of RothC in its own order; pools and input (..., 4), ``time_step`` yr. Returns pools and
    CO2."""
    return _run(
        core.concerto_decomposition.rothc_month,
        dict(clay=clay, scalar=scalar),
        tail={"input": (input, 1)},
        state={"carbon": (carbon, 1)},
        time_step=time_step,
    )


# ---- environment scalars
def decomposition_scalar(
    temperature,
    head,
    weight,
    name="cencn",
    q10=1.5,
    q10_factor=CENTURY_Q10_FACTOR,
    head_dry=HEAD_DRY,
    head_wet=HEAD_WET,
    deficit=0.0,
    clay=18.0,
    rothc_depth=23.0,
    vegetated=1.0,
):
    """Multiplier of the rates of a one-layer scheme from soil temperature (K) and head (m), both (...,
    layer)."""
    weight = np.asarray(weight, dtype=float)
    return _run(
        core.concerto_environment_scalars.decomposition_scalar,
        dict(q10=q10, deficit=deficit, clay=clay, vegetated=vegetated),
        tail={"temperature": (temperature, 1), "head": (head, 1)},
        scheme=tables.schemes()[name].number,
        weight=weight,
        q10_factor=q10_factor,
        head_dry=head_dry,
        head_wet=head_wet,
        rothc_depth=rothc_depth,
    )


def temperature_scalar(name, temperature, **parameters):
    """Multiplier by temperature (K).

    ``name`` and ``parameters``: ``q10`` (q10 1.5, reference 298.15 K), ``lloyd_taylor`` (zero_celsius
    273.15), ``rothc`` (scale
    47.91, slope 106.06, shift 18.27, lowest -5), ``century_arctan``, ``daycent1``, ``daycent2`` (lowest
    0), ``arrhenius``
    (factor, activation_energy, gas 8.314462618), ``century1`` (highest 45, optimum 35), ``kirschbaum``,
    ``standcarb``.
    """
    defaults = {
        "q10": dict(q10=1.5, reference=298.15),
        "lloyd_taylor": dict(zero_celsius=FREEZING),
        "rothc": dict(scale=47.91, slope=106.06, shift=18.27, lowest=-5.0),
        "daycent2": dict(lowest=0.0),
        "arrhenius": dict(gas=8.314462618),
        "century1": dict(highest=45.0, optimum=35.0),
    }
    values = defaults.get(name, {}) | parameters
    tile = {"temperature": temperature}
    if name == "q10":
        tile |= {key: values.pop(key) for key in ("q10", "reference")}
    return _run(getattr(core.concerto_environment_scalars, f"temperature_{name}"), tile, **values)


def moisture_scalar(name, **arguments):
    """Multiplier by moisture.

    ``name`` and its arguments: ``log_potential`` (head; head_dry, head_wet), ``rothc`` (deficit mm, clay
    %; depth cm), ``candy``
    (pore_volume, water), ``daycent1`` (bulk_density g cm-3, water), ``daycent2`` (wilting,
    field_capacity, water in %),
    ``demeter`` (saturation, water), ``gompertz`` (water), ``moyano`` (water), ``skopp`` (relative_water),
    ``century``
    (precipitation_ratio). ``water`` is m3 m-3 unless said.
    """
    scalars = {"log_potential": dict(head_dry=HEAD_DRY, head_wet=HEAD_WET), "rothc": dict(depth=23.0)}.get(name, {})
    scalars = {key: arguments.get(key, value) for key, value in scalars.items()}
    tile = {key: value for key, value in arguments.items() if key not in scalars}
    return _run(getattr(core.concerto_environment_scalars, f"moisture_{name}"), tile, **scalars)


def rothc_deficit(
    deficit, rain, evaporation, clay, depth=23.0, vegetated=1.0, pan_factor=0.75, bare_divisor=1.0 / 0.556
):
    """Accumulated topsoil moisture deficit (mm, negative) of RothC after one interval of rain and
    evaporation (mm)."""
    return _run(
        core.concerto_environment_scalars.rothc_deficit_step,
        dict(clay=clay, depth=depth, vegetated=vegetated, rain=rain, evaporation=evaporation),
        state={"deficit": (deficit, 0)},
        pan_factor=pan_factor,
        bare_divisor=bare_divisor,
    )


# ---- equilibrium
DRIVERS = (
    "gpp",
    "leaf_respiration",
    "air_temperature",
    "water_stress",
    "leaf_area",
    "stem_response",
    "root_response",
    "decomposition",
)


def carbon_equilibrium(
    driver,
    pools,
    rate,
    transfer,
    respired,
    carbon=0.0,
    name="cencn",
    n_cycle=400,
    root_rate=6.0e-8,
    sapwood_rate=2.5e-9,
    metabolic=0.25,
    cellulose=0.5,
    dpm_rpm_ratio=0.25,
    stand_age=0.0,
    **traits,
):
    """Plant and soil carbon that return to themselves after a cycle of daily drivers.

    Parameters
    ----------
    driver : (..., 8, day) in the order of `DRIVERS`: kg m-2 d-1, kg m-2 d-1, K, 1, m2 m-2, 1, 1, 1
    pools : dict of start pools, as in `vegetation_day`
    rate, transfer, respired : of `decomposition_scheme`, broadcast over the tiles
    n_cycle : cycles of the plant step (the soil and heartwood are solved directly)
    root_rate, sapwood_rate : respiration per carbon at 20 degC, s-1
    stand_age : years since the stand began to grow, 0 for wood in equilibrium

    Returns
    -------
    dict with the pools, ``carbon`` (..., pool), ``vegetation_residual``, ``soil_residual`` (relative
    change over a cycle),
    ``cycle_gpp``, ``cycle_npp``, ``cycle_rh`` (kg m-2).
    """
    tile = (
        TRAITS
        | traits
        | dict(
            root_rate=root_rate,
            sapwood_rate=sapwood_rate,
            metabolic=metabolic,
            cellulose=cellulose,
            dpm_rpm_ratio=dpm_rpm_ratio,
            stand_age=stand_age,
        )
    )
    names = (*POOLS, "stress_memory")
    state = {key: (pools[key], 0) for key in names}
    state["carbon"] = (np.broadcast_to(np.asarray(carbon, dtype=float), np.shape(rate)), 1)
    tail = {"driver": (driver, 2), "rate": (rate, 1), "transfer": (transfer, 2), "respired": (respired, 1)}
    out = _run(
        core.concerto_carbon_spinup.carbon_spinup,
        tile,
        tail=tail,
        state=state,
        n_cycle=n_cycle,
        scheme=tables.schemes()[name].number,
    )
    more = ("vegetation_residual", "soil_residual", "cycle_gpp", "cycle_npp", "cycle_rh")
    return dict(zip((*names, "carbon", *more), out, strict=True))
