module concerto_step_fast
  !! The fast step of a block: snow and rain on the canopy, radiation, water stress, energy balance with photosynthesis,
  !! heat and water in snow and soil, respiration, budgets. It wires the process modules and owns no equation but the
  !! book-keeping: every store is updated from the fluxes that are reported, and the step measures what is left over.
  !!
  !! Energy: enthalpy counts from liquid water (and dry matter) at the freezing point. Vapour carries exactly the latent heat
  !! of vaporisation, so evaporation takes mass at constant enthalpy of what remains; rain and snow arrive at air
  !! temperature (rain not below, snow not above freezing); liquid between soil layers carries the heat of where it comes from.
  use, intrinsic :: iso_fortran_env, only: int64
  use concerto_kinds, only: wp
  use concerto_constants, only: freezing_point, latent_heat_fusion, latent_heat_vaporization, latent_heat_sublimation, &
                                heat_capacity_liquid, heat_capacity_ice, density_water, molar_mass_carbon, stefan_boltzmann, &
                                gravity, molar_mass_water
  use concerto_options, only: model_options, vcmax_pmodel, stomata_medlyn, stomata_ball_berry, stomata_leuning, &
                              stomata_sox, plant_hydraulics_on, water_stress_content, &
                              temperature_response_fixed, soil_water_bucket_choice => soil_water_bucket, &
                              soil_carbon_rothc, soil_carbon_cencn, isotopes_on, irrigation_demand
  use concerto_tables
  use concerto_interception, only: canopy_interception, canopy_wet_fraction
  use concerto_radiation, only: canopy_shortwave, split_shortwave, sun_shade_leaves
  use concerto_energy_balance, only: two_source, ground_flux_correction, n_skin_response
  use concerto_photosynthesis, only: jmax_ratio
  use concerto_gas_exchange, only: leaf_gas_exchange
  use concerto_sox, only: sox_capacity
  use concerto_hydraulics, only: hydraulic_stress, hydraulic_state, root_resistance_share => root_share
  use concerto_leaf_respiration, only: respiration_base
  use concerto_snow, only: snow_precipitation, snow_thermal_properties, snow_hydrology, snow_remap, snow_surface, snow_albedo
  use concerto_heat, only: soil_thermal_properties, ground_heat, phase_change, advect_heat, column_enthalpy
  use concerto_retention, only: retention_head
  use concerto_soil_water, only: soil_water_richards, soil_evaporation_limits
  use concerto_soil_bucket, only: soil_water_bucket
  use concerto_roots, only: root_stress, root_supply, root_uptake, root_zone_hydraulics, stress_by_head, stress_by_moisture
  use concerto_vegetation, only: maintenance_respiration, maintenance_response, root_zone_mean
  use concerto_isotopes, only: add_discrimination
  use concerto_step_slow, only: carbon_totals
  use concerto_environment_scalars, only: layer_scalar, decomposition_scalar, &
    head_dry => decomposition_driest, head_wet => decomposition_wettest
  implicit none
  private
  public :: step_fast

  ! parts of the step whose time can be measured, in their order
  integer, parameter, public :: n_section = 8
  integer, parameter :: section_precipitation = 1, section_radiation = 2, section_soil_state = 3, section_energy = 4, &
                        section_heat = 5, section_soil_water = 6, section_carbon = 7, section_budgets = 8
  integer, parameter :: sweeps = 6  !! of the energy balance
  integer, parameter :: decomposition_layers = 5  !! soil layers that a one-layer carbon scheme sees (0.28 m)
  real(wp), parameter :: top_share = 0.5_wp  !! part of the first layer's water that may evaporate; the rest is left to roots
  real(wp), parameter :: surface_layer = 0.015_wp  !! largest dry surface layer, m
  real(wp), parameter :: lowest_head = -1.0e5_wp  !! m
  real(wp), parameter :: content_change = 0.1_wp  !! largest change of saturation in a sub-step of the soil water
  real(wp), parameter :: no_limit = 1000.0_wp  !! K
  ! discrimination of 13C, per mil: diffusion, Rubisco, PEP carboxylase, leak from bundle sheaths and its share
  real(wp), parameter :: diffusion = 4.4_wp, carboxylation = 27.0_wp, pep = -5.7_wp, leak = 30.0_wp, leakiness = 0.4_wp
  real(wp), parameter :: moist_potential = -0.01_wp  !! root zone with water from outside, MPa

contains

  subroutine step_fast(n, options, dt, forcing, p, derived, state, diagnostics, seconds)
    !! One fast step of a block.
    integer, intent(in) :: n  !! tiles in the block, a multiple of 16
    type(model_options), intent(in) :: options  !! schemes
    real(wp), intent(in) :: dt  !! s
    real(wp), intent(in) :: forcing(n, n_forcing_column)  !! units of the table
    real(wp), intent(in) :: p(n, n_parameter_column)  !! parameters, units of the table
    real(wp), intent(in) :: derived(n, n_derived_column)  !! units of the table
    real(wp), intent(inout) :: state(n, n_state_column)  !! units of the table
    real(wp), intent(inout) :: diagnostics(n, n_diagnostic_column)  !! of this step, units of the table
    real(wp), intent(inout), optional :: seconds(n_section)  !! time spent in each part, added up, s
    real(wp), dimension(n) :: water_before, energy_before, carbon_before, water_after, energy_after, carbon_after
    real(wp), dimension(n) :: leaf_area, stem_area, plant_area, canopy_bottom, canopy_top, depth, snow_mass, cover, buried
    real(wp), dimension(n) :: rain, snow, rain_temperature, snow_temperature, ground_rain, ground_snow, wet, capacity
    real(wp), dimension(n) :: liquid_start, ice_start, unloaded_heat, rain_to_ground, arriving_temperature, arriving_heat
    real(wp), dimension(n) :: snow_vis_beam, snow_vis_diffuse, snow_nir_beam, snow_nir_diffuse
    real(wp), dimension(n) :: ground_vis_beam, ground_vis_diffuse, ground_nir_beam, ground_nir_diffuse
    real(wp), dimension(n) :: beam_vis, beam_nir, diffuse_vis, diffuse_nir, absorbed_canopy, absorbed_ground, reflected
    real(wp), dimension(n) :: par_sunlit, par_shaded, area_sunlit, area_shaded, extinction, scale_sunlit, scale_shaded, dummy
    real(wp), dimension(n) :: stress, supply, soil_resistance, pore_humidity, most_evaporation, theta_open, theta_closed
    real(wp), dimension(n) :: surface_ice, skin_limit, node_temperature, node_conductance, emissivity, canopy_snow
    real(wp), dimension(n) :: leaf_nitrogen, vcmax25, jmax25, respiration25, ratio, slope, co2_pressure
    real(wp), dimension(n) :: stress_stomata, stress_capacity
    real(wp), dimension(n) :: vcmax_sun, vcmax_shade, jmax_sun, jmax_shade, respiration_sun25, respiration_shade25
    real(wp), dimension(n) :: canopy_temperature, air_temperature, air_humidity, ground_temperature, sensible_canopy
    real(wp), dimension(n) :: sensible_ground, transpiration, wet_liquid, wet_ice, ground_evaporation, latent, longwave_up
    real(wp), dimension(n) :: canopy_storage, ground_flux, ground_slope, friction, resistance_air, resistance_leaf
    real(wp), dimension(n) :: resistance_ground, net_sun, net_shade, conductance_sun, conductance_shade, leaf_sun, leaf_shade
    real(wp), dimension(n) :: ci_sun, ci_shade, last_change, balance_residual, final_temperature, final_flux
    real(wp), dimension(n) :: sublimation, melt_outflow, outflow_temperature, outflow_heat, heat_to_soil, unmet, melt
    real(wp), dimension(n) :: water_input, input_temperature, runoff, drainage, inflow_heat, leaving_heat, uptake_heat
    real(wp), dimension(n) :: assimilation, leaf_demand, leaf_paid, stem_paid, root_paid, paid_share, root_temperature
    real(wp), dimension(n) :: stem_response, root_response, sun_share, shade_share, scalar, rh, held, vegetated
    real(wp), dimension(n) :: growth_emission, exported, irrigation
    real(wp), dimension(n) :: uptake_total, root_potential, root_conductance, shoot_conductance, height_potential, damage
    real(wp), dimension(n) :: leaf_potential, stem_potential, conductivity_loss, demand
    logical :: xylem
    real(wp) :: skin_response(n, n_skin_response)
    real(wp), dimension(n, n_soil) :: head, soil_capacity, soil_conductivity, available, uptake, sink
    real(wp), dimension(n, n_soil) :: liquid_before, no_flow
    real(wp), dimension(n, n_carbon_layer) :: decomposition
    real(wp), dimension(n, n_snow) :: pack_capacity, pack_conductivity
    real(wp), dimension(n, n_soil + 1) :: water_flux
    real(wp) :: layer_weight(decomposition_layers)
    real(wp) :: dz, wetness, change_liquid, change_ice, heat, melted, t, area, rate, share
    integer :: i, k, response, passes
    integer(int64) :: clock

    clock = 0
    if (present(seconds)) call system_clock(clock)
    ! ---- stores at the start
    call stored(n, derived, state, water_before, energy_before, carbon_before)

    ! ---- leaf area, snow cover and what of the canopy stands out of it
    do i = 1, n
      leaf_area(i) = state(i, state_leaf_area)
      stem_area(i) = merge(0.0_wp, max(0.05_wp, 0.1_wp * leaf_area(i)) + &
                           0.1_wp * p(i, parameter_maximum_leaf_area) * p(i, parameter_woody), &
                           p(i, parameter_maximum_leaf_area) <= 0.0_wp)
      canopy_bottom(i) = merge(0.3_wp * p(i, parameter_canopy_height), 0.0_wp, p(i, parameter_canopy_height) > 2.0_wp)
      canopy_top(i) = merge(p(i, parameter_canopy_height), 0.2_wp, p(i, parameter_canopy_height) > 2.0_wp)
    end do
    call snow_surface(n, n_snow, p(1, parameter_snow_cover_scale), p(1, parameter_snow_cover_exponent), canopy_bottom, &
                      canopy_top, state(1, state_snow_ice), state(1, state_snow_liquid), state(1, state_snow_thickness), &
                      depth, snow_mass, cover, buried)
    do i = 1, n
      leaf_area(i) = leaf_area(i) * (1.0_wp - buried(i))
      stem_area(i) = stem_area(i) * (1.0_wp - buried(i))
      plant_area(i) = leaf_area(i) + stem_area(i)
      rain(i) = forcing(i, forcing_rainfall)
      snow(i) = forcing(i, forcing_snowfall)
      rain_temperature(i) = max(forcing(i, forcing_air_temperature), freezing_point)
      snow_temperature(i) = min(forcing(i, forcing_air_temperature), freezing_point)
      liquid_start(i) = state(i, state_canopy_liquid)
      ice_start(i) = state(i, state_canopy_ice)
    end do

    ! ---- interception; what stays or leaves does so at the temperature of the precipitation
    call canopy_interception(n, dt, plant_area, p(1, parameter_interception_capacity), rain, snow, &
                             forcing(1, forcing_air_temperature), state(1, state_canopy_temperature), &
                             forcing(1, forcing_wind_speed), state(1, state_canopy_liquid), state(1, state_canopy_ice), &
                             ground_rain, ground_snow)
    do i = 1, n
      change_liquid = state(i, state_canopy_liquid) - liquid_start(i)
      change_ice = state(i, state_canopy_ice) - ice_start(i)
      heat = (derived(i, derived_canopy_dry_capacity) + heat_capacity_liquid * liquid_start(i) &
              + heat_capacity_ice * ice_start(i)) * (state(i, state_canopy_temperature) - freezing_point) &
             + heat_capacity_liquid * change_liquid * (rain_temperature(i) - freezing_point) &
             + heat_capacity_ice * change_ice * (snow_temperature(i) - freezing_point)
      ! ice that leaves is much against a light canopy: it takes its own temperature along, to the snow below
      t = min(state(i, state_canopy_temperature), freezing_point)
      unloaded_heat(i) = heat_capacity_ice * max(-change_ice, 0.0_wp) * (t - snow_temperature(i))
      heat = heat - unloaded_heat(i)
      capacity(i) = derived(i, derived_canopy_dry_capacity) + heat_capacity_liquid * state(i, state_canopy_liquid) &
                    + heat_capacity_ice * state(i, state_canopy_ice)
      state(i, state_canopy_temperature) = freezing_point + heat / max(capacity(i), 1.0e-3_wp)
    end do
    call canopy_wet_fraction(n, plant_area, p(1, parameter_interception_capacity), forcing(1, forcing_air_temperature), &
                             state(1, state_canopy_liquid), state(1, state_canopy_ice), wet)

    ! ---- snow and rain reach the ground
    do i = 1, n
      ground_rain(i) = ground_rain(i) * dt
      ground_snow(i) = ground_snow(i) * dt
    end do
    call snow_precipitation(n, n_snow, ground_snow, ground_rain, forcing(1, forcing_air_temperature), &
                            state(1, state_snow_ice), state(1, state_snow_liquid), state(1, state_snow_thickness), &
                            state(1, state_snow_temperature), rain_to_ground, arriving_temperature, arriving_heat)
    do i = 1, n
      heat = 0.0_wp
      do k = 1, n_snow
        heat = heat + heat_capacity_ice * state(i, state_snow_ice + k - 1) &
               + heat_capacity_liquid * state(i, state_snow_liquid + k - 1)
      end do
      unloaded_heat(i) = unloaded_heat(i) / max(heat, 1.0e-30_wp)  ! K
    end do
    do k = 1, n_snow
      do i = 1, n
        t = state(i, state_snow_ice + k - 1) + state(i, state_snow_liquid + k - 1)
        share = unloaded_heat(i)
        state(i, state_snow_temperature + k - 1) = state(i, state_snow_temperature + k - 1) + merge(share, 0.0_wp, t > 0.0_wp)
      end do
    end do

    if (present(seconds)) call lap(clock, seconds(section_precipitation))
    ! ---- shortwave radiation
    call snow_albedo(n, dt, ground_snow, snow_mass, state(1, state_ground_temperature), forcing(1, forcing_cosine_zenith), &
                     state(1, state_snow_age), snow_vis_beam, snow_vis_diffuse, snow_nir_beam, snow_nir_diffuse)
    do i = 1, n
      wetness = min(1.0_wp, state(i, state_soil_liquid) / p(i, parameter_theta_sat))
      ground_vis_diffuse(i) = p(i, parameter_soil_albedo_dry_vis) &
                              + wetness * (p(i, parameter_soil_albedo_wet_vis) - p(i, parameter_soil_albedo_dry_vis))
      ground_nir_diffuse(i) = p(i, parameter_soil_albedo_dry_nir) &
                              + wetness * (p(i, parameter_soil_albedo_wet_nir) - p(i, parameter_soil_albedo_dry_nir))
      ground_vis_beam(i) = ground_vis_diffuse(i) + cover(i) * (snow_vis_beam(i) - ground_vis_diffuse(i))
      ground_nir_beam(i) = ground_nir_diffuse(i) + cover(i) * (snow_nir_beam(i) - ground_nir_diffuse(i))
      ground_vis_diffuse(i) = ground_vis_diffuse(i) + cover(i) * (snow_vis_diffuse(i) - ground_vis_diffuse(i))
      ground_nir_diffuse(i) = ground_nir_diffuse(i) + cover(i) * (snow_nir_diffuse(i) - ground_nir_diffuse(i))
      share = state(i, state_canopy_ice) / max(state(i, state_canopy_ice) + state(i, state_canopy_liquid), 1.0e-12_wp)
      canopy_snow(i) = wet(i) * share
    end do
    call split_shortwave(n, 0.5_wp, forcing(1, forcing_shortwave_down), forcing(1, forcing_cosine_zenith), &
                         forcing(1, forcing_day_of_year), forcing(1, forcing_pressure), &
                         beam_vis, beam_nir, diffuse_vis, diffuse_nir)
    call canopy_shortwave(n, options%canopy_light, leaf_area, stem_area, p(1, parameter_leaf_orientation), &
                          p(1, parameter_leaf_reflectance_vis), p(1, parameter_leaf_reflectance_nir), &
                          p(1, parameter_leaf_transmittance_vis), p(1, parameter_leaf_transmittance_nir), &
                          p(1, parameter_stem_reflectance_vis), p(1, parameter_stem_reflectance_nir), &
                          p(1, parameter_stem_transmittance_vis), p(1, parameter_stem_transmittance_nir), &
                          p(1, parameter_clumping), canopy_snow, forcing(1, forcing_cosine_zenith), &
                          beam_vis, beam_nir, diffuse_vis, diffuse_nir, ground_vis_beam, ground_nir_beam, &
                          ground_vis_diffuse, ground_nir_diffuse, absorbed_canopy, absorbed_ground, reflected, &
                          par_sunlit, par_shaded, area_sunlit, area_shaded, extinction)
    call sun_shade_leaves(n, leaf_area, stem_area, extinction, forcing(1, forcing_cosine_zenith), &
                          p(1, parameter_nitrogen_extinction), area_sunlit, area_shaded, scale_sunlit, scale_shaded)

    if (present(seconds)) call lap(clock, seconds(section_radiation))
    ! ---- soil: masses, heat properties, potential, water stress, what may evaporate
    call soil_thermal_properties(n, n_soil, soil_thickness, p(1, parameter_theta_sat), derived(1, derived_dry_capacity), &
                                 derived(1, derived_dry_conductivity), derived(1, derived_log_solid_conductivity), &
                                 state(1, state_soil_liquid), state(1, state_soil_ice), soil_capacity, soil_conductivity)
    call snow_thermal_properties(n, n_snow, state(1, state_snow_ice), state(1, state_snow_liquid), &
                                 state(1, state_snow_thickness), pack_capacity, pack_conductivity)
    call retention_head(n, n_soil, state(1, state_soil_liquid), state(1, state_soil_ice), p(1, parameter_theta_sat), &
                        p(1, parameter_theta_res), p(1, parameter_vg_alpha), p(1, parameter_vg_n), lowest_head, head)
    xylem = options%stomata == stomata_sox .or. options%plant_hydraulics == plant_hydraulics_on
    do i = 1, n
      theta_open(i) = 1.0_wp
      theta_closed(i) = 0.0_wp
    end do
    if (options%water_stress == water_stress_content) then
      do i = 1, n
        theta_open(i) = content(p(i, parameter_field_capacity_head), p(i, parameter_theta_sat), p(i, parameter_theta_res), &
                                p(i, parameter_vg_alpha), p(i, parameter_vg_n))
        theta_closed(i) = content(p(i, parameter_wilting_head), p(i, parameter_theta_sat), p(i, parameter_theta_res), &
                                  p(i, parameter_vg_alpha), p(i, parameter_vg_n))
      end do
    end if
    call root_stress(n, n_soil, merge(stress_by_moisture, stress_by_head, options%water_stress == water_stress_content), &
                     derived(1, derived_root_fraction), state(1, state_soil_liquid), head, &
                     state(1, state_soil_temperature), p(1, parameter_stress_head_open), p(1, parameter_stress_head_closed), &
                     theta_open, theta_closed, available, stress)
    uptake_total = stress
    if (xylem) call root_zone(n, p, derived, state, head, leaf_area, available, uptake_total, root_potential, &
                              root_conductance, shoot_conductance, height_potential)
    call root_supply(n, n_soil, dt, soil_thickness, 1.0_wp - top_share, state(1, state_soil_liquid), &
                     p(1, parameter_theta_res), available, uptake_total, supply)
    do i = 1, n
      dummy(i) = surface_layer
    end do
    call soil_evaporation_limits(n, dt, soil_thickness(1), top_share, state(1, state_ground_temperature), &
                                 state(1, state_soil_liquid), state(1, state_soil_ice), head(1, 1), p(1, parameter_theta_sat), &
                                 p(1, parameter_theta_res), p(1, parameter_vg_alpha), p(1, parameter_vg_n), dummy, &
                                 soil_resistance, pore_humidity, most_evaporation)

    ! ---- the surface that the energy balance meets: soil, or the uppermost snow layer
    do i = 1, n
      node_temperature(i) = state(i, state_soil_temperature)
      node_conductance(i) = 2.0_wp * soil_conductivity(i, 1) / soil_thickness(1)
      surface_ice(i) = merge(1.0_wp, 0.0_wp, pack_capacity(i, n_snow) > 0.0_wp)
    end do
    do k = n_snow, 1, -1
      do i = 1, n
        t = state(i, state_snow_temperature + k - 1)
        rate = 2.0_wp * pack_conductivity(i, k) / max(state(i, state_snow_thickness + k - 1), 1.0e-6_wp)
        share = merge(1.0_wp, 0.0_wp, pack_capacity(i, k) > 0.0_wp)
        node_temperature(i) = share * t + (1.0_wp - share) * node_temperature(i)
        node_conductance(i) = share * rate + (1.0_wp - share) * node_conductance(i)
      end do
    end do
    do i = 1, n
      area = 0.0_wp
      do k = 1, n_snow
        area = area + state(i, state_snow_ice + k - 1)
      end do
      skin_limit(i) = merge(freezing_point, no_limit, surface_ice(i) > 0.5_wp)
      emissivity(i) = merge(p(i, parameter_snow_emissivity), p(i, parameter_ground_emissivity), surface_ice(i) > 0.5_wp)
      most_evaporation(i) = merge(area / dt, most_evaporation(i), surface_ice(i) > 0.5_wp)
      soil_resistance(i) = merge(0.0_wp, soil_resistance(i), surface_ice(i) > 0.5_wp)
      pore_humidity(i) = merge(1.0_wp, pore_humidity(i), surface_ice(i) > 0.5_wp)
      rate = max(p(i, parameter_hold_soil_water), p(i, parameter_outside_water))
      supply(i) = merge(1.0_wp, supply(i), rate > 0.5_wp)
      stress(i) = merge(1.0_wp, stress(i), rate > 0.5_wp .and. stress(i) > 0.0_wp)
      uptake_total(i) = merge(1.0_wp, uptake_total(i), rate > 0.5_wp .and. uptake_total(i) > 0.0_wp)
    end do

    if (present(seconds)) call lap(clock, seconds(section_soil_state))
    ! ---- leaf capacities
    response = options%temperature_response
    if (options%vcmax == vcmax_pmodel) response = temperature_response_fixed  ! acclimation lies in the optimal capacities
    if (options%vcmax == vcmax_pmodel) then
      vcmax25 = state(:, state_pmodel_vcmax25)
      jmax25 = state(:, state_pmodel_jmax25)
    else
      call jmax_ratio(n, response, state(1, state_temperature_30d), p(1, parameter_home_temperature), ratio)
      vcmax25 = p(:, parameter_vcmax25)
      jmax25 = ratio * vcmax25
    end if
    do i = 1, n
      leaf_nitrogen(i) = derived(i, derived_leaf_nitrogen) * state(i, state_leaf_nitrogen_factor)
    end do
    call respiration_base(n, options%leaf_respiration, p(1, parameter_r0), leaf_nitrogen, &
                          state(1, state_temperature_30d), vcmax25, p(1, parameter_c4), respiration25)
    select case (options%stomata)
    case (stomata_medlyn)
      slope = p(:, parameter_g1)
    case (stomata_ball_berry)
      slope = p(:, parameter_ball_berry_slope)
    case (stomata_leuning)
      slope = p(:, parameter_leuning_a1)
    case (stomata_sox)
      do i = 1, n
        damage(i) = max(1.0_wp - state(i, state_xylem_damage), 1.0e-3_wp)
        demand(i) = p(i, parameter_sox_resistance) / damage(i)
        leaf_potential(i) = root_potential(i) - height_potential(i)
        ! what the soil around the roots adds to the resistance of the plant, per leaf area
        dummy(i) = max(leaf_area(i), 0.1_wp) / root_conductance(i) - root_resistance_share / p(i, parameter_plant_conductance)
      end do
      call sox_capacity(n, 1.6_wp, leaf_potential, p(1, parameter_xylem_psi50), p(1, parameter_xylem_shape), demand, dummy, &
                        slope)
    case default
      slope = state(:, state_pmodel_xi) * sqrt(1.0e-3_wp)  ! Pa0.5 to kPa0.5
    end select
    do i = 1, n
      ! evergreen needles rest in winter and wake with the mean temperature of the last days (Makela et al. 2004)
      rate = (state(i, state_temperature_10d) - p(i, parameter_cold_capacity_temperature)) / p(i, parameter_cold_capacity_range)
      rate = min(1.0_wp, max(0.02_wp, rate)) * state(i, state_leaf_nitrogen_factor)
      vcmax25(i) = vcmax25(i) * rate
      jmax25(i) = jmax25(i) * rate
      vcmax_sun(i) = vcmax25(i) * scale_sunlit(i)
      vcmax_shade(i) = vcmax25(i) * scale_shaded(i)
      jmax_sun(i) = jmax25(i) * scale_sunlit(i)
      jmax_shade(i) = jmax25(i) * scale_shaded(i)
      respiration_sun25(i) = respiration25(i) * scale_sunlit(i)
      respiration_shade25(i) = respiration25(i) * scale_shaded(i)
      co2_pressure(i) = forcing(i, forcing_co2) * 1.0e-6_wp * forcing(i, forcing_pressure)
      rate = log(max(stress(i), 1.0e-6_wp))
      stress_stomata(i) = exp(p(i, parameter_stress_exponent_stomata) * rate)
      stress_capacity(i) = exp(p(i, parameter_stress_exponent_capacity) * rate)
    end do
    if (options%stomata == stomata_sox) then  ! drought acts through the xylem alone
      do i = 1, n
        stress_stomata(i) = 1.0_wp
        stress_capacity(i) = 1.0_wp
      end do
    else if (options%plant_hydraulics == plant_hydraulics_on) then
      call leaf_water_stress()
    end if

    ! ---- energy balance of canopy and ground with photosynthesis
    call two_source(n, sweeps, options%stomata, response, options%kinetics, options%leaf_respiration, options%ci_solver, dt, &
                    1.0_wp, forcing(1, forcing_air_temperature), forcing(1, forcing_specific_humidity), &
                    forcing(1, forcing_pressure), forcing(1, forcing_wind_speed), forcing(1, forcing_longwave_down), &
                    p(1, parameter_reference_height), p(1, parameter_canopy_height), area_sunlit, area_shaded, stem_area, &
                    p(1, parameter_leaf_width), p(1, parameter_roughness_ratio), p(1, parameter_displacement_ratio), &
                    p(1, parameter_wind_extinction), absorbed_canopy, absorbed_ground, wet, state(1, state_canopy_liquid), &
                    state(1, state_canopy_ice), supply, capacity, state(1, state_canopy_temperature), &
                    state(1, state_ground_temperature), node_temperature, node_conductance, emissivity, &
                    p(1, parameter_ground_roughness), pore_humidity, soil_resistance, surface_ice, skin_limit, &
                    most_evaporation, co2_pressure, par_sunlit, par_shaded, vcmax_sun, vcmax_shade, jmax_sun, jmax_shade, &
                    respiration_sun25, respiration_shade25, state(1, state_temperature_30d), &
                    p(1, parameter_home_temperature), p(1, parameter_c4), p(1, parameter_theta_cj), &
                    p(1, parameter_theta_ip), p(1, parameter_quantum_yield), p(1, parameter_theta_j), p(1, parameter_g0), &
                    slope, p(1, parameter_g_min), stress_stomata, stress_capacity, canopy_temperature, air_temperature, &
                    air_humidity, ground_temperature, sensible_canopy, sensible_ground, transpiration, wet_liquid, wet_ice, &
                    ground_evaporation, latent, longwave_up, canopy_storage, ground_flux, ground_slope, friction, &
                    resistance_air, resistance_leaf, resistance_ground, net_sun, net_shade, conductance_sun, &
                    conductance_shade, leaf_sun, leaf_shade, ci_sun, ci_shade, last_change, balance_residual, skin_response)

    if (options%plant_hydraulics == plant_hydraulics_on) then
      call plant_water()
    else
      do i = 1, n
        leaf_potential(i) = 0.0_wp
        conductivity_loss(i) = 0.0_wp
      end do
      if (.not. xylem) root_potential = 0.0_wp
    end if

    if (present(seconds)) call lap(clock, seconds(section_energy))
    ! ---- heat in snow and soil moves the skin; the fluxes follow it
    call ground_heat(n, n_snow, n_soil, dt, soil_thickness, derived(1, derived_freezing_exponent), ground_flux, ground_slope, &
                     ground_temperature, state(1, state_snow_ice), state(1, state_snow_thickness), pack_capacity, &
                     pack_conductivity, state(1, state_soil_liquid), state(1, state_soil_ice), soil_capacity, &
                     soil_conductivity, state(1, state_snow_temperature), state(1, state_soil_temperature), &
                     final_temperature, final_flux)
    call ground_flux_correction(n, dt, absorbed_canopy, absorbed_ground, forcing(1, forcing_longwave_down), plant_area, &
                                state(1, state_canopy_liquid), state(1, state_canopy_ice), supply, most_evaporation, &
                                surface_ice, capacity, ground_temperature, final_temperature, skin_response, &
                                canopy_temperature, air_temperature, air_humidity, sensible_canopy, sensible_ground, &
                                transpiration, wet_liquid, wet_ice, ground_evaporation, longwave_up, canopy_storage, &
                                ground_flux, latent, balance_residual)

    ! ---- canopy water and temperature
    do i = 1, n
      ! a canopy that is buried or absent takes no part and keeps its heat
      t = state(i, state_canopy_temperature)
      rate = canopy_temperature(i)
      t = merge(rate, t, plant_area(i) >= 1.0e-4_wp)
      heat = capacity(i) * (t - freezing_point)  ! J m-2, evaporation leaves it unchanged
      ! the fluxes are limited to the stores; the maximum only takes care of the last bit of dt x store / dt
      state(i, state_canopy_liquid) = max(0.0_wp, state(i, state_canopy_liquid) - dt * wet_liquid(i))
      state(i, state_canopy_ice) = max(0.0_wp, state(i, state_canopy_ice) - dt * wet_ice(i))
      ! melt or freeze what the heat allows
      melted = min(state(i, state_canopy_ice), max(heat, 0.0_wp) / latent_heat_fusion) &
               - min(state(i, state_canopy_liquid), max(-heat, 0.0_wp) / latent_heat_fusion)
      heat = heat - latent_heat_fusion * melted
      state(i, state_canopy_liquid) = state(i, state_canopy_liquid) + melted
      state(i, state_canopy_ice) = state(i, state_canopy_ice) - melted
      capacity(i) = derived(i, derived_canopy_dry_capacity) + heat_capacity_liquid * state(i, state_canopy_liquid) &
                    + heat_capacity_ice * state(i, state_canopy_ice)
      state(i, state_canopy_temperature) = freezing_point + heat / max(capacity(i), 1.0e-3_wp)
      state(i, state_ground_temperature) = final_temperature(i)
      ! linear in the skin temperature: may pass zero where the skin cools fast in dry air; only a start value
    end do

    ! ---- snow: sublimation, melt, percolation, compaction; then freezing and thawing of the soil
    do i = 1, n
      sublimation(i) = dt * ground_evaporation(i) * surface_ice(i)
    end do
    call snow_hydrology(n, n_snow, dt, state(1, state_soil_temperature), sublimation, state(1, state_snow_ice), &
                        state(1, state_snow_liquid), state(1, state_snow_thickness), state(1, state_snow_temperature), &
                        melt_outflow, outflow_temperature, outflow_heat, heat_to_soil, unmet, melt)
    do i = 1, n  ! what the pack could not give is not evaporated; its latent heat becomes sensible heat
      ground_evaporation(i) = ground_evaporation(i) - unmet(i) / dt
      latent(i) = latent(i) - latent_heat_sublimation * unmet(i) / dt
      sensible_ground(i) = sensible_ground(i) + latent_heat_sublimation * unmet(i) / dt
    end do
    call snow_remap(n, n_snow, state(1, state_snow_ice), state(1, state_snow_liquid), state(1, state_snow_thickness), &
                    state(1, state_snow_temperature))
    call phase_change(n, n_soil, 1, soil_thickness, p(1, parameter_theta_sat), derived(1, derived_freezing_exponent), &
                      derived(1, derived_freezing_entry), derived(1, derived_dry_capacity), heat_to_soil, &
                      state(1, state_soil_liquid), state(1, state_soil_ice), state(1, state_soil_temperature))
    ! ---- soil water
    call root_uptake(n, n_soil, transpiration, supply, available, uptake_total, dummy, uptake)
    do k = 1, n_soil
      do i = 1, n
        sink(i, k) = uptake(i, k) * merge(0.0_wp, 1.0_wp, p(i, parameter_outside_water) > 0.5_wp)
      end do
    end do
    do i = 1, n
      sink(i, 1) = sink(i, 1) + ground_evaporation(i) * (1.0_wp - surface_ice(i))
    end do
    ! water that was promised as liquid and froze in this step thaws at the expense of the layer's temperature
    do k = 1, n_soil
      dz = density_water * soil_thickness(k)
      do i = 1, n
        t = state(i, state_soil_liquid + k - 1)
        share = state(i, state_soil_ice + k - 1)
        melted = min(share, max(0.0_wp, dt * sink(i, k) / dz + 1.0e-6_wp - t))
        rate = derived(i, derived_dry_capacity) + density_water * (heat_capacity_liquid * t + heat_capacity_ice * share)
        heat = rate * (state(i, state_soil_temperature + k - 1) - freezing_point) - density_water * latent_heat_fusion * melted
        rate = rate + density_water * (heat_capacity_liquid - heat_capacity_ice) * melted
        heat = freezing_point + heat / rate
        rate = state(i, state_soil_temperature + k - 1)
        state(i, state_soil_temperature + k - 1) = merge(heat, rate, melted > 0.0_wp)
        state(i, state_soil_liquid + k - 1) = t + melted
        state(i, state_soil_ice + k - 1) = share - melted
      end do
    end do
    do k = 1, n_soil
      do i = 1, n
        liquid_before(i, k) = state(i, state_soil_liquid + k - 1)
        no_flow(i, k) = 0.0_wp
      end do
    end do

    if (present(seconds)) call lap(clock, seconds(section_heat))
    do i = 1, n
      ! irrigation comes to the ground, below leaves, as warm as rain
      irrigation(i) = merge(state(i, state_irrigation_rate), 0.0_wp, options%irrigation == irrigation_demand)
      area = rain_to_ground(i) + melt_outflow(i) + dt * irrigation(i)
      water_input(i) = area / dt
      heat = rain_to_ground(i) * (arriving_temperature(i) - freezing_point) &
             + melt_outflow(i) * (outflow_temperature(i) - freezing_point) &
             + dt * irrigation(i) * (rain_temperature(i) - freezing_point)
      input_temperature(i) = freezing_point + merge(heat / max(area, 1.0e-30_wp), 0.0_wp, area > 0.0_wp)
    end do
    if (options%soil_water == soil_water_bucket_choice) then
      call soil_water_bucket(n, n_soil, dt, soil_thickness, water_input, sink, state(1, state_soil_ice), &
                             p(1, parameter_theta_sat), p(1, parameter_theta_res), p(1, parameter_vg_alpha), &
                             p(1, parameter_vg_n), p(1, parameter_vg_l), p(1, parameter_k_sat), state(1, state_soil_liquid), &
                             water_flux, runoff, drainage)
    else
      call soil_water_richards(n, n_soil, dt, content_change, 0.0_wp, soil_thickness, water_input, sink, &
                               state(1, state_soil_ice), p(1, parameter_theta_sat), p(1, parameter_theta_res), &
                               p(1, parameter_vg_alpha), p(1, parameter_vg_n), p(1, parameter_vg_l), p(1, parameter_k_sat), &
                               state(1, state_soil_liquid), water_flux, runoff, drainage, passes)
    end if
    ! without precipitation in the forcing the soil keeps its water: what leaves it is replaced, what comes runs off
    do i = 1, n
      share = merge(1.0_wp, 0.0_wp, p(i, parameter_hold_soil_water) > 0.5_wp)
      rate = merge(1.0_wp, 0.0_wp, p(i, parameter_outside_water) > 0.5_wp)
      held(i) = max(share, rate) * transpiration(i) + share * ground_evaporation(i) * (1.0_wp - surface_ice(i))
      runoff(i) = share * (water_input(i) * dt) + (1.0_wp - share) * runoff(i)
      drainage(i) = (1.0_wp - share) * drainage(i)
      water_flux(i, n_soil + 1) = (1.0_wp - share) * water_flux(i, n_soil + 1)
    end do
    do k = 1, n_soil
      do i = 1, n
        share = merge(1.0_wp, 0.0_wp, p(i, parameter_hold_soil_water) > 0.5_wp)
        state(i, state_soil_liquid + k - 1) = share * liquid_before(i, k) + (1.0_wp - share) * state(i, state_soil_liquid + k - 1)
        water_flux(i, k) = (1.0_wp - share) * water_flux(i, k)
      end do
    end do
    call advect_heat(n, n_soil, soil_thickness, derived(1, derived_dry_capacity), liquid_before, &
                     state(1, state_soil_liquid), state(1, state_soil_ice), water_flux, input_temperature, no_flow, no_flow, &
                     state(1, state_soil_temperature), inflow_heat, leaving_heat, uptake_heat)

    if (present(seconds)) call lap(clock, seconds(section_soil_water))
    ! ---- carbon: photosynthesis, respiration of plants and soil
    do i = 1, n
      area = merge(1.0_wp, 0.0_wp, area_sunlit(i) + area_shaded(i) > 1.0e-4_wp)
      rate = (net_sun(i) + leaf_sun(i)) * area_sunlit(i) + (net_shade(i) + leaf_shade(i)) * area_shaded(i)
      share = leaf_sun(i) * area_sunlit(i) + leaf_shade(i) * area_shaded(i)
      assimilation(i) = area * rate * molar_mass_carbon * 1.0e-6_wp
      leaf_demand(i) = area * share * molar_mass_carbon * 1.0e-6_wp
    end do
    call root_zone_mean(n, n_root, derived(1, derived_root_fraction), state(1, state_soil_temperature), root_temperature)
    call maintenance_response(n, options%maintenance, options%maintenance_acclimation, forcing(1, forcing_air_temperature), &
                              p(1, parameter_maintenance_q10), state(1, state_temperature_10d), stem_response)
    call maintenance_response(n, options%maintenance, options%maintenance_acclimation, root_temperature, &
                              p(1, parameter_maintenance_q10), state(1, state_temperature_10d), root_response)
    call maintenance_respiration(n, state(1, state_carbon_labile), state(1, state_carbon_fine_root), &
                                 state(1, state_carbon_sapwood), leaf_demand, stem_response, root_response, &
                                 p(1, parameter_root_respiration), p(1, parameter_sapwood_respiration), &
                                 p(1, parameter_respiration_factor), p(1, parameter_root_cn), p(1, parameter_sapwood_cn), &
                                 leaf_paid, stem_paid, root_paid, paid_share)
    if (options%isotopes == isotopes_on) then
      do i = 1, n
        area = molar_mass_carbon * 1.0e-6_wp
        sun_share(i) = area * (net_sun(i) + leaf_sun(i)) * area_sunlit(i)
        shade_share(i) = area * (net_shade(i) + leaf_shade(i)) * area_shaded(i)
      end do
      call add_discrimination(n, dt, diffusion, carboxylation, pep, leak, leakiness, sun_share, ci_sun, co2_pressure, &
                              p(1, parameter_c4), state(1, state_day_discrimination))
      call add_discrimination(n, dt, diffusion, carboxylation, pep, leak, leakiness, shade_share, ci_shade, co2_pressure, &
                              p(1, parameter_c4), state(1, state_day_discrimination))
    end if
    call layer_scalar(n, n_carbon_layer, state(1, state_soil_temperature), head, p(1, parameter_decomposition_q10), &
                      derived(1, derived_decomposition_layer_factor), head_dry, head_wet, decomposition)
    if (options%soil_carbon /= soil_carbon_cencn) then
      ! one-layer schemes see the mean of the top, or have their own scalar; it stands in the first layer
      layer_weight = soil_thickness(1:decomposition_layers) / sum(soil_thickness(1:decomposition_layers))
      do i = 1, n
        scalar(i) = 0.0_wp
        vegetated(i) = merge(1.0_wp, 0.0_wp, state(i, state_leaf_area) > 0.1_wp)
      end do
      do k = 1, decomposition_layers
        do i = 1, n
          scalar(i) = scalar(i) + layer_weight(k) * decomposition(i, k)
        end do
      end do
      if (options%soil_carbon == soil_carbon_rothc) then
        call decomposition_scalar(n, decomposition_layers, options%soil_carbon, layer_weight, &
                                  state(1, state_soil_temperature), head, p(1, parameter_decomposition_q10), 1.0_wp, &
                                  head_dry, head_wet, state(1, state_rothc_deficit), p(1, parameter_clay), 23.0_wp, &
                                  vegetated, scalar)
      end if
      decomposition = 0.0_wp
      decomposition(:, 1) = scalar
    end if
    do i = 1, n
      rh(i) = state(i, state_buffer_release)
    end do
    do k = 1, n_carbon_layer
      do i = 1, n
        rh(i) = rh(i) + decomposition(i, k) * state(i, state_respiration_capacity + k - 1)
        state(i, state_day_decomposition + k - 1) = state(i, state_day_decomposition + k - 1) + dt * decomposition(i, k)
        state(i, state_day_soil_temperature + k - 1) = state(i, state_day_soil_temperature + k - 1) &
                                                       + dt * state(i, state_soil_temperature + k - 1)
      end do
    end do
    ! the columns of a block do not overlap
    !GCC$ ivdep
    do i = 1, n
      rate = leaf_paid(i) + stem_paid(i) + root_paid(i)
      state(i, state_carbon_npp_day) = state(i, state_carbon_npp_day) + dt * (assimilation(i) - rate)
      ! released evenly through the day; never more than there is, should a host's day be longer
      growth_emission(i) = min(state(i, state_growth_release), state(i, state_carbon_growth_buffer) / dt)
      state(i, state_carbon_growth_buffer) = state(i, state_carbon_growth_buffer) - dt * growth_emission(i)
      state(i, state_carbon_rh_buffer) = state(i, state_carbon_rh_buffer) - dt * rh(i)
      t = state(i, state_carbon_export_buffer)  ! below 0 after sowing
      exported(i) = max(min(state(i, state_export_release), max(0.0_wp, t) / dt), min(0.0_wp, t) / dt)
      state(i, state_carbon_export_buffer) = t - dt * exported(i)
      t = state(i, state_harvest_buffer)  ! the part of it that is counted as harvest
      rate = max(min(state(i, state_harvest_release), max(0.0_wp, t) / dt), min(0.0_wp, t) / dt)
      state(i, state_harvest_buffer) = t - dt * rate
      state(i, state_harvested_carbon) = state(i, state_harvested_carbon) + dt * rate

      ! sums for the daily step
      state(i, state_day_steps) = state(i, state_day_steps) + dt
      state(i, state_day_air_temperature) = state(i, state_day_air_temperature) + dt * forcing(i, forcing_air_temperature)
      state(i, state_day_shortwave) = state(i, state_day_shortwave) + dt * forcing(i, forcing_shortwave_down)
      state(i, state_day_stress) = state(i, state_day_stress) + dt * stress(i)
      state(i, state_day_rain) = state(i, state_day_rain) + dt * (rain(i) + snow(i))
      state(i, state_day_gpp) = state(i, state_day_gpp) + dt * assimilation(i)
      state(i, state_day_leaf_respiration) = state(i, state_day_leaf_respiration) + dt * leaf_demand(i)
      state(i, state_day_stem_response) = state(i, state_day_stem_response) + dt * stem_response(i)
      state(i, state_day_root_response) = state(i, state_day_root_response) + dt * root_response(i)
      t = max(0.0_wp, 611.2_wp * exp(17.62_wp * (forcing(i, forcing_air_temperature) - freezing_point) &
                                     / (forcing(i, forcing_air_temperature) - 30.03_wp)) &
              - forcing(i, forcing_specific_humidity) * forcing(i, forcing_pressure) &
              / (0.622_wp + 0.378_wp * forcing(i, forcing_specific_humidity)))
      state(i, state_day_vapour_deficit) = state(i, state_day_vapour_deficit) + dt * t
      state(i, state_day_lowest_temperature) = min(state(i, state_day_lowest_temperature), &
                                                   forcing(i, forcing_air_temperature) - 400.0_wp)
      state(i, state_day_warmest_canopy) = max(state(i, state_day_warmest_canopy), state(i, state_canopy_temperature))
      state(i, state_day_highest_temperature) = max(state(i, state_day_highest_temperature), &
                                                    forcing(i, forcing_air_temperature))
      state(i, state_day_transpiration) = state(i, state_day_transpiration) + dt * transpiration(i)
      state(i, state_day_drainage) = state(i, state_day_drainage) + drainage(i)
      state(i, state_day_runoff) = state(i, state_day_runoff) + runoff(i)
      state(i, state_day_deposition) = state(i, state_day_deposition) + dt * forcing(i, forcing_nitrogen_deposition)
      rate = forcing(i, forcing_noon_weight) * dt
      state(i, state_noon_sums) = state(i, state_noon_sums) + rate
      state(i, state_noon_sums + 1) = state(i, state_noon_sums + 1) + rate * forcing(i, forcing_air_temperature)
      state(i, state_noon_sums + 2) = state(i, state_noon_sums + 2) + rate * t
      state(i, state_noon_sums + 3) = state(i, state_noon_sums + 3) + rate * forcing(i, forcing_co2)
      state(i, state_noon_sums + 4) = state(i, state_noon_sums + 4) + rate * forcing(i, forcing_pressure)
      state(i, state_noon_sums + 5) = state(i, state_noon_sums + 5) + rate * 2.3_wp * forcing(i, forcing_shortwave_down)
    end do

    if (present(seconds)) call lap(clock, seconds(section_carbon))
    ! ---- budgets and diagnostics
    call stored(n, derived, state, water_after, energy_after, carbon_after)
    ! the columns of a block do not overlap
    !GCC$ ivdep
    do i = 1, n
      rate = wet_liquid(i) + wet_ice(i) + transpiration(i) + ground_evaporation(i)
      share = forcing(i, forcing_shortwave_down) - reflected(i) + forcing(i, forcing_longwave_down) - longwave_up(i)
      heat = sensible_canopy(i) + sensible_ground(i)
      diagnostics(i, diagnostic_residual_water) = water_after(i) - water_before(i) &
        - dt * (rain(i) + snow(i) - rate + held(i) + irrigation(i)) + runoff(i) + drainage(i)
      t = heat_capacity_liquid * water_input(i) * (input_temperature(i) - freezing_point)  ! W m-2 offered to the soil
      diagnostics(i, diagnostic_residual_energy) = t &
        + (energy_after(i) - energy_before(i) + leaving_heat(i) - inflow_heat(i)) / dt &
        - (share - heat - latent(i) + latent_heat_fusion * (wet_ice(i) + ground_evaporation(i) * surface_ice(i))) &
        - heat_capacity_liquid * (rain(i) + irrigation(i)) * (rain_temperature(i) - freezing_point) &
        - snow(i) * (heat_capacity_ice * (snow_temperature(i) - freezing_point) - latent_heat_fusion)
      t = leaf_paid(i) + stem_paid(i) + root_paid(i) + growth_emission(i)
      diagnostics(i, diagnostic_residual_carbon) = carbon_after(i) - carbon_before(i) &
        - dt * (assimilation(i) - t - rh(i) - exported(i))
      state(i, state_day_net_radiation) = state(i, state_day_net_radiation) + dt * share

      diagnostics(i, diagnostic_gpp) = assimilation(i)
      diagnostics(i, diagnostic_ra) = t
      diagnostics(i, diagnostic_ra_leaf) = leaf_paid(i)
      diagnostics(i, diagnostic_ra_stem) = stem_paid(i)
      diagnostics(i, diagnostic_ra_root) = root_paid(i)
      diagnostics(i, diagnostic_ra_growth) = growth_emission(i)
      diagnostics(i, diagnostic_rh) = rh(i)
      diagnostics(i, diagnostic_npp) = assimilation(i) - t
      diagnostics(i, diagnostic_nbp) = assimilation(i) - t - rh(i) - exported(i)
      diagnostics(i, diagnostic_nee) = -(assimilation(i) - t - rh(i) - state(i, state_grazing_release)) &
                                       / (molar_mass_carbon * 1.0e-6_wp)
      diagnostics(i, diagnostic_latent_heat) = latent(i)
      diagnostics(i, diagnostic_sensible_heat) = heat
      diagnostics(i, diagnostic_ground_heat) = final_flux(i)
      diagnostics(i, diagnostic_shortwave_up) = reflected(i)
      diagnostics(i, diagnostic_longwave_up) = longwave_up(i)
      diagnostics(i, diagnostic_net_radiation) = share
      diagnostics(i, diagnostic_evapotranspiration) = rate
      diagnostics(i, diagnostic_transpiration) = transpiration(i)
      diagnostics(i, diagnostic_canopy_evaporation) = wet_liquid(i) + wet_ice(i)
      diagnostics(i, diagnostic_ground_evaporation) = ground_evaporation(i)
      diagnostics(i, diagnostic_surface_runoff) = runoff(i) / dt
      diagnostics(i, diagnostic_drainage) = drainage(i) / dt
      diagnostics(i, diagnostic_held_water) = held(i)
      diagnostics(i, diagnostic_irrigation) = irrigation(i)
      diagnostics(i, diagnostic_snow_melt) = melt(i) / dt
      diagnostics(i, diagnostic_snow_depth) = depth(i)
      diagnostics(i, diagnostic_snow_mass) = snow_mass(i)
      diagnostics(i, diagnostic_surface_temperature) = sqrt(sqrt(max(longwave_up(i), 1.0_wp) / stefan_boltzmann))
      diagnostics(i, diagnostic_friction_velocity) = friction(i)
      diagnostics(i, diagnostic_water_stress) = stress(i)
      diagnostics(i, diagnostic_root_zone_potential) = root_potential(i)
      diagnostics(i, diagnostic_leaf_water_potential) = leaf_potential(i)
      diagnostics(i, diagnostic_loss_of_conductivity) = conductivity_loss(i)
      diagnostics(i, diagnostic_canopy_conductance) = conductance_sun(i) * area_sunlit(i) + conductance_shade(i) * area_shaded(i)
      diagnostics(i, diagnostic_absorbed_par) = par_sunlit(i) * area_sunlit(i) + par_shaded(i) * area_shaded(i)
      diagnostics(i, diagnostic_canopy_convergence) = last_change(i)
      diagnostics(i, diagnostic_canopy_water) = state(i, state_canopy_liquid) + state(i, state_canopy_ice)
      diagnostics(i, diagnostic_residual_nitrogen) = 0.0_wp  ! nitrogen moves in the daily step only
      diagnostics(i, diagnostic_soil_water) = 0.0_wp
    end do
    call carbon_totals(n, options, state, diagnostics)
    do k = 1, n_soil
      dz = density_water * soil_thickness(k)
      do i = 1, n
        diagnostics(i, diagnostic_soil_water) = diagnostics(i, diagnostic_soil_water) &
          + dz * (state(i, state_soil_liquid + k - 1) + state(i, state_soil_ice + k - 1))
      end do
    end do
    if (present(seconds)) call lap(clock, seconds(section_budgets))

  contains

    subroutine leaf_water_stress()
      !! Water stress from the leaf potential at which supply meets the demand of leaves without stress. Their
      !! conductance is that at the first guess of the canopy temperature in the energy balance.
      real(wp), dimension(n) :: unstressed, guess, vapour, boundary
      real(wp) :: saturation, g_sun, g_shade
      integer :: j

      do j = 1, n
        unstressed(j) = 1.0_wp
        t = forcing(j, forcing_air_temperature)
        guess(j) = t + min(max(state(j, state_canopy_temperature) - t, -2.0_wp), 2.0_wp)
        vapour(j) = forcing(j, forcing_specific_humidity) * forcing(j, forcing_pressure) &
                    / (0.622_wp + 0.378_wp * forcing(j, forcing_specific_humidity))
        ! friction velocity about 0.15 of the wind, see the energy balance
        boundary(j) = 0.01_wp * sqrt(0.15_wp * max(forcing(j, forcing_wind_speed), 1.0_wp) / p(j, parameter_leaf_width)) &
                      * forcing(j, forcing_pressure) / (8.314_wp * guess(j))
        damage(j) = state(j, state_xylem_damage)
      end do
      call leaf_gas_exchange(n, options%stomata, response, options%kinetics, options%leaf_respiration, options%ci_solver, &
                             guess, vapour, co2_pressure, forcing(1, forcing_pressure), boundary, par_sunlit, par_shaded, &
                             vcmax_sun, vcmax_shade, jmax_sun, jmax_shade, respiration_sun25, respiration_shade25, &
                             state(1, state_temperature_30d), p(1, parameter_home_temperature), p(1, parameter_c4), &
                             p(1, parameter_theta_cj), p(1, parameter_theta_ip), p(1, parameter_quantum_yield), &
                             p(1, parameter_theta_j), p(1, parameter_g0), slope, p(1, parameter_g_min), unstressed, &
                             unstressed, net_sun, net_shade, conductance_sun, conductance_shade, leaf_sun, leaf_shade, &
                             ci_sun, ci_shade)
      do j = 1, n
        saturation = 611.2_wp * exp(17.62_wp * (guess(j) - freezing_point) / (guess(j) - 30.03_wp))
        g_sun = conductance_sun(j) * boundary(j) / (conductance_sun(j) + boundary(j))
        g_shade = conductance_shade(j) * boundary(j) / (conductance_shade(j) + boundary(j))
        demand(j) = (1.0_wp - wet(j)) * (g_sun * area_sunlit(j) + g_shade * area_shaded(j)) &
                    * max(saturation - vapour(j), 0.0_wp) / forcing(j, forcing_pressure)
      end do
      call hydraulic_stress(n, demand, root_potential, root_conductance, shoot_conductance, height_potential, damage, &
                            p(1, parameter_xylem_psi50), p(1, parameter_xylem_shape), p(1, parameter_leaf_psi50), &
                            p(1, parameter_leaf_shape), stress, leaf_potential)
      do j = 1, n
        ! frozen or empty soil gives nothing, as without hydraulics
        t = merge(1.0_wp, 0.0_wp, uptake_total(j) > 1.0e-9_wp)
        stress(j) = t * stress(j)
        rate = log(max(stress(j), 1.0e-6_wp))
        stress_stomata(j) = exp(p(j, parameter_stress_exponent_stomata) * rate)
        stress_capacity(j) = exp(p(j, parameter_stress_exponent_capacity) * rate)
      end do
    end subroutine leaf_water_stress

    subroutine plant_water()
      !! Potentials that belong to the transpiration of the step, and the lowest of the day.
      real(wp), dimension(n) :: open
      integer :: j

      do j = 1, n
        demand(j) = transpiration(j) / molar_mass_water
        damage(j) = state(j, state_xylem_damage)
      end do
      call hydraulic_state(n, demand, root_potential, root_conductance, shoot_conductance, height_potential, damage, &
                           p(1, parameter_xylem_psi50), p(1, parameter_xylem_shape), p(1, parameter_leaf_psi50), &
                           p(1, parameter_leaf_shape), leaf_potential, stem_potential, conductivity_loss, open)
      do j = 1, n
        state(j, state_least_leaf_potential) = min(state(j, state_least_leaf_potential), leaf_potential(j))
        ! frozen water does not pull: cavitation by frost is not described
        t = merge(stem_potential(j), 0.0_wp, uptake_total(j) > 1.0e-9_wp)
        state(j, state_least_stem_potential) = min(state(j, state_least_stem_potential), t)
        if (options%stomata == stomata_sox) stress(j) = open(j)
      end do
    end subroutine plant_water
  end subroutine step_fast

  subroutine root_zone(n, p, derived, state, head, leaf_area, available, total, potential, conductance, shoot, height)
    !! Conductors and potential of the root zone for the hydraulic schemes.
    integer, intent(in) :: n  !! tiles
    real(wp), intent(in) :: p(n, n_parameter_column)  !! parameters, units of the table
    real(wp), intent(in) :: derived(n, n_derived_column)  !! units of the table
    real(wp), intent(in) :: state(n, n_state_column)  !! units of the table
    real(wp), intent(in) :: head(n, n_soil)  !! soil water head, m
    real(wp), intent(in) :: leaf_area(n)  !! exposed, m2 m-2
    real(wp), intent(inout) :: available(n, n_soil)  !! weight of the layer in the uptake
    real(wp), intent(inout) :: total(n)  !! its sum
    real(wp), intent(out) :: potential(n)  !! root zone, MPa
    real(wp), intent(out) :: conductance(n)  !! soil and roots, mol m-2 s-1 MPa-1
    real(wp), intent(out) :: shoot(n)  !! stem and leaves without cavitation, mol m-2 s-1 MPa-1
    real(wp), intent(out) :: height(n)  !! weight of the water column in the plant, MPa
    real(wp), dimension(n) :: roots
    real(wp) :: plant
    integer :: i

    do i = 1, n
      plant = p(i, parameter_plant_conductance) * max(leaf_area(i), 0.1_wp)
      roots(i) = plant / root_resistance_share
      shoot(i) = plant / (1.0_wp - root_resistance_share)
      height(i) = 1.0e-6_wp * density_water * gravity * p(i, parameter_canopy_height)
    end do
    call root_zone_hydraulics(n, n_soil, soil_thickness, derived(1, derived_root_fraction), state(1, state_soil_liquid), &
                              head, state(1, state_soil_temperature), p(1, parameter_vg_alpha), p(1, parameter_vg_n), &
                              p(1, parameter_vg_l), p(1, parameter_k_sat), state(1, state_carbon_fine_root), roots, &
                              available, total, potential, conductance)
    do i = 1, n
      ! soil held moist, or water from outside
      plant = merge(1.0_wp, 0.0_wp, max(p(i, parameter_hold_soil_water), p(i, parameter_outside_water)) > 0.5_wp)
      plant = merge(plant, 0.0_wp, total(i) > 0.0_wp)
      potential(i) = plant * moist_potential + (1.0_wp - plant) * potential(i)
      conductance(i) = plant * roots(i) + (1.0_wp - plant) * conductance(i)
    end do
  end subroutine root_zone

  elemental function content(head, theta_sat, theta_res, alpha, vg_n) result(theta)
    !! Water content of soil at a head (van Genuchten), m3 m-3.
    real(wp), intent(in) :: head, theta_sat, theta_res, alpha, vg_n
    real(wp) :: theta
    theta = 1.0_wp + exp(vg_n * log(alpha * max(-head, 1.0e-6_wp)))
    theta = theta_res + (theta_sat - theta_res) * exp((1.0_wp / vg_n - 1.0_wp) * log(theta))
  end function content

  subroutine lap(clock, seconds)
    !! Adds the time since the last call.
    integer(int64), intent(inout) :: clock  !! count of the system clock
    real(wp), intent(inout) :: seconds  !! s
    integer(int64) :: now, rate

    call system_clock(now, rate)
    seconds = seconds + real(now - clock, wp) / real(rate, wp)
    clock = now
  end subroutine lap

  subroutine stored(n, derived, state, water, energy, carbon)
    !! Water and enthalpy in all stores, carbon in those that the fast step changes.
    integer, intent(in) :: n  !! tiles
    real(wp), intent(in) :: derived(n, n_derived_column)  !! units of the table
    real(wp), intent(in) :: state(n, n_state_column)  !! units of the table
    real(wp), intent(out) :: water(n)  !! kg m-2
    real(wp), intent(out) :: energy(n)  !! J m-2
    real(wp), intent(out) :: carbon(n)  !! kg m-2
    real(wp) :: dz
    integer :: i, k

    do i = 1, n
      water(i) = state(i, state_canopy_liquid) + state(i, state_canopy_ice)
    end do
    do k = 1, n_snow
      do i = 1, n
        water(i) = water(i) + state(i, state_snow_ice + k - 1) + state(i, state_snow_liquid + k - 1)
      end do
    end do
    do k = 1, n_soil
      dz = density_water * soil_thickness(k)
      do i = 1, n
        water(i) = water(i) + dz * (state(i, state_soil_liquid + k - 1) + state(i, state_soil_ice + k - 1))
      end do
    end do
    call column_enthalpy(n, n_snow, n_soil, soil_thickness, derived(1, derived_dry_capacity), state(1, state_snow_ice), &
                         state(1, state_snow_liquid), state(1, state_snow_temperature), state(1, state_soil_liquid), &
                         state(1, state_soil_ice), state(1, state_soil_temperature), energy)
    do i = 1, n
      energy(i) = energy(i) - latent_heat_fusion * state(i, state_canopy_ice) &
                  + (derived(i, derived_canopy_dry_capacity) + heat_capacity_liquid * state(i, state_canopy_liquid) &
                     + heat_capacity_ice * state(i, state_canopy_ice)) * (state(i, state_canopy_temperature) - freezing_point)
    end do
    ! the other carbon stores do not change within the day
    do i = 1, n
      carbon(i) = state(i, state_carbon_npp_day) + state(i, state_carbon_growth_buffer) + state(i, state_carbon_rh_buffer) &
                  + state(i, state_carbon_export_buffer)
    end do
  end subroutine stored
end module concerto_step_fast
