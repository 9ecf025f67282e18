"""Laws of GlobalNet's closed forms: exact identities, order kept, finite values and gradients for every float."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from modisp_jax.config import ParamISPConfig
from modisp_jax.nets.paramisp import neutral_coefficients
from modisp_jax.paramisp import stages
from modisp_jax.paramisp.stages import LIMIT
from tests.samples import EXTREMES

# One program a shape; without jit, each operation would be one.
apply_global = jax.jit(stages.apply_global, static_argnames="residual")
curve, quadratic = jax.jit(stages.curve), jax.jit(stages.quadratic)

FLOATS = np.concatenate([EXTREMES, -EXTREMES, [LIMIT, -LIMIT, 1e-6, -1e-6, 0.3, 1.7]]).astype(np.float32)


def test_identities_are_exact_for_every_float():
    first, second = np.meshgrid(FLOATS, FLOATS)
    x = jnp.asarray(np.stack([first, second, 0 * first], -1))
    x = jnp.where(jnp.abs(x) < 1.2e-38, 0.0, x)  # XLA takes subnormal numbers for 0
    np.testing.assert_array_equal(curve(x, jnp.zeros((3, 3))), x)
    np.testing.assert_array_equal(apply_global(jnp.zeros((2, 39)), x, residual=True), x)
    config = ParamISPConfig(stages=3)
    np.testing.assert_array_equal(apply_global(jnp.asarray(neutral_coefficients(config)), x, residual=False), x)


def test_a_neutral_curve_has_its_exponent():
    x = jnp.linspace(0, 1, 33)[:, None] * jnp.ones(3)
    found = apply_global(jnp.asarray(neutral_coefficients(ParamISPConfig(), 1 / 2.2)), x, residual=False)
    np.testing.assert_allclose(found[1:], x[1:] ** (1 / 2.2), rtol=1e-5)


def finite(function, *arguments):
    """Whether values and gradients of a function of arrays are finite at all of a batch of arguments."""

    def total(*arguments):
        return jnp.sum(function(*arguments) * 1e-3)

    values = jax.jit(jax.vmap(function))(*arguments)
    slopes = jax.jit(jax.vmap(jax.grad(total, argnums=tuple(range(len(arguments))))))(*arguments)
    return all(np.isfinite(x).all() for x in jax.tree.leaves((values, slopes)))


@pytest.mark.parametrize("function", [quadratic, curve], ids=["quadratic", "curve"])
def test_every_float_has_a_finite_value_and_gradient(function):
    rng = np.random.default_rng(0)
    shape = (10, 3) if function is quadratic else (3, 3)
    # Every float as a colour and as a coefficient, mixed at random.
    colors = rng.choice(FLOATS, (400, 3))
    weights = rng.choice(FLOATS, (400, *shape))
    weights[:100] = rng.normal(0, 0.3, (100, *shape))
    colors[100:200] = rng.uniform(-0.5, 1.5, (100, 3))
    assert finite(function, jnp.asarray(colors, jnp.float32), jnp.asarray(weights, jnp.float32))


def test_a_curve_is_monotone_and_keeps_black_and_white():
    rng = np.random.default_rng(1)
    x = jnp.sort(jnp.asarray(rng.uniform(-2, 3, 400), jnp.float32))[:, None] * jnp.ones(3)
    for weights in jnp.asarray(rng.normal(0, 1, (20, 3, 3)), jnp.float32):
        y = curve(x, weights)
        assert (jnp.diff(y, axis=0) >= -1e-5 * jnp.abs(y[1:])).all()
        np.testing.assert_allclose(curve(jnp.array([[0.0] * 3, [1.0] * 3]), weights), [[0] * 3, [1] * 3], atol=1e-6)


def test_a_curve_is_the_papers_formula():
    rng = np.random.default_rng(2)
    weights = rng.normal(0, 0.6, (3, 3))
    x = rng.uniform(-0.5, 1.5, (50, 3))
    gamma, beta, alpha = np.exp(weights[0]), np.abs(weights[1]), np.exp(weights[2])
    s = lambda t: np.sign(t) * np.abs(t) ** gamma  # noqa: E731
    expected = (s(alpha * x + beta) - s(beta)) / (s(alpha + beta) - s(beta))
    np.testing.assert_allclose(
        curve(jnp.asarray(x, jnp.float32), jnp.asarray(weights, jnp.float32)), expected, atol=2e-5
    )


def test_every_coefficient_learns_from_the_start():
    x = jnp.asarray(np.random.default_rng(3).uniform(0.1, 0.9, (20, 3)), jnp.float32)
    slopes = jax.jit(jax.grad(lambda c: jnp.sum(apply_global(c, x, residual=False))))
    start = jnp.asarray(neutral_coefficients(ParamISPConfig(stages=1), 2.2))
    assert (jnp.abs(slopes(start))[:, :36] > 1e-3).all()
    # Without a shift the curve does not depend on its scale alpha, the last three; with the first step there is one.
    assert (jnp.abs(slopes(start.at[:, 33:36].set(0.01))) > 1e-3).all()


def test_jit_changes_nothing():
    rng = np.random.default_rng(4)
    x, weights = (jnp.asarray(rng.uniform(-0.5, 1.5, shape), jnp.float32) for shape in ((50, 3), (10, 3)))
    np.testing.assert_allclose(quadratic(x, weights), stages.quadratic(x, weights), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(curve(x, weights[:3]), stages.curve(x, weights[:3]), rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(stages.apply_global(jnp.zeros((2, 39)), x, residual=True), x)
