"""Finished photos of anyone: JPEG, PNG, TIFF, WebP, AVIF and HEIF as sRGB pixels, with what they say of themselves.

What is read is bounded before it is decoded, and what is damaged is an :class:`ImageError` of one line.
"""

import contextlib
import dataclasses
import os
import threading
import warnings

import numpy as np

from modisp_jax.io.color_profiles import adobe_rgb_to_srgb, profile_name, profile_space, to_srgb
from modisp_jax.io.exif import directories_of, text
from modisp_jax.io.images import ImageError
from modisp_jax.io.limits import check_size
from modisp_jax.io.metadata import RawMetadata, capture_of
from modisp_jax.io.quiet import quiet

LARGEST_EXPANSION = 2**16
"""Times the file's size that its pixels may have: WebP and AVIF say plain areas in a few bytes."""

KINDS = "JPEG, PNG, TIFF, WebP, AVIF or HEIF"
_HEIF_BRANDS = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1")
_TIFF_HEADS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_COLOR_SPACE, _INDEX = 0xA001, 0x0001
_LOCK = threading.Lock()  # for Pillow's limit, which is one for all


@dataclasses.dataclass(frozen=True)
class Photo:
    """A finished photo as its file has it, in sRGB."""

    srgb: np.ndarray
    """float32 [H, W, 3] in [0, 1], not turned."""
    metadata: RawMetadata
    """Camera, exposure, date, orientation, size and format; ``warnings`` says what was amiss."""
    profile: str = ""
    """Description of the file's colour profile, "" where it has none: then its colours are taken for sRGB."""


@dataclasses.dataclass(frozen=True)
class _Stored:
    """What a decoder makes of a file."""

    pixels: np.ndarray
    """uint8 or uint16 [H, W, C]; C 1 (grey), 3 (RGB) or 4 (CMYK, all ink is the largest value)."""
    profile: bytes | None
    exif: dict
    """As :func:`modisp_jax.io.exif.read_exif` has it."""


def read_photo(path):
    """Reads a finished photo, whatever made it.

    JPEG (grey, RGB, CMYK), PNG and TIFF (8 or 16 bit; grey, RGB, palette, CMYK), WebP and AVIF; HEIF with
    ``pip install 'modisp_jax[heif]'``. Of files with several pictures the first. The colour profile is honoured: an ICC
    profile, or Adobe RGB by EXIF's word; without either, colours are sRGB's (CMYK: the plain inverse). What sRGB cannot
    show moves to its surface, in linear light, towards the grey of equal luminance. Transparency is ignored. AVIF, HEIF
    and WebP are read at 8 bits; HDR transfer curves are not interpreted.

    Returns:
      A :class:`Photo`.

    Raises:
      ImageError: a ``ValueError``: no picture of these kinds, one cut short or damaged, of other depths, with sides
        over 65500 or more than 268 megapixels.
    """
    kind = _kind(path)
    try:
        stored = _read_tiff(path) if kind == "TIFF" else _read_by_pillow(path, kind)
    except ImageError:
        raise
    except MemoryError:
        raise ImageError(f"{path}: expected a picture that fits into memory") from None
    except Exception as cause:  # decoders raise classes of their own, and any of these on damaged data
        reason = " ".join(str(cause).split()) or type(cause).__name__
        raise ImageError(f"{path}: expected a whole {kind} picture, got: {reason}") from None
    return _in_srgb(stored, kind)


def _kind(path):
    """Format of a file by its first bytes."""
    try:
        with open(path, "rb") as file:
            head = file.read(32)
    except OSError as cause:
        raise ImageError(f"{path}: expected a {KINDS} picture, got: {cause.strerror}") from None
    if head.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if head[:4] in _TIFF_HEADS:
        return "TIFF"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    if head[4:8] == b"ftyp":
        if head[8:12] in (b"avif", b"avis") or b"avif" in head[16:]:
            return "AVIF"
        if head[8:12] in _HEIF_BRANDS:
            return "HEIF"
    raise ImageError(f"{path}: expected a {KINDS} picture, got a file of another kind")


def _check_size(path, height, width):
    """Raises :class:`ImageError` unless a picture of this size may be decoded."""
    claim = {"pixel_bytes": 3, "file_size": os.path.getsize(path), "expansion": LARGEST_EXPANSION}
    check_size(path, height, width, error=ImageError, **claim)


@contextlib.contextmanager
def _pillow(path, kind):
    """The file as an opened Pillow picture, its size checked; warnings of odd metadata are kept quiet."""
    if kind == "HEIF":
        _register_heif(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with _opened(path, kind) as picture:
            _check_size(path, picture.height, picture.width)
            yield picture


def _opened(path, kind):
    """The file opened by Pillow, whose own limit of 179 megapixels is set aside: ours is checked instead."""
    from PIL import Image

    with _LOCK:
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            return Image.open(path, formats=(kind,))
        finally:
            Image.MAX_IMAGE_PIXELS = limit


def _register_heif(path):
    try:
        import pillow_heif
    except ImportError:
        raise ImageError(
            f"{path}: HEIF pictures need pillow-heif, which is not installed: pip install 'modisp_jax[heif]'"
        ) from None
    pillow_heif.register_heif_opener()


def _read_by_pillow(path, kind):
    with _pillow(path, kind) as picture:
        profile, exif = picture.info.get("icc_profile"), picture.info.get("exif")
        found = directories_of(lambda into: into.load(exif)) if exif else directories_of(None)
        if kind == "PNG" and _is_16_bit_png(path):
            return _Stored(_read_16_bit_png(path), profile, found)
        return _Stored(_eight_bits(picture), profile, found)


def _eight_bits(picture):
    """Pixels [H, W, C] of a Pillow picture of any mode."""
    mode = picture.mode
    if mode in ("L", "LA", "La", "1"):
        target = "L"
    elif mode == "CMYK":
        target = mode
    elif mode in ("I", "F", "I;16", "I;16B", "I;16L"):
        raise ImageError(f"{picture.filename}: expected 8 or 16 bits per channel, got Pillow's mode {mode}")
    else:
        target = "RGB"
    picture.load()  # which raises where data end early
    pixels = np.asarray(picture if mode == target else picture.convert(target))
    return pixels[..., None] if pixels.ndim == 2 else pixels


def _is_16_bit_png(path):
    with open(path, "rb") as file:
        return file.read(25)[24:] == b"\x10"


def _read_16_bit_png(path):
    import imagecodecs

    with open(path, "rb") as file:
        pixels = imagecodecs.png_decode(file.read())
    return _without_alpha(pixels[..., None] if pixels.ndim == 2 else pixels)


def _without_alpha(pixels):
    """Grey or RGB of [H, W, 1 to 4]."""
    return pixels[..., :1] if pixels.shape[-1] < 3 else pixels[..., :3]


def _read_tiff(path):
    import tifffile

    with quiet("tifffile"), tifffile.TiffFile(path) as file:
        page = file.pages[0]
        _check_size(path, page.imagelength, page.imagewidth)
        name = getattr(page.photometric, "name", str(page.photometric))
        bits = page.bitspersample
        if page.imagedepth != 1 or not 1 <= page.samplesperpixel <= 8:
            raise ImageError(f"{path}: expected a picture of 1 to 8 channels, got {page.samplesperpixel}")
        profile = page.iccprofile
        if not isinstance(profile, bytes | None):  # a tag of another type: a damaged profile, which the note names
            profile = b"\0"
        direct = bits in (8, 16) and page.sampleformat == 1 and name in _TIFF_CHANNELS
        if direct:
            pixels = page.asarray()
            if page.planarconfig == 2 and pixels.ndim == 3:
                pixels = np.moveaxis(pixels, 0, -1)
    if not direct and not (bits <= 8 and page.sampleformat == 1):
        raise ImageError(f"{path}: expected 8 or 16 bits per channel in whole numbers, got {bits} bits of {name}")
    with open(path, "rb") as file:
        found = directories_of(lambda into: into.load_from_fp(file))
    if not direct:  # palettes, YCbCr, single bits
        with _pillow(path, "TIFF") as picture:
            return _Stored(_eight_bits(picture), profile, found)
    pixels = pixels[..., None] if pixels.ndim == 2 else pixels
    channels = _TIFF_CHANNELS[name]
    if pixels.shape[-1] < channels:
        raise ImageError(f"{path}: expected {channels} channels of {name}, got {pixels.shape[-1]}")
    pixels = pixels[..., :channels]
    return _Stored(~pixels if name == "MINISWHITE" else pixels, profile, found)


_TIFF_CHANNELS = {"MINISBLACK": 1, "MINISWHITE": 1, "RGB": 3, "SEPARATED": 4}


def _in_srgb(stored, kind):
    """The :class:`Photo` of what a decoder made."""
    pixels = stored.pixels.astype(np.float32) / np.float32(np.iinfo(stored.pixels.dtype).max)
    name, notes = "", []
    if stored.profile:
        name = profile_name(stored.profile)
        pixels, note = _by_profile(pixels, stored.profile)
        notes += [note] if note else []
    elif pixels.shape[-1] == 3 and _says_adobe_rgb(stored.exif):
        pixels, name = adobe_rgb_to_srgb(pixels), "Adobe RGB (EXIF)"
    pixels = _as_rgb(pixels)
    metadata = RawMetadata(**capture_of(stored.exif), size=pixels.shape[:2], format=kind, warnings=tuple(notes))
    return Photo(np.ascontiguousarray(pixels), metadata, name)


def _by_profile(pixels, profile):
    """(pixels in sRGB or, where the profile is of no use, as they were; a note of that or "")."""
    grey = pixels.shape[-1] == 1
    if grey and profile_space(profile) == ("rgb", 3):  # grey pictures of editors that keep the RGB profile
        pixels = pixels.repeat(3, axis=-1)
    elif pixels.shape[-1] == 3 and profile_space(profile) == ("gray", 1) and _is_grey(pixels):
        pixels = pixels[..., :1]
    try:
        return to_srgb(pixels, profile), ""
    except ValueError as error:
        return pixels, f"the colour profile was ignored: {error}"


def _is_grey(pixels):
    return bool((pixels[..., :1] == pixels).all())


def _as_rgb(pixels):
    if pixels.shape[-1] == 4:
        return (1 - pixels[..., :3]) * (1 - pixels[..., 3:])
    return pixels.repeat(3, axis=-1) if pixels.shape[-1] == 1 else pixels


def _says_adobe_rgb(found):
    """Whether EXIF names DCF's optional colour space: interoperability R03 of an uncalibrated picture."""
    return found["exif"].get(_COLOR_SPACE) in (2, 0xFFFF) and text(found["interop"].get(_INDEX)) == "R03"
