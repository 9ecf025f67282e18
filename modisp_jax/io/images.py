"""Finished pictures: JPEG, PNG and TIFF, 8 or 16 bit, with EXIF and an sRGB profile, written atomically.

JPEG is Pillow's, PNG imagecodecs' (Pillow writes no 16-bit RGB), TIFF tifffile's.
"""

import contextlib
import functools
import io
import os
import struct
import tempfile
import zlib
from pathlib import Path

import numpy as np

from modisp_jax.io.exif import ORIENTATION, complete_exif, exif_bytes
from modisp_jax.io.limits import check_size
from modisp_jax.io.open_picture import open_picture
from modisp_jax.io.quiet import quiet
from modisp_jax.io.tiff_exif import append_directories, directories_of_exif, placeholders, tiff_text

FORMATS = {".jpg": "jpeg", ".jpeg": "jpeg", ".png": "png", ".tif": "tiff", ".tiff": "tiff"}
_DEFAULT_BITS = {"jpeg": 8, "png": 8, "tiff": 16}
_JPEG_LIMIT = 65500  # libjpeg's largest side


class ImageError(ValueError):
    """A picture that cannot be written or read; one line with what was expected and what came."""


def apply_orientation(pixels, code):
    """Turns pixels [H, W, ...] as EXIF orientation ``code`` (1..8) asks, for viewing upright; returns a view."""
    transposed, rows, columns = _turn(code)
    return (np.swapaxes(pixels, 0, 1) if transposed else pixels)[::rows, ::columns]


def _turn(code):
    """(whether rows and columns are exchanged first, then the steps 1 or -1 along rows and columns) of a code."""
    if code not in range(1, 9):
        raise ImageError(f"orientation: expected an EXIF code 1..8, got {code}")
    # 1 as is, 2 mirrored, 3 upside down and mirrored, 4 upside down; transposed: 5 as is, 6 mirrored, 7 both, 8 rows.
    rows, columns = {1: (1, 1), 2: (1, -1), 3: (-1, -1), 4: (-1, 1)}[code - 4 if code >= 5 else code]
    return code >= 5, rows, columns


def crop_as_stored(crop, code):
    """A crop of the upright picture as one of the stored pixels.

    ``crop`` is (top, left, height, width) in fractions, or None; ``code`` the EXIF orientation by which the stored
    pixels are turned upright.
    """
    transposed, rows, columns = _turn(code)
    if crop is None:
        return None
    top, left, height, width = crop
    top = top if rows > 0 else 1 - top - height
    left = left if columns > 0 else 1 - left - width
    return (left, top, width, height) if transposed else (top, left, height, width)


def rotation_as_stored(degrees, code):
    """A clockwise rotation of the upright picture as one of the stored pixels: mirrored ones turn the other way."""
    transposed, rows, columns = _turn(code)
    return degrees if rows * columns * (-1 if transposed else 1) > 0 else -degrees


def line_as_stored(degrees, code):
    """The direction of a line in the upright picture, counter-clockwise from the right, as one in the stored pixels."""
    transposed, rows, columns = _turn(code)
    degrees = degrees if rows * columns > 0 else -degrees
    return 90.0 - degrees if transposed else degrees


def quantize(srgb, bits=8):
    """[...] in [0, 1] to unsigned integers of ``bits`` 8 or 16, clipped and rounded to nearest."""
    top = 2**bits - 1
    scaled = np.clip(np.asarray(srgb), 0, 1) * np.float32(top) + np.float32(0.5)
    return scaled.astype(np.uint8 if bits == 8 else np.uint16)


def write_image(path, srgb, *, quality=95, bits=None, exif=None, orientation="apply"):
    """Writes an sRGB picture as JPEG, PNG or TIFF, by the extension of ``path``; returns the path.

    Args:
      srgb: float [H, W, 3] in [0, 1] (clipped), display-referred.
      quality: of a JPEG, 1..100; from 90 on, colour is stored at full resolution (4:4:4).
      bits: 8 or 16 per channel; by default 16 for TIFF and 8 otherwise. JPEG has 8.
      exif: Pillow ``Exif`` or bytes, kept; see :func:`modisp_jax.io.exif.exif_from_raw`.
      orientation: "apply" turns the pixels as EXIF says and sets its orientation to 1; "keep" leaves both.

    The file appears under its name only when it is complete; a failed write leaves what was there before.
    Raises :class:`ImageError`.
    """
    path = Path(path)
    kind = FORMATS.get(path.suffix.lower())
    if kind is None:
        raise ImageError(f"{path}: expected a name ending in {', '.join(FORMATS)}; got {path.suffix or 'none'!r}")
    bits = _DEFAULT_BITS[kind] if bits is None else bits
    if bits not in (8, 16) or (kind == "jpeg" and bits != 8):
        raise ImageError(f"{path}: expected bits 8{'' if kind == 'jpeg' else ' or 16'} for {kind}, got {bits}")
    if not 1 <= quality <= 100:
        raise ImageError(f"{path}: expected quality 1..100, got {quality}")
    if orientation not in ("apply", "keep"):
        raise ImageError(f'{path}: expected orientation "apply" or "keep", got {orientation!r}')
    srgb = np.asarray(srgb)
    if srgb.ndim != 3 or srgb.shape[-1] != 3 or 0 in srgb.shape:
        raise ImageError(f"{path}: expected a picture [H, W, 3], got shape {srgb.shape}")
    if srgb.dtype.kind != "f":
        raise ImageError(f"{path}: expected floating-point values in [0, 1], got dtype {srgb.dtype}")
    if np.isnan(np.sum(srgb)):
        raise ImageError(f"{path}: expected finite values, got NaN")
    if kind == "jpeg" and max(srgb.shape) > _JPEG_LIMIT:
        raise ImageError(f"{path}: expected sides up to {_JPEG_LIMIT} for a JPEG, got {srgb.shape[:2]}")
    exif = _copy_exif(path, exif)
    if orientation == "apply" and exif is not None:
        srgb = apply_orientation(srgb, _orientation(exif))
        exif[ORIENTATION] = 1
    pixels = np.ascontiguousarray(quantize(srgb, bits))
    with replacing(path) as temporary:
        if kind == "tiff":
            _write_tiff(temporary, pixels, exif)
        elif kind == "png":
            _write_png(temporary, pixels, exif)
        else:
            _write_jpeg(temporary, pixels, quality, exif)
    return path


@contextlib.contextmanager
def replacing(path, error=ImageError):
    """Yields a temporary name beside ``path`` that takes its place at the end, and is removed on any failure."""
    path = Path(path)
    try:
        # Of the name only a part: with the random one it must not become too long for the file system.
        handle, name = tempfile.mkstemp(prefix=f".{path.stem[:30]}.", suffix=path.suffix, dir=path.parent)
    except OSError as cause:
        raise error(f"{path}: expected a folder that can be written to, got: {cause.strerror}") from None
    os.close(handle)
    try:
        yield Path(name)
        os.chmod(name, 0o666 & ~_umask())  # mkstemp makes files that only their owner reads
        os.replace(name, path)
    except OSError as cause:
        raise error(f"{path}: cannot be written: {cause.strerror or cause}") from None
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.remove(name)


def _umask():
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def _copy_exif(path, exif):
    """A Pillow ``Exif`` of its own, so that the caller's stays as it is."""
    from PIL import Image

    if exif is None:
        return None
    copy = Image.Exif()
    try:
        copy.load(exif if isinstance(exif, bytes) else exif.tobytes())
    except (AttributeError, SyntaxError, struct.error, ValueError, TypeError) as cause:
        raise ImageError(
            f"{path}: expected EXIF as bytes or a Pillow Exif, got {type(exif).__name__}: {cause}"
        ) from None
    return copy


def _orientation(exif):
    code = exif.get(ORIENTATION, 1)
    return code if code in range(1, 9) else 1


@functools.cache
def srgb_profile():
    """An sRGB ICC profile, bytes. Its date is set to a fixed one, so that equal pictures make equal files."""
    from PIL import ImageCms

    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    profile[24:36] = struct.pack(">6H", 2025, 1, 1, 0, 0, 0)
    return bytes(profile)


def _write_jpeg(path, pixels, quality, exif):
    from PIL import Image

    options = {"icc_profile": srgb_profile(), "quality": int(quality)}
    options["subsampling"] = 0 if quality >= 90 else 2  # 4:4:4, 4:2:0
    if exif is not None:
        complete_exif(exif, pixels.shape[:2])
        options["exif"] = exif_bytes(exif)
    encoded = io.BytesIO()  # not the file itself: Pillow takes a write that the disk cuts short for a whole one
    try:
        Image.fromarray(pixels).save(encoded, format="jpeg", **options)
    except ValueError as cause:  # EXIF of more than 64 KB
        raise ImageError(f"{path}: cannot be written: {cause}") from None
    path.write_bytes(encoded.getbuffer())


def _png_chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def _write_png(path, pixels, exif):
    import imagecodecs

    # Level 6 takes 1.5 times as long for 1 % less size on 16 bits of photo, 3 times for 8 % on 8 bits.
    data = imagecodecs.png_encode(pixels, level=2)
    header = 8 + 25  # signature, IHDR; colour and EXIF chunks come before the data
    extra = _png_chunk(b"iCCP", b"sRGB\0\0" + zlib.compress(srgb_profile()))
    if exif is not None:
        extra += _png_chunk(b"eXIf", exif.tobytes().removeprefix(b"Exif\0\0"))
    path.write_bytes(data[:header] + extra + data[header:])


def _write_tiff(path, pixels, exif):
    """TIFF, deflated; EXIF's own directories follow the picture."""
    import tifffile

    tags, directories = [], {}
    if exif is not None:
        known = [code for code in (0x010F, 0x0110, 0x013B, 0x8298) if code in exif]
        tags = [(code, "s", 0, tiff_text(exif[code]), True) for code in known]
        tags.append((ORIENTATION, "H", 1, _orientation(exif), True))
        directories = directories_of_exif(exif)
    options = {"photometric": "rgb", "compression": "zlib", "predictor": True, "byteorder": "<", "metadata": None}
    options |= {"iccprofile": srgb_profile(), "software": "modisp_jax" if exif is None else exif.get(0x0131, "")}
    if exif is not None and 0x0132 in exif:
        options["datetime"] = str(exif[0x0132])
    tifffile.imwrite(path, pixels, extratags=tags + placeholders(directories), **options)
    append_directories(path, directories)


def read_image(path):
    """Reads a PNG, TIFF or JPEG of 8 or 16 bits per channel; returns float32 [H, W, 3] in [0, 1].

    Grey pictures are repeated over R, G, B; transparency is dropped. Pixels come as stored: neither orientation nor
    colour profile is applied. ``quantize`` of the result gives the stored numbers back. Raises :class:`ImageError`.
    """
    path = Path(path)
    try:
        pixels = _read_pixels(path)
    except ImageError:
        raise
    except OSError as cause:
        problem = cause.strerror or "no picture that can be read"
        raise ImageError(f"{path}: expected a PNG, TIFF or JPEG picture, got: {problem}") from None
    except MemoryError:
        raise ImageError(f"{path}: out of memory") from None
    except Exception as cause:  # decoders raise classes of their own, and any of these on damaged data
        problem = " ".join(str(cause).split())[:200] or type(cause).__name__
        raise ImageError(f"{path}: expected a whole PNG, TIFF or JPEG picture, got: {problem}") from None
    if pixels.dtype not in (np.uint8, np.uint16):
        raise ImageError(f"{path}: expected 8 or 16 bits per channel, got {pixels.dtype}")
    pixels = pixels[..., None] if pixels.ndim == 2 else pixels
    if pixels.ndim != 3 or pixels.shape[-1] not in (1, 2, 3, 4) or 0 in pixels.shape:
        raise ImageError(f"{path}: expected a picture [H, W, 3], got shape {pixels.shape}")
    pixels = pixels[..., :1].repeat(3, axis=-1) if pixels.shape[-1] < 3 else pixels[..., :3]
    return pixels.astype(np.float32) / np.float32(np.iinfo(pixels.dtype).max)


def _read_pixels(path):
    with open(path, "rb") as file:
        head, size = file.read(26), os.fstat(file.fileno()).st_size
    if head[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        import tifffile

        with quiet("tifffile"), tifffile.TiffFile(path) as tiff:
            page = tiff.pages[0]
            # A page may have more than one plane of pixels, or claim so.
            area = max(1, page.imagelength * page.imagewidth)
            claim = {"pixel_bytes": page.nbytes / area, "file_size": size, "error": ImageError}
            check_size(path, page.imagelength, page.imagewidth, **claim)
            pixels = page.asarray()
        return np.where(pixels, np.uint8(255), np.uint8(0)) if pixels.dtype == bool else pixels
    if head.startswith(b"\x89PNG") and len(head) == 26 and head[24] == 16:
        import imagecodecs

        width, height = struct.unpack(">2I", head[16:24])
        check_size(path, height, width, pixel_bytes=6, file_size=size, error=ImageError)
        return imagecodecs.png_decode(path.read_bytes())
    with open_picture(path, ImageError) as picture:
        return np.asarray(picture.convert("RGB"))
