"""Training of ParamISP: imaginary cameras, the pairs they make, the losses, and short runs of both kinds."""

import dataclasses
import json
import math
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

pytest.importorskip("grain")
pytest.importorskip("orbax.checkpoint")

from modisp_jax.checkpoints import load_params, read_card, save_params
from modisp_jax.config import ParamISPConfig, PipelineConfig
from modisp_jax.io.images import read_image, write_image
from modisp_jax.nets.paramisp import PARAMETERS
from modisp_jax.paramisp_file import load_paramisp
from modisp_jax.params import init_params
from modisp_jax.tree import flatten
from modisp_jax.unprocess import draw_shot, generic_cameras
from tests import samples
from tests.samples import photo
from train.augment import RandomZoomCrop
from train.loop import LoopConfig, fit
from train.optim import OptimizerConfig
from train.paramisp import cameras as imaginary
from train.paramisp.pairs import Pair, dequantized, draw_pair, middle_of, take_pair
from train.paramisp.task import ERRORS, ParamISPExperiment, errors, inside, run, scores, task

TINY = ParamISPConfig(width=2, embedding=3, blocks=0, stages=1)
MIDDLE = jnp.array([60.0, 5.4, 1 / 90, 560.0])
LOOP = LoopConfig(steps=2, batch=2, validate_every=2, log_every=1)


# Imaginary cameras


@pytest.fixture(scope="module")
def finish():
    """A camera's picture of one linear scene, compiled once for all exposure data."""
    linear = jnp.asarray(0.3 * photo(40, 44) ** 2)
    return jax.jit(lambda capture, index=0: imaginary.finish(linear, imaginary.camera(index), capture))


@pytest.mark.parametrize("name", PARAMETERS)
def test_each_parameter_changes_the_picture_and_only_within_its_span(finish, name):
    k = PARAMETERS.index(name)
    low, high = imaginary.SPANS[name]
    ends = [finish(MIDDLE.at[k].set(value)) for value in (low, high)]
    assert float(jnp.abs(ends[0] - ends[1]).mean()) > 0.01
    for value, end in ((low / 3, ends[0]), (3 * high, ends[1])):
        np.testing.assert_array_equal(finish(MIDDLE.at[k].set(value)), end)


def test_a_parameter_acts_as_its_operator_says(finish):
    def at(**values):
        capture = MIDDLE
        for name, value in values.items():
            capture = capture.at[PARAMETERS.index(name)].set(value)
        return np.asarray(finish(capture))

    chroma = lambda x: np.abs(x - x.mean(axis=-1, keepdims=True)).mean()  # noqa: E731
    assert at(exposure_time=1 / 4).mean() > at(exposure_time=1 / 2000).mean() + 0.02
    assert at(f_number=1.8).std() > at(f_number=16.0).std()
    assert chroma(at(iso=3200.0)) < 0.8 * chroma(at(iso=100.0))
    warmth = [np.log(x[..., 0].mean() / x[..., 2].mean()) for x in (at(focal_length=18.0), at(focal_length=200.0))]
    assert warmth[1] > warmth[0] + 0.05


def test_cameras_differ_and_round_to_8_bits(finish):
    pictures = [finish(MIDDLE, index) for index in range(imaginary.COUNT)]
    for k, first in enumerate(pictures):
        assert all(float(jnp.abs(first - other).mean()) > 0.003 for other in pictures[:k])
    np.testing.assert_allclose(255 * pictures[0], np.round(255 * np.asarray(pictures[0])), atol=1e-4)
    assert 0 <= pictures[0].min() <= pictures[0].max() <= 1


def test_exposure_data_are_drawn_evenly_within_their_spans():
    found = np.asarray(jax.vmap(imaginary.draw_capture)(jax.random.split(jax.random.key(0), 2000)))
    for k, name in enumerate(PARAMETERS):
        low, high = imaginary.SPANS[name]
        assert low <= found[:, k].min() < found[:, k].max() <= high * (1 + 1e-6)
    u = np.asarray(jax.vmap(imaginary.position)(found))
    np.testing.assert_allclose([u.mean(axis=0), u.std(axis=0)], [[0] * 4, [1 / math.sqrt(3)] * 4], atol=0.06)
    assert np.abs(np.corrcoef(u.T)[np.triu_indices(4, 1)]).max() < 0.1


# Pairs


def test_pairs_come_from_their_key_alone_and_are_raw_and_finished():
    srgb, sensors = jnp.asarray(photo(40, 44)), generic_cameras()
    draw = jax.jit(lambda key: draw_pair(key, srgb, sensors, (1, 3)))
    first, again, other = draw(jax.random.key(0)), draw(jax.random.key(0)), draw(jax.random.key(1))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    unequal = [name for name in Pair._fields if not np.array_equal(getattr(first, name), getattr(other, name))]
    assert unequal == ["mosaic", "srgb", "illuminant", "capture"]  # there is one made-up colour matrix
    assert first.mosaic.shape == (40, 44)
    assert first.srgb.shape == (40, 44, 3)
    assert first.capture.shape == (4,)
    np.testing.assert_allclose(first.ccm.sum(axis=1), 1, atol=1e-5)
    assert first.illuminant[1] == 1


def test_noise_goes_with_the_iso_and_leaves_black_where_it_is():
    shot, take = draw_shot(jax.random.key(2), generic_cameras()), jax.jit(take_pair)
    black = jnp.zeros((64, 64, 3))

    def raw(factor):
        noisy = dataclasses.replace(shot, a=1e-5 * factor * jnp.ones(3), b=1e-6 * factor**2 * jnp.ones(3))
        return np.asarray(take(jax.random.key(3), black, noisy, imaginary.camera(0), MIDDLE).mosaic)

    low, high = raw(1.0), raw(8.0)
    assert high.std() > 6 * low.std() > 0
    assert abs(high.mean() - np.median(high)) < 0.05 * high.std()
    assert high.min() < 0


def test_white_stays_white():
    """Clipped highlights of every camera come out colourless."""
    shot = draw_shot(jax.random.key(4), generic_cameras())
    pair = jax.jit(take_pair)(jax.random.key(5), jnp.ones((40, 40, 3)), shot, imaginary.camera(0), MIDDLE)
    assert float(pair.srgb.min()) > 0.9


def test_dequantising_hides_the_steps_and_no_more():
    pair = Pair(jnp.full((64, 64), 0.5), jnp.full((64, 64, 3), 0.5), jnp.ones(3), jnp.eye(3), MIDDLE)
    found = dequantized(jax.random.key(0), pair)
    np.testing.assert_allclose(255 * np.std(found.srgb), 0.4, rtol=0.05)
    np.testing.assert_allclose(16383 * np.std(found.mosaic), 0.4, rtol=0.05)
    assert found.capture is pair.capture


def test_middles_are_what_the_networks_take():
    assert middle_of(np.zeros((101, 307, 3), np.uint8), 96).shape == (96, 96, 3)
    assert middle_of(np.full((97, 307, 3), 255, np.uint8), 256).shape == (96, 256, 3)
    assert middle_of(np.full((97, 97, 3), 255, np.uint8), 96).max() == 1


@pytest.mark.parametrize("unchanged", [0.0, 0.5, 1.0])
def test_a_share_of_the_crops_is_not_enlarged(unchanged):
    """Those have their photo's own steps from pixel to pixel, on a ramp of 2 a pixel; others have less."""
    ramp = np.broadcast_to(np.uint8(np.arange(0, 256, 2))[None, :, None], (128, 128, 3))
    crop, rng = RandomZoomCrop(32, (1.5, 2.0), unchanged), np.random.default_rng(0)
    steps = [np.abs(np.diff(crop({"srgb": ramp}, rng)["srgb"].astype(int), axis=1)).mean() for _ in range(200)]
    whole = np.isclose(steps, 2.0)
    assert np.mean(whole) == pytest.approx(unchanged, abs=0.1 if 0 < unchanged < 1 else 0)
    assert np.all(np.asarray(steps)[~whole] < 1.5)


# Losses and scores


@pytest.fixture(scope="module")
def pair():
    return jax.jit(lambda key: draw_pair(key, jnp.asarray(photo(88, 88)), generic_cameras(), (0,)))(jax.random.key(6))


def test_losses_are_mean_errors_without_the_rim(pair, monkeypatch):
    off = {"inverse": pair.mosaic + 0.25, "cycle": pair.srgb.at[:2].add(9.0) - 0.5}
    monkeypatch.setattr("train.paramisp.task.run", lambda *_: off)
    found = errors({}, pair, pair, TINY)
    np.testing.assert_allclose([found["inverse"], found["cycle"]], [0.25, 0.5], rtol=1e-5)
    assert inside(pair.srgb).shape == (84, 84, 3)


def test_a_cycle_may_count_as_its_root_mean_square(pair, monkeypatch):
    """Its square's mean is what PSNR is of; the slope is finite where nothing is off."""
    half = jnp.concatenate([pair.srgb[:44], pair.srgb[44:] + 0.5])
    monkeypatch.setattr("train.paramisp.task.run", lambda *_: {"inverse": pair.mosaic + 0.25, "cycle": half})
    found = errors({}, pair, pair, TINY, cycle="squared")
    np.testing.assert_allclose([found["inverse"], found["cycle"]], [0.25, math.sqrt(0.125)], rtol=1e-5)
    assert np.isfinite(jax.grad(ERRORS["squared"])(jnp.zeros((4, 4)))).all()


def test_scores_are_clipped_decibels(pair):
    dark = pair._replace(mosaic=jnp.full((88, 88), 0.5), srgb=jnp.ones((88, 88, 3)))
    found = scores({"inverse": jnp.full((88, 88), 0.6), "cycle": jnp.full((88, 88, 3), 1.5)}, dark)
    assert found["inverse"] == pytest.approx(20, abs=1e-4)
    assert found["cycle"] >= 120


def test_what_is_run_goes_with_the_networks(pair):
    params = task(experiment_of("inverse_isp", "forward_isp")).init(jax.random.key(0))
    found = jax.eval_shape(lambda: run(params, pair, TINY))
    assert {name: x.shape for name, x in found.items()} == {"inverse": (88, 88), "cycle": (88, 88, 3)}
    found = jax.eval_shape(lambda: run({"forward_isp": params["forward_isp"]}, pair, TINY))
    assert list(found) == ["forward"]


# Runs


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Photos to train and to validate on."""
    folder = tmp_path_factory.mktemp("photos")
    for place, seed in (("train", 0), ("train", 1), ("val", 2)):
        (folder / place).mkdir(exist_ok=True)
        write_image(folder / place / f"{seed}.png", photo(120, 104, seed))
    return folder


@pytest.fixture(autouse=True)
def here(folder, monkeypatch):
    monkeypatch.chdir(folder)


def experiment_of(*networks, **changes):
    fields = {"photos": "train", "val_photos": "val", "tables": None, "config": TINY, "crop": 88, "val_size": 88}
    optim = OptimizerConfig(learning_rate=1e-3, clip_norm=1.0)
    return ParamISPExperiment(networks=networks, loop=LOOP, optim=optim, **fields | changes)


@pytest.mark.slow
def test_one_direction_and_then_both_jointly(tmp_path):
    """Pre-training on all cameras, then jointly on one of them from what came out; and it goes on where it was."""
    experiment = experiment_of("forward_isp")
    result = fit(task(experiment), LOOP, experiment.optim, tmp_path / "forward")
    assert np.isfinite(result.metrics["score"])
    start = tmp_path / "forward" / "best.safetensors"
    joint = experiment_of("inverse_isp", "forward_isp", cameras=(2,), start=(start,))
    np.testing.assert_array_equal(
        *(
            flatten(p["forward_isp"])["local/head/kernel"]
            for p in (task(joint).init(jax.random.key(9)), load_params(str(start)))
        )
    )
    first = fit(task(joint), LOOP, joint.optim, tmp_path / "joint")
    lines = [json.loads(line) for line in (tmp_path / "joint" / "log.jsonl").read_text().splitlines()]
    assert {"inverse", "cycle", "loss"} <= set(lines[0])
    assert lines[0]["loss"] == pytest.approx(lines[0]["inverse"] + lines[0]["cycle"], rel=1e-5)
    params, config = load_paramisp(tmp_path / "joint" / "best.safetensors")
    assert set(params) == {"inverse_isp", "forward_isp"}
    assert config == TINY
    card = read_card(tmp_path / "joint" / "best.safetensors")
    assert len(card["uses"]) == 1
    assert read_image(tmp_path / "joint" / "sheet.png").shape[1] > 4 * 80
    again = fit(task(joint), LOOP, joint.optim, tmp_path / "joint")
    assert again.metrics == first.metrics


def test_ordinary_photos_in_joint_training(tmp_path):
    """Half of each batch is photos as they are, held to the raw that the first network made of them."""
    both = experiment_of("inverse_isp", "forward_isp")
    start = tmp_path / "start.safetensors"
    params = task(both).init(jax.random.key(3))
    save_params(start, params, card={"paramisp": dataclasses.asdict(TINY)})
    joint = task(dataclasses.replace(both, start=(start,), unpaired=0.5, dropout=0.0, dequantize=False))
    batch = {"srgb": jnp.asarray(np.uint8(255 * np.stack([photo(88, 88, k) for k in (4, 5)])))}
    keys = jax.random.split(jax.random.key(4), 2)
    total, terms = jax.jit(joint.loss)(params, joint.context, batch, keys, 0.0)
    assert set(terms) == {"inverse", "cycle", "photo_inverse", "photo_cycle"}
    assert float(terms["photo_inverse"]) < 1e-6  # the networks are still those that it was held to
    assert float(terms["photo_cycle"]) > 1e-3
    pairs, photos = (terms["inverse"] + terms["cycle"], terms["photo_inverse"] + terms["photo_cycle"])
    assert float(total) == pytest.approx(float(pairs + 0.5 * photos), rel=1e-5)
    assert {"photo", "photo_least"} <= set(joint.validate(params))
    save_params(start, {"forward_isp": params["forward_isp"]}, card={"paramisp": dataclasses.asdict(TINY)})
    with pytest.raises(ValueError, match="unpaired: expected start with the inverse network, got forward_isp"):
        task(dataclasses.replace(both, start=(start,), unpaired=0.5))


def test_a_start_is_of_the_experiments_networks(tmp_path):
    """Others would train in shapes or by readings that their card does not say, or not at all."""
    inverse, forward = (experiment_of(name) for name in ("inverse_isp", "forward_isp"))
    start, style = tmp_path / "start.safetensors", tmp_path / "style.safetensors"
    save_params(start, task(inverse).init(jax.random.key(0)), card={"paramisp": dataclasses.asdict(TINY)})
    save_params(style, init_params(jax.random.key(0), PipelineConfig(None, None, samples.TINY.enhance)))
    both = experiment_of("inverse_isp", "forward_isp", start=(start,))
    assert set(task(both).init(jax.random.key(0))) == {"inverse_isp", "forward_isp"}  # forward_isp untrained
    wider = dataclasses.replace(TINY, width=8, mask_start=0.95)
    for experiment, message in (
        (
            dataclasses.replace(inverse, config=wider),
            f"{start} with width {TINY.width}, not 8, mask_start 0.9, not 0.95",
        ),
        (forward, "start: expected forward_isp, got inverse_isp"),
        (dataclasses.replace(inverse, start=(style,)), "expected the networks inverse_isp, forward_isp, got enhance"),
    ):
        with pytest.raises(ValueError, match=re.escape(message)):
            task(dataclasses.replace(experiment, start=experiment.start or (start,)))


def test_what_an_experiment_refuses():
    for changes, message in (
        ({"networks": ("forward_isp", "inverse_isp")}, "networks: expected inverse_isp, forward_isp, or both"),
        ({"cameras": ()}, "cameras: expected some of 0 to 4"),
        ({"cameras": (5,)}, "cameras: expected some of 0 to 4"),
        ({"dropout": 1.5}, "dropout: expected a probability"),
        ({"unchanged": -0.1}, "unchanged: expected a share"),
        ({"cycle_error": "cubed"}, "cycle_error: expected absolute or squared, got cubed"),
        ({"unpaired": 1.0}, "unpaired: expected both networks, start, imaginary cameras and an even batch"),
    ):
        with pytest.raises(ValueError, match=message):
            ParamISPExperiment(**changes)
