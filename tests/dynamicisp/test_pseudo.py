"""Laws of pairs from ordinary photos."""

import dataclasses
import functools

import jax
import numpy as np
import pytest

from modisp_jax.dynamicisp import (
    PseudoConfig,
    apply_functions,
    empty_memory,
    photo_to_raws,
    predict_functions,
    pseudo_pair,
    remember,
    remember_used,
    render_functions,
)
from tests.dynamicisp.samples import SMALL, compiled, gentle, network

PLAIN = PseudoConfig(isp=SMALL)
KEYS = jax.random.split(jax.random.key(0), 6)

split = compiled(jax.vmap(lambda key: jax.random.split(key, 3)))

make = compiled(jax.vmap(pseudo_pair, (None, None, None, 0, None)), static_argnums=4)
undo = compiled(jax.vmap(lambda memory, photo, key: photo_to_raws(memory, photo, key, config=SMALL), (None, None, 0)))


@pytest.fixture(scope="module")
def memory():
    sets = gentle(0, (20,))
    return compiled(remember)(empty_memory(jax.tree.map(lambda p: p[0], sets), 30), sets)


@pytest.fixture(scope="module")
def photo():
    return np.float32(np.random.default_rng(0).uniform(0.2, 0.6, (8, 11, 3)))


def test_one_photo_to_many_raws(memory, photo):
    """Each with the parameters that take it back, which are some of the memory's."""
    raws, drawn = undo(memory, photo, KEYS)
    assert raws.shape == (len(KEYS), *photo.shape)
    assert len(np.unique(raws[:, 0, 0, 0])) > 2
    for k in range(len(KEYS)):
        assert (memory.parameters.color == drawn.color[k]).all(axis=(1, 2)).any()
    again = compiled(jax.vmap(apply_functions))(drawn, raws)
    clear = ((raws > 0) & (raws < 1)).all(axis=(1, 2, 3))
    assert clear.any()
    np.testing.assert_allclose(again[clear], np.broadcast_to(photo, again[clear].shape), atol=1e-5)


def test_what_the_network_used_is_remembered(photo):
    raws = np.stack([photo * level for level in (0.1, 0.3, 1.0)])
    start = empty_memory(jax.tree.map(lambda p: p[0], gentle(0, (1,))), 4)
    memory = compiled(functools.partial(remember_used, config=SMALL))(network(), start, raws)
    used = compiled(jax.vmap(functools.partial(predict_functions, config=SMALL), (None, 0)))(network(), raws)
    assert int(memory.seen) == 3
    for held, expected in zip(jax.tree.leaves(memory.parameters), jax.tree.leaves(used), strict=True):
        np.testing.assert_allclose(held[:3], expected, atol=1e-6)


def test_a_pair(memory, photo):
    """The target has the wanted look: that which the network gives to a raw of the photo."""
    raw, target = make(network(), memory, photo, KEYS, PLAIN)
    assert raw.shape == target.shape == (len(KEYS), *photo.shape)
    sources, _ = undo(memory, photo, split(KEYS)[:, 0])
    look = compiled(jax.vmap(lambda raw: render_functions(network(), raw, config=SMALL)))
    np.testing.assert_allclose(target, look(sources), atol=1e-5)
    # Noise and mixing are of the raw alone; and a map of one cell is as parameters for all of the photo.
    config = dataclasses.replace(PLAIN, local=False, by_function=True, noise=(0.01, 0.0002))
    other, same = make(network(), memory, photo, KEYS, config)
    np.testing.assert_allclose(same, target, atol=2e-5)
    assert (np.abs(other - raw).max(axis=(1, 2, 3)) > 0.01).all()
    for part in (raw, other, target):
        assert np.isfinite(part).all()
        assert part.min() >= 0
        assert part.max() <= 1


def test_without_quality_update_the_photo_is_the_target(memory, photo):
    raw, target = make(network(), memory, photo, KEYS, dataclasses.replace(PLAIN, quality_update=False))
    np.testing.assert_array_equal(target, np.broadcast_to(photo, target.shape))
    np.testing.assert_allclose(raw, undo(memory, photo, split(KEYS)[:, 1])[0], atol=1e-6)


def test_functions_may_be_mixed(memory, photo):
    """With parameters drawn function by function, no set of the memory takes the raw back to the photo."""
    config = dataclasses.replace(PLAIN, quality_update=False, by_function=True)
    raw, _ = make(network(), memory, photo, KEYS, config)
    again = compiled(jax.vmap(jax.vmap(apply_functions, (None, 0)), (0, None)))(memory.parameters, raw)
    assert np.abs(again - photo)[:20].max(axis=(2, 3, 4)).min() > 1e-3


def test_pairs_have_no_gradient(memory, photo):
    def total(net, photo, memory):
        return sum(part.sum() for part in pseudo_pair(net, memory, photo, KEYS[0], PLAIN))

    slopes = compiled(jax.grad(total, (0, 1)))(network(), photo, memory)
    assert all((leaf == 0).all() for leaf in jax.tree.leaves(slopes))
