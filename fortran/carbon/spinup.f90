module concerto_carbon_spinup
  !! Plants and soil that return to themselves after a cycle of forcing, from stored daily drivers: the cheap daily
  !! carbon
  !! step is cycled with the production of the host's last cycle, heartwood and the soil are solved directly.
  use concerto_kinds, only: wp
  use concerto_constants, only: seconds_per_day
  use concerto_vegetation, only: vegetation_daily
  use concerto_decomposition, only: litter_to_pools, soil_carbon_periodic
  implicit none
  private
  public :: carbon_spinup

  integer, parameter :: day_gpp = 1, day_leaf_respiration = 2, day_temperature = 3, day_stress = 4, day_leaf_area = 5
  integer, parameter :: day_stem_response = 6, day_root_response = 7, day_decomposition = 8
  real(wp), parameter :: supply_days = 5.0_wp  !! as in maintenance_respiration, d

contains

  subroutine carbon_spinup(n, n_driver, n_day, n_pool, n_cycle, scheme, driver, &
      specific_leaf_area, maximum_leaf_area, woody, root_leaf_ratio, labile_time, flush_time, shed_time, &
        reserve_ratio, &
      growth_fraction, seed_share, leaf_longevity, fine_root_longevity, sapwood_longevity, seed_longevity, mortality, &
      stand_age, root_rate, sapwood_rate, metabolic, cellulose, dpm_rpm_ratio, rate, transfer, respired, &
      labile, leaf, fine_root, sapwood, heartwood, seed, stress_memory, carbon, &
      vegetation_residual, soil_residual, cycle_gpp, cycle_npp, cycle_rh)
    !! Periodic plant and soil carbon. Drivers by day: 1 GPP, 2 leaf respiration (kg m-2 d-1), 3 air temperature
    !! (K), 4 water
    !! stress factor, 5 target leaf area (m2 m-2), 6, 7 mean of Q10**((T - 20)/10) of stems and of roots, 8
    !! environment scalar
    !! of decomposition.
    integer, intent(in) :: n  !! tiles
    integer, intent(in) :: n_driver  !! drivers, 8
    integer, intent(in) :: n_day  !! days of the cycle (whole years)
    integer, intent(in) :: n_pool  !! soil carbon pools
    integer, intent(in) :: n_cycle  !! cycles of the plant step, such as 400 years over the length of the cycle
    integer, intent(in) :: scheme  !! soil carbon scheme, 1 cencn, 2 rothc
    real(wp), intent(in) :: driver(n, n_driver, n_day)  !! daily drivers
    real(wp), intent(in) :: specific_leaf_area(n)  !! m2 kg-1
    real(wp), intent(in) :: maximum_leaf_area(n)  !! m2 m-2
    real(wp), intent(in) :: woody(n)  !! 1: has wood
    real(wp), intent(in) :: root_leaf_ratio(n)  !! target fine root over leaf carbon
    real(wp), intent(in) :: labile_time(n)  !! d
    real(wp), intent(in) :: flush_time(n)  !! d
    real(wp), intent(in) :: shed_time(n)  !! d
    real(wp), intent(in) :: reserve_ratio(n)  !! reserve over carbon of full leaves
    real(wp), intent(in) :: growth_fraction(n)  !! growth respiration per carbon built
    real(wp), intent(in) :: seed_share(n)  !! share of surplus growth to seed
    real(wp), intent(in) :: leaf_longevity(n)  !! yr
    real(wp), intent(in) :: fine_root_longevity(n)  !! yr
    real(wp), intent(in) :: sapwood_longevity(n)  !! yr
    real(wp), intent(in) :: seed_longevity(n)  !! yr
    real(wp), intent(in) :: mortality(n)  !! yr-1
    real(wp), intent(in) :: stand_age(n)  !! years since the stand began to grow; 0: wood in equilibrium
    real(wp), intent(in) :: root_rate(n)  !! respiration at 20 degC per fine-root carbon, s-1 (rate x factor / C:N)
    real(wp), intent(in) :: sapwood_rate(n)  !! respiration at 20 degC per sapwood carbon, s-1
    real(wp), intent(in) :: metabolic(n)  !! metabolic share of litter
    real(wp), intent(in) :: cellulose(n)  !! cellulose share of litter
    real(wp), intent(in) :: dpm_rpm_ratio(n)  !! decomposable over resistant litter
    real(wp), intent(in) :: rate(n, n_pool)  !! base rate of decomposition, s-1
    real(wp), intent(in) :: transfer(n, n_pool, n_pool)  !! fraction of what leaves, (receiver, donor)
    real(wp), intent(in) :: respired(n, n_pool)  !! fraction respired
    real(wp), intent(inout) :: labile(n)  !! start value in, periodic value at the start of the cycle out, kg m-2
    real(wp), intent(inout) :: leaf(n)  !! likewise, kg m-2
    real(wp), intent(inout) :: fine_root(n)  !! likewise, kg m-2
    real(wp), intent(inout) :: sapwood(n)  !! likewise, kg m-2
    real(wp), intent(inout) :: heartwood(n)  !! likewise, kg m-2
    real(wp), intent(inout) :: seed(n)  !! likewise, kg m-2
    real(wp), intent(inout) :: stress_memory(n)  !! likewise
    real(wp), intent(inout) :: carbon(n, n_pool)  !! soil pools; those that never decompose keep their value, kg m-2
    real(wp), intent(out) :: vegetation_residual(n)  !! change of plant carbon over the last cycle, relative to it
    real(wp), intent(out) :: soil_residual(n)  !! largest change of a soil pool over a cycle, relative to the total
    real(wp), intent(out) :: cycle_gpp(n)  !! GPP of the cycle, kg m-2
    real(wp), intent(out) :: cycle_npp(n)  !! NPP of the cycle, kg m-2
    real(wp), intent(out) :: cycle_rh(n)  !! heterotrophic respiration of the cycle, kg m-2
    integer :: i, cycle_number, day, last
    logical :: solve_heartwood
    real(wp) :: wood, young_sapwood(n), young_heartwood(n)
    real(wp) :: kept, demand, paid
    real(wp) :: net_carbon(n), growth(n), leaf_litter(n), root_litter(n), wood_litter(n), seed_litter(n), &
      deficit(n), area(n)
    real(wp) :: before(n, 7), change(n), scale(n)
    real(wp) :: scalar(n, n_day), input(n, n_pool, n_day)
    last = max(3, n_cycle)
    do cycle_number = 1, last
      ! heartwood acts on nothing, so its periodic value follows from one cycle that starts without it
      solve_heartwood = cycle_number == last - 2
      if (solve_heartwood) heartwood(:) = 0.0_wp
      do i = 1, n
        before(i, 1) = labile(i)
        before(i, 2) = leaf(i)
        before(i, 3) = fine_root(i)
        before(i, 4) = sapwood(i)
        before(i, 5) = heartwood(i)
        before(i, 6) = seed(i)
        before(i, 7) = stress_memory(i)
        cycle_gpp(i) = 0.0_wp
        cycle_npp(i) = 0.0_wp
      end do
      do day = 1, n_day
        do i = 1, n
          demand = driver(i, day_leaf_respiration, day) + seconds_per_day &
            * (sapwood(i) * sapwood_rate(i) * driver(i, day_stem_response, day) &
            + fine_root(i) * root_rate(i) * driver(i, day_root_response, day))
          paid = min(1.0_wp, max(0.0_wp, labile(i)) / max(supply_days * demand, 1.0e-30_wp))
          net_carbon(i) = driver(i, day_gpp, day) - paid * demand
        end do
        call vegetation_daily(n, 1.0_wp, driver(:, day_temperature, day), driver(:, day_stress, day), &
          driver(:, day_leaf_area, day), net_carbon, specific_leaf_area, maximum_leaf_area, woody, root_leaf_ratio, &
          labile_time, flush_time, shed_time, reserve_ratio, growth_fraction, seed_share, leaf_longevity, &
          fine_root_longevity, sapwood_longevity, seed_longevity, mortality, labile, leaf, fine_root, sapwood, &
            heartwood, &
          seed, stress_memory, growth, leaf_litter, root_litter, wood_litter, seed_litter, deficit, area)
        do i = 1, n
          cycle_gpp(i) = cycle_gpp(i) + driver(i, day_gpp, day)
          cycle_npp(i) = cycle_npp(i) + (net_carbon(i) - growth(i))
        end do
        if (cycle_number == last) then
          call litter_to_pools(n, n_pool, scheme, metabolic, cellulose, dpm_rpm_ratio, leaf_litter, root_litter, &
            wood_litter, seed_litter, input(:, :, day))
        end if
      end do
      if (solve_heartwood) then
        do i = 1, n
          kept = 1.0_wp - exp(-mortality(i) * real(n_day, wp) / 365.25_wp)
          heartwood(i) = heartwood(i) / merge(kept, 1.0_wp, kept > 1.0e-9_wp)
        end do
      end if
      if (cycle_number == last - 1) then
        do i = 1, n
          change(i) = abs(labile(i) - before(i, 1)) + abs(leaf(i) - before(i, 2)) + abs(fine_root(i) - before(i, 3)) &
            + abs(sapwood(i) - before(i, 4)) + abs(heartwood(i) - before(i, 5)) + abs(seed(i) - before(i, 6))
          scale(i) = labile(i) + leaf(i) + fine_root(i) + sapwood(i) + heartwood(i) + seed(i)
          vegetation_residual(i) = change(i) / max(abs(scale(i)), 1.0e-12_wp)
        end do
        ! wood of a stand of the given age: growth as in equilibrium, losses since then (dC/dt = growth - rate C)
        do i = 1, n
          wood = sapwood(i) + heartwood(i)
          kept = merge(1.0_wp - exp(-stand_age(i) * mortality(i)), 1.0_wp, stand_age(i) > 0.0_wp)
          wood = wood * kept
          kept = merge(1.0_wp - exp(-stand_age(i) * (mortality(i) + 1.0_wp / sapwood_longevity(i))), 1.0_wp, &
                       stand_age(i) > 0.0_wp)
          sapwood(i) = min(sapwood(i) * kept, wood)
          heartwood(i) = wood - sapwood(i)
          young_sapwood(i) = sapwood(i)
          young_heartwood(i) = heartwood(i)
        end do
      end if
    end do
    do i = 1, n
      sapwood(i) = young_sapwood(i)
      heartwood(i) = young_heartwood(i)
    end do
    do day = 1, n_day
      do i = 1, n
        scalar(i, day) = driver(i, day_decomposition, day)
      end do
    end do
    call soil_carbon_periodic(n, n_pool, n_day, seconds_per_day, rate, transfer, respired, scalar, input, carbon, &
      cycle_rh, &
      soil_residual)
  end subroutine carbon_spinup
end module concerto_carbon_spinup
