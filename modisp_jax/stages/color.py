"""White balance and colour matrix: camera RGB to linear sRGB (paper section 2.2)."""

import jax.numpy as jnp

from modisp_jax.color import apply_matrix
from modisp_jax.numerics import clip, clip01

CLIP_RAMP = (0.9, 0.985)
"""Sensor values, relative to the clip level, between which a channel begins to count as clipped."""


def to_linear_srgb(raw, illuminant, ccm, *, clip_level=1.0, highlights="neutral"):
    """White-balances and converts: ``clip01(CCM diag(i_G / i) raw)``.

    A clipped channel no longer follows the light: green stops at 1 while red and blue, scaled up by the white
    balance, go on, and clouds turn pink. With ``highlights="neutral"`` no channel may exceed, after white balance,
    what the lowest of the clipped channels reaches; the limit fades in over ``CLIP_RAMP``, so that there is no edge.

    Args:
      raw: camera RGB [H, W, 3].
      illuminant: camera RGB of white [3], any scale; entries are clipped to [1e-6, 1e6].
      ccm: [3, 3], entries are clipped to [-1e3, 1e3].
      clip_level: raw value at which the sensor saturates, []; 2^EV after an exposure of EV.
      highlights: ``"neutral"`` or ``"clip"``.

    Returns:
      Linear sRGB [H, W, 3] in [0, 1].

    Reference: arXiv 2512.08564, section 2.2; the treatment of highlights is ours.
    """
    illuminant = clip(illuminant, 1e-6, 1e6)
    balance = illuminant[1] / illuminant
    balanced = raw * balance
    if highlights == "neutral":
        balanced = jnp.minimum(balanced, _neutral_limit(raw / clip_level, balance * clip_level))
    return clip01(apply_matrix(clip(ccm, -1e3, 1e3), balanced))


def _neutral_limit(relative, reach):
    """The largest value [H, W, 1] that any channel may take, from raw relative to its clip level."""
    low, high = CLIP_RAMP
    ramp = clip01((relative - low) / (high - low))
    clipped = ramp * ramp * (3.0 - 2.0 * ramp)
    # Where nothing is clipped the limit is a thousand times the reach: none.
    return jnp.min(reach / jnp.maximum(clipped, 1e-3), axis=-1, keepdims=True)
