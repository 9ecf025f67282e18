"""Laws of the safe functions: finite values and gradients for every float, plain arithmetic in the interior."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modisp_jax import numerics

MAX = float(np.finfo(np.float32).max)
EDGES = [0.0, 1e-45, 1e-40, 1.2e-38, 1e-30, 1.1e-30, 1e-20, 1e-16, 0.9e-8, 1e-8, 1.1e-8, 1e-4, 0.0031308, 0.5, 0.999999]
EDGES += [1.0, 1.000001, 2.0, 15.9, 16.1, 31.9, 32.0, 32.1, 1e4, 1e19, 2e19, 0.99e30, 1.01e30, 1e38, MAX]
EXTREMES = np.unique(np.float32([*EDGES, *(-x for x in EDGES)]))
EXTREMES = np.append(EXTREMES, np.float32(-0.0))
any_float = st.floats(width=32, allow_nan=False, allow_infinity=False)

pytestmark = pytest.mark.optimised  # which floats are flushed to zero is up to the compiler

UNARY = {
    "clip": lambda x: numerics.clip(x, -0.3, 0.7),
    "clip01": numerics.clip01,
    "safe_sqrt": numerics.safe_sqrt,
    "power_0": lambda x: numerics.power(x, 0.0),
    "power_small": lambda x: numerics.power(x, 1e-6),
    "power_display": lambda x: numerics.power(x, 1 / 2.4),
    "power_32": lambda x: numerics.power(x, 32.0),
}
BINARY = {"safe_divide": numerics.safe_divide, "power": numerics.power}


@pytest.mark.parametrize("name", UNARY)
def test_unary_value_and_gradient_are_finite_and_monotone(name):
    x = np.sort(EXTREMES)
    value, slope = jax.jit(jax.vmap(jax.value_and_grad(UNARY[name])))(x)
    assert np.isfinite(value).all()
    assert np.isfinite(slope).all()
    assert (np.diff(value) >= 0).all()
    assert (slope >= 0).all()


@pytest.mark.parametrize("name", BINARY)
def test_binary_value_and_gradients_are_finite(name):
    a, b = (grid.ravel() for grid in np.meshgrid(EXTREMES, EXTREMES))
    value, slopes = jax.jit(jax.vmap(jax.value_and_grad(BINARY[name], (0, 1))))(a, b)
    for part in (value, *slopes):
        assert np.isfinite(part).all()


COMPILED = {name: jax.jit(jax.value_and_grad(f, (0, 1))) for name, f in BINARY.items()}
COMPILED |= {name: jax.jit(jax.value_and_grad(lambda a, b, f=f: f(a) + 0 * b, (0, 1))) for name, f in UNARY.items()}


@settings(max_examples=200, deadline=None)
@given(any_float, any_float)
def test_every_float_gives_finite_values_and_gradients(a, b):
    for function in COMPILED.values():
        value, slopes = function(np.float32(a), np.float32(b))
        assert np.isfinite([value, *slopes]).all()


def test_safe_divide_is_division_in_the_interior():
    a = np.linspace(-5, 5, 41, dtype=np.float32)[:, None]
    b = np.geomspace(1e-7, 1e7, 43, dtype=np.float32)
    np.testing.assert_allclose(numerics.safe_divide(a, b), a / b, rtol=3e-7)
    da, db = jax.vmap(jax.vmap(jax.grad(numerics.safe_divide, (0, 1)), (None, 0)), (0, None))(a[:, 0], b)
    np.testing.assert_allclose(da, np.broadcast_to(1 / b, da.shape), rtol=1e-6)
    np.testing.assert_allclose(db, -a / b**2, rtol=1e-6)


def test_safe_divide_below_eps_divides_by_eps():
    assert numerics.safe_divide(3.0, 0.0) == np.float32(3e8)
    assert numerics.safe_divide(3.0, -1.0) == np.float32(3e8)
    assert numerics.safe_divide(3.0, 0.01, 0.5) == 6.0
    assert jax.grad(numerics.safe_divide, 1)(3.0, 0.01, 0.5) == 0.0


def test_safe_sqrt_is_the_square_root():
    x = np.geomspace(1e-29, 1e30, 101, dtype=np.float32)
    np.testing.assert_allclose(numerics.safe_sqrt(x), np.sqrt(x), rtol=1e-6)
    np.testing.assert_allclose(jax.vmap(jax.grad(numerics.safe_sqrt))(x), 0.5 / np.sqrt(x), rtol=1e-6)
    assert numerics.safe_sqrt(-4.0) == 0.0
    assert jax.grad(numerics.safe_sqrt)(0.0) == 0.0


def test_norm_of_zero_has_gradient_zero():
    gradient = jax.grad(lambda v: numerics.safe_sqrt(jnp.sum(v * v)))(jnp.zeros(3))
    np.testing.assert_array_equal(gradient, np.zeros(3))


def test_power_is_the_power_in_the_interior():
    x = np.geomspace(1e-7, 2, 29, dtype=np.float32)[:, None]
    p = np.linspace(0.05, 8, 31, dtype=np.float32)
    np.testing.assert_allclose(numerics.power(x, p), x.astype(float) ** p, rtol=2e-6, atol=1e-37)
    dx, dp = jax.vmap(jax.vmap(jax.grad(numerics.power, (0, 1)), (None, 0)), (0, None))(x[:, 0], p)
    np.testing.assert_allclose(dx, p * x.astype(float) ** (p - 1), rtol=2e-6, atol=1e-37)
    np.testing.assert_allclose(dp, x.astype(float) ** p * np.log(x), rtol=2e-6, atol=1e-7)


def test_power_at_its_edges():
    assert numerics.power(0.0, 0.0) == 1.0
    assert numerics.power(0.0, 0.4) == 0.0
    assert numerics.power(-2.0, 3.0) == 0.0
    assert numerics.power(0.5, 40.0) == numerics.power(0.5, 32.0)
    assert numerics.power(0.5, -1.0) == 1.0
    assert numerics.power(1e6, 32.0) == np.float32(numerics.HUGE)
    assert jax.grad(numerics.power)(0.0, 0.4) == 0.0
    # Held at 1e-8: .4 * (1e-8)^-.6, not .4 * (1e-20)^-.6.
    np.testing.assert_allclose(jax.grad(numerics.power)(1e-20, 0.4), 0.4 * 1e-8**-0.6, rtol=1e-5)


@pytest.mark.parametrize(("x", "slope"), [(-0.1, 0), (0, 1), (0.5, 1), (1, 1), (1.1, 0)])
def test_a_clip_passes_the_gradient_whole_at_its_bounds(x, slope):
    assert jax.grad(numerics.clip01)(float(x)) == slope


@pytest.mark.parametrize("p", [0.0, 32.0])
def test_power_passes_the_exponents_gradient_at_its_bounds(p):
    assert jax.grad(numerics.power, 1)(0.9, p) != 0.0


def test_clip_hands_its_gradient_to_the_bound_that_holds():
    assert jax.grad(numerics.clip, (0, 1, 2))(-1.0, 0.0, 1.0) == (0.0, 1.0, 0.0)
    assert jax.grad(numerics.clip, (0, 1, 2))(2.0, 0.0, 1.0) == (0.0, 0.0, 1.0)


@pytest.mark.parametrize("name", BINARY)
def test_forward_mode_agrees_with_reverse(name):
    a, b = jnp.float32(0.3), jnp.float32(0.7)
    slopes = jax.grad(BINARY[name], (0, 1))(a, b)
    tangents = [jax.jvp(BINARY[name], (a, b), t)[1] for t in [(1.0, 0.0), (0.0, 1.0)]]
    np.testing.assert_allclose(tangents, slopes, rtol=1e-6)


@pytest.mark.parametrize("name", BINARY)
def test_broadcasting_gradients_have_the_arguments_shapes(name):
    a, b = jnp.full((4, 3), 0.5), jnp.full((3,), 0.25)
    da, db = jax.grad(lambda a, b: BINARY[name](a, b).sum(), (0, 1))(a, b)
    assert da.shape == a.shape
    assert db.shape == b.shape
