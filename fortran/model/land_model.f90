module concerto
  !! The library's face for Fortran hosts (weather and climate models, tests): one derived type that holds the
  !! blocked state of the tiles of one process and steps them. No I/O, no MPI, no global state: make as many as you like.
  !!
  !!   use concerto
  !!   type(land_model) :: land
  !!   call land%init(n_tile, time_step, status)
  !!   call land%set_tile(tile, pft, cell, status)            ! for every tile; then set parameters and state by name
  !!   call land%step(n_cell, forcing, end_of_day, status)    ! forcing(n_cell, n_forcing_column), forcing_* columns
  !!   call land%get('state', 'soil_temperature', values, status)
  !!   call land%finalize()
  use, intrinsic :: iso_fortran_env, only: int64
  use concerto_kinds, only: wp
  use concerto_options, only: model_options, option_number, options_from_integers, options_to_integers, n_option
  use concerto_tables
  use concerto_block, only: advance_block, check_state
  use concerto_initialise, only: initialise_block
  use concerto_derive, only: derive_block
  implicit none
  private
  public :: wp, land_model, model_options, option_number, options_from_integers, options_to_integers, n_option
  public :: n_forcing_column, n_state_column, n_parameter_column, n_diagnostic_column
  public :: forcing_names, forcing_columns, state_names, state_columns, diagnostic_names, diagnostic_columns
  public :: parameter_names, parameter_columns, n_pft, default_parameters, tables_digest
  public :: column_of, column_name, status_message
  public :: status_ok, status_size, status_memory, status_name, status_state, status_forcing, status_option

  integer, parameter :: status_ok = 0  !! success
  integer, parameter :: status_size = 1  !! a size, tile, cell or type number is out of range
  integer, parameter :: status_memory = 2  !! memory could not be had
  integer, parameter :: status_name = 3  !! no variable of that name
  integer, parameter :: status_state = 4  !! a state value is not finite or outside its bounds (see failed_tile, failed_column)
  integer, parameter :: status_forcing = 5  !! a forcing value is not finite (see failed_tile, failed_column); nothing was stepped
  integer, parameter :: status_option = 6  !! no such choice, or options that do not go together; nothing was stepped
  real(wp), parameter :: longest_step = 86400.0_wp  !! s
  integer, parameter :: largest_block = 240  !! tiles; a step needs about 16 kB of stack per tile of a block

  type :: land_model
    !! Tiles of one process in blocks of nproma; the last block is padded with copies of the last tile.
    integer :: n_tile = 0  !! tiles
    integer :: nproma = 64  !! tiles per block, a multiple of 16
    integer :: n_block = 0  !! blocks
    integer :: n_thread = 1  !! threads that take blocks, 1 if less
    real(wp) :: time_step = 0  !! s
    type(model_options) :: options  !! schemes; choose them before the first step. init and finalize leave them as they are
    integer, allocatable :: cell_of_tile(:, :)  !! (nproma, n_block), row of the forcing
    real(wp), allocatable :: parameters(:, :, :)  !! (nproma, n_parameter_column, n_block)
    real(wp), allocatable :: state(:, :, :)  !! (nproma, n_state_column, n_block)
    real(wp), allocatable :: diagnostics(:, :, :)  !! (nproma, n_diagnostic_column, n_block), of the last step
    real(wp), allocatable :: derived(:, :, :)  !! (nproma, n_derived_column, n_block)
    logical :: derived_current = .false.  !! whether `derived` belongs to the parameters; unset it after writing to `parameters`
    integer :: derived_options(n_option) = 0  !! options that `derived` was computed with
    integer :: failed_tile = 0  !! first bad tile of the last step, 0 if all was well
    integer :: failed_column = 0  !! its state column (status_state) or forcing column (status_forcing)
  contains
    procedure :: init
    procedure :: set_tile
    procedure :: initialise
    procedure :: set
    procedure :: get
    procedure :: set_columns
    procedure :: get_columns
    procedure :: step
    procedure :: finalize
  end type land_model

contains

  subroutine init(self, n_tile, time_step, status, nproma)
    !! Allocates the blocks; every tile gets the parameters of C3 grass and the cell of its own number until set_tile is
    !! called. A model that was in use is replaced; after status_size it is untouched, after status_memory it is empty.
    class(land_model), intent(inout) :: self  !! the model
    integer, intent(in) :: n_tile  !! tiles, at least 1
    real(wp), intent(in) :: time_step  !! length of the fast step, s, at most a day
    integer, intent(out) :: status  !! status_ok, status_size or status_memory
    integer, intent(in), optional :: nproma  !! tiles per block, 1 to 240; rounded up to a multiple of 16, default 64
    integer :: tile, i, b

    status = status_size
    if (n_tile < 1 .or. n_tile > huge(n_tile) - 31) return  ! 31: rounding up to 16 must not overflow
    if (.not. (time_step > 0 .and. time_step <= longest_step)) return
    call self%finalize()
    self%nproma = 64
    if (present(nproma)) self%nproma = 16 * ((max(1, min(nproma, largest_block)) + 15) / 16)
    self%nproma = min(self%nproma, 16 * ((n_tile + 15) / 16))
    ! columns a multiple of 4096 bytes apart fall on the same cache sets: two to three times slower
    self%n_tile = n_tile
    self%time_step = time_step
    self%n_block = (n_tile - 1) / self%nproma + 1
    allocate (self%cell_of_tile(self%nproma, self%n_block), &
              self%parameters(self%nproma, n_parameter_column, self%n_block), &
              self%state(self%nproma, n_state_column, self%n_block), &
              self%derived(self%nproma, n_derived_column, self%n_block), &
              self%diagnostics(self%nproma, n_diagnostic_column, self%n_block), stat=status)
    if (status /= 0) then
      call self%finalize()
      status = status_memory
      return
    end if
    self%cell_of_tile = 1
    self%diagnostics = 0
    do b = 1, self%n_block
      do i = 1, self%nproma
        self%parameters(i, :, b) = default_parameters(:, pft_grass_c3)
        self%state(i, :, b) = state_initial
      end do
    end do
    do tile = 1, n_tile
      self%cell_of_tile(position_in_block(tile, self%nproma), block_of(tile, self%nproma)) = tile
    end do
    call pad(self)
    status = status_ok
  end subroutine init

  subroutine set_tile(self, tile, pft, cell, status)
    !! Gives a tile its plant functional type (parameters from the table) and its cell (row of the forcing).
    class(land_model), intent(inout) :: self  !! the model
    integer, intent(in) :: tile  !! from 1
    integer, intent(in) :: pft  !! id, from 0
    integer, intent(in) :: cell  !! from 1
    integer, intent(out) :: status  !! status_ok or status_size
    integer :: i, b

    status = status_size
    if (tile < 1 .or. tile > self%n_tile .or. pft < 0 .or. pft >= n_pft .or. cell < 1) return
    i = position_in_block(tile, self%nproma)
    b = block_of(tile, self%nproma)
    self%parameters(i, :, b) = default_parameters(:, pft)
    self%cell_of_tile(i, b) = cell
    self%derived_current = .false.
    if (tile == self%n_tile) call pad(self)
    status = status_ok
  end subroutine set_tile

  subroutine initialise(self, mean_temperature, status)
    !! State of new tiles: soil at field capacity and mean temperature, vegetation with its target leaf area.
    class(land_model), intent(inout) :: self  !! the model
    real(wp), intent(in) :: mean_temperature(:)  !! per tile, K
    integer, intent(out) :: status  !! status_ok or status_size
    real(wp) :: temperature(self%nproma)
    integer :: i, b

    status = status_size
    if (self%n_tile < 1 .or. size(mean_temperature) /= self%n_tile) return
    call pad(self)
    do b = 1, self%n_block
      do i = 1, self%nproma
        temperature(i) = mean_temperature(min((b - 1) * self%nproma + i, self%n_tile))
      end do
      call initialise_block(self%nproma, temperature, self%parameters(:, :, b), self%state(:, :, b))
    end do
    status = status_ok
  end subroutine initialise

  subroutine set(self, kind, name, values, status, layer)
    !! Sets a parameter or a state variable of all tiles by its name in the table.
    class(land_model), intent(inout) :: self  !! the model
    character(*), intent(in) :: kind  !! 'state' or 'parameter'
    character(*), intent(in) :: name  !! as in the table
    real(wp), intent(in) :: values(:)  !! one per tile, units of the table
    integer, intent(out) :: status  !! status_ok, status_name or status_size
    integer, intent(in), optional :: layer  !! from 1, default 1
    integer :: column, tile, i, b

    column = column_of(kind, name, layer)
    status = status_name
    if (column == 0 .or. .not. (kind == 'state' .or. kind == 'parameter')) return
    status = status_size
    if (self%n_tile < 1 .or. size(values) /= self%n_tile) return
    do tile = 1, self%n_tile
      i = position_in_block(tile, self%nproma)
      b = block_of(tile, self%nproma)
      if (kind == 'state') self%state(i, column, b) = values(tile)
      if (kind == 'parameter') self%parameters(i, column, b) = values(tile)
    end do
    call pad(self)
    status = status_ok
  end subroutine set

  subroutine get(self, kind, name, values, status, layer)
    !! Reads a state variable, a parameter or a diagnostic of the last step of all tiles by its name in the table.
    class(land_model), intent(in) :: self  !! the model
    character(*), intent(in) :: kind  !! 'state', 'parameter' or 'diagnostic'
    character(*), intent(in) :: name  !! as in the table
    real(wp), intent(out) :: values(:)  !! one per tile, units of the table
    integer, intent(out) :: status  !! status_ok, status_name or status_size
    integer, intent(in), optional :: layer  !! from 1, default 1
    integer :: column, tile, i, b

    values = 0
    column = column_of(kind, name, layer)
    status = status_name
    if (column == 0 .or. kind == 'forcing') return
    status = status_size
    if (self%n_tile < 1 .or. size(values) /= self%n_tile) return
    do tile = 1, self%n_tile
      i = position_in_block(tile, self%nproma)
      b = block_of(tile, self%nproma)
      select case (kind)
      case ('state')
        values(tile) = self%state(i, column, b)
      case ('parameter')
        values(tile) = self%parameters(i, column, b)
      case default
        values(tile) = self%diagnostics(i, column, b)
      end select
    end do
    status = status_ok
  end subroutine get

  subroutine set_columns(self, kind, values, status)
    !! Sets all state or all parameter columns, as get_columns gave them: a restart.
    class(land_model), intent(inout) :: self  !! the model
    character(*), intent(in) :: kind  !! 'state' or 'parameter'
    real(wp), intent(in) :: values(:, :)  !! (n_tile, n_state_column) or (n_tile, n_parameter_column), units of the table
    integer, intent(out) :: status  !! status_ok, status_name or status_size
    integer :: tile, i, b

    status = status_name
    if (.not. (kind == 'state' .or. kind == 'parameter')) return
    status = status_size
    if (self%n_tile < 1 .or. size(values, 1) /= self%n_tile) return
    if (size(values, 2) /= merge(n_state_column, n_parameter_column, kind == 'state')) return
    do tile = 1, self%n_tile
      i = position_in_block(tile, self%nproma)
      b = block_of(tile, self%nproma)
      if (kind == 'state') self%state(i, :, b) = values(tile, :)
      if (kind == 'parameter') self%parameters(i, :, b) = values(tile, :)
    end do
    call pad(self)
    status = status_ok
  end subroutine set_columns

  subroutine get_columns(self, kind, values, status)
    !! Reads all state or all parameter columns of all tiles. The order of columns is that of the tables of this version.
    class(land_model), intent(in) :: self  !! the model
    character(*), intent(in) :: kind  !! 'state' or 'parameter'
    real(wp), intent(out) :: values(:, :)  !! (n_tile, n_state_column) or (n_tile, n_parameter_column), units of the table
    integer, intent(out) :: status  !! status_ok, status_name or status_size
    integer :: tile, i, b

    values = 0
    status = status_name
    if (.not. (kind == 'state' .or. kind == 'parameter')) return
    status = status_size
    if (self%n_tile < 1 .or. size(values, 1) /= self%n_tile) return
    if (size(values, 2) /= merge(n_state_column, n_parameter_column, kind == 'state')) return
    do tile = 1, self%n_tile
      i = position_in_block(tile, self%nproma)
      b = block_of(tile, self%nproma)
      if (kind == 'state') values(tile, :) = self%state(i, :, b)
      if (kind == 'parameter') values(tile, :) = self%parameters(i, :, b)
    end do
    status = status_ok
  end subroutine get_columns

  subroutine step(self, n_cell, forcing, end_of_day, status)
    !! One fast step of all tiles, and the daily step after it where the day (UTC) ends. Forcing must be finite where
    !! a tile uses it. After status_state the other tiles have made the step and are right.
    class(land_model), intent(inout) :: self  !! the model
    integer, intent(in) :: n_cell  !! cells of the forcing
    real(wp), intent(in) :: forcing(n_cell, n_forcing_column)  !! units of the table
    logical, intent(in) :: end_of_day  !! whether the day ends with this step
    integer, intent(out) :: status  !! status_ok, _size, _forcing, _option or _state
    type(model_options) :: checked
    real(wp) :: driver(self%nproma, n_driver_column)
    integer :: numbers(n_option), b, tile, column

    self%failed_tile = 0
    self%failed_column = 0
    status = status_size
    if (self%n_block < 1) return
    if (minval(self%cell_of_tile) < 1 .or. maxval(self%cell_of_tile) > n_cell) return
    if (.not. all_finite(n_cell * n_forcing_column, forcing)) then  ! cells without tiles may hold anything
      call find_bad_forcing(self, n_cell, forcing)
      status = status_forcing
      if (self%failed_tile > 0) return
    end if
    call options_to_integers(self%options, numbers)
    if (.not. self%derived_current .or. any(numbers /= self%derived_options)) then
      call options_from_integers(numbers, checked, status)
      if (status /= 0) then
        status = status_option
        return
      end if
      do b = 1, self%n_block
        call derive_block(self%nproma, self%options, self%parameters(:, :, b), self%derived(:, :, b))
      end do
      self%derived_current = .true.
      self%derived_options = numbers
    end if
    status = status_ok
    ! the region has a name: a host may call from inside a critical region of its own
    !$omp parallel do num_threads(max(1, self%n_thread)) schedule(dynamic) private(tile, column, driver)
    do b = 1, self%n_block
      driver = 0.0_wp
      call advance_block(self%nproma, n_cell, self%options, self%time_step, end_of_day, self%cell_of_tile(:, b), &
                         forcing, self%parameters(:, :, b), self%derived(:, :, b), self%state(:, :, b), &
                         self%diagnostics(:, :, b), driver)
      call check_state(self%nproma, self%state(:, :, b), tile, column)
      if (tile > 0) then
        tile = min((b - 1) * self%nproma + tile, self%n_tile)
        !$omp critical (concerto_failure)
        if (status == status_ok .or. tile < self%failed_tile) then
          status = status_state
          self%failed_tile = tile
          self%failed_column = column
        end if
        !$omp end critical (concerto_failure)
      end if
    end do
    !$omp end parallel do
  end subroutine step

  pure logical function all_finite(n, values)
    !! Whether no value is NaN or infinite. By bits: a comparison raises an exception on NaN, which a host may trap.
    integer, intent(in) :: n  !! number of values
    real(wp), intent(in) :: values(n)  !! any unit
    integer(int64), parameter :: exponent_bits = int(z'7ff0000000000000', int64)  ! all set in NaN and infinity
    integer :: i

    all_finite = .true.
    do i = 1, n
      all_finite = all_finite .and. iand(transfer(values(i), exponent_bits), exponent_bits) /= exponent_bits
    end do
  end function all_finite

  pure subroutine find_bad_forcing(self, n_cell, forcing)
    !! First tile whose cell has forcing that is not finite.
    class(land_model), intent(inout) :: self  !! the model
    integer, intent(in) :: n_cell  !! cells of the forcing
    real(wp), intent(in) :: forcing(n_cell, n_forcing_column)  !! units of the table
    integer :: tile, cell, column

    do tile = 1, self%n_tile
      cell = self%cell_of_tile(position_in_block(tile, self%nproma), block_of(tile, self%nproma))
      do column = 1, n_forcing_column
        if (.not. all_finite(1, forcing(cell, column))) then
          self%failed_tile = tile
          self%failed_column = column
          return
        end if
      end do
    end do
  end subroutine find_bad_forcing

  subroutine finalize(self)
    !! Frees all memory; the model can be initialised again.
    class(land_model), intent(inout) :: self  !! the model

    if (allocated(self%cell_of_tile)) deallocate (self%cell_of_tile)
    if (allocated(self%parameters)) deallocate (self%parameters)
    if (allocated(self%state)) deallocate (self%state)
    if (allocated(self%diagnostics)) deallocate (self%diagnostics)
    if (allocated(self%derived)) deallocate (self%derived)
    self%derived_current = .false.
    self%n_tile = 0
    self%n_block = 0
  end subroutine finalize

  pure subroutine pad(self)
    !! Fills the rest of the last block with copies of the last tile: every tile then goes through the same vector code.
    class(land_model), intent(inout) :: self  !! the model
    integer :: i, last, b

    self%derived_current = .false.
    b = self%n_block
    last = position_in_block(self%n_tile, self%nproma)
    do i = last + 1, self%nproma
      self%parameters(i, :, b) = self%parameters(last, :, b)
      self%state(i, :, b) = self%state(last, :, b)
      self%cell_of_tile(i, b) = self%cell_of_tile(last, b)
    end do
  end subroutine pad

  pure integer function position_in_block(tile, nproma)
    integer, intent(in) :: tile  !! from 1
    integer, intent(in) :: nproma  !! tiles per block
    position_in_block = mod(tile - 1, nproma) + 1
  end function position_in_block

  pure integer function block_of(tile, nproma)
    integer, intent(in) :: tile  !! from 1
    integer, intent(in) :: nproma  !! tiles per block
    block_of = (tile - 1) / nproma + 1
  end function block_of

  pure integer function column_of(kind, name, layer)
    !! Column of a name of the table, 0 if there is none.
    character(*), intent(in) :: kind  !! 'forcing', 'state', 'parameter' or 'diagnostic'
    character(*), intent(in) :: name  !! as in the table
    integer, intent(in), optional :: layer  !! from 1
    integer :: k, next, last

    column_of = 0
    next = 0
    select case (kind)
    case ('forcing')
      do k = 1, size(forcing_names)
        if (forcing_names(k) == name) column_of = forcing_columns(k)
      end do
      next = column_of + 1
    case ('state')
      last = n_state_column + 1
      do k = size(state_names), 1, -1
        if (state_names(k) == name) then
          column_of = state_columns(k)
          next = last
        end if
        last = state_columns(k)
      end do
    case ('parameter')
      do k = 1, size(parameter_names)
        if (parameter_names(k) == name) column_of = parameter_columns(k)
      end do
      next = column_of + 1
    case ('diagnostic')
      do k = 1, size(diagnostic_names)
        if (diagnostic_names(k) == name) column_of = diagnostic_columns(k)
      end do
      next = column_of + 1
    end select
    if (column_of == 0 .or. .not. present(layer)) return
    if (layer < 1 .or. layer > next - column_of) then
      column_of = 0
    else
      column_of = column_of + layer - 1
    end if
  end function column_of

  pure function column_name(kind, column) result(name)
    !! Name of the variable that a column belongs to, for messages; blank if there is none.
    character(*), intent(in) :: kind  !! 'forcing', 'state', 'parameter' or 'diagnostic'
    integer, intent(in) :: column  !! from 1
    character(64) :: name
    integer :: k

    name = ''
    select case (kind)
    case ('forcing')
      do k = 1, size(forcing_names)
        if (forcing_columns(k) <= column .and. column <= n_forcing_column) name = forcing_names(k)
      end do
    case ('state')
      do k = 1, size(state_names)
        if (state_columns(k) <= column .and. column <= n_state_column) name = state_names(k)
      end do
    case ('parameter')
      do k = 1, size(parameter_names)
        if (parameter_columns(k) <= column .and. column <= n_parameter_column) name = parameter_names(k)
      end do
    case ('diagnostic')
      do k = 1, size(diagnostic_names)
        if (diagnostic_columns(k) <= column .and. column <= n_diagnostic_column) name = diagnostic_names(k)
      end do
    end select
  end function column_name

  pure function status_message(status) result(message)
    !! Words for a status.
    integer, intent(in) :: status  !! of any call
    character(80) :: message

    select case (status)
    case (status_ok)
      message = 'no error'
    case (status_size)
      message = 'a size, time step, tile, cell or type is out of range, or there are no tiles'
    case (status_memory)
      message = 'not enough memory'
    case (status_name)
      message = 'no variable of that kind, name and layer'
    case (status_state)
      message = 'a state value is not finite or outside its bounds'
    case (status_forcing)
      message = 'a forcing value is not finite'
    case (status_option)
      message = 'an option has a number that is no choice, or lacks another that it needs'
    case default
      message = 'unknown status'
    end select
  end function status_message
end module concerto
