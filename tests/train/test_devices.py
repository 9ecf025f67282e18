"""Training over several devices and several processes gives what one device gives."""

import dataclasses
import io
import json
import os
import signal
import socket
import subprocess
import sys

import jax
import numpy as np
import pytest

pytest.importorskip("grain")
pytest.importorskip("orbax.checkpoint")

from modisp_jax import load_params
from tests.conftest import REPOSITORY
from tests.train.linear import LOOP, OPTIM, linear_task
from train.checkpoint import StateFolder
from train.distributed import connect
from train.loop import fit

TIMEOUT = 300


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The folder of a run on one device."""
    folder = tmp_path_factory.mktemp("alone")
    fit(linear_task(), LOOP, OPTIM, folder, out=io.StringIO())
    return folder


@pytest.fixture
def start():
    """Starts a process that trains the tiny task; none outlives the test."""
    started = []

    def run(*arguments, **options):
        started.append(popen(*arguments, **options))
        return started[-1]

    yield run
    for process in started:
        process.kill()
        process.communicate()


def popen(folder, *arguments, devices=1, steps=LOOP.steps):
    environment = {**os.environ, "JAX_PLATFORMS": "cpu"}
    environment["XLA_FLAGS"] = f"--xla_force_host_platform_device_count={devices}"
    program = [sys.executable, "-m", "tests.train.linear", str(folder), str(steps), *map(str, arguments)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(program, cwd=REPOSITORY, env=environment, **pipes)


def finish(*processes):
    """What each said on standard error; all must have ended well."""
    said = [process.communicate(timeout=TIMEOUT)[1] for process in processes]
    assert [process.returncode for process in processes] == [0] * len(processes), said
    return said


def pair(start, folder, **options):
    """Two processes on this machine."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    return [start(folder, f"127.0.0.1:{port}", k, 2, **options) for k in range(2)]


def assert_close(folder, other):
    """Same losses, validations and best weights, but for the order of sums."""
    values = []
    for place in (folder, other):
        lines = [json.loads(line) for line in (place / "log.jsonl").read_text().splitlines()]
        flat = [line | line.pop("validation", {}) for line in lines]
        names = ("step", "loss", "rms", "gradient_norm", "score", "slope", "best")
        values.append([[line.get(name, 0.0) for name in names] for line in flat])
    np.testing.assert_allclose(values[0], values[1], rtol=1e-5)
    kept = [load_params(str(place / "best.safetensors")) for place in (folder, other)]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), *kept)


@pytest.mark.slow
def test_four_devices(alone, start, tmp_path):
    finish(start(tmp_path, devices=4))
    assert_close(tmp_path, alone)
    longer = dataclasses.replace(LOOP, steps=14)
    assert fit(linear_task(), longer, OPTIM, tmp_path, out=io.StringIO()).step == 14


@pytest.mark.slow
def test_two_processes(alone, start, tmp_path):
    said = finish(*pair(start, tmp_path))
    assert_close(tmp_path, alone)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["best.safetensors", "log.jsonl", "sheet.png", "state"]
    assert ["done: 12 steps" in text for text in said] == [True, False]
    assert ["step 12/12" in text for text in said] == [True, False]
    saved = StateFolder(tmp_path / "state")
    assert saved.latest() == 12
    saved.close()


@pytest.mark.slow
def test_stopping_one_process_stops_both_and_they_resume(start, tmp_path):
    first = pair(start, tmp_path, steps=100_000)
    assert any(line == "validated\n" for line in first[1].stdout)
    first[1].send_signal(signal.SIGINT)
    said = finish(*first)
    assert "interrupted after step" in said[0]
    saved = StateFolder(tmp_path / "state")
    step = saved.latest()
    saved.close()
    assert 4 <= step < 100_000
    finish(*pair(start, tmp_path, steps=step + 2))
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert lines[-1]["step"] == step + 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("localhost:1",), "--process I and --processes N"),
        (("localhost:1", 2, 2), "got 2 and 2"),
        (("localhost", 0, 2), "expected HOST:PORT or auto, got 'localhost'"),
    ],
)
def test_bad_coordinators(arguments, message):
    with pytest.raises(ValueError, match=message):
        connect(*arguments)
