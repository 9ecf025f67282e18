"""The parametric tone curve of global and local tone mapping (paper sections C.4, C.5).

| paper | here | meaning |
|---|---|---|
| a | a | exponent of the shadows |
| b | b | exponent of the highlights |
| c | c | weight of the highlights |
"""

import jax
import jax.numpy as jnp

from modisp_jax.numerics import EPS, clip


def tone_curve(x, a, b, c):
    """Maps tones by ``x^a / (x^a + (c (1 - x))^b + 1e-8)``.

    Monotone in ``x`` for nonnegative coefficients, 0 at black and 1 at white (to about 1e-8 ** a); the identity at
    ``a = b = c = 1``. Finite, with its gradients, for every finite float.

    Args:
      x: tones, any shape, clipped to [1e-8, 1 - 1e-8].
      a, b: exponents that broadcast with ``x``, clipped to [-4, 32].
      c: weight that broadcasts with ``x``, nonnegative.

    Returns:
      Tones in [0, 1], of the broadcast shape.

    Reference: "Modular Neural Image Signal Processing", arXiv 2512.08564, sections C.4 and C.5.
    """
    x = clip(x, EPS, 1.0 - EPS)
    # In float32 1 - 1e-8 is 1, so white needs this second floor.
    rest = clip(1.0 - x, EPS, 1.0)
    return _ratio(_log_power(x, a), _log_power(c * rest, b))


def _log_power(u, p):
    """``log(u^p)``, guarded so that its exponential neither overflows nor vanishes."""
    log_u = clip(jnp.log(jnp.maximum(u, EPS)), -40.0, 40.0)
    return clip(clip(p, -4.0, 32.0) * log_u, -40.0, 40.0)


@jax.custom_jvp
def _ratio(log_s, log_h):
    """``s / (s + h + 1e-8)`` from the logarithms of ``s`` and ``h``."""
    s, h = jnp.exp(log_s), jnp.exp(log_h)
    return s / (s + h + EPS)


@_ratio.defjvp
def _ratio_jvp(primals, tangents):
    # Autodiff would square the denominator, which spans e^-40 .. e^40; these slopes stay within [-1/4, 1].
    (log_s, log_h), (ds, dh) = primals, tangents
    s, h = jnp.exp(log_s), jnp.exp(log_h)
    total = s + h + EPS
    y = s / total
    return y, y * ((h + EPS) / total) * ds - y * (h / total) * dh
