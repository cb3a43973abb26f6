"""Sphinx configuration; the pages of variables, parameters, options and kernels and the figures of the steps are
generated from the tables and the source."""

import html
import re
import sys
from pathlib import Path

from concerto import __version__, kernels
from concerto.tables import loader

project = "concerto"
author = "The concerto developers"
copyright = "2026, the concerto developers"
version = release = __version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.doctest"]
myst_enable_extensions = ["dollarmath", "deflist"]
html_theme = "furo"
html_title = "concerto"
exclude_patterns = ["_build"]
napoleon_google_docstring = False
napoleon_use_ivar = True
autodoc_member_order = "bysource"
suppress_warnings = ["myst.header"]


def write_tables():
    """Markdown pages of the tables."""
    out = Path(__file__).parent / "tables"
    out.mkdir(exist_ok=True)
    text = ["# Variables", ""]
    for kind in ("forcing", "state", "diagnostic"):
        text += [f"## {kind.capitalize()}", "", "| name | unit | layers | output name | meaning |", "|---|---|---|---|---|"]
        text += [
            f"| `{e.name}` | {e.units} | {e.layers or ''} | {e.cmip or ''} | {e.long_name} |" for e in loader.variables(kind).values()
        ]
        text.append("")
    (out / "variables.md").write_text("\n".join(text))
    names = loader.pft_names()
    text = ["# Parameters", "", "| name | unit | default | bounds | meaning | source |", "|---|---|---|---|---|---|"]
    for e in loader.parameters().values():
        low, high = min(e.values[1:]), max(e.values[1:])
        value = f"{low:g}" if low == high else f"{low:g} to {high:g} by type"
        text.append(f"| `{e.name}` | {e.units} | {value} | {e.bounds[0]:g} to {e.bounds[1]:g} | {e.long_name} | {e.source} |")
    text += ["", "## Values by plant functional type", ""]
    per_type = [e for e in loader.parameters().values() if e.per_pft]
    for first in range(0, len(per_type), 6):
        part = per_type[first : first + 6]
        text += ["| type | " + " | ".join(f"`{e.name}`" for e in part) + " |", "|---" * (len(part) + 1) + "|"]
        text += [f"| {n} | " + " | ".join(f"{e.values[i]:g}" for e in part) + " |" for i, n in enumerate(names)]
        text.append("")
    (out / "parameters.md").write_text("\n".join(text))
    text = ["# Options", "", "The default is in bold.", ""]
    for e in loader.options().values():
        text += [f"## `{e.name}`", "", e.long_name, ""]
        text += [f"- {'**' if c == e.default else ''}`{c}`{'**' if c == e.default else ''}: {m}" for c, m in e.choices.items()]
        text.append("")
    (out / "options.md").write_text("\n".join(text))


def write_kernels():
    """One page for each room of kernels, from its docstrings."""
    out = Path(__file__).parent / "tables" / "kernels"
    out.mkdir(parents=True, exist_ok=True)
    for room in kernels._rooms():
        directive = f".. automodule:: concerto.kernels.{room}\n   :members:\n"
        (out / f"{room}.md").write_text(f"# kernels.{room}\n\n```{{eval-rst}}\n{directive}```\n")


def write_figures():
    """The steps, drawn from the Fortran source."""
    sys.path.insert(0, str(Path(__file__).parent))
    import draw_step

    draw_step.write(Path(__file__).parent / "tables")


def math_as_mathml(self, node, block):
    """Formulas as MathML, which browsers draw themselves: the pages need no network and no script."""
    from docutils import nodes
    from docutils.utils.math import MathError
    from docutils.utils.math.latex2mathml import tex2mathml
    from sphinx.util import logging

    # MathML stretches delimiters itself, and the converter wants degrees as TeX has them
    formula = re.sub(r"\\[Bb]igg?[lr]?(?![a-zA-Z])", "", node.astext().replace("°", r"^\circ"))
    try:
        text = tex2mathml(formula, as_block=block)
    except (MathError, IndexError) as error:
        logging.getLogger(__name__).warning("formula %s: %s", formula, error, location=node)
        text = f"<code>{html.escape(formula)}</code>"
    self.body.append(f'<div class="math">{text}</div>' if block else text)
    raise nodes.SkipNode


def setup(app):
    """Sphinx asks for this function."""
    inline = (lambda self, node: math_as_mathml(self, node, False), None)
    block = (lambda self, node: math_as_mathml(self, node, True), None)
    app.add_html_math_renderer("mathml", inline, block)


html_math_renderer = "mathml"
write_tables()
write_kernels()
write_figures()
