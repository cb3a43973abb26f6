module concerto_phenology
  !! Leaf area through the year, daily. Growing-season index with smoothed limiters (Jolly et al. 2005, Global
  !! Change Biol. 11:619, in the form of LPJmL, Forkel et al. 2014), prognostic leaf area after Knorr et al. (2010,
  !! J. Geophys. Res. 115:G04017, as in DALEC), optimal leaf area (Zhou, Cai & Prentice 2025), the deciduous types of
  !! CTSM (White et al. 1997), and one routine of the day for all of them. Leaf area index is m2 m-2, one-sided.
  use concerto_kinds, only: wp
  use concerto_constants, only: freezing_point, molar_mass_water
  use concerto_options, only: phenology_gsi, phenology_prescribed, phenology_knorr, phenology_optimal, &
    phenology_stress_deciduous
  implicit none
  private
  public :: phenology_day, plant_available_water
  public :: gsi_step, leaf_area_target, knorr_leaf_area_step, optimal_leaf_area, optimal_leaf_area_day, deciduous_step

  real(wp), parameter :: limiter_floor = 1.0e-7_wp  !! smallest value of a limiter, as LPJmL
  real(wp), parameter :: memory_time = 30.0_wp  !! days of the running means of the Knorr scheme
  real(wp), parameter :: annual_memory = 730.5_wp  !! running means that stand for annual sums, d
  real(wp), parameter :: days_per_year = 365.25_wp
  real(wp), parameter :: extinction = 0.5_wp, leaf_cost = 12.227_wp, season_factor = 0.771_wp  !! Zhou et al. 2025
  real(wp), parameter :: optimal_relaxation = 0.067_wp  !! d-1
  ! CTSM: potential of soil layer at which water counts for and against leaves, -0.6 and -0.8 MPa
  real(wp), parameter :: head_wet = -61.183_wp, head_dry = -81.577_wp  !! m
  real(wp), parameter :: wilting_head = 153.0_wp  !! suction at permanent wilting, 1.5 MPa, m
  real(wp), parameter :: onset_days = 30.0_wp, offset_days = 15.0_wp  !! leaves unfold, leaves fall
  real(wp), parameter :: autumn_day = 39200.0_wp, polar_day = 21600.0_wp  !! day lengths that end the season, s
  real(wp), parameter :: critical_days = 15.0_wp  !! wet days to onset, dry or frozen days to offset
  real(wp), parameter :: onset_rain = 20.0_wp  !! rain of ten days that an onset by water needs, kg m-2

  ! places in the memory of phenology_day; 0 everywhere: not begun
  integer, parameter :: knorr_temperature = 1, knorr_limit = 2, knorr_area = 3
  integer, parameter :: mean_weight = 4, mean_production = 5, mean_rain = 6, mean_evaporation = 7, mean_season = 8, &
    mean_deficit = 9, mean_ci = 10, optimal_area = 11
  integer, parameter :: active_flag = 12, onset_left = 13, offset_left = 14, leaf_share = 15, warmth_sum = 16, &
    warmth_flag = 17, wet_count = 18, frost_count = 19, dry_count = 20, cold_count = 21, rain_mean = 22, &
    day_before = 23, annual_temperature = 24, mean_stressed = 25

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

  subroutine deciduous_step(n, n_memory, all_stress, air_temperature, soil_temperature, soil_head, day_length, &
      precipitation, drought_deciduous, memory, share)
    !! One day of the deciduous types of CTSM. Seasonal: onset when the soil has been warm enough since the winter
    !! solstice, offset when autumn days are short. By stress: onset after 15 wet days with rain (and warmth after
    !! frost), offset after 15 dry or 15 frozen days. Leaves unfold within 30 days, first fast, and fall within 15,
    !! first slowly.
    integer, intent(in) :: n  !! tiles
    integer, intent(in) :: n_memory  !! length of the memory, 25
    logical, intent(in) :: all_stress  !! every tile by stress, also those that are not drought-deciduous
    real(wp), intent(in) :: air_temperature(n)  !! daily mean, K
    real(wp), intent(in) :: soil_temperature(n)  !! third soil layer, K
    real(wp), intent(in) :: soil_head(n)  !! third soil layer, negative, m
    real(wp), intent(in) :: day_length(n)  !! s
    real(wp), intent(in) :: precipitation(n)  !! of the day, kg m-2
    real(wp), intent(in) :: drought_deciduous(n)  !! 1: leaves follow water; 0: warmth and day length
    real(wp), intent(inout) :: memory(n, n_memory)  !! see the page of phenology, places 12 to 24
    real(wp), intent(out) :: share(n)  !! leaf area over its maximum, 0 to 1
    integer :: i
    real(wp) :: keep, annual, rain, need, warmth, flag, wet, frost, dry, cold, displayed, left, fall, elapsed, reset
    logical :: begun, active, by_stress, lengthening, frozen, warm, onset, offset
    keep = exp(-1.0_wp / annual_memory)
    do i = 1, n
      begun = memory(i, day_before) > 0.0_wp
      by_stress = all_stress .or. drought_deciduous(i) > 0.5_wp
      annual = air_temperature(i) + keep * (memory(i, annual_temperature) - air_temperature(i))
      annual = merge(annual, air_temperature(i), begun)
      rain = merge(memory(i, rain_mean) + 0.1_wp * (precipitation(i) - memory(i, rain_mean)), precipitation(i), begun)
      ! a run that begins within the season begins with leaves
      warm = merge(soil_head(i) >= head_wet .and. air_temperature(i) > freezing_point, &
        day_length(i) >= autumn_day .and. air_temperature(i) > freezing_point + 5.0_wp, by_stress)
      active = merge(memory(i, active_flag) > 0.5_wp, warm, begun)
      displayed = merge(memory(i, leaf_share), merge(1.0_wp, 0.0_wp, warm), begun)
      lengthening = day_length(i) >= memory(i, day_before)
      frozen = soil_temperature(i) <= freezing_point
      left = memory(i, onset_left)
      fall = memory(i, offset_left)

      ! warmth of the soil since the solstice, or since 15 days of frost
      need = exp(4.8_wp + 0.13_wp * (annual - freezing_point))
      wet = memory(i, wet_count)
      frost = memory(i, frost_count)
      flag = memory(i, warmth_flag)
      warmth = memory(i, warmth_sum)
      frost = frost + merge(1.0_wp, 0.0_wp, frozen .and. flag < 0.5_wp .and. .not. active)
      wet = merge(0.0_wp, wet, frost > critical_days .and. flag < 0.5_wp)
      warmth = merge(0.0_wp, warmth, by_stress .and. flag < 0.5_wp)
      flag = merge(1.0_wp, flag, frost > critical_days)
      warmth = warmth + max(0.0_wp, soil_temperature(i) - freezing_point)
      warmth = merge(warmth, 0.0_wp, .not. active .and. (by_stress .or. lengthening))
      wet = wet + merge(1.0_wp, 0.0_wp, soil_head(i) >= head_wet .and. .not. active)
      onset = wet > critical_days .and. 10.0_wp * rain >= onset_rain .and. day_length(i) > polar_day &
        .and. (flag < 0.5_wp .or. warmth >= need)
      onset = .not. active .and. merge(onset, lengthening .and. warmth > need, by_stress)

      ! days against leaves
      dry = memory(i, dry_count)
      dry = max(0.0_wp, dry + merge(1.0_wp, merge(-1.0_wp, 0.0_wp, soil_head(i) >= head_wet), soil_head(i) <= head_dry))
      cold = max(0.0_wp, memory(i, cold_count) + merge(1.0_wp, -1.0_wp, frozen))
      offset = merge(dry >= critical_days .or. cold > critical_days .or. day_length(i) <= polar_day, &
        .not. lengthening .and. day_length(i) < autumn_day, by_stress)
      offset = offset .and. active .and. left <= 0.0_wp .and. fall <= 0.0_wp

      left = merge(onset_days, left, onset)
      fall = merge(offset_days, fall, offset)
      active = active .or. onset
      reset = merge(0.0_wp, 1.0_wp, onset)
      memory(i, warmth_sum) = reset * warmth
      memory(i, warmth_flag) = reset * flag
      memory(i, wet_count) = reset * wet
      memory(i, frost_count) = reset * frost
      reset = merge(1.0_wp, 0.0_wp, active .and. .not. (onset .or. offset))
      memory(i, dry_count) = reset * dry
      memory(i, cold_count) = reset * cold

      ! unfold: what is missing falls with the square of the days left; fall: what has fallen grows with the square
      elapsed = max(0.0_wp, left - 1.0_wp) / max(left, 1.0_wp)
      displayed = merge(1.0_wp - (1.0_wp - displayed) * elapsed * elapsed, displayed, left > 0.0_wp)
      left = max(0.0_wp, left - 1.0_wp)
      elapsed = (offset_days - fall) / offset_days
      need = (offset_days - fall + 1.0_wp) / offset_days
      displayed = merge(displayed * max(0.0_wp, 1.0_wp - need * need) &
        / max(1.0_wp - elapsed * elapsed, 1.0e-12_wp), displayed, fall > 0.0_wp)
      active = active .and. .not. (fall > 0.0_wp .and. fall <= 1.0_wp)
      fall = max(0.0_wp, fall - 1.0_wp)
      displayed = merge(displayed, 0.0_wp, active)

      memory(i, active_flag) = merge(1.0_wp, 0.0_wp, active)
      memory(i, onset_left) = left
      memory(i, offset_left) = fall
      memory(i, leaf_share) = displayed
      memory(i, rain_mean) = rain
      memory(i, day_before) = max(day_length(i), 1.0_wp)  ! positive in polar night: begun
      memory(i, annual_temperature) = annual
      share(i) = displayed
    end do
  end subroutine deciduous_step

  subroutine optimal_step(n, n_memory, air_temperature, water_stress, vapour_deficit, precipitation, &
      potential_evaporation, potential_production, ci_ratio, co2_pressure, evergreen, maximum_leaf_area, memory, target)
    !! One day of optimal leaf area: running means stand for the annual sums, then the daily course.
    integer, intent(in) :: n  !! tiles
    integer, intent(in) :: n_memory  !! length of the memory, 25
    real(wp), intent(in) :: air_temperature(n)  !! daily mean, K
    real(wp), intent(in) :: water_stress(n)  !! 1: none
    real(wp), intent(in) :: vapour_deficit(n)  !! daily mean, Pa
    real(wp), intent(in) :: precipitation(n)  !! kg m-2 d-1
    real(wp), intent(in) :: potential_evaporation(n)  !! kg m-2 d-1
    real(wp), intent(in) :: potential_production(n)  !! GPP if all light were absorbed, mol m-2 d-1
    real(wp), intent(in) :: ci_ratio(n)  !! ratio of leaf-internal to ambient CO2
    real(wp), intent(in) :: co2_pressure(n)  !! Pa
    real(wp), intent(in) :: evergreen(n)  !! 1: holds the largest leaf area
    real(wp), intent(in) :: maximum_leaf_area(n)  !! 0: bare, m2 m-2
    real(wp), intent(inout) :: memory(n, n_memory)  !! places 4 to 11 and 25
    real(wp), intent(out) :: target(n)  !! m2 m-2
    integer :: i
    real(wp) :: keep, fresh, season, scale
    logical :: begun
    real(wp), dimension(n) :: production, deficit, rain, aridity, length, ci, largest, fapar, slope, transpired, today
    real(wp) :: stressed
    keep = exp(-1.0_wp / annual_memory)
    fresh = 1.0_wp - keep
    do i = 1, n
      season = merge(fresh, 0.0_wp, air_temperature(i) > freezing_point)
      memory(i, mean_weight) = keep * memory(i, mean_weight) + fresh
      memory(i, mean_production) = keep * memory(i, mean_production) + fresh * potential_production(i)
      memory(i, mean_rain) = keep * memory(i, mean_rain) + fresh * precipitation(i)
      memory(i, mean_evaporation) = keep * memory(i, mean_evaporation) + fresh * potential_evaporation(i)
      memory(i, mean_season) = keep * memory(i, mean_season) + season
      memory(i, mean_deficit) = keep * memory(i, mean_deficit) + season * vapour_deficit(i)
      memory(i, mean_ci) = keep * memory(i, mean_ci) + season * ci_ratio(i)
      scale = 1.0_wp / memory(i, mean_weight)
      production(i) = days_per_year * scale * memory(i, mean_production)
      rain(i) = days_per_year / molar_mass_water * scale * memory(i, mean_rain)
      aridity(i) = memory(i, mean_evaporation) / max(memory(i, mean_rain), 1.0e-12_wp)
      length(i) = days_per_year * scale * memory(i, mean_season)
      scale = 1.0_wp / max(memory(i, mean_season), 1.0e-30_wp)
      deficit(i) = scale * memory(i, mean_deficit)
      ci(i) = scale * memory(i, mean_ci)
      ! the course through the year follows production with stress, relative to its own annual mean
      stressed = potential_production(i) * min(1.0_wp, max(0.0_wp, water_stress(i)))
      memory(i, mean_stressed) = keep * memory(i, mean_stressed) + fresh * stressed
      today(i) = stressed * memory(i, mean_production) / max(memory(i, mean_stressed), 1.0e-30_wp)
    end do
    call optimal_leaf_area(n, extinction, leaf_cost, season_factor, production, co2_pressure, ci, deficit, rain, &
      aridity, length, fapar, largest, slope, transpired)
    do i = 1, n
      begun = memory(i, optimal_area) > 0.0_wp
      memory(i, optimal_area) = merge(memory(i, optimal_area), largest(i), begun)
    end do
    call optimal_leaf_area_day(n, extinction, optimal_relaxation, slope, today, largest, memory(:, optimal_area))
    do i = 1, n
      memory(i, optimal_area) = max(memory(i, optimal_area), 1.0e-9_wp)  ! positive: begun
      target(i) = merge(largest(i), memory(i, optimal_area), evergreen(i) > 0.5_wp)
      target(i) = merge(target(i), 0.0_wp, maximum_leaf_area(i) > 0.0_wp)
    end do
  end subroutine optimal_step

  subroutine phenology_day(n, n_memory, option, air_temperature, shortwave, water_stress, vapour_deficit, day_length, &
      precipitation, transpiration, potential_evaporation, plant_water, soil_temperature, soil_head, &
      potential_production, ci_ratio, co2_pressure, prescribed_leaf_area, evergreen, drought_deciduous, &
      maximum_leaf_area, cold_slope, cold_base, cold_rate, heat_slope, heat_base, heat_rate, light_slope, light_base, &
      light_rate, water_slope, water_base, water_rate, temperature_threshold, temperature_spread, &
      day_length_threshold, day_length_spread, growth_rate, loss_rate, water_time, limiter, memory, target)
    !! Leaf area index that growth and shedding aim at today, by the option phenology. Only the drivers of the chosen
    !! option matter: others may hold any number.
    integer, intent(in) :: n  !! tiles
    integer, intent(in) :: n_memory  !! length of the memory, 25
    integer, intent(in) :: option  !! choice of the option phenology
    real(wp), intent(in) :: air_temperature(n)  !! daily mean, K; all options but prescribed
    real(wp), intent(in) :: shortwave(n)  !! daily mean, W m-2; gsi
    real(wp), intent(in) :: water_stress(n)  !! water stress factor, 1: none; gsi, knorr, optimal
    real(wp), intent(in) :: vapour_deficit(n)  !! daily mean, Pa; optimal
    real(wp), intent(in) :: day_length(n)  !! s; knorr, season_deciduous, stress_deciduous
    real(wp), intent(in) :: precipitation(n)  !! kg m-2 d-1; optimal, season_deciduous, stress_deciduous
    real(wp), intent(in) :: transpiration(n)  !! kg m-2 d-1; knorr
    real(wp), intent(in) :: potential_evaporation(n)  !! kg m-2 d-1; optimal
    real(wp), intent(in) :: plant_water(n)  !! water in the root zone above wilting, kg m-2; knorr
    real(wp), intent(in) :: soil_temperature(n)  !! third soil layer, K; season_deciduous, stress_deciduous
    real(wp), intent(in) :: soil_head(n)  !! third soil layer, negative, m; season_deciduous, stress_deciduous
    real(wp), intent(in) :: potential_production(n)  !! GPP of the P-model if all light were absorbed, mol m-2 d-1
    real(wp), intent(in) :: ci_ratio(n)  !! ci/ca of the P-model; optimal
    real(wp), intent(in) :: co2_pressure(n)  !! Pa; optimal
    real(wp), intent(in) :: prescribed_leaf_area(n)  !! of the input; negative: none, m2 m-2; prescribed
    real(wp), intent(in) :: evergreen(n)  !! 1: holds its maximum (knorr: water alone limits)
    real(wp), intent(in) :: drought_deciduous(n)  !! 1: leaves follow water; season_deciduous
    real(wp), intent(in) :: maximum_leaf_area(n)  !! largest leaf area index, 0: bare; optimal finds its own, m2 m-2
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
    real(wp), intent(in) :: temperature_threshold(n)  !! knorr: temperature at which half of the plants are active, K
    real(wp), intent(in) :: temperature_spread(n)  !! knorr: its standard deviation, K
    real(wp), intent(in) :: day_length_threshold(n)  !! knorr: day length at which half of the plants are active, h
    real(wp), intent(in) :: day_length_spread(n)  !! knorr: its standard deviation, h
    real(wp), intent(in) :: growth_rate(n)  !! knorr: initial growth, d-1
    real(wp), intent(in) :: loss_rate(n)  !! knorr: loss outside the season, d-1
    real(wp), intent(in) :: water_time(n)  !! knorr: time for which water must last, d
    real(wp), intent(inout) :: limiter(n, 4)  !! cold, heat, light, water limiter, 0 to 1; starts at 1
    real(wp), intent(inout) :: memory(n, n_memory)  !! of the other options; starts at 0
    real(wp), intent(out) :: target(n)  !! leaf area index aimed at, m2 m-2
    real(wp), dimension(n) :: share, hours, warm, light, demand
    integer :: i
    logical :: begun
    select case (option)
    case (phenology_gsi, phenology_prescribed)
      call gsi_step(n, air_temperature, shortwave, water_stress, cold_slope, cold_base, cold_rate, heat_slope, &
        heat_base, heat_rate, light_slope, light_base, light_rate, water_slope, water_base, water_rate, limiter, share)
      call leaf_area_target(n, option, evergreen, maximum_leaf_area, share, prescribed_leaf_area, target)
    case (phenology_knorr)
      do i = 1, n
        begun = memory(i, knorr_temperature) > 0.0_wp
        memory(i, knorr_temperature) = merge(memory(i, knorr_temperature), air_temperature(i), begun)
        memory(i, knorr_limit) = merge(memory(i, knorr_limit), maximum_leaf_area(i), begun)
        memory(i, knorr_area) = merge(memory(i, knorr_area), 0.5_wp * maximum_leaf_area(i), begun)
        hours(i) = day_length(i) / 3600.0_wp
        ! what leaves would transpire if water did not limit them already
        demand(i) = transpiration(i) / min(1.0_wp, max(0.05_wp, water_stress(i)))
        ! evergreens are active all year
        warm(i) = merge(0.0_wp, temperature_threshold(i), evergreen(i) > 0.5_wp)
        light(i) = merge(-100.0_wp, day_length_threshold(i), evergreen(i) > 0.5_wp)
      end do
      call knorr_leaf_area_step(n, 1.0_wp, air_temperature, hours, plant_water, demand, maximum_leaf_area, &
        warm, temperature_spread, light, day_length_spread, growth_rate, loss_rate, water_time, &
        memory(:, knorr_temperature), memory(:, knorr_limit), memory(:, knorr_area), share)
      do i = 1, n
        target(i) = merge(memory(i, knorr_area), 0.0_wp, maximum_leaf_area(i) > 0.0_wp)
      end do
    case (phenology_optimal)
      call optimal_step(n, n_memory, air_temperature, water_stress, vapour_deficit, precipitation, &
        potential_evaporation, potential_production, ci_ratio, co2_pressure, evergreen, maximum_leaf_area, memory, &
        target)
    case default
      call deciduous_step(n, n_memory, option == phenology_stress_deciduous, air_temperature, soil_temperature, &
        soil_head, day_length, precipitation, drought_deciduous, memory, share)
      do i = 1, n
        target(i) = maximum_leaf_area(i) * merge(1.0_wp, share(i), evergreen(i) > 0.5_wp)
      end do
    end select
  end subroutine phenology_day

  subroutine plant_available_water(n, n_layer, thickness, root_share, liquid, theta_res, theta_sat, alpha, exponent, &
      water)
    !! Liquid water that roots can still take: what lies above the wilting head in the layers with roots, the deepest
    !! of them counted as far as roots reach there (share of roots over that of an equal distribution, at most 1).
    integer, intent(in) :: n  !! tiles
    integer, intent(in) :: n_layer  !! layers with roots
    real(wp), intent(in) :: thickness(n_layer)  !! m
    real(wp), intent(in) :: root_share(n, n_layer)  !! share of roots by layer
    real(wp), intent(in) :: liquid(n, n_layer)  !! liquid water, m3 m-3
    real(wp), intent(in) :: theta_res(n)  !! residual water content, m3 m-3
    real(wp), intent(in) :: theta_sat(n)  !! porosity, m3 m-3
    real(wp), intent(in) :: alpha(n)  !! van Genuchten alpha, m-1
    real(wp), intent(in) :: exponent(n)  !! van Genuchten n
    real(wp), intent(out) :: water(n)  !! kg m-2
    integer :: i, layer
    real(wp) :: depth, wilting, reach
    depth = sum(thickness)
    water(:) = 0.0_wp
    do layer = 1, n_layer
      do i = 1, n
        wilting = 1.0_wp + exp(exponent(i) * log(alpha(i) * wilting_head))
        wilting = theta_res(i) + (theta_sat(i) - theta_res(i)) * exp((1.0_wp / exponent(i) - 1.0_wp) * log(wilting))
        reach = min(1.0_wp, root_share(i, layer) * depth / thickness(layer))
        water(i) = water(i) + 1000.0_wp * thickness(layer) * reach * max(0.0_wp, liquid(i, layer) - wilting)
      end do
    end do
  end subroutine plant_available_water
end module concerto_phenology
