"""``python -m train``: from a config file and a few photos to weights; what it refuses, and in which words."""

import json
import os
import re
import signal
import socket
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("grain")
pytest.importorskip("orbax.checkpoint")

from modisp_jax import load_params
from modisp_jax.checkpoints import read_card
from modisp_jax.io.images import read_image, write_image
from modisp_jax.io.synthetic import synthetic_scene
from tests.conftest import REPOSITORY
from train import __main__ as program
from train import denoise
from train.loop import Run, TrainingDivergedError

LINE = re.compile(r"train: error: [^\n]+\n")

HEAD = """
from pathlib import Path
from train.loop import LoopConfig
from train.optim import OptimizerConfig
"""
DENOISE = (
    HEAD
    + """
from modisp_jax.config import DENOISERS, NAFNetConfig
from train.denoise import DenoiseExperiment, Validation
DENOISERS["lite"], Validation.SPEEDS = NAFNetConfig(4, (1,), 1, (1,)), (800.0,)  # quick to compile
EXPERIMENT = DenoiseExperiment(
    name="tiny", photos=Path("photos"), val_photos=Path("val"), tables=None, crop=32,
    loop=LoopConfig(steps=3, batch=2, validate_every=2, log_every=1), optim=OptimizerConfig(ema=0.9),
)
"""
)
PHOTOFINISH = (
    HEAD
    + """
from train.photofinish import PhotofinishExperiment
EXPERIMENT = PhotofinishExperiment(
    name="tiny", photos=Path("photos"), val_photos=Path("val"), tables=None, size=(32, 48),
    loop=LoopConfig(steps=2, batch=2, validate_every=2, log_every=1),
)
"""
)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with configs and four small photos; that of validation is smaller than what is cut out of photos."""
    folder = tmp_path_factory.mktemp("made")
    for place, name, size in (("photos", "a", (64, 96)), ("photos", "b", (97, 65)), ("val", "c", (65, 97))):
        (folder / place).mkdir(exist_ok=True)
        write_image(folder / place / f"{name}.png", synthetic_scene(size, seed=size[0]).astype(np.float32) ** 0.45)
    (folder / "denoise.py").write_text(DENOISE)
    (folder / "photofinish.py").write_text(PHOTOFINISH)
    return folder


@pytest.fixture
def here(made, monkeypatch):
    monkeypatch.chdir(made)
    return made


@pytest.fixture(autouse=True)
def put_back(monkeypatch):
    """What the tests' config changes for all."""
    monkeypatch.setitem(denoise.DENOISERS, "lite", denoise.DENOISERS["lite"])
    monkeypatch.setattr(denoise.Validation, "SPEEDS", denoise.Validation.SPEEDS)


@pytest.fixture
def fitted(monkeypatch):
    """Replaces tasks and loop; lists what the loop was given, and says how many steps it did."""
    calls = []

    def fit(task, loop, optim, folder):
        calls.append((task, loop, optim, folder))
        return Run({}, {}, 1 if calls[0][3].name == "stopped" else loop.steps)

    monkeypatch.setattr("train.loop.fit", fit)
    monkeypatch.setattr(program, "TASKS", {kind: lambda experiment: experiment for kind in program.TASKS})
    return calls


def log_of(folder):
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


@pytest.mark.slow
def test_a_denoiser_from_start_to_end(here, tmp_path, capsys):
    """In a process of its own, as the only one of a group: nothing may have been computed before it joins."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        group = ["--coordinator", f"127.0.0.1:{free.getsockname()[1]}", "--process", "0", "--processes", "1"]
    call = [sys.executable, "-m", "train", "denoise.py", "--folder", str(tmp_path / "run")]
    environment = {**os.environ, "JAX_PLATFORMS": "cpu", "PYTHONPATH": str(REPOSITORY), "PYTHONWARNINGS": "error"}
    options = {"cwd": here, "env": environment, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen([*call, *group], **options) as process:
        said = []
        for line in process.stderr:
            said.append(line)
            if line.startswith("step 2: "):
                process.send_signal(signal.SIGINT)
    assert process.returncode == 130, said
    assert said[-1] == "interrupted after step 2 of 3; the same command resumes\n"
    assert program.main(call[3:]) == 0
    folder = tmp_path / "run"
    assert sorted(path.name for path in folder.iterdir()) == ["best.safetensors", "log.jsonl", "sheet.png", "state"]
    assert [line["step"] for line in log_of(folder)] == [1, 2, 2, 3, 3]
    assert set(load_params(str(folder / "best.safetensors"))) == {"denoise"}
    card = read_card(folder / "best.safetensors")
    assert (card["name"], card["seed"], card["data"][-10:]) == ("tiny", 0, "(2 photos)")
    height, width, _ = read_image(folder / "sheet.png").shape
    assert height > 192
    assert width > 3 * 192
    before = (folder / "log.jsonl").read_bytes()
    capsys.readouterr()
    assert program.main(call[3:]) == 0
    assert capsys.readouterr().err.startswith("done: 3 steps, best score")
    assert (folder / "log.jsonl").read_bytes() == before


@pytest.mark.slow
def test_photofinishing_from_start_to_end(here, tmp_path, monkeypatch):
    monkeypatch.setattr("train.constants.STEPS", 20)  # how well it starts is that module's test
    assert program.main(["photofinish.py", "--folder", str(tmp_path)]) == 0
    assert [line["step"] for line in log_of(tmp_path)] == [1, 2, 2]
    assert set(load_params(str(tmp_path / "best.safetensors"))) == {"photofinish"}
    assert read_image(tmp_path / "sheet.png").shape[0] > 100


def test_fields_are_options(here, fitted, tmp_path):
    options = [
        "--loop.steps",
        "7",
        "--optim.learning-rate",
        "0.5",
        "--crop",
        "48",
        "--zoom",
        "1",
        "1.5",
        "--tables",
        "t",
    ]
    assert program.main(["denoise.py", "--folder", str(tmp_path), *options]) == 0
    [(task, loop, optim, folder)] = fitted
    assert (loop.steps, loop.batch, optim.learning_rate, optim.ema, folder) == (7, 2, 0.5, 0.9, tmp_path)
    assert (task.crop, task.zoom, str(task.tables), task.name) == (48, (1.0, 1.5), "t", "tiny")


@pytest.mark.parametrize("name", sorted(path.name for path in (REPOSITORY / "configs").glob("*.py")))
def test_every_config_can_be_read(name, fitted, tmp_path):
    assert program.main([str(REPOSITORY / "configs" / name), "--folder", str(tmp_path), "--loop.steps", "5"]) == 0
    assert fitted[0][1].steps == 5


def test_interrupted_and_diverged(here, fitted, tmp_path, monkeypatch, capsys):
    assert program.main(["denoise.py", "--folder", str(tmp_path / "stopped")]) == 130

    def raising(error):
        def fit(*_):
            raise error

        monkeypatch.setattr("train.loop.fit", fit)
        return program.main(["denoise.py", "--folder", str(tmp_path)])

    assert raising(KeyboardInterrupt()) == 130
    capsys.readouterr()
    assert raising(TrainingDivergedError("step 3: not finite:\nloss nan")) == 2
    assert capsys.readouterr().err == "train: error: step 3: not finite: loss nan\n"
    assert raising(OSError("disk full")) == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "expected a config file, found none"),
        ("x = 1", "expected EXPERIMENT to be one of DenoiseExperiment, .*, got NoneType"),
        ("EXPERIMENT = 1 +", "cannot be run: SyntaxError"),
        (DENOISE.replace("steps=3", "steps=0"), "cannot be run: ValueError: steps: expected at least 1, got 0"),
        (DENOISE.replace("crop", "drop"), "cannot be run: TypeError: .*drop"),
    ],
)
def test_bad_configs(tmp_path, capsys, text, message):
    path = tmp_path / "config.py"
    if text is not None:
        path.write_text(text)
    assert program.main([str(path), "--folder", str(tmp_path / "run")]) == 2
    error = capsys.readouterr().err
    assert LINE.fullmatch(error)
    assert re.search(message, error)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--photos", "none"], "none: expected a folder of pictures, got nothing"),
        (["--tables", "none"], "none"),
        (["--process", "0"], "expected --coordinator"),
        (["--coordinator", "localhost:1"], "expected --process I and --processes N"),
    ],
)
def test_bad_options_of_the_task(here, tmp_path, capsys, options, message):
    assert program.main(["denoise.py", "--folder", str(tmp_path / "run"), *options]) == 2
    error = capsys.readouterr().err
    assert LINE.fullmatch(error)
    assert message in error
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "options", [[], ["--folder", "f", "--loop.stepz", "1"], ["--folder", "f", "--loop.steps", "0"], ["--crop", "x"]]
)
def test_wrong_usage(here, fitted, capsys, options):
    with pytest.raises(SystemExit) as stopped:
        program.main(["denoise.py", *options])
    assert stopped.value.code == 2
    assert capsys.readouterr().err
    assert not fitted


def test_help(here, capsys):
    assert program.main([]) == 2
    assert program.main(["--help"]) == 0
    assert "CONFIG" in capsys.readouterr().out
    with pytest.raises(SystemExit) as stopped:
        program.main(["denoise.py", "--help"])
    assert stopped.value.code == 0
    assert "--loop.steps" in capsys.readouterr().out
