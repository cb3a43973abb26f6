"""Sphinx configuration; pages of tables and kernels and the figures of the steps are made from the source."""

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
highlight_language = "none"
html_theme = "furo"
html_title = "concerto"
html_static_path = ["style.css"]
html_css_files = ["style.css"]
exclude_patterns = ["_build"]
napoleon_google_docstring = False
napoleon_use_ivar = True
autodoc_member_order = "bysource"
suppress_warnings = ["myst.header"]


def rows(head, body):
    """Markdown table."""
    lines = [head, ["---"] * len(head), *body]
    return ["| " + " | ".join(str(cell) for cell in line) + " |" for line in lines] + [""]


def unit(entry):
    return "" if entry.units == "1" else f"`{entry.units}`"


def write_tables():
    """Markdown pages of the tables."""
    out = Path(__file__).parent / "tables"
    out.mkdir(exist_ok=True)

    text = ["# Variables", ""]
    for kind in ("forcing", "state", "diagnostic"):
        text += [f"## {kind.capitalize()}", ""]
        text += rows(
            ["name", "unit", "layers", "output name", "meaning"],
            [
                [f"`{e.name}`", unit(e), e.layers or "", e.cmip or "", e.long_name]
                for e in loader.variables(kind).values()
            ],
        )
    (out / "variables.md").write_text("\n".join(text))

    types = loader.pft_names()
    parameters = loader.parameters().values()
    body = []
    for e in parameters:
        low, high = min(e.values[1:]), max(e.values[1:])
        value = f"{low:g}" if low == high else f"{low:g} to {high:g} by type"
        bounds = f"{e.bounds[0]:g} to {e.bounds[1]:g}"
        body.append([f"`{e.name}`", unit(e), value, bounds, e.long_name, e.source])
    text = ["# Parameters", "", *rows(["name", "unit", "default", "bounds", "meaning", "source"], body)]
    text += ["## Values by plant functional type", ""]
    by_type = [e for e in parameters if e.per_pft]
    for first in range(0, len(by_type), 6):
        part = by_type[first : first + 6]
        head = ["type", *[f"`{e.name}`" for e in part]]
        text += rows(head, [[n, *[f"{e.values[i]:g}" for e in part]] for i, n in enumerate(types)])
    (out / "parameters.md").write_text("\n".join(text))

    text = ["# Options", "", "The default is in bold.", ""]
    for e in loader.options().values():
        text += [f"## `{e.name}`", "", e.long_name, ""]
        for choice, meaning in e.choices.items():
            text.append(f"- {f'**`{choice}`**' if choice == e.default else f'`{choice}`'}: {meaning}")
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

    # MathML stretches delimiters itself; the converter wants degrees as TeX has them, braces around digits of
    # a fraction and a base for every exponent.
    formula = node.astext().replace("°", r"^\circ")
    formula = re.sub(r"(\\[td]?frac)\s*(\d)(\d)", r"\1{\2}{\3}", formula)
    formula = re.sub(r"^(?=[\^_])", "{}", re.sub(r"\\[Bb]igg?[lr]?(?![a-zA-Z])", "", formula))
    try:
        text = tex2mathml(formula, as_block=block)
    except (MathError, IndexError) as error:
        logging.getLogger(__name__).warning("formula %s: %s", formula, error, location=node)
        text = f"<code>{html.escape(formula)}</code>"
    self.body.append(f'<div class="formula">{text}</div>' if block else text)
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
