module concerto_gas_exchange
  !! Assimilation, stomatal conductance and intercellular CO2 that belong together: the root of
  !!   F(ci) = ci - ca + An(ci) P (1.4/gb + 1.6/gs(An))
  !! which is bracketed and, with Medlyn's law, rises strictly with ci, so that there is one. gs is for water vapour;
  !! the vapour pressure at the leaf surface is eliminated, so that each law is one quadratic in gs with gb inside.
  !!   Medlyn (2011)  gs = g0 + 1.6 (1 + g1/sqrt(Ds)) An P/cs ;   P-model: the same with cs - G* in place of cs
  !!   Ball-Berry     gs = g0 + m hs An P/cs
  !!   Leuning (1995) gs = g0 + a1 An P/[(cs - G*) (1 + Ds/D0)]
  !!   SOX (Eller et al. 2018) gs = g0 + 0.8 A' (sqrt(1 + 4 xi/A') - 1), A' = dAn/dci, see `sox_solve`
  !! and then gs = max(gs, g_min), inside F. In the dark, without water, in frozen leaves and where CO2 <= G* the same
  !! equations give An = -Rd and gs = max(g0, g_min).
  !! Fluxes umol m-2 leaf s-1, positive for uptake; conductances mol m-2 s-1; pressures Pa; temperatures K.
  use concerto_kinds, only: wp
  use concerto_constants, only: freezing_point, gas_constant, oxygen_mole_fraction
  use concerto_thermodynamics, only: magnus_pressure, magnus_water_factor, magnus_water_offset
  use concerto_options, only: stomata_medlyn, stomata_ball_berry, stomata_leuning, stomata_pmodel, stomata_sox, &
    ci_solver_chandrupatla, kinetics_molefrac
  use concerto_photosynthesis, only: capacity_response, c4_response, kinetic_constants, freezing_ramp, &
    electron_transport
  use concerto_leaf_respiration, only: respiration_response
  implicit none
  private
  public :: leaf_gas_exchange, c3_gas_exchange, c4_gas_exchange

  integer, parameter :: pathway_c3 = 1, pathway_c4 = 2
  integer, parameter :: newton_steps = 5  !! C3 leaves with Medlyn's law: An within 1e-7 umol m-2 s-1
  integer, parameter :: newton_steps_c4 = 8  !! C4 leaves, whose rate bends sharply
  integer, parameter :: newton_steps_linear = 12  !! Ball-Berry and Leuning, whose F may fold (see `linear_law`)
  integer, parameter :: newton_steps_sox = 5  !! SOX: see docs/processes/stomata.md
  integer, parameter :: chandrupatla_steps = 25
  real(wp), parameter :: stomata_ratio = 1.6_wp  !! diffusivity of H2O over CO2 in pores
  real(wp), parameter :: boundary_ratio = 1.4_wp  !! the same in the leaf boundary layer
  real(wp), parameter :: smallest_deficit = 50.0_wp  !! floor of the vapour pressure deficit in the laws, Pa
  real(wp), parameter :: smallest_conductance = 1.0e-9_wp  !! keeps 1/gs finite when g0 = g_min = 0, mol m-2 s-1
  real(wp), parameter :: highest_ci = 1.0e5_wp  !! upper end of the bracket above ca, Pa
  real(wp), parameter :: leuning_deficit = 1.5_wp  !! D0 of Leuning, kPa
  real(wp), parameter :: c4_quantum_yield = 0.05_wp  !! mol CO2 per mol absorbed photons (Collatz 1992)
  real(wp), parameter :: c4_slope_ratio = 20000.0_wp  !! kp25 / Vcmax25, per mol mol-1
  real(wp), parameter :: kc25_partial = 39.97_wp, ko25_partial = 27480.0_wp, compensation25_partial = 4.332_wp  !! Pa
  real(wp), parameter :: kc25_mole = 404.9e-6_wp, ko25_mole = 278.4e-3_wp, compensation25_mole = 42.75e-6_wp
  integer, parameter :: lanes = 16  !! gathered tiles fill whole vectors, so that every tile meets the same vector code
  real(wp), parameter :: tiny_square = 1.0e-30_wp  !! keeps 0/0 out of the roots of vanishing rates

contains

  subroutine leaf_gas_exchange(n, stomata, temperature_response, kinetics, leaf_respiration, ci_solver, &
    leaf_temperature, vapour_pressure, co2_partial_pressure, pressure, boundary_conductance, &
    absorbed_par_sun, absorbed_par_shade, vcmax25_sun, vcmax25_shade, jmax25_sun, jmax25_shade, &
    respiration25_sun, respiration25_shade, growth_temperature, home_temperature, c4, theta_cj, theta_ip, &
    quantum_yield, theta_j, g0, g1, g_min, stress_stomata, stress_capacity, &
    net_assimilation_sun, net_assimilation_shade, conductance_sun, conductance_shade, &
    respiration_sun, respiration_shade, ci_sun, ci_shade)
    !! Gas exchange of the sunlit and the shaded leaves of each tile at one leaf temperature. What depends on
    !! temperature is computed once for both. Tiles of C3 and C4 plants may share the block.
    integer, intent(in) :: n  !! tiles
    integer, intent(in) :: stomata  !! option: medlyn, ball_berry, leuning, pmodel or sox
    integer, intent(in) :: temperature_response  !! option: k19, kk07 or fixed
    integer, intent(in) :: kinetics  !! option: partial or molefrac
    integer, intent(in) :: leaf_respiration  !! option: atkin, vcmax or ryan
    integer, intent(in) :: ci_solver  !! option: newton or chandrupatla
    real(wp), intent(in) :: leaf_temperature(n)  !! K
    real(wp), intent(in) :: vapour_pressure(n)  !! outside the leaf boundary layer, Pa
    real(wp), intent(in) :: co2_partial_pressure(n)  !! outside the leaf boundary layer, Pa
    real(wp), intent(in) :: pressure(n)  !! of air, Pa
    real(wp), intent(in) :: boundary_conductance(n)  !! of the boundary layer, one side, for vapour, mol m-2 s-1
    real(wp), intent(in) :: absorbed_par_sun(n)  !! sunlit leaves, umol photons m-2 leaf s-1
    real(wp), intent(in) :: absorbed_par_shade(n)  !! shaded leaves, umol photons m-2 leaf s-1
    real(wp), intent(in) :: vcmax25_sun(n)  !! sunlit leaves, unstressed, umol m-2 leaf s-1
    real(wp), intent(in) :: vcmax25_shade(n)  !! shaded leaves, unstressed, umol m-2 leaf s-1
    real(wp), intent(in) :: jmax25_sun(n)  !! sunlit leaves, unstressed, umol m-2 leaf s-1
    real(wp), intent(in) :: jmax25_shade(n)  !! shaded leaves, unstressed, umol m-2 leaf s-1
    real(wp), intent(in) :: respiration25_sun(n)  !! dark respiration of sunlit leaves, umol m-2 leaf s-1
    real(wp), intent(in) :: respiration25_shade(n)  !! dark respiration of shaded leaves, umol m-2 leaf s-1
    real(wp), intent(in) :: growth_temperature(n)  !! 30-day mean of air temperature, K
    real(wp), intent(in) :: home_temperature(n)  !! long-term mean maximum of the warmest month, K
    real(wp), intent(in) :: c4(n)  !! 1 for C4 leaves, else 0
    real(wp), intent(in) :: theta_cj(n)  !! curvature between Rubisco and light, 0-1
    real(wp), intent(in) :: theta_ip(n)  !! curvature between these and CO2 (C4), 0-1
    real(wp), intent(in) :: quantum_yield(n)  !! electrons per absorbed photon, 0.5 (1 - f), mol mol-1
    real(wp), intent(in) :: theta_j(n)  !! curvature of electron transport, 0-1
    real(wp), intent(in) :: g0(n)  !! intercept of the stomatal law, mol m-2 s-1
    real(wp), intent(in) :: g1(n)  !! slope: medlyn and pmodel kPa0.5 (xi in Pa0.5 / sqrt(1000)); sox: sox_capacity, mol m-2 s-1
    real(wp), intent(in) :: g_min(n)  !! cuticular conductance, the floor of gs, mol m-2 s-1
    real(wp), intent(in) :: stress_stomata(n)  !! soil drought factor of g1, 0-1
    real(wp), intent(in) :: stress_capacity(n)  !! soil drought factor of Vcmax, Jmax and kp, 0-1
    real(wp), intent(out) :: net_assimilation_sun(n)  !! gross - respiration, umol m-2 leaf s-1
    real(wp), intent(out) :: net_assimilation_shade(n)  !! gross - respiration, umol m-2 leaf s-1
    real(wp), intent(out) :: conductance_sun(n)  !! stomatal, for water vapour, mol m-2 leaf s-1
    real(wp), intent(out) :: conductance_shade(n)  !! stomatal, for water vapour, mol m-2 leaf s-1
    real(wp), intent(out) :: respiration_sun(n)  !! at leaf temperature, umol m-2 leaf s-1
    real(wp), intent(out) :: respiration_shade(n)  !! at leaf temperature, umol m-2 leaf s-1
    real(wp), intent(out) :: ci_sun(n)  !! intercellular CO2, Pa
    real(wp), intent(out) :: ci_shade(n)  !! intercellular CO2, Pa
    real(wp), dimension(n) :: factor, ramp, slope
    integer :: chosen(n + lanes)
    integer :: i, n_open
    real(wp) :: closed, resistance, ca

    call respiration_response(n, leaf_respiration, gas_constant, leaf_temperature, c4, factor)
    call freezing_ramp(n, leaf_temperature, ramp)
    ! Leaves that assimilate nothing: An = -Rd, stomata at their floor, and F is linear in ci
    do i = 1, n
      respiration_sun(i) = respiration25_sun(i) * factor(i)
      respiration_shade(i) = respiration25_shade(i) * factor(i)
      slope(i) = g1(i) * stress_stomata(i)
      net_assimilation_sun(i) = -respiration_sun(i)
      net_assimilation_shade(i) = -respiration_shade(i)
      closed = max(g0(i), g_min(i))
      conductance_sun(i) = closed
      conductance_shade(i) = closed
      resistance = 1.0e-6_wp * pressure(i) * (boundary_ratio / boundary_conductance(i) &
        + stomata_ratio / max(closed, smallest_conductance))
      ca = co2_partial_pressure(i)
      ci_sun(i) = ca + min(highest_ci, respiration_sun(i) * resistance)
      ci_shade(i) = ca + min(highest_ci, respiration_shade(i) * resistance)
    end do
    ! The others are gathered by pathway, so that the iteration runs only where it is needed
    call choose(pathway_c3)
    if (n_open == n) then
      call c3_leaves(n, stomata, temperature_response, kinetics, ci_solver, leaf_temperature, vapour_pressure, &
        co2_partial_pressure, pressure, boundary_conductance, absorbed_par_sun, absorbed_par_shade, vcmax25_sun, &
        vcmax25_shade, jmax25_sun, jmax25_shade, respiration_sun, respiration_shade, growth_temperature, &
        home_temperature, theta_cj, quantum_yield, theta_j, g0, slope, g_min, stress_capacity, ramp, &
        net_assimilation_sun, net_assimilation_shade, conductance_sun, conductance_shade, ci_sun, ci_shade)
    else if (n_open > 0) then
      call c3_some(n_open, lanes * ((n_open + lanes - 1) / lanes))
    end if
    call choose(pathway_c4)
    if (n_open > 0) call c4_some(n_open, lanes * ((n_open + lanes - 1) / lanes))

  contains

    subroutine choose(pathway)
      !! Tiles of this pathway with light, capacity and leaves that are not frozen; the last one fills up the vectors.
      integer, intent(in) :: pathway
      real(wp) :: power(n)
      integer :: j

      do j = 1, n
        power(j) = ramp(j) * stress_capacity(j) &
          * max(absorbed_par_sun(j) * vcmax25_sun(j), absorbed_par_shade(j) * vcmax25_shade(j))
      end do
      n_open = 0
      do j = 1, n
        chosen(n_open + 1) = j
        if (power(j) > 0.0_wp .and. ((c4(j) > 0.5_wp) .eqv. (pathway == pathway_c4))) n_open = n_open + 1
      end do
      if (n_open > 0) chosen(n_open + 1:) = chosen(n_open)
    end subroutine choose

    subroutine c3_some(n_open, n_some)
      !! `c3_leaves` for the chosen tiles.
      integer, intent(in) :: n_open, n_some
      real(wp), dimension(n_some) :: net_sun, net_shade, gs_sun, gs_shade, inside_sun, inside_shade
      real(wp), dimension(n_some, 23) :: v
      integer :: list(n_some)

      list = chosen(:n_some)
      v(:, 1) = leaf_temperature(list)
      v(:, 2) = vapour_pressure(list)
      v(:, 3) = co2_partial_pressure(list)
      v(:, 4) = pressure(list)
      v(:, 5) = boundary_conductance(list)
      v(:, 6) = absorbed_par_sun(list)
      v(:, 7) = absorbed_par_shade(list)
      v(:, 8) = vcmax25_sun(list)
      v(:, 9) = vcmax25_shade(list)
      v(:, 10) = jmax25_sun(list)
      v(:, 11) = jmax25_shade(list)
      v(:, 12) = respiration_sun(list)
      v(:, 13) = respiration_shade(list)
      v(:, 14) = growth_temperature(list)
      v(:, 15) = home_temperature(list)
      v(:, 16) = theta_cj(list)
      v(:, 17) = quantum_yield(list)
      v(:, 18) = theta_j(list)
      v(:, 19) = g0(list)
      v(:, 20) = slope(list)
      v(:, 21) = g_min(list)
      v(:, 22) = stress_capacity(list)
      v(:, 23) = ramp(list)
      call c3_leaves(n_some, stomata, temperature_response, kinetics, ci_solver, v(1, 1), v(1, 2), v(1, 3), v(1, 4), &
        v(1, 5), v(1, 6), v(1, 7), v(1, 8), v(1, 9), v(1, 10), v(1, 11), v(1, 12), v(1, 13), v(1, 14), v(1, 15), &
        v(1, 16), v(1, 17), v(1, 18), v(1, 19), v(1, 20), v(1, 21), v(1, 22), v(1, 23), net_sun, net_shade, gs_sun, &
        gs_shade, inside_sun, inside_shade)
      call give_back(n_open, n_some, net_sun, net_shade, gs_sun, gs_shade, inside_sun, inside_shade)
    end subroutine c3_some

    subroutine c4_some(n_open, n_some)
      !! `c4_leaves` for the chosen tiles.
      integer, intent(in) :: n_open, n_some
      real(wp), dimension(n_some) :: net_sun, net_shade, gs_sun, gs_shade, inside_sun, inside_shade
      real(wp), dimension(n_some, 18) :: v
      integer :: list(n_some)

      list = chosen(:n_some)
      v(:, 1) = leaf_temperature(list)
      v(:, 2) = vapour_pressure(list)
      v(:, 3) = co2_partial_pressure(list)
      v(:, 4) = pressure(list)
      v(:, 5) = boundary_conductance(list)
      v(:, 6) = absorbed_par_sun(list)
      v(:, 7) = absorbed_par_shade(list)
      v(:, 8) = vcmax25_sun(list)
      v(:, 9) = vcmax25_shade(list)
      v(:, 10) = respiration_sun(list)
      v(:, 11) = respiration_shade(list)
      v(:, 12) = theta_cj(list)
      v(:, 13) = theta_ip(list)
      v(:, 14) = g0(list)
      v(:, 15) = slope(list)
      v(:, 16) = g_min(list)
      v(:, 17) = stress_capacity(list)
      v(:, 18) = ramp(list)
      call c4_leaves(n_some, stomata, ci_solver, v(1, 1), v(1, 2), v(1, 3), v(1, 4), v(1, 5), v(1, 6), v(1, 7), &
        v(1, 8), v(1, 9), v(1, 10), v(1, 11), v(1, 12), v(1, 13), v(1, 14), v(1, 15), v(1, 16), v(1, 17), v(1, 18), &
        net_sun, net_shade, gs_sun, gs_shade, inside_sun, inside_shade)
      call give_back(n_open, n_some, net_sun, net_shade, gs_sun, gs_shade, inside_sun, inside_shade)
    end subroutine c4_some

    subroutine give_back(n_open, n_some, net_sun, net_shade, gs_sun, gs_shade, inside_sun, inside_shade)
      !! Results of the chosen tiles to their places.
      integer, intent(in) :: n_open, n_some
      real(wp), intent(in), dimension(n_some) :: net_sun, net_shade, gs_sun, gs_shade, inside_sun, inside_shade
      integer :: j, tile

      do j = 1, n_open
        tile = chosen(j)
        net_assimilation_sun(tile) = net_sun(j)
        net_assimilation_shade(tile) = net_shade(j)
        conductance_sun(tile) = gs_sun(j)
        conductance_shade(tile) = gs_shade(j)
        ci_sun(tile) = inside_sun(j)
        ci_shade(tile) = inside_shade(j)
      end do
    end subroutine give_back
  end subroutine leaf_gas_exchange

  subroutine c3_leaves(n, stomata, temperature_response, kinetics, ci_solver, leaf_temperature, vapour_pressure, &
    co2_partial_pressure, pressure, boundary_conductance, par_sun, par_shade, vcmax25_sun, vcmax25_shade, jmax25_sun, &
    jmax25_shade, respiration_sun, respiration_shade, growth_temperature, home_temperature, theta_cj, quantum_yield, &
    theta_j, g0, g1, g_min, stress, ramp, net_sun, net_shade, conductance_sun, conductance_shade, ci_sun, ci_shade)
    !! Both classes of leaves of C3 plants. What depends on temperature is computed once for both.
    integer, intent(in) :: n, stomata, temperature_response, kinetics, ci_solver
    real(wp), intent(in), dimension(n) :: leaf_temperature, vapour_pressure, co2_partial_pressure, pressure
    real(wp), intent(in), dimension(n) :: boundary_conductance, par_sun, par_shade, vcmax25_sun, vcmax25_shade
    real(wp), intent(in), dimension(n) :: jmax25_sun, jmax25_shade, respiration_sun, respiration_shade
    real(wp), intent(in), dimension(n) :: growth_temperature, home_temperature, theta_cj, quantum_yield, theta_j
    real(wp), intent(in), dimension(n) :: g0, g1, g_min
    real(wp), intent(in), dimension(n) :: stress  ! drought factor of both capacities
    real(wp), intent(in), dimension(n) :: ramp  ! frost factor of gross assimilation
    real(wp), intent(out), dimension(n) :: net_sun, net_shade, conductance_sun, conductance_shade, ci_sun, ci_shade
    real(wp), dimension(n) :: saturation, michaelis, compensation, vcmax_factor, jmax_factor
    integer :: i

    call leaf_saturation_pressure(n, leaf_temperature, saturation)
    call capacity_response(n, temperature_response, gas_constant, leaf_temperature, growth_temperature, &
      home_temperature, vcmax_factor, jmax_factor)
    if (kinetics == kinetics_molefrac) then
      call kinetic_constants(n, kinetics, gas_constant, oxygen_mole_fraction, kc25_mole, ko25_mole, &
        compensation25_mole, leaf_temperature, pressure, michaelis, compensation)
    else
      call kinetic_constants(n, kinetics, gas_constant, oxygen_mole_fraction, kc25_partial, ko25_partial, &
        compensation25_partial, leaf_temperature, pressure, michaelis, compensation)
    end if
    do i = 1, n
      vcmax_factor(i) = vcmax_factor(i) * stress(i)
      jmax_factor(i) = jmax_factor(i) * stress(i)
    end do
    call one_class(par_sun, vcmax25_sun, jmax25_sun, respiration_sun, net_sun, conductance_sun, ci_sun)
    call one_class(par_shade, vcmax25_shade, jmax25_shade, respiration_shade, net_shade, conductance_shade, ci_shade)

  contains

    subroutine one_class(par, vcmax25, jmax25, respiration, net_assimilation, conductance, ci)
      real(wp), intent(in), dimension(n) :: par, vcmax25, jmax25, respiration
      real(wp), intent(out), dimension(n) :: net_assimilation, conductance, ci
      real(wp), dimension(n) :: vcmax, electron_rate
      integer :: j

      do j = 1, n
        vcmax(j) = jmax25(j) * jmax_factor(j)
      end do
      call electron_transport(n, par, quantum_yield, vcmax, theta_j, electron_rate)
      do j = 1, n
        vcmax(j) = vcmax25(j) * vcmax_factor(j) * ramp(j)
        electron_rate(j) = electron_rate(j) * ramp(j)
      end do
      call c3_gas_exchange(n, stomata, ci_solver, leuning_deficit, vcmax, electron_rate, michaelis, compensation, &
        respiration, saturation, vapour_pressure, co2_partial_pressure, pressure, boundary_conductance, theta_cj, &
        g0, g1, g_min, compensation, net_assimilation, conductance, ci)
    end subroutine one_class
  end subroutine c3_leaves

  subroutine c4_leaves(n, stomata, ci_solver, leaf_temperature, vapour_pressure, co2_partial_pressure, pressure, &
    boundary_conductance, par_sun, par_shade, vcmax25_sun, vcmax25_shade, respiration_sun, respiration_shade, theta_cj, &
    theta_ip, g0, g1, g_min, stress, ramp, net_sun, net_shade, conductance_sun, conductance_shade, ci_sun, ci_shade)
    !! Both classes of leaves of C4 plants.
    integer, intent(in) :: n, stomata, ci_solver
    real(wp), intent(in), dimension(n) :: leaf_temperature, vapour_pressure, co2_partial_pressure, pressure
    real(wp), intent(in), dimension(n) :: boundary_conductance, par_sun, par_shade, vcmax25_sun, vcmax25_shade
    real(wp), intent(in), dimension(n) :: respiration_sun, respiration_shade, theta_cj, theta_ip, g0, g1, g_min
    real(wp), intent(in), dimension(n) :: stress, ramp  ! as for `c3_leaves`
    real(wp), intent(out), dimension(n) :: net_sun, net_shade, conductance_sun, conductance_shade, ci_sun, ci_shade
    real(wp), dimension(n) :: saturation, vcmax_factor, slope_factor, respiration_factor

    call leaf_saturation_pressure(n, leaf_temperature, saturation)
    call c4_response(n, leaf_temperature, vcmax_factor, slope_factor, respiration_factor)
    call one_class(par_sun, vcmax25_sun, respiration_sun, net_sun, conductance_sun, ci_sun)
    call one_class(par_shade, vcmax25_shade, respiration_shade, net_shade, conductance_shade, ci_shade)

  contains

    subroutine one_class(par, vcmax25, respiration, net_assimilation, conductance, ci)
      real(wp), intent(in), dimension(n) :: par, vcmax25, respiration
      real(wp), intent(out), dimension(n) :: net_assimilation, conductance, ci
      real(wp), dimension(n) :: vcmax, light, initial_slope, zero
      integer :: j
      real(wp) :: reduced

      do j = 1, n
        reduced = vcmax25(j) * stress(j) * ramp(j)
        vcmax(j) = reduced * vcmax_factor(j)
        initial_slope(j) = reduced * c4_slope_ratio * slope_factor(j)
        light(j) = c4_quantum_yield * par(j) * ramp(j)
        zero(j) = 0.0_wp
      end do
      call c4_gas_exchange(n, stomata, ci_solver, leuning_deficit, vcmax, light, initial_slope, respiration, &
        saturation, vapour_pressure, co2_partial_pressure, pressure, boundary_conductance, theta_cj, theta_ip, &
        g0, g1, g_min, zero, net_assimilation, conductance, ci)
    end subroutine one_class
  end subroutine c4_leaves

  subroutine leaf_saturation_pressure(n, leaf_temperature, saturation)
    !! Saturation vapour pressure in the leaf, Pa.
    integer, intent(in) :: n
    real(wp), intent(in) :: leaf_temperature(n)
    real(wp), intent(out) :: saturation(n)
    integer :: i
    real(wp) :: celsius

    do i = 1, n
      celsius = min(max(leaf_temperature(i), 200.0_wp), 350.0_wp) - freezing_point
      saturation(i) = magnus_pressure * exp(magnus_water_factor * celsius / (magnus_water_offset + celsius))
    end do
  end subroutine leaf_saturation_pressure

  subroutine c3_gas_exchange(n, stomata, ci_solver, deficit_scale, vcmax, electron_rate, michaelis_constant, &
    co2_compensation, respiration, leaf_saturation, vapour_pressure, co2_partial_pressure, pressure, &
    boundary_conductance, theta_cj, g0, g1, g_min, law_compensation, net_assimilation, conductance, ci)
    !! Coupled gas exchange of C3 leaves from rates at leaf temperature.
    integer, intent(in) :: n  !! tiles
    integer, intent(in) :: stomata  !! option: medlyn, ball_berry, leuning or pmodel
    integer, intent(in) :: ci_solver  !! option: newton or chandrupatla
    real(wp), intent(in) :: deficit_scale  !! D0 of Leuning, kPa
    real(wp), intent(in) :: vcmax(n)  !! umol m-2 s-1
    real(wp), intent(in) :: electron_rate(n)  !! umol electrons m-2 s-1
    real(wp), intent(in) :: michaelis_constant(n)  !! Pa
    real(wp), intent(in) :: co2_compensation(n)  !! Pa
    real(wp), intent(in) :: respiration(n)  !! umol m-2 s-1
    real(wp), intent(in) :: leaf_saturation(n)  !! saturation vapour pressure at leaf temperature, Pa
    real(wp), intent(in) :: vapour_pressure(n)  !! outside the leaf boundary layer, Pa
    real(wp), intent(in) :: co2_partial_pressure(n)  !! outside the leaf boundary layer, Pa
    real(wp), intent(in) :: pressure(n)  !! of air, Pa
    real(wp), intent(in) :: boundary_conductance(n)  !! for vapour, mol m-2 s-1
    real(wp), intent(in) :: theta_cj(n)  !! curvature, 0-1; 1 is the hard minimum
    real(wp), intent(in) :: g0(n)  !! mol m-2 s-1
    real(wp), intent(in) :: g1(n)  !! slope of the law (with drought): kPa0.5 or dimensionless
    real(wp), intent(in) :: g_min(n)  !! floor of gs, mol m-2 s-1
    real(wp), intent(in) :: law_compensation(n)  !! CO2 subtracted from cs in leuning and pmodel, Pa
    real(wp), intent(out) :: net_assimilation(n)  !! umol m-2 s-1
    real(wp), intent(out) :: conductance(n)  !! for water vapour, mol m-2 s-1
    real(wp), intent(out) :: ci(n)  !! Pa
    real(wp), dimension(n) :: light_capacity, offset
    integer :: i

    do i = 1, n
      light_capacity(i) = 0.25_wp * electron_rate(i)
      offset(i) = 2.0_wp * co2_compensation(i)
    end do
    if (stomata == stomata_sox) then
      call sox_solve(n, pathway_c3, vcmax, light_capacity, michaelis_constant, offset, co2_compensation, theta_cj, &
        respiration, leaf_saturation, vapour_pressure, co2_partial_pressure, pressure, boundary_conductance, g0, g1, &
        g_min, net_assimilation, conductance, ci)
    else
      call solve(n, pathway_c3, stomata, ci_solver, deficit_scale, vcmax, light_capacity, michaelis_constant, offset, &
        co2_compensation, theta_cj, respiration, leaf_saturation, vapour_pressure, co2_partial_pressure, pressure, &
        boundary_conductance, g0, g1, g_min, law_compensation, net_assimilation, conductance, ci)
    end if
  end subroutine c3_gas_exchange

  subroutine c4_gas_exchange(n, stomata, ci_solver, deficit_scale, vcmax, light_rate, initial_slope, respiration, &
    leaf_saturation, vapour_pressure, co2_partial_pressure, pressure, boundary_conductance, theta_cj, theta_ip, &
    g0, g1, g_min, law_compensation, net_assimilation, conductance, ci)
    !! Coupled gas exchange of C4 leaves from rates at leaf temperature. The minimum of Rubisco and light does not
    !! depend on ci and is taken once; as function of ci the second minimum has the form of the C3 one.
    integer, intent(in) :: n  !! tiles
    integer, intent(in) :: stomata  !! option: medlyn, ball_berry, leuning or pmodel
    integer, intent(in) :: ci_solver  !! option: newton or chandrupatla
    real(wp), intent(in) :: deficit_scale  !! D0 of Leuning, kPa
    real(wp), intent(in) :: vcmax(n)  !! umol m-2 s-1
    real(wp), intent(in) :: light_rate(n)  !! light-limited rate, umol CO2 m-2 s-1
    real(wp), intent(in) :: initial_slope(n)  !! kp, umol m-2 s-1 per mol mol-1
    real(wp), intent(in) :: respiration(n)  !! umol m-2 s-1
    real(wp), intent(in) :: leaf_saturation(n)  !! saturation vapour pressure at leaf temperature, Pa
    real(wp), intent(in) :: vapour_pressure(n)  !! outside the leaf boundary layer, Pa
    real(wp), intent(in) :: co2_partial_pressure(n)  !! outside the leaf boundary layer, Pa
    real(wp), intent(in) :: pressure(n)  !! of air, Pa
    real(wp), intent(in) :: boundary_conductance(n)  !! for vapour, mol m-2 s-1
    real(wp), intent(in) :: theta_cj(n)  !! curvature between Rubisco and light, 0-1
    real(wp), intent(in) :: theta_ip(n)  !! curvature between these and CO2, 0-1
    real(wp), intent(in) :: g0(n)  !! mol m-2 s-1
    real(wp), intent(in) :: g1(n)  !! slope of the law (with drought): kPa0.5 or dimensionless
    real(wp), intent(in) :: g_min(n)  !! floor of gs, mol m-2 s-1
    real(wp), intent(in) :: law_compensation(n)  !! CO2 subtracted from cs in leuning and pmodel, Pa
    real(wp), intent(out) :: net_assimilation(n)  !! umol m-2 s-1
    real(wp), intent(out) :: conductance(n)  !! for water vapour, mol m-2 s-1
    real(wp), intent(out) :: ci(n)  !! Pa
    real(wp), dimension(n) :: limit, slope, zero
    integer :: i
    real(wp) :: difference, light, rubisco

    do i = 1, n
      rubisco = vcmax(i)
      light = max(light_rate(i), 0.0_wp)
      difference = rubisco - light
      limit(i) = 2.0_wp * rubisco * light / (rubisco + light + &
        sqrt(difference * difference + 4.0_wp * (1.0_wp - theta_cj(i)) * rubisco * light + tiny_square))
      slope(i) = initial_slope(i) / pressure(i)
      zero(i) = 0.0_wp
    end do
    if (stomata == stomata_sox) then
      call sox_solve(n, pathway_c4, limit, slope, zero, zero, zero, theta_ip, respiration, leaf_saturation, &
        vapour_pressure, co2_partial_pressure, pressure, boundary_conductance, g0, g1, g_min, net_assimilation, &
        conductance, ci)
    else
      call solve(n, pathway_c4, stomata, ci_solver, deficit_scale, limit, slope, zero, zero, &
        zero, theta_ip, respiration, leaf_saturation, vapour_pressure, co2_partial_pressure, pressure, &
        boundary_conductance, g0, g1, g_min, law_compensation, net_assimilation, conductance, ci)
    end if
  end subroutine c4_gas_exchange

  subroutine solve(n, pathway, stomata, ci_solver, deficit_scale, first, second, first_offset, second_offset, &
    compensation, theta, respiration, leaf_saturation, vapour_pressure, co2_partial_pressure, pressure, &
    boundary_conductance, g0, g1, g_min, law_compensation, net_assimilation, conductance, ci)
    !! Root of F by a bracketed Newton iteration of fixed length or by Chandrupatla's method (1997).
    integer, intent(in) :: n, pathway, stomata, ci_solver
    real(wp), intent(in) :: deficit_scale
    real(wp), intent(in), dimension(n) :: first, second, first_offset, second_offset  !! see `assimilation`
    real(wp), intent(in), dimension(n) :: compensation, theta, respiration, leaf_saturation, vapour_pressure
    real(wp), intent(in), dimension(n) :: co2_partial_pressure, pressure, boundary_conductance, g0, g1, g_min
    real(wp), intent(in), dimension(n) :: law_compensation
    real(wp), intent(out), dimension(n) :: net_assimilation, conductance, ci
    real(wp), dimension(n) :: gross, gross_slope, residual, residual_slope, low, high, x
    real(wp), dimension(n) :: inverse_boundary, boundary_factor, pore_factor, law_a, law_b, law_c
    integer :: step, steps, i
    real(wp) :: deficit, ratio, ca, resistance, surface, middle, next, f, xi, a, b
    logical :: inside

    ! Per law: what the loops over F need, and a first guess of ci/ca.
    select case (stomata)
    case (stomata_ball_berry)
      do i = 1, n
        law_a(i) = 1.0_wp
        law_b(i) = min(max(vapour_pressure(i) / leaf_saturation(i), 0.0_wp), 1.0_wp)
        law_c(i) = 0.0_wp
        ratio = 1.0_wp - stomata_ratio / max(g1(i) * law_b(i), 0.1_wp)
        x(i) = min(max(ratio, 0.0_wp), 1.0_wp)
      end do
    case (stomata_leuning)
      do i = 1, n
        deficit = max(leaf_saturation(i) - vapour_pressure(i), smallest_deficit) * 1.0e-3_wp
        law_a(i) = 1.0_wp + deficit / deficit_scale
        law_b(i) = 1.0_wp
        law_c(i) = law_compensation(i)
        ratio = 1.0_wp - stomata_ratio * law_a(i) / max(g1(i), 0.1_wp)
        x(i) = min(max(ratio, 0.0_wp), 1.0_wp)
      end do
    case default
      do i = 1, n
        deficit = max(leaf_saturation(i) - vapour_pressure(i), smallest_deficit) * 1.0e-3_wp
        law_b(i) = g1(i) / sqrt(deficit)
        law_a(i) = law_b(i) * law_b(i)
        law_c(i) = 0.0_wp
        x(i) = law_b(i) / (law_b(i) + 1.0_wp)
      end do
      if (stomata == stomata_pmodel) law_c = law_compensation
    end select

    ! Two lower bounds of the root start the Newton iteration: gs = its floor, with the initial slope of An, which is
    ! its largest; and ci/cs of the law without g0, with one Newton step for the boundary layer. F is concave where
    ! it bends, so that steps from below do not overshoot.
    do i = 1, n
      inverse_boundary(i) = 1.0_wp / boundary_conductance(i)
      boundary_factor(i) = boundary_ratio * 1.0e-6_wp * pressure(i) * inverse_boundary(i)
      pore_factor(i) = stomata_ratio * 1.0e-6_wp * pressure(i)
      low(i) = max(compensation(i), 1.0e-9_wp)
    end do
    call assimilation(n, pathway, low, first, second, first_offset, second_offset, compensation, theta, gross, &
      gross_slope)
    do i = 1, n
      resistance = boundary_factor(i) + pore_factor(i) / max(g0(i), g_min(i), smallest_conductance)
      ca = co2_partial_pressure(i)
      ! a little more than the bound, so that rounding cannot leave the root outside
      high(i) = ca * (1.0_wp + 1.0e-9_wp) + min(highest_ci, respiration(i) * resistance * (1.0_wp + 1.0e-9_wp))
      residual(i) = (ca + resistance * (respiration(i) + gross_slope(i) * low(i))) / &
        (1.0_wp + resistance * gross_slope(i))
      residual_slope(i) = x(i)
      x(i) = max(law_c(i) + x(i) * (ca - law_c(i)), low(i))
    end do
    call assimilation(n, pathway, x, first, second, first_offset, second_offset, compensation, theta, gross, &
      gross_slope)
    do i = 1, n
      ratio = residual_slope(i)
      surface = co2_partial_pressure(i) - boundary_factor(i) * (gross(i) - respiration(i))
      xi = x(i) - (x(i) - law_c(i) - ratio * (surface - law_c(i))) / &
        (1.0_wp + ratio * boundary_factor(i) * gross_slope(i))
      x(i) = max(xi, residual(i))
    end do

    ! F(ca) has the sign of An(ca): with uptake the root is below ca, else it is above.
    call assimilation(n, pathway, co2_partial_pressure, first, second, first_offset, second_offset, compensation, &
      theta, gross, gross_slope)
    do i = 1, n
      ca = co2_partial_pressure(i)
      f = gross(i) - respiration(i)
      ! 1 with uptake; arithmetic, because the baseline instruction set does not vectorise three selections of loads
      a = merge(1.0_wp, 0.0_wp, f > 0.0_wp)
      b = 1.0_wp - a
      low(i) = a * min(low(i), ca) + b * ca
      high(i) = a * ca + b * high(i)
      x(i) = a * min(x(i), ca) + b * max(residual(i), ca)
    end do

    if (ci_solver == ci_solver_chandrupatla) then
      call chandrupatla()
    else
      steps = merge(newton_steps_c4, newton_steps, pathway == pathway_c4)
      if (stomata == stomata_ball_berry .or. stomata == stomata_leuning) steps = newton_steps_linear
      do step = 0, steps
        call evaluate(x)
        do i = 1, n
          xi = x(i)
          f = residual(i)
          ci(i) = xi
          a = low(i)
          b = high(i)
          a = merge(a, xi, f > 0.0_wp)
          b = merge(xi, b, f > 0.0_wp)
          low(i) = a
          high(i) = b
          next = xi - f / max(residual_slope(i), 1.0_wp)
          middle = 0.5_wp * (a + b)
          ! the far end of the bracket does not count as inside, else two points can call each other for ever
          inside = (next >= a .and. next < b .and. f <= 0.0_wp) .or. (next > a .and. next <= b .and. f > 0.0_wp)
          x(i) = merge(next, middle, inside)
        end do
      end do
    end if

  contains

    subroutine evaluate(at)
      !! An, gs, F and dF/dci at the given ci.
      real(wp), intent(in) :: at(n)

      call assimilation(n, pathway, at, first, second, first_offset, second_offset, compensation, theta, gross, &
        gross_slope)
      if (stomata == stomata_medlyn .or. stomata == stomata_pmodel) then
        call root_law(n, at, co2_partial_pressure, gross, gross_slope, respiration, inverse_boundary, &
          boundary_factor, pore_factor, law_a, law_b, law_c, g0, g_min, net_assimilation, conductance, residual, &
          residual_slope)
      else
        call linear_law(n, at, co2_partial_pressure, gross, gross_slope, respiration, inverse_boundary, &
          boundary_factor, pore_factor, g1, law_a, law_b, law_c, g0, g_min, net_assimilation, conductance, residual, &
          residual_slope)
      end if
    end subroutine evaluate

    subroutine chandrupatla()
      !! a is the newest point, b its partner across the root, c the point before. No derivative, no failure mode.
      real(wp), dimension(n) :: point_a, point_b, point_c, f_a, f_b, f_c
      integer :: turn, k
      real(wp) :: t, fx, pa, pb, pc, fa, fb, fc, alpha, beta, inverse_quadratic, along, across
      logical :: same

      call evaluate(low)
      do k = 1, n
        point_b(k) = low(k)
        f_b(k) = residual(k)
        x(k) = 0.5_wp * (low(k) + high(k))
      end do
      call evaluate(high)
      do k = 1, n
        point_a(k) = high(k)
        f_a(k) = residual(k)
        point_c(k) = high(k)
        f_c(k) = residual(k)
      end do
      do turn = 1, chandrupatla_steps
        call evaluate(x)
        do k = 1, n
          fx = residual(k)
          fa = f_a(k)
          fb = f_b(k)
          pa = point_a(k)
          pb = point_b(k)
          same = (fx > 0.0_wp) .eqv. (fa > 0.0_wp)
          pc = merge(pa, pb, same)
          fc = merge(fa, fb, same)
          pb = merge(pb, pa, same)
          fb = merge(fb, fa, same)
          pa = x(k)
          fa = fx
          along = (pa - pb) / away_from_zero(pc - pb)
          across = (fa - fb) / away_from_zero(fc - fb)
          alpha = (pc - pa) / away_from_zero(pb - pa)
          beta = fa / away_from_zero(fb - fa) * (fc / away_from_zero(fb - fc))
          inverse_quadratic = beta + alpha * (fa / away_from_zero(fc - fa)) * (fb / away_from_zero(fc - fb))
          t = merge(inverse_quadratic, 0.5_wp, across * across < along .and. &
            (1.0_wp - across) * (1.0_wp - across) < 1.0_wp - along)
          t = min(max(t, 1.0e-6_wp), 1.0_wp - 1.0e-6_wp)
          point_a(k) = pa
          point_b(k) = pb
          f_a(k) = fa
          f_b(k) = fb
          x(k) = pa + t * (pb - pa)
        end do
      end do
      do k = 1, n
        pa = point_a(k)
        pb = point_b(k)
        ci(k) = merge(pa, pb, abs(f_a(k)) <= abs(f_b(k)))
      end do
      call evaluate(ci)
    end subroutine chandrupatla
  end subroutine solve

  subroutine assimilation(n, pathway, ci, first, second, first_offset, second_offset, compensation, theta, gross, &
    gross_slope)
    !! Gross assimilation and its derivative. C3: smooth minimum of V u/(ci + Km) and j u/(ci + 2 G*) with
    !! u = max(ci - G*, 0); over the common denominator it is 2 V j u/(S + R), S = V (ci + 2 G*) + j (ci + Km),
    !! with R written as a sum of squares, so one division and no cancellation. C4: the minimum of a constant
    !! and of a line through zero.
    integer, intent(in) :: n, pathway
    real(wp), intent(in), dimension(n) :: ci  !! Pa
    real(wp), intent(in), dimension(n) :: first, second  !! C3: V, j, umol m-2 s-1; C4: limit and slope per Pa
    real(wp), intent(in), dimension(n) :: first_offset, second_offset  !! C3: Km, 2 G*, Pa; C4 unused
    real(wp), intent(in), dimension(n) :: compensation, theta
    real(wp), intent(out), dimension(n) :: gross, gross_slope
    integer :: i
    real(wp) :: x, v, j, u, du, a, b, da, db, s, r, product, spread, inverse, both

    if (pathway == pathway_c3) then
      do i = 1, n
        x = ci(i)
        v = first(i)
        j = second(i)
        u = x - compensation(i)
        du = merge(1.0_wp, 0.0_wp, u >= 0.0_wp)
        u = max(u, 0.0_wp)
        a = v * (x + second_offset(i))
        b = j * (x + first_offset(i))
        s = a + b
        spread = 4.0_wp * (1.0_wp - theta(i))
        r = sqrt((a - b) * (a - b) + spread * a * b + tiny_square)
        both = s + r
        inverse = 1.0_wp / (r * both)
        product = 2.0_wp * v * j
        gross(i) = product * u * r * inverse
        ! R R' = (a - b) (a' - b') + spread/2 (a' b + a b')
        gross_slope(i) = product * inverse * r * inverse * &
          (du * r * both - u * ((v + j) * r + (a - b) * (v - j) + 0.5_wp * spread * (v * b + a * j)))
      end do
    else
      do i = 1, n
        x = max(ci(i), 0.0_wp)
        a = first(i)
        db = second(i)
        b = db * x
        s = a + b
        spread = 4.0_wp * (1.0_wp - theta(i))
        r = sqrt((a - b) * (a - b) + spread * a * b + tiny_square)
        both = s + r
        inverse = 1.0_wp / (r * both)
        product = 2.0_wp * a * db
        gross(i) = product * x * r * inverse
        da = (b - a) * db + 0.5_wp * spread * a * db
        gross_slope(i) = product * inverse * r * inverse * (r * both - x * (db * r + da))
      end do
    end if
  end subroutine assimilation

  subroutine sox_solve(n, pathway, first, second, first_offset, second_offset, compensation, theta, respiration, &
    leaf_saturation, vapour_pressure, co2_partial_pressure, pressure, boundary_conductance, g0, capacity, g_min, &
    net_assimilation, conductance, ci)
    !! Stomata that maximise assimilation times xylem conductance. Along the supply of CO2, An = gc (cs - ci)/P, the
    !! condition (1/An) dAn/dgc = 1/xi is gc^2 + A' gc - A' xi = 0 with A' = P dAn/dci at the leaf's own ci: the closed
    !! form of Eller et al. without their chord from cs to the point of co-limitation. gs falls with ci, so F rises
    !! strictly and has one root. xi = capacity P/D; the deficit is that of leaf and air outside the boundary layer.
    integer, intent(in) :: n, pathway
    real(wp), intent(in), dimension(n) :: first, second, first_offset, second_offset  !! see `assimilation`
    real(wp), intent(in), dimension(n) :: compensation, theta, respiration, leaf_saturation, vapour_pressure
    real(wp), intent(in), dimension(n) :: co2_partial_pressure, pressure, boundary_conductance, g0
    real(wp), intent(in), dimension(n) :: capacity  !! of `sox_capacity`, mol m-2 s-1
    real(wp), intent(in), dimension(n) :: g_min
    real(wp), intent(out), dimension(n) :: net_assimilation, conductance, ci
    real(wp), dimension(n) :: gross, slope, curvature, low, high, x, boundary_factor, pore_factor, floor_conductance, xi
    integer :: step, i
    real(wp) :: ca, an, f, df, a, gc, dgc, law, g, inverse_g, dlaw, resistance, surface, next, middle, open, lower, upper
    logical :: inside

    do i = 1, n
      boundary_factor(i) = boundary_ratio * 1.0e-6_wp * pressure(i) / boundary_conductance(i)
      pore_factor(i) = stomata_ratio * 1.0e-6_wp * pressure(i)
      floor_conductance(i) = max(g0(i), g_min(i), smallest_conductance)
      xi(i) = max(capacity(i), 1.0e-9_wp) * pressure(i) / max(leaf_saturation(i) - vapour_pressure(i), smallest_deficit)
    end do
    call assimilation_curvature(n, pathway, co2_partial_pressure, first, second, first_offset, second_offset, &
      compensation, theta, gross, slope, curvature)
    do i = 1, n
      ca = co2_partial_pressure(i)
      an = gross(i) - respiration(i)
      resistance = boundary_factor(i) + pore_factor(i) / floor_conductance(i)
      open = merge(1.0_wp, 0.0_wp, an > 0.0_wp)
      lower = max(compensation(i), 1.0e-9_wp)
      low(i) = open * min(lower, ca) + (1.0_wp - open) * ca
      upper = ca * (1.0_wp + 1.0e-9_wp) + min(highest_ci, respiration(i) * resistance * (1.0_wp + 1.0e-9_wp))
      high(i) = open * ca + (1.0_wp - open) * upper
      ! a first conductance with the slope at ca, as if An rose along it
      a = max(slope(i), 0.0_wp) * pressure(i) * 1.0e-6_wp
      gc = 2.0_wp * xi(i) * a / (a + sqrt(a * a + 4.0_wp * xi(i) * a) + 1.0e-30_wp)
      g = max(stomata_ratio * gc + g0(i), floor_conductance(i))
      resistance = boundary_factor(i) + pore_factor(i) / g
      next = ca - resistance * an / (1.0_wp + resistance * max(slope(i), 0.0_wp))
      x(i) = min(max(next, low(i)), high(i))
    end do
    do step = 0, newton_steps_sox
      call assimilation_curvature(n, pathway, x, first, second, first_offset, second_offset, compensation, theta, &
        gross, slope, curvature)
      do i = 1, n
        ca = co2_partial_pressure(i)
        an = gross(i) - respiration(i)
        a = max(slope(i), 0.0_wp) * pressure(i) * 1.0e-6_wp
        gc = 2.0_wp * xi(i) * a / (a + sqrt(a * a + 4.0_wp * xi(i) * a) + 1.0e-30_wp)
        dgc = (xi(i) - gc) / (2.0_wp * gc + a + 1.0e-30_wp) * min(curvature(i), 0.0_wp) * pressure(i) * 1.0e-6_wp
        open = merge(1.0_wp, 0.0_wp, an > 0.0_wp)
        law = g0(i) + open * stomata_ratio * gc
        g = max(law, floor_conductance(i))
        inverse_g = 1.0_wp / g
        dlaw = merge(open * stomata_ratio * dgc, 0.0_wp, law >= g)
        surface = ca - boundary_factor(i) * an
        f = x(i) - surface + pore_factor(i) * inverse_g * an
        df = 1.0_wp + slope(i) * (boundary_factor(i) + pore_factor(i) * inverse_g) &
          - pore_factor(i) * inverse_g * inverse_g * an * dlaw
        net_assimilation(i) = an
        conductance(i) = g
        ci(i) = x(i)
        next = x(i)
        lower = low(i)
        upper = high(i)
        lower = merge(lower, next, f > 0.0_wp)
        upper = merge(next, upper, f > 0.0_wp)
        low(i) = lower
        high(i) = upper
        next = next - f / max(df, 1.0_wp)
        middle = 0.5_wp * (lower + upper)
        inside = (next >= lower .and. next < upper .and. f <= 0.0_wp) .or. (next > lower .and. next <= upper .and. f > 0.0_wp)
        x(i) = merge(next, middle, inside)
      end do
    end do
  end subroutine sox_solve

  subroutine assimilation_curvature(n, pathway, ci, first, second, first_offset, second_offset, compensation, theta, &
    gross, gross_slope, curvature)
    !! `assimilation` with the second derivative. With A = p u/b, b = S + R: A' = p (b - u b')/b^2 and
    !! A'' = -p [2 b' (b - u b')/b + u b'']/b^2, where R R' = w and R'' = (w' - R'^2)/R.
    integer, intent(in) :: n, pathway
    real(wp), intent(in), dimension(n) :: ci  !! Pa
    real(wp), intent(in), dimension(n) :: first, second, first_offset, second_offset, compensation, theta
    real(wp), intent(out), dimension(n) :: gross, gross_slope, curvature
    integer :: i
    real(wp) :: x, v, j, u, du, a, b, s, r, product, spread, inverse, inverse_r, both, dboth, dr, rest

    if (pathway == pathway_c3) then
      do i = 1, n
        x = ci(i)
        v = first(i)
        j = second(i)
        u = x - compensation(i)
        du = merge(1.0_wp, 0.0_wp, u >= 0.0_wp)
        u = max(u, 0.0_wp)
        a = v * (x + second_offset(i))
        b = j * (x + first_offset(i))
        s = a + b
        spread = 4.0_wp * (1.0_wp - theta(i))
        r = sqrt((a - b) * (a - b) + spread * a * b + tiny_square)
        both = s + r
        product = 1.0_wp / (both * r)
        inverse = r * product
        inverse_r = both * product
        product = 2.0_wp * v * j
        dr = ((a - b) * (v - j) + 0.5_wp * spread * (v * b + a * j)) * inverse_r
        dboth = v + j + dr
        rest = (du - u * dboth * inverse) * inverse
        gross(i) = product * u * inverse
        gross_slope(i) = product * rest
        curvature(i) = -product * (2.0_wp * dboth * inverse * rest + u * inverse * inverse * inverse_r &
          * ((v - j) * (v - j) + spread * v * j - dr * dr))
      end do
    else
      do i = 1, n
        x = max(ci(i), 0.0_wp)
        a = first(i)
        j = second(i)
        b = j * x
        s = a + b
        spread = 4.0_wp * (1.0_wp - theta(i))
        r = sqrt((a - b) * (a - b) + spread * a * b + tiny_square)
        both = s + r
        product = 1.0_wp / (both * r)
        inverse = r * product
        inverse_r = both * product
        product = 2.0_wp * a * j
        dr = ((b - a) * j + 0.5_wp * spread * a * j) * inverse_r
        dboth = j + dr
        rest = (1.0_wp - x * dboth * inverse) * inverse
        gross(i) = product * x * inverse
        gross_slope(i) = product * rest
        curvature(i) = -product * (2.0_wp * dboth * inverse * rest + x * inverse * inverse * inverse_r * (j * j - dr * dr))
      end do
    end if
  end subroutine assimilation_curvature

  subroutine root_law(n, ci, ca, gross, gross_slope, respiration, inverse_boundary, boundary_factor, pore_factor, &
    slope_square, slope, law_compensation, g0, g_min, net_assimilation, conductance, residual, residual_slope)
    !! Medlyn's law (and the P-model's) with the vapour pressure at the leaf surface eliminated. With
    !! d = 1.6 An P/(cs - G), D = ei - ea, k = g1^2/D and q = d/gb the larger root of the quadratic is
    !!   gs = g0 + d (1 + k q/2 + sqrt(k) r),  r^2 = 1 + g0/gb + q + k q^2/4
    !! in which nothing cancels and which needs no case for An <= 0.
    integer, intent(in) :: n
    real(wp), intent(in), dimension(n) :: ci, ca, gross, gross_slope, respiration
    real(wp), intent(in), dimension(n) :: inverse_boundary  !! 1/gb, m2 s mol-1
    real(wp), intent(in), dimension(n) :: boundary_factor, pore_factor  !! 1.4e-6 P/gb and 1.6e-6 P
    real(wp), intent(in), dimension(n) :: slope_square, slope  !! g1^2/D and g1/sqrt(D)
    real(wp), intent(in), dimension(n) :: law_compensation, g0, g_min
    real(wp), intent(out), dimension(n) :: net_assimilation, conductance, residual, residual_slope
    integer :: i
    real(wp) :: an, uptake, surface, room, inverse, d, dd, q, k, sk, r, law, g, gr, inverse_r, inverse_g, dlaw, free

    do i = 1, n
      k = slope_square(i)
      sk = slope(i)
      an = gross(i) - respiration(i)
      uptake = max(an, 0.0_wp)
      surface = ca(i) - boundary_factor(i) * an
      ! at the root cs > ci > G; elsewhere the floor only keeps the law finite and F positive
      free = surface - law_compensation(i)
      room = max(free, 1.0e-3_wp * ca(i) + 1.0e-6_wp)
      inverse = 1.0_wp / room
      dd = pore_factor(i) * inverse
      d = dd * uptake
      free = merge(uptake, 0.0_wp, free >= room)
      dd = dd * (1.0_wp + boundary_factor(i) * free * inverse)
      q = d * inverse_boundary(i)
      r = sqrt(1.0_wp + g0(i) * inverse_boundary(i) + q + 0.25_wp * k * q * q)
      law = g0(i) + d * (1.0_wp + 0.5_wp * k * q + sk * r)
      g = max(law, g_min(i))
      gr = max(g, smallest_conductance)
      inverse = 1.0_wp / (r * gr)
      inverse_r = gr * inverse
      inverse_g = r * inverse
      dlaw = dd * (1.0_wp + k * q + sk * (r + 0.5_wp * q * (1.0_wp + 0.5_wp * k * q) * inverse_r))
      dlaw = merge(dlaw, 0.0_wp, law >= g .and. an > 0.0_wp)
      net_assimilation(i) = an
      conductance(i) = g
      inverse = pore_factor(i) * inverse_g
      residual(i) = ci(i) - surface + inverse * an
      residual_slope(i) = 1.0_wp + gross_slope(i) * (boundary_factor(i) + inverse * (1.0_wp - an * inverse_g * dlaw))
    end do
  end subroutine root_law

  subroutine linear_law(n, ci, ca, gross, gross_slope, respiration, inverse_boundary, boundary_factor, pore_factor, &
    slope, dryness, humidity, law_compensation, g0, g_min, net_assimilation, conductance, residual, residual_slope)
    !! Ball-Berry (dryness W = 1, humidity h of the air) and Leuning (W = 1 + D/D0, h = 1) with the boundary layer
    !! eliminated: with B = g1 An P/(cs - G), gs^2 + [W gb - g0 - B] gs - gb (g0 W + B h) = 0, larger root.
    !! In dry air (g1 h < 1.6) open stomata moisten their own surface, F folds and three roots can exist; the Newton
    !! iteration comes from below and gives the one with the closed stomata.
    integer, intent(in) :: n
    real(wp), intent(in), dimension(n) :: ci, ca, gross, gross_slope, respiration
    real(wp), intent(in), dimension(n) :: inverse_boundary  !! 1/gb, m2 s mol-1
    real(wp), intent(in), dimension(n) :: boundary_factor, pore_factor  !! 1.4e-6 P/gb and 1.6e-6 P
    real(wp), intent(in), dimension(n) :: slope, dryness, humidity
    real(wp), intent(in), dimension(n) :: law_compensation, g0, g_min
    real(wp), intent(out), dimension(n) :: net_assimilation, conductance, residual, residual_slope
    integer :: i
    real(wp) :: an, uptake, surface, room, inverse, supply, dsupply, igb, b, c, root, total, law, g, inverse_g, dlaw
    real(wp) :: free, stable, other

    do i = 1, n
      igb = inverse_boundary(i)
      an = gross(i) - respiration(i)
      uptake = max(an, 0.0_wp)
      surface = ca(i) - boundary_factor(i) * an
      free = surface - law_compensation(i)
      room = max(free, 1.0e-3_wp * ca(i) + 1.0e-6_wp)
      inverse = 1.0_wp / room
      dsupply = slope(i) * pore_factor(i) * (1.0_wp / stomata_ratio) * inverse
      supply = dsupply * uptake
      free = merge(uptake, 0.0_wp, free >= room)
      dsupply = dsupply * (1.0_wp + boundary_factor(i) * free * inverse)
      b = dryness(i) - (g0(i) + supply) * igb
      c = g0(i) * dryness(i) + supply * humidity(i)
      root = sqrt(b * b + 4.0_wp * c * igb + tiny_square)
      total = abs(b) + root
      ! the form without cancellation depends on the sign of b
      stable = 2.0_wp * c / total
      other = 0.5_wp * total / igb
      law = merge(stable, other, b >= 0.0_wp)
      g = max(law, g_min(i))
      inverse_g = 1.0_wp / max(g, smallest_conductance)
      dlaw = dsupply * (law * igb + humidity(i)) / root
      dlaw = merge(dlaw, 0.0_wp, law >= g .and. an > 0.0_wp)
      net_assimilation(i) = an
      conductance(i) = g
      inverse = pore_factor(i) * inverse_g
      residual(i) = ci(i) - surface + inverse * an
      residual_slope(i) = 1.0_wp + gross_slope(i) * (boundary_factor(i) + inverse * (1.0_wp - an * inverse_g * dlaw))
    end do
  end subroutine linear_law

  elemental function away_from_zero(value) result(safe)
    !! The value, or a tiny number where it vanishes; the quotients formed with it are then not selected.
    real(wp), intent(in) :: value
    real(wp) :: safe

    safe = merge(value, 1.0e-30_wp, abs(value) > 1.0e-30_wp)
  end function away_from_zero
end module concerto_gas_exchange
