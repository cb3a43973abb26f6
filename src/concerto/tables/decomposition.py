"""Reads decomposition.toml, the linear soil carbon schemes; as a script writes their Fortran module.

Standard library only: the build runs this file before anything is installed.
"""

from __future__ import annotations

import sys
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

FILE = Path(__file__).with_name("decomposition.toml")
LARGEST = 9  # pools of the largest scheme; every table is padded to it


@dataclass(frozen=True)
class Scheme:
    """One linear scheme.

    Attributes
    ----------
    number : position in the table, from 1 (the integer that Fortran takes)
    pools : names of the pools
    rates : base rates, yr-1
    transfer : ``transfer[receiver][donor]``, fraction of what leaves the donor
    litter : whether a pool counts as litter
    scalar : class of the environment scalar of each pool
    climate : ``{class: (b1, b2, g)}`` of schemes with their own climate (Yasso), else empty
    size : ``(a, b, r)``, how the diameter of wood slows its decay, else zeros
    """

    name: str
    number: int
    long_name: str
    source: str
    pools: tuple[str, ...]
    rates: tuple[float, ...]
    transfer: tuple[tuple[float, ...], ...]
    litter: tuple[bool, ...]
    scalar: tuple[str, ...]
    climate: dict[str, tuple[float, ...]]
    size: tuple[float, ...]

    @property
    def own_climate(self) -> bool:
        """Whether the scheme answers to air temperature and annual rain instead of the state of the soil."""
        return bool(self.climate)

    def pool_climate(self, pool: int) -> tuple[float, ...]:
        """The climate ``(b1, b2, g)`` of a pool, zeros where it has none."""
        return self.climate.get(self.scalar[pool].removesuffix("_wood"), (0.0, 0.0, 0.0))

    @property
    def respired(self) -> tuple[float, ...]:
        """Respired fraction of what leaves each pool."""
        return tuple(1.0 - sum(row[j] for row in self.transfer) for j in range(len(self.pools)))


@cache
def schemes() -> dict[str, Scheme]:
    """All schemes by name, checked: known pools, fractions that sum to at most 1."""
    with open(FILE, "rb") as file:
        table = tomllib.load(file)
    out = {}
    for number, (name, row) in enumerate(table.items(), start=1):
        pools = row["pools"]
        if not len(pools) == len(row["rates"]) == len(row["litter"]) == len(row["scalar"]) <= LARGEST:
            raise ValueError(f"decomposition.toml: the lists of {name} differ in length or exceed {LARGEST} pools")
        matrix = [[0.0] * len(pools) for _ in pools]
        for donor, receiver, fraction in row["flows"]:
            if donor not in pools or receiver not in pools or fraction < 0.0:
                raise ValueError(f"decomposition.toml: {name} has a wrong flow {donor} -> {receiver} {fraction}")
            matrix[pools.index(receiver)][pools.index(donor)] += fraction
        scheme = Scheme(
            name,
            number,
            row["long_name"],
            row["source"],
            tuple(pools),
            tuple(row["rates"]),
            tuple(tuple(r) for r in matrix),
            tuple(row["litter"]),
            tuple(row["scalar"]),
            {key: tuple(map(float, value)) for key, value in row.get("climate", {}).items()},
            tuple(map(float, row.get("size", (0.0, 0.0, 0.0)))),
        )
        classes = {value.removesuffix("_wood") for value in scheme.scalar}
        if not classes <= set(scheme.climate) | {"soil", "none"}:
            raise ValueError(f"decomposition.toml: {name} has a pool with an unknown class of scalar")
        if min(scheme.respired) < -1e-12:
            raise ValueError(f"decomposition.toml: a donor of {name} gives away more than it loses")
        out[name] = scheme
    return out


def write_fortran(path) -> None:
    """Module concerto_decomposition_tables: rates, transfer fractions and climates of every scheme, padded
    to the largest."""
    out = [
        "module concerto_decomposition_tables",
        "  !! Generated from decomposition.toml: rates (yr-1) and transfer fractions of the linear schemes.",
        "  use concerto_kinds, only: wp",
        "  implicit none",
        "  private",
        f"  integer, parameter, public :: n_scheme = {len(schemes())}  !! schemes",
        f"  integer, parameter, public :: largest_scheme = {LARGEST}  !! pools of the largest scheme",
    ]
    for name, scheme in schemes().items():
        out.append(f"  integer, parameter, public :: scheme_{name} = {scheme.number}  !! {scheme.long_name}")
    sizes = ", ".join(str(len(s.pools)) for s in schemes().values())
    out.append(f"  integer, parameter, public :: scheme_pools(n_scheme) = [{sizes}]  !! number of pools")
    rates, transfer = [], []
    for scheme in schemes().values():
        extra = LARGEST - len(scheme.pools)
        rates += [list(scheme.rates) + [0.0] * extra]
        columns = [[row[j] for row in scheme.transfer] + [0.0] * extra for j in range(len(scheme.pools))]
        transfer += columns + [[0.0] * LARGEST] * extra

    def array(name, shape, rows, unit):
        values = [[f"{v!r}_wp" for v in row[k : k + 5]] for row in rows for k in range(0, len(row), 5)]
        body = ", &\n    ".join(", ".join(line) for line in values)
        head = f"  real(wp), parameter, public :: {name}({shape}) = reshape([ &  !! {unit}\n    "
        return head + body + f"], [{shape}])"

    def logical(name, shape, rows, meaning):
        body = ", &\n    ".join(", ".join(f".{str(bool(v)).lower()}." for v in row) for row in rows)
        head = f"  !! {meaning}\n  logical, parameter, public :: {name}({shape}) = &\n    reshape([ &\n    "
        return head + body + f"], [{shape}])"

    out.append(array("scheme_rates", "largest_scheme, n_scheme", rates, "yr-1"))
    out.append(
        array("scheme_transfer", "largest_scheme, largest_scheme, n_scheme", transfer, "receiver, donor, scheme")
    )
    litter, inert, wood, slope, curvature, rain = [], [], [], [], [], []
    for scheme in schemes().values():
        size = len(scheme.pools)
        extra = LARGEST - size
        litter.append([*scheme.litter, *[False] * extra])
        inert.append([name == "none" for name in scheme.scalar] + [False] * extra)
        wood.append([name.endswith("_wood") for name in scheme.scalar] + [False] * extra)
        climate = [scheme.pool_climate(pool) for pool in range(size)] + [(0.0, 0.0, 0.0)] * extra
        for rows, column in zip((slope, curvature, rain), zip(*climate, strict=True), strict=True):
            rows.append(column)
    shape = "largest_scheme, n_scheme"
    own = [[scheme.own_climate for scheme in schemes().values()]]
    out.append(logical("scheme_litter", shape, litter, "whether a pool counts as litter"))
    out.append(logical("scheme_inert", shape, inert, "whether a pool answers to no environment"))
    out.append(logical("scheme_wood", shape, wood, "whether the size of litter slows a pool"))
    out.append(logical("scheme_own_climate", "n_scheme", own, "answers to air temperature and annual rain"))
    out.append(array("scheme_slope", shape, slope, "b1 of exp(b1 T + b2 T**2), T in degC"))
    out.append(array("scheme_curvature", shape, curvature, "b2"))
    out.append(array("scheme_rain", shape, rain, "g of 1 - exp(g R/1000), R in mm yr-1"))
    sizes = [scheme.size for scheme in schemes().values()]
    out.append(array("scheme_size", "3, n_scheme", sizes, "a, b, r of max(1, 1 + a d + b d**2)**(-r), d in cm"))
    out += ["end module concerto_decomposition_tables", ""]
    Path(path).write_text("\n".join(out))


if __name__ == "__main__":
    write_fortran(sys.argv[1])
