"""The bilateral solver's iteration on CPUs, see ``ops/bilateral_solver.py`` for the mathematics and the weights.

The iterate is kept in planes with a mirrored border. An update reads, for each row, the weights of the row's pairs and
the neighbouring rows, which stay in cache: half of the weights, 2 (window^2 - 1) bytes a pixel, come from memory.
"""

import jax
import jax.numpy as jnp
import numpy as np

from modisp_jax.kernels import xla
from modisp_jax.kernels.rows import fill, kernel
from modisp_jax.kernels.threads import each_band
from modisp_jax.resample import reflect_index


def iterate(target, weights, normaliser, fidelity, relaxation, *, offsets, iterations):
    """Runs ``y <- y + relaxation ((fidelity m + W y) / (fidelity + 1) - y)`` from ``y = m``, ``iterations`` times.

    Args:
      target: m [H, W, C].
      weights: a map [H + 2r, W + 2r] for each of ``offsets``, as ``bilateral_weights`` makes them.
      normaliser: [H, W].
      fidelity, relaxation: scalars.
      offsets: (dy, dx) of the half window.

    Returns:
      (solution [H, W, C], RMS of the residual at each update [iterations]).
    """
    scalars = jnp.stack([jnp.asarray(fidelity, jnp.float32), jnp.asarray(relaxation, jnp.float32)])
    shapes = (jax.ShapeDtypeStruct(target.shape, jnp.float32), jax.ShapeDtypeStruct((iterations,), jnp.float32))
    return xla.call("modisp_solve", shapes, target, normaliser, scalars, *weights, offsets=offsets)


def _solve(target, normaliser, scalars, *rest, offsets):
    *weights, out, residual = rest
    weights = np.stack(weights)
    height, width, channels = target.shape
    radius = (weights.shape[1] - height) // 2
    mirror_rows, mirror_columns = (reflect_index(n, radius, radius) for n in (height, width))
    fidelity, relaxation = scalars
    dy, dx = np.array(offsets, np.int64).reshape(-1, 2).T.copy()
    fixed = np.ascontiguousarray(target.transpose(0, 2, 1))  # [H, C, W]
    y, new = (np.empty((len(mirror_rows), channels, len(mirror_columns)), np.float32) for _ in range(2))
    inside = slice(radius, radius + height), slice(None), slice(radius, radius + width)
    y[inside] = fixed
    squares = np.zeros(height)
    for step in range(len(residual)):
        each_band(
            len(mirror_rows), lambda first, last, y=y: _mirror_columns(y, mirror_columns, radius, width, first, last)
        )
        for row, source in enumerate(mirror_rows):
            if row != source + radius:
                y[row] = y[source + radius]

        def band(first, last, y=y, new=new):
            _update(fixed, weights, normaliser, dy, dx, radius, fidelity, relaxation, y, new, first, last, squares)

        each_band(height, band)
        residual[step] = np.sqrt(squares.sum() / target.size)
        y, new = new, y
    out[...] = y[inside].transpose(0, 2, 1)


xla.register("modisp_solve", _solve)


CHUNK = 2048
"""Pixels of a row at a time: their sums stay in the first-level cache."""


@kernel
def _mirror_columns(y, mirror, radius, width, first, last):
    for row in range(first, last):
        for c in range(y.shape[1]):
            for x in range(radius):
                y[row, c, x] = y[row, c, radius + mirror[x]]
                y[row, c, radius + width + x] = y[row, c, radius + mirror[radius + width + x]]


@kernel
def _update(fixed, weights, normaliser, dy, dx, radius, fidelity, relaxation, y, new, first, last, squares):
    """One update of rows [first, last); ``squares`` gets each row's sum of squared residuals."""
    _, channels, width = fixed.shape
    total = np.empty(CHUNK, np.float32)
    one = np.float32(1)
    for row in range(first, last):
        squares[row] = 0.0
        for start in range(0, width, CHUNK):
            n = min(CHUNK, width - start)
            at = radius + start
            for c in range(channels):
                fill(np.float32(0), total, n)
                centre = y[row + radius, c, at : at + n]
                for o in range(0, len(dy), 2):  # a window has an even number of pairs
                    a, b, i, j = dy[o], dx[o], dy[o + 1], dx[o + 1]
                    _add_two_pairs(
                        weights[o, row + radius, at : at + n],
                        y[row + radius + a, c, at + b : at + b + n],
                        weights[o, row + radius - a, at - b : at - b + n],
                        y[row + radius - a, c, at - b : at - b + n],
                        weights[o + 1, row + radius, at : at + n],
                        y[row + radius + i, c, at + j : at + j + n],
                        weights[o + 1, row + radius - i, at - j : at - j + n],
                        y[row + radius - i, c, at - j : at - j + n],
                        centre,
                        total,
                        n,
                    )
                target = fixed[row, c, start : start + n]
                norm = normaliser[row, start : start + n]
                result = new[row + radius, c, at : at + n]
                change = np.float32(0)
                for p in range(n):
                    step = (fidelity * (target[p] - centre[p]) + total[p] / norm[p]) / (fidelity + one)
                    result[p] = centre[p] + relaxation * step
                    change += step * step
                squares[row] += np.float64(change)


@kernel
def _add_two_pairs(w0, y0, w1, y1, w2, y2, w3, y3, centre, total, n):
    for p in range(n):
        x = centre[p]
        total[p] += w0[p] * (y0[p] - x) + w1[p] * (y1[p] - x) + w2[p] * (y2[p] - x) + w3[p] * (y3[p] - x)
