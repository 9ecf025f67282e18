"""EXIF in TIFF files that tifffile writes: directories of their own after the picture, to which two tags point.

tifffile refuses those tags, as their directories' places are not known before. Placeholders are written instead, with
the next codes, which are unused and sort alike, and are replaced in the finished file.
"""

import struct

from modisp_jax.io.exif import EXIF_IFD, GPS_IFD, SIGNED, UNDEFINED, writable

_LONG, _UNDEFINED, _SRATIONAL = 4, 7, 10
_NOWHERE = 0xFFFFFFFF


def directories_of_exif(exif):
    """Directories of a Pillow ``Exif`` that are to be appended: a dict from the pointer's code to entries."""
    return {code: dict(exif.get_ifd(code)) for code in (EXIF_IFD, GPS_IFD) if exif.get_ifd(code)}


def placeholders(directories):
    """Tags for tifffile's ``extratags`` in place of the pointers to directories."""
    return [(code + 1, _LONG, 1, _NOWHERE, True) for code in directories]


def append_directories(path, directories):
    """Appends directories to a little-endian TIFF file with :func:`placeholders`, which then point there."""
    from PIL import TiffImagePlugin

    if not directories:
        return
    data = bytearray(path.read_bytes())
    for code, values in directories.items():
        directory = TiffImagePlugin.ImageFileDirectory_v2(prefix=b"II")
        for key, value in writable(values).items():
            directory[key] = value
            if code == EXIF_IFD and key in UNDEFINED and isinstance(value, bytes):
                directory.tagtype[key] = _UNDEFINED  # for which Pillow writes BYTE
            if code == EXIF_IFD and key in SIGNED:
                directory.tagtype[key] = _SRATIONAL  # for which it writes RATIONAL where the value is positive
        data += b"\0" * (len(data) % 2)
        entry = data.index(struct.pack("<HHII", code + 1, _LONG, 1, _NOWHERE))
        struct.pack_into("<HHII", data, entry, code, _LONG, 1, len(data))
        data += directory.tobytes(len(data))
    path.write_bytes(data)


def tiff_text(value):
    """Text as a TIFF's bytes: as Pillow reads them back, which takes them for Latin-1."""
    try:
        return str(value).encode("latin-1")
    except UnicodeEncodeError:
        return str(value).encode("utf-8")
