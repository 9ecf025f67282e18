"""EXIF: read from raw files, written into finished pictures. Pillow does both."""

import contextlib
import fractions
import io
import json
import math
import struct
import warnings
from pathlib import Path

from modisp_jax.io.decode import DecodeError, decode, is_separate
from modisp_jax.io.json_text import parse_json
from modisp_jax.io.open_picture import open_picture
from modisp_jax.io.quiet import quiet

EXIF_IFD, GPS_IFD, INTEROP_IFD = 0x8769, 0x8825, 0xA005
ORIENTATION, SOFTWARE = 0x0112, 0x0131
USER_COMMENT = 0x9286
_YCBCR_POSITIONING = 0x0213
_X_RESOLUTION, _Y_RESOLUTION, _RESOLUTION_UNIT = 0x011A, 0x011B, 0x0128
UNDEFINED = (0x8828, 0x9000, 0x9101, 0x927C, 0x9286, 0xA000, 0xA300, 0xA301, 0xA302, 0xA30B)
SIGNED = (0x9201, 0x9203, 0x9204)
_ASCII = b"ASCII\0\0\0"

# What a finished picture keeps of the raw's directories. Not kept: layout (sizes, strips), MakerNote (its offsets
# break when it moves), colour space and pixel dimensions (those of the raw).
_KEPT_IMAGE = (0x010F, 0x0110, 0x0132, 0x013B, 0x8298)  # make, model, date, artist, copyright
_DROPPED_EXIF = (0x927C, 0xA001, 0xA002, 0xA003, 0xA005, 0x9286, 0x9101, 0x9102)


def read_exif(path):
    """EXIF of a photo by directory (:func:`directories_of`), values as Pillow has them.

    Read from the file itself where it is a TIFF (DNG, NEF, ARW, CR2, PEF, ...), a JPEG or a PNG, else from the JPEG
    preview that the raw carries (CR3, RAF, ...). Empty directories where there is none, never an error.
    """
    with open(path, "rb") as file:
        head = file.read(12)
        if head[:4] in (b"II*\0", b"MM\0*"):
            file.seek(0)
            return directories_of(lambda exif: exif.load_from_fp(file))
    is_picture = head[:3] == b"\xff\xd8\xff" or head[:4] == b"\x89PNG"
    data = _exif_of_picture(path) if is_picture else _exif_of_preview(path)
    return directories_of(lambda exif: exif.load(data)) if data else directories_of(None)


def _exif_of_picture(path):
    """EXIF of a JPEG or PNG, as bytes; None where there is none."""
    with contextlib.suppress(OSError, ValueError), open_picture(path, ValueError) as picture:
        return picture.info.get("exif")
    return None


def _exif_of_preview(path):
    """:func:`preview_exif`, by the decoding child where there is one."""
    if not is_separate():
        return preview_exif(path)
    try:
        data = decode("preview_exif", path)[0]["exif"]
    except DecodeError:  # a preview that takes its decoder down has no EXIF
        return None
    return None if data is None else bytes.fromhex(data)


def preview_exif(path):
    """EXIF of the JPEG preview that LibRaw finds in a raw file, as bytes; None where there is none."""
    import rawpy
    from PIL import Image

    from modisp_jax.io.libraw import open_in

    raw = rawpy.RawPy()
    try:
        open_in(raw, Path(path))
        preview = raw.extract_thumb()
        if preview.format == rawpy.ThumbFormat.JPEG:
            with Image.open(io.BytesIO(preview.data)) as picture:
                return picture.info.get("exif")
    except (rawpy.LibRawError, NotImplementedError, OSError, ValueError):
        pass  # no preview, or none that Pillow reads: there is no EXIF to be had
    finally:
        raw.close()
    return None


def directories_of(load):
    """``{"image": {code: value}, "exif": ..., "gps": ..., "interop": ...}`` of a Pillow ``Exif``.

    ``load(exif)`` fills it; None leaves all empty. What is read before any damage is kept.
    """
    from PIL import Image

    exif = Image.Exif()
    found = {"image": {}, "exif": {}, "gps": {}, "interop": {}}
    if load is None:
        return found
    with quiet("PIL"), warnings.catch_warnings():  # Pillow warns of damaged entries, and leaves them out
        warnings.simplefilter("ignore")
        with contextlib.suppress(Exception):  # any damage in the directories: keep what was read before it
            load(exif)
            found["image"] = dict(exif)
            found["exif"] = dict(exif.get_ifd(EXIF_IFD))
            found["gps"] = dict(exif.get_ifd(GPS_IFD))
            found["interop"] = dict(exif.get_ifd(INTEROP_IFD))
    return found


def number(value):
    """``value`` as a finite float, or None: EXIF rationals may be 0/0, and single numbers may come as tuples."""
    if isinstance(value, tuple):
        value = value[0] if value else None
    with contextlib.suppress(TypeError, ValueError, ZeroDivisionError):
        result = float(value)
        if math.isfinite(result):
            return result
    return None


def text(value):
    """``value`` as a stripped string, or None where it is none or empty."""
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if not isinstance(value, str):
        return None
    return value.split("\0")[0].strip() or None


def writable(entries):
    """Those of an EXIF directory's entries, code to value, that can be written: damaged files have others too."""
    from PIL import TiffImagePlugin

    kept = {}
    for code, value in entries.items():
        directory = TiffImagePlugin.ImageFileDirectory_v2(prefix=b"II")
        with quiet("PIL"), warnings.catch_warnings(), contextlib.suppress(Exception):
            warnings.simplefilter("error")  # such as of more numbers than there may be
            directory[code] = value
            directory.tobytes(0)
            kept[code] = value
    return kept


def exif_from_raw(path, metadata=None, *, orientation=None, settings=None, given=()):
    """A Pillow ``Exif`` for the finished picture of the raw at ``path``.

    Camera, lens, exposure, ISO, date, focal length and GPS position as the raw has them; ``metadata``
    (``RawMetadata``) fills in what only LibRaw knows. Software is "modisp_jax". ``orientation`` (EXIF code 1..8) is
    by default that of ``metadata``; ``write_image`` replaces it where it turns the pixels. ``settings``, a dict that
    JSON can hold, becomes the user comment: how the picture was made, for :func:`read_settings`. Fields of ``metadata``
    that are ``given`` by name stand for what the file says, too.
    """
    from PIL import Image

    found = read_exif(path)
    exif = Image.Exif()
    for code, value in writable({k: found["image"][k] for k in _KEPT_IMAGE if k in found["image"]}).items():
        exif[code] = value
    camera = writable({k: v for k, v in found["exif"].items() if k not in _DROPPED_EXIF})
    if metadata is not None:
        known = {0x010F: metadata.make, 0x0110: metadata.model}
        for code, value in known.items():
            if value and code not in exif:
                exif[code] = value
        known = {
            "exposure_time": (0x829A, _rational(metadata.exposure_time)),
            "f_number": (0x829D, _rational(metadata.f_number)),
            "iso": (0x8827, min(round(metadata.iso), 65535) if metadata.iso else None),  # which stands for more, too
            "focal_length": (0x920A, _rational(metadata.focal_length)),
            "datetime": (0x9003, metadata.datetime.replace("-", ":").replace("T", " ") if metadata.datetime else None),
            "lens": (0xA434, metadata.lens),
        }
        for name, (code, value) in known.items():
            if value and (code not in camera or name in given):
                camera[code] = value
        orientation = metadata.orientation if orientation is None else orientation
    exif[SOFTWARE] = "modisp_jax"
    if settings is not None:
        camera[USER_COMMENT] = _ASCII + json.dumps(settings, allow_nan=False).encode("ascii")
    if orientation is not None:
        exif[ORIENTATION] = int(orientation)
    if camera:
        exif.get_ifd(EXIF_IFD).update(camera)
    if found["gps"]:
        exif.get_ifd(GPS_IFD).update(writable(found["gps"]))
    return exif


def _rational(value):
    """A number as EXIF's rational (Pillow would write a double), None for none."""
    from PIL.TiffImagePlugin import IFDRational

    if not value:
        return None
    fraction = fractions.Fraction(value).limit_denominator(1_000_000)
    return IFDRational(fraction.numerator, fraction.denominator)


def complete_exif(exif, size):
    """Adds what Exif 2.32 requires of a JPEG of ``size`` (height, width) in sRGB, where it is missing."""
    image = {_X_RESOLUTION: 72, _Y_RESOLUTION: 72, _RESOLUTION_UNIT: 2}  # which stand for unknown
    camera = {0x9000: b"0232", 0x9101: b"\1\2\3\0", 0xA000: b"0100"}  # Exif, components, FlashPix
    camera |= {0xA001: 1, 0xA002: size[1], 0xA003: size[0]}
    for directory, required in ((exif, image), (exif.get_ifd(EXIF_IFD), camera)):
        directory.update({code: value for code, value in required.items() if code not in directory})
    exif[_YCBCR_POSITIONING] = 1  # centred


def exif_bytes(exif):
    """EXIF as Pillow writes it, ``Exif\\0\\0`` and a TIFF, but with the types that Exif 2.32 asks for.

    Pillow writes bytes as BYTE, where Exif wants UNDEFINED, and positive exposure bias as RATIONAL, not SRATIONAL.
    """
    data = bytearray(exif.tobytes())
    start = 6 if data.startswith(b"Exif\0\0") else 0
    order = "<" if data[start : start + 2] == b"II" else ">"
    directory = struct.unpack_from(f"{order}I", data, start + 4)[0]
    found = dict(_entries(data, start, directory, order))
    if EXIF_IFD not in found:
        return bytes(data)
    directory = struct.unpack_from(f"{order}I", data, found[EXIF_IFD] + 8)[0]
    for code, at in _entries(data, start, directory, order):
        kind = struct.unpack_from(f"{order}H", data, at + 2)[0]
        if (kind == 1 and code in UNDEFINED) or (kind == 5 and code in SIGNED):
            struct.pack_into(f"{order}H", data, at + 2, {1: 7, 5: 10}[kind])
    return bytes(data)


def _entries(data, start, directory, order):
    """(tag's code, where the entry stands) of a directory of the TIFF at ``start``."""
    count = struct.unpack_from(f"{order}H", data, start + directory)[0]
    for at in range(start + directory + 2, start + directory + 2 + 12 * count, 12):
        yield struct.unpack_from(f"{order}H", data, at)[0], at


def read_settings(path):
    """The settings by which this package made a picture (JPEG, PNG or TIFF), a dict; None where it holds none."""
    try:
        with open_picture(path, ValueError) as picture:
            comment = picture.getexif().get_ifd(EXIF_IFD).get(USER_COMMENT)
    except (OSError, ValueError):  # no picture that Pillow knows, or a damaged one
        return None
    if not isinstance(comment, bytes) or not comment.startswith(_ASCII):
        return None
    try:
        settings = parse_json(comment.removeprefix(_ASCII).rstrip(b"\0"))
    except ValueError:
        return None
    return settings if isinstance(settings, dict) and "modisp_jax" in settings else None
