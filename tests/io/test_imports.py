"""Importing io is light: no JAX, and no decoder before the first call that needs it."""

import subprocess
import sys
from pathlib import Path

import pytest

import modisp_jax.io

MODULES = sorted(path.stem for path in Path(modisp_jax.io.__file__).parent.glob("*.py") if path.stem != "__init__")
HEAVY = ("jax", "flax", "torch", "rawpy", "tifffile", "PIL", "imagecodecs", "scipy")


def imported_with(statement):
    code = f"import sys; {statement}; print([m for m in {HEAVY!r} if m in sys.modules])"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def test_importing_io_is_light():
    modules = ", ".join(f"modisp_jax.io.{name}" for name in MODULES)
    assert imported_with(f"import modisp_jax.io, {modules}") == "[]"


@pytest.mark.parametrize("heavy", ["PIL", "tifffile"])
def test_the_check_can_fail(heavy):
    assert heavy in imported_with(f"import {heavy}")
