module concerto_energy_balance
  !! Two-source surface energy balance: canopy and ground exchange heat and vapour with a canopy-air node, and the node
  !! with the air at the reference height. A fixed number of sweeps, each one linearised (Newton) correction of canopy
  !! and ground temperature together; resistances and stomata lag by one sweep. The reported fluxes are those of the
  !! linearised system after the last correction, so the balance closes to round-off whatever the convergence.
  !! Longwave exchange as in CTSM and Noah-MP. The ground skin has no mass: what it does not return to the canopy or
  !! the air is the ground heat flux. All quantities are linear in the skin temperature at the end, with the canopy
  !! temperature following it, so that the soil heat solver may move the skin and `ground_flux_correction` finishes.
  !! Sign: sensible heat, evaporation and upward longwave positive to the atmosphere, ground heat flux positive down.
  !! Water that cannot be had (intercepted water, root supply, soil or snow) limits a flux inside the sweep: the flux
  !! is then fixed and its conductance leaves the node. Dew falls on all plant surfaces and without soil resistance.
  use concerto_kinds, only: wp
  use concerto_constants, only: stefan_boltzmann, gravity, freezing_point, latent_heat_vaporization, &
                                latent_heat_fusion, heat_capacity_air, von_karman, gas_constant_dry_air, &
                                vapour_ratio, gas_constant
  use concerto_thermodynamics, only: magnus_pressure, magnus_water_factor, magnus_water_offset, magnus_ice_factor, &
                                     magnus_ice_offset, moist_heat_capacity_factor, virtual_factor
  use concerto_turbulence, only: surface_layer_update, canopy_roughness, within_canopy
  use concerto_gas_exchange, only: leaf_gas_exchange
  implicit none
  private
  public :: two_source, ground_flux_correction

  integer, parameter, public :: n_skin_response = 11  !! columns of skin_response
  integer, parameter :: r_canopy = 1, r_air = 2, r_humidity = 3, r_sensible_canopy = 4, r_sensible_ground = 5, &
                        r_transpiration = 6, r_wet = 7, r_ground = 8, r_longwave_up = 9, r_ice_share = 10, r_flux = 11
  real(wp), parameter :: least_plant_area = 1.0e-4_wp  ! below it the canopy takes no part, m2 m-2
  real(wp), parameter :: large = 1.0e30_wp
  integer, parameter :: many_sweeps = 9  ! with more, for converged reference solutions, stomata are solved in each

contains

  subroutine two_source(n, n_sweep, stomata, temperature_response, kinetics, leaf_respiration, ci_solver, time_step, &
                        gustiness, air_temperature, specific_humidity, air_pressure, wind, longwave_down, &
                        reference_height, canopy_height, lai_sun, lai_shade, sai, leaf_width, roughness_ratio, &
                        displacement_ratio, wind_extinction, absorbed_canopy, absorbed_ground, wet_fraction, &
                        intercepted_liquid, intercepted_ice, transpiration_limit, canopy_heat_capacity, &
                        canopy_temperature_start, ground_temperature_start, node_temperature, node_conductance, &
                        ground_emissivity, ground_roughness, ground_humidity_factor, soil_resistance, surface_ice, &
                        skin_limit, evaporation_limit, co2_partial_pressure, absorbed_par_sun, absorbed_par_shade, &
                        vcmax25_sun, vcmax25_shade, jmax25_sun, jmax25_shade, respiration25_sun, respiration25_shade, &
                        growth_temperature, home_temperature, c4, theta_cj, theta_ip, quantum_yield, theta_j, g0, g1, &
                        g_min, stress_stomata, stress_capacity, canopy_temperature, canopy_air_temperature, &
                        canopy_air_humidity, ground_temperature, sensible_canopy, sensible_ground, transpiration, &
                        wet_evaporation_liquid, wet_evaporation_ice, ground_evaporation, latent_heat, longwave_up, &
                        canopy_storage, ground_heat_flux, ground_heat_flux_slope, friction_velocity, &
                        resistance_air, resistance_leaf, resistance_ground, net_assimilation_sun, &
                        net_assimilation_shade, conductance_sun, conductance_shade, respiration_sun, &
                        respiration_shade, ci_sun, ci_shade, last_change, residual, skin_response)
    !! Solves the balance of a block; see the module. Turbulence is updated in each sweep, stomata in sweeps 1, 2 and 4
    !! (and after the ninth, for converged reference solutions with many sweeps).
    integer, intent(in) :: n  !! tiles, a multiple of 16 for results that do not depend on the block
    integer, intent(in) :: n_sweep  !! sweeps, 6
    integer, intent(in) :: stomata  !! option
    integer, intent(in) :: temperature_response  !! option
    integer, intent(in) :: kinetics  !! option
    integer, intent(in) :: leaf_respiration  !! option
    integer, intent(in) :: ci_solver  !! option
    real(wp), intent(in) :: time_step  !! s
    real(wp), intent(in) :: gustiness  !! factor of the convective velocity scale, 1
    real(wp), intent(in) :: air_temperature(n)  !! at the reference height, K
    real(wp), intent(in) :: specific_humidity(n)  !! at the reference height, kg kg-1
    real(wp), intent(in) :: air_pressure(n)  !! Pa
    real(wp), intent(in) :: wind(n)  !! at the reference height, floored here at 1, m s-1
    real(wp), intent(in) :: longwave_down(n)  !! W m-2
    real(wp), intent(in) :: reference_height(n)  !! above ground, floored here at 2 m above the canopy, m
    real(wp), intent(in) :: canopy_height(n)  !! exposed height, m
    real(wp), intent(in) :: lai_sun(n)  !! exposed sunlit leaf area, m2 m-2
    real(wp), intent(in) :: lai_shade(n)  !! exposed shaded leaf area, m2 m-2
    real(wp), intent(in) :: sai(n)  !! exposed stem area, m2 m-2
    real(wp), intent(in) :: leaf_width(n)  !! m
    real(wp), intent(in) :: roughness_ratio(n)  !! z0m/h, -
    real(wp), intent(in) :: displacement_ratio(n)  !! d/h, -
    real(wp), intent(in) :: wind_extinction(n)  !! c_w, m-1
    real(wp), intent(in) :: absorbed_canopy(n)  !! shortwave absorbed by the canopy, W m-2
    real(wp), intent(in) :: absorbed_ground(n)  !! shortwave absorbed by the ground, W m-2
    real(wp), intent(in) :: wet_fraction(n)  !! of the plant surface, 0..1
    real(wp), intent(in) :: intercepted_liquid(n)  !! kg m-2
    real(wp), intent(in) :: intercepted_ice(n)  !! kg m-2
    real(wp), intent(in) :: transpiration_limit(n)  !! largest supply by roots, kg m-2 s-1
    real(wp), intent(in) :: canopy_heat_capacity(n)  !! with intercepted water, J m-2 K-1
    real(wp), intent(in) :: canopy_temperature_start(n)  !! K
    real(wp), intent(in) :: ground_temperature_start(n)  !! skin, K
    real(wp), intent(in) :: node_temperature(n)  !! first soil or snow node, or what the implicit column gives, K
    real(wp), intent(in) :: node_conductance(n)  !! from the skin to that node, W m-2 K-1
    real(wp), intent(in) :: ground_emissivity(n)  !! -
    real(wp), intent(in) :: ground_roughness(n)  !! m
    real(wp), intent(in) :: ground_humidity_factor(n)  !! alpha, 0..1
    real(wp), intent(in) :: soil_resistance(n)  !! to evaporation, not to dew, s m-1
    real(wp), intent(in) :: surface_ice(n)  !! share of the ground that is snow or ice, 0..1
    real(wp), intent(in) :: skin_limit(n)  !! the skin gets no warmer (freezing point over snow, else e.g. 1000), K
    real(wp), intent(in) :: evaporation_limit(n)  !! largest ground evaporation, kg m-2 s-1
    real(wp), intent(in) :: co2_partial_pressure(n)  !! Pa
    real(wp), intent(in) :: absorbed_par_sun(n)  !! umol m-2 leaf s-1
    real(wp), intent(in) :: absorbed_par_shade(n)  !! umol m-2 leaf s-1
    real(wp), intent(in) :: vcmax25_sun(n)  !! umol m-2 leaf s-1
    real(wp), intent(in) :: vcmax25_shade(n)  !! umol m-2 leaf s-1
    real(wp), intent(in) :: jmax25_sun(n)  !! umol m-2 leaf s-1
    real(wp), intent(in) :: jmax25_shade(n)  !! umol m-2 leaf s-1
    real(wp), intent(in) :: respiration25_sun(n)  !! umol m-2 leaf s-1
    real(wp), intent(in) :: respiration25_shade(n)  !! umol m-2 leaf s-1
    real(wp), intent(in) :: growth_temperature(n)  !! K
    real(wp), intent(in) :: home_temperature(n)  !! K
    real(wp), intent(in) :: c4(n)  !! 1 for C4, else 0
    real(wp), intent(in) :: theta_cj(n)  !! co-limitation, -
    real(wp), intent(in) :: theta_ip(n)  !! co-limitation, -
    real(wp), intent(in) :: quantum_yield(n)  !! mol mol-1
    real(wp), intent(in) :: theta_j(n)  !! curvature of the light response, -
    real(wp), intent(in) :: g0(n)  !! mol m-2 s-1
    real(wp), intent(in) :: g1(n)  !! unit of the stomatal scheme
    real(wp), intent(in) :: g_min(n)  !! mol m-2 s-1
    real(wp), intent(in) :: stress_stomata(n)  !! 0..1
    real(wp), intent(in) :: stress_capacity(n)  !! 0..1
    real(wp), intent(out) :: canopy_temperature(n)  !! K
    real(wp), intent(out) :: canopy_air_temperature(n)  !! K
    real(wp), intent(out) :: canopy_air_humidity(n)  !! kg kg-1
    real(wp), intent(out) :: ground_temperature(n)  !! skin, with the node temperature given, K
    real(wp), intent(out) :: sensible_canopy(n)  !! W m-2
    real(wp), intent(out) :: sensible_ground(n)  !! W m-2
    real(wp), intent(out) :: transpiration(n)  !! sunlit and shaded leaves, kg m-2 s-1
    real(wp), intent(out) :: wet_evaporation_liquid(n)  !! of intercepted water, negative: dew, kg m-2 s-1
    real(wp), intent(out) :: wet_evaporation_ice(n)  !! of intercepted snow, negative: frost, kg m-2 s-1
    real(wp), intent(out) :: ground_evaporation(n)  !! a share surface_ice of it is sublimation, kg m-2 s-1
    real(wp), intent(out) :: latent_heat(n)  !! of all evaporation, W m-2
    real(wp), intent(out) :: longwave_up(n)  !! W m-2
    real(wp), intent(out) :: canopy_storage(n)  !! heat taken up by the canopy, W m-2
    real(wp), intent(out) :: ground_heat_flux(n)  !! h at ground_temperature, W m-2
    real(wp), intent(out) :: ground_heat_flux_slope(n)  !! dh/dT of the skin, negative, W m-2 K-1
    real(wp), intent(out) :: friction_velocity(n)  !! m s-1
    real(wp), intent(out) :: resistance_air(n)  !! canopy air to reference height, s m-1
    real(wp), intent(out) :: resistance_leaf(n)  !! boundary layer of one leaf side, s m-1
    real(wp), intent(out) :: resistance_ground(n)  !! ground to canopy air, without soil, s m-1
    real(wp), intent(out) :: net_assimilation_sun(n)  !! umol m-2 leaf s-1
    real(wp), intent(out) :: net_assimilation_shade(n)  !! umol m-2 leaf s-1
    real(wp), intent(out) :: conductance_sun(n)  !! stomata to vapour, mol m-2 leaf s-1
    real(wp), intent(out) :: conductance_shade(n)  !! stomata to vapour, mol m-2 leaf s-1
    real(wp), intent(out) :: respiration_sun(n)  !! umol m-2 leaf s-1
    real(wp), intent(out) :: respiration_shade(n)  !! umol m-2 leaf s-1
    real(wp), intent(out) :: ci_sun(n)  !! Pa
    real(wp), intent(out) :: ci_shade(n)  !! Pa
    real(wp), intent(out) :: last_change(n)  !! size of the last correction of the canopy temperature, K
    real(wp), intent(out) :: residual(n)  !! of the whole balance, W m-2
    real(wp), intent(out) :: skin_response(n, 11)  !! derivatives for ground_flux_correction

    ! constant over the sweeps
    real(wp), dimension(n) :: vai, density, air_heat, theta_air, theta_virtual, wind_speed, height, roughness, &
                              displacement, log_height, cover, longwave_canopy, longwave_ground, exchange_mutual, &
                              exchange_canopy, exchange_ground, capacity, active, shortwave_canopy, shortwave_ground, &
                              magnus_factor, magnus_offset, latent_ground, water_rate, ice_share, dew_ice, dew_limit, &
                              molar_to_velocity, root, inverse_root
    ! lagging from sweep to sweep
    real(wp), dimension(n) :: zeta, transfer, stability, air_conductance, leaf_conductance, path_conductance, &
                              virtual_difference, bracket_low, bracket_high, excess_low, excess_high, buoyancy, &
                              leaf_molar, vapour_pressure, moisture_sun, moisture_shade, &
                              transpiration_conductance
    real(wp), dimension(n) :: wet_evaporation, d_canopy, d_air, d_humidity, d_sensible_canopy, d_sensible_ground, &
                              d_transpiration, d_wet, d_ground, d_longwave_up, d_ice_share, d_flux
    real(wp) :: tv, tg, taf, qaf, qv, dqv, qg, dqg, rho, c, ca, cv, cg, cw, ct, ce, alpha, fixed_w, fixed_t, fixed_g
    real(wp) :: t, x, e, slope, r, p, supply, limit_w, share, lambda_w, lambda_g, total, a_air, a_canopy, a_ground
    real(wp) :: h_v, h_v_v, h_v_g, h_g, h_g_v, h_g_g, q_v, q_g, e_w, e_w_v, e_w_g, e_t, e_t_v, e_t_g, e_g, e_g_v, e_g_g
    real(wp) :: tv2, tg2, l_v, l_v_v, l_v_g, l_g, l_g_v, l_g_g, f_v, f_v_v, f_v_g, f_g, f_g_v, f_g_g, inverse, dtv, dtg
    real(wp) :: step_v, step_g, canopy_lag, flux, flux_v, flux_g, up, b
    real(wp) :: low, high, closed, keep, part
    logical :: held, above
    integer :: i, sweep

    do i = 1, n
      vai(i) = lai_sun(i) + lai_shade(i) + sai(i)
      t = specific_humidity(i)
      density(i) = air_pressure(i) / (gas_constant_dry_air * air_temperature(i) * (1.0_wp + virtual_factor * t))
      air_heat(i) = density(i) * heat_capacity_air * (1.0_wp + moist_heat_capacity_factor * t)
      wind_speed(i) = max(wind(i), 1.0_wp)
    end do
    call canopy_roughness(n, canopy_height, vai, roughness_ratio, displacement_ratio, ground_roughness, &
                          reference_height, height, roughness, displacement, log_height, cover)
    do i = 1, n
      theta_air(i) = air_temperature(i) + gravity / heat_capacity_air * (height(i) + displacement(i))
      theta_virtual(i) = theta_air(i) * (1.0_wp + virtual_factor * specific_humidity(i))
      active(i) = merge(1.0_wp, 0.0_wp, vai(i) >= least_plant_area)
      e = active(i) * (1.0_wp - exp(-vai(i)))
      x = ground_emissivity(i)
      exchange_mutual(i) = stefan_boltzmann * e * x
      exchange_canopy(i) = stefan_boltzmann * e * (2.0_wp - e * (1.0_wp - x))
      exchange_ground(i) = stefan_boltzmann * x
      longwave_canopy(i) = e * (1.0_wp + (1.0_wp - e) * (1.0_wp - x)) * longwave_down(i)
      longwave_ground(i) = x * (1.0_wp - e) * longwave_down(i)
      ! a canopy that takes no part hands its shortwave to the ground and keeps its heat
      shortwave_canopy(i) = active(i) * absorbed_canopy(i)
      shortwave_ground(i) = absorbed_ground(i) + (1.0_wp - active(i)) * absorbed_canopy(i)
      capacity(i) = canopy_heat_capacity(i) / time_step
      b = surface_ice(i)
      magnus_factor(i) = magnus_water_factor + b * (magnus_ice_factor - magnus_water_factor)
      magnus_offset(i) = magnus_water_offset + b * (magnus_ice_offset - magnus_water_offset)
      latent_ground(i) = latent_heat_vaporization + b * latent_heat_fusion
      total = intercepted_liquid(i) + intercepted_ice(i)
      water_rate(i) = total / time_step
      ice_share(i) = intercepted_ice(i) / max(total, 1.0e-30_wp)
      dew_ice(i) = merge(1.0_wp, 0.0_wp, canopy_temperature_start(i) < freezing_point)
      dew_limit(i) = (intercepted_liquid(i) + dew_ice(i) * (intercepted_ice(i) - intercepted_liquid(i))) / time_step
      molar_to_velocity(i) = gas_constant / air_pressure(i)

      canopy_temperature(i) = first_canopy_temperature(canopy_temperature_start(i), theta_air(i))
      ground_temperature(i) = min(ground_temperature_start(i), skin_limit(i))
      canopy_air_temperature(i) = 0.5_wp * (theta_air(i) + ground_temperature(i))
      canopy_air_humidity(i) = specific_humidity(i)
      zeta(i) = 0.0_wp
      transfer(i) = (von_karman / log_height(i))**2
      root(i) = exp(-log_height(i) * 0.33333333333333333_wp)
      inverse_root(i) = 1.0_wp / root(i)
      stability(i) = 1.0_wp
      buoyancy(i) = 0.0_wp
      virtual_difference(i) = 0.0_wp
      bracket_low(i) = -large
      bracket_high(i) = large
      excess_low(i) = 0.0_wp
      excess_high(i) = 0.0_wp
    end do

    do sweep = 1, n_sweep
      keep = merge(0.0_wp, 1.0_wp, sweep == 1)
      part = merge(0.5_wp, 1.0_wp, sweep == 2)
      do i = 1, n
        ! The stability difference that the exchange was given (t) and its answer (x). Plain repetition swings between
        ! stable and unstable where a calm, warm canopy evaporates much; so the last differences with answers above
        ! and below bracket the solution, and the next one is where their chord passes zero. The first sweep is
        ! neutral, the second goes half way.
        x = theta_virtual(i) - canopy_air_temperature(i) * (1.0_wp + virtual_factor * canopy_air_humidity(i))
        t = virtual_difference(i)
        b = x - t
        above = b > 0.0_wp
        low = bracket_low(i)
        high = bracket_high(i)
        e = excess_low(i)
        r = excess_high(i)
        low = merge(t, low, above)
        high = merge(high, t, above)
        e = merge(b, e, above)
        r = merge(r, b, above)
        ! a bracket that the moving temperatures have left is opened at the other end
        closed = merge(0.0_wp, large, high - low > 1.0e-6_wp)
        low = low - merge(0.0_wp, closed, above)
        high = high + merge(closed, 0.0_wp, above)
        c = low + (high - low) * min(max(e / max(e - r, 1.0e-12_wp), 0.02_wp), 0.98_wp)
        x = t + part * b
        c = merge(c, x, high - low < 1.0e3_wp)
        virtual_difference(i) = keep * c
        bracket_low(i) = low - (1.0_wp - keep) * large
        bracket_high(i) = high + (1.0_wp - keep) * large
        excess_low(i) = e
        excess_high(i) = r
      end do
      call surface_layer_update(n, gustiness, height, roughness, log_height, wind_speed, theta_virtual, &
                                virtual_difference, root, inverse_root, zeta, transfer, friction_velocity, &
                                air_conductance)
      call within_canopy(n, canopy_height, vai, wind_extinction, displacement, roughness, ground_roughness, cover, &
                         friction_velocity, buoyancy, stability, path_conductance)
      do i = 1, n
        leaf_conductance(i) = 0.01_wp * sqrt(friction_velocity(i) / leaf_width(i))
      end do

      if (sweep <= 2 .or. sweep == 4 .or. sweep > many_sweeps) then
        do i = 1, n
          leaf_molar(i) = leaf_conductance(i) / (molar_to_velocity(i) * canopy_temperature(i))
          t = canopy_air_humidity(i)
          vapour_pressure(i) = t * air_pressure(i) / (vapour_ratio + (1.0_wp - vapour_ratio) * t)
        end do
        call leaf_gas_exchange(n, stomata, temperature_response, kinetics, leaf_respiration, ci_solver, &
                               canopy_temperature, vapour_pressure, co2_partial_pressure, air_pressure, leaf_molar, &
                               absorbed_par_sun, absorbed_par_shade, vcmax25_sun, vcmax25_shade, jmax25_sun, &
                               jmax25_shade, respiration25_sun, respiration25_shade, growth_temperature, &
                               home_temperature, c4, theta_cj, theta_ip, quantum_yield, theta_j, g0, g1, g_min, &
                               stress_stomata, stress_capacity, net_assimilation_sun, net_assimilation_shade, &
                               conductance_sun, conductance_shade, respiration_sun, respiration_shade, ci_sun, &
                               ci_shade)
        do i = 1, n
          t = molar_to_velocity(i) * canopy_temperature(i)
          moisture_sun(i) = conductance_sun(i) * t
          moisture_shade(i) = conductance_shade(i) * t
        end do
      end if
      do i = 1, n
        c = leaf_conductance(i)
        ! dry leaves: boundary layer and stomata of one side in series; one division for both classes
        x = moisture_sun(i) + c
        r = moisture_shade(i) + c
        t = lai_sun(i) * moisture_sun(i) * r + lai_shade(i) * moisture_shade(i) * x
        transpiration_conductance(i) = (1.0_wp - wet_fraction(i)) * c * t / (x * r)
      end do

      step_v = merge(5.0_wp, 3.0_wp, sweep <= 3)
      step_g = merge(10.0_wp, 2.0_wp, sweep <= 3)
      ! the last correction is not limited: only the full one closes the balance
      step_v = merge(large, step_v, sweep == n_sweep)
      step_g = merge(large, step_g, sweep == n_sweep)

      do i = 1, n
        tv = canopy_temperature(i)
        tg = ground_temperature(i)
        taf = canopy_air_temperature(i)
        qaf = canopy_air_humidity(i)
        rho = density(i)
        p = air_pressure(i)

        t = tv - freezing_point
        x = 1.0_wp / (magnus_water_offset + t)
        e = magnus_pressure * exp(magnus_water_factor * t * x)
        slope = e * magnus_water_factor * magnus_water_offset * x * x
        r = 1.0_wp / (p - (1.0_wp - vapour_ratio) * e)
        qv = vapour_ratio * e * r
        dqv = vapour_ratio * p * r * r * slope
        t = tg - freezing_point
        x = 1.0_wp / (magnus_offset(i) + t)
        e = magnus_pressure * exp(magnus_factor(i) * t * x)
        slope = e * magnus_factor(i) * magnus_offset(i) * x * x
        r = 1.0_wp / (p - (1.0_wp - vapour_ratio) * e)
        qg = vapour_ratio * e * r
        dqg = vapour_ratio * p * r * r * slope

        ! conductances, with dew, and with fluxes fixed at what there is
        ca = air_conductance(i)
        cg = path_conductance(i)
        b = active(i) * vai(i) * leaf_conductance(i)
        cv = 2.0_wp * b
        ! 1 for dew; arithmetic, because a selection of array elements does not vectorise everywhere
        x = 0.5_wp - sign(0.5_wp, qv - qaf)
        r = 1.0_wp - x
        cw = b * (wet_fraction(i) * r + x)
        ct = active(i) * transpiration_conductance(i) * r
        share = ice_share(i) * r + dew_ice(i) * x
        limit_w = water_rate(i) * r + dew_limit(i) * x
        lambda_w = latent_heat_vaporization + share * latent_heat_fusion
        supply = transpiration_limit(i)
        held = rho * cw * (qv - qaf) > limit_w
        fixed_w = merge(limit_w, 0.0_wp, held)
        cw = merge(0.0_wp, cw, held)
        held = rho * ct * (qv - qaf) > supply
        fixed_t = merge(supply, 0.0_wp, held)
        ct = merge(0.0_wp, ct, held)
        alpha = ground_humidity_factor(i)
        x = 0.5_wp + sign(0.5_wp, alpha * qg - qaf)  ! 1 where the soil evaporates
        r = 0.5_wp - sign(0.5_wp, qg - qaf)  ! 1 where dew falls on it
        alpha = alpha * x + (1.0_wp - x)
        ce = x * cg / (1.0_wp + soil_resistance(i) * cg) + r * cg
        x = evaporation_limit(i)
        held = rho * ce * (alpha * qg - qaf) > x
        fixed_g = merge(x, 0.0_wp, held)
        ce = merge(0.0_wp, ce, held)
        qg = alpha * qg
        dqg = alpha * dqg
        lambda_g = latent_ground(i)

        ! heat through the canopy-air node
        c = air_heat(i)
        r = 1.0_wp / (ca + cv + cg)
        a_air = ca * r
        a_canopy = cv * r
        a_ground = cg * r
        taf = a_air * theta_air(i) + a_canopy * tv + a_ground * tg
        h_v = c * cv * (tv - taf)
        h_v_v = c * cv * (1.0_wp - a_canopy)
        h_v_g = -c * cv * a_ground
        h_g = c * cg * (tg - taf)
        h_g_v = -c * cg * a_canopy
        h_g_g = c * cg * (1.0_wp - a_ground)

        ! vapour
        r = 1.0_wp / (ca + cw + ct + ce)
        qaf = (ca * specific_humidity(i) + (cw + ct) * qv + ce * qg + (fixed_w + fixed_t + fixed_g) / rho) * r
        q_v = (cw + ct) * r * dqv
        q_g = ce * r * dqg
        e_w = rho * cw * (qv - qaf) + fixed_w
        e_w_v = rho * cw * (dqv - q_v)
        e_w_g = -rho * cw * q_g
        e_t = rho * ct * (qv - qaf) + fixed_t
        e_t_v = rho * ct * (dqv - q_v)
        e_t_g = -rho * ct * q_g
        e_g = rho * ce * (qg - qaf) + fixed_g
        e_g_v = -rho * ce * q_v
        e_g_g = rho * ce * (dqg - q_g)

        ! longwave absorbed
        tv2 = tv * tv
        tg2 = tg * tg
        l_v = longwave_canopy(i) + exchange_mutual(i) * tg2 * tg2 - exchange_canopy(i) * tv2 * tv2
        l_v_v = -4.0_wp * exchange_canopy(i) * tv2 * tv
        l_v_g = 4.0_wp * exchange_mutual(i) * tg2 * tg
        l_g = longwave_ground(i) + exchange_mutual(i) * tv2 * tv2 - exchange_ground(i) * tg2 * tg2
        l_g_v = 4.0_wp * exchange_mutual(i) * tv2 * tv
        l_g_g = -4.0_wp * exchange_ground(i) * tg2 * tg

        ! residuals and Jacobian
        canopy_lag = capacity(i) * active(i)
        f_v = shortwave_canopy(i) + l_v - h_v - lambda_w * e_w - latent_heat_vaporization * e_t &
              - canopy_lag * (tv - canopy_temperature_start(i))
        f_v_v = l_v_v - h_v_v - lambda_w * e_w_v - latent_heat_vaporization * e_t_v - canopy_lag - (1.0_wp - active(i))
        f_v_g = l_v_g - h_v_g - lambda_w * e_w_g - latent_heat_vaporization * e_t_g
        flux = shortwave_ground(i) + l_g - h_g - lambda_g * e_g
        flux_v = l_g_v - h_g_v - lambda_g * e_g_v
        flux_g = l_g_g - h_g_g - lambda_g * e_g_g
        f_g = flux - node_conductance(i) * (tg - node_temperature(i))
        f_g_v = flux_v
        f_g_g = flux_g - node_conductance(i)
        inverse = 1.0_wp / f_v_v
        dtg = -(f_g - f_g_v * f_v * inverse) / (f_g_g - f_g_v * f_v_g * inverse)
        dtg = min(max(dtg, -step_g), step_g)
        dtg = min(dtg, skin_limit(i) - tg)
        dtv = -(f_v + f_v_g * dtg) * inverse
        last_change(i) = abs(dtv)
        dtv = min(max(dtv, -step_v), step_v)

        ! everything follows the correction linearly
        canopy_temperature(i) = tv + dtv
        ground_temperature(i) = tg + dtg
        canopy_air_temperature(i) = taf + a_canopy * dtv + a_ground * dtg
        canopy_air_humidity(i) = qaf + q_v * dtv + q_g * dtg
        sensible_canopy(i) = h_v + h_v_v * dtv + h_v_g * dtg
        sensible_ground(i) = h_g + h_g_v * dtv + h_g_g * dtg
        transpiration(i) = e_t + e_t_v * dtv + e_t_g * dtg
        wet_evaporation(i) = e_w + e_w_v * dtv + e_w_g * dtg
        ground_evaporation(i) = e_g + e_g_v * dtv + e_g_g * dtg
        up = longwave_down(i) - l_v - l_g
        longwave_up(i) = up - (l_v_v + l_g_v) * dtv - (l_v_g + l_g_g) * dtg
        buoyancy(i) = gravity * sensible_ground(i) / (c * canopy_air_temperature(i))
        ground_heat_flux(i) = flux + flux_v * dtv + flux_g * dtg

        b = -f_v_g * inverse
        d_canopy(i) = b
        d_air(i) = a_ground + a_canopy * b
        d_humidity(i) = q_g + q_v * b
        d_sensible_canopy(i) = h_v_g + h_v_v * b
        d_sensible_ground(i) = h_g_g + h_g_v * b
        d_transpiration(i) = e_t_g + e_t_v * b
        d_wet(i) = e_w_g + e_w_v * b
        d_ground(i) = e_g_g + e_g_v * b
        d_longwave_up(i) = -(l_v_g + l_g_g) - (l_v_v + l_g_v) * b
        d_ice_share(i) = share
        d_flux(i) = flux_g + flux_v * b
      end do
    end do

    skin_response(:, r_canopy) = d_canopy
    skin_response(:, r_air) = d_air
    skin_response(:, r_humidity) = d_humidity
    skin_response(:, r_sensible_canopy) = d_sensible_canopy
    skin_response(:, r_sensible_ground) = d_sensible_ground
    skin_response(:, r_transpiration) = d_transpiration
    skin_response(:, r_wet) = d_wet
    skin_response(:, r_ground) = d_ground
    skin_response(:, r_longwave_up) = d_longwave_up
    skin_response(:, r_ice_share) = d_ice_share
    skin_response(:, r_flux) = d_flux
    do i = 1, n
      ! a linear step may pass a limit: what cannot evaporate goes into sensible heat
      share = skin_response(i, r_ice_share)
      call limit_fluxes(share, intercepted_liquid(i) / time_step, intercepted_ice(i) / time_step, &
                        transpiration_limit(i), evaporation_limit(i), latent_ground(i), wet_evaporation(i), &
                        transpiration(i), ground_evaporation(i), sensible_canopy(i), sensible_ground(i))
      wet_evaporation_ice(i) = share * wet_evaporation(i)
      wet_evaporation_liquid(i) = (1.0_wp - share) * wet_evaporation(i)
      latent_heat(i) = latent_heat_vaporization * (transpiration(i) + wet_evaporation(i)) &
                       + latent_heat_fusion * wet_evaporation_ice(i) + latent_ground(i) * ground_evaporation(i)
      ground_heat_flux_slope(i) = skin_response(i, r_flux)
      canopy_storage(i) = capacity(i) * active(i) * (canopy_temperature(i) - canopy_temperature_start(i))
      ! without a canopy its temperature is that of the air there
      b = active(i)
      canopy_temperature(i) = b * canopy_temperature(i) + (1.0_wp - b) * canopy_air_temperature(i)
      skin_response(i, r_canopy) = b * skin_response(i, r_canopy) + (1.0_wp - b) * skin_response(i, r_air)
      last_change(i) = b * last_change(i)
      resistance_air(i) = 1.0_wp / air_conductance(i)
      resistance_leaf(i) = 1.0_wp / leaf_conductance(i)
      resistance_ground(i) = 1.0_wp / path_conductance(i)
      residual(i) = absorbed_canopy(i) + absorbed_ground(i) + longwave_down(i) - longwave_up(i) - sensible_canopy(i) &
                    - sensible_ground(i) - latent_heat(i) - canopy_storage(i) - ground_heat_flux(i)
    end do
  end subroutine two_source

  pure subroutine ground_flux_correction(n, time_step, absorbed_canopy, absorbed_ground, longwave_down, &
                                         plant_area_index, intercepted_liquid, intercepted_ice, transpiration_limit, &
                                         evaporation_limit, surface_ice, canopy_heat_capacity, ground_temperature, &
                                         ground_temperature_final, skin_response, canopy_temperature, &
                                         canopy_air_temperature, canopy_air_humidity, sensible_canopy, &
                                         sensible_ground, transpiration, wet_evaporation_liquid, wet_evaporation_ice, &
                                         ground_evaporation, longwave_up, canopy_storage, ground_heat_flux, &
                                         latent_heat, residual)
    !! Moves all fluxes from the skin temperature of two_source to the one that the soil heat solver found with
    !! G = h + dh/dT (T_final - T). Everything is linear in it and the canopy follows, so both balances stay closed.
    !! Where a limit is passed, the excess goes into sensible heat and G stays what the soil took up.
    integer, intent(in) :: n  !! tiles
    real(wp), intent(in) :: time_step  !! s
    real(wp), intent(in) :: absorbed_canopy(n)  !! as given to two_source, W m-2
    real(wp), intent(in) :: absorbed_ground(n)  !! as given to two_source, W m-2
    real(wp), intent(in) :: longwave_down(n)  !! W m-2
    real(wp), intent(in) :: plant_area_index(n)  !! exposed leaf and stem area as in two_source, m2 m-2
    real(wp), intent(in) :: intercepted_liquid(n)  !! as given to two_source, kg m-2
    real(wp), intent(in) :: intercepted_ice(n)  !! as given to two_source, kg m-2
    real(wp), intent(in) :: transpiration_limit(n)  !! kg m-2 s-1
    real(wp), intent(in) :: evaporation_limit(n)  !! kg m-2 s-1
    real(wp), intent(in) :: surface_ice(n)  !! share of snow or ice, 0..1
    real(wp), intent(in) :: canopy_heat_capacity(n)  !! J m-2 K-1
    real(wp), intent(in) :: ground_temperature(n)  !! skin temperature of two_source, K
    real(wp), intent(in) :: ground_temperature_final(n)  !! skin temperature of the soil heat solver, K
    real(wp), intent(in) :: skin_response(n, 11)  !! from two_source
    real(wp), intent(inout) :: canopy_temperature(n)  !! K
    real(wp), intent(inout) :: canopy_air_temperature(n)  !! K
    real(wp), intent(inout) :: canopy_air_humidity(n)  !! kg kg-1
    real(wp), intent(inout) :: sensible_canopy(n)  !! W m-2
    real(wp), intent(inout) :: sensible_ground(n)  !! W m-2
    real(wp), intent(inout) :: transpiration(n)  !! kg m-2 s-1
    real(wp), intent(inout) :: wet_evaporation_liquid(n)  !! kg m-2 s-1
    real(wp), intent(inout) :: wet_evaporation_ice(n)  !! kg m-2 s-1
    real(wp), intent(inout) :: ground_evaporation(n)  !! kg m-2 s-1
    real(wp), intent(inout) :: longwave_up(n)  !! W m-2
    real(wp), intent(inout) :: canopy_storage(n)  !! W m-2
    real(wp), intent(inout) :: ground_heat_flux(n)  !! W m-2
    real(wp), intent(out) :: latent_heat(n)  !! W m-2
    real(wp), intent(out) :: residual(n)  !! of the whole balance, W m-2
    real(wp) :: d, share, wet, stored, lambda_g, rate, h_v, h_g, e_t, e_g
    integer :: i

    rate = 1.0_wp / time_step
    do i = 1, n
      d = ground_temperature_final(i) - ground_temperature(i)
      share = skin_response(i, r_ice_share)
      lambda_g = latent_heat_vaporization + surface_ice(i) * latent_heat_fusion
      canopy_temperature(i) = canopy_temperature(i) + skin_response(i, r_canopy) * d
      canopy_air_temperature(i) = canopy_air_temperature(i) + skin_response(i, r_air) * d
      canopy_air_humidity(i) = canopy_air_humidity(i) + skin_response(i, r_humidity) * d
      h_v = sensible_canopy(i) + skin_response(i, r_sensible_canopy) * d
      h_g = sensible_ground(i) + skin_response(i, r_sensible_ground) * d
      e_t = transpiration(i) + skin_response(i, r_transpiration) * d
      wet = wet_evaporation_liquid(i) + wet_evaporation_ice(i) + skin_response(i, r_wet) * d
      e_g = ground_evaporation(i) + skin_response(i, r_ground) * d
      longwave_up(i) = longwave_up(i) + skin_response(i, r_longwave_up) * d
      ground_heat_flux(i) = ground_heat_flux(i) + skin_response(i, r_flux) * d
      stored = canopy_heat_capacity(i) * rate * skin_response(i, r_canopy) * d
      canopy_storage(i) = canopy_storage(i) + merge(stored, 0.0_wp, plant_area_index(i) >= least_plant_area)
      call limit_fluxes(share, intercepted_liquid(i) * rate, intercepted_ice(i) * rate, transpiration_limit(i), &
                        evaporation_limit(i), lambda_g, wet, e_t, e_g, h_v, h_g)
      sensible_canopy(i) = h_v
      sensible_ground(i) = h_g
      transpiration(i) = e_t
      ground_evaporation(i) = e_g
      wet_evaporation_ice(i) = share * wet
      wet_evaporation_liquid(i) = (1.0_wp - share) * wet
      latent_heat(i) = latent_heat_vaporization * (e_t + wet) + latent_heat_fusion * share * wet + lambda_g * e_g
      residual(i) = absorbed_canopy(i) + absorbed_ground(i) + longwave_down(i) - longwave_up(i) - h_v - h_g &
                    - latent_heat(i) - canopy_storage(i) - ground_heat_flux(i)
    end do
  end subroutine ground_flux_correction

  elemental subroutine limit_fluxes(share, liquid_rate, ice_rate, supply, evaporation_limit, latent_ground, wet, &
                                    transpiration, evaporation, sensible_canopy, sensible_ground)
    !! Cuts fluxes to what there is; the heat they would have taken becomes sensible.
    real(wp), intent(in) :: share  ! of ice in the wet evaporation
    real(wp), intent(in) :: liquid_rate, ice_rate, supply, evaporation_limit, latent_ground
    real(wp), intent(inout) :: wet, transpiration, evaporation, sensible_canopy, sensible_ground
    real(wp) :: allowed, limit, single

    ! the share is that of the store (then both limits agree) or 0 or 1
    single = merge(ice_rate, liquid_rate, share > 0.5_wp)
    limit = liquid_rate + ice_rate
    limit = merge(single, limit, abs(share - 0.5_wp) > 0.499999999999_wp)
    allowed = min(wet, limit)
    sensible_canopy = sensible_canopy + (latent_heat_vaporization + share * latent_heat_fusion) * (wet - allowed)
    wet = allowed
    allowed = max(min(transpiration, supply), 0.0_wp)
    sensible_canopy = sensible_canopy + latent_heat_vaporization * (transpiration - allowed)
    transpiration = allowed
    allowed = min(evaporation, evaporation_limit)
    sensible_ground = sensible_ground + latent_ground * (evaporation - allowed)
    evaporation = allowed
  end subroutine limit_fluxes

  elemental function first_canopy_temperature(start, theta_air) result(temperature)
    !! Leaves follow the air much more closely than their own past.
    real(wp), intent(in) :: start, theta_air
    real(wp) :: temperature

    temperature = theta_air + min(max(start - theta_air, -2.0_wp), 2.0_wp)
  end function first_canopy_temperature
end module concerto_energy_balance
