"""Progress while a run goes on, and the table at its end."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager


@contextmanager
def progress(title: str, total: int, quiet: bool = False):
    """Bar on a terminal, plain lines elsewhere; yields a function ``advance(steps)``."""
    if quiet:
        yield lambda steps: None
        return
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:3.0f} %"), TimeRemainingColumn())
        with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task(title, total=total)
            yield lambda steps: bar.advance(task, steps)
        return
    start, done, shown = time.monotonic(), 0, 0.0

    def advance(steps):
        nonlocal done, shown
        done += steps
        elapsed = time.monotonic() - start
        if elapsed - shown > 10 and done < total:
            shown = elapsed
            print(f"{title}: {100 * done / total:.0f} %, {elapsed * (total - done) / done:.0f} s left", file=sys.stderr)

    yield advance


def print_summary(summary: dict) -> None:
    """The closing table of a run."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=summary.get("title", ""), title_justify="left", box=None, show_header=False, pad_edge=False)
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    for name, value in summary.items():
        if name == "title":
            continue
        if isinstance(value, dict):
            value = "\n".join(f"{k:<14} {v}" for k, v in value.items())
        elif isinstance(value, list):
            value = "\n".join(map(str, value))
        table.add_row(name, str(value))
    Console().print(table)
