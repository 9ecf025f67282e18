"""What a fit changes in a look: small tables of numbers, 0 where nothing changes.

Logarithms to base 2 for what is positive, so that a step means the same for a gain of .5 and of 4. Maps and tables are
sums of coarse and fine ones, each with a weight of its own in the penalty: what a coarse one can say costs little, so
what no pixel asks for stays smooth, and gradient descent moves whole regions at once.
"""

import jax.numpy as jnp
import numpy as np

from modisp_jax.color import rgb_to_ycbcr
from modisp_jax.numerics import clip, clip01, power
from modisp_jax.ops.bilateral_grid import axis_nodes, slice_grid
from modisp_jax.ops.lut import CHROMA_BINS, RGB_NODES, identity_rgb_lut
from modisp_jax.types import Look

CHROMA_LEVELS = (4, 8, CHROMA_BINS)
"""Nodes a side of the chroma map's summands."""

RGB_LEVELS = (2, 4, RGB_NODES)
"""Nodes a side of the colour LUT's summands."""

RATES = {"chroma_lut": 0.1, "rgb_lut": 0.1}
"""Learning rates relative to that of the logarithms: tables are in units of full scale."""

LIMIT = 8.0
"""Deltas are clipped to this, so that no step can overflow."""


def zero_deltas(config, *, ltm=True, rgb_lut=False, white_balance=False, exposure=False):
    """The deltas that change nothing: a dict from a coefficient to an array, or a list of them from coarse to fine.

    Those that are not to be fitted are absent. With ``exposure`` the gain is absent: one of the two is enough.
    """
    deltas = {
        "gtm": jnp.zeros(3),
        "inverse_gamma": jnp.zeros(()),
        "chroma_lut": [jnp.zeros((n, n, 2)) for n in CHROMA_LEVELS],
    }
    if exposure:
        deltas["exposure"] = jnp.zeros(())
    else:
        deltas["gain"] = jnp.zeros(())
    if ltm:
        deltas["ltm"] = [jnp.zeros((*size, 5)) for size in config.grids]
    if rgb_lut:
        deltas["rgb_lut"] = [jnp.zeros((n, n, n, 3)) for n in RGB_LEVELS]
    if white_balance:
        deltas["white_balance"] = jnp.zeros(2)
    return deltas


def changed_look(start, deltas, depth):
    """A look changed by deltas.

    ``gain 2^d``, ``(a, b, c) 2^d``, ``inverse_gamma 2^d``; local maps: ``w + d`` and ``(a, b, c, g) 2^d``, where the
    local curve also follows the global one's delta, so that alone it stays what it was; tables: ``LUT + d``.

    Args:
      start: a :class:`modisp_jax.Look` whose maps have the size of ``depth``.
      deltas: as :func:`zero_deltas` makes them.
      depth: [h, w] in [0, 1], where each pixel reads the bilateral grid: :func:`luma_depth`.

    Returns:
      A :class:`modisp_jax.Look`.
    """
    curve = _limited(deltas["gtm"])
    maps = jnp.concatenate([jnp.zeros(1), curve, jnp.zeros(1)])
    if "ltm" in deltas:
        grid = _table(deltas["ltm"])
        maps = maps + slice_grid(grid, depth * (grid.shape[2] - 1))
    ltm = start.ltm
    ltm = jnp.concatenate([ltm[..., :1] + maps[..., :1], ltm[..., 1:] * jnp.exp2(_limited(maps[..., 1:]))], axis=-1)
    rgb_lut = start.rgb_lut
    if "rgb_lut" in deltas:
        rgb_lut = (identity_rgb_lut() if rgb_lut is None else rgb_lut) + _table(deltas["rgb_lut"])
    return Look(
        gain=start.gain * jnp.exp2(_limited(deltas.get("gain", jnp.zeros(())))),
        gtm=start.gtm * jnp.exp2(curve),
        ltm=ltm,
        chroma_lut=start.chroma_lut + _table(deltas["chroma_lut"]),
        inverse_gamma=start.inverse_gamma * jnp.exp2(_limited(deltas["inverse_gamma"])),
        rgb_lut=rgb_lut,
        strengths=start.strengths,
    )


def _limited(delta):
    return clip(delta, -LIMIT, LIMIT)


def _table(levels):
    return sum_of_levels([_limited(level) for level in levels])


def luma_depth(linear):
    """Where each pixel of linear sRGB [h, w, 3] reads the grid: ``Y^(1/2.2)`` [h, w] in [0, 1]."""
    return power(clip01(rgb_to_ycbcr(linear)[..., 0]), 1 / 2.2)


def sum_of_levels(levels):
    """Tables [n_1, ..., n_d, C] of rising size, brought to the size of the last (multilinear) and added."""
    total = levels[-1]
    for level in levels[:-1]:
        for axis in range(level.ndim - 1):
            level = jnp.moveaxis(jnp.tensordot(_lerp(total.shape[axis], level.shape[axis]), level, (1, axis)), 0, axis)
        total = total + level
    return total


def _lerp(n, nodes):
    """The matrix [n, nodes] that interpolates ``nodes`` samples at ``n`` places, ends aligned."""
    lower, upper, fraction = axis_nodes(n, nodes, "corners")
    matrix = np.zeros((n, nodes), np.float32)
    matrix[np.arange(n), lower] += 1 - fraction
    matrix[np.arange(n), upper] += fraction
    return matrix


def penalty(deltas, config):
    """What the deltas cost [], in units of squared error.

    Weight times mean square, the finer levels dearer; and for tables the curvature of the sum, so that they go on
    straight where no pixel says anything: a sky of a blue that the fit has not seen would show bands.
    """
    total = jnp.zeros(())
    for name, value in deltas.items():
        levels = value if isinstance(value, list) else [value]
        for k, level in enumerate(levels):
            total = total + config.regularisation * config.finer**k * jnp.mean(jnp.square(level))
        if name.endswith("lut"):
            total = total + config.curvature * curvature(sum_of_levels(value))
    return total


def curvature(table):
    """Mean squared second difference of [n_1, ..., n_d, C] along its axes, for steps of a tenth of the range."""
    total = jnp.zeros(())
    for axis in range(table.ndim - 1):
        scale = ((table.shape[axis] - 1) / 10) ** 2
        total = total + jnp.mean(jnp.square(scale * jnp.diff(table, 2, axis=axis)))
    return total / (table.ndim - 1)
