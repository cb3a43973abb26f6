module concerto_vegetation
  !! Carbon in plants: maintenance respiration of stems and fine roots (fast), and the daily step from the labile pool
  !! through growth, turnover, shedding and mortality to litter, as a table of fluxes between pools. Pools kg C m-2 of
  !! tile: labile, leaf, fine root, sapwood (with coarse roots), heartwood, seed. Sources: Ryan (1991), CTSM
  !! (nitrogen-proportional respiration, growth respiration after Atkin et al. 2017), Tjoelker et al. (2001), Lloyd &
  !! Taylor (1994), LPJmL and BiomeE (target-ratio allocation), Shinozaki et al. (1964; pipe model), CASA and CTSM
  !! (fixed fractions), Friedlingstein et al. (1999; resource limitation). All fluxes are computed first, then every
  !! pool is updated from them in the order of the table: carbon closes to round-off, and since each flux is a share
  !! of what the ones before it left, pools stay positive.
  use concerto_kinds, only: wp
  use concerto_constants, only: freezing_point, seconds_per_day
  use concerto_options, only: allocation_pipe_model, allocation_fixed, allocation_resource, maintenance_tjoelker, &
                              maintenance_lloyd_taylor, maintenance_acclimation_on
  implicit none
  private
  public :: maintenance_response, maintenance_respiration, root_zone_mean, vegetation_daily, vegetation_start
  public :: plant_labile, plant_leaf, plant_fine_root, plant_sapwood, plant_heartwood, plant_seed, n_plant_pool
  public :: to_litter_leaf, to_litter_fine_root, to_litter_wood, to_litter_seed, to_growth_respiration
  public :: flux_leaf_debt, flux_root_debt, flux_sapwood_debt, flux_seed_debt, flux_labile_mortality
  public :: flux_leaf_mortality, flux_root_mortality, flux_sapwood_mortality, flux_heartwood_mortality
  public :: flux_seed_mortality, flux_leaf_turnover, flux_root_turnover, flux_sapwood_turnover, flux_seed_turnover
  public :: flux_heartwood_formation, flux_germination, flux_leaf_growth, flux_root_growth, flux_sapwood_growth
  public :: flux_seed_growth, flux_growth_respiration, n_plant_flux, flux_donor, flux_receiver

  ! pools, in the order of carbon(n, 6) and nitrogen(n, 6)
  integer, parameter :: plant_labile = 1, plant_leaf = 2, plant_fine_root = 3, plant_sapwood = 4, plant_heartwood = 5
  integer, parameter :: plant_seed = 6, n_plant_pool = 6
  ! receivers outside the plant
  integer, parameter :: to_litter_leaf = 7, to_litter_fine_root = 8, to_litter_wood = 9, to_litter_seed = 10
  integer, parameter :: to_growth_respiration = 11
  ! fluxes, in the order in which they act
  integer, parameter :: flux_leaf_debt = 1  !! leaf carbon that pays respiration
  integer, parameter :: flux_root_debt = 2  !! likewise fine roots
  integer, parameter :: flux_sapwood_debt = 3  !! likewise sapwood
  integer, parameter :: flux_seed_debt = 4  !! likewise seed
  integer, parameter :: flux_labile_mortality = 5  !! labile carbon of plants that died
  integer, parameter :: flux_leaf_mortality = 6  !! leaves of plants that died, and damaged leaves
  integer, parameter :: flux_root_mortality = 7  !! fine roots of plants that died
  integer, parameter :: flux_sapwood_mortality = 8  !! sapwood of plants that died
  integer, parameter :: flux_heartwood_mortality = 9  !! heartwood of plants that died
  integer, parameter :: flux_seed_mortality = 10  !! seed of plants that died
  integer, parameter :: flux_leaf_turnover = 11  !! old leaves and shed leaves
  integer, parameter :: flux_root_turnover = 12  !! old fine roots
  integer, parameter :: flux_sapwood_turnover = 13  !! branches and coarse roots
  integer, parameter :: flux_seed_turnover = 14  !! fallen seed and reproductive tissue
  integer, parameter :: flux_heartwood_formation = 15  !! sapwood to heartwood
  integer, parameter :: flux_germination = 16  !! seed to labile
  integer, parameter :: flux_leaf_growth = 17  !! labile to leaf
  integer, parameter :: flux_root_growth = 18  !! labile to fine root
  integer, parameter :: flux_sapwood_growth = 19  !! labile to sapwood
  integer, parameter :: flux_seed_growth = 20  !! labile to seed
  integer, parameter :: flux_growth_respiration = 21  !! labile to the air
  integer, parameter :: n_plant_flux = 21
  integer, parameter :: flux_donor(n_plant_flux) = [ &
    plant_leaf, plant_fine_root, plant_sapwood, plant_seed, plant_labile, plant_leaf, plant_fine_root, &
    plant_sapwood, plant_heartwood, plant_seed, plant_leaf, plant_fine_root, plant_sapwood, plant_seed, &
    plant_sapwood, plant_seed, plant_labile, plant_labile, plant_labile, plant_labile, plant_labile]
  integer, parameter :: flux_receiver(n_plant_flux) = [ &
    plant_labile, plant_labile, plant_labile, plant_labile, to_litter_seed, to_litter_leaf, to_litter_fine_root, &
    to_litter_wood, to_litter_wood, to_litter_seed, to_litter_leaf, to_litter_fine_root, to_litter_wood, &
    to_litter_seed, plant_heartwood, plant_labile, plant_leaf, plant_fine_root, plant_sapwood, plant_seed, &
    to_growth_respiration]

  real(wp), parameter :: days_per_year = 365.25_wp
  real(wp), parameter :: supply_days = 5.0_wp  !! respiration is reduced when the labile pool lasts less than this, d
  real(wp), parameter :: leaf_root_share = 0.85_wp  !! largest share of general growth that leaves and roots get
  real(wp), parameter :: memory_days = 120.0_wp  !! growing days of the mean stress that roots respond to
  real(wp), parameter :: closed_size = 14.0_wp  !! carbon of trees over that of full leaves when the canopy closes
  real(wp), parameter :: vanishing = 1.0e-100_wp  !! kg m-2
  real(wp), parameter :: margin = 1.0e-12_wp  !! keeps rounding from making the labile pool negative
  real(wp), parameter :: coarse_root_ratio = 0.3_wp  !! coarse roots over stems of fixed allocation (CTSM)
  real(wp), parameter :: least_resource = 0.1_wp  !! floor of light, water and nitrogen (Friedlingstein et al. 1999)

contains

  subroutine maintenance_response(n, maintenance, acclimation, temperature, q10, temperature_10d, response)
    !! Temperature response of maintenance respiration, 1 at 20 degC. Both the fast step and the daily means that the
    !! carbon step works with take it from here.
    integer, intent(in) :: n  !! tiles
    integer, intent(in) :: maintenance  !! option maintenance
    integer, intent(in) :: acclimation  !! option maintenance_acclimation
    real(wp), intent(in) :: temperature(n)  !! of the tissue, K
    real(wp), intent(in) :: q10(n)  !! factor per 10 K
    real(wp), intent(in) :: temperature_10d(n)  !! mean air temperature of about ten days, K
    real(wp), intent(out) :: response(n)  !! rate over the rate at 20 degC
    integer :: i
    real(wp) :: warm
    select case (maintenance)
    case (maintenance_tjoelker)
      ! Q10 falls with the mean of the temperature and the reference
      do i = 1, n
        warm = temperature(i) - freezing_point - 20.0_wp
        response(i) = exp(0.1_wp * warm * log(max(0.5_wp, 3.09_wp - 0.043_wp * (20.0_wp + 0.5_wp * warm))))
      end do
    case (maintenance_lloyd_taylor)
      do i = 1, n
        response(i) = exp(308.56_wp * (1.0_wp / (freezing_point + 20.0_wp - 227.13_wp) &
                                       - 1.0_wp / max(5.0_wp, temperature(i) - 227.13_wp)))
      end do
    case default
      do i = 1, n
        response(i) = exp(0.1_wp * log(q10(i)) * (temperature(i) - freezing_point - 20.0_wp))
      end do
    end select
    if (acclimation == maintenance_acclimation_on) then
      ! 10**(-0.00794 (T - 25 degC)), Atkin et al. (2008) in the form of CTSM
      do i = 1, n
        response(i) = response(i) * exp(-0.00794_wp * log(10.0_wp) * (temperature_10d(i) - freezing_point - 25.0_wp))
      end do
    end if
  end subroutine maintenance_response

  subroutine maintenance_respiration(n, labile, fine_root, sapwood, leaf_respiration, stem_response, root_response, &
      root_respiration, sapwood_respiration, respiration_factor, root_cn, sapwood_cn, leaf, stem, root, supply)
    !! Maintenance respiration with pools held since the last daily step. If the labile pool would not last five
    !! days at this rate all parts are reduced in proportion before they are used.
    integer, intent(in) :: n  !! tiles
    real(wp), intent(in) :: labile(n)  !! labile carbon, kg m-2
    real(wp), intent(in) :: fine_root(n)  !! fine-root carbon, kg m-2
    real(wp), intent(in) :: sapwood(n)  !! sapwood carbon, kg m-2
    real(wp), intent(in) :: leaf_respiration(n)  !! leaf respiration demanded, kg m-2 s-1
    real(wp), intent(in) :: stem_response(n)  !! maintenance_response of the air temperature
    real(wp), intent(in) :: root_response(n)  !! maintenance_response of the soil temperature weighted by roots
    real(wp), intent(in) :: root_respiration(n)  !! respiration of fine-root nitrogen at 20 degC, kg kg-1 s-1
    real(wp), intent(in) :: sapwood_respiration(n)  !! respiration of sapwood nitrogen at 20 degC, kg kg-1 s-1
    real(wp), intent(in) :: respiration_factor(n)  !! multiplier of both
    real(wp), intent(in) :: root_cn(n)  !! carbon to nitrogen of fine roots, kg kg-1
    real(wp), intent(in) :: sapwood_cn(n)  !! carbon to nitrogen of sapwood, kg kg-1
    real(wp), intent(out) :: leaf(n)  !! leaf respiration paid, kg m-2 s-1
    real(wp), intent(out) :: stem(n)  !! sapwood respiration, kg m-2 s-1
    real(wp), intent(out) :: root(n)  !! fine-root respiration, kg m-2 s-1
    real(wp), intent(out) :: supply(n)  !! paid over demanded respiration, 0 to 1
    integer :: i
    real(wp) :: stem_demand, root_demand, demand, share
    do i = 1, n
      stem_demand = sapwood(i) * sapwood_respiration(i) * respiration_factor(i) / sapwood_cn(i) * stem_response(i)
      root_demand = fine_root(i) * root_respiration(i) * respiration_factor(i) / root_cn(i) * root_response(i)
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
      leaf_area_target, carbon, stress_memory)
    !! Pools of a new tile: leaves at their target, roots in ratio to full leaves, a reserve, and the wood of a stand
    !! that has just closed.
    integer, intent(in) :: n  !! tiles
    real(wp), intent(in) :: specific_leaf_area(n)  !! m2 kg-1
    real(wp), intent(in) :: maximum_leaf_area(n)  !! m2 m-2
    real(wp), intent(in) :: woody(n)  !! 1: has wood
    real(wp), intent(in) :: root_leaf_ratio(n)  !! fine root over leaf carbon
    real(wp), intent(in) :: reserve_ratio(n)  !! reserve over carbon of full leaves
    real(wp), intent(in) :: leaf_area_target(n)  !! m2 m-2
    real(wp), intent(out) :: carbon(n, 6)  !! labile, leaf, fine root, sapwood, heartwood, seed, kg m-2
    real(wp), intent(out) :: stress_memory(n)  !! 1: no stress
    integer :: i
    real(wp) :: full
    do i = 1, n
      full = maximum_leaf_area(i) / specific_leaf_area(i)
      carbon(i, plant_labile) = max(0.5_wp, reserve_ratio(i)) * full
      carbon(i, plant_leaf) = leaf_area_target(i) / specific_leaf_area(i)
      carbon(i, plant_fine_root) = 0.5_wp * root_leaf_ratio(i) * full
      carbon(i, plant_sapwood) = closed_size * woody(i) * full
      carbon(i, plant_heartwood) = 0.0_wp
      carbon(i, plant_seed) = 0.0_wp
      stress_memory(i) = 1.0_wp
    end do
  end subroutine vegetation_start

  subroutine vegetation_daily(n, allocation, time_step, air_temperature, water_stress, leaf_area_target, net_carbon, &
      nitrogen_supply, annual_npp, mortality, leaf_damage, specific_leaf_area, maximum_leaf_area, woody, &
      root_leaf_ratio, labile_time, flush_time, shed_time, reserve_ratio, growth_fraction, seed_share, &
      leaf_longevity, fine_root_longevity, sapwood_longevity, branch_longevity, seed_longevity, leaf_cn, root_cn, &
      sapwood_cn, seed_cn, canopy_height, wood_density, leaf_sapwood_area, stem_leaf_ratio, carbon, stress_memory, &
      flux, growth_respiration, growth_nitrogen, litter_leaf, litter_fine_root, litter_wood, litter_seed, &
      leaf_deficit, leaf_area)
    !! One daily step of plant carbon. The labile pool takes the day's GPP - respiration; a negative balance that it
    !! cannot pay is taken from living tissue. Then mortality and turnover, growth towards the targets or by shares,
    !! and shedding. If nitrogen is short all growth is scaled by one ratio and the carbon stays labile.
    integer, intent(in) :: n  !! tiles
    integer, intent(in) :: allocation  !! option allocation
    real(wp), intent(in) :: time_step  !! d
    real(wp), intent(in) :: air_temperature(n)  !! mean of the day, K
    real(wp), intent(in) :: water_stress(n)  !! mean of the day, 1: none
    real(wp), intent(in) :: leaf_area_target(n)  !! leaf area index aimed at, m2 m-2
    real(wp), intent(in) :: net_carbon(n)  !! GPP - maintenance respiration of the day, kg m-2
    real(wp), intent(in) :: nitrogen_supply(n)  !! nitrogen that growth may use, kg m-2; huge: no limit
    real(wp), intent(in) :: annual_npp(n)  !! mean NPP of about a year (option fixed), kg m-2 yr-1
    real(wp), intent(in) :: mortality(n)  !! sum of all hazards, yr-1
    real(wp), intent(in) :: leaf_damage(n)  !! share of leaves lost on this day besides, 0 to 1
    real(wp), intent(in) :: specific_leaf_area(n)  !! m2 kg-1
    real(wp), intent(in) :: maximum_leaf_area(n)  !! largest leaf area index, sets reserve and size when closed, m2 m-2
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
    real(wp), intent(in) :: branch_longevity(n)  !! time from sapwood to litter of branches and coarse roots, yr
    real(wp), intent(in) :: seed_longevity(n)  !! yr
    real(wp), intent(in) :: leaf_cn(n)  !! carbon to nitrogen of new leaves, kg kg-1
    real(wp), intent(in) :: root_cn(n)  !! carbon to nitrogen of new fine roots, kg kg-1
    real(wp), intent(in) :: sapwood_cn(n)  !! carbon to nitrogen of new sapwood, kg kg-1
    real(wp), intent(in) :: seed_cn(n)  !! carbon to nitrogen of new seed, kg kg-1
    real(wp), intent(in) :: canopy_height(n)  !! height (option pipe_model), m
    real(wp), intent(in) :: wood_density(n)  !! carbon in wood (option pipe_model), kg m-3
    real(wp), intent(in) :: leaf_sapwood_area(n)  !! leaf area over sapwood area (option pipe_model), m2 m-2
    real(wp), intent(in) :: stem_leaf_ratio(n)  !! new stem over new leaf (option fixed); below 0: grows with NPP
    real(wp), intent(inout) :: carbon(n, 6)  !! labile, leaf, fine root, sapwood, heartwood, seed, kg m-2
    real(wp), intent(inout) :: stress_memory(n)  !! water stress factor averaged over growing days
    real(wp), intent(out) :: flux(n, 21)  !! fluxes in the order of flux_donor and flux_receiver, kg m-2
    real(wp), intent(out) :: growth_respiration(n)  !! kg m-2 of the day
    real(wp), intent(out) :: growth_nitrogen(n)  !! nitrogen that growth would use without a limit, kg m-2 of the day
    real(wp), intent(out) :: litter_leaf(n)  !! kg m-2
    real(wp), intent(out) :: litter_fine_root(n)  !! kg m-2
    real(wp), intent(out) :: litter_wood(n)  !! sapwood and heartwood, kg m-2
    real(wp), intent(out) :: litter_seed(n)  !! seed, and the labile carbon of plants that died, kg m-2
    real(wp), intent(out) :: leaf_deficit(n)  !! leaf carbon that the target lacks, kg m-2
    real(wp), intent(out) :: leaf_area(n)  !! leaf area index of the leaf pool, m2 m-2
    integer :: i
    real(wp) :: celsius, warmth, stress, memory, balance, debt, paid, dead, per_year, lost
    real(wp) :: leaf, root, sapwood, heartwood, seed, target, left, rate, ratio, spent, shed, full
    real(wp) :: leaf_built, root_built, wood_built, seed_built
    real(wp), dimension(n) :: available, labile_left, leaf_target, leaf_kept, missing_leaf, missing_root, &
        reserve, speed, &
                              flush, cost
    per_year = time_step / days_per_year

    ! the columns of pools and fluxes do not overlap
    !GCC$ ivdep
    do i = 1, n
      celsius = air_temperature(i) - freezing_point
      ! growth follows the temperature response of respiration (Heskel et al. 2016), 1 at 25 degC
      warmth = min(1.0_wp, exp(0.1012_wp * (celsius - 25.0_wp) - 0.0005_wp * (celsius * celsius - 625.0_wp)))
      stress = min(1.0_wp, max(0.0_wp, water_stress(i)))
      memory = stress_memory(i) + (1.0_wp - exp(-warmth * time_step / memory_days)) * (stress - stress_memory(i))
      stress_memory(i) = memory

      ! the day's balance; what the labile pool cannot pay comes from tissue (the margin keeps the pool from -1e-20)
      leaf = carbon(i, plant_leaf)
      root = carbon(i, plant_fine_root)
      sapwood = carbon(i, plant_sapwood)
      heartwood = carbon(i, plant_heartwood)
      seed = carbon(i, plant_seed)
      balance = carbon(i, plant_labile) + net_carbon(i)
      debt = max(0.0_wp, -balance) * (1.0_wp + margin)
      paid = min(1.0_wp, debt / max(leaf + root + sapwood + seed, 1.0e-30_wp))
      flux(i, flux_leaf_debt) = paid * leaf
      flux(i, flux_root_debt) = paid * root
      flux(i, flux_sapwood_debt) = paid * sapwood
      flux(i, flux_seed_debt) = paid * seed
      balance = balance + (paid * leaf + paid * root + paid * sapwood + paid * seed)
      leaf = leaf - paid * leaf
      root = root - paid * root
      sapwood = sapwood - paid * sapwood
      seed = seed - paid * seed

      ! mortality takes a share of everything, turnover (implicit) of what is left
      dead = 1.0_wp - exp(-mortality(i) * per_year)
      left = max(0.0_wp, balance)
      flux(i, flux_labile_mortality) = dead * left
      labile_left(i) = balance - dead * left
      left = left - dead * left
      lost = dead * leaf
      lost = lost + min(1.0_wp, max(0.0_wp, leaf_damage(i))) * (leaf - lost)
      flux(i, flux_leaf_mortality) = lost
      flux(i, flux_root_mortality) = dead * root
      flux(i, flux_sapwood_mortality) = dead * sapwood
      flux(i, flux_heartwood_mortality) = dead * heartwood
      flux(i, flux_seed_mortality) = dead * seed
      leaf = leaf - lost
      root = root - dead * root
      sapwood = sapwood - dead * sapwood
      heartwood = heartwood - dead * heartwood
      seed = seed - dead * seed
      lost = leaf * (per_year / (leaf_longevity(i) + per_year))
      flux(i, flux_leaf_turnover) = lost
      leaf = leaf - lost
      lost = root * (per_year / (fine_root_longevity(i) + per_year))
      flux(i, flux_root_turnover) = lost
      root = root - lost
      lost = seed * (per_year / (seed_longevity(i) + per_year))
      flux(i, flux_seed_turnover) = lost
      seed = seed - lost
      ! sapwood leaves two ways in one implicit step
      ratio = sapwood_longevity(i) / branch_longevity(i)
      rate = sapwood * (per_year / (sapwood_longevity(i) + per_year * (1.0_wp + ratio)))
      flux(i, flux_sapwood_turnover) = rate * ratio
      flux(i, flux_heartwood_formation) = rate
      sapwood = (sapwood - rate * ratio) - rate
      heartwood = heartwood + rate

      ! what leaves and roots miss. Herbs that miss most of their leaves and lack a reserve germinate: seed carbon
      ! returns to the labile pool
      rate = warmth * stress * time_step / labile_time(i)
      speed(i) = rate / (1.0_wp + rate)
      rate = time_step / (time_step + flush_time(i))
      flush(i) = rate
      cost(i) = 1.0_wp + growth_fraction(i)
      target = leaf_area_target(i) / specific_leaf_area(i)
      leaf_target(i) = target
      ! young trees cannot carry the leaves and reserve of a closed stand: what they can follows their size to the
      ! power 3/4 (Enquist & Niklas 2002). The share is exactly 1 for closed stands, herbs and leaf area from outside
      full = maximum_leaf_area(i) / specific_leaf_area(i)
      spent = ((left + leaf) + (root + sapwood)) + (heartwood + seed)
      ratio = sqrt(min(1.0_wp, spent / max(closed_size * full, 1.0e-30_wp)))
      ratio = merge(ratio * sqrt(ratio), 1.0_wp, woody(i) > 0.5_wp .and. flush_time(i) > 0.0_wp)
      target = min(target, ratio * max(target, full))
      lost = max(0.0_wp, target - leaf)
      missing_leaf(i) = lost
      missing_root(i) = max(0.0_wp, root_leaf_ratio(i) * target / min(1.0_wp, max(0.3_wp, memory)) - root)
      reserve(i) = ratio * (reserve_ratio(i) * maximum_leaf_area(i) / specific_leaf_area(i))
      rate = (1.0_wp - woody(i)) * rate * min(seed, max(0.0_wp, reserve(i) - left))
      rate = merge(rate, 0.0_wp, lost > 0.5_wp * target)
      flux(i, flux_germination) = rate
      seed = seed - rate
      available(i) = left + rate
      labile_left(i) = labile_left(i) + rate

      leaf_kept(i) = leaf
      carbon(i, plant_leaf) = leaf
      carbon(i, plant_fine_root) = root
      carbon(i, plant_sapwood) = sapwood
      carbon(i, plant_heartwood) = heartwood
      carbon(i, plant_seed) = seed
    end do

    select case (allocation)
    case (allocation_fixed)
      call fixed_growth(n, annual_npp, woody, root_leaf_ratio, stem_leaf_ratio, seed_share, available, leaf_target, &
                        missing_leaf, reserve, speed, flush, cost, flux)
    case (allocation_resource)
      call resource_growth(n, nitrogen_supply, woody, seed_share, specific_leaf_area, leaf_cn, root_cn, sapwood_cn, &
                           stress_memory, available, leaf_target, leaf_kept, missing_leaf, reserve, speed, flush, &
                           cost, flux)
    case default
      call target_growth(n, allocation, maximum_leaf_area, canopy_height, wood_density, leaf_sapwood_area, woody, &
                         seed_share, available, missing_leaf, missing_root, carbon(1, plant_sapwood), reserve, speed, &
                         flush, cost, flux)
    end select

    !GCC$ ivdep
    do i = 1, n
      leaf_built = flux(i, flux_leaf_growth)
      root_built = flux(i, flux_root_growth)
      wood_built = flux(i, flux_sapwood_growth)
      seed_built = flux(i, flux_seed_growth)
      left = leaf_built / leaf_cn(i) + root_built / root_cn(i) + wood_built / sapwood_cn(i) + seed_built / seed_cn(i)
      growth_nitrogen(i) = left
      ratio = min(1.0_wp, max(0.0_wp, nitrogen_supply(i)) / max(left, 1.0e-30_wp))
      leaf_built = ratio * leaf_built
      root_built = ratio * root_built
      wood_built = ratio * wood_built
      seed_built = ratio * seed_built
      flux(i, flux_leaf_growth) = leaf_built
      flux(i, flux_root_growth) = root_built
      flux(i, flux_sapwood_growth) = wood_built
      flux(i, flux_seed_growth) = seed_built
      spent = leaf_built + root_built + wood_built + seed_built
      rate = growth_fraction(i) * spent
      flux(i, flux_growth_respiration) = rate
      growth_respiration(i) = rate
      leaf = leaf_kept(i)
      shed = max(0.0_wp, leaf - leaf_target(i)) * (time_step / (time_step + shed_time(i)))
      lost = flux(i, flux_leaf_turnover) + shed
      flux(i, flux_leaf_turnover) = lost

      ! an emptied pool ends at numbers that have lost their digits, of either sign
      left = labile_left(i) - spent - rate
      carbon(i, plant_labile) = merge(0.0_wp, left, abs(left) < vanishing)
      leaf = (leaf - shed) + leaf_built
      carbon(i, plant_leaf) = leaf
      carbon(i, plant_fine_root) = carbon(i, plant_fine_root) + root_built
      carbon(i, plant_sapwood) = carbon(i, plant_sapwood) + wood_built
      carbon(i, plant_seed) = carbon(i, plant_seed) + seed_built
      litter_leaf(i) = flux(i, flux_leaf_mortality) + lost
      litter_fine_root(i) = flux(i, flux_root_mortality) + flux(i, flux_root_turnover)
      litter_wood(i) = flux(i, flux_sapwood_mortality) + flux(i, flux_sapwood_turnover) + flux(i, &
          flux_heartwood_mortality)
      litter_seed(i) = flux(i, flux_seed_mortality) + flux(i, flux_seed_turnover) + flux(i, flux_labile_mortality)
      leaf_deficit(i) = max(0.0_wp, leaf_target(i) - leaf)
      leaf_area(i) = specific_leaf_area(i) * leaf
    end do
  end subroutine vegetation_daily

  subroutine target_growth(n, allocation, maximum_leaf_area, canopy_height, wood_density, leaf_sapwood_area, woody, &
      seed_share, available, missing_leaf, missing_root, sapwood, reserve, speed, flush, cost, flux)
    !! Growth towards target ratios: leaves and roots in proportion to what they miss, slower while the labile pool is
    !! below its reserve; leaves may draw the reserve when they flush. Of young trees all three are those of plants of
    !! their size, so that they grow by a share of what they are. The rest goes to wood and seed; with the pipe model
    !! wood that full leaves need comes before seed.
    integer, intent(in) :: n, allocation
    real(wp), dimension(n), intent(in) :: maximum_leaf_area, canopy_height, wood_density, leaf_sapwood_area, woody
    real(wp), dimension(n), intent(in) :: seed_share, available, missing_leaf, missing_root, sapwood, reserve, &
        speed, flush
    real(wp), dimension(n), intent(in) :: cost
    real(wp), intent(inout) :: flux(n, n_plant_flux)
    integer :: i
    real(wp) :: general, budget, most, share, leaf_built, root_built, surplus, seed_built, wood_built, lacking
    real(wp) :: pipe(n)
    pipe(:) = 0.0_wp
    if (allocation == allocation_pipe_model) then
      do i = 1, n
        pipe(i) = woody(i) * max(0.0_wp, maximum_leaf_area(i) * canopy_height(i) * wood_density(i) &
                                         / max(leaf_sapwood_area(i), 1.0_wp) - sapwood(i))
      end do
    end if
    do i = 1, n
      general = speed(i) * available(i) * min(1.0_wp, available(i) / max(reserve(i), 1.0e-30_wp)) / cost(i)
      budget = leaf_root_share * general
      most = available(i) * (1.0_wp - margin) / cost(i)
      share = min(1.0_wp, budget / max(missing_leaf(i) + missing_root(i), 1.0e-30_wp))
      leaf_built = share * missing_leaf(i)
      root_built = share * missing_root(i)
      leaf_built = leaf_built + min(missing_leaf(i) - leaf_built, max(0.0_wp, &
          flush(i) * most - leaf_built - root_built))

      ! the rest goes to wood (herbs: fine roots) and seed: what growth takes from beyond the reserve, or the share
      ! that leaves and roots may not have; a flush may leave less
      surplus = max(speed(i) * max(0.0_wp, available(i) - reserve(i)) / cost(i) - leaf_built - root_built, &
                    (1.0_wp - leaf_root_share) * general)
      surplus = max(0.0_wp, min(surplus, most - leaf_built - root_built))
      lacking = min(pipe(i), surplus)
      seed_built = seed_share(i) * (surplus - lacking)
      wood_built = woody(i) * (surplus - seed_built)
      root_built = root_built + (surplus - seed_built - wood_built)
      flux(i, flux_leaf_growth) = leaf_built
      flux(i, flux_root_growth) = root_built
      flux(i, flux_sapwood_growth) = wood_built
      flux(i, flux_seed_growth) = seed_built
    end do
  end subroutine target_growth

  subroutine fixed_growth(n, annual_npp, woody, root_leaf_ratio, stem_leaf_ratio, seed_share, available, leaf_target, &
      missing_leaf, reserve, speed, flush, cost, flux)
    !! Growth by fixed ratios of new root, stem and coarse root to new leaf. Leaves beyond the target are shed.
    integer, intent(in) :: n
    real(wp), dimension(n), intent(in) :: annual_npp, woody, root_leaf_ratio, stem_leaf_ratio, seed_share, available
    real(wp), dimension(n), intent(in) :: leaf_target, missing_leaf, reserve, speed, flush, cost
    real(wp), intent(inout) :: flux(n, n_plant_flux)
    integer :: i
    real(wp) :: total, given, dynamic, stem, leaf_share
    do i = 1, n
      ! CTSM: 2.7 / (1 + exp(-0.004 (NPP - 300))) - 0.4 with NPP in g m-2 yr-1
      given = stem_leaf_ratio(i)
      dynamic = 2.7_wp / (1.0_wp + exp(-min(700.0_wp, max(-700.0_wp, 4.0_wp * (annual_npp(i) - 0.3_wp))))) - 0.4_wp
      given = merge(max(0.0_wp, dynamic), given, given < 0.0_wp)
      stem = woody(i) * given * (1.0_wp + coarse_root_ratio)
      leaf_share = 1.0_wp / (1.0_wp + root_leaf_ratio(i) + stem)
      total = total_growth(available(i), reserve(i), speed(i), cost(i))
      call share_growth(total, leaf_share, leaf_share * root_leaf_ratio(i), leaf_share * stem * seed_share(i), &
                        leaf_share * stem * (1.0_wp - seed_share(i)), available(i), leaf_target(i), missing_leaf(i), &
                        flush(i), cost(i), flux(i, flux_leaf_growth), flux(i, flux_root_growth), &
                        flux(i, flux_seed_growth), flux(i, flux_sapwood_growth))
    end do
  end subroutine fixed_growth

  subroutine resource_growth(n, nitrogen_supply, woody, seed_share, specific_leaf_area, leaf_cn, root_cn, sapwood_cn, &
      stress_memory, available, leaf_target, leaf_kept, missing_leaf, reserve, speed, flush, cost, flux)
    !! Growth by resources (Friedlingstein et al. 1999): scarce water or nitrogen favours roots, scarce light stems.
    integer, intent(in) :: n
    real(wp), dimension(n), intent(in) :: nitrogen_supply, woody, seed_share, specific_leaf_area, leaf_cn, root_cn
    real(wp), dimension(n), intent(in) :: sapwood_cn, stress_memory, available, leaf_target, leaf_kept, missing_leaf
    real(wp), dimension(n), intent(in) :: reserve, speed, flush, cost
    real(wp), intent(inout) :: flux(n, n_plant_flux)
    integer :: i
    real(wp) :: total, need, light, below, root, stem, leaf
    do i = 1, n
      total = total_growth(available(i), reserve(i), speed(i), cost(i))
      need = total * (0.4_wp / leaf_cn(i) + 0.3_wp / root_cn(i) + 0.3_wp * woody(i) / sapwood_cn(i))
      light = max(least_resource, exp(-0.5_wp * specific_leaf_area(i) * leaf_kept(i)))
      below = min(1.0_wp, stress_memory(i), max(0.0_wp, nitrogen_supply(i)) / max(need, 1.0e-30_wp))
      below = max(least_resource, below)
      root = 0.9_wp * light / (light + 2.0_wp * below)
      stem = 0.9_wp * below / (2.0_wp * light + below)
      leaf = 1.0_wp - root - stem
      ! herbs: the share of stems goes to leaves and roots
      need = 1.0_wp + (1.0_wp - woody(i)) * stem / (leaf + root)
      stem = stem * woody(i)
      call share_growth(total, leaf * need, root * need, stem * seed_share(i), stem * (1.0_wp - seed_share(i)), &
                        available(i), leaf_target(i), missing_leaf(i), flush(i), cost(i), flux(i, flux_leaf_growth), &
                        flux(i, flux_root_growth), flux(i, flux_seed_growth), flux(i, flux_sapwood_growth))
    end do
  end subroutine resource_growth

  elemental function total_growth(available, reserve, speed, cost) result(total)
    !! Carbon that growth by shares builds: of the labile pool, less while it is below its reserve.
    real(wp), intent(in) :: available, reserve, speed, cost
    real(wp) :: total
    total = speed * available * min(1.0_wp, available / max(reserve, 1.0e-30_wp)) / cost
  end function total_growth

  elemental subroutine share_growth(total, leaf_share, root_share, seed_share, wood_share, available, leaf_target, &
      missing_leaf, flush, cost, leaf, root, seed, wood)
    !! Growth by shares. Without a leaf target the leaves' share stays labile; missing leaves may flush beyond it.
    real(wp), intent(in) :: total, leaf_share, root_share, seed_share, wood_share, available, leaf_target, missing_leaf
    real(wp), intent(in) :: flush, cost
    real(wp), intent(out) :: leaf, root, seed, wood
    real(wp) :: most
    most = available * (1.0_wp - margin) / cost
    leaf = merge(min(total, most) * leaf_share, 0.0_wp, leaf_target > 0.0_wp)
    root = min(total, most) * root_share
    seed = min(total, most) * seed_share
    wood = min(total, most) * wood_share
    leaf = leaf + min(max(0.0_wp, missing_leaf - leaf), max(0.0_wp, flush * most - leaf - root - seed - wood))
  end subroutine share_growth
end module concerto_vegetation
