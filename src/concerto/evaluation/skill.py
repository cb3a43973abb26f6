"""Skill of a set of site runs: wins against each benchmark by the metrics of PLUMBER, and daily heat
fluxes."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from concerto.errors import ConcertoError
from concerto.evaluation.benchmarks import NAMES
from concerto.evaluation.compare import (
    MINIMUM,
    SECONDS_PER_DAY,
    _open,
    _series,
    _times,
    evaluate,
    plain_scores,
    read_observations,
    read_run,
)

FLUXES = ("NEE", "GPP", "Qle", "Qh")
#: Metrics that are compared, and what "better" means: a smaller value of the function.
JUDGED = {
    "nme": lambda s: s["nme"],
    "r": lambda s: -s["r"],
    "abs_bias": lambda s: abs(s["bias"]),
    "sd_ratio_error": lambda s: s["sd_ratio_error"],
}


def site_files(data_dir):
    """Tower files of a directory (or of its ``sites`` folder) by site name."""
    directory = Path(data_dir)
    directory = directory / "sites" if (directory / "sites").is_dir() else directory
    files = {path.name.split("_")[0]: path for path in sorted(directory.glob("*.nc"))}
    if not files:
        raise ConcertoError(f"{directory}: there is no NetCDF file.", hint="Give the folder with the site files.")
    return files


def daily_heat(run, path, minimum=MINIMUM["daily"]):
    """Daily Qle, Qh (W m-2) and NEE (gC m-2 d-1) of a run against a CalLMIP file, on exactly its valid days.

    Parameters
    ----------
    run : path, xarray.Dataset or Run
        Output of the same site; days with all steps present are used.
    path : path
        ``<SITE>_daily_aggregated_*_Flux.nc`` with Qle_daily, Qh_daily, NEE_daily.
    minimum : int
        Fewest days.

    Returns
    -------
    dict flux -> metrics
        Empty where no day is in common. NEE_daily of these files was made with 12 g mol-1; so is ours here.
    """
    run = run if hasattr(run, "fluxes") else read_run(run)
    dataset = _open(path)
    try:
        days = _times(dataset, str(path)).astype("datetime64[D]")
        observed = {}
        for flux in ("Qle", "Qh", "NEE"):
            variable = dataset[f"{flux}_daily"] if f"{flux}_daily" in dataset.variables else None
            if variable is not None:
                observed[flux] = _series(dataset, f"{flux}_daily")
    finally:
        dataset.close()
    run_days, inverse = np.unique(run.time.astype("datetime64[D]"), return_inverse=True)
    full = np.bincount(inverse) == SECONDS_PER_DAY // max(run.step, 1)
    common, in_run, in_obs = np.intersect1d(run_days[full], days, return_indices=True)
    if not common.size:
        return {}
    result = {}
    for flux, values in observed.items():
        if values is None or flux not in run.fluxes:
            continue
        means = np.bincount(inverse, run.fluxes[flux]) / np.bincount(inverse)
        factor = 12e-6 * SECONDS_PER_DAY if flux == "NEE" else 1.0
        score = plain_scores(means[full][in_run] * factor, values[in_obs], minimum)
        if score["n"] >= minimum:
            result[flux] = score
    return result


def score_sites(runs, data_dir, names=NAMES, fluxes=FLUXES, flags=(0,), tiers_of_heat=None, peers=None):
    """Score site runs against towers and out-of-sample benchmarks.

    Parameters
    ----------
    runs : dict site -> path, xarray.Dataset or Run
        Runs; a site without a tower file is an error.
    data_dir : path
        Folder of the site files, or the one above with ``sites`` and ``callmip_phase1``. Benchmarks for a
        site are trained on all other files of the folder.
    names, fluxes : sequence of str
        Benchmarks and fluxes.
    flags : sequence of int
        Accepted flags of the fluxes.
    tiers_of_heat : sequence of str, optional
        Forcing tiers at which Qle and Qh are judged. Their water limitation means something only with
        measured precipitation: tiers A and B (the default). At C and D they are listed with ``judged`` False.
    peers : path, optional
        CSV of other models' scores (site, flux, model, nme, ...), whose medians are added.

    Returns
    -------
    dict
        ``rows``: one dict per (site, flux) with tier, n, ``judged``, the metrics of the model and of each
        benchmark and
        ``wins[benchmark][metric]``; ``share[benchmark]``: share of judged (site x flux x metric) cases in
        which the model is better, and their number in ``cases``; ``share_by_metric`` and ``share_by_flux``
        likewise; ``medians[flux][source]``: medians of the metrics over judged sites;
        ``daily``: site -> flux -> metrics against CalLMIP daily fluxes; ``missing``: why something was left
        out.

    Examples
    --------
    >>> table = score_sites({"DE-Tha": "runs/DE-Tha.nc"}, "data")  # doctest: +SKIP
    >>> table["share"]["1lin"]  # doctest: +SKIP
    0.75
    """
    tiers_of_heat = ("A", "B") if tiers_of_heat is None else tuple(tiers_of_heat)
    files = site_files(data_dir)
    towers = {site: read_observations(path) for site, path in files.items()}
    rows, missing, daily = [], [], {}
    for site, run in sorted(runs.items()):
        if site not in towers:
            raise ConcertoError(f"{data_dir}: there is no tower file for site {site}.", hint="Check the site name.")
        tower = towers[site]
        run = run if hasattr(run, "fluxes") else read_run(run)
        for path in sorted(Path(data_dir).glob(f"callmip_phase1/{site}_daily_aggregated_*_Flux.nc")):
            daily[site] = daily_heat(run, path)
        if not any(flux in tower.values for flux in fluxes):
            missing.append(f"{site}: no flux is measured")
            continue
        result = evaluate(run, tower, flags=flags, training=list(towers.values()), names=names, fluxes=fluxes)
        tier = str(tower.attributes.get("forcing_tier", ""))
        by_flux = result.scores.get("half-hourly", {})
        missing += [f"{site}: {note}" for note in result.notes if "accepted flag" in note]
        for flux, sources in by_flux.items():
            model = sources["model"]
            judged = flux not in ("Qle", "Qh") or tier in tiers_of_heat
            wins = {
                name: {metric: bool(value(model) < value(sources[name])) for metric, value in JUDGED.items()}
                for name in names
                if name in sources
            }
            rows.append(
                {
                    "site": site,
                    "igbp": str(tower.attributes.get("IGBP", "")),
                    "tier": tier,
                    "flux": flux,
                    "n": model["n"],
                    "judged": judged,
                    "scores": sources,
                    "wins": wins,
                }
            )
    judged = [row for row in rows if row["judged"]]

    def share(selected, name, metrics=tuple(JUDGED)):
        cases = [row["wins"][name][metric] for row in selected if name in row["wins"] for metric in metrics]
        return float(np.mean(cases)) if cases else float("nan")

    medians = {}
    for flux in fluxes:
        chosen = [row for row in judged if row["flux"] == flux]
        if not chosen:
            continue
        medians[flux] = {
            source: {
                "sites": sum(source in row["scores"] for row in chosen),
                **{
                    metric: float(
                        np.median(
                            [
                                abs(row["scores"][source]["bias"])
                                if metric == "abs_bias"
                                else row["scores"][source][metric]
                                for row in chosen
                                if source in row["scores"]
                            ]
                        )
                    )
                    for metric in JUDGED
                },
            }
            for source in ("model", *names)
            if any(source in row["scores"] for row in chosen)
        }
    table = {
        "rows": rows,
        "cases": {name: sum(len(JUDGED) for row in judged if name in row["wins"]) for name in names},
        "share": {name: share(judged, name) for name in names},
        "share_by_metric": {name: {metric: share(judged, name, (metric,)) for metric in JUDGED} for name in names},
        "share_by_flux": {
            name: {flux: share([row for row in judged if row["flux"] == flux], name) for flux in medians}
            for name in names
        },
        "medians": medians,
        "daily": daily,
        "missing": missing,
    }
    if peers is not None:
        table["peers"] = peer_medians(peers, judged)
    return table


def peer_medians(path, rows):
    """Median NME of other models and of ours over the (site, flux) cases that both have.

    Parameters
    ----------
    path : path
        CSV with columns site, flux, model, nme.
    rows : list of dict
        Rows of ``score_sites``.

    Returns
    -------
    list of dict
        flux, model, sites, nme (theirs), nme_ours, wins (number of those sites at which ours is smaller).
    """
    import csv

    ours = {(row["site"], row["flux"]): row["scores"]["model"]["nme"] for row in rows}
    found = {}
    with open(path, newline="") as file:
        for row in csv.DictReader(file):
            key = (row["site"], row["flux"])
            if key in ours and row["nme"] not in ("", "NA", "nan"):
                found.setdefault((row["flux"], row["model"]), []).append((float(row["nme"]), ours[key]))
    return [
        {
            "flux": flux,
            "model": model,
            "sites": len(pairs),
            "nme": float(np.median([a for a, _ in pairs])),
            "nme_ours": float(np.median([b for _, b in pairs])),
            "wins": sum(b < a for a, b in pairs),
        }
        for (flux, model), pairs in sorted(found.items())
    ]


def skill_text(table):
    """The table of ``score_sites`` as plain text."""
    names = list(table["share"])
    lines = [
        f"{'site':8s}{'tier':5s}{'flux':5s}{'n':>7s}  "
        + "".join(f"{'NME ' + s:>11s}" for s in ("model", *names))
        + f"{'r':>7s}{'bias':>9s}{'sd ratio':>9s}  wins"
    ]
    for row in table["rows"]:
        scores = row["scores"]
        nmes = "".join(f"{scores[s]['nme']:11.3f}" if s in scores else f"{'-':>11s}" for s in ("model", *names))
        wins = " ".join(f"{sum(won.values())}/{len(won)}" for won in row["wins"].values())
        model = scores["model"]
        lines.append(
            f"{row['site']:8s}{row['tier']:5s}{row['flux']:5s}{row['n']:7d}  {nmes}{model['r']:7.3f}"
            f"{model['bias']:9.3f}{model['sd_ratio']:9.3f}  {wins}"
            f"{'' if row['judged'] else '  (not judged: rain)'}"
        )
    lines.append("")
    for name in names:
        parts = ", ".join(f"{metric} {value:.0%}" for metric, value in table["share_by_metric"][name].items())
        fluxes = ", ".join(f"{flux} {value:.0%}" for flux, value in table["share_by_flux"][name].items())
        lines.append(
            f"better than {name}: {table['share'][name]:.1%} of {table['cases'][name]} cases ({parts}; {fluxes})"
            if table["cases"][name]
            else f"better than {name}: no case"
        )
    lines += ["", f"{'median':7s}{'source':8s}{'sites':>6s}{'NME':>8s}{'r':>8s}{'|bias|':>9s}{'|1-sd|':>8s}"]
    for flux, sources in table["medians"].items():
        for source, values in sources.items():
            lines.append(
                f"{flux:7s}{source:8s}{values['sites']:6d}{values['nme']:8.3f}{values['r']:8.3f}"
                f"{values['abs_bias']:9.3f}{values['sd_ratio_error']:8.3f}"
            )
    if table.get("peers"):
        lines += [
            "",
            f"{'flux':5s}{'other model, same sites':52s}{'sites':>6s}{'NME':>7s}{'ours':>7s}{'ours better':>12s}",
        ]
        for peer in table["peers"]:
            lines.append(
                f"{peer['flux']:5s}{peer['model']:52s}{peer['sites']:6d}{peer['nme']:7.3f}{peer['nme_ours']:7.3f}"
                f"{peer['wins']:12d}"
            )
    if table["daily"]:
        lines += [
            "",
            "daily, valid days of CalLMIP only (Qle, Qh in W m-2, not closure-corrected; NEE in gC m-2 d-1)",
        ]
        lines.append(f"{'site':8s}{'flux':5s}{'days':>6s}{'mean':>9s}{'bias':>9s}{'NME':>7s}{'r':>7s}{'sd ratio':>9s}")
        for site, by_flux in table["daily"].items():
            for flux, s in by_flux.items():
                lines.append(
                    f"{site:8s}{flux:5s}{s['n']:6d}{s['mean_obs']:9.2f}{s['bias']:9.2f}{s['nme']:7.3f}{s['r']:7.3f}"
                    f"{s['sd_ratio']:9.3f}"
                )
    return "\n".join(lines + [""] * bool(table["missing"]) + table["missing"])


def to_json(table):
    """The table with NaN as None, for ``json.dump``."""
    if isinstance(table, dict):
        return {key: to_json(value) for key, value in table.items()}
    if isinstance(table, list | tuple):
        return [to_json(value) for value in table]
    if isinstance(table, float) and not np.isfinite(table):
        return None
    return table
