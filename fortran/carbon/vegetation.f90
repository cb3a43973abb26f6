module concerto_vegetation
  !! Carbon in plants: maintenance respiration of stems and fine roots (fast), and the daily step from the labile
  !! pool through
  !! growth, turnover, leaf shedding and mortality to litter. Pools kg C m-2 of tile: labile, leaf, fine root,
  !! sapwood (with
  !! coarse roots), heartwood, seed. Sources: Ryan (1991), CTSM (nitrogen-proportional respiration, growth
  !! respiration after
  !! Atkin et al. 2017), LPJmL and BiomeE (target-ratio allocation). All fluxes are computed first, then every pool
  !! is updated
  !! from them: carbon closes to round-off.
  use concerto_kinds, only: wp
  use concerto_constants, only: freezing_point, seconds_per_day
  implicit none
  private
  public :: maintenance_respiration, root_zone_mean, vegetation_daily, vegetation_start

  real(wp), parameter :: days_per_year = 365.25_wp
  real(wp), parameter :: supply_days = 5.0_wp  !! respiration is reduced when the labile pool lasts less than this, d
  real(wp), parameter :: leaf_root_share = 0.85_wp  !! largest share of general growth that leaves and roots get
  real(wp), parameter :: memory_days = 120.0_wp  !! growing days of the mean stress that roots respond to

contains

  subroutine maintenance_respiration(n, labile, fine_root, sapwood, leaf_respiration, air_temperature, &
    root_temperature, &
      root_respiration, sapwood_respiration, respiration_factor, root_cn, sapwood_cn, q10, &
      leaf, stem, root, supply)
    !! Maintenance respiration with pools held since the last daily step. If the labile pool would not last five
    !! days at
    !! this rate all parts are reduced in proportion before they are used.
    integer, intent(in) :: n  !! tiles
    real(wp), intent(in) :: labile(n)  !! labile carbon, kg m-2
    real(wp), intent(in) :: fine_root(n)  !! fine-root carbon, kg m-2
    real(wp), intent(in) :: sapwood(n)  !! sapwood carbon, kg m-2
    real(wp), intent(in) :: leaf_respiration(n)  !! leaf respiration demanded, kg m-2 s-1
    real(wp), intent(in) :: air_temperature(n)  !! temperature of stems, K
    real(wp), intent(in) :: root_temperature(n)  !! soil temperature weighted by the root profile, K
    real(wp), intent(in) :: root_respiration(n)  !! respiration of fine-root nitrogen at 20 degC, kg kg-1 s-1
    real(wp), intent(in) :: sapwood_respiration(n)  !! respiration of sapwood nitrogen at 20 degC, kg kg-1 s-1
    real(wp), intent(in) :: respiration_factor(n)  !! multiplier of both
    real(wp), intent(in) :: root_cn(n)  !! carbon to nitrogen of fine roots, kg kg-1
    real(wp), intent(in) :: sapwood_cn(n)  !! carbon to nitrogen of sapwood, kg kg-1
    real(wp), intent(in) :: q10(n)  !! factor per 10 K
    real(wp), intent(out) :: leaf(n)  !! leaf respiration paid, kg m-2 s-1
    real(wp), intent(out) :: stem(n)  !! sapwood respiration, kg m-2 s-1
    real(wp), intent(out) :: root(n)  !! fine-root respiration, kg m-2 s-1
    real(wp), intent(out) :: supply(n)  !! paid over demanded respiration, 0 to 1
    integer :: i
    real(wp) :: slope, stem_demand, root_demand, demand, share
    do i = 1, n
      slope = 0.1_wp * log(q10(i))
      stem_demand = sapwood(i) * sapwood_respiration(i) * respiration_factor(i) / sapwood_cn(i) &
        * exp(slope * (air_temperature(i) - freezing_point - 20.0_wp))
      root_demand = fine_root(i) * root_respiration(i) * respiration_factor(i) / root_cn(i) &
        * exp(slope * (root_temperature(i) - freezing_point - 20.0_wp))
      demand = stem_demand + root_demand + max(0.0_wp, leaf_respiration(i))
      share = min(1.0_wp, max(0.0_wp, labile(i)) / max(supply_days * seconds_per_day * demand, 1.0e-30_wp))
      leaf(i) = share * leaf_respiration(i)
      stem(i) = share * stem_demand
      root(i) = share * root_demand
      supply(i) = share
    end do
  end subroutine maintenance_respiration

  subroutine root_zone_mean(n, n_layer, root_share, value, mean)
    !! Mean of a soil variable weighted by the root profile.
    integer, intent(in) :: n  !! tiles
    integer, intent(in) :: n_layer  !! layers with roots
    real(wp), intent(in) :: root_share(n, n_layer)  !! share of roots by layer, sums to 1
    real(wp), intent(in) :: value(n, n_layer)  !! any unit
    real(wp), intent(out) :: mean(n)  !! unit of value
    integer :: i, layer
    mean(:) = 0.0_wp
    do layer = 1, n_layer
      do i = 1, n
        mean(i) = mean(i) + root_share(i, layer) * value(i, layer)
      end do
    end do
  end subroutine root_zone_mean

  subroutine vegetation_start(n, specific_leaf_area, maximum_leaf_area, woody, root_leaf_ratio, reserve_ratio, &
      leaf_area_target, labile, leaf, fine_root, sapwood, heartwood, seed, stress_memory)
    !! Pools of a new tile: leaves at their target, roots in ratio to full leaves, a reserve, and young wood.
    integer, intent(in) :: n  !! tiles
    real(wp), intent(in) :: specific_leaf_area(n)  !! m2 kg-1
    real(wp), intent(in) :: maximum_leaf_area(n)  !! m2 m-2
    real(wp), intent(in) :: woody(n)  !! 1: has wood
    real(wp), intent(in) :: root_leaf_ratio(n)  !! fine root over leaf carbon
    real(wp), intent(in) :: reserve_ratio(n)  !! reserve over carbon of full leaves
    real(wp), intent(in) :: leaf_area_target(n)  !! m2 m-2
    real(wp), intent(out) :: labile(n)  !! kg m-2
    real(wp), intent(out) :: leaf(n)  !! kg m-2
    real(wp), intent(out) :: fine_root(n)  !! kg m-2
    real(wp), intent(out) :: sapwood(n)  !! kg m-2
    real(wp), intent(out) :: heartwood(n)  !! kg m-2
    real(wp), intent(out) :: seed(n)  !! kg m-2
    real(wp), intent(out) :: stress_memory(n)  !! 1: no stress
    integer :: i
    real(wp) :: full
    do i = 1, n
      full = maximum_leaf_area(i) / specific_leaf_area(i)
      labile(i) = max(0.5_wp, reserve_ratio(i)) * full
      leaf(i) = leaf_area_target(i) / specific_leaf_area(i)
      fine_root(i) = 0.5_wp * root_leaf_ratio(i) * full
      sapwood(i) = 5.0_wp * woody(i) * full
      heartwood(i) = 0.0_wp
      seed(i) = 0.0_wp
      stress_memory(i) = 1.0_wp
    end do
  end subroutine vegetation_start

  subroutine vegetation_daily(n, time_step, air_temperature, water_stress, leaf_area_target, net_carbon, &
      specific_leaf_area, maximum_leaf_area, woody, root_leaf_ratio, labile_time, flush_time, shed_time, &
        reserve_ratio, &
      growth_fraction, seed_share, leaf_longevity, fine_root_longevity, sapwood_longevity, seed_longevity, mortality, &
      labile, leaf, fine_root, sapwood, heartwood, seed, stress_memory, &
      growth_respiration, litter_leaf, litter_fine_root, litter_wood, litter_seed, leaf_deficit, leaf_area)
    !! One daily step of plant carbon. The labile pool takes the day's GPP - respiration; a negative balance that it
    !! cannot pay
    !! is taken from living tissue. Then turnover and mortality, growth towards the targets, and shedding.
    integer, intent(in) :: n  !! tiles
    real(wp), intent(in) :: time_step  !! d
    real(wp), intent(in) :: air_temperature(n)  !! mean of the day, K
    real(wp), intent(in) :: water_stress(n)  !! mean of the day, 1: none
    real(wp), intent(in) :: leaf_area_target(n)  !! leaf area index aimed at, m2 m-2
    real(wp), intent(in) :: net_carbon(n)  !! GPP - maintenance respiration of the day, kg m-2
    real(wp), intent(in) :: specific_leaf_area(n)  !! m2 kg-1
    real(wp), intent(in) :: maximum_leaf_area(n)  !! largest leaf area index, sets the reserve, m2 m-2
    real(wp), intent(in) :: woody(n)  !! 1: has wood; 0: surplus goes to fine roots
    real(wp), intent(in) :: root_leaf_ratio(n)  !! target fine root over leaf carbon without stress
    real(wp), intent(in) :: labile_time(n)  !! residence time of labile carbon at 25 degC without stress, d
    real(wp), intent(in) :: flush_time(n)  !! time in which missing leaves may draw the labile pool, d; 0: at once
    real(wp), intent(in) :: shed_time(n)  !! time in which surplus leaves fall, d; 0: at once
    real(wp), intent(in) :: reserve_ratio(n)  !! labile carbon kept from wood and seed, over carbon of full leaves
    real(wp), intent(in) :: growth_fraction(n)  !! growth respiration per carbon built
    real(wp), intent(in) :: seed_share(n)  !! share of surplus growth that goes to seed
    real(wp), intent(in) :: leaf_longevity(n)  !! yr, besides shedding
    real(wp), intent(in) :: fine_root_longevity(n)  !! yr
    real(wp), intent(in) :: sapwood_longevity(n)  !! time from sapwood to heartwood, yr
    real(wp), intent(in) :: seed_longevity(n)  !! yr
    real(wp), intent(in) :: mortality(n)  !! sum of all hazards, yr-1
    real(wp), intent(inout) :: labile(n)  !! kg m-2
    real(wp), intent(inout) :: leaf(n)  !! kg m-2
    real(wp), intent(inout) :: fine_root(n)  !! kg m-2
    real(wp), intent(inout) :: sapwood(n)  !! kg m-2
    real(wp), intent(inout) :: heartwood(n)  !! kg m-2
    real(wp), intent(inout) :: seed(n)  !! kg m-2
    real(wp), intent(inout) :: stress_memory(n)  !! water stress factor averaged over growing days
    real(wp), intent(out) :: growth_respiration(n)  !! kg m-2 of the day
    real(wp), intent(out) :: litter_leaf(n)  !! kg m-2
    real(wp), intent(out) :: litter_fine_root(n)  !! kg m-2
    real(wp), intent(out) :: litter_wood(n)  !! sapwood and heartwood, kg m-2
    real(wp), intent(out) :: litter_seed(n)  !! seed, and the labile carbon of plants that died, kg m-2
    real(wp), intent(out) :: leaf_deficit(n)  !! leaf carbon that the target lacks, kg m-2
    real(wp), intent(out) :: leaf_area(n)  !! leaf area index of the leaf pool, m2 m-2
    integer :: i
    real(wp) :: celsius, warmth, stress, memory, balance, debt, paid, dead, per_year
    real(wp) :: from_leaf, from_root, from_sapwood, from_seed
    real(wp) :: leaf_kept, root_kept, sapwood_kept, seed_kept, available
    real(wp) :: leaf_dead, root_dead, sapwood_dead, heartwood_dead, seed_dead, labile_dead, heartwood_new
    real(wp) :: rate, speed, flush, missing_leaf, missing_root, missing, share, budget, leaf_target, reserve
    real(wp) :: general, germinated, most
    real(wp) :: leaf_built, root_built, surplus, seed_built, wood_built, spent, shed, cost
    do i = 1, n
      celsius = air_temperature(i) - freezing_point
      ! growth follows the temperature response of respiration (Heskel et al. 2016), 1 at 25 degC
      warmth = min(1.0_wp, exp(0.1012_wp * (celsius - 25.0_wp) - 0.0005_wp * (celsius * celsius - 625.0_wp)))
      stress = min(1.0_wp, max(0.0_wp, water_stress(i)))
      memory = stress_memory(i) + (1.0_wp - exp(-warmth * time_step / memory_days)) * (stress - stress_memory(i))
      per_year = time_step / days_per_year

      ! the day's balance; what the labile pool cannot pay comes from tissue (the margin keeps the pool from -1e-20)
      balance = labile(i) + net_carbon(i)
      debt = max(0.0_wp, -balance) * (1.0_wp + 1.0e-12_wp)
      paid = min(1.0_wp, debt / max(leaf(i) + fine_root(i) + sapwood(i) + seed(i), 1.0e-30_wp))
      from_leaf = paid * leaf(i)
      from_root = paid * fine_root(i)
      from_sapwood = paid * sapwood(i)
      from_seed = paid * seed(i)
      balance = balance + (from_leaf + from_root + from_sapwood + from_seed)
      available = max(0.0_wp, balance)

      ! mortality takes a share of everything, turnover (implicit) of what is left
      dead = 1.0_wp - exp(-mortality(i) * per_year)
      labile_dead = dead * available
      available = available - labile_dead
      heartwood_dead = dead * heartwood(i)
      leaf_kept = (leaf(i) - from_leaf) * (1.0_wp - dead) * (leaf_longevity(i) / (leaf_longevity(i) + per_year))
      root_kept = (fine_root(i) - from_root) * (1.0_wp - dead) * (fine_root_longevity(i) / (fine_root_longevity(i) &
        + per_year))
      seed_kept = (seed(i) - from_seed) * (1.0_wp - dead) * (seed_longevity(i) / (seed_longevity(i) + per_year))
      sapwood_dead = (sapwood(i) - from_sapwood) * dead
      sapwood_kept = (sapwood(i) - from_sapwood) - sapwood_dead
      heartwood_new = sapwood_kept * (per_year / (sapwood_longevity(i) + per_year))
      leaf_dead = (leaf(i) - from_leaf) - leaf_kept
      root_dead = (fine_root(i) - from_root) - root_kept
      seed_dead = (seed(i) - from_seed) - seed_kept

      ! growth of leaves and roots in proportion to what they miss, slower while the labile pool is below its reserve;
      ! leaves may draw the reserve when they flush
      rate = warmth * stress * time_step / labile_time(i)
      speed = rate / (1.0_wp + rate)
      flush = time_step / (time_step + flush_time(i))
      cost = 1.0_wp + growth_fraction(i)
      leaf_target = leaf_area_target(i) / specific_leaf_area(i)
      missing_leaf = max(0.0_wp, leaf_target - leaf_kept)
      missing_root = max(0.0_wp, root_leaf_ratio(i) * leaf_target / min(1.0_wp, max(0.3_wp, memory)) - root_kept)
      missing = missing_leaf + missing_root
      reserve = reserve_ratio(i) * maximum_leaf_area(i) / specific_leaf_area(i)
      ! herbs that miss most of their leaves and lack a reserve germinate: seed carbon returns to the labile pool
      germinated = (1.0_wp - woody(i)) * flush * min(seed_kept, max(0.0_wp, reserve - available))
      germinated = merge(germinated, 0.0_wp, missing_leaf > 0.5_wp * leaf_target)
      seed_kept = seed_kept - germinated
      available = available + germinated
      general = speed * available * min(1.0_wp, available / max(reserve, 1.0e-30_wp)) / cost
      budget = leaf_root_share * general
      most = available * (1.0_wp - 1.0e-12_wp) / cost
      share = min(1.0_wp, budget / max(missing, 1.0e-30_wp))
      leaf_built = share * missing_leaf
      root_built = share * missing_root
      leaf_built = leaf_built + min(missing_leaf - leaf_built, max(0.0_wp, flush * most - leaf_built - root_built))

      ! the rest goes to wood (herbs: fine roots) and seed: what growth takes from beyond the reserve, or the share
      ! that leaves and roots may not have; a flush may leave less
      surplus = max(speed * max(0.0_wp, available - reserve) / cost - leaf_built - root_built, &
        (1.0_wp - leaf_root_share) * general)
      surplus = max(0.0_wp, min(surplus, most - leaf_built - root_built))
      seed_built = seed_share(i) * surplus
      wood_built = woody(i) * (surplus - seed_built)
      root_built = root_built + (surplus - seed_built - wood_built)
      spent = leaf_built + root_built + wood_built + seed_built
      shed = max(0.0_wp, leaf_kept - leaf_target) * (time_step / (time_step + shed_time(i)))

      labile(i) = (balance - labile_dead) + germinated - spent - growth_fraction(i) * spent
      leaf(i) = leaf_kept + leaf_built - shed
      fine_root(i) = root_kept + root_built
      sapwood(i) = (sapwood_kept - heartwood_new) + wood_built
      heartwood(i) = (heartwood(i) - heartwood_dead) + heartwood_new
      seed(i) = seed_kept + seed_built
      stress_memory(i) = memory
      growth_respiration(i) = growth_fraction(i) * spent
      litter_leaf(i) = leaf_dead + shed
      litter_fine_root(i) = root_dead
      litter_wood(i) = sapwood_dead + heartwood_dead
      litter_seed(i) = seed_dead + labile_dead
      leaf_deficit(i) = max(0.0_wp, leaf_target - leaf(i))
      leaf_area(i) = specific_leaf_area(i) * leaf(i)
    end do
  end subroutine vegetation_daily
end module concerto_vegetation
