"""The network from finished photos to XYZ (CIE XYZ net), as the paper uses it for third-party sRGB (section I.11).

M. Afifi et al., "CIE XYZ Net: Unprocessing images for low-level computer vision tasks", IEEE TPAMI 2021.
"""

import flax.linen as nn
import jax.numpy as jnp
import numpy as np

from modisp_jax.color import SRGB_TO_XYZ
from modisp_jax.nets.layers import INIT_KEY, Conv, Linear, leaky_relu
from modisp_jax.nets.layers import PRECISION as HIGHEST
from modisp_jax.resample import resize_bilinear

INPUT = 96
"""Side in pixels of what the global part sees."""

LOCAL_RANGE = 0.25
"""How much the local part adds or takes at most."""


class LocalNet(nn.Module):
    """What local processing added to a picture [H, W, 3], [H, W, 3] within +-.25."""

    @nn.compact
    def __call__(self, x):
        for i in range(7):
            x = leaky_relu(Conv(24, border="zero", name=f"conv{i}")(x))
        return LOCAL_RANGE * jnp.tanh(Conv(3, border="zero", name="conv7")(x))


class GlobalNet(nn.Module):
    """The matrix [3, 6] that takes (R, G, B, R^2, G^2, B^2) to XYZ, for a picture [96, 96, 3]."""

    @nn.compact
    def __call__(self, x):
        for i in range(4):
            x = nn.max_pool(leaky_relu(Conv(24, border="zero", name=f"conv{i}")(x)), (2, 2), (2, 2))
        x = x.transpose(2, 0, 1).reshape(-1)  # channel-first, as the checkpoint was trained
        x = leaky_relu(Linear(512, name="linear1")(x))
        x = leaky_relu(Linear(256, name="linear2")(x))
        return Linear(18, name="head")(Linear(256, name="linear3")(x)).reshape(3, 6)


class CieXyzNet(nn.Module):
    """XYZ [H, W, 3] of a finished picture [H, W, 3], 693,493 parameters: ``M [x; x^2]`` with ``x = srgb - local``."""

    @nn.compact
    def __call__(self, srgb):
        x = srgb - LocalNet(name="local")(srgb)
        matrix = GlobalNet(name="global")(resize_bilinear(x, (INPUT, INPUT), align="centers"))
        return jnp.matmul(jnp.concatenate([x, x * x], axis=-1), matrix.T, precision=HIGHEST)


def init():
    """A parameter tree of the right shapes."""
    return CieXyzNet().init(INIT_KEY, jnp.zeros((16, 16, 3)))["params"]


NEUTRAL = {"global/head/bias": np.concatenate([np.zeros((3, 3)), SRGB_TO_XYZ], axis=1).reshape(-1)}
"""Parameters that do not start at 0, by their path: a gamma of 2 and sRGB's own matrix."""

STARTS_AT_ZERO = ("local/conv7", "global/head")
"""Last layers, whose kernels start at zero: no local processing, one matrix for all pictures."""
