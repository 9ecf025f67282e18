"""Compiling ahead without running: afterwards exact views at 1:1 compile nothing; frames go first; it can be ended."""

import contextlib
import threading

import jax
import numpy as np
import pytest

import modisp_jax as mj
from modisp_jax.config import HaloFixConfig
from modisp_jax.editor import ahead as module
from modisp_jax.editor import darkroom, window
from modisp_jax.editor.ahead import Ahead
from modisp_jax.editor.programs import ahead, program
from tests.samples import TINY, numbered_params, raw

SIZE, PROXY = (96, 128), 64
VIEW = {"kind": "crop", "top": 0, "left": 0, "height": 20, "width": 20}
COMPILED = []
jax.monitoring.register_event_duration_secs_listener(
    lambda name, seconds, **_: COMPILED.append(seconds) if name.endswith("backend_compile_duration") else None
)


@pytest.fixture(scope="module")
def engine():
    start = mj.init_params(jax.random.key(0), TINY)
    start, numbered = jax.device_get((start, numbered_params(start)))
    params = jax.device_put(jax.tree.map(lambda a, b: a + np.float32(0.1) * (b - a), start, numbered))
    return darkroom.Engine(params, styles={"vivid": params}, holds=True)


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(darkroom, "PROXY_SIDE", PROXY)
    monkeypatch.setattr(window, "TILE", 48)
    monkeypatch.setattr(module, "MOST_MIXED", 2)
    monkeypatch.setattr(module, "architectures", lambda engine: [])


@contextlib.contextmanager
def working(engine, **options):
    one = Ahead(engine, **options)
    try:
        yield one
    finally:
        assert one.end(60)


def test_a_program_is_compiled_without_being_run():
    calls = []

    def double(x, times):
        calls.append(times)
        jax.debug.callback(lambda: calls.append("run"))
        return {"y": times * x}

    double = program(jax.jit(double, static_argnames="times"))
    with ahead():
        out = double(jax.ShapeDtypeStruct((3,), "float32"), times=2)
    assert out["y"].shape == (3,)
    assert calls == [2]
    x = jax.device_put(np.ones(3, np.float32))
    before = len(COMPILED)
    found = double(x, times=2)["y"]
    jax.effects_barrier()
    assert len(COMPILED) == before
    assert calls == [2, "run"]
    np.testing.assert_array_equal(found, 2)


@pytest.mark.slow
def test_nothing_is_compiled_under_the_finger_at_1_to_1(engine):
    """What a photo's exact views need is compiled before its first frame, by another thread."""
    lines = []
    with working(engine, say=lines.append) as one:
        assert one.missing(SIZE, {}, True).startswith("compiling")
        assert one.wait(300)
        assert one.message == ""
        assert lines == ["compiled the exact view at 1:1"]
        assert one.missing(SIZE, {}, True) == ""
        room = engine.open(raw(*SIZE))
        edits = {"exposure": 0.2, "contrast": 0.3, "auto_exposure": 0.4, "sharpening": 3.0, "denoise": 0.5}
        mix = [{"style": "vivid", "weight": 0.7}, {"style": "vivid", "weight": 0.3, "weights": {"chroma": 0.0}}]
        room.render({}, VIEW)
        compiled = len(COMPILED)
        room.close()
        room = engine.open(raw(*SIZE))
        for settings in (
            {},
            {"edits": edits},
            {"edits": edits, "operators": "published", "clipped_highlights": "clip"},
            {"mix": mix},
            {"halo_fix": HaloFixConfig().iterations},
        ):
            assert room.render(settings, VIEW).exact
        assert len(COMPILED) == compiled
        # Other iterations are another program: it is missing, for the proxy as well, and then it is not.
        assert one.missing(SIZE, {"halo_fix": 7}, False).startswith("compiling")
        assert one.wait(300)
        assert one.missing(SIZE, {"halo_fix": 7}, False) == ""


def test_small_photos_need_nothing(engine):
    with working(engine) as one:
        one.view_at_full_size((48, 64))
        assert one.missing((48, 64), {"halo_fix": HaloFixConfig().iterations}, True) == ""
        assert one.message == ""


def test_frames_go_first_and_the_end_is_quick(engine):
    """While frames are asked for nothing is compiled; the end does not wait for what is left."""
    looked = threading.Event()
    with working(engine, idle=lambda: looked.set() or 0.0) as one:
        compiled = len(COMPILED)
        assert one.missing((95, 128), {}, True)
        assert looked.wait(30)
        assert len(COMPILED) == compiled
        assert not one.wait(0)
    assert one.missing((94, 128), {}, True)  # nothing begins any more


def test_what_cannot_be_compiled_is_said_and_tried_when_it_is_needed(engine, monkeypatch, capsys):
    def fail(size, engine):
        raise ValueError("no such machine")

    monkeypatch.setattr(module, "abstract_worktop", fail)
    lines = []
    with working(engine, say=lines.append) as one:
        one.view_at_full_size(SIZE)
        assert one.wait(30)
        assert one.missing(SIZE, {}, True) == ""
    assert lines == ["could not compile ahead: no such machine"]
    assert "no such machine" in capsys.readouterr().err
