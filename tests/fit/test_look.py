"""Fitting a look to one picture: laws, and that it is found."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import modisp_jax as mj
from modisp_jax.fit import FitLookConfig
from modisp_jax.fit.deltas import changed_look, curvature, luma_depth, penalty, sum_of_levels, zero_deltas
from modisp_jax.fit.look import neutral_look, plan
from modisp_jax.ops.lut import identity_rgb_lut
from modisp_jax.stages.color import to_linear_srgb
from modisp_jax.types import as_float32
from tests.samples import EXTREMES, photo, raw

SIZE = (32, 48)
SCENE = jnp.asarray(0.8 * photo(*SIZE))
CHUNK = 20
CONFIG = FitLookConfig(grids=((2, 2, 2), (3, 4, 4)), strides=((1, 1.0),), most_shift=4, chunk=CHUNK)
"""Of one stride and chunks of one length, so that most tests share one compiled program."""
STEPS = 10 * CHUNK


def some_look(size=SIZE):
    """A look that does a bit of everything, its maps smooth."""
    start = neutral_look(size)
    y, x = np.mgrid[0 : size[0], 0 : size[1]] / max(size)
    maps = np.stack([1 + x, 0.8 + 0.2 * y, 0.7 + 0.2 * x, 0.9 + 0.2 * y, 1 + 0.2 * x], axis=-1)
    turn = np.array([[1.2, 0.1], [-0.1, 0.9]])
    return mj.Look(
        gain=jnp.float32(1.4),
        gtm=jnp.array([0.9, 0.8, 0.7]),
        ltm=jnp.asarray(maps, jnp.float32),
        chroma_lut=start.chroma_lut @ jnp.asarray(turn, jnp.float32) + jnp.array([0.01, -0.01]),
        inverse_gamma=jnp.float32(1 / 2.4),
    )


def assert_same_without_lut(look, expected, **tolerance):
    """The same looks, whatever their colour tables."""
    looks = [dataclasses.replace(each, rgb_lut=None) for each in (look, expected)]
    jax.tree.map(lambda *leaves: np.testing.assert_allclose(*leaves, **tolerance), *looks)


def fit(source, target, **options):
    return mj.fit_look(source, target, **{"steps": STEPS, "config": CONFIG} | options)


@pytest.fixture(scope="module")
def found():
    return fit(SCENE, mj.apply_look(some_look(), SCENE))


def test_a_picture_made_by_a_look_is_got_back(found):
    assert found.psnr > 45
    np.testing.assert_allclose(found.picture, mj.apply_look(found.look, found.linear), atol=1e-6)
    np.testing.assert_array_equal(found.linear, SCENE)
    np.testing.assert_array_equal(found.shift, 0)
    np.testing.assert_array_equal(found.white_balance, 1)
    error = jnp.mean(jnp.square(found.picture - found.target))
    np.testing.assert_allclose(found.psnr, -10 * jnp.log10(error), atol=1e-3)


def test_the_loss_decreases(found):
    assert found.history.shape == (STEPS,)
    assert found.history[-1] < 0.02 * found.history[0]
    assert (jnp.diff(found.history.reshape(5, -1).mean(axis=1)) < 0).all()


def test_a_neutral_picture_has_the_neutral_look():
    found = fit(SCENE, mj.apply_look(neutral_look(SIZE), SCENE), steps=CHUNK)
    assert found.psnr > 90
    assert_same_without_lut(found.look, neutral_look(SIZE), atol=2e-3)


def test_a_look_is_never_worse_than_its_start():
    """Also where no step can be better: the start is what made the picture."""
    look = some_look()
    found = fit(SCENE, mj.apply_look(look, SCENE), start=look, steps=CHUNK)
    assert found.psnr > 100
    assert found.look.rgb_lut is None


def test_a_stage_that_the_start_leaves_out_stays_out():
    """What mixing styles switched off: the result would be worse than its start otherwise."""
    look = dataclasses.replace(some_look(), strengths=jnp.array([1.0, 1.0, 1.0, 1.0, 0.0, 0.5]))
    found = fit(SCENE, mj.apply_look(look, SCENE), start=look, steps=CHUNK)
    assert found.psnr > 100
    np.testing.assert_array_equal(found.look.strengths, look.strengths)


def test_jit_and_vmap_change_nothing(found):
    """A batch of targets gives each what it gives alone, but for rounding, which a descent amplifies."""
    targets = jnp.stack([found.target, mj.apply_look(neutral_look(SIZE), SCENE)])
    steps = CHUNK
    alone = [fit(SCENE, target, steps=steps) for target in targets]
    batch = jax.jit(jax.vmap(lambda target: fit(SCENE, target, steps=steps)))(targets)
    for k, single in enumerate(alone):
        np.testing.assert_allclose(batch.picture[k], single.picture, atol=1e-3)
        np.testing.assert_allclose(batch.history[k], single.history, rtol=1e-2, atol=1e-7)


def test_the_same_call_gives_the_same_bits():
    target = mj.apply_look(some_look(), SCENE)
    first, second = (fit(SCENE, target, steps=CHUNK) for _ in range(2))
    jax.tree.map(np.testing.assert_array_equal, first, second)


def test_a_shift_is_found_and_undone():
    look = some_look()
    target = np.asarray(mj.apply_look(look, SCENE))
    moved = np.pad(target, ((2, 0), (0, 3), (0, 0)), mode="edge")[: SIZE[0], 3 : 3 + SIZE[1]]
    found = fit(SCENE, jnp.asarray(moved))
    np.testing.assert_array_equal(found.shift, [2, -3])
    assert found.psnr > 44
    inside = np.s_[: SIZE[0] - 2, 3:]
    assert float(-10 * jnp.log10(jnp.mean((found.picture - target)[inside] ** 2))) > 40


def test_without_local_maps_only_the_global_part_moves():
    found = fit(SCENE, mj.apply_look(some_look(), SCENE), ltm=False, steps=3 * CHUNK)
    assert np.ptp(np.asarray(found.look.ltm), axis=(0, 1)).max() < 1e-6
    np.testing.assert_allclose(found.look.ltm[0, 0, 1:4], found.look.gtm, rtol=1e-5)
    assert found.psnr > 25


def test_lifted_blacks_need_the_colour_lut():
    target = 0.15 + 0.85 * mj.apply_look(neutral_look(SIZE), 0.3 * SCENE)
    plain, lut = (fit(0.3 * SCENE, target, rgb_lut=choice, ltm=False).psnr for choice in (False, True))
    assert lut > plain + 3


def test_white_balance_and_exposure_of_a_raw_photo_are_found():
    size = (96, 128)
    scene = raw(*size, scale=0.3)
    gains, exposure = np.array([1.25, 1.0, 0.8]), 0.5
    balanced = dataclasses.replace(scene, illuminant=scene.illuminant / gains.astype(np.float32))
    image = scene.image * 2**exposure
    linear = to_linear_srgb(image, balanced.illuminant, scene.ccm, saturation=2**exposure)
    target = mj.apply_look(neutral_look(size), linear)
    found = fit(scene, target, white_balance=True, exposure=True, ltm=False)
    assert found.linear.shape == (24, 32, 3)
    assert found.psnr > 35  # the target is shrunk otherwise than the source
    np.testing.assert_allclose(found.white_balance, gains, rtol=0.12)
    assert found.look.gain == 1
    assert abs(float(found.exposure) - exposure) < 0.3


def test_progress_is_told_between_chunks():
    calls = []
    fit(SCENE, SCENE, steps=2 * CHUNK, progress=lambda *call: calls.append(call))
    assert [call[:2] for call in calls] == [(20, 40), (40, 40)]
    assert all(np.isfinite(call[2]) for call in calls)


def test_steps_are_shared_out_among_strides():
    assert plan(500, FitLookConfig()) == [(4, 50)] * 7 + [(2, 50)] * 2 + [(1, 50)]
    assert sum(count for _, count in plan(7, FitLookConfig())) == 7
    assert plan(1, FitLookConfig())[0][1] == 1


def test_no_deltas_change_nothing():
    look = some_look()
    deltas = zero_deltas(CONFIG, rgb_lut=True)
    changed = jax.jit(changed_look)(look, deltas, luma_depth(SCENE))
    assert_same_without_lut(changed, look, rtol=1e-6)
    np.testing.assert_array_equal(changed.rgb_lut, identity_rgb_lut())
    assert penalty(deltas, CONFIG) == 0


def test_coarse_tables_are_interpolated_and_straight():
    coarse = jnp.asarray(np.arange(8.0).reshape(2, 2, 2), jnp.float32)
    total = sum_of_levels([coarse, jnp.zeros((5, 5, 2))])
    np.testing.assert_allclose(total[:, 0, 0], np.linspace(0, 4, 5))
    np.testing.assert_allclose(total[2, 2], coarse.mean(axis=(0, 1)))
    assert curvature(total) < 1e-10
    assert curvature(total.at[2, 2].add(0.1)) > 1e-4


@pytest.mark.parametrize("value", EXTREMES)
def test_value_and_gradient_are_finite_for_any_delta(value):
    deltas = jax.tree.map(lambda x: jnp.full_like(x, value), zero_deltas(CONFIG, rgb_lut=True))
    both = value_and_gradient(deltas)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(both))


@jax.jit
def value_and_gradient(deltas):
    def mean(deltas):
        look = changed_look(some_look(), deltas, luma_depth(SCENE))
        return mj.apply_look(look, SCENE).mean()

    return jax.value_and_grad(mean)(deltas)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"source": SCENE[..., :2]}, r"source: expected an image \[H, W, 3\], got shape \(32, 48, 2\)"),
        ({"source": SCENE[:8]}, "source: expected at least 16 pixels a side"),
        ({"target": SCENE[:, :, 0]}, "target: expected an image"),
        ({"target": SCENE[:30]}, r"target: expected the aspect ratio of the source \(32, 48\), got \(30, 48\)"),
        ({"steps": 0}, "steps: expected a whole number of at least 1, got 0"),
        ({"start": neutral_look((8, 8))}, r"start: expected a Look with maps of shape \(32, 48, 5\), got \(8, 8, 5\)"),
        ({"start": SCENE}, "start: expected a Look"),
        ({"source": SCENE.at[3, 4, 1].set(jnp.nan)}, "source: expected finite values, got NaN or infinity"),
        ({"target": SCENE.at[3, 4, 1].set(jnp.inf)}, "target: expected finite values, got NaN or infinity"),
    ],
)
def test_bad_input_is_refused(change, message):
    arguments = {"source": SCENE, "target": SCENE} | change
    with pytest.raises(ValueError, match=message):
        fit(arguments.pop("source"), arguments.pop("target"), **arguments)


def test_progress_under_jit_is_refused():
    with pytest.raises(ValueError, match="progress: cannot be called under jit or vmap"):
        jax.jit(lambda target: fit(SCENE, target, steps=CHUNK, progress=print))(SCENE)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"strides": ((4, 0.5), (1, 0.4))}, "strides: expected shares"),
        ({"strides": ((4, 1.0),)}, "strides: expected shares"),
        ({"grids": ()}, "grids: expected sizes"),
        ({"rate": 0.0}, "rate: expected a number over 0"),
        ({"curvature": -1.0}, "curvature: expected a number from 0 on"),
        ({"pool": 0}, "pool: expected at least 1"),
        ({"most_shift": -1}, "most_shift: expected at least 0"),
        ({"chunk": 0}, "chunk: expected at least 1"),
    ],
)
def test_a_bad_config_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        FitLookConfig(**options)


def test_few_pixels_and_means_of_pixels_tell_as_much():
    target = mj.apply_look(some_look(), SCENE)
    config = dataclasses.replace(CONFIG, pool=2, strides=((2, 0.5), (1, 0.5)))
    found = fit(SCENE, target, config=config, ltm=False)
    assert found.look.ltm.shape == (*SIZE, 5)
    assert found.psnr > 25


def test_python_numbers_are_taken():
    look = as_float32(some_look())
    assert fit(np.asarray(SCENE), np.asarray(mj.apply_look(look, SCENE)), steps=CHUNK).picture.dtype == jnp.float32
