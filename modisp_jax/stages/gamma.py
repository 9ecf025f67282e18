"""The final power curve, from linear light to display values (paper section C.3)."""

from modisp_jax.nets.layers import INIT_KEY
from modisp_jax.nets.photofinish import gamma_net
from modisp_jax.numerics import clip01, power

NEUTRAL = {"head/bias": gamma_net().bias_of(2.2)}
"""Parameters that do not start at 0 (scales: at 1), by their path."""


def init(image, config):
    """A parameter tree of the right shapes, for ``params.init_params`` to fill; ``image`` is any [h, w, 3]."""
    del config
    return gamma_net().init(INIT_KEY, image)["params"]


def predict(params, images, config):
    """The exponent 1/gamma [], gamma within [1.2, 3], from the chroma-mapped image."""
    del config
    return 1.0 / gamma_net().apply({"params": params}, images["chroma"])


def apply(inverse_gamma, image, images):
    """``image ** inverse_gamma``; result in [0, 1]."""
    del images
    return power(clip01(image), inverse_gamma)
