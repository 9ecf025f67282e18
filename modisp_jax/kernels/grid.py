"""Bilateral grids on CPUs: slicing, and affine models applied on the fly.

The mathematics is that of ``ops/bilateral_grid.py``, which passes where pixels lie on the grid's axes: lower and upper
node and the fraction towards the upper one, ``axis_nodes``. A row of pixels lies between two rows of nodes; these are
lerped once, and each pixel reads two columns and two depths of the result.
"""

import jax
import jax.numpy as jnp
import numpy as np

from modisp_jax.color import LUMA_601, RGB_TO_YCBCR
from modisp_jax.kernels import xla
from modisp_jax.kernels.rows import EIGHT, FOUR, ONE, ZERO, index, kernel
from modisp_jax.kernels.threads import each_band

BELOW, ABOVE = 1, 2
"""Depths added to a row of nodes below the first and above the last, which hold what lies outside."""

TWELVE = index(12)
R_601, G_601, B_601 = LUMA_601
R_709, G_709, B_709 = RGB_TO_YCBCR[0]


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


def upsampled(rows, columns, grid, grey, image, before, after, strength, *, finished):
    """A picture by guided upsampling and the detail of another, ``after - before`` times ``strength``, in one pass.

    ``clip01(clip01(A [r, g, b, 1]) + strength (after - before))``, of which all channels are luma where ``grey``.

    Args:
      rows, columns: as in :func:`slice_grid`; the depth is the luma of ``image``.
      grid: [gh, gw, gd, 12]; continued by zeros.
      grey: scalar, not 0 where the picture has no colour.
      image, before, after: [H, W, 3].
      strength: scalar.
      finished: whether the result is uint8, as ``io.images.quantize`` makes it, or float32.
    """
    shape = jax.ShapeDtypeStruct(image.shape, jnp.uint8 if finished else jnp.float32)
    scalars = jnp.stack([jnp.asarray(grey, jnp.float32), jnp.asarray(strength, jnp.float32)])
    return xla.call("modisp_upsampled", shape, image, before, after, grid, scalars, *places(rows), *places(columns))


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


def _upsampled(image, before, after, grid, scalars, top, bottom, down, left, right, across, out):
    def band(first, last):
        axes = (top, bottom, down, left, right, across)
        _upsampled_band(grid, *axes, scalars[1], scalars[0] != 0, first, last, image, before, after, out)

    each_band(len(image), band)


xla.register("modisp_upsampled", _upsampled)
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
    lines = np.empty((grid.shape[1], BELOW + grid.shape[2] + ABOVE, 12), np.float32)
    for y in range(first, last):
        _lerp_row(grid, top[y], bottom[y], down[y], border, lines)
        _affine_row(lines, depth[y], left, right, across, border, image[y], out[y])


@kernel
def _affine_row(lines, depth, left, right, across, border, image, out):
    """A row of pixels [W, 3] by the models of a row of nodes."""
    span = index(lines.shape[1])
    models = lines.reshape(-1)
    one = np.float32(1)
    for x in range(len(depth)):
        k, f = depth_cell(depth[x], lines.shape[1] - BELOW - ABOVE, border)
        i = (index(left[x]) * span + index(k)) * TWELVE
        j = (index(right[x]) * span + index(k)) * TWELVE
        d = across[x] * f
        c = across[x] - d
        b = f - d
        a = one - across[x] - b
        pixel = image[x, 0], image[x, 1], image[x, 2]
        out[x, 0] = _affine(models, i, j, ZERO, a, b, c, d, pixel)
        out[x, 1] = _affine(models, i, j, FOUR, a, b, c, d, pixel)
        out[x, 2] = _affine(models, i, j, EIGHT, a, b, c, d, pixel)


@kernel
def _affine(models, i, j, row, a, b, c, d, pixel):
    """A row of the model between four, which start at ``i`` and ``j`` and twelve numbers on, on a pixel."""
    i, j = i + row, j + row
    # Without a loop: what the compiler makes of one takes half as long again.
    red = a * models[i] + b * models[i + TWELVE] + c * models[j] + d * models[j + TWELVE]
    i, j = i + ONE, j + ONE
    green = a * models[i] + b * models[i + TWELVE] + c * models[j] + d * models[j + TWELVE]
    i, j = i + ONE, j + ONE
    blue = a * models[i] + b * models[i + TWELVE] + c * models[j] + d * models[j + TWELVE]
    i, j = i + ONE, j + ONE
    offset = a * models[i] + b * models[i + TWELVE] + c * models[j] + d * models[j + TWELVE]
    return red * pixel[0] + green * pixel[1] + blue * pixel[2] + offset


@kernel
def _upsampled_band(
    grid, top, bottom, down, left, right, across, strength, grey, first, last, image, before, after, out
):
    lines = np.empty((grid.shape[1], BELOW + grid.shape[2] + ABOVE, 12), np.float32)
    depth = np.empty(image.shape[1], np.float32)
    row = np.empty(image.shape[1:], np.float32)
    for y in range(first, last):
        pixels = image[y]
        for x in range(len(depth)):
            luma = R_601 * pixels[x, 0] + G_601 * pixels[x, 1] + B_601 * pixels[x, 2]
            depth[x] = luma * np.float32(grid.shape[2] - 1)
        _lerp_row(grid, top[y], bottom[y], down[y], False, lines)
        _affine_row(lines, depth, left, right, across, False, pixels, row)
        if grey:
            _take_colour(row)
        _add_detail(row.reshape(-1), strength, before[y].reshape(-1), after[y].reshape(-1), out[y].reshape(-1))


@kernel
def _take_colour(row):
    for x in range(len(row)):
        luma = R_709 * _clip01(row[x, 0]) + G_709 * _clip01(row[x, 1]) + B_709 * _clip01(row[x, 2])
        row[x, 0] = luma
        row[x, 1] = luma
        row[x, 2] = luma


@kernel
def _clip01(value):
    return min(max(value, np.float32(0)), np.float32(1))


@kernel
def _add_detail(row, strength, before, after, out):
    """``clip01(clip01(row) + strength (after - before))``; uint8 of it where that is what ``out`` holds."""
    scale, rounding = (np.float32(255), np.float32(0.5)) if out.itemsize == 1 else (np.float32(1), np.float32(0))
    for p in range(len(row)):
        value = _clip01(row[p]) + strength * (after[p] - before[p])
        out[p] = _clip01(value) * scale + rounding
