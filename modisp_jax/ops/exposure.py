"""Automatic exposure of the full-size linear picture, as published (paper section I) and ours."""

import math

import jax
import jax.numpy as jnp
import numpy as np

from modisp_jax.numerics import clip, clip01, power
from modisp_jax.ops.gamut import luma709, scale_luma, soft_limit
from modisp_jax.resample import mean_pool, resize_bilinear

SAMPLES = 128
"""Pixels a side, about, of the picture that automatic exposure looks at."""

KEY = 0.13
"""Light that the picture's middle tones are brought to, in linear light."""
PEAK = 2.0
"""Light that the brightest parts may be asked to reach; :func:`expose` compresses what exceeds 1."""
MIDDLE, BRIGHT = 1 / 3, 12.0
"""Exponents of the power means that stand for the middle tones and the brightest parts."""
SOFTNESS = 0.25
"""Within how many EV of each other the two demands share the decision."""
FREE, LIMIT = 2.5, 3.0
"""EV up to which automatic exposure is free, and which it never exceeds."""

PUBLISHED_EVS = np.linspace(-1.8, 1.8, 49, dtype=np.float32)
PUBLISHED_BINS = 96


def auto_exposure_ev(linear):
    """The EV that brings middle tones to .13 unless that takes bright parts over 2.

    ``middle = log2(.13 / M)`` and ``bright = log2(2 / B)``, with the power means ``M = mean(Y^(1/3))^3``, close to the
    geometric mean but at ease with black, and ``B = mean(Y^12)^(1/12)``, close to the maximum but at ease with a few
    highlights; EV is their smooth minimum. A picture k times as bright gets ``log2 k`` less: both means scale with
    it. Beyond +-2.5 the EV bends towards its limits of +-3, so black and white frames get finite ones.

    Args:
      linear: linear sRGB [H, W, 3] in [0, 1].

    Returns:
      EV [], within [-3, 3]; differentiable.
    """
    y = luma709(mean_pool(clip01(linear), max(1, min(linear.shape[:2]) // SAMPLES)))
    middle = math.log2(KEY) - _log2_power_mean(y, MIDDLE)
    bright = math.log2(PEAK) - _log2_power_mean(y, BRIGHT)
    ev = -SOFTNESS * jnp.logaddexp(-middle / SOFTNESS, -bright / SOFTNESS)
    return _bend(ev)


def _log2_power_mean(y, p):
    """``log2(mean(y^p)^(1/p))`` of values relative to their largest, whose powers cannot vanish; finite at black."""
    largest = jnp.maximum(jax.lax.stop_gradient(jnp.max(y)), 1e-6)
    mean = power(y / largest, p).mean()
    return jnp.log2(largest) + jnp.log2(jnp.maximum(mean, 1e-9)) / p


def _bend(ev):
    """EV itself within +-FREE, then a smooth approach to +-LIMIT."""
    rest = LIMIT - FREE
    beyond = ev - clip(ev, -FREE, FREE)
    return clip(ev, -FREE, FREE) + rest * jnp.tanh(beyond / rest)


def expose(linear, ev):
    """Multiplies by ``2^EV``; what would leave [0, 1] is compressed instead of clipped, and keeps its hue.

    Darker: ``2^EV x``. Brighter, with ``k = 2^EV``: luma becomes ``k Y / (1 + (k^4 - 1) Y^4)^(1/4)``, which is k Y up
    to about a third of the range and reaches 1 only at 1, and colours too bright for their saturation lose some of
    it. EV 0 is the identity.

    Args:
      linear: linear sRGB [H, W, 3] in [0, 1].
      ev: scalar, clipped to [-8, 8].

    Returns:
      [H, W, 3] in [0, 1].
    """
    gain = jnp.exp2(clip(ev, -8.0, 8.0))
    y = clip01(luma709(linear))
    return scale_luma(linear, y, gain * soft_limit(y, gain))


def published_expose(linear, ev):
    """``clip01(x 2^EV)``: channels clip one by one. Reference: arXiv 2512.08564, section I."""
    return clip01(linear * jnp.exp2(clip(ev, -8.0, 8.0)))


def published_auto_exposure_ev(linear):
    """The EV of 49 in [-1.8, 1.8] whose histogram of luma is nearest to a fixed one, as published.

    For ``Y`` of the picture at 128 x 128: the histogram of ``clip01(Y 2^EV)`` over 96 bins, divided by its sum,
    against ``exp(-.5 ((k/95 - .08) / .05)^2)``, divided by its sum; least squares, the first of equals. Its gradient
    is 0.

    Args:
      linear: linear sRGB [H, W, 3] in [0, 1].

    Returns:
      EV []. Reference: arXiv 2512.08564, section I.
    """
    small = resize_bilinear(jax.lax.stop_gradient(linear), (SAMPLES, SAMPLES), align="centers")
    y = clip(luma709(small), 1e-8, 1.0).reshape(-1)
    target = np.exp(-0.5 * ((np.arange(PUBLISHED_BINS) / (PUBLISHED_BINS - 1) - 0.08) / 0.05) ** 2)
    target = jnp.asarray(target / target.sum(), jnp.float32)

    def distance(ev):
        bins = jnp.minimum((clip01(y * jnp.exp2(ev)) * PUBLISHED_BINS).astype(jnp.int32), PUBLISHED_BINS - 1)
        share = jnp.bincount(bins, length=PUBLISHED_BINS) / y.size
        return jnp.sum((share - target) ** 2)

    evs = jnp.asarray(PUBLISHED_EVS)
    return evs[jnp.argmin(jax.lax.map(distance, evs))]
