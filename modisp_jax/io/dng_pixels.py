"""Pixels of the DNG files that LibRaw does not take, or not as they are: read by tifffile.

These are floating-point images (LibRaw makes 14 bits of them, and zeros of half floats that are not compressed),
images with a side under 22 pixels (thumbnails to LibRaw), and integers that are deflated or JPEG XL.
Source: Digital Negative specification 1.7, chapters 2 to 4.
"""

import contextlib
import tempfile
from pathlib import Path

import numpy as np

from modisp_jax.io.dng_tags import CFA, raw_page
from modisp_jax.io.dng_write import write_dng
from modisp_jax.io.quiet import quiet

SMALLEST = 22
"""LibRaw takes images with a smaller side for thumbnails."""

_FLOAT = 3  # SampleFormat
_COMPRESSIONS = (8, 34925, 50000, 52546)  # Deflate of integers, LZMA, Zstandard, JPEG XL
_INTERLEAVED = (50975, 52547)  # RowInterleaveFactor, ColumnInterleaveFactor
_PADDED = 40


def is_ours(tags):
    """Whether the DNG of these tags is read here."""
    sides = [tags.number(257, 0), tags.number(256, 0)]
    area = active_area(tags)
    sides += [] if area is None else [area[2] - area[0], area[3] - area[1]]
    return tags.number(339, 1) == _FLOAT or min(sides) < SMALLEST or tags.number(259, 1) in _COMPRESSIONS


def active_area(tags):
    """(top, left, bottom, right) of DNG's ActiveArea, whole numbers within the image; None where there is none."""
    area, height, width = tags.numbers(50829, 4), tags.number(257, 0), tags.number(256, 0)
    if area is None or not np.isfinite(area).all():
        return None
    top, left, bottom, right = (int(v) for v in area)
    return (top, left, bottom, right) if 0 <= top < bottom <= height and 0 <= left < right <= width else None


def read_pixels(path, tags):
    """The active area's stored values, [H, W] or [H, W, S], linearised by the table where there is one.

    uint16, or float32 for what does not fit: floats, where NaN becomes 0, and 32-bit integers. Raises ``ValueError``
    with what is wrong.
    """
    import tifffile

    if any(tags.number(code, 1) > 1 for code in _INTERLEAVED):
        raise ValueError("expected rows and columns in order, got an interleaved image")
    if any(count <= 0 for _, count in tags.strips):
        raise ValueError("expected whole image data, got an empty part")
    try:
        with quiet("tifffile"), tifffile.TiffFile(path) as tiff:
            pixels = raw_page(tiff).asarray(maxworkers=1)
    except MemoryError:
        raise
    except Exception as error:  # tifffile and its decoders raise nearly anything
        reason = " ".join(str(error).split())[:150] or type(error).__name__
        raise ValueError(f"expected whole image data, got: {reason}") from None
    samples, height, width = int(tags.number(277, 1)), int(tags.number(257, 0)), int(tags.number(256, 0))
    if pixels.shape == (samples, height, width):
        pixels = np.moveaxis(pixels, 0, -1)
    if pixels.shape not in ((height, width), (height, width, samples)) or pixels.dtype.kind not in "fu":
        raise ValueError(f"expected {height} x {width} x {samples} numbers, got {pixels.dtype} {pixels.shape}")
    area = active_area(tags)
    if area is not None:
        pixels = pixels[area[0] : area[2], area[1] : area[3]]
    if pixels.ndim == 3 and samples == 1:
        pixels = pixels[..., 0]
    if pixels.dtype.kind == "f":
        return np.nan_to_num(pixels.astype(np.float32), nan=0.0)
    table = tags.numbers(50712)
    if table is not None and table.size:
        values = np.clip(np.nan_to_num(table), 0, 65535).astype(np.uint16)
        return values[np.minimum(pixels.astype(np.uint32), table.size - 1)]
    return pixels.astype(np.uint16 if pixels.dtype.itemsize <= 2 else np.float32)


def pattern_of(tags):
    """(colour index of each cell [n, n], letter of each index) of a mosaic; (None, letters) of other images."""
    from modisp_jax.io.dng_tags import dng_pattern

    samples = int(tags.number(277, 1))
    if tags.number(262) != CFA or samples > 1:
        if samples not in (1, 3, 4):
            raise ValueError(f"expected 1, 3 or 4 values a pixel, got {samples}")
        return None, "RGBC"[:samples] if samples > 1 else "G"
    text = dng_pattern(tags)
    side = {4: 2, 36: 6}.get(len(text))
    if side is None or "?" in text:
        raise ValueError(f"expected a filter array of 2 x 2 or 6 x 6 known colours, got {text or 'none'!r}")
    letters = "".join(dict.fromkeys(text))
    if set(letters) == set("RGB"):
        letters = "RGB"
    elif len(letters) != 4:
        raise ValueError(f"expected a filter array of R, G and B, or of four colours, got {text!r}")
    return np.array([letters.index(letter) for letter in text]).reshape(side, side), letters


@contextlib.contextmanager
def carrier(pattern, letters, shape):
    """Yields LibRaw with an empty mosaic of ``shape``, at least, to interpolate another one's values in.

    Also what is to be done with the values: a function that pads them by reflection, which keeps the filter array's
    phase for 2 x 2 arrays, and the slices that undo it.
    """
    import rawpy

    before = [8 if n < SMALLEST else 0 for n in shape]
    after = [max(0, _PADDED - n - b) if b else 0 for n, b in zip(shape, before, strict=True)]
    padding = tuple(zip(before, after, strict=True))
    window = tuple(slice(b, b + n) for b, n in zip(before, shape, strict=True))
    size = tuple(n + b + a for n, (b, a) in zip(shape, padding, strict=True))
    text = "".join(letters[i] for i in pattern.ravel())
    with tempfile.TemporaryDirectory(prefix="modisp") as folder:
        path = write_dng(Path(folder) / "carrier.dng", np.zeros(size, np.uint16), pattern=text, white=65535)
        raw = rawpy.RawPy()
        try:
            raw.open_file(str(path))
            raw.unpack()
            yield raw, lambda values: np.pad(values, padding, mode="reflect"), window
        finally:
            raw.close()
