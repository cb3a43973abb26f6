module concerto_soil_nitrogen
  !! Nitrogen of the soil column: mineralisation and immobilisation (Thornton & Rosenbloom 2005), competition of
  !! plants,
  !! microbes and nitrifiers for ammonium and nitrate in every layer, nitrification, denitrification and their gases
  !! (Parton et al. 2001; Del Grosso et al. 2000, Global Biogeochem. Cycles 14:1045; as in CTSM), leaching, fixation;
  !! and the day of the layered soil, carbon and nitrogen together or carbon alone.
  !!
  !! kg N m-2 per layer and step. Litter and coarse debris carry nitrogen of their own; the soil pools active, slow and
  !! passive have carbon over their C:N, always. Organic + mineral nitrogen changes by deposition + fixation + litter -
  !! uptake - leaching - gases, to round-off.
  use concerto_kinds, only: wp
  use concerto_constants, only: density_water, freezing_point, pi, seconds_per_day, seconds_per_year
  use concerto_soil_column, only: limit_litter, litter_step, soil_step
  implicit none
  private
  public :: soil_nitrogen_day, nitrogen_fixation, nitrogen_input, immobilisation_need, plant_demand_by_layer, &
    nitrification_ph, nitrification_potential, gas_diffusivity, denitrification_potential, nitrogen_competition, &
    soil_mineralisation, nitrate_leaching, set_soil_nitrogen

  integer, parameter :: n_litter = 3  !! pools 1 to 3
  integer, parameter :: n_soil = 3  !! pools 4 to 6
  integer, parameter :: coarse = 7  !! coarse debris
  real(wp), parameter :: tiny_mass = 1.0e-30_wp  !! kg m-2, stands in denominators
  real(wp), parameter :: reference_temperature = 298.15_wp  !! K, value 1 of the temperature response
  real(wp), parameter :: washed_depth = 0.05_wp  !! depth of the soil that surface runoff washes, m

contains

  subroutine nitrogen_fixation(n, time_step, npp_annual, fixation_maximum, fixation_rate, fixation)
    !! Biological fixation from annual net primary production (Cleveland et al. 1999, as in CTSM):
    !! 1.8 (1 - exp(-0.003 NPP)) g N m-2 yr-1, NPP in g C m-2 yr-1; none where production is negative.
    integer, intent(in) :: n  !! tiles
    real(wp), intent(in) :: time_step  !! s
    real(wp), intent(in) :: npp_annual(n)  !! running mean of net primary production, kg C m-2 yr-1
    real(wp), intent(in) :: fixation_maximum(n)  !! kg N m-2 yr-1 (1.8e-3)
    real(wp), intent(in) :: fixation_rate(n)  !! m2 yr kg-1 (3)
    real(wp), intent(out) :: fixation(n)  !! kg N m-2 in the step
    integer :: i
    do i = 1, n
      fixation(i) = time_step / seconds_per_year * fixation_maximum(i) &
        * (1.0_wp - exp(-fixation_rate(i) * max(0.0_wp, npp_annual(i))))
    end do
  end subroutine nitrogen_fixation

  subroutine nitrogen_input(n, n_layer, surface_profile, root_profile, deposition, fixation, ammonium)
    !! Deposition (as surface litter) and fixation (as roots) to the ammonium of the layers.
    integer, intent(in) :: n  !! tiles
    integer, intent(in) :: n_layer  !! layers
    real(wp), intent(in) :: surface_profile(n, n_layer)  !! share of surface litter, sums to 1
    real(wp), intent(in) :: root_profile(n, n_layer)  !! share of root litter, sums to 1
    real(wp), intent(in) :: deposition(n)  !! kg N m-2 in the step
    real(wp), intent(in) :: fixation(n)  !! kg N m-2 in the step
    real(wp), intent(inout) :: ammonium(n, n_layer)  !! kg N m-2 per layer
    integer :: i, layer
    do layer = 1, n_layer
      do i = 1, n
        ammonium(i, layer) = ammonium(i, layer) &
          + (surface_profile(i, layer) * deposition(i) + root_profile(i, layer) * fixation(i))
      end do
    end do
  end subroutine nitrogen_input

  subroutine immobilisation_need(n, n_layer, n_pool, soil_cn, transfer, loss, loss_nitrogen, need)
    !! Mineral nitrogen that the receivers of decomposed litter need beside what the litter brings: positive
    !! immobilisation, negative mineralisation.
    integer, intent(in) :: n  !! tiles
    integer, intent(in) :: n_layer  !! layers
    integer, intent(in) :: n_pool  !! pools, 7
    real(wp), intent(in) :: soil_cn(n, 3)  !! carbon to nitrogen of active, slow, passive, kg kg-1 (8, 11, 11)
    real(wp), intent(in) :: transfer(n, n_pool, n_pool)  !! fraction of what leaves, (receiver, donor)
    real(wp), intent(in) :: loss(n, n_layer, n_pool)  !! potential loss of carbon, kg C m-2 per layer
    real(wp), intent(in) :: loss_nitrogen(n, n_layer, n_pool)  !! nitrogen in it, kg N m-2 per layer
    real(wp), intent(out) :: need(n, n_layer, 3)  !! of what leaves pools 1 to 3, kg N m-2 per layer
    integer :: i, layer, pool
    real(wp) :: bound(n)
    do pool = 1, n_litter
      do i = 1, n
        bound(i) = transfer(i, 4, pool) / soil_cn(i, 1) + transfer(i, 5, pool) / soil_cn(i, 2) &
          + transfer(i, 6, pool) / soil_cn(i, 3)
      end do
      do layer = 1, n_layer
        do i = 1, n
          need(i, layer, pool) = bound(i) * loss(i, layer, pool) - loss_nitrogen(i, layer, pool)
        end do
      end do
    end do
  end subroutine immobilisation_need

  subroutine plant_demand_by_layer(n, n_layer, demand, root_profile, ammonium, nitrate, layer_demand)
    !! The plants' demand shared out as the mineral nitrogen of the layers with roots.
    integer, intent(in) :: n  !! tiles
    integer, intent(in) :: n_layer  !! layers
    real(wp), intent(in) :: demand(n)  !! kg N m-2 in the step
    real(wp), intent(in) :: root_profile(n, n_layer)  !! share of roots, 0 to 1
    real(wp), intent(in) :: ammonium(n, n_layer)  !! kg N m-2 per layer
    real(wp), intent(in) :: nitrate(n, n_layer)  !! kg N m-2 per layer
    real(wp), intent(out) :: layer_demand(n, n_layer)  !! kg N m-2 per layer in the step
    integer :: i, layer
    real(wp) :: mineral, total(n), wanted(n)
    total(:) = 0.0_wp
    do layer = 1, n_layer
      do i = 1, n
        mineral = ammonium(i, layer) + nitrate(i, layer)
        mineral = merge(mineral, 0.0_wp, root_profile(i, layer) > 0.0_wp)
        layer_demand(i, layer) = mineral
        total(i) = total(i) + mineral
      end do
    end do
    do i = 1, n
      wanted(i) = max(0.0_wp, demand(i)) / max(total(i), tiny_mass)
    end do
    do layer = 1, n_layer
      do i = 1, n
        layer_demand(i, layer) = wanted(i) * layer_demand(i, layer)
      end do
    end do
  end subroutine plant_demand_by_layer

  subroutine nitrification_ph(n, ph, factor)
    !! Effect of acidity on nitrification, 0.56 + atan(0.45 pi (pH - 5))/pi (Parton et al. 1996).
    integer, intent(in) :: n  !! tiles
    real(wp), intent(in) :: ph(n)  !! acidity, pH
    real(wp), intent(out) :: factor(n)  !! multiplier, 0 to 1.06
    integer :: i
    do i = 1, n
      factor(i) = max(0.0_wp, 0.56_wp + atan(0.45_wp * pi * (ph(i) - 5.0_wp)) / pi)
    end do
  end subroutine nitrification_ph

  pure function anoxic(pore_water) result(share)
    !! Share of the soil without oxygen, from water-filled pore space alone: none to 0.6, all when full.
    real(wp), intent(in) :: pore_water  !! water-filled pore space, 0 to 1
    real(wp) :: share
    share = min(1.0_wp, max(0.0_wp, (pore_water - 0.6_wp) / 0.4_wp))
    share = share * share
  end function anoxic

  subroutine nitrification_potential(n, n_layer, time_step, nitrification_rate, scalar_reference, q10, ph_factor, &
      scalar, temperature, pore_water, ammonium, nitrification)
    !! Ammonium that nitrifiers would take in the step: rate min(f_T, 1) f_W f_pH (1 - anoxic share), none at or below
    !! 0 degC. f_W is the environment scalar of decomposition without its temperature and depth.
    integer, intent(in) :: n  !! tiles
    integer, intent(in) :: n_layer  !! layers
    real(wp), intent(in) :: time_step  !! s
    real(wp), intent(in) :: nitrification_rate(n)  !! d-1 (0.1)
    real(wp), intent(in) :: scalar_reference(n, n_layer)  !! scalar of wet soil at 25 degC: q10_factor x depth scalar
    real(wp), intent(in) :: q10(n)  !! temperature response of the scalar, factor per 10 K
    real(wp), intent(in) :: ph_factor(n)  !! of nitrification_ph, multiplier
    real(wp), intent(in) :: scalar(n, n_layer)  !! environment scalar with depth
    real(wp), intent(in) :: temperature(n, n_layer)  !! soil temperature, K
    real(wp), intent(in) :: pore_water(n, n_layer)  !! water-filled pore space, 0 to 1
    real(wp), intent(in) :: ammonium(n, n_layer)  !! kg N m-2 per layer
    real(wp), intent(out) :: nitrification(n, n_layer)  !! kg N m-2 per layer in the step
    integer :: i, layer
    real(wp) :: inverse, warmth, kelvin, slope(n), factor(n)
    do i = 1, n
      slope(i) = 0.1_wp * log(q10(i))
      factor(i) = time_step / seconds_per_day * nitrification_rate(i) * ph_factor(i)
    end do
    do layer = 1, n_layer
      do i = 1, n
        inverse = 1.0_wp / max(scalar_reference(i, layer), 1.0e-30_wp)
        kelvin = temperature(i, layer)
        ! the scalar holds f_T; above 25 degC it is taken back to 1
        warmth = scalar(i, layer) * inverse * exp(-slope(i) * max(0.0_wp, kelvin - reference_temperature))
        warmth = merge(warmth, 0.0_wp, kelvin > freezing_point)
        nitrification(i, layer) = factor(i) * warmth * (1.0_wp - anoxic(pore_water(i, layer))) * ammonium(i, layer)
      end do
    end do
  end subroutine nitrification_potential

  subroutine gas_diffusivity(n, pore_space, field_capacity, diffusivity)
    !! Diffusivity of gas at field capacity over that of free air (Millington & Quirk 1961).
    integer, intent(in) :: n  !! tiles
    real(wp), intent(in) :: pore_space(n)  !! m3 m-3
    real(wp), intent(in) :: field_capacity(n)  !! water content at field capacity, m3 m-3
    real(wp), intent(out) :: diffusivity(n)  !! 0 to 1
    integer :: i
    real(wp) :: air
    do i = 1, n
      air = max(1.0e-9_wp, pore_space(i) - field_capacity(i))
      diffusivity(i) = exp(10.0_wp / 3.0_wp * log(air)) / (pore_space(i) * pore_space(i))
    end do
  end subroutine gas_diffusivity

  subroutine denitrification_potential(n, n_layer, time_step, thickness, bulk_density, diffusivity, liquid, pore_water, &
      respiration, nitrate, denitrification, n2o_share)
    !! Nitrate that denitrifiers would take in the step, anoxic share times the lesser of 0.1 C**1.3 and 1.15 N**0.57
    !! (C respiration, N nitrate; ug g-1 of moist soil, per day), and the share of the gas that is N2O.
    integer, intent(in) :: n  !! tiles
    integer, intent(in) :: n_layer  !! layers
    real(wp), intent(in) :: time_step  !! s
    real(wp), intent(in) :: thickness(n_layer)  !! layer thickness, m
    real(wp), intent(in) :: bulk_density(n)  !! dry soil, kg m-3
    real(wp), intent(in) :: diffusivity(n)  !! of gas at field capacity over that of free air
    real(wp), intent(in) :: liquid(n, n_layer)  !! liquid water, m3 m-3
    real(wp), intent(in) :: pore_water(n, n_layer)  !! water-filled pore space, 0 to 1
    real(wp), intent(in) :: respiration(n, n_layer)  !! potential respiration of the step, kg C m-2 per layer
    real(wp), intent(in) :: nitrate(n, n_layer)  !! kg N m-2 per layer
    real(wp), intent(out) :: denitrification(n, n_layer)  !! kg N m-2 per layer in the step
    real(wp), intent(out) :: n2o_share(n, n_layer)  !! share of the gas that is N2O, 0 to 1
    integer :: i, layer
    real(wp) :: days, inverse, moist, carbon, nitrogen, ratio, k1, log_carbon, log_nitrogen, limit(n)
    real(wp), parameter :: log_a = log(0.1_wp), log_b = log(1.15_wp)
    days = time_step / seconds_per_day
    do i = 1, n
      limit(i) = max(1.7_wp, 38.4_wp - 350.0_wp * diffusivity(i))
    end do
    do layer = 1, n_layer
      inverse = 1.0_wp / days
      do i = 1, n
        moist = thickness(layer) * (bulk_density(i) + density_water * liquid(i, layer))
        carbon = max(respiration(i, layer) * inverse, 0.0_wp)
        nitrogen = max(nitrate(i, layer), 0.0_wp)
        log_carbon = log(max(1.0e6_wp * carbon, 1.0e-30_wp) / moist)
        log_nitrogen = log(max(1.0e6_wp * nitrogen, 1.0e-30_wp) / moist)
        denitrification(i, layer) = days * 1.0e-6_wp * moist * anoxic(pore_water(i, layer)) &
          * exp(min(log_a + 1.3_wp * log_carbon, log_b + 0.57_wp * log_nitrogen))
        k1 = limit(i)
        ratio = min(nitrogen / max(carbon, tiny_mass), 100.0_wp)
        ratio = max(0.16_wp * k1, k1 * exp(-0.8_wp * ratio)) * max(0.1_wp, 1.5_wp * pore_water(i, layer) - 0.32_wp)
        n2o_share(i, layer) = 1.0_wp / (1.0_wp + ratio)
      end do
    end do
  end subroutine denitrification_potential

  subroutine nitrogen_competition(n, n_layer, plant, immobilisation, nitrification, denitrification, ammonium, &
      nitrate, supplied)
    !! Shares mineral nitrogen among those who want it, all alike: ammonium among plants, microbes and nitrifiers; then
    !! nitrate among the unmet demand of plants and microbes and denitrifiers. No more is taken than there is.
    integer, intent(in) :: n  !! tiles
    integer, intent(in) :: n_layer  !! layers
    real(wp), intent(in) :: plant(n, n_layer)  !! demand of plants, kg N m-2 per layer
    real(wp), intent(in) :: immobilisation(n, n_layer)  !! demand of microbes, kg N m-2 per layer
    real(wp), intent(inout) :: nitrification(n, n_layer)  !! in: potential, out: actual; kg N m-2 per layer
    real(wp), intent(inout) :: denitrification(n, n_layer)  !! in: potential, out: actual; kg N m-2 per layer
    real(wp), intent(inout) :: ammonium(n, n_layer)  !! kg N m-2 per layer
    real(wp), intent(inout) :: nitrate(n, n_layer)  !! kg N m-2 per layer
    real(wp), intent(out) :: supplied(n, n_layer)  !! share of the demand of plants and microbes that is met, 0 to 1
    integer :: i, layer
    real(wp) :: demand, wanted, share, other
    do layer = 1, n_layer
      do i = 1, n
        demand = plant(i, layer) + immobilisation(i, layer)
        wanted = demand + nitrification(i, layer)
        share = min(1.0_wp, ammonium(i, layer) / max(wanted, tiny_mass))
        ammonium(i, layer) = max(0.0_wp, ammonium(i, layer) - share * wanted)
        nitrification(i, layer) = share * nitrification(i, layer)
        demand = (1.0_wp - share) * demand
        wanted = demand + denitrification(i, layer)
        other = min(1.0_wp, nitrate(i, layer) / max(wanted, tiny_mass))
        nitrate(i, layer) = max(0.0_wp, nitrate(i, layer) - other * wanted)
        denitrification(i, layer) = other * denitrification(i, layer)
        supplied(i, layer) = share + (1.0_wp - share) * other
      end do
    end do
  end subroutine nitrogen_competition

  subroutine soil_mineralisation(n, n_layer, n_pool, soil_cn, transfer, loss, mineralised)
    !! Nitrogen that decomposition of the soil pools sets free. Their C:N are such that every transfer does.
    integer, intent(in) :: n  !! tiles
    integer, intent(in) :: n_layer  !! layers
    integer, intent(in) :: n_pool  !! pools, 7
    real(wp), intent(in) :: soil_cn(n, 3)  !! carbon to nitrogen of active, slow, passive, kg kg-1
    real(wp), intent(in) :: transfer(n, n_pool, n_pool)  !! fraction of what leaves, (receiver, donor)
    real(wp), intent(in) :: loss(n, n_layer, n_pool)  !! what left each pool, kg C m-2 per layer
    real(wp), intent(out) :: mineralised(n, n_layer)  !! kg N m-2 per layer
    integer :: i, layer
    real(wp) :: active, slow, passive, freed(n, 3)
    do i = 1, n
      active = 1.0_wp / soil_cn(i, 1)
      slow = 1.0_wp / soil_cn(i, 2)
      passive = 1.0_wp / soil_cn(i, 3)
      freed(i, 1) = active - (transfer(i, 5, 4) * slow + transfer(i, 6, 4) * passive)
      freed(i, 2) = slow - (transfer(i, 4, 5) * active + transfer(i, 6, 5) * passive)
      freed(i, 3) = passive - (transfer(i, 4, 6) * active + transfer(i, 5, 6) * slow)
    end do
    do layer = 1, n_layer
      do i = 1, n
        mineralised(i, layer) = freed(i, 1) * loss(i, layer, 4) + freed(i, 2) * loss(i, layer, 5) &
          + freed(i, 3) * loss(i, layer, 6)
      end do
    end do
  end subroutine soil_mineralisation

  subroutine nitrate_leaching(n, n_layer, thickness, liquid, drainage, runoff, nitrate, leaching)
    !! Nitrate, all of it dissolved, leaves with drainage (from all layers as their water) and with surface runoff
    !! (from
    !! the upper 5 cm), at most what there is.
    integer, intent(in) :: n  !! tiles
    integer, intent(in) :: n_layer  !! layers
    real(wp), intent(in) :: thickness(n_layer)  !! layer thickness, m
    real(wp), intent(in) :: liquid(n, n_layer)  !! liquid water, m3 m-3
    real(wp), intent(in) :: drainage(n)  !! water that leaves at the bottom in the step, kg m-2
    real(wp), intent(in) :: runoff(n)  !! water that leaves over the surface in the step, kg m-2
    real(wp), intent(inout) :: nitrate(n, n_layer)  !! kg N m-2 per layer
    real(wp), intent(out) :: leaching(n)  !! kg N m-2 in the step
    integer :: i, layer
    real(wp) :: top, part, lost, column(n), surface(n)
    column(:) = 0.0_wp
    surface(:) = 0.0_wp
    top = 0.0_wp
    do layer = 1, n_layer
      part = min(thickness(layer), max(0.0_wp, washed_depth - top))
      do i = 1, n
        column(i) = column(i) + density_water * thickness(layer) * liquid(i, layer)
        surface(i) = surface(i) + density_water * part * liquid(i, layer)
      end do
      top = top + thickness(layer)
    end do
    do i = 1, n
      column(i) = min(1.0_wp, max(0.0_wp, drainage(i)) / max(column(i), 1.0e-6_wp))
      surface(i) = max(0.0_wp, runoff(i)) / max(surface(i), 1.0e-6_wp)
      leaching(i) = 0.0_wp
    end do
    top = 0.0_wp
    do layer = 1, n_layer
      part = min(thickness(layer), max(0.0_wp, washed_depth - top)) / thickness(layer)
      do i = 1, n
        lost = nitrate(i, layer) * min(1.0_wp, column(i) + part * min(1.0_wp, surface(i)))
        nitrate(i, layer) = nitrate(i, layer) - lost
        leaching(i) = leaching(i) + lost
      end do
      top = top + thickness(layer)
    end do
  end subroutine nitrate_leaching

  subroutine set_soil_nitrogen(n, n_layer, n_pool, soil_cn, carbon, nitrogen)
    !! Nitrogen of the soil pools from their carbon, also the start of a run with nitrogen.
    integer, intent(in) :: n  !! tiles
    integer, intent(in) :: n_layer  !! layers
    integer, intent(in) :: n_pool  !! pools, 7
    real(wp), intent(in) :: soil_cn(n, 3)  !! carbon to nitrogen of active, slow, passive, kg kg-1
    real(wp), intent(in) :: carbon(n, n_layer, n_pool)  !! kg C m-2 per layer
    real(wp), intent(inout) :: nitrogen(n, n_layer, n_pool)  !! kg N m-2 per layer; pools 4 to 6 are set
    integer :: i, layer, pool
    real(wp) :: inverse(n)
    do pool = 1, n_soil
      do i = 1, n
        inverse(i) = 1.0_wp / soil_cn(i, pool)
      end do
      do layer = 1, n_layer
        do i = 1, n
          nitrogen(i, layer, n_litter + pool) = inverse(i) * carbon(i, layer, n_litter + pool)
        end do
      end do
    end do
  end subroutine set_soil_nitrogen

  subroutine soil_nitrogen_day(n, n_layer, n_pool, with_nitrogen, time_step, thickness, scalar_reference, &
      nitrification_rate, n2o_fraction, gas_fraction, &
      q10, soil_cn, ph_factor, bulk_density, diffusivity, rate, transfer, respired, &
      scalar, mixing, temperature, pore_water, liquid, drainage, runoff, surface_profile, root_profile, deposition, &
      fixation, plant_demand, input, input_nitrogen, carbon, nitrogen, ammonium, nitrate, plant_uptake, respiration, &
      limitation, loss, gross_mineralisation, net_mineralisation, nitrification, n2o, n2, leaching)
    !! One step (a day) of the layered soil: litter decomposes as far as nitrogen allows, soil pools follow, mineral
    !! nitrogen is shared, transformed and washed out. Without nitrogen nothing limits and no nitrogen is touched.
    integer, intent(in) :: n  !! tiles
    integer, intent(in) :: n_layer  !! layers, at least 2
    integer, intent(in) :: n_pool  !! pools, 7
    logical, intent(in) :: with_nitrogen  !! false: carbon only
    real(wp), intent(in) :: time_step  !! s
    real(wp), intent(in) :: thickness(n_layer)  !! layer thickness, m
    real(wp), intent(in) :: scalar_reference(n, n_layer)  !! scalar of wet soil at 25 degC: q10_factor x depth scalar
    real(wp), intent(in) :: nitrification_rate(n)  !! d-1 (0.1)
    real(wp), intent(in) :: n2o_fraction(n)  !! share of nitrified nitrogen that leaves as N2O (6e-4)
    real(wp), intent(in) :: gas_fraction(n)  !! share of gross mineralisation that leaves as gas before anybody takes it
    real(wp), intent(in) :: q10(n)  !! temperature response of the scalar, factor per 10 K
    real(wp), intent(in) :: soil_cn(n, 3)  !! carbon to nitrogen of active, slow, passive, kg kg-1 (8, 11, 11)
    real(wp), intent(in) :: ph_factor(n)  !! of nitrification_ph, multiplier
    real(wp), intent(in) :: bulk_density(n)  !! dry soil, kg m-3
    real(wp), intent(in) :: diffusivity(n)  !! of gas at field capacity over that of free air
    real(wp), intent(in) :: rate(n, n_pool)  !! base rate, s-1
    real(wp), intent(in) :: transfer(n, n_pool, n_pool)  !! fraction of what leaves, (receiver, donor)
    real(wp), intent(in) :: respired(n, n_pool)  !! fraction of what leaves that is respired
    real(wp), intent(in) :: scalar(n, n_layer)  !! environment scalar with depth, mean of the step
    real(wp), intent(in) :: mixing(n, n_layer - 1)  !! diffusivity over distance at interior faces, m s-1
    real(wp), intent(in) :: temperature(n, n_layer)  !! soil temperature, K
    real(wp), intent(in) :: pore_water(n, n_layer)  !! water-filled pore space, 0 to 1
    real(wp), intent(in) :: liquid(n, n_layer)  !! liquid water, m3 m-3
    real(wp), intent(in) :: drainage(n)  !! water that leaves at the bottom in the step, kg m-2
    real(wp), intent(in) :: runoff(n)  !! water that leaves over the surface in the step, kg m-2
    real(wp), intent(in) :: surface_profile(n, n_layer)  !! share of surface litter, sums to 1
    real(wp), intent(in) :: root_profile(n, n_layer)  !! share of roots, sums to 1
    real(wp), intent(in) :: deposition(n)  !! kg N m-2 in the step
    real(wp), intent(in) :: fixation(n)  !! kg N m-2 in the step
    real(wp), intent(in) :: plant_demand(n)  !! nitrogen that plants want, kg N m-2 in the step
    real(wp), intent(in) :: input(n, n_layer, n_pool)  !! litter, kg C m-2 per layer in the step
    real(wp), intent(in) :: input_nitrogen(n, n_layer, n_pool)  !! litter, kg N m-2 per layer in the step
    real(wp), intent(inout) :: carbon(n, n_layer, n_pool)  !! kg C m-2 per layer
    real(wp), intent(inout) :: nitrogen(n, n_layer, n_pool)  !! kg N m-2 per layer
    real(wp), intent(inout) :: ammonium(n, n_layer)  !! kg N m-2 per layer
    real(wp), intent(inout) :: nitrate(n, n_layer)  !! kg N m-2 per layer
    real(wp), intent(out) :: plant_uptake(n)  !! kg N m-2 in the step (0 without nitrogen)
    real(wp), intent(out) :: respiration(n, n_layer)  !! heterotrophic respiration, kg C m-2 per layer in the step
    real(wp), intent(out) :: limitation(n, n_layer, n_pool)  !! share of the potential loss, 1 where nothing limits
    real(wp), intent(out) :: loss(n, n_layer, n_pool)  !! carbon that left each pool, kg C m-2 per layer in the step
    real(wp), intent(out) :: gross_mineralisation(n)  !! kg N m-2 in the step
    real(wp), intent(out) :: net_mineralisation(n)  !! gross mineralisation less immobilisation, kg N m-2 in the step
    real(wp), intent(out) :: nitrification(n)  !! ammonium that was nitrified, kg N m-2 in the step
    real(wp), intent(out) :: n2o(n)  !! N2O emitted, kg N m-2 in the step
    real(wp), intent(out) :: n2(n)  !! N2 emitted, kg N m-2 in the step
    real(wp), intent(out) :: leaching(n)  !! nitrate washed out, kg N m-2 in the step
    integer :: i, layer, pool
    real(wp) :: share, want, freed, gas, formed
    real(wp) :: loss_nitrogen(n, n_layer, n_pool), need(n, n_layer, 3)
    real(wp) :: wanted(n, n_layer), immobilised(n, n_layer), nitrified(n, n_layer), denitrified(n, n_layer)
    real(wp) :: n2o_share(n, n_layer), supplied(n, n_layer), mineralised(n, n_layer)

    plant_uptake(:) = 0.0_wp
    gross_mineralisation(:) = 0.0_wp
    net_mineralisation(:) = 0.0_wp
    nitrification(:) = 0.0_wp
    n2o(:) = 0.0_wp
    n2(:) = 0.0_wp
    leaching(:) = 0.0_wp
    limitation(:, :, :) = 1.0_wp
    call litter_step(n, n_layer, n_pool, time_step, thickness, rate, transfer, scalar, mixing, input, carbon, loss)
    if (.not. with_nitrogen) then
      call soil_step(n, n_layer, n_pool, time_step, thickness, rate, transfer, respired, scalar, mixing, carbon, loss, &
        respiration)
      return
    end if

    call nitrogen_input(n, n_layer, surface_profile, root_profile, deposition, fixation, ammonium)
    call litter_step(n, n_layer, n_pool, time_step, thickness, rate, transfer, scalar, mixing, input_nitrogen, &
      nitrogen, loss_nitrogen)
    call immobilisation_need(n, n_layer, n_pool, soil_cn, transfer, loss, loss_nitrogen, need)
    call plant_demand_by_layer(n, n_layer, plant_demand, root_profile, ammonium, nitrate, wanted)
    ! potential respiration, soil pools as they were: substrate of denitrifiers
    do layer = 1, n_layer
      do i = 1, n
        want = respired(i, coarse) * loss(i, layer, coarse)
        freed = rate(i, 4) * respired(i, 4) * carbon(i, layer, 4) + rate(i, 5) * respired(i, 5) * carbon(i, layer, 5) &
          + rate(i, 6) * respired(i, 6) * carbon(i, layer, 6)
        respiration(i, layer) = want + time_step * scalar(i, layer) * freed + respired(i, 1) * loss(i, layer, 1) &
          + respired(i, 2) * loss(i, layer, 2) + respired(i, 3) * loss(i, layer, 3)
        immobilised(i, layer) = max(0.0_wp, need(i, layer, 1)) + max(0.0_wp, need(i, layer, 2)) &
          + max(0.0_wp, need(i, layer, 3))
      end do
    end do
    call nitrification_potential(n, n_layer, time_step, nitrification_rate, scalar_reference, q10, ph_factor, scalar, &
      temperature, pore_water, ammonium, nitrified)
    call denitrification_potential(n, n_layer, time_step, thickness, bulk_density, diffusivity, liquid, pore_water, &
      respiration, nitrate, denitrified, n2o_share)
    call nitrogen_competition(n, n_layer, wanted, immobilised, nitrified, denitrified, ammonium, nitrate, supplied)

    do pool = 1, n_litter
      do layer = 1, n_layer
        do i = 1, n
          share = supplied(i, layer)
          limitation(i, layer, pool) = merge(share, 1.0_wp, need(i, layer, pool) > 0.0_wp)
        end do
      end do
    end do
    call limit_litter(n, n_layer, n_pool, limitation, carbon, loss)
    call limit_litter(n, n_layer, n_pool, limitation, nitrogen, loss_nitrogen)
    call soil_step(n, n_layer, n_pool, time_step, thickness, rate, transfer, respired, scalar, mixing, carbon, loss, &
      respiration)
    call set_soil_nitrogen(n, n_layer, n_pool, soil_cn, carbon, nitrogen)
    call soil_mineralisation(n, n_layer, n_pool, soil_cn, transfer, loss, mineralised)

    do layer = 1, n_layer
      do i = 1, n
        share = supplied(i, layer)
        freed = mineralised(i, layer) + respired(i, coarse) * loss_nitrogen(i, layer, coarse) &
          - (min(0.0_wp, need(i, layer, 1)) + min(0.0_wp, need(i, layer, 2)) + min(0.0_wp, need(i, layer, 3)))
        gross_mineralisation(i) = gross_mineralisation(i) + freed
        net_mineralisation(i) = net_mineralisation(i) + (freed - share * immobilised(i, layer))
        gas = gas_fraction(i) * max(0.0_wp, freed)
        n2(i) = n2(i) + gas
        ammonium(i, layer) = ammonium(i, layer) + (freed - gas)
        plant_uptake(i) = plant_uptake(i) + share * wanted(i, layer)
        formed = nitrified(i, layer)
        nitrification(i) = nitrification(i) + formed
        gas = n2o_fraction(i) * formed
        nitrate(i, layer) = nitrate(i, layer) + (formed - gas)
        want = n2o_share(i, layer) * denitrified(i, layer)
        n2o(i) = n2o(i) + (gas + want)
        n2(i) = n2(i) + (denitrified(i, layer) - want)
      end do
    end do
    call nitrate_leaching(n, n_layer, thickness, liquid, drainage, runoff, nitrate, leaching)
  end subroutine soil_nitrogen_day
end module concerto_soil_nitrogen
