"""Straightening and cropping."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from modisp_jax.ops.geometry import crop_box, rotate
from tests import samples

compiled = jax.jit(rotate)
SIZES = [(60, 80), (41, 30), (24, 24)]


def where_from(size, degrees):
    """Input position (x, y) of every output pixel, from the definition of a rotation, in float64."""
    h, w = size
    y, x = np.mgrid[:h, :w].astype(np.float64)
    u, v = x - (w - 1) / 2, y - (h - 1) / 2
    angle = np.deg2rad(degrees)
    c, s = np.cos(angle), np.sin(angle)
    # The outermost corner, turned back, must lie on the frame.
    corners = np.abs(c * np.array([w - 1, w - 1]) + s * np.array([h - 1, 1 - h])) / (w - 1)
    corners = np.append(corners, np.abs(c * np.array([h - 1, h - 1]) - s * np.array([w - 1, 1 - w])) / (h - 1))
    zoom = corners.max()
    return (c * u + s * v) / zoom + (w - 1) / 2, (c * v - s * u) / zoom + (h - 1) / 2


@pytest.mark.parametrize("size", SIZES)
def test_zero_is_the_identity_bit_by_bit(size):
    image = samples.photo(*size)
    np.testing.assert_array_equal(compiled(image, 0.0), image)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("degrees", [1e-4, 3.0, -17.0, 45.0, -45.0])
def test_every_pixel_comes_from_where_it_should(size, degrees):
    y, x = np.mgrid[: size[0], : size[1]].astype(np.float32)
    turned = np.asarray(compiled(np.stack([x, y, np.ones_like(x)], axis=-1), degrees))
    expected_x, expected_y = where_from(size, degrees)
    # Cubic interpolation is exact for straight lines, but for the taps that the frame repeats.
    inner = (slice(4, -4), slice(4, -4))
    np.testing.assert_allclose(turned[..., 0][inner], expected_x[inner], atol=1e-4)
    np.testing.assert_allclose(turned[..., 1][inner], expected_y[inner], atol=1e-4)
    np.testing.assert_allclose(turned[..., 0], expected_x, atol=0.2)
    np.testing.assert_allclose(turned[..., 1], expected_y, atol=0.2)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("degrees", [0.01, 5.0, -30.0, 45.0])
def test_no_corner_is_empty_and_the_zoom_no_larger_than_that_takes(size, degrees):
    turned = compiled(jnp.ones((*size, 1)), degrees)
    np.testing.assert_allclose(turned, 1.0, atol=1e-5)
    x, y = where_from(size, degrees)
    reach = np.array([x.min(), y.min(), size[1] - 1 - x.max(), size[0] - 1 - y.max()])
    assert reach.min() == pytest.approx(0.0, abs=1e-6)


def test_clockwise_is_positive():
    image = np.zeros((41, 41, 1), np.float32)
    image[20, 24:] = 1.0  # a line from the centre to the right
    turned = np.asarray(compiled(image, 30.0))[..., 0]
    assert turned[25:, 21:].sum() > 5 * max(turned[:16, 21:].sum(), 0.01)  # ... now points to the lower right


def test_back_and_forth_returns_the_middle():
    y, x = np.mgrid[:64, :64] / 64
    image = (0.5 + 0.4 * np.sin(9 * x) * np.cos(7 * y))[..., None].astype(np.float32)
    there = compiled(image, 10.0)
    # The two zooms multiply: compare with the definition.
    zoom = np.cos(np.deg2rad(10)) + np.sin(np.deg2rad(10))
    back = np.asarray(compiled(there, -10.0))[..., 0]
    u = (np.arange(64) - 31.5) / zoom**2 + 31.5
    expected = 0.5 + 0.4 * np.sin(9 * u / 64)[None] * np.cos(7 * u / 64)[:, None]
    np.testing.assert_allclose(back[4:-4, 4:-4], expected[4:-4, 4:-4], atol=2e-3)


gradient_of_product = jax.jit(jax.value_and_grad(lambda image, d, weight: (rotate(image, d) * weight).sum(), (0, 1)))


@pytest.mark.parametrize("size", [(20, 31), (16, 64)])
def test_the_images_gradient_is_the_transpose(size):
    rng = np.random.default_rng(0)
    image, weight = (jnp.asarray(rng.standard_normal((*size, 2)), jnp.float32) for _ in range(2))
    for degrees in (0.0, 1.0, -20.0, 44.0, -45.0):
        value, (d_image, _) = gradient_of_product(image, degrees, weight)
        np.testing.assert_allclose((d_image * image).sum(), value, atol=1e-3)
        # Linear: the same gradient whatever the image.
        np.testing.assert_allclose(gradient_of_product(-2 * image, degrees, weight)[1][0], d_image, atol=1e-6)


@pytest.mark.parametrize("degrees", [0.0, 1.0, -20.0, 40.0])
def test_the_angles_gradient_is_the_slope(degrees):
    y, x = np.mgrid[:40, :56] / 40
    image = jnp.asarray(np.stack([np.sin(5 * x + y), np.cos(4 * y)], axis=-1), jnp.float32)
    weight = jnp.asarray(np.stack([np.cos(3 * x), x * y], axis=-1), jnp.float32)
    value = lambda d: gradient_of_product(image, d, weight)  # noqa: E731
    slope = (value(degrees + 0.05)[0] - value(degrees - 0.05)[0]) / 0.1
    np.testing.assert_allclose(value(degrees)[1][1], slope, rtol=1e-2, atol=0.1)


def test_the_compiled_gradient_has_no_scatter():
    gradient = jax.jit(jax.grad(lambda i, d: (rotate(i, d) ** 2).sum(), (0, 1)))
    assert "scatter" not in gradient.lower(jnp.ones((20, 30, 3)), 3.0).as_text()


def test_vmap_is_a_loop_and_jit_changes_nothing():
    images = jnp.stack([samples.photo(20, 30, seed) for seed in range(3)])
    angles = jnp.array([0.0, 4.0, -12.0])
    loop = jnp.stack([compiled(image, angle) for image, angle in zip(images, angles, strict=True)])
    np.testing.assert_allclose(jax.jit(jax.vmap(rotate))(images, angles), loop, atol=2e-5)
    np.testing.assert_allclose(rotate(images[1], 4.0), loop[1], atol=2e-5)


def test_angles_are_finite_whatever_they_are():
    image = jnp.asarray(samples.photo(20, 31)[..., :2])
    for degrees in samples.EXTREMES:
        value, gradients = gradient_of_product(image, degrees, image)
        assert np.isfinite(value)
        assert all(np.isfinite(gradient).all() for gradient in gradients)


@pytest.mark.parametrize("size", [(1, 1), (1, 20), (2, 2)])
def test_tiny_pictures(size):
    np.testing.assert_allclose(rotate(jnp.full((*size, 3), 0.4), 10.0), 0.4, atol=1e-5)


def test_crops_in_pixels():
    assert crop_box((300, 400), (0, 0, 1, 1)) == (0, 0, 300, 400)
    assert crop_box((300, 400), (0.1, 0.25, 0.5, 0.5)) == (30, 100, 150, 200)
    assert crop_box((3, 3), (0.9, 0.9, 0.05, 0.1)) == (2, 2, 1, 1)
    # Crops that share an edge share it in pixels.
    top = crop_box((101, 50), (0, 0, 1 / 3, 1))
    rest = crop_box((101, 50), (1 / 3, 0, 2 / 3, 1))
    assert top[0] + top[2] == rest[0]
    assert rest[0] + rest[2] == 101


@pytest.mark.parametrize(
    ("crop", "message"),
    [
        ((0, 0, 1), "expected \\(top, left, height, width\\)"),
        ((0, 0, float("nan"), 1), "expected \\(top, left, height, width\\)"),
        ((0, 0, 0, 1), "expected a box within the picture"),
        ((-0.1, 0, 0.5, 1), "expected a box within the picture"),
        ((0.6, 0, 0.5, 1), "expected a box within the picture"),
    ],
)
def test_bad_crops_are_refused(crop, message):
    with pytest.raises(ValueError, match=message):
        crop_box((30, 40), crop)
