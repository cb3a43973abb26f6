module concerto_slow_solution
  !! Slow pools that return to themselves: what a cycle of days moved is summed, and the pools are set to the values with
  !! which that cycle would have closed. Linear schemes without layers and microbial schemes are solved for outright.
  use concerto_kinds, only: wp
  use concerto_constants, only: seconds_per_day, seconds_per_year
  use concerto_options, only: model_options, soil_carbon_cencn, soil_carbon_mimics, soil_carbon_millennial, nitrogen_cn, &
                              isotopes_on, tillage_conventional
  use concerto_tables
  use concerto_decomposition_tables, only: scheme_pools
  use concerto_step_slow, only: slow_report, half_life
  use concerto_vegetation, only: n_plant_flux, flux_sapwood_growth, flux_heartwood_formation, flux_sapwood_mortality, &
                                 flux_sapwood_turnover, flux_sapwood_debt, flux_heartwood_mortality
  use concerto_decomposition, only: one_layer_periodic
  use concerto_equilibrium, only: cycle_sums, flux_weighted_equilibrium, wood_equilibrium
  use concerto_soil_nitrogen, only: set_soil_nitrogen
  use concerto_mimics, only: mimics_parameters, mimics_periodic
  use concerto_millennial, only: millennial_parameters, millennial_periodic
  implicit none
  private
  public :: sums_start, sums_add, sums_solve, n_newton

  integer, parameter :: pools = n_soil_carbon / n_carbon_layer
  integer, parameter :: newton_trials = 36
  !> of a microbial scheme: residual of its solution, cycles of the solver, tangent map of the cycle (7 by 7)
  integer, parameter :: n_newton = 51
  real(wp), parameter :: newton_tolerance = 1.0e-10_wp
  real(wp), parameter :: slowest = 1.0e-9_wp  !! turnover of a cycle below which a pool keeps its value
  real(wp), parameter :: wood_share = 0.6_wp  !! of one more kg of carbon that becomes sapwood

  !> What a cycle moved.
  type, public :: slow_sums
    type(slow_report) :: report  !! of the day
    integer :: day = 0  !! days added
    real(wp), allocatable :: start(:, :, :), input(:, :, :), loss(:, :, :), down(:, :, :), up(:, :, :)  !! carbon
    real(wp), allocatable :: nitrogen_start(:, :, :), nitrogen_input(:, :, :), nitrogen_loss(:, :, :)
    real(wp), allocatable :: nitrogen_down(:, :, :), nitrogen_up(:, :, :)
    real(wp), allocatable :: pool_input(:, :, :), pool_scalar(:, :, :)  !! schemes without layers (tile, pool, day)
    real(wp), allocatable :: flux(:, :)  !! of plants
    real(wp), allocatable :: wood(:, :)  !! sapwood and heartwood at the start
    real(wp), allocatable :: wood_respiration(:)  !! kg m-2
    ! isotopes (tile, layer, pool, isotope); of wood (tile, sapwood or heartwood, isotope)
    real(wp), allocatable :: tracer_start(:, :, :, :), tracer_input(:, :, :, :), tracer_loss(:, :, :, :)
    real(wp), allocatable :: tracer_decay(:, :, :, :), tracer_down(:, :, :, :), tracer_up(:, :, :, :)
    real(wp), allocatable :: wood_tracer(:, :, :), wood_tracer_loss(:, :, :), wood_tracer_decay(:, :, :)
    real(wp), allocatable :: wood_tracer_moved(:, :)  !! from sapwood to heartwood
    real(wp), allocatable :: newton(:, :)  !! of microbial schemes (tile, n_newton)
  end type slow_sums

contains

  subroutine sums_start(n, n_day, options, state, sums)
    !! Empty sums before the first day of the cycle.
    integer, intent(in) :: n  !! tiles in the block
    integer, intent(in) :: n_day  !! days of the cycle
    type(model_options), intent(in) :: options  !! schemes
    real(wp), intent(in) :: state(n, n_state_column)  !! units of the table
    type(slow_sums), intent(out) :: sums  !! empty

    allocate (sums%flux(n, n_plant_flux), sums%wood(n, 2), sums%wood_respiration(n), sums%report%flux(n, n_plant_flux))
    sums%flux = 0.0_wp
    sums%wood_respiration = 0.0_wp
    sums%wood(:, 1) = state(:, state_carbon_sapwood)
    sums%wood(:, 2) = state(:, state_carbon_heartwood)
    if (options%soil_carbon == soil_carbon_cencn) then
      allocate (sums%report%input(n, n_carbon_layer, pools), sums%report%limitation(n, n_carbon_layer, pools), &
                sums%report%nitrogen_input(n, n_carbon_layer, pools), &
                sums%report%mixing(n, n_carbon_layer - 1), sums%report%scalar(n, n_carbon_layer))
      if (options%tillage == tillage_conventional) allocate (sums%report%ploughed(n, n_carbon_layer - 1, pools, 4))
      allocate (sums%start(n, n_carbon_layer, pools), source=0.0_wp)
      allocate (sums%input, sums%loss, sums%down, sums%up, sums%nitrogen_start, sums%nitrogen_input, sums%nitrogen_loss, &
                sums%nitrogen_down, sums%nitrogen_up, source=sums%start)
      call take(n, n_soil_carbon, state(1, state_soil_carbon), sums%start)
      call take(n, n_soil_carbon, state(1, state_soil_nitrogen), sums%nitrogen_start)
    else
      allocate (sums%report%pool_input(n, n_decomposition_pool), sums%report%pool_scalar(n, n_decomposition_pool), source=0.0_wp)
      allocate (sums%pool_input(n, n_decomposition_pool, n_day), sums%pool_scalar(n, n_decomposition_pool, n_day))
    end if
    allocate (sums%newton(n, n_newton), source=0.0_wp)
    if (options%isotopes == isotopes_on) call tracers_start(n, options, state, sums)
  end subroutine sums_start

  subroutine tracers_start(n, options, state, sums)
    !! Empty sums of the isotopes.
    integer, intent(in) :: n  !! tiles in the block
    type(model_options), intent(in) :: options  !! schemes
    real(wp), intent(in) :: state(n, n_state_column)  !! units of the table
    type(slow_sums), intent(inout) :: sums  !! of the cycle
    integer :: layers, size_of_scheme, isotope, layer, pool, k

    layers = merge(n_carbon_layer, 1, options%soil_carbon == soil_carbon_cencn)
    size_of_scheme = pools
    if (layers == 1) size_of_scheme = scheme_pools(options%soil_carbon)
    allocate (sums%tracer_start(n, layers, size_of_scheme, 2), source=0.0_wp)
    allocate (sums%tracer_input, sums%tracer_loss, sums%tracer_decay, sums%tracer_down, sums%tracer_up, &
              sums%report%tracer_input, source=sums%tracer_start)
    if (layers == 1) allocate (sums%report%tracer_loss, source=sums%tracer_start)
    do isotope = 1, 2
      do pool = 1, size_of_scheme
        do layer = 1, layers
          sums%tracer_start(:, layer, pool, isotope) = state(:, soil_tracer(isotope) + (pool - 1) * layers + layer - 1)
        end do
      end do
    end do
    allocate (sums%wood_tracer(n, 2, 2), sums%wood_tracer_moved(n, 2))
    allocate (sums%wood_tracer_loss(n, 2, 2), sums%wood_tracer_decay(n, 2, 2), source=0.0_wp)
    sums%wood_tracer_moved = 0.0_wp
    do isotope = 1, 2
      do k = 1, 2
        sums%wood_tracer(:, k, isotope) = state(:, plant_tracer(isotope) + 2 + k)
      end do
    end do
  end subroutine tracers_start

  integer pure function soil_tracer(isotope)
    !! First column of an isotope in soil.
    integer, intent(in) :: isotope  !! 1: 13C, 2: 14C
    soil_tracer = merge(state_carbon13_soil, state_carbon14_soil, isotope == 1)
  end function soil_tracer

  integer pure function plant_tracer(isotope)
    !! First column of an isotope in plants.
    integer, intent(in) :: isotope  !! 1: 13C, 2: 14C
    plant_tracer = merge(state_carbon13_plant, state_carbon14_plant, isotope == 1)
  end function plant_tracer

  real(wp) pure function decay_of_a_day()
    !! Share of the 14C at the end of a day that decayed in the day.
    decay_of_a_day = exp(log(2.0_wp) * seconds_per_day / (half_life * seconds_per_year)) - 1.0_wp
  end function decay_of_a_day

  subroutine sums_add(n, options, p, derived, driver, before, state, sums)
    !! Adds a day that has just been made.
    integer, intent(in) :: n  !! tiles in the block
    type(model_options), intent(in) :: options  !! schemes
    real(wp), intent(in) :: p(n, n_parameter_column)  !! parameters, units of the table
    real(wp), intent(in) :: derived(n, n_derived_column)  !! units of the table
    real(wp), intent(in) :: driver(n, n_driver_column)  !! units of the table
    real(wp), intent(in) :: before(n, n_state_column)  !! before the day, units of the table
    real(wp), intent(in) :: state(n, n_state_column)  !! after the day, units of the table
    type(slow_sums), intent(inout) :: sums  !! of the cycle
    integer :: i

    sums%day = sums%day + 1
    sums%flux = sums%flux + sums%report%flux
    do i = 1, n
      sums%wood_respiration(i) = sums%wood_respiration(i) + seconds_per_day * before(i, state_carbon_sapwood) &
        * p(i, parameter_sapwood_respiration) * p(i, parameter_respiration_factor) / p(i, parameter_sapwood_cn) &
        * driver(i, driver_stem_response)
    end do
    if (options%soil_carbon == soil_carbon_cencn) then
      call cycle_sums(n, n_carbon_layer, pools, pools - 1, seconds_per_day, soil_thickness, &
                      derived(1, derived_decomposition_base_rate), sums%report%scalar, sums%report%mixing, &
                      sums%report%limitation, sums%report%input, state(1, state_soil_carbon), sums%input, sums%loss, &
                      sums%down, sums%up)
      if (options%nitrogen == nitrogen_cn) then
        call cycle_sums(n, n_carbon_layer, pools, pools - 1, seconds_per_day, soil_thickness, &
                        derived(1, derived_decomposition_base_rate), sums%report%scalar, sums%report%mixing, &
                        sums%report%limitation, sums%report%nitrogen_input, state(1, state_soil_nitrogen), &
                        sums%nitrogen_input, sums%nitrogen_loss, sums%nitrogen_down, sums%nitrogen_up)
      end if
      if (allocated(sums%report%ploughed)) then
        call add_ploughed(n, sums%report%ploughed(:, :, :, 1), sums%down, sums%up)
        call add_ploughed(n, sums%report%ploughed(:, :, :, 2), sums%nitrogen_down, sums%nitrogen_up)
      end if
    else
      sums%pool_input(:, :, sums%day) = sums%report%pool_input
      sums%pool_scalar(:, :, sums%day) = sums%report%pool_scalar
    end if
    if (options%isotopes == isotopes_on) call tracers_add(n, derived, before, state, sums)
  end subroutine sums_add

  subroutine add_ploughed(n, ploughed, down, up)
    !! What ploughing carried, as flows between neighbouring layers.
    integer, intent(in) :: n  !! tiles in the block
    real(wp), intent(in) :: ploughed(n, n_carbon_layer - 1, pools)  !! down through the face below each layer, kg m-2
    real(wp), intent(inout) :: down(n, n_carbon_layer, pools)  !! carried to the next layer, kg m-2
    real(wp), intent(inout) :: up(n, n_carbon_layer, pools)  !! carried to the layer above, kg m-2
    integer :: k, pool
    do pool = 1, pools
      do k = 1, n_carbon_layer - 1
        down(:, k, pool) = down(:, k, pool) + max(0.0_wp, ploughed(:, k, pool))
        up(:, k + 1, pool) = up(:, k + 1, pool) + max(0.0_wp, -ploughed(:, k, pool))
      end do
    end do
  end subroutine add_ploughed

  subroutine tracers_add(n, derived, before, state, sums)
    !! Adds the isotopes of a day.
    integer, intent(in) :: n  !! tiles in the block
    real(wp), intent(in) :: derived(n, n_derived_column)  !! units of the table
    real(wp), intent(in) :: before(n, n_state_column)  !! before the day, units of the table
    real(wp), intent(in) :: state(n, n_state_column)  !! after the day, units of the table
    type(slow_sums), intent(inout) :: sums  !! of the cycle
    real(wp) :: decayed(n, n_soil_carbon), tracer(n, n_soil_carbon), decay, ratio, moved, lost
    integer :: i, isotope, k, layer, pool, layers, column

    layers = size(sums%tracer_start, 2)
    do isotope = 1, 2
      decay = merge(0.0_wp, decay_of_a_day(), isotope == 1)
      do k = 1, n_soil_carbon
        do i = 1, n
          decayed(i, k) = decay * state(i, soil_tracer(isotope) + k - 1)
          tracer(i, k) = state(i, soil_tracer(isotope) + k - 1) + decayed(i, k)  ! before it decayed
        end do
      end do
      if (layers > 1) then
        call cycle_sums(n, n_carbon_layer, pools, pools - 1, seconds_per_day, soil_thickness, &
                        derived(1, derived_decomposition_base_rate), sums%report%scalar, sums%report%mixing, &
                        sums%report%limitation, sums%report%tracer_input(:, :, :, isotope), tracer, &
                        sums%tracer_input(:, :, :, isotope), sums%tracer_loss(:, :, :, isotope), &
                        sums%tracer_down(:, :, :, isotope), sums%tracer_up(:, :, :, isotope))
        if (allocated(sums%report%ploughed)) then
          call add_ploughed(n, sums%report%ploughed(:, :, :, 2 + isotope), sums%tracer_down(:, :, :, isotope), &
                            sums%tracer_up(:, :, :, isotope))
        end if
      else
        sums%tracer_input(:, :, :, isotope) = sums%tracer_input(:, :, :, isotope) + sums%report%tracer_input(:, :, :, isotope)
        sums%tracer_loss(:, :, :, isotope) = sums%tracer_loss(:, :, :, isotope) + sums%report%tracer_loss(:, :, :, isotope)
      end if
      do pool = 1, size(sums%tracer_start, 3)
        do layer = 1, layers
          do i = 1, n
            sums%tracer_decay(i, layer, pool, isotope) = sums%tracer_decay(i, layer, pool, isotope) &
                                                         + decayed(i, (pool - 1) * layers + layer)
          end do
        end do
      end do
      ! tissue gives with the ratio that it had before the day
      column = plant_tracer(isotope) + 3
      do i = 1, n
        ratio = before(i, column) / max(before(i, state_carbon_sapwood), 1.0e-30_wp)
        moved = ratio * sums%report%flux(i, flux_heartwood_formation)
        lost = ratio * (sums%report%flux(i, flux_sapwood_mortality) + sums%report%flux(i, flux_sapwood_turnover) &
                        + sums%report%flux(i, flux_sapwood_debt))
        sums%wood_tracer_moved(i, isotope) = sums%wood_tracer_moved(i, isotope) + moved
        sums%wood_tracer_loss(i, 1, isotope) = sums%wood_tracer_loss(i, 1, isotope) + moved + lost
        ratio = before(i, column + 1) / max(before(i, state_carbon_heartwood), 1.0e-30_wp)
        sums%wood_tracer_loss(i, 2, isotope) = sums%wood_tracer_loss(i, 2, isotope) &
                                               + ratio * sums%report%flux(i, flux_heartwood_mortality)
      end do
      do k = 1, 2
        do i = 1, n
          sums%wood_tracer_decay(i, k, isotope) = sums%wood_tracer_decay(i, k, isotope) + decay * state(i, column + k - 1)
        end do
      end do
    end do
  end subroutine tracers_add

  subroutine tracers_solve(n, p, derived, sums, state)
    !! Sets the isotopes of wood and soil so that the measured cycle would have closed.
    integer, intent(in) :: n  !! tiles in the block
    real(wp), intent(in) :: p(n, n_parameter_column)  !! parameters, units of the table
    real(wp), intent(in) :: derived(n, n_derived_column)  !! units of the table
    type(slow_sums), intent(in) :: sums  !! of the cycle
    real(wp), intent(inout) :: state(n, n_state_column)  !! units of the table
    real(wp), allocatable :: transfer(:, :, :), tracer(:, :, :), factor(:, :, :), short(:, :, :)
    real(wp) :: correction(n), gained, out, first, second, middle
    integer :: i, isotope, layer, pool, layers, size_of_scheme, column

    layers = size(sums%tracer_start, 2)
    size_of_scheme = size(sums%tracer_start, 3)
    allocate (tracer(n, layers, size_of_scheme), factor(n, layers, size_of_scheme), short(n, layers, size_of_scheme), &
              transfer(n, size_of_scheme, size_of_scheme))
    call take(n, size_of_scheme**2, derived(1, derived_decomposition_transfer), transfer)
    do isotope = 1, 2
      do pool = 1, size_of_scheme
        do layer = 1, layers
          tracer(:, layer, pool) = state(:, soil_tracer(isotope) + (pool - 1) * layers + layer - 1)
        end do
      end do
      call shortfall(n, layers * size_of_scheme, p(1, parameter_soil_age), sums%day, sums%tracer_loss(:, :, :, isotope), &
                     sums%tracer_start(:, :, :, isotope), tracer, short)
      short = short + sums%tracer_decay(:, :, :, isotope)
      call flux_weighted_equilibrium(n, layers, size_of_scheme, slowest, transfer, sums%tracer_input(:, :, :, isotope), &
                                     sums%tracer_loss(:, :, :, isotope), short, &
                                     sums%tracer_down(:, :, :, isotope), sums%tracer_up(:, :, :, isotope), &
                                     sums%tracer_start(:, :, :, isotope), tracer, factor, correction)
      do pool = 1, size_of_scheme
        do layer = 1, layers
          state(:, soil_tracer(isotope) + (pool - 1) * layers + layer - 1) = tracer(:, layer, pool)
        end do
      end do
      column = plant_tracer(isotope) + 3
      do i = 1, n
        out = sums%wood_tracer_loss(i, 1, isotope) + sums%wood_tracer_decay(i, 1, isotope)
        gained = max(0.0_wp, state(i, column) - sums%wood_tracer(i, 1, isotope) + out)
        middle = 0.5_wp * (state(i, column) + sums%wood_tracer(i, 1, isotope))
        first = merge(gained / max(out, 1.0e-290_wp), 1.0_wp, out > 1.0e-12_wp * middle + 1.0e-290_wp)
        state(i, column) = merge(first * middle, state(i, column), out > 1.0e-12_wp * middle + 1.0e-290_wp)
        out = sums%wood_tracer_loss(i, 2, isotope) + sums%wood_tracer_decay(i, 2, isotope)
        middle = 0.5_wp * (state(i, column + 1) + sums%wood_tracer(i, 2, isotope))
        second = first * sums%wood_tracer_moved(i, isotope) / max(out, 1.0e-290_wp)
        state(i, column + 1) = merge(second * middle, state(i, column + 1), out > 1.0e-12_wp * middle + 1.0e-290_wp)
      end do
    end do
  end subroutine tracers_solve

  subroutine sums_solve(n, options, microbes, p, derived, sums, state)
    !! Sets the slow pools.
    integer, intent(in) :: n  !! tiles in the block
    type(model_options), intent(in) :: options  !! schemes
    logical, intent(in) :: microbes  !! also those of a microbial scheme
    real(wp), intent(in) :: p(n, n_parameter_column)  !! parameters, units of the table
    real(wp), intent(in) :: derived(n, n_derived_column)  !! units of the table
    type(slow_sums), intent(inout) :: sums  !! of the cycle; out: how the solution of a microbial scheme went
    real(wp), intent(inout) :: state(n, n_state_column)  !! units of the table
    real(wp), allocatable :: factor(:, :, :), short(:, :, :), litter_transfer(:, :, :), scalar(:, :, :), input(:, :, :)
    real(wp) :: correction(n), wood_factor(n, 2), share(n), respiration(n), residual(n), before(n, 2)
    real(wp) :: loss(n), ratio
    integer :: i, k

    do i = 1, n
      share(i) = wood_share * p(i, parameter_woody)
      loss(i) = sums%flux(i, flux_sapwood_mortality) + sums%flux(i, flux_sapwood_turnover) + sums%flux(i, flux_sapwood_debt)
      before(i, 1) = state(i, state_carbon_sapwood)
      before(i, 2) = state(i, state_carbon_heartwood)
    end do
    call wood_equilibrium(n, real(sums%day, wp) / 365.25_wp, sums%flux(:, flux_sapwood_growth), sums%wood_respiration, share, &
                          sums%flux(:, flux_heartwood_formation), loss, sums%flux(:, flux_heartwood_mortality), &
                          sums%wood(:, 1), sums%wood(:, 2), state(1, state_carbon_sapwood), state(1, state_carbon_heartwood), &
                          wood_factor)
    ! nitrogen of wood keeps its ratio to the carbon
    do k = 0, 1
      do i = 1, n
        ratio = state(i, state_carbon_sapwood + k) / max(before(i, k + 1), 1.0e-30_wp)
        ratio = merge(ratio, 1.0_wp, before(i, k + 1) > 1.0e-12_wp)
        state(i, state_nitrogen_plant + 3 + k) = ratio * state(i, state_nitrogen_plant + 3 + k)
      end do
    end do
    select case (options%soil_carbon)
    case (soil_carbon_cencn)
      allocate (factor(n, n_carbon_layer, pools), short(n, n_carbon_layer, pools))
      call shortfall(n, n_carbon_layer * pools, p(1, parameter_soil_age), sums%day, sums%loss, sums%start, &
                     state(1, state_soil_carbon), short)
      call flux_weighted_equilibrium(n, n_carbon_layer, pools, slowest, derived(1, derived_decomposition_transfer), &
                                     sums%input, sums%loss, short, sums%down, sums%up, sums%start, &
                                     state(1, state_soil_carbon), factor, correction)
      if (options%nitrogen == nitrogen_cn) then
        ! nitrogen of litter flows as its carbon does; what soil pools hold follows from their carbon
        allocate (litter_transfer(n, pools, pools))
        call take(n, pools * pools, derived(1, derived_decomposition_transfer), litter_transfer)
        litter_transfer(:, 4:6, :) = 0.0_wp
        call shortfall(n, n_carbon_layer * pools, p(1, parameter_soil_age), sums%day, sums%nitrogen_loss, &
                       sums%nitrogen_start, state(1, state_soil_nitrogen), short)
        call flux_weighted_equilibrium(n, n_carbon_layer, pools, slowest, litter_transfer, sums%nitrogen_input, &
                                       sums%nitrogen_loss, short, sums%nitrogen_down, sums%nitrogen_up, sums%nitrogen_start, &
                                       state(1, state_soil_nitrogen), factor, correction)
        call set_soil_nitrogen(n, n_carbon_layer, pools, p(1, parameter_soil_cn_active), state(1, state_soil_carbon), &
                               state(1, state_soil_nitrogen))
      end if
    case (soil_carbon_mimics)
      if (microbes) call solve_mimics(n, p, sums, state)
    case (soil_carbon_millennial)
      if (microbes) call solve_millennial(n, p, sums, state)
    case default
      k = scheme_pools(options%soil_carbon)
      scalar = sums%pool_scalar(:, 1:k, :)
      input = sums%pool_input(:, 1:k, :)
      call one_layer_periodic(n, k, sums%day, seconds_per_day, derived(1, derived_decomposition_base_rate), &
                              derived(1, derived_decomposition_transfer), derived(1, derived_decomposition_respired), scalar, &
                              input, state(1, state_soil_carbon), respiration, residual)
    end select
    if (options%isotopes == isotopes_on) call tracers_solve(n, p, derived, sums, state)
  end subroutine sums_solve

  pure subroutine shortfall(n, n_pool, age, day, loss, start, end, lost)
    !! What keeps a pool from a balance that it would take longer than the age of the soil to reach: with turnover time t
    !! it has come to 1 - exp(-age / t) of it, as if it lost 1 / (t (exp(age / t) - 1)) of itself besides.
    integer, intent(in) :: n  !! tiles in the block
    integer, intent(in) :: n_pool  !! pools, of all layers
    real(wp), intent(in) :: age(n)  !! age of the soil, yr
    integer, intent(in) :: day  !! days of the cycle
    real(wp), intent(in) :: loss(n, n_pool)  !! what decomposed in the cycle, kg m-2
    real(wp), intent(in) :: start(n, n_pool)  !! pools at the start of the cycle, kg m-2
    real(wp), intent(in) :: end(n, n_pool)  !! pools at its end, kg m-2
    real(wp), intent(out) :: lost(n, n_pool)  !! kg m-2 in the cycle
    integer :: i, k
    real(wp) :: middle, cycles, ratio

    do k = 1, n_pool
      do i = 1, n
        middle = 0.5_wp * (start(i, k) + end(i, k))
        cycles = age(i) * 365.25_wp / real(day, wp)
        ratio = min(max(cycles * loss(i, k) / max(middle, 1.0e-290_wp), 1.0e-6_wp), 100.0_wp)
        lost(i, k) = middle / cycles * ratio / (exp(ratio) - 1.0_wp)
      end do
    end do
  end subroutine shortfall

  subroutine solve_mimics(n, p, sums, state)
    !! Newton's method for the microbial pools.
    integer, intent(in) :: n  !! tiles in the block
    real(wp), intent(in) :: p(n, n_parameter_column)  !! parameters, units of the table
    type(slow_sums), intent(inout) :: sums  !! of the cycle
    real(wp), intent(inout) :: state(n, n_state_column)  !! units of the table
    real(wp), dimension(n) :: production, respiration, residual, cycles, multiplier
    real(wp), dimension(n, 7) :: carbon
    real(wp) :: jacobian(n, 7, 7), setting(54)
    real(wp), allocatable :: warmth(:, :), wetness(:, :), first(:, :), second(:, :)
    real(wp) :: share(n)
    integer :: i, k

    call mimics_parameters(setting)
    production = 365.25_wp * state(:, state_npp_365d)
    allocate (warmth(n, sums%day), wetness(n, sums%day), first(n, sums%day), second(n, sums%day))
    do k = 1, sums%day
      do i = 1, n
        warmth(i, k) = sums%pool_scalar(i, 1, k)
        wetness(i, k) = sums%pool_scalar(i, 2, k)
        first(i, k) = sums%pool_input(i, 1, k)
        second(i, k) = sums%pool_input(i, 2, k)
      end do
    end do
    do i = 1, n
      share(i) = sums%pool_scalar(i, 3, 1)
    end do
    call mimics_periodic(n, sums%day, newton_trials, 4, seconds_per_day, newton_tolerance, warmth, &
                         wetness, p(1, parameter_clay), share, production, &
                         first, second, setting, carbon, respiration, residual, cycles, &
                         multiplier, jacobian)
    sums%newton(:, 1) = residual
    sums%newton(:, 2) = cycles
    call take(n, 49, jacobian, sums%newton(1, 3))
    do k = 1, 7
      do i = 1, n  ! where no periodic state was found time goes on
        state(i, state_soil_carbon + k - 1) = merge(carbon(i, k), state(i, state_soil_carbon + k - 1), residual(i) < 1.0e-3_wp)
      end do
    end do
  end subroutine solve_mimics

  subroutine solve_millennial(n, p, sums, state)
    !! Newton's method for the pools of Millennial.
    integer, intent(in) :: n  !! tiles in the block
    real(wp), intent(in) :: p(n, n_parameter_column)  !! parameters, units of the table
    type(slow_sums), intent(inout) :: sums  !! of the cycle
    real(wp), intent(inout) :: state(n, n_state_column)  !! units of the table
    real(wp), dimension(n) :: fine, bulk_density, respiration, leached, residual, cycles, multiplier
    real(wp), dimension(n, 5) :: carbon
    real(wp) :: jacobian(n, 5, 5), setting(25)
    real(wp), allocatable :: warmth(:, :), wetness(:, :), first(:, :)
    integer :: i, k

    call millennial_parameters(setting)
    do i = 1, n
      fine(i) = 100.0_wp - p(i, parameter_sand)
      bulk_density(i) = 2700.0_wp * (1.0_wp - p(i, parameter_theta_sat))
    end do
    allocate (warmth(n, sums%day), wetness(n, sums%day), first(n, sums%day))
    do k = 1, sums%day
      do i = 1, n
        warmth(i, k) = sums%pool_scalar(i, 1, k)
        wetness(i, k) = sums%pool_scalar(i, 2, k)
        first(i, k) = sums%pool_input(i, 1, k)
      end do
    end do
    call millennial_periodic(n, sums%day, newton_trials, 2, seconds_per_day, newton_tolerance, warmth, &
                             wetness, p(1, parameter_theta_sat), p(1, parameter_soil_ph), fine, &
                             bulk_density, first, setting, carbon, respiration, leached, residual, cycles, &
                             multiplier, jacobian)
    sums%newton(:, 1) = residual
    sums%newton(:, 2) = cycles
    call take(n, 25, jacobian, sums%newton(1, 3))
    do k = 1, 5
      do i = 1, n
        state(i, state_soil_carbon + k - 1) = merge(carbon(i, k), state(i, state_soil_carbon + k - 1), residual(i) < 1.0e-3_wp)
      end do
    end do
  end subroutine solve_millennial

  subroutine take(n, n_column, from, to)
    !! Copies columns, whatever ranks the arrays have.
    integer, intent(in) :: n  !! tiles in the block
    integer, intent(in) :: n_column  !! columns
    real(wp), intent(in) :: from(n, n_column)  !! any unit
    real(wp), intent(inout) :: to(n, n_column)  !! the same unit
    integer :: i, k
    do k = 1, n_column
      do i = 1, n
        to(i, k) = from(i, k)
      end do
    end do
  end subroutine take
end module concerto_slow_solution
