"""The public entry `read_site`: one flux-tower file in, one complete and checked `Site` out."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from concerto.errors import ConcertoError
from concerto.forcing import checks, derive, gaps
from concerto.forcing.checks import plural, stamp_text
from concerto.forcing.co2 import co2_at
from concerto.forcing.record import OBSERVATION_NAMES, Record
from concerto.forcing.units import KNOWN, conversion, is_identity

GAP_LIMIT_DAYS = 14.0
DEFAULT_WIND = 2.0
MINIMUM_HUMIDITY = 0.02  # of saturation, where filled VPD exceeds it
TIERS = {
    "A": "precipitation measured within the day",
    "B": "precipitation measured by day or half-day and spread",
    "C": "precipitation realistic at best as a monthly total: drought and soil moisture are indicative only",
    "D": "no precipitation: leaf and canopy carbon only",
}
FLAG_WORDS = {
    0: "measured", 1: "filled well", 2: "filled fairly", 3: "filled poorly", 4: "derived", 5: "prescribed",
    -1: "of unknown origin",
}  # fmt: skip
FORESTS = ("ENF", "EBF", "DNF", "DBF", "MF")


@dataclass(repr=False)
class Site:
    """One place with its forcing and observations, in SI units, without gaps in the forcing.

    Attributes
    ----------
    name, igbp : str
        Site code and IGBP class (None when the file does not say).
    latitude, longitude : float
        Degrees north and east (-180 to 180).
    elevation, reference_height : float
        m above sea level; height of the instruments above ground, m.
    canopy_height : float or None
        m.
    utc_offset_hours : float
        Local standard time minus UTC, h.
    time_start, time_local : datetime64[s] array, shape (n,)
        Start of each interval in UTC, and in the file's own time.
    step_seconds : int
        Length of the interval, s.
    forcing : dict of float64 arrays, shape (n,)
        air_temperature K, specific_humidity kg kg-1, pressure Pa, shortwave_down and longwave_down W m-2,
        wind_speed m s-1, rainfall and snowfall kg m-2 s-1, co2 ppm, leaf_area_index m2 m-2 (None if absent).
        All finite.
    flags : dict of int8 arrays, shape (n,)
        Per forcing variable: 0 measured; 1 short gap (line) or good fill of the source; 2 mean course of the
        day or medium fill; 3 poor; 4 derived by a formula; 5 prescribed or default; -1 the file does not say.
    observations : dict of float64 arrays, shape (n,)
        NEE (positive to the atmosphere), GPP, GPP_DT, Reco umol m-2 s-1; Qle, Qh, Qg, Rnet W m-2; Ustar m
        s-1;
        SoilTemp K; SoilMoist m3 m-3, as far as present; NaN where missing. int8 flags as ``<name>_qc``, -1
        where
        missing or unknown.
    has_precipitation : bool
        False: rain and snow are zero because none was recorded (run with soil water held unstressed).
    tier : str or None
        Forcing tier A to D of the example data.
    starts_with_year : bool
        The record begins on 1 January, 0 h, of its own time.
    soil_texture : str
        Texture class; 'medium' without soil data.
    layout, path : str
        Kind of file that was read, and where it was.
    report : list of str
        What was derived, filled, limited or taken by default, with counts. Lines to heed start with
        'warning: '.
    """

    name: str
    igbp: str | None
    latitude: float
    longitude: float
    elevation: float
    reference_height: float
    canopy_height: float | None
    utc_offset_hours: float
    time_start: np.ndarray
    time_local: np.ndarray
    step_seconds: int
    forcing: dict
    flags: dict
    observations: dict
    has_precipitation: bool
    tier: str | None = None
    starts_with_year: bool = True
    soil_texture: str = "medium"
    layout: str = ""
    path: str = ""
    report: list = field(default_factory=list)

    def __repr__(self):
        return self.summary().splitlines()[0]

    @property
    def n_steps(self) -> int:
        """Number of intervals."""
        return self.time_start.size

    @property
    def warnings(self) -> list[str]:
        """Lines of the report that call for a look."""
        return [line for line in self.report if line.startswith("warning: ")]

    def summary(self) -> str:
        """The site in one line, then the report, one line each."""
        head = (
            f"{self.name} ({self.igbp or 'no land cover'}), {self.latitude:.3f} N {self.longitude:.3f} E, "
            f"{stamp_text(self.time_local[0])} to "
            f"{stamp_text(self.time_local[-1] + np.timedelta64(self.step_seconds, 's'))}, "
            f"{self.n_steps} steps of {self.step_seconds} s"
        )
        return "\n".join([head] + ["  " + line for line in self.report])


def read_site(
    path,
    *,
    latitude=None,
    longitude=None,
    elevation=None,
    utc_offset_hours=None,
    igbp=None,
    name=None,
    reference_height=None,
    canopy_height=None,
    time_stamp=None,
    start=None,
    end=None,
    gap_limit_days=GAP_LIMIT_DAYS,
    check_solar=True,
) -> Site:
    """Read a flux-tower file, check it, fill and derive what is missing, and say what was done.

    Layouts: NetCDF with ALMA names (the example sites, PLUMBER2, FluxnetLSM) and half-hourly or hourly CSV of
    FLUXNET2015, FLUXMET, ICOS and AmeriFlux BASE. The content decides, not the file name.

    Parameters
    ----------
    path : str or Path
        The file.
    latitude, longitude : float, optional
        Degrees north and east. These and the next ones win over what the file says; CSV files need the first
        two.
    elevation : float, optional
        m above sea level; needed when the file has no pressure.
    utc_offset_hours : float, optional
        Local standard time minus UTC, h. Default: the file's, else longitude/15 rounded to hours.
    igbp : str, optional
        IGBP class code, such as 'ENF'.
    name : str, optional
        Site code.
    reference_height, canopy_height : float, optional
        m above ground.
    time_stamp : {'start', 'end', 'middle'}, optional
        What the stamps mark. Default: bounds or attribute of the file, else the start.
    start, end : str or datetime64, optional
        Read only intervals that begin from `start` on and before `end`, in the file's time, such as
        '2005-01-01'.
    gap_limit_days : float
        Longest gap of a mandatory variable (Tair, SWdown, humidity) that is filled, days.
    check_solar : bool
        Compare SWdown with the sun.

    Returns
    -------
    Site
        Every forcing value finite and inside its plausible range.

    Raises
    ------
    ConcertoError
        One sentence with file, variable, first time and count, and a hint.

    Examples
    --------
    >>> site = read_site("FI-Hyy_2005-2007.nc")                      # doctest: +SKIP
    >>> site.forcing["air_temperature"].mean(), site.report          # doctest: +SKIP
    """
    path, kind = checks.check_path(path)
    if kind == "netcdf":
        from concerto.forcing.alma import read_alma

        record = read_alma(path)
    else:
        from concerto.forcing.fluxnet_csv import read_fluxnet_csv

        record = read_fluxnet_csv(path)
    given = {
        "latitude": latitude, "longitude": longitude, "elevation": elevation, "igbp": igbp, "name": name,
        "utc_offset_hours": utc_offset_hours, "reference_height": reference_height, "canopy_height":
        canopy_height,
    }  # fmt: skip
    place = _place(record, {key: value for key, value in given.items() if value is not None})
    _need_mandatory(record)
    if start is not None or end is not None:
        _cut(record, start, end)
    axis, step, rows, slots = checks.regular_axis(record, gap_limit_days)
    axis = _interval_starts(record, axis, step, time_stamp)
    offset_source = place.pop("offset_source")
    try:
        time_utc = axis - np.timedelta64(int(round(place["utc_offset_hours"] * 3600)), "s")
    except (OverflowError, ValueError) as error:
        raise ConcertoError(f"{record.file}: the time axis is no date.", hint="Check the unit of 'time'.") from error
    series = _Series(record, axis, step, rows, slots, gap_limit_days)
    forcing, flags, has_precipitation, place["elevation"] = _complete(series, place, time_utc, record)
    if check_solar:
        checks.check_sun(
            forcing["shortwave_down"], time_utc, step, place["latitude"], place["longitude"],
            place["utc_offset_hours"], offset_source, record.file, record.report,
        )  # fmt: skip
        checks.check_sunlight(
            forcing["shortwave_down"],
            time_utc,
            step,
            place["latitude"],
            place["longitude"],
            axis,
            record.report,
        )
    observations = _observations(series, record)
    starts = axis[0] == axis[0].astype("datetime64[Y]").astype("datetime64[s]")
    if not starts:
        record.report.append(f"the record begins on {stamp_text(axis[0])}, not with a calendar year")
    days = axis.size * step / 86400.0
    if days < 365.0:
        record.report.append(f"warning: the record has {days:.4g} days, less than a year: spin-up is indicative only")
    record.report += _flag_summary(flags)
    if place["tier"]:
        record.report.append(f"forcing tier {place['tier']}: {TIERS.get(place['tier'][:1].upper(), 'unknown')}")
    for key, values in forcing.items():
        if values is not None and not np.isfinite(values).all():
            bad = ~np.isfinite(values)
            raise ConcertoError(
                f"{record.file}: {key} could not be completed at {plural(int(bad.sum()))}, first at "
                f"{stamp_text(axis[int(np.argmax(bad))])}.",
                hint="Fill this variable in the file.",
            )
    return Site(
        time_start=time_utc, time_local=axis, step_seconds=step, forcing=forcing, flags=flags,
        observations=observations, has_precipitation=has_precipitation, starts_with_year=bool(starts),
        layout=record.layout, path=str(Path(path)), report=record.report, **place,
    )  # fmt: skip


def _cut(record: Record, start, end):
    """Keep the rows from `start` (included) to `end` (excluded)."""
    keep = np.ones(record.stamps.size, dtype=bool)
    for name, value in (("start", start), ("end", end)):
        if value is None:
            continue
        try:
            limit = np.datetime64(value, "s")
        except (ValueError, TypeError) as error:
            raise ConcertoError(
                f"{name} is '{value}', which is not a date.", hint="Write a date such as 2005-01-01."
            ) from error
        keep &= record.stamps >= limit if name == "start" else record.stamps < limit
    if not keep.any():
        raise ConcertoError(
            f"{record.file} has no row between {start or 'its start'} and {end or 'its end'}; it covers "
            f"{stamp_text(record.stamps.min())} to {stamp_text(record.stamps.max())}.",
            hint="Choose start and end within the record.",
        )
    total = keep.size
    record.stamps = record.stamps[keep]
    for variable in record.variables.values():
        variable.values = variable.values[keep]
        if variable.flag is not None:
            variable.flag = variable.flag[keep]
    record.report.append(f"{plural(record.stamps.size)} of {total} read (start, end)")


def _place(record: Record, given: dict) -> dict:
    """Site metadata: what the caller gave, else what the file says, checked."""
    file, report = record.file, record.report
    data = record.metadata | given
    latitude = checks.check_place(data.get("latitude"), "latitude", -90.0, 90.0, file)
    longitude = checks.check_place(data.get("longitude"), "longitude", -180.0, 360.0, file)
    longitude = longitude - 360.0 if longitude > 180.0 else longitude
    elevation = checks.check_place(data.get("elevation"), "elevation", -450.0, 6500.0, file, needed=False)
    canopy = data.get("canopy_height")
    if canopy is not None and not np.isfinite(float(canopy)):
        canopy = None
        report.append("canopy height is missing in the file")
    canopy = checks.check_place(canopy, "canopy_height", 0.0, 120.0, file, needed=False)
    height = data.get("reference_height")
    if height is not None and not np.isfinite(float(height)):
        height = None
    height = checks.check_place(height, "reference_height", 0.1, 500.0, file, needed=False)
    offset = data.get("utc_offset_hours")
    source = "given" if "utc_offset_hours" in given else "file"
    if offset is not None and not np.isfinite(float(offset)):
        offset = None
    if offset is None:
        offset, source = float(np.rint(longitude / 15.0)), "derived from longitude"
        report.append(f"offset from UTC not stated: {offset:+g} h taken from the longitude")
    offset = checks.check_place(offset, "utc_offset_hours", -12.0, 14.0, file)
    igbp = checks.check_igbp(data.get("igbp"), file)
    if igbp is None:
        report.append("warning: no land-cover class stated: give igbp or the plant functional types")
    if height is None:
        height = canopy + max(5.0, 0.5 * canopy) if canopy is not None else 30.0 if igbp in FORESTS else 10.0
        report.append(f"reference height not stated: {height:g} m assumed")
    elif canopy is not None and height < 1.1 * canopy:
        report.append(f"warning: reference height {height:g} m lies within the canopy of {canopy:g} m")
    tier = data.get("tier")
    return {
        "name": str(data.get("name") or Path(file).stem),
        "igbp": igbp,
        "latitude": latitude,
        "longitude": longitude,
        "elevation": elevation,
        "canopy_height": canopy,
        "reference_height": height,
        "utc_offset_hours": offset,
        "offset_source": source,
        "tier": str(tier).strip() or None if tier is not None else None,
    }


def _flag_summary(flags: dict) -> list[str]:
    """Where the values of each variable come from, after filling; variables of equal origin share a line."""
    groups: dict[str, list[str]] = {}
    for key, flag in flags.items():
        counts = {value: int((flag == value).sum()) for value in FLAG_WORDS}
        parts = [f"{100 * count / flag.size:.4g} % {FLAG_WORDS[value]}" for value, count in counts.items() if count]
        origin = parts[0].replace("100 % ", "all ") if len(parts) == 1 else ", ".join(parts)
        groups.setdefault(origin, []).append(key)
    return [f"{', '.join(keys)}: {origin}" for origin, keys in groups.items()]


def _need_mandatory(record: Record):
    from concerto.forcing.alma import ALIASES, near_names

    for name in checks.MANDATORY:
        if name not in record.variables:
            unit = KNOWN[name][0]
            raise ConcertoError(
                f"{record.file} has no variable {name} ({_meaning(name)}, {unit})."
                f"{near_names(ALIASES[name], record.other_names)}",
                hint=f"Tair, SWdown and one of Qair, VPD or RH are mandatory: add {name} under that name.",
            )
    if not any(name in record.variables for name in ("Qair", "VPD", "RH")):
        raise ConcertoError(
            f"{record.file} has no humidity: none of Qair (kg kg-1), VPD (hPa) or RH (%)."
            f"{near_names(('Qair', 'VPD', 'RH'), record.other_names)}",
            hint="Add one of the three.",
        )


def _meaning(name):
    return {"Tair": "air temperature", "SWdown": "downward shortwave radiation"}[name]


def _interval_starts(record, axis, step, time_stamp):
    """Shift stamps that mark the end or middle of the interval to its start."""
    position = record.stamp_position
    if time_stamp is not None:
        if time_stamp not in ("start", "end", "middle"):
            raise ConcertoError(
                f"time_stamp is '{time_stamp}'; it must be 'start', 'end' or 'middle'.",
                hint="It says which part of the interval the stamps of the file mark.",
            )
        position = time_stamp
    if position is None:
        since_midnight = int((axis[0] - axis[0].astype("datetime64[D]")).astype(int))
        if since_midnight == step:
            record.report.append(
                f"warning: the first stamp is {stamp_text(axis[0])} and the file does not say what "
                f"stamps mark; "
                "the start is assumed (time_stamp='end' if they mark the end)"
            )
        position = "start"
    if position == "end":
        record.report.append("time stamps mark the end of the interval; shifted to its start")
        return axis - np.timedelta64(step, "s")
    if position == "middle":
        record.report.append("time stamps mark the middle of the interval; shifted to its start")
        return axis - np.timedelta64(step // 2, "s")
    return axis


class _Series:
    """Series of a record on the regular axis, in SI units and checked, one by one."""

    def __init__(self, record, axis, step, rows, slots, gap_limit_days):
        self.record, self.axis, self.step = record, axis, step
        self.rows, self.slots, self.limit = rows, slots, gap_limit_days
        self.in_order = slots.size == axis.size == record.stamps.size and bool((rows[:-1] < rows[1:]).all())

    def __contains__(self, name):
        return name in self.record.variables

    def spread(self, values, empty):
        if self.in_order:
            return values.copy()
        out = np.full(self.axis.size, empty, dtype=values.dtype)
        out[self.slots] = values[self.rows]
        return out

    def found(self, name):
        return self.record.variables[name].name

    def take(self, name):
        """Values in SI units (NaN where missing) and flags, after the checks of unit and range."""
        variable, record = self.record.variables[name], self.record
        scale, offset = conversion(name, variable.unit, record.file, variable.name, self.step)
        values = self.spread(variable.values, np.nan)
        if scale != 1.0 or offset != 0.0:
            values = values * scale + offset
            if not is_identity(name, variable.unit):
                record.report.append(f"{variable.name}: converted from {variable.unit.strip()} to {KNOWN[name][0]}")
        checks.check_unit_by_value(name, values, variable.unit, record.file, variable.name, self.axis)
        if name in checks.BOUNDS:
            checks.check_range(name, values, record.file, variable.name, self.axis, record.report)
        flag = (
            self.spread(variable.flag, np.int8(gaps.FLAG_UNKNOWN))
            if variable.flag is not None
            else np.full(values.size, gaps.FLAG_UNKNOWN, dtype=np.int8)
        )
        return values, flag

    def fill(self, name, values, flag):
        """Fill gaps by line and mean course of the day, and report."""
        n_linear, n_diurnal, n_wide = gaps.fill_gaps(values, flag, self.step)
        parts = [
            f"{count} by {way}"
            for count, way in (
                (n_linear, "straight line"),
                (n_diurnal, "mean course of the day"),
                (n_wide, "mean course of the day of more than 7 days around"),
            )
            if count
        ]
        if parts:
            self.record.report.append(f"{name}: {plural(n_linear + n_diurnal + n_wide)} filled, {', '.join(parts)}")

    def mandatory(self, name):
        values, flag = self.take(name)
        file, found = self.record.file, self.found(name)
        checks.check_varies(name, values, file, found, self.axis)
        checks.check_gap_length(name, ~np.isfinite(values), file, found, self.axis, self.step, self.limit)
        self.fill(name, values, flag)
        return values, flag


def _complete(series: _Series, place: dict, time_utc, record: Record):
    """All forcing variables without gaps, their flags, whether it rains at all, and the elevation."""
    n, report = series.axis.size, record.report
    unknown = np.full(n, gaps.FLAG_UNKNOWN, dtype=np.int8)
    forcing, flags = {}, {}
    air_temperature, flags["air_temperature"] = series.mandatory("Tair")
    forcing["air_temperature"] = air_temperature
    pressure, flags["pressure"], elevation = _pressure(series, place, air_temperature, record)
    forcing["pressure"] = pressure
    humidity, flags["specific_humidity"] = _humidity(series, air_temperature, pressure, record)
    forcing["specific_humidity"] = humidity

    shortwave, flag = series.mandatory("SWdown")
    filled = (flag == gaps.FLAG_DIURNAL) | (flag == gaps.FLAG_POOR)
    if filled.any():
        middle = time_utc + np.timedelta64(series.step // 2, "s")
        top = derive.top_of_atmosphere(middle, place["latitude"], place["longitude"])
        # Only steps that were filled here: a value of the file is left as it is.
        here = filled & ~np.isfinite(series.spread(record.variables["SWdown"].values, np.nan))
        shortwave[here] = np.minimum(shortwave[here], top[here])
    forcing["shortwave_down"], flags["shortwave_down"] = shortwave, flag

    vapour = derive.vapour_pressure(humidity, pressure)
    formula = derive.longwave_down(air_temperature, vapour)
    longwave, flag = series.take("LWdown") if "LWdown" in series else (np.full(n, np.nan), unknown.copy())
    missing = ~np.isfinite(longwave)
    if missing.any():
        longwave[missing], flag[missing] = formula[missing], gaps.FLAG_DERIVED
        report.append(f"LWdown: {_share(missing)} from temperature and humidity (Abramowitz et al. 2012)")
    forcing["longwave_down"], flags["longwave_down"] = longwave, flag

    wind, flag = _wind(series, n)
    missing = ~np.isfinite(wind)
    if missing.any() and not missing.all():
        series.fill("Wind", wind, flag)
        missing = ~np.isfinite(wind)
    if missing.any():
        wind[missing], flag[missing] = DEFAULT_WIND, gaps.FLAG_PRESCRIBED
        report.append(f"Wind: {_share(missing)} set to {DEFAULT_WIND:g} m s-1")
    forcing["wind_speed"], flags["wind_speed"] = wind, flag

    rain, snow, flag_rain, flag_snow, has_precipitation = _precipitation(series, forcing, record)
    forcing["rainfall"], forcing["snowfall"] = rain, snow
    flags["rainfall"], flags["snowfall"] = flag_rain, flag_snow

    co2, flag = series.take("CO2air") if "CO2air" in series else (np.full(n, np.nan), unknown.copy())
    missing = ~np.isfinite(co2)
    if missing.any():
        if not missing.all():
            first, length = gaps.runs(missing)
            if (length * series.step <= series.limit * 86400).all():
                series.fill("CO2air", co2, flag)
                missing = ~np.isfinite(co2)
        if missing.any():
            co2[missing] = co2_at(time_utc[missing], record.file)
            flag[missing] = gaps.FLAG_PRESCRIBED
            report.append(f"CO2air: {_share(missing)} from the global annual mean (CMIP6, SSP2-4.5 after 2014)")
    forcing["co2"], flags["co2"] = co2, flag

    forcing["leaf_area_index"] = None
    if "LAI" in series:
        leaf_area, flag = series.take("LAI")
        if np.isfinite(leaf_area).any():
            count = gaps.fill_linear(leaf_area, flag)
            if count:
                report.append(f"LAI: {plural(count)} filled by straight line")
            forcing["leaf_area_index"], flags["leaf_area_index"] = leaf_area, flag
    if forcing["leaf_area_index"] is None:
        report.append("LAI: not in the file")
    return forcing, flags, has_precipitation, elevation


def _share(mask) -> str:
    if mask.all():
        return f"all {plural(mask.size)}"
    return f"{plural(int(mask.sum()))} of {mask.size}"


def _pressure(series, place, air_temperature, record):
    n, elevation = series.axis.size, place["elevation"]
    if "Psurf" in series:
        pressure, flag = series.take("Psurf")
    else:
        pressure, flag = np.full(n, np.nan), np.full(n, gaps.FLAG_UNKNOWN, dtype=np.int8)
    known = np.isfinite(pressure)
    if known.all():
        pass
    elif known.any() and gaps.longest(~known)[1] * series.step <= series.limit * 86400:
        series.fill("Psurf", pressure, flag)
    elif known.any():
        # The barometric formula at the height that fits the measured mean.
        ratio = 1.0
        height = elevation if elevation is not None else 0.0
        formula = derive.barometric_pressure(air_temperature, height)
        ratio = pressure[known].mean() / formula[known].mean()
        pressure[~known], flag[~known] = ratio * formula[~known], gaps.FLAG_DERIVED
        record.report.append(f"Psurf: {_share(~known)} from the barometric formula, scaled to the measured mean")
    elif elevation is not None:
        pressure[:], flag[:] = derive.barometric_pressure(air_temperature, elevation), gaps.FLAG_DERIVED
        record.report.append(f"Psurf: all {plural(n)} from elevation {elevation:g} m and temperature")
    else:
        raise ConcertoError(
            f"{record.file} has neither air pressure (Psurf) nor the elevation of the site.",
            hint="Give one: read_site(path, elevation=...), on the command line --elevation METRES.",
        )
    if elevation is None:
        mean_temperature, mean_pressure = float(air_temperature.mean()), float(pressure.mean())
        elevation = mean_temperature / 0.0065 * ((101325.0 / mean_pressure) ** (287.04 * 0.0065 / 9.80665) - 1.0)
        record.report.append(f"elevation not stated: {elevation:.0f} m from the mean pressure")
    else:
        expected = float(derive.barometric_pressure(air_temperature.mean(), elevation))
        if abs(pressure.mean() / expected - 1.0) > 0.06:
            record.report.append(
                f"warning: mean Psurf {pressure.mean():.0f} Pa does not fit the elevation {elevation:g} m "
                f"({expected:.0f} Pa)"
            )
    return pressure, flag, float(elevation)


def _humidity(series, air_temperature, pressure, record):
    """Specific humidity from Qair, else VPD, else RH; a step missing in one is taken from the next."""
    n = series.axis.size
    humidity, flag = np.full(n, np.nan), np.full(n, gaps.FLAG_UNKNOWN, dtype=np.int8)
    saturated = derive.saturation_pressure_bolton(air_temperature)
    source = None
    for name in ("Qair", "VPD", "RH"):
        if name not in series or np.isfinite(humidity).all():
            continue
        values, source_flag = series.take(name)
        if not np.isfinite(values).any():
            continue
        checks.check_varies(name, values, record.file, series.found(name), series.axis)
        take = ~np.isfinite(humidity) & np.isfinite(values)
        if not take.any():
            continue
        if name == "Qair":
            humidity[take], flag[take] = values[take], source_flag[take]
            source = source or series.found(name)
            continue
        if name == "VPD":
            over = take & (values > saturated)
            if over.sum() > max(0.02 * n, 3):
                first = int(np.argmax(over))
                raise ConcertoError(
                    f"{record.file}: {series.found(name)} is larger than saturation at "
                    f"{plural(int(over.sum()))}, first "
                    f"at {stamp_text(series.axis[first])} ({values[first]:.4g} Pa, saturation "
                    f"{saturated[first]:.4g} Pa).",
                    hint="Check the unit of VPD and of air temperature.",
                )
            if over.any():
                record.report.append(f"{series.found(name)}: {plural(int(over.sum()))} larger than saturation, limited")
            vapour = np.maximum(saturated - values, MINIMUM_HUMIDITY * saturated)
        else:
            vapour = np.maximum(values / 100.0, MINIMUM_HUMIDITY) * saturated
        humidity[take] = derive.specific_humidity(vapour[take], pressure[take])
        # A formula of a filled value is a filled value.
        flag[take] = np.where(source_flag[take] <= gaps.FLAG_MEASURED, gaps.FLAG_DERIVED, source_flag[take])
        source = source or series.found(name)
        record.report.append(f"Qair: {_share(take)} from {series.found(name)}, temperature and pressure (Bolton 1980)")
    if source is None:
        raise ConcertoError(
            f"{record.file}: humidity (Qair, VPD or RH) is missing at all {plural(n)} from "
            f"{stamp_text(series.axis[0])} on.",
            hint="Supply one of the three with values.",
        )
    checks.check_gap_length(
        "humidity", ~np.isfinite(humidity), record.file, source, series.axis, series.step, series.limit
    )
    series.fill("Qair", humidity, flag)
    humidity = np.maximum(humidity, 1e-6)
    humidity = checks.limit_to_saturation(
        humidity, air_temperature, pressure, record.file, source, series.axis, record.report
    )
    checks.check_dry_heat(humidity, air_temperature, pressure, source, record.report)
    return humidity, flag


def _wind(series, n):
    if "Wind" in series:
        return series.take("Wind")
    if "Wind_N" in series and "Wind_E" in series:
        north, flag = series.take("Wind_N")
        east, _ = series.take("Wind_E")
        wind = np.hypot(north, east)
        checks.check_range("Wind", wind, series.record.file, "Wind_N, Wind_E", series.axis, series.record.report)
        series.record.report.append("Wind: from its north and east components")
        return wind, flag
    return np.full(n, np.nan), np.full(n, gaps.FLAG_UNKNOWN, dtype=np.int8)


def _precipitation(series, forcing, record):
    """Rain and snow, kg m-2 s-1, with flags; zero and False when none was recorded."""
    n, report, step = series.axis.size, record.report, series.step
    names = [name for name in ("Precip", "Rainf", "Snowf") if name in series]
    names = [name for name in names if np.isfinite(record.variables[name].values).any()]
    if "Precip" not in names and "Rainf" not in names:
        zero = np.zeros(n)
        flag = np.full(n, gaps.FLAG_PRESCRIBED, dtype=np.int8)
        report.append("warning: no precipitation in the file: soil water is held unstressed")
        return zero, zero.copy(), flag, flag.copy(), False
    if "Rainf" in names and "Snowf" in names:
        parts = []
        for name in ("Rainf", "Snowf"):
            values, flag = series.take(name)
            checks.check_precipitation_total(values, step, record.file, series.found(name), series.axis, report)
            _dry_gaps(series, name, values, flag)
            parts += [values, flag]
        rain, flag_rain, snow, flag_snow = parts
        cold = (forcing["air_temperature"] < 268.15) & (rain > 0)
        amount = float(rain[cold].sum()) * step
        if amount > 1.0:
            report.append(
                f"warning: {amount:.0f} mm of rain fall below -5 degC in the file ({plural(int(cold.sum()))})"
            )
        return rain, snow, flag_rain, flag_snow, True
    name = "Precip" if "Precip" in names else "Rainf"
    total, flag = series.take(name)
    checks.check_precipitation_total(total, step, record.file, series.found(name), series.axis, report)
    _dry_gaps(series, name, total, flag)
    wet = np.flatnonzero(total > 0.0)
    share = np.zeros(n)
    share[wet] = derive.snow_fraction(
        forcing["air_temperature"][wet], forcing["specific_humidity"][wet], forcing["pressure"][wet]
    )
    snow = total * share
    amount = float(total.sum())
    report.append(
        f"rain and snow: {series.found(name)} split by the wet bulb (Wang et al. 2019), "
        f"{100 * float(snow.sum()) / amount if amount > 0 else 0:.1f} % is snow"
    )
    return total - snow, snow, flag, flag.copy(), True


def _dry_gaps(series, name, values, flag):
    missing = ~np.isfinite(values)
    if not missing.any():
        return
    values[missing], flag[missing] = 0.0, gaps.FLAG_POOR
    first, length = gaps.longest(missing)
    days = length * series.step / 86400.0
    prefix = "warning: " if days > series.limit else ""
    series.record.report.append(
        f"{prefix}{series.found(name)}: {plural(int(missing.sum()))} without value set to zero, longest "
        f"{days:.2g} days "
        f"from {stamp_text(series.axis[first])}"
    )


def _observations(series, record) -> dict:
    """Observed fluxes and states with flags; a series that cannot be trusted is left out and reported."""
    observations = {}
    for name in OBSERVATION_NAMES:
        if name not in series:
            continue
        found = series.found(name)
        try:
            values, flag = series.take(name)
        except ConcertoError as error:
            record.report.append(f"warning: {found} was ignored ({error.message.removeprefix(record.file + ': ')})")
            continue
        low, high = checks.OBSERVATION_BOUNDS[name]
        with np.errstate(invalid="ignore"):
            bad = (values < low) | (values > high)
        if bad.any():
            record.report.append(
                f"{found}: {plural(int(bad.sum()), 'impossible value')} left out, first "
                f"{stamp_text(series.axis[int(np.argmax(bad))])}"
            )
            values[bad] = np.nan
        missing = ~np.isfinite(values)
        values[missing] = np.nan
        flag[missing] = gaps.FLAG_UNKNOWN
        if missing.all():
            continue
        observations[name], observations[name + "_qc"] = values, flag
    return observations


# --- what a run makes of a site ---------------------------------------------------------------------------------------


def home_temperature(time_local, air_temperature) -> float:
    """Mean daily maximum temperature of the warmest month, K (Kumarathunge et al. 2019), from the record itself."""
    day = np.asarray(time_local).astype("datetime64[D]")
    days, index = np.unique(day, return_inverse=True)
    warmest = np.full(len(days), -np.inf)
    np.maximum.at(warmest, index, air_temperature)
    month = days.astype("datetime64[M]").astype(int) % 12
    enough = 10 if len(days) >= 40 else 1
    return float(max(warmest[month == m].mean() for m in range(12) if (month == m).sum() >= enough))


def unknown_irrigation(site, say: bool = True) -> bool:
    """Whether the site is cropland whose rain nobody measured; its plants then take their water from outside.

    With ``say`` its report tells it.
    """
    flags = site.flags.get("rainfall")
    if site.igbp != "CRO" or not site.has_precipitation or flags is None or np.mean(flags == 5) <= 0.9:
        return False
    line = (
        "cropland without measured rain, irrigation unknown: plants are given the water they need "
        "(--set outside_water=0 to change)"
    )
    if say and line not in site.report:
        site.report.append(line)
    return True


def deciduous_broadleaf(types) -> bool:
    """Whether all types (numbers) are deciduous broadleaf trees with a winter."""
    from concerto.tables import loader

    known = {loader.pft_names().index(f"broad_deciduous_{zone}") for zone in ("temperate", "boreal")}
    return all(number in known for number in types)


def without_undergrowth(leaf_area, site):
    """Leaf area of a deciduous canopy from satellite leaf area, whose winter value is undergrowth and bark.

    The lowest value of the record becomes zero and the highest stays, linear between.
    """
    low, high = float(leaf_area.min()), float(leaf_area.max())
    if not 0.0 < low < 0.5 * high:
        return leaf_area
    line = f"leaf area of the deciduous canopy: its lowest value, {low:.2f}, is taken as undergrowth and removed"
    if line not in site.report:
        site.report.append(line)
    return (leaf_area - low) * high / (high - low)
