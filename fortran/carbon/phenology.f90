module concerto_phenology
  !! Leaf area through the year, daily. Growing-season index with smoothed limiters (Jolly et al. 2005, Global
  !! Change Biol.
  !! 11:619, in the form of LPJmL, Forkel et al. 2014), the target of leaf area by option, prognostic leaf area after
  !! Knorr et al. (2010, J. Geophys. Res. 115:G04017, as in DALEC) and optimal leaf area (Zhou, Cai & Prentice 2025).
  !! Leaf area index is m2 m-2, one-sided.
  use concerto_kinds, only: wp
  use concerto_constants, only: freezing_point
  use concerto_options, only: phenology_gsi
  implicit none
  private
  public :: gsi_step, leaf_area_target, knorr_leaf_area_step, optimal_leaf_area, optimal_leaf_area_day

  real(wp), parameter :: limiter_floor = 1.0e-7_wp  !! smallest value of a limiter, as LPJmL
  real(wp), parameter :: memory_time = 30.0_wp  !! days of the running means of the Knorr scheme

contains

  subroutine gsi_step(n, air_temperature, shortwave, water_stress, cold_slope, cold_base, cold_rate, heat_slope, &
      heat_base, heat_rate, light_slope, light_base, light_rate, water_slope, water_base, water_rate, limiter, &
        phenology)
    !! One day of the growing-season index: each limiter relaxes to its logistic target, their product is the index.
    integer, intent(in) :: n  !! tiles
    real(wp), intent(in) :: air_temperature(n)  !! daily mean air temperature, K
    real(wp), intent(in) :: shortwave(n)  !! daily mean incoming shortwave radiation, W m-2
    real(wp), intent(in) :: water_stress(n)  !! water stress factor, 1: none
    real(wp), intent(in) :: cold_slope(n)  !! slope of the cold limiter, K-1
    real(wp), intent(in) :: cold_base(n)  !! base of the cold limiter, degC
    real(wp), intent(in) :: cold_rate(n)  !! relaxation of the cold limiter, d-1
    real(wp), intent(in) :: heat_slope(n)  !! slope of the heat limiter, K-1
    real(wp), intent(in) :: heat_base(n)  !! base of the heat limiter, degC
    real(wp), intent(in) :: heat_rate(n)  !! relaxation of the heat limiter, d-1
    real(wp), intent(in) :: light_slope(n)  !! slope of the light limiter, (W m-2)-1
    real(wp), intent(in) :: light_base(n)  !! base of the light limiter, W m-2
    real(wp), intent(in) :: light_rate(n)  !! relaxation of the light limiter, d-1
    real(wp), intent(in) :: water_slope(n)  !! slope of the water limiter, per cent-1
    real(wp), intent(in) :: water_base(n)  !! base of the water limiter, per cent
    real(wp), intent(in) :: water_rate(n)  !! relaxation of the water limiter, d-1
    real(wp), intent(inout) :: limiter(n, 4)  !! cold, heat, light, water limiter, 0 to 1
    real(wp), intent(out) :: phenology(n)  !! product of the limiters, 0 to 1
    integer :: i
    real(wp) :: celsius, cold, heat, light, water
    do i = 1, n
      celsius = air_temperature(i) - freezing_point
      cold = relaxed(limiter(i, 1), cold_rate(i), cold_slope(i) * (celsius - cold_base(i)))
      heat = relaxed(limiter(i, 2), heat_rate(i), -heat_slope(i) * (celsius - heat_base(i)))
      light = relaxed(limiter(i, 3), light_rate(i), light_slope(i) * (shortwave(i) - light_base(i)))
      water = relaxed(limiter(i, 4), water_rate(i), water_slope(i) * (100.0_wp * water_stress(i) - water_base(i)))
      limiter(i, 1) = cold
      limiter(i, 2) = heat
      limiter(i, 3) = light
      limiter(i, 4) = water
      phenology(i) = cold * heat * light * water
    end do
  end subroutine gsi_step

  elemental function relaxed(limiter, rate, argument) result(value)
    !! Limiter after one day of relaxation to the logistic of the argument.
    real(wp), intent(in) :: limiter  !! value of yesterday
    real(wp), intent(in) :: rate  !! d-1
    real(wp), intent(in) :: argument  !! argument of the logistic function
    real(wp) :: value
    ! the clamp keeps the exponential finite: the steep light limiters reach arguments of thousands
    value = max(limiter_floor, limiter + rate * (1.0_wp / (1.0_wp + exp(min(200.0_wp, max(-200.0_wp, -argument)))) &
      - limiter))
  end function relaxed

  subroutine leaf_area_target(n, option, evergreen, maximum_leaf_area, phenology, prescribed_leaf_area, target)
    !! Leaf area index that growth and shedding aim at.
    integer, intent(in) :: n  !! tiles
    integer, intent(in) :: option  !! choice of the option phenology: 1 gsi, 2 prescribed
    real(wp), intent(in) :: evergreen(n)  !! 1: the target is the maximum all year
    real(wp), intent(in) :: maximum_leaf_area(n)  !! largest leaf area index, m2 m-2
    real(wp), intent(in) :: phenology(n)  !! growing-season index, 0 to 1
    real(wp), intent(in) :: prescribed_leaf_area(n)  !! leaf area index of the input; negative: none, m2 m-2
    real(wp), intent(out) :: target(n)  !! leaf area index aimed at, m2 m-2
    integer :: i
    real(wp) :: own, given, share
    select case (option)
    case (phenology_gsi)
      do i = 1, n
        share = phenology(i)
        share = merge(1.0_wp, share, evergreen(i) > 0.5_wp)
        target(i) = share * maximum_leaf_area(i)
      end do
    case default
      do i = 1, n
        share = phenology(i)
        share = merge(1.0_wp, share, evergreen(i) > 0.5_wp)
        own = share * maximum_leaf_area(i)
        given = prescribed_leaf_area(i)
        given = merge(own, given, given < 0.0_wp)
        target(i) = merge(0.0_wp, given, maximum_leaf_area(i) <= 0.0_wp)  ! bare ground stays bare
      end do
    end select
  end subroutine leaf_area_target

  subroutine knorr_leaf_area_step(n, time_step, air_temperature, day_length, plant_water, transpiration, &
      maximum_leaf_area, temperature_threshold, temperature_spread, day_length_threshold, day_length_spread, &
      growth_rate, loss_rate, water_time, temperature_memory, leaf_area_memory, leaf_area, temperature_share)
    !! Prognostic leaf area that approaches a limit set by temperature, day length and water (Knorr et al. 2010).
    integer, intent(in) :: n  !! tiles
    real(wp), intent(in) :: time_step  !! d
    real(wp), intent(in) :: air_temperature(n)  !! K
    real(wp), intent(in) :: day_length(n)  !! h
    real(wp), intent(in) :: plant_water(n)  !! plant-available water, kg m-2
    real(wp), intent(in) :: transpiration(n)  !! kg m-2 d-1
    real(wp), intent(in) :: maximum_leaf_area(n)  !! largest leaf area index, m2 m-2
    real(wp), intent(in) :: temperature_threshold(n)  !! temperature at which half of the plants are active, K
    real(wp), intent(in) :: temperature_spread(n)  !! standard deviation of that temperature, K
    real(wp), intent(in) :: day_length_threshold(n)  !! day length at which half of the plants are active, h
    real(wp), intent(in) :: day_length_spread(n)  !! standard deviation of that day length, h
    real(wp), intent(in) :: growth_rate(n)  !! initial growth, d-1
    real(wp), intent(in) :: loss_rate(n)  !! loss outside the growing season, d-1
    real(wp), intent(in) :: water_time(n)  !! time for which water must last, d
    real(wp), intent(inout) :: temperature_memory(n)  !! running mean of temperature, K
    real(wp), intent(inout) :: leaf_area_memory(n)  !! running mean of the water-limited maximum, m2 m-2
    real(wp), intent(inout) :: leaf_area(n)  !! leaf area index, m2 m-2
    real(wp), intent(out) :: temperature_share(n)  !! share of plants active by temperature
    integer :: i
    real(wp) :: keep, active, rate, limit, water_limit, both, demand
    keep = exp(-time_step / memory_time)
    do i = 1, n
      temperature_memory(i) = keep * temperature_memory(i) + (1.0_wp - keep) * air_temperature(i)
      temperature_share(i) = normal((temperature_memory(i) - temperature_threshold(i)) / temperature_spread(i))
      active = temperature_share(i) * normal((day_length(i) - day_length_threshold(i)) / day_length_spread(i))
      rate = growth_rate(i) * active + (1.0_wp - active) * loss_rate(i)
      demand = smooth_maximum(transpiration(i), 1.0e-3_wp, 2.0e-2_wp)
      water_limit = plant_water(i) * leaf_area(i) / (water_time(i) * demand)
      both = maximum_leaf_area(i) + water_limit
      limit = (both - sqrt(max(0.0_wp, both * both - 3.96_wp * maximum_leaf_area(i) * water_limit))) / 1.98_wp
      leaf_area_memory(i) = keep * leaf_area_memory(i) + (1.0_wp - keep) * limit
      limit = smooth_maximum(growth_rate(i) * leaf_area_memory(i) * active / rate, 1.0e-9_wp, 5.0e-3_wp)
      leaf_area(i) = limit - (limit - leaf_area(i)) * exp(-rate * time_step)
    end do
  end subroutine knorr_leaf_area_step

  elemental function normal(x) result(share)
    !! Cumulative normal distribution.
    real(wp), intent(in) :: x  !! in standard deviations
    real(wp) :: share
    share = 0.5_wp * erfc(-0.70710678118654752_wp * x)
  end function normal

  elemental function smooth_maximum(x, y, width) result(value)
    !! Maximum of x and a small y with a continuous slope: x + width exp(-(x - y)/width - 1), y itself below y - width.
    real(wp), intent(in) :: x  !! first value
    real(wp), intent(in) :: y  !! second value
    real(wp), intent(in) :: width  !! width of the transition
    real(wp) :: value
    value = x + width * exp(-(max(x, y - width) - y) / width - 1.0_wp)
    value = merge(value, y, x >= y - width)
  end function smooth_maximum

  subroutine optimal_leaf_area(n, extinction, cost, season_factor, potential_production, co2_pressure, ci_ratio, &
      vapour_deficit, precipitation, aridity, season_length, fapar_maximum, leaf_area_maximum, slope, share_transpired)
    !! Largest leaf area that light use or water pays for (Zhou, Cai & Prentice 2025), and the slope of its seasonal
    !! course.
    integer, intent(in) :: n  !! tiles
    real(wp), intent(in) :: extinction  !! light extinction, 0.5
    real(wp), intent(in) :: cost  !! annual cost of leaves, 12.227 mol m-2
    real(wp), intent(in) :: season_factor  !! departure from a square-wave season, 0.771
    real(wp), intent(in) :: potential_production(n)  !! annual GPP if all light were absorbed, mol m-2
    real(wp), intent(in) :: co2_pressure(n)  !! CO2 in air, Pa
    real(wp), intent(in) :: ci_ratio(n)  !! ratio of leaf-internal to ambient CO2
    real(wp), intent(in) :: vapour_deficit(n)  !! vapour pressure deficit of the growing season, Pa
    real(wp), intent(in) :: precipitation(n)  !! annual precipitation, mol m-2
    real(wp), intent(in) :: aridity(n)  !! potential evapotranspiration over precipitation
    real(wp), intent(in) :: season_length(n)  !! length of the growing season, d
    real(wp), intent(out) :: fapar_maximum(n)  !! largest absorbed share of light, 0 to 1
    real(wp), intent(out) :: leaf_area_maximum(n)  !! largest leaf area index, m2 m-2
    real(wp), intent(out) :: slope(n)  !! m: steady leaf area index over daily production, relative to A0/GPP
    real(wp), intent(out) :: share_transpired(n)  !! f0: largest share of precipitation that plants transpire
    integer :: i
    real(wp) :: logarithm, light, water, fapar, production
    do i = 1, n
      production = max(potential_production(i), 1.0e-30_wp)
      logarithm = log(max(aridity(i), 1.0e-30_wp) / 1.9_wp)
      share_transpired(i) = 0.65_wp * exp(-0.604169_wp * logarithm * logarithm)
      light = 1.0_wp - cost / (extinction * production)
      water = share_transpired(i) * precipitation(i) / production * co2_pressure(i) * (1.0_wp - ci_ratio(i)) &
        / (1.6_wp * max(vapour_deficit(i), 1.0_wp))
      fapar = min(1.0_wp - 1.0e-12_wp, max(0.0_wp, min(light, water)))
      fapar_maximum(i) = fapar
      leaf_area_maximum(i) = -log(1.0_wp - fapar) / extinction
      ! without leaves the ratio tends to 1/extinction
      slope(i) = season_factor * season_length(i) / production &
        * merge(leaf_area_maximum(i) / max(fapar, 1.0e-12_wp), 1.0_wp / extinction, fapar > 1.0e-12_wp)
    end do
  end subroutine optimal_leaf_area

  subroutine optimal_leaf_area_day(n, extinction, relaxation, slope, production, leaf_area_maximum, leaf_area)
    !! Leaf area relaxes to its steady value for the day's potential production, L = mu + W0(-k mu exp(-k mu))/k.
    integer, intent(in) :: n  !! tiles
    real(wp), intent(in) :: extinction  !! light extinction, 0.5
    real(wp), intent(in) :: relaxation  !! daily relaxation, 0.067 d-1
    real(wp), intent(in) :: slope(n)  !! m of optimal_leaf_area
    real(wp), intent(in) :: production(n)  !! potential GPP of the day, mol m-2 d-1
    real(wp), intent(in) :: leaf_area_maximum(n)  !! largest leaf area index, m2 m-2
    real(wp), intent(inout) :: leaf_area(n)  !! leaf area index, m2 m-2
    integer :: i, sweep
    real(wp) :: x, u, w, e, f, steady(n), w_of(n), argument(n)
    do i = 1, n
      x = extinction * max(0.0_wp, slope(i) * production(i))
      argument(i) = -x * exp(-x)
      ! start beside the branch: small arguments and the square-root end at -1/e
      u = sqrt(max(0.0_wp, 2.0_wp * (2.718281828459045_wp * argument(i) + 1.0_wp)))
      w_of(i) = -1.0_wp + u - u * u / 3.0_wp + 11.0_wp / 72.0_wp * u * u * u
    end do
    do sweep = 1, 8
      do i = 1, n
        w = w_of(i)
        e = exp(w)
        f = w * e - argument(i)
        u = max(w + 1.0_wp, 1.0e-8_wp)
        w_of(i) = max(-1.0_wp, w - f / (e * u - 0.5_wp * (w + 2.0_wp) * f / u))
      end do
    end do
    do i = 1, n
      steady(i) = min(max(0.0_wp, slope(i) * production(i)) + w_of(i) / extinction, leaf_area_maximum(i))
      leaf_area(i) = leaf_area(i) + relaxation * (max(0.0_wp, steady(i)) - leaf_area(i))
    end do
  end subroutine optimal_leaf_area_day
end module concerto_phenology
