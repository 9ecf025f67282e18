"""Laws of demosaicing, and its worth against bilinear interpolation."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from modisp_jax.ops.demosaic import PATTERNS, demosaic_malvar, mosaic

demosaic = jax.jit(demosaic_malvar, static_argnames=("pattern", "clip"))
linear = functools.partial(demosaic, clip=False)
CASES = [*((pattern, (8, 10)) for pattern in PATTERNS), *(("GRBG", shape) for shape in [(7, 5), (2, 2), (3, 2)])]


def image(h, w, seed=0):
    return np.random.default_rng(seed).uniform(0, 1, (h, w, 3)).astype(np.float32)


def plane(h, w):
    """A different linear ramp in each colour, within [0, 1]."""
    y, x = np.meshgrid(np.linspace(0, 1, h), np.linspace(0, 1, w), indexing="ij")
    return np.stack([0.1 + 0.5 * x, 0.8 - 0.3 * x - 0.4 * y, 0.2 + 0.6 * y], axis=-1).astype(np.float32)


def measured(shape, pattern):
    """One-hot mask [H, W, 3] of the colours that the sensor measures, written out pixel by pixel."""
    mask = np.zeros((*shape, 3), bool)
    for i in range(shape[0]):
        for j in range(shape[1]):
            mask[i, j, "RGB".index(pattern[2 * (i % 2) + j % 2])] = True
    return mask


@pytest.mark.parametrize("pattern", PATTERNS)
def test_mosaic_keeps_the_measured_colour(pattern):
    x = image(5, 6)
    np.testing.assert_array_equal(mosaic(x, pattern=pattern), x[measured((5, 6), pattern)].reshape(5, 6))


@pytest.mark.parametrize(("pattern", "shape"), CASES)
def test_measured_samples_pass_through_exactly(pattern, shape):
    m = image(*shape)[..., 0]
    for clip in (True, False):
        rgb = demosaic(m, pattern=pattern, clip=clip)
        np.testing.assert_array_equal(mosaic(rgb, pattern=pattern), m)


@pytest.mark.parametrize(("pattern", "shape"), CASES)
def test_constants_of_each_colour_are_kept_up_to_the_border(pattern, shape):
    x = np.broadcast_to(np.float32([0.9, 0.4, 0.1]), (*shape, 3))
    np.testing.assert_allclose(demosaic(mosaic(x, pattern=pattern), pattern=pattern), x, atol=1e-6)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_linear_ramps_of_each_colour_are_kept_in_the_interior(pattern):
    x = plane(8, 10)
    rgb = demosaic(mosaic(x, pattern=pattern), pattern=pattern)
    np.testing.assert_allclose(rgb[2:-2, 2:-2], x[2:-2, 2:-2], atol=1e-6)


def test_the_response_to_one_pixel_is_the_papers_figure():
    """Columns of the operator: each filter of the paper's figure 2, read off impulses around one pixel."""
    f = jax.jit(jax.vmap(linear))

    def read(site, channel):
        impulses = np.zeros((5, 5, 10, 10), np.float32)
        for dy in range(5):
            for dx in range(5):
                impulses[dy, dx, site[0] + dy - 2, site[1] + dx - 2] = 1
        return 8 * f(impulses.reshape(25, 10, 10))[:, site[0], site[1], channel].reshape(5, 5)

    green = [[0, 0, -1, 0, 0], [0, 0, 2, 0, 0], [-1, 2, 4, 2, -1], [0, 0, 2, 0, 0], [0, 0, -1, 0, 0]]
    row = [[0, 0, 0.5, 0, 0], [0, -1, 0, -1, 0], [-1, 4, 5, 4, -1], [0, -1, 0, -1, 0], [0, 0, 0.5, 0, 0]]
    diagonal = [[0, 0, -1.5, 0, 0], [0, 2, 0, 2, 0], [-1.5, 0, 6, 0, -1.5], [0, 2, 0, 2, 0], [0, 0, -1.5, 0, 0]]
    # RGGB: red at even rows and columns.
    for site, channel, expected in [
        ((4, 4), 1, green),
        ((5, 5), 1, green),
        ((4, 5), 0, row),
        ((5, 4), 2, row),
        ((5, 4), 0, np.transpose(row)),
        ((4, 5), 2, np.transpose(row)),
        ((5, 5), 0, diagonal),
        ((4, 4), 2, diagonal),
    ]:
        np.testing.assert_array_equal(read(site, channel), expected)


@pytest.mark.parametrize("pattern", ["RGGB", "GBRG"])
def test_a_shift_by_a_pixel_changes_the_pattern(pattern):
    m = image(8, 10)[..., 0]
    rgb = np.array(linear(m, pattern=pattern))
    down = linear(m[1:], pattern=pattern[2:] + pattern[:2])
    right = linear(m[:, 1:], pattern=pattern[1] + pattern[0] + pattern[3] + pattern[2])
    np.testing.assert_allclose(down[2:], rgb[3:], atol=1e-6)
    np.testing.assert_allclose(right[:, 2:], rgb[:, 3:], atol=1e-6)


def test_a_mirror_of_odd_size_keeps_the_pattern_and_the_result():
    m = image(9, 11)[..., 0]
    np.testing.assert_allclose(linear(m[::-1, ::-1])[::-1, ::-1], linear(m), atol=1e-6)


@pytest.mark.optimised
def test_swapping_red_and_blue_swaps_them():
    m = image(8, 10)[..., 0]
    np.testing.assert_array_equal(linear(m, pattern="BGGR"), linear(m, pattern="RGGB")[..., ::-1])


def test_linear_unless_clipped():
    a, b = image(8, 10)[..., 0], image(8, 10, seed=1)[..., 0]
    np.testing.assert_allclose(linear(2 * a - 3 * b), 2 * linear(a) - 3 * linear(b), atol=2e-6)
    np.testing.assert_array_equal(demosaic(a), jnp.clip(linear(a), 0, 1))


def test_clipping_holds_overshoots_at_the_white_level():
    step = np.where(np.arange(12) < 6, 0.0, 1.0) * np.ones((12, 1))
    free, held = linear(step.astype(np.float32)), demosaic(step.astype(np.float32))
    assert free.max() > 1.05
    assert free.min() < -0.05
    assert held.max() == 1.0
    assert held.min() == 0.0


def test_noise_keeps_its_mean_only_without_clipping():
    noise = np.random.default_rng(0).normal(0, 0.02, (200, 200)).astype(np.float32)
    assert abs(float(linear(noise).mean())) < 3e-4
    assert float(demosaic(noise).mean()) > 3e-3


def test_jit_vmap_and_gradient():
    f = functools.partial(demosaic_malvar, pattern="GRBG")
    batch = np.stack([image(7, 8, seed=seed)[..., 0] for seed in range(3)])
    loop = np.stack([f(m) for m in batch])
    np.testing.assert_allclose(jax.jit(jax.vmap(f))(batch), loop, atol=1e-6)
    slope = jax.jit(jax.grad(lambda m: f(m).sum()))
    for m in (batch[0], 0 * batch[0], 0 * batch[0] + 1):
        gradient = slope(m)
        assert np.isfinite(gradient).all()
        # Black and white sit exactly on the clip's bounds, where it passes the gradient whole.
        assert (gradient > 0).any()


def test_mosaic_under_jit_vmap_and_its_transpose():
    x = jnp.asarray(image(5, 6))
    batch = jnp.stack([x, 1 - x])
    np.testing.assert_array_equal(jax.jit(jax.vmap(mosaic))(batch), jnp.stack([mosaic(x), mosaic(1 - x)]))
    gradient = jax.grad(lambda x: mosaic(x, pattern="GRBG").sum())(x)
    np.testing.assert_array_equal(gradient, measured((5, 6), "GRBG").astype(np.float32))


def bilinear(m, pattern):
    """The plain method to beat: each colour's missing samples are means of the nearest measured ones."""
    kernel = np.outer([1, 2, 1], [1, 2, 1]) / 4.0
    mask = measured(m.shape, pattern)
    total, weight = (
        sum(
            kernel[dy, dx] * np.pad(plane, ((1, 1), (1, 1), (0, 0)))[dy : dy + m.shape[0], dx : dx + m.shape[1]]
            for dy in range(3)
            for dx in range(3)
        )
        for plane in (mask * m[..., None], mask.astype(float))
    )
    return np.where(mask, m[..., None], total / weight)


def scene(size=96):
    """Smooth shading, slanted edges, a disc and a fine texture, with correlated colours, sampled 4 x 4 per pixel."""
    y, x = np.meshgrid(*2 * [(np.arange(4 * size) + 0.5) / (4 * size)], indexing="ij")
    light = (
        0.45
        + 0.2 * np.sin(5 * x + 3 * y)
        + 0.25 * (x + 0.37 * y > 0.7)
        - 0.2 * ((x - 0.3) ** 2 + (y - 0.6) ** 2 < 0.04)
    )
    light += 0.08 * np.sin(120 * (y + 0.2 * x)) * (x > 0.75)
    tint = np.stack([1 + 0.2 * np.sin(3 * y), np.ones_like(x), 1 - 0.3 * x], axis=-1)
    fine = np.clip(light[..., None] * tint, 0, 1)
    return fine.reshape(size, 4, size, 4, 3).mean(axis=(1, 3)).astype(np.float32)


def psnr(a, b):
    return -10 * np.log10(np.mean((np.asarray(a, float) - b)[4:-4, 4:-4] ** 2))


@pytest.mark.parametrize("pattern", ["RGGB", "GRBG"])
def test_beats_bilinear_interpolation_by_decibels(pattern):
    x = scene()
    m = np.array(mosaic(x, pattern=pattern))
    gain = psnr(demosaic(m, pattern=pattern), x) - psnr(bilinear(m, pattern), x)
    assert gain > 5


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: demosaic_malvar(np.zeros((4, 4), np.float32), pattern="RGBG"), "expected one of RGGB, .*, got 'RGBG'"),
        (lambda: mosaic(np.zeros((4, 4, 3), np.float32), pattern="rggb"), "expected one of RGGB, .*, got 'rggb'"),
        (lambda: demosaic_malvar(np.zeros((1, 4), np.float32)), r"at least 2 x 2, got shape \(1, 4\)"),
        (lambda: demosaic_malvar(np.zeros((4, 4, 3), np.float32)), r"expected \[H, W\] .*, got shape \(4, 4, 3\)"),
        (lambda: demosaic_malvar(np.zeros((4, 4), np.uint16)), "floating-point values .*, got dtype uint16"),
        (lambda: mosaic(np.zeros((4, 4), np.float32)), r"expected an image \[H, W, 3\], got shape \(4, 4\)"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
