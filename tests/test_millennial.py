"""Millennial version 2: reference, conservation, limits, equilibrium."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from concerto.kernels import microbial

DAY = 86400.0
POOLS = ("POM", "LMWC", "AGG", "MIC", "MAOM")
PEER_GAS_CONSTANT = {"gas_constant": 8.31446}  # exp(E/(R T)) carries a change of 3e-7 to 1e-5


def case(table, number):
    """Rows of a case and its arguments."""
    rows = {name: values[table["case"] == number] for name, values in table.items()}
    first = {name: values[0] for name, values in rows.items()}
    return rows, dict(
        temperature=first["T_degC"] + 273.15,
        water=first["theta"],
        input=1e-3 / DAY * first["input_gC_m2_d"],
        porosity=0.6,
        ph=first["pH"],
        clay_silt=first["claysilt_pct"],
        bulk_density=first["bulkd_kg_m3"],
        parameters=PEER_GAS_CONSTANT | {"capacity": first["pc"]},
    )


def daily(arguments):
    """The same as drivers of a one-day cycle."""
    return arguments | dict(
        temperature=[arguments["temperature"]], water=[arguments["water"]], input=[DAY * arguments["input"]]
    )


def climates():
    """Six climates with 365 days: tropical, dry warm, temperate, boreal, permafrost, semi-arid."""
    mean, swing, wet, supply = np.array(
        [
            (26.0, 1.0, 0.4, 1.0),
            (15.0, 6.0, 0.2, 0.5),
            (10.0, 10.0, 0.35, 0.6),
            (2.0, 14.0, 0.3, 0.4),
            (-8.0, 18.0, 0.3, 0.15),
            (18.0, 8.0, 0.12, 0.1),
        ]
    ).T
    phase = 2.0 * np.pi * np.arange(365) / 365
    temperature = 273.15 + mean[:, None] - swing[:, None] * np.cos(phase)
    water = np.where(temperature < 273.15, 0.03, wet[:, None] * (1.0 + 0.3 * np.cos(phase)))
    litter = supply[:, None] / 365 * (1.0 + 0.9 * np.cos(phase + 1.0))
    return dict(temperature=temperature, water=water, input=litter, porosity=0.5, clay_silt=50.0, bulk_density=1300.0)


# ---------------------------------------------------------------------------------------------- reference
@pytest.mark.parametrize("number", [1, 2])
def test_derivatives_integrated_finely_follow_the_peer(reference, number):
    integrate = pytest.importorskip("scipy.integrate")
    rows, arguments = case(reference("soil_millennial_v2.csv"), number)

    def change(_, y):
        tendency, breath, leached = microbial.millennial_derivatives(1e-3 * y[:5], **arguments)
        return 1e3 * DAY * np.concatenate([tendency, [breath, leached]])

    start = np.append(np.ones(5), [0.0, 0.0])
    found = integrate.solve_ivp(
        change, (0.0, rows["time"][-1]), start, method="LSODA", rtol=1e-10, atol=1e-12, t_eval=rows["time"]
    ).y
    for name, values in zip((*POOLS, "CO2"), found, strict=False):
        np.testing.assert_allclose(values, rows[name], rtol=1e-7, err_msg=name)  # README of the reference
    # what is not respired or kept was leached
    supply = 1e3 * DAY * arguments["input"] * rows["time"]
    balance = 5.0 + supply - found.sum(axis=0)
    np.testing.assert_allclose(balance, 0.0, atol=1e-9 * supply[-1])  # linear invariant, rounding of 3e5 g m-2


@pytest.mark.parametrize("number", [1, 2])
def test_daily_steps_follow_the_peer_with_second_order(reference, number):
    rows, arguments = case(reference("soil_millennial_v2.csv"), number)
    error = {}
    for substeps in (1, 2, 4):
        pools, last, error[substeps] = np.full(5, 1e-3), 0, []
        for k in (1, 2, 3):
            pools, _, _ = microbial.millennial_cycle(
                pools, **daily(arguments), n_cycle=int(rows["time"][k]) - last, n_substep=substeps
            )
            last = int(rows["time"][k])
            want = np.array([rows[name][k] for name in POOLS])
            error[substeps].append(np.abs(1e3 * pools / want - 1.0).max())
    # the table starts with 1 g m-2 everywhere, far from balance: the first month is the worst case
    assert error[2][0] < 5e-5 and max(error[2][1:]) < 3e-6
    assert 3.0 < error[1][0] / error[2][0] < 5.0 and 3.0 < error[2][0] / error[4][0] < 5.0


@pytest.mark.parametrize("number", [1, 2])
def test_steady_state_is_where_the_peer_ends(reference, number):
    rows, arguments = case(reference("soil_millennial_v2.csv"), number)
    carbon = microbial.millennial_steady_state(**arguments)
    # the peer's last row is after 1000 years, 150 times the slowest time of balance in case 1 and 2
    np.testing.assert_allclose(1e3 * carbon, [rows[name][-1] for name in POOLS], rtol=1e-7)
    tendency, breath, leached = microbial.millennial_derivatives(carbon, **arguments)
    np.testing.assert_allclose(breath + leached, arguments["input"], rtol=1e-12)
    assert np.abs(tendency).max() < 1e-12 * arguments["input"] * 10


# ------------------------------------------------------------------------------------------- conservation
@settings(max_examples=200, deadline=None)
@given(
    pools=st.lists(st.one_of(st.just(0.0), st.floats(1e-9, 10.0)), min_size=5, max_size=5),
    temperature=st.floats(230.0, 320.0),
    water=st.floats(0.0, 0.6),
    supply=st.floats(0.0, 0.1),
    ph=st.floats(3.0, 9.0),
    clay_silt=st.floats(0.0, 100.0),
    days=st.sampled_from([0.02, 1.0, 30.0]),
)
def test_carbon_is_conserved_and_positive(pools, temperature, water, supply, ph, clay_silt, days):
    after, breath, leached, total = microbial.millennial_day(
        pools, temperature, water, supply, 0.5, ph, clay_silt, 1300.0, time_step=days * DAY
    )
    assert np.all(after >= 0.0) and breath >= 0.0 and leached >= 0.0
    # project's bound for one step
    assert abs(sum(pools) + supply - breath - leached - after.sum()) < 1e-13
    assert np.isclose(total, after.sum(), rtol=1e-15, atol=0.0)


def test_a_year_of_daily_steps_is_close_to_a_fine_one():
    c = climates()
    coarse = microbial.millennial_periodic(**c)
    fine = microbial.millennial_periodic(**c, n_substep=16)
    # measured 2e-4; every pool of six climates
    np.testing.assert_allclose(coarse[0], fine[0], rtol=4e-4)


# ------------------------------------------------------------------------------------------------- limits
POOLS_NOW = np.array([0.4, 0.003, 1.5, 0.006, 4.0])


def test_nothing_happens_in_empty_soil():
    after, breath, leached, total = microbial.millennial_day(np.zeros(5), 290.0, 0.3)
    assert not after.any() and breath == 0.0 and leached == 0.0 and total == 0.0


def test_frozen_or_dry_soil_neither_respires_nor_leaks():
    after, breath, leached, _ = microbial.millennial_day(POOLS_NOW, 263.0, 0.0, 0.001)
    assert breath == 0.0 and leached == 0.0
    assert after[2] == POOLS_NOW[2]  # aggregates need water to change
    np.testing.assert_allclose(after.sum(), POOLS_NOW.sum() + 0.001, rtol=1e-15)


def test_without_microbes_nothing_is_respired_but_water_carries_carbon_away():
    pools = POOLS_NOW * [1, 1, 1, 0, 1]
    after, breath, leached, _ = microbial.millennial_day(pools, 290.0, 0.3, 0.001)
    assert breath == 0.0 and after[3] == 0.0 and leached > 0.0


def test_soil_without_fine_particles_holds_no_mineral_carbon():
    sand = microbial.millennial_steady_state(283.0, 0.3, 1e-8, clay_silt=0.0)
    loam = microbial.millennial_steady_state(283.0, 0.3, 1e-8, clay_silt=60.0)
    assert sand[4] < 1e-3 * loam[4]
    after, *_ = microbial.millennial_day(POOLS_NOW, 290.0, 0.3, clay_silt=0.0)
    assert np.all(after >= 0.0)


def test_acid_soil_sorbs_more():
    acid, neutral = microbial.millennial_steady_state(283.0, 0.3, 1e-8, ph=np.array([4.0, 7.0]))
    assert acid[4] > neutral[4]


def test_microbes_do_not_grow_in_hot_soil():
    # growth efficiency falls to 0 at 30.8 degC; the peer goes negative, here it stays 0
    after, breath, _, _ = microbial.millennial_day(POOLS_NOW, 310.0, 0.3)
    assert breath > 0.0 and after[3] < POOLS_NOW[3]
    carbon, breath, leached, residual, *_ = microbial.millennial_periodic(np.full(365, 310.0), [0.3], [0.001])
    # the balance without microbes: all input leaves with the water
    assert residual < 1e-10 and carbon[3] == 0.0 and breath == 0.0
    np.testing.assert_allclose(leached, 0.365, rtol=1e-9)


# -------------------------------------------------------------------------------------------- equilibrium
def test_carbon_is_not_proportional_to_litter():
    once, twice = microbial.millennial_steady_state(283.0, 0.3, np.array([1e-8, 2e-8]))
    assert not np.allclose(twice, 2.0 * once, rtol=0.05)
    # uptake goes with the square of the dissolved carbon: about the root of two
    np.testing.assert_allclose(twice[1] / once[1], np.sqrt(2.0), rtol=0.02)


def test_periodic_state_returns_to_itself_within_fifty_cycles():
    c = climates()
    carbon, breath, leached, residual, cycles, multiplier = microbial.millennial_periodic(**c)
    assert np.all(residual < 1e-9) and np.all(cycles <= 50)
    again, breath_again, leached_again = microbial.millennial_cycle(carbon, **c)
    np.testing.assert_allclose(np.abs(np.log(again / carbon)).max(axis=-1), residual, atol=1e-14)
    np.testing.assert_array_equal([breath, leached], [breath_again, leached_again])
    # a state 1e-9 off in log X may gain or lose that share of its carbon, up to 130 times the input
    np.testing.assert_allclose(breath + leached, c["input"].sum(axis=-1), rtol=2e-7)
    assert np.all(np.abs(multiplier) < 1.0)


def test_stepping_ends_in_the_periodic_state():
    c = {name: value[:2] if np.ndim(value) == 2 else value for name, value in climates().items()}
    carbon, *_, multiplier = microbial.millennial_periodic(**c)
    stepped, _, _ = microbial.millennial_cycle(2.0 * carbon, **c, n_cycle=200)
    # 0.90**200 = 1e-9 of the disturbance is left
    assert np.all(np.abs(multiplier) < 0.91)
    np.testing.assert_allclose(stepped, carbon, rtol=1e-7)
