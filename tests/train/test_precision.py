"""bfloat16 compute: nearly the loss of float32, float32 gradients, and closed-form stages that keep all digits."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from modisp_jax.config import NAFNetConfig, PhotofinishConfig, PipelineConfig, RenderConfig
from modisp_jax.look import finish_by_networks
from modisp_jax.params import init_params
from modisp_jax.stages import restore
from modisp_jax.tree import flatten
from modisp_jax.types import Edits, as_float32
from tests.samples import photo
from train.precision import for_compute

NAFNET = NAFNetConfig(4, (1,), 1, (1,))
PHOTOFINISH = PhotofinishConfig(rgb_lut=True, grid_input=128)


def trained(config, seed=0):
    """Parameters with no layer at zero, as after some training."""
    params = init_params(jax.random.key(seed), config)
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda leaf: leaf + 0.02 * rng.standard_normal(leaf.shape, np.float32), params)


def denoising(params, dtype):
    x = jnp.asarray(photo(16, 24))
    output = restore.denoise(for_compute(params, dtype)["denoise"], x, NAFNET)
    return jnp.mean(jnp.square(output - 0.9 * x)), output


def photofinishing(params, dtype):
    x = jnp.asarray(photo(16, 24))
    params = for_compute(params, dtype)["photofinish"]
    look, finished = finish_by_networks(params, x, as_float32(Edits()), RenderConfig())
    return jnp.mean(jnp.square(finished.srgb - x)), (look, finished)


def test_float32_changes_nothing():
    params = trained(PipelineConfig(NAFNET, None, None))
    assert for_compute(params, "float32") is params


def test_layers_are_cast_and_tables_are_not():
    params = trained(PipelineConfig(NAFNET, PHOTOFINISH, NAFNET))
    computed = jax.eval_shape(lambda: for_compute(params, "bfloat16"))
    cast = {name: leaf.dtype == jnp.bfloat16 for name, leaf in flatten(computed).items()}
    kept = {name for name, is_cast in cast.items() if not is_cast}
    heads = {name for name in cast if "/head/" in name}
    assert len(heads) == 14
    assert kept == heads | {"photofinish/chroma/base_lut_cbcr", "photofinish/rgb_lut/table"}


def all_float32(*trees):
    leaves = jax.tree.leaves(trees)
    return all(leaf.dtype == jnp.float32 and np.isfinite(leaf).all() for leaf in leaves)


def test_denoising_has_nearly_the_loss_and_gradient_of_float32():
    params = trained(PipelineConfig(NAFNET, None, None))
    step = jax.jit(jax.value_and_grad(denoising, has_aux=True), static_argnums=1)
    (expected, _), exact = step(params, "float32")
    (value, output), gradient = step(params, "bfloat16")
    assert all_float32(value, output, gradient)
    assert value != expected
    np.testing.assert_allclose(value, expected, rtol=0.01)
    flat, other = (np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(tree)]) for tree in (gradient, exact))
    assert flat @ other > 0.99 * np.linalg.norm(flat) * np.linalg.norm(other)
    np.testing.assert_allclose(np.linalg.norm(flat), np.linalg.norm(other), rtol=0.05)


@pytest.mark.slow
def test_photofinishing_has_nearly_the_loss_of_float32():
    """Its coefficients and images are float32: only the networks' bodies are not."""
    params = trained(PipelineConfig(None, PHOTOFINISH, None))
    (value, made), gradient = jax.jit(jax.value_and_grad(photofinishing, has_aux=True), static_argnums=1)(
        params, "bfloat16"
    )
    expected, (look, _) = jax.jit(photofinishing, static_argnums=1)(params, "float32")
    assert all_float32(value, made, gradient)
    assert all(np.any(leaf) for leaf in jax.tree.leaves(gradient["photofinish"]["ltm"]))
    np.testing.assert_allclose(value, expected, rtol=0.03)
    np.testing.assert_allclose(made[0].gain, look.gain, rtol=0.02)
    np.testing.assert_array_equal(made[0].rgb_lut, look.rgb_lut)


def test_the_identity_stays_exact():
    """An untrained denoiser adds nothing to the float32 image."""
    params = init_params(jax.random.key(0), PipelineConfig(NAFNET, None, None))
    _, output = jax.jit(denoising, static_argnums=1)(params, "bfloat16")
    np.testing.assert_array_equal(output, photo(16, 24))
