"""Draws what happens in a step, read from the Fortran source: the parts of a routine and the calls in each.

    python docs/draw_step.py            writes docs/tables/step_fast.svg and step_slow.svg

A part begins with a comment `! ---- what it does`; the documentation builds the figures anew each time, so
they show the code that is there.
"""

from __future__ import annotations

import re
from html import escape
from pathlib import Path

FORTRAN = Path(__file__).resolve().parents[1] / "fortran"
COLOURS = {"leaf": "#2e7d32", "canopy": "#558b2f", "soil": "#8d5524", "carbon": "#5d4e8c", "model": "#546e7a"}
WIDTH, LEFT, LINE, CHIP = 860, 300, 26, 9.0


def rooms_of_routines():
    """Public routine -> room."""
    rooms = {}
    for path in FORTRAN.glob("*/*.f90"):
        text = re.sub(r"&[^\n]*\n\s*&?", "", path.read_text())
        for names in re.findall(r"^\s*public :: (.+)$", text, re.M):
            for name in names.split("!")[0].split(","):
                rooms.setdefault(name.strip(), path.parent.name)
    return rooms


def parts_of(routine):
    """[(title, [called routine, ...]), ...] of a routine of the model room, in the order of the code."""
    text = (FORTRAN / "model" / f"{routine}.f90").read_text()
    body = re.search(rf"^  subroutine {routine}\(.*?^  end subroutine {routine}", text, re.M | re.S).group()
    parts = []
    for line in body.splitlines():
        title = re.match(r"\s*! ---- (.+)", line)
        called = re.search(r"\bcall (\w+)\(", line)
        if title:
            parts.append((title.group(1), []))
        elif called and parts and called.group(1) not in ("lap", *parts[-1][1]):
            parts[-1][1].append(called.group(1))
    return parts


def wrap(words, limit):
    lines = [""]
    for word in words.split():
        if lines[-1] and len(lines[-1]) + 1 + len(word) > limit:
            lines.append("")
        lines[-1] += (" " if lines[-1] else "") + word
    return lines


def box(x, y, width, height, radius, colour, more=""):
    size = f'width="{width:.0f}" height="{height:.0f}" rx="{radius}"'
    return f'<rect x="{x:.0f}" y="{y:.0f}" {size} fill="{colour}" {more}/>'


def draw(routine):
    """The figure as SVG text."""
    rooms, y, out = rooms_of_routines(), 58, []
    parts = parts_of(routine)
    for number, (title, calls) in enumerate(parts, start=1):
        rows, x = [[]], LEFT
        for call in calls:
            wide = CHIP * len(call) * 0.86 + 18
            if x + wide > WIDTH - 16 and rows[-1]:
                rows.append([])
                x = LEFT
            rows[-1].append((x, wide, call))
            x += wide + 8
        words = wrap(title, 36)
        height = max(len(rows) * (LINE + 4), len(words) * 18) + 14
        out.append(box(16, y, WIDTH - 32, height, 6, "#f5f5f2", 'stroke="#cfcfc8"'))
        out.append(f'<text x="28" y="{y + 24}" font-weight="bold">{number}</text>')
        for k, line in enumerate(words):
            out.append(f'<text x="56" y="{y + 24 + 18 * k}">{escape(line)}</text>')
        for k, row in enumerate(rows):
            top = y + 9 + k * (LINE + 4)
            for x, wide, call in row:
                colour = COLOURS.get(rooms.get(call, "model"), COLOURS["model"])
                out.append(box(x, top, wide, LINE - 3, 4, colour))
                out.append(
                    f'<text x="{x + wide / 2:.0f}" y="{top + 16}" text-anchor="middle" fill="white" '
                    f'font-family="monospace" font-size="12.5">{call}</text>'
                )
        y += height
        if number < len(parts):
            out.append(f'<path d="M 36 {y} v 12 m -4 -5 l 4 5 l 4 -5" fill="none" stroke="#777"/>')
            y += 14
    legend, x = [], LEFT
    for room, colour in COLOURS.items():
        legend.append(box(x, 22, 14, 14, 3, colour))
        legend.append(f'<text x="{x + 20}" y="34">{room}</text>')
        x += 40 + 9 * len(room)
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y + 16}" width="{WIDTH}" '
        f'font-family="sans-serif" font-size="14" fill="#222"><rect width="100%" height="100%" fill="white"/>'
        f'<text x="16" y="35" font-size="17" font-weight="bold">{routine}</text>'
    )
    return "\n".join([head, *legend, *out, "</svg>\n"])


def write(folder):
    """Write both figures into ``folder``."""
    for routine in ("step_fast", "step_slow"):
        (Path(folder) / f"{routine}.svg").write_text(draw(routine))


if __name__ == "__main__":
    target = Path(__file__).parent / "tables"
    target.mkdir(exist_ok=True)
    write(target)
