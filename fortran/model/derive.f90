module concerto_derive
  !! Quantities that depend on parameters and options alone. A host calls it after it has set parameters.
  use concerto_kinds, only: wp
  use concerto_options, only: model_options
  use concerto_decomposition_tables, only: n_scheme, scheme_pools
  use concerto_tables
  use concerto_heat, only: soil_thermal_parameters
  use concerto_roots, only: root_fractions
  use concerto_decomposition, only: decomposition_scheme, litter_quality
  use concerto_soil_column, only: litter_profiles
  use concerto_soil_nitrogen, only: nitrification_ph, gas_diffusivity
  use concerto_retention, only: retention_content
  implicit none
  private
  public :: derive_block

  real(wp), parameter :: soil_bottom = 4.0_wp  !! depth to which litter gets, m

  real(wp), parameter :: century_factor = 0.820595_wp  !! makes Q10 1.5 (25 degC) equal the CENTURY curve (30 degC) at 15 degC

contains

  subroutine derive_block(n, options, parameters, derived)
    !! Fills the derived columns of a block.
    integer, intent(in) :: n  !! tiles in the block
    type(model_options), intent(in) :: options  !! schemes
    real(wp), intent(in) :: parameters(n, n_parameter_column)  !! units of the table
    real(wp), intent(out) :: derived(n, n_derived_column)  !! units of the table
    real(wp), dimension(n) :: quartz, lignin, litter_cn, field_capacity, content, conductivity, capacity, depth, pore_space
    real(wp), dimension(n) :: leaf_lignin, root_lignin, structural
    real(wp) :: depth_below
    integer :: k, i, pools

    do i = 1, n
      quartz(i) = 0.005_wp * parameters(i, parameter_sand)  ! half of the sand
      lignin(i) = parameters(i, parameter_litter_lignin)
      litter_cn(i) = parameters(i, parameter_leaf_cn) / max(1.0_wp - parameters(i, parameter_nitrogen_resorption), 0.05_wp)
      field_capacity(i) = -1.0_wp  ! head, m
      depth(i) = soil_bottom
      pore_space(i) = parameters(i, parameter_theta_sat)
    end do
    call soil_thermal_parameters(n, parameters(1, parameter_theta_sat), quartz, parameters(1, parameter_vg_alpha), &
                                 parameters(1, parameter_vg_n), derived(1, derived_dry_capacity), &
                                 derived(1, derived_dry_conductivity), derived(1, derived_log_solid_conductivity), &
                                 derived(1, derived_freezing_exponent), derived(1, derived_freezing_entry))
    call root_fractions(n, n_soil, n_root, soil_thickness, parameters(:, parameter_root_beta), derived(1, derived_root_fraction))
    call litter_quality(n, lignin, litter_cn, parameters(1, parameter_root_cn), leaf_lignin, root_lignin, structural)
    call litter_profiles(n, n_carbon_layer, soil_thickness, depth, derived(1, derived_root_fraction), &
                         derived(1, derived_surface_profile), derived(1, derived_root_profile))
    call nitrification_ph(n, parameters(1, parameter_soil_ph), derived(1, derived_nitrification_ph))
    call retention_content(n, field_capacity, parameters(1, parameter_theta_sat), parameters(1, parameter_theta_res), &
                           parameters(1, parameter_vg_alpha), parameters(1, parameter_vg_n), parameters(1, parameter_vg_l), &
                           parameters(1, parameter_k_sat), content, conductivity, capacity)
    call gas_diffusivity(n, pore_space, content, derived(1, derived_gas_diffusivity))
    derived(:, derived_decomposition_base_rate:derived_decomposition_respired + n_decomposition_pool - 1) = 0.0_wp
    if (options%soil_carbon <= n_scheme) then  ! the microbial schemes bring their own rates
      pools = scheme_pools(options%soil_carbon)
      call decomposition_scheme(n, pools, options%soil_carbon, parameters(:, parameter_sand), &
                                parameters(:, parameter_clay), structural, derived(1, derived_decomposition_base_rate), &
                                derived(1, derived_decomposition_transfer), derived(1, derived_decomposition_respired))
      do k = derived_decomposition_base_rate, derived_decomposition_base_rate + pools - 1
        derived(:, k) = derived(:, k) * parameters(:, parameter_decomposition_rate)
      end do
    end if
    depth_below = 0.0_wp
    do k = 0, n_carbon_layer - 1
      depth_below = depth_below + 0.5_wp * soil_thickness(k + 1)
      do i = 1, n
        ! the base rates belong to the CENTURY curve: the scalar agrees with it at 15 degC whatever Q10 is chosen
        derived(i, derived_decomposition_layer_factor + k) = century_factor * parameters(i, parameter_decomposition_q10) &
          / 1.5_wp * exp(-depth_below / parameters(i, parameter_decomposition_depth))
      end do
      depth_below = depth_below + 0.5_wp * soil_thickness(k + 1)
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
