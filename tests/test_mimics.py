"""MIMICS: reference, conservation, limits, equilibrium and its stability."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from concerto.kernels import microbial

DAY = 86400.0
HOUR = 3600.0
POOLS = ("LITm", "LITs", "MICr", "MICk", "SOMp", "SOMc", "SOMa")


@pytest.fixture
def sites(reference):
    """Sites of the peer as arguments of the kernels."""
    t = reference("soil_mimics_steady_state.csv")
    production = 0.5e-3 * t["ANPP"]
    fraction = microbial.mimics_metabolic_fraction(t["lig_N"])
    supply = production / (365.0 * DAY)  # the peer's year
    return t, dict(
        temperature=t["TSOI"] + 273.15,
        clay=t["CLAY"],
        metabolic_fraction=fraction,
        annual_production=production,
        input_metabolic=fraction * supply,
        input_structural=(1.0 - fraction) * supply,
    )


def daily(site, **change):
    """Constant daily drivers from the arguments of the steady state."""
    site = site | change
    return site | {
        "temperature": site["temperature"][..., None],
        "input_metabolic": site["input_metabolic"][..., None] * DAY,
        "input_structural": site["input_structural"][..., None] * DAY,
    }


def climates():
    """Six climates (rows) with 365 days: tropical moist and seasonal, temperate, boreal, permafrost, dry."""
    mean, swing, wet, production, fraction = np.array(
        [
            (26.0, 1.0, 0.6, 1.0, 0.3),
            (20.0, 9.0, 0.3, 0.4, 0.5),
            (10.0, 10.0, 0.8, 0.6, 0.5),
            (2.0, 14.0, 0.7, 0.4, 0.6),
            (-8.0, 18.0, 0.6, 0.15, 0.6),
            (15.0, 6.0, 0.2, 0.5, 0.5),
        ]
    ).T
    phase = 2.0 * np.pi * np.arange(365) / 365
    temperature = 273.15 + mean[:, None] - swing[:, None] * np.cos(phase)
    frozen = temperature < 273.15
    liquid = np.clip(wet[:, None] + 0.25 * np.cos(phase), 0.02, 0.98) * np.where(frozen, 0.1, 1.0)
    litter = production[:, None] / 365 * (1.0 + 0.9 * np.cos(phase + 1.0))
    return dict(
        temperature=temperature,
        moisture_factor=microbial.mimics_moisture(liquid, np.where(frozen, 0.8 * wet[:, None], 0.0)),
        clay=20.0,
        metabolic_fraction=fraction,
        annual_production=production,
        input_metabolic=fraction[:, None] * litter,
        input_structural=(1.0 - fraction[:, None]) * litter,
    )


def peer_rates(x, temperature, clay, fraction, production, metabolic, structural, p, moisture=1.0):
    """The equations once more, per tile and in the peer's units (mg cm-3, h)."""
    lm, ls, r, k, sp, sc, sa = np.asarray(x) / p["depth"]
    t, fine = temperature - 273.15, 0.01 * clay
    v = np.exp(p["v_slope"] * t + p["v_intercept"]) * p["v_factor"] * moisture
    grain = p["texture"] * np.exp(p["texture_clay"] * np.sqrt(fine))
    uptake = {}
    for microbe, mass in (("r", r), ("k", k)):
        for name, food in (("metabolic", lm), ("structural", ls), ("available", sa), ("oxidised", sc)):
            kind = "structural" if name == "oxidised" else name
            half = np.exp(p[f"k_slope_{kind}"] * t + p["k_intercept"]) * p["k_factor"]
            half = half / (p[f"k_{kind}_{microbe}"] * (grain if name == "available" else 1.0))
            half = half * (p[f"oxidation_{microbe}"] if name == "oxidised" else 1.0)
            below = half + (mass if p["reverse"] == 1.0 else food)
            uptake[name, microbe] = mass * v * p[f"v_{kind}_{microbe}"] * food / below
    scale = p["death_factor"] * np.clip(
        np.sqrt(1000 * production / p["death_production"]), p["death_least"], p["death_most"]
    )
    death, shares, growth, breath = {}, {}, {}, 0.0
    for microbe, mass in (("r", r), ("k", k)):
        rate = scale * p[f"death_{microbe}"] * np.exp(p[f"death_metabolic_{microbe}"] * fraction)
        death[microbe] = rate * mass ** p["density_exponent"]
        physical = p[f"physical_{microbe}"] * np.exp(p[f"physical_clay_{microbe}"] * fine)
        chemical = p[f"chemical_{microbe}"] * np.exp(p[f"chemical_metabolic_{microbe}"] * fraction)
        shares[microbe] = physical, chemical, 1.0 - physical - chemical
        soft = uptake["metabolic", microbe] + uptake["available", microbe]
        hard = uptake["structural", microbe]
        growth[microbe] = p[f"efficiency_{microbe}"] * soft + p[f"efficiency_structural_{microbe}"] * hard
        breath += soft + hard - growth[microbe]
    dead = [sum(death[m] * shares[m][j] for m in "rk") for j in range(3)]
    desorbed = p["desorption"] * np.exp(p["desorption_clay"] * fine) * sp
    oxidised = uptake["oxidised", "r"] + uptake["oxidised", "k"]
    metabolic, structural = (u / p["depth"] * HOUR for u in (metabolic, structural))
    a, b = p["bypass_metabolic"], p["bypass_structural"]
    change = [
        metabolic * (1 - a) - uptake["metabolic", "r"] - uptake["metabolic", "k"],
        structural * (1 - b) - uptake["structural", "r"] - uptake["structural", "k"],
        growth["r"] - death["r"],
        growth["k"] - death["k"],
        metabolic * a + dead[0] - desorbed,
        structural * b + dead[1] - oxidised,
        dead[2] + desorbed + oxidised - uptake["available", "r"] - uptake["available", "k"],
    ]
    return np.array(change) * p["depth"] / HOUR, breath * p["depth"] / HOUR


# ---------------------------------------------------------------------------------------------- reference
@pytest.mark.parametrize("changes", [{}, {"density_exponent": 1.5}, {"reverse": 0.0, "oxidation_r": 4.0}])
def test_rates_are_those_of_the_equations(changes):
    rng = np.random.default_rng(1)
    p = microbial.mimics_parameters(**changes)
    for _ in range(20):
        x = rng.uniform(0.01, 2.0, 7)
        arg = (rng.uniform(265, 305), rng.uniform(0, 60), rng.uniform(0.2, 0.8), rng.uniform(0.05, 1.5))
        supply = rng.uniform(0, 1e-8, 2)
        tendency, breath = microbial.mimics_rates(x, *arg, *supply, 0.7, parameters=changes)
        want, want_breath = peer_rates(x, *arg, *supply, p, moisture=0.7)
        # the dormant biomass of 1e-12 mg cm-3 takes 1e-10 off the mortality of the smallest microbes drawn here
        scale = np.abs(want).max()
        np.testing.assert_allclose(tendency, want, rtol=0, atol=1e-9 * scale)
        np.testing.assert_allclose(breath, want_breath, rtol=1e-13)


def test_steady_state_is_the_peers(sites):
    table, site = sites
    np.testing.assert_allclose(site["metabolic_fraction"], table["fMET"], rtol=1e-10)  # 11 digits printed
    carbon, residual, eigenvalue = microbial.mimics_steady_state(**site)
    want = np.stack([table[name] for name in POOLS], axis=1)
    np.testing.assert_allclose(carbon, want, rtol=1e-8)  # README of the reference
    assert np.all(residual < 1e-22)
    # the table prints 11 digits, and eigenvalues of a 7 x 7 matrix with entries 1e3 times theirs lose three
    np.testing.assert_allclose(eigenvalue.real * 8760 * HOUR, table["lead_eig_re_per_yr"], rtol=1e-7)
    assert np.all(eigenvalue.imag == 0.0)
    _, breath = microbial.mimics_rates(carbon, **site)
    np.testing.assert_allclose(breath, site["input_metabolic"] + site["input_structural"], rtol=1e-12)


def test_warming_by_one_degree_follows_the_peer(sites):
    table, site = sites
    carbon, _, _ = microbial.mimics_steady_state(**site)
    warmer = daily(site, temperature=site["temperature"] + 1.0)
    last = 0
    for year in (1, 10, 50):
        carbon, _ = microbial.mimics_cycle(carbon, **warmer, n_cycle=365 * (year - last))
        last = year
        # README of the reference: 1e-5 for the transient
        np.testing.assert_allclose(carbon.sum(axis=-1), table[f"total_plus1K_{year}yr"], rtol=1e-5)


def test_lignin_to_nitrogen_of_carbon_instead_of_dry_matter_destabilises_the_coldest_site(sites):
    table, site = sites
    cold = {name: value[:1] for name, value in site.items()}  # ARC
    supply = cold["input_metabolic"] + cold["input_structural"]
    fraction = microbial.mimics_metabolic_fraction(table["lig_N"][:1] / 6.25)
    wrong = cold | dict(
        metabolic_fraction=fraction, input_metabolic=fraction * supply, input_structural=(1 - fraction) * supply
    )
    carbon, residual, eigenvalue = microbial.mimics_steady_state(**wrong)
    assert residual < 1e-22 and eigenvalue.real > 0.0
    year = {n: np.repeat(v, 365, axis=-1) if v.ndim == 2 else v for n, v in daily(wrong).items()}
    periodic, _, residual, _, multiplier = microbial.mimics_periodic(**year)
    assert residual < 1e-9 and np.abs(multiplier) > 1.0
    np.testing.assert_allclose(periodic, carbon, rtol=1e-6)  # residual 1e-10 over |1 - multiplier| of 0.04
    # spec: a growing oscillation of 133 years; the linearised period is a few per cent longer
    assert 125.0 < 2.0 * np.pi / abs(np.angle(multiplier[0])) < 150.0
    # the multiplier is the exponential of the eigenvalue (of either sign of the angle); replicas 1e-5 apart give 1e-6
    want = np.exp(365 * DAY * eigenvalue)
    np.testing.assert_allclose(multiplier.real, want.real, rtol=3e-6)
    np.testing.assert_allclose(np.abs(multiplier.imag), np.abs(want.imag), rtol=3e-4)  # of a modulus of 1: 1e-5
    # time stepping leaves it
    moved, swing = carbon * 1.01, []
    for _ in range(60):  # six periods in steps of 14 years
        moved, _ = microbial.mimics_cycle(moved, **daily(wrong), n_cycle=365 * 14, n_substep=1)
        swing.append(np.abs(np.log(moved / carbon)).max())
    envelope = np.reshape(swing, (6, 10)).max(axis=1)
    assert np.all(np.diff(envelope) > 0.0)
    # mortality that grows with density calms it (section 3.4)
    calm = {"density_exponent": 1.5, "death_factor": 10.0}
    _, residual, eigenvalue = microbial.mimics_steady_state(**wrong, parameters=calm)
    assert residual < 1e-22 and eigenvalue.real < 0.0


# ------------------------------------------------------------------------------------------- conservation
@settings(max_examples=200, deadline=None)
@given(
    pools=st.lists(st.one_of(st.just(0.0), st.floats(1e-12, 10.0)), min_size=7, max_size=7),
    temperature=st.floats(230.0, 320.0),
    moisture=st.floats(0.0, 1.0),
    clay=st.floats(0.0, 100.0),
    fraction=st.floats(0.0, 0.85),
    production=st.floats(0.0, 3.0),
    supply=st.tuples(st.floats(0.0, 0.1), st.floats(0.0, 0.1)),
    days=st.sampled_from([0.02, 1.0, 30.0]),
    exponent=st.sampled_from([1.0, 1.5, 2.0]),
    reverse=st.sampled_from([0.0, 1.0]),
)
def test_carbon_is_conserved_and_positive(
    pools, temperature, moisture, clay, fraction, production, supply, days, exponent, reverse
):
    after, breath, total = microbial.mimics_day(
        pools, temperature, clay, fraction, production, *supply, moisture, time_step=days * DAY,
        parameters={"density_exponent": exponent, "reverse": reverse},
    )  # fmt: skip
    assert np.all(after >= 0.0) and breath >= 0.0
    # project's bound for one step; stocks reach 70 kg m-2, whose sum rounds at 1e-14
    assert abs(sum(pools) + sum(supply) - breath - after.sum()) < 1e-13
    assert np.isclose(total, after.sum(), rtol=1e-15, atol=0.0)


def test_a_day_is_second_order_and_four_substeps_are_within_a_fifth_of_a_per_cent():
    c = climates()
    start = microbial.mimics_periodic(**c)[0]
    path = {n: start for n in (1, 2, 4, 32)}
    error = dict.fromkeys(path, 0.0)
    for day in range(365):
        today = {name: v[:, day] if np.ndim(v) == 2 else v for name, v in c.items()}
        path = {n: microbial.mimics_day(x, **today, n_substep=n)[0] for n, x in path.items()}
        for n, x in path.items():
            error[n] = max(error[n], np.abs(np.log(x / path[32])).max())
    # every pool on every day of the year, six climates; the worst is the k microbes of the tropical one
    assert error[4] < 2e-3
    # halving the step of a second-order scheme: errors fall by 4 (the fine solution has its own, 64 times smaller)
    assert 3.4 < error[1] / error[2] < 4.6 and 3.4 < error[2] / error[4] < 4.6


# ------------------------------------------------------------------------------------------------- limits
def test_nothing_happens_in_empty_soil():
    after, breath, total = microbial.mimics_day(np.zeros(7), 290.0, 20.0, 0.5, 0.0)
    assert not after.any() and breath == 0.0 and total == 0.0
    carbon, residual, _ = microbial.mimics_steady_state(290.0, 20.0, 0.5, 0.4, 0.0, 0.0)
    assert not carbon.any() and residual == 0.0


def test_soil_without_uptake_respires_nothing():
    pools = np.array([0.3, 1.2, 0.02, 0.02, 1.0, 1.0, 1.0])  # frozen or dry: moisture factor 0
    after, breath, _ = microbial.mimics_day(pools, 263.0, 20.0, 0.5, 0.4, 0.001, 0.002, moisture_factor=0.0)
    assert breath == 0.0
    np.testing.assert_allclose(after[:2], pools[:2] + 0.95 * np.array([0.001, 0.002]), rtol=1e-15)
    np.testing.assert_allclose(after.sum(), pools.sum() + 0.003, rtol=1e-15)


def test_without_microbes_litter_only_gathers():
    pools = np.array([0.3, 1.2, 0.0, 0.0, 1.0, 1.0, 1.0])
    after, breath, _ = microbial.mimics_day(pools, 290.0, 20.0, 0.5, 0.4, 0.001, 0.002)
    assert breath == 0.0 and after[2] == 0.0 and after[3] == 0.0
    assert after[4] < pools[4] + 0.05 * 0.001 and after[6] > pools[6]  # desorption needs no microbes


def test_starving_microbes_rest_at_the_dormant_biomass_and_wake():
    pools = np.array([0.0, 0.0, 0.02, 0.02, 0.0, 0.0, 0.0])
    dark = dict(temperature=[290.0], clay=20.0, metabolic_fraction=0.5, annual_production=0.4)
    rest, _ = microbial.mimics_cycle(
        pools, **dark, input_metabolic=[0.0], input_structural=[0.0], moisture_factor=[0.0], n_cycle=20000
    )
    dormant = 1e-12 * 0.3  # mg cm-3 over 0.3 m
    np.testing.assert_allclose(rest[2:4], dormant, rtol=1e-6)
    np.testing.assert_allclose(rest.sum(), pools.sum(), rtol=1e-11)  # 80 000 substeps that round at 1e-16
    awake, _ = microbial.mimics_cycle(rest, **dark, input_metabolic=[5e-4], input_structural=[5e-4], n_cycle=20000)
    assert np.all(awake[2:4] > 1e-3)


def test_clay_protects_and_sand_is_no_special_case():
    pools = np.array([0.3, 1.2, 0.02, 0.02, 1.0, 1.0, 1.0])
    after, breath, _ = microbial.mimics_day(pools, 290.0, np.array([0.0, 30.0, 100.0]), 0.5, 0.4, 0.001, 0.002)
    assert np.all(np.isfinite(after)) and np.all(np.diff(breath) < 0.0)
    carbon, residual, _ = microbial.mimics_steady_state(283.0, np.array([0.0, 30.0]), 0.5, 0.4, 5e-9, 5e-9)
    assert np.all(residual < 1e-22) and carbon[1, 4] > carbon[0, 4]


def test_moisture_factor_peaks_between_dry_and_saturated():
    saturation = np.linspace(0.0, 1.0, 1001)
    factor = microbial.mimics_moisture(saturation)
    assert factor[0] == 0.05 and factor[-1] == 0.05
    best = saturation[np.argmax(factor)]
    assert abs(best - 3.0 / 5.5) < 1e-3  # of x**3 (1 - x)**2.5
    np.testing.assert_allclose(factor.max(), 1.0, atol=3e-4)  # the peer's norm is 0.02 % below the maximum
    assert microbial.mimics_moisture(0.2, 0.8) == 0.05  # ice fills the air
    assert np.all(microbial.mimics_moisture(saturation, option="none") == 1.0)


def test_litter_is_shared_out_whole():
    soft, hard = microbial.mimics_litter_input(0.6, 1.0, 2.0, 4.0, 0.5)
    np.testing.assert_allclose([soft, hard], [2.1, 5.4], rtol=1e-15)


def test_unknown_parameter_is_refused():
    with pytest.raises(KeyError, match="no parameter 'beta'"):
        microbial.mimics_parameters(beta=1.5)


# -------------------------------------------------------------------------------------------- equilibrium
def test_doubled_litter_does_not_double_the_carbon(sites):
    _, site = sites
    once, _, _ = microbial.mimics_steady_state(**site)
    twice, _, _ = microbial.mimics_steady_state(
        **(site | dict(input_metabolic=2 * site["input_metabolic"], input_structural=2 * site["input_structural"]))
    )
    ratio = twice.sum(axis=-1) / once.sum(axis=-1)
    # more microbes eat faster: stocks grow much less than input, litter hardly at all
    assert np.all(ratio < 1.6) and np.all(ratio > 0.9)
    assert np.all(np.abs(twice[:, :2] / once[:, :2] - 1.0) < 0.05)


def test_periodic_state_returns_to_itself_within_fifty_cycles():
    c = climates()
    carbon, breath, residual, cycles, multiplier = microbial.mimics_periodic(**c)
    assert np.all(residual < 1e-9)  # the target of the specification
    assert np.all(cycles <= 50)
    again, breath_again = microbial.mimics_cycle(carbon, **c)
    np.testing.assert_allclose(np.abs(np.log(again / carbon)).max(axis=-1), residual, atol=1e-14)
    np.testing.assert_array_equal(breath_again, breath)
    supply = (c["input_metabolic"] + c["input_structural"]).sum(axis=-1)
    # a state 1e-9 off in log X may gain or lose that share of its carbon, some 30 times the input
    np.testing.assert_allclose(breath, supply, rtol=1e-7)
    # a disturbance decays by the largest multiplier once faster ones have gone
    stable = np.abs(multiplier) < 1.0
    assert stable.all()
    moved, _ = microbial.mimics_cycle(carbon * (1.0 + 1e-4), **c, n_cycle=400)
    later, _ = microbial.mimics_cycle(moved, **c)
    real = (np.abs(multiplier.imag) < 1e-12) & (np.abs(moved / carbon - 1.0).max(axis=-1) > 1e-8)
    assert real.any()
    seen = np.abs(later / carbon - 1.0).max(axis=-1) / np.abs(moved / carbon - 1.0).max(axis=-1)
    # the disturbance left is 1e-8 or more against a residual of 1e-10; second modes are still a little there
    np.testing.assert_allclose(seen[real], np.abs(multiplier[real]), atol=2e-2)


def test_state_of_a_tile_does_not_depend_on_its_neighbours():
    c = climates()
    together = microbial.mimics_periodic(**c)[0]
    for i in (0, 4):
        alone = microbial.mimics_periodic(**{n: v[i] if np.ndim(v) else v for n, v in c.items()})[0]
        np.testing.assert_array_equal(alone, together[i])


def test_search_that_is_cut_short_says_so():
    carbon, _, residual, cycles, _ = microbial.mimics_periodic(**climates(), n_iteration=1)
    assert np.all(residual > 1e-6) and np.all(cycles == 16)
    assert np.all(carbon > 0.0)
