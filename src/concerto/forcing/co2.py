"""Global annual mean CO2 from 1700 to 2100, shipped with the package.

CMIP6 historical to 2014 and SSP2-4.5 after it; Meinshausen et al. 2017,
doi:10.5194/gmd-10-2057-2017.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np

from concerto.errors import ConcertoError


@lru_cache(maxsize=1)
def annual_series() -> tuple[np.ndarray, np.ndarray]:
    """Years and the global annual mean CO2 mole fraction, ppm, both of shape (401,)."""
    path = Path(__file__).with_name("data") / "co2_annual.csv"
    lines = [line for line in path.read_text(encoding="ascii").splitlines() if line[0].isdigit()]
    table = np.array([line.split(",") for line in lines], dtype=float)
    return table[:, 0].astype(int), table[:, 1]


def annual_co2(years, file: str | None = None) -> np.ndarray:
    """Global annual mean CO2, ppm, of calendar years 1700 to 2100 (any shape).

    `file` is named in the message when the series is consulted for one.

    Raises
    ------
    ConcertoError
        A year lies outside the series.

    Examples
    --------
    >>> float(annual_co2(2014))
    397.547
    """
    years = np.asarray(years).astype(int)
    known, value = annual_series()
    outside = (years < known[0]) | (years > known[-1])
    if outside.any():
        raise ConcertoError(
            (f"{file}: CO2air is missing, and the" if file else "The")
            + f" built-in CO2 series ({known[0]} to {known[-1]}) has no value "
            f"for the year {years[outside].flat[0]}.",
            hint="Give CO2air in the forcing file, or correct the years of its time axis.",
        )
    return value[years - known[0]]


def co2_at(time, file: str | None = None) -> np.ndarray:
    """Global annual mean CO2, ppm, of the years in which datetime64 stamps fall.

    A step at each new year, as in the site files of the project; the yearly
    rise is 2 ppm, less than the seasonal swing that a global mean leaves out.
    """
    return annual_co2(np.asarray(time).astype("datetime64[Y]").astype(int) + 1970, file)
