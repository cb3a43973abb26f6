"""Writers of small synthetic files of gridded forcing, one for each layout, from one known hourly weather.

Used by the tests and by the benchmarks. Every writer takes the weather of :func:`weather` and writes what the product
would hold of it: instants, means, sums of an interval or sums since midnight, in the units of the product.
"""

from pathlib import Path

import numpy as np

LATITUDE = np.array([45.25, 45.75, 46.25, 46.75])
LONGITUDE = np.array([-1.25, -0.75, -0.25, 0.25, 0.75])


def weather(n_day, latitude=LATITUDE, longitude=LONGITUDE, first_day="2001-01-01"):
    """Hourly weather, float64 (hour, lat, lon) in SI units.

    Instants (air temperature, dew point, pressure, wind) have one hour more than the means (radiation, precipitation).
    The sun is at its place for `first_day`; values never repeat from hour to hour.
    """
    from concerto.forcing.derive import top_of_atmosphere

    hour = np.arange(n_day * 24 + 1)[:, None, None]
    lat, lon = np.asarray(latitude)[None, :, None], np.asarray(longitude)[None, None, :]
    wave = np.sin((hour - 9.0 + lon / 15.0) * np.pi / 12.0)
    season = np.cos((hour / 24.0 - 200.0) * 2.0 * np.pi / 365.25)
    air = (
        284.0
        - 0.1 * np.abs(lat)
        + 2.0 * np.sin(np.deg2rad(lon))
        + 5.0 * wave
        + 8.0 * season
        + 2.0 * np.sin(hour / 41.0)
    )
    start = np.datetime64(first_day, "s")
    middle = start + (np.arange(n_day * 24) * 3600 + 1800).astype("timedelta64[s]")
    sun = top_of_atmosphere(middle[:, None, None], lat, lon) * (0.5 + 0.2 * np.sin(hour[:-1] / 31.0))
    rain = 2e-4 * np.maximum(np.sin(hour[:-1] / 5.0 + lon) * np.sin(hour[:-1] / 17.0 + lat), 0.0)
    snow = rain * np.clip((276.0 - air[:-1]) / 4.0, 0.0, 1.0)
    dew = air - 4.0 - 1.5 * np.cos(hour / 13.0)
    pressure = 98000.0 + 500.0 * np.sin(hour / 29.0) + 10.0 * lat + 0.0 * lon
    vapour = 611.21 * np.exp(17.502 * (dew - 273.16) / (dew - 32.19))
    shape = np.zeros_like(air)
    return {
        "Tair": air,
        "Tdew": dew,
        "Psurf": pressure + shape,
        "Qair": 0.622 * vapour / (pressure - 0.378 * vapour),
        "Wind_E": 3.0 + np.sin(hour / 7.0) + np.sin(np.deg2rad(lon)) + shape,
        "Wind_N": -2.0 + np.cos(hour / 9.0) + 0.05 * lat + shape,
        "SWdown": sun,
        "LWdown": 300.0 + 40.0 * np.sin(hour[:-1] / 23.0) + 9.0 * np.sin(np.deg2rad(lon)) + shape[:-1],
        "Precip": rain,
        "Snowf": snow,
    }


def means(values, hours):
    """Means of so many hours, (interval, lat, lon), of hourly means or of instants (those within the interval)."""
    n = len(values) // 24 * 24  # without the last instant
    return values[:n].reshape(-1, hours, *values.shape[1:]).mean(axis=1)


def write(
    path, variables, time, time_units, latitude, longitude, *, calendar="standard", bounds=None, time_name="time",
    names=("lat", "lon"), attributes=None, dtype="f4", fill=None, packed=(), time_attributes=None, chunk=None,
):  # fmt: skip
    """Write one file; `variables`: name -> (values (time, lat, lon), unit or None[, attributes])."""
    import netCDF4

    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with netCDF4.Dataset(str(path), "w") as file:
        file.setncatts(attributes or {})
        file.createDimension(time_name, len(time))
        file.createDimension(names[0], len(latitude))
        file.createDimension(names[1], len(longitude))
        axis = file.createVariable(time_name, "f8", (time_name,))
        if time_units is not None:
            axis.units = time_units
        axis.calendar = calendar
        axis.setncatts(time_attributes or {})
        axis[:] = time
        if bounds is not None:
            axis.bounds = "time_bnds"
            file.createDimension("bnds", 2)
            file.createVariable("time_bnds", "f8", (time_name, "bnds"))[:] = bounds
        for name, unit, values in zip(names, ("degrees_north", "degrees_east"), (latitude, longitude), strict=True):
            file.createVariable(name, "f8", (name,))[:] = values
            file[name].units = unit
        for name, (values, unit, *more) in variables.items():
            kind = "i2" if name in packed else dtype
            options = {"chunksizes": chunk} if chunk else {}
            fill_value = -32767 if name in packed else fill
            variable = file.createVariable(
                name, kind, (time_name, *names), fill_value=fill_value, zlib=chunk is not None, **options
            )
            if unit is not None:
                variable.units = unit
            variable.setncatts(more[0] if more else {})
            if name in packed:
                low, high = np.nanmin(values), np.nanmax(values)
                variable.scale_factor = (high - low) / 65000.0
                variable.add_offset = 0.5 * (low + high)
            variable[:] = values
    return Path(path)


def year_slices(first_year, n_day, calendar):
    """(year, slice of days) for each year of a record that starts on 1 January."""
    out, start, year = [], 0, first_year
    while start < n_day:
        leap = calendar == "standard" and (year % 4 == 0 and (year % 100 != 0 or year % 400 == 0))
        length = {"noleap": 365, "365_day": 365, "360_day": 360}.get(calendar, 366 if leap else 365)
        out.append((year, slice(start, min(start + length, n_day))))
        start, year = start + length, year + 1
    return out


def write_cru_jra(folder, truth, first_year=2001, *, latitude=LATITUDE, longitude=LONGITUDE, calendar="noleap"):
    """One file a variable and year, 6-hourly; amounts of six hours, instants at the stamp; seas are fill values."""
    n_day = len(truth["SWdown"]) // 24
    fields = {
        "tmp": (truth["Tair"][:-1:6], "Degrees Kelvin"),
        "spfh": (truth["Qair"][:-1:6], "kg/kg"),
        "pres": (truth["Psurf"][:-1:6], "Pascals"),
        "ugrd": (truth["Wind_E"][:-1:6], "m/s"),
        "vgrd": (truth["Wind_N"][:-1:6], "m/s"),
        "dlwrf": (means(truth["LWdown"], 6), "W/m^2"),
        "dswrf": (means(truth["SWdown"], 6) * 21600.0, "J/m^2"),
        "pre": (means(truth["Precip"], 6) * 21600.0, "mm/6h"),
    }
    days = 0
    for year, part in year_slices(first_year, n_day, calendar):
        steps = slice(part.start * 4, part.stop * 4)
        time = np.arange(steps.start, steps.stop) * 0.25
        for name, (values, unit) in fields.items():
            write(
                Path(folder) / f"crujra.v2.5.5d.{name}.{year}.365d.noc.nc", {name: (values[steps], unit)}, time,
                f"days since {first_year}-01-01 00:00:00", latitude, longitude, calendar=calendar, fill=-999.0,
            )  # fmt: skip
        days += part.stop - part.start
    return f"{folder}/crujra.v2.5.5d.{{variable}}.{{year}}.365d.noc.nc"


def _era5(folder, truth, sums, first_day, latitude, longitude, files, name, packed, rates=False):
    """All variables in each file; latitude descends, longitude from 0; `files` parts of equal length."""
    order = np.argsort(-np.asarray(latitude))
    east = np.asarray(longitude) % 360.0
    columns = np.argsort(east)
    n_hour = len(truth["SWdown"])
    fields = {
        "t2m": (truth["Tair"][:-1], "K"),
        "d2m": (truth["Tdew"][:-1], "K"),
        "sp": (truth["Psurf"][:-1], "Pa"),
        "u10": (truth["Wind_E"][:-1], "m s**-1"),
        "v10": (truth["Wind_N"][:-1], "m s**-1"),
    } | sums
    start = int((np.datetime64(first_day, "s") - np.datetime64("1970-01-01", "s")).astype(np.int64))
    for k, part in enumerate(np.array_split(np.arange(n_hour), files)):
        write(
            Path(folder) / f"{name}_{k:02d}.nc",
            {key: (values[part][:, order][:, :, columns], unit) for key, (values, unit) in fields.items()},
            start + part * 3600, "seconds since 1970-01-01", np.asarray(latitude)[order], east[columns],
            time_name="valid_time", names=("latitude", "longitude"), calendar="proleptic_gregorian", packed=packed,
        )  # fmt: skip
    return f"{folder}/{name}_*.nc"


def write_era5(
    folder, truth, first_day="2001-01-01", *, latitude=LATITUDE, longitude=LONGITUDE, files=2, packed=(), before=0.0,
    rates=False,
):  # fmt: skip
    """ERA5: sums of the hour that ends at the stamp (`before`: that of the first stamp), or its mean rates."""

    def ending(values):
        return np.concatenate((np.full((1, *values.shape[1:]), before), values[:-1]))

    if rates:
        sums = {
            "avg_sdswrf": (ending(truth["SWdown"]), "W m**-2"),
            "avg_sdlwrf": (ending(truth["LWdown"]), "W m**-2"),
            "avg_tprate": (ending(truth["Precip"]), "kg m**-2 s**-1"),
            "avg_tsrwe": (ending(truth["Snowf"]), "kg m**-2 s**-1"),
        }
    else:
        sums = {
            "ssrd": (ending(truth["SWdown"]) * 3600.0, "J m**-2"),
            "strd": (ending(truth["LWdown"]) * 3600.0, "J m**-2"),
            "tp": (ending(truth["Precip"]) * 3.6, "m"),
            "sf": (ending(truth["Snowf"]) * 3.6, "m of water equivalent"),
        }
    return _era5(folder, truth, sums, first_day, latitude, longitude, files, "era5", packed)


def write_era5_land(
    folder, truth, first_day="2001-01-01", *, latitude=LATITUDE, longitude=LONGITUDE, files=2, packed=()
):
    """ERA5-Land: sums from 00 UTC, at 00 UTC the whole day before."""

    def since_midnight(values):
        days = values.reshape(-1, 24, *values.shape[1:])
        total = np.cumsum(days, axis=1).reshape(values.shape)  # at the end of each hour
        return np.concatenate((np.full((1, *values.shape[1:]), np.nan), total[:-1]))

    sums = {
        "ssrd": (since_midnight(truth["SWdown"]) * 3600.0, "J m**-2"),
        "strd": (since_midnight(truth["LWdown"]) * 3600.0, "J m**-2"),
        "tp": (since_midnight(truth["Precip"]) * 3.6, "m"),
        "sf": (since_midnight(truth["Snowf"]) * 3.6, "m of water equivalent"),
    }
    return _era5(folder, truth, sums, first_day, latitude, longitude, files, "land", packed)


def daily(truth):
    """CMIP names: daily means, with minimum and maximum temperature."""
    air = truth["Tair"][:-1].reshape(-1, 24, *truth["Tair"].shape[1:])
    return {
        "tas": (air.mean(axis=1), "K"),
        "tasmin": (air.min(axis=1), "K"),
        "tasmax": (air.max(axis=1), "K"),
        "huss": (means(truth["Qair"], 24), "kg kg-1"),
        "ps": (means(truth["Psurf"], 24), "Pa"),
        "rsds": (means(truth["SWdown"], 24), "W m-2"),
        "rlds": (means(truth["LWdown"], 24), "W m-2"),
        "sfcwind": (means(np.hypot(truth["Wind_E"], truth["Wind_N"]), 24), "m s-1"),
        "pr": (means(truth["Precip"], 24), "kg m-2 s-1"),
        "prsn": (means(truth["Snowf"], 24), "kg m-2 s-1"),
    }


def write_isimip3(
    folder, truth, first_year=2001, *, latitude=LATITUDE, longitude=LONGITUDE, calendar="standard", noon=False
):
    """One file a variable for the whole record, latitude descending, named by its first and last year."""
    n_day = len(truth["SWdown"]) // 24
    last = year_slices(first_year, n_day, calendar)[-1][0]
    for name, (values, unit) in daily(truth).items():
        write(
            Path(folder) / f"{name}_gswp3-w5e5_obsclim_{first_year}-{last}.nc", {name: (values[:, ::-1], unit)},
            np.arange(n_day) + 0.5 * noon, f"days since {first_year}-1-1 00:00:00", np.asarray(latitude)[::-1],
            longitude, calendar=calendar, fill=1e20,
        )  # fmt: skip
    return f"{folder}/{{variable}}_gswp3-w5e5_obsclim_{{start}}-{{end}}.nc"


def three_hourly(truth, hours=3):
    """CMIP names: means of three hours."""
    out = {name: values for name, values in daily(truth).items() if not name.startswith("tas")}
    source = {"huss": "Qair", "ps": "Psurf", "rsds": "SWdown", "rlds": "LWdown", "pr": "Precip", "prsn": "Snowf"}
    out = {name: (means(truth[source[name]], hours), unit) for name, (_, unit) in out.items() if name in source}
    wind = np.hypot(truth["Wind_E"], truth["Wind_N"])
    return out | {"tas": (means(truth["Tair"], hours), "K"), "sfcWind": (means(wind, hours), "m s-1")}


def write_gswp3(folder, truth, first_year=2001, *, latitude=LATITUDE, longitude=LONGITUDE, bounds=True):
    """Yearly files of 3-hourly means, stamps in the middle of the interval, with bounds."""
    n_day = len(truth["SWdown"]) // 24
    for year, part in year_slices(first_year, n_day, "standard"):
        steps = slice(part.start * 8, part.stop * 8)
        edge = np.arange(steps.start, steps.stop + 1) * 0.125
        for name, (values, unit) in three_hourly(truth).items():
            write(
                Path(folder) / f"{name}_{year}.nc", {name: (values[steps], unit, {"cell_methods": "time: mean"})},
                0.5 * (edge[:-1] + edge[1:]), f"days since {first_year}-01-01", latitude, longitude,
                bounds=np.stack([edge[:-1], edge[1:]], axis=1) if bounds else None,
            )  # fmt: skip
    return f"{folder}/{{variable}}_{{year}}.nc"


def alma(truth, hours=1):
    """ALMA names: means, rain and snow apart."""
    wind = np.hypot(truth["Wind_E"], truth["Wind_N"])
    return {
        "Tair": (means(truth["Tair"], hours), "K"),
        "Qair": (means(truth["Qair"], hours), "kg/kg"),
        "Psurf": (means(truth["Psurf"], hours), "Pa"),
        "SWdown": (means(truth["SWdown"], hours), "W/m2"),
        "LWdown": (means(truth["LWdown"], hours), "W/m2"),
        "Wind": (means(wind, hours), "m/s"),
        "Rainf": (means(truth["Precip"] - truth["Snowf"], hours), "kg/m2/s"),
        "Snowf": (means(truth["Snowf"], hours), "kg/m2/s"),
    }


def write_alma(
    path, truth, first_day="2001-01-01", *, hours=1, latitude=LATITUDE, longitude=LONGITUDE, local=0, **options
):
    """One file; `local`: hours that its clock is ahead of UTC (the weather stays where it is)."""
    fields = alma(truth, hours)
    n = len(fields["Tair"][0])
    time = np.arange(n) * hours + local
    return write(path, fields, time, f"hours since {first_day} 00:00:00", latitude, longitude, **options)


def write_monthly(path, n_year=2, first_year=2001, *, latitude=LATITUDE, longitude=LONGITUDE, wind=True):
    """CRU-TS-like file of months; returns the fields as well, (month, lat, lon)."""
    month = np.arange(n_year * 12)[:, None, None]
    grid = np.asarray(latitude)[None, :, None] * 0.05 + np.asarray(longitude)[None, None, :] * 0.1
    fields = {
        "tmp": (8.0 - 10.0 * np.cos(month * np.pi / 6.0) + grid, "degrees Celsius"),
        "dtr": (8.0 + np.sin(month * np.pi / 6.0) + 0.1 * grid, "degrees Celsius"),
        "pre": (60.0 + 20.0 * np.sin(month) + grid, "mm/month"),
        "wet": (10.0 + np.cos(month) + 0.0 * grid, "days"),
        "rsds": (140.0 - 90.0 * np.cos(month * np.pi / 6.0) + grid, "W m-2"),
        "vap": (9.0 - 4.0 * np.cos(month * np.pi / 6.0) + 0.1 * grid, "hPa"),
    }
    if wind:
        fields["wnd"] = (3.0 + 0.5 * np.cos(month) + 0.1 * grid, "m/s")
    start = np.datetime64(f"{first_year:04d}-01", "M") + np.arange(n_year * 12)
    time = (start.astype("datetime64[D]") - np.datetime64("1900-01-01", "D")).astype(float) + 14.0
    write(path, fields, time, "days since 1900-1-1", latitude, longitude)
    return {name: values for name, (values, _) in fields.items()}


def write_zarr(path, source):
    """A copy of a NetCDF file as a Zarr store (format 3, dimension names)."""
    import netCDF4
    import zarr

    group = zarr.open_group(str(path), mode="w")
    with netCDF4.Dataset(str(source)) as file:
        file.set_auto_maskandscale(False)
        for name, variable in file.variables.items():
            array = group.create_array(
                name, shape=variable.shape, dtype=variable.dtype, dimension_names=variable.dimensions
            )
            array[...] = variable[...]
            for key in variable.ncattrs():
                value = variable.getncattr(key)
                array.attrs[key] = value.item() if hasattr(value, "item") else value
    return Path(path)


def cells(latitude=LATITUDE, longitude=LONGITUDE, elevation=0.0):
    """A domain of all cells of a grid (only what readers of forcing look at), from the north-west."""
    from types import SimpleNamespace

    lat, lon = np.sort(np.asarray(latitude))[::-1], np.sort((np.asarray(longitude) + 180.0) % 360.0 - 180.0)
    n = lat.size * lon.size
    return SimpleNamespace(
        latitude=np.repeat(lat, lon.size),
        longitude=np.tile(lon, lat.size),
        elevation=np.full(n, float(elevation)),
        cell_id=np.arange(n),
    )


def of_cells(values, latitude=LATITUDE, longitude=LONGITUDE):
    """Fields (time, lat, lon) of the writers as the model orders them, (cell, time)."""
    row = np.argsort(-np.asarray(latitude), kind="stable")
    column = np.argsort((np.asarray(longitude) + 180.0) % 360.0 - 180.0, kind="stable")
    return values[:, row][:, :, column].reshape(len(values), -1).T
