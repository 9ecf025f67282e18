"""Estimating the light by networks: laws on untrained and on numbered parameters, then parity with the published."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import modisp_jax as mj
from modisp_jax.config import AWB_NETWORKS, PipelineConfig
from modisp_jax.io.dng_color import Calibration, CameraProfile, xyz_to_neutral
from modisp_jax.learned_awb import _camera_specific_inputs, _cross_camera_light
from modisp_jax.ops.awb_histograms import SIZE, edge_image, log_chroma_histogram
from modisp_jax.params import count_params, param_shapes
from modisp_jax.resample import resize_bilinear
from modisp_jax.tree import unflatten
from tests.samples import EXTREMES, numbered_params, photo

CONFIG = PipelineConfig(None, None, None, AWB_NETWORKS)
LIGHT = np.array([0.5, 1.0, 0.6], np.float32)
SETTINGS = {"iso": 400.0, "exposure_time": 0.01}
PROFILE = CameraProfile(
    (
        Calibration(6504.0, np.array([[0.70, -0.18, -0.08], [-0.35, 1.20, 0.12], [-0.05, 0.20, 0.60]])),
        Calibration(2856.0, np.array([[1.10, -0.45, -0.05], [-0.30, 1.15, 0.15], [-0.02, 0.22, 0.55]])),
    )
)


@pytest.fixture(scope="module")
def untrained():
    return mj.init_params(jax.random.key(0), CONFIG)["awb"]


@pytest.fixture(scope="module")
def params(untrained):
    """Numbers in place of the networks' own, so that every input counts; what is measured stays as it starts."""
    fresh = numbered_params(unflatten({name: np.zeros(shape) for name, shape in param_shapes(CONFIG).items()}))["awb"]
    fresh["camera_specific"]["ranges"] = untrained["camera_specific"]["ranges"]
    for level in ("encoder0", "encoder2"):
        fresh["cross_camera"][level]["norm"]["variance"] = untrained["cross_camera"][level]["norm"]["variance"]
    fresh["camera_specific"]["norm"]["variance"] = untrained["camera_specific"]["norm"]["variance"]
    return fresh


def cross(params, image):
    return mj.cross_camera_illuminant(params["cross_camera"], image)


def specific(params, image):
    return mj.camera_specific_illuminant(params["camera_specific"], image, 0.99 * image, **SETTINGS)


ESTIMATORS = [cross, specific]

ROUNDING = 5e-4
"""What may become of a light when rounding moves a few pixels over the edges of bins, with numbers for parameters;
measured: 6e-5. The published networks are held to less below."""


def assert_is_light(light):
    light = np.asarray(light)
    assert light.shape == (3,)
    assert (light > 0).all()
    np.testing.assert_allclose(np.linalg.norm(light), 1, rtol=1e-5)


@pytest.mark.parametrize("estimate", ESTIMATORS)
def test_flips_do_not_matter(params, estimate):
    image = LIGHT * photo(75, 110)
    expected = estimate(params, image)
    assert_is_light(expected)
    for flipped in (image[::-1], image[:, ::-1]):
        np.testing.assert_allclose(estimate(params, flipped), expected, atol=ROUNDING)


@pytest.mark.parametrize("scale", [0.25, 2.0, 1.3])
def test_brightness_does_not_matter_across_cameras(params, scale):
    """But for the epsilon of 1e-8, which faint edges are not far from, and for rounding."""
    image = LIGHT * (0.1 + 0.5 * photo(75, 110))
    np.testing.assert_allclose(cross(params, np.float32(scale) * image), cross(params, image), atol=ROUNDING)


def test_every_input_counts(params):
    image = LIGHT * photo(75, 110)
    assert np.abs(cross(params, image) - cross(params, image[..., ::-1])).max() > 1e-4
    net = params["camera_specific"]
    light = mj.camera_specific_illuminant(net, image, 0.99 * image, iso=400, exposure_time=0.01)
    for other in (
        mj.camera_specific_illuminant(net, image[..., ::-1], 0.99 * image[..., ::-1], iso=400, exposure_time=0.01),
        mj.camera_specific_illuminant(net, image, 0.95 * image, iso=400, exposure_time=0.01),
        mj.camera_specific_illuminant(net, image, 0.99 * image, iso=800, exposure_time=0.01),
        mj.camera_specific_illuminant(net, image, 0.99 * image, iso=400, exposure_time=0.1),
    ):
        assert_is_light(other)
        assert np.abs(other - light).max() > 1e-4


IMAGES = {
    "black": np.zeros((20, 30, 3)),
    "white": np.ones((20, 30, 3)),
    "pure red": np.tile([0.5, 0.0, 0.0], (20, 30, 1)),
    "one colour": np.tile([0.2, 0.4, 0.3], (20, 30, 1)),
    "extremes": np.resize(EXTREMES, (20, 30, 3)),
    "noise": np.random.default_rng(0).uniform(size=(20, 30, 3)),
}


@functools.partial(jax.jit, static_argnums=0)
def slope(estimate, params, image):
    return jax.grad(lambda image: estimate(params, image) @ jnp.array([1.0, 2.0, 3.0]))(image)


@pytest.mark.parametrize("kind", IMAGES)
@pytest.mark.parametrize("estimate", ESTIMATORS)
def test_any_image_has_a_light_and_a_finite_gradient(params, estimate, kind):
    image = jnp.asarray(IMAGES[kind], jnp.float32)
    assert_is_light(estimate(params, image))
    gradient = np.asarray(slope(estimate, params, image))
    assert np.isfinite(gradient).all()
    if kind == "noise":  # that of the parameters is in tests/nets
        assert gradient.any()


@pytest.mark.parametrize("image", [photo(1, 1), photo(1, 30), photo(2, 3)])
@pytest.mark.parametrize("estimate", ESTIMATORS)
def test_small_images_have_a_light(params, estimate, image):
    assert_is_light(estimate(params, image))


@pytest.mark.parametrize("estimate", ESTIMATORS)
def test_jit_and_vmap(params, estimate):
    images = np.stack([LIGHT * photo(40, 60, seed) for seed in range(3)])
    one_by_one = np.stack([estimate(params, image) for image in images])
    together = jax.jit(jax.vmap(estimate, in_axes=(None, 0)))(params, images)
    np.testing.assert_allclose(together, one_by_one, atol=ROUNDING)


def test_jit_and_vmap_of_the_inputs():
    images = np.stack([LIGHT * photo(40, 60, seed) for seed in range(3)])
    functions = (
        mj.cross_camera_histogram,
        lambda image: mj.camera_specific_histogram(image, np.array([0.2, 0.2]), np.array([1.2, 1.2])),
        lambda image: mj.noise_statistics(image, 0.9 * image),
    )
    for function in functions:
        one_by_one = np.stack([function(image) for image in images])
        np.testing.assert_allclose(jax.vmap(function)(images), one_by_one, atol=1e-3)
        with jax.disable_jit():
            np.testing.assert_allclose(function(images[0]), one_by_one[0], atol=1e-3)


def test_noise_statistics_by_their_definition():
    image = photo(40, 60)
    denoised = image + np.random.default_rng(0).normal(0, 0.01, image.shape).astype(np.float32)
    removed = np.abs(image.astype(np.float64) - denoised).reshape(-1, 3)
    expected = [*removed.mean(axis=0), *removed.std(axis=0, ddof=1)]
    np.testing.assert_allclose(mj.noise_statistics(image, denoised), expected, rtol=1e-5)
    np.testing.assert_array_equal(mj.noise_statistics(image[:1, :1], image[:1, :1]), np.zeros(6))


def test_histograms_carry_their_coordinates():
    image = photo(20, 30)
    cross_camera = np.asarray(mj.cross_camera_histogram(image))
    np.testing.assert_allclose(cross_camera[0, :, 2], np.arange(48) / 47, atol=1e-6)
    np.testing.assert_allclose(cross_camera[:, 0, 3], 1 - np.arange(48) / 47, atol=1e-6)
    specific = np.asarray(mj.camera_specific_histogram(image, np.array([0.2, 0.2]), np.array([1.2, 1.2])))
    np.testing.assert_allclose(specific[:, 5, 1], np.arange(48) / 48, atol=1e-6)
    np.testing.assert_allclose(specific[5, :, 2], np.arange(48) / 48, atol=1e-6)


@pytest.mark.parametrize("xyz", [(0.95, 1.0, 1.09), (1.1, 1.0, 0.36), (0.98, 1.0, 0.7)])
def test_an_untrained_preference_keeps_the_light(untrained, xyz):
    neutral = xyz_to_neutral(np.array(xyz), PROFILE)
    for scale in (1.0, 0.3):
        preferred = mj.preferred_neutral(untrained["preference"], scale * neutral, PROFILE)
        assert preferred.dtype == np.float64
        np.testing.assert_allclose(preferred, neutral, atol=1e-5)


def test_a_preference_that_makes_no_light_is_named(untrained):
    head = untrained["preference"]["head"]
    broken = untrained["preference"] | {"head": {**head, "kernel": -head["kernel"]}}
    with pytest.raises(ValueError, match="the network made no light of"):
        mj.preferred_neutral(broken, LIGHT, PROFILE)


IMAGE = photo(20, 30)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda p: cross(p, IMAGE[..., 0]), r"image: expected an image \[H, W, 3\]"),
        (lambda p: cross(p, (255 * IMAGE).astype(np.uint8)), "image: expected floating-point values"),
        (lambda p: mj.cross_camera_illuminant(p, IMAGE), r'params\["awb"\]\["cross_camera"\], got \['),
        (lambda p: mj.cross_camera_illuminant(p["preference"], IMAGE), r'params\["awb"\]\["cross_camera"\]'),
        (lambda p: mj.cross_camera_illuminant(None, IMAGE), "got NoneType"),
        (
            lambda p: mj.camera_specific_illuminant(p["camera_specific"], IMAGE, IMAGE[1:], **SETTINGS),
            r"denoised: expected the image's size \(20, 30\), got \(19, 30\)",
        ),
        (
            lambda p: mj.camera_specific_illuminant(p["camera_specific"], IMAGE, IMAGE, iso=0, exposure_time=1),
            "iso: expected a positive number, got 0",
        ),
        (
            lambda p: mj.camera_specific_illuminant(
                p["camera_specific"], IMAGE, IMAGE, iso=50, exposure_time=float("nan")
            ),
            "exposure_time: expected a positive number, got nan",
        ),
        (
            lambda p: mj.camera_specific_illuminant(
                p["camera_specific"], IMAGE, IMAGE, iso=np.ones(1), exposure_time=1
            ),
            r"iso: expected a single number, got shape \(1,\)",
        ),
        (lambda p: mj.camera_specific_illuminant(p["cross_camera"], IMAGE, IMAGE, **SETTINGS), "camera_specific"),
        (lambda p: mj.preferred_neutral(p["camera_specific"], LIGHT, PROFILE), "preference"),
        (lambda p: mj.preferred_neutral(p["preference"], [1.0, -1.0, 1.0], PROFILE), "three positive numbers"),
        (lambda p: mj.preferred_neutral(p["preference"], LIGHT, CameraProfile()), "a camera profile with a colour"),
        (lambda p: mj.camera_specific_histogram(IMAGE, np.zeros(3), np.ones(2)), "low: expected a bound for R/G"),
        (lambda p: mj.noise_statistics(IMAGE, IMAGE[:, :5]), "denoised: expected the image's size"),
    ],
)
def test_bad_input_is_refused(untrained, call, message):
    with pytest.raises(ValueError, match=message):
        call(untrained)


# Parity.


@pytest.fixture(scope="module")
def published(shared):
    folder = shared / "reference" / "weights" / "awb"
    return mj.import_torch(
        cross_camera=folder / "model-c5_single_encoder_neutral.pth",
        camera_specific=folder / "model-awb_iso_shutter_speed_noise.pt",
        camera_specific_config=folder / "config-awb_iso_shutter_speed_noise.json",
        preference=folder / "model-c5_single_encoder_neutral_to_s24_user_pref.pt",
    )["awb"]


@pytest.fixture(scope="module")
def photographed(vectors):
    z = vectors("white_balance")
    return z, z["raw"] / np.float32(65535)


def close(actual, expected, atol):
    np.testing.assert_allclose(np.asarray(actual), expected, atol=atol, rtol=0)


@pytest.mark.reference
def test_published_parameter_counts(published):
    counts = {name: count_params(network) for name, network in published.items()}
    assert counts == {"cross_camera": 171_511, "camera_specific": 4_722, "preference": 539}


@pytest.mark.reference
def test_parity_across_cameras(published, photographed):
    z, raw = photographed
    close(mj.cross_camera_histogram(raw), z["cross_camera/hist"], 1e-6)
    close(cross(published, raw), z["cross_camera/illum"], 1e-6)


@pytest.mark.reference
def test_a_few_pixels_in_the_next_bin_are_no_other_light(published, photographed):
    """Rounding decides about pixels on the edge of a bin: with the same resize in another form, some move."""
    z, raw = photographed
    histograms = np.array(mj.cross_camera_histogram(raw))
    small = resize_bilinear(jnp.asarray(raw), SIZE, align="centers")
    histograms[..., 1] = log_chroma_histogram(edge_image(small))
    close(histograms, z["cross_camera/hist"], 2e-4)
    close(_cross_camera_light(published["cross_camera"], histograms), z["cross_camera/illum"], 1e-5)


@pytest.mark.reference
def test_parity_for_one_camera(published, photographed):
    z, raw = photographed
    net = published["camera_specific"]
    ranges, settings = net["ranges"], {"iso": 250.0, "exposure_time": 1 / 30}
    histograms, capture = _camera_specific_inputs(ranges, raw, z["denoised"], *settings.values())
    close(histograms, z["camera_specific/hist"], 1e-6)
    close(mj.camera_specific_histogram(raw, ranges["histogram_min"], ranges["histogram_max"]), histograms, 1e-6)
    close(mj.noise_statistics(raw, z["denoised"]), z["camera_specific/noise_stats"], 1e-8)
    close(capture, z["camera_specific/capture"], 1e-6)
    light = mj.camera_specific_illuminant(net, raw, z["denoised"], **settings)
    close(light, z["camera_specific/illum"], 5e-6)


@pytest.mark.reference
def test_parity_of_the_preference(published, photographed):
    z, _ = photographed
    matrices = [(6504.0, "1"), (2856.0, "2")]
    profile = CameraProfile(tuple(Calibration(cct, z[f"color_matrix{k}"]) for cct, k in matrices))
    preferred = mj.preferred_neutral(published["preference"], z["cross_camera/illum"], profile)
    close(preferred, z["preference/illum"], 1e-6)


@pytest.mark.reference
def test_laws_hold_for_the_published_networks(published, photographed):
    _, raw = photographed
    expected = cross(published, raw)
    for same in (2 * raw, np.float32(1.7) * raw, raw[::-1], raw[:, ::-1]):
        close(cross(published, same), expected, 1e-5)
    for image in IMAGES.values():
        assert_is_light(cross(published, jnp.asarray(image, jnp.float32)))
        assert_is_light(specific(published, jnp.asarray(image, jnp.float32)))
