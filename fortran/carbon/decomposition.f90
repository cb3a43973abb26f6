module concerto_decomposition
  !! Soil carbon as linear pools: dX/dt = u + (T - I) xi K X (Luo et al. 2017, Biogeosciences 14:145), one kernel for
  !! all schemes of decomposition.toml. X kg m-2; K base rates, s-1; T transfer fractions (receiver, donor); xi
  !! environment scalar of each pool; u input. What no receiver gets is respired. Fluxes are computed first and the
  !! pools updated from them, so that input - respiration = change of the pools to round-off.
  use concerto_kinds, only: wp
  use concerto_constants, only: seconds_per_year, freezing_point
  use concerto_decomposition_tables, only: n_scheme, largest_scheme, scheme_cencn, scheme_rothc, scheme_century, &
    scheme_yasso07, scheme_yasso15, scheme_yasso20, scheme_pools, scheme_rates, scheme_transfer, scheme_inert, &
    scheme_wood, scheme_own_climate, scheme_slope, scheme_curvature, scheme_rain, scheme_size
  implicit none
  private
  public :: decomposition_scheme, litter_quality, one_layer_litter, one_layer_scalars, one_layer_step, &
    one_layer_respiration, one_layer_periodic, close_respiration_buffer, rothc_month

  integer, parameter :: n_term = 12  !! terms of the series; error 1e-16 for rates times step to 0.3

contains

  subroutine decomposition_scheme(n, n_pool, scheme, sand, clay, lignin, rate, transfer, respired)
    !! Base rates and transfer fractions of a scheme, entries that depend on the soil filled in.
    !! Pools beyond those of the scheme have rate 0 and stay empty.
    integer, intent(in) :: n  !! tiles
    integer, intent(in) :: n_pool  !! pools of the state, at least those of the scheme
    integer, intent(in) :: scheme  !! 1 cencn, 2 rothc, 3 century, 4, 5, 6 yasso07, 15, 20
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
        respired(i, donor) = 1.0_wp  ! pools that the scheme does not have lose nothing
      end do
      do receiver = 1, n_pool
        do i = 1, n
          respired(i, donor) = respired(i, donor) - transfer(i, receiver, donor)
        end do
      end do
      do i = 1, n
        respired(i, donor) = max(0.0_wp, respired(i, donor))  ! rounding where nothing is respired
      end do
    end do
  end subroutine decomposition_scheme

  subroutine litter_quality(n, lignin, leaf_litter_cn, root_litter_cn, leaf_lignin_nitrogen, root_lignin_nitrogen, &
      structural_lignin)
    !! Lignin to nitrogen of litter, both as shares of dry matter (40 % carbon), and the lignin share of what CENTURY
    !! calls structural (mean of leaf and root), for decomposition_scheme.
    integer, intent(in) :: n  !! tiles
    real(wp), intent(in) :: lignin(n)  !! lignin share of leaf and root litter, 0 to 1
    real(wp), intent(in) :: leaf_litter_cn(n)  !! C:N of leaf litter (after resorption)
    real(wp), intent(in) :: root_litter_cn(n)  !! C:N of root litter
    real(wp), intent(out) :: leaf_lignin_nitrogen(n)  !! lignin over nitrogen, mass
    real(wp), intent(out) :: root_lignin_nitrogen(n)  !! lignin over nitrogen, mass
    real(wp), intent(out) :: structural_lignin(n)  !! lignin share of structural litter, 0 to 1
    integer :: i
    real(wp) :: leaf, root, share
    do i = 1, n
      leaf = lignin(i) * 2.5_wp * leaf_litter_cn(i)
      root = lignin(i) * 2.5_wp * root_litter_cn(i)
      leaf_lignin_nitrogen(i) = leaf
      root_lignin_nitrogen(i) = root
      ! all lignin is structural; at least a fifth of the litter is, so the denominator stays away from zero
      share = 0.5_wp * (metabolic_share(leaf) + metabolic_share(root))
      structural_lignin(i) = min(1.0_wp, lignin(i) / (1.0_wp - share))
    end do
  end subroutine litter_quality

  elemental function metabolic_share(lignin_nitrogen) result(share)
    !! Metabolic share of litter in CENTURY (Parton et al. 1987), kept between 0.2 and 0.85.
    real(wp), intent(in) :: lignin_nitrogen  !! lignin over nitrogen, mass
    real(wp) :: share
    share = min(0.85_wp, max(0.2_wp, 0.85_wp - 0.018_wp * lignin_nitrogen))
  end function metabolic_share

  subroutine one_layer_litter(n, n_pool, scheme, metabolic, cellulose, dpm_rpm_ratio, leaf_lignin_nitrogen, &
      root_lignin_nitrogen, wood_above, composition, litter_leaf, litter_fine_root, litter_wood, litter_seed, input)
    !! Dead plant tissue to the pools of a scheme. cencn: leaf, root and seed by composition, wood to coarse debris;
    !! rothc: all tissue by the ratio of decomposable to resistant material; century: leaf, seed and wood above ground
    !! to the surface, the rest to the soil, metabolic by lignin to nitrogen, wood structural; yasso: by solubility,
    !! wood to its own size class. Seeds count as leaves.
    integer, intent(in) :: n  !! tiles
    integer, intent(in) :: n_pool  !! pools of the state, at least those of the scheme
    integer, intent(in) :: scheme  !! as in decomposition_scheme
    real(wp), intent(in) :: metabolic(n)  !! metabolic share of leaf, root and seed litter (cencn)
    real(wp), intent(in) :: cellulose(n)  !! cellulose share of leaf, root and seed litter; the rest is lignin (cencn)
    real(wp), intent(in) :: dpm_rpm_ratio(n)  !! decomposable over resistant plant material (rothc)
    real(wp), intent(in) :: leaf_lignin_nitrogen(n)  !! lignin over nitrogen of leaf litter, dry matter (century)
    real(wp), intent(in) :: root_lignin_nitrogen(n)  !! lignin over nitrogen of root litter, dry matter (century)
    real(wp), intent(in) :: wood_above(n)  !! share of wood above ground (century)
    real(wp), intent(in) :: composition(n, 9)  !! shares soluble in acid, water, ethanol of leaf, root, wood (yasso)
    real(wp), intent(in) :: litter_leaf(n)  !! kg m-2
    real(wp), intent(in) :: litter_fine_root(n)  !! kg m-2
    real(wp), intent(in) :: litter_wood(n)  !! kg m-2
    real(wp), intent(in) :: litter_seed(n)  !! kg m-2
    real(wp), intent(out) :: input(n, n_pool)  !! kg m-2
    integer :: i, k
    real(wp) :: soft, all, first, second, leaf, root, share
    input(:, :) = 0.0_wp
    if (n_pool < scheme_pools(min(max(scheme, 1), n_scheme))) then
      ! not enough room for the scheme: nothing is lost
      do i = 1, n
        input(i, 1) = litter_leaf(i) + litter_fine_root(i) + litter_wood(i) + litter_seed(i)
      end do
      return
    end if
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
    case (scheme_century)
      do i = 1, n
        leaf = litter_leaf(i) + litter_seed(i)
        root = litter_fine_root(i)
        share = wood_above(i) * litter_wood(i)
        first = metabolic_share(leaf_lignin_nitrogen(i)) * leaf
        second = metabolic_share(root_lignin_nitrogen(i)) * root
        input(i, 1) = (leaf - first) + share
        input(i, 2) = first
        input(i, 3) = (root - second) + (litter_wood(i) - share)
        input(i, 4) = second
      end do
    case (scheme_yasso07, scheme_yasso15, scheme_yasso20)
      do k = 1, 3
        do i = 1, n
          leaf = litter_leaf(i) + litter_seed(i)
          input(i, k) = composition(i, k) * leaf + composition(i, k + 3) * litter_fine_root(i)
          input(i, k + 4) = composition(i, k + 6) * litter_wood(i)
        end do
      end do
      do i = 1, n
        input(i, 4) = litter_leaf(i) + litter_seed(i) + litter_fine_root(i) - (input(i, 1) + input(i, 2) + input(i, 3))
        input(i, 8) = litter_wood(i) - (input(i, 5) + input(i, 6) + input(i, 7))
      end do
    case default
      do i = 1, n
        input(i, 1) = litter_leaf(i) + litter_fine_root(i) + litter_seed(i) + litter_wood(i)
      end do
    end select
  end subroutine one_layer_litter

  subroutine one_layer_scalars(n, n_pool, scheme, soil_scalar, air_temperature, annual_precipitation, diameter, scalar)
    !! Environment scalar of every pool. Schemes of the soil's state: its scalar, 1 for inert pools (whose rate is 0).
    !! Yasso (Tuomi et al. 2009, 2011; Viskari et al. 2022) in daily form: exp(b1 T + b2 T**2) of the day's mean air
    !! temperature times 1 - exp(g R) of the running annual precipitation, times the effect of the size of wood. The
    !! mean over twelve months of monthly means is the scalar of the original annual step.
    integer, intent(in) :: n  !! tiles
    integer, intent(in) :: n_pool  !! pools of the state
    integer, intent(in) :: scheme  !! as in decomposition_scheme
    real(wp), intent(in) :: soil_scalar(n)  !! scalar from soil temperature and moisture (not yasso)
    real(wp), intent(in) :: air_temperature(n)  !! daily mean (or of the moment), K (yasso)
    real(wp), intent(in) :: annual_precipitation(n)  !! precipitation of the last year, kg m-2 yr-1 (yasso)
    real(wp), intent(in) :: diameter(n)  !! diameter of woody litter, cm (yasso)
    real(wp), intent(out) :: scalar(n, n_pool)  !! multiplier of the base rates
    integer :: i, k, pool, first, same, other
    real(wp) :: celsius, distance, size(n)
    k = min(max(scheme, 1), n_scheme)
    if (scheme <= n_scheme .and. scheme_own_climate(k)) then
      do i = 1, n
        ! the polynomial may fall below 1 and even below 0 for thin litter: then size does not slow anything
        size(i) = max(1.0_wp, 1.0_wp + diameter(i) * (scheme_size(1, k) + diameter(i) * scheme_size(2, k)))
        size(i) = exp(-abs(scheme_size(3, k)) * log(size(i)))
      end do
      do pool = 1, n_pool
        first = min(pool, scheme_pools(k))
        ! the first soft pool of the same climate, or this one
        same = pool
        do other = first - 1, 1, -1
          distance = abs(scheme_slope(other, k) - scheme_slope(first, k)) &
            + abs(scheme_curvature(other, k) - scheme_curvature(first, k)) &
            + abs(scheme_rain(other, k) - scheme_rain(first, k))
          if (.not. (distance > 0.0_wp .or. scheme_wood(other, k))) same = other
        end do
        if (same == pool) then
          do i = 1, n
            celsius = air_temperature(i) - freezing_point
            scalar(i, pool) = exp(celsius * (scheme_slope(first, k) + celsius * scheme_curvature(first, k))) &
              * (1.0_wp - exp(1.0e-3_wp * scheme_rain(first, k) * max(0.0_wp, annual_precipitation(i))))
          end do
        else
          do i = 1, n
            scalar(i, pool) = scalar(i, same)
          end do
        end if
        if (scheme_wood(first, k)) then
          do i = 1, n
            scalar(i, pool) = scalar(i, pool) * size(i)
          end do
        end if
      end do
    else
      do pool = 1, n_pool
        do i = 1, n
          scalar(i, pool) = soil_scalar(i)
        end do
        if (scheme <= n_scheme .and. pool <= largest_scheme) then
          if (scheme_inert(min(pool, largest_scheme), k)) scalar(:, pool) = 1.0_wp
        end if
      end do
    end if
  end subroutine one_layer_scalars

  subroutine one_layer_step(n, n_pool, n_substep, time_step, rate, transfer, respired, scalar, input, carbon, &
      respiration, decomposed)
    !! One step of the pools, exact for rates and input that are constant within it: the series of the exponential
    !! for the time integral of the pools gives every flux.
    integer, intent(in) :: n  !! tiles
    integer, intent(in) :: n_pool  !! pools
    integer, intent(in) :: n_substep  !! substeps: 1 for a day, more where rate times step exceeds 0.3
    real(wp), intent(in) :: time_step  !! s
    real(wp), intent(in) :: rate(n, n_pool)  !! base rate, s-1
    real(wp), intent(in) :: transfer(n, n_pool, n_pool)  !! fraction of what leaves, (receiver, donor)
    real(wp), intent(in) :: respired(n, n_pool)  !! fraction of what leaves that is respired
    real(wp), intent(in) :: scalar(n, n_pool)  !! environment scalar of each pool, mean of the step
    real(wp), intent(in) :: input(n, n_pool)  !! input during the step, kg m-2
    real(wp), intent(inout) :: carbon(n, n_pool)  !! kg m-2
    real(wp), intent(out) :: respiration(n)  !! heterotrophic respiration of the step, kg m-2
    real(wp), intent(out) :: decomposed(n, n_pool)  !! what left each pool in the step, kg m-2
    integer :: i, donor, substep, pair, n_pair, from(n_pool * n_pool), to(n_pool * n_pool)
    real(wp) :: step, share, loss(n, n_pool)
    step = time_step / real(max(1, n_substep), wp)
    share = 1.0_wp / real(max(1, n_substep), wp)
    respiration(:) = 0.0_wp
    decomposed(:, :) = 0.0_wp
    call pairs_of(n, n_pool, transfer, n_pair, from, to)
    do substep = 1, max(1, n_substep)
      call losses(n, n_pool, n_pair, from, to, step, share, rate, transfer, scalar, input, carbon, loss)
      do donor = 1, n_pool
        do i = 1, n
          carbon(i, donor) = carbon(i, donor) + (share * input(i, donor) - loss(i, donor))
          decomposed(i, donor) = decomposed(i, donor) + loss(i, donor)
          respiration(i) = respiration(i) + respired(i, donor) * loss(i, donor)
        end do
      end do
      do pair = 1, n_pair
        do i = 1, n
          carbon(i, to(pair)) = carbon(i, to(pair)) + transfer(i, to(pair), from(pair)) * loss(i, from(pair))
        end do
      end do
    end do
  end subroutine one_layer_step

  subroutine pairs_of(n, n_pool, transfer, n_pair, from, to)
    !! Transfers that are not zero in all tiles: the others would add zero.
    integer, intent(in) :: n  !! tiles
    integer, intent(in) :: n_pool  !! pools
    real(wp), intent(in) :: transfer(n, n_pool, n_pool)  !! fraction of what leaves, (receiver, donor)
    integer, intent(out) :: n_pair  !! number of transfers
    integer, intent(out) :: from(n_pool * n_pool)  !! donors
    integer, intent(out) :: to(n_pool * n_pool)  !! receivers
    integer :: i, donor, receiver
    real(wp) :: largest
    n_pair = 0
    from(:) = 1
    to(:) = 1
    do donor = 1, n_pool
      do receiver = 1, n_pool
        largest = 0.0_wp
        do i = 1, n
          largest = max(largest, abs(transfer(i, receiver, donor)))
        end do
        if (largest > 0.0_wp) then
          n_pair = n_pair + 1
          from(n_pair) = donor
          to(n_pair) = receiver
        end if
      end do
    end do
  end subroutine pairs_of

  subroutine losses(n, n_pool, n_pair, from, to, step, share, rate, transfer, scalar, input, carbon, loss)
    !! What leaves each pool in a step: rate times the integral of the pool, by the Taylor series of the exponential.
    integer, intent(in) :: n  !! tiles
    integer, intent(in) :: n_pool  !! pools
    integer, intent(in) :: n_pair  !! transfers
    integer, intent(in) :: from(n_pool * n_pool)  !! their donors
    integer, intent(in) :: to(n_pool * n_pool)  !! their receivers
    real(wp), intent(in) :: step  !! s
    real(wp), intent(in) :: share  !! share of the input that comes in the step
    real(wp), intent(in) :: rate(n, n_pool)  !! s-1
    real(wp), intent(in) :: transfer(n, n_pool, n_pool)  !! fraction, (receiver, donor)
    real(wp), intent(in) :: scalar(n, n_pool)  !! environment scalar
    real(wp), intent(in) :: input(n, n_pool)  !! kg m-2
    real(wp), intent(in) :: carbon(n, n_pool)  !! kg m-2
    real(wp), intent(out) :: loss(n, n_pool)  !! kg m-2
    integer :: i, pool, pair, order
    real(wp) :: factor
    real(wp) :: speed(n, n_pool), term(n, n_pool), flow(n, n_pool), mean(n, n_pool)
    ! term: derivative of the pool times powers of the step; mean: integral of the pool over the step divided by it
    do pool = 1, n_pool
      do i = 1, n
        speed(i, pool) = step * scalar(i, pool) * rate(i, pool)
        flow(i, pool) = speed(i, pool) * carbon(i, pool)
        term(i, pool) = share * input(i, pool) - flow(i, pool)
      end do
    end do
    do pair = 1, n_pair
      do i = 1, n
        term(i, to(pair)) = term(i, to(pair)) + transfer(i, to(pair), from(pair)) * flow(i, from(pair))
      end do
    end do
    do pool = 1, n_pool
      do i = 1, n
        mean(i, pool) = carbon(i, pool) + 0.5_wp * term(i, pool)
      end do
    end do
    factor = 0.5_wp
    do order = 2, n_term
      do pool = 1, n_pool
        do i = 1, n
          flow(i, pool) = speed(i, pool) * term(i, pool)
          term(i, pool) = -flow(i, pool)
        end do
      end do
      do pair = 1, n_pair
        do i = 1, n
          term(i, to(pair)) = term(i, to(pair)) + transfer(i, to(pair), from(pair)) * flow(i, from(pair))
        end do
      end do
      factor = factor / real(order + 1, wp)
      do pool = 1, n_pool
        do i = 1, n
          mean(i, pool) = mean(i, pool) + factor * term(i, pool)
        end do
      end do
    end do
    do pool = 1, n_pool
      do i = 1, n
        loss(i, pool) = speed(i, pool) * mean(i, pool)
      end do
    end do
  end subroutine losses

  subroutine one_layer_respiration(n, n_pool, rate, respired, scalar, carbon, respiration)
    !! Instantaneous respiration of pools held since the last daily step, with the scalars of the moment.
    integer, intent(in) :: n  !! tiles
    integer, intent(in) :: n_pool  !! pools
    real(wp), intent(in) :: rate(n, n_pool)  !! base rate, s-1
    real(wp), intent(in) :: respired(n, n_pool)  !! fraction of what leaves that is respired
    real(wp), intent(in) :: scalar(n, n_pool)  !! environment scalar of each pool, of the moment
    real(wp), intent(in) :: carbon(n, n_pool)  !! kg m-2
    real(wp), intent(out) :: respiration(n)  !! kg m-2 s-1
    integer :: i, pool
    respiration(:) = 0.0_wp
    do pool = 1, n_pool
      do i = 1, n
        respiration(i) = respiration(i) + scalar(i, pool) * rate(i, pool) * respired(i, pool) * carbon(i, pool)
      end do
    end do
  end subroutine one_layer_respiration

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

  subroutine one_layer_periodic(n, n_pool, n_day, time_step, rate, transfer, respired, scalar, input, carbon, &
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
    real(wp), intent(in) :: scalar(n, n_pool, n_day)  !! environment scalar of each pool and step
    real(wp), intent(in) :: input(n, n_pool, n_day)  !! input of each step, kg m-2
    real(wp), intent(inout) :: carbon(n, n_pool)  !! pools at the start of the cycle, kg m-2
    real(wp), intent(out) :: respiration(n)  !! respiration of the last cycle, kg m-2
    real(wp), intent(out) :: residual(n)  !! change of a pool over one cycle, largest, relative to the total
    integer :: i, day, column, pool, row, donor, pair, n_pair, from(n_pool * n_pool), to(n_pool * n_pool)
    real(wp) :: pivot, factor
    real(wp) :: matrix(n, n_pool, n_pool + 1), state(n, n_pool), change(n, n_pool), none(n, n_pool)
    real(wp) :: loss(n, n_pool), start(n, n_pool), total(n)
    none(:, :) = 0.0_wp
    call pairs_of(n, n_pool, transfer, n_pair, from, to)
    ! columns 1..n_pool: I - P, from the summed changes of unit pools (no difference of near-equal numbers); last: q
    do column = 1, n_pool + 1
      state(:, :) = 0.0_wp
      if (column <= n_pool) state(:, column) = 1.0_wp
      change(:, :) = 0.0_wp
      do day = 1, n_day
        if (column <= n_pool) then
          call losses(n, n_pool, n_pair, from, to, time_step, 1.0_wp, rate, transfer, scalar(:, :, day), none, state, &
            loss)
        else
          call losses(n, n_pool, n_pair, from, to, time_step, 1.0_wp, rate, transfer, scalar(:, :, day), &
            input(:, :, day), state, loss)
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
        end do
        do pair = 1, n_pair
          do i = 1, n
            change(i, to(pair)) = change(i, to(pair)) + transfer(i, to(pair), from(pair)) * loss(i, from(pair))
            state(i, to(pair)) = state(i, to(pair)) + transfer(i, to(pair), from(pair)) * loss(i, from(pair))
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
      call one_layer_step(n, n_pool, 1, time_step, rate, transfer, respired, scalar(:, :, day), input(:, :, day), &
        state, total, loss)
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
  end subroutine one_layer_periodic

  subroutine rothc_month(n, time_step, clay, scalar, input, carbon, respiration)
    !! One month of RothC 26.3 in its own order: each pool loses exp(-rate), the loss is shared once, then the input
    !! enters.
    !! For comparison with RothC programs; the model itself uses one_layer_step.
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
