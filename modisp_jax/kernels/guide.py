"""The guide network of local tone mapping on CPUs, ``GuideNet`` of ``nets/photofinish.py``.

Its cost is the last convolution, of 72 planes at full size, two thirds of which are enlarged from a half and a quarter
of the size. They are enlarged a row at a time: as planes they would be 192 bytes a pixel.
"""

import jax
import numpy as np

from modisp_jax.kernels import xla
from modisp_jax.kernels.convolution import (
    BORDER,
    CONVOLVED,
    SLOPE,
    Planes,
    around,
    convolve,
    convolve_chunk,
    coordinate_attention,
    fill_border,
    mbconv,
    normalise,
    taps,
)
from modisp_jax.kernels.rows import CHUNK, copy, kernel
from modisp_jax.kernels.threads import each_band
from modisp_jax.resample import positions, reflect_index
from modisp_jax.tree import flatten, unflatten


def guide(params, image):
    """The depth guide [h, w] of an image [h, w, 3] within a JAX program on the CPU; not differentiable."""
    params = flatten(params)
    shape = jax.ShapeDtypeStruct(image.shape[:2], image.dtype)
    return xla.call("modisp_guide", shape, image, *params.values(), names=list(params))


def _guide(image, *buffers, names):
    *leaves, out = buffers
    params = unflatten(dict(zip(names, leaves, strict=True)))
    red = np.ascontiguousarray(image[..., 0])
    low = _features(_pool(red, 4), params["low"])
    mid = _features(_pool(red, 2), params["mid"])
    high = _features(red, params["high"])
    # Where each enlarged row and column reads its plane, lower index and fraction: of low, then of mid.
    sizes = [(n, m) for x in (low, mid) for n, m in zip((x.height, x.width), red.shape, strict=True)]
    places = [place for n, m in sizes for place in positions(n, m)]
    weights = [
        taps(params["fuse"]),
        params["fuse"]["bias"],
        params["head"]["kernel"].reshape(-1),
        params["head"]["bias"][0],
    ]
    rows = reflect_index(len(red), 1, 1)

    def band(first, last):
        _fuse_band(low.data, mid.data, high.data, *places, rows, *weights, out, first, last)

    each_band(len(red), band)


xla.register("modisp_guide", _guide)


def _pool(x, factor):
    h, w = x.shape[0] // factor, x.shape[1] // factor
    return x[: h * factor, : w * factor].reshape(h, factor, w, factor).mean(axis=(1, 3), dtype=np.float32)


def _features(x, params):
    """24 planes from one at one scale."""
    plane = Planes(*x.shape, 4)  # of which three are zero: a matrix product takes four
    plane.data[...] = 0
    plane.image[:, 0] = x
    fill_border(plane)
    stem = params["stem"]
    kernel = np.zeros((3, 3, 4, stem["conv"]["kernel"].shape[-1]), np.float32)
    kernel[:, :, :1] = stem["conv"]["kernel"]
    x = convolve(plane, {"kernel": kernel, "bias": stem["conv"]["bias"]}, leaky=False)
    normalise(x, stem["norm"], 2)
    x = mbconv(x, stem["mbconv"])
    coordinate_attention(x, stem["attention"])
    x = convolve(convolve(x, params["conv1"]), params["conv2"])
    return convolve(x, params["conv3"], then=params["mix"])


@kernel
def _enlarge_row(source, lower, fraction, left, across, target, line):
    """Row ``lower + fraction`` of planes, enlarged to the width of ``target`` [C, width + 2 BORDER]."""
    height, planes, stride = source.shape
    end = stride - 2 * BORDER - 1
    upper = min(lower + 1, height - 1)
    one = np.float32(1)
    for c in range(planes):
        above = source[lower, c]
        below = source[upper, c]
        for p in range(stride):
            line[p] = (one - fraction) * above[p] + fraction * below[p]
        values = target[c, BORDER:]
        for p in range(len(left)):
            i = left[p]
            values[p] = (one - across[p]) * line[BORDER + i] + across[p] * line[BORDER + min(i + 1, end)]
        # A convolution reads one pixel beyond either end.
        width = len(left)
        target[c, BORDER - 1] = target[c, BORDER + min(1, width - 1)]
        target[c, BORDER + width] = target[c, BORDER + max(width - 2, 0)]


@kernel
def _fuse_band(
    low, mid, high, low_top, low_down, low_left, low_across, mid_top, mid_down, mid_left, mid_across,
    rows, weights, bias, head, head_bias, out, first, last,
):  # fmt: skip
    width = out.shape[1]
    planes = high.shape[1]
    ring = np.zeros((3, 3 * planes, high.shape[2]), np.float32)
    line = np.empty(high.shape[2], np.float32)
    slots = np.zeros(3, np.int64)
    x = np.zeros((3 * planes + 1) * CHUNK, np.float32)
    y = np.empty(len(bias) * CHUNK, np.float32)
    for row in range(first - 1, last + 1):
        slot = (row + 3) % 3
        source = rows[row + 1]
        _enlarge_row(low, low_top[source], low_down[source], low_left, low_across, ring[slot, :planes], line)
        _enlarge_row(
            mid, mid_top[source], mid_down[source], mid_left, mid_across, ring[slot, planes : 2 * planes], line
        )
        for c in range(planes):
            copy(high[source, c], ring[slot, 2 * planes + c], high.shape[2])
        done = row - 1
        if done < first:
            continue
        around(done, slots)
        for start in range(0, width, CONVOLVED):
            n = min(CONVOLVED, width - start)
            convolve_chunk(ring, slots, 0, start, weights, bias, x, y, n)
            for p in range(n):
                total = head_bias
                for c in range(len(bias)):
                    v = y[c * CHUNK + p]
                    total += head[c] * max(v, SLOPE * v)
                out[done, start + p] = np.tanh(total)
