"""Global tone mapping: one curve for the whole image (paper section C.4)."""

from modisp_jax.nets.layers import INIT_KEY
from modisp_jax.nets.photofinish import SOFTPLUS_ONE, GlobalToneNet
from modisp_jax.ops.tone_curve import tone_curve

NEUTRAL = {"head/bias": SOFTPLUS_ONE}
"""Parameters that do not start at 0 (scales: at 1), by their path."""


def init(image, config):
    """A parameter tree of the right shapes, for ``params.init_params`` to fill; ``image`` is any [h, w, 3]."""
    del config
    return GlobalToneNet().init(INIT_KEY, image)["params"]


def predict(params, images, config):
    """The curve's coefficients (a, b, c) [3], from the gained image."""
    del config
    return GlobalToneNet().apply({"params": params}, images["gained"])


def apply(abc, image, images):
    """The tone curve on each channel of the gained image; result in [0, 1]."""
    del images
    return tone_curve(image, abc[0], abc[1], abc[2])
