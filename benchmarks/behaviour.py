"""Behaviour of the coupled model at towers: stocks, fluxes and transit times beside a plausibility envelope, nitrogen
budgets, skill with and without nitrogen and disequilibrium, responses to CO2, warmth and nitrogen, soil respiration.

    python benchmarks/behaviour.py --data DATA [--out behaviour.json] [--figures docs/images]
                                   [--parts budget,response,soil] [--sites FI-Hyy,DK-Sor] [--years 10]
                                   [--deposition 0.13]

DATA holds the tower files (``sites/*.nc``) and the chambers (``ancillary/soil_respiration/*.nc``). Variants of
parameters are tiles of one batch and experiments are cells of one forcing, so that many cost little more than one.
"""

import argparse
import json
from pathlib import Path

import numpy as np

import concerto as co
from concerto.simulation.spinup import spin_up_tiles
from concerto.simulation.tiles import Tiles
from concerto.simulation.transient import warmed
from concerto.tables import loader

YEAR = 3.15576e7
UMOL = 1.0e9 / 12.011  # umol of carbon in a kg
GRAMS = YEAR * 1e3  # kg m-2 s-1 -> g m-2 yr-1
PLANT = ("labile", "leaf", "fine_root", "sapwood", "heartwood", "seed")
FLUXES = ("gpp", "ra", "rh", "npp", "litterfall", "leaf_area")
NITROGEN = (
    "nitrogen_uptake", "net_mineralisation", "nitrogen_fixation", "nitrification", "nitrous_oxide", "dinitrogen",
    "nitrogen_leaching",
)  # fmt: skip
# GPP, NPP (g m-2 yr-1), peak leaf area, vegetation carbon, soil carbon to 1 m (kg m-2): typical ranges of natural,
# mature vegetation by biome (forests bracket the means of Luyssaert et al. 2007)
ENVELOPE = {
    "tropical forest": ((2800, 3600), (850, 1400), (4.5, 7), (12, 25), (8, 15)),
    "savanna": ((800, 1800), (350, 900), (1, 3), (1, 6), (4, 10)),
    "temperate deciduous forest": ((1200, 1700), (550, 850), (4, 6), (8, 18), (8, 18)),
    "temperate evergreen forest": ((1200, 2100), (550, 950), (3, 7), (8, 25), (8, 18)),
    "mediterranean woodland": ((700, 1500), (300, 800), (1.5, 3.5), (3, 9), (5, 12)),
    "cropland": ((600, 1600), (300, 800), (2, 6), (0.2, 0.8), (6, 14)),
    "boreal evergreen forest": ((550, 1100), (200, 400), (2, 4), (3, 8), (10, 30)),
    "tundra": ((100, 450), (60, 220), (0.5, 2), (0.3, 1.2), (15, 40)),
    "semi-desert": ((0, 300), (0, 150), (0, 0.6), (0, 0.5), (1, 5)),
}
BIOME = {
    "AU-How": "savanna", "AU-Tum": "temperate evergreen forest", "CG-Tch": "savanna",
    "DE-Tha": "temperate evergreen forest", "DK-Sor": "temperate deciduous forest",
    "FI-Hyy": "boreal evergreen forest",
    "FR-Pue": "mediterranean woodland", "GF-Guy": "tropical forest", "NL-Loo": "temperate evergreen forest",
    "SE-Htm": "temperate evergreen forest", "US-Atq": "tundra", "US-Bo1": "cropland",
    "US-NR1": "boreal evergreen forest",
    "US-Ne1": "cropland", "US-Tw3": "cropland", "US-Wkg": "semi-desert",
}  # fmt: skip
RESPONSE_SITES = ("FI-Hyy", "DK-Sor", "DE-Tha", "FR-Pue", "GF-Guy", "US-NR1", "US-Ne1")
EXPERIMENTS = ("control", "CO2 376 to 550 ppm", "CO2 +200 ppm", "+2 K", "N +2", "N +5", "N +10", "CO2 550 ppm and N +5")
AMBIENT = 376.0  # ppm, control of the four forest FACE experiments (Norby et al. 2005)


# --- running


def batch(path, variants, options=None):
    """A site's tiles once for each variant (dict of parameters); returns the site run, tiles and weights."""
    run = co.open_site(path, options=options)
    k, n = len(run.tiles.pft), len(variants)
    cells = np.zeros(k * n, dtype=int)
    tiles = Tiles(np.tile(run.tiles.pft, n), run.tiles.time_step, cell=cells, options=run.tiles.options)
    for name in loader.parameters():
        values = np.tile(run.tiles.parameter(name), n)
        for j, variant in enumerate(variants):
            if name in variant:
                values[j * k : (j + 1) * k] = variant[name]
        tiles.set_parameter(name, values, check=False)
    return run, tiles, np.asarray(run.weights)


def cell_means(values, weights):
    """(..., variant x tile) -> (..., variant)."""
    values = np.asarray(values)
    return (values.reshape(*values.shape[:-1], -1, len(weights)) * weights).sum(axis=-1)


def stocks(tiles, weights):
    """Pools by name, kg m-2, (variant,); nitrogen in g m-2."""
    layers = loader.layers()["carbon_layer"]
    out = {name: cell_means(tiles.get(f"carbon_{name}"), weights) for name in PLANT}
    soil = tiles.get("soil_carbon").reshape(tiles.n_tile, -1, layers)  # tile, pool, layer
    out["litter"] = cell_means(soil[:, :3].sum(axis=(1, 2)), weights)
    out["coarse debris"] = cell_means(soil[:, 6].sum(axis=1), weights)
    out["soil"] = cell_means(soil[:, 3:6].sum(axis=(1, 2)), weights)
    out["soil to 1 m"] = cell_means(soil[:, 3:6, :7].sum(axis=(1, 2)), weights)
    if tiles.option("nitrogen") == "cn":
        out["plant N"] = cell_means(tiles.get("nitrogen_plant").sum(axis=1), weights) * 1e3
        out["soil N"] = cell_means(tiles.get("soil_nitrogen").sum(axis=1), weights) * 1e3
        out["ammonium"] = cell_means(tiles.get("ammonium").sum(axis=1), weights) * 1e3
        out["nitrate"] = cell_means(tiles.get("nitrate").sum(axis=1), weights) * 1e3
    return out


def mean_error(model, observed):
    """Normalised mean error of the steps that were measured."""
    good = np.isfinite(observed)
    if good.sum() < 50:
        return np.nan
    return float(np.abs(model - observed)[good].sum() / np.abs(observed[good] - observed[good].mean()).sum())


def run_variants(path, variants, options=None):
    """Spin up and run the variants; one dict of numbers for each."""
    run, tiles, weights = batch(path, variants, options)
    solved = spin_up_tiles(tiles, run.forcing, run.ends, run.site.time_start, lambda steps: None)
    start = stocks(tiles, weights)
    names = FLUXES + ((*NITROGEN, "leaf_nitrogen_factor") if tiles.option("nitrogen") == "cn" else ())
    found = tiles.advance(run.forcing, run.ends, names)
    flux = {name: cell_means(found[name], weights) for name in names}
    observed = run.site.observations
    flag = observed.get("NEE_qc")
    rows = []
    for j in range(len(variants)):
        row = {name: float(flux[name][:, j].mean() * GRAMS) for name in names if name not in ("leaf_area",)}
        row["peak leaf area"] = float(np.percentile(flux["leaf_area"][:, j], 98))
        row["converged"] = bool(np.all(solved["converged"]))
        if "leaf_nitrogen_factor" in flux:
            gpp = flux["gpp"][:, j]
            row["leaf_nitrogen_factor"] = float((flux["leaf_nitrogen_factor"][:, j] * gpp).sum() / gpp.sum())
        respiration = flux["ra"][:, j] + flux["rh"][:, j]
        series = {"GPP": flux["gpp"][:, j], "NEE": respiration - flux["gpp"][:, j], "Reco": respiration}
        for name, values in series.items():
            if name in observed:
                tower = observed[name] if flag is None else np.where(flag == 0, observed[name], np.nan)
                row[f"{name} NME"] = mean_error(values * UMOL, tower)
                good = np.isfinite(tower)
                row[f"{name} mean"] = float(values[good].mean() * UMOL)
                row[f"{name} tower"] = float(tower[good].mean())
        row |= {name: float(values[j]) for name, values in start.items()}
        rows.append(row)
    return rows


VARIANTS = {
    "default": {},
    "wood in equilibrium": {"stand_age": 0.0},
    "soil at 0.85": {"soil_equilibrium_fraction": 0.85},
}


def budget(paths, save):
    """Default, equilibrium and disequilibrium at every site, without and with nitrogen."""
    out = {}
    for site, path in paths.items():
        out[site] = {}
        for nitrogen in ("c_only", "cn"):
            rows = run_variants(path, list(VARIANTS.values()), {"nitrogen": nitrogen})
            out[site][nitrogen] = dict(zip(VARIANTS, rows, strict=True))
        print("budget", site, flush=True)
        save(out)
    return out


# --- responses


def experiments(forcing, deposition=None):
    """The forcing of a cell (1, column, step) as one cell for each experiment; deposition in g m-2 yr-1."""
    column = {name: entry.column - 1 for name, entry in loader.variables("forcing").items()}
    base = np.array(forcing, order="F")
    base[:, column["co2"]] = AMBIENT
    if deposition is not None:
        base[:, column["nitrogen_deposition"]] = deposition * 1e-3 / YEAR
    cells = [base.copy() for _ in EXPERIMENTS]
    cells[1][:, column["co2"]] = 550.0
    cells[2][:, column["co2"]] = AMBIENT + 200.0
    cells[3] = warmed(base, 2.0)
    for k, grams in ((4, 2.0), (5, 5.0), (6, 10.0), (7, 5.0)):
        cells[k][:, column["nitrogen_deposition"]] += grams * 1e-3 / YEAR
    cells[7][:, column["co2"]] = 550.0
    return np.asfortranarray(np.concatenate(cells))


def respond(path, nitrogen, years, deposition=None):
    """Equilibrium at 376 ppm, then the experiments side by side through recycled years: lists (year, experiment)."""
    options = {"nitrogen": nitrogen}
    run, tiles, weights = batch(path, [{"stand_age": 0.0, "soil_equilibrium_fraction": 1.0}], options)
    forcing = experiments(run.forcing, deposition)
    per_day = int(round(86400 / tiles.time_step))
    whole = max(int(len(run.ends) / per_day / 365.0), 1)
    length = min(len(run.ends), whole * 365 * per_day)
    spin_up_tiles(tiles, np.asfortranarray(forcing[:1]), run.ends, run.site.time_start, lambda steps: None)
    k, n = len(weights), len(EXPERIMENTS)
    many = Tiles(np.tile(tiles.pft, n), tiles.time_step, cell=np.repeat(np.arange(n), k), options=tiles.options)
    many.parameters = many._blocks(np.tile(tiles._unblock(tiles.parameters), (n, 1)))
    many.state = many._blocks(np.tile(tiles._unblock(tiles.state), (n, 1)))
    names = ("gpp", "npp", "ra", "rh", "nbp", "leaf_area", "vegetation_carbon", "litter_carbon", "soil_organic_carbon")
    names += (*NITROGEN, "leaf_nitrogen_factor") if nitrogen == "cn" else ()
    out = {name: [] for name in names}
    for year in range(years):
        first = (year % whole) * 365 * per_day
        cut = slice(first, min(first + 365 * per_day, length))
        ends = run.ends[cut].copy()
        ends[-1] = 1
        found = many.advance(np.asfortranarray(forcing[:, :, cut]), ends, names)
        for name in names:
            values = found[name]
            if name == "leaf_nitrogen_factor":  # weighted by photosynthesis
                values, gpp = values * found["gpp"], found["gpp"].mean(axis=0)
                values = cell_means(values.mean(axis=0), weights) / cell_means(gpp, weights)
            else:
                values = cell_means(values.mean(axis=0), weights)
            out[name].append(values.tolist())
    return out


def response(paths, years, save, deposition=None):
    out = {}
    for site in RESPONSE_SITES:
        if site in paths:
            out[site] = {n: respond(paths[site], n, years, deposition) for n in ("c_only", "cn")}
            print("response", site, flush=True)
            save(out)
    return out


# --- soil respiration

CHAMBERS = {  # file: name, tower of a like climate and vegetation, title, the tower stands there
    "US-Wkg_2017-2019.nc": ("Walnut Gulch", "US-Wkg", "semi-arid grassland, the same site, other years"),
    "willow_creek_2011-2012.nc": ("Willow Creek", "DK-Sor", "deciduous forest, model: beech forest in Denmark"),
    "haibei_alpine_2008-2013.nc": ("Haibei", "US-NR1", "alpine meadow, model: subalpine conifers in Colorado"),
    "palangkaraya_drained_peat_2004-2006.nc": ("Palangkaraya", "GF-Guy", "drained peat, model: forest in Guiana"),
}


def soil_respiration(path):
    """Daily respiration, heterotrophic and with fine roots (umol m-2 s-1), and soil temperature at 0.1 m (degC)."""
    run, tiles, weights = batch(path, [{}])
    spin_up_tiles(tiles, run.forcing, run.ends, run.site.time_start, lambda steps: None)
    found = tiles.advance(run.forcing, run.ends, ("rh", "carbon_fine_root", "soil_temperature"))
    warm = found["soil_temperature"][:, :, 4] - 293.15  # 0.16 to 0.28 m, where half of the roots are above
    rate = tiles.parameter("root_respiration") * tiles.parameter("respiration_factor") / tiles.parameter("root_cn")
    root = found["carbon_fine_root"] * rate * tiles.parameter("maintenance_q10") ** (warm / 10.0)
    per_day = int(round(86400 / tiles.time_step))
    days = len(run.ends) // per_day

    def daily(values):
        return values[: days * per_day].reshape(days, per_day).mean(axis=1)

    heterotrophic = daily(cell_means(found["rh"], weights)) * UMOL
    months = run.site.time_local[: days * per_day : per_day].astype("datetime64[M]").astype(int) % 12
    return {
        "month": months.tolist(),
        "rh": heterotrophic.tolist(),
        "rs": (heterotrophic + daily(cell_means(root, weights)) * UMOL).tolist(),
        "temperature": daily(cell_means(found["soil_temperature"][:, :, 3], weights) - 273.15).tolist(),
    }


def chambers(path):
    """Daily means of a chamber file: month, temperature of the shallowest sensor (degC), Rs and Rh (umol m-2 s-1)."""
    import xarray as xr

    with xr.open_dataset(path) as ds:
        shallow = min((float(v.split("_")[1]), v) for v in ds.data_vars if v.startswith("Tsoil"))[1]
        frame = ds[[v for v in ("Rs", "Rh", shallow) if v in ds]].to_dataframe()
        enough = frame["Rs"].resample("D").count() >= 18
        frame = frame.resample("D").mean()[enough]
        out = {"temperature": frame[shallow].tolist(), "rs": frame["Rs"].tolist()}
        out["month"] = (frame.index.month - 1).tolist()
        if "Rh" in frame:
            out["rh"] = frame["Rh"].tolist()
        return out


def soil(paths, data, save):
    out = {}
    for file, (name, site, _) in CHAMBERS.items():
        path = data / "ancillary" / "soil_respiration" / file
        if path.exists() and site in paths:
            out[name] = {"chambers": chambers(path), "model": soil_respiration(paths[site]), "site": site}
            print("soil", name, flush=True)
            save(out)
    return out


# --- words and figures


def outside(value, bounds):
    """A value for the table, marked where it lies outside its bounds by more than a tenth."""
    mark = "↑" if value > 1.1 * bounds[1] else "↓" if value < 0.9 * bounds[0] else ""
    digits = 0 if abs(value) >= 30 else 1 if abs(value) >= 1 else 2
    return f"{value:.{digits}f}{mark}"


def budget_text(found):
    """Tables in Markdown."""
    lines = [
        "| site | GPP | NPP | NPP/GPP | peak LAI | leaf | root | wood | plants | litter, debris | soil to 1 m | "
        "transit |",
        "|" + 12 * "---|",
    ]
    for site, runs in found.items():
        now, rest = runs["c_only"]["default"], runs["c_only"]["wood in equilibrium"]
        gpp, npp, lai, veg, soil_range = ENVELOPE[BIOME[site]]
        wood = rest["sapwood"] + rest["heartwood"]
        plants = sum(rest[p] for p in PLANT)
        dead = rest["litter"] + rest["coarse debris"] + rest["soil"]
        lines.append(
            f"| {site} | {outside(now['gpp'], gpp)} | {outside(now['npp'], npp)} | {now['npp'] / now['gpp']:.2f} | "
            f"{outside(now['peak leaf area'], lai)} | {rest['leaf']:.2f} | {rest['fine_root']:.2f} | "
            f"{wood:.1f} | {plants:.1f}{outside(plants, veg).strip('0123456789.')} | "
            f"{rest['litter'] + rest['coarse debris']:.1f} | {outside(rest['soil to 1 m'], soil_range)} | "
            f"{plants / rest['npp'] * 1e3:.0f}, {dead / rest['npp'] * 1e3:.0f} |"
        )
    lines += [
        "",
        "| site | factor | NPP cn/c_only | uptake | mineralisation | fixation | leaching | N2O | N2 | plant N | "
        "soil N | NH4, NO3 |",
        "|" + 12 * "---|",
    ]
    for site, runs in found.items():
        cn, c = runs["cn"]["default"], runs["c_only"]["default"]
        lines.append(
            f"| {site} | {cn['leaf_nitrogen_factor']:.2f} | {cn['npp'] / c['npp']:.2f} | {cn['nitrogen_uptake']:.1f} | "
            f"{cn['net_mineralisation']:.1f} | {cn['nitrogen_fixation']:.2f} | {cn['nitrogen_leaching']:.3f} | "
            f"{cn['nitrous_oxide']:.3f} | {cn['dinitrogen']:.2f} | {cn['plant N']:.0f} | {cn['soil N']:.0f} | "
            f"{cn['ammonium']:.1f}, {cn['nitrate']:.2f} |"
        )
    lines += ["", "| median NME | GPP | NEE | Reco |", "|---|---|---|---|"]
    for nitrogen in ("c_only", "cn"):
        for variant in VARIANTS:
            rows = [runs[nitrogen][variant] for runs in found.values()]
            fluxes = ("GPP", "NEE", "Reco")
            scores = [np.nanmedian([row.get(f"{flux} NME", np.nan) for row in rows]) for flux in fluxes]
            lines.append(f"| {nitrogen}, {variant} | " + " | ".join(f"{s:.3f}" for s in scores) + " |")
    return "\n".join(lines)


def effect(run, name, experiment, years=slice(None)):
    """Ratio of an experiment to the control over the years, less 1."""
    values = np.asarray(run[name])[years]
    return float(values[:, experiment].mean() / values[:, 0].mean() - 1.0)


def response_text(found):
    lines = [
        "| site | | NPP +174 ppm, years 1-3 | last 3 years | GPP +174 ppm | NPP +2 K | Rh +2 K, year 1 | last | "
        "NPP N +2 | N +5 | N +10 | CO2 and N |",
        "|" + 12 * "---|",
    ]
    first, last, all_years = slice(0, 3), slice(-3, None), slice(None)
    for site, both in found.items():
        for nitrogen, run in both.items():
            numbers = [
                effect(run, "npp", 1, first), effect(run, "npp", 1, last), effect(run, "gpp", 1, all_years),
                effect(run, "npp", 3, last), effect(run, "rh", 3, slice(0, 1)), effect(run, "rh", 3, last),
                *(effect(run, "npp", k, last) for k in (4, 5, 6, 7)),
            ]  # fmt: skip
            lines.append(f"| {site} | {nitrogen} | " + " | ".join(f"{100 * x:+.0f} %" for x in numbers) + " |")
    for nitrogen in ("c_only", "cn"):
        runs = [both[nitrogen] for both in found.values()]
        value = np.median([effect(run, "npp", 1, all_years) for run in runs])
        lines.append(f"\nMedian NPP response to 376 to 550 ppm, {nitrogen}: {100 * value:+.0f} % (FACE +23 +- 2 %).")
    return "\n".join(lines)


def response_figure(found, path):
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    fig, axes = plt.subplots(2, 2, figsize=(9, 6.4), constrained_layout=True)
    colours = plt.get_cmap("tab10")
    panels = (
        (axes[0, 0], 1, "npp", "NPP, CO$_2$ 376 to 550 ppm"), (axes[0, 1], 3, "npp", "NPP, +2 K"),
        (axes[1, 0], 3, "rh", "Heterotrophic respiration, +2 K"),
        (axes[1, 1], 5, "npp", "NPP, +5 g N m$^{-2}$ yr$^{-1}$"),
    )  # fmt: skip
    for ax, experiment, name, title in panels:
        for k, (site, both) in enumerate(found.items()):
            for nitrogen, style in (("c_only", ":"), ("cn", "-")):
                values = np.asarray(both[nitrogen][name])
                change = 100 * (values[:, experiment] / values[:, 0] - 1)
                label = site if nitrogen == "cn" else None
                ax.plot(np.arange(1, len(change) + 1), change, style, color=colours(k), label=label)
        ax.axhline(0, color="0.6", lw=0.8)
        ax.set_title(title, fontsize=10)
        ax.set_xlabel("year after the step")
        ax.set_ylabel("change, %")
    axes[0, 0].axhspan(21, 25, color="0.85", zorder=0)
    right = {"xycoords": ("axes fraction", "data"), "ha": "right", "fontsize": 8}
    axes[0, 0].annotate("four forest FACE sites", (0.68, 23), va="center", **right)
    axes[1, 1].axhline(29, color="0.5", ls="--", lw=1)
    axes[1, 1].set_ylim(top=33)
    axes[1, 1].annotate("mean of fertilised stands", (0.98, 29.6), va="bottom", **right)
    handles, labels = axes[0, 0].get_legend_handles_labels()
    handles += [plt.Line2D([], [], color="0.3", ls="-"), plt.Line2D([], [], color="0.3", ls=":")]
    fig.legend(handles, [*labels, "with nitrogen", "carbon only"], loc="outside lower center", ncol=5, fontsize=8)
    fig.savefig(path)
    plt.close(fig)


def soil_figure(found, path):
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    fig, axes = plt.subplots(2, 4, figsize=(9, 5), constrained_layout=True, squeeze=False)
    words = {name: title for name, _, title in CHAMBERS.values()}
    for k, (name, data) in enumerate(found.items()):
        top, below = axes[0, k], axes[1, k]
        for kind, colour in (("chambers", "0.35"), ("model", "tab:red")):
            part = data[kind]
            for flux, style in (("rs", "-"), ("rh", "--")):
                if flux not in part:
                    continue
                values, month = np.asarray(part[flux]), np.asarray(part["month"])
                monthly = [np.nanmedian(values[month == m]) if (month == m).sum() > 4 else np.nan for m in range(12)]
                label = f"{kind}, {'total' if flux == 'rs' else 'heterotrophic'}"
                top.plot(np.arange(1, 13), monthly, style, color=colour, marker=".", label=label)
            top.set_xticks((1, 4, 7, 10))
            below.plot(part["temperature"], part["rs"], ".", ms=2, alpha=0.4, color=colour, rasterized=True)
        title, comparison = words[name].split(", ", 1)
        top.set_title(f"{name}\n{title}\n{comparison}", fontsize=8)
        top.set_xlabel("month", fontsize=8)
        below.set_xlabel("soil temperature, °C", fontsize=8)
        top.set_ylim(0, 1.05 * top.get_ylim()[1])
        highest = [np.nanpercentile(data[kind]["rs"], 99.5) for kind in ("chambers", "model")]
        below.set_ylim(0, 1.1 * max(highest))
    for ax in axes[:, 0]:
        ax.set_ylabel("soil respiration, µmol m$^{-2}$ s$^{-1}$", fontsize=8)
    for ax in axes.flat:
        ax.tick_params(labelsize=8)
    handles, labels = axes[0, 0].get_legend_handles_labels()
    fig.legend(handles, labels, loc="outside lower center", ncol=4, fontsize=8)
    fig.savefig(path)
    plt.close(fig)


def soil_text(found):
    lines = ["| chambers | model | flux | mean of common months, chambers | model | Q10 chambers | Q10 model |"]
    lines.append("|" + 7 * "---|")
    for name, data in found.items():
        for flux in ("rs", "rh"):
            if flux not in data["chambers"]:
                continue
            means, q10 = [], []
            common = set(data["chambers"]["month"]) & set(data["model"]["month"])
            for kind in ("chambers", "model"):
                part = data[kind]
                values, month, warm = (np.asarray(part[v], dtype=float) for v in (flux, "month", "temperature"))
                means.append(np.mean([np.nanmedian(values[month == m]) for m in sorted(common)]))
                good = np.isfinite(values) & (values > 0.02) & np.isfinite(warm) & (warm > 1.0)
                q10.append(np.exp(10 * np.polyfit(warm[good], np.log(values[good]), 1)[0]))
            lines.append(
                f"| {name} | {data['site']} | {'total' if flux == 'rs' else 'heterotrophic'} | {means[0]:.2f} | "
                f"{means[1]:.2f} | {q10[0]:.1f} | {q10[1]:.1f} |"
            )
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with sites/ and ancillary/")
    parser.add_argument("--out", type=Path, default=Path("behaviour.json"), help="numbers (kept for parts not run)")
    parser.add_argument("--figures", type=Path, help="folder of the figures")
    parser.add_argument("--parts", default="budget,response,soil")
    parser.add_argument("--sites", help="comma-separated; default all")
    parser.add_argument("--years", type=int, default=10, help="of each response")
    parser.add_argument("--deposition", type=float, help="of nitrogen in the responses, g m-2 yr-1; default: the file")
    arguments = parser.parse_args()
    paths = {path.name.split("_")[0]: path for path in sorted((arguments.data / "sites").glob("*.nc"))}
    if arguments.sites:
        paths = {site: paths[site] for site in arguments.sites.split(",")}
    found = json.loads(arguments.out.read_text()) if arguments.out.exists() else {}
    run = {
        "budget": lambda save: budget(paths, save),
        "response": lambda save: response(paths, arguments.years, save, arguments.deposition),
        "soil": lambda save: soil(paths, arguments.data, save),
    }

    def keep(part, numbers):
        found[part] = numbers
        arguments.out.write_text(json.dumps(found) + "\n")

    for part in filter(None, arguments.parts.split(",")):
        run[part](lambda numbers, part=part: keep(part, numbers))
    for part, text in (("budget", budget_text), ("response", response_text), ("soil", soil_text)):
        if part in found:
            print(text(found[part]), "\n")
    if arguments.figures:
        if "response" in found:
            response_figure(found["response"], arguments.figures / "responses.svg")
        if "soil" in found:
            soil_figure(found["soil"], arguments.figures / "soil_respiration.svg")


if __name__ == "__main__":
    main()
