"""Carbon, nitrogen and isotopes of the slow half: nothing is lost in centuries, and nothing breaks at the limits."""

import numpy as np
import pytest
from test_slow_step import PLANT_POOLS, set_isotopes, weather_year, young_tiles

from concerto.simulation.spinup import recorded
from concerto.tables import loader

YEAR = 31557600.0
CLIMATES = ("tropical_rain_forest", "temperate_deciduous")
# Round-off of a day, in stores that reach 75 kg C m-2 and 5 kg N m-2; the limit for both is 1e-13 kg m-2. Seen in a
# century, carbon: cencn 8e-15, rothc 9e-15, century 9e-15, yasso07 9e-15, yasso15 9e-15, yasso20 8e-15, mimics 2e-14,
# millennial 2e-14; nitrogen: 5e-17.
LIMIT = 1e-13
BUFFERS = ("carbon_rh_buffer", "carbon_npp_day", "carbon_growth_buffer", "carbon_export_buffer")  # may owe

CASES = [{"soil_carbon": choice} for choice in loader.options()["soil_carbon"].choices]
CASES += [
    {"nitrogen": "cn", "crops": "calendar", "isotopes": "on"},
    {"nitrogen": "cn", "mortality_causes": "full", "plant_hydraulics": "on", "drought_memory": "plc_damage"},
    {"mortality_causes": "growth_efficiency", "crops": "calendar", "soil_carbon": "yasso20", "isotopes": "on"},
]
PLANTS = [{"allocation": choice, "nitrogen": "cn"} for choice in loader.options()["allocation"].choices]
PLANTS += [{"phenology": choice, "nitrogen": "cn"} for choice in loader.options()["phenology"].choices]


def century(options, years=100, seed=0, change=None):
    """Tiles after years of slow steps; every plant type once or twice, half of the tiles in each climate."""
    forcing, ends = weather_year(CLIMATES)
    types = np.random.default_rng(seed).permutation(len(loader.pft_names()))[:16]
    tiles = young_tiles(forcing, options, types=types)
    if change:
        change(tiles)
    drivers = recorded(tiles, forcing, ends)
    assert_sound(tiles)
    tiles.worst[...] = 0.0
    tiles.advance_slow(drivers, years)
    return tiles


def stores(tiles, role):
    return {name: tiles.get(name) for name, entry in loader.variables("state").items() if entry.role == role}


def total(tiles, role):
    return sum(values.reshape(tiles.n_tile, -1).sum(axis=1) for values in stores(tiles, role).values())


def assert_sound(tiles, limit=LIMIT):
    """Budgets closed, no NaN, nothing negative but what buffers may owe."""
    carbon, nitrogen = tiles.worst[2].max(), tiles.worst[3].max()
    assert carbon <= limit and nitrogen <= limit, f"carbon {carbon:.1e}, nitrogen {nitrogen:.1e}"
    assert np.isfinite(tiles.state).all()
    for role in ("carbon", "nitrogen"):
        for name, values in stores(tiles, role).items():
            assert name in BUFFERS or values.min() >= 0.0, f"{name}: {values.min():.1e}"
    for name in ("carbon13_plant", "carbon13_soil", "carbon14_plant", "carbon14_soil"):
        assert tiles.get(name).min() >= 0.0, name


@pytest.mark.parametrize("options", CASES, ids=str)
def test_nothing_is_lost_in_a_century(options):
    tiles = century(options, 30 if options.get("nitrogen") == "cn" else 100)
    assert_sound(tiles)
    assert total(tiles, "carbon").max() > 5.0  # something grew


@pytest.mark.parametrize("options", PLANTS, ids=str)
def test_nothing_is_lost_however_plants_grow(options):
    assert_sound(century(options, years=10))


def random_options(seed):
    random = np.random.default_rng(seed)
    options = {name: str(random.choice(list(entry.choices))) for name, entry in loader.options().items()}
    if seed % 2:  # else only one mixture in twenty would follow nitrogen
        options["nitrogen"] = "cn"
    for _ in range(3):
        for name in options:
            for other, choice in loader.needed(name, options[name]).items():
                allowed = loader.options()[name].needs[options[name]][other]
                if options[other] not in ([allowed] if isinstance(allowed, str) else allowed):
                    options[other] = choice
    return options


@pytest.mark.parametrize("seed", [*range(6), *(pytest.param(s, marks=pytest.mark.slow) for s in range(6, 40))])
def test_nothing_is_lost_in_any_mixture_of_schemes(seed):
    assert_sound(century(random_options(seed), years=10, seed=seed))


@pytest.mark.parametrize(
    "options", [{"nitrogen": "cn", "crops": "calendar"}, {"soil_carbon": "millennial", "crops": "calendar"}], ids=str
)
def test_what_the_stores_gain_is_what_the_outputs_say(options):
    """Counted here from outputs, not taken from the residual of the core: five years, day by day."""
    forcing, ends = weather_year(CLIMATES)
    tiles = young_tiles(forcing, options)
    tiles.set_parameter("dissolved_share", 0.02)
    drivers = recorded(tiles, forcing, ends)

    def carbon():  # what was harvested or dissolved is no longer counted, though it leaves on the day after
        return total(tiles, "carbon") - tiles.get("carbon_export_buffer")

    before = carbon(), total(tiles, "nitrogen")
    gains = ("gpp", "nitrogen_fixation")
    losses = ("ra", "rh", "harvest_carbon", "dissolved_carbon_export")
    nitrogen_losses = ("nitrous_oxide", "dinitrogen", "nitrogen_leaching", "harvest_nitrogen")
    out = tiles.advance_slow(drivers, 5, gains + losses + nitrogen_losses + ("npp", "nbp"))
    sums = {name: 86400.0 * values.sum(axis=0) for name, values in out.items()}
    gained = sums["gpp"] - sum(sums[name] for name in losses)
    # 1826 days of some 1e-15, and the sum of fluxes of up to 15 kg m-2
    np.testing.assert_allclose(carbon() - before[0], gained, rtol=0, atol=1e-11)
    np.testing.assert_allclose(out["npp"], out["gpp"] - out["ra"], rtol=0, atol=1e-20)
    assert sums["harvest_carbon"].max() > 0.1 and sums["dissolved_carbon_export"].max() > 0.0
    if options.get("nitrogen") == "cn":
        column = loader.variables("driver")["nitrogen_deposition"].column - 1
        fallen = 5.0 * tiles._unblock(drivers[:, column].transpose(0, 2, 1)).sum(axis=1)
        gained = fallen + sums["nitrogen_fixation"] - sum(sums[name] for name in nitrogen_losses)
        np.testing.assert_allclose(total(tiles, "nitrogen") - before[1], gained, rtol=0, atol=1e-13)
        assert sums["harvest_nitrogen"].max() > 3e-4 and sums["nitrogen_leaching"].max() > 1e-5


# ---- limits


def set_forcing(forcing, **values):
    forcing = forcing.copy(order="F")
    for name, value in values.items():
        forcing[:, loader.variables("forcing")[name].column - 1, :] = value
    return forcing


def nothing_lives(tiles):
    for name, values in stores(tiles, "carbon").items():
        tiles.set(name, 0.0 * values)
    tiles.set("nitrogen_plant", 0.0)
    tiles.set("soil_nitrogen", 0.0)
    tiles.set("leaf_area", 0.0)
    set_isotopes(tiles, 1.0, 1.0)


def no_nitrogen(tiles):
    for name in stores(tiles, "nitrogen"):
        tiles.set(name, 0.0)
    tiles.set("soil_carbon", 0.0)
    tiles.set_parameter("fixation_maximum", 0.0, check=False)
    set_isotopes(tiles, 1.0, 1.0)


LIMITS = {
    "dark": ({"shortwave_down": 0.0, "cosine_zenith": 0.0}, None),
    "frozen": ({"air_temperature": 238.0, "specific_humidity": 1e-4, "rainfall": 0.0, "longwave_down": 150.0}, None),
    "dry": ({"rainfall": 0.0, "snowfall": 0.0, "specific_humidity": 1e-3}, None),
    "hot": ({"air_temperature": 321.0, "longwave_down": 450.0}, None),
    "no carbon": ({}, nothing_lives),
    "no nitrogen": ({"nitrogen_deposition": 0.0}, no_nitrogen),
    "no CO2": ({"co2": 100.0}, None),
}


@pytest.mark.parametrize("options", [{"nitrogen": "cn", "isotopes": "on"}, {"soil_carbon": "mimics"}], ids=str)
@pytest.mark.parametrize("limit", LIMITS)
def test_limits_break_nothing(limit, options):
    """A year of the whole model, 30 years of the slow half, with every type of plant and without plants."""
    values, change = LIMITS[limit]
    forcing, ends = weather_year(CLIMATES[1:])
    forcing = set_forcing(forcing, **values)
    tiles = young_tiles(forcing, options | {"mortality_causes": "full"})
    if change:
        change(tiles)
    drivers = recorded(tiles, forcing, ends)
    assert_sound(tiles)
    out = tiles.advance_slow(drivers, 30, ("gpp", "npp", "rh", "leaf_nitrogen_factor"), drivers.shape[3])
    assert_sound(tiles)
    assert 0.0 < out["leaf_nitrogen_factor"].min() and out["leaf_nitrogen_factor"].max() <= 1.0
    if limit == "dark":
        assert np.all(out["gpp"] == 0.0) and np.all(out["npp"] <= 0.0)
    if limit == "no carbon":
        # what is not there does not come by itself: no seed, no plants (crops are sown only by the calendar)
        assert np.all(out["gpp"] == 0.0) and np.all(total(tiles, "carbon") == 0.0)
    if limit == "frozen":
        assert np.all(np.abs(out["rh"]) * YEAR < 0.02) and np.all(out["gpp"] * YEAR < 0.02)
    bare = tiles.pft == 0
    assert np.all(out["gpp"][:, bare] == 0.0)


# ---- isotopes


@pytest.mark.parametrize(
    "options",
    [
        {"nitrogen": "cn", "crops": "calendar", "mortality_causes": "full"},
        {"soil_carbon": "rothc"},
        {"soil_carbon": "yasso15"},
    ],
    ids=str,
)
def test_a_uniform_abundance_stays_uniform(options):
    """Air and discrimination of one value for ever: what assimilates holds, all pools hold, and none is lost. 14C only
    decays: never more than in the air, and little less after 60 years."""
    from concerto.kernels.isotopes import carbon13_of_assimilate

    forcing, ends = weather_year(CLIMATES)
    tiles = young_tiles(forcing, options | {"isotopes": "on"})
    drivers = recorded(tiles, forcing, ends)
    columns = loader.variables("driver")
    for name, value in {"delta13c_air": -8.0, "discrimination": 19.0, "delta14c_air": 0.0}.items():
        drivers[:, columns[name].column - 1] = value
    abundance = float(carbon13_of_assimilate(-8.0, 19.0))
    assert 0.97 < abundance < 0.98
    set_isotopes(tiles, abundance, 1.0)
    tiles.advance_slow(drivers, 60)
    plants = np.stack([tiles.get(f"carbon_{name}") for name in PLANT_POOLS], axis=1)
    for name, carbon in (("plant", plants), ("soil", tiles.get("soil_carbon"))):
        tracer, old = tiles.get(f"carbon13_{name}"), tiles.get(f"carbon14_{name}")
        size = carbon.sum(axis=1, keepdims=True) + 1e-6
        # relative to the tile: small pools end as differences of large flows; seen 1e-14
        assert np.abs(tracer - abundance * carbon).max() <= 1e-12 * size.max(), name
        assert np.all(np.abs(tracer - abundance * carbon) <= 1e-10 * size)
        assert np.all(old <= carbon * (1 + 1e-9) + 1e-12)
        assert np.all(old >= carbon * 0.5 ** (60.0 / 5730.0) * (1 - 1e-9) - 1e-12)
    assert tiles.get("carbon14_plant").sum() < plants.sum()


def test_radiocarbon_of_bare_soil_decays_with_its_half_life():
    forcing, ends = weather_year(CLIMATES)
    tiles = young_tiles(forcing, {"isotopes": "on"}, types=[0])
    tiles.set("soil_carbon", 1.0)
    drivers = recorded(tiles, forcing, ends)
    set_isotopes(tiles, 0.97, 1.0)
    tiles.advance_slow(drivers, 60)
    carbon = tiles.get("soil_carbon")
    left = carbon > 1e-6
    expected = 0.5 ** (60.0 * 365.0 / 365.25 / 5730.0)
    # 21,900 days: half an ulp each at most
    np.testing.assert_allclose((tiles.get("carbon14_soil") / np.maximum(carbon, 1e-30))[left], expected, rtol=1e-10)
    np.testing.assert_allclose((tiles.get("carbon13_soil") / np.maximum(carbon, 1e-30))[left], 0.97, rtol=1e-10)


# ---- nitrogen


def poor_site(deposition, nitrogen="cn", years=25, fixation=True):
    """A temperate site whose soil holds next to nothing, deposition in kg N m-2 yr-1: tiles and yearly means."""
    forcing, ends = weather_year(CLIMATES[1:])
    forcing = set_forcing(forcing, nitrogen_deposition=deposition / YEAR)
    tiles = young_tiles(forcing, {"nitrogen": nitrogen})
    if not fixation:
        tiles.set_parameter("fixation_maximum", 0.0, check=False)
    drivers = recorded(tiles, forcing, ends)
    names = ("npp", "leaf_nitrogen_factor", "carbon_labile", "vegetation_carbon")
    return tiles, tiles.advance_slow(drivers, years, names, drivers.shape[3])


def test_more_deposition_is_not_less_production():
    seen = [poor_site(deposition)[1]["npp"][-10:].mean(axis=0) for deposition in (1e-4, 1e-3, 4e-3)]
    free = poor_site(1e-3, "c_only")[1]["npp"][-10:].mean(axis=0)
    plants = free * YEAR > 0.1
    assert plants.sum() >= 8
    for less, more in zip(seen, seen[1:], strict=False):
        assert np.all(more[plants] >= 0.98 * less[plants])
    assert np.all(seen[-1][plants].mean() > 1.2 * seen[0][plants].mean())
    assert np.all(seen[0][plants] < 0.9 * free[plants])  # poor soil holds back all of them
    assert np.all(seen[-1][plants] <= 1.1 * free[plants])


def test_plants_without_nitrogen_store_no_end_of_carbon():
    """A century without deposition and fixation: growth stops, leaves slow down, and the store of carbon is bounded."""
    tiles, out = poor_site(0.0, years=100, fixation=False)
    assert_sound(tiles)
    full = tiles.parameter("maximum_leaf_area") / tiles.parameter("specific_leaf_area")
    # leaves all but stop at three times reserve and full leaves
    assert np.all(out["carbon_labile"] <= 3.2 * (tiles.parameter("reserve_ratio") + 1.0) * full + 1e-3)
    assert 0.6 * 0.02 <= out["leaf_nitrogen_factor"].min() <= 0.5 and out["leaf_nitrogen_factor"].max() <= 1.0
    free = poor_site(0.0, "c_only", years=20)[1]["npp"][-1]
    assert np.all(out["npp"][-1][free * YEAR > 0.1] < 0.7 * free[free * YEAR > 0.1])
