"""Shortwave radiation in canopies against reference tables, limits and conservation of energy."""

import numpy as np
import pytest

from concerto.errors import ConcertoError
from concerto.kernels import radiation

# Tables are rounded to 9 significant digits: 5e-10 of shares up to 1. Tolerances: 1e-8 (CTSM), 1e-9 (exact).
TWO_STREAM = {
    "albedo_beam": "albd",
    "albedo_diffuse": "albi",
    "sunlit_beam": "fabd_sun",
    "shaded_beam": "fabd_sha",
    "sunlit_diffuse": "fabi_sun",
    "shaded_diffuse": "fabi_sha",
    "beam_to_beam": "ftdd",
    "beam_to_diffuse": "ftid",
    "diffuse_to_diffuse": "ftii",
}


def solve(table, area):
    return radiation.two_stream(
        area, table["xl"], table["rho"], table["tau"], table["cosz"], table["albgr_dir"], table["albgr_dif"]
    )


def test_two_stream_equals_ctsm_where_ground_albedos_are_equal(reference):
    table = reference("leaf_twostream_ctsm.csv")
    out = solve(table, table["lai"] + table["sai"])
    for name, column in TWO_STREAM.items():
        np.testing.assert_allclose(out[name], table[column], rtol=0, atol=1e-8, err_msg=name)
    extinction, path, _, _ = radiation.canopy_optics(table["xl"], table["cosz"])
    # 9 significant digits
    np.testing.assert_allclose(extinction, table["K"], rtol=2e-9)
    np.testing.assert_allclose(path, table["mubar"], rtol=2e-9)


def test_two_stream_equals_boundary_value_solutions_over_unequal_and_black_ground(reference):
    table = reference("leaf_twostream_exact.csv")
    out = solve(table, table["lai_plus_sai"])
    for name, column in TWO_STREAM.items():
        np.testing.assert_allclose(out[name], table[column], rtol=0, atol=1e-9, err_msg=name)


def test_sunlit_area_and_nitrogen_scaling_equal_ctsm(reference):
    table = reference("leaf_twostream_ctsm.csv")
    extinction, _, _, _ = radiation.canopy_optics(table["xl"], table["cosz"])
    sunlit, shaded, _, _ = radiation.sun_shade_leaves(table["lai"], table["sai"], extinction, table["cosz"], 0.3)
    np.testing.assert_allclose(sunlit / table["lai"], table["fsun"], rtol=0, atol=1e-8)
    # CTSM integrates nitrogen over leaves as if no stems stood between them, then divides by the sunlit area
    # with stems: compare the integrals of leaves alone.
    sun, shade, scale_sun, scale_shade = radiation.sun_shade_leaves(table["lai"], 0.0, extinction, table["cosz"], 0.3)
    np.testing.assert_allclose(sun * scale_sun, sunlit * table["vcmaxcint_sun"], rtol=0, atol=1e-8)
    np.testing.assert_allclose(shade * scale_shade, shaded * table["vcmaxcint_sha"], rtol=0, atol=1e-8)


def test_nitrogen_scaling_tends_to_one_in_a_sparse_canopy_and_keeps_the_canopy_total():
    leaf_area = np.array([0.0, 1e-9, 1e-5, 1e-3, 0.1, 1.0, 6.0])
    sunlit, shaded, scale_sun, scale_shade = radiation.sun_shade_leaves(leaf_area, 0.0, 0.7, 0.6, 0.3)
    # at 1e-3 the scaling differs from 1 by kn L = 3e-4; digits lost in 1 - fsun are below 1e-11
    np.testing.assert_allclose(scale_sun[:4], 1.0, atol=3e-4)
    np.testing.assert_allclose(scale_shade[:4], 1.0, atol=3e-4)
    total = -np.expm1(-0.3 * leaf_area) / 0.3
    np.testing.assert_allclose(sunlit * scale_sun + shaded * scale_shade, total, rtol=1e-13, atol=1e-300)
    assert np.all(scale_sun <= 1.0) and np.all(scale_sun >= scale_shade)


def test_all_leaves_are_shaded_at_night():
    sunlit, shaded, scale_sun, scale_shade = radiation.sun_shade_leaves([2.0, 0.0], 0.5, 1.0, [0.0, -0.3], 0.3)
    assert np.all(sunlit == 0.0)
    np.testing.assert_array_equal(shaded, [2.0, 0.0])
    np.testing.assert_allclose(scale_shade, [-np.expm1(-0.6) / 0.6, 1.0], rtol=1e-14)
    assert np.all(np.isfinite(scale_sun))


def test_two_stream_is_continuous_through_resonance_of_beam_and_diffuse_light():
    # chi_L 0.5, rho = tau = 0.05: the particular solution is 0/0 near cosine 0.41
    cosine = np.linspace(0.40, 0.42, 20001)
    out = radiation.two_stream(3.0, 0.5, 0.05, 0.05, cosine, 0.1, 0.2)
    for name, value in out.items():
        assert np.all(np.isfinite(value)), name
        # a smooth curve: second differences of spacing 1e-6 are ~1e-12; guard and cancellation add below 1e-8
        assert np.max(np.abs(np.diff(value, 2))) < 1e-7, name


def test_two_stream_stays_finite_and_conserves_energy_in_extreme_canopies():
    rng = np.random.default_rng(3)
    n = 20000
    area = rng.choice([0.0, 1e-8, 1e-3, 1.0, 8.0, 100.0], n)
    reflectance = rng.choice([0.0, 0.05, 0.3, 0.5], n)
    transmittance = rng.choice([0.0, 0.05, 0.3, 0.5], n)  # up to omega = 1
    beam_albedo, diffuse_albedo = rng.choice([0.0, 0.1, 0.9, 1.0], (2, n))
    cosine = rng.choice([1e-9, 1e-3, 0.02, 0.3, 0.41, 1.0], n)
    out = radiation.two_stream(
        area,
        rng.uniform(-0.6, 0.8, n),
        reflectance,
        transmittance,
        cosine,
        beam_albedo,
        diffuse_albedo,
        clumping=rng.uniform(0.5, 1.0, n),
        snow_fraction=rng.uniform(0, 1, n),
    )
    for name, value in out.items():
        assert np.all(np.isfinite(value)), name
        # round-off, enlarged to 1e-10 where grazing beams have an extinction of 1000; light that goes back
        # and forth between canopy and white ground meets the ground more than once
        top = np.inf if name.endswith("to_diffuse") else 1.0 + 1e-10
        assert np.all((value >= -1e-10) & (value <= top)), name
    ground = (1 - beam_albedo) * out["beam_to_beam"] + (1 - diffuse_albedo) * out["beam_to_diffuse"]
    np.testing.assert_allclose(
        out["albedo_beam"] + out["sunlit_beam"] + out["shaded_beam"] + ground, 1.0, rtol=0, atol=1e-12
    )
    ground = (1 - diffuse_albedo) * out["diffuse_to_diffuse"]
    np.testing.assert_allclose(
        out["albedo_diffuse"] + out["sunlit_diffuse"] + out["shaded_diffuse"] + ground,
        1.0,
        rtol=0,
        atol=1e-12,
    )


def test_no_leaves_leave_the_ground_alone():
    out = radiation.two_stream(0.0, 0.1, 0.1, 0.05, 0.5, 0.3, 0.2)
    assert out["albedo_beam"] == pytest.approx(0.3, abs=1e-14)  # round-off
    assert out["albedo_diffuse"] == pytest.approx(0.2, abs=1e-14)
    assert out["beam_to_beam"] == 1.0
    assert out["sunlit_beam"] + out["shaded_beam"] == pytest.approx(0.0, abs=1e-14)


def test_black_leaves_follow_beers_law():
    area = np.array([0.5, 2.0, 5.0])
    out = radiation.two_stream(area, 0.1, 0.0, 0.0, 0.6, 0.0, 0.0)
    extinction, path, _, _ = radiation.canopy_optics(0.1, 0.6)
    np.testing.assert_allclose(out["sunlit_beam"], 1 - np.exp(-extinction * area), rtol=1e-13)
    np.testing.assert_allclose(out["diffuse_to_diffuse"], np.exp(-area / path), rtol=1e-13)
    np.testing.assert_allclose(out["albedo_beam"] + out["albedo_diffuse"] + out["shaded_beam"], 0.0, atol=1e-14)


def test_snow_on_the_canopy_brightens_it():
    bare, snowy = (radiation.two_stream(4.0, 0.01, 0.09, 0.04, 0.5, 0.1, 0.1, snow_fraction=f) for f in (0.0, 1.0))
    assert snowy["albedo_beam"] > bare["albedo_beam"] + 0.1


def test_dpf97_equals_bess(reference):
    t = reference("leaf_canopyradiation_bess.csv")
    cosine = np.cos(np.radians(t["SZA_deg"]))
    beam_extinction, area = 0.5 / cosine, t["LAI"] * t["clumping"]
    root = np.sqrt(1 - 0.825)
    par = radiation.dpf97_band(
        area,
        beam_extinction,
        0.46 / cosine,
        0.72,
        0.175,
        t["albedo_vis"],
        t["albedo_vis"],
        0.15,
        t["PAR_dir_Wm2"],
        t["PAR_dif_Wm2"],
    )
    nir = radiation.dpf97_band(
        area,
        beam_extinction,
        beam_extinction * root,
        0.35 * root,
        0.825,
        t["albedo_nir"],
        t["albedo_nir"],
        0.30,
        t["NIR_dir_Wm2"],
        t["NIR_dif_Wm2"],
    )
    # the table has 9 significant digits
    np.testing.assert_allclose(4.56 * par[0], t["APAR_sunlit_umolm2s1"], rtol=1e-8)
    np.testing.assert_allclose(4.56 * par[1], t["APAR_shade_umolm2s1"], rtol=1e-8)
    np.testing.assert_allclose(par[0] + nir[0], t["ASW_sunlit_Wm2"], rtol=1e-8)
    np.testing.assert_allclose(par[1] + nir[1], t["ASW_shade_Wm2"], rtol=1e-8)
    np.testing.assert_allclose(par[2] + nir[2], t["ASW_soil_Wm2"], rtol=1e-8)


def random_canopies(n=4096):
    rng = np.random.default_rng(7)
    u = rng.uniform
    return dict(
        leaf_area=rng.choice([0.0, 1e-5, 1e-3, 0.1, 1.0, 4.0, 12.0], n),
        stem_area=rng.choice([0.0, 0.05, 0.5, 2.0], n),
        cosine_zenith=rng.choice([-0.2, 0.0, 1e-5, 0.01, 0.3, 0.41, 1.0], n),
        beam=(u(0, 500, n), u(0, 500, n)),
        diffuse=(u(0, 300, n), u(0, 300, n)),
        leaf_orientation=u(-0.5, 0.7, n),
        leaf_reflectance=(u(0.03, 0.5, n), u(0.2, 0.6, n)),
        leaf_transmittance=(u(0, 0.3, n), u(0.1, 0.4, n)),
        clumping=u(0.5, 1.0, n),
        snow_fraction=u(0, 1, n),
        ground_albedo_beam=tuple(rng.choice([0.0, 0.1, 0.5, 0.95, 1.0], (2, n))),
        ground_albedo_diffuse=tuple(rng.choice([0.0, 0.1, 0.5, 0.95, 1.0], (2, n))),
    )


@pytest.mark.parametrize("scheme", ["twostream", "dpf97"])
def test_what_a_canopy_absorbs_transmits_and_reflects_is_what_comes_in(scheme):
    canopies = random_canopies()
    out = radiation.canopy_shortwave(canopy_light=scheme, **canopies)
    incoming = sum(canopies["beam"]) + sum(canopies["diffuse"])
    total = out["absorbed_canopy"] + out["absorbed_ground"] + out["reflected"]
    np.testing.assert_allclose(total, incoming, rtol=1e-12)
    for name, value in out.items():
        assert np.all(np.isfinite(value)) and np.all(value >= 0), name
    np.testing.assert_allclose(
        out["leaf_area_sunlit"] + out["leaf_area_shaded"],
        np.where(canopies["leaf_area"] + canopies["stem_area"] < 1e-4, 0.0, canopies["leaf_area"]),
        rtol=1e-15,
    )


@pytest.mark.parametrize("scheme", ["twostream", "dpf97"])
def test_photons_of_leaves_add_up_to_visible_light_absorbed_by_a_canopy_without_stems(scheme):
    out = radiation.canopy_shortwave(3.0, 0.0, 0.6, (250.0, 0.0), (80.0, 0.0), canopy_light=scheme)
    photons = out["par_sunlit"] * out["leaf_area_sunlit"] + out["par_shaded"] * out["leaf_area_shaded"]
    assert photons == pytest.approx(4.6 * out["absorbed_canopy"], rel=1e-13)
    assert out["par_sunlit"] > out["par_shaded"] > 0


@pytest.mark.parametrize("scheme", ["twostream", "dpf97"])
def test_dark_night_is_zero(scheme):
    canopies = random_canopies(256) | dict(beam=(0.0, 0.0), diffuse=(0.0, 0.0))
    out = radiation.canopy_shortwave(canopy_light=scheme, **canopies)
    for name in ("absorbed_canopy", "absorbed_ground", "reflected", "par_sunlit", "par_shaded"):
        assert np.all(out[name] == 0.0), name


def test_light_below_the_horizon_is_diffuse_and_falls_on_shaded_leaves():
    arguments = dict(leaf_area=2.0, stem_area=0.3)
    twilight = radiation.canopy_shortwave(cosine_zenith=-0.02, beam=(3.0, 2.0), diffuse=(4.0, 3.0), **arguments)
    assert twilight["leaf_area_sunlit"] == 0.0 and twilight["par_sunlit"] == 0.0
    assert twilight["par_shaded"] > 0.0
    overcast = radiation.canopy_shortwave(cosine_zenith=0.5, beam=(0.0, 0.0), diffuse=(7.0, 5.0), **arguments)
    # diffuse absorption does not depend on the sun
    assert twilight["absorbed_canopy"] == pytest.approx(overcast["absorbed_canopy"], rel=1e-13)


def test_canopy_of_stems_only_has_no_leaves_to_light():
    out = radiation.canopy_shortwave(0.0, 0.8, 0.5, (200.0, 200.0), (50.0, 50.0))
    assert out["leaf_area_sunlit"] == 0.0 and out["leaf_area_shaded"] == 0.0
    assert out["absorbed_canopy"] > 0.0


def test_result_of_a_tile_does_not_depend_on_its_neighbours():
    canopies = random_canopies(64)
    whole = radiation.canopy_shortwave(**canopies)

    def pick(value):
        return tuple(v[5:6] for v in value) if isinstance(value, tuple) else value[5:6]

    alone = radiation.canopy_shortwave(**{name: pick(value) for name, value in canopies.items()})
    for name, value in whole.items():
        assert value[5] == alone[name][0], name


def test_unknown_scheme_is_refused():
    with pytest.raises(ConcertoError, match="canopy light"):
        radiation.canopy_shortwave(1.0, 0.1, 0.5, (1.0, 1.0), (1.0, 1.0), canopy_light="goudriaan")


def test_split_of_global_radiation_keeps_its_sum_and_turns_diffuse_under_clouds():
    cosine = np.array([-0.1, 0.0, 0.001, 0.05, 0.3, 0.7, 1.0])[:, None]
    down = np.array([0.0, 5.0, 100.0, 400.0, 1000.0])
    parts = radiation.split_shortwave(down, cosine, 180)
    assert all(np.all(np.isfinite(p)) and np.all(p >= 0) for p in parts)
    np.testing.assert_allclose(sum(parts), np.broadcast_to(down, parts[0].shape), rtol=1e-14)
    np.testing.assert_allclose(parts[0] + parts[2], 0.5 * np.broadcast_to(down, parts[0].shape), rtol=1e-14)
    assert np.all(parts[0][:2] == 0.0)  # no beam with the sun below the horizon
    high = radiation.split_shortwave(np.array([100.0, 950.0]), 0.9, 180)
    share = (high[0] + high[1]) / np.array([100.0, 950.0])
    assert share[0] == 0.0 and 0.75 < share[1] < 0.95


def test_split_follows_weiss_and_norman_under_a_clear_sky():
    # hand evaluation of their equations at the zenith, sea level, mean distance of the sun (day 91.3):
    # RDV 600 exp(-0.185), RdV 0.4 (600 - RDV), w 1320 x 10**-1.195,
    # RDN 720 exp(-0.06) - w, RdN 0.6 (720 - RDN - w)
    beam_vis, water = 600 * np.exp(-0.185), 1320 * 10**-1.195
    beam_nir = 720 * np.exp(-0.06) - water
    visible = beam_vis + 0.4 * (600 - beam_vis)
    infrared = beam_nir + 0.6 * (720 - beam_nir - water)
    out = radiation.split_shortwave(visible + infrared, 1.0, 91.3125, visible_share=0.0)
    expected = beam_vis, beam_nir, visible - beam_vis, infrared - beam_nir
    np.testing.assert_allclose(out, expected, rtol=1e-12)
