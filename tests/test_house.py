"""The order of the house: who may use whom, what a kernel may not do, fast starts, loops that vectorise."""

import compileall
import importlib
import inspect
import json
import platform
import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

import concerto

ROOT = Path(__file__).resolve().parents[1]
FORTRAN = ROOT / "fortran"
SOURCES = sorted(FORTRAN.glob("*/*.f90"))

# What each room may use beside itself. Process rooms stand on base (canopy also on leaf), model wires them,
# the interface sees everything, nobody sees the interface.
MAY_USE = {
    "base": set(),
    "forcing": {"base"},
    "leaf": {"base"},
    "canopy": {"base", "leaf"},
    "soil": {"base"},
    "carbon": {"base"},
    "model": {"base", "leaf", "canopy", "soil", "carbon", "columns"},
    "interface": {"base", "leaf", "canopy", "soil", "carbon", "columns", "model"},
}
# Modules that the build writes, and the room they count to. Only model and interface know columns.
GENERATED = {
    "concerto_options": "base",
    "concerto_tables": "columns",
    "concerto_decomposition_tables": "carbon",
}


@cache
def text_of(path):
    return path.read_text()


@cache
def statements(path):
    """Statements in lower case without comments and text constants, continuation lines joined."""
    out, part = [], ""
    for line in text_of(path).lower().splitlines():
        line = re.sub(r"'[^']*'|\"[^\"]*\"", "''", line).split("!")[0].strip()
        if not line:
            continue
        part += line.lstrip("&").rstrip("&")
        if not line.endswith("&"):
            out += [statement.strip() for statement in part.split(";")]
            part = ""
    return out


def room_of(path):
    return path.parent.name


@cache
def modules():
    """Name of every module -> its file."""
    return {
        match.group(1): path
        for path in SOURCES
        for match in re.finditer(r"^module (\w+)$", "\n".join(statements(path)), re.M)
        if match.group(1) != "procedure"
    }


def uses(path):
    found = set()
    for statement in statements(path):
        match = re.match(r"use\s*(?:,\s*intrinsic\s*)?(?:::)?\s*(\w+)", statement)
        if match and not match.group(1).startswith("iso_") and not match.group(1).startswith("ieee_"):
            found.add(match.group(1))
    return found


def test_every_file_is_one_private_module_with_a_name_of_its_own():
    assert len(SOURCES) > 10
    assert len(modules()) == len(SOURCES)
    for name, path in modules().items():
        assert name == "concerto" or name.startswith("concerto_"), path
        assert "implicit none" in statements(path), path
        assert "private" in statements(path), path


def test_no_room_uses_a_higher_one():
    wrong = []
    for name, path in modules().items():
        room = room_of(path)
        for used in uses(path):
            other = GENERATED.get(used) or room_of(modules()[used])
            if other != room and other not in MAY_USE[room]:
                wrong.append(f"{room}/{path.name} ({name}) uses {used} of {other}")
    assert not wrong


def test_no_module_uses_itself_by_a_detour():
    graph = {name: uses(path) & set(modules()) for name, path in modules().items()}
    while graph:
        free = {name for name, used in graph.items() if not used & set(graph)}
        assert free, f"a cycle among {sorted(graph)}"
        graph = {name: used for name, used in graph.items() if name not in free}


def test_the_library_neither_stops_nor_prints_nor_keeps_anything():
    forbidden = {
        r"(error )?stop\b": "stops the host",
        r"print\b": "prints",
        r"(write|read|open|inquire)\s*\(": "does input or output",
        r"(.*, *)?save\b": "keeps values between calls",
        r"common\b": "shares memory",
    }
    wrong = []
    for path in SOURCES:
        for statement in statements(path):
            for pattern, fault in forbidden.items():
                if re.match(pattern, re.sub(r"^if \(.*\) (?=stop|error stop|print|write)", "", statement)):
                    wrong.append(f"{path.name}: {statement!r} {fault}")
            # land_model owns the memory of a host's tiles, slow_solution that of a spin-up; nobody else allocates,
            # and what others name allocatable is a component that these two fill
            if path.name not in ("land_model.f90", "slow_solution.f90") and (
                re.search(r"\ballocate\s*\(", statement)
                or (re.search(r"\ballocatable\b", statement) and not _within_type(path, statement))
            ):
                wrong.append(f"{path.name}: {statement!r} allocates")
    assert not wrong


def test_no_module_variable_changes():
    wrong = []
    for path in SOURCES:
        for statement in statements(path):
            if statement == "contains":
                break
            inside_type = "type" in statement
            if re.match(r"(integer|real|logical|character)\b.*::", statement) and not inside_type:
                head = statement.split("::")[0]
                if "parameter" not in head and not _within_type(path, statement):
                    wrong.append(f"{path.name}: {statement}")
    assert not wrong


def _within_type(path, wanted):
    inside = False
    for statement in statements(path):
        if re.match(r"type\b(?!\s*\()", statement):
            inside = True
        elif statement.startswith("end type"):
            inside = False
        elif statement == wanted:
            return inside
    return False


def procedures(path):
    """(name, dummies, lines with comments) of every procedure of a file, whether public or not."""
    lines = text_of(path).splitlines()
    starts = [
        k
        for k, line in enumerate(lines)
        if re.match(r"\s*(?!end\b)[\w\s()]*\b(subroutine|function)\s+\w+\s*\(", line.split("!")[0], re.I)
    ]
    for k in starts:
        head, m = lines[k].split("!")[0].rstrip(), k
        while head.endswith("&"):
            m += 1
            head = head[:-1] + lines[m].split("!")[0].strip().lstrip("&")
        match = re.search(r"\b(?:subroutine|function)\s+(\w+)\s*\(([^)]*)\)", head, re.I)
        body = []
        for line in lines[m + 1 :]:
            if re.match(r"\s*(end\s+(subroutine|function)|contains\s*$)", line, re.I):
                break
            body.append(line)
        dummies = [d.strip().lower() for d in match.group(2).split(",") if d.strip()]
        yield match.group(1).lower(), dummies, body


def public_names(path):
    return {
        name.strip()
        for statement in statements(path)
        if statement.startswith("public ::")
        for name in statement.removeprefix("public ::").split(",")
    }


def test_every_argument_says_what_it_is_and_in_which_unit():
    """Public routines and bound procedures; helpers inside a module repeat the names of their callers."""
    wrong = []
    for path in SOURCES:
        public = public_names(path)
        for name, dummies, body in procedures(path):
            if name not in public and "self" not in dummies:
                continue
            for dummy in dummies:
                # the name stands left of the comment, in a declaration or on a line that continues one
                described = [line for line in body if re.search(rf"^[^!]*\b{dummy}\b[^!]*!!\s*\S", line, re.I)]
                if not any(re.search(r"::|^\s*\w+(\([^)]*\))?\s*[,&!]", line) for line in described):
                    wrong.append(f"{room_of(path)}/{path.name}: {name}: {dummy}")
    assert not wrong


def test_public_routines_are_described():
    wrong = []
    for path in SOURCES:
        head = [line.strip() for line in text_of(path).splitlines()[:6]]
        if not any(line.startswith("!!") for line in head):
            wrong.append(f"{path.name}: no header")
        public = public_names(path)
        for name, _, body in procedures(path):
            if name in public and not any(line.strip().startswith("!!") for line in body[:3]):
                wrong.append(f"{path.name}: {name} has no description")
    assert not wrong


# ---- start-up


def run_python(*arguments):
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, timeout=60)


def test_help_comes_at_once():
    """The one limit of time that the project sets itself: who asks for help waits for it. 0.5 s."""
    resource = pytest.importorskip("resource", reason="processor time of children needs POSIX")
    compileall.compile_dir(Path(concerto.__file__).parent, quiet=2)
    best = float("inf")
    for _ in range(3):
        # Processor time, and the best of three: other work on the machine does not count.
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        result = run_python("-m", "concerto", "--help")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        best = min(best, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert result.returncode == 0, result.stderr
    assert "demo" in result.stdout and "site" in result.stdout
    assert best < 0.5, f"concerto --help takes {best:.2f} s"


@pytest.mark.parametrize(
    "program",
    [
        "import concerto",
        "import sys, concerto.cli; sys.argv = ['concerto', '--help']\ntry: concerto.cli.app()\nexcept SystemExit: pass",
    ],
    ids=["import concerto", "concerto --help"],
)
def test_start_up_imports_nothing_heavy(program):
    code = program + "\nimport sys, json; print('\\n' + json.dumps(sorted(sys.modules)), file=sys.stderr)"
    result = run_python("-c", code)
    assert result.returncode == 0, result.stderr
    loaded = set(json.loads(result.stderr.strip().splitlines()[-1]))
    heavy = {"xarray", "pandas", "netCDF4", "matplotlib", "scipy", "concerto._core"}
    assert not loaded & heavy


# ---- vector loops

FLAGS = "-O3 -fno-trapping-math -fno-semantic-interposition -fstack-arrays -fPIC".split()
FLAGS.append("-ffree-line-length-132")
# Loops over tiles that may stay scalar: (file, procedure) -> (how many, why).
SCALAR = {
    ("bucket", "splash_day"): (1, "acos has no vector version; once a day"),
    ("water", "soil_water_richards"): (1, "collects the tiles that need another pass"),
    ("heat", "phase_change"): (1, "collects the tiles that lack heat"),
    ("hydraulics", "hydraulic_stress"): (1, "the ends of the bracket, once; the passes after it vectorise"),
}


def tile_loops(path):
    """(line, procedure) of innermost loops over tiles that compute; fills and copies become memset."""
    lines = text_of(path).splitlines()
    procedure = ""
    for k, line in enumerate(lines):
        match = re.match(r"\s*(?!end\b)[\w\s()]*\b(?:subroutine|function)\s+(\w+)", line.split("!")[0], re.I)
        if match:
            procedure = match.group(1)
        if not re.match(r"\s*do i = 1, n\s*(!|$)", line):
            continue
        body = []
        for inner in lines[k + 1 :]:
            if re.match(r"\s*end do", inner):
                break
            body.append(inner.split("!")[0].strip())
        if any(inner.startswith("do ") for inner in body):
            continue
        moves = r"(\w+(%\w+)?\(i(, *[\w+\- ]+)?\) = (-?[\d.]+(e-?\d+)?(_wp)?|-?\w+(\(i(, *[\w+\- ]+)?\))?))?$"
        if not all(re.match(moves, inner) for inner in body):
            yield k + 1, procedure


@pytest.fixture(scope="module")
def compiled_order(tmp_path_factory):
    """Folder with the generated module, and the process files in the order of their use."""
    folder = tmp_path_factory.mktemp("vector")
    generate = ROOT / "src/concerto/tables/generate.py"
    subprocess.run(
        [sys.executable, generate, folder / "concerto_options.f90", folder / "concerto_tables.f90"],
        check=True,
    )
    decomposition = folder / "concerto_decomposition_tables.f90"
    subprocess.run([sys.executable, ROOT / "src/concerto/tables/decomposition.py", decomposition], check=True)
    order, pending = [], {path.stem: path for path in folder.glob("*.f90")}
    for name, path in modules().items():
        steps = ("step_fast", "step_daily", "step_slow")
        if room_of(path) in ("base", "leaf", "canopy", "soil", "carbon") or path.stem in steps:
            pending[name] = path
    while pending:
        free = [name for name, path in pending.items() if not uses(path) & set(pending)]
        order += [pending.pop(name) for name in free]
    return folder, order


@pytest.mark.slow
@pytest.mark.parametrize("level", ["x86-64", "x86-64-v4"])
def test_loops_over_tiles_vectorise(level, compiled_order):
    if shutil.which("gfortran") is None:
        pytest.skip("gfortran is not installed")
    if platform.machine() != "x86_64":
        pytest.skip("the lists of scalar loops are those of x86-64")
    folder, order = compiled_order
    wrong, seen = [], 0
    for path in order:
        report = folder / f"{path.stem}.{level}"
        report.unlink(missing_ok=True)
        subprocess.run(
            ["gfortran", "-c", *FLAGS, f"-march={level}", f"-fopt-info-vec-optimized={report}", path]
            + ["-o", f"{path.stem}.o"],
            cwd=folder,
            check=True,
            capture_output=True,
        )
        if path.parent == folder or room_of(path) in ("base", "carbon") or path.stem in ("step_daily", "step_slow"):
            continue  # generated, elemental, or once a day
        words = report.read_text() if report.exists() else ""
        vector = {int(line) for line in re.findall(r":(\d+):\d+: optimized: +loop vectorized", words)}
        scalar = {}
        for line, procedure in tile_loops(path):
            seen += 1
            if line not in vector:
                scalar.setdefault(procedure, []).append(line)
        for procedure, lines in scalar.items():
            number, _ = SCALAR.get((path.stem, procedure), (0, ""))
            if len(lines) > number:
                wrong.append(f"{room_of(path)}/{path.name}: {procedure}: lines {lines}, {number} may be scalar")
    assert seen > 50
    assert not wrong


# ---- kernels for Python

UNITS = (
    r"\b([Hh]ours|K|Pa|kPa|hPa|MPa|m|mm|s|d|yr|h|kg|g|gC|J|W|mol|umol|ppm|degrees?|m2|m3|[Ff]ractions?|[Ss]hares?|factors?|"
    r"scalars?|dimensionless|0 to 1|0-1|ratio)\b|%|\(-\)|m-1|s-1|m-2"
)


def kernel_rooms():
    folder = Path(concerto.__file__).parent / "kernels"
    return sorted(path.stem for path in folder.glob("*.py") if not path.stem.startswith("_"))


@pytest.mark.parametrize("room", kernel_rooms())
def test_kernels_are_documented_with_units(room):
    from concerto import kernels

    functions = kernels._functions(room)
    assert functions
    for name, function in functions.items():
        words = function.__doc__ or ""
        assert len(words) > 20, f"{room}.{name} has no docstring"
        referred = re.search(r":func:`(\w+)`", words)  # units as those of another kernel
        if referred:
            words += getattr(kernels, referred.group(1)).__doc__
        overview = importlib.import_module(f"concerto.kernels.{room}").__doc__
        if all(re.search(rf"\b{name}\b", overview, re.I) for name in inspect.signature(function).parameters):
            words += overview  # the head of the module gives the units of all arguments by name
        assert re.search(UNITS, words), f"{room}.{name} names no unit"


@pytest.mark.parametrize("room", [*kernel_rooms(), ""])
def test_examples_of_the_kernels_run(room):
    import doctest

    module = importlib.import_module(f"concerto.kernels.{room}".rstrip("."))
    result = doctest.testmod(module)
    assert result.attempted > 0, "no example"
    assert result.failed == 0


def test_kernels_are_reached_by_name_and_names_are_unique():
    from concerto import kernels

    names = [name for room in kernels._rooms() for name in kernels._functions(room)]
    assert len(names) == len(set(names))
    for room in kernels._rooms():
        for name, function in kernels._functions(room).items():
            assert getattr(kernels, name) is function
    assert set(names) <= set(dir(kernels))
    assert len(kernels.describe()) == len(names)
    with pytest.raises(AttributeError, match="no_such_process"):
        _ = kernels.no_such_process
