module concerto_decomposition
  !! Soil carbon as linear pools: dX/dt = u + xi (T - I) K X (Luo et al. 2017, Biogeosciences 14:145), one kernel
  !! for all
  !! schemes of decomposition.toml. X kg m-2; K base rates, s-1; T transfer fractions (receiver, donor); xi
  !! environment scalar;
  !! u input. What no receiver gets is respired. Fluxes are computed first and the pools updated from them, so that
  !! input - respiration = change of the pools to round-off.
  use concerto_kinds, only: wp
  use concerto_constants, only: seconds_per_year
  use concerto_decomposition_tables, only: n_scheme, largest_scheme, scheme_cencn, scheme_rothc, scheme_century, &
    scheme_pools, scheme_rates, scheme_transfer
  implicit none
  private
  public :: decomposition_scheme, litter_to_pools, soil_carbon_step, heterotrophic_respiration, &
    close_respiration_buffer, &
    soil_carbon_periodic, rothc_month

  integer, parameter :: n_term = 12  !! terms of the series; error 1e-16 for rates times step to 0.3

contains

  subroutine decomposition_scheme(n, n_pool, scheme, sand, clay, lignin, rate, transfer, respired)
    !! Base rates and transfer fractions of a scheme, entries that depend on the soil filled in.
    !! Pools beyond those of the scheme have rate 0 and stay empty.
    integer, intent(in) :: n  !! tiles
    integer, intent(in) :: n_pool  !! pools of the state, at least those of the scheme
    integer, intent(in) :: scheme  !! 1 cencn, 2 rothc, 3 century, 4 yasso07
    real(wp), intent(in) :: sand(n)  !! sand, per cent
    real(wp), intent(in) :: clay(n)  !! clay, per cent
    real(wp), intent(in) :: lignin(n)  !! lignin share of structural litter (century only), 0 to 1
    real(wp), intent(out) :: rate(n, n_pool)  !! base rate, s-1
    real(wp), intent(out) :: transfer(n, n_pool, n_pool)  !! fraction of what leaves, (receiver, donor)
    real(wp), intent(out) :: respired(n, n_pool)  !! fraction of what leaves that is respired
    integer :: i, donor, receiver, k
    real(wp) :: share, fine
    k = min(max(scheme, 1), n_scheme)
    rate(:, :) = 0.0_wp
    transfer(:, :, :) = 0.0_wp
    do donor = 1, min(n_pool, largest_scheme)
      do i = 1, n
        rate(i, donor) = scheme_rates(donor, k) / seconds_per_year
      end do
      do receiver = 1, min(n_pool, largest_scheme)
        do i = 1, n
          transfer(i, receiver, donor) = scheme_transfer(receiver, donor, k)
        end do
      end do
    end do
    if (n_pool >= scheme_pools(k)) then
      select case (k)
      case (scheme_cencn)
        do i = 1, n
          ! the active pool respires less on clay and silt
          transfer(i, 5, 4) = 1.0_wp - (0.85_wp - 0.68_wp * (1.0_wp - 0.01_wp * sand(i))) - transfer(i, 6, 4)
        end do
      case (scheme_rothc)
        do donor = 1, 4
          do i = 1, n
            share = 1.0_wp / (1.0_wp + 1.67_wp * (1.85_wp + 1.60_wp * exp(-0.0786_wp * clay(i))))
            transfer(i, 3, donor) = 0.46_wp * share
            transfer(i, 4, donor) = 0.54_wp * share
          end do
        end do
      case (scheme_century)
        do i = 1, n
          fine = 1.0_wp - 0.01_wp * sand(i)
          share = exp(-3.0_wp * lignin(i))
          rate(i, 1) = rate(i, 1) * share
          rate(i, 3) = rate(i, 3) * share
          rate(i, 5) = rate(i, 5) * (1.0_wp - 0.75_wp * fine)
          transfer(i, 5, 1) = 0.55_wp * (1.0_wp - lignin(i))
          transfer(i, 5, 3) = 0.45_wp * (1.0_wp - lignin(i))
          transfer(i, 6, 1) = 0.7_wp * lignin(i)
          transfer(i, 6, 3) = 0.7_wp * lignin(i)
          transfer(i, 6, 5) = 1.0_wp - (0.85_wp - 0.68_wp * fine) - transfer(i, 7, 5)
        end do
      end select
    end if
    do donor = 1, n_pool
      do i = 1, n
        respired(i, donor) = 1.0_wp
      end do
      do receiver = 1, n_pool
        do i = 1, n
          respired(i, donor) = respired(i, donor) - transfer(i, receiver, donor)
        end do
      end do
    end do
  end subroutine decomposition_scheme

  subroutine litter_to_pools(n, n_pool, scheme, metabolic, cellulose, dpm_rpm_ratio, litter_leaf, litter_fine_root, &
      litter_wood, litter_seed, input)
    !! Dead plant tissue to the pools of a scheme. cencn: leaf, root and seed by composition, wood to coarse debris;
    !! rothc: all tissue by the ratio of decomposable to resistant material; other schemes: all to the first pool.
    integer, intent(in) :: n  !! tiles
    integer, intent(in) :: n_pool  !! pools of the state
    integer, intent(in) :: scheme  !! 1 cencn, 2 rothc
    real(wp), intent(in) :: metabolic(n)  !! metabolic share of leaf, root and seed litter
    real(wp), intent(in) :: cellulose(n)  !! cellulose share of leaf, root and seed litter; the rest is lignin
    real(wp), intent(in) :: dpm_rpm_ratio(n)  !! decomposable over resistant plant material (rothc)
    real(wp), intent(in) :: litter_leaf(n)  !! kg m-2
    real(wp), intent(in) :: litter_fine_root(n)  !! kg m-2
    real(wp), intent(in) :: litter_wood(n)  !! kg m-2
    real(wp), intent(in) :: litter_seed(n)  !! kg m-2
    real(wp), intent(out) :: input(n, n_pool)  !! kg m-2
    integer :: i
    real(wp) :: soft, all, first, second
    input(:, :) = 0.0_wp
    select case (scheme)
    case (scheme_cencn)
      do i = 1, n
        soft = litter_leaf(i) + litter_fine_root(i) + litter_seed(i)
        first = metabolic(i) * soft
        second = cellulose(i) * soft
        input(i, 1) = first
        input(i, 2) = second
        input(i, 3) = soft - first - second
        input(i, 7) = litter_wood(i)
      end do
    case (scheme_rothc)
      do i = 1, n
        all = litter_leaf(i) + litter_fine_root(i) + litter_seed(i) + litter_wood(i)
        first = all * dpm_rpm_ratio(i) / (1.0_wp + dpm_rpm_ratio(i))
        input(i, 1) = first
        input(i, 2) = all - first
      end do
    case default
      do i = 1, n
        input(i, 1) = litter_leaf(i) + litter_fine_root(i) + litter_seed(i) + litter_wood(i)
      end do
    end select
  end subroutine litter_to_pools

  subroutine soil_carbon_step(n, n_pool, n_substep, time_step, rate, transfer, respired, scalar, input, carbon, &
      respiration, decomposed)
    !! One step of the pools, exact for rates and input that are constant within it: the series of the exponential
    !! for the
    !! time integral of the pools gives every flux.
    integer, intent(in) :: n  !! tiles
    integer, intent(in) :: n_pool  !! pools
    integer, intent(in) :: n_substep  !! substeps: 1 for a day, more where rate times step exceeds 0.3
    real(wp), intent(in) :: time_step  !! s
    real(wp), intent(in) :: rate(n, n_pool)  !! base rate, s-1
    real(wp), intent(in) :: transfer(n, n_pool, n_pool)  !! fraction of what leaves, (receiver, donor)
    real(wp), intent(in) :: respired(n, n_pool)  !! fraction of what leaves that is respired
    real(wp), intent(in) :: scalar(n)  !! environment scalar, mean of the step
    real(wp), intent(in) :: input(n, n_pool)  !! input during the step, kg m-2
    real(wp), intent(inout) :: carbon(n, n_pool)  !! kg m-2
    real(wp), intent(out) :: respiration(n)  !! heterotrophic respiration of the step, kg m-2
    real(wp), intent(out) :: decomposed(n, n_pool)  !! what left each pool in the step, kg m-2
    integer :: i, donor, receiver, substep
    real(wp) :: step, share, loss(n, n_pool)
    step = time_step / real(max(1, n_substep), wp)
    share = 1.0_wp / real(max(1, n_substep), wp)
    respiration(:) = 0.0_wp
    decomposed(:, :) = 0.0_wp
    do substep = 1, max(1, n_substep)
      call losses(n, n_pool, step, share, rate, transfer, scalar, input, carbon, loss)
      do donor = 1, n_pool
        do i = 1, n
          carbon(i, donor) = carbon(i, donor) + (share * input(i, donor) - loss(i, donor))
          decomposed(i, donor) = decomposed(i, donor) + loss(i, donor)
          respiration(i) = respiration(i) + respired(i, donor) * loss(i, donor)
        end do
      end do
      do donor = 1, n_pool
        do receiver = 1, n_pool
          do i = 1, n
            carbon(i, receiver) = carbon(i, receiver) + transfer(i, receiver, donor) * loss(i, donor)
          end do
        end do
      end do
    end do
  end subroutine soil_carbon_step

  subroutine losses(n, n_pool, step, share, rate, transfer, scalar, input, carbon, loss)
    !! What leaves each pool in a step: rate times the integral of the pool, by the Taylor series of the exponential.
    integer, intent(in) :: n  !! tiles
    integer, intent(in) :: n_pool  !! pools
    real(wp), intent(in) :: step  !! s
    real(wp), intent(in) :: share  !! share of the input that comes in the step
    real(wp), intent(in) :: rate(n, n_pool)  !! s-1
    real(wp), intent(in) :: transfer(n, n_pool, n_pool)  !! fraction, (receiver, donor)
    real(wp), intent(in) :: scalar(n)  !! environment scalar
    real(wp), intent(in) :: input(n, n_pool)  !! kg m-2
    real(wp), intent(in) :: carbon(n, n_pool)  !! kg m-2
    real(wp), intent(out) :: loss(n, n_pool)  !! kg m-2
    integer :: i, donor, receiver, order
    real(wp) :: factor
    real(wp) :: term(n, n_pool), flow(n, n_pool), mean(n, n_pool)
    ! term: derivative of the pool times powers of the step; mean: integral of the pool over the step divided by it
    do donor = 1, n_pool
      do i = 1, n
        flow(i, donor) = step * scalar(i) * rate(i, donor) * carbon(i, donor)
        term(i, donor) = share * input(i, donor) - flow(i, donor)
      end do
    end do
    do donor = 1, n_pool
      do receiver = 1, n_pool
        do i = 1, n
          term(i, receiver) = term(i, receiver) + transfer(i, receiver, donor) * flow(i, donor)
        end do
      end do
    end do
    do donor = 1, n_pool
      do i = 1, n
        mean(i, donor) = carbon(i, donor) + 0.5_wp * term(i, donor)
      end do
    end do
    factor = 0.5_wp
    do order = 2, n_term
      do donor = 1, n_pool
        do i = 1, n
          flow(i, donor) = step * scalar(i) * rate(i, donor) * term(i, donor)
          term(i, donor) = -flow(i, donor)
        end do
      end do
      do donor = 1, n_pool
        do receiver = 1, n_pool
          do i = 1, n
            term(i, receiver) = term(i, receiver) + transfer(i, receiver, donor) * flow(i, donor)
          end do
        end do
      end do
      factor = factor / real(order + 1, wp)
      do donor = 1, n_pool
        do i = 1, n
          mean(i, donor) = mean(i, donor) + factor * term(i, donor)
        end do
      end do
    end do
    do donor = 1, n_pool
      do i = 1, n
        loss(i, donor) = step * scalar(i) * rate(i, donor) * mean(i, donor)
      end do
    end do
  end subroutine losses

  subroutine heterotrophic_respiration(n, n_pool, rate, respired, scalar, carbon, respiration)
    !! Instantaneous respiration of pools held since the last daily step, with the scalar of the moment.
    integer, intent(in) :: n  !! tiles
    integer, intent(in) :: n_pool  !! pools
    real(wp), intent(in) :: rate(n, n_pool)  !! base rate, s-1
    real(wp), intent(in) :: respired(n, n_pool)  !! fraction of what leaves that is respired
    real(wp), intent(in) :: scalar(n)  !! environment scalar of the moment
    real(wp), intent(in) :: carbon(n, n_pool)  !! kg m-2
    real(wp), intent(out) :: respiration(n)  !! kg m-2 s-1
    integer :: i, pool
    respiration(:) = 0.0_wp
    do pool = 1, n_pool
      do i = 1, n
        respiration(i) = respiration(i) + rate(i, pool) * respired(i, pool) * carbon(i, pool)
      end do
    end do
    do i = 1, n
      respiration(i) = scalar(i) * respiration(i)
    end do
  end subroutine heterotrophic_respiration

  subroutine close_respiration_buffer(n, day, respiration, buffer, release, imbalance)
    !! End of day: the buffer, which the fast respiration has drawn on, gets the carbon that the pools lost; the
    !! remainder
    !! leaves evenly through the next day. Each fast step emits fast respiration + release and takes both from the
    !! buffer.
    integer, intent(in) :: n  !! tiles
    real(wp), intent(in) :: day  !! length of the next day, s
    real(wp), intent(in) :: respiration(n)  !! carbon that the pools lost in the day, kg m-2
    real(wp), intent(inout) :: buffer(n)  !! reserved (positive) or owed (negative) carbon, kg m-2
    real(wp), intent(out) :: release(n)  !! emission during the next day besides the fast respiration, kg m-2 s-1
    real(wp), intent(out) :: imbalance(n)  !! remainder over the day's respiration (warn above 0.05)
    integer :: i
    do i = 1, n
      buffer(i) = buffer(i) + respiration(i)
      release(i) = buffer(i) / day
      imbalance(i) = abs(buffer(i)) / max(respiration(i), 1.0e-8_wp)
    end do
  end subroutine close_respiration_buffer

  subroutine soil_carbon_periodic(n, n_pool, n_day, time_step, rate, transfer, respired, scalar, input, carbon, &
      respiration, residual)
    !! Pools that return to themselves after a cycle of forcing: X* = (I - P)**(-1) q, P the product of the daily step
    !! matrices, q what the input leaves from empty pools. Exact, no iteration. Pools that never decompose keep
    !! their value.
    integer, intent(in) :: n  !! tiles
    integer, intent(in) :: n_pool  !! pools
    integer, intent(in) :: n_day  !! steps of the cycle
    real(wp), intent(in) :: time_step  !! s
    real(wp), intent(in) :: rate(n, n_pool)  !! base rate, s-1
    real(wp), intent(in) :: transfer(n, n_pool, n_pool)  !! fraction of what leaves, (receiver, donor)
    real(wp), intent(in) :: respired(n, n_pool)  !! fraction of what leaves that is respired
    real(wp), intent(in) :: scalar(n, n_day)  !! environment scalar of each step
    real(wp), intent(in) :: input(n, n_pool, n_day)  !! input of each step, kg m-2
    real(wp), intent(inout) :: carbon(n, n_pool)  !! pools at the start of the cycle, kg m-2
    real(wp), intent(out) :: respiration(n)  !! respiration of the last cycle, kg m-2
    real(wp), intent(out) :: residual(n)  !! change of a pool over one cycle, largest, relative to the total
    integer :: i, day, column, pool, row, donor
    real(wp) :: pivot, factor
    real(wp) :: matrix(n, n_pool, n_pool + 1), state(n, n_pool), change(n, n_pool), none(n, n_pool)
    real(wp) :: loss(n, n_pool), start(n, n_pool), total(n)
    none(:, :) = 0.0_wp
    ! columns 1..n_pool: I - P, from the summed changes of unit pools (no difference of near-equal numbers); last: q
    do column = 1, n_pool + 1
      state(:, :) = 0.0_wp
      if (column <= n_pool) state(:, column) = 1.0_wp
      change(:, :) = 0.0_wp
      do day = 1, n_day
        if (column <= n_pool) then
          call losses(n, n_pool, time_step, 1.0_wp, rate, transfer, scalar(:, day), none, state, loss)
        else
          call losses(n, n_pool, time_step, 1.0_wp, rate, transfer, scalar(:, day), input(:, :, day), state, loss)
        end if
        if (column > n_pool) then
          do pool = 1, n_pool
            do i = 1, n
              change(i, pool) = change(i, pool) + input(i, pool, day)
              state(i, pool) = state(i, pool) + input(i, pool, day)
            end do
          end do
        end if
        do donor = 1, n_pool
          do i = 1, n
            change(i, donor) = change(i, donor) - loss(i, donor)
            state(i, donor) = state(i, donor) - loss(i, donor)
          end do
          do pool = 1, n_pool
            do i = 1, n
              change(i, pool) = change(i, pool) + transfer(i, pool, donor) * loss(i, donor)
              state(i, pool) = state(i, pool) + transfer(i, pool, donor) * loss(i, donor)
            end do
          end do
        end do
      end do
      factor = merge(-1.0_wp, 1.0_wp, column <= n_pool)
      do pool = 1, n_pool
        do i = 1, n
          matrix(i, pool, column) = factor * change(i, pool)
        end do
      end do
    end do
    ! elimination in fixed order: I - P is an M-matrix, so no pivoting is needed
    do pool = 1, n_pool
      do i = 1, n
        ! a pool that loses nothing in the cycle is kept
        pivot = matrix(i, pool, pool)
        matrix(i, pool, n_pool + 1) = merge(matrix(i, pool, n_pool + 1), carbon(i, pool), pivot > 1.0e-14_wp)
        none(i, pool) = merge(1.0_wp, 0.0_wp, pivot > 1.0e-14_wp)
        matrix(i, pool, pool) = merge(pivot, 1.0_wp, pivot > 1.0e-14_wp)
      end do
      do column = pool + 1, n_pool
        do i = 1, n
          matrix(i, pool, column) = none(i, pool) * matrix(i, pool, column)
        end do
      end do
      do row = pool + 1, n_pool
        do i = 1, n
          loss(i, row) = matrix(i, row, pool) / matrix(i, pool, pool)
        end do
        do column = pool + 1, n_pool + 1
          do i = 1, n
            matrix(i, row, column) = matrix(i, row, column) - loss(i, row) * matrix(i, pool, column)
          end do
        end do
      end do
    end do
    do pool = n_pool, 1, -1
      do i = 1, n
        state(i, pool) = matrix(i, pool, n_pool + 1)
      end do
      do column = pool + 1, n_pool
        do i = 1, n
          state(i, pool) = state(i, pool) - matrix(i, pool, column) * state(i, column)
        end do
      end do
      do i = 1, n
        state(i, pool) = state(i, pool) / matrix(i, pool, pool)
      end do
    end do
    ! a cycle from there shows how well it returns
    start(:, :) = state
    respiration(:) = 0.0_wp
    do day = 1, n_day
      call soil_carbon_step(n, n_pool, 1, time_step, rate, transfer, respired, scalar(:, day), input(:, :, day), &
        state, &
        total, loss)
      do i = 1, n
        respiration(i) = respiration(i) + total(i)
      end do
    end do
    residual(:) = 0.0_wp
    total(:) = 1.0e-12_wp
    do pool = 1, n_pool
      do i = 1, n
        residual(i) = max(residual(i), abs(state(i, pool) - start(i, pool)))
        total(i) = total(i) + start(i, pool)
        carbon(i, pool) = start(i, pool)
      end do
    end do
    do i = 1, n
      residual(i) = residual(i) / total(i)
    end do
  end subroutine soil_carbon_periodic

  subroutine rothc_month(n, time_step, clay, scalar, input, carbon, respiration)
    !! One month of RothC 26.3 in its own order: each pool loses exp(-rate), the loss is shared once, then the input
    !! enters.
    !! For comparison with RothC programs; the model itself uses soil_carbon_step.
    integer, intent(in) :: n  !! tiles
    real(wp), intent(in) :: time_step  !! yr, 1/12
    real(wp), intent(in) :: clay(n)  !! clay, per cent
    real(wp), intent(in) :: scalar(n)  !! product of temperature, moisture and cover factors
    real(wp), intent(in) :: input(n, 4)  !! input to DPM, RPM, BIO, HUM, any mass unit
    real(wp), intent(inout) :: carbon(n, 4)  !! DPM, RPM, BIO, HUM
    real(wp), intent(out) :: respiration(n)  !! CO2 of the month
    integer :: i, pool
    real(wp) :: share, loss, lost(n)
    lost(:) = 0.0_wp
    do pool = 1, 4
      do i = 1, n
        loss = carbon(i, pool) * (1.0_wp - exp(-scalar(i) * scheme_rates(pool, scheme_rothc) * time_step))
        lost(i) = lost(i) + loss
        carbon(i, pool) = carbon(i, pool) + (input(i, pool) - loss)
      end do
    end do
    do i = 1, n
      share = 1.0_wp / (1.0_wp + 1.67_wp * (1.85_wp + 1.60_wp * exp(-0.0786_wp * clay(i))))
      carbon(i, 3) = carbon(i, 3) + 0.46_wp * share * lost(i)
      carbon(i, 4) = carbon(i, 4) + 0.54_wp * share * lost(i)
      respiration(i) = (1.0_wp - share) * lost(i)
    end do
  end subroutine rothc_month
end module concerto_decomposition
