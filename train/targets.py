"""The styles that ship, each defined by a renderer: from linear light to the finished picture that its networks learn.

``natural`` has none: its targets are the photos themselves, as cameras finished them. The others are closed forms that
are ours, and are documented here and in docs/weights.md.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np

from modisp_jax.color import RGB_TO_YCBCR, rgb_to_ycbcr, srgb_encode
from modisp_jax.numerics import clip, clip01, power
from modisp_jax.resample import box_mean

MIDDLE = 0.18
"""Middle grey."""


@dataclasses.dataclass(frozen=True)
class Renderer:
    """A style in closed form; :func:`render_target` applies the fields in this order."""

    what: str
    """In a few words."""
    key: float = 0.12
    """Geometric mean luma that exposure aims at."""
    adaptation: float = 0.75
    """How much of the way to ``key`` exposure goes, in logarithms; 1 all of it."""
    least: float = 1.1
    """Smallest exposure factor, so that snow stays white; the largest is 3.2."""
    balance: tuple[float, float, float] = (1.0, 1.0, 1.0)
    """Factors on linear R, G, B; luma of white is kept."""
    local: float = 0.0
    """Share of the distance between a region's luma and middle grey that is taken away, in logarithms."""
    contrast: float = 1.0
    """Exponent about middle grey."""
    white: float = 1.8
    """Linear value that becomes white."""
    saturation: float = 1.0
    """Factor on the distance from grey, in linear light."""
    shadow_tint: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Added to sRGB in the dark, fading to nothing at white."""
    highlight_tint: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Added to sRGB in the light, fading to nothing at black."""
    rgb_lut: bool = False
    """Whether its networks have the 3D LUT: tints that depend on luma are beyond a chroma map."""


def is_grey(renderer):
    """Whether a style's pictures have no colour at all; those of the camera (None) have."""
    return renderer is not None and not any((renderer.saturation, *renderer.shadow_tint, *renderer.highlight_tint))


STYLES = {
    "natural": None,
    "vivid": Renderer(
        "strong colours and contrast, open shadows", key=0.14, local=0.18, contrast=1.25, saturation=1.35
    ),
    "warm": Renderer(
        "golden light, soft contrast",
        key=0.16,
        balance=(1.18, 1.0, 0.74),
        local=0.12,
        contrast=0.97,
        shadow_tint=(0.03, 0.015, 0.0),
        rgb_lut=True,
    ),
    "moody": Renderer(
        "dark and muted, teal shadows, amber lights",
        key=0.07,
        adaptation=0.65,
        least=0.6,
        contrast=1.15,
        saturation=0.62,
        shadow_tint=(0.0, 0.02, 0.045),
        highlight_tint=(0.035, 0.005, -0.05),
        rgb_lut=True,
    ),
    "mono": Renderer("black and white, firm contrast", local=0.1, contrast=1.2, saturation=0.0),
}
"""Renderers by style."""


@functools.partial(jax.jit, static_argnames="renderer")
def render_target(renderer, linear):
    """The finished picture that a style's networks should make of a photo.

    With Y the BT.709 luma and G its geometric mean: ``x = clip((key / G)^adaptation, least, 3.2) balance rgb``;
    ``x *= 2^(local clip(log2(.18) - base, -2, 3))`` with base the edge-preserving local mean of ``log2 Y``;
    ``x = .18 (x / .18)^contrast``; ``x = (1 - e^(-1.1 x)) / (1 - e^(-1.1 white))``; saturation; sRGB encoding; tints.

    Args:
      renderer: a :class:`Renderer`.
      linear: linear sRGB [h, w, 3] in [0, 1].

    Returns:
      sRGB [h, w, 3] in [0, 1].
    """
    luma = lambda x: rgb_to_ycbcr(x)[..., :1]  # noqa: E731
    mean = jnp.exp(jnp.mean(jnp.log(luma(linear) + 2e-3)))
    gain = clip(power(renderer.key / mean, renderer.adaptation), renderer.least, 3.2)
    balance = np.array(renderer.balance, np.float32)
    x = gain * linear * (balance / (balance @ RGB_TO_YCBCR[0]))
    if renderer.local:
        base = local_mean(jnp.log2(luma(x) + 4e-3))
        x = x * jnp.exp2(renderer.local * clip(np.log2(MIDDLE) - base, -2.0, 3.0))
    x = MIDDLE * power(x / MIDDLE, renderer.contrast)
    x = clip01((1.0 - jnp.exp(-1.1 * x)) / (1.0 - np.exp(-1.1 * renderer.white)))
    grey = luma(x)
    encoded = srgb_encode(grey + renderer.saturation * (x - grey))
    bright = luma(encoded)
    tint = (1 - bright) * np.array(renderer.shadow_tint, np.float32) + bright * np.array(renderer.highlight_tint)
    return clip01(encoded + tint)


def local_mean(x):
    """Edge-preserving local mean of [h, w, 1]: a self-guided filter over a sixth of the short side.

    ``a x + b`` with ``a = v / (v + 1)``, v the window's variance in EV^2: contours over about one EV are kept.
    Reference: K. He et al., "Guided image filtering", ECCV 2010.
    """
    window = 2 * max(1, min(x.shape[:2]) // 12) + 1
    mean = box_mean(x, window)
    variance = jnp.maximum(box_mean(x * x, window) - mean * mean, 0.0)
    a = variance / (variance + 1.0)
    return box_mean(a, window) * x + box_mean(mean - a * mean, window)
