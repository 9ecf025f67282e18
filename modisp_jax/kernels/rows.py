"""Rows of channel planes: the inner loops of the CPU kernels, compiled by Numba.

An image is stored as rows of planes, [H, C, stride]: a row's pixels lie side by side, channel after channel, so that
every loop below runs over neighbouring floats and vectorises, whatever the number of channels. Rows are worked on
in chunks of up to ``CHUNK`` pixels, which stay in the first-level cache from one step to the next.

Stored planes are float32, or bfloat16 as the upper half of a float32's bits (uint16); arithmetic is float32.
"""

import functools
import hashlib
from pathlib import Path

import numba
import numpy as np
from numba.extending import overload

CHUNK = 256
"""Pixels at a time: 64 planes of them fill 64 kB."""

index = np.uintp
"""What offsets are computed in where a loop's array is not a slice: a signed index might count from the end, and
Numba's test for that keeps a loop from being vectorised. Unsigned and signed do not mix: hence the constants."""

SPAN = index(CHUNK)
ZERO, ONE, TWO, THREE, FOUR, FIVE, SIX, SEVEN, EIGHT, NINE = (index(i) for i in range(10))
PAD, SHIFT = index(63), index(6)

FASTMATH = {"contract", "reassoc", "nsz", "arcp"}
"""Sums may be reordered and multiplications fused with additions; NaN and infinity keep their meaning."""


@functools.cache
def _source_stamp():
    """A hash of the kernels' sources."""
    sources = sorted(Path(__file__).parent.glob("*.py"))
    return hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()


def kernel(function):
    """Compiles a function at its first call and keeps the machine code on disk, for the next process."""
    compiled = numba.njit(nogil=True, fastmath=FASTMATH, error_model="numpy")(function)
    try:
        compiled.enable_caching()
    except RuntimeError:  # neither the package's folder nor the user's cache can be written to
        return compiled
    # Numba looks at the function's own file only, but what it calls from others is compiled into it.
    compiled._cache._cache_file._source_stamp = _source_stamp()
    return compiled


def flat(array):
    """An array as a vector of float32, as the loops take weights."""
    return np.ascontiguousarray(array, np.float32).reshape(-1)


@kernel
def copy(source, target, n):
    """Copies ``n`` values."""
    for p in range(n):
        target[p] = source[p]


def _convert(source, target, n):
    """Copies ``n`` values between float32 and the type in which planes are stored."""
    raise NotImplementedError("compiled code only")


@overload(_convert, jit_options={"fastmath": FASTMATH, "nogil": True}, inline="never")
def _convert_overload(source, target, n):
    if source.dtype == numba.uint16:

        def widen(source, target, n):
            bits = target.view(np.uint32)
            for p in range(n):
                bits[p] = np.uint32(source[p]) << np.uint32(16)

        return widen
    if target.dtype == numba.uint16:

        def narrow(source, target, n):
            bits = source.view(np.uint32)
            for p in range(n):
                # To the nearest, halves to even.
                rounding = np.uint32(0x7FFF) + ((bits[p] >> np.uint32(16)) & np.uint32(1))
                target[p] = np.uint16((bits[p] + rounding) >> np.uint32(16))

        return narrow
    return copy.py_func


@kernel
def load(stored, at, stride, planes, chunk, n):
    """Copies ``n`` pixels of each plane into a chunk, as float32."""
    for c in range(planes):
        start = at + c * stride
        _convert(stored[start : start + n], chunk[c * CHUNK : c * CHUNK + n], n)


@kernel
def store(chunk, planes, stored, at, stride, n):
    """Copies ``n`` pixels of each plane of a chunk to where planes are stored."""
    for c in range(planes):
        start = at + c * stride
        _convert(chunk[c * CHUNK : c * CHUNK + n], stored[start : start + n], n)


@kernel
def split(image, row, rows, first, planes, at, stride):
    """Copies rows of an image's channels from ``first`` on to planes [count, n], from ``at`` on, ``stride`` apart."""
    width, channels = image.shape[1:]
    count, plane = planes.shape
    image, planes = image.reshape(-1), planes.reshape(-1)
    for r in range(rows):
        source = index((row + r) * width * channels + first)
        target = index(at + r * stride)
        for p in range(index(width)):
            for c in range(index(count)):
                planes[target + c * index(plane) + p] = image[source + p * index(channels) + c]


@kernel
def fill(value, out, n):
    """Sets ``n`` values."""
    for p in range(n):
        out[p] = value


@kernel
def mix(weights, bias, inputs, outputs, x, y, n, add):
    """Matrix product over the planes of a chunk: ``y[o] = bias[o] + sum_i weights[o, i] x[i]``; added where ``add``.

    ``inputs`` a multiple of 4, ``outputs`` of 2. Two outputs by eight inputs at a time: each load feeds two products,
    and the sixteen weights stay in registers. Writes whole vectors: up to 63 pixels behind the n-th.
    """
    inputs = index(inputs)
    n = (index(n) + PAD) >> SHIFT << SHIFT
    nothing = np.float32(0)
    keep = add
    i = ZERO
    while i + EIGHT <= inputs:
        for o in range(ZERO, index(outputs), TWO):
            a = bias[o] if i == ZERO else nothing
            b = bias[o + ONE] if i == ZERO else nothing
            row = o * inputs + i
            _mix_eight(weights, row, row + inputs, a, b, x, i * SPAN, y, o * SPAN, n, keep)
        keep = True
        i += EIGHT
    if i < inputs:
        for o in range(ZERO, index(outputs), TWO):
            a = bias[o] if i == ZERO else nothing
            b = bias[o + ONE] if i == ZERO else nothing
            row = o * inputs + i
            _mix_four(weights, row, row + inputs, a, b, x, i * SPAN, y, o * SPAN, n, keep)


@kernel
def _mix_eight(w, u, v, bias_u, bias_v, x, x0, y, a, n, keep):
    """A bias and eight products for two planes, which start at ``y[a]``; the eight planes start at ``x[x0]``."""
    # In local variables: the compiler would have to reload them from an array that y might overlap.
    k0, k1, k2, k3 = w[u], w[u + ONE], w[u + TWO], w[u + THREE]
    k4, k5, k6, k7 = w[u + FOUR], w[u + FIVE], w[u + SIX], w[u + SEVEN]
    m0, m1, m2, m3 = w[v], w[v + ONE], w[v + TWO], w[v + THREE]
    m4, m5, m6, m7 = w[v + FOUR], w[v + FIVE], w[v + SIX], w[v + SEVEN]
    x1 = x0 + SPAN
    x2 = x1 + SPAN
    x3 = x2 + SPAN
    x4 = x3 + SPAN
    x5 = x4 + SPAN
    x6 = x5 + SPAN
    x7 = x6 + SPAN
    b = a + SPAN
    n = n >> SHIFT << SHIFT  # tells the compiler that no remainder is left
    if keep:
        for p in range(n):
            v0, v1, v2, v3 = x[x0 + p], x[x1 + p], x[x2 + p], x[x3 + p]
            v4, v5, v6, v7 = x[x4 + p], x[x5 + p], x[x6 + p], x[x7 + p]
            y[a + p] += bias_u + k0 * v0 + k1 * v1 + k2 * v2 + k3 * v3 + k4 * v4 + k5 * v5 + k6 * v6 + k7 * v7
            y[b + p] += bias_v + m0 * v0 + m1 * v1 + m2 * v2 + m3 * v3 + m4 * v4 + m5 * v5 + m6 * v6 + m7 * v7
    else:
        for p in range(n):
            v0, v1, v2, v3 = x[x0 + p], x[x1 + p], x[x2 + p], x[x3 + p]
            v4, v5, v6, v7 = x[x4 + p], x[x5 + p], x[x6 + p], x[x7 + p]
            y[a + p] = bias_u + k0 * v0 + k1 * v1 + k2 * v2 + k3 * v3 + k4 * v4 + k5 * v5 + k6 * v6 + k7 * v7
            y[b + p] = bias_v + m0 * v0 + m1 * v1 + m2 * v2 + m3 * v3 + m4 * v4 + m5 * v5 + m6 * v6 + m7 * v7


@kernel
def _mix_four(w, u, v, bias_u, bias_v, x, x0, y, a, n, keep):
    """The same with four products."""
    k0, k1, k2, k3 = w[u], w[u + ONE], w[u + TWO], w[u + THREE]
    m0, m1, m2, m3 = w[v], w[v + ONE], w[v + TWO], w[v + THREE]
    x1 = x0 + SPAN
    x2 = x1 + SPAN
    x3 = x2 + SPAN
    b = a + SPAN
    n = n >> SHIFT << SHIFT
    if keep:
        for p in range(n):
            v0, v1, v2, v3 = x[x0 + p], x[x1 + p], x[x2 + p], x[x3 + p]
            y[a + p] += bias_u + k0 * v0 + k1 * v1 + k2 * v2 + k3 * v3
            y[b + p] += bias_v + m0 * v0 + m1 * v1 + m2 * v2 + m3 * v3
    else:
        for p in range(n):
            v0, v1, v2, v3 = x[x0 + p], x[x1 + p], x[x2 + p], x[x3 + p]
            y[a + p] = bias_u + k0 * v0 + k1 * v1 + k2 * v2 + k3 * v3
            y[b + p] = bias_v + m0 * v0 + m1 * v1 + m2 * v2 + m3 * v3


@kernel
def normalise(planes, x, y, mean, scale, n):
    """Each pixel over its channels: ``y = (x - mean) / sqrt(variance + 1e-5)``; ``mean`` and ``scale`` are scratch."""
    share = np.float32(1.0 / planes)
    n = index(n)
    planes = index(planes)
    fill(np.float32(0), mean, n)
    fill(np.float32(0), scale, n)
    for c in range(planes):
        for p in range(n):
            mean[p] += x[c * SPAN + p]
    for p in range(n):
        mean[p] *= share
    for c in range(planes):
        for p in range(n):
            centred = x[c * SPAN + p] - mean[p]
            y[c * SPAN + p] = centred
            scale[p] += centred * centred
    for p in range(n):
        scale[p] = np.float32(1) / np.sqrt(scale[p] * share + np.float32(1e-5))
    for c in range(planes):
        for p in range(n):
            y[c * SPAN + p] *= scale[p]


@kernel
def three_by_three(k, bias, top, middle, bottom, y, n, add):
    """A bias and the nine products of a 3x3 kernel with three rows from its left taps on; added where ``add``."""
    k0, k1, k2, k3, k4, k5, k6, k7, k8 = k[0], k[1], k[2], k[3], k[4], k[5], k[6], k[7], k[8]
    if not add:
        fill(np.float32(0), y, n)
    for p in range(n):
        s = bias + k0 * top[p] + k1 * top[p + 1] + k2 * top[p + 2]
        s += k3 * middle[p] + k4 * middle[p + 1] + k5 * middle[p + 2]
        y[p] += s + k6 * bottom[p] + k7 * bottom[p + 1] + k8 * bottom[p + 2]


@kernel
def gated_depthwise(weights, bias, planes, ring, top, middle, bottom, stride, y, n):
    """3x3 depthwise convolution of ``2 planes`` planes of a ring, and the product of its halves.

    ``top``, ``middle`` and ``bottom`` are where the left taps of the first plane's three rows start in ``ring``;
    ``stride`` lies between planes. ``weights`` [2 planes, 9].
    """
    w = weights
    for c in range(index(planes)):
        d = c + index(planes)
        u = c * NINE
        v = d * NINE
        k0, k1, k2, k3, k4 = w[u], w[u + ONE], w[u + TWO], w[u + THREE], w[u + FOUR]
        k5, k6, k7, k8 = w[u + FIVE], w[u + SIX], w[u + SEVEN], w[u + EIGHT]
        m0, m1, m2, m3, m4 = w[v], w[v + ONE], w[v + TWO], w[v + THREE], w[v + FOUR]
        m5, m6, m7, m8 = w[v + FIVE], w[v + SIX], w[v + SEVEN], w[v + EIGHT]
        t = index(top) + c * index(stride)
        m = index(middle) + c * index(stride)
        b = index(bottom) + c * index(stride)
        tt = index(top) + d * index(stride)
        mm = index(middle) + d * index(stride)
        bb = index(bottom) + d * index(stride)
        bias_c = bias[c]
        bias_d = bias[d]
        at = c * SPAN
        for p in range(index(n)):
            one = bias_c + k0 * ring[t + p] + k1 * ring[t + p + ONE] + k2 * ring[t + p + TWO]
            one += k3 * ring[m + p] + k4 * ring[m + p + ONE] + k5 * ring[m + p + TWO]
            one += k6 * ring[b + p] + k7 * ring[b + p + ONE] + k8 * ring[b + p + TWO]
            two = bias_d + m0 * ring[tt + p] + m1 * ring[tt + p + ONE] + m2 * ring[tt + p + TWO]
            two += m3 * ring[mm + p] + m4 * ring[mm + p + ONE] + m5 * ring[mm + p + TWO]
            two += m6 * ring[bb + p] + m7 * ring[bb + p + ONE] + m8 * ring[bb + p + TWO]
            y[at + p] = one * two


@kernel
def gate(planes, x, y, n):
    """The product of the two halves of ``2 planes`` planes."""
    n = index(n)
    half = index(planes) * SPAN
    for c in range(index(planes)):
        a = c * SPAN
        b = a + half
        for p in range(n):
            y[a + p] = x[a + p] * x[b + p]
