"""Vector against scalar build of the core: builds both, measures them in turn, prints the ratio.

python benchmarks/vector_speedup.py [--tiles 1024] [--rounds 3]
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]


def build(variant: str, folder: Path) -> Path:
    """Install one variant into its own folder."""
    target = folder / variant
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-build-isolation",
        "--no-deps",
        "--target",
        str(target),
    ]
    command += [
        f"--config-settings=setup-args=-Dsimd={variant}",
        f"--config-settings=build-dir={folder / ('build-' + variant)}",
        str(PROJECT),
    ]
    subprocess.run(command, check=True)
    return target


def measure(site: Path, tiles: int) -> float:
    """Microseconds per tile and step."""
    command = [sys.executable, "-m", "concerto", "bench", "--tiles", str(tiles), "--json"]
    out = subprocess.run(
        command, check=True, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(site)}, cwd="/"
    )
    return json.loads(out.stdout)["microseconds"]


def main() -> None:
    """Build, measure in turn, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tiles", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--variants", nargs="+", default=["native", "scalar"])
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        sites = {variant: build(variant, Path(temporary)) for variant in arguments.variants}
        times = {variant: [] for variant in sites}
        for _ in range(arguments.rounds):
            for variant, site in sites.items():
                times[variant].append(measure(site, arguments.tiles))
    first = min(times[arguments.variants[0]])
    for variant, values in times.items():
        ratio = min(values) / first
        print(f"{variant:<10} {min(values):.3f} us per tile and step, {ratio:.2f} x {arguments.variants[0]}, {values}")


if __name__ == "__main__":
    main()
