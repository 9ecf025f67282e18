"""What incomplete sets lack: recovery of what is known, optimality, and inputs that say nothing."""

import numpy as np
import pytest

from train.pseudo import apply_polynomial_map, fit_ccm, fit_polynomial_map, gray_world, polynomial_terms

CCM = np.array([[0.7, 0.3, 0.0], [0.1, 0.75, 0.15], [0.0, 0.4, 0.6]])


def colors(seed=0, shape=(24, 20, 3)):
    return np.random.default_rng(seed).random(shape)


def feasible(matrix):
    return np.isfinite(matrix).all() and (matrix >= 0).all() and np.allclose(matrix.sum(axis=1), 1, atol=1e-12)


def test_terms_are_those_of_the_paper():
    terms = polynomial_terms(np.array([2.0, 3.0, 5.0]))
    np.testing.assert_array_equal(terms, [2, 3, 5, 6, 10, 15, 4, 9, 25, 30, 1])


def test_a_polynomial_is_recovered():
    srgb, rng = colors(), np.random.default_rng(1)
    known = rng.uniform(0, 0.08, (11, 3))
    raw = polynomial_terms(srgb**2.2) @ known
    found = fit_polynomial_map(srgb, raw)
    np.testing.assert_allclose(found, known, atol=1e-8)
    clean = apply_polynomial_map(found, srgb)
    assert clean.dtype == np.float32
    np.testing.assert_allclose(clean, raw, atol=1e-6)


def test_the_map_removes_noise_and_leaves_saturated_pixels_out():
    srgb = colors(shape=(60, 60, 3))
    light = 0.9 * srgb**2.2 @ CCM.T
    raw = light + 0.03 * np.random.default_rng(2).standard_normal(light.shape)
    srgb[:9], raw[9:12] = 1.0, 1.0
    clean = apply_polynomial_map(fit_polynomial_map(srgb, raw), srgb)
    assert np.abs(clean - light)[12:].mean() < 0.1 * np.abs(raw - light)[12:].mean()


def test_a_flat_picture_still_has_a_map():
    srgb, raw = np.full((9, 9, 3), 0.5), np.full((9, 9, 3), 0.2)
    np.testing.assert_allclose(apply_polynomial_map(fit_polynomial_map(srgb, raw), srgb), raw, atol=1e-6)


def test_big_pictures_are_fitted_on_a_subset():
    srgb = colors(shape=(700, 720, 3))
    found = fit_polynomial_map(srgb, 0.5 * srgb**2.2)
    np.testing.assert_allclose(found[:3], 0.5 * np.eye(3), atol=1e-9)


@pytest.mark.parametrize(
    ("srgb", "raw", "message"),
    [
        (np.ones((9, 9, 3)), np.ones((9, 9, 3)), "not saturated, got 0"),
        (np.ones((9, 9, 3)), np.ones((9, 8, 3)), "one shape"),
        (np.ones((9, 9)), np.ones((9, 9)), "one shape"),
        (np.full((9, 9, 3), np.nan), np.ones((9, 9, 3)), "finite"),
    ],
)
def test_bad_input(srgb, raw, message):
    with pytest.raises(ValueError, match=message):
        fit_polynomial_map(srgb, raw)


def test_gray_world():
    light = np.array([0.5, 1.0, 0.7])
    np.testing.assert_allclose(gray_world(np.full((4, 5, 1), 0.3, np.float32) * light), light, rtol=1e-6)
    assert gray_world(colors())[1] == 1
    with pytest.raises(ValueError, match="light in every channel"):
        gray_world(np.zeros((4, 4, 3)))


def test_a_known_matrix_is_recovered():
    x = colors()
    np.testing.assert_allclose(fit_ccm(x, x @ CCM.T), CCM, atol=1e-10)
    np.testing.assert_allclose(fit_ccm(x, x), np.eye(3), atol=1e-10)


@pytest.mark.parametrize("seed", range(5))
def test_no_feasible_matrix_is_better(seed):
    rng = np.random.default_rng(seed)
    x = colors(seed) * rng.uniform(0.05, 1, 3)
    outside = np.array([[1.7, -0.5, -0.2], [-0.2, 1.5, -0.3], [0.0, -0.6, 1.6]]) + 0.5 * rng.standard_normal((3, 3))
    y = x @ outside.T + 0.1 * rng.standard_normal(x.shape)
    found = fit_ccm(x, y)
    assert feasible(found)
    loss = ((x @ found.T - y) ** 2).sum(axis=(0, 1))
    near = np.maximum(found + 1e-3 * rng.standard_normal((100, 3, 3)), 0)
    others = np.concatenate([rng.dirichlet([0.5] * 3, (200, 3)), near / near.sum(axis=-1, keepdims=True)])
    other_losses = ((np.einsum("hwc,nkc->nhwk", x, others) - y) ** 2).sum(axis=(1, 2))
    assert (loss <= other_losses.min(axis=0) + 1e-9).all()


@pytest.mark.parametrize(
    "x",
    [
        np.full((6, 6, 3), [0.2, 0.5, 0.3]),  # one colour
        np.repeat(colors(shape=(6, 6, 1)), 3, axis=-1),  # greys
        np.zeros((6, 6, 3)),
        1e-20 * colors(shape=(6, 6, 3)),
        1e20 * colors(shape=(6, 6, 3)),
    ],
    ids=["one colour", "greys", "black", "tiny", "huge"],
)
def test_degenerate_colours_give_a_feasible_matrix(x):
    for y in (x, x @ CCM.T, colors(1, (6, 6, 3)), np.zeros((6, 6, 3))):
        assert feasible(fit_ccm(x, y))


def test_one_colour_is_still_fitted():
    x = np.full((6, 6, 3), [0.2, 0.5, 0.3])
    y = np.full((6, 6, 3), [0.35, 0.25, 0.45])
    np.testing.assert_allclose(x @ fit_ccm(x, y).T, y, atol=1e-9)
