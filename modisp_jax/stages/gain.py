"""Digital gain: one factor for the whole image (paper section C.3)."""

from modisp_jax.nets.layers import INIT_KEY
from modisp_jax.nets.photofinish import gain_net

NEUTRAL = {"head/bias": gain_net().bias_of(1.0)}
"""Parameters that do not start at 0 (scales: at 1), by their path."""


def init(image, config):
    """A parameter tree of the right shapes, for ``params.init_params`` to fill; ``image`` is any [h, w, 3]."""
    del config
    return gain_net().init(INIT_KEY, image)["params"]


def predict(params, images, config):
    """The gain [] within [0.25, 4], from the small linear image."""
    del config
    return gain_net().apply({"params": params}, images["linear_small"])


def apply(gain, image, images):
    """``gain * image``, not clipped: the tone curves decide what becomes of values over 1."""
    del images
    return gain * image
