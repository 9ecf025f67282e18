"""Edge-aware smoothing by an over-relaxed fixed-point iteration. Paper section A; halo-free tone maps, B.1.

| paper     | here          | meaning                                                            |
|-----------|---------------|--------------------------------------------------------------------|
| m         | target        | what to smooth, and the iteration's start                          |
| y         | y             | the iterate                                                        |
| W         | weights       | bilateral averaging over a k x k window; its rows sum to 1         |
| k         | window        | side of the window                                                 |
| sigma_s   | sigma_space   | spatial standard deviation, pixels                                 |
| sigma_r   | sigma_range   | standard deviation in the guide's luma, in units of the guide      |
| lambda    | fidelity      | weight of the target against smoothness                            |
| omega     | relaxation    | step length; 1 is Jacobi's, above 1 over-relaxes                   |
"""

import dataclasses
import functools
import math

import jax
import jax.numpy as jnp

from modisp_jax.color import luma
from modisp_jax.kernels import solver as kernels
from modisp_jax.kernels.dispatch import on_cpu_unless_differentiated
from modisp_jax.resample import pad_reflect
from modisp_jax.types import check_image


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class SolverStats:
    """How an iterative solve went. Carries no gradient."""

    residual: jax.Array
    """RMS of ``(lambda m + W y)/(lambda + 1) - y``, 0 at the fixed point, as each update met it, [iterations]."""


def bilateral_solve(
    target,
    guide,
    *,
    window=7,
    sigma_space=3.0,
    sigma_range=0.01,
    fidelity=1e-3,
    relaxation=1.6,
    iterations=80,
):
    """Smooths ``target`` within the regions of similar luma of ``guide``.

    All pixels at once, ``y <- y + relaxation ((fidelity m + W y) / (fidelity + 1) - y)``, from ``y = m``. The
    weights ``exp(-(dx^2 + dy^2)/(2 sigma_space^2)) exp(-(dluma)^2/(2 sigma_range^2))`` are divided by their sum over
    the window; the border is mirrored. The map from target to solution is linear and keeps constants. 80 updates
    come near the fixed point, not to it: their number is part of the result. With a relaxation above 1 the solution
    can leave the target's range by a little.

    Memory: half of the symmetric weights are stored and streamed at each update, 2 (window^2 - 1) bytes a pixel: 96
    with the defaults, 72 MB at 750 x 1000. Reverse mode keeps about 2 sqrt(iterations) images of the target's size
    (iterations with no divisor near their root, such as primes, keep more), recomputes the others from those, and
    is finite for every guide in [0, 1]: a distant luma makes a weight underflow cleanly to 0, and its slope with it.

    Args:
      target: [H, W, C], any range and any size from 1 x 1.
      guide: RGB, [H, W, 3], nominally in [0, 1].
      window: odd number of pixels, static.
      sigma_space, sigma_range: positive.
      fidelity: nonnegative; 0 blurs without an anchor.
      relaxation: positive. Up to 1 it always converges; what decays slowest decays in proportion to it, so that 1.6
        needs 5 updates where 1 needs 8. Converges under 2 / (1 - the least eigenvalue of W): under 1.75 for a flat
        guide with the defaults, 1.52 with a window of 3. Guides can be contrived on which 1.6 diverges, too: a
        residual that grows tells.
      iterations: number of updates, static; 0 returns the target.

    Returns:
      (solution [H, W, C], at least float32; :class:`SolverStats`).

    Raises:
      ValueError: for shapes that do not fit, an even window, or a negative number of iterations.

    Reference: "Modular Neural Image Signal Processing", arXiv 2512.08564, section A.
    """
    size = check_image(guide, "guide")
    if jnp.ndim(target) != 3 or jnp.shape(target)[:2] != size:
        raise ValueError(f"target: expected [{size[0]}, {size[1]}, C] as the guide has, got {jnp.shape(target)}")
    if window < 1 or window % 2 == 0:
        raise ValueError(f"window: expected an odd number of pixels, got {window}")
    if iterations < 0:
        raise ValueError(f"iterations: expected 0 or more, got {iterations}")
    # bfloat16 could not tell lumas apart that differ by less than sigma_range.
    dtype = jnp.result_type(target, guide, jnp.float32)
    target, guide = jnp.asarray(target, dtype), jnp.asarray(guide, dtype)
    weights, normaliser = bilateral_weights(luma(guide), window, sigma_space, sigma_range)
    arrays = (target, weights, normaliser, jnp.asarray(fidelity, dtype), jnp.asarray(relaxation, dtype))
    compiled = functools.partial(_iterate, window=window, iterations=iterations)
    if window == 1 or iterations == 0:  # nothing for the kernel to do
        solution, residual = compiled(*arrays)
    else:
        kernel = functools.partial(kernels.iterate, offsets=half_window(window), iterations=iterations)
        solution, residual = on_cpu_unless_differentiated(kernel, compiled, *arrays)
    return solution, SolverStats(residual)


def _iterate(target, weights, normaliser, fidelity, relaxation, *, window, iterations):
    """The solver's updates: solution [H, W, C], RMS of the residual at each [iterations]."""

    def step(y, _):
        # (fidelity m + W y)/(fidelity + 1) - y, as differences: whole terms would round alike at each of the
        # updates, and the solution would drift.
        smoothing = weighted_differences(weights, y, window) / normaliser[..., None]
        new = y + relaxation * ((fidelity * (target - y) + smoothing) / (fidelity + 1))
        # From the difference of two stored arrays: from the residual itself, XLA would evaluate the sums twice.
        residual = jax.lax.stop_gradient((new - y) / relaxation)
        return new, jnp.sqrt(jnp.mean(residual * residual))

    return _checkpointed_scan(step, target, iterations)


def _checkpointed_scan(step, y, count):
    """Runs ``step`` ``count`` times in segments, of which the gradient keeps the first states only."""
    length = max((n for n in range(1, math.isqrt(count) + 1) if count % n == 0), default=1)
    segment = jax.checkpoint(lambda y, _: jax.lax.scan(step, y, length=length))
    y, residual = jax.lax.scan(segment, y, length=count // length)
    return y, residual.reshape(-1)


def half_window(window):
    """Offsets (dy, dx) of one half of a window: of each pair of opposite offsets the positive one, centre left out."""
    radius = window // 2
    span = range(-radius, radius + 1)
    return [(dy, dx) for dy in span for dx in span if (dy, dx) > (0, 0)]


def bilateral_weights(guide, window, sigma_space, sigma_range):
    """Returns the weights of ``guide`` [H, W] for :func:`weighted_differences`, and their sum over the window.

    The weight of a pair of pixels is the same seen from either one, so half of the window is enough. The list holds
    for each offset of :func:`half_window` a map [H + 2r, W + 2r] over the mirrored guide (r = window // 2) whose
    pixel p is the weight of (p, p + offset). The centre's weight is 1, hence the normaliser [H, W] is at least 1.
    """
    radius = window // 2
    (h, w), (height, width) = guide.shape, (guide.shape[0] + 2 * radius, guide.shape[1] + 2 * radius)
    padded = pad_reflect(guide[..., None], 2 * radius)[..., 0]
    center = padded[radius : radius + height, radius : radius + width]
    weights, normaliser = [], jnp.ones_like(guide)
    for dy, dx in half_window(window):
        difference = padded[radius + dy : radius + dy + height, radius + dx : radius + dx + width] - center
        distance = (dy * dy + dx * dx) / (2 * sigma_space**2)
        weight = jnp.exp(-distance - difference * difference / (2 * sigma_range**2))
        weights.append(weight)
        normaliser += crop(weight, h, w, radius, 0, 0) + crop(weight, h, w, radius, -dy, -dx)
    return weights, normaliser


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def weighted_differences(weights, x, window):
    """Sums ``weight(p, q) (x(q) - x(p))`` over the window around each pixel p of ``x`` [H, W, C].

    That is ``normaliser (W x - x)``, with the weights of :func:`bilateral_weights`; of a constant it is exactly 0.
    The transpose is written by hand, many times as fast as autodiff's; forward mode is not available.
    """
    h, w, _ = x.shape
    radius = window // 2
    padded = pad_reflect(x, radius)
    total = jnp.zeros_like(x)
    for (dy, dx), weight in zip(half_window(window), weights, strict=True):
        total += crop(weight, h, w, radius, 0, 0)[..., None] * (crop(padded, h, w, radius, dy, dx) - x)
        total += crop(weight, h, w, radius, -dy, -dx)[..., None] * (crop(padded, h, w, radius, -dy, -dx) - x)
    return total


def _weighted_differences_forward(weights, x, window):
    return weighted_differences(weights, x, window), (weights, x)


def _weighted_differences_backward(window, inputs, g):
    """Runs over the mirrored image, around which the cotangent g is 0; there the operator is its own transpose.

    Of the weight of a pair (p, q): ``(g(p) - g(q)) (x(q) - x(p))``, summed over the channels.
    Of x(p): the sum over the window of ``weight(p, q) (g(q) - g(p))``; then the transpose of the mirror.
    """
    weights, x = inputs
    radius = window // 2
    padded, transpose_mirror = jax.vjp(lambda x: pad_reflect(x, radius), x)
    (h, w), channels = padded.shape[:2], range(x.shape[2])

    def zero_pad(a, n):
        return jnp.pad(a, ((n, n), (n, n), (0, 0)))

    outer_g, outer_x = zero_pad(g, 2 * radius), zero_pad(padded, radius)
    g = crop(outer_g, h, w, radius, 0, 0)
    d_x, d_weights = jnp.zeros_like(padded), []
    for (dy, dx), weight in zip(half_window(window), weights, strict=True):
        ahead, behind = crop(outer_g, h, w, radius, dy, dx) - g, crop(outer_g, h, w, radius, -dy, -dx) - g
        x_ahead = crop(outer_x, h, w, radius, dy, dx) - padded
        # Channel by channel: a reduction over the last, short axis is ten times slower on a CPU.
        d_weights.append(-functools.reduce(jnp.add, [ahead[..., c] * x_ahead[..., c] for c in channels]))
        weight = weight[..., None]
        d_x += weight * ahead + crop(zero_pad(weight, radius), h, w, radius, -dy, -dx) * behind
    return d_weights, *transpose_mirror(d_x)


weighted_differences.defvjp(_weighted_differences_forward, _weighted_differences_backward)


def crop(padded, h, w, radius, dy, dx):
    """Returns the ``h`` x ``w`` pixels within a border of ``radius``, moved by (dy, dx)."""
    return padded[radius + dy : radius + dy + h, radius + dx : radius + dx + w]
