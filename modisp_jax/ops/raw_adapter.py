"""A raw photo through a curve a channel and a map of exponents, and back: what the raw-in-JPEG adapter does to pixels.

Paper section I.10.
"""

import jax
import jax.numpy as jnp

from modisp_jax.numerics import EPS, clip, clip01, power, safe_divide
from modisp_jax.resample import resize_bilinear

MOST_GAMMA = 10.0
LEAST_STEP = 1e-6
"""Of a curve between two nodes, where it is divided by on the way back."""


def curve_nodes(lut):
    """Curves [3, n] through (0, 0) and (1, 1) that never fall: ``s = cumsum(softplus(lut)); (s - s_0) / (s_n - s_0)``.

    Args:
      lut: any numbers [3, n]; clipped to [-80, 1e6]. Where all of a curve are under -23 or so, it is flat at 0.
    """
    total = jnp.cumsum(jax.nn.softplus(clip(lut, -80.0, 1e6)), axis=1)
    return clip01(safe_divide(total - total[:, :1], total[:, -1:] - total[:, :1]))


def apply_adaptation(image, lut, gamma_map):
    """Camera RGB to what JPEG keeps well: ``max(curve(x), 1e-8)^gamma``.

    Args:
      image: [H, W, 3], clipped to [0, 1].
      lut: [3, n], see :func:`curve_nodes`; read linearly at ``(n - 1) x``.
      gamma_map: exponents [h, w, 1], resized to the image (bilinear, half-pixel centres), clipped to [1e-8, 10].

    Returns:
      [H, W, 3] in [0, 1]; value and gradients finite for all finite inputs.

    Reference: arXiv 2512.08564, section I.10.
    """
    x, nodes, gamma = clip01(image), curve_nodes(lut), _exponents(gamma_map, image.shape[:2])
    return power(jnp.maximum(_per_channel(_read, x, nodes), EPS), gamma)


def undo_adaptation(processed, lut, gamma_map):
    """The inverse of :func:`apply_adaptation`: ``curve^-1(clip01(max(p, 1e-8)^(1 / gamma)))``.

    Where the curve is flat, the result is the end of that piece. The exponent 1 / gamma is at most 32.

    Args:
      processed: [H, W, 3] in [0, 1].
      lut, gamma_map: as for :func:`apply_adaptation`.

    Returns:
      Camera RGB [H, W, 3] in [0, 1].

    Reference: arXiv 2512.08564, section I.10.
    """
    nodes, gamma = curve_nodes(lut), _exponents(gamma_map, processed.shape[:2])
    v = clip01(power(jnp.maximum(processed, EPS), safe_divide(1.0, gamma)))
    return _per_channel(_read_back, v, nodes)


def _exponents(gamma_map, size):
    return clip(resize_bilinear(clip(gamma_map, -1e6, 1e6), size, align="centers"), EPS, MOST_GAMMA)


def _per_channel(function, x, nodes):
    return jnp.stack([function(x[..., k], nodes[k]) for k in range(3)], axis=-1)


def _read(x, nodes):
    """Values [...] of the curve through ``nodes`` [n] at ``x`` [...] in [0, 1]."""
    position = x * (len(nodes) - 1)
    lower = clip(position.astype(jnp.int32), 0, len(nodes) - 2)
    low, high = nodes[lower], nodes[lower + 1]
    return low + (position - lower) * (high - low)


def _read_back(v, nodes):
    """Where [...] in [0, 1] the curve through ``nodes`` [n] has the values ``v`` [...]."""
    upper = clip(jnp.searchsorted(nodes, v, side="left"), 1, len(nodes) - 1)
    low, high = nodes[upper - 1], nodes[upper]
    return clip01((upper - 1 + safe_divide(v - low, high - low, LEAST_STEP)) / (len(nodes) - 1))
