"""CanoNet: what every camera does alike, between its mosaic and linear sRGB. Nothing is learned. Paper section 3.1."""

import jax.numpy as jnp

from modisp_jax.color import apply_matrix
from modisp_jax.numerics import clip01
from modisp_jax.ops.demosaic import demosaic_malvar, mosaic


def to_linear(values, illuminant, ccm, *, pattern="RGGB", clip_balanced=False):
    """A Bayer mosaic to linear sRGB: Malvar demosaicing, white balance, colour matrix; nothing is clipped.

    ``x = M (demosaic(v) / n)`` with n the illuminant over its green. The border is mirrored, which keeps the Bayer
    phase: a picture of one colour comes out as such up to the edge.

    Args:
      values: mosaic [H, W], black 0 and white 1.
      illuminant: camera RGB of white, [3].
      ccm: white-balanced camera RGB to linear sRGB, [3, 3]; rows that sum to 1 keep white.
      pattern: static Bayer phase, one of ``modisp_jax.ops.demosaic.PATTERNS``.
      clip_balanced: static; clip to [0, 1] between white balance and matrix, as the released code does.

    Returns:
      [H, W, 3].
    """
    balanced = demosaic_malvar(values, pattern=pattern, clip=False) / _gains(illuminant)
    return apply_matrix(ccm, clip01(balanced) if clip_balanced else balanced)


def to_camera(linear, illuminant, ccm):
    """Linear sRGB [H, W, 3] to what falls on the sensor, [H, W, 3]: ``n M^-1 x``, not clipped."""
    return apply_matrix(jnp.linalg.inv(ccm), linear) * _gains(illuminant)


def to_mosaic(linear, illuminant, ccm, *, pattern="RGGB"):
    """The inverse of :func:`to_linear`: ``mosaic(n M^-1 x)``, [H, W].

    ``to_mosaic(to_linear(v)) = v``, because demosaicing keeps what was measured. The other way round colours are kept
    where they do not change from pixel to pixel.
    """
    return mosaic(to_camera(linear, illuminant, ccm), pattern=pattern)


def _gains(illuminant):
    return illuminant / illuminant[1]


def color_metadata(illuminant, ccm):
    """What the released code's ParamNet sees of colour, [24]: gains, 1 / gains, M, M^-1."""
    balance = 1.0 / _gains(illuminant)
    return jnp.concatenate([balance, 1.0 / balance, ccm.ravel(), jnp.linalg.inv(ccm).ravel()])
