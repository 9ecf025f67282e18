"""White balance of a raw: read, set, estimated, guarded; with a camera profile and without."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import modisp_jax as mj
from modisp_jax import white_balance as wb
from modisp_jax.io.metadata import RawMetadata
from modisp_jax.io.white_balance import ccm_of_light, cct_tint_to_light
from modisp_jax.stages.color import to_linear_srgb
from tests import samples
from tests.io.test_dng_color import two


def profiled(h=48, w=64, cct=4000.0, tint=5.0):
    """A raw of a camera with two calibrations, lit by a light of that position."""
    profile = two(True)
    neutral = cct_tint_to_light(cct, tint, profile)
    metadata = RawMetadata(model="Test", neutral=tuple(neutral), color=profile)
    image = jnp.asarray(0.5 * samples.photo(h, w) * neutral / neutral.max(), jnp.float32)
    ccm = jnp.asarray(ccm_of_light(profile, cct, tint), jnp.float32)
    return mj.Raw(image, jnp.asarray(neutral, jnp.float32), ccm, metadata=metadata)


def test_reading_what_was_set():
    raw = profiled()
    assert mj.white_balance_of(raw) == pytest.approx((4000, 5), abs=0.01)
    for cct, tint in ((1800, -100), (2900, 20), (10000, 100)):
        assert mj.white_balance_of(mj.set_white_balance(raw, cct=cct, tint=tint)) == pytest.approx(
            (cct, tint), abs=0.02
        )


def test_setting_what_is_there_changes_nothing():
    raw = profiled()
    cct, tint = mj.white_balance_of(raw)
    for same in (mj.set_white_balance(raw, cct=cct, tint=tint), mj.set_white_balance(raw, illuminant=raw.illuminant)):
        np.testing.assert_allclose(same.illuminant, raw.illuminant, rtol=1e-6)
        np.testing.assert_allclose(same.ccm, raw.ccm, atol=1e-6)
        assert same.metadata is raw.metadata
        assert same.image is raw.image


def test_one_slider_alone_leaves_the_other():
    raw = profiled()
    assert mj.white_balance_of(mj.set_white_balance(raw, cct=3000)) == pytest.approx((3000, 5), abs=0.01)
    assert mj.white_balance_of(mj.set_white_balance(raw, tint=-8)) == pytest.approx((4000, -8), abs=0.01)


def test_the_matrix_goes_with_the_light():
    raw = profiled()
    warm, cold = (mj.set_white_balance(raw, cct=cct, tint=0) for cct in (2900, 6400))
    np.testing.assert_allclose(warm.ccm @ jnp.ones(3), 1, atol=1e-5)
    assert np.abs(warm.ccm - cold.ccm).max() > 0.02
    # A picture taken under a warmer light than it is balanced for turns out warmer.
    assert warm.illuminant[0] / warm.illuminant[2] > cold.illuminant[0] / cold.illuminant[2]


@pytest.mark.parametrize("metadata", [None, RawMetadata(neutral=(0.5, 1.0, 0.6), format="S24")])
def test_without_a_profile_temperatures_are_relative(metadata):
    raw = dataclasses.replace(samples.raw(32, 48), metadata=metadata)
    assert mj.white_balance_of(raw) == pytest.approx((6502.07, 6.511), abs=0.1)
    warm = mj.set_white_balance(raw, cct=4000, tint=-3)
    np.testing.assert_array_equal(warm.ccm, raw.ccm)
    # The light as shot is still what temperatures are relative to.
    assert mj.white_balance_of(warm) == pytest.approx((4000, -3), abs=0.02)
    again = mj.set_white_balance(warm, cct=6502.07, tint=6.511)
    np.testing.assert_allclose(again.illuminant, raw.illuminant, rtol=1e-4)
    assert warm.metadata.neutral == pytest.approx((0.5, 1.0, 0.6))
    if metadata is not None:
        assert warm.metadata is metadata


def test_an_illuminant_is_kept_as_it_is():
    raw = profiled()
    odd = mj.set_white_balance(raw, illuminant=[4.0, 2.0, 6.0])  # a magenta that is no light
    np.testing.assert_allclose(odd.illuminant, [2, 1, 3])
    np.testing.assert_allclose(odd.ccm @ jnp.ones(3), 1, atol=1e-5)


def test_white_under_the_light_that_was_set_comes_out_white():
    raw = mj.set_white_balance(profiled(), cct=3000)
    white = jnp.broadcast_to(0.2 * raw.illuminant, (16, 16, 3))
    linear = np.asarray(to_linear_srgb(white, raw.illuminant, raw.ccm))
    np.testing.assert_allclose(linear, 0.2, atol=1e-5)
    assert jax.tree.map(lambda x: x, raw).metadata is None


def test_bad_settings():
    raw = profiled()
    for settings in ({}, {"cct": 5000, "illuminant": [1, 1, 1]}):
        with pytest.raises(ValueError, match="expected cct, tint or both"):
            mj.set_white_balance(raw, **settings)
    with pytest.raises(ValueError, match="1800 to 10000 K, got 500"):
        mj.set_white_balance(raw, cct=500)
    with pytest.raises(ValueError, match="three positive"):
        mj.set_white_balance(raw, illuminant=[1, 0, 1])
    with pytest.raises(ValueError, match="expected one of"):
        mj.auto_white_balance(raw, method="magic")
    with pytest.raises(ValueError, match=r"modisp_jax\.Raw"):
        mj.white_balance_of(np.zeros(3))


@pytest.mark.parametrize("method", wb.METHODS)
def test_auto_does_not_look_at_the_light_as_shot(method):
    raw = profiled()
    shifted = mj.set_white_balance(raw, cct=7000, tint=0)
    found = [wb.estimate_white_balance(r, method=method) for r in (raw, shifted)]
    np.testing.assert_allclose(found[0].illuminant, found[1].illuminant, rtol=1e-9)
    auto = mj.auto_white_balance(raw, method=method)
    np.testing.assert_allclose(auto.illuminant, found[0].illuminant, rtol=1e-6)
    assert auto.metadata is raw.metadata


def test_auto_finds_the_light_of_grey():
    raw = profiled()
    rng = np.random.default_rng(0)
    grey = jnp.asarray(rng.uniform(0.05, 0.5, (48, 64, 1)), jnp.float32) * raw.illuminant
    found = wb.estimate_white_balance(dataclasses.replace(raw, image=grey))
    assert found.note == ""
    assert 1e6 / found.cct == pytest.approx(250, abs=30)
    assert found.tint == pytest.approx(5, abs=8)


@pytest.mark.parametrize("value", [0.0, 1.0, np.nan])
def test_where_the_photo_says_nothing_the_light_stays(value):
    raw = dataclasses.replace(profiled(), image=jnp.full((32, 32, 3), value, jnp.float32))
    found = wb.estimate_white_balance(raw)
    assert "the light stays as it was" in found.note
    np.testing.assert_allclose(found.illuminant, raw.illuminant, rtol=1e-6)
    np.testing.assert_allclose(mj.auto_white_balance(raw).illuminant, raw.illuminant, rtol=1e-6)


@pytest.mark.parametrize("color", [(0.5, 0.01, 0.5), (0.01, 0.5, 0.01), (0.5, 0.1, 0.002), (0.002, 0.1, 0.6)])
def test_an_implausible_estimate_becomes_the_nearest_plausible_light(color):
    raw = dataclasses.replace(profiled(), image=jnp.broadcast_to(jnp.asarray(color, jnp.float32), (32, 32, 3)))
    found = wb.estimate_white_balance(raw, method="gray_world")
    assert "no plausible light" in found.note
    assert wb.PLAUSIBLE_CCT[0] <= found.cct <= wb.PLAUSIBLE_CCT[1]
    assert wb.PLAUSIBLE_TINT[0] <= found.tint <= wb.PLAUSIBLE_TINT[1]
    nearest = cct_tint_to_light(found.cct, found.tint, raw.metadata.color)
    np.testing.assert_allclose(found.illuminant, nearest, rtol=1e-9)


def test_lights_of_a_camera_are_those_of_its_sliders():
    profile = two()
    lights = wb.camera_lights(profile)
    mired, tint = wb.awb.light_grid()
    assert lights.shape == (len(mired), 3)
    k = 333
    np.testing.assert_allclose(lights[k], cct_tint_to_light(1e6 / mired[k], tint[k], profile), rtol=1e-5)
