module concerto_step_slow
  !! One day of the slow half of a block: nitrogen from outside, leaf area that plants aim at, plant carbon and nitrogen,
  !! mortality, crops, litter, soil carbon with nitrogen by the scheme chosen, isotopes. It knows the day from its drivers
  !! alone, so that it runs behind the fast steps, through recorded drivers (spin-up), and on daily forcing.
  !! Carbon only moves between stores here; what is respired waits in buffers that the fast steps of the next day empty.
  use concerto_kinds, only: wp
  use concerto_constants, only: seconds_per_day, seconds_per_year, latent_heat_vaporization, freezing_point, gas_constant, &
                                oxygen_mole_fraction
  use concerto_options, only: model_options, phenology_prescribed, phenology_optimal, soil_carbon_cencn, soil_carbon_rothc, &
                              soil_carbon_mimics, soil_carbon_millennial, nitrogen_cn, crops_calendar, &
                              isotopes_on, mortality_causes_full, plant_hydraulics_on, drought_memory_plc_damage, &
                              tillage_conventional, grazing_off, grazing_livestock, grazing_mowing, &
                              irrigation_demand_choice => irrigation_demand
  use concerto_tables
  use concerto_decomposition_tables, only: n_scheme, scheme_pools, scheme_litter
  use concerto_solar, only: day_length
  use concerto_pmodel, only: pmodel_environment, pmodel_quantum_yield, pmodel_optimum, pmodel_chi_c3, pmodel_chi_c4, &
                             pmodel_jmax_wang17, pmodel_yield_c3, pmodel_yield_c4
  use concerto_phenology, only: phenology_day, plant_available_water
  use concerto_hydraulics, only: xylem_damage_step
  use concerto_crops, only: crop_day, grain_for_nitrogen, crop_events, crop_nitrogen_shares, crop_transfer, crop_growing, &
                            crop_heat_sum
  use concerto_management, only: remove_residue, nutrient_day, days_since_sowing, tillage_day, plough, graze, mow, &
                                 regrowth_limit, bitten, irrigation_demand, since_cut, nitrate_share, manure_cn, manure_ammonium, &
                                 grazing_respired, grazing_methane, grazing_excreted, grazing_nitrogen_kept, grazing_ammonium, &
                                 mown_left
  use concerto_vegetation, only: vegetation_daily, n_plant_flux, flux_donor, flux_receiver, flux_leaf_turnover, &
                                 flux_root_turnover, flux_sapwood_turnover, flux_seed_turnover, plant_labile, plant_leaf, &
                                 plant_fine_root, plant_sapwood, plant_heartwood, plant_seed
  use concerto_plant_nitrogen, only: plant_nitrogen_day, plant_nitrogen_supply
  use concerto_mortality, only: mortality_rates, mortality_memory, heat_damage, n_cause
  use concerto_environment_scalars, only: rothc_deficit_step
  use concerto_soil_column, only: litter_to_layers, mixing_coefficients, column_respiration_capacity, &
                                  dissolved_carbon
  use concerto_soil_nitrogen, only: soil_nitrogen_day, nitrogen_fixation
  use concerto_decomposition, only: one_layer_litter, one_layer_scalars, one_layer_step, one_layer_respiration, &
                                    litter_quality, close_respiration_buffer
  use concerto_mimics, only: mimics_parameters, mimics_metabolic_fraction, mimics_moisture, mimics_litter_input, &
                             mimics_day
  use concerto_millennial, only: millennial_parameters, millennial_day
  use concerto_isotopes, only: tracer_plants_day, tracer_column_day, assimilate_carbon13, assimilate_carbon14, &
                               radioactive_decay
  implicit none
  private
  public :: step_slow, carbon_totals, half_life

  real(wp), parameter :: rothc_depth = 23.0_wp  !! topsoil of RothC, cm
  real(wp), parameter :: no_limit = 1.0e3_wp  !! nitrogen where it does not limit, kg m-2
  real(wp), parameter :: largest_store = 1.5_wp  !! labile carbon over reserve and full leaves from which on leaves slow down
  real(wp), parameter :: least_activity = 0.02_wp  !! of leaves whose products find no sink, at twice that store
  integer, parameter :: one_metre = 7  !! layers of the upper metre
  integer, parameter :: topsoil_layers = 5  !! layers of a one-layer scheme (0.28 m)
  integer, parameter :: n_sink = 5  !! receivers of plant fluxes: litter of leaf, fine root, wood, seed; growth respiration
  integer, parameter :: moisture_corpse = 2  !! moisture factor of mimics
  real(wp), parameter :: deepest_mixing = 3.0_wp  !! depth at which frost no longer mixes, m
  real(wp), parameter :: half_life = 5730.0_wp  !! of 14C, yr
  real(wp), parameter :: least_scalar = 0.05_wp  !! of decomposition, for the respiration of schemes without layers
  real(wp), parameter :: rounding = 1.0e-25_wp  !! what is left in a buffer that was emptied step by step, kg m-2
  real(wp), parameter :: least_deficit = 50.0_wp  !! floor of the vapour pressure deficit, Pa

  integer, parameter :: hazard_rows(n_cause) = [state_mortality_background, state_mortality_starvation, &
                                                state_mortality_drought, state_mortality_heat, state_mortality_frost, &
                                                state_mortality_slow_growth]  !! causes in the order of the hazards

  !> What moved between the stores on a day, for those who solve for an equilibrium.
  type, public :: slow_report
    real(wp), allocatable :: input(:, :, :)  !! litter, kg C m-2 (tile, layer, pool)
    real(wp), allocatable :: limitation(:, :, :)  !! share of the potential loss (tile, layer, pool)
    real(wp), allocatable :: nitrogen_input(:, :, :)  !! litter, kg N m-2 (tile, layer, pool)
    real(wp), allocatable :: mixing(:, :)  !! diffusivity over distance at interior faces, m s-1
    real(wp), allocatable :: scalar(:, :)  !! environment scalar of decomposition with tillage (tile, layer)
    real(wp), allocatable :: ploughed(:, :, :, :)  !! carbon, nitrogen, 13C and 14C of litter that ploughing moved down
    !! through the faces between layers, kg m-2 (tile, layer, pool, element)
    real(wp), allocatable :: pool_input(:, :)  !! one-layer schemes: litter, kg C m-2 (tile, pool)
    real(wp), allocatable :: pool_scalar(:, :)  !! one-layer schemes: environment scalar (tile, pool)
    real(wp), allocatable :: flux(:, :)  !! plant fluxes, kg C m-2, in the order of flux_donor
    real(wp), allocatable :: tracer_input(:, :, :, :)  !! litter of 13C and 14C, kg m-2 (tile, layer, pool, isotope)
    real(wp), allocatable :: tracer_loss(:, :, :, :)  !! schemes without layers: what left each pool, likewise
  end type slow_report

contains

  subroutine step_slow(n, options, day, p, derived, driver, net_carbon, state, residual_carbon, residual_nitrogen, report)
    !! One day of the slow half.
    integer, intent(in) :: n  !! tiles in the block
    type(model_options), intent(in) :: options  !! schemes
    real(wp), intent(in) :: day  !! length, d; below 1 for a broken day
    real(wp), intent(in) :: p(n, n_parameter_column)  !! parameters, units of the table
    real(wp), intent(in) :: derived(n, n_derived_column)  !! units of the table
    real(wp), intent(in) :: driver(n, n_driver_column)  !! units of the table
    real(wp), intent(in) :: net_carbon(n)  !! GPP less maintenance respiration of the day, kg m-2
    real(wp), intent(inout) :: state(n, n_state_column)  !! units of the table
    real(wp), intent(out) :: residual_carbon(n)  !! kg m-2
    real(wp), intent(out) :: residual_nitrogen(n)  !! kg m-2
    type(slow_report), intent(inout), optional :: report  !! what moved
    real(wp), dimension(n, 2) :: carbon_before, nitrogen_before, carbon_after, nitrogen_after
    real(wp), dimension(n) :: carbon_in, nitrogen_in
    real(wp), dimension(n) :: hours, evaporation, water, target_area, flush, shed, growth, growth_nitrogen, turnover, npp
    real(wp), dimension(n) :: deficit, pool_area, mortality, damage, full_leaf, seed_share, reserve_ratio, none, demand
    real(wp), dimension(n) :: nitrogen_supply, annual_npp, export, respired, imbalance, nitrogen_change, production, ci_ratio
    real(wp), dimension(n) :: co2_pressure, crop, seed_priority, sow, harvest, germinated_share, sowing_input, sowing_nitrogen
    real(wp), dimension(n) :: exported, abundance, abundance14, respired13, respired14, removed, product, product_nitrogen
    real(wp), dimension(n) :: ammonium_input, nitrate_input, grazed, held, ripeness, most_grain
    real(wp), dimension(n, n_plant_pool) :: plant_before, export_share, kept_share, nitrogen_export_share, nitrogen_kept_share
    real(wp), dimension(n, n_plant_flux) :: flux
    real(wp), dimension(n, 4) :: litter, litter_nitrogen, litter13, litter14
    real(wp), dimension(n, n_carbon_layer) :: tilled
    real(wp) :: hazard(n, n_cause), seconds, keep
    integer :: i, k

    seconds = day * seconds_per_day
    ! rates of the day; those of options that are off stay 0
    do k = 1, size(state_daily_rate_columns)
      do i = 1, n
        state(i, state_daily_rate_columns(k)) = 0.0_wp
      end do
    end do
    do i = 1, n
      state(i, state_manure_carbon) = 0.0_wp
      state(i, state_irrigation_rate) = 0.0_wp
      ! what rounding leaves in buffers would shrink to numbers that slow processors down
      state(i, state_carbon_growth_buffer) = emptied(state(i, state_carbon_growth_buffer))
      state(i, state_carbon_export_buffer) = emptied(state(i, state_carbon_export_buffer))
      state(i, state_harvest_buffer) = emptied(state(i, state_harvest_buffer))
    end do
    call stored(n, state, carbon_before, nitrogen_before)
    call memories(n, day, driver, state)
    do i = 1, n
      carbon_in(i) = net_carbon(i)
      nitrogen_in(i) = 0.0_wp
      annual_npp(i) = 365.25_wp * state(i, state_npp_365d)
      none(i) = 0.0_wp
      crop(i) = merge(p(i, parameter_annual_crop), 0.0_wp, options%crops == crops_calendar)
    end do

    ! ---- leaf area that plants aim at
    call day_length(n, 365.0_wp, p(1, parameter_latitude), driver(1, driver_day_of_year), hours)
    do i = 1, n
      hours(i) = 3600.0_wp * hours(i)
      ! potential evaporation: 1.26 times the equilibrium rate of the day's net radiation
      keep = 4098.0_wp * 611.2_wp * exp(17.62_wp * (driver(i, driver_air_temperature) - freezing_point) &
             / (driver(i, driver_air_temperature) - 30.03_wp)) / (driver(i, driver_air_temperature) - 30.03_wp)**2
      evaporation(i) = 1.26_wp * seconds_per_day * max(0.0_wp, driver(i, driver_net_radiation)) / latent_heat_vaporization &
                       * keep / (keep + 66.0_wp)
      production(i) = 0.0_wp
      ci_ratio(i) = 0.7_wp
      co2_pressure(i) = driver(i, driver_co2) * 1.0e-6_wp * driver(i, driver_pressure)
    end do
    if (options%phenology == phenology_optimal) call potential_production(n, p, driver, co2_pressure, production, ci_ratio)
    call plant_available_water(n, n_carbon_layer, soil_thickness, derived(1, derived_root_fraction), &
                               driver(1, driver_soil_liquid), p(1, parameter_theta_res), p(1, parameter_theta_sat), &
                               p(1, parameter_vg_alpha), p(1, parameter_vg_n), water)
    call phenology_day(n, n_phenology_memory, options%phenology, driver(1, driver_air_temperature), &
                       driver(1, driver_shortwave), driver(1, driver_water_stress), driver(1, driver_vapour_deficit), hours, &
                       driver(1, driver_precipitation), driver(1, driver_transpiration), evaporation, water, &
                       driver(1, driver_soil_temperature + 2), driver(1, driver_soil_head + 2), production, ci_ratio, &
                       co2_pressure, driver(1, driver_prescribed_leaf_area), p(1, parameter_evergreen), &
                       p(1, parameter_drought_deciduous), p(1, parameter_maximum_leaf_area), p(1, parameter_gsi_cold_slope), &
                       p(1, parameter_gsi_cold_base), p(1, parameter_gsi_cold_rate), p(1, parameter_gsi_heat_slope), &
                       p(1, parameter_gsi_heat_base), p(1, parameter_gsi_heat_rate), p(1, parameter_gsi_light_slope), &
                       p(1, parameter_gsi_light_base), p(1, parameter_gsi_light_rate), p(1, parameter_gsi_water_slope), &
                       p(1, parameter_gsi_water_base), p(1, parameter_gsi_water_rate), &
                       p(1, parameter_knorr_temperature_threshold), p(1, parameter_knorr_temperature_spread), &
                       p(1, parameter_knorr_day_length_threshold), p(1, parameter_knorr_day_length_spread), &
                       p(1, parameter_knorr_growth_rate), p(1, parameter_knorr_loss_rate), p(1, parameter_knorr_water_time), &
                       state(1, state_phenology_limiter), state(1, state_phenology_memory), target_area)
    call crop_day(n, n_crop_memory, driver(1, driver_air_temperature), state(1, state_temperature_10d), hours, &
                  driver(1, driver_water_stress), crop, p(1, parameter_crop_sowing_temperature), &
                  p(1, parameter_crop_base_temperature), p(1, parameter_crop_heat_to_maturity), &
                  p(1, parameter_crop_longest_season), &
                  p(1, parameter_maximum_leaf_area), state(1, state_crop_memory), target_area, seed_priority, sow, harvest, &
                  ripeness)
    if (options%grazing /= grazing_off .and. options%phenology /= phenology_prescribed) then
      call regrowth_limit(n, n_management_memory, day, p(1, parameter_woody), state(1, state_leaf_area), &
                          state(1, state_management_memory), target_area)
    end if

    ! ---- plants: hazards, the carbon of the day, nitrogen, harvest
    do i = 1, n
      full_leaf(i) = p(i, parameter_maximum_leaf_area) / p(i, parameter_specific_leaf_area)
      flush(i) = p(i, parameter_flush_time)
      shed(i) = p(i, parameter_shed_time)
      if (options%phenology == phenology_prescribed) then
        flush(i) = 0.0_wp
        shed(i) = 0.0_wp
      end if
      ! grain is filled before anything else grows, and nothing is held back for next year's leaves
      seed_share(i) = p(i, parameter_seed_share) + seed_priority(i) * (1.0_wp - p(i, parameter_seed_share))
      reserve_ratio(i) = (1.0_wp - seed_priority(i)) * p(i, parameter_reserve_ratio)
      nitrogen_supply(i) = no_limit
      damage(i) = 0.0_wp
    end do
    call mortality_rates(n, options%mortality_causes, merge(1, 0, options%plant_hydraulics == plant_hydraulics_on), &
                         driver(1, driver_air_temperature), state(1, state_labile_30d), &
                         full_leaf, p(1, parameter_reserve_ratio), state(1, state_stress_30d), &
                         state(1, state_conductivity_loss_day), state(1, state_heat_days), state(1, state_growth_365d), &
                         state(1, state_leaf_area_365d), p(1, parameter_mortality), p(1, parameter_starvation_ratio), &
                         p(1, parameter_mortality_stress_threshold), p(1, parameter_frost_tolerance), &
                         p(1, parameter_woody), hazard, &
                         mortality)
    do k = 1, n_cause
      do i = 1, n
        state(i, hazard_rows(k)) = hazard(i, k)
      end do
    end do
    if (options%mortality_causes == mortality_causes_full) then
      call heat_damage(n, day, driver(1, driver_warmest_canopy), p(1, parameter_heat_damage_temperature), &
                       p(1, parameter_heat_damage_range), damage)
    end if
    if (options%nitrogen == nitrogen_cn) call plant_nitrogen_supply(n, state(1, state_nitrogen_plant), nitrogen_supply)
    do k = 1, n_plant_pool
      do i = 1, n
        plant_before(i, k) = state(i, state_carbon_labile + k - 1)
      end do
    end do
    call vegetation_daily(n, options%allocation, day, driver(1, driver_air_temperature), driver(1, driver_water_stress), &
                          target_area, net_carbon, nitrogen_supply, annual_npp, mortality, damage, &
                          p(1, parameter_specific_leaf_area), p(1, parameter_maximum_leaf_area), p(1, parameter_woody), &
                          p(1, parameter_root_leaf_ratio), p(1, parameter_labile_time), flush, shed, reserve_ratio, &
                          p(1, parameter_growth_respiration), seed_share, p(1, parameter_leaf_longevity), &
                          p(1, parameter_fine_root_longevity), p(1, parameter_sapwood_longevity), &
                          p(1, parameter_branch_longevity), p(1, parameter_seed_longevity), p(1, parameter_leaf_cn), &
                          p(1, parameter_root_cn), p(1, parameter_sapwood_cn), p(1, parameter_seed_cn), &
                          p(1, parameter_canopy_height), p(1, parameter_wood_density), p(1, parameter_leaf_sapwood_area), &
                          p(1, parameter_stem_leaf_ratio), state(1, state_carbon_labile), state(1, state_stress_memory), &
                          flux, growth, growth_nitrogen, litter(1, 1), litter(1, 2), litter(1, 3), litter(1, 4), deficit, &
                          pool_area)
    if (options%plant_hydraulics == plant_hydraulics_on) call xylem_memory(n, options, day, p, driver, plant_before, state)
    do i = 1, n
      state(i, state_leaf_area) = pool_area(i)
      if (options%phenology == phenology_prescribed) state(i, state_leaf_area) = target_area(i)
      state(i, state_carbon_growth_buffer) = state(i, state_carbon_growth_buffer) + growth(i)
      state(i, state_growth_release) = state(i, state_carbon_growth_buffer) / seconds_per_day
      turnover(i) = flux(i, flux_leaf_turnover) + flux(i, flux_root_turnover) + flux(i, flux_sapwood_turnover) &
                    + flux(i, flux_seed_turnover)
      npp(i) = net_carbon(i) - growth(i)
      keep = exp(-day / 365.25_wp)
      state(i, state_npp_365d) = keep * state(i, state_npp_365d) + (1.0_wp - keep) * npp(i) / day
    end do
    call mortality_memory(n, day, driver(1, driver_air_temperature), driver(1, driver_water_stress), npp, turnover, &
                          state(1, state_carbon_labile), state(1, state_leaf_area), p(1, parameter_heat_threshold), &
                          state(1, state_stress_30d), state(1, state_heat_days), state(1, state_growth_365d), &
                          state(1, state_leaf_area_365d), state(1, state_labile_30d))
    litter_nitrogen = 0.0_wp
    demand = 0.0_wp
    if (options%nitrogen == nitrogen_cn) then
      call plant_nitrogen_day(n, day, flux, plant_before, state(1, state_carbon_labile), growth_nitrogen, full_leaf, none, &
                              p(1, parameter_leaf_cn), p(1, parameter_root_cn), p(1, parameter_sapwood_cn), &
                              p(1, parameter_heartwood_cn), p(1, parameter_seed_cn), p(1, parameter_nitrogen_resorption), &
                              state(1, state_nitrogen_plant), litter_nitrogen(1, 1), litter_nitrogen(1, 2), &
                              litter_nitrogen(1, 3), litter_nitrogen(1, 4), demand, state(1, state_leaf_nitrogen_factor))
      do i = 1, n
        ! carbon that plants cannot grow with fills their stores, and leaves slow down (sink limitation)
        keep = largest_store * (p(i, parameter_reserve_ratio) + 1.0_wp) * full_leaf(i)
        keep = min(1.0_wp, max(least_activity, 2.0_wp - state(i, state_carbon_labile) / max(keep, 1.0e-12_wp)))
        state(i, state_leaf_nitrogen_factor) = state(i, state_leaf_nitrogen_factor) * merge(keep, 1.0_wp, full_leaf(i) > 0.0_wp)
      end do
    end if
    ! isotopes follow the fluxes of the day before the harvest changes the pools
    litter13 = 0.0_wp
    litter14 = 0.0_wp
    if (options%isotopes == isotopes_on) then
      call assimilate_carbon13(n, driver(1, driver_delta13c_air), driver(1, driver_discrimination), abundance)
      call tracer_plants(n, flux, plant_before, driver(1, driver_gpp), net_carbon, abundance, state(1, state_carbon13_plant), &
                         litter13, respired13)
      call assimilate_carbon14(n, driver(1, driver_delta14c_air), abundance14)
      call tracer_plants(n, flux, plant_before, driver(1, driver_gpp), net_carbon, abundance14, &
                         state(1, state_carbon14_plant), litter14, respired14)
      do i = 1, n  ! soil adds its own below
        state(i, state_respired_carbon) = (driver(i, driver_gpp) - net_carbon(i) + growth(i)) / seconds
        state(i, state_respired_carbon13) = respired13(i) / seconds
        state(i, state_respired_carbon14) = respired14(i) / seconds
      end do
    end if
    product = 0.0_wp
    grazed = 0.0_wp
    product_nitrogen = 0.0_wp
    ammonium_input = 0.0_wp
    nitrate_input = 0.0_wp
    if (options%crops == crops_calendar) then
      do i = 1, n
        most_grain(i) = no_limit
        ripeness(i) = ripeness(i) * p(i, parameter_crop_harvest_index)
      end do
      if (options%nitrogen == nitrogen_cn) then
        call grain_for_nitrogen(n, p(1, parameter_seed_cn), state(1, state_nitrogen_plant), most_grain)
      end if
      call crop_events(n, sow, harvest, ripeness, p(1, parameter_crop_sowing_carbon), most_grain, &
                       state(1, state_carbon_labile), export_share, kept_share, germinated_share, sowing_input)
      if (options%nitrogen == nitrogen_cn) then
        call crop_nitrogen_shares(n, harvest, p(1, parameter_seed_cn), state(1, state_carbon_labile), export_share, &
                                  kept_share, state(1, state_nitrogen_plant), nitrogen_export_share, nitrogen_kept_share)
      end if
      call crop_move(n, p(1, parameter_residue_left), export_share, kept_share, germinated_share, sowing_input, &
                     state(1, state_carbon_labile), litter, exported, removed)
      do i = 1, n
        product(i) = exported(i) - sowing_input(i)
        state(i, state_residue_carbon) = removed(i) / seconds
        sowing_nitrogen(i) = sowing_input(i) / p(i, parameter_seed_cn)
      end do
      if (options%nitrogen == nitrogen_cn) then
        call crop_move(n, p(1, parameter_residue_left), nitrogen_export_share, nitrogen_kept_share, germinated_share, &
                       sowing_nitrogen, state(1, state_nitrogen_plant), litter_nitrogen, exported, removed)
        do i = 1, n
          product_nitrogen(i) = exported(i) - sowing_nitrogen(i)
        end do
      end if
      if (options%isotopes == isotopes_on) then
        do i = 1, n  ! seed from outside is as the assimilate of the day
          sowing_nitrogen(i) = sowing_input(i) * abundance(i)
          sowing_input(i) = sowing_input(i) * abundance14(i)
        end do
        call crop_move(n, p(1, parameter_residue_left), export_share, kept_share, germinated_share, sowing_nitrogen, &
                       state(1, state_carbon13_plant), litter13, exported, removed)
        call crop_move(n, p(1, parameter_residue_left), export_share, kept_share, germinated_share, sowing_input, &
                       state(1, state_carbon14_plant), litter14, exported, removed)
      end if
      do i = 1, n
        keep = state(i, state_carbon_leaf) * p(i, parameter_specific_leaf_area)
        state(i, state_leaf_area) = merge(keep, state(i, state_leaf_area), harvest(i) > 0.5_wp .or. sow(i) > 0.5_wp)
      end do
    end if
    call graze_and_mow()
    do i = 1, n
      state(i, state_litterfall) = (litter(i, 1) + litter(i, 2) + litter(i, 3) + litter(i, 4)) / seconds
    end do
    call bring_nutrients()
    do i = 1, n
      state(i, state_carbon_export_buffer) = state(i, state_carbon_export_buffer) + product(i)
      state(i, state_harvest_buffer) = state(i, state_harvest_buffer) + product(i)
      nitrogen_in(i) = nitrogen_in(i) - product_nitrogen(i)
      state(i, state_harvested_nitrogen) = state(i, state_harvested_nitrogen) + product_nitrogen(i)
    end do
    call days_since_sowing(n, n_management_memory, day, sow, state(1, state_management_memory))
    tilled = 1.0_wp
    if (options%tillage == tillage_conventional) then
      call tillage_day(n, n_management_memory, n_carbon_layer, soil_thickness, state(1, state_management_memory), tilled)
    end if

    ! ---- soil
    select case (options%soil_carbon)
    case (soil_carbon_cencn)
      call layered_soil(n, options, seconds, p, derived, driver, litter, litter_nitrogen, litter13, litter14, demand, &
                        ammonium_input, nitrate_input, sow, tilled, state, respired, export, nitrogen_change, report)
    case (soil_carbon_mimics, soil_carbon_millennial)
      call microbial_soil(n, options, seconds, p, driver, litter, annual_npp, state, respired, export, report)
      nitrogen_change = 0.0_wp
    case default
      call one_layer_soil(n, options, day, p, derived, driver, evaporation, litter, litter13, litter14, tilled, state, &
                          respired, report)
      export = 0.0_wp
      nitrogen_change = 0.0_wp
    end select
    call close_respiration_buffer(n, seconds_per_day, respired, state(1, state_carbon_rh_buffer), &
                                  state(1, state_buffer_release), imbalance)
    if (present(report)) then
      if (allocated(report%flux)) report%flux = flux
    end if

    do i = 1, n
      state(i, state_dissolved_carbon_export) = export(i) / seconds
      ! what was harvested or dissolved leaves the tile through the next day
      state(i, state_carbon_export_buffer) = state(i, state_carbon_export_buffer) + export(i)
      state(i, state_export_release) = state(i, state_carbon_export_buffer) / seconds_per_day
      state(i, state_harvest_release) = state(i, state_harvest_buffer) / seconds_per_day
      ! of a broken day some is left
      grazed(i) = grazed(i) + (1.0_wp - day) * seconds_per_day * state(i, state_grazing_release)
      state(i, state_grazing_release) = emptied(grazed(i)) / seconds_per_day
    end do
    if (options%irrigation == irrigation_demand_choice) then
      do i = 1, n
        held(i) = max(p(i, parameter_hold_soil_water), p(i, parameter_outside_water))
      end do
      call irrigation_demand(n, n_carbon_layer, soil_thickness, derived(1, derived_root_fraction), &
                             driver(1, driver_soil_liquid), driver(1, driver_soil_ice), p(1, parameter_theta_sat), &
                             p(1, parameter_theta_res), p(1, parameter_vg_alpha), p(1, parameter_vg_n), &
                             p(1, parameter_field_capacity_head), driver(1, driver_soil_temperature), &
                             driver(1, driver_water_stress), evaporation, state(1, state_leaf_area), crop, &
                             state(1, state_crop_memory + crop_growing - 1), &
                             p(1, parameter_irrigated), held, state(1, state_irrigation_rate))
    end if
    call stored(n, state, carbon_after, nitrogen_after)
    do i = 1, n
      residual_carbon(i) = abs((carbon_after(i, 1) - carbon_before(i, 1)) + (carbon_after(i, 2) - carbon_before(i, 2)) &
                               - carbon_in(i))
      residual_nitrogen(i) = abs((nitrogen_after(i, 1) - nitrogen_before(i, 1)) &
                                 + (nitrogen_after(i, 2) - nitrogen_before(i, 2)) - (nitrogen_in(i) + nitrogen_change(i)))
    end do

  contains

    subroutine graze_and_mow()
      !! Leaves of herbs that are eaten or cut: what becomes of them. Then the harvest of the day is known.
      real(wp) :: used(n), to_litter, to_air, to_methane, to_ammonium, to_product, taken, amount
      integer :: j, k

      if (options%grazing /= grazing_off) then
        if (options%grazing == grazing_livestock) then
          call graze(n, day, p(1, parameter_livestock_density), p(1, parameter_woody), state(1, state_carbon_leaf), used)
          to_litter = grazing_excreted
          to_methane = grazing_methane
          to_air = grazing_respired + grazing_methane
          to_product = grazing_nitrogen_kept
          to_ammonium = grazing_ammonium
        else
          call mow(n, n_management_memory, day, p(1, parameter_mowing_leaf_area), p(1, parameter_woody), &
                   state(1, state_temperature_10d), p(1, parameter_specific_leaf_area), state(1, state_carbon_leaf), &
                   state(1, state_management_memory), used)
          to_litter = mown_left
          to_methane = 0.0_wp
          to_air = 0.0_wp
          to_product = 1.0_wp - mown_left
          to_ammonium = 0.0_wp
        end if
        do j = 1, n
          taken = used(j) * state(j, state_carbon_leaf)
          amount = to_litter * taken
          state(j, state_carbon_leaf) = state(j, state_carbon_leaf) - taken
          litter(j, 1) = litter(j, 1) + amount
          state(j, state_grazing_carbon) = taken / seconds
          state(j, state_grazing_emission) = to_air * taken / seconds
          state(j, state_grazing_methane) = to_methane * taken / seconds
          ! what goes to the air leaves through the next day, as products do
          state(j, state_carbon_export_buffer) = state(j, state_carbon_export_buffer) + to_air * taken
          grazed(j) = (to_air - to_methane) * taken
          product(j) = product(j) + (taken - amount - to_air * taken)
          amount = state(j, state_carbon_leaf) * p(j, parameter_specific_leaf_area)
          taken = state(j, state_leaf_area)
          state(j, state_leaf_area) = merge(amount, taken, used(j) > 0.0_wp .and. options%phenology /= phenology_prescribed)
        end do
        if (options%phenology /= phenology_prescribed) then
          call bitten(n, n_management_memory, options%grazing == grazing_mowing, state(1, state_leaf_area), target_area, &
                      used, state(1, state_management_memory))
        end if
        if (options%grazing /= grazing_livestock) state(:, state_grazing_carbon) = 0.0_wp
        if (options%nitrogen == nitrogen_cn) then
          do j = 1, n
            taken = used(j) * state(j, state_nitrogen_plant + plant_leaf - 1)
            amount = to_ammonium * taken
            state(j, state_nitrogen_plant + plant_leaf - 1) = state(j, state_nitrogen_plant + plant_leaf - 1) - taken
            ammonium_input(j) = amount
            litter_nitrogen(j, 1) = litter_nitrogen(j, 1) + (taken - amount - to_product * taken)
            product_nitrogen(j) = product_nitrogen(j) + to_product * taken
          end do
        end if
        if (options%isotopes == isotopes_on) then
          do j = 1, n
            k = plant_leaf - 1
            taken = used(j) * state(j, state_carbon13_plant + k)
            state(j, state_carbon13_plant + k) = state(j, state_carbon13_plant + k) - taken
            litter13(j, 1) = litter13(j, 1) + to_litter * taken
            taken = used(j) * state(j, state_carbon14_plant + k)
            state(j, state_carbon14_plant + k) = state(j, state_carbon14_plant + k) - taken
            litter14(j, 1) = litter14(j, 1) + to_litter * taken
          end do
        end if
      end if
      if (options%grazing /= grazing_mowing) state(:, state_management_memory + since_cut - 1) = 0.0_wp
      if (options%crops == crops_calendar .or. options%grazing /= grazing_off) then
        do j = 1, n
          state(j, state_harvest_carbon) = product(j) / seconds
          state(j, state_harvest_nitrogen) = product_nitrogen(j) / seconds
        end do
      end if
    end subroutine graze_and_mow

    subroutine bring_nutrients()
      !! Fertiliser and manure: nitrogen to the soil, the carbon of manure to the litter of the surface.
      real(wp), dimension(n) :: mineral, organic, stage
      real(wp) :: carbon, ratio, total
      integer :: j

      if (.not. any(p(:, parameter_fertiliser) > 0.0_wp .or. p(:, parameter_manure) > 0.0_wp &
                    .or. state(:, state_management_memory) > 0.0_wp .or. state(:, state_management_memory + 1) > 0.0_wp)) return
      do j = 1, n
        stage(j) = state(j, state_crop_memory + crop_heat_sum - 1) / p(j, parameter_crop_heat_to_maturity)
      end do
      call nutrient_day(n, n_management_memory, day, crop, state(1, state_crop_memory + crop_growing - 1), stage, sow, &
                        p(1, parameter_fertiliser), p(1, parameter_manure), state(1, state_management_memory), mineral, organic)
      do j = 1, n
        carbon = manure_cn * organic(j)
        state(j, state_manure_carbon) = carbon / seconds
        litter(j, 1) = litter(j, 1) + carbon
        product(j) = product(j) - carbon
      end do
      if (options%nitrogen == nitrogen_cn) then
        do j = 1, n
          state(j, state_fertiliser_nitrogen) = mineral(j) / seconds
          state(j, state_manure_nitrogen) = organic(j) / seconds
          ratio = manure_ammonium * organic(j)
          nitrate_input(j) = nitrate_input(j) + nitrate_share * mineral(j)
          ammonium_input(j) = ammonium_input(j) + (mineral(j) - nitrate_share * mineral(j)) + ratio
          litter_nitrogen(j, 1) = litter_nitrogen(j, 1) + (organic(j) - ratio)
          product_nitrogen(j) = product_nitrogen(j) - organic(j)
          nitrogen_in(j) = nitrogen_in(j) + mineral(j)
        end do
      end if
      if (options%isotopes == isotopes_on) then
        do j = 1, n  ! as the plants of the tile; without any as the assimilate of the day
          carbon = manure_cn * organic(j)
          total = sum(state(j, state_carbon_labile:state_carbon_seed))
          ratio = sum(state(j, state_carbon13_plant:state_carbon13_plant + n_plant_pool - 1)) / max(total, 1.0e-30_wp)
          litter13(j, 1) = litter13(j, 1) + carbon * merge(ratio, abundance(j), total > 1.0e-6_wp)
          ratio = sum(state(j, state_carbon14_plant:state_carbon14_plant + n_plant_pool - 1)) / max(total, 1.0e-30_wp)
          litter14(j, 1) = litter14(j, 1) + carbon * merge(ratio, abundance14(j), total > 1.0e-6_wp)
        end do
      end if
    end subroutine bring_nutrients
  end subroutine step_slow

  subroutine layered_soil(n, options, seconds, p, derived, driver, litter, litter_nitrogen, litter13, litter14, demand, &
                          ammonium_input, nitrate_input, sow, tilled, state, respired, export, nitrogen_change, report)
    !! Litter to layers, decomposition with nitrogen, isotopes.
    integer, intent(in) :: n  !! tiles in the block
    type(model_options), intent(in) :: options  !! schemes
    real(wp), intent(in) :: seconds  !! s
    real(wp), intent(in) :: p(n, n_parameter_column)  !! parameters, units of the table
    real(wp), intent(in) :: derived(n, n_derived_column)  !! units of the table
    real(wp), intent(in) :: driver(n, n_driver_column)  !! units of the table
    real(wp), intent(in), dimension(n, 4) :: litter  !! of leaf, fine root, wood, seed, kg C m-2
    real(wp), intent(in), dimension(n, 4) :: litter_nitrogen  !! likewise, kg N m-2
    real(wp), intent(in), dimension(n, 4) :: litter13, litter14  !! likewise, isotopes (with isotopes on), kg m-2
    real(wp), intent(in) :: demand(n)  !! nitrogen that roots want, kg m-2
    real(wp), intent(in) :: ammonium_input(n), nitrate_input(n)  !! of fertiliser, manure and excreta, kg N m-2
    real(wp), intent(in) :: sow(n)  !! 1: sown today
    real(wp), intent(in) :: tilled(n, n_carbon_layer)  !! multiplier of decomposition
    real(wp), intent(inout) :: state(n, n_state_column)  !! units of the table
    real(wp), intent(out) :: respired(n)  !! kg C m-2
    real(wp), intent(out) :: export(n)  !! dissolved carbon, kg C m-2
    real(wp), intent(out) :: nitrogen_change(n)  !! nitrogen that came less what left, kg N m-2
    type(slow_report), intent(inout), optional :: report  !! what moved
    integer, parameter :: pools = n_soil_carbon / n_carbon_layer
    real(wp), dimension(n, n_carbon_layer, pools) :: input, input_nitrogen, limitation, loss, input_isotope
    real(wp), dimension(n, n_carbon_layer) :: pore_water, respiration, scalar, reference
    real(wp), dimension(n, n_carbon_layer - 1) :: mixing
    real(wp), dimension(n) :: deposition, fixation, uptake, gross, net, nitrified, n2o, n2, leached, bulk_density
    logical :: with_nitrogen
    integer :: i, k

    with_nitrogen = options%nitrogen == nitrogen_cn
    call mixing_coefficients(n, n_carbon_layer, soil_thickness, state(1, state_thaw_depth), &
                             state(1, state_thaw_depth_last_year), p(1, parameter_bioturbation), &
                             p(1, parameter_cryoturbation), deepest_mixing, mixing)
    call litter_to_layers(n, n_carbon_layer, pools, p(1, parameter_litter_metabolic), p(1, parameter_litter_cellulose), &
                          p(1, parameter_wood_aboveground), derived(1, derived_surface_profile), &
                          derived(1, derived_root_profile), litter(1, 1), litter(1, 2), litter(1, 3), litter(1, 4), input)
    if (with_nitrogen) then
      call litter_to_layers(n, n_carbon_layer, pools, p(1, parameter_litter_metabolic), p(1, parameter_litter_cellulose), &
                            p(1, parameter_wood_aboveground), derived(1, derived_surface_profile), &
                            derived(1, derived_root_profile), litter_nitrogen(1, 1), litter_nitrogen(1, 2), &
                            litter_nitrogen(1, 3), litter_nitrogen(1, 4), input_nitrogen)
      do i = 1, n
        gross(i) = 365.25_wp * state(i, state_npp_365d)  ! npp of a year
      end do
      call nitrogen_fixation(n, seconds, gross, p(1, parameter_fixation_maximum), &
                             p(1, parameter_fixation_rate), fixation)
    else
      input_nitrogen = 0.0_wp
      fixation = 0.0_wp
    end if
    if (options%tillage == tillage_conventional) call plough_in()
    do k = 1, n_carbon_layer
      do i = 1, n
        scalar(i, k) = tilled(i, k) * driver(i, driver_decomposition + k - 1)
        reference(i, k) = tilled(i, k) * derived(i, derived_decomposition_layer_factor + k - 1)  ! nitrifiers as before
        state(i, state_ammonium + k - 1) = state(i, state_ammonium + k - 1) &
                                           + derived(i, derived_surface_profile + k - 1) * ammonium_input(i)
        state(i, state_nitrate + k - 1) = state(i, state_nitrate + k - 1) &
                                          + derived(i, derived_surface_profile + k - 1) * nitrate_input(i)
        pore_water(i, k) = min(1.0_wp, max(0.0_wp, driver(i, driver_soil_liquid + k - 1) &
                             / max(0.01_wp, p(i, parameter_theta_sat) - driver(i, driver_soil_ice + k - 1))))
      end do
    end do
    do i = 1, n
      bulk_density(i) = 2700.0_wp * (1.0_wp - p(i, parameter_theta_sat))
      deposition(i) = merge(driver(i, driver_nitrogen_deposition), 0.0_wp, with_nitrogen)
    end do
    call soil_nitrogen_day(n, n_carbon_layer, pools, with_nitrogen, seconds, soil_thickness, &
                           reference, p(1, parameter_nitrification_rate), &
                           p(1, parameter_nitrous_oxide_share), p(1, parameter_mineralisation_gas_share), &
                           p(1, parameter_decomposition_q10), &
                           p(1, parameter_soil_cn_active), derived(1, derived_nitrification_ph), bulk_density, &
                           derived(1, derived_gas_diffusivity), derived(1, derived_decomposition_base_rate), &
                           derived(1, derived_decomposition_transfer), derived(1, derived_decomposition_respired), &
                           scalar, mixing, driver(1, driver_soil_temperature), pore_water, &
                           driver(1, driver_soil_liquid), driver(1, driver_drainage), driver(1, driver_runoff), &
                           derived(1, derived_surface_profile), derived(1, derived_root_profile), deposition, fixation, &
                           demand, input, input_nitrogen, state(1, state_soil_carbon), state(1, state_soil_nitrogen), &
                           state(1, state_ammonium), state(1, state_nitrate), uptake, respiration, limitation, loss, &
                           gross, net, nitrified, n2o, n2, leached)
    call column_respiration_capacity(n, n_carbon_layer, pools, derived(1, derived_decomposition_base_rate), &
                                     derived(1, derived_decomposition_respired), limitation, state(1, state_soil_carbon), &
                                     state(1, state_respiration_capacity))
    do k = 1, n_carbon_layer
      do i = 1, n
        state(i, state_respiration_capacity + k - 1) = tilled(i, k) * state(i, state_respiration_capacity + k - 1)
      end do
    end do
    call dissolved_carbon(n, n_carbon_layer, seconds, p(1, parameter_dissolved_share), driver(1, driver_drainage), &
                          respiration, export)
    respired = 0.0_wp
    do k = 1, n_carbon_layer
      do i = 1, n
        respired(i) = respired(i) + respiration(i, k)
      end do
    end do
    nitrogen_change = 0.0_wp
    if (with_nitrogen) then
      do i = 1, n
        state(i, state_nitrogen_plant) = state(i, state_nitrogen_plant) + uptake(i)
        nitrogen_change(i) = deposition(i) + fixation(i) - n2o(i) - n2(i) - leached(i)
        state(i, state_nitrogen_fixation) = fixation(i) / seconds
        state(i, state_nitrogen_uptake) = uptake(i) / seconds
        state(i, state_net_mineralisation) = net(i) / seconds
        state(i, state_nitrification) = nitrified(i) / seconds
        state(i, state_nitrous_oxide) = n2o(i) / seconds
        state(i, state_dinitrogen) = n2(i) / seconds
        state(i, state_nitrogen_leaching) = leached(i) / seconds
      end do
    end if
    if (options%isotopes == isotopes_on) then
      call litter_to_layers(n, n_carbon_layer, pools, p(1, parameter_litter_metabolic), p(1, parameter_litter_cellulose), &
                            p(1, parameter_wood_aboveground), derived(1, derived_surface_profile), &
                            derived(1, derived_root_profile), litter13(1, 1), litter13(1, 2), litter13(1, 3), &
                            litter13(1, 4), input_isotope)
      call tracer_column_day(n, n_carbon_layer, pools, seconds, soil_thickness, derived(1, derived_decomposition_base_rate), &
                             derived(1, derived_decomposition_transfer), derived(1, derived_decomposition_respired), &
                             scalar, mixing, limitation, input_isotope, &
                             state(1, state_carbon13_soil), respiration)
      do i = 1, n
        state(i, state_respired_carbon) = state(i, state_respired_carbon) + (respired(i) + export(i)) / seconds
        state(i, state_respired_carbon13) = state(i, state_respired_carbon13) + sum(respiration(i, :)) / seconds
      end do
      if (present(report)) then
        if (allocated(report%tracer_input)) report%tracer_input(:, :, :, 1) = input_isotope
      end if
      call litter_to_layers(n, n_carbon_layer, pools, p(1, parameter_litter_metabolic), p(1, parameter_litter_cellulose), &
                            p(1, parameter_wood_aboveground), derived(1, derived_surface_profile), &
                            derived(1, derived_root_profile), litter14(1, 1), litter14(1, 2), litter14(1, 3), &
                            litter14(1, 4), input_isotope)
      call tracer_column_day(n, n_carbon_layer, pools, seconds, soil_thickness, derived(1, derived_decomposition_base_rate), &
                             derived(1, derived_decomposition_transfer), derived(1, derived_decomposition_respired), &
                             scalar, mixing, limitation, input_isotope, &
                             state(1, state_carbon14_soil), respiration)
      do i = 1, n
        state(i, state_respired_carbon14) = state(i, state_respired_carbon14) + sum(respiration(i, :)) / seconds
      end do
      if (present(report)) then
        if (allocated(report%tracer_input)) report%tracer_input(:, :, :, 2) = input_isotope
      end if
      call radioactive_decay(n, n_plant_pool, seconds / seconds_per_day, half_life, state(1, state_carbon14_plant), gross)
      call radioactive_decay(n, n_soil_carbon, seconds / seconds_per_day, half_life, state(1, state_carbon14_soil), gross)
    end if
    if (present(report)) then
      if (allocated(report%input)) then
        report%input = input
        report%limitation = limitation
        report%mixing = mixing
        report%nitrogen_input = input_nitrogen
        report%scalar = scalar
      end if
    end if

  contains

    subroutine plough_in()
      !! Litter of all elements, as it was before the day.
      real(wp) :: down(n, n_carbon_layer - 1, pools, 4)

      down = 0.0_wp
      call plough(n, n_carbon_layer, pools, soil_thickness, sow, state(1, state_soil_carbon), down(:, :, :, 1))
      if (with_nitrogen) then
        call plough(n, n_carbon_layer, pools, soil_thickness, sow, state(1, state_soil_nitrogen), down(:, :, :, 2))
      end if
      if (options%isotopes == isotopes_on) then
        call plough(n, n_carbon_layer, pools, soil_thickness, sow, state(1, state_carbon13_soil), down(:, :, :, 3))
        call plough(n, n_carbon_layer, pools, soil_thickness, sow, state(1, state_carbon14_soil), down(:, :, :, 4))
      end if
      if (present(report)) then
        if (allocated(report%ploughed)) report%ploughed = down
      end if
    end subroutine plough_in
  end subroutine layered_soil

  subroutine one_layer_soil(n, options, day, p, derived, driver, evaporation, litter, litter13, litter14, tilled, state, &
                            respired, report)
    !! The linear schemes without layers.
    integer, intent(in) :: n  !! tiles in the block
    type(model_options), intent(in) :: options  !! schemes
    real(wp), intent(in) :: day  !! d
    real(wp), intent(in) :: p(n, n_parameter_column)  !! parameters, units of the table
    real(wp), intent(in) :: derived(n, n_derived_column)  !! units of the table
    real(wp), intent(in) :: driver(n, n_driver_column)  !! units of the table
    real(wp), intent(in) :: evaporation(n)  !! potential, kg m-2 d-1
    real(wp), intent(in), dimension(n, 4) :: litter, litter13, litter14  !! of leaf, fine root, wood, seed, kg m-2
    real(wp), intent(in) :: tilled(n, n_carbon_layer)  !! multiplier of decomposition
    real(wp), intent(inout) :: state(n, n_state_column)  !! units of the table
    real(wp), intent(out) :: respired(n)  !! kg C m-2
    type(slow_report), intent(inout), optional :: report  !! what moved
    real(wp), dimension(n, n_decomposition_pool) :: input, scalar, decomposed
    real(wp), dimension(n) :: lignin, litter_cn, leaf_lignin, root_lignin, rain, vegetated, depth, capacity, unused
    integer :: i, k, pools

    pools = scheme_pools(options%soil_carbon)
    do i = 1, n
      vegetated(i) = merge(1.0_wp, 0.0_wp, state(i, state_leaf_area) > 0.1_wp)
      depth(i) = rothc_depth
      rain(i) = 365.25_wp * state(i, state_precipitation_365d)
      lignin(i) = p(i, parameter_litter_lignin)
      ! half of the nitrogen of old leaves is withdrawn
      litter_cn(i) = p(i, parameter_leaf_cn) / max(1.0_wp - p(i, parameter_nitrogen_resorption), 0.05_wp)
    end do
    call litter_quality(n, lignin, litter_cn, p(1, parameter_root_cn), leaf_lignin, root_lignin, unused)
    call one_layer_litter(n, pools, options%soil_carbon, p(1, parameter_litter_metabolic), p(1, parameter_litter_cellulose), &
                          p(1, parameter_dpm_rpm_ratio), leaf_lignin, root_lignin, p(1, parameter_wood_aboveground), &
                          p(1, parameter_leaf_acid_soluble), litter(1, 1), litter(1, 2), litter(1, 3), litter(1, 4), input)
    call one_layer_scalars(n, pools, options%soil_carbon, driver(1, driver_decomposition), &
                           driver(1, driver_air_temperature), rain, p(1, parameter_woody_litter_diameter), scalar)
    if (options%tillage == tillage_conventional) then  ! the mean of the topsoil, for all pools
      do i = 1, n
        unused(i) = 0.0_wp
      end do
      do k = 1, topsoil_layers
        do i = 1, n
          unused(i) = unused(i) + soil_thickness(k) / sum(soil_thickness(1:topsoil_layers)) * tilled(i, k)
        end do
      end do
      do k = 1, pools
        do i = 1, n
          scalar(i, k) = unused(i) * scalar(i, k)
        end do
      end do
    end if
    call one_layer_step(n, pools, 1, day * seconds_per_day, derived(1, derived_decomposition_base_rate), &
                        derived(1, derived_decomposition_transfer), derived(1, derived_decomposition_respired), scalar, &
                        input, state(1, state_soil_carbon), respired, decomposed)
    if (present(report)) then
      if (allocated(report%pool_input)) then
        report%pool_input(:, 1:pools) = input(:, 1:pools)
        report%pool_scalar(:, 1:pools) = scalar(:, 1:pools)
      end if
    end if
    call one_layer_respiration(n, pools, derived(1, derived_decomposition_base_rate), &
                               derived(1, derived_decomposition_respired), scalar, state(1, state_soil_carbon), capacity)
    call set_capacity(n, driver, capacity, state)
    if (options%soil_carbon == soil_carbon_rothc) then
      call rothc_deficit_step(n, 1.0_wp, 1.0_wp / 0.556_wp, p(1, parameter_clay), depth, vegetated, &
                              driver(1, driver_precipitation), evaporation, state(1, state_rothc_deficit))
    end if
    if (options%isotopes == isotopes_on) then
      call one_layer_litter(n, pools, options%soil_carbon, p(1, parameter_litter_metabolic), &
                            p(1, parameter_litter_cellulose), p(1, parameter_dpm_rpm_ratio), leaf_lignin, root_lignin, &
                            p(1, parameter_wood_aboveground), p(1, parameter_leaf_acid_soluble), litter13(1, 1), &
                            litter13(1, 2), litter13(1, 3), litter13(1, 4), input)
      call one_layer_step(n, pools, 1, day * seconds_per_day, derived(1, derived_decomposition_base_rate), &
                          derived(1, derived_decomposition_transfer), derived(1, derived_decomposition_respired), scalar, &
                          input, state(1, state_carbon13_soil), unused, decomposed)
      do i = 1, n
        state(i, state_respired_carbon) = state(i, state_respired_carbon) + respired(i) / (day * seconds_per_day)
        state(i, state_respired_carbon13) = state(i, state_respired_carbon13) + unused(i) / (day * seconds_per_day)
      end do
      if (present(report)) call report_tracer(n, pools, 1, input, decomposed, report)
      call one_layer_litter(n, pools, options%soil_carbon, p(1, parameter_litter_metabolic), &
                            p(1, parameter_litter_cellulose), p(1, parameter_dpm_rpm_ratio), leaf_lignin, root_lignin, &
                            p(1, parameter_wood_aboveground), p(1, parameter_leaf_acid_soluble), litter14(1, 1), &
                            litter14(1, 2), litter14(1, 3), litter14(1, 4), input)
      call one_layer_step(n, pools, 1, day * seconds_per_day, derived(1, derived_decomposition_base_rate), &
                          derived(1, derived_decomposition_transfer), derived(1, derived_decomposition_respired), scalar, &
                          input, state(1, state_carbon14_soil), unused, decomposed)
      do i = 1, n
        state(i, state_respired_carbon14) = state(i, state_respired_carbon14) + unused(i) / (day * seconds_per_day)
      end do
      if (present(report)) call report_tracer(n, pools, 2, input, decomposed, report)
      call radioactive_decay(n, n_plant_pool, day, half_life, state(1, state_carbon14_plant), unused)
      call radioactive_decay(n, n_soil_carbon, day, half_life, state(1, state_carbon14_soil), unused)
    end if
  end subroutine one_layer_soil

  subroutine report_tracer(n, pools, isotope, input, loss, report)
    !! One isotope of a scheme without layers, for those who solve for an equilibrium.
    integer, intent(in) :: n  !! tiles
    integer, intent(in) :: pools  !! of the scheme
    integer, intent(in) :: isotope  !! 1: 13C, 2: 14C
    real(wp), intent(in), dimension(n, n_decomposition_pool) :: input, loss  !! litter, and what left each pool, kg m-2
    type(slow_report), intent(inout) :: report  !! what moved
    if (.not. allocated(report%tracer_loss)) return
    report%tracer_input(:, 1, 1:pools, isotope) = input(:, 1:pools)
    report%tracer_loss(:, 1, 1:pools, isotope) = loss(:, 1:pools)
  end subroutine report_tracer

  subroutine microbial_soil(n, options, seconds, p, driver, litter, annual_npp, state, respired, export, report)
    !! The schemes with microbes.
    integer, intent(in) :: n  !! tiles in the block
    type(model_options), intent(in) :: options  !! schemes
    real(wp), intent(in) :: seconds  !! s
    real(wp), intent(in) :: p(n, n_parameter_column)  !! parameters, units of the table
    real(wp), intent(in) :: driver(n, n_driver_column)  !! units of the table
    real(wp), intent(in), dimension(n, 4) :: litter  !! of leaf, fine root, wood, seed, kg m-2
    real(wp), intent(in) :: annual_npp(n)  !! kg C m-2 yr-1
    real(wp), intent(inout) :: state(n, n_state_column)  !! units of the table
    real(wp), intent(out) :: respired(n)  !! kg C m-2
    real(wp), intent(out) :: export(n)  !! dissolved carbon, kg C m-2
    type(slow_report), intent(inout), optional :: report  !! what moved
    real(wp), dimension(n) :: lignin, share, temperature, liquid, ice, factor, metabolic, structural, total, capacity, fine
    real(wp), dimension(n) :: bulk_density
    real(wp) :: setting(54), setting_millennial(25), weight
    integer :: i, k

    temperature = 0.0_wp
    liquid = 0.0_wp
    ice = 0.0_wp
    do k = 1, topsoil_layers
      weight = soil_thickness(k) / sum(soil_thickness(1:topsoil_layers))
      do i = 1, n
        temperature(i) = temperature(i) + weight * driver(i, driver_soil_temperature + k - 1)
        liquid(i) = liquid(i) + weight * driver(i, driver_soil_liquid + k - 1)
        ice(i) = ice(i) + weight * driver(i, driver_soil_ice + k - 1)
      end do
    end do
    export = 0.0_wp
    if (options%soil_carbon == soil_carbon_mimics) then
      call mimics_parameters(setting)
      do i = 1, n
        total(i) = liquid(i) / p(i, parameter_theta_sat)
        capacity(i) = ice(i) / p(i, parameter_theta_sat)
      end do
      call mimics_moisture(n, moisture_corpse, total, capacity, factor)
      do i = 1, n
        structural(i) = p(i, parameter_leaf_cn) / max(1.0_wp - p(i, parameter_nitrogen_resorption), 0.05_wp)
      end do
      call litter_quality(n, p(1, parameter_litter_lignin), structural, p(1, parameter_root_cn), lignin, total, capacity)
      call mimics_metabolic_fraction(n, lignin, 1.0_wp, share)
      call mimics_litter_input(n, share, litter(1, 1), litter(1, 2), litter(1, 3), litter(1, 4), &
                               metabolic, structural)
      call mimics_day(n, 4, seconds, temperature, factor, p(1, parameter_clay), share, &
                      annual_npp, metabolic, structural, setting, state(1, state_soil_carbon), respired, total)
    else
      call millennial_parameters(setting_millennial)
      do i = 1, n
        share(i) = 0.0_wp
        metabolic(i) = litter(i, 1) + litter(i, 2) + litter(i, 3) + litter(i, 4)
        structural(i) = 0.0_wp
        factor(i) = liquid(i)
        fine(i) = 100.0_wp - p(i, parameter_sand)
        bulk_density(i) = 2700.0_wp * (1.0_wp - p(i, parameter_theta_sat))
      end do
      call millennial_day(n, 2, seconds, temperature, liquid, p(1, parameter_theta_sat), p(1, parameter_soil_ph), fine, &
                          bulk_density, metabolic, setting_millennial, state(1, state_soil_carbon), respired, export, total)
    end if
    if (present(report)) then
      if (allocated(report%pool_input)) then
        report%pool_input(:, 1) = metabolic
        report%pool_input(:, 2) = structural
        report%pool_scalar(:, 1) = temperature
        report%pool_scalar(:, 2) = factor
        report%pool_scalar(:, 3) = share
      end if
    end if
    do i = 1, n
      capacity(i) = respired(i) / seconds
    end do
    call set_capacity(n, driver, capacity, state)
  end subroutine microbial_soil

  subroutine set_capacity(n, driver, rate, state)
    !! Respiration of a scheme without layers at an environment scalar of 1, for the fast steps of the next day: they see
    !! the scalar of the first layer, whose mean of the day belongs to the rate of the day.
    integer, intent(in) :: n  !! tiles in the block
    real(wp), intent(in) :: driver(n, n_driver_column)  !! units of the table
    real(wp), intent(in) :: rate(n)  !! respiration of the day, kg m-2 s-1
    real(wp), intent(inout) :: state(n, n_state_column)  !! units of the table
    integer :: i
    do i = 1, n
      ! after a day near 0 the next may be warm: what the fast steps then do not give off leaves through the buffer
      state(i, state_respiration_capacity) = rate(i) / max(driver(i, driver_decomposition), least_scalar)
    end do
  end subroutine set_capacity

  subroutine tracer_plants(n, flux, carbon, gpp, net_carbon, abundance, tracer, litter, respired)
    !! One isotope through the plants of a day.
    integer, intent(in) :: n  !! tiles in the block
    real(wp), intent(in) :: flux(n, n_plant_flux)  !! kg C m-2
    real(wp), intent(in) :: carbon(n, n_plant_pool)  !! pools before the day, kg m-2
    real(wp), intent(in) :: gpp(n)  !! kg m-2
    real(wp), intent(in) :: net_carbon(n)  !! GPP less maintenance respiration, kg m-2
    real(wp), intent(in) :: abundance(n)  !! of the assimilate over the standard
    real(wp), intent(inout) :: tracer(n, n_plant_pool)  !! kg m-2
    real(wp), intent(out) :: litter(n, 4)  !! of leaf, fine root, wood, seed, kg m-2
    real(wp), intent(out) :: respired(n)  !! by maintenance and growth, kg m-2
    real(wp) :: sink(n, n_sink), maintenance(n)
    integer :: i, k
    do i = 1, n
      maintenance(i) = gpp(i) - net_carbon(i)
    end do
    call tracer_plants_day(n, n_plant_flux, n_sink, flux_donor, flux_receiver, flux, carbon, gpp, maintenance, abundance, &
                           tracer, sink, respired)
    do i = 1, n
      respired(i) = respired(i) + sink(i, n_sink)
    end do
    do k = 1, 4
      do i = 1, n
        litter(i, k) = sink(i, k)
      end do
    end do
  end subroutine tracer_plants

  subroutine crop_move(n, residue_left, export_share, kept_share, germinated_share, sowing_input, plant, litter, exported, &
                       removed)
    !! Harvest and sowing of one element; what dies and stays on the field joins the litter of its tissue.
    integer, intent(in) :: n  !! tiles in the block
    real(wp), intent(in) :: residue_left(n)  !! share of what dies above ground that stays
    real(wp), intent(in) :: export_share(n, n_plant_pool)  !! share that is taken away
    real(wp), intent(in) :: kept_share(n, n_plant_pool)  !! share that stays
    real(wp), intent(in) :: germinated_share(n)  !! share of seed that becomes labile
    real(wp), intent(in) :: sowing_input(n)  !! element in seed from outside, kg m-2
    real(wp), intent(inout) :: plant(n, n_plant_pool)  !! kg m-2
    real(wp), intent(inout) :: litter(n, 4)  !! of leaf, fine root, wood, seed, kg m-2
    real(wp), intent(out) :: exported(n)  !! grain and residue, kg m-2
    real(wp), intent(out) :: removed(n)  !! residue in it, kg m-2
    real(wp) :: dead(n, n_plant_pool)
    integer :: i
    call crop_transfer(n, export_share, kept_share, germinated_share, sowing_input, plant, dead, exported)
    call remove_residue(n, residue_left, dead, removed)
    do i = 1, n
      exported(i) = exported(i) + removed(i)
      litter(i, 1) = litter(i, 1) + dead(i, plant_leaf)
      litter(i, 2) = litter(i, 2) + dead(i, plant_fine_root)
      litter(i, 3) = litter(i, 3) + (dead(i, plant_sapwood) + dead(i, plant_heartwood))
      litter(i, 4) = litter(i, 4) + (dead(i, plant_labile) + dead(i, plant_seed))
    end do
  end subroutine crop_move

  subroutine xylem_memory(n, options, day, p, driver, plant_before, state)
    !! Loss of conductivity of the day, and what of it stays until new sapwood has grown.
    integer, intent(in) :: n  !! tiles
    type(model_options), intent(in) :: options  !! schemes
    real(wp), intent(in) :: day  !! length of the step, d
    real(wp), intent(in) :: p(n, n_parameter_column)  !! parameters, units of the table
    real(wp), intent(in) :: driver(n, n_driver_column)  !! units of the table
    real(wp), intent(in) :: plant_before(n, n_plant_pool)  !! kg m-2
    real(wp), intent(inout) :: state(n, n_state_column)  !! units of the table
    real(wp), dimension(n) :: grown, unfilled
    real(wp) :: part
    integer :: i

    do i = 1, n
      part = day * seconds_per_day / seconds_per_year
      ! old wood that is left of the day before; the rest is new
      grown(i) = state(i, state_carbon_sapwood) - plant_before(i, plant_sapwood) * exp(-part * p(i, parameter_mortality)) &
                 * p(i, parameter_sapwood_longevity) / (p(i, parameter_sapwood_longevity) + part)
      unfilled(i) = merge(p(i, parameter_xylem_unfilled), 0.0_wp, options%drought_memory == drought_memory_plc_damage)
    end do
    call xylem_damage_step(n, day, driver(1, driver_least_stem_potential), p(1, parameter_xylem_psi50), &
                           p(1, parameter_xylem_shape), unfilled, grown, state(1, state_carbon_sapwood), &
                           p(1, parameter_woody), p(1, parameter_leaf_longevity), state(1, state_xylem_damage), &
                           state(1, state_conductivity_loss_day))
  end subroutine xylem_memory

  subroutine memories(n, day, driver, state)
    !! Running means, and the depth of thaw of the year.
    integer, intent(in) :: n  !! tiles in the block
    real(wp), intent(in) :: day  !! d
    real(wp), intent(in) :: driver(n, n_driver_column)  !! units of the table
    real(wp), intent(inout) :: state(n, n_state_column)  !! units of the table
    real(wp) :: keep, other
    integer :: i
    do i = 1, n
      keep = exp(-day / 10.0_wp)
      state(i, state_temperature_10d) = keep * state(i, state_temperature_10d) &
                                        + (1.0_wp - keep) * driver(i, driver_air_temperature)
      keep = exp(-day / 30.0_wp)
      state(i, state_temperature_30d) = keep * state(i, state_temperature_30d) &
                                        + (1.0_wp - keep) * driver(i, driver_air_temperature)
      keep = exp(-day / 365.25_wp)
      state(i, state_precipitation_365d) = keep * state(i, state_precipitation_365d) &
                                           + (1.0_wp - keep) * driver(i, driver_precipitation) / day
      keep = state(i, state_thaw_depth)
      other = state(i, state_thaw_depth_last_year)
      state(i, state_thaw_depth_last_year) = merge(keep, other, driver(i, driver_day_of_year) < 1.5_wp)
      keep = merge(0.0_wp, keep, driver(i, driver_day_of_year) < 1.5_wp)
      state(i, state_thaw_depth) = max(keep, driver(i, driver_thaw_depth))
    end do
  end subroutine memories

  subroutine potential_production(n, p, driver, co2_pressure, production, ci_ratio)
    !! What leaves that absorb all light would produce in a day (P-model).
    integer, intent(in) :: n  !! tiles in the block
    real(wp), intent(in) :: p(n, n_parameter_column)  !! parameters, units of the table
    real(wp), intent(in) :: driver(n, n_driver_column)  !! units of the table
    real(wp), intent(in) :: co2_pressure(n)  !! Pa
    real(wp), intent(out) :: production(n)  !! mol m-2 d-1
    real(wp), intent(out) :: ci_ratio(n)  !! ci over ca
    real(wp), dimension(n) :: michaelis_menten, compensation, viscosity, yield, photons, xi, chi, ci, light, carbon, use, cost
    real(wp), dimension(n) :: other_use, other_chi, vcmax, jmax, conductance, feasible
    integer :: i
    call pmodel_environment(n, gas_constant, oxygen_mole_fraction, driver(1, driver_air_temperature), &
                            driver(1, driver_pressure), michaelis_menten, compensation, viscosity)
    do i = 1, n
      photons(i) = 2.3_wp * driver(i, driver_shortwave)  ! umol m-2 s-1
      cost(i) = p(i, parameter_pmodel_beta)
    end do
    call pmodel_quantum_yield(n, pmodel_yield_c3, 0.0_wp, 0.0_wp, driver(1, driver_air_temperature), &
                              p(1, parameter_pmodel_kphio), yield)
    call pmodel_optimum(n, pmodel_chi_c3, pmodel_jmax_wang17, least_deficit, michaelis_menten, compensation, viscosity, &
                        co2_pressure, driver(1, driver_vapour_deficit), cost, yield, photons, xi, chi, ci, light, carbon, use, &
                        vcmax, jmax, conductance, feasible)
    do i = 1, n
      cost(i) = cost(i) / 9.0_wp
    end do
    call pmodel_quantum_yield(n, pmodel_yield_c4, 0.0_wp, 0.0_wp, driver(1, driver_air_temperature), &
                              p(1, parameter_pmodel_kphio), yield)
    call pmodel_optimum(n, pmodel_chi_c4, pmodel_jmax_wang17, least_deficit, michaelis_menten, compensation, viscosity, &
                        co2_pressure, driver(1, driver_vapour_deficit), cost, yield, photons, xi, other_chi, ci, light, &
                        carbon, other_use, vcmax, jmax, conductance, feasible)
    do i = 1, n
      use(i) = merge(other_use(i), use(i), p(i, parameter_c4) > 0.5_wp)
      ci_ratio(i) = merge(other_chi(i), chi(i), p(i, parameter_c4) > 0.5_wp)
      production(i) = max(0.0_wp, use(i)) * photons(i) * seconds_per_day * 1.0e-6_wp
    end do
  end subroutine potential_production

  subroutine carbon_totals(n, options, state, diagnostics)
    !! Carbon in vegetation, litter and soil.
    integer, intent(in) :: n  !! tiles in the block
    type(model_options), intent(in) :: options  !! schemes
    real(wp), intent(in) :: state(n, n_state_column)  !! units of the table
    real(wp), intent(inout) :: diagnostics(n, n_diagnostic_column)  !! units of the table
    integer :: i, k, pool, target
    logical :: litter, shallow
    do i = 1, n
      diagnostics(i, diagnostic_vegetation_carbon) = state(i, state_carbon_labile) + state(i, state_carbon_leaf) &
        + state(i, state_carbon_fine_root) + state(i, state_carbon_sapwood) + state(i, state_carbon_heartwood) &
        + state(i, state_carbon_seed) + state(i, state_carbon_npp_day) + state(i, state_carbon_growth_buffer) &
        + state(i, state_carbon_export_buffer)
      diagnostics(i, diagnostic_litter_carbon) = 0.0_wp
      diagnostics(i, diagnostic_coarse_debris_carbon) = 0.0_wp
      diagnostics(i, diagnostic_soil_carbon_to_1m) = state(i, state_carbon_rh_buffer)
      diagnostics(i, diagnostic_soil_organic_carbon) = state(i, state_carbon_rh_buffer)
    end do
    do k = 1, n_soil_carbon
      pool = k
      if (options%soil_carbon == soil_carbon_cencn) pool = (k - 1) / n_carbon_layer + 1
      if (pool > n_decomposition_pool) exit
      if (options%soil_carbon <= n_scheme) then
        litter = scheme_litter(pool, options%soil_carbon)
      else  ! mimics: metabolic and structural litter; millennial: particulate matter counts as soil
        litter = pool <= 2 .and. options%soil_carbon == soil_carbon_mimics
      end if
      target = merge(diagnostic_litter_carbon, diagnostic_soil_organic_carbon, litter)
      do i = 1, n
        diagnostics(i, target) = diagnostics(i, target) + state(i, state_soil_carbon + k - 1)
      end do
      shallow = options%soil_carbon /= soil_carbon_cencn
      if (.not. shallow) shallow = mod(k - 1, n_carbon_layer) < one_metre
      if (shallow .and. .not. litter) then
        do i = 1, n
          diagnostics(i, diagnostic_soil_carbon_to_1m) = diagnostics(i, diagnostic_soil_carbon_to_1m) &
            + state(i, state_soil_carbon + k - 1)
        end do
      end if
      if (options%soil_carbon == soil_carbon_cencn .and. pool == n_soil_carbon / n_carbon_layer) then
        do i = 1, n
          diagnostics(i, diagnostic_coarse_debris_carbon) = diagnostics(i, diagnostic_coarse_debris_carbon) &
            + state(i, state_soil_carbon + k - 1)
        end do
      end if
    end do
  end subroutine carbon_totals

  elemental function emptied(store) result(left)
    !! A store without what is far below the last digit of any day's flux.
    real(wp), intent(in) :: store  !! kg m-2
    real(wp) :: left
    left = merge(0.0_wp, store, abs(store) < rounding)
  end function emptied

  subroutine stored(n, state, carbon, nitrogen)
    !! Carbon and nitrogen in all stores; a sum and what it lost by rounding (second column), so that the difference of two
    !! sums is not uncertain by the last digits of the stores.
    integer, intent(in) :: n  !! tiles
    real(wp), intent(in) :: state(n, n_state_column)  !! units of the table
    real(wp), intent(out) :: carbon(n, 2)  !! kg m-2
    real(wp), intent(out) :: nitrogen(n, 2)  !! kg m-2
    integer :: k

    carbon = 0.0_wp
    nitrogen = 0.0_wp
    do k = 1, size(state_carbon_columns)
      call add_exactly(n, state(1, state_carbon_columns(k)), carbon(1, 1), carbon(1, 2))
    end do
    do k = 1, size(state_nitrogen_columns)
      call add_exactly(n, state(1, state_nitrogen_columns(k)), nitrogen(1, 1), nitrogen(1, 2))
    end do
  end subroutine stored

  subroutine add_exactly(n, value, total, lost)
    !! One more term of a sum, with the rounding error of the addition (Knuth).
    integer, intent(in) :: n  !! tiles
    real(wp), intent(in) :: value(n)  !! to add
    real(wp), intent(inout) :: total(n)  !! sum
    real(wp), intent(inout) :: lost(n)  !! errors so far
    real(wp) :: new, part
    integer :: i

    do i = 1, n
      new = total(i) + value(i)
      part = new - total(i)
      lost(i) = lost(i) + ((total(i) - (new - part)) + (value(i) - part))
      total(i) = new
    end do
  end subroutine add_exactly
end module concerto_step_slow
