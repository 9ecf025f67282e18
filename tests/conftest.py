"""Fixtures shared by all tests: the reference material, and a CPU-only, warning-free JAX."""

import gc
import os
from pathlib import Path

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ["MODISP_CACHE_DIR"] = ""  # what is tested here is compiled here
if not os.environ.get("MODISP_TEST_OPTIMISED"):
    # Most programs here run once or twice: to optimise them takes longer than it saves.
    flags = "--xla_cpu_use_fusion_emitters=false --xla_backend_optimization_level=0"
    os.environ["XLA_FLAGS"] = f"{flags} {os.environ.get('XLA_FLAGS', '')}".strip()

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
    """Keeps the tests that this run compiles for."""

    def is_ours(item):
        return (item.get_closest_marker("optimised") is not None) == OPTIMISED

    config.hook.pytest_deselected(items=[item for item in items if not is_ours(item)])
    items[:] = filter(is_ours, items)


@pytest.fixture(scope="module", autouse=True)
def no_programs_left():
    """After each module the programs that it compiled go: kept for the whole run, they fill gigabytes."""
    yield
    jax.clear_caches()
    gc.collect()


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
