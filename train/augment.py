"""Augmentation that photos shrunk for the web need before they can stand for a sensor's pixels."""

import dataclasses

from modisp_jax.io.resize import resize_area
from train.transforms import random_crop, random_flip, random_shift


@dataclasses.dataclass(frozen=True)
class RandomZoomCrop:
    """A random crop of ``size`` pixels of the photo, flipped at random, enlarged by a random factor.

    Photos that were shrunk for the web are sharper, pixel by pixel, than what a sensor with a lens delivers; enlarging
    (bicubic) brings that softness back. The factor is uniform in ``zoom``; a share ``unchanged`` of the crops has none.
    """

    size: int
    zoom: tuple[float, float] = (1.0, 2.0)
    unchanged: float = 0.0

    def __call__(self, sample, rng):
        factor = 1.0 if self.unchanged and rng.uniform() < self.unchanged else rng.uniform(*self.zoom)
        side = max(8, round(self.size / factor))
        photo = random_flip(rng, random_crop(rng, {"srgb": sample["srgb"]}, side))["srgb"]
        return sample | {"srgb": resize_area(photo, (self.size, self.size), "bicubic")}


@dataclasses.dataclass(frozen=True)
class RandomView:
    """A random part of the photo, resized by area to ``size`` (height, width), flipped and shifted at random.

    Each side's share of the photo is uniform in ``view``, and so the aspect ratio changes a little. Upright and lying
    photos alike come out in one shape, as photofinishing, which sees all photos squared, allows.
    """

    size: tuple[int, int]
    view: tuple[float, float] = (0.6, 1.0)

    def __call__(self, sample, rng):
        photo = sample["srgb"]
        if (photo.shape[0] > photo.shape[1]) != (self.size[0] > self.size[1]):
            photo = photo.swapaxes(0, 1)
        part = tuple(max(1, round(n * rng.uniform(*self.view))) for n in photo.shape[:2])
        photo = random_crop(rng, {"srgb": photo}, part)["srgb"]
        small = {"srgb": resize_area(photo, self.size)}
        return sample | random_shift(rng, random_flip(rng, small))
