"""Hydraulic parameters of soil from texture."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from concerto.errors import ConcertoError

TABLE = Path(__file__).parents[1] / "tables" / "soil.toml"


@dataclass(frozen=True)
class SoilClass:
    """Van Genuchten-Mualem parameters and composition of one texture class.

    Attributes
    ----------
    name : str
    alpha : float
        m-1.
    n, l : float
        Shape of the retention curve and pore connectivity.
    k_sat : float
        Saturated conductivity, m s-1.
    theta_sat, theta_res : float
        Porosity and residual content, m3 m-3.
    sand, clay : float
        Mean composition, per cent.
    """

    name: str
    alpha: float
    n: float
    l: float  # noqa: E741 - the symbol of Mualem's model
    k_sat: float
    theta_sat: float
    theta_res: float
    sand: float
    clay: float

    def content(self, head):
        """Liquid content (m3 m-3) at a soil water head (m, negative); van Genuchten (1980)."""
        suction = np.maximum(-np.asarray(head, dtype=float), 0.0)
        se = (1.0 + (self.alpha * suction) ** self.n) ** (1.0 / self.n - 1.0)
        return self.theta_res + (self.theta_sat - self.theta_res) * se

    @property
    def field_capacity(self) -> float:
        """Content at a head of -1 m, m3 m-3."""
        return float(self.content(_table()["default"]["field_capacity_head"]))

    @property
    def wilting_point(self) -> float:
        """Content at a head of -153 m (-1.5 MPa), m3 m-3."""
        return float(self.content(_table()["default"]["wilting_head"]))

    def hydraulics(self) -> dict[str, float]:
        """Keyword arguments for the functions of :mod:`concerto.kernels.soil_water`."""
        return {
            "theta_sat": self.theta_sat,
            "theta_res": self.theta_res,
            "alpha": self.alpha,
            "vg_n": self.n,
            "vg_l": self.l,
            "k_sat": self.k_sat,
        }


@cache
def _table() -> dict:
    with open(TABLE, "rb") as file:
        return tomllib.load(file)


def soil_classes() -> list[str]:
    """Names of the texture classes."""
    return list(_table()["class"])


def soil_class(name: str | None = None) -> SoilClass:
    """Parameters of a texture class.

    Parameters
    ----------
    name : str, optional
        One of :func:`soil_classes`; the default (``medium``) is for soil that nothing is known of.

    Raises
    ------
    ConcertoError
        If there is no such class.

    Examples
    --------
    >>> soil_class("coarse").theta_sat
    0.403
    """
    name = name or _table()["default"]["class"]
    if name not in _table()["class"]:
        raise ConcertoError(
            f"There is no soil texture class '{name}'.", hint=f"Choose one of {', '.join(soil_classes())}."
        )
    return SoilClass(name, **_table()["class"][name])


def texture_class(sand, clay):
    """FAO texture class from sand and clay content.

    Parameters
    ----------
    sand, clay : array_like
        Per cent of the mineral soil.

    Returns
    -------
    Array of class names: very fine above 60 % clay, fine above 35 %, medium fine below 15 % sand,
    coarse with less than 18 % clay and more than 65 % sand, else medium. Missing values give ``medium``.

    Raises
    ------
    ConcertoError
        If a value is negative or sand and clay exceed 100 %.

    Examples
    --------
    >>> str(texture_class(80.0, 5.0))
    'coarse'
    """
    sand, clay = np.broadcast_arrays(np.asarray(sand, dtype=float), np.asarray(clay, dtype=float))
    bad = (sand < 0) | (clay < 0) | (sand + clay > 100.5)
    if bad.any():
        raise ConcertoError(
            f"{int(bad.sum())} values of sand and clay are negative or exceed 100 % together.",
            hint="Give both in per cent of the mineral soil.",
        )
    names = np.select(
        [clay > 60.0, clay >= 35.0, sand < 15.0, (clay < 18.0) & (sand > 65.0)],
        ["very_fine", "fine", "medium_fine", "coarse"],
        default="medium",
    )
    return names


def soil_parameters(names, sand=None, clay=None) -> dict[str, np.ndarray]:
    """Parameters of the model from texture classes.

    Parameters
    ----------
    names : array_like of str (cell,)
        Of :func:`soil_classes`.
    sand, clay : array (cell,), optional
        Measured composition, per cent, in place of the mean of the class (finite values only).

    Returns
    -------
    dict of array (cell,)
        theta_sat, theta_res (m3 m-3), k_sat (m s-1), sand, clay (%), vg_alpha (m-1), vg_n, vg_l: the names of the
        parameter table.

    Examples
    --------
    >>> soil_parameters(["coarse", "medium"])["vg_alpha"].tolist()
    [3.83, 3.14]
    """
    unique, inverse = np.unique(np.asarray(names, dtype=str), return_inverse=True)
    classes = [soil_class(str(name)) for name in unique]
    inverse = inverse.reshape(-1)
    out = {}
    for name in ("theta_sat", "theta_res", "k_sat", "sand", "clay", "vg_alpha", "vg_n", "vg_l"):
        out[name] = np.array([getattr(c, name.removeprefix("vg_")) for c in classes])[inverse]
    for name, values in (("sand", sand), ("clay", clay)):
        if values is not None:
            values = np.asarray(values, dtype=float)
            out[name] = np.where(np.isfinite(values), values, out[name])
    return out
