"""Fixtures shared by all tests: the reference material, and a CPU-only, warning-free JAX."""

import os
from pathlib import Path

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ["MODISP_CACHE_DIR"] = ""  # what is tested here is compiled here

import numpy as np
import pytest

REPOSITORY = Path(__file__).resolve().parent.parent


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
