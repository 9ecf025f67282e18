"""A thousand damaged files over all readers, the same ones each time; and that the fuzzer would notice."""

import collections
import queue

import pytest

from tests.fuzz import pool, readers, structured, worker
from tests.fuzz.cases import Case, make_case
from tests.fuzz.pool import fuzz, is_bad
from tests.fuzz.readers import EXPERIMENTS, READERS, Reader, outcome_of
from tests.fuzz.seeds import make_seeds


@pytest.fixture(scope="module")
def seeds():
    return make_seeds(real=False)


@pytest.mark.slow
def test_a_thousand_damaged_files(seeds, tmp_path):
    found = []
    fuzz(range(1000), 1, seeds, workers=2, keep=tmp_path, report=found.append)
    assert len(found) == 1000
    assert [case for case in found if is_bad(case)] == []
    counts = collections.Counter(case["reader"] for case in found)
    assert set(counts) == set(READERS) - set(EXPERIMENTS)
    outcomes = collections.Counter(case["outcome"] for case in found)
    assert min(outcomes["read"], outcomes["refused"]) > 200  # it is damage that matters, and not all of it kills
    assert max(case["grown"] for case in found) < 500e6


def test_cases_are_reproducible_and_differ(seeds):
    for number in range(30):
        first, second = make_case(number, 5, seeds), make_case(number, 5, seeds)
        assert first == second
        assert first.reader in READERS
        whole = next(seed for seed in seeds if seed.name == first.name and set(seed.files) == set(first.files))
        assert sum(first.files[name] != whole.files[name] for name in whole.files) <= 1
    assert len({make_case(number, 5, seeds).reader for number in range(60)}) > 8


def test_every_format_is_damaged_knowingly(seeds):
    import numpy as np

    rng = np.random.default_rng(0)
    for name in ("a.dng", "a.tif", "a.png", "a.jpg", "a.json", "a.safetensors", "a.cube", "a.pth", "a.npz"):
        suffix = name[1:]
        data = next(data for seed in seeds for file, data in seed.files.items() if file.endswith(suffix))
        made = [structured.damage(rng, data, suffix) for _ in range(40)]
        assert sum(one is not None and one != data for one in made) > 30, name


# What it would notice


def one(read, tmp_path):
    """What a worker reports of one case of a reader."""
    readers.READERS["probe"] = Reader(("probe",), read)
    try:
        return worker.run(Case(0, "probe", "a", {"a": b"x"}, ""), tmp_path)
    finally:
        del readers.READERS["probe"]


def fail(error):
    def read(path, folder):
        raise error

    return read


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (ValueError("a: expected b"), "refused"),
        (FileNotFoundError(2, "No such file"), "refused"),
        (ValueError(""), "fault"),
        (ValueError("two\nlines"), "fault"),
        (ValueError("a: cannot be decoded: unexpected error KeyError: 1"), "fault"),
        (UnicodeDecodeError("utf-8", b"x", 0, 1, "bad"), "fault"),
        (IndexError("index"), "fault"),
        (KeyError("key"), "fault"),
        (MemoryError(), "fault"),
        (RecursionError("deep"), "fault"),
        (RuntimeWarning("overflow"), "fault"),
    ],
)
def test_outcomes(tmp_path, error, outcome):
    assert outcome_of(error) == outcome
    assert one(fail(error), tmp_path)["outcome"] == outcome


def test_values_that_are_not_sound_and_files_left_behind(tmp_path):
    assert one(lambda path, folder: False, tmp_path)["outcome"] == "unsound"
    assert one(lambda path, folder: True, tmp_path)["outcome"] == "read"

    def leave(path, folder):
        (folder / "half.safetensors").touch()
        raise ValueError("no more")

    found = one(leave, tmp_path)
    assert found["partial"] == ["half.safetensors"]
    assert is_bad(found)

    def beside(path, folder):
        (path.parent / ".a.temporary").touch()
        return True

    assert one(beside, tmp_path)["partial"] == [".a.temporary"]


def test_memory_is_measured(tmp_path):
    found = one(lambda path, folder: bool(bytearray(b"x") * 200_000_000), tmp_path)
    assert 150e6 < found["grown"] < 400e6


class Stub:
    """A worker that does as it is told."""

    left = 9

    def __init__(self, act):
        self.act, self.closed = act, False
        self.process = self

    def ask(self, number):
        return self.act()

    def wait(self):
        return -11

    def said(self):
        return ""

    def close(self):
        self.closed = True


def test_a_worker_that_dies_or_hangs_is_replaced():
    def hang():
        raise queue.Empty

    for act, outcome in ((lambda: None, "crash"), (hang, "hang")):
        stub = Stub(act)
        found, left = pool._one(stub, 3)
        assert (found["number"], found["outcome"], left) == (3, outcome, None)
        assert stub.closed
        assert is_bad(found)
    stub = Stub(lambda: {"number": 3, "outcome": "read", "seconds": 0.1})
    assert pool._one(stub, 3)[1] is stub
