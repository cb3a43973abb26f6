"""Land use in a gridded run: tiles for every class of land, and what happens on 1 January of each year.

The tiles of the run are made once, for all classes that a cell ever has. Only tiles with area are advanced. On
1 January, before the first step, secondary land grows older, wood is harvested, land changes hands
(`concerto.landuse.transitions`) and products enter their pools, which decay through the year. How land is managed in
the year that begins is set as parameters of its tiles. What fields and pastures have yielded in a year enters the pool
of one year when that year ends.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from concerto.domain.cover import few_tiles
from concerto.domain.land_cover import N_PFT
from concerto.errors import ConcertoError
from concerto.landuse.classes import (
    CROP,
    GRASSES,
    MANAGEMENT,
    PASTURE,
    PRIMARY,
    RANGELAND,
    SECONDARY,
    class_list,
    compositions,
)
from concerto.landuse.history import held_year
from concerto.landuse.products import ProductPools
from concerto.landuse.transitions import KINDS, Layout, Options, apply_year, kinds_used, slots
from concerto.simulation.tiles import HARVESTED
from concerto.tables import loader

OF_FIELDS = ("fertiliser", "manure", "irrigation")
MOWING = "mowing_leaf_area"
MANAGED = (*(MANAGEMENT[name] for name in (*OF_FIELDS, "livestock")), MOWING)  # 0: nothing is done
HISTORY = ("fertiliser", "irrigation")  # may be `history`; the parameter is its name in LandUseYear.management
SMALL = 0.05  # share of `domain.minimum_fraction` that a type of a kind of land has to cover at its largest
CLOSURE = 1e-11  # relative; a year of land use that loses more than this is a bug and stops the run


def start_year(config) -> int:
    """Year of the land use that the first phase begins with."""
    return year_of(config, config.phases[0], None)


def year_of(config, phase, year):
    """Year of the land use in a year of a phase: held, or the year itself."""
    held = phase.land_use
    if held is not None and held != "transient":
        return held.fixed
    if phase.kind == "run":
        return phase.years[0] if year is None else year
    k = next(i for i, other in enumerate(config.phases) if other is phase)
    following = next((p for p in config.phases[k:] if p.kind == "run"), None)
    if following is None:
        return phase.climate.cycle[0]
    return year_of(config, following, None)


def last_year(config) -> int:
    """Last year of the land use that a phase asks for."""
    return max(year_of(config, phase, phase.years[1] if phase.kind == "run" else None) for phase in config.phases)


def check_phases(config) -> None:
    """Refuse phases whose land use would go back in time."""
    now = start_year(config)
    for phase in config.phases:
        check_follows(config, phase, now)
        if phase.kind == "run":
            now = max(now, year_of(config, phase, phase.years[1]))


def check_follows(config, phase, now: int, begin=None) -> None:
    """Refuse a phase that wants an earlier land use than that of ``now``; a spin-up wants just that.

    ``begin``: date at which a run phase is taken up again.
    """
    first = None if phase.kind == "spinup" else phase.years[0] if begin is None else int(str(begin)[:4])
    wanted = year_of(config, phase, first)
    if wanted < now or (phase.kind == "spinup" and wanted != now):
        raise ConcertoError(
            f"phase {phase.name} begins with the land use of {wanted}, and the state before it has that of {now}",
            hint=f"land use goes forward in run phases only; hold it with land_use: {{fixed: {now}}}",
        )


def cell_rows(options) -> list[str]:
    """Names of the rows [cell] that are filled with these options."""
    return [name for name, entry in loader.variables("cell").items() if loader.filled(entry, options.__getitem__)]


def _management_notes(config, base, used, largest) -> list[str]:
    """What to know of the management; refuses a history that does not have it."""
    wanted, out = config.land_use.management, []
    for name in HISTORY:
        key = MANAGEMENT[name]
        if getattr(wanted, name) != "history":
            continue
        if key not in base.management:
            stem = {"fertiliser": "fertl", "irrigation": "irrig"}[name]
            raise ConcertoError(
                f"land_use.management.{name} is history, and the file of management has no {stem}_<crop>",
                hint=f"name another file in land_use.files.management, or write land_use.management.{name}: off",
            )
        (most, year), entry = largest[key], loader.parameters()[key]
        if most > entry.bounds[1]:
            out.append(
                f"land use: {name} of the history is up to {most:.3g} {entry.units} (in {year}); above "
                f"{entry.bounds[1]:g} it is taken as {entry.bounds[1]:g}"
            )
    if used[:, CROP].any() and config.model.options.get("crops") != "calendar":
        out.append("land use: crops are neither sown nor harvested, the option crops is grass (calendar: they are)")
    return out


def _forestry(section):
    """Settings of the operator from the section of the configuration."""
    from concerto.landuse.forestry import Forestry

    if section == "off":
        return None
    given = section.model_dump()
    return Forestry(primary=given.pop("forests") == "all", **given)


def _kinds(series, first, last, management=()):
    """Kinds of land (cell, 6) from the state of the year ``first`` to that of ``last``, and their largest area.

    Third: name in LandUseYear.management -> largest value of all cells, and its year; beside those that cost nothing
    only the names in ``management`` are read.
    """
    series = series.outline(management)
    most, largest = series.year(last).area, {}
    found = most > 0.0
    for year in range(first, last + 1):
        state = series.year(year)
        if year < last:
            found = found | kinds_used(series, (year,))
            most = np.maximum(most, state.area)
        for name, values in (state.management or {}).items():
            top = float(np.nanmax(values, initial=0.0))
            if top > largest.get(name, (-1.0, year))[0]:
                largest[name] = top, year
    return found, most, largest


def _large_enough(mixtures, most, smallest):
    """Mixtures without types that never get the share ``smallest`` of the cell; the largest of a kind stays."""
    least = smallest / np.maximum(most, 1e-12)
    return {kind: few_tiles(mixtures[kind], least[:, k, None], N_PFT)[0] for k, kind in enumerate(KINDS)}


def with_classes(domain, config, climate):
    """A domain whose tiles are those of all classes of land that each cell ever has.

    Parameters
    ----------
    domain : Domain with its natural tiles
    config : configuration with the section ``land_use``
    climate : climatology of the cells of the domain, as :func:`concerto.domain.grid.add_tiles` wants it

    Returns
    -------
    Domain with ``tile_class``, ``mixtures`` and the area at the start
    """
    from concerto.domain.land_cover import monthly_climate
    from concerto.landuse.readers import open_land_use

    section = config.land_use
    series = open_land_use(section, domain, config.folder)
    natural = np.zeros((domain.n_cell, len(loader.pft_names())))
    natural[domain.tile_cell, domain.tile_pft] = domain.tile_fraction
    first = start_year(config)
    years = [first, last_year(config), *(section.years or ())]
    base = series.year(min(years))  # the same mixtures in runs that share their years, whichever they begin with
    share = monthly_climate(climate["temperature"], climate["precipitation"]).c4_share
    mixtures = compositions(
        natural, share, crop_c4_share=base.management.get("crop_c4"), forest=base.forest,
        forest_area=base.forest_of_natural(),
        latitude=domain.latitude, longitude=domain.longitude, luh_forest=section.luh_forest,
        rangeland=section.rangeland,
    )  # fmt: skip
    state = series.year(first)
    age = 15.0 if state.secondary_age is None else state.secondary_age
    of_history = [MANAGEMENT[name] for name in HISTORY if getattr(section.management, name) == "history"]
    used, most, largest = _kinds(series, min(years), max(years), of_history)
    forestry = _forestry(section.management.forestry)
    if forestry is not None and forestry.primary:  # what is cut of primary forest needs tiles of secondary land
        used[:, SECONDARY] |= used[:, PRIMARY]
        most[:, SECONDARY] += most[:, PRIMARY]
    mixtures = _large_enough(mixtures, most, SMALL * config.domain.minimum_fraction)
    layout = slots(class_list(section.secondary), mixtures, used, state.area, secondary_age=age)
    notes = [*domain.notes, *series.notes, *series.repairs(), *_management_notes(config, base, used, largest)]
    if section.source == "idealised":
        notes += series.idle(first, last_year(config))
    if domain.tile_parameters:
        names = ", ".join(domain.tile_parameters)
        notes.append(f"land use: {names} of single places holds on primary and secondary land")
    series.close()
    return replace(
        domain, tile_cell=layout.cell, tile_pft=layout.pft, tile_fraction=layout.area, tile_class=layout.land_class,
        mixtures=mixtures, tile_parameters=_of_natural_land(domain, layout), notes=notes,
    )  # fmt: skip


def _of_natural_land(domain, layout) -> dict:
    """Parameters of single places for the tiles of all classes: on managed land those of the table."""
    natural, out = np.isin(layout.kind[layout.land_class], (PRIMARY, SECONDARY)), {}
    for name, values in domain.tile_parameters.items():
        table = np.array(loader.parameters()[name].values)
        given = np.tile(table, (domain.n_cell, 1))
        given[domain.tile_cell, domain.tile_pft] = values
        out[name] = np.where(natural, given[layout.cell, layout.pft], table[layout.pft])
    return out


class LandUseHost:
    """Land use of the cells of a rank.

    Parameters
    ----------
    config : configuration of the run
    own : Domain of the rank, as :func:`with_classes` made it; its ``tile_fraction`` follows the area
    first : first cell of the rank in the whole domain, ``whole`` the whole domain

    Attributes
    ----------
    layout : Layout of the tiles
    products : ProductPools
    year : year of the land use that the area stands for
    last : year of the land use that the run ends with
    """

    def __init__(self, config, own, whole, first):
        from concerto.landuse.readers import open_land_use

        section = config.land_use
        self.own = own
        self.classes = class_list(section.secondary)
        self.layout = Layout(self.classes, own.tile_cell, own.tile_class, own.tile_pft, own.tile_fraction,
                             np.zeros((own.n_cell, 6, 6)))  # fmt: skip
        self.series = open_land_use(section, whole, config.folder).subset(slice(first, first + own.n_cell))
        self.options = Options(clearing=section.clearing, wood_harvest=section.wood_harvest, fates=section.fates,
                               minimum_area=section.minimum_area, merge_below=section.merge_below)  # fmt: skip
        self.products = ProductPools(own.n_cell, section.products)
        self.year, self.last = start_year(config), last_year(config)
        if section.merge_below > 0.0 and section.secondary == "age_classes":
            self.layout.follow_age(self.series.year(self.year).secondary_age)
        self.management, self.rows = section.management, cell_rows(config.model.options)
        self.forestry = _forestry(section.management.forestry)
        self.table: dict = {}  # parameters of management before the host has changed them

    def manage(self, tiles) -> None:
        """Set the parameters of the tiles to the management of the year that the area stands for.

        Fertiliser, manure, water and animals are on fields, pasture and rangeland alone: on all other land they are 0.

        Parameters
        ----------
        tiles : Tiles of the rank, all classes; its parameters are changed
        """
        wanted, kind = self.management, self.layout.kind[self.layout.land_class]
        for name in MANAGED:
            self.table.setdefault(name, tiles.parameter(name))
        of_history = [name for name in HISTORY if getattr(wanted, name) == "history"]
        history = self.series.year(self.year).management if of_history else {}
        crop, pft = kind == CROP, self.layout.pft
        grass = (pft >= GRASSES.start) & (pft < GRASSES.stop)
        values = {name: np.where(np.isin(kind, (CROP, PASTURE, RANGELAND)), self.table[name], 0.0) for name in MANAGED}
        for key in OF_FIELDS:
            name, value = MANAGEMENT[key], getattr(wanted, key)
            if value == "history":
                value = np.clip(history[name], *loader.parameters()[name].bounds)[self.layout.cell]
            elif value in (None, "off"):
                continue
            values[name] = np.where(crop, 1.0 if isinstance(value, str) else value, 0.0)
        if wanted.livestock not in (None, "off"):
            density = wanted.livestock
            of_kind = np.select([kind == PASTURE, kind == RANGELAND], [density.pasture, density.rangeland], 0.0)
            values[MANAGEMENT["livestock"]] = np.where(grass, of_kind, 0.0)
        water, residue = MANAGEMENT["irrigation"], MANAGEMENT["residue_left"]
        values[water] = np.where(crop, values[water], 0.0)
        values[MOWING] = np.where(kind == PASTURE, values[MOWING], 0.0)
        if wanted.residue_left is not None:
            self.table.setdefault(residue, tiles.parameter(residue))
            values[residue] = np.where(crop, wanted.residue_left, self.table[residue])
        for name, of_tiles in values.items():
            tiles.set_parameter(name, of_tiles)

    def harvest(self, tiles, members, found: dict, seconds: float) -> None:
        """End of a year: what was taken from fields and pastures enters the pool of one year.

        Where more seed and manure came than was taken, nothing enters; that came from outside, and is in `nbp`.

        Parameters
        ----------
        tiles : Tiles that were advanced; what they count is set to 0
        members : their numbers among all tiles, or None: all
        found : rows [cell] of the year, as :meth:`begin` gave them; changed
        seconds : length of the year
        """
        farm = self._taken(tiles, members)
        self.products.add(*(self._short_lived(farm[element]) for element in HARVESTED), past=True)
        found["farm_harvest_to_products"] = farm["carbon"] / seconds
        found["harvest_to_products"] = found["wood_harvest_to_products"] + found["farm_harvest_to_products"]
        found["product_carbon"] = self.products.stock("carbon").sum(axis=1)
        if "product_nitrogen" in self.rows:
            found["farm_harvest_nitrogen_to_products"] = farm["nitrogen"] / seconds
            found["nitrogen_to_products"] = found["nitrogen_to_products"] + farm["nitrogen"] / seconds
            found["product_nitrogen"] = self.products.stock("nitrogen").sum(axis=1)

    def settle(self, tiles) -> None:
        """End of a spin-up, whose tiles hold what is taken in a year: products of fields in balance with that.

        Parameters
        ----------
        tiles : Tiles of the rank, all classes; what they count is set to 0
        """
        farm = self._taken(tiles, None)
        empty = self.products.stock("carbon")[:, 0] <= 0.0  # those of years before a spin-up stay as they are
        self.products.settle(*(self._short_lived(np.where(empty, farm[element], 0.0)) for element in HARVESTED))

    def _taken(self, tiles, members) -> dict:
        """Element -> (cell,) what the tiles have yielded, kg m-2 of land, at least 0; they count from 0 again."""
        members = slice(None) if members is None else members
        cell, area, out = self.layout.cell[members], self.layout.area[members], {}
        for element, name in HARVESTED.items():
            out[element] = np.maximum(np.bincount(cell, area * tiles.get(name), self.own.n_cell), 0.0)
            tiles.set(name, 0.0)
        return out

    def _short_lived(self, amount):
        """(cell,) -> (cell, pool) with all of it in the first pool."""
        return amount[:, None] * (np.arange(self.products.n_pool) == 0)

    def members(self) -> np.ndarray:
        """Tiles that have area."""
        return np.flatnonzero(self.layout.area > 0.0)

    def check_tiles(self) -> None:
        """Refuse years to come that need kinds of land for which a cell has no tiles."""
        have = self.layout._of_classes((self.layout.table >= 0).any(axis=2)) > 0.0
        used = _kinds(self.series, self.year, self.last)[0]
        if (used & ~have).any():
            cell, kind = np.argwhere(used & ~have)[0]
            raise ConcertoError(
                f"by {self.last} there is {KINDS[kind]} land at {self._place(cell)}, for which the run has no tiles",
                hint="write land_use.years with all the years that are meant to follow, and start anew with --fresh",
            )

    def _place(self, cell) -> str:
        return f"{self.own.latitude[cell]:.2f} N {self.own.longitude[cell]:.2f} E"

    def begin(self, tiles, year: int, days: int = 365, older: bool = False) -> dict:
        """1 January: products decay for the year to come, land use goes on to that of ``year``.

        Parameters
        ----------
        tiles : Tiles of the rank, all classes; changed
        year : year of the land use that is wanted; that of the area moves no land
        days : of the year that begins, over which fluxes are means
        older : a year has gone by since this was called: where land use is held, too, secondary land is older by it
            and managed forests are cut, as in a run whose land use has not changed yet

        Returns
        -------
        dict name of the table [cell] -> (cell,), of the year that begins
        """
        n, seconds = self.own.n_cell, 86400.0 * days
        found = {name: np.zeros(n) for name in self.rows}
        nitrogen = dict.fromkeys(("to_atmosphere", "to_products", "establishment"), np.zeros(n))
        burned, seed = np.zeros(n), np.zeros(n)
        held = older and self.year == year and (len(self.layout.secondary) > 1 or self.forestry is not None)
        while self.year < year or held:
            history = self.series.year(self.year)
            history = held_year(history, self.year) if held else history
            result = apply_year(tiles, self.layout, history, self.own.mixtures, self.options, self.forestry)
            self.year += not held
            held = False
            self._check(result)
            self.products.add(result.to_products["carbon"], result.to_products["nitrogen"])
            wood = result.wood_to_products.sum(axis=1)
            burned += result.to_atmosphere["carbon"]
            seed += result.establishment["carbon"]
            found["deforestation_to_products"] += result.to_products["carbon"].sum(axis=1) - wood
            found["wood_harvest_to_products"] += wood
            found["land_use_to_litter"] += result.to_litter["carbon"]
            found["wood_harvest_deficit"] += result.wood_harvest_deficit * (self.options.wood_harvest == "mass")
            found["moved_area"] += result.moved * seconds
            found["forestry_to_products"] += result.forestry_to_products.sum(axis=1)
            found["forestry_area"] += result.forestry_area * seconds
            found["unmet_area"] += result.unmet.sum(axis=(1, 2)) * seconds
            for name in nitrogen:
                amount = getattr(result, name)["nitrogen"]
                nitrogen[name] = nitrogen[name] + (amount.sum(axis=1) if amount.ndim == 2 else amount)
        decayed = self.products.year().sum(axis=1)
        self.manage(tiles)
        found |= {
            "land_use_emission": burned + decayed - seed, "deforestation_to_atmosphere": burned,
            "product_decomposition": decayed, "seed_carbon": seed,
            "harvest_to_products": found["wood_harvest_to_products"],  # those of fields follow when the year is over
        }  # fmt: skip
        if "product_nitrogen" in self.rows:
            found |= {
                "deforestation_nitrogen_to_atmosphere": nitrogen["to_atmosphere"],
                "nitrogen_to_products": nitrogen["to_products"], "seed_nitrogen": nitrogen["establishment"],
                "product_nitrogen_decomposition": self.products.lost["nitrogen"].sum(axis=1),
            }  # fmt: skip
        found = {name: values / seconds for name, values in found.items()}
        found["product_carbon"] = self.products.stock("carbon").sum(axis=1)
        if "product_nitrogen" in self.rows:
            found["product_nitrogen"] = self.products.stock("nitrogen").sum(axis=1)
        found["tiles_with_area"] = np.bincount(self.layout.cell[self.layout.area > 0.0], minlength=n).astype(float)
        area = self.layout.kinds()
        found |= {f"{kind}_area": area[:, k] for k, kind in enumerate(KINDS)}
        found["secondary_age"] = self.layout.secondary_age()
        self.own.tile_fraction[:] = self.layout.area
        return found

    def _check(self, result):
        for name, residual in result.residual.items():
            worst = np.abs(residual).max(initial=0.0)
            if not worst <= CLOSURE:
                cell = int(np.abs(residual).argmax())  # the first that is no number, if there is one
                raise ConcertoError(
                    f"land use of {self.year} loses {worst:.1e} of the {name} at {self._place(cell)}",
                    hint="this is a fault of concerto; please report it with the configuration",
                )

    def arrays(self) -> tuple[dict, dict]:
        """What a checkpoint needs: arrays by cell and by tile, rows first."""
        cells = {"deficit": self.layout.deficit.reshape(self.own.n_cell, 36)}
        cells |= {} if self.layout.age is None else {"age": self.layout.age}
        cells |= {name: np.moveaxis(values, 1, 0) for name, values in self.products.state().items()}
        return cells, {"area": self.layout.area}

    def restore(self, year: int, cells: dict, tiles: dict) -> list[str]:
        """Go on from what :meth:`arrays` gave; returns what is to be told of it."""
        self.year = year
        self.layout.area[:] = tiles["area"]
        self.layout.deficit[:] = cells["deficit"].reshape(self.own.n_cell, 6, 6)
        notes = []
        if self.layout.age is not None and "age" in cells:
            self.layout.age[:] = cells["age"]
        elif self.layout.age is not None:  # each class has area of all its ages
            self.layout.follow_age()
            notes.append(
                "land use: the state comes from a run with land_use.merge_below: 0 and has no ages; each class of "
                "secondary land begins with the age of its middle"
            )
        of_layout = ("deficit", "age")
        self.products.restore({name: np.moveaxis(v, 0, 1) for name, v in cells.items() if name not in of_layout})
        self.own.tile_fraction[:] = self.layout.area
        return notes
