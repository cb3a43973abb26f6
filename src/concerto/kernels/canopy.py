"""Energy balance of canopy and ground (see ``docs/processes/energy_balance.md``)."""

from __future__ import annotations

import numpy as np

from concerto import _core as core
from concerto.errors import ConcertoError
from concerto.kernels._call import call
from concerto.tables import loader

SWEEPS = 6  # of the energy balance in the model

# inputs of two_source with a value that is taken when none is given
DEFAULTS = {
    "wind": 3.0,
    "reference_height": 30.0,
    "canopy_height": 15.0,
    "lai_sun": 1.0,
    "lai_shade": 1.0,
    "sai": 0.3,
    "leaf_width": 0.04,
    "roughness_ratio": 0.055,
    "displacement_ratio": 0.67,
    "wind_extinction": 0.67,
    "wet_fraction": 0.0,
    "intercepted_liquid": 0.0,
    "intercepted_ice": 0.0,
    "transpiration_limit": 1.0,
    "canopy_heat_capacity": 1.0e4,
    "node_conductance": 100.0,
    "ground_emissivity": 0.96,
    "ground_roughness": 0.002,
    "ground_humidity_factor": 1.0,
    "soil_resistance": 0.0,
    "surface_ice": 0.0,
    "skin_limit": 1000.0,
    "evaporation_limit": 1.0,
    "co2_partial_pressure": 40.0,
    "absorbed_par_sun": 0.0,
    "absorbed_par_shade": 0.0,
    "vcmax25_sun": 50.0,
    "vcmax25_shade": 30.0,
    "jmax25_sun": 85.0,
    "jmax25_shade": 50.0,
    "respiration25_sun": 0.8,
    "respiration25_shade": 0.5,
    "growth_temperature": 290.0,
    "home_temperature": 298.0,
    "c4": 0.0,
    "theta_cj": 0.98,
    "theta_ip": 0.95,
    "quantum_yield": 0.3,
    "theta_j": 0.7,
    "g0": 1.0e-4,
    "g1": 4.0,
    "g_min": 2.0e-3,
    "stress_stomata": 1.0,
    "stress_capacity": 1.0,
}
REQUIRED = (
    "air_temperature",
    "specific_humidity",
    "air_pressure",
    "longwave_down",
    "absorbed_canopy",
    "absorbed_ground",
)
OUTPUTS = (
    "canopy_temperature",
    "canopy_air_temperature",
    "canopy_air_humidity",
    "ground_temperature",
    "sensible_canopy",
    "sensible_ground",
    "transpiration",
    "wet_evaporation_liquid",
    "wet_evaporation_ice",
    "ground_evaporation",
    "latent_heat",
    "longwave_up",
    "canopy_storage",
    "ground_heat_flux",
    "ground_heat_flux_slope",
    "friction_velocity",
    "resistance_air",
    "resistance_leaf",
    "resistance_ground",
    "net_assimilation_sun",
    "net_assimilation_shade",
    "conductance_sun",
    "conductance_shade",
    "respiration_sun",
    "respiration_shade",
    "ci_sun",
    "ci_shade",
    "last_change",
    "residual",
    "skin_response",
)
_STATE = (
    "canopy_temperature",
    "canopy_air_temperature",
    "canopy_air_humidity",
    "sensible_canopy",
    "sensible_ground",
    "transpiration",
    "wet_evaporation_liquid",
    "wet_evaporation_ice",
    "ground_evaporation",
    "longwave_up",
    "canopy_storage",
    "ground_heat_flux",
)


def _options(given):
    names = ("stomata", "temperature_response", "kinetics", "leaf_respiration", "ci_solver")
    table = loader.options()
    numbers = {}
    for name in names:
        choices = list(table[name].choices)
        choice = given.get(name, table[name].default)
        if choice not in choices:
            raise ConcertoError(
                f"'{choice}' is no choice of the option {name}.", hint=f"Choose one of: {', '.join(choices)}."
            )
        numbers[name] = choices.index(choice) + 1
    return numbers


def two_source(*, time_step=1800.0, n_sweep=SWEEPS, gustiness=1.0, options=None, **inputs):
    """Energy balance of a canopy over ground with a canopy-air node.

    Parameters
    ----------
    time_step : float
        s.
    n_sweep : int
        Linearised corrections; the model takes 6.
    gustiness : float
        Factor of the convective velocity scale; 0 switches it off.
    options : dict, optional
        Choices of the leaf options (``stomata``, ``kinetics`` ...) that differ from the default.
    **inputs : array_like
        Required: ``air_temperature`` (K), ``specific_humidity`` (kg kg-1), ``air_pressure`` (Pa),
        ``longwave_down``,
        ``absorbed_canopy``, ``absorbed_ground`` (W m-2). The others have values in ``DEFAULTS``; the start
        temperatures of canopy and ground and that of the first soil node (``canopy_temperature_start``,
        ``ground_temperature_start``, ``node_temperature``) are the air's when absent.

    Returns
    -------
    dict of arrays
        Names in ``OUTPUTS``: temperatures K, heat fluxes W m-2 (ground heat flux positive down, the others
        up), evaporation kg m-2 s-1, resistances s m-1, leaf fluxes umol m-2 leaf s-1. ``skin_response``
        (trailing axis) goes to :func:`ground_flux_correction`.

    Raises
    ------
    ConcertoError
        If an input is missing or unknown.

    Examples
    --------
    >>> out = two_source(air_temperature=295.0, specific_humidity=0.008, air_pressure=1e5,
    ...                  longwave_down=340.0, absorbed_canopy=400.0, absorbed_ground=50.0)
    >>> abs(float(out["residual"])) < 1e-9
    True
    """
    known = {*DEFAULTS, *REQUIRED, "canopy_temperature_start", "ground_temperature_start", "node_temperature"}
    unknown = sorted(set(inputs) - known)
    missing = [name for name in REQUIRED if name not in inputs]
    if unknown or missing:
        raise ConcertoError(
            f"two_source: unknown inputs {unknown}, missing inputs {missing}.", hint="See its documentation."
        )
    values = DEFAULTS | inputs
    for name in ("canopy_temperature_start", "ground_temperature_start", "node_temperature"):
        values.setdefault(name, values["air_temperature"])
    scalars = dict(time_step=time_step, n_sweep=n_sweep, gustiness=gustiness, **_options(options or {}))
    outputs = call(core.concerto_energy_balance.two_source, values, **scalars)
    return dict(zip(OUTPUTS, outputs, strict=True))


def ground_flux_correction(
    solution,
    ground_temperature_final,
    *,
    time_step=1800.0,
    absorbed_canopy,
    absorbed_ground,
    longwave_down,
    plant_area_index=2.3,
    intercepted_liquid=0.0,
    intercepted_ice=0.0,
    transpiration_limit=1.0,
    evaporation_limit=1.0,
    surface_ice=0.0,
    canopy_heat_capacity=1.0e4,
):
    """Fluxes at the skin temperature that a soil heat solver found.

    Parameters
    ----------
    solution : dict
        Result of :func:`two_source`.
    ground_temperature_final : array_like
        K.
    time_step, absorbed_canopy, absorbed_ground, longwave_down, intercepted_liquid, ...
        As given to :func:`two_source`; ``plant_area_index`` is the sum of leaf and stem area.

    Returns
    -------
    dict of arrays
        The solution with its temperatures and fluxes moved and ``latent_heat`` and ``residual`` anew.
    """
    values = dict(
        absorbed_canopy=absorbed_canopy,
        absorbed_ground=absorbed_ground,
        longwave_down=longwave_down,
        plant_area_index=plant_area_index,
        intercepted_liquid=intercepted_liquid,
        intercepted_ice=intercepted_ice,
        transpiration_limit=transpiration_limit,
        evaporation_limit=evaporation_limit,
        surface_ice=surface_ice,
        canopy_heat_capacity=canopy_heat_capacity,
        ground_temperature=solution["ground_temperature"],
        ground_temperature_final=ground_temperature_final,
    )
    state = {name: solution[name] for name in _STATE}
    layered = {"skin_response": solution["skin_response"]}

    def routine(**arguments):
        # the state is changed in place; copies keep the caller's arrays
        state_block = {name: np.array(arguments[name], dtype=float) for name in _STATE}
        outputs = core.concerto_energy_balance.ground_flux_correction(**(arguments | state_block))
        return (*state_block.values(), *outputs)

    outputs = call(routine, values | state, layered=layered, time_step=time_step)
    return solution | dict(zip((*_STATE, "latent_heat", "residual"), outputs, strict=True))
