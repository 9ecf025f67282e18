"""Layers that the networks share, for one image [H, W, C] (batch by vmap). Paper section C.2.

A layer computes in the dtype of its kernel: float32, or bfloat16 where training casts the kernels (norms: float32).
Linen's initialisers are all zero here: only the shapes count, ``params.init_params`` fills them.
"""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from modisp_jax.kernels import convolution_gradient
from modisp_jax.kernels import depthwise as depthwise_kernels
from modisp_jax.kernels.dispatch import on_cpu, on_cpu_unless_differentiated
from modisp_jax.resample import mean_pool, pad_edge, pad_reflect, resize_bilinear

PRECISION = jax.lax.Precision.HIGHEST
"""Products in full float32; on TPU and recent GPUs the default rounds them to 8 or 10 bits."""

SLOPE = 0.01
"""Of leaky ReLUs."""

STRIPS = 8
"""Into which an image is cut for the gradient of a depthwise kernel."""

INIT_KEY = np.zeros(2, np.uint32)
"""What linen wants for ``init``; nothing draws from it."""

zeros = nn.initializers.zeros_init()


def leaky_relu(x):
    """Leaky ReLU of slope .01."""
    return jax.nn.leaky_relu(x, SLOPE)


def at_least_float32(x):
    """bfloat16 as float32, in which sums over an image do not lose their end; other floats as they are."""
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))


def pool_to(x, size):
    """Mean-pools a square image [n, n, C] to [size, size, C]; ``size`` divides n."""
    return mean_pool(x, x.shape[0] // size)


def pad_zero(x, radius):
    """Pads an image [H, W, C] by ``radius`` pixels of zeros a side."""
    return jnp.pad(x, ((radius, radius), (radius, radius), (0, 0)))


def resize_to(x, size):
    """Resizes an image to [size, size, C], bilinear, corners aligned: the networks' fixed input size."""
    return resize_bilinear(x, (size, size))


class Conv(nn.Module):
    """3x3 (or ``size``) convolution with bias. Beyond the border is the ``mirror`` image, ``zero`` or the ``edge``."""

    features: int
    size: int = 3
    border: str = "mirror"
    use_bias: bool = True

    @nn.compact
    def __call__(self, x):
        kernel = self.param("kernel", zeros, (self.size, self.size, x.shape[-1], self.features))
        x = x.astype(kernel.dtype)
        radius = self.size // 2
        if self.size == 1:
            y = jnp.matmul(x, kernel[0, 0], precision=PRECISION)
        elif self.border == "zero":
            y = convolve(x, kernel)
        # Padded, convolved at equal size and cropped: XLA's CPU convolution is five times slower without padding.
        elif self.border == "mirror":
            y = convolve(pad_reflect(x, radius), kernel)[radius:-radius, radius:-radius]
        else:
            # With XLA's own gradient, which for batches of small patches takes half the time of the one below.
            y = correlate(pad_edge(x, radius), kernel)[radius:-radius, radius:-radius]
        if self.use_bias:
            y = y + self.param("bias", zeros, (self.features,))
        return y


def correlate(x, kernel):
    """Correlates [H, W, C] with a kernel [k, k, C, D], k odd, zeros beyond the border: [H, W, D]."""
    return jax.lax.conv_general_dilated(
        x[None], kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"), precision=PRECISION
    )[0]


@jax.custom_vjp
def convolve(x, kernel):
    """The same as :func:`correlate`, with a gradient of the kernel that suits whole images."""
    return correlate(x, kernel)


def _convolve_forward(x, kernel):
    return convolve(x, kernel), (x, kernel)


def _convolve_backward(residuals, dy):
    x, kernel = residuals
    turned = kernel[::-1, ::-1].swapaxes(2, 3)
    by_kernel = functools.partial(convolution_gradient.kernel_gradient, size=len(kernel))
    by_xla = functools.partial(kernel_gradient_by_xla, size=len(kernel))
    dk = on_cpu_unless_differentiated(by_kernel, by_xla, *jax.tree.map(at_least_float32, (x, dy)))
    return convolve(dy, turned), dk.astype(kernel.dtype)


convolve.defvjp(_convolve_forward, _convolve_backward)


def kernel_gradient_by_xla(x, dy, size):
    """``sum_p x[p + o] dy[p]^T`` for every offset o, as XLA differentiates its convolution, for any device.

    On CPUs it is slow: a convolution by a kernel as large as the image.
    """
    kernel = jnp.zeros((size, size, x.shape[-1], dy.shape[-1]), x.dtype)
    return jax.vjp(lambda k: correlate(x, k), kernel)[1](dy)[0]


class DepthwiseConv(nn.Module):
    """Depthwise convolution with bias, zeros beyond the border: ``y[p, c] = sum_o k[o, c] x[p + o, c] + b[c]``."""

    size: int = 3

    @nn.compact
    def __call__(self, x):
        kernel, bias = _taps(self, self.size, x.shape[-1])
        # Not by kernels: nine taps on the small patches that restoration is trained on cost less than a call.
        return correlate_channels(pad_zero(x.astype(kernel.dtype), self.size // 2), kernel, 1) + bias


class DepthwiseTaps(nn.Module):
    """Kernel [size, size, C] and bias [C] of a depthwise convolution that is computed with others."""

    size: int

    @nn.compact
    def __call__(self, channels):
        return _taps(self, self.size, channels)


def _taps(module, size, channels):
    return module.param("kernel", zeros, (size, size, channels)), module.param("bias", zeros, (channels,))


def depthwise(x, kernels, biases, *, dilations, slope):
    """Sum of activated depthwise convolutions: ``y[p, c] = sum_i leak(b_i[c] + sum_o k_i[o, c] x[p + d_i o, c])``.

    Args:
      x: [H + 2 R, W + 2 R, C], R pixels what the widest of them reads beyond the border.
      kernels: a tuple of [k, k, C], k 3 or 5.
      biases: as many [C].
      dilations: as many numbers d.
      slope: of the leaky ReLU.

    Returns:
      [H, W, C]. On CPUs by kernels, as is the gradient.

    Raises:
      ValueError: a kernel of another size.
    """
    if other := [len(kernel) for kernel in kernels if len(kernel) not in (3, 5)]:
        raise ValueError(f"expected kernels of 3 or 5 pixels a side, got {other[0]}")
    return _depthwise(dilations, slope, x, kernels, biases)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _depthwise(dilations, slope, *arrays):
    """Sums of bfloat16 are float32, too: the cast costs nothing where memory is read."""
    paths = (depthwise_kernels.depthwise, depthwise_by_xla)
    by_kernel, by_xla = (functools.partial(path, dilations=dilations, slope=slope) for path in paths)
    return on_cpu(by_kernel, by_xla, *jax.tree.map(at_least_float32, arrays)).astype(arrays[0].dtype)


def _depthwise_forward(dilations, slope, *arrays):
    return _depthwise(dilations, slope, *arrays), arrays


def _depthwise_backward(dilations, slope, arrays, dy):
    def by_xla(*arrays_and_dy):
        *arrays, dy = arrays_and_dy
        return jax.vjp(functools.partial(depthwise_by_xla, dilations=dilations, slope=slope), *arrays)[1](dy)

    by_kernel = functools.partial(depthwise_kernels.depthwise_gradient, dilations=dilations, slope=slope)
    found = on_cpu_unless_differentiated(by_kernel, by_xla, *jax.tree.map(at_least_float32, (*arrays, dy)))
    return jax.tree.map(lambda gradient, array: gradient.astype(array.dtype), found, arrays)


_depthwise.defvjp(_depthwise_forward, _depthwise_backward)


def depthwise_by_xla(x, kernels, biases, *, dilations, slope):
    """The same for any device."""
    widest = depthwise_kernels.reach(kernels, dilations)

    def branch(kernel, bias, dilation):
        inset = widest - len(kernel) // 2 * dilation
        seen = x[inset : x.shape[0] - inset, inset : x.shape[1] - inset]
        return jax.nn.leaky_relu(correlate_channels(seen, kernel, dilation) + bias, slope)

    return sum(branch(*each) for each in zip(kernels, biases, dilations, strict=True))


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def correlate_channels(x, kernel, dilation):
    """Correlates each channel of [H, W, C] with its own kernel, [k, k, C], where that lies within the image.

    Written as shifted multiply-adds, which XLA fuses into one pass over the image; its grouped convolution on the
    CPU is many times slower for the few channels used here.
    """
    h, w = (side - dilation * (len(kernel) - 1) for side in x.shape[:2])
    return sum(kernel[i, j] * part for (i, j), part in _shifted(x, len(kernel), dilation, h, w))


def _correlate_channels_forward(x, kernel, dilation):
    return correlate_channels(x, kernel, dilation), (x, kernel)


def _correlate_channels_backward(dilation, residuals, dy):
    """By the image again multiply-adds, in place of a sum of padded images; by the kernel in two steps.

    XLA's reduction to a few numbers a channel is slow. So strips of rows are added up first, which it does many numbers
    at a time, and only their sum is reduced.
    """
    x, kernel = residuals
    h, w, _ = dy.shape
    turned = correlate_channels(pad_zero(dy, dilation * (len(kernel) - 1)), kernel[::-1, ::-1], dilation)
    # Rows of zeros make the strips equally high; what the image has there does not count.
    more = -h % STRIPS
    dy = at_least_float32(jnp.pad(dy, ((0, more), (0, 0), (0, 0)))).reshape(STRIPS, -1, w, dy.shape[-1])
    x = at_least_float32(jnp.pad(x, ((0, more), (0, 0), (0, 0))))
    parts = [part.reshape(dy.shape) for _, part in _shifted(x, len(kernel), dilation, h + more, w)]
    strips = jnp.stack([sum(part[s] * dy[s] for s in range(STRIPS)) for part in parts])
    return turned, strips.sum(axis=(1, 2)).reshape(kernel.shape).astype(kernel.dtype)


correlate_channels.defvjp(_correlate_channels_forward, _correlate_channels_backward)


def _shifted(x, size, dilation, h, w):
    """((i, j), the part [h, w, C] of x that a kernel's element meets) for each of its elements."""
    places = [(i, j) for i in range(size) for j in range(size)]
    return [((i, j), x[i * dilation : i * dilation + h, j * dilation : j * dilation + w]) for i, j in places]


class LayerNorm(nn.Module):
    """Normalises each pixel over its channels (eps 1e-5), then scales and shifts."""

    @nn.compact
    def __call__(self, x):
        scale = self.param("scale", zeros, (x.shape[-1],))
        bias = self.param("bias", zeros, (x.shape[-1],))
        x = at_least_float32(x)
        centered = x - x.mean(axis=-1, keepdims=True)
        variance = jnp.square(centered).mean(axis=-1, keepdims=True)
        return centered * jax.lax.rsqrt(variance + 1e-5) * scale + bias


class GroupNorm(nn.Module):
    """Normalises groups of channels over the whole image (eps 1e-5), then scales and shifts each channel.

    The variance is the mean of squared deviations: E[x^2] - E[x]^2 would cancel in float32.
    """

    groups: int

    @nn.compact
    def __call__(self, x):
        c = x.shape[-1]
        scale = self.param("scale", zeros, (c,))
        bias = self.param("bias", zeros, (c,))
        x = at_least_float32(x)

        def mean(x):
            """Of each row and channel first: XLA's CPU code would add up all of a group one by one."""
            of_channels = x.mean(axis=1).mean(axis=0)
            return jnp.repeat(of_channels.reshape(self.groups, -1).mean(axis=1), c // self.groups)

        centered = x - mean(x)
        return centered * jax.lax.rsqrt(mean(jnp.square(centered)) + 1e-5) * scale + bias


class BatchNorm(nn.Module):
    """Normalises each channel by statistics of the training data (eps 1e-5), then scales and shifts."""

    @nn.compact
    def __call__(self, x):
        shape = (x.shape[-1],)
        scale, bias = self.param("scale", zeros, shape), self.param("bias", zeros, shape)
        mean, variance = (jax.lax.stop_gradient(self.param(name, zeros, shape)) for name in ("mean", "variance"))
        return (x - mean) * (jax.lax.rsqrt(jnp.maximum(variance, 0.0) + 1e-5) * scale) + bias


class MBConv(nn.Module):
    """Three depthwise branches (3x3, 3x3 dilated by 2, 5x5), each activated, summed, then mixed by a 1x1."""

    @nn.compact
    def __call__(self, x):
        c = x.shape[-1]
        branches = [DepthwiseTaps(size, name=name)(c) for name, size in (("near", 3), ("dilated", 3), ("wide", 5))]
        kernels, biases = zip(*branches, strict=True)
        x = pad_reflect(x.astype(kernels[0].dtype), 2)
        return Conv(c, 1, name="mix")(depthwise(x, kernels, biases, dilations=(1, 2, 1), slope=SLOPE))


class CoordinateAttention(nn.Module):
    """Scales the image by an attention per row and one per column, both per channel."""

    reduction: int

    @nn.compact
    def __call__(self, x):
        h, _, c = x.shape
        reduced = max(8, c // self.reduction)
        # Rows first, then columns, as one [H + W, 1, C] strip: the norm sees both.
        strip = jnp.concatenate([x.mean(axis=1), x.mean(axis=0)])[:, None]
        strip = Conv(reduced, 1, use_bias=False, name="reduce")(strip)
        strip = leaky_relu(GroupNorm(4, name="norm")(strip))
        rows = jax.nn.sigmoid(Conv(c, 1, use_bias=False, name="rows")(strip[:h]))
        columns = jax.nn.sigmoid(Conv(c, 1, use_bias=False, name="columns")(strip[h:]))
        return x * rows * columns.reshape(1, -1, c)


class Linear(nn.Module):
    """Affine map of a vector [C]; ``y = x W + b``."""

    features: int

    @nn.compact
    def __call__(self, x):
        kernel = self.param("kernel", zeros, (x.shape[-1], self.features))
        x = x.astype(kernel.dtype)
        bias = self.param("bias", zeros, (self.features,))
        return jnp.matmul(x, kernel, precision=PRECISION) + bias
