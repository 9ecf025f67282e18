"""Laws of what is done to photos by way of their raw: identities, exposures, fusion, blur, and errors in words."""

import dataclasses
import functools
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from modisp_jax import paramisp
from modisp_jax.io.images import apply_orientation, line_as_stored
from modisp_jax.ops.demosaic import mosaic
from modisp_jax.paramisp import Capture, in_raw_space, motion_kernel, photo_to_raw, raw_to_photo, synthesize_blur
from modisp_jax.paramisp.applications import saturate
from modisp_jax.paramisp.blur import blur_image, draw_noise
from tests.paramisp.samples import CCM, ILLUMINANT, SMALL, network
from tests.samples import numbered_params, photo

CONFIG = dataclasses.replace(SMALL, blocks=0, stages=1)
CAMERA = ILLUMINANT, CCM, Capture(0.01, 2.8, 200.0, 50.0)
SIZE = (88, 92)
KEY = jax.random.key(0)


@pytest.fixture(scope="module")
def srgb():
    return jnp.asarray(photo(*SIZE))


@pytest.fixture(scope="module")
def plain():
    """Untrained networks: a gamma of 2.2 one way and the other."""
    return {name: network(name, CONFIG) for name in ("inverse_isp", "forward_isp")}


@pytest.fixture(scope="module")
def trained(plain):
    """Networks with numbers in all their parameters."""
    return {name: numbered_params(tree, 0.5) for name, tree in plain.items()}


def cycle(params, srgb):
    raw = photo_to_raw(params["inverse_isp"], srgb, *CAMERA, config=CONFIG)
    return raw_to_photo(params["forward_isp"], raw, *CAMERA, config=CONFIG)


def linear(srgb):
    return np.asarray(srgb) ** 2.2


@pytest.mark.parametrize("space", ["mosaic", "camera"])
def test_nothing_done_is_the_cycle(trained, srgb, space):
    shapes = []

    def nothing(raw):
        shapes.append(raw.shape)
        return raw

    found = in_raw_space(nothing, trained, srgb, *CAMERA, space=space, config=CONFIG)
    assert shapes == [SIZE if space == "mosaic" else (*SIZE, 3)]
    assert np.ptp(found) > 0.1
    np.testing.assert_allclose(found, cycle(trained, srgb), atol=1e-5)


def test_several_raws_are_finished_by_themselves(trained, srgb):
    def process(camera):
        return {"as": camera, "mosaic": mosaic(camera), "half": [0.5 * camera, 0.25 * camera]}

    found = in_raw_space(process, trained, srgb, *CAMERA, space="camera", config=CONFIG)
    assert set(found) == {"as", "mosaic", "half"}
    np.testing.assert_allclose(found["as"], found["mosaic"], atol=1e-5)
    alone = in_raw_space(lambda raw: 0.25 * raw, trained, srgb, *CAMERA, config=CONFIG)
    np.testing.assert_allclose(found["half"][1], alone, atol=1e-5)


def test_light_may_be_changed_under_jit_and_vmap(trained, srgb):
    """A gain that is traced, and one for each photo of a batch."""

    def brighter(srgb, gain):
        return in_raw_space(lambda raw: gain * raw, trained, srgb, *CAMERA, config=CONFIG)

    photos, gains = jnp.stack([srgb, srgb[::-1]]), jnp.array([0.5, 1.5])
    found = jax.jit(jax.vmap(brighter))(photos, gains)
    for k in (0, 1):
        np.testing.assert_allclose(found[k], brighter(photos[k], gains[k]), atol=2e-4)


def test_transfer(trained, plain, srgb):
    """From a camera to itself it is the cycle; to another, that one finishes what the first has undone."""
    nets = trained["inverse_isp"], trained["forward_isp"]
    np.testing.assert_allclose(paramisp.transfer(*nets, srgb, *CAMERA, config=CONFIG), cycle(trained, srgb), atol=1e-5)
    other = dataclasses.replace(CONFIG, clip_balanced=True)
    raw = photo_to_raw(trained["inverse_isp"], srgb, *CAMERA, config=CONFIG)
    expected = raw_to_photo(plain["forward_isp"], raw, *CAMERA, config=other)
    options = {"config": CONFIG, "forward_config": other}
    found = paramisp.transfer(trained["inverse_isp"], plain["forward_isp"], srgb, *CAMERA, **options)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_wrong_calls(plain, srgb):
    def call(process=lambda raw: raw, params=plain, srgb=srgb, **options):
        return in_raw_space(process, params, srgb, *CAMERA, config=CONFIG, **options)

    for options, match in [
        ({"space": "linear"}, "space: expected one of mosaic, camera, got 'linear'"),
        ({"pattern": "RGBG"}, "pattern: expected one of RGGB, .* got 'RGBG'"),
        ({"pattern": None}, "pattern: expected one of RGGB, .* got None"),
        ({"params": {"inverse_isp": plain["inverse_isp"]}}, "expected inverse_isp and forward_isp, got inverse_isp"),
        ({"srgb": srgb[..., 0]}, "srgb: expected an image"),
        ({"process": lambda raw: raw[0]}, "mosaic: expected"),
    ]:
        with pytest.raises(ValueError, match=match):
            call(**options)


def test_exposures(plain, srgb):
    """Those of the light, up to white and no further; a gain of 1 is the cycle."""
    srgb = 0.7 * srgb  # so that nothing is clipped
    dark, same, bright = paramisp.expose(plain, srgb, *CAMERA, gains=(0.1, 1.0, 40.0), config=CONFIG)
    np.testing.assert_allclose(same, cycle(plain, srgb), atol=1e-5)
    clear = np.asarray(same).min(axis=-1) > 0.1  # below 1e-6 the curve is a line
    np.testing.assert_allclose(linear(dark)[clear], 0.1 * linear(same)[clear], atol=1e-4)
    white = np.asarray(srgb)[20:68, 20:40].min(axis=-1) > 0.3
    np.testing.assert_allclose(np.asarray(bright)[20:68, 20:40][white], 1.0, atol=1e-5)  # whatever the light


def test_a_sensor_is_full_where_white_is():
    raw = jnp.ones((4, 6, 3))
    white = 0.5 * ILLUMINANT / 0.6 * 1.2  # of any scale
    found = saturate(raw, white)
    np.testing.assert_allclose(found, jnp.broadcast_to(ILLUMINANT, raw.shape))
    for pattern in ("RGGB", "GRBG"):
        np.testing.assert_allclose(saturate(raw[..., 0], white, pattern=pattern), mosaic(found, pattern=pattern))
    np.testing.assert_array_equal(saturate(0.3 * raw, white), 0.3 * raw)


@pytest.mark.parametrize("count", [1, 2, 4])
def test_equal_pictures_fuse_to_themselves(srgb, count):
    np.testing.assert_allclose(paramisp.fuse_exposures([srgb] * count), srgb, atol=1e-6)


def test_hdr_brightens_shadows_and_darkens_highlights(plain, srgb):
    for picture, is_brighter in ((0.3 * srgb, True), (0.8 + 0.2 * srgb, False)):
        found = paramisp.hdr(plain, picture, *CAMERA, config=CONFIG)
        assert (found.dtype, found.shape) == (np.float32, (*SIZE, 3))
        assert (found >= 0).all()
        assert (found <= 1).all()
        change = found.mean() - float(picture.mean())
        assert (change > 0.05) if is_brighter else (change < -0.05)
    exposures = paramisp.expose(plain, picture, *CAMERA, config=CONFIG)
    np.testing.assert_allclose(found, paramisp.fuse_exposures(exposures), atol=1e-5)


def test_fusion_says_what_it_needs(monkeypatch, plain, srgb):
    with pytest.raises(ValueError, match=r"pictures: expected pictures \[H, W, 3\] of one size, got none"):
        paramisp.fuse_exposures([])
    with pytest.raises(ValueError, match="of one size"):
        paramisp.fuse_exposures([srgb, srgb[1:]])
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(ValueError, match=r"hdr: needs OpenCV, .*: pip install 'modisp_jax\[hdr\]'"):
        paramisp.hdr(plain, srgb, *CAMERA, config=CONFIG)


def test_kernels_keep_energy_and_turn():
    for length in (0.0, 0.5, 1.0, 6.5, 7.0):
        for angle in (0.0, 30.0, -135.0):
            kernel = np.asarray(motion_kernel(length, angle))
            assert (kernel >= 0).all()
            np.testing.assert_allclose(kernel.sum(), 1, rtol=1e-6)
            np.testing.assert_allclose(kernel, kernel[::-1, ::-1], atol=1e-6)  # nothing is moved
            np.testing.assert_allclose(motion_kernel(length, angle + 90), np.rot90(kernel), atol=1e-6)
            np.testing.assert_allclose(motion_kernel(length, -angle), np.flipud(kernel), atol=1e-6)
            padding = (9 - len(kernel)) // 2
            np.testing.assert_allclose(motion_kernel(length, angle, 9), np.pad(kernel, padding), atol=1e-7)
            assert length > 1 or kernel.tolist() == [[1.0]]


def test_kernels_by_hand():
    np.testing.assert_allclose(motion_kernel(5.0)[2], 0.2)
    slanted = motion_kernel(9.0, 45.0)
    assert slanted[0, -1] == 0  # beyond the end
    assert slanted[2, 6] > 0.05  # up to the right
    assert slanted[6, 6] == 0
    y, x = np.mgrid[:9, :9] - 4.0
    spread = [float((slanted * (x + sign * y) ** 2).sum()) for sign in (-1, 1)]
    assert spread[0] > 20 * spread[1]


def test_kernels_may_be_traced():
    lengths, angles = jnp.array([1.0, 4.0, 6.5]), jnp.array([0.0, 20.0, 100.0])
    found = jax.jit(jax.vmap(lambda length, angle: motion_kernel(length, angle, 9)))(lengths, angles)
    for k in range(3):
        np.testing.assert_allclose(found[k], motion_kernel(lengths[k], angles[k], 9), atol=1e-6)
    slopes = jax.jit(jax.jacrev(lambda length, angle: motion_kernel(length, angle, 9), (0, 1)))(4.3, 20.0)
    assert all(bool(jnp.isfinite(slope).all()) and jnp.abs(slope).max() > 0 for slope in slopes)
    with pytest.raises(ValueError, match="size: expected the side of the kernel where length is traced"):
        jax.jit(motion_kernel)(lengths[0])
    with pytest.raises(ValueError, match="size: expected an odd number, got 8"):
        motion_kernel(3.0, size=8)
    with pytest.raises(ValueError, match="size: expected at least 5 for a line of 4 pixels, got 3"):
        motion_kernel(4.0, size=3)


def test_blurring_is_a_convolution_with_a_mirrored_border():
    image, kernel = photo(13, 17), np.asarray(motion_kernel(6.0, 25.0))
    radius = len(kernel) // 2
    padded = np.pad(image, ((radius, radius), (radius, radius), (0, 0)), "reflect")
    windows = np.lib.stride_tricks.sliding_window_view(padded, kernel.shape, (0, 1))
    expected = (windows * kernel[::-1, ::-1]).sum((-1, -2))
    np.testing.assert_allclose(blur_image(jnp.asarray(image), kernel), expected, atol=1e-6)
    constant = jnp.full((13, 17, 3), 0.3)
    np.testing.assert_allclose(blur_image(constant, kernel), constant, atol=1e-6)
    np.testing.assert_allclose(blur_image(jnp.asarray(image), motion_kernel(1.0, 0.0, len(kernel))), image, atol=1e-6)
    longer = np.asarray(motion_kernel(61.0, 25.0))  # than the picture is wide
    assert np.isfinite(blur_image(jnp.asarray(image), longer)).all()
    rim = np.pad(image[4:-4, 4:-4], ((4, 4), (4, 4), (0, 0)))
    np.testing.assert_allclose(blur_image(jnp.asarray(rim), kernel).sum((0, 1)), rim.sum((0, 1)), rtol=1e-5)


@pytest.mark.parametrize("code", range(1, 9))
def test_a_movement_is_that_of_the_upright_picture(code):
    stored = photo(15, 19)
    upright = apply_orientation(stored, code)
    expected = blur_image(jnp.asarray(upright), motion_kernel(7.0, 25.0))
    found = blur_image(jnp.asarray(stored), motion_kernel(7.0, line_as_stored(25.0, code)))
    np.testing.assert_allclose(apply_orientation(np.asarray(found), code), expected, atol=1e-6)


def test_without_movement_and_noise_nothing_is_blurred(plain, trained, srgb):
    for params in (plain, trained):
        quiet = {"noise": (0.0, 0.0), "config": CONFIG}
        for length in (0.0, 1.0):
            blurred, sharp = synthesize_blur(KEY, params, srgb, *CAMERA, length=length, **quiet)
            np.testing.assert_allclose(blurred, sharp, atol=2e-3)  # rounding, of which a gamma makes more near black
    np.testing.assert_allclose(sharp, cycle(trained, srgb), atol=1e-5)
    constant = jnp.full((*SIZE, 3), jnp.array([0.3, 0.5, 0.7]))
    blurred, sharp = synthesize_blur(KEY, plain, constant, *CAMERA, length=15.0, angle=30.0, **quiet)
    np.testing.assert_allclose(blurred, constant, atol=1e-4)
    np.testing.assert_allclose(sharp, constant, atol=1e-4)


def test_light_is_blurred_and_not_the_picture(plain):
    """A white band on black: its light is shared out over the movement, and the gamma is applied then."""
    band = jnp.zeros((*SIZE, 3)).at[:, 42:48].set(1.0)
    options = {"length": 13.0, "noise": (0.0, 0.0), "config": CONFIG}
    blurred, sharp = synthesize_blur(KEY, plain, band, *CAMERA, **options)
    np.testing.assert_allclose(sharp[30:40, 44:46], 1.0, atol=1e-4)
    profile = linear(blurred)[30:40].mean(axis=(0, -1))
    np.testing.assert_allclose(profile[42:48], 6 / 13, atol=0.01)
    np.testing.assert_allclose(profile.sum(), 6, rtol=0.02)
    streak, _ = synthesize_blur(KEY, plain, band, *CAMERA, highlights=3.0, **options)
    np.testing.assert_allclose(streak[30:40, 42:48], 1.0, atol=1e-4)  # the sensor is full, and white
    assert linear(streak)[30:40].mean(axis=(0, -1)).sum() > 1.8 * profile.sum()
    blue = band * jnp.array([0.5, 0.7, 1.0])  # of which only a channel is clipped, as of a sky
    found = [synthesize_blur(KEY, plain, blue, *CAMERA, highlights=h, **options)[0] for h in (1.0, 3.0)]
    np.testing.assert_allclose(*found, atol=1e-5)


def test_noise_is_that_of_a_sensor(plain):
    """Also under jit, with all that may be traced; black has the mean of black."""
    grey = jnp.zeros((*SIZE, 3)).at[:, :46].set(0.6)

    @functools.partial(jax.jit, static_argnames="size")
    def take(key, srgb, length, angle, noise, size):
        options = {"length": length, "angle": angle, "noise": noise, "size": size, "config": CONFIG}
        return synthesize_blur(key, plain, srgb, *CAMERA, **options)

    shot, read = 4e-3, 1e-4
    noisy, sharp = take(KEY, grey, 1.0, 0.0, (shot, read), 3)
    other, _ = take(jax.random.key(1), grey, 1.0, 0.0, (shot, read), 3)
    same, _ = synthesize_blur(KEY, plain, grey, *CAMERA, length=1.0, noise=(shot, read), config=CONFIG)
    np.testing.assert_allclose(noisy, same, atol=2e-4)
    assert not np.allclose(noisy, other, atol=1e-2)
    # Green sites of the mosaic survive demosaicing, but for the matrix; grey of .6 is raw green of .6^2.2.
    light = 0.6**2.2
    back = photo_to_raw(plain["inverse_isp"], noisy, *CAMERA, config=CONFIG)[:, :44]
    expected = photo_to_raw(plain["inverse_isp"], sharp, *CAMERA, config=CONFIG)[:, :44]
    error = np.asarray(back - expected)[0::2, 1::2]
    np.testing.assert_allclose(error.std(), np.sqrt(shot * light + read), rtol=0.06)
    np.testing.assert_allclose(error.mean(), 0, atol=0.01)


def test_noise_levels_are_as_published():
    shot, read = jax.jit(jax.vmap(draw_noise))(jax.random.split(KEY, 4000))
    log = np.log(shot)
    assert log.min() >= np.log(1e-4) - 1e-5
    assert log.max() <= np.log(0.012) + 1e-5
    np.testing.assert_allclose(log.mean(), np.log([1e-4, 0.012]).mean(), atol=0.06)
    rest = np.log(read) - (2.18 * log + 1.20)
    np.testing.assert_allclose([rest.mean(), rest.std()], [0, 0.26], atol=0.02)
