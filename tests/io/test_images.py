"""Finished pictures: rounding, orientation, EXIF and profile kept, nothing half written."""

import io
import os
import struct

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageOps

from modisp_jax.io.exif import EXIF_IFD, GPS_IFD, ORIENTATION, exif_from_raw, read_settings, writable
from modisp_jax.io.images import ImageError, apply_orientation, quantize, read_image, srgb_profile, write_image
from modisp_jax.io.synthetic import write_synthetic_dng

LOSSLESS = [("a.png", 8), ("a.png", 16), ("a.tif", 8), ("a.tiff", 16)]
EVERY = [("a.jpg", 8), *LOSSLESS]


@pytest.fixture
def picture():
    return np.random.default_rng(0).random((23, 31, 3)).astype(np.float32)


def some_exif(orientation=6):
    exif = Image.Exif()
    exif[0x010F], exif[0x0110], exif[0x0131], exif[ORIENTATION] = "Maker", "Model", "modisp_jax", orientation
    exif.get_ifd(EXIF_IFD).update({0x829A: 0.002, 0x8827: 400, 0x9003: "2024:05:06 07:08:09", 0xA434: "35 mm"})
    exif.get_ifd(GPS_IFD).update({1: "N", 2: (33.0, 7.0, 36.8)})
    return exif


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_quantize_rounds_and_every_code_round_trips(bits, dtype):
    codes = np.arange(2**bits)
    top = 2**bits - 1
    np.testing.assert_array_equal(quantize((codes / top).astype(dtype), bits), codes)
    np.testing.assert_array_equal(quantize(((codes[:-1] + 0.51) / top).astype(dtype), bits), codes[:-1] + 1)
    np.testing.assert_array_equal(quantize(np.array([-np.inf, -1, 2, np.inf], dtype), bits), [0, 0, top, top])


def orientation_of(path):
    with Image.open(path) as picture:
        return picture.getexif()[ORIENTATION]


@pytest.mark.parametrize(("name", "bits"), LOSSLESS)
def test_every_code_survives_the_file(tmp_path, name, bits):
    codes = np.arange(2**bits, dtype=np.float64).reshape(2 ** (bits // 2), -1, 1).repeat(3, axis=-1)
    path = write_image(tmp_path / name, codes / (2**bits - 1), bits=bits)
    read = read_image(path)
    assert read.dtype == np.float32
    np.testing.assert_array_equal(quantize(read, bits), codes)
    np.testing.assert_array_equal(quantize(read_image(write_image(path, read, bits=bits)), bits), codes)


def test_default_bits(tmp_path, picture):
    for name, bits in (("a.png", 8), ("a.tif", 16)):
        read = read_image(write_image(tmp_path / name, picture))
        np.testing.assert_array_equal(read, quantize(picture, bits) / np.float32(2**bits - 1))


def test_other_readers_agree(tmp_path, picture):
    import imagecodecs

    expected = quantize(picture, 16)
    png = write_image(tmp_path / "a.png", picture, bits=16)
    np.testing.assert_array_equal(imagecodecs.png_decode(png.read_bytes()), expected)
    tiff = write_image(tmp_path / "a.tif", picture, bits=8)
    with Image.open(tiff) as read:
        np.testing.assert_array_equal(np.asarray(read), quantize(picture, 8))
    np.testing.assert_array_equal(imagecodecs.imread(tmp_path / "a.tif"), quantize(picture, 8))


def test_jpeg_is_close_and_its_colour_at_full_resolution(tmp_path):
    y, x = np.mgrid[0:64, 0:64] / 64
    smooth = np.stack([x, y, 1 - x], axis=-1)
    path = write_image(tmp_path / "a.jpg", smooth, quality=95)
    assert np.abs(read_image(path) - smooth).max() < 0.03
    for quality, sampling in ((95, (1, 1)), (80, (2, 2))):
        with Image.open(write_image(path, smooth, quality=quality)) as jpeg:
            assert jpeg.layer[0][1:3] == sampling


@pytest.mark.parametrize("code", range(1, 9))
def test_orientation_as_pillow_applies_it(tmp_path, picture, code):
    stored = Image.fromarray(quantize(picture))
    exif = Image.Exif()
    exif[ORIENTATION] = code
    data = io.BytesIO()
    stored.save(data, "png", exif=exif)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(data)))
    np.testing.assert_array_equal(apply_orientation(quantize(picture), code), expected)


@pytest.mark.parametrize("code", range(1, 9))
@pytest.mark.parametrize(("name", "bits"), LOSSLESS)
def test_orientation_applied_or_kept(tmp_path, picture, name, bits, code):
    exif = some_exif(code)
    applied = write_image(tmp_path / name, picture, bits=bits, exif=exif, orientation="apply")
    np.testing.assert_array_equal(quantize(read_image(applied), bits), quantize(apply_orientation(picture, code), bits))
    assert orientation_of(applied) == 1
    kept = write_image(tmp_path / name, picture, bits=bits, exif=exif, orientation="keep")
    np.testing.assert_array_equal(quantize(read_image(kept), bits), quantize(picture, bits))
    assert orientation_of(kept) == code
    assert exif[ORIENTATION] == code  # the caller's is untouched


@pytest.mark.parametrize("as_bytes", [False, True])
@pytest.mark.parametrize(("name", "bits"), EVERY)
def test_exif_and_profile_are_kept(tmp_path, picture, name, bits, as_bytes):
    exif = some_exif()
    path = write_image(tmp_path / name, picture, bits=bits, exif=exif.tobytes() if as_bytes else exif)
    with Image.open(path) as read:
        assert read.info["icc_profile"] == srgb_profile()
        found = read.getexif()
        assert (found[0x010F], found[0x0110], found[0x0131]) == ("Maker", "Model", "modisp_jax")
        camera = found.get_ifd(EXIF_IFD)
        assert float(camera[0x829A]) == pytest.approx(0.002)
        assert (camera[0x8827], camera[0x9003], camera[0xA434]) == (400, "2024:05:06 07:08:09", "35 mm")
        assert [float(v) for v in found.get_ifd(GPS_IFD)[2]] == pytest.approx([33, 7, 36.8])


@pytest.mark.parametrize(("name", "bits"), EVERY)
def test_profile_without_exif(tmp_path, picture, name, bits):
    with Image.open(write_image(tmp_path / name, picture, bits=bits)) as read:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(read.info["icc_profile"]))
    assert "sRGB" in ImageCms.getProfileDescription(profile)


@pytest.mark.parametrize(("name", "bits"), EVERY)
def test_equal_pictures_make_equal_files(tmp_path, picture, name, bits):
    first = write_image(tmp_path / name, picture, bits=bits).read_bytes()
    srgb_profile.cache_clear()
    assert write_image(tmp_path / name, picture, bits=bits).read_bytes() == first


def test_grey_palette_and_transparency_are_read(tmp_path):
    grey = Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8))
    for mode in ("L", "LA", "P", "RGBA", "1", "CMYK"):
        path = tmp_path / ("a.tif" if mode == "CMYK" else "a.png")
        grey.convert(mode).save(path)
        assert read_image(path).shape == (8, 8, 3)
    deep = np.arange(64, dtype=np.uint16).reshape(8, 8) * 1000
    Image.fromarray(deep).save(tmp_path / "deep.png")
    np.testing.assert_array_equal(quantize(read_image(tmp_path / "deep.png"), 16), deep[..., None].repeat(3, -1))


# Errors


@pytest.mark.parametrize(
    ("name", "value", "options", "message"),
    [
        ("a.bmp", None, {}, "expected a name ending in"),
        ("a", None, {}, "expected a name ending in"),
        ("a.png", np.zeros((4, 4)), {}, "expected a picture"),
        ("a.png", np.zeros((4, 4, 4)), {}, "expected a picture"),
        ("a.png", np.zeros((0, 4, 3)), {}, "expected a picture"),
        ("a.png", np.zeros((4, 4, 3), np.uint8), {}, "floating-point"),
        ("a.png", np.full((4, 4, 3), np.nan), {}, "NaN"),
        ("a.jpg", None, {"bits": 16}, "expected bits 8"),
        ("a.png", None, {"bits": 12}, "expected bits 8 or 16"),
        ("a.jpg", None, {"quality": 0}, "quality 1..100"),
        ("a.png", None, {"orientation": "turn"}, "orientation"),
        ("a.png", None, {"exif": 7}, "EXIF as bytes or a Pillow Exif"),
        ("a.jpg", np.zeros((2, 65501, 3), np.float32), {}, "sides up to 65500"),
        ("missing/a.png", None, {}, "folder that can be written to"),
    ],
)
def test_refused(tmp_path, name, value, options, message):
    value = np.zeros((4, 4, 3)) if value is None else value
    with pytest.raises(ImageError, match=message) as error:
        write_image(tmp_path / name, value, **options)
    assert "\n" not in str(error.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.tif"])
def test_a_failed_write_leaves_what_was_there(tmp_path, picture, name, monkeypatch):
    path = write_image(tmp_path / name, picture)
    before = path.read_bytes()

    def fail(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(ImageError, match="No space left"):
        write_image(path, 1 - picture)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_an_interrupted_write_leaves_nothing(tmp_path, picture, monkeypatch):
    import imagecodecs

    def interrupt(*args, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(imagecodecs, "png_encode", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_image(tmp_path / "a.png", picture)
    assert list(tmp_path.iterdir()) == []


def test_too_much_exif_for_a_jpeg(tmp_path, picture):
    exif = some_exif()
    exif.get_ifd(EXIF_IFD)[0x9286] = b"x" * 70000
    with pytest.raises(ImageError, match="cannot be written"):
        write_image(tmp_path / "a.jpg", picture, exif=exif)
    assert list(tmp_path.iterdir()) == []


def test_permissions_are_those_of_a_new_file(tmp_path, picture):
    plain = tmp_path / "plain"
    plain.touch()
    assert write_image(tmp_path / "a.png", picture).stat().st_mode == plain.stat().st_mode


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.jpg"])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.7])
def test_damaged_pictures_are_refused(tmp_path, picture, name, share):
    path = write_image(tmp_path / name, picture, bits=8)
    os.truncate(path, int(path.stat().st_size * share))
    with pytest.raises(ImageError, match="expected a"):
        read_image(path)


def test_unreadable(tmp_path):
    for path in (tmp_path / "missing.png", tmp_path):
        with pytest.raises(ImageError, match="expected a PNG, TIFF or JPEG"):
            read_image(path)


def test_exif_of_a_damaged_raw_does_not_stop_its_picture(tmp_path):
    good = {0x829A: 0.01, 0xA434: "35 mm"}
    assert writable(good | {34853: (1, 2, 3, 4, 5), 0x8827: ("a", 3), 0x920A: object()}) == good
    raw = write_synthetic_dng(tmp_path / "a.dng", size=(32, 32))
    data = bytearray(raw.read_bytes())
    entry = data.index(struct.pack("<HHI", 34855, 3, 1))
    struct.pack_into("<HHI", data, entry, 34855, 2, 3)  # the ISO as a text
    raw.write_bytes(data)
    exif = exif_from_raw(raw, settings={"modisp_jax": "0"})
    for suffix in (".jpg", ".png", ".tif"):
        path = write_image(tmp_path / f"a{suffix}", np.full((8, 9, 3), 0.5, np.float32), exif=exif)
        assert read_settings(path) == {"modisp_jax": "0"}
