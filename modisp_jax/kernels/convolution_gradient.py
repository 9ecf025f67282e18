"""The gradient of a convolution by its kernel, on CPUs: ``nets/layers.convolve``.

A band of rows of the image, and of the gradient by the result, is copied to one plane a channel, in which rows follow
one another with zeros in between. There a tap of the kernel is a shift of the whole plane, and its gradient a product
of two vectors of thousands of neighbouring floats. Three taps by four channels are added up at a time, as seven loads
then feed twelve products; the sums stay in registers. (XLA could compute a matrix product for each tap, but has to copy
the shifted image for each, by a loop that it compiles.)
"""

import functools

import jax
import numpy as np

from modisp_jax.kernels import xla
from modisp_jax.kernels.rows import ONE, index, kernel, split
from modisp_jax.kernels.threads import cores, each

TAPS, CHANNELS = 3, 4
"""Of which the products are added up at a time."""

SPAN = 2048
"""Pixels of a band, about: planes of four channels stay in the first-level cache."""

LEAST = 2**24
"""Products from which on more than one core is worth while."""


def kernel_gradient(x, dy, size):
    """The gradient [k, k, C, D], ``sum_p x[p + o, c] dy[p, d]`` for each offset o, within a JAX program on the CPU.

    Args:
      x: [H, W, C]; beyond the border are zeros.
      dy: [H, W, D], the gradient by the convolution's result.
      size: k, odd.
    """
    shape = jax.ShapeDtypeStruct((size, size, x.shape[-1], dy.shape[-1]), x.dtype)
    return xla.call("modisp_convolution_kernel_gradient", shape, x, dy, batched=True)


def _kernel_gradient(x, dy, out):
    *lead, size, _, inputs, outputs = out.shape
    x, dy = xla.images(x, lead, 3), xla.images(dy, lead, 3)
    count, height = x.shape[:2]
    shares = 1 if dy.size * size * size * inputs < LEAST else -(-cores() // count)
    rows = -(-height // shares)
    parts = [(image, first, min(first + rows, height)) for image in range(count) for first in range(0, height, rows)]
    # Of each part its own sums, in float64 beyond a band.
    groups = -(-outputs // CHANNELS)
    sums = np.zeros((len(parts), groups, inputs, size * size, CHANNELS))
    each([functools.partial(_add_rows, x[i], dy[i], size, *rows, s) for (i, *rows), s in zip(parts, sums, strict=True)])
    sums = sums.reshape(count, -1, *sums.shape[1:]).sum(axis=1)
    sums = sums.transpose(0, 3, 2, 1, 4).reshape(count, size * size, inputs, -1)[..., :outputs]
    out[...] = sums.reshape(out.shape)


xla.register("modisp_convolution_kernel_gradient", _kernel_gradient)


@kernel
def _add_rows(x, dy, size, begin, end, sums):
    """Adds the products of rows of ``dy`` to sums [D / 4, C, taps, 4]."""
    height, width, inputs = x.shape
    radius = size // 2
    stride = width + radius  # the zeros behind a row are also those before the next one
    rows = min(end - begin, max(1, SPAN // stride))
    # Taps are taken three at a time, also where the last do not belong to the kernel: they read on.
    source = np.zeros((inputs, (rows + 2 * radius) * stride + 2 * radius + TAPS), np.float32)
    given = np.zeros((len(sums) * CHANNELS, rows * stride), np.float32)
    for row in range(begin, end, rows):
        count = min(rows, end - row)
        above, below = min(row, radius), min(height - row - count, radius)
        source[:] = 0
        start = (radius - above) * stride + radius
        split(x, row - above, count + above + below, 0, source, start, stride)
        split(dy, row, count, 0, given[: dy.shape[2]], 0, stride)
        for group in range(len(sums)):
            g = given[group * CHANNELS : (group + 1) * CHANNELS].reshape(-1)
            for c in range(inputs):
                for tap in range(0, size * size, size):
                    for j in range(0, size, TAPS):
                        at = tap // size * stride + j
                        here = sums[group, c, tap + j : min(tap + j + TAPS, tap + size)]
                        _add_products(source[c], at, g, given.shape[1], count * stride, here)


@kernel
def _add_products(x, at, g, plane, n, sums):
    """``sums[j, d] += sum_p x[at + j + p] g[d plane + p]`` for the taps j that ``sums`` has, and four channels d."""
    n, at, b = index(n), index(at), index(plane)
    u, v = at + ONE, at + ONE + ONE
    c = b + b
    d = c + b
    a0 = a1 = a2 = a3 = b0 = b1 = b2 = b3 = c0 = c1 = c2 = c3 = np.float32(0)
    for p in range(n):
        x0, x1, x2 = x[at + p], x[u + p], x[v + p]
        g0, g1, g2, g3 = g[p], g[b + p], g[c + p], g[d + p]
        a0 += x0 * g0
        a1 += x0 * g1
        a2 += x0 * g2
        a3 += x0 * g3
        b0 += x1 * g0
        b1 += x1 * g1
        b2 += x1 * g2
        b3 += x1 * g3
        c0 += x2 * g0
        c1 += x2 * g1
        c2 += x2 * g2
        c3 += x2 * g3
    _add_four(sums[0], a0, a1, a2, a3)
    if len(sums) > 1:
        _add_four(sums[1], b0, b1, b2, b3)
    if len(sums) > 2:
        _add_four(sums[2], c0, c1, c2, c3)


@kernel
def _add_four(sums, a, b, c, d):
    sums[0] += a
    sums[1] += b
    sums[2] += c
    sums[3] += d
