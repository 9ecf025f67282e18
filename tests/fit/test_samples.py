"""A batch's losses sample by sample are those of the batch at once."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from modisp_jax.fit import samples
from modisp_jax.fit.samples import _in_turn, at_once, each_loss

RNG = np.random.default_rng(0)
PARAMS = {"a": jnp.asarray(RNG.normal(size=(3, 4)), jnp.float32), "b": [jnp.float32(0.5)]}
IMAGES = jnp.asarray(RNG.normal(size=(6, 5, 3)), jnp.float32)
KEYS = jax.random.split(jax.random.key(0), 6)
WEIGHTS = jnp.asarray([1.0, 0.0, -2.0, 0.5, 3.0, -0.25])


def one(params, image, key):
    found = jnp.sin(image @ params["a"] + jax.random.uniform(key)) * params["b"][0]
    return jnp.mean(jnp.square(found)), {"largest": found.max(), "first": found[0]}


def weighted(run, params, images=IMAGES):
    """As a filter weights samples; by what there is beside the loss nothing is differentiated."""
    losses, other = run(params, images, KEYS)
    return jnp.vdot(WEIGHTS, losses), (losses, other)


@pytest.mark.parametrize("run", [each_loss, _in_turn])
@pytest.mark.parametrize("cores", [1, 4, 9, 100])
def test_losses_and_gradient_are_those_of_the_batch_at_once(run, cores, monkeypatch):
    """However many of the six samples are taken together."""
    monkeypatch.setattr(samples, "cores", lambda: cores)
    found, expected = (
        jax.jit(jax.value_and_grad(functools.partial(weighted, functools.partial(each, one)), has_aux=True))(PARAMS)
        for each in (run, at_once)
    )
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6), found, expected)
    plain = jax.jit(functools.partial(run, one))(PARAMS, IMAGES, KEYS)  # nothing differentiated
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6), plain, expected[0][1])


@pytest.mark.parametrize("run", [each_loss, at_once])
def test_what_a_loss_closes_over_may_be_an_argument_of_the_program(run):
    def total(params, offset):
        shifted = lambda p, image, key: one(p, image + offset, key)  # noqa: E731
        return weighted(functools.partial(run, shifted), params)[0]

    gradient = jax.jit(jax.grad(total))(PARAMS, jnp.float32(0.25))
    expected = jax.grad(lambda p: weighted(functools.partial(at_once, one), p, IMAGES + 0.25)[0])(PARAMS)
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6), gradient, expected)


def test_samples_are_data():
    gradient = jax.grad(lambda images: weighted(functools.partial(each_loss, one), PARAMS, images)[0])(IMAGES)
    np.testing.assert_array_equal(gradient, 0)


def test_the_gradient_has_the_parameters_type():
    halved = jax.tree.map(lambda x: x.astype(jnp.bfloat16), PARAMS)
    gradient = jax.grad(lambda p: weighted(functools.partial(each_loss, one), p)[0])(halved)
    assert {leaf.dtype for leaf in jax.tree.leaves(gradient)} == {jnp.dtype(jnp.bfloat16)}


def test_a_sample_of_no_weight_need_not_be_finite():
    """Its gradient is no number; the filter's weight for it is 0."""
    spoilt = IMAGES.at[1].set(jnp.nan)
    assert WEIGHTS[1] == 0

    def total(params):
        losses, _ = _in_turn(one, params, spoilt, KEYS)
        return jnp.where(WEIGHTS != 0, WEIGHTS * losses, 0.0).sum()

    found = jax.grad(total)(PARAMS)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(found))
