"""Straightening and cropping."""

import functools
import math

import jax
import jax.numpy as jnp

from modisp_jax.kernels.dispatch import on_cpu
from modisp_jax.kernels.resampling import read_cubic
from modisp_jax.numerics import clip
from modisp_jax.ops.skip import unless_zero

LARGEST_ANGLE = 45.0
BITS = 16
ONE = 1 << BITS
"""Positions are whole multiples of 2^-16 pixels, within +-32768."""
REACH = 2
"""The cubic kernel is 0 from this distance on, in pixels."""
MARGIN = 2 * REACH
"""Pixels repeated around the picture: taps of the second pass reach REACH rows out, each tilted by as much."""


@unless_zero
def rotate(image, degrees):
    """Turns a picture about its centre and enlarges it just enough that no corner is empty.

    Zoom ``z = cos |t| + r sin |t|``, with r the longer side over the shorter, both between the centres of the outer
    pixels. Each output pixel (u, v), from the centre, shows the input at ``((c u + s v) / z, (c v - s u) / z)``,
    read by cubic interpolation (Catmull-Rom) along rows and then along columns: row y of the intermediate picture
    holds the input at ``x = u / (c z) + y s / c``. Neither pass shrinks, so there is nothing to filter first.

    Memory is that of two more pictures. The gradient with respect to the image is a sum over neighbours too, not a
    scatter; that of the zoom at 0 degrees, where it has a corner, counts as 0.

    Args:
      image: [H, W, C]; at least 2 pixels a side, or it is returned as it is.
      degrees: scalar, clockwise positive, clipped to [-45, 45]; 0 is the identity, bit by bit.

    Returns:
      [H, W, C]; cubic interpolation overshoots at edges, by up to an eighth of a step: clip where that matters.
    """
    h, w = image.shape[:2]
    if min(h, w) < 2:
        return image
    angle = clip(degrees, -LARGEST_ANGLE, LARGEST_ANGLE) * (math.pi / 180.0)
    cosine, sine = jnp.cos(angle), jnp.sin(angle)
    ratio = (max(h, w) - 1) / (min(h, w) - 1)
    zoom = cosine + ratio * sine * jax.lax.stop_gradient(jnp.sign(sine))
    padded = jnp.pad(image, ((MARGIN, MARGIN), (MARGIN, MARGIN), (0, 0)), mode="edge")
    # The smallest steps that any angle between -45 and 45 degrees makes.
    across, down = 2.0 / (1.0 + math.hypot(1.0, ratio)), 1.0 / (1.0 + ratio)
    tilt = _centred(h + 2 * MARGIN) * (sine / cosine)
    tilted = resample(padded, 1.0 / (cosine * zoom), tilt, w, across, 1)
    return resample(tilted, cosine / zoom, -_centred(w) * (sine / zoom), h, down, 0)


def crop_box(size, crop):
    """The pixels of a crop given in parts of the picture.

    Args:
      size: (height, width) in pixels.
      crop: (top, left, height, width) in parts of the picture, each in [0, 1].

    Returns:
      (top, left, height, width) in whole pixels, at least 1 x 1, within the picture; edges are rounded, so that
      crops that share an edge share it in pixels too.

    Raises:
      ValueError: not four finite numbers, an empty crop, or one that leaves the picture.
    """
    values = [float(value) for value in crop]
    if len(values) != 4 or not all(math.isfinite(value) for value in values):
        raise ValueError(f"crop: expected (top, left, height, width) as parts of the picture, got {tuple(crop)}")
    top, left, height, width = values
    slack = 1e-6
    if min(top, left) < 0 or min(height, width) <= 0 or max(top + height, left + width) > 1 + slack:
        raise ValueError(f"crop: expected a box within the picture, [0, 1] on both axes, got {tuple(values)}")
    rows, columns = (_whole(*span) for span in ((top, height, size[0]), (left, width, size[1])))
    return rows[0], columns[0], rows[1], columns[1]


def _whole(start, length, n):
    """First pixel and number of pixels of ``n`` that a span in parts of the axis covers."""
    first = min(round(start * n), n - 1)
    return first, max(min(round((start + length) * n), n) - first, 1)


def _centred(n):
    """Positions of n pixels from their centre."""
    return jnp.arange(n, dtype=jnp.float32) - 0.5 * (n - 1)


@functools.partial(jax.custom_vjp, nondiff_argnums=(3, 4, 5))
def resample(image, step, offsets, n_out, smallest_step, axis):
    """Reads each row (axis 1) or column (axis 0) at ``step * u + offset`` by cubic interpolation, zero beyond its ends.

    Both u and the position are counted from the middle.

    Args:
      image: [H, W, C].
      step: scalar in (0, 1].
      offsets: one for each row or column, in pixels.
      n_out: static; pixels of a row or column of the result.
      smallest_step: static; a lower bound of ``step``, for the gradient.
      axis: static; 0 or 1, the axis that is resampled.

    Returns:
      [H, W, C] with n_out in place of the size of ``axis``.
    """
    del smallest_step

    def compiled(image, step, offsets):
        return _read(image, step, offsets, n_out, axis, _cubic)

    def kernel(image, step, offsets):
        return read_cubic(image, *_places(step, offsets, n_out, image.shape[axis]), axis=axis, bits=BITS)

    return on_cpu(kernel, compiled, image, step, offsets)


def _places(step, offsets, n_out, n):
    """Positions along the axis [n_out], and what each row or column adds to them, from the first of n pixels."""
    return _fixed(step * _centred(n_out)), _fixed(offsets + 0.5 * (n - 1))


def _read(image, step, offsets, n_out, axis, kernel):
    """Sum over the four taps around each position of ``kernel(distance) * pixel``."""
    n = image.shape[axis]
    along, other = _places(step, offsets, n_out, n)
    position = _along(along, axis) + _along(other, 1 - axis)
    first, fraction = position >> BITS, (position & (ONE - 1)).astype(jnp.float32) / ONE
    total = 0.0
    for tap in range(1 - REACH, 1 + REACH):
        total = total + _inside(kernel(fraction - tap), first + tap, n) * _take(image, first + tap, axis)
    return total


def _along(values, axis):
    """[n] as [n, 1] (axis 0) or [1, n] (axis 1)."""
    return values[:, None] if axis == 0 else values[None, :]


def _fixed(position):
    """Positions as whole multiples of 2^-16 pixels.

    Sums of whole numbers are the same wherever the compiler repeats them. Of floats they are not, as it may or may
    not round the product in ``a b + c``: weights would then belong to one pixel and the pixel read be its neighbour.
    """
    return jnp.round(position * ONE).astype(jnp.int32)


def _inside(weight, index, n):
    """``weight`` [H, W] as [H, W, 1], 0 where ``index`` is none of n pixels."""
    return jnp.where((index >= 0) & (index < n), weight, 0.0)[..., None]


def _take(image, index, axis):
    """``image[i, index[i, j]]`` for axis 1, ``image[index[i, j], j]`` for axis 0; indices are clamped."""
    h, w, channels = image.shape
    index = jnp.clip(index, 0, image.shape[axis] - 1)
    other = _along(jnp.arange(index.shape[1 - axis]), 1 - axis)
    # One number a pixel: indices of rows and columns apart would be two more planes for each tap.
    flat = index * w + other if axis == 0 else other * w + index
    return jnp.take(image.reshape(h * w, channels), flat, axis=0, mode="clip")


def _cubic(d):
    """The Catmull-Rom kernel: 1 at 0, 0 at every other whole number and from 2 on, with a continuous slope."""
    d = jnp.abs(d)
    near = 1.0 + d * d * (1.5 * d - 2.5)
    far = 2.0 + d * (-4.0 + d * (2.5 - 0.5 * d))
    return jnp.where(d < 1.0, near, jnp.where(d < 2.0, far, 0.0))


def _cubic_slope(d):
    a = jnp.abs(d)
    near = a * (4.5 * a - 5.0)
    far = -4.0 + a * (5.0 - 1.5 * a)
    return jnp.sign(d) * jnp.where(a < 1.0, near, jnp.where(a < 2.0, far, 0.0))


def _resample_forward(image, step, offsets, n_out, smallest_step, axis):
    return resample(image, step, offsets, n_out, smallest_step, axis), (image, step, offsets)


def _resample_backward(n_out, smallest_step, axis, residuals, cotangent):
    image, step, offsets = residuals
    slope = (cotangent * _read(image, step, offsets, n_out, axis, _cubic_slope)).sum(axis=-1)
    d_step = (slope * _along(_centred(n_out), axis)).sum()
    return _transpose(cotangent, step, offsets, image.shape[axis], smallest_step, axis), d_step, slope.sum(axis=axis)


def _transpose(cotangent, step, offsets, n, smallest_step, axis):
    """For each of the n input pixels of a row or column, the sum over the outputs that read it: no scatter."""
    n_out = cotangent.shape[axis]
    pixel = _along(jnp.arange(n, dtype=jnp.int32) << BITS, axis) - _along(_fixed(offsets + 0.5 * (n - 1)), 1 - axis)
    # Output u reads at step u + offset; a whole output too many on either side has weight 0.
    first = jnp.floor((pixel - REACH * ONE).astype(jnp.float32) / (step * ONE)).astype(jnp.int32) + (n_out - 1) // 2

    def add(k, total):
        index = first + k
        distance = (_fixed(step * (index - 0.5 * (n_out - 1))) - pixel).astype(jnp.float32) / ONE
        return total + _inside(_cubic(distance), index, n_out) * _take(cotangent, index, axis)

    reached = math.ceil(2 * REACH / smallest_step) + 3
    return jax.lax.fori_loop(0, reached, add, jnp.zeros((*pixel.shape, cotangent.shape[2]), cotangent.dtype))


resample.defvjp(_resample_forward, _resample_backward)
