"""Guided upsampling: laws, the float64 oracle, gradients on every kind of image, parity with the published system."""

import importlib.util
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from modisp_jax.ops.guided_upsample import apply_affine_grid, fit_affine_grid, guided_upsample, solve_right

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
ACCURACY = 3e-6
"""Of the result against float64: a few roundings of a model applied to a pixel."""

spec = importlib.util.spec_from_file_location("guided_upsample_oracle", BENCHMARKS / "guided_upsample_oracle.py")
oracle = importlib.util.module_from_spec(spec)
spec.loader.exec_module(oracle)


@jax.jit
def with_prior(small_input, small_target, full_input):
    return apply_affine_grid(fit_affine_grid(small_input, small_target), full_input)


@jax.jit
def without_prior(small_input, small_target, full_input):
    return apply_affine_grid(fit_affine_grid(small_input, small_target, gated_prior=False), full_input)


def photo(h, w, seed=0, noise=0.02):
    """A smooth coloured scene with noise, [h, w, 3] in [0, 1]; the same scene at every size."""
    y, x = np.meshgrid((np.arange(h) + 0.5) / h, (np.arange(w) + 0.5) / w, indexing="ij")
    scene = np.stack([0.1 + 0.8 * x * y, 0.5 + 0.4 * np.sin(5 * x + 2 * y), 0.3 + 0.25 * np.cos(7 * y)], -1)
    return np.clip(scene + noise * np.random.default_rng(seed).normal(size=scene.shape), 0, 1).astype(np.float32)


def two_colours(h, w):
    """Checks of orange and of a blue of nearly its luma: two points of colour space, and nothing else."""
    odd = (np.arange(h)[:, None] // 3 + np.arange(w) // 3) % 2
    return np.where(odd[..., None], [1.0, 0.3, 0.0], [0.0, 0.62, 1.0]).astype(np.float32)


def half_flat(h, w):
    """One half of a single colour, the other a photo: no spread on one side of the image."""
    image = photo(h, w)
    image[:, : w // 2] = 0.35
    return image


def constant(*colour):
    return lambda h, w: np.broadcast_to(np.float32(colour), (h, w, 3)).copy()


IMAGES = {
    "photo": photo,
    "half flat": half_flat,
    "two colours": two_colours,
    "black": constant(0, 0, 0),
    "white": constant(1, 1, 1),
    "red": constant(1, 0, 0),
    "grey": constant(0.3, 0.3, 0.3),
    "nearly black": constant(1e-6, 3e-5, 2e-7),
    "grey ramp": lambda h, w: np.broadcast_to(np.linspace(0, 1, h * w).reshape(h, w, 1), (h, w, 3)).astype(np.float32),
}


def edit(image):
    """A nonlinear edit that mixes channels, [0, 1] to [0, 1]."""
    return np.clip(image[..., ::-1] * 0.2 + 0.75 * image**0.45, 0, 1).astype(np.float32)


@pytest.mark.parametrize("name", IMAGES)
def test_meets_float64_where_plain_float32_cannot(name):
    """Full images of the same colours, and of colours that the small one lacks, where a model must extrapolate."""
    small, full = IMAGES[name](50, 70), IMAGES[name](120, 160)
    full[60:] += 0.1 * (np.random.default_rng(0).uniform(size=full[60:].shape) - full[60:])
    for ours, gated_prior in ((with_prior, True), (without_prior, False)):
        want = oracle.guided_upsample(small, edit(small), full, gated_prior=gated_prior)
        got = ours(small, edit(small), full)
        np.testing.assert_allclose(got, want, rtol=ACCURACY, atol=ACCURACY)


@pytest.mark.parametrize(("small", "full"), [((4, 4), (16, 16)), ((4, 45), (16, 183))])
def test_small_sizes_meet_the_oracle(small, full):
    small, full = photo(*small), photo(*full, seed=1)
    got = with_prior(small, edit(small), full)
    np.testing.assert_allclose(got, oracle.guided_upsample(small, edit(small), full), rtol=ACCURACY, atol=ACCURACY)


def test_grid_size_rounds_halves_to_even_and_is_at_least_one():
    for (h, w), nodes in (((4, 4), (1, 1)), ((24, 40), (2, 2)), ((750, 1000), (47, 62)), ((8, 25), (1, 2))):
        image = jax.ShapeDtypeStruct((h, w, 3), np.float32)
        assert jax.eval_shape(fit_affine_grid, image, image).shape == (*nodes, 16, 3, 4)


def test_gains_are_kept_everywhere():
    """The prior reproduces a gain per channel, 1 included, in cells that saw few colours or none."""
    small, full = photo(50, 70), photo(120, 160, seed=5)
    for gain in (1.0, np.float32([0.5, 0.9, 0.7])):
        np.testing.assert_allclose(with_prior(small, gain * small, full), gain * full, atol=2e-5)
    unseen = np.random.default_rng(3).uniform(0.3, 1, full.shape).astype(np.float32)
    flat = constant(0.1, 0.1, 0.1)(50, 70)
    np.testing.assert_allclose(with_prior(flat, 0.5 * flat, unseen), 0.5 * unseen, rtol=1e-5)


def test_an_affine_edit_is_found():
    small = np.random.default_rng(0).uniform(0, 1, (50, 70, 3)).astype(np.float32)
    matrix = np.float32([[0.6, 0.2, 0.1], [0.1, 0.7, 0.0], [0.0, 0.2, 0.6]])
    full = photo(120, 160)
    got = with_prior(small, small @ matrix.T + 0.05, full)
    np.testing.assert_allclose(got, full @ matrix.T + 0.05, atol=1e-4)


def test_an_edge_of_the_full_image_stays_sharp():
    small, full = (np.full((*size, 3), 0.2, np.float32) for size in ((50, 70), (120, 160)))
    small[:, 35:], full[:, 81:] = 0.7, 0.7  # not on a boundary of small pixels
    np.testing.assert_allclose(with_prior(small, 1 - small, full), 1 - full, atol=1e-3)


@pytest.mark.parametrize("name", IMAGES)
def test_gradients_are_finite(name):
    small, full = IMAGES[name](20, 40), IMAGES[name](50, 70)
    for value in all_gradients(small, edit(small), full):
        assert np.isfinite(value).all()


@jax.jit
def all_gradients(*images):
    """Gradients in all three images of a scalar of the clipped result."""
    return jax.grad(lambda *a: jnp.sum(jnp.sin(5 * guided_upsample(*a))), (0, 1, 2))(*images)


def test_gradients_meet_finite_differences():
    """Of the oracle, which shares no code: a directional derivative in each image."""
    rng = np.random.default_rng(0)
    with jax.enable_x64(True):
        images = [x.astype(np.float64) for x in (photo(20, 40), edit(photo(20, 40)), photo(30, 50, seed=1))]
        weights = np.cos(np.arange(images[2].size)).reshape(images[2].shape)

        @jax.jit
        @partial(jax.grad, argnums=(0, 1, 2))
        def gradients(*images):
            return jnp.vdot(weights, with_prior(*images) - 0.4 * without_prior(*images))

        def exact(*images):
            with_, without = (oracle.guided_upsample(*images, gated_prior=p) for p in (True, False))
            return np.vdot(weights, with_ - 0.4 * without)

        for i, gradient in enumerate(gradients(*images)):
            step = rng.normal(size=images[i].shape)
            ends = [exact(*images[:i], images[i] + h * step, *images[i + 1 :]) for h in (-1e-6, 1e-6)]
            np.testing.assert_allclose(np.vdot(gradient, step), (ends[1] - ends[0]) / 2e-6, rtol=1e-4)


def test_jit_vmap_and_eager_agree():
    pairs = [(photo(4, 4, s), edit(photo(4, 4, s)), photo(16, 16, s + 9)) for s in range(2)]
    loop = [np.clip(with_prior(*p), 0, 1) for p in pairs]
    np.testing.assert_allclose(guided_upsample(*pairs[0]), loop[0], atol=ACCURACY)
    mapped = jax.jit(jax.vmap(guided_upsample))(*(np.stack(x) for x in zip(*pairs, strict=True)))
    np.testing.assert_allclose(mapped, np.stack(loop), atol=ACCURACY)
    assert mapped.dtype == np.float32
    assert np.min(mapped) >= 0
    assert np.max(mapped) <= 1


def test_no_scatter():
    images = [jax.ShapeDtypeStruct((*size, 3), np.float32) for size in ((50, 70), (50, 70), (100, 140))]
    grad = jax.grad(lambda *a: jnp.sum(guided_upsample(*a)), (0, 1, 2))
    assert "scatter" not in str(jax.make_jaxpr(grad)(*images))


def test_solve_right():
    rng = np.random.default_rng(0)
    root, right = rng.normal(size=(2, 5, 3, 3))
    matrix = root @ root.swapaxes(-1, -2) + 0.1 * np.eye(3)
    smallest = np.full(5, 0.05)
    want = right @ np.linalg.inv(matrix)
    np.testing.assert_allclose(solve_right(*(np.float32(x) for x in (matrix, right, smallest))), want, rtol=2e-4)
    with jax.enable_x64(True):
        symmetric = lambda m, r: solve_right((m + jnp.swapaxes(m, -1, -2)) / 2, r, smallest)  # noqa: E731
        check_grads(jax.jit(symmetric), (matrix, right), order=1, modes=["rev"], atol=1e-6, rtol=1e-6, eps=1e-6)
    # Rounding can make a matrix indefinite; the bound keeps the result finite.
    singular = np.float32([[1, 1, 1], [1, 1, 1.0000001], [1, 1.0000001, 1]])
    assert np.isfinite(solve_right(singular, np.eye(3, dtype=np.float32), np.float32(1e-7))).all()


def test_errors_say_what_came():
    with pytest.raises(ValueError, match=r"of one size, got shapes \(4, 4, 3\) and \(4, 5, 3\)"):
        fit_affine_grid(photo(4, 4), photo(4, 5))
    with pytest.raises(ValueError, match=r"full_input: expected an image \[H, W, 3\], got shape \(16, 16\)"):
        guided_upsample(photo(4, 4), photo(4, 4), photo(16, 16)[..., 0])


def differences(got, want):
    """The largest and the 99.9th percentile of the absolute difference."""
    difference = np.abs(np.asarray(got) - want)
    return difference.max(), np.quantile(difference, 0.999)


@pytest.mark.reference
@pytest.mark.parametrize("fn", [with_prior, without_prior])
def test_parity_with_the_published_upsampling(vectors, fn):
    npz, suffix = vectors("bgu"), "reg1" if fn is with_prior else "reg0"
    small, target, full = (npz[f"photo/{key}"] for key in ("low_input", "low_target", "high_input"))
    want = npz[f"photo/out_{suffix}"]
    most, p999 = differences(fn(small, target, full), want)
    assert most < 1e-2
    assert p999 < 2e-4
    flat = [np.full_like(x, v) for x, v in ((small, 0.3), (target, 0.6), (full, 0.3))]
    np.testing.assert_allclose(fn(*flat), npz[f"flat/out_{suffix}"], rtol=0, atol=1e-5)
    black = [np.zeros_like(x) for x in (small, target, full)]
    np.testing.assert_allclose(fn(*black), npz[f"black/out_{suffix}"], rtol=0, atol=1e-5)
    exact = oracle.guided_upsample(small, target, full, gated_prior=fn is with_prior)
    assert differences(want, exact)[0] < 3e-3, "the oracle is not what was published"
    np.testing.assert_allclose(fn(small, target, full), exact, rtol=ACCURACY, atol=ACCURACY)


@pytest.mark.reference
@pytest.mark.parametrize("name", ["pipeline_style0", "pipeline_style1lut"])
def test_parity_with_the_published_pipelines(vectors, name):
    npz = vectors(name)
    images = [npz[f"default/{key}"] for key in ("lsrgb_quarter", "gamma", "lsrgb")]
    got = jax.jit(guided_upsample)(*images)
    most, p999 = differences(got, npz["default/bgu"])
    assert most < 1e-2
    assert p999 < 2e-4
    exact = np.clip(oracle.guided_upsample(*images), 0, 1)
    assert differences(npz["default/bgu"], exact)[0] < 3e-3, "the oracle is not what was published"
    np.testing.assert_allclose(got, exact, rtol=ACCURACY, atol=ACCURACY)
