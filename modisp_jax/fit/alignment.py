"""By how much two pictures of one scene are shifted against each other, whatever the tones of either."""

import jax.numpy as jnp
import numpy as np

from modisp_jax.numerics import clip, safe_divide, safe_sqrt

CONTRAST = 0.02
"""Slope per pixel, of values in [0, 1], that counts half: less is taken for noise."""

BETTER = 1.05
"""By how much another place must correlate better than none before it is believed."""

WHOLE = 0.2
"""A shift this near to whole pixels is taken to be whole: interpolation would blur the target."""


def estimate_shift(first, second, most):
    """How far ``second`` lies below and to the right of ``first``, (rows, columns) [2], at most ``most`` pixels each.

    The peak of the correlation of both pictures' slopes, which count by direction rather than by size; a parabola
    through the peak gives fractions. 0 where no place is clearly better than that, such as in flat pictures.

    Args:
      first, second: luma [h, w] in [0, 1] of one size, each a monotone function of the other where they coincide.
      most: static, at least 0.

    Reference: Fitch et al., "Orientation correlation", BMVC 2002.
    """
    most = min(most, (min(first.shape) - 3) // 2)
    if most < 1:
        return jnp.zeros(2)
    spectra = [jnp.fft.fft2(_directions(x)) for x in (first, second)]
    correlation = jnp.fft.ifft2(jnp.conj(spectra[0]) * spectra[1]).real
    beyond = most + 1  # the parabola through a peak at the end of the range needs its neighbours, too
    near = jnp.roll(correlation, (beyond, beyond), (0, 1))[: 2 * beyond + 1, : 2 * beyond + 1]
    row, column = jnp.divmod(jnp.argmax(near[1:-1, 1:-1]), 2 * most + 1)
    vertical, horizontal = near[row + np.arange(3), column + 1], near[row + 1, column + np.arange(3)]
    shift = jnp.stack([row + _vertex(vertical), column + _vertex(horizontal)]) - most
    whole = jnp.round(shift)
    shift = jnp.where(jnp.abs(shift - whole) < WHOLE, whole, shift)
    return jnp.where(near[row + 1, column + 1] > BETTER * jnp.maximum(near[beyond, beyond], 0.0) + 1e-3, shift, 0.0)


def likeness(first, second, shift, most):
    """How alike the slopes of two pictures are where ``second`` is shifted: 1 for the same, about 0 for strangers.

    The normalised correlation of what :func:`estimate_shift` looks at; what lies within ``most`` pixels of the border
    does not count, nor do flat pictures, which are like none.

    Args:
      first, second, most: as :func:`estimate_shift` takes them.
      shift: whole (rows, columns) [2], of at most ``most`` pixels each.
    """
    a, b = _directions(first), jnp.roll(_directions(second), -jnp.asarray(shift, jnp.int32), (0, 1))
    if most:
        a, b = (x[most:-most, most:-most] for x in (a, b))
    lengths = [safe_sqrt(jnp.square(jnp.abs(x)).sum()) for x in (a, b)]
    return safe_divide((jnp.conj(a) * b).real.sum(), lengths[0] * lengths[1])


def _directions(x):
    """Slopes of [h, w] as complex numbers, of length 1 where they are steep and less where they are not."""
    dy, dx = (jnp.roll(x, -1, axis) - jnp.roll(x, 1, axis) for axis in (0, 1))
    length = 2 * CONTRAST + safe_sqrt(dx * dx + dy * dy)
    inside = np.zeros(x.shape, np.float32)
    inside[1:-1, 1:-1] = 1.0  # beyond the border lies the other border
    return inside * (dx + 1j * dy) / length


def _vertex(y):
    """Where in [-.5, .5] the parabola through three values at -1, 0, 1 is highest."""
    return clip(safe_divide(0.5 * (y[2] - y[0]), 2 * y[1] - y[0] - y[2]), -0.5, 0.5)


def translate(image, shift):
    """Moves [h, w, C] up and left by ``shift`` (rows, columns) pixels, bilinearly; undoes a picture's own shift.

    Returns:
      The moved picture [h, w, C], and a weight [h, w]: 1 where it is known, 0 where it would come from outside.
    """
    inside = jnp.ones(())
    for axis in (0, 1):
        n = image.shape[axis]
        place = np.arange(n) + shift[axis]
        lower = jnp.floor(place)
        t = jnp.expand_dims(place - lower, [a for a in range(3) if a != axis])
        low, high = (jnp.take(image, (lower + k).astype(jnp.int32), axis=axis, mode="clip") for k in (0, 1))
        image = (1 - t) * low + t * high
        known = (place >= 0) & (place <= n - 1)
        inside = inside * jnp.expand_dims(known, 1 - axis)
    return image, inside
