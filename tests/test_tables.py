"""The tables that declare every variable, parameter and option once, and what is made from them."""

import difflib
import json
import math
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from concerto.errors import ConcertoError
from concerto.tables import decomposition, loader

KINDS = ("forcing", "state", "derived", "diagnostic")
VARIABLES = [(kind, name) for kind in KINDS for name in loader.variables(kind)]

# Units as UDUNITS writes them, as far as this model needs them; "mixed": layers with a unit each.
SYMBOLS = set("kg g gC gN mm cm m s d h yr K degC degrees_north Pa kPa MPa Pa0.5 kPa0.5 J W mol umol".split())
SYMBOLS |= {"1", "%", "permil", "mixed"}
FACTOR = re.compile(r"([A-Za-z_%]+0\.5|[A-Za-z_%]+|1)(-?\d+)?$")


def is_unit(text):
    """Whether a unit is a product of known symbols with integer powers, or a power of ten."""
    if re.fullmatch(r"1e-?\d+", text):
        return True
    words = text.split(" ")
    for word in words:
        match = FACTOR.match(word)
        if match is None or match.group(1) not in SYMBOLS:
            return False
    return text == "1" or all(not re.fullmatch(r"1(-?\d+)?", word) for word in words)


def run(*arguments):
    return subprocess.run([sys.executable, "-m", "concerto", *arguments], capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("kind", KINDS)
def test_every_variable_has_a_unit_and_a_meaning(kind):
    for name, entry in loader.variables(kind).items():
        assert is_unit(entry.units), f"{name}: {entry.units}"
        assert len(entry.long_name) > 3, name
        assert re.fullmatch(r"[a-z][a-z0-9_]*", name), name


def test_nonsense_is_not_a_unit():
    for text in ("", "kg m^-2", "kg/m2", "m s-", "1 m", "foo", "W m**-2", "kg  m-2"):
        assert not is_unit(text), text


@pytest.mark.parametrize("kind", ["forcing", "state"])
def test_every_forcing_and_state_has_bounds_and_starts_inside_them(kind):
    for name, entry in loader.variables(kind).items():
        low, high = entry.bounds
        assert math.isfinite(low) and math.isfinite(high) and low < high, name
        if entry.initial is not None:
            assert low <= entry.initial <= high, name


def test_every_parameter_has_unit_bounds_source_and_a_default_inside():
    n_pft = len(loader.pft_names())
    for name, entry in loader.parameters().items():
        assert is_unit(entry.units), f"{name}: {entry.units}"
        assert entry.long_name and entry.source, name
        low, high = entry.bounds
        assert math.isfinite(low) and math.isfinite(high) and low < high, name
        assert len(entry.values) == n_pft
        assert all(low <= value <= high for value in entry.values), name


def test_every_option_has_a_default_and_says_what_its_choices_are():
    for name, entry in loader.options().items():
        assert entry.long_name.endswith("."), name
        assert entry.default in entry.choices
        assert len(entry.choices) > 1, f"{name} leaves no choice"
        assert all(meaning for meaning in entry.choices.values()), name


def test_names_are_unique_where_a_reader_could_mix_them_up():
    # output files hold forcing, states and diagnostics side by side
    written = [name for kind in ("forcing", "state", "diagnostic") for name in loader.variables(kind)]
    assert len(written) == len(set(written))
    assert not set(loader.parameters()) & set(loader.options())
    assert len(loader.pft_names()) == len(set(loader.pft_names()))


def test_names_in_output_files_are_unique():
    out = [e.cmip or e.name for kind in ("forcing", "state", "diagnostic") for e in loader.variables(kind).values()]
    twice = {name for name in out if out.count(name) > 1}
    assert not twice


@pytest.mark.parametrize("kind", [*KINDS, "parameter"])
def test_columns_follow_each_other_without_gap_or_overlap(kind):
    entries = loader.parameters() if kind == "parameter" else loader.variables(kind)
    column = 1
    for name, entry in entries.items():
        assert entry.column == column, name
        column += entry.n_layer
    assert loader.columns(kind) == column - 1


def test_soil_layers_have_the_thickness_of_the_geometry():
    assert len(loader.soil_thickness()) == loader.layers()["soil"]
    assert loader.layers()["root"] <= loader.layers()["soil"]


def test_the_compiled_core_was_built_from_these_tables():
    from concerto import _core

    assert _core.concerto_interface.core_digest().decode() == loader.digest()


def test_the_fortran_side_has_the_numbers_of_the_tables(tmp_path):
    """What the build writes is read back: every column number, initial value, bound and default parameter."""
    generate = loader.FOLDER / "generate.py"
    options, tables = tmp_path / "options.f90", tmp_path / "tables.f90"
    subprocess.run([sys.executable, generate, options, tables], check=True, cwd=loader.FOLDER)
    text = tables.read_text()
    assert all(len(line) <= 132 for line in (text + options.read_text()).splitlines())
    integers = {name: int(value) for name, value in re.findall(r":: (\w+) = (\d+)", text + options.read_text())}
    for kind in (*KINDS, "parameter"):
        entries = loader.parameters() if kind == "parameter" else loader.variables(kind)
        for name, entry in entries.items():
            assert integers[f"{kind}_{name}"] == entry.column
        assert integers[f"n_{kind}_column"] == loader.columns(kind)
    for name, size in loader.layers().items():
        assert integers[f"n_{name}"] == size
    for name, entry in loader.options().items():
        for number, choice in enumerate(entry.choices, start=1):
            assert integers[f"{name}_{choice}"] == number

    def array(name):
        body = re.search(rf":: {name}\(\d+\) = \[ &\n(.*?)\]", text, re.S).group(1)
        return [float(value.replace("_wp", "")) for value in re.findall(r"[-\d.einfa]+(?:_wp)?", body)]

    by_type = np.array([entry.values for entry in loader.parameters().values()]).T
    assert array("parameter_flat") == by_type.ravel().tolist()
    states = [entry for entry in loader.variables("state").values() for _ in range(entry.n_layer)]
    assert array("state_lowest") == [float(entry.bounds[0]) for entry in states]
    assert array("state_highest") == [float(entry.bounds[1]) for entry in states]
    assert array("state_initial") == [float(entry.initial or 0.0) for entry in states]
    assert array("soil_thickness") == loader.soil_thickness()


def test_every_linear_soil_carbon_scheme_that_can_be_chosen_is_in_the_table():
    choices = list(loader.options()["soil_carbon"].choices)
    linear = [name for name in choices if name not in ("mimics", "millennial")]  # microbes: not a matrix of rates
    assert linear == [scheme.name for scheme in sorted(decomposition.schemes().values(), key=lambda s: s.number)]
    # one numbering: the step hands the number of the choice to the kernels
    assert [choices.index(name) + 1 for name in linear] == [decomposition.schemes()[name].number for name in linear]


def test_soil_carbon_schemes_lose_no_carbon():
    for name, scheme in decomposition.schemes().items():
        assert all(rate >= 0.0 for rate in scheme.rates), name  # RothC has an inert pool
        for pool, respired in enumerate(scheme.respired):
            given = sum(row[pool] for row in scheme.transfer)
            # decimal fractions add up to one to a few ulp
            assert given + respired == pytest.approx(1.0, abs=1e-12)
            assert -1e-12 <= respired <= 1.0


def test_option_numbers_count_choices_from_one():
    defaults = loader.option_numbers()
    assert len(defaults) == len(loader.options())
    for position, (name, entry) in enumerate(loader.options().items()):
        for number, choice in enumerate(entry.choices, start=1):
            needs = loader.needed(name, choice)
            numbers = loader.option_numbers({name: choice} | needs)
            others = loader.option_numbers(needs) if needs else defaults
            assert numbers[position] == number
            assert numbers[:position] + numbers[position + 1 :] == others[:position] + others[position + 1 :]


def near_miss(names):
    """A misspelt name, and the name that is nearest to it."""
    for name in names:
        wrong = name[:-1] + "x"
        if wrong not in names and difflib.get_close_matches(wrong, names, n=1) == [name]:
            return wrong, name
    raise AssertionError("no name can be misspelt")


def test_an_unknown_parameter_gives_an_error_that_names_the_nearest():
    from concerto.simulation.tiles import Tiles

    wrong, right = near_miss(list(loader.parameters()))
    tiles = Tiles([0])
    with pytest.raises(ConcertoError, match=wrong) as caught:
        tiles.set_parameter(wrong, 1.0)
    assert right in caught.value.hint


def test_a_parameter_outside_its_bounds_gives_an_error_that_names_them():
    from concerto.simulation.tiles import Tiles

    name, entry = next(iter(loader.parameters().items()))
    with pytest.raises(ConcertoError, match=f"{name}.*{entry.bounds[1]:g}"):
        Tiles([0]).set_parameter(name, entry.bounds[1] + 1.0)


def test_an_unknown_option_or_choice_gives_an_error_that_names_the_known_ones():
    from concerto.simulation.tiles import Tiles

    name, entry = next(iter(loader.options().items()))
    with pytest.raises(ConcertoError, match=rf"{name}x.*\b{name}\b"):
        Tiles([0], options={name + "x": entry.default})
    with pytest.raises(ConcertoError, match=entry.default):
        Tiles([0], options={name: "no_such_choice"})


def test_the_command_line_finds_variables_and_parameters():
    variable = next(iter(loader.variables("state").values()))
    found = json.loads(run("vars", variable.name, "--json").stdout)
    assert variable.name in [row["name"] for row in found]
    assert next(row for row in found if row["name"] == variable.name)["units"] == variable.units
    parameter = next(iter(loader.parameters().values()))
    found = json.loads(run("params", parameter.name, "--json").stdout)
    assert parameter.name in [row["name"] for row in found]
    found = json.loads(run("params", "--options", "--json").stdout)
    assert [row["name"] for row in found] == list(loader.options())
    # the tables for people hold the same names
    text = run("vars", variable.name)
    assert text.returncode == 0 and variable.units.split()[0] in text.stdout


def test_the_command_line_names_the_nearest_where_nothing_matches():
    for command, names in (("vars", list(loader.variables("state"))), ("params", list(loader.parameters()))):
        wrong, right = near_miss([name for name in names if len(name) > 6])
        result = run(command, wrong)
        assert result.returncode == 2
        assert result.stdout == ""
        assert wrong in result.stderr and right in result.stderr
        assert "Traceback" not in result.stderr


# Parameters that the step passes on as one array with the name of the first: order and neighbourhood matter.
BLOCKS = (
    ("soil_cn_active", "soil_cn_slow", "soil_cn_passive"),
    tuple(f"{tissue}_{part}_soluble" for tissue in ("leaf", "root", "wood") for part in ("acid", "water", "ethanol")),
)


@pytest.mark.parametrize("block", BLOCKS, ids=[block[0] for block in BLOCKS])
def test_parameters_of_one_array_stand_side_by_side(block):
    first = loader.parameters()[block[0]].column
    assert [loader.parameters()[name].column for name in block] == list(range(first, first + len(block)))


def test_every_row_of_the_tables_is_used():
    """A parameter, forcing, state or derived column that no step reads would be an option without an effect."""
    root = Path(__file__).resolve().parents[1]
    fortran = "\n".join(p.read_text() for p in sorted((root / "fortran/model").glob("*.f90")))
    hosts = "\n".join(p.read_text() for p in sorted((root / "src/concerto/simulation").glob("*.py")))
    first = {name: block[0] for block in BLOCKS for name in block}
    unused = [
        f"parameter {name}"
        for name in loader.parameters()
        if not re.search(rf"\bparameter_{first.get(name, name)}\b", fortran) and f'"{name}"' not in hosts
    ]
    for kind in ("forcing", "state", "derived", "diagnostic"):
        unused += [f"{kind} {n}" for n in loader.variables(kind) if not re.search(rf"\b{kind}_{n}\b", fortran)]
    assert not unused
