"""Equilibrium solvers: balanced pools from a measured cycle, acceleration of coupled cycles, honest residuals.

A *cycle* is a whole number of years of forcing. The exact solution for linear one-layer schemes is
`concerto.kernels.carbon.one_layer_periodic`; here are the solvers for layered columns (`flux_weighted_equilibrium`),
wood (`wood_equilibrium`) and for everything coupled (`anderson_step`), and the report of what was reached
(`cycle_residual`, `describe_residual`).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from concerto import _core as core
from concerto.errors import ConcertoError
from concerto.kernels.carbon import _run

BLOCK = 64  # tiles in one call of the solver: its work arrays lie on the stack
LARGEST_STEP = np.log(10.0)  # an accelerated step changes no pool by more than this factor beyond the plain one


def flux_weighted_equilibrium(
    transfer, input_sum, loss_sum, carbon_start, carbon, down_sum=0.0, up_sum=0.0, other_loss_sum=0.0, slowest=1e-10
):
    """Pools that balance a measured cycle (semi-analytical spin-up with measured flows).

    Every pool in every layer gets the factor by which its course in the cycle must be multiplied so that inflow equals
    outflow. Pools that turn over less than ``slowest`` in a cycle keep their value.

    Parameters
    ----------
    transfer : (..., receiver, donor) fraction of what leaves a pool
    input_sum, loss_sum : (..., layer, pool) input and decomposition of the cycle, kg m-2
    carbon_start, carbon : (..., layer, pool) at the start and at the end of the cycle, kg m-2
    down_sum, up_sum : (..., layer, pool) carried by mixing to the layer below and above, kg m-2
    other_loss_sum : (..., layer, pool) lost otherwise (radioactive decay, fire, leaching), kg m-2
    slowest : float

    Returns
    -------
    carbon : (..., layer, pool) for the start of the next cycle, kg m-2
    factor : (..., layer, pool)
    correction : (...) sum of the changes over the total

    Examples
    --------
    One pool that lost 0.2 of 1 kg while 0.4 kg came in: it must be twice as large.

    >>> one = np.ones((1, 1))
    >>> flux_weighted_equilibrium(np.zeros((1, 1)), 0.4 * one, 0.2 * one, one, one)[1]
    array([[2.]])
    """
    arrays = [np.asarray(a, dtype=float) for a in (input_sum, loss_sum, carbon_start, carbon)]
    arrays += [np.asarray(a, dtype=float) for a in (down_sum, up_sum, other_loss_sum)]
    shape = np.broadcast_shapes(*(a.shape for a in arrays))
    if len(shape) < 2:
        raise ConcertoError("The sums of a cycle need the axes (..., layer, pool).", hint="Add an axis of one layer.")
    transfer = np.asarray(transfer, dtype=float)
    lead = np.broadcast_shapes(shape[:-2], transfer.shape[:-2])
    n = int(np.prod(lead, dtype=int))
    flat = [np.broadcast_to(a, lead + shape[-2:]).reshape((n, *shape[-2:])) for a in arrays]
    transfer = np.broadcast_to(transfer, lead + transfer.shape[-2:]).reshape((n, *transfer.shape[-2:]))
    names = ("input_sum", "loss_sum", "carbon_start", "carbon", "down_sum", "up_sum", "other_loss_sum")
    parts = []
    for first in range(0, n, BLOCK):
        part = {name: (a[first : first + BLOCK], 2) for name, a in zip(names, flat, strict=True)}
        state = {"carbon": part.pop("carbon")}
        part["transfer"] = (transfer[first : first + BLOCK], 2)
        routine = core.concerto_equilibrium.flux_weighted_equilibrium
        parts.append(_run(routine, tail=part, state=state, slowest=slowest))
    out = [np.concatenate(values) for values in zip(*parts, strict=True)]
    return tuple(a.reshape(lead + a.shape[1:])[()] for a in out)


def cycle_sums(sums, carbon, input, rate, scalar, mixing, thickness, limitation=1.0, time_step=86400.0, n_mixed=6):
    """Sums of a measured cycle with one more step of the layered soil.

    Parameters
    ----------
    sums : four arrays (..., layer, pool), kg m-2: input, decomposition, carried down, carried up; or None to begin
    carbon, input : (..., layer, pool) pools after the step and input of the step, kg m-2
    rate : (..., pool) s-1
    scalar : (..., layer)
    mixing : (..., face) m s-1
    thickness : (layer) m
    limitation : (..., layer, pool) share of the potential loss of litter that happened, 0 to 1
    n_mixed : pools that are mixed, the first ones

    Returns
    -------
    tuple of the four sums, for `flux_weighted_equilibrium`
    """
    carbon = np.asarray(carbon, dtype=float)
    if sums is None:
        sums = (np.zeros_like(carbon),) * 4
    names = ("input_sum", "loss_sum", "down_sum", "up_sum")
    tail = {
        "input": (input, 2),
        "carbon": (carbon, 2),
        "rate": (rate, 1),
        "scalar": (scalar, 1),
        "mixing": (mixing, 1),
        "limitation": (np.broadcast_to(limitation, carbon.shape), 2),
    }
    return _run(
        core.concerto_equilibrium.cycle_sums,
        tail=tail,
        state={name: (value, 2) for name, value in zip(names, sums, strict=True)},
        n_mixed=n_mixed,
        time_step=time_step,
        thickness=thickness,
    )


def wood_equilibrium(
    sapwood_start,
    heartwood_start,
    sapwood,
    heartwood,
    growth_sum,
    sapwood_to_heartwood_sum,
    sapwood_loss_sum,
    heartwood_loss_sum,
    respiration_sum=0.0,
    wood_share=0.0,
    cycle_length=1.0,
):
    """Sapwood and heartwood that balance a measured cycle.

    Sums of the cycle in kg m-2: growth of sapwood, its conversion to heartwood, losses of both (mortality), maintenance
    respiration of sapwood. ``wood_share`` is the share of one more kg of carbon that would become sapwood (0: growth
    does not answer to the respiration of wood); ``cycle_length`` in yr. Returns sapwood, heartwood (kg m-2) and their
    factors (..., 2).
    """
    tile = dict(
        growth_sum=growth_sum,
        respiration_sum=respiration_sum,
        wood_share=wood_share,
        sapwood_to_heartwood_sum=sapwood_to_heartwood_sum,
        sapwood_loss_sum=sapwood_loss_sum,
        heartwood_loss_sum=heartwood_loss_sum,
        sapwood_start=sapwood_start,
        heartwood_start=heartwood_start,
    )
    state = {"sapwood": (sapwood, 0), "heartwood": (heartwood, 0)}
    return _run(core.concerto_equilibrium.wood_equilibrium, tile, state=state, cycle_length=cycle_length)


# ---- acceleration of anything that is repeated
@dataclass
class AndersonHistory:
    """What `anderson_step` remembers of earlier cycles; make one for each problem and pass it on.

    Attributes
    ----------
    images, residuals : lists of (tile, unknown) arrays in log space, oldest first
    age : (tile,) usable earlier cycles of each tile
    best : (tile,) smallest norm of the residual so far
    restarts : (tile,) how often a tile fell back to the plain iterate
    """

    images: list = field(default_factory=list)
    residuals: list = field(default_factory=list)
    age: np.ndarray | None = None
    best: np.ndarray | None = None
    restarts: np.ndarray | None = None


def anderson_step(state, image, history, window=5, weight=None, floor=1e-12, growth=1.5, smallest=1e-8):
    """Next state of the fixed-point problem ``cycle(x) = x`` by Anderson mixing in log space, each tile on its own.

    Parameters
    ----------
    state : (tile, unknown) state at the start of a cycle; positive pools
    image : (tile, unknown) what the cycle (or cycle and solver) made of it
    history : AndersonHistory, updated
    window : int
        Earlier cycles that are combined.
    weight : (tile, unknown) or None
        Importance of each unknown in the residual; None: square root of its share in the tile's total.
    floor : float
        Pools at or below it follow the plain iterate (empty pools, no logarithm).
    growth : float
        A residual that exceeds the tile's best by this factor drops the history: the plain iterate follows.
    smallest : float
        Singular values of the scaled least-squares problem below this share of the largest are left out.

    Returns
    -------
    next : (tile, unknown)
    residual : (tile,) norm of log(image/state), weighted

    Notes
    -----
    Walker & Ni (2011, SIAM J. Numer. Anal. 49:1715); for spin-up Khatiwala (2024, Sci. Adv. 10:eadn2839).
    The step beyond the plain iterate is bounded to a factor of ten in each pool.

    Examples
    --------
    >>> history, x = AndersonHistory(), np.array([[1.0, 1.0]])
    >>> cycle = lambda x: 0.95 * x + 0.05 * np.array([2.0, 3.0]) + 0.04 * (x[:, ::-1] - np.array([3.0, 2.0]))
    >>> for _ in range(14):
    ...     x, residual = anderson_step(x, cycle(x), history)
    >>> x.round(6)
    array([[2., 3.]])
    """
    state, image = np.asarray(state, dtype=float), np.asarray(image, dtype=float)
    if state.ndim != 2 or state.shape != image.shape:
        raise ConcertoError(
            f"anderson_step takes two arrays (tile, unknown), not {state.shape} and {image.shape}.",
            hint="Flatten layers and pools into one axis.",
        )
    n = state.shape[0]
    positive = (state > floor) & (image > floor) & np.isfinite(image)
    x = np.log(np.where(positive, state, 1.0))
    g = np.log(np.where(positive, image, 1.0))
    residual = g - x
    if weight is None:
        total = np.sum(np.where(positive, image, 0.0), axis=1, keepdims=True)
        weight = np.sqrt(np.where(positive, image, 0.0) / np.maximum(total, floor))
    norm = np.sqrt(np.sum((weight * residual) ** 2, axis=1))
    if history.age is None:
        history.age = np.zeros(n, dtype=int)
        history.best = np.full(n, np.inf)
        history.restarts = np.zeros(n, dtype=int)
    worse = norm > growth * history.best
    history.restarts += worse
    history.age = np.where(worse, 0, np.minimum(history.age, len(history.images)))
    history.best = np.where(worse, norm, np.minimum(history.best, norm))
    step = np.zeros_like(g)
    depth = len(history.images)
    if depth:
        old_g, old_r = np.stack(history.images, axis=2), np.stack(history.residuals, axis=2)
        usable = np.arange(depth) >= depth - history.age[:, None]  # (tile, depth), oldest first
        delta_r = (residual[:, :, None] - old_r) * usable[:, None, :] * positive[:, :, None]
        delta_g = (g[:, :, None] - old_g) * usable[:, None, :] * positive[:, :, None]
        a = delta_r * weight[:, :, None]
        # least squares of each tile with its columns scaled, small singular values left out
        scale = np.maximum(np.sqrt(np.sum(a * a, axis=1)), 1e-300)
        gamma = np.einsum("tku,tu->tk", np.linalg.pinv(a / scale[:, None, :], rcond=smallest), weight * residual)
        gamma = np.where(usable, gamma / scale, 0.0)
        step = -np.einsum("tuk,tk->tu", delta_g, gamma)
        step = np.clip(step, -LARGEST_STEP, LARGEST_STEP)
        step = np.where(np.isfinite(step).all(axis=1, keepdims=True), step, 0.0)
    history.images = [*history.images, g][-window:]
    history.residuals = [*history.residuals, residual][-window:]
    history.age = np.minimum(history.age + 1, window)
    return np.where(positive, np.exp(g + step), image), norm


# ---- report
@dataclass(frozen=True)
class EquilibriumReport:
    """What one further cycle changes, tile by tile.

    Attributes
    ----------
    residual : (tile,) change of the total over the total
    worst_change : (tile,) largest change of a single pool over the total
    worst_pool : (tile,) its position, from 0
    names : names of the pools (with layers), or empty
    cycle_length : yr
    """

    residual: np.ndarray
    worst_change: np.ndarray
    worst_pool: np.ndarray
    names: tuple[str, ...] = ()
    cycle_length: float = 1.0

    def worst(self, tile: int) -> str:
        """Name of the pool of a tile that changes most."""
        position = int(self.worst_pool[tile])
        return self.names[position] if self.names else f"pool {position + 1}"


def cycle_residual(start, finish, names=(), cycle_length=1.0):
    """How well a state returns to itself over a cycle.

    Parameters
    ----------
    start, finish : (tile, pool) or (tile, layer, pool) at both ends of a cycle that was run, kg m-2
    names : names of the pools; with layers the layer is added
    cycle_length : yr

    Returns
    -------
    EquilibriumReport
    """
    start, finish = np.asarray(start, dtype=float), np.asarray(finish, dtype=float)
    if start.shape != finish.shape or start.ndim not in (2, 3):
        raise ConcertoError(
            f"cycle_residual takes two arrays (tile, pool) or (tile, layer, pool), not {start.shape}, {finish.shape}."
        )
    names = tuple(names)
    if start.ndim == 3 and names:
        names = tuple(f"{name} in layer {layer + 1}" for layer in range(start.shape[1]) for name in names)
    tail = {"start": (start.reshape(len(start), -1), 1), "finish": (finish.reshape(len(finish), -1), 1)}
    residual, change, pool = _run(core.concerto_equilibrium.cycle_residual, tail=tail)
    return EquilibriumReport(residual, change, pool.astype(int) - 1, names, cycle_length)


def describe_residual(report, tolerance=1e-4) -> str:
    """One sentence about the state that was reached: tiles within ``tolerance``, the worst tile and its worst pool.

    Examples
    --------
    >>> report = cycle_residual([[1.0, 3.0]], [[1.0, 3.2]], names=("leaf", "wood"))
    >>> describe_residual(report)
    '0 of 1 tiles return to within 1e-04 over a cycle of 1 yr; worst: tile 1, total 5.0e-02, wood 5.0e-02'
    """
    change = np.maximum(report.residual, report.worst_change)
    good = int(np.sum(change <= tolerance))
    tile = int(np.argmax(np.where(np.isfinite(change), change, np.inf)))
    return (
        f"{good} of {len(change)} tiles return to within {tolerance:.0e} over a cycle of {report.cycle_length:g} yr; "
        f"worst: tile {tile + 1}, total {report.residual[tile]:.1e}, "
        f"{report.worst(tile)} {report.worst_change[tile]:.1e}"
    )
