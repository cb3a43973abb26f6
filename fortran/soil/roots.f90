module concerto_roots
  !! Roots: their depth distribution (Jackson et al. 1996), the water stress of plants (as FATES and CTSM) and the
  !! uptake of water by layer.
  !!
  !! stress = sum r_i w_i, w between 0 (closed) and 1 (open), 0 in layers without liquid water or at or below
  !! T_f - 2 K; r is not renormalised, so that frozen roots lower the stress factor. Uptake of a layer is
  !! T r_i w_i/stress; transpiration is limited before it is taken out, so that no layer is overdrawn.
  !! With a hydraulic scheme `root_zone_hydraulics` gives the potential of the root zone and the weights of uptake.
  use concerto_kinds, only: wp
  use concerto_constants, only: density_water, freezing_point, gravity, molar_mass_water, pi
  implicit none
  private
  public :: root_fractions, root_stress, root_supply, root_uptake, root_zone_hydraulics
  integer, parameter, public :: stress_by_head = 1  !! w linear in head
  integer, parameter, public :: stress_by_moisture = 2  !! w linear in liquid content

  real(wp), parameter :: frozen_roots = freezing_point - 2.0_wp  !! K
  real(wp), parameter :: no_water = 1.0e-6_wp  !! m3 m-3, content that counts as none
  real(wp), parameter :: specific_root_length = 25000.0_wp  !! m per kg of absorbing roots (FATES)
  real(wp), parameter :: root_radius = 1.0e-4_wp  !! of absorbing roots, m (FATES)
  real(wp), parameter :: megapascal = 1.0e-6_wp * density_water * gravity  !! per m of head
  real(wp), parameter :: molar_flow = density_water / (molar_mass_water * megapascal)  !! m s-1 per m to mol m-2 s-1 MPa-1 m
  real(wp), parameter :: dry_potential = -10.0_wp  !! of a root zone that gives no water, MPa
  real(wp), parameter :: least_conductance = 1.0e-12_wp  !! mol m-2 s-1 MPa-1

contains

  subroutine root_fractions(n, n_layer, n_root, thickness, root_beta, fraction)
    !! Share of roots in each layer, 1 - beta^(100 z), renormalised over the first n_root layers.
    integer, intent(in) :: n  !! number of tiles
    integer, intent(in) :: n_layer  !! number of layers
    integer, intent(in) :: n_root  !! layers that roots reach
    real(wp), intent(in) :: thickness(n_layer)  !! layer thickness, m
    real(wp), intent(in) :: root_beta(n)  !! depth parameter, - (0.9 to 0.995)
    real(wp), intent(out) :: fraction(n, n_layer)  !! share of roots, - ; 0 below layer n_root
    real(wp) :: top, bottom, log_beta
    integer :: i, k
    fraction = 0.0_wp
    bottom = sum(thickness(1:n_root))
    top = 0.0_wp
    do k = 1, n_root
      do i = 1, n
        log_beta = 100.0_wp * log(root_beta(i))
        fraction(i, k) = (exp(log_beta * top) - exp(log_beta * (top + thickness(k)))) &
          / (1.0_wp - exp(log_beta * bottom))
      end do
      top = top + thickness(k)
    end do
  end subroutine root_fractions

  subroutine root_stress(n, n_layer, form, fraction, theta, head, temperature, head_open, head_closed, theta_open, &
      theta_closed, available, stress)
    !! Water stress factor and the part of it that each layer gives.
    integer, intent(in) :: n  !! number of tiles
    integer, intent(in) :: n_layer  !! number of layers
    integer, intent(in) :: form  !! stress_by_head (1) or stress_by_moisture (2)
    real(wp), intent(in) :: fraction(n, n_layer)  !! share of roots, -
    real(wp), intent(in) :: theta(n, n_layer)  !! liquid water, m3 m-3
    real(wp), intent(in) :: head(n, n_layer)  !! soil water head, m
    real(wp), intent(in) :: temperature(n, n_layer)  !! soil temperature, K
    real(wp), intent(in) :: head_open(n)  !! head without stress, m (-66)
    real(wp), intent(in) :: head_closed(n)  !! head of full stress, m (-255)
    real(wp), intent(in) :: theta_open(n)  !! content without stress (field capacity), m3 m-3; moisture form
    real(wp), intent(in) :: theta_closed(n)  !! content of full stress (wilting point), m3 m-3; moisture form
    real(wp), intent(out) :: available(n, n_layer)  !! r_i w_i, -
    real(wp), intent(out) :: stress(n)  !! water stress factor, 0 (full stress) to 1 (none)
    real(wp) :: w, r, liquid, t
    integer :: i, k
    stress = 0.0_wp
    select case (form)
    case (stress_by_moisture)
      do k = 1, n_layer
        do i = 1, n
          available(i, k) = (theta(i, k) - theta_closed(i)) / max(theta_open(i) - theta_closed(i), no_water)
        end do
      end do
    case default
      do k = 1, n_layer
        do i = 1, n
          available(i, k) = (head(i, k) - head_closed(i)) / max(head_open(i) - head_closed(i), 1.0e-3_wp)
        end do
      end do
    end select
    do k = 1, n_layer
      do i = 1, n
        r = fraction(i, k)
        liquid = theta(i, k)
        t = temperature(i, k)
        w = min(max(available(i, k), 0.0_wp), 1.0_wp)
        w = merge(w, 0.0_wp, liquid > no_water .and. t > frozen_roots)
        available(i, k) = r * w
        stress(i) = stress(i) + r * w
      end do
    end do
  end subroutine root_stress

  subroutine root_zone_hydraulics(n, n_layer, thickness, fraction, theta, head, temperature, vg_alpha, vg_n, vg_l, k_sat, &
      root_carbon, root_conductance, available, total, potential, conductance)
    !! Soil and roots as conductors in parallel, each the soil around the roots (radial flow to their surface) and the
    !! roots in series. The potential of the root zone is that without flow, with the weight of the water column below
    !! the surface; layers give water by their conductance, none where roots are frozen.
    integer, intent(in) :: n  !! number of tiles
    integer, intent(in) :: n_layer  !! number of layers
    real(wp), intent(in) :: thickness(n_layer)  !! layer thickness, m
    real(wp), intent(in) :: fraction(n, n_layer)  !! share of roots, -
    real(wp), intent(in) :: theta(n, n_layer)  !! liquid water, m3 m-3
    real(wp), intent(in) :: head(n, n_layer)  !! soil water head, m
    real(wp), intent(in) :: temperature(n, n_layer)  !! soil temperature, K
    real(wp), intent(in) :: vg_alpha(n)  !! van Genuchten alpha, m-1
    real(wp), intent(in) :: vg_n(n)  !! van Genuchten n, -
    real(wp), intent(in) :: vg_l(n)  !! pore connectivity, -
    real(wp), intent(in) :: k_sat(n)  !! saturated conductivity, m s-1
    real(wp), intent(in) :: root_carbon(n)  !! fine roots, kg m-2
    real(wp), intent(in) :: root_conductance(n)  !! of all roots without soil, mol m-2 s-1 MPa-1
    real(wp), intent(out) :: available(n, n_layer)  !! weight of the layer in the uptake, share of root_conductance, -
    real(wp), intent(out) :: total(n)  !! its sum, 0 to 1
    real(wp), intent(out) :: potential(n)  !! root zone, MPa
    real(wp), intent(out) :: conductance(n)  !! soil and roots, mol m-2 s-1 MPa-1
    real(wp) :: m(n), length(n)
    real(wp) :: depth, u, x, v, k, density, soil, root, g, weight, mean
    integer :: i, layer

    do i = 1, n
      m(i) = 1.0_wp - 1.0_wp / vg_n(i)
      length(i) = specific_root_length * max(root_carbon(i), 1.0e-3_wp)
      total(i) = 0.0_wp
      potential(i) = 0.0_wp
    end do
    depth = 0.0_wp
    do layer = 1, n_layer
      depth = depth + 0.5_wp * thickness(layer)
      do i = 1, n
        ! Mualem conductivity from the head
        u = vg_n(i) * log(vg_alpha(i) * max(-head(i, layer), 1.0e-6_wp))
        x = exp(min(u, 300.0_wp))
        v = log(1.0_wp + x)
        k = 1.0_wp - exp(m(i) * (min(u, 300.0_wp) - v))
        k = k_sat(i) * exp(-m(i) * vg_l(i) * v) * k * k
        ! mm of root per volume set the distance that water flows to them
        root = max(fraction(i, layer), 1.0e-9_wp) * length(i)
        density = root / thickness(layer)
        soil = molar_flow * k * 2.0_wp * pi * root / max(-log(root_radius * sqrt(pi * density)), 0.5_wp)
        root = fraction(i, layer) * root_conductance(i)
        g = root * soil / max(root + soil, 1.0e-30_wp)
        u = merge(g, 0.0_wp, theta(i, layer) > no_water)
        g = merge(u, 0.0_wp, temperature(i, layer) > frozen_roots)
        available(i, layer) = g / max(root_conductance(i), 1.0e-30_wp)
        total(i) = total(i) + available(i, layer)
        potential(i) = potential(i) + available(i, layer) * megapascal * (head(i, layer) - depth)
      end do
      depth = depth + 0.5_wp * thickness(layer)
    end do
    do i = 1, n
      conductance(i) = max(total(i) * root_conductance(i), least_conductance)
      weight = merge(1.0_wp, 0.0_wp, total(i) > 1.0e-9_wp)
      mean = potential(i) / max(total(i), 1.0e-9_wp)
      potential(i) = max(weight * mean + (1.0_wp - weight) * dry_potential, dry_potential)
    end do
  end subroutine root_zone_hydraulics

  subroutine root_supply(n, n_layer, dt, thickness, top_share, theta, theta_floor, available, stress, supply)
    !! Largest transpiration that no layer is overdrawn by.
    integer, intent(in) :: n  !! number of tiles
    integer, intent(in) :: n_layer  !! number of layers
    real(wp), intent(in) :: dt  !! time step, s
    real(wp), intent(in) :: thickness(n_layer)  !! layer thickness, m
    real(wp), intent(in) :: top_share  !! part of the first layer's water for roots, - (0.5; the rest may evaporate)
    real(wp), intent(in) :: theta(n, n_layer)  !! liquid water, m3 m-3
    real(wp), intent(in) :: theta_floor(n)  !! content that roots leave (residual), m3 m-3
    real(wp), intent(in) :: available(n, n_layer)  !! r_i w_i, -
    real(wp), intent(in) :: stress(n)  !! water stress factor, -
    real(wp), intent(out) :: supply(n)  !! largest transpiration, kg m-2 s-1; 0 where stress is 0
    real(wp) :: scale, limit, share, total
    integer :: i, k
    supply = huge(1.0_wp)
    do k = 1, n_layer
      scale = thickness(k) * density_water / dt
      if (k == 1) scale = scale * top_share
      do i = 1, n
        share = available(i, k)
        limit = max(theta(i, k) - theta_floor(i), 0.0_wp) * scale * stress(i) / max(share, 1.0e-30_wp)
        limit = merge(limit, huge(1.0_wp), share > 0.0_wp)
        supply(i) = min(supply(i), limit)
      end do
    end do
    do i = 1, n
      total = stress(i)
      limit = supply(i)
      supply(i) = merge(limit, 0.0_wp, total > 0.0_wp)
    end do
  end subroutine root_supply

  subroutine root_uptake(n, n_layer, potential, supply, available, stress, transpiration, uptake)
    !! Transpiration within the supply, and its uptake by layer. Negative (condensing) transpiration becomes 0.
    integer, intent(in) :: n  !! number of tiles
    integer, intent(in) :: n_layer  !! number of layers
    real(wp), intent(in) :: potential(n)  !! transpiration asked for, kg m-2 s-1
    real(wp), intent(in) :: supply(n)  !! largest transpiration (root_supply), kg m-2 s-1
    real(wp), intent(in) :: available(n, n_layer)  !! r_i w_i, -
    real(wp), intent(in) :: stress(n)  !! water stress factor, -
    real(wp), intent(out) :: transpiration(n)  !! transpiration allowed, the sum of uptake, kg m-2 s-1
    real(wp), intent(out) :: uptake(n, n_layer)  !! uptake by layer, kg m-2 s-1
    real(wp) :: rate(n), total, asked
    integer :: i, k
    do i = 1, n
      total = stress(i)
      asked = min(max(potential(i), 0.0_wp), supply(i)) / max(total, 1.0e-30_wp)
      rate(i) = merge(asked, 0.0_wp, total > 0.0_wp)
      transpiration(i) = 0.0_wp
    end do
    do k = 1, n_layer
      do i = 1, n
        uptake(i, k) = rate(i) * available(i, k)
        transpiration(i) = transpiration(i) + uptake(i, k)
      end do
    end do
  end subroutine root_uptake
end module concerto_roots
