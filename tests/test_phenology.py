"""Leaf area through the year against peers, and its limits."""

import numpy as np
import pytest

from concerto.kernels import carbon, phenology

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


# ---- all options, day by day

OPTIONS = ("gsi", "knorr", "optimal", "season_deciduous", "stress_deciduous")


def temperate_year(years=3):
    """Daily drivers of a temperate climate with moist soil: (name -> (day,))."""
    day = np.arange(365 * years)
    season = -np.cos(2.0 * np.pi * (day % 365 - 20.0) / 365.0)
    return dict(
        air_temperature=282.0 + 11.0 * season,
        soil_temperature=282.5 + 8.0 * season,
        shortwave=130.0 + 110.0 * season,
        day_length=3600.0 * (12.0 - 4.8 * np.cos(2.0 * np.pi * (day % 365 + 10.0) / 365.0)),
        vapour_deficit=500.0 + 300.0 * season,
        potential_production=np.maximum(0.0, 0.45 + 0.5 * season),
        potential_evaporation=np.maximum(0.0, 1.7 + 1.7 * season),
        transpiration=np.maximum(0.0, 1.0 + season),
        precipitation=np.full(len(day), 2.5),
    )


def monsoon_year(years=3):
    """Hot all year, five wet months from November."""
    day = np.arange(365 * years)
    wet = np.isin(day % 365 // 30, (0, 1, 2, 11, 12))
    return dict(
        air_temperature=np.full(len(day), 300.0),
        soil_temperature=np.full(len(day), 301.0),
        shortwave=np.full(len(day), 230.0),
        day_length=3600.0 * (12.0 + 0.7 * np.cos(2.0 * np.pi * (day % 365 + 10.0) / 365.0)),
        vapour_deficit=np.where(wet, 900.0, 2500.0),
        potential_production=np.full(len(day), 0.9),
        potential_evaporation=np.full(len(day), 5.0),
        transpiration=np.where(wet, 3.0, 0.6),
        precipitation=np.where(wet, 8.0, 0.0),
        water_stress=np.where(wet, 1.0, 0.1),
        soil_head=np.where(wet, -5.0, -300.0),
        plant_water=np.where(wet, 150.0, 10.0),
    )


def leaf_areas(option, drivers, **traits):
    limiter, memory, out = np.ones(4), np.zeros(phenology.MEMORY), []
    for k in range(len(drivers["air_temperature"])):
        today = {name: values[k] for name, values in drivers.items()}
        # the drivers give transpiration of a leaf area of 4: that of the option's own leaves is in proportion
        today["transpiration"] = today["transpiration"] * memory[2] / 4.0
        limiter, memory, area = phenology.phenology_day(limiter, memory, option, **today, **traits)
        out.append(area)
    return np.array(out)


def test_the_day_of_the_default_is_the_growing_season_index_to_the_last_bit():
    drivers = temperate_year(1)
    got = leaf_areas("gsi", drivers, maximum_leaf_area=5.0)
    limiter, expected = np.ones(4), []
    for t, light in zip(drivers["air_temperature"], drivers["shortwave"], strict=True):
        limiter, index = carbon.growing_season_index(limiter, t, light, 1.0, *SUMMERGREEN)
        expected.append(carbon.leaf_area_target(5.0, index))
    assert np.array_equal(got, expected)


@pytest.mark.parametrize("option", [o for o in OPTIONS if o != "stress_deciduous"])
def test_deciduous_trees_of_a_temperate_climate_are_bare_in_winter_and_green_in_summer(option):
    last = leaf_areas(option, temperate_year())[-365:]
    assert np.all(np.isfinite(last)) and np.all(last >= 0.0)
    assert last[:45].max() < 0.1 * last.max()  # January, half of February
    assert last[170:230].min() > 0.6 * last.max() > 0.9  # late June to mid August
    first = int(np.argmax(last > 0.5 * last.max()))
    assert 70 < first < 150  # mid March to May: leaves unfold in temperate deciduous forests


@pytest.mark.parametrize("option", ["gsi", "knorr", "optimal", "stress_deciduous"])
def test_leaves_follow_the_rains_where_it_is_always_warm(option):
    traits = dict(cold_base=7.66, cold_slope=0.24, light_base=13.0, light_slope=23.0, loss_rate=0.05)
    traits |= dict(day_length_threshold=0.0, temperature_threshold=280.0)
    last = leaf_areas(option, monsoon_year(), **traits)[-365:]
    wet, dry = last[40:85].mean(), last[250:320].mean()  # after a month of rain; late dry season
    assert wet > 0.5 and dry < 0.3 * wet


def test_seasonal_types_ignore_drought_and_drought_deciduous_types_do_not():
    drivers = temperate_year()
    drivers["soil_head"] = np.where(np.arange(3 * 365) % 365 // 60 == 3, -500.0, -5.0)  # dry from July
    trees = leaf_areas("season_deciduous", drivers)[-365:]
    herbs = leaf_areas("season_deciduous", drivers, drought_deciduous=1.0)[-365:]
    assert trees[225] == 5.0  # the maximum
    assert herbs[225] == 0.0  # 15 dry days and 15 of falling leaves after day 180


@pytest.mark.parametrize("option", OPTIONS)
def test_evergreens_hold_leaves_through_the_winter_and_bare_ground_has_none(option):
    drivers = temperate_year(2)
    last = leaf_areas(option, drivers, evergreen=1.0)[-365:]
    # optimal leaf area moves with its two-year means; knorr with water, which is ample: the smooth minimum leaves 0.6
    assert last.min() > 0.6 * last.max() > 0.6
    assert np.all(leaf_areas(option, {k: v[:40] for k, v in drivers.items()}, maximum_leaf_area=0.0) == 0.0)


@pytest.mark.parametrize("option", OPTIONS)
def test_polar_night_deep_frost_and_no_water_give_finite_leaf_area(option):
    night = dict(air_temperature=233.0, shortwave=0.0, day_length=0.0, transpiration=0.0, water_stress=0.0)
    night |= dict(potential_production=0.0, potential_evaporation=0.0, plant_water=0.0, soil_head=-1e5)
    night |= dict(soil_temperature=250.0, precipitation=0.0)
    area = leaf_areas(option, {name: np.full(200, value) for name, value in night.items()})
    assert np.all(np.isfinite(area)) and area[-1] < 0.01


def test_leaves_unfold_in_thirty_days_and_fall_in_fifteen():
    last = leaf_areas("season_deciduous", temperate_year())[-365:] / 5.0
    first = int(np.argmax(last > 0.0))
    days = np.arange(1, 31)
    # closed form of CTSM's rates: 2/t of what is left, so the rest falls with the square
    np.testing.assert_allclose(last[first : first + 30], 1.0 - ((30.0 - days) / 30.0) ** 2, atol=1e-12)
    falling = np.flatnonzero((last < 1.0) & (np.arange(365) > 200))[:15]
    np.testing.assert_allclose(last[falling], 1.0 - (np.arange(1, 16) / 15.0) ** 2, atol=1e-12)


def test_available_water_is_none_at_wilting_and_all_above_it():
    thickness, share = np.array([0.1, 0.4, 0.5]), np.array([0.4, 0.4, 0.2])
    alpha, n = 3.14, 1.1804
    wilting = 0.01 + 0.429 * (1.0 + (alpha * 153.0) ** n) ** (1.0 / n - 1.0)
    assert phenology.plant_available_water(np.full(3, wilting - 0.01), share, thickness) == 0.0
    got = phenology.plant_available_water(np.full(3, wilting + 0.1), share, thickness)
    assert got == pytest.approx(0.1 * 1000.0 * (0.1 + 0.4 + 0.5 * 0.4), rel=1e-12)  # roots reach 0.4 of layer 3
