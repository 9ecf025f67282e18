"""The codecs of a raw inside a JPEG: exact where they say so, near where they do not; and a look's coefficients."""

import io

import numpy as np
import pytest
from PIL import Image

from modisp_jax.io import raw_curve
from modisp_jax.io.dng_write import encode_ljpeg, write_dng
from modisp_jax.io.load import load_raw
from modisp_jax.io.metadata import RawMetadata
from modisp_jax.io.raw import read_raw_file
from modisp_jax.io.raw_container import ContainerError
from modisp_jax.io.raw_curve import curve_step, decode_curve, decode_jpeg_planes, encode_curve, noise_offset
from modisp_jax.io.raw_look import decode_look, encode_look
from modisp_jax.io.raw_lossless import decode_lossless, encode_lossless
from tests.io.test_raw import BAYER, CM, NEUTRAL
from tests.samples import photo

LIGHT = np.array(NEUTRAL)


def develop(path, demosaic):
    if demosaic != "libraw":
        raise ValueError("tests/test_raw_jpeg.py has the other way")
    return load_raw(path).image


def bayer(tmp_path, pattern="RGGB", size=(64, 80), **options):
    rng = np.random.default_rng(3)
    smooth = np.cumsum(rng.normal(0, 60, size), axis=1) + 6000
    pixels = np.clip(smooth + rng.normal(0, 40, size), 0, 16383).astype(np.uint16)
    pixels[5:12, 7:20] = 16383
    options = {"black": 512, "white": 16000, "color_matrix1": CM, "as_shot_neutral": NEUTRAL} | options
    path = write_dng(tmp_path / "a.dng", pixels, pattern=pattern, iso=200, make="m", **options)
    return read_raw_file(path), pixels


def round_trip(image, metadata):
    facts, parts = encode_lossless(image, metadata, develop)
    back = decode_lossless(facts, parts, image.shape[:2], develop)
    np.testing.assert_array_equal(back.view(np.uint32), image.view(np.uint32))
    assert back.dtype == np.float32
    return facts, parts


@pytest.mark.parametrize("pattern", BAYER)
def test_a_mosaic_is_kept_as_a_dng(tmp_path, pattern):
    file, pixels = bayer(tmp_path, pattern)
    facts, parts = round_trip(file.image, file.metadata)
    assert facts == {"kind": "mosaic", "demosaic": "libraw"}
    (tmp_path / "b.dng").write_bytes(parts["dng"])
    again = read_raw_file(tmp_path / "b.dng")
    np.testing.assert_array_equal(again.image, file.image)
    assert (again.metadata.iso, again.metadata.make, again.metadata.pattern) == (200, "m", pattern)
    assert len(parts["dng"]) < 1.1 * pixels.nbytes


@pytest.mark.parametrize(
    "options",
    [
        {"black": np.array([[500.0, 508.0], [516.0, 532.0]])},
        {"as_shot_neutral": (0.11, 1, 0.9)},
        {"color_matrix2": 1.2 * CM, "camera_calibration1": np.diag([1.02, 1, 0.98]), "orientation": 6},
        {"size": (63, 81)},
        {"size": (64, 23)},
    ],
)
def test_mosaics_of_many_kinds(tmp_path, options):
    file, _ = bayer(tmp_path, **options)
    facts, _ = round_trip(file.image, file.metadata)
    assert facts["kind"] == "mosaic"


def test_a_changed_image_is_kept_as_it_is(tmp_path):
    file, _ = bayer(tmp_path)
    changed = file.image.copy()
    changed[20, 21] *= np.float32(0.5)
    assert round_trip(changed, file.metadata)[0]["kind"] in ("linear", "float32")
    assert round_trip(np.ascontiguousarray(file.image[1:]), file.metadata)[0]["kind"] == "linear"


@pytest.mark.parametrize("bits", [8, 16])
def test_demosaiced_integers_are_kept_as_a_linear_dng(bits):
    top = 2**bits - 1
    image = np.rint(photo(40, 50) * top).astype(np.float32) / np.float32(top)
    facts, parts = round_trip(image, RawMetadata(size=(40, 50), orientation=3))
    assert facts["kind"] == "linear"
    assert len(parts["dng"]) < 1.2 * 40 * 50 * 3 * 2


@pytest.mark.parametrize(
    "image",
    [
        photo(40, 50),
        photo(5, 7),
        np.float32(-0.0) * photo(30, 30),
        np.resize(np.array([1e-45, -3e38, 3e38, 1, -1e-8, 7], np.float32), (24, 26, 3)),
    ],
)
def test_any_floats_are_kept(image):
    assert round_trip(np.ascontiguousarray(image), RawMetadata(pattern="RGGB"))[0]["kind"] == "float32"


def test_lossless_jpeg_of_a_mosaic_is_smaller_than_a_plain_one(tmp_path):
    import imagecodecs

    _, pixels = bayer(tmp_path)
    plain = imagecodecs.jpeg_encode(pixels, lossless=True, bitspersample=16, predictor=7)
    pixels[:, ::2] //= 3  # red and blue columns are darker
    assert len(encode_ljpeg(pixels)) < len(plain)


def test_lossless_parts_that_lie(tmp_path):
    file, _ = bayer(tmp_path)
    facts, parts = encode_lossless(file.image, file.metadata, develop)
    for bad_facts, bad_parts in (({}, parts), ({"kind": []}, parts), ({**facts, "demosaic": "x"}, parts), (facts, {})):
        with pytest.raises(ContainerError, match="expected"):
            decode_lossless(bad_facts, bad_parts, (64, 80), develop)
    with pytest.raises(ContainerError, match="part 'dng': expected a DNG of 64 x 82"):
        decode_lossless(facts, parts, (64, 82), develop)
    for left in (100, 2000):
        with pytest.raises(ValueError, match="expected"):
            decode_lossless(facts, {"dng": parts["dng"][:left]}, (64, 80), develop)
    _, floats = encode_lossless(photo(30, 30), RawMetadata(), develop)
    with pytest.raises(ContainerError, match="expected a lossless JPEG of"):
        decode_lossless({"kind": "float32"}, floats, (31, 30), develop)
    with pytest.raises(ContainerError, match="expected a JPEG: expected a segment"):
        decode_lossless({"kind": "float32"}, floats | {"low": floats["low"][:60]}, (30, 30), develop)


def psnr(a, b):
    return -10 * np.log10(np.mean((a - b) ** 2))


def noisy(height=200, width=264):
    y, x = np.mgrid[0:height, 0:width] / 50
    waves = 0.3 + 0.25 * np.stack([np.sin(x + y), np.cos(y - x), np.sin(x) * np.cos(y)], axis=-1) * [0.3, 0.25, 0.3]
    image = waves * (0.05 + (x > 2)[..., None]) * LIGHT
    noise = np.random.default_rng(0).normal(0, 1, image.shape) * np.sqrt(2e-4 * image + 1e-7)
    return np.clip(image + noise, 0, 1).astype(np.float32)


@pytest.mark.parametrize("size", [(200, 264), (37, 211), (5, 3), (16, 1)])
def test_curve_comes_near(size):
    image = np.ascontiguousarray(noisy()[: size[0], : size[1]])
    jpeg, facts = encode_curve(image, LIGHT, 97)
    back = decode_curve(jpeg, facts, size)
    assert back.dtype == np.float32
    assert back.shape == image.shape
    assert back.min() >= 0
    assert back.max() <= image.max() + 1e-6
    assert psnr(back, image) > 50


def test_curve_quality_is_a_scale():
    image, found = noisy(), []
    for quality in (50, 75, 90, 97, 100):
        jpeg, facts = encode_curve(image, LIGHT, quality)
        found.append((len(jpeg), psnr(decode_curve(jpeg, facts, image.shape[:2]), image)))
    assert found == sorted(found)
    assert len({f[0] for f in found}) == 5
    assert [curve_step(q) for q in (1, 75, 95, 97, 100)] == [59, 15, 3, 2, 1]


@pytest.mark.reference
@pytest.mark.parametrize("name", ["GOPR0024", "GPBK7066"])
def test_on_real_photos_curve_beats_a_power_and_jpeg_at_fewer_bytes(shared, name):
    file = load_raw(shared / "data" / "raw" / f"{name}.DNG")
    image = np.ascontiguousarray(file.image[1200:1712, 1000:1512])
    out = io.BytesIO()
    Image.fromarray(np.rint(image ** (1 / 2.2) * 255).astype(np.uint8)).save(out, "jpeg", quality=90, subsampling=0)
    plain = (np.asarray(Image.open(out)).astype(np.float32) / 255) ** np.float32(2.2)
    jpeg, facts = encode_curve(image, file.illuminant, 90, file.metadata.color.noise_profile)
    assert len(jpeg) < len(out.getvalue())
    assert psnr(decode_curve(jpeg, facts, image.shape[:2]), image) > psnr(plain, image) + 1


@pytest.mark.parametrize("value", [0.0, 1e-6, 0.3, 1.0])
def test_flat_images(value):
    image = np.full((32, 48, 3), value, np.float32)
    jpeg, facts = encode_curve(image, LIGHT, 97)
    np.testing.assert_allclose(decode_curve(jpeg, facts, (32, 48)), image, atol=0.01)


@pytest.mark.parametrize(("offset", "top"), [(1e-4, 1.0), (4e-3, 0.05), (1e-5, 1e-6)])
def test_the_curve_rises_and_its_inverse_undoes_it(offset, top):
    x = np.linspace(0, top, 4001, dtype=np.float32)
    v = raw_curve._curve(x, offset, top)
    assert (np.diff(v) >= 0).all()
    np.testing.assert_allclose([v[0], v[-1]], [0, 1], atol=1e-5)
    e = raw_curve.EXPONENT
    low, high = offset**e, (top + offset) ** e
    np.testing.assert_allclose((v * (high - low) + low) ** (1 / e) - offset, x, atol=2e-6 * max(top, offset))


def test_the_curve_evens_out_the_noise():
    rng = np.random.default_rng(0)
    spread = []
    for level in (0.01, 0.1, 0.6):
        x = (level + rng.normal(0, 1, 20000) * np.sqrt(1e-5 * (level + 1e-3))).astype(np.float32)
        spread.append(raw_curve._curve(x, 1e-3, 1.0).std())
    assert max(spread) < 1.05 * min(spread)


def test_grey_has_no_colour_in_the_planes():
    grey = np.full((16, 16, 3), 0.4, np.float32) * (LIGHT / LIGHT.max()).astype(np.float32)
    jpeg, facts = encode_curve(grey, LIGHT, 97)
    planes = decode_jpeg_planes(jpeg, (16, 16))
    neutral = 255 * np.array(facts["shift"])
    np.testing.assert_allclose(planes[..., 1:], np.broadcast_to(neutral[1:], (16, 16, 2)), atol=2)


def test_noise_offset():
    assert noise_offset(noisy(), np.array([[2e-4, 1e-7]] * 3)) == pytest.approx(5e-4)
    assert noise_offset(noisy(), np.array([[2e-4, 0.0]] * 3)) == 1e-4
    for image in (noisy(), photo(300, 300), np.zeros((300, 300, 3)), np.ones((300, 300, 3)), photo(8, 8)):
        assert 1e-4 <= noise_offset(image.astype(np.float32)) <= 4e-3
        assert 1e-4 <= noise_offset(image.astype(np.float32), np.full((3, 2), np.nan)) <= 4e-3
    rng = np.random.default_rng(0)  # flat patches of rising brightness
    level = np.repeat(np.repeat(np.geomspace(1e-3, 0.8, 400).reshape(20, 20), 32, axis=0), 32, axis=1)
    loud = level + rng.normal(0, 1, level.shape) * np.sqrt(1e-4 * level + 2e-7)
    assert noise_offset(np.repeat(loud[..., None], 3, axis=-1)) == pytest.approx(2e-3, rel=0.4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"exponent": "x"}, "exponent: expected numbers"),
        ({"exponent": float("nan")}, "exponent: expected finite"),
        ({"exponent": 1e-9}, "expected a curve's exponent"),
        ({"top": 0}, "expected a curve's exponent"),
        ({"matrix": [[1, 2], [3, 4]]}, "matrix: expected finite numbers of shape"),
        ({"matrix": np.ones((3, 3)).tolist()}, "expected a matrix that can be inverted"),
        ({"shift": None}, "shift: expected"),
    ],
)
def test_curve_facts_that_lie(change, message):
    jpeg, facts = encode_curve(noisy(16, 16), LIGHT)
    with pytest.raises(ContainerError, match=message):
        decode_curve(jpeg, facts | change, (16, 16))
    with pytest.raises(ContainerError, match="expected a raw of 17 x 16"):
        decode_curve(jpeg, facts, (16, 17))
    with pytest.raises(ContainerError, match="expected a JPEG of the raw"):
        decode_curve(jpeg[:-200], facts, (16, 16))


def look(size=(20, 30)):
    rng = np.random.default_rng(0)
    maps = np.cumsum(rng.normal(0, 0.05, (*size, 5)), axis=1).astype(np.float32)
    return {
        "gain": np.float32(1.3),
        "gtm": np.array([1, 1.2, 0.9], np.float32),
        "ltm": maps,
        "chroma_lut": rng.normal(0, 0.1, (24, 24, 2)).astype(np.float32),
        "inverse_gamma": np.float32(0.45),
        "strengths": None,
    }


@pytest.mark.parametrize("size", [(20, 30), (4, 5), (1, 1)])
def test_a_look_comes_back(size):
    given = look(size)
    found = decode_look(*encode_look(given))
    for name, array in given.items():
        if name == "ltm":
            assert np.abs(found[name] - array).max() <= 2**-12 + 1e-6
        else:
            np.testing.assert_array_equal(found[name], array)
    assert found["rgb_lut"] is None


def test_maps_of_a_wide_range_get_16_bits():
    given = look() | {"ltm": 1000 * look()["ltm"]}
    found = decode_look(*encode_look(given))["ltm"]
    assert (np.abs(found - given["ltm"]) <= 0.51 * np.ptp(given["ltm"], axis=(0, 1)) / 65535 + 1e-3).all()


def test_looks_that_lie():
    facts, parts = encode_look(look())
    for bad in (None, {}, {**facts, "small": ["x"]}, {**facts, "small": ["gain", "gain"]}, {**facts, "ltm": {}}):
        with pytest.raises(ContainerError):
            decode_look(bad, parts)
    for bad in ({}, {**parts, "look/small": b"x"}, {**parts, "look/ltm": parts["look/ltm"][:20]}):
        with pytest.raises(ValueError, match="expected"):
            decode_look(facts, bad)
    import zlib

    with pytest.raises(ContainerError, match="got more"):
        decode_look(facts, {**parts, "look/small": zlib.compress(b"\0" * 10**7)})
    with pytest.raises(ValueError, match=r"look\.ltm: expected shape"):
        encode_look(look() | {"ltm": np.zeros((3, 4))})
    with pytest.raises(ValueError, match="finite"):
        encode_look(look() | {"gain": np.float32(np.nan)})


def test_metadata_comes_back(tmp_path):
    import json

    file, _ = bayer(tmp_path, noise_profile=(1e-4, 1e-8), orientation=5, default_crop=(2, 2, 40, 50), lens="l")
    found = RawMetadata.from_dict(json.loads(json.dumps(file.metadata.to_dict())))
    assert repr(found) == repr(file.metadata)
    assert RawMetadata.from_dict(RawMetadata().to_dict() | {"later": 1}) is not None
    for bad in (None, [], {"iso": "x"}, {"size": [1]}, {"orientation": 9}, {"color": {}}, {"neutral": [1, 2, None]}):
        with pytest.raises(ValueError, match=r"expected|color"):
            RawMetadata.from_dict(bad)
