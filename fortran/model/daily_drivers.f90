module concerto_daily_drivers
  !! A day of the slow half from daily weather, without fast steps: potential production (P-model), leaf respiration,
  !! temperature of snow-covered soil, soil water, water stress and the scalars of decomposition. It wires the process
  !! modules with steps of a day. Leaves act on production later, in step_offline; here only their share of the ground
  !! counts, for evaporation.
  use concerto_kinds, only: wp
  use concerto_constants, only: seconds_per_day, gas_constant, oxygen_mole_fraction, freezing_point, density_water, gravity, &
                                latent_heat_vaporization, molar_mass_carbon, stefan_boltzmann
  use concerto_options, only: model_options, water_stress_content, soil_carbon_cencn, soil_carbon_rothc
  use concerto_tables
  use concerto_pmodel, only: pmodel_environment, pmodel_quantum_yield, pmodel_optimum, pmodel_chi_c3, pmodel_chi_c4, &
                             pmodel_jmax_wang17, pmodel_yield_c3, pmodel_yield_c4
  use concerto_leaf_respiration, only: respiration_base, respiration_response
  use concerto_heat, only: soil_thermal_properties, ground_heat, phase_change
  use concerto_retention, only: retention_head, retention_content
  use concerto_soil_bucket, only: soil_water_bucket
  use concerto_roots, only: root_stress, stress_by_head, stress_by_moisture
  use concerto_vegetation, only: maintenance_response, root_zone_mean
  use concerto_environment_scalars, only: layer_scalar, decomposition_scalar, rothc_deficit_step, &
    head_dry => decomposition_driest, head_wet => decomposition_wettest
  implicit none
  private
  public :: daily_drivers

  ! columns of the daily forcing, in their order
  integer, parameter, public :: n_daily_column = 16
  integer, parameter :: daily_air_temperature = 1  !! mean, K
  integer, parameter :: daily_lowest_temperature = 2  !! K
  integer, parameter :: daily_highest_temperature = 3  !! K
  integer, parameter :: daily_vapour_deficit = 4  !! mean, Pa
  integer, parameter :: daily_shortwave = 5  !! mean, W m-2
  integer, parameter :: daily_longwave = 6  !! mean incoming, W m-2; negative: estimated
  integer, parameter :: daily_pressure = 7  !! Pa
  integer, parameter :: daily_rainfall = 8  !! kg m-2
  integer, parameter :: daily_snowfall = 9  !! kg m-2; negative: rainfall is all precipitation, split by temperature
  integer, parameter :: daily_co2 = 10  !! umol mol-1
  integer, parameter :: daily_leaf_area = 11  !! m2 m-2; negative: prognostic
  integer, parameter :: daily_gpp = 12  !! kg m-2; negative: P-model
  integer, parameter :: daily_nitrogen_deposition = 13  !! kg m-2
  integer, parameter :: daily_delta13c = 14  !! permil
  integer, parameter :: daily_delta14c = 15  !! permil
  integer, parameter :: daily_day_of_year = 16  !! 1 on 1 January

  real(wp), parameter :: least_deficit = 50.0_wp  !! floor of the vapour pressure deficit, Pa
  real(wp), parameter :: photons_of_shortwave = 2.3_wp  !! umol J-1
  real(wp), parameter :: daytime_share = 0.45_wp  !! of highest less mean temperature (MT-CLIM, Running et al. 1987)
  real(wp), parameter :: light_extinction = 0.5_wp  !! as in step_offline
  real(wp), parameter :: all_light = 100.0_wp  !! leaf area that intercepts all light, m2 m-2
  real(wp), parameter :: albedo = 0.15_wp, snow_brightening = 0.5_wp  !! of land; added by snow without canopy
  real(wp), parameter :: priestley_taylor = 1.26_wp
  real(wp), parameter :: melt_rate = 3.0_wp  !! of snow, kg m-2 d-1 K-1
  real(wp), parameter :: snow_conductance = 0.15_wp * 200.0_wp  !! conductivity times density, W kg m-4 K-1
  real(wp), parameter :: air_conductance = 20.0_wp  !! air to soil surface, W m-2 K-1
  real(wp), parameter :: cover_snow = 10.0_wp  !! snow that covers most of the ground, kg m-2
  integer, parameter :: evaporation_layers = 4  !! that bare soil evaporates from (0.16 m)
  integer, parameter :: topsoil_layers = 5  !! layers that a one-layer carbon scheme sees (0.28 m)
  real(wp), parameter :: taken = 0.9_wp  !! of the water in a layer that a day may take
  real(wp), parameter :: lowest_head = -1.0e5_wp  !! m

contains

  subroutine daily_drivers(n, options, daily, p, derived, state, driver)
    !! Drivers of one day. Of the state only soil temperature, water and ice, snow (in the lowest layer of the pack), the
    !! running means of air temperature and the deficit of RothC are used and advanced.
    integer, intent(in) :: n  !! tiles in the block
    type(model_options), intent(in) :: options  !! schemes
    real(wp), intent(in) :: daily(n, n_daily_column)  !! forcing of the day, units above
    real(wp), intent(in) :: p(n, n_parameter_column)  !! parameters, units of the table
    real(wp), intent(in) :: derived(n, n_derived_column)  !! units of the table
    real(wp), intent(inout) :: state(n, n_state_column)  !! units of the table
    real(wp), intent(out) :: driver(n, n_driver_column)  !! units of the table
    real(wp), dimension(n) :: day_temperature, day_deficit, area, cover, water, conductance, none, skin, flux, demand, stress
    real(wp), dimension(n) :: theta_open, theta_closed, head_open, head_closed, runoff, drainage, root_temperature
    real(wp), dimension(n) :: net_radiation, thawed, held, held_water, ground_flux, production, chi, maximum_area
    real(wp), dimension(n, n_soil) :: capacity, conductivity, head, available, sink
    real(wp), dimension(n, n_soil + 1) :: water_flux
    real(wp), dimension(n, 1) :: no_snow, snow_ice, snow_size, snow_temperature
    real(wp) :: keep_10, keep_30, vapour, clear, cloud, slope, snow, solid, melt, t, longwave, depth, evaporated, bare, roots
    integer :: i, k, snow_column

    keep_10 = exp(-1.0_wp / 10.0_wp)
    keep_30 = exp(-1.0_wp / 30.0_wp)
    snow_column = state_snow_ice + n_snow - 1
    ! the columns of a block do not overlap
    !GCC$ ivdep
    do i = 1, n
      t = daily(i, daily_air_temperature)
      state(i, state_temperature_10d) = keep_10 * state(i, state_temperature_10d) + (1.0_wp - keep_10) * t
      state(i, state_temperature_30d) = keep_30 * state(i, state_temperature_30d) + (1.0_wp - keep_30) * t
      maximum_area(i) = p(i, parameter_maximum_leaf_area)
      area(i) = merge(daily(i, daily_leaf_area), maximum_area(i), daily(i, daily_leaf_area) >= 0.0_wp)
      cover(i) = 1.0_wp - exp(-light_extinction * area(i))
      ! while there is light it is warmer and drier than on average
      vapour = max(0.0_wp, saturation(t) - daily(i, daily_vapour_deficit))
      day_temperature(i) = t + daytime_share * max(0.0_wp, daily(i, daily_highest_temperature) - t)
      day_deficit(i) = max(daily(i, daily_vapour_deficit), saturation(day_temperature(i)) - vapour)

      ! snow falls at 0 degC and below and rain at 2 degC and above, where the forcing does not tell; it melts by degree days
      solid = min(1.0_wp, max(0.0_wp, 1.0_wp - 0.5_wp * (t - freezing_point))) * daily(i, daily_rainfall)
      solid = merge(daily(i, daily_snowfall), solid, daily(i, daily_snowfall) >= 0.0_wp)
      driver(i, driver_precipitation) = daily(i, daily_rainfall) + max(0.0_wp, daily(i, daily_snowfall))
      snow = state(i, snow_column) + solid
      melt = min(snow, melt_rate * max(0.0_wp, t - freezing_point))
      snow = snow - melt
      state(i, snow_column) = snow
      water(i) = driver(i, driver_precipitation) - solid + melt
      conductance(i) = 1.0_wp / (1.0_wp / air_conductance + snow / snow_conductance)

      ! radiation: what the sky sends, or cloudiness and vapour (Allen et al. 1998)
      clear = 0.75_wp * clear_sky(p(i, parameter_latitude), daily(i, daily_day_of_year))
      cloud = 1.35_wp * min(1.0_wp, max(0.3_wp, daily(i, daily_shortwave) / max(clear, 1.0_wp))) - 0.35_wp
      longwave = stefan_boltzmann * t**4
      bare = -longwave * (0.34_wp - 0.14_wp * sqrt(1.0e-3_wp * vapour)) * cloud
      longwave = merge(0.97_wp * (daily(i, daily_longwave) - longwave), bare, daily(i, daily_longwave) >= 0.0_wp)
      bare = albedo + snow_brightening * (1.0_wp - cover(i)) * snow / (snow + cover_snow)
      net_radiation(i) = (1.0_wp - bare) * daily(i, daily_shortwave) + longwave
      slope = 4284.0_wp * saturation(t) / (t - 30.03_wp)**2
      demand(i) = priestley_taylor * seconds_per_day * max(0.0_wp, net_radiation(i)) / latent_heat_vaporization &
                  * slope / (slope + 66.0_wp)
      ! nothing evaporates from soil under snow
      thawed(i) = cover_snow / (snow + cover_snow)
      held(i) = merge(1.0_wp, 0.0_wp, p(i, parameter_hold_soil_water) > 0.5_wp)
      none(i) = 0.0_wp
      flux(i) = 0.0_wp
      conductance(i) = -conductance(i)
      no_snow(i, 1) = 0.0_wp
      snow_ice(i, 1) = 0.0_wp
      snow_size(i, 1) = 0.0_wp
      snow_temperature(i, 1) = freezing_point
    end do

    ! ---- temperature of the soil: heat flows through the snow from the air, sun warms what leaves do not cover
    do k = 1, evaporation_layers
      depth = soil_thickness(k) / sum(soil_thickness(1:evaporation_layers))
      do i = 1, n
        bare = (state(i, state_soil_liquid + k - 1) - p(i, parameter_theta_res)) &
               / (p(i, parameter_theta_sat) - p(i, parameter_theta_res))
        flux(i) = flux(i) + depth * min(1.0_wp, max(0.0_wp, bare))
      end do
    end do
    do i = 1, n
      flux(i) = thawed(i) * (1.0_wp - cover(i)) * max(0.0_wp, net_radiation(i) - latent_heat_vaporization / seconds_per_day &
                                                              * demand(i) * flux(i))
    end do
    call soil_thermal_properties(n, n_soil, soil_thickness, p(1, parameter_theta_sat), derived(1, derived_dry_capacity), &
                                 derived(1, derived_dry_conductivity), derived(1, derived_log_solid_conductivity), &
                                 state(1, state_soil_liquid), state(1, state_soil_ice), capacity, conductivity)
    call ground_heat(n, 1, n_soil, seconds_per_day, soil_thickness, derived(1, derived_freezing_exponent), flux, conductance, &
                     daily(1, daily_air_temperature), snow_ice, snow_size, no_snow, no_snow, state(1, state_soil_liquid), &
                     state(1, state_soil_ice), capacity, conductivity, snow_temperature, state(1, state_soil_temperature), &
                     skin, ground_flux)
    call phase_change(n, n_soil, 1, soil_thickness, p(1, parameter_theta_sat), derived(1, derived_freezing_exponent), &
                      derived(1, derived_freezing_entry), derived(1, derived_dry_capacity), none, &
                      state(1, state_soil_liquid), state(1, state_soil_ice), state(1, state_soil_temperature))

    ! ---- water: stress, evaporation by supply and demand, the cascade of buckets
    call retention_head(n, n_soil, state(1, state_soil_liquid), state(1, state_soil_ice), p(1, parameter_theta_sat), &
                        p(1, parameter_theta_res), p(1, parameter_vg_alpha), p(1, parameter_vg_n), lowest_head, head)
    theta_open = 1.0_wp
    theta_closed = 0.0_wp
    if (options%water_stress == water_stress_content) then
      head_open = p(:, parameter_field_capacity_head)
      head_closed = p(:, parameter_wilting_head)
      call retention_content(n, head_open, p(1, parameter_theta_sat), p(1, parameter_theta_res), p(1, parameter_vg_alpha), &
                             p(1, parameter_vg_n), p(1, parameter_vg_l), p(1, parameter_k_sat), theta_open, runoff, drainage)
      call retention_content(n, head_closed, p(1, parameter_theta_sat), p(1, parameter_theta_res), p(1, parameter_vg_alpha), &
                             p(1, parameter_vg_n), p(1, parameter_vg_l), p(1, parameter_k_sat), theta_closed, runoff, drainage)
    end if
    call root_stress(n, n_soil, merge(stress_by_moisture, stress_by_head, options%water_stress == water_stress_content), &
                     derived(1, derived_root_fraction), state(1, state_soil_liquid), head, &
                     state(1, state_soil_temperature), p(1, parameter_stress_head_open), p(1, parameter_stress_head_closed), &
                     theta_open, theta_closed, available, stress)
    do i = 1, n
      driver(i, driver_transpiration) = cover(i) * demand(i) * stress(i)
    end do
    do k = 1, n_soil
      depth = density_water * soil_thickness(k)
      do i = 1, n
        roots = cover(i) * demand(i) * available(i, k)
        bare = 0.0_wp
        if (k <= evaporation_layers) then
          bare = (state(i, state_soil_liquid + k - 1) - p(i, parameter_theta_res)) &
                 / (p(i, parameter_theta_sat) - p(i, parameter_theta_res))
          bare = min(1.0_wp, max(0.0_wp, bare)) * soil_thickness(k) / sum(soil_thickness(1:evaporation_layers))
        end if
        evaporated = roots * merge(0.0_wp, 1.0_wp, p(i, parameter_outside_water) > 0.5_wp) &
                     + thawed(i) * (1.0_wp - cover(i)) * demand(i) * bare
        evaporated = min(evaporated, taken * depth * max(0.0_wp, state(i, state_soil_liquid + k - 1) &
                                                         - p(i, parameter_theta_res)))
        sink(i, k) = (1.0_wp - held(i)) * evaporated / seconds_per_day
        available(i, k) = state(i, state_soil_liquid + k - 1)
      end do
    end do
    ! what falls in a day finds its way into the pores, from the top; only what finds no room there runs off
    do i = 1, n
      held_water(i) = held(i) * water(i)  ! all that comes in leaves again where the soil is held
      water(i) = water(i) - held_water(i)
    end do
    do k = 1, n_soil
      depth = density_water * soil_thickness(k)
      do i = 1, n
        t = min(water(i), depth * max(0.0_wp, p(i, parameter_theta_sat) - state(i, state_soil_ice + k - 1) &
                                              - state(i, state_soil_liquid + k - 1)))
        water(i) = water(i) - t
        state(i, state_soil_liquid + k - 1) = state(i, state_soil_liquid + k - 1) + t / depth
      end do
    end do
    call soil_water_bucket(n, n_soil, seconds_per_day, soil_thickness, none, sink, state(1, state_soil_ice), &
                           p(1, parameter_theta_sat), p(1, parameter_theta_res), p(1, parameter_vg_alpha), &
                           p(1, parameter_vg_n), p(1, parameter_vg_l), p(1, parameter_k_sat), state(1, state_soil_liquid), &
                           water_flux, runoff, drainage)
    do k = 1, n_soil
      do i = 1, n
        t = available(i, k)
        bare = state(i, state_soil_liquid + k - 1)
        state(i, state_soil_liquid + k - 1) = held(i) * t + (1.0_wp - held(i)) * bare
      end do
    end do

    ! ---- production and respiration
    call potential_production(n, p, daily, day_temperature, day_deficit, production, chi)
    call leaf_respiration(n, options, p, derived, daily, state, driver)
    do i = 1, n
      bare = max(p(i, parameter_hold_soil_water), p(i, parameter_outside_water))
      t = stress(i)
      t = merge(1.0_wp, t, bare > 0.5_wp .and. t > 0.0_wp)
      stress(i) = t
      driver(i, driver_water_stress) = min(1.0_wp, t)
      roots = (state(i, state_temperature_10d) - p(i, parameter_cold_capacity_temperature)) / p(i, parameter_cold_capacity_range)
      roots = min(1.0_wp, max(0.02_wp, roots))
      t = exp(p(i, parameter_stress_exponent_capacity) * log(max(t, 1.0e-6_wp)))
      production(i) = production(i) * roots * t
      bare = daily(i, daily_gpp)
      driver(i, driver_gpp) = merge(bare, production(i), bare >= 0.0_wp)
      ! a negative leaf area: production is given, it does not follow the leaves of the moment
      driver(i, driver_leaf_area) = merge(-all_light, all_light, bare >= 0.0_wp)
      driver(i, driver_leaf_nitrogen_factor) = 1.0_wp
      driver(i, driver_maintenance_paid) = 1.0_wp
      driver(i, driver_air_temperature) = daily(i, daily_air_temperature)
      driver(i, driver_lowest_temperature) = daily(i, daily_lowest_temperature)
      driver(i, driver_highest_temperature) = daily(i, daily_highest_temperature)
      driver(i, driver_shortwave) = daily(i, daily_shortwave)
      driver(i, driver_vapour_deficit) = daily(i, daily_vapour_deficit)
      driver(i, driver_drainage) = drainage(i)
      driver(i, driver_runoff) = water(i) + held_water(i)
      driver(i, driver_net_radiation) = net_radiation(i)
      driver(i, driver_co2) = daily(i, daily_co2)
      driver(i, driver_pressure) = daily(i, daily_pressure)
      driver(i, driver_prescribed_leaf_area) = daily(i, daily_leaf_area)
      driver(i, driver_nitrogen_deposition) = daily(i, daily_nitrogen_deposition)
      driver(i, driver_delta13c_air) = daily(i, daily_delta13c)
      driver(i, driver_delta14c_air) = daily(i, daily_delta14c)
      ! Farquhar et al. (1982, 1983), as in the fast step
      driver(i, driver_discrimination) = 4.4_wp + chi(i) * merge(-5.7_wp + 0.4_wp * 30.0_wp - 4.4_wp, 27.0_wp - 4.4_wp, &
                                                                 p(i, parameter_c4) > 0.5_wp)
      driver(i, driver_day_of_year) = daily(i, daily_day_of_year)
      driver(i, driver_thaw_depth) = 0.0_wp
      driver(i, driver_warmest_canopy) = daily(i, daily_highest_temperature)
      driver(i, driver_least_stem_potential) = 0.0_wp
    end do
    call root_zone_mean(n, n_root, derived(1, derived_root_fraction), state(1, state_soil_temperature), root_temperature)
    call maintenance_response(n, options%maintenance, options%maintenance_acclimation, daily(1, daily_air_temperature), &
                              p(1, parameter_maintenance_q10), state(1, state_temperature_10d), driver(1, driver_stem_response))
    call maintenance_response(n, options%maintenance, options%maintenance_acclimation, root_temperature, &
                              p(1, parameter_maintenance_q10), state(1, state_temperature_10d), driver(1, driver_root_response))
    call decomposition(n, options, p, derived, head, area, demand, state, driver)
    thawed = 1.0_wp
    do k = 1, n_soil
      depth = soil_thickness(k)
      do i = 1, n
        t = thawed(i)
        thawed(i) = merge(t, 0.0_wp, state(i, state_soil_temperature + k - 1) > freezing_point)
        driver(i, driver_thaw_depth) = driver(i, driver_thaw_depth) + thawed(i) * depth
      end do
    end do
    do k = 0, n_carbon_layer - 1
      do i = 1, n
        driver(i, driver_soil_temperature + k) = state(i, state_soil_temperature + k)
        driver(i, driver_soil_liquid + k) = state(i, state_soil_liquid + k)
        driver(i, driver_soil_ice + k) = state(i, state_soil_ice + k)
        driver(i, driver_soil_head + k) = head(i, k + 1)
      end do
    end do
  end subroutine daily_drivers

  subroutine potential_production(n, p, daily, temperature, deficit, production, chi)
    !! Production of leaves that intercept all light, optimal for the day (P-model, Stocker et al. 2020).
    integer, intent(in) :: n  !! tiles in the block
    real(wp), intent(in) :: p(n, n_parameter_column)  !! parameters, units of the table
    real(wp), intent(in) :: daily(n, n_daily_column)  !! forcing of the day
    real(wp), intent(in) :: temperature(n)  !! while there is light, K
    real(wp), intent(in) :: deficit(n)  !! while there is light, Pa
    real(wp), intent(out) :: production(n)  !! kg C m-2 d-1
    real(wp), intent(out) :: chi(n)  !! leaf-internal over ambient CO2
    real(wp), dimension(n) :: michaelis_menten, compensation, viscosity, co2, yield, photons, xi, ci, light, carbon, use
    real(wp), dimension(n) :: vcmax, jmax, conductance, feasible, cost, use_c4, chi_c4
    real(wp) :: a, b
    integer :: i

    call pmodel_environment(n, gas_constant, oxygen_mole_fraction, temperature, daily(1, daily_pressure), michaelis_menten, &
                            compensation, viscosity)
    do i = 1, n
      ! leaves reflect and transmit some of the light that they intercept
      photons(i) = photons_of_shortwave * daily(i, daily_shortwave) &
                   * (1.0_wp - p(i, parameter_leaf_reflectance_vis) - p(i, parameter_leaf_transmittance_vis))
      co2(i) = 1.0e-6_wp * daily(i, daily_co2) * daily(i, daily_pressure)
      cost(i) = p(i, parameter_pmodel_beta)
    end do
    call pmodel_quantum_yield(n, pmodel_yield_c3, 0.0_wp, 0.0_wp, temperature, p(1, parameter_pmodel_kphio), yield)
    call pmodel_optimum(n, pmodel_chi_c3, pmodel_jmax_wang17, least_deficit, michaelis_menten, compensation, viscosity, co2, &
                        deficit, cost, yield, photons, xi, chi, ci, light, carbon, use, vcmax, jmax, conductance, feasible)
    if (any(p(:, parameter_c4) > 0.5_wp)) then
      do i = 1, n
        cost(i) = cost(i) / 9.0_wp
      end do
      call pmodel_quantum_yield(n, pmodel_yield_c4, 0.0_wp, 0.0_wp, temperature, p(1, parameter_pmodel_kphio), yield)
      call pmodel_optimum(n, pmodel_chi_c4, pmodel_jmax_wang17, least_deficit, michaelis_menten, compensation, viscosity, &
                          co2, deficit, cost, yield, photons, xi, chi_c4, ci, light, carbon, use_c4, vcmax, jmax, &
                          conductance, feasible)
      do i = 1, n
        a = use(i)
        b = use_c4(i)
        use(i) = merge(b, a, p(i, parameter_c4) > 0.5_wp)
        a = chi(i)
        b = chi_c4(i)
        chi(i) = merge(b, a, p(i, parameter_c4) > 0.5_wp)
      end do
    end if
    do i = 1, n
      production(i) = max(0.0_wp, use(i)) * photons(i) * (seconds_per_day * 1.0e-6_wp * molar_mass_carbon)
    end do
  end subroutine potential_production

  subroutine leaf_respiration(n, options, p, derived, daily, state, driver)
    !! Respiration of a canopy that intercepts all light, at the mean temperature of the day. step_offline takes the share
    !! 1 - exp(-0.5 L) of it; respiration that declines with the leaves' nitrogen is met at the largest leaf area.
    integer, intent(in) :: n  !! tiles in the block
    type(model_options), intent(in) :: options  !! schemes
    real(wp), intent(in) :: p(n, n_parameter_column)  !! parameters, units of the table
    real(wp), intent(in) :: derived(n, n_derived_column)  !! units of the table
    real(wp), intent(in) :: daily(n, n_daily_column)  !! forcing of the day
    real(wp), intent(in) :: state(n, n_state_column)  !! units of the table
    real(wp), intent(inout) :: driver(n, n_driver_column)  !! units of the table
    real(wp), dimension(n) :: base, response
    real(wp) :: area, leaves
    integer :: i

    call respiration_base(n, options%leaf_respiration, p(1, parameter_r0), derived(1, derived_leaf_nitrogen), &
                          state(1, state_temperature_30d), p(1, parameter_vcmax25), p(1, parameter_c4), base)
    call respiration_response(n, options%leaf_respiration, gas_constant, daily(1, daily_air_temperature), &
                              p(1, parameter_c4), response)
    do i = 1, n
      area = max(p(i, parameter_maximum_leaf_area), 0.01_wp)
      leaves = (1.0_wp - exp(-p(i, parameter_nitrogen_extinction) * area)) &
               / (p(i, parameter_nitrogen_extinction) * (1.0_wp - exp(-light_extinction * area)))
      driver(i, driver_leaf_respiration) = base(i) * response(i) * leaves &
                                           * (seconds_per_day * 1.0e-6_wp * molar_mass_carbon)
    end do
  end subroutine leaf_respiration

  subroutine decomposition(n, options, p, derived, head, area, evaporation, state, driver)
    !! Scalars of decomposition, as in the fast step.
    integer, intent(in) :: n  !! tiles in the block
    type(model_options), intent(in) :: options  !! schemes
    real(wp), intent(in) :: p(n, n_parameter_column)  !! parameters, units of the table
    real(wp), intent(in) :: derived(n, n_derived_column)  !! units of the table
    real(wp), intent(in) :: head(n, n_soil)  !! m
    real(wp), intent(in) :: area(n)  !! leaf area, m2 m-2
    real(wp), intent(in) :: evaporation(n)  !! potential, kg m-2 d-1
    real(wp), intent(inout) :: state(n, n_state_column)  !! units of the table
    real(wp), intent(inout) :: driver(n, n_driver_column)  !! units of the table
    real(wp), dimension(n) :: scalar, vegetated, depth
    real(wp) :: weight(topsoil_layers)
    integer :: i, k

    call layer_scalar(n, n_carbon_layer, state(1, state_soil_temperature), head, p(1, parameter_decomposition_q10), &
                      derived(1, derived_decomposition_layer_factor), head_dry, head_wet, driver(1, driver_decomposition))
    if (options%soil_carbon == soil_carbon_cencn) return
    weight = soil_thickness(1:topsoil_layers) / sum(soil_thickness(1:topsoil_layers))
    scalar = 0.0_wp
    do k = 1, topsoil_layers
      do i = 1, n
        scalar(i) = scalar(i) + weight(k) * driver(i, driver_decomposition + k - 1)
      end do
    end do
    if (options%soil_carbon == soil_carbon_rothc) then
      do i = 1, n
        vegetated(i) = merge(1.0_wp, 0.0_wp, area(i) > 0.1_wp)
        depth(i) = 23.0_wp
      end do
      call decomposition_scalar(n, topsoil_layers, options%soil_carbon, weight, state(1, state_soil_temperature), head, &
                                p(1, parameter_decomposition_q10), 1.0_wp, head_dry, head_wet, state(1, state_rothc_deficit), &
                                p(1, parameter_clay), 23.0_wp, vegetated, scalar)
      call rothc_deficit_step(n, 1.0_wp, 1.0_wp / 0.556_wp, p(1, parameter_clay), depth, vegetated, &
                              driver(1, driver_precipitation), evaporation, state(1, state_rothc_deficit))
    end if
    do k = 0, n_carbon_layer - 1
      do i = 1, n
        driver(i, driver_decomposition + k) = merge(scalar(i), 0.0_wp, k == 0)
      end do
    end do
  end subroutine decomposition

  elemental function saturation(temperature) result(pressure)
    !! Vapour pressure at saturation over water (Magnus), Pa.
    real(wp), intent(in) :: temperature  !! K
    real(wp) :: pressure
    pressure = 611.2_wp * exp(17.62_wp * (temperature - freezing_point) / (temperature - 30.03_wp))
  end function saturation

  elemental function clear_sky(latitude, day_of_year) result(radiation)
    !! Mean shortwave radiation of a day outside the atmosphere, W m-2 (Allen et al. 1998).
    real(wp), intent(in) :: latitude  !! degrees north
    real(wp), intent(in) :: day_of_year  !! 1 on 1 January
    real(wp) :: radiation, angle, declination, height, sunset
    angle = 1.7202423838958484e-2_wp * day_of_year  ! two pi over 365.25
    declination = 0.409_wp * sin(angle - 1.39_wp)
    height = 1.7453292519943295e-2_wp * min(max(latitude, -89.9_wp), 89.9_wp)
    sunset = acos(min(1.0_wp, max(-1.0_wp, -tan(height) * tan(declination))))
    radiation = 1367.0_wp / 3.141592653589793_wp * (1.0_wp + 0.033_wp * cos(angle)) &
                * (sunset * sin(height) * sin(declination) + cos(height) * cos(declination) * sin(sunset))
  end function clear_sky
end module concerto_daily_drivers
