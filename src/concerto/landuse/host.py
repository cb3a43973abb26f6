"""Land use in a gridded run: tiles for every class of land, and what happens on 1 January of each year.

The tiles of the run are made once, for all classes that a cell ever has. Only tiles with area are advanced. On
1 January, before the first step, secondary land grows older, wood is harvested, land changes hands
(`concerto.landuse.transitions`) and products enter their pools, which decay through the year.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from concerto.errors import ConcertoError
from concerto.landuse.classes import class_list, compositions
from concerto.landuse.products import ProductPools
from concerto.landuse.transitions import KINDS, Layout, Options, apply_year, kinds_used, slots
from concerto.tables import loader

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


def _kinds(series, first, last):
    """Kinds of land (cell, 6) from the state of the year ``first`` to that of ``last``."""
    found = series.year(last).area > 0.0
    return found | kinds_used(series, range(first, last)) if last > first else found


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
    layout = slots(class_list(section.secondary), mixtures, _kinds(series, min(years), max(years)), state.area,
                   secondary_age=age)  # fmt: skip
    notes = [*domain.notes, *series.notes, *series.repairs()]
    if domain.tile_parameters:
        notes.append(f"land use: {', '.join(domain.tile_parameters)} of single places are those of the table")
    series.close()
    return replace(
        domain, tile_cell=layout.cell, tile_pft=layout.pft, tile_fraction=layout.area, tile_class=layout.land_class,
        mixtures=mixtures, tile_parameters={}, notes=notes,
    )  # fmt: skip


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
                               minimum_area=section.minimum_area)  # fmt: skip
        self.products = ProductPools(own.n_cell, section.products)
        self.year, self.last = start_year(config), last_year(config)

    def members(self) -> np.ndarray:
        """Tiles that have area."""
        return np.flatnonzero(self.layout.area > 0.0)

    def check_tiles(self) -> None:
        """Refuse years to come that need kinds of land for which a cell has no tiles."""
        have = self.layout._of_classes((self.layout.table >= 0).any(axis=2)) > 0.0
        used = _kinds(self.series, self.year, self.last)
        if (used & ~have).any():
            cell, kind = np.argwhere(used & ~have)[0]
            raise ConcertoError(
                f"by {self.last} there is {KINDS[kind]} land at {self._place(cell)}, for which the run has no tiles",
                hint="write land_use.years with all the years that are meant to follow, and start anew with --fresh",
            )

    def _place(self, cell) -> str:
        return f"{self.own.latitude[cell]:.2f} N {self.own.longitude[cell]:.2f} E"

    def begin(self, tiles, year: int, days: int = 365) -> dict:
        """1 January: products decay for the year to come, land use goes on to that of ``year``.

        Parameters
        ----------
        tiles : Tiles of the rank, all classes; changed
        year : year of the land use that is wanted; that of the area changes nothing
        days : of the year that begins, over which fluxes are means

        Returns
        -------
        dict name of the table [cell] -> (cell,), of the year that begins
        """
        n, seconds = self.own.n_cell, 86400.0 * days
        found = {name: np.zeros(n) for name in loader.variables("cell")}
        burned, seed = np.zeros(n), np.zeros(n)
        while self.year < year:
            result = apply_year(tiles, self.layout, self.series.year(self.year), self.own.mixtures, self.options)
            self.year += 1
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
        decayed = self.products.year().sum(axis=1)
        found |= {
            "land_use_emission": burned + decayed - seed, "deforestation_to_atmosphere": burned,
            "product_decomposition": decayed, "seed_carbon": seed,
        }  # fmt: skip
        found = {name: values / seconds for name, values in found.items()}
        found["product_carbon"] = self.products.stock("carbon").sum(axis=1)
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
        cells |= {name: np.moveaxis(values, 1, 0) for name, values in self.products.state().items()}
        return cells, {"area": self.layout.area}

    def restore(self, year: int, cells: dict, tiles: dict) -> None:
        """Go on from what :meth:`arrays` gave."""
        self.year = year
        self.layout.area[:] = tiles["area"]
        self.layout.deficit[:] = cells["deficit"].reshape(self.own.n_cell, 6, 6)
        self.products.restore({name: np.moveaxis(v, 0, 1) for name, v in cells.items() if name != "deficit"})
        self.own.tile_fraction[:] = self.layout.area
