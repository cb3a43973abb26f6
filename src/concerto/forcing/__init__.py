"""Reading of forcing: flux-tower files of several layouts into one checked, gap-free `Site`."""

from concerto.forcing.site import Site, read_site

__all__ = ["Site", "read_site"]
