"""A person's edits in the whole pipeline: neutral ones change nothing, all others act, traced, with gradients."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import modisp_jax as mj
from modisp_jax.config import EDIT_RANGES
from modisp_jax.types import compiled_edits
from tests.samples import TINY, raw

SIZE = (32, 48)
RAW = raw(*SIZE)
SLIDERS = [name for name in EDIT_RANGES if getattr(mj.Edits(), name) == 0.0]


@pytest.fixture(scope="module")
def params():
    """Untrained networks: what they make is the plain rendering, so that a slider's effect is its own."""
    return mj.init_params(jax.random.key(0), TINY)


@pytest.fixture(scope="module")
def program():
    """(params, edits) -> picture, compiled once for all."""
    return jax.jit(lambda params, edits: mj.render(params, RAW, edits=edits))


@pytest.fixture(scope="module")
def picture(program, params):
    return functools.partial(program, params)


@pytest.fixture(scope="module")
def neutral(picture):
    return picture(mj.Edits())


def test_neutral_sliders_change_nothing(picture, params):
    """Traced zeros, which are decided on when the program runs, and zeros that are known when it is compiled."""
    np.testing.assert_allclose(picture(mj.Edits()), mj.render(params, RAW), atol=1e-6)


def test_every_slider_acts(picture, neutral):
    for name in SLIDERS:
        low, high = EDIT_RANGES[name]
        changed = picture(mj.Edits(**{name: 0.5 * high}))
        assert changed.shape == neutral.shape
        assert ((changed >= 0) & (changed <= 1)).all(), name
        assert float(jnp.abs(changed - neutral).mean()) > 1e-4, name
        if low < 0:
            other = picture(mj.Edits(**{name: 0.5 * low}))
            assert float(jnp.abs(other - changed).mean()) > 1e-4, name


def test_sliders_go_the_way_that_they_say(picture, neutral):
    def mean(**edits):
        return float(picture(mj.Edits(**edits)).mean())

    for name in ("exposure", "highlights", "shadows"):
        assert mean(**{name: -0.7}) < float(neutral.mean()) < mean(**{name: 0.7}), name
    assert float(jnp.ptp(picture(mj.Edits(saturation=-1.0)), axis=-1).max()) < 1e-6
    assert float(picture(mj.Edits(contrast=0.8)).std()) > float(neutral.std())


@pytest.fixture(scope="module")
def without_networks(params):
    """Edits -> picture by closed forms alone, which compile fast, gradients too."""
    look = mj.render_stages(params, RAW).look
    bare = {"photofinish": params["photofinish"]}
    return lambda edits: mj.render(bare, RAW, edits=edits, look=look)


def test_every_slider_has_a_gradient_where_it_is_neutral(without_networks):
    gradient = jax.jit(jax.grad(lambda edits: jnp.mean(without_networks(edits) ** 2)))(mj.Edits())
    for name in EDIT_RANGES:
        assert np.isfinite(getattr(gradient, name)), name
    # Of the strengths of stages only the power curve's does anything to untrained ones.
    for name in (*SLIDERS, "gamma"):
        assert getattr(gradient, name) != 0, name


def test_vmap_over_a_slider_is_the_loop(without_networks):
    picture = jax.jit(lambda value: without_networks(mj.Edits(contrast=value, shadows=-value)))
    values = jnp.array([-0.5, 0.0, 0.5])
    for one, value in zip(jax.vmap(picture)(values), values, strict=True):
        np.testing.assert_allclose(one, picture(value), atol=2e-4)


def test_only_groups_of_sliders_in_use_are_compiled():
    none = compiled_edits(mj.Edits(exposure=0.5))
    assert {name for name in EDIT_RANGES if getattr(none, name) is None} == set(SLIDERS) - {"exposure"}
    some = compiled_edits(mj.Edits(contrast=np.float32(0.1), crop=(0, 0, 1, 0.5)))
    assert (some.contrast, some.shadows, some.saturation, some.sharpening) == (np.float32(0.1), 0.0, 0.0, None)
    assert some.crop is None
    traced = jax.eval_shape(compiled_edits, mj.Edits())
    assert not {name for name in EDIT_RANGES if getattr(traced, name) is None}


def test_crop_is_a_part_of_the_picture(params):
    whole = mj.render_stages(params, RAW)
    part = mj.render_stages(params, RAW, edits=mj.Edits(crop=(0.25, 0.5, 0.5, 0.25)))
    np.testing.assert_array_equal(part.srgb, whole.srgb[8:24, 24:36])
    np.testing.assert_array_equal(part.enhanced, whole.srgb)  # nothing else is edited
    edits = mj.Edits(crop=(0.0, 0.0, 0.5, 1.0))
    assert jax.eval_shape(lambda edits: mj.render(params, RAW, edits=edits), edits).shape == (16, 48, 3)
    for crop in ((0, 0, 0, 1), (0.6, 0, 0.5, 1), (0, 0, 1), (0, 0, float("nan"), 1)):
        with pytest.raises(ValueError, match="crop: expected"):
            mj.render(params, RAW, edits=mj.Edits(crop=crop))


def test_automatic_exposure_says_what_it_did(params):
    stages = mj.render_stages(
        params, dataclasses.replace(RAW, image=0.05 * RAW.image), edits=mj.Edits(auto_exposure=0.5)
    )
    full = mj.render_stages(params, dataclasses.replace(RAW, image=0.05 * RAW.image), edits=mj.Edits(auto_exposure=1.0))
    assert float(full.auto_exposure) > 0.3
    np.testing.assert_allclose(stages.auto_exposure, 0.5 * full.auto_exposure, rtol=1e-5)
    assert float(mj.render_stages(params, RAW).auto_exposure) == 0.0


def test_a_look_may_be_given(params):
    stages = mj.render_stages(params, RAW)
    given = mj.render_stages(params, RAW, look=stages.look)
    np.testing.assert_allclose(given.srgb, stages.srgb, atol=2e-4)
    brighter = dataclasses.replace(stages.look, gain=1.2 * stages.look.gain)
    by_look = mj.render_stages(params, RAW, look=brighter)
    by_function = mj.render_stages(params, RAW, look=lambda look: dataclasses.replace(look, gain=1.2 * look.gain))
    np.testing.assert_array_equal(by_function.srgb, by_look.srgb)
    assert float(by_look.srgb.mean()) > float(stages.srgb.mean())
    with pytest.raises(ValueError, match=r"look.ltm: expected shape \(8, 12, 5\) for this photo, got \(9, 9, 5\)"):
        mj.render(params, RAW, look=dataclasses.replace(stages.look, ltm=jnp.zeros((9, 9, 5))))


def test_operators_are_of_two_kinds(params):
    stages, edits = mj.render_stages(params, RAW), mj.Edits(shadows=0.8)
    ours = mj.apply_look(stages.look, stages.linear_small, edits=edits)
    config = mj.RenderConfig(operators="published")
    theirs = mj.apply_look(stages.look, stages.linear_small, edits=edits, config=config)
    assert float(jnp.abs(ours - theirs).max()) > 0.01
    with pytest.raises(ValueError, match="operators: expected one of"):
        mj.RenderConfig(operators="other")


@pytest.mark.reference
def test_parity_of_the_edited_pipeline(shared, vectors):
    weights, v = shared / "reference" / "weights", vectors("pipeline_style0")
    params = mj.import_torch(
        denoiser=weights / "denoising" / "generic_lite.pth",
        photofinishing=weights / "photofinishing" / "photofinishing_s24-style-0.pth",
        enhancement=weights / "enhancement" / "enhancement_s24-style-0.pth",
    )
    image = jnp.asarray(v["raw_u16"] / np.float32(65535), jnp.float32)
    edits = mj.Edits(
        exposure=0.5,
        auto_exposure=1.0,
        contrast=0.4,
        vibrance=0.3,
        saturation=-0.2,
        highlights=-0.5,
        shadows=0.6,
        sharpening=8.0,
        denoise=0.7,
        luma_denoise=0.3,
        chroma_denoise=0.6,
        enhance=0.5,
    )
    config = mj.RenderConfig(clipped_highlights="clip", operators="published")
    stages = mj.render_stages(params, mj.Raw(image, v["illum"], v["ccm"]), edits=edits, config=config)
    # One dark value in 41,472, which the tone sliders take far out of the RGB cube, is off by 6e-5; the rest by 2.3e-5.
    difference = np.abs(np.asarray(stages.finished.srgb) - v["edited/gamma"])
    assert difference.max() < 1e-4
    assert (difference > 5e-5).sum() <= 1
    difference = np.abs(np.asarray(stages.srgb) - v["edited/srgb"])
    assert difference.max() < 1e-2
    assert np.quantile(difference, 0.999) < 2e-4
