"""Leaf area that plants aim at, by any option of phenology: one day after another over arrays of any shape.

The parts (growing-season index, prognostic and optimal leaf area) are in `concerto.kernels.carbon`.
"""

from __future__ import annotations

import numpy as np

from concerto import _core as core
from concerto.kernels.carbon import _run
from concerto.tables import loader

MEMORY = 25  # length of the memory that options other than gsi need; it starts at 0
SUMMERGREEN = dict(
    cold_slope=0.5591, cold_base=5.69, cold_rate=0.2, heat_slope=1.74, heat_base=41.51, heat_rate=0.2,
    light_slope=28.0, light_base=39.78, light_rate=0.2, water_slope=3.24, water_base=20.96, water_rate=0.6,
)  # fmt: skip
KNORR = dict(
    temperature_threshold=282.0, temperature_spread=2.0, day_length_threshold=10.5, day_length_spread=0.5,
    growth_rate=0.5, loss_rate=0.1, water_time=30.0,
)  # fmt: skip


def option_number(name):
    """Number of a choice of the option phenology (dimensionless), such as ``knorr``."""
    return list(loader.options()["phenology"].choices).index(name) + 1


def phenology_day(
    limiter,
    memory,
    option="gsi",
    air_temperature=283.15,
    shortwave=150.0,
    water_stress=1.0,
    vapour_deficit=500.0,
    day_length=43200.0,
    precipitation=2.0,
    transpiration=1.0,
    potential_evaporation=2.0,
    plant_water=100.0,
    soil_temperature=283.15,
    soil_head=-10.0,
    potential_production=0.3,
    ci_ratio=0.7,
    co2_pressure=38.0,
    prescribed_leaf_area=-1.0,
    evergreen=0.0,
    drought_deciduous=0.0,
    maximum_leaf_area=5.0,
    **parameters,
):
    """Leaf area index (m2 m-2) aimed at today, by the option phenology.

    Parameters
    ----------
    limiter : (..., 4) of the growing-season index, starts at 1
    memory : (..., 25) of the other options, starts at 0
    option : gsi, prescribed, knorr, optimal, season_deciduous or stress_deciduous
    air_temperature, soil_temperature : daily mean, third soil layer, K
    shortwave : W m-2
    water_stress : 0 to 1 (1: none)
    vapour_deficit, co2_pressure : Pa
    day_length : s
    precipitation, transpiration, potential_evaporation : kg m-2 d-1
    plant_water : above wilting in the root zone, kg m-2
    soil_head : third soil layer, m
    potential_production : GPP if all light were absorbed, mol m-2 d-1; ``ci_ratio`` with it
    evergreen, drought_deciduous : 0 or 1
    parameters : those of `SUMMERGREEN` (gsi) and `KNORR` to be replaced

    Returns
    -------
    limiter, memory, target

    Examples
    --------
    >>> limiter, memory = np.ones(4), np.zeros(MEMORY)
    >>> for day in range(60):
    ...     limiter, memory, target = phenology_day(limiter, memory, "stress_deciduous", soil_head=-200.0)
    >>> float(target)
    0.0
    """
    tile = SUMMERGREEN | KNORR | parameters
    tile |= dict(
        air_temperature=air_temperature,
        shortwave=shortwave,
        water_stress=water_stress,
        vapour_deficit=vapour_deficit,
        day_length=day_length,
        precipitation=precipitation,
        transpiration=transpiration,
        potential_evaporation=potential_evaporation,
        plant_water=plant_water,
        soil_temperature=soil_temperature,
        soil_head=soil_head,
        potential_production=potential_production,
        ci_ratio=ci_ratio,
        co2_pressure=co2_pressure,
        prescribed_leaf_area=prescribed_leaf_area,
        evergreen=evergreen,
        drought_deciduous=drought_deciduous,
        maximum_leaf_area=maximum_leaf_area,
    )
    state = {"limiter": (limiter, 1), "memory": (memory, 1)}
    return _run(core.concerto_phenology.phenology_day, tile, state=state, option=option_number(option))


def plant_available_water(liquid, root_share, thickness, theta_res=0.01, theta_sat=0.439, alpha=3.14, exponent=1.1804):
    """Water (kg m-2) above permanent wilting (1.5 MPa) in the layers with roots.

    ``liquid`` (m3 m-3) and ``root_share`` (..., layer), ``thickness`` (layer) in m; van Genuchten
    ``alpha`` in m-1.
    """
    tile = dict(theta_res=theta_res, theta_sat=theta_sat, alpha=alpha, exponent=exponent)
    tail = {"root_share": (root_share, 1), "liquid": (liquid, 1)}
    thickness = np.asarray(thickness, dtype=float)
    return _run(core.concerto_phenology.plant_available_water, tile, tail=tail, thickness=thickness)
