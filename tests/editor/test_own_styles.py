"""Styles of one's own: given at the start, called by name, and the same picture as ``modisp render`` makes of them."""

import json
import shlex
from pathlib import Path

import jax
import numpy as np
import pytest

import modisp_jax as mj
from modisp_jax import cli
from modisp_jax.editor.controls import default_style, style_controls
from modisp_jax.editor.exports import Exports
from modisp_jax.editor.library import Library
from modisp_jax.editor.own_styles import MOST, open_styles
from modisp_jax.editor.settings import (
    Export,
    Making,
    check_settings,
    preset_settings,
    read_style,
    settings_of_record,
    style_of,
    write_style,
)
from modisp_jax.io.synthetic import write_synthetic_dng
from modisp_jax.style_file import StyleFile, read_style_file, write_style_file

SIZE = (48, 64)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """faded.safetensors, a style with a 3D LUT and without a network for detail; other/faded.safetensors; mine.json."""
    folder = tmp_path_factory.mktemp("styles")
    (folder / "other").mkdir()
    variant = mj.PhotofinishConfig(rgb_lut=True, grid_input=128)
    start = mj.init_params(jax.random.key(0), mj.PipelineConfig(denoise=None, enhance=None, photofinish=variant))
    rng = np.random.default_rng(0)
    for number, path in enumerate((folder / "faded.safetensors", folder / "other" / "faded.safetensors")):
        params = jax.tree.map(lambda leaf: leaf + 0.02 * rng.standard_normal(leaf.shape, np.float32), start)
        mj.save_params(path, params, {"what": f"faded, number {number}"})
    mix = (("other/faded.safetensors", 0.6, {"chroma": 0.1}), ("neutral", 0.4, {}))
    write_style_file(folder / "mine.json", StyleFile(mix, {"contrast": 0.25}, "My mix"))
    return folder


@pytest.fixture(scope="module")
def own(files):
    return open_styles([files / "faded.safetensors", files / "mine.json"], "neutral")


def test_files_get_names_of_their_own(files, own):
    assert [one.name for one in own.styles] == ["faded", "faded-2"]
    assert [one.path for one in own.styles] == [
        str(files / "faded.safetensors"),
        str(files / "other/faded.safetensors"),
    ]
    assert own.styles[0].recorded.startswith("faded.safetensors sha256:")
    assert own.styles[0].recorded != own.styles[1].recorded
    assert set(own.sets) == {"faded", "faded-2"}
    assert set(own.sets["faded"]) == {"photofinish"}
    assert preset_settings(own) == [
        {
            "name": "My mix",
            "settings": {
                "edits": {"contrast": 0.25},
                "mix": [
                    {"style": "faded-2", "weight": 0.6, "weights": {"chroma": 0.1}},
                    {"style": "neutral", "weight": 0.4},
                ],
            },
        }
    ]
    again = open_styles([files / "faded.safetensors", files / "other" / ".." / "faded.safetensors"], "neutral")
    assert [one.name for one in again.styles] == ["faded"]


def test_the_page_is_told_of_them(files, own):
    making = Making("neutral", own=own)
    assert style_controls(making)[-2:] == [
        {"name": "faded", "description": "faded, number 0", "own": True, "has_lut": True},
        {"name": "faded-2", "description": "faded, number 1", "own": True, "has_lut": True},
    ]
    assert default_style(making) == style_controls(making)[0]["name"] == "neutral"
    assert default_style(Making()) == "natural"
    params = str(files / "faded.safetensors")
    making = Making(params, own=open_styles([], params))
    assert default_style(making) == "faded"


def test_a_name_that_ships_stays_that_style(tmp_path, files, monkeypatch):
    """Also where the path itself is such a name."""
    monkeypatch.chdir(tmp_path)
    Path("vivid").write_bytes((files / "faded.safetensors").read_bytes())
    (one,) = open_styles(["vivid"], "neutral").styles
    assert one.name == "vivid-2"
    assert style_of({"mix": [{"style": "vivid-2", "weight": 1.0}]}, [one]) == str(tmp_path / "vivid")
    assert style_of({"mix": [{"style": "vivid", "weight": 1.0}]}, [one]) == "vivid"


def test_what_is_no_style_is_refused(tmp_path, files):
    (tmp_path / "a,b.safetensors").write_bytes((files / "faded.safetensors").read_bytes())
    (tmp_path / "text.safetensors").write_text("print('hello')")
    (tmp_path / "text.json").write_text("[]")
    mj.save_params(tmp_path / "nothing.safetensors", {"denoise": mj.load_params("lite")["denoise"]})
    write_style_file(tmp_path / "lost.json", StyleFile((("lost.safetensors", 1.0, {}),)))
    write_style_file(tmp_path / "odd.json", StyleFile((), {"contrast": 7.0}))
    for name, message in (
        ("none.safetensors", "got no such file"),
        ("a,b.safetensors", "expected a path without a comma"),
        ("text.safetensors", "not a readable safetensors file"),
        ("text.json", "expected a style file"),
        ("nothing.safetensors", "expected a set with photofinishing"),
        ("lost.json", "lost.safetensors"),
        ("odd.json", "contrast: expected -1 to 1"),
    ):
        with pytest.raises(ValueError, match=message):
            open_styles([tmp_path / name], "neutral")
    with pytest.raises(ValueError, match=f"expected at most {MOST} styles, got {MOST + 1}"):
        open_styles([files / "mine.json"] * (MOST + 1), "neutral")


def test_settings_name_what_the_start_brought_and_nothing_else(files, own):
    found = {"mix": [{"style": "faded", "weight": 1.0}]}
    assert check_settings(found, own=own.styles) == found
    with pytest.raises(ValueError, match=r"expected styles of natural, .* got 'faded' \(modisp edit --style FILE"):
        check_settings(found)
    for name in ("other", str(files / "faded.safetensors"), "../faded"):
        with pytest.raises(ValueError, match="mix: expected styles of"):
            check_settings({"mix": [{"style": name}]}, own=own.styles)


def test_a_preset_is_read_by_render_from_anywhere_and_by_the_editor(files, own, tmp_path, monkeypatch):
    settings = check_settings({"mix": [{"style": "faded", "weight": 0.5}, {"style": "mono"}]}, own=own.styles)
    (tmp_path / "preset.json").write_text(write_style(settings, "half", own.styles))
    monkeypatch.chdir(tmp_path)
    style = read_style_file("preset.json")
    assert style.mix == ((str(files / "faded.safetensors"), 0.5, {}), ("mono", 1.0, {}))
    assert mj.load_params("neutral", style="preset.json")["photofinish"]["styles"]
    assert read_style((tmp_path / "preset.json").read_text(), own.styles) == (settings, "half")


def test_a_style_file_of_another_folder_or_machine_means_the_file_of_that_name(own):
    """Compared as text alone: whether such a file exists is not asked."""
    for path in ("/home/somebody/faded.safetensors", "C:\\styles\\faded.safetensors", "faded.safetensors", "faded"):
        text = json.dumps({"modisp_style": 1, "mix": [{"style": path}]})
        assert read_style(text, own.styles)[0] == {"mix": [{"style": "faded", "weight": 1.0}]}
    for path in ("/etc/passwd", "fade", "faded.safetensors/", "", "faded-2.safetensors"):
        text = json.dumps({"modisp_style": 1, "mix": [{"style": path}]})
        with pytest.raises(ValueError, match="mix: expected styles of"):
            read_style(text, own.styles)


@pytest.fixture
def room(files, own, tmp_path):
    """(library, its one photo, exports) of an editor that was started with the styles."""
    library = Library(None, making=Making("neutral", own=own))
    (photo,) = library.add([write_synthetic_dng(tmp_path / "a.dng", size=SIZE)])
    exports = Exports(library)
    yield library, library.get(photo.id), exports
    assert exports.end(60)
    library.end()


def test_an_export_is_what_render_writes_and_reopens(room, tmp_path):
    """Byte for byte, by the command that is shown; the picture with its raw knows the styles by their contents."""
    library, photo, exports = room
    mix = [{"style": "faded", "weight": 0.7, "weights": {"rgb_lut": 0.2}}, {"style": "faded-2"}]
    settings = library.check({"mix": mix, "edits": {"contrast": 0.2}})
    job = exports.wait(exports.start([(photo, settings)], Export(embed_raw=True, raw_codec="lossless")).id, 120)
    assert job.failed == []
    words = shlex.split(job.files[0]["command"])
    words[words.index("--output") + 1] = str(tmp_path / "by_render.jpg")
    assert cli.main(words[1:]) == 0
    assert job.places[0].read_bytes() == (tmp_path / "by_render.jpg").read_bytes()
    again = library.get(library.add([job.places[0]])[0].id)
    assert (again.settings, again.note) == (settings, "")
    elsewhere = Library(None, making=Making("neutral"))
    stranger = elsewhere.get(elsewhere.add([job.places[0]])[0].id)
    assert stranger.settings == {"edits": {"contrast": 0.2}}
    assert "faded.safetensors" in stranger.note
    assert "modisp edit --style" in stranger.note


def test_a_record_of_an_own_parameter_set_is_no_surprise(files, tmp_path):
    params = str(files / "faded.safetensors")
    making = Making(params, own=open_styles([], params))
    library = Library(None, making=making)
    (photo,) = library.add([write_synthetic_dng(tmp_path / "a.dng", size=SIZE)])
    exports = Exports(library)
    job = exports.wait(exports.start([(library.get(photo.id), {})], Export(embed_raw=True)).id, 120)
    assert exports.end(60)
    again = library.get(library.add(job.places)[0].id)
    assert (again.settings, again.note) == ({}, "")


def test_a_digest_must_be_right(own):
    name = own.styles[0].recorded
    assert settings_of_record({"style": name}, own=own.styles) == ({"mix": [{"style": "faded", "weight": 1.0}]}, "")
    found, note = settings_of_record({"style": name[:-1] + "?"}, own=own.styles)
    assert found == {}
    assert "faded.safetensors" in note
