"""Trees as vectors: what is packed comes back, and what is done to all numbers alike is done to each leaf."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from modisp_jax.fit import vectors
from modisp_jax.fit.vectors import alike, norm, pack, unpack

TREE = {
    "a": jnp.arange(6.0).reshape(2, 3),
    "b": {"c": jnp.asarray(-1.5), "d": jnp.asarray([2.0, 0.25], jnp.bfloat16)},
    "e": jnp.arange(5.0) - 9.0,
}
NUMBERS = [0, 1, 2, 3, 4, 5, -1.5, 2, 0.25, -9, -8, -7, -6, -5]


def assert_same(got, want):
    assert jax.tree.structure(got) == jax.tree.structure(want)
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
        assert (a.shape, a.dtype) == (b.shape, b.dtype)
        np.testing.assert_array_equal(a, b)


@pytest.fixture(params=["kernels", "XLA"], autouse=True)
def path(request, monkeypatch):
    """By the kernels, and as on other devices."""
    monkeypatch.setattr(vectors, "LEAST", 0 if request.param == "kernels" else 1000)


@pytest.mark.parametrize("wrap", [lambda f: f, jax.jit])
def test_what_is_packed_comes_back(wrap):
    vector = wrap(pack)(TREE)
    np.testing.assert_array_equal(vector, NUMBERS)
    assert vector.dtype == jnp.float32
    assert_same(wrap(lambda v: unpack(v, TREE))(vector), TREE)


def test_a_batch_is_a_loop():
    batch = jax.tree.map(lambda x: jnp.stack([x, 2 * x, x - 1]), TREE)
    vectors = jax.jit(jax.vmap(pack))(batch)
    loop = [pack(jax.tree.map(lambda x, i=i: x[i], batch)) for i in range(3)]
    np.testing.assert_array_equal(vectors, loop)
    assert_same(jax.jit(jax.vmap(lambda v: unpack(v, TREE)))(vectors), batch)
    # Beside one leaf that all share.
    some = jax.vmap(lambda x: pack({"a": x, "b": TREE["e"]}))(batch["a"])
    np.testing.assert_array_equal(some[2], [*np.arange(-1.0, 5.0), *TREE["e"]])


@pytest.mark.parametrize("tree", [{}, {"a": jnp.zeros((0, 3)), "b": jnp.ones(2)}])
def test_nothing_is_a_vector_too(tree):
    assert_same(unpack(pack(tree), tree), tree)


def test_alike_is_a_map_over_leaves():
    other = jax.tree.map(lambda x: 3 * x + 1, TREE)
    function = lambda x, y: x * y - 2  # noqa: E731
    assert_same(jax.jit(lambda *trees: alike(function, *trees))(TREE, other), jax.tree.map(function, TREE, other))


def test_a_norm_of_many_numbers_is_exact():
    numbers = np.random.default_rng(0).uniform(0.5, 1.5, 2**20).astype(np.float32)
    np.testing.assert_allclose(jax.jit(norm)(numbers), np.linalg.norm(numbers.astype(np.float64)), rtol=1e-6)
    assert not np.isfinite(norm(jnp.asarray([1.0, np.nan])))
