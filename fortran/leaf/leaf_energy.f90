module concerto_leaf_energy
  !! Boundary layer and temperature of a single leaf with given stomatal conductance, for scripting and tests; inside
  !! the model leaf temperature is part of the canopy solution. Isothermal net radiation form of Leuning et al. (1995,
  !! Plant Cell Environ. 18, appendix): the longwave loss is linearised about air temperature.
  !! Conductances are mol m-2 s-1 per projected leaf area, fluxes W m-2, positive away from the leaf.
  use concerto_kinds, only: wp
  implicit none
  private
  public :: leaf_boundary_layer, leaf_isothermal_radiation, leaf_energy

  real(wp), parameter :: heat_diffusivity = 21.5e-6_wp  !! of air, m2 s-1
  real(wp), parameter :: vapour_over_heat = 1.075_wp  !! boundary layer, water vapour over heat, -
  real(wp), parameter :: largest_difference = 128.0_wp  !! bracket of leaf minus air temperature, K
  integer, parameter :: n_bisections = 50  !! 128 K / 2**50 = 1e-13 K

contains

  subroutine leaf_boundary_layer(n, gas_constant, air_temperature, air_pressure, wind_speed, leaf_width, &
                                 temperature_difference, heat_conductance, vapour_conductance)
    !! Boundary-layer conductance of both leaf sides by forced and free convection, and that of water vapour.
    integer, intent(in) :: n  !! number of tiles
    real(wp), intent(in) :: gas_constant  !! J mol-1 K-1
    real(wp), intent(in) :: air_temperature(n)  !! K
    real(wp), intent(in) :: air_pressure(n)  !! Pa
    real(wp), intent(in) :: wind_speed(n)  !! at the leaf, m s-1
    real(wp), intent(in) :: leaf_width(n)  !! m
    real(wp), intent(in) :: temperature_difference(n)  !! leaf minus air, K
    real(wp), intent(out) :: heat_conductance(n)  !! both sides, mol m-2 s-1
    real(wp), intent(out) :: vapour_conductance(n)  !! 1.075 x that of heat, mol m-2 s-1
    integer :: i
    real(wp) :: forced, free

    do i = 1, n
      call convection(gas_constant, air_temperature(i), air_pressure(i), wind_speed(i), leaf_width(i), forced, free)
      heat_conductance(i) = forced + free * sqrt(sqrt(abs(temperature_difference(i))))
      vapour_conductance(i) = vapour_over_heat * heat_conductance(i)
    end do
  end subroutine leaf_boundary_layer

  subroutine leaf_isothermal_radiation(n, stefan_boltzmann, emissivity, molar_heat_capacity, air_temperature, &
                                       vapour_pressure, absorbed_shortwave, isothermal_radiation, &
                                       radiation_conductance)
    !! Net radiation that the leaf would have at air temperature under a clear sky (Brutsaert 1975 emissivity with
    !! the vapour pressure in Pa), and the conductance that accounts for its actual temperature.
    integer, intent(in) :: n  !! number of tiles
    real(wp), intent(in) :: stefan_boltzmann  !! W m-2 K-4
    real(wp), intent(in) :: emissivity  !! of leaves, -
    real(wp), intent(in) :: molar_heat_capacity  !! of air, J mol-1 K-1
    real(wp), intent(in) :: air_temperature(n)  !! K
    real(wp), intent(in) :: vapour_pressure(n)  !! of air, Pa
    real(wp), intent(in) :: absorbed_shortwave(n)  !! W m-2
    real(wp), intent(out) :: isothermal_radiation(n)  !! W m-2
    real(wp), intent(out) :: radiation_conductance(n)  !! one side, mol m-2 s-1
    integer :: i
    real(wp) :: t, cube, sky

    do i = 1, n
      t = air_temperature(i)
      cube = stefan_boltzmann * t * t * t
      sky = 0.642_wp * exp((1.0_wp / 7.0_wp) * log(max(vapour_pressure(i), 1.0_wp) / t))
      isothermal_radiation(i) = absorbed_shortwave(i) - (1.0_wp - sky) * cube * t
      radiation_conductance(i) = 4.0_wp * cube * emissivity / molar_heat_capacity
    end do
  end subroutine leaf_isothermal_radiation

  subroutine leaf_energy(n, gas_constant, molar_heat_capacity, sensible_heat_capacity, air_temperature, air_pressure, &
                         vapour_deficit, latent_heat, saturation_slope, isothermal_radiation, radiation_conductance, &
                         wind_speed, leaf_width, stomatal_conductance, stomatal_ratio, &
                         leaf_temperature, transpiration, sensible_heat, latent_heat_flux, vapour_conductance, &
                         heat_conductance)
    !! Leaf temperature by bisection on the energy balance: free convection makes conductance and temperature depend
    !! on each other. Defined also in still air and with closed stomata.
    integer, intent(in) :: n  !! number of tiles
    real(wp), intent(in) :: gas_constant  !! J mol-1 K-1
    real(wp), intent(in) :: molar_heat_capacity  !! of air, in radiation and evaporation, J mol-1 K-1
    real(wp), intent(in) :: sensible_heat_capacity  !! of air, in leaf-to-air exchange (the same), J mol-1 K-1
    real(wp), intent(in) :: air_temperature(n)  !! K
    real(wp), intent(in) :: air_pressure(n)  !! Pa
    real(wp), intent(in) :: vapour_deficit(n)  !! of air, Pa
    real(wp), intent(in) :: latent_heat(n)  !! of vaporisation, J mol-1
    real(wp), intent(in) :: saturation_slope(n)  !! slope of saturation vapour pressure at air temperature, Pa K-1
    real(wp), intent(in) :: isothermal_radiation(n)  !! W m-2
    real(wp), intent(in) :: radiation_conductance(n)  !! one side, mol m-2 s-1
    real(wp), intent(in) :: wind_speed(n)  !! m s-1
    real(wp), intent(in) :: leaf_width(n)  !! m
    real(wp), intent(in) :: stomatal_conductance(n)  !! for water vapour, mol m-2 s-1
    real(wp), intent(in) :: stomatal_ratio(n)  !! 1 for stomata on one side, 2 for both
    real(wp), intent(out) :: leaf_temperature(n)  !! K
    real(wp), intent(out) :: transpiration(n)  !! mol m-2 s-1
    real(wp), intent(out) :: sensible_heat(n)  !! W m-2
    real(wp), intent(out) :: latent_heat_flux(n)  !! W m-2
    real(wp), intent(out) :: vapour_conductance(n)  !! stomata and boundary layer, mol m-2 s-1
    real(wp), intent(out) :: heat_conductance(n)  !! boundary layer, both sides, mol m-2 s-1
    integer :: i, step
    real(wp), dimension(n) :: low, width, forced, free, gamma
    real(wp) :: middle, heat, latent, vapour, residual

    do i = 1, n
      call convection(gas_constant, air_temperature(i), air_pressure(i), wind_speed(i), leaf_width(i), &
                      forced(i), free(i))
      gamma(i) = molar_heat_capacity * air_pressure(i) / latent_heat(i)
      low(i) = -largest_difference
      width(i) = 2.0_wp * largest_difference
    end do
    do step = 1, n_bisections
      do i = 1, n
        width(i) = 0.5_wp * width(i)
        middle = low(i) + width(i)
        heat = forced(i) + free(i) * sqrt(sqrt(abs(middle)))
        call evaporation(molar_heat_capacity, heat, stomatal_ratio(i), stomatal_conductance(i), gamma(i), &
                         saturation_slope(i), vapour_deficit(i), isothermal_radiation(i), radiation_conductance(i), &
                         vapour, latent)
        residual = middle * sensible_heat_capacity * (heat + radiation_conductance(i)) &
          - (isothermal_radiation(i) - latent)
        low(i) = low(i) + width(i) * merge(1.0_wp, 0.0_wp, residual < 0.0_wp)
      end do
    end do
    do i = 1, n
      middle = low(i) + 0.5_wp * width(i)
      heat = forced(i) + free(i) * sqrt(sqrt(abs(middle)))
      call evaporation(molar_heat_capacity, heat, stomatal_ratio(i), stomatal_conductance(i), gamma(i), &
                       saturation_slope(i), vapour_deficit(i), isothermal_radiation(i), radiation_conductance(i), &
                       vapour, latent)
      leaf_temperature(i) = air_temperature(i) + middle
      transpiration(i) = latent / latent_heat(i)
      sensible_heat(i) = sensible_heat_capacity * heat * middle
      latent_heat_flux(i) = latent
      vapour_conductance(i) = vapour
      heat_conductance(i) = heat
    end do
  end subroutine leaf_energy

  elemental subroutine convection(gas_constant, air_temperature, air_pressure, wind_speed, leaf_width, forced, free)
    !! Conductance of both sides by forced convection, and by free convection at a difference of 1 K.
    real(wp), intent(in) :: gas_constant  !! J mol-1 K-1
    real(wp), intent(in) :: air_temperature  !! K
    real(wp), intent(in) :: air_pressure  !! Pa
    real(wp), intent(in) :: wind_speed  !! m s-1
    real(wp), intent(in) :: leaf_width  !! m
    real(wp), intent(out) :: forced  !! mol m-2 s-1
    real(wp), intent(out) :: free  !! mol m-2 s-1 K-0.25
    real(wp) :: molar_density, width
    width = max(leaf_width, 1.0e-4_wp)
    molar_density = air_pressure / (gas_constant * air_temperature)
    forced = 2.0_wp * 0.003_wp * sqrt(max(wind_speed, 0.0_wp) / width) * molar_density
    free = heat_diffusivity * sqrt(sqrt(1.6e8_wp * width * width * width)) / width * molar_density
  end subroutine convection

  elemental subroutine evaporation(molar_heat_capacity, heat, stomatal_ratio, stomatal_conductance, gamma, slope, &
                                   vapour_deficit, isothermal_radiation, radiation_conductance, vapour, latent)
    !! Penman-Monteith with a radiation conductance.
    real(wp), intent(in) :: molar_heat_capacity  !! J mol-1 K-1
    real(wp), intent(in) :: heat  !! boundary layer, both sides, mol m-2 s-1
    real(wp), intent(in) :: stomatal_ratio  !! -
    real(wp), intent(in) :: stomatal_conductance  !! mol m-2 s-1
    real(wp), intent(in) :: gamma  !! psychrometric constant, Pa K-1
    real(wp), intent(in) :: slope  !! Pa K-1
    real(wp), intent(in) :: vapour_deficit  !! Pa
    real(wp), intent(in) :: isothermal_radiation  !! W m-2
    real(wp), intent(in) :: radiation_conductance  !! mol m-2 s-1
    real(wp), intent(out) :: vapour  !! stomata and boundary layer, mol m-2 s-1
    real(wp), intent(out) :: latent  !! W m-2
    real(wp) :: boundary, stomata
    boundary = stomatal_ratio * vapour_over_heat * heat
    stomata = max(stomatal_conductance, 0.0_wp)
    vapour = stomata * boundary / (stomata + boundary + 1.0e-12_wp)
    latent = vapour * (slope * isothermal_radiation + vapour_deficit * heat * molar_heat_capacity) &
      / (slope * vapour + gamma * (heat + 2.0_wp * radiation_conductance))
  end subroutine evaporation
end module concerto_leaf_energy
