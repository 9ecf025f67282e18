"""Safe arithmetic: every function here has a finite value and a finite gradient for every finite float.

Autodiff of ``log``, ``sqrt``, ``/`` and ``**`` produces infinities at the edge of their domains, and a later
multiplication by zero turns those into NaN. The rules are written by hand where that can happen.
"""

import jax
import jax.numpy as jnp

EPS = 1e-8
"""The system's epsilon wherever none is named."""

HUGE = 1e30
"""Where results that could overflow saturate; far enough from 3.4e38 that their slopes, up to HUGE / EPS, fit."""


def clip(x, low, high):
    """Clips ``x`` to ``[low, high]``; the gradient is 1 inside *and on* the bounds, 0 outside.

    ``jnp.clip`` splits the gradient in halves at a bound, which starves pixels that sit exactly on black or white.
    """
    return jnp.where(x < low, low, jnp.where(x > high, high, x))


def clip01(x):
    """Clips ``x`` to ``[0, 1]`` with the gradient of :func:`clip`."""
    return clip(x, 0.0, 1.0)


def mix(before, after, strength):
    """``(1 - s) before + s after``, how strong a stage is: 0 leaves it out, 1 is the stage alone, exactly."""
    return (1.0 - strength) * before + strength * after


def safe_divide(a, b, eps=EPS):
    """Returns ``a / max(b, eps)``, for denominators that are nonnegative by nature; saturates at +-1e30.

    With ``eps`` under 1e-8 the slope in ``b`` can overflow.
    """
    return clip(a / jnp.where(b < eps, eps, b), -HUGE, HUGE)


@jax.custom_jvp
def safe_sqrt(x):
    """Returns ``sqrt(max(x, 0))``; the gradient is 0 where ``x <= 1e-30`` (there autodiff would give inf)."""
    return jnp.sqrt(jnp.maximum(x, 0.0))


@safe_sqrt.defjvp
def _safe_sqrt_jvp(primals, tangents):
    (x,), (dx,) = primals, tangents
    y = safe_sqrt(x)
    slope = jnp.where(x > 1e-30, 0.5 / jnp.where(x > 1e-30, y, 1.0), 0.0)
    return y, slope * dx


@jax.custom_jvp
def power(x, p):
    """Returns ``max(x, 0) ** clip(p, 0, 32)``; saturates at 1e30, with slope 0.

    The slope in ``x`` is evaluated at ``max(x, 1e-8)`` and is 0 where ``x <= 0``: with an exponent under 1 the
    true slope grows without limit towards black. ``0 ** 0`` is 1.
    """
    return jnp.minimum(jnp.power(jnp.maximum(x, 0.0), clip(p, 0.0, 32.0)), HUGE)


@power.defjvp
def _power_jvp(primals, tangents):
    (x, p), (dx, dp) = primals, tangents
    y = power(x, p)
    curved = (x > 0.0) & (y < HUGE)
    q = clip(p, 0.0, 32.0)
    base = jnp.maximum(x, EPS)
    slope_x = jnp.where(curved, q * jnp.power(base, q - 1.0), 0.0)
    slope_p = jnp.where(curved & (p >= 0.0) & (p <= 32.0), y * jnp.log(base), 0.0)
    return y, slope_x * dx + slope_p * dp
