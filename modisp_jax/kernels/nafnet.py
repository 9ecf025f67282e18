"""NAFNet on CPUs: the network of ``nets/nafnet.py`` over bands of rows that stay in cache, on all cores.

XLA runs the network layer by layer, and what it then waits for is memory: at 12 megapixels a layer of 16 channels is
768 MB. Here a block reads its image twice and writes it once. Pass one computes norm, expansion, depthwise convolution
and gate a few rows at a time, of which nothing is kept but the sums that the channel attention needs; pass two computes
them again, and all the rest of the block, and replaces the rows in place. Full-size memory is the current image and the
skips, 4 bytes a channel and pixel (2 as bfloat16); a level's first image becomes its skip, to which the way back up is
added in place.
"""

import dataclasses

import jax
import numpy as np

from modisp_jax.config import NAFNetConfig
from modisp_jax.kernels import nafnet_rows, xla
from modisp_jax.kernels.rows import flat
from modisp_jax.kernels.threads import each_band
from modisp_jax.tree import flatten, unflatten

ALIGN = 16
"""Rows are padded to a multiple of this many pixels."""

PANEL = 1024
"""Columns that a block works on at a time: three expanded rows of 16 planes then take .2 MB."""

STORED = {"float32": np.float32, "bfloat16": np.uint16}
"""How activations are stored between blocks."""


def supports(config):
    """Whether the kernels take a network: they work on four channels at a time."""
    return config.width % 4 == 0


def nafnet(params, image, strength, *, config, limits, activations):
    """``(1 - s) image + s clip(image + net(image))`` within a JAX program on the CPU; not differentiable.

    Args:
      params: the nested dict of arrays of ``nets/nafnet.py``, float32.
      image: [H, W, 3] float32.
      strength: s, a scalar.
      config: a :class:`modisp_jax.config.NAFNetConfig` whose width is a multiple of 4.
      limits: (low, high) that the restored image is clipped to, or None.
      activations: ``float32``, or ``bfloat16`` to store images between blocks in half the memory.
    """
    params = flatten(params)
    shape = jax.ShapeDtypeStruct(image.shape, image.dtype)
    options = {
        "names": list(params),
        "config": dataclasses.asdict(config),
        "limits": limits,
        "activations": activations,
    }
    # The result takes the image's place in memory, where that is not needed any more.
    return xla.call("modisp_nafnet", shape, image, strength, *params.values(), in_place=True, **options)


def _run_on_buffers(image, strength, *buffers, names, config, limits, activations):
    *leaves, out = buffers
    config = {name: tuple(value) if isinstance(value, list) else value for name, value in config.items()}
    params = unflatten(dict(zip(names, leaves, strict=True)))
    run(params, NAFNetConfig(**config), image, out, strength[()], limits, STORED[activations])


xla.register("modisp_nafnet", _run_on_buffers)


class Planes:
    """Rows of channel planes: ``data`` [height, planes, stride], of which ``width`` pixels count."""

    def __init__(self, height, width, planes, dtype):
        self.height, self.width, self.planes = height, width, planes
        self.stride = -(-width // ALIGN) * ALIGN
        self.data = np.empty((height, planes, self.stride), dtype)
        self.flat = self.data.reshape(-1)


def run(params, config, image, out, strength=1.0, limits=None, dtype=np.float32):
    """Writes the restored ``image`` to ``out``, see :func:`nafnet`; activations are stored as ``dtype``."""
    h, w = image.shape[:2]
    step = 2**config.levels
    x = Planes(h + -h % step, w + -w % step, config.width, dtype)
    _in_conv(params["in_conv"], image, x)
    skips = []
    for level, count in enumerate(config.encoder_blocks):
        for index in range(count):
            _block(params[f"encoder{level}_block{index}"], x)
        skips.append(x)
        x = _down(params[f"down{level}"], x)
    for index in range(config.middle_blocks):
        _block(params[f"middle_block{index}"], x)
    for level, count in enumerate(config.decoder_blocks):
        x = _up(params[f"up{level}"], x, skips.pop())
        for index in range(count):
            _block(params[f"decoder{level}_block{index}"], x)
    low, high = limits or (-np.inf, np.inf)
    _out_conv(params["out_conv"], x, image, out, np.float32(strength), np.float32(low), np.float32(high))


def _matrix(conv):
    """A 1x1 convolution's kernel as a matrix [outputs, inputs] in float64, and its bias."""
    return conv["kernel"][0, 0].T.astype(np.float64), conv["bias"].astype(np.float64)


def _behind_norm(conv, norm):
    """The convolution of ``scale * x + bias`` as one of x."""
    matrix, bias = _matrix(conv)
    return flat(matrix * norm["scale"]), flat(bias + matrix @ norm["bias"].astype(np.float64))


def _scaled(conv, scale, attention=1.0):
    """``scale * conv(attention * x)`` as one convolution."""
    matrix, bias = _matrix(conv)
    return flat(scale[:, None] * matrix * attention), flat(scale * bias)


def _block(params, x):
    """A NAF block in place."""
    expand1 = _behind_norm(params["expand1"], params["norm1"])
    depthwise = flat(params["depthwise"]["kernel"].reshape(9, -1).T), flat(params["depthwise"]["bias"])
    expand2 = _behind_norm(params["expand2"], params["norm2"])
    project2 = _scaled(params["project2"], params["gamma"])
    sums = np.zeros((x.height, x.planes))

    def both(project1, finish):
        weights = (*expand1, *depthwise, *project1, *expand2, *project2)
        size = (x.height, x.width, x.stride, x.planes)
        rows = x.data.reshape(x.height, -1)
        # Copied before any band is replaced.
        edges = {}

        def prepare(first, last):
            edges[first] = rows[max(first - 1, 0)].copy(), rows[min(last, x.height - 1)].copy()

        def band(first, last):
            above, below = edges[first]
            edge = (above, below, PANEL, sums.reshape(-1))
            nafnet_rows.block_band(x.flat, *size, first, last, *edge, finish, *weights)

        each_band(x.height, band, prepare)

    both(_scaled(params["project1"], params["beta"]), finish=False)
    matrix, bias = _matrix(params["attention"])
    attention = matrix @ (sums.sum(axis=0) / (x.height * x.width)) + bias
    both(_scaled(params["project1"], params["beta"], attention), finish=True)


def _in_conv(params, image, x):
    weights = flat(params["kernel"].transpose(3, 2, 0, 1))  # [row, column, in, out] -> [out, in, row, column]
    bias = flat(params["bias"])

    def band(first, last):
        size = (x.height, x.width, x.stride, x.planes)
        nafnet_rows.in_conv_band(image, x.flat, *size, first, last, weights, bias)

    each_band(x.height, band)


def _out_conv(params, x, image, out, strength, low, high):
    weights = flat(params["kernel"].transpose(3, 2, 0, 1))
    bias = flat(params["bias"])

    def band(first, last):
        size = (x.height, x.width, x.stride, x.planes)
        nafnet_rows.out_conv_band(x.flat, *size, first, last, weights, bias, image, out, strength, low, high)

    each_band(image.shape[0], band)


def _down(params, x):
    y = Planes(x.height // 2, x.width // 2, 2 * x.planes, x.data.dtype)
    weights = flat(params["kernel"].reshape(4 * x.planes, -1).T)
    bias = flat(params["bias"])

    def band(first, last):
        nafnet_rows.down_band(x.flat, x.stride, x.planes, y.flat, y.width, y.stride, first, last, weights, bias)

    each_band(y.height, band)
    return y


def _up(params, x, skip):
    """Adds the image ``x``, doubled in size, to ``skip`` in place."""
    half = x.planes // 2
    # Outputs (plane, row, column) -> (row, plane, column).
    weights = flat(params["expand"]["kernel"][0, 0].T.reshape(half, 2, 2, -1).transpose(1, 0, 2, 3))
    bias = np.zeros(2 * x.planes, np.float32)

    def band(first, last):
        nafnet_rows.up_band(x.flat, x.stride, x.planes, skip.flat, x.width, skip.stride, first, last, weights, bias)

    each_band(x.height, band)
    return skip
