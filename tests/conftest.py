"""Fixtures shared by all tests: the reference material, and a CPU-only, warning-free JAX."""

import gc
import os
from pathlib import Path

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ["MODISP_CACHE_DIR"] = ""  # what is tested here is compiled here
if "MODISP_TEST_OPTIMISED" not in os.environ:
    # Most programs run once or twice: to optimise them takes longer than it saves. The mark "optimised" is for those
    # that shall be compiled as users have them; dev.py runs these apart, with the variable set.
    quick = "--xla_cpu_use_fusion_emitters=false --xla_backend_optimization_level=0"
    os.environ["XLA_FLAGS"] = f"{quick} {os.environ.get('XLA_FLAGS', '')}".strip()

import jax
import numpy as np
import pytest

REPOSITORY = Path(__file__).resolve().parent.parent


def pytest_collection_modifyitems(items):
    """Tests of the mark "optimised" are skipped where programs are compiled in a hurry."""
    reason = "to be compiled as users have it: MODISP_TEST_OPTIMISED=1 -m optimised, which dev.py test does"
    for item in items:
        if "MODISP_TEST_OPTIMISED" not in os.environ and "optimised" in item.keywords:
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="module", autouse=True)
def no_programs_left():
    """After each module the programs that it compiled go: kept for the whole run, they fill gigabytes."""
    yield
    jax.clear_caches()
    gc.collect()


@pytest.fixture
def quick():
    """What the package compiles is not optimised: for programs that run a few times. See also samples.quick_jit."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


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
