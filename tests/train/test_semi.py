"""Semi-supervised training: its data, its targets, its pseudo-pairs, and a short run of all three phases.

Where the test is not about them, a stand-in that compiles nothing takes the photos of the controlled benchmark again.
"""

import dataclasses
import functools
import json
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

pytest.importorskip("grain")
pytest.importorskip("orbax.checkpoint")

from modisp_jax.checkpoints import load_params, read_card, save_params
from modisp_jax.color import srgb_decode
from modisp_jax.config import FunctionISPConfig
from modisp_jax.dynamicisp import invert_functions
from modisp_jax.dynamicisp.losses import pyramid_l1
from modisp_jax.dynamicisp.memory import mean_parameters
from modisp_jax.io.images import read_image, write_image
from modisp_jax.params import param_shapes
from modisp_jax.tree import unflatten
from modisp_jax.unprocess import generic_cameras
from tests.samples import photo
from train import __main__ as program
from train.loop import LoopConfig, fit
from train.provenance import sha256
from train.semi import sources, targets
from train.semi import task as semi
from train.semi.sources import Mixed, RandomPart, controlled, folders, laid, mixed_loader
from train.semi.targets import TARGETS, picture_loss
from train.semi.task import SemiExperiment, fill_memory, load_teacher, task

ISP = FunctionISPConfig(resize=32)
SIZE, CROP = (24, 32), (20, 28)
LOOP = LoopConfig(steps=3, batch=2, validate_every=3, log_every=1)
LINE = re.compile(r"train: error: [^\n]+\n")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Five photos to train on, one of them upright, and two to validate on."""
    folder = tmp_path_factory.mktemp("photos")
    for place, seeds in (("train", range(5)), ("val", (10, 11))):
        (folder / place).mkdir()
        for seed in seeds:
            image = photo(36, 48, seed)
            write_image(folder / place / f"{seed}.png", image.swapaxes(0, 1).copy() if seed == 3 else image)
    return folder


@pytest.fixture(autouse=True)
def here(folder, monkeypatch):
    monkeypatch.chdir(folder)


def experiment_of(**changes):
    fields = {"photos": "train", "val_photos": "val", "tables": None, "isp": ISP, "size": SIZE, "crop": CROP}
    return SemiExperiment(**fields | {"count": 2, "capacity": 7, "loop": LOOP} | changes)


@pytest.fixture
def quick(monkeypatch):
    """A stand-in for cameras and hidden renderer."""

    def take_again(seed, photos, cameras, noise):
        del cameras, noise
        light = np.random.default_rng(seed).uniform(0.3, 0.7, (len(photos), 1, 1, 1))
        return np.float32(light * photos**2.2), np.float32(photos**0.9)

    monkeypatch.setattr(sources, "take_again", take_again)


@pytest.fixture(scope="module")
def network():
    """The function ISP, untrained: every picture gets the same parameters."""
    return TARGETS["function_isp"].init(jax.random.key(0), experiment_of())


@pytest.fixture(scope="module")
def steered(network):
    """One whose parameters go with the picture."""
    heads = [name for name in network if name.endswith("_head")]
    noise = lambda x: jnp.asarray(0.2 * np.random.default_rng(0).normal(size=x.shape), jnp.float32)  # noqa: E731
    return network | {name: network[name] | {"kernel": noise(network[name]["kernel"])} for name in heads}


@pytest.fixture(scope="module")
def memory(steered):
    inputs = np.stack([photo(*SIZE, seed) for seed in range(3)])
    return fill_memory(steered, inputs, experiment_of())


# Data


@pytest.mark.usefixtures("quick")
def test_the_first_photos_become_pairs_and_the_others_stay_photos():
    source = controlled(experiment_of(count=2, pseudo=1, teacher="t"))
    assert (len(source.pairs), len(source.photos), len(source.validation[0])) == (2, 3, 6)
    originals = {name: laid(read_image(f"{name}.png"), SIZE) for name in ("train/0", "train/1", "train/2", "train/4")}
    originals["train/3"] = laid(read_image("train/3.png").swapaxes(0, 1), SIZE)  # the upright one lies
    originals |= {name: laid(read_image(f"{name}.png"), SIZE) for name in ("val/10", "val/11")}

    def name_of(picture):
        (name,) = [name for name, image in originals.items() if np.abs(image - picture).max() < 2 / 255]
        return name

    used = [name_of(pair["target"] ** (1 / 0.9)) for pair in source.pairs]
    others = [name_of(sample["photo"]) for sample in source.photos]
    assert sorted(used + others) == [f"train/{k}" for k in range(5)]
    held_out = [name_of(picture ** (1 / 0.9)) for picture in source.validation[1]]
    assert held_out == ["val/10", "val/11"] * 3
    for picture in (*source.pairs[0].values(), *source.photos[0].values(), source.validation[0][0]):
        assert picture.shape == (*SIZE, 3)
        assert picture.dtype == np.float32
    assert not controlled(experiment_of(count=2)).photos


@pytest.mark.usefixtures("quick")
def test_more_pairs_than_photos_are_taken_again():
    source = controlled(experiment_of(count=12, pseudo=1, teacher="t"))
    assert (len(source.pairs), len(source.photos)) == (12, 5)
    for k in range(5):
        first, again = source.pairs[k], source.pairs[k + 5]
        np.testing.assert_array_equal(first["target"], again["target"])
        assert np.abs(first["input"] - again["input"]).max() > 1e-3


@pytest.mark.usefixtures("quick")
def test_the_seed_decides_which_photos_are_pairs():
    options = {"count": 2, "pseudo": 1, "teacher": "t"}
    drawn = [controlled(experiment_of(split_seed=seed, **options)) for seed in (0, 0, 1, 2, 3)]
    jax.tree.map(np.testing.assert_array_equal, drawn[0][:3], drawn[1][:3])
    assert len({source.pairs[0]["target"].tobytes() for source in drawn}) > 1
    for source in drawn:  # whatever it is, validation is the same
        jax.tree.map(np.testing.assert_array_equal, source.validation, drawn[0].validation)


def test_photos_are_taken_by_cameras_and_finished_by_the_hidden_renderer():
    photos = np.stack([photo(*SIZE, seed) for seed in (0, 0, 1)])
    linear, wanted = sources.take_again(5, photos, generic_cameras())
    for images in (linear, wanted):
        assert images.shape == photos.shape
        assert images.dtype == np.float32
        assert 0 <= images.min() < images.max() <= 1
    assert np.abs(linear[0] - linear[1]).mean() > 1e-3  # another camera, light and exposure
    # The wanted look is of the scene: bright where the photo is.
    luma = [x[2].mean(axis=-1).ravel() for x in (photos, wanted)]
    assert np.corrcoef(*luma)[0, 1] > 0.9
    assert np.abs(wanted - photos).mean() > 0.01


def test_raws_are_noisy_where_pseudo_raws_are_and_wanted_pictures_are_not(monkeypatch):
    photos = np.stack([photo(*SIZE, seed) for seed in (0, 1)])
    quiet, noisy = (sources.take_again(5, photos, generic_cameras(), (shot, 0.0)) for shot in (0.0, 0.01))
    np.testing.assert_array_equal(quiet[1], noisy[1])
    assert 0.005 < np.abs(noisy[0] - quiet[0]).mean() < 0.08  # of variance .01 at most
    drawn = []
    monkeypatch.setattr(sources, "take_again", lambda seed, photos, **given: drawn.append(given) or (photos, photos))
    controlled(experiment_of(noise=(0.01, 0.0002)))
    assert [given["noise"] for given in drawn] == [(0.01, 0.0002)] * 2  # pairs and validation


def test_pictures_to_enhance_are_dark_ones_of_the_photos(monkeypatch):
    photos = np.stack([0.1 + 0.8 * photo(*SIZE, seed) for seed in (0, 0, 1)]).astype(np.float32)
    dark, wanted = sources.take_in_the_dark(5, photos)
    np.testing.assert_array_equal(wanted, photos)
    assert dark.shape == photos.shape
    assert 0 <= dark.min() < dark.max() <= 1
    light = [np.asarray(srgb_decode(x)).mean(axis=(1, 2, 3)) for x in (photos, dark)]
    stops = np.log2(light[0] / light[1])
    assert (np.abs(stops - 3) < 1.3).all()
    assert np.ptp(stops) > 0.01
    taken = []
    monkeypatch.setattr(sources, "take_in_the_dark", lambda seed, photos: taken.append(seed) or (photos, photos))
    controlled(experiment_of(isp=FunctionISPConfig(resize=32, enhance=True), split_seed=3))
    assert taken == [3, sources.VALIDATION_SEED]


def test_pictures_to_enhance_are_paired_by_name(tmp_path):
    for k in range(3):
        for place, gain in (("low", 0.3), ("high", 1.0)):
            (tmp_path / place).mkdir(exist_ok=True)
            write_image(tmp_path / place / f"{k}.png", gain * photo(36, 48, k))
    enhance = FunctionISPConfig(resize=32, enhance=True)
    low, high = tmp_path / "low", tmp_path / "high"
    options = {"isp": enhance, "pairs": low, "targets": high, "val_pairs": low, "val_targets": high}
    source = folders(experiment_of(**options, unpaired="train", pseudo=1, teacher="t"))
    assert (len(source.pairs), len(source.photos), source.validation[0].shape) == (3, 5, (3, *SIZE, 3))
    for k, pair in enumerate(source.pairs):
        np.testing.assert_allclose(pair["input"], 0.3 * pair["target"], atol=0.01)
        np.testing.assert_allclose(pair["target"], laid(photo(36, 48, k), SIZE), atol=0.01)
    assert folders(experiment_of(**options)).photos == []
    with pytest.raises(ValueError, match="targets: expected a folder of wanted pictures"):
        folders(experiment_of(**options | {"targets": None}))
    with pytest.raises(ValueError, match="nowhere: expected a folder of pictures, got nothing"):
        folders(experiment_of(**options | {"val_targets": "nowhere"}))
    (high / "1.png").unlink()
    with pytest.raises(ValueError, match=r"high: expected a picture for each of .*low, lacks 1$"):
        folders(experiment_of(**options))
    write_image(high / "1.png", photo(48, 36, 1))
    with pytest.raises(ValueError, match=r"high/1.png: expected the aspect ratio of .*low/1.png"):
        folders(experiment_of(**options))


def test_raw_photos_are_paired_as_for_fitting(monkeypatch):
    """How they are found and read is tests/test_fit_files.py's."""
    asked = []

    def find_pairs(folder, wanted):
        asked.append((str(folder), wanted and str(wanted)))
        return [("a.dng", "a.png"), ("b.dng", "b.png")]

    def read_pair(raw, picture):
        image = photo(48, 36) if raw == "a.dng" else photo(36, 48)
        return image**2.2, image if picture == f"{raw[0]}.png" else None

    monkeypatch.setattr(sources, "find_pairs", find_pairs)
    monkeypatch.setattr(sources, "read_pair", read_pair)
    source = folders(experiment_of(pairs="raws", val_pairs="others", val_targets="finished"))
    assert asked == [("raws", None), ("others", "finished")]
    assert [pair["input"].shape for pair in source.pairs] == [(*SIZE, 3)] * 2
    np.testing.assert_allclose(source.pairs[0]["target"], laid(photo(48, 36).swapaxes(0, 1), SIZE), atol=1e-6)
    np.testing.assert_array_equal(source.validation[1], np.stack([pair["target"] for pair in source.pairs]))


def test_a_random_part_is_of_one_place_of_all_pictures():
    image = photo(*SIZE)
    view, rng = RandomPart(CROP), np.random.default_rng(0)
    parts = [view({"input": image, "target": 2 * image}, rng) for _ in range(20)]
    for part in parts:
        assert part["input"].shape == (*CROP, 3)
        np.testing.assert_array_equal(part["target"], 2 * part["input"])
    windows = np.lib.stride_tricks.sliding_window_view(image, CROP, axis=(0, 1)).transpose(0, 1, 3, 4, 2)
    mirrored = [bool((windows == part["input"][:, ::-1]).all(axis=(2, 3, 4)).any()) for part in parts]
    straight = [bool((windows == part["input"]).all(axis=(2, 3, 4)).any()) for part in parts]
    assert all(a != b for a, b in zip(straight, mirrored, strict=True))
    assert 4 < sum(mirrored) < 16
    assert len({part["input"].tobytes() for part in parts}) > 10


@pytest.mark.usefixtures("quick")
def test_mixed_batches_go_on_where_they_were():
    source = controlled(experiment_of(count=2, pseudo=1, teacher="t"))

    def start(seed=3):
        return mixed_loader(source, 1, 2, CROP, seed, (0, 1))

    loader = start()
    batches = [next(loader) for _ in range(2)]
    state = loader.get_state()
    rest = [next(loader) for _ in range(3)]
    assert {name: x.shape for name, x in rest[0].items()} == {
        "input": (1, *CROP, 3),
        "target": (1, *CROP, 3),
        "photo": (2, *CROP, 3),
    }
    other = start()
    other.set_state(state)
    jax.tree.map(np.testing.assert_array_equal, [next(other) for _ in range(3)], rest)
    jax.tree.map(np.testing.assert_array_equal, [next(iter(start())) for _ in range(1)], batches[:1])
    assert not np.array_equal(next(start(4))["photo"], batches[0]["photo"])
    # Two processes have between them what one has.
    shards = [next(mixed_loader(source, 1, 1, CROP, 3, (k, 2))) for k in range(2)]
    whole = next(mixed_loader(source, 2, 2, CROP, 3, (0, 1)))
    for name in whole:
        np.testing.assert_array_equal(np.concatenate([shard[name] for shard in shards]), whole[name])
    supervised = mixed_loader(source, 2, 0, CROP, 3, (0, 1))
    assert set(next(supervised)) == {"input", "target"}
    for wrong in (b"[]", b"no JSON", supervised.get_state()):
        with pytest.raises(ValueError, match="state: expected that of 2 loaders"):
            loader.set_state(wrong)
    loader.close()


def test_mixed_closes_all_its_loaders():
    closed = []

    class One:
        def __init__(self, name):
            self.close = functools.partial(closed.append, name)

    Mixed([One("pairs"), One("photos")]).close()
    assert closed == ["pairs", "photos"]


# Targets


@pytest.mark.parametrize("name", ["function_isp", "lut3d", "nafnet"])
def test_an_untrained_target_renders_plainly(name):
    experiment, target = experiment_of(target=name), TARGETS[name]
    params = target.init(jax.random.key(1), experiment)
    image = np.float32(photo(*CROP) ** 2.2)
    wanted = image ** (1 / 2.2)

    @jax.jit
    def run(params, image, wanted):
        return target.run(params, image, experiment), target.loss(params, image, wanted, experiment, None)

    found, loss = run(params, image, wanted)
    np.testing.assert_allclose(found, wanted, atol=0.1 if name == "function_isp" else 1e-5)
    assert np.abs(found - wanted).mean() < 0.02
    assert 0 <= float(loss) < 1e-3
    assert float(run(params, image, 1 - wanted)[1]) > 0.01


def test_photofinishing_is_a_target(monkeypatch):
    """By shapes alone: its networks take long to compile, and are tests/train/test_main.py's."""

    def init_params(key, config):
        del key
        shapes = param_shapes(config).items()
        return unflatten({name: jax.ShapeDtypeStruct(shape, jnp.float32) for name, shape in shapes})

    monkeypatch.setattr(targets, "init_params", init_params)
    experiment, target = experiment_of(target="photofinish"), TARGETS["photofinish"]
    params = target.init(None, experiment)
    image = jnp.zeros((*CROP, 3))
    loss = jax.eval_shape(lambda p: target.loss(p, image, image, experiment, None), params)
    assert loss.shape == ()
    assert target.entry == "photofinish"


def test_losses_on_the_picture(monkeypatch):
    found, wanted = photo(*SIZE), photo(*SIZE, seed=1)
    square = float(np.mean((found - wanted) ** 2))
    assert float(picture_loss(found, wanted, experiment_of())) == pytest.approx(square, rel=1e-5)
    pyramid = experiment_of(loss="pyramid", perceptual=0.5)
    assert float(picture_loss(found, wanted, pyramid)) == pytest.approx(float(pyramid_l1(found, wanted)))
    monkeypatch.setattr(targets, "perceptual", lambda x, y, vgg: vgg["factor"] * jnp.abs(x - y).mean())
    more = float(picture_loss(found, wanted, pyramid, {"factor": 2.0}) - picture_loss(found, wanted, pyramid))
    assert more == pytest.approx(float(np.abs(found - wanted).mean()), rel=1e-4)


# Pseudo-pairs


def test_a_memory_is_filled_the_same_way_again(steered, memory):
    inputs = np.stack([photo(*SIZE, seed) for seed in range(3)])
    assert int(memory.seen) == 7
    assert len(memory.parameters.color) == 7
    assert len(np.unique(np.asarray(memory.parameters.gain[:, 0, 0]))) > 3  # of different parts of pictures
    jax.tree.map(np.testing.assert_array_equal, fill_memory(steered, inputs, experiment_of()), memory)
    with pytest.raises(ValueError, match="capacity: expected at least 1, got 0"):
        fill_memory(steered, inputs, experiment_of(capacity=0))


def test_ways_to_make_pairs_of_photos(steered, memory):
    photos = np.float32([0.1 + 0.8 * photo(*CROP, seed) for seed in (4, 4)])
    context = {"teacher": steered, "memory": memory, "cameras": generic_cameras()}

    @jax.jit
    def make(context, photos, keys):
        ways = (semi.semi_pairs, semi.fixed_pairs, semi.unprocessed_pairs)
        noisy = experiment_of(noise=(0.01, 0.0002))
        return [[way(context, photos, keys, experiment) for way in ways] for experiment in (experiment_of(), noisy)]

    found, noisy = jax.device_get(make(context, photos, jax.random.split(jax.random.key(0), 2)))
    for raws, wanted in found:
        assert raws.shape == wanted.shape == photos.shape
        for images in (raws, wanted):
            assert np.isfinite(images).all()
            assert 0 <= images.min() < images.max() <= 1
        assert raws.mean() < wanted.mean()
    drawn, fixed, unprocessed = found
    for _, wanted in (fixed, unprocessed):
        np.testing.assert_array_equal(wanted, photos)
    assert np.abs(drawn[1] - photos).mean() > 1e-3  # in the wanted look
    # One photo has many raws, but one inverse.
    assert all(np.abs(raws[0] - raws[1]).max() > 1e-3 for raws, _ in (drawn, unprocessed))
    np.testing.assert_array_equal(fixed[0][0], fixed[0][1])
    mean = jax.jit(lambda m, x: invert_functions(mean_parameters(m), x, config=ISP))(memory, photos[0])
    np.testing.assert_allclose(fixed[0][0], mean, atol=1e-6)
    for (raws, wanted), (noisy_raws, same) in zip(found, noisy, strict=True):
        np.testing.assert_allclose(same, wanted, atol=1e-6)
        assert 0.005 < np.abs(noisy_raws - raws).mean() < 0.08  # of variance .01 at most


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("in_turn", [False, True])
@pytest.mark.parametrize(("beta", "kept", "loss"), [(0.0, 0.0, 0.5), (1.0, 0.5, 0.4), (np.inf, 1.0, 0.8)])
def test_pseudo_pairs_count_where_they_are_no_worse_than_real_ones(
    monkeypatch, network, tmp_path, beta, kept, loss, in_turn
):
    """The loss of a pair is how bright its target is: .5 and .5 of the real ones, .2 and 2 of those made."""
    save_params(tmp_path / "teacher.safetensors", {"function_isp": network})
    brightness = lambda params, image, wanted, *_: params["tables"][0] + wanted.mean()  # noqa: E731
    stand_in = TARGETS["lut3d"]._replace(loss=brightness, in_turn=in_turn)
    monkeypatch.setitem(semi.TARGETS, "lut3d", stand_in)
    monkeypatch.setattr(semi, "fill_memory", lambda *_: {})
    options = {"target": "lut3d", "teacher": tmp_path / "teacher.safetensors", "pseudo": 2, "beta": beta}
    keys = []

    def semi_pairs(context, photos, photo_keys, experiment):
        del experiment
        assert set(context) == {"vgg", "teacher", "memory"}
        keys.append(photo_keys)
        return photos, photos

    monkeypatch.setattr(semi, "semi_pairs", semi_pairs)
    made = task(experiment_of(**options, loop=dataclasses.replace(LOOP, batch=4)))
    assert made.arrays == ("input", "target", "photo")
    flat = lambda *levels: jnp.stack([jnp.full((2, 2, 3), level) for level in levels])  # noqa: E731
    batch = {"input": flat(0.0, 0.0), "target": flat(0.5, 0.5), "photo": flat(0.2, 2.0)}
    params = {"lut3d": {"tables": jnp.zeros(1)}}
    both = jax.value_and_grad(made.loss, has_aux=True)
    (total, terms), gradient = both(params, made.context, batch, jax.random.split(jax.random.key(0), 2), 0.0)
    assert {name: float(value) for name, value in terms.items()} == pytest.approx(
        {"real": 0.5, "pseudo": 1.1, "kept": kept}
    )
    assert float(total) == pytest.approx(loss)
    assert float(gradient["lut3d"]["tables"][0]) == pytest.approx(1)  # a mean of whatever is kept
    assert keys[0].shape == (2,)


# Runs


CONFIG = f"""
from pathlib import Path
from modisp_jax.config import FunctionISPConfig
from train.loop import LoopConfig
from train.semi.task import SemiExperiment
EXPERIMENT = SemiExperiment(
    name="tiny", photos=Path("train"), val_photos=Path("val"), tables=None, isp=FunctionISPConfig(resize=32),
    size={SIZE}, crop={CROP}, count=2, loop=LoopConfig(steps=3, batch=2, validate_every=4, log_every=1),
)
"""


@pytest.fixture(scope="module")
def config(folder):
    path = folder / "semi.py"
    path.write_text(CONFIG)
    return path


@pytest.fixture(scope="module")
def taught(folder, config):
    """The run of the first phase, by its config file."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        options = ["--loop.steps", "4", "--optim.warmup", "0", "--optim.learning-rate", "0.002"]
        assert program.main([str(config), "--folder", "taught", *options]) == 0
    return folder / "taught"


def log_of(run):
    return [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]


def test_first_a_function_isp_is_trained_on_the_pairs(taught):
    lines = log_of(taught)
    assert [line["step"] for line in lines] == [1, 2, 3, 4, 4]
    assert "pseudo" not in lines[0]
    assert lines[0]["loss"] == lines[0]["real"]
    assert lines[3]["loss"] < 0.8 * lines[0]["loss"]
    card = read_card(taught / "best.safetensors")
    assert (card["name"], card["uses"], card["function_isp"]) == ("tiny", {}, dataclasses.asdict(ISP))
    assert card["what"] == "function_isp, 2 real and 0 pseudo-pairs a step"
    assert read_image(taught / "sheet.png").shape[0] > 6 * 192
    learned = load_params(str(taught / "best.safetensors"))["function_isp"]
    jax.tree.map(np.testing.assert_array_equal, load_teacher(taught / "best.safetensors", ISP), learned)


@pytest.mark.usefixtures("quick")
def test_then_a_target_on_pseudo_pairs_too_and_then_finely(taught, tmp_path):
    """The target is the look-up table, which compiles soonest."""
    teacher = taught / "best.safetensors"
    options = {"target": "lut3d", "teacher": teacher, "pseudo": 2, "beta": 1e9}
    mixed = experiment_of(**options, loop=dataclasses.replace(LOOP, steps=2, batch=4, validate_every=2))
    made = task(mixed)._replace(sheet=None, validate=lambda params: {"score": float(params["lut3d"]["tables"].mean())})
    fit(made, mixed.loop, mixed.optim, tmp_path / "mixed")
    lines = log_of(tmp_path / "mixed")
    for line in lines[:2]:
        assert line["kept"] == 1
        assert line["loss"] == pytest.approx(0.5 * (line["real"] + line["pseudo"]), rel=1e-5)
        assert line["pseudo"] > 0
    best = tmp_path / "mixed" / "best.safetensors"
    assert set(load_params(str(best))) == {"lut3d"}
    card = read_card(best)
    assert card["uses"] == {"teacher": {"file": str(teacher), "sha256": sha256(teacher)}}
    assert card["what"] == "lut3d, 2 real and 2 pseudo-pairs a step"
    fine = experiment_of(target="lut3d", start=best, loop=dataclasses.replace(LOOP, steps=2))
    made = task(fine)._replace(sheet=None)
    begun = made.init(jax.random.key(5))
    jax.tree.map(np.testing.assert_array_equal, begun["lut3d"], load_params(str(best))["lut3d"])
    finished = fit(made, fine.loop, fine.optim, tmp_path / "fine")
    assert finished.step == 2
    assert not np.array_equal(finished.params["lut3d"]["tables"], begun["lut3d"]["tables"])
    assert read_card(tmp_path / "fine" / "best.safetensors")["uses"]["start"]["sha256"] == sha256(best)


@pytest.mark.usefixtures("quick")
def test_a_start_is_of_the_target(taught):
    start = taught / "best.safetensors"
    made = task(experiment_of(start=start)).init(jax.random.key(0))
    assert set(made) == {"function_isp"}
    with pytest.raises(ValueError, match=r"best.safetensors: expected weights of lut3d, got function_isp"):
        task(experiment_of(target="lut3d", start=start)).init(jax.random.key(0))
    enhance = experiment_of(isp=FunctionISPConfig(resize=32, enhance=True), start=start)
    with pytest.raises(ValueError, match=r"best.safetensors: expected function_isp of the experiment's shapes"):
        task(enhance).init(jax.random.key(0))


def test_a_teacher_is_a_function_isp_of_the_same_reading(network, tmp_path):
    path = tmp_path / "teacher.safetensors"
    save_params(path, {"function_isp": network})
    load_teacher(path, FunctionISPConfig(resize=64))  # without a card, anything goes
    with pytest.raises(ValueError, match=r"expected a function ISP with isp.enhance True, got the other"):
        load_teacher(path, FunctionISPConfig(enhance=True))
    save_params(path, {"function_isp": network}, card={"function_isp": dataclasses.asdict(ISP)})
    load_teacher(path, ISP)
    for name, value in {"resize": 64, "window": "rival", "xyz": True}.items():
        message = f"expected isp.{name} {getattr(ISP, name)}, as its card says, got {value}"
        with pytest.raises(ValueError, match=re.escape(message)):
            load_teacher(path, dataclasses.replace(ISP, **{name: value}))
    save_params(path, {"lut3d": jax.tree.map(jnp.zeros_like, TARGETS["lut3d"].init(jax.random.key(0), None))})
    with pytest.raises(ValueError, match=r"teacher.safetensors: expected a function ISP, got lut3d"):
        load_teacher(path, ISP)
    with pytest.raises(ValueError, match=r"nothing\.safetensors"):
        load_teacher(tmp_path / "nothing.safetensors", ISP)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pseudo": 2}, "pseudo: expected 0 to under the batch of 2, got 2"),
        ({"pseudo": -1}, "pseudo: expected 0 to under the batch of 2, got -1"),
        ({"pseudo": 1}, "teacher: expected the weights of a function ISP"),
        ({"pseudo": 1, "method": "fixed_inverse"}, "teacher: expected the weights of a function ISP"),
        ({"pairs": "a"}, "expected both pairs and val_pairs, or none, got a and None"),
        ({"val_pairs": "b"}, "expected both pairs and val_pairs, or none, got None and b"),
        ({"pairs": "a", "val_pairs": "b", "pseudo": 1, "teacher": "t"}, "unpaired: expected a folder of photos"),
        ({"method": "unprocess", "isp": FunctionISPConfig(enhance=True)}, "method: expected semi or fixed_inverse"),
        ({"beta": -0.1}, "beta: expected 0 or more, got -0.1"),
        ({"beta": float("nan")}, "beta: expected 0 or more, got nan"),
        ({"crop": (25, 32)}, "crop: expected at most the size"),
        ({"crop": (0, 4)}, "crop: expected at most the size"),
    ],
)
def test_what_an_experiment_refuses(changes, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        experiment_of(**changes)
    assert experiment_of(pseudo=1, method="unprocess").teacher is None


def test_its_fields_are_options(config, capsys, monkeypatch):
    with pytest.raises(SystemExit) as stopped:
        program.main([str(config), "--help"])
    assert stopped.value.code == 0
    said = capsys.readouterr().out
    for option in ("--target", "--isp.resize", "--method", "--teacher", "--start", "--beta", "--no-quality-update"):
        assert option in said
    given = []
    monkeypatch.setattr("train.loop.fit", lambda task, *_: given.append(task) or given[0])
    for wrong in (["--method", "other"], ["--target", "resnet"], ["--beta", "x"], ["--isp.resize", "33"]):
        with pytest.raises(SystemExit) as stopped:
            program.main([str(config), "--folder", "wrong", *wrong])
        assert stopped.value.code == 2
    for wrong, message in {
        ("--pseudo", "9"): "pseudo: expected 0 to under the batch of 2, got 9",
        ("--photos", "none"): "none: expected a folder of pictures, got nothing",
        ("--pseudo", "1", "--teacher", "none.safetensors"): "none.safetensors",
    }.items():
        monkeypatch.setattr(sources, "take_again", lambda seed, photos, cameras, noise: (photos, photos))
        capsys.readouterr()
        assert program.main([str(config), "--folder", "wrong", *wrong]) == 2
        said = capsys.readouterr().err
        assert LINE.fullmatch(said)
        assert message in said
    assert not given
