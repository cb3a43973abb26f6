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
LARGEST = 7  # pools of the largest scheme; every table is padded to it


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
        )
        if min(scheme.respired) < -1e-12:
            raise ValueError(f"decomposition.toml: a donor of {name} gives away more than it loses")
        out[name] = scheme
    return out


def write_fortran(path) -> None:
    """Module concerto_decomposition_tables: rates and transfer fractions of every scheme, padded to 7
    pools."""
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
        body = ", &\n    ".join(", ".join(f"{v!r}_wp" for v in row) for row in rows)
        head = f"  real(wp), parameter, public :: {name}({shape}) = reshape([ &  !! {unit}\n    "
        return head + body + f"], [{shape}])"

    out.append(array("scheme_rates", "largest_scheme, n_scheme", rates, "yr-1"))
    out.append(
        array("scheme_transfer", "largest_scheme, largest_scheme, n_scheme", transfer, "receiver, donor, scheme")
    )
    flags = []
    for scheme in schemes().values():
        row = [f".{str(flag).lower()}." for flag in scheme.litter]
        flags.append(row + [".false."] * (LARGEST - len(row)))
    body = ", &\n    ".join(", ".join(row) for row in flags)
    out.append("  !! whether a pool counts as litter")
    out.append(
        "  logical, parameter, public :: scheme_litter(largest_scheme, n_scheme) = &\n"
        f"    reshape([ &\n    {body}], [largest_scheme, n_scheme])"
    )
    out += ["end module concerto_decomposition_tables", ""]
    Path(path).write_text("\n".join(out))


if __name__ == "__main__":
    write_fortran(sys.argv[1])
