module concerto_turbulence
  !! Turbulent exchange between the canopy (or bare ground) and the reference height, and inside the canopy.
  !! Monin-Obukhov similarity with the four regimes of Zeng et al. (1998): with zeta = (z - d)/L,
  !!   very stable zeta > 1, stable, unstable (phi_m = (1 - 16 zeta)^(-1/4), phi_h = phi_m^2), very unstable
  !!   (zeta < -1.574 momentum, < -0.465 heat: free-convection power laws).
  !! zeta solves zeta = Ri_B F_m^2 / F_h, F the integrated profiles; the start is a closed form in the bulk Richardson
  !! number and each update is a Newton step with the exact derivative dF/dzeta = (phi(zeta) - phi(zeta_0))/zeta.
  !! Sign: theta_difference = air minus surface, positive when stable. Conductances in m s-1.
  use concerto_kinds, only: wp
  use concerto_constants, only: von_karman, gravity
  implicit none
  private
  public :: surface_layer, surface_layer_update, canopy_roughness, within_canopy, leaf_boundary_layer

  real(wp), parameter, public :: boundary_layer_height = 1000.0_wp  !! convective boundary layer, m
  real(wp), parameter :: zeta_very_stable = 2.0_wp  ! upper limit
  real(wp), parameter :: zeta_very_unstable = 100.0_wp  ! limit of -zeta
  real(wp), parameter :: free_momentum = 1.574_wp  ! -zeta where free convection starts
  real(wp), parameter :: free_heat = 0.465_wp
  real(wp), parameter :: largest_extinction = 10.0_wp  ! of wind in the canopy; beyond it the ground is cut off anyway
  real(wp), parameter :: ground_excess = 2.0014800_wp  ! ln(7.4): z0m/z0h of bare ground

contains

  pure subroutine surface_layer(n, updates, zeta_neutral, height, roughness_momentum, roughness_heat, wind, &
                                theta_air, theta_surface, zeta, friction_velocity, theta_star, resistance_momentum, &
                                resistance_heat)
    !! Surface layer of given surface temperature, without gustiness. Three updates give resistances to about 1e-4.
    integer, intent(in) :: n  !! tiles
    integer, intent(in) :: updates  !! Newton updates, 3
    real(wp), intent(in) :: zeta_neutral  !! smallest |zeta| allowed, 0 for none (0.01 in CTSM)
    real(wp), intent(in) :: height(n)  !! reference height above the displacement height, m
    real(wp), intent(in) :: roughness_momentum(n)  !! m
    real(wp), intent(in) :: roughness_heat(n)  !! m
    real(wp), intent(in) :: wind(n)  !! wind speed, floored at 1 by the caller if wanted, m s-1
    real(wp), intent(in) :: theta_air(n)  !! (virtual) potential temperature at the reference height, K
    real(wp), intent(in) :: theta_surface(n)  !! the same at the surface, K
    real(wp), intent(out) :: zeta(n)  !! stability, -
    real(wp), intent(out) :: friction_velocity(n)  !! m s-1
    real(wp), intent(out) :: theta_star(n)  !! temperature scale, positive when stable, K
    real(wp), intent(out) :: resistance_momentum(n)  !! s m-1
    real(wp), intent(out) :: resistance_heat(n)  !! s m-1
    real(wp), dimension(n) :: richardson, log_m, log_h, ratio_m, ratio_h, root_m, root_h, f_m, f_h, slope_m, slope_h
    integer :: i, k

    do i = 1, n
      ratio_m(i) = roughness_momentum(i) / height(i)
      ratio_h(i) = roughness_heat(i) / height(i)
      log_m(i) = -log(ratio_m(i))
      log_h(i) = -log(ratio_h(i))
      root_m(i) = exp(-log_m(i) * 0.33333333333333333_wp)
      root_h(i) = exp(log_h(i) * 0.33333333333333333_wp)
      richardson(i) = gravity * height(i) * (theta_air(i) - theta_surface(i)) / (theta_air(i) * wind(i) * wind(i))
    end do
    call first_zeta(n, richardson, log_m, log_h, ratio_m, ratio_h, zeta)
    do i = 1, n
      zeta(i) = within_limits(zeta(i), richardson(i), zeta_neutral)
    end do
    do k = 1, updates
      call profiles(n, zeta, log_m, log_h, ratio_m, ratio_h, root_m, root_h, f_m, f_h, slope_m, slope_h)
      do i = 1, n
        zeta(i) = within_limits(newton(zeta(i), richardson(i), f_m(i), f_h(i), slope_m(i), slope_h(i)), &
                                richardson(i), zeta_neutral)
      end do
    end do
    call profiles(n, zeta, log_m, log_h, ratio_m, ratio_h, root_m, root_h, f_m, f_h, slope_m, slope_h)
    do i = 1, n
      friction_velocity(i) = von_karman * wind(i) / f_m(i)
      theta_star(i) = von_karman * (theta_air(i) - theta_surface(i)) / f_h(i)
      resistance_momentum(i) = wind(i) / (friction_velocity(i) * friction_velocity(i))
      resistance_heat(i) = f_h(i) / (von_karman * friction_velocity(i))
    end do
  end subroutine surface_layer

  pure subroutine surface_layer_update(n, gustiness, height, roughness, log_height, wind, theta_air, &
                                       theta_difference, root, inverse_root, zeta, transfer, friction_velocity, &
                                       conductance_heat)
    !! One Newton update with equal roughness for momentum and heat, for use inside a sweep in which the surface
    !! temperature changes too. zeta = 0 or of the wrong sign starts from the closed form. The profiles are carried to
    !! the new zeta by their derivative, which is exact on the stable side up to zeta = 1.
    integer, intent(in) :: n  !! tiles
    real(wp), intent(in) :: gustiness  !! factor of the convective velocity, 1; 0 switches it off
    real(wp), intent(in) :: height(n)  !! reference height above the displacement height, m
    real(wp), intent(in) :: roughness(n)  !! m
    real(wp), intent(in) :: log_height(n)  !! ln(height/roughness), -
    real(wp), intent(in) :: wind(n)  !! mean wind speed (floored), m s-1
    real(wp), intent(in) :: theta_air(n)  !! virtual potential temperature at the reference height, K
    real(wp), intent(in) :: theta_difference(n)  !! virtual potential temperature, air minus surface, K
    real(wp), intent(in) :: root(n)  !! cube root of roughness/height, -
    real(wp), intent(in) :: inverse_root(n)  !! cube root of height/roughness, -
    real(wp), intent(inout) :: zeta(n)  !! stability, -
    real(wp), intent(inout) :: transfer(n)  !! k^2/(F_m F_h) of the last update; start with the neutral value, -
    real(wp), intent(out) :: friction_velocity(n)  !! m s-1
    real(wp), intent(out) :: conductance_heat(n)  !! from the surface to the reference height, m s-1
    real(wp), dimension(n) :: richardson, ratio, first, f_m, f_h, slope_m, slope_h, speed
    real(wp) :: start, change, u2, a, v
    integer :: i

    do i = 1, n
      ratio(i) = roughness(i) / height(i)
      ! wind with the convective velocity w*^3 = a V, V^2 = u^2 + w*^2, from the present difference: a gust that
      ! outlives a change to stable air would exchange heat without measure. Two repetitions suffice.
      u2 = wind(i) * wind(i)
      a = -gustiness * gravity * boundary_layer_height * theta_difference(i) * transfer(i) / theta_air(i)
      a = max(a, 1.0e-12_wp)
      v = sqrt(u2 + a)
      v = sqrt(u2 + exp(0.66666666666666667_wp * log(a * v)))
      v = sqrt(u2 + exp(0.66666666666666667_wp * log(a * v)))
      speed(i) = v
      richardson(i) = gravity * height(i) * theta_difference(i) / (theta_air(i) * v * v)
    end do
    call first_zeta(n, richardson, log_height, log_height, ratio, ratio, first)
    do i = 1, n
      change = zeta(i)
      start = first(i)
      start = merge(change, start, change * richardson(i) > 0.0_wp)
      zeta(i) = within_limits(start, richardson(i), 0.0_wp)
    end do
    call profiles(n, zeta, log_height, log_height, ratio, ratio, root, inverse_root, f_m, f_h, slope_m, slope_h)
    do i = 1, n
      change = within_limits(newton(zeta(i), richardson(i), f_m(i), f_h(i), slope_m(i), slope_h(i)), richardson(i), &
                             0.0_wp) - zeta(i)
      zeta(i) = zeta(i) + change
      f_m(i) = max(f_m(i) + slope_m(i) * change, 0.4_wp * f_m(i))
      f_h(i) = max(f_h(i) + slope_h(i) * change, 0.4_wp * f_h(i))
      friction_velocity(i) = von_karman * speed(i) / f_m(i)
      conductance_heat(i) = von_karman * friction_velocity(i) / f_h(i)
      transfer(i) = conductance_heat(i) / speed(i)
    end do
  end subroutine surface_layer_update

  pure subroutine canopy_roughness(n, canopy_height, plant_area_index, roughness_ratio, displacement_ratio, &
                                   ground_roughness, reference_height, height, roughness, displacement, log_height, &
                                   cover)
    !! Roughness and displacement from height; sparse canopies tend to the ground's (Zeng & Wang 2007), so that the
    !! limit of no leaves is bare ground. The reference height is at least 2 m above the (aerodynamic) canopy top.
    integer, intent(in) :: n  !! tiles
    real(wp), intent(in) :: canopy_height(n)  !! exposed height of the canopy top, m
    real(wp), intent(in) :: plant_area_index(n)  !! exposed leaf and stem area, m2 m-2
    real(wp), intent(in) :: roughness_ratio(n)  !! z0/h, -
    real(wp), intent(in) :: displacement_ratio(n)  !! d/h, -
    real(wp), intent(in) :: ground_roughness(n)  !! m
    real(wp), intent(in) :: reference_height(n)  !! of the forcing, above ground, m
    real(wp), intent(out) :: height(n)  !! reference height above displacement, m
    real(wp), intent(out) :: roughness(n)  !! momentum, equal for heat, m
    real(wp), intent(out) :: displacement(n)  !! m
    real(wp), intent(out) :: log_height(n)  !! ln(height/roughness), -
    real(wp), intent(out) :: cover(n)  !! aerodynamic cover by the canopy, 0..1
    real(wp), parameter :: full = 2.0_wp  ! plant area at which the canopy is aerodynamically closed
    real(wp) :: top, log_ground, log_canopy
    integer :: i

    do i = 1, n
      top = max(canopy_height(i), 1.0e-3_wp)
      cover(i) = (1.0_wp - exp(-min(plant_area_index(i), full))) / (1.0_wp - exp(-full))
      log_ground = log(ground_roughness(i))
      log_canopy = log(max(roughness_ratio(i) * top, ground_roughness(i)))
      roughness(i) = exp(log_ground + cover(i) * (log_canopy - log_ground))
      displacement(i) = cover(i) * displacement_ratio(i) * top
      height(i) = max(reference_height(i), cover(i) * top + 2.0_wp) - displacement(i)
      log_height(i) = log(height(i) / roughness(i))
    end do
  end subroutine canopy_roughness

  pure subroutine leaf_boundary_layer(n, leaf_width, friction_velocity, conductance)
    !! Boundary layer of one leaf side (CTSM: 0.01 m s-1/2 sqrt(u*/width)).
    integer, intent(in) :: n  !! tiles
    real(wp), intent(in) :: leaf_width(n)  !! m
    real(wp), intent(in) :: friction_velocity(n)  !! m s-1
    real(wp), intent(out) :: conductance(n)  !! m s-1
    integer :: i

    do i = 1, n
      conductance(i) = 0.01_wp * sqrt(friction_velocity(i) / leaf_width(i))
    end do
  end subroutine leaf_boundary_layer

  pure subroutine within_canopy(n, canopy_height, plant_area_index, wind_extinction, displacement, roughness, &
                                ground_roughness, cover, friction_velocity, ground_buoyancy, stability, conductance)
    !! Ground to canopy air with an exponential eddy diffusivity (Noah-MP):
    !! r = h e^a/(a K_h) [exp(-a z0g/h) - exp(-a (z0 + d)/h)], K_h = k u* (h - d), a = sqrt(c_w (L + S) h phi).
    !! Where the canopy is open the excess resistance of bare ground, ln(z0m/z0h)/(k u*), is added, so that without
    !! leaves the ground meets the air as a one-source surface.
    integer, intent(in) :: n  !! tiles
    real(wp), intent(in) :: canopy_height(n)  !! exposed height, m
    real(wp), intent(in) :: plant_area_index(n)  !! exposed leaf and stem area, m2 m-2
    real(wp), intent(in) :: wind_extinction(n)  !! c_w, m-1
    real(wp), intent(in) :: displacement(n)  !! m
    real(wp), intent(in) :: roughness(n)  !! of the canopy, m
    real(wp), intent(in) :: ground_roughness(n)  !! m
    real(wp), intent(in) :: cover(n)  !! aerodynamic cover, 0..1
    real(wp), intent(in) :: friction_velocity(n)  !! m s-1
    real(wp), intent(in) :: ground_buoyancy(n)  !! g/T times kinematic heat flux of the ground (+ up), m2 s-3
    real(wp), intent(inout) :: stability(n)  !! phi in the canopy, damped by half; 1 to start with, -
    real(wp), intent(out) :: conductance(n)  !! m s-1
    real(wp) :: top, a, zeta, target, path, ustar, inverse_top, unstable, stable
    integer :: i

    do i = 1, n
      ustar = friction_velocity(i)
      top = max(canopy_height(i), 1.0e-3_wp, displacement(i) + roughness(i))
      inverse_top = 1.0_wp / top
      zeta = -von_karman * max(displacement(i) - ground_roughness(i), 0.0_wp) * ground_buoyancy(i) / ustar**3
      zeta = min(max(zeta, -10.0_wp), 1.0_wp)
      unstable = 1.0_wp / sqrt(sqrt(1.0_wp - 15.0_wp * min(zeta, 0.0_wp)))
      stable = 1.0_wp + 4.7_wp * zeta
      target = merge(stable, unstable, zeta > 0.0_wp)
      stability(i) = 0.5_wp * (stability(i) + target)
      a = sqrt(max(wind_extinction(i) * plant_area_index(i) * top * stability(i), 1.0e-6_wp))
      a = min(a, largest_extinction)
      path = exp(a * (1.0_wp - ground_roughness(i) * inverse_top)) &
             - exp(a * (1.0_wp - (roughness(i) + displacement(i)) * inverse_top))
      path = max(path, 0.0_wp) * top / (a * (top - displacement(i)))
      path = path + ground_excess * (1.0_wp - cover(i))
      conductance(i) = von_karman * ustar / max(path, 0.1_wp)
    end do
  end subroutine within_canopy

  pure subroutine profiles(n, zeta, log_m, log_h, ratio_m, ratio_h, root_ratio_m, root_ratio_h, f_m, f_h, slope_m, &
                           slope_h)
    !! Integrated profiles F (wind = u*/k F_m, heat alike) and their derivatives with zeta.
    integer, intent(in) :: n
    real(wp), intent(in) :: zeta(n), log_m(n), log_h(n), ratio_m(n), ratio_h(n)
    real(wp), intent(in) :: root_ratio_m(n), root_ratio_h(n)  ! ratio_m**(1/3) and ratio_h**(-1/3)
    real(wp), intent(out) :: f_m(n), f_h(n), slope_m(n), slope_h(n)
    real(wp), parameter :: a_m = 1.14_wp  ! 3 x 0.7 k^(2/3), rounded as in the source
    real(wp), parameter :: a_h = 0.80_wp  ! 3 x 0.9 k^(4/3), rounded as in the source
    real(wp), parameter :: root_m = 1.1632370937226377_wp  ! free_momentum^(1/3)
    real(wp), parameter :: root_h = 1.2907704538434486_wp  ! free_heat^(-1/3)
    real(wp) :: z, s, u, inverse_u, um, uh, xm, xm2, xh2, x0, x02, y0, third, inverse_third, far, stable_part
    real(wp) :: stable_slope, log_part, unstable_m, unstable_h, phi_m, phi_h, u0m, u0h, phi_0m, phi_0h
    real(wp) :: third_0, inverse_third_0, lower
    logical :: stable
    integer :: i

    do i = 1, n
      z = zeta(i)
      stable = z >= 0.0_wp
      s = max(z, 0.0_wp)
      far = max(s, 1.0_wp)
      u = max(-z, 1.0e-6_wp)
      ! one logarithm serves both sides; what the other side makes of it is not selected
      unstable_m = merge(far, u, stable)
      log_part = log(unstable_m)
      stable_part = 5.0_wp * min(s, 1.0_wp) + 4.0_wp * log_part + far - 1.0_wp
      stable_slope = merge(4.0_wp / far + 1.0_wp, 5.0_wp, s > 1.0_wp)

      inverse_u = 1.0_wp / u
      um = min(u, free_momentum)
      uh = min(u, free_heat)
      third = exp(log_part * 0.33333333333333333_wp)
      inverse_third = third * third * inverse_u
      xm2 = sqrt(1.0_wp + 16.0_wp * um)
      xm = sqrt(xm2)
      xh2 = sqrt(1.0_wp + 16.0_wp * uh)
      ! lower end: z0/L, which a rough surface brings into free convection too
      u0m = u * ratio_m(i)
      u0h = u * ratio_h(i)
      third_0 = third * root_ratio_m(i)
      inverse_third_0 = inverse_third * root_ratio_h(i)
      x02 = sqrt(1.0_wp + 16.0_wp * min(u0m, free_momentum))
      x0 = sqrt(x02)
      y0 = sqrt(1.0_wp + 16.0_wp * min(u0h, free_heat))
      lower = max(1.0_wp, u0m * (1.0_wp / free_momentum))
      unstable_m = log(um * inverse_u * lower * (1.0_wp + x0)**2 * (1.0_wp + x02) &
                       / ((1.0_wp + xm)**2 * (1.0_wp + xm2))) + 2.0_wp * atan((xm - x0) / (1.0_wp + xm * x0)) &
                   + a_m * (max(third, root_m) - max(third_0, root_m))
      lower = max(1.0_wp, u0h * (1.0_wp / free_heat))
      unstable_h = log(uh * inverse_u * lower * ((1.0_wp + y0) / (1.0_wp + xh2))**2) &
                   + a_h * (min(inverse_third_0, root_h) - min(inverse_third, root_h))
      phi_0m = merge(1.0_wp / x0, a_m * 0.33333333333333333_wp * third_0, u0m < free_momentum)
      phi_0h = merge(1.0_wp / y0, a_h * 0.33333333333333333_wp * inverse_third_0, u0h < free_heat)
      phi_m = merge(1.0_wp / xm, a_m * 0.33333333333333333_wp * third, u < free_momentum)
      phi_h = merge(1.0_wp / xh2, a_h * 0.33333333333333333_wp * inverse_third, u < free_heat)

      f_m(i) = log_m(i) + merge(stable_part - 5.0_wp * s * ratio_m(i), unstable_m, stable)
      f_h(i) = log_h(i) + merge(stable_part - 5.0_wp * s * ratio_h(i), unstable_h, stable)
      slope_m(i) = merge(stable_slope - 5.0_wp * ratio_m(i), (phi_0m - phi_m) * inverse_u, stable)
      slope_h(i) = merge(stable_slope - 5.0_wp * ratio_h(i), (phi_0h - phi_h) * inverse_u, stable)
    end do
  end subroutine profiles

  pure subroutine first_zeta(n, richardson, log_m, log_h, ratio_m, ratio_h, zeta)
    !! Closed form: on the stable side the root of Ri (lm + 5 a_m zeta)^2 = zeta (lh + 5 a_h zeta), the limit if none.
    integer, intent(in) :: n
    real(wp), intent(in) :: richardson(n), log_m(n), log_h(n), ratio_m(n), ratio_h(n)
    real(wp), intent(out) :: zeta(n)
    real(wp) :: r, ri, lm, lh, am, a, b, c, discriminant, denominator, stable, unstable
    integer :: i

    do i = 1, n
      r = richardson(i)
      lm = log_m(i)
      lh = log_h(i)
      ri = max(r, 0.0_wp)
      am = 5.0_wp * (1.0_wp - ratio_m(i))
      a = 5.0_wp * (1.0_wp - ratio_h(i)) - ri * am * am
      b = lh - 2.0_wp * ri * lm * am
      c = ri * lm * lm
      ! a zeta^2 + b zeta - c = 0; the smallest positive root is 2c/(b + sqrt(b^2 + 4ac)) if both are positive
      discriminant = b * b + 4.0_wp * a * c
      denominator = min(b + sqrt(max(discriminant, 0.0_wp)), discriminant * 1.0e10_wp)
      stable = min(2.0_wp * c / max(denominator, 1.0e-10_wp), zeta_very_stable)
      stable = merge(stable, zeta_very_stable, denominator > 0.0_wp)
      unstable = r * lm * lm / lh
      zeta(i) = merge(stable, unstable, r > 0.0_wp)
    end do
  end subroutine first_zeta

  elemental function newton(zeta, richardson, f_m, f_h, slope_m, slope_h) result(next)
    !! Newton step for zeta = Ri F_m^2/F_h; the derivative of the map is limited so that the step stays a contraction.
    real(wp), intent(in) :: zeta, richardson, f_m, f_h, slope_m, slope_h
    real(wp) :: next, inverse, map, slope

    inverse = 1.0_wp / (f_m * f_h)
    map = richardson * f_m * f_m * f_m * inverse
    slope = map * inverse * (2.0_wp * slope_m * f_h - slope_h * f_m)
    slope = min(max(slope, -5.0_wp), 0.95_wp)
    next = zeta + (map - zeta) / (1.0_wp - slope)
  end function newton

  elemental function within_limits(zeta, richardson, neutral) result(limited)
    real(wp), intent(in) :: zeta, richardson, neutral
    real(wp) :: limited

    limited = merge(min(max(zeta, neutral), zeta_very_stable), max(min(zeta, -neutral), -zeta_very_unstable), &
                    richardson >= 0.0_wp)
  end function within_limits
end module concerto_turbulence
