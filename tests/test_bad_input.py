"""Faulty input ends in one clear sentence and a hint: a good file is broken in many ways, and each is named.

`bad_input_table()` gives (what was done, message, hint) for the documentation;
`python -m pytest -s -k table tests/test_bad_input.py` prints it.
"""

import copy
import gzip
import re
from pathlib import Path

import numpy as np
import pytest

from concerto.errors import ConcertoError
from concerto.forcing import derive, read_site

STEP = 1800
DAYS = 30


def good_record():
    """Thirty half-hourly June days at 50 N 15 E: time, variables (values, unit), scalars and attributes."""
    n = DAYS * 86400 // STEP
    minutes = np.arange(n) * STEP // 60
    start = np.datetime64("2004-06-01T00:00:00", "s")
    middle_utc = start + (minutes * 60 + STEP // 2 - 3600).astype("timedelta64[s]")
    random = np.random.default_rng(5)
    day = np.arange(n) // 48
    top = derive.top_of_atmosphere(middle_utc, 50.0, 15.0)
    sky = np.repeat(random.uniform(0.35, 0.75, DAYS), 48)
    hour = minutes / 60.0 % 24
    air = 288.0 + 3.0 * np.sin(day / 4.0) + 6.0 * np.cos((hour - 15.0) / 24.0 * 2 * np.pi)
    pressure = 97000.0 + 300.0 * np.sin(day / 3.0)
    saturated = derive.saturation_pressure_bolton(air)
    deficit = np.minimum(250.0 + 40.0 * (air - 280.0), 0.9 * saturated)
    vapour = saturated - deficit
    rain = np.where((day % 4 == 0) & (hour > 16) & (hour < 19), 2e-4, 0.0)
    variables = {
        "Tair": (air, "K"),
        "Qair": (derive.specific_humidity(vapour, pressure), "kg kg-1"),
        "Psurf": (pressure, "Pa"),
        "SWdown": (top * sky, "W m-2"),
        "LWdown": (derive.longwave_down(air, vapour) + 10.0, "W m-2"),
        "Wind": (2.5 + np.sin(day) + 0.5 * np.cos(hour / 4.0), "m s-1"),
        "Rainf": (rain, "kg m-2 s-1"),
        "Snowf": (np.zeros(n), "kg m-2 s-1"),
        "CO2air": (378.0 + 5.0 * np.cos(hour / 24.0 * 2 * np.pi), "1e-6"),
        "LAI": (3.0 + 0.02 * day, "1"),
        "NEE": (2.0 - 0.02 * top * sky, "umol m-2 s-1"),
        "Qle": (0.3 * top * sky, "W m-2"),
    }
    return {
        "time": minutes.astype(float),
        "time_unit": "minutes since 2004-06-01 00:00:00",
        "calendar": "standard",
        "bounds": True,
        "variables": variables,
        "scalars": {
            "latitude": 50.0,
            "longitude": 15.0,
            "elevation": 350.0,
            "reference_height": 30.0,
            "canopy_height": 20.0,
        },
        "attributes": {"site_id": "XX-Syn", "IGBP": "ENF", "utc_offset_hours": 1.0, "forcing_tier": "A"},
        "time_attributes": {},
    }


def write_netcdf(path, record):
    """The record in the layout of the project's site files."""
    import netCDF4

    with netCDF4.Dataset(str(path), "w") as data:
        data.setncatts(record["attributes"])
        if not record["variables"] and record["time"].size == 0:
            return path
        data.createDimension("time", record["time"].size)
        time = data.createVariable("time", "f8", ("time",))
        if record["time_unit"] is not None:
            time.units = record["time_unit"]
        time.calendar = record["calendar"]
        time.setncatts(record["time_attributes"])
        time[:] = record["time"]
        if record["bounds"]:
            data.createDimension("bnds", 2)
            time.bounds = "time_bnds"
            bounds = data.createVariable("time_bnds", "f8", ("time", "bnds"))
            bounds[:] = np.stack([record["time"], record["time"] + STEP / 60], axis=1)
        for name, value in record["scalars"].items():
            data.createVariable(name, "f8", ())[...] = value
        for name, (values, unit) in record["variables"].items():
            variable = data.createVariable(name, "f8", ("time",), fill_value=-9999.0)
            if unit is not None:
                variable.units = unit
            variable[:] = values
    return path


# --- ways to break the record: name, function(record) -> None, words that the message must hold
# -------------------

FIRST = 500  # a step in the middle: 2004-06-11 10:00
FIRST_TIME = "2004-06-11 10:00"


def put(name, value, count=1, first=FIRST):
    def change(record):
        record["variables"][name][0][first : first + count] = value

    return change


def unit(name, text):
    def change(record):
        record["variables"][name] = (record["variables"][name][0], text)

    return change


def shift_values(name, function, text=None):
    def change(record):
        values, old = record["variables"][name]
        record["variables"][name] = (function(values), text or old)

    return change


def drop(*names):
    def change(record):
        for name in names:
            del record["variables"][name]

    return change


def rename(old, new):
    def change(record):
        record["variables"][new] = record["variables"].pop(old)

    return change


def scalar(name, value):
    def change(record):
        record["scalars"][name] = value

    return change


def without_place(record):
    del record["scalars"]["latitude"]


def attribute(name, value):
    def change(record):
        record["attributes"][name] = value

    return change


def set_key(name, value):
    def change(record):
        record[name] = value

    return change


def cut_days(first_day, days):
    def change(record):
        keep = np.ones(record["time"].size, dtype=bool)
        keep[first_day * 48 : (first_day + days) * 48] = False
        record["time"] = record["time"][keep]
        record["variables"] = {k: (v[keep], u) for k, (v, u) in record["variables"].items()}

    return change


def keep_rows(rows):
    def change(record):
        record["time"] = record["time"][rows]
        record["variables"] = {k: (v[rows], u) for k, (v, u) in record["variables"].items()}

    return change


def repeat_hour(record):
    rows = np.concatenate([np.arange(FIRST + 2), np.arange(FIRST, record["time"].size)])
    keep_rows(rows)(record)
    record["variables"]["Tair"][0][FIRST] += 1.0


def jitter(record):
    record["time"][FIRST] += 11.0


def no_time_value(record):
    record["time"][FIRST] = np.nan
    record["bounds"] = False


def utc_stamps(record):
    """Shortwave of a place seven hours west, whose stamps are UTC while local time is claimed."""
    record["scalars"]["longitude"] = -105.0
    record["attributes"]["utc_offset_hours"] = -7.0
    values, text = record["variables"]["SWdown"]
    record["variables"]["SWdown"] = (np.roll(values, 14), text)


def local_stamps_said_utc(record):
    record["scalars"]["longitude"] = 105.0
    record["attributes"]["utc_offset_hours"] = 0.0


def three_hours_late(record):
    values, text = record["variables"]["SWdown"]
    record["variables"]["SWdown"] = (np.roll(values, 6), text)


def wrong_sign_of_longitude(record):
    record["scalars"]["longitude"] = 105.0
    record["attributes"]["utc_offset_hours"] = -7.0


MUTATIONS = [
    ("no air temperature", drop("Tair"), ["Tair"]),
    ("air temperature under another name", rename("Tair", "T_air"), ["Tair", "T_air"]),
    ("no shortwave", drop("SWdown"), ["SWdown"]),
    ("no humidity in any form", drop("Qair"), ["Qair", "VPD", "RH"]),
    ("no pressure and no elevation", lambda r: (drop("Psurf")(r), r["scalars"].pop("elevation")), ["Psurf"]),
    ("no latitude", without_place, ["latitude"]),
    ("latitude 95", scalar("latitude", 95.0), ["latitude", "95"]),
    ("longitude not a number", scalar("longitude", np.nan), ["longitude"]),
    (
        "latitude and longitude exchanged",
        lambda r: r["scalars"].update(latitude=131.0, longitude=-12.0),
        ["latitude"],
    ),
    ("offset from UTC of 99 h", attribute("utc_offset_hours", 99.0), ["utc_offset_hours", "99"]),
    ("elevation in feet", scalar("elevation", 11500.0), ["elevation"]),
    ("land cover ENFF", attribute("IGBP", "ENFF"), ["ENFF", "ENF"]),
    ("temperature without unit", unit("Tair", None), ["Tair", "unit"]),
    ("temperature in degrees Fahrenheit", unit("Tair", "degF"), ["Tair", "degF"]),
    ("shortwave in MJ", unit("SWdown", "MJ m-2"), ["SWdown", "MJ m-2"]),
    ("rain in inches", unit("Rainf", "inch"), ["Rainf", "inch"]),
    ("degC values called K", shift_values("Tair", lambda x: x - 273.15), ["Tair", "degC", "1440"]),
    ("K values called degC", unit("Tair", "degC"), ["Tair", "K"]),
    ("hPa values called Pa", shift_values("Psurf", lambda x: x / 100.0), ["Psurf", "hPa", "1440"]),
    ("kPa values called Pa", shift_values("Psurf", lambda x: x / 1000.0), ["Psurf", "kPa"]),
    ("g kg-1 values called kg kg-1", shift_values("Qair", lambda x: x * 1000.0), ["Qair", "g kg-1"]),
    ("mm per half-hour called kg m-2 s-1", shift_values("Rainf", lambda x: x * 1800.0), ["Rainf"]),
    ("rain of 40 m per year", shift_values("Rainf", lambda x: x * 0.0 + 1.3e-3), ["Rainf", "per year"]),
    ("temperature of 5000 K, twice", put("Tair", 5000.0, 2), ["Tair", "2 impossible", FIRST_TIME]),
    ("infinite temperature", put("Tair", np.inf), ["Tair", FIRST_TIME]),
    ("temperature of 0 K", put("Tair", 0.0), ["Tair", FIRST_TIME]),
    ("shortwave of 9000", put("SWdown", 9000.0), ["SWdown", FIRST_TIME]),
    ("shortwave of -500", put("SWdown", -500.0, 3), ["SWdown", "3 impossible", FIRST_TIME]),
    ("missing written as -999", put("Tair", -999.0, 5), ["Tair", "5 impossible", FIRST_TIME, "-9999"]),
    ("negative wind", put("Wind", -3.0), ["Wind", FIRST_TIME]),
    ("negative rain", put("Rainf", -1e-3), ["Rainf", FIRST_TIME]),
    ("CO2 of 3 ppm for days", put("CO2air", 3.0, 100), ["CO2air", FIRST_TIME]),
    ("leaf area index of 80", put("LAI", 80.0), ["LAI", FIRST_TIME]),
    ("pressure of 20 hPa", put("Psurf", 2000.0), ["Psurf", FIRST_TIME]),
    ("constant temperature", shift_values("Tair", lambda x: x * 0.0 + 285.0), ["Tair", "1440"]),
    ("shortwave all missing", shift_values("SWdown", lambda x: x * 0.0 - 9999.0), ["SWdown", "2004-06-01"]),
    ("shortwave always zero", shift_values("SWdown", lambda x: x * 0.0), ["SWdown"]),
    (
        "temperature missing for 16 days",
        put("Tair", -9999.0, 16 * 48, 240),
        ["Tair", "16.0 days", "2004-06-06"],
    ),
    ("16 days missing from the time axis", cut_days(5, 16), ["16.0 days", "2004-06-05 23:30"]),
    ("twice the humidity of saturation", shift_values("Qair", lambda x: x * 3.0), ["Qair", "saturation"]),
    ("an hour that occurs twice", repeat_hour, [FIRST_TIME, "occur twice", "Tair"]),
    ("one stamp eleven minutes late", jitter, ["irregular", "2004-06-11 10:11"]),
    ("a missing time", no_time_value, ["time", "501"]),
    ("time without unit", set_key("time_unit", None), ["time"]),
    ("time unit 'fortnights'", set_key("time_unit", "fortnights since 2004-06-01"), ["time", "fortnights"]),
    ("reference date 31 June", set_key("time_unit", "minutes since 2004-06-31 00:00"), ["time"]),
    ("calendar of 360 days", set_key("calendar", "360_day"), ["360_day"]),
    ("daily values", lambda r: (r.update(bounds=False), keep_rows(np.arange(0, 1440, 48))(r)), ["86400"]),
    ("half a day of data", keep_rows(np.arange(24)), ["12 h"]),
    ("one row", keep_rows(np.arange(1)), ["1 row"]),
    ("stamps in UTC called local", utc_stamps, ["SWdown", "7 h", "UTC"]),
    ("local stamps called UTC", local_stamps_said_utc, ["SWdown", "local time"]),
    ("stamps three hours late", three_hours_late, ["SWdown", "3 h"]),
    ("east longitude of a site in the west", wrong_sign_of_longitude, ["SWdown", "longitude"]),
    (
        "a year without CO2 value",
        lambda r: (drop("CO2air")(r), r.update(time_unit="minutes since 1500-06-01")),
        ["1500"],
    ),
    (
        "hPa values of pressure called kPa",
        shift_values("Psurf", lambda x: x / 100.0, "kPa"),
        ["Psurf", "stated in kPa", "hPa"],
    ),
    (
        "hPa values of VPD called kPa",
        lambda r: (
            rename("Qair", "VPD")(r),
            shift_values("VPD", lambda x: np.linspace(1, 20, x.size), "kPa")(r),
        ),
        ["VPD", "stated in kPa", "hPa"],
    ),
    (
        "Pa values of VPD called hPa",
        lambda r: (
            rename("Qair", "VPD")(r),
            shift_values("VPD", lambda x: x * 0 + np.linspace(0, 1500, x.size), "hPa")(r),
        ),
        ["VPD"],
    ),
]


def truncated(path):
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def header_only(path):
    path.write_bytes(path.read_bytes()[:300])


def damaged(path):
    """A hole of zeros in the middle, as after an interrupted transfer."""
    content = bytearray(path.read_bytes())
    content[600 : len(content) - 600] = bytes(len(content) - 1200)
    path.write_bytes(content)


FILE_MUTATIONS = [
    ("file cut in half", "syn.nc", truncated, ["syn.nc", "truncated"]),
    ("file cut after its header", "syn.nc", header_only, ["syn.nc"]),
    ("file with a hole", "syn.nc", damaged, ["syn.nc", "corrupt"]),
    ("empty file", "syn.nc", lambda p: p.write_bytes(b""), ["syn.nc", "empty"]),
    ("text called .nc", "syn.nc", lambda p: p.write_text("hello world\n"), ["syn.nc", "not a NetCDF"]),
    ("login page", "syn.nc", lambda p: p.write_text("<!DOCTYPE html><html>login</html>"), ["web page"]),
    ("compressed file", "syn.nc", lambda p: p.write_bytes(gzip.compress(p.read_bytes())), ["gzip"]),
    ("zip archive", "syn.nc", lambda p: p.write_bytes(b"PK\x03\x04" + bytes(50)), ["zip"]),
    (
        "spreadsheet",
        "syn.xlsx",
        lambda p: p.write_bytes(b"\xd0\xcf\x11\xe0" + bytes(50)),
        ["neither", ".xlsx"],
    ),
    (
        "CSV of another kind",
        "syn.csv",
        lambda p: p.write_text("date,temp\n2004-06-01,12\n"),
        ["TIMESTAMP_START"],
    ),
    (
        "daily CSV",
        "FLX_XX-Syn_FLUXNET2015_FULLSET_DD_2004-2004.csv",
        lambda p: p.write_text("TIMESTAMP,TA_F,SW_IN_F\n20040601,12,200\n"),
        ["daily", "TIMESTAMP"],
    ),
    (
        "CSV with a word in a number column",
        "FLX_XX-Syn_FLUXNET2015_FULLSET_HH_2004-2004.csv",
        lambda p: p.write_text("TIMESTAMP_START,TA_F,SW_IN_F,VPD_F\n200406010000,12,0,3\n200406010030,warm,0,3\n"),
        ["TA_F", "line 3", "warm"],
    ),
    (
        "CSV row cut off",
        "FLX_XX-Syn_FLUXNET2015_FULLSET_HH_2004-2004.csv",
        lambda p: p.write_text("TIMESTAMP_START,TA_F,SW_IN_F,VPD_F\n200406010000,12,0,3\n200406010030,1\n"),
        ["line 3", "cells"],
    ),
    (
        "CSV with stamp 31 June",
        "FLX_XX-Syn_FLUXNET2015_FULLSET_HH_2004-2004.csv",
        lambda p: p.write_text("TIMESTAMP_START,TA_F,SW_IN_F,VPD_F\n200406010000,12,0,3\n200406310030,12,0,3\n"),
        ["TIMESTAMP_START", "200406310030"],
    ),
    (
        "CSV without rows",
        "FLX_XX-Syn_FLUXNET2015_FULLSET_HH_2004-2004.csv",
        lambda p: p.write_text("TIMESTAMP_START,TA_F,SW_IN_F,VPD_F\n"),
        ["no rows"],
    ),
    (
        "CSV without latitude",
        "FLX_XX-Syn_FLUXNET2015_FULLSET_HH_2004-2004.csv",
        lambda p: p.write_text("TIMESTAMP_START,TA_F,SW_IN_F,VPD_F\n200406010000,12,0,3\n200406010030,12,0,3\n"),
        ["latitude"],
    ),
]


def complaint(path, **options) -> ConcertoError:
    with pytest.raises(ConcertoError) as caught:
        read_site(path, **options)
    return caught.value


def break_record(folder, change) -> Path:
    record = copy.deepcopy(good_record())
    change(record)
    return write_netcdf(Path(folder) / "syn.nc", record)


def break_file(folder, name, change) -> Path:
    path = write_netcdf(Path(folder) / name, good_record())
    change(path)
    return path


def bad_input_table(folder) -> list[tuple[str, str, str]]:
    """(what was done to a good file, message, hint) for every fault; `folder` takes the files."""
    rows = []
    for what, change, _ in MUTATIONS:
        error = complaint(break_record(folder, change))
        rows.append((what, error.message, error.hint))
    for k, (what, name, change, _) in enumerate(FILE_MUTATIONS):
        # A folder each: the NetCDF library keeps a lock on a file that it failed to open.
        own = Path(folder) / str(k)
        own.mkdir()
        error = complaint(break_file(own, name, change))
        rows.append((what, error.message, error.hint))
    return rows


def assert_clear(error, words, path):
    assert error.hint, error.message
    for word in words:
        assert word in error.message + " " + error.hint, (word, error.message, error.hint)
    # One sentence that names the file and does not leak a Python object.
    assert path.name in error.message, error.message
    assert error.message.rstrip().endswith((".", "?")), error.message
    for leak in ("Traceback", "array(", "np.float", "masked", "None", "object at"):
        assert leak not in error.message + error.hint, error.message
    assert len(error.message) < 420


@pytest.mark.parametrize("what, change, words", MUTATIONS, ids=[m[0] for m in MUTATIONS])
def test_a_faulty_record_is_named_with_variable_time_and_hint(tmp_path, what, change, words):
    path = break_record(tmp_path, change)
    assert_clear(complaint(path), words, path)


@pytest.mark.parametrize("what, name, change, words", FILE_MUTATIONS, ids=[m[0] for m in FILE_MUTATIONS])
def test_a_faulty_file_is_named_with_a_hint(tmp_path, what, name, change, words):
    path = break_file(tmp_path, name, change)
    assert_clear(complaint(path), words, path)


def test_the_good_record_reads_without_complaint(tmp_path):
    site = read_site(write_netcdf(tmp_path / "syn.nc", good_record()))
    assert site.n_steps == 1440
    # Short synthetic months lack a year, and nothing else is worth a warning.
    assert [line for line in site.warnings if "less than a year" not in line] == []


def test_a_directory_or_a_misspelt_name_is_answered_with_the_nearest_file(tmp_path):
    write_netcdf(tmp_path / "FI-Hyy_2005.nc", good_record())
    error = complaint(tmp_path)
    assert "directory" in error.message and "FI-Hyy_2005.nc" in error.hint
    error = complaint(tmp_path / "FI-Hy_2005.nc")
    assert "no file" in error.message and "FI-Hyy_2005.nc" in error.hint
    error = complaint(tmp_path / "nowhere" / "x.nc")
    assert "does not exist" in error.hint


def test_variables_of_many_places_are_sent_to_the_grid_command(tmp_path):
    import netCDF4

    with netCDF4.Dataset(str(tmp_path / "grid.nc"), "w") as data:
        data.createDimension("time", 100)
        data.createDimension("cell", 3)
        time = data.createVariable("time", "f8", ("time",))
        time.units, time[:] = "hours since 2004-01-01", np.arange(100)
        data.createVariable("Tair", "f8", ("time", "cell"))[:] = 280.0
        data.latitude, data.longitude = 50.0, 10.0
    error = complaint(tmp_path / "grid.nc")
    assert "3 values along 'cell'" in error.message and "concerto run" in error.hint


def test_every_message_names_when_and_how_many_for_single_bad_values(tmp_path):
    for what, change, words in MUTATIONS:
        if FIRST_TIME not in words:
            continue
        error = complaint(break_record(tmp_path, change))
        assert re.search(r"\b\d+ (impossible|steps?)", error.message), (what, error.message)


def test_faults_planted_in_a_real_site_file_are_found(tmp_path, shared):
    import shutil

    import netCDF4

    source = shared("data/sites/US-Wkg_2004-2004.nc")
    for name, value, word in (
        ("Tair", 25.0, "impossible"),
        ("SWdown", 5000.0, "impossible"),
        ("Qair", 0.9, "impossible"),
    ):
        path = tmp_path / "US-Wkg.nc"
        shutil.copy(source, path)
        with netCDF4.Dataset(str(path), "a") as data:
            data[name][1000:1003] = value
        error = complaint(path)
        assert name in error.message and word in error.message and "3 " in error.message
        assert "2004-05-27 20:00" in error.message


def test_print_the_table_of_bad_input(tmp_path):
    rows = bad_input_table(tmp_path)
    for what, message, hint in rows:
        print(f"{what}\n    {message}\n    hint: {hint}")
    assert len(rows) >= 30
    # Distinct faults get distinct messages.
    assert len({message for _, message, _ in rows}) >= len(rows) - 2
