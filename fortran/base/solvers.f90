module concerto_solvers
  !! Small linear solvers over a block of tiles: the same system size for every tile, the loop over the unknowns
  !! outside and the loop over tiles inside, so that each elimination step is one vector operation.
  !! No pivoting: meant for the diagonally dominant matrices of implicit diffusion and upwind advection.
  use concerto_kinds, only: wp
  implicit none
  private

  public :: tridiagonal

contains

  subroutine tridiagonal(n, m, lower, diagonal, upper, rhs, solution)
    !! Solve lower(k) x(k-1) + diagonal(k) x(k) + upper(k) x(k+1) = rhs(k), k = 1..m, for every tile (Thomas algorithm).
    integer, intent(in) :: n  !! number of tiles
    integer, intent(in) :: m  !! number of unknowns per tile (layers)
    real(wp), intent(in) :: lower(n, m)  !! coefficient of the unknown above; first one is not used
    real(wp), intent(in) :: diagonal(n, m)  !! coefficient of the unknown itself
    real(wp), intent(in) :: upper(n, m)  !! coefficient of the unknown below; last one is not used
    real(wp), intent(in) :: rhs(n, m)  !! right-hand side
    real(wp), intent(out) :: solution(n, m)  !! solution
    real(wp) :: ratio(n, m), pivot
    integer :: i, k

    do i = 1, n
      pivot = 1.0_wp / diagonal(i, 1)
      ratio(i, 1) = upper(i, 1) * pivot
      solution(i, 1) = rhs(i, 1) * pivot
    end do
    do k = 2, m
      do i = 1, n
        pivot = 1.0_wp / (diagonal(i, k) - lower(i, k) * ratio(i, k - 1))
        ratio(i, k) = upper(i, k) * pivot
        solution(i, k) = (rhs(i, k) - lower(i, k) * solution(i, k - 1)) * pivot
      end do
    end do
    do k = m - 1, 1, -1
      do i = 1, n
        solution(i, k) = solution(i, k) - ratio(i, k) * solution(i, k + 1)
      end do
    end do
  end subroutine tridiagonal

end module concerto_solvers
