"""ParamISP's networks on CPUs: ``nets/paramisp.py`` over bands of rows that stay in cache, on all cores.

Of the 96 features of a pixel 84 are soft histograms, all but a few of them zero: what a convolution makes of them is
looked up in tables of its own weights, and the features are never held for more than three rows. A block goes through
the image three times: both convolutions, for their means and maxima; mean and maximum over the channels; attention,
added in place. Full-size memory is one image of LocalNet's width, to which the way back up is added in place, 4 bytes a
channel and pixel, and as much again for a block's convolutions, where they take less than a gigabyte; where they take
more, they are computed twice.
"""

import math

import jax
import numpy as np

from modisp_jax.kernels import nafnet_rows, paramisp_rows, xla
from modisp_jax.kernels.convolution import BORDER, Planes, sigmoid, taps
from modisp_jax.kernels.rows import flat
from modisp_jax.kernels.threads import each_band
from modisp_jax.tree import flatten, unflatten

IMAGE_AND_SLOPES, HISTOGRAMS, MASK = slice(0, 9), slice(9, 93), slice(93, 96)
"""Of the features, in the order of ``paramisp.features``."""

KEPT = 2**28
"""Numbers of a block's convolutions up to which they are kept, a gigabyte; beyond, they are computed twice."""

SEEN = 2 + paramisp_rows.PLACES
"""Rows that a block sees on either side: two convolutions and attention over places."""

STRIP = 64
"""Rows whose convolutions are computed again at a time."""


def supports(config):
    """Whether the kernels take networks: they work on four channels at a time, a block on half of them."""
    return config.width % 8 == 0


def local_correction(params, image, source, added, *, config):
    """LocalNet's correction [H, W, 3] of an image within a JAX program on the CPU; not differentiable.

    Args:
      params: LocalNet's, the nested dict of arrays of ``nets/paramisp.py``, float32.
      image: [H, W, 3], sides multiples of 4.
      source: [H, W, 3] whose over-exposure is a feature.
      added: [width], what steering adds to the first convolution.
      config: a ``ParamISPConfig`` whose width is a multiple of 8.
    """
    shape = jax.ShapeDtypeStruct(image.shape, image.dtype)
    return _call("modisp_paramisp_local", shape, image, source, added, params=params, config=config)


def shrunk(params, image, source, *, config):
    """The first ``Shrink`` of GlobalNet, of an image's features: about [H / 4, W / 4, width]; arguments likewise."""
    h, w = ((n - 1) // 4 for n in image.shape[:2])
    shape = jax.ShapeDtypeStruct((h, w, config.width), image.dtype)
    return _call("modisp_paramisp_shrunk", shape, image, source, params=params, config=config)


def _call(name, shape, *arrays, params, config):
    params = flatten(params)
    options = {"names": list(params), "blocks": config.blocks, "bins": config.histograms}
    return xla.call(name, shape, *arrays, *params.values(), mask_start=config.mask_start, **options)


def _local_on_buffers(image, source, added, *buffers, names, blocks, bins, mask_start):
    *leaves, out = buffers
    params = unflatten(dict(zip(names, leaves, strict=True)))
    full = _head(params["head"], image, source, added, bins, mask_start)
    _blocks(params, "encoder0", blocks, full)
    half = _halved(params["down0"], full)
    _blocks(params, "encoder1", blocks, half)
    quarter = _halved(params["down1"], half)
    _blocks(params, "middle", blocks, quarter)
    _add_doubled(params["up1"], quarter, half)
    del quarter
    _blocks(params, "decoder1", blocks, half)
    _add_doubled(params["up0"], half, full)
    del half
    _blocks(params, "decoder0", blocks, full)
    _tail(params["tail"], full, out)


def _shrunk_on_buffers(image, source, *buffers, names, blocks, bins, mask_start):
    del blocks
    *leaves, out = buffers
    params = dict(zip(names, leaves, strict=True))
    grid, weights, table = _feature_weights(params["kernel"], bins)
    seen = image, source, np.float32(mask_start), grid, weights, flat(params["bias"]), table
    each_band(len(out), lambda *band: paramisp_rows.shrink_band(*seen, out, *band))


xla.register("modisp_paramisp_local", _local_on_buffers)
xla.register("modisp_paramisp_shrunk", _shrunk_on_buffers)


def _feature_weights(kernel, bins):
    """(grid, weights, table) of a kernel [3, 3, 96, outputs], as ``paramisp_rows`` takes them.

    All soft histograms are linear between the multiples of 1 / steps, and zero from one bin's distance beyond [0, 1].
    """
    steps = math.lcm(*(n - 1 for n in bins))
    beyond = max(steps // (n - 1) for n in bins)
    places = np.arange(-beyond, steps + beyond + 1) / steps
    outputs = kernel.shape[-1]
    table = np.zeros((3, 3, 3, len(places), outputs))  # row and column of the tap, colour
    parts = np.split(kernel[:, :, HISTOGRAMS].astype(np.float64), np.cumsum([3 * n for n in bins])[:-1], axis=2)
    for n, part in zip(bins, parts, strict=True):
        member = np.maximum(0.0, 1.0 - np.abs((n - 1) * places[:, None] - np.arange(n)))
        table += np.einsum("pb,ijcbo->ijcpo", member, part.reshape(3, 3, 3, n, outputs))
    ahead = np.diff(table, axis=3, append=0.0)
    table = np.stack([table, ahead], axis=4).transpose(1, 0, 2, 3, 4, 5)  # a column's taps side by side
    grid = np.array([steps, beyond, len(places) - 1, 2 * outputs])
    others = np.concatenate([kernel[:, :, IMAGE_AND_SLOPES], kernel[:, :, MASK]], axis=2)
    return grid, taps({"kernel": others}), flat(table)


def _edge_rows(height):
    """Which row is read as -1, 0, .. ``height``."""
    return np.clip(np.arange(-1, height + 1), 0, height - 1)


def _repeat_edges(x):
    """Repeats the first and the last pixel of each row over its border."""
    x.data[:, :, BORDER - 1] = x.data[:, :, BORDER]
    x.data[:, :, BORDER + x.width] = x.data[:, :, BORDER + x.width - 1]
    return x


def _head(params, image, source, added, bins, mask_start):
    grid, weights, table = _feature_weights(params["kernel"], bins)
    x = Planes(*image.shape[:2], len(added))
    seen = image, source, np.float32(mask_start), grid, weights, flat(params["bias"] + added), table
    each_band(x.height, lambda *band: paramisp_rows.head_band(*seen, x.data, *band))
    return _repeat_edges(x)


def _blocks(params, place, count, x):
    """A place's blocks, in place."""
    kept = np.empty_like(x.data) if count and x.data.size <= KEPT else None
    for i in range(count):
        _block(params[f"{place}_block{i}"], x, kept)


def _block(params, x, kept):
    narrow, wide = ((taps(params[name]), flat(params[name]["bias"])) for name in ("conv1", "conv2"))
    convolutions = *narrow, *wide
    rows, sums, largest = (
        _edge_rows(x.height),
        np.zeros((x.height, x.planes)),
        np.empty((x.height, x.planes), np.float32),
    )

    def convolve(first, last):
        target = np.empty((1, *x.data.shape[1:]), np.float32) if kept is None else kept
        paramisp_rows.convolutions_band(x.data, rows, *convolutions, target, sums, largest, first, last)

    each_band(x.height, convolve)
    mean = (sums.sum(axis=0) / (x.height * x.width)).astype(np.float32)
    factor = _channel_attention(params["channels"], mean, largest.max(axis=0))
    weights = np.ascontiguousarray(params["places"]["kernel"][..., 0].transpose(2, 0, 1))
    attention = factor, weights, params["places"]["bias"][0]
    if kept is None:
        _attend_in_strips(x, convolutions, attention)
    else:
        places = _places(x.height, x.width)
        each_band(x.height, lambda *band: paramisp_rows.places_band(kept, factor, places, *band))
        each_band(x.height, lambda *band: paramisp_rows.attend_band(x.data, kept, places, *attention, *band))
    _repeat_edges(x)


def _attend_in_strips(x, convolutions, attention):
    """The convolutions again, strip by strip, each replaced once what the next one sees of it is put aside."""
    edges = {}

    def prepare(first, last):  # before any band is replaced
        edges[first] = x.data[max(first - SEEN, 0) : first].copy(), x.data[last : last + SEEN].copy()

    def attend(first, last):
        above, below = edges[first]
        for top in range(first, last, STRIP):
            end = min(top + STRIP, last)
            rows = np.concatenate([above, x.data[top : min(end + SEEN, last)], below[: max(end + SEEN - last, 0)]])
            start = top - len(above)
            above = rows[max(end - SEEN - start, 0) : end - start].copy()
            _attend_strip(x, rows, start, top, end, convolutions, attention)

    each_band(x.height, attend, prepare)


def _attend_strip(x, rows, start, top, end, convolutions, attention):
    """Rows ``top`` to ``end``; ``rows`` are what they see, as they were, the first of them row ``start``."""
    y, places = np.empty_like(rows), _places(len(rows), x.width)
    sums, largest = np.zeros((len(rows), x.planes)), np.empty((len(rows), x.planes), np.float32)  # known already
    inside = _edge_rows(x.height)[start : start + len(rows) + 2] - start
    seen = max(top - paramisp_rows.PLACES, 0) - start, min(end + paramisp_rows.PLACES, x.height) - start
    paramisp_rows.convolutions_band(rows, inside, *convolutions, y, sums, largest, *seen)
    paramisp_rows.places_band(y, attention[0], places, *seen)
    target = x.data[start : start + len(rows)]
    paramisp_rows.attend_band(target, y, places, *attention, top - start, end - start)


def _places(height, width):
    """Room for mean and maximum of each pixel's channels."""
    return np.empty((height, 2, width + 2 * paramisp_rows.PLACES), np.float32)


def _channel_attention(params, mean, largest):
    """``nets.paramisp.ChannelAttention`` in NumPy."""

    def linear(name, v):
        return v @ params[name]["kernel"] + params[name]["bias"]

    def excited(v):
        hidden = linear("squeeze", v)
        return linear("excite", np.where(hidden > 0, hidden, np.expm1(np.minimum(hidden, 0))))

    return sigmoid(excited(mean) + excited(largest))


def _inner(x):
    """A flat view that begins with the first row's first pixel."""
    return x.data.reshape(-1)[BORDER:]


def _halved(params, x):
    y = Planes(x.height // 2, x.width // 2, x.planes)
    weights, bias, stride = flat(params["kernel"].reshape(4 * x.planes, -1).T), flat(params["bias"]), x.data.shape[2]
    source, target = _inner(x), _inner(y)

    def band(first, last):
        nafnet_rows.down_band(source, stride, x.planes, target, y.width, y.data.shape[2], first, last, weights, bias)

    each_band(y.height, band)
    return _repeat_edges(y)


def _add_doubled(params, x, skip):
    """Adds ``x``, doubled in size, to ``skip`` in place."""
    # [row, column, in, out] -> outputs (row, plane, column)
    weights, bias = flat(params["kernel"].transpose(0, 3, 1, 2)), flat(np.tile(np.repeat(params["bias"], 2), 2))
    source, target = _inner(x), _inner(skip)

    def band(first, last):
        nafnet_rows.up_band(
            source, x.data.shape[2], x.planes, target, x.width, skip.data.shape[2], first, last, weights, bias
        )

    each_band(x.height, band)
    _repeat_edges(skip)


def _tail(params, x, out):
    # An even number of outputs, as products take them.
    kernel = np.pad(params["kernel"], ((0, 0), (0, 0), (0, 0), (0, 1)))
    weights, bias, rows = taps({"kernel": kernel}), flat(np.append(params["bias"], 0)), _edge_rows(x.height)
    each_band(x.height, lambda *band: paramisp_rows.tail_band(x.data, rows, weights, bias, out, *band))
