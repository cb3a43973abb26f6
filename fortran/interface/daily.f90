module concerto_interface_daily
  !! The call that makes drivers of the slow half from daily weather: plain arrays, many blocks and days.
  use concerto_kinds, only: wp
  use concerto_options, only: model_options, options_from_integers, n_option
  use concerto_tables, only: n_state_column, n_parameter_column, n_derived_column, n_driver_column
  use concerto_derive, only: derive_block
  use concerto_daily_drivers, only: daily_drivers, n_daily_column
  implicit none
  private
  public :: core_daily_drivers

contains

  subroutine core_daily_drivers(n_thread, n_option_given, option_numbers, nproma, n_block, n_cell, n_daily, n_driver, n_state, &
                                n_parameter, n_day, cell_of_tile, daily, parameters, state, drivers, failure)
    !! Drivers of n_day days for all blocks. Soil temperature, soil water, snow and running means of the state advance.
    !f2py threadsafe
    integer, intent(in) :: n_thread  !! threads
    integer, intent(in) :: n_option_given  !! length of option_numbers
    integer, intent(in) :: option_numbers(n_option_given)  !! one choice for each option
    integer, intent(in) :: nproma  !! tiles per block, a multiple of 16
    integer, intent(in) :: n_block  !! blocks
    integer, intent(in) :: n_cell  !! cells of the forcing
    integer, intent(in) :: n_daily  !! columns of the daily forcing
    integer, intent(in) :: n_driver  !! driver columns
    integer, intent(in) :: n_state  !! state columns
    integer, intent(in) :: n_parameter  !! parameter columns
    integer, intent(in) :: n_day  !! days
    integer, intent(in) :: cell_of_tile(nproma, n_block)  !! row of the forcing, from 1
    real(wp), intent(in) :: daily(n_cell, n_daily, n_day)  !! columns of concerto_daily_drivers
    real(wp), intent(in) :: parameters(nproma, n_parameter, n_block)  !! units of the table
    real(wp), intent(inout) :: state(nproma, n_state, n_block)  !! units of the table
    real(wp), intent(inout) :: drivers(nproma, n_driver, n_block, n_day)  !! units of the table
    integer, intent(out) :: failure  !! 0, or 1: the sizes do not fit
    type(model_options) :: options
    real(wp) :: derived(nproma, n_derived_column), local(nproma, n_daily_column), driver(nproma, n_driver_column)
    integer :: block_number, day, i, k, status

    failure = 0
    call options_from_integers(option_numbers, options, status)
    if (status /= 0 .or. n_option_given /= n_option .or. n_driver /= n_driver_column .or. n_state /= n_state_column &
        .or. n_parameter /= n_parameter_column .or. n_daily /= n_daily_column .or. mod(nproma, 16) /= 0) then
      failure = 1
      return
    end if
    !$omp parallel do num_threads(max(1, n_thread)) schedule(dynamic) default(shared) &
    !$omp private(block_number, day, i, k, derived, local, driver)
    do block_number = 1, n_block
      call derive_block(nproma, options, parameters(:, :, block_number), derived)
      do day = 1, n_day
        do k = 1, n_daily_column
          do i = 1, nproma
            local(i, k) = daily(cell_of_tile(i, block_number), k, day)
          end do
        end do
        call daily_drivers(nproma, options, local, parameters(:, :, block_number), derived, state(:, :, block_number), driver)
        drivers(:, :, block_number, day) = driver
      end do
    end do
    !$omp end parallel do
  end subroutine core_daily_drivers
end module concerto_interface_daily
