module concerto_environment_scalars
  !! How temperature and moisture slow decomposition: dimensionless multipliers of the base rates.
  !! Defaults: Q10 and log of water potential (CTSM, with the factor that goes with CENTURY base rates), RothC's own
  !! pair.
  !! The others are the functions of SoilR (Sierra et al. 2012, Geosci. Model Dev. 5:1045) for comparison and choice.
  use concerto_kinds, only: wp
  use concerto_constants, only: freezing_point, latent_heat_fusion, gravity, density_water, pi
  implicit none
  private
  public :: layer_scalar, decomposition_scalar
  public :: temperature_q10, temperature_lloyd_taylor, temperature_rothc, temperature_century_arctan, &
    temperature_daycent1, temperature_daycent2, temperature_arrhenius, temperature_century1, temperature_kirschbaum, &
    temperature_standcarb
  public :: moisture_log_potential, moisture_rothc, rothc_deficit_step, moisture_candy, moisture_daycent1, &
    moisture_daycent2, moisture_demeter, moisture_gompertz, moisture_moyano, moisture_skopp, moisture_century

  !> heads at and below which nothing decomposes (-10 MPa, CLM4.5; microbes stop near -14 MPa in mineral soil, Manzoni et
  !> al. 2012: with -2 MPa litter of deep roots would stay for ever in soil at the wilting point), and above which water
  !> does not limit (-0.002 MPa), m
  real(wp), parameter, public :: decomposition_driest = -10.0e6_wp / (density_water * gravity)
  real(wp), parameter, public :: decomposition_wettest = -2.0e3_wp / (density_water * gravity)
  integer, parameter :: scheme_rothc = 2  !! position of rothc in decomposition.toml and in the option soil_carbon

contains

  subroutine decomposition_scalar(n, n_layer, scheme, weight, temperature, head, q10, q10_factor, head_dry, head_wet, &
      deficit, clay, rothc_depth, vegetated, scalar)
    !! Multiplier of all base rates of a one-layer scheme: the mean over layers, weighted by thickness.
    !! Default: Q10 times log potential in each layer; RothC: its temperature function of the mean temperature, its
    !! moisture function of the accumulated deficit and its cover factor.
    integer, intent(in) :: n  !! tiles
    integer, intent(in) :: n_layer  !! soil layers that the scheme sees
    integer, intent(in) :: scheme  !! 1: cencn (any scheme with Q10 and potential), 2: rothc
    real(wp), intent(in) :: weight(n_layer)  !! share of the layer, sums to 1
    real(wp), intent(in) :: temperature(n, n_layer)  !! soil temperature, K
    real(wp), intent(in) :: head(n, n_layer)  !! soil water potential as head (negative), m
    real(wp), intent(in) :: q10(n)  !! factor per 10 K, reference 25 degC
    real(wp), intent(in) :: q10_factor  !! factor that goes with the base rates: 0.820595 with CENTURY's
    real(wp), intent(in) :: head_dry  !! head at and below which nothing decomposes, m (-2 MPa: -203.94)
    real(wp), intent(in) :: head_wet  !! head above which water does not limit, m (-0.002 MPa: -0.20394)
    real(wp), intent(in) :: deficit(n)  !! accumulated deficit of RothC (negative), mm
    real(wp), intent(in) :: clay(n)  !! clay, per cent
    real(wp), intent(in) :: rothc_depth  !! depth of the deficit of RothC, cm
    real(wp), intent(in) :: vegetated(n)  !! 1: soil covered by plants
    real(wp), intent(out) :: scalar(n)  !! multiplier of the base rates
    integer :: i, layer
    real(wp) :: inverse_range, kelvin, potential, mean(n), moisture(n), slope(n), bare
    select case (scheme)
    case (scheme_rothc)
      mean(:) = 0.0_wp
      do layer = 1, n_layer
        do i = 1, n
          mean(i) = mean(i) + weight(layer) * temperature(i, layer)
        end do
      end do
      call moisture_rothc(n, deficit, clay, rothc_depth, moisture)
      do i = 1, n
        bare = merge(0.6_wp, 1.0_wp, vegetated(i) > 0.5_wp)
        scalar(i) = rothc_response(mean(i) - freezing_point, 47.91_wp, 106.06_wp, 18.27_wp, -5.0_wp) * moisture(i) &
          * bare
      end do
    case default
      inverse_range = 1.0_wp / log(head_dry / head_wet)
      mean(:) = 0.0_wp
      do i = 1, n
        slope(i) = 0.1_wp * log(q10(i))
      end do
      do layer = 1, n_layer
        do i = 1, n
          kelvin = temperature(i, layer)
          ! below freezing the liquid water that is left has the potential of equilibrium with ice
          potential = min(head(i, layer), latent_heat_fusion / gravity * (1.0_wp - freezing_point / kelvin))
          potential = min(potential, head_wet)
          mean(i) = mean(i) + weight(layer) * exp(slope(i) * (kelvin - freezing_point - 25.0_wp)) &
            * min(1.0_wp, max(0.0_wp, log(head_dry / potential) * inverse_range))
        end do
      end do
      do i = 1, n
        scalar(i) = q10_factor * mean(i)
      end do
    end select
  end subroutine decomposition_scalar

  subroutine layer_scalar(n, n_layer, temperature, head, q10, factor, head_dry, head_wet, scalar)
    !! Multiplier of all base rates in each layer: Q10 times log potential times a factor of the layer.
    integer, intent(in) :: n  !! tiles
    integer, intent(in) :: n_layer  !! soil layers with carbon
    real(wp), intent(in) :: temperature(n, n_layer)  !! soil temperature, K
    real(wp), intent(in) :: head(n, n_layer)  !! soil water potential as head (negative), m
    real(wp), intent(in) :: q10(n)  !! factor per 10 K, reference 25 degC
    real(wp), intent(in) :: factor(n, n_layer)  !! factor of the layer
    real(wp), intent(in) :: head_dry  !! head at and below which nothing decomposes, m (-2 MPa: -203.94)
    real(wp), intent(in) :: head_wet  !! head above which water does not limit, m (-0.002 MPa: -0.20394)
    real(wp), intent(out) :: scalar(n, n_layer)  !! multiplier of the base rates
    integer :: i, layer
    real(wp) :: inverse_range, kelvin, potential, slope(n)
    inverse_range = 1.0_wp / log(head_dry / head_wet)
    do i = 1, n
      slope(i) = 0.1_wp * log(q10(i))
    end do
    do layer = 1, n_layer
      do i = 1, n
        kelvin = temperature(i, layer)
        ! below freezing the liquid water that is left has the potential of equilibrium with ice
        potential = min(head(i, layer), latent_heat_fusion / gravity * (1.0_wp - freezing_point / kelvin))
        potential = min(potential, head_wet)
        scalar(i, layer) = factor(i, layer) * exp(slope(i) * (kelvin - freezing_point - 25.0_wp)) &
          * min(1.0_wp, max(0.0_wp, log(head_dry / potential) * inverse_range))
      end do
    end do
  end subroutine layer_scalar

  elemental function rothc_response(celsius, scale, slope, shift, lowest) result(value)
    !! Temperature function of RothC, zero below the lowest temperature.
    real(wp), intent(in) :: celsius  !! degC
    real(wp), intent(in) :: scale  !! 47.91
    real(wp), intent(in) :: slope  !! 106.06 K
    real(wp), intent(in) :: shift  !! 18.27 K
    real(wp), intent(in) :: lowest  !! degC
    real(wp) :: value
    ! exp(-x)/(1 + exp(-x)) instead of 1/(1 + exp(x)): x grows without bound near the pole
    value = exp(-slope / max(celsius + shift, 0.2_wp))
    value = merge(scale * value / (1.0_wp + value), 0.0_wp, celsius >= max(lowest, 0.2_wp - shift))
  end function rothc_response

  subroutine temperature_q10(n, temperature, q10, reference, scalar)
    !! Q10**((T - reference)/10).
    integer, intent(in) :: n  !! tiles
    real(wp), intent(in) :: temperature(n)  !! soil temperature, K
    real(wp), intent(in) :: q10(n)  !! factor per 10 K
    real(wp), intent(in) :: reference(n)  !! temperature of value 1, K
    real(wp), intent(out) :: scalar(n)  !! multiplier
    integer :: i
    do i = 1, n
      scalar(i) = exp(log(q10(i)) * 0.1_wp * (temperature(i) - reference(i)))
    end do
  end subroutine temperature_q10

  subroutine temperature_lloyd_taylor(n, zero_celsius, temperature, scalar)
    !! Lloyd & Taylor (1994): exp(308.56 (1/56.02 - 1/(T - 227.13))), 1 at 10 degC, 0 at and below 227.13 K.
    integer, intent(in) :: n  !! tiles
    real(wp), intent(in) :: zero_celsius  !! K; 273.15, SoilR takes 273
    real(wp), intent(in) :: temperature(n)  !! soil temperature, K
    real(wp), intent(out) :: scalar(n)  !! multiplier
    integer :: i
    real(wp) :: above, value
    do i = 1, n
      above = temperature(i) - freezing_point + zero_celsius - 227.13_wp
      value = exp(308.56_wp * (1.0_wp / 56.02_wp - 1.0_wp / max(above, 0.4_wp)))
      scalar(i) = merge(value, 0.0_wp, above > 0.4_wp)
    end do
  end subroutine temperature_lloyd_taylor

  subroutine temperature_rothc(n, scale, slope, shift, lowest, temperature, scalar)
    !! RothC: scale/(exp(slope/(t + shift)) + 1). RothC 26.3: 47.91, 106.06, 18.27, -5 degC; SoilR, pyRothC: 47.9,
    !! 106, 18.3, none.
    integer, intent(in) :: n  !! tiles
    real(wp), intent(in) :: scale  !! numerator
    real(wp), intent(in) :: slope  !! K
    real(wp), intent(in) :: shift  !! K
    real(wp), intent(in) :: lowest  !! 0 below this temperature, degC
    real(wp), intent(in) :: temperature(n)  !! temperature, K
    real(wp), intent(out) :: scalar(n)  !! multiplier
    integer :: i
    do i = 1, n
      scalar(i) = rothc_response(temperature(i) - freezing_point, scale, slope, shift, lowest)
    end do
  end subroutine temperature_rothc

  subroutine temperature_century_arctan(n, temperature, scalar)
    !! CENTURY as in CTSM: (11.75 + 29.7/pi atan(0.031 pi (t - 15.4))) over its value at 30 degC, at least 0.01.
    integer, intent(in) :: n  !! tiles
    real(wp), intent(in) :: temperature(n)  !! soil temperature, K
    real(wp), intent(out) :: scalar(n)  !! multiplier
    integer :: i
    real(wp) :: inverse
    inverse = 1.0_wp / (11.75_wp + 29.7_wp / pi * atan(0.031_wp * pi * (30.0_wp - 15.4_wp)))
    do i = 1, n
      scalar(i) = 11.75_wp + 29.7_wp / pi * atan(0.031_wp * pi * (temperature(i) - freezing_point - 15.4_wp))
      scalar(i) = max(0.01_wp, scalar(i) * inverse)
    end do
  end subroutine temperature_century_arctan

  subroutine temperature_daycent1(n, temperature, scalar)
    !! Daycent (Kelly et al. 2000): 0.08 exp(0.095 t).
    integer, intent(in) :: n  !! tiles
    real(wp), intent(in) :: temperature(n)  !! soil temperature, K
    real(wp), intent(out) :: scalar(n)  !! multiplier
    integer :: i
    do i = 1, n
      scalar(i) = 0.08_wp * exp(0.095_wp * (temperature(i) - freezing_point))
    end do
  end subroutine temperature_daycent1

  subroutine temperature_daycent2(n, lowest, temperature, scalar)
    !! Daycent (Del Grosso et al. 2005): 0.56 + 1.46 atan(0.0309 pi (t - 15.7))/pi, negative below -11 degC unless
    !! bounded.
    integer, intent(in) :: n  !! tiles
    real(wp), intent(in) :: lowest  !! lower bound of the multiplier; 0 in the model
    real(wp), intent(in) :: temperature(n)  !! soil temperature, K
    real(wp), intent(out) :: scalar(n)  !! multiplier
    integer :: i
    do i = 1, n
      scalar(i) = max(lowest, 0.56_wp + 1.46_wp / pi * atan(0.0309_wp * pi * (temperature(i) - freezing_point - &
        15.7_wp)))
    end do
  end subroutine temperature_daycent2

  subroutine temperature_arrhenius(n, factor, activation_energy, gas, temperature, scalar)
    !! factor exp(-Ea/(R T)).
    integer, intent(in) :: n  !! tiles
    real(wp), intent(in) :: factor  !! pre-exponential factor
    real(wp), intent(in) :: activation_energy  !! J mol-1
    real(wp), intent(in) :: gas  !! gas constant, J mol-1 K-1
    real(wp), intent(in) :: temperature(n)  !! soil temperature, K
    real(wp), intent(out) :: scalar(n)  !! multiplier
    integer :: i
    do i = 1, n
      scalar(i) = factor * exp(-activation_energy / (gas * temperature(i)))
    end do
  end subroutine temperature_arrhenius

  subroutine temperature_century1(n, highest, optimum, temperature, scalar)
    !! CENTURY (Burke et al. 2003): a peaked curve, x**0.2 exp(0.076 (1 - x**2.63)), x = (Tmax - t)/(Tmax - Topt).
    integer, intent(in) :: n  !! tiles
    real(wp), intent(in) :: highest  !! Tmax, degC (45)
    real(wp), intent(in) :: optimum  !! Topt, degC (35)
    real(wp), intent(in) :: temperature(n)  !! soil temperature, K
    real(wp), intent(out) :: scalar(n)  !! multiplier
    integer :: i
    real(wp) :: x, logarithm, value
    do i = 1, n
      x = (highest - (temperature(i) - freezing_point)) / (highest - optimum)
      logarithm = log(max(x, 1.0e-30_wp))
      value = exp(0.2_wp * logarithm + 0.2_wp / 2.63_wp * (1.0_wp - exp(2.63_wp * logarithm)))
      scalar(i) = merge(value, 0.0_wp, x > 1.0e-30_wp)
    end do
  end subroutine temperature_century1

  subroutine temperature_kirschbaum(n, temperature, scalar)
    !! Kirschbaum (1995): exp(-3.764 + 0.204 t (1 - 0.5 t/36.9)).
    integer, intent(in) :: n  !! tiles
    real(wp), intent(in) :: temperature(n)  !! soil temperature, K
    real(wp), intent(out) :: scalar(n)  !! multiplier
    integer :: i
    real(wp) :: celsius
    do i = 1, n
      celsius = temperature(i) - freezing_point
      scalar(i) = exp(-3.764_wp + 0.204_wp * celsius * (1.0_wp - 0.5_wp * celsius / 36.9_wp))
    end do
  end subroutine temperature_kirschbaum

  subroutine temperature_standcarb(n, temperature, scalar)
    !! StandCarb: 2**((t - 10)/10) exp(-(t/49)**15).
    integer, intent(in) :: n  !! tiles
    real(wp), intent(in) :: temperature(n)  !! soil temperature, K
    real(wp), intent(out) :: scalar(n)  !! multiplier
    integer :: i
    real(wp) :: x, x3, x5, celsius
    do i = 1, n
      celsius = temperature(i) - freezing_point
      x = celsius / 49.0_wp
      x3 = x * x * x
      x5 = x3 * x * x
      scalar(i) = exp(-x5 * x5 * x5) * exp(log(2.0_wp) * 0.1_wp * (celsius - 10.0_wp))
    end do
  end subroutine temperature_standcarb

  subroutine moisture_log_potential(n, head_dry, head_wet, head, scalar)
    !! log(dry/psi)/log(dry/wet), between 0 and 1 (CLM; Andren & Paustian 1987, Orchard & Cook 1983).
    integer, intent(in) :: n  !! tiles
    real(wp), intent(in) :: head_dry  !! potential of no decomposition, unit of head
    real(wp), intent(in) :: head_wet  !! potential of no limitation, unit of head
    real(wp), intent(in) :: head(n)  !! water potential (negative), any unit
    real(wp), intent(out) :: scalar(n)  !! multiplier
    integer :: i
    real(wp) :: inverse
    inverse = 1.0_wp / log(head_dry / head_wet)
    do i = 1, n
      scalar(i) = min(1.0_wp, max(0.0_wp, log(head_dry / min(head(i), head_wet)) * inverse))
    end do
  end subroutine moisture_log_potential

  subroutine rothc_deficit_step(n, pan_factor, bare_divisor, clay, depth, vegetated, rain, evaporation, deficit)
    !! Accumulated topsoil moisture deficit of RothC after one interval (a month or a day).
    integer, intent(in) :: n  !! tiles
    real(wp), intent(in) :: pan_factor  !! 0.75 with open-pan evaporation, 1 with potential evapotranspiration
    real(wp), intent(in) :: bare_divisor  !! bare soil dries to the full deficit over this, 1/0.556
    real(wp), intent(in) :: clay(n)  !! clay, per cent
    real(wp), intent(in) :: depth(n)  !! depth of the topsoil, cm
    real(wp), intent(in) :: vegetated(n)  !! 1: soil covered by plants
    real(wp), intent(in) :: rain(n)  !! rain of the interval, mm
    real(wp), intent(in) :: evaporation(n)  !! evaporation of the interval, mm
    real(wp), intent(inout) :: deficit(n)  !! accumulated deficit (negative), mm
    integer :: i
    real(wp) :: full, lowest
    do i = 1, n
      full = full_deficit(clay(i), depth(i))
      ! bare soil does not dry further than its own limit, but may stand below it when plants have dried it before
      lowest = min(full / bare_divisor, deficit(i))
      lowest = merge(full, lowest, vegetated(i) > 0.5_wp)
      deficit(i) = max(lowest, min(0.0_wp, deficit(i) + rain(i) - pan_factor * evaporation(i)))
    end do
  end subroutine rothc_deficit_step

  elemental function full_deficit(clay, depth) result(value)
    !! Largest deficit of RothC, mm (negative).
    real(wp), intent(in) :: clay  !! per cent
    real(wp), intent(in) :: depth  !! cm
    real(wp) :: value
    value = -(20.0_wp + 1.3_wp * clay - 0.01_wp * clay * clay) * depth / 23.0_wp
  end function full_deficit

  subroutine moisture_rothc(n, deficit, clay, depth, scalar)
    !! RothC: 1 above 0.444 of the largest deficit, then falling linearly to 0.2.
    integer, intent(in) :: n  !! tiles
    real(wp), intent(in) :: deficit(n)  !! accumulated deficit (negative), mm
    real(wp), intent(in) :: clay(n)  !! clay, per cent
    real(wp), intent(in) :: depth  !! depth of the topsoil, cm
    real(wp), intent(out) :: scalar(n)  !! multiplier
    integer :: i
    real(wp) :: full
    do i = 1, n
      full = full_deficit(clay(i), depth)
      scalar(i) = min(1.0_wp, max(0.2_wp, 0.2_wp + 0.8_wp * (full - deficit(i)) / (0.556_wp * full)))
    end do
  end subroutine moisture_rothc

  subroutine moisture_candy(n, pore_volume, water, scalar)
    !! CANDY: 4 s (1 - s) up to half saturation s, then 1.
    integer, intent(in) :: n  !! tiles
    real(wp), intent(in) :: pore_volume(n)  !! m3 m-3
    real(wp), intent(in) :: water(n)  !! m3 m-3
    real(wp), intent(out) :: scalar(n)  !! multiplier
    integer :: i
    real(wp) :: s
    do i = 1, n
      s = min(0.5_wp, water(i) / pore_volume(i))
      scalar(i) = 4.0_wp * s * (1.0_wp - s)
    end do
  end subroutine moisture_candy

  subroutine moisture_daycent1(n, bulk_density, water, scalar)
    !! Daycent (Kelly et al. 2000), fine texture: a peaked function of water-filled pore space.
    integer, intent(in) :: n  !! tiles
    real(wp), intent(in) :: bulk_density(n)  !! g cm-3
    real(wp), intent(in) :: water(n)  !! m3 m-3
    real(wp), intent(out) :: scalar(n)  !! multiplier
    real(wp), parameter :: a = 0.6_wp, b = 1.27_wp, c = 0.0012_wp, d = 2.84_wp
    integer :: i
    real(wp) :: filled, wet, dry
    do i = 1, n
      filled = water(i) / (1.0_wp - bulk_density(i) / 2.65_wp)
      wet = max(1.0e-30_wp, (filled - b) / (a - b))
      dry = max(1.0e-30_wp, (filled - c) / (a - c))
      scalar(i) = exp(d * (b - a) / (a - c) * log(wet) + d * log(dry))
    end do
  end subroutine moisture_daycent1

  subroutine moisture_daycent2(n, wilting, field_capacity, water, scalar)
    !! Daycent (Del Grosso et al. 2000): 5 (0.287 + atan(0.009 pi (r - 17.47))/pi), r the relative extractable water
    !! in per cent.
    integer, intent(in) :: n  !! tiles
    real(wp), intent(in) :: wilting(n)  !! per cent
    real(wp), intent(in) :: field_capacity(n)  !! per cent
    real(wp), intent(in) :: water(n)  !! per cent
    real(wp), intent(out) :: scalar(n)  !! multiplier
    integer :: i
    real(wp) :: relative
    do i = 1, n
      relative = (water(i) - wilting(i)) * 100.0_wp / (field_capacity(i) - wilting(i))
      scalar(i) = 5.0_wp * (0.287_wp + atan(pi * 0.009_wp * (relative - 17.47_wp)) / pi)
    end do
  end subroutine moisture_daycent2

  subroutine moisture_demeter(n, saturation, water, scalar)
    !! DEMETER: 0.25 + 0.75 M/Msat.
    integer, intent(in) :: n  !! tiles
    real(wp), intent(in) :: saturation(n)  !! water at saturation, unit of water
    real(wp), intent(in) :: water(n)  !! any unit
    real(wp), intent(out) :: scalar(n)  !! multiplier
    integer :: i
    do i = 1, n
      scalar(i) = 0.25_wp + 0.75_wp * water(i) / saturation(i)
    end do
  end subroutine moisture_demeter

  subroutine moisture_gompertz(n, water, scalar)
    !! Gompertz (Janssens et al. 2003): exp(-exp(0.824 - 30.8 theta)).
    integer, intent(in) :: n  !! tiles
    real(wp), intent(in) :: water(n)  !! m3 m-3
    real(wp), intent(out) :: scalar(n)  !! multiplier
    integer :: i
    do i = 1, n
      scalar(i) = exp(-exp(0.824_wp - 30.8_wp * water(i)))
    end do
  end subroutine moisture_gompertz

  subroutine moisture_moyano(n, water, scalar)
    !! Moyano et al. (2013): 3.11 theta - 2.42 theta**2.
    integer, intent(in) :: n  !! tiles
    real(wp), intent(in) :: water(n)  !! m3 m-3
    real(wp), intent(out) :: scalar(n)  !! multiplier
    integer :: i
    do i = 1, n
      scalar(i) = 3.11_wp * water(i) - 2.42_wp * water(i) * water(i)
    end do
  end subroutine moisture_moyano

  subroutine moisture_skopp(n, relative_water, scalar)
    !! Skopp et al. (1990): the lesser of 2 s**1.3 (substrate) and 2 (1 - s)**0.8 (oxygen).
    integer, intent(in) :: n  !! tiles
    real(wp), intent(in) :: relative_water(n)  !! s, water over pore space
    real(wp), intent(out) :: scalar(n)  !! multiplier
    integer :: i
    real(wp) :: s
    do i = 1, n
      s = min(1.0_wp, max(0.0_wp, relative_water(i)))
      scalar(i) = 2.0_wp * min(exp(1.3_wp * log(max(s, 1.0e-30_wp))), exp(0.8_wp * log(max(1.0_wp - s, 1.0e-30_wp))))
    end do
  end subroutine moisture_skopp

  subroutine moisture_century(n, precipitation_ratio, scalar)
    !! CENTURY: 1/(1 + 30 exp(-8.5 P/PET)).
    integer, intent(in) :: n  !! tiles
    real(wp), intent(in) :: precipitation_ratio(n)  !! monthly precipitation over potential evapotranspiration
    real(wp), intent(out) :: scalar(n)  !! multiplier
    integer :: i
    do i = 1, n
      scalar(i) = 1.0_wp / (1.0_wp + 30.0_wp * exp(-8.5_wp * precipitation_ratio(i)))
    end do
  end subroutine moisture_century
end module concerto_environment_scalars
