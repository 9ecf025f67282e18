"""Exposure fusion, by OpenCV."""

import numpy as np


def fuse_exposures(pictures, *, contrast=1.0, saturation=1.0, exposure=1.0):
    """One picture of several exposures: at each place mostly those that show it best.

    A pixel's weight is ``C^contrast S^saturation E^exposure``: the Laplacian's size, the deviation of R, G and B from
    their mean, and the product over its values v of ``exp(-(v - .5)^2 / (2 .2^2))``. The pictures' Laplacian pyramids
    are added up by the weights' Gaussian pyramids.

    Args:
      pictures: sRGB pictures [H, W, 3] in [0, 1] of one size, at least one.
      contrast, saturation, exposure: exponents. They are 1 in the paper; OpenCV's own for exposure is 0.

    Returns:
      sRGB [H, W, 3] in [0, 1], NumPy.

    Raises:
      ValueError: OpenCV is not installed, or pictures of other shapes.

    Reference: T. Mertens, J. Kautz, F. Van Reeth, "Exposure fusion", Pacific Graphics 2007.
    """
    merge = load_opencv().createMergeMertens(contrast, saturation, exposure)
    pictures = [np.asarray(picture, np.float32) for picture in pictures]
    shapes = sorted({picture.shape for picture in pictures})
    if len(shapes) != 1 or len(shapes[0]) != 3 or shapes[0][-1] != 3:
        raise ValueError(f"pictures: expected pictures [H, W, 3] of one size, got {shapes or 'none'}")
    # Channels in OpenCV's order; values are divided by 255 there, whatever their type.
    fused = merge.process([np.ascontiguousarray(255.0 * picture[..., ::-1]) for picture in pictures])
    return np.clip(fused[..., ::-1], 0.0, 1.0)


def load_opencv():
    """The module ``cv2``; raises ``ValueError`` with how to install it."""
    try:
        import cv2
    except ImportError as error:
        raise ValueError(
            f"hdr: needs OpenCV, which cannot be imported ({error}): pip install 'modisp_jax[hdr]'"
        ) from None
    return cv2
