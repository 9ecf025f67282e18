"""What a photo's file says before it is decoded: its kind, its size, the settings that a picture of ours carries."""

import mmap
from pathlib import Path
from typing import NamedTuple

from modisp_jax.inputs import FINISHED, is_of_a_split
from modisp_jax.io import published_raw_jpeg as published
from modisp_jax.io.load import load_metadata
from modisp_jax.io.metadata import RawMetadata
from modisp_jax.io.raw_container import JpegError, find_member, is_jpeg
from modisp_jax.io.raw_lossless import frame_of
from modisp_jax.io.thumbnails import size_of_picture, thumbnail_of_picture, thumbnail_of_raw
from modisp_jax.render_settings import RAW_SUFFIXES

SUFFIXES = (*RAW_SUFFIXES, *FINISHED)
"""Names' endings by which photos are known."""

RAW, CARRIED, FINAL = "raw", "jpeg with raw", "finished"


class Facts(NamedTuple):
    """Of one photo."""

    kind: str
    """``"raw"``, ``"jpeg with raw"`` or ``"finished"``."""
    size: tuple[int, int]
    """(height, width) of the upright picture, before any crop."""
    stored_size: tuple[int, int]
    """(height, width) as the file stores it, not turned."""
    record: dict
    """How the picture was made that carries its raw; {} of anything else."""


def is_photo(path):
    """Whether a file's name is that of a photo."""
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".")


def guess_kind(path):
    """The kind by the name alone."""
    return FINAL if path.suffix.lower() in FINISHED and not is_of_a_split(path) else RAW


def read_facts(path):
    """The :class:`Facts` of the photo at ``path``. Raises ``ValueError`` or ``OSError``."""
    path = Path(path)
    if guess_kind(path) == RAW:
        metadata = load_metadata(path)
        return _facts(RAW, metadata.size, metadata.orientation)
    return _carried(path) or _facts(FINAL, *size_of_picture(path))


def _facts(kind, stored_size, orientation, record=None):
    height, width = stored_size
    upright = (width, height) if orientation in range(5, 9) else (height, width)
    return Facts(kind, upright, (height, width), record or {})


def _carried(path):
    """The facts of a JPEG that carries a raw; None for anything else."""
    try:
        with open(path, "rb") as file:
            if not is_jpeg(file.read(3)):
                return None
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                return _of_member(data) or _of_published(data)
    except JpegError:
        return None
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _of_member(data):
    member = find_member(data)
    if member is None:
        return None
    size, settings = member.header.get("size"), member.header.get("settings")
    if not (isinstance(size, list) and len(size) == 2 and all(type(side) is int and side > 0 for side in size)):
        raise ValueError(f"expected a raw's height and width, got {size!r}")
    metadata = RawMetadata.from_dict(member.header.get("metadata"))
    ours = isinstance(settings, dict) and "modisp_jax" in settings
    return _facts(CARRIED, size, metadata.orientation, settings if ours else {})


def _of_published(data):
    found = published.find_published(data)
    if found is None or found.jpeg is None:
        return None
    return _facts(CARRIED, frame_of(found.jpeg)[:2], found.metadata.get("orientation"))


def make_thumbnail(path, side):
    """An upright picture, uint8 [h, w, 3] with at most ``side`` pixels a side. Raises ``ValueError`` or ``OSError``."""
    return thumbnail_of_raw(path, side) if guess_kind(path) == RAW else thumbnail_of_picture(path, side)
