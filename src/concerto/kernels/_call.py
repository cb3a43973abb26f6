"""Calls a compiled block routine with NumPy arrays of any (broadcast) shape."""

from __future__ import annotations

import numpy as np

LANES = 16  # blocks are padded to a multiple of this, so that every element goes through the same vector code


def call(routine, arrays=None, *, layered=None, **scalars):
    """Call a block routine ``routine(n, ...)`` of the core with broadcast inputs.

    Parameters
    ----------
    routine : compiled routine of ``concerto._core``
    arrays : dict of name -> value
        One value per tile; broadcast against each other.
    layered : dict of name -> array, optional
        Inputs with a trailing axis of layers; the leading axes broadcast with ``arrays``.
    **scalars
        Passed as they are.

    Returns
    -------
    Array or tuple of arrays, one per output of the routine, of the broadcast shape (a trailing axis where layered).
    """
    arrays = {name: np.asarray(value, dtype=float) for name, value in (arrays or {}).items()}
    layered = {name: np.asarray(value, dtype=float) for name, value in (layered or {}).items()}
    shape = np.broadcast_shapes(*(a.shape for a in arrays.values()), *(a.shape[:-1] for a in layered.values()))
    n = int(np.prod(shape, dtype=int))
    padded = max(LANES, -(-n // LANES) * LANES)

    def block(value, tail=()):
        flat = np.broadcast_to(value, shape + tail).reshape((n, *tail))
        out = np.empty((padded, *tail), order="F")
        out[:n] = flat
        out[n:] = flat[-1:] if n else 0.0
        return out

    inputs = {name: block(value) for name, value in arrays.items()}
    inputs |= {name: block(value, value.shape[-1:]) for name, value in layered.items()}
    outputs = routine(**inputs, **scalars)

    def unblock(value):
        if not isinstance(value, np.ndarray) or value.shape[:1] != (padded,):
            return value
        out = value[:n].reshape(shape + value.shape[1:])
        return out[()] if out.ndim == 0 else out

    if isinstance(outputs, tuple):
        return tuple(unblock(value) for value in outputs)
    return unblock(outputs)
