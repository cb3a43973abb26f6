"""Figures of a run and its evaluation as SVG text; matplotlib is loaded at first use.

Every function returns a complete SVG document (str). Colours are from the colour-blind safe set of Okabe and
Ito; observations are dark, the model is blue, benchmarks are grey.
"""

from __future__ import annotations

import io
import re

import numpy as np

OBSERVED, MODEL, SECOND, WATER, WARM = "#2b2f36", "#0072b2", "#d55e00", "#56b4e9", "#e69f00"
GREYS = {"1lin": "#cfd4da", "2lin": "#a7aeb7", "3km27": "#737c88"}
UNIT = {"umol m-2 s-1": "µmol m⁻² s⁻¹", "W m-2": "W m⁻²", "gC": "gC m⁻² d⁻¹"}
CARBON, HEAT = UNIT["umol m-2 s-1"], UNIT["W m-2"]
LABEL = {
    "NEE": ("NEE", CARBON),
    "GPP": ("GPP", CARBON),
    "GPP_DT": ("GPP, day-time part.", CARBON),
    "Reco": ("Reco", CARBON),
    "Qle": ("Latent heat", HEAT),
    "Qh": ("Sensible heat", HEAT),
    "Qle_corrected": ("Latent heat, closed", HEAT),
    "Qh_corrected": ("Sensible heat, closed", HEAT),
}
SHOWN = ("NEE", "GPP", "Reco", "Qle", "Qh")
MONTHS = list("JFMAMJJASOND")
SEASONS = {
    "Dec to Feb": (12, 1, 2),
    "Mar to May": (3, 4, 5),
    "Jun to Aug": (6, 7, 8),
    "Sep to Nov": (9, 10, 11),
}
FONTS = "Inter, 'Helvetica Neue', Helvetica, Arial, 'Liberation Sans', 'DejaVu Sans', sans-serif"
STYLE = {
    "font.family": "DejaVu Sans",  # always with matplotlib, wide: text laid out with it also fits in FONTS
    "font.size": 9,
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 9,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 8.5,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#9aa1a9",
    "axes.linewidth": 0.8,
    "axes.labelcolor": OBSERVED,
    "text.color": OBSERVED,
    "xtick.color": "#59606a",
    "ytick.color": "#59606a",
    "axes.grid": True,
    "grid.color": "#e8ebee",
    "grid.linewidth": 0.7,
    "axes.axisbelow": True,
    "lines.linewidth": 1.4,
    "svg.fonttype": "none",
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
    "path.simplify": True,
    "path.simplify_threshold": 0.5,
}


def _figure(rows=1, columns=1, width=9.0, height=3.0, **options):
    """Figure and array of axes with the house style, without touching the user's matplotlib state."""
    import logging

    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasSVG(figure)
    return figure, figure.subplots(rows, columns, squeeze=False, **options)


def _styled(function):
    """Run a plotting function in the house style and give its figure as SVG."""
    import functools

    @functools.wraps(function)
    def wrapped(*args, **options):
        import logging

        import matplotlib

        logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)
        with matplotlib.rc_context(STYLE | {"svg.hashsalt": function.__name__}):
            figure = function(*args, **options)
            if figure is None:
                return None
            buffer = io.StringIO()
            figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
        text = buffer.getvalue()
        text = re.sub(r"<metadata>.*?</metadata>\s*", "", text, flags=re.S)
        return text.replace("'DejaVu Sans'", FONTS)

    return wrapped


def inline(svg, label):
    """The SVG element alone, scaling with the page, named for screen readers, with no outside reference."""
    body = svg[svg.index("<svg") :]
    head, rest = body.split(">", 1)
    box = re.search(r'viewBox="([^"]*)"', head).group(1)
    label = label.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")
    # Short numbers: a tenth of a point is finer than any screen shows.
    rest = re.sub(r"(\d+\.\d{2})\d+", r"\1", rest)
    share = min(100.0, float(box.split()[2]) / 6.48)  # of the page; figures of full width are 9 inches, 648 pt
    return f'<svg viewBox="{box}" style="max-width:{share:.0f}%" role="img" aria-label="{label}">{rest}'


def _legend(figure, handles, labels=None):
    figure.legend(handles=handles, labels=labels, loc="outside upper left", ncols=len(handles), handlelength=1.6)


def _label(axes, flux):
    name, unit = LABEL[flux]
    axes.set_title(name)
    axes.set_ylabel(unit)


def _dates(axes):
    import matplotlib.dates as dates

    locator = dates.AutoDateLocator(maxticks=9)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(dates.ConciseDateFormatter(locator, show_offset=False))


def _shown(evaluation, names=SHOWN):
    return [flux for flux in names if flux in evaluation.series]


def daily(time, values):
    """Days and plain means of a series over each day."""
    days, inverse = np.unique(time.astype("datetime64[D]"), return_inverse=True)
    return days, np.bincount(inverse, values, len(days)) / np.bincount(inverse)


def by_month(time, values):
    """Mean of the values of each calendar month, January first; NaN for months without values."""
    month = time.astype("datetime64[M]").astype("int64") % 12
    number = np.bincount(month, minlength=12)
    sums = np.bincount(month, values, 12)
    return np.where(number > 0, sums / np.maximum(number, 1), np.nan)


@_styled
def time_series(evaluation):
    """Daily means through the record, model and tower over the same steps."""
    fluxes = _shown(evaluation)
    figure, axes = _figure(len(fluxes), 1, 9.0, 0.45 + 1.5 * len(fluxes), sharex=True)
    for axis, flux in zip(axes[:, 0], fluxes, strict=True):
        series = evaluation.series[flux]
        base = flux.split("_")[0]
        (line,) = axis.plot(*daily(evaluation.run.time, evaluation.run.fluxes[base]), color=MODEL, lw=0.7, alpha=0.45)
        (dots,) = axis.plot(series["days"], series["daily"]["observed"], "o", color=OBSERVED, ms=2.4, mew=0)
        (blue,) = axis.plot(series["days"], series["daily"]["model"], "o", color=MODEL, ms=2.4, mew=0)
        if flux == "NEE":
            axis.axhline(0.0, color="#9aa1a9", lw=0.8)
        axis.set_xlim(series["time"][0], series["time"][-1])
        _label(axis, flux)
    _dates(axes[-1, 0])
    figure.align_ylabels()
    _legend(figure, [dots, blue, line], ["tower", "model, same steps", "model, all steps"])
    return figure


@_styled
def diurnal_cycle(evaluation):
    """Mean diurnal cycle of each season over the measured steps."""
    fluxes = _shown(evaluation, ("NEE", "GPP", "Qle", "Qh"))
    figure, axes = _figure(len(fluxes), 4, 9.0, 0.45 + 1.65 * len(fluxes), sharex=True, sharey="row")
    lines = None
    for row, flux in enumerate(fluxes):
        series = evaluation.series[flux]
        time, good = series["time"], series["good"]
        hour = (time - time.astype("datetime64[D]")).astype("int64") / 3600.0
        hour = np.round(hour, 4) + evaluation.step / 7200.0  # middle of the interval
        month = time.astype("datetime64[M]").astype("int64") % 12 + 1
        for column, (title, months) in enumerate(SEASONS.items()):
            axis, chosen = axes[row, column], good & np.isin(month, months)
            if row == 0:
                axis.set_title(title)
            axis.set_xlim(0, 24)
            axis.set_xticks([0, 6, 12, 18, 24])
            if row == len(fluxes) - 1:
                axis.set_xlabel("local hour")
            if chosen.sum() < 48:
                continue
            hours, inverse = np.unique(hour, return_inverse=True)
            number = np.bincount(inverse[chosen], minlength=len(hours))
            lines = []
            for name, colour in (("observed", OBSERVED), ("model", MODEL)):
                sums = np.bincount(inverse[chosen], series[name][chosen], len(hours))
                # Hours with fewer than five measured steps stay open: the line has a gap.
                lines += axis.plot(hours, np.where(number >= 5, sums / np.maximum(number, 1), np.nan), color=colour)
            if flux == "NEE":
                axis.axhline(0.0, color="#9aa1a9", lw=0.8, zorder=1)
        name, unit = LABEL[flux]
        axes[row, 0].set_ylabel(f"{name}\n{unit}")
    figure.align_ylabels(axes[:, 0])
    if lines:
        _legend(figure, lines, ["tower", "model"])
    return figure


@_styled
def seasonal_cycle(evaluation):
    """Mean seasonal cycle from the days that count."""
    fluxes = _shown(evaluation)
    figure, axes = _figure(1, len(fluxes), 9.0, 2.35)
    for axis, flux in zip(axes[0], fluxes, strict=True):
        series = evaluation.series[flux]
        lines = [
            axis.plot(range(12), by_month(series["days"], series["daily"][name]), "o-", color=colour, ms=3)[0]
            for name, colour in (("observed", OBSERVED), ("model", MODEL))
        ]
        if flux == "NEE":
            axis.axhline(0.0, color="#9aa1a9", lw=0.8, zorder=1)
        axis.set_xticks(range(0, 12, 2), MONTHS[::2])
        axis.set_xlim(-0.5, 11.5)
        _label(axis, flux)
    _legend(figure, lines, ["tower", "model"])
    return figure


def _density(axis, x, y, low, high, bins=70):
    """Log-scaled counts as a picture."""
    from matplotlib.colors import LinearSegmentedColormap, LogNorm

    counts, _, _ = np.histogram2d(x, y, bins=bins, range=[[low, high], [low, high]])
    colours = LinearSegmentedColormap.from_list("blue", ["#dcebf5", "#6fb1da", MODEL, "#003a5d"])
    counts = np.ma.masked_less(counts.T, 1)
    if counts.count():
        axis.imshow(
            counts,
            origin="lower",
            extent=(low, high, low, high),
            norm=LogNorm(1, max(2, counts.max())),
            cmap=colours,
            interpolation="none",
            aspect="equal",
            zorder=2,
        )
    axis.plot([low, high], [low, high], color="#59606a", lw=0.8, zorder=3)
    axis.set_xlim(low, high)
    axis.set_ylim(low, high)


def _range(*series):
    values = np.concatenate(series)
    low, high = np.percentile(values, [0.1, 99.9])
    margin = 0.06 * (high - low or 1.0)
    return low - margin, high + margin


@_styled
def scatter(evaluation):
    """Density of model against tower, step by step, with the 1:1 line."""
    fluxes = _shown(evaluation)
    figure, axes = _figure(1, len(fluxes), 9.0, 0.75 + 8.2 / max(len(fluxes), 3))
    for axis, flux in zip(axes[0], fluxes, strict=True):
        series = evaluation.series[flux]
        x, y = series["observed"][series["good"]], series["model"][series["good"]]
        _density(axis, x, y, *_range(x, y))
        name, unit = LABEL[flux]
        axis.set_title(name)
        axis.set_xlabel(f"tower, {unit}", fontsize=8)
        axis.locator_params(nbins=5)
        values = evaluation.scores.get("half-hourly", {}).get(flux, {}).get("model")
        if values:
            axis.text(
                0.04,
                0.96,
                f"r {values['r']:.2f}\nNME {values['nme']:.2f}",
                transform=axis.transAxes,
                va="top",
                fontsize=8,
                zorder=4,
            )
    axes[0, 0].set_ylabel("model")
    return figure


@_styled
def benchmark_bars(evaluation):
    """Normalised mean error of the model beside the benchmarks, per flux and scale."""
    scales = [scale for scale in evaluation.scores if evaluation.scores[scale]]
    if not scales:  # a record too short for any score
        return None
    fluxes = [flux for flux in evaluation.scores[scales[0]] if flux in SHOWN]
    if not fluxes:
        return None
    sources = [s for s in ("model", *GREYS) if any(s in v for v in evaluation.scores[scales[0]].values())]
    figure, axes = _figure(1, len(scales), 9.0, 2.7, sharey=True)
    width = 0.8 / len(sources)
    top = 0.0
    for axis, scale in zip(axes[0], scales, strict=True):
        handles = []
        for k, source in enumerate(sources):
            nmes = [evaluation.scores[scale].get(flux, {}).get(source, {}).get("nme", np.nan) for flux in fluxes]
            x = np.arange(len(fluxes)) + (k - 0.5 * (len(sources) - 1)) * width
            handles.append(axis.bar(x, nmes, 0.92 * width, color=GREYS.get(source, MODEL)))
            top = max([top, *(v for v in nmes if np.isfinite(v))])
        axis.axhline(1.0, color="#59606a", lw=0.8, ls=(0, (4, 3)))
        axis.set_xticks(range(len(fluxes)), fluxes)
        axis.grid(False, axis="x")
        axis.set_title(scale)
    limit = min(max(1.1, 1.05 * top), 2.5)
    axes[0, 0].set_ylim(0, limit)
    for axis in axes[0]:  # cut bars tell their value
        for bar in axis.patches:
            if bar.get_height() > limit:
                axis.text(
                    bar.get_x() + 0.5 * bar.get_width(),
                    0.98 * limit,
                    f"{bar.get_height():.1f}",
                    rotation=90,
                    fontsize=6.5,
                    ha="center",
                    va="top",
                )
    axes[0, 0].set_ylabel("normalised mean error")
    _legend(figure, handles, sources)
    return figure


@_styled
def energy_closure(evaluation):
    """Closure of the tower's energy balance, and of the model's where its terms are in the run."""
    panels = []
    if evaluation.closure is not None:
        panels.append(("tower", evaluation.closure["available"], evaluation.closure["turbulent"], evaluation.closure))
    terms = model_closure(evaluation.run)
    if terms is not None:
        panels.append(("model", *terms, None))
    if evaluation.closure is None:
        return None
    figure, axes = _figure(1, len(panels), 3.6 * len(panels), 3.5)
    for axis, (title, x, y, fit) in zip(axes[0], panels, strict=True):
        low, high = _range(x, y)
        _density(axis, x, y, low, high)
        ratio = y.sum() / x.sum()
        text = f"sum ratio {ratio:.2f}"
        if fit is not None:
            ends = np.array([low, high])
            axis.plot(ends, fit["intercept"] + fit["slope"] * ends, color=SECOND, lw=1.3, zorder=4)
            text += f"\nslope {fit['slope']:.2f}\nintercept {fit['intercept']:.0f} W m⁻²"
        axis.text(0.04, 0.96, text, transform=axis.transAxes, va="top", fontsize=8, zorder=5)
        axis.set_title(title)
        axis.set_xlabel("available energy Rn − G, W m⁻²")
    axes[0, 0].set_ylabel("latent + sensible heat, W m⁻²")
    return figure


def model_closure(run):
    """Available energy and turbulent heat of the model (W m-2), or None where a term is missing."""
    v = run.values
    ground = v.get("hfdsl", v.get("hfg"))
    if "rns" in v:
        net = v["rns"]
    elif all(name in v for name in ("rsds", "rsus", "rlds", "rlus")):
        net = v["rsds"] - v["rsus"] + v["rlds"] - v["rlus"]
    else:
        return None
    if ground is None or not all(name in v for name in ("hfls", "hfss")):
        return None
    x, y = net - ground, v["hfls"] + v["hfss"]
    good = np.isfinite(x) & np.isfinite(y)
    return (x[good], y[good]) if good.sum() > 1 else None


_PANELS = (
    (
        "Carbon fluxes",
        UNIT["gC"],
        (("gpp", "GPP", MODEL), ("reco", "Reco", SECOND), ("nee", "NEE", OBSERVED)),
    ),
    ("Heat fluxes", UNIT["W m-2"], (("hfls", "latent", MODEL), ("hfss", "sensible", SECOND))),
    ("Leaf area", "m² m⁻²", (("lai", "LAI", "#009e73"),)),
    ("Soil water", "kg m⁻²", (("mrso", "soil water", MODEL),)),
    ("Snow", "kg m⁻²", (("snw", "snow", WATER),)),
    (
        "Carbon stocks",
        "kgC m⁻²",
        (("cVeg", "vegetation", "#009e73"), ("cSoil", "soil", "#8c6d31"), ("cLitter", "litter", WARM)),
    ),
)


def model_variables(run):
    """Series for ``model_series``: the run's own, with gpp, reco and nee in gC m-2 d-1."""
    values = dict(run.values)
    for name, flux in (("gpp", "GPP"), ("reco", "Reco"), ("nee", "NEE")):
        if flux in run.fluxes:
            values[name] = run.fluxes[flux] * 12.011e-6 * 86400.0
    return values


@_styled
def model_series(run):
    """Daily means of what the model simulated: carbon, heat, leaf area, water, stocks."""
    values = model_variables(run)
    if "snw" in values and not np.nanmax(values["snw"]) > 0.1:
        del values["snw"]
    panels = [panel for panel in _PANELS if any(name in values for name, _, _ in panel[2])]
    if not panels:
        return None
    figure, axes = _figure(len(panels), 1, 9.0, 1.6 * len(panels), sharex=True)
    for axis, (title, unit, curves) in zip(axes[:, 0], panels, strict=True):
        for name, label, colour in curves:
            if name in values:
                axis.plot(*daily(run.time, values[name]), color=colour, lw=1.0, label=label)
        axis.set_title(title)
        axis.set_ylabel(unit)
        axis.set_xlim(run.time[0], run.time[-1])
        if len(curves) == 1:
            continue
        axis.legend(loc="lower right", bbox_to_anchor=(1.0, 0.98), ncols=3, borderaxespad=0.1, handlelength=1.4)
    _dates(axes[-1, 0])
    figure.align_ylabels()
    return figure


_HISTORY = (  # title, unit, factor, curves
    ("CO2", "ppm", 1.0, (("co2", "CO2", OBSERVED),)),
    ("Nitrogen deposition", "gN m⁻² yr⁻¹", 3.15576e10, (("fNdep", "deposition", OBSERVED),)),
    (
        "Carbon fluxes",
        "gC m⁻² yr⁻¹",
        3.15576e10,
        (("gpp", "GPP", MODEL), ("npp", "NPP", "#009e73"), ("rh", "soil respiration", SECOND)),
    ),
    ("Net uptake by land", "gC m⁻² yr⁻¹", 3.15576e10, (("nbp", "NBP", MODEL),)),
    ("Nitrogen fluxes", "gN m⁻² yr⁻¹", 3.15576e10, (("fNup", "uptake", "#009e73"), ("fBNF", "fixation", WARM))),
    (
        "Carbon stocks",
        "kgC m⁻²",
        1.0,
        (
            ("cVeg", "vegetation", "#009e73"),
            ("cSoil", "soil", "#8c6d31"),
            ("cLitter", "litter", WARM),
            ("cProduct", "wood products", WATER),
        ),
    ),
    (
        "Radiocarbon",
        "Δ¹⁴C, ‰",
        1.0,
        (
            ("delta14c_air", "air", OBSERVED),
            ("delta14c_vegetation", "vegetation", "#009e73"),
            ("delta14c_litter", "litter", WARM),
            ("delta14c_soil", "soil", "#8c6d31"),
            ("delta14c_respired", "respired", SECOND),
        ),
    ),
    (
        "Carbon 13",
        "δ¹³C, ‰",
        1.0,
        (
            ("delta13c_vegetation", "vegetation", "#009e73"),
            ("delta13c_soil", "soil", "#8c6d31"),
            ("delta13c_respired", "respired", SECOND),
        ),
    ),
)


def running_mean(values, window):
    """Centred means over ``window`` years, NaN where the window leaves the series."""
    out = np.full(len(values), np.nan)
    if len(values) >= window:
        start = (window - 1) // 2
        out[start : start + len(values) - window + 1] = np.convolve(values, np.ones(window) / window, mode="valid")
    return out


@_styled
def history(year, values, window=1):
    """Years of a history: atmosphere, fluxes (thin: years, thick: means over ``window`` years), stocks, isotopes.

    Parameters
    ----------
    year : int array
    values : dict name -> array (year,), units of the annual file
    window : years of the running mean, a multiple of the recycled ones
    """
    panels = [
        (title, unit, factor, found)
        for title, unit, factor, curves in _HISTORY
        if (found := [c for c in curves if c[0] in values and np.ptp(values[c[0]]) > 0.0])
    ]
    if not panels:
        return None
    figure, axes = _figure(len(panels), 1, 9.0, 1.55 * len(panels), sharex=True)
    for axis, (title, unit, factor, curves) in zip(axes[:, 0], panels, strict=True):
        for name, label, colour in curves:
            series = values[name] * factor
            # recycled weather makes a saw of every flux: the means show what changed
            smooth = window > 1 and factor != 1.0 and name != "fNdep"
            axis.plot(year, series, color=colour, lw=0.7 if smooth else 1.2, alpha=0.35 if smooth else 1.0,
                      label=None if smooth else label)  # fmt: skip
            if smooth:
                axis.plot(year, running_mean(series, window), color=colour, lw=1.6, label=label)
        if title.startswith("Net"):
            axis.axhline(0.0, color="#9aa1a9", lw=0.8)
        axis.set_title(title)
        axis.set_ylabel(unit)
        axis.set_xlim(year[0], year[-1])
        if len(curves) > 1:
            axis.legend(loc="lower right", bbox_to_anchor=(1.0, 0.98), ncols=5, borderaxespad=0.1, handlelength=1.4)
    figure.align_ylabels()
    return figure


@_styled
def biome_cycles(time, titles, curves, unit, columns=3, shade=None):
    """Seasonal cycle of several quantities at many sites, one small panel each.

    Parameters
    ----------
    time : datetime64 array
        Days or steps.
    titles : sequence of str
        One per site.
    curves : list of (label, colour, array (time, site))
        Quantities of the same unit.
    unit : str
        Axis label.
    columns : int
        Panels in a row.
    shade : (int, int), optional
        Fill between these two curves: uptake where the first is the larger, release where it is the smaller.
    """
    rows = -(-len(titles) // columns)
    figure, axes = _figure(rows, columns, 9.0, 0.4 + 1.6 * rows, sharex=True, sharey=True)
    month = np.arange(12)
    handles = []
    for k, axis in enumerate(axes.flat):
        if k >= len(titles):
            axis.set_visible(False)
            continue
        cycles = [by_month(time, values[:, k]) for _, _, values in curves]
        if shade is not None:
            a, b = cycles[shade[0]], cycles[shade[1]]
            axis.fill_between(month, a, b, where=a >= b, interpolate=True, color=MODEL, alpha=0.14, lw=0)
            axis.fill_between(month, a, b, where=a < b, interpolate=True, color=SECOND, alpha=0.14, lw=0)
        handles = [
            axis.plot(month, cycle, color=colour)[0] for cycle, (_, colour, _) in zip(cycles, curves, strict=True)
        ]
        axis.set_title(titles[k], fontsize=8.8)
        axis.set_xticks(range(0, 12, 2), MONTHS[::2])
        axis.set_xlim(0, 11)
        if k + columns >= len(titles):
            axis.tick_params(labelbottom=True)
        if k % columns == 0:
            axis.set_ylabel(unit)
    _legend(figure, handles, [label for label, _, _ in curves])
    return figure


@_styled
def biome_bars(titles, groups):
    """Horizontal bars of annual or mean quantities per site.

    Parameters
    ----------
    titles : sequence of str
    groups : list of (panel title, unit, list of (label, colour, values per site))
        Bars of one panel are stacked.
    """
    figure, axes = _figure(1, len(groups), 9.0, 0.7 + 0.26 * len(titles), sharey=True)
    y = np.arange(len(titles))[::-1]
    for axis, (title, unit, bars) in zip(axes[0], groups, strict=True):
        left = np.zeros(len(titles))
        for label, colour, values in bars:
            axis.barh(y, values, 0.68, left=left, color=colour, label=label)
            left = left + np.nan_to_num(values)
        axis.set_title(title)
        axis.set_xlabel(unit)
        axis.grid(False, axis="y")
        axis.set_yticks(y, titles)
        axis.tick_params(axis="y", length=0)
        axis.locator_params(axis="x", nbins=5)
        if len(bars) > 1:
            axis.legend(
                loc="lower right",
                bbox_to_anchor=(1.0, 1.0),
                ncols=len(bars),
                borderaxespad=0.1,
                handlelength=1.0,
                columnspacing=1.0,
                fontsize=8,
            )
    return figure


@_styled
def win_table(table):
    """Sites x fluxes of ``score_sites``: NME of the model, coloured by its ratio to the best benchmark.

    The small numbers under each NME are the metrics won, of four, against each benchmark in turn.
    """
    from matplotlib.colors import LinearSegmentedColormap

    rows = table["rows"]
    if not rows:
        return None
    sites = sorted({row["site"] for row in rows})
    fluxes = [flux for flux in ("NEE", "GPP", "GPP_DT", "Reco", "Qle", "Qh") if any(r["flux"] == flux for r in rows)]
    names = list(table["share"])
    figure, axes = _figure(1, 1, 1.7 + 1.2 * len(fluxes), 1.0 + 0.42 * len(sites))
    axis = axes[0, 0]
    colours = LinearSegmentedColormap.from_list("ratio", ["#3a87bd", "#bcd9eb", "#f7f7f7", "#f6cfa8", "#dd7a2c"])
    for row in rows:
        x, y = fluxes.index(row["flux"]), sites.index(row["site"])
        nme = row["scores"]["model"]["nme"]
        best = min((row["scores"][name]["nme"] for name in names if name in row["scores"]), default=np.nan)
        ratio = np.log2(nme / best) if best > 0 and nme > 0 else np.nan
        colour = "#ffffff" if not np.isfinite(ratio) else colours(0.5 + 0.5 * np.clip(ratio, -1, 1))
        axis.add_patch(_cell(x, y, colour, row["judged"]))
        ink = "#ffffff" if np.isfinite(ratio) and ratio < -0.75 else OBSERVED
        axis.text(x, y - 0.12, f"{nme:.2f}", ha="center", va="center", fontsize=8.5, color=ink)
        wins = "  ".join(f"{sum(won.values())}" for won in row["wins"].values())
        axis.text(x, y + 0.25, wins, ha="center", va="center", fontsize=7, color=ink)
    axis.set_xlim(-0.5, len(fluxes) - 0.5)
    axis.set_ylim(len(sites) - 0.5, -0.5)
    axis.set_xticks(range(len(fluxes)), fluxes)
    axis.set_yticks(range(len(sites)), sites)
    axis.xaxis.tick_top()
    axis.tick_params(length=0)
    axis.grid(False)
    for spine in axis.spines.values():
        spine.set_visible(False)
    axis.set_xlabel(
        "NME of the model; blue: smaller, orange: larger than the best benchmark\n"
        f"below: metrics won of 4 against {', '.join(names)}; dashed: not judged",
        fontsize=7.5,
    )
    return figure


def _cell(x, y, colour, judged):
    from matplotlib.patches import Rectangle

    edge = {"edgecolor": "#ffffff", "linewidth": 2.0} if judged else {"edgecolor": "#737c88", "linestyle": "--"}
    shrink = 0.5 if judged else 0.46
    return Rectangle((x - shrink, y - shrink), 2 * shrink, 2 * shrink, facecolor=colour, **edge)
