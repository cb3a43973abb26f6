module concerto_derive
  !! Quantities that depend on parameters and options alone. A host calls it after it has set parameters.
  use concerto_kinds, only: wp
  use concerto_options, only: model_options
  use concerto_tables
  use concerto_heat, only: soil_thermal_parameters
  use concerto_roots, only: root_fractions
  use concerto_decomposition, only: decomposition_scheme
  implicit none
  private
  public :: derive_block

contains

  subroutine derive_block(n, options, parameters, derived)
    !! Fills the derived columns of a block.
    integer, intent(in) :: n  !! tiles in the block
    type(model_options), intent(in) :: options  !! schemes
    real(wp), intent(in) :: parameters(n, n_parameter_column)  !! units of the table
    real(wp), intent(out) :: derived(n, n_derived_column)  !! units of the table
    real(wp), dimension(n) :: quartz, lignin
    integer :: k, i

    do i = 1, n
      quartz(i) = 0.005_wp * parameters(i, parameter_sand)  ! half of the sand
      lignin(i) = 0.0_wp
    end do
    call soil_thermal_parameters(n, parameters(1, parameter_theta_sat), quartz, parameters(1, parameter_vg_alpha), &
                                 parameters(1, parameter_vg_n), derived(1, derived_dry_capacity), &
                                 derived(1, derived_dry_conductivity), derived(1, derived_log_solid_conductivity), &
                                 derived(1, derived_freezing_exponent), derived(1, derived_freezing_entry))
    call root_fractions(n, n_soil, n_root, soil_thickness, parameters(:, parameter_root_beta), derived(1, derived_root_fraction))
    call decomposition_scheme(n, n_soil_carbon_pool, options%soil_carbon, parameters(:, parameter_sand), &
                              parameters(:, parameter_clay), lignin, derived(1, derived_decomposition_base_rate), &
                              derived(1, derived_decomposition_transfer), derived(1, derived_decomposition_respired))
    do k = derived_decomposition_base_rate, derived_decomposition_base_rate + n_soil_carbon_pool - 1
      derived(:, k) = derived(:, k) * parameters(:, parameter_decomposition_rate)
    end do
    do i = 1, n
      derived(i, derived_leaf_nitrogen) = 1000.0_wp &
        / (parameters(i, parameter_specific_leaf_area) * parameters(i, parameter_leaf_cn))
      ! of the full canopy, so that changes of leaf area create no heat
      derived(i, derived_canopy_dry_capacity) = parameters(i, parameter_canopy_heat_capacity) &
        * (0.05_wp + (1.1_wp + 0.1_wp * parameters(i, parameter_woody)) * parameters(i, parameter_maximum_leaf_area))
    end do
  end subroutine derive_block
end module concerto_derive
