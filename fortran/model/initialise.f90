module concerto_initialise
  !! State of new tiles: soil at the mean temperature and at field capacity, a canopy at its target, young wood, empty snow.
  use concerto_kinds, only: wp
  use concerto_constants, only: freezing_point
  use concerto_tables
  use concerto_vegetation, only: vegetation_start
  use concerto_plant_nitrogen, only: plant_nitrogen_start
  use concerto_retention, only: retention_content
  implicit none
  private
  public :: initialise_block

  real(wp), parameter :: field_capacity = -1.0_wp  !! head, m

contains

  subroutine initialise_block(n, mean_temperature, parameters, state)
    !! Start values of a block.
    integer, intent(in) :: n  !! tiles in the block
    real(wp), intent(in) :: mean_temperature(n)  !! of the year or as good as known, K
    real(wp), intent(in) :: parameters(n, n_parameter_column)  !! units of the table
    real(wp), intent(out) :: state(n, n_state_column)  !! units of the table
    real(wp), dimension(n) :: head, content, conductivity, capacity, target_area, full_leaf
    integer :: i, k

    do i = 1, n
      state(i, :) = state_initial
      head(i) = field_capacity
      target_area(i) = parameters(i, parameter_maximum_leaf_area)
    end do
    call retention_content(n, head, parameters(1, parameter_theta_sat), parameters(1, parameter_theta_res), &
                           parameters(1, parameter_vg_alpha), parameters(1, parameter_vg_n), parameters(1, parameter_vg_l), &
                           parameters(1, parameter_k_sat), content, conductivity, capacity)
    do k = 0, n_soil - 1
      do i = 1, n
        state(i, state_soil_temperature + k) = mean_temperature(i)
        state(i, state_soil_liquid + k) = merge(content(i), 0.2_wp * content(i), mean_temperature(i) >= freezing_point)
        state(i, state_soil_ice + k) = content(i) - state(i, state_soil_liquid + k)
      end do
    end do
    call vegetation_start(n, parameters(1, parameter_specific_leaf_area), parameters(1, parameter_maximum_leaf_area), &
                          parameters(1, parameter_woody), parameters(1, parameter_root_leaf_ratio), &
                          parameters(1, parameter_reserve_ratio), target_area, state(1, state_carbon_labile), &
                          state(1, state_stress_memory))
    do i = 1, n
      full_leaf(i) = parameters(i, parameter_maximum_leaf_area) / parameters(i, parameter_specific_leaf_area)
    end do
    call plant_nitrogen_start(n, state(1, state_carbon_labile), full_leaf, parameters(1, parameter_leaf_cn), &
                              parameters(1, parameter_root_cn), parameters(1, parameter_sapwood_cn), &
                              parameters(1, parameter_heartwood_cn), parameters(1, parameter_seed_cn), &
                              state(1, state_nitrogen_plant))
    do i = 1, n
      state(i, state_leaf_area) = target_area(i)
      state(i, state_leaf_area_365d) = target_area(i)
      state(i, state_labile_30d) = state(i, state_carbon_labile)
      state(i, state_canopy_temperature) = mean_temperature(i)
      state(i, state_ground_temperature) = mean_temperature(i)
      state(i, state_temperature_10d) = mean_temperature(i)
      state(i, state_temperature_30d) = mean_temperature(i)
    end do
  end subroutine initialise_block
end module concerto_initialise
