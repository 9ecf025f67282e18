"""Kills ``modisp batch`` at random moments, runs it again until it is through, and checks what is there then.

What it counts is read from the manifest and from the folder, after the killed process has ended. Linux only.
"""

import functools
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from modisp_jax.batch.manifest import NAME, read_manifest
from modisp_jax.io.images import read_image
from modisp_jax.io.synthetic import write_synthetic_dng

PATIENCE = 300.0
"""Seconds after which a run that does nothing is given up."""


def make_photos(folder, count, size=(64, 96)):
    """Writes ``count`` small raw photos, each another scene; returns their names without extension."""
    folder.mkdir(parents=True)
    names = [f"photo{number:03d}" for number in range(count)]
    for seed, name in enumerate(names):
        write_synthetic_dng(folder / f"{name}.dng", size=size, seed=seed)
    return names


def command(photos, output, processes):
    return [
        *(sys.executable, "-m", "modisp_jax.cli", "batch", str(photos), "-o", str(output)),
        *("--params", "neutral", "--processes", str(processes)),
    ]


def run_whole(photos, output, environment):
    """An uninterrupted run by one process; returns its seconds."""
    start = time.perf_counter()
    done = subprocess.run(command(photos, output, 1), env=environment, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"an uninterrupted run ended with {done.returncode}: {done.stderr}")
    return time.perf_counter() - start


def kill_and_resume(photos, output, *, kills, seed, processes, environment, longest=1.0):
    """Starts the batch and kills it ``kills`` times, then lets it end; returns what happened at each kill.

    A kill comes up to ``longest`` seconds after some photos are done in that run, how many is drawn anew for each; one
    time in four it comes up to four times that after the start, whatever is done. Half of them hit the driver alone,
    half all its processes at once. The next run begins at once.
    """
    total = len(list(photos.iterdir()))
    rng, happened, groups = random.Random(seed), [], []
    for left in range(kills, 0, -1):
        before = _state(output)
        photos_first = rng.randint(1, max(1, (total - before["done"]) // (left + 1)))
        delay, everyone = longest * rng.random(), rng.random() < 0.5
        if rng.random() < 0.25:
            photos_first, delay = 0, 4 * delay
        process = _start(photos, output, processes, environment)
        groups.append(process.pid)
        _wait_until(functools.partial(_is_done, output, before["done"] + photos_first), process)
        try:
            process.wait(delay)
            raise RuntimeError(f"the batch ended by itself before the kill, with {process.returncode}")
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL) if everyone else process.kill()
        process.wait()
        process.stderr.close()
        happened.append({"killed": "all processes" if everyone else "the driver"} | _state(output, before["run"]))
    last = _start(photos, output, processes, environment)
    groups.append(last.pid)
    errors = last.communicate(timeout=PATIENCE)[1]
    if last.returncode:
        raise RuntimeError(f"the last run ended with {last.returncode}: {errors}")
    _wait_until(lambda: not any(map(_alive, groups)), None)
    return happened


def check(output, reference, names, happened):
    """What is wrong with the pictures of a killed batch, a list of sentences, and the counts."""
    wrong = []
    entries = read_manifest(output / NAME)[0].entries
    expected = {f"{name}.jpg" for name in names}
    found = set(os.listdir(output)) - {NAME}
    wrong += [f"{name} is missing" for name in sorted(expected - found)]
    wrong += [f"{name} is left over" for name in sorted(found - expected)]
    for name in sorted(expected & found):
        read_image(output / name)  # raises unless it is whole
        if (output / name).read_bytes() != (reference / name).read_bytes():
            wrong.append(f"{name} differs from that of an uninterrupted run")
    for path, entry in entries.items():
        hits = sum(path in kill["in_hand"] for kill in happened)
        if entry.state != "done":
            wrong.append(f"{path} is {entry.state}")
        if len(entry.starts) != 1 + hits:
            wrong.append(f"{path} was begun {len(entry.starts)} times and hit by {hits} kills")
    begun = [len(entry.starts) for entry in entries.values()]
    counts = {
        "photos": len(entries),
        "whole pictures": len(expected & found),
        "kills": len(happened),
        "kills that hit photos": sum(bool(kill["in_hand"]) for kill in happened),
        "renderings begun": sum(begun),
        "photos begun twice": begun.count(2),
        "most beginnings of one photo": max(begun),
        "files left over": len(found - expected),
    }
    return wrong, counts


def _start(photos, output, processes, environment):
    pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command(photos, output, processes), env=environment, start_new_session=True, **pipes)


def _state(output, after_run=0):
    """The last run, how many photos are done, and the paths of those in hand in a run after ``after_run``."""
    if not (output / NAME).exists():
        return {"run": 0, "done": 0, "in_hand": []}
    state = read_manifest(output / NAME)[0]
    begun = {path for path, entry in state.entries.items() if entry.state == "started"}
    in_hand = [path for path in sorted(begun) if state.entries[path].starts[-1] == state.run > after_run]
    return {"run": state.run, "done": sum(e.state == "done" for e in state.entries.values()), "in_hand": in_hand}


def _is_done(output, count):
    return _state(output)["done"] >= count


def _wait_until(condition, process):
    end = time.monotonic() + PATIENCE
    while not condition():
        if process is not None and process.poll() is not None:
            raise RuntimeError(f"the batch ended by itself with {process.returncode}: {process.stderr.read()}")
        if time.monotonic() > end:
            raise RuntimeError(f"nothing happened for {PATIENCE:.0f} s")
        time.sleep(0.02)


def _alive(group):
    """Whether a process of the group runs; those that have ended and wait for their parent do not count."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, own_group = stat.read_text().rsplit(")", 1)[1].split()[:3]
        except OSError:  # it has just ended
            continue
        if int(own_group) == group and state not in "ZX":
            return True
    return False
