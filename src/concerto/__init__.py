"""concerto: an integrated land carbon-cycle model. One Fortran step, many hosts."""

__version__ = "0.1.0"
