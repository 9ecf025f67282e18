import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import modisp_jax as mj
from modisp_jax.config import AWB_NETWORKS, GRID_INPUTS, IO_NETWORKS, PUBLISHED_HALO_FIX
from modisp_jax.look import finish_by_networks
from modisp_jax.nets.photofinish import GRID_DEPTH, GuideNet
from modisp_jax.ops.lut import identity_chroma_lut, identity_rgb_lut
from modisp_jax.params import STARTS_AT_ZERO, param_shapes
from modisp_jax.types import FinishedStages
from tests.samples import EXTREMES, numbered_params, photo

SIZE = (24, 32)
SMALL = photo(*SIZE)
CONFIG = mj.PipelineConfig(None, mj.PhotofinishConfig(rgb_lut=True, grid_input=128), None)


def neutral_look(size=SIZE):
    """The coefficients that change nothing but the gamma."""
    maps = np.broadcast_to(np.array([0.7, 1, 1, 1, 1], np.float32), (*size, 5))
    return mj.Look(
        gain=jnp.float32(1),
        gtm=jnp.ones(3),
        ltm=jnp.asarray(maps),
        chroma_lut=jnp.asarray(identity_chroma_lut()),
        inverse_gamma=jnp.float32(1 / 2.2),
        rgb_lut=jnp.asarray(identity_rgb_lut()),
        strengths=jnp.ones(6),
    )


@pytest.fixture(scope="module")
def params():
    return mj.init_params(jax.random.key(0), CONFIG)["photofinish"]


@pytest.fixture(scope="module")
def trained_like():
    """Parameters of no particular meaning, under which every stage does something."""
    return numbered_params(mj.init_params(jax.random.key(0), CONFIG))["photofinish"]


def test_untrained_networks_predict_the_neutral_look(params):
    look, expected = mj.predict_look(params, SMALL), neutral_look()
    for name in ("gain", "gtm", "chroma_lut", "inverse_gamma"):
        np.testing.assert_allclose(getattr(look, name), getattr(expected, name), atol=1e-6, err_msg=name)
    np.testing.assert_allclose(look.ltm[..., 1:], 1, atol=1e-6)
    np.testing.assert_allclose(look.rgb_lut, identity_rgb_lut(), atol=1.1e-4)  # softplus has no 0


def test_an_untrained_guide_tells_pixels_apart(params):
    """One depth for all pixels would be a trap: two nodes that learn alike, and no gradient for the guide, ever."""
    guide = jax.jit(GuideNet().apply)({"params": params["ltm"]["guide"]}, SMALL)
    assert np.ptp(guide) * (GRID_DEPTH - 1) / 2 > 0.1  # in nodes


def test_what_starts_at_zero_exists():
    """In the configurations together: a grid network's name says which input it is for."""
    variants = [mj.PipelineConfig(photofinish=mj.PhotofinishConfig(grid_input=side)) for side in GRID_INPUTS]
    variants.append(mj.PipelineConfig(None, None, None, awb=AWB_NETWORKS, io=IO_NETWORKS, lut3d=True))
    names = {name for variant in variants for name in param_shapes(variant) if name.endswith("/kernel")}
    assert {f"{layer}/kernel" for layer in STARTS_AT_ZERO} < names


def test_untrained_rendering_is_the_plain_one(params):
    look = mj.predict_look(params, SMALL)
    np.testing.assert_allclose(mj.apply_look(look, SMALL), SMALL ** (1 / 2.2), atol=3e-3)


def test_neutral_look_is_a_power_curve():
    np.testing.assert_allclose(mj.apply_look(neutral_look(), SMALL), SMALL ** (1 / 2.2), atol=2e-4)


def test_applying_what_was_predicted_is_what_the_networks_make(trained_like):
    look, finished = finish_by_networks(trained_like, SMALL, mj.Edits(), mj.RenderConfig())
    np.testing.assert_allclose(mj.apply_look(look, SMALL), finished.srgb, atol=1e-6)
    assert float(jnp.abs(finished.srgb - SMALL ** (1 / 2.2)).max()) > 0.01  # the stages did something


@pytest.mark.parametrize("stage", ["gain", "gtm", "ltm", "rgb_lut", "chroma", "gamma"])
def test_strength_zero_leaves_a_stage_out_and_one_is_the_stage(trained_like, stage):
    look = mj.predict_look(trained_like, SMALL)
    look = mj.Look(**{**vars(look), "gain": jnp.float32(0.9)})  # nothing over 1: a tone curve left out clips nothing
    without = mj.apply_look(look, SMALL, edits=mj.Edits(**{stage: 0.0}))
    neutral = {"gain": "gain", "gtm": "gtm", "rgb_lut": "rgb_lut", "chroma": "chroma_lut", "gamma": "inverse_gamma"}
    if stage == "ltm":  # weight 0 is a logit of minus infinity
        replaced = look.ltm.at[..., 0].set(-1e9)
        expected = mj.Look(**{**vars(look), "ltm": replaced})
    elif stage == "gamma":
        expected = mj.Look(**{**vars(look), "inverse_gamma": jnp.float32(1)})
    else:
        expected = mj.Look(**{**vars(look), neutral[stage]: getattr(neutral_look(), neutral[stage])})
    np.testing.assert_allclose(without, mj.apply_look(expected, SMALL), atol=2e-4)
    full = mj.apply_look(look, SMALL, edits=mj.Edits(**{stage: 1.0}))
    np.testing.assert_array_equal(full, mj.apply_look(look, SMALL))


def test_a_look_without_rgb_lut_skips_the_stage():
    look = mj.Look(**{**vars(neutral_look()), "rgb_lut": None})
    np.testing.assert_allclose(mj.apply_look(look, SMALL), SMALL ** (1 / 2.2), atol=1e-4)


@pytest.mark.parametrize("size", [(4, 4), (5, 9), (12, 47)])
def test_predicts_at_any_size_from_four_pixels(trained_like, size):
    look = mj.predict_look(trained_like, photo(*size))
    assert look.ltm.shape == (*size, 5)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(look))


@pytest.mark.parametrize("settings", [mj.HaloFixConfig(), PUBLISHED_HALO_FIX], ids=["ours", "published"])
@pytest.mark.parametrize("size", [(4, 4), (13, 30)])
def test_halo_fix_at_any_size(trained_like, size, settings):
    config = mj.RenderConfig(halo_fix=dataclasses.replace(settings, iterations=4))
    look = mj.predict_look(trained_like, photo(*size), config=config)
    assert look.ltm.shape == (*size, 5)
    assert np.isfinite(look.ltm).all()


def test_gradients_are_finite_for_extreme_looks():
    gradient = jax.jit(jax.value_and_grad(lambda look, x: mj.apply_look(look, x).sum(), argnums=(0, 1)))
    inputs = [SMALL, np.zeros_like(SMALL), np.ones_like(SMALL), np.full_like(SMALL, 1e-38), np.full_like(SMALL, 0.5)]
    for k, value in enumerate(EXTREMES):
        # Each leaf holds one extreme in some places and its own neutral value in others.
        extreme = jax.tree.map(
            lambda leaf, v=value: jnp.where(jnp.arange(leaf.size).reshape(leaf.shape) % 3 == 0, v, leaf), neutral_look()
        )
        total, grads = gradient(extreme, inputs[k % len(inputs)])
        assert np.isfinite(total)
        for path, leaf in jax.tree_util.tree_leaves_with_path(grads):
            assert np.isfinite(leaf).all(), (value, jax.tree_util.keystr(path))


def test_every_extreme_meets_every_coefficient():
    gradient = jax.jit(jax.value_and_grad(lambda look, x: mj.apply_look(look, x).sum(), argnums=(0, 1)))
    for value in EXTREMES:
        for name in vars(neutral_look()):
            leaf = jnp.full_like(getattr(neutral_look(), name), value)
            total, grads = gradient(mj.Look(**{**vars(neutral_look()), name: leaf}), SMALL)
            assert np.isfinite(total), (name, value)
            assert all(np.isfinite(g).all() for g in jax.tree.leaves(grads)), (name, value)


def test_gradient_of_the_look_matches_finite_differences():
    look, weights = neutral_look(), photo(*SIZE, seed=3)
    f = jax.jit(lambda look: jnp.sum(mj.apply_look(look, SMALL) * weights))
    gradient = jax.grad(f)(look)
    for name, step in (("gain", 1e-2), ("inverse_gamma", 1e-3)):
        up, down = (f(mj.Look(**{**vars(look), name: getattr(look, name) + s})) for s in (step, -step))
        np.testing.assert_allclose(getattr(gradient, name), (up - down) / (2 * step), rtol=2e-2)
    for k in range(3):
        up, down = (f(mj.Look(**{**vars(look), "gtm": look.gtm.at[k].add(s)})) for s in (1e-2, -1e-2))
        np.testing.assert_allclose(gradient.gtm[k], (up - down) / 2e-2, rtol=2e-2)


def test_vmap_over_looks_is_the_loop():
    looks = [neutral_look(), mj.Look(**{**vars(neutral_look()), "gain": jnp.float32(1.5)})]
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *looks)
    batch = jax.vmap(lambda look: mj.apply_look(look, SMALL))(stacked)
    for one, look in zip(batch, looks, strict=True):
        np.testing.assert_allclose(one, mj.apply_look(look, SMALL), atol=1e-6)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((8, 8)), r"expected an image \[H, W, 3\], got shape \(8, 8\)"),
        (np.zeros((8, 8, 4), np.float32), "got shape"),
        (np.zeros((8, 8, 3), np.uint8), "floating-point"),
        (np.zeros((3, 8, 3), np.float32), "at least 4 pixels"),
    ],
)
def test_wrong_images_are_refused(params, image, message):
    with pytest.raises(ValueError, match=message):
        mj.predict_look(params, image)


def test_a_look_of_another_size_is_refused():
    with pytest.raises(ValueError, match=r"expected shape \(24, 32, 5\) for this image, got \(10, 10, 5\)"):
        mj.apply_look(neutral_look((10, 10)), SMALL)


def test_finished_stages_name_what_the_table_makes():
    from modisp_jax.stages import FINISH_STAGES

    assert [stage.output for stage in FINISH_STAGES] == list(FinishedStages.__dataclass_fields__)
    assert {stage.coefficients for stage in FINISH_STAGES} == set(mj.Look.__dataclass_fields__) - {"strengths"}
    assert {stage.name for stage in FINISH_STAGES} < set(mj.Edits.__dataclass_fields__)
