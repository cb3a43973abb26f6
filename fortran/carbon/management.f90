module concerto_management
  !! What farmers do to fields and pastures: residue taken from the field, tillage, fertiliser and manure, grazing,
  !! mowing, demand of irrigation. Each routine says what moves; the slow step moves it, the same shares for carbon,
  !! nitrogen and isotopes. Defaults after LPJmL (Lutz et al. 2019, Geosci. Model Dev. 12:2419; Rolinski et al. 2018,
  !! Geosci. Model Dev. 11:429), CTSM (Graham et al. 2021, J. Adv. Model. Earth Syst. 13) and FATES.
  use concerto_kinds, only: wp
  use concerto_constants, only: density_water, freezing_point, seconds_per_day
  use concerto_vegetation, only: plant_labile, plant_leaf, plant_seed
  implicit none
  private
  public :: remove_residue, nutrient_day, days_since_sowing, tillage_day, plough, graze, mow, regrowth_limit, bitten, &
            irrigation_demand

  ! places in the memory; 0 everywhere: not begun
  integer, parameter :: fertiliser_waits = 1, manure_waits = 2, since_sowing = 3
  integer, parameter, public :: since_cut = 4
  integer, parameter :: regrowth = 5
  integer, parameter :: n_litter = 3  !! litter pools of the layered soil, the first ones
  ! nutrients
  real(wp), parameter :: one_dose = 5.0e-3_wp  !! largest amount that is not split, kg N m-2
  real(wp), parameter :: first_dose = 0.2_wp  !! share of larger amounts that is given at sowing
  real(wp), parameter :: second_stage = 0.25_wp  !! share of the heat units at which the rest is given
  real(wp), parameter, public :: nitrate_share = 0.5_wp  !! of mineral fertiliser, the rest is ammonium
  real(wp), parameter, public :: manure_cn = 14.5_wp  !! carbon to nitrogen of manure, kg kg-1
  real(wp), parameter, public :: manure_ammonium = 2.0_wp / 3.0_wp  !! share of the nitrogen of manure
  real(wp), parameter :: longest_count = 365.0_wp  !! days since sowing that are counted
  ! tillage
  real(wp), parameter :: ploughed_depth = 0.26_wp  !! m
  real(wp), parameter :: incorporated = 0.95_wp  !! share of litter that ploughing spreads over its depth
  real(wp), parameter :: phase_end(3) = [15.0_wp, 45.0_wp, 75.0_wp]  !! days since sowing
  real(wp), parameter :: phase_factor(3) = [1.8_wp, 1.3_wp, 1.1_wp]  !! of decomposition
  ! grazing
  real(wp), parameter :: livestock_demand = 4.0_wp  !! of one livestock unit, kg C d-1
  real(wp), parameter :: most_grazed = 0.10_wp  !! share of leaves that animals can find in a day, d-1
  real(wp), parameter :: ungrazed = 0.005_wp  !! leaf carbon too close to the ground for bites (LPJmL), kg m-2
  real(wp), parameter, public :: grazing_respired = 0.50_wp, grazing_methane = 0.025_wp, grazing_excreted = 0.35_wp
  !! shares of the carbon eaten; the rest becomes products
  real(wp), parameter, public :: grazing_nitrogen_kept = 0.25_wp  !! share of the nitrogen eaten that leaves with products
  real(wp), parameter, public :: grazing_ammonium = 0.5_wp  !! two thirds of what is not kept
  ! mowing
  real(wp), parameter :: stubble = 0.5_wp  !! leaf area that is left, m2 m-2
  real(wp), parameter :: cut_pause = 25.0_wp  !! least time between two cuts, d
  real(wp), parameter, public :: mown_left = 0.10_wp  !! share of what is cut that stays as litter
  ! regrowth of what was grazed or mown
  real(wp), parameter :: regrowth_rate = 0.06_wp  !! relative growth of leaf area after a bite or cut, d-1: it doubles in
  !! 12 days; own choice, swards in their first weeks have 0.03 to 0.1
  real(wp), parameter :: mowing_temperature = freezing_point + 5.0_wp  !! ten-day mean above which is mown, K
  ! irrigation
  real(wp), parameter :: irrigated_stress = 0.95_wp  !! water stress factor below which is irrigated
  real(wp), parameter :: irrigated_steep = 3.0_wp  !! how much faster irrigation of a larger share ends; chosen so that the
  !! water of a season is in proportion to the share
  real(wp), parameter :: most_irrigation = 20.0_wp  !! kg m-2 d-1
  real(wp), parameter :: root_zone = 0.9_wp  !! share of roots above the depth to which water is replenished
  real(wp), parameter :: least_leaf_area = 0.1_wp  !! m2 m-2
  real(wp), parameter :: no_ice = 1.0e-3_wp  !! m3 m-3

contains

  subroutine remove_residue(n, residue_left, dead, removed)
    !! Of what dies above ground at harvest a share stays on the field, the rest is taken away.
    integer, intent(in) :: n  !! tiles
    real(wp), intent(in) :: residue_left(n)  !! share that stays, 0 to 1
    real(wp), intent(inout) :: dead(n, 6)  !! of labile, leaf, fine root, sapwood, heartwood, seed, kg m-2
    real(wp), intent(out) :: removed(n)  !! kg m-2
    integer :: i
    real(wp) :: share, first, second, third
    do i = 1, n
      share = 1.0_wp - residue_left(i)
      first = share * dead(i, plant_labile)
      second = share * dead(i, plant_leaf)
      third = share * dead(i, plant_seed)
      dead(i, plant_labile) = dead(i, plant_labile) - first
      dead(i, plant_leaf) = dead(i, plant_leaf) - second
      dead(i, plant_seed) = dead(i, plant_seed) - third
      removed(i) = first + second + third
    end do
  end subroutine remove_residue

  subroutine nutrient_day(n, n_memory, day, crop, growing, stage, sow, fertiliser, manure, memory, mineral, organic)
    !! Nitrogen brought today. Crops get it at sowing: that of a year, or of the days since the last sowing if these are
    !! fewer, so that two crops a year share it. Of more than 5 g m-2 a fifth is given, and the rest at a quarter of the
    !! heat units or when the crop ends before. All other vegetation gets it evenly through the year.
    integer, intent(in) :: n  !! tiles
    integer, intent(in) :: n_memory  !! length of the memory, 5
    real(wp), intent(in) :: day  !! length of the step, d
    real(wp), intent(in) :: crop(n)  !! 1: sown and harvested; 0: all the year
    real(wp), intent(in) :: growing(n)  !! 1: a crop stands at the end of the day
    real(wp), intent(in) :: stage(n)  !! its heat units over those of maturity
    real(wp), intent(in) :: sow(n)  !! 1: sown today
    real(wp), intent(in) :: fertiliser(n)  !! kg N m-2 yr-1
    real(wp), intent(in) :: manure(n)  !! kg N m-2 yr-1
    real(wp), intent(inout) :: memory(n, n_memory)  !! fertiliser and manure that wait (kg N m-2), days since sowing and
    !! since the last cut, both counted from 1 and 0 when they no longer matter or there was none, share of leaf area that is
    !! still missing after bites or cuts
    real(wp), intent(out) :: mineral(n)  !! fertiliser brought today, kg N m-2
    real(wp), intent(out) :: organic(n)  !! manure brought today, kg N m-2
    integer :: i, k
    real(wp) :: amount, dose, at_once, waits, given, even, since
    logical :: is_crop, sown, due
    do k = fertiliser_waits, manure_waits
      do i = 1, n
        is_crop = crop(i) > 0.5_wp
        sown = is_crop .and. sow(i) > 0.5_wp
        due = .not. is_crop .or. growing(i) < 0.5_wp .or. stage(i) >= second_stage
        amount = merge(fertiliser(i), manure(i), k == fertiliser_waits)
        even = merge(0.0_wp, day / 365.25_wp * amount, is_crop)
        since = memory(i, since_sowing)
        dose = merge(min(1.0_wp, (since - 1.0_wp + day) / longest_count), 1.0_wp, since > 0.0_wp) * amount
        at_once = merge(first_dose * dose, dose, dose > one_dose)
        at_once = merge(at_once, 0.0_wp, sown)
        ! what still waits of an earlier crop is given with the first dose
        given = merge(memory(i, k), 0.0_wp, due .or. sown)
        waits = memory(i, k) - given + merge(dose - at_once, 0.0_wp, sown)
        memory(i, k) = waits
        given = given + at_once + even
        if (k == fertiliser_waits) then
          mineral(i) = given
        else
          organic(i) = given
        end if
      end do
    end do
  end subroutine nutrient_day

  subroutine days_since_sowing(n, n_memory, day, sow, memory)
    !! The clock of fertiliser and tillage; after the doses of the day, which look back to the sowing before.
    integer, intent(in) :: n  !! tiles
    integer, intent(in) :: n_memory  !! length of the memory, 5
    real(wp), intent(in) :: day  !! length of the step, d
    real(wp), intent(in) :: sow(n)  !! 1: sown today
    real(wp), intent(inout) :: memory(n, n_memory)  !! of nutrient_day
    integer :: i
    real(wp) :: count
    do i = 1, n
      count = memory(i, since_sowing)
      count = merge(count + day, 0.0_wp, count > 0.0_wp .and. count < longest_count)
      memory(i, since_sowing) = merge(1.0_wp, count, sow(i) > 0.5_wp)
    end do
  end subroutine days_since_sowing

  subroutine tillage_day(n, n_memory, n_layer, thickness, memory, factor)
    !! How much faster ploughed soil decomposes, by days since sowing; a layer that is ploughed in part has its part.
    integer, intent(in) :: n  !! tiles
    integer, intent(in) :: n_memory  !! length of the memory, 5
    integer, intent(in) :: n_layer  !! layers
    real(wp), intent(in) :: thickness(n_layer)  !! m
    real(wp), intent(in) :: memory(n, n_memory)  !! of nutrient_day, with the day counted
    real(wp), intent(out) :: factor(n, n_layer)  !! multiplier of decomposition, 1 or more
    integer :: i, k
    real(wp) :: count, speed(n), share(n_layer)
    call ploughed_share(n_layer, thickness, share)
    do i = 1, n
      count = memory(i, since_sowing)
      speed(i) = merge(phase_factor(3), 1.0_wp, count > 0.0_wp .and. count <= phase_end(3))
      speed(i) = merge(phase_factor(2), speed(i), count > 0.0_wp .and. count <= phase_end(2))
      speed(i) = merge(phase_factor(1), speed(i), count > 0.0_wp .and. count <= phase_end(1))
    end do
    do k = 1, n_layer
      do i = 1, n
        factor(i, k) = 1.0_wp + share(k) * (speed(i) - 1.0_wp)
      end do
    end do
  end subroutine tillage_day

  subroutine plough(n, n_layer, n_pool, thickness, sow, carbon, down)
    !! On the day of sowing 95 % of the litter (not of coarse debris) in the ploughed depth is spread evenly over it.
    integer, intent(in) :: n  !! tiles
    integer, intent(in) :: n_layer  !! layers
    integer, intent(in) :: n_pool  !! pools, the first three are litter
    real(wp), intent(in) :: thickness(n_layer)  !! m
    real(wp), intent(in) :: sow(n)  !! 1: sown today
    real(wp), intent(inout) :: carbon(n, n_layer, n_pool)  !! carbon, nitrogen or isotope, kg m-2 per layer
    real(wp), intent(inout) :: down(n, n_layer - 1, n_pool)  !! what went down through the lower face of each layer less
    !! what went up, is added, kg m-2
    integer :: i, k, pool
    real(wp) :: share(n_layer), depth, taken, gained, moved(n), passed(n), tilled(n)
    call ploughed_share(n_layer, thickness, share)
    depth = sum(share * thickness)
    do i = 1, n
      tilled(i) = merge(incorporated, 0.0_wp, sow(i) > 0.5_wp)
    end do
    do pool = 1, n_litter
      moved(:) = 0.0_wp
      passed(:) = 0.0_wp
      do k = 1, n_layer
        do i = 1, n
          taken = tilled(i) * share(k) * carbon(i, k, pool)
          carbon(i, k, pool) = carbon(i, k, pool) - taken
          moved(i) = moved(i) + taken
          passed(i) = passed(i) + taken
        end do
        if (k < n_layer) down(:, k, pool) = down(:, k, pool) + passed
      end do
      passed(:) = 0.0_wp
      do k = 1, n_layer
        do i = 1, n
          gained = share(k) * thickness(k) / depth * moved(i)
          carbon(i, k, pool) = carbon(i, k, pool) + gained
          passed(i) = passed(i) + gained
        end do
        if (k < n_layer) down(:, k, pool) = down(:, k, pool) - passed
      end do
    end do
  end subroutine plough

  pure subroutine ploughed_share(n_layer, thickness, share)
    !! Share of each layer within the ploughed depth.
    integer, intent(in) :: n_layer  !! layers
    real(wp), intent(in) :: thickness(n_layer)  !! m
    real(wp), intent(out) :: share(n_layer)  !! 0 to 1
    integer :: k
    real(wp) :: top
    top = 0.0_wp
    do k = 1, n_layer
      share(k) = max(0.0_wp, min(1.0_wp, (ploughed_depth - top) / thickness(k)))
      top = top + thickness(k)
    end do
  end subroutine ploughed_share

  subroutine graze(n, day, livestock_density, woody, leaf_carbon, eaten_share)
    !! Share of the leaves that livestock eats: as much as it wants, but no more than a part of what there is.
    integer, intent(in) :: n  !! tiles
    real(wp), intent(in) :: day  !! length of the step, d
    real(wp), intent(in) :: livestock_density(n)  !! livestock units m-2
    real(wp), intent(in) :: woody(n)  !! 1: not eaten
    real(wp), intent(in) :: leaf_carbon(n)  !! kg m-2
    real(wp), intent(out) :: eaten_share(n)  !! 0 to 1
    integer :: i
    real(wp) :: wanted, found
    do i = 1, n
      wanted = livestock_demand * livestock_density(i) * day
      found = min(most_grazed * day * leaf_carbon(i), leaf_carbon(i) - ungrazed)
      found = merge(0.0_wp, max(0.0_wp, found), woody(i) > 0.5_wp)
      eaten_share(i) = min(wanted, found) / max(leaf_carbon(i), 1.0e-30_wp)
    end do
  end subroutine graze

  subroutine mow(n, n_memory, day, threshold, woody, temperature_10d, specific_leaf_area, leaf_carbon, memory, cut_share)
    !! Share of the leaves that is cut when leaf area exceeds a threshold in the growing season; not again for some weeks.
    integer, intent(in) :: n  !! tiles
    integer, intent(in) :: n_memory  !! length of the memory, 5
    real(wp), intent(in) :: day  !! length of the step, d
    real(wp), intent(in) :: threshold(n)  !! leaf area at which grass is cut, m2 m-2; 0: never
    real(wp), intent(in) :: woody(n)  !! 1: not cut
    real(wp), intent(in) :: temperature_10d(n)  !! running mean of air temperature over ten days, K
    real(wp), intent(in) :: specific_leaf_area(n)  !! m2 kg-1
    real(wp), intent(in) :: leaf_carbon(n)  !! kg m-2
    real(wp), intent(inout) :: memory(n, n_memory)  !! of nutrient_day
    real(wp), intent(out) :: cut_share(n)  !! 0 to 1
    integer :: i
    real(wp) :: area, count
    logical :: cut
    do i = 1, n
      area = specific_leaf_area(i) * leaf_carbon(i)
      count = memory(i, since_cut)
      count = merge(count + day, 0.0_wp, count > 0.0_wp .and. count < cut_pause)
      cut = threshold(i) > 0.0_wp .and. woody(i) < 0.5_wp .and. area > max(threshold(i), stubble) .and. count < 0.5_wp &
        .and. temperature_10d(i) > mowing_temperature
      memory(i, since_cut) = merge(1.0_wp, count, cut)
      cut_share(i) = merge(1.0_wp - stubble / max(area, stubble), 0.0_wp, cut)
    end do
  end subroutine mow

  subroutine regrowth_limit(n, n_memory, day, woody, leaf_area, memory, target_area)
    !! Leaf area that herbs aim at while they recover from bites or cuts: a share of what phenology aims at, which grows
    !! by a constant relative rate. Reserves would refill a canopy within two days. Never below the leaf area that
    !! stands, so that nothing is shed for it.
    integer, intent(in) :: n  !! tiles
    integer, intent(in) :: n_memory  !! length of the memory, 5
    real(wp), intent(in) :: day  !! length of the step, d
    real(wp), intent(in) :: woody(n)  !! 1: no limit
    real(wp), intent(in) :: leaf_area(n)  !! that stands, m2 m-2
    real(wp), intent(inout) :: memory(n, n_memory)  !! of nutrient_day
    real(wp), intent(inout) :: target_area(n)  !! of phenology in, m2 m-2
    integer :: i
    real(wp) :: share, target
    logical :: held
    do i = 1, n
      target = target_area(i)
      share = (1.0_wp - memory(i, regrowth)) * (1.0_wp + regrowth_rate * day)
      held = memory(i, regrowth) > 0.0_wp .and. woody(i) < 0.5_wp .and. share < 1.0_wp
      memory(i, regrowth) = merge(1.0_wp - share, 0.0_wp, held)
      target_area(i) = merge(min(target, max(share * target, leaf_area(i))), target, held)
    end do
  end subroutine regrowth_limit

  subroutine bitten(n, n_memory, cut, leaf_area, target_area, taken_share, memory)
    !! What bites and cuts leave of the leaf area that herbs aim at: a bite takes its share, after a cut it is what stands.
    integer, intent(in) :: n  !! tiles
    integer, intent(in) :: n_memory  !! length of the memory, 5
    logical, intent(in) :: cut  !! leaves are cut, not eaten
    real(wp), intent(in) :: leaf_area(n)  !! that is left, m2 m-2
    real(wp), intent(in) :: target_area(n)  !! of regrowth_limit, m2 m-2
    real(wp), intent(in) :: taken_share(n)  !! of the leaves, 0 to 1
    real(wp), intent(inout) :: memory(n, n_memory)  !! of nutrient_day
    integer :: i
    real(wp) :: share, left
    do i = 1, n
      left = 1.0_wp - taken_share(i)
      share = min(left, leaf_area(i) / max(target_area(i), 1.0e-6_wp))
      share = merge(share, left, cut) * (1.0_wp - memory(i, regrowth))
      memory(i, regrowth) = merge(1.0_wp - share, memory(i, regrowth), taken_share(i) > 0.0_wp)
    end do
  end subroutine bitten

  subroutine irrigation_demand(n, n_layer, thickness, root_share, liquid, ice, theta_sat, theta_res, alpha, vg_n, &
      field_capacity_head, surface_temperature, water_stress, evaporation, leaf_area, crop, growing, irrigated, held, &
      rate)
    !! Water that fills the root zone (down to 90 % of the roots) to field capacity, brought through the next day where
    !! plants grow and lack it and the surface is not frozen. An irrigated share below 1 gets its share of the water: in
    !! a day no more than evaporates beyond its part of the largest amount, for the deficit that is seen is that of the
    !! whole tile, and the less the closer the stress factor of the tile is to that of an unstressed share.
    integer, intent(in) :: n  !! tiles
    integer, intent(in) :: n_layer  !! layers
    real(wp), intent(in) :: thickness(n_layer)  !! m
    real(wp), intent(in) :: root_share(n, n_layer)  !! share of roots
    real(wp), intent(in) :: liquid(n, n_layer)  !! m3 m-3
    real(wp), intent(in) :: ice(n, n_layer)  !! m3 m-3
    real(wp), intent(in) :: theta_sat(n)  !! porosity, m3 m-3
    real(wp), intent(in) :: theta_res(n)  !! residual water, m3 m-3
    real(wp), intent(in) :: alpha(n)  !! of van Genuchten, m-1
    real(wp), intent(in) :: vg_n(n)  !! of van Genuchten
    real(wp), intent(in) :: field_capacity_head(n)  !! m, negative
    real(wp), intent(in) :: surface_temperature(n)  !! of the first layer, K
    real(wp), intent(in) :: water_stress(n)  !! 1: none
    real(wp), intent(in) :: evaporation(n)  !! potential, kg m-2 d-1
    real(wp), intent(in) :: leaf_area(n)  !! m2 m-2
    real(wp), intent(in) :: crop(n)  !! 1: sown and harvested
    real(wp), intent(in) :: growing(n)  !! 1: a crop stands
    real(wp), intent(in) :: irrigated(n)  !! share of the tile, 0 to 1
    real(wp), intent(in) :: held(n)  !! 1: the soil or the plants have water from outside already
    real(wp), intent(out) :: rate(n)  !! kg m-2 s-1
    integer :: i, k
    real(wp) :: lacking, share, most, stress, capacity(n), deficit(n), above(n)
    logical :: grows, thawed
    do i = 1, n
      capacity(i) = 1.0_wp + exp(vg_n(i) * log(alpha(i) * max(-field_capacity_head(i), 1.0e-6_wp)))
      capacity(i) = theta_res(i) + (theta_sat(i) - theta_res(i)) * exp((1.0_wp / vg_n(i) - 1.0_wp) * log(capacity(i)))
      deficit(i) = 0.0_wp
      above(i) = 0.0_wp
    end do
    do k = 1, n_layer
      do i = 1, n
        lacking = density_water * thickness(k) * max(0.0_wp, capacity(i) - liquid(i, k) - ice(i, k))
        deficit(i) = deficit(i) + merge(lacking, 0.0_wp, above(i) < root_zone)
        above(i) = above(i) + root_share(i, k)
      end do
    end do
    do i = 1, n
      grows = merge(growing(i), leaf_area(i) - least_leaf_area, crop(i) > 0.5_wp) > 0.0_wp
      thawed = surface_temperature(i) > freezing_point .and. ice(i, 1) < no_ice
      share = irrigated(i)
      most = most_irrigation * share + evaporation(i) * (1.0_wp - share)
      stress = max(0.0_wp, 1.0_wp - water_stress(i))
      lacking = share * min(most, deficit(i)) / seconds_per_day
      stress = max(1.0e-6_wp, min(1.0_wp, stress / (1.0_wp - irrigated_stress * share)))
      lacking = lacking * exp((1.0_wp + irrigated_steep * share) * log(stress))
      rate(i) = merge(lacking, 0.0_wp, grows .and. thawed .and. held(i) < 0.5_wp &
        .and. water_stress(i) < irrigated_stress)
    end do
  end subroutine irrigation_demand
end module concerto_management
