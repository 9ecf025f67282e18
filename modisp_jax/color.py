"""Colour transforms. Each constant states its source.

Notation: Y luma, Cb and Cr chroma in [-.5, .5] for RGB in [0, 1]; "linear" is scene- or display-linear light.
"""

import jax
import jax.numpy as jnp
import numpy as np

from modisp_jax.numerics import clip, power

RGB_TO_YCBCR = np.array(
    [[0.2126, 0.7152, 0.0722], [-0.114572, -0.385428, 0.5], [0.5, -0.454153, -0.045847]], np.float32
)
"""ITU-R BT.709, full range."""

YCBCR_TO_RGB = np.array([[1.0, 0.0, 1.5748], [1.0, -0.1873, -0.4681], [1.0, 1.8556, 0.0]], np.float32)
"""Inverse of :data:`RGB_TO_YCBCR`, to the four digits that the paper's system uses (off by 5e-5)."""

SRGB_TO_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]],
    np.float32,
)
"""Linear sRGB to XYZ, D65. Lindbloom, rgbxyz.com."""

WHITE_D65 = np.array([0.95047, 1.0, 1.08883], np.float32)
"""XYZ of D65 white, 2 degrees."""

DUV_PER_TINT = 0.0005
"""Distance from the Planckian locus in CIE 1960 uv of one unit of tint."""

GENERIC_CAMERA = np.array([[0.70, -0.20, -0.06], [-0.40, 1.20, 0.22], [-0.08, 0.20, 0.58]], np.float32)
"""XYZ to the camera RGB of a made-up camera, much like measured ones."""

LUMA_601 = np.array([0.2989, 0.5870, 0.1140], np.float32)
"""ITU-R BT.601 luma: the guide of guided upsampling and of the bilateral solver. Sums to .9999."""


def apply_matrix(matrix, x):
    """Multiplies each pixel of ``x`` [..., 3] by ``matrix``, [3, 3] or one for each pixel [..., 3, 3]: ``y = M x``.

    Written as three sums of products: a matmul with 3 columns is no faster, and on TPU would round to bfloat16.
    """
    r, g, b = x[..., 0:1], x[..., 1:2], x[..., 2:3]
    return r * matrix[..., 0] + g * matrix[..., 1] + b * matrix[..., 2]


def rgb_to_ycbcr(rgb):
    """RGB [..., 3] in [0, 1] to (Y, Cb, Cr) [..., 3], BT.709. Paper section C.6."""
    return apply_matrix(RGB_TO_YCBCR, rgb)


def ycbcr_to_rgb(ycbcr):
    """(Y, Cb, Cr) [..., 3] to RGB [..., 3], BT.709, not clipped. Paper section C.6."""
    return apply_matrix(YCBCR_TO_RGB, ycbcr)


def luma(rgb):
    """BT.601 luma [...] of RGB [..., 3]: ``.2989 R + .5870 G + .1140 B``."""
    return rgb[..., 0] * LUMA_601[0] + rgb[..., 1] * LUMA_601[1] + rgb[..., 2] * LUMA_601[2]


def srgb_encode(linear):
    """Linear light [...] in [0, 1] to sRGB values. IEC 61966-2-1."""
    linear = clip(linear, 0.0, 1.0)
    return jnp.where(linear <= 0.0031308, 12.92 * linear, 1.055 * power(linear, 1 / 2.4) - 0.055)


def srgb_decode(srgb):
    """sRGB values [...] in [0, 1] to linear light. IEC 61966-2-1."""
    srgb = clip(srgb, 0.0, 1.0)
    return jnp.where(srgb <= 0.04045, srgb / 12.92, power((srgb + 0.055) / 1.055, 2.4))


def lab_of(f):
    """CIE Lab [..., 3] from its f(X / Xn), f(Y / Yn), f(Z / Zn) [..., 3]; what f does near black is the caller's."""
    x, y, z = f[..., 0], f[..., 1], f[..., 2]
    return jnp.stack([116.0 * y - 16.0, 500.0 * (x - y), 200.0 * (y - z)], axis=-1)


def planckian_xyz(cct, tint=0.0):
    """XYZ (Y = 1) [3] of a black body's light at ``cct`` kelvin (1000 .. 15000), ``tint`` units off the locus.

    Reference: M. Krystek, "An algorithm to calculate correlated colour temperature", Color Res. Appl. 1985.
    """
    uv, slope = jax.jvp(_planckian_uv, (cct,), (jnp.ones_like(cct),))
    # Perpendicular to the locus, towards green: up in v, since the locus runs to the left and down as it gets hotter.
    normal = jnp.stack([slope[1], -slope[0]])
    u, v = uv + DUV_PER_TINT * tint * normal / jnp.sqrt(jnp.sum(normal * normal))
    return jnp.stack([1.5 * u / v, jnp.ones_like(u), (2.0 - 0.5 * u) / v - 5.0])


def _planckian_uv(t):
    u = (0.860117757 + 1.54118254e-4 * t + 1.28641212e-7 * t * t) / (1 + 8.42420235e-4 * t + 7.08145163e-7 * t * t)
    v = (0.317398726 + 4.22806245e-5 * t + 4.20481691e-8 * t * t) / (1 - 2.89741816e-5 * t + 1.61456053e-7 * t * t)
    return jnp.stack([u, v])
