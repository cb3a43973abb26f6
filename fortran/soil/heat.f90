module concerto_heat
  !! Heat in the ground: thermal properties of soil, implicit conduction through snow and soil under a massless skin,
  !! freezing and thawing of soil water, and the heat carried by moving water.
  !!
  !! Enthalpy (J m-2) counts from liquid water at the freezing point: a layer holds
  !! capacity (T - T_f) - L_f ice, capacity = dry + c_liq liquid + c_ice ice (J m-2 K-1).
  !! A step is: conduction with masses fixed (`ground_heat`), phase change (`phase_change`), and, after the water has
  !! moved, advection (`advect_heat`). Each computes fluxes first and states from them: budgets close to round-off.
  !! Soil water and ice (as liquid equivalent) are m3 m-3, snow is kg m-2 per layer. Fluxes are positive downwards and
  !! layer 1 is the top. Soil parameters are one value per tile.
  !!
  !! Sources: Farouki (1981) and Peters-Lidard et al. (1998, J. Atmos. Sci. 55, 1209) for conductivity; Niu & Yang
  !! (2006, J. Hydrometeorol. 7, 937) for supercooled water.
  use concerto_kinds, only: wp
  use concerto_constants, only: freezing_point, latent_heat_fusion, heat_capacity_liquid, heat_capacity_ice, &
    density_water, gravity, conductivity_water, conductivity_ice
  use concerto_solvers, only: tridiagonal
  implicit none
  private

  public :: soil_thermal_parameters, soil_thermal_properties, ground_heat, phase_change, advect_heat, column_enthalpy

  integer, parameter :: lanes = 16  !! gathered tiles fill whole vectors, so that every tile meets the same vector code
  real(wp), parameter :: solid_heat_capacity = 2.0e6_wp  !! of soil solids, J m-3 K-1
  real(wp), parameter :: solid_density = 2700.0_wp  !! of soil solids, kg m-3
  real(wp), parameter :: volumetric_liquid = density_water * heat_capacity_liquid  !! J m-3 K-1
  real(wp), parameter :: volumetric_ice = density_water * heat_capacity_ice  !! per liquid volume, J m-3 K-1
  real(wp), parameter :: volumetric_fusion = density_water * latent_heat_fusion  !! J m-3

contains

  subroutine soil_thermal_parameters(n, theta_sat, quartz, van_genuchten_alpha, van_genuchten_n, dry_capacity, &
      dry_conductivity, log_solid_conductivity, freezing_exponent, freezing_entry)
    !! Constants of the soil that the fast routines need; called once per soil.
    !! Clapp-Hornberger equivalents of the retention curve: 1/B = n - 1, psi_sat = 1/alpha.
    !! The heat capacity of air in the pores is left out: it would make the dry enthalpy depend on the water.
    integer, intent(in) :: n  !! number of tiles
    real(wp), intent(in) :: theta_sat(n)  !! pore space, m3 m-3
    real(wp), intent(in) :: quartz(n)  !! share of quartz in the solids, 0-1
    real(wp), intent(in) :: van_genuchten_alpha(n)  !! van Genuchten alpha, m-1
    real(wp), intent(in) :: van_genuchten_n(n)  !! van Genuchten n, > 1
    real(wp), intent(out) :: dry_capacity(n)  !! heat capacity of the soil without water, J m-3 K-1
    real(wp), intent(out) :: dry_conductivity(n)  !! thermal conductivity of dry soil, W m-1 K-1
    real(wp), intent(out) :: log_solid_conductivity(n)  !! (1 - theta_sat) ln(conductivity of solids / W m-1 K-1)
    real(wp), intent(out) :: freezing_exponent(n)  !! 1/B of the freezing curve, -
    real(wp), intent(out) :: freezing_entry(n)  !! depression at which saturated soil begins to freeze, K
    real(wp) :: density
    integer :: i

    do i = 1, n
      density = solid_density * (1.0_wp - theta_sat(i))
      dry_capacity(i) = (1.0_wp - theta_sat(i)) * solid_heat_capacity
      dry_conductivity(i) = (0.135_wp * density + 64.7_wp) / (2700.0_wp - 0.947_wp * density)
      log_solid_conductivity(i) = (1.0_wp - theta_sat(i)) &
        * (quartz(i) * log(7.7_wp) + (1.0_wp - quartz(i)) * log(2.0_wp))
      freezing_exponent(i) = van_genuchten_n(i) - 1.0_wp
      freezing_entry(i) = gravity * freezing_point / (latent_heat_fusion * van_genuchten_alpha(i))
    end do
  end subroutine soil_thermal_parameters

  subroutine soil_thermal_properties(n, n_soil, layer_thickness, theta_sat, dry_capacity, dry_conductivity, &
      log_solid_conductivity, liquid, ice, capacity, conductivity)
    !! Heat capacity and conductivity of the soil layers from their water. The Kersten number goes from its unfrozen
    !! (log10 S + 1) to its frozen form (S) with the share of ice, so that freezing makes no jump.
    integer, intent(in) :: n  !! number of tiles
    integer, intent(in) :: n_soil  !! number of soil layers
    real(wp), intent(in) :: layer_thickness(n_soil)  !! thickness of the soil layers, m
    real(wp), intent(in) :: theta_sat(n)  !! pore space, m3 m-3
    real(wp), intent(in) :: dry_capacity(n)  !! heat capacity of the soil without water, J m-3 K-1
    real(wp), intent(in) :: dry_conductivity(n)  !! thermal conductivity of dry soil, W m-1 K-1
    real(wp), intent(in) :: log_solid_conductivity(n)  !! from `soil_thermal_parameters`, -
    real(wp), intent(in) :: liquid(n, n_soil)  !! liquid water, m3 m-3
    real(wp), intent(in) :: ice(n, n_soil)  !! ice as liquid equivalent, m3 m-3
    real(wp), intent(out) :: capacity(n, n_soil)  !! heat capacity of the layer, J m-2 K-1
    real(wp), intent(out) :: conductivity(n, n_soil)  !! thermal conductivity, W m-1 K-1
    real(wp), parameter :: log_water = log(conductivity_water), log_ice = log(conductivity_ice)
    real(wp), parameter :: per_ln10 = 1.0_wp / log(10.0_wp)
    real(wp) :: water, reciprocal, saturation, unfrozen, kersten, saturated
    integer :: i, k

    do k = 1, n_soil
      do i = 1, n
        water = max(liquid(i, k) + ice(i, k), 1.0e-14_wp)
        reciprocal = 1.0_wp / (water * theta_sat(i))
        saturation = min(water * water * reciprocal, 1.0_wp)
        unfrozen = min(liquid(i, k) * theta_sat(i) * reciprocal, 1.0_wp)
        kersten = unfrozen * (log(max(saturation, 0.1_wp)) * per_ln10 + 1.0_wp) + (1.0_wp - unfrozen) * saturation
        saturated = exp(log_solid_conductivity(i) + theta_sat(i) * (log_ice + unfrozen * (log_water - log_ice)))
        capacity(i, k) = layer_thickness(k) * (dry_capacity(i) + volumetric_liquid * liquid(i, k) &
          + volumetric_ice * ice(i, k))
        conductivity(i, k) = dry_conductivity(i) + kersten * (saturated - dry_conductivity(i))
      end do
    end do
  end subroutine soil_thermal_properties

  subroutine ground_heat(n, n_snow, n_soil, dt, layer_thickness, freezing_exponent, flux, flux_slope, &
      reference_temperature, snow_ice, snow_thickness, snow_capacity, snow_conductivity, soil_liquid, soil_ice, &
      soil_capacity, soil_conductivity, snow_temperature, soil_temperature, ground_temperature, ground_heat_flux)
    !! Backward-Euler conduction through snow and soil. On top sits a massless skin at T_g which receives
    !! F(T_g) = flux + flux_slope (T_g - reference_temperature) from above and gives it to the first layer:
    !! F(T_g) = k (T_g - T_1) + M. The melt term M is zero while T_g < T_f; over snow it takes what holds T_g at T_f,
    !! up to the latent heat of the whole pack in this step, beyond which T_g rises again. Without snow M = 0.
    !! The elimination runs from the bottom up, so that the skin is decided exactly on one scalar relation.
    !! Snow layers with zero capacity are skipped; the active ones lie directly on the soil. The bottom is insulated.
    !! Freezing soil resists a change of temperature by its latent heat. A first pass without it bounds the change of
    !! each layer; a second one adds the latent heat per kelvin of partly frozen layers as a secant over that change,
    !! estimated low (p = 1/B, x = T_f - T): cooling p liquid / (x + (1 + p) change), warming min(p liquid / x,
    !! ice / change). Estimated high, the fluxes could carry a layer beyond the temperatures that drive them.
    !! Temperatures may pass T_f here; `phase_change` and `snow_hydrology` turn the excess into phase change.
    integer, intent(in) :: n  !! number of tiles
    integer, intent(in) :: n_snow  !! number of snow layers
    integer, intent(in) :: n_soil  !! number of soil layers
    real(wp), intent(in) :: dt  !! time step, s
    real(wp), intent(in) :: layer_thickness(n_soil)  !! thickness of the soil layers, m
    real(wp), intent(in) :: freezing_exponent(n)  !! 1/B; 0: plain capacity; 1e6 if all water freezes at T_f, -
    real(wp), intent(in) :: flux(n)  !! heat flux into the ground at the reference temperature, W m-2
    real(wp), intent(in) :: flux_slope(n)  !! its derivative with respect to T_g, <= 0, W m-2 K-1
    real(wp), intent(in) :: reference_temperature(n)  !! skin temperature for which `flux` holds, K
    real(wp), intent(in) :: snow_ice(n, n_snow)  !! ice of the snow layers, kg m-2
    real(wp), intent(in) :: snow_thickness(n, n_snow)  !! thickness of the snow layers, m
    real(wp), intent(in) :: snow_capacity(n, n_snow)  !! heat capacity of the snow layers, 0 if inactive, J m-2 K-1
    real(wp), intent(in) :: snow_conductivity(n, n_snow)  !! thermal conductivity of the snow layers, W m-1 K-1
    real(wp), intent(in) :: soil_liquid(n, n_soil)  !! liquid water of the soil layers, m3 m-3
    real(wp), intent(in) :: soil_ice(n, n_soil)  !! ice of the soil layers as liquid equivalent, m3 m-3
    real(wp), intent(in) :: soil_capacity(n, n_soil)  !! heat capacity of the soil layers, J m-2 K-1
    real(wp), intent(in) :: soil_conductivity(n, n_soil)  !! thermal conductivity of the soil layers, W m-1 K-1
    real(wp), intent(inout) :: snow_temperature(n, n_snow)  !! temperature of the snow layers, K
    real(wp), intent(inout) :: soil_temperature(n, n_soil)  !! temperature of the soil layers, K
    real(wp), intent(out) :: ground_temperature(n)  !! skin temperature at the end of the step, K
    real(wp), intent(out) :: ground_heat_flux(n)  !! heat flux into the ground, = F(T_g), W m-2
    !f2py intent(in,out,copy) snow_temperature, soil_temperature
    real(wp) :: conductance(n, n_snow + n_soil)  ! with the layer above, W m-2 K-1; 0 for the uppermost
    real(wp) :: inverse(n, n_snow + n_soil)  ! reciprocal pivot of the layer
    real(wp) :: source(n, n_snow + n_soil)  ! right-hand side of the layer, old flux from above included
    real(wp) :: old_flux(n, n_snow + n_soil)  ! flux from the layer above at old temperatures, W m-2
    real(wp) :: inertia(n, n_soil)  ! capacity with latent heat, W m-2 K-1
    real(wp) :: change(n, 0:n_snow + n_soil)  ! of temperature, K
    real(wp) :: heat_flux(n, 0:n_snow + n_soil)  ! through the bottom of the layer, W m-2; 0: the surface
    real(wp) :: pivot(n), below(n), top_temperature(n), top_conductivity(n), top_thickness(n), melt(n)
    real(wp) :: per_dt, g, e, r, s, skin, t_free, t_melt, k_skin, share, from_skin, full_melt
    real(wp) :: absent, active, thickness, lambda, above, x, d, cooling, warming, p
    integer :: i, k, j, pass

    per_dt = 1.0_wp / dt
    do k = 1, n_soil
      do i = 1, n
        inertia(i, k) = soil_capacity(i, k) * per_dt
      end do
    end do
    do pass = 1, 2
      ! A layer obeys (pivot) dT = below + flux from above; both are carried upwards.
      do i = 1, n
        pivot(i) = inertia(i, n_soil)
        below(i) = 0.0_wp
      end do
      do k = n_soil - 1, 1, -1
        j = n_snow + k + 1
        do i = 1, n
          g = 2.0_wp * soil_conductivity(i, k) * soil_conductivity(i, k + 1) &
            / (soil_conductivity(i, k + 1) * layer_thickness(k) + soil_conductivity(i, k) * layer_thickness(k + 1))
          e = g * (soil_temperature(i, k) - soil_temperature(i, k + 1))
          r = 1.0_wp / (pivot(i) + g)
          s = pivot(i) * r
          conductance(i, j) = g
          old_flux(i, j) = e
          inverse(i, j) = r
          source(i, j) = below(i) + e
          below(i) = g * r * below(i) - s * e
          pivot(i) = inertia(i, k) + s * g
        end do
      end do
      do i = 1, n
        top_temperature(i) = soil_temperature(i, 1)
        top_conductivity(i) = soil_conductivity(i, 1)
        top_thickness(i) = layer_thickness(1)
        melt(i) = 0.0_wp
      end do
      do k = n_snow, 1, -1
        j = k + 1
        do i = 1, n
          ! products with 1 or 0 instead of selections, which do not vectorise everywhere
          active = merge(1.0_wp, 0.0_wp, snow_capacity(i, k) > 0.0_wp)
          absent = 1.0_wp - active
          thickness = active * snow_thickness(i, k) + absent
          lambda = active * snow_conductivity(i, k) + absent
          above = snow_temperature(i, k)
          g = active * 2.0_wp * lambda * top_conductivity(i) &
            / (thickness * top_conductivity(i) + top_thickness(i) * lambda)
          e = g * (above - top_temperature(i))
          r = 1.0_wp / (pivot(i) + g)
          s = pivot(i) * r
          conductance(i, j) = g
          old_flux(i, j) = e
          inverse(i, j) = r
          source(i, j) = below(i) + e
          ! an inactive layer leaves the row below it on top
          below(i) = g * r * below(i) - s * e + absent * below(i)
          pivot(i) = snow_capacity(i, k) * per_dt * active + s * g + absent * pivot(i)
          top_temperature(i) = active * above + absent * top_temperature(i)
          top_conductivity(i) = active * lambda + absent * top_conductivity(i)
          top_thickness(i) = active * thickness + absent * top_thickness(i)
          melt(i) = melt(i) + active * snow_ice(i, k) * (latent_heat_fusion * per_dt)
        end do
      end do

      do i = 1, n
        k_skin = 2.0_wp * top_conductivity(i) / top_thickness(i)
        share = 1.0_wp / (k_skin - flux_slope(i))
        from_skin = flux(i) + flux_slope(i) * (top_temperature(i) - reference_temperature(i))
        ! change of the first layer per unit of heat, skin eliminated; and the skin for no melt and for full melt
        s = k_skin * share
        r = 1.0_wp / (pivot(i) - s * flux_slope(i))
        t_free = top_temperature(i) + share * (from_skin + k_skin * r * (below(i) + s * from_skin))
        full_melt = from_skin - melt(i)
        t_melt = top_temperature(i) + share * (full_melt + k_skin * r * (below(i) + s * full_melt))
        skin = min(t_free, max(freezing_point, t_melt))
        change(i, 0) = (below(i) + k_skin * (skin - top_temperature(i))) / (pivot(i) + k_skin)
        ground_temperature(i) = skin
        heat_flux(i, 0) = flux(i) + flux_slope(i) * (skin - reference_temperature(i))
      end do

      ! Downwards: changes of temperature and the fluxes between layers. An inactive layer hands both on.
      do k = 1, n_snow
        j = k + 1
        do i = 1, n
          active = merge(1.0_wp, 0.0_wp, snow_capacity(i, k) > 0.0_wp)
          d = change(i, k - 1)
          r = inverse(i, j) * (source(i, j) + conductance(i, j) * d)
          e = old_flux(i, j) + conductance(i, j) * (d - r)
          s = heat_flux(i, k - 1)
          change(i, k) = active * r + (1.0_wp - active) * d
          heat_flux(i, k) = active * e + (1.0_wp - active) * s
        end do
      end do
      do k = 1, n_soil - 1
        j = n_snow + k
        do i = 1, n
          d = change(i, j - 1)
          r = inverse(i, j + 1) * (source(i, j + 1) + conductance(i, j + 1) * d)
          change(i, j) = r
          heat_flux(i, j) = old_flux(i, j + 1) + conductance(i, j + 1) * (d - r)
        end do
      end do

      if (pass == 1) then
        do k = 1, n_soil
          j = n_snow + k - 1
          do i = 1, n
            d = change(i, j)
            x = max(freezing_point - soil_temperature(i, k), 1.0e-6_wp)
            p = freezing_exponent(i)
            cooling = p * soil_liquid(i, k) / (x + (1.0_wp + p) * max(-d, 1.0e-6_wp))
            warming = min(p * soil_liquid(i, k) / x, soil_ice(i, k) / max(d, 1.0e-6_wp))
            s = merge(cooling, warming, d < 0.0_wp)
            e = soil_ice(i, k)
            s = merge(s, 0.0_wp, e > 0.0_wp)
            inertia(i, k) = inertia(i, k) + (layer_thickness(k) * volumetric_fusion * per_dt) * s
          end do
        end do
      end if
    end do

    ! The fluxes give the new temperatures.
    do i = 1, n
      ground_heat_flux(i) = heat_flux(i, 0)
      heat_flux(i, n_snow + n_soil) = 0.0_wp
    end do
    do k = 1, n_snow
      do i = 1, n
        active = merge(1.0_wp, 0.0_wp, snow_capacity(i, k) > 0.0_wp)
        thickness = snow_capacity(i, k)
        thickness = merge(thickness, 1.0_wp, active > 0.5_wp)
        snow_temperature(i, k) = snow_temperature(i, k) &
          + active * dt * (heat_flux(i, k - 1) - heat_flux(i, k)) / thickness
      end do
    end do
    do k = 1, n_soil
      j = n_snow + k
      do i = 1, n
        soil_temperature(i, k) = soil_temperature(i, k) &
          + dt * (heat_flux(i, j - 1) - heat_flux(i, j)) / soil_capacity(i, k)
      end do
    end do
  end subroutine ground_heat

  subroutine phase_change(n, n_soil, supercooling, layer_thickness, theta_sat, freezing_exponent, freezing_entry, &
      dry_capacity, top_heat, liquid, ice, temperature)
    !! Freezing and thawing: temperature and ice of each soil layer from its enthalpy and its total water, both kept.
    !! With supercooling liquid water follows theta_sat ((T_f - T) / freezing_entry)^(-1/B) (Niu & Yang, with T_f for T
    !! in the denominator). The search starts on that curve at the present liquid water and makes two Newton steps;
    !! whatever distance from the curve remains, ice and temperature satisfy the enthalpy exactly.
    integer, intent(in) :: n  !! number of tiles
    integer, intent(in) :: n_soil  !! number of soil layers
    integer, intent(in) :: supercooling  !! 1: liquid water below T_f; 0: all water freezes at T_f
    real(wp), intent(in) :: layer_thickness(n_soil)  !! thickness of the soil layers, m
    real(wp), intent(in) :: theta_sat(n)  !! pore space, m3 m-3
    real(wp), intent(in) :: freezing_exponent(n)  !! 1/B, -
    real(wp), intent(in) :: freezing_entry(n)  !! depression at which saturated soil begins to freeze, K
    real(wp), intent(in) :: dry_capacity(n)  !! heat capacity of the soil without water, J m-3 K-1
    real(wp), intent(in) :: top_heat(n)  !! heat added to the first layer (residuals of the snow), J m-2
    real(wp), intent(inout) :: liquid(n, n_soil)  !! liquid water, m3 m-3
    real(wp), intent(inout) :: ice(n, n_soil)  !! ice as liquid equivalent, m3 m-3
    real(wp), intent(inout) :: temperature(n, n_soil)  !! temperature, K
    !f2py intent(in,out,copy) liquid, ice, temperature
    real(wp), parameter :: fusion = volumetric_fusion, per_fusion = 1.0_wp / volumetric_fusion
    real(wp), parameter :: capacity_step = volumetric_liquid - volumetric_ice
    real(wp) :: added(n), coldest(n), lacking(n, n_soil), frozen(n, n_soil)
    real(wp) :: deficit, water, base, solid
    integer :: chosen(n + lanes), i, k, count

    do i = 1, n
      added(i) = top_heat(i) / layer_thickness(1)
      coldest(i) = 0.0_wp
    end do
    if (supercooling == 0) then
      do k = 1, n_soil
        do i = 1, n
          water = liquid(i, k) + ice(i, k)
          base = dry_capacity(i) + volumetric_ice * water
          ! enthalpy below that of the same water liquid at T_f, J m-3
          deficit = fusion * ice(i, k) - added(i) &
            - (temperature(i, k) - freezing_point) * (base + capacity_step * liquid(i, k))
          solid = max(0.0_wp, min(water, deficit * per_fusion))
          ice(i, k) = solid
          liquid(i, k) = water - solid
          temperature(i, k) = freezing_point - (deficit - fusion * solid) / (base + capacity_step * (water - solid))
          added(i) = 0.0_wp
        end do
      end do
      return
    end if
    do k = 1, n_soil
      do i = 1, n
        base = dry_capacity(i) + volumetric_ice * (liquid(i, k) + ice(i, k))
        deficit = fusion * ice(i, k) - added(i) &
          - (temperature(i, k) - freezing_point) * (base + capacity_step * liquid(i, k))
        lacking(i, k) = deficit
        frozen(i, k) = 0.0_wp
        coldest(i) = max(coldest(i), deficit)
        added(i) = 0.0_wp
      end do
    end do
    ! Only tiles that lack heat somewhere hold ice; they are gathered to whole vectors
    count = 0
    do i = 1, n
      chosen(count + 1) = i
      if (coldest(i) > 0.0_wp) count = count + 1
    end do
    if (count == n) then
      call frozen_water(n, n_soil, theta_sat, freezing_exponent, freezing_entry, dry_capacity, lacking, liquid, &
        ice, frozen)
    else if (count > 0) then
      chosen(count + 1:) = chosen(count)
      call frozen_water_some(count, lanes * ((count + lanes - 1) / lanes))
    end if
    do k = 1, n_soil
      do i = 1, n
        deficit = lacking(i, k)
        solid = frozen(i, k)
        water = liquid(i, k) + ice(i, k)
        base = dry_capacity(i) + volumetric_ice * water
        ice(i, k) = solid
        liquid(i, k) = water - solid
        temperature(i, k) = freezing_point - (deficit - fusion * solid) / (base + capacity_step * (water - solid))
      end do
    end do

  contains

    subroutine frozen_water_some(n_open, n_some)
      !! `frozen_water` for the chosen tiles.
      integer, intent(in) :: n_open, n_some
      real(wp), dimension(n_some, 4) :: soil
      real(wp), dimension(n_some, n_soil) :: some_lacking, some_liquid, some_ice, some_frozen
      integer :: list(n_some), layer, j

      list = chosen(:n_some)
      soil(:, 1) = theta_sat(list)
      soil(:, 2) = freezing_exponent(list)
      soil(:, 3) = freezing_entry(list)
      soil(:, 4) = dry_capacity(list)
      do layer = 1, n_soil
        some_lacking(:, layer) = lacking(list, layer)
        some_liquid(:, layer) = liquid(list, layer)
        some_ice(:, layer) = ice(list, layer)
      end do
      call frozen_water(n_some, n_soil, soil(1, 1), soil(1, 2), soil(1, 3), soil(1, 4), some_lacking, some_liquid, &
        some_ice, some_frozen)
      do layer = 1, n_soil
        do j = 1, n_open
          frozen(list(j), layer) = some_frozen(j, layer)
        end do
      end do
    end subroutine frozen_water_some
  end subroutine phase_change

  subroutine frozen_water(n, n_soil, theta_sat, freezing_exponent, freezing_entry, dry_capacity, deficit, liquid, ice, &
      solid)
    !! Ice that belongs to the enthalpy of each layer, 0 where no heat is lacking.
    integer, intent(in) :: n, n_soil
    real(wp), intent(in), dimension(n) :: theta_sat, freezing_exponent, freezing_entry, dry_capacity
    real(wp), intent(in) :: deficit(n, n_soil)  ! enthalpy below that of the same water liquid at T_f, J m-3
    real(wp), intent(in), dimension(n, n_soil) :: liquid, ice
    real(wp), intent(out) :: solid(n, n_soil)
    real(wp), parameter :: fusion = volumetric_fusion, per_fusion = 1.0_wp / volumetric_fusion
    real(wp), parameter :: capacity_step = volumetric_liquid - volumetric_ice
    real(wp) :: b(n), per_entry(n)
    real(wp) :: lack, water, p, base, x, wet, capacity, amount
    integer :: i, k

    do i = 1, n
      b(i) = 1.0_wp / freezing_exponent(i)
      per_entry(i) = 1.0_wp / freezing_entry(i)
    end do
    do k = 1, n_soil
      do i = 1, n
        lack = deficit(i, k)
        water = liquid(i, k) + ice(i, k)
        base = dry_capacity(i) + volumetric_ice * water
        p = freezing_exponent(i)
        ! x = T_f - T; first point: where the curve has the present liquid water
        wet = min(max(liquid(i, k), 1.0e-3_wp * theta_sat(i)), theta_sat(i))
        x = min(freezing_entry(i) * exp(min(log(theta_sat(i) / wet) * b(i), 12.0_wp)), 80.0_wp)
        capacity = (base + capacity_step * wet) * x
        x = x - x * (capacity + fusion * (water - wet) - lack) / (capacity + p * wet * (fusion - capacity_step * x))
        x = min(max(x, freezing_entry(i)), 80.0_wp)
        wet = theta_sat(i) * exp(-p * log(x * per_entry(i)))
        capacity = (base + capacity_step * wet) * x
        x = x - x * (capacity + fusion * (water - wet) - lack) / (capacity + p * wet * (fusion - capacity_step * x))
        amount = (lack - (base + capacity_step * water) * x) / (fusion - capacity_step * x)
        solid(i, k) = max(0.0_wp, min(amount, water, lack * per_fusion))
      end do
    end do
  end subroutine frozen_water

  subroutine advect_heat(n, n_soil, layer_thickness, dry_capacity, liquid_before, liquid, ice, water_flux, &
      inflow_temperature, root_uptake, lateral_runoff, temperature, inflow_heat, outflow_heat, uptake_heat)
    !! Heat moved by soil water: implicit upwind, stable for any flux. Call after the water has moved, ice unchanged.
    !! A flux q of liquid carries c_liq q (T - T_f) of the layer it leaves (T at the end of the step); water entering
    !! at the top has `inflow_temperature`, water rising through the bottom that of the lowest layer. Evaporation is the
    !! change of liquid that no flux explains and carries nothing here (the surface balance paid for it).
    integer, intent(in) :: n  !! number of tiles
    integer, intent(in) :: n_soil  !! number of soil layers
    real(wp), intent(in) :: layer_thickness(n_soil)  !! thickness of the soil layers, m
    real(wp), intent(in) :: dry_capacity(n)  !! heat capacity of the soil without water, J m-3 K-1
    real(wp), intent(in) :: liquid_before(n, n_soil)  !! liquid water before it moved, m3 m-3
    real(wp), intent(in) :: liquid(n, n_soil)  !! liquid water after it moved, m3 m-3
    real(wp), intent(in) :: ice(n, n_soil)  !! ice as liquid equivalent, m3 m-3
    real(wp), intent(in) :: water_flux(n, n_soil + 1)  !! liquid through interfaces, kg m-2 a step
    real(wp), intent(in) :: inflow_temperature(n)  !! temperature of water entering at the top, K
    real(wp), intent(in) :: root_uptake(n, n_soil)  !! water taken by roots, kg m-2 a step
    real(wp), intent(in) :: lateral_runoff(n, n_soil)  !! water leaving sideways, kg m-2 a step
    real(wp), intent(inout) :: temperature(n, n_soil)  !! temperature, K
    real(wp), intent(out) :: inflow_heat(n)  !! heat entering through the surface with water (net), J m-2
    real(wp), intent(out) :: outflow_heat(n)  !! heat leaving with drainage and lateral runoff, J m-2
    real(wp), intent(out) :: uptake_heat(n)  !! heat leaving with root water, to be given to the canopy, J m-2
    !f2py intent(in,out,copy) temperature
    real(wp), parameter :: cl = heat_capacity_liquid
    real(wp), dimension(n, n_soil) :: lower, diagonal, upper, capacity, heat, warmth
    real(wp) :: entering(n), dry, side, taken, leaving
    integer :: i, k, next

    do k = 1, n_soil
      do i = 1, n
        dry = dry_capacity(i) + volumetric_ice * ice(i, k)
        capacity(i, k) = layer_thickness(k) * (dry + volumetric_liquid * liquid(i, k))
        heat(i, k) = (temperature(i, k) - freezing_point) * layer_thickness(k) &
          * (dry + volumetric_liquid * liquid_before(i, k))
        lower(i, k) = -cl * max(water_flux(i, k), 0.0_wp)
        upper(i, k) = cl * min(water_flux(i, k + 1), 0.0_wp)
        diagonal(i, k) = capacity(i, k) + cl * (root_uptake(i, k) + lateral_runoff(i, k) &
          - min(water_flux(i, k), 0.0_wp) + max(water_flux(i, k + 1), 0.0_wp))
      end do
    end do
    do i = 1, n
      entering(i) = -lower(i, 1) * (inflow_temperature(i) - freezing_point)
      heat(i, 1) = heat(i, 1) + entering(i)
      diagonal(i, n_soil) = diagonal(i, n_soil) + upper(i, n_soil)
    end do
    call tridiagonal(n, n_soil, lower, diagonal, upper, heat, warmth)

    do i = 1, n
      side = cl * min(water_flux(i, 1), 0.0_wp) * warmth(i, 1)
      inflow_heat(i) = entering(i) + side
      entering(i) = side  ! what enters with the inflow is already in heat(:, 1)
      outflow_heat(i) = 0.0_wp
      uptake_heat(i) = 0.0_wp
    end do
    do k = 1, n_soil
      next = min(k + 1, n_soil)
      do i = 1, n
        leaving = cl * max(water_flux(i, k + 1), 0.0_wp) * warmth(i, k) + upper(i, k) * warmth(i, next)
        taken = cl * root_uptake(i, k) * warmth(i, k)
        side = cl * lateral_runoff(i, k) * warmth(i, k)
        uptake_heat(i) = uptake_heat(i) + taken
        outflow_heat(i) = outflow_heat(i) + side
        temperature(i, k) = freezing_point + (heat(i, k) + (entering(i) - leaving) - (taken + side)) / capacity(i, k)
        entering(i) = leaving
      end do
    end do
    do i = 1, n
      outflow_heat(i) = outflow_heat(i) + entering(i)
    end do
  end subroutine advect_heat

  subroutine column_enthalpy(n, n_snow, n_soil, layer_thickness, dry_capacity, snow_ice, snow_liquid, &
      snow_temperature, soil_liquid, soil_ice, soil_temperature, enthalpy)
    !! Enthalpy of snow and soil above that of liquid water (and dry soil) at the freezing point.
    integer, intent(in) :: n  !! number of tiles
    integer, intent(in) :: n_snow  !! number of snow layers
    integer, intent(in) :: n_soil  !! number of soil layers
    real(wp), intent(in) :: layer_thickness(n_soil)  !! thickness of the soil layers, m
    real(wp), intent(in) :: dry_capacity(n)  !! heat capacity of the soil without water, J m-3 K-1
    real(wp), intent(in) :: snow_ice(n, n_snow)  !! ice of the snow layers, kg m-2
    real(wp), intent(in) :: snow_liquid(n, n_snow)  !! liquid water of the snow layers, kg m-2
    real(wp), intent(in) :: snow_temperature(n, n_snow)  !! temperature of the snow layers, K
    real(wp), intent(in) :: soil_liquid(n, n_soil)  !! liquid water of the soil layers, m3 m-3
    real(wp), intent(in) :: soil_ice(n, n_soil)  !! ice of the soil layers as liquid equivalent, m3 m-3
    real(wp), intent(in) :: soil_temperature(n, n_soil)  !! temperature of the soil layers, K
    real(wp), intent(out) :: enthalpy(n)  !! enthalpy of the column, J m-2
    real(wp) :: capacity
    integer :: i, k

    do i = 1, n
      enthalpy(i) = 0.0_wp
    end do
    do k = 1, n_snow
      do i = 1, n
        capacity = heat_capacity_liquid * snow_liquid(i, k) + heat_capacity_ice * snow_ice(i, k)
        enthalpy(i) = enthalpy(i) + capacity * (snow_temperature(i, k) - freezing_point) &
          - latent_heat_fusion * snow_ice(i, k)
      end do
    end do
    do k = 1, n_soil
      do i = 1, n
        capacity = dry_capacity(i) + volumetric_liquid * soil_liquid(i, k) + volumetric_ice * soil_ice(i, k)
        enthalpy(i) = enthalpy(i) + layer_thickness(k) &
          * (capacity * (soil_temperature(i, k) - freezing_point) - volumetric_fusion * soil_ice(i, k))
      end do
    end do
  end subroutine column_enthalpy

end module concerto_heat
