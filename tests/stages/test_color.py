import jax
import jax.numpy as jnp
import numpy as np

from modisp_jax.stages.color import CLIP_RAMP, to_linear_srgb
from tests.samples import EXTREMES, raw

RAW = raw(24, 32)
CCM, ILLUMINANT = RAW.ccm, RAW.illuminant


def test_white_of_any_brightness_below_clipping_becomes_neutral():
    for level in (0.01, 0.3, 0.9):
        grey = jnp.broadcast_to(level * ILLUMINANT, (2, 2, 3))
        np.testing.assert_allclose(to_linear_srgb(grey, ILLUMINANT, CCM), level, atol=1e-5)


def test_scale_of_the_illuminant_does_not_matter():
    a = to_linear_srgb(RAW.image, ILLUMINANT, CCM)
    np.testing.assert_allclose(to_linear_srgb(RAW.image, 7 * ILLUMINANT, CCM), a, atol=1e-6)


def test_clipped_sensor_values_come_out_neutral():
    white = jnp.ones((2, 2, 3))
    np.testing.assert_allclose(to_linear_srgb(white, ILLUMINANT, CCM), 1.0, atol=1e-6)
    pink = to_linear_srgb(white, ILLUMINANT, CCM, clipped_highlights="clip")
    assert pink[0, 0, 0] - pink[0, 0, 1] > 0.1 or pink[0, 0, 2] - pink[0, 0, 1] > 0.1 or jnp.all(pink == 1)


def test_no_channel_exceeds_the_reach_of_the_clipped_ones():
    # Green is clipped; red and blue of a neutral light have gone on to .9 of the sensor's range.
    pixel = jnp.array([[[0.9, 1.0, 0.9]]])
    balanced = to_linear_srgb(pixel, ILLUMINANT, jnp.eye(3) * 0.5)  # halved, so that clip01 hides nothing
    np.testing.assert_allclose(balanced, 0.5, atol=1e-6)


def test_a_clipped_saturated_colour_keeps_its_hue():
    # Red clips far above what green and blue reach: nothing to hold back.
    red = jnp.array([[[1.0, 0.2, 0.1]]])
    neutral = to_linear_srgb(red, ILLUMINANT, CCM * 0.3)
    published = to_linear_srgb(red, ILLUMINANT, CCM * 0.3, clipped_highlights="clip")
    np.testing.assert_allclose(neutral, published, atol=1e-6)


def test_below_the_ramp_both_treatments_agree():
    image = RAW.image / RAW.image.max() * CLIP_RAMP[0]
    neutral = to_linear_srgb(image, ILLUMINANT, CCM)
    np.testing.assert_allclose(neutral, to_linear_srgb(image, ILLUMINANT, CCM, clipped_highlights="clip"), atol=1e-6)


def test_exposure_moves_saturation_with_it():
    bright = to_linear_srgb(2 * jnp.ones((1, 1, 3)), ILLUMINANT, CCM * 0.4, saturation=2.0)
    np.testing.assert_allclose(bright, 0.8, atol=1e-6)


def test_a_sensor_that_saturates_below_its_white_level_is_neutral_too():
    saturation = jnp.array([1.0, 0.95, 0.92])
    y = to_linear_srgb(saturation[None, None], ILLUMINANT, CCM, saturation=saturation)
    np.testing.assert_allclose(y, 0.95, atol=1e-6)


def test_the_transition_to_clipped_has_no_steps():
    # Every channel follows the light until it saturates; the picture must follow without a jump.
    light = jnp.linspace(0, 4, 4001)[:, None, None]
    pixels = jnp.minimum(light * ILLUMINANT, 1.0)
    y = np.asarray(to_linear_srgb(pixels, ILLUMINANT, CCM * 0.3))
    assert np.abs(np.diff(y, axis=0)).max() < 0.01


def test_finite_gradients_for_every_float():
    def total(image, illuminant, ccm, saturation):
        return to_linear_srgb(image, illuminant, ccm, saturation=saturation).sum()

    gradient = jax.jit(jax.value_and_grad(total, argnums=(0, 1, 2, 3)))
    image = jnp.asarray(np.stack([np.roll(np.clip(EXTREMES, 0, 1), k) for k in range(3)], axis=-1)[None])
    for i in EXTREMES:
        for m in EXTREMES:
            for illuminant in (jnp.array([i, 1, 0.5]), jnp.array([0.5, i, i])):
                value, grads = gradient(image, illuminant, jnp.full((3, 3), m).at[0, 0].set(-m), jnp.abs(m))
                assert np.isfinite(value)
                assert all(np.isfinite(g).all() for g in grads)
