"""The snow pack: phase of precipitation, accumulation, melt, compaction, layering, cover and albedo.

Layers are the trailing axis, from the top down; the last one lies on the soil and is the first one used.
Ice and liquid are kg m-2, thickness m, temperature K; amounts (snowfall, rain, sublimation, outflow) are
kg m-2 over the step.
"""

from __future__ import annotations

from concerto import _core as core
from concerto.kernels._call import call

_snow = core.concerto_snow


def precipitation_phase(air_temperature, vapour_pressure, pressure=101325.0):
    """Wet-bulb temperature (K) and the share of precipitation that falls as snow (Wang et al. 2019).

    Parameters
    ----------
    air_temperature : K
    vapour_pressure, pressure : Pa

    Examples
    --------
    >>> wet_bulb, snow_share = precipitation_phase(274.0, 500.0)
    """
    arrays = dict(air_temperature=air_temperature, vapour_pressure=vapour_pressure, pressure=pressure)
    return call(_snow.precipitation_phase, arrays)


def snow_precipitation(ice, liquid, thickness, temperature, snowfall, rain, air_temperature):
    """Add snowfall and rain to the pack.

    Returns
    -------
    ice, liquid, thickness, temperature (layered), rain_to_ground (kg m-2), rain_temperature (K),
    precipitation_heat (enthalpy brought into the pack, J m-2)
    """
    arrays = dict(snowfall=snowfall, rain=rain, air_temperature=air_temperature)
    layered = dict(ice=ice, liquid=liquid, thickness=thickness, temperature=temperature)
    return call(_snow.snow_precipitation, arrays, layered=layered)


def snow_thermal_properties(ice, liquid, thickness):
    """Heat capacity (J m-2 K-1, 0: too little snow to conduct) and conductivity (W m-1 K-1; Yen 1981)."""
    return call(_snow.snow_thermal_properties, layered=dict(ice=ice, liquid=liquid, thickness=thickness))


def snow_hydrology(dt, ice, liquid, thickness, temperature, soil_temperature, sublimation=0.0):
    """Sublimation, melt or refreezing, percolation and compaction after the conduction step.

    Parameters
    ----------
    dt : s
    soil_temperature : of the first soil layer, K
    sublimation : ice lost to the air (negative: frost), kg m-2

    Returns
    -------
    ice, liquid, thickness, temperature (layered), outflow (kg m-2), outflow_temperature (K),
    outflow_heat (J m-2), heat_to_soil (J m-2), unmet_sublimation (kg m-2), snow_melt (kg m-2)
    """
    arrays = dict(soil_temperature=soil_temperature, sublimation=sublimation)
    layered = dict(ice=ice, liquid=liquid, thickness=thickness, temperature=temperature)
    return call(_snow.snow_hydrology, arrays, layered=layered, dt=dt)


def snow_remap(ice, liquid, thickness, temperature):
    """Move the layer interfaces to where the depth of the pack wants them; ice, liquid, enthalpy kept."""
    layered = dict(ice=ice, liquid=liquid, thickness=thickness, temperature=temperature)
    return call(_snow.snow_remap, layered=layered)


def snow_surface(ice, liquid, thickness, cover_scale=0.02, cover_exponent=1.0, canopy_bottom=0.0, canopy_top=0.2):
    """Depth (m), mass (kg m-2), ground cover (0-1; Niu & Yang 2007) and buried share of leaves (0-1)."""
    arrays = dict(
        cover_scale=cover_scale,
        cover_exponent=cover_exponent,
        canopy_bottom=canopy_bottom,
        canopy_top=canopy_top,
    )
    return call(_snow.snow_surface, arrays, layered=dict(ice=ice, liquid=liquid, thickness=thickness))


def snow_albedo(dt, age, ground_temperature, cosine_zenith, snowfall=0.0, water_equivalent=1.0):
    """Age of the snow surface and its albedo (BATS).

    Returns
    -------
    age, visible_direct, visible_diffuse, infrared_direct, infrared_diffuse (-)
    """
    arrays = dict(
        age=age,
        ground_temperature=ground_temperature,
        cosine_zenith=cosine_zenith,
        snowfall=snowfall,
        water_equivalent=water_equivalent,
    )
    return call(_snow.snow_albedo, arrays, dt=dt)
