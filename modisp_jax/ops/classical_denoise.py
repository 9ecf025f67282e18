"""Classical denoising of luma and chroma on the full-size linear picture, as published (paper section I) and ours.

Published, the radii jump with the strengths, luma is smoothed as much in shadows as in light although noise grows
with light, chroma bleeds over edges and fades at the frame. Ours has radii that the size alone decides, expects the
noise of a sensor, guides chroma by luma and mirrors the border.
"""

import jax
import jax.numpy as jnp
import numpy as np

from modisp_jax.color import RGB_TO_YCBCR, YCBCR_TO_RGB, rgb_to_ycbcr, ycbcr_to_rgb
from modisp_jax.numerics import clip, clip01, mix
from modisp_jax.ops.gamut import into_gamut, luma709, move_luma, weighted_sum
from modisp_jax.ops.separable import filter_reflect, filter_zero, guided_by_itself, window
from modisp_jax.ops.skip import unless_zero

LUMA_SIDE = 1 / 1200
"""Standard deviation of our luma window, in parts of the shorter side."""
CHROMA_SIDE = 1 / 250
"""The same for chroma, whose noise is coarser and whose detail is less missed."""
CHROMA_PIXELS = 4
"""Chroma's models are fitted on means of up to this many pixels a side."""
LUMA_NOISE = 0.07**2
"""Noise that strength 1 expects in luma, as variance over light: a standard deviation of .03 at mid grey."""
COLOR_NOISE = 0.03**2
"""The same in chroma, of means over CHROMA_PIXELS."""
GUIDE_NOISE = 0.02**2
"""Variation of luma, over light, that does not count as an edge for chroma."""
DARK = 0.01
"""Light at which the noise that does not come from light equals the one that does."""


def denoise_luma_chroma(linear, luma, chroma):
    """Smooths luma where it varies no more than noise would, and chroma where luma has no edge.

    Luma: a guided filter guided by itself, ``Y' = a Y + b`` with ``a = var / (var + noise)``, ``b = (1 - a) mean``,
    both averaged over the window, and ``noise = .0049 (.2 + .8 luma)^2 (mean + .01)``, which grows with light as a
    sensor's does. Chroma: ``C' = a Y' + b``, fitted around each pixel to means over 4 x 4 pixels; of what that leaves
    of the means, r, the part ``v / (v + noise)`` is kept, v the mean of r^2, so that colours without an edge in luma
    stay where they are more than noise. Windows are Gaussian, their sigma that of the picture's shorter side / 1200
    and / 250. Each is mixed in by ``s (1.5 - .5 s)``. Smooth in the strengths; the border is mirrored.

    Args:
      linear: linear sRGB [H, W, 3] in [0, 1].
      luma, chroma: scalars in [0, 1]; both 0 is the identity, bit by bit.

    Returns:
      [H, W, 3] in [0, 1]; what would leave that range moves towards grey. Reference: He et al., "Guided Image
      Filtering", 2013; the noise model and the rest are ours.
    """
    return _denoise_chroma(_denoise_luma(linear, luma), chroma)


def _ease(strength):
    """The share of the smoothed picture: five eighths at a half; with a slope at 0 and at 1."""
    return strength * (1.5 - 0.5 * strength)


def _expected(most, strength):
    """Variance over light that counts as noise; some at 0 already, or the slope there would vanish."""
    return most * (0.2 + 0.8 * strength) ** 2


@unless_zero
def _denoise_luma(linear, strength):
    strength = clip01(strength)
    y = clip01(luma709(linear))
    noise = _expected(LUMA_NOISE, strength)
    smooth = guided_by_itself(y, window(LUMA_SIDE * min(y.shape)), lambda mean: noise * (mean + DARK))
    return move_luma(linear, y, y + _ease(strength) * (smooth - y))


@unless_zero
def _denoise_chroma(linear, strength):
    strength = clip01(strength)
    share, noise = _ease(strength), _expected(COLOR_NOISE, strength)
    # Clipped plane by plane: the picture itself, clipped, would have to be kept.
    y = clip01(luma709(linear))
    small = _shrink(y)
    change = 0.0
    for i in (1, 2):
        tint = clip(weighted_sum(linear, RGB_TO_YCBCR[i]), -0.5, 0.5)
        change = change + (share * (_guided(small, _shrink(tint), y, noise) - tint))[..., None] * YCBCR_TO_RGB[:, i]
    return into_gamut(linear + change)


def _factor(size):
    """Side of the blocks whose means chroma's models are fitted on."""
    return max(1, min(CHROMA_PIXELS, min(size) // 64))


def _guided(small_guide, small, guide, noise):
    """A linear model of the guide around each pixel, fitted to the small pair [h, w] and applied at full size.

    Where the model leaves more than ``noise`` unexplained, what it leaves is picture, and is added back.
    """
    factor = _factor(guide.shape)
    taps = window(CHROMA_SIDE * min(guide.shape) / factor)
    smooth = lambda plane: filter_reflect(plane, taps)  # noqa: E731
    mean, tint = smooth(small_guide), smooth(small)
    light = clip01(mean) + DARK
    variance = clip01(smooth(small_guide * small_guide) - mean * mean)
    slope = (smooth(small_guide * small) - mean * tint) / (variance + GUIDE_NOISE * light)
    slope, offset = smooth(slope), smooth(tint - slope * mean)
    rest = small - (slope * small_guide + offset)
    unexplained = smooth(rest * rest)
    offset = offset + rest * unexplained / (unexplained + noise * light)
    return _grow(slope, guide.shape, factor) * guide + _grow(offset, guide.shape, factor)


def _shrink(plane):
    """Means over blocks of [H, W]; the last one repeats the edge where it must."""
    factor = _factor(plane.shape)
    plane = jnp.pad(plane, [(0, -n % factor) for n in plane.shape], mode="edge")
    return plane.reshape(plane.shape[0] // factor, factor, plane.shape[1] // factor, factor).mean(axis=(1, 3))


def _grow(plane, size, factor):
    """The way back from [h, w] to ``size``, linear between the blocks' centres, without a gather."""
    for axis in (0, 1):
        plane = _grow_axis(plane, factor, axis)
    return plane[: size[0], : size[1]]


def _grow_axis(plane, factor, axis):
    padded = jnp.pad(plane, [(1, 1) if i == axis else (0, 0) for i in (0, 1)], mode="edge")
    before, here, after = (
        jax.lax.slice_in_dim(padded, first, first + plane.shape[axis], axis=axis) for first in (0, 1, 2)
    )
    phases = []
    for phase in range(factor):
        t = (phase + 0.5) / factor - 0.5  # from the block's centre, in blocks
        phases.append((1 - abs(t)) * here + abs(t) * (before if t < 0 else after))
    shape = [n * factor if i == axis else n for i, n in enumerate(plane.shape)]
    return jnp.stack(phases, axis=axis + 1).reshape(shape)


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
