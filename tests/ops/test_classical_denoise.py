"""Classical denoising of luma and chroma, ours and published."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from modisp_jax.color import rgb_to_ycbcr, ycbcr_to_rgb
from modisp_jax.ops.classical_denoise import (
    denoise_luma_chroma,
    published_denoise_luma_chroma,
    published_denoise_ycbcr,
)
from tests import samples

ours = jax.jit(denoise_luma_chroma)
published = jax.jit(published_denoise_luma_chroma)


def linear(height, width, seed=0):
    return (0.02 + 0.8 * samples.photo(height, width, seed) ** 2.2).astype(np.float32)


def noisy(clean, seed=0, variance=0.002):
    """Adds noise that grows with light, as a sensor's does."""
    noise = np.random.default_rng(seed).standard_normal(clean.shape) * np.sqrt(variance * (clean + 0.01))
    return np.clip(clean + noise, 0, 1).astype(np.float32)


def planes(rgb):
    return np.asarray(rgb_to_ycbcr(jnp.asarray(rgb)))


def test_zero_is_the_identity_bit_by_bit():
    image = linear(40, 56)
    np.testing.assert_array_equal(ours(image, 0.0, 0.0), image)
    np.testing.assert_array_equal(published(image, 0.0, 0.0), image)


def test_one_strength_leaves_the_other_plane():
    image = linear(40, 56)
    luma, chroma = planes(ours(image, 1.0, 0.0)), planes(ours(image, 0.0, 1.0))
    before = planes(image)
    np.testing.assert_allclose(luma[..., 1:], before[..., 1:], atol=1e-6)
    np.testing.assert_allclose(chroma[..., 0], before[..., 0], atol=1e-4)  # published matrices are inverse to 5e-5
    assert np.abs(luma[..., 0] - before[..., 0]).max() > 0.01
    assert np.abs(chroma[..., 1:] - before[..., 1:]).max() > 0.01


def test_noise_goes_and_edges_stay():
    clean = np.full((160, 200, 3), 0.05, np.float32) * np.array([1.2, 1.0, 0.7], np.float32)
    clean[:, 100:] = np.array([0.5, 0.4, 0.2], np.float32)
    image = noisy(clean)
    before, out, truth = planes(image), planes(ours(image, 1.0, 1.0)), planes(clean)
    for side in (slice(10, 90), slice(110, 190)):
        error = [np.std((x - truth)[20:140, side], axis=(0, 1)) for x in (before, out)]
        assert error[1][0] < 0.5 * error[0][0]
        assert (error[1][1:] < 0.25 * error[0][1:]).all()
    step = np.abs(np.diff(out[20:140].mean(axis=0), axis=0)).argmax(axis=0)
    np.testing.assert_array_equal(step, 99)  # the edge is where it was ...
    jump = out[20:140, 101:104].mean(axis=(0, 1)) - out[20:140, 96:99].mean(axis=(0, 1))
    expected = truth[0, 150] - truth[0, 50]
    np.testing.assert_allclose(jump, expected, rtol=0.15)  # ... and as high, in chroma too


def test_the_published_chroma_bleeds_over_edges_and_fades_at_the_frame():
    clean = np.full((3000, 64, 3), 0.1, np.float32)[:120]  # as high as the published radius needs
    clean = np.repeat(clean, 2, axis=1) * np.array([2.0, 1.0, 0.5], np.float32)
    border = lambda x: planes(x)[0, :, 2].mean() / planes(clean)[0, :, 2].mean()  # noqa: E731
    assert border(published(clean, 0.0, 1.0)) < 0.9
    np.testing.assert_allclose(border(ours(clean, 0.0, 1.0)), 1.0, atol=1e-4)
    np.testing.assert_allclose(ours(clean, 1.0, 1.0), clean, atol=1e-5)


def test_noise_is_expected_to_grow_with_light():
    """The same texture is kept in the dark where it is more than noise, and smoothed in the light where it is not."""
    kept = []
    for level in (0.02, 0.6):
        image = np.full((64, 64, 3), level, np.float32)
        image += 0.01 * np.random.default_rng(0).standard_normal((64, 64, 1)).astype(np.float32)
        out = planes(ours(image.clip(0, 1), 0.7, 0.0))[..., 0]
        kept.append(out.std() / planes(image.clip(0, 1))[..., 0].std())
    assert kept[0] > kept[1] + 0.2


def test_smooth_in_the_strengths_where_the_published_one_jumps():
    image = noisy(linear(48, 64))
    at = np.linspace(0.3, 0.7, 41)

    def largest_step(run, which):
        frames = np.stack([run(image, *(s * np.eye(2)[which])) for s in at])
        steps = np.abs(np.diff(frames, axis=0)).mean(axis=(1, 2, 3))
        return steps.max() / np.median(steps)

    for which in (0, 1):
        assert largest_step(ours, which) < 2
    assert largest_step(published, 0) > 2  # radii are whole numbers
    assert largest_step(published, 1) > 5  # from .4 on the blur runs twice


@jax.jit
def product(image, luma, chroma, weight):
    value = lambda *a: (denoise_luma_chroma(*a) * weight).sum()  # noqa: E731
    return jax.value_and_grad(value, (0, 1, 2))(image, luma, chroma)


def test_gradients_are_the_slopes_also_at_zero():
    image, weight = jnp.asarray(noisy(linear(48, 64))), jnp.asarray(samples.photo(48, 64, seed=1)) - 0.4
    for strengths in ((0.0, 0.0), (0.5, 0.0), (0.3, 0.8), (1.0, 1.0)):
        slopes = product(image, *strengths, weight)[1][1:]
        for i, slope in enumerate(slopes):
            width = 0.02 * np.eye(2)[i]
            low, high = (np.clip(np.array(strengths) + sign * width, 0, 1) for sign in (-1, 1))
            measured = (product(image, *high, weight)[0] - product(image, *low, weight)[0]) / (high - low)[i]
            np.testing.assert_allclose(slope, measured, rtol=6e-2, atol=1e-2)
            assert abs(slope) > 0.02


def test_the_images_gradient_is_the_slope():
    image, weight = jnp.asarray(noisy(linear(48, 64))), jnp.asarray(samples.photo(48, 64, seed=1)) - 0.4
    direction = jnp.asarray(samples.photo(48, 64, seed=2)) - 0.5
    value = lambda t: product(image + t * direction, 0.6, 0.6, weight)  # noqa: E731
    measured = (value(1e-3)[0] - value(-1e-3)[0]) / 2e-3
    np.testing.assert_allclose((value(0.0)[1][0] * direction).sum(), measured, rtol=2e-2)


def test_extremes_are_finite():
    images = [jnp.asarray(np.resize(samples.EXTREMES, (48, 64, 3))), jnp.zeros((48, 64, 3)), jnp.ones((48, 64, 3))]
    for image in images:
        for strength in (0.0, 1e-38, 0.5, 1.0, 3e38, -3e38):
            value, gradients = product(image, strength, strength, jnp.ones((48, 64, 3)))
            assert np.isfinite(value)
            assert all(np.isfinite(gradient).all() for gradient in gradients), strength


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (5, 3), (131, 70)])
def test_any_size(size):
    image = linear(140, 80)[: size[0], : size[1]]
    for run in (ours, published):
        out = np.asarray(run(image, 0.5, 0.8))
        assert out.shape == image.shape
        assert out.min() >= 0
        assert out.max() <= 1


def test_vmap_is_a_loop():
    images = jnp.stack([linear(40, 56, seed) for seed in range(3)])
    strengths = jnp.array([0.0, 0.4, 1.0])
    for run, tolerance in ((ours, 2e-6), (published, 2e-6)):
        loop = jnp.stack([run(image, s, s) for image, s in zip(images, strengths, strict=True)])
        np.testing.assert_allclose(jax.jit(jax.vmap(run))(images, strengths, strengths), loop, atol=tolerance)


@pytest.mark.reference
@pytest.mark.parametrize(("luma", "chroma"), [(0.0, 0.5), (0.6, 0.0), (0.3, 0.3)])
def test_agrees_with_the_published_denoising(vectors, luma, chroma):
    z = vectors("stage_functions")
    expected = z[f"edit/denoise_l{luma}_c{chroma}"]
    np.testing.assert_allclose(jax.jit(published_denoise_ycbcr)(z["edit/ycbcr"], luma, chroma), expected, atol=1e-6)
    rgb = np.clip(ycbcr_to_rgb(jnp.asarray(expected)), 0, 1)
    np.testing.assert_allclose(published(z["edit/srgb"], luma, chroma), rgb, atol=2e-6)
