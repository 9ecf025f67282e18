"""Every change of size. The coordinate conventions are stated once, here.

``corners`` aligned: output index ``i`` reads the input at ``i (n_in - 1) / (n_out - 1)``: the outer samples of both
sizes coincide. ``centers`` aligned (half-pixel): it reads at ``(i + .5) n_in / n_out - .5``, clamped to the image.
Neither filters before it shrinks.

Positions are computed in float32, as in the networks' training: an exact position moves a 576 -> 144 resize by up
to 7e-6. Sizes are static, so positions and weights are constants of the compiled program.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np


def positions(n_in, n_out, align="corners"):
    """Returns where each of ``n_out`` samples reads an axis of ``n_in``: lower index [n_out], fraction [n_out]."""
    i = np.arange(n_out, dtype=np.float32)
    if align == "corners":
        scale = np.float32(n_in - 1) / np.float32(n_out - 1) if n_out > 1 else np.float32(0)
        x = i * scale
    elif align == "centers":
        scale = np.float32(n_in) / np.float32(n_out)
        x = np.maximum((i + np.float32(0.5)) * scale - np.float32(0.5), np.float32(0))
    else:
        raise ValueError(f"align: expected 'corners' or 'centers', got {align!r}")
    lower = np.minimum(x.astype(np.int32), n_in - 1)
    return lower, np.minimum(x - lower, np.float32(1))


@functools.partial(jax.custom_vjp, nondiff_argnums=(3,))
def interpolate_axis(x, lower, fraction, axis):
    """Linear interpolation of ``x`` along ``axis`` at ``lower + fraction``, clamped at the far end."""
    upper = jnp.minimum(lower + 1, x.shape[axis] - 1)
    shape = [1] * x.ndim
    shape[axis] = len(lower)
    t = jnp.asarray(fraction, x.dtype).reshape(shape)
    take = lambda index: jnp.take(x, index, axis=axis, mode="clip", indices_are_sorted=True)  # noqa: E731
    return (1 - t) * take(lower) + t * take(upper)


def _interpolate_forward(x, lower, fraction, axis):
    return interpolate_axis(x, lower, fraction, axis), (lower, fraction, x.shape[axis])


def _interpolate_backward(axis, residuals, dy):
    # The transpose of a gather is a scatter, which CPUs do one pixel at a time; a matrix product does the same sum.
    lower, fraction, size = residuals
    node = jnp.arange(size)[:, None]
    upper = jnp.minimum(lower + 1, size - 1)
    matrix = jnp.where(node == lower, 1 - fraction, 0.0) + jnp.where(node == upper, fraction, 0.0)
    dx = jnp.tensordot(matrix.astype(dy.dtype), dy, axes=(1, axis), precision="highest")
    return jnp.moveaxis(dx, 0, axis), None, None


interpolate_axis.defvjp(_interpolate_forward, _interpolate_backward)


def resize_bilinear(x, size, *, align="corners"):
    """Bilinear resize without antialiasing.

    Args:
      x: [H, W, C].
      size: static (height, width) of the result.
      align: ``"corners"`` or ``"centers"``, see the module's head.

    Returns:
      [height, width, C] of x's dtype; ``x`` itself where the size does not change.
    """
    for axis in (1, 0):
        if x.shape[axis] != size[axis]:
            x = interpolate_axis(x, *positions(x.shape[axis], size[axis], align), axis)
    return x


def mean_pool(x, factor):
    """Mean over ``factor`` x ``factor`` windows of [H, W, C]; rows and columns left over are dropped (floor)."""
    h, w, c = x.shape[0] // factor, x.shape[1] // factor, x.shape[2]
    x = x[: h * factor, : w * factor].reshape(h, factor, w, factor, c)
    return x.mean(axis=(1, 3))


def pad_reflect(x, before, after=None):
    """Mirrors [H, W, C] over its border without repeating the edge, ``before`` top/left and ``after`` bottom/right.

    Unlike ``jnp.pad`` this allows any size down to 1 pixel (a mirror between two mirrors; one pixel repeats).
    """
    after = before if after is None else after
    if max(before, after) < min(x.shape[:2]):  # flips and slices, whose gradient needs no scatter
        return jnp.pad(x, ((before, after), (before, after), (0, 0)), mode="reflect")
    for axis in (0, 1):
        x = jnp.take(x, reflect_index(x.shape[axis], before, after), axis=axis, mode="clip")
    return x


def pad_edge(x, size):
    """Repeats the outer pixels of [H, W, C] ``size`` times beyond the border."""
    return jnp.pad(x, ((size, size), (size, size), (0, 0)), mode="edge")


def reflect_index(n, before, after):
    """Source index [before + n + after] of each sample of an axis of ``n`` padded by reflection."""
    i = np.arange(-before, n + after)
    period = max(2 * (n - 1), 1)
    i = np.abs(i) % period
    return np.where(i < n, i, period - i).astype(np.int32)


def box_mean(x, size):
    """Mean over the ``size`` x ``size`` window around each pixel of [H, W, C], border mirrored; ``size`` odd."""
    total = pad_reflect(x, size // 2)
    for window in ((size, 1, 1), (1, size, 1)):
        total = jax.lax.reduce_window(total, 0.0, jax.lax.add, window, (1, 1, 1), "valid")
    return total / (size * size)
