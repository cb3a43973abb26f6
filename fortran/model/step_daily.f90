module concerto_step_daily
  !! What follows the last fast step of a day (UTC): the drivers of the day from the sums that the fast steps made,
  !! acclimation of leaves, and the slow step of plants and soil.
  use concerto_kinds, only: wp
  use concerto_constants, only: seconds_per_day, gas_constant, oxygen_mole_fraction, freezing_point
  use concerto_options, only: model_options, vcmax_pmodel, stomata_pmodel
  use concerto_tables
  use concerto_pmodel, only: pmodel_acclimate, pmodel_chi_c3, pmodel_chi_c4, pmodel_jmax_wang17, pmodel_yield_c3, &
                             pmodel_yield_c4
  use concerto_retention, only: retention_head
  use concerto_vegetation, only: maintenance_respiration
  use concerto_step_slow, only: step_slow
  implicit none
  private
  public :: step_daily

  real(wp), parameter :: acclimation_days = 15.0_wp  !! memory of the optimal capacities (Mengoli et al. 2022), d
  real(wp), parameter :: least_deficit = 50.0_wp  !! floor of the vapour pressure deficit, Pa
  real(wp), parameter :: lowest_head = -1.0e5_wp  !! m
  real(wp), parameter :: least_respiration = 1.0e-30_wp  !! kg m-2 s-1

contains

  subroutine step_daily(n, options, forcing, p, derived, state, diagnostics, driver)
    !! One daily step of a block, after the last fast step of the day.
    integer, intent(in) :: n  !! tiles in the block
    type(model_options), intent(in) :: options  !! schemes
    real(wp), intent(in) :: forcing(n, n_forcing_column)  !! of the last fast step, units of the table
    real(wp), intent(in) :: p(n, n_parameter_column)  !! parameters, units of the table
    real(wp), intent(in) :: derived(n, n_derived_column)  !! units of the table
    real(wp), intent(inout) :: state(n, n_state_column)  !! units of the table
    real(wp), intent(inout) :: diagnostics(n, n_diagnostic_column)  !! units of the table
    real(wp), intent(out) :: driver(n, n_driver_column)  !! drivers of the day, units of the table
    real(wp), dimension(n) :: inverse_day, net_carbon, residual_carbon, residual_nitrogen
    real(wp), dimension(n) :: leaf, leaf_paid, stem_paid, root_paid, share
    real(wp) :: day, depth
    integer :: i, k

    day = state(1, state_day_steps) / seconds_per_day  ! all tiles of a host share the clock; below 1 for a broken day
    ! the columns of a block do not overlap
    !GCC$ ivdep
    do i = 1, n
      inverse_day(i) = 1.0_wp / max(state(i, state_day_steps), 1.0_wp)
      driver(i, driver_gpp) = state(i, state_day_gpp)
      driver(i, driver_leaf_respiration) = state(i, state_day_leaf_respiration)
      driver(i, driver_leaf_area) = state(i, state_leaf_area)
      driver(i, driver_leaf_nitrogen_factor) = state(i, state_leaf_nitrogen_factor)
      driver(i, driver_air_temperature) = state(i, state_day_air_temperature) * inverse_day(i)
      driver(i, driver_lowest_temperature) = state(i, state_day_lowest_temperature) + 400.0_wp
      driver(i, driver_highest_temperature) = state(i, state_day_highest_temperature)
      driver(i, driver_shortwave) = state(i, state_day_shortwave) * inverse_day(i)
      driver(i, driver_vapour_deficit) = state(i, state_day_vapour_deficit) * inverse_day(i)
      driver(i, driver_water_stress) = min(1.0_wp, state(i, state_day_stress) * inverse_day(i))
      driver(i, driver_stem_response) = state(i, state_day_stem_response) * inverse_day(i)
      driver(i, driver_root_response) = state(i, state_day_root_response) * inverse_day(i)
      driver(i, driver_precipitation) = state(i, state_day_rain)
      driver(i, driver_transpiration) = state(i, state_day_transpiration)
      driver(i, driver_drainage) = state(i, state_day_drainage)
      driver(i, driver_runoff) = state(i, state_day_runoff)
      driver(i, driver_net_radiation) = state(i, state_day_net_radiation) * inverse_day(i)
      driver(i, driver_co2) = forcing(i, forcing_co2)
      driver(i, driver_pressure) = forcing(i, forcing_pressure)
      driver(i, driver_prescribed_leaf_area) = forcing(i, forcing_prescribed_leaf_area)
      driver(i, driver_nitrogen_deposition) = state(i, state_day_deposition)
      driver(i, driver_delta13c_air) = forcing(i, forcing_delta13c_air)
      driver(i, driver_delta14c_air) = forcing(i, forcing_delta14c_air)
      driver(i, driver_discrimination) = state(i, state_day_discrimination) / max(state(i, state_day_gpp), 1.0e-30_wp)
      driver(i, driver_day_of_year) = forcing(i, forcing_day_of_year)
      driver(i, driver_thaw_depth) = 0.0_wp
      driver(i, driver_warmest_canopy) = state(i, state_day_warmest_canopy)
      driver(i, driver_least_stem_potential) = state(i, state_least_stem_potential)
    end do
    do k = 1, n_carbon_layer
      do i = 1, n
        driver(i, driver_decomposition + k - 1) = state(i, state_day_decomposition + k - 1) * inverse_day(i)
        driver(i, driver_soil_temperature + k - 1) = state(i, state_day_soil_temperature + k - 1) * inverse_day(i)
        driver(i, driver_soil_liquid + k - 1) = state(i, state_soil_liquid + k - 1)
        driver(i, driver_soil_ice + k - 1) = state(i, state_soil_ice + k - 1)
      end do
    end do
    ! thawed from above to the first layer that is frozen
    inverse_day = 1.0_wp
    do k = 1, n_soil
      depth = soil_thickness(k)
      do i = 1, n
        inverse_day(i) = merge(inverse_day(i), 0.0_wp, state(i, state_soil_temperature + k - 1) > freezing_point)
        driver(i, driver_thaw_depth) = driver(i, driver_thaw_depth) + inverse_day(i) * depth
      end do
    end do
    call retention_head(n, n_carbon_layer, state(1, state_soil_liquid), state(1, state_soil_ice), p(1, parameter_theta_sat), &
                        p(1, parameter_theta_res), p(1, parameter_vg_alpha), p(1, parameter_vg_n), lowest_head, &
                        driver(1, driver_soil_head))
    if (options%vcmax == vcmax_pmodel .or. options%stomata == stomata_pmodel) call acclimate(n, p, state)

    ! plants short of carbon pay a share that changes through the day: what the means of the day say is corrected
    do i = 1, n
      inverse_day(i) = 1.0_wp / max(state(i, state_day_steps), 1.0_wp)
      leaf(i) = driver(i, driver_leaf_respiration) * inverse_day(i)
    end do
    call maintenance_respiration(n, state(1, state_carbon_labile), state(1, state_carbon_fine_root), &
                                 state(1, state_carbon_sapwood), leaf, driver(1, driver_stem_response), &
                                 driver(1, driver_root_response), p(1, parameter_root_respiration), &
                                 p(1, parameter_sapwood_respiration), p(1, parameter_respiration_factor), &
                                 p(1, parameter_root_cn), p(1, parameter_sapwood_cn), leaf_paid, stem_paid, root_paid, share)
    do i = 1, n
      net_carbon(i) = state(i, state_carbon_npp_day)
      state(i, state_carbon_npp_day) = 0.0_wp
      depth = (driver(i, driver_gpp) - net_carbon(i)) * inverse_day(i)
      driver(i, driver_maintenance_paid) = min(2.0_wp, max(0.0_wp, depth / max(leaf_paid(i) + stem_paid(i) + root_paid(i), &
                                                                              least_respiration)))
      depth = driver(i, driver_maintenance_paid)
      driver(i, driver_maintenance_paid) = merge(depth, 1.0_wp, leaf_paid(i) + stem_paid(i) + root_paid(i) > least_respiration)
    end do
    call step_slow(n, options, day, p, derived, driver, net_carbon, state, residual_carbon, residual_nitrogen)
    do i = 1, n
      diagnostics(i, diagnostic_residual_carbon) = max(abs(diagnostics(i, diagnostic_residual_carbon)), residual_carbon(i))
      diagnostics(i, diagnostic_residual_nitrogen) = residual_nitrogen(i)
    end do
    do k = state_day_steps, state_noon_sums + n_noon_window - 1
      do i = 1, n
        state(i, k) = 0.0_wp
      end do
    end do
  end subroutine step_daily

  subroutine acclimate(n, p, state)
    !! Optimal capacities and sensitivity of stomata for the conditions around noon, approached in 15 days.
    integer, intent(in) :: n  !! tiles
    real(wp), intent(in) :: p(n, n_parameter_column)  !! parameters, units of the table
    real(wp), intent(inout) :: state(n, n_state_column)  !! units of the table
    real(wp), dimension(n) :: weight, temperature, deficit, co2, pressure, photons, cost, yield
    real(wp), dimension(n) :: xi, vcmax25, jmax25, xi_other, vcmax_other, jmax_other, optimum_xi, optimum_vcmax, optimum_jmax
    real(wp) :: a, b
    integer :: i

    do i = 1, n
      weight(i) = 1.0_wp / max(state(i, state_noon_sums), 1.0_wp)
      temperature(i) = merge(state(i, state_noon_sums + 1) * weight(i), 283.15_wp, state(i, state_noon_sums) > 1.0_wp)
      deficit(i) = state(i, state_noon_sums + 2) * weight(i)
      co2(i) = merge(state(i, state_noon_sums + 3) * weight(i), 400.0_wp, state(i, state_noon_sums) > 1.0_wp)
      pressure(i) = merge(state(i, state_noon_sums + 4) * weight(i), 101325.0_wp, state(i, state_noon_sums) > 1.0_wp)
      photons(i) = 0.8_wp * state(i, state_noon_sums + 5) * weight(i)  ! a leaf at the top absorbs about 0.8
      xi(i) = state(i, state_pmodel_xi)
      vcmax25(i) = state(i, state_pmodel_vcmax25)
      jmax25(i) = state(i, state_pmodel_jmax25)
      xi_other(i) = xi(i)
      vcmax_other(i) = vcmax25(i)
      jmax_other(i) = jmax25(i)
      cost(i) = p(i, parameter_pmodel_beta)
      yield(i) = p(i, parameter_pmodel_kphio)
    end do
    call pmodel_acclimate(n, pmodel_chi_c3, pmodel_jmax_wang17, pmodel_yield_c3, gas_constant, oxygen_mole_fraction, &
                          least_deficit, acclimation_days, 0.0_wp, 0.0_wp, 65330.0_wp, 149250.0_wp, 485.0_wp, 43540.0_wp, &
                          152040.0_wp, 495.0_wp, temperature, deficit, co2, pressure, photons, cost, yield, xi, vcmax25, &
                          jmax25, optimum_xi, optimum_vcmax, optimum_jmax)
    do i = 1, n
      cost(i) = cost(i) / 9.0_wp
    end do
    call pmodel_acclimate(n, pmodel_chi_c4, pmodel_jmax_wang17, pmodel_yield_c4, gas_constant, oxygen_mole_fraction, &
                          least_deficit, acclimation_days, 0.0_wp, 0.0_wp, 65330.0_wp, 149250.0_wp, 485.0_wp, 43540.0_wp, &
                          152040.0_wp, 495.0_wp, temperature, deficit, co2, pressure, photons, cost, yield, xi_other, &
                          vcmax_other, jmax_other, optimum_xi, optimum_vcmax, optimum_jmax)
    do i = 1, n
      a = xi(i)
      b = xi_other(i)
      state(i, state_pmodel_xi) = merge(b, a, p(i, parameter_c4) > 0.5_wp)
      a = vcmax25(i)
      b = vcmax_other(i)
      state(i, state_pmodel_vcmax25) = merge(b, a, p(i, parameter_c4) > 0.5_wp)
      a = jmax25(i)
      b = jmax_other(i)
      state(i, state_pmodel_jmax25) = merge(b, a, p(i, parameter_c4) > 0.5_wp)
    end do
  end subroutine acclimate
end module concerto_step_daily
