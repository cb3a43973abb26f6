"""Heat in snow and soil: thermal properties, conduction, freezing, heat carried by water.

Enthalpy (J m-2) counts from liquid water at 273.15 K. Soil water and ice (as liquid equivalent) are m3 m-3,
snow is kg m-2 per layer; the trailing axis is the layer, from the top down; fluxes are positive downwards.
Snow layers lie on the soil, that is, the last snow layer is the first one used.
"""

from __future__ import annotations

import numpy as np

from concerto import _core as core
from concerto.kernels._call import call

LAYER_THICKNESS = np.array([0.01, 0.02, 0.04, 0.09, 0.12, 0.30, 0.42, 1.00, 2.00, 4.00])
"""Thickness of the ten soil layers of the model, m."""

_heat = core.concerto_heat


def _thickness(layer_thickness):
    return np.ascontiguousarray(LAYER_THICKNESS if layer_thickness is None else layer_thickness, dtype=float)


def soil_thermal_parameters(theta_sat=0.439, quartz=0.215, van_genuchten_alpha=3.14, van_genuchten_n=1.1804):
    """Constants of a soil that the other functions take.

    Parameters
    ----------
    theta_sat : pore space, m3 m-3
    quartz : share of quartz in the solids, 0-1
    van_genuchten_alpha, van_genuchten_n : retention curve, m-1 and -

    Returns
    -------
    dry_capacity (J m-3 K-1), dry_conductivity (W m-1 K-1), log_solid_conductivity (-),
    freezing_exponent (1/B, -), freezing_entry (K)

    Notes
    -----
    Farouki (1981), Peters-Lidard et al. (1998); freezing curve of Niu & Yang (2006) with 1/B = n - 1 and
    psi_sat = 1/alpha.
    """
    arrays = dict(
        theta_sat=theta_sat,
        quartz=quartz,
        van_genuchten_alpha=van_genuchten_alpha,
        van_genuchten_n=van_genuchten_n,
    )
    return call(_heat.soil_thermal_parameters, arrays)


def soil_thermal_properties(liquid, ice, theta_sat=0.439, quartz=0.215, layer_thickness=None):
    """Heat capacity (J m-2 K-1 per layer) and thermal conductivity (W m-1 K-1) of soil layers.

    Parameters
    ----------
    liquid, ice : (..., layer), m3 m-3
    theta_sat : pore space, m3 m-3
    quartz : share of quartz in the solids, 0-1
    layer_thickness : (layer,), m; the model's own if not given

    Examples
    --------
    >>> capacity, conductivity = soil_thermal_properties(np.full(10, 0.3), np.zeros(10))
    """
    capacity, conductivity, log_solid, _, _ = soil_thermal_parameters(theta_sat, quartz)
    arrays = dict(
        theta_sat=theta_sat,
        dry_capacity=capacity,
        dry_conductivity=conductivity,
        log_solid_conductivity=log_solid,
    )
    return call(
        _heat.soil_thermal_properties,
        arrays,
        layered=dict(liquid=liquid, ice=ice),
        layer_thickness=_thickness(layer_thickness),
    )


def ground_heat(
    dt,
    flux,
    flux_slope,
    reference_temperature,
    snow_ice,
    snow_thickness,
    snow_capacity,
    snow_conductivity,
    soil_liquid,
    soil_ice,
    soil_capacity,
    soil_conductivity,
    snow_temperature,
    soil_temperature,
    freezing_exponent=0.1804,
    layer_thickness=None,
):
    """One implicit step of conduction through snow and soil under a massless skin.

    Parameters
    ----------
    dt : time step, s
    flux, flux_slope, reference_temperature : heat flux into the skin, W m-2, its slope (<= 0), W m-2 K-1,
        and the skin temperature for which it holds, K
    snow_ice, snow_thickness, snow_capacity, snow_conductivity, snow_temperature : (..., snow layer),
        kg m-2, m, J m-2 K-1 (0: no snow), W m-1 K-1, K
    soil_liquid, soil_ice, soil_capacity, soil_conductivity, soil_temperature : (..., soil layer),
        m3 m-3, m3 m-3, J m-2 K-1, W m-1 K-1, K
    freezing_exponent : 1/B of the freezing curve; 1e6 if all water freezes at 273.15 K
    layer_thickness : (soil layer,), m

    Returns
    -------
    snow_temperature, soil_temperature, ground_temperature (K), ground_heat_flux (W m-2)
    """
    arrays = dict(
        flux=flux,
        flux_slope=flux_slope,
        reference_temperature=reference_temperature,
        freezing_exponent=freezing_exponent,
    )
    layered = dict(
        snow_ice=snow_ice,
        snow_thickness=snow_thickness,
        snow_capacity=snow_capacity,
        snow_conductivity=snow_conductivity,
        soil_liquid=soil_liquid,
        soil_ice=soil_ice,
        soil_capacity=soil_capacity,
        soil_conductivity=soil_conductivity,
        snow_temperature=snow_temperature,
        soil_temperature=soil_temperature,
    )
    return call(_heat.ground_heat, arrays, layered=layered, dt=dt, layer_thickness=_thickness(layer_thickness))


def phase_change(
    liquid,
    ice,
    temperature,
    top_heat=0.0,
    theta_sat=0.439,
    freezing_exponent=0.1804,
    freezing_entry=0.00256,
    dry_capacity=1.122e6,
    supercooling=True,
    layer_thickness=None,
):
    """Freeze or thaw soil water at constant enthalpy and total water.

    Parameters
    ----------
    liquid, ice, temperature : (..., layer), m3 m-3 and K
    top_heat : heat added to the first layer, J m-2
    theta_sat, freezing_exponent, freezing_entry, dry_capacity : see `soil_thermal_parameters`
    supercooling : whether liquid water exists below 273.15 K

    Returns
    -------
    liquid, ice, temperature
    """
    arrays = dict(
        theta_sat=theta_sat,
        freezing_exponent=freezing_exponent,
        freezing_entry=freezing_entry,
        dry_capacity=dry_capacity,
        top_heat=top_heat,
    )
    return call(
        _heat.phase_change,
        arrays,
        layered=dict(liquid=liquid, ice=ice, temperature=temperature),
        supercooling=int(supercooling),
        layer_thickness=_thickness(layer_thickness),
    )


def advect_heat(
    liquid_before,
    liquid,
    ice,
    water_flux,
    inflow_temperature,
    root_uptake,
    lateral_runoff,
    temperature,
    dry_capacity=1.122e6,
    layer_thickness=None,
):
    """Soil temperature after water has moved (implicit upwind).

    Parameters
    ----------
    liquid_before, liquid, ice, temperature : (..., layer), m3 m-3 and K
    water_flux : (..., layer + 1), kg m-2 through the top of each layer and the bottom, down
    inflow_temperature : temperature of water entering at the top, K
    root_uptake, lateral_runoff : (..., layer), kg m-2
    dry_capacity : J m-3 K-1

    Returns
    -------
    temperature (K), inflow_heat, outflow_heat, uptake_heat (J m-2)
    """
    arrays = dict(dry_capacity=dry_capacity, inflow_temperature=inflow_temperature)
    layered = dict(
        liquid_before=liquid_before,
        liquid=liquid,
        ice=ice,
        water_flux=water_flux,
        root_uptake=root_uptake,
        lateral_runoff=lateral_runoff,
        temperature=temperature,
    )
    return call(_heat.advect_heat, arrays, layered=layered, layer_thickness=_thickness(layer_thickness))


def column_enthalpy(
    snow_ice,
    snow_liquid,
    snow_temperature,
    soil_liquid,
    soil_ice,
    soil_temperature,
    dry_capacity=1.122e6,
    layer_thickness=None,
):
    """Enthalpy of snow and soil, J m-2, above liquid water and dry soil at 273.15 K (arguments as above)."""
    layered = dict(
        snow_ice=snow_ice,
        snow_liquid=snow_liquid,
        snow_temperature=snow_temperature,
        soil_liquid=soil_liquid,
        soil_ice=soil_ice,
        soil_temperature=soil_temperature,
    )
    return call(
        _heat.column_enthalpy,
        dict(dry_capacity=dry_capacity),
        layered=layered,
        layer_thickness=_thickness(layer_thickness),
    )
