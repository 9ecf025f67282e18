"""The closed forms of the function ISP, each with its inverse. SemiISP, section 3 and equations 17 to 22.

Colour correction (equation 17) is ``color.apply_matrix``; here is the inverse of its matrix.

Everything acts on pixels [..., 3]; the parameters of the per-channel functions are arrays that broadcast against them,
such as [3] for all of an image or [H, W, 3] for each pixel. Parameters are taken as they come: the ranges in which the
functions increase are kept by ``nets.function_isp``.

    symbol   code name          meaning
    x, w, h  place, width, height   of a window: where it lies, how wide it is before the map and after, in (0, 1)
    g1, g2, k                       gamma curve: 1 / exponent, slope at white, pivot
    g3, g4, k2                      inverse tone mapping: exponent, lift, pivot
    u, a, K, D  i^(1/g1), 1 - g2, k^(1/g1), 1 - a K
"""

import jax.numpy as jnp

from modisp_jax.dynamicisp.inversion import DARK, invert_log_curve
from modisp_jax.numerics import clip01, power, safe_divide

STEPS = 6
"""Newton steps that reach float32's floor for g2 in [.1, 4]; 12 do so from 0 to 8, 20 near 8.38."""


def inverse_matrix(matrix):
    """The inverse of matrices [..., 3, 3] by their adjugate: cross products of the rows over the determinant."""
    rows = [matrix[..., k, :] for k in range(3)]
    columns = [jnp.cross(rows[(k + 1) % 3], rows[(k + 2) % 3]) for k in range(3)]
    determinant = jnp.sum(rows[0] * columns[0], axis=-1)[..., None, None]
    return jnp.stack(columns, axis=-1) / determinant


def window(image, place, width, height, *, reading="window"):
    """A piecewise linear map of three branches: gain with a soft shoulder, or contrast. Equations 18 and 19.

    ``a = x (1 - w)``: below ``a`` and above ``a + w`` the slope is (1 - h) / (1 - w), between them h / w; 0 and 1 are
    kept, the outer branches go on beyond them. The identity where w = h; the inverse exchanges w and h.

    Args:
      image: [..., 3].
      place: x in [0, 1]; 0 is a gain of h / w on [0, w] that never overflows.
      width, height: w and h in (0, 1).
      reading: the paper's equations are only in part legible. ``"window"`` is the reading above; ``"rival"`` has
        thresholds ``w (1 - x)`` and ``w (1 - x) + x`` and slopes h / w, 1 and (1 - h) / (1 - w).

    Returns:
      [..., 3], increasing in the image.
    """
    if reading == "window":
        first, outer, inner = place * (1 - width), (1 - height) / (1 - width), height / width
        last, level = first + width, place * (1 - height)
        below, between, above = outer * image, level + inner * (image - first), 1 - outer * (1 - image)
    elif reading == "rival":
        first, level = width * (1 - place), height * (1 - place)
        last = first + place
        below, between = height / width * image, level + (image - first)
        above = 1 - (1 - height) / (1 - width) * (1 - image)
    else:
        raise ValueError(f"reading: expected 'window' or 'rival', got {reading!r}")
    return jnp.where(image < first, below, jnp.where(image > last, above, between))


def inverse_window(image, place, width, height, *, reading="window"):
    """Undoes :func:`window`: the same map with w and h exchanged."""
    return window(image, place, height, width, reading=reading)


def log_gamma_curve(image, g1, g2, k):
    """``ln f = (1 - a u) ln u / D`` of :func:`gamma_curve`, for images over 0."""
    log_u, a = jnp.log(image) / g1, 1 - g2
    return (1 - a * jnp.exp(log_u)) * log_u / _pivot(g1, g2, k)


def _pivot(g1, g2, k):
    """D."""
    return 1 - (1 - g2) * power(k, 1 / g1)


def gamma_curve(image, g1, g2, k):
    """Gamma with a toe and a shoulder: ``f(i) = i^{(1/g1) [1 - (1-g2) i^{1/g1}] / [1 - (1-g2) k^{1/g1}]}``.

    Equation 20. f(0) = 0, f(1) = 1, f(k) = k^(1/g1) whatever g2; g2 = 1 is the gamma 1 / g1, (1, 1, .) the identity.
    Increases on [0, 1] where D > 0 and g2 is in [0, 1 + e^2].

    Args:
      image: [..., 3], clipped to [0, 1]. Under 1e-8 the curve is a line to 0, as its slope there may have no limit.
      g1, g2, k: g1 > 0.

    Returns:
      [..., 3] in [0, 1].
    """
    return _from_log(log_gamma_curve, image, g1, g2, k)


def log_tone_lift(image, g3, g4, k2):
    """``ln f`` of :func:`tone_lift`, for images over 0."""
    return _lift(image, g3, g4) / _lift(k2, g3, g4) * g3 * jnp.log(image)


def _lift(image, g3, g4):
    return 1 + g4 * power(1 + image, g3)


def tone_lift(image, g3, g4, k2):
    """Inverse tone mapping: ``f(i) = i^{g3 [1 + g4 (1+i)^g3] / [1 + g4 (1+k2)^g3]}``. Equation 22.

    f(k2) = k2^g3; g4 = 0 is the power g3, (1, 0, .) the identity. Increases for all g4 >= 0 where g3 is in (0, 3.591].

    Args:
      image: [..., 3], clipped to [0, 1]; under 1e-8 a line.
      g3, g4, k2: g3 > 0, g4 >= 0, k2 in [0, 1].

    Returns:
      [..., 3] in [0, 1].
    """
    return _from_log(log_tone_lift, image, g3, g4, k2)


def _from_log(log_curve, image, *parameters):
    """A curve from its logarithm; where that has no value, a line from 0 to the least that has one."""
    image = clip01(image)
    held = jnp.maximum(image, DARK)
    found = jnp.exp(log_curve(held, *parameters))
    return jnp.where(image < DARK, found * (image / DARK), found)


def inverse_gamma_curve(image, g1, g2, k, *, steps=STEPS):
    """Undoes :func:`gamma_curve` by Newton's method in ``v = ln u``: solves ``(1 - a e^v) v = D ln y``.

    Has no closed form. The derivatives, in the image and in the parameters, are those of the solution (implicit), not
    of the iteration, and 0 where y < 1e-8.

    Args:
      image: y, [..., 3], clipped to [0, 1].
      g1, g2, k: as of :func:`gamma_curve`, where it increases.
      steps: static number of Newton steps.

    Returns:
      [..., 3] in [0, 1], to 1e-6 in float32.
    """

    def solve(log_y, g1, g2, k):
        a, target = 1 - g2, _pivot(g1, g2, k) * log_y

        def newton(_, v):
            u = jnp.exp(v)
            return jnp.minimum(v - ((1 - a * u) * v - target) / (1 - a * u * (1 + v)), 0.0)

        return newton, target / (1 - a * jnp.exp(target)), lambda v: jnp.exp(g1 * v)

    return invert_log_curve(log_gamma_curve, solve, steps, clip01(image), g1, g2, k)


def inverse_tone_lift(image, g3, g4, k2, *, steps=STEPS):
    """Undoes :func:`tone_lift` by Newton's method in ``v = ln i``; otherwise as :func:`inverse_gamma_curve`."""

    def solve(log_y, g3, g4, k2):
        target = _lift(k2, g3, g4) * log_y / g3

        def newton(_, v):
            i = jnp.exp(v)
            lift = _lift(i, g3, g4)
            slope = lift + v * g3 * (lift - 1) * safe_divide(i, 1 + i)
            return jnp.minimum(v - (lift * v - target) / slope, 0.0)

        return newton, target / _lift(1.0, g3, g4), jnp.exp

    return invert_log_curve(log_tone_lift, solve, steps, clip01(image), g3, g4, k2)
