import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modisp_jax.ops.tone_curve import tone_curve
from tests.samples import EXTREMES

X = np.linspace(0, 1, 401, dtype=np.float32)
finite = st.floats(width=32, allow_nan=False, allow_infinity=False)


def test_identity_at_neutral_coefficients():
    np.testing.assert_allclose(tone_curve(X, 1.0, 1.0, 1.0), X, atol=1e-7)


@settings(deadline=None)
@given(st.floats(0, 32, width=32), st.floats(0, 32, width=32), st.floats(0, 100, width=32))
def test_monotone_and_within_bounds(a, b, c):
    y = np.asarray(tone_curve(X, a, b, c))
    assert np.all(np.diff(y) >= -1e-6)
    assert y.min() >= 0
    assert y.max() <= 1


def test_black_and_white_are_fixed_points():
    assert tone_curve(0.0, 1.3, 0.8, 0.5) < 1e-6
    assert tone_curve(1.0, 1.3, 0.8, 0.5) > 1 - 1e-6


def test_white_with_weight_over_one_keeps_the_second_floor():
    # (c * eps)^b is not 0: the published value that no vector shows (facts, section 5).
    np.testing.assert_allclose(tone_curve(1.0, 1.0, 0.05, 10.0), 0.691236, atol=1e-6)


@settings(deadline=None)
@given(finite, finite, finite, finite)
def test_finite_value_and_gradient_for_every_float(x, a, b, c):
    value, gradient = jax.value_and_grad(tone_curve, argnums=(0, 1, 2, 3))(*(jnp.float32(v) for v in (x, a, b, c)))
    assert np.isfinite([value, *gradient]).all()


def test_finite_for_all_pairs_of_extremes():
    x, a, c = (v.ravel() for v in np.meshgrid(EXTREMES, EXTREMES, EXTREMES))
    for b in EXTREMES:
        total = lambda *args: tone_curve(*args).sum()  # noqa: E731
        grads = jax.grad(total, argnums=(0, 1, 2, 3))(x, a, np.full_like(a, b), c)
        assert all(np.isfinite(g).all() for g in grads)


def test_gradient_matches_finite_differences():
    point = np.array([0.37, 1.4, 0.7, 0.6])
    gradient = jax.grad(lambda p: tone_curve(*p))(jnp.asarray(point, jnp.float32))

    def exact(p):
        x, a, b, c = p
        return x**a / (x**a + (c * (1 - x)) ** b + 1e-8)

    steps = 1e-6 * np.eye(4)
    expected = [(exact(point + step) - exact(point - step)) / 2e-6 for step in steps]
    np.testing.assert_allclose(gradient, expected, rtol=1e-4)


def test_jit_and_vmap_change_nothing():
    abc = np.array([[1.0, 1.0, 1.0], [2.0, 0.5, 0.3]], np.float32)
    curve = lambda p: tone_curve(X, *p)  # noqa: E731
    loop = np.stack([curve(p) for p in abc])
    np.testing.assert_allclose(jax.vmap(curve)(abc), loop, atol=1e-7)
    np.testing.assert_allclose(jax.jit(curve)(abc[1]), loop[1], atol=1e-7)


@pytest.mark.reference
@pytest.mark.parametrize("case", range(6))
def test_parity(vectors, case):
    z = vectors("stage_functions")
    y = tone_curve(z["tone_curve/x"], *z[f"tone_curve/{case}/abc"])
    np.testing.assert_allclose(y, z[f"tone_curve/{case}/y"], atol=1e-6)
