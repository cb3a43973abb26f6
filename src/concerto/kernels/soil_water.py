"""Water in soil and on the canopy: retention, Richards equation, buckets, roots, evaporation, interception.

Layered arrays carry the layers on their last axis, from the surface down. Soil parameters are keyword
arguments; ``**soil_class("medium").hydraulics()`` (:func:`concerto.domain.soil.soil_class`) fills them.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from concerto import _core as core
from concerto.errors import ConcertoError
from concerto.kernels._call import call

LAYER_THICKNESS = (0.01, 0.02, 0.04, 0.09, 0.12, 0.30, 0.42, 1.00, 2.00, 4.00)  # m


class SoilWaterStep(NamedTuple):
    """Result of one step of soil water.

    Attributes
    ----------
    theta : array (..., n_layer)
        Liquid water at the end, m3 m-3.
    flux : array (..., n_layer + 1)
        Water through the surface, between layers and through the bottom, positive down, kg m-2 over the step.
    surface_runoff, drainage : array (...)
        kg m-2 over the step.
    """

    theta: np.ndarray
    flux: np.ndarray
    surface_runoff: np.ndarray
    drainage: np.ndarray


class SplashDays(NamedTuple):
    """Daily series of :func:`splash`, day on the first axis; energy in J m-2 d-1, water in kg m-2 (d-1)."""

    extraterrestrial: np.ndarray
    photons: np.ndarray
    net_day: np.ndarray
    net_night: np.ndarray
    condensation: np.ndarray
    equilibrium: np.ndarray
    potential: np.ndarray
    actual: np.ndarray
    runoff: np.ndarray
    water: np.ndarray


def _layers(theta, thickness):
    theta = np.asarray(theta, dtype=float)
    thickness = np.atleast_1d(np.asarray(thickness, dtype=float))
    if theta.ndim == 0 or theta.shape[-1] != len(thickness):
        raise ConcertoError(
            f"theta has shape {theta.shape}, its last axis must hold {len(thickness)} layers.",
            hint="Give one value per layer on the last axis, and the layers' thickness in m.",
        )
    return theta, thickness


def van_genuchten(head, *, theta_sat, theta_res, alpha, vg_n, vg_l, k_sat):
    """Content, conductivity and capacity of soil at a head.

    Parameters
    ----------
    head : array_like
        Soil water head, m (negative when unsaturated).
    theta_sat, theta_res, alpha, vg_n, vg_l, k_sat : array_like
        Porosity and residual content (m3 m-3), alpha (m-1), n, l, saturated conductivity (m s-1).

    Returns
    -------
    tuple of arrays
        Content (m3 m-3), conductivity (m s-1), capacity d theta/d h (m-1).

    Notes
    -----
    van Genuchten 1980, Soil Sci. Soc. Am. J. 44; Mualem 1976, Water Resour. Res. 12.

    Examples
    --------
    >>> from concerto.domain.soil import soil_class
    >>> theta, k, c = van_genuchten(0.0, **soil_class("medium").hydraulics())
    >>> float(theta)
    0.439
    """
    arrays = dict(head=head, theta_sat=theta_sat, theta_res=theta_res, alpha=alpha, vg_n=vg_n, vg_l=vg_l, k_sat=k_sat)
    return call(core.concerto_retention.retention_content, arrays)


def soil_state(theta, ice=0.0, *, theta_sat, theta_res, alpha, vg_n, vg_l, k_sat):
    """Head (m), conductivity (m s-1) and capacity (m-1) of soil layers from liquid content.

    Parameters
    ----------
    theta, ice : array_like (..., n_layer)
        Liquid water and ice (as liquid equivalent), m3 m-3. Ice narrows the pores and impedes flow.
    theta_sat, theta_res, alpha, vg_n, vg_l, k_sat : array_like
        As in :func:`van_genuchten`.
    """
    theta = np.atleast_1d(np.asarray(theta, dtype=float))
    layered = dict(theta=theta, ice=np.broadcast_to(np.asarray(ice, dtype=float), theta.shape))
    arrays = dict(theta_sat=theta_sat, theta_res=theta_res, alpha=alpha, vg_n=vg_n, vg_l=vg_l, k_sat=k_sat)
    return call(core.concerto_retention.retention_state, arrays, layered=layered)


def soil_head(theta, ice=0.0, *, theta_sat, theta_res, alpha, vg_n, lowest_head=-1.0e5):
    """Soil water head (m) of layers from liquid content; very dry soil is held at ``lowest_head``."""
    theta = np.atleast_1d(np.asarray(theta, dtype=float))
    layered = dict(theta=theta, ice=np.broadcast_to(np.asarray(ice, dtype=float), theta.shape))
    arrays = dict(theta_sat=theta_sat, theta_res=theta_res, alpha=alpha, vg_n=vg_n)
    return call(core.concerto_retention.retention_head, arrays, layered=layered, lowest_head=lowest_head)


def clapp_hornberger(theta, *, theta_sat, psi_sat, b, k_sat):
    """Head (m) and conductivity (m s-1) after Clapp & Hornberger (1978).

    ``psi_sat`` is the head of air entry (m, negative), ``b`` the exponent.
    """
    arrays = dict(theta=theta, theta_sat=theta_sat, psi_sat=psi_sat, b=b, k_sat=k_sat)
    return call(core.concerto_retention.retention_clapp_hornberger, arrays)


def _step(routine, theta, water_input, sink, ice, thickness, hydraulics, **scalars):
    theta, thickness = _layers(theta, thickness)
    layered = dict(
        theta=theta,
        sink=np.broadcast_to(np.asarray(sink, dtype=float), theta.shape),
        ice=np.broadcast_to(np.asarray(ice, dtype=float), theta.shape),
    )

    def updating(**inputs):  # theta is changed in place, in a copy that `call` made
        outputs = routine(**inputs)
        return (inputs["theta"], *outputs[:3])

    arrays = dict(water_input=water_input, **hydraulics)
    return SoilWaterStep(*call(updating, arrays, layered=layered, thickness=thickness, **scalars))


def richards_step(
    theta,
    water_input=0.0,
    sink=0.0,
    ice=0.0,
    *,
    dt=1800.0,
    thickness=LAYER_THICKNESS,
    surface_head=0.0,
    change_limit=0.1,
    **hydraulics,
):
    """One step of the Richards equation with free drainage.

    Parameters
    ----------
    theta : array_like (..., n_layer)
        Liquid water at the start, m3 m-3.
    water_input : array_like
        Water reaching the ground, kg m-2 s-1; what the soil cannot take runs off.
    sink : array_like (..., n_layer)
        Evaporation and root uptake, kg m-2 s-1; at most what a layer holds above its residual content.
    ice : array_like (..., n_layer)
        Ice as liquid equivalent, m3 m-3.
    dt : float
        Time step, s.
    thickness : sequence of float
        Layers from the surface down, m.
    surface_head : float
        Head at a surface that is offered more water than it takes, m (0: a film of water).
    change_limit : float
        Largest change of effective saturation in an internal sub-step.
    **hydraulics
        theta_sat, theta_res, alpha, vg_n, vg_l, k_sat as in :func:`van_genuchten`.

    Returns
    -------
    SoilWaterStep

    Raises
    ------
    ConcertoError
        If the last axis of ``theta`` is not as long as ``thickness``.

    Examples
    --------
    >>> import numpy as np
    >>> from concerto.domain.soil import soil_class
    >>> step = richards_step(np.full(10, 0.2), 1e-4, **soil_class("medium").hydraulics())
    >>> bool(step.surface_runoff == 0.0)
    True
    """
    routine = core.concerto_soil_water.soil_water_richards
    return _step(
        routine,
        theta,
        water_input,
        sink,
        ice,
        thickness,
        hydraulics,
        dt=dt,
        surface_head=surface_head,
        change_limit=change_limit,
    )


def bucket_step(theta, water_input=0.0, sink=0.0, ice=0.0, *, dt=1800.0, thickness=LAYER_THICKNESS, **hydraulics):
    """One step of the cascade of buckets; arguments and result as :func:`richards_step`."""
    routine = core.concerto_soil_bucket.soil_water_bucket
    return _step(routine, theta, water_input, sink, ice, thickness, hydraulics, dt=dt)


def soil_evaporation_limits(
    ground_temperature,
    theta,
    ice,
    head,
    *,
    theta_sat,
    theta_res,
    alpha,
    vg_n,
    dt=1800.0,
    top_thickness=LAYER_THICKNESS[0],
    top_share=0.5,
    layer_thickness=0.015,
):
    """Limits of evaporation from bare soil.

    Parameters
    ----------
    ground_temperature : array_like
        K.
    theta, ice, head : array_like
        Liquid water, ice (m3 m-3) and head (m) of the first layer.
    layer_thickness : array_like
        Largest thickness of the dry surface layer, m.
    top_share : float
        Part of the first layer's water above its residual content that may evaporate in a step.

    Returns
    -------
    tuple of arrays
        Resistance (s m-1; the caller drops it for dew), relative humidity of the pores,
        largest evaporation (kg m-2 s-1).

    Notes
    -----
    Swenson & Lawrence 2014, J. Geophys. Res. Atmos. 119.
    """
    arrays = dict(
        ground_temperature=ground_temperature,
        theta=theta,
        ice=ice,
        head=head,
        theta_sat=theta_sat,
        theta_res=theta_res,
        alpha=alpha,
        vg_n=vg_n,
        layer_thickness=layer_thickness,
    )
    return call(
        core.concerto_soil_water.soil_evaporation_limits,
        arrays,
        dt=dt,
        top_thickness=top_thickness,
        top_share=top_share,
    )


def root_fractions(root_beta, thickness=LAYER_THICKNESS, n_root=9):
    """Share of roots in each layer, 1 - beta^(100 z) renormalised over the first ``n_root`` layers.

    Jackson et al. 1996, Oecologia 108.

    Examples
    --------
    >>> float(round(root_fractions(0.966).sum(), 12))
    1.0
    """
    thickness = np.asarray(thickness, dtype=float)
    return call(core.concerto_roots.root_fractions, dict(root_beta=root_beta), thickness=thickness, n_root=n_root)


def water_stress(
    fraction,
    theta,
    head,
    temperature,
    *,
    form="head",
    head_open=-66.0,
    head_closed=-255.0,
    theta_open=0.0,
    theta_closed=0.0,
):
    """Water stress of plants.

    Parameters
    ----------
    fraction : array_like (..., n_layer)
        Share of roots.
    theta, head, temperature : array_like (..., n_layer)
        Liquid water (m3 m-3), head (m) and temperature (K) of the soil.
    form : {"head", "moisture"}
        Linear in head between ``head_closed`` and ``head_open`` (m), or in content between
        ``theta_closed`` and ``theta_open`` (m3 m-3).

    Returns
    -------
    tuple of arrays
        What each layer gives to the factor (..., n_layer), and the factor, 0 to 1.

    Raises
    ------
    ConcertoError
        If ``form`` is unknown.
    """
    forms = {"head": 1, "moisture": 2}
    if form not in forms:
        raise ConcertoError(f"There is no form of water stress '{form}'.", hint="Choose 'head' or 'moisture'.")
    layered = dict(
        zip(
            ("fraction", "theta", "head", "temperature"),
            _together(fraction, theta, head, temperature),
            strict=True,
        )
    )
    arrays = dict(head_open=head_open, head_closed=head_closed, theta_open=theta_open, theta_closed=theta_closed)
    return call(core.concerto_roots.root_stress, arrays, layered=layered, form=forms[form])


def root_uptake(
    potential, available, stress, theta, theta_floor, *, dt=1800.0, thickness=LAYER_THICKNESS, top_share=0.5
):
    """Transpiration that the soil can pay, and its uptake by layer.

    Parameters
    ----------
    potential : array_like
        Transpiration asked for, kg m-2 s-1.
    available, stress
        From :func:`water_stress`.
    theta : array_like (..., n_layer)
        Liquid water, m3 m-3.
    theta_floor : array_like
        Content that roots leave, m3 m-3.
    top_share : float
        Part of the first layer's water left to roots.

    Returns
    -------
    tuple of arrays
        Transpiration and its uptake by layer, kg m-2 s-1.
    """
    theta, thickness = _layers(theta, thickness)
    available, theta = _together(available, theta)
    supply = call(
        core.concerto_roots.root_supply,
        dict(theta_floor=theta_floor, stress=stress),
        layered=dict(theta=theta, available=available),
        dt=dt,
        thickness=thickness,
        top_share=top_share,
    )
    return call(
        core.concerto_roots.root_uptake,
        dict(potential=potential, supply=supply, stress=stress),
        layered=dict(available=available),
    )


def interception(
    plant_area,
    rainfall,
    snowfall,
    liquid,
    ice,
    *,
    air_temperature,
    canopy_temperature,
    wind_speed,
    capacity_per_area=0.1,
    dt=1800.0,
):
    """Rain and snow caught, dropped and unloaded by a canopy in one step.

    Parameters
    ----------
    plant_area : array_like
        Leaf and stem area, m2 m-2.
    rainfall, snowfall : array_like
        kg m-2 s-1.
    liquid, ice : array_like
        Water and snow on the canopy, kg m-2.
    air_temperature, canopy_temperature : array_like
        K.
    wind_speed : array_like
        m s-1.
    capacity_per_area : array_like
        Liquid held per plant area, kg m-2.

    Returns
    -------
    tuple of arrays
        Liquid and ice on the canopy (kg m-2), rain and snow reaching the ground (kg m-2 s-1), wet fraction.
    """

    def updating(**inputs):
        outputs = core.concerto_interception.canopy_interception(**inputs)
        return (inputs["liquid"], inputs["ice"], *outputs)

    arrays = dict(
        plant_area=plant_area,
        capacity_per_area=capacity_per_area,
        rainfall=rainfall,
        snowfall=snowfall,
        air_temperature=air_temperature,
        canopy_temperature=canopy_temperature,
        wind_speed=wind_speed,
        liquid=liquid,
        ice=ice,
    )
    liquid, ice, rain, snow = call(updating, arrays, dt=dt)
    wet = call(
        core.concerto_interception.canopy_wet_fraction,
        dict(
            plant_area=plant_area,
            capacity_per_area=capacity_per_area,
            air_temperature=air_temperature,
            liquid=liquid,
            ice=ice,
        ),
    )
    return liquid, ice, rain, snow, wet


def splash(
    day_of_year,
    days_in_year,
    latitude,
    elevation,
    pressure,
    temperature,
    sunshine,
    precipitation,
    water,
    *,
    capacity=150.0,
    solar_constant=1360.8,
    molar_mass_ratio=28.9647 / 18.015,
    entrainment=0.26,
    supply_rate=1.05,
):
    """Daily radiation, evapotranspiration and soil water of SPLASH.

    Parameters
    ----------
    day_of_year, days_in_year : array_like of int (day,)
        Calendar of the series.
    latitude, elevation : array_like
        Degrees north, m.
    pressure : array_like
        Air pressure, Pa.
    temperature, sunshine, precipitation : array_like (day, ...)
        Mean air temperature (K), fraction of bright sunshine, precipitation (kg m-2 d-1).
    water : array_like
        Water in the bucket at the start, kg m-2.
    capacity : array_like
        Size of the bucket, kg m-2.

    Returns
    -------
    SplashDays

    Notes
    -----
    Davis et al. 2017, Geosci. Model Dev. 10, 689. A bucket that would run below zero lowers
    evapotranspiration, so that precipitation + condensation - evapotranspiration - runoff is the
    change of water in every day.
    """
    day_of_year, days_in_year = np.broadcast_arrays(np.atleast_1d(day_of_year), np.atleast_1d(days_in_year))
    temperature, sunshine, precipitation = _together(temperature, sunshine, precipitation)
    if len(temperature) != len(day_of_year):
        raise ConcertoError(
            f"The series has {len(temperature)} days, its calendar {len(day_of_year)}.",
            hint="Give day_of_year and days_in_year for every day.",
        )

    def updating(**inputs):
        outputs = core.concerto_soil_bucket.splash_day(**inputs)
        return (*outputs, inputs["water"])

    days = []
    for day, length, t, s, p in zip(day_of_year, days_in_year, temperature, sunshine, precipitation, strict=True):
        arrays = dict(
            latitude=latitude,
            elevation=elevation,
            pressure=pressure,
            temperature=t,
            sunshine=s,
            precipitation=p,
            capacity=capacity,
            water=water,
        )
        days.append(
            call(
                updating,
                arrays,
                day_of_year=int(day),
                days_in_year=int(length),
                solar_constant=solar_constant,
                molar_mass_ratio=molar_mass_ratio,
                entrainment=entrainment,
                supply_rate=supply_rate,
            )
        )
        water = days[-1][-1]
    return SplashDays(*(np.stack(series) for series in zip(*days, strict=True)))


def _together(*values):
    return np.broadcast_arrays(*(np.asarray(value, dtype=float) for value in values))
