"""Small upright pictures of photos, quickly: the preview that a raw file carries, or a small decoding."""

import contextlib
import io

import numpy as np

from modisp_jax.io.decode import DecodeError, decode, is_separate
from modisp_jax.io.exif import ORIENTATION
from modisp_jax.io.images import ImageError, apply_orientation
from modisp_jax.io.libraw import RawError, open_in, opened
from modisp_jax.io.photos import _kind, _opened, _pillow, read_photo
from modisp_jax.io.raw import read_mosaic_here, read_raw_file_here

_LARGEST_PREVIEW = 2**26
"""Pixels of a preview that is decoded."""


def thumbnail_of_raw(path, side):
    """An upright picture, uint8 [h, w, 3] with at most ``side`` pixels a side, of a raw file.

    The largest preview that the camera wrote, turned as the raw says; without one the raw itself, in plain colours.
    Raises :class:`RawError`.
    """
    if not is_separate():
        return raw_thumbnail_here(path, side)
    try:
        return decode("thumbnail", path, side=side)[1]
    except DecodeError as error:
        raise RawError(str(error) if error.refused else f"{path}: {error}") from None


def raw_thumbnail_here(path, side):
    """:func:`thumbnail_of_raw` in this process."""
    pixels = _preview(path, side)
    if pixels is None:
        return _turned(*_plain(path, side))
    with opened(path) as file:
        orientation, size = file.metadata.orientation, file.metadata.size
    is_upright = orientation >= 5 and (pixels.shape[0] > pixels.shape[1]) != (size[0] > size[1])
    return _turned(pixels, 1 if is_upright else orientation)


def _preview(path, side):
    """Pixels of the preview that LibRaw finds, not turned; None for none that can be read."""
    import rawpy
    from PIL import Image

    raw = rawpy.RawPy()
    try:
        open_in(raw, path)
        preview = raw.extract_thumb()
        if preview.format != rawpy.ThumbFormat.JPEG:
            return _shrunk(Image.fromarray(np.asarray(preview.data)), side)
        with Image.open(io.BytesIO(preview.data), formats=("JPEG",)) as picture:
            return _shrunk(picture, side)
    except (rawpy.LibRawError, NotImplementedError, OSError, ValueError, TypeError):
        return None
    finally:
        raw.close()


def _shrunk(picture, side):
    """A Pillow picture as uint8 [h, w, 3] with at most ``side`` pixels a side."""
    if picture.width * picture.height > _LARGEST_PREVIEW * 4:
        raise ValueError("a preview of so many pixels is no preview")
    picture.draft("RGB", (2 * side, 2 * side))
    picture = picture.convert("RGB")
    picture.thumbnail((side, side))
    return np.asarray(picture)


def _plain(path, side):
    """(uint8 [h, w, 3], orientation) of a raw in plain colours: white balance, matrix and a power curve."""
    try:
        file = read_mosaic_here(path)
        small = _binned(file.values, file.pattern)
    except RawError:  # no Bayer mosaic, or no raw at all, which the next line says
        file = read_raw_file_here(path, demosaic="linear")
        small = file.image
    step = max(1, -(-max(small.shape[:2]) // side))
    h, w = (max(1, size // step) for size in small.shape[:2])
    small = small[: h * step, : w * step].reshape(h, min(step, small.shape[0]), w, min(step, small.shape[1]), 3)
    linear = np.clip(small.mean((1, 3)) / np.maximum(file.illuminant, 1e-6), 0, 1) @ file.ccm.T
    pixels = np.rint(np.clip(1.6 * linear, 0, 1) ** (1 / 2.2) * 255).astype(np.uint8)
    return pixels, file.metadata.orientation


def _binned(values, pattern):
    """RGB [H/2, W/2, 3] of a Bayer mosaic [H, W]: each cell of 2 x 2 is a pixel."""
    h, w = (size // 2 * 2 for size in values.shape)
    cells = [values[k // 2 : h : 2, k % 2 : w : 2] for k in range(4)]
    return np.stack([sum(cells[k] for k in range(4) if pattern[k] == c) / pattern.count(c) for c in "RGB"], axis=-1)


def thumbnail_of_picture(path, side):
    """An upright picture, uint8 [h, w, 3] with at most ``side`` pixels a side, of a finished photo.

    Colour profiles are left aside. Raises :class:`ImageError`.
    """
    kind = _kind(path)
    try:
        with _pillow(path, kind) as picture:
            orientation = picture.getexif().get(ORIENTATION, 1)
            if picture.mode in ("RGB", "RGBA", "L", "P", "YCbCr", "CMYK"):
                return _turned(_shrunk(picture, side), orientation)
    except ImageError:
        raise
    except Exception:  # Pillow reads fewer kinds than read_photo does
        orientation = 1
    photo = read_photo(path)
    from PIL import Image

    return _turned(
        _shrunk(Image.fromarray(np.rint(photo.srgb * 255).astype(np.uint8)), side), photo.metadata.orientation
    )


def size_of_picture(path):
    """((height, width) as stored, orientation) of a finished photo, from its head. Raises :class:`ImageError`."""
    kind = _kind(path)
    try:
        with _opened(path, kind) if kind != "HEIF" else _pillow(path, kind) as picture:
            size, orientation = (picture.height, picture.width), 1
            with contextlib.suppress(Exception):
                orientation = picture.getexif().get(ORIENTATION, 1)
    except ImageError:
        raise
    except Exception:
        photo = read_photo(path)
        size, orientation = photo.srgb.shape[:2], photo.metadata.orientation
    return size, orientation


def _turned(pixels, orientation):
    return np.ascontiguousarray(apply_orientation(pixels, orientation if orientation in range(1, 9) else 1))
