"""Multilinear look-up in small tables, and the soft chroma histogram (paper sections C.6 and D).

A table with nodes along d axes is indexed by d coordinates in the axes' order: coordinate 0 runs along axis 0.
Nodes are aligned with the ends: coordinate 0 reads the first node, 1 the last. Outside, the end nodes count.
"""

import itertools

import jax
import jax.numpy as jnp
import numpy as np

from modisp_jax.numerics import EPS, clip, clip01

CHROMA_BINS = 24
CHROMA_CENTERS = np.linspace(-0.5, 0.5, CHROMA_BINS, dtype=np.float32)
CHROMA_SIGMA = 0.075
RGB_NODES = 11

_CHUNK = 2048  # pixels for which the gradient holds all table weights at once


def identity_chroma_lut():
    """The chroma LUT that changes nothing, [24, 24, 2]: (Cb, Cr) of its own nodes, Cb along axis 0."""
    return np.stack(np.meshgrid(CHROMA_CENTERS, CHROMA_CENTERS, indexing="ij"), axis=-1)


def identity_rgb_lut(nodes=RGB_NODES):
    """The colour LUT that changes nothing, [n, n, n, 3], n = 11 by default: RGB of its own nodes, R along axis 0."""
    nodes = np.linspace(0, 1, nodes, dtype=np.float32)
    return np.stack(np.meshgrid(nodes, nodes, nodes, indexing="ij"), axis=-1)


def map_chroma(lut, cbcr):
    """Looks up (Cb, Cr) [..., 2] in [-.5, .5] in a chroma LUT [n, n, 2], bilinearly. Paper section D."""
    return lookup(lut, cbcr + 0.5)


def map_rgb(lut, rgb):
    """Looks up RGB [..., 3] in [0, 1] in a colour LUT [n, n, n, 3], trilinearly. Paper section D."""
    return lookup(lut, rgb)


def lookup(lut, coordinates):
    """Multilinear look-up, ``y = sum_i w_i(x) lut[i]`` with hat weights, the nodes aligned with the ends.

    Args:
      lut: [n_1, ..., n_d, C], at least 2 nodes along each axis.
      coordinates: [..., d], clipped to [0, 1].

    Returns:
      [..., C]. The gradient with respect to ``lut`` is a sum of matrix products rather than a scatter, so it is
      deterministic and does not queue up where many pixels fall between the same nodes.
    """
    d = lut.ndim - 1
    if coordinates.shape[-1] != d:
        raise ValueError(f"expected {d} coordinates for a table of shape {lut.shape}, got {coordinates.shape[-1]}")
    flat = coordinates.reshape(-1, d)
    return _lookup(lut, clip01(flat)).reshape(*coordinates.shape[:-1], lut.shape[-1])


@jax.custom_vjp
def _lookup(lut, x):
    return _interpolate(lut, x)[0]


def _lookup_forward(lut, x):
    return _interpolate(lut, x)[0], (lut, x)


def _lookup_backward(residuals, dy):
    lut, x = residuals
    slopes = _interpolate(lut, x)[1]
    dx = jnp.stack([jnp.sum(slope * dy, axis=-1) for slope in slopes], axis=-1)
    return _lut_gradient(lut.shape, x, dy), dx


_lookup.defvjp(_lookup_forward, _lookup_backward)


def _cell(x, n):
    """Lower node and fraction of coordinates in [0, 1] along an axis of ``n`` nodes."""
    position = x * (n - 1)
    lower = jnp.clip(jnp.floor(position), 0, n - 2)
    return lower.astype(jnp.int32), position - lower


def _interpolate(lut, x):
    """Value [N, C] and its slopes along each coordinate, d arrays [N, C]."""
    *nodes, channels = lut.shape
    d = len(nodes)
    cells = [_cell(x[:, k], n) for k, n in enumerate(nodes)]
    strides = [int(np.prod(nodes[k + 1 :])) for k in range(d)]
    table = lut.reshape(-1, channels)
    value, slopes = 0.0, [0.0] * d
    for corner in itertools.product((0, 1), repeat=d):
        index = sum((cells[k][0] + corner[k]) * strides[k] for k in range(d))
        weights = [cells[k][1] if corner[k] else 1.0 - cells[k][1] for k in range(d)]
        node = jnp.take(table, index, axis=0, mode="clip")
        value = value + _product(weights)[:, None] * node
        for k in range(d):
            sign = (1.0 if corner[k] else -1.0) * (nodes[k] - 1)
            others = _product(weights[:k] + weights[k + 1 :])
            slopes[k] = slopes[k] + sign * jnp.broadcast_to(others, weights[0].shape)[:, None] * node
    return value, slopes


def _product(factors):
    result = jnp.ones(())
    for factor in factors:
        result = result * factor
    return result


def _lut_gradient(shape, x, dy):
    """Sum over pixels of hat weights times ``dy``, by chunks: [n_1, ..., n_d, C]."""
    *nodes, channels = shape
    pad = -len(x) % _CHUNK
    x = jnp.pad(x, ((0, pad), (0, 0))).reshape(-1, _CHUNK, len(nodes))
    dy = jnp.pad(dy, ((0, pad), (0, 0))).reshape(-1, _CHUNK, channels)

    def add(total, chunk):
        x, dy = chunk
        # The weights are a product over the axes: with the last axis on dy's side, neither factor is the whole table.
        weights, values = jnp.ones((_CHUNK, 1), x.dtype), dy
        for k, n in enumerate(nodes):
            hat = jnp.maximum(1.0 - jnp.abs(x[:, k, None] * (n - 1) - jnp.arange(n)), 0.0)
            if k < len(nodes) - 1:
                weights = (weights[:, :, None] * hat[:, None, :]).reshape(_CHUNK, -1)
            else:
                values = (hat[:, :, None] * dy[:, None, :]).reshape(_CHUNK, -1)
        return total + jnp.matmul(weights.T, values, precision="highest"), None

    start = jnp.zeros((int(np.prod(nodes[:-1])), nodes[-1] * channels), dy.dtype)
    return jax.lax.scan(add, start, (x, dy))[0].reshape(shape)


def chroma_histogram(cbcr):
    """Soft histogram of chroma: each pixel adds ``exp(-|CbCr - centre|^2 / (2 .075^2))`` to each of 24 x 24 bins.

    Args:
      cbcr: [..., 2], (Cb, Cr) in [-.5, .5].

    Returns:
      [24, 24], sums to 1; Cb along axis 0, Cr along axis 1. Paper section C.6.
    """
    cb, cr = cbcr[..., 0].reshape(-1, 1), cbcr[..., 1].reshape(-1, 1)
    # The Gaussian is separable, so the sum over pixels is one matrix product.
    counts = jnp.matmul(_bump(cb).T, _bump(cr), precision="highest")
    return counts / (counts.sum() + EPS)


def _bump(x):
    """Gaussian weights [N, 24] of chroma values [N, 1]."""
    # Beyond a distance of 2 the weight is 0 in float32; the clip keeps the square from overflowing.
    distance = clip(x - CHROMA_CENTERS, -2.0, 2.0)
    return jnp.exp(-jnp.square(distance) / (2 * CHROMA_SIGMA**2))
