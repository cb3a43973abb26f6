module concerto_leaf_respiration
  !! Dark respiration of leaves: the base rate at 25 degC, computed once a day, and its response to leaf temperature.
  !! Options: `atkin` (base Atkin et al. 2015, response Heskel et al. 2016), `vcmax` (a fraction of Vcmax25) and
  !! `ryan` (Ryan 1991, proportional to nitrogen). Fluxes umol m-2 leaf s-1, positive; temperatures K.
  use concerto_kinds, only: wp
  use concerto_constants, only: freezing_point, molar_mass_carbon
  use concerto_options, only: leaf_respiration_atkin, leaf_respiration_vcmax
  implicit none
  private
  public :: respiration_base, respiration_response

  real(wp), parameter :: reference_temperature = 298.15_wp  !! K
  real(wp), parameter :: nitrogen_slope = 0.2061_wp  !! Atkin 2015, umol gN-1 s-1
  real(wp), parameter :: acclimation_slope = 0.0402_wp  !! Atkin 2015, umol m-2 s-1 K-1
  real(wp), parameter :: vcmax_fraction_c3 = 0.015_wp  !! R25 / Vcmax25
  real(wp), parameter :: vcmax_fraction_c4 = 0.025_wp  !! R25 / Vcmax25
  real(wp), parameter :: ryan_rate = 2.525e-6_wp  !! at 20 degC, gC gN-1 s-1
  real(wp), parameter :: ryan_q10 = 1.5_wp  !! from 20 to 25 degC
  real(wp), parameter :: activation = 46390.0_wp  !! peaked Arrhenius, J mol-1
  real(wp), parameter :: deactivation = 150650.0_wp  !! J mol-1
  real(wp), parameter :: entropy = 490.0_wp  !! J mol-1 K-1

contains

  subroutine respiration_base(n, leaf_respiration, r0, leaf_nitrogen, growth_temperature, vcmax25, c4, respiration25)
    !! Leaf dark respiration at 25 degC. `atkin` falls with growth temperature above 0 degC, to no less than 0.
    integer, intent(in) :: n  !! tiles
    integer, intent(in) :: leaf_respiration  !! option: atkin, vcmax or ryan
    real(wp), intent(in) :: r0(n)  !! intercept of the plant functional type, umol m-2 s-1
    real(wp), intent(in) :: leaf_nitrogen(n)  !! gN m-2 leaf
    real(wp), intent(in) :: growth_temperature(n)  !! 30-day mean of air temperature, K
    real(wp), intent(in) :: vcmax25(n)  !! umol m-2 leaf s-1
    real(wp), intent(in) :: c4(n)  !! 1 for C4 leaves, else 0
    real(wp), intent(out) :: respiration25(n)  !! umol m-2 leaf s-1
    integer :: i
    real(wp) :: per_nitrogen

    select case (leaf_respiration)
    case (leaf_respiration_atkin)
      do i = 1, n
        respiration25(i) = max(0.0_wp, r0(i) + nitrogen_slope * leaf_nitrogen(i) - &
          acclimation_slope * max(growth_temperature(i) - freezing_point, 0.0_wp))
      end do
    case (leaf_respiration_vcmax)
      do i = 1, n
        respiration25(i) = vcmax25(i) * (vcmax_fraction_c3 + c4(i) * (vcmax_fraction_c4 - vcmax_fraction_c3))
      end do
    case default
      ! gC s-1 to umol s-1 needs the molar mass in g per umol: kg mol-1 times 1e-3
      per_nitrogen = ryan_rate * sqrt(ryan_q10) / (molar_mass_carbon * 1.0e-3_wp)
      do i = 1, n
        respiration25(i) = per_nitrogen * leaf_nitrogen(i)
      end do
    end select
  end subroutine respiration_base

  subroutine respiration_response(n, leaf_respiration, molar_gas_constant, leaf_temperature, c4, factor)
    !! Leaf respiration at leaf temperature over that at 25 degC: Heskel's polynomial (`atkin`), else a peaked
    !! Arrhenius function, and for C4 leaves with `vcmax` the doubling of Collatz (1992).
    integer, intent(in) :: n  !! tiles
    integer, intent(in) :: leaf_respiration  !! option: atkin, vcmax or ryan
    real(wp), intent(in) :: molar_gas_constant  !! J mol-1 K-1
    real(wp), intent(in) :: leaf_temperature(n)  !! K
    real(wp), intent(in) :: c4(n)  !! 1 for C4 leaves, else 0
    real(wp), intent(out) :: factor(n)  !! -
    integer :: i
    real(wp), parameter :: log_two_tenth = 0.0693147180559945309_wp  ! log(2)/10: doubles every 10 K
    real(wp) :: t, celsius, inverse, numerator, peaked, doubling

    if (leaf_respiration == leaf_respiration_atkin) then
      do i = 1, n
        celsius = min(max(leaf_temperature(i), 200.0_wp), 350.0_wp) - freezing_point
        factor(i) = exp(0.1012_wp * (celsius - 25.0_wp) - 0.0005_wp * (celsius * celsius - 625.0_wp))
      end do
    else
      inverse = 1.0_wp / (molar_gas_constant * reference_temperature)
      numerator = 1.0_wp + exp((reference_temperature * entropy - deactivation) * inverse)
      if (leaf_respiration == leaf_respiration_vcmax) then
        do i = 1, n
          t = min(max(leaf_temperature(i), 200.0_wp), 350.0_wp)
          peaked = numerator * exp(activation * inverse * (t - reference_temperature) / t) / &
            (1.0_wp + exp((t * entropy - deactivation) / (molar_gas_constant * t)))
          doubling = exp(log_two_tenth * (t - reference_temperature)) / (1.0_wp + exp(1.3_wp * (t - 328.15_wp)))
          factor(i) = peaked + c4(i) * (doubling - peaked)
        end do
      else
        do i = 1, n
          t = min(max(leaf_temperature(i), 200.0_wp), 350.0_wp)
          factor(i) = numerator * exp(activation * inverse * (t - reference_temperature) / t) / &
            (1.0_wp + exp((t * entropy - deactivation) / (molar_gas_constant * t)))
        end do
      end if
    end if
  end subroutine respiration_response
end module concerto_leaf_respiration
