module concerto_mimics
  !! Microbial-mineral soil carbon of MIMICS (Wieder et al. 2014, Biogeosciences 11:3899; 2015, Geosci. Model Dev.
  !! 8:1789; parameters of the public site code). Pools, kg m-2: 1 metabolic litter, 2 structural litter, 3 microbes r,
  !! 4 microbes k, 5 physically protected, 6 chemically protected, 7 available soil organic matter. Uptake follows
  !! reverse Michaelis-Menten kinetics, M V S/(K + M); what microbes do not assimilate is respired; dead microbes go
  !! to the three soil pools. Parameters are one vector for all tiles (mimics_parameters), order below.
  !!
  !! The step is the modified Patankar scheme of second order (Burchard et al. 2003, Appl. Numer. Math. 47:1): every
  !! flux is a rate times its donor, so each of the two stages is a linear system of M-matrix form, here solved in
  !! closed form. Pools stay positive and carbon is conserved for every step; steady states are those of the rates.
  !! Microbes do not die below a dormant biomass (floor): mortality works on what exceeds it, so nothing is created.
  use concerto_kinds, only: wp
  use concerto_constants, only: freezing_point
  use concerto_periodic_newton, only: newton_replicas, newton_advance, newton_tangent, solve_linear, spectral_radius
  implicit none
  private
  public :: mimics_parameters, mimics_metabolic_fraction, mimics_moisture, mimics_litter_input, mimics_rates, &
    mimics_day, mimics_cycle, mimics_steady_state, mimics_periodic

  integer, parameter :: n_pool = 7
  integer, parameter :: n_parameter = 54  !! length of the parameter vector
  integer, parameter :: n_rate = 11  !! m>r, s>r, a>r, m>k, s>k, a>k, c>r, c>k (oxidation), desorption, deaths of r, k
  integer, parameter :: n_coefficient = 25
  real(wp), parameter :: hour = 3600.0_wp  !! s; rates of the parameter set are per hour
  ! places in the parameter vector
  integer, parameter :: v_slope = 1, v_intercept = 2, v_factor = 3, v_mod = 4, k_slope = 10, k_intercept = 13, &
    k_factor = 14, k_mod = 15, texture = 21, oxidation = 23, efficiency = 25, death_r = 29, death_k = 31, &
    death_production = 33, death_least = 34, death_most = 35, death_factor = 36, physical_r = 37, physical_k = 39, &
    chemical_r = 41, chemical_k = 43, desorption = 45, bypass = 47, desorption_q10 = 49, desorption_reference = 50, &
    depth = 51, density_exponent = 52, reverse = 53, floor = 54
  ! places in the coefficients of a tile: V and K of the six uptakes, then the soil's own
  integer, parameter :: c_v = 1, c_k = 7, c_death_r = 13, c_death_k = 14, c_physical_r = 15, c_physical_k = 16, &
    c_chemical_r = 17, c_chemical_k = 18, c_available_r = 19, c_available_k = 20, c_desorption = 21, &
    c_k_mod = 22, c_desorption_base = 24, c_density = 25

contains

  subroutine mimics_parameters(setting)
    !! Default parameters (site code, parameter set of November 2023). Order: 1 slope of log V (degC-1), 2 its value at
    !! 0 degC, 3 factor of V (mg mg-1 h-1), 4-9 V modifiers of the six uptakes (metabolic, structural, available by r,
    !! then by k), 10-12 slopes of log K for the three substrates, 13 value at 0 degC, 14 factor of K (mg cm-3), 15-20 K
    !! modifiers (dividing), 21, 22 texture P = a exp(b sqrt(clay)), 23, 24 K multipliers of oxidation, 25-28 growth
    !! efficiency (r: metabolic and available, structural; k: the same), 29, 30 mortality of r a exp(b f_met) (h-1),
    !! 31, 32 of k, 33 production of reference (g m-2 yr-1), 34, 35 bounds of sqrt(production/reference), 36 factor of
    !! mortality, 37, 38 physically protected share of dead r a exp(b clay), 39, 40 of k, 41, 42 chemically protected
    !! share of dead r a exp(b f_met), 43, 44 of k, 45, 46 desorption a exp(b clay) (h-1), 47, 48 shares of metabolic
    !! and structural litter that go to protected pools at once, 49, 50 Q10 and reference (degC) of desorption, 51 depth
    !! (m), 52 exponent of density-dependent mortality, 53 kinetics (1 reverse, 0 forward), 54 dormant biomass (mg
    !! cm-3).
    real(wp), intent(out) :: setting(54)  !! parameters
    setting(:) = [0.063_wp, 5.47_wp, 8.0e-6_wp, 10.0_wp, 2.0_wp, 10.0_wp, 3.0_wp, 3.0_wp, 2.0_wp, &
      0.025_wp, 0.035_wp, 0.025_wp, 3.19_wp, 10.0_wp, 8.0_wp, 2.0_wp, 4.0_wp, 2.0_wp, 4.0_wp, 6.0_wp, &
      2.0_wp, -2.0_wp, 6.0_wp, 6.0_wp, 0.55_wp, 0.25_wp, 0.75_wp, 0.35_wp, 5.2e-4_wp, 0.3_wp, 2.4e-4_wp, 0.1_wp, &
      100.0_wp, 0.8_wp, 1.2_wp, 2.0_wp, 0.3_wp, 1.3_wp, 0.2_wp, 0.8_wp, 0.1_wp, -3.0_wp, 0.3_wp, -3.0_wp, &
      1.5e-5_wp, -1.5_wp, 0.05_wp, 0.05_wp, 1.0_wp, 25.0_wp, 0.3_wp, 1.0_wp, 1.0_wp, 1.0e-12_wp]
  end subroutine mimics_parameters

  subroutine mimics_metabolic_fraction(n, lignin_nitrogen, factor, fraction)
    !! Metabolic share of litter, factor (0.85 - 0.013 min(40, lignin:N)).
    integer, intent(in) :: n  !! tiles
    real(wp), intent(in) :: lignin_nitrogen(n)  !! ratio of the mass fractions of dry matter
    real(wp), intent(in) :: factor  !! 1 (site code), 0.75 (CTSM)
    real(wp), intent(out) :: fraction(n)  !! 0 to 1
    integer :: i
    do i = 1, n
      fraction(i) = factor * (0.85_wp - 0.013_wp * min(40.0_wp, max(0.0_wp, lignin_nitrogen(i))))
    end do
  end subroutine mimics_metabolic_fraction

  subroutine mimics_moisture(n, option, liquid, ice, factor)
    !! Moisture factor of uptake: 1 none; 2 the CORPSE form, at least 0.05.
    integer, intent(in) :: n  !! tiles
    integer, intent(in) :: option  !! 1 none, 2 corpse
    real(wp), intent(in) :: liquid(n)  !! liquid water over pore space, 0 to 1
    real(wp), intent(in) :: ice(n)  !! ice over pore space, 0 to 1
    real(wp), intent(out) :: factor(n)  !! 0.05 to 1
    integer :: i
    real(wp) :: air, water
    if (option == 2) then
      do i = 1, n
        water = min(1.0_wp, max(0.0_wp, liquid(i)))
        air = max(0.0_wp, 1.0_wp - water - max(0.0_wp, ice(i)))
        factor(i) = max(0.05_wp, water * water * water * air * air * sqrt(air) / 0.022600567942709_wp)
      end do
    else
      factor(:) = 1.0_wp
    end if
  end subroutine mimics_moisture

  subroutine mimics_litter_input(n, metabolic_fraction, litter_leaf, litter_fine_root, litter_wood, litter_seed, &
      input_metabolic, input_structural)
    !! Dead plant tissue to the two litter pools: leaf, root and seed by the metabolic share, wood is structural.
    integer, intent(in) :: n  !! tiles
    real(wp), intent(in) :: metabolic_fraction(n)  !! metabolic share of leaf, root and seed litter
    real(wp), intent(in) :: litter_leaf(n)  !! kg m-2
    real(wp), intent(in) :: litter_fine_root(n)  !! kg m-2
    real(wp), intent(in) :: litter_wood(n)  !! kg m-2
    real(wp), intent(in) :: litter_seed(n)  !! kg m-2
    real(wp), intent(out) :: input_metabolic(n)  !! kg m-2
    real(wp), intent(out) :: input_structural(n)  !! kg m-2
    integer :: i
    real(wp) :: soft
    do i = 1, n
      soft = litter_leaf(i) + litter_fine_root(i) + litter_seed(i)
      input_metabolic(i) = metabolic_fraction(i) * soft
      input_structural(i) = (soft - metabolic_fraction(i) * soft) + litter_wood(i)
    end do
  end subroutine mimics_litter_input

  subroutine mimics_rates(n, temperature, moisture_factor, clay, metabolic_fraction, annual_production, &
      input_metabolic, input_structural, setting, carbon, tendency, respiration)
    !! Rates of change of the pools and heterotrophic respiration of the moment.
    integer, intent(in) :: n  !! tiles
    real(wp), intent(in) :: temperature(n)  !! soil, mean of 0 to 0.3 m, K
    real(wp), intent(in) :: moisture_factor(n)  !! factor of uptake, 0 to 1
    real(wp), intent(in) :: clay(n)  !! clay, per cent
    real(wp), intent(in) :: metabolic_fraction(n)  !! metabolic share of litter
    real(wp), intent(in) :: annual_production(n)  !! net primary production, kg m-2 yr-1 (mortality depends on it)
    real(wp), intent(in) :: input_metabolic(n)  !! kg m-2 s-1
    real(wp), intent(in) :: input_structural(n)  !! kg m-2 s-1
    real(wp), intent(in) :: setting(54)  !! see mimics_parameters
    real(wp), intent(in) :: carbon(n, 7)  !! kg m-2
    real(wp), intent(out) :: tendency(n, 7)  !! kg m-2 s-1
    real(wp), intent(out) :: respiration(n)  !! kg m-2 s-1
    real(wp) :: coefficient(n, n_coefficient), rate(n, n_rate)
    integer :: i
    real(wp) :: mr, sr, ar, mk, sk, ak, oxidised, desorbed, dead_r, dead_k, grown_r, grown_k
    call soil_coefficients(n, clay, metabolic_fraction, annual_production, setting, coefficient)
    call day_coefficients(n, temperature, moisture_factor, setting, coefficient)
    call specific_rates(n, setting, coefficient, carbon, rate)
    do i = 1, n
      mr = rate(i, 1) * carbon(i, 1)
      sr = rate(i, 2) * carbon(i, 2)
      ar = rate(i, 3) * carbon(i, 7)
      mk = rate(i, 4) * carbon(i, 1)
      sk = rate(i, 5) * carbon(i, 2)
      ak = rate(i, 6) * carbon(i, 7)
      oxidised = (rate(i, 7) + rate(i, 8)) * carbon(i, 6)
      desorbed = rate(i, 9) * carbon(i, 5)
      dead_r = rate(i, 10) * carbon(i, 3)
      dead_k = rate(i, 11) * carbon(i, 4)
      grown_r = setting(efficiency) * (mr + ar) + setting(efficiency + 1) * sr
      grown_k = setting(efficiency + 2) * (mk + ak) + setting(efficiency + 3) * sk
      tendency(i, 1) = input_metabolic(i) * (1.0_wp - setting(bypass)) - mr - mk
      tendency(i, 2) = input_structural(i) * (1.0_wp - setting(bypass + 1)) - sr - sk
      tendency(i, 3) = grown_r - dead_r
      tendency(i, 4) = grown_k - dead_k
      tendency(i, 5) = input_metabolic(i) * setting(bypass) + coefficient(i, c_physical_r) * dead_r &
        + coefficient(i, c_physical_k) * dead_k - desorbed
      tendency(i, 6) = input_structural(i) * setting(bypass + 1) + coefficient(i, c_chemical_r) * dead_r &
        + coefficient(i, c_chemical_k) * dead_k - oxidised
      tendency(i, 7) = coefficient(i, c_available_r) * dead_r + coefficient(i, c_available_k) * dead_k + desorbed &
        + oxidised - ar - ak
      respiration(i) = (mr + ar + sr - grown_r) + (mk + ak + sk - grown_k)
    end do
  end subroutine mimics_rates

  subroutine mimics_day(n, n_substep, time_step, temperature, moisture_factor, clay, metabolic_fraction, &
      annual_production, input_metabolic, input_structural, setting, carbon, respiration, total)
    !! One step (a day) of the pools.
    integer, intent(in) :: n  !! tiles
    integer, intent(in) :: n_substep  !! substeps, such as 4 for a day
    real(wp), intent(in) :: time_step  !! s
    real(wp), intent(in) :: temperature(n)  !! soil, mean of 0 to 0.3 m, K
    real(wp), intent(in) :: moisture_factor(n)  !! factor of uptake, 0 to 1
    real(wp), intent(in) :: clay(n)  !! clay, per cent
    real(wp), intent(in) :: metabolic_fraction(n)  !! metabolic share of litter
    real(wp), intent(in) :: annual_production(n)  !! net primary production, kg m-2 yr-1
    real(wp), intent(in) :: input_metabolic(n)  !! litter of the step, kg m-2
    real(wp), intent(in) :: input_structural(n)  !! litter of the step, kg m-2
    real(wp), intent(in) :: setting(54)  !! see mimics_parameters
    real(wp), intent(inout) :: carbon(n, 7)  !! kg m-2
    real(wp), intent(out) :: respiration(n)  !! heterotrophic respiration of the step, kg m-2
    real(wp), intent(out) :: total(n)  !! sum of the pools, kg m-2
    real(wp) :: coefficient(n, n_coefficient)
    integer :: i, pool
    call soil_coefficients(n, clay, metabolic_fraction, annual_production, setting, coefficient)
    call day_coefficients(n, temperature, moisture_factor, setting, coefficient)
    respiration(:) = 0.0_wp
    call advance(n, n_substep, time_step, input_metabolic, input_structural, setting, coefficient, carbon, &
      respiration)
    total(:) = 0.0_wp
    do pool = 1, n_pool
      do i = 1, n
        total(i) = total(i) + carbon(i, pool)
      end do
    end do
  end subroutine mimics_day

  subroutine mimics_cycle(n, n_day, n_cycle, n_substep, time_step, temperature, moisture_factor, clay, &
      metabolic_fraction, annual_production, input_metabolic, input_structural, setting, carbon, respiration)
    !! Cycles of daily steps under the same drivers.
    integer, intent(in) :: n  !! tiles
    integer, intent(in) :: n_day  !! steps of a cycle
    integer, intent(in) :: n_cycle  !! cycles
    integer, intent(in) :: n_substep  !! substeps of a step
    real(wp), intent(in) :: time_step  !! s
    real(wp), intent(in) :: temperature(n, n_day)  !! soil, mean of 0 to 0.3 m, K
    real(wp), intent(in) :: moisture_factor(n, n_day)  !! factor of uptake, 0 to 1
    real(wp), intent(in) :: clay(n)  !! clay, per cent
    real(wp), intent(in) :: metabolic_fraction(n)  !! metabolic share of litter
    real(wp), intent(in) :: annual_production(n)  !! net primary production, kg m-2 yr-1
    real(wp), intent(in) :: input_metabolic(n, n_day)  !! litter of each step, kg m-2
    real(wp), intent(in) :: input_structural(n, n_day)  !! litter of each step, kg m-2
    real(wp), intent(in) :: setting(54)  !! see mimics_parameters
    real(wp), intent(inout) :: carbon(n, 7)  !! kg m-2
    real(wp), intent(out) :: respiration(n)  !! heterotrophic respiration of the last cycle, kg m-2
    real(wp) :: coefficient(n, n_coefficient)
    integer :: day, round
    respiration(:) = 0.0_wp
    call soil_coefficients(n, clay, metabolic_fraction, annual_production, setting, coefficient)
    do round = 1, n_cycle
      respiration(:) = 0.0_wp
      do day = 1, n_day
        call day_coefficients(n, temperature(:, day), moisture_factor(:, day), setting, coefficient)
        call advance(n, n_substep, time_step, input_metabolic(:, day), input_structural(:, day), setting, &
          coefficient, carbon, respiration)
      end do
    end do
  end subroutine mimics_cycle

  subroutine mimics_steady_state(n, n_iteration, temperature, moisture_factor, clay, metabolic_fraction, &
      annual_production, input_metabolic, input_structural, setting, carbon, residual, jacobian)
    !! Pools that do not change under constant forcing, by Newton's method in log X with the exact Jacobian, from
    !! microbes that live on the input and pools in balance with them. No input: no carbon.
    integer, intent(in) :: n  !! tiles
    integer, intent(in) :: n_iteration  !! most iterations, such as 60
    real(wp), intent(in) :: temperature(n)  !! soil, mean of 0 to 0.3 m, K
    real(wp), intent(in) :: moisture_factor(n)  !! factor of uptake, 0 to 1
    real(wp), intent(in) :: clay(n)  !! clay, per cent
    real(wp), intent(in) :: metabolic_fraction(n)  !! metabolic share of litter
    real(wp), intent(in) :: annual_production(n)  !! net primary production, kg m-2 yr-1
    real(wp), intent(in) :: input_metabolic(n)  !! kg m-2 s-1
    real(wp), intent(in) :: input_structural(n)  !! kg m-2 s-1
    real(wp), intent(in) :: setting(54)  !! see mimics_parameters
    real(wp), intent(out) :: carbon(n, 7)  !! kg m-2
    real(wp), intent(out) :: residual(n)  !! largest relative rate of change, s-1
    real(wp), intent(out) :: jacobian(n, 7, 7)  !! d(d log X/dt)/d log X, s-1: its eigenvalues decide on stability
    real(wp) :: coefficient(n, n_coefficient)
    call soil_coefficients(n, clay, metabolic_fraction, annual_production, setting, coefficient)
    call day_coefficients(n, temperature, moisture_factor, setting, coefficient)
    call steady_state(n, n_iteration, input_metabolic, input_structural, setting, coefficient, carbon, residual, &
      jacobian)
  end subroutine mimics_steady_state

  subroutine mimics_periodic(n, n_day, n_iteration, n_substep, time_step, tolerance, temperature, moisture_factor, &
      clay, metabolic_fraction, annual_production, input_metabolic, input_structural, setting, carbon, &
      respiration, residual, cycles, multiplier, jacobian)
    !! Pools that return to themselves after a cycle of daily drivers. Newton's method from the steady state under
    !! the mean of the cycle's uptake rates. A multiplier of 1 or more: the state exists but is unstable, time stepping
    !! leaves it; a residual above the tolerance: no such state was found. Neither must be used without a look.
    integer, intent(in) :: n  !! tiles
    integer, intent(in) :: n_day  !! steps of the cycle (whole years)
    integer, intent(in) :: n_iteration  !! most trials, such as 36: of three, one takes 8 cycles and two take 1
    integer, intent(in) :: n_substep  !! substeps of a step
    real(wp), intent(in) :: time_step  !! s
    real(wp), intent(in) :: tolerance  !! of the residual, such as 1e-10
    real(wp), intent(in) :: temperature(n, n_day)  !! soil, mean of 0 to 0.3 m, K
    real(wp), intent(in) :: moisture_factor(n, n_day)  !! factor of uptake, 0 to 1
    real(wp), intent(in) :: clay(n)  !! clay, per cent
    real(wp), intent(in) :: metabolic_fraction(n)  !! metabolic share of litter
    real(wp), intent(in) :: annual_production(n)  !! net primary production, kg m-2 yr-1
    real(wp), intent(in) :: input_metabolic(n, n_day)  !! litter of each step, kg m-2
    real(wp), intent(in) :: input_structural(n, n_day)  !! litter of each step, kg m-2
    real(wp), intent(in) :: setting(54)  !! see mimics_parameters
    real(wp), intent(out) :: carbon(n, 7)  !! pools at the start of the cycle, kg m-2
    real(wp), intent(out) :: respiration(n)  !! heterotrophic respiration of the cycle, kg m-2
    real(wp), intent(out) :: residual(n)  !! largest change of log X over the cycle from that state
    real(wp), intent(out) :: cycles(n)  !! forcing cycles that the tile consumed (tangents included)
    real(wp), intent(out) :: multiplier(n)  !! largest modulus of the Floquet multipliers
    real(wp), intent(out) :: jacobian(n, 7, 7)  !! tangent map of the cycle, d log Phi/d log X
    real(wp) :: coefficient(n, n_coefficient), average(n, n_coefficient), replica(n, n_pool, 0:n_pool)
    real(wp) :: origin(n, n_pool), move(n, n_pool), share(n), emitted(n), metabolic(n), structural(n)
    real(wp) :: weight
    integer :: i, day, iteration, copy, uptake
    logical :: tangent
    call soil_coefficients(n, clay, metabolic_fraction, annual_production, setting, coefficient)
    average(:, :) = coefficient(:, :)
    average(:, c_v:c_k + 5) = 0.0_wp
    average(:, c_desorption) = 0.0_wp
    metabolic(:) = 0.0_wp
    structural(:) = 0.0_wp
    weight = 1.0_wp / real(max(1, n_day), wp)
    do day = 1, n_day
      call day_coefficients(n, temperature(:, day), moisture_factor(:, day), setting, coefficient)
      do uptake = 0, 5
        do i = 1, n
          average(i, c_v + uptake) = average(i, c_v + uptake) + weight * coefficient(i, c_v + uptake)
          average(i, c_k + uptake) = average(i, c_k + uptake) &
            + weight * coefficient(i, c_v + uptake) / coefficient(i, c_k + uptake)
        end do
      end do
      do i = 1, n
        average(i, c_desorption) = average(i, c_desorption) + weight * coefficient(i, c_desorption)
        metabolic(i) = metabolic(i) + weight / time_step * input_metabolic(i, day)
        structural(i) = structural(i) + weight / time_step * input_structural(i, day)
      end do
    end do
    do uptake = 0, 5
      do i = 1, n
        average(i, c_k + uptake) = average(i, c_v + uptake) / max(average(i, c_k + uptake), 1.0e-200_wp)
      end do
    end do
    call steady_state(n, 60, metabolic, structural, setting, average, carbon, residual, jacobian)
    residual(:) = -1.0_wp
    cycles(:) = 0.0_wp
    share(:) = 0.0_wp
    move(:, :) = 0.0_wp
    jacobian(:, :, :) = 0.0_wp
    emitted(:) = 0.0_wp
    origin(:, :) = carbon(:, :)
    do iteration = 1, n_iteration
      tangent = mod(iteration, 3) == 1
      call newton_replicas(n, n_pool, carbon, replica)
      do day = 1, n_day
        call day_coefficients(n, temperature(:, day), moisture_factor(:, day), setting, coefficient)
        do copy = 0, merge(n_pool, 0, tangent)
          call advance(n, n_substep, time_step, input_metabolic(:, day), input_structural(:, day), setting, &
            coefficient, replica(:, :, copy), emitted)
        end do
      end do
      call newton_advance(n, n_pool, tangent, tolerance, replica, carbon, origin, move, share, residual, jacobian, &
        cycles)
      if (all(residual <= tolerance)) exit  ! every tile is left alone from here on
    end do
    ! residual, tangent map and respiration at the state found
    carbon(:, :) = origin(:, :)
    call newton_replicas(n, n_pool, carbon, replica)
    respiration(:) = 0.0_wp
    do day = 1, n_day
      call day_coefficients(n, temperature(:, day), moisture_factor(:, day), setting, coefficient)
      copy = 0
      call advance(n, n_substep, time_step, input_metabolic(:, day), input_structural(:, day), setting, &
        coefficient, replica(:, :, copy), respiration)
      do copy = 1, n_pool
        call advance(n, n_substep, time_step, input_metabolic(:, day), input_structural(:, day), setting, &
            coefficient, replica(:, :, copy), emitted)
      end do
    end do
    cycles(:) = cycles(:) + real(n_pool + 1, wp)
    call newton_tangent(n, n_pool, replica, carbon, residual, jacobian)
    call spectral_radius(n, n_pool, jacobian, multiplier)
  end subroutine mimics_periodic

  subroutine soil_coefficients(n, clay, metabolic_fraction, annual_production, setting, coefficient)
    !! What depends on soil, litter and production only.
    integer, intent(in) :: n  !! tiles
    real(wp), intent(in) :: clay(n)  !! per cent
    real(wp), intent(in) :: metabolic_fraction(n)  !! share
    real(wp), intent(in) :: annual_production(n)  !! kg m-2 yr-1
    real(wp), intent(in) :: setting(n_parameter)  !! see mimics_parameters
    real(wp), intent(out) :: coefficient(n, n_coefficient)  !! coefficients of the tiles
    integer :: i
    real(wp) :: fine, soft, death, grain, p, c, scale
    coefficient(:, :) = 0.0_wp
    do i = 1, n
      fine = 0.01_wp * max(0.0_wp, clay(i))
      soft = metabolic_fraction(i)
      death = setting(death_factor) / hour * min(setting(death_most), max(setting(death_least), &
        sqrt(max(0.0_wp, 1000.0_wp * annual_production(i)) / setting(death_production))))
      coefficient(i, c_death_r) = death * setting(death_r) * exp(setting(death_r + 1) * soft)
      coefficient(i, c_death_k) = death * setting(death_k) * exp(setting(death_k + 1) * soft)
      p = setting(physical_r) * exp(setting(physical_r + 1) * fine)
      c = setting(chemical_r) * exp(setting(chemical_r + 1) * soft)
      scale = 1.0_wp / max(1.0_wp, p + c)
      coefficient(i, c_physical_r) = scale * p
      coefficient(i, c_chemical_r) = scale * c
      coefficient(i, c_available_r) = max(0.0_wp, 1.0_wp - scale * p - scale * c)
      p = setting(physical_k) * exp(setting(physical_k + 1) * fine)
      c = setting(chemical_k) * exp(setting(chemical_k + 1) * soft)
      scale = 1.0_wp / max(1.0_wp, p + c)
      coefficient(i, c_physical_k) = scale * p
      coefficient(i, c_chemical_k) = scale * c
      coefficient(i, c_available_k) = max(0.0_wp, 1.0_wp - scale * p - scale * c)
      grain = setting(texture) * exp(setting(texture + 1) * sqrt(fine))
      coefficient(i, c_k_mod) = setting(k_mod + 2) * grain
      coefficient(i, c_k_mod + 1) = setting(k_mod + 5) * grain
      coefficient(i, c_desorption_base) = setting(desorption) / hour * exp(setting(desorption + 1) * fine)
      coefficient(i, c_density) = 1.0_wp
    end do
  end subroutine soil_coefficients

  subroutine day_coefficients(n, temperature, moisture_factor, setting, coefficient)
    !! What depends on the weather: V (s-1) and K (kg m-2) of the six uptakes, desorption.
    integer, intent(in) :: n  !! tiles
    real(wp), intent(in) :: temperature(n)  !! K
    real(wp), intent(in) :: moisture_factor(n)  !! 0 to 1
    real(wp), intent(in) :: setting(n_parameter)  !! see mimics_parameters
    real(wp), intent(inout) :: coefficient(n, n_coefficient)  !! coefficients of the tiles
    integer :: i
    real(wp) :: t, v, metabolic, structural, available, logarithm, per_depth
    logarithm = log(setting(desorption_q10))
    per_depth = setting(k_factor) * setting(depth)  ! mg cm-3 = kg m-3
    do i = 1, n
      t = temperature(i) - freezing_point
      v = max(0.0_wp, moisture_factor(i)) * setting(v_factor) / hour &
        * exp(setting(v_slope) * t + setting(v_intercept))
      metabolic = per_depth * exp(setting(k_slope) * t + setting(k_intercept))
      structural = per_depth * exp(setting(k_slope + 1) * t + setting(k_intercept))
      available = per_depth * exp(setting(k_slope + 2) * t + setting(k_intercept))
      coefficient(i, c_v) = v * setting(v_mod)
      coefficient(i, c_v + 1) = v * setting(v_mod + 1)
      coefficient(i, c_v + 2) = v * setting(v_mod + 2)
      coefficient(i, c_v + 3) = v * setting(v_mod + 3)
      coefficient(i, c_v + 4) = v * setting(v_mod + 4)
      coefficient(i, c_v + 5) = v * setting(v_mod + 5)
      coefficient(i, c_k) = metabolic / setting(k_mod)
      coefficient(i, c_k + 1) = structural / setting(k_mod + 1)
      coefficient(i, c_k + 2) = available / coefficient(i, c_k_mod)
      coefficient(i, c_k + 3) = metabolic / setting(k_mod + 3)
      coefficient(i, c_k + 4) = structural / setting(k_mod + 4)
      coefficient(i, c_k + 5) = available / coefficient(i, c_k_mod + 1)
      coefficient(i, c_desorption) = coefficient(i, c_desorption_base) &
        * exp(logarithm * 0.1_wp * (t - setting(desorption_reference)))
    end do
  end subroutine day_coefficients

  subroutine specific_rates(n, setting, coefficient, carbon, rate)
    !! Flux over its donor for every flux, s-1.
    integer, intent(in) :: n  !! tiles
    real(wp), intent(in) :: setting(n_parameter)  !! see mimics_parameters
    real(wp), intent(in) :: coefficient(n, n_coefficient)  !! coefficients of the tiles
    real(wp), intent(in) :: carbon(n, n_pool)  !! kg m-2
    real(wp), intent(out) :: rate(n, n_rate)  !! s-1
    integer :: i
    real(wp) :: r, k, with_r, with_k, forward, back, dormant, least, per_depth, power
    real(wp) :: density_r(n), density_k(n)
    power = setting(density_exponent) - 1.0_wp
    per_depth = 1.0_wp / setting(depth)
    least = setting(floor) * setting(depth)
    if (abs(power) > 1.0e-12_wp) then
      do i = 1, n
        density_r(i) = exp(power * log(max(carbon(i, 3) * per_depth, setting(floor))))
        density_k(i) = exp(power * log(max(carbon(i, 4) * per_depth, setting(floor))))
      end do
    else
      density_r(:) = 1.0_wp
      density_k(:) = 1.0_wp
    end if
    back = setting(reverse)
    forward = 1.0_wp - back
    do i = 1, n
      r = carbon(i, 3)
      k = carbon(i, 4)
      with_r = back * r
      with_k = back * k
      rate(i, 1) = r * coefficient(i, c_v) / (coefficient(i, c_k) + with_r + forward * carbon(i, 1))
      rate(i, 2) = r * coefficient(i, c_v + 1) / (coefficient(i, c_k + 1) + with_r + forward * carbon(i, 2))
      rate(i, 3) = r * coefficient(i, c_v + 2) / (coefficient(i, c_k + 2) + with_r + forward * carbon(i, 7))
      rate(i, 4) = k * coefficient(i, c_v + 3) / (coefficient(i, c_k + 3) + with_k + forward * carbon(i, 1))
      rate(i, 5) = k * coefficient(i, c_v + 4) / (coefficient(i, c_k + 4) + with_k + forward * carbon(i, 2))
      rate(i, 6) = k * coefficient(i, c_v + 5) / (coefficient(i, c_k + 5) + with_k + forward * carbon(i, 7))
      rate(i, 7) = r * coefficient(i, c_v + 1) &
        / (setting(oxidation) * coefficient(i, c_k + 1) + with_r + forward * carbon(i, 6))
      rate(i, 8) = k * coefficient(i, c_v + 4) &
        / (setting(oxidation + 1) * coefficient(i, c_k + 4) + with_k + forward * carbon(i, 6))
      rate(i, 9) = coefficient(i, c_desorption)
      dormant = max(0.0_wp, r - least) / max(r, least)
      rate(i, 10) = coefficient(i, c_death_r) * density_r(i) * dormant
      dormant = max(0.0_wp, k - least) / max(k, least)
      rate(i, 11) = coefficient(i, c_death_k) * density_k(i) * dormant
    end do
  end subroutine specific_rates

  subroutine advance(n, n_substep, time_step, input_metabolic, input_structural, setting, coefficient, carbon, &
      respiration)
    !! The pools after a step: per substep a stage with the rates of the start, then one with the mean of the fluxes at
    !! start and stage, over the stage's donors.
    integer, intent(in) :: n  !! tiles
    integer, intent(in) :: n_substep  !! substeps
    real(wp), intent(in) :: time_step  !! s
    real(wp), intent(in) :: input_metabolic(n)  !! litter of the step, kg m-2
    real(wp), intent(in) :: input_structural(n)  !! litter of the step, kg m-2
    real(wp), intent(in) :: setting(n_parameter)  !! see mimics_parameters
    real(wp), intent(in) :: coefficient(n, n_coefficient)  !! coefficients of the tiles
    real(wp), intent(inout) :: carbon(n, n_pool)  !! kg m-2
    real(wp), intent(inout) :: respiration(n)  !! the step's is added, kg m-2
    integer, parameter :: donor(n_rate) = [1, 2, 7, 1, 2, 7, 6, 6, 5, 3, 4]
    real(wp), parameter :: tiny_pool = 1.0e-290_wp
    real(wp) :: rate(n, n_rate), later(n, n_rate), stage(n, n_pool), ratio(n, n_pool), unused(n), emitted(n)
    real(wp) :: step, share
    integer :: i, substep, flux, pool
    step = time_step / real(max(1, n_substep), wp)
    share = 1.0_wp / real(max(1, n_substep), wp)
    do substep = 1, max(1, n_substep)
      call specific_rates(n, setting, coefficient, carbon, rate)
      call implicit_stage(n, step, share, input_metabolic, input_structural, setting, coefficient, rate, carbon, &
        stage, unused)
      call specific_rates(n, setting, coefficient, stage, later)
      do pool = 1, n_pool
        do i = 1, n
          ratio(i, pool) = carbon(i, pool) / max(stage(i, pool), tiny_pool)
        end do
      end do
      do flux = 1, n_rate
        do i = 1, n
          rate(i, flux) = 0.5_wp * (rate(i, flux) * ratio(i, donor(flux)) + later(i, flux))
        end do
      end do
      call implicit_stage(n, step, share, input_metabolic, input_structural, setting, coefficient, rate, carbon, &
        stage, emitted)
      do pool = 1, n_pool
        do i = 1, n
          carbon(i, pool) = stage(i, pool)
        end do
      end do
      do i = 1, n
        respiration(i) = respiration(i) + emitted(i)
      end do
    end do
  end subroutine advance

  subroutine implicit_stage(n, step, share, input_metabolic, input_structural, setting, coefficient, rate, carbon, &
      after, emitted)
    !! Pools after an implicit step with given rates. Litter first; microbes are linear in the available pool, which
    !! then follows from one equation.
    integer, intent(in) :: n  !! tiles
    real(wp), intent(in) :: step  !! s
    real(wp), intent(in) :: share  !! share of the input that comes in this step
    real(wp), intent(in) :: input_metabolic(n)  !! kg m-2
    real(wp), intent(in) :: input_structural(n)  !! kg m-2
    real(wp), intent(in) :: setting(n_parameter)  !! see mimics_parameters
    real(wp), intent(in) :: coefficient(n, n_coefficient)  !! coefficients of the tiles
    real(wp), intent(in) :: rate(n, n_rate)  !! s-1
    real(wp), intent(in) :: carbon(n, n_pool)  !! kg m-2
    real(wp), intent(out) :: after(n, n_pool)  !! kg m-2
    real(wp), intent(out) :: emitted(n)  !! respired in the step, kg m-2
    integer :: i
    real(wp) :: metabolic, structural, mr, sr, ar, mk, sk, ak, dead_r, dead_k, oxidised, desorbed
    real(wp) :: own_r, own_k, gain_r, gain_k, per_r, per_k, physical, chemical, weight_r, weight_k, available
    real(wp) :: soft_r, hard_r, soft_k, hard_k, microbes_r, microbes_k, in_physical, in_chemical
    soft_r = setting(efficiency)
    hard_r = setting(efficiency + 1)
    soft_k = setting(efficiency + 2)
    hard_k = setting(efficiency + 3)
    do i = 1, n
      in_physical = share * input_metabolic(i) * setting(bypass)
      in_chemical = share * input_structural(i) * setting(bypass + 1)
      metabolic = (carbon(i, 1) + (share * input_metabolic(i) - in_physical)) &
        / (1.0_wp + step * (rate(i, 1) + rate(i, 4)))
      structural = (carbon(i, 2) + (share * input_structural(i) - in_chemical)) &
        / (1.0_wp + step * (rate(i, 2) + rate(i, 5)))
      mr = step * rate(i, 1) * metabolic
      mk = step * rate(i, 4) * metabolic
      sr = step * rate(i, 2) * structural
      sk = step * rate(i, 5) * structural
      per_r = 1.0_wp / (1.0_wp + step * rate(i, 10))
      per_k = 1.0_wp / (1.0_wp + step * rate(i, 11))
      own_r = (carbon(i, 3) + soft_r * mr + hard_r * sr) * per_r
      own_k = (carbon(i, 4) + soft_k * mk + hard_k * sk) * per_k
      gain_r = soft_r * step * rate(i, 3) * per_r
      gain_k = soft_k * step * rate(i, 6) * per_k
      dead_r = step * rate(i, 10)
      dead_k = step * rate(i, 11)
      physical = 1.0_wp / (1.0_wp + step * rate(i, 9))
      chemical = 1.0_wp / (1.0_wp + step * (rate(i, 7) + rate(i, 8)))
      desorbed = step * rate(i, 9) * physical
      oxidised = step * (rate(i, 7) + rate(i, 8)) * chemical
      weight_r = dead_r * (coefficient(i, c_available_r) + desorbed * coefficient(i, c_physical_r) &
        + oxidised * coefficient(i, c_chemical_r))
      weight_k = dead_k * (coefficient(i, c_available_k) + desorbed * coefficient(i, c_physical_k) &
        + oxidised * coefficient(i, c_chemical_k))
      available = (carbon(i, 7) + desorbed * (carbon(i, 5) + in_physical) + oxidised * (carbon(i, 6) + in_chemical) &
        + weight_r * own_r + weight_k * own_k) &
        / (1.0_wp + step * (rate(i, 3) + rate(i, 6)) - weight_r * gain_r - weight_k * gain_k)
      ar = step * rate(i, 3) * available
      ak = step * rate(i, 6) * available
      microbes_r = own_r + gain_r * available
      microbes_k = own_k + gain_k * available
      dead_r = dead_r * microbes_r
      dead_k = dead_k * microbes_k
      after(i, 1) = metabolic
      after(i, 2) = structural
      after(i, 3) = microbes_r
      after(i, 4) = microbes_k
      after(i, 5) = (carbon(i, 5) + in_physical + coefficient(i, c_physical_r) * dead_r &
        + coefficient(i, c_physical_k) * dead_k) * physical
      after(i, 6) = (carbon(i, 6) + in_chemical + coefficient(i, c_chemical_r) * dead_r &
        + coefficient(i, c_chemical_k) * dead_k) * chemical
      after(i, 7) = available
      emitted(i) = (1.0_wp - soft_r) * (mr + ar) + (1.0_wp - hard_r) * sr &
        + (1.0_wp - soft_k) * (mk + ak) + (1.0_wp - hard_k) * sk
    end do
  end subroutine implicit_stage

  subroutine steady_state(n, n_iteration, input_metabolic, input_structural, setting, coefficient, carbon, residual, &
      jacobian)
    !! Newton's method for d log X/dt = 0.
    integer, intent(in) :: n  !! tiles
    integer, intent(in) :: n_iteration  !! most iterations
    real(wp), intent(in) :: input_metabolic(n)  !! kg m-2 s-1
    real(wp), intent(in) :: input_structural(n)  !! kg m-2 s-1
    real(wp), intent(in) :: setting(n_parameter)  !! see mimics_parameters
    real(wp), intent(in) :: coefficient(n, n_coefficient)  !! coefficients of the tiles
    real(wp), intent(out) :: carbon(n, n_pool)  !! kg m-2
    real(wp), intent(out) :: residual(n)  !! largest relative rate of change, s-1
    real(wp), intent(out) :: jacobian(n, n_pool, n_pool)  !! s-1
    real(wp), parameter :: least_rate = 1.0e-30_wp, converged = 1.0e-24_wp
    real(wp) :: rate(n, n_rate), slope(n_pool, n_pool), change(n_pool), matrix(n_pool, n_pool), growth, largest
    real(wp) :: own(n_coefficient), pools(n_pool)
    integer :: i, iteration
    do i = 1, n
      ! microbes whose growth equals the input, by halves (a growth efficiency near one half)
      growth = 0.5_wp * max(input_metabolic(i) + input_structural(i), 0.0_wp)
      carbon(i, 1) = growth
      carbon(i, 2) = growth
      carbon(i, 3) = growth / max(coefficient(i, c_death_r), least_rate)
      carbon(i, 4) = growth / max(coefficient(i, c_death_k), least_rate)
      carbon(i, 5) = growth
      carbon(i, 6) = growth
      carbon(i, 7) = growth
    end do
    call specific_rates(n, setting, coefficient, carbon, rate)
    do i = 1, n
      growth = 0.5_wp * max(input_metabolic(i) + input_structural(i), 0.0_wp)
      carbon(i, 1) = input_metabolic(i) * (1.0_wp - setting(bypass)) / max(rate(i, 1) + rate(i, 4), least_rate)
      carbon(i, 2) = input_structural(i) * (1.0_wp - setting(bypass + 1)) / max(rate(i, 2) + rate(i, 5), least_rate)
      carbon(i, 5) = (input_metabolic(i) * setting(bypass) + growth * (coefficient(i, c_physical_r) &
        + coefficient(i, c_physical_k))) / max(rate(i, 9), least_rate)
      carbon(i, 6) = (input_structural(i) * setting(bypass + 1) + growth * (coefficient(i, c_chemical_r) &
        + coefficient(i, c_chemical_k))) / max(rate(i, 7) + rate(i, 8), least_rate)
      carbon(i, 7) = 2.0_wp * growth / max(rate(i, 3) + rate(i, 6), least_rate)
    end do
    do i = 1, n
      residual(i) = 0.0_wp
      jacobian(i, :, :) = 0.0_wp
      if (input_metabolic(i) + input_structural(i) <= 0.0_wp) then
        carbon(i, :) = 0.0_wp
        cycle
      end if
      ! logarithms need every pool: an absent kind of litter is a trace
      growth = 1.0e-30_wp * (input_metabolic(i) + input_structural(i))
      own(:) = coefficient(i, :)
      pools(:) = max(carbon(i, :), tiny(1.0_wp))
      do iteration = 0, n_iteration
        call log_rates(setting, own, max(input_metabolic(i), growth), max(input_structural(i), growth), pools, &
          change, slope)
        residual(i) = maxval(abs(change))
        jacobian(i, :, :) = slope(:, :)
        if (iteration == n_iteration .or. residual(i) < converged) exit
        matrix(:, :) = -slope(:, :) / coefficient(i, c_death_r)  ! of order one
        change(:) = change(:) / coefficient(i, c_death_r)
        call solve_linear(n_pool, matrix, change)
        largest = maxval(abs(change))
        pools(:) = pools(:) * exp(change(:) * min(1.0_wp, 1.0_wp / max(largest, 1.0_wp)))
      end do
      carbon(i, :) = pools(:)
    end do
  end subroutine steady_state

  pure subroutine log_rates(setting, c, input_metabolic, input_structural, x, change, slope)
    !! d log X/dt of one tile and its derivative by log X.
    real(wp), intent(in) :: setting(n_parameter)  !! see mimics_parameters
    real(wp), intent(in) :: c(n_coefficient)  !! coefficients of the tile
    real(wp), intent(in) :: input_metabolic  !! kg m-2 s-1
    real(wp), intent(in) :: input_structural  !! kg m-2 s-1
    real(wp), intent(in) :: x(n_pool)  !! kg m-2
    real(wp), intent(out) :: change(n_pool)  !! s-1
    real(wp), intent(out) :: slope(n_pool, n_pool)  !! s-1
    integer, parameter :: substrate(8) = [1, 2, 7, 1, 2, 7, 6, 6], eater(8) = [3, 3, 3, 4, 4, 4, 3, 4]
    integer, parameter :: kinetics(8) = [1, 2, 3, 4, 5, 6, 2, 5]
    real(wp) :: yield(8), derivative(n_pool), half, flux, least, below
    integer :: j, microbe, pool
    yield(1) = setting(efficiency)
    yield(2) = setting(efficiency + 1)
    yield(3) = setting(efficiency)
    yield(4) = setting(efficiency + 2)
    yield(5) = setting(efficiency + 3)
    yield(6) = setting(efficiency + 2)
    yield(7) = 1.0_wp  ! oxidation makes matter available
    yield(8) = 1.0_wp
    change(:) = 0.0_wp
    change(1) = input_metabolic * (1.0_wp - setting(bypass))
    change(2) = input_structural * (1.0_wp - setting(bypass + 1))
    change(5) = input_metabolic * setting(bypass)
    change(6) = input_structural * setting(bypass + 1)
    slope(:, :) = 0.0_wp
    do j = 1, 8
      half = c(c_k + kinetics(j) - 1)
      if (j == 7) half = half * setting(oxidation)
      if (j == 8) half = half * setting(oxidation + 1)
      below = half + setting(reverse) * x(eater(j)) + (1.0_wp - setting(reverse)) * x(substrate(j))
      flux = x(eater(j)) * c(c_v + kinetics(j) - 1) * x(substrate(j)) / below
      derivative(:) = 0.0_wp
      derivative(substrate(j)) = flux * (1.0_wp - (1.0_wp - setting(reverse)) * x(substrate(j)) / below)
      derivative(eater(j)) = flux * (1.0_wp - setting(reverse) * x(eater(j)) / below)
      pool = merge(7, eater(j), j > 6)
      change(substrate(j)) = change(substrate(j)) - flux
      slope(substrate(j), :) = slope(substrate(j), :) - derivative(:)
      change(pool) = change(pool) + yield(j) * flux
      slope(pool, :) = slope(pool, :) + yield(j) * derivative(:)
    end do
    flux = c(c_desorption) * x(5)
    change(5) = change(5) - flux
    change(7) = change(7) + flux
    slope(5, 5) = slope(5, 5) - flux
    slope(7, 5) = slope(7, 5) + flux
    least = setting(floor) * setting(depth)
    do j = 0, 1
      microbe = 3 + j
      below = c(c_death_r + j)
      if (abs(setting(density_exponent) - 1.0_wp) > 1.0e-12_wp) below = below &
        * exp((setting(density_exponent) - 1.0_wp) * log(max(x(microbe) / setting(depth), setting(floor))))
      flux = below * max(0.0_wp, x(microbe) - least)
      half = below * (setting(density_exponent) * x(microbe) - (setting(density_exponent) - 1.0_wp) * least)
      change(microbe) = change(microbe) - flux
      slope(microbe, microbe) = slope(microbe, microbe) - half
      change(5) = change(5) + c(c_physical_r + j) * flux
      slope(5, microbe) = slope(5, microbe) + c(c_physical_r + j) * half
      change(6) = change(6) + c(c_chemical_r + j) * flux
      slope(6, microbe) = slope(6, microbe) + c(c_chemical_r + j) * half
      change(7) = change(7) + c(c_available_r + j) * flux
      slope(7, microbe) = slope(7, microbe) + c(c_available_r + j) * half
    end do
    do pool = 1, n_pool
      change(pool) = change(pool) / max(x(pool), tiny(1.0_wp))
      slope(pool, :) = slope(pool, :) / max(x(pool), tiny(1.0_wp))
      slope(pool, pool) = slope(pool, pool) - change(pool)
    end do
  end subroutine log_rates
end module concerto_mimics
