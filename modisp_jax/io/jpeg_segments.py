"""The segments of a JPEG: walked with every length checked, found by kind, put in front of the picture.

Source: ITU-T T.81, annex B; Exif 2.32 and CIPA DC-007 for the order of APP segments.
"""

import re
from typing import NamedTuple

SOI, EOI, SOS = 0xD8, 0xD9, 0xDA
APP0, APP1, APP2 = 0xE0, 0xE1, 0xE2
LONGEST_CONTENT = 65533
"""Bytes that one segment can hold."""
MOST_SEGMENTS = 4096
"""More than this before the picture's data is no picture."""
_STANDALONE = {0x01, *range(0xD0, 0xD8)}  # TEM and RST0..7 have no length
_FILL = re.compile(rb"\xff+")
_MARKER = re.compile(rb"\xff(?=[^\x00\x01\xd0-\xd7\xff])", re.DOTALL)  # what is no part of a scan's data


class JpegError(ValueError):
    """Bytes that are no whole JPEG; one line with what was expected and what came."""


class Segment(NamedTuple):
    """A marker with a length, without the two bytes of each."""

    marker: int
    """Second byte of the marker."""
    start: int
    """Where the marker's FF stands in the data."""
    end: int
    """Where the segment ends."""

    def content(self, data):
        """The segment's bytes after its length."""
        return bytes(data[self.start + 4 : self.end])


def header_segments(data, start=0):
    """The segments from the SOI at ``start`` to the first SOS, that one included: a list of :class:`Segment`.

    ``data`` is bytes or a map of a file. Raises :class:`JpegError` where they are no JPEG, are cut short, or hold more
    than ``MOST_SEGMENTS``.
    """
    if bytes(data[start : start + 2]) != b"\xff\xd8":
        raise JpegError(f"expected a JPEG's FF D8 at byte {start}, got {bytes(data[start : start + 2]).hex(' ')!r}")
    found, position = [], start + 2
    while len(found) < MOST_SEGMENTS:
        segment = _segment_at(data, position)
        if segment.marker == EOI:
            raise JpegError(f"expected picture data, got a JPEG's end at byte {segment.start}")
        if segment.marker not in _STANDALONE:
            found.append(segment)
        if segment.marker == SOS:
            return found
        position = segment.end
    raise JpegError(f"expected at most {MOST_SEGMENTS} segments before the picture's data")


def _segment_at(data, position):
    """The segment at ``position``, after any fill bytes."""
    if bytes(data[position : position + 1]) != b"\xff":
        got = bytes(data[position : position + 1]).hex() or "the end of the file"
        raise JpegError(f"expected a JPEG marker at byte {position}, got {got}")
    position = _FILL.match(data, position).end() - 1
    if position + 2 > len(data):
        raise JpegError(f"the JPEG is cut short at byte {position}")
    marker = data[position + 1]
    if marker in _STANDALONE or marker == EOI:
        return Segment(marker, position, position + 2)
    length = int.from_bytes(data[position + 2 : position + 4], "big")
    end = position + 2 + length
    if length < 2 or end > len(data):
        raise JpegError(f"expected a segment FF {marker:02X} at byte {position} within the file, got {length} bytes")
    return Segment(marker, position, end)


def end_of_jpeg(data, start=0):
    """Where the JPEG that starts at ``start`` ends: the byte after its own EOI.

    Thumbnails, whose EOI may stand in a segment's content, are stepped over; scans are searched for the next marker
    (FF followed by neither 00, FF nor RST). Raises :class:`JpegError`.
    """
    position = header_segments(data, start)[-1].end
    for _ in range(MOST_SEGMENTS):
        position = _next_marker(data, position)
        segment = _segment_at(data, position)
        position = segment.end
        if segment.marker == EOI:
            return position
    raise JpegError(f"expected at most {MOST_SEGMENTS} segments after the start of the picture's data")


def _next_marker(data, position):
    """Where the next marker that is no part of a scan's data stands."""
    found = _MARKER.search(data, position)
    if found is None:
        raise JpegError(f"expected a JPEG's end (FF D9), got the end of the file at byte {len(data)}")
    return found.start()


def make_segment(marker, content):
    """A segment's bytes. Raises ``ValueError`` for content of more than ``LONGEST_CONTENT`` bytes."""
    if len(content) > LONGEST_CONTENT:
        raise ValueError(f"expected at most {LONGEST_CONTENT} bytes in a JPEG segment, got {len(content)}")
    return bytes((0xFF, marker)) + (len(content) + 2).to_bytes(2, "big") + content


def after_exif(data):
    """Where new APP segments belong: after SOI, JFIF's APP0 and Exif's APP1, as CIPA DC-007 asks of the index."""
    position = 2
    for segment in header_segments(data):
        is_exif = segment.marker == APP1 and segment.content(data).startswith(b"Exif\0")
        if segment.marker != APP0 and not is_exif:
            break
        position = segment.end
    return position
