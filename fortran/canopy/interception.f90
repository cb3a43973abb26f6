module concerto_interception
  !! Rain and snow held by the canopy (Noah-MP; unloading of snow after Roesch et al. 2001).
  !!
  !! Stores in kg m-2 of ground, rates in kg m-2 s-1. What the canopy cannot hold any more, because leaves fell,
  !! goes to the ground in the same step: no water is lost. Evaporation from the stores belongs to the energy balance.
  use concerto_kinds, only: wp
  use concerto_constants, only: freezing_point
  implicit none
  private
  public :: canopy_interception, canopy_wet_fraction

contains

  subroutine canopy_interception(n, dt, plant_area, capacity_per_area, rainfall, snowfall, air_temperature, &
      canopy_temperature, wind_speed, liquid, ice, ground_rain, ground_snow)
    !! Filling, drip and unloading in one step.
    integer, intent(in) :: n  !! number of tiles
    real(wp), intent(in) :: dt  !! time step, s
    real(wp), intent(in) :: plant_area(n)  !! leaf and stem area above the snow, m2 m-2
    real(wp), intent(in) :: capacity_per_area(n)  !! liquid held per leaf and stem area, kg m-2 (0.1)
    real(wp), intent(in) :: rainfall(n)  !! kg m-2 s-1
    real(wp), intent(in) :: snowfall(n)  !! kg m-2 s-1
    real(wp), intent(in) :: air_temperature(n)  !! decides on the density of fresh snow, K
    real(wp), intent(in) :: canopy_temperature(n)  !! K
    real(wp), intent(in) :: wind_speed(n)  !! wind at the canopy, m s-1
    real(wp), intent(inout) :: liquid(n)  !! liquid water on the canopy, kg m-2
    real(wp), intent(inout) :: ice(n)  !! snow on the canopy, kg m-2
    real(wp), intent(out) :: ground_rain(n)  !! throughfall and drip, kg m-2 s-1
    real(wp), intent(out) :: ground_snow(n)  !! snow passing or falling off the canopy, kg m-2 s-1
    integer :: i
    real(wp) :: most, cover, fallen, caught, held, unloaded, warm, rate

    do i = 1, n
      ! part of the sky that leaves and stems hide, random leaves and vertical rain
      cover = 1.0_wp - exp(-0.5_wp * max(plant_area(i), 0.0_wp))

      most = capacity_per_area(i) * max(plant_area(i), 0.0_wp)
      fallen = max(liquid(i) - most, 0.0_wp)
      held = liquid(i) - fallen
      caught = min(cover * rainfall(i) * dt, &
        (most - held) * (1.0_wp - exp(-rainfall(i) * dt / max(most, 1.0e-6_wp))))
      caught = max(caught, 0.0_wp)
      liquid(i) = held + caught
      ground_rain(i) = rainfall(i) + (fallen - caught) / dt

      most = ice_capacity(max(plant_area(i), 0.0_wp), air_temperature(i))
      fallen = max(ice(i) - most, 0.0_wp)
      held = ice(i) - fallen
      caught = min(cover * snowfall(i) * dt, &
        (most - held) * (1.0_wp - exp(-snowfall(i) * dt / max(most, 1.0e-6_wp))))
      caught = max(caught, 0.0_wp)
      held = held + caught
      warm = max(canopy_temperature(i) - (freezing_point - 3.0_wp), 0.0_wp)
      rate = warm * (1.0_wp / 1.87e5_wp) + abs(wind_speed(i)) * (1.0_wp / 1.56e5_wp)
      unloaded = held * (1.0_wp - exp(-rate * dt))
      ice(i) = held - unloaded
      ground_snow(i) = snowfall(i) + (fallen - caught + unloaded) / dt
    end do
  end subroutine canopy_interception

  subroutine canopy_wet_fraction(n, plant_area, capacity_per_area, air_temperature, liquid, ice, wet_fraction)
    !! Fraction of leaves and stems covered by water or snow.
    integer, intent(in) :: n  !! number of tiles
    real(wp), intent(in) :: plant_area(n)  !! leaf and stem area above the snow, m2 m-2
    real(wp), intent(in) :: capacity_per_area(n)  !! liquid held per leaf and stem area, kg m-2 (0.1)
    real(wp), intent(in) :: air_temperature(n)  !! decides on the density of fresh snow, K
    real(wp), intent(in) :: liquid(n)  !! liquid water on the canopy, kg m-2
    real(wp), intent(in) :: ice(n)  !! snow on the canopy, kg m-2
    real(wp), intent(out) :: wet_fraction(n)  !! 0 to 1
    integer :: i
    real(wp) :: filling, area
    do i = 1, n
      area = max(plant_area(i), 0.0_wp)
      filling = max(liquid(i) / max(capacity_per_area(i) * area, 1.0e-6_wp), &
        ice(i) / max(ice_capacity(area, air_temperature(i)), 1.0e-6_wp))
      filling = min(max(filling, 0.0_wp), 1.0_wp)
      wet_fraction(i) = merge(exp((2.0_wp / 3.0_wp) * log(max(filling, 1.0e-30_wp))), 0.0_wp, filling > 0.0_wp)
    end do
  end subroutine canopy_wet_fraction

  elemental function ice_capacity(area, air_temperature) result(most)
    !! Snow that branches hold, kg m-2: 6.6 (0.27 + 46/rho) per area; fresh snow after Hedstrom & Pomeroy (1998).
    real(wp), intent(in) :: area, air_temperature
    real(wp) :: most, density
    density = 67.92_wp + 51.25_wp * exp(min(air_temperature - freezing_point, 10.0_wp) * (1.0_wp / 2.59_wp))
    density = min(density, 120.0_wp)
    most = 6.6_wp * (0.27_wp + 46.0_wp / density) * area
  end function ice_capacity
end module concerto_interception
