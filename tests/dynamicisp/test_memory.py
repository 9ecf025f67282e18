"""Laws of the memory of parameter sets and of the losses that train with it."""

import functools

import jax
import numpy as np
import pytest

from modisp_jax.dynamicisp import FunctionParameters, draw_parameters, empty_memory, remember
from modisp_jax.dynamicisp.losses import filtered_mean, pyramid_l1
from modisp_jax.dynamicisp.memory import mean_parameters, remembered
from tests.dynamicisp.samples import compiled

put, mean = compiled(remember), compiled(mean_parameters)


def numbered(numbers, tone=False):
    """A batch of sets that can be told apart."""
    arrays = np.broadcast_to(np.float32(numbers)[:, None, None], (len(numbers), 3, 3))
    return FunctionParameters(*[arrays] * (5 if tone else 4))


def held(memory):
    """The numbers of the sets that a memory holds, and that all functions have the same."""
    found = [p[: int(min(memory.seen, len(p))), 0, 0] for p in jax.tree.leaves(memory.parameters)]
    for other in found[1:]:
        np.testing.assert_array_equal(other, found[0])
    return sorted(found[0].tolist())


@pytest.mark.parametrize("tone", [False, True])
def test_the_oldest_go_first(tone):
    memory, given = empty_memory(jax.tree.map(lambda p: p[0], numbered([0], tone)), 5), []
    assert remembered(memory) == 0
    for count in (2, 2, 0, 2, 5, 13, 1):
        batch = list(range(len(given) + 1, len(given) + 1 + count))
        given += batch
        memory = put(memory, numbered(batch, tone))
        assert held(memory) == given[-5:]
        assert memory.seen == len(given)


def test_a_memory_may_hold_maps():
    batch = jax.tree.map(lambda p: np.broadcast_to(p[:, None, None], (3, 8, 8, 3, 3)), numbered([1, 2, 3]))
    memory = put(empty_memory(jax.tree.map(lambda p: p[0], batch), 2), batch)
    assert memory.parameters.gain.shape == (2, 8, 8, 3, 3)
    drawn = compiled(draw_parameters)(jax.random.key(0), memory)
    assert drawn.color.shape == (8, 8, 3, 3)
    np.testing.assert_array_equal(mean(memory).color, np.full((8, 8, 3, 3), 2.5))


@pytest.mark.parametrize("by_function", [False, True])
def test_draws_are_even_and_of_what_is_there(by_function):
    empty = empty_memory(FunctionParameters(*[np.zeros((3, 3), np.float32)] * 5), 50)
    memory = put(empty, numbered([1, 2, 3, 4], tone=True))
    draw = functools.partial(draw_parameters, by_function=by_function)
    sets = compiled(jax.vmap(draw, (0, None)))(jax.random.split(jax.random.key(1), 4000), memory)
    found = np.stack([p[:, 0, 0] for p in jax.tree.leaves(sets)])
    for row in found:
        numbers, counts = np.unique(row, return_counts=True)
        assert numbers.tolist() == [1, 2, 3, 4]
        np.testing.assert_allclose(counts, 1000, atol=120)  # 4.4 standard deviations
    equal = np.mean(found[:, None] == found, axis=-1)[~np.eye(5, dtype=bool)]
    np.testing.assert_allclose(equal, 0.25 if by_function else 1.0, atol=0.03)


def test_the_mean_is_of_what_is_there():
    memory = empty_memory(jax.tree.map(lambda p: p[0], numbered([0])), 3)
    for batch, expected in (([], 0), ([4, 6], 5), ([8], 6), ([7], 7)):
        memory = put(memory, numbered(batch))
        np.testing.assert_allclose(mean(memory).gamma, np.full((3, 3), expected))
    assert mean(memory).tone is None


def test_a_memory_of_nothing():
    with pytest.raises(ValueError, match="capacity: expected at least 1, got 0"):
        empty_memory(numbered([0]), 0)


def test_no_gradient_passes_through_the_choice():
    """What is kept counts for itself, what is dropped for nothing, even if it is no number; the limit is fixed."""
    real, pseudo = np.float32([1, 2]), np.float32([1.5, 3, np.inf, np.nan])
    (loss, kept), slopes = compiled(jax.value_and_grad(filtered_mean, (0, 1, 2), has_aux=True))(real, pseudo, 1.1)
    np.testing.assert_allclose([loss, kept], [1.5, 0.25])
    np.testing.assert_allclose(slopes[0], [1 / 3] * 2, rtol=1e-6)
    np.testing.assert_allclose(slopes[1], [1 / 3, 0, 0, 0], rtol=1e-6)
    assert slopes[2] == 0


def test_without_pseudo_samples_or_with_perfect_real_ones():
    run, perfect, others = compiled(filtered_mean), np.zeros(2, np.float32), np.float32([0, 1])
    np.testing.assert_array_equal(run(np.float32([1, 3]), np.zeros(0, np.float32), 1.0), [2, 0])
    np.testing.assert_array_equal(run(perfect, others, 1.0), [0, 0.5])
    np.testing.assert_allclose(run(perfect, others, np.inf), [0.25, 1])


def test_coarse_terms_see_no_noise():
    """Noise of mean 0 in every 16 x 16 counts once, an offset four times; no gradient is infinite."""
    sign = np.where(np.indices((64, 128)).sum(0) % 2, 0.1, -0.1)[..., None] * np.ones(3)
    target, run = np.zeros((64, 128, 3), np.float32), compiled(jax.value_and_grad(pyramid_l1))
    for found, loss in ((sign, 0.1), (sign + 0.1, 0.4), (target, 0)):
        value, slope = run(found.astype(np.float32), target)
        np.testing.assert_allclose(value, loss, rtol=1e-5)
        assert np.isfinite(slope).all()


def test_means_are_of_whole_kernels():
    """By hand: each kernel's means of what it covers."""
    off = np.random.default_rng(0).normal(size=(70, 40, 3)).astype(np.float32)
    expected = np.abs(off).mean()
    for k in (16, 32, 40):
        cells = [off[y : y + k, x : x + k].mean((0, 1)) for y in range(0, 71 - k, k) for x in range(0, 41 - k, k)]
        expected += np.abs(cells).mean()
    np.testing.assert_allclose(compiled(pyramid_l1)(off, np.zeros_like(off)), expected, rtol=1e-5)
