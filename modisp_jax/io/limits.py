"""What a file may claim before it is believed: sizes of pictures, and how far data may expand."""

import numpy as np

LARGEST_SIDE = 65_500
"""Pixels. LibRaw keeps sides in 16 bits, and a JPEG has no more."""

LARGEST_AREA = 2**28
"""Pixels, 268 megapixels."""

LARGEST_EXPANSION = 4096
"""Times the file's size that its pixels may have. Deflate reaches 1032, LZW under 2800, JPEG about 1000."""

SMALL = 2**25
"""Bytes that any file may expand to."""

LARGEST_RAW_EXPANSION = 64
"""The same of cameras' own formats: a quarter of a bit for a value of 16. They compress noise, not drawings."""

LARGEST_JSON = 2**26
"""Bytes of a JSON file."""

_child = {}
"""In a decoding child: what it makes of :func:`grant` and of :func:`output`."""


def check_size(path, height, width, *, pixel_bytes, file_size, error, expansion=LARGEST_EXPANSION, small=SMALL):
    """Raises ``error``, one line, where a file of ``file_size`` bytes cannot or must not hold ``height x width``.

    ``pixel_bytes`` is what a pixel takes when it is decoded; the pixels may have ``expansion`` times the bytes of the
    file, and any file may have ``small`` bytes of them.
    """
    if not (1 <= height <= LARGEST_SIDE and 1 <= width <= LARGEST_SIDE and height * width <= LARGEST_AREA):
        raise error(
            f"{path}: expected 1 x 1 to {LARGEST_AREA / 1e6:.0f} megapixels with sides up to {LARGEST_SIDE},"
            f" got {width:.0f} x {height:.0f}"
        )
    if height * width * pixel_bytes > max(small, expansion * file_size):
        raise error(
            f"{path}: expected a file large enough for {width:.0f} x {height:.0f} pixels, got {file_size} bytes"
        )


def grant(pixels):
    """Tells the decoding child, if this is one, that an image of ``pixels`` is coming: more time and memory."""
    if _child:
        _child["grant"](pixels)


def output(shape):
    """An empty float32 array for a decoded image; in a decoding child in memory that it shares with its parent."""
    return _child["output"](shape) if _child else np.empty(shape, np.float32)


def in_child(*, grant, output):
    """Makes this process a decoding child."""
    _child.update(grant=grant, output=output)
