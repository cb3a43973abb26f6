"""Formulas that complete a forcing record: humidity, pressure, longwave, snow share, top-of-atmosphere sun.

Sources stand at each function; the same formulas made the example site files.
"""

from __future__ import annotations

import numpy as np

FREEZING_POINT = 273.15
VAPOUR_RATIO = 0.622
GRAVITY = 9.80665
GAS_CONSTANT_DRY_AIR = 287.04
SOLAR_CONSTANT = 1361.0


def saturation_pressure_bolton(air_temperature):
    """Saturation vapour pressure over water, Pa, from temperature in K (Bolton 1980)."""
    celsius = air_temperature - FREEZING_POINT
    return 611.2 * np.exp(17.67 * celsius / (celsius + 243.5))


def saturation_pressure(air_temperature):
    """Saturation vapour pressure over water, Pa, from temperature in K (Sonntag 1990; the model's curve)."""
    celsius = air_temperature - FREEZING_POINT
    return 611.2 * np.exp(17.62 * celsius / (243.12 + celsius))


def specific_humidity(vapour_pressure, pressure):
    """Specific humidity, kg kg-1, from vapour pressure and air pressure, Pa."""
    return VAPOUR_RATIO * vapour_pressure / (pressure - (1.0 - VAPOUR_RATIO) * vapour_pressure)


def vapour_pressure(humidity, pressure):
    """Vapour pressure, Pa, from specific humidity, kg kg-1, and air pressure, Pa."""
    return humidity * pressure / (VAPOUR_RATIO + (1.0 - VAPOUR_RATIO) * humidity)


def barometric_pressure(air_temperature, elevation):
    """Air pressure, Pa, at `elevation` (m) from air temperature (K), lapse rate 6.5 K km-1."""
    exponent = GRAVITY / (GAS_CONSTANT_DRY_AIR * 0.0065)
    return 101325.0 * (air_temperature / (air_temperature + 0.0065 * elevation)) ** exponent


def longwave_down(air_temperature, vapour_pressure_pa):
    """Downward longwave radiation, W m-2: 2.648 T + 0.0346 e - 474 (Abramowitz et al. 2012)."""
    return np.maximum(2.648 * air_temperature + 0.0346 * vapour_pressure_pa - 474.0, 60.0)


def wet_bulb_temperature(air_temperature, humidity, pressure):
    """Wet-bulb temperature, K, from the psychrometer equation by six Newton steps.

    Solves e_s(Tw) - e = gamma (T - Tw) with gamma = c_p p / (0.622 L_v).
    """
    vapour = vapour_pressure(humidity, pressure)
    gamma = 1004.64 * pressure / (VAPOUR_RATIO * 2.501e6)
    wet = np.array(air_temperature, dtype=float)
    for _ in range(6):
        saturated = saturation_pressure(wet)
        slope = saturated * 17.62 * 243.12 / (wet - FREEZING_POINT + 243.12) ** 2
        wet = wet - (saturated - vapour - gamma * (air_temperature - wet)) / (slope + gamma)
    return np.minimum(wet, air_temperature)


def snow_fraction(air_temperature, humidity, pressure):
    """Share of precipitation that falls as snow, 0 to 1, from the wet bulb (Wang et al. 2019).

    Shares below one in a thousand are none (wet bulb above 4.3 degC): warm rain would else leave a trace of
    snow on
    the ground.
    """
    celsius = wet_bulb_temperature(air_temperature, humidity, pressure) - FREEZING_POINT
    share = 1.0 / (1.0 + 6.99e-5 * np.exp(np.minimum(2.0 * (celsius + 3.97), 600.0)))
    return np.where(share < 1e-3, 0.0, share)


def top_of_atmosphere(time_middle_utc, latitude, longitude):
    """Solar radiation on a level plane above the atmosphere, W m-2 (Spencer 1971).

    Parameters
    ----------
    time_middle_utc : array of datetime64[s], shape (n,)
        Middle of the interval, UTC.
    latitude, longitude : float
        Degrees north and east.
    """
    seconds = time_middle_utc.astype("datetime64[s]")
    year_start = seconds.astype("datetime64[Y]").astype("datetime64[s]")
    day = (seconds - year_start).astype(float) / 86400.0
    hour = (seconds - seconds.astype("datetime64[D]")).astype(float) / 3600.0
    angle = 2.0 * np.pi * day / 365.25
    c1, s1 = np.cos(angle), np.sin(angle)
    c2, s2 = c1 * c1 - s1 * s1, 2.0 * s1 * c1
    declination = (
        0.006918 - 0.399912 * c1 + 0.070257 * s1 - 0.006758 * c2 + 0.000907 * s2
        - 0.002697 * (c2 * c1 - s2 * s1) + 0.00148 * (s2 * c1 + c2 * s1)
    )  # fmt: skip
    equation_minutes = 229.18 * (0.000075 + 0.001868 * c1 - 0.032077 * s1 - 0.014615 * c2 - 0.040849 * s2)
    distance = 1.00011 + 0.034221 * c1 + 0.00128 * s1 + 0.000719 * c2 + 0.000077 * s2
    hour_angle = np.deg2rad(15.0 * (hour + longitude / 15.0 + equation_minutes / 60.0 - 12.0))
    phi = np.deg2rad(latitude)
    cosine = np.sin(phi) * np.sin(declination) + np.cos(phi) * np.cos(declination) * np.cos(hour_angle)
    return SOLAR_CONSTANT * distance * np.maximum(cosine, 0.0)
