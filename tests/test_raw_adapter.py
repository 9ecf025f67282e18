"""The raw-in-JPEG adapter: laws on untrained and on numbered parameters, then parity with the published."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import modisp_jax as mj
from modisp_jax.config import PipelineConfig
from modisp_jax.raw_adapter import RawAdaptation, choose_raw_adaptation, process_raw, restore_raw
from tests.samples import EXTREMES, numbered_params, photo

CONFIG = PipelineConfig(None, None, None, io=("raw_adapter",))


@pytest.fixture(scope="module")
def untrained():
    return mj.init_params(jax.random.key(0), CONFIG)["io"]["raw_adapter"]


@pytest.fixture(scope="module")
def params(untrained):
    numbered = numbered_params(untrained)
    numbered["lut"]["norm"]["variance"] = untrained["lut"]["norm"]["variance"]
    return numbered


def test_parameter_count(untrained):
    assert mj.count_params(untrained) == 32_076


def test_an_untrained_adapter_changes_nothing(untrained):
    image = photo(40, 60)
    adaptation = choose_raw_adaptation(untrained, image)
    np.testing.assert_allclose(process_raw(image, adaptation), image, atol=1e-6)


@pytest.mark.parametrize("size", [(1, 1), (37, 210), (100, 100)])
def test_any_size_goes_through_and_back(params, size):
    image = photo(*size)
    adaptation = choose_raw_adaptation(params, image)
    assert adaptation.lut.shape == (3, 129)
    assert adaptation.gamma_map.shape == (100, 100, 1)
    assert np.ptp(adaptation.lut) > 1e-3
    gamma = np.asarray(adaptation.gamma_map)
    assert ((gamma > np.exp(-2.001)) & (gamma < np.exp(2.001))).all()
    np.testing.assert_allclose(restore_raw(process_raw(image, adaptation), adaptation), image, atol=1e-5)


def test_eight_bits_are_enough_for_half_a_percent(untrained):
    image = photo(40, 60)
    adaptation = choose_raw_adaptation(untrained, image)
    stored = np.round(255 * np.asarray(process_raw(image, adaptation))) / np.float32(255)
    np.testing.assert_allclose(restore_raw(stored, adaptation), image, atol=0.51 / 255)


def test_jit_and_vmap(params):
    images = np.stack([photo(30, 40, seed) for seed in range(2)])

    def there_and_back(image):
        adaptation = choose_raw_adaptation(params, image)
        return adaptation, restore_raw(process_raw(image, adaptation), adaptation)

    together = jax.jit(jax.vmap(there_and_back))(images)
    for k, image in enumerate(images):
        one = jax.tree.leaves(there_and_back(image))
        for a, b in zip(jax.tree.leaves(together), one, strict=True):
            np.testing.assert_allclose(a[k], b, atol=2e-6)


@jax.jit
@functools.partial(jax.value_and_grad, argnums=(0, 1))
def _value_and_gradients(params, image):
    adaptation = choose_raw_adaptation(params, image)
    return (process_raw(image, adaptation) ** 2).sum() + restore_raw(image, adaptation).sum()


@pytest.mark.parametrize("image", [np.resize(EXTREMES, (20, 30, 3)), np.zeros((20, 30, 3)), photo(20, 30)])
def test_finite_value_and_gradient(params, image):
    value, gradients = _value_and_gradients(params, jnp.asarray(image, jnp.float32))
    assert np.isfinite(value)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradients))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: (jnp.zeros((3, 128)), a.gamma_map), r"adaptation.lut: expected shape \(3, 129\), got \(3, 128\)"),
        (lambda a: (a.lut, jnp.zeros((10, 10))), r"adaptation.gamma_map: expected shape \[h, w, 1\], got \(10, 10\)"),
    ],
)
def test_wrong_coefficients_are_refused(untrained, change, message):
    image = photo(20, 20)
    adaptation = RawAdaptation(*change(choose_raw_adaptation(untrained, image)))
    for function in (process_raw, restore_raw):
        with pytest.raises(ValueError, match=message):
            function(image, adaptation)


def test_wrong_input_is_refused(untrained):
    with pytest.raises(ValueError, match=r"image: expected an image \[H, W, 3\]"):
        choose_raw_adaptation(untrained, np.zeros((20, 20), np.float32))
    with pytest.raises(ValueError, match=r'expected those of one network, params\["io"\]\["raw_adapter"\], got'):
        choose_raw_adaptation({"io": {"raw_adapter": untrained}}, photo(20, 20))


@pytest.mark.reference
def test_parity(shared, vectors):
    path = shared / "reference" / "weights" / "io" / "raw_jpeg_adapter_q_95.pth"
    published = mj.import_torch(raw_adapter=path)["io"]["raw_adapter"]
    v = vectors("raw_in_jpeg")
    image = np.float32(v["raw"] / 65535)
    adaptation = choose_raw_adaptation(published, image)
    np.testing.assert_allclose(adaptation.lut, v["lut"], atol=1e-5)
    np.testing.assert_allclose(adaptation.gamma_map, v["gamma_map"], atol=1e-5)
    np.testing.assert_allclose(process_raw(image, adaptation), v["processed"], atol=1e-5)
    stored = np.round(255 * v["processed"]) / np.float32(255)
    restored = restore_raw(stored, RawAdaptation(v["lut"], v["gamma_map"]))
    np.testing.assert_allclose(restored, v["restored_from_8bit"], atol=1e-5)
