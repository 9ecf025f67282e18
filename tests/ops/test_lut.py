import jax
import jax.numpy as jnp
import numpy as np
import pytest

from modisp_jax.ops import lut as plain
from modisp_jax.ops.lut import identity_chroma_lut, identity_rgb_lut
from tests.samples import EXTREMES

# One program a shape; without jit, each operation would be one.
lookup, map_chroma, map_rgb, chroma_histogram = map(
    jax.jit, (plain.lookup, plain.map_chroma, plain.map_rgb, plain.chroma_histogram)
)

rng = np.random.default_rng(0)
CBCR = (rng.random((40, 60, 2)) - 0.5).astype(np.float32)
RGB = rng.random((40, 60, 3)).astype(np.float32)


def plain_lookup(lut, x):
    """Multilinear interpolation by its definition: hat weights of all nodes. float64."""
    lut, x = np.asarray(lut, np.float64), np.clip(np.asarray(x, np.float64), 0, 1)
    value = lut
    hats = [np.maximum(1 - np.abs(x[:, k, None] * (n - 1) - np.arange(n)), 0) for k, n in enumerate(lut.shape[:-1])]
    if len(hats) == 2:
        return np.einsum("pi,pj,ijc->pc", *hats, value)
    return np.einsum("pi,pj,pk,ijkc->pc", *hats, value)


def test_identity_luts_change_nothing():
    np.testing.assert_allclose(map_chroma(identity_chroma_lut(), CBCR), CBCR, atol=1e-6)
    np.testing.assert_allclose(map_rgb(identity_rgb_lut(), RGB), RGB, atol=1e-6)


def test_axis_zero_is_the_first_coordinate():
    lut = np.zeros((24, 24, 2), np.float32)
    lut[-1, 0] = 1.0  # Cb = .5, Cr = -.5
    assert map_chroma(lut, jnp.array([0.5, -0.5]))[0] == 1.0
    assert map_chroma(lut, jnp.array([-0.5, 0.5]))[0] == 0.0
    red = np.zeros((11, 11, 11, 3), np.float32)
    red[-1, 0, 0] = 1.0
    assert map_rgb(red, jnp.array([1.0, 0.0, 0.0]))[0] == 1.0


@pytest.mark.parametrize("shape", [(24, 24, 2), (11, 11, 11, 3), (2, 5, 1)])
def test_value_and_gradients_match_the_definition(shape):
    d = len(shape) - 1
    lut = rng.standard_normal(shape).astype(np.float32)
    x = rng.random((3000, d)).astype(np.float32)
    weights = rng.standard_normal((3000, shape[-1])).astype(np.float32)
    np.testing.assert_allclose(lookup(lut, x), plain_lookup(lut, x), atol=1e-5)

    d_lut, d_x = jax.jit(jax.grad(lambda lut, x: jnp.sum(lookup(lut, x) * weights), argnums=(0, 1)))(lut, x)
    # The value is linear in the table, so its gradient is exact by any step.
    for node in [(0,) * d, tuple(n // 2 for n in shape[:-1]), tuple(n - 1 for n in shape[:-1])]:
        basis = np.zeros(shape)
        basis[(*node, 0)] = 1.0
        expected = np.sum(plain_lookup(basis, x) * weights)
        np.testing.assert_allclose(d_lut[(*node, 0)], expected, atol=1e-3)
    for k in range(d):
        step = np.zeros(d)
        step[k] = 1e-7
        slope = (plain_lookup(lut, x + step) - plain_lookup(lut, x - step)) / 2e-7
        near_node = np.abs(x[:, k] * (shape[k] - 1) - np.round(x[:, k] * (shape[k] - 1))) < 1e-3
        expected = np.where(near_node, d_x[:, k], np.sum(slope * weights, axis=-1))
        np.testing.assert_allclose(d_x[:, k], expected, rtol=1e-3, atol=2e-2)


def test_outside_reads_the_end_nodes_and_stays_finite():
    lut = identity_chroma_lut()
    x = jnp.asarray(np.stack(np.meshgrid(EXTREMES, EXTREMES), axis=-1).reshape(-1, 2))
    value, gradient = jax.jit(jax.value_and_grad(lambda x: map_chroma(lut, x).sum()))(x)
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()
    np.testing.assert_allclose(map_chroma(lut, x), np.clip(x, -0.5, 0.5), atol=1e-6)


def test_vmap_and_jit():
    luts = rng.standard_normal((3, 24, 24, 2)).astype(np.float32)
    grad = jax.jit(jax.grad(lambda lut: jnp.sum(map_chroma(lut, CBCR) ** 2)))
    loop = np.stack([grad(lut) for lut in luts])
    np.testing.assert_allclose(jax.jit(jax.vmap(grad))(luts), loop, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(map_chroma(luts[0], CBCR), plain.map_chroma(luts[0], CBCR), atol=1e-6)
    np.testing.assert_allclose(map_rgb(identity_rgb_lut(), RGB), plain.map_rgb(identity_rgb_lut(), RGB), atol=1e-6)
    np.testing.assert_allclose(chroma_histogram(CBCR), plain.chroma_histogram(CBCR), atol=1e-6)


def test_lookup_refuses_a_wrong_number_of_coordinates():
    with pytest.raises(ValueError, match="expected 2 coordinates"):
        lookup(jnp.zeros((4, 4, 1)), jnp.zeros((5, 3)))


def test_histogram_sums_to_one_and_follows_chroma():
    histogram = chroma_histogram(CBCR)
    np.testing.assert_allclose(histogram.sum(), 1.0, atol=1e-5)
    one_colour = chroma_histogram(jnp.full((8, 8, 2), jnp.array([0.5, -0.5])))
    assert np.unravel_index(np.argmax(one_colour), one_colour.shape) == (23, 0)


def test_histogram_gradient_is_finite_everywhere():
    gradient = jax.jit(jax.grad(lambda x: jnp.sum(chroma_histogram(x) ** 2)))
    for value in EXTREMES:
        assert np.isfinite(gradient(np.full((4, 4, 2), value))).all()


@pytest.mark.reference
def test_parity(vectors):
    z = vectors("stage_functions")
    # The published arrays are channel first and indexed (Cr, Cb) and (B, G, R).
    chroma = z["chroma_lut/lut"].transpose(2, 1, 0)
    np.testing.assert_allclose(map_chroma(chroma, z["chroma_lut/cbcr"]), z["chroma_lut/out"], atol=1e-6)
    rgb = z["rgb_lut/lut"].transpose(3, 2, 1, 0)
    np.testing.assert_allclose(map_rgb(rgb, z["rgb_lut/rgb"]), z["rgb_lut/out"], atol=1e-6)
    histogram = np.sqrt(chroma_histogram(z["histogram/cbcr"]))
    np.testing.assert_allclose(histogram, z["histogram/hist"], atol=1e-6)
