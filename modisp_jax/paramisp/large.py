"""Finished photos that are too large for ParamISP's networks, which see them small.

The networks hold some hundred values a pixel at a time: a photo of 12 megapixels would take 15 GB. But what GlobalNet
finds is a formula for single pixels, which holds at any size, and what LocalNet adds to it is small.
"""

import functools

import jax
import jax.numpy as jnp

from modisp_jax.nets.paramisp import SMALLEST
from modisp_jax.numerics import clip01
from modisp_jax.paramisp import canonet
from modisp_jax.paramisp.capture import Capture
from modisp_jax.paramisp.isp import PAPER, inverse_in_parts
from modisp_jax.paramisp.stages import apply_global
from modisp_jax.resample import resize_bilinear
from modisp_jax.types import as_float32, check_image


def large_photo_to_raw(params, srgb, illuminant, ccm, capture=None, *, coarse, config=PAPER):
    """Camera RGB of a finished photo by networks that see it small, clipped to [0, 1].

    ``raw = n M^-1 (G(sRGB) + L)``: GlobalNet's stages G, with the coefficients that it finds for the photo at the small
    size, and LocalNet's correction L of that small photo, enlarged (bilinear, half-pixel centres).

    Args:
      params, srgb, illuminant, ccm, capture, config: see :func:`modisp_jax.paramisp.photo_to_raw`.
      coarse: static long side in pixels of what the networks see; sides become multiples of 4, at least 88.

    Returns:
      [H, W, 3].

    Raises:
      ValueError: a picture of another kind.
    """
    size = check_image(srgb, "srgb")
    scale = coarse / max(size)
    small = tuple(max(SMALLEST, 4 * round(n * scale / 4)) for n in size)
    srgb = jnp.asarray(srgb, jnp.float32)
    camera = as_float32((illuminant, ccm, Capture() if capture is None else capture))
    coefficients, correction = _found(params, srgb, *camera, small=small, config=config)
    image = apply_global(coefficients, srgb, residual=config.residual)  # not as one program, see there
    return _corrected(image, correction, *camera[:2])


@functools.partial(jax.jit, static_argnames=("small", "config"))
def _found(params, srgb, illuminant, ccm, capture, *, small, config):
    """Coefficients and correction of the photo, shrunk to the size ``small``."""
    shrunk = clip01(jax.image.resize(srgb, (*small, 3), "linear", antialias=True, precision="highest"))
    coefficients, _, correction = inverse_in_parts(params, shrunk, illuminant, ccm, capture, config=config)
    return coefficients, correction


@jax.jit
def _corrected(image, correction, illuminant, ccm):
    linear = image + resize_bilinear(correction, image.shape[:2], align="centers")
    return clip01(canonet.to_camera(linear, illuminant, ccm))
