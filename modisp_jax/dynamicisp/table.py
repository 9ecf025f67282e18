"""The paper's way to undo the gamma curve, a table over its parameters; to compare with. SemiISP, section 3.2.

``functions.inverse_gamma_curve`` is exact, takes any parameters and needs no table.
"""

import dataclasses
import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np

from modisp_jax.numerics import clip

SIZES = (60, 30, 30)
"""Nodes over g1, g2 and k in the paper."""

STEEPEST = 8.38
"""The largest g2 for which the curve increases whatever k is."""


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class GammaTable:
    """Inverse gamma curves on a grid of parameters."""

    inputs: jax.Array
    """The i whose curve comes nearest to each output, [n1, n2, n3, outputs] in [0, 1]."""
    low: jax.Array
    """Parameters of the first nodes, [3]."""
    high: jax.Array
    """Parameters of the last nodes, [3]."""


def gamma_table(ranges, *, sizes=SIZES, inputs=10_000, outputs=512):
    """Tabulates the inverse: of ``inputs`` levels i in [0, 1], the one whose ``f(i; g1, g2, k)`` is nearest to y.

    ``D ln f = (1 - a u) ln u`` does not depend on k. So one curve serves all k, in which y is sought as ``D ln y``.

    Args:
      ranges: (lowest, highest) g1, g2 and k, with g1 > 0, g2 in (0, 8.38] and k in [0, 1].
      sizes: how many nodes each of them has, at least 2; they are evenly spaced.
      inputs, outputs: how many levels i and y have, at least 2.

    Returns:
      :class:`GammaTable`, 110 MB for the paper's sizes.

    Raises:
      ValueError: ranges in which the curve has no inverse, or sizes under 2.
    """
    _check(ranges, (*sizes, inputs, outputs))
    g1s, g2s, ks = (np.linspace(*bounds, size) for bounds, size in zip(ranges, sizes, strict=True))
    level, target = np.linspace(0, 1, inputs), np.linspace(0, 1, outputs)
    found = np.empty((*sizes, outputs), np.float32)
    with np.errstate(divide="ignore"):
        log_level, log_target = np.log(level), np.log(target)
    for i, g1 in enumerate(g1s):
        u, log_u, pivot = level ** (1 / g1), log_level / g1, ks[:, None] ** (1 / g1)
        for j, a in enumerate(1 - g2s):
            curve, scale = (1 - a * u) * log_u, 1 - a * pivot
            upper = np.clip(np.searchsorted(curve, scale * log_target), 1, inputs - 1)
            below, above = (np.exp(curve[place] / scale) for place in (upper - 1, upper))
            found[i, j] = level[np.where(target - below <= above - target, upper - 1, upper)]
    low, high = (jnp.asarray(side, jnp.float32) for side in zip(*ranges, strict=True))
    return GammaTable(jnp.asarray(found), low, high)


def _check(ranges, sizes):
    if len(ranges) != 3 or len(sizes) != 5 or min(sizes) < 2:
        raise ValueError(f"sizes: expected at least 2 nodes for each of 3 parameters and 2 levels, got {sizes}")
    (low1, high1), (low2, high2), (low3, high3) = ranges
    if not (0 < low1 < high1 and 0 < low2 < high2 <= STEEPEST and 0 <= low3 < high3 <= 1):
        raise ValueError(f"ranges: expected g1 > 0, g2 in (0, {STEEPEST}] and k in [0, 1], low < high, got {ranges}")


def inverse_by_table(table, image, g1, g2, k):
    """Undoes the gamma curve by linear interpolation in the table, over g1, g2, k and y.

    Args:
      table: :class:`GammaTable`.
      image: y, [..., 3], clipped to [0, 1].
      g1, g2, k: broadcast against the image, clipped to the table's ranges.

    Returns:
      [..., 3] in [0, 1]. For k from .3 and g2 within .2 of 1 it is right to 7e-5, elsewhere to as little as .1.
    """
    *sizes, outputs = table.inputs.shape
    g = jnp.broadcast_arrays(g1, g2, k)
    shares = [(p - low) / (high - low) for p, low, high in zip(g, table.low, table.high, strict=True)]
    nodes = [_place(share, size) for share, size in zip(shares, sizes, strict=True)]
    level = _place(image, outputs)
    if g[0].size * outputs > math.prod(jnp.broadcast_shapes(jnp.shape(image), g[0].shape)):
        return _interpolate(table.inputs, [*nodes, level])
    curves = _interpolate(table.inputs, [(lower, t[..., None]) for lower, t in nodes])  # few sets: a curve for each
    rows = jnp.arange(g[0].size).reshape(g[0].shape)
    return _interpolate(curves.reshape(-1, outputs), [level], rows)


def _place(share, size):
    """Where a share in [0, 1] of an axis lies: the node under it, and how far it is to the next in [0, 1]."""
    position = clip(share, 0.0, 1.0) * (size - 1)
    lower = jnp.clip(jnp.floor(position).astype(jnp.int32), 0, size - 2)
    return lower, position - lower


def _interpolate(values, places, *first):
    """Linear in the axes of ``places``, which come after those that are indexed by ``first``."""
    total = 0.0
    for corner in itertools.product((0, 1), repeat=len(places)):
        index = tuple(lower + step for step, (lower, _) in zip(corner, places, strict=True))
        weight = math.prod(t if step else 1 - t for step, (_, t) in zip(corner, places, strict=True))
        total = total + weight * values[(*first, *index)]
    return total
