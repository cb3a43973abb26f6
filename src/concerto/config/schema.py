"""Sections and keys of the run configuration, their defaults, ranges and meaning.

Each section is a pydantic model. The schema for editors and the page of the documentation are made from these models;
options, parameters, plant functional types and output variables are checked against the tables of the model.
"""

from __future__ import annotations

import json
import re
import tomllib
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    PrivateAttr,
    Tag,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from concerto.domain.land_cover import PFT_NAMES, parse_mixture
from concerto.domain.soil import TABLE as SOIL_TABLE
from concerto.errors import ConcertoError
from concerto.forcing.checks import check_igbp
from concerto.forcing.history import QUANTITIES, SECONDS_PER_YEAR
from concerto.landuse.classes import MANAGEMENT
from concerto.landuse.forestry import settings as forestry_settings
from concerto.tables import loader

AIR = ("co2", "ndep", "delta13c", "delta14c")
GROUPS = ("carbon", "water", "energy", "nitrogen")
SOIL_CLASSES = tuple(tomllib.loads(SOIL_TABLE.read_text())["class"])
PHASES = [{"name": "spinup", "kind": "spinup"}, {"name": "run", "kind": "run", "years": [2000, 2000]}]
STREAMS = [
    {"name": "monthly", "frequency": "month", "variables": ["all", "tas"]},
    {"name": "annual", "frequency": "year"},
]


class Fault(ValueError):
    """A fault in a value: sentence, advice, and the keys that lead from the checked field on to its place."""

    def __init__(self, message: str, hint: str | None = None, at: tuple = ()):
        super().__init__(message)
        self.message, self.hint, self.at = message, hint, tuple(at)


def listed(words, last="or") -> str:
    """Words as in a sentence: ``a, b or c``."""
    words = [str(word) for word in words]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} {last} {words[-1]}"


def nearest(word, known, otherwise: str | None = None) -> str | None:
    """``did you mean 'x'?``, or the other advice, or all that is known."""
    plain = {re.sub(r"[-\s]", "_", str(k)).lower(): k for k in known}
    near = get_close_matches(re.sub(r"[-\s]", "_", str(word)).lower(), plain, n=1)
    return f"did you mean '{plain[near[0]]}'?" if near else otherwise or f"known: {', '.join(map(str, known))}"


# --- kinds of values


def _name(name):
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", name):
        raise Fault(
            f"'{name}' cannot be part of a file name", "use letters, digits, - and _ only, 64 characters at most"
        )
    return name


def _calendar_year(year, example):
    if not isinstance(year, int) or not 1 <= year <= 9999:
        raise Fault(f"{shown(year)} is no calendar year", f"write for example {example}")
    return year


def _years(value, example="[1901, 2020]"):
    if not isinstance(value, (list, tuple)) or len(value) != 2:
        raise Fault("two years are expected, the first and the last", f"write for example {example}")
    for year in value:
        _calendar_year(year, example)
    if value[0] > value[1]:
        raise Fault(f"the first year {value[0]} comes after the last, {value[1]}", "write the earlier year first")
    return tuple(value)


def _climate(value):
    if isinstance(value, str) and value in ("transient", "record") or isinstance(value, Cycle):
        return value
    if isinstance(value, (list, tuple)):
        return Cycle(cycle=_years(value))
    if isinstance(value, dict) and list(value) == ["cycle"]:
        return Cycle(cycle=_years(value["cycle"]))
    raise Fault(
        f"{shown(value)} is no climate",
        "write transient (the years of the forcing itself), {cycle: [1901, 1920]} (these years again and again) or "
        "record (those of a tower again and again)",
    )


def _resolution(value):
    given = value if isinstance(value, (list, tuple)) else [value, value]
    try:
        steps = [float(step) for step in given]
    except (TypeError, ValueError):
        steps = []
    if len(steps) != 2:
        raise Fault(f"{shown(value)} is no resolution", "give degrees: one number, or [of latitude, of longitude]")
    for step, span, word in zip(steps, (180.0, 360.0), ("latitude", "longitude"), strict=True):
        if not 0.01 <= step <= 90.0:
            raise Fault(f"{step:g} degrees of {word} is outside 0.01 to 90", "give degrees, such as 2 or [1.0, 1.25]")
        if abs(span / step - round(span / step)) > 1e-6 * span / step:
            low, high = (span / n for n in (int(span / step) + 1, int(span / step)))
            raise Fault(
                f"{step:g} degrees of {word} do not divide {span:g} degrees",
                f"the nearest are {low:.6g} and {high:.6g}",
            )
    return value


def _box(value):
    try:
        west, south, east, north = (float(edge) for edge in value)
    except (TypeError, ValueError):
        raise Fault(
            "a box has four numbers: [west, south, east, north]", "give degrees, such as [-10, 35, 30, 70]"
        ) from None
    if not (-90.0 <= south <= 90.0 and -90.0 <= north <= 90.0 and -180.0 <= west <= 360.0 and -180.0 <= east <= 540.0):
        raise Fault(
            f"[{west:g}, {south:g}, {east:g}, {north:g}] leaves the globe: latitudes lie in -90 to 90, west in "
            "-180 to 360, east up to 540",
            "the order is [west, south, east, north], in degrees",
        )
    if south >= north:
        raise Fault(f"south, {south:g}, is not below north, {north:g}", "the order is [west, south, east, north]")
    if east - west > 360.0 or west >= east and east + 360.0 - west > 240.0:
        wide = east - west if east > west else east + 360.0 - west
        raise Fault(
            f"from west, {west:g}, to east, {east:g}, the box would be {wide:g} degrees wide",
            f"the order is [west, south, east, north]; if you mean it, write east as {east + 360:g}"
            if west >= east
            else "360 degrees are the whole globe",
        )
    return (west, south, east, north)


def _igbp(value):
    return _advised(lambda: check_igbp(value, "the land cover"))


def _mixture(value):
    _advised(lambda: parse_mixture(value))
    return value


def _advised(check):
    try:
        return check()
    except ConcertoError as error:
        raise Fault(error.message.rstrip("."), error.hint) from None


def _files(value):
    def check(item, at=()):
        items = item if isinstance(item, (list, tuple)) else [item]
        if not items or not all(isinstance(word, str) and word for word in items):
            raise Fault(
                "a file name or pattern is expected, or a list of them", 'such as "cru/{variable}_{year}.nc"', at
            )
        known = ("variable", "year", "month", "start", "end")
        for word in re.findall(r"\{(.*?)\}", " ".join(items)):
            if word not in known:
                raise Fault(f"{{{word}}} is not known in a pattern", nearest(word, known), at)

    if isinstance(value, dict) and value:
        for name, item in value.items():
            check(item, (name,))
    else:
        check(value)
    return value


def shown(value) -> str:
    """A value in a message."""
    kind = (
        "no value"
        if value is None
        else "a mapping"
        if isinstance(value, dict)
        else "a list"
        if isinstance(value, (list, tuple))
        else None
    )
    text = repr(value) if isinstance(value, str) else str(value)
    return kind or (text if len(text) <= 60 else text[:57] + "...")


class Section(BaseModel):
    """A section: unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


def key(default, text, **more):
    """A key with its default and its meaning."""
    return Field(default, description=text, **more)


def _needs(section, switch, must=True, **needed):
    """Keys that go with some choices of another key only (and then must be given)."""
    chosen = getattr(section, switch)
    for name, choices in needed.items():
        given = getattr(section, name) is not None
        if given and chosen not in choices:
            raise Fault(
                f"{name} is for {switch}: {listed(choices)}, but {switch} is {chosen}",
                f"remove {name}, or write {switch}: {choices[0]}",
                (name,),
            )
        if must and not given and chosen in choices and name != "variable":
            raise Fault(
                f"{switch} {chosen} needs the key {name}",
                f"add {name}: {type(section).model_fields[name].description}",
                (switch,),
            )


Year = Annotated[int, Field(ge=1, le=9999)]
Years = Annotated[tuple[Year, Year], BeforeValidator(_years)]
Name = Annotated[str, AfterValidator(_name)]
Files = Annotated[str | list[str] | dict[str, str | list[str]], BeforeValidator(_files)]
Mixture = Annotated[str, BeforeValidator(_mixture, json_schema_input_type=str)]


class Cycle(Section):
    cycle: Years = key(..., "first and last year of the forcing that is repeated")


class Fixed(Section):
    fixed: Year = key(..., "calendar year whose value is held")


Climate = Annotated[
    Literal["transient", "record"] | Cycle,
    BeforeValidator(_climate, json_schema_input_type=Literal["transient", "record"] | Cycle | tuple[Year, Year]),
]

# --- domain


class Point(Section):
    """A place of its own."""

    latitude: float = key(..., "degrees north", ge=-90, le=90)
    longitude: float = key(..., "degrees east", ge=-180, le=360)
    area: float = key(1.0, "area that the point stands for, m2", gt=0)
    elevation: float | None = key(None, "m above sea level; without it that of the package", ge=-500, le=9000)
    land_fraction: float | None = key(None, "share of the area that is land; 1 if not given", gt=0, le=1)
    canopy_height: float | None = key(None, "height of the vegetation, m", ge=0, le=120)
    name: str | None = key(None, "name in the output")
    igbp: Annotated[str, BeforeValidator(_igbp, json_schema_input_type=str | int)] | None = key(
        None, "IGBP land-cover class, such as ENF, in place of `domain.land_cover`"
    )
    pft: Mixture | None = key(None, "plant functional types, such as `grass_c3:0.6,grass_c4:0.4`, in place of igbp")
    soil: Literal[SOIL_CLASSES] | None = key(None, "texture class, in place of `domain.soil`")

    @model_validator(mode="after")
    def _check(self):
        if self.igbp and self.pft:
            raise Fault("igbp and pft are both given", "keep one of them")
        return self


class LandCover(Section):
    """What grows where."""

    kind: Literal["embedded", "igbp", "esa_cci", "pft", "uniform"] = key(
        "embedded",
        "embedded: potential vegetation by climate; igbp, esa_cci: classes of a file; pft: fractions of types in a "
        "file; uniform: `pft` everywhere",
    )
    file: str | None = key(None, "NetCDF file of the classes or fractions (igbp, esa_cci, pft)")
    variable: str | None = key(None, "name in the file, where it is not the usual one")
    pft: Mixture | None = key(None, "plant functional types, such as `grass_c3:1` (uniform)")

    @model_validator(mode="after")
    def _check(self):
        _needs(self, "kind", file=("igbp", "esa_cci", "pft"), pft=("uniform",), variable=("igbp", "esa_cci", "pft"))
        return self


class Soil(Section):
    """Soil texture, from which the hydraulic parameters follow."""

    texture: Literal[SOIL_CLASSES] = key("medium", "texture class where no file gives one")
    file: str | None = key(None, "NetCDF file of sand and clay (per cent) or of texture classes")
    variables: dict[Literal["sand", "clay", "texture"], str] = key(
        {}, "names in the file: {sand: NAME, clay: NAME} or {texture: NAME}; without them the usual ones"
    )

    @model_validator(mode="after")
    def _check(self):
        if self.variables and not self.file:
            raise Fault("names of variables are given, but no file", "add domain.soil.file", ("variables",))
        if self.variables and set(self.variables) not in ({"sand", "clay"}, {"texture"}):
            raise Fault(
                "either sand and clay are named, or texture alone", "mend domain.soil.variables", ("variables",)
            )
        return self


class Domain(Section):
    """Cells of the run and what they are made of."""

    grid: Literal["embedded", "latlon", "file", "points", "tower"] = key(
        "embedded",
        "embedded: land of the package; latlon: every cell is land; file: land of `file`; points: the list `points`; "
        "tower: place and plants of the towers of `forcing`",
    )
    resolution: Annotated[Annotated[float, Field(gt=0)] | tuple[float, float], BeforeValidator(_resolution)] | None = (
        key(None, "size of a cell, degrees: number or [of latitude, of longitude] (embedded, latlon; 2 if not given)")
    )
    box: Annotated[tuple[float, float, float, float], BeforeValidator(_box)] | None = key(
        None, "part of the grid: [west, south, east, north], degrees; may cross the date line"
    )
    points: (
        Annotated[
            Annotated[str, Tag("file")] | Annotated[list[Point], Tag("list")],
            Discriminator(lambda value: "file" if isinstance(value, str) else "list"),
        ]
        | None
    ) = key(None, "list of points, or a CSV or NetCDF file with columns or variables of these names (points)")
    file: str | None = key(
        None,
        "NetCDF file with latitude and longitude axes and the land fraction (file); land fraction and elevation in "
        "place of those of the package (other grids)",
    )
    variables: dict[Literal["land_fraction", "elevation", "mask", "area", "latitude", "longitude"], str] = key(
        {}, "names in `file`, `mask` and a file of points, where they are not the usual ones"
    )
    mask: str | None = key(None, "NetCDF file; cells where its variable is above 0 are used")
    land_cover: LandCover = key(LandCover(), "plant functional types of the cells")
    soil: Soil = key(Soil(), "soil of the cells")
    minimum_fraction: float = key(
        0.02, "smallest share of a tile in its cell; smaller ones are merged into the others", ge=0, le=0.5
    )
    most_tiles: int = key(6, "most tiles of a cell", ge=1, le=len(PFT_NAMES))

    @field_validator("points", mode="before")
    @classmethod
    def _points(cls, value):
        if not isinstance(value, (str, list, tuple)):
            raise Fault(
                f"{shown(value)} is no list of points", "write - {latitude: 61.8, longitude: 24.3}, or name a file"
            )
        if not value:
            raise Fault("no point is given", "write - {latitude: 61.8, longitude: 24.3}, or name a file")
        return value

    @model_validator(mode="after")
    def _check(self):
        gridded = ("embedded", "latlon")
        _needs(self, "grid", points=("points",))
        _needs(self, "grid", must=False, resolution=gridded, mask=(*gridded, "file"))
        places = (*gridded, "file", "points")
        _needs(self, "grid", must=False, box=places, file=places)
        if self.grid == "file" and self.file is None:
            _needs(self, "grid", file=("file",))
        if self.variables and not (self.file or self.mask or isinstance(self.points, str)):
            raise Fault(
                "names of variables are given, but no file that has them", "remove variables, or name the file",
                ("variables",),
            )  # fmt: skip
        if self.grid in gridded and self.resolution is None:
            self.resolution = 2.0
        return self


# --- forcing and atmosphere


class Tower(Section):
    """What the file of a flux tower does not say, or says wrongly."""

    latitude: float | None = key(None, "degrees north", ge=-90, le=90)
    longitude: float | None = key(None, "degrees east", ge=-180, le=360)
    elevation: float | None = key(None, "m above sea level", ge=-450, le=6500)
    igbp: Annotated[str, BeforeValidator(_igbp, json_schema_input_type=str | int)] | None = key(
        None, "IGBP land-cover class, such as ENF"
    )
    name: str | None = key(None, "name in the output", min_length=1)
    canopy_height: float | None = key(None, "height of the vegetation, m", ge=0, le=120)
    time_stamp: Literal["start", "end", "middle"] | None = key(None, "part of the interval that the stamps mark")
    years: Years | None = key(None, "first and last year of the record that are read; all whole years if not given")
    gap_limit_days: float | None = key(
        None, "longest gap of temperature, shortwave or humidity that is filled, days; 14 if not given", ge=0, le=366
    )


class Forcing(Section):
    """Weather."""

    source: Literal["embedded", "monthly", "cru_jra", "era5", "era5_land", "isimip3", "gswp3", "alma", "tower"] = key(
        "embedded",
        "embedded: climate of the package with generated weather; monthly: monthly fields with generated weather; "
        "tower: records of flux towers, as `concerto site` reads them; else the layout of the files",
    )
    files: Files | None = key(
        None,
        "pattern with {variable}, {year}, {month}, {start}, {end}, a file or folder, a list of files or "
        "patterns, {variable: pattern}, or a .zarr store",
    )
    seed: int = key(1, "start of the weather generator (embedded, monthly)", ge=0, le=2**31 - 1)
    reference_height: float | None = key(
        None, "height of temperature, humidity and wind above ground, m; without it that of the source", gt=0, le=200
    )
    time_offset_hours: float | None = key(
        None,
        "time of the files minus UTC, h; if not given, what they say, else 0 (alma) or that of the longitude (tower)",
        ge=-14, le=14,
    )  # fmt: skip
    tower: Tower | None = key(None, "what the file of the tower does not say (tower)")

    @model_validator(mode="after")
    def _check(self):
        others = ("monthly", "cru_jra", "era5", "era5_land", "isimip3", "gswp3", "alma", "tower")
        _needs(self, "source", files=others)
        _needs(self, "source", must=False, time_offset_hours=("alma", "tower"), tower=("tower",))
        if self.source == "tower" and isinstance(self.files, dict):
            raise Fault(
                "files of single variables are named, but a tower has all in one", "name the file of the tower",
                ("files",),
            )  # fmt: skip
        return self


def _air(value, name):
    about = QUANTITIES[name]
    unit, low, high = about.units, *about.bounds
    if name == "ndep":
        unit, high = "g N m-2 yr-1", round(high * SECONDS_PER_YEAR * 1e3, 6)
    hint = (
        f"give a number ({unit}), builtin, constant, a file of year and value, or {{fixed: 1850}} for a calendar year"
    )
    if isinstance(value, Fixed):
        return value
    if isinstance(value, dict) and list(value) == ["fixed"]:
        return Fixed(fixed=_calendar_year(value["fixed"], "{fixed: 1850}"))
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            if "." not in value and "/" not in value and value not in ("builtin", "constant"):
                near = get_close_matches(value.lower(), ("builtin", "constant"), n=1)
                if near:
                    raise Fault(f"'{value}' is no series", f"did you mean '{near[0]}'?") from None
            return value
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise Fault(f"{shown(value)} is no {about.long_name}", hint)
    if name == "co2" and isinstance(value, int) and 1700 <= value <= 2100:
        raise Fault(
            f"{value} would be {value} ppm, but looks like a calendar year",
            f"write {{fixed: {value}}} for the CO2 of that year, or {value}.0 for so many ppm",
        )
    if not low <= value <= high:
        raise Fault(f"{value:g} {unit} is outside {low:g} to {high:g} {unit}", hint)
    return float(value)


class _Air(Section):
    @field_validator(*AIR, mode="before", check_fields=False)
    @classmethod
    def _series(cls, value, info):
        return None if value is None else _air(value, info.field_name)


Air = float | Fixed | str


class Atmosphere(_Air):
    """What the air brings beside the weather."""

    co2: Air = key("builtin", "CO2: `builtin`, `constant` (first year of the run phase), ppm, file, or {fixed: year}")
    ndep: Air = key("builtin", "nitrogen deposition: likewise, numbers in g N m-2 yr-1 (option nitrogen)")
    delta13c: Air = key("builtin", "delta13C of CO2: likewise, numbers in permil (option isotopes)")
    delta14c: Air = key("builtin", "Delta14C of CO2: likewise, numbers in permil; `builtin` is 0 (option isotopes)")


# --- land use


class Idealised(Section):
    """A rule of land use."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, populate_by_name=True)

    kind: Literal["deforest", "afforest", "abandon", "cut_and_regrow", "shifting"] = key(
        "deforest", "deforest, afforest, abandon: the same area every year; cut_and_regrow: in single years; shifting"
    )
    years: list[Year] = key(..., "first and last year; of cut_and_regrow: each year of a cut", min_length=1)
    fraction: float = key(1.0, "of the land, in all (shifting: each year)", ge=0.0, le=1.0)
    source: Literal["primary", "secondary", "pasture", "rangeland", "crop", "urban"] | None = key(
        None, "kind of land that gives", alias="from"
    )
    target: Literal["secondary", "pasture", "rangeland", "crop", "urban"] | None = key(
        None, "kind of land that receives", alias="to"
    )
    every: int | None = key(None, "years between cuts (cut_and_regrow)", ge=1)


class Livestock(Section):
    """Animals on grass of managed land, none elsewhere."""

    pasture: float = key(0.0, "livestock units per m2 of grass of pasture", ge=0.0, le=0.01)
    rangeland: float = key(0.0, "livestock units per m2 of grass of rangeland", ge=0.0, le=0.01)


def _of_forestry(name):
    """A key with default, limits and meaning of the settings of `concerto.landuse.forestry.Forestry`."""
    setting = forestry_settings()[name]
    low, high = setting.metadata["limits"]
    limits = {"ge": low} | ({"le": high} if high < float("inf") else {})
    return key(setting.default, setting.metadata["text"], **limits)


class Forestry(Section):
    """Forest that is cut in rotation, thinned and planted."""

    rotation: float = _of_forestry("rotation")
    share: float = _of_forestry("share")
    thinning: float = _of_forestry("thinning")
    thinning_interval: float = _of_forestry("thinning_interval")
    thinning_age: float = _of_forestry("thinning_age")
    planted_carbon: float = _of_forestry("planted_carbon")
    forests: Literal["secondary", "all"] = key("secondary", "all: primary forest, too, which becomes secondary")


def _or_word(words, kind, otherwise):
    """One of some words, or something else."""
    return Annotated[
        Annotated[Literal[*words], Tag("word")] | Annotated[kind, Tag(otherwise)],
        Discriminator(lambda value: "word" if isinstance(value, str) else otherwise),
    ]


class Management(Section):
    """How land in use is managed; acts on the tiles of its kind of land, from 1 January of each year."""

    residue_left: float | None = key(
        None, "share of crop residue that stays on the field at harvest; of the table if not given", ge=0.0, le=1.0
    )
    fertiliser: _or_word(("off", "history"), Annotated[float, Field(ge=0.0, le=0.1)], "number") = key(
        "off", "nitrogen of mineral fertiliser, kg N m-2 yr-1 of crop area; history: of LUH2 or LUH3, by cell and year"
    )
    manure: _or_word(("off",), Annotated[float, Field(ge=0.0, le=0.1)], "number") = key(
        "off", "nitrogen of manure, kg N m-2 yr-1 of crop area"
    )
    irrigation: Literal["off", "history", "on"] | None = key(
        None,
        "history: the irrigated share of crop area of LUH2 or LUH3; on: all of it; both mean model.options.irrigation: "
        "demand",
    )
    livestock: _or_word(("off",), Livestock, "mapping") | None = key(
        None, "livestock units per m2 of pasture and rangeland; means model.options.grazing: livestock"
    )
    forestry: _or_word(("off",), Forestry, "mapping") = key(
        "off", "rotation, thinning and planting in secondary forest"
    )


class LandUse(Section):
    """Land use: classes of land as tiles of their own, and what changes them on 1 January of each year."""

    source: Literal["none", "luh2", "luh3", "hilda", "esa_cci", "table", "idealised"] = key(
        "none", "layout of the history; none: natural vegetation as given, without land use"
    )
    files: dict[str, str | list[str]] | None = key(
        None,
        "luh2, luh3: states, transitions, management, static; hilda, esa_cci: maps; table: table; `{year}` and globs",
    )
    idealised: Idealised | None = key(None, "the rule (source idealised)")
    initial: dict[Literal["primary", "secondary", "pasture", "rangeland", "crop", "urban"], float] | None = key(
        None, "shares of land at the start (table, idealised)"
    )
    transitions: Literal["gross", "net"] = key(
        "gross", "gross, or net: what goes both ways between two kinds is left out"
    )
    secondary: Literal["age_classes", "single"] = key(
        "age_classes", "secondary land in seven classes of age, each with tiles of its own, or in one"
    )
    clearing: int = key(4, "rule of what is cleared, 1 to 9 (Ma et al. 2020)", ge=1, le=9)
    wood_harvest: Literal["mass", "area", "off"] = key("mass", "wood harvest by mass, by area, or none")
    products: Literal["efold", "p90", "linear", "earles", "lpjml"] = key("efold", "what a pool of 10 years means")
    fates: Literal["default", "fates", "lpjml"] = key(
        "default", "shares of cleared vegetation: burned, products, litter"
    )
    minimum_area: float = key(1e-4, "smallest share of land of a kind that a cell did not have", ge=0.0, le=0.1)
    merge_below: float = key(
        0.01,
        "classes of age are joined where that misplaces less growth than that of this share of land; 0: never, and "
        "land grows older in the mean field",
        ge=0.0, le=0.1,
    )  # fmt: skip
    luh_forest: Literal["advisory", "strict"] = key("advisory", "whether forests of the history are all trees")
    rangeland: Literal["natural", "cleared"] = key("natural", "cleared: without trees where they are more than half")
    urban: Literal["keep", "remove"] = key("keep", "remove: the rest of the land stands for it")
    inconsistent: Literal["repair", "refuse"] = key("repair", "history that breaks its own rules; repairs are reported")
    held: bool | None = key(
        None, "true: years outside the history have its first or last state (default of table and idealised)"
    )
    years: Years | None = key(
        None,
        "first and last year whose kinds of land get tiles, those of the phases if not given; the same in runs that "
        "share a state",
    )
    states: str | None = key(None, "TOML map of states to kinds of land (luh2, luh3)")
    version: Literal["1.0", "2.1"] | None = key(None, "of the classes, if the files do not tell (hilda)")
    pasture_share: float | None = key(None, "of grazed land that is managed pasture (hilda)", ge=0.0, le=1.0)
    natural: Literal["primary", "secondary"] | None = key(
        None, "what natural land of the first map is (hilda, esa_cci)"
    )
    variable: str | None = key(None, "name of the class variable (hilda, esa_cci)")
    management: Management = key(Management(), "fertiliser, irrigation, livestock, residue, forestry")

    @model_validator(mode="after")
    def _check(self):
        files = self.files or {}
        for name in ("fertiliser", "irrigation"):
            if getattr(self.management, name) == "history" and self.source in ("luh2", "luh3"):
                if "management" not in files:
                    raise Fault(
                        f"{name}: history needs the file of management",
                        f"name it in land_use.files.management, or write {name}: off", ("management", name),
                    )  # fmt: skip
            elif getattr(self.management, name) == "history" and self.source != "none":
                raise Fault(
                    f"{name}: history is for land_use.source: luh2 or luh3, but source is {self.source}",
                    "give a number" if name == "fertiliser" else "write on or off", ("management", name),
                )  # fmt: skip
        if self.source == "idealised" and self.idealised is None:
            raise Fault(
                "source idealised needs the key idealised", "add idealised: {kind: deforest, years: [1900, 1950]}"
            )
        if self.source not in ("none", "idealised") and not self.files:
            raise Fault(f"source {self.source} needs the key files", "name the files of the history")
        entries = type(self).model_fields
        if self.source == "none" and any(getattr(self, n) != entries[n].default for n in self.model_fields_set):
            raise Fault("land use has keys, but its source is none", "write a source, or remove the section")
        return self


# --- model


def _options(chosen):
    entries = loader.options()
    for name, choice in chosen.items():
        if name not in entries:
            raise Fault(f"there is no option '{name}'", nearest(name, entries), (name,))
        if choice not in entries[name].choices:
            known = list(entries[name].choices)
            raise Fault(
                f"'{choice}' is not one of {listed(known)}", nearest(choice, known, entries[name].long_name), (name,)
            )
    try:
        loader.option_numbers(chosen)
    except KeyError as error:
        raise Fault(
            str(error.args[0]), "change one of the two options", (error.args[0].split()[1].rstrip(":"),)
        ) from None
    return {name: chosen.get(name, entry.default) for name, entry in entries.items()}


def _parameters(given):
    if not isinstance(given, dict):
        raise Fault(f"{shown(given)} is no mapping of parameters", "write for example {g1: 4.0}")
    entries = loader.parameters()
    for name, values in given.items():
        if name not in entries:
            raise Fault(f"there is no parameter '{name}'", nearest(name, entries, "see `concerto params`"), (name,))
        (low, high), unit = entries[name].bounds, entries[name].units
        if isinstance(values, dict) and not values:
            raise Fault("no plant functional type is named", "write for example {grass_c3: 4.0, default: 3.0}", (name,))
        for pft, value in values.items() if isinstance(values, dict) else [(None, values)]:
            at = (name,) if pft is None else (name, pft)
            if pft is not None and pft not in (*PFT_NAMES, "default"):
                raise Fault(f"'{pft}' is no plant functional type", nearest(pft, (*PFT_NAMES, "default")), at)
            try:
                fits = not isinstance(value, bool) and low <= float(value) <= high
            except (TypeError, ValueError):
                raise Fault(f"{shown(value)} is no number", f"give {entries[name].long_name}, {unit}", at) from None
            if not fits:
                raise Fault(
                    f"{shown(value)} is outside {low:g} to {high:g} {unit}", f"{name}: {entries[name].long_name}", at
                )
    return given


_NUMBER = {"type": "number"}
Options = Annotated[
    dict[str, str],
    AfterValidator(_options),
    WithJsonSchema(
        {
            "type": "object",
            "additionalProperties": False,
            "properties": {
                name: {"enum": list(e.choices), "default": e.default, "description": e.long_name}
                for name, e in loader.options().items()
            },
        }
    ),
]
Parameters = Annotated[
    dict[str, float | dict[str, float]],
    BeforeValidator(_parameters),
    WithJsonSchema(
        {
            "type": "object",
            "propertyNames": {"enum": list(loader.parameters())},
            "additionalProperties": {
                "anyOf": [
                    _NUMBER,
                    {
                        "type": "object",
                        "propertyNames": {"enum": ["default", *PFT_NAMES]},
                        "additionalProperties": _NUMBER,
                    },
                ]
            },
        }
    ),
]


class Model(Section):
    """The model itself."""

    time_step: int = key(
        1800, "step of the fast processes, s; divides a day; with a tower that of its record if not given", ge=60,
        le=10800,
    )  # fmt: skip
    options: Options = Field(
        default={},
        description="choices of processes, such as {stomata: medlyn}; see [options](tables/options.md)",
        validate_default=True,
    )
    parameters: Parameters = key(
        {},
        "values in place of the table: {name: number} or {name: {TYPE: number, default: number}}; types that are not "
        "named and have no `default` keep the table's value; see [parameters](tables/parameters.md)",
    )

    @field_validator("time_step")
    @classmethod
    def _step(cls, value):
        if 86400 % value:
            below, above = (
                next(n for n in range(value, limit, sign) if 86400 % n == 0) for limit, sign in ((0, -1), (86401, 1))
            )
            raise Fault(f"{value} s do not divide a day", f"the nearest are {below} and {above} s")
        return value


def parameter_values(parameters: dict) -> dict[str, list[float]]:
    """One value per plant functional type for each parameter of ``model.parameters``.

    Examples
    --------
    >>> parameter_values({"g1": {"grass_c3": 4.0, "default": 3.0}})["g1"][12:14]
    [3.0, 4.0]
    """
    out = {}
    for name, given in parameters.items():
        given = given if isinstance(given, dict) else {"default": given}
        table = loader.parameters()[name].values
        out[name] = [given.get(pft, given.get("default", old)) for pft, old in zip(PFT_NAMES, table, strict=True)]
    return out


# --- phases and output


class Phase(_Air):
    """A part of the run; phases follow each other, each from the state that the one before has left."""

    name: Name = key(..., "name of the phase, part of file names")
    kind: Literal["spinup", "run"] = key(
        ..., "spinup: to the equilibrium of a repeated climate, without output; run: through `years`"
    )
    years: Years | None = key(None, "first and last calendar year, both included (run)")
    climate: Climate | None = key(
        None,
        "`transient` (the years themselves; run), {cycle: [1901, 1920]}, these years of the forcing again and again, "
        "or `record`, the whole years of a tower again and again. Spin-ups need a cycle; if not given it is the record "
        "of a tower, and with the embedded forcing the first year of the next run phase",
    )
    co2: Air | None = key(
        None,
        "CO2 of this phase in place of `atmosphere.co2`: builtin, constant, ppm, file, or {fixed: year}; a spin-up "
        "without it holds the first year of the next run phase",
    )
    ndep: Air | None = key(None, "nitrogen deposition, likewise; numbers in g N m-2 yr-1")
    delta13c: Air | None = key(None, "delta13C of CO2, likewise; numbers in permil")
    delta14c: Air | None = key(None, "Delta14C of CO2, likewise; numbers in permil")
    land_use: Literal["transient"] | Fixed | None = key(
        None,
        "transient (default of run phases) or {fixed: year}: land use of that year all the time; a spin-up has that of "
        "the first year of the next run phase",
    )
    rounds: int | None = key(
        None, "most cycles of the whole model between equilibria of the slow half (spinup)", ge=1, le=1000
    )
    outputs: list[str] | None = key(None, "names of the output streams that are written; all if not given (run)")

    @model_validator(mode="after")
    def _check(self):
        _needs(self, "kind", years=("run",))
        _needs(self, "kind", must=False, rounds=("spinup",), outputs=("run",))
        if self.kind == "spinup" and self.climate == "transient":
            raise Fault("a spin-up repeats its climate", "write {cycle: [1901, 1920]}", ("climate",))
        if self.kind == "run" and self.climate is None:
            self.climate = "transient"
        return self


def _outputs():
    """Entries that can be written: table name -> entry, and CMIP name -> table name."""
    entries = {n: e for kind in ("forcing", "state", "diagnostic") for n, e in loader.variables(kind).items()}
    return entries, {e.cmip: name for name, e in entries.items() if e.cmip}


def _group(entry) -> str | None:
    """Group of a row of the table: those with a CMIP name, and everything that only the nitrogen cycle fills."""
    if entry.kind == "forcing" or not (entry.cmip or entry.only_with == "nitrogen=cn"):
        return None
    if entry.only_with == "nitrogen=cn":
        return "nitrogen"
    if entry.units in ("W m-2", "K", "m s-1"):
        return "energy"
    if re.search("water|snow|runoff|transpiration", entry.standard_name or ""):
        return "water"
    return "carbon"


def _filled(entry, options) -> bool:
    return loader.filled(entry, lambda option: options.get(option, loader.options()[option].default))


def _expand(name, options) -> list[str]:
    entries, cmip = _outputs()
    if name in (*GROUPS, "all"):
        return [n for n, e in entries.items() if (g := _group(e)) and name in (g, "all") and _filled(e, options)]
    found = cmip.get(name, name)
    if found not in entries:
        raise Fault(f"there is no variable or group '{name}'", nearest(name, [*GROUPS, "all", *entries, *cmip],
                    f"groups: {', '.join(GROUPS)}, all; variables: see `concerto vars`"))  # fmt: skip
    if not _filled(entries[found], options):
        option, _, choice = entries[found].only_with.partition("|")[0].partition("=")
        now = options.get(option, loader.options()[option].default)
        raise Fault(
            f"{name} is filled only with the option {option}: {choice}, which is {now}",
            f"remove {name}, or write model.options.{option}: {choice}",
        )
    return [found]


def stream_variables(names, options: dict | None = None) -> list[str]:
    """Table names of the variables of an output stream.

    Parameters
    ----------
    names : table names, CMIP names, or the groups carbon, water, energy, nitrogen and all. A group holds the rows that
        have a CMIP name (nitrogen: all rows of that cycle), without those that the chosen options leave empty.
    options : chosen options, name -> choice; missing ones have their default

    Returns
    -------
    list of table names, each once, in the order asked for, groups in the order of the table

    Raises
    ------
    ConcertoError
        A name is unknown, or its row is empty with these options.

    Examples
    --------
    >>> stream_variables(["cVeg", "gpp"])
    ['vegetation_carbon', 'gpp']
    """
    try:
        return list(dict.fromkeys(found for name in names for found in _expand(name, options or {})))
    except Fault as fault:
        raise ConcertoError(fault.message, hint=fault.hint) from None


Variable = Annotated[
    str,
    WithJsonSchema({"type": "string", "enum": list(dict.fromkeys([*GROUPS, "all", *_outputs()[1], *_outputs()[0]]))}),
]


class Stream(Section):
    """A series of output files."""

    name: Name = key(..., "name of the stream, part of file names")
    frequency: Literal["step", "day", "month", "year"] = key(..., "length of an interval")
    variables: list[Variable] = key(
        ["all"], "CMIP names, names of the tables, or the groups carbon, water, energy, nitrogen, all", min_length=1
    )
    statistic: Literal["mean", "sum", "minimum", "maximum", "last"] = key(
        "mean", "what is kept of the steps of an interval"
    )
    per: Literal["cell", "pft", "class", "tile"] = key(
        "cell",
        "cell: mean of the land of the cell; pft: a dimension of plant functional types; class: of land-use tiles "
        "(psl, pst, crp, urb; with land use); tile: every tile",
    )
    digits: int | None = key(None, "significant digits that are kept (smaller files); all if not given", ge=1, le=7)


class Output(Section):
    """What is written."""

    folder: str = key("out", "folder of all files, relative to the configuration file", min_length=1)
    format: Literal["netcdf", "zarr"] = key("netcdf", "format of the streams")
    streams: list[Stream] = key([Stream(**row) for row in STREAMS], "series of files")


class Checkpoint(Section):
    """From where an interrupted run goes on."""

    every: int = key(1, "calendar years between checkpoints", ge=1)
    hours: float | None = key(None, "wall-clock hours after which one is written as well", gt=0)


class Parallel(Section):
    """How the work is shared; results do not depend on it."""

    threads: int = key(1, "threads of each rank", ge=1, le=1024)
    nproma: int = key(64, "tiles of a block", ge=1, le=65536)
    bundle: int = key(8, "cells that stay together on a rank", ge=1)
    memory: float = key(2.0, "memory for forcing of each rank, GB", gt=0)
    chunk_days: int | None = key(None, "days of forcing read at once; by `memory` if not given", ge=1)


class Config(Section):
    """Configuration of a gridded run."""

    title: str = key("concerto", "a word for the run, in all files")
    domain: Domain = key(..., "cells, land cover and soil")
    forcing: Forcing = key(Forcing(), "weather")
    atmosphere: Atmosphere = key(Atmosphere(), "CO2, nitrogen deposition and isotopes of CO2")
    land_use: LandUse = key(LandUse(), "classes of land and their change")
    model: Model = key(Model(), "time step, options and parameters")
    phases: list[Phase] = Field(
        default_factory=lambda: [Phase(**row) for row in PHASES],
        description="parts of the run, in order; if not given, a spin-up and the year 2000",
        min_length=1,
    )
    initial_state: str | None = key(
        None, "state that the first phase starts from: state_<phase>.nc or checkpoint.nc of a run on the same domain"
    )
    output: Output = key(Output(), "files")
    checkpoint: Checkpoint = key(Checkpoint(), "from where an interrupted run goes on")
    parallel: Parallel = key(Parallel(), "how the work is shared")

    _folder: Path = PrivateAttr(default=Path("."))

    @property
    def folder(self) -> Path:
        """Folder of the configuration file, to which relative paths refer."""
        return self._folder

    def path(self, name: str) -> Path:
        """A path or pattern of the configuration, resolved against its folder."""
        return self.folder / Path(name).expanduser()

    @model_validator(mode="after")
    def _check(self):
        streams = [stream.name for stream in self.output.streams]
        _once(streams, "stream", ("output", "streams"))
        _once([phase.name for phase in self.phases], "phase", ("phases",))
        self._check_tower()
        if self.land_use.source != "none":
            self._manage()
        for k, stream in enumerate(self.output.streams):
            if stream.per == "class" and self.land_use.source == "none":
                raise Fault(
                    "per: class needs classes of land, and there is no land use",
                    "write land_use.source, or per: cell", ("output", "streams", k, "per"),
                )  # fmt: skip
            found = []
            for i, name in enumerate(stream.variables):
                try:
                    found += _expand(name, self.model.options)
                except Fault as fault:
                    raise Fault(fault.message, fault.hint, ("output", "streams", k, "variables", i)) from None
            if not found:
                raise Fault(
                    f"no variable is left: nothing of {listed(stream.variables)} is filled with these options",
                    "name other variables, or write model.options.nitrogen: cn",
                    ("output", "streams", k, "variables"),
                )
        last = None
        if "land_use" in streams and self.land_use.source != "none":
            raise Fault("the stream land_use is written anyway", "give it another name", ("output", "streams"))
        for k, phase in enumerate(self.phases):
            if phase.land_use is not None and self.land_use.source == "none":
                raise Fault("there is no land use to hold", "write land_use.source", ("phases", k, "land_use"))
        for k, phase in enumerate(self.phases):
            if phase.kind == "spinup":
                if phase.climate is None:
                    phase.climate = self._default_cycle(k)
                continue
            if last and phase.years[0] <= last.years[1]:
                raise Fault(
                    f"it begins in {phase.years[0]}, before {last.name} has ended in {last.years[1]}",
                    "put the phases in the order of their years, without overlap", ("phases", k, "years"),
                )  # fmt: skip
            last = phase
            if phase.outputs is None:
                phase.outputs = streams
            for i, name in enumerate(phase.outputs):
                if name not in streams:
                    hint = nearest(name, streams) if streams else "output.streams is empty"
                    raise Fault(f"there is no stream '{name}'", hint, ("phases", k, "outputs", i))
        return self

    def _check_tower(self):
        """Refuse a tower without its place and the other way round, and what only a tower has."""
        tower = self.forcing.source == "tower"
        if tower != (self.domain.grid == "tower"):
            raise Fault(
                f"forcing.source is {self.forcing.source}, and domain.grid is {self.domain.grid}: a tower is both",
                "write domain: {grid: tower} and forcing: {source: tower, files: FILE}", ("domain", "grid"),
            )  # fmt: skip
        if tower and self.land_use.source != "none" and self.model.options.get("phenology") == "prescribed":
            raise Fault(
                "the leaf area of a tower is that of its plants, and land use changes them", "leave the option out",
                ("model", "options", "phenology"),
            )  # fmt: skip
        for k, phase in enumerate(self.phases):
            if phase.climate == "record" and not tower:
                raise Fault(
                    f"record is for forcing.source: tower, but source is {self.forcing.source}",
                    "write transient or {cycle: [1901, 1920]}", ("phases", k, "climate"),
                )  # fmt: skip

    def _manage(self):
        """Options that the management of land means; refuses others, and what would not act."""
        wanted, options = self.land_use.management, dict(self.model.options)
        for name, option, choice in (("irrigation", "irrigation", "demand"), ("livestock", "grazing", "livestock")):
            value, at = getattr(wanted, name), ("land_use", "management", name)
            given = value is not None and value != "off"
            if given and options.get(option) not in ("off", choice):
                raise Fault(
                    f"it needs model.options.{option}: {choice}, which is {options.get(option)}",
                    f"remove {option} from model.options, or write {name}: off", at,
                )  # fmt: skip
            if value == "off" and options.get(option) == choice:
                raise Fault(
                    f"{name} is off, but model.options.{option} is {choice}", "remove one of the two", at
                )  # fmt: skip
            if given:
                options[option] = choice
        if wanted.fertiliser != "off" and options["nitrogen"] != "cn":
            raise Fault(
                f"fertiliser acts on the cycle of nitrogen, and model.options.nitrogen is {options['nitrogen']}",
                "write model.options.nitrogen: cn, or fertiliser: off", ("land_use", "management", "fertiliser"),
            )  # fmt: skip
        if wanted.residue_left is not None and options["crops"] != "calendar":
            raise Fault(
                f"residue is left at harvest, and with model.options.crops: {options['crops']} nothing is harvested",
                "write model.options.crops: calendar, or remove residue_left",
                ("land_use", "management", "residue_left"),
            )
        for name, parameter in MANAGEMENT.items():
            if parameter in self.model.parameters and getattr(wanted, name) not in (None, "off"):
                raise Fault(
                    f"{name} sets the parameter {parameter}, which stands in model.parameters, too",
                    "give it in one place", ("land_use", "management", name),
                )  # fmt: skip
        if options != self.model.options:
            try:
                loader.option_numbers(options)
            except KeyError as error:
                raise Fault(
                    str(error.args[0]), "change that option, or land_use.management", ("land_use", "management")
                ) from None
            self.model = self.model.model_copy(update={"options": options})

    def _default_cycle(self, k):
        run = self._next_run(k)
        if self.forcing.source == "tower":
            return "record"
        if self.forcing.source != "embedded" or run is None:
            raise Fault(
                f"the spin-up '{self.phases[k].name}' needs the years of the forcing that it repeats",
                "add for example climate: {cycle: [1901, 1920]}",
                ("phases", k),
            )
        return Cycle(cycle=(run.years[0], run.years[0]))

    def _next_run(self, k):
        return next((phase for phase in self.phases[k:] if phase.kind == "run"), None)

    def air(self, phase: Phase) -> dict[str, tuple[str | float, int | None]]:
        """Series of the atmosphere in a phase, and the calendar year at which each is held.

        Returns
        -------
        dict: co2, ndep, delta13c, delta14c -> (series, year). The series is ``"builtin"``, a number (ppm, g N m-2 yr-1,
        permil) or the full path of a file; the year is None where it changes from year to year. A fixed year refers to
        the file of ``atmosphere`` where that is one, else to the built-in series.
        """
        k = next(i for i, other in enumerate(self.phases) if other is phase)
        run = self._next_run(k)
        start = run.years[0] if run else phase.climate.cycle[0]
        out = {}
        for name in AIR:
            base, own = getattr(self.atmosphere, name), getattr(phase, name)
            value = base if own is None else own
            year = start if phase.kind == "spinup" else None
            if isinstance(value, Fixed) or value == "constant":
                year = start if value == "constant" else value.fixed
                value = base if isinstance(base, str) and base != "constant" else "builtin"
            if isinstance(value, float):
                year = None
            elif value != "builtin":
                value = str(self.path(value))
            out[name] = (value, year)
        return out


def _once(names, word, at):
    low = [name.lower() for name in names]
    for k, name in enumerate(low):
        if name in low[:k]:
            raise Fault(
                f"a second {word} is named '{names[k]}'", "names differ by more than capitals", (*at, k, "name")
            )


def schema_json() -> str:
    """JSON schema of the configuration, for editors."""
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    schema = Config.model_json_schema() | {"title": "Configuration of gridded runs of concerto"}
    return json.dumps(head | schema, indent=1, ensure_ascii=False) + "\n"
