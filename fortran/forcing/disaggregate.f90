module concerto_disaggregate
  !! Meteorological forcing of a coarse interval (half an hour to a day) as steps of the model, many cells at once.
  !! Sources: parabolas that keep the mean of each interval from Colella & Woodward (1984), scaled towards the mean
  !! where they would leave the possible values as by Zhang & Shu (2010); shortwave by the cosine of the solar zenith
  !! angle and longwave by temperature to the fourth power as in the drivers of JULES (Williams & Clark 2014) and CLM;
  !! daily course of temperature by a sine and an exponential night (Parton & Logan 1981);
  !! sun after Spencer (1971) with the exact integral of concerto_solar; snow by the wet bulb (Wang et al. 2019).
  !! Cells go through in lanes of fixed number, so that a cell's bits depend neither on its neighbours nor on threads;
  !! an interval depends on itself and the intervals beside it alone. SI units, UTC, fluxes positive downwards.
  use concerto_kinds, only: wp
  use concerto_constants, only: pi, freezing_point, vapour_ratio, heat_capacity_air, latent_heat_vaporization
  use concerto_solar, only: solar_constant
  implicit none
  private
  public :: native_to_steps

  integer, parameter :: lanes = 8
  integer, parameter :: n_continuous = 5  ! temperature, humidity, pressure, longwave, wind
  integer, parameter :: temperature = 1, humidity = 2, pressure = 3, longwave = 4, wind = 5
  real(wp), parameter :: radians = pi / 180.0_wp
  real(wp), parameter :: two_pi = 2.0_wp * pi
  real(wp), parameter :: none(n_continuous) = [-1.0e30_wp, 0.0_wp, -1.0e30_wp, 0.0_wp, 0.0_wp]  ! least possible values

contains

  subroutine native_to_steps(n_thread, n_cell, n_column, n_day, n_time, n_step, steps, n_extreme, n_snow, n_leaf, &
                             has_extremes, has_snow, has_leaf, instantaneous, columns, latitude, longitude, &
                             day_of_year, random, air, air_temperature, temperature_least, temperature_greatest, &
                             specific_humidity, air_pressure, shortwave_down, longwave_down, wind_speed, &
                             precipitation, snowfall, leaf_area, forcing)
    !! All columns of the forcing of the core from native intervals, with one interval more at either end.
    !f2py threadsafe
    integer, intent(in) :: n_thread  !! threads
    integer, intent(in) :: n_cell  !! cells
    integer, intent(in) :: n_column  !! columns of forcing
    integer, intent(in) :: n_day  !! days
    integer, intent(in) :: n_time  !! native intervals: n_day times those of a day, and two
    integer, intent(in) :: n_step  !! steps of the model: n_day times steps
    integer, intent(in) :: steps  !! steps of a day, a multiple or a divisor of the native intervals of a day
    integer, intent(in) :: n_extreme  !! cells of the extremes of temperature (1 without)
    integer, intent(in) :: n_snow  !! cells of snowfall (1 without)
    integer, intent(in) :: n_leaf  !! cells of leaf_area (1 without)
    integer, intent(in) :: has_extremes  !! 1: daily extremes of temperature are given (daily intervals)
    integer, intent(in) :: has_snow  !! 1: precipitation is rain, snowfall is given; 0: the wet bulb divides
    integer, intent(in) :: has_leaf  !! 1: leaf_area is given
    integer, intent(in) :: instantaneous(6)  !! 1: at the start of the interval: T, q, p, longwave, wind, shortwave
    integer, intent(in) :: columns(16)  !! column of each output: see the end of the routine
    real(wp), intent(in) :: latitude(n_cell)  !! degrees north
    real(wp), intent(in) :: longitude(n_cell)  !! degrees east
    real(wp), intent(in) :: day_of_year(n_day)  !! 1 on 1 January
    real(wp), intent(in) :: random(2, n_day, n_cell)  !! in [0, 1): length and start of the rain of a day
    real(wp), intent(in) :: air(n_cell, n_day, 4)  !! CO2 (1e-6), N deposition (kg m-2 s-1), delta13C, Delta14C (permil)
    real(wp), intent(in) :: air_temperature(n_time, n_cell)  !! K
    real(wp), intent(in) :: temperature_least(n_time, n_extreme)  !! least of the day, K
    real(wp), intent(in) :: temperature_greatest(n_time, n_extreme)  !! greatest of the day, K
    real(wp), intent(in) :: specific_humidity(n_time, n_cell)  !! kg kg-1
    real(wp), intent(in) :: air_pressure(n_time, n_cell)  !! Pa
    real(wp), intent(in) :: shortwave_down(n_time, n_cell)  !! W m-2
    real(wp), intent(in) :: longwave_down(n_time, n_cell)  !! W m-2
    real(wp), intent(in) :: wind_speed(n_time, n_cell)  !! m s-1
    real(wp), intent(in) :: precipitation(n_time, n_cell)  !! rain and snow, or rain alone, kg m-2 s-1
    real(wp), intent(in) :: snowfall(n_time, n_snow)  !! kg m-2 s-1
    real(wp), intent(in) :: leaf_area(n_time, n_leaf)  !! leaf area index, m2 m-2
    real(wp), intent(inout) :: forcing(n_cell, n_column, n_step)  !! units of the table
    real(wp), dimension(lanes, steps) :: cosine, sunlit, half_day, short, rain, snow, leaf
    real(wp) :: solar_hour(lanes, steps), course(lanes, steps, n_continuous)
    real(wp) :: slope_weight(steps), curve_weight(steps), distance
    real(wp), dimension(lanes) :: lat, lon, left, centre, right, half_range_left, half_range, half_range_right
    integer :: cell(lanes)
    integer :: per_day, fine, group, block_number, n_block, day, interval, first, t, valid, i, k, s

    per_day = max((n_time - 2) / max(n_day, 1), 1)
    fine = max(steps / per_day, 1)  ! steps in an interval
    group = max(per_day / steps, 1)  ! intervals in a step
    n_block = (n_cell + lanes - 1) / lanes
    do s = 1, fine
      call weights(s, fine, slope_weight(s), curve_weight(s))
    end do

    !$omp parallel do collapse(2) num_threads(max(1, n_thread)) schedule(static) default(shared) &
    !$omp private(block_number, day, cosine, sunlit, half_day, short, rain, snow, leaf, solar_hour, course) &
    !$omp private(distance, lat, lon, left, centre, right, half_range_left, half_range, half_range_right, cell) &
    !$omp private(interval, first, t, valid, i, k, s)
    do block_number = 1, n_block
      do day = 1, n_day
        valid = min(lanes, n_cell - (block_number - 1) * lanes)
        do i = 1, lanes
          cell(i) = (block_number - 1) * lanes + min(i, valid)  ! empty lanes repeat the last cell
          lat(i) = latitude(cell(i))
          lon(i) = longitude(cell(i))
        end do
        call sun_of_day(steps, day_of_year(day), lat, lon, cosine, sunlit, half_day, solar_hour, distance)

        if (per_day > steps .or. fine == 1) then  ! means of finer intervals, or a copy
          t = 1 + (day - 1) * per_day
          call average(group, steps, t, n_time, n_cell, cell, instantaneous(1), air_temperature, &
                       course(1, 1, temperature))
          call average(group, steps, t, n_time, n_cell, cell, instantaneous(2), specific_humidity, &
                       course(1, 1, humidity))
          call average(group, steps, t, n_time, n_cell, cell, instantaneous(3), air_pressure, course(1, 1, pressure))
          call average(group, steps, t, n_time, n_cell, cell, instantaneous(4), longwave_down, course(1, 1, longwave))
          call average(group, steps, t, n_time, n_cell, cell, instantaneous(5), wind_speed, course(1, 1, wind))
          call average(group, steps, t, n_time, n_cell, cell, instantaneous(6), shortwave_down, short)
          call average(group, steps, t, n_time, n_cell, cell, 0, precipitation, rain)
          if (has_snow == 1) call average(group, steps, t, n_time, n_snow, cell, 0, snowfall, snow)
          if (has_leaf == 1) call average(group, steps, t, n_time, n_leaf, cell, 0, leaf_area, leaf)
        else
          do interval = 1, per_day
            first = (interval - 1) * fine + 1
            t = 1 + (day - 1) * per_day + interval

            call take(t, n_time, n_cell, cell, air_temperature, left, centre, right)
            call reconstruct(fine, instantaneous(1), none(1), left, centre, right, slope_weight, curve_weight, &
                             course(1, first, temperature))
            if (has_extremes == 1) then
              do i = 1, lanes
                k = cell(i)
                half_range_left(i) = 0.5_wp * (temperature_greatest(t - 1, k) - temperature_least(t - 1, k))
                half_range(i) = 0.5_wp * (temperature_greatest(t, k) - temperature_least(t, k))
                half_range_right(i) = 0.5_wp * (temperature_greatest(t + 1, k) - temperature_least(t + 1, k))
              end do
              call daily_course(steps, centre, half_range_left, half_range, half_range_right, solar_hour, half_day, &
                                course(1, 1, temperature))
            end if
            if (per_day == 1) then
              call events(steps, day, n_day, n_cell, cell, centre, random, t, n_time, has_snow, n_snow, precipitation, &
                          snowfall, rain, snow)
            else
              call spread(fine, t, n_time, n_cell, cell, precipitation, rain(1, first))
              if (has_snow == 1) call spread(fine, t, n_time, n_snow, cell, snowfall, snow(1, first))
            end if
            if (has_leaf == 1) call spread(fine, t, n_time, n_leaf, cell, leaf_area, leaf(1, first))

            call take(t, n_time, n_cell, cell, air_pressure, left, centre, right)
            call reconstruct(fine, instantaneous(3), none(3), left, centre, right, slope_weight, curve_weight, &
                             course(1, first, pressure))
            call take(t, n_time, n_cell, cell, specific_humidity, left, centre, right)
            call reconstruct(fine, instantaneous(2), none(2), left, centre, right, slope_weight, curve_weight, &
                             course(1, first, humidity))
            call cap_humidity(fine, instantaneous(2), centre, course(1, first, temperature), &
                              course(1, first, pressure), course(1, first, humidity))
            call take(t, n_time, n_cell, cell, wind_speed, left, centre, right)
            call reconstruct(fine, instantaneous(5), none(5), left, centre, right, slope_weight, curve_weight, &
                             course(1, first, wind))
            call take(t, n_time, n_cell, cell, longwave_down, left, centre, right)
            if (per_day == 1) then
              call grey_sky(steps, centre, course(1, 1, temperature), course(1, 1, longwave))
            else
              call reconstruct(fine, instantaneous(4), none(4), left, centre, right, slope_weight, curve_weight, &
                               course(1, first, longwave))
            end if
            call take(t, n_time, n_cell, cell, shortwave_down, left, centre, right)
            if (instantaneous(6) == 1) then
              call reconstruct(fine, 1, 0.0_wp, left, centre, right, slope_weight, curve_weight, short(1, first))
            else
              call sunshine(fine, distance, centre, cosine(1, first), short(1, first))
            end if
          end do
        end if
        if (has_snow /= 1) then
          call divide_precipitation(steps, course(1, 1, temperature), course(1, 1, humidity), course(1, 1, pressure), &
                                    rain, snow)
        end if

        do s = 1, steps
          t = (day - 1) * steps + s
          do k = 1, 5
            call store(n_cell, valid, cell(1), course(1, s, k), forcing(1, columns(k), t))
          end do
          call store(n_cell, valid, cell(1), short(1, s), forcing(1, columns(6), t))
          call store(n_cell, valid, cell(1), rain(1, s), forcing(1, columns(7), t))
          call store(n_cell, valid, cell(1), snow(1, s), forcing(1, columns(8), t))
          call store(n_cell, valid, cell(1), sunlit(1, s), forcing(1, columns(9), t))
          do i = 1, valid
            forcing(cell(i), columns(10), t) = day_of_year(day)
            forcing(cell(i), columns(11), t) = &
              noon_weight(lon(i), (real(s - 1, wp) * (86400.0_wp / real(steps, wp))) / 3600.0_wp &
                          + (86400.0_wp / real(steps, wp)) / 7200.0_wp)
          end do
          if (has_leaf == 1) then
            call store(n_cell, valid, cell(1), leaf(1, s), forcing(1, columns(12), t))
          else
            do i = 1, valid
              forcing(cell(i), columns(12), t) = -1.0_wp
            end do
          end if
          do k = 1, 4
            do i = 1, valid
              forcing(cell(i), columns(12 + k), t) = air(cell(i), day, k)
            end do
          end do
        end do
      end do
    end do
    !$omp end parallel do
  end subroutine native_to_steps

  pure subroutine store(n_cell, valid, first, from, to)
    integer, intent(in) :: n_cell, valid, first
    real(wp), intent(in) :: from(lanes)
    real(wp), intent(inout) :: to(n_cell)
    integer :: i

    do i = 1, valid
      to(first - 1 + i) = from(i)
    end do
  end subroutine store

  pure function noon_weight(longitude, middle_utc) result(weight)
    ! 1 within an hour of local mean noon (Mengoli et al. 2022)
    real(wp), intent(in) :: longitude, middle_utc
    real(wp) :: weight, local

    local = middle_utc + longitude / 15.0_wp
    local = local - 24.0_wp * floor(local / 24.0_wp)
    weight = merge(1.0_wp, 0.0_wp, abs(local - 12.0_wp) <= 1.0_wp)
  end function noon_weight

  pure subroutine weights(step, fine, slope, curve)
    ! Step means of the parabola less its mean, for a unit difference of its ends and a unit curvature (a6 of Colella &
    ! Woodward); their sums over the interval vanish.
    integer, intent(in) :: step, fine
    real(wp), intent(out) :: slope, curve
    real(wp) :: a, b

    a = real(step - 1, wp) / real(fine, wp)
    b = real(step, wp) / real(fine, wp)
    slope = 0.5_wp * (a + b) - 0.5_wp
    curve = 0.5_wp * (a + b) - (a * a + a * b + b * b) / 3.0_wp - 1.0_wp / 6.0_wp
  end subroutine weights

  pure subroutine take(t, n_time, n_cell, cell, native, left, centre, right)
    ! An interval and its neighbours.
    integer, intent(in) :: t, n_time, n_cell, cell(lanes)
    real(wp), intent(in) :: native(n_time, n_cell)
    real(wp), intent(out) :: left(lanes), centre(lanes), right(lanes)
    integer :: i

    do i = 1, lanes
      left(i) = native(t - 1, cell(i))
      centre(i) = native(t, cell(i))
      right(i) = native(t + 1, cell(i))
    end do
  end subroutine take

  pure subroutine average(group, steps, before, n_time, n_cell, cell, instantaneous, native, course)
    ! Mean of the intervals in each step; of points, the mean of the line through them.
    integer, intent(in) :: group, steps, before, n_time, n_cell, cell(lanes), instantaneous
    real(wp), intent(in) :: native(n_time, n_cell)
    real(wp), intent(inout) :: course(lanes, steps)
    integer :: i, k, s, t

    do s = 1, steps
      t = before + (s - 1) * group
      do i = 1, lanes
        course(i, s) = native(t + 1, cell(i))
      end do
      if (group == 1) cycle
      do k = 2, group
        do i = 1, lanes
          course(i, s) = course(i, s) + native(t + k, cell(i))
        end do
      end do
      if (instantaneous == 1) then
        do i = 1, lanes
          course(i, s) = course(i, s) + 0.5_wp * (native(t + group + 1, cell(i)) - native(t + 1, cell(i)))
        end do
      end if
      do i = 1, lanes
        course(i, s) = course(i, s) / real(group, wp)
      end do
    end do
  end subroutine average

  pure subroutine spread(fine, t, n_time, n_cell, cell, native, course)
    integer, intent(in) :: fine, t, n_time, n_cell, cell(lanes)
    real(wp), intent(in) :: native(n_time, n_cell)
    real(wp), intent(inout) :: course(lanes, fine)
    integer :: i, s

    do s = 1, fine
      do i = 1, lanes
        course(i, s) = native(t, cell(i))
      end do
    end do
  end subroutine spread

  pure subroutine reconstruct(fine, instantaneous, least, left, centre, right, slope_weight, curve_weight, course)
    ! Means: the parabola that has the mean of the interval and, at its ends, the mean of the neighbours there; drawn
    ! towards the mean where it falls below the least possible value. Points: the line between them.
    integer, intent(in) :: fine, instantaneous
    real(wp), intent(in) :: least, left(lanes), centre(lanes), right(lanes), slope_weight(fine), curve_weight(fine)
    real(wp), intent(inout) :: course(lanes, fine)
    real(wp) :: slope(lanes), curve(lanes), lowest(lanes), share(lanes), middle
    integer :: i, s

    if (instantaneous == 1) then
      do s = 1, fine
        middle = (real(s, wp) - 0.5_wp) / real(fine, wp)
        do i = 1, lanes
          course(i, s) = centre(i) + middle * (right(i) - centre(i))
        end do
      end do
      return
    end if
    do i = 1, lanes
      slope(i) = 0.5_wp * (right(i) - left(i))
      curve(i) = 1.5_wp * (2.0_wp * centre(i) - left(i) - right(i))
      lowest(i) = 0.0_wp
    end do
    do s = 1, fine
      do i = 1, lanes
        course(i, s) = slope(i) * slope_weight(s) + curve(i) * curve_weight(s)
        lowest(i) = min(lowest(i), course(i, s))
      end do
    end do
    do i = 1, lanes
      share(i) = min(max(centre(i) - least, 0.0_wp) / max(-lowest(i), 1.0e-30_wp), 1.0_wp)
    end do
    do s = 1, fine
      do i = 1, lanes
        course(i, s) = max(centre(i) + share(i) * course(i, s), min(least, centre(i)))
      end do
    end do
  end subroutine reconstruct

  pure subroutine daily_course(steps, mean, half_range_left, half_range, half_range_right, solar_hour, half_day, course)
    ! Adds to the course of the daily means that of Parton & Logan (1981): a sine from sunrise to sunset with its
    ! maximum `lag` after noon, and an exponential approach to the minimum, here reached at sunrise. Sunrise is kept
    ! between 3 and 8 h solar time. Days meet at midnight UTC: what brings a day to its mean (a parabola) and to its
    ! range (more or less of the wave) vanishes there. The range is a convex function of that amount, made of lines, and
    ! Newton steps from above find it. A day that ends with a greater range nevertheless is drawn towards its mean.
    integer, intent(in) :: steps
    real(wp), intent(in), dimension(lanes) :: mean, half_range_left, half_range, half_range_right
    real(wp), intent(in), dimension(lanes, steps) :: solar_hour, half_day
    real(wp), intent(inout) :: course(lanes, steps)
    real(wp), parameter :: lag = 2.0_wp  ! h
    real(wp), parameter :: decay = 2.2_wp  ! exponential scales in a night
    real(wp), parameter :: taper = 8.0_wp  ! the change of the wave fades in an eighth of the day
    integer, parameter :: passes = 5
    real(wp) :: wave(lanes, steps)
    real(wp), dimension(lanes) :: lowest, highest, at_lowest, at_highest, total, wave_total, factor, edge, size
    real(wp) :: since, daylight, sunset, by_day, by_night, remaining, from_edge, fade, value, bulge
    integer :: i, k, s

    do i = 1, lanes
      wave_total(i) = 0.0_wp
    end do
    do s = 1, steps
      do i = 1, lanes
        daylight = min(max(half_day(i, s) * (24.0_wp / pi), 8.0_wp), 18.0_wp)
        since = solar_hour(i, s) - 12.0_wp + 0.5_wp * daylight
        since = since - 24.0_wp * floor(since / 24.0_wp)
        by_day = sin(pi * since / (daylight + 2.0_wp * lag))
        sunset = sin(pi * daylight / (daylight + 2.0_wp * lag))
        remaining = exp(-decay * max(since - daylight, 0.0_wp) / (24.0_wp - daylight))
        by_night = sunset * (remaining - exp(-decay)) / (1.0_wp - exp(-decay))
        wave(i, s) = merge(by_day, by_night, since < daylight)
        wave_total(i) = wave_total(i) + wave(i, s)
      end do
    end do
    do i = 1, lanes
      edge(i) = wave_total(i) / real(steps, wp)
      total(i) = 0.0_wp
      wave_total(i) = 0.0_wp
    end do
    do s = 1, steps
      ! the range changes linearly from the mean of two days at midnight to that of the day at noon
      from_edge = (real(s, wp) - 0.5_wp) / real(steps, wp)
      fade = min(1.0_wp, taper * min(from_edge, 1.0_wp - from_edge))
      do i = 1, lanes
        value = merge(half_range_left(i), half_range_right(i), from_edge < 0.5_wp)
        value = value + (0.5_wp + min(from_edge, 1.0_wp - from_edge)) * (half_range(i) - value)
        value = 2.0_wp * value * (wave(i, s) - edge(i))
        course(i, s) = course(i, s) - mean(i) + value
        wave(i, s) = fade * value
        total(i) = total(i) + course(i, s)
        wave_total(i) = wave_total(i) + wave(i, s)
      end do
    end do
    bulge = 0.0_wp
    do s = 1, steps
      from_edge = (real(s, wp) - 0.5_wp) / real(steps, wp)
      bulge = bulge + from_edge * (1.0_wp - from_edge)
    end do
    do i = 1, lanes
      size(i) = 3.0_wp  ! above any solution but that of a front against the sun
    end do
    do s = 1, steps
      from_edge = (real(s, wp) - 0.5_wp) / real(steps, wp)
      value = from_edge * (1.0_wp - from_edge) / bulge
      do i = 1, lanes
        course(i, s) = course(i, s) - value * total(i)
        wave(i, s) = wave(i, s) - value * wave_total(i)
      end do
    end do
    do k = 1, passes
      do i = 1, lanes
        lowest(i) = huge(1.0_wp)
        highest(i) = -huge(1.0_wp)
        at_lowest(i) = 0.0_wp
        at_highest(i) = 0.0_wp
      end do
      do s = 1, steps
        do i = 1, lanes
          value = course(i, s) + size(i) * wave(i, s)
          at_lowest(i) = merge(wave(i, s), at_lowest(i), value < lowest(i))
          lowest(i) = min(lowest(i), value)
          at_highest(i) = merge(wave(i, s), at_highest(i), value > highest(i))
          highest(i) = max(highest(i), value)
        end do
      end do
      do i = 1, lanes
        value = max(at_highest(i) - at_lowest(i), 1.0e-6_wp)
        size(i) = min(max(size(i) - (highest(i) - lowest(i) - 2.0_wp * half_range(i)) / value, -1.0_wp), 3.0_wp)
      end do
    end do
    do i = 1, lanes
      lowest(i) = huge(1.0_wp)
      highest(i) = -huge(1.0_wp)
      total(i) = 0.0_wp
    end do
    do s = 1, steps
      do i = 1, lanes
        course(i, s) = course(i, s) + size(i) * wave(i, s)
        lowest(i) = min(lowest(i), course(i, s))
        highest(i) = max(highest(i), course(i, s))
        total(i) = total(i) + course(i, s)
      end do
    end do
    do i = 1, lanes
      total(i) = total(i) / real(steps, wp)  ! round-off
      factor(i) = max(2.0_wp * half_range(i), 0.0_wp) / max(highest(i) - lowest(i), 1.0e-6_wp)
    end do
    do s = 1, steps
      do i = 1, lanes
        course(i, s) = mean(i) + factor(i) * (course(i, s) - total(i))
      end do
    end do
  end subroutine daily_course

  pure subroutine cap_humidity(fine, instantaneous, mean, kelvin, air_pressure, course)
    ! Nowhere above saturation; what is cut off goes where there is room, in proportion to it. A mean above the mean of
    ! saturation is kept, and exceeds it evenly.
    integer, intent(in) :: fine, instantaneous
    real(wp), intent(in) :: mean(lanes), kelvin(lanes, fine), air_pressure(lanes, fine)
    real(wp), intent(inout) :: course(lanes, fine)
    real(wp) :: room(lanes, fine), total(lanes), space(lanes), saturated, lacking, share(lanes), rest(lanes)
    integer :: i, s

    do i = 1, lanes
      total(i) = 0.0_wp
      space(i) = 0.0_wp
    end do
    do s = 1, fine
      do i = 1, lanes
        saturated = saturation_pressure(kelvin(i, s))
        saturated = vapour_ratio * saturated / (air_pressure(i, s) - (1.0_wp - vapour_ratio) * saturated)
        course(i, s) = min(course(i, s), saturated)
        room(i, s) = saturated - course(i, s)
        total(i) = total(i) + course(i, s)
        space(i) = space(i) + room(i, s)
      end do
    end do
    if (instantaneous == 1) return
    do i = 1, lanes
      lacking = real(fine, wp) * mean(i) - total(i)
      ! round-off is no lack: uncut courses keep their bits
      lacking = merge(lacking, 0.0_wp, lacking > 1.0e-13_wp * total(i))
      share(i) = min(lacking / max(space(i), 1.0e-30_wp), 1.0_wp)
      rest(i) = max(lacking - share(i) * space(i), 0.0_wp) / real(fine, wp)
      rest(i) = merge(rest(i), 0.0_wp, share(i) >= 1.0_wp)
    end do
    do s = 1, fine
      do i = 1, lanes
        course(i, s) = course(i, s) + share(i) * room(i, s) + rest(i)
      end do
    end do
  end subroutine cap_humidity

  pure subroutine grey_sky(steps, mean, kelvin, course)
    ! Longwave of a day with one emissivity of the sky.
    integer, intent(in) :: steps
    real(wp), intent(in) :: mean(lanes), kelvin(lanes, steps)
    real(wp), intent(inout) :: course(lanes, steps)
    real(wp) :: total(lanes), factor(lanes)
    integer :: i, s

    do i = 1, lanes
      total(i) = 0.0_wp
    end do
    do s = 1, steps
      do i = 1, lanes
        course(i, s) = (kelvin(i, s) * kelvin(i, s))**2
        total(i) = total(i) + course(i, s)
      end do
    end do
    do i = 1, lanes
      factor(i) = mean(i) * real(steps, wp) / total(i)
    end do
    do s = 1, steps
      do i = 1, lanes
        course(i, s) = course(i, s) * factor(i)
      end do
    end do
  end subroutine grey_sky

  pure subroutine sunshine(fine, distance, mean, cosine, course)
    ! In proportion to the mean cosine of the zenith angle. Radiation beyond that above the atmosphere (twilight, a
    ! sun that the source had and the geometry has not) is spread evenly over the interval.
    integer, intent(in) :: fine
    real(wp), intent(in) :: distance, mean(lanes), cosine(lanes, fine)
    real(wp), intent(inout) :: course(lanes, fine)
    real(wp) :: total(lanes), factor(lanes), even(lanes), most
    integer :: i, s

    do i = 1, lanes
      total(i) = 0.0_wp
    end do
    do s = 1, fine
      do i = 1, lanes
        total(i) = total(i) + cosine(i, s)
      end do
    end do
    most = solar_constant * distance
    do i = 1, lanes
      factor(i) = mean(i) * real(fine, wp) / max(total(i), 1.0e-30_wp)
      even(i) = max(mean(i) - most * total(i) / real(fine, wp), 0.0_wp)
      even(i) = merge(0.0_wp, even(i), factor(i) <= most)
      factor(i) = min(factor(i), most)
    end do
    do s = 1, fine
      do i = 1, lanes
        course(i, s) = factor(i) * cosine(i, s) + even(i)
      end do
    end do
  end subroutine sunshine

  pure subroutine events(steps, day, n_day, n_cell, cell, mean_temperature, random, t, n_time, has_snow, n_snow, &
                         precipitation, snowfall, rain, snow)
    ! One event in a day, short in warm air (convective), long in cold air and for much rain.
    integer, intent(in) :: steps, day, n_day, n_cell, cell(lanes), t, n_time, has_snow, n_snow
    real(wp), intent(in) :: mean_temperature(lanes), random(2, n_day, n_cell), precipitation(n_time, n_cell)
    real(wp), intent(in) :: snowfall(n_time, n_snow)
    real(wp), intent(inout) :: rain(lanes, steps), snow(lanes, steps)
    real(wp) :: hours, amount, fall
    integer :: i, s, length, begin

    do s = 1, steps
      do i = 1, lanes
        rain(i, s) = 0.0_wp
        snow(i, s) = 0.0_wp
      end do
    end do
    do i = 1, lanes
      amount = precipitation(t, cell(i))
      fall = 0.0_wp
      if (has_snow == 1) fall = snowfall(t, cell(i))
      if (.not. amount + fall > 0.0_wp) cycle
      hours = min(max(10.0_wp - 0.3_wp * max(mean_temperature(i) - freezing_point, 0.0_wp), 2.0_wp), 10.0_wp)
      hours = hours * (0.5_wp + random(1, day, cell(i))) + 86400.0_wp * (amount + fall) / 30.0_wp
      length = min(max(nint(min(hours, 24.0_wp) * real(steps, wp) / 24.0_wp), 1), steps)
      begin = int(random(2, day, cell(i)) * real(steps - length + 1, wp))
      do s = begin + 1, begin + length
        rain(i, s) = amount * real(steps, wp) / real(length, wp)
        snow(i, s) = fall * real(steps, wp) / real(length, wp)
      end do
    end do
  end subroutine events

  pure subroutine divide_precipitation(steps, kelvin, specific_humidity, air_pressure, rain, snow)
    ! Share of snow by the wet bulb, only where something falls and only where the share is not plainly 0 or 1.
    integer, intent(in) :: steps
    real(wp), intent(in), dimension(lanes, steps) :: kelvin, specific_humidity, air_pressure
    real(wp), intent(inout), dimension(lanes, steps) :: rain, snow
    real(wp), parameter :: mild = 4.5_wp  ! degC of the wet bulb: the share is below 1e-3, thus 0
    real(wp), parameter :: cold = -18.0_wp  ! degC of the air: the share is 1 within round-off
    real(wp), dimension(lanes * steps + lanes) :: dry_bulb, vapour, gamma, share
    real(wp) :: saturated_mild, celsius, pressure_of_vapour, psychrometer
    integer :: i, s, m, number, at_lane(lanes * steps + lanes), at_step(lanes * steps + lanes)

    saturated_mild = saturation_pressure(freezing_point + mild)
    number = 0
    do s = 1, steps
      do i = 1, lanes
        snow(i, s) = 0.0_wp
        if (.not. rain(i, s) > 0.0_wp) cycle
        celsius = kelvin(i, s) - freezing_point
        pressure_of_vapour = specific_humidity(i, s) * air_pressure(i, s) &
                             / (vapour_ratio + (1.0_wp - vapour_ratio) * specific_humidity(i, s))
        psychrometer = heat_capacity_air * air_pressure(i, s) / (vapour_ratio * latent_heat_vaporization)
        if (celsius > mild .and. saturated_mild - pressure_of_vapour < psychrometer * (celsius - mild)) cycle
        if (celsius < cold) then
          snow(i, s) = rain(i, s)
          rain(i, s) = 0.0_wp
          cycle
        end if
        number = number + 1
        dry_bulb(number) = kelvin(i, s)
        vapour(number) = pressure_of_vapour
        gamma(number) = psychrometer
        at_lane(number) = i
        at_step(number) = s
      end do
    end do
    if (number == 0) return
    do i = number + 1, number + lanes
      dry_bulb(i) = dry_bulb(number)
      vapour(i) = vapour(number)
      gamma(i) = gamma(number)
    end do
    do m = 1, number, lanes
      call snow_share(dry_bulb(m), vapour(m), gamma(m), share(m))
    end do
    do m = 1, number
      i = at_lane(m)
      s = at_step(m)
      snow(i, s) = rain(i, s) * share(m)
      rain(i, s) = rain(i, s) - snow(i, s)
    end do
  end subroutine divide_precipitation

  pure subroutine snow_share(kelvin, vapour, gamma, share)
    ! Six Newton steps for the wet bulb, then the curve of Wang et al. (2019); shares below 1e-3 are none.
    real(wp), intent(in) :: kelvin(lanes), vapour(lanes), gamma(lanes)
    real(wp), intent(inout) :: share(lanes)
    real(wp) :: wet(lanes), saturated, below, value
    integer :: i, k

    do i = 1, lanes
      wet(i) = kelvin(i)
    end do
    do k = 1, 6
      do i = 1, lanes
        below = 1.0_wp / (wet(i) - freezing_point + 243.12_wp)
        saturated = 611.2_wp * exp(17.62_wp * (wet(i) - freezing_point) * below)
        wet(i) = wet(i) - (saturated - vapour(i) - gamma(i) * (kelvin(i) - wet(i))) &
                 / (saturated * (17.62_wp * 243.12_wp) * below * below + gamma(i))
      end do
    end do
    do i = 1, lanes
      value = min(wet(i), kelvin(i)) - freezing_point
      value = 1.0_wp / (1.0_wp + 6.99e-5_wp * exp(min(2.0_wp * (value + 3.97_wp), 600.0_wp)))
      share(i) = merge(0.0_wp, value, value < 1.0e-3_wp)
    end do
  end subroutine snow_share

  pure subroutine sun_of_day(steps, day_of_year, latitude, longitude, cosine, sunlit, half_day, solar_hour, distance)
    ! mean_cosine_zenith of concerto_solar for the steps of a day: the same integral, with constants of time that the
    ! lanes share and the sine of the half day from its cosine.
    integer, intent(in) :: steps
    real(wp), intent(in) :: day_of_year, latitude(lanes), longitude(lanes)
    real(wp), intent(inout), dimension(lanes, steps) :: cosine, sunlit, half_day, solar_hour
    real(wp), intent(out) :: distance  ! (mean distance / distance)^2 at noon UTC
    real(wp), dimension(lanes) :: sine_latitude, cosine_latitude, ratio, u, v
    real(wp) :: hour, angle, c1, s1, c2, s2, declination, sine, cosine_declination, equation, first, last, width, half
    real(wp) :: edge, sine_first, sine_last, a, b, sine_a, sine_b, integral, inside, sunny, distance_now
    integer :: i, s

    do i = 1, lanes
      sine_latitude(i) = sin(radians * latitude(i))
      cosine_latitude(i) = cos(radians * latitude(i))
    end do
    width = two_pi / real(steps, wp)
    distance = 1.0_wp
    do s = 1, steps
      hour = real(s - 1, wp) * 24.0_wp / real(steps, wp)
      angle = two_pi * (day_of_year - 1.0_wp + (hour + 12.0_wp / real(steps, wp)) / 24.0_wp) / 365.0_wp
      c1 = cos(angle)
      s1 = sin(angle)
      c2 = c1 * c1 - s1 * s1
      s2 = 2.0_wp * s1 * c1
      declination = 0.006918_wp - 0.399912_wp * c1 + 0.070257_wp * s1 - 0.006758_wp * c2 + 0.000907_wp * s2 &
                    - 0.002697_wp * (c2 * c1 - s2 * s1) + 0.00148_wp * (s2 * c1 + c2 * s1)
      equation = 229.18_wp * (0.000075_wp + 0.001868_wp * c1 - 0.032077_wp * s1 - 0.014615_wp * c2 - 0.040849_wp * s2)
      distance_now = 1.00011_wp + 0.034221_wp * c1 + 0.00128_wp * s1 + 0.000719_wp * c2 + 0.000077_wp * s2
      if (2 * s <= steps + 1) distance = distance_now
      sine = sin(declination)
      cosine_declination = cos(declination)
      do i = 1, lanes
        u(i) = sine_latitude(i) * sine
        v(i) = max(cosine_latitude(i) * cosine_declination, 1.0e-12_wp)
        ratio(i) = min(max(-u(i) / v(i), -1.0_wp), 1.0_wp)
      end do
      do i = 1, lanes
        half_day(i, s) = acos(ratio(i))  ! scalar: has no vector version
      end do
      do i = 1, lanes
        solar_hour(i, s) = hour + 12.0_wp / real(steps, wp) + equation / 60.0_wp + longitude(i) / 15.0_wp
        half = half_day(i, s)
        first = radians * (15.0_wp * (hour + equation / 60.0_wp - 12.0_wp) + longitude(i))
        first = first - two_pi * floor((first + pi) / two_pi)
        last = first + width
        edge = sqrt(1.0_wp - ratio(i) * ratio(i))
        sine_first = sin(first)
        sine_last = sin(last)
        ! this day's sun
        a = max(first, -half)
        sine_a = merge(sine_first, -edge, first > -half)
        b = min(last, half)
        sine_b = merge(sine_last, edge, last < half)
        inside = max(b - a, 0.0_wp)
        sunny = inside
        integral = merge(u(i) * (b - a) + v(i) * (sine_b - sine_a), 0.0_wp, inside > 0.0_wp)
        ! that of the next day
        first = first - two_pi
        last = last - two_pi
        a = max(first, -half)
        sine_a = merge(sine_first, -edge, first > -half)
        b = min(last, half)
        sine_b = merge(sine_last, edge, last < half)
        inside = max(b - a, 0.0_wp)
        sunny = sunny + inside
        integral = integral + merge(u(i) * (b - a) + v(i) * (sine_b - sine_a), 0.0_wp, inside > 0.0_wp)
        integral = max(integral, 0.0_wp)
        cosine(i, s) = integral / width
        sunlit(i, s) = min(integral / max(sunny, 1.0e-9_wp), 1.0_wp)
      end do
    end do
  end subroutine sun_of_day

  elemental function saturation_pressure(kelvin) result(pressure_of_vapour)
    ! over water, Pa (Sonntag 1990)
    real(wp), intent(in) :: kelvin
    real(wp) :: pressure_of_vapour

    pressure_of_vapour = 611.2_wp * exp(17.62_wp * (kelvin - freezing_point) / (kelvin - freezing_point + 243.12_wp))
  end function saturation_pressure
end module concerto_disaggregate
