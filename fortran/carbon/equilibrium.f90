module concerto_equilibrium
  !! Pools that would keep a measured cycle of forcing in balance. A cycle is run with any state, the flows between
  !! pools and layers are summed, and every pool gets the factor by which its whole course must be multiplied so that
  !! what enters it in the cycle leaves it again: flux-weighted semi-analytical spin-up (Xia et al. 2012, Geosci. Model
  !! Dev. 5:1259; Liao et al. 2023, J. Adv. Model. Earth Syst. 15). Rates and stocks may vary together within the
  !! year: their products are measured. The fixed point of repeated cycles and solutions is the true periodic state.
  !!
  !! Unknowns of a column run over pools within layers; flows reach at most one layer, so the matrix is a band. Each
  !! unknown keeps what it loses for good ("slack") beside its flows to others, and elimination adds and never subtracts
  !! (Grassmann, Taksar & Heyman 1985): factors are positive and exact to round-off however slow a pool is.
  use concerto_kinds, only: wp
  implicit none
  private
  public :: cycle_sums, flux_weighted_equilibrium, wood_equilibrium, cycle_residual

contains

  subroutine cycle_sums(n, n_layer, n_pool, n_mixed, time_step, thickness, rate, scalar, mixing, limitation, input, &
      carbon, input_sum, loss_sum, down_sum, up_sum)
    !! Adds one implicit step of the layered soil to the sums of a cycle: input, decomposition and what mixing carried.
    !! All follow from the pools after the step: where nitrogen was short, limit_litter gave back (1 - limitation) of
    !! the potential loss after mixing had seen the smaller pool. Serves carbon, nitrogen of litter and isotopes.
    integer, intent(in) :: n  !! tiles
    integer, intent(in) :: n_layer  !! layers
    integer, intent(in) :: n_pool  !! pools
    integer, intent(in) :: n_mixed  !! pools that are mixed, the first ones (6: all but coarse debris)
    real(wp), intent(in) :: time_step  !! s
    real(wp), intent(in) :: thickness(n_layer)  !! layer thickness, m
    real(wp), intent(in) :: rate(n, n_pool)  !! base rate, s-1
    real(wp), intent(in) :: scalar(n, n_layer)  !! environment scalar with depth, mean of the step
    real(wp), intent(in) :: mixing(n, n_layer - 1)  !! diffusivity over distance at interior faces, m s-1
    real(wp), intent(in) :: limitation(n, n_layer, n_pool)  !! share of the potential loss of litter, 1 for other pools
    real(wp), intent(in) :: input(n, n_layer, n_pool)  !! input of the step, kg m-2 per layer
    real(wp), intent(in) :: carbon(n, n_layer, n_pool)  !! pools after the step, kg m-2 per layer
    real(wp), intent(inout) :: input_sum(n, n_layer, n_pool)  !! kg m-2 per layer
    real(wp), intent(inout) :: loss_sum(n, n_layer, n_pool)  !! what left each pool by decomposition, kg m-2 per layer
    real(wp), intent(inout) :: down_sum(n, n_layer, n_pool)  !! carried to the next layer, kg m-2
    real(wp), intent(inout) :: up_sum(n, n_layer, n_pool)  !! carried to the layer above, kg m-2
    integer :: i, layer, pool, above
    real(wp) :: decay, share, down, up, mixed(n)
    do pool = 1, n_pool
      do layer = 1, n_layer
        do i = 1, n
          decay = time_step * scalar(i, layer) * rate(i, pool)
          share = limitation(i, layer, pool)
          mixed(i) = carbon(i, layer, pool) / (1.0_wp + (1.0_wp - share) * decay)
          input_sum(i, layer, pool) = input_sum(i, layer, pool) + input(i, layer, pool)
          loss_sum(i, layer, pool) = loss_sum(i, layer, pool) + share * decay * mixed(i)
        end do
        if (pool <= n_mixed .and. layer < n_layer) then
          down = time_step / thickness(layer)
          do i = 1, n
            down_sum(i, layer, pool) = down_sum(i, layer, pool) + down * mixing(i, layer) * mixed(i)
          end do
        end if
        if (pool <= n_mixed .and. layer > 1) then
          up = time_step / thickness(layer)
          above = max(1, layer - 1)
          do i = 1, n
            up_sum(i, layer, pool) = up_sum(i, layer, pool) + up * mixing(i, above) * mixed(i)
          end do
        end if
      end do
    end do
  end subroutine cycle_sums

  subroutine flux_weighted_equilibrium(n, n_layer, n_pool, slowest, transfer, input_sum, loss_sum, other_loss_sum, &
      down_sum, up_sum, carbon_start, carbon, factor, correction)
    !! Pools at the start of the cycle that would balance the measured flows. A pool that turns over less than
    !! `slowest` in a cycle (frozen ground, an empty pool, one that never decomposes) keeps its value. The factor is
    !! applied to the mean of the values at both ends of the cycle, which cancels the drift of slow pools to first
    !! order. Works for carbon, nitrogen of litter (flows of litter only) and isotopes (decay in other_loss_sum).
    integer, intent(in) :: n  !! tiles
    integer, intent(in) :: n_layer  !! layers (1: no mixing)
    integer, intent(in) :: n_pool  !! pools
    real(wp), intent(in) :: slowest  !! smallest turnover of a cycle that is solved for, such as 1e-9
    real(wp), intent(in) :: transfer(n, n_pool, n_pool)  !! fraction of what leaves, (receiver, donor)
    real(wp), intent(in) :: input_sum(n, n_layer, n_pool)  !! input of the cycle, kg m-2 per layer
    real(wp), intent(in) :: loss_sum(n, n_layer, n_pool)  !! what left each pool by decomposition, kg m-2 per layer
    real(wp), intent(in) :: other_loss_sum(n, n_layer, n_pool)  !! what left for good otherwise (decay, fire), kg m-2
    real(wp), intent(in) :: down_sum(n, n_layer, n_pool)  !! carried to the next layer by mixing, kg m-2
    real(wp), intent(in) :: up_sum(n, n_layer, n_pool)  !! carried to the layer above by mixing, kg m-2
    real(wp), intent(in) :: carbon_start(n, n_layer, n_pool)  !! pools at the start of the cycle, kg m-2 per layer
    real(wp), intent(inout) :: carbon(n, n_layer, n_pool)  !! in: end of the cycle; out: balanced, kg m-2 per layer
    real(wp), intent(out) :: factor(n, n_layer, n_pool)  !! by which the course of each pool is multiplied
    real(wp), intent(out) :: correction(n)  !! sum of the changes over the total at the end of the cycle
    integer :: i, layer, pool, receiver, unknown, last, later, other, reach, first_later
    real(wp) :: share, middle, value, solved, kept, total_sum(n), moved(n), gone(n)
    ! flow(:, k, u): from u to the unknown u + k - n_pool - 1; k = n_pool + 1 is unused
    real(wp) :: flow(n, 2 * n_pool + 1, n_layer * n_pool)
    real(wp) :: slack(n, n_layer * n_pool), source(n, n_layer * n_pool), total(n, n_layer * n_pool)
    real(wp) :: fixed(n, n_layer * n_pool), answer(n, n_layer * n_pool)
    flow(:, :, :) = 0.0_wp
    do layer = 1, n_layer
      do pool = 1, n_pool
        unknown = (layer - 1) * n_pool + pool
        do i = 1, n
          slack(i, unknown) = 1.0_wp
          source(i, unknown) = input_sum(i, layer, pool)
          ! the last layer gives nothing down, the first nothing up
          if (layer < n_layer) flow(i, 2 * n_pool + 1, unknown) = down_sum(i, layer, pool)
          if (layer > 1) flow(i, 1, unknown) = up_sum(i, layer, pool)
        end do
        do receiver = 1, n_pool
          if (receiver /= pool) then
            do i = 1, n
              flow(i, receiver - pool + n_pool + 1, unknown) = flow(i, receiver - pool + n_pool + 1, unknown) &
                + transfer(i, receiver, pool) * loss_sum(i, layer, pool)
            end do
          end if
          ! what returns to the pool itself (RothC) never left
          do i = 1, n
            slack(i, unknown) = slack(i, unknown) - transfer(i, receiver, pool)
          end do
        end do
        do i = 1, n
          slack(i, unknown) = max(0.0_wp, slack(i, unknown)) * loss_sum(i, layer, pool) + other_loss_sum(i, layer, pool)
          total(i, unknown) = slack(i, unknown)
        end do
        do other = 1, 2 * n_pool + 1
          do i = 1, n
            total(i, unknown) = total(i, unknown) + flow(i, other, unknown)
          end do
        end do
        do i = 1, n
          middle = 0.5_wp * (carbon_start(i, layer, pool) + carbon(i, layer, pool))
          fixed(i, unknown) = merge(0.0_wp, 1.0_wp, total(i, unknown) > max(slowest * middle, 1.0e-290_wp))
        end do
      end do
    end do
    last = n_layer * n_pool
    ! a pool that keeps its value is a known source of others, and what others give it is lost to them
    do unknown = 1, last
      do other = max(1, unknown - n_pool), min(last, unknown + n_pool)
        reach = other - unknown + n_pool + 1
        do i = 1, n
          solved = (1.0_wp - fixed(i, unknown)) * fixed(i, other)
          value = flow(i, reach, unknown)
          slack(i, unknown) = slack(i, unknown) + solved * value
          kept = (1.0_wp - solved) * value
          source(i, other) = source(i, other) + fixed(i, unknown) * value
          flow(i, reach, unknown) = kept * (1.0_wp - fixed(i, unknown))
        end do
      end do
    end do
    do unknown = 1, last
      do i = 1, n
        slack(i, unknown) = merge(1.0_wp, slack(i, unknown), fixed(i, unknown) > 0.5_wp)
        source(i, unknown) = merge(1.0_wp, source(i, unknown), fixed(i, unknown) > 0.5_wp)
      end do
    end do
    ! elimination in fixed order
    do unknown = 1, last
      first_later = unknown + 1
      do i = 1, n
        total(i, unknown) = slack(i, unknown)
      end do
      do later = first_later, min(last, unknown + n_pool)
        do i = 1, n
          total(i, unknown) = total(i, unknown) + flow(i, later - unknown + n_pool + 1, unknown)
        end do
      end do
      do i = 1, n
        ! flows among pools without any way out of them leave the last one free: it keeps its value
        middle = total(i, unknown)
        fixed(i, unknown) = merge(fixed(i, unknown), 1.0_wp, middle > 1.0e-290_wp)
        total(i, unknown) = merge(1.0_wp / max(middle, 1.0e-290_wp), 0.0_wp, middle > 1.0e-290_wp)
        gone(i) = merge(slack(i, unknown) * total(i, unknown), 1.0_wp, middle > 1.0e-290_wp)
      end do
      do later = first_later, min(last, unknown + n_pool)
        ! what the later unknown gives to this one goes on in the shares of its ways out
        do i = 1, n
          slack(i, later) = slack(i, later) + flow(i, unknown - later + n_pool + 1, later) * gone(i)
          source(i, later) = source(i, later) &
            + flow(i, later - unknown + n_pool + 1, unknown) * total(i, unknown) * source(i, unknown)
        end do
        do other = first_later, min(last, unknown + n_pool)
          if (other /= later) then
            do i = 1, n
              share = flow(i, unknown - later + n_pool + 1, later) * total(i, unknown)
              flow(i, other - later + n_pool + 1, later) = flow(i, other - later + n_pool + 1, later) &
                + share * flow(i, other - unknown + n_pool + 1, unknown)
            end do
          end if
        end do
      end do
    end do
    do unknown = last, 1, -1
      do i = 1, n
        answer(i, unknown) = source(i, unknown)
      end do
      do later = unknown + 1, min(last, unknown + n_pool)
        do i = 1, n
          answer(i, unknown) = answer(i, unknown) + flow(i, unknown - later + n_pool + 1, later) * answer(i, later)
        end do
      end do
      do i = 1, n
        answer(i, unknown) = merge(1.0_wp, answer(i, unknown) * total(i, unknown), fixed(i, unknown) > 0.5_wp)
      end do
    end do
    total_sum(:) = 0.0_wp
    moved(:) = 0.0_wp
    do pool = 1, n_pool
      do layer = 1, n_layer
        unknown = (layer - 1) * n_pool + pool
        do i = 1, n
          value = carbon(i, layer, pool)
          middle = 0.5_wp * (carbon_start(i, layer, pool) + value)
          solved = merge(value, answer(i, unknown) * middle, fixed(i, unknown) > 0.5_wp)
          factor(i, layer, pool) = answer(i, unknown)
          carbon(i, layer, pool) = solved
          total_sum(i) = total_sum(i) + abs(value)
          moved(i) = moved(i) + abs(solved - value)
        end do
      end do
    end do
    do i = 1, n
      correction(i) = moved(i) / max(total_sum(i), 1.0e-290_wp)
    end do
  end subroutine flux_weighted_equilibrium

  subroutine wood_equilibrium(n, cycle_length, growth_sum, respiration_sum, wood_share, sapwood_to_heartwood_sum, &
      sapwood_loss_sum, heartwood_loss_sum, sapwood_start, heartwood_start, sapwood, heartwood, factor)
    !! Sapwood and heartwood that balance a measured cycle. More sapwood respires more, and a share of that carbon is
    !! missing from its growth: growth - share R (y - 1) = y (losses). Heartwood then follows from what sapwood gives.
    !! Without losses (no wood, no turnover) a pool keeps its value.
    integer, intent(in) :: n  !! tiles
    real(wp), intent(in) :: cycle_length  !! yr, bounds the step: a pool changes at most by what grows in 1e4 yr
    real(wp), intent(in) :: growth_sum(n)  !! carbon built into sapwood in the cycle, kg m-2
    real(wp), intent(in) :: respiration_sum(n)  !! maintenance respiration of sapwood in the cycle, kg m-2
    real(wp), intent(in) :: wood_share(n)  !! share of one more kg of carbon that would become sapwood, 0 to 1
    real(wp), intent(in) :: sapwood_to_heartwood_sum(n)  !! kg m-2
    real(wp), intent(in) :: sapwood_loss_sum(n)  !! mortality and other losses of sapwood, kg m-2
    real(wp), intent(in) :: heartwood_loss_sum(n)  !! mortality and other losses of heartwood, kg m-2
    real(wp), intent(in) :: sapwood_start(n)  !! at the start of the cycle, kg m-2
    real(wp), intent(in) :: heartwood_start(n)  !! at the start of the cycle, kg m-2
    real(wp), intent(inout) :: sapwood(n)  !! in: end of the cycle; out: balanced, kg m-2
    real(wp), intent(inout) :: heartwood(n)  !! in: end of the cycle; out: balanced, kg m-2
    real(wp), intent(out) :: factor(n, 2)  !! of sapwood and heartwood
    integer :: i
    real(wp) :: cost, out, first, second, most
    do i = 1, n
      cost = max(0.0_wp, wood_share(i) * respiration_sum(i))
      out = sapwood_to_heartwood_sum(i) + sapwood_loss_sum(i)
      first = (max(0.0_wp, growth_sum(i)) + cost) / max(out + cost, 1.0e-290_wp)
      first = merge(first, 1.0_wp, out > 1.0e-12_wp * (sapwood_start(i) + sapwood(i)) + 1.0e-290_wp)
      second = first * sapwood_to_heartwood_sum(i) / max(heartwood_loss_sum(i), 1.0e-290_wp)
      second = merge(second, 1.0_wp, &
        heartwood_loss_sum(i) > 1.0e-12_wp * (heartwood_start(i) + heartwood(i)) + 1.0e-290_wp)
      most = 1.0e4_wp / cycle_length * max(0.0_wp, growth_sum(i))
      factor(i, 1) = first
      factor(i, 2) = second
      sapwood(i) = min(0.5_wp * (sapwood_start(i) + sapwood(i)) * first, max(sapwood(i), most))
      heartwood(i) = min(0.5_wp * (heartwood_start(i) + heartwood(i)) * second, max(heartwood(i), most))
    end do
  end subroutine wood_equilibrium

  subroutine cycle_residual(n, n_pool, start, finish, residual, worst_change, worst_pool)
    !! How well pools return to themselves over a cycle, measured and not inferred.
    integer, intent(in) :: n  !! tiles
    integer, intent(in) :: n_pool  !! pools (and layers)
    real(wp), intent(in) :: start(n, n_pool)  !! at the start of the cycle, kg m-2
    real(wp), intent(in) :: finish(n, n_pool)  !! at its end, kg m-2
    real(wp), intent(out) :: residual(n)  !! change of the total over the total at the start
    real(wp), intent(out) :: worst_change(n)  !! largest change of a pool over the total at the start
    real(wp), intent(out) :: worst_pool(n)  !! its number, from 1
    integer :: i, pool
    real(wp) :: change, total(n)
    total(:) = 0.0_wp
    residual(:) = 0.0_wp
    worst_change(:) = -1.0_wp
    worst_pool(:) = 1.0_wp
    do pool = 1, n_pool
      do i = 1, n
        change = finish(i, pool) - start(i, pool)
        total(i) = total(i) + abs(start(i, pool))
        residual(i) = residual(i) + change
        worst_pool(i) = merge(real(pool, wp), worst_pool(i), abs(change) > worst_change(i))
        worst_change(i) = max(worst_change(i), abs(change))
      end do
    end do
    do i = 1, n
      residual(i) = abs(residual(i)) / max(total(i), 1.0e-12_wp)
      worst_change(i) = worst_change(i) / max(total(i), 1.0e-12_wp)
    end do
  end subroutine cycle_residual
end module concerto_equilibrium
