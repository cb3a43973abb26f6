module concerto_crops
  !! Annual crops: sowing, development by heat units, leaf area and grain filling by phase, harvest. Leaf area by phase
  !! after SWAT and LPJmL (Bondeau et al. 2007, Global Change Biol. 13:679), phases after CTSM. At most one crop between
  !! two winters; where there is none, one in each rainy season.
  !! A day: `crop_day` decides before growth; after it `crop_events` and `crop_transfer` move what is sown and
  !! harvested, the same shares for carbon, nitrogen and isotopes. Plant pools in the order labile, leaf, fine root,
  !! sapwood, heartwood, seed.
  use concerto_kinds, only: wp
  use concerto_vegetation, only: plant_labile, plant_leaf, plant_seed, n_plant_pool
  implicit none
  private
  public :: crop_day, grain_for_nitrogen, crop_events, crop_nitrogen_shares, crop_transfer

  ! places in the memory; 0 everywhere: not begun
  integer, parameter, public :: crop_growing = 1, crop_heat_sum = 2
  integer, parameter :: days = 3, warm_days = 4, ready_flag = 5, moisture = 6, day_before = 7
  real(wp), parameter :: curve_first = 3.0560_wp, curve_second = 13.387_wp
  !! leaf area 0.05 and 0.95 of the largest at 0.15 and 0.5 of the heat units
  real(wp), parameter :: senescence = 0.70_wp  !! share of the heat units at which leaf area begins to decline
  real(wp), parameter :: grain_filling = 0.60_wp  !! share of the heat units at which growth turns to grain
  real(wp), parameter :: warmest_unit = 30.0_wp  !! most heat units of a day, K
  real(wp), parameter :: dry_season = 0.4_wp, wet_season = 0.5_wp  !! water stress factor
  real(wp), parameter :: autumn_cold = 3.0_wp  !! below the temperature of sowing, at which the second half of a season ends, K
  real(wp), parameter :: grain_first = 11.1_wp, grain_second = 10.0_wp  !! harvest index by stage (LPJmL)
  real(wp), parameter :: ripe_index = 100.0_wp / (100.0_wp + 3.00416602394643_wp)  !! of that curve at maturity; exp(1.1)
  real(wp), parameter :: leaf_nitrogen_moved = 0.6_wp  !! share of the nitrogen of leaves that grain can get
  real(wp), parameter :: widest_grain = 1.3_wp  !! most carbon to nitrogen of grain over that of seed

contains

  subroutine crop_day(n, n_memory, air_temperature, temperature_10d, day_length, water_stress, crop, &
      sowing_temperature, base_temperature, heat_to_maturity, longest_season, maximum_leaf_area, memory, &
      leaf_area_target, seed_priority, sow, harvest, ripeness)
    !! Decisions of the day. Where winters are cold a crop is sown once the ten-day mean temperature passes its
    !! threshold while days lengthen, and not again before another winter; without winter at the first moist day after
    !! a dry season, or a year after the last sowing. Harvest at maturity, after the longest season, or when the cold
    !! comes: below the base of heat units, in the second half of the season 3 K below the threshold of sowing.
    integer, intent(in) :: n  !! tiles
    integer, intent(in) :: n_memory  !! length of the memory, 7
    real(wp), intent(in) :: air_temperature(n)  !! mean of the day, K
    real(wp), intent(in) :: temperature_10d(n)  !! running mean of ten days, K
    real(wp), intent(in) :: day_length(n)  !! s
    real(wp), intent(in) :: water_stress(n)  !! 1: none
    real(wp), intent(in) :: crop(n)  !! 1: annual crop; 0: nothing happens
    real(wp), intent(in) :: sowing_temperature(n)  !! K
    real(wp), intent(in) :: base_temperature(n)  !! of heat units, K
    real(wp), intent(in) :: heat_to_maturity(n)  !! K d
    real(wp), intent(in) :: longest_season(n)  !! d
    real(wp), intent(in) :: maximum_leaf_area(n)  !! m2 m-2
    real(wp), intent(inout) :: memory(n, n_memory)  !! growing (0, 1), heat units (K d), days since sowing, days since
    !! it was too cold to sow, ready to sow (0, 1), 30-day mean of water_stress, day length of yesterday (s)
    real(wp), intent(inout) :: leaf_area_target(n)  !! of phenology in; where crops grow replaced, m2 m-2
    real(wp), intent(out) :: seed_priority(n)  !! share of growth that seed gets before other tissue
    real(wp), intent(out) :: sow(n)  !! 1: sown today
    real(wp), intent(out) :: harvest(n)  !! 1: harvested today
    real(wp), intent(out) :: ripeness(n)  !! harvest index of the stage reached over that of maturity, 0 to 1
    integer :: i
    real(wp) :: heat, age, warm, ready, mean, stage, area, stress, filled
    logical :: begun, is_crop, grows, cold, winterless, lengthening, sown, ends
    do i = 1, n
      is_crop = crop(i) > 0.5_wp
      begun = memory(i, day_before) > 0.0_wp
      stress = min(1.0_wp, max(0.0_wp, water_stress(i)))
      cold = temperature_10d(i) < sowing_temperature(i)
      warm = min(1.0e4_wp, memory(i, warm_days) + 1.0_wp)
      warm = merge(warm, 366.0_wp, begun)  ! no winter is known before the first one
      warm = merge(0.0_wp, warm, cold)
      winterless = warm > 365.0_wp
      mean = memory(i, moisture) + (stress - memory(i, moisture)) / 30.0_wp
      mean = merge(mean, stress, begun)
      lengthening = day_length(i) >= memory(i, day_before)
      grows = memory(i, crop_growing) > 0.5_wp
      age = min(1.0e4_wp, memory(i, days) + 1.0_wp)
      heat = memory(i, crop_heat_sum)

      ready = merge(memory(i, ready_flag), 1.0_wp, begun)
      ready = merge(1.0_wp, ready, .not. grows .and. (cold .or. (winterless .and. (mean < dry_season &
        .or. age >= 365.0_wp))))
      sown = is_crop .and. .not. grows .and. ready > 0.5_wp .and. .not. cold &
        .and. ((winterless .and. stress >= wet_season) .or. (.not. winterless .and. lengthening))

      heat = merge(heat + min(warmest_unit, max(0.0_wp, air_temperature(i) - base_temperature(i))), 0.0_wp, grows)
      stage = min(1.0_wp, heat / heat_to_maturity(i))
      ends = grows .and. (heat >= heat_to_maturity(i) .or. age > longest_season(i) &
        .or. temperature_10d(i) < base_temperature(i) &
        .or. (stage > 0.5_wp .and. temperature_10d(i) < sowing_temperature(i) - autumn_cold))
      filled = 100.0_wp * stage
      filled = filled / (filled + exp(grain_first - grain_second * stage))
      ripeness(i) = merge(min(1.0_wp, filled * (1.0_wp / ripe_index)), 1.0_wp, stage < 1.0_wp)
      area = stage / (stage + exp(curve_first - curve_second * stage))
      area = area * min(1.0_wp, (1.0_wp - stage) / (1.0_wp - senescence))
      area = merge(area * maximum_leaf_area(i), 0.0_wp, grows .and. .not. ends)
      leaf_area_target(i) = merge(area, leaf_area_target(i), is_crop)
      seed_priority(i) = merge(min(1.0_wp, max(0.0_wp, 10.0_wp * (stage - grain_filling))), 0.0_wp, is_crop .and. grows)

      sow(i) = merge(1.0_wp, 0.0_wp, sown)
      harvest(i) = merge(1.0_wp, 0.0_wp, ends .and. is_crop)
      memory(i, crop_growing) = merge(1.0_wp, 0.0_wp, is_crop .and. (sown .or. (grows .and. .not. ends)))
      memory(i, crop_heat_sum) = merge(heat, 0.0_wp, grows .and. .not. ends)
      memory(i, days) = merge(0.0_wp, age, sown .or. .not. begun)
      memory(i, warm_days) = warm
      memory(i, ready_flag) = merge(0.0_wp, ready, sown)
      memory(i, moisture) = mean
      memory(i, day_before) = max(day_length(i), 1.0_wp)
    end do
  end subroutine crop_day

  subroutine grain_for_nitrogen(n, seed_cn, plant_nitrogen, most_grain)
    !! Most carbon of grain that the nitrogen of seed, of the labile pool and what leaves give up allow.
    integer, intent(in) :: n  !! tiles
    real(wp), intent(in) :: seed_cn(n)  !! carbon to nitrogen of seed, kg kg-1
    real(wp), intent(in) :: plant_nitrogen(n, 6)  !! kg m-2
    real(wp), intent(out) :: most_grain(n)  !! kg C m-2
    integer :: i
    do i = 1, n
      most_grain(i) = widest_grain * seed_cn(i) * (plant_nitrogen(i, plant_seed) + plant_nitrogen(i, plant_labile) &
                                                   + leaf_nitrogen_moved * plant_nitrogen(i, plant_leaf))
    end do
  end subroutine grain_for_nitrogen

  subroutine crop_events(n, sow, harvest, harvest_index, sowing_carbon, most_grain, plant_carbon, export_share, kept_share, &
      germinated_share, sowing_input)
    !! What sowing and harvest move, as shares of the plant pools. Grain is the harvest index times what stands above
    !! ground (labile, leaf, seed), taken from seed, then labile, then leaf; of it the seed for the next sowing is kept.
    !! Everything else dies. Seed that lacks at sowing comes from outside.
    integer, intent(in) :: n  !! tiles
    real(wp), intent(in) :: sow(n)  !! 1: sown today
    real(wp), intent(in) :: harvest(n)  !! 1: harvested today
    real(wp), intent(in) :: harvest_index(n)  !! grain over what stands above ground
    real(wp), intent(in) :: sowing_carbon(n)  !! carbon of the seed sown, kg m-2
    real(wp), intent(in) :: most_grain(n)  !! of grain_for_nitrogen; huge where nitrogen does not limit, kg C m-2
    real(wp), intent(in) :: plant_carbon(n, 6)  !! kg m-2
    real(wp), intent(out) :: export_share(n, 6)  !! share of each pool that is taken away
    real(wp), intent(out) :: kept_share(n, 6)  !! share of each pool that stays; the rest is litter
    real(wp), intent(out) :: germinated_share(n)  !! share of seed that becomes labile
    real(wp), intent(out) :: sowing_input(n)  !! carbon of seed from outside, kg m-2
    integer :: i, k
    real(wp) :: grain, from_seed, from_labile, from_leaf, kept
    logical :: cut, sown
    do k = 1, n_plant_pool
      do i = 1, n
        export_share(i, k) = 0.0_wp
        kept_share(i, k) = merge(0.0_wp, 1.0_wp, harvest(i) > 0.5_wp)
      end do
    end do
    do i = 1, n
      cut = harvest(i) > 0.5_wp
      sown = sow(i) > 0.5_wp
      grain = harvest_index(i) * (max(0.0_wp, plant_carbon(i, plant_labile)) + plant_carbon(i, plant_leaf) &
                                  + plant_carbon(i, plant_seed))
      grain = min(grain, most_grain(i))
      from_seed = min(grain, plant_carbon(i, plant_seed))
      from_labile = min(grain - from_seed, max(0.0_wp, plant_carbon(i, plant_labile)))
      from_leaf = min(grain - from_seed - from_labile, plant_carbon(i, plant_leaf))
      kept = min(from_seed, sowing_carbon(i))
      export_share(i, plant_seed) = merge((from_seed - kept) / max(plant_carbon(i, plant_seed), 1.0e-30_wp), 0.0_wp, cut)
      export_share(i, plant_labile) = merge(from_labile / max(plant_carbon(i, plant_labile), 1.0e-30_wp), 0.0_wp, cut)
      export_share(i, plant_leaf) = merge(from_leaf / max(plant_carbon(i, plant_leaf), 1.0e-30_wp), 0.0_wp, cut)
      kept_share(i, plant_seed) = merge(kept / max(plant_carbon(i, plant_seed), 1.0e-30_wp), 1.0_wp, cut)
      germinated_share(i) = min(1.0_wp, sowing_carbon(i) / max(plant_carbon(i, plant_seed), 1.0e-30_wp))
      germinated_share(i) = merge(germinated_share(i), 0.0_wp, sown)
      sowing_input(i) = merge(max(0.0_wp, sowing_carbon(i) - plant_carbon(i, plant_seed)), 0.0_wp, sown)
    end do
  end subroutine crop_events

  subroutine crop_nitrogen_shares(n, harvest, seed_cn, plant_carbon, export_share, kept_share, plant_nitrogen, &
      nitrogen_export_share, nitrogen_kept_share)
    !! Nitrogen of the grain of crop_events: that of seed at its target, or what there is; from seed, then labile, then
    !! leaves, which give up a part. Seed that is kept gets its share of it; the rest stays in the straw.
    integer, intent(in) :: n  !! tiles
    real(wp), intent(in) :: harvest(n)  !! 1: harvested today
    real(wp), intent(in) :: seed_cn(n)  !! carbon to nitrogen of seed, kg kg-1
    real(wp), intent(in) :: plant_carbon(n, 6)  !! before the harvest, kg m-2
    real(wp), intent(in) :: export_share(n, 6)  !! of carbon, of crop_events
    real(wp), intent(in) :: kept_share(n, 6)  !! of carbon, of crop_events
    real(wp), intent(in) :: plant_nitrogen(n, 6)  !! before the harvest, kg m-2
    real(wp), intent(out) :: nitrogen_export_share(n, 6)  !! share of each pool that is taken away
    real(wp), intent(out) :: nitrogen_kept_share(n, 6)  !! share of each pool that stays; the rest is litter
    integer :: i, k
    real(wp) :: kept, grain, seed, labile, leaf, nitrogen, from_seed, from_labile, from_leaf
    logical :: cut
    do k = 1, n_plant_pool
      do i = 1, n
        nitrogen_export_share(i, k) = 0.0_wp
        nitrogen_kept_share(i, k) = kept_share(i, k)
      end do
    end do
    do i = 1, n
      cut = harvest(i) > 0.5_wp
      kept = kept_share(i, plant_seed) * plant_carbon(i, plant_seed)
      grain = kept + export_share(i, plant_seed) * plant_carbon(i, plant_seed) + export_share(i, plant_labile) &
              * max(0.0_wp, plant_carbon(i, plant_labile)) + export_share(i, plant_leaf) * plant_carbon(i, plant_leaf)
      seed = plant_nitrogen(i, plant_seed)
      labile = plant_nitrogen(i, plant_labile)
      leaf = plant_nitrogen(i, plant_leaf)
      nitrogen = min(grain / seed_cn(i), seed + labile + leaf_nitrogen_moved * leaf)
      from_seed = min(nitrogen, seed)
      from_labile = min(nitrogen - from_seed, labile)
      from_leaf = min(nitrogen - from_seed - from_labile, leaf_nitrogen_moved * leaf)
      kept = min(from_seed, nitrogen * (kept / max(grain, 1.0e-30_wp)))
      nitrogen_export_share(i, plant_seed) = merge((from_seed - kept) / max(seed, 1.0e-30_wp), 0.0_wp, cut)
      nitrogen_export_share(i, plant_labile) = merge(from_labile / max(labile, 1.0e-30_wp), 0.0_wp, cut)
      nitrogen_export_share(i, plant_leaf) = merge(from_leaf / max(leaf, 1.0e-30_wp), 0.0_wp, cut)
      nitrogen_kept_share(i, plant_seed) = merge(kept / max(seed, 1.0e-30_wp), 1.0_wp, cut)
    end do
  end subroutine crop_nitrogen_shares

  subroutine crop_transfer(n, export_share, kept_share, germinated_share, sowing_input, plant, litter, exported)
    !! Shares of crop_events applied to the pools of one element. Days without events leave every bit as it was.
    integer, intent(in) :: n  !! tiles
    real(wp), intent(in) :: export_share(n, 6)  !! of crop_events
    real(wp), intent(in) :: kept_share(n, 6)  !! of crop_events
    real(wp), intent(in) :: germinated_share(n)  !! of crop_events
    real(wp), intent(in) :: sowing_input(n)  !! element in the seed from outside, kg m-2
    real(wp), intent(inout) :: plant(n, 6)  !! plant pools, kg m-2
    real(wp), intent(out) :: litter(n, 6)  !! what dies, by pool, kg m-2
    real(wp), intent(out) :: exported(n)  !! harvest that leaves the field, kg m-2
    integer :: i, k
    real(wp) :: taken, rest, sprout
    exported(:) = 0.0_wp
    do k = 1, n_plant_pool
      do i = 1, n
        taken = export_share(i, k) * plant(i, k)
        rest = plant(i, k) - taken
        litter(i, k) = rest - min(1.0_wp, kept_share(i, k)) * plant(i, k)
        litter(i, k) = merge(litter(i, k), 0.0_wp, kept_share(i, k) < 1.0_wp .and. litter(i, k) > 0.0_wp)
        plant(i, k) = rest - litter(i, k)
        exported(i) = exported(i) + taken
      end do
    end do
    do i = 1, n
      sprout = germinated_share(i) * plant(i, plant_seed)
      plant(i, plant_seed) = plant(i, plant_seed) - sprout
      plant(i, plant_labile) = plant(i, plant_labile) + (sprout + sowing_input(i))
    end do
  end subroutine crop_transfer
end module concerto_crops
