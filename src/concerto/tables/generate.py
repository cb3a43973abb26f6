"""Writes the Fortran side of the tables; run by the build: generate.py OPTIONS.f90 TABLES.f90."""

import sys
from pathlib import Path

import loader


def _array(name, values, fmt):
    """Fortran parameter array, lines kept below 120 columns."""
    kind = "integer" if fmt == "d" else "real(wp)"
    items = [f"{v}" if fmt == "d" else f"{v!r}_wp" for v in values]
    lines, line = [], ""
    for item in items:
        if len(line) + len(item) > 90:
            lines.append(line)
            line = ""
        line += item + ", "
    lines.append(line.rstrip(", "))
    body = " &\n    ".join(lines)
    return f"  {kind}, parameter, public :: {name}({len(items)}) = [ &\n    {body}]\n"


def write_options(path):
    """Module concerto_options: integer constants <option>_<choice> and a type that holds one of each."""
    out = [
        "module concerto_options",
        "  !! Generated from options.toml: the choices of every option as integers, and their defaults.",
        "  implicit none",
        "  private",
        "",
    ]
    for name, entry in loader.options().items():
        for number, choice in enumerate(entry.choices, start=1):
            out.append(f"  integer, parameter, public :: {name}_{choice} = {number}  !! {entry.choices[choice][:60]}")
    out += ["", f"  integer, parameter, public :: n_option = {len(loader.options())}  !! number of options", ""]
    out += ["  type, public :: model_options", "    !! One choice for each option; a new variable holds the defaults."]
    for name, entry in loader.options().items():
        out.append(f"    integer :: {name} = {name}_{entry.default}  !! {entry.long_name[:70]}")
    out += ["  end type model_options", ""]
    out += ["  public :: options_from_integers, options_to_integers, option_number", "", "contains", ""]
    out += [
        "  pure subroutine options_from_integers(numbers, options, status)",
        "    !! Options from one integer each, in the order of the table.",
        "    integer, intent(in) :: numbers(n_option)  !! choices, counted from 1",
        "    type(model_options), intent(out) :: options  !! the same as a type",
        "    integer, intent(out) :: status  !! 0, or the position of the first option that has no such choice",
        "    !! or lacks the choice of another option that it needs",
        "    status = 0",
    ]
    for name, entry in reversed(loader.options().items()):
        for choice, needs in (entry.needs or {}).items():
            for other, allowed in needs.items():
                allowed = [allowed] if isinstance(allowed, str) else allowed
                column = loader.options()[other].column
                fits = [f"numbers({column}) == {other}_{one}" for one in allowed]
                out += [
                    f"    if (numbers({entry.column}) == {name}_{choice} .and. .not. ( &",
                    "        " + " .or. &\n        ".join(fits) + f")) status = {entry.column}",
                ]
    for entry in reversed(list(loader.options().values())):
        top = len(entry.choices)
        out.append(f"    if (numbers({entry.column}) < 1 .or. numbers({entry.column}) > {top}) status = {entry.column}")
        out.append(f"    options%{entry.name} = numbers({entry.column})")
    out += ["  end subroutine options_from_integers", ""]
    out += [
        "  pure subroutine options_to_integers(options, numbers)",
        "    !! One integer for each option, in the order of the table.",
        "    type(model_options), intent(in) :: options  !! choices",
        "    integer, intent(out) :: numbers(n_option)  !! the same, counted from 1",
    ]
    for entry in loader.options().values():
        out.append(f"    numbers({entry.column}) = options%{entry.name}")
    out += ["  end subroutine options_to_integers", ""]
    out += [
        "  pure integer function option_number(option, choice) result(number)",
        "    !! Integer of a choice by name, 0 if there is none of that name.",
        "    character(*), intent(in) :: option  !! name of the option",
        "    character(*), intent(in) :: choice  !! name of the choice",
        "    number = 0",
        "    select case (option // ':' // choice)",
    ]
    for name, entry in loader.options().items():
        for choice in entry.choices:
            out.append(f"    case ('{name}:{choice}')")
            out.append(f"      number = {name}_{choice}")
    out += ["    end select", "  end function option_number", "end module concerto_options", ""]
    Path(path).write_text("\n".join(out))


def write_tables(path):
    """Module concerto_tables: column numbers, layer counts, bounds and default parameters."""
    out = [
        "module concerto_tables",
        "  !! Generated from variables.toml and parameters.toml: the column of every variable and parameter,",
        "  !! layer counts, initial values and the default parameters of each plant functional type.",
        "  use concerto_kinds, only: wp",
        "  implicit none",
        "  private",
        "",
        f"  character(16), parameter, public :: tables_digest = '{loader.digest()}'",
        "",
    ]
    for name, size in loader.layers().items():
        out.append(f"  integer, parameter, public :: n_{name} = {size}")
    pfts = loader.pft_names()
    out.append(f"  integer, parameter, public :: n_pft = {len(pfts)}")
    for number, name in enumerate(pfts):
        out.append(f"  integer, parameter, public :: pft_{name} = {number}")
    out.append("")
    for kind in ("forcing", "state", "derived", "driver", "diagnostic", "parameter"):
        entries = loader.parameters() if kind == "parameter" else loader.variables(kind)
        out.append(f"  integer, parameter, public :: n_{kind}_column = {loader.columns(kind)}")
        for name, entry in entries.items():
            unit = entry.units
            out.append(f"  integer, parameter, public :: {kind}_{name} = {entry.column}  !! {unit}")
        out.append("")
    names = {kind: loader.variables(kind) for kind in ("forcing", "state", "diagnostic")}
    names["parameter"] = loader.parameters()
    for kind, entries in names.items():
        width = max(map(len, entries))
        rows = ", &\n".join(f"    '{n.ljust(width)}'" for n in entries)
        out.append(f"  character({width}), parameter, public :: {kind}_names({len(entries)}) = [ &\n{rows}]")
        out.append(_array(f"{kind}_columns", [e.column for e in entries.values()], "d"))
    text = "\n".join(out) + "\n"
    text += "  !! thickness of the soil layers, m\n" + _array("soil_thickness", loader.soil_thickness(), "f")
    for element in ("carbon", "nitrogen"):
        entries = loader.variables("state").values()
        stored = [e.column + k for e in entries if e.role == element for k in range(e.n_layer)]
        text += f"  !! state columns that hold {element}\n" + _array(f"state_{element}_columns", stored, "d") + "\n"
    rates = [e.column for e in loader.variables("state").values() if e.role == "daily_rate"]
    text += "  !! state columns that hold a rate of the day before\n"
    text += _array("state_daily_rate_columns", rates, "d") + "\n"
    initial = []
    for entry in loader.variables("state").values():
        initial += [float(entry.initial or 0.0)] * entry.n_layer
    text += _array("state_initial", initial, "f") + "\n"
    for side, word in enumerate(("lowest", "highest")):
        limit = []
        for entry in loader.variables("state").values():
            limit += [float(entry.bounds[side])] * entry.n_layer
        text += f"  !! {word} possible value of each state column\n" + _array(f"state_{word}", limit, "f") + "\n"
    flat = [v for pft in range(len(pfts)) for v in (e.values[pft] for e in loader.parameters().values())]
    text += (
        "  !! default parameters: column by plant functional type\n"
        + _array("parameter_flat", flat, "f").replace(", public", "")
        + "  real(wp), parameter, public :: default_parameters(n_parameter_column, 0:n_pft - 1) = &\n"
        + "    reshape(parameter_flat, [n_parameter_column, n_pft])\n"
    )
    text += "end module concerto_tables\n"
    Path(path).write_text(text)


if __name__ == "__main__":
    write_options(sys.argv[1])
    write_tables(sys.argv[2])
