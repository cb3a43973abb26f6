module concerto_retention
  !! Retention and conductivity of soil: van Genuchten (1980) with Mualem (1976) conductivity (default) and
  !! Clapp & Hornberger (1978).
  !!
  !! Heads are in m of water, negative when unsaturated; contents in m3 m-3; conductivity in m s-1.
  !! Van Genuchten: Se = (1 + (alpha |h|)^n)^(-m), m = 1 - 1/n, K = K_s Se^l (1 - (1 - Se^(1/m))^m)^2.
  !! Powers are written as exponentials of logarithms, which the vector library gives at half the price.
  !! Ice narrows the pores: Se counts liquid in the space that ice leaves, and ice lowers K by
  !! 10^(-6 ice/theta_sat) (Lundin 1990, as in CTSM and LPJmL).
  use concerto_kinds, only: wp
  implicit none
  private
  public :: retention_head, retention_state, retention_content, retention_clapp_hornberger

  real(wp), parameter :: dry_limit = 1.0e-3_wp  !! smallest Se that is looked at
  real(wp), parameter :: smallest_pore = 1.0e-3_wp  !! m3 m-3, space that ice can never take

contains

  elemental function saturation(theta, ice, theta_sat, theta_res) result(se)
    !! Effective saturation of the pores that ice leaves, within (0, 1].
    real(wp), intent(in) :: theta, ice, theta_sat, theta_res
    real(wp) :: se
    se = (theta - theta_res) / max(theta_sat - ice - theta_res, smallest_pore)
    se = min(max(se, dry_limit), 1.0_wp)
  end function saturation

  subroutine retention_head(n, n_layer, theta, ice, theta_sat, theta_res, alpha, vg_n, lowest_head, head)
    !! Soil water head from liquid content.
    integer, intent(in) :: n  !! number of tiles
    integer, intent(in) :: n_layer  !! number of layers
    real(wp), intent(in) :: theta(n, n_layer)  !! liquid water, m3 m-3
    real(wp), intent(in) :: ice(n, n_layer)  !! pore space taken by ice, m3 m-3
    real(wp), intent(in) :: theta_sat(n)  !! porosity, m3 m-3
    real(wp), intent(in) :: theta_res(n)  !! residual content, m3 m-3
    real(wp), intent(in) :: alpha(n)  !! van Genuchten alpha, m-1
    real(wp), intent(in) :: vg_n(n)  !! van Genuchten n, -
    real(wp), intent(in) :: lowest_head  !! head at which very dry soil is held, m (negative, -1e5 say)
    real(wp), intent(out) :: head(n, n_layer)  !! soil water head, m
    integer :: i, k
    real(wp) :: log_se, log_ratio, se, s
    real(wp), dimension(n) :: inverse_m, inverse_n, per_alpha
    do i = 1, n
      inverse_m(i) = vg_n(i) / (vg_n(i) - 1.0_wp)
      inverse_n(i) = 1.0_wp / vg_n(i)
      per_alpha(i) = 1.0_wp / alpha(i)
    end do
    do k = 1, n_layer
      do i = 1, n
        se = saturation(theta(i, k), ice(i, k), theta_sat(i), theta_res(i))
        log_se = log(se) * inverse_m(i)
        s = exp(log_se)
        ! alpha |h| = ((1 - s)/s)^(1/n); the floor stands for h = 0 without a branch
        log_ratio = (log(max(1.0_wp - s, 1.0e-30_wp)) - log_se) * inverse_n(i)
        head(i, k) = max(lowest_head, -exp(log_ratio) * per_alpha(i))
      end do
    end do
  end subroutine retention_head

  subroutine retention_state(n, n_layer, theta, ice, theta_sat, theta_res, alpha, vg_n, vg_l, k_sat, &
      head, conductivity, capacity)
    !! Head, conductivity (with the impedance of ice) and capacity d theta / d h from liquid content.
    integer, intent(in) :: n  !! number of tiles
    integer, intent(in) :: n_layer  !! number of layers
    real(wp), intent(in) :: theta(n, n_layer)  !! liquid water, m3 m-3
    real(wp), intent(in) :: ice(n, n_layer)  !! pore space taken by ice, m3 m-3
    real(wp), intent(in) :: theta_sat(n)  !! porosity, m3 m-3
    real(wp), intent(in) :: theta_res(n)  !! residual content, m3 m-3
    real(wp), intent(in) :: alpha(n)  !! van Genuchten alpha, m-1
    real(wp), intent(in) :: vg_n(n)  !! van Genuchten n, -
    real(wp), intent(in) :: vg_l(n)  !! pore connectivity, -
    real(wp), intent(in) :: k_sat(n)  !! saturated conductivity, m s-1
    real(wp), intent(out) :: head(n, n_layer)  !! soil water head, m
    real(wp), intent(out) :: conductivity(n, n_layer)  !! hydraulic conductivity, m s-1
    real(wp), intent(out) :: capacity(n, n_layer)  !! d theta / d h, m-1; 0 at saturation
    integer :: i, k
    real(wp) :: m, se, log_se, s, log_rest, scaled_head, connected
    do k = 1, n_layer
      do i = 1, n
        m = 1.0_wp - 1.0_wp / vg_n(i)
        se = saturation(theta(i, k), ice(i, k), theta_sat(i), theta_res(i))
        log_se = log(se)
        s = exp(log_se / m)
        log_rest = log(max(1.0_wp - s, 1.0e-30_wp))
        scaled_head = exp((log_rest - log_se / m) / vg_n(i))
        connected = 1.0_wp - exp(m * log_rest)
        connected = merge(1.0_wp, connected, se >= 1.0_wp)
        head(i, k) = -scaled_head / alpha(i)
        conductivity(i, k) = k_sat(i) * exp(vg_l(i) * log_se - 13.815510557964274_wp * ice(i, k) / theta_sat(i)) &
          * connected * connected
        capacity(i, k) = max(theta_sat(i) - ice(i, k) - theta_res(i), smallest_pore) * (vg_n(i) - 1.0_wp) * se &
          * (1.0_wp - s) * alpha(i) / scaled_head
      end do
    end do
  end subroutine retention_state

  subroutine retention_content(n, head, theta_sat, theta_res, alpha, vg_n, vg_l, k_sat, theta, conductivity, capacity)
    !! Content, conductivity and capacity from head, without ice.
    integer, intent(in) :: n  !! number of tiles
    real(wp), intent(in) :: head(n)  !! soil water head, m
    real(wp), intent(in) :: theta_sat(n)  !! porosity, m3 m-3
    real(wp), intent(in) :: theta_res(n)  !! residual content, m3 m-3
    real(wp), intent(in) :: alpha(n)  !! van Genuchten alpha, m-1
    real(wp), intent(in) :: vg_n(n)  !! van Genuchten n, -
    real(wp), intent(in) :: vg_l(n)  !! pore connectivity, -
    real(wp), intent(in) :: k_sat(n)  !! saturated conductivity, m s-1
    real(wp), intent(out) :: theta(n)  !! liquid water, m3 m-3
    real(wp), intent(out) :: conductivity(n)  !! hydraulic conductivity, m s-1
    real(wp), intent(out) :: capacity(n)  !! d theta / d h, m-1
    integer :: i
    real(wp) :: m, u, x, v, se, connected, suction
    do i = 1, n
      m = 1.0_wp - 1.0_wp / vg_n(i)
      suction = max(-head(i), 1.0e-12_wp)
      u = vg_n(i) * log(alpha(i) * suction)
      x = exp(u)
      v = log(1.0_wp + x)
      se = exp(-m * v)
      connected = 1.0_wp - exp(m * (u - v))
      connected = merge(1.0_wp, connected, head(i) >= 0.0_wp)
      se = merge(1.0_wp, se, head(i) >= 0.0_wp)
      theta(i) = theta_res(i) + (theta_sat(i) - theta_res(i)) * se
      conductivity(i) = k_sat(i) * exp(-vg_l(i) * m * v) * connected * connected
      capacity(i) = (theta_sat(i) - theta_res(i)) * (vg_n(i) - 1.0_wp) * se * x / ((1.0_wp + x) * suction)
      capacity(i) = merge(0.0_wp, capacity(i), head(i) >= 0.0_wp)
    end do
  end subroutine retention_content

  subroutine retention_clapp_hornberger(n, theta, theta_sat, psi_sat, b, k_sat, head, conductivity)
    !! Clapp & Hornberger (1978): h = psi_sat S^-B, K = K_sat S^(2B + 3), S = theta/theta_sat.
    integer, intent(in) :: n  !! number of tiles
    real(wp), intent(in) :: theta(n)  !! liquid water, m3 m-3
    real(wp), intent(in) :: theta_sat(n)  !! porosity, m3 m-3
    real(wp), intent(in) :: psi_sat(n)  !! head of air entry, m (negative)
    real(wp), intent(in) :: b(n)  !! exponent, -
    real(wp), intent(in) :: k_sat(n)  !! saturated conductivity, m s-1
    real(wp), intent(out) :: head(n)  !! soil water head, m
    real(wp), intent(out) :: conductivity(n)  !! hydraulic conductivity, m s-1
    integer :: i
    real(wp) :: log_s
    do i = 1, n
      log_s = log(min(max(theta(i) / theta_sat(i), dry_limit), 1.0_wp))
      head(i) = psi_sat(i) * exp(-b(i) * log_s)
      conductivity(i) = k_sat(i) * exp((2.0_wp * b(i) + 3.0_wp) * log_s)
    end do
  end subroutine retention_clapp_hornberger
end module concerto_retention
