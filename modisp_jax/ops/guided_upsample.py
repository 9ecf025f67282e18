"""Guided upsampling: a bilateral grid of affine colour models, fitted on a small pair and applied at full size.

Each node of the grid ``[gh, gw, 16]`` over (row, column, luma) holds a model ``A`` [3, 4] that takes the colours
around it in the small input to those of the small target, ``t ~ A [r, g, b, 1]``. A full-size pixel reads its model
by trilinear interpolation with its own luma, which keeps edges where the full-size image has them.

Notation, and how it is spelt (arXiv 2512.08564, sections 2.4 and E):

======================================  =====================================================================
``v``, ``t``; ``w``                     input and target colour [3] of a small pixel; its trilinear weight at the node
``N``, ``sum w v``, ``sum w t``         ``count``, ``sum_v``, ``sum_t``
``c = sum w v / N``                     ``mean``
``u = v - c``                           centred colour
``eps = 1e-7 (N + 1)``                  ``ridge``
``g = sum w t / (sum w v + eps)``       ``gain``, the prior, per channel; of the whole image where ``N = 0``
======================================  =====================================================================

The model is the least squares fit with a ridge towards the prior ``A0 = [diag(g) | 0]``:

    minimise  sum w |t - A [v, 1]|^2 + eps |A - A0|^2,   that is   A (S + eps I) = T + eps A0,
    S = sum w [v, 1] [v, 1]^T,   T = sum w t [v, 1]^T.

Solved as it stands in float32 this loses all that matters: a node sees few colours, close together, so that the
smallest eigenvalues of ``S`` are those of the ridge, 1e-7 N, and the rounding of the sums, 6e-8 N, is as large. Hence
two passes over the small pixels, as in iterative refinement, where the residual is formed from the pixels:

1. Plain sums give each node's mean colours, a rough colour part ``A1`` [3, 3] and the principal axes ``V`` of its
   colours. That these are rough costs nothing: the second pass is exact for any ``A1`` and any rotation ``V``.
2. Moments are summed anew, of the centred colour in principal axes ``p = V^T u`` and of what is left of the target,
   ``q = t - mean t - A1 u``. Both are small, and where a node sees no spread ``p`` is 0 to its last digits. With
   ``e = eps / (N + eps)`` and ``r = sum w (t - g v)``, the rearranged equations, offset eliminated, are

       X (sum w p p^T + eps I + N e k k^T) = sum w q p^T - (eps D1 + e (N D1 c - r) c^T) V,    k = V^T c,
       D = D1 + X V^T,    A = [diag(g) + D | (r + eps D c) / (N + eps) - D c],    D1 = A1 - diag(g).

   By the definition of ``g``, ``r = eps g`` without a subtraction; without the prior, ``g = 0`` and ``r = sum w t``.

Since the result does not depend on the rough ``A1`` nor on ``V``, and the moments not on the means to first order, they
are constants to differentiation there, and the gradient is as well conditioned as the value. On CPUs, where float64
costs nothing, ``kernels/affine_fit.py`` sums once and solves as it stands; gradients take the two passes.

``benchmarks/guided_upsample.py`` measures this against the alternatives: within 1e-6 of float64 on photos, where plain
float32 is up to 3e-3 off, and still so where a node sees two colours or a handful of pixels, where that fails.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from modisp_jax.color import luma
from modisp_jax.kernels import affine_fit
from modisp_jax.kernels.dispatch import on_cpu_unless_differentiated
from modisp_jax.numerics import clip01, safe_divide
from modisp_jax.ops.bilateral_grid import (
    HIGHEST,
    axis_strips,
    hat_weights,
    merge_strips,
    places,
    slice_affine,
    splat_grid,
)
from modisp_jax.types import check_image

CELL = 16
"""Small pixels to a node, in both directions."""

DEPTH = 16
"""Nodes over the luma in [0, 1]."""

RIDGE = 1e-7
"""Strength of the ridge for each unit of weight."""

FEW = 1e-12
"""Weight under which a node's mean is not formed: its pixels count for 1e-5 of the ridge."""


def guided_upsample(small_input, small_target, full_input, *, gated_prior=True):
    """Takes an edit made at a small size to the full size: ``out = clip01(A(y, x, luma) [r, g, b, 1])``.

    Args:
      small_input: [h, w, 3] in [0, 1], the small image before the edit.
      small_target: [h, w, 3] in [0, 1], the same after it.
      full_input: [H, W, 3] in [0, 1], the full-size image before the edit; any size.
      gated_prior: pull models towards a gain per channel (see the module's head) instead of towards 0.

    Returns:
      [H, W, 3] in [0, 1], float32 (float64 if an input is).

    Raises:
      ValueError: an input is no [., ., 3] floating-point image, or the small sizes differ.

    Differentiable in all inputs (reverse mode). Source: arXiv 2512.08564, sections 2.4 and E; Chen et al., "Bilateral
    guided upsampling", 2016.
    """
    check_image(full_input, "full_input")
    grid = fit_affine_grid(small_input, small_target, gated_prior=gated_prior)
    return clip01(apply_affine_grid(grid, full_input))


def grid_nodes(size):
    """(gh, gw, 16), nodes of the grid that is fitted to small pictures of ``size``."""
    return max(1, round(size[0] / CELL)), max(1, round(size[1] / CELL)), DEPTH


def fit_affine_grid(small_input, small_target, *, gated_prior=True):
    """Fits the grid of affine models that takes ``small_input`` to ``small_target``, see the module's head.

    Pixel (x, y) lies at node ``((y + .5) (gh - 1) / h, (x + .5) (gw - 1) / w, 15 luma)``. Colours whose luma leaves
    [0, 1] fade out within one node.

    Args:
      small_input, small_target, gated_prior: as in :func:`guided_upsample`.

    Returns:
      [gh, gw, 16, 3, 4] with ``gh = max(1, round(h / 16))``, ``gw = max(1, round(w / 16))`` (halves to even).
    """
    size = check_image(small_input, "small_input")
    if check_image(small_target, "small_target") != size:
        got = f"{jnp.shape(small_input)} and {jnp.shape(small_target)}"
        raise ValueError(f"guided upsampling: expected small input and target of one size, got shapes {got}")
    nodes = grid_nodes(size)
    dtype = jnp.promote_types(jnp.result_type(small_input, small_target), jnp.float32)
    images = small_input.astype(dtype), small_target.astype(dtype)
    depth = luma(images[0]) * (DEPTH - 1)

    def kernel(small_input, small_target, depth):
        axes, options = places(depth, np.empty(nodes), "edges"), {"ridge": RIDGE, "gated_prior": gated_prior}
        return affine_fit.fit(*axes, small_input, small_target, depth, nodes=nodes, **options)

    return on_cpu_unless_differentiated(kernel, partial(_fit, nodes=nodes, gated_prior=gated_prior), *images, depth)


def _fit(small_input, small_target, depth, nodes, gated_prior):
    """The fit in two passes of float32."""
    colours = jnp.concatenate([small_input, small_target], -1)
    products = colours[..., :3, None] * colours[..., None, :]
    everything = [jnp.ones_like(colours[..., :1]), colours, products.reshape(*depth.shape, 18)]
    sums = splat_grid(jnp.concatenate(everything, -1), depth, nodes, align="edges", outside="zero")
    count, sums, products = sums[..., :1], sums[..., 1:7], sums[..., 7:].reshape(*nodes, 3, 6)
    gain, residual = _prior(count, sums) if gated_prior else (jnp.zeros_like(sums[..., 3:]), sums[..., 3:])
    mean = safe_divide(sums, count, FEW)
    rough = jax.lax.stop_gradient(_rough_fit(count, sums, mean, products, gain))
    moments = _moments(colours, depth, jax.lax.stop_gradient(mean), *rough)
    return _exact_fit(count, gain, residual, mean[..., :3], *rough, moments)


def apply_affine_grid(grid, full_input):
    """Reads the model of each pixel of ``full_input`` [H, W, 3] from ``grid`` [gh, gw, gd, 3, 4] and applies it.

    Returns:
      [H, W, 3], not clipped. Beyond luma [0, 1] the models fade to 0 within one node.
    """
    full_input = jnp.asarray(full_input, jnp.promote_types(jnp.result_type(full_input), grid.dtype))
    return slice_affine(grid, luma(full_input) * (grid.shape[2] - 1), full_input, align="edges", outside="zero")


def _prior(count, sums):
    """The prior's gain and the residual sum it leaves, ``g`` and ``r`` [gh, gw, gd, 3]; ``count`` [.., 1]."""
    sum_v, sum_t = sums[..., :3], sums[..., 3:]
    ridge = RIDGE * (count + 1)
    total = lambda x: jnp.sum(x, (0, 1, 2))  # noqa: E731
    overall = total(sum_t) / (total(sum_v) + RIDGE * (total(count) + 1))
    gain = jnp.where(count == 0, overall, sum_t / (sum_v + ridge))
    return gain, jnp.where(count == 0, 0, ridge * gain)


def _rough_fit(count, sums, mean, products, gain):
    """From plain sums: a rough colour part ``A1`` and principal axes ``V`` in columns, each [gh, gw, gd, 3, 3]."""
    moments = products - sums[..., :3, None] * mean[..., None, :]
    spread, cross = moments[..., :3], jnp.swapaxes(moments[..., 3:], -1, -2)
    ridge, eye = RIDGE * (count + 1), jnp.eye(3, dtype=mean.dtype)
    deviation = solve_right(spread + ridge[..., None] * eye, cross - gain[..., None] * spread, ridge[..., 0])
    axes = jnp.linalg.eigh(spread)[1][..., ::-1]  # the widest first: the order of elimination that loses least
    return gain[..., None] * eye + deviation, axes


def _moments(colours, depth, mean, slope, axes):
    """Second moments ``sum w p [p, q]^T`` of the module's head, [gh, gw, gd, 3, 6], as matrix products without scatter.

    The image is cut into tiles between four nodes (y, x). A tile has weights, means, ``A1`` and ``V`` for each of its
    four corners and each depth. ``colours`` [h, w, 6] are (v, t), ``mean`` [gh, gw, gd, 6] theirs.
    """
    (height, width), (gh, gw, gd) = depth.shape, mean.shape[:3]
    _, down, _ = axis_strips(height, gh, "edges")  # [I, L, 2]
    _, across, _ = axis_strips(width, gw, "edges")  # [J, M, 2]
    down, across = jnp.asarray(down, depth.dtype), jnp.asarray(across, depth.dtype)
    pixels = down.shape[1] * across.shape[1]

    def at_corners(x):  # [gh, gw, gd, ..] -> [I, J, 1, 4 gd, ..], axis 2 to meet a tile's pixels
        x = jnp.stack([x[: len(down)], x[-len(down) :]], 1)  # lower and upper node of each interval
        x = jnp.stack([x[:, :, : len(across)], x[:, :, -len(across) :]], 3)  # [I, 2, J, 2, gd, ..]
        return jnp.moveaxis(x, 2, 1).reshape(len(down), len(across), 1, 4 * gd, *x.shape[5:])

    @jax.checkpoint  # the gradient computes the weights of a row of tiles anew instead of keeping all of them
    def row_of_tiles(args):
        down, depth, colours, mean, slope, axes = args
        hats = hat_weights(depth, gd, "zero")  # [L, J, M, gd]
        weights = down[:, None, None, :, None, None] * across[:, :, None, :, None] * hats[:, :, :, None, None, :]
        weights = jnp.moveaxis(weights, 1, 0).reshape(len(across), pixels, 4 * gd, 1)
        colours = jnp.moveaxis(colours, 1, 0).reshape(len(across), pixels, 1, 6)
        u, t = jnp.split(colours - mean, 2, -1)  # [J, pixels, 4 gd, 3]
        p = sum(axes[..., c, :] * u[..., c, None] for c in range(3))
        q = t - sum(slope[..., :, c] * u[..., c, None] for c in range(3))
        return jnp.einsum("jpna,jpnb->jnab", weights * p, jnp.concatenate([p, q], -1), precision=HIGHEST)

    to_tiles = lambda x: _to_strips(_to_strips(x, height, gh, 0), width, gw, 2)  # noqa: E731
    rows = (down, to_tiles(depth), to_tiles(colours), at_corners(mean), at_corners(slope), at_corners(axes))
    moments = jax.lax.map(row_of_tiles, rows).reshape(len(down), len(across), 2, 2, gd, 3, 6)
    return merge_strips(merge_strips(jnp.moveaxis(moments, 1, 2), gh, 0), gw, 1)


def _exact_fit(count, gain, residual, mean, slope, axes, moments):
    """The models [gh, gw, gd, 3, 4] by the equations of the module's head; ``mean`` [.., 3] is ``c``."""
    eye = jnp.eye(3, dtype=mean.dtype)
    ridge = RIDGE * (count + 1)
    share = ridge / (count + ridge)
    deviation = slope - gain[..., None] * eye
    centre = _dot(jnp.swapaxes(axes, -1, -2), mean)
    spread = moments[..., :3] + ridge[..., None] * eye
    spread += (count * share * centre)[..., :, None] * centre[..., None, :]
    pull = share * (count * _dot(deviation, mean) - residual)
    right = jnp.swapaxes(moments[..., 3:], -1, -2) - pull[..., :, None] * centre[..., None, :]
    right -= ridge[..., None] * sum(deviation[..., :, c, None] * axes[..., None, c, :] for c in range(3))
    x = solve_right(spread, right, ridge[..., 0])
    deviation += sum(x[..., :, c, None] * axes[..., None, :, c] for c in range(3))

    shift = _dot(deviation, mean)
    offset = (residual + ridge * shift) / (count + ridge) - shift
    return jnp.concatenate([gain[..., None] * eye + deviation, offset[..., None]], -1)


def _dot(matrix, vector):
    """``M v`` for [.., 3, 3] and [.., 3], as sums of products, see ``color.apply_matrix``."""
    return sum(matrix[..., c] * vector[..., c, None] for c in range(3))


@partial(jax.custom_vjp, nondiff_argnums=(1, 2, 3))
def _to_strips(x, n, nodes, axis):
    """Splits the ``n`` pixels of ``axis`` into padded strips, [.., n, ..] -> [.., m, L, ..]; see ``axis_strips``.

    The rule of differentiation takes padding to have no weight, as it is here. Then going back is a gather too, where
    autodiff would make a scatter.
    """
    return jnp.take(x, axis_strips(n, nodes, "edges")[0], axis=axis, mode="clip")


def _to_strips_fwd(x, n, nodes, axis):
    return _to_strips(x, n, nodes, axis), None


def _to_strips_bwd(n, nodes, axis, _, ct):
    flat = ct.reshape(*ct.shape[:axis], -1, *ct.shape[axis + 2 :])
    return (jnp.take(flat, axis_strips(n, nodes, "edges")[2], axis=axis, mode="clip"),)


_to_strips.defvjp(_to_strips_fwd, _to_strips_bwd)


@jax.custom_vjp
def solve_right(matrix, right, smallest):
    """Solves ``X M = R`` for symmetric positive definite ``M``, unrolled ``L D L^T``.

    Args:
      matrix: [.., 3, 3].
      right: [.., 3, 3].
      smallest: [..], positive, a known lower bound of the eigenvalues. No pivot can be less, so pivots that rounding
        took below it are set to it: the result is finite for whatever comes. It is a bound, so its gradient is 0.

    Returns:
      X [.., 3, 3]. The gradient is the adjoint solve ``dR = dX M^-1``, ``dM = -X^T dR`` made symmetric, with the same
      factors.
    """
    return _substitute(_factor(matrix, smallest), right)


def _solve_right_fwd(matrix, right, smallest):
    factors = _factor(matrix, smallest)
    x = _substitute(factors, right)
    return x, (factors, x)


def _solve_right_bwd(saved, ct):
    factors, x = saved
    d_right = _substitute(factors, ct)
    d_matrix = -jnp.sum(x[..., :, :, None] * d_right[..., :, None, :], -3)
    return (d_matrix + jnp.swapaxes(d_matrix, -1, -2)) / 2, d_right, jnp.zeros_like(factors[0][0])


solve_right.defvjp(_solve_right_fwd, _solve_right_bwd)


def _factor(m, smallest):
    """``M = L D L^T``: pivots (d0, d1, d2) and the entries below the diagonal of L (l10, l20, l21), each [..]."""
    d0 = jnp.maximum(m[..., 0, 0], smallest)
    l10, l20 = m[..., 1, 0] / d0, m[..., 2, 0] / d0
    d1 = jnp.maximum(m[..., 1, 1] - l10 * m[..., 1, 0], smallest)
    rest = m[..., 2, 1] - l20 * m[..., 1, 0]
    l21 = rest / d1
    d2 = jnp.maximum(m[..., 2, 2] - l20 * m[..., 2, 0] - l21 * rest, smallest)
    return (d0, d1, d2), (l10, l20, l21)


def _substitute(factors, right):
    """``R M^-1`` by forward and backward substitution along each row of ``R`` [.., 3, 3]."""
    (d0, d1, d2), (l10, l20, l21) = jax.tree.map(lambda x: x[..., None], factors)
    y0 = right[..., 0]
    y1 = right[..., 1] - l10 * y0
    y2 = right[..., 2] - l20 * y0 - l21 * y1
    x2 = y2 / d2
    x1 = y1 / d1 - l21 * x2
    x0 = y0 / d0 - l10 * x1 - l20 * x2
    return jnp.stack([x0, x1, x2], -1)
