"""Preparation of split folders: raw files with pictures, the Zurich layout, incomplete sets; resumption and errors."""

import json
import shutil

import imagecodecs
import jax
import numpy as np
import pytest
from PIL import Image, ImageCms

import modisp_jax as mj
from modisp_jax.io.alignment import check_same_scene, crop_box, read_turned
from modisp_jax.io.images import apply_orientation, read_image, write_image
from modisp_jax.io.load import load_raw
from modisp_jax.io.s24 import read_s24
from modisp_jax.io.synthetic import simulate_mosaic, synthetic_scene, write_synthetic_dng
from tests.samples import TINY
from train.data import SplitFolder
from train.prepare import main

SIZE = (64, 96)


def finished(raw):
    """A plain rendering of a raw file, as on the sensor."""
    linear = np.clip(raw.image / raw.illuminant @ raw.ccm.T, 0, 1)
    return (np.clip(1.5 * linear, 0, 1) ** (1 / 2.2)).astype(np.float32)


@pytest.fixture(scope="module")
def originals(tmp_path_factory):
    """A folder of two DNGs, one of them taken upright, with finished pictures beside them."""
    folder = tmp_path_factory.mktemp("originals")
    for name, orientation, seed in (("lying", 1, 0), ("upright", 6, 1)):
        path = write_synthetic_dng(folder / f"{name}.dng", size=SIZE, seed=seed, orientation=orientation)
        picture = apply_orientation(finished(load_raw(path)), orientation)
        write_image(folder / f"{name}.jpg", picture, quality=98)
    return folder


@pytest.fixture
def folder(originals, tmp_path):
    return shutil.copytree(originals, tmp_path / "in")


def files(folder):
    return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def test_a_folder_of_raws(folder, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["raw-folder", str(folder), str(folder), str(out)]) == 0
    assert "2 prepared, 0 complete already, 0 failed" in capsys.readouterr().out
    split = SplitFolder(out)
    assert split.names == ["lying", "upright"]
    for k, name in enumerate(split.names):
        raw, sample = load_raw(folder / f"{name}.dng"), split[k]
        np.testing.assert_allclose(sample["raw"], raw.image, atol=1 / 65535)
        np.testing.assert_allclose(sample["illuminant"], raw.illuminant, rtol=1e-6)
        np.testing.assert_allclose(sample["ccm"], raw.ccm, atol=1e-6)
        assert np.abs(sample["srgb"] - finished(raw)).mean() < 0.02
    # A picture that lies on its raw is copied; one that had to be turned is kept without loss.
    assert (out / "srgb_images" / "lying.jpg").read_bytes() == (folder / "lying.jpg").read_bytes()
    turned = apply_orientation(read_image(folder / "upright.jpg"), 8)
    np.testing.assert_array_equal(read_image(out / "srgb_images" / "upright.png"), turned)
    metadata = read_s24(out / "raw_images" / "upright.png").metadata
    assert (metadata.orientation, metadata.iso, metadata.exposure_time) == (6, 400, 1 / 500)
    assert [c.cct for c in metadata.color.calibrations] == [6504.0, 2856.0]
    original = {c.cct: c.color_matrix for c in load_raw(folder / "upright.dng").metadata.color.calibrations}
    for calibration in metadata.color.calibrations:
        np.testing.assert_allclose(calibration.color_matrix, original[calibration.cct])


def test_a_second_run_does_what_is_left(folder, tmp_path, capsys):
    out = tmp_path / "out"
    command = ["raw-folder", str(folder), str(folder), str(out)]
    (tmp_path / "later.jpg").write_bytes((folder / "upright.jpg").read_bytes())
    (folder / "upright.jpg").unlink()
    assert main(command) == 2
    captured = capsys.readouterr()
    assert "upright.dng: expected a finished picture" in captured.err
    assert "1 prepared, 0 complete already, 1 failed" in captured.out
    assert SplitFolder(out).names == ["lying"]
    before = files(out)
    (tmp_path / "later.jpg").rename(folder / "upright.jpg")
    (out / "data" / "upright.json").write_text("{")  # as if stopped half-way by something that does not rename
    assert main(command) == 0
    assert "1 prepared, 1 complete already, 0 failed" in capsys.readouterr().out
    after = files(out)
    assert {name: after[name] for name in before} == before
    assert SplitFolder(out)[1]["raw"].shape == (*SIZE, 3)
    assert not [name for name in after if "/." in name]
    # Another style joins the same raws; other settings do not.
    assert main([*command, "--style", "warm"]) == 0
    assert SplitFolder(out, "warm").names == SplitFolder(out, "srgb_images").names == ["lying", "upright"]
    assert main([*command, "--size", "48"]) == 2
    assert "was prepared with" in capsys.readouterr().err


def test_shrinking_and_a_denoiser(folder, tmp_path, capsys):
    small = Image.open(folder / "lying.jpg").resize((60, 40))
    small.save(folder / "lying.jpg", quality=98)  # an export at another size
    (folder / "upright.dng").unlink()
    out, denoiser = tmp_path / "out", str(tmp_path / "denoiser.safetensors")
    params = mj.init_params(jax.random.key(0), TINY)
    mj.save_params(denoiser, {"denoise": params["denoise"]}, {})
    options = ["--size", "48", "--denoiser", denoiser, "--demosaic", "malvar"]
    assert main(["raw-folder", str(folder), str(folder), str(out), *options]) == 0
    sample = SplitFolder(out)[0]
    assert sample["raw"].shape == sample["clean"].shape == sample["srgb"].shape == (32, 48, 3)
    raw = load_raw(folder / "lying.dng").image.reshape(32, 2, 48, 2, 3).mean(axis=(1, 3))
    assert np.abs(sample["raw"] - raw).mean() < 0.03  # read_raw's AHD against Malvar
    assert np.abs(sample["clean"] - sample["raw"]).mean() < 0.05  # an untrained one does next to nothing
    assert main(["raw-folder", str(folder), str(folder), str(out), "--denoiser", "neutral"]) == 2
    assert "expected a set with a denoiser" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda picture: picture[:-2], "expected 96 x 64 pixels as the raw photo has, got 96 x 62"),
        (lambda picture: picture[::-1, ::-1], "looks turned against the raw photo"),
        (lambda picture: picture[:, ::-1], "looks mirrored against the raw photo"),
        (lambda picture: np.random.default_rng(0).random(picture.shape), "does not look like its raw photo"),
    ],
    ids=["cropped", "turned", "mirrored", "another"],
)
def test_pictures_that_do_not_lie_on_their_raw(folder, tmp_path, capsys, change, message):
    write_image(folder / "lying.jpg", change(read_image(folder / "lying.jpg")))
    assert main(["raw-folder", str(folder), str(folder), str(tmp_path / "out")]) == 2
    assert f"[1/2] lying: error: {folder / 'lying.jpg'}: {message}" in capsys.readouterr().err
    assert SplitFolder(tmp_path / "out").names == ["upright"]
    if "pixels" not in message:
        assert main(["raw-folder", str(folder), str(folder), str(tmp_path / "out"), "--no-check"]) == 0


def test_damaged_raws_and_bad_usage(folder, tmp_path, capsys):
    (folder / "lying.dng").write_bytes(b"II*\0 no raw file")
    assert main(["raw-folder", str(folder), str(folder), str(tmp_path / "out")]) == 2
    assert "lying: error:" in capsys.readouterr().err
    for arguments, message in (
        ([str(tmp_path / "none"), str(folder), str(tmp_path / "b")], "expected raw files, found none"),
        ([str(folder), str(tmp_path / "none"), str(tmp_path / "b")], "expected a folder"),
        ([str(folder), str(folder), str(tmp_path / "b"), "--size", "3"], "--size: expected at least 16"),
        ([str(folder), str(folder), str(tmp_path / "b"), "--denoiser", "none"], "expected a parameter file"),
    ):
        assert main(["raw-folder", *arguments]) == 2
        assert message in capsys.readouterr().err
    assert not (tmp_path / "b").exists()


def test_turning_of_pictures(tmp_path):
    x = np.random.default_rng(0).random((4, 6, 3)).astype(np.float32)
    for code in range(1, 9):
        upright = apply_orientation(x, code)
        for path in (tmp_path / "a.png", tmp_path / "a.tif"):
            turned, changed = read_turned(write_image(path, upright, bits=16), code)
            np.testing.assert_allclose(turned, x, atol=1e-4)
            assert changed == (code != 1)
        exif = Image.Exif()
        exif[0x0112] = code
        for path in (tmp_path / "b.png", tmp_path / "b.tif"):  # stored as on the sensor, with the tag
            turned, changed = read_turned(write_image(path, x, bits=16, exif=exif, orientation="keep"), code)
            np.testing.assert_allclose(turned, x, atol=1e-4)
            assert not changed


def test_other_colour_profiles_are_refused(tmp_path):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    Image.new("RGB", (8, 8)).save(tmp_path / "a.jpg", icc_profile=profile)
    with pytest.raises(ValueError, match=r"a\.jpg: expected sRGB, got the colour profile 'Lab"):
        read_turned(tmp_path / "a.jpg", 1)


def test_crops():
    assert crop_box((40, 60), (40, 60), None) == np.s_[0:40, 0:60]
    assert crop_box((40, 60), (32, 48), (4.0, 6.0, 32.0, 48.0)) == np.s_[4:36, 6:54]
    assert crop_box((40, 60), (32, 48), None) is None
    assert crop_box((4000, 6000), (320, 480), None, any_size=True) == np.s_[0:4000, 0:6000]
    assert crop_box((4000, 6000), (320, 500), None, any_size=True) is None


def test_flat_pictures_pass_the_check():
    flat = np.full((8, 8, 3), 0.5, np.float32)
    check_same_scene("a.jpg", flat, np.random.default_rng(0).random((8, 8, 3)).astype(np.float32))


# Incomplete sets


@pytest.fixture
def bare(tmp_path):
    """A split of raws and pictures alone; the second has an illuminant and an extra key, too."""
    split = tmp_path / "split"
    for sub in ("raw_images", "srgb_images", "data"):
        (split / sub).mkdir(parents=True)
    rng = np.random.default_rng(0)
    for k, name in enumerate(("a", "b")):
        linear = np.clip(synthetic_scene(SIZE, seed=k), 0, 1)
        raw = 0.4 * linear @ np.array([[0.8, 0.2, 0], [0.1, 0.8, 0.1], [0, 0.3, 0.7]]).T * [0.5, 1, 0.7]
        raw = np.clip(raw + 0.01 * rng.standard_normal(raw.shape), 0, 1).astype(np.float32)
        write_image(split / "raw_images" / f"{name}.png", raw, bits=16)
        write_image(split / "srgb_images" / f"{name}.png", linear ** np.float32(1 / 2.2))
    (split / "data" / "b.json").write_text(json.dumps({"cam_illum": [0.5, 1, 0.7], "orientation": 3, "note": "kept"}))
    return split


def test_incomplete_sets_are_filled_in(bare, capsys):
    before = files(bare)
    assert main(["incomplete", str(bare)]) == 0
    assert "2 prepared" in capsys.readouterr().out
    split = SplitFolder(bare)
    for sample in split:
        ccm = sample["ccm"]
        np.testing.assert_allclose(ccm.sum(axis=1), 1, atol=1e-6)
        assert (ccm >= 0).all()
        assert sample["illuminant"][1] == 1
        # The clean raw is near the raw, with less noise than its .01.
        assert 0.005 < (sample["clean"] - sample["raw"]).std() < 0.02
    facts = json.loads((bare / "data" / "b.json").read_text())
    assert (facts["cam_illum"], facts["orientation"], facts["note"]) == ([0.5, 1.0, 0.7], 3, "kept")
    mean = split[0]["raw"].mean(axis=(0, 1))
    np.testing.assert_allclose(split[0]["illuminant"], mean / mean[1], rtol=1e-3)
    after = files(bare)
    kept = [name for name in before if not name.endswith("b.json")]
    assert {name: after[name] for name in kept} == {name: before[name] for name in kept}
    assert main(["incomplete", str(bare)]) == 0
    assert "0 prepared, 2 complete already" in capsys.readouterr().out
    assert files(bare) == after


def test_incomplete_reports_and_goes_on(bare, capsys):
    (bare / "srgb_images" / "a.png").unlink()
    assert main(["incomplete", str(bare), "--no-clean"]) == 2
    captured = capsys.readouterr()
    assert "a.png: expected a finished picture" in captured.err
    assert "1 prepared, 0 complete already, 1 failed" in captured.out
    assert not (bare / "denoised_raw_images").exists()
    (bare / "data" / "b.json").write_text("[]")
    assert main(["incomplete", str(bare)]) == 2
    assert "b.json: expected a JSON object" in capsys.readouterr().err
    write_image(bare / "srgb_images" / "b.png", np.ones((*SIZE, 3), np.float32))
    (bare / "data" / "b.json").unlink()
    assert main(["incomplete", str(bare)]) == 2
    assert "b.png: expected at least 64 pixels that are not saturated" in capsys.readouterr().err
    assert main(["incomplete", str(bare), "--style", "9"]) == 2


def test_zurich(tmp_path, capsys):
    split, out = tmp_path / "zurich", tmp_path / "out"
    (split / "huawei_raw").mkdir(parents=True)
    (split / "canon").mkdir()
    scene = synthetic_scene(SIZE, seed=0)
    mosaic, *_ = simulate_mosaic(scene, black=63, white=1020, noise=(1e-4, 1e-6))
    for name in ("0", "1", "2"):
        (split / "huawei_raw" / f"{name}.png").write_bytes(imagecodecs.png_encode(np.minimum(mosaic, 1023)))
        write_image(split / "canon" / f"{name}.jpg", np.clip(scene, 0, 1) ** (1 / 2.2))
    (split / "huawei_raw" / "1.png").write_bytes(imagecodecs.png_encode(64 * np.minimum(mosaic, 1023)))
    (split / "canon" / "2.jpg").unlink()
    assert main(["zurich", str(split), str(out)]) == 2
    captured = capsys.readouterr()
    assert "1.png: expected 16 bits with values up to 1023" in captured.err
    assert "2.png: expected its picture" in captured.err
    assert "1 prepared, 0 complete already, 2 failed" in captured.out
    sample = SplitFolder(out)[0]
    assert sample["raw"].shape == sample["clean"].shape == sample["srgb"].shape == (*SIZE, 3)
    expected = (mosaic[0, 0] - 63) / (1020 - 63)
    np.testing.assert_allclose(sample["raw"][0, 0, 0], np.clip(expected, 0, 1), atol=1e-4)
    assert (out / "srgb_images" / "0.jpg").read_bytes() == (split / "canon" / "0.jpg").read_bytes()
    (split / "huawei_raw" / "1.png").unlink()
    (split / "huawei_raw" / "2.png").unlink()
    assert main(["zurich", str(split), str(out)]) == 0
    assert "0 prepared, 1 complete already" in capsys.readouterr().out
    assert main(["raw-folder", str(split / "huawei_raw"), str(split / "canon"), str(out)]) == 2
    assert "was prepared with" in capsys.readouterr().err
