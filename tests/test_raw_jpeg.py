"""Raw inside the JPEG, from a Raw and back: every codec, other readers, damage, and the published tool's files."""

import dataclasses
import io
import json
import os
import shlex
import shutil
import subprocess

import imagecodecs
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tifffile
from PIL import Image

import modisp_jax as mj
from modisp_jax.config import PipelineConfig
from modisp_jax.io import xmp
from modisp_jax.io.dng_write import write_dng
from modisp_jax.io.exif import exif_from_raw
from modisp_jax.io.images import read_image, write_image
from modisp_jax.io.jpeg_segments import end_of_jpeg, header_segments
from modisp_jax.io.metadata import RawMetadata
from modisp_jax.io.published_raw_jpeg import find_published
from modisp_jax.io.raw_container import attach, find_member, make_member
from tests.browser import needs_chromium, screenshot
from tests.io.test_raw import CM, NEUTRAL
from tests.io.test_raw_container import exif_with_thumbnail
from tests.samples import photo, raw

SETTINGS = {"edits": {"contrast": 0.25, "crop": [0.1, 0.2, 0.5, 0.5]}, "style": "vivid", "note": 'é "<&>"\n'}
PICTURE = photo(48, 64, 7)


@pytest.fixture(scope="module")
def adapter():
    config = PipelineConfig(None, None, None, io=("raw_adapter",))
    return mj.init_params(jax.random.key(0), config)["io"]["raw_adapter"]


@pytest.fixture(scope="module")
def dng(tmp_path_factory):
    rng = np.random.default_rng(1)
    pixels = (np.cumsum(rng.normal(0, 90, (64, 80)), axis=1) + 6000).clip(0, 16000).astype(np.uint16)
    path = tmp_path_factory.mktemp("raw") / "a.dng"
    options = {"black": 512, "white": 16000, "color_matrix1": CM, "as_shot_neutral": NEUTRAL, "orientation": 6}
    return write_dng(path, pixels, iso=400, exposure_time=0.01, **options)


def same_colour(a, b):
    for name in ("illuminant", "ccm", "saturation"):
        assert getattr(a, name).dtype == jnp.float32
        np.testing.assert_array_equal(getattr(a, name), jnp.asarray(getattr(b, name), jnp.float32))


def psnr(a, b):
    return -10 * np.log10(np.mean((np.asarray(a) - np.asarray(b)) ** 2))


@pytest.mark.parametrize("demosaic", ["libraw", "malvar"])
def test_lossless_is_exact(tmp_path, dng, demosaic):
    given = mj.read_raw(dng, demosaic=demosaic)
    path = mj.save_jpeg_with_raw(tmp_path / "a.jpg", PICTURE, given, codec="lossless", settings=SETTINGS)
    kept = mj.read_jpeg_with_raw(path)
    np.testing.assert_array_equal(np.asarray(kept.raw.image).view(np.uint32), np.asarray(given.image).view(np.uint32))
    same_colour(kept.raw, given)
    assert kept.header["lossless"]["kind"] == "mosaic"
    assert kept.header["lossless"]["demosaic"] == demosaic
    assert kept.settings == SETTINGS
    assert kept.codec == "lossless"
    expected = dataclasses.replace(given.metadata, format="JPEG with raw, lossless")
    assert repr(kept.raw.metadata) == repr(expected)


def test_a_kept_mosaic_can_be_interpolated_in_another_way(tmp_path, dng):
    path = mj.save_jpeg_with_raw(tmp_path / "a.jpg", PICTURE, mj.read_raw(dng), codec="lossless")
    again = mj.read_raw(path, demosaic="malvar")
    np.testing.assert_array_equal(again.image, mj.read_raw(dng, demosaic="malvar").image)
    assert again.metadata.warnings == ()
    path = mj.save_jpeg_with_raw(tmp_path / "b.jpg", PICTURE, mj.read_raw(dng), codec="curve")
    with pytest.raises(ValueError, match=r"b\.jpg: expected a Bayer mosaic .* demosaiced already"):
        mj.read_raw(path, demosaic="malvar")


def test_another_interpolation_than_the_kept_one_is_said(tmp_path, dng, monkeypatch):
    path = mj.save_jpeg_with_raw(tmp_path / "a.jpg", PICTURE, mj.read_raw(dng), codec="lossless")
    monkeypatch.setattr("modisp_jax.raw_jpeg._develop", lambda path, demosaic: np.zeros((64, 80, 3), np.float32))
    assert any("interpolates them differently" in warning for warning in mj.read_raw(path).metadata.warnings)


@pytest.mark.parametrize(("codec", "least"), [("curve", 50), ("adapter", 40)])
@pytest.mark.parametrize("size", [(64, 80), (33, 17)])
def test_codecs_that_lose_something(tmp_path, adapter, codec, least, size):
    rows = np.arange(size[0])[:, None, None] / 20 + np.arange(3)
    image = jnp.asarray(0.2 + 0.15 * np.sin(rows) * np.ones((*size, 1)), jnp.float32)
    given = dataclasses.replace(raw(*size), image=image)
    path = mj.save_jpeg_with_raw(tmp_path / "a.jpg", PICTURE, given, codec=codec, params=adapter)
    kept = mj.read_raw(path)
    same_colour(kept, given)
    assert kept.image.dtype == jnp.float32
    assert psnr(kept.image, image) > least
    assert kept.metadata.format == f"JPEG with raw, {codec}"
    assert kept.metadata.size == size


@pytest.mark.parametrize("optional", [False, True])
def test_a_look_comes_along(tmp_path, optional):
    rng = np.random.default_rng(0)

    def numbers(*shape):
        return jnp.asarray(rng.uniform(0.1, 1, shape), jnp.float32)

    more = {"rgb_lut": numbers(11, 11, 11, 3), "strengths": numbers(6)} if optional else {}
    fields = (numbers(), numbers(3), numbers(16, 24, 5), numbers(24, 24, 2), numbers())
    look = mj.Look(*fields, **more)
    kept = mj.read_jpeg_with_raw(mj.save_jpeg_with_raw(tmp_path / "a.jpg", PICTURE, raw(64, 96), look=look)).look
    for field in dataclasses.fields(look):
        a, b = getattr(look, field.name), getattr(kept, field.name)
        assert (a is None) == (b is None)
        if a is not None:
            np.testing.assert_allclose(b, a, atol=2**-12 + 1e-6 if field.name == "ltm" else 0, rtol=0)


def test_scalar_saturation_and_no_metadata(tmp_path):
    given = dataclasses.replace(raw(30, 40), saturation=0.95, metadata=None)
    kept = mj.read_raw(mj.save_jpeg_with_raw(tmp_path / "a.JPEG", PICTURE, given))
    same_colour(kept, given)
    assert jnp.shape(kept.saturation) == ()


def test_any_metadata_is_kept(tmp_path):
    odd = RawMetadata(make='Zeiß "<&>"\t', model="", pattern="RGGB", black=(1.5, 2, 3), white=(9, 8, 7), iso=0.0)
    for codec in ("lossless", "curve"):
        given = dataclasses.replace(raw(30, 40), metadata=odd)
        kept = mj.read_raw(mj.save_jpeg_with_raw(tmp_path / "a.jpg", PICTURE, given, codec=codec))
        assert repr(dataclasses.replace(kept.metadata, format="")) == repr(odd)


# Other readers.


@pytest.fixture(scope="module")
def file(tmp_path_factory, dng):
    path = tmp_path_factory.mktemp("file") / "a.jpg"
    given = mj.read_raw(dng)
    exif = exif_from_raw(dng, given.metadata, settings={"modisp_jax": "x"})
    return mj.save_jpeg_with_raw(path, PICTURE, given, codec="lossless", settings=SETTINGS, exif=exif)


def test_the_picture_is_that_of_write_image(tmp_path, dng, file):
    plain = write_image(tmp_path / "a.jpg", PICTURE, exif=exif_from_raw(dng, mj.read_raw(dng).metadata))
    pixels = read_image(plain)
    assert pixels.shape == (64, 48, 3)  # orientation 6, applied
    np.testing.assert_array_equal(read_image(file), pixels)
    np.testing.assert_array_equal(imagecodecs.jpeg_decode(file.read_bytes()) / np.float32(255), pixels)
    with Image.open(file) as picture:
        np.testing.assert_array_equal(np.asarray(picture) / np.float32(255), pixels)


def test_pillow_sees_picture_exif_profile_xmp_and_index(file):
    with Image.open(file) as picture:
        assert (picture.format, picture.n_frames) == ("MPO", 2)
        assert "icc_profile" in picture.info
        assert picture.getexif()[0x0131] == "modisp_jax"
        found = xmp.read_xmp(xmp.SIGNATURE + picture.info["xmp"])
        assert (found["Version"], found["Codec"], json.loads(found["Size"])) == ("1", "lossless", [64, 80])
        assert json.loads(found["Settings"]) == SETTINGS
        assert json.loads(found["Metadata"])["iso"] == 400
        assert json.loads(found["Color"])["illuminant"] == pytest.approx([0.5, 1.0, 0.625])
        picture.seek(1)
        assert picture.size == (80, 64)
        assert np.ptp(np.asarray(picture)) > 10


EXIFTOOL = shlex.split(os.environ.get("MODISP_EXIFTOOL", "")) or [shutil.which("exiftool")]
needs_exiftool = pytest.mark.skipif(EXIFTOOL == [None], reason="no exiftool in PATH or in $MODISP_EXIFTOOL")


def exiftool(*arguments):
    return subprocess.run([*EXIFTOOL, *map(str, arguments)], capture_output=True, check=True).stdout


@needs_exiftool
def test_exiftool_finds_nothing_to_complain_of_and_takes_the_member_out(file):
    (found,) = json.loads(
        exiftool("-json", "-validate", "-a", "-warning", "-MPImageType", "-XMP:all", "-FileType", file)
    )
    assert found["Validate"] == "OK", found.get("Warning")
    assert "Warning" not in found
    assert (found["FileType"], found["Codec"], found["MPImageType"]) == ("JPEG", "lossless", "Undefined")
    data = file.read_bytes()
    assert exiftool("-b", "-MPImage2", file) == data[end_of_jpeg(data) :]


@needs_exiftool
def test_a_file_that_exiftool_has_edited_keeps_its_raw(tmp_path, file):
    path = shutil.copy(file, tmp_path / "a.jpg")
    exiftool("-overwrite_original", "-Artist=somebody", "-XMP:Rating=4", path)
    assert path.read_bytes() != file.read_bytes()
    assert find_member(path.read_bytes()).found_by == "index"
    np.testing.assert_array_equal(mj.read_raw(path).image, mj.read_raw(file).image)
    exiftool("-overwrite_original", "-all=", "-trailer:all=", path)
    with pytest.raises(ValueError, match="expected a JPEG that carries a raw, got one without"):
        mj.read_jpeg_with_raw(path)


@pytest.mark.skipif(shutil.which("identify") is None, reason="no ImageMagick in PATH")
def test_imagemagick_opens_it_and_says_nothing(tmp_path, file):
    said = subprocess.run(["identify", "-verbose", f"{file}"], capture_output=True, text=True, check=True)
    assert said.stderr == ""
    for expected in ("JPEG", "48x64", "exif:Software: modisp_jax"):
        assert expected in said.stdout
    made = subprocess.run(["convert", file, tmp_path / "a.png"], capture_output=True, text=True, check=True)
    assert made.stderr == ""
    np.testing.assert_allclose(read_image(tmp_path / "a.png"), read_image(file), atol=2.5 / 255)  # another decoder


@needs_chromium
def test_a_browser_shows_it(tmp_path, file):
    (tmp_path / "page.html").write_text(f'<body style="margin:0"><img src="{file.as_uri()}">')
    pixels = read_image(screenshot(tmp_path / "page.html", tmp_path / "shown.png"))
    np.testing.assert_allclose(pixels[:64, :48], read_image(file), atol=4 / 255)


def test_tifffile_reads_exif_and_index_as_tiffs(file):
    data = file.read_bytes()
    contents = [segment.content(data) for segment in header_segments(data)]
    for start, tag, value in ((b"Exif\0\0", "Software", "modisp_jax"), (b"MPF\0", 0xB001, 2)):
        (content,) = [c for c in contents if c.startswith(start)]
        with tifffile.TiffFile(io.BytesIO(content.removeprefix(start))) as tiff:
            tags = tiff.pages[0].tags
            assert tags[tag].value == value
            if tag == "Software":
                camera = tags["ExifTag"].value
                assert camera["ColorSpace"] == 1
                assert (camera["PixelXDimension"], camera["PixelYDimension"]) == (48, 64)


def test_rawpy_opens_the_dng_inside(tmp_path, dng, file):
    (tmp_path / "b.dng").write_bytes(find_member(file.read_bytes()).parts["dng"])
    np.testing.assert_array_equal(mj.read_raw(tmp_path / "b.dng").image, mj.read_raw(dng).image)


def test_saved_anew_by_other_software_it_is_gone(tmp_path, file):
    with Image.open(file) as picture:
        info = picture.info
        picture.save(tmp_path / "with.jpg", "jpeg", xmp=info["xmp"])
        picture.save(tmp_path / "without.jpg", "jpeg")
    with pytest.raises(ValueError, match=r"with\.jpg: expected the raw that the XMP names, found none"):
        mj.read_raw(tmp_path / "with.jpg")
    with pytest.raises(ValueError, match="expected a JPEG that carries a raw, got one without"):
        mj.read_jpeg_with_raw(tmp_path / "without.jpg")
    with pytest.raises(ValueError, match="expected a camera raw file, got a JPEG picture"):
        mj.read_raw(tmp_path / "without.jpg")


# What goes wrong.


def test_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "a.jpg"
    path.write_bytes(b"before")
    monkeypatch.setattr("modisp_jax.raw_jpeg.attach", lambda *_: (_ for _ in ()).throw(OSError(28, "disk full")))
    with pytest.raises(ValueError, match=r"a\.jpg: cannot be written: disk full"):
        mj.save_jpeg_with_raw(path, PICTURE, raw(30, 40))
    assert path.read_bytes() == b"before"
    assert os.listdir(tmp_path) == ["a.jpg"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"path": "a.png"}, r"expected a name ending in \.jpg or \.jpeg"),
        ({"codec": "zip"}, "codec: expected one of"),
        ({"raw_quality": 0}, "raw_quality: expected 1..100"),
        ({"codec": "adapter"}, "params: expected the network's parameters"),
        ({"settings": [1]}, "settings: expected a dict"),
        ({"settings": {"a": float("nan")}}, "settings: expected what JSON can hold"),
        ({"settings": {"a": object()}}, "settings: expected what JSON can hold"),
        ({"srgb": np.zeros((4, 4))}, "expected a picture"),
        ({"raw": None}, "raw: expected a modisp_jax.Raw"),
        ({"raw": mj.Raw(jnp.full((20, 20, 3), jnp.nan), jnp.ones(3), jnp.eye(3))}, "raw.image: expected finite"),
        ({"raw": mj.Raw(jnp.zeros((20, 20, 3)), jnp.full(3, jnp.nan), jnp.eye(3))}, "expected finite colour"),
        ({"raw": mj.Raw(jnp.zeros((20, 20, 3)), jnp.zeros(3), jnp.eye(3))}, "expected a positive illuminant"),
        ({"raw": mj.Raw(jnp.zeros((20, 20, 3)), jnp.ones(4), jnp.eye(3))}, "expected illuminant of shape"),
        ({"raw": mj.Raw(jnp.zeros((20, 20)), jnp.ones(3), jnp.eye(3))}, "raw.image: expected an image"),
    ],
)
def test_bad_arguments(tmp_path, change, message):
    given = {"path": "a.jpg", "srgb": PICTURE, "raw": raw(30, 40)} | change
    with pytest.raises(ValueError, match=message):
        mj.save_jpeg_with_raw(tmp_path / given.pop("path"), given.pop("srgb"), given.pop("raw"), **given)
    assert list(tmp_path.iterdir()) == []


def test_damage_is_one_line(tmp_path, file):
    data = file.read_bytes()
    start = end_of_jpeg(data)
    rng = np.random.default_rng(0)
    for number in range(60):
        bad = bytearray(data)
        if number % 2:
            bad = bad[: int(rng.integers(3, len(data)))]
        else:
            bad[int(rng.integers(start if number % 4 else 3, len(data)))] ^= 1 << int(rng.integers(8))
        path = tmp_path / "b.jpg"
        path.write_bytes(bytes(bad))
        error, kept = read_or_error(path)
        if error:
            assert "b.jpg" in error
            assert "\n" not in error
        else:
            assert number % 4 == 0  # a flipped bit of the picture leaves the raw as it was
            assert kept.raw.metadata.warnings == ()
            assert kept.settings == SETTINGS


def read_or_error(path):
    try:
        return None, mj.read_jpeg_with_raw(path)
    except ValueError as error:
        return str(error), None


def rewritten(path, change):
    """The file with its header changed by a function, checksums and all: what a liar would write."""
    data = path.read_bytes()
    member = find_member(data)
    change(member.header)
    path.write_bytes(attach(data[: end_of_jpeg(data)], make_member(member.jpeg, member.header, member.parts), {}))
    return path


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda h: h.update(codec="later"), "expected a codec of lossless, curve, adapter, got 'later'"),
        (lambda h: h.update(curve=3), "expected a codec of"),
        (lambda h: h.update(size=[10**5, 10**5]), "expected a raw's height and width"),
        (lambda h: h.update(size=[20000, 20000]), "expected a raw of at most 33554432 pixels"),
        (lambda h: h.update(size=[30, 41]), "expected a raw of 41 x 30"),
        (lambda h: h.update(size=[30, True]), "expected a raw's height and width"),
        (lambda h: h.pop("metadata"), "expected metadata"),
        (lambda h: h.pop("color"), "expected the raw's illuminant"),
        (lambda h: h["color"].update(illuminant=[1, 0, 1]), "expected a positive illuminant"),
        (lambda h: h["color"].update(ccm=[1, 0, 1]), "expected ccm of shape"),
        (lambda h: h["color"].update(saturation=float("1e39")), "expected saturation of shape"),
        (lambda h: h.update(look={}), "expected a look's coefficients"),
    ],
)
@pytest.mark.filterwarnings("ignore:overflow encountered:RuntimeWarning")
def test_headers_that_lie(tmp_path, change, message):
    path = rewritten(mj.save_jpeg_with_raw(tmp_path / "a.jpg", PICTURE, raw(30, 40)), change)
    with pytest.raises(ValueError, match=message):
        mj.read_jpeg_with_raw(path)


def test_files_that_are_none(tmp_path):
    for content in (b"", b"\xff\xd8\xff", b"text"):
        (tmp_path / "a.jpg").write_bytes(content)
        with pytest.raises(ValueError, match=r"a\.jpg"):
            mj.read_jpeg_with_raw(tmp_path / "a.jpg")
        with pytest.raises(ValueError, match=r"a\.jpg"):
            mj.read_raw(tmp_path / "a.jpg")
    with pytest.raises(ValueError, match="without"):
        mj.read_jpeg_with_raw(tmp_path)


# The published tool's files.


def published(tmp_path, adapter, given, **options):
    return mj.save_published_jpeg(tmp_path / "p.jpg", PICTURE, given, adapter, **options)


def test_the_published_format_comes_back(tmp_path, adapter, dng):
    given = mj.read_raw(dng)
    path = published(tmp_path, adapter, given, edits={"style": 1})
    kept = mj.read_jpeg_with_raw(path)
    assert psnr(kept.raw.image, given.image) > 30
    np.testing.assert_allclose(kept.raw.illuminant, given.illuminant, rtol=1e-6)
    np.testing.assert_allclose(kept.raw.ccm, given.ccm, rtol=1e-6)
    assert kept.settings == {"style": 1}
    assert kept.codec == "published"
    assert kept.raw.metadata.orientation == 6
    np.testing.assert_array_equal(mj.read_raw(path).image, kept.raw.image)
    assert path.read_bytes().count(b"\nMETA\n") == path.read_bytes().count(b"\nEDIT\n") == 1


def test_a_published_file_with_a_thumbnail_and_one_without_a_raw(tmp_path, adapter):
    path = published(tmp_path, adapter, raw(30, 40), exif=exif_with_thumbnail())
    data = path.read_bytes()
    assert b"\nEDIT\n" not in data
    with_thumbnail = data[:2] + b"\xff\xe1\0\x08\xff\xd8\xff\xd9xx" + data[2:]
    path.write_bytes(with_thumbnail)
    assert mj.read_jpeg_with_raw(path).raw.image.shape == (30, 40, 3)
    data = published(tmp_path, None, None, edits={"a": 1}).read_bytes()
    found = find_published(data)
    assert found == (None, None, None, {}, {"a": 1})
    assert data[end_of_jpeg(data) :].startswith(b"0\n1\nnone\n\nMETA\n{}")
    with pytest.raises(ValueError, match="got one without"):
        mj.read_jpeg_with_raw(tmp_path / "p.jpg")


def test_published_damage(tmp_path, adapter):
    path = published(tmp_path, adapter, raw(30, 40))
    data = path.read_bytes()
    start = end_of_jpeg(data)
    line = data.index(b"\n", start + 4)
    meta = data.index(b"\nMETA\n")
    for bad, message in (
        (data[: start + 100], "expected a line of coefficients|expected five fields"),
        (data[: line + 100], "expected the raw's JPEG"),
        (data[: meta + 2], "expected the line META"),
        (data[: meta + 20], "META: expected JSON"),
        (data[: start + 4] + b"A" + data[start + 5 :], "expected coefficients of shape|base64"),
        (data[: start + 4] + b"$:$:$:$:$" + data[line:], "expected a gamma map and a LUT"),
        (data[: meta + 6] + b"{}", "expected illum_color"),
        (data[: meta + 6] + b"[]", "expected a JSON object"),
    ):
        path.write_bytes(bad)
        with pytest.raises(ValueError, match=message):
            mj.read_jpeg_with_raw(path)


@pytest.mark.reference
def test_a_file_of_the_published_tool(tmp_path, shared, vectors):
    path = shared / "reference" / "vectors" / "saved_by_reference_tool.jpg"
    kept = mj.read_jpeg_with_raw(path)
    np.testing.assert_allclose(kept.raw.image, vectors("saved_by_reference_tool")["raw"], atol=1e-6)
    assert kept.settings == {"style": 0}
    np.testing.assert_allclose(kept.raw.illuminant, [0.47183424, 1, 0.6412845], rtol=1e-6)
    assert [c.illuminant_code for c in kept.raw.metadata.color.calibrations] == [21, 17]
    data = path.read_bytes()
    thumbnail = data[:2] + b"\xff\xe1\0\x08\xff\xd8\xff\xd9xx" + data[2:]
    (tmp_path / "b.jpg").write_bytes(thumbnail)
    np.testing.assert_array_equal(mj.read_raw(tmp_path / "b.jpg").image, kept.raw.image)


@pytest.mark.reference
def test_our_published_file_holds_what_the_tool_would_have_put_there(tmp_path, shared, vectors):
    weights = shared / "reference" / "weights" / "io" / "raw_jpeg_adapter_q_95.pth"
    params = mj.import_torch(raw_adapter=weights)["io"]["raw_adapter"]
    v = vectors("raw_in_jpeg")
    given = mj.Raw(jnp.asarray(v["raw"] / np.float32(65535)), jnp.asarray(NEUTRAL), jnp.eye(3))
    path = mj.save_published_jpeg(tmp_path / "p.jpg", PICTURE, given, params)
    found = find_published(path.read_bytes())
    np.testing.assert_allclose(found.gamma_map, v["gamma_map"], atol=1e-4)
    with Image.open(io.BytesIO(found.jpeg)) as picture:
        comment = picture.info["comment"]
        assert psnr(np.asarray(picture) / 255.0, v["processed"]) > 35
    assert path.read_bytes().count(comment) == 2
    fields, theirs = comment.split(b":"), v["comment"].tobytes().split(b":")
    assert [fields[k] for k in (0, 2, 3)] == [theirs[k] for k in (0, 2, 3)]
    kept = mj.read_raw(path)
    assert psnr(kept.image, given.image) > 40


@pytest.mark.reference
@pytest.mark.parametrize("name", ["GOPR0024", "GPBK7066"])
def test_lossless_is_exact_on_crops_of_real_files(tmp_path, shared, name):
    import rawpy

    with rawpy.imread(str(shared / "data" / "raw" / f"{name}.DNG")) as file:
        pixels = file.raw_image_visible[800:1216, 900:1412].copy()
    whole = mj.read_raw(shared / "data" / "raw" / f"{name}.DNG").metadata
    first, second = whole.color.calibrations
    crop = write_dng(
        tmp_path / "crop.dng",
        pixels,
        white=16383,
        color_matrix1=first.color_matrix,
        color_matrix2=second.color_matrix,
        calibration_illuminant1=first.illuminant_code,
        calibration_illuminant2=second.illuminant_code,
        as_shot_neutral=whole.neutral,
        noise_profile=whole.color.noise_profile,
        make=whole.make,
        model=whole.model,
    )
    given = mj.read_raw(crop)
    kept = mj.read_jpeg_with_raw(mj.save_jpeg_with_raw(tmp_path / "a.jpg", PICTURE, given, codec="lossless"))
    assert kept.header["lossless"]["kind"] == "mosaic"
    np.testing.assert_array_equal(np.asarray(kept.raw.image).view(np.uint32), np.asarray(given.image).view(np.uint32))
    same_colour(kept.raw, given)
