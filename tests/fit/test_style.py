"""Fitting a style's networks to pairs.

Where the test is about the loop, a step and a score that compile at once stand in for the networks'.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import modisp_jax as mj
from modisp_jax.color import srgb_encode
from modisp_jax.config import CHROMA_LUT_AXES
from modisp_jax.fit import FitStyleConfig, fit_style_config, start, style
from modisp_jax.fit.deltas import curvature
from modisp_jax.fit.jobs import JobWeights
from modisp_jax.fit.pairs import Augmentation, reduce_pair, vary
from modisp_jax.fit.start import _chosen, bake, base_tables, score, with_rgb_lut
from modisp_jax.fit.style import _batch, _rules, _split
from modisp_jax.tree import flatten
from tests.fit.closed_form import COMMON
from tests.samples import photo, raw

SIZE = (24, 32)
CONFIG = FitStyleConfig(size=SIZE, batch=2, validate_every=2, shift_start=False)
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


@functools.partial(jax.jit, static_argnames=("steps", "rules", "config"))
def cheap_step(state, anchor, pairs, key, number, steps, rules, config):
    """A step without the networks: parameters rise, by what is drawn and by what the pairs are."""
    del anchor
    up = jnp.mean(pairs[0]) + 0.1 * jax.random.uniform(key)
    gradient = jax.tree.map(lambda x: -up * jnp.ones_like(x), {"photofinish": state["params"]})
    return style._moved(state, gradient, number, steps, rules, config), up


@pytest.fixture
def cheap(monkeypatch):
    """Steps and scores without the networks."""

    def fake_score(photofinish, linear, target):
        del linear, target
        return (float(photofinish["gain"]["head"]["bias"][0]),) * 2

    monkeypatch.setattr(style, "_step", cheap_step)
    monkeypatch.setattr(style, "score", fake_score)


def same(first, second):
    jax.tree.map(np.testing.assert_array_equal, first, second)


def test_the_closed_form_fits_photos_that_it_has_not_seen(params, monkeypatch):
    monkeypatch.setattr(start, "_common", COMMON)
    config = dataclasses.replace(CONFIG, shift_start=True, curvature=1.0)
    fitted = fit(params, steps=0, rgb_lut=True, config=config)
    assert [entry["step"] for entry in fitted.history] == ["start", "shifted"]
    scores = [entry["score"] for entry in fitted.history]
    assert scores[1] > scores[0] + 8
    assert fitted.score == scores[1]
    assert "rgb_lut" in fitted.params["photofinish"]
    unseen = jnp.asarray(0.9 * photo(*SIZE, seed=9))[None]
    began = with_rgb_lut(params["photofinish"])
    before, after = (score(p, unseen, finish(unseen))[0] for p in (began, fitted.params["photofinish"]))
    assert after > before + 8
    # Targets that the style itself has made: nothing is better than the start.
    pairs = [(scene, mj.apply_look(mj.predict_look(began, scene), scene)) for scene in SCENES]
    found = fit({"photofinish": began}, pairs, steps=0, config=config)
    assert found.score > 60
    for name, leaf in flatten(found.params["photofinish"]).items():
        np.testing.assert_allclose(leaf, flatten(began)[name], atol=2e-2, err_msg=name)


def test_the_closed_form_keeps_to_what_the_networks_can_choose(params, monkeypatch):
    """A dark target draws the gamma under 1.2, the network's least: there the curve has to do the rest."""
    monkeypatch.setattr(start, "_common", COMMON)
    config = dataclasses.replace(CONFIG, shift_start=True, curvature=1.0)
    fitted = fit(params, [(scene, scene**3) for scene in SCENES], steps=0, config=config)
    assert fitted.score > 50


@pytest.mark.parametrize("axes", CHROMA_LUT_AXES)
def test_the_base_tables_are_those_of_the_look(axes):
    """Untrained networks add nothing to them."""
    config = mj.PipelineConfig(denoise=None, enhance=None, photofinish=mj.PhotofinishConfig(axes != "cbcr", axes, 128))
    photofinish = mj.init_params(jax.random.key(0), config)["photofinish"]
    name = f"base_lut_{axes}"
    chroma = photofinish["chroma"] | {name: jax.random.normal(jax.random.key(1), photofinish["chroma"][name].shape)}
    look = mj.predict_look(photofinish | {"chroma": chroma}, SCENES[0])
    tables = base_tables(photofinish | {"chroma": chroma})
    assert set(tables) == ({"chroma_lut"} if axes == "cbcr" else {"chroma_lut", "rgb_lut"})
    for field, table in tables.items():
        np.testing.assert_allclose(table, getattr(look, field), atol=1e-6)


@pytest.mark.slow
def test_training_lowers_the_loss_and_resumes_to_the_same_bits(params, tmp_path):
    losses = []
    # A chroma map with bends, as a style's own is: what costs is only what training adds to them.
    chroma = params["photofinish"]["chroma"]
    bent = chroma["base_lut_cbcr"] + 0.05 * jax.random.normal(jax.random.key(0), (24, 24, 2))
    params = {"photofinish": params["photofinish"] | {"chroma": chroma | {"base_lut_cbcr": bent}}}
    assert CONFIG.curvature * curvature(bent) > 20
    still = Augmentation((1.0, 1.0), False, 0.0, 0.0)
    config = dataclasses.replace(CONFIG, batch=1, augmentation=still, towards_start=0.0, jobs=JobWeights())
    # The last two stages' networks: their gradient compiles fast. That of all: tests/test_losses, train/test_main.
    options = {"stages": ("chroma", "gamma"), "steps": 4, "validation": 0.0, "config": config}
    fitted = fit(params, PAIRS[:2], progress=lambda record: losses.append(record["loss"]), **options)
    assert len(losses) == 6
    assert losses[0] < 5
    assert losses[-1] < losses[2]  # of both pairs, at the two validations
    assert fitted.score > fitted.history[0]["score"]
    stopped = fit(params, PAIRS[:2], folder=tmp_path, progress=lambda record: record["step"] == 2, **options)
    assert not stopped.done
    resumed = fit(params, PAIRS[:2], folder=tmp_path, **options)
    same(resumed.params, fitted.params)
    assert resumed.history == fitted.history


@pytest.mark.usefixtures("cheap")
def test_only_what_is_asked_for_is_trained(params):
    fitted = fit(params)
    assert [entry["step"] for entry in fitted.history] == ["start", 2, 4]
    assert all(entry["best"] for entry in fitted.history)
    assert fitted.done
    before, after = flatten(params), flatten(fitted.params)
    for name in before:
        moved = not np.array_equal(before[name], after[name])
        assert moved == (name.split("/")[1] in STAGES), name


@pytest.mark.usefixtures("cheap")
def test_a_fit_that_was_stopped_ends_with_the_same_bits(params, tmp_path):
    fitted = fit(params)
    for stop_after in (1, 3):
        stopped = fit(params, folder=tmp_path, progress=lambda record, n=stop_after: record["step"] == n)
        assert not stopped.done
    resumed = fit(params, folder=tmp_path)
    assert resumed.done
    same(resumed.params, fitted.params)
    assert resumed.history == fitted.history
    same(fit(params, folder=tmp_path).params, fitted.params)  # nothing is left to do


@pytest.mark.usefixtures("cheap")
@pytest.mark.parametrize("step", [1, 2, 3, 4])
def test_an_interruption_saves_and_is_raised_on(params, tmp_path, step):
    def interrupt(record):
        if record["step"] == step:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(params, folder=tmp_path, progress=interrupt)
    assert [path.name for path in tmp_path.iterdir()] == ["state.npz"]
    resumed, fitted = fit(params, folder=tmp_path), fit(params)
    same(resumed.params, fitted.params)
    assert resumed.history == fitted.history


@pytest.mark.usefixtures("cheap")
def test_a_folder_belongs_to_one_fit(params, tmp_path):
    fit(params, folder=tmp_path, steps=0)
    for change in ({"seed": 1}, {"pairs": PAIRS[:4]}, {"stages": ("gain",)}, {"steps": 1}):
        with pytest.raises(ValueError, match="got that of one with other pairs, start or options"):
            fit(params, **{"folder": tmp_path, "steps": 0} | change)
    (tmp_path / "state.npz").write_bytes(b"PK nothing")
    with pytest.raises(ValueError, match="expected the state of a fit"):
        fit(params, folder=tmp_path, steps=0)


@pytest.mark.usefixtures("cheap")
def test_what_is_not_photofinishing_is_kept(params):
    enhance = mj.init_params(jax.random.key(1), mj.PipelineConfig(None, None, mj.NAFNetConfig(2)))
    same(fit(params | enhance).params["enhance"], enhance["enhance"])


@pytest.mark.usefixtures("cheap")
def test_training_stops_when_nothing_gets_better(params):
    still = dataclasses.replace(CONFIG.optim, learning_rate=0.0)
    for patience, steps in ((1, [2]), (2, [2, 4])):
        fitted = fit(params, steps=20, config=dataclasses.replace(CONFIG, optim=still, patience=patience))
        assert [entry["step"] for entry in fitted.history] == ["start", *steps]
        assert fitted.done
        same(fitted.params, params)


@pytest.mark.usefixtures("cheap")
@pytest.mark.parametrize("rate", [0.0, 1e-2])
def test_the_closed_form_of_all_pairs_comes_out_where_no_step_is_better(params, monkeypatch, tmp_path, rate):
    """Steps start from, and are judged beside, one that has not seen the pairs kept."""
    seen, began = [], float(params["photofinish"]["gain"]["head"]["bias"][0])

    def shift_start(photofinish, linear, target, curvature):
        del target, curvature
        seen.append(len(linear))
        return jax.tree.map(lambda p: p + 0.01 * len(linear), photofinish)

    monkeypatch.setattr(style, "shift_start", shift_start)
    optim = dataclasses.replace(CONFIG.optim, learning_rate=rate, warmup=0, ema=0.0)
    config = dataclasses.replace(CONFIG, shift_start=True, shift_by_all=False, optim=optim)
    fitted = fit(params, config=config, folder=tmp_path)
    assert fitted.history[1]["step"] == "shifted"
    assert fitted.history[1]["score"] == pytest.approx(began + 0.04)
    bias = float(fitted.params["photofinish"]["gain"]["head"]["bias"][0])
    if rate:
        assert seen == [4]
        assert bias == fitted.score > fitted.history[1]["score"]
    else:
        assert seen == [4, 5]
        assert bias == pytest.approx(began + 0.05)
        assert fitted.score == fitted.history[1]["score"]
        assert not any(entry["best"] for entry in fitted.history[2:])
    same(fit(params, config=config, folder=tmp_path).params, fitted.params)  # nothing is left to do
    seen.clear()
    fit(params, config=dataclasses.replace(config, shift_by_all=True))
    assert seen == [5]


@pytest.mark.usefixtures("cheap")
@pytest.mark.parametrize("better", [True, False])
def test_the_pairs_it_was_fitted_to_decide_whether_the_closed_form_is_better(params, monkeypatch, better):
    """The one pair kept says the contrary; steps are then compared with what was chosen."""

    def score(photofinish, linear, target):
        del target
        bias = float(photofinish["gain"]["head"]["bias"][0])
        return (bias if (len(linear) > 1) == better else -bias,) * 2

    monkeypatch.setattr(style, "score", score)
    monkeypatch.setattr(style, "shift_start", lambda start, *_: jax.tree.map(lambda p: p + 0.5, start))
    config = dataclasses.replace(CONFIG, shift_start=True)
    fitted = fit(params, steps=0, config=config)
    assert [entry["best"] for entry in fitted.history] == [True, better]
    assert (fitted.history[1]["score"] < fitted.history[0]["score"]) == better
    assert fitted.score == fitted.history[int(better)]["score"]
    moved = fitted.params["photofinish"]["gain"]["head"]["bias"] - params["photofinish"]["gain"]["head"]["bias"]
    np.testing.assert_allclose(moved, 0.5 if better else 0.0, atol=1e-6)
    monkeypatch.setattr(style, "_step", lambda state, *_, **__: (state, jnp.float32(0)))
    trained = fit(params, config=config)
    assert not any(entry["best"] for entry in trained.history[2:])
    same(trained.params, fitted.params)


@pytest.mark.parametrize(
    ("pairs", "validation", "free"),
    [(10, 0.2, False), (22, 0.2, False), (23, 0.2, True), (30, 0.0, False), (10, 0.5, True), (1, 0.9, False)],
)
def test_training_is_free_where_enough_pairs_are_kept(pairs, validation, free):
    config = fit_style_config(pairs, validation, size=SIZE)
    assert config.size == SIZE
    assert config.shift_by_all != free
    assert config.towards_start == (0.0 if free else 1.0)
    assert config.optim.learning_rate == (1e-3 if free else 3e-4)


def test_without_a_config_the_number_of_pairs_decides(params, monkeypatch):
    class Asked(Exception):
        pass

    def ask(*given):
        raise Asked(given)

    monkeypatch.setattr(style, "fit_style_config", ask)
    with pytest.raises(Asked, match=r"\(5, 0.4\)"):
        mj.fit_style(params, iter(PAIRS), validation=0.4)


@pytest.mark.usefixtures("cheap")
def test_a_loss_that_is_not_finite_is_an_error(params, monkeypatch):
    monkeypatch.setattr(style, "_step", lambda state, *_, **__: (state, jnp.float32(jnp.nan)))
    with pytest.raises(ValueError, match="step 1: the loss is not finite"):
        fit(params)


def test_a_shifted_start_makes_the_looks_asked_for(params):
    """Exactly where a head knows no picture: untrained, its kernel is zero."""
    photofinish = with_rgb_lut(params["photofinish"])
    linear = jnp.stack(SCENES[:1])
    chosen = jax.tree.map(lambda x: x[None], _chosen(photofinish, linear[0]))
    wanted = dataclasses.replace(
        chosen,
        gain=chosen.gain * 1.2,
        gtm=chosen.gtm * np.array([1.1, 0.9, 1.2], np.float32),
        ltm=chosen.ltm * np.array([1.0, 0.9, 1.1, 0.8, 1.2], np.float32),
        chroma_lut=chosen.chroma_lut * 0.9 + 0.01,
        inverse_gamma=chosen.inverse_gamma * 1.1,
        rgb_lut=jnp.clip(chosen.rgb_lut + 0.05, 0.01, None),
    )
    found = _chosen(bake(photofinish, chosen, wanted), linear[0])
    jax.tree.map(lambda got, expected: np.testing.assert_allclose(got, expected[0], atol=1e-4), found, wanted)


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
