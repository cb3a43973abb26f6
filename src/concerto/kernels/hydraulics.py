"""Water transport in plants and what droughts leave in the xylem (see ``docs/processes/plant_hydraulics.md``)."""

from __future__ import annotations

from concerto import _core as core
from concerto.kernels._call import call


def _plant(
    source_potential,
    soil_conductance,
    shoot_conductance,
    height_potential,
    damage,
    potential_half,
    steepness,
    leaf_half,
    leaf_shape,
):
    return dict(
        source_potential=source_potential,
        soil_conductance=soil_conductance,
        shoot_conductance=shoot_conductance,
        height_potential=height_potential,
        damage=damage,
        potential_half=potential_half,
        steepness=steepness,
        leaf_half=leaf_half,
        leaf_shape=leaf_shape,
    )


def stress(
    demand,
    source_potential,
    *,
    soil_conductance=0.02,
    shoot_conductance=0.02,
    height_potential=0.0,
    damage=0.0,
    potential_half=-3.0,
    steepness=2.0,
    leaf_half=-1.5,
    leaf_shape=4.0,
):
    """Factor by which leaves close so that the demand for water meets what the plant can carry.

    Parameters
    ----------
    demand : array_like
        Transpiration of leaves without stress, mol m-2 ground s-1.
    source_potential : array_like
        Water potential of the root zone, MPa.
    soil_conductance, shoot_conductance : array_like
        Of soil and roots, and of stem and leaves with full xylem, mol m-2 ground s-1 MPa-1.
    height_potential : array_like
        Weight of the water column up to the leaves, MPa (0.0098 per m).
    damage : array_like
        Share of the conductance that is lost for good, 0 to 1.
    potential_half, steepness, leaf_half, leaf_shape : array_like
        Vulnerability of xylem and stomata, 1/(1 + (psi/psi50)**a): psi50 (MPa) and a.

    Returns
    -------
    factor, leaf_potential : arrays
        0 (closed) to 1; MPa.

    Notes
    -----
    Kennedy et al. 2019, J. Adv. Model. Earth Syst. 11; Christoffersen et al. 2016, Geosci. Model Dev. 9.

    Examples
    --------
    >>> factor, leaf = stress(0.005, -0.1)
    >>> bool(0.9 < factor < 1.0 and leaf < -0.5)
    True
    """
    arrays = _plant(
        source_potential,
        soil_conductance,
        shoot_conductance,
        height_potential,
        damage,
        potential_half,
        steepness,
        leaf_half,
        leaf_shape,
    )
    return call(core.concerto_hydraulics.hydraulic_stress, dict(demand=demand) | arrays)


def state(
    flow,
    source_potential,
    *,
    soil_conductance=0.02,
    shoot_conductance=0.02,
    height_potential=0.0,
    damage=0.0,
    potential_half=-3.0,
    steepness=2.0,
    leaf_half=-1.5,
    leaf_shape=4.0,
):
    """Water potentials in a plant that transpires.

    Parameters
    ----------
    flow : array_like
        Transpiration, mol m-2 ground s-1. The others as in :func:`stress`.

    Returns
    -------
    leaf_potential, stem_potential, loss, factor : arrays
        MPa; MPa; share of the conductivity of the stem that is lost; opening of stomata at this leaf potential.
    """
    arrays = _plant(
        source_potential,
        soil_conductance,
        shoot_conductance,
        height_potential,
        damage,
        potential_half,
        steepness,
        leaf_half,
        leaf_shape,
    )
    return call(core.concerto_hydraulics.hydraulic_state, dict(flow=flow) | arrays)


def damage_step(
    damage,
    least_potential,
    *,
    sapwood_growth=0.0,
    sapwood=1.0,
    potential_half=-3.0,
    steepness=2.0,
    unfilled=0.8,
    woody=1.0,
    leaf_longevity=0.35,
    time_step=1.0,
):
    """Damage of the xylem after a day.

    Parameters
    ----------
    damage : array_like
        Share of the conductance that is lost for good, before the step, 0 to 1.
    least_potential : array_like
        Lowest water potential of the stem on that day, MPa.
    sapwood_growth, sapwood : array_like
        New sapwood and all of it, kg m-2.
    potential_half, steepness : array_like
        Vulnerability of the xylem: psi50 (MPa), exponent.
    unfilled : array_like
        Share of the conduits lost that does not refill.
    woody, leaf_longevity : array_like
        1 with wood; herbs (0) renew their xylem with their leaves, yr.
    time_step : float
        d.

    Returns
    -------
    damage, loss : arrays
        After the step; largest loss of conductivity of the day, 0 to 1.
    """
    import numpy as np

    names = (
        "damage", "least_potential", "sapwood_growth", "sapwood", "potential_half", "steepness", "unfilled", "woody",
    )  # fmt: skip
    values = np.broadcast_arrays(
        *(
            np.asarray(v, dtype=float)
            for v in (damage, least_potential, sapwood_growth, sapwood, potential_half, steepness, unfilled, woody)
        ),
        np.asarray(leaf_longevity, dtype=float),
    )
    arrays = {name: np.array(value).ravel() for name, value in zip((*names, "leaf_longevity"), values, strict=True)}
    after = arrays["damage"]  # changed in place
    loss = core.concerto_hydraulics.xylem_damage_step(time_step=time_step, **arrays)
    return after.reshape(values[0].shape), np.asarray(loss).reshape(values[0].shape)
