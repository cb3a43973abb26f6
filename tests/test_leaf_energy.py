"""Leaf energy balance and stomatal optimisation against reference tables, and their limits."""

import numpy as np
import pytest

from concerto.kernels import sox


def plantecophys(t):
    """Saturation, latent heat and air of plantecophys (its own constants)."""
    celsius = t["Tair_degC"]

    def saturation(celsius):
        return (1.0007 + 3.46e-8 * 101e3) * 611.21 * np.exp(17.502 * celsius / (240.97 + celsius))

    return dict(
        kelvin=celsius + 273.15,
        slope=(saturation(celsius + 0.1) - saturation(celsius)) / 0.1,
        vapour=saturation(celsius) - 1000 * t["VPD_kPa"],
        latent=(2.501e6 - 2365 * celsius) * 18e-3,
    )


def test_leaf_temperature_and_fluxes_equal_plantecophys(reference):
    t = reference("leaf_energybalance_plantecophys.csv")
    p = plantecophys(t)
    air = dict(molar_heat_capacity=1010 * 29e-3)
    radiation, conductance = sox.leaf_isothermal_radiation(
        p["kelvin"], p["vapour"], t["PPFD_umol_m2_s"] / 4.57, stefan_boltzmann=5.67e-8, **air
    )
    out = sox.leaf_energy(
        p["kelvin"],
        1000 * t["VPD_kPa"],
        p["latent"],
        p["slope"],
        radiation,
        conductance,
        t["wind_m_s"],
        t["leafwidth_m"],
        t["gs_molH2O_m2_s"],
        1e5,
        gas_constant=8.314,
        sensible_heat_capacity=1010 * 8.314 / 287.058,
        **air,
    )
    # the table is solved to 1e-10 K and holds 10 digits, VPD 9: the sky's emissivity makes 3e-8 W m-2 of them
    np.testing.assert_allclose(radiation, t["Rn_iso_W_m2"], rtol=0, atol=1e-6)
    np.testing.assert_allclose(out["leaf_temperature"] - 273.15, t["Tleaf_degC"], rtol=0, atol=1e-8)
    np.testing.assert_allclose(1000 * out["transpiration"], t["E_mmol_m2_s"], rtol=0, atol=1e-7)
    np.testing.assert_allclose(out["sensible_heat"], t["H_W_m2"], rtol=0, atol=1e-6)
    np.testing.assert_allclose(out["latent_heat_flux"], t["LE_W_m2"], rtol=0, atol=1e-6)
    np.testing.assert_allclose(out["vapour_conductance"], t["gw_mol_m2_s"], rtol=1e-8)
    np.testing.assert_allclose(out["heat_conductance"], t["gbh_mol_m2_s"], rtol=1e-8)


def test_leaf_energy_is_conserved_in_still_air_and_with_closed_stomata():
    radiation, conductance = sox.leaf_isothermal_radiation(293.15, 1000.0, np.array([0.0, 50.0, 500.0])[:, None, None])
    wind, stomata = np.array([0.0, 1e-3, 5.0])[:, None], np.array([0.0, 0.01, 1.0])
    out = sox.leaf_energy(293.15, 1200.0, 44200.0, 145.0, radiation, conductance, wind, 0.03, stomata)
    warmer = out["leaf_temperature"] - 293.15
    longwave = 29.0993 * conductance * warmer  # linearised extra emission
    # bisection stops at 1e-13 K; 100 W m-2 K-1 at most
    np.testing.assert_allclose(
        out["sensible_heat"] + out["latent_heat_flux"] + longwave, radiation + 0 * warmer, rtol=0, atol=1e-8
    )
    assert np.all(out["transpiration"][..., 0] == 0.0)


def test_boundary_layer_conducts_more_with_wind_and_warmth():
    calm, windy = (sox.leaf_boundary_layer(293.15, u, 0.05, 2.0) for u in (0.5, 5.0))
    assert windy[0] > calm[0]
    even, warm = (sox.leaf_boundary_layer(293.15, 0.0, 0.05, d) for d in (0.0, -5.0))
    assert even[0] == 0.0 and warm[0] > 0.0


def test_sox_conductance_equals_its_published_code(reference):
    t = reference("leaf_sox.csv")
    k = sox.vulnerability(t["psi_pd_MPa"], t["p50_MPa"], t["a"])
    np.testing.assert_allclose(k, t["K_pd"], rtol=1e-8)  # 9 digits
    conductance = sox.stomatal_conductance(
        t["Cs_Pa"],
        t["Ci_col_Pa"],
        1e6 * t["A_Cs"],
        1e6 * t["A_col"],
        t["psi_pd_MPa"],
        t["dq"],
        potential_half=t["p50_MPa"],
        steepness=t["a"],
        least_resistance=t["rpmin"],
        air_pressure=t["press_Pa"],
        water_over_carbon=1.57,
    )
    # A_Cs - A_col loses two of the table's nine digits
    np.testing.assert_allclose(conductance, t["gsw_mol_m2_s"], rtol=1e-6)


def test_stomata_close_as_soil_dries_and_stay_continuous_at_the_half_potential():
    potential = np.linspace(-8.0, 0.5, 1701)
    g = sox.stomatal_conductance(36.0, 24.0, 15.0, 11.0, potential, 0.015, potential_half=-2.0, steepness=3.0)
    assert np.all(np.isfinite(g)) and np.all(g >= 0.0)
    assert g[0] < 0.1 * g[-1]
    near = -2.0 + np.linspace(-2e-3, 2e-3, 401)
    g = sox.stomatal_conductance(36.0, 24.0, 15.0, 11.0, near, 0.015, potential_half=-2.0, steepness=3.0)
    # steps of 1e-5 MPa: smooth changes are ~1e-6 of g; the switch to the derivative adds 1e-8
    assert np.max(np.abs(np.diff(g, 2))) < 1e-7


def test_stomata_keep_the_colimitation_point_where_more_carbon_dioxide_brings_no_gain():
    g = sox.stomatal_conductance(40.0, 25.0, 10.0, 10.0, -0.5, 0.01)
    assert g == pytest.approx(1.6 * 10e-6 * 101325.0 / 15.0, rel=1e-12)
    assert sox.stomatal_conductance(40.0, 25.0, -1.0, -1.0, -0.5, 0.01) == 0.0
