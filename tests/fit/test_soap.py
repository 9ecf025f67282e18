"""SOAP: Adam that does not depend on the basis in which a matrix is written, and the steps that this saves."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from modisp_jax.fit.soap import LARGEST, scale_by_soap

BETAS = 0.9, 0.99


def turn(n, seed):
    """An orthogonal matrix [n, n]."""
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(n, n)))[0].astype(np.float32)


def gradients(shape, count=6):
    return [np.random.default_rng(seed).normal(size=shape).astype(np.float32) for seed in range(count)]


def updates(transform, some):
    """What a transformation makes of gradients, one after the other."""
    state, found = transform.init(jnp.zeros_like(some[0])), []
    step = jax.jit(transform.update)
    for gradient in some:
        update, state = step(gradient, state)
        found.append(update)
    return found


@pytest.mark.parametrize("shape", [(7,), (1, 1), (), (LARGEST + 1, 1)])
def test_what_has_no_side_to_turn_has_adams_steps(shape):
    some = gradients(shape)
    got, want = (updates(transform(*BETAS), some) for transform in (scale_by_soap, optax.scale_by_adam))
    for a, b in zip(got, want, strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-6, atol=0)


def test_the_basis_in_which_a_matrix_is_written_does_not_count():
    left, right = turn(6, 1), turn(6, 2)
    plain = updates(scale_by_soap(*BETAS), gradients((6, 6)))
    turned = updates(scale_by_soap(*BETAS), [left @ g @ right.T for g in gradients((6, 6))])
    for i, (a, b) in enumerate(zip(plain, turned, strict=True)):
        # In its own basis all of the first gradient's numbers but six are rounding, which the floor leaves small.
        np.testing.assert_allclose(left @ a @ right.T, b, rtol=0, atol=2e-5 if i else 0.05)
    adam = updates(optax.scale_by_adam(*BETAS), [left @ g @ right.T for g in gradients((6, 6))])
    assert np.abs(np.asarray(adam) - np.asarray(turned)).max() > 0.3


def test_the_first_step_has_all_directions_alike():
    (gradient,) = gradients((5, 5), 1)
    (update,) = updates(scale_by_soap(*BETAS), [gradient])
    u, _, vt = np.linalg.svd(gradient)
    np.testing.assert_allclose(update, u @ vt, atol=0.05)


def test_a_kernel_is_the_matrix_of_its_taps():
    kernels = gradients((3, 3, 4, 5))
    plain = updates(scale_by_soap(*BETAS), [g.reshape(36, 5) for g in kernels])
    for a, b in zip(updates(scale_by_soap(*BETAS), kernels), plain, strict=True):
        np.testing.assert_array_equal(a.reshape(36, 5), b)


def test_a_side_that_is_too_long_is_not_turned():
    state = scale_by_soap(*BETAS).init({"w": jnp.zeros((LARGEST + 1, 3))})
    assert state.leaves["w"].left == ()
    assert [x.shape for x in state.leaves["w"].right] == [(3, 3), (3, 3)]


@pytest.mark.parametrize("scale", [0.0, 1e-15, 1e15])
def test_steps_are_finite_and_held(scale):
    some = [scale * g for g in gradients((8, 3))]
    beta1, beta2 = BETAS
    bound = (1 - beta1) / math.sqrt((1 - beta2) * (1 - beta1**2 / beta2))
    for update in updates(scale_by_soap(*BETAS), some):
        size = np.abs(np.linalg.svd(update, compute_uv=False)).max()
        assert size <= (0 if scale == 0 else bound * math.sqrt(24))


def test_curvature_in_a_turned_basis_takes_fewer_steps_than_adams():
    left, right = turn(12, 3), turn(5, 4)
    target = np.random.default_rng(5).normal(size=(12, 5)).astype(np.float32)
    weights = np.logspace(0, -3, 12, dtype=np.float32)[:, None] * np.logspace(0, -1, 5, dtype=np.float32)

    def loss(w):
        return 0.5 * jnp.sum(jnp.square(weights * (left.T @ w @ right - target)))

    def least(transform):
        transform = optax.chain(transform, optax.scale_by_learning_rate(optax.cosine_decay_schedule(3e-2, 300)))

        def step(carry, _):
            w, state = carry
            value, gradient = jax.value_and_grad(loss)(w)
            update, state = transform.update(gradient, state)
            return (w + update, state), value

        w = jnp.zeros((12, 5))
        return jax.lax.scan(step, (w, transform.init(w)), length=300)[1][-1]

    assert least(scale_by_soap(*BETAS)) < 0.1 * least(optax.scale_by_adam(*BETAS))
