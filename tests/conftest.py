"""Fixtures: the shared reference tables and data stand beside the project and may be absent."""

import csv
import os
import sys
from pathlib import Path

import numpy as np
import pytest

os.environ.pop("COLUMNS", None)  # set by some runners of tests; tables are as wide as in a pipe

SHARED = Path(__file__).resolve().parents[2] / "shared"


def read_table(path):
    """Columns of a CSV file: floats where every value is one, else object arrays of strings."""
    with open(path, newline="") as file:
        rows = list(csv.reader(line for line in file if not line.startswith("#")))
    columns = {}
    for name, values in zip(rows[0], zip(*rows[1:], strict=True), strict=True):
        try:
            columns[name] = np.array([float(v) if v not in ("", "NA") else np.nan for v in values])
        except ValueError:
            columns[name] = np.array(values, dtype=object)
    return columns


@pytest.fixture
def reference():
    """Function that reads a table of ../shared/reference, or skips the test with the reason."""

    def read(name):
        path = SHARED / "reference" / name
        if not path.exists():
            pytest.skip(f"reference table {name} is not beside the project (../shared/reference)")
        return read_table(path)

    return read


@pytest.fixture
def shared():
    """Function that gives the path of a file in ../shared, or skips the test with the reason."""

    def find(name):
        path = SHARED / name
        if not path.exists():
            pytest.skip(f"{name} is not beside the project (../shared)")
        return path

    return find


@pytest.fixture
def concerto(capsys, monkeypatch):
    """Runs a command in this process; gives exit code, standard output and standard error."""
    from concerto import cli

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["concerto", *map(str, words)])
        code = 0
        try:
            cli.main()
        except SystemExit as stop:
            code = stop.code or 0
        out, err = capsys.readouterr()
        return code, out, err

    return run
