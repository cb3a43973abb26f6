module concerto_soil_water
  !! Water in the soil: Richards equation in mixed form.
  !!
  !! d theta/dt = -dq/dz - sink, q = K (1 - dh/dz), z and q positive downwards. One linearised implicit step per
  !! sub-step (after Ross 2003): the fluxes between layers are linearised in the heads, the tridiagonal system
  !! gives the change of head, and theta is updated from the linearised fluxes, so that the column closes to
  !! round-off whatever the linearisation did. Each tile chooses the length of its sub-steps from the size of
  !! change; the loop runs until all tiles of the block are done, and a tile that is done no longer changes.
  !!
  !! Fluxes between layers: suction is carried by the matric flux potential phi(h) = integral of K dh, which
  !! neither stalls a wetting front in dry soil nor feeds a dry surface layer with the conductivity of wet soil
  !! below; gravity uses a mean conductivity weighted to the upper layer.
  !! A column at hydrostatic equilibrium (dh = dz) has exactly no flux.
  !! Ice narrows the pores and impedes flow by 10^(-6 ice/theta_sat), at interfaces with the mean ice.
  !!
  !! Top: infiltration is the smaller of the water offered and what a surface at zero head takes (exact within the
  !! linear system); the rest runs off. Bottom: free drainage, q = K. Where a linear step leaves a layer over-full
  !! the excess stays above (its inflow is reduced), at last as surface runoff; a layer left below its residual
  !! content keeps water that would have left it downwards.
  use concerto_kinds, only: wp
  use concerto_constants, only: density_water, freezing_point, gravity, gas_constant_vapour
  implicit none
  private
  public :: soil_water_richards, soil_evaporation_limits

  real(wp), parameter :: dry_limit = 1.0e-3_wp  !! smallest effective saturation that is looked at
  real(wp), parameter :: smallest_pore = 1.0e-3_wp  !! m3 m-3
  real(wp), parameter :: storage = 1.0e-6_wp  !! specific storage of saturated soil, m-1: makes pressure determinate
  real(wp), parameter :: gravity_weight = 0.75_wp  !! of the upper layer in the conductivity of gravity flow
  !> Wetter than this suction, m, slopes and capacity are those at it: at saturation the tangents are 0 or infinite,
  !> and a full column with no capacity could not begin to drain
  real(wp), parameter :: least_suction = 0.01_wp
  integer, parameter :: lanes = 16  !! blocks are multiples of this, so that every tile meets the same vector code
  real(wp), parameter :: large = 1.0e30_wp  !! s, any time
  integer, parameter :: most_passes = 63  !! sub-steps, tried ones included, before a tile takes the rest at once

contains

  subroutine soil_water_richards(n, n_layer, dt, change_limit, surface_head, thickness, water_input, sink, ice, &
      theta_sat, theta_res, alpha, vg_n, vg_l, k_sat, theta, flux, surface_runoff, drainage, passes)
    !! One step of the soil water column.
    integer, intent(in) :: n  !! number of tiles
    integer, intent(in) :: n_layer  !! number of layers
    real(wp), intent(in) :: dt  !! time step, s
    real(wp), intent(in) :: change_limit  !! largest change of effective saturation in a sub-step, - (0.1)
    real(wp), intent(in) :: surface_head  !! head at a surface that is offered more than it takes, m (0; tests < 0)
    real(wp), intent(in) :: thickness(n_layer)  !! layer thickness from the surface down, m
    real(wp), intent(in) :: water_input(n)  !! liquid water reaching the ground, kg m-2 s-1
    real(wp), intent(in) :: sink(n, n_layer)  !! evaporation and root uptake, already limited, kg m-2 s-1
    real(wp), intent(in) :: ice(n, n_layer)  !! ice as liquid equivalent, m3 m-3
    real(wp), intent(in) :: theta_sat(n)  !! porosity, m3 m-3
    real(wp), intent(in) :: theta_res(n)  !! residual content, m3 m-3
    real(wp), intent(in) :: alpha(n)  !! van Genuchten alpha, m-1
    real(wp), intent(in) :: vg_n(n)  !! van Genuchten n, -
    real(wp), intent(in) :: vg_l(n)  !! pore connectivity, -
    real(wp), intent(in) :: k_sat(n)  !! saturated conductivity, m s-1
    real(wp), intent(inout) :: theta(n, n_layer)  !! liquid water, m3 m-3
    real(wp), intent(out) :: flux(n, n_layer + 1)  !! water through the top of each layer and the bottom, kg m-2 a step
    real(wp), intent(out) :: surface_runoff(n)  !! water that did not infiltrate, kg m-2 a step
    real(wp), intent(out) :: drainage(n)  !! water leaving the bottom, kg m-2 a step
    integer, intent(out) :: passes  !! sub-steps that the slowest tile may have used: 1, 3, 7, 15, 31 or 63

    real(wp), dimension(n, n_layer) :: sink_rate, lower_bound
    real(wp) :: total(n, 0:n_layer)  ! through the bottom of each layer, m of water; 0: through the surface
    real(wp), dimension(n) :: remaining, trial, offered
    real(wp) :: inverse_thickness(n_layer), gap, excess, given
    integer :: chosen(n + lanes), i, k, count, first_pass, last_pass

    inverse_thickness = 1.0_wp / thickness
    do i = 1, n
      remaining(i) = dt
      trial(i) = dt
      offered(i) = max(water_input(i), 0.0_wp) / density_water
    end do
    total = 0.0_wp
    ! Soil handed over more than full gives the excess upwards first
    do k = n_layer, 2, -1
      do i = 1, n
        excess = max(theta(i, k) - max(theta_sat(i) - ice(i, k), 0.0_wp), 0.0_wp) * thickness(k)
        theta(i, k) = theta(i, k) - excess * inverse_thickness(k)
        total(i, k - 1) = -excess
        theta(i, k - 1) = theta(i, k - 1) + excess * inverse_thickness(k - 1)
      end do
    end do
    do i = 1, n
      excess = max(theta(i, 1) - max(theta_sat(i) - ice(i, 1), 0.0_wp), 0.0_wp)
      theta(i, 1) = theta(i, 1) - excess
      total(i, 0) = -excess * thickness(1)
    end do
    do k = 1, n_layer
      do i = 1, n
        sink_rate(i, k) = sink(i, k) / density_water
        lower_bound(i, k) = min(theta_res(i), theta(i, k) - dt * sink_rate(i, k) * inverse_thickness(k))
      end do
    end do

    ! One pass for all; then the tiles that are not done, gathered to whole vectors, 2, 4, 8 ... passes at a time
    call advance(n, n_layer, 1, 1, dt, change_limit, surface_head, thickness, offered, sink_rate, ice, theta_sat, &
      theta_res, alpha, vg_n, vg_l, k_sat, remaining, trial, theta, total)
    last_pass = 1
    do while (last_pass < most_passes)
      count = 0
      do i = 1, n
        if (remaining(i) > 0.0_wp) then
          count = count + 1
          chosen(count) = i
        end if
      end do
      if (count == 0) exit
      first_pass = last_pass + 1
      last_pass = min(2 * last_pass + 1, most_passes)
      i = count
      count = lanes * ((count + lanes - 1) / lanes)
      chosen(i + 1:count) = chosen(i)
      call advance_some(n, i, count, chosen, n_layer, first_pass, last_pass, dt, change_limit, surface_head, &
        thickness, offered, sink_rate, ice, theta_sat, theta_res, alpha, vg_n, vg_l, k_sat, remaining, trial, theta, &
        total)
    end do
    passes = last_pass

    ! A layer below its lower bound keeps what left downwards, from the top down; the last takes from above
    do k = 1, n_layer - 1
      do i = 1, n
        gap = max(lower_bound(i, k) - theta(i, k), 0.0_wp) * thickness(k)
        total(i, k) = total(i, k) - gap
        theta(i, k) = theta(i, k) + gap * inverse_thickness(k)
        theta(i, k + 1) = theta(i, k + 1) - gap * inverse_thickness(k + 1)
      end do
    end do
    do i = 1, n
      gap = max(lower_bound(i, n_layer) - theta(i, n_layer), 0.0_wp) * thickness(n_layer)
      gap = min(gap, max(total(i, n_layer), 0.0_wp))
      total(i, n_layer) = total(i, n_layer) - gap
      theta(i, n_layer) = theta(i, n_layer) + gap * inverse_thickness(n_layer)
    end do
    do k = n_layer, 2, -1
      do i = 1, n
        gap = max(lower_bound(i, k) - theta(i, k), 0.0_wp) * thickness(k)
        total(i, k - 1) = total(i, k - 1) + gap
        theta(i, k) = theta(i, k) + gap * inverse_thickness(k)
        theta(i, k - 1) = theta(i, k - 1) - gap * inverse_thickness(k - 1)
      end do
    end do

    do k = 0, n_layer
      do i = 1, n
        flux(i, k + 1) = total(i, k) * density_water
      end do
    end do
    do i = 1, n
      drainage(i) = flux(i, n_layer + 1)
      given = max(water_input(i), 0.0_wp) * dt
      excess = given - flux(i, 1)
      surface_runoff(i) = merge(excess, 0.0_wp, excess > 1.0e-13_wp * given)  ! no runoff out of rounding
    end do
  end subroutine soil_water_richards

  subroutine advance_some(n, n_open, n_some, chosen, n_layer, first_pass, last_pass, dt, change_limit, surface_head, &
      thickness, offered, sink_rate, ice, theta_sat, theta_res, alpha, vg_n, vg_l, k_sat, remaining, trial, theta, &
      total)
    !! `advance` for the tiles of a list.
    integer, intent(in) :: n  !! number of tiles
    integer, intent(in) :: n_open  !! length of the list
    integer, intent(in) :: n_some  !! the same rounded up to whole vectors
    integer, intent(in) :: chosen(n_some)  !! tiles of the list; the last one repeated beyond n_open
    integer, intent(in) :: n_layer  !! number of layers
    integer, intent(in) :: first_pass, last_pass  !! as for `advance`
    real(wp), intent(in) :: dt, change_limit, surface_head, thickness(n_layer)  !! as for `advance`
    real(wp), intent(in) :: offered(n), sink_rate(n, n_layer)  !! as for `advance`
    real(wp), intent(in) :: ice(n, n_layer)  !! ice as liquid equivalent, m3 m-3
    real(wp), intent(in) :: theta_sat(n)  !! porosity, m3 m-3
    real(wp), intent(in) :: theta_res(n)  !! residual content, m3 m-3
    real(wp), intent(in) :: alpha(n)  !! van Genuchten alpha, m-1
    real(wp), intent(in) :: vg_n(n)  !! van Genuchten n, -
    real(wp), intent(in) :: vg_l(n)  !! pore connectivity, -
    real(wp), intent(in) :: k_sat(n)  !! saturated conductivity, m s-1
    real(wp), intent(inout) :: remaining(n), trial(n), theta(n, n_layer), total(n, 0:n_layer)  !! as for `advance`
    real(wp), dimension(n_some, n_layer) :: some_sink, some_ice, some_theta
    real(wp), dimension(n_some) :: some_offered, some_sat, some_res, some_alpha, some_n, some_l, some_k
    real(wp), dimension(n_some) :: some_remaining, some_trial
    real(wp) :: some_total(n_some, 0:n_layer)
    integer :: i, j, k

    do j = 1, n_some
      i = chosen(j)
      some_offered(j) = offered(i)
      some_sat(j) = theta_sat(i)
      some_res(j) = theta_res(i)
      some_alpha(j) = alpha(i)
      some_n(j) = vg_n(i)
      some_l(j) = vg_l(i)
      some_k(j) = k_sat(i)
      some_remaining(j) = remaining(i)
      some_trial(j) = trial(i)
      some_total(j, 0) = total(i, 0)
    end do
    do k = 1, n_layer
      do j = 1, n_some
        i = chosen(j)
        some_sink(j, k) = sink_rate(i, k)
        some_ice(j, k) = ice(i, k)
        some_theta(j, k) = theta(i, k)
        some_total(j, k) = total(i, k)
      end do
    end do
    call advance(n_some, n_layer, first_pass, last_pass, dt, change_limit, surface_head, thickness, some_offered, &
      some_sink, some_ice, some_sat, some_res, some_alpha, some_n, some_l, some_k, some_remaining, some_trial, &
      some_theta, some_total)
    do j = 1, n_open
      i = chosen(j)
      remaining(i) = some_remaining(j)
      trial(i) = some_trial(j)
      total(i, 0) = some_total(j, 0)
    end do
    do k = 1, n_layer
      do j = 1, n_open
        i = chosen(j)
        theta(i, k) = some_theta(j, k)
        total(i, k) = some_total(j, k)
      end do
    end do
  end subroutine advance_some

  subroutine advance(n, n_layer, first_pass, last_pass, dt, change_limit, surface_head, thickness, offered, &
      sink_rate, ice, theta_sat, theta_res, alpha, vg_n, vg_l, k_sat, remaining, trial, theta, total)
    !! Sub-steps of the Richards equation, each tile with its own length.
    integer, intent(in) :: n  !! number of tiles
    integer, intent(in) :: n_layer  !! number of layers
    integer, intent(in) :: first_pass  !! count of the first sub-step
    integer, intent(in) :: last_pass  !! count of the last sub-step; at most_passes a tile takes all the rest
    real(wp), intent(in) :: dt  !! time step, s
    real(wp), intent(in) :: change_limit  !! largest change of effective saturation in a sub-step, -
    real(wp), intent(in) :: surface_head  !! head at a surface that is offered more than it takes, m
    real(wp), intent(in) :: thickness(n_layer)  !! layer thickness, m
    real(wp), intent(in) :: offered(n)  !! water reaching the ground, m s-1
    real(wp), intent(in) :: sink_rate(n, n_layer)  !! evaporation and root uptake, m s-1
    real(wp), intent(in) :: ice(n, n_layer)  !! ice as liquid equivalent, m3 m-3
    real(wp), intent(in) :: theta_sat(n)  !! porosity, m3 m-3
    real(wp), intent(in) :: theta_res(n)  !! residual content, m3 m-3
    real(wp), intent(in) :: alpha(n)  !! van Genuchten alpha, m-1
    real(wp), intent(in) :: vg_n(n)  !! van Genuchten n, -
    real(wp), intent(in) :: vg_l(n)  !! pore connectivity, -
    real(wp), intent(in) :: k_sat(n)  !! saturated conductivity, m s-1
    real(wp), intent(inout) :: remaining(n)  !! time left, s
    real(wp), intent(inout) :: trial(n)  !! length of the next sub-step, s
    real(wp), intent(inout) :: theta(n, n_layer)  !! liquid water, m3 m-3
    real(wp), intent(inout) :: total(n, 0:n_layer)  !! water through the surface and the bottom of each layer, m

    real(wp), dimension(n, n_layer) :: head, conductivity, slope, potential, impedance
    real(wp), dimension(n, n_layer) :: diagonal, right, upper, lower, head_change
    real(wp), dimension(n, 0:n_layer) :: q  ! through the bottom of each layer; 0: through the surface
    real(wp), dimension(n) :: inverse_m, m, per_pore, raised, per_alpha, scale_k, surface_s
    real(wp), dimension(n) :: potential_power, potential_scale, potential_point, inverse_step
    real(wp), dimension(n) :: step, change, weight, bottom_slope, least_rest, least_e
    real(wp), dimension(n) :: surface_capacity, surface_slope, surface_conductivity, surface_potential
    real(wp), dimension(n_layer) :: inverse_distance, inverse_thickness
    logical :: any_raised
    real(wp) :: whole
    real(wp) :: pore, se, log_se, log_s, s, rest, log_rest, e, f, inverse_head, conductivity_se, x
    real(wp) :: h1, h2, k1, k2, dh, ratio, k_gravity, k_integral, flow, a, b, open, weight_up, weight_down
    real(wp) :: inverse, dh_flux, dh_ponded, gap, excess, content, updated, accepted, factor, eighth, pass_on
    integer :: i, k, pass

    do k = 1, n_layer - 1
      inverse_distance(k) = 2.0_wp / (thickness(k) + thickness(k + 1))
    end do
    inverse_distance(n_layer) = 0.0_wp
    inverse_thickness = 1.0_wp / thickness

    do i = 1, n
      m(i) = 1.0_wp - 1.0_wp / vg_n(i)
      inverse_m(i) = 1.0_wp / m(i)
      per_pore(i) = 1.0_wp / theta_sat(i)
      ! phi = K_s (1 - m)/alpha * integral of s^(p-1) 4 sinh^2(m/2 ln(1 - s)) ds with p + 2 = m (l + 1) + 1:
      ! exact for s << 1, elsewhere by one-point Gauss-Jacobi quadrature (node (p + 2)/(p + 3)) times a fitted
      ! 1 + 0.74 s^8: within 10 % of the integral for the texture classes
      x = m(i) * (vg_l(i) + 1.0_wp) + 1.0_wp
      potential_power(i) = max(x, 0.05_wp)
      raised(i) = potential_power(i) - x
      x = exp(vg_n(i) * log(alpha(i) * least_suction))
      least_rest(i) = x / (1.0_wp + x)
      least_e(i) = exp(m(i) * log(least_rest(i)))
      potential_point(i) = potential_power(i) / (potential_power(i) + 1.0_wp)
      potential_scale(i) = k_sat(i) * (1.0_wp - m(i)) / (alpha(i) * potential_power(i) * potential_point(i)**2)
      per_alpha(i) = 1.0_wp / alpha(i)
      scale_k(i) = potential_scale(i) / k_sat(i)
      surface_s(i) = 1.0_wp
      surface_conductivity(i) = k_sat(i)
    end do
    if (surface_head < 0.0_wp) then
      do i = 1, n
        log_s = -log(1.0_wp + exp(vg_n(i) * log(-alpha(i) * surface_head)))
        s = exp(log_s)
        f = 1.0_wp - exp(m(i) * log(max(1.0_wp - s, 1.0e-30_wp)))
        surface_s(i) = s
        surface_conductivity(i) = k_sat(i) * exp(vg_l(i) * m(i) * log_s) * f * f
        potential_scale(i) = potential_scale(i) * exp((potential_power(i) - 2.0_wp) * log_s)
      end do
    end if
    do i = 1, n
      eighth = surface_s(i) * surface_s(i)
      eighth = eighth * eighth
      eighth = eighth * eighth
      x = (m(i) * log(1.0_wp - surface_s(i) * potential_point(i)))**2
      surface_potential(i) = potential_scale(i) * x &
        * (1.0_wp + x * (1.0_wp / 12.0_wp) * (1.0_wp + x * (1.0_wp / 30.0_wp))) * (1.0_wp + 0.74_wp * eighth)
    end do
    ! square root of 10^(-6 ice/theta_sat)
    do k = 1, n_layer
      if (any(ice(:, k) > 0.0_wp)) then
        do i = 1, n
          impedance(i, k) = exp(-6.907755278982137_wp * ice(i, k) * per_pore(i))
        end do
      else
        do i = 1, n
          impedance(i, k) = 1.0_wp
        end do
      end if
    end do

    any_raised = any(raised > 0.0_wp)  ! by exactly 1 elsewhere

    do pass = first_pass, last_pass
      whole = merge(large, 0.0_wp, pass == most_passes)
      do i = 1, n
        a = trial(i)
        b = remaining(i)
        open = merge(1.0_wp, 0.0_wp, b > 0.0_wp)
        b = open * b + (1.0_wp - open) * dt  ! a tile that is done computes on with weight 0
        x = merge(large, 0.0_wp, a > 0.8_wp * b) + whole
        step(i) = min(max(a, x), b)
        inverse_step(i) = 1.0_wp / step(i)
        change(i) = 0.0_wp
      end do

      ! Heads, conductivities and their slopes with head
      do k = 1, n_layer
        do i = 1, n
          pore = max(theta_sat(i) - ice(i, k) - theta_res(i), smallest_pore)
          se = min(max((theta(i, k) - theta_res(i)) / pore, dry_limit), 1.0_wp)
          log_se = log(se)
          log_s = log_se * inverse_m(i)
          s = exp(log_s)
          rest = max(1.0_wp - s, 1.0e-9_wp)
          log_rest = log(rest)
          e = exp(m(i) * log_rest)
          f = 1.0_wp - e
          ! alpha (s/rest)^(1/n) with 1/n = 1 - m and s^m = se, and its reciprocal, from one division
          ratio = 1.0_wp / (s * e * se * rest)
          inverse_head = alpha(i) * (s * e) * (s * e) * ratio
          x = se * rest
          x = x * x * ratio * per_alpha(i)
          pass_on = e * rest
          conductivity_se = k_sat(i) * exp(vg_l(i) * log_se)
          open = merge(0.0_wp, 1.0_wp, se >= 1.0_wp)
          head(i, k) = -open * x
          conductivity(i, k) = open * (conductivity_se * f * f) + (1.0_wp - open) * k_sat(i)
          inverse_head = min(inverse_head, 1.0_wp / least_suction)
          rest = max(rest, least_rest(i))
          e = max(e, least_e(i))
          f = 1.0_wp - e
          slope(i, k) = conductivity_se * (vg_n(i) - 1.0_wp) * inverse_head * f &
            * max(vg_l(i) * rest * f + 2.0_wp * s * e, 0.0_wp)
          diagonal(i, k) = (pore * (vg_n(i) - 1.0_wp) * se * rest * inverse_head + storage) * thickness(k)
          eighth = s * s
          eighth = eighth * eighth
          eighth = eighth * eighth
          x = (m(i) * log(1.0_wp - s * potential_point(i)))**2
          ! s^(m (l + 1) - 1) = se^(l + 1)/s
          potential(i, k) = scale_k(i) * conductivity_se * (se * se * pass_on * ratio) * x &
            * (1.0_wp + x * (1.0_wp / 12.0_wp) * (1.0_wp + x * (1.0_wp / 30.0_wp))) * (1.0_wp + 0.74_wp * eighth)
        end do
      end do
      if (any_raised) then
        do k = 1, n_layer
          do i = 1, n
            se = (theta(i, k) - theta_res(i)) / max(theta_sat(i) - ice(i, k) - theta_res(i), smallest_pore)
            log_se = log(min(max(se, dry_limit), 1.0_wp))
            potential(i, k) = potential(i, k) * exp(raised(i) * inverse_m(i) * log_se)
          end do
        end do
      end if
      do k = 1, n_layer
        do i = 1, n
          diagonal(i, k) = diagonal(i, k) * inverse_step(i)
          right(i, k) = -sink_rate(i, k)
        end do
      end do

      ! Fluxes between layers and their derivatives with the head above (upper >= 0) and below (lower <= 0)
      do k = 1, n_layer - 1
        do i = 1, n
          h1 = head(i, k)
          h2 = head(i, k + 1)
          k1 = conductivity(i, k)
          k2 = conductivity(i, k + 1)
          dh = h2 - h1
          ratio = dh * inverse_distance(k)
          open = impedance(i, k) * impedance(i, k + 1)
          k_gravity = gravity_weight * k1 + (1.0_wp - gravity_weight) * k2
          weight_up = gravity_weight * slope(i, k)
          weight_down = (1.0_wp - gravity_weight) * slope(i, k + 1)
          gap = potential(i, k) - potential(i, k + 1)
          ! wetter above (dh < 0): gravity and suction both downwards
          flow = k_gravity + gap * inverse_distance(k)
          a = weight_up + k1 * inverse_distance(k)
          b = weight_down - k2 * inverse_distance(k)
          ! drier above, still downwards (0 <= dh <= dz)
          flow = merge(k_gravity * (1.0_wp - ratio), flow, dh >= 0.0_wp)
          a = merge(weight_up * (1.0_wp - ratio) + k_gravity * inverse_distance(k), a, dh >= 0.0_wp)
          b = merge(weight_down * (1.0_wp - ratio) - k_gravity * inverse_distance(k), b, dh >= 0.0_wp)
          ! upwards (dh > dz)
          inverse = 1.0_wp / max(dh, 1.0e-6_wp)
          k_integral = min(max(-gap * inverse, k1), k2)
          flow = merge(k_integral * (1.0_wp - ratio), flow, ratio > 1.0_wp)
          a = merge((k_integral - k1) * inverse + k1 * inverse_distance(k), a, ratio > 1.0_wp)
          b = merge((k2 - k_integral) * inverse - k2 * inverse_distance(k), b, ratio > 1.0_wp)
          q(i, k) = open * flow
          upper(i, k) = open * max(a, 0.0_wp)
          lower(i, k) = open * min(b, 0.0_wp)
        end do
      end do
      do k = 1, n_layer - 1
        do i = 1, n
          diagonal(i, k) = diagonal(i, k) + upper(i, k)
          diagonal(i, k + 1) = diagonal(i, k + 1) - lower(i, k)
          right(i, k) = right(i, k) - q(i, k)
          right(i, k + 1) = right(i, k + 1) + q(i, k)
        end do
      end do
      do i = 1, n
        open = impedance(i, n_layer)**2
        q(i, n_layer) = open * conductivity(i, n_layer)
        bottom_slope(i) = open * slope(i, n_layer)
        diagonal(i, n_layer) = diagonal(i, n_layer) + bottom_slope(i)
        right(i, n_layer) = right(i, n_layer) - q(i, n_layer)
        ! infiltration capacity: from the surface at its head to the node of the first layer
        open = impedance(i, 1)**2
        surface_slope(i) = open * 2.0_wp * inverse_thickness(1) * conductivity(i, 1)
        surface_capacity(i) = open * (gravity_weight * surface_conductivity(i) &
          + (1.0_wp - gravity_weight) * conductivity(i, 1) &
          + 2.0_wp * inverse_thickness(1) * (surface_potential(i) - potential(i, 1)))
      end do

      ! Elimination from the bottom up: head_change(k) = right(k) + diagonal(k) head_change(k - 1)
      do k = n_layer, 2, -1
        do i = 1, n
          inverse = 1.0_wp / diagonal(i, k)
          diagonal(i, k) = upper(i, k - 1) * inverse
          right(i, k) = right(i, k) * inverse
          diagonal(i, k - 1) = diagonal(i, k - 1) + lower(i, k - 1) * diagonal(i, k)
          right(i, k - 1) = right(i, k - 1) - lower(i, k - 1) * right(i, k)
        end do
      end do
      do i = 1, n
        ! the smaller of the two inflows is the smaller of the two heads: both balances rise with head
        dh_flux = (right(i, 1) + offered(i)) / diagonal(i, 1)
        dh_ponded = (right(i, 1) + surface_capacity(i)) / (diagonal(i, 1) + surface_slope(i))
        head_change(i, 1) = min(dh_flux, dh_ponded)
        q(i, 0) = merge(offered(i), surface_capacity(i) - surface_slope(i) * dh_ponded, dh_flux <= dh_ponded)
      end do
      do k = 2, n_layer
        do i = 1, n
          head_change(i, k) = right(i, k) + diagonal(i, k) * head_change(i, k - 1)
        end do
      end do
      do k = 1, n_layer - 1
        do i = 1, n
          q(i, k) = q(i, k) + upper(i, k) * head_change(i, k) + lower(i, k) * head_change(i, k + 1)
        end do
      end do
      do i = 1, n
        q(i, n_layer) = max(q(i, n_layer) + bottom_slope(i) * head_change(i, n_layer), 0.0_wp)
      end do

      ! New contents; over-full layers refuse inflow, from the bottom up
      do k = n_layer, 1, -1
        do i = 1, n
          pore = max(theta_sat(i) - ice(i, k), 0.0_wp)
          content = theta(i, k)
          updated = content + step(i) * inverse_thickness(k) * (q(i, k - 1) - q(i, k) - sink_rate(i, k))
          excess = max(updated - pore, 0.0_wp)
          q(i, k - 1) = q(i, k - 1) - excess * thickness(k) * inverse_step(i)
          change(i) = max(change(i), max(abs(updated - content), 4.0_wp * excess) / max(pore - theta_res(i), 0.02_wp))
        end do
      end do
      do i = 1, n
        a = remaining(i)
        accepted = merge(1.0_wp, 0.0_wp, a > 0.0_wp .and. (change(i) <= change_limit .or. pass == most_passes))
        b = step(i)
        factor = 0.8_wp * change_limit / max(change(i), 1.0e-6_wp)
        weight(i) = accepted * b
        trial(i) = b * min(max(factor, 0.1_wp), 5.0_wp)
        remaining(i) = a - weight(i)
        total(i, 0) = total(i, 0) + weight(i) * q(i, 0)
      end do
      do k = 1, n_layer
        do i = 1, n
          total(i, k) = total(i, k) + weight(i) * q(i, k)
          theta(i, k) = theta(i, k) + weight(i) * inverse_thickness(k) * (q(i, k - 1) - q(i, k) - sink_rate(i, k))
        end do
      end do
      if (all(remaining <= 0.0_wp)) exit
    end do
  end subroutine advance

  subroutine soil_evaporation_limits(n, dt, top_thickness, top_share, ground_temperature, theta, ice, head, &
      theta_sat, theta_res, alpha, vg_n, layer_thickness, resistance, relative_humidity, most)
    !! What limits evaporation from bare soil: the dry surface layer (Swenson & Lawrence 2014), the humidity of the
    !! pores, and the water of the first layer. Dew meets no resistance: the caller sets it to 0.
    !! Clapp & Hornberger numbers from van Genuchten's: B = 1/(n - 1), psi_sat = 1/alpha.
    integer, intent(in) :: n  !! number of tiles
    real(wp), intent(in) :: dt  !! time step, s
    real(wp), intent(in) :: top_thickness  !! thickness of the first layer, m
    real(wp), intent(in) :: top_share  !! part of the first layer's water that may evaporate in a step, - (0.5)
    real(wp), intent(in) :: ground_temperature(n)  !! temperature of the ground surface, K
    real(wp), intent(in) :: theta(n)  !! liquid water of the first layer, m3 m-3
    real(wp), intent(in) :: ice(n)  !! ice of the first layer as liquid equivalent, m3 m-3
    real(wp), intent(in) :: head(n)  !! soil water head of the first layer, m
    real(wp), intent(in) :: theta_sat(n)  !! porosity, m3 m-3
    real(wp), intent(in) :: theta_res(n)  !! residual content, m3 m-3
    real(wp), intent(in) :: alpha(n)  !! van Genuchten alpha, m-1
    real(wp), intent(in) :: vg_n(n)  !! van Genuchten n, -
    real(wp), intent(in) :: layer_thickness(n)  !! largest thickness of the dry surface layer, m (0.015)
    real(wp), intent(out) :: resistance(n)  !! resistance to vapour, s m-1, 0 to 1e6
    real(wp), intent(out) :: relative_humidity(n)  !! humidity of the pores over saturation at the ground, 0 to 1
    real(wp), intent(out) :: most(n)  !! largest evaporation, kg m-2 s-1
    integer :: i
    real(wp) :: air_dry, onset, dry_layer, air_space, tortuosity, diffusivity, b_inverse
    do i = 1, n
      b_inverse = vg_n(i) - 1.0_wp
      air_dry = theta_res(i) + (theta_sat(i) - theta_res(i)) * exp(-b_inverse * log(1.0e4_wp * alpha(i)))
      onset = 0.8_wp * max(theta_sat(i) - ice(i), 0.0_wp)
      dry_layer = layer_thickness(i) * max(onset - theta(i), 0.0_wp) / max(0.8_wp * theta_sat(i) - air_dry, 1.0e-3_wp)
      air_space = max(theta_sat(i) - air_dry, 1.0e-3_wp)
      tortuosity = air_space * air_space * exp(3.0_wp * b_inverse * log(air_space / theta_sat(i)))
      diffusivity = 2.12e-5_wp * exp(1.75_wp * log(ground_temperature(i) * (1.0_wp / freezing_point)))
      resistance(i) = min(min(dry_layer, layer_thickness(i)) / (diffusivity * tortuosity), 1.0e6_wp)
      relative_humidity(i) = exp(max(min(head(i), 0.0_wp) * gravity / (gas_constant_vapour * ground_temperature(i)), &
        -100.0_wp))
      most(i) = max(theta(i) - theta_res(i), 0.0_wp) * top_thickness * top_share * density_water / dt
    end do
  end subroutine soil_evaporation_limits
end module concerto_soil_water
