"""Depthwise convolutions on CPUs, their sum after activation, and its gradients: ``nets/layers.depthwise``.

A few channels at a time, and as many rows as stay in cache, are copied to planes whose rows follow one another without
a gap. There a tap of a kernel is a shift of the whole plane, so that every loop runs over thousands of neighbouring
floats; what it makes of the columns beyond the border is dropped. XLA writes each tap out, and is longer at compiling
these than all other layers together.
"""

import functools

import jax
import numpy as np

from modisp_jax.kernels import xla
from modisp_jax.kernels.rows import fill, index, kernel, split
from modisp_jax.kernels.threads import cores, each

PLANES = 8
"""Channels at a time: their planes of image, gradient and result stay in the second-level cache."""

SPAN = 6144
"""Pixels of a plane at a time, about."""

LEAST = 2**16
"""Numbers of all images from which on more than one core is worth while."""


def depthwise(x, kernels, biases, *, dilations, slope):
    """The sum of activated depthwise convolutions [H, W, C] within a JAX program on the CPU; not differentiable.

    Args:
      x: [H + 2 R, W + 2 R, C], R what the widest of the convolutions reads beyond the border.
      kernels: a sequence of [k, k, C], k 3 or 5.
      biases: as many [C].
      dilations: as many numbers.
      slope: of the leaky ReLU.
    """
    radius = reach(kernels, dilations)
    shape = (x.shape[0] - 2 * radius, x.shape[1] - 2 * radius, x.shape[2])
    shape = jax.ShapeDtypeStruct(shape, x.dtype)
    options = {"dilations": list(dilations), "slope": slope}
    return xla.call("modisp_depthwise", shape, x, *kernels, *biases, batched=True, **options)


def depthwise_gradient(x, kernels, biases, dy, *, dilations, slope):
    """Gradients by x, by the kernels and by the biases of :func:`depthwise` for a gradient ``dy`` by its result."""
    n = len(kernels)
    shapes = [jax.ShapeDtypeStruct(a.shape, a.dtype) for a in (x, *kernels, *biases)]
    options = {"dilations": list(dilations), "slope": slope}
    dx, *rest = xla.call("modisp_depthwise_gradient", shapes, x, *kernels, *biases, dy, batched=True, **options)
    return dx, tuple(rest[:n]), tuple(rest[n:])


def reach(kernels, dilations):
    """Pixels that the widest of the convolutions reads beyond the border."""
    return max(len(kernel) // 2 * dilation for kernel, dilation in zip(kernels, dilations, strict=True))


def _depthwise(*buffers, dilations, slope):
    *arrays, out = buffers
    lead = out.shape[:-3]
    given = _of_images(arrays, lead, dilations)
    out = out.reshape(-1, *out.shape[-3:])
    _on_cores(lambda parts: _forward(*given, np.float32(slope), out, parts), out)


xla.register("modisp_depthwise", _depthwise)


def _depthwise_gradient(*buffers, dilations, slope):
    n = len(dilations)
    arrays, dy, (dx, *rest) = buffers[: 2 * n + 1], buffers[2 * n + 1], buffers[2 * n + 2 :]
    lead = dx.shape[:-3]
    given = _of_images(arrays, lead, dilations)
    dy, dx = xla.images(dy, lead, 3), dx.reshape(-1, *dx.shape[-3:])
    taps = given[3].shape[-1]
    sums = np.zeros((*dx.shape[::3], taps + n))
    _on_cores(lambda parts: _backward(*given, np.float32(slope), dy, dx, sums, parts), dx)
    start = 0
    for target in rest:
        count = target.shape[-2] * target.shape[-3] if start < taps else 1
        target[...] = sums[:, :, start : start + count].swapaxes(1, 2).reshape(target.shape)
        start += count


xla.register("modisp_depthwise_gradient", _depthwise_gradient)


def _of_images(arrays, lead, dilations):
    """What the loops take: images [n, H, W, C], n what ``lead`` multiplies to, sizes and dilations of the branches,
    and, of each image and channel, all taps, branch by branch, and the biases.
    """
    n = len(dilations)
    x, kernels, biases = arrays[0], arrays[1 : n + 1], arrays[n + 1 :]
    channels = x.shape[-1]
    weights = [xla.images(kernel, lead, 3).reshape(-1, kernel.shape[-2] ** 2, channels) for kernel in kernels]
    weights = np.ascontiguousarray(np.concatenate(weights, axis=1).swapaxes(1, 2))
    biases = np.stack([xla.images(bias, lead, 1) for bias in biases], axis=-1)
    sizes = np.array([kernel.shape[-2] for kernel in kernels])
    return xla.images(x, lead, 3), sizes, np.array(dilations), weights, biases


def _on_cores(work, images):
    """Calls ``work`` with (image, first channel, last channel) of parts of images [n, H, W, C], for all cores a share.

    Where there is little to do, one call does it: to hand work to another thread takes as long.
    """
    count, channels = images.shape[::3]
    shares = 1 if images.size < LEAST else cores()
    width = -(-channels // -(-shares // count))
    parts = [(i, c, min(c + width, channels)) for i in range(count) for c in range(0, channels, width)]
    each([functools.partial(work, np.array(parts[i::shares])) for i in range(min(shares, len(parts)))])


@kernel
def _join(planes, stride, image, row, rows, first, begun):
    """Writes planes [count, n] to rows of an image's channels from ``first`` on; adds them to the ``begun`` first."""
    width, channels = image.shape[1:]
    count, plane = planes.shape
    image, planes = image.reshape(-1), planes.reshape(-1)
    for r in range(rows):
        target = index((row + r) * width * channels + first)
        source = index(r * stride)
        for p in range(index(width)):
            for c in range(index(count)):
                value = planes[source + c * index(plane) + p]
                if r < begun:
                    value += image[target + p * index(channels) + c]
                image[target + p * index(channels) + c] = value


@kernel
def _add_taps(k, tap, size, step, x, at, y, n):
    """What a row of a kernel adds to a plane: ``y[p] += sum_j k[tap + j] x[at + j step + p]``."""
    n, at, step = index(n), index(at), index(step)
    b = at + step
    c = b + step
    if size == 5:
        d = c + step
        e = d + step
        k0, k1, k2, k3, k4 = k[tap], k[tap + 1], k[tap + 2], k[tap + 3], k[tap + 4]
        for p in range(n):
            y[p] += k0 * x[at + p] + k1 * x[b + p] + k2 * x[c + p] + k3 * x[d + p] + k4 * x[e + p]
    else:
        k0, k1, k2 = k[tap], k[tap + 1], k[tap + 2]
        for p in range(n):
            y[p] += k0 * x[at + p] + k1 * x[b + p] + k2 * x[c + p]


@kernel
def _add_products(g, x, at, size, step, sums, tap, n):
    """The gradient by a row of a kernel: ``sums[tap + j] += sum_p g[p] x[at + j step + p]``."""
    n, at, step = index(n), index(at), index(step)
    b = at + step
    c = b + step
    d = c + step
    e = d + step
    s0 = s1 = s2 = s3 = s4 = np.float32(0)
    if size == 5:
        for p in range(n):
            s0 += g[p] * x[at + p]
            s1 += g[p] * x[b + p]
            s2 += g[p] * x[c + p]
            s3 += g[p] * x[d + p]
            s4 += g[p] * x[e + p]
        sums[tap + 3] += s3
        sums[tap + 4] += s4
    else:
        for p in range(n):
            s0 += g[p] * x[at + p]
            s1 += g[p] * x[b + p]
            s2 += g[p] * x[c + p]
    sums[tap] += s0
    sums[tap + 1] += s1
    sums[tap + 2] += s2


@kernel
def _convolve(x, stride, inset, size, dilation, k, tap, bias, y, n):
    """One convolution of a plane; its first tap reads ``inset`` rows and pixels from the plane's start."""
    fill(bias, y, n)
    for i in range(size):
        at = (inset + i * dilation) * stride + inset
        _add_taps(k, tap + i * size, size, dilation, x, at, y, n)


@kernel
def _forward(x, sizes, dilations, weights, biases, slope, out, parts):
    for image, first, last in parts:
        _forward_part(x[image], sizes, dilations, weights[image], biases[image], slope, out[image], first, last)


@kernel
def _backward(x, sizes, dilations, weights, biases, slope, dy, dx, sums, parts):
    for i, first, last in parts:
        _backward_part(x[i], sizes, dilations, weights[i], biases[i], slope, dy[i], dx[i], sums[i], first, last)


@kernel
def _forward_part(x, sizes, dilations, weights, biases, slope, out, first, last):
    """Channels from ``first`` to ``last`` of the sum [H, W, C] for an image [H + 2 R, W + 2 R, C]."""
    height, width, _ = out.shape
    stride = x.shape[1]
    radius = (stride - width) // 2
    band = min(height, max(1, SPAN // stride))
    source = np.empty((PLANES, (band + 2 * radius) * stride), np.float32)
    totals = np.empty((PLANES, band * stride), np.float32)
    y = np.empty(band * stride, np.float32)
    for row in range(0, height, band):
        rows = min(band, height - row)
        n = rows * stride - 2 * radius
        for start in range(first, last, PLANES):
            count = min(PLANES, last - start)
            split(x, row, rows + 2 * radius, start, source[:count], 0, stride)
            for c in range(count):
                total = totals[c]
                fill(np.float32(0), total, n)
                tap = 0
                for b in range(len(sizes)):
                    size, dilation = sizes[b], dilations[b]
                    inset = radius - size // 2 * dilation
                    k, bias = weights[start + c], biases[start + c, b]
                    _convolve(source[c], stride, inset, size, dilation, k, tap, bias, y, n)
                    _add_activated(y, y, slope, total, n)
                    tap += size * size
            _join(totals[:count], stride, out, row, rows, start, 0)


@kernel
def _add_activated(y, x, slope, total, n):
    """Adds ``x``, times ``slope`` where ``y`` is negative."""
    for p in range(n):
        total[p] += x[p] if y[p] >= 0 else slope * x[p]


@kernel
def _sum(x):
    total = np.float32(0)
    for p in range(len(x)):
        total += x[p]
    return total


@kernel
def _backward_part(x, sizes, dilations, weights, biases, slope, dy, dx, sums, first, last):
    """The same channels of the gradients by the image, and of those by taps and biases, [C, taps + branches]."""
    height, width, _ = dy.shape
    stride = x.shape[1]
    radius = (stride - width) // 2
    taps = weights.shape[1]
    band = min(height, max(2 * radius, SPAN // stride))
    source = np.empty((PLANES, (band + 2 * radius) * stride), np.float32)
    given = np.zeros((PLANES, band * stride), np.float32)  # zero between rows
    back = np.empty((PLANES, (band + 2 * radius) * stride), np.float32)
    y = np.empty(band * stride, np.float32)
    margin = 2 * radius * (stride + 1)  # of zeros around a gradient, which the turned kernels reach
    g = np.zeros(band * stride + 2 * margin, np.float32)
    turned = weights[:, ::-1].copy()
    for row in range(0, height, band):
        rows = min(band, height - row)
        n = rows * stride - 2 * radius
        after = (rows + 2 * radius) * stride
        here = g[margin : margin + n]
        g[margin + n :] = 0
        for start in range(first, last, PLANES):
            count = min(PLANES, last - start)
            split(x, row, rows + 2 * radius, start, source[:count], 0, stride)
            split(dy, row, rows, start, given[:count], 0, stride)
            for c in range(count):
                plane, channel = source[c], start + c
                fill(np.float32(0), back[c], after)
                tap = 0
                for b in range(len(sizes)):
                    size, dilation = sizes[b], dilations[b]
                    inset = radius - size // 2 * dilation
                    k, bias = weights[channel], biases[channel, b]
                    _convolve(plane, stride, inset, size, dilation, k, tap, bias, y, n)
                    fill(np.float32(0), here, n)
                    _add_activated(y, given[c], slope, here, n)
                    sums[channel, taps + b] += _sum(here)
                    for i in range(size):
                        at = (inset + i * dilation) * stride + inset
                        _add_products(here, plane, at, size, dilation, sums[channel], tap + i * size, n)
                        at = margin - at - (size - 1) * dilation
                        _add_taps(turned[channel], taps - tap - (i + 1) * size, size, dilation, g, at, back[c], after)
                    tap += size * size
            _join(back[:count], stride, dx, row, rows + 2 * radius, start, 2 * radius if row else 0)
