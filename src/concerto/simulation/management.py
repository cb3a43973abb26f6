"""Management in the run of one place: settings that cannot act, what to know before, what was done in the end."""

from __future__ import annotations

import numpy as np

from concerto.errors import ConcertoError
from concerto.tables import loader

GRAMS = 3.15576e7 * 1000.0  # kg m-2 s-1 -> g m-2 yr-1
DATES = 4  # as many are named; of more only the first and the last
SINCE_CUT = 3  # place in management_memory: days since mowing, counted from 1

# parameter -> what it needs: option, its choice, plants that it acts on
NEEDS = {
    "fertiliser": ("nitrogen", "cn", None),
    "residue_left": ("crops", "calendar", "crops"),
    "livestock_density": ("grazing", "livestock", "herbs"),
    "mowing_leaf_area": ("grazing", "mowing", "herbs"),
    "irrigated": ("irrigation", "demand", None),
    **{name: ("crops", "calendar", "crops") for name in loader.parameters() if name.startswith("crop_")},
}


def plants_of(tiles, kind) -> np.ndarray:
    """Which tiles have plants of a kind (None: any), ``crops`` that are sown or ``herbs``."""
    if kind == "crops":
        return tiles.parameter("annual_crop") > 0.5
    if kind == "herbs":
        return (tiles.parameter("woody") < 0.5) & (tiles.pft > 0)
    return np.ones(tiles.n_tile, dtype=bool)


def _types(tiles, members=None) -> str:
    """Names of the plant types of some tiles, each once."""
    names = loader.pft_names()
    chosen = tiles.pft if members is None else tiles.pft[members]
    return ", ".join(dict.fromkeys(names[p] for p in chosen))


def refuse_idle(tiles, given) -> None:
    """Refuse parameters that somebody set and that nothing reads; one that has its value anyway may be given.

    Parameters
    ----------
    tiles : Tiles with all its options and parameters
    given : names of the parameters that were given

    Raises
    ------
    ConcertoError
        Names the parameter and what it needs.
    """
    table = loader.parameters()
    for name in given:
        if name not in NEEDS or np.array_equal(tiles.parameter(name), np.array(table[name].values)[tiles.pft]):
            continue
        option, choice, kind = NEEDS[name]
        if tiles.option(option) != choice:
            raise ConcertoError(
                f"parameter {name} has no effect: option {option} is {tiles.option(option)}",
                hint=f"add --option {option}={choice}, or leave {name} out",
            )
        if not plants_of(tiles, kind).any():
            raise ConcertoError(
                f"parameter {name} has no effect: there are no {kind} here (plant types {_types(tiles)})",
                hint=f"choose the plant type with --pft, or leave {name} out",
            )


def notes(tiles) -> list[str]:
    """What to know of the management of a run: options that find nothing to act on, and leaf area that is given."""
    out, grazing = [], tiles.option("grazing")
    crops, herbs = plants_of(tiles, "crops"), plants_of(tiles, "herbs")
    if tiles.option("crops") == "calendar" and not crops.any():
        out.append(f"crops=calendar: no crop is here ({_types(tiles)}), nothing is sown or harvested")
    if grazing != "off":
        word, name = {
            "livestock": ("eaten", "livestock_density"), "mowing": ("mown", "mowing_leaf_area"),
        }[grazing]  # fmt: skip
        used = herbs & (tiles.parameter(name) > 0.0)
        if not herbs.any():
            out.append(f"grazing={grazing}: no herbs are here ({_types(tiles)}), nothing is {word}")
        elif not used.any():
            of = _types(tiles, herbs)
            out.append(f"grazing={grazing}: {name} of {of} is 0, nothing is {word} (--set {name}=...)")
        elif tiles.option("phenology") == "prescribed":
            out.append(
                f"grazing={grazing}: leaf area is that of the file, so that what is {word} lowers neither leaf area "
                "nor GPP (--option phenology=gsi: it does)"
            )
    if tiles.option("irrigation") == "demand":
        held = np.maximum(tiles.parameter("hold_soil_water"), tiles.parameter("outside_water")) > 0.5
        if (tiles.parameter("hold_soil_water") > 0.5).all():
            out.append("irrigation=demand: no precipitation, soil water is held; nothing is irrigated")
        elif held.all():
            out.append("irrigation=demand: outside_water is 1, plants have their water; nothing is irrigated")
        elif not (tiles.parameter("irrigated") > 0.0).any():
            of = _types(tiles)
            out.append(f"irrigation=demand: irrigated of {of} is 0, nothing is irrigated (--set irrigated=1)")
    return out


def start_bare(tiles) -> str:
    """Fields of the crop calendar without plants, with the seed of a sowing: how they lie before it is sown.

    For tiles as :func:`concerto.simulation.spinup.initialise` leaves them, which are full of leaves. Returns words on
    it, empty without such fields.
    """
    field = plants_of(tiles, "crops")
    if tiles.option("crops") != "calendar" or not field.any():
        return ""
    seed = tiles.parameter("crop_sowing_carbon")
    for name in ("labile", "leaf", "fine_root", "sapwood", "heartwood"):
        tiles.set(f"carbon_{name}", np.where(field, 0.0, tiles.get(f"carbon_{name}")))
    tiles.set("carbon_seed", np.where(field, seed, tiles.get("carbon_seed")))
    tiles.set("labile_30d", np.where(field, 0.0, tiles.get("labile_30d")))
    tiles.set("leaf_area", np.where(field, 0.0, tiles.get("leaf_area")))
    nitrogen = tiles.get("nitrogen_plant")
    nitrogen[field] = 0.0
    nitrogen[field, -1] = (seed / tiles.parameter("seed_cn"))[field]
    tiles.set("nitrogen_plant", nitrogen)
    return "; fields of crops bare"


def followed_for_totals(tiles) -> tuple[list[str], list[str]]:
    """Outputs that management adds, and states that only its totals need (not written)."""
    more = ["manure_carbon"] if (tiles.parameter("manure") > 0.0).any() else []
    states = ["crop_memory"] if tiles.option("crops") == "calendar" and plants_of(tiles, "crops").any() else []
    states += ["management_memory"] if tiles.option("grazing") == "mowing" else []
    return more, states


def _dates(days) -> str:
    """Dates in words: all of a few, else how many and from when to when."""
    days = [str(day) for day in days]
    if len(days) <= DATES:
        return ", ".join(days)
    return f"{len(days)} times, {days[0]} to {days[-1]}"


def _days(event, ends, time_start) -> np.ndarray:
    """UTC days at whose end something happened; ``event`` (step,) is True from the step that shows it first on."""
    first = np.flatnonzero(event[1:] & ~event[:-1]) + 1
    day = np.asarray(time_start).astype("datetime64[D]")
    return day[np.where(np.asarray(ends)[first] > 0, first, first - 1)]


def harvest_words(tiles, results, weights) -> str:
    """Harvest of all kinds in a year, its parts where there are several, and the net uptake that is left; or ''."""
    field = plants_of(tiles, "crops") & (tiles.option("crops") == "calendar")
    meadow = plants_of(tiles, "herbs") & ~field & (tiles.option("grazing") != "off")
    if "harvest_carbon" not in results or not (field | meadow).any():
        return ""
    weights = np.asarray(weights)

    def grams(values, members=slice(None)):
        return round(float((values[:, members] @ weights[members]).mean()) * GRAMS)

    harvest, parts = results["harvest_carbon"], []
    if field.any():
        residue = results["residue_carbon"] if "residue_carbon" in results else np.zeros_like(harvest)
        parts += [f"grain less seed {grams(harvest - residue, field)}", f"residue {grams(residue, field)}"]
    if meadow.any():
        word = {"mowing": "hay", "livestock": "livestock products"}[tiles.option("grazing")]
        parts.append(f"{word} {grams(harvest, meadow)}")
    split = f" ({', '.join(parts)})" if parts else ""
    return f"{grams(harvest)} gC m-2 yr-1{split}, net uptake with it {grams(results['nbp'])}"


def totals(tiles, results, weights, states=None, ends=(), time_start=()) -> dict[str, str]:
    """What was done to fields and pastures in a run, in words; only what is on.

    Parameters
    ----------
    tiles : Tiles of the run
    results : name -> (step, tile), outputs of the run
    weights : shares of the tiles
    states : name -> (step, tile, place) of the states that :func:`followed_for_totals` asked for
    ends : (step,), 1 where a UTC day ends
    time_start : (step,), starts of the steps, UTC

    Returns
    -------
    dict of short lines, empty without management
    """
    weights, states, out = np.asarray(weights), states or {}, {}

    def mean(name):
        return float((results[name] @ weights).mean())

    if "irrigation" in results:
        out["irrigation"] = f"{mean('irrigation') * GRAMS / 1000.0:.0f} mm yr-1"
    if "grazing_carbon" in results and plants_of(tiles, "herbs").any():
        out["livestock"] = (
            f"eaten {mean('grazing_carbon') * GRAMS:.0f}, to the air {mean('grazing_emission') * GRAMS:.0f} "
            f"gC m-2 yr-1, of it methane {mean('grazing_methane') * GRAMS:.1f}"
        )
    brought = {name: (tiles.parameter(name) > 0.0).any() for name in ("fertiliser", "manure")}
    for name in brought:
        if brought[name] and f"{name}_nitrogen" in results:
            out[name] = f"{mean(f'{name}_nitrogen') * GRAMS:.2f} gN m-2 yr-1"
    if brought["manure"] and "manure_carbon" in results:
        carbon = f"{mean('manure_carbon') * GRAMS:.0f} gC m-2 yr-1"
        out["manure"] = f"{out['manure']}, {carbon}" if "manure" in out else carbon
    if any(brought.values()) and "nitrous_oxide" in results:
        out["N2O"] = f"{mean('nitrous_oxide') * GRAMS:.3f} gN m-2 yr-1"
    names, several = loader.pft_names(), tiles.n_tile > 1

    def of_tile(k, words):
        return f"{names[tiles.pft[k]]} {words}" if several else words

    if "crop_memory" in states:
        rows = {"sown": [], "harvested": []}
        for k in np.flatnonzero(plants_of(tiles, "crops")):
            grows = states["crop_memory"][:, k, 0] > 0.5
            for name, event in (("sown", grows), ("harvested", ~grows)):
                rows[name].append(of_tile(k, _dates(_days(event, ends, time_start)) or "never in this record"))
        utc = {name: " (UTC days)" if any(c.isdigit() for c in "".join(words)) else "" for name, words in rows.items()}
        out |= {name: "; ".join(words) + utc[name] for name, words in rows.items()}
    if "management_memory" in states:
        words, after = [], int(np.argmax(np.asarray(ends) > 0)) + 1  # leaves of the start are those of no day
        for k in np.flatnonzero(plants_of(tiles, "herbs") & (tiles.parameter("mowing_leaf_area") > 0.0)):
            days = _days(np.abs(states["management_memory"][:, k, SINCE_CUT] - 1.0) < 1e-6, ends, time_start)
            text = f"{len(days)} {'time' if len(days) == 1 else 'times'}"
            if len(days):
                dates = _dates(days)
                text += f", {dates.partition(', ')[2]}" if len(days) > DATES else f", {dates}"
                text += " (UTC days)"
            else:
                area = results["carbon_leaf"][after:, k].max(initial=0.0) * tiles.parameter("specific_leaf_area")[k]
                limit = tiles.parameter("mowing_leaf_area")[k]
                text += f": leaf carbon is enough for a leaf area of {area:.2f} at most, mowing_leaf_area is {limit:g}"
            words.append(of_tile(k, text))
        if words:
            out["mown"] = "; ".join(words)
    return out
