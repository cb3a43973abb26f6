module concerto_block
  !! Advances one block of tiles through fast steps and daily steps: the step that every host calls.
  !! Forcing is per cell; the block gathers it once per step, so that tiles and ensemble members share it.
  use concerto_kinds, only: wp
  use concerto_options, only: model_options
  use concerto_tables, only: n_forcing_column, n_state_column, n_parameter_column, n_diagnostic_column, n_derived_column, &
                             n_driver_column, state_lowest, state_highest
  use concerto_step_fast, only: step_fast, n_section
  use concerto_step_daily, only: step_daily
  implicit none
  private
  public :: advance_block, check_state

contains

  subroutine advance_block(n, n_cell, options, time_step, end_of_day, cell_of_tile, forcing, parameters, derived, &
                           state, diagnostics, driver, seconds)
    !! One fast step, and the daily step after it where the day (UTC) ends.
    integer, intent(in) :: n  !! tiles in the block, a multiple of 16
    integer, intent(in) :: n_cell  !! cells of the forcing
    type(model_options), intent(in) :: options  !! schemes
    real(wp), intent(in) :: time_step  !! length of the fast step, s
    logical, intent(in) :: end_of_day  !! whether the daily step follows
    integer, intent(in) :: cell_of_tile(n)  !! row of the forcing, from 1
    real(wp), intent(in) :: forcing(n_cell, n_forcing_column)  !! units of the table
    real(wp), intent(in) :: parameters(n, n_parameter_column)  !! units of the table
    real(wp), intent(in) :: derived(n, n_derived_column)  !! from derive_block
    real(wp), intent(inout) :: state(n, n_state_column)  !! units of the table
    real(wp), intent(inout) :: diagnostics(n, n_diagnostic_column)  !! of this step, units of the table
    real(wp), intent(inout) :: driver(n, n_driver_column)  !! drivers of the last day that ended, units of the table
    real(wp), intent(inout), optional :: seconds(n_section)  !! time spent in each part of the fast step, added up, s
    real(wp) :: local(n, n_forcing_column)
    integer :: i, k

    do k = 1, n_forcing_column
      do i = 1, n
        local(i, k) = forcing(cell_of_tile(i), k)
      end do
    end do
    call step_fast(n, options, time_step, local, parameters, derived, state, diagnostics, seconds)
    if (end_of_day) call step_daily(n, options, local, parameters, derived, state, diagnostics, driver)
  end subroutine advance_block

  pure subroutine check_state(n, state, tile, column)
    !! First state value that is not finite or outside the bounds of the table.
    integer, intent(in) :: n  !! tiles in the block
    real(wp), intent(in) :: state(n, n_state_column)  !! units of the table
    integer, intent(out) :: tile  !! position in the block, 0: all is well
    integer, intent(out) :: column  !! column of the state
    logical :: bad(n)
    integer :: i, k

    tile = 0
    column = 0
    bad = .false.
    do k = 1, n_state_column
      do i = 1, n
        bad(i) = bad(i) .or. .not. (state(i, k) >= state_lowest(k) .and. state(i, k) <= state_highest(k))
      end do
    end do
    if (.not. any(bad)) return
    do k = 1, n_state_column
      do i = 1, n
        if (.not. (state(i, k) >= state_lowest(k) .and. state(i, k) <= state_highest(k))) then
          tile = i
          column = k
          return
        end if
      end do
    end do
  end subroutine check_state
end module concerto_block
