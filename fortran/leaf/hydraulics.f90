module concerto_hydraulics
  !! Water in plants at steady state: from the soil through roots and stem to the leaves, with the loss of conductance
  !! by cavitation, and what a drought leaves behind in the xylem.
  !!
  !! Flow E passes soil and roots, then the stem, then the leaves; the conductance of stem and leaves falls with the
  !! potential at their upper stream end (as CTSM, Kennedy et al. 2019) along 1/(1 + (psi/psi50)^a) (Christoffersen et
  !! al. 2016). So all potentials follow from E without iteration, and demand meets supply where
  !!   E = E_max f(psi_leaf(E)),   f = 1/(1 + (psi_leaf/psi50_leaf)^a_leaf),
  !! which has one solution because both sides cross once. Conduits that were lost before (damage D) are the most
  !! vulnerable ones: the conductance is min(k(psi), 1 - D), not their product.
  !! Potentials MPa (negative), flows mol m-2 ground s-1, conductances mol m-2 ground s-1 MPa-1.
  use concerto_kinds, only: wp
  implicit none
  private
  public :: hydraulic_stress, hydraulic_state, xylem_damage_step

  real(wp), parameter, public :: root_share = 0.5_wp  !! of the resistance of the plant without cavitation
  real(wp), parameter :: stem_share = 0.625_wp  !! of the rest; the leaves have what remains (FATES)
  real(wp), parameter :: wettest = -1.0e-3_wp  !! largest potential in use, MPa
  real(wp), parameter :: driest = -20.0_wp  !! no potential gets lower, MPa
  real(wp), parameter :: least_conductance = 1.0e-9_wp  !! mol m-2 s-1 MPa-1
  real(wp), parameter :: least_open = 1.0e-3_wp  !! share of conductance that no damage takes, -
  integer, parameter :: turns = 10  !! of the search for the flow

contains

  subroutine hydraulic_stress(n, demand, source_potential, soil_conductance, shoot_conductance, height_potential, &
                              damage, potential_half, steepness, leaf_half, leaf_shape, factor, leaf_potential)
    !! Factor by which leaves with this demand close, and their potential.
    integer, intent(in) :: n  !! number of tiles
    real(wp), intent(in) :: demand(n)  !! transpiration of unstressed leaves, mol m-2 s-1
    real(wp), intent(in) :: source_potential(n)  !! root zone, MPa
    real(wp), intent(in) :: soil_conductance(n)  !! soil and roots, mol m-2 s-1 MPa-1
    real(wp), intent(in) :: shoot_conductance(n)  !! stem and leaves without cavitation, mol m-2 s-1 MPa-1
    real(wp), intent(in) :: height_potential(n)  !! weight of the water column up to the leaves, MPa (positive)
    real(wp), intent(in) :: damage(n)  !! share of conductance lost for good, 0-1
    real(wp), intent(in) :: potential_half(n)  !! xylem psi50, MPa
    real(wp), intent(in) :: steepness(n)  !! exponent a of the xylem, -
    real(wp), intent(in) :: leaf_half(n)  !! leaf potential at half opening, MPa
    real(wp), intent(in) :: leaf_shape(n)  !! its exponent, -
    real(wp), intent(out) :: factor(n)  !! 0 (closed) to 1 (open)
    real(wp), intent(out) :: leaf_potential(n)  !! MPa
    real(wp), dimension(n) :: low, high, above, below
    real(wp) :: flow, stem, leaf, open, r, a, b, fa, fb, keep
    integer :: i, turn

    do i = 1, n
      low(i) = 0.0_wp
      high(i) = max(demand(i), 0.0_wp)
      call potentials(0.0_wp, source_potential(i), soil_conductance(i), shoot_conductance(i), height_potential(i), &
                      damage(i), potential_half(i), steepness(i), stem, leaf)
      open = relative(leaf, leaf_half(i), leaf_shape(i))
      above(i) = high(i) * open  ! residual E_max f - E at the lower end
      call potentials(high(i), source_potential(i), soil_conductance(i), shoot_conductance(i), height_potential(i), &
                      damage(i), potential_half(i), steepness(i), stem, leaf)
      below(i) = high(i) * (relative(leaf, leaf_half(i), leaf_shape(i)) - 1.0_wp)
    end do
    ! regula falsi that halves the weight of an end that stays (Illinois)
    do turn = 1, turns
      do i = 1, n
        a = low(i)
        b = high(i)
        fa = above(i)
        fb = below(i)
        flow = (a * fb - b * fa) / min(fb - fa, -1.0e-30_wp)
        flow = min(max(flow, a), b)
        call potentials(flow, source_potential(i), soil_conductance(i), shoot_conductance(i), height_potential(i), &
                        damage(i), potential_half(i), steepness(i), stem, leaf)
        open = relative(leaf, leaf_half(i), leaf_shape(i))
        r = max(demand(i), 0.0_wp) * open - flow
        keep = merge(1.0_wp, 0.0_wp, r > 0.0_wp)
        low(i) = keep * flow + (1.0_wp - keep) * a
        above(i) = keep * r + (1.0_wp - keep) * 0.5_wp * fa
        high(i) = keep * b + (1.0_wp - keep) * flow
        below(i) = keep * 0.5_wp * fb + (1.0_wp - keep) * r
        factor(i) = open
        leaf_potential(i) = leaf
      end do
    end do
  end subroutine hydraulic_stress

  subroutine hydraulic_state(n, flow, source_potential, soil_conductance, shoot_conductance, height_potential, damage, &
                             potential_half, steepness, leaf_half, leaf_shape, leaf_potential, stem_potential, loss, factor)
    !! Potentials in a plant that transpires, and the loss of conductivity of its stem.
    integer, intent(in) :: n  !! number of tiles
    real(wp), intent(in) :: flow(n)  !! transpiration, mol m-2 s-1
    real(wp), intent(in) :: source_potential(n)  !! root zone, MPa
    real(wp), intent(in) :: soil_conductance(n)  !! soil and roots, mol m-2 s-1 MPa-1
    real(wp), intent(in) :: shoot_conductance(n)  !! stem and leaves without cavitation, mol m-2 s-1 MPa-1
    real(wp), intent(in) :: height_potential(n)  !! weight of the water column up to the leaves, MPa (positive)
    real(wp), intent(in) :: damage(n)  !! share of conductance lost for good, 0-1
    real(wp), intent(in) :: potential_half(n)  !! xylem psi50, MPa
    real(wp), intent(in) :: steepness(n)  !! exponent a of the xylem, -
    real(wp), intent(in) :: leaf_half(n)  !! leaf potential at half opening, MPa
    real(wp), intent(in) :: leaf_shape(n)  !! its exponent, -
    real(wp), intent(out) :: leaf_potential(n)  !! MPa
    real(wp), intent(out) :: stem_potential(n)  !! upper end of the stem, MPa
    real(wp), intent(out) :: loss(n)  !! share of the conductivity of the stem that is lost, 0-1
    real(wp), intent(out) :: factor(n)  !! opening of stomata that belongs to the leaf potential, 0-1
    real(wp) :: stem, leaf
    integer :: i

    do i = 1, n
      call potentials(max(flow(i), 0.0_wp), source_potential(i), soil_conductance(i), shoot_conductance(i), &
                      height_potential(i), damage(i), potential_half(i), steepness(i), stem, leaf)
      stem_potential(i) = stem
      leaf_potential(i) = leaf
      loss(i) = 1.0_wp - min(relative(stem, potential_half(i), steepness(i)), 1.0_wp - damage(i))
      factor(i) = relative(leaf, leaf_half(i), leaf_shape(i))
    end do
  end subroutine hydraulic_state

  subroutine xylem_damage_step(n, time_step, least_potential, potential_half, steepness, unfilled, sapwood_growth, sapwood, &
                               woody, leaf_longevity, damage, loss)
    !! Damage of the xylem after a day: at least the share of today's largest loss that does not refill; it goes with
    !! the growth of new sapwood, in herbs with new leaves. Constant relative growth g gives D = D0 exp(-g t).
    integer, intent(in) :: n  !! number of tiles
    real(wp), intent(in) :: time_step  !! d
    real(wp), intent(in) :: least_potential(n)  !! lowest potential of the stem since the last step, MPa
    real(wp), intent(in) :: potential_half(n)  !! xylem psi50, MPa
    real(wp), intent(in) :: steepness(n)  !! exponent a, -
    real(wp), intent(in) :: unfilled(n)  !! share of the conduits lost that does not refill, 0-1
    real(wp), intent(in) :: sapwood_growth(n)  !! new sapwood of the step, kg m-2
    real(wp), intent(in) :: sapwood(n)  !! with the new, kg m-2
    real(wp), intent(in) :: woody(n)  !! 1: has wood
    real(wp), intent(in) :: leaf_longevity(n)  !! yr; herbs renew their xylem with their leaves
    real(wp), intent(inout) :: damage(n)  !! share of conductance lost for good, 0-1
    real(wp), intent(out) :: loss(n)  !! largest loss of conductivity of the day, old damage included, 0-1
    real(wp) :: rate, old, fresh, today
    integer :: i

    do i = 1, n
      rate = max(sapwood_growth(i), 0.0_wp) / max(sapwood(i), 1.0e-6_wp)
      fresh = time_step / (365.25_wp * leaf_longevity(i))
      rate = merge(rate, fresh, woody(i) > 0.5_wp)
      old = damage(i) * exp(-rate)
      today = 1.0_wp - relative(least_potential(i), potential_half(i), steepness(i))
      fresh = unfilled(i) * today
      loss(i) = max(today, damage(i))
      damage(i) = min(max(old, fresh), 1.0_wp)
    end do
  end subroutine xylem_damage_step

  elemental subroutine potentials(flow, source, soil_conductance, shoot_conductance, height, damage, potential_half, &
                                  steepness, stem, leaf)
    !! Potentials at the upper end of the stem and in the leaves.
    real(wp), intent(in) :: flow, source, soil_conductance, shoot_conductance, height, damage, potential_half, steepness
    real(wp), intent(out) :: stem, leaf
    real(wp) :: root, drop, open, most

    most = max(1.0_wp - damage, least_open)
    drop = flow / max(shoot_conductance, least_conductance)
    root = max(source - flow / max(soil_conductance, least_conductance), driest)
    open = max(min(relative(root, potential_half, steepness), most), least_open)
    stem = max(root - stem_share * drop / open - height, driest)
    open = max(min(relative(stem, potential_half, steepness), most), least_open)
    leaf = max(stem - (1.0_wp - stem_share) * drop / open, driest)
  end subroutine potentials

  elemental function relative(potential, potential_half, steepness) result(k)
    !! 1/(1 + (psi/psi50)^a).
    real(wp), intent(in) :: potential, potential_half, steepness
    real(wp) :: k
    k = 1.0_wp / (1.0_wp + exp(min(steepness * log(min(potential, wettest) / potential_half), 60.0_wp)))
  end function relative
end module concerto_hydraulics
