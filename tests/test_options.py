"""Every choice of every option runs and changes what it is for; a wrong choice is refused in one sentence."""

import numpy as np
import pytest
from synthetic import climate_tiles, start

from concerto import Tiles, open_site
from concerto.errors import ConcertoError
from concerto.tables import loader

OPTIONS = loader.options()
CLIMATES = ("temperate_deciduous", "mediterranean", "tropical_rain_forest", "prairie")
# What each option is there to change, and by how much at least and at most (relative to the mean size in the default
# run). A solver of the same equations must change only digits, all other schemes more than a per mille.
CHANGES = {
    "temperature_response": ("gpp", 1e-3, 1.0),
    "kinetics": ("gpp", 1e-3, 1.0),
    "stomata": ("transpiration", 1e-3, 1.0),
    "vcmax": ("gpp", 1e-3, 1.0),
    "leaf_respiration": ("ra_leaf", 1e-3, 10.0),
    "ci_solver": ("gpp", 1e-12, 1e-3),
    "canopy_light": ("gpp", 1e-3, 1.0),
    "soil_water": ("drainage", 1e-2, 100.0),
    "phenology": ("gpp", 1e-3, 1.0),
    "soil_carbon": ("rh", 1e-3, 10.0),
    "crops": ("gpp", 1e-3, 1.0),
    "allocation": ("carbon_seed", 1e-3, 10.0),
    "maintenance": ("ra_stem", 1e-3, 1.0),
    "maintenance_acclimation": ("ra_stem", 1e-3, 1.0),
    "mortality_causes": ("litterfall", 1e-3, 1.0),
    "nitrogen": ("rh", 1e-3, 1.0),
    "water_stress": ("water_stress", 1e-3, 1.0),
    "plant_hydraulics": ("gpp", 1e-3, 1.0),
    "drought_memory": ("transpiration", 1e-3, 1.0),
}
# Tested elsewhere: once a year, outside of the step (test_dynamics); tracers, which change nothing (below); what is
# done to fields at times of its own (test_management).
OTHERS = {"vegetation_dynamics", "isotopes", "tillage", "grazing", "irrigation"}
CHOICES = [(o, c) for o, entry in OPTIONS.items() if o not in OTHERS for c in entry.choices if c != entry.default]
DAYS = 12


def run(options):
    """Daily means of twelve June days in four climates: {name: (day, tile)}."""
    tiles, forcing, ends = climate_tiles(CLIMATES, n_tile=68, start_day="2004-06-10", days=DAYS, options=options)
    start(tiles, forcing)
    tiles.set("soil_carbon", 0.1)
    # a memory that the acclimating schemes would have after some weeks
    tiles.set("pmodel_xi", 60.0)
    tiles.set("pmodel_vcmax25", 50.0)
    tiles.set("pmodel_jmax25", 90.0)
    names = (*loader.variables("diagnostic"), "carbon_seed", "litterfall")
    return tiles.advance(forcing, ends, names, steps_per_output=48)


@pytest.fixture(scope="module")
def default():
    return run({})


def test_every_option_says_what_it_changes():
    assert set(CHANGES) | OTHERS == set(OPTIONS)
    for name, entry in OPTIONS.items():
        assert entry.long_name.endswith(".") and entry.default in entry.choices, name
        assert len(entry.choices) >= 2, name


@pytest.mark.parametrize("option, choice", CHOICES, ids=[f"{o}={c}" for o, c in CHOICES])
def test_every_choice_runs_and_changes_its_output(default, option, choice):
    results = run({option: choice} | loader.needed(option, choice))
    assert all(np.isfinite(values).all() for values in results.values())
    name, least, most = CHANGES[option]
    size = np.abs(default[name]).mean()
    change = np.abs(results[name] - default[name]).mean() / size
    assert size > 0.0
    assert least < change < most, f"{option}={choice} changes {name} by {change:.1e}"


def test_isotopes_are_tracers_that_change_nothing(default):
    results = run({"isotopes": "on"})
    for name, values in results.items():
        assert np.array_equal(values, default[name]), name


@pytest.mark.parametrize("option", OPTIONS)
def test_the_default_named_is_the_default(default, option):
    results = run({option: OPTIONS[option].default})
    for name, values in results.items():
        assert np.array_equal(values, default[name]), name


@pytest.mark.parametrize("option", OPTIONS)
def test_an_unknown_choice_is_refused_in_one_sentence(option):
    with pytest.raises(ConcertoError) as raised:
        Tiles([1], options={option: "nonsense"})
    message = raised.value.message
    assert option in message and "nonsense" in message and "\n" not in message
    for choice in OPTIONS[option].choices:
        assert choice in message
    assert raised.value.hint


def test_an_unknown_option_is_refused_in_one_sentence():
    with pytest.raises(ConcertoError, match="unknown option stomates") as raised:
        Tiles([1], options={"stomates": "medlyn"})
    assert "stomata" in raised.value.message and "\n" not in raised.value.message


def test_prescribed_leaf_area_without_leaf_area_is_refused(tmp_path):
    from synthetic import site_file

    with pytest.raises(ConcertoError, match="needs LAI") as raised:
        open_site(site_file(tmp_path / "site.nc", days=40), options={"phenology": "prescribed"})
    assert raised.value.hint


def test_bare_ground_stays_bare_under_a_prescribed_leaf_area():
    tiles, forcing, ends = climate_tiles(
        ("prairie",), n_tile=17, start_day="2004-06-10", days=3, options={"phenology": "prescribed"}
    )
    start(tiles, forcing)
    results = tiles.advance(forcing, ends, ("leaf_area", "gpp"))
    bare = tiles.pft == 0
    assert bare.any() and np.all(results["leaf_area"][-1, bare] == 0.0) and np.all(results["gpp"][-48:, bare] == 0.0)
    assert np.all(results["leaf_area"][-1, ~bare] == 2.0)  # what the forcing of climate_tiles prescribes
