"""Bilateral grids on CPUs: slicing, affine models applied on the fly, and moments gathered at the nodes.

The mathematics is that of ``ops/bilateral_grid.py`` and ``ops/guided_upsample.py``, which pass where pixels lie on the
grid's axes: lower and upper node and the fraction towards the upper one, ``axis_nodes``. A row of pixels lies between
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
    return xla.call("modisp_slice_grid", shape, grid, depth, *_places(rows), *_places(columns), border=border)


def slice_affine(rows, columns, grid, depth, image, *, border):
    """``ops.bilateral_grid.slice_affine`` for a grid [gh, gw, gd, 12] and an image [H, W, 3], to [H, W, 3]."""
    shape = jax.ShapeDtypeStruct(image.shape, jnp.float32)
    places = (*_places(rows), *_places(columns))
    return xla.call("modisp_slice_affine", shape, image, grid, depth, *places, in_place=True, border=border)


def moments(rows, columns, colours, depth, models):
    """``sum w p [p, q]^T`` at each node, of ``ops/guided_upsample.py``: [gh, gw, gd, 3, 6].

    Args:
      rows, columns: as in :func:`slice_grid`.
      colours: [h, w, 6], input and target colour of each pixel.
      depth: [h, w], in nodes; the grid is continued by zeros.
      models: [gh, gw, gd, 24], means [6], colour parts [3, 3] and principal axes [3, 3] of each node, flat.
    """
    shape = jax.ShapeDtypeStruct((*models.shape[:3], 3, 6), jnp.float32)
    return xla.call("modisp_moments", shape, colours, depth, models, *_places(rows), *_places(columns))


def _places(axis):
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


def _moments(colours, depth, models, top, bottom, down, left, right, across, out):
    total = np.zeros((*models.shape[:3], 18))
    parts = []

    def band(first, last):
        # Only the rows of nodes that the band touches. In float64: a node sums thousands of pixels, one by one.
        base = top[first]
        part = np.zeros((bottom[last - 1] + 1 - base, *total.shape[1:]))
        _moments_band(colours, depth, models, top, bottom, down, left, right, across, first, last, base, part)
        parts.append((base, part))

    each_band(depth.shape[0], band)
    for base, part in sorted(parts, key=lambda pair: pair[0]):
        total[base : base + len(part)] += part
    out[...] = total.reshape(out.shape)


xla.register("modisp_slice_grid", _slice_grid)
xla.register("modisp_slice_affine", _slice_affine)
xla.register("modisp_moments", _moments)


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
def _depth_cell(depth, gd, border):
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
            k, f = _depth_cell(depth[y, x], gd, border)
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
            k, f = _depth_cell(depth[y, x], gd, border)
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


@kernel
def _moments_band(colours, depth, models, top, bottom, down, left, right, across, first, last, base, total):
    gd = models.shape[2]
    one = np.float32(1)
    v = np.empty(6, np.float32)
    pq = np.empty(6, np.float32)
    for y in range(first, last):
        for x in range(depth.shape[1]):
            lower, f = _depth_cell(depth[y, x], gd, False)
            for c in range(6):
                v[c] = colours[y, x, c]
            for corner in range(8):
                k = lower - BELOW + (corner & 1)
                if k < 0 or k >= gd:
                    continue
                weight = f if corner & 1 else one - f
                weight *= across[x] if corner & 2 else one - across[x]
                weight *= down[y] if corner & 4 else one - down[y]
                if weight == np.float32(0):
                    continue
                i = right[x] if corner & 2 else left[x]
                j = bottom[y] if corner & 4 else top[y]
                m = models[j, i, k]
                u0 = v[0] - m[0]
                u1 = v[1] - m[1]
                u2 = v[2] - m[2]
                for a in range(3):
                    pq[a] = m[15 + a] * u0 + m[18 + a] * u1 + m[21 + a] * u2
                    pq[3 + a] = v[3 + a] - m[3 + a] - (m[6 + 3 * a] * u0 + m[7 + 3 * a] * u1 + m[8 + 3 * a] * u2)
                node = total[j - base, i, k]
                for a in range(3):
                    scaled = np.float64(weight * pq[a])
                    for b in range(6):
                        node[6 * a + b] += scaled * np.float64(pq[b])
