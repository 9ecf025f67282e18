"""Whole photos of any size through ParamISP's networks.

Where XLA computes the networks, large photos go through in bands of rows; the kernels for CPUs need none.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from modisp_jax.kernels.dispatch import enabled
from modisp_jax.kernels.paramisp import supports
from modisp_jax.nets.paramisp import SMALLEST
from modisp_jax.numerics import clip01
from modisp_jax.paramisp import bands, canonet
from modisp_jax.paramisp.capture import Capture
from modisp_jax.paramisp.isp import PAPER, embed, forward_isp, inverse_isp
from modisp_jax.resample import reflect_index
from modisp_jax.types import as_float32, check_image

LARGE, LARGE_ELSEWHERE = 2**20, 2**25
"""Pixels above which a photo goes through in bands: on CPUs without kernels, on other devices."""


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
    run = _inverse_in_bands if _is_large(size, config, srgb, params, camera) else _inverse
    found = run(params, _filled(jnp.asarray(srgb, jnp.float32)), *camera, pattern=pattern, config=config)
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
    run = _forward_in_bands if _is_large(shape, config, mosaic, params, camera) else _forward
    found = run(params, _filled(jnp.asarray(mosaic, jnp.float32)), *camera, pattern=pattern, config=config)
    return found[: shape[0], : shape[1]]


def _is_large(size, config, *arrays):
    """Whether to go by bands, which takes concrete arrays; other devices than CPUs can do with more at a time."""
    traced = any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(arrays))
    on_cpu = jax.default_backend() == "cpu"
    if traced or (on_cpu and enabled() and supports(config)):
        return False
    return size[0] * size[1] > (LARGE if on_cpu else LARGE_ELSEWHERE)


def _inverse_in_bands(params, srgb, illuminant, ccm, capture, *, pattern, config):
    z = _embed(params, capture, illuminant, ccm, config=config)
    srgb = np.asarray(srgb)
    coefficients = bands.global_coefficients(params["global"], srgb, srgb, z, config)
    image = bands.globally(coefficients, srgb.copy(), config)
    image += bands.local_correction(params["local"], image, srgb if config.shared_mask else image, z, config)
    return _to_sensor(image, illuminant, ccm, pattern=pattern)


def _forward_in_bands(params, mosaic, illuminant, ccm, capture, *, pattern, config):
    z = _embed(params, capture, illuminant, ccm, config=config)
    linear = np.asarray(_to_linear(mosaic, illuminant, ccm, pattern=pattern, clip_balanced=config.clip_balanced))
    image = linear + bands.local_correction(params["local"], linear, linear, z, config)
    source = linear if config.shared_mask else image
    coefficients = bands.global_coefficients(params["global"], image, source, z, config)
    return clip01(jnp.asarray(bands.globally(coefficients, image, config)))


_embed = jax.jit(embed, static_argnames="config")
_to_linear = jax.jit(canonet.to_linear, static_argnames=("pattern", "clip_balanced"))


@functools.partial(jax.jit, static_argnames="pattern")
def _to_sensor(linear, illuminant, ccm, *, pattern):
    if pattern is None:
        return clip01(canonet.to_camera(linear, illuminant, ccm))
    return clip01(canonet.to_mosaic(linear, illuminant, ccm, pattern=pattern))


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
