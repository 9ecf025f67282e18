"""The two restoration stages, both a NAFNet: denoising and detail enhancement (paper sections 2.1, 2.5)."""

from modisp_jax.nets.layers import INIT_KEY
from modisp_jax.nets.nafnet import NAFNet
from modisp_jax.numerics import clip01
from modisp_jax.stages.mix import mix


def init(image, config):
    """A parameter tree of the right shapes, for ``params.init_params`` to fill; ``image`` is any [h, w, 3]."""
    return NAFNet(config).init(INIT_KEY, image)["params"]


def denoise(params, raw, config, strength=1.0):
    """Removes noise from raw [H, W, 3]; not clipped."""
    return mix(raw, NAFNet(config).apply({"params": params}, raw), strength)


def enhance(params, srgb, config, strength=1.0):
    """Restores detail in the upsampled picture [H, W, 3]; result in [0, 1]."""
    return mix(srgb, clip01(NAFNet(config).apply({"params": params}, srgb)), strength)
