module concerto_interface
  !! The calls that Python makes: plain arrays only.
  use concerto_tables, only: tables_digest
  implicit none
  private
  public :: core_digest

contains

  subroutine core_digest(digest)
    !! Digest of the tables that this core was built from.
    character(16), intent(out) :: digest  !! hexadecimal
    digest = tables_digest
  end subroutine core_digest
end module concerto_interface
