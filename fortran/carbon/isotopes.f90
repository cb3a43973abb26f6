module concerto_isotopes
  !! 13C and 14C as tracers of the carbon pools. A tracer is the abundance of the isotope in all carbon, divided by
  !! the abundance in the standard, times the carbon (kg C m-2): a pool of the standard (delta13C 0, Delta14C 0)
  !! has tracer = carbon, and 13C + 12C = C exactly. Every carbon flux takes the ratio tracer / carbon of its donor;
  !! only photosynthesis fractionates (13C), only 14C decays. 14C is carried free of fractionation, as Delta14C is
  !! reported (normalised to delta13C -25 per mil): assimilate has the Delta14C of the air.
  !! Sources: Farquhar, O'Leary & Berry (1982, C3), Farquhar (1983, C4), Stuiver & Polach (1977, radiocarbon), as in
  !! CTSM, CABLE and LPX.
  use concerto_kinds, only: wp
  use concerto_constants, only: seconds_per_day
  use concerto_soil_column, only: litter_step, limit_litter, soil_step
  implicit none
  private
  public :: discrimination, add_discrimination, mean_discrimination, assimilate_carbon13, assimilate_carbon14, &
    tracer_plants_day, tracer_column_day, radioactive_decay, radiocarbon_equilibrium, &
    radiocarbon_column_equilibrium, delta_carbon13, delta_carbon14

  real(wp), parameter :: days_per_year = 365.25_wp
  real(wp), parameter :: log_two = 0.69314718055994531_wp
  real(wp), parameter :: standard_ratio = 0.0112372_wp  !! 13C / 12C of VPDB (Craig 1957)
  real(wp), parameter :: standard_abundance = standard_ratio / (1.0_wp + standard_ratio)  !! 13C / C of VPDB
  integer, parameter :: n_plant_pool = 6  !! labile, leaf, fine root, sapwood, heartwood, seed
  real(wp), parameter :: endless = 1.0e17_wp  !! a step in which every pool comes to rest, s
  real(wp), parameter :: least_carbon = 1.0e-30_wp  !! guards divisions by empty pools, kg m-2

contains

  subroutine discrimination(n, diffusion, carboxylation, pep_carboxylation, leak, leakiness, ci, ca, c4, permil)
    !! Discrimination against 13C in photosynthesis, R_air / R_assimilate - 1. C3: a + (b - a) ci/ca; C4:
    !! a + (b4 + b3 phi - a) ci/ca. Ratios beyond 0 to 1 (leaves that respire) are cut; their weight is 0.
    integer, intent(in) :: n  !! tiles
    real(wp), intent(in) :: diffusion  !! a, diffusion through stomata, per mil; 4.4
    real(wp), intent(in) :: carboxylation  !! b, Rubisco and the rest of C3 fixation, per mil; 27
    real(wp), intent(in) :: pep_carboxylation  !! b4, PEP carboxylation and hydration of CO2, per mil; -5.7
    real(wp), intent(in) :: leak  !! b3, Rubisco in bundle sheaths, per mil; 30
    real(wp), intent(in) :: leakiness  !! phi, share of the carbon fixed by PEP carboxylase that leaks; 0.4
    real(wp), intent(in) :: ci(n)  !! CO2 inside the leaf, any unit (that of ca)
    real(wp), intent(in) :: ca(n)  !! CO2 of the air, any unit
    real(wp), intent(in) :: c4(n)  !! 1: C4 plant
    real(wp), intent(out) :: permil(n)  !! discrimination, per mil
    integer :: i
    real(wp) :: ratio, slope_c3, slope_c4, slope
    slope_c3 = carboxylation - diffusion
    slope_c4 = pep_carboxylation + leak * leakiness - diffusion
    do i = 1, n
      ratio = min(1.0_wp, max(0.0_wp, ci(i) / max(ca(i), 1.0e-6_wp)))
      slope = merge(slope_c4, slope_c3, c4(i) > 0.5_wp)
      permil(i) = diffusion + slope * ratio
    end do
  end subroutine discrimination

  subroutine add_discrimination(n, time_step, diffusion, carboxylation, pep_carboxylation, leak, leakiness, &
      assimilation, ci, ca, c4, weighted)
    !! Fast step: adds assimilation times discrimination of one class of leaves to the sum of the day. Leaves that
    !! take up nothing do not count.
    integer, intent(in) :: n  !! tiles
    real(wp), intent(in) :: time_step  !! s
    real(wp), intent(in) :: diffusion  !! a, per mil; 4.4
    real(wp), intent(in) :: carboxylation  !! b, per mil; 27
    real(wp), intent(in) :: pep_carboxylation  !! b4, per mil; -5.7
    real(wp), intent(in) :: leak  !! b3, per mil; 30
    real(wp), intent(in) :: leakiness  !! phi, 0 to 1; 0.4
    real(wp), intent(in) :: assimilation(n)  !! gross assimilation of these leaves, kg m-2 s-1
    real(wp), intent(in) :: ci(n)  !! CO2 inside these leaves, any unit (that of ca)
    real(wp), intent(in) :: ca(n)  !! CO2 of the air, any unit
    real(wp), intent(in) :: c4(n)  !! 1: C4 plant
    real(wp), intent(inout) :: weighted(n)  !! sum of gross assimilation times discrimination, kg m-2 per mil
    integer :: i
    real(wp) :: ratio, slope_c3, slope_c4, slope
    slope_c3 = carboxylation - diffusion
    slope_c4 = pep_carboxylation + leak * leakiness - diffusion
    do i = 1, n
      ratio = min(1.0_wp, max(0.0_wp, ci(i) / max(ca(i), 1.0e-6_wp)))
      slope = merge(slope_c4, slope_c3, c4(i) > 0.5_wp)
      weighted(i) = weighted(i) + time_step * max(0.0_wp, assimilation(i)) * (diffusion + slope * ratio)
    end do
  end subroutine add_discrimination

  subroutine mean_discrimination(n, weighted, gpp, permil)
    !! Mean of a day weighted by photosynthesis; 0 when there was none.
    integer, intent(in) :: n  !! tiles
    real(wp), intent(in) :: weighted(n)  !! sum of gross assimilation times discrimination, kg m-2 per mil
    real(wp), intent(in) :: gpp(n)  !! gross primary production of the same time, kg m-2
    real(wp), intent(out) :: permil(n)  !! discrimination, per mil
    integer :: i
    do i = 1, n
      permil(i) = weighted(i) / max(gpp(i), least_carbon)
      permil(i) = merge(permil(i), 0.0_wp, gpp(i) > least_carbon)
    end do
  end subroutine mean_discrimination

  subroutine assimilate_carbon13(n, delta_air, permil, abundance)
    !! Normalised 13C abundance of assimilate: R = R_air / (1 + discrimination).
    integer, intent(in) :: n  !! tiles
    real(wp), intent(in) :: delta_air(n)  !! delta13C of CO2 in the air, per mil (VPDB)
    real(wp), intent(in) :: permil(n)  !! discrimination, per mil
    real(wp), intent(out) :: abundance(n)  !! abundance of assimilate over that of the standard, 1
    integer :: i
    real(wp) :: ratio
    do i = 1, n
      ratio = (1.0_wp + 1.0e-3_wp * delta_air(i)) / (1.0_wp + 1.0e-3_wp * permil(i))
      abundance(i) = ratio * (1.0_wp + standard_ratio) / (1.0_wp + standard_ratio * ratio)
    end do
  end subroutine assimilate_carbon13

  subroutine assimilate_carbon14(n, delta_air, abundance)
    !! Normalised 14C abundance of assimilate: that of the air, since Delta14C is free of fractionation.
    integer, intent(in) :: n  !! tiles
    real(wp), intent(in) :: delta_air(n)  !! Delta14C of CO2 in the air, per mil
    real(wp), intent(out) :: abundance(n)  !! abundance of assimilate over that of the standard, 1
    integer :: i
    do i = 1, n
      abundance(i) = 1.0_wp + 1.0e-3_wp * delta_air(i)
    end do
  end subroutine assimilate_carbon14

  subroutine tracer_plants_day(n, n_flux, n_sink, flux_donor, flux_receiver, flux, carbon, gpp, maintenance, &
      assimilate, tracer, sink, respired)
    !! One day of a tracer in plants, from the fluxes of vegetation_daily. Tissue gives with the ratio it had before
    !! the day. The labile pool mixes what it held, the assimilate of the day and what tissue returns to it; with that
    !! ratio it pays maintenance respiration, growth and everything else. What a donor gives is cut at what it holds,
    !! so that no pool falls below 0 by rounding.
    integer, intent(in) :: n  !! tiles
    integer, intent(in) :: n_flux  !! fluxes of the table
    integer, intent(in) :: n_sink  !! receivers outside the plant: litter of tissues, growth respiration, ...
    integer, intent(in) :: flux_donor(n_flux)  !! pool that gives: 1 labile, 2 leaf, 3 root, 4, 5 wood, 6 seed
    integer, intent(in) :: flux_receiver(n_flux)  !! pool that gets, or 6 + number of the sink
    real(wp), intent(in) :: flux(n, n_flux)  !! carbon moved in the day, kg m-2
    real(wp), intent(in) :: carbon(n, 6)  !! carbon of the pools before the day, kg m-2
    real(wp), intent(in) :: gpp(n)  !! gross primary production of the day, kg m-2
    real(wp), intent(in) :: maintenance(n)  !! maintenance respiration of the day, kg m-2
    real(wp), intent(in) :: assimilate(n)  !! normalised abundance of the assimilate, 1
    real(wp), intent(inout) :: tracer(n, 6)  !! tracer of the pools, kg m-2
    real(wp), intent(out) :: sink(n, n_sink)  !! tracer that each sink gets, kg m-2
    real(wp), intent(out) :: respired(n)  !! tracer in maintenance respiration, kg m-2
    integer :: i, k, pool, donor, receiver
    real(wp) :: part
    real(wp) :: ratio(n, n_plant_pool), gained(n, n_plant_pool), labile(n)
    do k = 1, n_sink
      do i = 1, n
        sink(i, k) = 0.0_wp
      end do
    end do
    do pool = 2, n_plant_pool
      do i = 1, n
        ratio(i, pool) = tracer(i, pool) / max(carbon(i, pool), least_carbon)
        gained(i, pool) = 0.0_wp
      end do
    end do
    do i = 1, n
      labile(i) = max(0.0_wp, carbon(i, 1)) + gpp(i)
      tracer(i, 1) = tracer(i, 1) + assimilate(i) * gpp(i)
    end do

    ! what tissue gives; what the labile pool gets it may give again on the same day
    do k = 1, n_flux
      donor = flux_donor(k)
      receiver = flux_receiver(k)
      if (donor < 2 .or. donor > n_plant_pool) cycle
      if (receiver == 1) then
        do i = 1, n
          part = min(tracer(i, donor), ratio(i, donor) * flux(i, k))
          tracer(i, donor) = tracer(i, donor) - part
          tracer(i, 1) = tracer(i, 1) + part
          labile(i) = labile(i) + flux(i, k)
        end do
      else if (receiver <= n_plant_pool) then
        do i = 1, n
          part = min(tracer(i, donor), ratio(i, donor) * flux(i, k))
          tracer(i, donor) = tracer(i, donor) - part
          gained(i, receiver) = gained(i, receiver) + part
        end do
      else
        do i = 1, n
          part = min(tracer(i, donor), ratio(i, donor) * flux(i, k))
          tracer(i, donor) = tracer(i, donor) - part
          sink(i, receiver - n_plant_pool) = sink(i, receiver - n_plant_pool) + part
        end do
      end if
    end do

    ! what the labile pool gives
    do i = 1, n
      ratio(i, 1) = tracer(i, 1) / max(labile(i), least_carbon)
      part = min(tracer(i, 1), ratio(i, 1) * maintenance(i))
      tracer(i, 1) = tracer(i, 1) - part
      respired(i) = part
    end do
    do k = 1, n_flux
      receiver = flux_receiver(k)
      if (flux_donor(k) /= 1) cycle
      if (receiver <= n_plant_pool) then
        do i = 1, n
          part = min(tracer(i, 1), ratio(i, 1) * flux(i, k))
          tracer(i, 1) = tracer(i, 1) - part
          gained(i, receiver) = gained(i, receiver) + part
        end do
      else
        do i = 1, n
          part = min(tracer(i, 1), ratio(i, 1) * flux(i, k))
          tracer(i, 1) = tracer(i, 1) - part
          sink(i, receiver - n_plant_pool) = sink(i, receiver - n_plant_pool) + part
        end do
      end if
    end do
    do pool = 2, n_plant_pool
      do i = 1, n
        tracer(i, pool) = tracer(i, pool) + gained(i, pool)
      end do
    end do
  end subroutine tracer_plants_day

  subroutine tracer_column_day(n, n_layer, n_pool, time_step, thickness, rate, transfer, respired, scalar, mixing, &
      limitation, input, tracer, respiration)
    !! One step of a tracer in layered soil: the linear operators of carbon with the tracer's own input, and the share
    !! of potential decomposition that nitrogen allowed to carbon. Dissolved carbon: call dissolved_carbon with the
    !! respiration of the tracer.
    integer, intent(in) :: n  !! tiles
    integer, intent(in) :: n_layer  !! layers
    integer, intent(in) :: n_pool  !! pools, 7
    real(wp), intent(in) :: time_step  !! s
    real(wp), intent(in) :: thickness(n_layer)  !! layer thickness, m
    real(wp), intent(in) :: rate(n, n_pool)  !! base rate, s-1
    real(wp), intent(in) :: transfer(n, n_pool, n_pool)  !! fraction of what leaves, (receiver, donor)
    real(wp), intent(in) :: respired(n, n_pool)  !! fraction of what leaves that is respired
    real(wp), intent(in) :: scalar(n, n_layer)  !! environment scalar with depth
    real(wp), intent(in) :: mixing(n, n_layer - 1)  !! diffusivity over distance at interior faces, m s-1
    real(wp), intent(in) :: limitation(n, n_layer, n_pool)  !! share of the potential loss, 0 to 1; pools 1 to 3 count
    real(wp), intent(in) :: input(n, n_layer, n_pool)  !! tracer in the litter of the step, kg m-2 per layer
    real(wp), intent(inout) :: tracer(n, n_layer, n_pool)  !! kg m-2 per layer
    real(wp), intent(out) :: respiration(n, n_layer)  !! tracer respired in the step, kg m-2 per layer
    real(wp) :: loss(n, n_layer, n_pool)
    call litter_step(n, n_layer, n_pool, time_step, thickness, rate, transfer, scalar, mixing, input, tracer, loss)
    call limit_litter(n, n_layer, n_pool, limitation, tracer, loss)
    call soil_step(n, n_layer, n_pool, time_step, thickness, rate, transfer, respired, scalar, mixing, tracer, loss, &
      respiration)
  end subroutine tracer_column_day

  subroutine radioactive_decay(n, n_pool, time_step, half_life, tracer, decayed)
    !! Exact decay of every pool: X exp(-lambda t).
    integer, intent(in) :: n  !! tiles
    integer, intent(in) :: n_pool  !! pools, layers times pools
    real(wp), intent(in) :: time_step  !! d
    real(wp), intent(in) :: half_life  !! yr; 5730 for 14C
    real(wp), intent(inout) :: tracer(n, n_pool)  !! kg m-2
    real(wp), intent(out) :: decayed(n)  !! what the pools lost, kg m-2
    integer :: i, pool
    real(wp) :: x, share, part
    x = log_two * time_step / (half_life * days_per_year)
    ! 1 - exp(-x) without the loss of digits of the difference where x is small (a day: 3e-7)
    if (x < 1.0e-3_wp) then
      share = x * (1.0_wp - x * (0.5_wp - x * (1.0_wp / 6.0_wp - x * (1.0_wp / 24.0_wp - x / 120.0_wp))))
    else
      share = 1.0_wp - exp(-x)
    end if
    do i = 1, n
      decayed(i) = 0.0_wp
    end do
    do pool = 1, n_pool
      do i = 1, n
        part = share * tracer(i, pool)
        tracer(i, pool) = tracer(i, pool) - part
        decayed(i) = decayed(i) + part
      end do
    end do
  end subroutine radioactive_decay

  subroutine radiocarbon_equilibrium(n, n_pool, half_life, rate, transfer, scalar, input, tracer_input, carbon, tracer)
    !! Start of 14C after a spin-up of linear pools without layers. Means of rates and input give the ratio of every
    !! pool in equilibrium, (I - T) K xi X + lambda X = u for 14C over the same without decay for carbon; that ratio
    !! times the carbon of the pool is the tracer. Pools that do not decompose keep their tracer.
    integer, intent(in) :: n  !! tiles
    integer, intent(in) :: n_pool  !! pools
    real(wp), intent(in) :: half_life  !! yr; 5730 for 14C
    real(wp), intent(in) :: rate(n, n_pool)  !! base rate, s-1
    real(wp), intent(in) :: transfer(n, n_pool, n_pool)  !! fraction of what leaves, (receiver, donor)
    real(wp), intent(in) :: scalar(n)  !! mean environment scalar
    real(wp), intent(in) :: input(n, n_pool)  !! mean input of carbon, kg m-2 s-1
    real(wp), intent(in) :: tracer_input(n, n_pool)  !! mean input of 14C tracer, kg m-2 s-1
    real(wp), intent(in) :: carbon(n, n_pool)  !! carbon of the pools, kg m-2
    real(wp), intent(inout) :: tracer(n, n_pool)  !! 14C tracer of the pools, kg m-2
    integer :: i, pool
    real(wp) :: decay, new
    real(wp) :: stock(n, n_pool), decaying(n, n_pool)
    decay = log_two / (half_life * days_per_year * seconds_per_day)
    call steady_pools(n, n_pool, 0.0_wp, rate, transfer, scalar, input, stock)
    call steady_pools(n, n_pool, decay, rate, transfer, scalar, tracer_input, decaying)
    do pool = 1, n_pool
      do i = 1, n
        new = carbon(i, pool) * (decaying(i, pool) / max(stock(i, pool), least_carbon))
        tracer(i, pool) = merge(new, tracer(i, pool), stock(i, pool) > least_carbon)
      end do
    end do
  end subroutine radiocarbon_equilibrium

  subroutine radiocarbon_column_equilibrium(n, n_layer, n_pool, half_life, thickness, rate, transfer, respired, &
      scalar, mixing, input, tracer_input, carbon, tracer)
    !! Start of 14C after a spin-up of layered soil, as radiocarbon_equilibrium. One implicit step of length 1/lambda
    !! from empty pools, (I + A/lambda) X = u/lambda, is the equilibrium with decay, (A + lambda) X = u; a step
    !! without end is that without decay.
    integer, intent(in) :: n  !! tiles
    integer, intent(in) :: n_layer  !! layers
    integer, intent(in) :: n_pool  !! pools, 7
    real(wp), intent(in) :: half_life  !! yr; 5730 for 14C
    real(wp), intent(in) :: thickness(n_layer)  !! layer thickness, m
    real(wp), intent(in) :: rate(n, n_pool)  !! base rate, s-1
    real(wp), intent(in) :: transfer(n, n_pool, n_pool)  !! fraction of what leaves, (receiver, donor)
    real(wp), intent(in) :: respired(n, n_pool)  !! fraction of what leaves that is respired
    real(wp), intent(in) :: scalar(n, n_layer)  !! mean environment scalar with depth
    real(wp), intent(in) :: mixing(n, n_layer - 1)  !! mean diffusivity over distance at interior faces, m s-1
    real(wp), intent(in) :: input(n, n_layer, n_pool)  !! mean input of carbon, kg m-2 s-1 per layer
    real(wp), intent(in) :: tracer_input(n, n_layer, n_pool)  !! mean input of 14C tracer, kg m-2 s-1 per layer
    real(wp), intent(in) :: carbon(n, n_layer, n_pool)  !! carbon of the pools, kg m-2 per layer
    real(wp), intent(inout) :: tracer(n, n_layer, n_pool)  !! 14C tracer of the pools, kg m-2 per layer
    integer :: i, layer, pool
    real(wp) :: mean_life, new
    real(wp) :: stock(n, n_layer, n_pool), decaying(n, n_layer, n_pool)
    mean_life = half_life * days_per_year * seconds_per_day / log_two
    call column_step_from_nothing(n, n_layer, n_pool, endless, thickness, rate, transfer, respired, scalar, mixing, &
      input, stock)
    call column_step_from_nothing(n, n_layer, n_pool, mean_life, thickness, rate, transfer, respired, scalar, mixing, &
      tracer_input, decaying)
    do pool = 1, n_pool
      do layer = 1, n_layer
        do i = 1, n
          new = carbon(i, layer, pool) * (decaying(i, layer, pool) / max(stock(i, layer, pool), least_carbon))
          tracer(i, layer, pool) = merge(new, tracer(i, layer, pool), stock(i, layer, pool) > least_carbon)
        end do
      end do
    end do
  end subroutine radiocarbon_column_equilibrium

  subroutine column_step_from_nothing(n, n_layer, n_pool, time_step, thickness, rate, transfer, respired, scalar, &
      mixing, input, stock)
    !! What one implicit step leaves of the input in an empty column.
    integer, intent(in) :: n  !! tiles
    integer, intent(in) :: n_layer  !! layers
    integer, intent(in) :: n_pool  !! pools, 7
    real(wp), intent(in) :: time_step  !! s
    real(wp), intent(in) :: thickness(n_layer)  !! m
    real(wp), intent(in) :: rate(n, n_pool)  !! s-1
    real(wp), intent(in) :: transfer(n, n_pool, n_pool)  !! fraction of what leaves, (receiver, donor)
    real(wp), intent(in) :: respired(n, n_pool)  !! fraction of what leaves that is respired
    real(wp), intent(in) :: scalar(n, n_layer)  !! environment scalar
    real(wp), intent(in) :: mixing(n, n_layer - 1)  !! m s-1
    real(wp), intent(in) :: input(n, n_layer, n_pool)  !! kg m-2 s-1 per layer
    real(wp), intent(out) :: stock(n, n_layer, n_pool)  !! kg m-2 per layer
    integer :: i, layer, pool
    real(wp) :: given(n, n_layer, n_pool), loss(n, n_layer, n_pool), respiration(n, n_layer)
    do pool = 1, n_pool
      do layer = 1, n_layer
        do i = 1, n
          stock(i, layer, pool) = 0.0_wp
          given(i, layer, pool) = time_step * input(i, layer, pool)
        end do
      end do
    end do
    call litter_step(n, n_layer, n_pool, time_step, thickness, rate, transfer, scalar, mixing, given, stock, loss)
    call soil_step(n, n_layer, n_pool, time_step, thickness, rate, transfer, respired, scalar, mixing, stock, loss, &
      respiration)
  end subroutine column_step_from_nothing

  subroutine steady_pools(n, n_pool, decay, rate, transfer, scalar, input, stock)
    !! Solves (xi K - xi T K + decay) X = u by elimination in fixed order (an M-matrix needs no pivoting).
    integer, intent(in) :: n  !! tiles
    integer, intent(in) :: n_pool  !! pools
    real(wp), intent(in) :: decay  !! s-1
    real(wp), intent(in) :: rate(n, n_pool)  !! base rate, s-1
    real(wp), intent(in) :: transfer(n, n_pool, n_pool)  !! fraction of what leaves, (receiver, donor)
    real(wp), intent(in) :: scalar(n)  !! environment scalar
    real(wp), intent(in) :: input(n, n_pool)  !! kg m-2 s-1
    real(wp), intent(out) :: stock(n, n_pool)  !! kg m-2; 0 where a pool does not decompose
    integer :: i, pool, row, column
    real(wp) :: factor
    real(wp) :: matrix(n, n_pool, n_pool)
    ! unknowns are the outflows xi K X: entries of order one whatever the rates
    do column = 1, n_pool
      do row = 1, n_pool
        do i = 1, n
          matrix(i, row, column) = -transfer(i, row, column)
        end do
      end do
      do i = 1, n
        factor = scalar(i) * rate(i, column)
        matrix(i, column, column) = matrix(i, column, column) + (1.0_wp + decay / max(factor, least_carbon))
        stock(i, column) = merge(input(i, column), 0.0_wp, factor > least_carbon)
      end do
    end do
    do pool = 1, n_pool - 1
      do row = pool + 1, n_pool
        do i = 1, n
          stock(i, row) = stock(i, row) - matrix(i, row, pool) / matrix(i, pool, pool) * stock(i, pool)
        end do
        do column = n_pool, pool + 1, -1
          do i = 1, n
            matrix(i, row, column) = matrix(i, row, column) &
              - matrix(i, row, pool) / matrix(i, pool, pool) * matrix(i, pool, column)
          end do
        end do
      end do
    end do
    do pool = n_pool, 1, -1
      do column = pool + 1, n_pool
        do i = 1, n
          stock(i, pool) = stock(i, pool) - matrix(i, pool, column) * stock(i, column)
        end do
      end do
      do i = 1, n
        stock(i, pool) = stock(i, pool) / matrix(i, pool, pool)
      end do
    end do
    do pool = 1, n_pool
      do i = 1, n
        factor = scalar(i) * rate(i, pool)
        stock(i, pool) = merge(stock(i, pool) / max(factor, least_carbon), 0.0_wp, factor > least_carbon)
      end do
    end do
  end subroutine steady_pools

  subroutine delta_carbon13(n, missing, smallest, carbon, tracer, delta)
    !! delta13C (VPDB) of a pool or flux from its 13C tracer.
    integer, intent(in) :: n  !! tiles
    real(wp), intent(in) :: missing  !! value for pools without carbon, per mil
    real(wp), intent(in) :: smallest  !! carbon from which on a value is given, any unit (that of carbon)
    real(wp), intent(in) :: carbon(n)  !! carbon, any unit
    real(wp), intent(in) :: tracer(n)  !! 13C tracer, same unit
    real(wp), intent(out) :: delta(n)  !! delta13C, per mil
    integer :: i
    real(wp) :: abundance, value, least, none
    least = max(smallest, least_carbon)
    none = missing
    do i = 1, n
      abundance = tracer(i) / max(carbon(i), least)
      ! R / R_standard of an abundance f F: f (1 - F) / (1 - f F)
      value = abundance * (1.0_wp - standard_abundance) / max(1.0_wp - abundance * standard_abundance, 1.0e-6_wp)
      value = 1.0e3_wp * (value - 1.0_wp)
      delta(i) = merge(value, none, carbon(i) > least)
    end do
  end subroutine delta_carbon13

  subroutine delta_carbon14(n, missing, smallest, carbon, tracer, delta)
    !! Delta14C (normalised for fractionation, absolute: no decay of the standard) from the 14C tracer.
    integer, intent(in) :: n  !! tiles
    real(wp), intent(in) :: missing  !! value for pools without carbon, per mil
    real(wp), intent(in) :: smallest  !! carbon from which on a value is given, any unit (that of carbon)
    real(wp), intent(in) :: carbon(n)  !! carbon, any unit
    real(wp), intent(in) :: tracer(n)  !! 14C tracer, same unit
    real(wp), intent(out) :: delta(n)  !! Delta14C, per mil
    integer :: i
    real(wp) :: value, least, none
    least = max(smallest, least_carbon)
    none = missing
    do i = 1, n
      value = 1.0e3_wp * (tracer(i) / max(carbon(i), least) - 1.0_wp)
      delta(i) = merge(value, none, carbon(i) > least)
    end do
  end subroutine delta_carbon14
end module concerto_isotopes
