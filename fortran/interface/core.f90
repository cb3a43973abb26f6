module concerto_interface
  !! The calls that Python makes: plain arrays only, many blocks and many steps per call.
  use concerto_kinds, only: wp
  use concerto_options, only: model_options, options_from_integers, n_option
  use concerto_tables, only: tables_digest, n_forcing_column, n_state_column, n_parameter_column, n_diagnostic_column, &
                             n_derived_column, &
                             n_driver_column, diagnostic_residual_water, diagnostic_residual_energy, &
                             diagnostic_residual_carbon, diagnostic_residual_nitrogen
  use concerto_block, only: advance_block, check_state
  use concerto_derive, only: derive_block
  use concerto_step_offline, only: step_offline
  use concerto_slow_solution, only: slow_sums, sums_start, sums_add, sums_solve, n_newton
  use concerto_initialise, only: initialise_block
  implicit none
  private
  public :: core_digest, core_advance, core_slow, core_initialise

  integer, parameter :: first_forcing = 100000  !! columns to select above it are those of the forcing
  integer, parameter :: residual_columns(4) = [diagnostic_residual_water, diagnostic_residual_energy, &
                                               diagnostic_residual_carbon, diagnostic_residual_nitrogen]

contains

  subroutine core_digest(digest)
    !! Digest of the tables that this core was built from.
    character(16), intent(out) :: digest  !! hexadecimal
    digest = tables_digest
  end subroutine core_digest

  pure subroutine accumulate(n, n_select, n_slot, n_stream, select_column, operation, stream, first_slot, slot_step, &
                             record, weight, n_cell, cell_of_tile, forcing, diagnostics, state, output)
    !! Takes the values of one step into the records that it belongs to.
    integer, intent(in) :: n  !! tiles of the block
    integer, intent(in) :: n_select  !! output columns
    integer, intent(in) :: n_slot  !! places of output for each tile
    integer, intent(in) :: n_stream  !! streams of records
    integer, intent(in) :: select_column(n_select)  !! diagnostic column; negative: state column; above 100000: forcing column
    integer, intent(in) :: operation(n_select)  !! 1 weighted sum, 2 smallest, 3 largest, 4 last value
    integer, intent(in) :: stream(n_select)  !! the stream that a column belongs to
    integer, intent(in) :: first_slot(n_select)  !! place of the first record
    integer, intent(in) :: slot_step(n_select)  !! distance from one record to the next
    integer, intent(in) :: record(n_stream)  !! record of each stream, from 1; 0: none
    real(wp), intent(in) :: weight(n_stream)  !! factor of this step in a weighted sum
    integer, intent(in) :: n_cell  !! cells of the forcing
    integer, intent(in) :: cell_of_tile(n)  !! row of the forcing, from 1
    real(wp), intent(in) :: forcing(n_cell, n_forcing_column)  !! units of the table
    real(wp), intent(in) :: diagnostics(n, n_diagnostic_column)  !! units of the table
    real(wp), intent(in) :: state(n, n_state_column)  !! units of the table
    real(wp), intent(inout) :: output(n, n_slot)  !! records
    integer :: i, k, slot, column
    real(wp) :: local(n)

    do k = 1, n_select
      if (record(stream(k)) < 1) cycle
      slot = first_slot(k) + (record(stream(k)) - 1) * slot_step(k)
      column = abs(select_column(k))
      if (column > first_forcing) then
        do i = 1, n
          local(i) = forcing(cell_of_tile(i), column - first_forcing)
        end do
        call take(n, operation(k), weight(stream(k)), local, output(:, slot))
      else if (select_column(k) > 0) then
        call take(n, operation(k), weight(stream(k)), diagnostics(:, column), output(:, slot))
      else
        call take(n, operation(k), weight(stream(k)), state(:, column), output(:, slot))
      end if
    end do
  end subroutine accumulate

  pure subroutine take(n, operation, weight, value, record)
    !! Takes one value of each tile into its record.
    integer, intent(in) :: n  !! tiles
    integer, intent(in) :: operation  !! 1 weighted sum, 2 smallest, 3 largest, 4 last value
    real(wp), intent(in) :: weight  !! factor in a weighted sum
    real(wp), intent(in) :: value(n)  !! any unit
    real(wp), intent(inout) :: record(n)  !! its unit, times that of the weight
    integer :: i

    select case (operation)
    case (1)
      do i = 1, n
        record(i) = record(i) + weight * value(i)
      end do
    case (2)
      do i = 1, n
        record(i) = min(record(i), value(i))
      end do
    case (3)
      do i = 1, n
        record(i) = max(record(i), value(i))
      end do
    case default
      do i = 1, n
        record(i) = value(i)
      end do
    end select
  end subroutine take

  subroutine core_advance(n_thread, n_option_given, option_numbers, time_step, nproma, n_block, n_tile, n_cell, n_step, &
                     n_forcing, n_state, n_parameter, n_driver, n_day, record_drivers, &
                     n_select, n_slot, n_stream, select_column, operation, stream, first_slot, slot_step, record_of_step, &
                     weight_of_step, end_of_day, cell_of_tile, forcing, &
                     parameters, state, drivers, output, worst, timed, seconds, failure)
    !! Advances all blocks through n_step fast steps. Threads take blocks; a result does not depend on their number.
    !f2py threadsafe
    integer, intent(in) :: n_thread  !! threads
    integer, intent(in) :: n_option_given  !! length of option_numbers
    integer, intent(in) :: option_numbers(n_option_given)  !! one choice for each option
    real(wp), intent(in) :: time_step  !! s
    integer, intent(in) :: nproma  !! tiles per block, a multiple of 16
    integer, intent(in) :: n_block  !! blocks
    integer, intent(in) :: n_tile  !! real tiles; the rest of the last block is padding
    integer, intent(in) :: n_cell  !! cells of the forcing
    integer, intent(in) :: n_step  !! fast steps
    integer, intent(in) :: n_forcing  !! forcing columns
    integer, intent(in) :: n_state  !! state columns
    integer, intent(in) :: n_parameter  !! parameter columns
    integer, intent(in) :: n_driver  !! driver columns
    integer, intent(in) :: n_day  !! days that drivers has room for
    integer, intent(in) :: record_drivers  !! 1: keep the drivers of each day
    integer, intent(in) :: n_select  !! output columns
    integer, intent(in) :: n_slot  !! places of output for each tile
    integer, intent(in) :: n_stream  !! streams of records
    integer, intent(in) :: select_column(n_select)  !! diagnostic column; negative: state column; above 100000: forcing column
    integer, intent(in) :: operation(n_select)  !! 1 weighted sum, 2 smallest, 3 largest, 4 last value
    integer, intent(in) :: stream(n_select)  !! the stream that a column belongs to
    integer, intent(in) :: first_slot(n_select)  !! place of the first record
    integer, intent(in) :: slot_step(n_select)  !! distance from one record to the next
    integer, intent(in) :: record_of_step(n_stream, n_step)  !! record of this call that a step belongs to, from 1; 0: none
    real(wp), intent(in) :: weight_of_step(n_stream, n_step)  !! factor of a step in a weighted sum
    integer, intent(in) :: end_of_day(n_step)  !! 1 where the daily step follows
    integer, intent(in) :: cell_of_tile(nproma, n_block)  !! row of the forcing, from 1
    real(wp), intent(in) :: forcing(n_cell, n_forcing, n_step)  !! units of the table
    real(wp), intent(in) :: parameters(nproma, n_parameter, n_block)  !! units of the table
    real(wp), intent(inout) :: state(nproma, n_state, n_block)  !! units of the table
    real(wp), intent(inout) :: drivers(nproma, n_driver, n_block, n_day)  !! drivers of each day that ends
    real(wp), intent(inout) :: output(nproma, n_slot, n_block)  !! records; they go on from what is there
    real(wp), intent(inout) :: worst(4, n_tile)  !! largest residuals: water kg m-2, energy W m-2, carbon kg m-2, nitrogen kg m-2
    integer, intent(in) :: timed  !! 1: measure the parts of the fast step (one thread)
    real(wp), intent(inout) :: seconds(8)  !! time spent in each part, added up, s
    integer, intent(out) :: failure(4)  !! all 0, or: 1 sizes 2 state, tile, column, step
    type(model_options) :: options
    real(wp) :: diagnostics(nproma, n_diagnostic_column), derived(nproma, n_derived_column), driver(nproma, n_driver_column)
    integer :: block_number, step, day, i, k, tile, status, bad_tile, bad_column, first

    failure = 0
    if (n_option_given /= n_option .or. n_forcing /= n_forcing_column .or. n_state /= n_state_column &
        .or. n_parameter /= n_parameter_column .or. n_driver /= n_driver_column .or. mod(nproma, 16) /= 0) then
      failure(1) = 1
      return
    end if
    call options_from_integers(option_numbers, options, status)
    if (status /= 0) then
      failure(1) = 1
      return
    end if
    !$omp parallel do num_threads(max(1, n_thread)) schedule(dynamic) default(shared) &
    !$omp private(block_number, step, day, i, k, tile, bad_tile, bad_column, first, diagnostics, derived, driver)
    do block_number = 1, n_block
      first = (block_number - 1) * nproma
      diagnostics = 0.0_wp
      driver = 0.0_wp
      day = 0
      call derive_block(nproma, options, parameters(:, :, block_number), derived)
      do step = 1, n_step
        if (timed == 1) then
          call advance_block(nproma, n_cell, options, time_step, end_of_day(step) == 1, cell_of_tile(:, block_number), &
                             forcing(:, :, step), parameters(:, :, block_number), derived, state(:, :, block_number), &
                             diagnostics, driver, seconds)
        else
          call advance_block(nproma, n_cell, options, time_step, end_of_day(step) == 1, cell_of_tile(:, block_number), &
                             forcing(:, :, step), parameters(:, :, block_number), derived, state(:, :, block_number), &
                             diagnostics, driver)
        end if
        if (record_drivers == 1 .and. end_of_day(step) == 1 .and. day < n_day) then
          day = day + 1
          drivers(:, :, block_number, day) = driver
        end if
        do i = 1, min(nproma, n_tile - first)
          tile = first + i
          do k = 1, 4
            worst(k, tile) = max(worst(k, tile), abs(diagnostics(i, residual_columns(k))))
          end do
        end do
        call accumulate(nproma, n_select, n_slot, n_stream, select_column, operation, stream, first_slot, slot_step, &
                        record_of_step(:, step), weight_of_step(:, step), n_cell, cell_of_tile(:, block_number), &
                        forcing(:, :, step), diagnostics, state(:, :, block_number), output(:, :, block_number))
        if (end_of_day(step) == 1 .or. step == n_step) then
          call check_state(nproma, state(:, :, block_number), bad_tile, bad_column)
          if (bad_tile > 0) then
            !$omp critical (concerto_core_failure)
            if (failure(1) == 0 .or. first + bad_tile < failure(2)) then
              failure(1) = 2
              failure(2) = first + bad_tile
              failure(3) = bad_column
              failure(4) = step
            end if
            !$omp end critical (concerto_core_failure)
            exit
          end if
        end if
      end do
    end do
    !$omp end parallel do
  end subroutine core_advance

  subroutine core_slow(n_thread, n_option_given, option_numbers, nproma, n_block, n_tile, n_driver, n_state, n_parameter, &
                       n_day, n_cycle, solve, n_select, n_out, days_per_output, select_column, drivers, parameters, state, &
                       output, worst, n_newton_given, newton, failure)
    !! Runs the slow half alone through n_cycle cycles of recorded daily drivers: plants, soil, nitrogen, isotopes. Gross
    !! production follows the leaf area and the leaf nitrogen of the moment. With solve = 1 the slow pools are set, after
    !! the last cycle, to the values with which that cycle would have closed.
    !f2py threadsafe
    integer, intent(in) :: n_thread  !! threads
    integer, intent(in) :: n_option_given  !! length of option_numbers
    integer, intent(in) :: option_numbers(n_option_given)  !! one choice for each option
    integer, intent(in) :: nproma  !! tiles per block, a multiple of 16
    integer, intent(in) :: n_block  !! blocks
    integer, intent(in) :: n_tile  !! real tiles
    integer, intent(in) :: n_driver  !! driver columns
    integer, intent(in) :: n_state  !! state columns
    integer, intent(in) :: n_parameter  !! parameter columns
    integer, intent(in) :: n_day  !! days of a cycle
    integer, intent(in) :: n_cycle  !! cycles
    integer, intent(in) :: solve  !! 1: solve for the slow pools after the last cycle; 2: not for those of a microbial scheme
    integer, intent(in) :: n_select  !! output columns
    integer, intent(in) :: n_out  !! output records
    integer, intent(in) :: days_per_output  !! days in the mean of one record
    integer, intent(in) :: select_column(n_select)  !! positive: diagnostic column, negative: state column
    real(wp), intent(in) :: drivers(nproma, n_driver, n_block, n_day)  !! units of the table
    real(wp), intent(in) :: parameters(nproma, n_parameter, n_block)  !! units of the table
    real(wp), intent(inout) :: state(nproma, n_state, n_block)  !! units of the table
    real(wp), intent(inout) :: output(n_select, n_tile, n_out)  !! means over the days of a record
    real(wp), intent(inout) :: worst(4, n_tile)  !! largest residuals; carbon and nitrogen, kg m-2, in the last two rows
    integer, intent(in) :: n_newton_given  !! rows of newton
    real(wp), intent(inout) :: newton(n_newton_given, n_tile)  !! microbial schemes: residual, cycles, tangent map of the solver
    integer, intent(out) :: failure(4)  !! all 0, or: 1 sizes 2 state, tile, column, day
    type(model_options) :: options
    type(slow_sums) :: sums
    real(wp) :: diagnostics(nproma, n_diagnostic_column), derived(nproma, n_derived_column), driver(nproma, n_driver_column)
    real(wp) :: residual_carbon(nproma), residual_nitrogen(nproma), before(nproma, n_state_column)
    integer :: block_number, day, step, i, k, tile, record, status, bad_tile, bad_column, first, cycle_number
    real(wp) :: weight, value

    failure = 0
    if (n_option_given /= n_option .or. n_driver /= n_driver_column .or. n_state /= n_state_column &
        .or. n_parameter /= n_parameter_column .or. n_newton_given /= n_newton .or. mod(nproma, 16) /= 0) then
      failure(1) = 1
      return
    end if
    call options_from_integers(option_numbers, options, status)
    if (status /= 0) then
      failure(1) = 1
      return
    end if
    weight = 1.0_wp / real(days_per_output, wp)

    !$omp parallel do num_threads(max(1, n_thread)) schedule(dynamic) default(shared) &
    !$omp private(block_number, day, step, i, k, tile, record, bad_tile, bad_column, first, cycle_number, diagnostics, derived, &
    !$omp driver, residual_carbon, residual_nitrogen, before, value, sums)
    do block_number = 1, n_block
      first = (block_number - 1) * nproma
      diagnostics = 0.0_wp
      call derive_block(nproma, options, parameters(:, :, block_number), derived)
      step = 0
      cycles: do cycle_number = 1, n_cycle
        if (solve >= 1 .and. cycle_number == n_cycle) call sums_start(nproma, n_day, options, state(:, :, block_number), sums)
        do day = 1, n_day
          step = step + 1
          driver = drivers(:, :, block_number, day)
          if (solve >= 1 .and. cycle_number == n_cycle) then
            before = state(:, :, block_number)
            call step_offline(nproma, options, parameters(:, :, block_number), derived, driver, state(:, :, block_number), &
                              diagnostics, residual_carbon, residual_nitrogen, sums%report)
            call sums_add(nproma, options, parameters(:, :, block_number), derived, driver, &
                          before, state(:, :, block_number), sums)
          else
            call step_offline(nproma, options, parameters(:, :, block_number), derived, driver, state(:, :, block_number), &
                              diagnostics, residual_carbon, residual_nitrogen)
          end if
          record = (step - 1) / days_per_output + 1
          do i = 1, min(nproma, n_tile - first)
            tile = first + i
            worst(3, tile) = max(worst(3, tile), residual_carbon(i))
            worst(4, tile) = max(worst(4, tile), residual_nitrogen(i))
            if (record <= n_out) then
              do k = 1, n_select
                if (select_column(k) > 0) then
                  value = diagnostics(i, select_column(k))
                else
                  value = state(i, -select_column(k), block_number)
                end if
                output(k, tile, record) = output(k, tile, record) + weight * value
              end do
            end if
          end do
        end do
        call check_state(nproma, state(:, :, block_number), bad_tile, bad_column)
        if (bad_tile > 0) then
          !$omp critical (concerto_core_failure)
          if (failure(1) == 0 .or. first + bad_tile < failure(2)) then
            failure(1) = 2
            failure(2) = first + bad_tile
            failure(3) = bad_column
            failure(4) = step
          end if
          !$omp end critical (concerto_core_failure)
          exit cycles
        end if
      end do cycles
      if (solve >= 1 .and. bad_tile == 0) then
        call sums_solve(nproma, options, solve == 1, parameters(:, :, block_number), derived, sums, state(:, :, block_number))
        do i = 1, min(nproma, n_tile - first)
          newton(:, first + i) = sums%newton(i, :)
        end do
      end if
    end do
    !$omp end parallel do
  end subroutine core_slow

  subroutine core_initialise(nproma, n_block, n_parameter, n_state, mean_temperature, parameters, state)
    !! Start values of all tiles.
    integer, intent(in) :: nproma  !! tiles per block
    integer, intent(in) :: n_block  !! blocks
    integer, intent(in) :: n_parameter  !! parameter columns
    integer, intent(in) :: n_state  !! state columns
    real(wp), intent(in) :: mean_temperature(nproma, n_block)  !! K
    real(wp), intent(in) :: parameters(nproma, n_parameter, n_block)  !! units of the table
    real(wp), intent(inout) :: state(nproma, n_state, n_block)  !! units of the table
    integer :: b

    do b = 1, n_block
      call initialise_block(nproma, mean_temperature(:, b), parameters(:, :, b), state(:, :, b))
    end do
  end subroutine core_initialise
end module concerto_interface
