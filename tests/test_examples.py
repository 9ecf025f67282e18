"""The examples in docs/ run, small, and show what they say."""

import runpy
from pathlib import Path

import pytest

import modisp_jax as mj
from modisp_jax.fit import start
from tests.fit.closed_form import COMMON

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "examples"


@pytest.fixture
def main(request, monkeypatch):
    """The example's function; without the weights that ship, where a checkout lacks them, from the neutral ones."""
    if not mj.list_styles():
        load = mj.load_params
        monkeypatch.setattr(mj, "load_params", lambda source, style=None: load("neutral"))
    return runpy.run_path(str(FOLDER / f"{request.param}.py"))["main"]


@pytest.mark.slow
@pytest.mark.parametrize("main", ["gradient"], indirect=True)
def test_gradient(main):
    norms = main(64)
    assert set(norms) >= {f"photofinish/{stage}" for stage in ("gain", "gtm", "ltm", "chroma", "gamma")}
    assert all(0 < square < float("inf") for square in norms.values())


@pytest.mark.parametrize("main", ["many_looks"], indirect=True)
def test_many_looks(main):
    means = main(64, 3).mean(axis=(1, 2, 3))
    assert means[0] < means[1] < means[2]


@pytest.mark.slow
@pytest.mark.parametrize("main", ["own_style"], indirect=True)
def test_own_style(main, monkeypatch):
    monkeypatch.setattr(start, "_common", COMMON)
    before, after = main(48, 0, 4)
    assert after > before + 3


@pytest.mark.parametrize("main", ["uncertainty"], indirect=True)
def test_uncertainty(main):
    assert 0 < main(48, 20, 2) < 0.02


def test_every_example_is_tested_and_short():
    examples = sorted(path.stem for path in FOLDER.glob("*.py"))
    assert examples == ["gradient", "many_looks", "own_style", "uncertainty"]
    for name in examples:
        assert len((FOLDER / f"{name}.py").read_text(encoding="utf-8").splitlines()) <= 50
