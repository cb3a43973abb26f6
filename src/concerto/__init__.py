"""concerto: an integrated land carbon-cycle model. One Fortran step, many hosts."""

__version__ = "0.1.0"


PUBLIC = {
    "Simulation": "concerto.simulation.run",
    "Tiles": "concerto.simulation.tiles",
    "open_daily": "concerto.simulation.daily",
    "open_run": "concerto.simulation.streams",
    "unstack": "concerto.simulation.streams",
    "open_site": "concerto.simulation.site",
    "read_restart": "concerto.simulation.restart",
    "transient": "concerto.simulation.transient",
    "write_restart": "concerto.simulation.restart",
}


def __getattr__(name):
    """Public names, imported when they are first used: start-up stays fast."""
    import importlib

    if name in PUBLIC:
        return getattr(importlib.import_module(PUBLIC[name]), name)
    if name == "kernels":
        return importlib.import_module("concerto.kernels")
    raise AttributeError(f"module 'concerto' has no attribute '{name}'")


def __dir__():
    return [*globals(), *PUBLIC, "kernels"]
