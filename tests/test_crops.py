"""Annual crops: when they are sown and harvested, and that no carbon or nitrogen is made or lost."""

import numpy as np
import pytest

from concerto.kernels import crops

hypothesis = pytest.importorskip("hypothesis")
given, st = hypothesis.given, hypothesis.strategies

MAIZE = dict(sowing_temperature=283.15, base_temperature=281.15)


def calendar(mean, swing, years=4, south=False, wet=None, **traits):
    """Sowing and harvest days of the year, and leaf area, in the last of some years of sinusoidal temperature."""
    memory, temperature_10d = np.zeros(crops.MEMORY), None
    for _ in range(years):
        sown, cut, area, grain = [], [], [], []
        for day in range(365):
            phase = 2.0 * np.pi * (day - 20.0 + 182.5 * south) / 365.0
            light = 2.0 * np.pi * (day + 10.0 + 182.5 * south) / 365.0
            air = mean - swing * np.cos(phase)
            temperature_10d = air if temperature_10d is None else temperature_10d + 0.1 * (air - temperature_10d)
            stress = 1.0 if wet is None or wet(day) else 0.2
            hours = 12.0 - 0.2 * swing * np.cos(light)
            memory, leaf, first, sow, harvest, _ = crops.crop_day(
                memory, air, temperature_10d, 3600.0 * hours, stress, **traits
            )
            sown += [day + 1] * int(sow)
            cut += [day + 1] * int(harvest)
            area.append(leaf)
            grain.append(first)
    return sown, cut, np.array(area), np.array(grain)


def test_temperate_crops_are_sown_in_spring_once_and_harvested_in_the_same_year():
    for traits in ({}, MAIZE):
        sown, cut, area, grain = calendar(283.0, 13.0, **traits)
        assert len(sown) == len(cut) == 1
        assert 80 < sown[0] < 140  # late March to mid May
        assert sown[0] + 60 < cut[0] < 300
        assert area[: sown[0]].max() == 0.0 and area[cut[0] - 1 :].max() == 0.0  # bare outside the season
        assert area.max() > 3.5  # of 4
        assert grain[sown[0] : sown[0] + 30].max() == 0.0 and grain.max() == 1.0
    assert calendar(283.0, 13.0, **MAIZE)[0] > calendar(283.0, 13.0)[0]  # maize needs more warmth


def test_the_south_sows_half_a_year_later():
    north, south = calendar(283.0, 13.0)[0][0], calendar(283.0, 13.0, south=True)[0][0]
    assert abs((south - north) % 365 - 182.5) < 3.0


def test_tropical_crops_wait_for_the_rain():
    sown, cut, area, _ = calendar(300.0, 1.0, wet=lambda day: 120 <= day < 280)
    assert sown == [121]  # the first moist day
    assert len(cut) == 1 and 121 + 50 < cut[0] < 280


def test_without_any_season_one_crop_a_year_is_sown():
    sown, cut, _, _ = calendar(300.0, 0.5)
    assert len(sown) <= 1 and len(cut) <= 1
    sown = sum(len(calendar(300.0, 0.5, years=k)[0]) for k in range(1, 5))
    assert 3 <= sown <= 4


def test_no_crop_is_sown_where_it_never_warms():
    sown, cut, area, _ = calendar(262.0, 12.0)
    assert not sown and not cut and area.max() == 0.0


def test_a_crop_that_does_not_ripen_is_harvested_after_the_longest_season():
    sown, cut, _, _ = calendar(283.0, 13.0, heat_to_maturity=1e4, longest_season=100.0)
    assert cut[0] - sown[0] == 101


def test_a_crop_that_freezes_ends_and_yields_what_its_stage_has_filled():
    found = []
    for heat in (300.0, 900.0, 1300.0, 1699.0):
        memory = np.array([1.0, heat, 60.0, 60.0, 0.0, 1.0, 5e4])
        _, area, _, _, harvest, ripe = crops.crop_day(memory, 272.0, 272.0, 4.9e4)
        assert harvest == 1.0 and area == 0.0
        stage = 100.0 * heat / 1700.0
        index = stage / (stage + np.exp(11.1 - 0.1 * stage))
        assert ripe == pytest.approx(min(1.0, index * (100.0 + np.exp(1.1)) / 100.0), rel=1e-12)
        found.append(ripe)
    assert found[0] < 0.01 and found[-1] > 0.99
    ripe = crops.crop_day(np.array([1.0, 1699.0, 60.0, 60.0, 0.0, 1.0, 5e4]), 290.0, 290.0, 4.9e4)
    assert ripe[4] == ripe[5] == 1.0  # mature: exactly the harvest index


def test_grain_is_no_sugar():
    """Carbon that found no nitrogen stays in the straw; grain takes the nitrogen of seed, reserves and leaves."""
    carbon = np.array([0.5, 0.05, 0.05, 0.0, 0.0, 0.01])
    nitrogen = np.array([1e-4, 1e-3, 1e-3, 0.0, 0.0, 3e-4])
    most = crops.grain_for_nitrogen(nitrogen, 30.0)
    assert most == pytest.approx(1.3 * 30.0 * 1e-3, rel=1e-14)
    export, kept, _, _ = crops.crop_events(carbon, harvest=1.0, most_grain=most, sowing_carbon=0.005)
    _, _, grain = crops.crop_transfer(carbon, export, kept)
    share, stays = crops.crop_nitrogen_shares(carbon, nitrogen, export, kept, seed_cn=30.0)
    after, litter, taken = crops.crop_transfer(nitrogen, share, stays)
    assert grain == pytest.approx(most - 0.005, rel=1e-12)
    assert taken + after[5] == pytest.approx(1e-3, rel=1e-12) and litter[1] == pytest.approx(4e-4, rel=1e-12)
    assert grain / taken == pytest.approx(0.005 / after[5], rel=1e-12)  # seed that is kept is as the grain
    # where nitrogen is plenty grain has that of seed and the rest stays
    rich = nitrogen * 50.0
    share, stays = crops.crop_nitrogen_shares(carbon, rich, *crops.crop_events(carbon, harvest=1.0)[:2], seed_cn=30.0)
    after, _, taken = crops.crop_transfer(rich, share, stays)
    assert taken + after[5] == pytest.approx(0.45 * 0.56 / 30.0, rel=1e-12)


def test_other_vegetation_keeps_its_target():
    _, area, grain, sow, harvest, _ = crops.crop_day(np.zeros(7), 295.0, 295.0, 5e4, crop=0.0, leaf_area_target=2.25)
    assert area == 2.25 and grain == sow == harvest == 0.0


POOL = st.floats(0.0, 3.0) | st.just(0.0) | st.floats(1e-12, 1e-6)


@given(pools=st.lists(POOL, min_size=6, max_size=6), sow=st.sampled_from([0.0, 1.0]), cut=st.sampled_from([0.0, 1.0]))
def test_carbon_and_nitrogen_are_conserved(pools, sow, cut):
    carbon = np.array(pools)
    nitrogen = carbon / np.array([30.0, 25.0, 42.0, 330.0, 500.0, 25.0])
    export, kept, sprout, seed = crops.crop_events(carbon, sow, cut)
    for pool, entered in ((carbon, seed), (nitrogen, seed / 25.0)):
        after, litter, exported = crops.crop_transfer(pool, export, kept, sprout, entered)
        assert np.all(after >= 0.0) and np.all(litter >= 0.0) and exported >= 0.0
        # a dozen sums and differences of numbers of this size
        assert abs(after.sum() + litter.sum() + exported - pool.sum() - entered) <= 1e-15 * (1.0 + pool.sum()) * 12


@given(pools=st.lists(POOL, min_size=12, max_size=12))
def test_nitrogen_of_the_harvest_is_conserved(pools):
    carbon, nitrogen = np.array(pools[:6]), 0.04 * np.array(pools[6:])
    export, kept, _, _ = crops.crop_events(carbon, harvest=1.0, most_grain=crops.grain_for_nitrogen(nitrogen))
    share, stays = crops.crop_nitrogen_shares(carbon, nitrogen, export, kept)
    after, litter, exported = crops.crop_transfer(nitrogen, share, stays)
    assert np.all(after >= 0.0) and np.all(litter >= 0.0) and exported >= 0.0
    # as above
    assert abs(after.sum() + litter.sum() + exported - nitrogen.sum()) <= 1e-15 * (1.0 + nitrogen.sum()) * 12


def test_days_without_events_leave_every_bit():
    pools = np.random.default_rng(4).random((50, 6))
    export, kept, sprout, seed = crops.crop_events(pools)
    after, litter, exported = crops.crop_transfer(pools, export, kept, sprout, seed)
    assert np.array_equal(after, pools)
    assert not litter.any() and not exported.any()


def test_grain_is_the_harvest_index_of_what_stands_above_ground_less_seed():
    pools = np.array([0.02, 0.1, 0.05, 0.0, 0.0, 0.3])
    export, kept, sprout, seed = crops.crop_events(pools, harvest=1.0, harvest_index=0.45, sowing_carbon=0.005)
    after, litter, exported = crops.crop_transfer(pools, export, kept, sprout, seed)
    assert exported == pytest.approx(0.45 * 0.42 - 0.005, rel=1e-14)
    np.testing.assert_allclose(after, [0, 0, 0, 0, 0, 0.005], atol=1e-17)
    # without seed the grain is taken from reserves, then from leaves
    export, _, _, _ = crops.crop_events([0.02, 0.1, 0.05, 0.0, 0.0, 0.0], harvest=1.0)
    np.testing.assert_allclose(export[:2], [1.0, (0.45 * 0.12 - 0.02) / 0.1], rtol=1e-14)


def test_seed_that_lacks_at_sowing_is_counted_as_input():
    export, kept, sprout, seed = crops.crop_events([0, 0, 0, 0, 0, 0.002], sow=1.0, sowing_carbon=0.005)
    after, _, _ = crops.crop_transfer([0, 0, 0, 0, 0, 0.002], export, kept, sprout, seed)
    assert seed == pytest.approx(0.003, rel=1e-14)
    np.testing.assert_allclose(after, [0.005, 0, 0, 0, 0, 0], rtol=1e-14)
    assert crops.crop_events([0, 0, 0, 0, 0, 0.02], sow=1.0)[3] == 0.0


# ---- in the model
def season(options, days=300):
    """All plant types through a year of a cropland climate: tiles, fluxes of every step, change of their carbon."""
    from synthetic import climate_tiles, start

    from concerto.simulation import dynamics
    from concerto.simulation.spinup import start_nitrogen

    tiles, forcing, ends = climate_tiles(["cropland"], 17, days=days, options=options)
    start(tiles, forcing)
    tiles.set("soil_carbon", 0.2)
    if options.get("nitrogen") == "cn":
        start_nitrogen(tiles)
    before = dynamics.stored(tiles)
    names = ("gpp", "ra", "rh", "npp", "nbp", "nee", "harvest_carbon", "dissolved_carbon_export", "leaf_area")
    fluxes = tiles.advance(forcing, ends, names)
    return tiles, fluxes, {name: values - before[name] for name, values in dynamics.stored(tiles).items()}


def test_what_is_harvested_leaves_through_nbp_and_not_through_nee():
    tiles, flux, gained = season({"crops": "calendar", "nitrogen": "cn"})
    crops_ = tiles.parameter("annual_crop") > 0.5
    harvested = 1800.0 * flux["harvest_carbon"].sum(axis=0)
    assert harvested[crops_].min() > 0.02 and np.abs(harvested[~crops_]).max() == 0.0
    # round-off of pools of 60 kg m-2 in 14400 steps
    assert np.allclose(1800.0 * flux["nbp"].sum(axis=0), gained["carbon"], rtol=1e-9, atol=2e-11)
    assert np.allclose(flux["nee"], (flux["ra"] + flux["rh"] - flux["gpp"]) / 12.011e-9, rtol=1e-12, atol=1e-14)
    # of the whole days: a harvest of one day leaves through the next, to round-off
    whole = slice(96, -48)
    # (a state row shows in the last step of a day what the next day gives off)
    left = flux["npp"] - flux["rh"]
    left[1:] -= flux["harvest_carbon"][:-1] + flux["dissolved_carbon_export"][:-1]
    daily = (flux["nbp"] - left)[whole].reshape(-1, 48, tiles.n_tile).sum(axis=1)
    assert np.abs(daily).max() < 1e-9 * flux["gpp"].max() * 48
    assert np.all(tiles.worst[2:].max(axis=1) < 1e-13)


def test_fields_are_bare_before_sowing_and_after_harvest():
    tiles, flux, _ = season({"crops": "calendar"})
    crops_ = tiles.parameter("annual_crop") > 0.5
    leaves = flux["leaf_area"][::48][:, crops_]
    # 1 March: what is left of the leaves that new tiles start with; the largest leaf area is 4
    assert leaves[60].max() < 0.05 and leaves.max() > 3.0
    for k in range(crops_.sum()):
        cut = int(flux["harvest_carbon"][:, crops_][:, k].argmax()) // 48
        assert leaves[cut - 20, k] > leaves[cut + 2, k] == 0.0


def test_crops_as_grass_are_never_harvested():
    _, flux, _ = season({"crops": "grass"}, days=30)
    assert np.abs(flux["harvest_carbon"]).max() == 0.0
