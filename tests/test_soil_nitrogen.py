"""Nitrogen of the layered soil: check numbers, competition, conservation, limits, a hundred years."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from concerto.kernels import carbon
from concerto.kernels import soil_column as column

DAY, YEAR = 86400.0, 3.15576e7
LAYERS, POOLS = 9, 7
SOIL = slice(3, 6)
SOIL_CN = np.array([8.0, 11.0, 11.0])
seeds = st.integers(0, 2**32 - 1)


def random_soil(seed, n=8):
    """State, litter and weather of a day; some pools, layers and waters are empty, frozen or full."""
    rng = np.random.default_rng(seed)

    def some(*shape):
        return rng.random(shape) > 0.3

    rate, transfer, respired = carbon.decomposition_scheme("cencn", sand=rng.uniform(0.0, 100.0, n))
    pools = 10.0 ** rng.uniform(-6.0, 0.0, (n, LAYERS, POOLS)) * some(n, LAYERS, POOLS)
    litter = 0.001 * rng.random((n, LAYERS, POOLS)) * some(n, 1, 1)
    litter[..., SOIL] = 0.0
    nitrogen = pools / 10.0 ** rng.uniform(0.5, 3.0, pools.shape) * some(n, LAYERS, POOLS)
    surface, roots = column.litter_profiles(rng.random((n, LAYERS)) * some(n, LAYERS), rng.uniform(0.0, 5.0, n))
    liquid = rng.uniform(0.0, 0.5, (n, LAYERS)) * some(n, LAYERS)
    return dict(
        carbon=pools,
        nitrogen=column.set_soil_nitrogen(pools, nitrogen),
        ammonium=10.0 ** rng.uniform(-9.0, -2.0, (n, LAYERS)) * some(n, LAYERS),
        nitrate=10.0 ** rng.uniform(-9.0, -2.0, (n, LAYERS)) * some(n, LAYERS),
        rate=rate,
        transfer=transfer,
        respired=respired,
        scalar=rng.uniform(0.0, 2.0, (n, LAYERS)) * some(n, LAYERS),
        mixing=column.mixing_coefficients(rng.choice([0.0, 1.0, 8.0], n), 0.0),
        input=litter,
        input_nitrogen=litter / rng.uniform(10.0, 300.0, (n, 1, 1)) * some(n, 1, 1),
        temperature=rng.uniform(250.0, 310.0, (n, LAYERS)),
        pore_water=np.clip(liquid / 0.45, 0.0, 1.0),
        liquid=liquid,
        drainage=rng.uniform(0.0, 100.0, n) * some(n),
        runoff=rng.uniform(0.0, 50.0, n) * some(n),
        surface_profile=surface,
        root_profile=roots,
        deposition=1e-5 * rng.random(n),
        fixation=1e-5 * rng.random(n),
        plant_demand=10.0 ** rng.uniform(-7.0, -1.0, n) * some(n),
    )


def stock(state):
    return state["nitrogen"].sum(axis=(1, 2)) + state["ammonium"].sum(axis=1) + state["nitrate"].sum(axis=1)


def residual(case, out):
    gain = case["deposition"] + case["fixation"] + case["input_nitrogen"].sum(axis=(1, 2))
    return stock(case) + gain - stock(out) - out["plant_uptake"] - out["leaching"] - out["n2o"] - out["n2"]


# ---- check numbers of the processes
def test_immobilisation_is_what_receivers_lack():
    _, transfer, _ = carbon.decomposition_scheme("cencn")
    loss, nitrogen = np.zeros((1, POOLS)), np.zeros((1, POOLS))
    loss[0, :3], nitrogen[0, :3] = 1.0, (1.0 / 10.0, 1.0 / 40.0, 1.0 / 100.0)
    need = column.immobilisation_need(loss, nitrogen, transfer)[0]
    # Thornton & Rosenbloom: F (1 - r - CN_d/CN_u)/CN_d
    want = [(0.45 - 8.0 / 10.0) / 8.0, (0.50 - 8.0 / 40.0) / 8.0, (0.50 - 11.0 / 100.0) / 11.0]
    np.testing.assert_allclose(need, want, rtol=1e-13)
    assert need[0] < 0.0 < need[1]
    # what the receiver gains is nitrogen of the litter and what it lacked: F f (1 - r)/CN_d
    np.testing.assert_allclose(0.3 * (nitrogen[0, 1] + need[1]), 0.3 * 0.5 / 8.0, rtol=1e-13)


def test_acidity_has_its_check_values():
    got = column.nitrification_ph([4.0, 5.0, 6.5, 8.0])
    np.testing.assert_allclose(got, [0.255966, 0.56, 0.919738, 0.986293], atol=5e-7)  # as printed


def test_nitrification_takes_a_tenth_a_day_at_best():
    ammonium = np.full(LAYERS, 1e-3)
    best = column.CENTURY_Q10_FACTOR * column.depth_scalar()

    def take(scalar=best, kelvin=298.15, water=0.5, **more):
        field = np.broadcast_to
        arrays = [field(value, LAYERS) for value in (scalar, kelvin, water)]
        return column.nitrification_potential(ammonium, *arrays, ph_factor=1.0, **more)

    np.testing.assert_allclose(take(), 1e-4, rtol=1e-14)
    np.testing.assert_allclose(take(best * 1.5, 308.15), 1e-4, rtol=1e-13)  # f_T is capped at 1
    np.testing.assert_allclose(take(best / 1.5, 288.15), 1e-4 / 1.5, rtol=1e-13)
    np.testing.assert_allclose(take(water=0.8), 0.75e-4, rtol=1e-13)  # anoxic (0.2/0.4)**2
    assert not take(water=1.0).any() and not take(kelvin=273.15).any() and not take(0.0).any()


def test_denitrification_has_its_check_values():
    def run(gas, nitrate, water, diffusivity=0.01):
        one = np.ones(1)
        return column.denitrification_potential(
            nitrate * one, gas * one, 0.0 * one, water * one, 1300.0, diffusivity, thickness=one
        )

    # kg in a layer of 1 m; 2 g C m-3 d-1, 5 g N m-3, moist bulk density 1300 kg m-3; as printed
    np.testing.assert_allclose(run(2e-3, 5e-3, 1.0)[0], 0.227591e-3, atol=5e-10)
    np.testing.assert_allclose(run(2.0, 5e-3, 1.0)[0], 3.221858e-3, atol=5e-10)
    for diffusivity, water, want in (
        (0.01, 0.4, 1.56352),
        (0.01, 0.8, 4.91392),
        (0.08, 0.4, 0.46592),
        (0.08, 0.8, 1.46432),
    ):
        share = run(2e-3, 5e-3, water, diffusivity)[1]
        np.testing.assert_allclose(1.0 / share - 1.0, want, atol=5e-6)  # as printed
    np.testing.assert_allclose(run(2e-3, 5e-3, 0.8)[0], 0.25 * 0.227591e-3, atol=5e-10)
    assert run(2e-3, 5e-3, 0.6)[0] == 0.0  # no anoxic soil
    assert run(2e-3, 0.0, 1.0)[0] < 1e-15 and run(0.0, 5e-3, 1.0)[0] < 1e-15


def test_gas_diffuses_in_air_filled_pores():
    np.testing.assert_allclose(column.gas_diffusivity(0.45, 0.30), 0.15 ** (10 / 3) / 0.45**2, rtol=1e-13)
    assert column.gas_diffusivity(0.4, 0.45) < 1e-20


def test_fixation_grows_with_production_to_its_maximum():
    got = column.nitrogen_fixation([-1.0, 0.0, 0.5, 100.0], time_step=YEAR)
    np.testing.assert_allclose(got, [0.0, 0.0, 1.8e-3 * (1 - np.exp(-1.5)), 1.8e-3], rtol=1e-13)


def test_leaching_takes_the_water_share_of_nitrate():
    nitrate, liquid = np.full(LAYERS, 1e-3), np.full(LAYERS, 0.25)
    left, gone = column.nitrate_leaching(nitrate, liquid, drainage=10.0)
    np.testing.assert_allclose(left, 1e-3 * (1.0 - 10.0 / 1000.0), rtol=1e-13)  # 1000 kg of water in 4 m
    np.testing.assert_allclose(gone, 9e-5, rtol=1e-13)
    left, _ = column.nitrate_leaching(nitrate, liquid, runoff=1.25)  # a tenth of the water of 5 cm
    np.testing.assert_allclose(left, 1e-3 * (1.0 - 0.1 * np.array([1, 1, 0.5, 0, 0, 0, 0, 0, 0])), rtol=1e-13)
    left, gone = column.nitrate_leaching(nitrate, liquid, 1e6, 1e6)
    assert not left.any() and abs(gone - 9e-3) < 1e-16
    left, gone = column.nitrate_leaching(nitrate, 0.0 * liquid)  # frozen or dry, no water moves
    assert gone == 0.0


@settings(max_examples=60, deadline=None)
@given(seed=seeds)
def test_nobody_gets_more_than_there_is(seed):
    rng = np.random.default_rng(seed)
    plant, microbes, nitrify, denitrify, ammonium, nitrate = 10.0 ** rng.uniform(-12.0, -2.0, (6, 8, LAYERS)) * (
        rng.random((6, 8, LAYERS)) > 0.3
    )
    done, gas, left, other, share = column.nitrogen_competition(plant, microbes, nitrify, denitrify, ammonium, nitrate)
    assert np.all(left >= 0.0) and np.all(other >= 0.0)
    assert np.all((share >= 0.0) & (share <= 1.0)) and np.all(done <= nitrify) and np.all(gas <= denitrify)
    used = share * (plant + microbes) + done + gas
    np.testing.assert_allclose(left + other + used, ammonium + nitrate, rtol=1e-13, atol=1e-30)  # ten roundings
    rich = column.nitrogen_competition(plant, microbes, nitrify, denitrify, 1.0, 1.0)
    assert np.all(rich[4] == 1.0)
    np.testing.assert_array_equal(rich[0], nitrify)


def test_plants_ask_where_nitrogen_is():
    ammonium, nitrate = np.arange(9.0), np.ones(9)
    roots = np.array([1, 1, 1, 1, 0, 0, 0, 0, 0.0])
    got = column.plant_demand_by_layer(2.0, roots, ammonium, nitrate)
    np.testing.assert_allclose(got, 2.0 * np.array([1, 2, 3, 4, 0, 0, 0, 0, 0]) / 10.0, rtol=1e-14)
    assert not column.plant_demand_by_layer(2.0, roots, 0.0 * ammonium, 0.0 * nitrate).any()


# ---- the day
@settings(max_examples=100, deadline=None)
@given(seed=seeds, days=st.floats(-2.0, 3.0).map(lambda power: 10.0**power))
def test_nitrogen_and_carbon_are_kept_and_never_negative(seed, days):
    case = random_soil(seed)
    out = column.soil_nitrogen_day(**case, time_step=days * DAY)
    for name, value in out.items():
        assert np.all(np.isfinite(value)), name
        if name != "net_mineralisation":
            assert np.all(value >= 0.0), name
    assert np.max(np.abs(residual(case, out))) <= 1e-13  # the project's bound
    change = case["carbon"].sum(axis=(1, 2)) + case["input"].sum(axis=(1, 2)) - out["carbon"].sum(axis=(1, 2))
    assert np.max(np.abs(change - out["respiration"].sum(axis=1))) <= 1e-13
    # soil pools keep their ratio
    np.testing.assert_allclose(out["nitrogen"][..., SOIL] * SOIL_CN, out["carbon"][..., SOIL], rtol=1e-15)
    assert np.all(out["limitation"] <= 1.0) and np.all(out["limitation"][..., 3:] == 1.0)
    assert np.all(out["plant_uptake"] <= case["plant_demand"] * (1.0 + 1e-14))


@settings(max_examples=30, deadline=None)
@given(seed=seeds)
def test_plenty_of_nitrogen_is_carbon_alone(seed):
    case = random_soil(seed) | dict(ammonium=np.full((8, LAYERS), 10.0))
    out = column.soil_nitrogen_day(**case)
    alone = column.soil_nitrogen_day(**case, with_nitrogen=False)
    for name in ("carbon", "respiration", "loss", "limitation"):
        np.testing.assert_array_equal(out[name], alone[name])  # the same code
    for name in ("nitrogen", "ammonium", "nitrate"):
        np.testing.assert_array_equal(alone[name], case[name])
    assert not any(alone[name].any() for name in column.OUTPUTS[8:])


def test_litter_without_nitrogen_waits_for_it():
    case = random_soil(11)
    case["carbon"][..., :3] = 0.1
    nothing = dict.fromkeys(("ammonium", "nitrate", "deposition", "fixation"), 0.0)
    case["nitrogen"][..., :3] = 0.0
    case["nitrogen"][..., 6] = 0.0
    case |= nothing | dict(input_nitrogen=np.zeros((8, LAYERS, POOLS)), scalar=np.ones((8, LAYERS)))
    out = column.soil_nitrogen_day(**case)
    assert not out["limitation"][..., :3].any() and not out["loss"][..., :3].any()
    litter = (case["carbon"] + case["input"])[..., [0, 1, 2, 6]].sum(axis=(1, 2))
    np.testing.assert_allclose(out["carbon"][..., [0, 1, 2, 6]].sum(axis=(1, 2)), litter, rtol=1e-13)
    assert np.all(out["gross_mineralisation"] > 0.0)  # soil pools go on
    assert not out["plant_uptake"].any()
    # and with what they set free it decomposes on the day after
    again = column.soil_nitrogen_day(
        **(case | {name: out[name] for name in column.OUTPUTS[:4]} | dict(plant_demand=0.0))
    )
    assert np.all(again["loss"][..., :3].sum(axis=(1, 2)) > 0.0)


def test_limits_of_carbon_cold_drought_and_flood():
    case = random_soil(12)
    bare = case | {name: 0.0 * case[name] for name in ("carbon", "nitrogen", "input", "input_nitrogen")}
    out = column.soil_nitrogen_day(**bare)
    assert not out["respiration"].any() and not out["gross_mineralisation"].any()
    bare |= {name: 0.0 * case[name] for name in ("deposition", "fixation")} | dict(
        nitrogen=bare["nitrogen"], ammonium=0.0, nitrate=0.0
    )
    out = column.soil_nitrogen_day(**bare)
    assert not any(np.any(out[name]) for name in column.OUTPUTS if name != "limitation")
    still = dict(scalar=np.zeros(LAYERS), temperature=np.full(LAYERS, 260.0), plant_demand=0.0, mixing=np.zeros(8))
    for more in (dict(liquid=0.0, pore_water=0.0, drainage=0.0, runoff=0.0), dict(drainage=0.0, runoff=0.0)):
        out = column.soil_nitrogen_day(**(case | still | more))
        assert not any(out[name].any() for name in ("nitrification", "respiration", "gross_mineralisation", "leaching"))
        np.testing.assert_array_equal(out["carbon"], case["carbon"] + case["input"])
    flood = column.soil_nitrogen_day(**(case | dict(pore_water=1.0, liquid=0.45, temperature=290.0)))
    assert not flood["nitrification"].any() and np.all(flood["n2"] > 0.0)


def test_columns_do_not_know_their_neighbours():
    case = random_soil(13, 40)
    order = np.random.default_rng(13).permutation(40)
    out = column.soil_nitrogen_day(**case)
    other = column.soil_nitrogen_day(**{name: value[order] for name, value in case.items()})
    for name in column.OUTPUTS:
        np.testing.assert_array_equal(out[name][order], other[name], err_msg=name)  # bit for bit


def test_a_hundred_years_close_every_day():
    from concerto import _core as core

    n = 16
    rng = np.random.default_rng(14)
    rate, transfer, respired = carbon.decomposition_scheme("cencn", sand=np.linspace(5.0, 95.0, n))
    surface, roots = column.litter_profiles(np.exp(-np.arange(LAYERS) / 2.0))
    litter = column.litter_to_layers(surface, roots, *(np.full(n, v) / 365.0 for v in (0.2, 0.15, 0.1, 0.01)))
    litter_nitrogen = litter / np.linspace(30.0, 90.0, n)[:, None, None]
    pools = rng.random((n, LAYERS, POOLS)) * (column.THICKNESS / 2.0)[:, None]

    def block(value, *shape):
        return np.asfortranarray(np.broadcast_to(value, (n, *shape)), dtype=float)

    fixed = dict(
        with_nitrogen=1,
        time_step=DAY,
        thickness=column.THICKNESS,
        scalar_reference=block(column.CENTURY_Q10_FACTOR * column.depth_scalar(), LAYERS),
        gas_fraction=block(0.03),
        soil_cn=block(SOIL_CN, 3),
        rate=block(rate, POOLS),
        transfer=block(transfer, POOLS, POOLS),
        respired=block(respired, POOLS),
        mixing=block(column.mixing_coefficients(8.0), LAYERS - 1),
        surface_profile=block(surface, LAYERS),
        root_profile=block(roots, LAYERS),
        input=block(litter, LAYERS, POOLS),
        input_nitrogen=block(litter_nitrogen, LAYERS, POOLS),
    )
    numbers = dict(nitrification_rate=0.1, n2o_fraction=6e-4, q10=1.5, ph_factor=0.92, bulk_density=1300.0)
    numbers |= dict(diffusivity=0.05, deposition=2e-6, fixation=1e-6, plant_demand=1.5e-5)
    fixed |= {name: block(value) for name, value in numbers.items()}
    state = dict(
        carbon=block(pools, LAYERS, POOLS),
        nitrogen=np.asfortranarray(column.set_soil_nitrogen(pools, pools / 60.0)),
        ammonium=block(1e-4, LAYERS),
        nitrate=block(1e-4, LAYERS),
    )
    gain = 3e-6 + litter_nitrogen.sum(axis=(1, 2))
    food = litter.sum(axis=(1, 2))
    seasons = []
    for day in range(365):
        season = np.cos(2.0 * np.pi * day / 365.0)
        wet = 0.6 + 0.35 * season
        seasons.append(
            dict(
                scalar=block(0.4 * (1.0 - season) * column.depth_scalar(), LAYERS),
                temperature=block(281.0 - 14.0 * season, LAYERS),
                pore_water=block(wet, LAYERS),
                liquid=block(0.45 * wet, LAYERS),
                drainage=block(max(0.0, 3.0 * season)),
                runoff=block(0.2),
            )
        )
    worst_nitrogen = worst_carbon = 0.0
    before, held = stock(state), state["carbon"].sum(axis=(1, 2))
    for day in range(36500):
        out = core.concerto_soil_nitrogen.soil_nitrogen_day(**fixed, **seasons[day % 365], **state)
        uptake, gas, n2o, n2, leached = out[0], out[1], out[7], out[8], out[9]
        after, kept = stock(state), state["carbon"].sum(axis=(1, 2))
        worst_nitrogen = max(worst_nitrogen, np.max(np.abs(before + gain - after - uptake - n2o - n2 - leached)))
        worst_carbon = max(worst_carbon, np.max(np.abs(held + food - kept - gas.sum(axis=1))))
        before, held = after, kept
    assert worst_nitrogen < 1e-13 and worst_carbon < 1e-13  # the project's bound, per day
    assert all(np.all(value >= 0.0) and np.all(np.isfinite(value)) for value in state.values())
    # a temperate soil: kilograms of carbon, its nitrogen a twelfth or less, mineral nitrogen a trace
    assert np.all((kept > 3.0) & (kept < 60.0))
    assert np.all(state["ammonium"].sum(axis=1) + state["nitrate"].sum(axis=1) < 0.1 * before)
