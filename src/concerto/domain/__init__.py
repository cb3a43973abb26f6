"""The domain: grid, land cover, tiles."""
