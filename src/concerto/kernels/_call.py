"""Calls a compiled block routine with NumPy arrays of any (broadcast) shape."""

from __future__ import annotations

import numpy as np

BLOCK = 1024  # work arrays of the compiled routines lie on the stack: long arrays go through in pieces
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
    parts = []
    for first in range(0, padded, BLOCK):
        last = min(first + BLOCK, padded)
        out = routine(**{name: np.asfortranarray(value[first:last]) for name, value in inputs.items()}, **scalars)
        parts.append((out if isinstance(out, tuple) else (out,), last - first))

    def join(k):
        values = [out[k] for out, _ in parts]
        if not isinstance(values[0], np.ndarray) or values[0].shape[:1] != (parts[0][1],):
            return values[0]
        whole = np.concatenate(values)[:n]
        whole = whole.reshape(shape + whole.shape[1:])
        return whole[()] if whole.ndim == 0 else whole

    outputs = tuple(join(k) for k in range(len(parts[0][0])))
    return outputs if len(outputs) > 1 else outputs[0]
