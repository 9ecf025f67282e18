"""NAFNet, the network of the denoiser and of detail enhancement (paper sections C.1, C.7).

Chen et al., "Simple Baselines for Image Restoration", ECCV 2022. A block has no activation function: it multiplies
one half of its channels by the other.
"""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp

from modisp_jax.config import NAFNetConfig
from modisp_jax.kernels import nafnet as kernels
from modisp_jax.kernels.dispatch import on_cpu_unless_differentiated
from modisp_jax.nets.layers import PRECISION, Conv, DepthwiseConv, LayerNorm, zeros
from modisp_jax.numerics import clip, mix


def _gate(x):
    a, b = jnp.split(x, 2, axis=-1)
    return a * b


class NAFBlock(nn.Module):
    """Spatial mixing with channel attention, then channel mixing; both are scaled residuals, zero at first."""

    @nn.compact
    def __call__(self, x):
        c = x.shape[-1]
        y = Conv(2 * c, 1, name="expand1")(LayerNorm(name="norm1")(x))
        y = _gate(DepthwiseConv(3, name="depthwise")(y))
        # The mean runs over the whole image: a tiled implementation has to carry it exactly.
        attention = Conv(c, 1, name="attention")(y.mean(axis=(0, 1), keepdims=True))
        y = Conv(c, 1, name="project1")(y * attention)
        x = x + self.param("beta", zeros, (c,)) * y
        z = _gate(Conv(2 * c, 1, name="expand2")(LayerNorm(name="norm2")(x)))
        return x + self.param("gamma", zeros, (c,)) * Conv(c, 1, name="project2")(z)


class Down(nn.Module):
    """Halves the resolution and doubles the channels by a 2x2 convolution of stride 2."""

    @nn.compact
    def __call__(self, x):
        h, w, c = x.shape
        kernel = self.param("kernel", zeros, (2, 2, c, 2 * c))
        bias = self.param("bias", zeros, (2 * c,))
        # Windows do not overlap, so this is a reshape and a matrix product.
        windows = x.reshape(h // 2, 2, w // 2, 2, c).swapaxes(1, 2).reshape(h // 2, w // 2, 4 * c)
        return jnp.matmul(windows, kernel.reshape(4 * c, 2 * c), precision=PRECISION) + bias


class Up(nn.Module):
    """Doubles the resolution and halves the channels by a 1x1 convolution and a pixel shuffle."""

    @nn.compact
    def __call__(self, x):
        h, w, c = x.shape
        y = Conv(2 * c, 1, use_bias=False, name="expand")(x)
        y = y.reshape(h, w, c // 2, 2, 2).transpose(0, 3, 1, 4, 2)
        return y.reshape(2 * h, 2 * w, c // 2)


class NAFNet(nn.Module):
    """Restores an image [H, W, 3], any size: ``image + net(image)``, the identity before training
    (the kernel of ``out_conv`` starts at zero)."""

    config: NAFNetConfig

    @nn.compact
    def __call__(self, image):
        config = self.config
        h, w = image.shape[:2]
        step = 2**config.levels
        padded = jnp.pad(image, ((0, -h % step), (0, -w % step), (0, 0)))
        x = Conv(config.width, border="zero", name="in_conv")(padded)
        skips = []
        for level, count in enumerate(config.encoder_blocks):
            for block in range(count):
                x = NAFBlock(name=f"encoder{level}_block{block}")(x)
            skips.append(x)
            x = Down(name=f"down{level}")(x)
        for block in range(config.middle_blocks):
            x = NAFBlock(name=f"middle_block{block}")(x)
        for level, count in enumerate(config.decoder_blocks):
            x = Up(name=f"up{level}")(x) + skips.pop()
            for block in range(count):
                x = NAFBlock(name=f"decoder{level}_block{block}")(x)
        residual = Conv(3, border="zero", name="out_conv")(x)
        return (padded + residual)[:h, :w]


def restore(params, image, strength, config, limits=None, activations="float32"):
    """Blends an image with its restoration, ``(1 - s) x + s clip(x + net(x))``, the fastest way on its backend.

    On CPUs by the kernels of ``kernels/nafnet.py``, elsewhere as XLA compiles :class:`NAFNet`; they agree within 2e-6.
    Differentiable (reverse mode) as XLA compiles it.

    Args:
      params: the network's nested dict of arrays.
      image: x [H, W, 3].
      strength: s, a scalar; 0 gives the image, 1 the restored image, exactly.
      config: a :class:`modisp_jax.config.NAFNetConfig`.
      limits: (low, high) that the restored image is clipped to, or None.
      activations: ``float32``, or ``bfloat16`` for half the memory: the kernels then store images between blocks so,
        and XLA computes the network so.
    """
    static = {"config": config, "limits": limits, "activations": activations}
    compiled = functools.partial(_compiled, **static)
    if not kernels.supports(config):
        return compiled(params, image, strength)
    kernel = functools.partial(kernels.nafnet, **static)
    return on_cpu_unless_differentiated(kernel, compiled, params, image, strength)


def _compiled(params, image, strength, *, config, limits, activations):
    """The network layer by layer, for XLA to fuse."""
    if activations == "bfloat16":
        params = jax.tree_util.tree_map_with_path(_halve_unless_norm, params)
    restored = NAFNet(config).apply({"params": params}, image)
    if limits is not None:
        restored = clip(restored, *limits)
    return mix(image, restored, strength)


def _halve_unless_norm(path, leaf):
    # A layer computes in the dtype of its kernel, see layers.py.
    is_norm = any(str(part.key).startswith("norm") for part in path)
    return leaf if is_norm else leaf.astype(jnp.bfloat16)
