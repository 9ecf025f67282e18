"""Fitting a style's networks to pairs. One size and one set of trained stages, so that a step is compiled once."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import modisp_jax as mj
from modisp_jax.color import srgb_encode
from modisp_jax.fit import FitStyleConfig
from modisp_jax.fit.pairs import Augmentation, reduce_pair, vary
from modisp_jax.fit.start import _chosen, bake, score, shift_start, with_rgb_lut
from modisp_jax.fit.style import _batch, _rules, _split
from modisp_jax.tree import flatten
from tests.samples import numbered_params, photo, raw

SIZE = (24, 32)
CONFIG = FitStyleConfig(size=SIZE, batch=2, validate_every=2)
STAGES = ("gain", "chroma")


def finish(linear):
    """A style: darker, warm, with lifted blacks."""
    return 0.1 + 0.85 * srgb_encode(0.7 * linear * np.array([1.1, 1.0, 0.8], np.float32))


SCENES = [jnp.asarray(0.9 * photo(*SIZE, seed=k)) for k in range(5)]
PAIRS = [(scene, finish(scene)) for scene in SCENES]


@pytest.fixture(scope="module")
def params():
    config = mj.PipelineConfig(denoise=None, photofinish=mj.PhotofinishConfig(grid_input=128), enhance=None)
    return mj.init_params(jax.random.key(0), config)


def fit(params, pairs=PAIRS, **options):
    return mj.fit_style(params, pairs, **{"stages": STAGES, "steps": 4, "config": CONFIG} | options)


@pytest.fixture(scope="module")
def fitted(params):
    return fit(params)


def same(first, second):
    jax.tree.map(np.testing.assert_array_equal, first, second)


def test_the_closed_form_and_then_training_fit_better(params, fitted):
    steps = [entry["step"] for entry in fitted.history]
    assert steps == ["start", "shifted", 2, 4]
    scores = [entry["score"] for entry in fitted.history]
    assert scores[1] > scores[0] + 5
    assert fitted.score == max(scores)
    assert fitted.done
    unseen = jnp.asarray(0.9 * photo(*SIZE, seed=9))[None]
    before, after = (score(p["photofinish"], unseen, finish(unseen))[0] for p in (params, fitted.params))
    assert after > before + 5


def test_only_what_is_asked_for_is_trained(params, fitted):
    """Training starts at the closed form, of which the other stages keep every bit."""
    shifted = fit(params, steps=0).params["photofinish"]
    trained = fitted.params["photofinish"]
    assert fitted.history[-1]["best"], "else nothing of this is tested"
    for name, leaf in flatten(trained).items():
        moved = not np.array_equal(leaf, flatten(shifted)[name])
        if name.split("/")[0] not in STAGES:
            assert not moved, name
    assert not np.array_equal(trained["gain"]["head"]["bias"], shifted["gain"]["head"]["bias"])


def test_a_fit_that_was_stopped_ends_with_the_same_bits(params, fitted, tmp_path):
    for stop_after in (1, 3):
        stopped = fit(params, folder=tmp_path, progress=lambda record, n=stop_after: record["step"] == n)
        assert not stopped.done
    resumed = fit(params, folder=tmp_path)
    assert resumed.done
    same(resumed.params, fitted.params)
    assert resumed.history == fitted.history
    same(fit(params, folder=tmp_path).params, fitted.params)  # nothing is left to do


def test_an_interruption_saves_and_is_raised_on(params, fitted, tmp_path):
    def interrupt(record):
        if record["step"] == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(params, folder=tmp_path, progress=interrupt)
    assert [path.name for path in tmp_path.iterdir()] == ["state.npz"]
    same(fit(params, folder=tmp_path).params, fitted.params)


def test_a_folder_belongs_to_one_fit(params, fitted, tmp_path):
    fit(params, folder=tmp_path, steps=0)
    with pytest.raises(ValueError, match="got that of one with other pairs, start or options"):
        fit(params, folder=tmp_path, steps=0, seed=1)
    (tmp_path / "state.npz").write_bytes(b"PK nothing")
    with pytest.raises(ValueError, match="expected the state of a fit"):
        fit(params, folder=tmp_path, steps=0)


def test_a_style_that_fits_is_left_alone(params):
    """Targets made by the style itself: nothing is better than the start."""
    pairs = [(scene, mj.apply_look(mj.predict_look(params["photofinish"], scene), scene)) for scene in SCENES]
    found = fit(params, pairs, steps=0)
    assert found.score > 80
    for name, leaf in flatten(found.params).items():
        np.testing.assert_allclose(leaf, flatten(params)[name], atol=2e-2, err_msg=name)


def test_what_is_not_photofinishing_is_kept(params):
    more = params | {"enhance": mj.init_params(jax.random.key(1), mj.PipelineConfig(None, None, mj.NAFNetConfig(2)))}
    more["enhance"] = more["enhance"]["enhance"]
    found = fit(more, steps=0, rgb_lut=True)
    same(found.params["enhance"], more["enhance"])
    assert "rgb_lut" in found.params["photofinish"]
    assert found.score > fit(more, steps=0).score  # blacks are lifted


def test_training_stops_when_nothing_gets_better(params):
    config = dataclasses.replace(CONFIG, optim=dataclasses.replace(CONFIG.optim, learning_rate=0.0), patience=1)
    history = fit(params, config=config).history
    assert [entry["step"] for entry in history] == ["start", "shifted", 2]


def test_one_pair_is_enough(params):
    assert fit(params, PAIRS[:1], steps=0).score > 25


def test_a_shifted_start_makes_on_average_the_looks_asked_for(params):
    photofinish = with_rgb_lut(numbered_params(params)["photofinish"])
    linear = jnp.stack(SCENES)
    chosen = jax.lax.map(lambda x: _chosen(photofinish, x), linear[:1])
    wanted = dataclasses.replace(
        chosen,
        gain=chosen.gain * 1.2,
        gtm=chosen.gtm * np.array([1.1, 0.9, 1.2], np.float32),
        chroma_lut=chosen.chroma_lut * 0.9,
        rgb_lut=jnp.clip(chosen.rgb_lut + 0.05, 0.01, None),
    )
    found = _chosen(bake(photofinish, chosen, wanted), linear[0])
    for name, atol in (("gain", 1e-4), ("rgb_lut", 1e-5)):
        np.testing.assert_allclose(getattr(found, name), getattr(wanted, name)[0], atol=atol, err_msg=name)


def test_shifting_suits_all_pairs_alike(params):
    linear, target = (jnp.stack(images) for images in zip(*PAIRS, strict=True))
    before = score(params["photofinish"], linear, target)
    after = score(shift_start(with_rgb_lut(params["photofinish"]), linear, target, 1.0), linear, target)
    assert after[0] > before[0] + 8
    assert after[1] > before[1] + 8


def test_a_pair_is_laid_on_its_side_and_cropped_to_what_both_show():
    scene = photo(96, 128)
    linear, target = reduce_pair(scene[4:92, 3:123].swapaxes(0, 1), finish(scene[0:88, 6:126].swapaxes(0, 1)), (72, 96))
    assert linear.shape == target.shape == (72, 96, 3)
    np.testing.assert_allclose(target, finish(linear), atol=0.05)


def test_a_raw_photo_is_developed():
    linear, target = reduce_pair(raw(48, 64), photo(96, 128), SIZE)
    assert linear.shape == target.shape == (*SIZE, 3)
    assert 0 <= linear.min() < linear.max() <= 1


def test_no_variation_changes_nothing():
    still = Augmentation(view=(1.0, 1.0), flip=False, exposure=0.0, noise=0.0)
    linear, target = vary(jax.random.key(0), *PAIRS[0], still)
    np.testing.assert_allclose(linear, PAIRS[0][0], atol=1e-5)
    np.testing.assert_allclose(target, PAIRS[0][1], atol=1e-5)


def test_both_pictures_vary_alike():
    config = Augmentation(exposure=0.0, noise=0.0)
    scene = SCENES[0]
    views = [vary(jax.random.key(k), scene, scene, config) for k in range(6)]
    for linear, target in views:
        np.testing.assert_array_equal(linear, target)
    assert len({float(linear[0, 0, 0]) for linear, _ in views}) > 3


def test_every_pair_has_its_turn():
    order = np.concatenate([_batch(5, 2, step, 0) for step in range(10)])
    assert (np.bincount(order[:5]) == 1).all()
    assert (np.bincount(order) == 4).all()
    assert not np.array_equal(order, np.concatenate([_batch(5, 2, step, 1) for step in range(10)]))


@pytest.mark.parametrize(("count", "share", "kept"), [(1, 0.5, 0), (2, 0.2, 0), (5, 0.2, 1), (10, 0.2, 2), (3, 0.9, 2)])
def test_validation_leaves_something_to_train_on(count, share, kept):
    assert _split(count, share, 0).sum() == kept
    np.testing.assert_array_equal(_split(count, share, 3), _split(count, share, 3))


def test_stages_become_rules():
    assert _rules("photofinish") == (("photofinish/", 1.0),)
    assert _rules(("gain", (r"photofinish/\w+/head", 0.1))) == (
        ("photofinish/gain/", 1.0),
        (r"photofinish/\w+/head", 0.1),
        ("photofinish/", 0.0),
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pairs": []}, "pairs: expected at least one"),
        ({"pairs": [PAIRS[0], SCENES[0]]}, r"pairs\[1\]"),
        ({"pairs": [(SCENES[0], SCENES[0][:16])]}, r"pairs\[0\]: target: expected the aspect ratio"),
        ({"pairs": [(SCENES[0].at[0, 0].set(jnp.nan), SCENES[0])]}, r"pairs\[0\]: expected finite values"),
        ({"stages": ("enhance",)}, "stages: expected names among photofinish, gain"),
        ({"stages": ()}, "stages: expected at least one"),
        ({"stages": (("photofinish/nothing", 1.0),)}, "decides no parameter"),
        ({"validation": 1.0}, "validation: expected a share"),
        ({"steps": -1}, "steps: expected a whole number"),
    ],
)
def test_bad_input_is_refused(params, change, message):
    with pytest.raises(ValueError, match=message):
        fit(params, **change)


def test_parameters_without_photofinishing_are_refused():
    with pytest.raises(ValueError, match="expected a parameter set with photofinishing"):
        fit({"denoise": {}})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": (32, 24)}, "size: expected"),
        ({"batch": 0}, "batch: expected at least 1"),
        ({"towards_start": -1.0}, "towards_start: expected"),
        ({"curvature": float("nan")}, "curvature: expected"),
    ],
)
def test_a_bad_config_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        FitStyleConfig(**options)


@pytest.mark.parametrize("options", [{"view": (0.0, 1.0)}, {"view": (0.9, 0.8)}, {"noise": -1.0}, {"exposure": -0.1}])
def test_a_bad_augmentation_is_refused(options):
    with pytest.raises(ValueError, match="expected"):
        Augmentation(**options)
