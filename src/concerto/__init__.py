"""concerto: an integrated land carbon-cycle model. One Fortran step, many hosts."""

__version__ = "0.1.0"


def __getattr__(name):
    """Public names, imported when they are first used: start-up stays fast."""
    if name == "open_site":
        from concerto.simulation.site import open_site

        return open_site
    if name == "Tiles":
        from concerto.simulation.tiles import Tiles

        return Tiles
    if name == "kernels":
        import importlib

        return importlib.import_module("concerto.kernels")
    raise AttributeError(f"module 'concerto' has no attribute '{name}'")


def __dir__():
    return [*globals(), "Tiles", "kernels", "open_site"]
