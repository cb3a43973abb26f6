module concerto_plant_nitrogen
  !! Nitrogen in plants, daily. It follows the table of carbon fluxes of concerto_vegetation: what tissue loses takes
  !! its nitrogen along in proportion, old and shed leaves give a share back before they fall (resorption), heartwood
  !! keeps what its C:N asks for, growth takes nitrogen from the labile pool at the target C:N. Roots fill the labile
  !! pool, which also refills tissue that is below its target, leaves first. Pools kg N m-2 of tile in the order of the
  !! carbon pools: labile, leaf, fine root, sapwood, heartwood, seed. Sources: CTSM (stoichiometry), LPJmL
  !! (resorption), uptake on demand after Thornton & Rosenbloom (2005). Every amount is a share of what is there: nitrogen closes to
  !! round-off and stays positive, whatever the start.
  use concerto_kinds, only: wp
  use concerto_vegetation, only: plant_labile, plant_leaf, plant_fine_root, plant_sapwood, plant_heartwood, &
                                 plant_seed, flux_leaf_debt, flux_root_debt, flux_sapwood_debt, flux_seed_debt, &
                                 flux_labile_mortality, flux_leaf_mortality, flux_root_mortality, &
                                 flux_sapwood_mortality, flux_heartwood_mortality, flux_seed_mortality, &
                                 flux_leaf_turnover, flux_root_turnover, flux_sapwood_turnover, &
                                 flux_seed_turnover, flux_heartwood_formation, flux_germination, &
                                 flux_leaf_growth, flux_root_growth, flux_sapwood_growth, flux_seed_growth, &
                                 flux_growth_respiration
  implicit none
  private
  public :: plant_nitrogen_start, plant_nitrogen_supply, plant_nitrogen_day, leaf_nitrogen_state

  real(wp), parameter :: widest_cn = 1.33_wp, narrowest_cn = 0.75_wp  !! range of tissue C:N over its target
  real(wp), parameter :: least_factor = 0.6_wp  !! floor of the leaf nitrogen factor
  real(wp), parameter :: refill_days = 5.0_wp  !! time in which labile nitrogen refills tissue, d
  real(wp), parameter :: store_days = 30.0_wp  !! time in which the store of absent leaves is built up, d
  real(wp), parameter :: nothing = 1.0e-30_wp

contains

  subroutine plant_nitrogen_start(n, carbon, full_leaf, leaf_cn, root_cn, sapwood_cn, heartwood_cn, seed_cn, nitrogen)
    !! Nitrogen of plants that have carbon only: tissue at its target, the labile pool with what absent leaves need.
    integer, intent(in) :: n  !! tiles
    real(wp), intent(in) :: carbon(n, 6)  !! labile, leaf, fine root, sapwood, heartwood, seed, kg m-2
    real(wp), intent(in) :: full_leaf(n)  !! carbon of full leaves, kg m-2
    real(wp), intent(in) :: leaf_cn(n)  !! target carbon to nitrogen of leaves, kg kg-1
    real(wp), intent(in) :: root_cn(n)  !! of fine roots, kg kg-1
    real(wp), intent(in) :: sapwood_cn(n)  !! of sapwood, kg kg-1
    real(wp), intent(in) :: heartwood_cn(n)  !! of heartwood, kg kg-1
    real(wp), intent(in) :: seed_cn(n)  !! of seed, kg kg-1
    real(wp), intent(out) :: nitrogen(n, 6)  !! the same pools, kg m-2
    integer :: i
    do i = 1, n
      nitrogen(i, plant_labile) = min(max(0.0_wp, carbon(i, plant_labile)), &
                                      max(0.1_wp * full_leaf(i), full_leaf(i) - carbon(i, plant_leaf))) / leaf_cn(i)
      nitrogen(i, plant_leaf) = carbon(i, plant_leaf) / leaf_cn(i)
      nitrogen(i, plant_fine_root) = carbon(i, plant_fine_root) / root_cn(i)
      nitrogen(i, plant_sapwood) = carbon(i, plant_sapwood) / sapwood_cn(i)
      nitrogen(i, plant_heartwood) = carbon(i, plant_heartwood) / heartwood_cn(i)
      nitrogen(i, plant_seed) = carbon(i, plant_seed) / seed_cn(i)
    end do
  end subroutine plant_nitrogen_start

  subroutine plant_nitrogen_supply(n, nitrogen, supply)
    !! Nitrogen that growth of the day may count on, at the target C:N: new tissue may have a third more carbon per
    !! nitrogen before growth is held back.
    integer, intent(in) :: n  !! tiles
    real(wp), intent(in) :: nitrogen(n, 6)  !! pools, kg m-2
    real(wp), intent(out) :: supply(n)  !! nitrogen_supply of vegetation_daily, kg m-2
    integer :: i
    do i = 1, n
      supply(i) = widest_cn * max(0.0_wp, nitrogen(i, plant_labile))
    end do
  end subroutine plant_nitrogen_supply

  subroutine plant_nitrogen_day(n, time_step, flux, carbon_before, carbon_after, growth_nitrogen, full_leaf, uptake, &
      leaf_cn, root_cn, sapwood_cn, heartwood_cn, seed_cn, resorption, nitrogen, litter_leaf, litter_fine_root, &
      litter_wood, litter_seed, demand, leaf_factor)
    !! One day of plant nitrogen after the carbon step of the day.
    integer, intent(in) :: n  !! tiles
    real(wp), intent(in) :: time_step  !! d
    real(wp), intent(in) :: flux(n, 21)  !! carbon fluxes of vegetation_daily, kg m-2
    real(wp), intent(in) :: carbon_before(n, 6)  !! carbon pools before vegetation_daily, kg m-2
    real(wp), intent(in) :: carbon_after(n, 6)  !! carbon pools after it, kg m-2
    real(wp), intent(in) :: growth_nitrogen(n)  !! of vegetation_daily: nitrogen for growth without a limit, kg m-2
    real(wp), intent(in) :: full_leaf(n)  !! carbon of full leaves, kg m-2
    real(wp), intent(in) :: uptake(n)  !! taken up by roots since the last call, kg m-2
    real(wp), intent(in) :: leaf_cn(n)  !! target carbon to nitrogen of leaves, kg kg-1
    real(wp), intent(in) :: root_cn(n)  !! of fine roots, kg kg-1
    real(wp), intent(in) :: sapwood_cn(n)  !! of sapwood, kg kg-1
    real(wp), intent(in) :: heartwood_cn(n)  !! of heartwood, kg kg-1
    real(wp), intent(in) :: seed_cn(n)  !! of seed, kg kg-1
    real(wp), intent(in) :: resorption(n)  !! share of nitrogen withdrawn from old and shed leaves
    real(wp), intent(inout) :: nitrogen(n, 6)  !! labile, leaf, fine root, sapwood, heartwood, seed, kg m-2
    real(wp), intent(out) :: litter_leaf(n)  !! nitrogen in leaf litter, kg m-2
    real(wp), intent(out) :: litter_fine_root(n)  !! in fine-root litter, kg m-2
    real(wp), intent(out) :: litter_wood(n)  !! in wood litter, kg m-2
    real(wp), intent(out) :: litter_seed(n)  !! in seed litter and the labile pool of dead plants, kg m-2
    real(wp), intent(out) :: demand(n)  !! nitrogen that roots shall take up, kg m-2 of a day
    real(wp), intent(out) :: leaf_factor(n)  !! nitrogen of leaves over target, 0.6 to 1: scales Vcmax and Jmax
    integer :: i
    real(wp) :: leaf, root, sapwood, heartwood, seed, labile, inflow, out, carbon, share, dead, need, missing, kept
    real(wp) :: leaf_new, root_new, sapwood_new, seed_new, leaf_lack, root_lack, sapwood_lack, seed_lack, budget, store
    real(wp) :: to_leaf, to_root, to_sapwood, to_seed
    ! the columns of pools and fluxes do not overlap
    !GCC$ ivdep
    do i = 1, n
      ! what tissue loses, in proportion to its carbon; out is the share that leaves the pool, at most all of it
      carbon = carbon_before(i, plant_leaf)
      need = flux(i, flux_leaf_debt) + flux(i, flux_leaf_mortality) + flux(i, flux_leaf_turnover)
      out = min(carbon, need) / max(carbon, nothing) * nitrogen(i, plant_leaf)
      leaf = nitrogen(i, plant_leaf) - out
      share = 1.0_wp / max(need, nothing)
      kept = out * (flux(i, flux_leaf_debt) + resorption(i) * flux(i, flux_leaf_turnover)) * share
      kept = min(out, kept)
      inflow = kept
      litter_leaf(i) = out - kept

      carbon = carbon_before(i, plant_fine_root)
      need = flux(i, flux_root_debt) + flux(i, flux_root_mortality) + flux(i, flux_root_turnover)
      out = min(carbon, need) / max(carbon, nothing) * nitrogen(i, plant_fine_root)
      root = nitrogen(i, plant_fine_root) - out
      kept = min(out, out * flux(i, flux_root_debt) / max(need, nothing))
      inflow = inflow + kept
      litter_fine_root(i) = out - kept

      ! heartwood takes what its C:N asks for, the rest of the nitrogen is withdrawn
      carbon = carbon_before(i, plant_sapwood)
      need = flux(i, flux_sapwood_debt) + flux(i, flux_sapwood_mortality) + flux(i, flux_sapwood_turnover) &
             + flux(i, flux_heartwood_formation)
      out = min(carbon, need) / max(carbon, nothing) * nitrogen(i, plant_sapwood)
      sapwood = nitrogen(i, plant_sapwood) - out
      share = 1.0_wp / max(need, nothing)
      kept = min(out, out * (flux(i, flux_sapwood_debt) + flux(i, flux_heartwood_formation)) * share)
      litter_wood(i) = out - kept
      missing = min(kept, out * flux(i, flux_heartwood_formation) * share, flux(i, &
          flux_heartwood_formation) / heartwood_cn(i))
      inflow = inflow + (kept - missing)
      carbon = carbon_before(i, plant_heartwood)
      out = min(carbon, flux(i, flux_heartwood_mortality)) / max(carbon, nothing) * nitrogen(i, plant_heartwood)
      heartwood = (nitrogen(i, plant_heartwood) - out) + missing
      litter_wood(i) = litter_wood(i) + out

      carbon = carbon_before(i, plant_seed)
      need = flux(i, flux_seed_debt) + flux(i, flux_seed_mortality) + flux(i, flux_seed_turnover) + flux(i, &
          flux_germination)
      out = min(carbon, need) / max(carbon, nothing) * nitrogen(i, plant_seed)
      seed = nitrogen(i, plant_seed) - out
      kept = min(out, out * (flux(i, flux_seed_debt) + flux(i, flux_germination)) / max(need, nothing))
      inflow = inflow + kept
      litter_seed(i) = out - kept

      ! growth at the target C:N, with what there is
      labile = nitrogen(i, plant_labile) + inflow + max(0.0_wp, uptake(i))
      leaf_new = flux(i, flux_leaf_growth) / leaf_cn(i)
      root_new = flux(i, flux_root_growth) / root_cn(i)
      sapwood_new = flux(i, flux_sapwood_growth) / sapwood_cn(i)
      seed_new = flux(i, flux_seed_growth) / seed_cn(i)
      need = leaf_new + root_new + sapwood_new + seed_new
      share = min(1.0_wp, labile / max(need, nothing))
      leaf = leaf + share * leaf_new
      root = root + share * root_new
      sapwood = sapwood + share * sapwood_new
      seed = seed + share * seed_new
      labile = max(0.0_wp, labile - (share * leaf_new + share * root_new + share * sapwood_new + share * seed_new))

      ! the labile nitrogen of plants that died, in the share of their labile carbon
      carbon = carbon_after(i, plant_labile) + flux(i, flux_labile_mortality) - flux(i, flux_germination) &
               + flux(i, flux_leaf_growth) + flux(i, flux_root_growth) + flux(i, flux_sapwood_growth) &
               + flux(i, flux_seed_growth) + flux(i, flux_growth_respiration)
      dead = min(1.0_wp, flux(i, flux_labile_mortality) / max(carbon, flux(i, flux_labile_mortality), &
          nothing)) * labile
      labile = labile - dead
      litter_seed(i) = litter_seed(i) + dead

      ! tissue richer than 1 / 0.75 of its target returns nitrogen; tissue below the target is refilled, leaves first
      leaf_lack = carbon_after(i, plant_leaf) / leaf_cn(i)
      root_lack = carbon_after(i, plant_fine_root) / root_cn(i)
      sapwood_lack = carbon_after(i, plant_sapwood) / sapwood_cn(i)
      seed_lack = carbon_after(i, plant_seed) / seed_cn(i)
      out = max(0.0_wp, leaf - leaf_lack / narrowest_cn)
      leaf = leaf - out
      labile = labile + out
      out = max(0.0_wp, root - root_lack / narrowest_cn)
      root = root - out
      labile = labile + out
      out = max(0.0_wp, sapwood - sapwood_lack / narrowest_cn)
      sapwood = sapwood - out
      labile = labile + out
      out = max(0.0_wp, seed - seed_lack / narrowest_cn)
      seed = seed - out
      labile = labile + out
      need = leaf_lack
      leaf_lack = max(0.0_wp, leaf_lack - leaf)
      root_lack = max(0.0_wp, root_lack - root)
      sapwood_lack = max(0.0_wp, sapwood_lack - sapwood)
      seed_lack = max(0.0_wp, seed_lack - seed)
      budget = labile * (time_step / (time_step + refill_days))
      to_leaf = min(leaf_lack, budget)
      to_root = min(root_lack, budget - to_leaf)
      to_sapwood = min(sapwood_lack, budget - to_leaf - to_root)
      to_seed = min(seed_lack, max(0.0_wp, budget - to_leaf - to_root - to_sapwood))
      to_sapwood = max(0.0_wp, to_sapwood)
      leaf = leaf + to_leaf
      root = root + to_root
      sapwood = sapwood + to_sapwood
      seed = seed + to_seed
      labile = max(0.0_wp, labile - (to_leaf + to_root + to_sapwood + to_seed))

      ! uptake aimed at: tissue back to its target, growth of the day again, and slowly the store of absent leaves
      store = max(0.0_wp, full_leaf(i) - carbon_after(i, plant_leaf)) / leaf_cn(i)
      missing = (leaf_lack - to_leaf) + (root_lack - to_root) + (sapwood_lack - to_sapwood) + (seed_lack - to_seed)
      demand(i) = max(0.0_wp, missing + growth_nitrogen(i) - labile) &
                  + min(1.0_wp, time_step / store_days) * max(0.0_wp, store - max(0.0_wp, &
                  labile - missing - growth_nitrogen(i)))
      leaf_factor(i) = merge(min(1.0_wp, max(least_factor, leaf / max(need, nothing))), 1.0_wp, need > 1.0e-12_wp)

      nitrogen(i, plant_labile) = labile
      nitrogen(i, plant_leaf) = leaf
      nitrogen(i, plant_fine_root) = root
      nitrogen(i, plant_sapwood) = sapwood
      nitrogen(i, plant_heartwood) = heartwood
      nitrogen(i, plant_seed) = seed
    end do
  end subroutine plant_nitrogen_day

  subroutine leaf_nitrogen_state(n, leaf_carbon, leaf_nitrogen, leaf_cn, leaf_factor)
    !! Nitrogen of leaves over the target, 0.6 to 1, 1 without leaves: scales Vcmax25 and Jmax25.
    integer, intent(in) :: n  !! tiles
    real(wp), intent(in) :: leaf_carbon(n)  !! kg m-2
    real(wp), intent(in) :: leaf_nitrogen(n)  !! kg m-2
    real(wp), intent(in) :: leaf_cn(n)  !! target carbon to nitrogen, kg kg-1
    real(wp), intent(out) :: leaf_factor(n)  !! 0.6 to 1
    integer :: i
    real(wp) :: need
    do i = 1, n
      need = leaf_carbon(i) / leaf_cn(i)
      leaf_factor(i) = merge(min(1.0_wp, max(least_factor, leaf_nitrogen(i) / max(need, nothing))), 1.0_wp, &
          need > 1.0e-12_wp)
    end do
  end subroutine leaf_nitrogen_state
end module concerto_plant_nitrogen
