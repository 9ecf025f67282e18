"""The networks that predict photofinishing's coefficients (paper sections C.3 to C.6).

The layers that make coefficients start with a zero kernel and the bias that their stage calls neutral, so an untrained
network gives a plain, correct rendering, and its first gradient step already moves them (``params.STARTS_AT_ZERO``).
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from modisp_jax.kernels import guide as kernels
from modisp_jax.kernels.dispatch import on_cpu_unless_differentiated
from modisp_jax.nets.layers import (
    Conv,
    CoordinateAttention,
    GroupNorm,
    Linear,
    MBConv,
    leaky_relu,
    pool_to,
    resize_to,
    zeros,
)
from modisp_jax.numerics import safe_sqrt
from modisp_jax.ops.lut import RGB_NODES, chroma_histogram, identity_chroma_lut
from modisp_jax.resample import mean_pool, resize_bilinear

GRID_DEPTH = 18
GRID_SIZE = 64
LTM_COEFFICIENTS = 5

GAIN_RANGE = (0.25, 4.0)
GAMMA_RANGE = (1.2, 3.0)

SOFTPLUS_ONE = float(np.log(np.e - 1))
"""The number whose softplus is 1."""


class _Stem(nn.Module):
    """The first layers of most nets: conv, group norm, activation, MBConv, coordinate attention."""

    features: int
    groups: int = 2

    @nn.compact
    def __call__(self, x):
        x = leaky_relu(GroupNorm(self.groups, name="norm")(Conv(self.features, name="conv")(x)))
        return CoordinateAttention(4, name="attention")(MBConv(name="mbconv")(x))


class ScalarNet(nn.Module):
    """One number from an image: ``low + (high - low) sigmoid(net(image))``, 6,587 parameters. Section C.3.

    Predicts the digital gain within [0.25, 4] and the gamma within [1.2, 3].
    """

    low: float
    high: float

    def bias_of(self, value):
        """The head's bias at which a net with a zero kernel predicts ``value``."""
        s = (value - self.low) / (self.high - self.low)
        return float(np.log(s / (1 - s)))

    @nn.compact
    def __call__(self, image):
        x = _Stem(10, name="stem")(resize_to(image, 128))
        x = pool_to(leaky_relu(Conv(20, name="conv1")(x)), 32)
        x = leaky_relu(Conv(20, name="conv2")(x)).mean(axis=(0, 1))
        s = jax.nn.sigmoid(Linear(1, name="head")(x)[0])
        return self.low + (self.high - self.low) * s


def gain_net():
    """The net of the digital gain."""
    return ScalarNet(*GAIN_RANGE)


def gamma_net():
    """The net of the gamma; its reciprocal is the look's coefficient."""
    return ScalarNet(*GAMMA_RANGE)


class GlobalToneNet(nn.Module):
    """The global tone curve (a, b, c) [3] from the gained image, 28,369 parameters. Section C.4."""

    @nn.compact
    def __call__(self, image):
        x = _Stem(10, name="stem")(resize_to(image, 128))
        x = leaky_relu(Conv(20, name="conv1")(x))
        x = pool_to(leaky_relu(Conv(20, name="conv2")(x)), 16)
        x = pool_to(leaky_relu(Conv(40, name="conv3")(x)), 4)
        x = leaky_relu(Conv(40, name="conv4")(x)).mean(axis=(0, 1))
        return jax.nn.softplus(Linear(3, name="head")(x))


class _GuideScale(nn.Module):
    """Features of the guide net at one scale."""

    @nn.compact
    def __call__(self, x):
        x = _Stem(12, name="stem")(x)
        for i in range(3):
            x = leaky_relu(Conv(24, name=f"conv{i + 1}")(x))
        return Conv(24, 1, name="mix")(x)


class GuideNet(nn.Module):
    """Depth guide [h, w] in [-1, 1] from the red channel of the gained image [h, w, 3]. Section C.5.

    The paper says luminance; the published system feeds channel 0, and checkpoints depend on it. Any size from
    4 pixels a side.
    """

    @nn.compact
    def __call__(self, image):
        red = image[..., :1]
        size = red.shape[:2]
        low = resize_bilinear(_GuideScale(name="low")(mean_pool(red, 4)), size)
        mid = resize_bilinear(_GuideScale(name="mid")(mean_pool(red, 2)), size)
        high = _GuideScale(name="high")(red)
        x = leaky_relu(Conv(24, name="fuse")(jnp.concatenate([low, mid, high], axis=-1)))
        return jnp.tanh(Conv(1, 1, name="head")(x)[..., 0])


def guide(params, image):
    """Depth guide [h, w] of an image [h, w, 3] by :class:`GuideNet`: on CPUs by kernels, elsewhere by XLA."""
    return on_cpu_unless_differentiated(
        kernels.guide,
        lambda params, image: GuideNet().apply({"params": params}, image),
        params,
        image,
    )


class GridNet(nn.Module):
    """Bilateral grid of local tone coefficients [64, 64, 18, 5] from a [384, 384, 6] image. Section C.5.

    The input is the gained image and its global tone mapping, stacked. Coefficients: w, a, b, c, g.
    """

    @nn.compact
    def __call__(self, image):
        x = _Stem(24, name="stem")(image)
        x = leaky_relu(Conv(48, name="conv1")(x))
        x = pool_to(leaky_relu(GroupNorm(4, name="norm2")(Conv(48, name="conv2")(x))), GRID_SIZE)
        x = leaky_relu(GroupNorm(4, name="norm3")(Conv(48, name="conv3")(x)))
        maps = jax.nn.softplus(Conv(LTM_COEFFICIENTS * GRID_DEPTH, 1, name="head")(x))
        # Channels are coefficient-major: 18 depths of w, then 18 of a, ...
        return maps.reshape(GRID_SIZE, GRID_SIZE, LTM_COEFFICIENTS, GRID_DEPTH).swapaxes(2, 3)


class _LuminanceNet(nn.Module):
    """Channel weights [28] of the chroma net from the luma image [128, 128, 1]."""

    @nn.compact
    def __call__(self, y):
        x = leaky_relu(GroupNorm(2, name="norm")(Conv(8, name="conv1")(y)))
        x = pool_to(MBConv(name="mbconv")(CoordinateAttention(2, name="attention")(x)), 8)
        x = leaky_relu(Conv(8, border="zero", name="conv2")(x)).mean(axis=(0, 1))
        return jax.nn.sigmoid(Linear(28, name="head")(x))


class _ChromaCoder(nn.Module):
    """Half of the chroma net: three 3x3 layers of 28 channels, an MBConv after the second."""

    @nn.compact
    def __call__(self, x):
        x = leaky_relu(GroupNorm(4, name="norm")(Conv(28, name="conv1")(x)))
        x = MBConv(name="mbconv")(leaky_relu(Conv(28, name="conv2")(x)))
        return leaky_relu(Conv(28, name="conv3")(x))


class ChromaNet(nn.Module):
    """Chroma LUT [24, 24, 2] from the tone-mapped image's YCbCr [h, w, 3], 45,466 parameters. Section C.6.

    A learned base LUT plus a residual that depends on the picture's chroma histogram and, by channel weights, on
    its luma. ``lut_axes`` names the axis order of LUT, see :class:`modisp_jax.config.PhotofinishConfig`; the result
    always has Cb along axis 0.
    """

    lut_axes: str = "cbcr"

    @nn.compact
    def __call__(self, ycbcr):
        small = resize_to(ycbcr, 128)
        mesh = jnp.asarray(identity_chroma_lut())

        x = safe_sqrt(chroma_histogram(small[..., 1:]))[..., None]
        x = leaky_relu(GroupNorm(2, name="hist_norm")(Conv(8, name="hist_conv1")(x)))
        x = leaky_relu(Conv(8, name="hist_conv2")(x))
        x = jnp.concatenate([jnp.tanh(Conv(4, 1, name="hist_mix")(x)), mesh], axis=-1)

        x = CoordinateAttention(4, name="attention")(_ChromaCoder(name="encoder")(x))
        x = x * _LuminanceNet(name="luminance")(small[..., :1])
        x = _ChromaCoder(name="decoder")(x)
        residual = jnp.tanh(Conv(2, 1, name="head")(x))
        # The parameter's name states its axes, so a parameter set says by itself how it is to be read.
        lut = residual + self.param(f"base_lut_{self.lut_axes}", zeros, mesh.shape)
        return lut if self.lut_axes == "cbcr" else lut.swapaxes(0, 1)


class RgbLut(nn.Module):
    """The learned colour LUT [11, 11, 11, 3], the same for every picture, 3,993 parameters. Section D.

    Stored before a softplus, which keeps the entries positive.
    """

    @nn.compact
    def __call__(self):
        return jax.nn.softplus(self.param("table", zeros, (RGB_NODES, RGB_NODES, RGB_NODES, 3)))
