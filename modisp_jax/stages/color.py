"""White balance and colour matrix: camera RGB to linear sRGB (paper section 2.2)."""

import jax.numpy as jnp

from modisp_jax.color import apply_matrix
from modisp_jax.numerics import clip, clip01

CLIP_RAMP = (0.9, 0.985)
"""Sensor values, relative to saturation, between which a channel begins to count as clipped."""


def to_linear_srgb(raw, illuminant, ccm, *, saturation=1.0, clipped_highlights="neutral"):
    """White-balances and converts: ``clip01(CCM diag(i_G / i) raw)``.

    A clipped channel no longer follows the light: green stops at its saturation while red and blue, scaled up by the
    white balance, go on, and clouds turn pink. With ``clipped_highlights="neutral"`` no channel may exceed, after white
    balance, what the lowest of the clipped channels reaches; the limit fades in over ``CLIP_RAMP``, so that there is
    no edge.

    Args:
      raw: camera RGB [H, W, 3].
      illuminant: camera RGB of white [3], any scale; entries are clipped to [1e-6, 1e6].
      ccm: [3, 3], entries are clipped to [-1e3, 1e3].
      saturation: raw values at which the channels saturate, [] or [3]; clipped to [1e-3, 1e3].
      clipped_highlights: ``"neutral"`` or ``"clip"``.

    Returns:
      Linear sRGB [H, W, 3] in [0, 1].

    Reference: arXiv 2512.08564, section 2.2; the treatment of highlights is ours.
    """
    illuminant = clip(illuminant, 1e-6, 1e6)
    balanced = raw * (illuminant[1] / illuminant)
    if clipped_highlights == "neutral":
        balanced = jnp.minimum(balanced, _neutral_limit(balanced, raw / clip(saturation, 1e-3, 1e3)))
    return clip01(apply_matrix(clip(ccm, -1e3, 1e3), balanced))


def _neutral_limit(balanced, relative):
    """The largest value [H, W, 1] that any channel may take; ``relative`` is raw over its saturation."""
    low, high = CLIP_RAMP
    ramp = clip01((relative - low) / (high - low))
    clipped = ramp * ramp * (3.0 - 2.0 * ramp)
    # A channel that is not clipped limits nothing: the value at which it would is far beyond any other.
    return jnp.min(jnp.where(clipped > 1e-3, balanced / jnp.maximum(clipped, 1e-3), 1e7), axis=-1, keepdims=True)
