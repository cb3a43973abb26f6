module concerto_pmodel
  !! Photosynthetic capacity and stomatal behaviour from optimality (P-model).
  !!
  !! Least-cost ratio of leaf-internal to ambient CO2 (Prentice et al. 2014, Ecol. Lett. 17), coordination of
  !! carboxylation and electron transport with a cost of Jmax (Wang et al. 2017, Nat. Plants 3; Smith et al. 2019,
  !! Ecol. Lett. 22; the whole in Stocker et al. 2020, Geosci. Model Dev. 13), and its split into a slow optimum that
  !! leaves follow with a memory of about 15 days and a fast response within the day (Mengoli et al. 2022, JAMES 14).
  !!
  !! CO2 and oxygen are partial pressures in Pa, rates umol m-2 s-1. Kinetic constants are those of Bernacchi et al.
  !! (2001) as partial pressures. Where carboxylation cannot pay for Jmax (mj below its cost: hot and poor in CO2)
  !! the optimum is 0, not undefined.
  use concerto_kinds, only: wp
  use concerto_constants, only: freezing_point, standard_pressure
  implicit none
  private
  public :: pmodel_environment, pmodel_quantum_yield, pmodel_cost_ratio, pmodel_optimum, pmodel_acclimate, pmodel_fast
  public :: pmodel_soil_mengoli, pmodel_soil_stocker, water_viscosity

  integer, parameter, public :: pmodel_chi_c3 = 1  !! C3: light and CO2 limitation by ci
  integer, parameter, public :: pmodel_chi_c4 = 2  !! C4: saturated with CO2, ci from the C3 form
  integer, parameter, public :: pmodel_chi_c4_no_compensation = 3  !! C4 without photorespiration
  integer, parameter, public :: pmodel_jmax_wang17 = 1  !! cost of Jmax, Wang et al. 2017
  integer, parameter, public :: pmodel_jmax_smith19 = 2  !! cost of Jmax, Smith et al. 2019
  integer, parameter, public :: pmodel_jmax_none = 3  !! no cost of Jmax
  integer, parameter, public :: pmodel_yield_fixed = 1  !! quantum yield independent of temperature
  integer, parameter, public :: pmodel_yield_c3 = 2  !! Bernacchi et al. 2003
  integer, parameter, public :: pmodel_yield_c4 = 3  !! Cai & Prentice 2020
  integer, parameter, public :: pmodel_yield_peaked = 4  !! 1 + a (t - b)**2 (rsofun)

  real(wp), parameter :: reference_temperature = 298.15_wp  !! K
  real(wp), parameter :: wang17_cost = 0.41_wp  !! c*, -
  real(wp), parameter :: smith19_curvature = 0.85_wp, smith19_cost = 0.05336251_wp  !! -
  real(wp), parameter :: least_water_temperature = -25.0_wp  !! below it the density polynomials fail, degC

contains

  subroutine pmodel_environment(n, gas_constant, oxygen_mole_fraction, temperature, air_pressure, &
                                michaelis_menten, compensation, viscosity_ratio)
    !! Effective Michaelis constant of Rubisco, photorespiratory compensation point and relative viscosity of water.
    integer, intent(in) :: n  !! number of tiles
    real(wp), intent(in) :: gas_constant  !! J mol-1 K-1
    real(wp), intent(in) :: oxygen_mole_fraction  !! mol mol-1
    real(wp), intent(in) :: temperature(n)  !! leaf or air temperature, K
    real(wp), intent(in) :: air_pressure(n)  !! air pressure, Pa
    real(wp), intent(out) :: michaelis_menten(n)  !! Kc (1 + O/Ko), Pa
    real(wp), intent(out) :: compensation(n)  !! compensation point without dark respiration (Gamma*), Pa
    real(wp), intent(out) :: viscosity_ratio(n)  !! viscosity over that at 25 degC and 101325 Pa, -
    integer :: i
    real(wp) :: x, kc, ko, standard

    standard = 1.0_wp / viscosity(25.0_wp, standard_pressure)
    do i = 1, n
      x = (temperature(i) - reference_temperature) / (reference_temperature * gas_constant * temperature(i))
      kc = 39.97_wp * exp(79430.0_wp * x)
      ko = (oxygen_mole_fraction / 27480.0_wp) * air_pressure(i) * exp(-36380.0_wp * x)
      michaelis_menten(i) = kc * (1.0_wp + ko)
      compensation(i) = (4.332_wp / standard_pressure) * air_pressure(i) * exp(37830.0_wp * x)
      viscosity_ratio(i) = viscosity(temperature(i) - freezing_point, air_pressure(i)) * standard
    end do
  end subroutine pmodel_environment

  subroutine water_viscosity(n, temperature, air_pressure, dynamic_viscosity)
    !! Dynamic viscosity of liquid water (Huber et al. 2009; density of Fisher & Dial 1975), supercooled to -25 degC.
    integer, intent(in) :: n  !! number of tiles
    real(wp), intent(in) :: temperature(n)  !! K
    real(wp), intent(in) :: air_pressure(n)  !! Pa
    real(wp), intent(out) :: dynamic_viscosity(n)  !! Pa s
    integer :: i

    do i = 1, n
      dynamic_viscosity(i) = viscosity(temperature(i) - freezing_point, air_pressure(i))
    end do
  end subroutine water_viscosity

  subroutine pmodel_quantum_yield(n, scheme, peak_curvature, peak_temperature, temperature, reference_yield, &
                                  quantum_yield)
    !! Intrinsic quantum yield of photosynthesis at temperature.
    integer, intent(in) :: n  !! number of tiles
    integer, intent(in) :: scheme  !! pmodel_yield_fixed, _c3, _c4 or _peaked
    real(wp), intent(in) :: peak_curvature  !! a of the peaked form, negative, K-2
    real(wp), intent(in) :: peak_temperature  !! b of the peaked form, degC
    real(wp), intent(in) :: temperature(n)  !! K
    real(wp), intent(in) :: reference_yield(n)  !! mol CO2 per mol absorbed photons
    real(wp), intent(out) :: quantum_yield(n)  !! mol CO2 per mol absorbed photons
    integer :: i
    real(wp) :: t, c0, c1, c2, top

    top = huge(1.0_wp)
    select case (scheme)
    case (pmodel_yield_c3)
      c0 = 0.352_wp
      c1 = 0.022_wp
      c2 = -0.00034_wp
    case (pmodel_yield_c4)
      c0 = -0.064_wp
      c1 = 0.03_wp
      c2 = -0.000464_wp
    case (pmodel_yield_peaked)
      c0 = 1.0_wp + peak_curvature * peak_temperature * peak_temperature
      c1 = -2.0_wp * peak_curvature * peak_temperature
      c2 = peak_curvature
      top = 1.0_wp
    case default
      c0 = 1.0_wp
      c1 = 0.0_wp
      c2 = 0.0_wp
    end select
    do i = 1, n
      t = temperature(i) - freezing_point
      quantum_yield(i) = reference_yield(i) * min(max(c0 + (c1 + c2 * t) * t, 0.0_wp), top)
    end do
  end subroutine pmodel_quantum_yield

  subroutine pmodel_cost_ratio(n, intercept, slope, soil_moisture, cost_ratio)
    !! Cost of carboxylation over transpiration in dry soil: exp(intercept + slope theta) (Lavergne et al. 2020;
    !! C3: 4.55, 1.73; C4: 4.55 - ln 9, 1.73).
    integer, intent(in) :: n  !! number of tiles
    real(wp), intent(in) :: intercept  !! -
    real(wp), intent(in) :: slope  !! -
    real(wp), intent(in) :: soil_moisture(n)  !! volumetric, m3 m-3
    real(wp), intent(out) :: cost_ratio(n)  !! beta, -
    integer :: i

    do i = 1, n
      cost_ratio(i) = exp(intercept + slope * soil_moisture(i))
    end do
  end subroutine pmodel_cost_ratio

  subroutine pmodel_optimum(n, chi_scheme, jmax_scheme, least_deficit, michaelis_menten, compensation, &
                            viscosity_ratio, co2_pressure, vapour_deficit, cost_ratio, quantum_yield, &
                            absorbed_photons, xi, chi, ci, light_limitation, carbon_limitation, &
                            light_use_efficiency, vcmax, jmax, conductance, feasible)
    !! Optimal chi and capacities for given conditions (Stocker et al. 2020, eqs. 2 to 15).
    integer, intent(in) :: n  !! number of tiles
    integer, intent(in) :: chi_scheme  !! pmodel_chi_c3, _c4 or _c4_no_compensation
    integer, intent(in) :: jmax_scheme  !! pmodel_jmax_wang17, _smith19 or _none
    real(wp), intent(in) :: least_deficit  !! floor of the vapour pressure deficit (50 in the model), Pa
    real(wp), intent(in) :: michaelis_menten(n)  !! from pmodel_environment, Pa
    real(wp), intent(in) :: compensation(n)  !! from pmodel_environment, Pa
    real(wp), intent(in) :: viscosity_ratio(n)  !! from pmodel_environment, -
    real(wp), intent(in) :: co2_pressure(n)  !! ambient CO2, Pa
    real(wp), intent(in) :: vapour_deficit(n)  !! vapour pressure deficit, Pa
    real(wp), intent(in) :: cost_ratio(n)  !! beta: 146 for C3, 146/9 for C4, -
    real(wp), intent(in) :: quantum_yield(n)  !! mol CO2 per mol absorbed photons
    real(wp), intent(in) :: absorbed_photons(n)  !! umol m-2 s-1
    real(wp), intent(out) :: xi(n)  !! sensitivity of chi to the deficit, Pa**0.5
    real(wp), intent(out) :: chi(n)  !! leaf-internal over ambient CO2, -
    real(wp), intent(out) :: ci(n)  !! leaf-internal CO2, Pa
    real(wp), intent(out) :: light_limitation(n)  !! mj, -
    real(wp), intent(out) :: carbon_limitation(n)  !! mc, -
    real(wp), intent(out) :: light_use_efficiency(n)  !! mol CO2 per mol absorbed photons
    real(wp), intent(out) :: vcmax(n)  !! at this temperature, umol m-2 s-1
    real(wp), intent(out) :: jmax(n)  !! at this temperature, umol m-2 s-1
    real(wp), intent(out) :: conductance(n)  !! for CO2, umol m-2 s-1 Pa-1; 0 where ci reaches ca
    real(wp), intent(out) :: feasible(n)  !! 1, or 0 where mj does not pay for Jmax and all rates are 0
    integer :: i
    real(wp), dimension(n) :: for_vcmax, for_jmax
    real(wp) :: ca, gross, gap

    call internal_carbon(n, chi_scheme, least_deficit, .true., michaelis_menten, compensation, viscosity_ratio, &
                         co2_pressure, vapour_deficit, cost_ratio, xi, chi, ci, light_limitation, carbon_limitation)
    call cost_of_jmax(n, jmax_scheme, light_limitation, feasible, for_vcmax, for_jmax)
    do i = 1, n
      light_use_efficiency(i) = quantum_yield(i) * light_limitation(i) * for_vcmax(i)
      gross = light_use_efficiency(i) * absorbed_photons(i)
      vcmax(i) = gross / max(carbon_limitation(i), 1.0e-6_wp)
      jmax(i) = 4.0_wp * quantum_yield(i) * absorbed_photons(i) * for_jmax(i)
      ca = co2_pressure(i)
      gap = ca - ci(i)
      conductance(i) = gross / max(gap, 1.0e-6_wp * ca) * merge(1.0_wp, 0.0_wp, gap > 1.0e-6_wp * ca)
    end do
  end subroutine pmodel_optimum

  subroutine pmodel_acclimate(n, chi_scheme, jmax_scheme, yield_scheme, gas_constant, oxygen_mole_fraction, &
                              least_deficit, memory_days, peak_curvature, peak_temperature, vcmax_activation, &
                              vcmax_deactivation, vcmax_entropy, jmax_activation, jmax_deactivation, jmax_entropy, &
                              temperature, vapour_deficit, co2_mole_fraction, air_pressure, absorbed_photons, &
                              cost_ratio, reference_yield, xi, vcmax25, jmax25, &
                              xi_optimal, vcmax25_optimal, jmax25_optimal)
    !! Daily step: optimum for the mean conditions around noon, and the memories a step closer to it,
    !! X = X + (X_optimal - X)/memory_days (Mengoli et al. 2022). A memory of xi at or below 0 starts at the optimum.
    !! Days without a feasible optimum leave the memories alone. A deactivation energy of 0 selects the plain Arrhenius
    !! form; the temperature response has to be that of the fast step.
    integer, intent(in) :: n  !! number of tiles
    integer, intent(in) :: chi_scheme  !! pmodel_chi_*
    integer, intent(in) :: jmax_scheme  !! pmodel_jmax_*
    integer, intent(in) :: yield_scheme  !! pmodel_yield_*
    real(wp), intent(in) :: gas_constant  !! J mol-1 K-1
    real(wp), intent(in) :: oxygen_mole_fraction  !! mol mol-1
    real(wp), intent(in) :: least_deficit  !! floor of the vapour pressure deficit, Pa
    real(wp), intent(in) :: memory_days  !! memory of leaves, d (15)
    real(wp), intent(in) :: peak_curvature  !! as in pmodel_quantum_yield, K-2
    real(wp), intent(in) :: peak_temperature  !! as in pmodel_quantum_yield, degC
    real(wp), intent(in) :: vcmax_activation  !! of Vcmax, J mol-1
    real(wp), intent(in) :: vcmax_deactivation  !! of Vcmax, J mol-1, 0 for none
    real(wp), intent(in) :: vcmax_entropy  !! of Vcmax, J mol-1 K-1
    real(wp), intent(in) :: jmax_activation  !! of Jmax, J mol-1
    real(wp), intent(in) :: jmax_deactivation  !! of Jmax, J mol-1, 0 for none
    real(wp), intent(in) :: jmax_entropy  !! of Jmax, J mol-1 K-1
    real(wp), intent(in) :: temperature(n)  !! mean around noon, K
    real(wp), intent(in) :: vapour_deficit(n)  !! mean around noon, Pa
    real(wp), intent(in) :: co2_mole_fraction(n)  !! mean around noon, umol mol-1
    real(wp), intent(in) :: air_pressure(n)  !! mean around noon, Pa
    real(wp), intent(in) :: absorbed_photons(n)  !! mean around noon, umol m-2 s-1 (per leaf or ground area)
    real(wp), intent(in) :: cost_ratio(n)  !! beta, -
    real(wp), intent(in) :: reference_yield(n)  !! mol CO2 per mol absorbed photons
    real(wp), intent(inout) :: xi(n)  !! memory, Pa**0.5
    real(wp), intent(inout) :: vcmax25(n)  !! memory of Vcmax at 25 degC, umol m-2 s-1 (area of absorbed_photons)
    real(wp), intent(inout) :: jmax25(n)  !! memory of Jmax at 25 degC, umol m-2 s-1
    real(wp), intent(out) :: xi_optimal(n)  !! Pa**0.5
    real(wp), intent(out) :: vcmax25_optimal(n)  !! umol m-2 s-1
    real(wp), intent(out) :: jmax25_optimal(n)  !! umol m-2 s-1
    integer :: i
    real(wp), dimension(n) :: km, compensation, viscosity_of_water, ca, yield, chi, ci, mj, mc, efficiency, conductance
    real(wp), dimension(n) :: feasible
    real(wp) :: weight, t, step, start

    call pmodel_environment(n, gas_constant, oxygen_mole_fraction, temperature, air_pressure, &
                            km, compensation, viscosity_of_water)
    call pmodel_quantum_yield(n, yield_scheme, peak_curvature, peak_temperature, temperature, reference_yield, yield)
    do i = 1, n
      ca(i) = 1.0e-6_wp * co2_mole_fraction(i) * air_pressure(i)
    end do
    call pmodel_optimum(n, chi_scheme, jmax_scheme, least_deficit, km, compensation, viscosity_of_water, ca, &
                        vapour_deficit, cost_ratio, yield, absorbed_photons, xi_optimal, chi, ci, mj, mc, efficiency, &
                        vcmax25_optimal, jmax25_optimal, conductance, feasible)
    weight = 1.0_wp / memory_days
    do i = 1, n
      t = temperature(i)
      vcmax25_optimal(i) = vcmax25_optimal(i) &
        / response(t, vcmax_activation, vcmax_deactivation, vcmax_entropy, gas_constant)
      jmax25_optimal(i) = jmax25_optimal(i) &
        / response(t, jmax_activation, jmax_deactivation, jmax_entropy, gas_constant)
      start = merge(1.0_wp, 0.0_wp, xi(i) <= 0.0_wp)
      step = start + (1.0_wp - start) * weight * feasible(i)
      xi(i) = xi(i) + step * (xi_optimal(i) - xi(i))
      vcmax25(i) = vcmax25(i) + step * (vcmax25_optimal(i) - vcmax25(i))
      jmax25(i) = jmax25(i) + step * (jmax25_optimal(i) - jmax25(i))
    end do
  end subroutine pmodel_acclimate

  subroutine pmodel_fast(n, chi_scheme, gas_constant, oxygen_mole_fraction, least_deficit, vcmax_activation, &
                         vcmax_deactivation, vcmax_entropy, jmax_activation, jmax_deactivation, jmax_entropy, &
                         temperature, vapour_deficit, co2_mole_fraction, air_pressure, absorbed_photons, &
                         quantum_yield, xi, vcmax25, jmax25, chi, ci, vcmax, jmax, carboxylation_limited, &
                         light_limited, assimilation, conductance)
    !! Response within the day with acclimated xi, Vcmax25 and Jmax25 (Mengoli et al. 2022).
    integer, intent(in) :: n  !! number of tiles
    integer, intent(in) :: chi_scheme  !! pmodel_chi_*
    real(wp), intent(in) :: gas_constant  !! J mol-1 K-1
    real(wp), intent(in) :: oxygen_mole_fraction  !! mol mol-1
    real(wp), intent(in) :: least_deficit  !! floor of the vapour pressure deficit, Pa
    real(wp), intent(in) :: vcmax_activation  !! of Vcmax, J mol-1
    real(wp), intent(in) :: vcmax_deactivation  !! of Vcmax, J mol-1, 0 for none
    real(wp), intent(in) :: vcmax_entropy  !! of Vcmax, J mol-1 K-1
    real(wp), intent(in) :: jmax_activation  !! of Jmax, J mol-1
    real(wp), intent(in) :: jmax_deactivation  !! of Jmax, J mol-1, 0 for none
    real(wp), intent(in) :: jmax_entropy  !! of Jmax, J mol-1 K-1
    real(wp), intent(in) :: temperature(n)  !! K
    real(wp), intent(in) :: vapour_deficit(n)  !! Pa
    real(wp), intent(in) :: co2_mole_fraction(n)  !! umol mol-1
    real(wp), intent(in) :: air_pressure(n)  !! Pa
    real(wp), intent(in) :: absorbed_photons(n)  !! umol m-2 s-1
    real(wp), intent(in) :: quantum_yield(n)  !! at this temperature, mol CO2 per mol absorbed photons
    real(wp), intent(in) :: xi(n)  !! acclimated, Pa**0.5
    real(wp), intent(in) :: vcmax25(n)  !! acclimated, umol m-2 s-1
    real(wp), intent(in) :: jmax25(n)  !! acclimated, umol m-2 s-1
    real(wp), intent(out) :: chi(n)  !! leaf-internal over ambient CO2, -
    real(wp), intent(out) :: ci(n)  !! leaf-internal CO2, Pa
    real(wp), intent(out) :: vcmax(n)  !! umol m-2 s-1
    real(wp), intent(out) :: jmax(n)  !! umol m-2 s-1
    real(wp), intent(out) :: carboxylation_limited(n)  !! gross assimilation limited by Rubisco, umol m-2 s-1
    real(wp), intent(out) :: light_limited(n)  !! gross assimilation limited by electron transport, umol m-2 s-1
    real(wp), intent(out) :: assimilation(n)  !! the lesser of the two, umol m-2 s-1
    real(wp), intent(out) :: conductance(n)  !! for CO2, of the realised assimilation, umol m-2 s-1 Pa-1
    integer :: i
    real(wp), dimension(n) :: km, compensation, viscosity_of_water, ca, mj, mc, cost_ratio, xi_used
    real(wp) :: t, light, top, gap, co2

    call pmodel_environment(n, gas_constant, oxygen_mole_fraction, temperature, air_pressure, &
                            km, compensation, viscosity_of_water)
    do i = 1, n
      ca(i) = 1.0e-6_wp * co2_mole_fraction(i) * air_pressure(i)
      cost_ratio(i) = 1.0_wp
      xi_used(i) = xi(i)
    end do
    call internal_carbon(n, chi_scheme, least_deficit, .false., km, compensation, viscosity_of_water, ca, &
                         vapour_deficit, cost_ratio, xi_used, chi, ci, mj, mc)
    do i = 1, n
      t = temperature(i)
      vcmax(i) = vcmax25(i) * response(t, vcmax_activation, vcmax_deactivation, vcmax_entropy, gas_constant)
      top = jmax25(i) * response(t, jmax_activation, jmax_deactivation, jmax_entropy, gas_constant)
      jmax(i) = top
      light = 4.0_wp * quantum_yield(i) * max(absorbed_photons(i), 0.0_wp)
      carboxylation_limited(i) = vcmax(i) * mc(i)
      light_limited(i) = 0.25_wp * mj(i) * light * top / sqrt(top * top + light * light + 1.0e-30_wp)
      assimilation(i) = min(carboxylation_limited(i), light_limited(i))
      co2 = ca(i)
      gap = co2 - ci(i)
      conductance(i) = assimilation(i) / max(gap, 1.0e-6_wp * co2) * merge(1.0_wp, 0.0_wp, gap > 1.0e-6_wp * co2)
    end do
  end subroutine pmodel_fast

  subroutine pmodel_soil_mengoli(n, relative_soil_moisture, aridity_index, stress)
    !! Soil moisture factor on assimilation (Mengoli et al. 2023): rises to a plateau that is lower in dry climates.
    integer, intent(in) :: n  !! number of tiles
    real(wp), intent(in) :: relative_soil_moisture(n)  !! over field capacity, 0 to 1
    real(wp), intent(in) :: aridity_index(n)  !! potential evapotranspiration over precipitation, climatology, -
    real(wp), intent(out) :: stress(n)  !! factor, 0 to 1
    integer :: i
    real(wp) :: logarithm, plateau, threshold

    do i = 1, n
      logarithm = log(max(aridity_index(i), 1.0e-3_wp))
      plateau = min(0.62_wp * exp(-0.45_wp * logarithm), 1.0_wp)
      threshold = min(0.34_wp * exp(-0.60_wp * logarithm), 1.0_wp)
      stress(i) = plateau * min(max(relative_soil_moisture(i), 0.0_wp) / threshold, 1.0_wp)
    end do
  end subroutine pmodel_soil_mengoli

  subroutine pmodel_soil_stocker(n, relative_soil_moisture, mean_alpha, stress)
    !! Soil moisture factor on light use efficiency (Stocker et al. 2020).
    integer, intent(in) :: n  !! number of tiles
    real(wp), intent(in) :: relative_soil_moisture(n)  !! over field capacity, 0 to 1
    real(wp), intent(in) :: mean_alpha(n)  !! actual over potential evapotranspiration, climatology, -
    real(wp), intent(out) :: stress(n)  !! factor, 0 to 1
    integer :: i
    real(wp) :: shortfall, depth

    do i = 1, n
      shortfall = min(relative_soil_moisture(i) - 0.6_wp, 0.0_wp)
      depth = (1.0_wp - 0.733_wp * mean_alpha(i)) * (1.0_wp / 0.36_wp)
      stress(i) = min(max(1.0_wp - depth * shortfall * shortfall, 0.0_wp), 1.0_wp)
    end do
  end subroutine pmodel_soil_stocker

  subroutine cost_of_jmax(n, jmax_scheme, mj, feasible, for_vcmax, for_jmax)
    !! Factors on Vcmax and Jmax that the cost of maintaining Jmax leaves.
    integer, intent(in) :: n  !! number of tiles
    integer, intent(in) :: jmax_scheme  !! pmodel_jmax_*
    real(wp), intent(in) :: mj(n)  !! light limitation, -
    real(wp), intent(out) :: feasible(n)  !! 1, or 0 where Jmax does not pay and both factors are 0
    real(wp), intent(out) :: for_vcmax(n), for_jmax(n)  !! -
    real(wp), parameter :: theta = smith19_curvature
    integer :: i
    real(wp) :: ratio, cost, root, omega, star, pay

    select case (jmax_scheme)
    case (pmodel_jmax_wang17)
      do i = 1, n
        ratio = exp((2.0_wp / 3.0_wp) * log(max(mj(i), wang17_cost) * (1.0_wp / wang17_cost)))
        pay = max(ratio - 1.0_wp, 0.0_wp)
        feasible(i) = merge(1.0_wp, 0.0_wp, pay > 0.0_wp)
        for_jmax(i) = sqrt(pay)
        for_vcmax(i) = sqrt(pay / ratio)
      end do
    case (pmodel_jmax_smith19)
      do i = 1, n
        ! sqrt(v) of Smith et al. is (1 - 2 theta cm)/sqrt(cm (1 - theta cm)), whose sign picks the root by itself
        cost = 4.0_wp * smith19_cost / max(mj(i), 1.0e-6_wp)
        root = sqrt(max(cost * (1.0_wp - theta * cost), 1.0e-6_wp))
        omega = 2.0_wp * theta - 1.0_wp + sqrt(1.0_wp - theta) * (1.0_wp - 2.0_wp * theta * cost) / root
        omega = max(omega, 0.0_wp)
        star = 1.0_wp + omega
        feasible(i) = merge(1.0_wp, 0.0_wp, omega > 0.0_wp)
        for_jmax(i) = omega
        for_vcmax(i) = 2.0_wp * omega / (star + sqrt(max(star * star - 4.0_wp * theta * omega, 0.0_wp)))
      end do
    case default
      do i = 1, n
        feasible(i) = 1.0_wp
        for_vcmax(i) = 1.0_wp
        for_jmax(i) = 1.0_wp
      end do
    end select
  end subroutine cost_of_jmax

  subroutine internal_carbon(n, chi_scheme, least_deficit, optimise, michaelis_menten, compensation, &
                             viscosity_ratio, co2_pressure, vapour_deficit, cost_ratio, xi, chi, ci, mj, mc)
    !! xi (optimal, or as given), chi, ci and the limitation terms.
    integer, intent(in) :: n  !! number of tiles
    integer, intent(in) :: chi_scheme  !! pmodel_chi_*
    real(wp), intent(in) :: least_deficit  !! Pa
    logical, intent(in) :: optimise  !! xi from the cost ratio (else as given)
    real(wp), intent(in) :: michaelis_menten(n), compensation(n), viscosity_ratio(n)  !! as in pmodel_optimum
    real(wp), intent(in) :: co2_pressure(n), vapour_deficit(n), cost_ratio(n)  !! as in pmodel_optimum
    real(wp), intent(inout) :: xi(n)  !! Pa**0.5
    real(wp), intent(out) :: chi(n), ci(n), mj(n), mc(n)  !! -, Pa, -, -
    integer :: i
    real(wp) :: km, point, ca, root, share, x, inside
    real(wp) :: photorespires, light_term, carbon_term

    ! factors 0 or 1 that make one formula of the three schemes
    photorespires = merge(0.0_wp, 1.0_wp, chi_scheme == pmodel_chi_c4_no_compensation)
    light_term = merge(1.0_wp, 0.0_wp, chi_scheme == pmodel_chi_c3)
    carbon_term = merge(0.0_wp, 1.0_wp, chi_scheme == pmodel_chi_c4)
    if (optimise) then
      do i = 1, n
        km = michaelis_menten(i) + photorespires * compensation(i)
        xi(i) = sqrt(cost_ratio(i) * km / (1.6_wp * viscosity_ratio(i)))
      end do
    end if
    do i = 1, n
      x = xi(i)
      km = michaelis_menten(i)
      ca = co2_pressure(i)
      point = photorespires * compensation(i)
      root = sqrt(max(vapour_deficit(i), least_deficit, 0.0_wp))
      share = min(point / max(ca, 1.0e-6_wp), 1.0_wp)
      share = share + (1.0_wp - share) * x / max(x + root, 1.0e-12_wp)
      inside = share * ca
      chi(i) = share
      ci(i) = inside
      mj(i) = 1.0_wp - light_term + light_term * max(inside - point, 0.0_wp) / (inside + 2.0_wp * point + 1.0e-30_wp)
      mc(i) = 1.0_wp - carbon_term + carbon_term * max(inside - point, 0.0_wp) / (inside + km)
    end do
  end subroutine internal_carbon

  elemental function response(temperature, activation, deactivation, entropy, gas_constant) result(factor)
    !! Peaked Arrhenius response, 1 at 25 degC; plain where deactivation is 0.
    real(wp), intent(in) :: temperature  !! K
    real(wp), intent(in) :: activation  !! J mol-1
    real(wp), intent(in) :: deactivation  !! J mol-1
    real(wp), intent(in) :: entropy  !! J mol-1 K-1
    real(wp), intent(in) :: gas_constant  !! J mol-1 K-1
    real(wp) :: factor, per_rt, per_reference, peaked, decline
    per_rt = 1.0_wp / (gas_constant * temperature)
    per_reference = 1.0_wp / (gas_constant * reference_temperature)
    peaked = merge(1.0_wp, 0.0_wp, deactivation > 0.0_wp)
    factor = exp(activation * (per_reference - per_rt))
    decline = (1.0_wp + peaked * exp((reference_temperature * entropy - deactivation) * per_reference)) &
      / (1.0_wp + peaked * exp(min((temperature * entropy - deactivation) * per_rt, 300.0_wp)))
    factor = factor * decline
  end function response

  elemental function viscosity(celsius, air_pressure) result(mu)
    !! Dynamic viscosity of liquid water, Pa s.
    real(wp), intent(in) :: celsius  !! degC
    real(wp), intent(in) :: air_pressure  !! Pa
    real(wp) :: mu, t, lambda, p0, volume, r, d, tr, dilute, c
    t = min(max(celsius, least_water_temperature), 100.0_wp)
    lambda = 1788.316_wp + t * (21.55053_wp + t * (-0.4695911_wp + t * (0.003096363_wp - t * 7.341182e-06_wp)))
    p0 = 5918.499_wp + t * (58.05267_wp + t * (-1.1253317_wp + t * (0.0066123869_wp - t * 1.4661625e-05_wp)))
    volume = 0.6980547_wp + t * (-0.0007435626_wp + t * (3.704258e-05_wp + t * (-6.315724e-07_wp &
      + t * (9.829576e-09_wp + t * (-1.197269e-10_wp + t * (1.005461e-12_wp + t * (-5.437898e-15_wp &
      + t * (1.69946e-17_wp - t * 2.295063e-20_wp))))))))
    r = (1000.0_wp / 322.0_wp) / (volume + lambda / (p0 + 1.0e-5_wp * air_pressure))
    d = r - 1.0_wp
    tr = 647.096_wp / (t + freezing_point)
    dilute = 100.0_wp / (sqrt(tr) * (1.67752_wp + tr * (2.20462_wp + tr * (0.6366564_wp - tr * 0.241605_wp))))
    c = tr - 1.0_wp
    mu = 0.520094_wp + d * (0.222531_wp + d * (-0.281378_wp + d * (0.161913_wp - d * 0.0325372_wp))) &
      + c * (0.0850895_wp + d * (0.999115_wp + d * (-0.906851_wp + d * 0.257399_wp)) &
      + c * (-1.08374_wp + d * (1.88797_wp - d * 0.772479_wp) &
      + c * (-0.289555_wp + d * (1.26613_wp + d * (-0.489837_wp + d * d * (0.0698452_wp - d * d * 0.00435673_wp))) &
      + c * (d * d * (-0.25704_wp + d * d * d * 0.00872102_wp) &
      + c * d * (0.120573_wp - d * d * d * d * d * 0.000593264_wp)))))
    mu = 1.0e-6_wp * dilute * exp(r * mu)
  end function viscosity
end module concerto_pmodel
