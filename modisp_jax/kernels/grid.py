"""Bilateral grids on CPUs: slicing, and affine models applied on the fly.

The mathematics is that of ``ops/bilateral_grid.py``, which passes where pixels lie on the grid's axes: lower and upper node and the fraction towards the upper one, ``axis_nodes``. A row of pixels lies between
two rows of nodes; these are lerped once, and each pixel reads two columns and two depths of the result.
"""

import jax
import jax.numpy as jnp
import numpy as np

from modisp_jax.kernels import xla
from modisp_jax.kernels.rows import kernel
from modisp_jax.kernels.threads import each_band

BELOW, ABOVE = 1, 2
"""Depths added to a row of nodes below the first and above the last, which hold what lies outside."""


def slice_grid(rows, columns, grid, depth, *, border):
    """``ops.bilateral_grid.slice_grid``: grid [gh, gw, gd, C] and depth [H, W] to [H, W, C].

    ``rows`` and ``columns`` are (lower, upper, fraction) of each row and column, ``border`` whether the depth is
    clamped (else the grid is continued by zeros).
    """
    shape = jax.ShapeDtypeStruct((*depth.shape, grid.shape[-1]), jnp.float32)
    return xla.call("modisp_slice_grid", shape, grid, depth, *places(rows), *places(columns), border=border)


def slice_affine(rows, columns, grid, depth, image, *, border):
    """``ops.bilateral_grid.slice_affine`` for a grid [gh, gw, gd, 12] and an image [H, W, 3], to [H, W, 3]."""
    shape = jax.ShapeDtypeStruct(image.shape, jnp.float32)
    axes = (*places(rows), *places(columns))
    return xla.call("modisp_slice_affine", shape, image, grid, depth, *axes, in_place=True, border=border)


def places(axis):
    """(lower, upper, fraction) of an axis as the compiled loops take them."""
    lower, upper, fraction = axis
    return lower.astype(np.int32), upper.astype(np.int32), fraction.astype(np.float32)


def _slice_grid(grid, depth, top, bottom, down, left, right, across, out, border):
    def band(first, last):
        _slice_band(grid, depth, top, bottom, down, left, right, across, border, first, last, out)

    each_band(depth.shape[0], band)


def _slice_affine(image, grid, depth, top, bottom, down, left, right, across, out, border):
    def band(first, last):
        _affine_band(grid, depth, top, bottom, down, left, right, across, border, first, last, image, out)

    each_band(depth.shape[0], band)


xla.register("modisp_slice_grid", _slice_grid)
xla.register("modisp_slice_affine", _slice_affine)


@kernel
def _lerp_row(grid, top, bottom, t, border, lines):
    """A row of nodes [gw, BELOW + gd + ABOVE, C] between two; beyond the depths zeros, or the end nodes."""
    gw, gd, channels = grid.shape[1:]
    for i in range(gw):
        for c in range(channels):
            for k in range(gd):
                lines[i, BELOW + k, c] = (np.float32(1) - t) * grid[top, i, k, c] + t * grid[bottom, i, k, c]
            for k in range(BELOW):
                lines[i, k, c] = lines[i, BELOW, c] if border else np.float32(0)
            for k in range(ABOVE):
                lines[i, BELOW + gd + k, c] = lines[i, BELOW + gd - 1, c] if border else np.float32(0)


@kernel
def depth_cell(depth, gd, border):
    """Lower node of a depth, counted in a row of nodes, and fraction; NaN gives the first node and NaN."""
    low = np.float32(0) if border else np.float32(-1)
    high = np.float32(gd - 1) if border else np.float32(gd)
    depth = low if depth < low else high if depth > high else depth
    lower = np.floor(depth)
    if border:
        lower = min(lower, np.float32(max(gd - 2, 0)))
    node = int(lower) if lower == lower else 0
    return BELOW + node, depth - lower


@kernel
def _slice_band(grid, depth, top, bottom, down, left, right, across, border, first, last, out):
    gw, gd, channels = grid.shape[1:]
    lines = np.empty((gw, BELOW + gd + ABOVE, channels), np.float32)
    one = np.float32(1)
    for y in range(first, last):
        _lerp_row(grid, top[y], bottom[y], down[y], border, lines)
        for x in range(depth.shape[1]):
            k, f = depth_cell(depth[y, x], gd, border)
            i = left[x]
            j = right[x]
            a = across[x]
            for c in range(channels):
                below = (one - a) * lines[i, k, c] + a * lines[j, k, c]
                above = (one - a) * lines[i, k + 1, c] + a * lines[j, k + 1, c]
                out[y, x, c] = (one - f) * below + f * above


@kernel
def _affine_band(grid, depth, top, bottom, down, left, right, across, border, first, last, image, out):
    gw, gd, _ = grid.shape[1:]
    lines = np.empty((gw, BELOW + gd + ABOVE, 12), np.float32)
    flat = lines.reshape(-1)
    model = np.empty(12, np.float32)
    one = np.float32(1)
    for y in range(first, last):
        _lerp_row(grid, top[y], bottom[y], down[y], border, lines)
        for x in range(depth.shape[1]):
            k, f = depth_cell(depth[y, x], gd, border)
            i = (left[x] * (gd + BELOW + ABOVE) + k) * 12
            j = (right[x] * (gd + BELOW + ABOVE) + k) * 12
            a = across[x]
            near = flat[i : i + 24]
            far = flat[j : j + 24]
            for c in range(12):
                below = (one - a) * near[c] + a * far[c]
                above = (one - a) * near[12 + c] + a * far[12 + c]
                model[c] = (one - f) * below + f * above
            r = image[y, x, 0]
            g = image[y, x, 1]
            b = image[y, x, 2]
            for c in range(3):
                out[y, x, c] = model[4 * c] * r + model[4 * c + 1] * g + model[4 * c + 2] * b + model[4 * c + 3]
