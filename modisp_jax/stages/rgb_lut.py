"""Optional colour LUT, learned and the same for every picture (paper section D)."""

import numpy as np

from modisp_jax.nets.layers import INIT_KEY
from modisp_jax.nets.photofinish import RgbLut
from modisp_jax.numerics import clip, clip01
from modisp_jax.ops.lut import identity_rgb_lut, map_rgb

NEUTRAL = {"table": np.log(np.expm1(np.maximum(identity_rgb_lut(), 1e-4)))}  # softplus has a pole at 0
"""Parameters that do not start at 0 (scales: at 1), by their path."""


def init(image, config):
    """A parameter tree of the right shapes, for ``params.init_params`` to fill; ``image`` is any [h, w, 3]."""
    del image, config
    return RgbLut().init(INIT_KEY)["params"]


def predict(params, images, config):
    """The LUT [11, 11, 11, 3]; it does not depend on the image."""
    del images, config
    return RgbLut().apply({"params": params})


def apply(lut, image, images):
    """Looks each pixel up; result in [0, 1]."""
    del images
    # Entries far outside [0, 1] cannot show, but could overflow in the interpolation.
    return clip01(map_rgb(clip(lut, -16.0, 16.0), clip01(image)))
