"""Land use of a run: tables and figures from its output folder.

``read_land_use`` reads what a run with land use has written; the figure functions give a complete SVG document (str),
PNG bytes with ``format="png"``, or None where there is nothing to draw. Emissions are positive to the atmosphere,
uptake positive into the land: net uptake = NBP + farm harvest that enters products - fLuc, with NBP = NPP -
heterotrophic respiration - what leaves with harvest.

Two runs that differ in nothing but land use, S3 (as it was) and S2 (held), give the emission ELUC = uptake(S2) -
uptake(S3). :func:`beside_bookkeeping` puts that of bookkeeping beside it, with the densities of the run itself, and
closes the difference (docs/processes/land-use-emissions.md).
"""

from __future__ import annotations

import csv
import json
import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from concerto.errors import ConcertoError
from concerto.evaluation.maps import GREEN, _bar, _colours, _drawn, _figure, _Frame, _levels
from concerto.evaluation.plots import MODEL, OBSERVED, SECOND, WARM, WATER, running_mean
from concerto.landuse.classes import KINDS, TREES, class_list

COLOURS = {
    "primary": "#0b5d3b", "secondary": "#8fc79a", "pasture": "#e3c76b", "rangeland": "#c79a5b", "crop": "#cc79a7",
    "urban": "#737c88",
}  # fmt: skip
#: Fluxes and stocks of the stream land_use that are read where they are there.
FLUXES = ("fLuc", "fDeforestToAtmos", "fDeforestToProduct", "fHarvestToProduct", "fProductDecomp", "fLulccResidueLut",
          "seed_carbon", "wood_harvest_deficit", FARM := "farm_harvest_to_products")  # fmt: skip
BIG = 1e9  # m2; runs with less land are of points and have values per area


@dataclass
class LandUseRun:
    """Land use of a run, year by year.

    Attributes
    ----------
    folder : Path
    year : (year,) int
    flux : dict name -> (year, cell), kg C m-2 of land yr-1; CMIP names (fLuc, fDeforestToAtmos, fProductDecomp, ...)
    product_carbon : (year, cell) kg C m-2
    kinds : (year, cell, 6) share of the land of each kind, after the changes of 1 January
    nbp : (year, cell) kg C m-2 yr-1 or None where no stream has it
    domain : Domain of the run
    moved : (year, cell) share of the land that changed hands on 1 January, both ways counted, or None
    """

    folder: Path
    year: np.ndarray
    flux: dict
    product_carbon: np.ndarray
    kinds: np.ndarray
    nbp: np.ndarray | None
    domain: object
    facts: dict = field(default_factory=dict)
    latitude: np.ndarray | None = None
    longitude: np.ndarray | None = None
    lat_edges: np.ndarray | None = None
    lon_edges: np.ndarray | None = None
    row: np.ndarray | None = None
    column: np.ndarray | None = None
    moved: np.ndarray | None = None

    @property
    def area(self):
        """Land of the cells, m2."""
        return np.asarray(self.domain.area, float) * np.asarray(self.domain.land_fraction, float)

    @property
    def extensive(self):
        """Whether the cells have areas; sums are of points otherwise."""
        return bool(self.area.sum() > BIG)

    @property
    def uptake(self):
        """Net uptake, (year, cell) kg C m-2 yr-1, or None without NBP."""
        return None if self.nbp is None else self.nbp + self.flux.get(FARM, 0.0) - self.flux["fLuc"]

    @property
    def scale(self):
        """Weights of the cells in :meth:`total`, (cell,)."""
        return self.area * 1e-12 if self.extensive else self.area / self.area.sum() * 1e3

    def total(self, values):
        """Sum over the land: (year, cell) kg C m-2 -> (year,) PgC; mean in g C m-2 for points."""
        return np.asarray(values, float) @ self.scale

    @property
    def unit(self):
        """Unit of :meth:`total`, without yr-1."""
        return "PgC" if self.extensive else "gC m⁻²"

    def grid(self, values):
        """Values of the cells on the grid (row from the south, column from the west); NaN elsewhere."""
        out = np.full((len(self.lat_edges) - 1, len(self.lon_edges) - 1), np.nan)
        out[self.row, self.column] = values
        return out


def _cells(values, domain):
    """(time, lat, lon) or (time, cell) -> (time, cell) in the order of the domain."""
    values = np.asarray(values, float)
    return values if values.ndim == 2 else values.reshape(len(values), -1)[:, np.asarray(domain.index)]


def _seconds(ds):
    bounds = ds["time_bnds"].values
    return (bounds[:, 1] - bounds[:, 0]) / np.timedelta64(1, "s")


def _yearly(folder, name, domain, years):
    """Sum over each year of a flux from any stream per cell, (year, cell) in its unit times s, or None."""
    from concerto.evaluation.globe import stream_files
    from concerto.simulation.streams import open_run

    for stream in stream_files(folder):
        if stream == "land_use":
            continue
        with open_run(folder, stream) as ds:
            if name not in ds or {"pft", "tile", "landuse"} & set(ds[name].dims):
                continue
            values = _cells(ds[name].values, domain) * _seconds(ds)[:, None]
            at = ds["time"].dt.year.values
            if not set(years) <= set(at.tolist()):
                continue
            return np.stack([values[at == y].sum(axis=0) for y in years])
    return None


def read_land_use(folder) -> LandUseRun:
    """Read the land use of a run.

    Parameters
    ----------
    folder : path
        With ``land_use_<year>.nc``, ``domain.nc`` and, for net uptake, a stream per cell with ``nbp``.

    Returns
    -------
    LandUseRun

    Raises
    ------
    ConcertoError
        Folder without land use or without ``domain.nc``.

    Examples
    --------
    >>> run = read_land_use("out/s3")  # doctest: +SKIP
    >>> run.total(run.flux["fLuc"])  # doctest: +SKIP
    """
    from concerto.evaluation.globe import _from_domain, read_domain
    from concerto.simulation.streams import open_run

    folder = Path(folder)
    domain = read_domain(folder)
    if domain is None:
        raise ConcertoError(f"{folder} has no domain.nc", hint="give the output folder of a run with land use")
    try:
        ds = open_run(folder, "land_use")
    except ConcertoError as error:
        raise ConcertoError(f"{folder} has no land_use_<year>.nc", hint="write land_use.source") from error
    with ds:
        year = ds["time"].dt.year.values.astype(int)
        seconds = _seconds(ds)[:, None]
        flux = {name: _cells(ds[name].values, domain) * seconds for name in FLUXES if name in ds}
        kinds = np.stack([_cells(ds[f"{kind}_area"].values, domain) for kind in KINDS], axis=-1)
        stock = _cells(ds["cProduct"].values, domain)
        moved = _cells(ds["moved_area"].values, domain) if "moved_area" in ds else None
    latitude, longitude = np.asarray(domain.latitude, float), np.asarray(domain.longitude, float)
    _, grid = _from_domain(domain, latitude, longitude, None, None, True, [])
    lat_edges, lon_edges, row, column = grid if grid is not None else (None,) * 4
    facts = folder / "run.json"
    facts = json.loads(facts.read_text()) if facts.is_file() else {}
    return LandUseRun(folder, year, flux, stock, kinds, _yearly(folder, "nbp", domain, year.tolist()), domain, facts,
                      latitude, longitude, lat_edges, lon_edges, row, column, moved)  # fmt: skip


def read_totals(folder) -> dict:
    """Columns of ``totals.csv`` by name without unit, and ``year``: dict of (year,)."""
    path = Path(folder) / "totals.csv"
    if not path.is_file():
        raise ConcertoError(f"{path} is not there", hint="give the output folder of a run")
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    names = [re.sub(r"\s*\(.*\)", "", name) for name in rows[0]]
    values = np.array([[float(v) if v else np.nan for v in row] for row in rows[1:]])
    return {"year": values[:, 0].astype(int)} | {name: values[:, k] for k, name in enumerate(names) if k}


# --- numbers --------------------------------------------------------------------------------------------------------


def eluc(without, with_use):
    """Emission of land use from two runs, uptake(S2) - uptake(S3): (year, cell) kg C m-2 yr-1.

    Parameters
    ----------
    without, with_use : LandUseRun
        S2 and S3, of the same cells and years.
    """
    _same(without, with_use)
    return without.uptake - with_use.uptake


def _same(a, b):
    if not np.array_equal(a.year, b.year) or a.area.shape != b.area.shape or not np.allclose(a.area, b.area):
        raise ConcertoError(f"{a.folder} and {b.folder} have other years or cells", hint="run the same ones twice")
    if Path(a.folder).resolve() == Path(b.folder).resolve():
        raise ConcertoError(f"{a.folder} is compared with itself", hint="give a second run, whose land use is held")
    for run in (a, b):
        if run.nbp is None:
            raise ConcertoError(f"{run.folder} has no nbp per cell", hint="add a stream with nbp, per: cell")


def changes_hands(run) -> bool:
    """Whether land goes from kind to kind, is cleared or cut within the years of a run: it is not held."""
    cut = [run.flux[n] for n in ("fDeforestToAtmos", "fDeforestToProduct") if n in run.flux]
    moved = [] if run.moved is None else [run.moved[1:]]
    kinds = [np.abs(np.diff(run.kinds, axis=0)) - 1e-6]  # float32 of the files
    return any((np.nan_to_num(values) > 0.0).any() for values in [*(v[1:] for v in cut), *moved, *kinds])


def history_of(run, folder="."):
    """The history that the run followed, opened again: LandUse of its cells.

    Parameters
    ----------
    run : LandUseRun with run.json
    folder : to which the paths of the configuration refer (that of the configuration file)
    """
    from concerto.config.load import from_dict
    from concerto.landuse.readers import open_land_use

    config = from_dict(run.facts["configuration"], folder)
    return open_land_use(config.land_use, run.domain, config.folder)


def flow_matrix(run, history=None):
    """Land that went from kind to kind over the whole run, (6, 6) m2 (shares of the points otherwise).

    Parameters
    ----------
    run : LandUseRun
    history : LandUse, optional
        Of the cells of the run (:func:`history_of`): gross transitions. Without it net ones
        from the areas of two years, in which what goes both ways is lost.

    Notes
    -----
    The first year counts where land changed hands on its 1 January; without a history from the areas of ``domain.nc``,
    which may be those after it (a run that begins from a state): then it has no net flows.
    """
    from concerto.landuse.history import net_transitions

    weight = run.area if run.extensive else run.area / run.area.sum()
    out = np.zeros((6, 6))
    for k in range(0 if _first_moves(run, history) else 1, len(run.year)):
        before = run.kinds[k - 1] if k else _start_kinds(run)
        moved = (
            net_transitions(*(a / a.sum(axis=1, keepdims=True) for a in (before, run.kinds[k])))
            if history is None
            else history.year(int(run.year[k]) - 1).transitions
        )
        out += np.einsum("c,cij->ij", weight, moved)
    np.fill_diagonal(out, 0.0)
    return out


def _start_kinds(run):
    """Shares of land of the kinds in ``domain.nc``, (cell, 6)."""
    place, n = _kind_of_tiles(run), run.domain.n_cell
    return np.bincount(place, np.asarray(run.domain.tile_fraction, float), 6 * n).reshape(n, 6)


def _first_moves(run, history):
    """Whether land changed hands on the first 1 January; without history: and ``domain.nc`` is of about that time."""
    if run.moved is None or not (run.moved[0] > 0.0).any():
        return False
    net = 0.5 * np.abs(run.kinds[0] - _start_kinds(run)).sum(axis=1)
    return history is not None or bool((net <= run.moved[0] + 1e-5).all())  # sums of float32 of the files


def by_kind(run, names=("cVeg", "cLitter", "cSoil", "npp", "nbp"), stream="tiles"):
    """Values per area of the six kinds of land from a yearly stream per tile: dict name -> (year, cell, 6).

    Stocks are kg C m-2, fluxes kg C m-2 yr-1; kinds without area are NaN. Weights are the areas of each record
    (``tile_share`` of the stream; where it has none those of ``domain.nc``, of the start).
    """
    from concerto.simulation.streams import open_run

    domain = run.domain
    with open_run(run.folder, stream) as ds:
        lacking = [name for name in names if name not in ds]
        if lacking or "tile" not in ds[names[0]].dims:
            raise ConcertoError(
                f"the stream {stream} of {run.folder} lacks {', '.join(lacking) or 'tiles'}",
                hint="add {name: tiles, frequency: year, variables: [npp, nbp, cVeg, cLitter, cSoil], per: tile}",
            )
        years = ds["time"].dt.year.values
        if not np.array_equal(years, run.year):
            raise ConcertoError(
                f"{run.folder}: the stream {stream} has no record for each year from {run.year[0]} to {run.year[-1]}",
                hint="write it each year, in all phases (phases.<name>.outputs)",
            )
        seconds = _seconds(ds)[:, None]
        values = {n: ds[n].values.astype(float) * (1.0 if n.startswith("c") else seconds) for n in names}
        share = ds["tile_share"].values.astype(float) if "tile_share" in ds else domain.tile_fraction
    place, share = _kind_of_tiles(run), np.broadcast_to(share, (len(years), len(domain.tile_fraction)))

    def sums(amount):
        found = np.zeros((len(years), domain.n_cell * 6))
        np.add.at(found, (slice(None), place), amount)
        return found

    area, out = sums(share), {}
    for name, found in values.items():
        total = sums(np.where(share > 0.0, found * share, 0.0))  # tiles without area have no value
        with np.errstate(invalid="ignore", divide="ignore"):
            out[name] = np.where(area > 0.0, total / area, np.nan).reshape(len(years), domain.n_cell, 6)
    return out


def _kind_of_tiles(run):
    secondary = run.facts.get("configuration", {}).get("land_use", {}).get("secondary", "age_classes")
    numbers = np.array([KINDS.index(c.kind) for c in class_list(secondary)])
    domain = run.domain
    return np.asarray(domain.tile_cell) * 6 + numbers[np.asarray(domain.tile_class)]


def _filled(values):
    """Kinds that a cell does not have take those of their like, else the mean of the others."""
    values = values.copy()
    for one, like in ((0, 1), (1, 0), (3, 2), (2, 3), (5, 4)):
        values[..., one] = np.where(np.isnan(values[..., one]), values[..., like], values[..., one])
    mean = np.nanmean(values, axis=-1, keepdims=True)
    return np.where(np.isnan(values), mean, values)


def beside_bookkeeping(without, with_use, history, base=10, stream="tiles", types="groups"):
    """ELUC of two runs beside bookkeeping with the densities of the run, and what makes the difference.

    Parameters
    ----------
    without : LandUseRun
        S2, with a yearly stream of tiles (npp, nbp, cVeg, cLitter, cSoil).
    with_use : LandUseRun
        S3.
    history : LandUse
        What S3 followed.
    base : int
        Years at the start whose mean densities and NBP are those of fixed bookkeeping (a cycle of the climate).
    types : {"groups", "pairs"}
        Types of transition that ``record`` keeps apart: groups, or every pair of kinds (then there is no ``table``).

    Returns
    -------
    dict
        ``year`` (without the first), the terms of :func:`concerto.landuse.accounting.compare` ((year,) of
        :meth:`LandUseRun.total`; they sum to the difference to round-off), ``transient``, ``lasc``, ``table``
        (components of the budget), ``record`` and ``record_transient``
        (:func:`concerto.landuse.bookkeeping.bookkeep`, fixed and transient densities).

    Notes
    -----
    Above ground is 0.75 of the vegetation of natural woody land; of it 0.6 burns, 0.4 (tropical trees) or 0.3 goes to
    the 10-year pool, 0.1 of others to the 100-year pool, as in the run. Leaves and roots count as wood here. Pasture
    and crops have no products.
    """
    from concerto.landuse import accounting
    from concerto.landuse.bookkeeping import bookkeep, run_table

    _same(without, with_use)
    kinds = {name: _filled(values) for name, values in by_kind(without, stream=stream).items()}
    start = {name: values[:base].mean(axis=0) for name, values in kinds.items()}
    domain = without.domain
    trees = np.asarray(domain.mixtures["primary"])[:, TREES]
    sum_ = trees.sum(axis=1)
    tropical = np.where(sum_ > 0.0, trees[:, [3, 5]].sum(axis=1) / np.where(sum_ > 0.0, sum_, 1.0), 0.0)
    share = np.zeros((len(sum_), 6, 3))
    share[:, :2, 1] = (0.3 + 0.1 * tropical)[:, None]
    share[:, :2, 2] = (0.1 * (1.0 - tropical))[:, None]
    table = run_table(
        [start["cVeg"], start["cLitter"], start["cSoil"]], start["npp"], product_share=share,
        above_ground=(0.75, 0.75, 0.0, 0.0, 0.0, 0.0), burned=(0.6, 0.6, 0.0, 0.0, 0.0, 0.0),
    )  # fmt: skip
    first = int(without.year[0])
    stocks = ("cVeg", "cLitter", "cSoil")

    def densities(y):
        out = [kinds[name][y - first].copy() for name in stocks]
        for values in out:
            values[:, 1] = values[:, 0]  # as the table
        return out

    def change(y):
        return kinds["nbp"][y - first] - start["nbp"]

    years = range(first + 1, int(without.year[-1]) + 1)  # the first has no densities of the year before
    fixed = bookkeep(history, table, years, types=types)
    moving = bookkeep(history, table, years, types=types, densities=densities, d_nbp=change)
    total = without.total
    out = accounting.compare(
        total(without.uptake[1:]), total(with_use.uptake[1:]), total(fixed["eluc"]), total(moving["eluc"]),
        total(moving["lasc"]),
    )  # fmt: skip
    if types == "groups":
        out["table"] = accounting.budget_table(fixed, without.scale)
    return out | {
        "year": fixed["year"], "transient": total(moving["eluc"]), "lasc": total(moving["lasc"]), "record": fixed,
        "record_transient": moving, "unit": without.unit,
    }  # fmt: skip


def history_or_none(run, folder=None, notes=None):
    """:func:`history_of`, or None where it cannot be opened; ``notes`` takes the reason.

    Without ``folder`` only a history that needs no file is opened.
    """
    section = (run.facts.get("configuration") or {}).get("land_use") or {}
    if folder is None and section.get("source") != "idealised":
        return None
    try:
        return history_of(run, "." if folder is None else folder)
    except (ConcertoError, KeyError) as error:
        if notes is not None:
            notes.append(f"The history of land use cannot be read again: {error}.")
        return None


def parts_of(run, without=None):
    """Components of the emission of the process model: dict name -> (year, cell) kg C m-2 yr-1, sources positive.

    Parameters
    ----------
    run : LandUseRun
    without : LandUseRun, optional
        S2; then all are differences of the two runs and sum to :func:`eluc`, else they sum to fLuc.

    Returns
    -------
    dict
        burned, products, seed and, with ``without``, land (litter, soil, growth, lost sinks).
    """

    def of(name):
        value = run.flux.get(name, np.zeros_like(run.flux["fLuc"]))
        return value if without is None else value - without.flux.get(name, 0.0)

    out = {"burned": of("fDeforestToAtmos"), "products": of("fProductDecomp"), "seed": -of("seed_carbon")}
    if without is not None:
        _same(without, run)
        out["land"] = without.nbp - run.nbp - of(FARM)
    return out


def budgets(run, without=None, regions="bands", history=None, base=10, stream="tiles", types="groups", notes=None):
    """Tables of sources, sinks and net emission by region, year and component.

    Parameters
    ----------
    run : LandUseRun
    without : LandUseRun, optional
        S2.
    regions : str, path or dict
        See :func:`concerto.landuse.regions.regions`.
    history : LandUse, optional
        What the run followed; with it and ``without`` there is bookkeeping too.
    base, stream, types
        Of :func:`beside_bookkeeping`.
    notes : list of str, optional
        Takes what is left out: bookkeeping has no first year, for want of the densities of the year before.

    Returns
    -------
    dict of str to xarray.Dataset
        ``runs`` (process model), and where possible ``bookkeeping``, ``bookkeeping transient`` (densities of each
        year), ``bookkeeping by transition`` (:func:`concerto.landuse.accounting.bookkeeping_budget`), in PgC yr-1, or
        gC m-2 yr-1 for points.
    """
    from concerto.landuse import accounting
    from concerto.landuse.regions import regions as masks_of

    masks = masks_of(run.latitude, run.longitude, regions)
    options = {"regions": masks, "weights": run.scale, "units": "PgC yr-1" if run.extensive else "gC m-2 yr-1"}
    notes = [] if notes is None else notes
    found, parts = None, parts_of(run, without)
    if without is not None and history is not None:
        try:
            found = beside_bookkeeping(without, run, history, base, stream, types)
        except ConcertoError as error:
            notes.append(f"No bookkeeping: {error}.")
    if found is None:
        return {"runs": accounting.run_budget(run.year, parts, **options)}
    fixed, moving = found["record"], found["record_transient"]
    lasc = np.concatenate([np.zeros_like(moving["lasc"][:1]), moving["lasc"]])  # counted from the first year on
    out = {"runs": accounting.run_budget(run.year, parts, lasc=lasc, **options)}
    notes.append(f"Bookkeeping leaves out {run.year[0]}: it needs the densities of the year before.")
    if types == "groups":
        out["bookkeeping"] = accounting.bookkeeping_budget(fixed, **options)
        out["bookkeeping transient"] = accounting.bookkeeping_budget(moving, **options)
    by_type = accounting.bookkeeping_budget(fixed, by="type", **options)
    if types == "pairs":  # most pairs never happen
        happens = ((by_type.source != 0.0) | (by_type.sink != 0.0)).any(("region", "year"))
        by_type = by_type.isel(component=happens.values)
    return out | {"bookkeeping by transition": by_type}


def budget_files(folder, target, without=None, regions="bands", inputs=None, types="groups"):
    """Write the tables of :func:`budgets` of a run.

    Parameters
    ----------
    folder, without : path
        Of the run (S3) and of that whose land use is held (S2, optional).
    target : path
        Folder for the files, made where it is missing.
    regions : str, path or dict
        See :func:`concerto.landuse.regions.regions`.
    inputs : path, optional
        Folder to which the paths of the history in the configuration refer; without it bookkeeping follows idealised
        histories only.
    types : {"groups", "pairs"}

    Returns
    -------
    paths, notes : list of pathlib.Path, list of str
        ``land_use_budget.csv`` (all), ``land_use_budget_<method>.nc`` (each).

    Examples
    --------
    >>> budget_files("out/s3", "tables", without="out/s2", inputs="examples/land_use")  # doctest: +SKIP
    """
    from concerto.landuse import accounting

    if types not in ("groups", "pairs"):
        raise ConcertoError(f"types: {types!r} is not known.", hint="Choose groups or pairs.")
    run = read_land_use(folder)
    held = None if without is None else read_land_use(without)
    if held is not None:
        _same(held, run)
    notes = []
    history = None if held is None else history_or_none(run, inputs, notes)
    if held is None:
        notes.append("No second run: only what land use gives to the air at once, no ELUC, no bookkeeping.")
    elif history is None and not notes:
        notes.append("No bookkeeping: name the folder of the configuration, to which the paths of the history refer.")
    if held is not None and changes_hands(held):
        notes.append(f"Land changes hands in {held.folder} too, which should be held: are the two runs swapped?")
    tables = budgets(run, held, regions, history, types=types, notes=notes)
    target = Path(target)
    target.mkdir(parents=True, exist_ok=True)
    paths = [target / "land_use_budget.csv"]
    accounting.write_budget(paths[0], tables)
    for method, table in tables.items():
        paths.append(target / f"land_use_budget_{method.replace(' ', '_')}.nc")
        table.to_netcdf(paths[-1])
    return paths, notes


# --- figures --------------------------------------------------------------------------------------------------------


@_drawn
def emission_map(run, without=None, years=None):
    """Map of the emission of land use, summed over the years.

    Parameters
    ----------
    run : LandUseRun
    without : LandUseRun, optional
        The run whose land use is held (S2): a second map with the difference of the two, all effects of land use.
    years : (first, last), optional
    """
    a, b = years or (run.year[0], run.year[-1])
    chosen = (run.year >= a) & (run.year <= b)
    panels = [("From clearing and products", run.flux["fLuc"][chosen].sum(axis=0))]
    if without is not None:
        panels.append(("All effects, S2 − S3", eluc(without, run)[chosen].sum(axis=0)))
    frame = _Frame(run)
    width = 9.0 if len(panels) > 1 else 5.4
    figure, axes = _figure(1, len(panels), width, width / len(panels) * frame.ratio * 0.9 + 0.75)
    every = np.concatenate([v for _, v in panels])
    kind, ramp = ("0", "BrBG_r") if np.nanmin(every) < -1e-3 * np.nanmax(every) else ("+", "YlOrBr")
    levels, extend = _levels(every, kind)
    for axis, (title, value) in zip(axes[0], panels, strict=True):
        shown = frame.draw(axis, value, *_colours(ramp, levels, extend, kind))
        axis.set_title(f"{title}, {a}–{b}, kgC m⁻²", pad=3)
        _bar(figure, axis, shown, levels)
    return figure


@_drawn
def tiles_map(run):
    """Map of the number of tiles of each cell, or None where all have the same."""
    count = np.bincount(np.asarray(run.domain.tile_cell), minlength=run.domain.n_cell).astype(float)
    if len(count) < 2 or np.ptp(count) == 0.0:
        return None
    frame = _Frame(run)
    figure, axes = _figure(1, 1, 5.4, 5.4 * frame.ratio * 0.9 + 0.75)
    step = max(1, int(np.ceil(np.ptp(count) / 9)))
    levels = np.arange(count.min(), count.max() + step + 1, step)  # a class begins at its level
    shown = frame.draw(axes[0, 0], count, *_colours("YlGnBu", levels, "neither", "linear"))
    axes[0, 0].set_title(f"Tiles of a cell, {count.sum():.0f} in all", pad=3)
    _bar(figure, axes[0, 0], shown, levels)
    return figure


@_drawn
def area_series(run):
    """Area of each kind of land over time, stacked."""
    if len(run.year) < 2:
        return None
    if run.extensive:
        area, unit = np.einsum("yck,c->yk", run.kinds, run.area) * 1e-12, "million km²"
    else:
        area, unit = np.einsum("yck,c->yk", run.kinds, run.area / run.area.sum()), "share of land"
    there = [k for k in range(6) if area[:, k].max() > 1e-6 * area.sum(axis=1).max()]
    figure, axes = _figure(1, 1, 7.0, 3.0)
    axis = axes[0, 0]
    edges, base = np.append(run.year, run.year[-1] + 1), np.zeros(len(run.year))
    for k in there:
        top = base + area[:, k]
        axis.fill_between(edges, np.append(base, base[-1]), np.append(top, top[-1]), step="post",
                          color=COLOURS[KINDS[k]], label=KINDS[k], lw=0.4, ec="white")  # fmt: skip
        base = top
    axis.set_xlim(edges[0], edges[-1])
    axis.set_ylim(0.0, base.max())
    axis.set_ylabel(unit)
    axis.set_title("Kinds of land")
    axis.xaxis.get_major_locator().set_params(integer=True)
    handles, labels = axis.get_legend_handles_labels()
    figure.legend(handles[::-1], labels[::-1], loc="outside right center", handlelength=1.1)
    return figure


def _ribbon(axis, left, right, height, colour):
    """A band between two columns, from (0.06, left) to (0.94, right)."""
    t = np.linspace(0.0, 1.0, 60)
    smooth = t * t * (3.0 - 2.0 * t)
    x, low = 0.06 + 0.88 * t, left + (right - left) * smooth
    axis.fill_between(x, low, low + height, color=colour, alpha=0.55, lw=0.3, ec="white")


@_drawn
def flow_diagram(matrix, unit="million km²", title="Land that changed hands", least=0.002):
    """Flows of land from kind (left) to kind (right).

    Parameters
    ----------
    matrix : (6, 6)
        From, to; in ``unit`` (:func:`flow_matrix`, 1e-12 of m2).
    least : float
        Flows below this share of the whole are left out.
    """
    matrix = np.asarray(matrix, float)
    whole = matrix.sum()
    if not whole > 0.0:
        return None
    matrix = np.where(matrix >= least * whole, matrix, 0.0)
    sources, targets = (np.flatnonzero(matrix.sum(axis=a) > 0.0) for a in (1, 0))
    gap = 0.05 * whole
    height = matrix.sum() + gap * (max(len(sources), len(targets)) - 1)
    figure, axes = _figure(1, 1, 6.8, 3.4)
    axis = axes[0, 0]
    axis.set_axis_off()

    def column(members, totals):
        at, start = height - 0.5 * (height - matrix.sum() - gap * (len(members) - 1)), {}
        for k in members:
            at -= totals[k]
            start[k] = at
            at -= gap
        return start

    left, right = column(sources, matrix.sum(axis=1)), column(targets, matrix.sum(axis=0))
    for starts, totals, x, place in (
        (left, matrix.sum(axis=1), 0.045, "right"),
        (right, matrix.sum(axis=0), 0.94, "left"),
    ):
        for k, y in starts.items():
            axis.add_patch(_box(x, y, 0.015, totals[k], COLOURS[KINDS[k]]))
            label = f"{KINDS[k]}\n{totals[k]:.3g}"
            axis.text(x - 0.012 if place == "right" else x + 0.027, y + 0.5 * totals[k], label, ha=place, va="center",
                      fontsize=8.5, linespacing=1.15)  # fmt: skip
    used_left = {k: y + matrix[k].sum() for k, y in left.items()}
    used_right = {k: y + matrix[:, k].sum() for k, y in right.items()}
    for i in sources:
        for j in targets:
            if matrix[i, j] > 0.0:
                used_left[i] -= matrix[i, j]
                used_right[j] -= matrix[i, j]
                _ribbon(axis, used_left[i], used_right[j], matrix[i, j], COLOURS[KINDS[i]])
    axis.set_xlim(-0.14, 1.14)
    axis.set_ylim(-0.02 * height, 1.02 * height)
    axis.set_title(f"{title}, {unit}")
    return figure


def _box(x, y, width, height, colour):
    from matplotlib.patches import Rectangle

    return Rectangle((x, y), width, height, fc=colour, ec="none")


@_drawn
def uptake_attribution(run, window=1):
    """Net uptake of the land over time and what it is made of.

    Parameters
    ----------
    run : LandUseRun with NBP
    window : int
        Years of the running mean.
    """
    if run.nbp is None or len(run.year) < 3:
        return None

    def of(values):
        total = run.total(values)
        return running_mean(total, window) if window > 1 else total

    def flux(name):
        return of(run.flux[name]) if name in run.flux else np.zeros(len(run.year))

    parts = [("NBP of the land", of(run.nbp), GREEN), ("clearing (burned)", -flux("fDeforestToAtmos"), SECOND),
             ("decay of products", -flux("fProductDecomp"), WARM), ("seed", flux("seed_carbon"), WATER),
             ("farm harvest kept in products", flux(FARM), COLOURS["crop"])]  # fmt: skip
    net = of(run.uptake)
    largest = max(np.nanmax(np.abs(v)) for _, v, _ in parts)
    parts = [p for p in parts if np.nanmax(np.abs(p[1])) > 2e-3 * largest]
    figure, axes = _figure(1, 1, 7.6, 3.1)
    axis = axes[0, 0]
    up, down = np.zeros(len(net)), np.zeros(len(net))
    for label, value, colour in parts:
        value = np.nan_to_num(value)
        plus, minus = np.maximum(value, 0.0), np.minimum(value, 0.0)
        axis.bar(run.year, plus, 1.0, bottom=up, color=colour, alpha=0.75, lw=0, label=label)
        axis.bar(run.year, minus, 1.0, bottom=down, color=colour, alpha=0.75, lw=0)
        up, down = up + plus, down + minus
    axis.plot(run.year, net, color=OBSERVED, lw=1.5, label="net uptake")
    axis.axhline(0.0, color="#59606a", lw=0.7)
    axis.set_xlim(run.year[0] - 0.5, run.year[-1] + 0.5)
    axis.set_ylabel(f"{run.unit} yr⁻¹")
    axis.set_title("Net uptake of the land" + (f", running mean of {window} years" if window > 1 else ""))
    axis.xaxis.get_major_locator().set_params(integer=True)
    handles, labels = axis.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper left", ncols=6, handlelength=1.1, columnspacing=1.2)
    return figure


@_drawn
def comparison(result, window=1):
    """ELUC of two runs beside bookkeeping, and the terms of the difference (:func:`beside_bookkeeping`)."""
    year = result["year"]

    def smooth(name):
        return running_mean(result[name], window) if window > 1 else np.asarray(result[name])

    figure, axes = _figure(1, 2, 9.0, 3.1, sharex=True)
    for name, label, colour in (("factorial", "two runs, S2 − S3", MODEL), ("bookkeeping", "bookkeeping", SECOND),
                                ("transient", "with densities of each year", WARM)):  # fmt: skip
        axes[0, 0].plot(year, smooth(name), color=colour, label=label)
    for name, label, colour in (("difference", "difference", OBSERVED), ("minus_lasc", "lost sinks (−LASC)", GREEN),
                                ("density_effect", "densities", WARM),
                                ("process_residual", "processes", "#8f7bb8")):  # fmt: skip
        axes[0, 1].plot(year, smooth(name), color=colour, label=label)
    for axis, title in zip(axes[0], ("Emission of land use", "Two runs less bookkeeping"), strict=True):
        axis.axhline(0.0, color="#9aa1a9", lw=0.7)
        axis.set_title(title, pad=20)
        axis.set_ylabel(f"{result.get('unit', 'PgC')} yr⁻¹")
        axis.set_xlim(year[0], year[-1])
        axis.xaxis.get_major_locator().set_params(integer=True)
        axis.legend(loc="lower left", bbox_to_anchor=(-0.02, 0.985), ncols=4, handlelength=1.1, columnspacing=0.9,
                    fontsize=7.5, borderaxespad=0.1)  # fmt: skip
    return figure


@_drawn
def curves(time, panels, unit, across="", columns=3, share=None):
    """Curves of several places side by side.

    Parameters
    ----------
    time : (time,)
    panels : list of (title, list of (label, colour, (time,)), list of (low, high, at, label) ranges to compare with)
    unit, across : str
        Labels of the axes.
    """
    columns = min(columns, len(panels))
    figure, axes = _figure(-(-len(panels) // columns), columns, 9.0, 2.7 * -(-len(panels) // columns), sharey=share)
    handles = {}
    for axis, (title, lines, ranges) in zip(axes.flat, panels, strict=False):
        for label, colour, values in lines:
            handles[label] = axis.plot(time, values, color=colour, label=label)[0]
        for low, high, at, label in ranges:
            handles[label] = axis.plot([at, at], [low, high], color=OBSERVED, lw=2.6, alpha=0.55, label=label,
                                       solid_capstyle="butt")[0]  # fmt: skip
        axis.axhline(0.0, color="#9aa1a9", lw=0.7)
        axis.set_title(title)
        axis.set_xlim(time[0], time[-1])
    for row in axes:
        row[0].set_ylabel(unit)
    for axis in axes[-1]:
        axis.set_xlabel(across)
    figure.legend(
        handles.values(), handles.keys(), loc="outside upper left", ncols=5, handlelength=1.2, columnspacing=1.3
    )
    return figure


def figures(run, without=None, history=None, window=1):
    """Figures of a run: list of name, function (taking the format) and caption.

    Parameters
    ----------
    run : LandUseRun
    without : LandUseRun, optional
        S2.
    history : LandUse, optional
        For gross flows of land.
    """
    scale, unit = (1e-12, "million km²") if run.extensive else (1.0, "share of land")
    a, b = run.year[0], run.year[-1]
    told = "both ways counted" if history is not None else "net in each year and cell: what goes both ways is not seen"
    if history is None and run.moved is not None:
        whole = (run.moved @ run.area).sum() * 1e-12 if run.extensive else run.total(run.moved).sum() * 1e-3
        told += f"; in all {whole:.3g} {unit} changed hands"
    return [
        (
            "map",
            lambda **k: emission_map(run, without, **k),
            f"Emission of land use. Sum of {a} to {b}; positive to the atmosphere."
            + (" Right: net uptake with land use held less that of this run." if without is not None else ""),
        ),
        ("area", lambda **k: area_series(run, **k), "Kinds of land. After the changes of 1 January."),
        (
            "flows",
            lambda **k: flow_diagram(flow_matrix(run, history) * scale, unit, **k),
            f"Flows of land. From the kind on the left to that on the right, {a} to {b}; {told}.",
        ),
        (
            "uptake",
            lambda **k: uptake_attribution(run, window, **k),
            "Net uptake and its parts. NBP is that of the land alone: growth, decay of litter and soil, and what leaves"
            " with the harvest of farms.",
        ),
        (
            "tiles",
            lambda **k: tiles_map(run, **k),
            "Tiles. One for each plant type and class of land that a cell ever has; those without area rest.",
        ),
    ]


def figure_files(folder, target, without=None, format="svg", window=1, inputs=None):
    """Write the figures of a run as single files.

    Parameters
    ----------
    folder, without : path
        Of the run (S3) and of that whose land use is held (S2, optional).
    target : path
        Folder for the files, made where it is missing.
    format : "svg" or "png"
    inputs : path, optional
        Folder to which the paths of the history refer: flows of land are gross then.

    Returns
    -------
    list of pathlib.Path
        ``land_use_map``, ``land_use_area``, ``land_use_flows``, ``land_use_uptake``, ``land_use_tiles``, as far as
        there is something to draw.
    """
    if format not in ("svg", "png"):
        raise ConcertoError(f"format: {format!r} is not a format of figures.", hint="Choose svg or png.")
    run = read_land_use(folder)
    held = None if without is None else read_land_use(without)
    target = Path(target)
    target.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, draw, _ in figures(run, held, history_or_none(run, inputs), window):
        content = draw(format=format)
        if content is not None:
            path = target / f"land_use_{name}.{format}"
            path.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)
            paths.append(path)
    return paths
