"""Automatic exposure, ours and published."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from modisp_jax.color import rgb_to_ycbcr
from modisp_jax.ops.exposure import (
    FREE,
    LIMIT,
    auto_exposure_ev,
    expose,
    published_auto_exposure_ev,
    published_expose,
)
from tests import samples

ev_of = jax.jit(auto_exposure_ev)
brighten = jax.jit(expose)
ev_and_gradient = jax.jit(jax.value_and_grad(auto_exposure_ev))
LINEAR = (samples.photo(96, 128) ** 2.2 * 0.4).astype(np.float32)


@pytest.mark.parametrize("stops", [-3.0, -1.5, -0.3, 0.5, 1.2])
def test_a_picture_twice_as_bright_gets_one_ev_less(stops):
    before, after = ev_of(LINEAR), ev_of(LINEAR * np.float32(2.0**stops))
    assert (LINEAR * 2.0**stops).max() < 1
    if abs(before) < FREE and abs(before - stops) < FREE:
        np.testing.assert_allclose(after, before - stops, atol=1e-4)
    else:
        assert np.sign(before - after) == np.sign(stops)


def test_the_free_range_covers_most_of_these():
    inside = [stops for stops in (-1.5, -0.3, 0.5, 1.2) if abs(ev_of(LINEAR) - stops) < FREE]
    assert len(inside) == 4


def test_middle_tones_end_near_the_key():
    for level in (0.03, 0.1, 0.3):
        exposed = level * 2.0 ** float(ev_of(np.full((40, 50, 3), level, np.float32)))
        assert exposed == pytest.approx(0.13, rel=0.02)


def test_bright_parts_hold_the_exposure_back():
    dark = np.full((128, 128, 3), 0.02, np.float32)
    lamp = dark.copy()
    lamp[:32, :32] = 1.0
    speck = dark.copy()
    speck[0, 0] = 1.0
    assert ev_of(lamp) < ev_of(dark) - 1
    assert abs(ev_of(speck) - ev_of(dark)) < 0.8


@pytest.mark.parametrize("level", [0.0, 1e-8, 0.5, 1.0])
def test_frames_of_one_tone_are_finite(level):
    value, gradient = ev_and_gradient(jnp.full((20, 30, 3), level, jnp.float32))
    assert abs(value) <= LIMIT
    assert np.isfinite(gradient).all()


def test_extremes_are_finite():
    value, gradient = ev_and_gradient(jnp.asarray(np.resize(samples.EXTREMES, (20, 30, 3))))
    assert abs(value) <= LIMIT
    assert np.isfinite(gradient).all()


def test_the_gradient_is_the_slope():
    direction = samples.photo(96, 128, seed=3) * LINEAR
    value = jax.jit(jax.value_and_grad(lambda t: auto_exposure_ev(LINEAR + t * direction)))
    slope = (value(0.02)[0] - value(-0.02)[0]) / 0.04
    np.testing.assert_allclose(value(0.0)[1], slope, rtol=1e-2)
    assert abs(slope) > 0.1


def test_vmap_is_a_loop():
    images = jnp.stack([LINEAR, 0.5 * LINEAR])
    loop = jnp.stack([ev_of(image) for image in images])
    np.testing.assert_allclose(jax.vmap(ev_of)(images), loop, atol=1e-5)


@pytest.mark.parametrize("size", [(1, 1), (7, 300), (129, 260)])
def test_any_size(size):
    np.testing.assert_allclose(ev_of(jnp.full((*size, 3), 0.13)), 0.0, atol=0.02)


def test_no_exposure_changes_nothing():
    np.testing.assert_array_equal(brighten(LINEAR, 0.0), LINEAR)


@pytest.mark.parametrize("ev", [-3.0, -0.5, 0.7, 2.0, 5.0])
def test_exposing_keeps_hue_order_and_range(ev):
    image = samples.photo(48, 64)
    out = np.asarray(brighten(image, ev))
    assert out.min() >= 0
    assert out.max() <= 1
    before, after = (np.asarray(rgb_to_ycbcr(x)) for x in (image, out))
    cross = before[..., 1] * after[..., 2] - before[..., 2] * after[..., 1]
    assert np.abs(cross).max() < 1e-6  # parallel ...
    assert ((before[..., 1:] * after[..., 1:]).sum(axis=-1) > -1e-9).all()  # ... and not opposite
    order = np.argsort(before[..., 0], axis=None)
    assert np.diff(after[..., 0].ravel()[order]).min() > -1e-6


def test_exposing_is_linear_where_there_is_room_and_keeps_white():
    np.testing.assert_allclose(brighten(LINEAR, -2.0), LINEAR / 4, rtol=1e-6)
    dark = LINEAR * 0.2
    np.testing.assert_allclose(brighten(dark, 1.5), dark * 2**1.5, rtol=5e-3, atol=1e-6)
    np.testing.assert_array_equal(brighten(np.ones((4, 4, 3), np.float32), 3.0), 1.0)
    ramp = np.linspace(0, 1, 257, dtype=np.float32)[:, None, None] * np.ones(3, np.float32)
    for ev in (0.5, 1.0, 3.0):
        assert np.diff(np.asarray(brighten(ramp, ev))[:, 0, 0]).min() > 0  # nothing clips
    assert (np.diff(np.asarray(published_expose(ramp, 1.0))[:, 0, 0]) == 0).any()


def test_more_exposure_darkens_nothing():
    image = samples.photo(32, 40)
    frames = np.stack([brighten(image, ev) for ev in np.linspace(-4, 4, 33)])
    assert np.diff(frames, axis=0).min() > -1e-6


WEIGHT = samples.photo(16, 20, seed=1)
weighed = jax.jit(jax.value_and_grad(lambda ev, image: (expose(image, ev) * WEIGHT).sum(), (0, 1)))


def test_the_gradient_of_exposing():
    image = jnp.asarray(samples.photo(16, 20))
    for ev in (-1.0, 0.4, 2.0):
        slope = (weighed(ev + 0.01, image)[0] - weighed(ev - 0.01, image)[0]) / 0.02
        np.testing.assert_allclose(weighed(ev, image)[1][0], slope, rtol=1e-2)
    extremes = jnp.asarray(np.resize(samples.EXTREMES, image.shape))
    for ev in samples.EXTREMES:
        value, gradients = weighed(ev, extremes)
        assert np.isfinite(value)
        assert all(np.isfinite(gradient).all() for gradient in gradients), ev


def test_published_steps_have_no_gradient():
    gradient = jax.jit(jax.grad(published_auto_exposure_ev))(LINEAR)
    assert not gradient.any()


@pytest.mark.reference
def test_agrees_with_the_published_exposure(vectors):
    published = jax.jit(published_auto_exposure_ev)
    z = vectors("stage_functions")
    ev = published(z["auto_exposure/lsrgb"])
    np.testing.assert_allclose(ev, z["auto_exposure/ev"][0], atol=1e-6)
    np.testing.assert_allclose(published_expose(z["auto_exposure/lsrgb"], ev), z["auto_exposure/out"], atol=1e-6)
    linear = vectors("pipeline_style0")["default/lsrgb"]
    for factor, expected in ((0.7, 1.575), (1, 1.05), (1.6, 0.375), (3, -0.525), (6, -1.575)):
        scaled = np.clip(linear * np.float32(factor), 0, 1)
        np.testing.assert_allclose(published(scaled), expected, atol=1e-6)


@pytest.mark.reference
def test_ours_is_of_the_published_ones_mind(vectors):
    for name in ("pipeline_style0", "pipeline_style1lut"):
        linear = vectors(name)["default/lsrgb"]
        assert abs(ev_of(linear) - published_auto_exposure_ev(linear)) < 0.6
