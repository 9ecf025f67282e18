"""Curves and exponents for raw in JPEG: laws that hold for any coefficients, and worked values."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from modisp_jax.ops import raw_adapter as plain
from tests.samples import EXTREMES, photo

NODES = 129
# One program a shape; without jit, each operation would be one.
curve_nodes, apply_adaptation, undo_adaptation = map(
    jax.jit, (plain.curve_nodes, plain.apply_adaptation, plain.undo_adaptation)
)


def coefficients(seed=0):
    rng = np.random.default_rng(seed)
    lut = rng.normal(-1, 1, (3, NODES)).astype(np.float32)
    return lut, rng.uniform(0.3, 2.0, (7, 9, 1)).astype(np.float32)


@pytest.mark.parametrize(
    "lut", [np.zeros((3, NODES)), coefficients()[0], np.resize(EXTREMES, (3, NODES)), np.full((3, NODES), -3e38)]
)
def test_curves_never_fall(lut):
    nodes = np.asarray(curve_nodes(jnp.asarray(lut, jnp.float32)))
    assert (np.diff(nodes, axis=1) >= 0).all()
    assert (nodes[:, 0] == 0).all()
    assert ((nodes[:, -1] > 1 - 1e-6) | (lut.max(axis=1) < -20)).all()


def test_worked_curve():
    # Steps log 2 and log 4 after the first node: a third of the way up at the middle.
    nodes = curve_nodes(jnp.asarray(np.tile([5.0, 0.0, np.log(3.0)], (3, 1)), jnp.float32))
    np.testing.assert_allclose(nodes, np.tile([0, 1 / 3, 1], (3, 1)), atol=1e-6)
    image = jnp.full((2, 2, 3), 0.25)
    out = apply_adaptation(image, jnp.asarray(np.tile([5.0, 0.0, np.log(3.0)], (3, 1))), jnp.full((1, 1, 1), 0.5))
    np.testing.assert_allclose(out, np.sqrt(1 / 6), atol=1e-6)


def test_equal_steps_and_exponents_of_one_change_nothing():
    image = photo(20, 30)
    out = apply_adaptation(image, jnp.zeros((3, NODES)), jnp.ones((5, 5, 1)))
    np.testing.assert_allclose(out, image, atol=1e-6)
    np.testing.assert_allclose(undo_adaptation(image, jnp.zeros((3, NODES)), jnp.ones((5, 5, 1))), image, atol=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_round_trip(seed):
    image = 0.01 + 0.99 * photo(33, 41, seed)  # what a high exponent takes under 1e-8 does not come back
    back = undo_adaptation(apply_adaptation(image, *coefficients(seed)), *coefficients(seed))
    np.testing.assert_allclose(back, image, atol=2e-6)


def test_both_ways_never_fall():
    ramp = jnp.asarray(np.broadcast_to(np.linspace(0, 1, 500, dtype=np.float32)[None, :, None], (1, 500, 3)))
    lut, _ = coefficients()
    for function in (apply_adaptation, undo_adaptation):
        out = np.asarray(function(ramp, lut, jnp.full((1, 1, 1), 0.45)))
        assert (np.diff(out, axis=1) > -1e-7).all()
        assert ((out >= 0) & (out <= 1)).all()


@pytest.mark.parametrize("function", [apply_adaptation, undo_adaptation])
def test_any_numbers_have_a_finite_value_and_gradient(function):
    image = jnp.asarray(np.resize(EXTREMES, (9, 11, 3)))
    lut, gamma = np.resize(EXTREMES[::-1], (3, NODES)), np.resize(EXTREMES, (4, 5, 1))
    total = jax.jit(jax.value_and_grad(lambda *x: function(*x).sum(), argnums=(0, 1, 2)))
    for one in ((image, *coefficients()), (image, jnp.asarray(lut), jnp.asarray(gamma))):
        value, gradients = total(*one)
        assert np.isfinite(value)
        assert all(np.isfinite(gradient).all() for gradient in gradients)


def test_gradients_are_those_of_finite_differences():
    image, (lut, gamma) = jnp.asarray(0.1 + 0.8 * photo(12, 12)), coefficients()
    for function in (apply_adaptation, undo_adaptation):
        of_gamma = jax.jit(lambda g: function(image, lut, g * gamma).mean())  # noqa: B023
        slope = (of_gamma(1.001) - of_gamma(0.999)) / 0.002
        np.testing.assert_allclose(jax.grad(of_gamma)(1.0), slope, rtol=1e-2)
        of_lut = jax.jit(lambda t: function(image, lut + t * jnp.linspace(-1, 1, NODES), gamma).mean())  # noqa: B023
        slope = (of_lut(0.002) - of_lut(-0.002)) / 0.004
        np.testing.assert_allclose(jax.grad(of_lut)(0.0), slope, rtol=1e-2)


def test_jit_changes_nothing():
    image, (lut, gamma) = photo(20, 30), coefficients()
    there, back = apply_adaptation(image, lut, gamma), undo_adaptation(image, lut, gamma)
    np.testing.assert_allclose(there, plain.apply_adaptation(image, lut, gamma), atol=1e-6)
    np.testing.assert_allclose(back, plain.undo_adaptation(image, lut, gamma), atol=1e-6)
