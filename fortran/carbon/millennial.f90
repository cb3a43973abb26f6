module concerto_millennial
  !! Soil carbon of Millennial version 2 (Abramoff et al. 2022, Soil Biol. Biochem. 164:108466): measurable pools, in
  !! kg m-2: 1 particulate organic matter, 2 low-molecular-weight carbon, 3 aggregates, 4 microbes, 5 mineral-associated
  !! organic matter. Texture and pH act through sorption. What is leached leaves the system and is counted.
  !! Parameters are one vector for all tiles, in the units of the paper (g m-2, d); the step works in these.
  !!
  !! Step: modified Patankar scheme of second order (Burchard et al. 2003), as for concerto_mimics: every flux is a rate
  !! times its donor; sorption is split into its two one-way parts. The linear systems (M-matrices, columns dominant)
  !! are eliminated without row exchange. Pools stay positive and carbon is conserved for every step.
  use concerto_kinds, only: wp
  use concerto_constants, only: freezing_point
  use concerto_periodic_newton, only: newton_replicas, newton_advance, newton_tangent, spectral_radius
  implicit none
  private
  public :: millennial_parameters, millennial_derivatives, millennial_day, millennial_cycle, &
    millennial_steady_state, millennial_periodic

  integer, parameter :: n_pool = 5
  integer, parameter :: n_parameter = 25
  integer, parameter :: n_rate = 10
  integer, parameter :: n_coefficient = 6
  real(wp), parameter :: grams = 1000.0_wp  !! g per kg
  real(wp), parameter :: day_length = 86400.0_wp  !! s
  ! places in the parameter vector
  integer, parameter :: to_particulate = 1, break_particulate = 2, half_particulate = 3, factor_particulate = 4, &
    energy_particulate = 5, aggregation = 6, breakdown = 7, leaching = 8, desorption = 9, sorption_ph = 10, &
    sorption_base = 11, half_uptake = 12, factor_uptake = 13, energy_uptake = 14, death = 15, &
    aggregation_mineral = 16, efficiency = 17, efficiency_slope = 18, efficiency_reference = 19, suction_slope = 20, &
    dry_activity = 21, &
    death_mineral = 22, capacity = 23, gas = 24, suction = 25
  ! places in the coefficients of a tile
  integer, parameter :: c_capacity = 1, c_sorption = 2, c_wet = 3, c_particulate = 4, c_uptake = 5, c_efficiency = 6
  ! fluxes: 1 particulate > low-molecular, 2 particulate > aggregates, 3 aggregates > particulate and mineral,
  ! 4 leaching, 5 sorption, 6 its reverse part, 7 desorption, 8 uptake, 9 death of microbes, 10 mineral > aggregates
  integer, parameter :: donor(n_rate) = [1, 1, 3, 2, 2, 5, 5, 2, 4, 5]

contains

  subroutine millennial_parameters(setting)
    !! Default parameters ("fit" set). Order: 1 share of input to particulate matter, 2 share of broken aggregates to
    !! particulate matter, 3 half saturation of its breakdown (g m-2), 4 factor (d-1) and 5 activation energy (J mol-1)
    !! of its breakdown, 6 aggregation of particulate matter, 7 breakdown of aggregates, 8 leaching (d-1), 9 desorption
    !! (g m-2 d-1, over capacity), 10, 11 sorption affinity exp(-a pH - b), 12 half saturation of uptake (g m-2), 13
    !! factor (d-1) and 14 activation energy of uptake, 15 death (m2 g-1 d-1), 16 aggregation of mineral-associated
    !! matter (d-1), 17 growth efficiency, 18 its slope (degC-1), 19 its reference temperature (degC), 20 slope of
    !! suction (kPa-1), 21 activity without air, 22 share of dead microbes to mineral-associated matter, 23 capacity per
    !! clay and silt (g kg-1 per cent-1), 24 gas constant, 25 suction (kPa) of the microbes' water response.
    real(wp), intent(out) :: setting(25)  !! parameters
    setting(:) = [0.66_wp, 0.33_wp, 6443.0_wp, 1.8e12_wp, 63909.0_wp, 0.018_wp, 0.02_wp, 0.0015_wp, 1.0_wp, &
      0.12_wp, 0.216_wp, 774.6_wp, 2.3e12_wp, 57865.0_wp, 0.0045_wp, 0.0048_wp, 0.19_wp, 0.012_wp, 15.0_wp, &
      2.1e-4_wp, 0.2_wp, 0.5_wp, 0.86_wp, 8.314462618_wp, 15.0_wp]
  end subroutine millennial_parameters

  subroutine millennial_derivatives(n, temperature, water, porosity, ph, clay_silt, bulk_density, input, setting, &
      carbon, tendency, respiration, leached)
    !! Rates of change of the pools, respiration and leaching of the moment.
    integer, intent(in) :: n  !! tiles
    real(wp), intent(in) :: temperature(n)  !! soil, K
    real(wp), intent(in) :: water(n)  !! liquid water content, m3 m-3
    real(wp), intent(in) :: porosity(n)  !! m3 m-3
    real(wp), intent(in) :: ph(n)  !! soil pH
    real(wp), intent(in) :: clay_silt(n)  !! clay and silt, per cent
    real(wp), intent(in) :: bulk_density(n)  !! kg m-3
    real(wp), intent(in) :: input(n)  !! plant input, kg m-2 s-1
    real(wp), intent(in) :: setting(25)  !! see millennial_parameters
    real(wp), intent(in) :: carbon(n, 5)  !! kg m-2
    real(wp), intent(out) :: tendency(n, 5)  !! kg m-2 s-1
    real(wp), intent(out) :: respiration(n)  !! kg m-2 s-1
    real(wp), intent(out) :: leached(n)  !! kg m-2 s-1
    real(wp) :: coefficient(n, n_coefficient), pool(n, n_pool), rate(n, n_rate), flux(n_rate)
    real(wp) :: supply, per
    integer :: i, k
    call soil_coefficients(n, ph, clay_silt, bulk_density, setting, coefficient)
    call day_coefficients(n, temperature, water, porosity, setting, coefficient)
    pool(:, :) = grams * carbon(:, :)
    call specific_rates(n, setting, coefficient, pool, rate)
    per = 1.0_wp / (grams * day_length)
    do i = 1, n
      do k = 1, n_rate
        flux(k) = per * rate(i, k) * pool(i, donor(k))
      end do
      supply = input(i)
      tendency(i, 1) = setting(to_particulate) * supply + setting(break_particulate) * flux(3) - flux(2) - flux(1)
      tendency(i, 2) = (1.0_wp - setting(to_particulate)) * supply - flux(4) + flux(1) - flux(5) + flux(6) - flux(8) &
        + (1.0_wp - setting(death_mineral)) * flux(9) + flux(7)
      tendency(i, 3) = flux(10) + flux(2) - flux(3)
      tendency(i, 4) = coefficient(i, c_efficiency) * flux(8) - flux(9)
      tendency(i, 5) = flux(5) - flux(6) - flux(7) + setting(death_mineral) * flux(9) - flux(10) &
        + (1.0_wp - setting(break_particulate)) * flux(3)
      respiration(i) = (1.0_wp - coefficient(i, c_efficiency)) * flux(8)
      leached(i) = flux(4)
    end do
  end subroutine millennial_derivatives

  subroutine millennial_day(n, n_substep, time_step, temperature, water, porosity, ph, clay_silt, bulk_density, input, &
      setting, carbon, respiration, leached, total)
    !! One step (a day) of the pools.
    integer, intent(in) :: n  !! tiles
    integer, intent(in) :: n_substep  !! substeps, such as 2 for a day
    real(wp), intent(in) :: time_step  !! s
    real(wp), intent(in) :: temperature(n)  !! soil, K
    real(wp), intent(in) :: water(n)  !! liquid water content, m3 m-3
    real(wp), intent(in) :: porosity(n)  !! m3 m-3
    real(wp), intent(in) :: ph(n)  !! soil pH
    real(wp), intent(in) :: clay_silt(n)  !! clay and silt, per cent
    real(wp), intent(in) :: bulk_density(n)  !! kg m-3
    real(wp), intent(in) :: input(n)  !! plant input of the step, kg m-2
    real(wp), intent(in) :: setting(25)  !! see millennial_parameters
    real(wp), intent(inout) :: carbon(n, 5)  !! kg m-2
    real(wp), intent(out) :: respiration(n)  !! of the step, kg m-2
    real(wp), intent(out) :: leached(n)  !! carbon that water took out of the soil in the step, kg m-2
    real(wp), intent(out) :: total(n)  !! sum of the pools, kg m-2
    real(wp) :: coefficient(n, n_coefficient)
    integer :: i, pool
    call soil_coefficients(n, ph, clay_silt, bulk_density, setting, coefficient)
    call day_coefficients(n, temperature, water, porosity, setting, coefficient)
    respiration(:) = 0.0_wp
    leached(:) = 0.0_wp
    call advance(n, n_substep, time_step, input, setting, coefficient, carbon, respiration, leached)
    total(:) = 0.0_wp
    do pool = 1, n_pool
      do i = 1, n
        total(i) = total(i) + carbon(i, pool)
      end do
    end do
  end subroutine millennial_day

  subroutine millennial_cycle(n, n_day, n_cycle, n_substep, time_step, temperature, water, porosity, ph, clay_silt, &
      bulk_density, input, setting, carbon, respiration, leached)
    !! Cycles of daily steps under the same drivers.
    integer, intent(in) :: n  !! tiles
    integer, intent(in) :: n_day  !! steps of a cycle
    integer, intent(in) :: n_cycle  !! cycles
    integer, intent(in) :: n_substep  !! substeps of a step
    real(wp), intent(in) :: time_step  !! s
    real(wp), intent(in) :: temperature(n, n_day)  !! soil, K
    real(wp), intent(in) :: water(n, n_day)  !! liquid water content, m3 m-3
    real(wp), intent(in) :: porosity(n)  !! m3 m-3
    real(wp), intent(in) :: ph(n)  !! soil pH
    real(wp), intent(in) :: clay_silt(n)  !! clay and silt, per cent
    real(wp), intent(in) :: bulk_density(n)  !! kg m-3
    real(wp), intent(in) :: input(n, n_day)  !! plant input of each step, kg m-2
    real(wp), intent(in) :: setting(25)  !! see millennial_parameters
    real(wp), intent(inout) :: carbon(n, 5)  !! kg m-2
    real(wp), intent(out) :: respiration(n)  !! of the last cycle, kg m-2
    real(wp), intent(out) :: leached(n)  !! of the last cycle, kg m-2
    real(wp) :: coefficient(n, n_coefficient)
    integer :: day, round
    respiration(:) = 0.0_wp
    leached(:) = 0.0_wp
    call soil_coefficients(n, ph, clay_silt, bulk_density, setting, coefficient)
    do round = 1, n_cycle
      respiration(:) = 0.0_wp
      leached(:) = 0.0_wp
      do day = 1, n_day
        call day_coefficients(n, temperature(:, day), water(:, day), porosity, setting, coefficient)
        call advance(n, n_substep, time_step, input(:, day), setting, coefficient, carbon, respiration, leached)
      end do
    end do
  end subroutine millennial_cycle

  subroutine millennial_steady_state(n, temperature, water, porosity, ph, clay_silt, bulk_density, input, setting, &
      carbon)
    !! Pools that do not change under constant forcing, in closed form but for one root.
    integer, intent(in) :: n  !! tiles
    real(wp), intent(in) :: temperature(n)  !! soil, K
    real(wp), intent(in) :: water(n)  !! liquid water content, m3 m-3
    real(wp), intent(in) :: porosity(n)  !! m3 m-3
    real(wp), intent(in) :: ph(n)  !! soil pH
    real(wp), intent(in) :: clay_silt(n)  !! clay and silt, per cent
    real(wp), intent(in) :: bulk_density(n)  !! kg m-3
    real(wp), intent(in) :: input(n)  !! plant input, kg m-2 s-1
    real(wp), intent(in) :: setting(25)  !! see millennial_parameters
    real(wp), intent(out) :: carbon(n, 5)  !! kg m-2
    real(wp) :: coefficient(n, n_coefficient), supply(n)
    call soil_coefficients(n, ph, clay_silt, bulk_density, setting, coefficient)
    call day_coefficients(n, temperature, water, porosity, setting, coefficient)
    supply(:) = (grams * day_length) * input(:)
    call steady_state(n, supply, setting, coefficient, carbon)
  end subroutine millennial_steady_state

  subroutine millennial_periodic(n, n_day, n_iteration, n_substep, time_step, tolerance, temperature, water, porosity, &
      ph, clay_silt, bulk_density, input, setting, carbon, respiration, leached, residual, cycles, multiplier, &
      jacobian)
    !! Pools that return to themselves after a cycle of daily drivers, by Newton's method in log X from the steady state
    !! under the mean of the cycle's rates. A multiplier of 1 or more: unstable; a residual above
    !! the tolerance: no such state was found.
    integer, intent(in) :: n  !! tiles
    integer, intent(in) :: n_day  !! steps of the cycle (whole years)
    integer, intent(in) :: n_iteration  !! most trials, such as 36: of three, one takes 6 cycles and two take 1
    integer, intent(in) :: n_substep  !! substeps of a step
    real(wp), intent(in) :: time_step  !! s
    real(wp), intent(in) :: tolerance  !! of the residual, such as 1e-10
    real(wp), intent(in) :: temperature(n, n_day)  !! soil, K
    real(wp), intent(in) :: water(n, n_day)  !! liquid water content, m3 m-3
    real(wp), intent(in) :: porosity(n)  !! m3 m-3
    real(wp), intent(in) :: ph(n)  !! soil pH
    real(wp), intent(in) :: clay_silt(n)  !! clay and silt, per cent
    real(wp), intent(in) :: bulk_density(n)  !! kg m-3
    real(wp), intent(in) :: input(n, n_day)  !! plant input of each step, kg m-2
    real(wp), intent(in) :: setting(25)  !! see millennial_parameters
    real(wp), intent(out) :: carbon(n, 5)  !! pools at the start of the cycle, kg m-2
    real(wp), intent(out) :: respiration(n)  !! of the cycle, kg m-2
    real(wp), intent(out) :: leached(n)  !! of the cycle, kg m-2
    real(wp), intent(out) :: residual(n)  !! largest change of log X over the cycle from that state
    real(wp), intent(out) :: cycles(n)  !! forcing cycles that the tile consumed (tangents included)
    real(wp), intent(out) :: multiplier(n)  !! largest modulus of the Floquet multipliers
    real(wp), intent(out) :: jacobian(n, 5, 5)  !! tangent map of the cycle, d log Phi/d log X
    real(wp) :: coefficient(n, n_coefficient), replica(n, n_pool, 0:n_pool)
    real(wp) :: origin(n, n_pool), move(n, n_pool), share(n), emitted(n), washed(n)
    real(wp) :: average(n, n_coefficient), supply(n), weight
    integer :: i, day, iteration, copy
    logical :: tangent
    call soil_coefficients(n, ph, clay_silt, bulk_density, setting, coefficient)
    average(:, :) = coefficient(:, :)
    supply(:) = 0.0_wp
    weight = 1.0_wp / real(max(1, n_day), wp)
    do day = 1, n_day
      call day_coefficients(n, temperature(:, day), water(:, day), porosity, setting, coefficient)
      do i = 1, n
        average(i, c_wet) = average(i, c_wet) + weight * coefficient(i, c_wet)
        average(i, c_particulate) = average(i, c_particulate) + weight * coefficient(i, c_particulate)
        average(i, c_uptake) = average(i, c_uptake) + weight * coefficient(i, c_uptake)
        average(i, c_efficiency) = average(i, c_efficiency) &
          + weight * coefficient(i, c_uptake) * coefficient(i, c_efficiency)
        supply(i) = supply(i) + weight * (grams * day_length / time_step) * input(i, day)
      end do
    end do
    do i = 1, n
      average(i, c_efficiency) = average(i, c_efficiency) / max(average(i, c_uptake), 1.0e-200_wp)
    end do
    call steady_state(n, supply, setting, average, carbon)
    residual(:) = -1.0_wp
    cycles(:) = 0.0_wp
    share(:) = 0.0_wp
    move(:, :) = 0.0_wp
    jacobian(:, :, :) = 0.0_wp
    emitted(:) = 0.0_wp
    washed(:) = 0.0_wp
    origin(:, :) = carbon(:, :)
    do iteration = 1, n_iteration
      tangent = mod(iteration, 3) == 1
      call newton_replicas(n, n_pool, carbon, replica)
      do day = 1, n_day
        call day_coefficients(n, temperature(:, day), water(:, day), porosity, setting, coefficient)
        do copy = 0, merge(n_pool, 0, tangent)
          call advance(n, n_substep, time_step, input(:, day), setting, coefficient, replica(:, :, copy), &
            emitted, washed)
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
    leached(:) = 0.0_wp
    do day = 1, n_day
      call day_coefficients(n, temperature(:, day), water(:, day), porosity, setting, coefficient)
      copy = 0
      call advance(n, n_substep, time_step, input(:, day), setting, coefficient, replica(:, :, copy), &
        respiration, leached)
      do copy = 1, n_pool
        call advance(n, n_substep, time_step, input(:, day), setting, coefficient, replica(:, :, copy), &
            emitted, washed)
      end do
    end do
    cycles(:) = cycles(:) + real(n_pool + 1, wp)
    call newton_tangent(n, n_pool, replica, carbon, residual, jacobian)
    call spectral_radius(n, n_pool, jacobian, multiplier)
  end subroutine millennial_periodic

  subroutine steady_state(n, supply, setting, coefficient, carbon)
    !! Microbes in balance (efficiency x uptake = death) leave one equation, input = leaching + respiration, which
    !! rises with the low-molecular pool: bisection of its logarithm. The other pools are linear.
    integer, intent(in) :: n  !! tiles
    real(wp), intent(in) :: supply(n)  !! input, g m-2 d-1
    real(wp), intent(in) :: setting(n_parameter)  !! see millennial_parameters
    real(wp), intent(in) :: coefficient(n, n_coefficient)  !! coefficients of the tiles
    real(wp), intent(out) :: carbon(n, n_pool)  !! kg m-2
    real(wp), parameter :: lowest = -60.0_wp, highest = 30.0_wp  !! log of g m-2
    real(wp), parameter :: least = 1.0e-200_wp
    real(wp) :: low, high, middle, soluble, filled, uptake, microbes, lost, sorbed, mineral, particulate, aggregates
    real(wp) :: efficient, breakdown_particulate, exchange, through, per_gram
    integer :: i, k
    per_gram = 1.0_wp / grams
    do i = 1, n
      efficient = coefficient(i, c_efficiency)
      low = lowest
      high = highest
      do k = 1, 60
        middle = 0.5_wp * (low + high)
        soluble = exp(middle)
        filled = soluble / (setting(half_uptake) + soluble)
        uptake = efficient / setting(death) * (coefficient(i, c_uptake) * filled) ** 2
        lost = setting(leaching) * coefficient(i, c_wet) * soluble + (1.0_wp - efficient) * uptake
        if (lost < supply(i)) then
          low = middle
        else
          high = middle
        end if
      end do
      microbes = efficient * coefficient(i, c_uptake) * filled / setting(death)
      breakdown_particulate = coefficient(i, c_particulate) * microbes / (setting(half_particulate) + microbes)
      exchange = setting(aggregation_mineral) * coefficient(i, c_wet)
      through = setting(aggregation) * coefficient(i, c_wet) * (1.0_wp - setting(break_particulate))
      sorbed = coefficient(i, c_wet) * coefficient(i, c_sorption) * soluble
      mineral = (sorbed + setting(death_mineral) * setting(death) * microbes * microbes &
        + through * setting(to_particulate) * supply(i) / max(through + breakdown_particulate, least)) &
        / max((sorbed + setting(desorption)) / coefficient(i, c_capacity) + exchange * setting(break_particulate) &
        * breakdown_particulate / max(through + breakdown_particulate, least), least)
      particulate = (setting(to_particulate) * supply(i) + setting(break_particulate) * exchange * mineral) &
        / max(through + breakdown_particulate, least)
      aggregates = (exchange * mineral + setting(aggregation) * coefficient(i, c_wet) * particulate) &
        / max(setting(breakdown) * coefficient(i, c_wet), least)
      carbon(i, 1) = per_gram * particulate
      carbon(i, 2) = per_gram * soluble
      carbon(i, 3) = per_gram * aggregates
      carbon(i, 4) = per_gram * microbes
      carbon(i, 5) = per_gram * mineral
      if (supply(i) <= 0.0_wp) carbon(i, :) = 0.0_wp
    end do
  end subroutine steady_state

  subroutine soil_coefficients(n, ph, clay_silt, bulk_density, setting, coefficient)
    !! Sorption capacity and affinity.
    integer, intent(in) :: n  !! tiles
    real(wp), intent(in) :: ph(n)  !! pH
    real(wp), intent(in) :: clay_silt(n)  !! per cent
    real(wp), intent(in) :: bulk_density(n)  !! kg m-3
    real(wp), intent(in) :: setting(n_parameter)  !! see millennial_parameters
    real(wp), intent(out) :: coefficient(n, n_coefficient)  !! coefficients of the tiles
    integer :: i
    coefficient(:, :) = 0.0_wp
    do i = 1, n
      ! soil without fine particles: a capacity so small that what is sorbed returns at once
      coefficient(i, c_capacity) = max(1.0_wp, bulk_density(i) * clay_silt(i) * setting(capacity))
      coefficient(i, c_sorption) = setting(desorption) &
        * exp(-setting(sorption_ph) * ph(i) - setting(sorption_base))
    end do
  end subroutine soil_coefficients

  subroutine day_coefficients(n, temperature, water, porosity, setting, coefficient)
    !! What depends on the weather.
    integer, intent(in) :: n  !! tiles
    real(wp), intent(in) :: temperature(n)  !! K
    real(wp), intent(in) :: water(n)  !! m3 m-3
    real(wp), intent(in) :: porosity(n)  !! m3 m-3
    real(wp), intent(in) :: setting(n_parameter)  !! see millennial_parameters
    real(wp), intent(inout) :: coefficient(n, n_coefficient)  !! coefficients of the tiles
    integer :: i
    real(wp) :: filled, wet, active, dryness
    dryness = exp(-setting(suction_slope) * setting(suction))
    do i = 1, n
      filled = min(1.0_wp, max(0.0_wp, water(i) / porosity(i)))
      wet = sqrt(filled)
      active = dryness * (setting(dry_activity) + (1.0_wp - setting(dry_activity)) * sqrt(1.0_wp - filled)) * wet
      coefficient(i, c_wet) = wet
      coefficient(i, c_particulate) = wet * setting(factor_particulate) &
        * exp(-setting(energy_particulate) / (setting(gas) * temperature(i)))
      coefficient(i, c_uptake) = active * setting(factor_uptake) &
        * exp(-setting(energy_uptake) / (setting(gas) * temperature(i)))
      coefficient(i, c_efficiency) = min(1.0_wp, max(0.0_wp, setting(efficiency) - setting(efficiency_slope) &
        * (temperature(i) - freezing_point - setting(efficiency_reference))))
    end do
  end subroutine day_coefficients

  subroutine specific_rates(n, setting, coefficient, pool, rate)
    !! Flux over its donor for every flux, d-1.
    integer, intent(in) :: n  !! tiles
    real(wp), intent(in) :: setting(n_parameter)  !! see millennial_parameters
    real(wp), intent(in) :: coefficient(n, n_coefficient)  !! coefficients of the tiles
    real(wp), intent(in) :: pool(n, n_pool)  !! g m-2
    real(wp), intent(out) :: rate(n, n_rate)  !! d-1
    integer :: i
    real(wp) :: wet, per_capacity, sorption
    do i = 1, n
      wet = coefficient(i, c_wet)
      per_capacity = 1.0_wp / coefficient(i, c_capacity)
      sorption = wet * coefficient(i, c_sorption)
      rate(i, 1) = coefficient(i, c_particulate) * pool(i, 4) / (setting(half_particulate) + pool(i, 4))
      rate(i, 2) = setting(aggregation) * wet
      rate(i, 3) = setting(breakdown) * wet
      rate(i, 4) = setting(leaching) * wet
      rate(i, 5) = sorption
      rate(i, 6) = sorption * pool(i, 2) * per_capacity
      rate(i, 7) = setting(desorption) * per_capacity
      rate(i, 8) = coefficient(i, c_uptake) * pool(i, 4) / (setting(half_uptake) + pool(i, 2))
      rate(i, 9) = setting(death) * pool(i, 4)
      rate(i, 10) = setting(aggregation_mineral) * wet
    end do
  end subroutine specific_rates

  subroutine advance(n, n_substep, time_step, input, setting, coefficient, carbon, respiration, leached)
    !! The pools after a step, in substeps of two stages.
    integer, intent(in) :: n  !! tiles
    integer, intent(in) :: n_substep  !! substeps
    real(wp), intent(in) :: time_step  !! s
    real(wp), intent(in) :: input(n)  !! of the step, kg m-2
    real(wp), intent(in) :: setting(n_parameter)  !! see millennial_parameters
    real(wp), intent(in) :: coefficient(n, n_coefficient)  !! coefficients of the tiles
    real(wp), intent(inout) :: carbon(n, n_pool)  !! kg m-2
    real(wp), intent(inout) :: respiration(n)  !! the step's is added, kg m-2
    real(wp), intent(inout) :: leached(n)  !! the step's is added, kg m-2
    real(wp), parameter :: tiny_pool = 1.0e-290_wp
    real(wp) :: rate(n, n_rate), later(n, n_rate), pool(n, n_pool), stage(n, n_pool), ratio(n, n_pool)
    real(wp) :: emitted(n), washed(n), step, share
    integer :: i, substep, flux, k
    step = time_step / (day_length * real(max(1, n_substep), wp))
    share = grams / real(max(1, n_substep), wp)
    do k = 1, n_pool
      do i = 1, n
        pool(i, k) = grams * carbon(i, k)
      end do
    end do
    do substep = 1, max(1, n_substep)
      call specific_rates(n, setting, coefficient, pool, rate)
      call implicit_stage(n, step, share, input, setting, coefficient, rate, pool, stage, emitted, washed)
      call specific_rates(n, setting, coefficient, stage, later)
      do k = 1, n_pool
        do i = 1, n
          ratio(i, k) = pool(i, k) / max(stage(i, k), tiny_pool)
        end do
      end do
      do flux = 1, n_rate
        do i = 1, n
          rate(i, flux) = 0.5_wp * (rate(i, flux) * ratio(i, donor(flux)) + later(i, flux))
        end do
      end do
      call implicit_stage(n, step, share, input, setting, coefficient, rate, pool, stage, emitted, washed)
      do k = 1, n_pool
        do i = 1, n
          pool(i, k) = stage(i, k)
        end do
      end do
      do i = 1, n
        respiration(i) = respiration(i) + emitted(i) / grams
        leached(i) = leached(i) + washed(i) / grams
      end do
    end do
    do k = 1, n_pool
      do i = 1, n
        carbon(i, k) = pool(i, k) / grams
      end do
    end do
  end subroutine advance

  subroutine implicit_stage(n, step, share, input, setting, coefficient, rate, pool, after, emitted, washed)
    !! Pools after an implicit step with given rates: (I - step A) after = pool + input.
    integer, intent(in) :: n  !! tiles
    real(wp), intent(in) :: step  !! d
    real(wp), intent(in) :: share  !! share of the input that comes in this step, times g per kg
    real(wp), intent(in) :: input(n)  !! kg m-2
    real(wp), intent(in) :: setting(n_parameter)  !! see millennial_parameters
    real(wp), intent(in) :: coefficient(n, n_coefficient)  !! coefficients of the tiles
    real(wp), intent(in) :: rate(n, n_rate)  !! d-1
    real(wp), intent(in) :: pool(n, n_pool)  !! g m-2
    real(wp), intent(out) :: after(n, n_pool)  !! g m-2
    real(wp), intent(out) :: emitted(n)  !! respired in the step, g m-2
    real(wp), intent(out) :: washed(n)  !! leached in the step, g m-2
    integer :: i
    real(wp) :: d1, d2, d3, d4, d5, u31, u13, u53, u35, u21, u42, u24, u52, u25, u54, f, r1, r2, r3, r4, r5
    real(wp) :: u23
    ! Pools 1 particulate, 3 aggregates, 5 mineral, 4 microbes, 2 low-molecular; u(receiver, donor) = step x rate > 0.
    do i = 1, n
      r1 = pool(i, 1) + share * input(i) * setting(to_particulate)
      r2 = pool(i, 2) + (share * input(i) - share * input(i) * setting(to_particulate))
      r3 = pool(i, 3)
      r4 = pool(i, 4)
      r5 = pool(i, 5)
      u21 = step * rate(i, 1)
      u31 = step * rate(i, 2)
      u13 = step * rate(i, 3) * setting(break_particulate)
      u53 = step * rate(i, 3) * (1.0_wp - setting(break_particulate))
      u52 = step * rate(i, 5)
      u25 = step * (rate(i, 6) + rate(i, 7))
      u42 = step * rate(i, 8) * coefficient(i, c_efficiency)
      u24 = step * rate(i, 9) * (1.0_wp - setting(death_mineral))
      u54 = step * rate(i, 9) * setting(death_mineral)
      u35 = step * rate(i, 10)
      d1 = 1.0_wp + u21 + u31
      d2 = 1.0_wp + step * (rate(i, 4) + rate(i, 5) + rate(i, 8))
      d3 = 1.0_wp + step * rate(i, 3)
      d4 = 1.0_wp + step * rate(i, 9)
      d5 = 1.0_wp + u25 + u35
      ! eliminate 1 from 2, 3
      f = u31 / d1
      d3 = d3 - f * u13
      r3 = r3 + f * r1
      f = u21 / d1
      u23 = f * u13
      r2 = r2 + f * r1
      ! eliminate 3 from 2, 5
      f = u53 / d3
      d5 = d5 - f * u35
      r5 = r5 + f * r3
      f = u23 / d3
      u25 = u25 + f * u35
      r2 = r2 + f * r3
      ! eliminate 4 from 2, 5
      f = u54 / d4
      u52 = u52 + f * u42
      r5 = r5 + f * r4
      f = u24 / d4
      d2 = d2 - f * u42
      r2 = r2 + f * r4
      ! eliminate 5 from 2
      f = u25 / d5
      d2 = d2 - f * u52
      r2 = r2 + f * r5
      ! back
      r2 = r2 / d2
      r5 = (r5 + u52 * r2) / d5
      r4 = (r4 + u42 * r2) / d4
      r3 = (r3 + u35 * r5) / d3
      r1 = (r1 + u13 * r3) / d1
      after(i, 1) = r1
      after(i, 2) = r2
      after(i, 3) = r3
      after(i, 4) = r4
      after(i, 5) = r5
      emitted(i) = step * rate(i, 8) * (1.0_wp - coefficient(i, c_efficiency)) * r2
      washed(i) = step * rate(i, 4) * r2
    end do
  end subroutine implicit_stage
end module concerto_millennial
