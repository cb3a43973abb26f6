"""Soil carbon and nitrogen in layers: litter placement, mixing, decomposition, mineral nitrogen.

Pools are masses per layer, kg m-2, in arrays (..., layer, pool) with the pools metabolic, cellulose, lignin,
active, slow, passive, coarse debris; mineral nitrogen is (..., layer). Leading axes broadcast. State that a
routine updates is returned, never changed in place. Layers are those of the model to 4 m unless ``thickness``
(m) is given; a step is a day unless ``time_step`` (s) is given.

``rate`` (s-1, (..., pool)), ``transfer`` (..., receiver, donor) and ``respired`` (..., pool) are those of
``decomposition_scheme("cencn")``; ``scalar`` (..., layer) is the environment scalar with depth; ``mixing``
(m s-1, (..., face)) is that of ``mixing_coefficients``.
"""

from __future__ import annotations

import numpy as np

from concerto import _core as core
from concerto.kernels._call import LANES

DAY = 86400.0
YEAR = 3.15576e7
THICKNESS = np.array([0.01, 0.02, 0.04, 0.09, 0.12, 0.30, 0.42, 1.00, 2.00])
"""Thickness of the nine layers with carbon, m."""
SOIL_CN = (8.0, 11.0, 11.0)
"""Carbon to nitrogen of the active, slow and passive pool, kg kg-1."""
CENTURY_Q10_FACTOR = 0.820595
PIECE = 256  # tiles in one call: work arrays of the compiled routines lie on the stack

_column = core.concerto_soil_column
_nitrogen = core.concerto_soil_nitrogen


def _thickness(thickness):
    return np.ascontiguousarray(THICKNESS if thickness is None else thickness, dtype=float)


def _run(routine, inputs, state=None, **scalars):
    """Call a block routine: ``inputs`` and ``state`` are {name: (array, trailing axes)}.

    Trailing axes given as a shape are broadcast to it. Returns the new ``state`` arrays, then the outputs.
    """
    arrays = {}
    for name, (value, tail) in (inputs | (state or {})).items():
        value = np.asarray(value, dtype=float)
        tail = tuple(tail)
        if value.ndim < len(tail):
            value = np.broadcast_to(value, tail)
        lead = value.shape[: value.ndim - len(tail)]
        arrays[name] = np.broadcast_to(value, lead + tail), lead, tail
    shape = np.broadcast_shapes(*(lead for _, lead, _ in arrays.values()))
    n = int(np.prod(shape, dtype=int))
    padded = max(LANES, -(-n // LANES) * LANES)
    flat = {name: np.broadcast_to(value, shape + tail).reshape((n, *tail)) for name, (value, _, tail) in arrays.items()}
    parts = []
    for first in range(0, padded, PIECE):
        index = np.minimum(np.arange(first, min(first + PIECE, padded)), max(n - 1, 0))
        block = {
            name: np.asfortranarray(value[index] if n else np.zeros((LANES, *value.shape[1:])))
            for name, value in flat.items()
        }
        out = routine(**block, **scalars)
        out = out if isinstance(out, tuple) else () if out is None else (out,)
        parts.append([block[name] for name in (state or {})] + list(out))
    results = []
    for pieces in zip(*parts, strict=True):
        whole = np.concatenate(pieces)[:n]
        whole = whole.reshape(shape + whole.shape[1:])
        results.append(whole[()] if whole.ndim == 0 else whole)
    return results[0] if len(results) == 1 else tuple(results)


def _scheme(rate, transfer, respired=None):
    size = np.shape(rate)[-1]
    out = {"rate": (rate, (size,)), "transfer": (transfer, (size, size))}
    if respired is not None:
        out["respired"] = respired, (size,)
    return out


# ---- placement and mixing
def litter_profiles(root_fraction, depth=np.inf, thickness=None):
    """Shares of the layers in surface litter, exp(-z/0.1 m), and in root litter.

    Parameters
    ----------
    root_fraction : (..., layer), any sum
    depth : where the soil ends for litter (bedrock, ice), m

    Returns
    -------
    surface_profile, root_profile : (..., layer), each sums to 1

    Examples
    --------
    >>> surface, roots = litter_profiles(np.ones(9), depth=0.03)
    >>> surface[:3].round(3)
    array([0.367, 0.633, 0.   ])
    """
    thickness = _thickness(thickness)
    depth = np.minimum(depth, thickness.sum())
    inputs = {"depth": (depth, ()), "root_fraction": (root_fraction, thickness.shape)}
    return _run(_column.litter_profiles, inputs, thickness=thickness)


def litter_to_layers(
    surface_profile,
    root_profile,
    litter_leaf=0.0,
    litter_fine_root=0.0,
    litter_wood=0.0,
    litter_seed=0.0,
    metabolic=0.25,
    cellulose=0.5,
    wood_aboveground=0.75,
):
    """Input (..., layer, pool) from dead tissue, kg m-2 of carbon, nitrogen or an isotope.

    Leaves and seeds go by the surface profile, fine roots by the root profile, wood to coarse debris by both.
    """
    layers = np.shape(surface_profile)[-1:]
    tile = dict(
        metabolic=metabolic,
        cellulose=cellulose,
        wood_aboveground=wood_aboveground,
        litter_leaf=litter_leaf,
        litter_fine_root=litter_fine_root,
        litter_wood=litter_wood,
        litter_seed=litter_seed,
    )
    inputs = {name: (value, ()) for name, value in tile.items()}
    inputs |= {"surface_profile": (surface_profile, layers), "root_profile": (root_profile, layers)}
    return _run(_column.litter_to_layers, inputs, n_pool=7)


def depth_scalar(depth_scale=10.0, thickness=None):
    """Slowing of decomposition with depth, exp(-z/``depth_scale``) (m) at the middle of the layers (layer,)."""
    return _column.depth_scalar(thickness=_thickness(thickness), depth_scale=depth_scale)


def mixing_coefficients(
    thaw_depth=8.0,
    thaw_depth_last_year=0.0,
    bioturbation=1.0e-4 / YEAR,
    cryoturbation=5.0e-4 / YEAR,
    depth_limit=3.0,
    thickness=None,
):
    """Diffusivity over distance (m s-1) at the faces between layers (..., face).

    Parameters
    ----------
    thaw_depth, thaw_depth_last_year : deepest thaw, m; 0 where the ground never thaws, beyond the limit without
        permafrost
    bioturbation, cryoturbation : diffusivity by animals and by frost, m2 s-1
    depth_limit : depth at which frost no longer mixes, m
    """
    tile = dict(
        thaw_depth=thaw_depth,
        thaw_depth_last_year=thaw_depth_last_year,
        bioturbation=bioturbation,
        cryoturbation=cryoturbation,
    )
    inputs = {name: (value, ()) for name, value in tile.items()}
    return _run(_column.mixing_coefficients, inputs, thickness=_thickness(thickness), depth_limit=depth_limit)


# ---- decomposition
def litter_step(carbon, input, rate, transfer, scalar, mixing, time_step=DAY, thickness=None):
    """One step (s) of coarse debris and litter; carbon, nitrogen or an isotope, kg m-2.

    Returns the pools and what left each of them, before any shortage of nitrogen, (..., layer, pool).
    """
    thickness = _thickness(thickness)
    layers, whole = thickness.shape, np.shape(carbon)[-2:]
    inputs = _scheme(rate, transfer) | {
        "scalar": (scalar, layers),
        "mixing": (mixing, (len(thickness) - 1,)),
        "input": (input, whole),
    }
    return _run(_column.litter_step, inputs, {"carbon": (carbon, whole)}, time_step=time_step, thickness=thickness)


def limit_litter(carbon, loss, limitation):
    """Gives back to litter what could not decompose: pools and losses (kg m-2) after ``limitation`` (0 to 1).

    All are (..., layer, pool).
    """
    whole = np.shape(carbon)[-2:]
    state = {"carbon": (carbon, whole), "loss": (loss, whole)}
    return _run(_column.limit_litter, {"limitation": (limitation, whole)}, state)


def soil_step(carbon, loss, rate, transfer, respired, scalar, mixing, time_step=DAY, thickness=None):
    """One step (s) of the active, slow and passive pool with what litter lost (kg m-2, (..., layer, pool)).

    Returns pools, losses of all pools and respiration (kg m-2, (..., layer)).
    """
    thickness = _thickness(thickness)
    layers, whole = thickness.shape, np.shape(carbon)[-2:]
    inputs = _scheme(rate, transfer, respired) | {
        "scalar": (scalar, layers),
        "mixing": (mixing, (len(thickness) - 1,)),
    }
    state = {"carbon": (carbon, whole), "loss": (loss, whole)}
    return _run(_column.soil_step, inputs, state, time_step=time_step, thickness=thickness)


def column_respiration_capacity(carbon, rate, respired, limitation=1.0):
    """Respiration (kg m-2 s-1) of each layer at scalar 1; ``limitation`` 0 to 1, ``carbon`` kg m-2."""
    whole = np.shape(carbon)[-2:]
    inputs = {
        "rate": (rate, whole[1:]),
        "respired": (respired, whole[1:]),
        "limitation": (limitation, whole),
        "carbon": (carbon, whole),
    }
    return _run(_column.column_respiration_capacity, inputs)


def dissolved_carbon(respiration, drainage, doc_fraction, time_step=DAY):
    """Dissolved organic carbon that leaves with ``drainage`` (kg m-2 in the step) instead of being respired.

    ``respiration`` is (..., layer), kg m-2. Returns what is left of it and the export, kg m-2.
    """
    inputs = {"drainage": (drainage, ()), "doc_fraction": (doc_fraction, ())}
    state = {"respiration": (respiration, np.shape(respiration)[-1:])}
    return _run(_column.dissolved_carbon, inputs, state, time_step=time_step)


# ---- nitrogen
def nitrogen_fixation(npp_annual, fixation_maximum=1.8e-3, fixation_rate=3.0, time_step=DAY):
    """Biological nitrogen fixation, kg N m-2 in the step.

    Parameters
    ----------
    npp_annual : running mean of net primary production, kg C m-2 yr-1
    fixation_maximum : kg N m-2 yr-1
    fixation_rate : m2 yr kg-1
    time_step : s

    Examples
    --------
    >>> round(float(nitrogen_fixation(0.5, time_step=3.15576e7)) * 1e3, 3)  # g N m-2 in a year
    1.398
    """
    tile = dict(npp_annual=npp_annual, fixation_maximum=fixation_maximum, fixation_rate=fixation_rate)
    return _run(_nitrogen.nitrogen_fixation, {k: (v, ()) for k, v in tile.items()}, time_step=time_step)


def nitrogen_input(ammonium, surface_profile, root_profile, deposition=0.0, fixation=0.0):
    """Ammonium (kg N m-2, (..., layer)) after deposition and fixation (kg N m-2) by the profiles of litter."""
    layers = np.shape(ammonium)[-1:]
    inputs = {
        "surface_profile": (surface_profile, layers),
        "root_profile": (root_profile, layers),
        "deposition": (deposition, ()),
        "fixation": (fixation, ()),
    }
    return _run(_nitrogen.nitrogen_input, inputs, {"ammonium": (ammonium, layers)})


def immobilisation_need(loss, loss_nitrogen, transfer, soil_cn=SOIL_CN):
    """Mineral nitrogen that decomposed litter needs (> 0) or sets free (< 0), kg N m-2, (..., layer, 3).

    ``loss`` (kg C m-2) and ``loss_nitrogen`` (kg N m-2) are (..., layer, pool).
    """
    whole = np.shape(loss)[-2:]
    inputs = {
        "soil_cn": (soil_cn, (3,)),
        "transfer": (transfer, (whole[1], whole[1])),
        "loss": (loss, whole),
        "loss_nitrogen": (loss_nitrogen, whole),
    }
    return _run(_nitrogen.immobilisation_need, inputs)


def plant_demand_by_layer(demand, root_profile, ammonium, nitrate):
    """Demand of plants (kg N m-2) shared out as the mineral nitrogen of the layers with roots, (..., layer)."""
    layers = np.shape(ammonium)[-1:]
    inputs = {
        "demand": (demand, ()),
        "root_profile": (root_profile, layers),
        "ammonium": (ammonium, layers),
        "nitrate": (nitrate, layers),
    }
    return _run(_nitrogen.plant_demand_by_layer, inputs)


def nitrification_ph(ph):
    """Factor of nitrification by acidity (pH), 0 to 1.06.

    Examples
    --------
    >>> nitrification_ph([4.0, 5.0, 6.5]).round(6)
    array([0.255966, 0.56    , 0.919738])
    """
    return _run(_nitrogen.nitrification_ph, {"ph": (ph, ())})


def nitrification_potential(
    ammonium,
    scalar,
    temperature,
    pore_water,
    ph_factor=0.919738,
    nitrification_rate=0.1,
    q10=1.5,
    scalar_reference=None,
    time_step=DAY,
):
    """Ammonium (kg N m-2, (..., layer)) that nitrifiers would take in the step.

    Parameters
    ----------
    ammonium, scalar, temperature, pore_water : (..., layer); kg N m-2, 1, K, 0 to 1
    ph_factor : of :func:`nitrification_ph`
    nitrification_rate : d-1
    q10 : temperature response in the scalar
    scalar_reference : (layer,), scalar of wet soil at 25 degC
    """
    layers = np.shape(ammonium)[-1:]
    if scalar_reference is None:
        scalar_reference = CENTURY_Q10_FACTOR * depth_scalar()
    inputs = {k: (v, ()) for k, v in dict(nitrification_rate=nitrification_rate, q10=q10, ph_factor=ph_factor).items()}
    fields = dict(scalar=scalar, temperature=temperature, pore_water=pore_water, ammonium=ammonium)
    inputs |= {k: (v, layers) for k, v in fields.items()}
    inputs["scalar_reference"] = (scalar_reference, layers)
    return _run(_nitrogen.nitrification_potential, inputs, time_step=time_step)


def gas_diffusivity(pore_space, field_capacity):
    """Diffusivity of gas at field capacity over that of free air, 0 to 1; arguments m3 m-3."""
    return _run(_nitrogen.gas_diffusivity, {"pore_space": (pore_space, ()), "field_capacity": (field_capacity, ())})


def denitrification_potential(
    nitrate, respiration, liquid, pore_water, bulk_density=1300.0, diffusivity=0.05, time_step=DAY, thickness=None
):
    """Nitrate (kg N m-2, (..., layer)) that denitrifiers would take in the step, and the share that becomes N2O.

    Parameters
    ----------
    nitrate, respiration : (..., layer), kg N m-2 and kg C m-2 in the step
    liquid, pore_water : (..., layer), m3 m-3 and 0 to 1
    bulk_density : of dry soil, kg m-3
    diffusivity : of :func:`gas_diffusivity`
    """
    layers = np.shape(nitrate)[-1:]
    inputs = {"bulk_density": (bulk_density, ()), "diffusivity": (diffusivity, ())}
    fields = dict(liquid=liquid, pore_water=pore_water, respiration=respiration, nitrate=nitrate)
    inputs |= {k: (v, layers) for k, v in fields.items()}
    return _run(_nitrogen.denitrification_potential, inputs, time_step=time_step, thickness=_thickness(thickness))


def nitrogen_competition(plant, immobilisation, nitrification, denitrification, ammonium, nitrate):
    """Shares mineral nitrogen among those who want it; all kg N m-2, (..., layer).

    Returns actual nitrification and denitrification, ammonium and nitrate left, and the share (0 to 1) of the
    demand of plants and microbes that is met.
    """
    layers = np.shape(ammonium)[-1:]
    inputs = {"plant": (plant, layers), "immobilisation": (immobilisation, layers)}
    state = dict(nitrification=nitrification, denitrification=denitrification, ammonium=ammonium, nitrate=nitrate)
    return _run(_nitrogen.nitrogen_competition, inputs, {k: (v, layers) for k, v in state.items()})


def soil_mineralisation(loss, transfer, soil_cn=SOIL_CN):
    """Nitrogen (kg N m-2, (..., layer)) set free by the losses of the soil pools (kg C m-2, (..., layer, pool))."""
    whole = np.shape(loss)[-2:]
    inputs = {"soil_cn": (soil_cn, (3,)), "transfer": (transfer, (whole[1], whole[1])), "loss": (loss, whole)}
    return _run(_nitrogen.soil_mineralisation, inputs)


def nitrate_leaching(nitrate, liquid, drainage=0.0, runoff=0.0, thickness=None):
    """Nitrate (kg N m-2, (..., layer)) after leaching, and what was washed out (kg N m-2).

    ``liquid`` is (..., layer), m3 m-3; ``drainage`` and ``runoff`` kg m-2 in the step.
    """
    layers = np.shape(nitrate)[-1:]
    inputs = {"liquid": (liquid, layers), "drainage": (drainage, ()), "runoff": (runoff, ())}
    return _run(_nitrogen.nitrate_leaching, inputs, {"nitrate": (nitrate, layers)}, thickness=_thickness(thickness))


def set_soil_nitrogen(carbon, nitrogen, soil_cn=SOIL_CN):
    """Nitrogen (kg N m-2, (..., layer, pool)) with the soil pools at ``carbon`` (kg C m-2) over their C:N."""
    whole = np.shape(carbon)[-2:]
    inputs = {"soil_cn": (soil_cn, (3,)), "carbon": (carbon, whole)}
    return _run(_nitrogen.set_soil_nitrogen, inputs, {"nitrogen": (nitrogen, whole)})


OUTPUTS = (
    "carbon",
    "nitrogen",
    "ammonium",
    "nitrate",
    "plant_uptake",
    "respiration",
    "limitation",
    "loss",
    "gross_mineralisation",
    "net_mineralisation",
    "nitrification",
    "n2o",
    "n2",
    "leaching",
)


def soil_nitrogen_day(
    carbon,
    rate,
    transfer,
    respired,
    scalar,
    mixing,
    input,
    nitrogen=0.0,
    ammonium=0.0,
    nitrate=0.0,
    input_nitrogen=0.0,
    temperature=288.15,
    pore_water=0.5,
    liquid=0.25,
    drainage=0.0,
    runoff=0.0,
    surface_profile=None,
    root_profile=None,
    deposition=0.0,
    fixation=0.0,
    plant_demand=0.0,
    q10=1.5,
    soil_cn=SOIL_CN,
    ph_factor=0.919738,
    bulk_density=1300.0,
    diffusivity=0.05,
    nitrification_rate=0.1,
    n2o_fraction=6.0e-4,
    gas_fraction=0.0,
    scalar_reference=None,
    with_nitrogen=True,
    time_step=DAY,
    thickness=None,
):
    """One step of the layered soil: carbon and nitrogen, or carbon alone.

    Parameters
    ----------
    carbon, nitrogen : (..., layer, pool), kg m-2; nitrogen of the soil pools as :func:`set_soil_nitrogen` sets it
    ammonium, nitrate : (..., layer), kg N m-2
    input, input_nitrogen : litter, (..., layer, pool), kg m-2
    temperature, pore_water, liquid : (..., layer), K, 0 to 1, m3 m-3
    drainage, runoff : kg m-2 in the step
    surface_profile, root_profile : (..., layer), of :func:`litter_profiles`
    deposition, fixation, plant_demand : kg N m-2 in the step
    gas_fraction : share of gross mineralisation that leaves as gas whatever plants want, 0 to 1
    with_nitrogen : False for carbon alone

    Returns
    -------
    dict of the names in ``OUTPUTS``: new pools, fluxes in kg m-2 in the step, ``limitation`` (0 to 1)
    """
    thickness = _thickness(thickness)
    layers, whole = thickness.shape, np.shape(carbon)[-2:]
    if surface_profile is None or root_profile is None:
        given = litter_profiles(thickness, thickness=thickness)
        surface_profile = given[0] if surface_profile is None else surface_profile
        root_profile = given[1] if root_profile is None else root_profile
    if scalar_reference is None:
        scalar_reference = CENTURY_Q10_FACTOR * depth_scalar(thickness=thickness)
    tile = dict(
        nitrification_rate=nitrification_rate,
        n2o_fraction=n2o_fraction,
        gas_fraction=gas_fraction,
        q10=q10,
        ph_factor=ph_factor,
        bulk_density=bulk_density,
        diffusivity=diffusivity,
        drainage=drainage,
        runoff=runoff,
        deposition=deposition,
        fixation=fixation,
        plant_demand=plant_demand,
    )
    layered = dict(
        scalar=scalar,
        temperature=temperature,
        pore_water=pore_water,
        liquid=liquid,
        surface_profile=surface_profile,
        root_profile=root_profile,
        scalar_reference=scalar_reference,
    )
    inputs = {name: (value, ()) for name, value in tile.items()}
    inputs |= {name: (value, layers) for name, value in layered.items()}
    inputs |= _scheme(rate, transfer, respired) | {
        "soil_cn": (soil_cn, (3,)),
        "mixing": (mixing, (len(thickness) - 1,)),
        "input": (input, whole),
        "input_nitrogen": (input_nitrogen, whole),
    }
    state = {
        "carbon": (carbon, whole),
        "nitrogen": (nitrogen, whole),
        "ammonium": (ammonium, layers),
        "nitrate": (nitrate, layers),
    }
    out = _run(
        _nitrogen.soil_nitrogen_day,
        inputs,
        state,
        with_nitrogen=int(with_nitrogen),
        time_step=time_step,
        thickness=thickness,
    )
    return dict(zip(OUTPUTS, out, strict=True))
