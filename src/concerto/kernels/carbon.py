"""Phenology, plant carbon and decomposition: one function per process, over arrays of
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
# potentials between which water limits decomposition, as head, m
HEAD_DRY = float(core.concerto_environment_scalars.decomposition_driest)
HEAD_WET = float(core.concerto_environment_scalars.decomposition_wettest)
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
MAINTENANCE = {"n_q10": 1, "tjoelker": 2, "lloyd_taylor": 3}
ALLOCATION = {"target_ratio": 1, "pipe_model": 2, "fixed": 3, "resource": 4}


def maintenance_response(temperature, q10=2.0, maintenance="n_q10", temperature_10d=None):
    """Temperature response of maintenance respiration, 1 at 20 degC.

    ``temperature`` in K; ``maintenance`` is ``n_q10``, ``tjoelker`` or ``lloyd_taylor``. With ``temperature_10d``
    (mean air temperature of ten days, K) the rate acclimates: 10**(-0.00794 (T - 25 degC)).
    """
    acclimation = 1 if temperature_10d is None else 2
    tile = dict(
        temperature=temperature, q10=q10, temperature_10d=FREEZING if temperature_10d is None else temperature_10d
    )
    return _run(
        core.concerto_vegetation.maintenance_response,
        tile,
        maintenance=MAINTENANCE[maintenance],
        acclimation=acclimation,
    )


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
    maintenance="n_q10",
    temperature_10d=None,
):
    """Maintenance respiration (kg m-2 s-1) of leaves (as demanded), stems and fine roots, limited by the
    labile pool.

    Pools kg m-2; rates per nitrogen at 20 degC, s-1 (Ryan 1991, CTSM). Temperatures in K; ``maintenance`` and
    ``temperature_10d`` as in `maintenance_response`. Returns leaf, stem, root and the share paid.
    """
    tile = dict(
        labile=labile,
        fine_root=fine_root,
        sapwood=sapwood,
        leaf_respiration=leaf_respiration,
        stem_response=maintenance_response(air_temperature, q10, maintenance, temperature_10d),
        root_response=maintenance_response(root_temperature, q10, maintenance, temperature_10d),
        root_respiration=root_respiration,
        sapwood_respiration=sapwood_respiration,
        respiration_factor=respiration_factor,
        root_cn=root_cn,
        sapwood_cn=sapwood_cn,
    )
    return _run(core.concerto_vegetation.maintenance_respiration, tile)


POOLS = ("labile", "leaf", "fine_root", "sapwood", "heartwood", "seed")
FLUXES = (
    "leaf_debt",
    "root_debt",
    "sapwood_debt",
    "seed_debt",
    "labile_mortality",
    "leaf_mortality",
    "root_mortality",
    "sapwood_mortality",
    "heartwood_mortality",
    "seed_mortality",
    "leaf_turnover",
    "root_turnover",
    "sapwood_turnover",
    "seed_turnover",
    "heartwood_formation",
    "germination",
    "leaf_growth",
    "root_growth",
    "sapwood_growth",
    "seed_growth",
    "growth_respiration",
)
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
# traits and drivers that the carbon-only default does not need
MORE_TRAITS = dict(
    nitrogen_supply=1e30,
    annual_npp=0.5,
    leaf_damage=0.0,
    branch_longevity=1e30,
    leaf_cn=21.64,
    root_cn=42.0,
    sapwood_cn=330.0,
    seed_cn=30.0,
    canopy_height=20.0,
    wood_density=200.0,
    leaf_sapwood_area=5000.0,
    stem_leaf_ratio=-1.0,
)


def vegetation_day(
    pools,
    net_carbon,
    air_temperature,
    water_stress,
    leaf_area_target,
    time_step=1.0,
    allocation="target_ratio",
    **traits,
):
    """One daily step of plant carbon.

    Parameters
    ----------
    pools : dict with `POOLS` (kg m-2) and ``stress_memory`` (0 to 1)
    net_carbon : GPP - maintenance respiration of the day, kg m-2
    air_temperature : K
    water_stress : 0 to 1 (1: none)
    leaf_area_target : m2 m-2
    time_step : d
    allocation : ``target_ratio``, ``pipe_model``, ``fixed`` or ``resource``
    **traits : those of `TRAITS` and `MORE_TRAITS` that differ from a temperate broadleaved deciduous tree

    Returns
    -------
    dict of the new pools and of ``growth_respiration``, ``growth_nitrogen`` (nitrogen that growth would use without a
    limit), ``litter_leaf``, ``litter_fine_root``, ``litter_wood``, ``litter_seed``, ``leaf_deficit`` (kg m-2),
    ``leaf_area`` (m2 m-2) and ``flux``, (..., 21) in the order of `FLUXES` (kg m-2).
    """
    known = TRAITS | MORE_TRAITS
    unknown = set(traits) - set(known)
    if unknown:
        raise TypeError(f"unknown trait {sorted(unknown)[0]}; known: {', '.join(known)}")
    tile = (
        known
        | traits
        | dict(
            net_carbon=net_carbon,
            air_temperature=air_temperature,
            water_stress=water_stress,
            leaf_area_target=leaf_area_target,
        )
    )
    stack = np.stack(np.broadcast_arrays(*(np.asarray(pools[name], dtype=float) for name in POOLS)), axis=-1)
    out = _run(
        core.concerto_vegetation.vegetation_daily,
        tile,
        state={"carbon": (stack, 1), "stress_memory": (pools["stress_memory"], 0)},
        time_step=time_step,
        allocation=ALLOCATION[allocation],
    )
    more = (
        "stress_memory",
        "flux",
        "growth_respiration",
        "growth_nitrogen",
        "litter_leaf",
        "litter_fine_root",
        "litter_wood",
        "litter_seed",
        "leaf_deficit",
        "leaf_area",
    )
    return {name: out[0][..., k] for k, name in enumerate(POOLS)} | dict(zip(more, out[1:], strict=True))


# ---- plant nitrogen
CN = dict(leaf_cn=21.64, root_cn=42.0, sapwood_cn=330.0, heartwood_cn=500.0, seed_cn=30.0)


def plant_nitrogen_start(carbon, full_leaf, **cn):
    """Nitrogen (..., 6) of plants that have carbon only: tissue at its target, the labile pool with what absent
    leaves need.

    ``carbon`` (..., 6) in the order of `POOLS` and ``full_leaf`` (carbon of full leaves) in kg m-2; ``cn`` those of
    `CN` that differ from a temperate broadleaved deciduous tree, kg kg-1.
    """
    tile = CN | cn | {"full_leaf": full_leaf}
    return _run(core.concerto_plant_nitrogen.plant_nitrogen_start, tile, tail={"carbon": (carbon, 1)})


def plant_nitrogen_supply(nitrogen):
    """Nitrogen (kg m-2) that growth of the day may count on: ``nitrogen_supply`` of `vegetation_day`."""
    return _run(core.concerto_plant_nitrogen.plant_nitrogen_supply, tail={"nitrogen": (nitrogen, 1)})


def plant_nitrogen_day(
    nitrogen,
    flux,
    carbon_before,
    carbon_after,
    growth_nitrogen,
    full_leaf,
    uptake=0.0,
    resorption=0.5,
    time_step=1.0,
    **cn,
):
    """One day of plant nitrogen after the carbon step of the day.

    Parameters
    ----------
    nitrogen : (..., 6) in the order of `POOLS`, kg m-2
    flux, growth_nitrogen : of `vegetation_day`, kg m-2
    carbon_before, carbon_after : (..., 6) carbon around that step, kg m-2
    full_leaf : carbon of full leaves, kg m-2
    uptake : taken up by roots, kg m-2
    resorption : share of nitrogen withdrawn from old and shed leaves
    time_step : d
    **cn : those of `CN` that differ from a temperate broadleaved deciduous tree, kg kg-1

    Returns
    -------
    dict of ``nitrogen``, ``litter_leaf``, ``litter_fine_root``, ``litter_wood``, ``litter_seed``, ``demand`` (kg m-2)
    and ``leaf_factor`` (0.6 to 1, scales Vcmax25 and Jmax25).
    """
    tile = CN | cn | dict(growth_nitrogen=growth_nitrogen, full_leaf=full_leaf, uptake=uptake, resorption=resorption)
    out = _run(
        core.concerto_plant_nitrogen.plant_nitrogen_day,
        tile,
        tail={"flux": (flux, 1), "carbon_before": (carbon_before, 1), "carbon_after": (carbon_after, 1)},
        state={"nitrogen": (nitrogen, 1)},
        time_step=time_step,
    )
    names = ("nitrogen", "litter_leaf", "litter_fine_root", "litter_wood", "litter_seed", "demand", "leaf_factor")
    return dict(zip(names, out, strict=True))


# ---- mortality
CAUSES = ("background", "starvation", "drought", "heat", "frost", "slow_growth")
MORTALITY = {"background": 1, "full": 2, "growth_efficiency": 3}


def mortality_rates(
    mortality="full",
    air_temperature=293.15,
    labile_mean=0.3,
    full_leaf=0.18,
    reserve_ratio=1.5,
    stress_mean=1.0,
    conductivity_loss=None,
    heat_days=0.0,
    growth_mean=0.5,
    leaf_area_mean=3.0,
    background=0.02,
    starvation_ratio=0.1,
    stress_threshold=0.05,
    frost_tolerance=193.15,
    woody=1.0,
):
    """Hazards of plants (..., 6) by cause in the order of `CAUSES` and their sum, yr-1.

    ``mortality`` is ``background``, ``full`` or ``growth_efficiency``. Temperatures in K (daily mean; that at which
    frost kills at its full rate), carbon in kg m-2 (labile: mean of 30 d), ``heat_days`` K d above the threshold of the
    type, ``growth_mean`` (NPP - turnover) kg m-2 yr-1. With ``conductivity_loss`` (0 to 1) drought kills by loss of
    xylem conductivity, else by the mean stress factor below ``stress_threshold``.
    """
    tile = dict(
        air_temperature=air_temperature,
        labile_mean=labile_mean,
        full_leaf=full_leaf,
        reserve_ratio=reserve_ratio,
        stress_mean=stress_mean,
        conductivity_loss=0.0 if conductivity_loss is None else conductivity_loss,
        heat_days=heat_days,
        growth_mean=growth_mean,
        leaf_area_mean=leaf_area_mean,
        background=background,
        starvation_ratio=starvation_ratio,
        stress_threshold=stress_threshold,
        frost_tolerance=frost_tolerance,
        woody=woody,
    )
    return _run(
        core.concerto_mortality.mortality_rates,
        tile,
        mortality=MORTALITY[mortality],
        hydraulics=int(conductivity_loss is not None),
    )


MEMORIES = ("stress_mean", "heat_days", "growth_mean", "leaf_area_mean", "labile_mean")


def mortality_memory(
    memory, air_temperature, water_stress, npp, litter, labile, leaf_area, heat_threshold=296.15, time_step=1.0
):
    """Running means that hazards respond to, after one more day: dict of `MEMORIES`.

    ``npp``, ``litter`` (turnover and shedding), ``labile`` in kg m-2 (of the day), temperatures in K.
    """
    tile = dict(
        air_temperature=air_temperature,
        water_stress=water_stress,
        npp=npp,
        litter=litter,
        labile=labile,
        leaf_area=leaf_area,
        heat_threshold=heat_threshold,
    )
    state = {name: (memory[name], 0) for name in MEMORIES}
    out = _run(core.concerto_mortality.mortality_memory, tile, state=state, time_step=time_step)
    return dict(zip(MEMORIES, out, strict=True))


def heat_damage(warmest_leaf, damage_temperature=322.15, damage_range=1.5, time_step=1.0):
    """Share of leaves lost on a day whose highest leaf temperature is ``warmest_leaf`` (K): a logistic."""
    tile = dict(warmest_leaf=warmest_leaf, damage_temperature=damage_temperature, damage_range=damage_range)
    return _run(core.concerto_mortality.heat_damage, tile, time_step=time_step)


# ---- decomposition
def decomposition_scheme(name, sand=43.0, clay=18.0, lignin=0.2, n_pool=None):
    """Rates (..., pool), transfer fractions (..., receiver, donor) and respired fractions (..., pool) of
    a scheme.

    ``name`` is ``cencn``, ``rothc``, ``century``, ``yasso07``, ``yasso15`` or ``yasso20``; sand and clay in per
    cent, ``lignin`` (share of structural litter) acts in ``century`` only. Rates in s-1. ``n_pool`` beyond those of the
    scheme adds empty pools.
    """
    scheme = tables.schemes()[name]
    return _run(
        core.concerto_decomposition.decomposition_scheme,
        dict(sand=sand, clay=clay, lignin=lignin),
        n_pool=n_pool or len(scheme.pools),
        scheme=scheme.number,
    )


# ---- one-layer schemes with a scalar for every pool
# Shares of litter carbon soluble in acid, water and ethanol; the rest is not soluble. Leaf and root of conifers: mean
# of pine and spruce, of broadleaved trees: birch (Liski et al. 2009, Yasso07 manual); grass: Palosuo et al. 2015;
# wood: Repo et al. 2014. Order: leaf, root, wood.
LITTER_COMPOSITION = {
    "needle": (0.5003, 0.1545, 0.07725, 0.56495, 0.13085, 0.0654, 0.68, 0.02, 0.01),
    "broadleaf": (0.4079, 0.198, 0.099, 0.4079, 0.198, 0.099, 0.76, 0.01, 0.01),
    "grass": (0.46, 0.32, 0.04, 0.46, 0.32, 0.04, 0.76, 0.01, 0.01),
}


def litter_quality(lignin, leaf_litter_cn, root_litter_cn):
    """Lignin:N (dry matter) of leaf and root litter and the lignin share of structural litter, for ``century``.

    ``lignin`` is the share of litter, 0 to 1; C:N of leaf and root litter are mass ratios.

    Examples
    --------
    >>> litter_quality(0.25, 50.0, 42.0)[0]
    np.float64(31.25)
    """
    tile = dict(lignin=lignin, leaf_litter_cn=leaf_litter_cn, root_litter_cn=root_litter_cn)
    return _run(core.concerto_decomposition.litter_quality, tile)


def one_layer_litter(
    name,
    litter_leaf=0.0,
    litter_fine_root=0.0,
    litter_wood=0.0,
    litter_seed=0.0,
    metabolic=0.25,
    cellulose=0.5,
    dpm_rpm_ratio=0.25,
    leaf_lignin_nitrogen=30.0,
    root_lignin_nitrogen=30.0,
    wood_above=0.75,
    composition="broadleaf",
    n_pool=None,
):
    """Input (..., pool) of a one-layer scheme from dead tissue, all kg m-2 (or any other unit).

    ``metabolic`` and ``cellulose`` act in ``cencn``, ``dpm_rpm_ratio`` in ``rothc``, lignin:N and ``wood_above`` in
    ``century``, ``composition`` in the Yasso schemes: a key of ``LITTER_COMPOSITION`` or an array (..., 9), the shares
    soluble in acid, water and ethanol of leaf, root and wood.
    """
    scheme = tables.schemes()[name]
    tile = dict(
        litter_leaf=litter_leaf,
        litter_fine_root=litter_fine_root,
        litter_wood=litter_wood,
        litter_seed=litter_seed,
        metabolic=metabolic,
        cellulose=cellulose,
        dpm_rpm_ratio=dpm_rpm_ratio,
        leaf_lignin_nitrogen=leaf_lignin_nitrogen,
        root_lignin_nitrogen=root_lignin_nitrogen,
        wood_above=wood_above,
    )
    shares = LITTER_COMPOSITION[composition] if isinstance(composition, str) else composition
    return _run(
        core.concerto_decomposition.one_layer_litter,
        tile,
        tail={"composition": (shares, 1)},
        n_pool=n_pool or len(scheme.pools),
        scheme=scheme.number,
    )


def one_layer_scalars(
    name, soil_scalar=1.0, air_temperature=283.15, annual_precipitation=1000.0, diameter=2.0, n_pool=None
):
    """Environment scalars (..., pool) of a one-layer scheme.

    Yasso: daily mean ``air_temperature`` (K), precipitation of the last year (mm), ``diameter`` of wood (cm). Other
    schemes: ``soil_scalar``, see `decomposition_scalar`.

    Examples
    --------
    >>> one_layer_scalars("yasso15", air_temperature=273.15, diameter=0.0)[[0, 3, 8]].round(3)
    array([0.836, 0.69 , 1.   ])
    """
    scheme = tables.schemes()[name]
    tile = dict(
        soil_scalar=soil_scalar,
        air_temperature=air_temperature,
        annual_precipitation=annual_precipitation,
        diameter=diameter,
    )
    routine = core.concerto_decomposition.one_layer_scalars
    return _run(routine, tile, n_pool=n_pool or len(scheme.pools), scheme=scheme.number)


def _scalars(scalar, rate, axis):
    """Scalars with one entry for all pools (axis of length 1, or a single number) spread over the pools of ``rate``."""
    scalar = np.asarray(scalar, dtype=float)
    if scalar.ndim == 0:
        scalar = scalar.reshape((1,) * -axis)
    shape = list(scalar.shape)
    shape[axis] = np.shape(rate)[-1]
    return np.broadcast_to(scalar, shape)


def one_layer_step(carbon, input, rate, transfer, respired, scalar=1.0, time_step=86400.0, n_substep=1):
    """One step of linear soil carbon pools, exact for constant rates.

    ``carbon``, ``input`` (kg m-2 in the step), ``rate`` (s-1), ``respired`` are (..., pool), ``transfer``
    (..., receiver, donor), ``scalar`` (..., pool), or (..., 1) or a number for all pools. Use more substeps where rate
    x scalar x step exceeds 0.3. Returns the pools, respiration and what left each pool (kg m-2).
    """
    tail = {"input": (input, 1), "rate": (rate, 1), "transfer": (transfer, 2), "respired": (respired, 1)}
    return _run(
        core.concerto_decomposition.one_layer_step,
        tail=tail | {"scalar": (_scalars(scalar, rate, -1), 1)},
        state={"carbon": (carbon, 1)},
        time_step=time_step,
        n_substep=n_substep,
    )


def one_layer_respiration(carbon, rate, respired, scalar=1.0):
    """Respiration (kg m-2 s-1) of pools (..., pool) at a moment; ``scalar`` as in `one_layer_step`."""
    tail = {"carbon": (carbon, 1), "rate": (rate, 1), "respired": (respired, 1)}
    tail["scalar"] = (_scalars(scalar, rate, -1), 1)
    return _run(core.concerto_decomposition.one_layer_respiration, tail=tail)


def one_layer_periodic(scalar, input, rate, transfer, respired, carbon=0.0, time_step=86400.0):
    """Pools that return to themselves after a cycle (exact solve).

    ``scalar`` (..., pool, day) or (..., 1, day) for all pools, ``input`` (..., pool, day) in kg m-2; ``carbon`` keeps
    pools that never decompose. Returns the pools at the start of the cycle, the respiration of a cycle and the residual
    (relative).
    """
    tail = {
        "scalar": (_scalars(scalar, rate, -2), 2),
        "input": (input, 2),
        "rate": (rate, 1),
        "transfer": (transfer, 2),
        "respired": (respired, 1),
    }
    start = np.broadcast_to(np.asarray(carbon, dtype=float), np.shape(rate))
    return _run(
        core.concerto_decomposition.one_layer_periodic,
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
