module concerto_sox
  !! Stomatal optimisation against loss of xylem conductance (SOX), closed form of Eller et al. (2018, Phil. Trans. B
  !! 373; 2020, New Phytol. 226): stomata maximise assimilation times xylem conductance. Potentials are MPa (negative),
  !! assimilation umol m-2 s-1, conductances mol m-2 s-1.
  use concerto_kinds, only: wp
  implicit none
  private
  public :: sox_vulnerability, sox_conductance, sox_capacity

  real(wp), parameter :: wettest = -1.0e-3_wp  !! largest potential in use, MPa
  real(wp), parameter :: least_deficit = 5.0e-4_wp  !! floor of the leaf-to-air deficit (50 Pa), mol mol-1

contains

  subroutine sox_vulnerability(n, potential, potential_half, steepness, conductance)
    !! Relative xylem conductance 1/(1 + (psi/psi50)**a).
    integer, intent(in) :: n  !! number of tiles
    real(wp), intent(in) :: potential(n)  !! water potential, MPa
    real(wp), intent(in) :: potential_half(n)  !! potential at half conductance, MPa
    real(wp), intent(in) :: steepness(n)  !! exponent a, -
    real(wp), intent(out) :: conductance(n)  !! relative to the maximum, -
    integer :: i

    do i = 1, n
      conductance(i) = 1.0_wp / (1.0_wp + loss(potential(i), potential_half(i), steepness(i)))
    end do
  end subroutine sox_vulnerability

  subroutine sox_conductance(n, water_over_carbon, air_pressure, surface_co2, colimited_co2, assimilation_surface, &
                             assimilation_colimited, predawn_potential, potential_half, steepness, least_resistance, &
                             leaf_deficit, stomatal_conductance)
    !! Stomatal conductance for water vapour. Assimilation is that of the caller's leaf scheme at the leaf-surface
    !! CO2 and at the CO2 where carboxylation and light limit equally. Where more CO2 brings no gain the stomata keep
    !! ci at that point.
    integer, intent(in) :: n  !! number of tiles
    real(wp), intent(in) :: water_over_carbon  !! ratio of stomatal conductances of water vapour and CO2 (1.6), -
    real(wp), intent(in) :: air_pressure(n)  !! Pa
    real(wp), intent(in) :: surface_co2(n)  !! CO2 at the leaf surface, Pa
    real(wp), intent(in) :: colimited_co2(n)  !! leaf-internal CO2 of co-limitation, Pa
    real(wp), intent(in) :: assimilation_surface(n)  !! at surface_co2, umol m-2 s-1
    real(wp), intent(in) :: assimilation_colimited(n)  !! at colimited_co2, umol m-2 s-1
    real(wp), intent(in) :: predawn_potential(n)  !! leaf potential without flow, MPa
    real(wp), intent(in) :: potential_half(n)  !! psi50, MPa
    real(wp), intent(in) :: steepness(n)  !! a, -
    real(wp), intent(in) :: least_resistance(n)  !! plant resistance of full xylem, m2 s MPa mol-1
    real(wp), intent(in) :: leaf_deficit(n)  !! leaf-to-air vapour deficit, mol mol-1
    real(wp), intent(out) :: stomatal_conductance(n)  !! for water vapour, mol m-2 s-1
    integer :: i
    real(wp) :: gap, gain, predawn, half, middle, k, slope, difference, near, x, cost, closed, at_point

    do i = 1, n
      gap = (surface_co2(i) - colimited_co2(i)) / air_pressure(i)
      gap = sign(max(abs(gap), 1.0e-9_wp), gap)
      gain = 1.0e-6_wp * (assimilation_surface(i) - assimilation_colimited(i)) / gap

      predawn = min(predawn_potential(i), wettest)
      half = potential_half(i)
      middle = 0.5_wp * (predawn + half)
      k = 1.0_wp / (1.0_wp + loss(predawn, half, steepness(i)))
      ! slope of the vulnerability curve between predawn and middle; at psi50 the two meet: derivative instead of 0/0
      difference = predawn - middle
      near = merge(1.0_wp, 0.0_wp, abs(difference) < -1.0e-4_wp * half)
      x = loss(0.5_wp * (predawn + middle), half, steepness(i))
      slope = -2.0_wp * steepness(i) * x / ((predawn + middle) * (1.0_wp + x) * (1.0_wp + x))
      slope = near * slope + (1.0_wp - near) * (k - 1.0_wp / (1.0_wp + loss(middle, half, steepness(i)))) &
        / (difference + near)
      cost = slope * least_resistance(i) * water_over_carbon * max(leaf_deficit(i), least_deficit) / (k * k)
      x = 2.0_wp / max(cost, 1.0e-12_wp)
      near = max(gain, 1.0e-12_wp)
      ! 0.5 g (sqrt(1 + 4 x/g) - 1) without cancellation
      closed = 2.0_wp * x / (sqrt(1.0_wp + 4.0_wp * x / near) + 1.0_wp)
      at_point = 1.0e-6_wp * max(assimilation_colimited(i), 0.0_wp) / abs(gap)
      near = merge(1.0_wp, 0.0_wp, gain > 0.0_wp)
      stomatal_conductance(i) = water_over_carbon * (near * closed + (1.0_wp - near) * at_point)
    end do
  end subroutine sox_conductance

  subroutine sox_capacity(n, water_over_carbon, predawn_potential, potential_half, steepness, least_resistance, &
                          soil_resistance, capacity)
    !! What the xylem gives to the stomata: xi D = 2 K/(1.6 dK/dpsi r), with r = r_min/K and what the soil around the
    !! roots adds. Stomatal conductance follows from it, the deficit and dA/dci (module concerto_gas_exchange).
    integer, intent(in) :: n  !! number of tiles
    real(wp), intent(in) :: water_over_carbon  !! ratio of stomatal conductances of water vapour and CO2 (1.6), -
    real(wp), intent(in) :: predawn_potential(n)  !! leaf potential without flow, MPa
    real(wp), intent(in) :: potential_half(n)  !! psi50, MPa
    real(wp), intent(in) :: steepness(n)  !! a, -
    real(wp), intent(in) :: least_resistance(n)  !! plant resistance of full xylem, m2 leaf s MPa mol-1
    real(wp), intent(in) :: soil_resistance(n)  !! from the soil to the root surface, m2 leaf s MPa mol-1
    real(wp), intent(out) :: capacity(n)  !! mol m-2 leaf s-1
    integer :: i
    real(wp) :: predawn, half, middle, k, slope, difference, near, x

    do i = 1, n
      predawn = min(predawn_potential(i), wettest)
      half = potential_half(i)
      middle = 0.5_wp * (predawn + half)
      k = 1.0_wp / (1.0_wp + loss(predawn, half, steepness(i)))
      difference = predawn - middle
      near = merge(1.0_wp, 0.0_wp, abs(difference) < -1.0e-4_wp * half)
      x = loss(0.5_wp * (predawn + middle), half, steepness(i))
      slope = -2.0_wp * steepness(i) * x / ((predawn + middle) * (1.0_wp + x) * (1.0_wp + x))
      slope = near * slope + (1.0_wp - near) * (k - 1.0_wp / (1.0_wp + loss(middle, half, steepness(i)))) &
        / (difference + near)
      x = slope * (least_resistance(i) / k + max(soil_resistance(i), 0.0_wp)) * water_over_carbon
      capacity(i) = 2.0_wp * k / max(x, 1.0e-12_wp)
    end do
  end subroutine sox_capacity

  elemental function loss(potential, potential_half, steepness) result(x)
    !! (psi/psi50)**a.
    real(wp), intent(in) :: potential  !! MPa
    real(wp), intent(in) :: potential_half  !! MPa
    real(wp), intent(in) :: steepness  !! -
    real(wp) :: x
    x = exp(min(steepness * log(min(potential, wettest) / potential_half), 60.0_wp))
  end function loss
end module concerto_sox
