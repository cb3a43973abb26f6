"""Flux towers as cells of a run: place, soil and plants of the domain, and the record as its forcing.

The file is read by :func:`concerto.forcing.read_site`, as `concerto site` reads it, with the same checks, gap filling
and derivations. Here its intervals, in local time, become days of UTC: whole calendar years of local time are taken,
and the few hours that UTC lacks at one end of them are those of the other end, which lie outside.
"""

from __future__ import annotations

import math
import re
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from concerto.domain.land_cover import PFT_NAMES, site_mixture
from concerto.errors import ConcertoError
from concerto.forcing.gridded import GridForcing, find_files, setting
from concerto.forcing.site import (
    Site,
    deciduous_broadleaf,
    home_temperature,
    read_site,
    unknown_irrigation,
    without_undergrowth,
)

DAY = 86400
AT_ENDS = np.timedelta64(1, "D")  # what a year may lack at an end of the record; taken from the other end
NAMES = (
    "air_temperature", "specific_humidity", "pressure", "shortwave_down", "longwave_down", "wind_speed", "rainfall",
    "snowfall",
)  # fmt: skip
_KEPT = 8  # towers that are held: a run asks for each several times
_held: OrderedDict = OrderedDict()


@dataclass(repr=False)
class Tower:
    """A site with its whole years.

    Attributes
    ----------
    site : Site
    first_year, last_year : int
        Whole calendar years of local time.
    """

    site: Site
    first_year: int
    last_year: int

    @property
    def native_seconds(self) -> int:
        """Length of an interval that divides the record and the days of UTC, s."""
        return math.gcd(self.site.step_seconds, int(self.site.time_start[0].astype("datetime64[s]").astype(int)) % DAY)


def read_towers(config, folder=".") -> list[Tower]:
    """The towers of a section `forcing`.

    Parameters
    ----------
    config : object or dict
        files (a file, pattern or list), tower (what the file does not say), time_offset_hours, reference_height.
    folder : path that relative names count from

    Returns
    -------
    list of Tower, in the order of the files

    Raises
    ------
    ConcertoError
        A file is missing or cannot be read, or has no whole calendar year.
    """
    files = setting(config, "files")
    if hasattr(files, "items"):
        raise ConcertoError(
            "forcing.files names variables, but a tower has all of them in one file", hint="name the file of the tower"
        )
    given = [files] if isinstance(files, str | Path) or not files else list(files)
    paths = [path for one in given for _, found, _ in find_files(one, folder, None, "tower") for path in found]
    section = setting(config, "tower", {})
    facts = {
        name: setting(section, name)
        for name in (
            "latitude", "longitude", "elevation", "igbp", "name", "canopy_height", "time_stamp", "gap_limit_days",
        )
    }  # fmt: skip
    facts |= {
        "utc_offset_hours": setting(config, "time_offset_hours"),
        "reference_height": setting(config, "reference_height"),
    }
    facts = {name: value for name, value in facts.items() if value is not None}
    of_one = [name for name in facts if name not in ("time_stamp", "gap_limit_days", "reference_height")]
    if len(paths) > 1 and of_one:
        key = "forcing.time_offset_hours" if of_one == ["utc_offset_hours"] else f"forcing.tower.{of_one[0]}"
        raise ConcertoError(
            f"{key} is that of one tower, but there are {len(paths)} files",
            hint="write it into the files, or run one tower at a time",
        )
    return [_tower(path, facts, setting(section, "years")) for path in paths]


def _tower(path, facts, years) -> Tower:
    try:
        state = path.stat()
        key = (str(path.resolve()), state.st_mtime_ns, state.st_size, repr(sorted(facts.items())), repr(years))
    except OSError:
        key = None  # the reader says what is wrong
    if key not in _held:
        span = {}
        if years is not None:
            span = {"start": f"{years[0]:04d}-01-01", "end": f"{years[1] + 1:04d}-01-01"}
        try:
            site = read_site(path, **facts, **span)
        except ConcertoError as error:
            raise ConcertoError(error.message, hint=_of_configuration(error.hint)) from None
        _held[key] = Tower(site, *_whole_years(site, Path(path).name, years))
        while len(_held) > _KEPT:
            _held.popitem(last=False)
    _held.move_to_end(key)
    return _held[key]


KEYS = {
    "latitude": "forcing.tower.latitude", "longitude": "forcing.tower.longitude",
    "elevation": "forcing.tower.elevation", "utc_offset_hours": "forcing.time_offset_hours",
    "gap_limit_days": "forcing.tower.gap_limit_days", "time_stamp": "forcing.tower.time_stamp",
}  # fmt: skip


def _of_configuration(hint):
    """Advice of the reader with the key of the configuration that it means."""
    keys = [key for name, key in KEYS.items() if re.search(rf"\b{name}\b", hint or "")]
    if "start=" in (hint or ""):
        keys.append("forcing.tower.years")
    return f"{hint} In a configuration: {', '.join(keys)}." if keys else hint


def _whole_years(site, file, asked) -> tuple[int, int]:
    """First and last calendar year that the record holds but for a day at its ends."""
    begin = site.time_local[0]
    end = site.time_local[-1] + np.timedelta64(site.step_seconds, "s")

    def year(time):
        return int(time.astype("datetime64[Y]").astype(int)) + 1970

    def new_year(number):
        return np.datetime64(f"{number:04d}-01-01", "s")

    low = year(begin) + int(begin > new_year(year(begin)) + AT_ENDS)
    high = year(end) - int(end < new_year(year(end) + 1) - AT_ENDS)
    span = f"{str(begin)[:16].replace('T', ' ')} to {str(end)[:16].replace('T', ' ')}"
    if high < low:
        raise ConcertoError(
            f"{file} holds {span}, which is no whole calendar year",
            hint="years are repeated whole: give a longer record",
        )
    if asked is not None and (low, high) != tuple(asked):
        raise ConcertoError(
            f"{file} holds {span} of the years {asked[0]} to {asked[1]} that forcing.tower.years asks for",
            hint=f"write years: [{low}, {high}], or leave it out",
        )
    return low, high


def whole_years(config, folder=".") -> tuple[int, int]:
    """First and last year that all towers of a section `forcing` have.

    Examples
    --------
    >>> whole_years({"files": "DK-Sor_2003-2005.nc"})  # doctest: +SKIP
    (2003, 2005)
    """
    towers = read_towers(config, folder)
    first, last = max(t.first_year for t in towers), min(t.last_year for t in towers)
    if last < first:
        spans = ", ".join(f"{t.site.name} {t.first_year} to {t.last_year}" for t in towers)
        raise ConcertoError(f"the towers have no year in common ({spans})", hint="run them one at a time")
    return first, last


def time_step(config, folder=".") -> int:
    """Interval of the record of a section `forcing`, s: the shortest where towers differ."""
    return math.gcd(*(tower.site.step_seconds for tower in read_towers(config, folder)))


def place_facts(config, folder=".", plants: bool = True) -> dict[str, np.ndarray]:
    """What the towers say of their places, as columns of a list of points.

    Parameters
    ----------
    config : section `forcing`
    folder : path that relative names count from
    plants : whether the types are those of the towers, as `concerto site` takes them

    Returns
    -------
    dict
        latitude, longitude, elevation, name, reference_height, home_temperature (K), hold_soil_water,
        outside_water; with `plants` also pft and canopy_height (m, NaN where there are several types).

    Raises
    ------
    ConcertoError
        No class of land cover, or one without plants.
    """
    sites = [tower.site for tower in read_towers(config, folder)]
    out = {
        "latitude": [s.latitude for s in sites],
        "longitude": [s.longitude for s in sites],
        "elevation": [s.elevation for s in sites],
        "name": [s.name for s in sites],
        "reference_height": [max(s.reference_height, 0.5) for s in sites],
        "home_temperature": [home_temperature(s.time_local, s.forcing["air_temperature"]) for s in sites],
        "hold_soil_water": [0.0 if s.has_precipitation else 1.0 for s in sites],
        "outside_water": [float(unknown_irrigation(s, say=False)) for s in sites],
    }
    if plants:
        mixtures = []
        for site in sites:
            try:
                mixtures.append(site_mixture(site))
            except ConcertoError as error:
                raise ConcertoError(
                    error.message,
                    hint="write forcing: {tower: {igbp: ENF}}, or domain: {land_cover: {kind: uniform, pft: ...}}",
                ) from None
        out["pft"] = [",".join(f"{PFT_NAMES[number]}:{share!r}" for number, share in m) for m in mixtures]
        out["canopy_height"] = [
            max(s.canopy_height, 0.01) if s.canopy_height is not None and len(m) == 1 else np.nan
            for s, m in zip(sites, mixtures, strict=True)
        ]
    text = ("name", "pft")
    return {name: np.array(values, dtype=object if name in text else float) for name, values in out.items()}


class TowerForcing(GridForcing):
    """Records of towers as the forcing of their cells; see :class:`concerto.forcing.gridded.GridForcing`.

    Parameters
    ----------
    config : section `forcing`
    domain : Domain of :func:`concerto.domain.grid.make_cells`, or a part of it; `cell_id` is the number of the tower
    folder : path that relative names count from
    """

    def __init__(self, config, domain, folder="."):
        super().__init__()
        towers = read_towers(config, folder)
        first, last = whole_years(config, folder)
        self.first_day = np.datetime64(f"{first:04d}-01-01", "D")
        self.last_day = np.datetime64(f"{last + 1:04d}-01-01", "D") - 1
        self.native_seconds = math.gcd(*(tower.native_seconds for tower in towers))
        if self.native_seconds < 300:
            raise ConcertoError(
                f"the intervals of {', '.join(tower.site.name for tower in towers)} do not fit the days of UTC: they "
                f"begin at {str(towers[0].site.time_start[0])[11:16]} UTC",
                hint="write forcing.time_offset_hours in steps of the record",
            )
        self.towers = [towers[number] for number in np.asarray(domain.cell_id)]
        self._series = [self._of_site(tower.site) for tower in self.towers]
        has_leaf = all("leaf_area_index" in series for series in self._series)
        self.variables = (*NAMES, "leaf_area_index") if has_leaf and self._series else NAMES
        for tower in towers:
            self._tell(tower, len(towers) > 1)

    @property
    def n_cell(self) -> int:
        """Number of cells."""
        return len(self.towers)

    @staticmethod
    def _of_site(site):
        series = {name: site.forcing[name] for name in NAMES}
        leaf_area = site.forcing.get("leaf_area_index")
        if leaf_area is None:
            return series
        if site.igbp == "DBF" and deciduous_broadleaf(number for number, _ in site_mixture(site)):
            leaf_area = without_undergrowth(leaf_area, site)
        return series | {"leaf_area_index": leaf_area}

    def _tell(self, tower, several):
        site, before = tower.site, f"{tower.site.name}: " if len(self.towers) > 1 or several else ""
        whole = f"{tower.first_year} to {tower.last_year}"
        self.notes += [f"{site.summary().splitlines()[0]}; whole years {whole}"]
        self.notes += [
            before + line
            for line in site.report
            if not line.startswith(("CO2air", "the record begins", "co2:", "LAI", "leaf area"))
        ]
        self.notes.append(
            f"{before}CO2 is that of the configuration, not of the record (mean {site.forcing['co2'].mean():.0f} ppm)"
        )
        if not site.has_precipitation:
            self.notes.append(f"{before}months of rain for the share of C4 plants are those of the package")
        if self.native_seconds != site.step_seconds:
            self.notes.append(
                f"{before}each interval of {site.step_seconds} s is read as {site.step_seconds // self.native_seconds} "
                "equal ones: the days of UTC cut it"
            )

    def _place(self, site, slots):
        """Position in the record of numbers of native intervals since 1970, UTC."""
        start = int(site.time_start[0].astype("datetime64[s]").astype(np.int64)) // self.native_seconds
        parts = site.step_seconds // self.native_seconds
        at = (slots - start) // parts
        tower = next(t for t in self.towers if t.site is site)
        days = np.datetime64(f"{tower.last_year + 1:04d}-01-01") - np.datetime64(f"{tower.first_year:04d}-01-01")
        year = int(days.astype("timedelta64[D]").astype(int)) * DAY // site.step_seconds
        at = np.where(at < 0, at + year, np.where(at >= site.n_steps, at - year, at))
        return np.clip(at, 0, site.n_steps - 1)

    def read(self, days) -> dict[str, np.ndarray]:
        days = np.atleast_1d(np.asarray(days).astype("datetime64[D]"))
        if days.size == 0:
            raise ValueError("read() needs at least one day")
        outside = (days < self.first_day) | (days > self.last_day)
        if outside.any():
            raise ConcertoError(
                f"the record of {', '.join(dict.fromkeys(t.site.name for t in self.towers))} has whole years from "
                f"{self.first_day} to {self.last_day}, and {days[int(np.argmax(outside))]} was asked for",
                hint="choose years within (phases: years, climate), or write climate: record",
            )
        slots = days.astype(np.int64)[:, None] * self.per_day + np.arange(self.per_day)
        slots = np.concatenate(([slots[0, 0] - 1], slots.ravel(), [slots[-1, -1] + 1]))
        out = {name: np.empty((self.n_cell, slots.size)) for name in self.variables}
        for cell, (tower, series) in enumerate(zip(self.towers, self._series, strict=True)):
            at = self._place(tower.site, slots)
            for name in self.variables:
                out[name][cell] = series[name][at]
        return out

    def climatology(self) -> dict:
        """Monthly climate of the whole years that all towers have."""
        days = np.arange(self.first_day, self.last_day + 1)
        month = np.repeat(days.astype("datetime64[M]").astype(int) % 12, self.per_day)
        years = int(str(self.last_day)[:4]) - int(str(self.first_day)[:4]) + 1
        count = np.bincount(month, minlength=12)
        read = self.read(days)
        temperature, precipitation = np.empty((self.n_cell, 12)), np.empty((self.n_cell, 12))
        water = (read["rainfall"] + read["snowfall"])[:, 1:-1] * self.native_seconds
        for cell in range(self.n_cell):
            air = read["air_temperature"][cell, 1:-1] - 273.15
            temperature[cell] = np.bincount(month, air, minlength=12) / count
            precipitation[cell] = np.bincount(month, water[cell], minlength=12) / years
        dry = np.array([not tower.site.has_precipitation for tower in self.towers], dtype=bool)
        if dry.any():
            from concerto.domain.embedded import embedded_normals

            place = [np.array([getattr(t.site, name) for t in self.towers]) for name in ("latitude", "longitude")]
            normals = embedded_normals(*place, np.array([t.site.elevation for t in self.towers]))
            precipitation[dry] = np.asarray(normals["precipitation"])[dry]
        first = int(str(self.first_day)[:4])
        return {"temperature": temperature, "precipitation": precipitation, "years": [first, first + years - 1]}

    def subset(self, cells) -> TowerForcing:
        import copy

        out = copy.copy(self)
        out.towers, out._series = self.towers[cells], self._series[cells]
        return out
