"""Classical denoising of luma and chroma on the full-size linear picture, as published (paper section I) and ours.

Published, the radii jump with the strengths, luma is smoothed as much in shadows as in light although noise grows
with light, chroma bleeds over edges and fades at the frame. Ours has radii that the size alone decides, expects the
noise of a sensor, guides chroma by luma and mirrors the border.
"""

import jax
import jax.numpy as jnp
import numpy as np

from modisp_jax.color import YCBCR_TO_RGB, apply_matrix, rgb_to_ycbcr, ycbcr_to_rgb
from modisp_jax.numerics import clip01, mix
from modisp_jax.ops.gamut import into_gamut
from modisp_jax.ops.separable import filter_reflect, filter_zero, gaussian_taps
from modisp_jax.ops.skip import unless_zero
from modisp_jax.resample import resize_bilinear

LUMA_SIDE = 1 / 1200
"""Standard deviation of our luma window, in parts of the shorter side."""
CHROMA_SIDE = 1 / 250
"""The same for chroma, whose noise is coarser and whose detail is less missed."""
CHROMA_PIXELS = 4
"""Chroma's models are fitted on means of up to this many pixels a side."""
LUMA_NOISE = 0.07**2
"""Noise that luma strength 1 expects, as variance over light: a standard deviation of .03 at mid grey."""
CHROMA_NOISE = 0.02**2
"""The same for chroma's guide: variation of luma under this does not count as an edge."""
DARK = 0.01
"""Light at which the noise that does not come from light equals the one that does."""


@unless_zero
def denoise_luma_chroma(linear, luma, chroma):
    """Smooths luma where it varies no more than noise would, and chroma where luma has no edge.

    Luma: a guided filter guided by itself, ``Y' = a Y + b`` with ``a = var / (var + noise)``, ``b = (1 - a) mean``,
    both averaged over the window, and ``noise = .0049 (.2 + .8 luma)^2 (mean + .01)``, which grows with light as a
    sensor's does. Chroma: ``C' = a Y' + b``, fitted in the same way with a fixed noise. Windows are Gaussian, their
    size that of the picture's shorter side / 1200 and / 250. Each is mixed in by ``s (1.5 - .5 s)``. Smooth in the
    strengths; the border is mirrored.

    Args:
      linear: linear sRGB [H, W, 3] in [0, 1].
      luma, chroma: scalars in [0, 1]; both 0 is the identity, bit by bit.

    Returns:
      [H, W, 3] in [0, 1]; what would leave that range moves towards grey. Reference: He et al., "Guided Image
      Filtering", 2013; the noise model and the rest are ours.
    """
    linear = clip01(linear)
    before = rgb_to_ycbcr(linear)
    y = _smooth_luma(before[..., 0], clip01(luma))
    after = _smooth_chroma(jnp.concatenate([y[..., None], before[..., 1:]], axis=-1), clip01(chroma))
    # The change of RGB, not RGB anew: published matrices are no exact inverses of each other.
    return into_gamut(linear + apply_matrix(YCBCR_TO_RGB, after - before))


def _ease(strength):
    """The share of the smoothed picture: five eighths at a half; with a slope at 0 and at 1."""
    return strength * (1.5 - 0.5 * strength)


def _window(sigma):
    sigma = max(0.7, sigma)
    return gaussian_taps(sigma, round(2.5 * sigma))


@unless_zero
def _smooth_luma(y, strength):
    taps = _window(LUMA_SIDE * min(y.shape))
    mean = filter_reflect(y, taps)
    variance = clip01(filter_reflect(y * y, taps) - mean * mean)
    noise = LUMA_NOISE * (0.2 + 0.8 * strength) ** 2 * (clip01(mean) + DARK)
    slope = variance / (variance + noise)
    smooth = filter_reflect(slope, taps) * y + filter_reflect((1.0 - slope) * mean, taps)
    return mix(y, smooth, _ease(strength))


@unless_zero
def _smooth_chroma(ycbcr, strength):
    return jnp.concatenate(
        [ycbcr[..., :1], mix(ycbcr[..., 1:], _guided_chroma(ycbcr[..., 0], ycbcr[..., 1:]), _ease(strength))], axis=-1
    )


def _guided_chroma(y, tints):
    """Chroma [H, W, 2] from linear models of luma, fitted on a smaller picture and applied to full-size luma."""
    h, w = y.shape
    factor = max(1, min(CHROMA_PIXELS, min(h, w) // 64))
    small = _shrink(jnp.concatenate([y[..., None], tints], axis=-1), factor)
    taps = _window(CHROMA_SIDE * min(h, w) / factor)
    smooth = lambda plane: filter_reflect(plane, taps)  # noqa: E731
    guide = small[..., 0]
    mean = smooth(guide)
    variance = clip01(smooth(guide * guide) - mean * mean)
    spread = variance + CHROMA_NOISE * (clip01(mean) + DARK)
    models = []
    for i in (1, 2):
        tint = smooth(small[..., i])
        slope = (smooth(guide * small[..., i]) - mean * tint) / spread
        models += [smooth(slope), smooth(tint - slope * mean)]
    models = _grow(jnp.stack(models, axis=-1), (h, w), factor)
    return models[..., 0::2] * y[..., None] + models[..., 1::2]


def _shrink(x, factor):
    """Means over ``factor`` x ``factor`` pixels of [H, W, C]; the last block repeats the edge where it must."""
    h, w, c = x.shape
    x = jnp.pad(x, ((0, -h % factor), (0, -w % factor), (0, 0)), mode="edge")
    return x.reshape(x.shape[0] // factor, factor, x.shape[1] // factor, factor, c).mean(axis=(1, 3))


def _grow(x, size, factor):
    """The way back to [*size, C], linear between the blocks' centres."""
    full = (x.shape[0] * factor, x.shape[1] * factor)
    return resize_bilinear(x, full, align="centers")[: size[0], : size[1]]


PUBLISHED_LUMA_RADIUS = 12
"""Largest radius of the published luma filter, at strength 1."""


@unless_zero
def published_denoise_luma_chroma(linear, luma, chroma):
    """Luma by a self-guided box filter, chroma by a Gaussian, as published.

    Luma, of strength s: radius ``int(2 + 10 s)``, the box shrinking at the border, ``eps = (.001 + .03 s)^2``, mixed
    in by s. Chroma, of strength s: ``sigma = (3 + 12 s)(H / 3000)^.9``, radius ``round(3 sigma)``, zeros beyond the
    border, twice where s > .4, mixed in by ``s^1.5``.

    The gradient is that of the filter as it is: none through the radii, which are whole numbers.

    Args:
      linear: linear sRGB [H, W, 3] in [0, 1].
      luma, chroma: scalars in [0, 1]; both 0 is the identity.

    Returns:
      [H, W, 3] in [0, 1]. Reference: arXiv 2512.08564, section I.
    """
    return clip01(ycbcr_to_rgb(published_denoise_ycbcr(rgb_to_ycbcr(linear), luma, chroma)))


def published_denoise_ycbcr(ycbcr, luma, chroma):
    """:func:`published_denoise_luma_chroma` of (Y, Cb, Cr) [H, W, 3]; not clipped."""
    luma, chroma = clip01(jnp.asarray(luma, ycbcr.dtype)), clip01(jnp.asarray(chroma, ycbcr.dtype))
    y = mix(ycbcr[..., 0], _published_luma(ycbcr[..., 0], luma), luma)
    share = chroma * jnp.sqrt(jnp.where(chroma > 0.0, chroma, 1.0))
    planes = [mix(plane, _published_chroma(plane, chroma), share) for plane in (ycbcr[..., 1], ycbcr[..., 2])]
    return jnp.stack([y, *planes], axis=-1)


def _published_luma(y, strength):
    # The radius is traced: all 25 taps are there, those beyond it 0.
    radius = jnp.trunc(2.0 + 10.0 * jax.lax.stop_gradient(strength))
    offsets = np.arange(-PUBLISHED_LUMA_RADIUS, PUBLISHED_LUMA_RADIUS + 1, dtype=np.float32)
    taps = jnp.where(jnp.abs(offsets) <= radius, 1.0, 0.0)
    inside = [filter_zero(jnp.ones((n, 1)), taps) for n in y.shape]
    count = inside[0] * inside[1].T
    box = lambda plane: filter_zero(plane, taps) / count  # noqa: E731
    mean = box(y)
    variance = box(y * y) - mean * mean
    slope = variance / (variance + (0.001 + 0.03 * strength) ** 2)
    return box(slope) * y + box(mean * (1.0 - slope))


def _published_chroma(plane, strength):
    scale = (plane.shape[0] / 3000) ** 0.9
    sigma = (3.0 + 12.0 * strength) * np.float32(scale)
    radius = jnp.round(3.0 * jax.lax.stop_gradient(sigma))
    largest = max(1, round(3 * 15 * scale))
    offsets = np.arange(-largest, largest + 1, dtype=np.float32)
    taps = jnp.where(jnp.abs(offsets) <= radius, jnp.exp(-0.5 * (offsets / sigma) ** 2), 0.0)
    taps = taps / taps.sum()
    once = filter_zero(plane, taps)
    return jax.lax.cond(strength > 0.4, lambda x: filter_zero(x, taps), lambda x: x, once)
