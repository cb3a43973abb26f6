"""Figures of a global or regional run: maps, zonal means, biomes, seasons, totals, time of the ranks.

Every figure function gives a complete SVG document (str), or a PNG (bytes) with ``format="png"``, or None where there
is nothing to draw. Maps of the globe are in the Equal Earth projection (Savric et al. 2018,
doi:10.1080/13658816.2018.1504949), regions in plate carree; their coloured layer is a picture inside the SVG, so that
fine grids stay small. Colours: ramps that fall evenly in lightness, diverging ones centred at zero where the sign
matters.
"""

from __future__ import annotations

import functools
import io
import re

import numpy as np

from concerto.evaluation.globe import SECONDS_PER_YEAR, peak_lai
from concerto.evaluation.plots import FONTS, MODEL, MONTHS, OBSERVED, SECOND, STYLE, WARM, WATER, running_mean

GRAMS = 1000.0 * SECONDS_PER_YEAR
NOTHING = "#e6e9ec"  # no data: sea, ice, land outside the run
GREEN, SOIL = "#009e73", "#8c6d31"
# name -> title, unit, factor, colours, scale: "+" from zero, "0" centred at zero, "share" 0 to 1, "log"
FIELDS = {
    "gpp": ("GPP", "gC m⁻² yr⁻¹", GRAMS, "YlGn", "+"),
    "npp": ("NPP", "gC m⁻² yr⁻¹", GRAMS, "YlGn", "+"),
    "nbp": ("Net uptake (NBP)", "gC m⁻² yr⁻¹", GRAMS, "BrBG", "0"),
    "lai_peak": ("Peak leaf area index", "m² m⁻²", 1.0, "YlGn", "+"),
    "cVeg": ("Carbon in vegetation", "kgC m⁻²", 1.0, "YlGnBu", "+"),
    "cSoil": ("Carbon in soil", "kgC m⁻²", 1.0, "YlOrBr", "+"),
    "evspsbl": ("Evapotranspiration", "mm yr⁻¹", SECONDS_PER_YEAR, "GnBu", "+"),
    "tran_share": ("Transpiration / ET", "", 1.0, "PuBuGn", "share"),
    "mrro": ("Runoff", "mm yr⁻¹", SECONDS_PER_YEAR, "PuBu", "+"),
    "cue": ("NPP / GPP", "", 1.0, "BuPu", "share"),
    "turnover": ("Turnover time of carbon", "yr", 1.0, "BuPu", "log"),
    "hfss": ("Sensible heat", "W m⁻²", 1.0, "YlOrRd", "+"),
    "cLitter": ("Carbon in litter", "kgC m⁻²", 1.0, "YlOrBr", "+"),
    "rh": ("Heterotrophic respiration", "gC m⁻² yr⁻¹", GRAMS, "YlOrBr", "+"),
    "tas": ("Air temperature", "°C", 1.0, "RdYlBu_r", "0"),
}
SHOWN = ("gpp", "npp", "cVeg", "cSoil", "lai_peak", "turnover", "evspsbl", "tran_share", "mrro", "nbp")
PFT = (  # short name, colour
    ("bare", "#ead9b5"),
    ("needle evergreen, temperate", "#12707f"),
    ("needle evergreen, boreal", "#1f4e9c"),
    ("needle deciduous, boreal", "#5fa3e0"),
    ("broad evergreen, tropical", "#0b5d3b"),
    ("broad evergreen, temperate", "#2fa58e"),
    ("broad deciduous, tropical", "#6aa84f"),
    ("broad deciduous, temperate", "#8fd0a0"),
    ("broad deciduous, boreal", "#a9c8ee"),
    ("shrub, evergreen", "#7d4a24"),
    ("shrub deciduous, temperate", "#b97a48"),
    ("shrub deciduous, boreal", "#7a6bb0"),
    ("grass, arctic", "#b9aee0"),
    ("grass C3", "#b9cf6a"),
    ("grass C4", "#d9b43a"),
    ("crop C3", "#cc79a7"),
    ("crop C4", "#e3b3cd"),
)
MAP_STYLE = STYLE | {"figure.dpi": 190.0, "axes.titlesize": 9.5}


def _drawn(function):
    """Run a figure function in the house style; ``format`` chooses SVG text (default) or PNG bytes."""

    @functools.wraps(function)
    def wrapped(*args, format="svg", **options):
        import logging
        import warnings

        import matplotlib

        logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)
        with matplotlib.rc_context(MAP_STYLE | {"svg.hashsalt": function.__name__}), warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=RuntimeWarning)  # means of empty bands
            figure = function(*args, **options)
            if figure is None:
                return None
            if format == "png":
                from matplotlib.backends.backend_agg import FigureCanvasAgg

                FigureCanvasAgg(figure)
                buffer = io.BytesIO()
                figure.savefig(buffer, format="png", dpi=160, facecolor="white")
                return buffer.getvalue()
            buffer = io.StringIO()
            figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
        text = re.sub(r"<metadata>.*?</metadata>\s*", "", buffer.getvalue(), flags=re.S)
        return text.replace("'DejaVu Sans'", FONTS)

    return wrapped


def _figure(rows=1, columns=1, width=9.0, height=3.0, **options):
    from concerto.evaluation.plots import _figure as figure

    return figure(rows, columns, width, height, **options)


# --- projection ------------------------------------------------------------

_EQUAL_EARTH = (1.340264, -0.081106, 0.000893, 0.003796)


def equal_earth(longitude, latitude):
    """Equal Earth projection of a sphere of radius 1.

    Parameters
    ----------
    longitude, latitude : arrays, degrees

    Returns
    -------
    x, y : arrays
        Formulas of Savric, Patterson and Jenny 2018; areas are true.
    """
    a1, a2, a3, a4 = _EQUAL_EARTH
    theta = np.arcsin(0.5 * np.sqrt(3.0) * np.sin(np.radians(latitude)))
    square = theta**2
    slope = 9.0 * a4 * square**4 + 7.0 * a3 * square**3 + 3.0 * a2 * square + a1
    x = 2.0 * np.sqrt(3.0) * np.radians(longitude) * np.cos(theta) / (3.0 * slope)
    return x, theta * (a4 * square**4 + a3 * square**3 + a2 * square + a1)


def coast():
    """Coastline (longitude, latitude), degrees, with NaN between the lines; None where the package has none."""
    try:
        from concerto.domain.embedded import coastline
    except ImportError:
        return None
    return coastline()


class _Frame:
    """How the land of a run is put on paper."""

    def __init__(self, data):
        self.data = data
        if data.lat_edges is not None:
            south, north = np.sort([data.lat_edges[data.row].min(), data.lat_edges[data.row + 1].max()])
            west, east = data.lon_edges[data.column].min(), data.lon_edges[data.column + 1].max()
        else:
            spread = max(np.ptp(data.latitude), np.ptp(data.longitude))
            margin = 0.08 * spread + 1.0
            south, north = max(data.latitude.min() - margin, -90.0), min(data.latitude.max() + margin, 90.0)
            west, east = data.longitude.min() - margin, data.longitude.max() + margin
        self.globe = east - west > 200.0 or north - south > 110.0
        self.box = (west, east, south, north)
        self.low = -60.0 if self.globe and south >= -62.0 else -90.0  # a globe without land in the far south is cut
        if self.globe:
            x, _ = equal_earth(180.0, 0.0)
            _, bottom = equal_earth(0.0, self.low)
            _, top = equal_earth(0.0, 90.0)
            self.ratio = (top - bottom) / (2.0 * x)
        else:
            self.stretch = 1.0 / max(np.cos(np.radians(0.5 * (south + north))), 0.2)
            self.ratio = float(np.clip((north - south) * self.stretch / max(east - west, 1e-6), 0.3, 1.4))
        self.line = self._coast()

    def project(self, longitude, latitude):
        return equal_earth(longitude, latitude) if self.globe else (longitude, latitude)

    def _coast(self):
        line = coast()
        if line is None:
            return None
        lon, lat = (np.asarray(v, float).copy() for v in line)
        jump = np.flatnonzero(np.abs(np.diff(lon)) > 180.0)  # a line across the date line
        lon, lat = np.insert(lon, jump + 1, np.nan), np.insert(lat, jump + 1, np.nan)
        west, east, south, north = self.box
        outside = (lat < self.low) if self.globe else (
            (lon < west - 5) | (lon > east + 5) | (lat < south - 5) | (lat > north + 5)
        )  # fmt: skip
        return self.project(np.where(outside, np.nan, lon), lat)

    def draw(self, axis, values, colours, norm):
        """Put a field on axes; gives the mappable for a colour bar."""
        from matplotlib.patches import Polygon

        axis.grid(False)
        axis.set_axis_off()
        axis.set_aspect("equal" if self.globe else self.stretch)
        west, east, south, north = self.box
        if self.globe:
            side = np.linspace(self.low, 90.0, 91)
            along = np.linspace(-180.0, 180.0, 181)
            lon = np.concatenate([np.full(91, 180.0), along[::-1], np.full(91, -180.0), along])
            lat = np.concatenate([side, np.full(181, 90.0), side[::-1], np.full(181, self.low)])
            axis.add_patch(Polygon(np.stack(self.project(lon, lat), 1), fc=NOTHING, ec="none", zorder=0))
            x, _ = equal_earth(180.0, 0.0)
            axis.set_xlim(-1.005 * x, 1.005 * x)
            axis.set_ylim(equal_earth(0.0, self.low)[1] - 0.005, equal_earth(0.0, 90.0)[1] + 0.005)
            for parallel in range(-60, 90, 30):
                axis.plot(*self.project(along, np.full(181, float(parallel))), color="#fff", lw=0.4, zorder=1)
            for meridian in range(-120, 180, 60):
                axis.plot(*self.project(np.full(91, float(meridian)), side), color="#fff", lw=0.4, zorder=1)
        else:
            axis.add_patch(
                Polygon([(west, south), (east, south), (east, north), (west, north)], fc=NOTHING, ec="none", zorder=0)
            )
            axis.set_xlim(west, east)
            axis.set_ylim(south, north)
        data = self.data
        if data.lat_edges is not None:
            lon, lat = np.meshgrid(data.lon_edges, data.lat_edges)
            shown = axis.pcolormesh(
                *self.project(lon, lat),
                np.ma.masked_invalid(data.grid(values)),
                cmap=colours,
                norm=norm,
                rasterized=True,
                zorder=2,
                antialiased=False,
            )
        else:
            x, y = self.project(data.longitude, data.latitude)
            shown = axis.scatter(
                x,
                y,
                c=np.ma.masked_invalid(values),
                cmap=colours,
                norm=norm,
                plotnonfinite=True,
                s=np.clip(4000.0 / len(x), 3.0, 55.0),
                lw=0.5 if len(x) < 400 else 0.0,
                edgecolors="#59606a",
                zorder=4,
                rasterized=len(x) > 2000,
            )
        if self.line is not None:
            axis.plot(*self.line, color="#4a525b", lw=0.3, zorder=3, rasterized=True, solid_joinstyle="round")
        return shown


def _levels(values, kind):
    """Borders of the colour classes, and which ends go on."""
    from matplotlib.ticker import MaxNLocator

    good = values[np.isfinite(values)]
    if not len(good):
        return np.array([0.0, 1.0]), "neither"
    low, high = np.percentile(good, [2.0, 98.0])
    if kind == "share":
        levels = np.linspace(0.0, 1.0, 11)
    elif kind == "log":
        steps = np.array([1, 2, 3, 5, 10, 20, 30, 50, 100, 200, 300, 500, 1000, 2000, 5000], float)
        first, last = np.searchsorted(steps, low, "right") - 1, np.searchsorted(steps, high)
        levels = steps[max(first, 0) : min(last, len(steps) - 1) + 1]
        levels = levels if len(levels) > 2 else steps[:4]
    elif kind == "0":
        high = max(abs(low), abs(high), 1e-9)
        levels = MaxNLocator(10, symmetric=True, steps=[1, 2, 2.5, 5, 10]).tick_values(-high, high)
    else:
        low = 0.0 if kind == "+" else low
        if high - low < 1e-9 * max(abs(high), 1.0):
            high = low + max(abs(low), 1.0)
        levels = MaxNLocator(10, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)
        while len(levels) > 3 and levels[-2] >= high:
            levels = levels[:-1]
    over, under = good.max() > levels[-1], good.min() < levels[0]
    return levels, {(0, 0): "neither", (0, 1): "max", (1, 0): "min", (1, 1): "both"}[int(under), int(over)]


def _colours(name, levels, extend, kind):
    """Colours of the classes: the palest and darkest tenth of a ramp are left out."""
    import matplotlib
    from matplotlib.colors import BoundaryNorm, ListedColormap

    ramp = matplotlib.colormaps[name]
    classes = len(levels) - 1 + {"neither": 0, "both": 2}.get(extend, 1)
    ends = (0.06, 0.94) if kind == "0" else (0.08, 1.0)
    colours = ListedColormap(ramp(np.linspace(*ends, classes)))
    if kind == "0" and extend in ("min", "max"):  # the middle of the ramp stays at zero
        whole = ramp(np.linspace(*ends, classes + 1))
        colours = ListedColormap(whole[:-1] if extend == "min" else whole[1:])
    return colours.with_extremes(bad=(0, 0, 0, 0)), BoundaryNorm(levels, classes, extend=extend)


def field_values(data, name):
    """Values of a field of ``FIELDS`` in its unit, (cell,), or None where the run has not its variables."""
    if name == "lai_peak":
        return peak_lai(data)
    if name in ("cue", "tran_share"):
        above, below = ("npp", "gpp") if name == "cue" else ("tran", "evspsbl")
        if above not in data.mean or below not in data.mean:
            return None
        # of nearly nothing a share has no meaning: 20 gC m-2 yr-1, 20 mm yr-1
        least = 20.0 / (GRAMS if name == "cue" else SECONDS_PER_YEAR)
        return np.where(data.mean[below] > least, data.mean[above] / np.maximum(data.mean[below], least), np.nan)
    if name == "turnover":
        from concerto.evaluation.globe import carbon

        stock = carbon(data)
        if stock is None or "gpp" not in data.mean:
            return None
        gpp = data.mean["gpp"] * SECONDS_PER_YEAR
        return np.where(gpp > 0.02, stock / np.maximum(gpp, 0.02), np.nan)
    if name not in data.mean:
        return None
    return data.mean[name] - 273.15 if name == "tas" else data.mean[name] * FIELDS[name][2]


@_drawn
def map_grid(data, names=SHOWN, columns=2):
    """Maps of the means of a run.

    Parameters
    ----------
    data : Climatology
    names : sequence of str
        Of ``FIELDS``; those without output are left out.
    columns : int
    """
    fields = [(name, value) for name in names if (value := field_values(data, name)) is not None]
    fields = [(name, value) for name, value in fields if np.isfinite(value).any()]
    if not fields:
        return None
    frame = _Frame(data)
    columns = min(columns, len(fields))
    rows = -(-len(fields) // columns)
    width = 9.0 if columns > 1 else 7.5
    each = width / columns * frame.ratio * (0.97 if frame.globe else 0.86) + (0.62 if frame.globe else 0.72)
    figure, axes = _figure(rows, columns, width, rows * each)
    figure.get_layout_engine().set(h_pad=0.07)
    for axis in axes.flat[len(fields) :]:
        axis.set_visible(False)
    for axis, (name, value) in zip(axes.flat, fields, strict=False):
        title, unit, _, ramp, kind = FIELDS[name]
        levels, extend = _levels(value, kind)
        shown = frame.draw(axis, value, *_colours(ramp, levels, extend, kind))
        axis.set_title(f"{title}" + (f", {unit}" if unit else ""), pad=3)
        _bar(figure, axis, shown, levels)
    return figure


def _bar(figure, axis, shown, levels):
    ticks = levels if len(levels) < 9 else levels[(len(levels) - 1) % 2 :: 2] if 0 not in levels else (
        levels[np.flatnonzero(levels == 0)[0] % 2 :: 2]
    )  # fmt: skip
    bar = figure.colorbar(
        shown, ax=axis, orientation="horizontal", shrink=0.62, aspect=34, pad=0.015, ticks=ticks, drawedges=False
    )
    bar.outline.set_visible(False)
    bar.minorticks_off()
    bar.ax.grid(False)
    bar.ax.tick_params(length=0, labelsize=7.5, pad=2)
    bar.ax.set_xticks(ticks, [f"{t:g}".replace("-", "−") for t in np.round(ticks, 10)])


@_drawn
def type_maps(data, share=None, biome=None):
    """Maps of the leading plant functional type and of the biome of the cells, with their legends.

    Parameters
    ----------
    data : Climatology
    share : (cell, 17), shares of the types
    biome : (cell,) names of biomes of the envelope
    """
    from matplotlib.colors import BoundaryNorm, ListedColormap
    from matplotlib.patches import Patch

    from concerto.evaluation.globe import _envelope

    panels = []
    if share is not None:
        lead = np.where(np.isfinite(share).all(1), np.argmax(np.nan_to_num(share), 1), -1)
        panels.append(("Leading plant functional type", lead, PFT))
    if biome is not None:
        table = _envelope()["biome"]
        names = list(table)
        code = np.array([names.index(b) if b else -1 for b in biome])
        panels.append(("Biome", code, [(table[n]["name"], table[n]["colour"]) for n in names]))
    if not panels:
        return None
    frame = _Frame(data)
    used = [[k for k in range(len(table)) if (code == k).any()] for _, code, table in panels]
    high, low = 4.5 * frame.ratio * 0.97 + 0.25, 0.17 * max(-(-len(there) // 2) for there in used) + 0.1
    figure, axes = _figure(2, len(panels), 4.5 * len(panels), high + low, height_ratios=[high, low])
    for (title, code, table), there, (axis, below) in zip(panels, used, axes.T, strict=True):
        colours = ListedColormap([colour for _, colour in table]).with_extremes(bad=(0, 0, 0, 0))
        norm = BoundaryNorm(np.arange(len(table) + 1) - 0.5, len(table))
        frame.draw(axis, np.where(code >= 0, code, np.nan), colours, norm)
        axis.set_title(title, pad=3)
        below.set_axis_off()
        below.legend(
            handles=[Patch(fc=table[k][1], label=table[k][0]) for k in there],
            loc="upper center",
            ncols=2,
            fontsize=7.5,
            handlelength=1.0,
            handleheight=1.0,
            labelspacing=0.35,
            columnspacing=1.4,
            borderaxespad=0.0,
        )
    return figure


# --- profiles and seasons ------------------------------------------------------------


def _width(data, least):
    """Width of latitude bands: at least a row of the grid, a divisor of 180."""
    step = least
    if data.lat_edges is not None:
        step = max(least, float(np.median(np.diff(data.lat_edges))))
    return next((w for w in (2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 7.5, 9.0, 10.0, 15.0) if w >= step - 1e-9), 15.0)


@_drawn
def zonal_means(data, names=("gpp", "npp", "lai_peak", "cVeg", "cSoil", "evspsbl")):
    """Land means by latitude, with the range of the middle 80 % of the land of a band."""
    fields = [(name, value) for name in names if (value := field_values(data, name)) is not None]
    if not fields or np.ptp(data.latitude) < 10.0 or len(data.latitude) < 30:
        return None
    width = _width(data, 4.0)
    band = np.floor((data.latitude + 90.0) / width).astype(int)
    bands = np.unique(band)
    middle = -90.0 + (bands + 0.5) * width
    columns = min(3, len(fields))
    rows = -(-len(fields) // columns)
    figure, axes = _figure(rows, columns, 9.0, 2.9 * rows, sharey=True)
    for axis in axes.flat[len(fields) :]:
        axis.set_visible(False)
    for axis, (name, value) in zip(axes.flat, fields, strict=False):
        title, unit, _, _, _ = FIELDS[name]
        rows_ = np.full((3, len(bands)), np.nan)
        for k, b in enumerate(bands):
            here = (band == b) & np.isfinite(value)
            if here.any():
                v, a = value[here], data.area[here]
                order = np.argsort(v)
                position = np.cumsum(a[order]) - 0.5 * a[order]
                rows_[:, k] = v @ a / a.sum(), *np.interp([0.1 * a.sum(), 0.9 * a.sum()], position, v[order])
        axis.fill_betweenx(middle, rows_[1], rows_[2], color=MODEL, alpha=0.16, lw=0)
        axis.plot(rows_[0], middle, color=MODEL, lw=1.6)
        axis.axhline(0.0, color="#9aa1a9", lw=0.7)
        axis.set_title(title)
        axis.set_xlabel(unit)
        axis.set_xlim(left=min(0.0, np.nanmin(rows_[1])))
        axis.locator_params(axis="x", nbins=5)
        _latitudes(axis, middle[0] - 0.5 * width, middle[-1] + 0.5 * width)
    return figure


def _latitudes(axis, low, high):
    axis.set_ylim(low, high)
    step = 30 if high - low > 60 else 10 if high - low > 20 else 5
    ticks = [t for t in range(-90, 91, step) if low <= t <= high]
    axis.set_yticks(ticks, [f"{abs(t)}°{'N' if t > 0 else 'S' if t < 0 else ''}" for t in ticks])


@_drawn
def hovmoeller(data, names=("gpp", "lai", "evspsbl", "nbp")):
    """The year by latitude: monthly land means of latitude bands."""
    per_day = 86400.0 * 1000.0
    table = {
        "gpp": ("GPP", "gC m⁻² d⁻¹", per_day, "YlGn", "+"),
        "lai": ("Leaf area index", "m² m⁻²", 1.0, "YlGn", "+"),
        "evspsbl": ("Evapotranspiration", "mm d⁻¹", 86400.0, "GnBu", "+"),
        "nbp": ("Net uptake (NBP)", "gC m⁻² d⁻¹", per_day, "BrBG", "0"),
    }
    names = [name for name in names if name in data.months and np.isfinite(data.months[name]).any()]
    if not names or np.ptp(data.latitude) < 10.0 or len(data.latitude) < 30:
        return None
    width = _width(data, 2.0)
    band = np.floor((data.latitude + 90.0) / width).astype(int)
    first, last = band.min(), band.max()
    edges = -90.0 + np.arange(first, last + 2) * width
    figure, axes = _figure(1, len(names), 9.0, 3.3, sharey=True)
    for axis, name in zip(axes[0], names, strict=True):
        title, unit, factor, ramp, kind = table[name]
        values = np.full((last - first + 1, 12), np.nan)
        good = np.where(np.isfinite(data.months[name]), data.area, 0.0)
        for month in range(12):
            weight = np.bincount(band - first, good[month], last - first + 1)
            total = np.bincount(band - first, good[month] * np.nan_to_num(data.months[name][month]), last - first + 1)
            values[:, month] = np.where(weight > 0, total / np.maximum(weight, 1e-30), np.nan)
        values *= factor
        levels, extend = _levels(values, kind)
        colours, norm = _colours(ramp, levels, extend, kind)
        axis.set_facecolor(NOTHING)
        axis.grid(False)
        shown = axis.pcolormesh(
            np.arange(13) - 0.5, edges, np.ma.masked_invalid(values), cmap=colours, norm=norm, rasterized=True
        )
        axis.set_title(f"{title}, {unit}", fontsize=8.3 if len(names) > 3 else 9.5)
        axis.set_xticks(range(12), MONTHS)
        axis.tick_params(length=0, axis="x", labelsize=7.2)
        _latitudes(axis, edges[0], edges[-1])
        bar = figure.colorbar(shown, ax=axis, orientation="horizontal", shrink=0.95, aspect=26, pad=0.02)
        bar.outline.set_visible(False)
        bar.minorticks_off()
        ticks = levels[::2] if len(levels) > 7 else levels
        if kind == "0":
            ticks = levels[np.flatnonzero(np.abs(levels) < 1e-12)[0] % 2 :: 2]
        bar.ax.set_xticks(ticks, [f"{t:g}".replace("-", "−") for t in np.round(ticks, 10)])
        bar.ax.tick_params(length=0, labelsize=7.2, pad=2)
    return figure


@_drawn
def biome_ranges(rows):
    """Biomes beside the envelope: grey the range, dot the mean of the run, line the middle 80 % of its land.

    Parameters
    ----------
    rows : list of dict, from ``globe.by_biome``
    """
    from concerto.evaluation.globe import _envelope, judge

    rows = [row for row in rows if row["values"]]
    if not rows:
        return None
    table, quantities = _envelope()["biome"], _envelope()["biome_quantity"]
    keys = [key for key in quantities if key != "turnover" and any(key in row["values"] for row in rows)]
    y = np.arange(len(rows))[::-1]
    columns = min(3, len(keys))
    lines = -(-len(keys) // columns)
    figure, axes = _figure(lines, columns, 9.0, lines * (0.75 + 0.235 * len(rows)), sharey=True)
    for axis in axes.flat[len(keys) :]:
        axis.set_visible(False)
    for axis, key in zip(axes.flat, keys, strict=False):
        top = 0.0
        for place, row in zip(y, rows, strict=True):
            entry = table[row["biome"]].get(key)
            if entry:
                axis.barh(place, entry[1] - entry[0], 0.62, left=entry[0], color="#d5dade", zorder=1.5)
                top = max(top, entry[1])
            if key not in row["values"]:
                continue
            mean, low, high = row["values"][key]
            inside = judge(mean, *entry) == "inside" if entry else None
            colour = "#737c88" if inside is None else MODEL if inside else SECOND
            axis.plot([low, high], [place, place], color=colour, lw=1.2, zorder=3, solid_capstyle="butt")
            axis.plot([mean], [place], "o", color=colour, ms=4.6, mec="#fff", mew=0.5, zorder=4)
            top = max(top, high)
        whole = key == "c_soil" and rows[0].get("soil_depth") == "all"
        axis.set_title("C soil, all depths" if whole else quantities[key]["name"])
        axis.set_xlabel(quantities[key]["unit"])
        axis.set_xlim(0.0, 1.04 * top if top > 0 else 1.0)
        axis.set_ylim(-0.7, len(rows) - 0.3)
        axis.grid(False, axis="y")
        axis.set_yticks(y, [row["name"] for row in rows])
        axis.tick_params(axis="y", length=0)
        axis.locator_params(axis="x", nbins=5)
    return figure


_SERIES = (  # title, unit, curves (name, label, colour); names of `series`
    ("Carbon fluxes", "PgC yr⁻¹", (("gpp", "GPP", MODEL), ("npp", "NPP", GREEN), ("rh", "soil respiration", SECOND))),
    ("Net land uptake", "PgC yr⁻¹", (("nbp", "NBP", MODEL),)),
    ("Water fluxes", "10³ km³ yr⁻¹", (("et", "evapotranspiration", MODEL), ("runoff", "runoff", WATER))),
    ("Carbon in vegetation", "PgC", (("c_vegetation", "vegetation", GREEN),)),
    ("Carbon in soil and litter", "PgC", (("c_soil", "soil", SOIL), ("c_litter", "litter", WARM))),
    ("Leaf area index", "m² m⁻²", (("lai", "LAI", GREEN),)),
    ("CO2", "ppm", (("co2", "CO2", OBSERVED),)),
)


@_drawn
def total_series(year, values, window=1):
    """Totals year by year.

    Parameters
    ----------
    year : (year,) numbers
    values : dict name -> (year,)
        gpp, npp, rh, nbp PgC yr-1; et, runoff 1000 km3 yr-1; c_vegetation, c_soil, c_litter PgC; lai; co2 ppm.
    window : int
        Years of the thick running mean of the fluxes; 1: none.
    """
    panels = []
    for title, unit, curves in _SERIES:
        found = [c for c in curves if c[0] in values and np.isfinite(values[c[0]]).sum() > 1]
        if found:
            panels.append((title, unit, found, len(curves) > 1))
    if not panels or len(year) < 2:
        return None
    columns = 2 if len(panels) > 1 else 1
    lines = -(-len(panels) // columns)
    figure, axes = _figure(lines, columns, 9.0, 1.75 * lines, sharex=True)
    for axis in axes.flat[len(panels) :]:
        axis.set_visible(False)
        axes[-2, columns - 1].tick_params(labelbottom=True)
    for axis, (title, unit, curves, named) in zip(axes.flat, panels, strict=False):
        for name, label, colour in curves:
            series = np.asarray(values[name], float)
            smooth = window > 1 and "yr⁻¹" in unit and len(series) > 2 * window
            axis.plot(year, series, color=colour, lw=0.8 if smooth else 1.4, alpha=0.4 if smooth else 1.0,
                      label=None if smooth else label)  # fmt: skip
            if smooth:
                axis.plot(year, running_mean(series, window), color=colour, lw=1.7, label=label)
        if title.startswith("Net"):
            axis.axhline(0.0, color="#9aa1a9", lw=0.8)
        axis.set_title(title)
        axis.set_ylabel(unit)
        axis.set_xlim(year[0], year[-1])
        axis.xaxis.get_major_locator().set_params(integer=True)
        axis.ticklabel_format(useOffset=False)
        if named:
            axis.legend(loc="lower right", bbox_to_anchor=(1.0, 0.98), ncols=3, borderaxespad=0.1, handlelength=1.2,
                        columnspacing=1.0, fontsize=8)  # fmt: skip
    figure.align_ylabels()
    return figure


SHARES = (("compute", MODEL), ("input", WARM), ("output", GREEN),
          ("spin-up", "#8f7bb8"), ("waiting", "#b8bec6"), ("other", "#dfe3e7"))  # fmt: skip


@_drawn
def wall_time(ranks):
    """Where the wall time of each rank went.

    Parameters
    ----------
    ranks : dict name -> (rank,) seconds
        ``compute``, ``input``, ``output``, ``spin-up``, ``waiting``, ``other``; those that are known.
    """
    ranks = {name: np.atleast_1d(np.asarray(ranks[name], float)) for name, _ in SHARES if name in ranks}
    if not ranks or not sum(v.sum() for v in ranks.values()) > 0.0:
        return None
    number = len(next(iter(ranks.values())))
    figure, axes = _figure(1, 1, 9.0, 0.75 + (0.26 * number if number <= 16 else 2.6))
    axis = axes[0, 0]
    total = sum(v.max() for v in ranks.values())
    unit, factor = ("h", 3600.0) if total > 7200 else ("min", 60.0) if total > 180 else ("s", 1.0)
    base = np.zeros(number)
    for name, colour in SHARES:
        if name not in ranks:
            continue
        value = ranks[name] / factor
        if number <= 16:
            axis.barh(np.arange(number), value, 0.72, left=base, color=colour, label=name)
        else:
            axis.bar(np.arange(number), value, 1.0, bottom=base, color=colour, label=name, lw=0)
        base = base + value
    if number <= 16:
        axis.set_yticks(range(number), [f"rank {k}" for k in range(number)])
        axis.invert_yaxis()
        axis.set_xlabel(f"wall time, {unit}")
        axis.grid(False, axis="y")
        axis.tick_params(axis="y", length=0)
    else:
        axis.set_xlabel("rank")
        axis.set_ylabel(f"wall time, {unit}")
        axis.set_xlim(-0.5, number - 0.5)
        axis.grid(False, axis="x")
    handles, labels = axis.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper left", ncols=len(labels), handlelength=1.1, columnspacing=1.4)
    return figure
