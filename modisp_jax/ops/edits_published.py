"""The editing operators as published (paper section I), for parity. Ours are in :mod:`modisp_jax.ops.edits`.

Their masks have steps: at luma .1 and .9 highlights and shadows begin all at once, with up to 36 times the strength
that they have next to their centre. Sharpening takes the frame for an edge, and depends on the whole picture's
strongest one. Gradients are those of the formulas between the steps.
"""

import jax.numpy as jnp

from modisp_jax.color import rgb_to_ycbcr
from modisp_jax.numerics import clip01, safe_divide, safe_sqrt
from modisp_jax.ops.separable import blur3

BAND = (0.1, 0.9)
"""Luma between which highlights and shadows act."""


def published_edit_tones(rgb, contrast, highlights, shadows):
    """Contrast, then highlights, then shadows, on the luma of [h, w, 3]; chroma (Cb, Cr) stays as it is.

    ``Y <- clip01((Y - .5)(1 + c/2) + .5)``; ``Y <- clip01(Y + h/20 Y ((Y - .7)/.1)^2)``;
    ``Y <- clip01(Y + s/20 (1 - Y)(1 - ((Y - .3)/.1)^2))``, the last two where ``.1 < Y < .9``.

    Args:
      rgb: quasi-linear picture after local tone mapping, [h, w, 3] in [0, 1].
      contrast, highlights, shadows: scalars in [-1, 1]; 0 changes nothing.

    Returns:
      RGB [h, w, 3], not clipped: the published system hands (Y, Cb, Cr) to the chroma map as they are, and clipping
      to the RGB cube first would change them. Reference: arXiv 2512.08564, section I.
    """
    before = rgb_to_ycbcr(rgb)[..., :1]
    y = clip01((before - 0.5) * (1.0 + 0.5 * contrast) + 0.5)
    y = clip01(y + highlights / 20.0 * y * jnp.where(_in_band(y), ((y - 0.7) / 0.1) ** 2, 0.0))
    y = clip01(y + shadows / 20.0 * (1.0 - y) * jnp.where(_in_band(y), 1.0 - ((y - 0.3) / 0.1) ** 2, 0.0))
    # The luma weights sum to 1 and those of chroma to 0: adding to all three channels moves luma alone.
    return rgb + (y - before)


def _in_band(y):
    return (y > BAND[0]) & (y < BAND[1])


def published_edit_colors(srgb, vibrance, saturation):
    """Vibrance, then saturation, on the S of HSV: ``S <- clip01(S (1 + v (1 - S)))``, ``S <- clip01(S (1 + s))``.

    Args:
      srgb: display-referred picture [h, w, 3] in [0, 1].
      vibrance, saturation: scalars in [-1, 1]; 0 changes nothing.

    Returns:
      [h, w, 3] in [0, 1]. Reference: arXiv 2512.08564, section I.
    """
    value = jnp.max(srgb, axis=-1, keepdims=True)
    before = safe_divide(value - jnp.min(srgb, axis=-1, keepdims=True), value)
    after = clip01(before * (1.0 + vibrance * (1.0 - before)))
    after = clip01(after * (1.0 + saturation))
    # H and V stay, so all channels move towards V, the largest, by the same factor.
    return value - (value - srgb) * safe_divide(after, before)


def published_sharpen(srgb, amount):
    """Unsharp mask weighted by edges: ``clip01(x + a (x - blur(x)) m)``.

    ``blur`` is a 3 x 3 Gaussian of sigma 1, ``m`` the mean over channels of the gradient's norm, divided by its
    maximum over the picture; both see zeros beyond the frame.

    Args:
      srgb: [H, W, 3] in [0, 1].
      amount: scalar in [0, 50]; 0 changes nothing.

    Returns:
      [H, W, 3] in [0, 1]. Reference: arXiv 2512.08564, section I.
    """
    padded = jnp.pad(srgb, ((1, 1), (1, 1), (0, 0)))
    # Channel by channel: a reduction over an axis of three would need every gradient in memory first.
    edges = sum(_slope(padded[..., channel]) for channel in range(3)) / 3.0
    mask = safe_divide(edges, edges.max())[..., None]
    return clip01(srgb + amount * (srgb - blur3(padded)) * mask)


def _slope(padded):
    """Norm of the gradient, over two pixels, of a plane [H + 2, W + 2]."""
    across = padded[1:-1, 2:] - padded[1:-1, :-2]
    down = padded[2:, 1:-1] - padded[:-2, 1:-1]
    return safe_sqrt(across * across + down * down)
