"""Frames as bytes, for a page to show."""

import imagecodecs
import numpy as np


def jpeg(pixels, quality=90):
    """uint8 [h, w, 3] as a JPEG with colour at full resolution, so that thin red lines stay sharp at 1:1."""
    return imagecodecs.jpeg8_encode(np.ascontiguousarray(pixels), level=quality, subsampling="444")


def quick_jpeg(pixels, quality=85):
    """uint8 [h, w, 3] as a JPEG with colour at half the resolution: half the time to write and to read."""
    return imagecodecs.jpeg8_encode(np.ascontiguousarray(pixels), level=quality, subsampling="420")


def png(pixels):
    """uint8 [h, w, 3] as a PNG, compressed little."""
    return imagecodecs.png_encode(np.ascontiguousarray(pixels), level=1)
