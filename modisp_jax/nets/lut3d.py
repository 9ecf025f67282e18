"""The network of an image-adaptive look-up table: a curve for each channel, then a table in three dimensions.

After H. Zeng et al., "Learning image-adaptive 3D lookup tables", TPAMI 2020, and C. Yang et al., "SepLUT", ECCV 2022: a
small network chooses the curves and the weights of three learned tables.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from modisp_jax.nets.function_isp import HalvingConv, leaky
from modisp_jax.nets.layers import INIT_KEY, Linear, zeros
from modisp_jax.numerics import clip01, power
from modisp_jax.ops.lut import identity_rgb_lut, lookup

SIDE = 64
"""Pixels a side of what the network sees."""

WIDTHS = (16, 32, 64, 64)
CURVE_NODES, TABLE_NODES, TABLES = 17, 9, 3

GAMMA = 2.2
"""Nodes of the curves are even in ``x^(1 / 2.2)``, which is also where they start."""


class AdaptiveLut(nn.Module):
    """Linear [H, W, 3] in [0, 1] to sRGB [H, W, 3]."""

    @nn.compact
    def __call__(self, image):
        x = jax.image.resize(clip01(image), (SIDE, SIDE, 3), "linear", antialias=True, precision="highest")
        for i, width in enumerate(WIDTHS):
            x = leaky(HalvingConv(width, name=f"conv{i}")(x))
        mean = x.mean(axis=(0, 1))
        curves = Linear(3 * CURVE_NODES, name="curves")(mean).reshape(CURVE_NODES, 3)
        tables = self.param("tables", zeros, (TABLES, *[TABLE_NODES] * 3, 3))
        table = jnp.tensordot(Linear(TABLES, name="weights")(mean), tables, axes=1, precision="highest")
        encoded = power(clip01(image), 1 / GAMMA)
        curved = [lookup(curves[:, c : c + 1], encoded[..., c : c + 1]) for c in range(3)]
        return lookup(table, clip01(jnp.concatenate(curved, axis=-1)))


def init():
    """A parameter tree of the right shapes."""
    return AdaptiveLut().init(INIT_KEY, jnp.zeros((SIDE, SIDE, 3)))["params"]


def apply(params, image):
    """See :class:`AdaptiveLut`."""
    return AdaptiveLut().apply({"params": params}, image)


STARTS_AT_ZERO = ("curves", "weights")
"""Layers whose kernels start at zero: at first all images get the same table."""


def _neutral():
    identity = identity_rgb_lut(TABLE_NODES)
    grey = np.broadcast_to(identity.mean(axis=-1, keepdims=True), identity.shape)
    curves = np.repeat(np.linspace(0, 1, CURVE_NODES, dtype=np.float32), 3)
    return {
        "tables": np.stack([identity, identity * identity - identity, grey - identity]),
        "curves/bias": curves,
        "weights/bias": np.array([1.0, 0.0, 0.0], np.float32),
    }


NEUTRAL = _neutral()
"""Parameters that do not start at 0: gamma 2.2 and the identity; ways to a darker and a greyer picture of weight 0."""
