"""Chroma mapping: a map from (Cb, Cr) to (Cb, Cr) that keeps luma (paper section C.6)."""

import jax.numpy as jnp

from modisp_jax.color import rgb_to_ycbcr, ycbcr_to_rgb
from modisp_jax.nets.layers import INIT_KEY
from modisp_jax.nets.photofinish import ChromaNet
from modisp_jax.numerics import clip, clip01
from modisp_jax.ops.lut import identity_chroma_lut, map_chroma

NEUTRAL = {"base_lut_cbcr": identity_chroma_lut(), "base_lut_crcb": identity_chroma_lut().swapaxes(0, 1)}
"""Parameters that do not start at 0 (scales: at 1), by their path."""


def init(image, config):
    """A parameter tree of the right shapes, for ``params.init_params`` to fill; ``image`` is any [h, w, 3]."""
    return ChromaNet(config.chroma_lut_axes).init(INIT_KEY, image)["params"]


def predict(params, images, config):
    """The chroma LUT [24, 24, 2], Cb along axis 0, from the tone-mapped image.

    That is in [0, 1], but for the published tone sliders: they change luma alone, which can leave the RGB cube.
    """
    toned = images["local_tone"] if images["rgb_lut"] is None else images["rgb_lut"]
    ycbcr = rgb_to_ycbcr(toned)
    return ChromaNet(config.chroma_lut_axes).apply({"params": params}, ycbcr)


def apply(lut, image, images):
    """Maps chroma, keeps luma; result in [0, 1]."""
    del images
    ycbcr = rgb_to_ycbcr(image)
    # Entries far outside [-.5, .5] cannot show, but could overflow in the conversion.
    cbcr = map_chroma(clip(lut, -4.0, 4.0), ycbcr[..., 1:])
    return clip01(ycbcr_to_rgb(jnp.concatenate([ycbcr[..., :1], cbcr], axis=-1)))
