"""Editing operators: the laws that ours keep and the published ones break, and parity for the published."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from modisp_jax.color import rgb_to_ycbcr
from modisp_jax.ops.edits import edit_colors, edit_tones, sharpen
from modisp_jax.ops.edits_published import published_edit_colors, published_edit_tones, published_sharpen
from tests import samples

tones, colors, sharper = jax.jit(edit_tones), jax.jit(edit_colors), jax.jit(sharpen)
published_sharper = jax.jit(published_sharpen)
OURS = {"tones": (tones, 3, 1.0), "colors": (colors, 2, 1.0), "sharpen": (sharper, 1, 50.0)}
SLIDERS = [
    pytest.param(*[OURS[name][0], functools.partial(np.multiply, np.eye(OURS[name][1])[i])], id=slider)
    for slider, name, i in [
        ("contrast", "tones", 0),
        ("highlights", "tones", 1),
        ("shadows", "tones", 2),
        ("vibrance", "colors", 0),
        ("saturation", "colors", 1),
        ("sharpen", "sharpen", 0),
    ]
]


def photo(height=40, width=56, seed=0):
    """The photo of the samples with black, white and fully saturated pixels."""
    image = samples.photo(height, width, seed)
    image[:2, :8] = np.array(list(itertools.product((0.0, 1.0), repeat=3)), np.float32)
    return image


def corners(count, largest):
    """Every combination of the ends of some sliders."""
    low = 0.0 if largest > 1 else -largest
    return list(itertools.product((low, largest), repeat=count))


def cbcr_cross(before, after):
    """How far chroma turned: 0 where the two (Cb, Cr) are parallel."""
    before, after = (np.asarray(rgb_to_ycbcr(jnp.asarray(x))) for x in (before, after))
    return before[..., 1] * after[..., 2] - before[..., 2] * after[..., 1]


@pytest.mark.parametrize("name", OURS)
def test_zero_is_the_identity_bit_by_bit(name):
    run, count, _ = OURS[name]
    np.testing.assert_array_equal(run(photo(), *[0.0] * count), photo())


@pytest.mark.parametrize("name", OURS)
def test_the_operators_themselves_are_the_identity_at_zero(name):
    operator, count = {"tones": edit_tones, "colors": edit_colors, "sharpen": sharpen}[name], OURS[name][1]
    np.testing.assert_allclose(jax.jit(operator.__wrapped__)(photo(), *[0.0] * count), photo(), atol=1e-6)


@pytest.mark.parametrize("name", OURS)
def test_range_hue_and_the_ends_of_grey(name):
    run, count, largest = OURS[name]
    image = photo()
    for sliders in corners(count, largest):
        out = np.asarray(run(image, *sliders))
        assert out.min() >= 0
        assert out.max() <= 1
        assert np.abs(cbcr_cross(image, out)).max() < 1e-6
        for grey in (0.0, 1.0):
            np.testing.assert_array_equal(run(np.full((8, 8, 3), grey, np.float32), *sliders), grey)
        flat = np.asarray(run(np.full((8, 8, 3), 0.4, np.float32), *sliders))
        np.testing.assert_allclose(flat, flat[..., :1] * np.ones(3), atol=1e-6)


@pytest.mark.parametrize(("run", "at"), SLIDERS[1:3])
def test_more_highlights_or_shadows_darkens_no_channel_of_any_pixel(run, at):
    frames = np.stack([run(photo(), *at(x)) for x in np.linspace(-1, 1, 21)])
    assert np.diff(frames, axis=0).min() > -1e-6
    assert (frames[-1] - frames[0]).max() > 0.1


def test_more_contrast_moves_away_from_mid_grey():
    y = np.linspace(0, 1, 101, dtype=np.float32)
    image = y[:, None, None, None] * np.ones((1, 1, 1, 3), np.float32)
    frames = np.stack([jax.vmap(lambda i: tones(i, x, 0.0, 0.0))(image)[:, 0, 0, 0] for x in np.linspace(-1, 1, 9)])  # noqa: B023
    step = np.diff(frames, axis=0)
    pivot = 0.5**2.2
    assert step[:, y > pivot].min() > -1e-6
    assert step[:, y < pivot].max() < 1e-6
    assert step[:, np.abs(y - 0.7) < 0.01].min() > 0.01


@pytest.mark.parametrize(("run", "at"), SLIDERS[3:5])
def test_more_vibrance_or_saturation_lowers_no_chroma_and_keeps_luma(run, at):
    frames = np.asarray(rgb_to_ycbcr(jnp.stack([run(photo(), *at(x)) for x in np.linspace(-1, 1, 21)])))
    chroma = np.hypot(frames[..., 1], frames[..., 2])
    assert np.diff(chroma, axis=0).min() > -1e-6
    np.testing.assert_allclose(frames[..., 0], frames[10, ..., 0] * np.ones((21, 1, 1)), atol=1e-6)


def test_saturation_at_the_bottom_is_grey_and_vibrance_prefers_muted_colours():
    grey = np.asarray(colors(photo(), 0.3, -1.0))
    np.testing.assert_allclose(grey, grey[..., :1] * np.ones(3), atol=1e-6)

    def gain(color):
        out = rgb_to_ycbcr(colors(jnp.asarray(color).reshape(1, 1, 3), 1.0, 0.0))[0, 0, 1:]
        return float(jnp.linalg.norm(out) / jnp.linalg.norm(rgb_to_ycbcr(jnp.asarray(color))[1:]))

    sky, strong_sky, skin = [0.5, 0.55, 0.62], [0.2, 0.4, 0.8], [0.75, 0.58, 0.48]
    assert gain(sky) > 1.7
    assert gain(strong_sky) < 1.4
    assert gain(skin) < 1.4  # as muted as a sky that gains more
    assert gain([0.48, 0.58, 0.75]) > gain(skin) + 0.1


TONES = np.linspace(0, 1, 2001)
"""Displayed tones; each becomes a flat picture, so that a law of one tone is a law of the curve."""


def curves(operator, sliders):
    flat = jnp.asarray(TONES**2.2, jnp.float32)[:, None, None, None] * jnp.ones((1, 1, 1, 3))
    y = rgb_to_ycbcr(jax.vmap(lambda image: operator(image, *sliders))(flat))[:, 0, 0, 0]
    return np.asarray(y, np.float64).clip(0) ** (1 / 2.2)


SETTINGS = [*itertools.product((-1.0, 1.0), repeat=3), (1.0, 0.0, 0.0), (0.0, -1.0, 0.0), (0.0, 0.0, 1.0)]


def slopes_and_bends(operator, sliders):
    """First and second derivative of the displayed tone in the displayed tone, away from black's rounding."""
    curve = curves(operator, sliders)[20::10]
    step = TONES[10] - TONES[0]
    return np.diff(curve) / step, np.diff(curve, 2) / step**2


@pytest.mark.parametrize("sliders", SETTINGS)
def test_tones_keep_their_order_without_steps_or_flats(sliders):
    slope, bend = slopes_and_bends(tones, sliders)
    assert slope.min() > 0.05
    assert slope.max() < 6
    assert np.abs(bend).max() < 60  # a step of .002 would be 80


@pytest.mark.parametrize("sliders", [(0.0, -1.0, 0.0), (0.0, 0.0, 1.0), (1.0, 0.0, 0.0)])
def test_the_published_tones_do_not(sliders):
    slope, bend = slopes_and_bends(jax.jit(published_edit_tones), sliders)
    assert slope.min() <= 0
    assert np.abs(bend).max() > 200


def test_strengths_are_a_photographers():
    stops = lambda sliders, t: 2.2 * np.log2(np.interp(t, TONES, curves(tones, sliders)) / t)  # noqa: E731
    assert 1.0 < stops((0.0, 0.0, 1.0), 0.2) < 1.6  # shadows rise by more than a stop
    assert stops((0.0, 0.0, 1.0), 0.75) < 0.1
    assert -0.9 < stops((0.0, -1.0, 0.0), 0.8) < -0.5  # bright skies fall
    assert stops((0.0, -1.0, 0.0), 0.4) > -0.1


@pytest.mark.parametrize("sliders", SETTINGS)
def test_a_ramp_keeps_its_order_and_an_edge_gets_no_halo(sliders):
    ramp = (np.linspace(0, 1, 200) ** 2.2).astype(np.float32)[None, :, None] * np.ones((60, 1, 3), np.float32)
    assert np.diff(np.asarray(tones(ramp, *sliders))[..., 0], axis=1).min() > -1e-6
    edge = np.full((240, 200, 3), 0.2**2.2, np.float32)  # high enough for a window of several pixels
    edge[:, 100:] = 0.8**2.2
    shown = np.asarray(tones(edge, *sliders))[120, :, 0] ** (1 / 2.2)
    np.testing.assert_allclose(shown[:100], shown[0], atol=0.025)
    np.testing.assert_allclose(shown[100:], shown[-1], atol=0.025)


def test_texture_survives_what_flattens_the_curve():
    y = np.full((80, 80), 0.4) + 0.03 * np.sign(np.sin(np.arange(80) * 2.0))
    texture = (y**2.2).astype(np.float32)[..., None] * np.ones(3, np.float32)
    shown = np.asarray(tones(texture, 0.0, -1.0, 1.0))[..., 0] ** (1 / 2.2)
    curve = np.interp([0.37, 0.43], TONES, curves(tones, (0.0, -1.0, 1.0)))
    assert np.ptp(shown[30:50, 30:50]) > 1.4 * np.ptp(curve)


@pytest.mark.parametrize(("run", "at"), SLIDERS)
def test_every_slider_has_its_slope_at_zero_too(run, at):
    image = jnp.asarray(0.15 + 0.6 * samples.photo(24, 32))  # within the cube, whose surface makes a corner at 0
    weight = jnp.asarray(samples.photo(24, 32, seed=1))
    unit = jnp.asarray(at(1.0), jnp.float32)
    largest = 50.0 if len(unit) == 1 else 1.0
    value = jax.jit(jax.value_and_grad(lambda x: ((run(image, *(x * unit)) - image) * weight).sum()))
    for x in (0.0, 0.4 * largest):
        width = 0.01 * largest
        below = 0.0 if x == 0 and largest > 1 else x - width  # sharpening begins at 0
        slope = (value(x + width)[0] - value(below)[0]) / (x + width - below)
        np.testing.assert_allclose(value(x)[1], slope, rtol=3e-2, atol=5e-3)
        moved = jax.jvp(lambda x: run(image, *(x * unit)), (jnp.float32(x),), (1.0,))[1]
        assert np.abs(moved).max() > 1e-2 / largest


@pytest.mark.parametrize("name", OURS)
def test_extremes_are_finite(name):
    run, count, largest = OURS[name]
    image = jnp.asarray(np.resize(samples.EXTREMES, (7, 9, 3)))
    value = jax.jit(jax.value_and_grad(lambda i, s: run(i, *s).sum(), (0, 1)))
    for x in [*samples.EXTREMES, largest, -largest]:
        for picture in (image, jnp.asarray(photo(7, 9)), jnp.zeros((7, 9, 3)), jnp.ones((7, 9, 3))):
            total, gradients = value(picture, jnp.full(count, x))
            assert np.isfinite(total)
            assert all(np.isfinite(gradient).all() for gradient in gradients), x


@pytest.mark.parametrize("name", OURS)
def test_vmap_is_a_loop(name):
    run, count, largest = OURS[name]
    images = jnp.stack([photo(seed=seed) for seed in range(3)])
    strengths = jnp.array([0.0, 0.5, 1.0]) * largest
    loop = jnp.stack([run(image, *[s] * count) for image, s in zip(images, strengths, strict=True)])
    many = jax.vmap(lambda image, s: run(image, *[s] * count))(images, strengths)
    np.testing.assert_allclose(many, loop, atol=2e-6)


@pytest.mark.parametrize("name", OURS)
@pytest.mark.parametrize("size", [(1, 1), (1, 9), (2, 3)])
def test_tiny_pictures(name, size):
    run, count, largest = OURS[name]
    image = samples.photo(10, 10)[: size[0], : size[1]]
    assert np.isfinite(run(image, *[0.7 * largest] * count)).all()


def test_sharpening_does_not_take_the_frame_for_an_edge():
    flat = np.full((12, 16, 3), 0.5, np.float32)
    np.testing.assert_allclose(sharper(flat, 50.0), flat, atol=1e-6)
    assert np.abs(published_sharper(flat, 50.0) - flat).max() > 0.4


def test_a_crop_is_sharpened_as_in_the_whole_picture():
    image = 0.2 + 0.3 * samples.photo(40, 56)
    image[:5, :5] = 1.0  # a strong edge elsewhere
    crop = (slice(10, 30), slice(12, 44))
    inner = (slice(3, -3), slice(3, -3))
    for run, same in ((sharper, True), (published_sharper, False)):
        whole, part = np.asarray(run(image, 20.0))[crop][inner], np.asarray(run(image[crop], 20.0))[inner]
        assert (np.abs(whole - part).max() < 1e-6) == same


def test_sharpening_steepens_edges_and_leaves_noise():
    edge = np.full((20, 40, 3), 0.3, np.float32)
    edge[:, 20:] = 0.6
    out = np.asarray(sharper(edge, 15.0))[10, :, 0]
    assert out[20] - out[19] > 0.4
    assert out.min() > 0.7 * 0.3  # no further than three tenths of the way to black and to white
    assert out.max() < 0.6 + 0.3 * 0.4
    noise = 0.4 + 0.003 * np.random.default_rng(0).standard_normal((40, 40, 1)) * np.ones(3)
    grown = np.std(sharper(noise.astype(np.float32), 15.0)) / np.std(noise)
    assert grown < 1.1
    frames = np.stack([sharper(edge, amount)[10, :, 0] for amount in (0.0, 5.0, 15.0, 50.0)])
    assert np.diff(frames[:, 20]).min() > 0
    assert np.diff(frames[:, 19]).max() < 0


@pytest.mark.reference
@pytest.mark.parametrize("value", [-0.7, 0.5])
def test_agrees_with_the_published_edits(vectors, value):
    z = vectors("stage_functions")
    image = z["edit/srgb"]
    for i, name in enumerate(("contrast", "highlights", "shadows")):
        out = rgb_to_ycbcr(published_edit_tones(image, *(value * np.eye(3, dtype=np.float32)[i])))
        np.testing.assert_allclose(out, z[f"edit/{name}_{value}"], atol=1e-6)
    for i, name in enumerate(("vibrance", "saturation")):
        out = published_edit_colors(image, *(value * np.eye(2, dtype=np.float32)[i]))
        np.testing.assert_allclose(out, z[f"edit/{name}_{value}"], atol=1e-6)


@pytest.mark.reference
def test_agrees_with_the_published_sharpening(vectors):
    z = vectors("stage_functions")
    np.testing.assert_allclose(published_sharper(z["edit/srgb"], 12.0), z["edit/sharpen_12"], atol=2e-6)
