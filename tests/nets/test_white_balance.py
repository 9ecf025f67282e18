"""The white-balance networks: their sizes, their parts against definitions, and how they start and learn."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import modisp_jax as mj
from modisp_jax.config import AWB_NETWORKS, PipelineConfig
from modisp_jax.nets.white_balance import (
    INIT,
    MEASURED,
    BatchNorm,
    CameraSpecificNet,
    CrossCameraNet,
    PreferenceNet,
    convolve_circular,
    light_of_probabilities,
)
from modisp_jax.params import count_params, param_shapes
from modisp_jax.tree import flatten

PUBLISHED = {"cross_camera": 171_511, "camera_specific": 4_722, "preference": 539}  # facts, section 12
HISTOGRAMS = np.random.default_rng(0).uniform(size=(48, 48, 4)).astype(np.float32)
CAPTURE = np.linspace(0, 1, 8, dtype=np.float32)
D65 = np.array([0.95047, 1.0, 1.08883], np.float32)


@pytest.fixture(scope="module")
def untrained():
    return mj.init_params(jax.random.key(0), PipelineConfig(None, None, None, AWB_NETWORKS))["awb"]


INPUTS = {"cross_camera": (HISTOGRAMS,), "camera_specific": (HISTOGRAMS, CAPTURE), "preference": (D65,)}
NETS = {"cross_camera": CrossCameraNet(), "camera_specific": CameraSpecificNet(), "preference": PreferenceNet()}
TARGETS = {"cross_camera": [0.4, 0.8, 0.45], "camera_specific": [0.5, 0.6], "preference": [0.6, 0.6, 0.5]}
RATES = {"cross_camera": 1e-3, "camera_specific": 1e-2, "preference": 1e-2}


@functools.partial(jax.jit, static_argnums=0)
def run(name, params, *inputs):
    layers = {layer: value for layer, value in params.items() if layer != "ranges"}
    return NETS[name].apply({"params": layers}, *inputs)


@functools.partial(jax.jit, static_argnums=0)
def loss_and_slopes(name, params):
    return jax.value_and_grad(lambda p: jnp.sum(jnp.square(run(name, p, *INPUTS[name]) - jnp.array(TARGETS[name]))))(
        params
    )


@pytest.mark.parametrize("name", AWB_NETWORKS)
def test_parameter_counts(name):
    assert count_params(jax.eval_shape(INIT[name])) == PUBLISHED[name]
    shapes = param_shapes(PipelineConfig(None, None, None, (name,)))
    measured = sum(np.prod(shape) for path, shape in shapes.items() if path.split("/")[-1] in MEASURED)
    assert (
        measured == {"cross_camera": 2 * (8 + 32), "camera_specific": 2 * 32 + 2 * (2 + 8), "preference": 2 * 16}[name]
    )


def test_untrained_networks_start_neutral(untrained):
    light = run("cross_camera", untrained["cross_camera"], HISTOGRAMS)
    np.testing.assert_allclose(light, np.full(3, 3**-0.5), atol=1e-6)
    ratios = run("camera_specific", untrained["camera_specific"], HISTOGRAMS, CAPTURE)
    np.testing.assert_allclose(ratios, [0.7, 0.7], atol=1e-6)
    for xyz in (D65, np.array([1.1, 1.0, 0.35], np.float32), np.array([0.3, 0.3, 0.3], np.float32)):
        preferred = run("preference", untrained["preference"], xyz)
        np.testing.assert_allclose(preferred, xyz / np.linalg.norm(xyz), atol=1e-6)


@pytest.mark.parametrize("name", AWB_NETWORKS)
def test_training_steps_improve_and_leave_what_is_measured(untrained, name):
    params, losses = untrained[name], []
    for _ in range(3):
        loss, slopes = loss_and_slopes(name, params)
        losses.append(float(loss))
        assert all(np.isfinite(slope).all() for slope in jax.tree.leaves(slopes))
        params = jax.tree.map(lambda x, dx: x - RATES[name] * dx, params, slopes)
    assert losses[2] < losses[1] < losses[0]
    before, after = flatten(untrained[name]), flatten(params)
    for path, value in after.items():
        measured = path.split("/")[-1] in MEASURED
        if measured or path.endswith("kernel"):  # zero kernels at the end keep the first step from the layers before
            assert np.array_equal(value, before[path]) == measured, path


def test_circular_convolution_by_its_definition():
    rng = np.random.default_rng(0)
    x, filters = rng.standard_normal((2, 6, 6, 2)).astype(np.float32)
    expected = sum(
        filters[i, j, k] * np.roll(x[..., k], (i, j), axis=(0, 1)) for i in range(6) for j in range(6) for k in range(2)
    )
    np.testing.assert_allclose(convolve_circular(x, filters), expected, atol=1e-5)


def test_a_certain_light_is_that_of_its_bin():
    p = jnp.zeros((48, 48)).at[10, 30].set(1.0)
    u, v = (30 - 23.5) * 5.7 / 48, (23.5 - 10) * 5.7 / 48
    light = np.array([np.exp(-u), 1, np.exp(-v)])
    np.testing.assert_allclose(light_of_probabilities(p), light / np.linalg.norm(light), rtol=1e-5)
    np.testing.assert_allclose(light_of_probabilities(jnp.full((48, 48), 1 / 2304)), np.full(3, 3**-0.5), rtol=1e-5)


@pytest.mark.parametrize("variance", [4.0, 0.0, -1.0])
def test_batch_norm_by_its_definition(variance):
    params = {"mean": 3.0, "variance": variance, "scale": 2.0, "bias": 0.5}
    y = BatchNorm().apply({"params": {name: jnp.array([value]) for name, value in params.items()}}, jnp.array([5.0]))
    np.testing.assert_allclose(y, [0.5 + 2 * (5 - 3) / np.sqrt(max(variance, 0) + 1e-5)], rtol=1e-6)
