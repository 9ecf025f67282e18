import numpy as np

from modisp_jax.io.saturation import estimate_saturation

rng = np.random.default_rng(0)


def scene(size=(300, 400)):
    """Values spread evenly from 0 to 1.3 of the white level: a quarter of the picture is overexposed."""
    return rng.uniform(0, 1.3, (*size, 3))


def test_white_level_where_the_sensor_reaches_it():
    np.testing.assert_array_equal(estimate_saturation(np.minimum(scene(), 1).astype(np.float32)), 1)


def test_finds_the_pile_below_the_white_level_through_noise():
    levels = np.array([0.95, 0.92, 1.0])
    image = np.minimum(scene(), levels) + 0.003 * rng.standard_normal((300, 400, 3))
    estimate = estimate_saturation(np.clip(image, 0, 1).astype(np.float32))
    np.testing.assert_allclose(estimate, levels, atol=0.005)


def test_white_level_where_nothing_is_clipped():
    np.testing.assert_array_equal(estimate_saturation((scene() / 1.6).astype(np.float32)), 1)
    np.testing.assert_array_equal(estimate_saturation(np.zeros((20, 20, 3), np.float32)), 1)


def test_a_bright_wall_is_not_clipping_where_other_things_are_brighter():
    image = scene() / 1.3
    image[:100] = 0.93 + 0.002 * rng.standard_normal((100, 400, 3))
    np.testing.assert_array_equal(estimate_saturation(image.astype(np.float32)), 1)


def test_tiny_images():
    assert estimate_saturation(np.ones((1, 1, 3), np.float32)).shape == (3,)
