module concerto_step_offline
  !! The slow half without the fast one: a day's drivers, recorded or made, instead of the fast steps. Respiration leaves the
  !! buffers as the fast steps would have emptied them, so that with the same drivers both hosts give the same carbon.
  use concerto_kinds, only: wp
  use concerto_constants, only: seconds_per_day, molar_mass_carbon
  use concerto_options, only: model_options
  use concerto_tables
  use concerto_step_slow, only: step_slow, slow_report, carbon_totals
  implicit none
  private
  public :: step_offline

  real(wp), parameter :: supply_days = 5.0_wp  !! as in maintenance_respiration, d
  real(wp), parameter :: light_extinction = 0.5_wp  !! of the share of light that leaves absorb
  !> Production of canopies with leaf nitrogen f is 3 f / (f + 2), as light limits part of the day; what leaves respire
  !! falls by this share of it. Both after runs of the fast steps.
  real(wp), parameter :: light_share = 2.0_wp
  real(wp), parameter :: respiration_share = 0.25_wp
  real(wp), parameter :: nothing = 1.0e-30_wp
  real(wp), parameter :: largest_change = 20.0_wp  !! of production between the recorded leaf area and that of the moment

contains

  subroutine step_offline(n, options, p, derived, driver, state, diagnostics, residual_carbon, residual_nitrogen, report)
    !! One day of a block from its drivers. Production and leaf respiration follow the leaf area and leaf nitrogen of the
    !! moment: unchanged where these are the recorded ones.
    integer, intent(in) :: n  !! tiles in the block
    type(model_options), intent(in) :: options  !! schemes
    real(wp), intent(in) :: p(n, n_parameter_column)  !! parameters, units of the table
    real(wp), intent(in) :: derived(n, n_derived_column)  !! units of the table
    real(wp), intent(inout) :: driver(n, n_driver_column)  !! of the day; production is changed to that of the moment
    real(wp), intent(inout) :: state(n, n_state_column)  !! units of the table
    real(wp), intent(inout) :: diagnostics(n, n_diagnostic_column)  !! carbon fluxes and stores, units of the table
    real(wp), intent(out) :: residual_carbon(n)  !! kg m-2
    real(wp), intent(out) :: residual_nitrogen(n)  !! kg m-2
    type(slow_report), intent(inout), optional :: report  !! what moved between the pools
    real(wp), dimension(n) :: net_carbon, maintenance, emitted, exported, grazed, rh
    real(wp) :: change, share, stem, root, demand, now, then
    integer :: i, k

    do i = 1, n
      ! floors of the denominators keep the ratio at exactly 1 where nothing has changed
      change = 1.0_wp - exp(-light_extinction * state(i, state_leaf_area)) + nothing
      change = change / max(1.0_wp - exp(-light_extinction * abs(driver(i, driver_leaf_area))) + nothing, &
                            min(1.0e-3_wp, change))
      change = min(largest_change, change)
      now = state(i, state_leaf_nitrogen_factor) / (state(i, state_leaf_nitrogen_factor) + light_share) + nothing
      then = driver(i, driver_leaf_nitrogen_factor) / (driver(i, driver_leaf_nitrogen_factor) + light_share) + nothing
      share = (1.0_wp - respiration_share + respiration_share * (1.0_wp + light_share) * now) &
              / (1.0_wp - respiration_share + respiration_share * (1.0_wp + light_share) * then)
      driver(i, driver_leaf_respiration) = change * share * driver(i, driver_leaf_respiration)
      ! a negative leaf area: production is given, only respiration follows the leaves
      change = change * now / max(then, min(0.01_wp, now))
      driver(i, driver_gpp) = merge(1.0_wp, change, driver(i, driver_leaf_area) < 0.0_wp) * driver(i, driver_gpp)
      stem = state(i, state_carbon_sapwood) * p(i, parameter_sapwood_respiration) * p(i, parameter_respiration_factor) &
             / p(i, parameter_sapwood_cn) * driver(i, driver_stem_response)
      root = state(i, state_carbon_fine_root) * p(i, parameter_root_respiration) * p(i, parameter_respiration_factor) &
             / p(i, parameter_root_cn) * driver(i, driver_root_response)
      demand = (stem + root) * seconds_per_day + max(0.0_wp, driver(i, driver_leaf_respiration))
      share = min(1.0_wp, max(0.0_wp, state(i, state_carbon_labile)) / max(supply_days * demand, 1.0e-30_wp))
      share = share * driver(i, driver_maintenance_paid)
      maintenance(i) = share * ((stem + root) * seconds_per_day + driver(i, driver_leaf_respiration))
      net_carbon(i) = driver(i, driver_gpp) - maintenance(i)
      ! the fast steps empty the buffers: growth respiration of yesterday, and what the soil gives off today
      emitted(i) = state(i, state_carbon_growth_buffer)
      state(i, state_carbon_growth_buffer) = 0.0_wp
      exported(i) = state(i, state_carbon_export_buffer)
      state(i, state_carbon_export_buffer) = 0.0_wp
      grazed(i) = state(i, state_grazing_release)
      state(i, state_harvested_carbon) = state(i, state_harvested_carbon) + state(i, state_harvest_buffer)
      state(i, state_harvest_buffer) = 0.0_wp
      rh(i) = state(i, state_buffer_release) * seconds_per_day
      diagnostics(i, diagnostic_ra_leaf) = share * driver(i, driver_leaf_respiration) / seconds_per_day
      diagnostics(i, diagnostic_ra_stem) = share * stem
      diagnostics(i, diagnostic_ra_root) = share * root
    end do
    do k = 0, n_carbon_layer - 1
      do i = 1, n
        rh(i) = rh(i) + seconds_per_day * driver(i, driver_decomposition + k) * state(i, state_respiration_capacity + k)
      end do
    end do
    do i = 1, n
      state(i, state_carbon_rh_buffer) = state(i, state_carbon_rh_buffer) - rh(i)
    end do
    call step_slow(n, options, 1.0_wp, p, derived, driver, net_carbon, state, residual_carbon, residual_nitrogen, report)
    do i = 1, n
      demand = (maintenance(i) + emitted(i)) / seconds_per_day
      diagnostics(i, diagnostic_gpp) = driver(i, driver_gpp) / seconds_per_day
      diagnostics(i, diagnostic_ra) = demand
      diagnostics(i, diagnostic_ra_growth) = emitted(i) / seconds_per_day
      diagnostics(i, diagnostic_rh) = rh(i) / seconds_per_day
      diagnostics(i, diagnostic_npp) = diagnostics(i, diagnostic_gpp) - demand
      demand = diagnostics(i, diagnostic_npp) - diagnostics(i, diagnostic_rh)
      diagnostics(i, diagnostic_nbp) = demand - exported(i) / seconds_per_day
      diagnostics(i, diagnostic_nee) = -(demand - grazed(i)) / (molar_mass_carbon * 1.0e-6_wp)
      diagnostics(i, diagnostic_water_stress) = driver(i, driver_water_stress)
    end do
    call carbon_totals(n, options, state, diagnostics)
  end subroutine step_offline
end module concerto_step_offline
