"""Crops, flips, shifts and changes of size of training pictures, in NumPy.

Pictures are [H, W, C], float32 in [0, 1] or uint8; functions of a dict of pictures do the same to all of them, and let
None pass. The classes are the same as transforms of a sample, for :func:`train.data.make_loader`.
"""

import dataclasses

import numpy as np

from modisp_jax.io.resize import resize_area
from modisp_jax.resample import positions

PICTURES = ("raw", "clean", "srgb")
"""Keys of a sample whose values are pictures."""


def random_crop(rng, images, size):
    """Cuts the same ``size`` (an int or (height, width)) at a random place from each of a dict of [H, W, C]; views.

    Raises ``ValueError`` where the images differ in size or are smaller than ``size``.
    """
    h, w = _size(images)
    height, width = (size, size) if np.ndim(size) == 0 else size
    if height > h or width > w:
        raise ValueError(f"random_crop: expected pictures of at least {(height, width)}, got {(h, w)}")
    top, left = rng.integers(h - height + 1), rng.integers(w - width + 1)
    return _each(images, lambda x: x[top : top + height, left : left + width])


def random_flip(rng, images):
    """Mirrors each of a dict of [H, W, C] left to right, and top to bottom, with probability 1/2 each; views."""
    _size(images)
    rows, columns = 1 - 2 * rng.integers(2, size=2)
    return _each(images, lambda x: x[::rows, ::columns])


def random_shift(rng, images, most=5):
    """Moves each of a dict of [H, W, C] by the same -most..most whole pixels on both axes (paper section G).

    What comes in at the border is the mirror image, edge repeated.
    """
    _size(images)
    down, right = rng.integers(-most, most + 1, size=2)
    return _each(images, lambda x: shift_image(x, down, right))


def shift_image(x, down, right):
    """Moves [H, W, C] by whole pixels, border mirrored with the edge repeated: ``y[i] = x[i - down]``."""
    for axis, step in ((0, down), (1, right)):
        n = x.shape[axis]
        if step:
            index = (np.arange(n) - step) % (2 * n)  # period of the mirrored axis
            x = np.take(x, np.where(index < n, index, 2 * n - 1 - index), axis=axis)
    return x


def resize_image(x, size):
    """Bilinear resize of [H, W, C] to ``size`` (height, width): half-pixel centres, no antialiasing; float32.

    uint8 is taken as 0..255 for [0, 1]. The same as ``modisp_jax.resample.resize_bilinear(align="centers")``, in NumPy.
    """
    is_bytes = x.dtype == np.uint8
    for axis in (0, 1):
        if x.shape[axis] != size[axis]:
            lower, t = positions(x.shape[axis], size[axis], "centers")
            upper = np.minimum(lower + 1, x.shape[axis] - 1)
            t = t.reshape((-1, 1, 1) if axis == 0 else (1, -1, 1))
            x = (1 - t) * np.take(x, lower, axis=axis) + t * np.take(x, upper, axis=axis)
    return np.asarray(x, np.float32) / np.float32(255 if is_bytes else 1)


def shrink_photo(photo, long_side, *, method="box"):
    """Shrinks [H, W, 3], uint8 or float32, to ``long_side`` pixels on its long side; a smaller one comes back as it is.

    ``method`` "box" averages over the area of a pixel, "lanczos" is sharper and may overshoot (uint8 is clipped).
    """
    return resize_area(photo, shrunk_size(photo.shape[:2], long_side), method)


def shrunk_size(size, long_side):
    """``size`` (height, width) shrunk to ``long_side``; never enlarged."""
    scale = min(1.0, long_side / max(size))
    return tuple(max(1, round(n * scale)) for n in size)


def enlarge(photo, factor):
    """[H, W, C] enlarged by a whole ``factor``, bicubic: photos that were shrunk become as soft as a lens draws."""
    return resize_area(photo, tuple(factor * n for n in photo.shape[:2]), "bicubic")


def turned(size, photo):
    """A size (height, width) that is meant for lying photos, exchanged where the photo is upright."""
    return size if photo.shape[1] >= photo.shape[0] else size[::-1]


def middle(photo, size):
    """The middle [h, w, 3] of a uint8 photo as float32 in [0, 1]; no larger than it is, and of even size."""
    h, w = (min(want, got) // 2 * 2 for want, got in zip(size, photo.shape[:2], strict=True))
    top, left = (photo.shape[0] - h) // 2, (photo.shape[1] - w) // 2
    return photo[top : top + h, left : left + w].astype(np.float32) / np.float32(255)


def _each(images, change):
    return {key: None if x is None else change(x) for key, x in images.items()}


def _size(images):
    """(H, W) that all of a dict of pictures share."""
    sizes = {key: x.shape[:2] for key, x in images.items() if x is not None}
    if len(set(sizes.values())) != 1:
        raise ValueError(f"images: expected pictures of one size, got {sizes or 'none'}")
    return next(iter(sizes.values()))


def _pictures(sample):
    return {key: sample[key] for key in PICTURES if sample.get(key) is not None}


@dataclasses.dataclass(frozen=True)
class RandomCrop:
    """:func:`random_crop` of a sample's pictures, as a transform for :func:`train.data.make_loader`."""

    size: int | tuple[int, int]

    def __call__(self, sample, rng):
        return sample | random_crop(rng, _pictures(sample), self.size)


@dataclasses.dataclass(frozen=True)
class RandomFlip:
    """:func:`random_flip` of a sample's pictures."""

    def __call__(self, sample, rng):
        return sample | random_flip(rng, _pictures(sample))


@dataclasses.dataclass(frozen=True)
class RandomShift:
    """:func:`random_shift` of a sample's pictures."""

    most: int = 5

    def __call__(self, sample, rng):
        return sample | random_shift(rng, _pictures(sample), self.most)


@dataclasses.dataclass(frozen=True)
class Resize:
    """:func:`resize_image` of a sample's pictures: photofinishing is trained on 512 x 512 (paper section G)."""

    size: tuple[int, int]

    def __call__(self, sample, rng):
        del rng
        return sample | _each(_pictures(sample), lambda x: resize_image(x, self.size))
