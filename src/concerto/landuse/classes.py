"""Classes of land use, what states of a data set they are, and what grows in them.

Six kinds of land (`KINDS`); secondary land may be parted by age. Composition of each kind in plant functional types
after the cross-walk of the land-use specification: primary and secondary land carry the natural vegetation of the
cell, parted into forest and non-forest where the data set says so, pasture is grass, rangeland is natural vegetation.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from concerto.domain.land_cover import IGBP_GROUPS, N_PFT, PFT_NAMES
from concerto.errors import ConcertoError

KINDS = ("primary", "secondary", "pasture", "rangeland", "crop", "urban")
PRIMARY, SECONDARY, PASTURE, RANGELAND, CROP, URBAN = range(6)
AGE_BOUNDS = (0.0, 10.0, 20.0, 40.0, 60.0, 80.0, 100.0, float("inf"))  # yr
OPEN_ENDED = 40.0  # yr, breadth that the last class of age, which has no end, is taken to have
# Key of `land_use.management` -> parameter of the model that it sets; the host sets it on every tile, so that a value
# of `model.parameters` beside it would have no effect
MANAGEMENT = {
    "residue_left": "residue_left", "fertiliser": "fertiliser", "manure": "manure", "irrigation": "irrigated",
    "livestock": "livestock_density",
}  # fmt: skip
HARVEST = (
    "primary_forest",
    "primary_nonforest",
    "secondary_mature_forest",
    "secondary_young_forest",
    "secondary_nonforest",
)
STATES = Path(__file__).with_name("states.toml")
TREES, SHRUBS, GRASSES, CROPS, BARE = slice(1, 9), slice(9, 12), slice(12, 15), slice(15, 17), 0
FEW_TREES = 0.1  # share of trees below which a forest takes the mixture of the nearest cell with trees
# Groups (per cent) of the classes of HILDA+; local: the natural mixture of the cell within that group. In version 1.0
# class 44 is all forest, in 2.1 deciduous broadleaf forest.
_HILDA_COMMON = {
    22: {"crop": 100},
    33: {"grass": 100},
    55: {"shrub_local": 50, "grass": 50},
    66: {"grass": 15, "bare": 85},
}
HILDA_GROUPS = {
    "1.0": _HILDA_COMMON | {11: {"urban": 100}, 44: {"tree_local": 100}},
    "2.1": _HILDA_COMMON
    | {
        11: {"urban": 100},
        23: {"crop": 100},
        24: {"crop": 50, "tree_local": 50},
        40: {"tree_local": 100},
        41: {"tree_ne": 100},
        42: {"tree_be": 100},
        43: {"tree_nd": 100},
        44: {"tree_bd": 100},
        45: {"tree_ne": 50, "tree_bd": 50},
    },
}


@dataclass(frozen=True)
class LandClass:
    """One class of a run.

    Attributes
    ----------
    name : str
        primary, secondary_0 ... secondary_6 (or secondary), pasture, rangeland, crop, urban.
    kind : str
        One of `KINDS`.
    age : (float, float) or None
        From, to (excluded), yr since the land was disturbed; None where age is not followed.
    """

    name: str
    kind: str
    age: tuple[float, float] | None = None


def class_list(secondary: str = "age_classes") -> tuple[LandClass, ...]:
    """Classes of a run in their fixed order.

    Parameters
    ----------
    secondary : str
        age_classes (seven, by `AGE_BOUNDS`) or single.

    Raises
    ------
    ConcertoError
        Another word.

    Examples
    --------
    >>> [c.name for c in class_list("single")]
    ['primary', 'secondary', 'pasture', 'rangeland', 'crop', 'urban']
    >>> class_list()[1]
    LandClass(name='secondary_0', kind='secondary', age=(0.0, 10.0))
    """
    if secondary == "single":
        return tuple(LandClass(kind, kind) for kind in KINDS)
    if secondary != "age_classes":
        raise ConcertoError(f"land_use.secondary is '{secondary}'", hint="choose age_classes or single")
    ages = zip(AGE_BOUNDS[:-1], AGE_BOUNDS[1:], strict=True)
    old = [LandClass(f"secondary_{k}", "secondary", age) for k, age in enumerate(ages)]
    return (LandClass("primary", "primary"), *old, *(LandClass(kind, kind) for kind in KINDS[2:]))


@dataclass(frozen=True)
class StateMap:
    """What the states and harvests of a file are in the model.

    Attributes
    ----------
    kind : dict of state to column of `KINDS`
    forest, c4 : frozenset of states
    harvest : dict of name to column of `HARVEST`
    other : frozenset of variables that are no states
    """

    kind: dict[str, int]
    forest: frozenset[str]
    c4: frozenset[str]
    harvest: dict[str, int]
    other: frozenset[str]


def state_map(path=None) -> StateMap:
    """Read the map of states to kinds, the one beside this module or another of its form.

    Raises
    ------
    ConcertoError
        There is no such file, it is no TOML, or it names a kind or class of harvest that is not known.

    Examples
    --------
    >>> KINDS[state_map().kind["c4per"]]
    'crop'
    """
    path = Path(path or STATES)
    try:
        with open(path, "rb") as file:
            table = tomllib.load(file)
    except FileNotFoundError:
        raise ConcertoError(f"there is no file {path}, named in land_use.states", hint="check the path") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConcertoError(
            f"{path} is no TOML: {error}", hint="copy the form of concerto/landuse/states.toml"
        ) from None
    kinds, forest, c4 = {}, set(), set()
    for name, value in table.get("states", {}).items():
        value = {"kind": value} if isinstance(value, str) else value
        if value.get("kind") not in KINDS:
            raise ConcertoError(
                f"{path}: state {name} is of the kind '{value.get('kind')}'", hint=f"choose {', '.join(KINDS)}"
            )
        kinds[name] = KINDS.index(value["kind"])
        forest |= {name} if value.get("forest") else set()
        c4 |= {name} if value.get("c4") else set()
    harvest = {}
    for name, value in table.get("harvest", {}).items():
        if value not in HARVEST:
            raise ConcertoError(
                f"{path}: harvest {name} is of the class '{value}'", hint=f"choose {', '.join(HARVEST)}"
            )
        harvest[name] = HARVEST.index(value)
    if not kinds:
        raise ConcertoError(f"{path} has no table [states]", hint="copy the form of concerto/landuse/states.toml")
    other = frozenset(table.get("other", {}).get("names", ()))
    return StateMap(kinds, frozenset(forest), frozenset(c4), harvest, other)


def kind_number(name, where) -> int:
    """Column of `KINDS` of a kind given by name.

    Raises
    ------
    ConcertoError
        An unknown kind, with the nearest known one.
    """
    text = str(name).strip().lower()
    if text in KINDS:
        return KINDS.index(text)
    import difflib

    near = difflib.get_close_matches(text, KINDS, n=1)
    hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(KINDS)}"
    raise ConcertoError(f"{where}: '{name}' is no kind of land", hint=hint)


def hilda_kinds() -> dict[int, str]:
    """Kind of each class of HILDA+ (natural, grazed, crop or urban); the same in both versions.

    Examples
    --------
    >>> hilda_kinds()[44], hilda_kinds()[23]
    ('natural', 'crop')
    """
    out = {11: "urban", 22: "crop", 23: "crop", 24: "crop", 33: "grazed"}
    return out | {code: "natural" for code in (40, 41, 42, 43, 44, 45, 55, 66)}


# --- what grows -----------------------------------------------------------------------------------------------------


def _normalised(cover, otherwise):
    """Rows with a sum of 1; those without anything take `otherwise`."""
    total = cover.sum(axis=1, keepdims=True)
    some = total > 1e-12
    return np.where(some, cover / np.where(some, total, 1.0), otherwise)


def _only(cover, *parts):
    out = np.zeros_like(cover)
    for part in parts:
        out[:, part] = cover[:, part]
    return out


def _nearest(cover, has, latitude, longitude):
    """Rows of `cover` from the nearest place where `has` is true; itself there, and where nothing is.

    Of places equally near (to 1e-12 of the square of the chord) the first. Looked for in small groups of neighbours: no
    place is farther from its nearest than the middle of the group is, and the radius of the group.
    """
    if latitude is None or longitude is None or has.all() or not has.any():
        return cover
    lat, lon = np.radians(np.asarray(latitude, float)), np.radians(np.asarray(longitude, float))
    place = np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=1)
    donors, wanted = np.flatnonzero(has), np.flatnonzero(~has)
    wanted = wanted[np.lexsort((lon[wanted], np.floor(lat[wanted] * 25.0)))]  # along strips of some two degrees
    out, given = cover.copy(), place[donors]
    for first in range(0, len(wanted), 64):
        cells = wanted[first : first + 64]
        middle = place[cells[len(cells) // 2]]
        from_middle = np.arccos(np.clip(given @ middle, -1.0, 1.0))
        radius = np.arccos(np.clip(place[cells] @ middle, -1.0, 1.0)).max()
        close = np.flatnonzero(from_middle <= from_middle.min() + 2.0 * radius + 1e-5)
        cosine = place[cells] @ given[close].T  # with round-off of 1e-15, so it only chooses candidates
        rows, columns = np.nonzero(cosine >= cosine.max(axis=1, keepdims=True) - 1e-11)
        candidates = donors[close[columns]]
        apart = np.round(((place[candidates] - place[cells[rows]]) ** 2).sum(axis=1), 12)
        order = np.lexsort((candidates, apart, rows))
        out[cells] = cover[candidates[order[np.searchsorted(rows, np.arange(len(cells)))]]]
    return out


def compositions(
    natural_cover,
    c4_share,
    *,
    crop_c4_share=None,
    forest=None,
    forest_area=None,
    latitude=None,
    longitude=None,
    luh_forest="advisory",
    rangeland="natural",
    urban="bare",
) -> dict[str, np.ndarray]:
    """What grows in each kind of land.

    Parameters
    ----------
    natural_cover : array (cell, 17)
        Vegetation by type; crops in it are left out and the rest is brought to a sum of 1.
    c4_share : array (cell,)
        C4 share of grass from climate (`concerto.domain.land_cover.monthly_climate`).
    crop_c4_share : array (cell,), optional
        C4 share of the crops, as in `LandUseYear.management["crop_c4"]`; NaN where unknown. Default: `c4_share`.
    forest : array (cell, 2), optional
        Forest share of primary and of secondary land (`LandUseYear.forest`); NaN where there is no such land. Without
        it, primary and secondary land carry the natural cover as it is.
    forest_area : array (cell,), optional
        Forest share of all natural land (`LandUseYear.forest_of_natural`), for the advisory rule. Default: mean of
        `forest`.
    latitude, longitude : array (cell,), optional
        Degrees. With them forests with less than a tenth of trees in the natural cover take the mixture of trees of
        the nearest cell that has them. Give the cells of the whole run, not of a rank.
    luh_forest : str
        advisory: the natural cover says how many trees there are. Trees cover min(1, natural trees / forest area) of a
        forest, natural grass the rest. strict: a forest is all trees.
    rangeland : str
        natural: natural cover. cleared: without trees where they are more than half of it.
    urban : str
        bare, or green: grass and trees on 4/19 of it (class 190 of the ESA CCI legend without its water).

    Returns
    -------
    dict of kind to array (cell, 17)
        Sums are 1.

    Raises
    ------
    ConcertoError
        An unknown word, or another shape.

    Examples
    --------
    >>> cover = np.zeros((1, 17))
    >>> cover[0, [7, 13]] = 0.6, 0.4  # deciduous trees, C3 grass
    >>> out = compositions(cover, [0.0], forest=[[1.0, 0.5]], luh_forest="strict")
    >>> out["primary"][0, [7, 13]].tolist(), out["secondary"][0, [7, 13]].tolist()
    ([1.0, 0.0], [0.5, 0.5])
    """
    for name, value, known in (
        ("luh_forest", luh_forest, ("advisory", "strict")),
        ("rangeland", rangeland, ("natural", "cleared")),
        ("urban", urban, ("bare", "green")),
    ):
        if value not in known:
            raise ConcertoError(f"land_use: {name} is '{value}'", hint=f"choose {' or '.join(known)}")
    natural = np.array(natural_cover, dtype=float)
    if natural.ndim != 2 or natural.shape[1] != N_PFT:
        raise ConcertoError(
            f"natural vegetation has the shape {natural.shape}, not (cell, {N_PFT})",
            hint=f"give the types in their order: {', '.join(PFT_NAMES)}",
        )
    n = len(natural)
    c4 = np.broadcast_to(np.asarray(c4_share, dtype=float), (n,))
    natural[:, CROPS] = 0.0
    arctic = (natural[:, 12] > 0.0) & (natural[:, 13] + natural[:, 14] <= 0.0)  # only arctic grass grows here
    grass = np.zeros((n, N_PFT))
    grass[:, 12], grass[:, 13], grass[:, 14] = arctic, np.where(arctic, 0.0, 1.0 - c4), np.where(arctic, 0.0, c4)
    has = natural.sum(axis=1) > 1e-12
    natural = _normalised(_nearest(natural, has, latitude, longitude), grass)
    natural_grass = _normalised(_only(natural, GRASSES), grass)
    trees = natural[:, TREES].sum(axis=1)
    wooded = _normalised(_only(natural, TREES), natural)
    wooded = np.where((trees > 0.0)[:, None], wooded, natural)
    wooded = _nearest(wooded, trees >= FEW_TREES, latitude, longitude)
    open_land = _normalised(_only(natural, BARE, SHRUBS, GRASSES), natural_grass)

    if forest is None:
        primary = secondary = natural
    else:
        share = np.asarray(forest, dtype=float)
        if forest_area is None:
            known = np.isfinite(share)
            area = np.where(known, share, 0.0).sum(axis=1) / np.maximum(known.sum(axis=1), 1)
        else:
            area = np.nan_to_num(np.asarray(forest_area, dtype=float))
        if luh_forest == "advisory":
            filled = np.minimum(1.0, np.divide(trees, area, out=np.ones(n), where=area > 0.0))[:, None]
            stand = filled * wooded + (1.0 - filled) * natural_grass
        else:
            stand = wooded
        share = np.where(np.isfinite(share), share, area[:, None])
        primary, secondary = (share[:, k, None] * stand + (1.0 - share[:, k, None]) * open_land for k in (0, 1))

    grazed = natural
    if rangeland == "cleared":
        grazed = np.where((trees > 0.5)[:, None], open_land, natural)
    crop_c4 = c4 if crop_c4_share is None else np.asarray(crop_c4_share, dtype=float)
    crop_c4 = np.where(np.isfinite(crop_c4), crop_c4, c4)
    crop = np.zeros((n, N_PFT))
    crop[:, 15], crop[:, 16] = 1.0 - crop_c4, crop_c4
    built = np.zeros((n, N_PFT))
    built[:, BARE] = 1.0
    if urban == "green":
        rows = IGBP_GROUPS["URB"]
        parts = np.array([rows["bare"], rows["grass"], rows["tree_bd"] + rows["tree_ne"]]) / sum(rows.values())
        built = parts[0] * built + parts[1] * natural_grass + parts[2] * wooded
    out = (primary, secondary, grass, grazed, crop, built)
    return {kind: _normalised(value, natural) for kind, value in zip(KINDS, out, strict=True)}
