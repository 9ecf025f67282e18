"""The gradient of a convolution by its kernel, by the CPU kernel, against sums over the pixels in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from modisp_jax.kernels import convolution_gradient as kernels
from modisp_jax.nets.layers import convolve


def arrays_for(size, inputs, outputs, seed=0):
    """An image and a gradient by what it is convolved to."""
    rng = np.random.default_rng(seed)
    return tuple(jnp.asarray(rng.standard_normal((*size, c), np.float32)) for c in (inputs, outputs))


def sums_of_products(x, dy, size):
    """``sum_p x[p + o, c] dy[p, d]``, an offset after the other."""
    height, width = x.shape[:2]
    padded = np.pad(np.asarray(x, np.float64), ((size // 2,) * 2,) * 2 + ((0, 0),))
    shifted = [padded[i : i + height, j : j + width] for i in range(size) for j in range(size)]
    sums = [np.einsum("hwc,hwd->cd", part, np.asarray(dy, np.float64)) for part in shifted]
    return np.reshape(sums, (size, size, x.shape[-1], dy.shape[-1]))


def assert_close(got, want):
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-6 * max(1.0, np.abs(want).max()))


@pytest.mark.parametrize("size", [1, 3, 5, 7])
@pytest.mark.parametrize(
    ("shape", "inputs", "outputs"), [((1, 1), 1, 1), ((2, 9), 3, 4), ((17, 5), 8, 2), ((70, 130), 2, 9)]
)
def test_it_is_the_sum_of_products(shape, inputs, outputs, size):
    """Images lower than the kernel and of several bands, channels by the four and not."""
    x, dy = arrays_for(shape, inputs, outputs)
    run = lambda x, dy: kernels.kernel_gradient(x, dy, size)  # noqa: E731
    got = jax.jit(run)(x, dy)
    assert_close(got, sums_of_products(x, dy, size))
    np.testing.assert_array_equal(got, run(x, dy))


@pytest.mark.parametrize("cores", [1, 5])
def test_a_batch_is_one_call_on_any_number_of_cores(cores, monkeypatch):
    monkeypatch.setattr(kernels, "cores", lambda: cores)
    monkeypatch.setattr(kernels, "LEAST", 0)
    batch = [arrays_for((13, 6), 3, 5, seed) for seed in range(3)]
    x, dy = (jnp.stack(arrays) for arrays in zip(*batch, strict=True))
    run = lambda x, dy: kernels.kernel_gradient(x, dy, 3)  # noqa: E731
    program = jax.jit(jax.vmap(run))
    assert program.lower(x, dy).as_text().count("modisp_convolution") == 1
    for got, pair in zip(program(x, dy), batch, strict=True):
        assert_close(got, sums_of_products(*pair, 3))
    # One image for all gradients, and one gradient for all images.
    for got, one in zip(jax.vmap(run, (None, 0))(x[0], dy), dy, strict=True):
        assert_close(got, sums_of_products(x[0], one, 3))
    for got, one in zip(jax.vmap(run, (0, None))(x, dy[0]), x, strict=True):
        assert_close(got, sums_of_products(one, dy[0], 3))


def test_the_gradient_has_a_gradient():
    x, dy = arrays_for((6, 7), 2, 3)
    kernel = jnp.asarray(np.random.default_rng(1).standard_normal((3, 3, 2, 3), np.float32))

    def steepness(x):
        slopes = jax.grad(lambda k: jnp.sum(jnp.sin(convolve(x, k)) * dy))(kernel)
        return jnp.sum(jnp.square(slopes))

    gradient = jax.jit(jax.grad(steepness))(x)
    step = 1e-2 * gradient / jnp.linalg.norm(gradient)
    np.testing.assert_allclose(steepness(x + step) - steepness(x - step), 2 * jnp.vdot(gradient, step), rtol=0.02)


def test_bfloat16_is_summed_in_float32():
    """In bfloat16 training may keep its kernels; their gradients are, too."""
    x, dy = (array.astype(jnp.bfloat16) for array in arrays_for((40, 50), 4, 8))
    kernel = jnp.zeros((3, 3, 4, 8), jnp.bfloat16)
    got = jax.grad(lambda k: jnp.vdot(convolve(x, k), dy))(kernel)
    assert got.dtype == jnp.bfloat16
    want = sums_of_products(x.astype(jnp.float32), dy.astype(jnp.float32), 3)
    np.testing.assert_allclose(np.asarray(got, np.float64), want, rtol=2**-8, atol=1e-6)
