"""Figures and tables of docs/land-use.md, from the examples: python docs/land_use_figures.py [folder] [--quick]

Runs examples/land_use (about eight minutes on one core) into the folder, by default build/land_use. What is complete
there is not repeated, and what was interrupted goes on from its checkpoint. Tables are put between the marks of
docs/land-use.md. With --quick (two minutes) runs have twelve years and figures and page go into the folder: to see that
everything works.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np

from concerto.evaluation import land_use as lu
from concerto.evaluation.plots import MODEL, SECOND, WARM, WATER
from concerto.simulation.streams import open_run

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES, IMAGES, PAGE = ROOT / "examples" / "land_use", ROOT / "docs" / "images", ROOT / "docs" / "land-use.md"
GREEN = lu.GREEN
PLACES = ("tropical", "temperate", "boreal")
PERIODS = ((1902, 1950), (1951, 1990), (1991, 2005), (2006, 2020))
ABOVE, CARBON = 0.75, 0.47  # shares: above ground of biomass, carbon of dry matter (assumed)


def commands(quick=False):
    """Runs: name -> words after `concerto run`, those of the comments of the examples; ``quick``: of twelve years."""
    table = "land_use={source: table, files: {table: history.csv}, secondary: single, years: [1901, 2020]}"
    history = ["history.yaml", "domain.resolution=10", "domain.most_tiles=3", table, "forcing={source: embedded}",
               "model.time_step=10800"]  # fmt: skip
    phase = "name: history, kind: run, years: [1901, 2020], climate: {cycle: [1901, 1910]}, land_use: {fixed: 1901}"
    held = f"phases=[{{{phase}}}]"
    cut = "cut_and_regrow.yaml"
    out = {
        "regrow": [cut],
        "pasture": [cut, "land_use.idealised={kind: deforest, years: [2001, 2001]}"],
        "control": [cut, "land_use.idealised={kind: deforest, years: [2001, 2001], fraction: 0}"],
        "fallow": [cut, "land_use={source: table, files: {table: pasture_for_20_years.csv}, secondary: single}"],
        "s3": [*history, "phases.equilibrium.climate=[1901, 1901]", "phases.history.climate={cycle: [1901, 1910]}"],
        "s2": [*history, "initial_state={folder}/s3/state_equilibrium.nc", held],
        "afforestation": ["afforestation.yaml"],
        "no_afforestation": ["no_afforestation.yaml", "initial_state={folder}/afforestation/state_equilibrium.nc"],
    }
    if quick:
        for words in out.values():
            short = {cut: "regrowth.years=[2000, 2011]", "history.yaml": "history.years=[1901, 1912]"}
            words.append(f"phases.{short.get(words[0], 'change.years=[1900, 1911]')}")
    return out


def complete(folder):
    """Whether a run has come to its end."""
    facts = folder / "run.json"
    return facts.is_file() and json.loads(facts.read_text()).get("state") == "complete"


def make(folder, quick=False):
    """Run what is not there or not complete."""
    for name, (file, *words) in commands(quick).items():
        if complete(folder / name):
            continue
        print("run", name, flush=True)
        sets = [part for word in words for part in ("--set", word.replace("{folder}", str(folder)))]
        subprocess.run(
            [sys.executable, "-m", "concerto", "run", EXAMPLES / file, "--out", folder / name, *sets],
            check=True, env=os.environ | {"LUH2": ".", "CRUJRA": "."}, stdout=subprocess.DEVNULL,
        )  # fmt: skip


def write(name, svg):
    (IMAGES / f"land_use_{name}.svg").write_text(svg)


def at(values, k):
    """Value of year k, or the last one of a quick run."""
    return values[min(k, len(values) - 1)]


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    return "\n".join(lines + ["| " + " | ".join(str(v) for v in row) + " |" for row in rows])


def number(value, digits=2):
    return f"{round(float(value), digits) + 0.0:.{digits}f}".replace("-", "−")


# --- clearing and regrowth at three places


def stocks(folder, name):
    with open_run(folder / name, "annual") as ds:
        return {v: ds[v].values.astype(float) for v in ("cVeg", "cLitter", "cSoil", "lai")}


def loss(folder, name):
    """Carbon lost since 2001 against the control, (year, place) kg C m-2; the first row is the start."""
    changed = np.cumsum(lu.eluc(lu.read_land_use(folder / "control"), lu.read_land_use(folder / name))[1:], axis=0)
    return np.vstack([np.zeros(len(PLACES)), changed])


def clearing(folder):
    lost, before = loss(folder, "pasture"), stocks(folder, "control")
    run = lu.read_land_use(folder / "pasture")
    flux = {name: np.cumsum(run.flux[name], axis=0) for name in ("fDeforestToAtmos", "fProductDecomp")}
    panels = []
    for k, place in enumerate(PLACES):
        burned, products = flux["fDeforestToAtmos"][:, k], flux["fProductDecomp"][:, k]
        panels.append((place, [("all", "#2b2f36", lost[:, k]), ("burned", SECOND, burned), ("products", WARM, products),
                               ("litter, soil and growth", GREEN, lost[:, k] - burned - products)], []))  # fmt: skip
    write("clearing", lu.curves(np.arange(len(lost)), panels, "kgC m⁻² lost", "years after clearing", share="row"))
    rows = []
    for k, place in enumerate(PLACES):
        first = [before[v][:10, k].mean() for v in ("cVeg", "cLitter", "cSoil")]
        then = [at(lost, t)[k] for t in (1, 10, 50)]
        rows.append([place, *(number(v, 1) for v in first), *(f"{number(v, 1)} ({v / lost[-1, k]:.0%})" for v in then),
                     number(lost[-1, k], 1), f"{lost[-1, k] / sum(first):.0%}"])  # fmt: skip
    head = ["forest", "vegetation", "litter", "soil", "lost after 1 yr", "10 yr", "50 yr", "100 yr", "of all carbon"]
    return table(head, rows)


def regrowth(folder):
    cut, fallow = stocks(folder, "regrow")["cVeg"], stocks(folder, "fallow")["cVeg"]
    old = stocks(folder, "control")["cVeg"].mean(axis=0)
    tonnes = 10.0 * ABOVE / CARBON  # above-ground dry matter, Mg ha-1 of kg C m-2
    panels = []
    for k, place in enumerate(PLACES):
        ranges = [(20.0, 225.0, 20, "Poorter et al. 2016, after 20 yr")] if k == 0 else []
        lines = [("after a cut", MODEL, cut[1:, k]), ("old growth", "#737c88", np.full(len(cut) - 1, old[k]))]
        lines = [(label, colour, np.append(values, np.nan) * tonnes) for label, colour, values in lines]
        panels.append((place, lines, ranges))
    write(
        "regrowth",
        lu.curves(np.arange(len(cut)), panels, "above-ground biomass, Mg ha⁻¹", "years of growth", share="row"),
    )
    rows = []
    for k, place in enumerate(PLACES):
        share = cut[1:, k] / old[k]
        there = np.flatnonzero(share >= 0.9)
        rows.append([place, number(old[k] * tonnes, 0), *(f"{at(share, t - 1):.0%}" for t in (10, 20, 50, 100)),
                     number(at(cut, 20)[k] * tonnes, 0), f"{there[0] + 1}" if len(there) else "> 100",
                     number(at(fallow, 40)[k] * tonnes, 0)])  # fmt: skip
    head = ["forest", "old growth, Mg ha⁻¹", "10 yr", "20 yr", "50 yr", "100 yr", "after 20 yr, Mg ha⁻¹",
            "90 % after, yr", "20 yr after pasture, Mg ha⁻¹"]  # fmt: skip
    return table(head, rows)


# --- a history


def history(folder):
    s2, s3 = (lu.read_land_use(folder / name) for name in ("s2", "s3"))
    followed = lu.history_of(s3, EXAMPLES)
    result = lu.beside_bookkeeping(s2, s3, followed)
    terms = [result[n] for n in ("minus_lasc", "density_effect", "process_residual")]
    print(f"terms close to {np.abs(result['difference'] - sum(terms)).max():.1e} PgC yr-1")
    write("map", lu.emission_map(s3, s2))
    write("area", lu.area_series(s3))
    write("flows", lu.flow_diagram(lu.flow_matrix(s3, followed) * 1e-12))
    write("uptake", lu.uptake_attribution(s3))
    write("comparison", lu.comparison(result, 10))
    year = result["year"]

    def row(name, values):
        values = np.asarray(values)[-len(year) :]
        return [name, *(number(values[chosen].mean()) if (chosen := (year >= a) & (year <= b)).any() else "–"
                        for a, b in PERIODS)]  # fmt: skip

    flux = s3.flux
    rows = [
        row("uptake without change of land use, S2", s2.total(s2.uptake)),
        row("uptake with it, S3", s3.total(s3.uptake)),
        row("**ELUC of the two runs**, S2 − S3", result["factorial"]),
        row("of it in the air at once: burned", s3.total(flux["fDeforestToAtmos"])),
        row("– decay of products", s3.total(flux["fProductDecomp"])),
        row("– the rest: litter, soil, growth, lost sinks",
            result["factorial"] - s3.total(flux["fLuc"])[1:] - s3.total(flux.get("seed_carbon", 0 * flux["fLuc"]))[1:]),
        row("**ELUC of bookkeeping**, densities of 1901–1910", result["bookkeeping"]),
        row("+ lost sinks, −LASC", result["minus_lasc"]),
        row("+ densities of each year", result["density_effect"]),
        row("+ processes that the two treat differently", result["process_residual"]),
    ]  # fmt: skip
    head = ["PgC yr⁻¹", *(f"{a}–{b}" for a, b in PERIODS)]
    names = ("deforestation", "shifting_source", "wood_harvest", "regrowth", "shifting_sink", "other_transitions")
    parts = [row(name.replace("_", " "), result["table"][name]) for name in names]
    return table(head, rows), table(head, parts)


# --- afforestation


def afforestation(folder):
    s2, s3 = (lu.read_land_use(folder / name) for name in ("no_afforestation", "afforestation"))
    gained = -np.cumsum(s2.total(lu.eluc(s2, s3)))
    forest = (s3.kinds - s2.kinds)[:, :, 1] @ s3.area  # m2
    weight = s3.area / s3.area.sum()
    names = {"evspsbl": 86400.0 * 365.25, "hfls": 1.0, "hfss": 1.0, "rns": 1.0, "rsus": 1.0, "lai": 1.0, "ts": 1.0}
    change = {}
    for name, factor in names.items():
        values = []
        for run in ("no_afforestation", "afforestation"):
            with open_run(folder / run, "annual") as ds:
                values.append(lu._cells(ds[name].values, s3.domain) @ weight * factor)
        change[name] = (values[1] - values[0]) / np.maximum(forest[-1] / s3.area.sum(), 1e-9)  # per area of new forest
    year = s3.year
    panels = [
        ("carbon gained, PgC", [("carbon", GREEN, gained)], []),
        ("evaporation, mm yr⁻¹ of new forest", [("evaporation", WATER, change["evspsbl"])], []),
        ("heat, W m⁻² of new forest", [("net radiation", WARM, change["rns"]), ("latent", WATER, change["hfls"]),
                                       ("sensible", SECOND, change["hfss"])], []),
    ]  # fmt: skip
    write("afforestation", lu.curves(year, panels, ""))
    rows = []
    digits = {"lai": 1, "evspsbl": 0, "rsus": 1, "rns": 1, "hfls": 1, "hfss": 1}
    for k in [k for k in (20, 40, 60, 80, 100) if k < len(year)] or [len(year) - 1]:
        means = (number(change[name][k - 9 : k + 1].mean(), d) for name, d in digits.items())
        rows.append([year[k], number(gained[k]), number(gained[k] * 1e12 / max(forest[k], 1.0), 1), *means])
    head = ["year", "carbon, PgC", "kgC m⁻²", "LAI", "evaporation, mm yr⁻¹", "reflected, W m⁻²", "net radiation",
            "latent heat", "sensible heat"]  # fmt: skip
    return table(head, rows)


def main(folder, quick=False):
    global IMAGES, PAGE
    page = PAGE.read_text()
    if quick:
        IMAGES, PAGE = folder / "images", folder / PAGE.name
    IMAGES.mkdir(parents=True, exist_ok=True)
    make(folder, quick)
    tables = {"clearing": clearing(folder), "regrowth": regrowth(folder), "afforestation": afforestation(folder)}
    tables["eluc"], tables["budget"] = history(folder)
    text = page
    for name, rows in tables.items():
        print(f"\n{name}\n{rows}")
        found = re.compile(rf"(?<=<!-- {name} -->\n).*?(?=<!-- end -->)", flags=re.S)
        text, times = found.subn(lambda _, rows=rows: rows + "\n", text, count=1)
        if not times:
            sys.exit(f"{PAGE} has no marks for the table {name}")
    PAGE.write_text(text)


if __name__ == "__main__":
    words = [word for word in sys.argv[1:] if word != "--quick"]
    default = ROOT / "build" / ("land_use_quick" if "--quick" in sys.argv else "land_use")
    main(Path(words[0] if words else default).absolute(), "--quick" in sys.argv)
