"""From a file of any shape to a finished picture: 16 x 16, 20:1 either way, and one channel."""

import numpy as np
import pytest

import modisp_jax as mj
from modisp_jax.config import EDIT_RANGES
from modisp_jax.io.dng_write import write_dng
from modisp_jax.io.synthetic import CAMERA, simulate_mosaic, synthetic_scene
from tests.io.test_dng_kinds import write as write_any_dng
from tests.samples import TINY, numbered_params

EDITS = mj.Edits(
    **{name: np.float32(0.4 * high) for name, (_, high) in EDIT_RANGES.items() if name != "rotation"},
    rotation=np.float32(3),
    crop=(0.1, 0.05, 0.8, 0.9),
)
CONFIG = mj.RenderConfig(halo_fix=mj.HaloFixConfig(iterations=20))


@pytest.fixture(scope="module")
def params():
    import jax

    return numbered_params(mj.init_params(jax.random.key(0), TINY), scale=0.1)


def photo(path, size):
    """A raw file that shows a part of the built-in scene."""
    scene = synthetic_scene(tuple(max(32, n) for n in size))[: size[0], : size[1]]
    mosaic, _, neutral = simulate_mosaic(scene)
    matrix = CAMERA.calibrations[1].color_matrix
    return write_dng(path, mosaic, black=512, white=16383, color_matrix1=matrix, as_shot_neutral=neutral)


@pytest.mark.parametrize("size", [(16, 16), (16, 320), (320, 16)])
def test_small_and_narrow_photos_are_read(tmp_path, size):
    path = photo(tmp_path / "a.dng", size)
    ways = [np.asarray(mj.read_raw(path, demosaic=demosaic).image) for demosaic in ("libraw", "malvar")]
    assert ways[0].shape == ways[1].shape == (*size, 3)
    assert np.abs(ways[0] - ways[1]).mean() < 0.02


@pytest.mark.slow
@pytest.mark.parametrize("size", [(16, 16), (16, 320)])
def test_small_and_narrow_photos_are_rendered(tmp_path, params, size):
    raw = mj.read_raw(photo(tmp_path / "a.dng", size))
    picture = np.asarray(mj.render(params, raw, edits=EDITS, config=CONFIG))
    assert np.isfinite(picture).all()
    assert picture.min() >= 0
    assert picture.max() <= 1
    assert picture.std() > 0.01  # a picture, not one colour
    assert 0 < picture.shape[0] < size[0]  # cropped
    assert 0 < picture.shape[1] < size[1]


def test_a_monochrome_photo_is_rendered_grey(tmp_path):
    import jax

    values = np.random.default_rng(0).random((32, 40)).astype(np.float32)
    raw = mj.read_raw(write_any_dng(tmp_path / "a.dng", values, monochrome=True))
    neutral = mj.init_params(jax.random.key(0), mj.PipelineConfig(denoise=None, enhance=None))
    picture = np.asarray(mj.render(neutral, raw))
    np.testing.assert_allclose(picture, picture[..., :1].repeat(3, axis=-1), atol=2e-3)
    assert picture.std() > 0.1
