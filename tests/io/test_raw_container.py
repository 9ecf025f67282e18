"""The container: segments, index, XMP, and a member that is found whatever other software did to the file."""

import hashlib
import io
import json
import struct

import numpy as np
import pytest
from PIL import Image

from modisp_jax.io import mpf, xmp
from modisp_jax.io.jpeg_segments import (
    APP0,
    APP1,
    APP2,
    LONGEST_CONTENT,
    SOS,
    JpegError,
    after_exif,
    end_of_jpeg,
    header_segments,
    make_segment,
)
from modisp_jax.io.raw_container import ContainerError, attach, find_member, make_member

HEADER = {"codec": "none", "numbers": [1, 2.5, None], "text": 'é <&> "quoted"\n'}
PROPERTIES = {"Version": "1", "Codec": "none", "Settings": json.dumps({"a": [1, '<"&\n']})}


def jpeg(size=(40, 24), seed=0, **options):
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3)).astype(np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "jpeg", **options)
    return out.getvalue()


def exif_with_thumbnail():
    """EXIF whose thumbnail is a JPEG of its own, with its own FF D9."""
    thumbnail = jpeg((16, 16), 5)
    first = struct.pack(">HHHII", 1, 0x0112, 3, 1, 1 << 16) + struct.pack(">I", 26)
    second = struct.pack(">HHHIIHHII", 2, 0x0201, 4, 1, 56, 0x0202, 4, 1, len(thumbnail)) + struct.pack(">I", 0)
    return b"Exif\0\0MM\0*" + struct.pack(">I", 8) + first + second + thumbnail


def file_of(parts=None, picture=None):
    parts = {"a": b"\xff\xd9" * 50000, "b": b"", "c": b"tail"} if parts is None else parts
    member = make_member(jpeg((16, 16), 1), HEADER, parts)
    return attach(jpeg() if picture is None else picture, member, PROPERTIES), member, parts


def check(data, parts, found_by="index"):
    member = find_member(data)
    assert member.header == HEADER
    assert member.parts == parts
    assert member.found_by == found_by


def test_what_is_written_is_read():
    data, member, parts = file_of()
    check(data, parts)
    assert find_member(data).jpeg == member
    assert data.endswith(member)


def test_both_are_whole_jpegs_with_unchanged_pixels():
    data, member, _ = file_of()
    assert end_of_jpeg(data) == len(data) - len(member)
    assert end_of_jpeg(member) == len(member)
    for whole, plain in ((data, jpeg()), (member, jpeg((16, 16), 1))):
        with Image.open(io.BytesIO(whole)) as a, Image.open(io.BytesIO(plain)) as b:
            np.testing.assert_array_equal(np.asarray(a.convert("RGB")), np.asarray(b))


def test_pillow_sees_two_images_by_the_index():
    data, member, _ = file_of(picture=jpeg(exif=exif_with_thumbnail()))
    with Image.open(io.BytesIO(data)) as picture:
        assert (picture.format, picture.n_frames) == ("MPO", 2)
        assert picture.size == (40, 24)
        entries = picture.mpinfo[0xB002]
        assert picture.mpinfo[0xB000] == b"0100"
        assert [e["Attribute"]["MPType"] for e in entries] == ["Baseline MP Primary Image", "Undefined"]
        assert [e["Size"] for e in entries] == [len(data) - len(member), len(member)]
        assert "RawSHA256" in picture.info["xmp"].decode()
        picture.seek(1)
        assert np.asarray(picture.convert("RGB")).shape == (16, 16, 3)


def test_index_comes_after_exif_and_lists_the_member():
    data, member, _ = file_of(picture=jpeg(exif=exif_with_thumbnail()))
    segments = header_segments(data)
    assert [s.marker for s in segments][:4] == [APP0, APP1, APP1, APP2]
    (index,) = [s for s in segments if s.content(data).startswith(b"MPF\0")]
    assert len(index.content(data)) == mpf.SIZE
    first, second = mpf.read_index(index.content(data), index.start + 8)
    assert (first.start, first.size) == (0, len(data) - len(member))
    assert data[second.start : second.start + second.size] == member


@pytest.mark.parametrize("order", ["<", ">"])
def test_an_index_of_either_byte_order(order):
    mark = {"<": b"II*\0", ">": b"MM\0*"}[order]
    entries = struct.pack(f"{order}IIIHH", 0x20030000, 100, 0, 0, 0) + struct.pack(f"{order}IIIHH", 0, 7, 93, 0, 0)
    content = b"MPF\0" + mark + struct.pack(f"{order}IHHHIII", 8, 1, 0xB002, 7, 32, 26, 0) + entries
    assert mpf.read_index(content, 7) == [mpf.Entry(0x20030000, 100, 0), mpf.Entry(0, 7, 100)]


def test_a_picture_with_a_thumbnail():
    data, _, parts = file_of(picture=jpeg(exif=exif_with_thumbnail()))
    assert data.index(b"\xff\xd9") < after_exif(data)
    check(data, parts)


@pytest.mark.parametrize(("marker", "found_by"), [(APP2, "scan"), (APP1, "index")])
def test_without_its_index_or_its_description(marker, found_by):
    data, _, parts = file_of()
    (segment,) = [s for s in header_segments(data) if s.marker == marker]
    check(data[: segment.start] + data[segment.end :], parts, found_by)


def test_without_both_and_with_things_in_front_between_and_behind():
    data, member, parts = file_of()
    check(jpeg() + b"padding" * 9 + member + b"another trailer\xff\xd9", parts, "scan")
    check(data + jpeg(seed=3), parts)
    check(data[:2] + make_segment(APP1, exif_with_thumbnail()) + data[2:], parts)  # index and member move together
    late = header_segments(data)[-1].start
    check(data[:late] + make_segment(APP1, exif_with_thumbnail()) + data[late:], parts, "scan")
    check(data[: -len(member)] + b"\0" * 1000 + member, parts, "scan")


def test_another_trailer_with_our_magic_is_passed_over():
    data, member, parts = file_of()
    head = member[:80]  # as a cut copy would leave it
    check(data[: -len(member)] + head + member, parts, "scan")


def test_progressive_pictures_and_restart_markers():
    for options in ({"progressive": True}, {"restart_marker_blocks": 1}):
        data, _, parts = file_of(picture=jpeg((64, 64), **options))
        check(data, parts)


def test_a_plain_jpeg_carries_none():
    assert find_member(jpeg()) is None
    assert find_member(jpeg(exif=exif_with_thumbnail()) + b"some trailer") is None


def test_one_whose_raw_is_gone():
    data, member, _ = file_of()
    with pytest.raises(ContainerError, match="XMP names, found none: the file is cut short or was saved anew"):
        find_member(data[: -len(member)])


@pytest.mark.parametrize("left", [66, 67, 1000, -1])
def test_cut_short(left):
    data, member, _ = file_of()
    cut = data[: len(data) - len(member) + left] if left > 0 else data[:left]
    with pytest.raises(ContainerError, match="cut short"):
        find_member(cut)


def test_any_flipped_byte_of_the_member_is_noticed():
    data, member, _ = file_of({"a": b"x" * 100})
    start = len(data) - len(member)
    for position in range(start, len(data), 7):
        bad = bytearray(data)
        bad[position] ^= 0x10
        with pytest.raises(ContainerError):
            find_member(bytes(bad))


def test_a_later_version():
    data, member, _ = file_of()
    at = len(data) - len(member) + 6 + len(b"modisp-raw\0H")
    with pytest.raises(ContainerError, match="expected a raw container of version 1, got version 2"):
        find_member(data[:at] + b"\0\2" + data[at + 2 :])


def test_another_raw_than_the_xmp_names():
    data, member, _ = file_of()
    other = make_member(jpeg((16, 16), 2), HEADER, {})
    with pytest.raises(ContainerError, match=r"expected the raw of SHA-256 .* as the XMP says, got|XMP names"):
        find_member(data[: -len(member)] + other)


@pytest.mark.parametrize(
    ("stream", "message"),
    [
        (b"\0\0", "expected a header within"),
        (struct.pack(">I", 2**31) + b"{}", "expected a header within"),
        (struct.pack(">I", 2) + b"[]", "expected a header with parts"),
        (struct.pack(">I", 3) + b"{,}", "expected a header in JSON"),
        (struct.pack(">I", 40000) + b"[" * 40000, "expected a header in JSON"),
        (struct.pack(">I", 22) + b'{"parts":{"a":[0,99]}}', "expected .offset, length. within"),
        (struct.pack(">I", 22) + b'{"parts":{"a":[-1,1]}}', "expected .offset, length. within"),
        (struct.pack(">I", 20) + b'{"parts":{"a":true}}', "expected .offset, length. within"),
    ],
)
def test_headers_that_lie(stream, message):
    tail = make_segment(0xE9, b"modisp-raw\0D" + struct.pack(">I", 0) + stream) + jpeg((8, 8))[2:]
    head = struct.pack(">HQQ32s", 1, 2 + 66 + len(tail), len(stream), hashlib.sha256(tail).digest())
    with pytest.raises(ContainerError, match=message):
        find_member(jpeg() + b"\xff\xd8" + make_segment(0xE9, b"modisp-raw\0H" + head) + tail)


def test_long_settings_are_left_to_the_member():
    member = make_member(jpeg(), HEADER, {})
    data = attach(jpeg(), member, PROPERTIES | {"Settings": "x" * 100000, "Metadata": "y" * 30000})
    (content,) = [s.content(data) for s in header_segments(data) if s.marker == APP1]
    properties = xmp.read_xmp(content)
    assert "Settings" not in properties
    assert properties["Metadata"] == "y" * 30000
    assert properties["RawSHA256"] == hashlib.sha256(member).hexdigest()
    assert find_member(data).header == HEADER


def test_xmp_comes_back_also_as_elements():
    content = xmp.make_xmp(PROPERTIES)
    assert xmp.read_xmp(content) == PROPERTIES
    rewritten = (
        f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        f'<rdf:Description xmlns:m="{xmp.NAMESPACE}"><m:Version>1</m:Version></rdf:Description></rdf:RDF></x:xmpmeta>'
    )
    assert xmp.read_xmp(xmp.SIGNATURE + rewritten.encode()) == {"Version": "1"}
    with pytest.raises(ValueError, match="without control characters"):
        xmp.make_xmp({"a": "\x00"})


@pytest.mark.parametrize(
    "packet",
    [b"", b"<a", b"\xff\xfe", b"<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>", b"<a>" * 100000, b"<?xml encoding='x'?>"],
)
def test_xmp_that_is_none(packet):
    assert xmp.read_xmp(xmp.SIGNATURE + packet) == {}
    assert xmp.read_xmp(packet) == {}


def test_indices_that_lie():
    content = mpf.make_index(50, 100, 100, 7)
    for position in range(len(content)):
        for value in (0, 0x7F, 0xFF):
            bad = content[:position] + bytes((value,)) + content[position + 1 :]
            assert len(mpf.read_index(bad, 50)) <= mpf.MOST_IMAGES
            assert len(mpf.read_index(content[:position], 50)) <= 2
    with pytest.raises(ValueError, match="less than 4 GiB"):
        mpf.make_index(50, 100, 2**32 - 5, 7)


def test_segments_that_lie():
    data = jpeg()
    with pytest.raises(JpegError, match="FF D8"):
        header_segments(b"")
    with pytest.raises(JpegError, match="expected a JPEG marker at byte 2"):
        header_segments(b"\xff\xd8" + data[5:])
    with pytest.raises(JpegError, match="within the file"):
        header_segments(data[:30])
    with pytest.raises(JpegError, match="got a JPEG's end"):
        header_segments(b"\xff\xd8\xff\xd9")
    with pytest.raises(JpegError, match="at most 4096 segments"):
        header_segments(b"\xff\xd8" + b"\xff\xe5\0\2" * 5000)
    with pytest.raises(JpegError, match="the end of the file"):
        end_of_jpeg(data[:-2])
    with pytest.raises(ValueError, match="at most 65533 bytes"):
        make_segment(APP1, b"x" * (LONGEST_CONTENT + 1))
    assert header_segments(data[:2] + b"\xff" * 2**20 + data[2:])[0].start == 2 + 2**20  # fill bytes
    with pytest.raises(JpegError, match="the end of the file"):
        end_of_jpeg(data[:-2] + b"\xff\x00\xff\xd0" * 2**20)
    assert header_segments(data)[-1].marker == SOS
    assert end_of_jpeg(data + b"more") == len(data)
