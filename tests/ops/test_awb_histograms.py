"""Histograms of colour: against counting one pixel at a time, and what must not change them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from modisp_jax.ops import awb_histograms as plain
from modisp_jax.ops.awb_histograms import BINS, BRIGHTEST, SIZE
from modisp_jax.resample import resize_bilinear
from tests.samples import EXTREMES, photo

LOW, HIGH = np.array([0.3, 0.2], np.float32), np.array([1.5, 1.8], np.float32)
# One program a shape; without jit, each operation would be one.
edge_image, log_chroma_histogram, norms, ratio_histogram, shrink = (
    jax.jit(getattr(plain, name))
    for name in ("edge_image", "log_chroma_histogram", "norms", "ratio_histogram", "shrink")
)


def normalised(counts):
    return np.sqrt(counts / (counts.sum() + 1e-8))


def counted_log_chroma(image):
    centers = -2.85 + 5.7 * np.arange(BINS) / 47
    counts = np.zeros((BINS, BINS))
    for r, g, b in np.asarray(image, np.float64).reshape(-1, 3):
        if r + g + b > 1e-8:
            u, v = np.log((g + 1e-8) / (r + 1e-8)), np.log((g + 1e-8) / (b + 1e-8))
            for i in np.flatnonzero(np.abs(v - centers) <= 5.7 / 47):
                for j in np.flatnonzero(np.abs(u - centers) <= 5.7 / 47):
                    counts[BINS - 1 - i, j] += np.sqrt(r * r + g * g + b * b)
    return normalised(counts)


def counted_ratios(image, weights):
    counts = np.zeros((BINS, BINS))
    for (r, g, b), weight in zip(np.asarray(image, np.float64).reshape(-1, 3), weights, strict=True):
        place = (np.array([r, b]) / (g + 1e-8) - LOW) / (HIGH - LOW) * BINS
        if (place >= 0).all() and (place < BINS).all():
            counts[tuple(place.astype(int))] += weight
    return normalised(counts)


def test_log_chroma_histogram_counts_pixels():
    image = photo(24, 30)
    image[:2] = 0
    np.testing.assert_allclose(log_chroma_histogram(image), counted_log_chroma(image), atol=2e-6)


def test_ratio_histogram_counts_pixels():
    image, weights = photo(24, 30), np.linspace(0, 1, 720, dtype=np.float32)
    np.testing.assert_allclose(ratio_histogram(image, weights, LOW, HIGH), counted_ratios(image, weights), atol=2e-6)


def test_a_single_colour_falls_where_it_should():
    image = jnp.broadcast_to(jnp.array([0.5 * np.exp(-1.0), 0.5, 0.5 * np.exp(0.5)]), (4, 4, 3))  # u = 1, v = -.5
    rows, columns = np.nonzero(np.asarray(log_chroma_histogram(image)))
    centers = np.linspace(-2.85, 2.85, BINS)
    assert len(rows) == 4
    assert np.abs(centers[columns] - 1).max() < 5.7 / 47
    assert np.abs(-centers[rows] + 0.5).max() < 5.7 / 47
    found = np.asarray(ratio_histogram(image, norms(image), LOW, HIGH))
    assert np.argwhere(found).tolist() == [[int((np.exp(-1) - 0.3) / 1.2 * 48), int((np.exp(0.5) - 0.2) / 1.6 * 48)]]


def test_the_bounds_themselves_count():
    image = jnp.array([[[0.5, 1.0, 0.5], [1.5, 1.0, 1.5]]])  # 1 + 1e-8 is 1 in float32
    found = ratio_histogram(image, jnp.ones(2), jnp.array([0.5, 0.5]), jnp.array([1.5, 1.5]))
    np.testing.assert_allclose(found[0, 0], np.sqrt(0.5), rtol=1e-6)
    np.testing.assert_allclose(found[-1, -1], np.sqrt(0.5), rtol=1e-6)


@pytest.mark.parametrize("histogram", [log_chroma_histogram, lambda x: ratio_histogram(x, norms(x), LOW, HIGH)])
def test_the_order_of_pixels_does_not_matter(histogram):
    image = photo(40, 30)
    shuffled = np.random.default_rng(0).permutation(image.reshape(-1, 3)).reshape(30, 40, 3)
    np.testing.assert_allclose(histogram(shuffled), histogram(image), atol=1e-6)
    np.testing.assert_allclose(np.square(histogram(image)).sum(), 1, atol=1e-5)


@pytest.mark.parametrize("scale", [0.5, 4.0])
def test_brightness_does_not_matter(scale):  # a power of two: no rounding moves a pixel over the edge of a bin
    image = 0.1 + 0.9 * photo(40, 30)
    np.testing.assert_allclose(log_chroma_histogram(scale * image), log_chroma_histogram(image), atol=1e-6)


def test_edges_of_a_point_and_of_the_border():
    image = jnp.zeros((5, 6, 3)).at[2, 3].set(jnp.array([8.0, 16.0, 0.0]))
    edges = np.asarray(edge_image(image))
    expected = np.zeros((5, 6, 3))
    expected[1:4, 2:5] = [1, 2, 0]
    expected[2, 3] = [8, 16, 0]
    np.testing.assert_array_equal(edges, expected)
    # The border repeats the corner, so three of its own neighbours equal it.
    corner = np.asarray(edge_image(jnp.zeros((5, 6, 3)).at[0, 0].set(8.0)))
    np.testing.assert_array_equal(corner[:2, :2, 0], [[5, 2], [2, 1]])


@pytest.mark.parametrize("size", [(1, 1), (1, 50), (300, 200), (256, 384), (512, 768)])
def test_shrinking_is_bilinear_with_its_gradient(size):
    image, weights = jnp.asarray(photo(*size)), jnp.asarray(photo(*SIZE, seed=1))
    resized = jax.jit(lambda x: resize_bilinear(x, SIZE, align="centers"))
    np.testing.assert_allclose(shrink(image), resized(image), atol=3e-7)
    slopes = (jax.jit(jax.grad(lambda x, f=f: jnp.sum(weights * f(x))))(image) for f in (shrink, resized))
    np.testing.assert_allclose(*slopes, rtol=1e-5, atol=1e-6)


def test_a_flat_image_has_no_edges():
    flat = jnp.broadcast_to(jnp.array([0.1, 0.7, 1 / 3]), (77, 101, 3))
    assert not np.asarray(edge_image(shrink(flat))).any()
    assert not np.asarray(log_chroma_histogram(edge_image(shrink(flat)))).any()


def test_value_and_gradient_are_finite():
    image = jnp.asarray(np.resize(EXTREMES, (7, 9, 3)))

    def total(image):
        small = shrink(image)
        weights = norms(small)
        edges = edge_image(small)
        histograms = [log_chroma_histogram(x) for x in (small, edges)]
        histograms += [ratio_histogram(x, weights, LOW, HIGH) for x in (small, edges)]
        return sum(jnp.sum(jnp.square(h) * jnp.arange(BINS)) + jnp.sum(h) for h in histograms)

    value, slope = jax.jit(jax.value_and_grad(total))(image)
    assert np.isfinite(value)
    assert np.isfinite(slope).all()
    assert (np.asarray(shrink(image)) <= BRIGHTEST).all()


def test_jit_changes_nothing():
    image = photo(24, 30)
    for name, jitted in (("edge_image", edge_image), ("shrink", shrink)):
        np.testing.assert_allclose(jitted(image), getattr(plain, name)(image), atol=1e-6)
    one, two = log_chroma_histogram(image), ratio_histogram(image, norms(image), LOW, HIGH)
    np.testing.assert_allclose(one, plain.log_chroma_histogram(image), atol=2e-6)
    np.testing.assert_allclose(two, plain.ratio_histogram(image, norms(image), LOW, HIGH), atol=2e-6)
