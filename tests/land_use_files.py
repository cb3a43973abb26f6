"""Writers of tiny files of land use in the layouts of LUH2, LUH3, HILDA+ and ESA CCI, from one known history."""

from pathlib import Path

import numpy as np

STATES = ("primf", "primn", "secdf", "secdn", "pastr", "range", "urban", "c3ann", "c4ann", "c3per", "c4per", "c3nfx")
CROPS = STATES[7:]
FORMAT = {"of files": "NETCDF3_64BIT_OFFSET"}  # of what is written next
HARVESTS = ("primf", "primn", "secmf", "secyf", "secnf")
LATITUDE = np.array([47.75, 47.25, 46.75, 46.25])  # half a degree; LUH files go from the north
LONGITUDE = np.array([-0.75, -0.25, 0.25, 0.75, 1.25, 1.75])


def transition_names(states=STATES):
    """The pairs that exist: nothing enters primary land, forest stays forest, but for harvest. 108 of them in LUH2."""
    forbidden = {("primf", "primn"), ("primn", "primf"), ("primf", "secdf"), ("primn", "secdn")}
    return [(a, b) for a in states for b in states if a != b and not b.startswith("prim") and (a, b) not in forbidden]


def history(years=(1850, 1853), states=STATES, latitude=LATITUDE, longitude=LONGITUDE, seed=1, water=None):
    """A history that obeys the rules: dict of states, moves, harvest, mass (fractions of the cell, kg C per cell)."""
    random = np.random.default_rng(seed)
    shape = (len(latitude), len(longitude))
    water = random.uniform(0.0, 0.6, shape) if water is None else np.broadcast_to(water, shape)
    land = 1.0 - water
    state = random.dirichlet(np.full(len(states), 0.7), shape).transpose(2, 0, 1) * land
    names = transition_names(states)
    n_year = years[1] - years[0] + 1
    out = {
        "years": np.arange(years[0], years[1] + 1), "names": states, "water": water, "latitude": latitude,
        "longitude": longitude, "states": np.zeros((n_year, len(states), *shape)),
        "moves": {pair: np.zeros((n_year - 1, *shape)) for pair in names},
        "harvest": np.zeros((n_year - 1, 5, *shape)), "mass": np.zeros((n_year - 1, 5, *shape)),
    }  # fmt: skip
    out["states"][0] = state
    for t in range(n_year - 1):
        after = state.copy()
        share = random.uniform(0.0, 0.06 / len(states), (len(names), *shape)) * (1.0 + 3.0 * (t % 2))
        for (a, b), part in zip(names, share, strict=True):
            amount = state[states.index(a)] * part
            out["moves"][a, b][t] = amount
            after[states.index(a)] -= amount
            after[states.index(b)] += amount
        cut = state[: len(HARVESTS)] * random.uniform(0.0, 0.02, (5, *shape))
        cut[2:] = 0.01 * land
        out["harvest"][t] = cut
        out["mass"][t] = cut * 7.0e9  # kg C per cell
        for k in (0, 1):  # harvested primary land is secondary
            after[k] -= cut[k]
            after[2 + k] += cut[k]
        state = after
        out["states"][t + 1] = state
    return out


def _file(path, latitude, longitude, years=None, units="years since 850-01-01 0:0:0", calendar="365_day"):
    import netCDF4

    Path(path).parent.mkdir(parents=True, exist_ok=True)
    # classic files open several times faster than HDF5 with its hundred variables
    file = netCDF4.Dataset(str(path), "w", format=FORMAT["of files"])
    for name, values, unit in (("lat", latitude, "degrees_north"), ("lon", longitude, "degrees_east")):
        file.createDimension(name, len(values))
        axis = file.createVariable(name, "f8", (name,))
        axis.units, axis[:] = unit, values
    if years is not None:
        file.createDimension("time", None)
        axis = file.createVariable("time", "f8", ("time",))
        axis.units, axis.calendar = units, calendar
        years = np.asarray(years)
        axis[:] = years - 850 if units.startswith("years since 850") else years
        if units.startswith("days since 1850"):
            axis[:] = (years - 1850) * 365
    return file


def _put(file, name, values, units="1", kind="f4", fill=1e20):
    dims = ("time", "lat", "lon") if values.ndim == 3 else ("lat", "lon")
    variable = file.createVariable(name, kind, dims, fill_value=fill)
    variable.units = units
    variable[:] = np.where(np.isnan(values), fill, values) if fill is not None and kind[0] == "f" else values
    return variable


def write_luh(folder, truth, *, kind="f8", missing=None, management=True, time_units="years since 850-01-01 0:0:0"):
    """states.nc, transitions.nc, management.nc and static.nc; `missing`: mask (lat, lon) without data."""
    folder, years = Path(folder), truth["years"]
    lat, lon = truth["latitude"], truth["longitude"]
    gone = np.zeros(truth["water"].shape, bool) if missing is None else missing

    def holes(values):
        return np.where(gone, np.nan, values)

    with _file(folder / "states.nc", lat, lon, years, time_units) as file:
        for k, name in enumerate(truth["names"]):
            _put(file, name, holes(truth["states"][:, k]), kind=kind)
        _put(file, "secma", holes(np.full(truth["states"][:, 0].shape, 33.0)), "years", kind)
    with _file(folder / "transitions.nc", lat, lon, years[:-1], time_units) as file:
        for (a, b), values in truth["moves"].items():
            _put(file, f"{a}_to_{b}", holes(values), kind=kind)
        for k, name in enumerate(HARVESTS):
            _put(file, f"{name}_harv", holes(truth["harvest"][:, k]), kind=kind)
            _put(file, f"{name}_bioh", holes(truth["mass"][:, k]), "kg C", kind)
    with _file(folder / "static.nc", lat, lon) as file:
        _put(file, "icwtr", truth["water"], kind=kind)
        _put(file, "carea", cell_areas(lat, lon) * 1e-6, "km2", "f8")
    if management:
        shape = truth["states"][:, 0].shape
        with _file(folder / "management.nc", lat, lon, years, time_units) as file:
            for k, crop in enumerate(CROPS):
                _put(file, f"fertl_{crop}", holes(np.full(shape, 50.0 + 10.0 * k)), "kg ha-1 yr-1", kind)
                _put(file, f"irrig_{crop}", holes(np.full(shape, 0.1 * k)), kind=kind)
            _put(file, "fulwd", holes(np.full(shape, 0.4)), kind=kind)
            _put(file, "rndwd", holes(np.full(shape, 0.6)), kind=kind)
    names = ("states", "transitions", "static") + (("management",) if management else ())
    return {name: f"{name}.nc" for name in names}


def cell_areas(latitude, longitude):
    """m2 (lat, lon) of regular cells on the sphere of the model, by the plain formula."""
    half = 0.5 * abs(latitude[1] - latitude[0])
    band = np.sin(np.radians(latitude + half)) - np.sin(np.radians(latitude - half))
    width = np.radians(longitude[1] - longitude[0])
    return 6371007.2**2 * width * band[:, None] * np.ones(len(longitude))


def write_hilda(path, codes, years, latitude, longitude, *, single=True, legend=None):
    """Class numbers (year, lat, lon): one file with all years, or {year} in the name."""
    out = []
    groups = [(path, years, codes)] if single else [
        (str(path).format(year=y), [y], codes[k : k + 1]) for k, y in enumerate(years)
    ]  # fmt: skip
    for name, some, values in groups:
        with _file(name, latitude, longitude, some, units="years") as file:
            variable = _put(file, "LULC_states", np.asarray(values), kind="i2", fill=-1)
            if legend is not None:
                variable.flag_values = np.array(legend, dtype="i2")
        out.append(name)
    return out


def write_esa_cci(pattern, codes, years, latitude, longitude):
    """Class numbers (year, lat, lon) as signed bytes, as in the product: a file each year, stamps of days."""
    for k, year in enumerate(years):
        with _file(
            str(pattern).format(year=year), latitude, longitude, [year], "days since 1850-01-01", "noleap"
        ) as file:
            values = np.asarray(codes[k : k + 1]).astype(np.uint8).view(np.int8)
            variable = file.createVariable("lccs_class", "i1", ("time", "lat", "lon"))
            variable.setncattr("_Unsigned", "true")
            variable.set_auto_maskandscale(False)
            variable[:] = values
