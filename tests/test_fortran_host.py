"""A host in Fortran and the Python host get the same bits from one build of the library."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from synthetic import site_file

pytestmark = [pytest.mark.slow, pytest.mark.release]
PROJECT = Path(__file__).resolve().parents[1]
EXAMPLE = PROJECT / "examples" / "fortran_host"
TOOLS = ("meson", "ninja", "gfortran", "gcc", "pkg-config", "make")

# The Python host in the process of the temporary build: writes the file for host.f90, then runs itself.
PYTHON_HOST = """
import json, sys
import numpy as np
import concerto as co
sys.path.insert(0, sys.argv[1])
from export_site import export, new_state
path, out, steps, settings = sys.argv[2], sys.argv[3], int(sys.argv[4]), json.loads(sys.argv[5])
run = new_state(co.open_site(path, spinup="none", **settings))
export(run, out + ".bin", steps)
results = run.tiles.advance(run.forcing[:, :, :steps], run.ends[:steps], ("nee", "latent_heat"))
np.savez(out + ".npz", **results, state=run.tiles._unblock(run.tiles.state), module=co.simulation.tiles._core.__file__)
"""


def environment():
    """The tools of this Python's environment first."""
    return os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}


def run_tool(*command, **keywords):
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, timeout=600, **keywords)
    assert done.returncode == 0, f"{command}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Library and extension from one build folder, installed to a prefix; the host linked to both kinds of library."""
    missing = [tool for tool in TOOLS if shutil.which(tool, path=environment()["PATH"]) is None]
    if missing:
        pytest.skip(f"not on this machine: {', '.join(missing)}")
    if not EXAMPLE.exists():
        pytest.skip("the project's sources are not here")
    folder = tmp_path_factory.mktemp("library")
    prefix, env = folder / "prefix", environment()
    options = ("-Dpython=enabled", "-Dlibrary=true", "-Dlibdir=lib", f"--prefix={prefix}")
    run_tool("meson", "setup", folder / "build", PROJECT, *options, env=env)
    run_tool("meson", "compile", "-C", folder / "build", "-j", "2", env=env)
    run_tool("meson", "install", "-C", folder / "build", "--no-rebuild", env=env)
    hosts = {}
    for kind in ("host", "static"):
        work = folder / kind
        shutil.copytree(EXAMPLE, work)
        (work / "host").unlink(missing_ok=True)
        run_tool("make", kind, f"PREFIX={prefix}", cwd=work, env=env)
        hosts["shared" if kind == "host" else kind] = work / "host"
    site_packages = next(prefix.rglob("concerto/_core*")).parents[1]
    return SimpleNamespace(prefix=prefix, hosts=hosts, site_packages=site_packages)


def compare(built, tmp_path, path, steps, settings):
    """Run both hosts and compare all bits; returns what the Python host got."""
    import json

    env = environment() | {"PYTHONPATH": str(built.site_packages)}
    out = tmp_path / "run"
    run_tool(sys.executable, "-c", PYTHON_HOST, EXAMPLE, path, out, steps, json.dumps(settings), env=env, cwd=tmp_path)
    expected = np.load(f"{out}.npz")
    assert str(expected["module"]).startswith(str(built.prefix))
    n_tile = expected["state"].shape[0]
    for kind, host in built.hosts.items():
        words = run_tool(host, f"{out}.bin", tmp_path / f"{kind}.bin", env=environment())
        assert f"{n_tile} tiles through {steps} steps" in words
        values = np.fromfile(tmp_path / f"{kind}.bin")
        fluxes, state = values[: 2 * n_tile * steps].reshape(steps, 2, n_tile), values[2 * n_tile * steps :]
        fluxes = fluxes + 0.0  # the Python host adds means to zero, which makes +0 of -0 (bare ground at rest)
        for name, mine in (
            ("nee", fluxes[:, 0]), ("latent_heat", fluxes[:, 1]), ("state", state.reshape(-1, n_tile).T)
        ):  # fmt: skip
            assert np.isfinite(expected[name]).all()
            mine, other = (np.ascontiguousarray(a).view(np.uint64) for a in (mine, expected[name]))
            assert np.array_equal(mine, other), (
                f"{kind} library: {name} differs in {np.sum(mine != other)} of {mine.size}"
            )
    return dict(expected) | {"words": words}


@pytest.mark.parametrize(
    "climate, settings",
    [
        ("boreal_evergreen", {}),
        (
            "prairie",
            {"options": {"soil_water": "bucket", "vcmax": "pmodel", "stomata": "pmodel", "soil_carbon": "rothc"}},
        ),
    ],
)
def test_fortran_and_python_hosts_give_the_same_bits(built, tmp_path, climate, settings):
    path = site_file(tmp_path / "site.nc", climate, step=1800, days=60)
    expected = compare(built, tmp_path, path, 48 * 60, settings)
    assert np.ptp(expected["latent_heat"]) > 10.0  # W m-2: the run did something


def test_hosts_give_the_same_bits_for_all_plant_types_in_two_blocks(built, tmp_path):
    from concerto.tables import loader

    names = loader.pft_names()
    mixture = ",".join(f"{name}:{1.0 / len(names):.6f}" for name in names)
    path = site_file(tmp_path / "site.nc", "temperate_deciduous", step=3600, days=20)
    expected = compare(built, tmp_path, path, 24 * 20, {"pft": mixture, "nproma": 16})
    assert expected["state"].shape[0] == len(names) > 16


def test_a_managed_field_gives_the_same_bits_and_its_water_and_harvest(built, tmp_path):
    from concerto.tables import loader

    options = {"crops": "calendar", "grazing": "livestock", "irrigation": "demand", "tillage": "conventional"}
    path = site_file(tmp_path / "site.nc", "prairie", step=3600, days=240)
    settings = {
        "pft": "crop_c3:0.5,grass_c3:0.5",
        "options": options,
        "parameters": {"manure": 0.004, "irrigated": 1.0},
    }
    expected = compare(built, tmp_path, path, 24 * 240, settings)
    lines = dict(line.split(":") for line in expected["words"].splitlines() if ":" in line)
    water, products = ([float(v) for v in lines[f"{name}, kg m-2"].split()] for name in
                       ("water for irrigation", "carbon of products"))  # fmt: skip
    assert min(water) > 1.0
    column = loader.variables("state")["harvested_carbon"].column - 1
    np.testing.assert_allclose(products, expected["state"][:, column], rtol=0, atol=6e-7)  # six digits are printed
    assert np.abs(products).max() > 0.01


def test_hosts_give_the_same_bits_at_a_tower(built, tmp_path, shared):
    compare(built, tmp_path, shared("data/sites/FI-Hyy_2005-2007.nc"), 48 * 120, {})


def test_the_documented_export_runs(built, tmp_path):
    path = site_file(tmp_path / "site.nc", days=10)
    env = environment() | {"PYTHONPATH": str(built.site_packages)}
    run_tool(sys.executable, EXAMPLE / "export_site.py", path, tmp_path / "site.bin", 100, env=env, cwd=tmp_path)
    words = run_tool(built.hosts["shared"], tmp_path / "site.bin", tmp_path / "result.bin")
    assert "through 100 steps" in words


def test_a_host_with_a_wrong_file_says_so_in_one_line(built, tmp_path):
    (tmp_path / "bad.bin").write_bytes(np.ones(20, dtype=np.int32).tobytes())
    for arguments in ([], [tmp_path / "none.bin", "out"], [tmp_path / "bad.bin", "out"]):
        done = subprocess.run(
            [str(a) for a in (built.hosts["static"], *arguments)], capture_output=True, text=True, cwd=tmp_path
        )
        assert done.returncode == 2
        assert done.stderr.startswith("host: ") and done.stderr.count("\n") == 1


def test_the_library_asks_for_nothing_but_compiler_run_times(built):
    """No Python, no NetCDF, no MPI in the library that an Earth system model links."""
    if shutil.which("ldd") is None:
        pytest.skip("ldd is not on this machine")
    libraries = run_tool("ldd", built.prefix / "lib" / "libconcerto.so")
    allowed = (
        "linux-vdso",
        "libgfortran",
        "libm.",
        "libmvec",
        "libgomp",
        "libgcc_s",
        "libquadmath",
        "libc.",
        "ld-linux",
        "libpthread",
        "libdl",
    )
    for line in libraries.splitlines():
        assert any(word in line for word in allowed), line


def test_the_library_alone_builds_without_numpy_or_extension(built, tmp_path):
    """The setup of the README: -Dpython=disabled configures without looking for Python headers."""
    options = ("-Dpython=disabled", "-Dlibdir=lib", f"--prefix={tmp_path / 'p'}")
    words = run_tool("meson", "setup", tmp_path / "b", PROJECT, *options, env=environment())
    assert "numpy" not in words.lower()
