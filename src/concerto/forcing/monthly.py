"""Daily forcing of many cells from monthly fields, by a weather generator.

The ideas are those of :mod:`concerto.forcing.weather` (Richardson 1981; Geng et al. 1986), which makes half-hourly
weather of one site; here days are made, for all cells at once, and the months of every single year have the means and
sums of the fields: temperature, daily range, radiation, relative humidity, wind, precipitation and its number of wet
days. Wet days follow wet days because the days of smallest rank of a correlated series are the wet ones, as many as the
field says; a fractional number is rounded up in as many years as the fraction says. Anomalies of temperature, clearness
and wind are first-order autoregressive (the sum over the last 32 days). Smooth courses through the months keep their
means (Rymes & Myers 2001).

The random numbers of a cell and year are one stream that starts from (seed, cell, year) and nothing else. Days are UTC.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from concerto.errors import ConcertoError
from concerto.forcing import derive
from concerto.forcing.derive import FREEZING_POINT
from concerto.forcing.weather import CLEAREST, DAYS, STEFAN_BOLTZMANN

FIELDS = {  # least and greatest possible value
    "temperature": (-90.0, 60.0),
    "range": (0.0, 40.0),
    "precipitation": (0.0, 5000.0),
    "wet_days": (0.0, 31.0),
    "shortwave": (0.0, 600.0),
    "humidity": (0.0, 100.0),
    "wind": (0.0, 50.0),
}
DEFICIT = "vapour_pressure_deficit"  # Pa, in place of humidity
MARGIN = 3  # months beside the year that its courses see
MEMORY_DAYS = 32
MEMORY = np.array([0.35, 0.70, 0.45, 0.40])  # clearness, temperature, wind as weather.py; rank of wetness
GAMMA_SHAPE = 0.75
DAY_SECONDS = 86400.0


def is_leap(year: int) -> bool:
    """Whether a year of the Gregorian calendar has 366 days."""
    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)


def month_lengths(year: int) -> np.ndarray:
    """Days of the twelve months, (12,)."""
    return DAYS + (np.arange(12) == 1) * is_leap(year)


@cache
def _course_weights(leap: bool) -> np.ndarray:
    """Share of each of 18 months (October to March after the year) in each day of the year, (day, month).

    Smoothing over three days and correction of the monthly means in turn (Rymes & Myers 2001), of unit months.
    """
    length = np.concatenate((DAYS[-MARGIN:], month_lengths(2000 if leap else 2001), DAYS[:MARGIN]))
    month = np.repeat(np.arange(len(length)), length)
    starts = np.concatenate(([0], np.cumsum(length)[:-1]))
    unit = np.eye(len(length))
    course = unit[month]
    for _ in range(200):
        padded = np.concatenate((course[:1], course, course[-1:]))
        course = (padded[:-2] + course + padded[2:]) / 3.0
        means = np.add.reduceat(course, starts, axis=0) / length[:, None]
        course = course + (unit - means)[month]
    return course[(month >= MARGIN) & (month < MARGIN + 12)]


def _course(months, leap):
    """Daily values (cell, day) with the given monthly means (cell, 18)."""
    weights = _course_weights(leap)
    out = np.zeros((len(months), len(weights)))
    for m in range(months.shape[1]):  # in a fixed order: a product of matrices would depend on the number of cells
        near = np.flatnonzero(np.abs(weights[:, m]) > 0.0)
        if len(near):
            days = slice(near[0], near[-1] + 1)
            out[:, days] += months[:, m, None] * weights[days, m]
    return out


class _Months:
    """Sums of daily values over the months of a year."""

    def __init__(self, year):
        self.length = month_lengths(year)
        self.starts = np.concatenate(([0], np.cumsum(self.length)[:-1]))
        self.of_day = np.repeat(np.arange(12), self.length)

    def sum(self, daily):
        """(cell, day) -> (cell, 12)"""
        return np.add.reduceat(daily, self.starts, axis=1)

    def mean(self, daily):
        return self.sum(daily) / self.length

    def scaled(self, daily, mean):
        """Non-negative daily values in proportion, with the given monthly means; even where all are 0."""
        total = self.sum(daily)
        dark = total <= 1e-9 * mean * self.length
        factor = np.where(dark, 0.0, mean * self.length / np.where(dark, 1.0, total))
        return daily * factor[:, self.of_day] + np.where(dark, mean, 0.0)[:, self.of_day]


class MonthlyForcing:
    """Daily forcing from monthly fields; a source of gridded forcing with intervals of a day.

    Parameters
    ----------
    normals : dict of arrays (cell, 12), repeated every year with different weather: ``temperature`` (degC), ``range``
        (mean daily maximum less minimum, K), ``precipitation`` (mm month-1), ``wet_days`` (month-1), ``shortwave``
        (W m-2), ``humidity`` (relative, %) or ``vapour_pressure_deficit`` (Pa), ``wind`` (m s-1)
    latitude, longitude : (cell,) degrees north and east
    elevation : (cell,) m
    cell_id : (cell,) integers >= 0 that name the cells
    seed : integer >= 0 of the random numbers
    months : dict of arrays (cell, month), as ``normals`` but month by month over whole consecutive years; what it lacks
        is taken from ``normals``
    first_year : year of the first of ``months``

    Raises
    ------
    ConcertoError
        A field is missing, of the wrong shape, not finite or impossible.

    Notes
    -----
    :meth:`read` gives air_temperature, air_temperature_min, air_temperature_max (K), specific_humidity (kg kg-1),
    pressure (Pa), shortwave_down, longwave_down (W m-2), wind_speed (m s-1), precipitation (kg m-2 s-1).

    Examples
    --------
    >>> from concerto.forcing.weather import climate_normals
    >>> site = climate_normals()["savanna"]
    >>> normals = {name: [site[name]] for name in FIELDS}
    >>> source = MonthlyForcing(normals, [site["latitude"]], [site["longitude"]], [site["elevation"]], [17], seed=1)
    >>> source.read(np.arange("2001-01", "2001-02", dtype="datetime64[D]"))["precipitation"].shape
    (1, 33)
    """

    native_seconds = 86400
    instantaneous: frozenset[str] = frozenset()
    calendar = "proleptic_gregorian"
    variables = (
        "air_temperature", "air_temperature_min", "air_temperature_max", "specific_humidity", "pressure",
        "shortwave_down", "longwave_down", "wind_speed", "precipitation",
    )  # fmt: skip

    def __init__(self, normals, latitude, longitude, elevation, cell_id, seed, months=None, first_year=None):
        self.latitude, self.longitude, self.elevation = (
            np.atleast_1d(np.asarray(values, dtype=float)) for values in (latitude, longitude, elevation)
        )
        self.cell_id = np.atleast_1d(np.asarray(cell_id, dtype=np.int64))
        self.seed = int(seed)
        if self.seed < 0 or np.any(self.cell_id < 0):
            raise ConcertoError("Seed and cell numbers must not be negative.", hint="Take seed: 1.")
        self.first_year = None if months is None else first_year
        if months is not None and first_year is None:
            raise ConcertoError("Monthly fields of consecutive years need their first year.", hint="Give first_year.")
        self.n_year, self._fields = None, {}
        given = {name: values for name, values in (normals or {}).items() if values is not None}
        self._transient = set(months or {})
        given |= months or {}
        wanted = [name for name in FIELDS if name != "humidity"]
        wanted.append(DEFICIT if DEFICIT in given and "humidity" not in (months or {}) else "humidity")
        for name in wanted:
            if name not in given:
                raise ConcertoError(f"The monthly fields have no {name}.", hint="Needed: " + ", ".join(FIELDS))
            self._fields[name] = self._checked(name, given[name])
        self._transient &= set(self._fields)
        self.first_day = self.last_day = None
        if self.first_year is not None:
            self.first_day = np.datetime64(f"{self.first_year:04d}-01-01", "D")
            self.last_day = np.datetime64(f"{self.first_year + self.n_year:04d}-01-01", "D") - 1
        self.notes = [
            "daily weather is generated from monthly fields; pressure is that of the elevation",
            "longwave radiation is derived from temperature, humidity and clearness (Prata 1996)",
        ]
        if DEFICIT in self._fields:
            self.notes.append("relative humidity is derived from the vapour pressure deficit")
        self._weather, self._noise = {}, {}

    def _checked(self, name, values):
        values = np.ascontiguousarray(values, dtype=float)
        transient = name in self._transient
        n_cell = len(self.cell_id)
        if values.ndim != 2 or values.shape[0] != n_cell or values.shape[1] % 12 or values.shape[1] == 0:
            raise ConcertoError(
                f"The monthly {name} has the shape {values.shape}; {n_cell} cells and whole years of months are needed."
            )
        if transient:
            if self.n_year not in (None, values.shape[1] // 12):
                raise ConcertoError(f"The monthly {name} covers {values.shape[1] // 12} years, others {self.n_year}.")
            self.n_year = values.shape[1] // 12
        elif values.shape[1] != 12:
            raise ConcertoError(f"The normals of {name} have {values.shape[1]} months instead of 12.")
        low, high = FIELDS.get(name, (0.0, 15000.0))
        wrong = ~((values >= low) & (values <= high))
        if wrong.any():
            cell, month = np.argwhere(wrong)[0]
            raise ConcertoError(
                f"The monthly {name} is {values[cell, month]:g} in cell {self.cell_id[cell]}, month {month + 1} (and "
                f"{wrong.sum() - 1} others), outside {low:g} to {high:g}.",
                hint="Check the unit and the missing values of the field.",
            )
        return values

    def subset(self, cells) -> MonthlyForcing:
        """The same source for a slice of its cells; their weather stays bit for bit the same."""
        normals = {name: values[cells] for name, values in self._fields.items() if name not in self._transient}
        months = {name: values[cells] for name, values in self._fields.items() if name in self._transient}
        return MonthlyForcing(
            normals, self.latitude[cells], self.longitude[cells], self.elevation[cells], self.cell_id[cells], self.seed,
            months or None, self.first_year,
        )  # fmt: skip

    def climatology(self) -> dict:
        """Mean ``temperature`` (degC) and ``precipitation`` (mm month-1), (cell, 12), and the ``years`` of the mean."""

        def mean(name):
            values = self._fields[name]
            return values.reshape(len(values), -1, 12).mean(axis=1)

        years = None if self.first_year is None else [self.first_year, self.first_year + self.n_year - 1]
        return {"temperature": mean("temperature"), "precipitation": mean("precipitation"), "years": years}

    def bytes_per_day(self) -> int:
        """Size of a day of :meth:`read`."""
        return 8 * len(self.variables) * len(self.cell_id)

    def read(self, days) -> dict[str, np.ndarray]:
        """Daily values (cell, day + 2), the first and last being those of the day before and of the day after.

        Parameters
        ----------
        days : array of datetime64[D], non-decreasing
        """
        days = np.atleast_1d(np.asarray(days, dtype="datetime64[D]"))
        days = np.concatenate((days[:1] - 1, days, days[-1:] + 1))
        if self.first_day is not None:
            if days[1] < self.first_day or days[-2] > self.last_day:
                raise ConcertoError(
                    f"{days[1]} to {days[-2]} is not within the monthly fields of {self.first_day} to {self.last_day}.",
                    hint="Choose other years, or cycle those that there are.",
                )
            days = np.clip(days, self.first_day, self.last_day)
        years = days.astype("datetime64[Y]")
        place = (days - years.astype("datetime64[D]")).astype(int)
        out = {name: np.empty((len(self.cell_id), len(days))) for name in self.variables}
        for year in np.unique(years):
            here = np.flatnonzero(years == year)
            here = slice(here[0], here[-1] + 1)
            weather = self.year(int(year.astype(int)) + 1970)
            for name, values in weather.items():
                out[name][:, here] = values[:, place[here]]
        return out

    def year(self, year: int) -> dict[str, np.ndarray]:
        """All days of a year, (cell, day); the two years used last are kept."""
        if year in self._weather:
            self._weather[year] = self._weather.pop(year)
        else:
            while len(self._weather) > 1:
                self._weather.pop(next(iter(self._weather)))
            self._weather[year] = self._generate(year)
        return self._weather[year]

    def _months(self, name, year):
        """A field from October before to March after the year, (cell, 18)."""
        values = self._fields[name]
        month = np.arange(-MARGIN, 12 + MARGIN)
        if name not in self._transient:
            return values[:, month % 12]
        month = month + 12 * (year - self.first_year)
        # beyond the record: the same month of its first or last year
        month = np.where(month < 0, month % 12, month)
        month = np.where(month >= values.shape[1], values.shape[1] - 12 + month % 12, month)
        return values[:, month]

    def _numbers(self, year):
        """Random numbers of all cells: normal (4, cell, 366), gamma (cell, 366), uniform (cell, 12)."""
        if year not in self._noise:
            while len(self._noise) > 1:
                self._noise.pop(next(iter(self._noise)))
            n_cell = len(self.cell_id)
            normal, gamma, uniform = np.empty((4, n_cell, 366)), np.empty((n_cell, 366)), np.empty((n_cell, 12))
            for c, cell in enumerate(self.cell_id.tolist()):
                stream = np.random.Generator(np.random.PCG64([self.seed, cell, year]))
                normal[:, c] = stream.standard_normal((4, 366))
                gamma[c] = stream.standard_gamma(GAMMA_SHAPE, 366)
                uniform[c] = stream.random(12)
            self._noise[year] = normal, gamma, uniform
        return self._noise[year]

    def _anomalies(self, year, n_day):
        """Standard normal series (4, cell, day) that go on from year to year, see MEMORY."""
        before = self._numbers(year - 1)[0][:, :, 365 + is_leap(year - 1) - MEMORY_DAYS : 365 + is_leap(year - 1)]
        series = np.concatenate((before, self._numbers(year)[0][:, :, :n_day]), axis=2)
        memory, lag = MEMORY[:, None, None], 1
        while lag < MEMORY_DAYS:  # sum of memory^k noise(d - k) for k below 32, by doubling
            series[:, :, lag:] = series[:, :, lag:] + memory**lag * series[:, :, :-lag]
            lag *= 2
        return series[:, :, MEMORY_DAYS:] * np.sqrt(1.0 - memory**2)

    def _generate(self, year):
        leap, months = is_leap(year), _Months(year)
        n_day, of_day = 365 + leap, months.of_day
        inner = slice(MARGIN, MARGIN + 12)
        field = {name: self._months(name, year) for name in self._fields}
        clear_anomaly, warm_anomaly, wind_anomaly, wet_rank = self._anomalies(year, n_day)
        _, gamma, uniform = self._numbers(year)

        wet, rain = self._rain(
            field["precipitation"][:, inner], field["wet_days"][:, inner], wet_rank, gamma[:, :n_day], uniform, months
        )
        share = np.clip(field["wet_days"][:, inner] / months.length, 0.0, 1.0)[:, of_day]

        # Clearness as in weather.py: wet days are darker, no day is clearer than CLEAREST.
        top = self._top_of_atmosphere(n_day)
        short = np.maximum(_course(field["shortwave"], leap), 0.0)
        typical = np.clip((short + 4.5) / (top + 10.0), 0.1, 0.78)
        sky = typical * (1.0 + 0.35 * (share - wet)) + 0.32 * np.minimum(typical, CLEAREST - typical) * clear_anomaly
        sky = np.clip(sky, 0.04, CLEAREST)
        shortwave = self._sunshine(sky * top, CLEAREST * top, field["shortwave"][:, inner], months)

        # Temperature: the spread of days follows latitude and the seasons (weather.py); the range is large under clear
        # skies and holds at least the change from day to day.
        monthly = field["temperature"][:, inner]
        seasons = np.clip((monthly.max(axis=1) - monthly.min(axis=1)) / 15.0, 0.2, 1.6)
        anomaly = (1.5 + 0.02 * np.abs(self.latitude) * seasons)[:, None] * warm_anomaly
        outside = np.zeros((len(anomaly), MARGIN))
        anomaly = anomaly - _course(np.concatenate((outside, months.mean(anomaly), outside), axis=1), leap)
        smooth = _course(field["temperature"], leap)
        daily_mean = smooth + anomaly
        daily_mean = daily_mean + (monthly - months.mean(daily_mean))[:, of_day]
        change = 0.5 * np.abs(daily_mean[:, 2:] - daily_mean[:, :-2])
        change = np.concatenate((change[:, :1], change, change[:, -1:]), axis=1)
        daily_range = np.maximum(_course(field["range"], leap), 1.0) * np.clip(
            1.0 + 0.8 * (sky / typical - 1.0), 0.4, 1.35
        )
        daily_range = months.scaled(np.maximum(daily_range, change), field["range"][:, inner])
        kelvin, amplitude = daily_mean + FREEZING_POINT, 0.5 * daily_range

        # Humidity: the vapour pressure, nearly constant in a day, has the day's mean relative humidity. Temperature
        # with the distribution of a cosine: the mean of exp(-b T) is that of the mean times the Bessel function I0.
        slope = 17.62 * 243.12 / (243.12 + daily_mean) ** 2
        x = (0.5 * slope * amplitude) ** 2
        bessel = 1.0 + x * (1.0 + x * (0.25 + x / 36.0))
        saturated = derive.saturation_pressure(kelvin)
        humid = _course(self._relative_humidity(field), leap)
        humid = humid + 0.25 * humid * (1.0 - humid) * (wet - share) - 0.1 * (sky - typical)
        humid = humid + (self._relative_humidity(field)[:, inner] - months.mean(humid))[:, of_day]
        vapour = np.clip(humid, 0.08, 0.99) * saturated / bessel

        pressure = derive.barometric_pressure(smooth + FREEZING_POINT, self.elevation[:, None]) + 200.0 * wind_anomaly

        # Longwave as in weather.py: water in mm after Prata (1996), cloud share from the clearness.
        water = 0.465 * vapour / kelvin
        clear = 1.0 - (1.0 + water) * np.exp(-np.sqrt(1.2 + 3.0 * water))
        cloud = np.clip(1.0 - sky / 0.78, 0.0, 1.0)
        fourth = kelvin**2 * (kelvin**2 + 3.0 * amplitude**2) + 0.375 * amplitude**4  # mean of T^4 of a cosine
        longwave = (clear + cloud * (1.0 - clear)) * STEFAN_BOLTZMANN * fourth

        wind = np.maximum(_course(field["wind"], leap), 0.0) * np.exp(0.4 * wind_anomaly)
        return {
            "air_temperature": kelvin,
            "air_temperature_min": kelvin - amplitude,
            "air_temperature_max": kelvin + amplitude,
            "specific_humidity": derive.specific_humidity(vapour, pressure),
            "pressure": pressure,
            "shortwave_down": shortwave,
            "longwave_down": longwave,
            "wind_speed": months.scaled(wind, field["wind"][:, inner]),
            "precipitation": rain / DAY_SECONDS,
        }

    def _relative_humidity(self, field):
        """0 to 1, (cell, 18)"""
        if DEFICIT not in field:
            return field["humidity"] / 100.0
        celsius = field["temperature"]
        x = (8.81 * 243.12 / (243.12 + celsius) ** 2 * 0.5 * field["range"]) ** 2
        saturated = derive.saturation_pressure(celsius + FREEZING_POINT) * (1.0 + x * (1.0 + 0.25 * x))
        return np.clip(1.0 - field[DEFICIT] / saturated, 0.02, 1.0)

    def _top_of_atmosphere(self, n_day):
        """Radiation above the atmosphere on UTC days, W m-2, (cell, day)."""
        from concerto import _core
        from concerto.kernels._call import call

        arrays = {
            "latitude": self.latitude[:, None],
            "longitude": self.longitude[:, None],
            "day_of_year": np.arange(1.0, n_day + 1.0),
            "hour_start": 0.0,
            "hour_end": 24.0,
        }
        return call(_core.concerto_solar.mean_cosine_zenith, arrays, days_per_year=365.0)[3]

    @staticmethod
    def _rain(total, wet_days, rank, gamma, uniform, months):
        """Wet days and their rain (mm): as many as the field says, the total of the field."""
        wet, rain = np.zeros(rank.shape, bool), np.zeros(rank.shape)
        number = np.clip(np.floor(wet_days + uniform), 1.0, months.length)
        number = np.where(total > 0.0, number, 0.0)
        expected = total / np.maximum(number, 1.0)
        least = np.minimum(1.0, 0.5 * expected)
        for m in range(12):
            days = slice(months.starts[m], months.starts[m] + months.length[m])
            order = np.argsort(np.argsort(rank[:, days], axis=1, kind="stable"), axis=1, kind="stable")
            wet[:, days] = order < number[:, m, None]
            excess = gamma[:, days] * ((expected - least)[:, m, None] / GAMMA_SHAPE)
            rain[:, days] = np.where(wet[:, days], least[:, m, None] + excess, 0.0)
        return wet, months.scaled(rain, total / months.length)

    @staticmethod
    def _sunshine(guess, most, mean, months):
        """Radiation of the days with the monthly means, where possible below the most of each day, W m-2."""
        of_day, total = months.of_day, mean * months.length
        factor = total / np.maximum(months.sum(guess), 1e-9)
        short = np.minimum(guess * factor[:, of_day], most)
        room = most - short
        share = (total - months.sum(short)) / np.maximum(months.sum(room), 1e-9)
        short = short + np.clip(share, 0.0, 1.0)[:, of_day] * room
        return months.scaled(short, mean)  # round-off, and fields that are brighter than a clear sky
