"""194 places of the world from monthly climate, beside their towers and satellites.

    python benchmarks/points.py --data ../shared/data [--years 2001 2016] [--figure docs/images/points.svg]

DATA holds `grid/monthly_points_2001-2016.nc`: monthly drivers and observations at 194 FLUXNET2015 sites (Pastorello et
al. 2020; Yang et al. 2022). The run has the IGBP class of each site, generated weather, a spin-up to the equilibrium of
the first ten years at the CO2 of the first, and default parameters. Means over the months with an observation (both
halves of the tower record) are compared site by site, and single months over all sites of a class.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

import numpy as np

FILE = "grid/monthly_points_2001-2016.nc"
SECONDS = 86400.0
# What is compared: columns of the file (the first that has data), CMIP name, factor to the unit, unit
QUANTITIES = {
    "GPP": (("GPP", "GPP_val"), "gpp", 1e3 * SECONDS, "g C m⁻² d⁻¹"),
    "ET": (("ET", "ET_val"), "evspsbl", SECONDS, "mm d⁻¹"),
    "LAI": (("LAI",), "lai", 1.0, "m² m⁻²"),
    "biomass": (("ABGB",), "cVeg", 1.0, "kg C m⁻²"),
}
FOREST, OPEN = ("ENF", "EBF", "DBF", "MF"), ("OSH", "CSH", "WSA", "SAV", "GRA", "WET", "CRO")


def configuration(data, out, years, rounds, box=None, step=1800, threads=1):
    """Configuration of the run, as a dict."""
    file = str((data / FILE).resolve())
    last = min(years[0] + 9, years[1])
    phases = [{"name": "spinup", "kind": "spinup", "climate": {"cycle": [years[0], last]}, "rounds": rounds}]
    return {
        "title": "points of the world",
        "domain": {"grid": "points", "points": file} | ({"box": box} if box else {}),
        "forcing": {"source": "monthly", "files": file},
        "model": {"time_step": step},
        "phases": phases[: bool(rounds)] + [{"name": "run", "kind": "run", "years": list(years)}],
        "output": {
            "folder": str(out),
            "streams": [{"name": "points", "frequency": "month", "variables": [q[1] for q in QUANTITIES.values()]}],
        },
        "parallel": {"threads": threads},
    }  # fmt: skip


def run(data, out, years, rounds, **more):
    """Run (or go on with) the points; the folder of the output."""
    from ruamel.yaml import YAML

    from concerto.simulation.run import Simulation

    out.mkdir(parents=True, exist_ok=True)
    path = out / "points.yaml"
    with open(path, "w") as file:
        YAML(typ="safe").dump(configuration(data, out.resolve(), years, rounds, **more), file)
    Simulation(path, quiet=False).run()
    return out


def read(data, out):
    """Model and observations by quantity, (site, month) in the unit of the table, and the class of each site."""
    import netCDF4

    from concerto.domain.grid import Domain

    rows = Domain.load(out / "domain.nc").cell_id
    model, months = {}, []
    for path in sorted(out.glob("points_[0-9]*.nc")):
        with netCDF4.Dataset(path) as file:
            when = netCDF4.num2date(file["time"][:], file["time"].units, file["time"].calendar)
            months += [t.year * 12 + t.month - 1 for t in when]
            for name, (_, cmip, factor, _) in QUANTITIES.items():
                model.setdefault(name, []).append(np.ma.filled(file[cmip][:].astype(float), np.nan).T * factor)
    model = {name: np.concatenate(parts, axis=1) for name, parts in model.items()}
    observed = {}
    with netCDF4.Dataset(data / FILE) as file:
        columns = np.array(months) - 2001 * 12
        for name, (sources, *_) in QUANTITIES.items():
            values = np.full(model[name].shape, np.nan)
            for source in sources:
                found = np.ma.filled(file[source][:].astype(float), np.nan)[rows]
                found = found[:, columns] if found.ndim == 2 else np.repeat(found[:, None] * 1e-3, len(columns), axis=1)
                values = np.where(np.isfinite(values), values, found)
            observed[name] = values
        igbp = np.array([str(v) for v in file["igbp"][:]])[rows]
        names = np.array([str(v) for v in file["site"][:]])[rows]
    return model, observed, igbp, names


def means(model, observed, least=6):
    """Mean of each site over the months with an observation, (site,); NaN with fewer than `least` months."""
    good = np.isfinite(observed)
    number = good.sum(axis=1)
    divisor = np.maximum(number, 1)
    enough = number >= least
    return tuple(
        np.where(enough, np.where(good, values, 0.0).sum(axis=1) / divisor, np.nan) for values in (model, observed)
    )


def table(model, observed, igbp):
    """Rows of the comparison: class, quantity -> scores of the site means and of single months."""
    from concerto.evaluation.metrics import scores

    groups = {"all": np.ones(len(igbp), bool), "forest": np.isin(igbp, FOREST), "open": np.isin(igbp, OPEN)}
    groups |= {name: igbp == name for name in (*FOREST, *OPEN) if (igbp == name).any()}
    out = {}
    for group, chosen in groups.items():
        for name in QUANTITIES:
            m, o = model[name][chosen], observed[name][chosen]
            site = scores(*means(m, o, least=1 if name == "biomass" else 6), minimum=1)
            month = scores(m.ravel(), o.ravel(), minimum=24)
            found = {k: float(v) for k, v in site.items()}
            if found["n"] < 4:
                found |= {"r": np.nan, "nme": np.nan}
            out[group, name] = found | {"month_r": float(month["r"]), "month_nme": float(month["nme"])}
    return out


def text(rows):
    """The comparison as a table in Markdown."""
    lines = [
        "| class | quantity | sites | observed | model | bias | r, sites | NME, sites | r, months | NME, months |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for (group, name), row in rows.items():
        if row["n"] == 0:
            continue
        single = "| – | –" if name == "biomass" else f"| {row['month_r']:.2f} | {row['month_nme']:.2f}"
        lines.append(
            f"| {group} | {name}, {QUANTITIES[name][3]} | {row['n']:.0f} | {row['mean_obs']:.2f} | "
            f"{row['mean_sim']:.2f} | {row['bias']:+.2f} | {row['r']:.2f} | {row['nme']:.2f} {single} |"
        )
    return "\n".join(lines).replace("nan", "–").replace("+–", "–")


def figure(path, model, observed, igbp):
    """Site means of model against observation; seasons of the classes below."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    shown = [name for name in (*FOREST, *OPEN) if (igbp == name).sum() >= 5]
    colours = dict(zip(shown, plt.get_cmap("tab10")(np.arange(len(shown)) % 10), strict=True))
    fig, axes = plt.subplots(2, 4, figsize=(13, 6.4), layout="constrained")
    for axis, (name, (*_, unit)) in zip(axes[0], QUANTITIES.items(), strict=True):
        m, o = means(model[name], observed[name], least=1 if name == "biomass" else 6)
        top = 1.05 * np.nanmax(np.concatenate([m, o, [0.1]]))
        axis.plot([0, top], [0, top], color="0.6", lw=0.8)
        for group in shown:
            axis.plot(o[igbp == group], m[igbp == group], "o", ms=4, alpha=0.75, color=colours[group], label=group)
        axis.set(xlim=(0, top), ylim=(0, top), xlabel="observed", ylabel="model", title=f"{name}, {unit}")
    fig.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=len(shown), fontsize=8)
    season = np.arange(model["GPP"].shape[1]) % 12
    groups = {"ENF": "ENF", "DBF": "DBF", "GRA": "GRA", "EBF": "EBF"}
    for axis, group in zip(axes[1], groups, strict=True):
        chosen = igbp == group
        for name, colour in (("GPP", "tab:green"), ("ET", "tab:blue"), ("LAI", "tab:brown")):
            o = observed[name][chosen]
            m = np.where(np.isfinite(o), model[name][chosen], np.nan)
            cycle = [[np.nanmean(v[:, season == k]) for k in range(12)] for v in (o, m)]
            axis.plot(np.arange(1, 13), cycle[0], "o", ms=4, color=colour)
            axis.plot(np.arange(1, 13), cycle[1], "-", color=colour, label=f"{name}, {QUANTITIES[name][3]}")
        axis.set(title=f"{group}, months", xlabel="month", ylim=(0, None), xticks=range(1, 13, 2))
    handles, labels = axes[1, 0].get_legend_handles_labels()
    labels[-1] += "; dots observed, lines model"
    fig.legend(handles, labels, loc="outside lower center", ncols=3, fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    fig.savefig(path)
    plt.close(fig)


def main(arguments=None):
    """Run the command line; returns the exit code."""
    from concerto.errors import ConcertoError

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help=f"folder with {FILE}")
    parser.add_argument("--years", type=int, nargs=2, default=(2001, 2016), help="first and last year (2001 2016)")
    parser.add_argument("--rounds", type=int, default=2, help="cycles between equilibria in the spin-up (2); 0: none")
    parser.add_argument("--box", type=float, nargs=4, help="west south east north: only these sites")
    parser.add_argument("--step", type=int, default=1800, help="time step, s (1800)")
    parser.add_argument("--threads", type=int, default=1, help="threads (1)")
    parser.add_argument("--out", type=Path, help="folder of the run; goes on with what is there (default: temporary)")
    parser.add_argument("--json", type=Path, help="file to write the scores to")
    parser.add_argument("--figure", type=Path, help="figure to write (.svg or .png)")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as scratch:
        out = options.out or Path(scratch)
        try:
            run(
                options.data, out, options.years, options.rounds,
                box=options.box, step=options.step, threads=options.threads,
            )  # fmt: skip
        except ConcertoError as error:
            print(error, file=sys.stderr)
            return 2
        model, observed, igbp, _ = read(options.data, out)
    rows = table(model, observed, igbp)
    print(text(rows))
    if options.json:
        options.json.write_text(json.dumps([{"class": g, "quantity": q} | row for (g, q), row in rows.items()]) + "\n")
    if options.figure:
        figure(options.figure, model, observed, igbp)
    return 0


if __name__ == "__main__":
    sys.exit(main())
