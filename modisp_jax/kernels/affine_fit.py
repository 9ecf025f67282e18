"""The fit of guided upsampling on CPUs, the mathematics of ``ops/guided_upsample.py`` in one pass over the pixels.

In float64 the plain normal equations lose nothing that float32 could show: products of float32 numbers are exact, and
the rounding of their sums is 1e-9 of the ridge, where in float32 it is as large as that. So the sums of each node are
gathered once, and solved as they stand with the offset eliminated: with ``b = (sum w t - M sum w v) / (N + eps)``,

    M (sum w v v^T - sum w v (sum w v)^T / (N + eps) + eps I) = sum w t v^T - b0 (sum w v)^T + eps diag(g),
    b0 = sum w t / (N + eps),    A = [M | b].
"""

import jax
import jax.numpy as jnp
import numpy as np

from modisp_jax.kernels import xla
from modisp_jax.kernels.grid import BELOW, depth_cell, places
from modisp_jax.kernels.rows import kernel
from modisp_jax.kernels.threads import each_band

SUMS = 24
"""Numbers of a node: 1, v [3], t [3], the six of v v^T, t v^T [3, 3], and two that fill whole vectors."""

COUNT, INPUT, TARGET = 0, 1, 4


def fit(rows, columns, small_input, small_target, depth, *, nodes, ridge, gated_prior):
    """``ops.guided_upsample.fit_affine_grid`` for images [h, w, 3], to [gh, gw, gd, 3, 4].

    Args:
      rows, columns: (lower, upper, fraction) of each row and column.
      small_input, small_target: [h, w, 3].
      depth: [h, w], in nodes; the grid is continued by zeros.
      nodes: (gh, gw, gd).
      ridge: for each unit of weight.
      gated_prior: whether models are pulled towards a gain.
    """
    shape = jax.ShapeDtypeStruct((*nodes, 3, 4), jnp.float32)
    axes = (*places(rows), *places(columns))
    options = {"ridge": ridge, "gated_prior": gated_prior}
    return xla.call("modisp_fit_affine", shape, small_input, small_target, depth, *axes, **options)


def _fit(small_input, small_target, depth, top, bottom, down, left, right, across, out, ridge, gated_prior):
    total = np.zeros((*out.shape[:3], SUMS))
    parts = []

    def gather(first, last):  # only the rows of nodes that the band touches
        base = top[first]
        part = np.zeros((bottom[last - 1] + 1 - base, *total.shape[1:]))
        axes = (top - base, bottom - base, down, left, right, across)
        _gather(small_input, small_target, depth, *axes, first, last, *total.shape[1:3], part.reshape(-1, SUMS))
        parts.append((base, part))

    each_band(depth.shape[0], gather)
    for base, part in sorted(parts, key=lambda pair: pair[0]):  # in the same order whichever ends first
        total[base : base + len(part)] += part
    total = total.reshape(-1, SUMS)
    overall = np.zeros(3)
    if gated_prior:
        sums = total.sum(axis=0)
        least = ridge * (sums[COUNT] + 1)
        overall = sums[TARGET : TARGET + 3] / (sums[INPUT : INPUT + 3] + least)
    models = out.reshape(-1, 12)
    each_band(len(models), lambda first, last: _solve(total, overall, ridge, gated_prior, first, last, models))


xla.register("modisp_fit_affine", _fit)


@kernel
def _gather(source, target, depth, top, bottom, down, left, right, across, first, last, gw, gd, total):
    """Adds rows [first, last) to the sums of the nodes [.., SUMS] around each pixel."""
    one = np.float64(1)
    width = depth.shape[1]
    p = np.zeros(SUMS)
    p[0] = one
    for y in range(first, last):
        for x in range(width):
            lower, f = depth_cell(depth[y, x], gd, False)
            for c in range(3):
                p[1 + c] = np.float64(source[y, x, c])
                p[4 + c] = np.float64(target[y, x, c])
            at = 7
            for a in range(3):
                for b in range(a, 3):
                    p[at] = p[1 + a] * p[1 + b]
                    at += 1
            for a in range(3):
                for b in range(3):
                    p[at] = p[4 + a] * p[1 + b]
                    at += 1
            for corner in range(8):
                k = lower - BELOW + (corner & 1)
                if k < 0 or k >= gd:
                    continue
                weight = np.float64(f) if corner & 1 else one - np.float64(f)
                weight *= np.float64(across[x]) if corner & 2 else one - np.float64(across[x])
                weight *= np.float64(down[y]) if corner & 4 else one - np.float64(down[y])
                if weight == 0:
                    continue
                i = right[x] if corner & 2 else left[x]
                j = bottom[y] if corner & 4 else top[y]
                node = total[(j * gw + i) * gd + k]
                for c in range(SUMS):
                    node[c] += weight * p[c]


@kernel
def _solve(total, overall, ridge, gated_prior, first, last, models):
    """The models [.., 12] of nodes [first, last) by their sums."""
    gain = np.zeros(3)
    matrix = np.empty((3, 3))
    for node in range(first, last):
        sums = total[node]
        count = sums[0]
        least = ridge * (count + 1)
        whole = count + least
        for c in range(3):
            if gated_prior:
                gain[c] = overall[c] if count == 0 else sums[4 + c] / (sums[1 + c] + least)
        at = 7
        for a in range(3):
            for b in range(a, 3):
                matrix[a, b] = sums[at] - sums[1 + a] * sums[1 + b] / whole
                at += 1
        # L D L^T. No eigenvalue is below the ridge, so no pivot that rounding took there is left there.
        d0 = max(matrix[0, 0] + least, least)
        l10 = matrix[0, 1] / d0
        l20 = matrix[0, 2] / d0
        d1 = max(matrix[1, 1] + least - l10 * matrix[0, 1], least)
        rest = matrix[1, 2] - l20 * matrix[0, 1]
        l21 = rest / d1
        d2 = max(matrix[2, 2] + least - l20 * matrix[0, 2] - l21 * rest, least)
        for a in range(3):
            offset = sums[4 + a] / whole
            y0 = sums[13 + 3 * a] - offset * sums[1]
            y1 = sums[14 + 3 * a] - offset * sums[2]
            y2 = sums[15 + 3 * a] - offset * sums[3]
            if a == 0:
                y0 += least * gain[0]
            elif a == 1:
                y1 += least * gain[1]
            else:
                y2 += least * gain[2]
            y1 -= l10 * y0
            y2 -= l20 * y0 + l21 * y1
            x2 = y2 / d2
            x1 = y1 / d1 - l21 * x2
            x0 = y0 / d0 - l10 * x1 - l20 * x2
            model = models[node, 4 * a : 4 * a + 4]
            model[0] = x0
            model[1] = x1
            model[2] = x2
            model[3] = offset - (x0 * sums[1] + x1 * sums[2] + x2 * sums[3]) / whole
