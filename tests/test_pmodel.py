"""P-model against pyrealm and rsofun, and its limits."""

import numpy as np
import pytest

from concerto.kernels import pmodel

R = 8.3145  # J mol-1 K-1, pyrealm's
CARBON = 12.0107  # g mol-1, both peers'
PYREALM = dict(gas_constant=R, least_deficit=0.0)
# Tables hold 10 significant digits, the inputs of each column likewise.
RTOL = 1e-7


def simple(activation, temperature):
    return np.exp(activation * (temperature - 298.15) / (298.15 * R * temperature))


@pytest.mark.parametrize(
    ("method", "jmax", "kphio", "chi", "scheme"),
    [
        ("prentice14", "wang17", "fixed", "c3", "fixed"),
        ("prentice14", "wang17", "temperature", "c3", "c3"),
        ("prentice14", "smith19", "fixed", "c3", "fixed"),
        ("prentice14", "none", "fixed", "c3", "fixed"),
        ("lavergne20_c3", "wang17", "fixed", "c3", "fixed"),
        ("c4", "none", "temperature", "c4", "c4"),
        ("c4_no_gamma", "wang17", "temperature", "c4_no_compensation", "c4"),
    ],
)
def test_optimum_equals_pyrealm(reference, method, jmax, kphio, chi, scheme):
    table = reference("leaf_pmodel_pyrealm.csv")
    rows = (table["method_optchi"] == method) & (table["method_jmaxlim"] == jmax) & (table["method_kphio"] == kphio)
    t = {name: column[rows] for name, column in table.items()}
    assert rows.sum() > 100
    temperature = t["tc_degC"] + 273.15
    beta = pmodel.cost_ratio(t["theta_m3_m3"]) if method == "lavergne20_c3" else None
    out = pmodel.optimum(
        temperature,
        t["vpd_Pa"],
        t["co2_ppm"],
        t["ppfd_umol_m2_s"] * t["fapar"],
        t["patm_Pa"],
        chi=chi,
        jmax_cost=jmax,
        yield_scheme=scheme,
        reference_yield=t["reference_kphio"],
        beta=beta,
        **PYREALM,
    )
    for name, column in {
        "quantum_yield": "kphio",
        "xi": "xi_Pa05",
        "chi": "chi",
        "ci": "ci_Pa",
        "light_limitation": "mj",
        "carbon_limitation": "mc",
    }.items():
        np.testing.assert_allclose(out[name], t[column], rtol=RTOL, err_msg=name)
    defined = np.isfinite(t["lue_gC_mol"])
    # where pyrealm gives nan (mj < 0.41) the optimum is zero and flagged
    np.testing.assert_array_equal(out["feasible"], defined)
    assert np.all(out["vcmax"][~defined] == 0.0) and np.all(out["jmax"][~defined] == 0.0)
    for value, column in {
        "lue_gC_mol": out["light_use_efficiency"] * CARBON,
        "vcmax_umol_m2_s": out["vcmax"],
        "jmax_umol_m2_s": out["jmax"],
        "vcmax25_umol_m2_s": out["vcmax"] / simple(65330.0, temperature),
        "jmax25_umol_m2_s": out["jmax"] / simple(43900.0, temperature),
        "gs_umolCO2_m2_s_Pa": out["conductance"],
    }.items():
        np.testing.assert_allclose(column[defined], t[value][defined], rtol=RTOL, err_msg=value)


def test_kinetics_and_viscosity_equal_pyrealm(reference):
    t = reference("leaf_pmodel_pyrealm.csv")
    km, compensation, viscosity = pmodel.environment(t["tc_degC"] + 273.15, t["patm_Pa"], gas_constant=R)
    np.testing.assert_allclose(km, t["kmm_Pa"], rtol=RTOL)
    np.testing.assert_allclose(compensation, t["gammastar_Pa"], rtol=RTOL)
    np.testing.assert_allclose(viscosity, t["ns_star"], rtol=RTOL)


@pytest.mark.parametrize(("method", "c4"), [("wang17", 0), ("smith19", 0), ("none", 0), ("wang17", 1)])
def test_optimum_equals_rsofun(reference, method, c4):
    table = reference("leaf_pmodel_rsofun.csv")
    rows = (table["method_jmaxlim"] == method) & (table["is_c4"] == c4)
    t = {name: column[rows] for name, column in table.items()}
    celsius, temperature, gas = t["tc_degC"], t["tc_degC"] + 273.15, 8.31446262
    # smith19 counts the yield in electrons, four to a CO2
    out = pmodel.optimum(
        temperature,
        t["vpd_Pa"],
        t["co2_ppm"],
        t["ppfd_mol_m2_s"],
        t["patm_Pa"],
        chi="c4" if c4 else "c3",
        jmax_cost=method,
        yield_scheme="fixed",
        reference_yield=t["kphio"] * (0.25 if method == "smith19" else 1.0),
        beta=t["beta"],
        least_deficit=0.0,
        gas_constant=gas,
    )

    def peaked(activation, entropy, base=298.15):
        hd = 200e3
        return (
            np.exp(activation * (temperature - base) / (base * gas * temperature))
            * (1 + np.exp((base * entropy - hd) / (gas * base)))
            / (1 + np.exp((temperature * entropy - hd) / (gas * temperature)))
        )

    vcmax = out["vcmax"]
    if method == "smith19":  # rsofun takes that optimum at an acclimated reference temperature
        vcmax = vcmax * peaked(42600 + 1140 * celsius, 645.13 - 0.38 * celsius, 0.44 * celsius + 24.92 + 273.15)
    # rsofun's table has 9 significant digits
    vcmax25 = vcmax / peaked(42600 + 1140 * celsius, 645.13 - 0.38 * celsius)
    np.testing.assert_allclose(vcmax25, t["vcmax25_mol_m2_s"], rtol=RTOL)
    np.testing.assert_allclose(out["light_use_efficiency"] * CARBON, t["lue_gC_mol"], rtol=RTOL)
    if not c4:
        np.testing.assert_allclose(out["xi"], t["xi_Pa05"], rtol=RTOL)
        np.testing.assert_allclose(out["chi"], t["chi"], rtol=RTOL)
    if method == "wang17" and not c4:  # elsewhere rsofun derives Jmax from a form that is not the scheme's own
        ok = out["feasible"] > 0
        entropy = 658.77 - 0.84 * t["tc_home_degC"] - 0.52 * (celsius - t["tc_home_degC"])
        np.testing.assert_allclose((out["jmax"] / peaked(40710.0, entropy))[ok], t["jmax25_mol_m2_s"][ok], rtol=RTOL)


def test_slow_acclimation_equals_pyrealm(reference):
    half_hours, days = reference("leaf_pmodel_subdaily.csv"), reference("leaf_pmodel_subdaily_daily.csv")
    n_day = len(days["day"])
    hour = np.array([int(s[11:13]) + int(s[14:16]) / 60 for s in half_hours["datetime"]])
    noon = (hour >= 11) & (hour <= 13)

    def mean(name):
        return half_hours[name][noon].reshape(n_day, -1).mean(axis=1)

    forcing = (
        mean("tc_degC") + 273.15,
        mean("vpd_Pa"),
        mean("co2_ppm"),
        mean("ppfd_umol_m2_s") * mean("fapar"),
        mean("patm_Pa"),
    )
    memory = None
    for day in range(n_day):
        memory, optimal = pmodel.acclimate(*(f[day] for f in forcing), memory, **PYREALM)
        for i, name in enumerate(("xi", "vcmax25", "jmax25")):
            assert optimal[i] == pytest.approx(days[name + "_optimal"][day], rel=RTOL)
            assert memory[i] == pytest.approx(days[name + "_realised"][day], rel=RTOL)


def test_fast_response_equals_pyrealm(reference):
    t = reference("leaf_pmodel_subdaily.csv")
    t = {name: column[np.isfinite(t["xi_Pa05"])] for name, column in t.items()}
    out = pmodel.fast(
        t["tc_degC"] + 273.15,
        t["vpd_Pa"],
        t["co2_ppm"],
        t["ppfd_umol_m2_s"] * t["fapar"],
        t["patm_Pa"],
        (t["xi_Pa05"], t["vcmax25"], t["jmax25"]),
        **PYREALM,
    )
    for name, column in {
        "chi": "chi",
        "ci": "ci_Pa",
        "vcmax": "vcmax",
        "jmax": "jmax",
        "carboxylation_limited": "Ac_umol_m2_s",
        "light_limited": "Aj_umol_m2_s",
    }.items():
        # 10 significant digits in every input; sums near zero at dawn need the absolute part
        np.testing.assert_allclose(out[name], t[column], rtol=RTOL, atol=1e-7, err_msg=name)
    np.testing.assert_allclose(out["assimilation"] * CARBON, t["gpp_ugC_m2_s"], rtol=RTOL, atol=1e-6)


@pytest.mark.parametrize("scheme", ["mengoli", "stocker"])
def test_soil_moisture_stress_equals_pyrealm(reference, scheme):
    t = reference("leaf_pmodel_soilstress.csv")
    rows = t["method"] == scheme
    stress = pmodel.soil_stress(t["relative_soil_moisture"][rows], t["aridity_or_meanalpha"][rows], scheme)
    np.testing.assert_allclose(stress, t["beta"][rows], rtol=0, atol=1e-9)  # 10 digits


def test_viscosity_of_water_is_that_of_the_steam_tables():
    from concerto import _core

    # IAPWS (Huber et al. 2009, table): 889.735 uPa s at 25 degC and 998 kg m-3; here the density is that of
    # one atmosphere (997), which is worth less than 0.3 %
    value = _core.concerto_pmodel.water_viscosity(np.full(16, 298.15), np.full(16, 101325.0))[0]
    assert value == pytest.approx(889.7e-6, rel=3e-3)


def test_acclimated_leaves_under_their_own_conditions_assimilate_the_optimum():
    conditions = (291.15, 900.0, 410.0, 700.0, 95000.0)
    best = pmodel.optimum(*conditions)
    memory, _ = pmodel.acclimate(*conditions, None)
    out = pmodel.fast(*conditions, memory)
    # coordination: both limits meet, so the fast step returns the slow one's assimilation
    assert out["carboxylation_limited"] == pytest.approx(out["light_limited"], rel=1e-12)
    assert out["assimilation"] == pytest.approx(best["light_use_efficiency"] * 700.0, rel=1e-12)


def test_capacities_are_zero_and_flagged_where_carboxylation_cannot_pay():
    hot = pmodel.optimum(318.15, 4000.0, 180.0, 800.0)
    assert hot["feasible"] == 0.0
    assert hot["vcmax"] == hot["jmax"] == hot["light_use_efficiency"] == hot["conductance"] == 0.0


def test_infeasible_day_leaves_the_memory_alone():
    before = tuple(np.array(v) for v in (60.0, 80.0, 150.0))
    after, _ = pmodel.acclimate(318.15, 4000.0, 180.0, 800.0, 101325.0, before)
    assert all(a == b for a, b in zip(after, before, strict=True))


def test_dark_frozen_and_saturated_conditions_are_finite():
    temperature = np.array([223.15, 263.15, 273.15, 298.15, 323.15])[:, None, None]
    deficit = np.array([0.0, 50.0, 6000.0])[:, None]
    photons = np.array([0.0, 1e-6, 1500.0])
    for chi in ("c3", "c4", "c4_no_compensation"):
        for cost in ("wang17", "smith19", "none"):
            out = pmodel.optimum(temperature, deficit, 400.0, photons, chi=chi, jmax_cost=cost)
            assert all(np.all(np.isfinite(v)) and np.all(v >= 0) for v in out.values()), (chi, cost)
        memory, _ = pmodel.acclimate(temperature, deficit, 400.0, photons, 101325.0, None, chi=chi)
        out = pmodel.fast(temperature, deficit, 400.0, photons, 101325.0, memory, chi=chi)
        assert all(np.all(np.isfinite(v)) and np.all(v >= 0) for v in out.values()), chi
        assert np.all(out["light_limited"][..., 0] == 0.0)


def test_optimum_falls_with_drier_air_and_rises_with_carbon_dioxide():
    chi = pmodel.optimum(293.15, np.array([200.0, 1000.0, 3000.0]), 400.0, 500.0)["chi"]
    assert np.all(np.diff(chi) < 0)
    efficiency = pmodel.optimum(293.15, 1000.0, np.array([200.0, 400.0, 800.0]), 500.0)["light_use_efficiency"]
    assert np.all(np.diff(efficiency) > 0)
