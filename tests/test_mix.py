"""Mixing styles: the published rule, its edge cases, and that a mix renders like any other parameter set."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import modisp_jax as mj
from modisp_jax.look import FINISH_STAGES, finish_by_networks
from modisp_jax.mix import STAGE_NAMES, shares, stage_weights, strength_of
from modisp_jax.ops.lut import identity_rgb_lut
from tests.samples import TINY, numbered_params, photo, raw

SIZE = (24, 32)
SMALL = photo(*SIZE)
PLAIN = mj.PipelineConfig(None, mj.PhotofinishConfig(grid_input=128), None)
WITH_LUT = mj.PipelineConfig(None, mj.PhotofinishConfig(rgb_lut=True, grid_input=128), None)


@pytest.fixture(scope="module")
def styles():
    """Three styles of no particular meaning, one with a 3D LUT: parameter sets with photofinishing alone."""
    sets = [mj.init_params(jax.random.key(k), config) for k, config in enumerate((PLAIN, PLAIN, WITH_LUT))]
    return [numbered_params(one, scale) for one, scale in zip(sets, (1.0, 0.8, 0.6), strict=True)]


@pytest.fixture(scope="module")
def looks(styles):
    return [predict(style) for style in styles]


@jax.jit
def predict(params):
    return mj.predict_look(params["photofinish"], SMALL)


def assert_same(a, b, atol=1e-6):
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, atol=atol), a, b)


def without_strengths(look):
    return dataclasses.replace(look, strengths=None)


@pytest.mark.parametrize("weights", [(1.0, 0.0), (0.25, 0.75), (2.0, 6.0), (0.3, 0.3)])
def test_coefficients_are_weighted_means(looks, weights):
    mixed = mj.mix_looks(looks[:2], weights)
    q = np.array(weights) / sum(weights)
    for name in ("gain", "gtm", "ltm", "chroma_lut", "inverse_gamma"):
        expected = q[0] * getattr(looks[0], name) + q[1] * getattr(looks[1], name)
        np.testing.assert_allclose(getattr(mixed, name), expected, atol=1e-5, err_msg=name)
    np.testing.assert_array_equal(mixed.strengths, 1.0)


@pytest.mark.optimised
def test_one_style_at_full_weight_is_that_style(styles, looks):
    assert_same(without_strengths(mj.mix_looks(looks[:1], [1.0])), looks[0], atol=0)
    # To the bit as the package compiles it; without optimisation a share of 1 rounds.
    alone, mixed = (mj.predict_look(p["photofinish"], SMALL) for p in (styles[0], mj.mix_styles(styles[:1], [1.0])))
    assert_same(without_strengths(mixed), alone, atol=0)
    np.testing.assert_array_equal(mj.apply_look(mj.mix_looks(looks[:1], [1.0]), SMALL), mj.apply_look(looks[0], SMALL))


def test_a_style_mixed_with_itself_is_that_style(styles, looks):
    assert_same(without_strengths(mj.mix_looks([looks[0]] * 3, [0.2, 5.0, 1.0])), looks[0])
    assert_same(without_strengths(predict(mj.mix_styles([styles[0]] * 2, [0.5, 2.0]))), looks[0], atol=1e-5)


def test_weights_by_stage(looks):
    mixed = mj.mix_looks(looks[:2], {"gain": [1.0, 0.0], "chroma": [0.0, 3.0]})
    np.testing.assert_array_equal(mixed.gain, looks[0].gain)
    np.testing.assert_array_equal(mixed.chroma_lut, looks[1].chroma_lut)
    np.testing.assert_allclose(mixed.gtm, (looks[0].gtm + looks[1].gtm) / 2, atol=1e-6)


@pytest.mark.parametrize("stage", STAGE_NAMES)
@pytest.mark.parametrize("count", [1, 2])
def test_weight_zero_switches_a_stage_off(looks, stage, count):
    chosen = looks[2:] if count == 1 else looks[1:]
    off = mj.mix_looks(chosen, {name: [float(name != stage)] * count for name in STAGE_NAMES})
    on = mj.mix_looks(chosen, [1.0] * count)
    expected = mj.apply_look(on, SMALL, edits=mj.Edits(**{stage: 0.0}))
    np.testing.assert_allclose(mj.apply_look(off, SMALL), expected, atol=1e-6)
    assert float(jnp.abs(mj.apply_look(on, SMALL) - expected).max()) > 1e-4


def test_one_style_of_less_weight_blends_output_with_input(looks):
    weak = mj.mix_looks(looks[:1], [0.4])
    expected = mj.apply_look(looks[0], SMALL, edits=mj.Edits(gain=0.4, gtm=0.4, ltm=0.4, chroma=0.4, gamma=0.4))
    np.testing.assert_allclose(mj.apply_look(weak, SMALL), expected, atol=1e-6)
    assert_same(mj.mix_looks(looks[:1], [7.0]), mj.mix_looks(looks[:1], [1.0]))  # more than all there is not


def test_strengths_of_looks_carry_over(looks):
    weak = mj.mix_looks(looks[:1], [0.4])
    np.testing.assert_allclose(mj.mix_looks([weak], [0.5]).strengths, 0.2, atol=1e-7)
    np.testing.assert_allclose(mj.mix_looks([weak, looks[1]], [1.0, 2.0]).strengths, (0.4 + 2) / 3, atol=1e-6)


def test_the_identity_stands_in_for_a_missing_lut(styles, looks):
    mixed = mj.mix_looks(looks, [1.0, 1.0, 2.0])
    np.testing.assert_allclose(mixed.rgb_lut, (identity_rgb_lut() + looks[2].rgb_lut) / 2, atol=1e-6)
    assert mj.mix_looks(looks[:2], [1.0, 1.0]).rgb_lut is None
    of_networks = predict(mj.mix_styles(styles, [1.0, 1.0, 2.0]))
    np.testing.assert_allclose(of_networks.rgb_lut, mixed.rgb_lut, atol=1e-6)


def test_later_networks_see_the_mix(styles, looks):
    """The gain nets see the same picture in both; the tone curves' nets see what the mixed gain made."""
    by_networks, by_looks = predict(mj.mix_styles(styles[:2], [0.5, 0.5])), mj.mix_looks(looks[:2], [0.5, 0.5])
    np.testing.assert_allclose(by_networks.gain, by_looks.gain, atol=1e-6)
    assert abs(float(by_networks.inverse_gamma - by_looks.inverse_gamma)) > 1e-4
    gained = jax.jit(lambda: by_networks.gain * SMALL)()
    stage = FINISH_STAGES[1]
    each = [stage.module.predict(s["photofinish"]["gtm"], {"gained": gained}, None) for s in styles[:2]]
    np.testing.assert_allclose(by_networks.gtm, (each[0] + each[1]) / 2, atol=1e-6)


@pytest.mark.slow
def test_a_mix_under_jit_vmap_and_grad(styles):
    def mean_and_picture(weights):
        mixed = mj.mix_styles(styles[:2], weights)["photofinish"]
        picture = finish_by_networks(mixed, SMALL, mj.Edits(), mj.RenderConfig())[1].srgb
        return picture.mean(), picture

    several = jnp.array([[1.0, 0.0], [0.3, 0.7]])
    (_, pictures), slopes = jax.jit(jax.vmap(jax.value_and_grad(mean_and_picture, has_aux=True)))(several)
    # One by one by programs that other tests have as well.
    each = [mj.apply_look(predict(mj.mix_styles(styles[:2], weights)), SMALL) for weights in several]
    np.testing.assert_allclose(pictures, each, atol=2e-5)
    assert np.isfinite(slopes).all()
    assert float(jnp.abs(slopes[1]).max()) > 1e-5
    np.testing.assert_allclose(jnp.dot(slopes[1], several[1]), 0.0, atol=1e-4)  # only shares count


@pytest.mark.slow
def test_a_mix_renders_like_any_parameter_set():
    sets = [numbered_params(mj.init_params(jax.random.key(k), TINY), 0.5 + 0.3 * k) for k in (0, 1)]
    render, photo_ = jax.jit(mj.render), raw(32, 48)
    np.testing.assert_allclose(render(mj.mix_styles(sets, [1, 0]), photo_), render(sets[0], photo_), atol=2e-5)


@pytest.mark.parametrize("weights", [[0.0, 0.0], [1e-30, 1e-30], [3e38, 3e38], [0.0, 1e-38]])
def test_shares_sum_to_one_and_are_finite(weights):
    q, slope = jax.value_and_grad(lambda w: shares(w)[0])(jnp.array(weights, jnp.float32))
    assert np.isfinite(q)
    assert np.isfinite(slope).all()
    if 1e-7 < sum(weights) < 1e38 or sum(weights) == 0:
        np.testing.assert_allclose(shares(jnp.array(weights)).sum(), 1.0, atol=1e-6)


def test_strength_of():
    assert float(strength_of(jnp.array([0.3]))) == pytest.approx(0.3)
    assert float(strength_of(jnp.array([3.0]))) == 1.0
    assert float(strength_of(jnp.array([0.0, 0.1]))) == 1.0
    assert float(strength_of(jnp.array([0.0, 0.0]))) == 0.0


@pytest.mark.parametrize(
    ("weights", "count", "match"),
    [
        ([1.0], 2, r"weights, gain: expected shape \(2,\).*got \(1,\)"),
        ([1.0, -1.0], 2, "weights, gain: expected finite numbers >= 0"),
        ([1.0, np.nan], 2, "expected finite"),
        ({"tone": [1.0]}, 1, "expected stages of gain.*got tone"),
        ([], 0, "at least one style"),
    ],
)
def test_bad_weights_are_refused(weights, count, match):
    with pytest.raises(ValueError, match=match):
        stage_weights(weights, count)


def test_bad_styles_are_refused(styles, looks):
    with pytest.raises(ValueError, match=r"params\[1\]: expected a parameter set with 'photofinish'"):
        mj.mix_styles([styles[0], {"denoise": {}}], [1, 1])
    with pytest.raises(ValueError, match="got a mix"):
        mj.mix_styles([mj.mix_styles(styles[:2], [1, 1])], [1])
    other = dataclasses.replace(looks[0], ltm=looks[0].ltm[:20, :20])
    with pytest.raises(ValueError, match="one shape"):
        mj.mix_looks([looks[0], other], [1, 1])
    with pytest.raises(ValueError, match="a mix of styles"):
        mj.save_params("never.safetensors", mj.mix_styles(styles[:2], [1, 1]))
