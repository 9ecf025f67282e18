"""The package's own raw photo: deterministic, whole range, and developing it gives the scene back."""

import os

import numpy as np
import pytest

from modisp_jax.io.dng_color import cct_tint_to_neutral, neutral_to_cct_tint
from modisp_jax.io.dng_write import write_dng
from modisp_jax.io.images import ImageError
from modisp_jax.io.raw import read_mosaic, read_raw_file
from modisp_jax.io.synthetic import CAMERA, simulate_mosaic, synthetic_scene, write_synthetic_dng

SIZE = (120, 160)


def test_scene_is_the_same_by_seed():
    scene = synthetic_scene(SIZE, seed=3)
    assert scene.shape == (*SIZE, 3)
    assert scene.dtype == np.float32
    np.testing.assert_array_equal(scene, synthetic_scene(SIZE, seed=3))
    assert np.abs(scene - synthetic_scene(SIZE, seed=4)).mean() > 0.01


def test_scene_has_what_a_pipeline_must_cope_with():
    scene = synthetic_scene(SIZE)
    assert np.isfinite(scene).all()
    assert scene.min() >= 0
    luminance = scene @ [0.2126, 0.7152, 0.0722]
    assert luminance.max() > 30  # the sun
    assert 0.001 < (luminance > 1.2).mean() < 0.05  # clips, but not much
    assert 0.02 < (luminance < 0.03).mean() < 0.25  # deep shadow
    assert 0.1 < np.median(luminance) < 0.5
    saturation = 1 - scene.min(-1) / np.maximum(scene.max(-1), 1e-6)
    assert (saturation > 0.8).mean() > 0.02


def test_scene_looks_alike_at_every_size():
    small, large = synthetic_scene((96, 128)), synthetic_scene((192, 256))
    binned = large.reshape(96, 2, 128, 2, 3).mean((1, 3))
    correlation = np.corrcoef(np.minimum(small, 1).ravel(), np.minimum(binned, 1).ravel())[0, 1]
    assert correlation > 0.9


@pytest.mark.parametrize("size", [(33, 47), (64, 200), (200, 64)])
def test_scene_of_any_shape(size):
    assert np.isfinite(synthetic_scene(size)).all()


def test_too_small_a_scene():
    with pytest.raises(ValueError, match="at least"):
        synthetic_scene((8, 8))


@pytest.mark.parametrize("pattern", ["RGGB", "BGGR", "GRBG", "GBRG"])
def test_developing_gives_the_scene_back(tmp_path, pattern):
    # Flat colours of the chart, noise off: what the camera and its matrix do must cancel.
    colors = np.array([[0.54, 0.31, 0.22], [0.11, 0.19, 0.33], [0.10, 0.15, 0.05], [0.36, 0.36, 0.36]], np.float32)
    scene = colors.repeat(24, axis=0)[:, None, :].repeat(32, axis=1)
    mosaic, _, neutral = simulate_mosaic(scene, pattern=pattern, noise=(0, 0), exposure=0.8)
    first, second = CAMERA.calibrations
    path = write_dng(
        tmp_path / "a.dng",
        mosaic,
        pattern=pattern,
        black=512,
        color_matrix1=first.color_matrix,
        calibration_illuminant1=17,
        color_matrix2=second.color_matrix,
        calibration_illuminant2=21,
        as_shot_neutral=neutral,
    )
    raw = read_raw_file(path)
    developed = (raw.image / raw.illuminant / 0.8) @ raw.ccm.T
    for k, color in enumerate(colors):
        block = developed[24 * k + 8 : 24 * k + 16, 8:-8]
        np.testing.assert_allclose(block, np.broadcast_to(color, block.shape), atol=5e-4)


def test_the_light_is_that_of_the_camera():
    _, _, neutral = simulate_mosaic(np.ones((32, 32, 3), np.float32), cct=5500.0, tint=4.0)
    np.testing.assert_allclose(neutral, cct_tint_to_neutral(5500, 4, CAMERA))
    cct, tint = neutral_to_cct_tint(neutral, CAMERA)
    assert cct == pytest.approx(5500, rel=0.01)
    assert tint == pytest.approx(4, abs=1)


def test_noise_has_the_stated_variance():
    a, b = 4e-4, 4e-6
    for level in (0.05, 0.4):
        scene = np.full((400, 400, 3), level, np.float32)
        mosaic, camera, _ = simulate_mosaic(scene, noise=(a, b), exposure=0.8, black=512, white=16383)
        greens = (mosaic[0::2, 1::2].astype(float) - 512) / (16383 - 512)
        x = camera[0, 0, 1]
        assert greens.mean() == pytest.approx(x, rel=0.01)
        assert greens.var() == pytest.approx(a * x + b, rel=0.05)


def test_raw_photo(tmp_path):
    path = write_synthetic_dng(tmp_path / "a.dng", size=SIZE, seed=1, pattern="GBRG", orientation=8)
    raw, mosaic = read_raw_file(path), read_mosaic(path)
    assert mosaic.pattern == "GBRG"
    assert raw.image.shape == (*SIZE, 3)
    assert (raw.image.min(), raw.image.max()) == (0, 1)
    assert raw.metadata.orientation == 8
    assert raw.metadata.warnings == ()
    np.testing.assert_allclose(raw.metadata.color.noise_profile, [(2e-4, 1e-6)] * 3)
    assert 0.001 < (mosaic.values == 1).mean() < 0.05
    again = write_synthetic_dng(tmp_path / "b.dng", size=SIZE, seed=1, pattern="GBRG", orientation=8)
    assert path.read_bytes() == again.read_bytes()


def test_bad_pattern(tmp_path):
    for pattern in ("RGB", "RRGB", "ABCD"):
        with pytest.raises(ValueError, match="pattern"):
            write_synthetic_dng(tmp_path / "a.dng", pattern=pattern)
    assert list(tmp_path.iterdir()) == []


# The writer


@pytest.mark.parametrize(
    ("pixels", "options", "message"),
    [
        (np.zeros((32, 32)), {}, "uint16"),
        (np.zeros((32, 32, 2), np.uint16), {}, "uint16"),
        (np.zeros((1, 32), np.uint16), {}, "at least 2"),
        (np.zeros((32, 32), np.uint16), {"pattern": "RGG"}, "4 or 36 letters"),
        (np.zeros((32, 32), np.uint16), {"pattern": "RGGX"}, "4 or 36 letters"),
        (np.zeros((32, 32), np.uint16), {"black": [1, 2]}, "black as a number"),
        (np.zeros((32, 32), np.uint16), {"orientation": 0}, "orientation 1..8"),
    ],
)
def test_writer_refuses(tmp_path, pixels, options, message):
    with pytest.raises(ImageError, match=message):
        write_dng(tmp_path / "a.dng", pixels, **options)
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_leaves_what_was_there(tmp_path, monkeypatch):
    path = write_dng(tmp_path / "a.dng", np.full((32, 32), 5, np.uint16))
    before = path.read_bytes()

    def fail(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(ImageError, match="No space left"):
        write_dng(path, np.full((32, 32), 6, np.uint16))
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_no_folder(tmp_path):
    with pytest.raises(ImageError, match="folder that can be written to"):
        write_dng(tmp_path / "missing" / "a.dng", np.full((32, 32), 5, np.uint16))
