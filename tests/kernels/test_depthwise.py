"""Sums of depthwise convolutions by the CPU kernels, and their gradients, against what XLA makes of the same taps."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from modisp_jax.kernels import depthwise as kernels
from modisp_jax.nets.layers import depthwise, pad_reflect

BRANCHES = {
    "one of 3, as it is": ((3,), (1,), 1.0),
    "one of 5, dilated and activated": ((5,), (2,), 0.01),
    "three": ((3, 3, 5), (1, 2, 1), 0.01),
}


def arrays_for(size, channels, sizes, dilations, seed=0):
    """A padded image, kernels and biases."""
    rng = np.random.default_rng(seed)
    radius = max(k // 2 * d for k, d in zip(sizes, dilations, strict=True))
    image = pad_reflect(jnp.asarray(rng.standard_normal((*size, channels), np.float32)), radius)
    kernels = tuple(jnp.asarray(0.3 * rng.standard_normal((k, k, channels), np.float32)) for k in sizes)
    return image, kernels, tuple(jnp.asarray(0.3 * rng.standard_normal(channels, np.float32)) for _ in sizes)


def value_and_gradient(run):
    """Value and gradients by all arrays of a sum that weighs every pixel differently."""

    def total(*arrays):
        y = run(*arrays)
        return jnp.sum(y * jnp.cos(jnp.arange(y.size, dtype=jnp.float32).reshape(y.shape))), y

    return jax.value_and_grad(total, argnums=(0, 1, 2), has_aux=True)


def assert_close(got, want):
    """To the rounding of sums over thousands of pixels."""
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-5 * max(1.0, np.abs(b).max()))


@pytest.mark.parametrize("branches", BRANCHES)
@pytest.mark.parametrize(("size", "channels"), [((1, 1), 1), ((2, 9), 3), ((17, 5), 8), ((70, 130), 12)])
def test_it_is_what_xla_computes(size, channels, branches, by_xla):
    """Images of one part and of two, of fewer channels than are taken at a time and of more."""
    sizes, dilations, slope = BRANCHES[branches]
    arrays = arrays_for(size, channels, sizes, dilations)
    run = value_and_gradient(functools.partial(depthwise, dilations=dilations, slope=slope))
    assert_close(jax.jit(run)(*arrays), by_xla(run, *arrays))


@pytest.mark.parametrize("cores", [1, 5])
def test_a_batch_is_one_call_on_any_number_of_cores(cores, monkeypatch):
    monkeypatch.setattr(kernels, "cores", lambda: cores)
    sizes, dilations, slope = BRANCHES["three"]
    batch = [arrays_for((9, 11), 11, sizes, dilations, seed) for seed in range(3)]
    run = value_and_gradient(functools.partial(depthwise, dilations=dilations, slope=slope))
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *batch)
    program = jax.jit(jax.vmap(run))
    assert program.lower(*stacked).as_text().count("modisp_depthwise") == 2
    loop = jax.tree.map(lambda *leaves: jnp.stack(leaves), *(jax.jit(run)(*arrays) for arrays in batch))
    assert_close(program(*stacked), loop)
    # Kernels that all images share, whose gradients are sums over them.
    shared = lambda x: run(x, *batch[0][1:])  # noqa: E731
    assert_close(
        jax.jit(jax.vmap(shared))(stacked[0]),
        [jnp.stack(leaves) for leaves in zip(*map(jax.tree.leaves, map(jax.jit(shared), stacked[0])), strict=True)],
    )


def test_the_gradient_has_a_gradient():
    sizes, dilations, slope = BRANCHES["three"]
    image, kernels, biases = arrays_for((6, 7), 2, sizes, dilations)

    def steepness(k):
        slopes = jax.grad(lambda x: jnp.sum(jnp.sin(depthwise(x, k, biases, dilations=dilations, slope=slope))))(image)
        return jnp.sum(jnp.square(slopes))

    gradient = jax.jit(jax.grad(steepness))(kernels)
    step = jax.tree.map(lambda g: 1e-3 * g / jnp.linalg.norm(g), gradient)
    ahead, behind = (steepness(jax.tree.map(lambda k, s, sign=sign: k + sign * s, kernels, step)) for sign in (1, -1))
    expected = sum(float(jnp.vdot(g, s)) for g, s in zip(gradient, step, strict=True))
    np.testing.assert_allclose(ahead - behind, 2 * expected, rtol=0.02)


def test_other_sizes_are_refused():
    arrays = arrays_for((6, 7), 2, (7,), (1,))
    with pytest.raises(ValueError, match="expected kernels of 3 or 5 pixels a side, got 7"):
        depthwise(*arrays, dilations=(1,), slope=0.01)
