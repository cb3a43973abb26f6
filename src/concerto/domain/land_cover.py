"""From land-cover class to plant functional types, by climate.

A class of the IGBP or the ESA CCI legend stands for groups of plants (broadleaf evergreen tree, grass ...);
one climate rule turns each group into types: limits of Bonan et al. 2002
(Global Biogeochem. Cycles 16, 1021) for trees and shrubs, growing degree days
for arctic grass, and the months warm and wet enough for C4 grass (Still et al.
2003, Global Biogeochem. Cycles 17, 1006; temperature limits as in their rule).

Types are numbered 0 to 16 in the order of `PFT_NAMES` everywhere in the model.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from concerto.errors import ConcertoError
from concerto.tables import loader

PFT_NAMES = tuple(loader.pft_names())
N_PFT = len(PFT_NAMES)
IGBP_CODES = (
    "ENF", "EBF", "DNF", "DBF", "MF", "CSH", "OSH", "WSA", "SAV", "GRA", "WET", "CRO", "URB", "CVM", "SNO",
    "BSV",
    "WAT",
)  # fmt: skip
# Per cent of the land of each class, water and ice removed; after the nearest rows of Poulter et al. (2015),
# table 2.
# URB: their class 190 with the built area as bare ground.
IGBP_GROUPS = {
    "ENF": {"tree_ne": 80, "shrub_bd": 5, "grass": 15},
    "EBF": {"tree_be": 90, "shrub_be": 5, "grass": 5},
    "DNF": {"tree_nd": 80, "shrub_bd": 5, "grass": 15},
    "DBF": {"tree_bd": 80, "shrub_bd": 5, "grass": 15},
    "MF": {"tree_bd": 40, "tree_ne": 40, "shrub_bd": 5, "grass": 15},
    "CSH": {"shrub_bd": 45, "shrub_be": 25, "grass": 20, "bare": 10},
    "OSH": {"shrub_bd": 25, "shrub_be": 10, "grass": 20, "bare": 45},
    "WSA": {"tree_x": 45, "shrub_bd": 5, "grass": 50},
    "SAV": {"tree_x": 20, "shrub_bd": 5, "grass": 75},
    "GRA": {"grass": 85, "bare": 15},
    "WET": {"grass": 80, "shrub_bd": 20},
    "CRO": {"crop": 100},
    "URB": {"tree_bd": 2.5, "tree_ne": 2.5, "grass": 15, "bare": 75},
    "CVM": {"crop": 60, "tree_x": 10, "shrub_bd": 10, "grass": 20},
    "SNO": {},
    "BSV": {"grass": 10, "shrub_bd": 5, "bare": 85},
    "WAT": {},
}
# Per cent of each class of the ESA CCI legend: generic table of Poulter et al. (2015, Geosci. Model Dev. 8, 2315),
# table 2. Their natural grass is grass here, their managed grass crop; the built area counts as bare ground.
ESA_CCI_GROUPS = {
    10: {"crop": 100},
    11: {"crop": 100},
    12: {"shrub_bd": 50, "crop": 50},
    20: {"crop": 100},
    30: {"tree_be": 5, "tree_bd": 5, "shrub_be": 5, "shrub_bd": 5, "shrub_ne": 5, "grass": 15, "crop": 60},
    40: {"tree_be": 5, "tree_bd": 5, "shrub_be": 7.5, "shrub_bd": 10, "shrub_ne": 7.5, "grass": 25, "crop": 40},
    50: {"tree_be": 90, "shrub_be": 5, "shrub_bd": 5},
    60: {"tree_bd": 70, "shrub_bd": 15, "grass": 15},
    61: {"tree_bd": 70, "shrub_bd": 15, "grass": 15},
    62: {"tree_bd": 30, "shrub_bd": 25, "grass": 35, "bare": 10},
    70: {"tree_ne": 70, "shrub_be": 5, "shrub_bd": 5, "shrub_ne": 5, "grass": 15},
    71: {"tree_ne": 70, "shrub_be": 5, "shrub_bd": 5, "shrub_ne": 5, "grass": 15},
    72: {"tree_ne": 30, "shrub_bd": 5, "shrub_ne": 5, "grass": 30, "bare": 30},
    80: {"tree_nd": 70, "shrub_be": 5, "shrub_bd": 5, "shrub_ne": 5, "grass": 15},
    81: {"tree_nd": 70, "shrub_be": 5, "shrub_bd": 5, "shrub_ne": 5, "grass": 15},
    82: {"tree_nd": 30, "shrub_bd": 5, "shrub_ne": 5, "grass": 30, "bare": 30},
    90: {
        "tree_bd": 30,
        "tree_ne": 20,
        "tree_nd": 10,
        "shrub_be": 5,
        "shrub_bd": 5,
        "shrub_ne": 5,
        "grass": 15,
        "bare": 10,
    },
    100: {
        "tree_be": 10,
        "tree_bd": 20,
        "tree_ne": 5,
        "tree_nd": 5,
        "shrub_be": 5,
        "shrub_bd": 10,
        "shrub_ne": 5,
        "grass": 40,
    },
    110: {"tree_be": 5, "tree_bd": 10, "tree_ne": 5, "shrub_be": 5, "shrub_bd": 10, "shrub_ne": 5, "grass": 60},
    120: {"shrub_be": 20, "shrub_bd": 20, "shrub_ne": 20, "grass": 20, "bare": 20},
    121: {"shrub_be": 30, "shrub_ne": 30, "grass": 20, "bare": 20},
    122: {"shrub_bd": 60, "grass": 20, "bare": 20},
    130: {"grass": 60, "bare": 40},
    140: {"grass": 60, "bare": 40},
    150: {
        "tree_be": 1,
        "tree_bd": 3,
        "tree_ne": 1,
        "shrub_be": 1,
        "shrub_bd": 3,
        "shrub_ne": 1,
        "grass": 5,
        "bare": 85,
    },
    151: {"tree_bd": 2, "tree_ne": 6, "tree_nd": 2, "grass": 5, "bare": 85},
    152: {"shrub_be": 2, "shrub_bd": 6, "shrub_ne": 2, "grass": 5, "bare": 85},
    153: {"grass": 15, "bare": 85},
    160: {"tree_be": 30, "tree_bd": 30, "grass": 20, "water": 20},
    170: {"tree_be": 60, "shrub_be": 20, "water": 20},
    180: {"tree_bd": 5, "tree_ne": 10, "shrub_bd": 10, "shrub_ne": 5, "grass": 40, "water": 30},
    190: {"tree_bd": 2.5, "tree_ne": 2.5, "grass": 15, "urban": 75, "water": 5},
    200: {"bare": 100},
    201: {"bare": 100},
    202: {"bare": 100},
    210: {"water": 100},
    220: {"snow_ice": 100},
}
ESA_CCI_CODES = tuple(ESA_CCI_GROUPS)
# A tower stands in one stand: forest, grass, wetland and crop sites have their first group alone.
SITE_GROUPS = {
    "ENF": {"tree_ne": 1}, "EBF": {"tree_be": 1}, "DNF": {"tree_nd": 1}, "DBF": {"tree_bd": 1},
    "MF": {"tree_bd": 1, "tree_ne": 1}, "GRA": {"grass": 1}, "WET": {"grass": 1}, "CRO": {"crop": 1},
}  # fmt: skip
TREE_HEIGHT = 2.0
ARCTIC_GRASS_GDD = 1000.0
MEAN_MONTH_DAYS = 365.25 / 12.0


@dataclass
class Climate:
    """What the climate rule needs; scalars, or arrays of one shape.

    Attributes
    ----------
    coldest, warmest : float
        Mean of the coldest and the warmest month, degC.
    gdd5 : float
        Growing degree days above 5 degC of a mean year, K d.
    c4_share : float
        Share of C4 in grass and crops, 0 to 1.
    """

    coldest: float
    warmest: float
    gdd5: float
    c4_share: float


def c4_share(temperature, precipitation):
    """C4 share of grass from monthly climate.

    Parameters
    ----------
    temperature : array (..., n_month)
        Monthly means, degC; NaN where unknown.
    precipitation : array (..., n_month) or None
        Monthly totals, mm (of months of equal length); None when not recorded (then warmth alone decides).

    Returns
    -------
    array (...)
        n(T > 22 and P > 25) / n(T > 10 and P > 25); 0 where no month grows grass.

    Examples
    --------
    >>> float(c4_share([5.0, 15.0, 25.0], [50.0, 50.0, 50.0]))
    0.5
    """
    temperature = np.asarray(temperature, dtype=float)
    with np.errstate(invalid="ignore"):
        wet = np.isfinite(temperature) if precipitation is None else np.asarray(precipitation, dtype=float) > 25.0
        warm = ((temperature > 22.0) & wet).sum(axis=-1)
        growing = ((temperature > 10.0) & wet).sum(axis=-1)
    return np.where(growing > 0, warm / np.maximum(growing, 1), 0.0)


def monthly_climate(temperature, precipitation) -> Climate:
    """Climate of the rule from a monthly climatology.

    Parameters
    ----------
    temperature : array (..., 12)
        Monthly means, degC.
    precipitation : array (..., 12)
        Monthly totals, mm.

    Returns
    -------
    Climate
        Arrays of shape (...). Degree days are those of daily means between which the months are interpolated
        linearly (a mean month stands at its middle), of a year of 365 days.

    Examples
    --------
    >>> climate = monthly_climate([15.0] * 12, [50.0] * 12)
    >>> float(climate.gdd5), float(climate.c4_share)
    (3650.0, 0.0)
    """
    temperature, precipitation = np.asarray(temperature, dtype=float), np.asarray(precipitation, dtype=float)
    lengths = np.array([31.0, 28.0, 31.0, 30.0, 31.0, 30.0, 31.0, 31.0, 30.0, 31.0, 30.0, 31.0])
    middle = np.cumsum(lengths) - 0.5 * lengths
    degree_days = np.zeros(temperature.shape[:-1])
    for day in np.arange(365) + 0.5:
        after = int(np.searchsorted(middle, day)) % 12
        before = (after - 1) % 12
        apart = (middle[after] - middle[before]) % 365.0
        share = ((day - middle[before]) % 365.0) / apart
        mean = (1.0 - share) * temperature[..., before] + share * temperature[..., after]
        degree_days += np.maximum(mean - 5.0, 0.0)
    share = c4_share(
        temperature, precipitation / lengths * MEAN_MONTH_DAYS
    )  # months of equal length: rates are compared
    return Climate(temperature.min(axis=-1), temperature.max(axis=-1), degree_days, share)


def site_climate(site) -> Climate:
    """Climatology of a `Site` over its own record, days of local time.

    Months without data are left out; their degree days are interpolated between the months that have them,
    so that a
    summer's record is not taken for an arctic year.
    """
    days = site.time_local.astype("datetime64[D]")
    first = days[0]
    index = (days - first).astype(int)
    per_day = 86400.0 / site.step_seconds
    count = np.bincount(index)
    whole = count >= 0.5 * per_day
    mean = np.bincount(index, site.forcing["air_temperature"] - 273.15) / np.maximum(count, 1)
    water = site.forcing["rainfall"] + site.forcing["snowfall"]
    rain = np.bincount(index, water * site.step_seconds)
    calendar = first + np.arange(count.size)
    month = calendar.astype("datetime64[M]").astype(int) % 12
    temperature, degree_days, precipitation = np.full(12, np.nan), np.zeros(12), np.full(12, np.nan)
    lengths = np.array([31, 28.25, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31])
    for m in range(12):
        chosen = whole & (month == m)
        if chosen.any():
            temperature[m] = mean[chosen].mean()
            degree_days[m] = np.maximum(mean[chosen] - 5.0, 0.0).mean() * lengths[m]
            precipitation[m] = rain[chosen].mean() * MEAN_MONTH_DAYS  # months of equal length: rates are compared
    known = np.isfinite(temperature)
    per_day_known = degree_days[known] / lengths[known]
    degree_days = np.interp(np.arange(12), np.flatnonzero(known), per_day_known, period=12) * lengths
    share = c4_share(temperature, precipitation if site.has_precipitation else None)
    return Climate(float(np.nanmin(temperature)), float(np.nanmax(temperature)), float(degree_days.sum()), float(share))


def split_group(group: str, climate: Climate) -> dict[int, np.ndarray]:
    """Types of one group and their shares (sum 1) in a climate.

    Parameters
    ----------
    group : str
        tree_be, tree_bd, tree_ne, tree_nd, tree_x, shrub_be, shrub_bd, shrub_ne, shrub_nd, grass, crop or
        bare.
    climate : Climate
        Scalars, or arrays of one shape.

    Returns
    -------
    dict of int to array
        Share by type number.
    """
    coldest, gdd = np.asarray(climate.coldest, dtype=float), np.asarray(climate.gdd5, dtype=float)
    one = np.ones(np.broadcast_shapes(coldest.shape, gdd.shape))
    tropical = (coldest > 15.5) * one
    if group == "tree_be":
        return {4: tropical, 5: 1 - tropical}
    if group == "tree_bd":
        boreal = ((coldest <= -15.0) | (gdd <= 1200.0)) * (1 - tropical)
        return {6: tropical, 7: 1 - tropical - boreal, 8: boreal}
    if group == "tree_ne":
        temperate = ((coldest > -19.0) & (gdd > 1200.0)) * one
        return {1: temperate, 2: 1 - temperate}
    if group == "tree_nd":
        return {3: one}
    if group in ("shrub_bd", "shrub_ne", "shrub_nd"):
        temperate = ((coldest > -19.0) & (gdd > 1200.0)) * one
        return {10: temperate, 11: 1 - temperate}
    if group == "shrub_be":
        return {9: one}
    if group == "bare":
        return {0: one}
    if group == "grass":
        arctic = (gdd < ARCTIC_GRASS_GDD) * one
        c4 = np.asarray(climate.c4_share) * (1 - arctic)
        return {12: arctic, 13: 1 - arctic - c4, 14: c4}
    if group == "crop":
        return {15: one - climate.c4_share, 16: one * climate.c4_share}
    if group == "tree_x":  # mixed trees of savannas and mosaics
        cold = (coldest < -5.0) * one
        middle = 1 - tropical - cold
        weights = {"tree_bd": tropical + 0.5 * middle, "tree_ne": cold, "tree_be": 0.5 * middle}
        out: dict[int, np.ndarray] = {}
        for part, weight in weights.items():
            for pft, share in split_group(part, climate).items():
                out[pft] = out.get(pft, 0.0) + weight * share
        return out
    raise ConcertoError(
        f"'{group}' is not a plant group.",
        hint="Known are tree_be, tree_bd, tree_ne, tree_nd, tree_x, shrub_be, shrub_bd, grass, crop and bare.",
    )


def igbp_to_pft(fractions, climate: Climate) -> np.ndarray:
    """Fractions of the 17 IGBP classes to fractions of the 17 types, on any grid.

    Parameters
    ----------
    fractions : array (..., 17)
        Cover by class in MODIS order (1 ENF ... 17 WAT).
    climate : Climate
        Arrays of shape (...).

    Returns
    -------
    array (..., 17)
        By type; the sum is 1 where there is land other than ice and water, else 0.
    """
    return _crosswalk(fractions, [IGBP_GROUPS[code] for code in IGBP_CODES], climate)


def esa_cci_to_pft(fractions, climate: Climate) -> np.ndarray:
    """Fractions of the ESA CCI land-cover classes to fractions of the 17 types, on any grid.

    Parameters
    ----------
    fractions : array (..., class)
        Cover by class in the order of `ESA_CCI_CODES`.
    climate : Climate
        Arrays of shape (...).

    Returns
    -------
    array (..., 17)
        By type, as shares of the land without ice and water (the sum is 1, or 0 where there is no such land).

    Examples
    --------
    >>> cover = np.zeros(len(ESA_CCI_CODES))
    >>> cover[ESA_CCI_CODES.index(50)] = 1.0  # broadleaf evergreen trees
    >>> float(esa_cci_to_pft(cover, Climate(20.0, 28.0, 7000.0, 0.5))[4])
    0.9
    """
    return _crosswalk(fractions, list(ESA_CCI_GROUPS.values()), climate)


def ice_and_water(kind: str, fractions) -> tuple[np.ndarray, np.ndarray]:
    """Ice and water in a cover.

    Parameters
    ----------
    kind : str
        igbp or esa_cci.
    fractions : array (..., class)
        Cover by class, as for :func:`igbp_to_pft` or :func:`esa_cci_to_pft`.

    Returns
    -------
    ice, water : array (...)
        Shares of the area that the fractions stand for. Mosaics of the ESA CCI legend hold some water.

    Examples
    --------
    >>> ice, water = ice_and_water("igbp", [0.0] * 14 + [0.25, 0.5, 0.25])
    >>> float(ice), float(water)
    (0.25, 0.25)
    """
    fractions = np.asarray(fractions, dtype=float)
    if kind == "igbp":
        return fractions[..., IGBP_CODES.index("SNO")], fractions[..., IGBP_CODES.index("WAT")]
    rows = ESA_CCI_GROUPS.values()
    return tuple(fractions @ (np.array([row.get(name, 0) for row in rows]) / 100.0) for name in ("snow_ice", "water"))


def _crosswalk(fractions, classes, climate: Climate) -> np.ndarray:
    """Types (..., 17) of a cover (..., class), each class a dict of group to per cent; see the callers."""
    fractions = np.asarray(fractions, dtype=float)
    shares: dict[str, dict[int, np.ndarray]] = {}
    out = np.zeros(fractions.shape[:-1] + (N_PFT,))
    for k, groups in enumerate(classes):
        if not fractions[..., k].any():
            continue
        total = 100.0 if groups.keys() & {"water", "snow_ice"} else sum(groups.values())
        for group, per_cent in groups.items():
            if group in ("water", "snow_ice"):
                continue
            group = "bare" if group == "urban" else group
            if group not in shares:
                shares[group] = split_group(group, climate)
            for pft, share in shares[group].items():
                out[..., pft] += fractions[..., k] * (per_cent / total) * share
    total = out.sum(axis=-1, keepdims=True)
    return np.divide(out, total, out=np.zeros_like(out), where=total > 0.0)


def stand_groups(igbp: str, canopy_height: float | None = None) -> dict[str, float]:
    """Plant groups of one stand (a flux tower, a point) of an IGBP class, and their weights; see `site_mixture`.

    Examples
    --------
    >>> stand_groups("SAV", canopy_height=0.8)
    {'grass': 75}
    """
    groups = SITE_GROUPS.get(igbp)
    if groups is None:
        groups = {group: share for group, share in IGBP_GROUPS[igbp].items() if group != "bare" or igbp == "BSV"}
        if igbp in ("SAV", "WSA", "CVM"):
            groups = {group: share for group, share in groups.items() if not group.startswith("shrub")}
            if canopy_height is not None and canopy_height < TREE_HEIGHT:
                groups.pop("tree_x")
    return groups


def site_mixture(site, pft=None) -> list[tuple[int, float]]:
    """Types and area fractions of the tiles at a flux tower.

    Forest, grassland, wetland and crop sites take their first group alone; savannas and mosaics keep trees
    and
    grass (or crop) without bare ground and shrubs, and lose the trees where the canopy is lower than 2 m;
    shrublands keep shrubs and grass.

    Parameters
    ----------
    site : Site
        From `concerto.forcing.read_site`.
    pft : str, int, or dict, optional
        Overrides the rule: a type, 'grass_c3:0.6,grass_c4:0.4', or a dict of type to fraction.

    Returns
    -------
    list of (int, float)
        Type number and fraction, largest first; fractions sum to 1.

    Raises
    ------
    ConcertoError
        No land-cover class, a class without vegetation, or a wrong `pft`.
    """
    if pft is not None:
        return parse_mixture(pft)
    if site.igbp is None:
        raise ConcertoError(
            f"{site.name}: no land-cover class is known, so no plant functional type can be chosen.",
            hint="Give igbp (such as ENF) or pft (such as needle_evergreen_temperate).",
        )
    groups = stand_groups(site.igbp, site.canopy_height)
    if not groups:
        raise ConcertoError(
            f"{site.name}: the land-cover class {site.igbp} has no vegetation.",
            hint="Give pft (such as grass_c3) if plants grow there.",
        )
    climate = site_climate(site)
    total = float(sum(groups.values()))
    mixture: dict[int, float] = {}
    for group, weight in groups.items():
        for number, share in split_group(group, climate).items():
            mixture[number] = mixture.get(number, 0.0) + weight / total * float(share)
    return sorted(((k, v) for k, v in mixture.items() if v > 0.0), key=lambda item: (-item[1], item[0]))


def parse_mixture(pft) -> list[tuple[int, float]]:
    """A type, 'name:fraction,name:fraction' or dict as a list of (number, fraction) that sums to 1.

    Examples
    --------
    >>> parse_mixture("grass_c3:3,grass_c4:1")
    [(13, 0.75), (14, 0.25)]
    """
    if isinstance(pft, dict):
        parts = list(pft.items())
    elif isinstance(pft, (int, np.integer)):
        parts = [(pft, 1.0)]
    else:
        parts = [tuple(part.split(":", 1)) if ":" in part else (part, 1.0) for part in str(pft).split(",")]
    mixture: dict[int, float] = {}
    for name, fraction in parts:
        number = pft_number(name)
        try:
            fraction = float(fraction)
        except ValueError:
            fraction = np.nan
        if not (np.isfinite(fraction) and fraction >= 0.0):
            raise ConcertoError(
                f"The fraction of {PFT_NAMES[number]} in pft is not a number from 0 on.",
                hint="Write for instance grass_c3:0.6,grass_c4:0.4.",
            )
        mixture[number] = mixture.get(number, 0.0) + fraction
    total = sum(mixture.values())
    if total <= 0.0:
        raise ConcertoError("The fractions in pft sum to zero.", hint="Give at least one type.")
    return sorted(((k, v / total) for k, v in mixture.items() if v > 0.0), key=lambda item: (-item[1], item[0]))


def pft_number(name) -> int:
    """Number of a type given by name or number; a near name is suggested when unknown."""
    text = str(name).strip().lower().replace("-", "_")
    if text.isdigit() and int(text) < N_PFT:
        return int(text)
    if text in PFT_NAMES:
        return PFT_NAMES.index(text)
    import difflib

    close = difflib.get_close_matches(text, PFT_NAMES, n=1, cutoff=0.5)
    raise ConcertoError(
        f"'{name}' is not a plant functional type.",
        hint=(f"Did you mean {close[0]}? " if close else "") + f"Known are 0 to {N_PFT - 1}: {', '.join(PFT_NAMES)}.",
    )


def describe(mixture) -> str:
    """The mixture in words.

    Examples
    --------
    >>> describe([(13, 0.75), (14, 0.25)])
    'grass_c3 75 %, grass_c4 25 %'
    """
    return ", ".join(f"{PFT_NAMES[number]} {100 * fraction:.3g} %" for number, fraction in mixture)
