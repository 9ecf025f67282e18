"""ParamISP's networks on large photos, band of rows by band of rows: the same result in bounded memory.

A band is read with as many rows around it as its convolutions see; rows beyond the image are its first or last, of
every layer's input, as in ``nets.paramisp``, whose modules say what is computed. What attention needs of the whole
image, each block's means and maxima, is gathered in a pass of its own, and the block's convolutions are computed twice.
Between passes there is one image of LocalNet's width, and its halves, on the host.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from modisp_jax.nets.layers import Linear, correlate
from modisp_jax.nets.paramisp import ChannelAttention, Double, GlobalNet, Halve, Shrink, elu
from modisp_jax.paramisp.features import features
from modisp_jax.paramisp.stages import apply_global

PIXELS = 2**18
"""Of a band; its features take 96 floats each."""


def rows_of(width):
    """Rows of a band, a multiple of 16."""
    return max(16, PIXELS // width // 16 * 16)


def windows(image, rows, halo):
    """Yields (first, last, rows [last - first + 2 halo]) for bands of an image [H, ...] on the host.

    The caller may overwrite rows ``first`` to ``last`` once it has them: what the next band sees of them is kept.
    """
    height, above = len(image), None
    for first in range(0, height, rows):
        last = min(first + rows, height)
        below = image[np.clip(np.arange(first, last + halo), 0, height - 1)]
        above = np.repeat(image[:1], halo, axis=0) if first == 0 else above
        window = np.concatenate([above, below])
        above = window[len(window) - 2 * halo : len(window) - halo].copy()
        yield first, last, window


def _inside(rows, first, height):
    """Rows ``first`` .. of an image of ``height`` rows, those beyond it replaced by its first or last."""
    index = jnp.clip(first + jnp.arange(len(rows)), 0, height - 1) - first
    return jnp.take(rows, index, axis=0, mode="clip")


def _convolve(rows, params):
    """A convolution of rows whose columns repeat the edge; ``size // 2`` rows less at either end."""
    radius = params["kernel"].shape[0] // 2
    padded = jnp.pad(rows, ((0, 0), (radius, radius), (0, 0)), mode="edge")
    return correlate(padded, params["kernel"])[radius:-radius, radius:-radius] + params["bias"]


def _apply(module, params, *inputs):
    return module.apply({"params": params}, *inputs)


def _features(image, source, config):
    """Features of rows but the outer ones, which the slopes see; the mask is that of ``source``."""
    return features(image, source, config)[1:-1]


@functools.partial(jax.jit, static_argnames="config")
def _head(params, image, source, z, first, height, *, config):
    x = _convolve(_inside(_features(image, source, config), first + 1, height), params["head"])
    return x if z is None else x + _apply(Linear(config.width), params["steer"], z)


def _convolutions(params, rows, first, height):
    """A block's two convolutions, two rows less at either end."""
    hidden = _inside(elu(_convolve(rows, params["conv1"])), first + 1, height)
    return _convolve(hidden, params["conv2"])


@jax.jit
def _sums(params, rows, first, height):
    y = _convolutions(params, rows, first, height)
    return y.sum(axis=(0, 1)), y.max(axis=(0, 1))


@jax.jit
def _attention(params, mean, largest):
    return _apply(ChannelAttention(), params["channels"], mean, largest)


@jax.jit
def _block(params, factor, rows, first, height):
    y = factor * _convolutions(params, rows, first, height)
    places = _inside(jnp.stack([y.mean(axis=-1), y.max(axis=-1)], axis=-1), first + 2, height)
    return rows[5:-5] + y[3:-3] * jax.nn.sigmoid(_convolve(places, params["places"]))


@jax.jit
def _tail(params, rows):
    return _convolve(rows, params["tail"])


@jax.jit
def _halve(params, x):
    return _apply(Halve(), params, x)


@jax.jit
def _double(params, x, skip):
    return _apply(Double(), params, x) + skip


@functools.partial(jax.jit, static_argnames="config")
def _shrink(params, image, source, *, config):
    return _apply(Shrink(config.width), params["shrink0"], _features(image, source, config))


@functools.partial(jax.jit, static_argnames="config")
def _finish_global(params, x, z, *, config):
    return _apply(GlobalNet(config), params, x, z, 1)


@functools.partial(jax.jit, static_argnames="residual")
def _apply_global(coefficients, image, *, residual):
    return apply_global(coefficients, image, residual=residual)


def local_correction(params, image, source, z, config, rows=None):
    """LocalNet's correction [H, W, 3] of an image [H, W, 3] whose mask is that of ``source``; all on the host.

    Args:
      params: LocalNet's parameters.
      image, source: NumPy float32 [H, W, 3], sides multiples of 4.
      z: embedding [E] or None.
      config: a ``ParamISPConfig``.
      rows: of a band, a multiple of 4; by default what :data:`PIXELS` allow.
    """
    rows = rows_of(image.shape[1]) if rows is None else rows
    height, width = image.shape[:2]
    x = np.empty((height, width, config.width), np.float32)
    for (first, last, window), (_, _, other) in zip(windows(image, rows, 2), windows(source, rows, 2), strict=True):
        x[first:last] = _head(params, window, other, z, first - 2, height, config=config)

    def blocks(x, place):
        for i in range(config.blocks):
            _run_block(params[f"{place}_block{i}"], x, rows * height // len(x))
        return x

    full = blocks(x, "encoder0")
    half = blocks(_halved(params["down0"], full, rows), "encoder1")
    x = blocks(_halved(params["down1"], half, rows), "middle")
    _add_doubled(params["up1"], x, half, rows)
    _add_doubled(params["up0"], blocks(half, "decoder1"), full, rows)
    blocks(full, "decoder0")
    correction = np.empty(image.shape, np.float32)
    for first, last, window in windows(full, rows, 1):
        correction[first:last] = _tail(params, window)
    return correction


def _run_block(params, x, rows):
    """A block, in place."""
    height, total, largest = len(x), 0.0, -np.inf
    for first, _, window in windows(x, rows, 2):
        band_total, band_largest = _sums(params, window, first - 2, height)
        total = total + np.asarray(band_total, np.float64)
        largest = np.maximum(largest, band_largest)
    mean = (total / (height * x.shape[1])).astype(np.float32)
    factor = _attention(params, mean, largest)
    for first, last, window in windows(x, rows, 5):
        x[first:last] = _block(params, factor, window, first - 5, height)


def _halved(params, x, rows):
    found = np.empty((len(x) // 2, x.shape[1] // 2, x.shape[2]), np.float32)
    for first in range(0, len(x), rows):
        found[first // 2 : (first + rows) // 2] = _halve(params, x[first : first + rows])
    return found


def _add_doubled(params, x, skip, rows):
    """Adds an image, doubled, to another in place."""
    for first in range(0, len(skip), rows):
        part = slice(first, first + rows)
        skip[part] = _double(params, x[first // 2 : (first + rows) // 2], skip[part])


def global_coefficients(params, image, source, z, config, rows=None):
    """GlobalNet's coefficients [S, 39] of an image; arguments as of :func:`local_correction`."""
    rows = rows_of(image.shape[1]) if rows is None else rows
    height, width = image.shape[:2]
    pooled = np.empty((height // 4 - 1, (width - 1) // 2 // 2, config.width), np.float32)
    for first in range(0, 4 * len(pooled), rows):
        last = min(first + rows, 4 * len(pooled))
        # A pooled row sees five rows, and the slopes one more at either end.
        index = np.clip(np.arange(first - 1, last + 2), 0, height - 1)
        pooled[first // 4 : last // 4] = _shrink(params, image[index], source[index], config=config)
    return _finish_global(params, pooled, z, config=config)


def globally(coefficients, image, config, rows=None):
    """The image after GlobalNet's stages, in place."""
    rows = rows_of(image.shape[1]) if rows is None else rows
    for first in range(0, len(image), rows):
        part = slice(first, first + rows)
        image[part] = _apply_global(coefficients, image[part], residual=config.residual)
    return image
