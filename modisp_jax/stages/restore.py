"""The two restoration stages, both a NAFNet: denoising and detail enhancement (paper sections 2.1, 2.5)."""

import jax.numpy as jnp

from modisp_jax.nets import nafnet
from modisp_jax.nets.layers import INIT_KEY


def init(image, config):
    """A parameter tree of the right shapes, for ``params.init_params`` to fill; ``image`` is any [h, w, 3]."""
    return nafnet.NAFNet(config).init(INIT_KEY, image)["params"]


def denoise(params, raw, config, strength=1.0, *, activations="float32"):
    """Removes noise from raw [H, W, 3]; not clipped."""
    return nafnet.restore(params, raw, jnp.asarray(strength, raw.dtype), config, None, activations)


def enhance(params, srgb, config, strength=1.0, *, activations="float32"):
    """Restores detail in the upsampled picture [H, W, 3]; result in [0, 1]."""
    return nafnet.restore(params, srgb, jnp.asarray(strength, srgb.dtype), config, (0.0, 1.0), activations)
