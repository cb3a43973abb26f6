module concerto_kinds
  !! The one working precision of the library.
  implicit none
  private
  integer, parameter, public :: wp = kind(1.0d0)  !! real kind of all state, parameters and fluxes
end module concerto_kinds
