"""Guided upsampling in float64 NumPy, written from the definition and with no regard to speed.

What ``benchmarks/guided_upsample.py`` measures errors against and ``tests/ops/test_guided_upsample.py`` tests with.
It shares no code and no rearrangement with ``modisp_jax.ops.guided_upsample``: pixels are scattered to their eight
nodes, and the 4 x 4 normal equations are solved as they stand.
"""

import numpy as np

LUMA = np.array([0.2989, 0.5870, 0.1140])
RIDGE = 1e-7
DEPTH = 16


def guided_upsample(small_input, small_target, full_input, *, gated_prior=True):
    """[h, w, 3], [h, w, 3], [H, W, 3] -> [H, W, 3] float64, not clipped."""
    return apply(fit(small_input, small_target, gated_prior=gated_prior), full_input)


def fit(small_input, small_target, *, gated_prior=True):
    """The models [gh, gw, 16, 3, 4] of nodes, ``A (S + eps I) = T + eps [diag(gain) | 0]``."""
    shape, s, t = moments(np.asarray(small_input, np.float64), np.asarray(small_target, np.float64))
    return solve(shape, s, t, gated_prior=gated_prior)


def moments(v, t):
    """Grid size, ``S`` [n, 4, 4] and ``T`` [n, 3, 4] of float64 images ``v``, ``t`` [h, w, 3]."""
    h, w = v.shape[:2]
    shape = (max(1, round(h / 16)), max(1, round(w / 16)), DEPTH)
    n = int(np.prod(shape))
    v1 = np.concatenate([v, np.ones((h, w, 1))], -1)
    both = np.concatenate([v1, t], -1)
    sums = np.zeros((n, 7, 4))
    for node, weight in _corners(v @ LUMA, shape):
        for a in range(7):
            for b in range(4):
                sums[:, a, b] += np.bincount(node.ravel(), (weight * both[..., a] * v1[..., b]).ravel(), n)
    return shape, sums[:, :4], sums[:, 4:]


def solve(shape, s, t, *, gated_prior=True):
    """The models from the moments, whatever precision those were summed in."""
    s, t = np.asarray(s, np.float64), np.array(t, np.float64)
    count = s[:, 3, 3]
    eps = RIDGE * (count + 1)
    if gated_prior:
        gain = t[:, :, 3] / (s[:, :3, 3] + eps[:, None])
        overall = t[:, :, 3].sum(0) / (s[:, :3, 3].sum(0) + RIDGE * (count.sum() + 1))
        gain = np.where(count[:, None] == 0, overall, gain)
        t[:, range(3), range(3)] += eps[:, None] * gain
    models = np.linalg.solve(s + eps[:, None, None] * np.eye(4), t.transpose(0, 2, 1)).transpose(0, 2, 1)
    return models.reshape(*shape, 3, 4)


def apply(grid, full_input):
    """Slices ``grid`` at each pixel's luma, 0 outside, and applies the models."""
    v = np.asarray(full_input, np.float64)
    flat = np.asarray(grid, np.float64).reshape(-1, 12)
    model = sum(weight[..., None] * flat[node] for node, weight in _corners(v @ LUMA, grid.shape[:3]))
    model = model.reshape(*v.shape[:2], 3, 4)
    return np.einsum("yxab,yxb->yxa", model[..., :3], v) + model[..., 3]


def _corners(guide, shape):
    """The eight flat node indices [h, w] and weights [h, w] of each pixel."""
    (h, w), (gh, gw, gd) = guide.shape, shape
    y = ((np.arange(h) + 0.5) * (gh - 1) / h)[:, None]
    x = ((np.arange(w) + 0.5) * (gw - 1) / w)[None]
    z = guide * (gd - 1)
    for dy in (0, 1):
        for dx in (0, 1):
            for dz in (0, 1):
                j, i, k = np.floor(y) + dy, np.floor(x) + dx, np.floor(z) + dz
                weight = (1 - np.abs(y - j)) * (1 - np.abs(x - i)) * (1 - np.abs(z - k))
                exists = (j < gh) & (i < gw) & (k >= 0) & (k < gd)
                j, i, k = (np.clip(a, 0, n - 1).astype(int) for a, n in ((j, gh), (i, gw), (k, gd)))
                yield (j * gw + i) * gd + k, np.where(exists, weight, 0.0)
