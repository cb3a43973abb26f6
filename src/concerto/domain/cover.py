"""What grows on the cells and what soil they have: types and shares of tiles, from maps, rules or by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from concerto.domain import land_cover
from concerto.domain.land_cover import N_PFT, PFT_NAMES
from concerto.domain.maps import (
    Map,
    average,
    class_shares,
    continuous,
    entry,
    fill,
    fraction_scale,
    method,
    needed_rows,
    open_file,
)
from concerto.errors import ConcertoError

SOIL_CODES = ("coarse", "medium", "medium_fine", "fine", "very_fine", "organic", "organic_tropical")  # 1 to 7, ECMWF


def few_tiles(cover, minimum, most):
    """Cover (cell, type) with sums of 1 without small shares and with at most `most` types, and the share lost (cell,).

    The largest always stays; of equal ones the lower number comes first.
    """
    cover = cover / cover.sum(axis=1, keepdims=True)
    order = np.argsort(-cover, axis=1, kind="stable")
    place = np.argsort(order, axis=1, kind="stable")
    keep = (cover > 0.0) & (cover >= minimum) & (place < max(most, 1)) | (place == 0)
    kept = np.where(keep, cover, 0.0)
    total = kept.sum(axis=1, keepdims=True)
    lost = np.where(keep.all(axis=1) | ((cover > 0.0) == keep).all(axis=1), 0.0, 1.0 - total[:, 0])
    return kept / total, np.maximum(lost, 0.0)


def _land_share(domain, known, water, ice):
    """Share of the cell's land that is neither ice nor lake, from shares of a map that has data on `known` of it."""
    sea = 1.0 - domain.land_fraction
    land = known - np.maximum(0.0, sea - (1.0 - known))  # land in the part of the cell with data
    dry = np.maximum(1.0 - water, 0.0)
    kept = np.where(land > 0.0, np.minimum(1.0, known * dry / np.where(land > 0.0, land, 1.0)), dry)
    return np.clip(kept * (1.0 - np.minimum(ice / np.where(dry > 0.0, dry, 1.0), 1.0)), 0.0, 1.0)


def cover_of_cells(domain, config_domain, climate, rule, folder, notes):
    """Types (cell, 17) and the share of the cell's land that they stand for (cell,)."""
    n = domain.n_cell
    given = _given_cover(domain, rule)
    section = entry(config_domain, "land_cover", {})
    kind = entry(section, "kind", "embedded")
    if given is not None and np.isfinite(given[:, 0]).all():
        notes.append("land cover: as given with the points")
        return given, np.ones(n)
    if kind == "uniform":
        mixture = entry(section, "pft")
        if mixture is None:
            raise ConcertoError("domain.land_cover is uniform without pft", hint="pft: grass_c3:0.6,grass_c4:0.4")
        cover = np.zeros((n, N_PFT))
        for number, share in land_cover.parse_mixture(mixture):
            cover[:, number] = share
        land = np.ones(n)
        notes.append(f"land cover: {land_cover.describe(land_cover.parse_mixture(mixture))} everywhere")
    elif kind == "embedded":
        from concerto.domain.embedded import embedded_cover, embedded_normals

        normals = embedded_normals(domain.latitude, domain.longitude, domain.elevation)  # radiation and humidity
        normals |= {name: np.asarray(values) for name, values in climate.items() if name in normals}
        cover, ice = embedded_cover(normals, domain.latitude, domain.elevation)
        land = 1.0 - ice
        notes.append("land cover: potential vegetation by climate")
    elif kind in ("igbp", "esa_cci", "pft"):
        cover, land = _mapped_cover(domain, section, kind, rule, folder, notes)
    else:
        raise ConcertoError(
            f"domain.land_cover.kind is '{kind}'", hint="choose embedded, igbp, esa_cci, pft or uniform"
        )
    if given is not None:
        chosen = np.isfinite(given[:, 0])
        cover, land = np.where(chosen[:, None], given, cover), np.where(chosen, 1.0, land)
        notes.append(f"land cover: as given with {int(chosen.sum())} of {n} points")
    return cover, land


def _given_cover(domain, rule):
    """Types (cell, 17) of points that name a type or an IGBP class, NaN where they do not; None if none does."""
    pft, igbp = domain.facts.get("pft"), domain.facts.get("igbp")
    if pft is None and igbp is None:
        return None
    from concerto.forcing.checks import check_igbp

    out = np.full((domain.n_cell, N_PFT), np.nan)
    height = domain.facts.get("canopy_height", np.full(domain.n_cell, np.nan))
    for i in range(domain.n_cell):
        here = [float(v[i]) for v in (rule.coldest, rule.warmest, rule.gdd5, rule.c4_share)]
        if pft is not None and pft[i]:
            out[i] = 0.0
            for number, share in land_cover.parse_mixture(pft[i]):
                out[i, number] = share
            continue
        code = None if igbp is None else check_igbp(igbp[i], f"point {domain.cell_id[i] + 1}")
        if code:
            groups = land_cover.stand_groups(code, float(height[i]) if np.isfinite(height[i]) else None)
            out[i] = 0.0
            for group, weight in groups.items():
                for number, share in land_cover.split_group(group, land_cover.Climate(*here)).items():
                    out[i, number] += weight / sum(groups.values()) * float(share)
    return out


def _mapped_cover(domain, section, kind, rule, folder, notes):
    """Types (cell, 17) and share of land from a map of classes, of class fractions or of types."""
    file = entry(section, "file")
    if not file:
        raise ConcertoError(f"domain.land_cover {kind} needs a file", hint="such as file: cover.nc")
    file = Path(folder) / file
    name = entry(section, "variable") or _usual_variable(file, COVER_NAMES[kind], "domain.land_cover.variable")
    with Map(file, name, "domain.land_cover") as source:
        if source.classes is None and kind == "pft":
            raise ConcertoError(
                f"{file}: {name} has no dimension of types",
                hint=f"it wants {N_PFT} in the order of the table, or names",
            )
        if source.classes is None:
            fractions, known = _cover_of_classes(source, domain, kind, notes)
        else:
            fractions, known = _cover_of_fractions(source, domain, kind, notes)
    if kind == "pft":
        water, ice = np.maximum(1.0 - fractions.sum(axis=1), 0.0), np.zeros(domain.n_cell)
        water = np.where(water < 1e-3, 0.0, water)  # rounding of the file
        total = fractions.sum(axis=1, keepdims=True)
        cover = np.divide(fractions, total, out=np.zeros_like(fractions), where=total > 0.0)
    else:
        to_pft = land_cover.igbp_to_pft if kind == "igbp" else land_cover.esa_cci_to_pft
        cover = to_pft(fractions, rule)
        ice, water = land_cover.ice_and_water(kind, fractions)
    return cover, _land_share(domain, known, water, ice)


COVER_NAMES = {
    "igbp": ("igbp_fraction", "igbp", "land_cover_type_1_percent", "majority_land_cover_type_1", "lc_type1"),
    "esa_cci": ("lccs_class", "esa_cci", "land_cover"),
    "pft": ("pft_fraction", "pft", "landcoverfrac"),
}


def _usual_variable(path, usual, key):
    """The variable of a file with a usual name, or the only one with more than one dimension."""
    with open_file(path) as file:
        found = [name for name, v in file.variables.items() if name.lower() in usual and v.ndim > 1]
        many = [name for name, v in file.variables.items() if v.ndim > 1 and "bnds" not in name + str(v.dimensions)]
        if len(found or many) != 1:
            raise ConcertoError(
                f"{path}: which variable to take is not clear",
                hint=f"name it in {key}; the file has {', '.join(file.variables)}",
            )
        return (found or many)[0]


def _cover_of_classes(source, domain, kind, notes):
    """Shares of classes (cell, class) and share with data from a map of class numbers."""
    codes = list(range(1, 18)) if kind == "igbp" else list(land_cover.ESA_CCI_CODES)
    shares, known, unknown = class_shares(source, domain, codes)
    unknown = [code for code in unknown if not (kind == "igbp" and code == 255)]
    if unknown:
        notes.append(f"land cover: classes {', '.join(map(str, unknown))} of {source.path.name} count as no data")

    def row_values(row):
        return (source.codes(row, row + 1)[0][:, None] == np.array(codes)).astype(float)

    filled = fill(
        source,
        domain,
        known <= 0.0,
        lambda first, last: np.isin(source.codes(first, last), codes),
        row_values,
        "land cover",
        notes,
    )
    for cell, value in filled.items():
        shares[cell], known[cell] = value, domain.land_fraction[cell]
    words = {"igbp": "IGBP", "esa_cci": "ESA CCI"}[kind]
    how = "class of the map's cell" if domain.kind != "latlon" else "shares of classes by area"
    notes.append(f"land cover: {words} classes {source.variable.name} of {source.path.name}, {how}")
    return shares, known


def _class_order(source, kind, notes):
    """For each class of the model its place on the dimension of the map, or -1."""
    labels = source.file.variables.get(source.classes)
    names = None
    for variable in source.file.variables.values():
        if variable.dimensions == (source.classes,) and variable.dtype is str:
            names = [str(v).strip() for v in variable[:]]
        elif variable.dimensions[:1] == (source.classes,) and variable.dtype == "S1" and variable.ndim == 2:
            names = ["".join(c.decode() for c in row.filled(b"")).strip() for row in np.ma.asarray(variable[:])]
    known = PFT_NAMES if kind == "pft" else land_cover.IGBP_CODES if kind == "igbp" else ()
    if names and all(name in known for name in names):
        return [names.index(name) if name in names else -1 for name in known]
    if kind == "esa_cci":
        if labels is None or labels.dtype is str:
            raise ConcertoError(
                f"{source.path}: the classes on {source.classes} have no numbers",
                hint="give the dimension a coordinate with the numbers of the ESA CCI legend",
            )
        numbers = [int(v) & 255 if labels.dtype == np.int8 else int(v) for v in labels[:]]
        return [numbers.index(code) if code in numbers else -1 for code in land_cover.ESA_CCI_CODES]
    if source.n_class != len(known):
        raise ConcertoError(
            f"{source.path}: {source.variable.name} has {source.n_class} classes on {source.classes}, not {len(known)}",
            hint=f"give all {len(known)} in their order, or name them: {', '.join(known)}",
        )
    if kind == "igbp" and labels is not None and labels.dtype is not str and int(labels[:].min()) == 0:
        notes.append(f"land cover: class 0 of {source.path.name} is water")  # MCD12C1
        return [*range(1, 17), 0]
    if labels is None and not names:
        more = "; if the first is water, give the dimension a coordinate of 0 to 16" if kind == "igbp" else ""
        notes.append(
            f"land cover: the classes of {source.variable.name} have neither numbers nor names: the first is taken as "
            f"{known[0]}, the last as {known[-1]}{more}"
        )
    return list(range(len(known)))


def _cover_of_fractions(source, domain, kind, notes):
    """Fractions (cell, class) and share with data from a map of class fractions."""
    order = _class_order(source, kind, notes)
    first, last = needed_rows(source.grid, domain)
    total = 0.0
    for place in order:
        if place >= 0 and first < last:
            total = total + np.nan_to_num(source.rows(first, last, place))
    largest = float(np.max(total, initial=0.0))
    scale = fraction_scale(
        source.units, min(largest, largest / 1.01), source.path, f"the sum of {source.variable.name}"
    )
    has_total = np.asarray(total) > 0.0

    def at_rows(start, stop):
        """Where any class has data."""
        if first <= start and stop <= last:
            return has_total[start - first : stop - first]
        return sum(np.nan_to_num(source.rows(start, stop, place)) for place in order if place >= 0) > 0.0

    fractions, known = np.zeros((domain.n_cell, len(order))), np.zeros(domain.n_cell)
    for k, place in enumerate(order):
        if place < 0:
            continue

        def keep(values, start, stop):  # a cell with a sum of zero is no data
            return np.where(has_total[start - first : stop - first], np.nan_to_num(values), np.nan)

        values, known = average(source, domain, place, keep)
        fractions[:, k] = np.nan_to_num(values) * scale

    def row_values(row):
        nothing = np.zeros(len(source.grid.lon))
        picks = [source.rows(row, row + 1, place)[0] * scale if place >= 0 else nothing for place in order]
        return np.nan_to_num(np.stack(picks, axis=1))

    filled = fill(source, domain, known <= 0.0, at_rows, row_values, "land cover", notes)
    for cell, value in filled.items():
        fractions[cell], known[cell] = value, domain.land_fraction[cell]
    if kind != "pft":
        sums = fractions.sum(axis=1, keepdims=True)
        fractions = np.divide(fractions, sums, out=fractions, where=sums > 0.0)
    words = {"igbp": "IGBP fractions", "esa_cci": "ESA CCI fractions", "pft": "fractions of types"}[kind]
    notes.append(f"land cover: {words} {source.variable.name} of {source.path.name}, {method(source, domain)}")
    return fractions, known


def soil_of_cells(domain, config_domain, folder, notes):
    """Soil parameters (cell,) by name."""
    from concerto.domain.soil import soil_class, soil_parameters, texture_class

    section = entry(config_domain, "soil", {})
    default = soil_class(entry(section, "texture")).name
    names = np.full(domain.n_cell, default, dtype=object)
    sand = clay = None
    path, variables = entry(section, "file"), entry(section, "variables", {})
    if path:
        path = Path(folder) / path
        if not variables:
            with open_file(path) as file:
                variables = {name: name for name in ("sand", "clay") if name in file.variables}
                variables = variables if len(variables) == 2 else {n: n for n in ("texture",) if n in file.variables}
        if entry(variables, "texture"):
            with Map(path, entry(variables, "texture"), "domain.soil.variables") as source:
                names = _soil_classes(source, domain, notes)
        elif entry(variables, "sand") and entry(variables, "clay"):
            parts = {}
            for name in ("sand", "clay"):
                with Map(path, entry(variables, name), "domain.soil.variables") as source:
                    unit = source.units.lower()
                    scales = {"%": 1.0, "percent": 1.0, "% of weight": 1.0, "g/kg": 0.1, "g kg-1": 0.1}
                    scales |= {"1": 100.0, "kg kg-1": 100.0, "kg/kg": 100.0, "fraction": 100.0, "g/100g": 1.0}
                    if unit not in scales:
                        raise ConcertoError(
                            f"{path}: {source.variable.name} has the unit '{source.units}'",
                            hint="give units of %, g kg-1 or 1",
                        )
                    parts[name] = continuous(source, domain, name, notes, scales[unit])
            sand, clay = parts["sand"], parts["clay"]
            names = texture_class(sand, clay).astype(object)
            notes.append("soil: hydraulics of the texture class, sand and clay of the map")
        else:
            raise ConcertoError(
                f"domain.soil.file {path}: the variables are not named",
                hint="variables: {sand: name, clay: name} or {texture: name}",
            )
    else:
        notes.append(f"soil: {default}")
    given = domain.facts.get("soil")
    if given is not None:
        for i in np.flatnonzero(given != ""):
            names[i] = soil_class(given[i]).name
            if sand is not None:
                sand[i] = clay[i] = np.nan
        notes.append(f"soil: as given with {int((given != '').sum())} points")
    return soil_parameters(names.astype(str), sand, clay)


def _soil_classes(source, domain, notes):
    """Texture class (cell,) from a map of class numbers: the largest by area."""
    from concerto.domain.soil import soil_classes

    words = str(getattr(source.variable, "flag_meanings", "")).split()
    values = getattr(source.variable, "flag_values", None)
    if words and values is not None:
        meaning = {
            int(v): word for v, word in zip(np.atleast_1d(values), words, strict=False) if word in soil_classes()
        }
    else:
        meaning = dict(enumerate(SOIL_CODES, 1))
    if not meaning:
        raise ConcertoError(
            f"{source.path}: flag_meanings of {source.variable.name} name no soil class",
            hint=f"known are {', '.join(soil_classes())}",
        )
    codes = sorted(meaning)
    shares, known, unknown = class_shares(source, domain, codes)
    if unknown:
        notes.append(f"soil: classes {', '.join(map(str, unknown))} of {source.path.name} count as no data")
    best = shares.argmax(axis=1)
    filled = fill(
        source,
        domain,
        known <= 0.0,
        lambda first, last: np.isin(source.codes(first, last), codes),
        lambda row: np.searchsorted(codes, source.codes(row, row + 1)[0]),
        "soil",
        notes,
    )
    for cell, value in filled.items():
        best[cell] = value
    notes.append(f"soil: largest class of {source.variable.name} of {source.path.name} in the cell")
    return np.array([meaning[codes[k]] for k in best], dtype=object)
