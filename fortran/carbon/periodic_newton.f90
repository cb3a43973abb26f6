module concerto_periodic_newton
  !! Newton's method for pools that return to themselves after a cycle of forcing, Phi(X) = X, in x = log X (pools
  !! stay positive). The caller runs the cycle for m + 1 replicas of every tile: the state itself and the state with
  !! each of its m pools enlarged a little; the replicas give the tangent map J = d log Phi / d log X, hence the next
  !! state and the Floquet multipliers (eigenvalues of J). Between tangent maps the state alone is cycled and the map
  !! updated (Broyden). Tiles do not see each other; a tile that has converged is not moved any more.
  use concerto_kinds, only: wp
  implicit none
  private
  public :: newton_replicas, newton_advance, newton_tangent, solve_linear, spectral_radius

  real(wp), parameter :: enlargement = 1.0e-5_wp  !! of a pool in its replica: rounding of a year and curvature both leave 1e-7
  real(wp), parameter :: smallest_pool = 1.0e-280_wp  !! logarithms of empty pools, kg m-2
  real(wp), parameter :: largest_move = 2.0_wp  !! of log X in one step
  real(wp), parameter :: smallest_share = 0.05_wp  !! of a step, after halving

contains

  subroutine newton_replicas(n, m, carbon, replica)
    !! The state and its m neighbours.
    integer, intent(in) :: n  !! tiles
    integer, intent(in) :: m  !! pools
    real(wp), intent(in) :: carbon(n, m)  !! pools at the start of the cycle, kg m-2
    real(wp), intent(out) :: replica(n, m, 0:m)  !! replica 0 as given, replica j with pool j enlarged, kg m-2
    integer :: i, pool, copy
    do copy = 0, m
      do pool = 1, m
        do i = 1, n
          replica(i, pool, copy) = carbon(i, pool)
        end do
      end do
    end do
    do pool = 1, m
      do i = 1, n
        replica(i, pool, pool) = carbon(i, pool) * (1.0_wp + enlargement)
      end do
    end do
  end subroutine newton_replicas

  subroutine newton_advance(n, m, tangent, tolerance, image, carbon, origin, move, share, residual, jacobian, cycles)
    !! Judge the trial state by its image after the cycle and propose the next. A trial is accepted when the move that
    !! the old tangent map would make from it is shorter than the one that led to it (the natural test of Deuflhard:
    !! residuals mislead where pools turn over in centuries), or when its residual meets the tolerance.
    integer, intent(in) :: n  !! tiles
    integer, intent(in) :: m  !! pools
    logical, intent(in) :: tangent  !! images of all replicas, new tangent map; else of the state alone
    real(wp), intent(in) :: tolerance  !! of the residual
    real(wp), intent(in) :: image(n, m, 0:m)  !! replicas after the cycle, kg m-2
    real(wp), intent(inout) :: carbon(n, m)  !! in: the trial state that was cycled; out: the next trial, kg m-2
    real(wp), intent(inout) :: origin(n, m)  !! state accepted last, kg m-2
    real(wp), intent(inout) :: move(n, m)  !! change of log X proposed from there
    real(wp), intent(inout) :: share(n)  !! share of the move that the trial took; 0 at the first call
    real(wp), intent(inout) :: residual(n)  !! largest change of log X from there; negative at the first call
    real(wp), intent(inout) :: jacobian(n, m, m)  !! tangent map
    real(wp), intent(inout) :: cycles(n)  !! forcing cycles consumed
    integer :: i, pool, donor
    real(wp) :: change(m), next(m), matrix(m, m), trial, size, before
    logical :: first, accepted
    do i = 1, n
      first = residual(i) < 0.0_wp
      if (residual(i) <= tolerance .and. .not. first) cycle
      cycles(i) = cycles(i) + merge(real(m + 1, wp), 1.0_wp, tangent)
      do pool = 1, m
        change(pool) = log(max(image(i, pool, 0), smallest_pool)) - log(max(carbon(i, pool), smallest_pool))
      end do
      trial = maxval(abs(change))
      accepted = first .or. trial <= tolerance
      if (.not. accepted) then
        next(:) = change(:)
        call move_from(i, next)
        before = maxval(abs(move(i, :)))
        accepted = maxval(abs(next)) <= (1.0_wp - 0.25_wp * share(i)) * before .or. share(i) <= smallest_share
      end if
      if (accepted) then
        if (tangent) then
          do donor = 1, m
            do pool = 1, m
              jacobian(i, pool, donor) = slope(image(i, pool, donor), image(i, pool, 0))
            end do
          end do
        else if (share(i) > 0.0_wp) then
          ! Broyden: the move s = share x move brought change - (1 - share) x (old change), none for an exact map;
          ! the old change is (I - J) move
          size = sum((share(i) * move(i, :)) ** 2)
          next(:) = change(:)
          do pool = 1, m
            next(pool) = next(pool) - (1.0_wp - share(i)) * (move(i, pool) - sum(jacobian(i, pool, :) * move(i, :)))
          end do
          do donor = 1, m
            do pool = 1, m
              jacobian(i, pool, donor) = jacobian(i, pool, donor) &
                + next(pool) * share(i) * move(i, donor) / max(size, 1.0e-200_wp)
            end do
          end do
        end if
        residual(i) = trial
        next(:) = change(:)
        call move_from(i, next)
        origin(i, :) = carbon(i, :)
        move(i, :) = next(:)
        share(i) = min(1.0_wp, largest_move / max(maxval(abs(next)), largest_move))
      else
        share(i) = max(0.4_wp * share(i), smallest_share)
      end if
      if (residual(i) > tolerance) then
        do pool = 1, m
          carbon(i, pool) = max(origin(i, pool), smallest_pool) * exp(share(i) * move(i, pool))
        end do
      end if
    end do

  contains

    subroutine move_from(tile, vector)
      !! (I - J)**(-1) times a vector.
      integer, intent(in) :: tile  !! tile
      real(wp), intent(inout) :: vector(m)  !! change of log X; then the move
      integer :: k
      matrix(:, :) = -jacobian(tile, :, :)
      do k = 1, m
        matrix(k, k) = matrix(k, k) + 1.0_wp
      end do
      call solve_linear(m, matrix, vector)
    end subroutine move_from

  end subroutine newton_advance

  subroutine newton_tangent(n, m, image, carbon, residual, jacobian)
    !! Residual and tangent map at a state, from the images of its replicas.
    integer, intent(in) :: n  !! tiles
    integer, intent(in) :: m  !! pools
    real(wp), intent(in) :: image(n, m, 0:m)  !! replicas after the cycle, kg m-2
    real(wp), intent(in) :: carbon(n, m)  !! the state, kg m-2
    real(wp), intent(out) :: residual(n)  !! largest change of log X
    real(wp), intent(out) :: jacobian(n, m, m)  !! d log Phi/d log X
    integer :: i, pool, donor
    residual(:) = 0.0_wp
    do pool = 1, m
      do i = 1, n
        residual(i) = max(residual(i), &
          abs(log(max(image(i, pool, 0), smallest_pool)) - log(max(carbon(i, pool), smallest_pool))))
      end do
      do donor = 1, m
        do i = 1, n
          jacobian(i, pool, donor) = slope(image(i, pool, donor), image(i, pool, 0))
        end do
      end do
    end do
  end subroutine newton_tangent

  pure real(wp) function slope(moved, image)
    !! Change of the logarithm of a pool for the enlargement of another.
    real(wp), intent(in) :: moved  !! image of the replica, kg m-2
    real(wp), intent(in) :: image  !! image of the state, kg m-2
    slope = 0.0_wp
    if (image > smallest_pool) slope = ((moved - image) / image) / enlargement
  end function slope

  pure subroutine solve_linear(m, matrix, right)
    !! Solution of a small dense system, elimination with row exchange; the matrix is used up.
    integer, intent(in) :: m  !! unknowns
    real(wp), intent(inout) :: matrix(m, m)  !! coefficients
    real(wp), intent(inout) :: right(m)  !! in: right-hand side; out: solution
    integer :: row, column, pivot
    real(wp) :: hold, factor
    do column = 1, m
      pivot = column
      do row = column + 1, m
        if (abs(matrix(row, column)) > abs(matrix(pivot, column))) pivot = row
      end do
      if (pivot /= column) then
        do row = column, m
          hold = matrix(column, row)
          matrix(column, row) = matrix(pivot, row)
          matrix(pivot, row) = hold
        end do
        hold = right(column)
        right(column) = right(pivot)
        right(pivot) = hold
      end if
      ! a singular system (a pool that nothing fills or empties) gives a finite, limited move
      hold = matrix(column, column)
      if (abs(hold) < 1.0e-14_wp) hold = sign(1.0e-14_wp, hold)
      matrix(column, column) = hold
      do row = column + 1, m
        factor = matrix(row, column) / hold
        matrix(row, column + 1:) = matrix(row, column + 1:) - factor * matrix(column, column + 1:)
        right(row) = right(row) - factor * right(column)
      end do
    end do
    do row = m, 1, -1
      hold = right(row)
      do column = row + 1, m
        hold = hold - matrix(row, column) * right(column)
      end do
      right(row) = hold / matrix(row, row)
    end do
  end subroutine solve_linear

  subroutine spectral_radius(n, m, matrix, radius)
    !! Largest modulus of the eigenvalues, by Gelfand's formula with repeated squaring: |A**(2**k)|**(1/2**k), k = 40.
    integer, intent(in) :: n  !! tiles
    integer, intent(in) :: m  !! order
    real(wp), intent(in) :: matrix(n, m, m)  !! any matrices
    real(wp), intent(out) :: radius(n)  !! largest modulus
    integer :: i, power
    real(wp) :: a(m, m), square(m, m), size, logarithm, weight
    do i = 1, n
      a(:, :) = matrix(i, :, :)
      logarithm = 0.0_wp
      weight = 1.0_wp
      do power = 0, 40
        size = max(maxval(abs(a)), 1.0e-250_wp)
        logarithm = logarithm + weight * log(size)
        a(:, :) = a(:, :) / size
        square(:, :) = matmul(a, a)
        a(:, :) = square(:, :)
        weight = 0.5_wp * weight
      end do
      radius(i) = exp(logarithm)
    end do
  end subroutine spectral_radius
end module concerto_periodic_newton
