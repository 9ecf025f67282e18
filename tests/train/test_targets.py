"""The styles' renderers: what their fields say, and that they are finite everywhere."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from modisp_jax.color import rgb_to_ycbcr
from tests.samples import photo
from train.targets import STYLES, Renderer, is_grey, local_mean, render_target

SCENE = jnp.asarray(photo(24, 32)) ** 2.2 * 0.5
RENDERERS = {name: renderer for name, renderer in STYLES.items() if renderer is not None}


@pytest.mark.parametrize("name", RENDERERS)
def test_a_target_is_a_picture(name):
    picture = render_target(RENDERERS[name], SCENE)
    assert picture.shape == SCENE.shape
    assert picture.min() >= 0
    assert picture.max() <= 1
    np.testing.assert_allclose(jax.jit(lambda x: render_target(RENDERERS[name], x))(SCENE), picture, atol=1e-6)


@pytest.mark.parametrize("name", RENDERERS)
@pytest.mark.parametrize("level", [0.0, 1e-30, 0.5, 1.0])
def test_flat_scenes_have_finite_targets_and_gradients(name, level):
    scene = jnp.full((8, 8, 3), level)
    target, gradient = jax.value_and_grad(lambda x: render_target(RENDERERS[name], x).mean())(scene)
    assert np.isfinite(target)
    assert np.isfinite(gradient).all()


def test_brighter_scenes_have_brighter_targets():
    """Not by as much: exposure goes part of the way to its key."""
    renderer = Renderer("plain", least=0.1)
    dark, light = (render_target(renderer, SCENE * factor).mean() for factor in (0.25, 1.0))
    assert dark < light < 4 * dark


def test_styles_are_clearly_different():
    pictures = [np.asarray(render_target(renderer, SCENE)) for renderer in RENDERERS.values()]
    for i, first in enumerate(pictures):
        for second in pictures[i + 1 :]:
            assert np.abs(first - second).mean() > 0.02


def test_a_style_is_grey_when_its_targets_are():
    sepia = dataclasses.replace(RENDERERS["mono"], shadow_tint=(0.03, 0.015, 0.0))
    for renderer in (*RENDERERS.values(), sepia):
        assert is_grey(renderer) == (jnp.ptp(render_target(renderer, SCENE), axis=-1).max() < 1e-6)
    assert is_grey(RENDERERS["mono"])
    assert not is_grey(None)


def test_the_fields_do_what_they_say():
    plain = Renderer("plain")
    change = lambda **fields: np.asarray(render_target(dataclasses.replace(plain, **fields), SCENE))  # noqa: E731
    base = change()
    chroma = lambda x: np.abs(rgb_to_ycbcr(x)[..., 1:]).mean()  # noqa: E731
    assert chroma(change(saturation=1.5)) > chroma(base) > chroma(change(saturation=0.5))
    np.testing.assert_allclose(chroma(change(saturation=0.0)), 0, atol=1e-4)
    warm = change(balance=(1.2, 1.0, 0.8))
    assert warm[..., 0].mean() > base[..., 0].mean()
    assert warm[..., 2].mean() < base[..., 2].mean()
    assert change(key=0.2).mean() > base.mean()
    assert np.log(change(contrast=1.3) + 0.01).std() > np.log(base + 0.01).std()
    assert np.log(change(local=0.5) + 0.01).std() < np.log(base + 0.01).std()
    assert change(shadow_tint=(0.05, 0.0, 0.0))[..., 0].min() > base[..., 0].min()


def test_the_local_mean_keeps_constants_and_strong_edges():
    np.testing.assert_allclose(local_mean(jnp.full((16, 20, 1), 3.0)), 3.0, rtol=1e-5)
    step = jnp.where(jnp.arange(48)[None, :, None] < 24, -6.0, 2.0) * jnp.ones((48, 48, 1))
    assert np.abs(local_mean(step) - step).max() < 1.0  # of 8 EV; a plain mean would be 4 off
    ripple = 0.1 * (-1.0) ** jnp.arange(48)[None, :, None] * jnp.ones((48, 48, 1))
    assert np.abs(local_mean(ripple)).max() < 0.03
