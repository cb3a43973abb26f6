module concerto_constants
  !! Physical constants, one value each, SI units. Sources: CODATA 2018 for universal constants;
  !! the others are the conventional values named beside them.
  use concerto_kinds, only: wp
  implicit none
  private

  real(wp), parameter, public :: pi = 3.14159265358979323846_wp
  real(wp), parameter, public :: gas_constant = 8.314462618_wp  !! J mol-1 K-1
  real(wp), parameter, public :: stefan_boltzmann = 5.670374e-8_wp  !! W m-2 K-4
  real(wp), parameter, public :: gravity = 9.80665_wp  !! m s-2
  real(wp), parameter, public :: von_karman = 0.40_wp  !! -
  real(wp), parameter, public :: freezing_point = 273.15_wp  !! K
  real(wp), parameter, public :: latent_heat_fusion = 3.337e5_wp  !! J kg-1
  real(wp), parameter, public :: latent_heat_vaporization = 2.501e6_wp  !! J kg-1, constant in all budgets
  real(wp), parameter, public :: latent_heat_sublimation = latent_heat_vaporization + latent_heat_fusion  !! J kg-1
  real(wp), parameter, public :: heat_capacity_liquid = 4188.0_wp  !! J kg-1 K-1
  real(wp), parameter, public :: heat_capacity_ice = 2117.0_wp  !! J kg-1 K-1
  real(wp), parameter, public :: heat_capacity_air = 1004.64_wp  !! dry air at constant pressure, J kg-1 K-1
  real(wp), parameter, public :: density_water = 1000.0_wp  !! kg m-3
  real(wp), parameter, public :: density_ice = 917.0_wp  !! kg m-3
  real(wp), parameter, public :: gas_constant_dry_air = 287.04_wp  !! J kg-1 K-1
  real(wp), parameter, public :: gas_constant_vapour = 461.50_wp  !! J kg-1 K-1
  real(wp), parameter, public :: vapour_ratio = 0.622_wp  !! molar mass of water over that of dry air, -
  real(wp), parameter, public :: conductivity_water = 0.57_wp  !! W m-1 K-1
  real(wp), parameter, public :: conductivity_ice = 2.29_wp  !! W m-1 K-1
  real(wp), parameter, public :: conductivity_air = 0.023_wp  !! W m-1 K-1
  real(wp), parameter, public :: molar_mass_carbon = 12.011e-3_wp  !! kg mol-1
  real(wp), parameter, public :: molar_mass_water = 18.015e-3_wp  !! kg mol-1
  real(wp), parameter, public :: molar_mass_air = 28.9647e-3_wp  !! kg mol-1
  real(wp), parameter, public :: photons_per_joule = 4.6_wp  !! photosynthetically active radiation, umol J-1
  real(wp), parameter, public :: oxygen_mole_fraction = 0.209476_wp  !! mol mol-1
  real(wp), parameter, public :: standard_pressure = 101325.0_wp  !! Pa
  real(wp), parameter, public :: seconds_per_day = 86400.0_wp  !! s
  real(wp), parameter, public :: seconds_per_year = 3.15576e7_wp  !! s, 365.25 days
end module concerto_constants
