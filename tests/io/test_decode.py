"""The decoding child: the same values as in this process, and whatever becomes of it, its parent goes on."""

import dataclasses
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from modisp_jax.io import decode
from modisp_jax.io.decode import DecodeError
from modisp_jax.io.dng_write import write_dng
from modisp_jax.io.metadata import pack_metadata, unpack_metadata
from modisp_jax.io.raw import (
    RawError,
    read_metadata,
    read_metadata_here,
    read_mosaic,
    read_mosaic_here,
    read_raw_file,
    read_raw_file_here,
)
from modisp_jax.io.synthetic import write_synthetic_dng

REPOSITORY = Path(__file__).resolve().parents[2]

BAD_JOBS = """
import os, signal, sys, time
sys.path[:] = {path!r}
from modisp_jax.io import decode_child, jobs
import numpy as np
jobs.JOBS.update(
    abort=lambda path: os.abort(),
    leave=lambda path: os._exit(3),
    hang=lambda path: [0 for _ in iter(int, 1)],
    wait=lambda path: (signal.setitimer(signal.ITIMER_REAL, 0.2), time.sleep(60)),
    greedy=lambda path: (0, np.ones(2**29)),
    mistake=lambda path: 1 // 0,
    empty=lambda path: ("two\\nlines", None),
)
decode_child.SECONDS = 1
decode_child.main({number})
"""


@pytest.fixture(autouse=True)
def no_child_before():
    decode.close()
    yield
    decode.close()


@pytest.fixture
def bad_child(monkeypatch):
    """The next child knows jobs that do harm, and has a second for each."""
    monkeypatch.setattr(decode, "_START", BAD_JOBS)


@pytest.fixture(scope="module")
def photo(tmp_path_factory):
    return write_synthetic_dng(tmp_path_factory.mktemp("raw") / "a.dng", size=(48, 64))


def same(a, b):
    """Whether two values of the same kind are equal to the last bit."""
    if dataclasses.is_dataclass(a):
        return all(same(getattr(a, f.name), getattr(b, f.name)) for f in dataclasses.fields(a))
    if isinstance(a, tuple):
        return isinstance(b, tuple) and len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    return type(a) is type(b) and (a == b or a != a)


def test_the_child_reads_what_this_process_reads(photo, tmp_path):
    linear = np.random.default_rng(0).integers(0, 16383, (30, 40, 3)).astype(np.uint16)
    for path in (photo, write_dng(tmp_path / "linear.dng", linear, noise_profile=(1e-4, 1e-6))):
        for separate, here in ((read_raw_file, read_raw_file_here), (read_metadata, read_metadata_here)):
            assert same(separate(path), here(path))
    assert same(read_mosaic(photo), read_mosaic_here(photo))
    assert len(decode._idle) == 1


def test_the_array_is_ones_own(photo):
    first, second = read_raw_file(photo), read_raw_file(photo)
    before = second.image.copy()
    first.image[:] = -1
    np.testing.assert_array_equal(second.image, before)
    np.testing.assert_array_equal(read_raw_file(photo).image, before)


def test_metadata_survives_the_way():
    from modisp_jax.io.dng_color import Calibration, CameraProfile
    from modisp_jax.io.metadata import RawMetadata

    calibration = Calibration(float("nan"), np.eye(3) / 3, illuminant_xy=(0.3, 0.1), illuminant_code=255)
    profile = CameraProfile((calibration,), noise_profile=np.full((3, 2), 1e-7), source="dng")
    metadata = RawMetadata(lens="\udc80", iso=float("inf"), default_crop=(0.0, 1.5, 2.0, 3.0), color=profile)
    assert same(unpack_metadata(pack_metadata(metadata)), metadata)
    assert same(unpack_metadata(pack_metadata(RawMetadata())), RawMetadata())


def test_refusals_read_the_same(tmp_path):
    path = tmp_path / "a.dng"
    path.write_bytes(b"II*\0" + bytes(100))
    messages = []
    for read in (read_raw_file, read_raw_file_here):
        with pytest.raises(RawError) as error:
            read(path)
        messages.append(str(error.value))
    assert messages[0] == messages[1]
    assert messages[0].startswith(f"{path}: expected")


def test_in_this_process_on_demand(photo, monkeypatch):
    monkeypatch.setenv(decode.SWITCH, "here")
    assert same(read_raw_file(photo), read_raw_file_here(photo))
    assert not decode._idle


@pytest.mark.parametrize(
    ("job", "message"),
    [
        ("abort", "crashed on it .SIGABRT"),
        ("leave", "crashed on it .exit code 3"),
        ("hang", "takes longer than its size justifies"),
        ("wait", "takes longer than its size justifies"),
        ("greedy", "needs more memory"),
        ("mistake", "unexpected error ZeroDivisionError"),
        ("unknown", "unexpected error KeyError"),
    ],
)
def test_whatever_becomes_of_the_child_the_next_file_is_read(photo, bad_child, job, message):
    with pytest.raises(DecodeError, match=message) as error:
        decode.decode(job, photo)
    assert not error.value.refused
    assert same(read_raw_file(photo), read_raw_file_here(photo))


def test_a_child_that_has_been_killed_is_replaced(photo):
    read_metadata(photo)
    pid = decode._idle[0].process.pid
    os.kill(pid, signal.SIGKILL)
    decode._idle[0].process.wait()
    read_metadata(photo)
    assert decode._idle[0].process.pid != pid


def test_an_interrupted_answer_is_not_taken_for_the_next(photo, monkeypatch):
    read_metadata(photo)

    def interrupt(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(decode.socket, "recv_fds", interrupt)
        with pytest.raises(KeyboardInterrupt):
            read_raw_file(photo)
    assert not decode._idle
    assert isinstance(read_metadata(photo).model, str)


def test_threads_have_children_of_their_own(photo, tmp_path):
    other = write_synthetic_dng(tmp_path / "b.dng", size=(64, 48), seed=1)
    expected = {path: read_raw_file_here(path).image for path in (photo, other)}
    found = []

    def read(path):
        for _ in range(5):
            found.append(np.array_equal(read_raw_file(path).image, expected[path]))

    threads = [threading.Thread(target=read, args=(path,)) for path in (photo, other, photo)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [True] * 15
    assert 1 <= len(decode._idle) <= 3


def test_names_are_those_of_the_current_folder_of_now(photo, tmp_path, monkeypatch):
    monkeypatch.chdir(photo.parent)
    read_metadata(photo.name)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RawError, match=f"^{photo.name}: expected a camera raw file, found no file of that name"):
        read_metadata(photo.name)
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert read_metadata(photo).model == "synthetic camera"


def test_modules_in_the_current_folder_are_not_run(photo, tmp_path, monkeypatch):
    for name in ("numpy", "rawpy", "json", "modisp_jax"):
        (tmp_path / f"{name}.py").write_text("open('run', 'w')")
    monkeypatch.chdir(tmp_path)
    read_raw_file(photo)
    assert not (tmp_path / "run").exists()


def test_a_fork_has_children_of_its_own(photo):
    script = f"""
import os, sys
from modisp_jax.io import decode
from modisp_jax.io.raw import read_metadata
read_metadata({str(photo)!r})
first = decode._idle[0].process.pid
pid = os.fork()
if pid == 0:
    read_metadata({str(photo)!r})
    decode.close()
    os._exit(0)
assert os.waitpid(pid, 0)[1] == 0
read_metadata({str(photo)!r})
assert decode._idle[0].process.pid == first
"""
    done = subprocess.run([sys.executable, "-W", "error", "-c", script], cwd=REPOSITORY, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_child_ends_when_its_parent_is_gone(photo):
    read_metadata(photo)
    child = decode._idle[0]
    child._socket.close()  # as the kernel does for a parent that was killed
    assert child.process.wait(timeout=30) == 0
