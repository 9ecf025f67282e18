"""One door for every raw photo: camera raw files and S24-style folders."""

from pathlib import Path

from modisp_jax.io.raw import RawError, read_metadata, read_mosaic, read_raw_file
from modisp_jax.io.s24 import find_s24_json, read_s24, s24_json_places


def load_raw(path, *, demosaic="libraw"):
    """Reads the raw photo at ``path``, whatever its kind; returns a ``RawFile``.

    A PNG is taken for an S24-style image and needs its JSON (:func:`modisp_jax.io.s24.read_s24`); anything else is
    LibRaw's (:func:`modisp_jax.io.raw.read_raw_file`, with ``demosaic``). Raises ``RawError``.
    """
    path = Path(path)
    if _is_s24(path):
        if path.is_file() and find_s24_json(path) is None:
            places = " or ".join(str(p) for p in s24_json_places(path))
            raise RawError(f"{path}: expected a camera raw file, or a raw PNG with its JSON at {places}; found none")
        return read_s24(path)
    return read_raw_file(path, demosaic=demosaic)


def load_mosaic(path):
    """Reads the Bayer mosaic of the raw photo at ``path``; returns a ``Mosaic``. Raises ``RawError``."""
    path = Path(path)
    if path.is_file() and _is_s24(path):
        raise RawError(f"{path}: expected a Bayer mosaic of R, G, G and B, got a PNG, which is demosaiced already")
    return read_mosaic(path)


def load_metadata(path):
    """What the raw photo at ``path`` says of itself: a ``RawMetadata``. Raises ``RawError``."""
    return load_raw(path).metadata if _is_s24(Path(path)) else read_metadata(path)


def _is_s24(path):
    if path.suffix.lower() == ".png":
        return True
    try:
        with open(path, "rb") as file:
            return file.read(4) == b"\x89PNG"
    except OSError:  # read_raw_file says what is wrong
        return False
