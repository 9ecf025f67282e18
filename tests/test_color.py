"""Laws of the colour transforms, then parity."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from modisp_jax import color

RGB = np.random.default_rng(0).uniform(0, 1, (13, 17, 3)).astype(np.float32)
GREY = np.repeat(np.linspace(0, 1, 33, dtype=np.float32)[:, None], 3, axis=1)
FUNCTIONS = {
    name: getattr(color, name) for name in ("rgb_to_ycbcr", "ycbcr_to_rgb", "luma", "srgb_encode", "srgb_decode")
}


def test_ycbcr_round_trip():
    # The inverse is given to four digits.
    np.testing.assert_allclose(color.ycbcr_to_rgb(color.rgb_to_ycbcr(RGB)), RGB, atol=6e-5)
    np.testing.assert_allclose(color.YCBCR_TO_RGB @ color.RGB_TO_YCBCR, np.eye(3), atol=6e-5)


def test_grey_has_no_chroma_and_stays_grey():
    ycbcr = color.rgb_to_ycbcr(GREY)
    np.testing.assert_allclose(ycbcr[:, 0], GREY[:, 0], atol=1e-7)
    np.testing.assert_allclose(ycbcr[:, 1:], 0, atol=1e-7)
    neutral = np.stack([GREY[:, 0], 0 * GREY[:, 0], 0 * GREY[:, 0]], axis=-1)
    np.testing.assert_array_equal(color.ycbcr_to_rgb(neutral), GREY)


def test_ycbcr_of_primaries_spans_the_cube():
    ycbcr = np.array(color.rgb_to_ycbcr(np.eye(3, dtype=np.float32)))
    np.testing.assert_allclose(ycbcr[:, 0], [0.2126, 0.7152, 0.0722], atol=1e-7)
    assert ycbcr[2, 1] == 0.5
    assert ycbcr[0, 2] == 0.5


def test_apply_matrix_is_the_matrix_product():
    matrix = np.random.default_rng(1).normal(size=(3, 3)).astype(np.float32)
    np.testing.assert_allclose(color.apply_matrix(matrix, RGB), RGB @ matrix.T, atol=1e-6)
    np.testing.assert_array_equal(color.apply_matrix(jnp.eye(3), RGB), RGB)


def test_luma_is_the_weighted_sum():
    np.testing.assert_allclose(color.luma(RGB), RGB @ color.LUMA_601, atol=1e-6)
    np.testing.assert_allclose(color.luma(GREY), 0.9999 * GREY[:, 0], atol=1e-6)
    assert color.luma(RGB).shape == RGB.shape[:2]


def test_srgb_round_trips():
    x = np.linspace(0, 1, 4097, dtype=np.float32)
    np.testing.assert_allclose(color.srgb_decode(color.srgb_encode(x)), x, atol=1e-6)
    np.testing.assert_allclose(color.srgb_encode(color.srgb_decode(x)), x, atol=2e-6)


@pytest.mark.parametrize("name", ["srgb_encode", "srgb_decode"])
def test_srgb_is_monotone_continuous_and_keeps_black_and_white(name):
    function = FUNCTIONS[name]
    x = np.linspace(-0.1, 1.1, 20001, dtype=np.float32)
    y = np.array(function(x))
    assert (np.diff(y) >= -2e-7).all()
    # No step at the joint: nowhere steeper than the steepest slope, 12.92 at black, allows.
    assert np.abs(np.diff(y)).max() < 13 * (x[1] - x[0])
    assert (y[x <= 0] == 0).all()
    np.testing.assert_allclose(y[x >= 1], 1, atol=1e-6)


def test_srgb_known_values():
    # IEC 61966-2-1: mid grey .5 encodes to .735357, code 128/255 decodes to .215861.
    np.testing.assert_allclose(color.srgb_encode(jnp.float32(0.5)), 0.735357, atol=1e-6)
    np.testing.assert_allclose(color.srgb_decode(jnp.float32(128 / 255)), 0.215861, atol=1e-6)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_gradients_are_finite_at_extremes(name):
    values = np.float32([-1e4, -1, -1e-30, -0.0, 0, 1e-40, 1e-8, 0.0031308, 0.04045, 0.5, 1, 1.0001, 1e4])
    x = np.stack(np.meshgrid(values, values, values), axis=-1)
    gradient = jax.jit(jax.grad(lambda x: FUNCTIONS[name](x).sum()))(x)
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize("name", FUNCTIONS)
def test_jit_and_vmap_change_nothing(name):
    function = FUNCTIONS[name]
    plain = function(RGB)
    np.testing.assert_allclose(jax.jit(function)(RGB), plain, atol=2e-7)
    np.testing.assert_allclose(jax.vmap(function)(RGB), plain, atol=2e-7)
    assert plain.dtype == jnp.float32


@pytest.mark.reference
def test_ycbcr_agrees_with_the_published_one(vectors):
    reference = vectors("stage_functions")
    # The reference clips RGB on both sides.
    ycbcr = color.rgb_to_ycbcr(np.clip(reference["ycbcr/rgb"], 0, 1))
    np.testing.assert_allclose(ycbcr, reference["ycbcr/ycbcr"], atol=1e-6)
    back = np.clip(color.ycbcr_to_rgb(reference["ycbcr/ycbcr"]), 0, 1)
    np.testing.assert_allclose(back, reference["ycbcr/back"], atol=1e-6)
