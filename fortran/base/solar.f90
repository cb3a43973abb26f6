module concerto_solar
  !! Position of the sun and radiation at the top of the atmosphere: declination, equation of time and distance by the
  !! Fourier series of Spencer (1971); mean cosine of the zenith angle over an interval from the exact integral between
  !! sunrise and sunset. Geometric zenith, no refraction. Day length and equilibrium evaporation as in LPJmL
  !! (Prentice et al. 1993). Angles in degrees at the interface, positive north and east; time UTC.
  use concerto_kinds, only: wp
  use concerto_constants, only: pi
  implicit none
  private
  public :: sun_position, mean_cosine_zenith, day_length, equilibrium_evaporation

  real(wp), parameter, public :: solar_constant = 1361.0_wp  !! W m-2
  real(wp), parameter :: radians = pi / 180.0_wp
  real(wp), parameter :: two_pi = 2.0_wp * pi

contains

  pure subroutine sun_position(n, days_per_year, latitude, longitude, day_of_year, hour_utc, declination, &
                               equation_of_time, inverse_distance_squared, cosine_zenith)
    !! Instantaneous position of the sun.
    integer, intent(in) :: n  !! tiles
    real(wp), intent(in) :: days_per_year  !! length of the calendar's year (365; 366, 360 scale the day angle), d
    real(wp), intent(in) :: latitude(n)  !! degrees north
    real(wp), intent(in) :: longitude(n)  !! degrees east
    real(wp), intent(in) :: day_of_year(n)  !! day in UTC, 1 on 1 January
    real(wp), intent(in) :: hour_utc(n)  !! time of day, h
    real(wp), intent(out) :: declination(n)  !! radians
    real(wp), intent(out) :: equation_of_time(n)  !! apparent minus mean solar time, minutes
    real(wp), intent(out) :: inverse_distance_squared(n)  !! (mean distance / distance)^2, -
    real(wp), intent(out) :: cosine_zenith(n)  !! negative below the horizon, -
    real(wp) :: hour_angle
    integer :: i

    do i = 1, n
      call spencer(two_pi * (day_of_year(i) - 1.0_wp + hour_utc(i) / 24.0_wp) / days_per_year, declination(i), &
                   equation_of_time(i), inverse_distance_squared(i))
      hour_angle = radians * (15.0_wp * (hour_utc(i) + equation_of_time(i) / 60.0_wp - 12.0_wp) + longitude(i))
      cosine_zenith(i) = sin(radians * latitude(i)) * sin(declination(i)) &
                         + cos(radians * latitude(i)) * cos(declination(i)) * cos(hour_angle)
    end do
  end subroutine sun_position

  pure subroutine mean_cosine_zenith(n, days_per_year, latitude, longitude, day_of_year, hour_start, hour_end, &
                                     cosine_mean, cosine_sunlit, sunlit_fraction, radiation_top)
    !! Interval means, exact for the declination of the middle of the interval. Both sunset of one day and sunrise of
    !! the next may lie inside the interval; it may not be longer than 24 h.
    integer, intent(in) :: n  !! tiles
    real(wp), intent(in) :: days_per_year  !! length of the calendar's year, d
    real(wp), intent(in) :: latitude(n)  !! degrees north
    real(wp), intent(in) :: longitude(n)  !! degrees east
    real(wp), intent(in) :: day_of_year(n)  !! UTC day of the start, 1 on 1 January
    real(wp), intent(in) :: hour_start(n)  !! start of the interval, UTC, h
    real(wp), intent(in) :: hour_end(n)  !! end of the interval, later than the start (24 and more: next day), h
    real(wp), intent(out) :: cosine_mean(n)  !! mean of max(0, cosine of zenith) over the interval, -
    real(wp), intent(out) :: cosine_sunlit(n)  !! mean over the sunlit part; 0 when dark, -
    real(wp), intent(out) :: sunlit_fraction(n)  !! share of the interval with the sun above the horizon, 0..1
    real(wp), intent(out) :: radiation_top(n)  !! mean irradiance at the top of the atmosphere, W m-2
    real(wp) :: declination, equation_of_time, inverse_distance_squared, u, v, half_day, first, last, shift
    real(wp) :: integral, sunlit, width, a, b, inside
    integer :: i, k

    do i = 1, n
      call spencer(two_pi * (day_of_year(i) - 1.0_wp + (hour_start(i) + hour_end(i)) / 48.0_wp) / days_per_year, &
                   declination, equation_of_time, inverse_distance_squared)
      u = sin(radians * latitude(i)) * sin(declination)
      v = max(cos(radians * latitude(i)) * cos(declination), 1.0e-12_wp)
      half_day = acos(min(max(-u / v, -1.0_wp), 1.0_wp))
      first = radians * (15.0_wp * (hour_start(i) + equation_of_time / 60.0_wp - 12.0_wp) + longitude(i))
      width = max(radians * 15.0_wp * (hour_end(i) - hour_start(i)), 1.0e-9_wp)
      ! move the start into [-pi, pi): then the days that can touch the interval are this one and the next
      first = first - two_pi * floor((first + pi) / two_pi)
      last = first + width
      integral = 0.0_wp
      sunlit = 0.0_wp
      do k = 0, 1
        shift = two_pi * real(k, wp)
        a = max(first - shift, -half_day)
        b = min(last - shift, half_day)
        inside = max(b - a, 0.0_wp)
        sunlit = sunlit + inside
        integral = integral + merge(u * (b - a) + v * (sin(b) - sin(a)), 0.0_wp, inside > 0.0_wp)
      end do
      integral = max(integral, 0.0_wp)
      cosine_mean(i) = integral / width
      sunlit_fraction(i) = min(sunlit / width, 1.0_wp)
      cosine_sunlit(i) = min(integral / max(sunlit, 1.0e-9_wp), 1.0_wp)
      radiation_top(i) = solar_constant * inverse_distance_squared * cosine_mean(i)
    end do
  end subroutine mean_cosine_zenith

  pure subroutine day_length(n, days_per_year, latitude, day_of_year, hours)
    !! Time between geometric sunrise and sunset.
    integer, intent(in) :: n  !! tiles
    real(wp), intent(in) :: days_per_year  !! length of the calendar's year, d
    real(wp), intent(in) :: latitude(n)  !! degrees north
    real(wp), intent(in) :: day_of_year(n)  !! 1 on 1 January
    real(wp), intent(out) :: hours(n)  !! h
    real(wp) :: declination, equation_of_time, inverse_distance_squared
    integer :: i

    do i = 1, n
      call spencer(two_pi * (day_of_year(i) - 1.0_wp) / days_per_year, declination, equation_of_time, &
                   inverse_distance_squared)
      hours(i) = hours_of_light(radians * latitude(i), declination)
    end do
  end subroutine day_length

  pure subroutine equilibrium_evaporation(n, latitude, day_of_year, air_temperature, shortwave_down, longwave_net, &
                                          albedo, daylight, par, evaporation)
    !! Day length, photosynthetically active radiation and equilibrium evaporation of LPJmL (no-leap calendar): net
    !! shortwave of the day plus the daylight share of net longwave, times s/(s + gamma).
    integer, intent(in) :: n  !! tiles
    real(wp), intent(in) :: latitude(n)  !! degrees north
    real(wp), intent(in) :: day_of_year(n)  !! 1..365
    real(wp), intent(in) :: air_temperature(n)  !! daily mean, K
    real(wp), intent(in) :: shortwave_down(n)  !! daily mean, W m-2
    real(wp), intent(in) :: longwave_net(n)  !! daily mean, positive downwards, W m-2
    real(wp), intent(in) :: albedo(n)  !! 0..1
    real(wp), intent(out) :: daylight(n)  !! day length, h
    real(wp), intent(out) :: par(n)  !! half of shortwave, J m-2 d-1
    real(wp), intent(out) :: evaporation(n)  !! mm d-1
    real(wp) :: t, declination, slope, energy
    integer :: i

    do i = 1, n
      t = air_temperature(i) - 273.15_wp
      declination = -23.4_wp * radians * cos(two_pi * (day_of_year(i) + 10.0_wp) / 365.0_wp)
      daylight(i) = hours_of_light(radians * latitude(i), declination)
      par(i) = 43200.0_wp * shortwave_down(i)
      energy = 86400.0_wp * (shortwave_down(i) * (1.0_wp - albedo(i)) + longwave_net(i) * daylight(i) / 24.0_wp)
      slope = 2.503e6_wp * exp(17.269_wp * t / (237.3_wp + t)) / (237.3_wp + t)**2
      evaporation(i) = max(energy, 0.0_wp) * slope / ((slope + 65.05_wp + 0.064_wp * t) * (2.495e6_wp - 2380.0_wp * t))
    end do
  end subroutine equilibrium_evaporation

  elemental function hours_of_light(latitude, declination) result(hours)
    real(wp), intent(in) :: latitude  ! radians
    real(wp), intent(in) :: declination  ! radians
    real(wp) :: hours, u, v

    u = sin(latitude) * sin(declination)
    v = max(cos(latitude) * cos(declination), 1.0e-12_wp)
    hours = 24.0_wp / pi * acos(min(max(-u / v, -1.0_wp), 1.0_wp))
  end function hours_of_light

  elemental subroutine spencer(day_angle, declination, equation_of_time, inverse_distance_squared)
    real(wp), intent(in) :: day_angle  ! radians
    real(wp), intent(out) :: declination  ! radians
    real(wp), intent(out) :: equation_of_time  ! minutes
    real(wp), intent(out) :: inverse_distance_squared  ! -
    real(wp) :: c1, s1, c2, s2, c3, s3

    c1 = cos(day_angle)
    s1 = sin(day_angle)
    c2 = c1 * c1 - s1 * s1
    s2 = 2.0_wp * s1 * c1
    c3 = c2 * c1 - s2 * s1
    s3 = s2 * c1 + c2 * s1
    declination = 0.006918_wp - 0.399912_wp * c1 + 0.070257_wp * s1 - 0.006758_wp * c2 + 0.000907_wp * s2 &
                  - 0.002697_wp * c3 + 0.00148_wp * s3
    equation_of_time = 229.18_wp * (0.000075_wp + 0.001868_wp * c1 - 0.032077_wp * s1 - 0.014615_wp * c2 &
                                    - 0.040849_wp * s2)
    inverse_distance_squared = 1.00011_wp + 0.034221_wp * c1 + 0.00128_wp * s1 + 0.000719_wp * c2 + 0.000077_wp * s2
  end subroutine spencer
end module concerto_solar
