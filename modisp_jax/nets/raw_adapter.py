"""The network that makes a raw photo fit for JPEG: a curve a channel and a map of exponents (paper section I.10)."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from modisp_jax.nets.layers import INIT_KEY, PRECISION, BatchNorm, Conv, Linear, zeros
from modisp_jax.resample import resize_bilinear

INPUT = 100
"""Side in pixels of what the network sees, and of its map of exponents."""

NODES = 129
"""Of the curve of a channel, evenly over [0, 1]."""


class _ChannelAttention(nn.Module):
    """Scales each channel by what its neighbours' means say: 5 taps ALONG the channels, zeros beyond, sigmoid."""

    @nn.compact
    def __call__(self, x):
        taps = self.param("taps", zeros, (5,))
        means = x.mean(axis=(0, 1))
        near = jnp.stack([jnp.pad(means, 2)[i : i + x.shape[-1]] for i in range(5)], axis=-1)
        return x * jax.nn.sigmoid(jnp.matmul(near, taps, precision=PRECISION))


class _Layer(nn.Module):
    """Convolution, every ``stride``-th pixel of it, GELU and perhaps attention."""

    features: int
    size: int = 3
    stride: int = 1
    attention: bool = True

    @nn.compact
    def __call__(self, x):
        x = Conv(self.features, self.size, name="conv")(x)[:: self.stride, :: self.stride]
        x = jax.nn.gelu(x, approximate=False)
        return _ChannelAttention(name="attention")(x) if self.attention else x


class _CurveFeatures(nn.Module):
    """What the curves are made of: [13, 13, 12] from the encoder's [25, 25, 24]."""

    @nn.compact
    def __call__(self, x):
        x = BatchNorm(name="norm")(Conv(12, border="zero", name="conv")(x)[::2, ::2])
        return jax.nn.gelu(x, approximate=False)


class _GammaHead(nn.Module):
    @nn.compact
    def __call__(self, x):
        return jnp.exp(2.0 * jnp.tanh(Conv(1, name="conv")(x)))


class RawAdapterNet(nn.Module):
    """Curves [3, 129], before normalisation, and exponents [100, 100, 1] for a raw photo [100, 100, 3].

    32,076 parameters. The exponents lie in [exp -2, exp 2]; the curves are what
    :func:`modisp_jax.ops.raw_adapter.curve_nodes` takes. Paper section I.10.
    """

    @nn.compact
    def __call__(self, image):
        fine = _Layer(12, stride=2, name="conv1")(image)
        coarse = _Layer(24, stride=2, name="conv2")(fine)
        code = _Layer(24, 1, attention=False, name="conv3")(coarse)
        x = _Layer(12, 1, name="conv4")(code)
        x = _Layer(12, name="conv5")(_joined(x, coarse, INPUT // 2))
        x = _Layer(12, attention=False, name="conv6")(_joined(x, fine, INPUT))
        gamma_map = _GammaHead(name="gamma_head")(x)
        small = resize_bilinear(_CurveFeatures(name="lut")(code), (2, 2), align="centers")
        flat = small.transpose(2, 0, 1).reshape(-1)  # channel-first, as the checkpoints were trained
        return Linear(3 * NODES, name="lut_head")(flat).reshape(3, NODES), gamma_map


def _joined(x, skip, size):
    return resize_bilinear(jnp.concatenate([x, skip], axis=-1), (size, size), align="centers")


def init():
    """A parameter tree of the right shapes."""
    return RawAdapterNet().init(INIT_KEY, jnp.zeros((INPUT, INPUT, 3)))["params"]


NEUTRAL = {"lut/norm/variance": 1.0}
"""Parameters that do not start at 0 (scales: at 1), by their path."""

STARTS_AT_ZERO = ("gamma_head/conv", "lut_head")
"""Last layers, whose kernels start at zero: exponents 1 and straight curves."""
