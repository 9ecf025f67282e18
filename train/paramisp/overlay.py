"""Where a camera's picture lies on its raw photo, to the pixel: cameras crop pictures, and some straighten them."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np

from modisp_jax.fit.alignment import estimate_shift, likeness
from modisp_jax.fit.deltas import luma_depth
from modisp_jax.io.alignment import crop_box
from modisp_jax.numerics import power, safe_divide
from modisp_jax.paramisp.canonet import to_linear

MOST_CROPPED = 64
"""Pixels by which a picture may be smaller than its raw photo, in height and in width; of small ones a tenth."""

MOST_SHIFT = 32
"""Pixels that are searched around the place that the sizes suggest."""

PATCH = 512
"""Side of the patches at which both are compared, in pixels."""

PLACES = (*itertools.product((0.0, 0.5, 1.0), repeat=2), *itertools.product((0.25, 0.75), repeat=2))
"""Where patches lie, as shares of the way from the top left to the bottom right."""

ALIKE = 0.15
"""Likeness from which a patch is believed. Of strangers it was at most .03 (.12 with patches of 64 pixels), of pairs .7
to .9, and under noise of a fifth of full scale .16 to .25."""

FLAT = 0.004
"""Mean difference between neighbours in a picture's luma, up to which nothing is to be seen in a patch."""

BETTER = 1.3
"""By how much a patch must be more alike at a place of its own to speak against the others."""

MOST_WARPED = 1.5
"""Pixels by which patches may lie otherwise than the whole."""


def place_by_size(raw, picture, default_crop):
    """Where a picture's top left pixel lies in its raw photo, as far as sizes tell: ((row, column), sure), or None.

    All of the raw photo, or DNG's default crop; or, which is not sure, what is left within a border: cameras cut off
    up to ``MOST_CROPPED`` pixels. None where a picture is larger, or smaller than that, as resized ones are.

    Args:
      raw, picture: sizes (height, width), both as the sensor lies.
      default_crop: (top, left, height, width) or None.
    """
    box = crop_box(raw, picture, default_crop)
    if box is not None:
        return tuple(int(part.start) for part in box), True
    missing = [ours - theirs for ours, theirs in zip(raw, picture, strict=True)]
    if min(missing) < 0 or any(n > min(MOST_CROPPED, side // 10) for n, side in zip(missing, raw, strict=True)):
        return None
    return tuple(n // 2 for n in missing), False


def find_place(path, values, picture, place, illuminant, ccm, *, sure):
    """Where the top left pixel of a picture lies in a raw photo, (row, column), by what both show.

    At up to 13 patches the shift of both against each other is estimated, and the median of those that are believed
    is taken.

    Args:
      path: of the picture, for messages.
      values: the raw photo's mosaic [H, W], RGGB, float32 in [0, 1].
      picture: uint8 [h, w, 3].
      place: (row, column) to begin from; may be negative.
      illuminant, ccm: [3], [3, 3] of the raw photo.
      sure: whether ``place`` may be kept where the picture is flat.

    Raises:
      ValueError: patches lie differently, or none is like its part of the raw photo.
    """
    side, starts = _patches(values.shape, picture.shape[:2], place)
    most = min(MOST_SHIFT, side // 8)
    found, flat = [], True
    for y, x in starts:
        raw, shown = values[y : y + side, x : x + side], picture[y - place[0] :, x - place[1] :][:side, :side]
        shift, own, lumas = _compared(raw, shown, np.float32(illuminant), np.float32(ccm), most=most)
        flat = flat and np.abs(np.diff(lumas[1])).mean() < FLAT
        if own > ALIKE:
            found.append((np.asarray(shift), float(own), lumas))
    if not found and flat and sure:
        return place
    if not found:
        raise ValueError(
            f"{path}: expected to see in the picture where it lies on its raw photo, found no part where they are alike"
        )
    whole = np.rint(np.median([shift for shift, _, _ in found], axis=0)).astype(int)
    off = [shift - whole for shift, own, lumas in found if _differs(shift, whole, own, lumas, most)]
    if len(off) > 1:
        most_off = max(np.abs(off).max(axis=1))
        raise ValueError(
            f"{path}: expected a picture that lies on its raw photo, got one that is off by {most_off:.0f} pixels in"
            f" {len(off)} of {len(found)} places; lens corrections warp pictures"
        )
    return tuple(int(start - n) for start, n in zip(place, whole, strict=True))


def overlap(raw, picture, place):
    """What a mosaic and a picture that lies at ``place`` share: slices of the mosaic and of the picture.

    They begin at even rows and columns of the mosaic and have even sizes, so that the Bayer phase is kept.
    """
    ours, theirs = [], []
    for n, m, start in zip(raw, picture, place, strict=True):
        low = max(0, start) + max(0, start) % 2
        high = max(low, min(n, start + m))
        high -= (high - low) % 2
        ours.append(slice(low, high))
        theirs.append(slice(low - start, high - start))
    return tuple(ours), tuple(theirs)


def _patches(raw, picture, place):
    """Side of the patches, even, and where they begin in the mosaic, at even places."""
    ours, _ = overlap(raw, picture, place)
    side = min(PATCH, *(part.stop - part.start for part in ours))
    if side < 16:
        raise ValueError(f"expected a raw photo and a picture that share at least 16 pixels a side, got {side}")
    free = [part.stop - part.start - side for part in ours]
    starts = [
        tuple(part.start + 2 * round(share * n / 2) for part, share, n in zip(ours, shares, free, strict=True))
        for shares in PLACES
    ]
    return side, list(dict.fromkeys(starts))


@functools.partial(jax.jit, static_argnames="most")
def _compared(raw, shown, illuminant, ccm, *, most):
    """Of a patch of each: shift [2], likeness at the nearest whole shift [], and both as luma."""
    linear, target = to_linear(raw, illuminant, ccm), power(shown.astype(jnp.float32) / 255.0, 2.2)
    # Raw photos may be much darker than what cameras make of them; slopes are compared, and dark ones are small.
    linear = linear * safe_divide(target.mean(), linear.mean())
    lumas = luma_depth(linear), luma_depth(target)
    shift = estimate_shift(*lumas, most)
    return shift, likeness(*lumas, jnp.round(shift), most), lumas


def _differs(shift, whole, own, lumas, most):
    """Whether a patch lies elsewhere than the whole, and clearly so."""
    if np.abs(shift - whole).max() <= MOST_WARPED:
        return False
    return own > BETTER * float(_likeness(*lumas, np.int32(whole), most=most))


_likeness = jax.jit(likeness, static_argnames="most")
