"""Whole photos of any size through ParamISP's networks, compiled once for each size."""

import functools

import jax
import jax.numpy as jnp

from modisp_jax.nets.paramisp import SMALLEST
from modisp_jax.numerics import clip01
from modisp_jax.paramisp.capture import Capture
from modisp_jax.paramisp.isp import PAPER, forward_isp, inverse_isp
from modisp_jax.resample import reflect_index
from modisp_jax.types import as_float32, check_image


def photo_to_raw(params, srgb, illuminant, ccm, capture=None, *, pattern="RGGB", config=PAPER):
    """:func:`modisp_jax.paramisp.inverse_isp` of a photo of any size, clipped to [0, 1].

    A photo that the networks do not take as it is, of less than 88 pixels a side or of a side that is no multiple of 4,
    is mirrored over its right and lower border for them.

    Args:
      params: a network's parameters, ``params["inverse_isp"]``.
      srgb: picture [H, W, 3] in [0, 1], at least 2 x 2.
      illuminant, ccm, capture, pattern, config: see :func:`modisp_jax.paramisp.inverse_isp`.

    Returns:
      Mosaic [H, W], or with ``pattern=None`` camera RGB [H, W, 3].

    Raises:
      ValueError: a picture of another kind, or an unknown pattern.
    """
    size = check_image(srgb, "srgb")
    camera = as_float32((illuminant, ccm, Capture() if capture is None else capture))
    found = _inverse(params, _filled(jnp.asarray(srgb, jnp.float32)), *camera, pattern=pattern, config=config)
    return found[: size[0], : size[1]]


def raw_to_photo(params, mosaic, illuminant, ccm, capture=None, *, pattern="RGGB", config=PAPER):
    """:func:`modisp_jax.paramisp.forward_isp` of a mosaic of any size, clipped to [0, 1].

    Args:
      params: a network's parameters, ``params["forward_isp"]``.
      mosaic: Bayer mosaic [H, W], black 0 and white 1, at least 2 x 2.
      illuminant, ccm, capture, pattern, config: see :func:`modisp_jax.paramisp.forward_isp`.

    Returns:
      sRGB [H, W, 3].

    Raises:
      ValueError: a mosaic of another kind, or an unknown pattern.
    """
    shape = jnp.shape(mosaic)
    if len(shape) != 2 or min(shape) < 2 or not jnp.issubdtype(jnp.result_type(mosaic), jnp.floating):
        got = f"{jnp.result_type(mosaic)} {shape}"
        raise ValueError(f"mosaic: expected floating-point values [H, W] of at least 2 x 2, got {got}")
    camera = as_float32((illuminant, ccm, Capture() if capture is None else capture))
    found = _forward(params, _filled(jnp.asarray(mosaic, jnp.float32)), *camera, pattern=pattern, config=config)
    return found[: shape[0], : shape[1]]


@functools.partial(jax.jit, static_argnames=("pattern", "config"))
def _inverse(params, srgb, illuminant, ccm, capture, *, pattern, config):
    return clip01(inverse_isp(params, srgb, illuminant, ccm, capture, pattern=pattern, config=config))


@functools.partial(jax.jit, static_argnames=("pattern", "config"))
def _forward(params, mosaic, illuminant, ccm, capture, *, pattern, config):
    return clip01(forward_isp(params, mosaic, illuminant, ccm, capture, pattern=pattern, config=config))


def _filled(image):
    """The image continued to a size that the networks take; mirrored without the edge, which keeps a Bayer phase."""
    for axis in (0, 1):
        n = image.shape[axis]
        after = max(SMALLEST, -(-n // 4) * 4) - n
        if after:
            image = jnp.take(image, reflect_index(n, 0, after), axis=axis, mode="clip")
    return image
