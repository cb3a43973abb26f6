module concerto_photosynthesis
  !! Leaf photosynthesis at a given intercellular CO2: temperature responses with thermal acclimation, Rubisco
  !! kinetics, electron transport, the C3 rates of Farquhar, von Caemmerer & Berry (1980) and the C4 rates of
  !! Collatz et al. (1992), joined by smooth minima. Fluxes are umol m-2 leaf s-1, positive for uptake; CO2 and air
  !! pressures Pa; temperatures K. Constants in which models differ are arguments, so that each can be reproduced.
  use concerto_kinds, only: wp
  use concerto_constants, only: freezing_point, oxygen_mole_fraction, standard_pressure
  use concerto_options, only: temperature_response_k19, temperature_response_kk07, kinetics_molefrac
  implicit none
  private
  public :: capacity_response, jmax_ratio, c4_response, kinetic_constants, freezing_ramp, electron_transport
  public :: c3_rates, c4_rates

  real(wp), parameter :: reference_temperature = 298.15_wp  !! K
  real(wp), parameter :: coldest = 200.0_wp  !! lower bound of leaf temperature in the responses, K
  real(wp), parameter :: hottest = 350.0_wp  !! upper bound of leaf temperature in the responses, K
  real(wp), parameter :: deactivation_acclimated = 200.0e3_wp  !! H_d of both acclimated responses, J mol-1
  real(wp), parameter :: activation_kc = 79430.0_wp  !! Bernacchi 2001, J mol-1
  real(wp), parameter :: activation_ko = 36380.0_wp  !! J mol-1
  real(wp), parameter :: activation_compensation = 37830.0_wp  !! J mol-1
  real(wp), parameter :: frozen_temperature = 268.0_wp  !! no assimilation below, K
  real(wp), parameter :: frozen_width = 2.0_wp  !! full assimilation this far above, K
  real(wp), parameter :: tiny_rate = 1.0e-15_wp  !! keeps 0/0 out of the smooth minimum, umol m-2 s-1

contains

  subroutine capacity_response(n, temperature_response, molar_gas_constant, leaf_temperature, growth_temperature, &
    home_temperature, vcmax_factor, jmax_factor)
    !! Vcmax and Jmax at leaf temperature over their values at 25 degC: peaked Arrhenius function, with activation
    !! energy and entropy acclimated to growth temperature (Kumarathunge 2019, Kattge & Knorr 2007) or fixed
    !! (Leuning 2002). Acclimation temperatures are clamped to where the regressions hold, else the entropy runs away.
    integer, intent(in) :: n  !! tiles
    integer, intent(in) :: temperature_response  !! option: k19, kk07 or fixed
    real(wp), intent(in) :: molar_gas_constant  !! J mol-1 K-1
    real(wp), intent(in) :: leaf_temperature(n)  !! K
    real(wp), intent(in) :: growth_temperature(n)  !! 30-day mean of air temperature, K
    real(wp), intent(in) :: home_temperature(n)  !! long-term mean maximum of the warmest month, K
    real(wp), intent(out) :: vcmax_factor(n)  !! Vcmax / Vcmax25, -
    real(wp), intent(out) :: jmax_factor(n)  !! Jmax / Jmax25, -
    integer :: i
    real(wp) :: growth, home, t

    select case (temperature_response)
    case (temperature_response_k19)
      do i = 1, n
        t = min(max(leaf_temperature(i), coldest), hottest)
        growth = min(max(growth_temperature(i) - freezing_point, -5.0_wp), 40.0_wp)
        home = min(max(home_temperature(i) - freezing_point, -5.0_wp), 40.0_wp)
        vcmax_factor(i) = peaked_arrhenius(t, molar_gas_constant, 42.6e3_wp + 1140.0_wp * growth, &
          deactivation_acclimated, 645.13_wp - 0.38_wp * growth)
        jmax_factor(i) = peaked_arrhenius(t, molar_gas_constant, 40.71e3_wp, deactivation_acclimated, &
          658.77_wp - 0.84_wp * home - 0.52_wp * (growth - home))
      end do
    case (temperature_response_kk07)
      do i = 1, n
        t = min(max(leaf_temperature(i), coldest), hottest)
        growth = min(max(growth_temperature(i) - freezing_point, 11.0_wp), 35.0_wp)
        vcmax_factor(i) = peaked_arrhenius(t, molar_gas_constant, 71513.0_wp, deactivation_acclimated, &
          668.39_wp - 1.07_wp * growth)
        jmax_factor(i) = peaked_arrhenius(t, molar_gas_constant, 49884.0_wp, deactivation_acclimated, &
          659.70_wp - 0.75_wp * growth)
      end do
    case default
      do i = 1, n
        t = min(max(leaf_temperature(i), coldest), hottest)
        vcmax_factor(i) = peaked_arrhenius(t, molar_gas_constant, 65330.0_wp, 149250.0_wp, 485.0_wp)
        jmax_factor(i) = peaked_arrhenius(t, molar_gas_constant, 43540.0_wp, 152040.0_wp, 495.0_wp)
      end do
    end select
  end subroutine capacity_response

  subroutine jmax_ratio(n, temperature_response, growth_temperature, home_temperature, ratio)
    !! Jmax25 : Vcmax25 that belongs to the temperature response (fixed: Medlyn 2002).
    integer, intent(in) :: n  !! tiles
    integer, intent(in) :: temperature_response  !! option: k19, kk07 or fixed
    real(wp), intent(in) :: growth_temperature(n)  !! 30-day mean of air temperature, K
    real(wp), intent(in) :: home_temperature(n)  !! long-term mean maximum of the warmest month, K
    real(wp), intent(out) :: ratio(n)  !! Jmax25 / Vcmax25, -
    integer :: i
    real(wp) :: growth, home

    select case (temperature_response)
    case (temperature_response_k19)
      do i = 1, n
        growth = min(max(growth_temperature(i) - freezing_point, -5.0_wp), 40.0_wp)
        home = min(max(home_temperature(i) - freezing_point, -5.0_wp), 40.0_wp)
        ratio(i) = 2.56_wp - 0.0375_wp * home - 0.0202_wp * (growth - home)
      end do
    case (temperature_response_kk07)
      do i = 1, n
        growth = min(max(growth_temperature(i) - freezing_point, 11.0_wp), 35.0_wp)
        ratio(i) = 2.59_wp - 0.035_wp * growth
      end do
    case default
      do i = 1, n
        ratio(i) = 1.67_wp
      end do
    end select
  end subroutine jmax_ratio

  subroutine c4_response(n, leaf_temperature, vcmax_factor, slope_factor, respiration_factor)
    !! Temperature responses of C4 leaves (Collatz 1992). The factor of Vcmax is 0.871 at 25 degC, not 1: the
    !! parameters were fitted so. The slope of the CO2-limited rate stops rising at 310 K, as in FATES, because
    !! it would otherwise double every 10 K without limit.
    integer, intent(in) :: n  !! tiles
    real(wp), intent(in) :: leaf_temperature(n)  !! K
    real(wp), intent(out) :: vcmax_factor(n)  !! Vcmax / Vcmax25, -
    real(wp), intent(out) :: slope_factor(n)  !! kp / kp25, -
    real(wp), intent(out) :: respiration_factor(n)  !! dark respiration over its value at 25 degC, -
    integer :: i
    real(wp), parameter :: log_two_tenth = 0.0693147180559945309_wp  ! log(2)/10: doubles every 10 K
    real(wp) :: t, doubling

    do i = 1, n
      t = min(max(leaf_temperature(i), coldest), hottest)
      doubling = exp(log_two_tenth * (t - reference_temperature))
      vcmax_factor(i) = doubling / ((1.0_wp + exp(0.3_wp * (t - 313.15_wp))) * &
        (1.0_wp + exp(0.2_wp * (288.15_wp - t))))
      slope_factor(i) = exp(log_two_tenth * (min(t, 310.0_wp) - reference_temperature))
      respiration_factor(i) = doubling / (1.0_wp + exp(1.3_wp * (t - 328.15_wp)))
    end do
  end subroutine c4_response

  subroutine kinetic_constants(n, kinetics, molar_gas_constant, oxygen, kc25, ko25, compensation25, &
    leaf_temperature, pressure, michaelis_constant, co2_compensation)
    !! Effective Michaelis constant of Rubisco, Kc (1 + O/Ko), and photorespiratory CO2 compensation point
    !! (Bernacchi 2001). With `partial` the three constants are partial pressures: Kc and Ko belong to the enzyme and
    !! do not change with altitude, the compensation point follows that of oxygen. With `molefrac` all are mole
    !! fractions times air pressure (CTSM, FATES), 17 % more Rubisco-limited uptake at 70 kPa.
    integer, intent(in) :: n  !! tiles
    integer, intent(in) :: kinetics  !! option: partial or molefrac
    real(wp), intent(in) :: molar_gas_constant  !! J mol-1 K-1
    real(wp), intent(in) :: oxygen  !! mole fraction of O2, mol mol-1
    real(wp), intent(in) :: kc25  !! at 25 degC: Pa (partial) or mol mol-1 (molefrac)
    real(wp), intent(in) :: ko25  !! at 25 degC: Pa (partial) or mol mol-1 (molefrac)
    real(wp), intent(in) :: compensation25  !! at 25 degC: Pa at sea level and 0.209476 O2, or mol mol-1 (molefrac)
    real(wp), intent(in) :: leaf_temperature(n)  !! K
    real(wp), intent(in) :: pressure(n)  !! of air, Pa
    real(wp), intent(out) :: michaelis_constant(n)  !! Pa
    real(wp), intent(out) :: co2_compensation(n)  !! Pa
    integer :: i
    real(wp) :: t, scaled, kc, oxygen_ratio, sea_level_oxygen

    if (kinetics == kinetics_molefrac) then
      do i = 1, n
        t = min(max(leaf_temperature(i), coldest), hottest)
        scaled = (t - reference_temperature) / (molar_gas_constant * reference_temperature * t)
        kc = kc25 * pressure(i) * exp(activation_kc * scaled)
        oxygen_ratio = oxygen / ko25 * exp(-activation_ko * scaled)
        michaelis_constant(i) = kc * (1.0_wp + oxygen_ratio)
        co2_compensation(i) = compensation25 * pressure(i) * exp(activation_compensation * scaled)
      end do
    else
      sea_level_oxygen = oxygen / (oxygen_mole_fraction * standard_pressure)
      do i = 1, n
        t = min(max(leaf_temperature(i), coldest), hottest)
        scaled = (t - reference_temperature) / (molar_gas_constant * reference_temperature * t)
        kc = kc25 * exp(activation_kc * scaled)
        oxygen_ratio = oxygen / ko25 * pressure(i) * exp(-activation_ko * scaled)
        michaelis_constant(i) = kc * (1.0_wp + oxygen_ratio)
        co2_compensation(i) = compensation25 * sea_level_oxygen * pressure(i) * exp(activation_compensation * scaled)
      end do
    end if
  end subroutine kinetic_constants

  subroutine freezing_ramp(n, leaf_temperature, ramp)
    !! Share of assimilation left in a cold leaf: 0 below 268 K, 1 above 270 K, with a continuous slope so that the
    !! energy balance meets no kink.
    integer, intent(in) :: n  !! tiles
    real(wp), intent(in) :: leaf_temperature(n)  !! K
    real(wp), intent(out) :: ramp(n)  !! 0-1
    integer :: i
    real(wp) :: u

    do i = 1, n
      u = min(max((leaf_temperature(i) - frozen_temperature) * (1.0_wp / frozen_width), 0.0_wp), 1.0_wp)
      ramp(i) = u * u * (3.0_wp - 2.0_wp * u)
    end do
  end subroutine freezing_ramp

  subroutine electron_transport(n, absorbed_par, quantum_yield, jmax, theta_j, electron_rate)
    !! Potential electron transport: smooth minimum of the light absorbed by photosystem II and Jmax.
    integer, intent(in) :: n  !! tiles
    real(wp), intent(in) :: absorbed_par(n)  !! umol photons m-2 leaf s-1
    real(wp), intent(in) :: quantum_yield(n)  !! electrons per absorbed photon, 0.5 (1 - f), mol mol-1
    real(wp), intent(in) :: jmax(n)  !! at leaf temperature, umol m-2 s-1
    real(wp), intent(in) :: theta_j(n)  !! curvature, 0-1
    real(wp), intent(out) :: electron_rate(n)  !! umol electrons m-2 s-1
    integer :: i

    do i = 1, n
      electron_rate(i) = smooth_minimum(max(quantum_yield(i) * absorbed_par(i), 0.0_wp), max(jmax(i), 0.0_wp), &
        theta_j(i))
    end do
  end subroutine electron_transport

  subroutine c3_rates(n, ci, vcmax, electron_rate, michaelis_constant, co2_compensation, tpu, theta_cj, theta_ip, &
    rubisco_rate, light_rate, gross_assimilation)
    !! C3 gross assimilation at given intercellular CO2. Below the compensation point the rates are 0, not negative.
    integer, intent(in) :: n  !! tiles
    real(wp), intent(in) :: ci(n)  !! intercellular CO2, Pa
    real(wp), intent(in) :: vcmax(n)  !! at leaf temperature, umol m-2 s-1
    real(wp), intent(in) :: electron_rate(n)  !! umol electrons m-2 s-1
    real(wp), intent(in) :: michaelis_constant(n)  !! Kc (1 + O/Ko), Pa
    real(wp), intent(in) :: co2_compensation(n)  !! Pa
    real(wp), intent(in) :: tpu(n)  !! triose phosphate utilisation, umol m-2 s-1; a huge value (1e30) takes it out
    real(wp), intent(in) :: theta_cj(n)  !! curvature between Rubisco and light, 0-1; 1 is the hard minimum
    real(wp), intent(in) :: theta_ip(n)  !! curvature between these and TPU, 0-1
    real(wp), intent(out) :: rubisco_rate(n)  !! umol m-2 s-1
    real(wp), intent(out) :: light_rate(n)  !! umol m-2 s-1
    real(wp), intent(out) :: gross_assimilation(n)  !! umol m-2 s-1
    integer :: i
    real(wp) :: excess, rubisco, light

    do i = 1, n
      excess = max(ci(i) - co2_compensation(i), 0.0_wp)
      rubisco = vcmax(i) * excess / (ci(i) + michaelis_constant(i))
      light = 0.25_wp * electron_rate(i) * excess / (ci(i) + 2.0_wp * co2_compensation(i))
      rubisco_rate(i) = rubisco
      light_rate(i) = light
      gross_assimilation(i) = smooth_minimum(smooth_minimum(rubisco, light, theta_cj(i)), 3.0_wp * tpu(i), theta_ip(i))
    end do
  end subroutine c3_rates

  subroutine c4_rates(n, ci, pressure, vcmax, initial_slope, absorbed_par, quantum_yield, theta_cj, theta_ip, &
    light_rate, co2_rate, gross_assimilation)
    !! C4 gross assimilation at given intercellular CO2 (Collatz 1992): Rubisco (Vcmax itself), light and CO2.
    integer, intent(in) :: n  !! tiles
    real(wp), intent(in) :: ci(n)  !! intercellular CO2, Pa
    real(wp), intent(in) :: pressure(n)  !! of air, Pa
    real(wp), intent(in) :: vcmax(n)  !! at leaf temperature, umol m-2 s-1
    real(wp), intent(in) :: initial_slope(n)  !! kp at leaf temperature, umol m-2 s-1 per mol mol-1
    real(wp), intent(in) :: absorbed_par(n)  !! umol photons m-2 leaf s-1
    real(wp), intent(in) :: quantum_yield(n)  !! CO2 per absorbed photon, mol mol-1
    real(wp), intent(in) :: theta_cj(n)  !! curvature between Rubisco and light, 0-1
    real(wp), intent(in) :: theta_ip(n)  !! curvature between these and CO2, 0-1
    real(wp), intent(out) :: light_rate(n)  !! umol m-2 s-1
    real(wp), intent(out) :: co2_rate(n)  !! umol m-2 s-1
    real(wp), intent(out) :: gross_assimilation(n)  !! umol m-2 s-1
    integer :: i
    real(wp) :: light, slope

    do i = 1, n
      light = max(quantum_yield(i) * absorbed_par(i), 0.0_wp)
      slope = max(initial_slope(i) * ci(i), 0.0_wp) / pressure(i)
      light_rate(i) = light
      co2_rate(i) = slope
      gross_assimilation(i) = smooth_minimum(smooth_minimum(vcmax(i), light, theta_cj(i)), slope, theta_ip(i))
    end do
  end subroutine c4_rates

  elemental function peaked_arrhenius(t, molar_gas_constant, activation, deactivation, entropy) result(factor)
    !! Arrhenius rise with deactivation at high temperature, 1 at 25 degC.
    real(wp), intent(in) :: t  !! K
    real(wp), intent(in) :: molar_gas_constant  !! J mol-1 K-1
    real(wp), intent(in) :: activation  !! J mol-1
    real(wp), intent(in) :: deactivation  !! J mol-1
    real(wp), intent(in) :: entropy  !! J mol-1 K-1
    real(wp) :: factor
    real(wp) :: inverse, inverse_reference

    inverse = 1.0_wp / (molar_gas_constant * t)
    inverse_reference = 1.0_wp / (molar_gas_constant * reference_temperature)
    factor = exp(activation * (t - reference_temperature) * (1.0_wp / reference_temperature) * inverse) * &
      (1.0_wp + exp((reference_temperature * entropy - deactivation) * inverse_reference)) / &
      (1.0_wp + exp((t * entropy - deactivation) * inverse))
  end function peaked_arrhenius

  elemental function smooth_minimum(x, y, theta) result(root)
    !! Smaller root of theta r^2 - (x + y) r + x y = 0 for x, y >= 0, in a form that neither cancels nor divides by
    !! theta; theta = 1 is min(x, y).
    real(wp), intent(in) :: x  !! any unit
    real(wp), intent(in) :: y  !! unit of x
    real(wp), intent(in) :: theta  !! 0-1
    real(wp) :: root
    real(wp) :: difference

    difference = x - y
    root = 2.0_wp * x * y / (x + y + sqrt(difference * difference + 4.0_wp * (1.0_wp - theta) * x * y) + tiny_rate)
  end function smooth_minimum
end module concerto_photosynthesis
