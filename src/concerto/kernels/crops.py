"""Annual crops, day by day: sowing, development, leaf area, grain and harvest, over arrays of any shape."""

from __future__ import annotations

import numpy as np

from concerto import _core as core
from concerto.kernels.carbon import _run

MEMORY = 7  # length of the memory of a crop; it starts at 0
POOLS = ("labile", "leaf", "fine_root", "sapwood", "heartwood", "seed")


def crop_day(
    memory,
    air_temperature,
    temperature_10d,
    day_length,
    water_stress=1.0,
    crop=1.0,
    sowing_temperature=280.15,
    base_temperature=273.15,
    heat_to_maturity=1700.0,
    longest_season=180.0,
    maximum_leaf_area=4.0,
    leaf_area_target=0.0,
):
    """Decisions of the day of annual crops.

    Parameters
    ----------
    memory : (..., 7), starts at 0: growing (0 or 1), heat units (K d), days since sowing, days since it was too cold
        to sow, ready to sow (0 or 1), 30-day mean of the water stress factor, day length of yesterday (s)
    air_temperature, temperature_10d : mean of the day and of ten days, K
    day_length : s
    water_stress : 0 to 1 (1: none)
    crop : 1 for a crop; others keep ``leaf_area_target`` (m2 m-2)
    sowing_temperature, base_temperature : K
    heat_to_maturity : K d
    longest_season : d
    maximum_leaf_area : m2 m-2

    Returns
    -------
    memory, leaf_area_target, seed_priority (share of growth that seed gets first), sow, harvest (0 or 1), ripeness
    (harvest index of the stage reached over that of maturity)

    Examples
    --------
    >>> memory = np.zeros(MEMORY)
    >>> memory, area, grain, sow, cut, ripe = crop_day(memory, 293.15, 293.15, 5e4)
    >>> float(sow)
    1.0
    """
    tile = dict(
        air_temperature=air_temperature,
        temperature_10d=temperature_10d,
        day_length=day_length,
        water_stress=water_stress,
        crop=crop,
        sowing_temperature=sowing_temperature,
        base_temperature=base_temperature,
        heat_to_maturity=heat_to_maturity,
        longest_season=longest_season,
        maximum_leaf_area=maximum_leaf_area,
    )
    state = {"memory": (memory, 1), "leaf_area_target": (leaf_area_target, 0)}
    return _run(core.concerto_crops.crop_day, tile, state=state)


def grain_for_nitrogen(plant_nitrogen, seed_cn=25.0):
    """Most carbon of grain (kg m-2) that plant nitrogen (..., 6; kg m-2, pools as `POOLS`) allows.

    Grain gets the nitrogen of seed, of the labile pool and 0.6 of that of leaves, and its carbon to nitrogen is at
    most 1.3 times ``seed_cn``.

    Examples
    --------
    >>> float(round(grain_for_nitrogen([0.001, 0.005, 0.0, 0.0, 0.0, 0.006]), 4))
    0.325
    """
    tail = {"plant_nitrogen": (plant_nitrogen, 1)}
    return _run(core.concerto_crops.grain_for_nitrogen, dict(seed_cn=seed_cn), tail=tail)


def crop_events(plant_carbon, sow=0.0, harvest=0.0, harvest_index=0.45, sowing_carbon=0.005, most_grain=1e3):
    """Shares of the plant pools that sowing and harvest move.

    ``plant_carbon`` (..., 6) and ``sowing_carbon`` in kg m-2, pools as `POOLS`; ``sow`` and ``harvest`` 0 or 1;
    ``most_grain`` the largest carbon of grain, kg m-2 (:func:`grain_for_nitrogen`).
    Returns the shares exported and kept (..., 6), the share of seed that germinates, and the seed carbon that
    comes from outside (kg m-2).
    """
    tile = dict(
        sow=sow, harvest=harvest, harvest_index=harvest_index, sowing_carbon=sowing_carbon, most_grain=most_grain
    )  # fmt: skip
    return _run(core.concerto_crops.crop_events, tile, tail={"plant_carbon": (plant_carbon, 1)})


def crop_nitrogen_shares(plant_carbon, plant_nitrogen, export_share, kept_share, harvest=1.0, seed_cn=25.0):
    """Shares of plant nitrogen that the harvest of :func:`crop_events` exports and keeps, each (..., 6).

    ``plant_carbon`` and ``plant_nitrogen`` (..., 6) before the harvest, kg m-2; ``seed_cn`` in kg kg-1.
    """
    tail = dict(
        plant_carbon=plant_carbon, plant_nitrogen=plant_nitrogen, export_share=export_share, kept_share=kept_share
    )  # fmt: skip
    tail = {name: (value, 1) for name, value in tail.items()}
    return _run(core.concerto_crops.crop_nitrogen_shares, dict(harvest=harvest, seed_cn=seed_cn), tail=tail)


def crop_transfer(plant, export_share, kept_share, germinated_share=0.0, sowing_input=0.0):
    """Shares of :func:`crop_events` applied to the pools (..., 6) of one element, kg m-2.

    Returns the pools, the litter by pool (..., 6) and the harvest that leaves the field.
    """
    tile = dict(germinated_share=germinated_share, sowing_input=sowing_input)
    tail = {"export_share": (export_share, 1), "kept_share": (kept_share, 1)}
    return _run(core.concerto_crops.crop_transfer, tile, tail=tail, state={"plant": (np.asarray(plant), 1)})
