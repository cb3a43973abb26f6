module concerto_soil_column
  !! Soil carbon in layers: the seven pools of cencn (Parton et al. 1987; Koven et al. 2013, Biogeosciences 10:7109)
  !! in every soil layer, mixed vertically as diffusion. One implicit Euler step for decomposition, transfers and
  !! mixing together, split only where nothing flows back: coarse debris, three litter pools (tridiagonal), then the
  !! three soil pools (band of half-width 3).
  !!
  !! Pools are masses of a layer, kg m-2: 1 metabolic, 2 cellulose, 3 lignin, 4 active, 5 slow, 6 passive,
  !! 7 coarse debris (not mixed). The operators are linear and serve carbon, nitrogen of litter and isotopes alike.
  !!
  !! The matrices have columns (1 + what is lost for good + flows to others) whose off-diagonal flows are positive.
  !! Elimination keeps the part lost for good ("slack") beside the flows and adds, never subtracts (Grassmann, Taksar &
  !! Heyman 1985): pools stay positive and mass is kept to round-off for every time step and diffusivity.
  use concerto_kinds, only: wp
  use concerto_constants, only: seconds_per_day
  implicit none
  private
  public :: litter_profiles, litter_to_layers, depth_scalar, mixing_coefficients, litter_step, limit_litter, &
    soil_step, column_respiration_capacity, dissolved_carbon

  integer, parameter :: n_litter = 3  !! pools 1 to 3
  integer, parameter :: active = 4, slow = 5, passive = 6, coarse = 7  !! positions of the other pools
  real(wp), parameter :: surface_depth = 0.1_wp  !! e-folding depth of surface litter, m
  real(wp), parameter :: half_drainage = 1.0_wp / seconds_per_day  !! takes half of what dissolves, mm s-1

contains

  subroutine litter_profiles(n, n_layer, thickness, depth, root_fraction, surface_profile, root_profile)
    !! Shares of the layers in surface litter, exp(-z/0.1 m), and in root litter. Both sum to 1 over the layers down to
    !! the depth where the soil ends (bedrock, ice); without roots the root profile is that of the surface.
    integer, intent(in) :: n  !! tiles
    integer, intent(in) :: n_layer  !! layers
    real(wp), intent(in) :: thickness(n_layer)  !! layer thickness, m
    real(wp), intent(in) :: depth(n)  !! depth to which litter gets, m
    real(wp), intent(in) :: root_fraction(n, n_layer)  !! share of roots, any sum
    real(wp), intent(out) :: surface_profile(n, n_layer)  !! share of surface litter, sums to 1
    real(wp), intent(out) :: root_profile(n, n_layer)  !! share of root litter, sums to 1
    integer :: i, layer
    real(wp) :: top, bottom, reach, surface, roots, share
    real(wp) :: surface_sum(n), root_sum(n), surface_rest(n), root_rest(n)
    surface_sum(:) = 0.0_wp
    root_sum(:) = 0.0_wp
    top = 0.0_wp
    do layer = 1, n_layer
      bottom = top + thickness(layer)
      do i = 1, n
        reach = min(bottom, max(top, depth(i)))
        ! exponentials of equal numbers may differ by rounding in vector code
        surface = exp(-top / surface_depth) - exp(-reach / surface_depth)
        surface = merge(max(0.0_wp, surface), 0.0_wp, reach > top)
        roots = root_fraction(i, layer) * (reach - top) / thickness(layer)
        surface_profile(i, layer) = surface
        root_profile(i, layer) = roots
        surface_sum(i) = surface_sum(i) + surface
        root_sum(i) = root_sum(i) + roots
      end do
      top = bottom
    end do
    surface_rest(:) = 0.0_wp
    root_rest(:) = 0.0_wp
    do layer = n_layer, 2, -1
      do i = 1, n
        surface = surface_profile(i, layer) / max(surface_sum(i), 1.0e-30_wp)
        share = root_profile(i, layer) / max(root_sum(i), 1.0e-30_wp)
        roots = merge(share, surface, root_sum(i) > 1.0e-30_wp)
        surface_profile(i, layer) = surface
        root_profile(i, layer) = roots
        surface_rest(i) = surface_rest(i) + surface
        root_rest(i) = root_rest(i) + roots
      end do
    end do
    ! the first layer takes what is left of 1
    do i = 1, n
      surface_profile(i, 1) = max(0.0_wp, 1.0_wp - surface_rest(i))
      root_profile(i, 1) = max(0.0_wp, 1.0_wp - root_rest(i))
    end do
  end subroutine litter_profiles

  subroutine litter_to_layers(n, n_layer, n_pool, metabolic, cellulose, wood_aboveground, surface_profile, &
      root_profile, litter_leaf, litter_fine_root, litter_wood, litter_seed, input)
    !! Dead tissue to pools and layers, carbon, nitrogen or an isotope: leaf and seed by the surface profile, fine
    !! roots
    !! by the root profile, wood to coarse debris by both. What is left of the sum goes to the first layer, so that
    !! nothing is lost by rounding.
    integer, intent(in) :: n  !! tiles
    integer, intent(in) :: n_layer  !! layers
    integer, intent(in) :: n_pool  !! pools, 7
    real(wp), intent(in) :: metabolic(n)  !! metabolic share of leaf, root and seed litter, 0 to 1
    real(wp), intent(in) :: cellulose(n)  !! cellulose share of leaf, root and seed litter; the rest is lignin
    real(wp), intent(in) :: wood_aboveground(n)  !! share of wood above ground, 0.75
    real(wp), intent(in) :: surface_profile(n, n_layer)  !! share of surface litter, sums to 1
    real(wp), intent(in) :: root_profile(n, n_layer)  !! share of root litter, sums to 1
    real(wp), intent(in) :: litter_leaf(n)  !! kg m-2
    real(wp), intent(in) :: litter_fine_root(n)  !! kg m-2
    real(wp), intent(in) :: litter_wood(n)  !! kg m-2
    real(wp), intent(in) :: litter_seed(n)  !! kg m-2
    real(wp), intent(out) :: input(n, n_layer, n_pool)  !! kg m-2 per layer
    integer :: i, layer, pool
    real(wp) :: soft, wood, first, second, above, left(n), wood_left(n)
    do pool = active, n_pool
      input(:, :, pool) = 0.0_wp
    end do
    do i = 1, n
      left(i) = litter_leaf(i) + litter_seed(i) + litter_fine_root(i)
      wood_left(i) = litter_wood(i)
    end do
    do layer = n_layer, 1, -1
      do i = 1, n
        soft = surface_profile(i, layer) * (litter_leaf(i) + litter_seed(i)) &
          + root_profile(i, layer) * litter_fine_root(i)
        above = wood_aboveground(i)
        wood = (surface_profile(i, layer) * above + root_profile(i, layer) * (1.0_wp - above)) * litter_wood(i)
        soft = merge(left(i), min(soft, left(i)), layer == 1)
        wood = merge(wood_left(i), min(wood, wood_left(i)), layer == 1)
        left(i) = left(i) - soft
        wood_left(i) = wood_left(i) - wood
        first = metabolic(i) * soft
        second = min(cellulose(i) * soft, soft - first)
        input(i, layer, 1) = first
        input(i, layer, 2) = second
        input(i, layer, 3) = (soft - first) - second
        input(i, layer, coarse) = wood
      end do
    end do
  end subroutine litter_to_layers

  subroutine depth_scalar(n_layer, thickness, depth_scale, scalar)
    !! Slowing of decomposition with depth beside that of temperature and moisture, exp(-z/depth_scale) at the middle
    !! of each layer; a factor of the environment scalar.
    integer, intent(in) :: n_layer  !! layers
    real(wp), intent(in) :: thickness(n_layer)  !! layer thickness, m
    real(wp), intent(in) :: depth_scale  !! e-folding depth, m (10)
    real(wp), intent(out) :: scalar(n_layer)  !! multiplier, 0 to 1
    integer :: layer
    real(wp) :: top
    top = 0.0_wp
    do layer = 1, n_layer
      scalar(layer) = exp(-(top + 0.5_wp * thickness(layer)) / depth_scale)
      top = top + thickness(layer)
    end do
  end subroutine depth_scalar

  subroutine mixing_coefficients(n, n_layer, thickness, thaw_depth, thaw_depth_last_year, bioturbation, &
      cryoturbation, depth_limit, mixing)
    !! Diffusivity at the faces between layers over the distance of the middles. Soil that thaws deeper than the limit
    !! is
    !! mixed by animals; permafrost by frost, down to the thaw depth (the deeper one of two years) and from there
    !! falling to 0 at the limit; ground that never thaws not at all (Koven et al. 2009). Harmonic mean at faces.
    integer, intent(in) :: n  !! tiles
    integer, intent(in) :: n_layer  !! layers
    real(wp), intent(in) :: thickness(n_layer)  !! layer thickness, m
    real(wp), intent(in) :: thaw_depth(n)  !! deepest thaw of this year, m (0: never; without frost the soil depth)
    real(wp), intent(in) :: thaw_depth_last_year(n)  !! deepest thaw of last year, m
    real(wp), intent(in) :: bioturbation(n)  !! diffusivity by animals, m2 s-1 (1 cm2 yr-1: 3.1688e-12)
    real(wp), intent(in) :: cryoturbation(n)  !! diffusivity by frost, m2 s-1 (5 cm2 yr-1: 1.5844e-11)
    real(wp), intent(in) :: depth_limit  !! depth at which frost no longer mixes, m (3)
    real(wp), intent(out) :: mixing(n, n_layer - 1)  !! diffusivity over distance at interior faces, m s-1
    integer :: i, layer
    real(wp) :: middle, half, upper_half, thaw, diffusivity, above, frost, resistance, product
    real(wp) :: previous(n)
    middle = 0.0_wp
    upper_half = 0.0_wp
    previous(:) = 0.0_wp
    do layer = 1, n_layer
      half = 0.5_wp * thickness(layer)
      middle = middle + half
      do i = 1, n
        thaw = max(thaw_depth(i), thaw_depth_last_year(i))
        frost = min(1.0_wp, max(0.0_wp, (depth_limit - middle) / max(depth_limit - thaw, 1.0e-9_wp)))
        frost = cryoturbation(i) * frost
        diffusivity = merge(bioturbation(i), frost, thaw > depth_limit)
        diffusivity = merge(diffusivity, 0.0_wp, thaw > 0.0_wp)
        above = previous(i)
        product = above * diffusivity
        resistance = upper_half * diffusivity + half * above
        ! layer 1 has no face above; it writes to the first face, which layer 2 overwrites
        mixing(i, max(1, layer - 1)) = product / max(resistance, 1.0e-300_wp)
        previous(i) = diffusivity
      end do
      middle = middle + half
      upper_half = half
    end do
  end subroutine mixing_coefficients

  subroutine litter_step(n, n_layer, n_pool, time_step, thickness, rate, transfer, scalar, mixing, input, carbon, loss)
    !! Coarse debris and litter over one step, implicit Euler of input, decomposition and mixing together. What leaves
    !! a pool is potential decomposition, before any shortage of nitrogen; coarse debris goes on to litter in the same
    !! step. Input to pools 4 to 6 is not read.
    integer, intent(in) :: n  !! tiles
    integer, intent(in) :: n_layer  !! layers
    integer, intent(in) :: n_pool  !! pools, 7
    real(wp), intent(in) :: time_step  !! s
    real(wp), intent(in) :: thickness(n_layer)  !! layer thickness, m
    real(wp), intent(in) :: rate(n, n_pool)  !! base rate, s-1
    real(wp), intent(in) :: transfer(n, n_pool, n_pool)  !! fraction of what leaves, (receiver, donor)
    real(wp), intent(in) :: scalar(n, n_layer)  !! environment scalar with depth
    real(wp), intent(in) :: mixing(n, n_layer - 1)  !! diffusivity over distance at interior faces, m s-1
    real(wp), intent(in) :: input(n, n_layer, n_pool)  !! input of the step, kg m-2 per layer
    real(wp), intent(inout) :: carbon(n, n_layer, n_pool)  !! carbon, nitrogen or isotope, kg m-2 per layer
    real(wp), intent(out) :: loss(n, n_layer, n_pool)  !! what left each litter pool, kg m-2 per layer; 0 for 4 to 6
    integer :: i, layer, pool, next
    real(wp) :: decay, factor, open, back, pivot, left, slack, value
    real(wp) :: inverse(n, n_layer), kept(n), down(n)
    do pool = active, passive
      loss(:, :, pool) = 0.0_wp
    end do
    do layer = 1, n_layer
      do i = 1, n
        decay = time_step * scalar(i, layer) * rate(i, coarse)
        value = (carbon(i, layer, coarse) + input(i, layer, coarse)) / (1.0_wp + decay)
        carbon(i, layer, coarse) = value
        loss(i, layer, coarse) = decay * value
      end do
    end do
    do pool = 1, n_litter
      ! downwards: kept is the share of what leaves a layer that does not go down, down the share that does
      factor = time_step / thickness(1)
      do i = 1, n
        slack = 1.0_wp + time_step * scalar(i, 1) * rate(i, pool)
        left = factor * mixing(i, 1)
        pivot = 1.0_wp / (slack + left)
        inverse(i, 1) = pivot
        kept(i) = slack * pivot
        down(i) = left * pivot
        carbon(i, 1, pool) = carbon(i, 1, pool) + input(i, 1, pool) + transfer(i, pool, coarse) * loss(i, 1, coarse)
      end do
      do layer = 2, n_layer
        factor = time_step / thickness(layer)
        open = merge(factor, 0.0_wp, layer < n_layer)
        next = min(layer, n_layer - 1)
        do i = 1, n
          back = factor * mixing(i, layer - 1)
          slack = 1.0_wp + time_step * scalar(i, layer) * rate(i, pool) + back * kept(i)
          left = open * mixing(i, next)
          pivot = 1.0_wp / (slack + left)
          inverse(i, layer) = pivot
          carbon(i, layer, pool) = carbon(i, layer, pool) + input(i, layer, pool) &
            + transfer(i, pool, coarse) * loss(i, layer, coarse) + down(i) * carbon(i, layer - 1, pool)
          kept(i) = slack * pivot
          down(i) = left * pivot
        end do
      end do
      do i = 1, n
        value = carbon(i, n_layer, pool) * inverse(i, n_layer)
        carbon(i, n_layer, pool) = value
        loss(i, n_layer, pool) = time_step * scalar(i, n_layer) * rate(i, pool) * value
      end do
      do layer = n_layer - 1, 1, -1
        factor = time_step / thickness(layer + 1)
        do i = 1, n
          back = factor * mixing(i, layer)
          value = (carbon(i, layer, pool) + back * carbon(i, layer + 1, pool)) * inverse(i, layer)
          carbon(i, layer, pool) = value
          loss(i, layer, pool) = time_step * scalar(i, layer) * rate(i, pool) * value
        end do
      end do
    end do
  end subroutine litter_step

  subroutine limit_litter(n, n_layer, n_pool, limitation, carbon, loss)
    !! Gives back to litter what could not decompose for want of nitrogen: loss becomes limitation times loss, the rest
    !! stays in its layer. The same limitation holds for carbon, nitrogen and isotopes.
    integer, intent(in) :: n  !! tiles
    integer, intent(in) :: n_layer  !! layers
    integer, intent(in) :: n_pool  !! pools, 7
    real(wp), intent(in) :: limitation(n, n_layer, n_pool)  !! share of the potential loss, 0 to 1; pools 1 to 3 count
    real(wp), intent(inout) :: carbon(n, n_layer, n_pool)  !! carbon, nitrogen or isotope, kg m-2 per layer
    real(wp), intent(inout) :: loss(n, n_layer, n_pool)  !! what leaves each pool, kg m-2 per layer
    integer :: i, layer, pool
    real(wp) :: allowed
    do pool = 1, n_litter
      do layer = 1, n_layer
        do i = 1, n
          allowed = limitation(i, layer, pool) * loss(i, layer, pool)
          carbon(i, layer, pool) = carbon(i, layer, pool) + (loss(i, layer, pool) - allowed)
          loss(i, layer, pool) = allowed
        end do
      end do
    end do
  end subroutine limit_litter

  subroutine soil_step(n, n_layer, n_pool, time_step, thickness, rate, transfer, respired, scalar, mixing, carbon, &
      loss, respiration)
    !! Soil pools over one step, implicit Euler of what litter gives, decomposition, transfers between the three pools
    !! and mixing together; respiration of all pools, litter included.
    !! Unknowns run over pools within layers. Numbers 1 to 3 are the pools of a layer, 4 to 6 those of the next one;
    !! flow_ab is the flow from a to b per unit of a.
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
    real(wp), intent(inout) :: carbon(n, n_layer, n_pool)  !! carbon or isotope, kg m-2 per layer
    real(wp), intent(inout) :: loss(n, n_layer, n_pool)  !! in: of litter; out: also of soil pools; kg m-2 per layer
    real(wp), intent(out) :: respiration(n, n_layer)  !! kg m-2 per layer
    integer :: i, layer, pool, next
    real(wp) :: warmth, down, up, weight1, weight2, weight3, lost
    real(wp) :: slack1, slack2, slack3, slack4, slack5, slack6
    real(wp) :: flow12, flow13, flow21, flow23, flow24, flow25, flow31, flow32, flow34, flow35, flow36
    real(wp) :: flow41, flow42, flow43, flow45, flow46, flow52, flow53, flow54, flow56, flow64, flow65
    real(wp) :: part2, part3, part4, part5, part6, gone, source1, source2, source3, value1, value2, value3
    real(wp) :: above(n), below(n)
    real(wp) :: flow(n, 9)   ! of the layer in work: slack of 3 pools, flows 12 13 21 23 31 32
    real(wp) :: base(n, 9)   ! the same per unit of the scalar
    real(wp) :: stored(n, 10, n_layer)  ! for the way back: weights of 3 pools, flows into each from later unknowns
    real(wp) :: value(n, 3, n_layer + 1)

    do i = 1, n
      weight1 = time_step * rate(i, active)
      weight2 = time_step * rate(i, slow)
      weight3 = time_step * rate(i, passive)
      base(i, 1) = weight1 * respired(i, active)
      base(i, 2) = weight2 * respired(i, slow)
      base(i, 3) = weight3 * respired(i, passive)
      base(i, 4) = weight1 * transfer(i, slow, active)
      base(i, 5) = weight1 * transfer(i, passive, active)
      base(i, 6) = weight2 * transfer(i, active, slow)
      base(i, 7) = weight2 * transfer(i, passive, slow)
      base(i, 8) = weight3 * transfer(i, active, passive)
      base(i, 9) = weight3 * transfer(i, slow, passive)
      value(i, 1, n_layer + 1) = 0.0_wp
      value(i, 2, n_layer + 1) = 0.0_wp
      value(i, 3, n_layer + 1) = 0.0_wp
      warmth = scalar(i, 1)
      flow(i, 1) = 1.0_wp + warmth * base(i, 1)
      flow(i, 2) = 1.0_wp + warmth * base(i, 2)
      flow(i, 3) = 1.0_wp + warmth * base(i, 3)
      flow(i, 4) = warmth * base(i, 4)
      flow(i, 5) = warmth * base(i, 5)
      flow(i, 6) = warmth * base(i, 6)
      flow(i, 7) = warmth * base(i, 7)
      flow(i, 8) = warmth * base(i, 8)
      flow(i, 9) = warmth * base(i, 9)
    end do
    do layer = 1, n_layer
      do i = 1, n
        respiration(i, layer) = respired(i, coarse) * loss(i, layer, coarse)
        value(i, 1, layer) = carbon(i, layer, active)
        value(i, 2, layer) = carbon(i, layer, slow)
        value(i, 3, layer) = carbon(i, layer, passive)
      end do
      do pool = 1, n_litter
        do i = 1, n
          lost = loss(i, layer, pool)
          respiration(i, layer) = respiration(i, layer) + respired(i, pool) * lost
          value(i, 1, layer) = value(i, 1, layer) + transfer(i, active, pool) * lost
          value(i, 2, layer) = value(i, 2, layer) + transfer(i, slow, pool) * lost
          value(i, 3, layer) = value(i, 3, layer) + transfer(i, passive, pool) * lost
        end do
      end do
    end do

    do layer = 1, n_layer
      next = min(layer + 1, n_layer)
      if (layer < n_layer) then
        do i = 1, n
          below(i) = time_step / thickness(layer) * mixing(i, layer)
          above(i) = time_step / thickness(layer + 1) * mixing(i, layer)
        end do
      else
        below(:) = 0.0_wp
        above(:) = 0.0_wp
      end if
      !GCC$ ivdep
      do i = 1, n
        down = below(i)
        up = above(i)
        slack1 = flow(i, 1)
        slack2 = flow(i, 2)
        slack3 = flow(i, 3)
        flow12 = flow(i, 4)
        flow13 = flow(i, 5)
        flow21 = flow(i, 6)
        flow23 = flow(i, 7)
        flow31 = flow(i, 8)
        flow32 = flow(i, 9)
        warmth = scalar(i, next)
        slack4 = 1.0_wp + warmth * base(i, 1)
        slack5 = 1.0_wp + warmth * base(i, 2)
        slack6 = 1.0_wp + warmth * base(i, 3)
        flow45 = warmth * base(i, 4)
        flow46 = warmth * base(i, 5)
        flow54 = warmth * base(i, 6)
        flow56 = warmth * base(i, 7)
        flow64 = warmth * base(i, 8)
        flow65 = warmth * base(i, 9)
        ! pool 1 is eliminated: what would flow into it goes on in the shares of its outflow
        weight1 = 1.0_wp / (slack1 + flow12 + flow13 + down)
        gone = slack1 * weight1
        part2 = flow12 * weight1
        part3 = flow13 * weight1
        part4 = down * weight1
        flow23 = flow23 + flow21 * part3
        flow24 = flow21 * part4
        slack2 = slack2 + flow21 * gone
        flow32 = flow32 + flow31 * part2
        flow34 = flow31 * part4
        slack3 = slack3 + flow31 * gone
        flow41 = up
        flow42 = flow41 * part2
        flow43 = flow41 * part3
        slack4 = slack4 + flow41 * gone
        value1 = value(i, 1, layer)
        value2 = value(i, 2, layer) + part2 * value1
        value3 = value(i, 3, layer) + part3 * value1
        source1 = value(i, 1, layer + 1) + part4 * value1
        ! pool 2
        flow25 = down
        weight2 = 1.0_wp / (slack2 + flow23 + flow24 + flow25)
        gone = slack2 * weight2
        part3 = flow23 * weight2
        part4 = flow24 * weight2
        part5 = flow25 * weight2
        flow34 = flow34 + flow32 * part4
        flow35 = flow32 * part5
        slack3 = slack3 + flow32 * gone
        flow43 = flow43 + flow42 * part3
        flow45 = flow45 + flow42 * part5
        slack4 = slack4 + flow42 * gone
        flow52 = up
        flow53 = flow52 * part3
        flow54 = flow54 + flow52 * part4
        slack5 = slack5 + flow52 * gone
        value3 = value3 + part3 * value2
        source1 = source1 + part4 * value2
        source2 = value(i, 2, layer + 1) + part5 * value2
        ! pool 3
        flow36 = down
        weight3 = 1.0_wp / (slack3 + flow34 + flow35 + flow36)
        gone = slack3 * weight3
        part4 = flow34 * weight3
        part5 = flow35 * weight3
        part6 = flow36 * weight3
        flow45 = flow45 + flow43 * part5
        flow46 = flow46 + flow43 * part6
        slack4 = slack4 + flow43 * gone
        flow54 = flow54 + flow53 * part4
        flow56 = flow56 + flow53 * part6
        slack5 = slack5 + flow53 * gone
        flow64 = flow64 + up * part4
        flow65 = flow65 + up * part5
        slack6 = slack6 + up * gone
        source1 = source1 + part4 * value3
        source2 = source2 + part5 * value3
        source3 = value(i, 3, layer + 1) + part6 * value3
        value(i, 1, layer) = value1
        value(i, 2, layer) = value2
        value(i, 3, layer) = value3
        value(i, 1, layer + 1) = source1
        value(i, 2, layer + 1) = source2
        value(i, 3, layer + 1) = source3
        stored(i, 1, layer) = weight1
        stored(i, 2, layer) = weight2
        stored(i, 3, layer) = weight3
        stored(i, 4, layer) = flow21
        stored(i, 5, layer) = flow31
        stored(i, 6, layer) = up
        stored(i, 7, layer) = flow32
        stored(i, 8, layer) = flow42
        stored(i, 9, layer) = flow43
        stored(i, 10, layer) = flow53
        flow(i, 1) = slack4
        flow(i, 2) = slack5
        flow(i, 3) = slack6
        flow(i, 4) = flow45
        flow(i, 5) = flow46
        flow(i, 6) = flow54
        flow(i, 7) = flow56
        flow(i, 8) = flow64
        flow(i, 9) = flow65
      end do
    end do

    do i = 1, n
      value(i, 1, n_layer + 1) = 0.0_wp
      value(i, 2, n_layer + 1) = 0.0_wp
      value(i, 3, n_layer + 1) = 0.0_wp
    end do
    do layer = n_layer, 1, -1
      !GCC$ ivdep
      do i = 1, n
        up = stored(i, 6, layer)
        source1 = value(i, 1, layer + 1)
        source2 = value(i, 2, layer + 1)
        source3 = value(i, 3, layer + 1)
        value3 = (value(i, 3, layer) + stored(i, 9, layer) * source1 + stored(i, 10, layer) * source2 &
          + up * source3) * stored(i, 3, layer)
        value2 = (value(i, 2, layer) + stored(i, 7, layer) * value3 + stored(i, 8, layer) * source1 &
          + up * source2) * stored(i, 2, layer)
        value1 = (value(i, 1, layer) + stored(i, 4, layer) * value2 + stored(i, 5, layer) * value3 &
          + up * source1) * stored(i, 1, layer)
        value(i, 1, layer) = value1
        value(i, 2, layer) = value2
        value(i, 3, layer) = value3
        warmth = time_step * scalar(i, layer)
        source1 = warmth * rate(i, active) * value1
        source2 = warmth * rate(i, slow) * value2
        source3 = warmth * rate(i, passive) * value3
        carbon(i, layer, active) = value1
        carbon(i, layer, slow) = value2
        carbon(i, layer, passive) = value3
        loss(i, layer, active) = source1
        loss(i, layer, slow) = source2
        loss(i, layer, passive) = source3
        respiration(i, layer) = respiration(i, layer) + (respired(i, active) * source1 &
          + respired(i, slow) * source2 + respired(i, passive) * source3)
      end do
    end do
  end subroutine soil_step

  subroutine column_respiration_capacity(n, n_layer, n_pool, rate, respired, limitation, carbon, capacity)
    !! Respiration of each layer at scalar 1, so that the fast step gives sum over layers of scalar times capacity.
    !! With
    !! the limitation of the day before the fast flux already knows of a shortage of nitrogen.
    integer, intent(in) :: n  !! tiles
    integer, intent(in) :: n_layer  !! layers
    integer, intent(in) :: n_pool  !! pools, 7
    real(wp), intent(in) :: rate(n, n_pool)  !! base rate, s-1
    real(wp), intent(in) :: respired(n, n_pool)  !! fraction of what leaves that is respired
    real(wp), intent(in) :: limitation(n, n_layer, n_pool)  !! share of the potential loss, 0 to 1
    real(wp), intent(in) :: carbon(n, n_layer, n_pool)  !! kg m-2 per layer
    real(wp), intent(out) :: capacity(n, n_layer)  !! kg m-2 s-1 per layer
    integer :: i, layer, pool
    capacity(:, :) = 0.0_wp
    do pool = 1, n_pool
      do layer = 1, n_layer
        do i = 1, n
          capacity(i, layer) = capacity(i, layer) &
            + rate(i, pool) * respired(i, pool) * limitation(i, layer, pool) * carbon(i, layer, pool)
        end do
      end do
    end do
  end subroutine column_respiration_capacity

  subroutine dissolved_carbon(n, n_layer, time_step, doc_fraction, drainage, respiration, doc_export)
    !! Dissolved organic carbon that drainage takes with it: a share of what would be respired,
    !! doc_fraction q/(q + 1 mm d-1) of drainage q. Nothing is sorbed. Linear, so isotopes call it with their own
    !! respiration.
    integer, intent(in) :: n  !! tiles
    integer, intent(in) :: n_layer  !! layers
    real(wp), intent(in) :: time_step  !! s
    real(wp), intent(in) :: doc_fraction(n)  !! share of decomposition that dissolves, 0 to 1 (0: none)
    real(wp), intent(in) :: drainage(n)  !! water that leaves the column at the bottom in the step, kg m-2
    real(wp), intent(inout) :: respiration(n, n_layer)  !! kg m-2 per layer; lowered by what dissolves
    real(wp), intent(out) :: doc_export(n)  !! dissolved organic carbon that leaves, kg m-2
    integer :: i, layer
    real(wp) :: water, export, share(n)
    do i = 1, n
      water = max(0.0_wp, drainage(i))
      share(i) = doc_fraction(i) * water / (water + half_drainage * time_step)
      doc_export(i) = 0.0_wp
    end do
    do layer = 1, n_layer
      do i = 1, n
        export = share(i) * respiration(i, layer)
        doc_export(i) = doc_export(i) + export
        respiration(i, layer) = respiration(i, layer) - export
      end do
    end do
  end subroutine dissolved_carbon
end module concerto_soil_column
