"""What a newcomer runs first: the demonstration, from the command to its file and page."""

import json

import numpy as np
import pytest

from concerto import cli
from concerto.simulation.tiles import RESIDUALS

pytestmark = pytest.mark.release


def test_the_demonstration_runs_and_closes_every_budget(tmp_path, monkeypatch, capsys):
    xr = pytest.importorskip("xarray")
    monkeypatch.setattr("sys.argv", ["concerto", "demo", "--out", str(tmp_path / "demo")])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert not end.value.code
    assert "reference sites" in capsys.readouterr().out
    with xr.open_dataset(tmp_path / "demo" / "demo.nc") as ds:
        worst = json.loads(ds.attrs["summary"])["worst residual"]
        assert set(worst) == set(RESIDUALS)
        # kg m-2 and W m-2 in a step: round-off of stores of some 1e3 kg m-2 and of fluxes of 1e3 W m-2
        assert all(float(words.split()[0]) < 1e-8 for words in worst.values())
        assert ds.sizes["site"] == 15 and np.isfinite(ds.gpp).all() and float(ds.gpp.max()) > 0.0
    assert "<svg" in (tmp_path / "demo" / "demo.html").read_text()
