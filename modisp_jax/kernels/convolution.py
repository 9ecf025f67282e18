"""Small convolution networks over bands of rows: layers from planes to planes, compiled by Numba.

Planes are [H, C, stride] float32 with ``BORDER`` pixels on either side of each row, which hold the mirrored image, so
that a layer reads beyond the border like inside; rows beyond the border are read at their mirror image.
"""

import numpy as np

from modisp_jax.kernels.rows import CHUNK, copy, fill, flat, kernel, mix
from modisp_jax.kernels.threads import each_band
from modisp_jax.resample import reflect_index

BORDER = 2
"""Pixels: what the widest layer reads beyond the border."""

CONVOLVED = CHUNK - 64
"""Pixels of a chunk that a convolution makes: it reads a few more, and ``mix`` rounds up to 64."""

SLOPE = np.float32(0.01)
"""Of the leaky ReLU."""

EPSILON = 1e-5
"""Of the group norms."""


class Planes:
    """Rows of channel planes: ``data`` [height, planes, stride], pixel x of a row at ``BORDER + x``."""

    def __init__(self, height, width, planes):
        self.height, self.width, self.planes = height, width, planes
        self.data = np.empty((height, planes, width + 2 * BORDER), np.float32)

    @property
    def image(self):
        """The planes without their border, [height, planes, width]."""
        return self.data[:, :, BORDER:-BORDER]


def fill_border(x):
    """Mirrors each row over its ends."""
    columns = reflect_index(x.width, BORDER, BORDER)
    x.data[:, :, :BORDER] = x.data[:, :, BORDER + columns[:BORDER]]
    x.data[:, :, -BORDER:] = x.data[:, :, BORDER + columns[-BORDER:]]


def convolve(x, conv, *, leaky=True, then=None):
    """3x3 convolution [3, 3, C, D], leaky ReLU where ``leaky``, then a 1x1 convolution where ``then`` is one."""
    weights, bias = taps(conv), flat(conv["bias"])
    y = Planes(x.height, x.width, len(bias))
    mixed, mixed_bias = (taps(then), flat(then["bias"])) if then else (np.empty(0, np.float32), bias)
    rows = reflect_index(x.height, 1, 1)

    def band(first, last):
        _convolve_band(x.data, rows, weights, bias, leaky, mixed, mixed_bias, y.data, first, last)

    each_band(x.height, band)
    fill_border(y)
    return y


def normalise(x, norm, groups):
    """Group norm over the whole image and leaky ReLU, in place."""
    sums = np.zeros((x.height, x.planes, 2))
    each_band(x.height, lambda first, last: _sums_band(x.data, x.width, sums, first, last))
    # In float64, where mean of squares less square of mean does not cancel.
    mean, square = (sums.sum(axis=0) / (x.height * x.width)).reshape(groups, -1, 2).mean(axis=1).T
    scale = np.repeat(1 / np.sqrt(square - mean * mean + EPSILON), x.planes // groups) * norm["scale"]
    shift = norm["bias"] - np.repeat(mean, x.planes // groups) * scale
    scale, shift = scale.astype(np.float32), shift.astype(np.float32)
    each_band(x.height, lambda first, last: _normalise_band(x.data, scale, shift, first, last))


def mbconv(x, params):
    """Three depthwise branches, each activated, summed, then a 1x1 convolution."""
    near, dilated, wide = (flat(params[n]["kernel"].reshape(-1, x.planes).T) for n in ("near", "dilated", "wide"))
    biases = np.stack([params[n]["bias"] for n in ("near", "dilated", "wide")], 1)
    rows = reflect_index(x.height, BORDER, BORDER)
    y = Planes(x.height, x.width, x.planes)
    weights, bias = taps(params["mix"]), flat(params["mix"]["bias"])

    def band(first, last):
        _mbconv_band(x.data, rows, near, dilated, wide, biases, weights, bias, y.data, first, last)

    each_band(x.height, band)
    return y


def coordinate_attention(x, params):
    """Scales by an attention per row and one per column, in place."""
    image = x.image
    strip = np.concatenate([image.mean(axis=2, dtype=np.float64), image.mean(axis=0, dtype=np.float64).T])
    strip = strip @ params["reduce"]["kernel"][0, 0].astype(np.float64)
    grouped = strip.reshape(len(strip), 4, -1)
    grouped = grouped - grouped.mean(axis=(0, 2), keepdims=True)
    strip = (grouped / np.sqrt(np.square(grouped).mean(axis=(0, 2), keepdims=True) + EPSILON)).reshape(strip.shape)
    strip = strip * params["norm"]["scale"] + params["norm"]["bias"]
    strip = np.where(strip >= 0, strip, SLOPE * strip)
    rows = sigmoid(strip[: x.height] @ params["rows"]["kernel"][0, 0])
    columns = np.ascontiguousarray(sigmoid(strip[x.height :] @ params["columns"]["kernel"][0, 0]).T)
    each_band(x.height, lambda first, last: _scale_band(x.data, rows, columns, first, last))
    fill_border(x)


def sigmoid(x):
    """``1 / (1 + exp(-x))``, 0 where the exponential is more than a float32."""
    with np.errstate(over="ignore"):
        return (1 / (1 + np.exp(-x))).astype(np.float32)


def taps(conv):
    """A kernel [k, k, in, out] as a matrix [out, in] for each tap, flat."""
    return flat(conv["kernel"].transpose(0, 1, 3, 2))


@kernel
def _leak(planes, x, n):
    for c in range(planes):
        values = x[c * CHUNK : c * CHUNK + n]
        for p in range(n):
            values[p] = max(values[p], SLOPE * values[p])


@kernel
def around(row, slots):
    """Which rows of a ring of three hold those above, at and below an image's ``row``; row r is in r modulo 3."""
    for i in range(3):
        slots[i] = (row + 2 + i) % 3


@kernel
def convolve_chunk(source, rows, row, start, weights, bias, x, y, n):
    """``n`` pixels from ``start`` of a 3x3 convolution: ``y`` [D, CHUNK]; ``rows`` holds the three source rows."""
    planes = source.shape[1]
    outputs = len(bias)
    size = outputs * planes
    nothing = np.zeros(outputs, np.float32)
    for i in range(3):
        for c in range(planes):
            at = BORDER - 1 + start
            copy(source[rows[row + i], c, at : at + n + 2], x[c * CHUNK : c * CHUNK + n + 2], n + 2)
        for j in range(3):
            k = (3 * i + j) * size
            tap = i + j > 0
            mix(weights[k : k + size], nothing if tap else bias, planes, outputs, x[j:], y, n, tap)


@kernel
def _convolve_band(source, rows, weights, bias, leaky, mixed, mixed_bias, target, first, last):
    width = source.shape[2] - 2 * BORDER
    planes, outputs = source.shape[1], target.shape[1]
    x = np.zeros((planes + 1) * CHUNK, np.float32)
    y = np.empty(outputs * CHUNK, np.float32)
    z = np.empty(outputs * CHUNK, np.float32)
    for row in range(first, last):
        for start in range(0, width, CONVOLVED):
            n = min(CONVOLVED, width - start)
            convolve_chunk(source, rows, row, start, weights, bias, x, y, n)
            if leaky:
                _leak(outputs, y, n)
            result = y
            if len(mixed) > 0:
                mix(mixed, mixed_bias, outputs, outputs, y, z, n, False)
                result = z
            for c in range(outputs):
                copy(result[c * CHUNK :], target[row, c, BORDER + start :], n)


@kernel
def _sums_band(data, width, sums, first, last):
    for row in range(first, last):
        for c in range(data.shape[1]):
            values = data[row, c, BORDER : BORDER + width]
            total = 0.0
            square = 0.0
            for p in range(width):
                v = np.float64(values[p])
                total += v
                square += v * v
            sums[row, c, 0] = total
            sums[row, c, 1] = square


@kernel
def _normalise_band(data, scale, shift, first, last):
    for row in range(first, last):
        for c in range(data.shape[1]):
            values = data[row, c]
            for p in range(len(values)):
                v = values[p] * scale[c] + shift[c]
                values[p] = max(v, SLOPE * v)


@kernel
def _add_branch(source, rows, k, size, dilation, bias, start, y, branch, n, c, row):
    """Adds an activated depthwise branch of plane ``c`` to ``y``; ``rows`` holds the five source rows."""
    fill(bias, branch, n)
    reach = size // 2 * dilation
    for i in range(size):
        line = source[rows[row + BORDER - reach + i * dilation], c, BORDER - reach + start :]
        for j in range(size):
            weight = k[size * i + j]
            tap = line[j * dilation :]
            for p in range(n):
                branch[p] += weight * tap[p]
    for p in range(n):
        y[p] += max(branch[p], SLOPE * branch[p])


@kernel
def _mbconv_band(source, rows, near, dilated, wide, biases, weights, bias, target, first, last):
    width = source.shape[2] - 2 * BORDER
    planes = source.shape[1]
    x = np.empty(planes * CHUNK, np.float32)
    y = np.empty(planes * CHUNK, np.float32)
    branch = np.empty(CHUNK, np.float32)
    for row in range(first, last):
        for start in range(0, width, CHUNK):
            n = min(CHUNK, width - start)
            for c in range(planes):
                values = x[c * CHUNK : (c + 1) * CHUNK]
                fill(np.float32(0), values, n)
                _add_branch(source, rows, near[9 * c :], 3, 1, biases[c, 0], start, values, branch, n, c, row)
                _add_branch(source, rows, dilated[9 * c :], 3, 2, biases[c, 1], start, values, branch, n, c, row)
                _add_branch(source, rows, wide[25 * c :], 5, 1, biases[c, 2], start, values, branch, n, c, row)
            mix(weights, bias, planes, planes, x, y, n, False)
            for c in range(planes):
                copy(y[c * CHUNK :], target[row, c, BORDER + start :], n)


@kernel
def _scale_band(data, rows, columns, first, last):
    width = columns.shape[1]
    for row in range(first, last):
        for c in range(data.shape[1]):
            values = data[row, c, BORDER : BORDER + width]
            along = columns[c]
            for p in range(width):
                values[p] *= rows[row, c] * along[p]
