module concerto_soil_bucket
  !! Cheap soil water: a cascade of buckets on the soil layers (after LPJmL), and the daily one-bucket model SPLASH
  !! (Davis et al. 2017) for scripting. Every store is updated from the fluxes that are returned.
  use concerto_kinds, only: wp
  use concerto_constants, only: density_water, pi, freezing_point, seconds_per_day
  implicit none
  private
  public :: soil_water_bucket, splash_day

  real(wp), parameter :: wetting_depth = 0.28_wp  !! m, soil whose saturation decides on infiltration
  real(wp), parameter :: radians = pi / 180.0_wp

contains

  subroutine soil_water_bucket(n, n_layer, dt, thickness, water_input, sink, ice, theta_sat, theta_res, alpha, vg_n, &
      vg_l, k_sat, theta, flux, surface_runoff, drainage)
    !! One step of the cascade: sinks, infiltration (1 - S)^(1/2) of the input into the layers from the top down,
    !! then water above field capacity (-1 m) drains with the time constant (theta_sat - theta_fc) dz/K, from the
    !! bottom up, as far as the layer below has room. No water rises.
    integer, intent(in) :: n  !! number of tiles
    integer, intent(in) :: n_layer  !! number of layers
    real(wp), intent(in) :: dt  !! time step, s
    real(wp), intent(in) :: thickness(n_layer)  !! layer thickness from the surface down, m
    real(wp), intent(in) :: water_input(n)  !! liquid water reaching the ground, kg m-2 s-1
    real(wp), intent(in) :: sink(n, n_layer)  !! evaporation and root uptake, already limited, kg m-2 s-1
    real(wp), intent(in) :: ice(n, n_layer)  !! ice as liquid equivalent, m3 m-3
    real(wp), intent(in) :: theta_sat(n)  !! porosity, m3 m-3
    real(wp), intent(in) :: theta_res(n)  !! residual content, m3 m-3
    real(wp), intent(in) :: alpha(n)  !! van Genuchten alpha, m-1
    real(wp), intent(in) :: vg_n(n)  !! van Genuchten n, -
    real(wp), intent(in) :: vg_l(n)  !! pore connectivity, -
    real(wp), intent(in) :: k_sat(n)  !! saturated conductivity, m s-1
    real(wp), intent(inout) :: theta(n, n_layer)  !! liquid water, m3 m-3
    real(wp), intent(out) :: flux(n, n_layer + 1)  !! water through the top of each layer and the bottom, kg m-2 a step
    real(wp), intent(out) :: surface_runoff(n)  !! water that did not infiltrate, kg m-2 a step
    real(wp), intent(out) :: drainage(n)  !! water leaving the bottom, kg m-2 a step

    real(wp) :: total(n, 0:n_layer), rest(n), field_capacity(n), wetness(n), log_se, se, m, room, drained, taken
    real(wp) :: excess, conductivity, f, width, span, part, depth, given
    integer :: i, k, below

    depth = 0.0_wp
    wetness = 0.0_wp
    do i = 1, n
      m = 1.0_wp - 1.0_wp / vg_n(i)
      se = exp(-m * log(1.0_wp + exp(vg_n(i) * log(alpha(i)))))
      field_capacity(i) = theta_res(i) + (theta_sat(i) - theta_res(i)) * se
    end do
    total = 0.0_wp
    do k = 1, n_layer
      part = min(thickness(k), max(wetting_depth - depth, 0.0_wp))
      depth = depth + part
      do i = 1, n
        theta(i, k) = theta(i, k) - sink(i, k) * dt / (density_water * thickness(k))
        width = max(theta_sat(i) - ice(i, k) - theta_res(i), 1.0e-3_wp)
        wetness(i) = wetness(i) + part * min(max((theta(i, k) - theta_res(i)) / width, 0.0_wp), 1.0_wp)
      end do
    end do

    do i = 1, n
      rest(i) = max(water_input(i), 0.0_wp) * (dt / density_water) &
        * sqrt(max(1.0_wp - wetness(i) / depth, 0.0_wp))
      total(i, 0) = rest(i)
    end do
    do k = 1, n_layer
      do i = 1, n
        room = max(theta_sat(i) - ice(i, k) - theta(i, k), 0.0_wp) * thickness(k)
        taken = min(rest(i), room)
        theta(i, k) = theta(i, k) + taken / thickness(k)
        rest(i) = rest(i) - taken
        total(i, k) = rest(i)
      end do
    end do
    ! what found no room anywhere never entered
    do k = 0, n_layer
      do i = 1, n
        total(i, k) = total(i, k) - rest(i)
      end do
    end do

    do k = n_layer, 1, -1
      below = min(k + 1, n_layer)
      do i = 1, n
        m = 1.0_wp - 1.0_wp / vg_n(i)
        width = max(theta_sat(i) - ice(i, k) - theta_res(i), 1.0e-3_wp)
        se = min(max((theta(i, k) - theta_res(i)) / width, 1.0e-3_wp), 1.0_wp)
        log_se = log(se)
        f = 1.0_wp - exp(m * log(max(1.0_wp - exp(log_se / m), 1.0e-30_wp)))
        f = merge(1.0_wp, f, se >= 1.0_wp)
        conductivity = k_sat(i) * exp(vg_l(i) * log_se - 13.815510557964274_wp * ice(i, k) / theta_sat(i)) * f * f
        span = max(theta_sat(i) - field_capacity(i), 1.0e-3_wp)
        excess = max(theta(i, k) - field_capacity(i), 0.0_wp) * thickness(k)
        drained = excess * (1.0_wp - exp(-conductivity * dt / (span * thickness(k))))
        room = drained  ! free drainage at the bottom
        if (k < n_layer) room = max(theta_sat(i) - ice(i, below) - theta(i, below), 0.0_wp) * thickness(below)
        drained = min(drained, room)
        theta(i, k) = theta(i, k) - drained / thickness(k)
        if (k < n_layer) theta(i, below) = theta(i, below) + drained / thickness(below)
        total(i, k) = total(i, k) + drained
      end do
    end do
    ! soil handed over more than full gives the excess upwards, at last to the surface
    do k = n_layer, 2, -1
      do i = 1, n
        excess = max(theta(i, k) - max(theta_sat(i) - ice(i, k), 0.0_wp), 0.0_wp) * thickness(k)
        theta(i, k) = theta(i, k) - excess / thickness(k)
        theta(i, k - 1) = theta(i, k - 1) + excess / thickness(k - 1)
        total(i, k - 1) = total(i, k - 1) - excess
      end do
    end do
    do i = 1, n
      excess = max(theta(i, 1) - max(theta_sat(i) - ice(i, 1), 0.0_wp), 0.0_wp)
      theta(i, 1) = theta(i, 1) - excess
      total(i, 0) = total(i, 0) - excess * thickness(1)
    end do
    do k = 0, n_layer
      do i = 1, n
        flux(i, k + 1) = total(i, k) * density_water
      end do
    end do
    do i = 1, n
      drainage(i) = flux(i, n_layer + 1)
      given = max(water_input(i), 0.0_wp) * dt
      excess = given - flux(i, 1)
      surface_runoff(i) = merge(excess, 0.0_wp, excess > 1.0e-13_wp * given)  ! no runoff out of rounding
    end do
  end subroutine soil_water_bucket

  subroutine splash_day(n, day_of_year, days_in_year, solar_constant, molar_mass_ratio, entrainment, supply_rate, &
      latitude, elevation, pressure, temperature, sunshine, precipitation, capacity, water, extraterrestrial, &
      photons, net_day, net_night, condensation, equilibrium, potential, actual, runoff)
    !! One day of SPLASH v1 (Davis et al. 2017, Geosci. Model Dev. 10, 689). The shortfall of a bucket that would
    !! run below zero is taken off evapotranspiration, so that the day closes.
    integer, intent(in) :: n  !! number of tiles
    integer, intent(in) :: day_of_year  !! 1 = 1 January
    integer, intent(in) :: days_in_year  !! 365 or 366
    real(wp), intent(in) :: solar_constant  !! W m-2 (1360.8)
    real(wp), intent(in) :: molar_mass_ratio  !! dry air over water vapour, - (1.6078)
    real(wp), intent(in) :: entrainment  !! Priestley-Taylor factor minus 1, - (0.26)
    real(wp), intent(in) :: supply_rate  !! evaporation that a full bucket can supply, mm h-1 (1.05)
    real(wp), intent(in) :: latitude(n)  !! degrees north
    real(wp), intent(in) :: elevation(n)  !! m
    real(wp), intent(in) :: pressure(n)  !! air pressure, Pa
    real(wp), intent(in) :: temperature(n)  !! mean air temperature, K
    real(wp), intent(in) :: sunshine(n)  !! fraction of bright sunshine, 0 to 1
    real(wp), intent(in) :: precipitation(n)  !! kg m-2 a day
    real(wp), intent(in) :: capacity(n)  !! size of the bucket, kg m-2
    real(wp), intent(inout) :: water(n)  !! water in the bucket, kg m-2
    real(wp), intent(out) :: extraterrestrial(n)  !! radiation at the top of the atmosphere, J m-2 a day
    real(wp), intent(out) :: photons(n)  !! photosynthetically active photons at the ground, mol m-2 a day
    real(wp), intent(out) :: net_day(n)  !! net radiation while positive, J m-2 a day
    real(wp), intent(out) :: net_night(n)  !! net radiation while negative, J m-2 a day
    real(wp), intent(out) :: condensation(n)  !! kg m-2 a day
    real(wp), intent(out) :: equilibrium(n)  !! equilibrium evapotranspiration, kg m-2 a day
    real(wp), intent(out) :: potential(n)  !! potential evapotranspiration, kg m-2 a day
    real(wp), intent(out) :: actual(n)  !! actual evapotranspiration, kg m-2 a day
    real(wp), intent(out) :: runoff(n)  !! kg m-2 a day

    ! Orbit (Berger 1978, year 2000), Linacre (1968), Prentice et al. (1993), albedos of Federer (1968), Sellers (1985)
    real(wp), parameter :: eccentricity = 0.0167_wp, obliquity = 23.44_wp * radians, perihelion = 283.0_wp * radians
    real(wp), parameter :: albedo = 0.17_wp, visible_albedo = 0.03_wp, photon_factor = 2.04_wp
    real(wp) :: e2, e3, root, equinox, anomaly, true_anomaly, distance, sine_declination, cosine_declination
    real(wp) :: t, ru, rv, rw, rwv, transmissivity, longwave, sunset, crossover, crossing, slope, latent, density, heat
    real(wp) :: conversion, rx, supply, argument, aet, balance
    integer :: i

    e2 = eccentricity**2
    e3 = eccentricity**3
    root = sqrt(1.0_wp - e2)
    equinox = 2.0_wp * ((0.5_wp * eccentricity + e3 / 8.0_wp) * (1.0_wp + root) * sin(perihelion) &
      - 0.25_wp * e2 * (0.5_wp + root) * sin(2.0_wp * perihelion) &
      + e3 / 8.0_wp * (1.0_wp / 3.0_wp + root) * sin(3.0_wp * perihelion))
    anomaly = equinox + real(day_of_year - 80, wp) * (2.0_wp * pi / real(days_in_year, wp)) - perihelion
    true_anomaly = anomaly + (2.0_wp * eccentricity - 0.25_wp * e3) * sin(anomaly) &
      + 1.25_wp * e2 * sin(2.0_wp * anomaly) + 13.0_wp / 12.0_wp * e3 * sin(3.0_wp * anomaly)
    distance = ((1.0_wp + eccentricity * cos(true_anomaly)) / (1.0_wp - e2))**2
    sine_declination = sin(true_anomaly + perihelion) * sin(obliquity)
    cosine_declination = sqrt(1.0_wp - sine_declination**2)

    do i = 1, n
      t = temperature(i) - freezing_point
      ru = sine_declination * sin(latitude(i) * radians)
      rv = max(cosine_declination * cos(latitude(i) * radians), 1.0e-9_wp)
      transmissivity = (0.25_wp + 0.5_wp * sunshine(i)) * (1.0_wp + 2.67e-5_wp * elevation(i))
      rw = (1.0_wp - albedo) * transmissivity * solar_constant * distance
      rwv = rw * rv
      longwave = (0.2_wp + 0.8_wp * sunshine(i)) * (107.0_wp - t)
      sunset = acos(-min(max(ru / rv, -1.0_wp), 1.0_wp))
      extraterrestrial(i) = seconds_per_day / pi * solar_constant * distance * (ru * sunset + rv * sin(sunset))
      photons(i) = 1.0e-6_wp * photon_factor * (1.0_wp - visible_albedo) * transmissivity * extraterrestrial(i)
      crossover = acos(min(max((longwave - rw * ru) / rwv, -1.0_wp), 1.0_wp))
      net_day(i) = seconds_per_day / pi * (crossover * (rw * ru - longwave) + rwv * sin(crossover))
      net_night(i) = seconds_per_day / pi * (rwv * (sin(sunset) - sin(crossover)) &
        + rw * ru * (sunset - crossover) - longwave * (pi - crossover))

      ! water evaporated per energy: Allen et al. (1998), Henderson-Sellers (1984), Tsilingiris (2008),
      ! Fisher & Dial (1975)
      slope = 17.269_wp * 237.3_wp * 610.78_wp * exp(17.269_wp * t / (t + 237.3_wp)) / (t + 237.3_wp)**2
      latent = 1.91846e6_wp * (temperature(i) / (temperature(i) - 33.91_wp))**2
      heat = heat_capacity(min(max(t, 0.0_wp), 100.0_wp))
      density = water_density(max(t, -30.0_wp), pressure(i))
      conversion = slope / (latent * density * (slope + heat * molar_mass_ratio * pressure(i) / latent))
      condensation(i) = 1000.0_wp * conversion * abs(net_night(i))
      equilibrium(i) = 1000.0_wp * conversion * net_day(i)
      potential(i) = (1.0_wp + entrainment) * equilibrium(i)
      rx = 3.6e6_wp * (1.0_wp + entrainment) * conversion

      ! evapotranspiration: the smaller of supply and demand, integrated over the day
      supply = supply_rate * water(i) / capacity(i)
      argument = (supply / rx + longwave - rw * ru) / rwv
      crossing = acos(min(max(argument, -1.0_wp), 1.0_wp))
      aet = 24.0_wp / pi * (supply * crossing + rx * rwv * (sin(crossover) - sin(crossing)) &
        + rx * (rw * ru - longwave) * (crossover - crossing))
      balance = water(i) + precipitation(i) + condensation(i) - aet
      actual(i) = aet + min(balance, 0.0_wp)
      runoff(i) = max(balance - capacity(i), 0.0_wp)
      water(i) = min(max(balance, 0.0_wp), capacity(i))
    end do
  end subroutine splash_day

  elemental function heat_capacity(t) result(c)
    !! Specific heat of humid air, J kg-1 K-1, t in degC within 0 to 100 (Tsilingiris 2008).
    real(wp), intent(in) :: t
    real(wp) :: c
    c = 1.0e3_wp * (1.0045714270_wp + t * (2.050632750e-3_wp + t * (-1.631537093e-4_wp + t * (6.212300300e-6_wp &
      + t * (-8.830478888e-8_wp + t * 5.071307038e-10_wp)))))
  end function heat_capacity

  elemental function water_density(t, pressure) result(density)
    !! Density of water, kg m-3, t in degC (Fisher & Dial 1975, Tumlirz equation).
    real(wp), intent(in) :: t, pressure
    real(wp) :: density, lambda, reference, volume
    lambda = 1788.316_wp + t * (21.55053_wp + t * (-0.4695911_wp + t * (0.003096363_wp - t * 7.341182e-6_wp)))
    reference = 5918.499_wp + t * (58.05267_wp + t * (-1.1253317_wp + t * (0.0066123869_wp - t * 1.4661625e-5_wp)))
    volume = 0.6980547_wp + t * (-0.0007435626_wp + t * (3.704258e-5_wp + t * (-6.315724e-7_wp + t * (9.829576e-9_wp &
      + t * (-1.197269e-10_wp + t * (1.005461e-12_wp + t * (-5.437898e-15_wp + t * (1.69946e-17_wp &
      - t * 2.295063e-20_wp))))))))
    density = 1.0e3_wp / (volume + lambda / (reference + 1.0e-5_wp * pressure))
  end function water_density
end module concerto_soil_bucket
