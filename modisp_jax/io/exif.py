"""EXIF: read from raw files, written into finished pictures. Pillow does both."""

import contextlib
import io
import json
import math
import warnings
from pathlib import Path

from modisp_jax.io.decode import DecodeError, decode, is_separate
from modisp_jax.io.json_text import parse_json
from modisp_jax.io.open_picture import open_picture
from modisp_jax.io.quiet import quiet

EXIF_IFD, GPS_IFD = 0x8769, 0x8825
ORIENTATION, SOFTWARE = 0x0112, 0x0131
USER_COMMENT = 0x9286
_ASCII = b"ASCII\0\0\0"

# What a finished picture keeps of the raw's directories. Not kept: layout (sizes, strips), MakerNote (its offsets
# break when it moves), colour space and pixel dimensions (those of the raw).
_KEPT_IMAGE = (0x010F, 0x0110, 0x0132, 0x013B, 0x8298)  # make, model, date, artist, copyright
_DROPPED_EXIF = (0x927C, 0xA001, 0xA002, 0xA003, 0xA005, 0x9286, 0x9101, 0x9102)


def read_exif(path):
    """EXIF of a raw file as ``{"image": {code: value}, "exif": {...}, "gps": {...}}``, values as Pillow has them.

    Read from the file itself where it is a TIFF (DNG, NEF, ARW, CR2, PEF, ...), else from the JPEG preview that the
    raw carries (CR3, RAF, ...). Empty directories where there is none, never an error.
    """
    with open(path, "rb") as file:
        head = file.read(4)
        if head in (b"II*\0", b"MM\0*"):
            file.seek(0)
            return _directories(lambda exif: exif.load_from_fp(file))
    data = _exif_of_preview(path)
    return _directories(lambda exif: exif.load(data)) if data else {"image": {}, "exif": {}, "gps": {}}


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


def _directories(load):
    from PIL import Image

    exif = Image.Exif()
    found = {"image": {}, "exif": {}, "gps": {}}
    with quiet("PIL"), warnings.catch_warnings():  # Pillow warns of damaged entries, and leaves them out
        warnings.simplefilter("ignore")
        with contextlib.suppress(Exception):  # any damage in the directories: keep what was read before it
            load(exif)
            found["image"] = dict(exif)
            found["exif"] = dict(exif.get_ifd(EXIF_IFD))
            found["gps"] = dict(exif.get_ifd(GPS_IFD))
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


def exif_from_raw(path, metadata=None, *, orientation=None, settings=None):
    """A Pillow ``Exif`` for the finished picture of the raw at ``path``.

    Camera, lens, exposure, ISO, date, focal length and GPS position as the raw has them; ``metadata``
    (``RawMetadata``) fills in what only LibRaw knows. Software is "modisp_jax". ``orientation`` (EXIF code 1..8) is
    by default that of ``metadata``; ``write_image`` replaces it where it turns the pixels. ``settings``, a dict that
    JSON can hold, becomes the user comment: how the picture was made, for :func:`read_settings`.
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
            0x829A: metadata.exposure_time,
            0x829D: metadata.f_number,
            0x8827: round(metadata.iso) if metadata.iso else None,
            0x920A: metadata.focal_length,
            0x9003: metadata.datetime.replace("-", ":").replace("T", " ") if metadata.datetime else None,
            0xA434: metadata.lens,
        }
        for code, value in known.items():
            if value and code not in camera:
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
