"""Demosaicing of Bayer mosaics by fixed 5 x 5 filters, and mosaicing.

Reference: H. Malvar, L. He, R. Cutler, "High-quality linear interpolation for demosaicing of Bayer-patterned color
images", ICASSP 2004, figure 2.
"""

import jax.numpy as jnp

from modisp_jax.numerics import clip01
from modisp_jax.resample import pad_reflect
from modisp_jax.types import check_image

PATTERNS = ("RGGB", "BGGR", "GRBG", "GBRG")
"""The four Bayer phases: the colours of the mosaic's top left 2 x 2 pixels, row by row."""

# The paper's filters by offset (dy, dx), in sixteenths. Each estimates a colour from its neighbours of that colour
# and adds a fraction of the Laplacian of the colour measured at the pixel: 1/2 at green, 5/8 at G, 3/4 at R and B.
_CROSS = {
    **{(0, 0): 8, (-1, 0): 4, (1, 0): 4, (0, -1): 4, (0, 1): 4},
    **{(-2, 0): -2, (2, 0): -2, (0, -2): -2, (0, 2): -2},
}
_ROW = {
    **{(0, 0): 10, (0, -1): 8, (0, 1): 8, (0, -2): -2, (0, 2): -2, (-2, 0): 1, (2, 0): 1},
    **{(-1, -1): -2, (-1, 1): -2, (1, -1): -2, (1, 1): -2},
}
_COLUMN = {(dx, dy): weight for (dy, dx), weight in _ROW.items()}
_DIAGONAL = {
    **{(0, 0): 12, (-1, -1): 4, (-1, 1): 4, (1, -1): 4, (1, 1): 4},
    **{(-2, 0): -3, (2, 0): -3, (0, -2): -3, (0, 2): -3},
}


def demosaic_malvar(mosaic, *, pattern="RGGB", clip=True):
    """Fills in the two colours that each pixel of a Bayer mosaic lacks, by the filters of Malvar, He and Cutler.

    ``G at R, B: bilinear G + 1/2 laplacian``; ``R, B at G: bilinear + 5/8``; ``R at B, B at R: bilinear + 3/4``.
    The border is mirrored without repeating the edge, which keeps the Bayer phase. The filters are linear, keep
    constants and linear ramps of each colour, and overshoot at edges.

    Args:
      mosaic: [H, W], nominally in [0, 1]; H and W at least 2, odd sizes too.
      pattern: static, one of :data:`PATTERNS`.
      clip: static. True clips the result to [0, 1]: an overshoot must not pass the sensor's white level, where the
        pipeline expects its input to end. False is linear: for noise studies, where clipping would lift the mean of
        black, and for mosaics of another range.

    Returns:
      RGB, [H, W, 3]; at each pixel the measured colour is the mosaic's value (bit for bit; clipped if ``clip``).

    Raises:
      ValueError: for an unknown pattern, or a mosaic that is not floating-point [H, W] of at least 2 x 2.
    """
    shape, dtype = jnp.shape(mosaic), jnp.result_type(mosaic)
    if len(shape) != 2 or min(shape) < 2:
        raise ValueError(f"mosaic: expected [H, W] of at least 2 x 2, got shape {shape}")
    if not jnp.issubdtype(dtype, jnp.floating):
        raise ValueError(f"mosaic: expected floating-point values in [0, 1], got dtype {dtype}")
    red, green, blue, beside_red = _sites(shape, pattern)
    padded = pad_reflect(jnp.asarray(mosaic)[..., None], 2)[..., 0]
    row, column, diagonal = (_filter(padded, weights) for weights in (_ROW, _COLUMN, _DIAGONAL))
    rgb = jnp.stack(
        [
            jnp.where(red, mosaic, jnp.where(blue, diagonal, jnp.where(beside_red, row, column))),
            jnp.where(green, mosaic, _filter(padded, _CROSS)),
            jnp.where(blue, mosaic, jnp.where(red, diagonal, jnp.where(beside_red, column, row))),
        ],
        axis=-1,
    )
    return clip01(rgb) if clip else rgb


def mosaic(image, *, pattern="RGGB"):
    """Keeps of each pixel of an image the one colour that a sensor with a Bayer filter measures.

    Args:
      image: RGB, [H, W, 3].
      pattern: static, one of :data:`PATTERNS`.

    Returns:
      [H, W].

    Raises:
      ValueError: for an unknown pattern, or an image that is not floating-point [H, W, 3].
    """
    red, green, *_ = _sites(check_image(image, "image"), pattern)
    return jnp.where(red, image[..., 0], jnp.where(green, image[..., 1], image[..., 2]))


def _sites(shape, pattern):
    """Which pixels of [H, W] measure red, green and blue, and which rows have red in them: four broadcasting masks.

    From counters, not constants, which would take up megabytes in the compiled program.
    """
    if pattern not in PATTERNS:
        raise ValueError(f"pattern: expected one of {', '.join(PATTERNS)}, got {pattern!r}")
    row, column = divmod(pattern.index("R"), 2)
    red_row = jnp.arange(shape[0])[:, None] % 2 == row
    red_column = jnp.arange(shape[1])[None, :] % 2 == column
    return red_row & red_column, red_row != red_column, ~(red_row | red_column), red_row


def _filter(padded, weights):
    """Correlates a mosaic, padded by 2, with a 5 x 5 filter given in sixteenths by offset."""
    h, w = padded.shape[0] - 4, padded.shape[1] - 4
    return sum(weight * padded[2 + dy : 2 + dy + h, 2 + dx : 2 + dx + w] for (dy, dx), weight in weights.items()) / 16
