"""DNG files of every kind and size: floating point, 8 bits, one channel, 16 x 16, 20:1; and those that only claim."""

import math
import os
import struct

import numpy as np
import pytest
import tifffile

from modisp_jax.io.dng_write import write_dng
from modisp_jax.io.limits import LARGEST_AREA, LARGEST_SIDE, check_size
from modisp_jax.io.raw import RawError, read_metadata, read_mosaic, read_raw_file

CFA, LINEAR_RAW = 32803, 34892
CM = np.array([[0.70, -0.20, -0.06], [-0.40, 1.20, 0.22], [-0.08, 0.20, 0.58]])
COLORS = {"R": 0.3, "G": 0.6, "B": 0.125}
NEUTRAL = (0.5, 1.0, 0.625)
DNG = [
    (50706, 1, 4, bytes([1, 4, 0, 0]), True),
    (50721, 10, 9, tuple(round(v) for x in CM.ravel() for v in (x * 100, 100)), True),
    (50778, 3, 1, 21, True),
    (50728, 5, 3, (1, 2, 1, 1, 5, 8), True),
]
RGGB = [(33421, 3, 2, (2, 2), True), (33422, 1, 4, bytes([0, 1, 1, 2]), True)]
LINEAR = np.random.default_rng(0).random((30, 40, 3)).astype(np.float32)


def write(path, pixels, *, mosaic=False, monochrome=False, tags=(), **options):
    """A DNG as tifffile can write it. Of one channel it writes mosaics only, so that a tag is changed afterwards."""
    photometric = CFA if mosaic or monochrome else LINEAR_RAW
    tags = [*DNG, *(RGGB if mosaic else []), *tags]
    tifffile.imwrite(path, pixels, photometric=photometric, metadata=None, extratags=tags, **options)
    if monochrome:
        cfa, linear = (struct.pack("<HHI2H", 262, 3, 1, kind, 0) for kind in (CFA, LINEAR_RAW))
        data = path.read_bytes()
        assert data.count(cfa) == 1
        path.write_bytes(data.replace(cfa, linear))
    return path


def changed(path, code, *values, kind="I"):
    """Writes other values into a tag of the first directory."""
    with tifffile.TiffFile(path) as tiff:
        place = tiff.pages[0].tags[code].valueoffset
    data = bytearray(path.read_bytes())
    struct.pack_into("<" + kind, data, place, *values)
    path.write_bytes(data)
    return path


def flat(size, pattern="RGGB", white=1.0):
    values = np.array([COLORS[letter] for letter in pattern]).reshape(2, 2) * white
    return np.tile(values, (math.ceil(size[0] / 2), math.ceil(size[1] / 2)))[: size[0], : size[1]]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "a.dng"


# Kinds of numbers


@pytest.mark.parametrize("options", [{}, {"compression": 8}, {"compression": 8, "predictor": 3}, {"tile": (16, 16)}])
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_floating_point(path, dtype, options):
    if "predictor" in options and dtype == np.float16:
        options = {"compression": 8}
    raw = read_raw_file(write(path, LINEAR.astype(dtype), **options))
    np.testing.assert_array_equal(raw.image, LINEAR.astype(dtype).astype(np.float32))
    assert raw.metadata.white == (1, 1, 1)
    assert raw.metadata.warnings == ()
    np.testing.assert_allclose(raw.illuminant, NEUTRAL)


def test_floats_of_24_bits(path):
    # Seven bits of exponent, biased by 63, and sixteen of mantissa (DNG specification, BitsPerSample).
    import imagecodecs

    values = np.ldexp(1 + np.arange(40 * 30 * 3) / 4096, np.arange(3600) % 5 - 6).astype(np.float32)
    stored = imagecodecs.float24_encode(values, byteorder="<")
    assert len(stored) == 3 * values.size
    # tifffile writes floats of 32 bits; the others take their place.
    data = write(path, values.reshape(30, 40, 3)).read_bytes()
    path.write_bytes(data.replace(values.tobytes(), stored + bytes(values.size)))
    changed(changed(path, 279, len(stored)), 258, 24, 24, 24, kind="3H")
    np.testing.assert_array_equal(read_raw_file(path).image, values.reshape(30, 40, 3))


def test_floats_beyond_the_levels(path):
    pixels = LINEAR.copy()
    pixels[0, :5, 0] = [np.nan, np.inf, -np.inf, 7, -7]
    levels = [(50714, 5, 3, (1, 10) * 3, True), (50717, 5, 3, (2, 1) * 3, True)]
    image = read_raw_file(write(path, pixels, tags=levels)).image
    np.testing.assert_array_equal(image[0, :5, 0], [0, 1, 0, 1, 0])
    np.testing.assert_allclose(image[1:], np.clip((pixels[1:] - 0.1) / 1.9, 0, 1), atol=1e-7)


def test_a_mosaic_in_floating_point(path):
    write(path, flat((32, 40)).astype(np.float16), mosaic=True)
    raw, mosaic = read_raw_file(path), read_mosaic(path)
    assert mosaic.pattern == raw.metadata.pattern == "RGGB"
    np.testing.assert_array_equal(mosaic.values, flat((32, 40)).astype(np.float16).astype(np.float32))
    np.testing.assert_allclose(raw.image, np.broadcast_to([0.3, 0.6, 0.125], raw.image.shape), atol=4e-4)


@pytest.mark.parametrize("options", [{}, {"compression": 8}, {"tile": (16, 16)}, {"compression": 8, "predictor": 2}])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_integers(path, dtype, options):
    stored = (LINEAR * np.iinfo(dtype).max).astype(dtype)
    raw = read_raw_file(write(path, stored, **options))
    np.testing.assert_allclose(raw.image, stored / np.float32(np.iinfo(dtype).max), atol=1e-7)


def test_jpeg_xl(path):
    stored = (LINEAR * 65535).astype(np.uint16)
    raw = read_raw_file(write(path, stored, compression=52546, compressionargs={"lossless": True}))
    np.testing.assert_allclose(raw.image, stored / np.float32(65535), atol=1e-7)


def test_a_linearisation_table(path):
    table = (np.arange(256) ** 2).astype(np.uint16)
    stored = (LINEAR * 255).astype(np.uint8)
    tags = [(50712, 3, 256, tuple(int(v) for v in table), True)]
    for options in ({}, {"compression": 8}):  # LibRaw's way, and ours
        raw = read_raw_file(write(path, stored, tags=tags, **options))
        np.testing.assert_allclose(raw.image, table[stored] / np.float32(table.max()), atol=1e-6)


def test_a_table_longer_than_the_numbers_that_look_into_it(path):
    tags = [(50712, 5, 300, tuple(v for k in range(300) for v in (k * 100, 1 if k != 7 else 0)), True)]
    stored = np.tile(np.arange(6, 14, dtype=np.uint8), (24, 3, 3)).reshape(24, 24, 3)
    raw = read_raw_file(write(path, stored, tags=tags, compression=8))
    assert raw.image.max() == np.float32(1300 / 29900)


@pytest.mark.parametrize("samples", [2, 5])
def test_images_of_two_or_five_colours(path, samples):
    stored = np.full((24, 24, samples), 0.5, np.float32)
    extra = {"extrasamples": (0,) * (samples - 3)} if samples > 3 else {}
    if samples == 2:
        write(path, np.full((24, 24, 3), 0.5, np.float32))
        changed(path, 277, 2, kind="H")
    else:
        write(path, stored, **extra)
    with pytest.raises(RawError, match=r"1, 3 or 4|expected 24 x 24 x"):
        read_raw_file(path)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float16, np.float32])
def test_monochrome_is_grey(path, dtype):
    top = 1 if dtype in (np.float16, np.float32) else np.iinfo(dtype).max
    stored = (LINEAR[..., 0] * top).astype(dtype)
    raw = read_raw_file(write(path, stored, monochrome=True))
    expected = (stored.astype(np.float64) / top)[..., None]
    np.testing.assert_allclose(raw.image, np.broadcast_to(expected, (30, 40, 3)), atol=1e-6)
    np.testing.assert_array_equal(raw.illuminant, 1)
    np.testing.assert_array_equal(raw.ccm, np.eye(3))
    assert raw.metadata.pattern == ""
    with pytest.raises(RawError, match="without a filter array"):
        read_mosaic(path)


@pytest.mark.parametrize(("area", "crop"), [((0, 0, 30, 40), None), ((3, 5, 27, 36), (1.0, 2.0, 20.0, 25.0))])
def test_the_active_area_of_floats(path, area, crop):
    tags = [(50829, 4, 4, area, True)]
    if crop:
        tags += [(50719, 4, 2, (2, 1), True), (50720, 4, 2, (25, 20), True)]
    raw = read_raw_file(write(path, LINEAR, tags=tags))
    np.testing.assert_array_equal(raw.image, LINEAR[area[0] : area[2], area[1] : area[3]])
    assert raw.metadata.size == raw.image.shape[:2]
    assert raw.metadata.default_crop == crop


@pytest.mark.parametrize("area", [(0, 0, 300, 40), (5, 5, 5, 9), (0, 0, 2**32 - 1, 2**32 - 1)])
def test_an_active_area_outside_the_image_is_none(path, area):
    image = read_raw_file(write(path, LINEAR, tags=[(50829, 4, 4, area, True)])).image
    np.testing.assert_array_equal(image, LINEAR)


# Sizes


@pytest.mark.parametrize("pattern", ["RGGB", "BGGR", "GRBG", "GBRG"])
@pytest.mark.parametrize("size", [(2, 2), (3, 5), (16, 16), (16, 320), (320, 16), (21, 22), (22, 21), (22, 22)])
def test_mosaics_of_any_size(path, size, pattern):
    stored = np.rint(flat(size, pattern, 15000)).astype(np.uint16)
    write_dng(path, stored, pattern=pattern, white=15000, color_matrix1=CM, as_shot_neutral=NEUTRAL)
    raw, mosaic = read_raw_file(path), read_mosaic(path)
    np.testing.assert_allclose(raw.image, np.broadcast_to([0.3, 0.6, 0.125], (*size, 3)), atol=1e-4)
    np.testing.assert_allclose(mosaic.values, stored / 15000, atol=1e-6)
    assert mosaic.pattern == raw.metadata.pattern == pattern
    assert raw.metadata.size == size
    assert raw.metadata.warnings == ()


def test_a_small_mosaic_is_that_part_of_a_large_one(path):
    # Away from the edges, interpolation of the padded mosaic is interpolation of the mosaic.
    rng = np.random.default_rng(0)
    large = rng.integers(500, 15000, (40, 40)).astype(np.uint16)
    options = {"white": 15000, "color_matrix1": CM, "as_shot_neutral": NEUTRAL}
    whole = read_raw_file(write_dng(path, large, **options), demosaic="linear").image
    part = read_raw_file(write_dng(path, large[10:30, 10:30], **options), demosaic="linear").image
    np.testing.assert_array_equal(part[2:-2, 2:-2], whole[12:28, 12:28])


def test_one_row_of_a_linear_image(path):
    image = read_raw_file(write(path, LINEAR[:1])).image
    np.testing.assert_array_equal(image, LINEAR[:1])


# Claims


@pytest.mark.parametrize(("width", "message"), [(65_552, "sides up to 65500"), (2**31, "sides up to"), (0, "1 x 1 to")])
@pytest.mark.parametrize("compression", [1, 7, 8])
def test_sides_that_do_not_fit_sixteen_bits(path, width, message, compression):
    # LibRaw would take 65552 for 16.
    write_dng(path, np.full((32, 32), 100, np.uint16))
    changed(changed(path, 256, width), 259, compression, kind="H")
    with pytest.raises(RawError, match=message):
        read_raw_file(path)


@pytest.mark.parametrize("compression", [7, 8, 34892, 52546])
def test_a_small_file_cannot_claim_a_large_image(path, compression):
    write_dng(path, np.full((32, 32), 100, np.uint16))
    changed(changed(changed(path, 256, 16_000), 257, 12_000), 259, compression, kind="H")
    with pytest.raises(RawError, match=r"a file large enough for 16000 x 12000 pixels, got|at least 24000000 bytes"):
        read_raw_file(path)


def test_the_limit_is_stated():
    check = {"pixel_bytes": 2, "file_size": 2**30, "error": RawError}
    check_size("a", 12_240, 16_320, **check)  # 200 megapixels
    check_size("a", 16_384, 16_384, **check)
    check_size("a", 22, LARGEST_SIDE, **check)
    for size in ((16_384, 16_385), (1, LARGEST_SIDE + 1), (0, 5), (5, -1), (math.nan, 5)):
        with pytest.raises(RawError, match="expected 1 x 1 to 268 megapixels with sides up to 65500, got"):
            check_size("a", *size, **check)
    assert LARGEST_AREA == 2**28


@pytest.mark.parametrize("code", [50975, 52547])
def test_interleaved_images_are_refused(path, code):
    write(path, (LINEAR * 65535).astype(np.uint16), compression=8, tags=[(code, 3, 1, 2, True)])
    with pytest.raises(RawError, match="rows and columns in order"):
        read_raw_file(path)


@pytest.mark.parametrize("tags", [
    [(50717, 4, 1, 0, True)], [(50717, 5, 1, (0, 0), True)], [(50714, 5, 1, (9, 1), True), (50717, 4, 1, 9, True)],
    [(50714, 5, 1, (2**31, 1), True)],
])  # fmt: skip
@pytest.mark.parametrize("pixels", [LINEAR, (LINEAR * 255).astype(np.uint8)])
def test_levels_that_leave_nothing(path, tags, pixels):
    nan_white = len(tags) == 1 and tags[0][1] == 5 and tags[0][0] == 50717
    write(path, pixels, tags=tags)
    if nan_white:  # 0/0 counts as absent
        assert read_metadata(path).white[0] in (1, 255)
        return
    with pytest.raises(RawError, match="white level above the black level"):
        read_raw_file(path)


@pytest.mark.parametrize("matrix", [(0, 0) * 9, (1, 0) * 9, (1, 1) * 9, (-(2**31), 1) * 9])
@pytest.mark.parametrize("neutral", [(0, 1) * 3, (0, 0) * 3, (1, 1, 0, 1, 1, 1), (2**32 - 1, 1, 1, 2**32 - 1, 1, 1)])
def test_matrices_and_lights_that_are_none(path, matrix, neutral, monkeypatch):
    changed_tags = {50721: (50721, 10, 9, matrix, True), 50728: (50728, 5, 3, neutral, True)}
    monkeypatch.setattr(__name__ + ".DNG", [changed_tags.get(tag[0], tag) for tag in DNG])
    for options in ({"pixels": LINEAR}, {"pixels": (LINEAR * 255).astype(np.uint8)},
                    {"pixels": flat((24, 24), white=255).astype(np.uint8), "mosaic": True}):  # fmt: skip
        raw = read_raw_file(write(path, **options))
        assert np.isfinite(raw.image).all()
        assert np.isfinite(raw.ccm).all()
        assert (raw.illuminant > 0).all()
        assert raw.metadata.warnings


def test_truncated_and_damaged_data(path):
    rng = np.random.default_rng(0)
    for options in ({"compression": 8, "predictor": 3}, {"compression": 8}):
        data = bytearray(write(path, LINEAR, **options).read_bytes())
        with tifffile.TiffFile(path) as tiff:
            start, count = tiff.pages[0].dataoffsets[0], tiff.pages[0].databytecounts[0]
        data[start + 10 : start + 10 + count // 2] = rng.bytes(count // 2)
        path.write_bytes(data)
        with pytest.raises(RawError, match="expected whole image data, got: ") as error:
            read_raw_file(path)
        assert len(str(error.value).splitlines()) == 1
    for end in (3, 9, 100, start + 5, len(data) - 1):
        write(path, LINEAR)
        os.truncate(path, end)
        with pytest.raises(RawError):
            read_raw_file(path)
