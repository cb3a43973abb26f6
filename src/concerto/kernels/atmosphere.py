"""Moist air, position of the sun and the turbulent surface layer (see ``docs/processes/turbulence.md``).

Every function takes scalars or arrays that broadcast against each other. Temperatures K, pressures Pa, angles
of places in degrees, time UTC.
"""

from __future__ import annotations

from concerto import _core as core
from concerto.kernels._call import call


def saturation_vapour_pressure(temperature, *, ice=False):
    """Saturation vapour pressure and its derivative.

    Parameters
    ----------
    temperature : array_like
        K.
    ice : bool
        Over ice instead of liquid water.

    Returns
    -------
    vapour_pressure, slope : arrays
        Pa and Pa K-1.

    Notes
    -----
    Magnus form with the coefficients of Sonntag 1990; the slope is the derivative of the same formula.

    Examples
    --------
    >>> vapour_pressure, slope = saturation_vapour_pressure(298.15)
    >>> round(float(vapour_pressure), 1)
    3160.1
    """
    routine = core.concerto_thermodynamics.saturation_ice if ice else core.concerto_thermodynamics.saturation_water
    return call(routine, dict(temperature=temperature))


def moist_air(temperature, specific_humidity, pressure):
    """Density, heat capacity and vapour pressure of moist air.

    Parameters
    ----------
    temperature, specific_humidity, pressure : array_like
        K, kg kg-1, Pa.

    Returns
    -------
    density, heat_capacity, vapour_pressure : arrays
        kg m-3, J kg-1 K-1, Pa.
    """
    arrays = dict(temperature=temperature, specific_humidity=specific_humidity, pressure=pressure)
    return call(core.concerto_thermodynamics.moist_air, arrays)


def hygrometry(temperature, pressure, relative_humidity):
    """Humidity and water functions as optimality models use them (P-model, SPLASH).

    Parameters
    ----------
    temperature, pressure, relative_humidity : array_like
        K, Pa, 0..1.

    Returns
    -------
    tuple of arrays
        Saturation vapour pressure (Pa), vapour pressure deficit (Pa), slope (Pa K-1), latent heat (J kg-1),
        heat capacity of saturated air (J kg-1 K-1), psychrometric constant (Pa K-1), density (kg m-3) and
        viscosity (Pa s) of water.

    Notes
    -----
    Sonntag 1990; Allen et al. 1998; Henderson-Sellers 1984; Tsilingiris 2008; Fisher & Dial 1975; Huber et
    al. 2009. The energy balance of the model does not use these: its latent heat is constant.
    """
    arrays = dict(temperature=temperature, pressure=pressure, relative_humidity=relative_humidity)
    return call(core.concerto_thermodynamics.hygrometry, arrays)


def sun_position(latitude, longitude, day_of_year, hour_utc, *, days_per_year=365.0):
    """Declination (radians), equation of time (min), squared inverse distance and cosine of the zenith angle.

    Parameters
    ----------
    latitude, longitude : array_like
        Degrees north and east.
    day_of_year, hour_utc : array_like
        Day, 1 on 1 January, and hour, in UTC.
    days_per_year : float
        Length of the calendar's year.

    Notes
    -----
    Spencer 1971; geometric, no refraction; the cosine agrees with the NREL algorithm within 0.002.

    Examples
    --------
    >>> declination, _, _, cosine = sun_position(0.0, 0.0, 80, 12.0)
    """
    arrays = dict(latitude=latitude, longitude=longitude, day_of_year=day_of_year, hour_utc=hour_utc)
    return call(core.concerto_solar.sun_position, arrays, days_per_year=days_per_year)


def mean_cosine_zenith(latitude, longitude, day_of_year, hour_start, hour_end, *, days_per_year=365.0):
    """Means over an interval of at most 24 h, by the exact integral between sunrise and sunset.

    Parameters
    ----------
    latitude, longitude : array_like
        Degrees north and east.
    day_of_year : array_like
        UTC day of the start, 1 on 1 January.
    hour_start, hour_end : array_like
        UTC hours; the end may pass 24.
    days_per_year : float
        Length of the calendar's year.

    Returns
    -------
    cosine_mean, cosine_sunlit, sunlit_fraction, radiation_top : arrays
        Mean of max(0, cosine), mean over the sunlit part (0 when dark), sunlit share, W m-2 above the
        atmosphere.
    """
    arrays = dict(
        latitude=latitude,
        longitude=longitude,
        day_of_year=day_of_year,
        hour_start=hour_start,
        hour_end=hour_end,
    )
    return call(core.concerto_solar.mean_cosine_zenith, arrays, days_per_year=days_per_year)


def day_length(latitude, day_of_year, *, days_per_year=365.0):
    """Hours between geometric sunrise and sunset (0 and 24 in polar night and day)."""
    arrays = dict(latitude=latitude, day_of_year=day_of_year)
    return call(core.concerto_solar.day_length, arrays, days_per_year=days_per_year)


def equilibrium_evaporation(latitude, day_of_year, air_temperature, shortwave_down, longwave_net, albedo):
    """Day length (h), PAR (J m-2 d-1) and equilibrium evaporation (mm d-1) as in LPJmL.

    Parameters
    ----------
    latitude, day_of_year : array_like
        Degrees north; 1..365.
    air_temperature : array_like
        Daily mean, K.
    shortwave_down, longwave_net : array_like
        Daily means, W m-2; net longwave positive downwards.
    albedo : array_like
        0..1.
    """
    arrays = dict(
        latitude=latitude,
        day_of_year=day_of_year,
        air_temperature=air_temperature,
        shortwave_down=shortwave_down,
        longwave_net=longwave_net,
        albedo=albedo,
    )
    return call(core.concerto_solar.equilibrium_evaporation, arrays)


def surface_layer(
    height,
    roughness_momentum,
    roughness_heat,
    wind,
    theta_air,
    theta_surface,
    *,
    updates=3,
    zeta_neutral=0.01,
):
    """Monin-Obukhov surface layer of given surface temperature, without gustiness.

    Parameters
    ----------
    height : array_like
        Reference height above the displacement height, m.
    roughness_momentum, roughness_heat : array_like
        m.
    wind : array_like
        m s-1, above 0 (land models do not go below 1).
    theta_air, theta_surface : array_like
        (Virtual) potential temperatures, K.
    updates : int
        Newton updates after the closed-form start.
    zeta_neutral : float
        Smallest absolute stability allowed.

    Returns
    -------
    zeta, friction_velocity, theta_star, resistance_momentum, resistance_heat : arrays
        -, m s-1, K (positive when stable), s m-1, s m-1.

    Notes
    -----
    Four regimes of Zeng et al. 1998.

    Examples
    --------
    >>> zeta, ustar, _, _, resistance = surface_layer(10.0, 0.1, 0.1, 3.0, 290.0, 292.0)
    """
    arrays = dict(
        height=height,
        roughness_momentum=roughness_momentum,
        roughness_heat=roughness_heat,
        wind=wind,
        theta_air=theta_air,
        theta_surface=theta_surface,
    )
    return call(core.concerto_turbulence.surface_layer, arrays, updates=updates, zeta_neutral=zeta_neutral)
