"""Image quality of a finished picture against a target: PSNR, SSIM, CIEDE2000 and LPIPS.

Each takes two sRGB pictures [H, W, 3] in [0, 1] and returns a scalar, under jit and vmap alike. Definitions are those
of the published results (scikit-image's PSNR, SSIM and Lab), which differ in detail from the losses of training.
"""

import jax
import jax.numpy as jnp
import numpy as np

from modisp_jax.color import WHITE_D65, apply_matrix, lab_of, srgb_decode
from modisp_jax.losses import dissimilarity
from modisp_jax.nets.vgg import normalize_imagenet, vgg_features
from modisp_jax.types import check_image

SRGB_TO_XYZ_ROUNDED = np.array(
    [[0.412453, 0.357580, 0.180423], [0.212671, 0.715160, 0.072169], [0.019334, 0.119193, 0.950227]], np.float32
)
"""Linear sRGB to XYZ, D65, with the six digits that scikit-image has; more digits move dE2000 by up to 2e-4."""

SSIM_SIDE = 7

LPIPS_TAPS = ("relu1_2", "relu2_2", "relu3_3", "relu4_3", "relu5_3")
LPIPS_SHIFT = np.array([-0.030, -0.088, -0.188], np.float32)
LPIPS_SCALE = np.array([0.458, 0.448, 0.450], np.float32)
"""LPIPS's own scaling of its input. Zhang et al. 2018, version 0.1."""

LPIPS_SIZE = (1024, 1024)

_OPPOSITE = 1e-6
"""Hues this near to opposite (in radians) count as opposite, float32 cannot tell."""


def psnr(pred, target):
    """Peak signal-to-noise ratio in dB, ``-10 log10 mean((x - y)^2)``; infinite for identical pictures.

    Args:
      pred, target: sRGB [H, W, 3] in [0, 1].
    """
    _check_pair(pred, target)
    return -10.0 * jnp.log10(_mean(jnp.square(pred - target)))


def ssim(pred, target):
    """Structural similarity in [-1, 1], 1 for identical pictures.

    Uniform 7x7 window, variances of samples (times 49/48), constants .01 and .03, per channel, the outer 3 pixels
    dropped: scikit-image's default for ``data_range=1``.

    Args:
      pred, target: sRGB [H, W, 3] in [0, 1], at least 7 pixels a side.

    Reference: Wang et al. 2004.
    """
    size = _check_pair(pred, target)
    if min(size) < SSIM_SIDE:
        raise ValueError(f"ssim: expected at least {SSIM_SIDE} pixels a side, got {size}")
    window = np.full(SSIM_SIDE, 1.0 / SSIM_SIDE)
    samples = SSIM_SIDE**2
    return 1.0 - _mean(dissimilarity(pred, target, window, correction=samples / (samples - 1)))


def delta_e2000(pred, target):
    """CIEDE2000 colour difference of two pictures, mean over pixels; about 1 is just noticeable.

    Args:
      pred, target: sRGB [H, W, 3] in [0, 1].
    """
    _check_pair(pred, target)
    return _mean(ciede2000(srgb_to_lab(pred), srgb_to_lab(target)))


def srgb_to_lab(srgb):
    """sRGB [..., 3] in [0, 1] to CIE Lab [..., 3], D65, 2 degrees, with scikit-image's constants."""
    t = apply_matrix(SRGB_TO_XYZ_ROUNDED, srgb_decode(srgb)) / WHITE_D65
    f = jnp.where(t > 0.008856, jnp.cbrt(t), 7.787 * t + 16.0 / 116.0)
    return lab_of(f)


def ciede2000(lab1, lab2):
    """CIEDE2000 difference [...] of Lab colours [..., 3], with kL = kC = kH = 1.

    Reference: Sharma, Wu and Dalal 2005, whose equations the comments number; checked on their 34 pairs.
    """
    (l1, a1, b1), (l2, a2, b2) = (jnp.moveaxis(lab, -1, 0) for lab in (lab1, lab2))
    # (2) to (7): chroma, with a stretched near grey.
    stretch = 1.0 + 0.5 * (1.0 - jnp.sqrt(_chroma_ratio(0.5 * (jnp.hypot(a1, b1) + jnp.hypot(a2, b2)))))
    a1, a2 = stretch * a1, stretch * a2
    c1, c2 = jnp.hypot(a1, b1), jnp.hypot(a2, b2)
    turn, hue = _hues(a1, b1, a2, b2)
    # (8) to (14): differences and means.
    dl, dc = l2 - l1, c2 - c1
    dh = 2.0 * jnp.sqrt(c1 * c2) * jnp.sin(0.5 * turn)
    lightness, c = 0.5 * (l1 + l2), 0.5 * (c1 + c2)
    # (15) to (21): weights.
    degrees = jnp.pi / 180
    t = 1.0 - 0.17 * jnp.cos(hue - 30 * degrees) + 0.24 * jnp.cos(2 * hue)
    t = t + 0.32 * jnp.cos(3 * hue + 6 * degrees) - 0.20 * jnp.cos(4 * hue - 63 * degrees)
    s_l = 1.0 + 0.015 * jnp.square(lightness - 50.0) / jnp.sqrt(20.0 + jnp.square(lightness - 50.0))
    s_c = 1.0 + 0.045 * c
    s_h = 1.0 + 0.015 * c * t
    bump = 30 * degrees * jnp.exp(-jnp.square((jnp.mod(hue, 2 * jnp.pi) / degrees - 275.0) / 25.0))
    rotation = -2.0 * jnp.sqrt(_chroma_ratio(c)) * jnp.sin(2.0 * bump)
    # (22)
    x, y, z = dl / s_l, dc / s_c, dh / s_h
    return jnp.sqrt(jnp.maximum(x * x + y * y + z * z + rotation * y * z, 0.0))


def _chroma_ratio(c):
    """``c^7 / (c^7 + 25^7)``."""
    seventh = (c / 25.0) ** 7
    return seventh / (1.0 + seventh)


def _hues(a1, b1, a2, b2):
    """From hue 1 to hue 2 the short way, and the hue in the middle, in radians; equations (7), (10) and (14).

    The turn comes from cross and dot product: the difference of two angles loses digits, and could not tell hues
    that are exactly opposite, for which the equations prescribe a side. A colour without chroma has no hue, and the
    middle is that of the other.
    """
    h1, h2 = (jnp.mod(jnp.arctan2(b, a), 2 * jnp.pi) for a, b in ((a1, b1), (a2, b2)))
    cross, dot = a1 * b2 - a2 * b1, a1 * a2 + b1 * b2
    opposite = (dot < 0) & (jnp.abs(cross) <= _OPPOSITE * jnp.abs(dot))
    turn = jnp.where(opposite, jnp.where(h2 > h1, jnp.pi, -jnp.pi), jnp.arctan2(cross, dot))
    grey = ((a1 == 0) & (b1 == 0)) | ((a2 == 0) & (b2 == 0))
    return jnp.where(grey, 0.0, turn), jnp.where(grey, h1 + h2, h1 + 0.5 * turn)


def lpips(pred, target, weights, *, size=LPIPS_SIZE):
    """LPIPS with VGG-16 as the published results have it: a perceptual distance, 0 for identical pictures.

    Pictures are rounded to 8 bits, resized to 1024 x 1024 (bilinear, antialiased) and normalised as ImageNet is
    BEFORE the scaling that LPIPS itself does, so the figure is not comparable with that of other programs.

    Args:
      pred, target: sRGB [H, W, 3] in [0, 1].
      weights: of :func:`modisp_jax.vgg_file.load_lpips`.
      size: static (height, width) that is compared, at least 16 each.

    Reference: Zhang et al. 2018; arXiv 2512.08564, section 3.
    """
    _check_pair(pred, target)

    def features(image):
        eight_bits = jnp.round(jnp.clip(image, 0.0, 1.0) * 255.0) / 255.0
        small = jax.image.resize(eight_bits, (*size, 3), "linear", antialias=True, precision="highest")
        scaled = (normalize_imagenet(small) - LPIPS_SHIFT) / LPIPS_SCALE
        return vgg_features(weights["vgg"], scaled, LPIPS_TAPS)

    ours, theirs = features(pred), features(target)
    total = 0.0
    for tap in LPIPS_TAPS:
        difference = jnp.square(_unit_length(ours[tap]) - _unit_length(theirs[tap]))
        total = total + jnp.sum(difference * weights["linear"][tap], axis=-1).mean()
    return total


def _unit_length(features):
    """Each pixel's features [h, w, C] divided by their norm."""
    return features / (jnp.sqrt(jnp.square(features).sum(axis=-1, keepdims=True)) + 1e-10)


def _mean(x):
    """Mean over everything, by rows: one float32 sum over a whole photo would lose digits."""
    return x.reshape(x.shape[0], -1).mean(axis=1).mean()


def _check_pair(pred, target):
    """Raises unless both are pictures of one size; returns (H, W)."""
    size, other = check_image(pred, "pred"), check_image(target, "target")
    if size != other:
        raise ValueError(f"expected two pictures of one size, got {size} and {other}")
    return size
