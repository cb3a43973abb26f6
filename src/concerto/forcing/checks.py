"""Checks of a forcing record: the file itself, the time axis, values, humidity and the sun.

Every fault is one sentence that names file, variable, first time and count, and
a hint. What can be repaired without guessing is repaired, counted and reported.
"""

from __future__ import annotations

import difflib
from pathlib import Path

import numpy as np

from concerto.errors import ConcertoError
from concerto.forcing import derive
from concerto.forcing.units import KNOWN, conversion

# Plausible range of half-hourly to 6-hourly means near the ground, SI units.
BOUNDS = {
    "Tair": (183.15, 333.15),
    "Qair": (0.0, 0.06),
    "VPD": (0.0, 12000.0),
    "RH": (0.0, 100.0),
    "Psurf": (40000.0, 110000.0),
    "SWdown": (0.0, 1600.0),
    "LWdown": (40.0, 750.0),
    "Wind": (0.0, 75.0),
    "Precip": (0.0, 0.1),
    "Rainf": (0.0, 0.1),
    "Snowf": (0.0, 0.1),
    "CO2air": (150.0, 3000.0),
    "LAI": (0.0, 15.0),
}
# A little below zero is instrument noise or packing, and becomes zero with a count.
NOISE = {
    "SWdown": 30.0, "VPD": 50.0, "RH": 1.0, "Wind": 0.01, "LAI": 0.01, "Qair": 1e-5,
    "Precip": 3e-6, "Rainf": 3e-6, "Snowf": 3e-6,
}  # fmt: skip
OBSERVATION_BOUNDS = {
    "NEE": (-200.0, 200.0), "GPP": (-200.0, 200.0), "GPP_DT": (-200.0, 200.0), "Reco": (-200.0, 200.0),
    "Qle": (-700.0, 1500.0), "Qh": (-1000.0, 1500.0), "Qg": (-700.0, 1000.0), "Rnet": (-500.0, 1500.0),
    "Ustar": (0.0, 10.0), "SoilTemp": (203.15, 353.15), "SoilMoist": (0.0, 1.0),
}  # fmt: skip
MANDATORY = ("Tair", "SWdown")
IGBP_NAMES = {
    "ENF": "evergreen needleleaf forest", "EBF": "evergreen broadleaf forest",
    "DNF": "deciduous needleleaf forest", "DBF": "deciduous broadleaf forest", "MF": "mixed forest",
    "CSH": "closed shrubland", "OSH": "open shrubland", "WSA": "woody savanna", "SAV": "savanna",
    "GRA": "grassland", "WET": "permanent wetland", "CRO": "cropland", "URB": "urban and built-up",
    "CVM": "cropland/natural vegetation mosaic", "SNO": "snow and ice", "BSV": "barren or sparsely vegetated",
    "WAT": "water",
}  # fmt: skip


def stamp_text(stamp) -> str:
    """A time as people write it, to the minute."""
    return str(np.datetime64(stamp, "m")).replace("T", " ")


def plural(count, word="step") -> str:
    return f"{count} {word}" + ("" if count == 1 else "s")


def check_path(path) -> tuple[Path, str]:
    """The path of a readable file, and 'netcdf' or 'csv' by its first bytes.

    Raises
    ------
    ConcertoError
        No such file, a directory, an empty file, or content that is neither.
    """
    path = Path(path).expanduser()
    if path.is_dir():
        inside = sorted(p.name for p in path.glob("*.nc")) + sorted(p.name for p in path.glob("*.csv"))
        raise ConcertoError(
            f"{path} is a directory, not a file.",
            hint=f"Name one file in it, such as {path / inside[0]}." if inside else "Name one NetCDF or CSV file.",
        )
    if not path.exists():
        folder = path.parent
        names = [p.name for p in folder.iterdir() if p.is_file()] if folder.is_dir() else []
        close = difflib.get_close_matches(path.name, names, n=1, cutoff=0.6)
        hint = f"Did you mean {folder / close[0]}?" if close else "Check the spelling and the folder."
        if not folder.is_dir():
            hint = f"The folder {folder} does not exist either."
        raise ConcertoError(f"There is no file {path}.", hint=hint)
    try:
        with open(path, "rb") as stream:
            head = stream.read(4096)
    except OSError as error:
        raise ConcertoError(
            f"{path.name} cannot be read ({error.strerror}).", hint="Check the permissions of the file."
        ) from error
    if not head:
        raise ConcertoError(f"{path.name} is empty (0 bytes).", hint="Copy or download the file again.")
    if head.startswith(b"\x89HDF\r\n\x1a\n") or head[:4] in (b"CDF\x01", b"CDF\x02", b"CDF\x05"):
        return path, "netcdf"
    archives = {b"PK\x03\x04": "a zip archive", b"\x1f\x8b": "gzip-compressed", b"BZh": "bzip2-compressed"}
    for magic, what in archives.items():
        if head.startswith(magic):
            raise ConcertoError(
                f"{path.name} is {what}, not a NetCDF or CSV file.",
                hint="Unpack it and name the file inside.",
            )
    if b"<html" in head[:1000].lower() or b"<!doctype" in head[:200].lower():
        raise ConcertoError(
            f"{path.name} is a web page, not data.",
            hint="The download probably needed a login: open the file in a browser, and download it again.",
        )
    is_text = b"\x00" not in head
    if is_text and b"TIMESTAMP" in head:
        return path, "csv"
    if path.suffix.lower() in (".csv", ".txt") and is_text:
        first = head.decode("latin-1").splitlines()[0][:60] if head.strip() else ""
        raise ConcertoError(
            f"{path.name} is text but has no column TIMESTAMP_START (it begins '{first}').",
            hint="Only FLUXNET2015, FLUXMET, ICOS and AmeriFlux BASE files can be read as CSV; "
            "write other data as NetCDF.",
        )
    if path.suffix.lower() in (".nc", ".nc4", ".cdf", ".netcdf"):
        raise ConcertoError(
            f"{path.name} is not a NetCDF file in spite of its name (it begins {head[:8]!r}).",
            hint="The file is damaged or of another format: copy or download it again.",
        )
    raise ConcertoError(
        f"{path.name} is neither NetCDF nor a FLUXNET CSV file (its name ends in '{path.suffix or 'nothing'}').",
        hint="Give a site file in NetCDF with ALMA names, or a half-hourly FLUXNET or ICOS CSV file.",
    )


def check_place(value, what, low, high, file, needed=True):
    """A coordinate as float, inside its range and finite."""
    if value is None:
        if not needed:
            return None
        raise ConcertoError(
            f"{file} does not say the {what} of the site.",
            hint=f"Give it: read_site(path, {what}=...), on the command line --{what.replace('_', '-')} VALUE.",
        )
    try:
        value = float(value)
    except (TypeError, ValueError) as error:
        raise ConcertoError(
            f"{file}: the {what} is not a number ('{value}').", hint=f"Give the {what} as a number."
        ) from error
    if not np.isfinite(value):
        raise ConcertoError(
            f"{file}: the {what} is not a number (NaN or infinite).",
            hint=f"Correct it in the file, or give {what}= yourself.",
        )
    if not low <= value <= high:
        raise ConcertoError(
            f"{file}: the {what} is {value:g}, outside {low:g} to {high:g}.",
            hint="Latitude and longitude may be exchanged, or a decimal point lost."
            if what in ("latitude", "longitude")
            else f"Correct the {what} in the file, or give {what}= yourself.",
        )
    return value


def check_igbp(igbp, file):
    """The IGBP class as its short code, from code, number 1-17 or full name; None stays None."""
    if igbp is None or not str(igbp).strip():
        return None
    text = str(igbp).strip()
    codes = list(IGBP_NAMES)
    if text.upper() in IGBP_NAMES:
        return text.upper()
    if text.isdigit() and 1 <= int(text) <= 17:
        return codes[int(text) - 1]
    plain = {name: code for code, name in IGBP_NAMES.items()}
    wanted = text.lower().rstrip("s")
    if wanted in plain:
        return plain[wanted]
    close = difflib.get_close_matches(text.upper(), codes, n=1, cutoff=0.5)
    close = close or [plain[n] for n in difflib.get_close_matches(wanted, plain, n=1, cutoff=0.6)]
    if text.lower() in ("na", "nan", "none", "unknown", "-", "-9999"):
        return None
    raise ConcertoError(
        f"{file}: '{text}' is not an IGBP land-cover class.",
        hint=(f"Did you mean {close[0]} ({IGBP_NAMES[close[0]]})? " if close else "")
        + f"Known are {', '.join(codes)}.",
    )


def regular_axis(record, gap_limit_days):
    """Sort the rows, drop repeated ones, and lay them on a regular axis.

    Returns
    -------
    stamps : datetime64[s] array (n,)
        Regular interval starts (or what the stamps marked), in the file's time.
    step_seconds : int
    rows : int array (n_kept,)
        Rows of the record that are kept, in order of time.
    place : int array (n_kept,)
        Where each kept row goes on the axis; other places are gaps.
    """
    file, report, stamps = record.file, record.report, record.stamps
    n = stamps.size
    seconds = stamps.astype(np.int64)
    rows = np.arange(n)
    difference = np.diff(seconds)
    if n > 1 and (difference < 0).any():
        backwards = int((difference < 0).sum())
        at = stamp_text(stamps[int(np.argmax(difference < 0)) + 1])
        rows = np.argsort(seconds, kind="stable")
        seconds = seconds[rows]
        difference = np.diff(seconds)
        report.append(f"time ran backwards {backwards} times, first at {at}; the rows were sorted")
    if n > 1 and (difference == 0).any():
        rows, seconds = _drop_repeated(record, rows, seconds)
        difference = np.diff(seconds)
    if seconds.size < 2:
        raise ConcertoError(
            f"{file} has {plural(seconds.size, 'row')}; at least one day is needed.",
            hint="Check the download.",
        )
    sizes, counts = np.unique(difference, return_counts=True)
    step = int(sizes[np.argmax(counts)])
    rounded = int(round(step / 60.0)) * 60
    if rounded and abs(rounded - step) <= 2:
        step = rounded
    if not 300 <= step <= 21600 or 86400 % step:
        raise ConcertoError(
            f"{file}: the most common interval is {step} s ({step / 3600:g} h) from {stamp_text(stamps[rows[0]])}.",
            hint="Intervals of 300 to 21600 s that divide a day can be run: usually 1800 or 3600 s.",
        )
    jump = int(np.argmax(difference))
    if difference[jump] > gap_limit_days * 86400 + step:
        begin, end = seconds[jump].astype("datetime64[s]"), seconds[jump + 1].astype("datetime64[s]")
        raise ConcertoError(
            f"{file}: the time axis has a gap of {difference[jump] / 86400:.1f} days, from "
            f"{stamp_text(begin)} to "
            f"{stamp_text(end)}, longer than {gap_limit_days:g} days "
            f"({plural(int((difference > step * 1.5).sum()), 'gap')} in all).",
            hint="Read the part before or after (start=, end=), or allow more with gap_limit_days.",
        )
    place = np.rint((seconds - seconds[0]) / step).astype(np.int64)
    off = np.abs(seconds - seconds[0] - place * step)
    bad = off > 0.02 * step + 2
    if bad.any() or (np.diff(place) < 1).any():
        first = int(np.argmax(bad)) if bad.any() else int(np.argmax(np.diff(place) < 1)) + 1
        raise ConcertoError(
            f"{file}: time is irregular at {plural(max(int(bad.sum()), 1))}, first at "
            f"{stamp_text(seconds[first].astype('datetime64[s]'))}, where it does not lie on the "
            f"interval of {step} s.",
            hint="Average or interpolate the record to a regular interval.",
        )
    total = int(place[-1]) + 1
    if total > place.size:
        report.append(
            f"{plural(total - place.size)} were missing from the time axis in "
            f"{plural(int((np.diff(place) > 1).sum()), 'gap')}, first after "
            f"{stamp_text(seconds[int(np.argmax(np.diff(place) > 1))].astype('datetime64[s]'))}"
        )
    axis = seconds[0].astype("datetime64[s]") + (np.arange(total) * step).astype("timedelta64[s]")
    if total * step < 86400:
        raise ConcertoError(
            f"{file} covers {total * step / 3600:g} h; at least one day is needed.",
            hint="Check the download.",
        )
    return axis, step, rows, place


def _drop_repeated(record, rows, seconds):
    repeated = np.concatenate(([False], seconds[1:] == seconds[:-1]))
    again = np.flatnonzero(repeated)
    for name in ("Tair", "SWdown", "Precip", "Rainf"):
        if name not in record.variables:
            continue
        values = record.variables[name].values[rows]
        with np.errstate(invalid="ignore"):
            differ = np.abs(values[again] - values[again - 1]) > 1e-6 * (1.0 + np.abs(values[again]))
        if differ.any():
            at = stamp_text(seconds[again[int(np.argmax(differ))]].astype("datetime64[s]"))
            raise ConcertoError(
                f"{record.file}: {plural(again.size)} of time occur twice, and {name} differs between "
                f"the two at "
                f"{plural(int(differ.sum()))}, first at {at}.",
                hint="Remove one of each pair; an hour that repeats in autumn means daylight-saving time: "
                "write the file in standard time.",
            )
    at = stamp_text(seconds[again[0]].astype("datetime64[s]"))
    record.report.append(f"{plural(again.size, 'repeated row')} with equal values dropped, first at {at}")
    return rows[~repeated], seconds[~repeated]


def check_unit_by_value(name, values, unit, file, found, time):
    """Refuse values that only make sense in another unit than the one stated.

    `values` are SI after conversion from `unit`; missing are NaN.
    """
    known = values[np.isfinite(values)]
    if known.size == 0:
        return
    middle = float(np.median(known))
    high = float(known.max())
    first = stamp_text(time[int(np.argmax(np.isfinite(values)))])
    guess = None
    if name == "Tair":
        if high < 100.0 and known.min() > -100.0:
            guess = "degC"
        elif middle > 450.0:
            guess = "K"
    elif name == "Psurf" and not 40000.0 < middle < 110000.0:
        as_written = middle / conversion(name, unit, file, found, 1800)[0]
        ranges = {"Pa": (40000.0, 110000.0), "hPa": (400.0, 1100.0), "kPa": (40.0, 110.0)}
        guess = next((text for text, (low, top) in ranges.items() if low < as_written < top), None)
    elif name == "Qair" and 0.1 < middle < 60.0:
        guess = "g kg-1"
    elif name == "RH" and high <= 1.05 and known.size > 48:
        guess = "1"
    elif name == "RH" and middle > 500.0:
        guess = "%"
    elif name == "VPD" and np.percentile(known, 99) > 12000.0:
        as_written = float(np.percentile(known, 99)) / conversion(name, unit, file, found, 1800)[0]
        guess = "hPa" if 2.0 < as_written <= 120.0 else "Pa" if 120.0 < as_written <= 12000.0 else None
    if guess:
        raise ConcertoError(
            f"{file}: {found} is stated in {unit}, but all {known.size} values from {first} on look "
            f"like {guess} "
            f"(median {middle:.5g} after conversion to SI).",
            hint=f"This product has {found} in {unit}: convert the column."
            if file.lower().endswith((".csv", ".txt"))
            else f"If they are, set the attribute 'units' of {found} to '{guess}'; concerto does not guess.",
        )


def check_range(name, values, file, found, time, report):
    """Zero small negative noise (counted) and refuse impossible values; changes `values` in place."""
    low, high = BOUNDS[name]
    with np.errstate(invalid="ignore"):
        infinite = np.isinf(values)
        noise = (values < low) & (values >= low - NOISE.get(name, 0.0))
        below = (values < low) & ~noise
        above = values > high
    if name == "RH":
        over = above & (values <= 115.0)
        if over.any():
            report.append(
                f"{found}: {plural(int(over.sum()))} above 100 %, first {stamp_text(time[np.argmax(over)])}, "
                f"set to 100 % (largest {values[over].max():.4g})"
            )
            values[over] = high
        above &= ~over
    if noise.any() and low == 0.0:
        lowest = values[noise].min()
        values[noise] = low
        report.append(
            f"{found}: {plural(int(noise.sum()))} slightly below zero set to zero, first "
            f"{stamp_text(time[int(np.argmax(noise))])} (lowest {lowest:.3g})"
        )
    bad = below | above | infinite
    if not bad.any():
        return
    number, first = int(bad.sum()), int(np.argmax(bad))
    at = stamp_text(time[first])
    if name == "CO2air" and number <= 0.05 * values.size:
        # Faults of the analyser are common in published files, and the annual mean is near enough.
        report.append(
            f"warning: {found}: {plural(number, 'impossible value')} left out, first {values[first]:.5g} at {at}"
        )
        values[bad] = np.nan
        return
    worst = values[bad][int(np.argmax(np.abs(values[bad] - 0.5 * (low + high))))]
    hint = "If these are faults of the instrument, set them to -9999 so that they are filled"
    hint += "; if all values are wrong, check the unit."
    if number > 1 and np.ptp(values[bad]) == 0.0 and values[first] in (-99.0, -999.0, -6999.0, -99999.0, -32768.0):
        hint = f"If {values[first]:g} means missing, write -9999 or set the attribute '_FillValue'."
    elif name in ("Precip", "Rainf", "Snowf") and worst > high:
        hint = f"If the values are amounts per interval, set the attribute 'units' of {found} to 'mm'."
    raise ConcertoError(
        f"{file}: {found} has {plural(number, 'impossible value')}, first {values[first]:.5g} at {at}"
        + (f", worst {worst:.5g}" if number > 1 else "")
        + f" ({KNOWN[name][0]}); allowed is {low:g} to {high:g}.",
        hint=hint,
    )


def check_varies(name, values, file, found, time):
    """Refuse a mandatory series that never changes."""
    known = values[np.isfinite(values)]
    if known.size == 0:
        raise ConcertoError(
            f"{file}: {found} has no value: all {plural(values.size)} from {stamp_text(time[0])} on are missing.",
            hint=f"{name} must be measured or filled in the file.",
        )
    if known.size > 1 and known.max() - known.min() <= 1e-6 * max(abs(float(known[0])), 1.0):
        raise ConcertoError(
            f"{file}: {found} has the same value {known[0]:.6g} at all {plural(known.size)} from "
            f"{stamp_text(time[0])} on.",
            hint="The column is a placeholder or the sensor was stuck: supply the measured series.",
        )


def check_gap_length(name, missing, file, found, time, step_seconds, limit_days):
    """Refuse a gap of a mandatory variable longer than the limit."""
    from concerto.forcing.gaps import longest

    first, length = longest(missing)
    if length * step_seconds > limit_days * 86400:
        raise ConcertoError(
            f"{file}: {found} is missing for {length * step_seconds / 86400:.1f} days from "
            f"{stamp_text(time[first])} "
            f"({plural(int(missing.sum()))} of {missing.size} in all), longer than {limit_days:g} days.",
            hint="Read a part of the record (start=, end=), fill it from a neighbouring station or "
            "reanalysis, or "
            "allow more with gap_limit_days.",
        )


def limit_to_saturation(humidity, air_temperature, pressure, file, found, time, report):
    """Lower specific humidity to saturation over water; refuse it when far above at many steps."""
    saturated = derive.specific_humidity(
        np.minimum(derive.saturation_pressure(air_temperature), 0.5 * pressure), pressure
    )
    excess = humidity / saturated - 1.0
    gross = excess > 0.25
    if gross.sum() > max(0.02 * humidity.size, 3):
        first = int(np.argmax(gross))
        raise ConcertoError(
            f"{file}: {found} is more than 25 % above saturation at {plural(int(gross.sum()))} of "
            f"{humidity.size}, "
            f"first at {stamp_text(time[first])} ({humidity[first]:.4g} kg kg-1, saturation "
            f"{saturated[first]:.4g}).",
            hint="Check the units of humidity, air temperature and pressure.",
        )
    over = excess > 0.0
    if over.any():
        visible = excess > 0.005  # the two saturation formulas in use differ by 0.3 %
        if visible.any():
            report.append(
                f"{found}: {plural(int(visible.sum()))} above saturation, first "
                f"{stamp_text(time[int(np.argmax(visible))])}, limited to it (largest excess "
                f"{excess.max():.0%})"
            )
        humidity[over] = saturated[over]
    return humidity


def check_dry_heat(humidity, air_temperature, pressure, found, report):
    """Remark on air that stays near saturation at the warmest steps, as with VPD in a wrong unit."""
    warm = air_temperature >= np.percentile(air_temperature, 95)
    vapour = derive.vapour_pressure(humidity[warm], pressure[warm])
    relative = float(np.mean(vapour / derive.saturation_pressure(air_temperature[warm])))
    if relative > 0.92:
        report.append(
            f"warning: {found}: relative humidity is {100 * relative:.0f} % at the warmest steps; check its unit"
        )


def check_precipitation_total(rate, step_seconds, file, found, time, report):
    """Refuse totals above 20 m per year; remark on a record that is almost dry."""
    known = np.isfinite(rate)
    if not known.any():
        return
    per_year = float(rate[known].mean()) * 3.15576e7
    if per_year > 20000.0:
        wet = int((rate[known] > 0).sum())
        raise ConcertoError(
            f"{file}: {found} amounts to {per_year / 1000:.0f} m of water per year "
            f"({plural(wet, 'wet step')}, first at "
            f"{stamp_text(time[int(np.argmax(np.nan_to_num(rate) > 0))])}).",
            hint=f"The values look like mm per interval: set the attribute 'units' of {found} to 'mm' if they are.",
        )
    if per_year < 1.0 and rate.size * step_seconds > 200 * 86400 and found.lower() != "snowf":
        report.append(f"warning: {found} amounts to only {per_year:.2g} mm per year; check its unit")


def solar_lag(shortwave, time_start_utc, step_seconds, latitude, longitude):
    """Shift between measured shortwave and the sun.

    Returns
    -------
    lag_steps : int
        Positive: the record runs ahead of the sun (stamps too early).
    correlation_best, correlation_zero : float
    lag_hours : float
        The same from the centre of the daily sum, finer than a step.
    """
    half = int(12 * 3600 // step_seconds)
    middle = time_start_utc + np.timedelta64(step_seconds // 2, "s")
    # Means over the interval, from three points: matters at 3- and 6-hourly steps.
    third = np.timedelta64(step_seconds // 3, "s")
    top = sum(derive.top_of_atmosphere(middle + k * third, latitude, longitude) for k in (-1, 0, 1)) / 3.0
    n = shortwave.size
    day = int(86400 // step_seconds)
    whole = n // day * day
    sun = top[:whole].reshape(-1, day)
    light = shortwave[:whole].reshape(-1, day)
    # Monthly mean courses of the day keep the phase and remove the clouds of single days.
    blocks = max(whole // day // 15, 1)
    parts_sun = [part.mean(axis=0) for part in np.array_split(sun, blocks)]
    parts_light = [part.mean(axis=0) for part in np.array_split(light, blocks)]
    x = np.array([part - part.mean() for part in parts_light])
    y = np.array([part - part.mean() for part in parts_sun])
    norm = np.sqrt((x * x).sum() * (y * y).sum())
    if norm <= 0.0:
        return 0, 0.0, 0.0, 0.0
    lags = np.arange(-half, half + 1)
    correlation = np.array([(x * np.roll(y, -lag, axis=1)).sum() for lag in lags]) / norm
    best = int(np.argmax(correlation))
    # Phase of the first daily harmonic, weighted by its strength.
    wave = np.exp(-2j * np.pi * np.arange(day) / day)
    product = ((x @ wave) * np.conj(y @ wave)).sum()
    hours = float(np.angle(product)) * 24.0 / (2.0 * np.pi)
    return int(lags[best]), float(correlation[best]), float(correlation[half]), hours


def check_sun(shortwave, time_start_utc, step_seconds, latitude, longitude, utc_offset, offset_source, file, report):
    """Compare measured shortwave with the sun: refuse 2 h or more, warn from one hour or one clear step."""
    if shortwave.size * step_seconds < 3 * 86400:
        report.append("time stamps were not compared with the sun: the record is shorter than 3 days")
        return
    lag, best, zero, hours = solar_lag(shortwave, time_start_utc, step_seconds, latitude, longitude)
    shift = lag * step_seconds / 3600.0
    if lag == 0 or best - zero < 0.002 or best < 0.5:
        if best < 0.5:
            report.append("warning: shortwave hardly follows the sun; the time stamps could not be checked")
        _check_summer_time(shortwave, time_start_utc, step_seconds, latitude, longitude, report)
        return
    first = stamp_text(time_start_utc[0])
    ahead = "ahead of" if shift > 0 else "behind"
    if abs(shift) >= 2.0:
        solar_offset = longitude / 15.0
        if abs(utc_offset - solar_offset) <= 2.0 and abs(shift - utc_offset) <= 1.0:
            cause = "the stamps are probably UTC, not local time"
            hint = "Set utc_offset_hours to 0 (in the file, or read_site(path, utc_offset_hours=0))."
        elif abs(utc_offset - solar_offset) > 2.0 and abs(shift - (utc_offset - solar_offset)) <= 1.0:
            cause = f"the stamps are probably local time, while their offset is said to be {utc_offset:g} h"
            hint = f"Give the offset of standard time: utc_offset_hours={np.rint(solar_offset):g} or near it."
        elif abs(abs(shift) - 12.0) <= 1.0 or abs((shift + 2 * solar_offset + 12.0) % 24.0 - 12.0) <= 0.75:
            cause = "the sign of the longitude may be wrong, or a 12-hour clock was read"
            hint = f"Longitude is {longitude:g} (degrees east; west is negative); correct it or the stamps."
        else:
            cause = "the stamps or the offset from UTC are wrong"
            hint = f"The offset used is {utc_offset:g} h ({offset_source}); give utc_offset_hours= that fits."
        raise ConcertoError(
            f"{file}: SWdown runs {abs(shift):g} h {ahead} the sun at {plural(shortwave.size)} from "
            f"{first} UTC on "
            f"(correlation {best:.3f} with, {zero:.3f} without this shift): {cause}.",
            hint=hint,
        )
    if best - zero < 0.004 or abs(hours) < 0.6 * step_seconds / 3600.0:
        _check_summer_time(shortwave, time_start_utc, step_seconds, latitude, longitude, report)
        return
    cause = ""
    if lag == -1:
        cause = "; the stamps may mark the end of the interval (time_stamp='end')"
    elif abs(abs(shift) - 1.0) < 0.1:
        cause = "; daylight-saving time, or an offset from UTC that is wrong by one hour"
    report.append(
        f"warning: SWdown runs {abs(shift):g} h {ahead} the sun (correlation {best:.3f} with, "
        f"{zero:.3f} without "
        f"this shift){cause}"
    )


def _check_summer_time(shortwave, time_start_utc, step_seconds, latitude, longitude, report):
    """Warn when the sun is an hour later by the stamps in one half of the year than in the other."""
    month = time_start_utc.astype("datetime64[M]").astype(int) % 12 + 1
    hours = []
    for chosen in ((month >= 5) & (month <= 9), (month >= 11) | (month <= 2)):
        days = _whole_days(chosen, 86400 // step_seconds)
        if days.sum() * step_seconds < 40 * 86400:
            return
        hours.append(solar_lag(shortwave[days], time_start_utc[days], step_seconds, latitude, longitude)[3])
    if abs(abs(hours[0] - hours[1]) - 1.0) < 0.25:
        report.append(
            f"warning: SWdown meets the sun {abs(hours[0] - hours[1]):.1f} h apart in May to September "
            f"and November to "
            "February: the stamps may hold daylight-saving time"
        )


def _whole_days(mask, steps_per_day):
    """The mask, with only those days of the record kept that it covers wholly."""
    whole = mask.size // steps_per_day * steps_per_day
    days = mask[:whole].reshape(-1, steps_per_day).all(axis=1)
    out = np.zeros(mask.size, dtype=bool)
    out[:whole] = np.repeat(days, steps_per_day)
    return out


def check_sunlight(shortwave, time_start_utc, step_seconds, latitude, longitude, time, report):
    """Remark on shortwave well above what arrives at the top of the atmosphere, as at night."""
    middle = time_start_utc + np.timedelta64(step_seconds // 2, "s")
    shift = np.timedelta64(step_seconds // 2, "s")
    top = np.max([derive.top_of_atmosphere(middle + k * shift, latitude, longitude) for k in (-2, -1, 0, 1, 2)], axis=0)
    above = shortwave > 1.15 * top + 50.0
    if above.sum() > 0.001 * shortwave.size:
        report.append(
            f"warning: SWdown exceeds the sun above the atmosphere by more than 15 % and 50 W m-2 at "
            f"{plural(int(above.sum()))}, first at {stamp_text(time[int(np.argmax(above))])}"
        )
