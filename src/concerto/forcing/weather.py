"""Weather generator: half-hourly forcing from monthly climate normals, physically consistent.

Daily weather (Richardson 1981; Geng et al. 1986): a two-state chain of wet and dry days whose transition
probabilities follow from the share of wet days, gamma-distributed rain above 1 mm, and first-order
autoregressive anomalies of air temperature, clearness of the sky and wind; wet days are darker, more
humid and of smaller temperature range. Days are days of local mean solar time. Within the day: radiation
from solar geometry and the day's clearness, temperature between the daily extremes, vapour pressure
nearly constant and never above saturation, clear-sky longwave (Prata 1996) with the cloud factor of
Crawford & Duchon (1999), rain in one event of a few hours, snow by wet bulb, wind with a daily course.
What changes from day to day changes gradually, except rain and clearness.

The calendar months of all generated years together have the temperature and radiation of the normals; the
expected rain, number of wet days, humidity and wind are those of the normals; nothing is fitted to a year
of data.
"""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path

import numpy as np

from concerto.forcing.derive import FREEZING_POINT, saturation_pressure, snow_fraction, specific_humidity

DATA = Path(__file__).parent / "data"
DAYS = np.array([31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31])
STEFAN_BOLTZMANN = 5.670374e-8
CLEAREST = 0.80  # share of the radiation above the atmosphere that reaches the ground on the clearest day


@cache
def climate_normals() -> dict[str, dict]:
    """The embedded sites: name -> title, place, plant functional types and monthly normals."""
    with open(DATA / "climate_normals.toml", "rb") as file:
        return tomllib.load(file)


def solar_geometry(time_utc, step_seconds, latitude, longitude):
    """Interval means of solar geometry.

    Parameters
    ----------
    time_utc : array of datetime64 (step,), starts of the intervals
    step_seconds : length of the intervals, s
    latitude, longitude : degrees north and east

    Returns
    -------
    dict of arrays (step,): ``cosine_mean`` (mean of max(0, cos z)), ``cosine_sunlit`` (mean over the sunlit
    part), ``top_of_atmosphere`` (W m-2)
    """
    from concerto import _core
    from concerto.kernels._call import call

    time = np.asarray(time_utc).astype("datetime64[s]")
    day = (time.astype("datetime64[D]") - time.astype("datetime64[Y]").astype("datetime64[D]")).astype(int) + 1.0
    hour = (time - time.astype("datetime64[D]")).astype(float) / 3600.0
    arrays = {
        "latitude": latitude,
        "longitude": longitude,
        "day_of_year": day,
        "hour_start": hour,
        "hour_end": hour + step_seconds / 3600.0,
    }
    mean, sunlit, _, top = call(_core.concerto_solar.mean_cosine_zenith, arrays, days_per_year=365.0)
    return {
        "cosine_mean": mean,
        "cosine_sunlit": sunlit,
        "top_of_atmosphere": top,
    }


def _daily_course(monthly, day_of_year):
    """Smooth daily values whose monthly means are the normals (Rymes & Myers 2001, circular iteration)."""
    month_of_day = np.repeat(np.arange(12), DAYS)
    monthly = np.asarray(monthly, dtype=float)
    course = monthly[month_of_day]
    for _ in range(200):
        course = (np.roll(course, 1) + course + np.roll(course, -1)) / 3.0
        means = np.bincount(month_of_day, course) / DAYS
        course = course + (monthly - means)[month_of_day]
    return course[np.minimum(day_of_year - 1, 364)]


def _monthly_means(daily, month):
    """Mean of each calendar month over all years, (12,); 0 for months that do not occur."""
    count = np.bincount(month, minlength=12)
    return np.bincount(month, daily, minlength=12) / np.maximum(count, 1)


def _between_noons(daily, per_day):
    """Daily values (day,) as values at every step (day, step): linear from noon to noon."""
    centre = (np.arange(len(daily) * per_day) + 0.5) / per_day
    return np.interp(centre, np.arange(len(daily)) + 0.5, daily).reshape(len(daily), per_day)


def _wet_days(share, random):
    """Chain of wet and dry days (day,): P(wet | dry before) = 0.75 share, P(wet | wet before) 0.25 more."""
    uniform = random.random(len(share))
    wet = np.zeros(len(share), bool)
    previous = uniform[0] < share[0]
    for d in range(len(share)):
        previous = wet[d] = uniform[d] < 0.75 * share[d] + (0.25 if previous else 0.0)
    return wet


def _anomalies(n_day, memory, random):
    """Standard normal series (day, variable); ``memory`` is the correlation of two successive days."""
    noise = random.standard_normal((n_day, len(memory)))
    anomaly = noise.copy()
    for d in range(1, n_day):
        anomaly[d] = memory * anomaly[d - 1] + np.sqrt(1.0 - memory**2) * noise[d]
    return anomaly


def generate(normals: dict, start="2001-01-01", years: int = 1, seed: int = 1, step_seconds: int = 1800) -> dict:
    """Half-hourly forcing of one site.

    Parameters
    ----------
    normals : monthly climate, an entry of :func:`climate_normals`
    start : first day (UTC)
    years : whole years
    seed : of the random numbers; the same seed gives the same weather
    step_seconds : a divisor of 86400, as 1800 or 3600

    Returns
    -------
    dict: ``time`` (datetime64, UTC, interval starts) and arrays air_temperature (K), specific_humidity
    (kg kg-1), pressure (Pa), shortwave_down, longwave_down (W m-2), wind_speed (m s-1), rainfall, snowfall
    (kg m-2 s-1)

    Examples
    --------
    >>> weather = generate(climate_normals()["savanna"], "2004-01-01")
    >>> weather["time"].size
    17568
    """
    random = np.random.Generator(np.random.PCG64(seed))
    per_day = 86400 // step_seconds
    first = np.datetime64(start, "D")
    year = first.astype("datetime64[Y]")
    last = (year + years).astype("datetime64[D]") + (first - year)

    # Days of local time, one more at each end, so that the UTC days asked for can be cut from them.
    days = np.arange(first - 1, last + 1)
    shift = round(normals["longitude"] / 360.0 * per_day)  # steps that local mean solar time is ahead of UTC
    n_day = len(days)
    day_of_year = (days - days.astype("datetime64[Y]").astype("datetime64[D]")).astype(int) + 1
    month = days.astype("datetime64[M]").astype(int) % 12
    step = np.timedelta64(step_seconds, "s")
    time = days[0].astype("datetime64[s]") + (np.arange(n_day * per_day) - shift) * step
    sun = solar_geometry(time, step_seconds, normals["latitude"], normals["longitude"])
    top = sun["top_of_atmosphere"].reshape(n_day, per_day)
    top_mean = top.mean(axis=1)
    hour = (np.arange(per_day) + 0.5) * step_seconds / 3600.0  # local mean solar time

    def course(name):
        return _daily_course(normals[name], day_of_year)

    # Wet days (1 mm or more, as the normals count them) and their rain, mm.
    length = DAYS + np.where(np.arange(12) == 1, 0.25, 0.0)
    share = np.clip(np.array(normals["wet_days"], float) / length, 0.0, 0.95)[month]
    wet = _wet_days(share, random)
    expected = (np.array(normals["precipitation"], float) / length)[month] / np.maximum(share, 1e-9)
    least, shape = np.minimum(1.0, 0.5 * expected), 0.75
    rain_day = np.where(wet, least + random.gamma(shape, 1.0, n_day) * (expected - least) / shape, 0.0)
    memory = np.array([0.35, 0.70, 0.45])
    clearness_anomaly, temperature_anomaly, wind_anomaly = _anomalies(n_day, memory, random).T

    # Clearness: global radiation over that above the atmosphere. In polar night, where it has no meaning but
    # clouds still warm, it goes to 0.45.
    short = np.maximum(course("shortwave"), 0.0)
    typical = np.clip((short + 4.5) / (top_mean + 10.0), 0.1, 0.78)
    varied = 0.32 * np.minimum(typical, CLEAREST - typical) * clearness_anomaly
    sky = np.clip(typical * (1.0 + 0.35 * (share - wet)) + varied, 0.04, CLEAREST)
    clearness = sky
    target = _monthly_means(short, month)
    for _ in range(8):  # repeated, since values that meet a limit shift the mean
        factor = target / np.maximum(_monthly_means(clearness * top_mean, month), 1e-3)
        clearness = np.clip(clearness * factor[month], 0.0, CLEAREST)

    # Temperature: the daily range is large under clear skies, its maximum is 2.5 h after noon.
    spread = 1.5 + 0.02 * abs(normals["latitude"]) * np.clip(np.ptp(normals["temperature"]) / 15.0, 0.2, 1.6)
    anomaly = spread * temperature_anomaly
    anomaly = anomaly - _daily_course(_monthly_means(anomaly, month), day_of_year)
    daily_mean = course("temperature") + anomaly
    daily_range = np.maximum(course("range"), 2.0) * np.clip(1.0 + 0.8 * (sky / typical - 1.0), 0.4, 1.35)
    wave = np.cos((hour - 14.7) * np.pi / 12.0) + 0.25 * np.cos((hour - 14.2) * np.pi / 6.0)
    wave = (wave - wave.mean()) / np.ptp(wave)
    celsius = _between_noons(daily_mean, per_day) + _between_noons(daily_range, per_day) * wave
    kelvin = celsius + FREEZING_POINT
    saturated = saturation_pressure(kelvin)

    # Rain: one event, short in warm air (convective), long in cold air and for much rain.
    rain = np.zeros((n_day, per_day))
    hours = np.clip(10.0 - 0.3 * np.maximum(daily_mean, 0.0), 2.0, 10.0) * (0.5 + random.random(n_day))
    hours = hours + rain_day / 30.0
    steps = np.clip(np.round(hours * 3600.0 / step_seconds), 1, per_day).astype(int)
    begin = (random.random(n_day) * (per_day - steps + 1)).astype(int)
    for d in np.flatnonzero(wet):
        rain[d, begin[d] : begin[d] + steps[d]] = rain_day[d] / (steps[d] * step_seconds)

    # Humidity: the day's vapour pressure has its mean relative humidity; dew and fog cap it, rain moistens
    # air a little (to 90 % in a hot afternoon would be more vapour than any air mass brings).
    humid = course("humidity") / 100.0
    humid = humid + 0.25 * humid * (1.0 - humid) * (wet - share) - 0.1 * (sky - typical)
    vapour = _between_noons(np.clip(humid, 0.08, 0.99) / (1.0 / saturated).mean(axis=1), per_day)
    vapour = np.where(rain > 0.0, np.maximum(vapour, np.minimum(1.15 * vapour, 0.9 * saturated)), vapour)
    vapour = np.minimum(vapour, 0.98 * saturated)

    pressure = 101325.0 * (1.0 - 2.25577e-5 * normals["elevation"]) ** 5.25588
    pressure = pressure + 200.0 * _between_noons(wind_anomaly, per_day)

    # Longwave: water in mm after Prata, cloud share from the clearness.
    water = 46.5 * (vapour / 100.0) / kelvin
    clear = 1.0 - (1.0 + water) * np.exp(-np.sqrt(1.2 + 3.0 * water))
    cloud = _between_noons(np.clip(1.0 - sky / 0.78, 0.0, 1.0), per_day)
    longwave = (clear + cloud * (1.0 - clear)) * STEFAN_BOLTZMANN * kelvin**4

    # Wind: lognormal from day to day, stronger in the afternoon.
    wind = _between_noons(course("wind") * np.exp(0.4 * wind_anomaly - 0.08), per_day)
    wind = np.maximum(wind * (1.0 + 0.35 * np.cos((hour - 14.0) * np.pi / 12.0)), 0.2)

    humidity = specific_humidity(vapour, pressure)
    snow_share = snow_fraction(kelvin, humidity, pressure)
    forcing = {
        "air_temperature": kelvin,
        "specific_humidity": humidity,
        "pressure": pressure,
        "shortwave_down": clearness[:, None] * top,
        "longwave_down": longwave,
        "wind_speed": wind,
        "rainfall": rain * (1.0 - snow_share),
        "snowfall": rain * snow_share,
    }
    asked = slice(per_day + shift, per_day + shift + (n_day - 2) * per_day)
    return {"time": time[asked]} | {name: values.ravel()[asked].copy() for name, values in forcing.items()}
