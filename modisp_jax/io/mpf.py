"""The Multi-Picture Format's index: a list, in a JPEG's APP2, of the JPEGs that follow it in the file.

Source: CIPA DC-007-2009, sections 5.2 (the segment), 5.2.3 (the index), 5.2.3.3 (entries).
"""

import struct
from typing import NamedTuple

SIGNATURE = b"MPF\0"
_VERSION, _COUNT, _ENTRIES = 0xB000, 0xB001, 0xB002
_UNDEFINED, _LONG = 7, 4
PRIMARY, OTHER = 0x20030000, 0x00000000
"""Attributes of an entry: a JPEG that is the representative and of type "baseline MP primary image"; one of type
"undefined", which readers that know no better leave alone."""
MOST_IMAGES = 64
SIZE = 4 + 8 + 2 + 3 * 12 + 4 + 2 * 16
"""Bytes of the content that :func:`make_index` returns."""


class Entry(NamedTuple):
    """An image of the index."""

    attribute: int
    """Flags (bits 31 to 27), format (26 to 24, 0 for JPEG) and type code (23 to 0)."""
    size: int
    """Bytes from the image's SOI to its EOI, both included."""
    start: int
    """Where its SOI stands in the file."""


def make_index(header_at, first_size, second_at, second_size):
    """Content of the APP2 segment for a file of two images, ``SIZE`` bytes.

    Args:
      header_at: where the MP header will stand in the file: the byte after ``MPF\\0``. Offsets count from there.
      first_size: bytes of the first image, the index included.
      second_at: where the second image will start in the file.
      second_size: bytes of the second image.
    """
    if second_at + second_size >= 2**32:
        raise ValueError(f"expected files of less than 4 GiB for a Multi-Picture index, got {second_at + second_size}")
    entries = struct.pack(">IIIHH", PRIMARY, first_size, 0, 0, 0)
    entries += struct.pack(">IIIHH", OTHER, second_size, second_at - header_at, 0, 0)
    values_at = 8 + 2 + 3 * 12 + 4
    directory = struct.pack(">H", 3)
    directory += struct.pack(">HHI4s", _VERSION, _UNDEFINED, 4, b"0100")
    directory += struct.pack(">HHII", _COUNT, _LONG, 1, 2)
    directory += struct.pack(">HHII", _ENTRIES, _UNDEFINED, len(entries), values_at)
    return SIGNATURE + b"MM\0*" + struct.pack(">I", 8) + directory + struct.pack(">I", 0) + entries


def read_index(content, header_at):
    """Entries of an APP2 segment's content, or [] where it is no index that can be followed.

    ``header_at`` is where the byte after ``MPF\\0`` stands in the file. Nothing is believed: a count or an offset
    beyond the content ends the reading. Whether an entry's image is there is for the caller to see.
    """
    header = content.removeprefix(SIGNATURE)
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(header[:4])
    if not content.startswith(SIGNATURE) or order is None:
        return []
    try:
        (directory,) = struct.unpack_from(f"{order}I", header, 4)
        (count,) = struct.unpack_from(f"{order}H", header, directory)
        tags = {}
        for number in range(min(count, MOST_IMAGES)):
            code, kind, length, value = struct.unpack_from(f"{order}HHII", header, directory + 2 + 12 * number)
            tags[code] = (kind, length, value)
        _, length, at = tags[_ENTRIES]
        found = []
        for number in range(min(length // 16, MOST_IMAGES)):
            attribute, size, offset, _, _ = struct.unpack_from(f"{order}IIIHH", header, at + 16 * number)
            found.append(Entry(attribute, size, header_at + offset if offset else 0))
        return found
    except (KeyError, struct.error):
        return []
