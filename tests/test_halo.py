"""Halo strength: what it must not see, what it must, and by how much."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import modisp_jax as mj
from modisp_jax.color import srgb_encode
from modisp_jax.halo import ALONG, FAR, NEAR, SIDE, best_curve, halo_sides, lightness
from modisp_jax.metrics import srgb_to_lab
from tests.samples import EXTREMES

SIZE = (80, 96)
CURVES = {
    "identity": lambda y: y,
    "gamma": lambda y: y**0.45,
    "shoulder": lambda y: y / (y + 0.1),
    "contrast": lambda y: y**2 / (y**2 + 0.03),
    "clipped": lambda y: np.clip(2.5 * y - 0.03, 0, 1),
    "falling": lambda y: 1 - y,
}


def scene(noise=0.02, tint=(1.0, 1.0, 1.0), gradient=0.3):
    """A window in a dark wall, linear sRGB [80, 96, 3]: edges of 3.5 EV, light that falls off, noise in EV."""
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    inside = (y > 30) & (x > 40)
    ev = np.where(inside, -0.7, -4.2) + gradient * (y / SIZE[0] - 0.6 * x / SIZE[1])
    ev = ev + noise * np.random.default_rng(0).standard_normal(SIZE)
    return (2.0 ** ev[..., None] * np.array(tint)).astype(np.float32)


def finished(linear):
    return np.asarray(srgb_encode(jnp.asarray(np.clip(linear, 0, 1), jnp.float32)))


def with_base_layer(linear, amount, sigma=8.0):
    """The naive local operator: the scene over its blurred log luma to the power ``amount``, sRGB."""
    import scipy.ndimage as nd

    log = np.log2(linear.mean(axis=-1).astype(np.float64))
    return finished(linear * 2.0 ** (-amount * (nd.gaussian_filter(log, sigma) - log.mean()))[..., None])


def grey_of_lightness(value):
    """sRGB [h, w, 3] of CIE L* [h, w]."""
    y = np.where(value > 8, ((value + 16) / 116) ** 3, value * 27 / 24389)
    return finished(np.repeat(y[..., None], 3, axis=-1))


@pytest.mark.parametrize("name", CURVES)
def test_no_curve_of_luma_is_a_halo(name):
    linear = scene()
    assert halo_sides(finished(linear), linear)[1].sum() > 500  # there is something to measure
    assert mj.halo_strength(finished(CURVES[name](linear)), linear) < 5e-3


def test_curves_of_colours_leave_little():
    """One tint: three curves of one luma. Of two tints lightness is no function of luma, but of each side's."""
    for tint in ((1.0, 0.5, 0.2), (0.3, 0.8, 1.0)):
        linear = scene(tint=tint)
        assert mj.halo_strength(finished(linear**0.5), linear) < 5e-3
    warm, cool = scene(tint=(1.0, 0.7, 0.4)), scene(tint=(0.4, 0.7, 1.0))
    linear = np.where(np.arange(SIZE[1])[:, None] > 40, warm, cool)
    assert mj.halo_strength(finished(linear**0.5), linear) < 0.02


def test_a_side_that_is_rendered_flatter_is_no_halo():
    """Two windows of the same luma, each with a tone curve of its own right to its border: what a halo fix aims at."""
    linear, is_left = scene(), (np.arange(SIZE[1]) < 40)[:, None]
    linear = np.where(is_left, linear[:, ::-1], linear)
    local = np.where(is_left & (linear > 0.2), 0.5 * (linear / 0.5) ** 0.5, linear)
    assert mj.halo_strength(finished(local), linear) < 0.03
    assert mj.halo_strength(finished(local), linear, local_slope=False) > 0.1


def test_stronger_base_layers_are_stronger_halos():
    linear = scene()
    strengths = [float(mj.halo_strength(with_base_layer(linear, amount), linear)) for amount in (0, 0.1, 0.2, 0.4, 0.8)]
    assert strengths[0] < 5e-3
    assert all(b > 1.5 * a for a, b in itertools.pairwise(strengths)), strengths


@pytest.mark.parametrize("amplitude", [2.0, -1.0])
def test_a_known_overshoot(amplitude):
    """A step between L* 30 and 70 with a halo of exp(-distance / 6) on the bright side: the number by hand."""
    columns = np.arange(SIZE[1]) - 48
    bright = np.broadcast_to(columns >= 0, SIZE)
    linear = np.where(bright, 0.4, 0.02)[..., None].repeat(3, axis=-1).astype(np.float32)
    value = np.where(bright, 70 + amplitude * np.exp(-np.abs(columns) / 6.0), 30)
    excess, counted = halo_sides(grey_of_lightness(value), linear)
    # The side to the right, whose edge is the first bright column.
    near, far = (np.exp(-np.arange(a, b + 1) / 6.0).mean() for a, b in (NEAR, FAR))
    right = np.asarray(excess[3])[40, 48]
    # Both sides are flat, and their values one each: T takes the halo's mean, which cancels between near and far.
    np.testing.assert_allclose(right, amplitude * (near - far), atol=2e-3)
    assert np.asarray(counted[3])[40, 48] == np.asarray(counted[1])[40, 48] == 1
    assert abs(np.asarray(excess[1])[40, 47]) < 1e-3  # the dark side has none


def test_turns_and_mirrorings_change_nothing():
    linear = scene()
    picture = with_base_layer(linear, 0.3)
    expected = mj.halo_strength(picture, linear)
    for turn in range(4):
        for mirror in (lambda a: a, np.fliplr):
            pair = [mirror(np.rot90(a, turn)) for a in (picture, linear)]
            np.testing.assert_allclose(mj.halo_strength(*pair), expected, rtol=1e-4)


def test_only_what_is_asked_for_counts():
    """No edge of 1.5 EV, or none with a flat side: nothing to measure, and 0."""
    weak = 0.2 * 2.0 ** (1.2 * (np.arange(SIZE[1]) > 48))[None, :, None] * np.ones((*SIZE, 3))
    noisy = scene(noise=0.5)
    for linear in (weak.astype(np.float32), noisy):
        assert halo_sides(finished(linear), linear)[1].sum() == 0
        assert mj.halo_strength(with_base_layer(linear, 0.5), linear) == 0


def test_what_counts_lies_within_the_picture():
    counted = np.asarray(halo_sides(finished(scene()), scene())[1])
    low, high = NEAR[1], SIZE[0] - SIDE[1] - 1
    below = counted[0]
    assert below.sum() > 0
    assert below[:low].sum() == below[high:].sum() == below[:, :ALONG].sum() == below[:, -ALONG:].sum() == 0


def test_flat_and_extreme_pictures_are_finite_with_their_gradients():
    value_and_gradient = jax.jit(jax.value_and_grad(mj.halo_strength, argnums=(0, 1)))
    images = [np.full((*SIZE, 3), value, np.float32) for value in (0.0, 0.3, 1.0)]
    mixed = np.where(np.arange(SIZE[1])[:, None] > 48, images[1], images[0])
    extreme = np.resize(EXTREMES, (*SIZE, 3))
    for picture in (*images, mixed, extreme):
        for linear in (*images, mixed, extreme):
            value, gradients = value_and_gradient(picture, linear)
            assert np.isfinite(value)
            assert all(np.isfinite(g).all() for g in gradients)


def test_jit_and_vmap():
    linear = scene()
    pictures = jnp.stack([with_base_layer(linear, amount) for amount in (0.1, 0.4)])
    together = jax.jit(jax.vmap(mj.halo_strength, in_axes=(0, None)))(pictures, linear)
    np.testing.assert_allclose(together, [mj.halo_strength(picture, linear) for picture in pictures], rtol=1e-5)


def test_the_curve_is_exact_on_lines_however_x_is_spread():
    x = np.where(np.arange(40)[:, None] > 20, 0.0, 1.0) + 0.003 * np.random.default_rng(0).standard_normal((40, 50))
    x[0, :2] = -3, 4
    y = 5 * x + 2
    np.testing.assert_allclose(best_curve(jnp.asarray(x, jnp.float32), jnp.asarray(y, jnp.float32)), y, atol=0.02)


def test_lightness_is_that_of_lab():
    srgb = np.random.default_rng(0).uniform(size=(9, 7, 3)).astype(np.float32) ** 3
    np.testing.assert_allclose(lightness(srgb), srgb_to_lab(srgb)[..., 0], atol=1e-2)  # its matrix is rounded


@pytest.mark.parametrize(
    ("picture", "linear", "message"),
    [
        (np.zeros((40, 40)), np.zeros((40, 40, 3)), r"picture: expected an image \[H, W, 3\]"),
        (np.zeros((40, 40, 3)), np.zeros((40, 44, 3)), r"of one size, got \(40, 40\) and \(40, 44\)"),
        (np.zeros((35, 40, 3)), np.zeros((35, 40, 3)), r"at least 36 pixels a side, got \(35, 40\)"),
    ],
)
def test_wrong_pictures_are_refused(picture, linear, message):
    with pytest.raises(ValueError, match=message):
        mj.halo_strength(picture, linear)
