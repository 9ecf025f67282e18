"""What the learned estimators of the light see of a photo: its colours and its edges' colours, counted in bins.

Bins are hard, so no gradient reaches an image through the bin that a pixel falls into, only through the pixel's
weight. A histogram is one product of two matrices of zeros and ones, one for each axis: deterministic, no scatter.
"""

import jax
import jax.numpy as jnp
import numpy as np

from modisp_jax.numerics import EPS, clip, safe_sqrt
from modisp_jax.resample import positions, resize_bilinear

BINS = 48
SIZE = (256, 384)
"""Height and width at which colours are counted, whatever the photo's size and orientation."""

LOG_CENTERS = np.linspace(-2.85, 2.85, BINS)
LOG_REACH = np.float32(5.7 / (BINS - 1))
"""A pixel counts in every bin whose centre is no farther: the two nearest along each axis."""

BRIGHTEST = 1e4
"""Where colours are clipped, far over what exposure makes of a raw photo, so that no sum of squares overflows."""


@jax.custom_vjp
def shrink(image):
    """An image [H, W, 3] at [256, 384, 3], bilinear, half-pixel centres, not filtered, clipped to [0, 1e4].

    As ``a + t (b - a)``, unlike ``resize_bilinear``: equal pixels thus stay exactly equal, while the rounding of
    ``(1 - t) a + t b`` would give a flat image edges, and edges are counted by their colour however faint they are.
    """
    (top, y), (left, x) = (positions(n, m, "centers") for n, m in zip(image.shape[:2], SIZE, strict=True))
    image = clip(image, 0.0, BRIGHTEST)
    bottom, right = np.minimum(top + 1, image.shape[0] - 1), np.minimum(left + 1, image.shape[1] - 1)

    def row(index):
        pixels = image[index]
        return _lerp(pixels[:, left], pixels[:, right], x[:, None])

    return _lerp(row(top), row(bottom), y[:, None, None])


def _lerp(a, b, t):
    return a + jnp.asarray(t, a.dtype) * (b - a)


def _shrink_backward(image, dy):
    # The same linear map; its transpose is a product of matrices there, and would be a scatter here.
    resized = lambda x: resize_bilinear(clip(x, 0.0, BRIGHTEST), SIZE, align="centers")  # noqa: E731
    return jax.vjp(resized, image)[1](dy)


shrink.defvjp(lambda image: (shrink(image), image), _shrink_backward)


def edge_image(image):
    """Mean absolute difference of each pixel of [H, W, 3] to its 8 neighbours, by channel; the border is repeated."""
    h, w = image.shape[:2]
    padded = jnp.pad(image, ((1, 1), (1, 1), (0, 0)), mode="edge")
    neighbours = [(i, j) for i in range(3) for j in range(3) if (i, j) != (1, 1)]
    return sum(jnp.abs(image - padded[i : i + h, j : j + w]) for i, j in neighbours) / 8


def log_chroma_histogram(image):
    """Histogram of ``u = log(G / R)`` and ``v = log(G / B)``, each pixel weighted by its Euclidean norm.

    Args:
      image: [H, W, 3], in [0, 1e4]. Pixels with R + G + B up to 1e-8 do not count.

    Returns:
      [48, 48], the square root of the share of the weight in each bin: v descending along axis 0, u ascending along
      axis 1, centres from -2.85 to 2.85. A pixel counts fully in 2 x 2 bins. Zero where no pixel counts.
    """
    r, g, b = (image[..., k].ravel() + EPS for k in range(3))
    u, v = (jax.lax.stop_gradient(jnp.log(g / other))[:, None] for other in (r, b))
    centers = LOG_CENTERS.astype(np.float32)
    rows, columns = jnp.abs(v - centers[::-1]) <= LOG_REACH, jnp.abs(u - centers) <= LOG_REACH
    visible = jnp.sum(image, axis=-1).ravel() > EPS
    return _share(jnp.where(visible, norms(image), 0.0), rows, columns)


def ratio_histogram(image, weights, low, high):
    """Histogram of ``R / G`` (axis 0) and ``B / G`` (axis 1) in 48 equal bins between ``low`` and ``high``.

    Args:
      image: [H, W, 3], in [0, 1e4].
      weights: of its pixels, [H W].
      low, high: bounds of R/G and B/G, [2] each; what lies outside does not count.

    Returns:
      [48, 48], the square root of the share of the weight in each bin. Zero where no pixel counts.
    """
    r, g, b = (image[..., k].ravel() for k in range(3))
    axes = []
    for x, start, end in ((r / (g + EPS), low[0], high[0]), (b / (g + EPS), low[1], high[1])):
        edges = jnp.linspace(start, end, BINS + 1)
        x = jax.lax.stop_gradient(x)[:, None]
        is_end = (x == edges[-1]) & (jnp.arange(BINS) == BINS - 1)  # the last bin has both its edges
        axes.append((x >= edges[:-1]) & (x < edges[1:]) | is_end)
    return _share(weights, *axes)


def norms(image):
    """Euclidean norm of each pixel of [H, W, 3], [H W]."""
    return safe_sqrt(jnp.sum(jnp.square(image), axis=-1)).ravel()


def _share(weights, rows, columns):
    """Square root of the share of ``weights`` [N] in each bin, [m, n]; ``rows`` [N, m], ``columns`` [N, n] are bool."""
    weighted = jnp.where(rows, weights[:, None], 0.0)
    total = jnp.matmul(weighted.T, columns.astype(weights.dtype), precision="highest")
    return safe_sqrt(total / (total.sum() + EPS))
