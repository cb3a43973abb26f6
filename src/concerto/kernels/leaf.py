"""Leaf photosynthesis, stomata and respiration (see ``docs/processes/photosynthesis.md``, ``stomata.md`` and
``leaf_respiration.md``).

Every function takes scalars or arrays that broadcast against each other. Temperatures K, pressures Pa, fluxes
umol m-2 leaf s-1, conductances mol m-2 leaf s-1.
"""

from __future__ import annotations

import numpy as np

from concerto import _core as core
from concerto.errors import ConcertoError
from concerto.kernels._call import call
from concerto.tables import loader

_R, _O2 = 8.314462618, 0.209476
# Kc25, Ko25, compensation point at 25 degC (Bernacchi 2001): Pa, and mol mol-1
_KINETICS = {"partial": (39.97, 27480.0, 4.332), "molefrac": (404.9e-6, 278.4e-3, 42.75e-6)}
_NO_LIMIT = 1e30  # triose phosphate utilisation so large that it plays no role


def _number(option, choice):
    """Integer by which the core knows a choice."""
    choices = list(loader.options()[option].choices)
    if choice not in choices:
        raise ConcertoError(
            f"'{choice}' is no choice of the option {option}.", hint=f"Choose one of: {', '.join(choices)}."
        )
    return choices.index(choice) + 1


def temperature_response(
    leaf_temperature,
    growth_temperature=298.15,
    home_temperature=298.15,
    *,
    temperature_response="k19",
    gas_constant=_R,
):
    """Vcmax and Jmax at leaf temperature over their values at 25 degC.

    Parameters
    ----------
    leaf_temperature, growth_temperature, home_temperature : array_like
        K. Growth: 30-day mean of the air; home: long-term mean maximum of the warmest month.
    temperature_response : {"k19", "kk07", "fixed"}

    Returns
    -------
    vcmax_factor, jmax_factor : arrays

    Notes
    -----
    Kumarathunge et al. 2019 (both acclimation temperatures clamped to -5..40 degC), Kattge & Knorr 2007
    (growth temperature clamped to 11..35 degC), or a peaked Arrhenius function without acclimation.

    Examples
    --------
    >>> vcmax_factor, jmax_factor = temperature_response(303.15, 293.15, 298.15)
    """
    return call(
        core.concerto_photosynthesis.capacity_response,
        dict(
            leaf_temperature=leaf_temperature,
            growth_temperature=growth_temperature,
            home_temperature=home_temperature,
        ),
        temperature_response=_number("temperature_response", temperature_response),
        molar_gas_constant=gas_constant,
    )


def jmax_to_vcmax_ratio(growth_temperature, home_temperature=298.15, *, temperature_response="k19"):
    """Jmax25 : Vcmax25 that belongs to a temperature response; temperatures K.

    Notes
    -----
    Kumarathunge et al. 2019, Kattge & Knorr 2007; ``fixed`` gives 1.67 (Medlyn et al. 2002).
    """
    return call(
        core.concerto_photosynthesis.jmax_ratio,
        dict(growth_temperature=growth_temperature, home_temperature=home_temperature),
        temperature_response=_number("temperature_response", temperature_response),
    )


def c4_temperature_response(leaf_temperature):
    """Factors of Vcmax, of the CO2-limited slope kp and of respiration in C4 leaves (Collatz et al. 1992).

    The factor of Vcmax is 0.871 at 25 degC, because the parameters were fitted so; kp stops rising at 310 K.
    """
    return call(core.concerto_photosynthesis.c4_response, dict(leaf_temperature=leaf_temperature))


def kinetic_constants(
    leaf_temperature,
    pressure=101325.0,
    *,
    kinetics="partial",
    kc25=None,
    ko25=None,
    compensation25=None,
    oxygen=_O2,
    gas_constant=_R,
):
    """Effective Michaelis constant Kc (1 + O/Ko) of Rubisco and CO2 compensation point, both Pa.

    Parameters
    ----------
    leaf_temperature, pressure : array_like
        K, Pa.
    kinetics : {"partial", "molefrac"}
        Constants as partial pressures, or as mole fractions times air pressure.
    kc25, ko25, compensation25 : float, optional
        At 25 degC, Pa (``partial``) or mol mol-1 (``molefrac``); default Bernacchi et al. 2001.
    oxygen : float
        Mole fraction of O2, mol mol-1.
    """
    number = _number("kinetics", kinetics)
    given = (kc25, ko25, compensation25)
    kc25, ko25, compensation25 = (
        default if value is None else value for value, default in zip(given, _KINETICS[kinetics], strict=True)
    )
    return call(
        core.concerto_photosynthesis.kinetic_constants,
        dict(leaf_temperature=leaf_temperature, pressure=pressure),
        kinetics=number,
        molar_gas_constant=gas_constant,
        oxygen=oxygen,
        kc25=kc25,
        ko25=ko25,
        compensation25=compensation25,
    )


def freezing_ramp(leaf_temperature):
    """Share of assimilation left in a cold leaf: 0 below 268 K, 1 above 270 K, smooth between."""
    return call(core.concerto_photosynthesis.freezing_ramp, dict(leaf_temperature=leaf_temperature))


def electron_transport(absorbed_par, jmax, *, quantum_yield=0.425, theta_j=0.7):
    """Potential electron transport, umol electrons m-2 s-1.

    Parameters
    ----------
    absorbed_par : array_like
        Absorbed photons, umol m-2 leaf s-1.
    jmax : array_like
        At leaf temperature, umol m-2 s-1.
    quantum_yield : array_like
        Electrons per absorbed photon, 0.5 (1 - f) with f = 0.15.
    theta_j : array_like
        Curvature, 0-1.
    """
    return call(
        core.concerto_photosynthesis.electron_transport,
        dict(absorbed_par=absorbed_par, quantum_yield=quantum_yield, jmax=jmax, theta_j=theta_j),
    )


def c3_photosynthesis(
    ci,
    vcmax,
    electron_rate,
    michaelis_constant,
    co2_compensation,
    *,
    tpu=None,
    theta_cj=0.98,
    theta_ip=0.95,
):
    """C3 gross assimilation at given intercellular CO2 (Farquhar, von Caemmerer & Berry 1980).

    Parameters
    ----------
    ci, michaelis_constant, co2_compensation : array_like
        Pa.
    vcmax, electron_rate : array_like
        At leaf temperature, umol m-2 s-1.
    tpu : array_like, optional
        Triose phosphate utilisation, umol m-2 s-1; without it there is no such limit.
    theta_cj, theta_ip : array_like
        Curvatures of the smooth minima, 0-1; 1 is the hard minimum.

    Returns
    -------
    rubisco_rate, light_rate, gross_assimilation : arrays
        umol m-2 s-1.

    Examples
    --------
    >>> km, gamma = kinetic_constants(298.15)
    >>> rates = c3_photosynthesis(28.0, 60.0, electron_transport(1000.0, 100.0), km, gamma)
    >>> [round(float(rate), 2) for rate in rates]
    [14.37, 14.9, 12.8]
    """
    return call(
        core.concerto_photosynthesis.c3_rates,
        dict(
            ci=ci,
            vcmax=vcmax,
            electron_rate=electron_rate,
            michaelis_constant=michaelis_constant,
            co2_compensation=co2_compensation,
            tpu=_NO_LIMIT if tpu is None else tpu,
            theta_cj=theta_cj,
            theta_ip=theta_ip,
        ),
    )


def c4_photosynthesis(
    ci,
    vcmax,
    initial_slope,
    absorbed_par,
    pressure=101325.0,
    *,
    quantum_yield=0.05,
    theta_cj=0.98,
    theta_ip=0.95,
):
    """C4 gross assimilation at given intercellular CO2 (Collatz et al. 1992).

    Parameters
    ----------
    ci, pressure : array_like
        Pa.
    vcmax : array_like
        At leaf temperature, umol m-2 s-1.
    initial_slope : array_like
        kp at leaf temperature, umol m-2 s-1 per mol mol-1; 20000 Vcmax25 at 25 degC.
    absorbed_par : array_like
        umol photons m-2 leaf s-1.

    Returns
    -------
    light_rate, co2_rate, gross_assimilation : arrays
        umol m-2 s-1.
    """
    return call(
        core.concerto_photosynthesis.c4_rates,
        dict(
            ci=ci,
            pressure=pressure,
            vcmax=vcmax,
            initial_slope=initial_slope,
            absorbed_par=absorbed_par,
            quantum_yield=quantum_yield,
            theta_cj=theta_cj,
            theta_ip=theta_ip,
        ),
    )


def _coupled(routine, ci_solver, stomata, deficit_scale, **arrays):
    return call(
        routine,
        arrays,
        stomata=_number("stomata", stomata),
        ci_solver=_number("ci_solver", ci_solver),
        deficit_scale=deficit_scale,
    )


def c3_gas_exchange(
    vcmax,
    electron_rate,
    michaelis_constant,
    co2_compensation,
    respiration,
    leaf_saturation,
    vapour_pressure,
    co2_partial_pressure,
    pressure=101325.0,
    boundary_conductance=1e9,
    *,
    g0=1e-4,
    g1=4.0,
    g_min=2e-3,
    theta_cj=0.98,
    stomata="medlyn",
    law_compensation=None,
    deficit_scale=1.5,
    ci_solver="newton",
):
    """Coupled assimilation, conductance and intercellular CO2 of C3 leaves from rates at leaf temperature.

    Parameters
    ----------
    vcmax, electron_rate, respiration : array_like
        At leaf temperature, umol m-2 s-1.
    michaelis_constant, co2_compensation : array_like
        Pa.
    leaf_saturation : array_like
        Saturation vapour pressure at leaf temperature, Pa.
    vapour_pressure, co2_partial_pressure : array_like
        Of the air outside the leaf boundary layer, Pa.
    pressure : array_like
        Pa.
    boundary_conductance : array_like
        Of the leaf boundary layer for vapour, mol m-2 s-1; the default is none.
    g0, g_min : array_like
        Intercept of the law and floor of the result, mol m-2 s-1.
    g1 : array_like
        Slope: kPa0.5 (``medlyn``; ``pmodel``: xi in Pa0.5 over sqrt(1000)), else dimensionless.
    law_compensation : array_like, optional
        CO2 subtracted from that at the surface in ``leuning`` and ``pmodel``, Pa; default the same as above.
    deficit_scale : float
        D0 of ``leuning``, kPa.
    stomata : {"medlyn", "ball_berry", "leuning", "pmodel"}
    ci_solver : {"newton", "chandrupatla"}

    Returns
    -------
    net_assimilation, conductance, ci : arrays
        umol m-2 s-1; of stomata for vapour, mol m-2 s-1; Pa.
    """
    return _coupled(
        core.concerto_gas_exchange.c3_gas_exchange,
        ci_solver,
        stomata,
        deficit_scale,
        vcmax=vcmax,
        electron_rate=electron_rate,
        michaelis_constant=michaelis_constant,
        co2_compensation=co2_compensation,
        respiration=respiration,
        leaf_saturation=leaf_saturation,
        vapour_pressure=vapour_pressure,
        co2_partial_pressure=co2_partial_pressure,
        pressure=pressure,
        boundary_conductance=boundary_conductance,
        theta_cj=theta_cj,
        g0=g0,
        g1=g1,
        g_min=g_min,
        law_compensation=co2_compensation if law_compensation is None else law_compensation,
    )


def c4_gas_exchange(
    vcmax,
    light_rate,
    initial_slope,
    respiration,
    leaf_saturation,
    vapour_pressure,
    co2_partial_pressure,
    pressure=101325.0,
    boundary_conductance=1e9,
    *,
    g0=1e-4,
    g1=1.62,
    g_min=2e-3,
    theta_cj=0.98,
    theta_ip=0.95,
    stomata="medlyn",
    law_compensation=0.0,
    deficit_scale=1.5,
    ci_solver="newton",
):
    """Coupled assimilation, conductance and intercellular CO2 of C4 leaves from rates at leaf temperature.

    Parameters
    ----------
    vcmax, light_rate, respiration : array_like
        At leaf temperature, umol m-2 s-1; the light-limited rate is 0.05 of absorbed photons.
    initial_slope : array_like
        kp at leaf temperature, umol m-2 s-1 per mol mol-1.

    The others, and what is returned, as in `c3_gas_exchange`.
    """
    return _coupled(
        core.concerto_gas_exchange.c4_gas_exchange,
        ci_solver,
        stomata,
        deficit_scale,
        vcmax=vcmax,
        light_rate=light_rate,
        initial_slope=initial_slope,
        respiration=respiration,
        leaf_saturation=leaf_saturation,
        vapour_pressure=vapour_pressure,
        co2_partial_pressure=co2_partial_pressure,
        pressure=pressure,
        boundary_conductance=boundary_conductance,
        theta_cj=theta_cj,
        theta_ip=theta_ip,
        g0=g0,
        g1=g1,
        g_min=g_min,
        law_compensation=law_compensation,
    )


def gas_exchange(
    leaf_temperature,
    vapour_pressure,
    absorbed_par,
    vcmax25,
    *,
    jmax25=None,
    respiration25=None,
    co2_partial_pressure=41.0,
    pressure=101325.0,
    boundary_conductance=2.0,
    growth_temperature=298.15,
    home_temperature=298.15,
    c4=0.0,
    g0=1e-4,
    g1=4.0,
    g_min=2e-3,
    theta_cj=0.98,
    theta_ip=0.95,
    quantum_yield=0.425,
    theta_j=0.7,
    stress_stomata=1.0,
    stress_capacity=1.0,
    stomata="medlyn",
    temperature_response="k19",
    kinetics="partial",
    leaf_respiration="atkin",
    ci_solver="newton",
):
    """Gas exchange of a leaf at known temperature, as the model computes it.

    Parameters
    ----------
    leaf_temperature, growth_temperature, home_temperature : array_like
        K.
    vapour_pressure, co2_partial_pressure, pressure : array_like
        Pa, outside the leaf boundary layer.
    absorbed_par : array_like
        umol photons m-2 leaf s-1.
    vcmax25 : array_like
        umol m-2 s-1.
    jmax25 : array_like, optional
        umol m-2 s-1; default Vcmax25 times the ratio of the temperature response.
    respiration25 : array_like, optional
        umol m-2 s-1; default 0.015 (C3) or 0.025 (C4) of Vcmax25.
    boundary_conductance : array_like
        For vapour, one side, mol m-2 s-1.
    c4 : array_like
        1 for C4 leaves, else 0.
    g0, g_min, g1
        As in `c3_gas_exchange`.
    stress_stomata, stress_capacity : array_like
        Drought factors of g1 and of Vcmax, Jmax and kp, 0-1.
    stomata, temperature_response, kinetics, leaf_respiration, ci_solver : str
        Options of the model.

    Returns
    -------
    dict of arrays
        ``net_assimilation``, ``respiration`` umol m-2 s-1; ``conductance`` for vapour mol m-2 s-1; ``ci`` Pa.

    Examples
    --------
    >>> round(float(gas_exchange(298.15, 2000.0, 1000.0, 60.0)["net_assimilation"]), 1)
    12.8
    """
    if jmax25 is None:
        jmax25 = np.asarray(vcmax25) * jmax_to_vcmax_ratio(
            growth_temperature, home_temperature, temperature_response=temperature_response
        )
    if respiration25 is None:
        respiration25 = np.asarray(vcmax25) * np.where(np.asarray(c4) > 0.5, 0.025, 0.015)
    net, _, conductance, _, respiration, _, ci, _ = call(
        core.concerto_gas_exchange.leaf_gas_exchange,
        dict(
            leaf_temperature=leaf_temperature,
            vapour_pressure=vapour_pressure,
            co2_partial_pressure=co2_partial_pressure,
            pressure=pressure,
            boundary_conductance=boundary_conductance,
            absorbed_par_sun=absorbed_par,
            absorbed_par_shade=absorbed_par,
            vcmax25_sun=vcmax25,
            vcmax25_shade=vcmax25,
            jmax25_sun=jmax25,
            jmax25_shade=jmax25,
            respiration25_sun=respiration25,
            respiration25_shade=respiration25,
            growth_temperature=growth_temperature,
            home_temperature=home_temperature,
            c4=c4,
            theta_cj=theta_cj,
            theta_ip=theta_ip,
            quantum_yield=quantum_yield,
            theta_j=theta_j,
            g0=g0,
            g1=g1,
            g_min=g_min,
            stress_stomata=stress_stomata,
            stress_capacity=stress_capacity,
        ),
        stomata=_number("stomata", stomata),
        temperature_response=_number("temperature_response", temperature_response),
        kinetics=_number("kinetics", kinetics),
        leaf_respiration=_number("leaf_respiration", leaf_respiration),
        ci_solver=_number("ci_solver", ci_solver),
    )
    return dict(net_assimilation=net, conductance=conductance, respiration=respiration, ci=ci)


def leaf_respiration_base(
    r0=1.756,
    leaf_nitrogen=1.5,
    growth_temperature=298.15,
    vcmax25=60.0,
    c4=0.0,
    *,
    leaf_respiration="atkin",
):
    """Leaf dark respiration at 25 degC, umol m-2 s-1.

    Parameters
    ----------
    r0 : array_like
        Intercept of the plant functional type, umol m-2 s-1 (``atkin``).
    leaf_nitrogen : array_like
        gN m-2 leaf (``atkin``, ``ryan``).
    growth_temperature : array_like
        30-day mean of the air, K (``atkin``).
    vcmax25, c4 : array_like
        umol m-2 s-1, and 1 for C4 leaves, else 0 (``vcmax``).
    leaf_respiration : {"atkin", "vcmax", "ryan"}

    Notes
    -----
    Atkin et al. 2015; 0.015 (C3) or 0.025 (C4) of Vcmax25; Ryan 1991 (2.525e-6 gC gN-1 s-1 at 20 degC,
    Q10 1.5).
    """
    return call(
        core.concerto_leaf_respiration.respiration_base,
        dict(r0=r0, leaf_nitrogen=leaf_nitrogen, growth_temperature=growth_temperature, vcmax25=vcmax25, c4=c4),
        leaf_respiration=_number("leaf_respiration", leaf_respiration),
    )


def leaf_respiration_response(leaf_temperature, c4=0.0, *, leaf_respiration="atkin", gas_constant=_R):
    """Leaf respiration at leaf temperature (K) over that at 25 degC.

    Notes
    -----
    Heskel et al. 2016 (``atkin``); a peaked Arrhenius function (``ryan``, and ``vcmax`` in C3 leaves); the
    doubling of Collatz et al. 1992 (``vcmax`` in C4 leaves).
    """
    return call(
        core.concerto_leaf_respiration.respiration_response,
        dict(leaf_temperature=leaf_temperature, c4=c4),
        leaf_respiration=_number("leaf_respiration", leaf_respiration),
        molar_gas_constant=gas_constant,
    )


def leaf_respiration(leaf_temperature, *, leaf_respiration="atkin", c4=0.0, **base):
    """Leaf dark respiration at leaf temperature (K), umol m-2 s-1; ``base`` as in `leaf_respiration_base`."""
    return leaf_respiration_base(c4=c4, leaf_respiration=leaf_respiration, **base) * leaf_respiration_response(
        leaf_temperature, c4, leaf_respiration=leaf_respiration
    )


def c4_vcaemmerer(
    ci,
    leaf_temperature,
    absorbed_par,
    *,
    vcmax25=60.0,
    vpmax25=120.0,
    jmax25=400.0,
    vp_regeneration=80.0,
    respiration25=1.0,
    bundle_sheath_conductance=3e-3,
    oxygen=210.0,
    mesophyll_share=0.4,
    respiration_share=0.5,
    half_specificity=1.93e-4,
    quantum_yield=0.425,
    theta_j=0.7,
    q10=2.3,
    gas_constant=_R,
):
    """C4 photosynthesis with an explicit bundle sheath (von Caemmerer 2000; responses Massad et al. 2007).

    Parameters
    ----------
    ci : array_like
        Intercellular CO2, umol mol-1.
    leaf_temperature : array_like
        K.
    absorbed_par : array_like
        umol photons m-2 leaf s-1.
    vcmax25, vpmax25, jmax25, vp_regeneration, respiration25 : array_like
        Rubisco, PEP carboxylase, electron transport, PEP regeneration and dark respiration, umol m-2 s-1.
    bundle_sheath_conductance : array_like
        mol m-2 s-1.
    oxygen : array_like
        mmol mol-1.
    mesophyll_share, respiration_share : array_like
        Of electron transport and of respiration in the mesophyll.
    half_specificity : array_like
        Half the reciprocal of Rubisco specificity, mol mol-1.
    quantum_yield : array_like
        Electrons per absorbed photon, mol mol-1.

    Returns
    -------
    enzyme_rate, light_rate, pep_rate, respiration : arrays
        Net assimilation limited by enzymes and by light, PEP carboxylation, dark respiration; umol m-2 s-1.

    Notes
    -----
    For scripting; the model itself uses Collatz et al. 1992. Net assimilation is the lower of the first two.
    """
    ci, temperature, absorbed_par = (np.asarray(v, dtype=float) for v in (ci, leaf_temperature, absorbed_par))
    celsius = temperature - 273.15
    growth = q10 ** ((celsius - 25.0) / 10.0)

    def peaked(activation, deactivation, entropy):
        reference = 298.0  # Massad et al. 2007 round 25 degC so
        return (
            np.exp(activation * (temperature - reference) / (reference * gas_constant * temperature))
            * (1.0 + np.exp((reference * entropy - deactivation) / (reference * gas_constant)))
            / (1.0 + np.exp((temperature * entropy - deactivation) / (temperature * gas_constant)))
        )

    def smaller_root(b, c, a=1.0):
        return (-b - np.sqrt(np.maximum(b * b - 4.0 * a * c, 0.0))) / (2.0 * a)

    oxygen_umol = 1e3 * oxygen
    michaelis = 650.0 * growth * (1.0 + oxygen / (450.0 * growth))
    vcmax = vcmax25 * peaked(67294.0, 144568.0, 472.0)
    vpmax = vpmax25 * peaked(70373.0, 117910.0, 376.0)
    jmax = jmax25 * peaked(77900.0, 191929.0, 627.0)
    respiration = respiration25 * growth
    mesophyll_respiration = respiration_share * respiration
    pep = np.minimum(ci * vpmax / (ci + 80.0 * growth), vp_regeneration)

    gbs = bundle_sheath_conductance
    supply = pep - mesophyll_respiration + gbs * ci
    enzyme = smaller_root(
        -(supply + vcmax - respiration + gbs * michaelis),
        (vcmax - respiration) * supply - gbs * (vcmax * half_specificity * oxygen_umol + respiration * michaelis),
    )
    light = quantum_yield * absorbed_par
    electrons = smaller_root(-(light + jmax), light * jmax, theta_j)
    supply = mesophyll_share * electrons / 2.0 - mesophyll_respiration + gbs * ci
    cycle = (1.0 - mesophyll_share) * electrons / 3.0
    photorespiration = 7.0 / 3.0 * half_specificity * oxygen_umol
    by_light = smaller_root(
        -(supply + cycle - respiration + gbs * photorespiration),
        supply * (cycle - respiration) - gbs * half_specificity * oxygen_umol * (cycle + 7.0 / 3.0 * respiration),
    )
    return enzyme, by_light, pep, respiration
