module concerto_mortality
  !! Death of plants as hazards (yr-1) by cause, which add: a share 1 - exp(-sum m dt) dies. Background (CTSM by type),
  !! carbon starvation, drought (FATES: Fisher et al. 2010, McDowell et al. 2018), heat (LPJ: Sitch et al. 2003), frost
  !! (FATES, Albani et al. 2006) and slow growth (LPJ growth efficiency). Leaves damaged by heat are a loss of leaves,
  !! not of plants.
  use concerto_kinds, only: wp
  use concerto_options, only: mortality_causes_full, mortality_causes_growth_efficiency
  implicit none
  private
  public :: mortality_rates, mortality_memory, heat_damage
  public :: cause_background, cause_starvation, cause_drought, cause_heat, cause_frost, cause_slow_growth, n_cause

  integer, parameter :: cause_background = 1, cause_starvation = 2, cause_drought = 3, cause_heat = 4, cause_frost = 5
  integer, parameter :: cause_slow_growth = 6, n_cause = 6
  real(wp), parameter :: starvation_rate = 0.6_wp  !! FATES, yr-1
  real(wp), parameter :: drought_rate = 0.6_wp  !! FATES, yr-1
  real(wp), parameter :: conductivity_threshold = 0.5_wp  !! loss of conductivity at which plants begin to die, FATES
  real(wp), parameter :: heat_sum = 400.0_wp  !! degree days for a hazard of 1 yr-1, LPJ
  real(wp), parameter :: frost_rate = 3.0_wp  !! FATES, yr-1
  real(wp), parameter :: frost_range = 5.0_wp  !! FATES, K
  real(wp), parameter :: slow_growth_rate = 0.015_wp  !! LPJ, yr-1
  real(wp), parameter :: slow_growth_slope = 0.2_wp  !! LPJ, per g C m-2 of leaf and year

contains

  subroutine mortality_memory(n, time_step, air_temperature, water_stress, npp, litter, labile, leaf_area, &
      heat_threshold, &
      stress_mean, heat_days, growth_mean, leaf_area_mean, labile_mean)
    !! Running means that the hazards respond to: of thirty days for stress and the labile pool, of a year for the
    !! degree days above the threshold, growth (NPP - litter) and leaf area.
    integer, intent(in) :: n  !! tiles
    real(wp), intent(in) :: time_step  !! d
    real(wp), intent(in) :: air_temperature(n)  !! mean of the day, K
    real(wp), intent(in) :: water_stress(n)  !! mean of the day, 1: none
    real(wp), intent(in) :: npp(n)  !! of the day, kg m-2
    real(wp), intent(in) :: litter(n)  !! turnover and shedding of the day, without mortality, kg m-2
    real(wp), intent(in) :: labile(n)  !! kg m-2
    real(wp), intent(in) :: leaf_area(n)  !! m2 m-2
    real(wp), intent(in) :: heat_threshold(n)  !! temperature above which degree days count, K
    real(wp), intent(inout) :: stress_mean(n)  !! water stress factor, 30 d
    real(wp), intent(inout) :: heat_days(n)  !! degree days above the threshold of about a year, K d
    real(wp), intent(inout) :: growth_mean(n)  !! NPP - turnover, kg m-2 yr-1
    real(wp), intent(inout) :: leaf_area_mean(n)  !! m2 m-2
    real(wp), intent(inout) :: labile_mean(n)  !! kg m-2, 30 d
    integer :: i
    real(wp) :: month, year
    month = 1.0_wp - exp(-time_step / 30.0_wp)
    year = 1.0_wp - exp(-time_step / 365.25_wp)
    do i = 1, n
      stress_mean(i) = stress_mean(i) + month * (water_stress(i) - stress_mean(i))
      labile_mean(i) = labile_mean(i) + month * (labile(i) - labile_mean(i))
      heat_days(i) = heat_days(i) + year * (365.25_wp * max(0.0_wp, &
          air_temperature(i) - heat_threshold(i)) - heat_days(i))
      growth_mean(i) = growth_mean(i) + year * (365.25_wp * (npp(i) - litter(i)) / time_step - growth_mean(i))
      leaf_area_mean(i) = leaf_area_mean(i) + year * (leaf_area(i) - leaf_area_mean(i))
    end do
  end subroutine mortality_memory

  subroutine mortality_rates(n, mortality, hydraulics, air_temperature, labile_mean, full_leaf, reserve_ratio, &
      stress_mean, conductivity_loss, heat_days, growth_mean, leaf_area_mean, background, starvation_ratio, &
      stress_threshold, frost_tolerance, woody, hazard, total)
    !! Hazards of the day by cause and their sum.
    integer, intent(in) :: n  !! tiles
    integer, intent(in) :: mortality  !! option mortality_causes
    integer, intent(in) :: hydraulics  !! 1: drought kills by loss of conductivity, else by the mean stress factor
    real(wp), intent(in) :: air_temperature(n)  !! mean of the day, K
    real(wp), intent(in) :: labile_mean(n)  !! labile carbon, mean of 30 d, kg m-2
    real(wp), intent(in) :: full_leaf(n)  !! carbon of full leaves, kg m-2
    real(wp), intent(in) :: reserve_ratio(n)  !! reserve over carbon of full leaves
    real(wp), intent(in) :: stress_mean(n)  !! water stress factor, mean of 30 d
    real(wp), intent(in) :: conductivity_loss(n)  !! loss of xylem conductivity, 0 to 1 (with hydraulics)
    real(wp), intent(in) :: heat_days(n)  !! degree days above the type's threshold in a year, K d
    real(wp), intent(in) :: growth_mean(n)  !! NPP - turnover, kg m-2 yr-1
    real(wp), intent(in) :: leaf_area_mean(n)  !! mean of a year, m2 m-2
    real(wp), intent(in) :: background(n)  !! yr-1
    real(wp), intent(in) :: starvation_ratio(n)  !! labile carbon over the reserve below which plants starve
    real(wp), intent(in) :: stress_threshold(n)  !! mean stress factor below which plants die of drought
    real(wp), intent(in) :: frost_tolerance(n)  !! temperature at which frost kills at its full rate, K
    real(wp), intent(in) :: woody(n)  !! 1: has wood; slow growth kills woody plants only
    real(wp), intent(out) :: hazard(n, 6)  !! background, starvation, drought, heat, frost, slow growth, yr-1
    real(wp), intent(out) :: total(n)  !! their sum, yr-1
    integer :: i, k
    real(wp) :: reserve, vigour
    do i = 1, n
      hazard(i, cause_background) = background(i)
      hazard(i, cause_starvation) = 0.0_wp
      hazard(i, cause_drought) = 0.0_wp
      hazard(i, cause_heat) = 0.0_wp
      hazard(i, cause_frost) = 0.0_wp
      hazard(i, cause_slow_growth) = 0.0_wp
    end do
    select case (mortality)
    case (mortality_causes_full)
      do i = 1, n
        ! FATES takes the labile pool over full leaves; here plants of some types live well with a small pool, so it is
        ! measured against a share of the reserve that the type keeps
        reserve = starvation_ratio(i) * reserve_ratio(i) * full_leaf(i)
        hazard(i, cause_starvation) = starvation_rate * max(0.0_wp, reserve - max(0.0_wp, labile_mean(i))) &
                                      / max(reserve, 1.0e-30_wp)
        hazard(i, cause_heat) = min(1.0_wp, max(0.0_wp, heat_days(i)) / heat_sum)
        hazard(i, cause_frost) = frost_rate * min(1.0_wp, max(0.0_wp, &
            1.0_wp - (air_temperature(i) - frost_tolerance(i)) &
                                                              / frost_range))
      end do
      if (hydraulics == 1) then
        do i = 1, n
          hazard(i, cause_drought) = drought_rate * max(0.0_wp, min(1.0_wp, &
              conductivity_loss(i)) - conductivity_threshold) &
                                     / (1.0_wp - conductivity_threshold)
        end do
      else
        do i = 1, n
          hazard(i, cause_drought) = drought_rate * max(0.0_wp, stress_threshold(i) - max(0.0_wp, stress_mean(i))) &
                                     / max(stress_threshold(i), 1.0e-30_wp)
        end do
      end if
    case (mortality_causes_growth_efficiency)
      do i = 1, n
        vigour = 1000.0_wp * max(0.0_wp, growth_mean(i)) / max(leaf_area_mean(i), 0.01_wp)  ! g C m-2 of leaf, as LPJ
        hazard(i, cause_slow_growth) = woody(i) * slow_growth_rate / (1.0_wp + slow_growth_slope * vigour)
      end do
    end select
    total(:) = 0.0_wp
    do k = 1, n_cause
      do i = 1, n
        total(i) = total(i) + hazard(i, k)
      end do
    end do
  end subroutine mortality_rates

  subroutine heat_damage(n, time_step, warmest_leaf, damage_temperature, damage_range, damage)
    !! Share of leaves lost on a hot day: logistic in the highest leaf temperature.
    integer, intent(in) :: n  !! tiles
    real(wp), intent(in) :: time_step  !! d
    real(wp), intent(in) :: warmest_leaf(n)  !! highest leaf temperature of the day, K
    real(wp), intent(in) :: damage_temperature(n)  !! temperature at which half the leaves are lost, K
    real(wp), intent(in) :: damage_range(n)  !! width of the logistic, K
    real(wp), intent(out) :: damage(n)  !! leaf_damage of vegetation_daily, 0 to 1
    integer :: i
    real(wp) :: lost
    do i = 1, n
      lost = 1.0_wp / (1.0_wp + exp(min(500.0_wp, (damage_temperature(i) - warmest_leaf(i)) / damage_range(i))))
      damage(i) = 1.0_wp - exp(time_step * log(max(1.0e-30_wp, 1.0_wp - lost)))
    end do
  end subroutine heat_damage
end module concerto_mortality
