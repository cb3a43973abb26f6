"""Land-use emissions from factorial runs, their relation to bookkeeping, and tables like those of the budgets.

ELUC is positive to the atmosphere, NBP positive into the land. Functions take numbers, series or maps of any equal
shapes in any one unit (kg C m-2 yr-1 of land, Pg C yr-1, ...) and keep it.

Definitions (docs/processes/land-use-emissions.md): the factorial ELUC compares a run with transient land use (S3) with
one of fixed land use (S2) in the same changing climate and CO2, and so contains the sinks that lost forests would have
been (loss of additional sink capacity, LASC, negative); bookkeeping does not. Gasser et al. (2020), Pongratz et al.
(2014), Obermeier et al. (2021), Friedlingstein et al. (2022).
"""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from concerto.errors import ConcertoError


def eluc_factorial(nbp_s2, nbp_s3):
    """ELUC of two runs, NBP_S2 - NBP_S3 (transient CO2 and climate; land use fixed, transient)."""
    return _same("NBP of S2 and S3", nbp_s2, nbp_s3, np.subtract)


def land_sink(nbp_s2, nbp_s0=None):
    """Sink of the land without land-use change, NBP_S2, less the drift NBP_S0 of the control where it is given."""
    return np.array(nbp_s2, dtype=float) if nbp_s0 is None else _same("NBP of S2 and S0", nbp_s2, nbp_s0, np.subtract)


def lasc(nbp_change, area_change, axis=-1):
    """Loss of additional sink capacity, sum over biomes of (change of NBP per area) x (change of area).

    Negative when land that would be a sink is lost; `axis` is that of biomes. Change of NBP per area against the
    control, of area against the start (mean of the year).
    """
    return np.sum(_same("NBP and area changes", nbp_change, area_change, np.multiply), axis=axis)


def lasc_from_runs(nbp_s0, nbp_s2, nbp_cover_control, nbp_s3, eluc_bk_transient, eluc_bk_fixed):
    """LASC from four runs and two bookkeepings, where no NBP per class is at hand.

    The environment changes the factorial ELUC by (S2 - S3) - (S0 - cover_control), `cover_control` having the land use
    of S3 with CO2 and climate of S0. Of that, the change of densities is what bookkeeping sees; the rest, with its sign
    turned, is the LASC (with all interactions of growth and land use).
    """
    change = eluc_factorial(nbp_s2, nbp_s3) - eluc_factorial(nbp_s0, nbp_cover_control)
    return (np.asarray(eluc_bk_transient, float) - np.asarray(eluc_bk_fixed, float)) - change


def compare(nbp_s2, nbp_s3, eluc_bk_fixed, eluc_bk_transient, lasc, nbp_s0=None, nbp_cover_control=None):
    """Difference of factorial and bookkeeping ELUC, term by term.

    Parameters
    ----------
    nbp_s2, nbp_s3 : array_like
    eluc_bk_fixed, eluc_bk_transient : array_like
        Bookkeeping with densities of the start and with the transient densities of the run.
    lasc : array_like
        Of :func:`lasc` or a bookkeeping with `d_nbp`.
    nbp_s0, nbp_cover_control : array_like, optional
        Runs with the CO2 and climate of the start, land use fixed and as in S3.

    Returns
    -------
    dict of ndarray
        `factorial`, `bookkeeping` (fixed densities), `difference`, and its terms `minus_lasc` (-LASC), `density_effect`
        (transient less fixed bookkeeping) and `process_residual` (what remains: processes and soils that the two treat
        differently). With the two further runs the residual is split into `structure`, the difference of the two
        methods without any environmental change, and `interaction`. The terms sum to the difference to round-off.
    """
    factorial = eluc_factorial(nbp_s2, nbp_s3)
    fixed, transient, lasc = (
        _like(name, values, factorial)
        for name, values in (("eluc_bk_fixed", eluc_bk_fixed), ("eluc_bk_transient", eluc_bk_transient), ("lasc", lasc))
    )
    density = transient - fixed
    residual = factorial - transient + lasc
    out = {
        "factorial": factorial,
        "bookkeeping": fixed,
        "difference": factorial - fixed,
        "minus_lasc": -lasc,
        "density_effect": density,
        "process_residual": residual,
    }
    if (nbp_s0 is None) != (nbp_cover_control is None):
        raise ConcertoError(
            "Accounting: the residual is split with both NBP of S0 and of the cover control.", hint="Give both or none."
        )
    if nbp_s0 is not None:
        structure = _like("nbp_s0", eluc_factorial(nbp_s0, nbp_cover_control), factorial) - fixed
        out["structure"], out["interaction"] = structure, residual - structure
    return out


#: Columns of :func:`budget_table`, with what they are.
COLUMNS = {
    "year": "calendar year",
    "eluc": "net land-use emission",
    "gross_source": "all sources, biome by biome",
    "gross_sink": "all removals, biome by biome (negative)",
    "deforestation": "burning, slash, soil and products of land cleared for lasting use",
    "shifting_source": "the same of shifting cultivation",
    "regrowth": "vegetation and soil of abandoned land (negative)",
    "shifting_sink": "regrowth in shifting cultivation (negative)",
    "wood_harvest": "products, slash and regrowth after harvest",
    "other_transitions": "everything else (crop to pasture, natural to natural, regrowth of managed land)",
    "peat": "peat drainage and fires: not modelled",
}


def budget_table(record, weights=None, groups=True):
    """Yearly components in the form of the Global Carbon Budget.

    Parameters
    ----------
    record : dict
        What :func:`concerto.landuse.bookkeeping.bookkeep` gives: `year`, `types`, `processes`, `flux` (Y, process,
        type, cell), `gross_source`, `gross_sink` (Y, cell).
    weights : (cell,), optional
        Land area of the cells (m2, with kg C m-2) or anything that turns them into the unit of the table; default 1.
    groups : bool
        The components need `types="groups"`; False gives only totals.

    Returns
    -------
    dict of ndarray (Y,)
        `COLUMNS`; the components deforestation ... other_transitions sum to eluc. `peat` is NaN (n/a).
    """
    flux = np.asarray(record["flux"], float)
    weights = np.ones(flux.shape[-1]) if weights is None else np.asarray(weights, float)
    total = flux @ weights
    out = {"year": np.asarray(record["year"]), "eluc": total.sum(axis=(1, 2))}
    for name in ("gross_source", "gross_sink"):
        out[name] = np.asarray(record[name], float) @ weights
    if groups:
        types, processes = list(record["types"]), list(record["processes"])
        if "clearing" not in types:
            raise ConcertoError("Accounting: components need types='groups'.", hint="Or give groups=False.")

        def part(kind, *names):
            return sum(total[:, processes.index(name), types.index(kind)] for name in names)

        out["deforestation"] = part("clearing", "burning", "slash", "soil", "products")
        out["shifting_source"] = part("shifting", "burning", "slash", "soil", "products")
        out["regrowth"] = part("abandonment", "regrowth", "soil")
        out["shifting_sink"] = part("shifting", "regrowth")
        out["wood_harvest"] = total[:, :, types.index("harvest")].sum(axis=1)
        # Summed from its own parts: what is left of a difference would hide a component that is missed.
        out["other_transitions"] = (
            part("clearing", "regrowth")
            + part("abandonment", "burning", "slash", "products")
            + part("rotation", *processes)
            + part("natural", *processes)
        )
    out["peat"] = np.full(len(out["year"]), np.nan)
    return out


def by_type(record, weights=None):
    """ELUC of each type of transition: dict of (Y,); their sum is ELUC."""
    flux = np.asarray(record["flux"], float)
    weights = np.ones(flux.shape[-1]) if weights is None else np.asarray(weights, float)
    total = (flux @ weights).sum(axis=1)
    return {name: total[:, t] for t, name in enumerate(record["types"])}


# --- year by year, region by region, component by component -----------------------------------------------------------

#: Components of :func:`bookkeeping_budget`. Each pair of process and type of transition is in one of them, so that they
#: sum to the whole.
COMPONENTS = {
    "deforestation": "land cleared for lasting use: what burns, what is left to decay, its products",
    "regrowth": "vegetation that grows on abandoned land (a sink)",
    "wood_harvest": "wood harvest, and other management of forests in the history: products, slash, regrowth",
    "shifting_cultivation": "clearing and regrowth where land goes both ways, natural and managed",
    "soil": "litter and soil that turn from those of the former use to those of the new one, of all transitions",
    "other_transitions": "between managed kinds, between natural kinds, crops of abandoned land, managed plants",
}
_COMPONENT = {
    **{(process, "clearing"): "deforestation" for process in ("burning", "slash", "products")},
    ("regrowth", "abandonment"): "regrowth",
    **{(process, "harvest"): "wood_harvest" for process in ("burning", "slash", "regrowth", "products")},
    **{(process, "shifting"): "shifting_cultivation" for process in ("burning", "slash", "regrowth", "products")},
}
#: Components of :func:`run_budget`.
RUN_COMPONENTS = {
    "burned": "carbon of cleared vegetation that burns",
    "products": "decay of products",
    "seed": "carbon of seed and planted trees, from the air (a sink)",
    "land": "litter, soil and growth of the land, with the sinks that lost forests would have been",
    "legacy": "litter, soil and growth of the land, without lost sinks",
    "lost_sinks": "sinks that lost forests would have been, -LASC",
}
ALL = "all"  # the region of everything


def bookkeeping_budget(record, regions=None, weights=None, by="component", units="kg C m-2 yr-1"):
    """Net emission, gross sources and gross sinks of bookkeeping for every region, year and component.

    Parameters
    ----------
    record : dict
        Of :func:`concerto.landuse.bookkeeping.bookkeep`.
    regions : dict of str to (cell,), optional
        Share of each cell that belongs to the region (:func:`concerto.landuse.regions.regions`); `all` is added.
    weights : (cell,), optional
        Land area of the cells times a factor that makes the unit of the table; default 1.
    by : {"component", "type", "process"}
        `COMPONENTS` (types "groups" only), types of transition (pairs of kinds with ``types="pairs"``) or processes.
    units : str
        Of the table, for its attributes.

    Returns
    -------
    xarray.Dataset
        `net`, `source`, `sink` (region, year, component); net = source + sink to the bit. Sources and sinks are the
        positive and negative parts biome by biome and process by process, before anything is summed. With LASC in the
        record, `lasc` (region, year), which is not part of any component.

    Notes
    -----
    Peat is not modelled: there is no such component.

    Examples
    --------
    >>> table = bookkeeping_budget(bookkeep(history, table), {"north": latitude > 30})  # doctest: +SKIP
    >>> table.net.sel(region="north").sum("component")  # doctest: +SKIP
    """
    flux, source = np.asarray(record["flux"], float), np.asarray(record["source"], float)
    types, processes = list(record["types"]), list(record["processes"])
    if by == "component":
        if "clearing" not in types:
            raise ConcertoError("Accounting: components need types='groups'.", hint="Or by='type'.")
        names, texts = list(COMPONENTS), COMPONENTS
        place = np.array([[names.index(_component(p, t)) for t in types] for p in processes])
    elif by in ("type", "process"):
        names, texts = (types if by == "type" else processes), {}
        grid = np.arange(len(names))
        place = np.broadcast_to(grid if by == "type" else grid[:, None], (len(processes), len(types)))
    else:
        raise ConcertoError(f"Accounting: by={by!r} is not known.", hint="Choose component, type or process.")
    parts = []
    for values in (source, flux - source):
        out = np.zeros((flux.shape[0], len(names), flux.shape[-1]))
        for p in range(len(processes)):
            for t in range(len(types)):
                out[:, place[p, t]] += values[:, p, t]
        parts.append(out)
    return _budget(record["year"], names, texts, *parts, regions, weights, units, record.get("lasc"))


def _component(process, kind):
    return "soil" if process == "soil" else _COMPONENT.get((process, kind), "other_transitions")


def run_budget(year, parts, regions=None, weights=None, units="kg C m-2 yr-1", lasc=None):
    """The same table from the process model: what runs give, cell by cell.

    Parameters
    ----------
    year : (Y,)
    parts : dict of str to (Y, cell)
        Of `RUN_COMPONENTS`, positive to the atmosphere: burned, products and seed (negative), which are fLuc; with two
        runs land, NBP of S2 less that of S3.
    regions, weights, units
        As in :func:`bookkeeping_budget`.
    lasc : (Y, cell), optional
        Loss of additional sink capacity: `land` is then split into legacy and lost sinks.

    Returns
    -------
    xarray.Dataset
        As of :func:`bookkeeping_budget`; sources and sinks are positive and negative cells.
    """
    parts = {name: np.asarray(values, float) for name, values in parts.items()}
    if lasc is not None and "land" in parts:
        land = parts.pop("land")
        parts |= {"legacy": land + lasc, "lost_sinks": -np.asarray(lasc, float)}
    values = np.stack(list(parts.values()), axis=1)
    source, sink = np.maximum(values, 0.0), np.minimum(values, 0.0)
    return _budget(year, list(parts), RUN_COMPONENTS, source, sink, regions, weights, units, None)


def _budget(year, names, texts, source, sink, regions, weights, units, lasc):
    import xarray as xr

    regions = dict(regions or {})
    n_cell = source.shape[-1]
    if ALL in regions:
        raise ConcertoError(f"Accounting: a region is named {ALL}.", hint="Name it otherwise; the sum is added.")
    masks = regions | {ALL: np.ones(n_cell)}

    def sums(values):
        return np.stack(list(regional_sums(values, masks, weights).values()))

    source, sink = (np.swapaxes(sums(values), 1, 2) for values in (np.swapaxes(source, 0, 1), np.swapaxes(sink, 0, 1)))
    dims = ("region", "year", "component")
    data = {
        "net": (dims, source + sink, {"units": units, "long_name": "net emission, positive to the atmosphere"}),
        "source": (dims, source, {"units": units, "long_name": "gross sources"}),
        "sink": (dims, sink, {"units": units, "long_name": "gross sinks (negative)"}),
    }
    if lasc is not None:
        text = "loss of additional sink capacity (negative: sinks are lost), not part of net"
        data["lasc"] = (dims[:2], sums(np.asarray(lasc, float)), {"units": units, "long_name": text})
    coordinates = {"region": list(masks), "year": np.asarray(year), "component": list(names)}
    out = xr.Dataset(data, coords=coordinates, attrs={"peat": "not modelled, no component"})
    if texts:
        out["component"].attrs["meaning"] = "; ".join(f"{name}: {texts[name]}" for name in names)
    return out


def write_budget(path, tables):
    """Write tables of :func:`bookkeeping_budget` and :func:`run_budget` as one CSV file.

    Parameters
    ----------
    path : path
    tables : dict of str to xarray.Dataset
        Name of the method, its table.

    Notes
    -----
    A row is method, region, year, component, source, sink, net; the component `total` is the sum of the others, `lasc`
    stands apart. The first lines, after #, tell the units and the components.
    """
    with open(Path(path), "w", newline="", encoding="utf-8") as file:
        file.write("# land-use emission, positive to the atmosphere; net = source + sink; peat is not modelled\n")
        for method, table in tables.items():
            file.write(f"# {method}: {table.net.attrs['units']}\n")
            for line in filter(None, table["component"].attrs.get("meaning", "").split("; ")):
                file.write(f"#   {line}\n")
        writer = csv.writer(file)
        writer.writerow(("method", "region", "year", "component", "source", "sink", "net"))
        for method, table in tables.items():
            values = np.stack([table[name].values for name in ("source", "sink", "net")], axis=-1)
            for r, region in enumerate(table["region"].values):
                for y, year in enumerate(table["year"].values):
                    first = (method, region, int(year))
                    for name, row in zip(table["component"].values, values[r, y], strict=True):
                        writer.writerow((*first, name, *(repr(float(v)) for v in row)))
                    writer.writerow((*first, "total", *(repr(float(v)) for v in values[r, y].sum(axis=0))))
                    if "lasc" in table:
                        writer.writerow((*first, "lasc", "", "", repr(float(table["lasc"].values[r, y]))))


def regional_sums(values, masks, weights=None):
    """Sums over regions of maps (..., cell).

    Parameters
    ----------
    values : array_like (..., cell)
    masks : dict of str to (cell,)
        Share (0 to 1 or bool) of each cell that belongs to the region.
    weights : (cell,), optional
        Land area of the cells, m2.

    Returns
    -------
    dict of str to ndarray (...)

    Examples
    --------
    >>> sums = regional_sums([[1.0, 2.0]], {"north": [True, False]}, weights=[10.0, 10.0])
    >>> float(sums["north"][0])
    10.0
    """
    values = np.asarray(values, dtype=float)
    weights = np.ones(values.shape[-1]) if weights is None else np.asarray(weights, dtype=float)
    out = {}
    for name, mask in masks.items():
        mask = np.asarray(mask, dtype=float)
        if mask.shape != weights.shape or np.any(mask < 0.0) or np.any(mask > 1.0):
            raise ConcertoError(
                f"Accounting: mask {name} has shape {mask.shape}, not {weights.shape}, or values outside 0 to 1.",
                hint="Give the share of each cell that belongs to the region.",
            )
        out[name] = np.where(mask > 0.0, values, 0.0) @ (mask * weights)
    return out


def write_table(path, table, units="Pg C yr-1", comment=""):
    """Write columns as CSV; the first lines, after #, say the unit and what the columns are; n/a for NaN."""
    names = list(table)
    with open(Path(path), "w", newline="") as file:
        file.write(f"# unit {units}; ELUC positive to the atmosphere{'; ' + comment if comment else ''}\n")
        for name in names:
            if name in COLUMNS:
                file.write(f"# {name}: {COLUMNS[name]}\n")
        writer = csv.writer(file)
        writer.writerow(names)
        for row in zip(*(np.asarray(table[name]) for name in names), strict=True):
            cells = ["n/a" if np.isnan(value) else repr(float(value)) for value in row]
            if "year" in names:
                cells[names.index("year")] = int(row[names.index("year")])
            writer.writerow(cells)


def to_dataset(record, units="kg m-2 yr-1"):
    """The record of :func:`concerto.landuse.bookkeeping.bookkeep` as an xarray dataset (year, process, type, cell)."""
    import xarray as xr

    coordinates = {"year": record["year"], "process": list(record["processes"]), "type": list(record["types"])}
    long_names = {
        "flux": "land-use emission by process and type of transition",
        "eluc": "land-use emission",
        "gross_source": "sources from land use",
        "gross_sink": "removals by land use (negative)",
        "stock_change": "change of the carbon anomalies made by land use",
        "potential_change": "change of equilibrium carbon by change of area",
        "lasc": "loss of additional sink capacity",
        "land_sink": "land sink",
    }
    data = {}
    for name, text in long_names.items():
        if name in record:
            dims = ("year", "process", "type", "cell") if name == "flux" else ("year", "cell")
            data[name] = (dims, record[name], {"units": units, "long_name": text})
    return xr.Dataset(data, coords=coordinates)


def _same(what, a, b, operation):
    a, b = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    if a.shape != b.shape:
        raise ConcertoError(
            f"Accounting: {what} have shapes {a.shape} and {b.shape}.", hint="Use the same years and cells."
        )
    return operation(a, b)


def _like(name, values, factorial):
    values = np.asarray(values, dtype=float)
    if values.shape != factorial.shape:
        raise ConcertoError(
            f"Accounting: {name} has shape {values.shape}, the factorial ELUC {factorial.shape}.",
            hint="Use the same years and cells.",
        )
    return values
