"""Operators that are skipped at strength 0 and differentiable all the same."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from modisp_jax.ops.skip import unless_zero
from tests import samples


@unless_zero
def brighten(image, gain, offset, *, power=1.0):
    # Not the identity at 0 bit by bit, so that the tests see which branch ran.
    return image * (1.0 + gain) ** power + offset + 1e-3


IMAGE = jnp.asarray(samples.photo(6, 8))


@pytest.mark.parametrize("compile_", [lambda f: f, jax.jit])
def test_zero_returns_the_image_itself_and_anything_else_runs_the_operator(compile_):
    run = compile_(brighten)
    np.testing.assert_array_equal(run(IMAGE, 0.0, 0.0), IMAGE)
    np.testing.assert_array_equal(run(IMAGE, -0.0, 0.0), IMAGE)
    np.testing.assert_allclose(run(IMAGE, 0.5, 0.0), 1.5 * IMAGE + 1e-3, rtol=1e-6)
    np.testing.assert_allclose(run(IMAGE, 0.0, 1e-30), IMAGE + 1e-3, rtol=1e-6)
    np.testing.assert_allclose(brighten(IMAGE, 0.5, 0.0, power=2.0), 2.25 * IMAGE + 1e-3, rtol=1e-6)


def test_one_program_serves_both():
    run = jax.jit(lambda *arguments: brighten(*arguments))
    run(IMAGE, jnp.float32(0), jnp.float32(0))
    run(IMAGE, jnp.float32(1), jnp.float32(0))
    assert run._cache_size() == 1
    assert "conditional" in run.lower(IMAGE, 0.0, 0.0).compile().as_text()


def total(gain, offset, image):
    return jnp.sum(brighten(image, gain, offset) * jnp.arange(1.0, 1.0 + image.size).reshape(image.shape))


@pytest.mark.parametrize("compile_", [lambda f: f, jax.jit])
@pytest.mark.parametrize("gain", [0.0, 0.3])
def test_the_derivative_is_the_operators_own_at_zero_too(compile_, gain):
    weights = jnp.arange(1.0, 1.0 + IMAGE.size).reshape(IMAGE.shape)
    d_gain, d_offset, d_image = compile_(jax.grad(total, (0, 1, 2)))(gain, 0.0, IMAGE)
    np.testing.assert_allclose(d_gain, (IMAGE * weights).sum(), rtol=1e-5)
    np.testing.assert_allclose(d_offset, weights.sum(), rtol=1e-6)
    np.testing.assert_allclose(d_image, (1 + gain) * weights, rtol=1e-6)
    _, tangent = jax.jvp(lambda g: total(g, 0.0, IMAGE), (gain,), (1.0,))
    np.testing.assert_allclose(tangent, (IMAGE * weights).sum(), rtol=1e-5)


def test_vmap_chooses_for_each_image():
    gains = jnp.array([0.0, 0.5, 0.0])
    images = jnp.stack([IMAGE, IMAGE, 0.5 * IMAGE])
    loop = jnp.stack([brighten(image, gain, 0.0) for image, gain in zip(images, gains, strict=True)])
    np.testing.assert_allclose(jax.vmap(brighten, (0, 0, None))(images, gains, 0.0), loop, rtol=1e-6)
    gradients = jax.vmap(jax.grad(total), (0, None, 0))(gains, 0.0, images)
    for gradient, gain, image in zip(gradients, gains, images, strict=True):
        np.testing.assert_allclose(gradient, jax.grad(total)(gain, 0.0, image), rtol=1e-5)


def test_operators_with_a_rule_of_their_own_can_be_skipped():
    @jax.custom_vjp
    def scale(x, s):
        return x * (1.0 + s)

    scale.defvjp(lambda x, s: (x * (1.0 + s), (x, s)), lambda kept, g: (g * (1.0 + kept[1]), (g * kept[0]).sum()))
    gradient = jax.jit(jax.grad(lambda s: unless_zero(scale)(IMAGE, s).sum()))(0.0)
    np.testing.assert_allclose(gradient, IMAGE.sum(), rtol=1e-6)


def test_bad_strengths_are_refused():
    with pytest.raises(ValueError, match="brighten: expected one strength or more, got none"):
        brighten(IMAGE)
    with pytest.raises(ValueError, match=r"brighten: expected scalar strengths, got shapes \[\(2,\), \(\)\]"):
        brighten(IMAGE, jnp.zeros(2), 0.0)
