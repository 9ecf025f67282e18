"""Workers as real processes: they answer, die, are replaced, and end with their driver, whatever is killed when."""

import importlib.util
import json
import os
import re
import signal
import subprocess
import time
import types

import pytest

from benchmarks import kill_batch
from modisp_jax.batch.manifest import NAME, read_manifest
from modisp_jax.batch.processes import Processes
from modisp_jax.batch.workers import FAILED_STARTS, Worker, Workers
from modisp_jax.outputs import Job
from tests.conftest import REPOSITORY
from tests.test_render_settings import OPTIONS

BOUND = 120.0
"""Seconds in which a process does what it is waited for."""


def options_for(folder, **changes):
    return OPTIONS.__class__(**(vars(OPTIONS) | {"params": "neutral", "output": folder} | changes))


def task_of(folder, name):
    return types.SimpleNamespace(job=Job(folder / name, {"": folder / "picture.jpg"}, "picture", False))


def next_ended(workers):
    """What the next ``wait`` with a result gives."""
    end = time.monotonic() + BOUND
    while time.monotonic() < end:
        if ended := workers.wait(1.0):
            return ended
    raise AssertionError(f"no worker answered in {BOUND} s")


def next_waiting(workers):
    end = time.monotonic() + BOUND
    while time.monotonic() < end:
        if waiting := workers.waiting():
            return waiting[0]
        workers.wait(1.0)
    raise AssertionError(f"no worker was ready in {BOUND} s")


def test_a_killed_process_costs_its_task_and_is_replaced(tmp_path):
    (tmp_path / "bad.dng").write_bytes(b"no photo")
    workers = Processes(1, options_for(tmp_path))
    try:
        worker, task = next_waiting(workers), task_of(tmp_path, "bad.dng")
        assert re.fullmatch(r"process \d+ on .*", worker.name)
        workers.give(worker, task)
        assert (workers.busy(), workers.waiting()) == (1, [])
        ((ended, kind, reason),) = next_ended(workers)
        assert (ended, kind, workers.busy()) == (task, "failed", 0)
        assert "bad.dng: expected a whole camera raw file" in reason
        os.kill(worker.handle.pid, signal.SIGSTOP)  # so that it cannot be faster than the kill
        workers.give(worker, task)
        os.kill(worker.handle.pid, signal.SIGKILL)
        assert next_ended(workers) == [(task, "died", f"{worker.name} was ended by SIGKILL")]
        other = next_waiting(workers)
        assert other.handle.pid != worker.handle.pid
    finally:
        workers.close()
    assert not other.handle.is_alive()


def test_options_that_a_worker_cannot_open_are_said(tmp_path):
    workers = Processes(1, options_for(tmp_path, params="nosuch"))
    try:
        with pytest.raises(ValueError, match="nosuch: expected a parameter file"):
            next_waiting(workers)
    finally:
        workers.close()


def test_workers_that_never_start_are_given_up():
    workers = Workers(1, "--processes")
    for _ in range(FAILED_STARTS - 1):
        workers.workers = [Worker(None, None)]
        assert workers.buried(workers.workers[0], "why") == []
    workers.workers = [Worker(None, None)]
    assert workers.answered(workers.workers[0], "ready", "me") == []  # one that starts makes good for them
    assert workers.buried(workers.workers[0], "while it waited") == []
    for _ in range(FAILED_STARTS - 1):
        workers.workers = [Worker(None, None)]
        workers.buried(workers.workers[0], "why")
    workers.workers = [Worker(None, None)]
    with pytest.raises(ValueError, match="--processes: 3 in a row ended before they could begin; the last why"):
        workers.buried(workers.workers[0], "why")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Small photos, their pictures by an uninterrupted run, and an environment in which programs are compiled once."""
    folder = tmp_path_factory.mktemp("whole")
    paths = os.pathsep.join([str(REPOSITORY), os.environ.get("PYTHONPATH", "")])
    # Not by MODISP_CACHE_DIR: that keeps none of these, which take less than half a second each.
    cache = {"JAX_COMPILATION_CACHE_DIR": str(folder / "programs"), "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
    environment = os.environ | cache | {"PYTHONPATH": paths}
    names = kill_batch.make_photos(folder / "photos", 12)
    kill_batch.run_whole(folder / "photos", folder / "pictures", environment)
    return types.SimpleNamespace(folder=folder, environment=environment, names=names)


def start(whole, output, *more):
    command = [*kill_batch.command(whole.folder / "photos", output, 2), *more]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, env=whole.environment, start_new_session=True, **pipes)


def wait_for_record(process, output, kind):
    """The first record of a kind in the manifest of a running batch."""
    end = time.monotonic() + BOUND
    while process.poll() is None and time.monotonic() < end:
        if (output / NAME).exists():
            for line in (output / NAME).read_text().splitlines(keepends=True):
                if line.startswith(f'{{"{kind}"') and line.endswith("\n"):
                    return json.loads(line)
        time.sleep(0.02)
    raise AssertionError(f"no {kind} in {BOUND} s; the batch ended with {process.poll()}")


def pictures(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != NAME}


@pytest.mark.slow
def test_kills_at_random_moments_lose_nothing(whole, tmp_path):
    photos = whole.folder / "photos"
    happened = kill_batch.kill_and_resume(
        photos, tmp_path / "out", kills=3, seed=1, processes=2, environment=whole.environment, longest=0.1
    )
    wrong, counts = kill_batch.check(tmp_path / "out", whole.folder / "pictures", whole.names, happened)
    assert wrong == []
    assert (counts["whole pictures"], counts["kills"]) == (12, 3)
    assert counts["kills that hit photos"] >= 1


@pytest.mark.slow
def test_ctrl_c_reaches_all_processes_and_the_driver_decides(whole, tmp_path):
    process = start(whole, tmp_path)
    wait_for_record(process, tmp_path, "done")
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does it
    out, err = process.communicate(timeout=BOUND)
    assert (process.returncode, out) == (130, "")
    assert "Traceback" not in err
    assert err.splitlines()[-1] == "modisp: interrupted; the same command goes on"
    state = read_manifest(tmp_path / NAME)[0]
    done = {name for entry in state.entries.values() if entry.state == "done" for name in entry.outputs}
    assert {entry.state for entry in state.entries.values()} == {"done", "planned"}
    assert set(pictures(tmp_path)) == done


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="ray is not installed (modisp_jax[ray])")
def test_actors_of_ray_make_the_same_pictures_and_are_replaced(whole, tmp_path):
    process = start(whole, tmp_path, "--ray")
    begun = wait_for_record(process, tmp_path, "start")
    os.kill(int(re.fullmatch(r"actor (\d+) on .*", begun["by"])[1]), signal.SIGKILL)
    _, err = process.communicate(timeout=2 * BOUND)
    assert process.returncode == 0, err
    assert pictures(tmp_path) == pictures(whole.folder / "pictures")
    records = [json.loads(line) for line in (tmp_path / NAME).read_text().splitlines()]
    assert [record["died"] for record in records if "died" in record] == [begun["start"]]
    starts = [record["start"] for record in records if "start" in record]
    assert sorted(starts) == sorted([*(str(whole.folder / "photos" / f"{n}.dng") for n in whole.names), begun["start"]])
    assert len({record["by"] for record in records if "start" in record}) >= 2


@pytest.mark.slow
def test_without_photos_left_nothing_is_begun(whole, tmp_path):
    out = whole.folder / "pictures"
    before = (out / NAME).stat().st_size
    process = start(whole, out)
    said = "12 photos, 12 of them settled by earlier runs; 2 processes\n12 of 12 photos done\n"
    assert process.communicate(timeout=BOUND) == ("", said)
    records = [json.loads(line) for line in (out / NAME).read_bytes()[before:].decode().splitlines()]
    assert [next(iter(record)) for record in records] == ["run", "end"]
