"""Fixtures shared by all tests: the reference material, and a CPU-only, warning-free JAX."""

import gc
import os
from pathlib import Path

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ["MODISP_CACHE_DIR"] = ""  # what is tested here is compiled here
if not os.environ.get("MODISP_TEST_OPTIMISED"):
    # Most programs here run once or twice: to optimise them takes longer than it saves. One thread compiles, as there
    # is a worker for each core, and what only optimisation reads is not written.
    flags = (
        "--xla_cpu_use_fusion_emitters=false",
        "--xla_backend_optimization_level=0",
        "--xla_cpu_parallel_codegen_split_count=1",
        "--xla_llvm_enable_alias_scope_metadata=false",
        "--xla_llvm_enable_noalias_metadata=false",
    )
    os.environ["XLA_FLAGS"] = " ".join((*flags, os.environ.get("XLA_FLAGS", ""))).strip()

import jax
import numpy as np
import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
OPTIMISED = bool(os.environ.get("MODISP_TEST_OPTIMISED"))
"""Whether programs are compiled as users have them. Such a run has the tests of the mark "optimised" alone, every other
run all others; dev.py does both."""


def pytest_report_header():
    if OPTIMISED:
        return "programs are compiled as users have them: the tests of the mark 'optimised' alone"
    return "programs are compiled in a hurry: without the tests of the mark 'optimised' (MODISP_TEST_OPTIMISED=1)"


def pytest_collection_modifyitems(config, items):
    """Keeps the tests that this run compiles for; modules that take long go first, so that no worker ends alone."""

    def is_ours(item):
        return (item.get_closest_marker("optimised") is not None) == OPTIMISED

    def is_long(item):
        return item.get_closest_marker("slow") is not None or "test_browser" in item.path.name

    config.hook.pytest_deselected(items=[item for item in items if not is_ours(item)])
    long = {item.path for item in items if is_long(item)}
    items[:] = sorted(filter(is_ours, items), key=lambda item: item.path not in long)


def pytest_ignore_collect(collection_path):
    """The run of optimised programs imports only modules that have the mark."""
    if OPTIMISED and collection_path.suffix == ".py":
        return "mark.optimised" not in collection_path.read_text(encoding="utf-8") or None
    return None


def pytest_collection_finish():
    """What the imports made stays: no collection of garbage has to look at it again, and tracing causes many."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


def resident():
    """Bytes of memory that this process has; 0 where Linux does not say."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")
    except OSError:
        return 0


LEAST = [0]
"""Bytes of memory that this process had when its programs last went."""


@pytest.fixture(scope="module", autouse=True)
def programs_leave_room():
    """Programs go when those of the modules since then fill a gigabyte: kept for the whole run, they fill many.

    Not after each module, as modules share small ones: an operation outside of ``jit`` is a program for every shape.
    """
    yield
    if not resident() or resident() > LEAST[0] + 2**30:
        jax.clear_caches()
        gc.collect()
        LEAST[0] = resident()


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with reference material; the test is skipped where there is none."""
    path = Path(os.environ.get("MODISP_SHARED", REPOSITORY.parent / "shared"))
    if not (path / "reference" / "vectors").is_dir():
        pytest.skip(f"no reference material at {path} (set MODISP_SHARED)")
    return path


@pytest.fixture(scope="session")
def vectors(shared):
    """A function from a name, such as ``"bgu"``, to that file of reference arrays."""

    def load(name):
        return np.load(shared / "reference" / "vectors" / f"{name}.npz")

    return load
