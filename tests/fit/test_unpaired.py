"""Ordinary photos beside the pairs: a function ISP is learned, and what it makes of photos is a part of the fit.

Where the test is about the fit, a factor on the picture stands in for photofinishing's networks.
"""

import dataclasses
import json
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import modisp_jax as mj
from modisp_jax.config import FunctionISPConfig
from modisp_jax.dynamicisp import apply_functions
from modisp_jax.dynamicisp.parameters import base_parameters
from modisp_jax.fit import FitStyleConfig, style, unpaired
from modisp_jax.fit.jobs import JobWeights
from modisp_jax.fit.optim import OptimizerConfig
from modisp_jax.fit.pairs import Augmentation
from modisp_jax.fit.unpaired import (
    PLAIN,
    UnpairedConfig,
    learn_functions,
    pairs_for_start,
    pairs_of_photos,
    reduce_photos,
    untaught,
)
from tests.samples import photo

SIZE = (24, 32)
ISP = FunctionISPConfig(resize=32)
UNPAIRED = UnpairedConfig(
    photos=2,
    isp=ISP,
    steps=24,
    batch=4,
    remembered=60,
    start=7,
    optim=OptimizerConfig(learning_rate=5e-3, clip_norm=1.0, ema=0.8),
)
CONFIG = FitStyleConfig(size=SIZE, batch=2, validate_every=2, shift_start=False, unpaired=UNPAIRED)


def finish(linear):
    """The wanted look: darker and warm."""
    return np.float32(np.clip(0.6 * linear * np.array([1.1, 1.0, 0.8]), 0, 1) ** (1 / 1.8))


SCENES = [np.float32(0.9 * np.roll(photo(*SIZE, seed=k), 7 * k, axis=1)) for k in range(5)]
PAIRS = [(scene, finish(scene)) for scene in SCENES]
PHOTOS = [np.float32(np.roll(photo(*SIZE, seed=9), 5 * k, axis=1)) for k in range(3)]
TRAIN = tuple(np.stack(images) for images in zip(*PAIRS[:4], strict=True))


def same(first, second):
    jax.tree.map(np.testing.assert_array_equal, first, second)


# The function ISP


@pytest.fixture(scope="module")
def learned():
    """(what was learned, what progress was told)."""
    told = []
    return learn_functions(*TRAIN, UNPAIRED, PLAIN, 0, told.append), told


def test_a_look_is_learned(learned):
    _, told = learned
    assert [(record["functions"], record["steps"]) for record in told] == [(k, 24) for k in range(1, 25)]
    losses = [record["loss"] for record in told]
    assert np.mean(losses[-4:]) < 0.3 * losses[0]


def test_what_it_used_is_remembered(learned):
    """Sets of parameters that make the look; those of the start do not."""
    memory = learned[0]["memory"]
    assert int(memory.seen) == 100  # fifty at once
    assert len(memory.parameters.color) == 60

    @jax.jit
    def errors(sets, linear, target):
        render = jax.vmap(apply_functions, (0, None))
        return jnp.square(render(sets, linear) - target).mean(axis=(1, 2, 3))

    start = jax.tree.map(lambda p: jnp.broadcast_to(p, (60, *p.shape)), base_parameters(ISP))
    before, after = (np.asarray(errors(sets, *PAIRS[0])) for sets in (start, memory.parameters))
    assert after.max() < 0.5 * before[0]


def test_it_is_of_the_shapes_that_a_state_on_disk_has(learned):
    forms = [jax.tree.map(lambda x: (jnp.shape(x), jnp.result_type(x)), x) for x in (learned[0], untaught(UNPAIRED))]
    assert forms[0] == forms[1]
    assert int(untaught(UNPAIRED)["memory"].seen) == 0


def test_photos_become_pairs_in_the_wanted_look(learned):
    plain = jnp.stack([scene ** (1 / 2.2) for scene in SCENES[:2]])
    linear, target = (np.asarray(x) for x in pairs_of_photos(learned[0], plain, jax.random.key(0), UNPAIRED))
    for images in (linear, target):
        assert images.shape == plain.shape
        assert 0 <= images.min() < images.max() <= 1
    # It is warmer, as the look is, and the pair is one of that look.
    warmth = lambda x: float(np.mean(x[..., 0]) / np.mean(x[..., 2]))  # noqa: E731
    assert warmth(target) > 1.05 * warmth(np.asarray(plain))
    assert np.abs(target - finish(linear)).mean() < 0.5 * np.abs(target - linear ** (1 / 2.2)).mean()
    other, _ = pairs_of_photos(learned[0], plain, jax.random.key(1), UNPAIRED)
    assert np.abs(other - linear).max() > 1e-3


def test_the_start_has_every_photo_as_often_as_any_other(learned, monkeypatch):
    teaching, photos = learned[0], np.stack(PHOTOS)
    linear, target = pairs_for_start(teaching, photos, 0, UNPAIRED)
    assert linear.shape == target.shape == (7, *SIZE, 3)
    same(pairs_for_start(teaching, photos, 0, UNPAIRED), (linear, target))
    assert np.abs(pairs_for_start(teaching, photos, 1, UNPAIRED)[0] - linear).max() > 1e-3

    monkeypatch.setattr(unpaired, "pairs_of_photos", lambda teaching, photos, key, config: (photos, photos))
    given, _ = pairs_for_start(teaching, photos, 0, UNPAIRED)
    times = [sum(np.array_equal(one, photo) for one in given) for photo in photos]
    assert sorted(times) == [2, 2, 3]


def test_a_loss_that_is_not_finite_is_an_error(monkeypatch):
    monkeypatch.setattr(unpaired, "_step", lambda state, *_: (state, jnp.float32(jnp.nan)))
    with pytest.raises(ValueError, match=r"the function ISP's loss is not finite \(nan\)"):
        learn_functions(*TRAIN, UNPAIRED, PLAIN, 0)


# Photos


def test_photos_are_brought_to_one_size():
    upright = jnp.asarray(photo(48, 36))
    found = reduce_photos([PHOTOS[0], upright], SIZE)
    assert found.shape == (2, *SIZE, 3)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found[0], PHOTOS[0])
    np.testing.assert_allclose(found[1], jax.image.resize(upright.swapaxes(0, 1), (*SIZE, 3), "linear"), atol=1e-5)


@pytest.mark.parametrize(
    ("photos", "message"),
    [
        ([], "unpaired: expected at least one photo, or None"),
        ([PHOTOS[0], PHOTOS[0][..., :2]], r"unpaired\[1\]: expected an image \[H, W, 3\]"),
        ([np.uint8(255 * PHOTOS[0])], r"unpaired\[0\]: expected floating-point values"),
        ([PHOTOS[0], PHOTOS[0] * np.float32(np.nan)], r"unpaired\[1\]: expected finite values"),
    ],
)
def test_photos_that_are_none_are_named(photos, message):
    with pytest.raises(ValueError, match=message):
        reduce_photos(photos, SIZE)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        *(
            ({name: 0}, f"{name}: expected at least 1, got 0")
            for name in ("photos", "steps", "batch", "remembered", "start")
        ),
        ({"beta": 0.0}, "beta: expected a number over 0, got 0"),
        ({"beta": float("nan")}, "beta: expected a number over 0, got nan"),
    ],
)
def test_a_bad_config_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        UnpairedConfig(**options)


# The fit


PARAMS = {"photofinish": {name: {"head": {"bias": jnp.zeros(1)}} for name in ("gain", "gamma")}}
"""What the stand-ins need of a parameter set."""


@pytest.fixture(scope="module")
def stand_in_step():
    """The step of the fit, compiled for itself: no other test shall find programs of the stand-ins."""
    return jax.jit(style._step.__wrapped__, static_argnames=("steps", "rules", "config"))


@pytest.fixture
def factor(monkeypatch, stand_in_step):
    """A factor on the picture in place of the networks, and its mean square error in place of losses and score."""

    def finish_by_networks(photofinish, linear, edits, config):
        del edits, config
        return None, types.SimpleNamespace(srgb=linear * jnp.exp(photofinish["gain"]["head"]["bias"][0]))

    def losses(look, finished, target, weights):
        del look, weights
        return {"square": jnp.mean(jnp.square(finished.srgb - target))}

    def score(photofinish, linear, target):
        del linear, target
        return (float(photofinish["gain"]["head"]["bias"][0]),) * 2

    monkeypatch.setattr(style, "finish_by_networks", finish_by_networks)
    monkeypatch.setattr(style, "photofinish_losses", losses)
    monkeypatch.setattr(style, "base_tables", lambda photofinish: {})
    monkeypatch.setattr(style, "score", score)
    monkeypatch.setattr(style, "check_params", lambda params: None)
    monkeypatch.setattr(style, "reduce_pair", lambda linear, target, size: (linear, target))
    monkeypatch.setattr(style, "_step", stand_in_step)


def fit(**options):
    return mj.fit_style(
        PARAMS, PAIRS, **{"unpaired": PHOTOS, "stages": ("gain",), "steps": 4, "config": CONFIG} | options
    )


@pytest.mark.usefixtures("factor")
def test_a_fit_that_was_stopped_ends_with_the_same_bits(tmp_path):
    """Also one that was stopped while the function ISP was learned: that then begins anew, and is learned once."""
    told = []
    fitted = fit(progress=told.append)
    steps = [record.get("functions", record.get("step")) for record in told]
    assert steps == [*range(1, 25), 1, 2, 2, 3, 4, 4]
    assert fitted.done
    assert [entry["step"] for entry in fitted.history] == ["start", 2, 4]

    told = []
    stopped = fit(folder=tmp_path, progress=lambda record: told.append(record) or record["functions"] == 3)
    assert not stopped.done
    assert [record["functions"] for record in told] == [1, 2, 3]
    same(stopped.params, PARAMS)
    assert not list(tmp_path.iterdir())
    assert not fit(folder=tmp_path, progress=lambda record: record.get("step") == 1).done
    told = []
    assert not fit(folder=tmp_path, progress=lambda record: told.append(record) or record["step"] == 3).done
    resumed = fit(folder=tmp_path, progress=told.append)
    assert resumed.done
    assert all("functions" not in record for record in told)
    same(resumed.params, fitted.params)
    assert resumed.history == fitted.history


@pytest.mark.usefixtures("factor")
def test_stopped_while_functions_are_learned_all_is_as_it_came(monkeypatch):
    monkeypatch.setattr(style, "shift_start", None)
    stopped = fit(config=dataclasses.replace(CONFIG, shift_start=True), progress=lambda record: "functions" in record)
    assert not stopped.done
    assert [entry["step"] for entry in stopped.history] == ["start"]
    assert stopped.score == 0.0
    same(stopped.params, PARAMS)


@pytest.mark.usefixtures("factor")
@pytest.mark.parametrize("steps", [0, 2])
def test_the_start_in_closed_form_sees_pairs_of_photos(monkeypatch, steps):
    """Beside all real ones, and without a step too; what the score says is of the parameters that come with it."""
    seen = []

    def shift_start(start, linear, target, curvature):
        seen.append((linear, target))
        return jax.tree.map(lambda p: p + 0.5, start)

    monkeypatch.setattr(style, "shift_start", shift_start)
    made = np.full((7, *SIZE, 3), 0.25, np.float32), np.full((7, *SIZE, 3), 0.5, np.float32)
    monkeypatch.setattr(style, "pairs_for_start", lambda *_: made)
    fitted = fit(steps=steps, config=dataclasses.replace(CONFIG, shift_start=True))
    assert fitted.done
    assert [entry["step"] for entry in fitted.history][:2] == ["start", "shifted"]
    assert fitted.history[1]["score"] == 0.5
    assert fitted.score == pytest.approx(float(fitted.params["photofinish"]["gain"]["head"]["bias"][0]))
    ((linear, target),) = seen
    same((linear[:5], target[:5]), tuple(np.stack(images) for images in zip(*PAIRS, strict=True)))
    same((linear[5:], target[5:]), made)


@pytest.mark.usefixtures("factor")
def test_a_folder_belongs_to_one_set_of_photos(tmp_path):
    options = {"steps": 0, "folder": tmp_path}
    fit(**options)
    assert fit(**options).done
    for photos in (PHOTOS[:2], PHOTOS[::-1], None):
        with pytest.raises(ValueError, match="got that of one with other pairs, start or options"):
            fit(unpaired=photos, **options)
    other = dataclasses.replace(CONFIG, unpaired=dataclasses.replace(UNPAIRED, beta=3.0))
    with pytest.raises(ValueError, match="got that of one with other pairs, start or options"):
        fit(config=other, **options)


@pytest.mark.usefixtures("factor")
def test_pairs_of_photos_count_where_they_are_no_worse_and_jobs_where_asked_for(monkeypatch):
    """By the value of a step's loss: of two pairs, of one good photo and one bad one."""
    made = jnp.stack([jnp.full((*SIZE, 3), level) for level in (0.2, 0.3)])
    monkeypatch.setattr(style, "pairs_of_photos", lambda *_: (made, made + jnp.array([0.1, 0.5]).reshape(2, 1, 1, 1)))
    step = jax.jit(style._step.__wrapped__, static_argnames=("steps", "rules", "config"))
    still = Augmentation(view=(1.0, 1.0), flip=False, exposure=0.0, noise=0.0)
    config = dataclasses.replace(CONFIG, augmentation=still)
    start = PARAMS["photofinish"]
    rules = style._rules("gain")
    moments = style.optimizer(config.optim, 4, {"photofinish": start}, rules).init({"photofinish": start})
    state = {"params": start, "ema": start, "optimizer": moments}
    flat = jnp.full((2, *SIZE, 3), 0.5)
    arguments = state, start, (flat, flat + 0.2), jax.random.key(0), 0
    photos = jnp.zeros((2, *SIZE, 3))
    _, value = step(*arguments, steps=4, rules=rules, config=config, teaching={}, photos=photos)
    assert float(value) == pytest.approx((0.04 + 0.04 + 0.01) / 3, rel=1e-4)
    _, alone = step(*arguments, steps=4, rules=rules, config=config)
    assert float(alone) == pytest.approx(0.04, rel=1e-4)
    monkeypatch.setattr(style, "job_losses", lambda *_, weights: {"gain_job": weights.gain})
    _, held = step(*arguments, steps=4, rules=rules, config=dataclasses.replace(config, jobs=JobWeights(gain=0.5)))
    assert float(held) == pytest.approx(0.54, rel=1e-4)


@pytest.mark.usefixtures("factor")
def test_without_steps_and_a_start_nothing_is_learned(monkeypatch):
    monkeypatch.setattr(style, "learn_functions", None)
    fitted = fit(steps=0)
    assert fitted.done
    same(fitted.params, PARAMS)
    json.dumps(fitted.history)
