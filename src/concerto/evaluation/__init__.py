"""Skill of a run against flux towers: metrics, out-of-sample benchmarks, figures and the HTML report.

Nothing heavy is imported here: the names below are loaded at first use.
"""

from __future__ import annotations

import importlib

_HOME = {
    "evaluate": "compare",
    "read_run": "compare",
    "read_observations": "compare",
    "Evaluation": "compare",
    "scores": "metrics",
    "write_report": "report",
    "write_demo_report": "report",
    "score_sites": "skill",
}
__all__ = sorted(_HOME)


def __getattr__(name):
    if name in _HOME:
        value = getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
