"""Separable filters of one plane [H, W], a Gaussian or a box along both axes, and the guided filter made of them.

Along rows a filter is a matrix product over blocks of the row: ``(BLOCK + k) / k`` times the operations, at the speed
of matrix products, with no intermediate larger than the plane by more than ``k / BLOCK``. Along columns few taps are
added up shift by shift. Both are linear, with a transpose that needs no scatter. The compiler fuses sums of shifts
into whatever uses them: two in a row would compute the first anew for every tap of the second, but for the product
between them.
"""

import math

import jax.numpy as jnp
import numpy as np

from modisp_jax.numerics import clip01
from modisp_jax.resample import pad_reflect

FEW_TAPS = 31
BLOCK = 128

GAUSSIAN_3 = np.exp(np.float32([-0.5, 0.0, -0.5])) / np.exp(np.float32([-0.5, 0.0, -0.5])).sum()
"""A Gaussian of sigma 1 cut to three taps."""


def gaussian_taps(sigma, radius):
    """``exp(-i^2 / (2 sigma^2))`` for ``|i| <= radius``, summing to 1, [2 radius + 1]; sigma may be traced, > 0."""
    offsets = jnp.arange(-radius, radius + 1, dtype=jnp.float32)
    taps = jnp.exp(-0.5 * (offsets / sigma) ** 2)
    return taps / taps.sum()


def window(sigma):
    """A Gaussian of static sigma, at least .7, cut at 2.5 sigma."""
    sigma = max(0.7, sigma)
    return gaussian_taps(sigma, round(2.5 * sigma))


def guided_by_itself(plane, taps, noise):
    """Smooths [H, W], of values in [0, 1], where it varies by no more than ``noise(mean)``, a variance; keeps edges.

    ``a x + b`` with ``a = var / (var + noise)``, ``b = (1 - a) mean``, mean and var over the window of ``taps`` [k],
    and a and b averaged over it once more. Reference: He et al., "Guided Image Filtering", 2013.
    """
    mean = filter_reflect(plane, taps)
    variance = clip01(filter_reflect(plane * plane, taps) - mean * mean)
    slope = variance / (variance + noise(clip01(mean)))
    return filter_reflect(slope, taps) * plane + filter_reflect((1.0 - slope) * mean, taps)


def blur3(padded):
    """Filters [H + 2, W + 2, ...] with GAUSSIAN_3 along both axes to [H, W, ...], in one pass."""
    h, w = padded.shape[0] - 2, padded.shape[1] - 2
    shifts = [(i, j) for i in range(3) for j in range(3)]
    return sum(GAUSSIAN_3[i] * GAUSSIAN_3[j] * padded[i : i + h, j : j + w] for i, j in shifts)


def filter_reflect(plane, taps):
    """Filters [H, W] with ``taps`` [k], k odd, along both axes; the border is mirrored without repeating the edge."""
    return filter_valid(pad_reflect(plane[..., None], len(taps) // 2)[..., 0], taps)


def filter_zero(plane, taps):
    """The same with zeros beyond the border."""
    return filter_valid(jnp.pad(plane, len(taps) // 2), taps)


def filter_valid(padded, taps):
    """Filters [H + k - 1, W + k - 1] with ``taps`` [k] along both axes to [H, W]."""
    rows = _by_blocks(padded, taps)
    if len(taps) <= FEW_TAPS:
        return sum(taps[i] * rows[i : i + rows.shape[0] - len(taps) + 1] for i in range(len(taps)))
    return _by_blocks(rows.T, taps).T


def _by_blocks(x, taps):
    """Filters along the last axis: each block of outputs is a product of its inputs with a banded matrix."""
    halo = len(taps) - 1
    block = max(BLOCK, halo)
    rows, size = x.shape[0], x.shape[1] - halo
    count = math.ceil(size / block)
    x = jnp.pad(x, ((0, 0), (0, (count + 1) * block - x.shape[1]))).reshape(rows, count + 1, block)
    seen = jnp.concatenate([x[:, :-1], x[:, 1:, :halo]], axis=-1)
    tap = jnp.arange(block + halo)[:, None] - jnp.arange(block)
    band = jnp.where((tap >= 0) & (tap <= halo), jnp.take(taps, tap, mode="clip"), 0.0)
    out = jnp.einsum("rci,io->rco", seen, band, precision="highest")
    return out.reshape(rows, count * block)[:, :size]
