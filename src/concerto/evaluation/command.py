"""The command ``concerto evaluate``."""

from __future__ import annotations

import json
from pathlib import Path

from concerto.errors import ConcertoError


def parse_flags(text):
    """Flags from a text such as ``0,1``."""
    try:
        flags = tuple(sorted({int(part) for part in str(text).split(",")}))
    except ValueError:
        flags = ()
    if not flags or min(flags) < 0 or max(flags) > 5:
        raise ConcertoError(f"--flags {text}: not a list of quality flags.", hint="Give numbers 0 to 5, e.g. 0,1.")
    return flags


def evaluate_command(run, obs, training=(), report=None, flags="0", closure_corrected=False, as_json=False):
    """Score a run, print the table (or JSON) and write the page where asked.

    Parameters
    ----------
    run, obs : path
        Output of a site run; tower file.
    training : sequence of paths
        Tower files, or folders of them, for the benchmarks.
    report : path, optional
        HTML page to write.
    flags : str
        Accepted quality flags, comma-separated.
    closure_corrected, as_json : bool
        Adds closure-corrected heat fluxes; prints JSON.
    """
    from concerto.evaluation.compare import evaluate

    result = evaluate(Path(run), Path(obs), parse_flags(flags), training, closure_correction=closure_corrected)
    if report is not None:
        from concerto.evaluation.report import write_report

        write_report(report, result.run, evaluation=result)
    if as_json:
        print(json.dumps(result.to_dict() | ({"report": str(report)} if report is not None else {})))
        return
    print(result.text())
    if result.closure is not None:
        closure = result.closure
        print(f"Tower energy balance: (Qle + Qh) / (Rnet - Qg) = {closure['ratio']:.2f}, slope {closure['slope']:.2f}.")
    if report is not None:
        print(report)
