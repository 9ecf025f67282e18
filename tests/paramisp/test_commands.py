"""The commands of ParamISP: what they write, what of a photo they keep, what they refuse, and that they say so."""

import dataclasses
import json
import shutil
import sys

import jax
import numpy as np
import pytest
import rawpy
from PIL import Image
from PIL.TiffImagePlugin import IFDRational

import modisp_jax as mj
from modisp_jax import paramisp_commands
from modisp_jax.io.exif import EXIF_IFD, GPS_IFD, read_exif, read_settings
from modisp_jax.io.images import read_image, write_image
from modisp_jax.io.raw import read_mosaic
from modisp_jax.io.synthetic import write_synthetic_dng
from modisp_jax.paramisp import Capture, photo_to_raw, raw_to_photo, synthesize_blur, transfer
from modisp_jax.paramisp.applications import saturate
from modisp_jax.paramisp_commands import GENERIC, camera_of
from tests.paramisp.samples import SMALL, network
from tests.samples import numbered_params, photo
from tests.test_cli import refused, run
from tests.test_raw_jpeg import exiftool, needs_exiftool

SIZE = (88, 92)
CONFIG = dataclasses.replace(SMALL, blocks=0, stages=1)
TAKEN = Capture(1 / 125, 2.8, 400.0, 50.0)


def taken(orientation=1):
    """EXIF of a photo."""
    exif = Image.Exif()
    exif[0x010F], exif[0x0110], exif[0x0112], exif[0x013B] = "Maker", "Model 1", orientation, "José"
    camera = {0x829A: IFDRational(1, 125), 0x829D: IFDRational(28, 10), 0x8827: 400, 0x920A: IFDRational(50, 1)}
    camera |= {0x9003: "2020:05:06 07:08:09", 0xA434: "Lens 50 mm", 0x9204: IFDRational(1, 3)}
    exif.get_ifd(EXIF_IFD).update(camera)
    exif.get_ifd(GPS_IFD).update({1: "N", 2: (48.0, 8.0, 14.0)})
    return exif


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with photos, networks and a raw file that no test changes."""
    folder = tmp_path_factory.mktemp("made")
    write_image(folder / "a.png", photo(*SIZE), bits=16, exif=taken(orientation=6), orientation="keep")
    write_image(folder / "b.jpg", photo(*SIZE, seed=1))
    plain = {name: network(name, CONFIG) for name in ("inverse_isp", "forward_isp")}
    card = {"paramisp": dataclasses.asdict(CONFIG)}
    mj.save_params(folder / "plain.safetensors", plain, card)
    nets = jax.tree.map(lambda start, step: start + 0.1 * step, plain, numbered_params(plain, 0.5))
    mj.save_params(folder / "nets.safetensors", nets, card)
    mj.save_params(folder / "forward.safetensors", {"forward_isp": plain["forward_isp"]}, card)
    write_synthetic_dng(folder / "camera.dng", size=(48, 64))
    return folder


@pytest.fixture
def folder(tmp_path, made, monkeypatch):
    """A copy of it, where the program starts."""
    shutil.copytree(made, tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


def networks(name="nets.safetensors"):
    return mj.load_params(name)


def stored(name):
    """A file's pixels, not turned."""
    return read_image(name)


def upright(picture):
    """A picture of orientation 6 as it is to be seen."""
    return np.swapaxes(np.asarray(picture), 0, 1)[:, ::-1]


NETS = ("--networks", "nets.safetensors")


@pytest.mark.parametrize("bits", [14, 16])
def test_a_photo_becomes_a_raw_file(capsys, folder, bits):
    code, out, err = run(capsys, "unrender", "a.png", "-o", "a.dng", *NETS, "--bits", bits)
    assert (code, out) == (0, "")
    assert "[1/1] a.png, 92 x 88 pixels" in err
    assert "a.dng" in err.splitlines()[-1]
    camera = camera_of()
    params = networks()["inverse_isp"]
    raw = photo_to_raw(params, stored("a.png"), camera.illuminant, camera.ccm, TAKEN, config=CONFIG)
    found = read_mosaic("a.dng")
    assert (found.pattern, found.metadata.unique_camera_model) == ("RGGB", GENERIC)
    np.testing.assert_allclose(found.values, raw, atol=0.502 / (2**bits - 1))
    assert np.ptp(found.values) > 0.2
    np.testing.assert_allclose(found.illuminant, camera.illuminant, atol=1e-6)
    np.testing.assert_allclose(found.ccm, camera.ccm, atol=1e-6)
    facts = found.metadata
    assert (facts.make, facts.model, facts.lens, facts.orientation) == ("Maker", "Model 1", "Lens 50 mm", 6)
    assert (facts.datetime, facts.iso, facts.f_number, facts.focal_length) == ("2020-05-06T07:08:09", 400, 2.8, 50)
    assert facts.exposure_time == pytest.approx(1 / 125)
    assert facts.warnings == ()


def test_a_raw_file_of_a_photo_is_one_to_others(capsys, folder):
    """LibRaw opens it, and what renders raw files takes it; a photo that says nothing of itself, too."""
    arguments = "--networks", "plain.safetensors", "--pattern", "GBRG"
    assert run(capsys, "unrender", "b.jpg", *arguments)[0] == 0
    with rawpy.imread("b.dng") as raw:
        values, pattern = raw.raw_image_visible.copy(), raw.raw_pattern.tolist()
        assert raw.white_level == 16383
        assert raw.black_level_per_channel == [0, 0, 0, 0]
    assert pattern == [[1, 2], [0, 3]] or pattern == [[3, 2], [0, 1]]
    np.testing.assert_allclose(values / 16383, read_mosaic("b.dng").values, atol=1e-6)
    raw = mj.read_raw("b.dng")
    assert raw.image.shape == (*SIZE, 3)
    # Of untrained networks it is the photo without its gamma.
    balanced = np.asarray(raw.image / raw.illuminant) @ np.asarray(raw.ccm).T
    error = np.abs(np.clip(balanced, 0, 1) - stored("b.jpg") ** 2.2)
    assert np.median(error) < 0.02  # texture of a pixel's size goes with the mosaic
    assert (raw.metadata.make, raw.metadata.model) == ("modisp_jax", "unknown camera")
    assert raw.metadata.iso is None


def test_exif_stays_in_a_raw_file(capsys, folder):
    arguments = "a.png", *NETS, "--iso", 800, "--exposure-time", "1/60"
    assert run(capsys, "unrender", *arguments)[0] == 0
    found, before = read_exif("a.dng"), read_exif("a.png")
    assert found["gps"] == before["gps"]
    assert found["image"][0x013B] == before["image"][0x013B]
    assert found["exif"][0x829A] == IFDRational(1, 60)
    assert found["exif"].pop(0x8827) == 800
    del before["exif"][0x8827], before["exif"][0x829A], found["exif"][0x829A]
    assert found["exif"] == before["exif"]


@needs_exiftool
def test_exiftool_finds_nothing_to_complain_of(capsys, folder):
    assert run(capsys, "unrender", "a.png", "b.jpg", *NETS, "--like", "camera.dng")[0] == 0
    for found in json.loads(exiftool("-json", "-validate", "-a", "-warning", "-FileType", "a.dng", "b.dng")):
        assert (found["Validate"], found["FileType"]) == ("OK", "DNG"), found.get("Warning")


def test_the_camera_of_a_raw_file(capsys, folder):
    assert run(capsys, "unrender", "a.png", *NETS, "--like", "camera.dng")[0] == 0
    found, like = read_mosaic("a.dng"), read_mosaic("camera.dng")
    np.testing.assert_allclose(found.illuminant, like.illuminant, atol=1e-6)
    np.testing.assert_allclose(found.ccm, like.ccm, atol=1e-6)
    assert found.pattern == like.pattern
    assert found.metadata.unique_camera_model == like.metadata.unique_camera_model
    assert len(found.metadata.color.calibrations) == len(like.metadata.color.calibrations) == 2
    params = networks()["inverse_isp"]
    raw = photo_to_raw(params, stored("a.png"), like.illuminant, like.ccm, TAKEN, pattern=like.pattern, config=CONFIG)
    np.testing.assert_allclose(found.values, raw, atol=0.502 / 16383)


def test_hdr(capsys, folder):
    code, out, err = run(capsys, "hdr", "a.png", *NETS, "--format", "png", "--gains", 1)
    assert (code, out) == (0, "")
    assert "a_hdr.png" in err
    camera = camera_of()
    raw = photo_to_raw(networks()["inverse_isp"], stored("a.png"), camera.illuminant, camera.ccm, TAKEN, config=CONFIG)
    raw = saturate(raw, camera.illuminant)
    forward = networks()["forward_isp"]
    expected = raw_to_photo(forward, raw, camera.illuminant, camera.ccm, TAKEN, config=CONFIG)
    np.testing.assert_allclose(read_image("a_hdr.png"), upright(expected), atol=0.51 / 255 + 1e-4)
    found = read_exif("a_hdr.png")
    assert found["image"][0x0112] == 1
    assert (found["image"][0x010F], found["exif"][0x8827]) == ("Maker", 400)
    assert found["gps"] == read_exif("a.png")["gps"]
    made = read_settings("a_hdr.png")
    assert made["photo"] == "a.png"
    assert made["hdr"]["gains"] == [1.0]
    assert made["hdr"]["networks"].startswith("nets.safetensors sha256:")


def test_transfer(capsys, folder):
    nets = "--from", "nets.safetensors", "--to", "forward.safetensors"
    assert run(capsys, "transfer", "b.jpg", *nets, "-o", "c.tif", "--like", "camera.dng")[0] == 0
    like = read_mosaic("camera.dng")
    both = networks()["inverse_isp"], networks("forward.safetensors")["forward_isp"]
    options = {"pattern": like.pattern, "config": CONFIG}
    expected = transfer(*both, stored("b.jpg"), like.illuminant, like.ccm, **options)
    np.testing.assert_allclose(read_image("c.tif"), expected, atol=1e-4)
    made = read_settings("c.tif")["transfer"]
    assert made["from"].startswith("nets.safetensors sha256:")
    assert made["to"].startswith("forward.safetensors sha256:")


def test_blur(capsys, folder):
    """Along the upright picture's width, which is the stored one's height."""
    arguments = ["a.png", *NETS, "--format", "png", "--length", 15]
    assert run(capsys, "blur", *arguments, "--noise", 0, 0, "--sharp")[0] == 0
    camera = camera_of()
    options = {"length": 15.0, "angle": 90.0, "noise": (0.0, 0.0), "config": CONFIG}
    light = camera.illuminant, camera.ccm, TAKEN
    expected = synthesize_blur(jax.random.key(0), networks(), stored("a.png"), *light, **options)
    for name, picture in zip(("", "_sharp"), expected, strict=True):
        np.testing.assert_allclose(read_image(f"a_blur{name}.png"), upright(picture), atol=0.51 / 255 + 1e-4)
    made = read_settings("a_blur.png")["blur"]
    assert (made["length"], made["angle"], made["noise"], made["seed"]) == (15, 0, [0, 0], 0)


def test_noise_is_drawn_by_a_seed(capsys, folder):
    pictures, levels = [], []
    for seed in (1, 1, 2):
        arguments = "b.jpg", *NETS, "-o", "b.png", "--length", 15, "--seed", seed
        assert run(capsys, "blur", *arguments)[0] == 0
        pictures.append(read_image("b.png"))
        levels.append(read_settings("b.png")["blur"]["noise"])
    np.testing.assert_array_equal(pictures[0], pictures[1])
    assert (pictures[0] != pictures[2]).mean() > 0.2
    assert levels[0] == levels[1] != levels[2]
    assert 1e-4 <= levels[0][0] <= 0.012


def test_one_bad_photo_among_good_ones(capsys, folder):
    (folder / "bad.jpg").write_bytes((folder / "b.jpg").read_bytes()[:500])
    arguments = "unrender", "bad.jpg", "a.png", "missing.jpg", "b.jpg", "-o", "out", *NETS
    code, _, err = run(capsys, *arguments)
    assert code == 2
    errors = [line for line in err.splitlines() if line.startswith("modisp: error:")]
    assert len(errors) == 2
    assert "bad.jpg: expected a whole JPEG picture" in errors[0]
    assert "missing.jpg: expected a JPEG, PNG" in errors[1]
    assert err.endswith("2 of 4 photos failed\n")
    assert sorted(path.name for path in (folder / "out").iterdir()) == ["a.dng", "b.dng"]
    # What is there already is kept, unless it is named or may be replaced.
    code, _, err = run(capsys, *arguments)
    assert err.count("exists; --overwrite replaces it") == 2


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (["unrender", "missing.jpg", *NETS], "missing.jpg: expected a JPEG, PNG, .* picture, got: No such file"),
        (["unrender", "nets.safetensors", *NETS], "nets.safetensors: expected a JPEG, .* got a file of another kind"),
        (["unrender", "camera.dng", *NETS, "-o", "b.dng"], "camera.dng: expected a finished photo .*, got a raw file"),
        (["hdr", "camera.dng", *NETS], "camera.dng: expected a finished photo .*, got a raw file"),
        (["unrender", "b.jpg"], "paramisp.safetensors: expected weights that come with"),
        (["unrender", "b.jpg", "--networks", "no.safetensors"], "no.safetensors: expected a parameter file .*no such"),
        (
            ["unrender", "b.jpg", "--networks", "forward.safetensors"],
            "forward.safetensors: expected the networks inverse_isp, got forward_isp",
        ),
        (["hdr", "b.jpg", "--networks", "forward.safetensors"], "expected the networks inverse_isp, forward_isp, got"),
        (["unrender", "b.jpg", *NETS, "-o", "b.png"], "--output b.png: expected .dng"),
        (["hdr", "b.jpg", *NETS, "-o", "b.dng"], "--output b.dng: expected one of .jpg"),
        (["hdr", "b.jpg", *NETS, "-o", "b.jpg"], "b.jpg is itself one of the photos"),
        (["unrender", "b.jpg", *NETS, "-o", "no/b.dng"], "the folder no does not exist"),
        (["unrender", "b.jpg", "a.png", *NETS, "-o", "b.dng"], "expected a folder for 2 photos, got .* b.dng"),
        (["unrender", *NETS], "expected at least one photo"),
        (["unrender", "b.jpg", *NETS, "--like", "b.jpg"], "b.jpg: expected a camera raw file"),
        (["unrender", "b.jpg", *NETS, "--iso", 0], "--iso: expected a positive number, got 0"),
        (["unrender", "b.jpg", *NETS, "--exposure-time", "1/0"], "--exposure-time: expected a positive number"),
        (["unrender", "b.jpg", *NETS, "--exposure-time", "long"], "-time: expected a positive number, got long"),
        (["unrender", "b.jpg", *NETS, "--f-number", "nan"], "--f-number: expected a positive number, got nan"),
        (["hdr", "b.jpg", *NETS, "--gains", 1, -1], "--gains: expected positive numbers"),
        (["hdr", "b.jpg", *NETS, "--quality", 0], "--quality: expected 1 to 100, got 0"),
        (["hdr", "b.jpg", *NETS, "--bits", 16], "--bits 16: expected a PNG or TIFF, got b_hdr.jpg"),
        (["blur", "b.jpg", *NETS, "--length", -1], "--length: expected 0 to 1000, got -1"),
        (["blur", "b.jpg", *NETS, "--length", 9, "--noise", 0, "nan"], "--noise: expected two numbers from 0 to 1"),
        (["blur", "b.jpg", *NETS, "--length", 9, "--highlights", 0], "--highlights: expected 1 to 1000, got 0"),
        (["blur", "b.jpg", *NETS, "--length", 9, "--angle", "inf"], "--angle: expected a number of degrees, got inf"),
        (["blur", "b.jpg", *NETS, "--length", 9, "--seed", -1], "--seed: expected 0 to 4294967295, got -1"),
    ],
)  # fmt: skip
def test_bad_options(capsys, folder, monkeypatch, arguments, match):
    monkeypatch.setattr("modisp_jax.checkpoints.WEIGHTS", folder / "no weights")
    refused(capsys, folder, *arguments, match=match)


@pytest.mark.parametrize(
    "arguments", [["unrender", "b.jpg", *NETS, "--pattern", "RGBG"], ["transfer", "b.jpg"], ["blur", "b.jpg", *NETS]]
)
def test_wrong_usage(capsys, folder, arguments):
    code, out, err = run(capsys, *arguments)
    assert (code, out) == (2, "")
    assert err


def test_hdr_without_opencv(capsys, folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    refused(capsys, folder, "hdr", "b.jpg", *NETS, match=r"hdr: needs OpenCV.*: pip install 'modisp_jax\[hdr\]'")


def test_existing_pictures(capsys, folder, monkeypatch):
    (folder / "b_hdr.jpg").write_text("mine")
    (folder / "b.dng").write_text("mine")
    with monkeypatch.context() as patch:
        patch.setattr(paramisp_commands, "read_photo", None)  # it is refused before the photo is read
        refused(capsys, folder, "hdr", "b.jpg", *NETS, match="b_hdr.jpg exists; --overwrite replaces it")
        refused(capsys, folder, "unrender", "b.jpg", *NETS, match="b.dng exists; --overwrite replaces it")
    assert run(capsys, "unrender", "b.jpg", *NETS, "--overwrite")[0] == 0
    assert read_mosaic("b.dng").values.shape == SIZE
    (folder / "b.dng").write_text("mine")
    assert run(capsys, "unrender", "b.jpg", *NETS, "-o", "b.dng")[0] == 0  # a name that was typed is meant
    assert read_mosaic("b.dng").values.shape == SIZE


def test_ctrl_c_leaves_nothing(capsys, folder, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(paramisp_commands, "photo_to_raw", interrupted)
    before = sorted(folder.iterdir())
    code, _, err = run(capsys, "unrender", "b.jpg", *NETS)
    assert code == 130
    assert err.endswith("modisp: interrupted\n")
    assert sorted(folder.iterdir()) == before
