"""Staying within the RGB cube by moving along the line to the grey of the same luma, which keeps luma and hue.

Luma is BT.709's Y and hue the angle of (Cb, Cr), both in whatever encoding the picture has. Clipping channel by
channel would change both.
"""

import jax
import jax.numpy as jnp

from modisp_jax.color import RGB_TO_YCBCR
from modisp_jax.numerics import HUGE, clip, clip01, safe_divide

FAR = 16.0
"""No operator takes a picture in [0, 1] this far out; beyond it gradients stop, and so stay finite."""


def luma709(rgb):
    """``.2126 R + .7152 G + .0722 B`` [...] of RGB [..., 3]."""
    return weighted_sum(rgb, RGB_TO_YCBCR[0])


def weighted_sum(rgb, weights):
    """``w0 R + w1 G + w2 B`` [...] of [..., 3]: three products that the compiler can fuse, unlike a matrix product."""
    return rgb[..., 0] * weights[0] + rgb[..., 1] * weights[1] + rgb[..., 2] * weights[2]


def upper_room_used(rgb, y):
    """How much of the way from the grey ``y`` [...] to the cube's bright faces a pixel is, [...] in [0, 1]."""
    return clip01(safe_divide(_largest(rgb) - y, 1.0 - y))


def room_used(rgb, y):
    """How much of the way from the grey ``y`` [...] to the cube's surface a pixel is, [...] in [0, 1]."""
    return jnp.maximum(upper_room_used(rgb, y), clip01(safe_divide(y - _smallest(rgb), y)))


def soft_limit(used, factor):
    """What to multiply ``factor`` by so that ``used * factor`` stays within [0, 1], smoothly.

    ``(1 + (factor^4 - 1) used^4)^(-1/4)`` where the factor exceeds 1: used 0 is multiplied by the factor itself, used
    1 stays 1, and what lies between keeps its order. 1, exactly, where the factor is at most 1.
    """
    excess = clip(clip(factor, 0.0, 1e7) ** 4 - 1.0, 0.0, HUGE) * used**4
    return jax.lax.rsqrt(jnp.sqrt(1.0 + excess))


def scale_luma(rgb, y, factor):
    """Multiplies luma ``y`` [...] of ``rgb`` [..., 3], all in [0, 1], by ``factor``, with ``factor * y`` within [0, 1].

    Chroma is multiplied too, so that hue and saturation stay, but for what would leave the RGB cube: that moves
    towards grey, smoothly, and keeps its order. A factor of 1 is the identity; no channel falls as the factor grows.
    """
    after = clip01(factor * y)
    chroma = soft_limit(upper_room_used(rgb, y), factor * safe_divide(1.0 - y, 1.0 - after))
    # rgb itself times what is kept, plus grey: exact at a factor of 1.
    kept = (factor * chroma)[..., None]
    return clip01(rgb * kept + (after * (1.0 - chroma))[..., None])


def into_gamut(rgb):
    """Moves pixels [..., 3] outside the RGB cube to its surface, towards the grey of their luma; others stay."""
    y = clip(luma709(rgb), -FAR, FAR)
    return move_luma(rgb, y, y)


def move_luma(rgb, y, after):
    """Adds to all channels what takes luma ``y`` [...] of ``rgb`` [..., 3] to ``after``, clipped to [0, 1].

    Chroma stays, but for what would leave the RGB cube: that ends on its surface.
    """
    after = clip01(after)
    above, below = clip(_largest(rgb) - y, -FAR, FAR), clip(y - _smallest(rgb), -FAR, FAR)
    kept = jnp.minimum(_share(1.0 - after, above), _share(after, below))
    moved = rgb + (after - y)[..., None] + (kept - 1.0)[..., None] * clip(rgb - y[..., None], -FAR, FAR)
    # Rounding alone can still leave a value a few ulp outside.
    return clip01(moved)


def _share(room, needed):
    """``room / needed``, at most 1."""
    return jnp.where(needed > room, safe_divide(room, needed), 1.0)


# Channel by channel: a reduction over an axis of three is several times slower.


def _largest(rgb):
    return jnp.maximum(jnp.maximum(rgb[..., 0], rgb[..., 1]), rgb[..., 2])


def _smallest(rgb):
    return jnp.minimum(jnp.minimum(rgb[..., 0], rgb[..., 1]), rgb[..., 2])
