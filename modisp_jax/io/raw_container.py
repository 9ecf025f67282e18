"""An ordinary JPEG that carries a raw: the container, byte by byte in docs/format.md.

The picture comes first, as any JPEG. After its end stands a second JPEG, the *member*, listed by a Multi-Picture
index in the first (APP2) and described by XMP (APP1). The member is whole by itself: its APP9 segments hold a header
in JSON and named parts, its own picture is the raw as 8 bits can show it. Whoever loses index and XMP still finds it.
"""

import hashlib
import json
import struct
from typing import NamedTuple

from modisp_jax.io import mpf, xmp
from modisp_jax.io.jpeg_segments import (
    APP1,
    APP2,
    JpegError,
    after_exif,
    end_of_jpeg,
    header_segments,
    make_segment,
)

VERSION = 1
APP9 = 0xE9
MAGIC = b"modisp-raw\0"
_HEAD, _DATA = b"H", b"D"
_HEAD_FIELDS = ">HQQ32s"  # version, bytes of the member, bytes of the stream, SHA-256 of what follows this segment
_HEAD_SIZE = 4 + len(MAGIC) + 1 + struct.calcsize(_HEAD_FIELDS)
_CHUNK = 65000  # bytes of the stream in one segment
_MOST_CANDIDATES = 8  # of what looks like a member; each costs a checksum
_LONGEST_JSON = 2**24
_LONGEST_XMP = 60000


class ContainerError(ValueError):
    """A container that cannot be read; one line with what was expected and what came."""


class Member(NamedTuple):
    """What a JPEG carries."""

    header: dict
    """The JSON: codec, size, colour, settings and so on."""
    parts: dict
    """Bytes by name."""
    jpeg: bytes
    """The member itself, a JPEG."""
    found_by: str
    """``"index"`` or, where that was missing or wrong, ``"scan"``."""


def make_member(jpeg, header, parts):
    """A member's bytes: ``jpeg`` with a header (a dict that JSON can hold) and parts (bytes by name) in its APP9."""
    places, at = {}, 0
    for name, part in parts.items():
        places[name] = [at, len(part)]
        at += len(part)
    text = json.dumps({**header, "parts": places}, allow_nan=False, separators=(",", ":")).encode("ascii")
    if len(text) > _LONGEST_JSON:
        raise ContainerError(f"expected settings and metadata of at most {_LONGEST_JSON} bytes, got {len(text)}")
    stream = b"".join([struct.pack(">I", len(text)), text, *parts.values()])
    chunks = [
        make_segment(APP9, MAGIC + _DATA + struct.pack(">I", number) + stream[start : start + _CHUNK])
        for number, start in enumerate(range(0, len(stream), _CHUNK))
    ]
    tail = b"".join([*chunks, jpeg[2 : end_of_jpeg(jpeg)]])
    fields = struct.pack(_HEAD_FIELDS, VERSION, 2 + _HEAD_SIZE + len(tail), len(stream), hashlib.sha256(tail).digest())
    return b"\xff\xd8" + make_segment(APP9, MAGIC + _HEAD + fields) + tail


def attach(picture, member, properties):
    """The file: a JPEG ``picture`` with index and XMP, and the ``member`` after its end.

    ``properties`` are texts for the XMP; the longest are left out where an APP1 segment cannot hold them all.
    """
    picture = picture[: end_of_jpeg(picture)]
    description = xmp.make_xmp(_shortened(properties | {"RawSHA256": _digest(member), "RawLength": str(len(member))}))
    described = make_segment(APP1, description)
    at = after_exif(picture)
    first_size = len(picture) + 4 + mpf.SIZE + len(described)
    # The index comes last: its offset counts from itself, and so stays right when EXIF or XMP before it grow.
    header_at = at + len(described) + 4 + len(mpf.SIGNATURE)
    index = make_segment(APP2, mpf.make_index(header_at, first_size, first_size, len(member)))
    return b"".join([picture[:at], described, index, picture[at:], member])


def _shortened(properties):
    kept = dict(properties)
    while len(xmp.make_xmp(kept)) > _LONGEST_XMP:
        del kept[max(kept, key=lambda name: len(kept[name]))]
    return kept


def _digest(member):
    return hashlib.sha256(member).hexdigest()


def find_member(data):
    """The member of a JPEG's bytes (or of a map of the file): a :class:`Member`; None where it carries none.

    Looked for where the index says; where that leads nowhere, by its magic, anywhere after the header of the file's own
    picture, whatever was put before or behind.

    Raises :class:`ContainerError`: of a later version, cut short, damaged, not the one that the XMP names, or gone
    although the XMP names one.
    """
    segments = header_segments(data)
    expected = _described(data, segments)
    failure, tried = None, 0
    for start, found_by in _candidates(data, segments):
        try:
            member = _read_member(data, start, found_by)
            digest = _digest(member.jpeg)
            if expected and expected != digest:
                raise ContainerError(
                    f"expected the raw that the XMP names, {expected[:16]}, got {digest[:16]} (SHA-256)"
                )
            return member
        except ContainerError as error:
            failure, tried = failure or error, tried + 1
            if tried == _MOST_CANDIDATES:
                break
    if failure is not None:
        raise failure
    if expected is not None:
        raise ContainerError(
            "expected the raw that the XMP names, found none: the file is cut short or was saved anew by other software"
        )
    return None


def _described(data, segments):
    """The SHA-256 that the XMP gives for the member; "" where it gives none, None without XMP of ours."""
    for segment in segments:
        if segment.marker == APP1:
            properties = xmp.read_xmp(segment.content(data))
            if "RawSHA256" in properties or "Version" in properties:
                return properties.get("RawSHA256", "").strip().lower()
    return None


def _candidates(data, segments):
    """Yields (where a member may start, how it was found), each place once."""
    seen = set()
    for segment in segments:
        content = segment.content(data) if segment.marker == APP2 else b""
        if content.startswith(mpf.SIGNATURE):
            for entry in mpf.read_index(content, segment.start + 4 + len(mpf.SIGNATURE))[1:]:
                if _is_head(data, entry.start) and entry.start not in seen:
                    seen.add(entry.start)
                    yield entry.start, "index"
    position = segments[-1].end
    while (position := data.find(MAGIC + _HEAD, position)) >= 0:
        start = position - 6
        if _is_head(data, start) and start not in seen:
            seen.add(start)
            yield start, "scan"
        position += 1


def _is_head(data, start):
    head = bytes(data[start : start + 6 + len(MAGIC) + 1]) if start > 0 else b""
    return head == b"\xff\xd8\xff\xe9" + struct.pack(">H", _HEAD_SIZE - 2) + MAGIC + _HEAD


def _read_member(data, start, found_by):
    at = start + 6 + len(MAGIC) + 1
    fields = bytes(data[at : at + struct.calcsize(_HEAD_FIELDS)])
    if len(fields) < struct.calcsize(_HEAD_FIELDS):
        raise ContainerError("the raw is cut short: the file ends in its head")
    version, size, stream_size, digest = struct.unpack(_HEAD_FIELDS, fields)
    if version != VERSION:
        raise ContainerError(f"expected a raw container of version {VERSION}, got version {version}")
    if start + size > len(data):
        raise ContainerError(f"the raw is cut short: expected {size} bytes, got {len(data) - start}")
    jpeg = bytes(data[start : start + size])
    if hashlib.sha256(jpeg[2 + _HEAD_SIZE :]).digest() != digest:
        raise ContainerError("the raw is damaged: its SHA-256 is not the one that was written")
    header, parts = _split(_stream(jpeg, stream_size))
    return Member(header, parts, jpeg, found_by)


def _stream(jpeg, size):
    """The chunks of a member put together, ``size`` bytes."""
    chunks, position = [], 2 + _HEAD_SIZE
    prefix = MAGIC + _DATA
    while jpeg[position : position + 2] == b"\xff\xe9":
        end = position + 2 + int.from_bytes(jpeg[position + 2 : position + 4], "big")
        content = jpeg[position + 4 : end]
        if not content.startswith(prefix + struct.pack(">I", len(chunks))):
            break
        chunks.append(content[len(prefix) + 4 :])
        position = end
    stream = b"".join(chunks)
    if len(stream) != size:
        raise ContainerError(f"expected a raw stream of {size} bytes, got {len(stream)}")
    return stream


def _split(stream):
    """(header, parts) of a stream: length of the JSON, JSON, parts one behind the other."""
    length = int.from_bytes(stream[:4], "big")
    if len(stream) < 4 or length > min(len(stream) - 4, _LONGEST_JSON):
        raise ContainerError(f"expected a header within the raw stream's {len(stream)} bytes, got {length}")
    try:
        header = json.loads(stream[4 : 4 + length])
    except (ValueError, RecursionError) as error:
        raise ContainerError(f"expected a header in JSON, got: {error}") from None
    places = header.pop("parts", None) if isinstance(header, dict) else None
    if not isinstance(places, dict):
        raise ContainerError("expected a header with parts, got another JSON")
    parts = {}
    for name, place in places.items():
        is_place = isinstance(place, list) and [type(v) for v in place] == [int, int] and min(place) >= 0
        if not is_place or 4 + length + sum(place) > len(stream):
            raise ContainerError(f"part {name!r}: expected [offset, length] within the raw stream, got {place!r}")
        start = 4 + length + place[0]
        parts[name] = stream[start : start + place[1]]
    return header, parts


def is_jpeg(data):
    """Whether bytes, or a map of a file, begin as a JPEG."""
    return bytes(data[:3]) == b"\xff\xd8\xff"


__all__ = [
    "ContainerError",
    "JpegError",
    "Member",
    "attach",
    "find_member",
    "is_jpeg",
    "make_member",
]
