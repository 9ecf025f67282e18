"""Automatic white balance: laws of the estimators, and that they find the light of scenes whose light is known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from modisp_jax import awb
from modisp_jax.color import GENERIC_CAMERA, planckian_xyz
from modisp_jax.unprocess import before_mosaic, draw_camera, draw_shot, generic_cameras
from tests.samples import EXTREMES, photo

ESTIMATORS = {
    "posterior": lambda image, **options: awb.estimate_light(image, **options).illuminant,
    "gray world": awb.gray_world,
    "shades of gray": awb.shades_of_gray,
    "white patch": awb.white_patch,
    "gray edge": awb.gray_edge,
}
each = pytest.mark.parametrize("estimate", ESTIMATORS.values(), ids=ESTIMATORS)


def scene(light, h=48, w=64, seed=0):
    """Noise around grey, lit by ``light``: what every estimator's assumption holds for."""
    rng = np.random.default_rng(seed)
    grey = rng.uniform(0.05, 0.5, (h, w, 1)) * rng.uniform(0.9, 1.1, (h, w, 3))
    return jnp.asarray(grey * np.asarray(light), jnp.float32)


def angle(a, b):
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    return np.degrees(np.arctan2(np.linalg.norm(np.cross(a, b)), a @ b))


def light_of(cct, tint=0.0):
    light = GENERIC_CAMERA @ np.asarray(planckian_xyz(jnp.float32(cct), tint))
    return light / light[1]


@each
@pytest.mark.parametrize("cct", [3000.0, 7000.0])
def test_finds_the_light_of_a_grey_scene(estimate, cct):
    light = light_of(cct)
    found = estimate(scene(light))
    assert found.shape == (3,)
    assert found[1] == pytest.approx(1, abs=1e-6)
    # The posterior expects photos to be off as they usually are, and leans to the prior.
    assert angle(found, light) < 4.5


@each
def test_exposure_does_not_matter(estimate):
    image = jnp.asarray(photo(48, 64))
    image = 0.2 + 0.5 * image
    np.testing.assert_allclose(estimate(0.25 * image), estimate(image), rtol=1e-3)


@each
def test_clipped_and_black_pixels_do_not_count(estimate):
    image = scene(light_of(4000.0), 60, 80)
    plain = estimate(image)
    spoilt = image.at[:20].set(1.0).at[20:30, :, 0].set(jnp.nan)
    assert angle(estimate(spoilt), plain) < 1.5
    early = (0.4 * image).at[:20].set(0.5)
    np.testing.assert_allclose(estimate(early, saturation=0.5), estimate(image.at[:20].set(1.0)), rtol=1e-4)


@each
def test_jit_and_vmap(estimate):
    images = jnp.stack([scene(light_of(3500.0), seed=1), jnp.asarray(photo(48, 64))])
    batch = jax.jit(jax.vmap(estimate))(images)
    for image, found in zip(images, batch, strict=True):
        np.testing.assert_allclose(found, estimate(image), rtol=2e-5)


@each
def test_value_and_gradient_are_finite(estimate):
    values = jnp.asarray([*EXTREMES, np.nan, np.inf], jnp.float32)
    image = scene(np.ones(3), 8, 8)
    one_pixel = jnp.stack([image.at[2, 3].set(value) for value in values])
    all_pixels = jnp.broadcast_to(values[:, None, None, None], one_pixel.shape)
    both = jax.jit(jax.vmap(jax.value_and_grad(lambda x: estimate(x).sum())))
    for images in (one_pixel, all_pixels):
        found, gradient = both(images)
        assert np.isfinite(found).all()
        assert np.isfinite(gradient).all()


@pytest.mark.parametrize("size", [(1, 1), (1, 40)])
@each
def test_tiny_images(estimate, size):
    found = estimate(scene(light_of(5000.0), *size))
    assert np.isfinite(found).all()
    assert (found > 0).all()


def test_a_flat_wall_is_taken_for_grey():
    """No edges, one colour: gray edge says what the pixels say."""
    wall = jnp.broadcast_to(jnp.asarray([0.2, 0.4, 0.3], jnp.float32), (32, 32, 3))
    np.testing.assert_allclose(awb.gray_edge(wall), [0.5, 1, 0.75], rtol=1e-3)


def test_without_evidence_it_is_the_prior():
    nothing = [awb.estimate_light(jnp.full((16, 16, 3), value)) for value in (0.0, 1.0, jnp.nan)]
    for found in nothing:
        assert found.usable == 0
        np.testing.assert_allclose(found.illuminant, nothing[0].illuminant, rtol=1e-5)
    clear = awb.estimate_light(scene(light_of(4000.0)))
    assert clear.usable == 1
    assert clear.spread < 0.6 * nothing[0].spread
    assert min(angle(nothing[0].illuminant, light_of(cct)) for cct in (3500, 4500, 5500)) < 4


def test_prior_is_a_band_along_the_locus():
    mired, tint = awb.light_grid()
    prior = awb.log_prior(mired, tint)
    assert mired[np.argmax(prior)] >= 125
    assert awb.log_prior(250.0, 0.0) > awb.log_prior(250.0, 20.0)
    assert awb.log_prior(250.0, 0.0) > awb.log_prior(500.0, 0.0)
    assert awb.log_prior(154.0, 4.0) > awb.log_prior(154.0, -4.0)


def test_scale_of_the_matrix_does_not_matter_and_lights_may_be_given():
    image = scene(light_of(3500.0))
    plain = awb.estimate_light(image, GENERIC_CAMERA).illuminant
    np.testing.assert_allclose(awb.estimate_light(image, 7 * GENERIC_CAMERA).illuminant, plain, rtol=1e-5)
    mired, tint = awb.light_grid()
    lights = jax.vmap(planckian_xyz)(1e6 / mired, tint) @ GENERIC_CAMERA.T
    given = awb.estimate_light(image, GENERIC_CAMERA, lights=lights).illuminant
    np.testing.assert_allclose(given, plain, rtol=1e-5)


def test_another_camera_sees_the_same_light():
    """What the estimate is does not depend on the camera, if the cameras see the same."""
    other = np.array([[0.9, -0.3, -0.1], [-0.5, 1.3, 0.2], [-0.1, 0.3, 0.4]], np.float32)
    image = scene(light_of(4500.0))
    seen = image @ (other @ np.linalg.inv(GENERIC_CAMERA)).T
    ours, theirs = awb.estimate_light(image, GENERIC_CAMERA), awb.estimate_light(seen, other)
    assert angle(np.linalg.solve(GENERIC_CAMERA, ours.illuminant), np.linalg.solve(other, theirs.illuminant)) < 0.5


def test_covariance_is_one():
    np.testing.assert_array_equal(awb.COVARIANCE, awb.COVARIANCE.T)
    assert np.linalg.eigvalsh(awb.COVARIANCE).min() > 0.005


def test_bad_input():
    with pytest.raises(ValueError, match="floating-point"):
        awb.estimate_light(jnp.zeros((8, 8, 3), jnp.uint8))
    with pytest.raises(ValueError, match="expected an image"):
        awb.gray_world(jnp.zeros((8, 8)))


@pytest.mark.reference
def test_beats_gray_world_on_held_out_photos(shared):
    """A small version of benchmarks/white_balance.py: four photos, six lights each."""
    from modisp_jax.io.images import read_image
    from modisp_jax.sheet import scale_to_height

    take = jax.jit(before_mosaic)
    cameras, errors = generic_cameras(), {"posterior": [], "gray world": []}
    for k, path in enumerate(sorted((shared / "data" / "photos" / "val").glob("*.jpg"))[:4]):
        picture = jnp.asarray(scale_to_height(read_image(path), 128)[:, :96])
        for draw in range(6):
            key = jax.random.key(100 * k + draw)
            shot, camera = draw_shot(key, cameras), draw_camera(key, cameras)
            image = jnp.where(picture.max(-1, keepdims=True) > 0.98, 1.0, take(picture, shot))
            errors["posterior"].append(angle(awb.estimate_light(image, camera).illuminant, shot.illuminant))
            errors["gray world"].append(angle(awb.gray_world(image), shot.illuminant))
    assert np.mean(errors["posterior"]) < 0.75 * np.mean(errors["gray world"])
