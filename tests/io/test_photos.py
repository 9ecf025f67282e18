"""Finished photos of every kind: pixels, profile and what the file says; and files that are no photo."""

import contextlib
import struct
import sys
import zlib

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image, features

from modisp_jax.io.exif import EXIF_IFD, ORIENTATION
from modisp_jax.io.images import ImageError, quantize, write_image
from modisp_jax.io.photos import read_photo
from tests import icc_profiles as icc
from tests.samples import photo

P3 = icc.rgb_profile(icc.P3, icc.SRGB_CURVE)


def eight(height=24, width=32):
    return quantize(photo(height, width))


def sixteen(height=24, width=32):
    return quantize(photo(height, width), 16)


def exif_of(orientation=6):
    exif = Image.Exif()
    exif[0x010F], exif[0x0110], exif[ORIENTATION] = "Maker", "Model", orientation
    exif.get_ifd(EXIF_IFD).update({0x829A: 0.002, 0x8827: 400, 0x9003: "2024:05:06 07:08:09", 0xA434: "35 mm"})
    return exif


def assert_pixels(got, codes, atol=1e-6):
    assert got.srgb.dtype == np.float32
    assert got.srgb.flags.c_contiguous
    np.testing.assert_allclose(got.srgb, codes / np.float32(np.iinfo(codes.dtype).max), atol=atol)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.png", {}),
        ("a.tif", {"bits": 8}),
        ("a.webp", {"lossless": True, "exact": True}),
    ],
)
def test_eight_bits_come_as_stored(tmp_path, name, options):
    if name == "a.tif":
        write_image(tmp_path / name, photo(24, 32), exif=exif_of(), orientation="keep", **options)
    else:
        Image.fromarray(eight()).save(tmp_path / name, exif=exif_of(), **options)
    got = read_photo(tmp_path / name)
    assert_pixels(got, eight())
    kind = {"a.png": "PNG", "a.tif": "TIFF", "a.webp": "WEBP"}[name]
    assert got.metadata.format == kind
    assert got.metadata.size == (24, 32)
    assert got.metadata.orientation == 6
    assert (got.metadata.make, got.metadata.model, got.metadata.lens) == ("Maker", "Model", "35 mm")
    assert (got.metadata.iso, got.metadata.datetime) == (400, "2024-05-06T07:08:09")
    np.testing.assert_allclose(got.metadata.exposure_time, 0.002)
    assert got.metadata.warnings == ()
    assert got.profile == ("sRGB built-in" if name == "a.tif" else "")


def test_jpeg(tmp_path):
    Image.fromarray(eight()).save(tmp_path / "a.jpg", quality=100, subsampling=0, exif=exif_of(8))
    got = read_photo(tmp_path / "a.jpg")
    assert_pixels(got, eight(), 3 / 255)
    assert (got.metadata.format, got.metadata.orientation) == ("JPEG", 8)


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow has no AVIF")
def test_avif(tmp_path):
    Image.fromarray(eight()).save(tmp_path / "a.avif", quality=100, subsampling="4:4:4", icc_profile=P3)
    got = read_photo(tmp_path / "a.avif")
    assert got.metadata.format == "AVIF"
    assert got.profile == "made by hand"
    assert got.srgb.shape == (24, 32, 3)


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_what_we_write_comes_back_at_sixteen_bits(tmp_path, name):
    path = write_image(tmp_path / name, photo(24, 32), bits=16, exif=exif_of(3), orientation="keep")
    got = read_photo(path)
    assert_pixels(got, sixteen())
    assert got.metadata.orientation == 3
    assert "sRGB" in got.profile


def test_grey_alpha_and_palettes(tmp_path):
    codes = eight()
    grey, alpha = codes[..., 1], np.full((24, 32), 90, np.uint8)
    Image.fromarray(grey).save(tmp_path / "l.png")
    Image.fromarray(np.dstack([grey, alpha])).save(tmp_path / "la.png")
    Image.fromarray(np.dstack([codes, alpha])).save(tmp_path / "rgba.png")
    Image.fromarray(codes // 86 * 86).quantize(64).save(tmp_path / "p.png")
    Image.fromarray(grey > 128).save(tmp_path / "1.png")
    for name in ("l.png", "la.png"):
        assert_pixels(read_photo(tmp_path / name), grey[..., None].repeat(3, axis=-1))
    assert_pixels(read_photo(tmp_path / "rgba.png"), codes)
    assert_pixels(read_photo(tmp_path / "p.png"), codes // 86 * 86)
    assert_pixels(read_photo(tmp_path / "1.png"), np.uint8(255) * (grey > 128)[..., None].repeat(3, axis=-1))


def test_sixteen_bit_png_with_grey_and_alpha(tmp_path):
    codes = sixteen()
    grey = np.ascontiguousarray(codes[..., 1])
    alpha = np.full((24, 32), 900, np.uint16)
    for name, pixels in (("l", grey), ("la", np.dstack([grey, alpha])), ("rgba", np.dstack([codes, alpha]))):
        (tmp_path / f"{name}.png").write_bytes(imagecodecs.png_encode(pixels))
    for name in ("l", "la"):
        assert_pixels(read_photo(tmp_path / f"{name}.png"), grey[..., None].repeat(3, axis=-1))
    assert_pixels(read_photo(tmp_path / "rgba.png"), codes)


@pytest.mark.parametrize(
    ("pixels", "options", "expected"),
    [
        (sixteen(), {"photometric": "rgb"}, sixteen()),
        (sixteen(), {"photometric": "rgb", "byteorder": ">"}, sixteen()),
        (sixteen(), {"photometric": "rgb", "bigtiff": True, "compression": "zlib", "predictor": True}, sixteen()),
        (sixteen(), {"photometric": "rgb", "tile": (16, 16), "compression": "lzw"}, sixteen()),
        (np.moveaxis(sixteen(), -1, 0), {"photometric": "rgb", "planarconfig": "separate"}, sixteen()),
        (sixteen()[..., 0], {"photometric": "minisblack"}, sixteen()[..., :1].repeat(3, axis=-1)),
        (~sixteen()[..., 0], {"photometric": "miniswhite"}, sixteen()[..., :1].repeat(3, axis=-1)),
        (np.dstack([eight(), eight()[..., :1]]), {"photometric": "rgb", "extrasamples": ["unassalpha"]}, eight()),
    ],
)
def test_layouts_of_tiff(tmp_path, pixels, options, expected):
    tifffile.imwrite(tmp_path / "a.tif", pixels, **options)
    assert_pixels(read_photo(tmp_path / "a.tif"), expected)


@pytest.mark.parametrize(("kind", "values"), [("H", (1, 2, 3)), ("I", (7,)), ("s", "no profile")])
def test_a_tiff_whose_profile_is_none(tmp_path, kind, values):
    tag = (34675, kind, len(values), values if len(values) > 1 else values[0], True)
    tifffile.imwrite(tmp_path / "a.tif", eight(), photometric="rgb", extratags=[tag])
    got = read_photo(tmp_path / "a.tif")
    assert_pixels(got, eight())
    assert any("the colour profile was ignored" in note for note in got.metadata.warnings)


@pytest.mark.parametrize("name", ["a.jpg", "a.tif"])
def test_cmyk(tmp_path, name):
    inks = np.zeros((16, 16, 4), np.uint8)
    inks[:, 8:] = 255, 0, 0, 51
    Image.fromarray(inks, "CMYK").save(tmp_path / name, **({"quality": 100} if name == "a.jpg" else {}))
    got = read_photo(tmp_path / name).srgb
    np.testing.assert_allclose(got[4, 4], [1, 1, 1], atol=0.02)
    np.testing.assert_allclose(got[4, 12], [0, 0.8, 0.8], atol=0.02)
    Image.fromarray(inks, "CMYK").save(tmp_path / name, icc_profile=icc.cmyk_profile())
    got = read_photo(tmp_path / name)
    assert got.profile == "made by hand"
    np.testing.assert_allclose(got.srgb[4, 4], [1, 1, 1], atol=0.02)
    np.testing.assert_allclose(got.srgb[4, 12], np.full(3, got.srgb[4, 12, 0]), atol=0.02)  # its inks are grey
    assert 0.3 < got.srgb[4, 12, 0] < 0.7


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.webp", "a.jpg"])
def test_the_profile_is_honoured(tmp_path, name):
    options = {"a.webp": {"lossless": True}, "a.jpg": {"quality": 100, "subsampling": 0}}.get(name, {})
    codes = np.full((16, 16, 3), [128, 102, 77], np.uint8)
    Image.fromarray(codes).save(tmp_path / name, icc_profile=P3, **options)
    got = read_photo(tmp_path / name)
    own = codes[0, 0] / 255
    linear = icc.to_linear_srgb(icc.P3) @ np.where(own <= 0.04045, own / 12.92, ((own + 0.055) / 1.055) ** 2.4)
    expected = 1.055 * linear ** (1 / 2.4) - 0.055
    np.testing.assert_allclose(got.srgb[8, 8], expected, atol=0.006 if name == "a.jpg" else 5e-4)
    assert got.profile == "made by hand"


def test_sixteen_bit_tiff_with_a_profile(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", sixteen(), photometric="rgb", iccprofile=P3)
    got = read_photo(tmp_path / "a.tif")
    assert np.abs(got.srgb - sixteen() / 65535).max() > 0.01
    assert np.isfinite(got.srgb).all()


def test_profiles_that_do_not_fit(tmp_path):
    Image.fromarray(eight()).save(tmp_path / "a.png", icc_profile=P3[:300])
    got = read_photo(tmp_path / "a.png")
    assert_pixels(got, eight())
    assert len(got.metadata.warnings) == 1
    assert "colour profile was ignored" in got.metadata.warnings[0]
    Image.fromarray(eight()[..., 0]).save(tmp_path / "g.png", icc_profile=P3)  # editors do this
    assert read_photo(tmp_path / "g.png").metadata.warnings == ()
    Image.fromarray(eight()).save(tmp_path / "c.png", icc_profile=icc.grey_profile(2.2))
    assert "for 3 channels, got one for GRAY" in read_photo(tmp_path / "c.png").metadata.warnings[0]


def test_adobe_rgb_by_exif_alone(tmp_path):
    codes = np.full((16, 16, 3), [60, 160, 60], np.uint8)
    for space, index, differs in ((0xFFFF, "R03", True), (1, "R98", False), (0xFFFF, "R98", False)):
        exif = exif_of()
        exif.get_ifd(EXIF_IFD).update({0xA001: space, 0xA005: {1: index}})
        Image.fromarray(codes).save(tmp_path / "a.png", exif=exif)
        got = read_photo(tmp_path / "a.png")
        assert (got.profile == "Adobe RGB (EXIF)") == differs
        assert (got.srgb[0, 0, 0] < 0.5 * codes[0, 0, 0] / 255) == differs


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "16.png", "a.tif", "16.tif", "a.webp"])
def test_files_cut_short(tmp_path, name, capfd):
    path = tmp_path / name
    if name.startswith("16"):
        write_image(path, photo(64, 64), bits=16)
    else:
        Image.fromarray(eight(64, 64)).save(path, **({"lossless": True} if name == "a.webp" else {}))
    whole = path.read_bytes()
    for share in (0.0, 0.01, 0.1, 0.3, 0.6, 0.9):
        path.write_bytes(whole[: int(share * len(whole))])
        with pytest.raises(ImageError, match="expected a") as caught:
            read_photo(path)
        assert str(caught.value).startswith(f"{path}: ")
        assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")  # no decoder speaks for itself


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "16.png", "a.tif", "16.tif", "a.webp"])
def test_flipped_bytes(tmp_path, name):
    """Read or refused, never anything else."""
    path = tmp_path / name
    if name.startswith("16"):
        write_image(path, photo(40, 40), bits=16)
    else:
        Image.fromarray(eight(40, 40)).save(path, icc_profile=P3, exif=exif_of())
    whole, rng = path.read_bytes(), np.random.default_rng(0)
    for _ in range(25):
        data = bytearray(whole)
        for place in rng.integers(0, min(len(data), 1500), 3):
            data[place] = rng.integers(256)
        path.write_bytes(data)
        with contextlib.suppress(ImageError):
            assert np.isfinite(read_photo(path).srgb).all()


def _png_of(width, height, depth=8):
    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b"")


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize(("width", "height"), [(100_000, 100_000), (2**31 - 1, 2), (20_000, 20_000)])
def test_absurd_sizes_are_refused_before_decoding(tmp_path, width, height, depth):
    (tmp_path / "a.png").write_bytes(_png_of(width, height, depth))
    with pytest.raises(ImageError, match=f"megapixels with sides up to 65500, got {width} x {height}"):
        read_photo(tmp_path / "a.png")


def test_an_absurd_tiff(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", sixteen(), photometric="rgb")
    data = bytearray((tmp_path / "a.tif").read_bytes())
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        tags = file.pages[0].tags
        for name in ("ImageWidth", "ImageLength"):
            kind = {3: "<H", 4: "<I"}[int(tags[name].dtype)]
            struct.pack_into(kind, data, tags[name].valueoffset, 60_000)
    (tmp_path / "a.tif").write_bytes(data)
    with pytest.raises(ImageError, match="got 60000 x 60000"):
        read_photo(tmp_path / "a.tif")


def test_pillows_own_limit_stays_as_it_was(tmp_path):
    limit = Image.MAX_IMAGE_PIXELS
    Image.fromarray(eight()).save(tmp_path / "a.png")
    read_photo(tmp_path / "a.png")
    assert limit == Image.MAX_IMAGE_PIXELS


@pytest.mark.parametrize(
    "data", [b"", b"hello", b"GIF89a" + b"\0" * 40, b"RIFF1234WAVE", b"\0\0\0\x18ftypmp42" + b"\0" * 30]
)
def test_other_files_are_refused(tmp_path, data):
    (tmp_path / "a.jpg").write_bytes(data)
    with pytest.raises(
        ImageError, match="expected a JPEG, PNG, TIFF, WebP, AVIF or HEIF picture, got a file of another"
    ):
        read_photo(tmp_path / "a.jpg")


def test_missing_files_and_folders(tmp_path):
    for path in (tmp_path / "none.jpg", tmp_path):
        with pytest.raises(ImageError, match="expected a JPEG, PNG, TIFF, WebP, AVIF or HEIF picture, got: "):
            read_photo(path)


@pytest.mark.parametrize(
    ("dtype", "bits"), [(np.float32, 32), (np.uint32, 32), (np.int16, 16)], ids=["float", "long", "signed"]
)
def test_tiffs_of_other_depths_are_refused(tmp_path, dtype, bits):
    tifffile.imwrite(tmp_path / "a.tif", photo(20, 20).astype(dtype), photometric="rgb")
    with pytest.raises(ImageError, match=f"expected 8 or 16 bits per channel in whole numbers, got {bits} bits"):
        read_photo(tmp_path / "a.tif")


def test_heif_without_its_decoder_says_what_is_missing(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    (tmp_path / "a.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + b"\0" * 20)
    with pytest.raises(ImageError, match=r"need pillow-heif, which is not installed: pip install 'modisp_jax\[heif\]'"):
        read_photo(tmp_path / "a.heic")


def test_heif(tmp_path):
    heif = pytest.importorskip("pillow_heif", reason="the extra 'heif' is not installed")
    heif.register_heif_opener()
    Image.fromarray(eight(64, 64)).save(tmp_path / "a.heic", quality=100, icc_profile=P3, exif=exif_of(1))
    got = read_photo(tmp_path / "a.heic")
    assert (got.metadata.format, got.metadata.model, got.profile) == ("HEIF", "Model", "made by hand")
    assert got.srgb.shape == (64, 64, 3)
