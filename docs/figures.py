"""Draws the figures of README.md and the docs from the model itself: python docs/figures.py (about half a minute)."""

from pathlib import Path

from concerto.evaluation import plots
from concerto.simulation.demo import run_demo

TWELVE = (
    "tundra", "boreal_evergreen", "boreal_larch", "subalpine", "temperate_needle", "temperate_deciduous",
    "mediterranean", "prairie", "cropland", "desert_shrub", "savanna", "tropical_rain_forest",
)  # fmt: skip


def biomes(folder: Path) -> None:
    """Seasonal cycle of photosynthesis and respiration at twelve of the sites of the demonstration."""
    ds, _ = run_demo()
    ds = ds.sel(site=list(TWELVE))
    day = 86400.0e3  # kg m-2 s-1 -> g m-2 d-1
    curves = [
        ("photosynthesis", plots.MODEL, ds.gpp.values * day),
        ("respiration", plots.SECOND, (ds.ra + ds.rh).values * day),
    ]
    titles = [str(t).partition(" (")[0] for t in ds.site_title.values]
    svg = plots.biome_cycles(ds.time.values, titles, curves, "gC m⁻² d⁻¹", columns=4, shade=(0, 1))
    (folder / "biomes.svg").write_text(svg)


if __name__ == "__main__":
    target = Path(__file__).parent / "images"
    target.mkdir(exist_ok=True)
    biomes(target)
