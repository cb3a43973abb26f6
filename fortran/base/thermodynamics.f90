module concerto_thermodynamics
  !! Moist air and liquid water. Saturation vapour pressure by the Magnus form with the coefficients of
  !! Sonntag (1990), over water and over ice, each with the analytic derivative of the same formula, because the
  !! linearised energy balance closes only then. The coefficients are public: loops in other modules that need the
  !! curve inline use them.
  use concerto_kinds, only: wp
  use concerto_constants, only: freezing_point, gas_constant_dry_air, vapour_ratio, heat_capacity_air
  implicit none
  private
  public :: saturation_water, saturation_ice, moist_air, hygrometry

  real(wp), parameter, public :: magnus_pressure = 611.2_wp  !! vapour pressure at the freezing point, Pa
  real(wp), parameter, public :: magnus_water_factor = 17.62_wp  !! over water, -
  real(wp), parameter, public :: magnus_water_offset = 243.12_wp  !! over water, K
  real(wp), parameter, public :: magnus_ice_factor = 22.46_wp  !! over ice, -
  real(wp), parameter, public :: magnus_ice_offset = 272.62_wp  !! over ice, K
  real(wp), parameter, public :: moist_heat_capacity_factor = 0.84_wp  !! c_p = c_pd (1 + factor q), -
  real(wp), parameter, public :: virtual_factor = 0.608_wp  !! T_virtual = T (1 + factor q), -

contains

  pure subroutine saturation_water(n, temperature, vapour_pressure, slope)
    !! Saturation vapour pressure over liquid water, also below the freezing point.
    integer, intent(in) :: n  !! tiles
    real(wp), intent(in) :: temperature(n)  !! K
    real(wp), intent(out) :: vapour_pressure(n)  !! Pa
    real(wp), intent(out) :: slope(n)  !! derivative with temperature, Pa K-1
    integer :: i

    do i = 1, n
      call magnus(magnus_water_factor, magnus_water_offset, temperature(i), vapour_pressure(i), slope(i))
    end do
  end subroutine saturation_water

  pure subroutine saturation_ice(n, temperature, vapour_pressure, slope)
    !! Saturation vapour pressure over ice.
    integer, intent(in) :: n  !! tiles
    real(wp), intent(in) :: temperature(n)  !! K
    real(wp), intent(out) :: vapour_pressure(n)  !! Pa
    real(wp), intent(out) :: slope(n)  !! derivative with temperature, Pa K-1
    integer :: i

    do i = 1, n
      call magnus(magnus_ice_factor, magnus_ice_offset, temperature(i), vapour_pressure(i), slope(i))
    end do
  end subroutine saturation_ice

  pure subroutine moist_air(n, temperature, specific_humidity, pressure, density, heat_capacity, vapour_pressure)
    !! Density, heat capacity and vapour pressure of moist air (ideal gas).
    integer, intent(in) :: n  !! tiles
    real(wp), intent(in) :: temperature(n)  !! K
    real(wp), intent(in) :: specific_humidity(n)  !! kg kg-1
    real(wp), intent(in) :: pressure(n)  !! Pa
    real(wp), intent(out) :: density(n)  !! kg m-3
    real(wp), intent(out) :: heat_capacity(n)  !! at constant pressure, J kg-1 K-1
    real(wp), intent(out) :: vapour_pressure(n)  !! Pa
    integer :: i
    real(wp) :: q

    do i = 1, n
      q = specific_humidity(i)
      density(i) = pressure(i) / (gas_constant_dry_air * temperature(i) * (1.0_wp + virtual_factor * q))
      heat_capacity(i) = heat_capacity_air * (1.0_wp + moist_heat_capacity_factor * q)
      vapour_pressure(i) = q * pressure(i) / (vapour_ratio + (1.0_wp - vapour_ratio) * q)
    end do
  end subroutine moist_air

  pure subroutine hygrometry(n, temperature, pressure, relative_humidity, saturation_pressure, vapour_deficit, &
                             saturation_slope, latent_heat, heat_capacity, psychrometric_constant, water_density, &
                             water_viscosity)
    !! Humidity and water functions of optimality models (P-model, SPLASH), which state their own formulae: slope of
    !! Allen et al. (1998, eq. 13), latent heat of Henderson-Sellers (1984), heat capacity of saturated air of
    !! Tsilingiris (2008, 0 to 100 degC, constant outside), water density of Fisher & Dial (1975), viscosity of Huber
    !! et al. (2009). The water density formula is unstable below about -40 degC.
    integer, intent(in) :: n  !! tiles
    real(wp), intent(in) :: temperature(n)  !! K
    real(wp), intent(in) :: pressure(n)  !! Pa
    real(wp), intent(in) :: relative_humidity(n)  !! 0..1
    real(wp), intent(out) :: saturation_pressure(n)  !! over water, Pa
    real(wp), intent(out) :: vapour_deficit(n)  !! Pa
    real(wp), intent(out) :: saturation_slope(n)  !! Pa K-1
    real(wp), intent(out) :: latent_heat(n)  !! of vaporisation, J kg-1
    real(wp), intent(out) :: heat_capacity(n)  !! of saturated air, J kg-1 K-1
    real(wp), intent(out) :: psychrometric_constant(n)  !! Pa K-1
    real(wp), intent(out) :: water_density(n)  !! kg m-3
    real(wp), intent(out) :: water_viscosity(n)  !! Pa s
    real(wp), parameter :: molar_mass_ratio = 0.028963_wp / 0.01802_wp  ! dry air over water, as in the source
    real(wp) :: t, unused, warm, ratio
    integer :: i

    do i = 1, n
      t = temperature(i) - freezing_point
      call magnus(magnus_water_factor, magnus_water_offset, temperature(i), saturation_pressure(i), unused)
      vapour_deficit(i) = (1.0_wp - relative_humidity(i)) * saturation_pressure(i)
      saturation_slope(i) = 17.269_wp * 237.3_wp * 610.78_wp * exp(17.269_wp * t / (t + 237.3_wp)) / (t + 237.3_wp)**2
      ratio = temperature(i) / (temperature(i) - 33.91_wp)
      latent_heat(i) = 1.91846e6_wp * ratio * ratio
      warm = min(max(t, 0.0_wp), 100.0_wp)
      heat_capacity(i) = 1004.5714270_wp + warm * (2.050632750_wp + warm * (-1.631537093e-1_wp + warm * ( &
                         6.212300300e-3_wp + warm * (-8.830478888e-5_wp + warm * 5.071307038e-7_wp))))
      psychrometric_constant(i) = heat_capacity(i) * molar_mass_ratio * pressure(i) / latent_heat(i)
      water_density(i) = density_of_water(t, pressure(i))
      water_viscosity(i) = viscosity_of_water(temperature(i), water_density(i))
    end do
  end subroutine hygrometry

  elemental subroutine magnus(factor, offset, temperature, vapour_pressure, slope)
    real(wp), intent(in) :: factor, offset, temperature
    real(wp), intent(out) :: vapour_pressure, slope
    real(wp) :: t, inverse

    t = temperature - freezing_point
    inverse = 1.0_wp / (offset + t)
    vapour_pressure = magnus_pressure * exp(factor * t * inverse)
    slope = vapour_pressure * factor * offset * inverse * inverse
  end subroutine magnus

  elemental function density_of_water(t, pressure) result(density)
    real(wp), intent(in) :: t  ! degC
    real(wp), intent(in) :: pressure  ! Pa
    real(wp) :: density, lambda, p0, volume

    lambda = 1788.316_wp + t * (21.55053_wp + t * (-0.4695911_wp + t * (0.003096363_wp - t * 7.341182e-6_wp)))
    p0 = 5918.499_wp + t * (58.05267_wp + t * (-1.1253317_wp + t * (0.0066123869_wp - t * 1.4661625e-5_wp)))
    volume = 0.6980547_wp + t * (-7.435626e-4_wp + t * (3.704258e-5_wp + t * (-6.315724e-7_wp + t * (9.829576e-9_wp &
             + t * (-1.197269e-10_wp + t * (1.005461e-12_wp + t * (-5.437898e-15_wp + t * (1.69946e-17_wp &
             - t * 2.295063e-20_wp))))))))
    density = 1000.0_wp / (volume + lambda / (p0 + 1.0e-5_wp * pressure))
  end function density_of_water

  elemental function viscosity_of_water(temperature, density) result(viscosity)
    real(wp), intent(in) :: temperature  ! K
    real(wp), intent(in) :: density  ! kg m-3
    real(wp) :: viscosity, tb, r, c, d, mu0, mu1

    tb = temperature / 647.096_wp
    r = density / 322.0_wp
    c = 1.0_wp / tb - 1.0_wp
    d = r - 1.0_wp
    mu0 = 100.0_wp * sqrt(tb) / (1.67752_wp + (2.20462_wp + (0.6366564_wp - 0.241605_wp / tb) / tb) / tb)
    mu1 = 0.520094_wp + d * (0.222531_wp + d * (-0.281378_wp + d * (0.161913_wp - d * 0.0325372_wp))) &
          + c * (0.0850895_wp + d * (0.999115_wp + d * (-0.906851_wp + d * 0.257399_wp)) &
          + c * (-1.08374_wp + d * (1.88797_wp - d * 0.772479_wp) &
          + c * (-0.289555_wp + d * (1.26613_wp + d * (-0.489837_wp &
          + d * d * (0.0698452_wp - d * d * 0.00435673_wp))) &
          + c * (d * d * (-0.25704_wp + d * d * d * 0.00872102_wp) &
          + c * (d * (0.120573_wp - d * d * d * d * d * 0.000593264_wp))))))
    viscosity = 1.0e-6_wp * mu0 * exp(r * mu1)
  end function viscosity_of_water
end module concerto_thermodynamics
