"""The command line. Heavy libraries are imported by the commands that need them."""

from __future__ import annotations

import json
import os
import sys
import warnings
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Annotated, Literal

try:
    from cyclopts import App, CycloptsError, Parameter
    from cyclopts.validators import Number
except KeyboardInterrupt:
    sys.exit(130)

from concerto import __version__
from concerto.errors import ConcertoError

app = App(
    name="concerto",
    version=__version__,
    help="Land carbon-cycle model: from a tower file to evaluated fluxes, from Python, the shell or Fortran.",
    help_epilogue="Start with `concerto demo`, then `concerto site FILE.nc --out OUT.nc`.",
    default_parameter=Parameter(negative=()),
    suppress_keyboard_interrupt=False,
)

Words = Annotated[tuple[str, ...], Parameter(consume_multiple=True, show_default=False)]
Paths = Annotated[tuple[Path, ...], Parameter(consume_multiple=True, show_default=False)]
Count = Annotated[int, Parameter(validator=Number(gte=1, lte=1_000_000))]
Threads = Annotated[int, Parameter(validator=Number(gte=1, lte=1024))]
Flag = Annotated[bool, Parameter(show_default=False)]
Json = Annotated[bool, Parameter(name="--json", show_default=False)]


def _pairs(items, what: str) -> dict[str, str]:
    """NAME=VALUE words as a dictionary."""
    out = {}
    for item in items:
        name, sep, value = item.partition("=")
        if not sep or not name.strip() or not value.strip():
            example = {"set": "g1=3", "option": "stomata=ball_berry"}[what]
            raise ConcertoError(
                f"--{what} '{item}' is not of the form NAME=VALUE", hint=f"write for example --{what} {example}"
            )
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
    "Last day to use, included."

    def given(self) -> dict:
        """The facts that were given; the last day as the first that is not used any more, as the reader wants it."""
        facts = {name: value for name, value in self.__dict__.items() if value is not None}
        days = {}
        for name in ("start", "end"):
            if name in facts:
                try:
                    days[name] = date.fromisoformat(facts[name][:10])
                except ValueError:
                    raise ConcertoError(
                        f"--{name} '{facts[name]}' is not a date", hint=f"write for example --{name} 2005-01-31"
                    ) from None
        if len(days) == 2 and days["end"] < days["start"]:
            raise ConcertoError(
                f"--end {facts['end']} lies before --start {facts['start']}", hint="exchange the two, or leave one out"
            )
        if len(facts.get("end", "")) == 10:
            facts["end"] = (days["end"] + timedelta(days=1)).isoformat()
        return facts


Facts = Annotated[SiteFacts | None, Parameter(name="*", group="Facts of the site")]


def _page(report: Path | None, *others) -> None:
    """Refuse an HTML page that cannot be written there, before any work is done."""
    if report is not None:
        from concerto.simulation.output import check_page

        check_page(report, others)


@app.command
def site(
    file: Path,
    /,
    *,
    out: Path,
    pft: str | None = None,
    set: Words = (),
    option: Words = (),
    spinup: Literal["auto", "none"] = "auto",
    restart: Path | None = None,
    restart_out: Path | None = None,
    report: Path | None = None,
    soil: str | None = None,
    ndep: str | None = None,
    delta13c: str | None = None,
    delta14c: str | None = None,
    facts: Facts = None,
    threads: Threads = 1,
    quiet: Flag = False,
    json_: Json = False,
):
    """Run one flux tower from its file; no configuration needed.

    Parameters
    ----------
    file
        Tower file: NetCDF with ALMA names (PLUMBER2, FluxnetLSM), or FLUXNET / ICOS half-hourly CSV.
    out
        NetCDF file to write, on the time axis of the input.
    pft
        Plant functional type, or a mixture such as grass_c3:0.6,needle_evergreen_boreal:0.4
        (default: from the IGBP class).
    set
        Parameters, NAME=VALUE; see `concerto params`.
    option
        Schemes, NAME=CHOICE; see `concerto params --options`.
    spinup
        auto: soil temperature and water, vegetation and soil carbon are brought to the equilibrium of the file's own
        forcing. none: starts from soil at field capacity, plants with full leaves (crops=calendar: fields are
        bare) and no soil carbon.
    restart
        Restart file to start from instead of the spin-up; its plant types, options and parameters are used
        (--set wins).
    restart_out
        Restart file to write at the end of the run.
    report
        HTML page to write beside the output, with scores where the tower file holds fluxes.
    soil
        Texture class: coarse, medium, medium_fine, fine, very_fine, organic, ... (default: from the file, else medium).
    ndep
        Nitrogen deposition: file of annual values or a number (g N m-2 yr-1); default: one curve for all land.
    delta13c
        delta13C of CO2: file of annual values or a number (per mil); default: built-in.
    delta14c
        Delta14C of CO2: file (layout of Graven et al. 2017) or a number (per mil); default 0.
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
    parameters, options = _pairs(set, "set"), _pairs(option, "option")
    given = facts.given() if facts else {}
    from concerto.simulation.output import check_target
    from concerto.simulation.site import open_site

    check_target(out, keep=(file, *([restart] if restart else [])))
    _page(report, file, out)
    if restart_out is not None:
        check_target(restart_out, keep=(file, out))
    air = dict(ndep=ndep, delta13c=delta13c, delta14c=delta14c)
    settings = dict(pft=pft, parameters=parameters, options=options, soil=soil, threads=threads, **air, **given)
    if restart is not None:
        from concerto.simulation.restart import continue_site

        run = continue_site(file, restart, **settings)
    else:
        run = open_site(file, spinup=spinup, **settings)
    summary = run.to_netcdf(out, quiet=quiet or json_)
    if restart_out is not None:
        from concerto.simulation.restart import write_site_restart

        summary["restart"] = str(write_site_restart(run, restart_out))
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
def spinup(
    file: Path,
    /,
    *,
    out: Path | None = None,
    pft: str | None = None,
    set: Words = (),
    option: Words = (),
    soil: str | None = None,
    ndep: str | None = None,
    delta13c: str | None = None,
    delta14c: str | None = None,
    passes: Count | None = None,
    facts: Facts = None,
    threads: Threads = 1,
    quiet: Flag = False,
    json_: Json = False,
):
    """Bring one flux tower to the equilibrium of its own forcing and write a restart file; runs nothing else.

    Ends with code 3 if a tile did not converge; the file is then marked so. For a configuration: its phases up to the
    first spin-up, which leaves state_<phase>.nc in the output folder.

    Parameters
    ----------
    file
        Tower file, or configuration (YAML).
    out
        Restart file to write (NetCDF), for `concerto site --restart`; of a configuration: the output folder.
    pft
        Plant functional type, or a mixture (default: from the IGBP class).
    set
        Parameters, NAME=VALUE; see `concerto params`. Of a configuration: section.key=value.
    option
        Schemes, NAME=CHOICE; see `concerto params --options`.
    soil
        Texture class (default: from the file, else medium).
    ndep
        Nitrogen deposition: file of annual values or a number (g N m-2 yr-1); default: one curve for all land.
    delta13c
        delta13C of CO2: file of annual values or a number (per mil); default: built-in.
    delta14c
        Delta14C of CO2: file (layout of Graven et al. 2017) or a number (per mil); default 0.
    passes
        Most passes of the search for the equilibrium of plants and soil (default 30).
    threads
        OpenMP threads.
    quiet
        No progress and no table.
    json_
        Print the table as JSON.

    Examples
    --------
    concerto spinup FI-Hyy_2005-2007.nc --out state.nc
    """
    if _is_config(file):
        from concerto.config import load

        first = next((phase.name for phase in load(file, list(set)).phases if phase.kind == "spinup"), None)
        if first is None:
            raise ConcertoError(f"{file} has no phase of kind spinup", hint="add one to phases, or use `concerto run`")
        folder = [f"output.folder={out.absolute()}"] if out else []
        _run_config(file, list(set) + folder, fresh=False, until=first, report=None, quiet=quiet, as_json=json_)
        return
    if out is None:
        raise ConcertoError("--out is missing", hint="name the restart file to write")
    parameters, options = _pairs(set, "set"), _pairs(option, "option")
    given = facts.given() if facts else {}
    from concerto.simulation.restart import spinup_command

    failed = spinup_command(
        file,
        out,
        quiet=quiet,
        as_json=json_,
        pft=pft,
        parameters=parameters,
        options=options,
        soil=soil,
        ndep=ndep,
        delta13c=delta13c,
        delta14c=delta14c,
        passes=passes,
        threads=threads,
        **given,
    )
    if failed is not None:
        sys.exit(_tell(*failed, code=3))


@app.command
def transient(
    file: Path,
    /,
    *,
    out: Path,
    from_: Annotated[int, Parameter(name="--from", validator=Number(gte=1, lte=2200))] = 1850,
    annual: Path | None = None,
    co2: str | None = None,
    ndep: str | None = None,
    delta13c: str | None = None,
    delta14c: str | None = None,
    scenario: str | None = None,
    climate: Literal["cycle", "delta"] = "cycle",
    warming: Path | None = None,
    disturbed: int | None = None,
    equilibrium_fraction: float = 1.0,
    restart_out: Path | None = None,
    report: Path | None = None,
    pft: str | None = None,
    set: Words = (),
    option: Words = (),
    soil: str | None = None,
    facts: Facts = None,
    threads: Threads = 1,
    quiet: Flag = False,
    json_: Json = False,
):
    """Run one flux tower from the equilibrium of early CO2 through the centuries, and then its record.

    Writes the record as `concerto site` does, and a second file with one value a year.

    Parameters
    ----------
    file
        Tower file.
    out
        NetCDF file of the record.
    from_
        First year of the history; the equilibrium is that of its CO2 and nitrogen deposition.
    annual
        NetCDF file of annual values (default: the name of --out with _annual).
    co2
        File of annual values, a number (ppm) or constant (that of the first year); default: the built-in series.
    ndep
        Nitrogen deposition: file, a number (g N m-2 yr-1) or constant; default: the built-in series.
    delta13c
        delta13C of CO2: file, a number (per mil) or constant; default: the built-in series.
    delta14c
        Delta14C of CO2: file (layout of Graven et al. 2017; held after its end) or a number (per mil); default 0.
    scenario
        Scenario of the CO2 file, where it holds several.
    climate
        cycle: the years of the record are recycled. delta: with the anomalies of --warming.
    warming
        File of annual temperature anomalies, K.
    disturbed
        Year at whose start the wood was cut.
    equilibrium_fraction
        The soil pools of the equilibrium are multiplied by this.
    restart_out
        Restart file to write at the end of the record.
    report
        HTML page about the record.
    pft
        Plant functional type, or a mixture (default: from the IGBP class).
    set
        Parameters, NAME=VALUE; see `concerto params`.
    option
        Schemes, NAME=CHOICE; see `concerto params --options`.
    soil
        Texture class (default: from the file, else medium).
    threads
        OpenMP threads.
    quiet
        No progress and no summary.
    json_
        Print the summary as JSON.

    Examples
    --------
    concerto transient FI-Hyy_2005-2007.nc --from 1850 --disturbed 1962 --out hyytiala.nc
    """
    parameters, options = _pairs(set, "set"), _pairs(option, "option")
    given = facts.given() if facts else {}
    from concerto.simulation.output import check_target
    from concerto.simulation.transient import annual_path, transient

    check_target(out, keep=(file,))
    annual = annual or annual_path(out)
    check_target(annual, keep=(file, out))
    if restart_out is not None:
        check_target(restart_out, keep=(file, out, annual))
    _page(report, file, out)
    run = transient(
        file,
        from_,
        co2=co2,
        ndep=ndep,
        delta13c=delta13c,
        delta14c=delta14c,
        scenario=scenario,
        climate=climate,
        warming=warming,
        disturbed=disturbed,
        equilibrium_fraction=equilibrium_fraction,
        restart_out=restart_out,
        quiet=quiet or json_,
        pft=pft,
        parameters=parameters,
        options=options,
        soil=soil,
        threads=threads,
        **given,
    )
    summary = run.to_netcdf(out, annual)
    if restart_out is not None:
        summary["restart"] = str(restart_out)
    if report is not None:
        from concerto.evaluation.report import write_report

        write_report(report, out, obs=file, annual=annual)
        summary["report"] = str(report)
    if json_:
        print(json.dumps(summary))
    elif not quiet:
        from concerto.simulation.progress import print_summary

        print_summary(summary)


@app.command
def carbon(
    file: Path,
    /,
    *,
    out: Path,
    gpp: Literal["pmodel", "prescribed"] = "pmodel",
    years: Count | None = None,
    pft: str | None = None,
    set: Words = (),
    option: Words = (),
    spinup: Literal["auto", "none"] = "auto",
    soil: str | None = None,
    facts: Facts = None,
    threads: Threads = 1,
    quiet: Flag = False,
    json_: Json = False,
):
    """Run carbon of one flux tower in daily steps: same pools and parameters, milliseconds per year.

    Parameters
    ----------
    file
        Tower file; its forcing is averaged to UTC days.
    out
        NetCDF file of daily means to write.
    gpp
        pmodel: production by the daily P-model. prescribed: the GPP of the file, gaps by the P-model.
    years
        Years to run; beyond the record its whole years are repeated (default: the record).
    pft
        Plant functional type, or a mixture (default: from the IGBP class).
    set
        Parameters, NAME=VALUE; see `concerto params`.
    option
        Schemes, NAME=CHOICE; see `concerto params --options`.
    spinup
        auto: equilibrium of the daily forcing. none: plants with full leaves (crops=calendar: bare), no soil carbon.
    soil
        Texture class (default: from the file, else medium).
    threads
        OpenMP threads.
    quiet
        No progress and no summary.
    json_
        Print the summary as JSON.

    Examples
    --------
    concerto carbon FI-Hyy_2005-2007.nc --out carbon.nc --gpp prescribed
    """
    parameters, options = _pairs(set, "set"), _pairs(option, "option")
    given = facts.given() if facts else {}
    from concerto.simulation.daily import carbon_command

    carbon_command(
        file,
        out,
        quiet=quiet,
        as_json=json_,
        gpp=gpp,
        years=years,
        pft=pft,
        parameters=parameters,
        options=options,
        spinup=spinup,
        soil=soil,
        threads=threads,
        **given,
    )


@app.command
def check(
    file: Path,
    /,
    *,
    set: Words = (),
    ranks: Annotated[tuple[int, ...], Parameter(consume_multiple=True, show_default=False)] = (1, 2, 16, 128),
    facts: Facts = None,
    json_: Json = False,
):
    """Validate a tower file or a configuration: says what would be used, derived, filled or refused; runs nothing.

    For a configuration also: cells, tiles, memory and run time by number of ranks, size of the output.

    Parameters
    ----------
    file
        Tower file, or configuration (YAML).
    set
        For a configuration: values that win over the file, such as domain.resolution=1.
    ranks
        For a configuration: numbers of ranks to estimate for.
    json_
        Print as JSON.

    Examples
    --------
    concerto check FI-Hyy_2005-2007.nc
    concerto check examples/globe/globe.yaml --ranks 2 64
    """
    if _is_config(file):
        from concerto.simulation.plan import check_config

        check_config(file, list(set), ranks=ranks, as_json=json_)
        return
    from concerto.simulation.site import describe_input

    lines, found = describe_input(file, **(facts.given() if facts else {}))
    if json_:
        print(json.dumps(found))
    else:
        for line in lines:
            print(line)


@app.command
def run(
    config: Path,
    /,
    *,
    set: Words = (),
    out: Path | None = None,
    fresh: Flag = False,
    until: str | None = None,
    report: Path | None = None,
    quiet: Flag = False,
    json_: Json = False,
):
    """Run a grid or a list of places from a configuration; the same command under mpirun.

    Started again on the same output folder, it goes on from the last checkpoint, on any number of ranks, to the same
    bits. SIGTERM, SIGUSR1 and SIGUSR2 lead to a checkpoint and a clean end with code 75.

    Parameters
    ----------
    config
        Configuration file (YAML).
    set
        Values that win over the file, such as parallel.threads=2 or phases.historical.years=[1901,1950].
    out
        Output folder (wins over output.folder; relative to the present folder).
    fresh
        Start anew: outputs of an earlier run in that folder are removed.
    until
        Name of the phase to stop after.
    report
        HTML page with maps to write at the end.
    quiet
        No progress and no table.
    json_
        Print the closing table as JSON.

    Examples
    --------
    mpirun -n 2 concerto run examples/globe/globe.yaml --report globe.html
    """
    overrides = list(set) + ([f"output.folder={out.absolute()}"] if out else [])
    _page(report, config)
    _run_config(config, overrides, fresh=fresh, until=until, report=report, quiet=quiet, as_json=json_)


def _run_config(config, overrides, *, fresh, until, report, quiet, as_json) -> None:
    """The gridded run on all ranks; an exception on one of them ends all with one message."""
    from concerto.simulation.parallel import start, together
    from concerto.simulation.run import STOPPED, Simulation, Stopped

    ranks, simulations = start(), []

    def notice():
        return simulations[0].notice() if simulations else None

    with together(ranks, _explain, notice):
        simulation = Simulation(config, overrides, ranks, quiet=quiet or as_json)
        simulations.append(simulation)
        try:
            summary = simulation.run(fresh=fresh, until=until)
        except Stopped as stopped:
            if ranks.first:
                print(f"concerto: stopped {stopped}; the same command goes on from there", file=sys.stderr)
            sys.exit(STOPPED)
        if not ranks.first:
            return
        if report is not None:
            from concerto.evaluation.globe_report import write_globe_report

            write_globe_report(report, simulation.folder)
            summary["report"] = str(report)
        if as_json:
            print(json.dumps(summary))
        elif not quiet:
            from concerto.simulation.progress import print_summary

            print_summary(summary)


def _is_config(path: Path) -> bool:
    return path.suffix.lower() in (".yaml", ".yml")


@app.command
def evaluate(
    run: Path,
    /,
    *,
    obs: Path,
    training: Paths = (),
    report: Path | None = None,
    flags: str = "0",
    closure_corrected: Flag = False,
    json_: Json = False,
):
    """Compare a run with the tower: half-hourly, daily and monthly scores and empirical benchmarks.

    Parameters
    ----------
    run
        Output of `concerto site`.
    obs
        The tower file, NetCDF or CSV.
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

    _page(report, run, obs, *training)
    evaluate_command(run, obs, training, report, flags, closure_corrected, as_json=json_)


@app.command
def report(
    run: Path,
    /,
    *,
    out: Path | None = None,
    obs: Path | None = None,
    training: Paths = (),
    without: Path | None = None,
    inputs: Path | None = None,
):
    """Write one self-contained HTML page about a run.

    Parameters
    ----------
    run
        Output of `concerto site`, or the folder of `concerto run`.
    out
        HTML page to write (default: the name of the run with .html, or report.html in the folder).
    obs
        The tower file, NetCDF or CSV, for scores and figures.
    training
        Other tower files (or a folder of them) on which the benchmarks are trained.
    without
        Folder of the same run with land use held (S2): all effects of land use.
    inputs
        Folder of the configuration, to which the paths of its land-use history refer: gross flows of land, bookkeeping.

    Examples
    --------
    concerto report hyytiala.nc --obs FI-Hyy_2005-2007.nc --out hyytiala.html

    concerto report out/s3 --without out/s2 --inputs examples/land_use
    """
    from concerto.simulation.parallel import launcher_rank

    if launcher_rank():  # under mpirun one page is enough
        return
    if run.is_dir():
        from concerto.evaluation.globe_report import write_globe_report

        target = out or run / "report.html"
        _page(target)
        write_globe_report(target, run, without=without, inputs=inputs)
        print(target)
        return
    for name, given in (("without", without), ("inputs", inputs)):
        if given is not None:
            raise ConcertoError(f"--{name} is for the folder of `concerto run`, and {run} is none", hint="leave it out")
    from concerto.evaluation.report import write_report

    target = out or run.with_suffix(".html")
    _page(target, run, *([obs] if obs else []), *training)
    write_report(target, run, obs=obs, training=list(training))
    print(target)


@app.command(name="land-use")
def land_use(
    run: Path,
    /,
    *,
    without: Path | None = None,
    out: Path = Path("land_use"),
    regions: str = "bands",
    inputs: Path | None = None,
    pairs: Flag = False,
    figures: Literal["svg", "png", "none"] = "svg",
):
    """Write emissions of land use by region, year and component, and figures, from a run with land use.

    Parameters
    ----------
    run
        Folder of `concerto run` with land use (S3).
    without
        Folder of the same run with land use held (S2): the emission ELUC, bookkeeping beside it, lost sinks apart.
    out
        Folder for land_use_budget.csv, land_use_budget_<method>.nc and the figures.
    regions
        bands (north of 30 N, tropics, south), boxes (rough continents), or a map: FILE.nc or FILE.nc:VARIABLE.
    inputs
        Folder of the configuration, to which the paths of its land-use history refer: bookkeeping, gross flows.
    pairs
        Bookkeeping of every pair of kinds of land, in place of groups of transitions and components.
    figures
        Format of the figures, or none.

    Examples
    --------
    concerto land-use out/s3 --without out/s2 --inputs examples/land_use --out tables
    """
    from concerto.evaluation.land_use import budget_files, figure_files

    paths, notes = budget_files(run, out, without, regions, inputs, "pairs" if pairs else "groups")
    if figures != "none":
        paths += figure_files(run, out, without, figures, inputs=inputs)
    for note in notes:
        print(note, file=sys.stderr)
    for path in paths:
        print(path)


@app.command
def vars(pattern: str = "", /, *, json_: Json = False):
    """Search the table of variables: forcing, state and diagnostics, with unit, bounds and output name.

    Parameters
    ----------
    pattern
        Part of a name or of its meaning (default: everything).
    json_
        Print as JSON.

    Examples
    --------
    concerto vars soil
    """
    from concerto.tables.show import show_variables

    show_variables(pattern, as_json=json_)


@app.command
def params(pattern: str = "", /, *, options: Flag = False, json_: Json = False):
    """Search the table of parameters: unit, bounds, source and the value of each plant functional type.

    Parameters
    ----------
    pattern
        Part of a name or of its meaning (default: everything).
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
def bench(*, tiles: Count = 1024, threads: Threads = 1, daily: Flag = False, json_: Json = False):
    """Measure the speed of the step on this machine, per process.

    Parameters
    ----------
    tiles
        Tiles in the batch.
    threads
        OpenMP threads; the share of each process is measured on one thread only.
    daily
        Measure the daily step by scheme instead: its share of a simulated year, and site-years per second of the daily
        carbon-only configuration.
    json_
        Print as JSON.

    Examples
    --------
    concerto bench
    """
    from concerto.simulation.bench import bench_command, bench_daily_command

    if daily:
        bench_daily_command(as_json=json_)
    else:
        bench_command(tiles, threads, as_json=json_)


@app.command
def demo(
    *,
    out: Path = Path("concerto-demo"),
    years: Annotated[int, Parameter(validator=Number(gte=1, lte=100))] = 1,
    threads: Threads = 1,
):
    """Run fifteen reference sites from tundra to rain forest with generated weather; needs no file.

    Writes a NetCDF file of daily means and a report page.

    Parameters
    ----------
    out
        Folder for the NetCDF file and the page; it is made if it does not exist.
    years
        Years of generated weather.
    threads
        OpenMP threads.

    Examples
    --------
    concerto demo --out concerto-demo
    """
    from concerto.simulation.demo import demo_command

    demo_command(out, years, threads)


def _tell(message: str, hint: str | None = None, code: int = 2) -> int:
    """One sentence and its hint to standard error; returns the exit code."""
    try:
        print(f"concerto: {message}", file=sys.stderr)
        if hint:
            print(f"  hint: {hint}", file=sys.stderr)
    except OSError:  # nobody listens
        pass
    return code


def _usage(error: CycloptsError) -> tuple[str, str]:
    """Sentence and hint of a misuse of the command line."""
    from difflib import get_close_matches

    from cyclopts import MissingArgumentError

    words = [word for word in sys.argv[1:] if not word.startswith("-")]
    command = next((f" {word}" for word in words[:1] if word in list(app)), "")
    hint = f"see `concerto{command} --help`"
    argument = getattr(error, "argument", None)
    if isinstance(error, MissingArgumentError) and argument is not None:
        name = argument.name
        near = [word for word in sys.argv[1:] if word.startswith("--") and get_close_matches(word, [name], cutoff=0.75)]
        if near and name not in near:
            return f"unknown option {near[0]}; did you mean {name}?", hint
        given = any(word == name or word.startswith(f"{name}=") for word in sys.argv[1:])
        return f"{name} needs a value" if given else f"{name} is missing", hint
    text = " ".join(str(error).split()) or type(error).__name__
    return text[0].lower() + text[1:] if text[:2] != text[:2].upper() else text, hint


def _explain(error: BaseException) -> int:
    """One sentence on standard error for an exception; its exit code.

    2: a fault in the input, the options or the machine (no space, no permission); 70: a bug of concerto, with its
    traceback if CONCERTO_DEBUG=1; 130: interrupted; 141: the reader of a pipe went away.
    """
    debug = os.environ.get("CONCERTO_DEBUG", "") not in ("", "0")
    if isinstance(error, ConcertoError):
        return _tell(error.message, error.hint)
    if isinstance(error, CycloptsError):
        return _tell(*_usage(error))
    if isinstance(error, KeyboardInterrupt):
        return _tell("interrupted", code=130)
    if isinstance(error, BrokenPipeError):
        # Python would complain once more when it flushes at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    if debug:
        import traceback

        traceback.print_exception(error)
    if isinstance(error, MemoryError):
        words = f"not enough memory ({error})" if str(error) else "not enough memory"
        return _tell(words, "use a shorter record, fewer tiles or more ranks")
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        try:
            sys.stdout.flush()
        except OSError:  # it was standard output itself
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        hint = "check the path, the permissions and the space on the disk"
        return _tell(f"{where}{error.strerror or error}", hint)
    text = " ".join(str(error).split())[:200]
    words = f"internal error: {type(error).__name__}: {text}; please report"
    return _tell(words, "CONCERTO_DEBUG=1 shows where it happened", code=70)


def main() -> None:
    """Entry point: every failure is one clear sentence on standard error and a non-zero exit code."""
    if os.environ.get("CONCERTO_DEBUG", "") in ("", "0") and not sys.warnoptions:
        warnings.simplefilter("ignore")  # of libraries; concerto has its own words for its own concerns
    try:
        app(sys.argv[1:], exit_on_error=False, print_error=False)
        sys.stdout.flush()
    except (Exception, KeyboardInterrupt) as error:
        ours = isinstance(error, ConcertoError | CycloptsError | KeyboardInterrupt | BrokenPipeError)
        if os.environ.get("CONCERTO_DEBUG", "") not in ("", "0") and not ours:
            raise
        from concerto.simulation.parallel import launcher_rank

        # what goes wrong before the ranks know each other goes wrong on all of them
        sys.exit(_explain(error) if launcher_rank() == 0 else 2)
