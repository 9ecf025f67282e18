"""The image-adaptive look-up table: what its parts do, that it knows its picture, and that it is a part of a set."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from modisp_jax.checkpoints import load_params, save_params
from modisp_jax.config import PipelineConfig
from modisp_jax.nets import lut3d
from modisp_jax.params import check_params, config_of, count_params, init_params
from tests.samples import EXTREMES, photo

CONFIG = PipelineConfig(None, None, None, lut3d=True)
NODES = np.linspace(0, 1, lut3d.TABLE_NODES, dtype=np.float32)
GRID = np.array([*itertools.product(NODES, repeat=3)], np.float32).reshape(27, 27, 3)
"""All nodes of the table, as a picture of encoded values."""

apply = jax.jit(lut3d.apply)


@pytest.fixture(scope="module")
def params():
    return init_params(jax.random.key(0), CONFIG)["lut3d"]


def changed(params, layer, **values):
    return params | {layer: params[layer] | {name: jnp.asarray(x, jnp.float32) for name, x in values.items()}}


def at_nodes(params):
    return np.asarray(apply(params, GRID**2.2))


def test_it_starts_as_gamma(params):
    np.testing.assert_allclose(at_nodes(params), GRID, atol=1e-6)
    image = photo(27, 27)
    np.testing.assert_allclose(apply(params, image), image ** (1 / 2.2), atol=1e-6)


def test_tables_make_it_darker_and_greyer(params):
    """By the weights alone, exactly at the nodes."""
    found = at_nodes(changed(params, "weights", bias=[1, 0.5, 0]))
    np.testing.assert_allclose(found, 0.5 * (GRID + GRID**2), atol=1e-6)
    found = at_nodes(changed(params, "weights", bias=[1, 0, 0.25]))
    np.testing.assert_allclose(found, 0.75 * GRID + 0.25 * GRID.mean(axis=-1, keepdims=True), atol=1e-6)


def test_each_channel_has_a_curve_ahead_of_the_table(params):
    nodes = np.linspace(0, 1, lut3d.CURVE_NODES)
    exponents = np.array([0.7, 1.0, 1.6])
    found = at_nodes(changed(params, "curves", bias=(nodes[:, None] ** exponents).ravel()))
    np.testing.assert_allclose(found, GRID**exponents, atol=1e-6)
    encoded = photo(27, 27, seed=1)
    found = apply(changed(params, "curves", bias=(nodes[:, None] ** exponents).ravel()), encoded**2.2)
    wanted = [np.interp(encoded[..., c], nodes, nodes ** exponents[c]) for c in range(3)]
    np.testing.assert_allclose(found, np.stack(wanted, axis=-1), atol=1e-5)


def test_every_picture_gets_its_own_table(params):
    """Which goes with what the picture shows, not with how large it is."""
    kernel = np.random.default_rng(0).normal(size=params["weights"]["kernel"].shape)
    steered = changed(params, "weights", kernel=kernel)
    image = photo(27, 27)
    own = np.asarray(apply(steered, image))
    assert np.abs(own - np.asarray(apply(params, image))).max() > 0.01
    corner = np.array(image)
    corner[14:] *= 0.2
    assert np.abs(np.asarray(apply(steered, corner))[:14] - own[:14]).max() > 1e-3
    large = jax.jit(lut3d.apply)(steered, np.repeat(np.repeat(image, 3, axis=0), 3, axis=1))
    np.testing.assert_allclose(large[1::3, 1::3], own, atol=0.01)


def test_any_float_is_rendered(params):
    values = np.resize(EXTREMES, (27, 27, 3)).astype(np.float32)
    found = np.asarray(apply(params, values))
    np.testing.assert_allclose(found, np.clip(values, 0, 1) ** (1 / 2.2), atol=1e-5)


def test_all_of_it_is_trained_from_the_start(params):
    """Black and white among the pixels; the convolutions, behind heads that start at zero, from the second step on."""
    image = photo(12, 12)
    image[:2], image[2:4] = 0, 1
    slopes = jax.jit(jax.grad(lambda p: jnp.mean((lut3d.apply(p, image) - 0.3) ** 2)))
    first = slopes(params)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(first))
    for part in (first["tables"], *first["curves"].values(), *first["weights"].values()):
        assert np.abs(part).max() > 0
    moved = jax.tree.map(lambda p, slope: p - 0.1 * slope, params, first)
    assert all(np.abs(slopes(moved)[f"conv{k}"]["kernel"]).max() > 0 for k in range(len(lut3d.WIDTHS)))


def test_it_is_a_part_of_a_parameter_set(params, tmp_path):
    whole = {"lut3d": params}
    assert config_of(whole) == CONFIG
    check_params(whole)
    assert count_params(whole) == sum(np.size(leaf) for leaf in jax.tree.leaves(params))
    save_params(tmp_path / "lut.safetensors", whole)
    jax.tree.map(np.testing.assert_array_equal, load_params(str(tmp_path / "lut.safetensors")), whole)
    with pytest.raises(ValueError, match=r"lut3d/tables: expected shape \(3, 9, 9, 9, 3\), got \(2, 9, 9, 9, 3\)"):
        check_params({"lut3d": params | {"tables": params["tables"][:2]}})
