"""Separable filters against sums written out."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from modisp_jax.ops import separable
from modisp_jax.ops.separable import blur3, gaussian_taps

filter_reflect, filter_zero = jax.jit(separable.filter_reflect), jax.jit(separable.filter_zero)


def written_out(plane, taps, mode):
    radius = len(taps) // 2
    h, w = plane.shape
    options = {"mode": "reflect"} if mode == "reflect" else {}
    padded = np.pad(np.asarray(plane, np.float64), radius, **options)
    rows = sum(taps[i] * padded[i : i + h] for i in range(len(taps)))
    return sum(taps[i] * rows[:, i : i + w] for i in range(len(taps)))


# Few taps and many take different ways; a block of the product has 128 pixels.
SIZES = [((20, 31), 2), ((40, 300), 15), ((60, 50), 16), ((150, 301), 40), ((200, 210), 80)]


@pytest.mark.parametrize(("size", "radius"), SIZES)
def test_filters_are_the_sums_they_stand_for(size, radius):
    plane = np.random.default_rng(radius).random(size).astype(np.float32)
    taps = np.asarray(gaussian_taps(radius / 2.5, radius))
    np.testing.assert_allclose(filter_zero(plane, taps), written_out(plane, taps, "zero"), atol=1e-6)
    if radius < min(size):
        np.testing.assert_allclose(filter_reflect(plane, taps), written_out(plane, taps, "reflect"), atol=1e-6)


def test_three_taps_in_one_pass():
    plane = np.random.default_rng(0).random((9, 12)).astype(np.float32)
    taps = np.asarray(gaussian_taps(1.0, 1))
    np.testing.assert_allclose(blur3(jnp.pad(plane, 1)), written_out(plane, taps, "zero"), atol=1e-6)


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (3, 2)])
def test_windows_larger_than_the_plane_keep_a_constant(size):
    np.testing.assert_allclose(filter_reflect(jnp.full(size, 0.3), gaussian_taps(4.0, 10)), 0.3, atol=1e-6)


@pytest.mark.parametrize("radius", [3, 20])
def test_the_gradient_is_the_transpose(radius):
    rng = np.random.default_rng(1)
    plane, other = (jnp.asarray(rng.random((30, 45)), jnp.float32) for _ in range(2))

    @jax.jit
    @functools.partial(jax.value_and_grad, argnums=(0, 1))
    def product(plane, sigma):
        return (filter_reflect(plane, gaussian_taps(sigma, radius)) * other).sum()

    sigma = radius / 2.5
    value, (d_plane, d_sigma) = product(plane, sigma)
    np.testing.assert_allclose((d_plane * plane).sum(), value, rtol=1e-5)
    slope = (product(plane, sigma + 0.05)[0] - product(plane, sigma - 0.05)[0]) / 0.1
    np.testing.assert_allclose(d_sigma, slope, rtol=2e-2, atol=5e-3)


def test_jit_changes_nothing():
    plane, taps = np.random.default_rng(0).random((40, 50)).astype(np.float32), gaussian_taps(4.0, 10)
    np.testing.assert_allclose(filter_reflect(plane, taps), separable.filter_reflect(plane, taps), atol=1e-6)
