"""Bilateral grids: slicing, its transpose, and the slice of affine models applied on the fly.

Coordinate contract. A grid ``[gh, gw, gd, C]`` holds values at nodes; node ``(j, i, k)`` sits at row ``j``, column
``i``, depth ``k``. An image pixel reads or writes the grid at a row and a column that follow from its place alone and
at a depth given per pixel:

* ``align="corners"``: pixel ``i`` of ``n`` lies at node ``i (g - 1) / (n - 1)``. The outer nodes lie on the outer
  pixels' centres (``align_corners=True`` of PyTorch); one pixel lies at node 0.
* ``align="edges"``: pixel ``i`` of ``n`` lies at node ``(i + .5) (g - 1) / n``. The outer nodes lie on the image's
  edges.
* ``depth`` is counted in nodes: 0 is the first, ``gd - 1`` the last. A guide in [0, 1] is multiplied by ``gd - 1``.
* ``outside`` says what lies beyond the first and last depth: ``"border"`` clamps the depth to ``[0, gd - 1]``;
  ``"zero"`` continues the grid with zeros, so that the value fades to 0 within one node and stays there.

A depth of +-inf is beyond the last or first node like any other: the end node with ``"border"``, 0 with ``"zero"``.
The slope in depth on a node is that of the interval above it (below it on the last node with ``"border"``); where the
depth is clamped it is 0.

How it is computed. Rows and columns are known before the program runs, so their weights are constants: a row of pixels
lerps two rows of the grid once, then each pixel reads two columns and two depths of the result. The transpose takes no
scatter, which is slow and not reproducible on a GPU: pixels between two rows of nodes form a strip, and a strip is
reduced onto its nodes by matrix products with the weights of rows and columns (constant) and depths (hat functions).
Both go through the image in small pieces, so that memory does not grow with ``H W gd``.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from modisp_jax.kernels import grid as kernels
from modisp_jax.kernels.dispatch import on_cpu
from modisp_jax.numerics import clip

HIGHEST = jax.lax.Precision.HIGHEST
"""For every matrix product here: the default rounds to tf32 on a GPU and to bfloat16 on a TPU."""

PIXELS_PER_STEP = 2**16
"""Pixels sliced at a time. More only takes memory on a CPU; a GPU wants at least this many."""

WEIGHTS_PER_STEP = 2**22
"""Weights held at a time by the transpose."""


def slice_grid(grid, depth, *, align="corners", outside="border"):
    """Reads a bilateral grid at every pixel by trilinear interpolation.

    ``out[y, x] = sum_jik max(0, 1 - |Y(y) - j|) max(0, 1 - |X(x) - i|) max(0, 1 - |depth[y, x] - k|) grid[j, i, k]``
    with ``Y`` and ``X`` as in the module's head.

    Args:
      grid: [gh, gw, gd, C], floating point.
      depth: [H, W], in nodes; any value, see the module's head.
      align: ``"corners"`` or ``"edges"``.
      outside: ``"border"`` or ``"zero"``.

    Returns:
      [H, W, C].

    Raises:
      ValueError: wrong rank, or an unknown ``align`` or ``outside``.

    Differentiable in ``grid`` and ``depth`` (reverse mode). Source: Chen, Paris, Durand, "Real-time edge-aware image
    processing with the bilateral grid", 2007; arXiv 2512.08564, sections C.5 and E.
    """
    grid, depth = _check(grid, depth, align, outside, rank=4)
    return _slice(grid, depth, align, outside)


def splat_grid(values, depth, size, *, align="corners", outside="border"):
    """Adds every pixel's values to the nodes of a bilateral grid around it: the transpose of :func:`slice_grid`.

    ``grid[j, i, k] = sum_yx w[y, x, j, i, k] values[y, x]`` with the weights ``w`` of :func:`slice_grid`.

    Args:
      values: [H, W, C], floating point.
      depth: [H, W], in nodes.
      size: static (gh, gw, gd).
      align, outside: as in :func:`slice_grid`.

    Returns:
      [gh, gw, gd, C].
    """
    values, depth = _check(values, depth, align, outside, rank=3)
    return _splat(values, depth, tuple(size), align, outside)


def slice_affine(grid, depth, image, *, align="edges", outside="zero"):
    """Slices a grid of affine colour models and applies them: ``out = A [r, g, b, 1]`` at each pixel.

    The same as applying the result of :func:`slice_grid`, without ever holding the twelve coefficients of all pixels.

    Args:
      grid: [gh, gw, gd, 3, 4], models ``A``.
      depth: [H, W], in nodes.
      image: [H, W, 3].
      align, outside: as in :func:`slice_grid`.

    Returns:
      [H, W, 3], not clipped.
    """
    grid, depth = _check(grid, depth, align, outside, rank=5)
    image = jnp.asarray(image)
    if grid.shape[3:] != (3, 4) or image.shape != (*depth.shape, 3):
        got = f"{grid.shape}, {depth.shape} and {image.shape}"
        raise ValueError(f"slice_affine: expected grid [gh, gw, gd, 3, 4], depth [H, W], image [H, W, 3], got {got}")
    return _slice_affine(grid.reshape(*grid.shape[:3], 12), depth, image, align, outside)


def axis_nodes(n, nodes, align):
    """Where ``n`` pixels lie on an axis of ``nodes``: lower and upper node [n], fraction towards the upper [n].

    Exact positions (float64, constants of the program); the upper node is the lower one where there is only one.
    """
    i = np.arange(n)
    position = (i + 0.5) * (nodes - 1) / n if align == "edges" else i * (nodes - 1) / max(n - 1, 1)
    lower = np.clip(np.floor(position).astype(np.int32), 0, max(nodes - 2, 0))
    return lower, np.minimum(lower + 1, nodes - 1), position - lower


def axis_strips(n, nodes, align):
    """Groups the ``n`` pixels of an axis by the interval between two nodes in which they lie.

    Returns:
      pixels: [m, L] int, pixels of each interval, padded with pixel 0; ``m = max(nodes - 1, 1)``.
      weights: [m, L, 2], weight of each for the interval's lower and upper node; 0 for padding.
      slots: [n] int, where in the flat ``[m L]`` each pixel is found.
    """
    lower, _, fraction = axis_nodes(n, nodes, align)
    count = np.bincount(lower, minlength=max(nodes - 1, 1))
    slot = np.arange(count.max())
    real = slot < count[:, None]
    pixels = np.where(real, (np.cumsum(count) - count)[:, None] + slot, 0)
    weights = np.where(real[..., None], np.stack([1 - fraction, fraction], -1)[pixels], 0.0)
    return pixels, weights, np.flatnonzero(real)


def merge_strips(x, nodes, axis):
    """Sums contributions of intervals at nodes: [.., m, 2, ..] at ``axis``, ``axis + 1`` -> [.., nodes, ..]."""
    lower, upper = (jax.lax.index_in_dim(x, side, axis + 1, keepdims=False) for side in (0, 1))
    if nodes == 1:  # the upper weights are all 0
        return lower
    pad = lambda before, after: [(before, after) if a == axis else (0, 0) for a in range(lower.ndim)]  # noqa: E731
    return jnp.pad(lower, pad(0, 1)) + jnp.pad(upper, pad(1, 0))


def hat_weights(depth, nodes, outside):
    """Weight [.., nodes] of each depth node for ``depth`` [..]: ``max(0, 1 - |depth - k|)``.

    Written by floor and fraction so that the slope on a node is one-sided, never the mean of both sides.
    """
    lower, fraction = _depth_cell(depth, nodes, outside)
    k = jnp.arange(nodes, dtype=depth.dtype)
    lower, fraction = lower[..., None], fraction[..., None]
    return jnp.where(k == lower, 1 - fraction, 0) + jnp.where(k == lower + 1, fraction, 0)


def steps(n, most):
    """The largest divisor of ``n`` up to ``most``: pieces of equal size need no padded or leftover step."""
    return max(d for d in range(1, n + 1) if n % d == 0 and d <= max(most, 1))


def _check(array, depth, align, outside, rank):
    array, depth = jnp.asarray(array), jnp.asarray(depth)
    if array.ndim != rank or depth.ndim != 2 or 0 in (*array.shape, *depth.shape):
        got = f"{array.shape} and {depth.shape}"
        raise ValueError(f"bilateral grid: expected an array of rank {rank} and a depth [H, W], got shapes {got}")
    if rank == 3 and array.shape[:2] != depth.shape:
        raise ValueError(f"splat_grid: expected values [H, W, C] for depth {depth.shape}, got {array.shape}")
    if align not in ("corners", "edges") or outside not in ("border", "zero"):
        raise ValueError(f"expected align corners or edges, outside border or zero, got {align!r}, {outside!r}")
    return array, depth


def _depth_range(nodes, outside):
    """First and last depth beyond which nothing changes: a grid continued by zeros has faded to 0 one node on."""
    return (0.0, nodes - 1.0) if outside == "border" else (-1.0, float(nodes))


def _depth_cell(depth, nodes, outside):
    """Lower node (as float) and fraction of ``depth``; the clip keeps +-inf out of the subtraction."""
    depth = clip(depth, *_depth_range(nodes, outside))
    lower = jnp.floor(depth)
    if outside == "border":  # the last node belongs to the interval below it
        lower = jnp.minimum(lower, max(nodes - 2, 0))
    return lower, depth - lower


def _map_rows(fn, grid, depth, align, outside, *images):
    """Maps ``fn(value, slope, *rows)`` over the rows of the image: value and d value / d depth [W, C], rows [W, ..]."""
    grid = jnp.asarray(grid)  # a cotangent may be a NumPy array
    (gh, gw, gd, channels), (height, width) = grid.shape, depth.shape
    top, bottom, down = axis_nodes(height, gh, align)
    left, right, across = axis_nodes(width, gw, align)
    across = jnp.asarray(across[:, None], grid.dtype)
    first, last = _depth_range(gd, outside)

    def read(row, t, z, *rows):
        lines = (1 - t) * grid[row[0]] + t * grid[row[1]]
        lines = lines.reshape(gw * gd, channels)
        lower, fraction = _depth_cell(z, gd, outside)
        lower = lower.astype(jnp.int32)

        def plane(k):  # the nodes at this depth, columns lerped
            exists = (k >= 0) & (k < gd) | (outside == "border")
            k = jnp.clip(k, 0, gd - 1)
            near, far = (jnp.take(lines, column * gd + k, axis=0, mode="clip") for column in (left, right))
            return jnp.where(exists[:, None], (1 - across) * near + across * far, 0)

        below, above = plane(lower), plane(lower + 1)
        value = (1 - fraction[:, None]) * below + fraction[:, None] * above
        slope = jnp.where(((z >= first) & (z <= last))[:, None], above - below, 0)
        return fn(value, slope, *rows)

    rows = (np.stack([top, bottom], -1), jnp.asarray(down, grid.dtype), depth, *images)
    return jax.lax.map(lambda row: read(*row), rows, batch_size=steps(height, PIXELS_PER_STEP // width))


def _splat_strips(fn, depth, size, align, outside, *images):
    """The transpose of slicing for ``fn(*strips) -> [L, W, C]``, computed strip by strip."""
    (gh, gw, gd), (height, width) = size, depth.shape
    pixels, down, _ = axis_strips(height, gh, align)
    left, right, across = axis_nodes(width, gw, align)
    columns = np.zeros((width, gw))
    columns[np.arange(width), left] += 1 - across
    columns[np.arange(width), right] += across
    columns = jnp.asarray(columns, depth.dtype)

    def strip(args):
        pixels, down = args
        hats = hat_weights(depth[pixels], gd, outside)
        weights = down[:, None, :, None] * hats[:, :, None, :]  # [L, W, 2, gd]
        lines = jnp.einsum("yxak,yxc->xakc", weights, fn(*(jnp.asarray(x)[pixels] for x in images)), precision=HIGHEST)
        return jnp.einsum("xi,xakc->aikc", columns, lines, precision=HIGHEST)

    batch = steps(len(pixels), WEIGHTS_PER_STEP // (pixels.shape[1] * width * 2 * gd))
    nodes = jax.lax.map(strip, (pixels, jnp.asarray(down, depth.dtype)), batch_size=batch)
    return merge_strips(nodes, gh, axis=0)


@partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _slice(grid, depth, align, outside):
    def compiled(grid, depth):
        return _map_rows(lambda value, slope: value, grid, depth, align, outside)

    kernel = partial(kernels.slice_grid, *places(depth, grid, align), border=outside == "border")
    return on_cpu(kernel, compiled, grid, depth)


def places(depth, grid, align):
    """Where the rows and columns of ``depth`` [H, W] lie on ``grid`` [gh, gw, ..]: :func:`axis_nodes` of either."""
    return axis_nodes(depth.shape[0], grid.shape[0], align), axis_nodes(depth.shape[1], grid.shape[1], align)


def _slice_fwd(grid, depth, align, outside):
    return _slice(grid, depth, align, outside), (grid, depth)


def _slice_bwd(align, outside, saved, ct):
    grid, depth = saved
    d_grid = _splat(ct, depth, grid.shape[:3], align, outside)
    d_depth = _map_rows(lambda value, slope, ct: jnp.sum(slope * ct, -1), grid, depth, align, outside, ct)
    return d_grid, d_depth


_slice.defvjp(_slice_fwd, _slice_bwd)


@partial(jax.custom_vjp, nondiff_argnums=(2, 3, 4))
def _splat(values, depth, size, align, outside):
    return _splat_strips(lambda values: values, depth, size, align, outside, values)


def _splat_fwd(values, depth, size, align, outside):
    return _splat(values, depth, size, align, outside), (values, depth)


def _splat_bwd(size, align, outside, saved, ct):
    del size
    values, depth = saved
    fn = lambda value, slope, values: (value, jnp.sum(slope * values, -1))  # noqa: E731
    return _map_rows(fn, ct, depth, align, outside, values)


_splat.defvjp(_splat_fwd, _splat_bwd)


@partial(jax.custom_vjp, nondiff_argnums=(3, 4))
def _slice_affine(grid, depth, image, align, outside):
    def compiled(grid, depth, image):
        return _map_rows(lambda value, slope, pixel: _apply_affine(value, pixel), grid, depth, align, outside, image)

    kernel = partial(kernels.slice_affine, *places(depth, grid, align), border=outside == "border")
    return on_cpu(kernel, compiled, grid, depth, image)


def _slice_affine_fwd(grid, depth, image, align, outside):
    return _slice_affine(grid, depth, image, align, outside), (grid, depth, image)


def _slice_affine_bwd(align, outside, saved, ct):
    grid, depth, image = saved

    def outer(ct, pixel):  # d out / d A is the pixel with 1 appended
        pixel = jnp.concatenate([pixel, jnp.ones_like(pixel[..., :1])], -1)
        product = ct[..., :, None] * pixel[..., None, :]
        return product.reshape(*product.shape[:-2], 12)

    def row(value, slope, pixel, ct):
        d_depth = jnp.sum(_apply_affine(slope, pixel) * ct, -1)
        model = value.reshape(-1, 3, 4)
        return d_depth, sum(model[:, c, :3] * ct[:, c, None] for c in range(3))

    d_depth, d_image = _map_rows(row, grid, depth, align, outside, image, ct)
    return _splat_strips(outer, depth, grid.shape[:3], align, outside, ct, image), d_depth, d_image


_slice_affine.defvjp(_slice_affine_fwd, _slice_affine_bwd)


def _apply_affine(model, pixel):
    """``A [r, g, b, 1]``: model [W, 12], pixel [W, 3] -> [W, 3]; sums of products, see ``color.apply_matrix``."""
    model = model.reshape(-1, 3, 4)
    return sum(model[..., c] * pixel[:, c, None] for c in range(3)) + model[..., 3]
