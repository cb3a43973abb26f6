"""The command line. Heavy libraries are imported by the commands that need them."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter

from concerto import __version__
from concerto.errors import ConcertoError

app = App(
    name="concerto",
    version=__version__,
    help="Land carbon-cycle model: from a tower file to evaluated fluxes, from Python, the shell or Fortran.",
    help_epilogue="Start with `concerto demo`, then `concerto site FILE.nc --out OUT.nc`.",
)

Flags = Annotated[tuple[str, ...], Parameter(negative=(), consume_multiple=True)]


def _pairs(items, what: str) -> dict[str, str]:
    """NAME=VALUE words as a dictionary."""
    out = {}
    for item in items:
        name, sep, value = item.partition("=")
        if not sep or not name or not value:
            raise ConcertoError(f"'{item}' is not of the form NAME=VALUE", hint=f"write for example --{what} NAME=VALUE")
        out[name.strip()] = value.strip()
    return out


@dataclass
class SiteFacts:
    """What the file does not say of the site; given values win over the file."""

    latitude: float | None = None
    "Degrees north."
    longitude: float | None = None
    "Degrees east."
    elevation: float | None = None
    "m above sea level."
    utc_offset_hours: float | None = None
    "Local standard time of the file minus UTC, h."
    igbp: str | None = None
    "IGBP land-cover class, such as ENF."
    name: str | None = None
    "Site code."
    reference_height: float | None = None
    "Height of the instruments above ground, m."
    canopy_height: float | None = None
    "m."
    time_stamp: Literal["start", "end", "middle"] | None = None
    "What the time stamps of the file mark (default: what the file says)."
    start: str | None = None
    "First day to use, such as 2005-01-01."
    end: str | None = None
    "Last day to use."

    def given(self) -> dict:
        """The facts that were given."""
        return {name: value for name, value in self.__dict__.items() if value is not None}


Facts = Annotated[SiteFacts | None, Parameter(name="*", group="Facts of the site")]


@app.command
def site(
    file: Path,
    *,
    out: Path,
    pft: str | None = None,
    set: Flags = (),
    option: Flags = (),
    spinup: Literal["auto", "none"] = "auto",
    report: Path | None = None,
    soil: str | None = None,
    facts: Facts = None,
    threads: int = 1,
    quiet: bool = False,
    json_: Annotated[bool, Parameter(name="--json")] = False,
):
    """Run one flux tower from its file; no configuration needed.

    Parameters
    ----------
    file
        Tower file: NetCDF with ALMA names (PLUMBER2, FluxnetLSM), or FLUXNET / ICOS half-hourly CSV.
    out
        NetCDF file to write, on the time axis of the input.
    pft
        Plant functional type, or a mixture such as grass_c3:0.6,needle_evergreen_boreal:0.4 (default: from the IGBP class).
    set
        Parameters, NAME=VALUE; see `concerto params`.
    option
        Schemes, NAME=CHOICE; see `concerto params --options`.
    spinup
        auto: soil temperature and water, vegetation and soil carbon are brought to the equilibrium of the file's own forcing.
    report
        HTML page to write beside the output.
    soil
        Texture class: coarse, medium, medium_fine, fine, very_fine, organic, ... (default: from the file, else medium).
    threads
        OpenMP threads.
    quiet
        No progress and no summary.
    json_
        Print the summary as JSON.

    Examples
    --------
    concerto site FI-Hyy_2005-2007.nc --out hyytiala.nc --report hyytiala.html
    """
    from concerto.simulation.site import open_site

    run = open_site(
        file,
        pft=pft,
        parameters=_pairs(set, "set"),
        options=_pairs(option, "option"),
        spinup=spinup,
        soil=soil,
        threads=threads,
        **(facts.given() if facts else {}),
    )
    summary = run.to_netcdf(out, quiet=quiet or json_)
    if report is not None:
        from concerto.evaluation.report import write_report

        write_report(report, out, obs=file)
        summary["report"] = str(report)
    if json_:
        print(json.dumps(summary))
    elif not quiet:
        from concerto.simulation.progress import print_summary

        print_summary(summary)


@app.command
def check(
    file: Path,
    *,
    facts: Facts = None,
    json_: Annotated[bool, Parameter(name="--json")] = False,
):
    """Validate a tower file: says what would be used, derived, filled or refused; runs nothing.

    Examples
    --------
    concerto check FI-Hyy_2005-2007.nc
    """
    from concerto.simulation.site import describe_input

    lines, found = describe_input(file, **(facts.given() if facts else {}))
    if json_:
        print(json.dumps(found))
    else:
        for line in lines:
            print(line)


@app.command
def evaluate(
    run: Path,
    *,
    obs: Path,
    training: Annotated[tuple[Path, ...], Parameter(negative=(), consume_multiple=True)] = (),
    report: Path | None = None,
    flags: str = "0",
    closure_corrected: bool = False,
    json_: Annotated[bool, Parameter(name="--json")] = False,
):
    """Compare a run with the tower: half-hourly, daily and monthly scores and empirical benchmarks.

    Parameters
    ----------
    run
        Output of `concerto site`.
    obs
        The tower file.
    training
        Other tower files (or a folder of them) on which the benchmarks 1lin, 2lin and 3km27 are trained.
    report
        HTML page to write.
    flags
        Quality flags of the fluxes that count, comma-separated.
    closure_corrected
        Compare with Qle and Qh corrected for energy-balance closure (Bowen ratio kept).
    json_
        Print the scores as JSON.

    Examples
    --------
    concerto evaluate hyytiala.nc --obs FI-Hyy_2005-2007.nc --training sites/ --report hyytiala.html
    """
    from concerto.evaluation.command import evaluate_command

    evaluate_command(run, obs, training, report, flags, closure_corrected, as_json=json_)


@app.command
def report(
    run: Path,
    *,
    out: Path | None = None,
    obs: Path | None = None,
    training: Annotated[tuple[Path, ...], Parameter(negative=(), consume_multiple=True)] = (),
):
    """Write one self-contained HTML page about a run.

    Examples
    --------
    concerto report hyytiala.nc --obs FI-Hyy_2005-2007.nc --out hyytiala.html
    """
    from concerto.evaluation.report import write_report

    target = out or run.with_suffix(".html")
    write_report(target, run, obs=obs, training=list(training))
    print(target)


@app.command
def vars(pattern: str = "", *, json_: Annotated[bool, Parameter(name="--json")] = False):
    """Search the table of variables: forcing, state and diagnostics, with unit, bounds and output name.

    Examples
    --------
    concerto vars soil
    """
    from concerto.tables.show import show_variables

    show_variables(pattern, as_json=json_)


@app.command
def params(pattern: str = "", *, options: bool = False, json_: Annotated[bool, Parameter(name="--json")] = False):
    """Search the table of parameters: unit, bounds, source and the value of each plant functional type.

    Parameters
    ----------
    pattern
        Part of a name or of its meaning.
    options
        Show the selectable schemes instead.
    json_
        Print as JSON.

    Examples
    --------
    concerto params vcmax
    """
    from concerto.tables.show import show_options, show_parameters

    (show_options if options else show_parameters)(pattern, as_json=json_)


@app.command
def bench(*, tiles: int = 1024, threads: int = 1, json_: Annotated[bool, Parameter(name="--json")] = False):
    """Measure the speed of the step on this machine, per process.

    Examples
    --------
    concerto bench
    """
    from concerto.simulation.bench import bench_command

    bench_command(tiles, threads, as_json=json_)


@app.command
def demo(*, out: Path = Path("concerto-demo"), years: int = 1, threads: int = 1):
    """Run twelve reference sites from tundra to rain forest with generated weather; needs no file. Writes a report page.

    Examples
    --------
    concerto demo --out concerto-demo
    """
    from concerto.simulation.demo import demo_command

    demo_command(out, years, threads)


def main() -> None:
    """Entry point: errors become one clear sentence and a non-zero exit code."""
    try:
        app()
    except ConcertoError as error:
        print(f"concerto: {error.message}", file=sys.stderr)
        if error.hint:
            print(f"  hint: {error.hint}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("concerto: interrupted", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:
        sys.exit(1)
