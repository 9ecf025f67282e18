"""The training loop on a tiny task: it learns, stops, resumes to the same bits, keeps the best, says what it does."""

import dataclasses
import io
import json
import re
import signal
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

pytest.importorskip("grain")
pytest.importorskip("orbax.checkpoint")

from modisp_jax import load_params
from modisp_jax.checkpoints import read_card
from modisp_jax.io.images import read_image
from tests.conftest import REPOSITORY
from tests.train.linear import LOOP, OPTIM, linear_task, slope
from train.checkpoint import StateFolder
from train.loop import LoopConfig, TrainingDivergedError, check_batch, fit, make_step
from train.optim import OptimizerConfig
from train.report import Log, Progress, numbers

TIMES = ("images_per_s", "data_s", "seconds")


def train(folder, task=None, loop=LOOP, optim=OPTIM, out=None, **changes):
    """A run of the tiny task with some of its settings changed."""
    return fit(task or linear_task(), dataclasses.replace(loop, **changes), optim, folder, out=out or io.StringIO())


def log_of(folder):
    """The log without times."""
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if name not in TIMES} for line in lines]


def state_of(folder):
    """All that was saved last, as arrays, with the loader's position."""
    saved = StateFolder(folder / "state")
    found = saved._manager.restore(saved.latest())
    saved.close()
    leaves = jax.tree_util.tree_flatten_with_path(found["state"])[0]
    return {jax.tree_util.keystr(path): leaf for path, leaf in leaves}, found["more"]


def assert_same(folder, other):
    """Two runs have the same bits: state, best weights and log."""
    assert log_of(folder) == log_of(other)
    (state, more), (expected, expected_more) = state_of(folder), state_of(other)
    assert more == expected_more
    assert state.keys() == expected.keys()
    for name, leaf in expected.items():
        np.testing.assert_array_equal(state[name], leaf, err_msg=name)
    assert (folder / "best.safetensors").read_bytes() == (other / "best.safetensors").read_bytes()


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run that nobody interrupted: its folder, how it ended and what it said."""
    folder, out = tmp_path_factory.mktemp("whole") / "made" / "run", io.StringIO()
    return folder, train(folder, out=out), out.getvalue()


def stop_at(step, number=signal.SIGINT):
    """A task that sends this process a signal while the batch of ``step`` is read, or while validating (-1)."""
    plain = linear_task()

    def loader(*arguments):
        loader = plain.loader(*arguments)
        read, loader._read = loader._read, lambda start: raising(read(start), start // LOOP.batch)
        return loader

    def raising(batches, count):
        for batch in batches:
            count += 1
            if count == step:
                signal.raise_signal(number)
            yield batch

    def validate(params):
        if step == -1:
            signal.raise_signal(number)
        return plain.validate(params)

    return plain._replace(loader=loader, validate=validate)


# What a run leaves


def test_it_learns(tmp_path):
    run = train(tmp_path, steps=60, validate_every=60, log_every=60)
    assert run.step == 60
    assert run.metrics["score"] > -0.2
    lines = log_of(tmp_path)
    assert lines[0]["rms"] < 0.3


def test_the_log_and_the_other_files(whole):
    folder, run, _ = whole
    assert sorted(path.name for path in folder.iterdir()) == ["best.safetensors", "log.jsonl", "sheet.png", "state"]
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [2, 4, 4, 6, 8, 8, 10, 12, 12]
    steps = [line for line in lines if "loss" in line]
    assert {frozenset(line) for line in steps} == {
        frozenset({"step", "loss", "rms", "progress", "gradient_norm", *TIMES})
    }
    np.testing.assert_allclose([line["progress"] for line in steps], (np.arange(1, 12, 2)) / 12, rtol=1e-6)
    assert all(line["images_per_s"] > 0 and line["seconds"] >= line["data_s"] >= 0 for line in steps)
    validations = [line for line in lines if "validation" in line]
    assert [line["best"] for line in validations] == [True, True, True]
    assert run.metrics == {"step": 12, **validations[-1]["validation"]}
    assert read_image(folder / "sheet.png").shape == (4, 4, 3)


def test_the_best_weights_have_a_card(whole):
    folder, run, _ = whole
    best = load_params(str(folder / "best.safetensors"))
    jax.tree.map(np.testing.assert_array_equal, best, run.params)
    card = read_card(folder / "best.safetensors")
    metrics = {name: value for name, value in run.metrics.items() if name != "step"}
    assert card == {"name": "linear", "seed": 7, "steps": 12, "validation": metrics}


def test_the_average_is_what_is_kept(whole):
    folder, run, _ = whole
    state, _ = state_of(folder)
    kernel = "['enhance']['out_conv']['bias']"
    np.testing.assert_array_equal(slope(run.params), state["['ema']" + kernel])
    assert np.all(np.abs(state["['params']" + kernel] - 2) < np.abs(state["['ema']" + kernel] - 2))


def test_frozen_weights_stay(whole):
    _, run, _ = whole
    start = linear_task().init(jax.random.key(LOOP.seed))["enhance"]
    np.testing.assert_array_equal(run.params["enhance"]["in_conv"]["kernel"], start["in_conv"]["kernel"])
    assert np.all(start["in_conv"]["kernel"])
    assert np.all(slope(run.params) > 0.5)


def test_a_step_is_compiled_once(tmp_path, monkeypatch):
    made = []
    monkeypatch.setattr("train.loop.make_step", lambda *args: made.append(make_step(*args)) or made[-1])
    train(tmp_path, steps=6)  # begun, validated, saved
    train(tmp_path, steps=6)  # nothing left to do
    train(tmp_path)  # gone on with
    assert [step._cache_size() for step in made] == [1, 0, 1]


# Stopping and resuming


@pytest.mark.parametrize(
    ("number", "stops"), [(signal.SIGINT, (1, 3, 8)), (signal.SIGTERM, (6,))], ids=["Ctrl-C", "kill"]
)
def test_interrupted_and_resumed_gives_the_same_bits(whole, tmp_path, number, stops):
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    for step in stops:
        out = io.StringIO()
        run = train(tmp_path, stop_at(step, number), out=out)
        assert run.step == step
        assert f"interrupted after step {step} of 12; the same command resumes" in out.getvalue()
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before
    resumed, (_, run, _) = train(tmp_path), whole
    assert resumed.metrics == run.metrics
    jax.tree.map(np.testing.assert_array_equal, resumed.params, run.params)
    assert_same(tmp_path, whole[0])


def test_interrupted_while_validating(whole, tmp_path):
    assert [train(tmp_path, stop_at(-1)).step for _ in range(3)] == [4, 8, 12]
    assert_same(tmp_path, whole[0])


def test_a_second_interrupt_stops_at_once(tmp_path):
    def validate(params):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, linear_task(validate=validate))


def test_killed_between_saves(tmp_path):
    """The log is ahead of the state then, its last line half written."""
    train(tmp_path, steps=4)
    with (tmp_path / "log.jsonl").open("a") as file:
        file.write('{"step": 6, "loss": 1.0}\n{"step": 8, "lo')
    train(tmp_path, steps=4)
    assert [line["step"] for line in log_of(tmp_path)] == [2, 4, 4]


def test_killed_and_resumed(whole, tmp_path):
    program = [sys.executable, "-m", "tests.train.linear", str(tmp_path), "12"]
    with subprocess.Popen(program, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        for _ in range(2):  # the second validation is not saved yet
            assert process.stdout.readline() == b"validated\n"
        process.kill()
    train(tmp_path)
    assert_same(tmp_path, whole[0])


def test_a_complete_run_is_left_alone(whole, tmp_path):
    train(tmp_path)
    before, out = log_of(tmp_path), io.StringIO()
    run = train(tmp_path, linear_task(validate=None), out=out)
    assert (run.step, run.metrics) == (12, whole[1].metrics)
    jax.tree.map(np.testing.assert_array_equal, run.params, whole[1].params)
    assert log_of(tmp_path) == before
    assert out.getvalue().startswith("done: 12 steps, best score")


def test_a_longer_run_goes_on(tmp_path):
    train(tmp_path)
    assert train(tmp_path, steps=14).step == 14
    assert [line["step"] for line in log_of(tmp_path)][-3:] == [12, 14, 14]


# What is refused


def test_a_folder_with_the_state_of_another_model(whole, tmp_path):
    train(tmp_path, steps=1)
    with pytest.raises(ValueError, match=r"state: expected the state of this experiment, got .* rules"):
        train(tmp_path, linear_task(rules=(("enhance/", 1.0),)))
    flat = linear_task(init=lambda key: {"enhance": {"out_conv": {"bias": jnp.zeros(4)}}}, rules=((".", 1.0),))
    with pytest.raises(ValueError, match="expected the state of this experiment"):
        train(tmp_path, flat)
    with pytest.raises(ValueError, match=r"expected one of .*'seed': 8"):
        train(tmp_path, seed=8)
    assert train(tmp_path, steps=2).step == 2  # nothing was spoilt


def test_a_batch_that_the_devices_cannot_share(tmp_path, monkeypatch):
    monkeypatch.setattr(jax, "device_count", lambda: 3)
    check_batch(6)
    with pytest.raises(ValueError, match="batch: expected a multiple of the 3 devices, got 4"):
        train(tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("bad", [{"steps": 0}, {"batch": 0}, {"seed": -1}, {"validate_every": 0}, {"log_every": 0}])
def test_bad_options(bad):
    with pytest.raises(ValueError, match=f"{next(iter(bad))}: expected at least"):
        LoopConfig(**bad)


# Numbers that are not finite


def poisoned(where, bad):
    """The task with a batch after step 5 that ruins the loss, or the gradient alone."""
    plain = linear_task()

    def loss(params, context, batch, keys, progress):
        value, terms = plain.loss(params, context, batch, keys, progress)
        late = progress * 12 > 4.5
        if where == "loss":
            return value + jnp.where(late, bad, 0.0), terms
        if where == "term":
            return value, terms | {"rms": jnp.where(late, bad, 0.0)}
        trap = jnp.where(late, slope(params)[0] - jax.lax.stop_gradient(slope(params)[0]), 1.0)
        return value + jnp.sqrt(trap) - 1.0, terms  # 0 in value, infinite in slope

    return plain._replace(loss=loss)


@pytest.mark.parametrize(("where", "bad"), [("loss", np.nan), ("term", np.inf), ("gradient", None)])
def test_it_stops_with_the_step_and_the_batch(tmp_path, where, bad):
    name = {"loss": "loss", "term": "rms", "gradient": "gradient_norm"}[where]
    with pytest.raises(TrainingDivergedError, match=rf"step 6: not finite: .*{name} (nan|inf).*nonfinite\.npz"):
        train(tmp_path, poisoned(where, bad))
    batches = linear_task().loader(4, 7, (0, 1))
    expected = [next(batches)["x"] for _ in range(6)][5]
    with np.load(tmp_path / "nonfinite.npz") as kept:
        assert list(kept) == ["x"]
        np.testing.assert_array_equal(kept["x"], expected)
    saved = StateFolder(tmp_path / "state")
    assert saved.latest() == 4
    saved.close()
    assert [line["step"] for line in log_of(tmp_path)] == [2, 4, 4]
    assert train(tmp_path).step == 12  # without the poison it goes on from the last good state


def test_weights_that_overflow_are_not_saved(tmp_path):
    """Loss and gradient of the step are finite: the decay alone ruins the weights."""
    ruinous = OptimizerConfig(learning_rate=10.0, weight_decay=3e38)
    with pytest.raises(TrainingDivergedError, match="step 1: the weights are not finite"):
        train(tmp_path, linear_task(rules=(("enhance/", 1.0),)), optim=ruinous, steps=1)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log.jsonl", "state"]
    assert not list((tmp_path / "state").iterdir())


# The best


def scores(values):
    """The task with given scores, validation by validation."""
    given = iter(values)
    return linear_task(validate=lambda params: {"score": next(given), "slope": slope(params)[0]})


def test_the_best_validation_is_kept(tmp_path):
    values = (np.nan, -np.inf, -9.0, np.nan, -9.0, 3.0, 2.0)
    run = train(tmp_path, scores(values), steps=7, validate_every=1)
    lines = [line for line in log_of(tmp_path) if "validation" in line]
    assert [line["best"] for line in lines] == [False, True, True, False, False, True, False]
    assert [line["validation"]["score"] for line in lines] == [None, None, -9.0, None, -9.0, 3.0, 2.0]
    assert (run.metrics["step"], run.metrics["score"]) == (6, 3.0)
    kept = load_params(str(tmp_path / "best.safetensors"))
    np.testing.assert_array_equal(slope(kept)[0], np.float32(lines[5]["validation"]["slope"]))
    jax.tree.map(np.testing.assert_array_equal, kept, run.params)


def test_an_infinite_score_is_better_than_none(tmp_path):
    run = train(tmp_path, scores([-np.inf, -np.inf]), steps=2, validate_every=1)
    assert (run.metrics["step"], run.metrics["score"]) == (1, None)
    assert read_card(tmp_path / "best.safetensors")["validation"]["score"] is None


def test_no_score_at_all(tmp_path):
    out = io.StringIO()
    run = train(tmp_path, scores([np.nan, np.nan]), steps=2, validate_every=1, out=out)
    assert run.metrics == {}
    assert not (tmp_path / "best.safetensors").exists()
    assert "no validation had a score" in out.getvalue()


def test_the_best_outlives_an_interruption(tmp_path):
    train(tmp_path, scores([3.0, 2.0]), steps=8)
    run = train(tmp_path, scores([2.5]))
    assert (run.metrics["step"], run.metrics["score"]) == (4, 3.0)
    np.testing.assert_array_equal(slope(run.params), slope(load_params(str(tmp_path / "best.safetensors"))))


def test_no_average_and_no_sheet(tmp_path):
    optim = dataclasses.replace(OPTIM, ema=0.0)
    run = train(tmp_path, linear_task(sheet=None), optim=optim)
    state, _ = state_of(tmp_path)
    np.testing.assert_array_equal(slope(run.params), state["['params']['enhance']['out_conv']['bias']"])
    assert not (tmp_path / "sheet.png").exists()


def test_soap_goes_on_to_the_same_bits_and_not_as_adam(tmp_path):
    optim = dataclasses.replace(OPTIM, method="soap")
    train(tmp_path / "whole", optim=optim)
    train(tmp_path / "parts", stop_at(6), optim=optim)
    with pytest.raises(ValueError, match="optimiser"):
        train(tmp_path / "parts")
    train(tmp_path / "parts", optim=optim)
    assert_same(tmp_path / "parts", tmp_path / "whole")


# What it says


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self):
        return True


def test_progress_away_from_a_terminal(whole):
    lines = whole[2].splitlines()
    number, clock = r"[\d.e+-]+", r"\d+:\d\d:\d\d"
    shown = [
        line for line in lines if re.fullmatch(rf"step \d+/12  loss {number}  {number} s/step  {clock} left", line)
    ]
    validated = [line for line in lines if re.fullmatch(rf"step \d+: score {number}, slope {number}", line)]
    assert [len(lines), len(shown), len(validated)] == [10, 6, 3]
    assert lines[-1].startswith("done: 12 steps, best score -1.4")
    assert not set(whole[2]) & {"\r", "\x1b"}


def test_progress_on_a_terminal(tmp_path):
    out = Terminal()
    train(tmp_path, out=out, steps=4)
    pieces = out.getvalue().split("\r\x1b[K")
    assert [piece.endswith("\n") for piece in pieces[1:]] == [False, False, True, True]


def test_time_left(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("train.report.time.perf_counter", lambda: now[0])
    out = io.StringIO()
    progress = Progress(out, 1001)
    progress.step(1)  # compiled by now
    progress.show(1, 2.0)
    now[0] = 50.0
    progress.step(11)
    progress.show(11, float("1e-5"))
    assert out.getvalue() == "step 1/1001  loss 2\nstep 11/1001  loss 1e-05  5.00 s/step  1:22:30 left\n"


def test_the_log_is_json_for_everyone(tmp_path):
    assert numbers({"a": jnp.asarray(0.5), "b": np.nan, "c": np.inf}) == {"a": 0.5, "b": None, "c": None}
    log = Log(tmp_path / "log.jsonl", 0, True)
    with pytest.raises(ValueError, match="JSON"):
        log.write(1, {"a": np.nan})
    Log(tmp_path / "none.jsonl", 0, False).write(1, {"a": 1.0})
    assert not (tmp_path / "none.jsonl").exists()
