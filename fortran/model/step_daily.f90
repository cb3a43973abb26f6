module concerto_step_daily
  !! The daily step of a block (days are UTC): means and memories, acclimation, leaf area, plant carbon, soil carbon.
  !! Carbon only moves between stores here; what is respired waits in buffers that the fast steps of the next day empty.
  use concerto_kinds, only: wp
  use concerto_constants, only: seconds_per_day, gas_constant, oxygen_mole_fraction, latent_heat_vaporization, freezing_point
  use concerto_options, only: model_options, vcmax_pmodel, stomata_pmodel, phenology_prescribed, soil_carbon_rothc
  use concerto_tables
  use concerto_pmodel, only: pmodel_acclimate, pmodel_chi_c3, pmodel_chi_c4, pmodel_jmax_wang17, pmodel_yield_c3, &
                             pmodel_yield_c4
  use concerto_phenology, only: gsi_step, leaf_area_target
  use concerto_vegetation, only: vegetation_daily
  use concerto_environment_scalars, only: rothc_deficit_step
  use concerto_decomposition, only: litter_to_pools, soil_carbon_step, close_respiration_buffer
  implicit none
  private
  public :: step_daily

  real(wp), parameter :: acclimation_days = 15.0_wp  !! memory of the optimal capacities (Mengoli et al. 2022), d
  real(wp), parameter :: least_deficit = 50.0_wp  !! floor of the vapour pressure deficit, Pa
  real(wp), parameter :: rothc_depth = 23.0_wp  !! topsoil of RothC, cm

contains

  subroutine step_daily(n, options, forcing, p, derived, state, diagnostics)
    !! One daily step of a block, after the last fast step of the day.
    integer, intent(in) :: n  !! tiles in the block
    type(model_options), intent(in) :: options  !! schemes
    real(wp), intent(in) :: forcing(n, n_forcing_column)  !! of the last fast step, units of the table
    real(wp), intent(in) :: p(n, n_parameter_column)  !! parameters, units of the table
    real(wp), intent(in) :: derived(n, n_derived_column)  !! units of the table
    real(wp), intent(inout) :: state(n, n_state_column)  !! units of the table
    real(wp), intent(inout) :: diagnostics(n, n_diagnostic_column)  !! units of the table
    real(wp), dimension(n) :: inverse_day, temperature, shortwave, stress, scalar, phenology, target_area, net_carbon
    real(wp), dimension(n) :: flush, shed, growth, litter_leaf, litter_root, litter_wood, litter_seed, deficit, pool_area
    real(wp), dimension(n) :: respiration, imbalance, vegetated, evaporation, depth, before, after
    real(wp), dimension(n, n_soil_carbon_pool) :: input, decomposed
    real(wp) :: day, keep
    integer :: i, k

    call stored_carbon(n, state, before)
    day = state(1, state_day_steps) / seconds_per_day  ! all tiles of a host share the clock; below 1 for a broken day
    do i = 1, n
      inverse_day(i) = 1.0_wp / max(state(i, state_day_steps), 1.0_wp)
      temperature(i) = state(i, state_day_air_temperature) * inverse_day(i)
      shortwave(i) = state(i, state_day_shortwave) * inverse_day(i)
      stress(i) = min(1.0_wp, state(i, state_day_stress) * inverse_day(i))
      scalar(i) = state(i, state_day_decomposition) * inverse_day(i)
    end do

    ! ---- memories of temperature, and of the optimal capacities
    do i = 1, n
      keep = exp(-day / 10.0_wp)
      state(i, state_temperature_10d) = keep * state(i, state_temperature_10d) + (1.0_wp - keep) * temperature(i)
      keep = exp(-day / 30.0_wp)
      state(i, state_temperature_30d) = keep * state(i, state_temperature_30d) + (1.0_wp - keep) * temperature(i)
    end do
    if (options%vcmax == vcmax_pmodel .or. options%stomata == stomata_pmodel) call acclimate(n, p, state)

    ! ---- leaf area that plants aim at
    call gsi_step(n, temperature, shortwave, stress, p(1, parameter_gsi_cold_slope), p(1, parameter_gsi_cold_base), &
                  p(1, parameter_gsi_cold_rate), p(1, parameter_gsi_heat_slope), p(1, parameter_gsi_heat_base), &
                  p(1, parameter_gsi_heat_rate), p(1, parameter_gsi_light_slope), p(1, parameter_gsi_light_base), &
                  p(1, parameter_gsi_light_rate), p(1, parameter_gsi_water_slope), p(1, parameter_gsi_water_base), &
                  p(1, parameter_gsi_water_rate), state(1, state_phenology_limiter), phenology)
    call leaf_area_target(n, options%phenology, p(1, parameter_evergreen), p(1, parameter_maximum_leaf_area), phenology, &
                          forcing(1, forcing_prescribed_leaf_area), target_area)

    ! ---- plants
    do i = 1, n
      net_carbon(i) = state(i, state_carbon_npp_day)
      state(i, state_carbon_npp_day) = 0.0_wp
      flush(i) = p(i, parameter_flush_time)
      shed(i) = p(i, parameter_shed_time)
      if (options%phenology == phenology_prescribed) then
        flush(i) = 0.0_wp
        shed(i) = 0.0_wp
      end if
    end do
    call vegetation_daily(n, day, temperature, stress, target_area, net_carbon, p(1, parameter_specific_leaf_area), &
                          p(1, parameter_maximum_leaf_area), p(1, parameter_woody), p(1, parameter_root_leaf_ratio), &
                          p(1, parameter_labile_time), flush, shed, p(1, parameter_reserve_ratio), &
                          p(1, parameter_growth_respiration), p(1, parameter_seed_share), p(1, parameter_leaf_longevity), &
                          p(1, parameter_fine_root_longevity), p(1, parameter_sapwood_longevity), &
                          p(1, parameter_seed_longevity), p(1, parameter_mortality), state(1, state_carbon_labile), &
                          state(1, state_carbon_leaf), state(1, state_carbon_fine_root), state(1, state_carbon_sapwood), &
                          state(1, state_carbon_heartwood), state(1, state_carbon_seed), state(1, state_stress_memory), &
                          growth, litter_leaf, litter_root, litter_wood, litter_seed, deficit, pool_area)
    do i = 1, n
      state(i, state_leaf_area) = pool_area(i)
      if (options%phenology == phenology_prescribed) state(i, state_leaf_area) = target_area(i)
      state(i, state_carbon_growth_buffer) = state(i, state_carbon_growth_buffer) + growth(i)
      state(i, state_growth_release) = state(i, state_carbon_growth_buffer) / seconds_per_day
    end do

    ! ---- soil
    call litter_to_pools(n, n_soil_carbon_pool, options%soil_carbon, p(1, parameter_litter_metabolic), &
                         p(1, parameter_litter_cellulose), p(1, parameter_dpm_rpm_ratio), litter_leaf, litter_root, &
                         litter_wood, litter_seed, input)
    call soil_carbon_step(n, n_soil_carbon_pool, 1, day * seconds_per_day, derived(1, derived_decomposition_base_rate), &
                          derived(1, derived_decomposition_transfer), derived(1, derived_decomposition_respired), scalar, &
                          input, state(1, state_soil_carbon), respiration, decomposed)
    call close_respiration_buffer(n, seconds_per_day, respiration, state(1, state_carbon_rh_buffer), &
                                  state(1, state_buffer_release), imbalance)
    if (options%soil_carbon == soil_carbon_rothc) then
      do i = 1, n
        vegetated(i) = merge(1.0_wp, 0.0_wp, state(i, state_leaf_area) > 0.1_wp)
        depth(i) = rothc_depth
        ! potential evaporation: 1.26 times the equilibrium rate of the day's net radiation
        keep = 4098.0_wp * 611.2_wp * exp(17.62_wp * (temperature(i) - freezing_point) / (temperature(i) - 30.03_wp)) &
               / (temperature(i) - 30.03_wp)**2
        evaporation(i) = 1.26_wp * max(0.0_wp, state(i, state_day_net_radiation)) / latent_heat_vaporization &
                         * keep / (keep + 66.0_wp)
      end do
      call rothc_deficit_step(n, 1.0_wp, 1.0_wp / 0.556_wp, p(1, parameter_clay), depth, vegetated, &
                              state(1, state_day_rain), evaporation, state(1, state_rothc_deficit))
    end if

    ! ---- drivers of the carbon spin-up, and what is left over
    do i = 1, n
      diagnostics(i, diagnostic_daily_gpp) = state(i, state_day_gpp)
      diagnostics(i, diagnostic_daily_leaf_respiration) = state(i, state_day_leaf_respiration)
      diagnostics(i, diagnostic_daily_air_temperature) = temperature(i)
      diagnostics(i, diagnostic_daily_stress) = stress(i)
      diagnostics(i, diagnostic_daily_leaf_area) = target_area(i)
      diagnostics(i, diagnostic_daily_stem_response) = state(i, state_day_stem_response) * inverse_day(i)
      diagnostics(i, diagnostic_daily_root_response) = state(i, state_day_root_response) * inverse_day(i)
      diagnostics(i, diagnostic_daily_decomposition) = scalar(i)
    end do
    do k = state_day_steps, state_noon_sums + n_noon_window - 1
      do i = 1, n
        state(i, k) = 0.0_wp
      end do
    end do
    call stored_carbon(n, state, after)
    do i = 1, n
      keep = after(i) - before(i)
      if (abs(keep) > abs(diagnostics(i, diagnostic_residual_carbon))) diagnostics(i, diagnostic_residual_carbon) = keep
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

  subroutine stored_carbon(n, state, carbon)
    !! Carbon in all stores.
    integer, intent(in) :: n  !! tiles
    real(wp), intent(in) :: state(n, n_state_column)  !! units of the table
    real(wp), intent(out) :: carbon(n)  !! kg m-2
    integer :: i, k

    carbon = 0.0_wp
    do k = 1, size(state_carbon_columns)
      do i = 1, n
        carbon(i) = carbon(i) + state(i, state_carbon_columns(k))
      end do
    end do
  end subroutine stored_carbon
end module concerto_step_daily
