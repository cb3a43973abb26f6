"""P-model: optimal photosynthesis and its acclimation (see ``docs/processes/pmodel.md``)."""

from __future__ import annotations

import numpy as np

from concerto import _core as core
from concerto.errors import ConcertoError
from concerto.kernels._call import call

_CHI = {"c3": 1, "c4": 2, "c4_no_compensation": 3}
_JMAX = {"wang17": 1, "smith19": 2, "none": 3}
_YIELD = {"fixed": 1, "c3": 2, "c4": 3, "peaked": 4}
_RESPONSE = {  # activation, deactivation (0: plain Arrhenius), entropy of Vcmax and of Jmax
    "simple": (65330.0, 0.0, 0.0, 43900.0, 0.0, 0.0),
    "fixed": (65330.0, 149250.0, 485.0, 43540.0, 152040.0, 495.0),
}
_R, _O2 = 8.314462618, 0.209476


def _choice(table, name, what):
    if name not in table:
        raise ConcertoError(f"Unknown {what} '{name}'.", hint=f"Choose one of: {', '.join(table)}.")
    return table[name]


def _energies(name):
    names = "vcmax_activation vcmax_deactivation vcmax_entropy jmax_activation jmax_deactivation jmax_entropy"
    return dict(zip(names.split(), _choice(_RESPONSE, name, "temperature response"), strict=True))


def environment(temperature, air_pressure=101325.0, *, gas_constant=_R, oxygen_mole_fraction=_O2):
    """Michaelis constant (Pa), compensation point (Pa) and relative viscosity of water.

    Parameters
    ----------
    temperature : array_like
        K.
    air_pressure : array_like
        Pa.

    Returns
    -------
    michaelis_menten, compensation, viscosity_ratio : arrays
        Pa, Pa, -.

    Notes
    -----
    Bernacchi et al. 2001; Huber et al. 2009; Fisher & Dial 1975. Water is supercooled to -25 degC at most.
    """
    return call(
        core.concerto_pmodel.pmodel_environment,
        dict(temperature=temperature, air_pressure=air_pressure),
        gas_constant=gas_constant,
        oxygen_mole_fraction=oxygen_mole_fraction,
    )


def quantum_yield(temperature, reference=0.125, scheme="c3", *, peak_curvature=-0.001, peak_temperature=20.0):
    """Quantum yield of photosynthesis, mol CO2 per mol absorbed photons.

    Parameters
    ----------
    temperature : array_like
        K.
    reference : array_like
        Reference yield.
    scheme : {"fixed", "c3", "c4", "peaked"}
        Temperature dependence; ``peaked`` is 1 + a (t - b)**2 within 0 to 1, a = ``peak_curvature`` (K-2),
        b = ``peak_temperature`` (degC).
    """
    return call(
        core.concerto_pmodel.pmodel_quantum_yield,
        dict(temperature=temperature, reference_yield=reference),
        scheme=_choice(_YIELD, scheme, "quantum yield scheme"),
        peak_curvature=peak_curvature,
        peak_temperature=peak_temperature,
    )


def cost_ratio(soil_moisture, photosynthesis="c3"):
    """Cost of carboxylation over that of transpiration (beta) by soil moisture (Lavergne et al. 2020).

    ``soil_moisture`` is volumetric, m3 m-3.
    """
    intercept = 4.55 if photosynthesis == "c3" else 4.55 - float(np.log(9.0))
    return call(
        core.concerto_pmodel.pmodel_cost_ratio,
        dict(soil_moisture=soil_moisture),
        intercept=intercept,
        slope=1.73,
    )


def optimum(
    temperature,
    vapour_deficit,
    co2,
    absorbed_photons,
    air_pressure=101325.0,
    *,
    chi="c3",
    jmax_cost="wang17",
    yield_scheme=None,
    reference_yield=0.125,
    beta=None,
    least_deficit=50.0,
    gas_constant=_R,
    oxygen_mole_fraction=_O2,
):
    """Optimal chi, photosynthetic capacities and assimilation of acclimated leaves.

    Parameters
    ----------
    temperature, vapour_deficit, co2, absorbed_photons, air_pressure : array_like
        K, Pa, umol mol-1, umol m-2 s-1, Pa.
    chi : {"c3", "c4", "c4_no_compensation"}
        Form of chi and of CO2 limitation.
    jmax_cost : {"wang17", "smith19", "none"}
        Cost of Jmax. ``smith19`` takes a reference yield of electrons (0.257).
    yield_scheme : str, optional
        See :func:`quantum_yield`; by default the temperature dependence of the pathway.
    reference_yield : array_like
        mol CO2 per mol absorbed photons.
    beta : array_like, optional
        Cost ratio; 146 (C3) or 146/9 (C4) by default.
    least_deficit : float
        Floor of the vapour pressure deficit, Pa.

    Returns
    -------
    dict of arrays
        ``xi`` (Pa**0.5), ``chi``, ``ci`` (Pa), ``light_limitation``, ``carbon_limitation``,
        ``light_use_efficiency`` (mol mol-1), ``vcmax``, ``jmax`` (umol m-2 s-1), ``conductance``
        (umol m-2 s-1 Pa-1),
        ``feasible`` (0 where carboxylation cannot pay for Jmax: all rates 0), ``quantum_yield``.

    Examples
    --------
    >>> out = optimum(293.15, 1000.0, 400.0, 800.0)
    >>> round(float(out["chi"]), 2)
    0.69
    """
    constants = dict(gas_constant=gas_constant, oxygen_mole_fraction=oxygen_mole_fraction)
    c3 = chi == "c3"
    scheme = _choice(_CHI, chi, "chi scheme")
    km, compensation, viscosity = environment(temperature, air_pressure, **constants)
    phi = quantum_yield(temperature, reference_yield, yield_scheme or ("c3" if c3 else "c4"))
    out = call(
        core.concerto_pmodel.pmodel_optimum,
        dict(
            michaelis_menten=km,
            compensation=compensation,
            viscosity_ratio=viscosity,
            co2_pressure=1e-6 * np.asarray(co2, float) * air_pressure,
            vapour_deficit=vapour_deficit,
            cost_ratio=(146.0 if c3 else 146.0 / 9.0) if beta is None else beta,
            quantum_yield=phi,
            absorbed_photons=absorbed_photons,
        ),
        chi_scheme=scheme,
        jmax_scheme=_choice(_JMAX, jmax_cost, "Jmax cost scheme"),
        least_deficit=least_deficit,
    )
    names = "xi chi ci light_limitation carbon_limitation light_use_efficiency vcmax jmax conductance feasible"
    return dict(zip(names.split(), out, strict=True)) | {"quantum_yield": phi}


def acclimate(
    temperature,
    vapour_deficit,
    co2,
    absorbed_photons,
    air_pressure,
    memory,
    *,
    chi="c3",
    jmax_cost="wang17",
    yield_scheme=None,
    reference_yield=0.125,
    beta=None,
    memory_days=15.0,
    response="simple",
    least_deficit=50.0,
    gas_constant=_R,
    oxygen_mole_fraction=_O2,
):
    """One daily step of acclimation to the mean conditions around noon (Mengoli et al. 2022).

    Parameters
    ----------
    temperature, vapour_deficit, co2, absorbed_photons, air_pressure : array_like
        Means around noon: K, Pa, umol mol-1, umol m-2 s-1, Pa.
    memory : tuple of array_like, or None
        xi (Pa**0.5), Vcmax25 and Jmax25 (umol m-2 s-1) of the day before; None starts at the optimum.
    response : {"simple", "fixed"}
        Temperature response of the capacities, the same as in :func:`fast`.

    Returns
    -------
    memory, optimal : tuple, tuple
        xi, Vcmax25 and Jmax25 after the step and at the optimum.
    """
    c3 = chi == "c3"
    forcing = dict(
        temperature=temperature,
        vapour_deficit=vapour_deficit,
        co2_mole_fraction=co2,
        air_pressure=air_pressure,
        absorbed_photons=absorbed_photons,
        cost_ratio=(146.0 if c3 else 146.0 / 9.0) if beta is None else beta,
        reference_yield=reference_yield,
    )
    xi, vcmax25, jmax25 = (0.0, 0.0, 0.0) if memory is None else memory
    arrays = np.broadcast_arrays(*forcing.values(), xi, vcmax25, jmax25)
    shape = arrays[0].shape
    n = arrays[0].size
    block = [np.array(a, dtype=float).reshape(n) for a in arrays]
    optimal = core.concerto_pmodel.pmodel_acclimate(
        chi_scheme=_choice(_CHI, chi, "chi scheme"),
        jmax_scheme=_choice(_JMAX, jmax_cost, "Jmax cost scheme"),
        yield_scheme=_choice(_YIELD, yield_scheme or ("c3" if c3 else "c4"), "quantum yield scheme"),
        gas_constant=gas_constant,
        oxygen_mole_fraction=oxygen_mole_fraction,
        least_deficit=least_deficit,
        memory_days=memory_days,
        peak_curvature=0.0,
        peak_temperature=0.0,
        **_energies(response),
        **dict(zip(forcing, block, strict=False)),
        xi=block[-3],
        vcmax25=block[-2],
        jmax25=block[-1],
    )
    return tuple(a.reshape(shape) for a in block[-3:]), tuple(a.reshape(shape) for a in optimal)


def fast(
    temperature,
    vapour_deficit,
    co2,
    absorbed_photons,
    air_pressure,
    memory,
    *,
    chi="c3",
    yield_scheme=None,
    reference_yield=0.125,
    response="simple",
    least_deficit=50.0,
    gas_constant=_R,
    oxygen_mole_fraction=_O2,
):
    """Assimilation within the day by leaves with acclimated xi, Vcmax25 and Jmax25.

    Parameters as :func:`acclimate`, with the conditions of the step.

    Returns
    -------
    dict of arrays
        ``chi``, ``ci`` (Pa), ``vcmax``, ``jmax``, ``carboxylation_limited``, ``light_limited``,
        ``assimilation`` (umol m-2 s-1), ``conductance`` (CO2, umol m-2 s-1 Pa-1).
    """
    phi = quantum_yield(temperature, reference_yield, yield_scheme or ("c3" if chi == "c3" else "c4"))
    xi, vcmax25, jmax25 = memory
    out = call(
        core.concerto_pmodel.pmodel_fast,
        dict(
            temperature=temperature,
            vapour_deficit=vapour_deficit,
            co2_mole_fraction=co2,
            air_pressure=air_pressure,
            absorbed_photons=absorbed_photons,
            quantum_yield=phi,
            xi=xi,
            vcmax25=vcmax25,
            jmax25=jmax25,
        ),
        chi_scheme=_choice(_CHI, chi, "chi scheme"),
        gas_constant=gas_constant,
        oxygen_mole_fraction=oxygen_mole_fraction,
        least_deficit=least_deficit,
        **_energies(response),
    )
    names = "chi ci vcmax jmax carboxylation_limited light_limited assimilation conductance".split()
    return dict(zip(names, out, strict=True))


def soil_stress(relative_soil_moisture, climate, scheme="mengoli"):
    """Soil moisture factor on assimilation.

    Parameters
    ----------
    relative_soil_moisture : array_like
        Over field capacity, 0 to 1.
    climate : array_like
        ``mengoli``: aridity index (PET over precipitation); ``stocker``: mean actual over potential
        evapotranspiration.
    scheme : {"mengoli", "stocker"}
        Mengoli et al. 2023 or Stocker et al. 2020.
    """
    if scheme == "mengoli":
        arrays = dict(relative_soil_moisture=relative_soil_moisture, aridity_index=climate)
        return call(core.concerto_pmodel.pmodel_soil_mengoli, arrays)
    if scheme == "stocker":
        arrays = dict(relative_soil_moisture=relative_soil_moisture, mean_alpha=climate)
        return call(core.concerto_pmodel.pmodel_soil_stocker, arrays)
    raise ConcertoError(f"Unknown soil stress scheme '{scheme}'.", hint="Choose mengoli or stocker.")
