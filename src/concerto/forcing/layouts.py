"""Layouts of gridded forcing: one entry a product, with its names and what its times mean.

========= ========= ====================================================================================================
source    interval  what the times mean
========= ========= ====================================================================================================
cru_jra   6 h       tmp, spfh, pres, winds: instants at the time stamp; dlwrf, dswrf (or tswrf), pre: means or amounts
                    of the six hours from the stamp on
era5      1 h       t2m, d2m, sp, winds: instants; ssrd, strd, tp, sf and mean rates (avg_*, m*): the hour that ends at
                    the stamp
era5_land 1 h       as era5, but ssrd, strd, tp, sf accumulate from 00 UTC; the value at 00 UTC is the whole day before
isimip3   1 day     means of the day of the stamp (W5E5, GSWP3-W5E5 and their like), with tasmin and tasmax
gswp3     3 h       CMIP or ALMA names; means of the three hours from the stamp on, unless cell_methods: `time: point`
alma      any       ALMA names; means of the interval from the stamp on, unless attributes say otherwise; local time by
                    attribute utc_offset_hours or forcing.time_offset_hours (local time less UTC)
monthly   1 month   one value a month, or twelve normals; made into days by the weather generator
embedded            normals of the package, made into days by the weather generator
========= ========= ====================================================================================================

`time_bnds` go before these rules for means. `pr`, `pre` and `tp` include snow; where `prsn` or `sf` is there too, rain
is the difference. Products that are already differenced (ERA5-Land time series) are read as era5.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from concerto.errors import ConcertoError
from concerto.forcing import derive
from concerto.forcing.gridded import FileForcing, plural, setting
from concerto.forcing.units import GRID, conversion, is_amount, normalise


@dataclass(frozen=True)
class Field:
    """Names of one ingredient in the files (the first that is there is read) and what its times mean.

    kind: ``point`` (instant), ``mean`` (from the stamp on), ``ending`` (of the interval that ends at the stamp),
    ``midnight`` (sum from 00 UTC), ``daily`` (mean of the day of the stamp).
    """

    names: tuple
    kind: str


@dataclass(frozen=True)
class Layout:
    """One product. `native_seconds` None: as in the files; `cell_methods`: instants and means by that attribute."""

    name: str
    title: str
    native_seconds: int | None
    fields: dict = field(default_factory=dict)
    cell_methods: bool = False
    local_time: bool = False
    check_sun: bool = False
    hint: str = ""
    monthly: bool = False


def _fields(kinds: dict) -> dict:
    return {
        ingredient: Field(tuple(names.split()), kind)
        for kind, group in kinds.items()
        for ingredient, names in group.items()
    }


_ERA5_POINTS = {
    "Tair": "t2m 2t VAR_2T 2m_temperature", "Tdew": "d2m 2d VAR_2D 2m_dewpoint_temperature",
    "Psurf": "sp surface_pressure", "Wind": "si10 ws10",
    "Wind_E": "u10 10u VAR_10U 10m_u_component_of_wind", "Wind_N": "v10 10v VAR_10V 10m_v_component_of_wind",
}  # fmt: skip
_ERA5_SUMS = {
    "SWdown": "ssrd surface_solar_radiation_downwards", "LWdown": "strd surface_thermal_radiation_downwards",
    "Precip": "tp total_precipitation", "Snowf": "sf snowfall",
}  # fmt: skip
_ERA5_RATES = {
    "SWdown": "avg_sdswrf msdwswrf", "LWdown": "avg_sdlwrf msdwlwrf", "Precip": "avg_tprate mtpr",
    "Snowf": "avg_tsrwe msr",
}  # fmt: skip
_CMIP = {
    "Tair": "tas Tair", "Qair": "huss Qair", "RH": "hurs", "Psurf": "ps PSurf",
    "SWdown": "rsds SWdown", "LWdown": "rlds LWdown", "Wind": "sfcWind sfcwind wind Wind",
    "Precip": "pr Precip", "Rainf": "prra Rainf", "Snowf": "prsn Snowf",
}  # fmt: skip

LAYOUTS = {
    layout.name: layout
    for layout in (
        Layout(
            "cru_jra", "CRU-JRA, 6-hourly, 0.5 degree", 21600,
            _fields({
                "point": {"Tair": "tmp", "Qair": "spfh", "Psurf": "pres", "Wind": "wind wsgrd",
                          "Wind_E": "ugrd", "Wind_N": "vgrd"},
                "mean": {"SWdown": "dswrf tswrf", "LWdown": "dlwrf", "Precip": "pre"},
            }),
        ),
        Layout(
            "era5", "ERA5, hourly", 3600,
            _fields({"point": _ERA5_POINTS,
                     "ending": {k: f"{_ERA5_RATES[k]} {v}" for k, v in _ERA5_SUMS.items()}}),
        ),
        Layout("era5_land", "ERA5-Land, hourly", 3600, _fields({"point": _ERA5_POINTS, "midnight": _ERA5_SUMS})),
        Layout(
            "isimip3", "ISIMIP3 (W5E5, GSWP3-W5E5), daily", 86400,
            _fields({"daily": _CMIP | {"Tmin": "tasmin", "Tmax": "tasmax"}}),
            hint="Sub-daily files with such names can be read as source: gswp3 (3 h) or alma (any interval).",
        ),
        Layout("gswp3", "GSWP3, 3-hourly", 10800, _fields({"mean": _CMIP}), cell_methods=True, check_sun=True),
        Layout(
            "alma", "ALMA names, any interval", None,
            _fields({"mean": {
                "Tair": "Tair", "Tmin": "Tmin", "Tmax": "Tmax", "Qair": "Qair", "RH": "RH RelHum", "VPD": "VPD",
                "Psurf": "Psurf", "SWdown": "SWdown", "LWdown": "LWdown", "Wind": "Wind", "Wind_N": "Wind_N",
                "Wind_E": "Wind_E", "Precip": "Precip", "Rainf": "Rainf Rain", "Snowf": "Snowf Snow", "LAI": "LAI",
            }}),
            cell_methods=True, local_time=True, check_sun=True,
        ),
    )
}  # fmt: skip

MONTH_LENGTH = np.array([31.0, 28.25, 31.0, 30.0, 31.0, 30.0, 31.0, 31.0, 30.0, 31.0, 30.0, 31.0])
DEFAULT_WIND = 2.0  # m s-1, where monthly files have no wind: the world mean of FAO Irrigation and Drainage Paper 56
MONTHLY = Layout(
    "monthly", "monthly fields", 1,
    _fields({"mean": {
        "Tair": "Tair tas tmp t2m temperature tmean", "Tmin": "Tmin tasmin tmn tmin", "Tmax": "Tmax tasmax tmx tmax",
        "Trange": "dtr range Trange", "Precip": "Precip pr pre precipitation tp", "WetDays": "wet_days wet wetdays",
        "SWdown": "SWdown rsds dswrf ssrd shortwave", "RH": "RH hurs humidity", "VPD": "VPD", "Qair": "Qair huss",
        "Vapour": "vap vapour_pressure", "Psurf": "Psurf ps",
        "Wind": "Wind sfcWind wind_speed si10 wnd",
    }}),
    monthly=True,
)  # fmt: skip


class _MonthlyFiles(FileForcing):
    """Files of months: a slot is a month (year * 12 + month - 1)."""

    def _check_axis(self, axis):
        if not axis.months:
            stamps = axis.bounds.mean(axis=1).astype(np.int64) if axis.bounds is not None else axis.stamps
            axis.stamps = np.array([self._month(int(second), axis.calendar) for second in stamps])
        axis.bounds, axis.position, axis.offset_hours = None, None, None
        wrong = np.diff(axis.stamps) != 1
        if wrong.any():
            at = int(np.argmax(wrong))
            raise ConcertoError(
                f"{axis.file}: time does not run month by month at {plural(int(wrong.sum()), 'place')}, first from "
                f"{self._when(axis.stamps[at])} to {self._when(axis.stamps[at + 1])}.",
                hint="Write one value for each month, in order; for shorter intervals choose another forcing.source.",
            )
        return 1

    @staticmethod
    def _month(second, calendar):
        from concerto.forcing.gridded import time_text

        text = time_text(second, calendar)
        return int(text[:4]) * 12 + int(text[5:7]) - 1

    def _when(self, month):
        return f"{int(month) // 12:04d}-{int(month) % 12 + 1:02d}"

    def _hours_to_utc(self, axis, source):
        return 0.0

    def _conversion(self, ingredient, unit, file, name):
        if ingredient == "Precip" and unit is not None:
            if is_amount(ingredient, unit) or normalise(unit) in ("mm month-1", "mm mon-1", "kg m-2 month-1"):
                # An amount of the month, mm.
                per_mm = conversion(ingredient, unit, file, name, 1, GRID)[0] if is_amount(ingredient, unit) else 1.0
                self._amounts.add(name)
                return per_mm, 0.0
        elif is_amount(ingredient, unit):
            raise ConcertoError(
                f"{file}: {name} has the unit '{unit}', from which a mean of the month does not follow.",
                hint="Write a mean in W m-2 or MJ m-2 d-1.",
            )
        return conversion(ingredient, unit, file, name, 86400, GRID)

    def __init__(self, config, domain, folder):
        self._amounts = set()
        super().__init__(MONTHLY, config, domain, folder)

    def _recipe(self):
        has, self.recipe = self.series, {}

        def need(what, *choices):
            for choice in choices:
                if all(name in has for name in choice):
                    return choice
            words = " or ".join(" and ".join(MONTHLY.fields[i].names[0] for i in choice) for choice in choices)
            raise ConcertoError(
                f"{self._written}: {what} is missing; monthly forcing needs {words} (the files have "
                f"{', '.join(self._everything)}).",
                hint="Name the files of all variables in forcing.files.",
            )

        used = {
            *need("temperature and its daily range", ("Tmin", "Tmax"), ("Tair", "Trange")),
            *need("precipitation", ("Precip",)),
            *need("shortwave radiation", ("SWdown",)),
            *need("humidity", ("RH",), ("VPD",), ("Vapour",), ("Qair",)),
        }
        used |= {name for name in ("Tair", "Wind", "WetDays") if name in has}
        if "Qair" in used and "Psurf" in has:
            used.add("Psurf")
        self.series = {name: series for name, series in has.items() if name in used}

    def _times(self):
        """Months that all variables have."""
        self.native_seconds = 1
        for series in self.series.values():
            series.slots = (series.low, series.high)
        self.first_month = max(series.low for series in self.series.values())
        self.last_month = min(series.high for series in self.series.values())
        if self.last_month - self.first_month < 11:
            spans = "; ".join(f"{s.variable} {self._when(s.low)} to {self._when(s.high)}" for s in self.series.values())
            raise ConcertoError(
                f"{self._written}: the variables have less than twelve months in common ({spans}).",
                hint="Add the files of the same years for all variables.",
            )

    def _finish(self, config):
        """Fields of MonthlyForcing, (cell, month)."""
        first, last = self.first_month, self.last_month
        if last - first >= 12:  # more than one year: whole calendar years
            first, last = -(-first // 12) * 12, (last + 1) // 12 * 12 - 1
            if last < first + 11:
                raise ConcertoError(
                    f"{self._written}: there is no complete year from {self._when(self.first_month)} to "
                    f"{self._when(self.last_month)}.",
                    hint="Add the months that are missing.",
                )
            if (first, last) != (self.first_month, self.last_month):
                self._note(f"months of incomplete years are left out: {self._when(first)} to {self._when(last)} remain")
        months = np.arange(first, last + 1)

        def get(name):
            return self._ingredient(name, months)

        fields = {}
        low, high = (get("Tmin"), get("Tmax")) if {"Tmin", "Tmax"} <= set(self.series) else (None, None)
        mean = get("Tair") if "Tair" in self.series else 0.5 * (low + high)
        if "Tair" not in self.series:
            self._note("mean temperature is half of the sum of minimum and maximum")
        fields["temperature"] = mean - derive.FREEZING_POINT
        fields["range"] = get("Trange") if low is None else high - low
        name = self.series["Precip"].variable
        rain = get("Precip")
        if name not in self._amounts:
            rain = rain * 86400.0 * _days_of(months)
        fields["precipitation"] = self._not_negative("precipitation", rain, 0.1)
        fields["shortwave"] = self._not_negative("shortwave", get("SWdown"), 1.0)
        if "RH" in self.series:
            fields["humidity"] = np.minimum(get("RH"), 100.0)
        elif "VPD" in self.series:
            fields["vapour_pressure_deficit"] = self._not_negative("vapour pressure deficit", get("VPD"), 1.0)
        else:
            if "Vapour" in self.series:
                vapour = get("Vapour")
            else:
                height = np.zeros(self.n_cell) if self.elevation is None else np.asarray(self.elevation, dtype=float)
                pressure = get("Psurf") if "Psurf" in self.series else derive.barometric_pressure(mean, height[:, None])
                vapour = derive.vapour_pressure(get("Qair"), pressure)
            fields["humidity"] = np.clip(100.0 * vapour / derive.saturation_pressure(mean), 1.0, 100.0)
            self._note("relative humidity from vapour pressure and mean temperature")
        if "WetDays" in self.series:
            fields["wet_days"] = np.clip(get("WetDays"), 0.0, 31.0)
        else:
            from concerto.domain.embedded import wet_days_of

            self._note("wet days are not in the files: estimated from precipitation and temperature")
            fields["wet_days"] = np.clip(wet_days_of(fields["precipitation"], fields["temperature"]), 0.0, 31.0)
        if "Wind" in self.series:
            fields["wind"] = get("Wind")
        else:
            self._note(f"wind is not in the files: {DEFAULT_WIND:g} m s-1 everywhere")
            fields["wind"] = np.full(mean.shape, DEFAULT_WIND)
        # A year of twelve months that does not start in January is turned so that it does.
        if months.size == 12:
            order = np.argsort(months % 12)
            fields = {key: value[:, order] for key, value in fields.items()}
            months = months[order]
        self.months, self.fields = months, fields

    def _not_negative(self, what, values, noise):
        small = (values < 0.0) & (values >= -noise)
        if small.any():
            self._note(f"{what}: values slightly below zero (packing) are set to zero")
            values = np.where(small, 0.0, values)
        return values


def _days_of(months):
    """Days of months (year * 12 + month - 1) in the model's calendar; year 0 stands for any year."""
    dates = (np.asarray(months) - 1970 * 12).astype("datetime64[M]")
    days = ((dates + 1).astype("datetime64[D]") - dates.astype("datetime64[D]")).astype(float)
    return np.where(np.asarray(months) < 12, MONTH_LENGTH[np.asarray(months) % 12], days)


def _cells(domain):
    latitude = np.asarray(domain.latitude, dtype=float)
    elevation = getattr(domain, "elevation", None)
    elevation = np.zeros(latitude.size) if elevation is None else np.asarray(elevation, dtype=float)
    cell_id = getattr(domain, "cell_id", None)
    cell_id = np.arange(latitude.size) if cell_id is None else np.asarray(cell_id)
    return latitude, np.asarray(domain.longitude, dtype=float), elevation, cell_id


def open_monthly(config, domain, folder="."):
    """Monthly fields as a :class:`concerto.forcing.monthly.MonthlyForcing`.

    Parameters
    ----------
    config : object or dict
        Section `forcing`: files, seed.
    domain : concerto.domain.grid.Domain
    folder : path

    Returns
    -------
    MonthlyForcing
        Twelve months are normals for any year; more are the months of their years (incomplete years are left out),
        with the means of all years as normals.

    Notes
    -----
    Needed: minimum and maximum temperature, or mean and range; precipitation; shortwave; relative humidity, vapour
    pressure deficit, vapour pressure or specific humidity. Without wind it is 2 m s-1 (FAO-56), without wet days they
    follow from precipitation and temperature; longwave is always derived.
    """
    from concerto.forcing.monthly import MonthlyForcing

    files = _MonthlyFiles(config, domain, folder)
    files.close()
    latitude, longitude, elevation, cell_id = _cells(domain)
    normals, months, first_year = files.fields, None, None
    if files.months.size > 12:
        first_year, months = int(files.months[0]) // 12, files.fields
        normals = {name: values.reshape(len(values), -1, 12).mean(axis=1) for name, values in months.items()}
    else:
        files._note("twelve months: repeated every year with different weather")
    seed = int(setting(config, "seed", 1))
    forcing = MonthlyForcing(
        normals, latitude, longitude, elevation, cell_id, seed, months=months, first_year=first_year
    )
    forcing.notes = list(forcing.notes) + files.notes
    return forcing


def open_embedded(config, domain, folder="."):
    """Normals of the package as a :class:`concerto.forcing.monthly.MonthlyForcing`, for any year."""
    from concerto.domain.embedded import embedded_normals
    from concerto.forcing.monthly import MonthlyForcing

    latitude, longitude, elevation, cell_id = _cells(domain)
    normals = embedded_normals(latitude, longitude, elevation)
    return MonthlyForcing(normals, latitude, longitude, elevation, cell_id, int(setting(config, "seed", 1)))
