"""Reader of site NetCDF files: the layout of the project's site files, and PLUMBER2 / FluxnetLSM.

Both carry ALMA names. PLUMBER2 differs by dimensions (time, y, x) of size one,
`Precip` instead of `Rainf` and `Snowf`, `Resp` instead of `Reco`, units with
slashes and the land-cover class as a character variable.
"""

from __future__ import annotations

import difflib
import re
from pathlib import Path

import numpy as np

from concerto.errors import ConcertoError
from concerto.forcing.record import FORCING_NAMES, OBSERVATION_NAMES, Record, Variable

# First name that is present wins; comparison ignores case.
ALIASES = {
    "Tair": ("Tair", "TA_F", "TA", "tas"),
    "Qair": ("Qair", "huss"),
    "VPD": ("VPD", "VPD_F"),
    "RH": ("RH", "RelHum", "hurs"),
    "Psurf": ("Psurf", "PA_F", "PA", "ps"),
    "SWdown": ("SWdown", "SW_IN_F", "SW_IN", "rsds"),
    "LWdown": ("LWdown", "LW_IN_F", "LW_IN", "rlds"),
    "Wind": ("Wind", "WS_F", "WS", "sfcWind"),
    "Wind_N": ("Wind_N",),
    "Wind_E": ("Wind_E",),
    "Precip": ("Precip", "P_F", "P", "pr"),
    "Rainf": ("Rainf", "Rain", "Rainfall"),
    "Snowf": ("Snowf", "Snow", "Snowfall", "prsn"),
    "CO2air": ("CO2air", "CO2"),
    "LAI": ("LAI",),
    "NEE": ("NEE",),
    "GPP": ("GPP",),
    "GPP_DT": ("GPP_DT",),
    "Reco": ("Reco", "Resp"),
    "Qle": ("Qle",),
    "Qh": ("Qh",),
    "Qg": ("Qg",),
    "Rnet": ("Rnet",),
    "Ustar": ("Ustar",),
    "SoilTemp": ("SoilTemp",),
    "SoilMoist": ("SoilMoist",),
}
_SECONDS = {
    "second": 1.0, "sec": 1.0, "s": 1.0, "minute": 60.0, "min": 60.0, "hour": 3600.0, "hr": 3600.0, "h":
    3600.0,
    "day": 86400.0, "d": 86400.0,
}  # fmt: skip
_METADATA = {
    "latitude": ("latitude", "lat"),
    "longitude": ("longitude", "lon", "long"),
    "elevation": ("elevation", "elevation_m", "site_elevation", "altitude"),
    "reference_height": ("reference_height", "reference_height_m", "measurement_height"),
    "canopy_height": ("canopy_height", "canopy_height_m"),
    "utc_offset_hours": ("utc_offset_hours", "utc_offset", "timezone_offset"),
}


def read_alma(path: str | Path) -> Record:
    """Read one site NetCDF file as found: no unit is changed, no gap is filled.

    Parameters
    ----------
    path : str or Path
        NetCDF-3 or NetCDF-4 file with one site.

    Returns
    -------
    Record
        Series by canonical ALMA name, interval starts in the file's own time.

    Raises
    ------
    ConcertoError
        The file cannot be opened or read, has no time axis, or holds more than one place.
    """
    import netCDF4

    file = Path(path).name
    short = classic_shortfall(path)
    if short:
        raise ConcertoError(
            f"{file} is truncated: {short} of its bytes are missing at the end.",
            hint="Copy or download the file again and compare its size with the source.",
        )
    try:
        dataset = netCDF4.Dataset(str(path))
    except (OSError, RuntimeError) as error:
        raise ConcertoError(
            f"{file} cannot be opened as NetCDF: it is truncated or corrupt ({_reason(error)}).",
            hint="Copy or download the file again and compare its size with the source.",
        ) from error
    with dataset:
        try:
            return _read_dataset(dataset, file)
        except (AttributeError, OSError, RuntimeError, UnicodeDecodeError) as error:
            # netCDF4 raises an AttributeError for an attribute that HDF5 cannot read.
            if isinstance(error, AttributeError) and "NetCDF" not in str(error):
                raise
            raise ConcertoError(
                f"{file} is corrupt: its header cannot be read ({_reason(error)}).",
                hint="Copy or download the file again and compare its size with the source.",
            ) from error


def classic_shortfall(path) -> int:
    """Bytes that a NetCDF-3 file lacks by its own header; 0 for whole files and for NetCDF-4.

    The NetCDF library reads zeros beyond the end of a classic file without complaint (and NetCDF-4 it
    refuses).
    Layout: "NetCDF Classic Format Specification", Unidata.
    """
    with open(path, "rb") as stream:
        head = stream.read(1 << 20)
    if head[:3] != b"CDF" or head[3] not in (1, 2, 5):
        return 0
    wide = head[3] == 5
    place = 4

    def number(width):
        nonlocal place
        value = int.from_bytes(head[place : place + width], "big")
        place += width
        return value

    def count():
        return number(8 if wide else 4)

    def skip_name():
        nonlocal place
        length = count()
        place += -(-length // 4) * 4

    size_of = {1: 1, 2: 1, 3: 2, 4: 4, 5: 4, 6: 8, 7: 1, 8: 2, 9: 4, 10: 8, 11: 8}

    def skip_attributes():
        nonlocal place
        number(4)
        for _ in range(count()):
            skip_name()
            size = size_of.get(number(4), 1) * count()
            place += -(-size // 4) * 4

    records = count()
    number(4)
    lengths = []
    for _ in range(count()):
        skip_name()
        lengths.append(count())
    skip_attributes()
    number(4)
    end, record_starts, record_size = 0, [], 0
    for _ in range(count()):
        if place >= len(head):
            return 0  # a header beyond 1 MB: not a site file
        skip_name()
        dimensions = [count() for _ in range(count())]
        skip_attributes()
        size = size_of.get(number(4), 1)
        count()  # vsize, unreliable for large variables
        begin = number(4 if head[3] == 1 else 8)
        is_record = bool(dimensions) and dimensions[0] < len(lengths) and lengths[dimensions[0]] == 0
        for dimension in dimensions[1 if is_record else 0 :]:
            size *= lengths[dimension] if dimension < len(lengths) else 1
        if is_record:
            record_starts.append((begin, size))
            record_size += -(-size // 4) * 4
        else:
            end = max(end, begin + size)
    if record_starts and 0 < records < 0xFFFFFFFF:
        if len(record_starts) == 1:
            record_size = record_starts[0][1]
        begin, size = max(record_starts)
        end = max(end, begin + (records - 1) * record_size + size)
    return max(end - Path(path).stat().st_size, 0)


def _reason(error) -> str:
    return re.sub(r"\s*:?\s*'[^']*'$", "", str(error)).replace("[Errno ", "error [").strip() or "no reason given"


def _read(variable, file) -> np.ndarray:
    try:
        return variable[...]
    except (OSError, RuntimeError, IndexError) as error:
        raise ConcertoError(
            f"{file}: {variable.name} cannot be read, the file is truncated or corrupt ({_reason(error)}).",
            hint="Copy or download the file again and compare its size with the source.",
        ) from error


def _read_dataset(dataset, file: str) -> Record:
    names = {name.lower(): name for name in dataset.variables}
    attributes = {name.lower(): dataset.getncattr(name) for name in dataset.ncattrs()}
    report: list[str] = []
    if str(attributes.get("source", "")).startswith("concerto "):
        raise ConcertoError(
            f"{file} is an output of concerto, not a tower file.", hint="Name the tower file that it was made from."
        )
    time_name = names.get("time") or names.get("valid_time")
    if time_name is None:
        raise ConcertoError(
            f"{file} has no variable 'time' (it has {_some(dataset.variables)}).",
            hint="A site file needs a variable 'time' with units such as 'minutes since 2004-01-01 00:00:00'.",
        )
    time = dataset.variables[time_name]
    if time.ndim != 1 or time.size == 0:
        raise ConcertoError(
            f"{file}: 'time' has {time.ndim} dimensions and {time.size} values; one dimension with values is needed.",
            hint="Write the records of the site along one dimension 'time'.",
        )
    metadata = _site_metadata(dataset, names, attributes, file)
    stamps, position, offset = _stamps(dataset, time, file, attributes, report)
    if offset is not None and metadata.get("utc_offset_hours") is None:
        metadata["utc_offset_hours"] = offset
        report.append(f"offset from UTC {offset:+g} h taken from the unit of time")
    variables = {}
    for canonical in FORCING_NAMES + OBSERVATION_NAMES:
        found = next((names[a.lower()] for a in ALIASES[canonical] if a.lower() in names), None)
        if found is None or found == time_name:
            continue
        source = dataset.variables[found]
        values = _series(source, time.dimensions[0], file, canonical in FORCING_NAMES, report)
        if values is None:
            continue
        flag = None
        flag_name = names.get(found.lower() + "_qc")
        if flag_name is not None:
            raw = _series(dataset.variables[flag_name], time.dimensions[0], file, False, report)
            if raw is not None:
                flag = np.where(np.isfinite(raw), raw, -1).astype(np.int8)
        unit = str(source.getncattr("units")) if "units" in source.ncattrs() else None
        variables[canonical] = Variable(values, unit, found, flag)
    layout = "NetCDF, PLUMBER2" if {"x", "y"} <= set(dataset.dimensions) else "NetCDF"
    return Record(file, layout, stamps, variables, metadata, report, position, sorted(dataset.variables))


def _some(names, limit=8) -> str:
    names = [str(name) for name in names]
    return ", ".join(names[:limit]) + (", ..." if len(names) > limit else "") if names else "no variables"


def _series(variable, time_dimension, file, mandatory, report) -> np.ndarray | None:
    """Values of shape (n_time,) as float64, NaN where missing; None for series that are not of one place."""
    if time_dimension not in variable.dimensions:
        if mandatory:
            raise ConcertoError(
                f"{file}: {variable.name} has the dimensions {variable.dimensions}, without '{time_dimension}'.",
                hint=f"Write {variable.name} as a series along '{time_dimension}'.",
            )
        return None
    for dimension, size in zip(variable.dimensions, variable.shape, strict=True):
        if dimension != time_dimension and size != 1:
            if mandatory:
                raise ConcertoError(
                    f"{file}: {variable.name} has {size} values along '{dimension}'; a site file holds one place.",
                    hint="Extract one place, or run the file as a grid with 'concerto run CONFIG.yaml'.",
                )
            report.append(f"{variable.name} was ignored: it has {size} values along '{dimension}'")
            return None
    raw = _read(variable, file)
    if raw.dtype.kind not in "fiu":
        raise ConcertoError(
            f"{file}: {variable.name} holds text, not numbers.",
            hint=f"Write {variable.name} as floating-point numbers.",
        )
    values = np.ma.filled(np.ma.asarray(raw, dtype=np.float64), np.nan).reshape(-1)
    # -9999 is missing whether or not the attribute says so; packed files hold it a little off.
    values[(values <= -9990.0) & (values >= -10000.0)] = np.nan
    with np.errstate(invalid="ignore"):
        values[(np.abs(values) > 1e30) & ~np.isinf(values)] = np.nan  # default fill values of NetCDF
    return values


def _scalar(dataset, names, attributes, candidates):
    for candidate in candidates:
        if candidate in names:
            variable = dataset.variables[names[candidate]]
            if variable.size == 1 and variable.dtype != str and variable.dtype.kind in "fiu":
                value = np.ma.filled(np.ma.asarray(variable[...], dtype=float), np.nan)
                return float(np.asarray(value).reshape(-1)[0])
            if variable.size > 1 and variable.dtype != str and variable.dtype.kind in "fiu":
                values = np.unique(np.ma.compressed(np.ma.asarray(variable[...], dtype=float)))
                if values.size == 1:  # a constant repeated along time
                    return float(values[0])
        if candidate in attributes:
            match = re.match(r"\s*([-+]?\d+(\.\d*)?([eE][-+]?\d+)?|[Nn]a[Nn])", str(attributes[candidate]))
            if match:
                return float(match[1])
    return None


def _text(dataset, names, candidates):
    for candidate in candidates:
        if candidate in names:
            raw = dataset.variables[names[candidate]][...]
            raw = np.ma.filled(raw, b"" if np.ma.asarray(raw).dtype.kind == "S" else "")
            parts = [p.decode("latin-1") if isinstance(p, bytes) else str(p) for p in np.asarray(raw).reshape(-1)]
            text = "".join(parts).replace("\x00", " ").strip()
            if text:
                return text
    return None


def _site_metadata(dataset, names, attributes, file) -> dict:
    metadata = {key: _scalar(dataset, names, attributes, candidates) for key, candidates in _METADATA.items()}
    metadata["igbp"] = (
        _text(dataset, names, ("igbp_veg_short", "igbp", "igbp_veg_long"))
        or str(attributes.get("igbp") or attributes.get("igbp_veg_short") or "").strip()
        or None
    )
    match = re.search(r"[A-Z]{2}-[A-Za-z0-9]{2,4}", file)
    metadata["name"] = (
        str(attributes.get("site_id") or attributes.get("site_code") or "").strip()
        or (match[0] if match else "")
        or str(attributes.get("site_name") or Path(file).stem)
    )
    metadata["tier"] = str(attributes["forcing_tier"]) if "forcing_tier" in attributes else None
    return metadata


def _epoch(text, file):
    """Reference time of 'X since TEXT' as datetime64[s], and its offset from UTC in hours if it names one."""
    match = re.match(
        r"\s*(\d{1,4})-(\d{1,2})-(\d{1,2})(?:[T\s]+(\d{1,2}):(\d{1,2})(?::(\d{1,2})(?:\.\d*)?)?)?\s*(.*)$",
        text,
    )
    if not match:
        raise ConcertoError(
            f"{file}: the reference date of 'time' cannot be read ('{text}').",
            hint="Use units such as 'minutes since 2004-01-01 00:00:00'.",
        )
    year, month, day, hour, minute, second, zone = match.groups()
    stamp = f"{int(year):04d}-{int(month):02d}-{int(day):02d}T{int(hour or 0):02d}:{int(minute or 0):02d}"
    try:
        epoch = np.datetime64(f"{stamp}:{int(second or 0):02d}", "s")
    except ValueError as error:
        raise ConcertoError(
            f"{file}: the reference date of 'time' is not a date ('{text}').",
            hint="Use units such as 'minutes since 2004-01-01 00:00:00'.",
        ) from error
    offset = None
    zone = zone.strip().upper()
    if zone in ("UTC", "Z", "GMT"):
        offset = 0.0
    else:
        shift = re.fullmatch(r"([-+]?)(\d{1,2}):?(\d{2})?", zone)
        if shift:
            offset = (int(shift[2]) + int(shift[3] or 0) / 60.0) * (-1.0 if shift[1] == "-" else 1.0)
    return epoch, offset


def _stamps(dataset, time, file, attributes, report):
    """Interval starts, what the stamps marked, and the offset from UTC that the unit of time names."""
    if "units" not in time.ncattrs():
        raise ConcertoError(
            f"{file}: 'time' has no unit.", hint="Set its units, such as 'minutes since 2004-01-01 00:00:00'."
        )
    units = str(time.getncattr("units"))
    match = re.match(r"\s*([A-Za-z]+?)s?\s+since\s+(.+)$", units)
    factor = _SECONDS.get(match[1].lower()) or _SECONDS.get(match[1].lower() + "s") if match else None
    if factor is None:
        raise ConcertoError(
            f"{file}: the unit of 'time' is '{units}', which cannot be read.",
            hint="Use seconds, minutes, hours or days 'since' a date, such as 'minutes since 2004-01-01 00:00:00'.",
        )
    epoch, offset = _epoch(match[2], file)
    values = np.ma.filled(np.ma.asarray(_read(time, file), dtype=np.float64), np.nan)
    if not np.isfinite(values).all():
        bad = ~np.isfinite(values)
        raise ConcertoError(
            f"{file}: 'time' is missing at {int(bad.sum())} of {bad.size} rows, first at row "
            f"{int(np.argmax(bad)) + 1}.",
            hint="Give every row a time, or remove those rows.",
        )
    bounds_name = str(time.getncattr("bounds")) if "bounds" in time.ncattrs() else "time_bnds"
    position = None
    if bounds_name in dataset.variables and dataset.variables[bounds_name].shape == (values.size, 2):
        bounds = np.ma.filled(np.ma.asarray(_read(dataset.variables[bounds_name], file), dtype=np.float64), np.nan)
        if np.isfinite(bounds).all() and (bounds[:, 1] > bounds[:, 0]).all():
            width = float(np.median(bounds[:, 1] - bounds[:, 0]))
            shift = float(np.median(values - bounds[:, 0])) / width
            position = "start" if shift < 0.25 else "end" if shift > 0.75 else "middle"
            if position != "start":
                report.append(f"time stamps mark the {position} of the interval ({bounds_name}); starts were used")
            values = bounds[:, 0]
            # Files shifted by hand sometimes keep bounds in another unit: then they are wider than a day.
            if width * factor > 86400.0 + 1:
                raise ConcertoError(
                    f"{file}: the intervals in {bounds_name} are {width * factor / 3600:g} h long.",
                    hint="Correct the bounds; intervals of 5 minutes to 6 hours can be run.",
                )
            position = "start"
    if position is None:
        position = _stated_position(time, attributes)
    calendar = str(time.getncattr("calendar")).lower() if "calendar" in time.ncattrs() else "standard"
    return _to_datetime(values * factor, epoch, calendar, file, report), position, offset


def _stated_position(time, attributes) -> str | None:
    """Start, middle or end of the interval, if an attribute says so."""
    for name in ("time_stamp_position", "timestamp_position", "time_stamp", "time_label", "time_convention"):
        for source in (attributes, {n.lower(): time.getncattr(n) for n in time.ncattrs()}):
            text = str(source.get(name, "")).lower()
            for word in ("start", "end", "middle"):
                if word in text or (word == "start" and "begin" in text):
                    return word
    for name in ("comment", "long_name", "description"):
        text = str(time.getncattr(name)).lower() if name in time.ncattrs() else ""
        match = re.search(r"\b(start|beginning|end|middle|mid-?point|centre|center)\b of (the |each |an? )*\w*", text)
        if match:
            return {"start": "start", "beginning": "start", "end": "end"}.get(match[1], "middle")
    return None


def _to_datetime(seconds, epoch, calendar, file, report) -> np.ndarray:
    if calendar in ("standard", "gregorian", "proleptic_gregorian", "none", ""):
        if np.abs(seconds).max() > 1e12:
            raise ConcertoError(
                f"{file}: 'time' reaches {np.abs(seconds).max():.3g} s from its reference date, which is no date.",
                hint="Correct the unit of 'time'.",
            )
        return epoch + np.rint(seconds).astype("timedelta64[s]")
    if calendar in ("noleap", "365_day"):
        # Days are numbered without 29 February; that day becomes a gap in the real calendar.
        first = np.datetime64(epoch, "Y").astype(int) + 1970
        into_year = (epoch - np.datetime64(f"{first:04d}-01-01", "s")).astype(int)
        if first % 4 == 0 and (first % 100 != 0 or first % 400 == 0) and into_year >= 59 * 86400:
            into_year -= 86400
        total = np.rint(seconds).astype(np.int64) + into_year
        year = first + total // (365 * 86400)
        rest = total % (365 * 86400)
        leap = (year % 4 == 0) & ((year % 100 != 0) | (year % 400 == 0))
        rest = rest + np.where(leap & (rest >= 59 * 86400), 86400, 0)
        starts = (year - 1970).astype("datetime64[Y]").astype("datetime64[s]")
        report.append(f"calendar '{calendar}': 29 February is a gap in leap years")
        return starts + rest.astype("timedelta64[s]")
    raise ConcertoError(
        f"{file}: 'time' has the calendar '{calendar}', in which tower records do not exist.",
        hint="Write the time axis in the calendar 'standard' or 'noleap'.",
    )


def near_names(wanted, available) -> str:
    """Sentence part that names the variable most like one of `wanted`, or nothing."""
    taken = {alias.lower() for aliases in ALIASES.values() for alias in aliases}
    lower = {name.lower(): name for name in available if name.lower() not in taken and not name.endswith("_qc")}
    for name in wanted:
        close = difflib.get_close_matches(name.lower(), lower, n=1, cutoff=0.6)
        if close:
            return f" Did you mean its variable '{lower[close[0]]}'?"
    return ""
