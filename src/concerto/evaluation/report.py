"""One self-contained HTML page about a run: key figures, scores, figures, what was assumed, how to cite."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from concerto.errors import ConcertoError
from concerto.evaluation.compare import (
    GRAMS_PER_MICROMOLE,
    UNITS,
    Run,
    evaluate,
    match,
    read_observations,
    read_run,
    same_site,
)

SECONDS_PER_YEAR = 3.15576e7
_SCORES = (  # column, title, digits, better: smaller value of
    ("nme", "NME", 3, lambda s: s["nme"]),
    ("r", "r", 3, lambda s: -s["r"]),
    ("bias", "bias", 2, lambda s: abs(s["bias"])),
    ("rmse", "RMSE", 2, lambda s: s["rmse"]),
    ("sd_ratio", "sd ratio", 2, lambda s: s["sd_ratio_error"]),
)
_PRETTY = {"umol m-2 s-1": "µmol m⁻² s⁻¹", "W m-2": "W m⁻²"}


def number(value, digits=2):
    """A number for the page: thousands without decimals, a true minus sign, a dash for NaN."""
    if value is None or not np.isfinite(value):
        return "–"
    text = f"{value:,.0f}".replace(",", "\u202f") if abs(value) >= 1000 else f"{value:.{digits}f}"
    if float(f"{value:.{digits}f}") == 0.0:
        text = text.lstrip("-")
    return text.replace("-", "−")


def flatten(value, prefix=""):
    """Rows (name, text) of a nested dict such as the configuration."""
    rows = []
    for name, item in value.items():
        label = f"{prefix} › {name}" if prefix else str(name)
        label = label.replace("_", " ")
        if isinstance(item, dict):
            rows += flatten(item, label)
        elif isinstance(item, list | tuple):
            rows.append((label, ", ".join(map(str, item)) or "–"))
        elif isinstance(item, float):
            rows.append((label, f"{item:.6g}"))
        elif item is not None:
            rows.append((label, str(item)))
    return rows


def score_tables(evaluation):
    """Tables of scores per scale; the best of each flux and metric is marked.

    Returns
    -------
    list of dict
        ``scale`` and ``groups``: per flux its label, unit and rows (source, n, mean, cells [(text, best)]).
    """
    from concerto.evaluation.plots import LABEL

    tables = []
    for scale, by_flux in evaluation.scores.items():
        groups = []
        for flux, sources in by_flux.items():
            best = {}
            for key, _, _, better in _SCORES:
                values = {s: better(v) for s, v in sources.items() if np.isfinite(better(v))}
                best[key] = min(values, key=values.get) if len(values) > 1 else None
            rows = []
            for source, values in sources.items():
                cells = [(number(values[key], digits), best[key] == source) for key, _, digits, _ in _SCORES]
                rows.append({"source": source, "mean": number(values["mean_sim"]), "cells": cells})
            first = next(iter(sources.values()))
            groups.append(
                {
                    "flux": LABEL[flux][0],
                    "unit": _PRETTY[UNITS[flux]],
                    "n": f"{first['n']:,}".replace(",", "\u202f"),
                    "observed": number(first["mean_obs"]),
                    "rows": rows,
                }
            )
        tables.append({"scale": scale, "groups": groups})
    return tables


def key_figures(run, observations=None):
    """Mean fluxes of the run, and of the tower (gap-filled) over the same steps.

    Returns
    -------
    list of dict
        ``name``, ``unit``, ``model``, ``observed`` (None without observations): carbon in gC m-2 yr-1, heat
        in W m-2. Where there are observations both means are over the steps at which the tower record is
        complete.
    """
    rows = []
    indices = match(run, observations) if observations is not None else None
    per_year = GRAMS_PER_MICROMOLE * SECONDS_PER_YEAR
    for flux, name, factor, unit in (
        ("NEE", "Net exchange", per_year, "gC m⁻² yr⁻¹"),
        ("GPP", "Photosynthesis", per_year, "gC m⁻² yr⁻¹"),
        ("Reco", "Respiration", per_year, "gC m⁻² yr⁻¹"),
        ("Qle", "Latent heat", 1.0, "W m⁻²"),
        ("Qh", "Sensible heat", 1.0, "W m⁻²"),
    ):
        if flux not in run.fluxes:
            continue
        simulated, observed = run.fluxes[flux], None
        if indices is not None and flux in observations.values:
            measured, common = observations.values[flux][indices[1]], simulated[indices[0]]
            good = np.isfinite(measured) & np.isfinite(common)
            if good.any():
                simulated, observed = common[good], float(measured[good].mean()) * factor
        digits = 0 if factor != 1.0 else 1
        rows.append(
            {
                "flux": flux,
                "name": name,
                "unit": unit,
                "model": number(float(np.nanmean(simulated)) * factor, digits),
                "observed": None if observed is None else number(observed, digits),
            }
        )
    return rows


def _closure_text(closure):
    if closure is None:
        return None
    ground = "Rn (ground heat not measured)" if closure["without_Qg"] else "Rn − G"
    return (
        f"The tower closes {closure['ratio']:.0%} of its energy balance: LE + H = {closure['slope']:.2f}"
        f" ({ground}) {'+' if closure['intercept'] >= 0 else '−'} {abs(closure['intercept']):.1f} W m⁻²,"
        f" r = {closure['r']:.2f}, "
        f"{closure['n']:,} steps; storage not counted."
    )


def _lines(text):
    if text is None:
        return []
    if isinstance(text, str):
        text = text.replace("; ", "\n").split("\n") if "\n" not in text else text.split("\n")
    return [line.strip() for line in map(str, text) if line.strip()]


def _figure(svg, caption, name):
    from concerto.evaluation.plots import inline

    return {"svg": inline(svg, caption.split(".")[0]), "caption": caption, "name": name} if svg else None


def _version(run_attributes):
    import concerto

    return str(run_attributes.get("source") or f"concerto {concerto.__version__}")


def _citations(observations, evaluated):
    """Lines for `How to cite`: the tower record, and the metrics where scores are shown."""
    items = []
    if observations is not None:
        attributes = observations.attributes
        reference = attributes.get("references")
        if reference:
            licence = attributes.get("license", attributes.get("licence", ""))
            items.append(f"Tower data: {reference}{f' ({licence})' if licence else ''}.")
    if evaluated:
        items.append(
            "Metrics and benchmarks: Best et al. 2015, J. Hydrometeorol. 16, 1425–1442,"
            " doi:10.1175/JHM-D-14-0158.1; Abramowitz 2012,"
            " Geosci. Model Dev. 5, 819–827, doi:10.5194/gmd-5-819-2012."
        )
    return items


def render(context):
    """The page from its context (see ``templates/report.html``)."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).with_name("templates")),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html").render(context)


def _write(path, context):
    path = Path(path)
    page = render(context)
    try:
        path.write_text(page, encoding="utf-8")
    except OSError as error:
        raise ConcertoError(
            f"{path}: the page cannot be written ({error.strerror}).", hint="Check the folder."
        ) from None
    return path


def _history_figure(run, annual):
    """The years of a transient run, if their file belongs to the run."""
    from concerto.evaluation import plots
    from concerto.evaluation.compare import _json, _open

    if annual is None or not (hasattr(annual, "data_vars") or Path(annual).is_file()):
        return None
    ds = _open(annual)
    if "year" not in ds.dims or ds.attrs.get("configuration") != run.attributes.get("configuration"):
        return None
    told = _json(ds.attrs.get("configuration")).get("history", {})
    recycled = max(len(told.get("years of the record that are recycled", [])), 1)
    window = recycled * max(round(9 / recycled), 1)
    values = {name: ds[name].values.astype(float) for name in ds.data_vars if ds[name].dims == ("year",)}
    caption = (
        f"From {ds.year.values[0]} to {ds.year.values[-1]}. Thin: years, whose weather is that of {recycled} recycled"
        f" year(s); thick: means over {window} years. CO2: {told.get('co2', '')}."
    )
    return _figure(plots.history(ds.year.values, values, window), caption, "history")


def write_report(
    path_html, run, obs=None, training=(), flags=(0,), closure_correction=False, evaluation=None, annual=None
):
    """Write the page of a site run.

    Parameters
    ----------
    path_html : path
        File to write.
    run : path, xarray.Dataset or Run
        Output of a site run.
    obs : path, xarray.Dataset or Observations, optional
        Tower record; one without fluxes (forcing only) is taken as no observations.
    training : sequence of paths
        Sites (or folders of site files) that train the benchmarks.
    flags, closure_correction
        As in ``evaluate``.
    evaluation : Evaluation, optional
        A finished evaluation of the same run, so that it is not done twice.
    annual : path or xarray.Dataset, optional
        Annual values of a transient run; default the file ``<run>_annual.nc`` beside the run. One of another run is
        passed over.

    Returns
    -------
    pathlib.Path

    Examples
    --------
    >>> write_report("hyytiala.html", "hyytiala.nc", obs="FI-Hyy_2005-2007.nc")  # doctest: +SKIP
    """
    from concerto.evaluation import plots
    from concerto.evaluation.benchmarks import FLUXES

    if annual is None and isinstance(run, str | Path):
        annual = Path(run).with_name(f"{Path(run).stem}_annual{Path(run).suffix}")
    run = run if isinstance(run, Run) else read_run(run)
    observations, citations, notes = None, None, []
    if evaluation is not None:
        observations = evaluation.observations
    elif obs is not None:
        observations = obs if hasattr(obs, "accepted") else read_observations(obs, run.time_stamp)
        same_site(run, observations)
        if not any(flux in observations.values for flux in FLUXES):
            notes.append("The observation file holds no fluxes: this page shows the model alone.")
            citations = observations
            observations = None
        else:
            evaluation = evaluate(run, observations, flags, training, closure_correction=closure_correction)
    citations = observations if observations is not None else citations
    figures = []
    if evaluation is not None:
        words = " or ".join(str(flag) for flag in evaluation.flags)
        figures += [
            _figure(
                plots.benchmark_bars(evaluation),
                "Error against benchmarks. Normalised mean error of the model and of empirical benchmarks"
                " driven by the same weather; 0 is perfect, 1 (dashed) is as good as knowing the observed"
                " mean.",
                "benchmarks",
            ),
            _figure(
                plots.time_series(evaluation),
                f"Daily means. Points: days with at least half of the steps measured (flag {words}), model"
                " and tower averaged over the same steps. Thin line: the model over all steps.",
                "time-series",
            ),
            _figure(
                plots.diurnal_cycle(evaluation),
                "Diurnal cycle by season. Means over measured steps only, model and tower alike.",
                "diurnal",
            ),
            _figure(
                plots.seasonal_cycle(evaluation),
                "Seasonal cycle. Means of the days that count, by calendar month.",
                "seasonal",
            ),
            _figure(
                plots.scatter(evaluation),
                "Step by step. Density of model against tower (logarithmic shades), with the 1:1 line.",
                "scatter",
            ),
            _figure(
                plots.energy_closure(evaluation),
                "Energy balance. Turbulent heat against available energy; orange: regression of the tower.",
                "closure",
            ),
        ]
        notes += evaluation.notes
    figures.append(
        _figure(
            plots.model_series(run),
            "The run. Daily means of simulated fluxes, leaf area, water and carbon.",
            "run",
        )
    )
    summary = dict(run.summary)
    if "warning" in summary:
        notes.insert(0, f"Warning: {summary['warning']}.")
    title = (observations.title if observations is not None else "") or run.site or run.title
    code = observations.site if observations is not None else run.site
    report = run.attributes.get("input_report")
    inputs = _lines(report)
    for name in ("mean fluxes", "fluxes", "title", "input"):
        if name == "input" and not inputs:
            inputs = _lines(summary.get("input"))
        summary.pop(name, None)
    where = []
    if run.latitude is not None and run.longitude is not None:
        where.append(
            f"{abs(run.latitude):.2f}° {'N' if run.latitude >= 0 else 'S'}, "
            f"{abs(run.longitude):.2f}° {'E' if run.longitude >= 0 else 'W'}"
        )
    igbp = run.attributes.get("igbp") or (observations.attributes.get("IGBP") if observations is not None else None)
    if igbp:
        where.append(str(igbp))
    elevation = run.attributes.get("elevation")
    if elevation is not None and np.isfinite(float(elevation)):
        where.append(f"{float(elevation):.0f} m")
    tier = observations.attributes.get("forcing_tier") if observations is not None else None
    if tier:
        where.append(f"forcing tier {tier}")
    context = {
        "title": title,
        "code": code if code and code not in title else "",
        "where": where,
        "period": f"{str(run.time[0])[:10]} to {str(run.time[-1])[:10]}",
        "version": _version(run.attributes),
        "lead": None,
        "cards": key_figures(run, observations),
        "cards_note": (
            "Means over the steps of the tower record, gap-filled values included."
            if observations is not None
            else "Means over the whole run."
        ),
        "site_table": None,
        "tables": score_tables(evaluation) if evaluation is not None else [],
        "score_columns": [title for _, title, _, _ in _SCORES],
        "closure": _closure_text(evaluation.closure) if evaluation is not None else None,
        "notes": notes,
        "flags": ", ".join(map(str, evaluation.flags)) if evaluation is not None else "",
        "figures": [figure for figure in figures if figure],
        "past": _history_figure(run, annual),
        "summary": flatten(summary),
        "configuration": flatten(run.configuration),
        "inputs": inputs,
        "citations": _citations(citations, evaluation is not None),
        "history": _lines(run.attributes.get("history")),
    }
    return _write(path_html, context)


def write_demo_report(path_html, dataset, summary=None):
    """Write the page of a run of many sites or biomes.

    Parameters
    ----------
    path_html : path
        File to write.
    dataset : path or xarray.Dataset
        Dimensions (time, site) with daily or finer means, CMIP names and units; coordinates ``site`` (names)
        and, where present, ``site_title``, ``latitude``.
    summary : dict, optional
        Lines for the page; default the attribute ``summary`` of the dataset.

    Returns
    -------
    pathlib.Path
    """
    from concerto.evaluation import plots
    from concerto.evaluation.compare import _json, _open, _times

    ds = _open(dataset)
    if "site" not in ds.dims:
        raise ConcertoError("The dataset has no dimension 'site'.", hint="Use write_report for a single site.")
    summary = dict(summary if summary is not None else _json(ds.attrs.get("summary")))
    time = _times(ds, "dataset")
    codes = [str(code) for code in ds["site"].values]
    titles = [str(title) for title in ds["site_title"].values] if "site_title" in ds.variables else codes

    def get(name):
        return ds[name].transpose("time", "site").values.astype(float) if name in ds.variables else None

    def per_day(values):
        return values * 1000.0 * 86400.0

    gpp, ra, rh, nee = get("gpp"), get("ra"), get("rh"), get("nee")
    lai, latent, sensible, net = get("lai"), get("hfls"), get("hfss"), get("rns")
    figures, columns = [], []
    year = 1000.0 * SECONDS_PER_YEAR
    if gpp is not None and ra is not None and rh is not None:
        reco = ra + rh
        exchange = reco - gpp if nee is None else nee * 12.011e-9  # umol m-2 s-1; livestock breathes too
        figures.append(
            _figure(
                plots.biome_cycles(
                    time,
                    titles,
                    [
                        ("photosynthesis", plots.MODEL, per_day(gpp)),
                        ("ecosystem respiration", plots.SECOND, per_day(reco)),
                    ],
                    "gC m⁻² d⁻¹",
                    shade=(0, 1),
                ),
                "Carbon through the year. Monthly means of photosynthesis and ecosystem respiration;"
                " blue shade: net uptake,"
                " orange shade: net release.",
                "carbon",
            )
        )
        columns += [
            ("GPP", "gC m⁻² yr⁻¹", gpp.mean(0) * year, 0),
            ("Reco", "gC m⁻² yr⁻¹", reco.mean(0) * year, 0),
            ("NEE", "gC m⁻² yr⁻¹", exchange.mean(0) * year, 0),
        ]
    if latent is not None and sensible is not None:
        curves = [("latent heat", plots.MODEL, latent), ("sensible heat", plots.SECOND, sensible)]
        if net is not None:
            curves.insert(0, ("net radiation", "#9aa1a9", net))
        figures.append(
            _figure(
                plots.biome_cycles(time, titles, curves, "W m⁻²"),
                "Energy through the year. Monthly means of net radiation and of the heat given to the air.",
                "energy",
            )
        )
        columns += [
            ("Latent", "W m⁻²", latent.mean(0), 0),
            ("Sensible", "W m⁻²", sensible.mean(0), 0),
        ]
    stocks = [
        (label, colour, get(name))
        for name, label, colour in (
            ("cVeg", "vegetation", "#009e73"),
            ("cLitter", "litter", plots.WARM),
            ("cSoil", "soil", "#8c6d31"),
        )
    ]
    stocks = [(label, colour, values.mean(0)) for label, colour, values in stocks if values is not None]
    groups = []
    if gpp is not None and ra is not None:
        npp = (gpp - ra).mean(0) * year
        groups.append(
            (
                "Production",
                "gC m⁻² yr⁻¹",
                [("net primary", plots.MODEL, npp), ("plant respiration", plots.WATER, ra.mean(0) * year)],
            )
        )
    if stocks:
        groups.append(("Carbon stocks", "kgC m⁻²", stocks))
        columns += [(f"C {label}", "kg m⁻²", values, 1) for label, _, values in stocks]
    if groups:
        figures.append(
            _figure(
                plots.biome_bars(titles, groups),
                "Production and stocks. Annual gross production split into net production and plant"
                " respiration; mean carbon stocks.",
                "stocks",
            )
        )
    if lai is not None:
        columns.append(("LAI max", "m² m⁻²", lai.max(0), 1))
    if lai is not None:
        figures.append(
            _figure(
                plots.biome_cycles(time, titles, [("leaf area index", "#009e73", lai)], "m² m⁻²"),
                "Leaf area through the year. Monthly means of leaf area index.",
                "leaf-area",
            )
        )
    place = None
    if "latitude" in ds.variables:
        place = [f"{abs(v):.1f}° {'N' if v >= 0 else 'S'}" for v in ds["latitude"].values]
    head = ["site", *(["latitude"] if place else []), *(name for name, _, _, _ in columns)]
    units = ["", *([""] if place else []), *(unit for _, unit, _, _ in columns)]
    body = []
    for k, title in enumerate(titles):
        cells = [number(float(values[k]), digits) for _, _, values, digits in columns]
        body.append([title, *([place[k]] if place else []), *cells])
    table = {"head": list(zip(head, units, strict=True)), "body": body, "text": 2 if place else 1}
    dropped = ("title", "GPP, Reco in gC m-2 yr-1; LAI max", "report", "output")
    context = {
        "title": f"{len(codes)} ecosystems, one model",
        "code": "",
        "where": [f"{len(codes)} sites"],
        "period": f"{str(time[0])[:10]} to {str(time[-1])[:10]}",
        "version": _version({}),
        "lead": str(summary.get("title", ds.attrs.get("title", ""))),
        "cards": [],
        "cards_note": "",
        "site_table": table,
        "tables": [],
        "score_columns": [],
        "closure": None,
        "flags": "",
        "notes": _lines([ds.attrs["source"]]) if "source" in ds.attrs else [],
        "figures": [figure for figure in figures if figure],
        "past": None,
        "summary": flatten({k: v for k, v in summary.items() if k not in dropped}),
        "configuration": flatten(_json(ds.attrs.get("configuration"))),
        "inputs": _lines(ds.attrs.get("input_report")),
        "citations": [],
        "history": _lines(ds.attrs.get("history")),
    }
    return _write(path_html, context)
