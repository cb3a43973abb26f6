module concerto_dynamics
  !! Vegetation that changes its area, once a year, and the mixing that conserves what stands on moved area. Cells x
  !! slots: a slot is a tile of the cell, area is its fraction of the cell. Establishment, competition and mortality
  !! after LPJ (Sitch et al. 2003, Global Change Biol. 9:161) with areas of tiles for crowns. Transitions are all
  !! evaluated on the same state, so that their order does not matter; a tile that gains nothing keeps every bit.
  use concerto_kinds, only: wp
  use concerto_constants, only: freezing_point
  implicit none
  private
  public :: bioclimate_day, dynamics_year, gaps_year, area_after, move_area, move_area_heat, move_area_mean

  real(wp), parameter :: climate_years = 20.0_wp  !! memory of the bioclimate, yr
  real(wp), parameter :: summer_base = freezing_point + 5.0_wp  !! of growing-degree days, K
  real(wp), parameter :: establishment = 0.12_wp  !! area colonised per free area, yr-1 (LPJ: saplings of 1 m2)
  real(wp), parameter :: most_trees = 0.95_wp  !! largest cover of woody plants
  real(wp), parameter :: mortality_most = 0.015_wp  !! mortality without growth, yr-1
  real(wp), parameter :: mortality_slope = 200.0_wp  !! its decrease with growth per leaf area, m2 kg-1
  real(wp), parameter :: grass_least = 0.01_wp  !! a grass that may establish counts as this share of natural area

contains

  subroutine bioclimate_day(n, n_memory, day_of_year, air_temperature, memory, coldest, warmest, warmth)
    !! Running means of 20 years of the coldest and the warmest month (twelfths of the year) and of growing-degree
    !! days above 5 degC. Before the first complete year the extremes so far.
    integer, intent(in) :: n  !! tiles or cells
    integer, intent(in) :: n_memory  !! length of the memory, 11
    real(wp), intent(in) :: day_of_year(n)  !! 1 on 1 January
    real(wp), intent(in) :: air_temperature(n)  !! mean of the day, K
    real(wp), intent(inout) :: memory(n, n_memory)  !! starts at 0: sum (K) and days of the month, coldest and warmest
    !! month (K) and warmth (K d) of the year, months of the year, weight and weighted sums of the three, month + 1, sum of warmth
    real(wp), intent(out) :: coldest(n)  !! mean temperature of the coldest month, K
    real(wp), intent(out) :: warmest(n)  !! mean temperature of the warmest month, K
    real(wp), intent(out) :: warmth(n)  !! growing-degree days above 5 degC, K d
    integer :: i
    real(wp) :: month, mean, keep, low, high, sum_of_year, months, weight, fresh
    logical :: begun, next_month, next_year, first
    keep = exp(-1.0_wp / climate_years)
    do i = 1, n
      month = 1.0_wp + aint(12.0_wp * min(day_of_year(i) - 1.0_wp, 365.0_wp) / 365.25_wp)
      begun = memory(i, 10) > 0.5_wp
      next_month = begun .and. abs(month - memory(i, 10)) > 0.5_wp
      next_year = next_month .and. month < memory(i, 10)
      mean = memory(i, 1) / max(memory(i, 2), 1.0_wp)
      first = memory(i, 6) < 0.5_wp
      low = merge(mean, min(mean, memory(i, 3)), first)
      high = merge(mean, max(mean, memory(i, 4)), first)
      low = merge(low, memory(i, 3), next_month)
      high = merge(high, memory(i, 4), next_month)
      months = memory(i, 6) + merge(1.0_wp, 0.0_wp, next_month)
      sum_of_year = memory(i, 5)
      ! a complete year enters the means; a broken one is dropped
      weight = merge(keep, 1.0_wp, next_year .and. months > 11.5_wp)
      fresh = 1.0_wp - weight
      memory(i, 7) = weight * memory(i, 7) + fresh
      memory(i, 8) = weight * memory(i, 8) + fresh * low
      memory(i, 9) = weight * memory(i, 9) + fresh * high
      memory(i, 11) = weight * memory(i, 11) + fresh * sum_of_year
      memory(i, 1) = merge(0.0_wp, memory(i, 1), next_month) + air_temperature(i)
      memory(i, 2) = merge(0.0_wp, memory(i, 2), next_month) + 1.0_wp
      memory(i, 3) = low
      memory(i, 4) = high
      memory(i, 5) = merge(0.0_wp, sum_of_year, next_year) + max(0.0_wp, air_temperature(i) - summer_base)
      memory(i, 6) = merge(0.0_wp, months, next_year)
      memory(i, 10) = month
      first = memory(i, 6) < 0.5_wp
      mean = memory(i, 1) / memory(i, 2)
      weight = max(memory(i, 7), 1.0e-30_wp)
      begun = memory(i, 7) > 0.0_wp
      coldest(i) = merge(memory(i, 8) / weight, merge(mean, min(mean, low), first), begun)
      warmest(i) = merge(memory(i, 9) / weight, merge(mean, max(mean, high), first), begun)
      warmth(i) = merge(memory(i, 11) / weight, memory(i, 5), begun)
    end do
  end subroutine bioclimate_day

  subroutine dynamics_year(n_cell, n_slot, kind, area, coldest, warmth, coldest_least, coldest_most, warmth_least, &
      increment, leaf_area, transition, new_area)
    !! Area that changes hands in a year. Woody types die at a rate that falls with their growth, and wholly where the
    !! climate has become too cold; they colonise free area (grass and bare ground) where the climate allows; together
    !! they cover at most 0.95 of the natural area. Grass takes what is left, bare ground where no grass can live.
    integer, intent(in) :: n_cell  !! cells
    integer, intent(in) :: n_slot  !! tiles of a cell, unused ones with area 0 and kind 0
    real(wp), intent(in) :: kind(n_cell, n_slot)  !! 0 not natural (never touched), 1 bare, 2 grass, 3 woody
    real(wp), intent(in) :: area(n_cell, n_slot)  !! fraction of the cell
    real(wp), intent(in) :: coldest(n_cell)  !! 20-year mean of the coldest month, K
    real(wp), intent(in) :: warmth(n_cell)  !! 20-year mean of growing-degree days above 5 degC, K d
    real(wp), intent(in) :: coldest_least(n_cell, n_slot)  !! coldest month that the type survives, K
    real(wp), intent(in) :: coldest_most(n_cell, n_slot)  !! coldest month above which it does not establish, K
    real(wp), intent(in) :: warmth_least(n_cell, n_slot)  !! growing-degree days that it needs to establish, K d
    real(wp), intent(in) :: increment(n_cell, n_slot)  !! NPP less turnover of the year, kg m-2
    real(wp), intent(in) :: leaf_area(n_cell, n_slot)  !! largest leaf area index of the year, m2 m-2
    real(wp), intent(out) :: transition(n_cell, n_slot, n_slot)  !! fraction of the cell from (second) to (third)
    real(wp), intent(out) :: new_area(n_cell, n_slot)  !! fraction of the cell
    integer :: i, j, k
    real(wp), dimension(n_cell) :: natural, woody, free, grass_weight, grass_total, bare_total, colonists, wanted, died
    real(wp), dimension(n_cell, n_slot) :: dies, gains, shares, leaves
    real(wp) :: rate, cover, room, weight, given
    logical :: survives, can
    do i = 1, n_cell
      natural(i) = 0.0_wp
      woody(i) = 0.0_wp
      free(i) = 0.0_wp
      colonists(i) = 0.0_wp
      grass_weight(i) = 0.0_wp
      grass_total(i) = 0.0_wp
      bare_total(i) = 0.0_wp
      died(i) = 0.0_wp
    end do
    do j = 1, n_slot
      do i = 1, n_cell
        natural(i) = natural(i) + merge(area(i, j), 0.0_wp, kind(i, j) > 0.5_wp)
        woody(i) = woody(i) + merge(area(i, j), 0.0_wp, kind(i, j) > 2.5_wp)
        free(i) = free(i) + merge(area(i, j), 0.0_wp, kind(i, j) > 0.5_wp .and. kind(i, j) < 2.5_wp)
        bare_total(i) = bare_total(i) + merge(1.0_wp, 0.0_wp, kind(i, j) > 0.5_wp .and. kind(i, j) < 1.5_wp)
      end do
    end do
    do j = 1, n_slot
      do i = 1, n_cell
        survives = coldest(i) >= coldest_least(i, j)
        can = survives .and. coldest(i) <= coldest_most(i, j) .and. warmth(i) >= warmth_least(i, j)
        rate = mortality_most / (1.0_wp + mortality_slope * max(0.0_wp, increment(i, j)) &
          / max(leaf_area(i, j), 0.01_wp))
        rate = merge(rate, 1.0_wp, survives)
        dies(i, j) = merge(rate * area(i, j), 0.0_wp, kind(i, j) > 2.5_wp)
        gains(i, j) = merge(1.0_wp, 0.0_wp, can .and. kind(i, j) > 2.5_wp)
        ! too dense: all woody types give way in proportion to their area
        room = max(0.0_wp, woody(i) - most_trees * natural(i)) / max(woody(i), 1.0e-30_wp)
        dies(i, j) = max(dies(i, j), merge(room * area(i, j), 0.0_wp, kind(i, j) > 2.5_wp))
        leaves(i, j) = merge(1.0_wp, 0.0_wp, kind(i, j) > 0.5_wp .and. (kind(i, j) < 1.5_wp &
          .or. (kind(i, j) < 2.5_wp .and. .not. survives)))
        weight = max(area(i, j), grass_least * natural(i))
        shares(i, j) = merge(weight, 0.0_wp, can .and. kind(i, j) > 1.5_wp .and. kind(i, j) < 2.5_wp)
        colonists(i) = colonists(i) + gains(i, j)
        grass_weight(i) = grass_weight(i) + shares(i, j)
      end do
    end do
    ! shares of the receivers of free area: grass that may establish, else bare ground
    do j = 1, n_slot
      do i = 1, n_cell
        weight = merge(1.0_wp, 0.0_wp, kind(i, j) > 0.5_wp .and. kind(i, j) < 1.5_wp) / max(bare_total(i), 1.0_wp)
        shares(i, j) = merge(shares(i, j) / max(grass_weight(i), 1.0e-30_wp), weight, grass_weight(i) > 0.0_wp)
        grass_total(i) = grass_total(i) + shares(i, j)
      end do
    end do
    do j = 1, n_slot
      do i = 1, n_cell
        dies(i, j) = merge(dies(i, j), 0.0_wp, grass_total(i) > 0.5_wp)  ! no receiver: the dead area stays
        died(i) = died(i) + dies(i, j)
      end do
    end do
    do i = 1, n_cell
      cover = min(1.0_wp, woody(i) / max(natural(i), 1.0e-30_wp))
      wanted(i) = establishment * (1.0_wp - exp(-5.0_wp * (1.0_wp - cover))) * (1.0_wp - cover) * natural(i)
      wanted(i) = min(wanted(i), free(i), max(0.0_wp, most_trees * natural(i) - (woody(i) - died(i))))
      wanted(i) = wanted(i) / max(colonists(i), 1.0_wp)
    end do
    do j = 1, n_slot
      do i = 1, n_cell
        gains(i, j) = gains(i, j) * wanted(i)
      end do
    end do
    do k = 1, n_slot
      do j = 1, n_slot
        do i = 1, n_cell
          given = dies(i, j) * shares(i, k)
          ! colonists take free area in proportion; the rest of free area goes to grass that may establish
          weight = gains(i, k) * area(i, j) / max(free(i), 1.0e-30_wp)
          room = wanted(i) * colonists(i) * area(i, j) / max(free(i), 1.0e-30_wp)
          weight = weight + max(0.0_wp, area(i, j) - room) * shares(i, k) &
            * merge(leaves(i, j), 0.0_wp, shares(i, j) <= 0.0_wp)
          given = given + merge(weight, 0.0_wp, kind(i, j) > 0.5_wp .and. kind(i, j) < 2.5_wp)
          transition(i, j, k) = merge(0.0_wp, given, j == k)
        end do
      end do
    end do
    call area_after(n_cell, n_slot, area, transition, new_area)
  end subroutine dynamics_year

  subroutine gaps_year(n_cell, n_slot, kind, area, establishes, turnover, vigour, transition, new_area)
    !! Gaps that dying trees leave are taken by the woody types that establish, in proportion to their area and vigour (a
    !! lottery, Chesson & Warner 1981, Am. Nat. 117:923). Only the net exchange between two types is added to the
    !! transitions: where a type follows itself nothing changes hands.
    integer, intent(in) :: n_cell  !! cells
    integer, intent(in) :: n_slot  !! tiles of a cell
    real(wp), intent(in) :: kind(n_cell, n_slot)  !! as of dynamics_year
    real(wp), intent(in) :: area(n_cell, n_slot)  !! fraction of the cell
    real(wp), intent(in) :: establishes(n_cell, n_slot)  !! 1: the climate lets the type establish
    real(wp), intent(in) :: turnover(n_cell, n_slot)  !! share of the area whose trees die in the year
    real(wp), intent(in) :: vigour(n_cell, n_slot)  !! strength in the lottery, from 0 on, any unit
    real(wp), intent(inout) :: transition(n_cell, n_slot, n_slot)  !! fraction of the cell from (second) to (third)
    real(wp), intent(out) :: new_area(n_cell, n_slot)  !! fraction of the cell
    real(wp), dimension(n_cell, n_slot) :: ticket, gap
    real(wp), dimension(n_cell) :: total, gone
    real(wp) :: net
    integer :: i, j, k
    do i = 1, n_cell
      total(i) = 0.0_wp
    end do
    do j = 1, n_slot
      do i = 1, n_cell
        gone(i) = 0.0_wp
      end do
      do k = 1, n_slot
        do i = 1, n_cell
          gone(i) = gone(i) + transition(i, j, k)
        end do
      end do
      do i = 1, n_cell
        net = merge(1.0_wp, 0.0_wp, kind(i, j) > 2.5_wp)
        gap(i, j) = net * min(1.0_wp, max(0.0_wp, turnover(i, j))) * max(0.0_wp, area(i, j) - gone(i))
        ticket(i, j) = net * establishes(i, j) * area(i, j) * max(0.0_wp, vigour(i, j))
        total(i) = total(i) + ticket(i, j)
      end do
    end do
    do k = 1, n_slot
      do j = 1, n_slot
        if (j == k) cycle
        do i = 1, n_cell
          net = (gap(i, j) * ticket(i, k) - gap(i, k) * ticket(i, j)) / max(total(i), 1.0e-30_wp)
          transition(i, j, k) = transition(i, j, k) + max(0.0_wp, net)
        end do
      end do
    end do
    call area_after(n_cell, n_slot, area, transition, new_area)
  end subroutine gaps_year

  subroutine area_after(n_cell, n_slot, area, transition, new_area)
    !! Areas after the transitions; those without any keep every bit.
    integer, intent(in) :: n_cell  !! cells
    integer, intent(in) :: n_slot  !! tiles of a cell
    real(wp), intent(in) :: area(n_cell, n_slot)  !! fraction of the cell
    real(wp), intent(in) :: transition(n_cell, n_slot, n_slot)  !! fraction of the cell from (second) to (third)
    real(wp), intent(out) :: new_area(n_cell, n_slot)  !! fraction of the cell
    real(wp), dimension(n_cell, n_slot) :: kept, arrived
    integer :: i, j
    call kept_and_arrived(n_cell, n_slot, area, transition, kept, arrived)
    do j = 1, n_slot
      do i = 1, n_cell
        new_area(i, j) = kept(i, j) + arrived(i, j)
      end do
    end do
  end subroutine area_after

  subroutine kept_and_arrived(n_cell, n_slot, area, transition, kept, arrived)
    !! Area that stays and area that comes.
    integer, intent(in) :: n_cell  !! cells
    integer, intent(in) :: n_slot  !! tiles of a cell
    real(wp), intent(in) :: area(n_cell, n_slot)  !! fraction of the cell
    real(wp), intent(in) :: transition(n_cell, n_slot, n_slot)  !! fraction of the cell from (second) to (third)
    real(wp), intent(out) :: kept(n_cell, n_slot)  !! fraction of the cell
    real(wp), intent(out) :: arrived(n_cell, n_slot)  !! fraction of the cell
    integer :: i, j, k
    real(wp) :: gone(n_cell)
    do j = 1, n_slot
      do i = 1, n_cell
        gone(i) = 0.0_wp
        arrived(i, j) = 0.0_wp
      end do
      do k = 1, n_slot
        if (k == j) cycle
        do i = 1, n_cell
          gone(i) = gone(i) + transition(i, j, k)
          arrived(i, j) = arrived(i, j) + transition(i, k, j)
        end do
      end do
      do i = 1, n_cell
        kept(i, j) = area(i, j) - gone(i)
        ! what rounding leaves of a tile that goes wholly is no tile
        if (kept(i, j) < 1.0e-14_wp * area(i, j)) kept(i, j) = 0.0_wp
      end do
    end do
  end subroutine kept_and_arrived

  subroutine move_area(n_cell, n_slot, n_column, area, transition, carried, state, felled)
    !! Amounts per area after transitions: a tile that grows is the area-weighted mixture of what it was and what comes,
    !! a tile that shrinks keeps its amounts per area. For plants on cleared area: `carried` 0, and what stood on the
    !! area arrives as `felled`. The sum over area x (state + felled) is conserved.
    integer, intent(in) :: n_cell  !! cells
    integer, intent(in) :: n_slot  !! tiles of a cell
    integer, intent(in) :: n_column  !! amounts
    real(wp), intent(in) :: area(n_cell, n_slot)  !! before, fraction of the cell
    real(wp), intent(in) :: transition(n_cell, n_slot, n_slot)  !! fraction of the cell from (second) to (third)
    real(wp), intent(in) :: carried(n_cell, n_slot, n_slot)  !! share of the amount that arrives as it is, 0 to 1
    real(wp), intent(inout) :: state(n_cell, n_slot, n_column)  !! amounts per tile area (kg m-2, m3 m-3, J m-2)
    real(wp), intent(out) :: felled(n_cell, n_slot, n_column)  !! not carried, per area of the receiver after the change
    real(wp), dimension(n_cell, n_slot) :: kept, arrived, before
    real(wp), dimension(n_cell) :: comes, falls
    integer :: i, j, k, column
    real(wp) :: mixed, inverse
    call kept_and_arrived(n_cell, n_slot, area, transition, kept, arrived)
    do column = 1, n_column
      do j = 1, n_slot
        do i = 1, n_cell
          before(i, j) = state(i, j, column)
        end do
      end do
      do j = 1, n_slot
        do i = 1, n_cell
          comes(i) = 0.0_wp
          falls(i) = 0.0_wp
        end do
        do k = 1, n_slot
          if (k == j) cycle
          do i = 1, n_cell
            comes(i) = comes(i) + transition(i, k, j) * before(i, k) * carried(i, k, j)
            falls(i) = falls(i) + transition(i, k, j) * before(i, k) * (1.0_wp - carried(i, k, j))
          end do
        end do
        do i = 1, n_cell
          inverse = 1.0_wp / max(kept(i, j) + arrived(i, j), 1.0e-300_wp)
          mixed = (kept(i, j) * before(i, j) + comes(i)) * inverse
          mixed = merge(mixed, before(i, j), arrived(i, j) > 0.0_wp)
          mixed = merge(mixed, 0.0_wp, kept(i, j) + arrived(i, j) > 0.0_wp .or. area(i, j) <= 0.0_wp)
          state(i, j, column) = mixed
          felled(i, j, column) = falls(i) * inverse
        end do
      end do
    end do
  end subroutine move_area

  subroutine move_area_heat(n_cell, n_slot, n_layer, area, transition, capacity_before, capacity_after, temperature)
    !! Temperatures after transitions, by sensible heat counted from the freezing point. Water, ice and the heat of all
    !! of them are conserved when liquid and ice go through move_area: the latent heat moves with the ice, and phase
    !! changes of the mixture are left to the next step of soil heat.
    integer, intent(in) :: n_cell  !! cells
    integer, intent(in) :: n_slot  !! tiles of a cell
    integer, intent(in) :: n_layer  !! layers
    real(wp), intent(in) :: area(n_cell, n_slot)  !! before, fraction of the cell
    real(wp), intent(in) :: transition(n_cell, n_slot, n_slot)  !! fraction of the cell from (second) to (third)
    real(wp), intent(in) :: capacity_before(n_cell, n_slot, n_layer)  !! heat capacity with the water before, J m-2 K-1
    real(wp), intent(in) :: capacity_after(n_cell, n_slot, n_layer)  !! heat capacity with the mixed water, J m-2 K-1
    real(wp), intent(inout) :: temperature(n_cell, n_slot, n_layer)  !! K
    real(wp), dimension(n_cell, n_slot) :: kept, arrived, before
    real(wp) :: heat(n_cell), mixed
    integer :: i, j, k, layer
    call kept_and_arrived(n_cell, n_slot, area, transition, kept, arrived)
    do layer = 1, n_layer
      do j = 1, n_slot
        do i = 1, n_cell
          before(i, j) = capacity_before(i, j, layer) * (temperature(i, j, layer) - freezing_point)
        end do
      end do
      do j = 1, n_slot
        do i = 1, n_cell
          heat(i) = kept(i, j) * before(i, j)
        end do
        do k = 1, n_slot
          if (k == j) cycle
          do i = 1, n_cell
            heat(i) = heat(i) + transition(i, k, j) * before(i, k)
          end do
        end do
        do i = 1, n_cell
          mixed = (kept(i, j) + arrived(i, j)) * capacity_after(i, j, layer)
          mixed = freezing_point + merge(heat(i) / max(mixed, 1.0e-300_wp), 0.0_wp, mixed > 0.0_wp)
          temperature(i, j, layer) = merge(mixed, temperature(i, j, layer), arrived(i, j) > 0.0_wp)
        end do
      end do
    end do
  end subroutine move_area_heat

  subroutine move_area_mean(n_cell, n_slot, n_column, area, transition, carried, state)
    !! Memories after transitions: the mean weighted by the area whose plants survive. Where none does (a new tile) the
    !! memory is that of the tile that gives the largest area.
    integer, intent(in) :: n_cell  !! cells
    integer, intent(in) :: n_slot  !! tiles of a cell
    integer, intent(in) :: n_column  !! memories
    real(wp), intent(in) :: area(n_cell, n_slot)  !! before, fraction of the cell
    real(wp), intent(in) :: transition(n_cell, n_slot, n_slot)  !! fraction of the cell from (second) to (third)
    real(wp), intent(in) :: carried(n_cell, n_slot, n_slot)  !! share of the plants that survives the change, 0 to 1
    real(wp), intent(inout) :: state(n_cell, n_slot, n_column)  !! running means, counters
    real(wp), dimension(n_cell, n_slot) :: kept, arrived, before
    real(wp), dimension(n_cell) :: weight, total, largest, copy
    real(wp) :: mixed
    integer :: i, j, k, column
    call kept_and_arrived(n_cell, n_slot, area, transition, kept, arrived)
    do column = 1, n_column
      do j = 1, n_slot
        do i = 1, n_cell
          before(i, j) = state(i, j, column)
        end do
      end do
      do j = 1, n_slot
        do i = 1, n_cell
          weight(i) = kept(i, j)
          total(i) = kept(i, j) * before(i, j)
          largest(i) = 0.0_wp
          copy(i) = before(i, j)
        end do
        do k = 1, n_slot
          if (k == j) cycle
          do i = 1, n_cell
            mixed = transition(i, k, j) * carried(i, k, j)
            weight(i) = weight(i) + mixed
            total(i) = total(i) + mixed * before(i, k)
            copy(i) = merge(before(i, k), copy(i), transition(i, k, j) > largest(i))
            largest(i) = max(largest(i), transition(i, k, j))
          end do
        end do
        do i = 1, n_cell
          mixed = merge(total(i) / max(weight(i), 1.0e-300_wp), copy(i), weight(i) > 0.0_wp)
          state(i, j, column) = merge(mixed, before(i, j), weight(i) > kept(i, j) .or. kept(i, j) <= 0.0_wp)
        end do
      end do
    end do
  end subroutine move_area_mean
end module concerto_dynamics
