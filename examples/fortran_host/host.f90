program host
  !! A Fortran host of the land model: reads the forcing, parameters and initial state of a site from one stream file
  !! (written by export_site.py), steps the model through it and writes fluxes and the final state to another.
  !! An Earth system model does the same with its own arrays; nothing here needs Python.
  !!
  !!   host site.bin result.bin
  use, intrinsic :: iso_fortran_env, only: error_unit, int32
  use concerto
  implicit none

  type(land_model) :: land
  character(1024) :: input, output
  integer(int32) :: n_tile, n_step, n_forcing, n_state, n_parameter, nproma
  integer(int32), allocatable :: options(:), end_of_day(:), pft(:)
  real(wp), allocatable :: forcing(:, :), parameters(:, :), state(:, :), values(:)
  real(wp), allocatable :: river(:)
  real(wp) :: time_step
  integer :: unit, out, step, tile, status

  if (command_argument_count() /= 2) call fail('usage: host site.bin result.bin')
  call get_command_argument(1, input)
  call get_command_argument(2, output)
  open (newunit=unit, file=trim(input), access='stream', form='unformatted', status='old', action='read', iostat=status)
  if (status /= 0) call fail('cannot open ' // trim(input))

  read (unit) n_tile, n_step, n_forcing, n_state, n_parameter, nproma, time_step
  if (n_forcing /= n_forcing_column .or. n_state /= n_state_column .or. n_parameter /= n_parameter_column) then
    call fail('the file was written with other tables')
  end if
  allocate (options(n_option), end_of_day(n_step), pft(n_tile), forcing(1, n_forcing), values(n_tile), river(n_tile))
  allocate (parameters(n_tile, n_parameter), state(n_tile, n_state))
  read (unit) options, pft, parameters, state, end_of_day

  call land%init(n_tile, time_step, status, nproma)
  if (status /= status_ok) call fail('init')
  call options_from_integers(options, land%options, status)
  if (status /= 0) call fail('options')
  do tile = 1, n_tile
    call land%set_tile(tile, pft(tile), 1, status)
    if (status /= status_ok) call fail('set_tile')
  end do
  ! here all columns come from a file; a host usually sets a few by name: call land%set('parameter', 'g1', values, status)
  call land%set_columns('parameter', parameters, status)
  if (status /= status_ok) call fail('parameters: ' // status_message(status))
  call land%set_columns('state', state, status)
  if (status /= status_ok) call fail('state: ' // status_message(status))

  open (newunit=out, file=trim(output), access='stream', form='unformatted', status='replace', action='write', iostat=status)
  if (status /= 0) call fail('cannot write ' // trim(output))
  river = 0.0_wp
  do step = 1, n_step
    read (unit) forcing
    call land%step(1, forcing, end_of_day(step) == 1, status)
    if (status /= status_ok) then
      call fail(trim(status_message(status)) // ': ' // column_name(merge('state  ', 'forcing', status == status_state), &
                                                                    land%failed_column))
    end if
    call land%get('diagnostic', 'nee', values, status)
    write (out) values
    call land%get('diagnostic', 'latent_heat', values, status)
    write (out) values
    ! irrigation comes from outside of the tile; where the option is off it is 0
    call land%get('diagnostic', 'irrigation', values, status)
    river = river - time_step * values
  end do
  call land%get_columns('state', state, status)
  if (status /= status_ok) call fail('state: ' // status_message(status))
  write (out) state
  ! products since the host last took them
  call land%get('state', 'harvested_carbon', values, status)
  call land%set('state', 'harvested_carbon', 0.0_wp * values, status)
  close (out)
  close (unit)
  call land%finalize()
  print '(a, i0, a, i0, a)', 'stepped ', n_tile, ' tiles through ', n_step, ' steps'
  if (any(river < 0.0_wp)) print '(a, *(f9.3))', 'water for irrigation, kg m-2:', -river
  if (any(values > 0.0_wp)) print '(a, *(f9.6))', 'carbon of products, kg m-2:', values

contains

  subroutine fail(message)
    !! The host decides what an error means; the library never stops.
    character(*), intent(in) :: message  !! what went wrong
    write (error_unit, '(2a)') 'host: ', message
    stop 2, quiet=.true.
  end subroutine fail
end program host
