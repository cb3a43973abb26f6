"""Reader of half-hourly and hourly CSV files of FLUXNET2015, ONEFlux FLUXMET, ICOS and AmeriFlux BASE.

Columns are matched by name, never by position. The units of these products are
fixed by their documentation, and stand in the table here.
"""

from __future__ import annotations

import csv
import re
import warnings
from pathlib import Path

import numpy as np

from concerto.errors import ConcertoError
from concerto.forcing.record import Record, Variable

# canonical name: (columns in order of preference, unit)
COLUMNS = {
    "Tair": (("TA_F", "TA_F_MDS", "TA", "TA_PI_F", "TA_1_1_1"), "degC"),
    "SWdown": (("SW_IN_F", "SW_IN_F_MDS", "SW_IN", "SW_IN_PI_F", "SW_IN_1_1_1"), "W m-2"),
    "LWdown": (("LW_IN_F", "LW_IN_F_MDS", "LW_IN", "LW_IN_1_1_1"), "W m-2"),
    "VPD": (("VPD_F", "VPD_F_MDS", "VPD", "VPD_PI", "VPD_PI_F"), "hPa"),
    "RH": (("RH", "RH_PI_F", "RH_1_1_1"), "%"),
    "Psurf": (("PA_F", "PA", "PA_PI_F", "PA_1_1_1"), "kPa"),
    "Precip": (("P_F", "P", "P_PI_F", "P_1_1_1"), "mm"),
    "Wind": (("WS_F", "WS", "WS_1_1_1"), "m s-1"),
    "CO2air": (("CO2_F_MDS", "CO2", "CO2_1_1_1"), "umol mol-1"),
    "LAI": (("LAI",), "m2 m-2"),
    "NEE": (("NEE_VUT_REF", "NEE_CUT_REF", "NEE_PI_F", "NEE_PI", "NEE"), "umol m-2 s-1"),
    "GPP": (("GPP_NT_VUT_REF", "GPP_NT_CUT_REF", "GPP_PI_F", "GPP_PI"), "umol m-2 s-1"),
    "GPP_DT": (("GPP_DT_VUT_REF", "GPP_DT_CUT_REF"), "umol m-2 s-1"),
    "Reco": (("RECO_NT_VUT_REF", "RECO_NT_CUT_REF", "RECO_PI_F", "RECO_PI"), "umol m-2 s-1"),
    "Qle": (("LE_F_MDS", "LE"), "W m-2"),
    "Qh": (("H_F_MDS", "H"), "W m-2"),
    "Qg": (("G_F_MDS", "G", "G_1_1_1"), "W m-2"),
    "Rnet": (("NETRAD", "NETRAD_1_1_1"), "W m-2"),
    "Ustar": (("USTAR",), "m s-1"),
    "SoilTemp": (("TS_F_MDS_1", "TS_1", "TS", "TS_1_1_1"), "degC"),
    "SoilMoist": (("SWC_F_MDS_1", "SWC_1", "SWC", "SWC_1_1_1"), "%"),
}
# Partitioned fluxes share the flag of the net flux.
_FLAG_OF = {"GPP": "NEE", "GPP_DT": "NEE", "Reco": "NEE"}
_COARSE = {"DD": "daily", "WW": "weekly", "MM": "monthly", "YY": "yearly"}


def read_fluxnet_csv(path: str | Path) -> Record:
    """Read one half-hourly or hourly CSV file as found (missing -9999 becomes NaN).

    Parameters
    ----------
    path : str or Path
        Such as ``FLX_FI-Hyy_FLUXNET2015_FULLSET_HH_1996-2014_1-4.csv``,
        ``ICOS_FI-Hyy_FLUXNET_FLUXMET_HH_2018-2022_v1.3_r1.csv``,
        ``ICOSETC_FI-Hyy_FLUXNET_HH_L2.csv`` or ``AMF_US-Ne1_BASE_HR_13-5.csv``.

    Returns
    -------
    Record
        Series by canonical name; the site's place is not in these files.

    Raises
    ------
    ConcertoError
        No time column, daily or longer means, rows of unequal length, text instead of numbers.
    """
    path = Path(path)
    file = path.name
    header, skip = _header(path, file)
    place = {name: k for k, name in enumerate(header)}
    start = next((n for n in ("TIMESTAMP_START", "TIMESTAMP_END") if n in place), None)
    tokens = re.split(r"[_.]", file)
    coarse = next((_COARSE[t] for t in tokens if t in _COARSE), None)
    if start is None:
        if "TIMESTAMP" in place:
            raise ConcertoError(
                f"{file} holds {coarse or 'daily or longer'} means (column TIMESTAMP); the model needs "
                f"intervals of "
                "6 hours or less.",
                hint="Use the half-hourly (HH) or hourly (HR) file of the same product.",
            )
        raise ConcertoError(
            f"{file} has no column TIMESTAMP_START or TIMESTAMP_END (its columns begin {', '.join(header[:5])}).",
            hint="Only FLUXNET2015, FLUXMET, ICOS and AmeriFlux BASE files can be read as CSV; write others as NetCDF.",
        )
    columns, flags = {}, {}
    for canonical, (candidates, unit) in COLUMNS.items():
        found = next((name for name in candidates if name in place), None)
        if found is not None:
            columns[canonical] = (found, unit)
            if found + "_QC" in place:
                flags[canonical] = found + "_QC"
    wanted = [start] + [found for found, _ in columns.values()] + list(flags.values())
    table = _numbers(path, file, skip, header, wanted)
    index = {name: k for k, name in enumerate(wanted)}
    report = []
    stamps = _stamps(table[:, index[start]], start, file)
    variables = {}
    for canonical, (found, unit) in columns.items():
        values = table[:, index[found]].copy()
        values[values <= -9990.0] = np.nan
        if np.isnan(values).all() and canonical not in ("Tair", "SWdown"):
            report.append(f"{found} has no value and was ignored")
            continue
        source = flags.get(canonical) or flags.get(_FLAG_OF.get(canonical, ""))
        flag = None
        if source:
            raw = table[:, index[source]]
            # Flags of the daily products are fractions; here they are whole numbers from 0 to 3.
            flag = np.where(np.isfinite(raw) & (raw >= 0) & (raw <= 5), np.rint(raw), -1).astype(np.int8)
        variables[canonical] = Variable(values, unit, found, flag)
    match = re.search(r"[A-Z]{2}-[A-Za-z0-9]{2,4}", file)
    metadata = {"name": match[0] if match else path.stem}
    metadata |= _metadata_beside(path, metadata["name"], report)
    position = "start" if start == "TIMESTAMP_START" else "end"
    return Record(file, "FLUXNET CSV", stamps, variables, metadata, report, position, header)


def _header(path, file):
    """Column names, and the number of lines before the first row of numbers."""
    with open(path, encoding="utf-8-sig", errors="replace", newline="") as stream:
        skip = 0
        for line in stream:
            skip += 1
            if line.strip() and not line.startswith("#"):
                names = [name.strip().strip('"') for name in next(csv.reader([line]))]
                return names, skip
    raise ConcertoError(f"{file} has no header line.", hint="Download the file again: it is empty or cut off.")


def _numbers(path, file, skip, header, wanted) -> np.ndarray:
    """Table of shape (n_rows, len(wanted)) of float64."""
    positions = [header.index(name) for name in wanted]
    try:
        with open(path, encoding="latin-1", newline="") as stream, warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # an empty table is reported below
            table = np.loadtxt(stream, delimiter=",", skiprows=skip, usecols=positions, ndmin=2, comments=None)
    except ValueError:
        try:
            table = _numbers_slowly(path, file, skip, header, wanted, positions)
        except csv.Error as error:
            raise ConcertoError(
                f"{file} has a quotation mark that is never closed ({error}).",
                hint="The file is damaged: download it again.",
            ) from error
    if table.shape[0] == 0:
        raise ConcertoError(f"{file} has a header but no rows.", hint="Download the file again: it is cut off.")
    return table


def _numbers_slowly(path, file, skip, header, wanted, positions) -> np.ndarray:
    """As `_numbers`, for files with empty or quoted cells; names the first cell that is no number."""
    missing = {"", "na", "nan", "null", "-9999", "none"}
    rows = []
    with open(path, encoding="latin-1", newline="") as stream:
        for number, cells in enumerate(csv.reader(stream), start=1):
            if number <= skip or not cells:
                continue
            if len(cells) != len(header):
                raise ConcertoError(
                    f"{file}: line {number} has {len(cells)} cells, the header has {len(header)}.",
                    hint="The file is cut off or damaged there: download it again or remove the line.",
                )
            row = []
            for name, position in zip(wanted, positions, strict=True):
                text = cells[position].strip()
                try:
                    row.append(np.nan if text.lower() in missing else float(text))
                except ValueError as error:
                    raise ConcertoError(
                        f"{file}: {name} is not a number in line {number} ('{text}').",
                        hint="Write -9999 where a value is missing.",
                    ) from error
            rows.append(row)
    return np.array(rows, dtype=float).reshape(len(rows), len(wanted))


def _stamps(numbers, column, file) -> np.ndarray:
    """YYYYMMDDHHMM as datetime64[s]."""
    with np.errstate(invalid="ignore"):
        bad = ~((numbers >= 1e11) & (numbers < 1e12))
    if not bad.any():
        whole = numbers.astype(np.int64)
        minute, hour = whole % 100, whole // 100 % 100
        day, month, year = whole // 10**4 % 100, whole // 10**6 % 100, whole // 10**8
        month_start = ((year - 1970) * 12 + month - 1).astype("datetime64[M]")
        days = month_start.astype("datetime64[D]") + (day - 1)
        bad = (minute > 59) | (hour > 24) | (month < 1) | (month > 12) | (day < 1)
        bad |= days.astype("datetime64[M]") != month_start
    if bad.any():
        row = int(np.argmax(bad))
        raise ConcertoError(
            f"{file}: {column} is not a time YYYYMMDDHHMM at {int(bad.sum())} rows, first row {row + 1} "
            f"({numbers[row]:.0f}).",
            hint="Correct the stamps; daily files (YYYYMMDD) cannot drive the model.",
        )
    return days.astype("datetime64[s]") + (hour * 3600 + minute * 60).astype("timedelta64[s]")


_BIF = {
    "LOCATION_LAT": "latitude", "LOCATION_LONG": "longitude", "LOCATION_ELEV": "elevation", "UTC_OFFSET":
    "utc_offset_hours",
    "IGBP": "igbp", "HEIGHTC": "canopy_height",
}  # fmt: skip


def _metadata_beside(path, site, report) -> dict:
    """Place of the site from a BIF file in the same folder (columns SITE_ID, VARIABLE, DATAVALUE ...)."""
    metadata = {}
    for beside in sorted(path.parent.glob("*BIF*.csv")):
        if "BIFVARINFO" in beside.name or (
            site not in beside.name and "ALL" not in beside.name and "AA-" not in beside.name
        ):
            continue
        with open(beside, encoding="utf-8-sig", errors="replace", newline="") as stream:
            for row in csv.DictReader(stream):
                key = _BIF.get((row.get("VARIABLE") or "").strip())
                value = (row.get("DATAVALUE") or "").strip()
                if key is None or row.get("SITE_ID") != site or not value:
                    continue
                try:
                    metadata[key] = value if key == "igbp" else float(value)
                except ValueError:
                    continue
        if metadata:
            report.append(f"site metadata ({', '.join(sorted(metadata))}) from {beside.name}")
            break
    return metadata
