"""What farmers do to fields and pastures, day by day: residue, fertiliser, tillage, grazing, mowing, irrigation."""

from __future__ import annotations

import numpy as np

from concerto import _core as core
from concerto.kernels.carbon import _run
from concerto.tables import loader

MEMORY = loader.layers()["management_memory"]  # length of the memory of a tile; it starts at 0
THICKNESS = tuple(loader.soil_thickness()[: loader.layers()["carbon_layer"]])  # m


def remove_residue(dead, residue_left=0.7):
    """Crop residue that is taken from the field at harvest.

    Parameters
    ----------
    dead : (..., 6), what dies of labile, leaf, fine root, sapwood, heartwood and seed, kg m-2 of one element
    residue_left : share of labile, leaf and seed that stays

    Returns
    -------
    dead (..., 6) that stays, and what is taken away, kg m-2

    Examples
    --------
    >>> stays, taken = remove_residue([0.1, 0.2, 0.3, 0.0, 0.0, 0.0], 0.5)
    >>> float(round(taken, 3))
    0.15
    """
    return _run(core.concerto_management.remove_residue, dict(residue_left=residue_left), state={"dead": (dead, 1)})


def nutrient_day(memory, fertiliser=0.0, manure=0.0, crop=0.0, growing=0.0, stage=0.0, sow=0.0, day=1.0):
    """Nitrogen of fertiliser and manure brought in a day.

    Parameters
    ----------
    memory : (..., 5), starts at 0: fertiliser and manure that wait (kg N m-2), days since sowing and since mowing,
        share of leaf area that is missing after bites or cuts
    fertiliser, manure : kg N m-2 yr-1
    crop : 1 for a crop that is sown and harvested: the amount of a year at sowing, or that of the days since the last
        sowing if these are fewer; 0: evenly through the year
    growing : 1 while the crop stands
    stage : its heat units over those of maturity
    sow : 1 on the day of sowing
    day : length of the step, d

    Returns
    -------
    memory, nitrogen of fertiliser and of manure brought, kg m-2

    Examples
    --------
    >>> memory, mineral, organic = nutrient_day(np.zeros(MEMORY), 0.01, crop=1.0, growing=1.0, sow=1.0)
    >>> float(round(mineral, 4)), float(round(memory[0], 4))
    (0.002, 0.008)
    """
    tile = dict(crop=crop, growing=growing, stage=stage, sow=sow, fertiliser=fertiliser, manure=manure)
    return _run(core.concerto_management.nutrient_day, tile, state={"memory": (memory, 1)}, day=day)


def days_since_sowing(memory, sow=0.0, day=1.0):
    """Memory (..., 5) of :func:`nutrient_day` a ``day`` (d) later; ``sow`` is 1 on the day of sowing.

    Call it after :func:`nutrient_day`, whose doses look back to the sowing before.

    Examples
    --------
    >>> float(days_since_sowing(np.zeros(MEMORY), 1.0)[2])
    1.0
    """
    return _run(core.concerto_management.days_since_sowing, dict(sow=sow), state={"memory": (memory, 1)}, day=day)


def tillage_day(memory, thickness=THICKNESS):
    """Multiplier (..., layer) of decomposition in each soil layer of a ploughed field, 1 or more.

    ``memory`` (..., 5) as of :func:`days_since_sowing`, ``thickness`` of the layers in m.

    Examples
    --------
    >>> float(tillage_day(days_since_sowing(np.zeros(MEMORY), 1.0))[0])
    1.8
    """
    thickness = np.asarray(thickness, dtype=float)
    tail = {"memory": (np.asarray(memory, dtype=float), 1)}
    return _run(core.concerto_management.tillage_day, {}, tail=tail, thickness=thickness)


def plough(carbon, sow=1.0, thickness=THICKNESS):
    """Litter that ploughing spreads over its depth on the day of sowing.

    Parameters
    ----------
    carbon : (..., layer, 7), pools of the layered soil, kg m-2 of one element
    sow : 1 on the day of sowing
    thickness : of the layers, m

    Returns
    -------
    carbon (..., layer, 7), and what went down through the lower face of each layer (..., layer - 1, 7), kg m-2
    """
    carbon = np.asarray(carbon, dtype=float)
    down = np.zeros((*carbon.shape[:-2], carbon.shape[-2] - 1, carbon.shape[-1]))
    state, thickness = {"carbon": (carbon, 2), "down": (down, 2)}, np.asarray(thickness, dtype=float)
    return _run(core.concerto_management.plough, dict(sow=sow), state=state, thickness=thickness)


def graze(leaf_carbon, livestock_density=5e-5, woody=0.0, day=1.0):
    """Share of the leaves (kg C m-2) of herbs that livestock (units m-2) eats in ``day`` days.

    Examples
    --------
    >>> float(round(graze(0.1) * 0.1, 6))  # 4 kg C a day and unit
    0.0002
    """
    tile = dict(livestock_density=livestock_density, woody=woody, leaf_carbon=leaf_carbon)
    return _run(core.concerto_management.graze, tile, day=day)


def mow(memory, leaf_carbon, threshold=2.0, specific_leaf_area=40.24, woody=0.0, temperature_10d=290.0, day=1.0):
    """Share of the leaves that is cut when leaf area exceeds a threshold.

    Parameters
    ----------
    memory : (..., 5) as of :func:`nutrient_day`
    leaf_carbon : kg m-2
    threshold : leaf area, m2 m-2; 0: never
    specific_leaf_area : m2 kg-1
    woody : 1: not cut
    temperature_10d : K; nothing is cut below 5 degC
    day : length of the step, d

    Returns
    -------
    memory, share cut

    Examples
    --------
    >>> float(round(mow(np.zeros(MEMORY), 0.1, specific_leaf_area=28.0)[1], 3))  # leaf area 2.8 becomes 0.5
    0.821
    """
    tile = dict(
        threshold=threshold, woody=woody, temperature_10d=temperature_10d, specific_leaf_area=specific_leaf_area,
        leaf_carbon=leaf_carbon,
    )  # fmt: skip
    return _run(core.concerto_management.mow, tile, state={"memory": (memory, 1)}, day=day)


def regrowth_limit(memory, leaf_area_target, leaf_area, woody=0.0, day=1.0):
    """Leaf area that herbs aim at while they recover from a bite or cut.

    Parameters
    ----------
    memory : (..., 5) as of :func:`nutrient_day`; its last place is set by :func:`bitten`
    leaf_area_target : of phenology, m2 m-2
    leaf_area : that stands, m2 m-2
    woody : 1: no limit
    day : length of the step, d

    Returns
    -------
    memory, leaf area aimed at

    Examples
    --------
    >>> float(round(regrowth_limit([0.0, 0.0, 0.0, 1.0, 0.5], 2.0, 1.0)[1], 3))  # 6 % a day
    1.06
    """
    state = {"memory": (memory, 1), "target_area": (leaf_area_target, 0)}
    return _run(core.concerto_management.regrowth_limit, dict(woody=woody, leaf_area=leaf_area), state=state, day=day)


def bitten(memory, taken_share, leaf_area, leaf_area_target, cut=False):
    """Memory (..., 5) of :func:`nutrient_day` after a share of the leaves of herbs was eaten, or ``cut``.

    ``leaf_area`` is what is left and ``leaf_area_target`` what was aimed at (:func:`regrowth_limit`), m2 m-2.

    Examples
    --------
    >>> float(bitten(np.zeros(MEMORY), 0.25, 0.6, 1.2, cut=True)[4])
    0.5
    """
    tile = dict(leaf_area=leaf_area, target_area=leaf_area_target, taken_share=taken_share)
    return _run(core.concerto_management.bitten, tile, state={"memory": (memory, 1)}, cut=cut)


def irrigation_demand(
    liquid,
    root_share,
    water_stress,
    evaporation=5.0,
    leaf_area=1.0,
    irrigated=1.0,
    ice=0.0,
    surface_temperature=290.0,
    crop=0.0,
    growing=0.0,
    held=0.0,
    theta_sat=0.439,
    theta_res=0.01,
    alpha=3.14,
    vg_n=1.1804,
    field_capacity_head=-1.0,
    thickness=THICKNESS,
):
    """Irrigation of the coming day that fills the root zone to field capacity, kg m-2 s-1.

    Parameters
    ----------
    liquid, ice, root_share : (..., layer), m3 m-3 and share of roots
    water_stress : 1: none
    evaporation : potential, kg m-2 d-1
    leaf_area : m2 m-2
    irrigated : share of the tile
    surface_temperature : of the first soil layer, K
    crop, growing : 1 for a crop that is sown and harvested, 1 while it stands
    held : 1: the soil has water from outside already
    theta_sat, theta_res, alpha, vg_n : van Genuchten, m3 m-3, m3 m-3, m-1, 1
    field_capacity_head : m
    thickness : of the layers, m

    Returns
    -------
    kg m-2 s-1
    """
    tile = dict(
        theta_sat=theta_sat, theta_res=theta_res, alpha=alpha, vg_n=vg_n, field_capacity_head=field_capacity_head,
        surface_temperature=surface_temperature, water_stress=water_stress, evaporation=evaporation,
        leaf_area=leaf_area, crop=crop, growing=growing, irrigated=irrigated, held=held,
    )  # fmt: skip
    liquid = np.asarray(liquid, dtype=float)
    tail = {
        "root_share": (root_share, 1), "liquid": (liquid, 1), "ice": (np.broadcast_to(ice, liquid.shape), 1),
    }  # fmt: skip
    thickness = np.asarray(thickness, dtype=float)
    return _run(core.concerto_management.irrigation_demand, tile, tail=tail, thickness=thickness)
