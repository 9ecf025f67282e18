"""The editor's settings: their normal form, and their ways to options, commands, records and style files and back."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import modisp_jax as mj
from modisp_jax import checkpoints, cli, render_files
from modisp_jax.config import EDIT_RANGES
from modisp_jax.editor.controls import edit_controls, light_controls, linearize_controls, style_controls
from modisp_jax.editor.settings import (
    LINEARIZE,
    Export,
    Making,
    check_export,
    check_settings,
    command_of,
    options_of,
    read_style,
    settings_of_record,
    style_of,
    write_style,
)
from modisp_jax.io.metadata import RawMetadata
from modisp_jax.io.synthetic import CAMERA
from modisp_jax.linearization import METHODS
from modisp_jax.mix import STAGE_NAMES
from modisp_jax.render_settings import record, set_light
from modisp_jax.style_file import read_style_file
from modisp_jax.types import Edits

PHOTO = Path("a.dng")
WEIGHTS = st.floats(0, 1e6)
MIX = st.lists(
    st.fixed_dictionaries(
        {"style": st.sampled_from(["natural", "vivid", "mono", "neutral"])},
        optional={"weight": WEIGHTS, "weights": st.dictionaries(st.sampled_from(STAGE_NAMES), WEIGHTS)},
    ),
    max_size=3,
)
EDITS = st.fixed_dictionaries(
    {},
    optional={name: st.floats(low, high) for name, (low, high) in EDIT_RANGES.items()}
    | {"crop": st.sampled_from([[0, 0, 1, 1], [0.1, 0.25, 0.5, 0.7], None])},
)
LIGHTS = st.one_of(
    st.just({"mode": "as-shot"}),
    st.fixed_dictionaries({"mode": st.just("custom"), "cct": st.floats(2000, 9000), "tint": st.floats(-50, 50)}),
    st.fixed_dictionaries(
        {"mode": st.just("picked"), "illuminant": st.tuples(*[st.floats(0.2, 0.9)] * 3).map(list)},
    ),
)
SETTINGS = st.fixed_dictionaries(
    {},
    optional={
        "edits": EDITS,
        "white_balance": LIGHTS,
        "mix": MIX,
        "halo_fix": st.one_of(st.none(), st.integers(1, 10_000)),
        "operators": st.sampled_from(["smooth", "published"]),
        "clipped_highlights": st.sampled_from(["neutral", "clip"]),
        "linearize": st.sampled_from(["inverse", "curve", "paramisp"]),
    },
)
FULL = {
    "edits": {"exposure": 0.5, "chroma": 0.25, "denoise": 0.5, "rotation": -3.0, "crop": [0.1, 0.2, 0.5, 0.6]},
    "white_balance": {"mode": "custom", "cct": 5200, "tint": 4.0},
    "mix": [{"style": "vivid", "weight": 0.7, "weights": {"chroma": 0.2}}, {"style": "mono", "weight": 0.3}],
    "halo_fix": 20,
    "operators": "published",
    "clipped_highlights": "clip",
    "linearize": "curve",
}


def tiny_raw():
    metadata = RawMetadata(color=CAMERA, size=(16, 16))
    image = np.full((16, 16, 3), 0.2, np.float32)
    return mj.Raw(image, np.float32([0.5, 1, 0.6]), np.eye(3, dtype=np.float32), metadata=metadata)


@given(SETTINGS)
def test_the_normal_form_is_its_own_and_plain_json(found):
    normal = check_settings(found)
    assert check_settings(normal) == normal
    assert check_settings(json.loads(json.dumps(normal))) == normal
    assert list(normal) == [name for name in FULL if name in normal]


def test_what_is_neutral_is_left_out():
    neutral = {name: getattr(Edits(), name) for name in EDIT_RANGES}
    full = {"edits": neutral | {"crop": [0, 0, 1, 1]}, "white_balance": {"mode": "as-shot"}, "mix": []}
    choices = {"operators": "smooth", "clipped_highlights": "neutral", "linearize": "inverse"}
    assert check_settings(full | choices | {"halo_fix": None}) == {}
    assert check_settings(FULL) == FULL
    part = {"style": "vivid", "weights": {"gain": 1, "gtm": None}}
    assert check_settings({"mix": [part]}) == {"mix": [{"style": "vivid", "weight": 1.0}]}
    assert check_settings({"white_balance": {"mode": "picked", "illuminant": [1, 2, 3]}}) == {
        "white_balance": {"mode": "picked", "illuminant": [0.5, 1.0, 1.5]}
    }


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ([], "settings: expected an object, got"),
        ({"style": "vivid"}, "settings: expected only edits, .* got 'style'"),
        ({"edits": []}, "edits: expected an object"),
        ({"edits": {"contrast": 2}}, "contrast: expected -1 to 1, got 2"),
        ({"edits": {"contrast": "1"}}, "contrast: expected 1 number, got"),
        ({"edits": {"contrast": float("nan")}}, "contrast: expected -1 to 1"),
        ({"edits": {"nothing": 1}}, "expected names of"),
        ({"edits": {"crop": [0, 0, 2, 1]}}, "crop"),
        ({"edits": {"crop": [0, 0, float("inf"), 1]}}, "crop"),
        ({"edits": {"crop": [0, float("nan"), 1, 1]}}, "crop"),
        ({"white_balance": {"mode": "blue"}}, "white_balance: expected a mode of as-shot, auto, custom, picked"),
        ({"white_balance": {"mode": ["auto"]}}, "white_balance: expected a mode"),
        ({"white_balance": {"mode": "custom", "cct": 100, "tint": 0}}, "cct: expected a number from 1800 to 10000"),
        ({"white_balance": {"mode": "custom", "cct": 5000}}, "tint: expected a number from -100 to 100, got None"),
        ({"white_balance": {"mode": "auto", "cct": 5000}}, "white_balance: expected only mode; got 'cct'"),
        ({"white_balance": {"mode": "picked", "illuminant": [1, 0, 1]}}, "expected three positive numbers"),
        ({"white_balance": {"mode": "picked", "illuminant": [1, 1]}}, "expected three positive numbers"),
        ({"white_balance": {"mode": "picked", "illuminant": [99, 1, 1]}}, "8 times G"),
        ({"mix": {}}, "mix: expected a list"),
        ({"mix": [{"style": "vivid"}] * 17}, "at most 16 styles"),
        ({"mix": ["vivid"]}, "mix: expected an object"),
        ({"mix": [{"style": "/etc/passwd"}]}, "mix: expected styles of natural, .* got '/etc/passwd'"),
        ({"mix": [{"style": ["vivid"]}]}, "mix: expected styles of"),
        ({"mix": [{"style": "vivid", "weight": -1}]}, "weight: expected a number from 0"),
        ({"mix": [{"style": "vivid", "weights": {"sky": 1}}]}, "mix, weights: expected stages of gain"),
        ({"mix": [{"style": "vivid", "weights": {"gain": True}}]}, "weight: expected a number from 0"),
        ({"halo_fix": 10**6}, "halo_fix: expected iterations, 1 to 10000"),
        ({"halo_fix": True}, "halo_fix: expected iterations"),
        ({"operators": "other"}, "operators: expected one of smooth, published; got 'other'"),
        ({"operators": ["smooth"]}, "operators: expected one of"),
        ({"clipped_highlights": 1}, "clipped_highlights: expected one of"),
        ({"linearize": "cie_xyz"}, "linearize: expected one of inverse, curve, paramisp; got 'cie_xyz'"),
    ],
)
def test_bad_settings_are_refused_in_one_line(bad, message):
    with pytest.raises(ValueError, match=message) as error:
        check_settings(bad)
    assert "\n" not in str(error.value)


def test_lights_by_networks_need_their_file():
    light = {"white_balance": {"mode": "preferred"}}
    with pytest.raises(ValueError, match="expected a mode of as-shot, auto, custom, picked; got 'preferred'"):
        check_settings(light, Making().modes)
    making = Making(awb=Path("nets.safetensors"), learned=("cross-camera", "preferred"))
    assert check_settings(light, making.modes) == light
    assert options_of(light, making=making).awb == making.awb
    assert options_of({}, making=making).awb is None


@pytest.mark.parametrize(
    ("mix", "style"),
    [
        ([], None),
        ([{"style": "vivid"}], "vivid"),
        ([{"style": "vivid", "weight": 0.5}], "vivid=0.5"),
        ([{"style": "vivid", "weights": {"gamma": 0}}], "vivid=1:gamma=0"),
        (FULL["mix"], "vivid=0.7:chroma=0.2,mono=0.3"),
    ],
)
def test_a_mix_is_a_style(mix, style):
    assert style_of(check_settings({"mix": mix})) == style


@pytest.fixture
def parse(monkeypatch):
    """A function from a command's words to the photos and options that ``modisp render`` would render."""
    calls = []
    monkeypatch.setattr(render_files, "render_photos", lambda photos, options: calls.append((photos, options)) or 0)

    def parse(words):
        assert words[0] == "modisp"
        assert cli.main(words[1:]) == 0
        return calls.pop()

    return parse


EXPORTS = (
    Export(),
    Export("png", bits=16),
    Export("tiff", bits=8),
    Export("jpg", quality=80, embed_raw=True, raw_codec="lossless", raw_quality=90),
)


@pytest.mark.parametrize("number", range(8))
def test_the_command_says_the_same_as_the_settings(parse, number):
    """As options, to the last bit; the light, which the command line checks, too."""
    lights = (FULL["white_balance"], {"mode": "auto"}, {"mode": "picked", "illuminant": [1 / 3, 0.7, 0.1]})
    rng = np.random.default_rng(number)
    edits = {name: rng.uniform(*EDIT_RANGES[name]) for name in rng.permutation(list(EDIT_RANGES))[: 3 * number]}
    found = {"edits": edits, "white_balance": lights[number % 3]} if number else {}
    found = check_settings(FULL | found if number % 2 else found)
    export, output = EXPORTS[number % 4], Path("out") / ("my picture" + (".jpg", ".png", ".tif")[number % 3])
    common = {"making": Making("base"), "export": export, "output": output, "finished": number >= 5}
    photos, options = parse(command_of(PHOTO, found, **common))
    assert photos == (PHOTO,)
    assert options == options_of(found, **common)


def test_the_awb_file_is_in_the_command(parse):
    common = {"making": Making(awb=Path("nets.safetensors")), "output": Path("a.jpg")}
    found = {"white_balance": {"mode": "cross-camera"}}
    assert parse(command_of(PHOTO, found, **common))[1] == options_of(found, **common)


def test_a_finished_photo_is_denoised_if_the_settings_say_so():
    assert options_of({}, finished=True).edits == {"denoise": 1.0}
    assert options_of({"edits": {"denoise": 0.0}}, finished=True).edits == {"denoise": 0.0}


@settings(max_examples=60, deadline=None)
@given(SETTINGS)
def test_a_record_brings_the_settings_back(found):
    """By way of a rendering's light and a picture's JSON; but for how a raw was made, which such a picture carries."""
    found = check_settings(found)
    options = options_of(found)
    stored = json.loads(json.dumps(record(options, PHOTO, set_light(tiny_raw(), options)[1], linearized="curve")))
    found.pop("linearize", None)
    assert settings_of_record(stored) == (found, "")


def test_how_a_photo_is_taken_back_counts_for_finished_ones_alone():
    assert options_of({"linearize": "paramisp"}, finished=True).linearize == "paramisp"
    assert options_of({"linearize": "paramisp"}).linearize == "inverse"
    assert "--linearize" not in command_of(PHOTO, {"linearize": "paramisp"}, output=Path("a.jpg"))
    assert "--linearize" not in command_of(PHOTO, {}, output=Path("a.jpg"), finished=True)


def test_only_what_is_there_is_offered(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoints, "WEIGHTS", tmp_path)
    assert [way["name"] for way in linearize_controls()] == ["inverse", "curve"]
    (tmp_path / "paramisp.safetensors").write_bytes(b"networks")
    assert [way["name"] for way in linearize_controls()] == list(LINEARIZE)
    assert all(way["title"] and way["tip"] for way in linearize_controls())
    assert set(LINEARIZE) <= set(METHODS)


def test_a_record_of_a_light_from_networks():
    light = {"mode": "preferred", "cct": 5000, "tint": 0.0, "illuminant": [0.5, 1.0, 0.6]}
    stored = {"modisp_jax": "1", "white_balance": light}
    assert settings_of_record(stored) == ({"white_balance": {"mode": "preferred"}}, "")
    picked = {"white_balance": {"mode": "picked", "illuminant": [0.5, 1.0, 0.6]}}
    assert settings_of_record(stored, Making().modes) == (picked, "")
    assert settings_of_record({"white_balance": {"mode": "auto"}}) == ({"white_balance": {"mode": "auto"}}, "")


@pytest.mark.parametrize(
    ("stored", "note"),
    [
        ({"style": "own.safetensors sha256:12"}, "mix: expected styles of"),
        ({"mix": [["vivid", 1, {"sky": 1}]]}, "mix, weights"),
        ({"mix": 3}, "mix: expected a list"),
        ({"mix": [3]}, "mix: expected an object"),
        ({"edits": {"contrast": 9}}, "contrast: expected -1 to 1"),
        ({"halo_fix": -1}, "halo_fix: expected"),
        ({"white_balance": {"mode": "auto?", "illuminant": None}}, "illuminant: expected three"),
        ({"white_balance": {"mode": "custom", "cct": "x"}}, "cct: expected"),
    ],
)
def test_nothing_in_a_record_is_believed_unseen(stored, note):
    found, remark = settings_of_record({"operators": "published"} | stored)
    assert found == {"operators": "published"}
    assert note in remark


def test_a_record_of_edits_alone_or_nonsense():
    assert settings_of_record({"style": "mine.json sha256:12", "edits": {"contrast": 0.5}}) == (
        {"edits": {"contrast": 0.5}},
        "",
    )
    assert settings_of_record({}) == ({}, "")
    assert settings_of_record({"white_balance": 3, "style": None}) == ({}, "")


@given(SETTINGS)
def test_a_preset_is_a_style_file(found):
    found = check_settings(found)
    kept = {name: value for name, value in found.get("edits", {}).items() if name not in ("rotation", "crop")}
    expected = {name: value for name, value in (("edits", kept), ("mix", found.get("mix"))) if value}
    assert read_style(write_style(found, "what it is")) == (expected, "what it is")


def test_a_preset_is_read_by_the_command_line(tmp_path):
    path = tmp_path / "mine.json"
    path.write_text(write_style(FULL, "what it is"))
    style = read_style_file(path)
    assert style.description == "what it is"
    assert style.mix == (("vivid", 0.7, {"chroma": 0.2}), ("mono", 0.3, {}))
    assert style.edits == {"exposure": 0.5, "chroma": 0.25, "denoise": 0.5}


def test_a_style_file_names_no_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    mj.save_params("own.safetensors", mj.load_params("neutral"))
    for name in ("own.safetensors", "/etc/passwd", "../own.safetensors"):
        text = json.dumps({"modisp_style": 1, "mix": [{"style": name}]})
        with pytest.raises(ValueError, match="mix: expected styles of natural"):
            read_style(text)


def test_exports_are_checked():
    assert check_export({}) == Export()
    assert check_export({"format": "png", "bits": 16, "quality": None}) == Export("png", bits=16)
    for bad, message in (
        ({"format": "gif"}, "format: expected one of jpg, png, tiff"),
        ({"quality": 0}, "quality: expected a whole number from 1 to 100, got 0"),
        ({"quality": True}, "quality: expected a whole number"),
        ({"raw_codec": "adapter"}, "raw_codec: expected one of curve, lossless"),
        ({"bits": 12}, "8 or 16 bits"),
        ({"embed_raw": "no"}, "embed_raw true or false"),
        ({"format": "png", "embed_raw": True}, "--embed-raw: expected a JPEG"),
        ({"format": "jpg", "bits": 16}, "--bits 16: expected a PNG or TIFF"),
        ({"output": "/etc"}, "export: expected only format"),
        ([], "export: expected an object"),
    ):
        with pytest.raises(ValueError, match=message):
            check_export(bad)


def test_every_slider_is_explained():
    controls = edit_controls()
    assert set(controls) == set(EDIT_RANGES) == {f.name for f in dataclasses.fields(Edits)} - {"crop"}
    for name, control in controls.items():
        assert control["low"] <= control["neutral"] == getattr(Edits(), name) <= control["high"]
        assert control["title"]
        assert control["tip"]
        assert control["step"] > 0
    assert light_controls(Making().modes)["cct"] == [1800.0, 10000.0]
    assert [style["name"] for style in style_controls(Making())] == list(mj.list_styles())
