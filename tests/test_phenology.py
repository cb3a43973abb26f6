"""Leaf area through the year against peers, and its limits."""

import numpy as np
import pytest

from concerto.kernels import carbon

GSI = {  # slope, base, rate of cold, heat, light and water; LPJmL par/pft.cjson
    "temperate_broadleaved_summergreen": (
        (0.5591, 5.69, 0.2),
        (1.74, 41.51, 0.2),
        (28, 39.78, 0.2),
        (3.24, 20.96, 0.6),
    ),
    "tropical_raingreen": ((0.24, 7.66, 0.1), (1.625, 40, 0.1), (23, 13.01, 0.1), (7.97, 25.21, 0.1348)),
    "tropical_c4_grass": ((0.91, 6.418, 0.2), (1.47, 29.16, 0.2), (64.23, 69.9, 0.4), (0.1, 41.72, 0.17)),
}
SUMMERGREEN = GSI["temperate_broadleaved_summergreen"]


@pytest.mark.parametrize("plant", GSI)
def test_growing_season_index_follows_lpjml(reference, plant):
    table = reference("ecosystem_phenology_gsi.csv")
    rows = table["pft"] == plant
    limiter, got = np.ones(4), []
    days = zip(*(table[name][rows] for name in ("tair_degC", "swdown_W_m2", "wscal_frac")), strict=True)
    for celsius, shortwave, stress in days:
        limiter, index = carbon.growing_season_index(limiter, celsius + 273.15, shortwave, stress, *GSI[plant])
        got.append([*limiter, index])
    names = ("f_cold", "f_heat", "f_light", "f_water", "phen")
    expected = np.column_stack([table[name][rows] for name in names])
    # ten digits are printed, so 5e-10 relative is the table's own rounding
    np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-12)


def test_index_falls_to_its_floor_in_polar_night_and_recovers():
    limiter = np.ones(4)
    for _ in range(200):
        limiter, index = carbon.growing_season_index(limiter, 233.15, 0.0, 1.0, *SUMMERGREEN)
    assert index >= 0.0 and index < 1e-12  # floor 1e-7 of each of two limiters
    for _ in range(60):
        limiter, index = carbon.growing_season_index(limiter, 295.15, 250.0, 1.0, *SUMMERGREEN)
    assert index > 0.99


def test_dry_soil_closes_the_season():
    limiter = np.ones(4)
    for _ in range(30):
        limiter, index = carbon.growing_season_index(limiter, 295.15, 250.0, 0.0, *SUMMERGREEN)
    assert index < 1e-6


def test_evergreens_hold_their_maximum_and_input_leaf_area_is_taken_where_given():
    assert carbon.leaf_area_target(4.0, phenology=0.1, evergreen=1.0) == 4.0
    assert carbon.leaf_area_target(4.0, phenology=0.25) == 1.0
    got = carbon.leaf_area_target(4.0, 0.25, prescribed_leaf_area=[0.0, 2.3, -1.0], option="prescribed")
    np.testing.assert_array_equal(got, [0.0, 2.3, 1.0])  # negative: none in the file, own phenology


@pytest.mark.parametrize("case", ["temperate_deciduous", "dry_tropics"])
def test_prognostic_leaf_area_follows_dalec(reference, case):
    special = pytest.importorskip("scipy.special")
    table = reference("ecosystem_phenology_knorr.csv")
    row = {name: column[table["case"] == case] for name, column in table.items()}
    declination = -np.radians(23.4) * np.cos(2.0 * np.pi * (row["doy"] + 10.0) / 365.0)  # DALEC's day length
    sunset = np.clip(-np.tan(np.radians(row["lat"])) * np.tan(declination), -1.0, 1.0)
    day_length = 24.0 * np.arccos(sunset) / np.pi
    # the start temperature memory is not in the table: it follows from the first share of active plants
    share = min(row["f_T"][0], 1.0 - 1e-9)
    memory = row["T_phi_K"][0] + row["T_r_K"][0] * special.ndtri(share)
    if row["f_T"][0] == 1.0:
        memory = 300.0
    state = (row["lai_out"][0], memory, row["lai_max_memory"][0])
    names = ("lambda_max", "T_phi_K", "T_r_K", "t_c_h", "t_r_h", "xi_per_d", "kL_per_d", "tau_W_d")
    got = []
    for i in range(1, len(day_length)):
        drivers = (row["T_K"][i], day_length[i], row["paw_mm"][i], row["transp_mm_d"][i])
        memory, limit, area, active = carbon.knorr_leaf_area(*state, *drivers, *(row[n][i] for n in names))
        state = (area, memory, limit)
        got.append((area, limit, active))
    expected = np.column_stack([row["lai_out"][1:], row["lai_max_memory"][1:], row["f_T"][1:]])
    # spec: 1e-8 relative; the start memory is known to the ten printed digits of one value only
    np.testing.assert_allclose(got, expected, rtol=2e-8, atol=2e-9)


def test_optimal_leaf_area_follows_pyrealm(reference):
    table = reference("ecosystem_optimal_lai.csv")
    names = ("A0_mol_m2_yr", "ca_Pa", "chi", "vpd_Pa", "P_mol_m2_yr", "AI", "G_days")
    got = carbon.optimal_leaf_area(*(table[name] for name in names))
    keep = table["fapar_max"] > 0.0  # the peer does not clip negative values
    assert keep.sum() > 30
    for name, value in zip(("fapar_max", "lai_max", "m_ratio", "f0"), got, strict=True):
        # ten digits are printed
        np.testing.assert_allclose(value[keep], table[name][keep], rtol=1e-9)


def test_no_production_means_no_optimal_leaf_area():
    fapar, area, slope, _ = carbon.optimal_leaf_area([0.0, 10.0], 40.0, 0.7, 800.0, 3e4, 1.0, 200.0)
    np.testing.assert_array_equal([fapar, area], 0.0)
    assert np.all(np.isfinite(slope))


def test_daily_optimum_solves_its_equation():
    special = pytest.importorskip("scipy.special")
    mu = np.array([0.0, 0.3, 1.0, 1.9, 2.0, 2.1, 3.0, 8.0, 40.0])
    got = carbon.optimal_leaf_area_day(0.0, 1.0, mu, 100.0, relaxation=1.0)
    # -1/e, the end of the branch, is at mu = 2; rounding may put the argument just beyond it
    argument = np.maximum(-0.5 * mu * np.exp(-0.5 * mu), -np.exp(-1.0) * (1.0 - 1e-16))
    exact = mu + np.nan_to_num(special.lambertw(argument).real, nan=-1.0) / 0.5
    # at the branch point (mu = 2) the root is double: half of the digits is all that a double solve can give
    np.testing.assert_allclose(got, exact, atol=1e-7)
    np.testing.assert_allclose(got[mu > 2.05], exact[mu > 2.05], rtol=1e-12)
