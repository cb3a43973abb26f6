module concerto_snow
  !! The snow pack: phase of precipitation, accumulation, melt, percolation and refreezing, compaction, layering,
  !! cover, albedo. Conduction through the pack is `ground_heat` of module concerto_heat.
  !!
  !! Layer n_snow lies on the soil; layers above it are used only when the pack is thick. A layer holds ice and liquid
  !! (kg m-2), thickness (m) and temperature (K); its enthalpy is (c_ice ice + c_liq liquid) (T - T_f) - L_f ice.
  !! A pack below `least_pack` is carried along without taking part in conduction; it is dissolved into the
  !! infiltration (its enthalpy goes to the first soil layer) once the soil thaws, so that no trace of snow can
  !! destabilise a step.
  !! Fluxes are amounts over the step (kg m-2, J m-2), positive downwards.
  !!
  !! Sources: Wang et al. (2019, Geophys. Res. Lett. 46, 13825) rain and snow; Anderson (1976) compaction; Yen (1981)
  !! conductivity; Niu & Yang (2007, J. Geophys. Res. 112, D21101) cover; Dickinson et al. (1993, BATS) albedo; values
  !! as in Noah-MP 5.
  use concerto_kinds, only: wp
  use concerto_constants, only: freezing_point, latent_heat_fusion, latent_heat_vaporization, heat_capacity_liquid, &
    heat_capacity_ice, heat_capacity_air, density_ice, density_water, vapour_ratio
  implicit none
  private

  public :: precipitation_phase, snow_precipitation, snow_thermal_properties, snow_hydrology, snow_remap, &
    snow_surface, snow_albedo

  real(wp), parameter :: coldest = -120.0_wp  !! snow below the freezing point, K
  real(wp), parameter :: least_pack = 0.01_wp  !! smallest pack that conducts heat and holds rain, kg m-2
  real(wp), parameter :: least_fresh_density = 50.0_wp  !! kg m-3, also the lowest density of any layer
  real(wp), parameter :: largest_fresh_density = 120.0_wp  !! kg m-3
  real(wp), parameter :: largest_density = 500.0_wp  !! to which compaction leads, kg m-3
  real(wp), parameter :: holding_capacity = 0.03_wp  !! liquid water that snow holds, m3 m-3
  real(wp), parameter :: top_thickness = 0.05_wp  !! of the first of three layers, m
  real(wp), parameter :: second_thickness = 0.20_wp  !! of the second of three layers, m
  real(wp), parameter :: tiny_amount = 1.0e-30_wp

contains

  subroutine precipitation_phase(n, air_temperature, vapour_pressure, pressure, wet_bulb, snow_share)
    !! Share of precipitation that falls as snow, smooth in the wet-bulb temperature (Wang et al. 2019). Wet bulb by
    !! four Newton steps on e_s(T_w) - gamma (T - T_w) = e over liquid water; e_s is convex: convergence from above.
    integer, intent(in) :: n  !! number of tiles
    real(wp), intent(in) :: air_temperature(n)  !! air temperature, K
    real(wp), intent(in) :: vapour_pressure(n)  !! vapour pressure of the air, Pa
    real(wp), intent(in) :: pressure(n)  !! air pressure, Pa
    real(wp), intent(out) :: wet_bulb(n)  !! wet-bulb temperature, K
    real(wp), intent(out) :: snow_share(n)  !! mass share of snow in precipitation, 0-1
    real(wp) :: t, tw, gamma, es, r
    integer :: i, pass

    do i = 1, n
      wet_bulb(i) = air_temperature(i) - freezing_point
    end do
    do pass = 1, 4
      do i = 1, n
        t = air_temperature(i) - freezing_point
        tw = wet_bulb(i)
        gamma = pressure(i) * (heat_capacity_air / (vapour_ratio * latent_heat_vaporization))
        r = 1.0_wp / (243.12_wp + tw)
        es = 611.2_wp * exp(17.62_wp * tw * r)
        wet_bulb(i) = min(t, tw - (es - gamma * (t - tw) - vapour_pressure(i)) &
          / (es * (17.62_wp * 243.12_wp) * r * r + gamma))
      end do
    end do
    do i = 1, n
      snow_share(i) = 1.0_wp / (1.0_wp + 6.99e-5_wp * exp(2.0_wp * (wet_bulb(i) + 3.97_wp)))
      wet_bulb(i) = wet_bulb(i) + freezing_point
    end do
  end subroutine precipitation_phase

  subroutine snow_precipitation(n, n_snow, snowfall, rain, air_temperature, ice, liquid, thickness, temperature, &
      rain_to_ground, rain_temperature, precipitation_heat)
    !! Add snow and rain to the uppermost layer. Snow comes at the air temperature, at most T_f, rain at least at T_f.
    !! Rain on ground without snow passes through. Layers may be thick or hold rain below T_f until the step ends.
    integer, intent(in) :: n  !! number of tiles
    integer, intent(in) :: n_snow  !! number of snow layers
    real(wp), intent(in) :: snowfall(n)  !! snow reaching the ground, kg m-2 a step
    real(wp), intent(in) :: rain(n)  !! rain and drip reaching the ground, kg m-2 a step
    real(wp), intent(in) :: air_temperature(n)  !! air temperature, K
    real(wp), intent(inout) :: ice(n, n_snow)  !! ice, kg m-2
    real(wp), intent(inout) :: liquid(n, n_snow)  !! liquid water, kg m-2
    real(wp), intent(inout) :: thickness(n, n_snow)  !! thickness, m
    real(wp), intent(inout) :: temperature(n, n_snow)  !! temperature, K
    real(wp), intent(out) :: rain_to_ground(n)  !! rain that meets no snow, kg m-2 a step
    real(wp), intent(out) :: rain_temperature(n)  !! temperature of the rain, K
    real(wp), intent(out) :: precipitation_heat(n)  !! enthalpy brought into the pack, J m-2
    !f2py intent(in,out,copy) ice, liquid, thickness, temperature
    real(wp) :: snow_left(n), rain_left(n), fresh_thickness(n), snow_heat(n), rain_heat(n)
    real(wp) :: mass, cold, warm, heat, share, added, wet, bulk, capacity
    integer :: i, k

    do i = 1, n
      snow_left(i) = snowfall(i)
    end do
    do k = 1, n_snow
      do i = 1, n
        snow_left(i) = snow_left(i) + ice(i, k) + liquid(i, k)
      end do
    end do
    do i = 1, n
      mass = snow_left(i)
      warm = rain(i)
      rain_left(i) = merge(warm, 0.0_wp, mass >= least_pack)
      rain_to_ground(i) = warm - rain_left(i)
      snow_left(i) = snowfall(i)
      cold = min(air_temperature(i) - freezing_point, 0.0_wp)
      warm = max(air_temperature(i) - freezing_point, 0.0_wp)
      rain_temperature(i) = freezing_point + warm
      fresh_thickness(i) = snowfall(i) / min(max(67.92_wp + 51.25_wp * exp((cold + warm) * (1.0_wp / 2.59_wp)), &
        least_fresh_density), largest_fresh_density)
      snow_heat(i) = snowfall(i) * (heat_capacity_ice * cold - latent_heat_fusion)
      rain_heat(i) = rain_left(i) * heat_capacity_liquid * warm
      precipitation_heat(i) = snow_heat(i) + rain_heat(i)
    end do
    do k = 1, n_snow
      do i = 1, n
        ! the uppermost layer with snow takes all; else the one on the soil
        mass = ice(i, k) + liquid(i, k)
        bulk = merge(1.0_wp, 0.0_wp, mass > 0.0_wp)
        if (k == n_snow) bulk = 1.0_wp
        added = bulk * snow_left(i)
        wet = bulk * rain_left(i)
        share = bulk * fresh_thickness(i)
        capacity = heat_capacity_ice * ice(i, k) + heat_capacity_liquid * liquid(i, k)
        heat = capacity * (temperature(i, k) - freezing_point) + bulk * (snow_heat(i) + rain_heat(i)) &
          + latent_heat_fusion * added
        ice(i, k) = ice(i, k) + added
        liquid(i, k) = liquid(i, k) + wet
        thickness(i, k) = thickness(i, k) + share
        capacity = heat_capacity_ice * ice(i, k) + heat_capacity_liquid * liquid(i, k)
        temperature(i, k) = freezing_point + heat / max(capacity, tiny_amount)
        snow_left(i) = snow_left(i) - added
        rain_left(i) = rain_left(i) - wet
        fresh_thickness(i) = fresh_thickness(i) - share
        snow_heat(i) = snow_heat(i) * (1.0_wp - bulk)
        rain_heat(i) = rain_heat(i) * (1.0_wp - bulk)
      end do
    end do
  end subroutine snow_precipitation

  subroutine snow_thermal_properties(n, n_snow, ice, liquid, thickness, capacity, conductivity)
    !! Heat capacity and conductivity (2.22 (rho/1000)^1.88, Yen 1981); capacity 0 marks a layer that does not conduct.
    integer, intent(in) :: n  !! number of tiles
    integer, intent(in) :: n_snow  !! number of snow layers
    real(wp), intent(in) :: ice(n, n_snow)  !! ice, kg m-2
    real(wp), intent(in) :: liquid(n, n_snow)  !! liquid water, kg m-2
    real(wp), intent(in) :: thickness(n, n_snow)  !! thickness, m
    real(wp), intent(out) :: capacity(n, n_snow)  !! heat capacity, J m-2 K-1
    real(wp), intent(out) :: conductivity(n, n_snow)  !! thermal conductivity, W m-1 K-1
    real(wp) :: mass, density, c
    integer :: i, k

    do k = 1, n_snow
      do i = 1, n
        mass = ice(i, k) + liquid(i, k)
        density = min(max(mass / max(thickness(i, k), 1.0e-6_wp), 10.0_wp), 917.0_wp)
        c = heat_capacity_ice * ice(i, k) + heat_capacity_liquid * liquid(i, k)
        capacity(i, k) = merge(c, 0.0_wp, mass >= least_pack)
        conductivity(i, k) = 2.22_wp * exp(1.88_wp * log(density * 1.0e-3_wp))
      end do
    end do
  end subroutine snow_thermal_properties

  subroutine snow_hydrology(n, n_snow, dt, soil_temperature, sublimation, ice, liquid, thickness, temperature, &
      outflow, outflow_temperature, outflow_heat, heat_to_soil, unmet_sublimation, snow_melt)
    !! After conduction: sublimation or frost, then from the top down melt or refreezing, percolation and compaction.
    !! Sublimation takes ice from the top (the surface balance paid L_s; the sensible heat of that ice stays).
    !! Temperature and ice of each layer follow from its enthalpy and mass. Liquid above the holding capacity moves on
    !! at the temperature of the layer. A trace of snow on thawed soil is dissolved.
    integer, intent(in) :: n  !! number of tiles
    integer, intent(in) :: n_snow  !! number of snow layers
    real(wp), intent(in) :: dt  !! time step, s
    real(wp), intent(in) :: soil_temperature(n)  !! temperature of the first soil layer, K
    real(wp), intent(in) :: sublimation(n)  !! ice lost to the air, negative for frost, kg m-2 a step
    real(wp), intent(inout) :: ice(n, n_snow)  !! ice, kg m-2
    real(wp), intent(inout) :: liquid(n, n_snow)  !! liquid water, kg m-2
    real(wp), intent(inout) :: thickness(n, n_snow)  !! thickness, m
    real(wp), intent(inout) :: temperature(n, n_snow)  !! temperature, K
    real(wp), intent(out) :: outflow(n)  !! liquid leaving the pack at its base, kg m-2 a step
    real(wp), intent(out) :: outflow_temperature(n)  !! temperature of the outflow, K
    real(wp), intent(out) :: outflow_heat(n)  !! its enthalpy, J m-2
    real(wp), intent(out) :: heat_to_soil(n)  !! enthalpy handed to the first soil layer, J m-2
    real(wp), intent(out) :: unmet_sublimation(n)  !! part of `sublimation` the pack could not exchange, kg m-2 a step
    real(wp), intent(out) :: snow_melt(n)  !! ice melted less water refrozen, kg m-2 a step
    !f2py intent(in,out,copy) ice, liquid, thickness, temperature
    real(wp), parameter :: lf = latent_heat_fusion, ci = heat_capacity_ice, cl = heat_capacity_liquid
    real(wp) :: flow(n), flow_heat(n), load(n), pack(n), pack_heat(n)
    real(wp) :: solid, water, mass, warmth, heat, take, kept, demand, dry, new_solid, hold, drain, dz, capacity
    real(wp) :: rate, cold, active, density, snow_load, gone
    integer :: i, k

    do i = 1, n
      flow(i) = 0.0_wp
      flow_heat(i) = 0.0_wp
      load(i) = 0.0_wp
      pack(i) = 0.0_wp
      pack_heat(i) = 0.0_wp
      heat_to_soil(i) = 0.0_wp
      snow_melt(i) = 0.0_wp
      unmet_sublimation(i) = sublimation(i)
    end do
    do k = 1, n_snow
      do i = 1, n
        solid = ice(i, k)
        water = liquid(i, k)
        active = merge(1.0_wp, 0.0_wp, solid + water >= least_pack)
        warmth = temperature(i, k) - freezing_point
        heat = (ci * solid + cl * water) * warmth - lf * solid
        ! vapour: the sensible heat of the ice taken stays in the layer, or goes to the soil if little of it is left
        demand = unmet_sublimation(i)
        take = active * min(demand, solid)
        unmet_sublimation(i) = demand - take
        dry = solid - take
        kept = min(max(2.0_wp * (dry + water) / max(solid + water, tiny_amount) - 1.0_wp, 0.0_wp), 1.0_wp)
        kept = (1.0_wp - kept) * ci * take * warmth
        heat_to_soil(i) = heat_to_soil(i) + kept
        heat = heat + lf * take - kept + flow_heat(i)
        ! melt or refreeze
        mass = dry + water + flow(i)
        new_solid = max(0.0_wp, min(mass, -heat * (1.0_wp / lf)))
        capacity = ci * new_solid + cl * (mass - new_solid)
        warmth = (heat + lf * new_solid) / max(capacity, tiny_amount)
        ! in a trace left by sublimation the rounding of the heat before it is a large temperature: the soil takes it
        cold = max(warmth, coldest)
        heat_to_soil(i) = heat_to_soil(i) + (warmth - cold) * capacity
        warmth = cold
        snow_melt(i) = snow_melt(i) + (dry - new_solid)
        ! melt and sublimation thin the layer, refreezing fills it
        dz = thickness(i, k) * min(dry, new_solid) / max(solid, tiny_amount)
        dz = max(dz, new_solid * (1.0_wp / density_ice))
        ! liquid above the holding capacity drains
        water = mass - new_solid
        hold = min(holding_capacity * dz, dz - new_solid * (1.0_wp / density_ice)) * density_water
        drain = max(0.0_wp, water - max(hold, 0.0_wp))
        water = water - drain
        flow(i) = drain
        flow_heat(i) = cl * drain * warmth
        ! compaction by ageing (double when wet) and by load
        mass = new_solid + water
        density = new_solid / max(dz, 1.0e-9_wp)
        cold = max(-warmth, 0.0_wp)
        gone = merge(2.0_wp, 1.0_wp, water > 0.01_wp * mass)
        rate = gone * 2.5e-6_wp * exp(-0.04_wp * cold - 0.046_wp * max(0.0_wp, density - 100.0_wp))
        snow_load = load(i) + 0.5_wp * mass
        rate = rate + snow_load * exp(-0.08_wp * cold - 0.021_wp * density) * (1.0_wp / 1.33e6_wp)
        load(i) = load(i) + mass
        dz = max(min(dz, mass * (1.0_wp / largest_density)), dz * max(0.5_wp, 1.0_wp - rate * dt))
        dz = min(dz, mass * (1.0_wp / least_fresh_density))
        warmth = merge(warmth, 0.0_wp, mass > 0.0_wp)
        ice(i, k) = new_solid
        liquid(i, k) = water
        thickness(i, k) = dz
        temperature(i, k) = freezing_point + warmth
        pack(i) = pack(i) + mass
        pack_heat(i) = pack_heat(i) + (ci * new_solid + cl * water) * warmth - lf * new_solid
      end do
    end do
    do i = 1, n
      mass = pack(i)
      warmth = soil_temperature(i)
      gone = merge(1.0_wp, 0.0_wp, mass < least_pack .and. warmth > freezing_point)
      flow(i) = flow(i) + gone * mass
      snow_melt(i) = snow_melt(i) + gone * mass
      heat_to_soil(i) = heat_to_soil(i) + gone * pack_heat(i)
      pack(i) = 1.0_wp - gone
      outflow(i) = flow(i)
      outflow_heat(i) = flow_heat(i)
      outflow_temperature(i) = freezing_point + flow_heat(i) / max(cl * flow(i), tiny_amount)
    end do
    do k = 1, n_snow
      do i = 1, n
        ice(i, k) = pack(i) * ice(i, k)
        liquid(i, k) = pack(i) * liquid(i, k)
        thickness(i, k) = pack(i) * thickness(i, k)
        temperature(i, k) = freezing_point + pack(i) * (temperature(i, k) - freezing_point)
      end do
    end do
  end subroutine snow_hydrology

  subroutine snow_remap(n, n_snow, ice, liquid, thickness, temperature)
    !! Layers as a function of depth: one up to 0.05 m; two, the upper one of at most 0.05 m, up to 0.25 m; then three,
    !! the second of at most 0.20 m. Ice, liquid and enthalpy move with the overlap of old and new layers.
    !! With n_snow = 1 or 2 the lower ones are merged.
    integer, intent(in) :: n  !! number of tiles
    integer, intent(in) :: n_snow  !! number of snow layers, 1-3
    real(wp), intent(inout) :: ice(n, n_snow)  !! ice, kg m-2
    real(wp), intent(inout) :: liquid(n, n_snow)  !! liquid water, kg m-2
    real(wp), intent(inout) :: thickness(n, n_snow)  !! thickness, m
    real(wp), intent(inout) :: temperature(n, n_snow)  !! temperature, K
    !f2py intent(in,out,copy) ice, liquid, thickness, temperature
    real(wp) :: old_edge(n, 0:n_snow), new_edge(n, 0:n_snow), per_thickness(n, n_snow), sensible(n, n_snow)
    real(wp) :: new_ice(n, n_snow), new_liquid(n, n_snow), new_sensible(n, n_snow)
    real(wp) :: depth, two, three, top, middle, share, d, capacity
    integer :: i, j, k

    do i = 1, n
      old_edge(i, 0) = 0.0_wp
    end do
    do k = 1, n_snow
      do i = 1, n
        old_edge(i, k) = old_edge(i, k - 1) + thickness(i, k)
        ! thickness as the edges have it, so that the shares add up to one
        d = old_edge(i, k) - old_edge(i, k - 1)
        ! a layer too thin to have edges is given to the lowest one as a whole
        two = merge(1.0_wp, 0.0_wp, d > 1.0e-9_wp)
        per_thickness(i, k) = two / max(d, 1.0e-9_wp)
        sensible(i, k) = (heat_capacity_ice * ice(i, k) + heat_capacity_liquid * liquid(i, k)) &
          * (temperature(i, k) - freezing_point)
      end do
    end do
    do k = 0, n_snow
      do i = 1, n
        depth = old_edge(i, n_snow)
        two = merge(1.0_wp, 0.0_wp, depth > top_thickness)
        three = merge(1.0_wp, 0.0_wp, depth > top_thickness + second_thickness)
        if (n_snow < 2) two = 0.0_wp
        if (n_snow < 3) three = 0.0_wp
        top = two * min(top_thickness, 0.5_wp * depth)
        middle = three * min(second_thickness, 0.5_wp * (depth - top))
        d = 0.0_wp
        if (k == n_snow) d = depth
        if (k == n_snow - 1) d = top + middle
        if (k == n_snow - 2) d = three * top
        new_edge(i, k) = d
      end do
    end do
    do k = 1, n_snow
      do i = 1, n
        new_ice(i, k) = 0.0_wp
        new_liquid(i, k) = 0.0_wp
        new_sensible(i, k) = 0.0_wp
        thickness(i, k) = new_edge(i, k) - new_edge(i, k - 1)
      end do
      do j = 1, n_snow
        do i = 1, n
          share = max(0.0_wp, min(new_edge(i, k), old_edge(i, j)) - max(new_edge(i, k - 1), old_edge(i, j - 1))) &
            * per_thickness(i, j)
          d = per_thickness(i, j)
          two = merge(0.0_wp, 1.0_wp, d > 0.0_wp)
          if (k == n_snow) share = share + two
          new_ice(i, k) = new_ice(i, k) + share * ice(i, j)
          new_liquid(i, k) = new_liquid(i, k) + share * liquid(i, j)
          new_sensible(i, k) = new_sensible(i, k) + share * sensible(i, j)
        end do
      end do
    end do
    do k = 1, n_snow
      do i = 1, n
        capacity = heat_capacity_ice * new_ice(i, k) + heat_capacity_liquid * new_liquid(i, k)
        ice(i, k) = new_ice(i, k)
        liquid(i, k) = new_liquid(i, k)
        temperature(i, k) = freezing_point + new_sensible(i, k) / max(capacity, tiny_amount)
      end do
    end do
  end subroutine snow_remap

  subroutine snow_surface(n, n_snow, cover_scale, cover_exponent, canopy_bottom, canopy_top, ice, liquid, thickness, &
      depth, water_equivalent, cover, buried)
    !! What the canopy and the surface need to know of the pack. Cover: tanh(depth / (s (rho/100)^m)), Niu & Yang 2007.
    !! Short vegetation has canopy_bottom 0 and canopy_top 0.2 m.
    integer, intent(in) :: n  !! number of tiles
    integer, intent(in) :: n_snow  !! number of snow layers
    real(wp), intent(in) :: cover_scale(n)  !! roughness scale s, m
    real(wp), intent(in) :: cover_exponent(n)  !! exponent m, -
    real(wp), intent(in) :: canopy_bottom(n)  !! height at which burial begins, m
    real(wp), intent(in) :: canopy_top(n)  !! height at which all is buried, m
    real(wp), intent(in) :: ice(n, n_snow)  !! ice, kg m-2
    real(wp), intent(in) :: liquid(n, n_snow)  !! liquid water, kg m-2
    real(wp), intent(in) :: thickness(n, n_snow)  !! thickness, m
    real(wp), intent(out) :: depth(n)  !! snow depth, m
    real(wp), intent(out) :: water_equivalent(n)  !! mass of the pack, kg m-2
    real(wp), intent(out) :: cover(n)  !! share of ground covered, 0-1
    real(wp), intent(out) :: buried(n)  !! share of leaves and stems under snow, 0-1
    real(wp) :: density
    integer :: i, k

    do i = 1, n
      depth(i) = 0.0_wp
      water_equivalent(i) = 0.0_wp
    end do
    do k = 1, n_snow
      do i = 1, n
        depth(i) = depth(i) + thickness(i, k)
        water_equivalent(i) = water_equivalent(i) + ice(i, k) + liquid(i, k)
      end do
    end do
    do i = 1, n
      density = min(max(water_equivalent(i) / max(depth(i), 1.0e-6_wp), least_fresh_density), density_ice)
      cover(i) = tanh(depth(i) * exp(-cover_exponent(i) * log(0.01_wp * density)) / cover_scale(i))
      buried(i) = (depth(i) - canopy_bottom(i)) / max(canopy_top(i) - canopy_bottom(i), 1.0e-3_wp)
      buried(i) = max(0.0_wp, min(1.0_wp, buried(i)))
    end do
  end subroutine snow_surface

  subroutine snow_albedo(n, dt, snowfall, water_equivalent, ground_temperature, cosine_zenith, age, visible_direct, &
      visible_diffuse, infrared_direct, infrared_diffuse)
    !! Ageing and albedo of the snow surface (BATS). Snow of 1 kg m-2 in a step renews the surface; no snow, no age.
    integer, intent(in) :: n  !! number of tiles
    real(wp), intent(in) :: dt  !! time step, s
    real(wp), intent(in) :: snowfall(n)  !! snow reaching the ground, kg m-2 a step
    real(wp), intent(in) :: water_equivalent(n)  !! mass of the pack, kg m-2
    real(wp), intent(in) :: ground_temperature(n)  !! skin temperature, K
    real(wp), intent(in) :: cosine_zenith(n)  !! cosine of the solar zenith angle, -
    real(wp), intent(inout) :: age(n)  !! dimensionless age of the surface, -
    real(wp), intent(out) :: visible_direct(n)  !! albedo, visible beam, -
    real(wp), intent(out) :: visible_diffuse(n)  !! albedo, visible diffuse, -
    real(wp), intent(out) :: infrared_direct(n)  !! albedo, near-infrared beam, -
    real(wp), intent(out) :: infrared_diffuse(n)  !! albedo, near-infrared diffuse, -
    !f2py intent(in,out,copy) age
    real(wp) :: growth, power, fresh, old, slant, mass
    integer :: i

    do i = 1, n
      growth = exp(5000.0_wp * (1.0_wp / freezing_point - 1.0_wp / max(ground_temperature(i), 150.0_wp)))
      growth = min(growth, 10.0_wp)
      power = growth * growth
      power = power * power * growth
      power = min(1.0_wp, power * power)
      fresh = max(0.0_wp, 1.0_wp - snowfall(i))
      old = fresh * (age(i) + dt * 1.0e-6_wp * (growth + power + 0.3_wp))
      mass = water_equivalent(i)
      age(i) = merge(old, 0.0_wp, mass > 0.0_wp)
      old = age(i) / (1.0_wp + age(i))
      slant = max(0.0_wp, 1.5_wp / (1.0_wp + 4.0_wp * max(cosine_zenith(i), 0.0_wp)) - 0.5_wp)
      visible_diffuse(i) = 0.95_wp * (1.0_wp - 0.2_wp * old)
      infrared_diffuse(i) = 0.65_wp * (1.0_wp - 0.5_wp * old)
      visible_direct(i) = visible_diffuse(i) + 0.4_wp * slant * (1.0_wp - visible_diffuse(i))
      infrared_direct(i) = infrared_diffuse(i) + 0.4_wp * slant * (1.0_wp - infrared_diffuse(i))
    end do
  end subroutine snow_albedo

end module concerto_snow
