"""What an incomplete set lacks, estimated from its raw photos and finished pictures (paper section B.2).

A clean raw, by a polynomial map from the finished picture; the illuminant, by the gray world; the colour matrix, by
constrained least squares. NumPy, float64 inside.
"""

import numpy as np

GAMMA = 2.2
SATURATED = 0.98
"""Values from here on, in the raw or in the finished picture, say nothing of the light that made them."""
_MOST_PIXELS = 250_000  # a regular subset of this size fits 33 numbers as well as 12 million pixels do
_FEWEST_PIXELS = 64


def polynomial_terms(linear):
    """The 11 terms (r, g, b, rg, rb, gb, r2, g2, b2, rgb, 1) of [..., 3]; [..., 11]."""
    r, g, b = np.moveaxis(np.asarray(linear), -1, 0)
    return np.stack([r, g, b, r * g, r * b, g * b, r * r, g * g, b * b, r * g * b, np.ones_like(r)], axis=-1)


def fit_polynomial_map(srgb, raw):
    """Fits the map from a finished picture to its raw photo: ``raw ≈ terms(srgb^2.2) K``, least squares.

    Pixels are left out where any channel of either picture is :data:`SATURATED`.

    Args:
      srgb: finished picture, [H, W, 3] in [0, 1], display values.
      raw: camera RGB of the same size, in [0, 1].

    Returns:
      K, float64 [11, 3], for :func:`apply_polynomial_map`. Of several that fit equally, the smallest.

    Raises:
      ValueError: for unequal shapes, or too few pixels that are not saturated.
    """
    srgb, raw = _pixels(srgb, raw)
    kept = (srgb < SATURATED).all(axis=-1) & (raw < SATURATED).all(axis=-1)
    srgb, raw = srgb[kept], raw[kept]
    if len(srgb) < _FEWEST_PIXELS:
        raise ValueError(f"expected at least {_FEWEST_PIXELS} pixels that are not saturated, got {len(srgb)}")
    stride = -(-len(srgb) // _MOST_PIXELS)
    return np.linalg.lstsq(polynomial_terms(srgb[::stride] ** GAMMA), raw[::stride], rcond=1e-10)[0]


def apply_polynomial_map(coefficients, srgb):
    """A pseudo-clean raw of a finished picture [H, W, 3]: ``clip01(terms(srgb^2.2) K)``; float32 [H, W, 3]."""
    coefficients = np.asarray(coefficients, np.float32)
    out = np.empty(np.shape(srgb), np.float32)
    for row, line in zip(out, np.asarray(srgb, np.float32), strict=True):  # all terms of 12 MP would take 0.5 GB
        row[:] = np.clip(polynomial_terms(np.clip(line, 0, 1) ** np.float32(GAMMA)) @ coefficients, 0, 1)
    return out


def gray_world(raw):
    """Illuminant of a raw photo [H, W, 3] as its mean colour; float64 [3], G = 1.

    Raises ``ValueError`` where a channel is black throughout.
    """
    mean = np.asarray(raw).reshape(-1, 3).mean(axis=0, dtype=np.float64)
    if not (mean > 0).all():
        raise ValueError(f"expected a raw photo with light in every channel, got mean colour {mean.tolist()}")
    return mean / mean[1]


def fit_ccm(white_balanced, srgb_linear):
    """Colour matrix M from white-balanced raw to linear sRGB: ``min sum |M w - s|^2``, rows summing to 1, entries >= 0.

    Each row is a convex quadratic programme on the simplex of three weights. Its minimum lies inside the simplex, on an
    edge or at a corner, so the minima over the seven faces are compared: exact, and finite for any input.

    Args:
      white_balanced: raw divided by the illuminant, [..., 3].
      srgb_linear: de-gammaed finished picture of the same shape.

    Returns:
      M, float64 [3, 3].
    """
    x, y = _pixels(white_balanced, srgb_linear)
    gram, cross = x.T @ x, x.T @ y
    rows = [_simplex_least_squares(gram, cross[:, k]) for k in range(3)]
    return np.stack(rows)


_FACES = ((0,), (1,), (2,), (0, 1), (0, 2), (1, 2), (0, 1, 2))


def _simplex_least_squares(gram, cross):
    """Minimises ``m G m / 2 - c m`` over weights m [3] >= 0 that sum to 1, for a positive semidefinite G [3, 3].

    On a face m = e_j + N t, where the columns of N are the edges from corner j: t solves ``N'GN t = N'(c - G e_j)``.
    Where that is singular, a minimum lies on a smaller face too, so that any solution of it will do.
    """
    best, lowest = None, np.inf
    for face in _FACES:
        corner, others = np.eye(3)[face[0]], face[1:]
        edges = np.eye(3)[:, others] - corner[:, None]
        weights = corner
        if others:
            step = np.linalg.lstsq(edges.T @ gram @ edges, edges.T @ (cross - gram @ corner), rcond=1e-12)[0]
            weights = corner + edges @ step
        if weights.min() < 0:
            continue
        value = weights @ gram @ weights / 2 - cross @ weights
        if value < lowest:
            best, lowest = weights, value
    return best / best.sum()


def _pixels(first, second):
    first, second = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if first.shape != second.shape or first.shape[-1] != 3:
        raise ValueError(f"expected two pictures of one shape [H, W, 3], got {first.shape} and {second.shape}")
    if not (np.isfinite(first).all() and np.isfinite(second).all()):
        raise ValueError("expected finite pictures, got NaN or infinity")
    return first.reshape(-1, 3), second.reshape(-1, 3)
