"""Raw files: levels, every filter array and orientation, colour, damage; laws on files made here, then real ones."""

import dataclasses
import json
import os
import struct

import numpy as np
import pytest

from modisp_jax.io.dng_color import ccm_at, xyz_to_neutral
from modisp_jax.io.dng_write import write_dng
from modisp_jax.io.exif import EXIF_IFD, GPS_IFD, exif_from_raw
from modisp_jax.io.libraw import _reported_damage
from modisp_jax.io.load import load_raw
from modisp_jax.io.raw import DEMOSAICS, RawError, read_metadata, read_mosaic, read_raw_file

CM = np.array([[0.70, -0.20, -0.06], [-0.40, 1.20, 0.22], [-0.08, 0.20, 0.58]])
CM4 = np.vstack([CM, [0.10, 0.90, 0.20]])
NEUTRAL = (0.5, 1.0, 0.625)
BAYER = ("RGGB", "BGGR", "GRBG", "GBRG")
X_TRANS = "GGRGGBGGBGGRBRGRBGGGBGGRGGRGGBRBGBRG"
BLACK, WHITE = np.array([[500.0, 508.0], [516.0, 532.0]]), 15000


def mosaic_of(colors, pattern, *, size=(48, 64), black=BLACK, white=WHITE, origin=(0, 0)):
    """A sensor that sees one colour: dict letter -> value in [0, 1], patterns counted from ``origin``."""
    side = {4: 2, 36: 6}[len(pattern)]
    rows, columns = np.indices(size)
    rows, columns = rows - origin[0], columns - origin[1]
    values = np.array([colors[letter] for letter in pattern]).reshape(side, side)[rows % side, columns % side]
    black = np.broadcast_to(black, (2, 2))[rows % 2, columns % 2]
    return np.rint(black + values * (white - black)).astype(np.uint16)


def write(path, mosaic, **options):
    options = {"black": BLACK, "white": WHITE, "color_matrix1": CM, "as_shot_neutral": NEUTRAL} | options
    return write_dng(path, mosaic, **options)


def error_of_rounding(values, black=BLACK):
    """Half a step of the file plus half a step of LibRaw's 16 bits at the smallest gain (.5 of NEUTRAL)."""
    return 0.5 / (WHITE - np.max(black)) + 0.5 / (65535 * min(NEUTRAL)) + 1e-6 + 0 * np.asarray(values)


@pytest.mark.parametrize("pattern", BAYER)
@pytest.mark.parametrize("area", [None, (2, 4, 46, 60), (3, 2, 46, 60), (2, 3, 46, 60), (3, 5, 46, 60)])
def test_a_flat_colour_comes_back(tmp_path, pattern, area):
    colors = {"R": 0.3, "G": 0.6, "B": 0.123}
    origin = (0, 0) if area is None else area[:2]
    path = write(tmp_path / "a.dng", mosaic_of(colors, pattern, origin=origin), pattern=pattern, active_area=area)
    raw, mosaic = read_raw_file(path), read_mosaic(path)
    expected = np.array([0.3, 0.6, 0.123])
    assert raw.image.dtype == np.float32
    assert raw.image.flags.c_contiguous
    assert raw.metadata.size == raw.image.shape[:2] == mosaic.values.shape
    assert np.all(np.abs(raw.image - expected) <= error_of_rounding(expected))
    for k, letter in enumerate(mosaic.pattern):
        plane = mosaic.values[k // 2 :: 2, k % 2 :: 2]
        assert np.all(np.abs(plane - colors[letter]) <= 0.5 / (WHITE - 532) + 1e-6)
    if area is None or not (area[0] % 2 or area[1] % 2):
        assert mosaic.pattern == pattern
        assert raw.metadata.size == ((48, 64) if area is None else (area[2] - area[0], area[3] - area[1]))


@pytest.mark.parametrize("demosaic", DEMOSAICS)
@pytest.mark.parametrize("level", [0.0, 1.0])
def test_black_is_0_and_white_is_1_in_every_channel(tmp_path, demosaic, level):
    # A neutral of wide range: the gain of LibRaw's 16 bits is then smallest.
    path = write(tmp_path / "a.dng", mosaic_of(dict.fromkeys("RGB", level), "RGGB"), as_shot_neutral=(0.9, 1.0, 0.2))
    np.testing.assert_array_equal(read_raw_file(path, demosaic=demosaic).image, level)


def test_values_beyond_the_levels_are_clipped(tmp_path):
    mosaic = mosaic_of({"R": 0.5, "G": 0.5, "B": 0.5}, "RGGB")
    mosaic[:24], mosaic[24:] = 0, 16383
    image = read_raw_file(write(tmp_path / "a.dng", mosaic)).image
    assert image.min() == 0
    assert image.max() == 1
    assert np.isfinite(image).all()


def test_one_clipped_channel_reads_1_beside_unclipped_ones(tmp_path):
    colors = {"R": 0.37, "G": 1.0, "B": 0.81}
    image = read_raw_file(write(tmp_path / "a.dng", mosaic_of(colors, "GRBG"), pattern="GRBG")).image
    np.testing.assert_array_equal(image[..., 1], 1)
    np.testing.assert_allclose(image, np.broadcast_to([0.37, 1, 0.81], image.shape), atol=1e-4)


def test_clipped_area_reads_1_away_from_its_edge(tmp_path):
    rng = np.random.default_rng(0)
    mosaic = rng.integers(600, 9000, (64, 64)).astype(np.uint16)
    mosaic[20:50, 20:50] = WHITE
    image = read_raw_file(write(tmp_path / "a.dng", mosaic)).image
    np.testing.assert_array_equal(image[26:44, 26:44], 1)


def test_interpolation_is_better_on_balanced_channels(tmp_path):
    # Grey stripes under this camera's light: balanced, they are grey to the algorithm, and it keeps them so.
    rng = np.random.default_rng(1)
    grey = np.repeat(np.cumsum(rng.normal(0, 0.05, 96)) % 0.8 + 0.1, 1)[None, :] * np.ones((48, 1))
    camera = grey[..., None] * np.array(NEUTRAL)
    mosaic = np.empty(grey.shape)
    for k, letter in enumerate("RGGB"):
        mosaic[k // 2 :: 2, k % 2 :: 2] = camera[k // 2 :: 2, k % 2 :: 2, "RGB".index(letter)]
    stored = np.rint(mosaic * WHITE).astype(np.uint16)
    balanced = read_raw_file(write(tmp_path / "a.dng", stored, black=0)).image
    plain = read_raw_file(write(tmp_path / "b.dng", stored, black=0, as_shot_neutral=(1, 1, 1))).image
    errors = [np.sqrt(np.mean((image - camera)[8:-8, 8:-8] ** 2)) for image in (balanced, plain)]
    assert errors[0] < 0.6 * errors[1]


def test_x_trans(tmp_path):
    colors = {"R": 0.3, "G": 0.6, "B": 0.123}
    path = write(tmp_path / "a.dng", mosaic_of(colors, X_TRANS, size=(520, 540)), pattern=X_TRANS)
    raw = read_raw_file(path)
    assert raw.metadata.pattern == X_TRANS
    np.testing.assert_allclose(raw.image, np.broadcast_to([0.3, 0.6, 0.123], raw.image.shape), atol=2e-4)
    with pytest.raises(RawError, match="expected a Bayer mosaic"):
        read_mosaic(path)
    with pytest.raises(RawError, match="at least 512 x 512"):
        read_raw_file(write(tmp_path / "b.dng", mosaic_of(colors, X_TRANS), pattern=X_TRANS))


def test_linear_file(tmp_path):
    stored = np.random.default_rng(0).integers(0, 16384, (30, 40, 3)).astype(np.uint16)
    black = np.array([0.0, 100.0, 200.0])
    path = write(tmp_path / "a.dng", stored, black=black)
    raw = read_raw_file(path)
    np.testing.assert_allclose(raw.image, np.clip((stored - black) / (WHITE - black), 0, 1), atol=1e-7)
    assert raw.metadata.pattern == ""
    with pytest.raises(RawError, match="without a filter array"):
        read_mosaic(path)


def test_monochrome_file(tmp_path):
    stored = np.random.default_rng(0).integers(0, 16384, (30, 40)).astype(np.uint16)
    path = write(tmp_path / "a.dng", stored, black=100, color_matrix1=None, as_shot_neutral=None)
    mosaic, linear = (struct.pack("<HHI2H", 262, 3, 1, kind, 0) for kind in (32803, 34892))
    data = path.read_bytes()
    assert data.count(mosaic) == 1
    path.write_bytes(data.replace(mosaic, linear))
    raw = read_raw_file(path)
    expected = np.clip((stored - 100.0) / (WHITE - 100), 0, 1)[..., None]
    np.testing.assert_allclose(raw.image, np.broadcast_to(expected, (30, 40, 3)), atol=1e-7)
    np.testing.assert_array_equal(raw.illuminant, 1)


@pytest.mark.parametrize("linear", [False, True])
def test_four_colours_become_white_balanced_srgb(tmp_path, linear):
    neutral = np.array([0.5, 1.0, 0.625, 0.9])
    grey = dict(zip("RGBC", 0.4 * neutral, strict=True))
    if linear:
        values = np.broadcast_to(np.rint(0.4 * neutral * 15000), (48, 64, 4)).astype(np.uint16)
    else:
        values = mosaic_of(grey, "RGCB", black=0)
    path = write(tmp_path / "a.dng", values, pattern="RGCB", black=0, color_matrix1=CM4, as_shot_neutral=neutral)
    raw = read_raw_file(path)
    assert raw.image.shape == (48, 64, 3)
    np.testing.assert_allclose(raw.image[8:-8, 8:-8], 0.4, atol=3e-4)
    np.testing.assert_array_equal(raw.illuminant, 1)
    np.testing.assert_array_equal(raw.ccm, np.eye(3))


def test_black_level_of_rows_and_columns(tmp_path):
    mosaic = np.full((30, 40), 1000.0)
    of_column, of_row = np.arange(40.0), 2 * np.arange(30.0)
    mosaic += of_column[None, :] + of_row[:, None]
    flat = {k: (k, 10, n, tuple(int(v) for x in values for v in (x, 1)), True)
            for k, n, values in ((50715, 40, of_column), (50716, 30, of_row))}  # fmt: skip
    path = write(tmp_path / "a.dng", mosaic.astype(np.uint16), black=1000, extra_tags=list(flat.values()))
    np.testing.assert_array_equal(read_mosaic(path).values, 0)


def test_white_level_by_default_is_the_bits(tmp_path):
    path = write(tmp_path / "a.dng", np.full((30, 40), 65535, np.uint16), white=None)
    assert read_metadata(path).white == (65535.0, 65535.0, 65535.0)


def test_white_below_black(tmp_path):
    path = write(tmp_path / "a.dng", np.full((30, 40), 1000, np.uint16), black=1000, white=900)
    with pytest.raises(RawError, match="white level above the black level"):
        read_raw_file(path)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_told_and_not_applied(tmp_path, orientation):
    mosaic = mosaic_of({"R": 0.2, "G": 0.4, "B": 0.3}, "RGGB")
    mosaic[:10] = WHITE
    raw = read_raw_file(write(tmp_path / "a.dng", mosaic, orientation=orientation))
    assert raw.metadata.orientation == orientation
    assert raw.image.shape == (48, 64, 3)
    assert raw.image[2, 32].min() == 1


def test_metadata(tmp_path):
    path = write(
        tmp_path / "a.dng",
        mosaic_of({"R": 0.2, "G": 0.4, "B": 0.3}, "RGGB"),
        make="Maker",
        model="Model 1",
        lens="35 mm",
        iso=640,
        exposure_time=1 / 455,
        f_number=2.8,
        focal_length=35,
        datetime="2024:05:06 07:08:09",
        noise_profile=(1e-4, 1e-6),
        default_crop=(4, 6, 40, 50),
    )
    metadata = read_metadata(path)
    exposure = (metadata.iso, metadata.exposure_time, metadata.f_number, metadata.focal_length)
    assert exposure == pytest.approx((640, 1 / 455, 2.8, 35))
    assert (metadata.make, metadata.model, metadata.lens) == ("Maker", "Model 1", "35 mm")
    assert metadata.unique_camera_model == "Maker Model 1"
    assert metadata.datetime == "2024-05-06T07:08:09"
    assert metadata.size == (48, 64)
    assert metadata.default_crop == (4, 6, 40, 50)
    assert metadata.black == (500, 512, 532)
    assert metadata.white == (WHITE, WHITE, WHITE)
    assert metadata.neutral == pytest.approx(NEUTRAL)
    np.testing.assert_allclose(metadata.color.noise_profile, [(1e-4, 1e-6)] * 3)
    np.testing.assert_allclose(metadata.color.calibrations[0].color_matrix, CM)
    assert metadata.format == "DNG"
    assert metadata.warnings == ()
    again = json.loads(json.dumps(metadata.to_dict(), allow_nan=False))
    assert again["color"]["calibrations"][0]["illuminant_code"] == 21
    assert metadata == dataclasses.replace(read_raw_file(path).metadata, color=metadata.color)


def test_to_dict_has_no_nan():
    from modisp_jax.io.metadata import RawMetadata

    assert RawMetadata(iso=float("nan")).to_dict()["iso"] is None


def test_colour_is_that_of_the_tags(tmp_path):
    path = write(tmp_path / "a.dng", mosaic_of({"R": 0.2, "G": 0.4, "B": 0.3}, "RGGB"), calibration_illuminant1=3)
    raw = read_raw_file(path)
    np.testing.assert_allclose(raw.illuminant, NEUTRAL, atol=1e-9)
    np.testing.assert_allclose(raw.ccm, ccm_at(raw.metadata.color, NEUTRAL), atol=1e-12)
    np.testing.assert_allclose(raw.ccm.sum(axis=1), 1, atol=1e-12)


def test_white_balance_by_chromaticity(tmp_path):
    xy = (0.3127, 0.3290)
    path = write(tmp_path / "a.dng", mosaic_of({"R": 0.2, "G": 0.4, "B": 0.3}, "RGGB"),
                 as_shot_neutral=None, as_shot_white_xy=xy)  # fmt: skip
    raw = read_raw_file(path)
    xyz = np.array([xy[0] / xy[1], 1, (1 - sum(xy)) / xy[1]])
    np.testing.assert_allclose(raw.illuminant, xyz_to_neutral(xyz, raw.metadata.color), atol=1e-6)


@pytest.mark.parametrize("matrix", [None, np.zeros((3, 3)), np.ones((3, 3))])
def test_without_a_matrix_the_picture_comes_with_a_warning(tmp_path, matrix):
    path = write(tmp_path / "a.dng", mosaic_of({"R": 0.2, "G": 0.4, "B": 0.3}, "RGGB"), color_matrix1=matrix)
    raw = read_raw_file(path)
    np.testing.assert_array_equal(raw.ccm, np.eye(3))
    assert any("no colour matrix" in warning for warning in raw.metadata.warnings)


def test_without_white_balance_daylight_is_assumed(tmp_path):
    path = write(tmp_path / "a.dng", mosaic_of({"R": 0.2, "G": 0.4, "B": 0.3}, "RGGB"), as_shot_neutral=None)
    raw = read_raw_file(path)
    assert (raw.illuminant > 0).all()
    assert any("daylight" in warning for warning in raw.metadata.warnings)


# Errors


def refused(path):
    """The message of the RawError that every reader must raise for ``path``."""
    messages = []
    for read in (read_raw_file, read_mosaic, read_metadata, load_raw):
        with pytest.raises(RawError) as error:
            read(path)
        messages.append(str(error.value))
        assert str(path) in messages[-1]
        assert "expected" in messages[-1]
        assert "\n" not in messages[-1]
    return messages[0]


def test_no_file(tmp_path):
    assert "no file of that name" in refused(tmp_path / "missing.dng")


def test_directory(tmp_path):
    assert "a directory" in refused(tmp_path)


def test_empty_file(tmp_path):
    path = tmp_path / "a.dng"
    path.touch()
    assert "an empty file" in refused(path)


def test_text_file(tmp_path):
    path = tmp_path / "a.dng"
    path.write_text("not a photo\n" * 100)
    assert "a text file" in refused(path)


def test_jpeg_with_the_name_of_a_raw(tmp_path):
    from PIL import Image

    path = tmp_path / "a.dng"
    Image.new("RGB", (64, 64)).save(path, format="JPEG")
    assert "a JPEG picture" in refused(path)


@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.999])
@pytest.mark.parametrize("linear", [False, True])
def test_truncated_file(tmp_path, share, linear, capfd):
    size = (256, 256, 3) if linear else (256, 256)
    path = write(tmp_path / "a.dng", np.random.default_rng(0).integers(600, 9000, size).astype(np.uint16), black=0)
    os.truncate(path, int(path.stat().st_size * share))
    refused(path)
    assert capfd.readouterr().err == ""


def test_strip_shorter_than_the_image(tmp_path):
    # The tags agree with the file's size, but not with the picture's.
    path = write(tmp_path / "a.dng", np.full((64, 64), 1000, np.uint16))
    data = path.read_bytes()
    needed = (64 * 64 * 2).to_bytes(4, "little")
    assert data.count(needed) == 1
    path.write_bytes(data.replace(needed, (64 * 60 * 2).to_bytes(4, "little")))
    assert "uncompressed image data" in refused(path)


@pytest.mark.parametrize("damage", ["cut", "overwritten"])
def test_damaged_lossless_jpeg(tmp_path, damage, capfd):
    import imagecodecs
    import tifffile

    mosaic = np.random.default_rng(0).integers(600, 9000, (64, 96)).astype(np.uint16)
    data = imagecodecs.ljpeg_encode(mosaic, bitspersample=14)

    def compressed(path, strip):
        tags = [
            (50706, 1, 4, bytes([1, 4, 0, 0]), True),
            (33421, 3, 2, (2, 2), True),
            (33422, 1, 4, bytes([0, 1, 1, 2]), True),
            (50717, 3, 1, WHITE, True),
        ]
        tifffile.imwrite(path, iter([strip]), shape=mosaic.shape, dtype=np.uint16, photometric=32803,
                         compression=7, rowsperstrip=64, metadata=None, extratags=tags)  # fmt: skip
        return path

    whole = read_mosaic(compressed(tmp_path / "a.dng", data))
    np.testing.assert_allclose(whole.values, mosaic / WHITE, atol=1e-6)
    half = len(data) // 2
    bad = data[:half] if damage == "cut" else data[:half] + b"\xff" * 40 + data[half + 40 :]
    refused(compressed(tmp_path / "b.dng", bad))
    assert capfd.readouterr().err == ""


def test_damage_that_is_only_reported(tmp_path, capfd):
    # As LibRaw does for some formats: a line on stderr, and no error.
    path = tmp_path / "a.dng"
    report = os.fsencode(path) + b": Unexpected end of file\n"
    with pytest.raises(RawError, match="got damage: Unexpected end of file"), _reported_damage(path):
        os.write(2, report + b"of another thread\n")
    with _reported_damage(path):
        os.write(2, b"and again\n")
    assert capfd.readouterr().err == "of another thread\nand again\n"


def test_unknown_demosaicing(tmp_path):
    with pytest.raises(ValueError, match="expected one of libraw"):
        read_raw_file(tmp_path / "a.dng", demosaic="magic")


# Real files


@pytest.mark.reference
@pytest.mark.parametrize("name", ["pruned_nikon_1.nef", "pruned_nikon_3.nef", "truncated_leica_m10.dng",
                                  "truncated_sony_zv_e10.arw"])  # fmt: skip
def test_bad_files(shared, name, capfd):
    refused(shared / "data" / "bad_raw" / name)
    assert capfd.readouterr().err == ""


@pytest.mark.reference
@pytest.mark.parametrize(("name", "size", "neutral"), [
    ("GOPR0024.DNG", (3000, 4000), (0.522449, 1, 0.571429)),
    ("GPBK7066.DNG", (3000, 3104), (0.493494, 1, 0.606815)),
])  # fmt: skip
def test_gopro(shared, name, size, neutral):
    path = shared / "data" / "raw" / name
    raw, mosaic = read_raw_file(path), read_mosaic(path)
    assert raw.image.shape == (*size, 3)
    assert np.isfinite(raw.image).all()
    assert (raw.image.min(), raw.image.max()) == (0, 1)
    np.testing.assert_allclose(raw.illuminant, neutral, atol=1e-6)
    np.testing.assert_allclose(raw.ccm.sum(axis=1), 1, atol=1e-12)
    assert 4800 < raw.metadata.color.calibrations[1].cct < 5300
    assert [c.illuminant_code for c in raw.metadata.color.calibrations] == [3, 23]
    # The interpolated picture keeps each sensor value at its own place, to LibRaw's rounding.
    assert mosaic.pattern == "RGGB"
    for k, letter in enumerate(mosaic.pattern):
        cell = (slice(k // 2, None, 2), slice(k % 2, None, 2))
        kept = np.abs(raw.image[..., "RGB".index(letter)][cell] - mosaic.values[cell])
        assert np.percentile(kept, 99) < 1e-4
    assert raw.metadata.make == "GoPro"
    assert raw.metadata.iso == 100
    assert raw.metadata.orientation == 2
    assert raw.metadata.warnings == ()


@pytest.mark.reference
def test_gopro_truncated_in_its_strip(shared, tmp_path):
    data = (shared / "data" / "raw" / "GPBK7066.DNG").read_bytes()
    for end in (5000, 7000, 9_000_000, len(data) - 2):
        path = tmp_path / "a.dng"
        path.write_bytes(data[:end])
        refused(path)


@pytest.mark.reference
def test_gopro_exif(shared):
    path = shared / "data" / "raw" / "GOPR0024.DNG"
    exif = exif_from_raw(path, read_metadata(path))
    assert exif[0x010F] == "GoPro"
    assert exif[0x0131] == "modisp_jax"
    assert float(exif.get_ifd(EXIF_IFD)[0x829A]) == pytest.approx(1 / 455)
    assert [float(v) for v in exif.get_ifd(GPS_IFD)[2]] == pytest.approx([33, 7, 36.8076])
