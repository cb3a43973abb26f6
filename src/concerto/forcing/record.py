"""The common form into which every reader puts a file before it is checked and completed."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np


@dataclass
class Variable:
    """One time series as found in a file: NaN where missing, unit as spelt there."""

    values: np.ndarray
    unit: str | None
    name: str
    flag: np.ndarray | None = None


@dataclass
class Record:
    """A whole file as found: series by canonical name, site metadata, stamps of the interval starts.

    `stamps` are local times of the file as datetime64[s], one per row, possibly
    unsorted; `metadata` holds what the file says of the site.
    """

    file: str
    layout: str
    stamps: np.ndarray
    variables: dict[str, Variable]
    metadata: dict = field(default_factory=dict)
    report: list[str] = field(default_factory=list)
    stamp_position: str = "start"
    other_names: list[str] = field(default_factory=list)


FORCING_NAMES = (
    "Tair", "Qair", "VPD", "RH", "Psurf", "SWdown", "LWdown", "Wind", "Wind_N", "Wind_E",
    "Precip", "Rainf", "Snowf", "CO2air", "LAI",
)  # fmt: skip
OBSERVATION_NAMES = (
    "NEE", "GPP", "GPP_DT", "Reco", "Qle", "Qh", "Qg", "Rnet", "Ustar", "SoilTemp", "SoilMoist",
)  # fmt: skip
