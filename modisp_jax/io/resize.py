"""Antialiased change of size on the host, by Pillow."""

import numpy as np


def resize_area(x, size, method="box"):
    """Antialiased resize of [H, W, C], uint8 or float32, to ``size`` (height, width) by Pillow; keeps the dtype."""
    from PIL import Image

    if method not in ("box", "lanczos", "bicubic"):
        raise ValueError(f"method: expected 'box', 'lanczos' or 'bicubic', got {method!r}")
    if x.shape[:2] == tuple(size):
        return x
    kernel = Image.Resampling[method.upper()]
    kind = np.uint8 if x.dtype == np.uint8 else np.float32  # Pillow has floats for one channel only
    planes = [Image.fromarray(np.ascontiguousarray(x[..., k], kind)) for k in range(x.shape[-1])]
    return np.stack([np.asarray(plane.resize(size[::-1], kernel)) for plane in planes], axis=-1)
