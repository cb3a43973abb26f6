"""Skill of site runs against towers, benchmarks and other models.

    python benchmarks/skill.py --runs RUNS --data DATA [--json skill.json] [--peers peer_scores.csv]

RUNS holds one output file per site, ``<SITE>.nc`` or ``<SITE>_*.nc``; DATA the tower files (``sites/*.nc``)
and, where wanted, the daily CalLMIP files (``callmip_phase1/``). Prints the table and writes JSON.
"""

import argparse
import json
import sys
from pathlib import Path

from concerto.errors import ConcertoError
from concerto.evaluation.skill import score_sites, site_files, skill_text, to_json


def main(arguments=None):
    """Run the command line; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=Path, required=True, help="folder with one output file per site")
    parser.add_argument("--data", type=Path, required=True, help="folder with sites/ and callmip_phase1/")
    parser.add_argument("--json", type=Path, default=Path("skill.json"), help="file to write (skill.json)")
    parser.add_argument("--peers", type=Path, help="CSV of other models' scores: site, flux, model, nme")
    parser.add_argument("--flags", default="0", help="accepted flags of the fluxes, for example 0,1")
    parser.add_argument("--heat-tiers", default="A,B", help="forcing tiers at which Qle and Qh are judged (A,B)")
    parser.add_argument("--figure", type=Path, help="SVG of the win table to write")
    options = parser.parse_args(arguments)
    try:
        runs = {}
        for site in site_files(options.data):
            found = sorted([*options.runs.glob(f"{site}.nc"), *options.runs.glob(f"{site}_*.nc")])
            if found:
                runs[site] = found[0]
        if not runs:
            raise ConcertoError(
                f"{options.runs}: no file is named after a site of {options.data}.",
                hint="Name the outputs <SITE>.nc.",
            )
        flags = tuple(int(flag) for flag in options.flags.split(","))
        table = score_sites(
            runs, options.data, flags=flags, tiers_of_heat=options.heat_tiers.split(","), peers=options.peers
        )
    except ConcertoError as error:
        print(error, file=sys.stderr)
        return 2
    print(skill_text(table))
    options.json.write_text(json.dumps(to_json(table), indent=1) + "\n")
    if options.figure:
        from concerto.evaluation.plots import win_table

        options.figure.write_text(win_table(table))
    return 0


if __name__ == "__main__":
    sys.exit(main())
