"""Tiny raw photos with pictures, as a camera would leave them in a folder."""

import numpy as np

from modisp_jax.io.images import apply_orientation, write_image
from modisp_jax.io.synthetic import synthetic_scene, write_synthetic_dng

SIZE = (97, 113)
"""Odd, so that mosaics of all four phases have 96 x 112 pixels from their first red one on."""


def picture_of(scene):
    """What a camera makes of a scene: brighter, encoded, rounded."""
    return np.rint(255 * np.clip(1.5 * scene, 0, 1) ** (1 / 2.2)).astype(np.float32) / np.float32(255)


def write_pair(folder, name, *, seed=0, pattern="RGGB", orientation=1, size=SIZE, exif=None, suffix=".png"):
    """Writes NAME.dng and its picture, upright; returns the picture as the raw photo lies."""
    write_synthetic_dng(folder / f"{name}.dng", size=size, seed=seed, pattern=pattern, orientation=orientation)
    picture = picture_of(synthetic_scene(size, seed))
    write_image(folder / f"{name}{suffix}", apply_orientation(picture, orientation), bits=8, exif=exif)
    return picture
