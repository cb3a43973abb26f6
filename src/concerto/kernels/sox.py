"""Stomatal optimisation (SOX) and the energy balance of a leaf."""

from __future__ import annotations

from concerto import _core as core
from concerto.kernels._call import call


def vulnerability(potential, potential_half, steepness):
    """Relative xylem conductance 1/(1 + (psi/psi50)**a).

    ``potential`` and ``potential_half`` are MPa (negative), ``steepness`` the exponent a.

    Examples
    --------
    >>> float(vulnerability(-2.0, -2.0, 3.0))
    0.5
    """
    arrays = dict(potential=potential, potential_half=potential_half, steepness=steepness)
    return call(core.concerto_sox.sox_vulnerability, arrays)


def stomatal_conductance(
    surface_co2,
    colimited_co2,
    assimilation_surface,
    assimilation_colimited,
    predawn_potential,
    leaf_deficit,
    *,
    potential_half=-2.0,
    steepness=3.0,
    least_resistance=2000.0,
    air_pressure=101325.0,
    water_over_carbon=1.6,
):
    """Stomatal conductance for water vapour that maximises assimilation times xylem conductance.

    Parameters
    ----------
    surface_co2, colimited_co2 : array_like
        CO2 at the leaf surface, and inside the leaf where carboxylation and light limit equally, Pa.
    assimilation_surface, assimilation_colimited : array_like
        Assimilation at either CO2, umol m-2 s-1.
    predawn_potential : array_like
        Leaf water potential without flow, MPa.
    leaf_deficit : array_like
        Leaf-to-air vapour deficit, mol mol-1.
    potential_half, steepness, least_resistance : array_like
        psi50 (MPa), exponent, resistance of full xylem (m2 s MPa mol-1).

    Returns
    -------
    array
        mol m-2 s-1.

    Notes
    -----
    Eller et al. 2018, Phil. Trans. B 373; 2020, New Phytol. 226.
    """
    return call(
        core.concerto_sox.sox_conductance,
        dict(
            air_pressure=air_pressure,
            surface_co2=surface_co2,
            colimited_co2=colimited_co2,
            assimilation_surface=assimilation_surface,
            assimilation_colimited=assimilation_colimited,
            predawn_potential=predawn_potential,
            potential_half=potential_half,
            steepness=steepness,
            least_resistance=least_resistance,
            leaf_deficit=leaf_deficit,
        ),
        water_over_carbon=water_over_carbon,
    )


def xylem_capacity(
    predawn_potential,
    *,
    potential_half=-2.0,
    steepness=2.0,
    least_resistance=1000.0,
    soil_resistance=0.0,
    water_over_carbon=1.6,
):
    """What the xylem gives to the stomata, the slope of ``stomata = sox`` in ``concerto.kernels.leaf``.

    Parameters
    ----------
    predawn_potential : array_like
        Leaf water potential without flow, MPa.
    potential_half, steepness, least_resistance : array_like
        psi50 (MPa), exponent, resistance of full xylem (m2 leaf s MPa mol-1).
    soil_resistance : array_like
        Resistance of the soil around the roots, m2 leaf s MPa mol-1.

    Returns
    -------
    array
        mol m-2 leaf s-1; stomata have xi = capacity / (leaf-to-air deficit in mol mol-1).
    """
    return call(
        core.concerto_sox.sox_capacity,
        dict(
            predawn_potential=predawn_potential,
            potential_half=potential_half,
            steepness=steepness,
            least_resistance=least_resistance,
            soil_resistance=soil_resistance,
        ),
        water_over_carbon=water_over_carbon,
    )


def leaf_isothermal_radiation(
    air_temperature,
    vapour_pressure,
    absorbed_shortwave,
    *,
    emissivity=0.95,
    stefan_boltzmann=5.670374e-8,
    molar_heat_capacity=29.0993,
):
    """Net radiation of a leaf at air temperature under a clear sky (W m-2), and its radiation conductance.

    Parameters
    ----------
    air_temperature, vapour_pressure, absorbed_shortwave : array_like
        K, Pa, W m-2.

    Returns
    -------
    isothermal_radiation, radiation_conductance : arrays
        W m-2; mol m-2 s-1, one side.
    """
    return call(
        core.concerto_leaf_energy.leaf_isothermal_radiation,
        dict(
            air_temperature=air_temperature,
            vapour_pressure=vapour_pressure,
            absorbed_shortwave=absorbed_shortwave,
        ),
        stefan_boltzmann=stefan_boltzmann,
        emissivity=emissivity,
        molar_heat_capacity=molar_heat_capacity,
    )


def leaf_boundary_layer(
    air_temperature,
    wind_speed,
    leaf_width,
    temperature_difference,
    air_pressure=101325.0,
    *,
    gas_constant=8.314462618,
):
    """Boundary-layer conductance of a leaf for heat (both sides) and water vapour, mol m-2 s-1.

    Parameters
    ----------
    air_temperature, wind_speed, leaf_width, temperature_difference, air_pressure : array_like
        K, m s-1, m, K (leaf minus air), Pa.
    """
    return call(
        core.concerto_leaf_energy.leaf_boundary_layer,
        dict(
            air_temperature=air_temperature,
            air_pressure=air_pressure,
            wind_speed=wind_speed,
            leaf_width=leaf_width,
            temperature_difference=temperature_difference,
        ),
        gas_constant=gas_constant,
    )


def leaf_energy(
    air_temperature,
    vapour_deficit,
    latent_heat,
    saturation_slope,
    isothermal_radiation,
    radiation_conductance,
    wind_speed,
    leaf_width,
    stomatal_conductance,
    air_pressure=101325.0,
    stomatal_ratio=1.0,
    *,
    gas_constant=8.314462618,
    molar_heat_capacity=29.0993,
    sensible_heat_capacity=None,
):
    """Temperature and fluxes of a leaf with given stomatal conductance (Leuning et al. 1995).

    Parameters
    ----------
    air_temperature, vapour_deficit, latent_heat, saturation_slope : array_like
        K, Pa, J mol-1, Pa K-1.
    isothermal_radiation, radiation_conductance : array_like
        From :func:`leaf_isothermal_radiation`.
    wind_speed, leaf_width, stomatal_conductance, air_pressure, stomatal_ratio : array_like
        m s-1, m, mol m-2 s-1 (water vapour), Pa, 1 or 2 sides with stomata.

    Returns
    -------
    dict of arrays
        ``leaf_temperature`` (K), ``transpiration`` (mol m-2 s-1), ``sensible_heat``, ``latent_heat_flux``
        (W m-2),
        ``vapour_conductance``, ``heat_conductance`` (mol m-2 s-1).
    """
    out = call(
        core.concerto_leaf_energy.leaf_energy,
        dict(
            air_temperature=air_temperature,
            air_pressure=air_pressure,
            vapour_deficit=vapour_deficit,
            latent_heat=latent_heat,
            saturation_slope=saturation_slope,
            isothermal_radiation=isothermal_radiation,
            radiation_conductance=radiation_conductance,
            wind_speed=wind_speed,
            leaf_width=leaf_width,
            stomatal_conductance=stomatal_conductance,
            stomatal_ratio=stomatal_ratio,
        ),
        gas_constant=gas_constant,
        molar_heat_capacity=molar_heat_capacity,
        sensible_heat_capacity=molar_heat_capacity if sensible_heat_capacity is None else sensible_heat_capacity,
    )
    names = "leaf_temperature transpiration sensible_heat latent_heat_flux vapour_conductance heat_conductance"
    return dict(zip(names.split(), out, strict=True))
