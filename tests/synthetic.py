"""Synthetic sites and weather: the tests of the whole model run without any data beside the project."""

import numpy as np

from concerto import Tiles
from concerto.forcing.derive import saturation_pressure, specific_humidity
from concerto.forcing.weather import climate_normals, generate
from concerto.simulation.forcing import end_of_day, forcing_array
from concerto.simulation.spinup import initialise
from concerto.tables import loader

IGBP = {"temperate_deciduous": "DBF", "boreal_evergreen": "ENF", "prairie": "GRA", "cropland": "CRO", "tundra": "OSH"}

# Weather of one kind: ranges of the daily mean air temperature (K), its daily amplitude (K), relative humidity,
# noon shortwave (W m-2), longwave as a share of that of a black sky, wind (m s-1), precipitation while it falls
# (mm h-1) and the share of time in which it falls. Record values of stations, not their averages.
REGIMES = {
    "hot and dry": (304.0, 312.0, 10.0, 0.03, 0.20, 900.0, 1150.0, 0.65, 0.80, 0.0, 15.0, 0.0, 0.0),
    "arctic night": (215.0, 250.0, 2.0, 0.60, 0.99, 0.0, 0.0, 0.50, 0.95, 0.0, 25.0, 1.0, 0.1),
    "storms": (290.0, 301.0, 4.0, 0.70, 0.99, 100.0, 700.0, 0.85, 0.99, 0.0, 30.0, 60.0, 0.3),
    "calm and clear": (270.0, 295.0, 9.0, 0.40, 0.99, 600.0, 1000.0, 0.60, 0.70, 0.0, 0.5, 0.0, 0.0),
    "snow": (262.0, 273.5, 3.0, 0.80, 0.99, 50.0, 400.0, 0.80, 0.99, 0.0, 20.0, 15.0, 0.4),
    "thaw and frost": (270.0, 277.0, 6.0, 0.60, 0.99, 200.0, 800.0, 0.65, 0.99, 0.0, 12.0, 10.0, 0.2),
    "rain forest": (297.0, 301.0, 4.0, 0.80, 0.99, 500.0, 1100.0, 0.85, 0.97, 0.1, 3.0, 30.0, 0.2),
}


def extreme_forcing(n_cell, days, step_seconds, seed=1):
    """Forcing (cell, column, step) of extreme days, and the ends of the days. Each cell changes its regime every day
    or two, so that storms fall on snow, frost takes wet soil and heat takes dry soil."""
    random = np.random.default_rng(seed)
    per_day = 86400 // step_seconds
    ranges = np.array(list(REGIMES.values()))
    hour = (np.arange(per_day) + 0.5) * 24.0 / per_day
    kinds = np.repeat(random.integers(len(ranges), size=(n_cell, days // 2 + 1)), 2, axis=1)
    kinds = np.where(random.random(kinds.shape) < 0.2, np.roll(kinds, 1, axis=1), kinds)[:, :days]
    of_day = ranges[kinds]  # (cell, day, range)

    # from one day to the next within twelve hours around midnight
    place = (np.arange(days * per_day) + 0.5) / per_day - 0.5
    place = np.clip(np.floor(place) + np.clip(2.0 * (place % 1.0) - 0.5, 0.0, 1.0), 0.0, days - 1.0)
    before = place.astype(int)
    share = place - before

    def steps(daily):  # (cell, day) -> (cell, step)
        return daily[:, before] * (1.0 - share) + daily[:, np.minimum(before + 1, days - 1)] * share

    def draw(low):
        return steps(of_day[..., low] + (of_day[..., low + 1] - of_day[..., low]) * random.random(kinds.shape))

    fine = (np.arange(288) + 0.5) / 12.0  # means over the steps: hours of a day in steps of five minutes
    sun = np.maximum(np.cos((fine - 12.0) / 12.0 * np.pi), 0.0).reshape(per_day, -1).mean(axis=1)
    sun = np.tile(sun, days)
    course = np.tile(np.cos((fine - 14.5) / 12.0 * np.pi).reshape(per_day, -1).mean(axis=1), days)
    shape = (n_cell, days * per_day)
    air = draw(0) + steps(of_day[..., 2]) * course + random.normal(0.0, 0.3, shape)
    pressure = np.broadcast_to(random.uniform(62000.0, 104000.0, (n_cell, 1)), shape)
    humid = np.clip(draw(3) + random.normal(0.0, 0.03, shape), 0.02, 1.0)
    falls = random.random(shape) < np.repeat(of_day[..., 12], per_day, axis=1)
    amount = falls * random.random(shape) ** 2 * np.repeat(of_day[..., 11], per_day, axis=1) / 3600.0
    solid = np.clip((275.15 - air) / 3.0, 0.0, 1.0)
    values = {
        "air_temperature": air,
        "specific_humidity": specific_humidity(humid * saturation_pressure(air), pressure),
        "pressure": pressure,
        "shortwave_down": draw(5) * sun * random.uniform(0.6, 1.0, shape),
        "longwave_down": np.clip(draw(7) * 5.670374e-8 * air**4, 60.0, 600.0),
        "wind_speed": draw(9) * random.random(shape),
        "rainfall": amount * (1.0 - solid),
        "snowfall": amount * solid,
        "co2": np.broadcast_to(random.uniform(180.0, 900.0, (n_cell, 1)), shape),
        "cosine_zenith": np.broadcast_to(sun * (sun > 0.02), shape),
        "prescribed_leaf_area": np.broadcast_to(random.uniform(0.0, 8.0, (n_cell, 1)), shape),
        "nitrogen_deposition": np.broadcast_to(random.uniform(0.0, 2e-10, (n_cell, 1)), shape),
        "delta13c_air": np.broadcast_to(random.uniform(-10.0, -6.0, (n_cell, 1)), shape),
        "delta14c_air": np.broadcast_to(random.uniform(-20.0, 900.0, (n_cell, 1)), shape),
        "day_of_year": np.broadcast_to(np.repeat(np.arange(days) % 365 + 1.0, per_day), shape),
        "noon_weight": np.broadcast_to(np.tile((np.abs(hour - 12.0) <= max(1.0, 12.0 / per_day)) * 1.0, days), shape),
    }
    forcing = np.empty((n_cell, loader.columns("forcing"), shape[1]), order="F")
    for name, entry in loader.variables("forcing").items():
        low, high = entry.bounds
        assert np.all((values[name] >= low) & (values[name] <= high)), name
        forcing[:, entry.column - 1, :] = values[name]
    ends = (np.arange(shape[1]) % per_day == per_day - 1).astype(np.int32)
    return forcing, ends


def start(tiles, forcing):
    """New state at the mean air temperature of the forcing, with memories of it."""
    mean = forcing[:, loader.variables("forcing")["air_temperature"].column - 1, :].mean(axis=1)[tiles.cell]
    initialise(tiles, mean)
    return tiles


def climate_tiles(climates, n_tile=150, start_day="2004-01-01", days=10, seed=7, **settings):
    """Tiles of all plant types mixed over climates, with half-hourly weather: (tiles, forcing, ends)."""
    random = np.random.default_rng(seed)
    normals = climate_normals()
    rows, clock = [], None
    for c, name in enumerate(climates):
        weather = {k: v[: days * 48] for k, v in _weather(name, start_day, seed + c).items()}
        clock = weather["time"]
        place = {key: normals[name][key] for key in ("latitude", "longitude")}
        rows.append(
            weather | place | {"co2": np.full(len(clock), 380.0), "prescribed_leaf_area": np.full(len(clock), 2.0)}
        )
    n_type = len(loader.pft_names())
    pairs = np.resize(random.permutation(n_type * len(rows)), n_tile)  # no pair twice before all occurred
    types, cells = pairs % n_type, pairs // n_type
    tiles = Tiles(types, 1800.0, cell=cells, **settings)
    tiles.set_parameter("reference_height", np.maximum(30.0, tiles.parameter("canopy_height") + 10.0))
    return tiles, forcing_array(rows, clock, 1800), end_of_day(clock, 1800)


_cache = {}


def _weather(name, start_day, seed):
    key = (name, start_day, seed)
    if key not in _cache:
        _cache[key] = generate(climate_normals()[name], start_day, years=1, seed=seed)
    return _cache[key]


def site_file(
    path,
    climate="temperate_deciduous",
    step=3600,
    days=None,
    precipitation=True,
    leaf_area=False,
    start_day="2003-01-01",
):
    """A tower file in the layout of the example sites: ALMA names, local standard time, a year of generated weather."""
    import netCDF4

    normals = climate_normals()[climate]
    weather = generate(normals, start_day, years=1, seed=3, step_seconds=step)
    n = len(weather["time"]) if days is None else days * 86400 // step
    offset = int(3600 * normals["utc_offset_hours"])
    # the record begins at local midnight: the hours that this takes from one end are put at the other
    local = np.roll(np.arange(len(weather["time"])), offset // step)[:n]
    names = {
        "Tair": ("air_temperature", "K"), "Qair": ("specific_humidity", "kg kg-1"), "Psurf": ("pressure", "Pa"),
        "SWdown": ("shortwave_down", "W m-2"), "LWdown": ("longwave_down", "W m-2"), "Wind": ("wind_speed", "m s-1"),
        "Rainf": ("rainfall", "kg m-2 s-1"), "Snowf": ("snowfall", "kg m-2 s-1"),
    }  # fmt: skip
    if not precipitation:
        del names["Rainf"], names["Snowf"]
    with netCDF4.Dataset(str(path), "w") as data:
        data.setncatts({
            "site_id": "XX-Syn", "IGBP": IGBP[climate], "utc_offset_hours": normals["utc_offset_hours"],
            "forcing_tier": "A" if precipitation else "D",
        })  # fmt: skip
        data.createDimension("time", n)
        data.createDimension("bnds", 2)
        time = data.createVariable("time", "f8", ("time",))
        time.setncatts({"units": f"seconds since {start_day} 00:00:00", "calendar": "standard", "bounds": "time_bnds"})
        time[:] = np.arange(n) * float(step)
        bounds = data.createVariable("time_bnds", "f8", ("time", "bnds"))
        bounds[:] = np.stack([time[:], time[:] + step], axis=1)
        tall = IGBP[climate] in ("DBF", "ENF")
        for name, value in {
            "latitude": normals["latitude"], "longitude": normals["longitude"], "elevation": normals["elevation"],
            "reference_height": 40.0 if tall else 5.0, "canopy_height": 20.0 if tall else 0.5,
        }.items():  # fmt: skip
            data.createVariable(name, "f8", ())[...] = value
        for name, (source, unit) in names.items():
            variable = data.createVariable(name, "f8", ("time",), fill_value=-9999.0)
            variable.units = unit
            variable[:] = weather[source][local]
        if leaf_area:
            variable = data.createVariable("LAI", "f8", ("time",), fill_value=-9999.0)
            variable.units = "1"
            day = np.arange(n) * step / 86400.0
            variable[:] = 2.5 - 2.0 * np.cos(2 * np.pi * (day - 15.0) / 365.0)
    return path
