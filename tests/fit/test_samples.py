"""A batch's losses sample by sample are those of the batch at once."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from modisp_jax.dynamicisp.losses import filtered_mean
from modisp_jax.fit import samples
from modisp_jax.fit.samples import at_once, each_loss

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


@pytest.mark.parametrize("cores", [1, 4, 9, 100])
def test_losses_and_gradient_are_those_of_the_batch_at_once(cores, monkeypatch):
    """However many of the six samples are taken together."""
    monkeypatch.setattr(samples, "cores", lambda: cores)
    found, expected = (
        jax.jit(jax.value_and_grad(functools.partial(weighted, functools.partial(each, one)), has_aux=True))(PARAMS)
        for each in (each_loss, at_once)
    )
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6), found, expected)
    plain = jax.jit(functools.partial(each_loss, one))(PARAMS, IMAGES, KEYS)  # nothing differentiated
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
        losses, _ = each_loss(one, params, spoilt, KEYS)
        return jnp.where(WEIGHTS != 0, WEIGHTS * losses, 0.0).sum()

    found = jax.grad(total)(PARAMS)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(found))


def mean_of_filtered(run, beta, real, one=one):
    def total(params):
        losses, other = run(one, params, IMAGES, KEYS)
        mean, kept = filtered_mean(losses[:real], losses[real:], beta)
        return mean, (losses, other, kept)

    return jax.jit(jax.value_and_grad(total, has_aux=True))(PARAMS)


@pytest.mark.parametrize("cores", [1, 6])
@pytest.mark.parametrize("real", [1, 2, 6])
@pytest.mark.parametrize("beta", [0.0, 0.9, 1.1, float("inf")])
def test_a_filtered_batch_is_that_of_the_batch_at_once(beta, real, cores, monkeypatch):
    monkeypatch.setattr(samples, "cores", lambda: cores)
    in_turn = functools.partial(each_loss, filtered=(real, beta))
    found, expected = (mean_of_filtered(run, beta, real) for run in (in_turn, at_once))
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6), found, expected)


@pytest.mark.parametrize("beta", [0.0, 0.9, 1.1, float("inf")])
def test_what_the_filter_leaves_out_is_not_differentiated(beta, monkeypatch):
    monkeypatch.setattr(samples, "cores", lambda: 1)
    differentiated = []

    @jax.custom_vjp
    def noted(x):
        return x

    def backward(_, cotangent):
        jax.debug.callback(lambda: differentiated.append(1))
        return (cotangent,)

    noted.defvjp(lambda x: (x, None), backward)

    def with_note(params, image, key):
        loss, other = one(params, image, key)
        return noted(loss), other

    (_, (losses, _, kept)), _ = mean_of_filtered(functools.partial(each_loss, filtered=(2, beta)), beta, 2, with_note)
    jax.effects_barrier()
    assert len(differentiated) == 2 + round(4 * float(kept))
    assert len(differentiated) == 2 + int((losses[2:] <= beta * losses[:2].mean()).sum())
