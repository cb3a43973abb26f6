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

        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:3.0f} %"),
            TimeRemainingColumn(),
        )
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


def table_width() -> int:
    """Columns for a table: those of the terminal or of COLUMNS, else 120 (a pipe or a file)."""
    import os
    import shutil

    if sys.stdout.isatty() or os.environ.get("COLUMNS", "").isdigit():
        return max(shutil.get_terminal_size().columns, 40)
    return 120


def show(*tables) -> None:
    """Print tables, in bold and grey only on a terminal (not with NO_COLOR), without blanks at the ends of lines."""
    import io
    import os

    from rich.console import Console

    terminal, width = sys.stdout.isatty() and not os.environ.get("NO_COLOR"), table_width()
    # rich writes into memory, in colour only for a terminal that wants it
    console = Console(file=io.StringIO(), width=width, force_terminal=terminal, legacy_windows=False)
    for table in tables:
        console.print(table)
    text = "\n".join(line.rstrip() for line in console.file.getvalue().splitlines())
    encoding = sys.stdout.encoding or "utf-8"
    print(text.encode(encoding, errors="replace").decode(encoding))


def _flux_lines(fluxes: dict) -> list[str]:
    """Beside the tower: means over the steps that it measured."""
    rows = {name: row for name, row in fluxes.items() if "measured_steps" in row}
    if not rows:
        return []
    lines = [f"{'':<14} {'model':>8} {'tower':>8}"]
    for name, row in rows.items():
        digits = 1 if row["units"] == "W m-2" else 2
        model, tower = row["model_on_measured_steps"], row["tower_on_measured_steps"]
        lines.append(
            f"{name:<14} {model:8.{digits}f} {tower:8.{digits}f} {row['units']:<13} n {row['measured_steps']}".rstrip()
        )
    return lines


def print_summary(summary: dict) -> None:
    """The closing table of a run."""
    from rich.table import Table
    from rich.text import Text

    table = Table(title=summary.get("title", ""), title_justify="left", box=None, show_header=False, pad_edge=False)
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    for name, value in summary.items():
        if name == "title":
            continue
        if name == "fluxes":
            name, value = "measured steps", _flux_lines(value)
            if not value:
                continue
        if name == "mean fluxes":
            value = [f"{k:<14} {v.split(' ')[0]:>8} {' '.join(v.split(' ')[1:])}" for k, v in value.items()]
        elif isinstance(value, dict):
            longest = max([14, *map(len, value)])
            value = [f"{k:<{longest}} {v}" for k, v in value.items()]
        if isinstance(value, list):
            value = "\n".join(map(str, value))
        table.add_row(name, Text(str(value)))
    show(table)
