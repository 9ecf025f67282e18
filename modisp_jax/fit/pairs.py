"""Pairs for fitting styles: reduced to one small size, cropped to what both show, and varied a little at each step."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np

from modisp_jax.fit.alignment import estimate_shift
from modisp_jax.fit.deltas import luma_depth
from modisp_jax.fit.look import ASPECT
from modisp_jax.numerics import clip01, power, safe_sqrt
from modisp_jax.stages.color import to_linear_srgb
from modisp_jax.types import Raw, as_float32, check_image

ALIGNED_SIDE = 384
"""Long side in pixels at which a shift between source and target is looked for."""

MOST_SHIFT = 24
"""Pixels of that size by which the target may be shifted."""


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """How pairs are varied at each step; 0 and (1, 1) leave them as they are."""

    view: tuple[float, float] = (0.7, 1.0)
    """Share of each side that is shown."""
    flip: bool = True
    """Whether to mirror half of the views left to right."""
    exposure: float = 0.1
    """Most EV by which the source is made brighter or darker; the target stays."""
    noise: float = 2e-4
    """Largest variance of noise per unit of signal in the source."""

    def __post_init__(self):
        low, high = self.view
        if not 0 < low <= high <= 1:
            raise ValueError(f"view: expected (low, high) within (0, 1], got {self.view}")
        for name in ("exposure", "noise"):
            if not 0 <= getattr(self, name) < np.inf:
                raise ValueError(f"{name}: expected a number from 0 on, got {getattr(self, name)}")


def aligned_pair(source, target):
    """Brings a pair to :data:`ALIGNED_SIDE` pixels, finds a shift between both and crops both to what they share.

    Args:
      source: a :class:`modisp_jax.Raw` or linear sRGB [H, W, 3].
      target: sRGB [H', W', 3] of the same aspect ratio and orientation.

    Returns:
      (linear, target), float32 [h, w, 3] each, on the host.

    Raises:
      ValueError: wrong shapes or dtypes, values that are not finite, or different aspect ratios.
    """
    linear = source
    if isinstance(source, Raw):
        check_image(source.image, "source.image")
        raw = as_float32(source)
        linear = to_linear_srgb(clip01(raw.image), raw.illuminant, raw.ccm, saturation=raw.saturation)
    full, other = check_image(linear, "source"), check_image(target, "target")
    if min(*full, *other) < 16:
        raise ValueError(f"expected pictures of at least 16 pixels a side, got {full} and {other}")
    if abs(other[0] * full[1] / (other[1] * full[0]) - 1) > ASPECT:
        raise ValueError(f"target: expected the aspect ratio of the source {full}, got {other}")
    scale = min(1.0, ALIGNED_SIDE / max(full))
    size = tuple(max(16, round(n * scale)) for n in full)
    linear, target = (np.asarray(shrunk(jnp.asarray(x, jnp.float32), size)) for x in (linear, target))
    if not (np.isfinite(linear).all() and np.isfinite(target).all()):
        raise ValueError("expected finite values, got NaN or infinity")
    return _overlap(linear, target, *np.round(np.asarray(_shift(linear, target))).astype(int))


def reduce_pair(source, target, size):
    """Brings a pair to ``size`` (height, width), lying: linear sRGB and target, float32 [*size, 3], on the host.

    Upright pairs are laid on their side (transposed), as photofinishing's networks, which see every picture squared,
    allow. Arguments and errors otherwise as of :func:`aligned_pair`.
    """
    pair = aligned_pair(source, target)
    if pair[0].shape[0] > pair[0].shape[1]:
        pair = [x.swapaxes(0, 1) for x in pair]
    return tuple(np.asarray(shrunk(jnp.asarray(x), size)) for x in pair)


@functools.partial(jax.jit, static_argnames="size")
def shrunk(image, size):
    """An image [H, W, 3] at ``size`` (height, width), clipped to [0, 1]."""
    return clip01(jax.image.resize(image, (*size, 3), "linear", antialias=True, precision="highest"))


@jax.jit
def _shift(linear, target):
    return estimate_shift(luma_depth(linear), luma_depth(power(target, 2.2)), MOST_SHIFT)


def _overlap(linear, target, down, right):
    """What both pictures show where the target lies lower by ``down`` and further right by ``right``."""
    h, w = linear.shape[:2]
    y, x = slice(max(-down, 0), h - max(down, 0)), slice(max(-right, 0), w - max(right, 0))
    moved = slice(y.start + down, y.stop + down), slice(x.start + right, x.stop + right)
    return linear[y, x], target[moved]


def vary(key, linear, target, config):
    """A random view of a pair [h, w, 3] at its own size, by :class:`Augmentation`; both views are of one place."""
    h, w = linear.shape[:2]
    view_key, noise_key = jax.random.split(key)
    u = jax.random.uniform(view_key, (7,))
    share = config.view[0] + u[:2] * (config.view[1] - config.view[0])
    translation = -u[2:4] * (1 - share) * np.array([h, w]) / share
    mirrored = (u[4] < 0.5) if config.flip else False

    def view(image):
        image = jax.image.scale_and_translate(
            image, image.shape, (0, 1), 1 / share, translation, "linear", antialias=True, precision="highest"
        )
        return jnp.where(mirrored, image[:, ::-1], image)

    linear, target = clip01(view(linear)), clip01(view(target))
    linear = linear * jnp.exp2(config.exposure * (2 * u[5] - 1))
    noise = safe_sqrt(config.noise * u[6] * linear) * jax.random.normal(noise_key, linear.shape)
    return clip01(linear + noise), target
