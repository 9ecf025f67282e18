"""Reading a raw photo into JAX: shapes, metadata, saturation, the two ways of demosaicing, S24 folders."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import modisp_jax as mj
from modisp_jax.io.images import write_image
from modisp_jax.io.synthetic import write_synthetic_dng
from tests.samples import photo

SIZE = (48, 64)


@pytest.fixture(scope="module")
def dng(tmp_path_factory):
    return write_synthetic_dng(tmp_path_factory.mktemp("raw") / "a.dng", size=SIZE, noise=(0, 0), orientation=6)


@pytest.fixture(scope="module")
def raw(dng):
    return mj.read_raw(dng)


def test_shapes_types_and_ranges(raw):
    shapes = {"image": (*SIZE, 3), "illuminant": (3,), "ccm": (3, 3), "saturation": (3,)}
    for name, shape in shapes.items():
        value = getattr(raw, name)
        assert isinstance(value, jax.Array), name
        assert (value.shape, value.dtype) == (shape, jnp.float32), name
        assert jnp.isfinite(value).all(), name
    assert 0 <= raw.image.min() < raw.image.max() <= 1
    assert raw.illuminant[1] == 1
    assert (raw.illuminant > 0).all()
    np.testing.assert_allclose(raw.ccm.sum(axis=1), 1, atol=1e-5)
    assert ((raw.saturation >= 0.9) & (raw.saturation <= 1)).all()


def test_metadata_is_of_the_file_and_pixels_are_not_turned(raw):
    assert raw.metadata.make == "modisp_jax"
    assert raw.metadata.orientation == 6
    assert raw.metadata.size == SIZE


def test_metadata_stays_on_the_host(raw):
    assert jax.tree.map(lambda x: x, raw).metadata is None
    assert jax.jit(lambda r: r)(raw).metadata is None
    leaves = jax.tree.leaves(raw)
    assert len(leaves) == 4
    assert all(isinstance(leaf, jax.Array) for leaf in leaves)


def test_metadata_does_not_recompile(raw):
    @jax.jit
    def level(r):
        return r.image.mean()

    level(raw)
    level(jax.tree.map(lambda x: x, raw))
    assert level._cache_size() == 1


def test_malvar_agrees_with_libraw(dng, raw):
    malvar = mj.read_raw(dng, demosaic="malvar")
    assert malvar.image.shape == raw.image.shape
    for name in ("illuminant", "ccm"):
        np.testing.assert_array_equal(getattr(malvar, name), getattr(raw, name))
    assert malvar.metadata.to_dict() == raw.metadata.to_dict()
    # Sensor values stay where they are, and what is interpolated lies close.
    for k, letter in enumerate(raw.metadata.pattern):
        cell = (slice(k // 2, None, 2), slice(k % 2, None, 2), "RGB".index(letter))
        np.testing.assert_allclose(malvar.image[cell], raw.image[cell], atol=1e-3)
    # At this size the scene is little but detail, so methods differ by 10 %, and much less in means of 8 x 8 pixels.
    difference = np.asarray(malvar.image - raw.image)
    assert np.abs(difference).mean() < 0.02
    assert np.abs(difference.reshape(6, 8, 8, 8, 3).mean(axis=(1, 3))).mean() < 0.006


def test_paths_may_be_strings(dng, raw):
    np.testing.assert_array_equal(mj.read_raw(str(dng)).image, raw.image)


@pytest.mark.parametrize("demosaic", ["", "ahd", "LibRaw", None])
def test_unknown_demosaicing(dng, demosaic):
    with pytest.raises(ValueError, match=r"demosaic: expected one of \('libraw', 'malvar'\), got"):
        mj.read_raw(dng, demosaic=demosaic)


@pytest.mark.parametrize("demosaic", ["libraw", "malvar"])
def test_files_that_are_none(tmp_path, dng, demosaic):
    for path, message in ((tmp_path / "a.dng", "no file of that name"), (tmp_path, "got a directory")):
        with pytest.raises(ValueError, match=message):
            mj.read_raw(path, demosaic=demosaic)
    (tmp_path / "b.dng").write_bytes(dng.read_bytes()[:3000])
    with pytest.raises(ValueError, match=r"b\.dng: "):
        mj.read_raw(tmp_path / "b.dng", demosaic=demosaic)


def test_an_s24_folder(tmp_path):
    (tmp_path / "raw_images").mkdir()
    (tmp_path / "data").mkdir()
    image = photo(20, 24)
    path = write_image(tmp_path / "raw_images" / "a.png", image, bits=16)
    ccm = [[1.7, -0.5, -0.2], [-0.3, 1.6, -0.3], [0.0, -0.6, 1.6]]
    data = {"cam_illum": [0.25, 0.5, 0.32], "ccm": ccm, "orientation": 3}
    (tmp_path / "data" / "a.json").write_text(json.dumps(data))
    raw = mj.read_raw(path)
    np.testing.assert_allclose(raw.image, image, atol=1 / 65535)
    np.testing.assert_allclose(raw.illuminant, [0.5, 1, 0.64], rtol=1e-6)
    np.testing.assert_allclose(raw.ccm, ccm, rtol=1e-6)
    assert (raw.metadata.format, raw.metadata.orientation) == ("S24", 3)
    with pytest.raises(ValueError, match=r"expected a Bayer mosaic .* got a PNG, which is demosaiced already"):
        mj.read_raw(path, demosaic="malvar")
    (tmp_path / "data" / "a.json").unlink()
    with pytest.raises(ValueError, match="raw PNG with its JSON at"):
        mj.read_raw(path)
