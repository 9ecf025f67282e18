"""Style files and mixes in one word: what they say, what of it is refused, and what they load."""

import json

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import modisp_jax as mj
from modisp_jax import checkpoints
from modisp_jax.style_file import (
    StyleFile,
    mix_text,
    parse_mix,
    parse_style,
    read_style_file,
    style_text,
    write_style_file,
)
from tests.samples import TINY, numbered_params

WEIGHTS = st.floats(0, 1e9)
STAGES = st.sampled_from(["gain", "gtm", "ltm", "rgb_lut", "chroma", "gamma"])


@pytest.fixture
def written(tmp_path):
    """A function that writes JSON to a style file and returns its path."""

    def write(content):
        path = tmp_path / "mine.json"
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path

    return write


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    """Files of two styles with photofinishing and a small enhancement, and their parameters."""
    folder = tmp_path_factory.mktemp("styles")
    params = {
        name: numbered_params(mj.init_params(jax.random.key(0), TINY), scale)
        for name, scale in (("a", 1.0), ("b", 0.5))
    }
    for name, one in params.items():
        mj.save_params(folder / f"{name}.safetensors", one)
    return folder, params


def test_a_file_round_trips(tmp_path):
    style = StyleFile((("vivid", 0.7, {}), ("mono", 0.3, {"chroma": 0.0})), {"contrast": 0.2}, "firm")
    write_style_file(tmp_path / "mine.json", style)
    assert read_style_file(tmp_path / "mine.json") == style
    assert [path.name for path in tmp_path.iterdir()] == ["mine.json"]


def test_paths_are_relative_to_the_file(written, tmp_path):
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "x.safetensors").write_bytes(b"")
    path = written({"modisp_style": 1, "mix": [{"style": "own/x.safetensors"}, {"style": "vivid", "weight": 2}]})
    assert read_style_file(path).mix == ((str(tmp_path / "own" / "x.safetensors"), 1.0, {}), ("vivid", 2.0, {}))


def test_a_mix_in_one_word():
    assert parse_mix("vivid=0.7,mono=0.3").mix == (("vivid", 0.7, {}), ("mono", 0.3, {}))
    assert parse_mix("vivid=0.5").mix == (("vivid", 0.5, {}),)
    assert parse_mix("a=b.safetensors=0.5").mix == (("a=b.safetensors", 0.5, {}),)
    assert parse_mix("a=0.5.safetensors=0.5").mix == (("a=0.5.safetensors", 0.5, {}),)
    assert parse_mix("vivid") is None


def test_a_mix_in_one_word_has_weights_of_single_stages():
    mix = (("vivid", 0.7, {"chroma": 0.2, "rgb_lut": 0.0}), ("mono", 0.3, {}))
    assert parse_mix("vivid=0.7:chroma=0.2:rgb_lut=0,mono=0.3").mix == mix
    assert mix_text(mix) == "vivid=0.7:chroma=0.2:rgb_lut=0,mono=0.3"


@given(st.lists(st.tuples(st.sampled_from(checkpoints.STYLES), WEIGHTS, st.dictionaries(STAGES, WEIGHTS)), min_size=1))
def test_a_mix_survives_its_way_through_a_word(mix):
    assert parse_mix(mix_text(mix)).mix == tuple(mix)


def test_a_long_mix_is_no_name_of_a_file():
    stages = {"gain": 1 / 3, "gtm": 1 / 7, "ltm": 1 / 9, "rgb_lut": 1 / 11, "chroma": 1 / 13, "gamma": 1 / 17}
    mix = tuple((name, 1 / 3, stages) for name in checkpoints.STYLES)
    assert len(mix_text(mix)) > 300
    assert checkpoints.style_mix(mix_text(mix)) == mix


def test_a_text_names_no_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    mj.save_params("a.safetensors", mj.load_params("neutral"))
    style = StyleFile((("a.safetensors", 1.0, {}),), {"contrast": 0.5})
    assert parse_style(style_text(style)) == style
    with pytest.raises(ValueError, match="expected a style file in JSON"):
        parse_style("{")


@pytest.mark.parametrize(
    "text",
    [
        "vivid=",
        "vivid=x",
        "=0.3",
        "vivid=0.7,mono",
        "vivid=-1",
        "vivid=nan",
        "vivid=1:chroma",
        "vivid=1:chroma=x",
        "vivid=1:a=-1",
    ],
)
def test_bad_mixes_are_refused(text):
    with pytest.raises(ValueError, match=r"expected a mix such as vivid=0.7,mono=0.3 or .*, got"):
        parse_mix(text)


@pytest.mark.parametrize(
    ("content", "match"),
    [
        ("not JSON", "expected a style file in JSON"),
        ([], "expected a style file, .* got 'list'"),
        ({}, "got None"),
        ({"modisp_style": 2}, "got 2"),
        ({"modisp_style": 1, "mixture": []}, "mixture: a style file has only"),
        ({"modisp_style": 1, "mix": {}}, "mix: expected a list"),
        ({"modisp_style": 1, "mix": [{"weight": 1}]}, "mix: expected .* got"),
        ({"modisp_style": 1, "mix": [{"style": "a", "strength": 1}]}, "strength: a style of a mix has only"),
        ({"modisp_style": 1, "mix": [{"style": "a", "weight": -1}]}, "weights that are finite numbers >= 0"),
        ({"modisp_style": 1, "mix": [{"style": "a", "weight": True}]}, "weights that are finite numbers >= 0"),
        ({"modisp_style": 1, "mix": [{"style": "a", "weights": {"gain": "x"}}]}, "weights that are finite"),
        ({"modisp_style": 1, "edits": [1]}, "edits: expected names and values"),
    ],
)
def test_bad_files_are_refused(written, content, match):
    path = written(content)
    with pytest.raises(ValueError, match=match) as error:
        read_style_file(path)
    assert str(path) in str(error.value)


def test_nothing_is_written_of_a_bad_style(tmp_path):
    with pytest.raises(ValueError, match="weights"):
        write_style_file(tmp_path / "bad.json", StyleFile((("a", -1.0, {}),)))
    assert list(tmp_path.iterdir()) == []


def test_loading_a_mix(sets, written):
    folder, params = sets
    a, b = folder / "a.safetensors", folder / "b.safetensors"
    loaded = mj.load_params("neutral", style=f"{a}=1,{b}=3")
    assert [one["gain"]["head"]["bias"].item() for one in loaded["photofinish"]["styles"]] == [
        params[name]["photofinish"]["gain"]["head"]["bias"].item() for name in "ab"
    ]
    np.testing.assert_array_equal(loaded["photofinish"]["weights"]["gtm"], [1, 3])
    np.testing.assert_array_equal(
        loaded["enhance"]["in_conv"]["kernel"], params["b"]["enhance"]["in_conv"]["kernel"], "the heaviest style's"
    )
    assert "denoise" not in loaded

    mix = [{"style": str(a), "weight": 0, "weights": {"chroma": 2}}, {"style": str(b), "weight": 0.5}]
    loaded = mj.load_params("neutral", style=str(written({"modisp_style": 1, "mix": mix})))
    np.testing.assert_array_equal(loaded["photofinish"]["weights"]["gain"], [0, 0.5])
    np.testing.assert_array_equal(loaded["photofinish"]["weights"]["chroma"], [2, 0.5])


def test_a_style_file_without_a_mix_leaves_the_set_alone(sets, written):
    folder, _ = sets
    source = str(folder / "a.safetensors")
    loaded = mj.load_params(source, style=str(written({"modisp_style": 1, "edits": {"contrast": 0.1}})))
    jax.tree.map(np.testing.assert_array_equal, loaded, mj.load_params(source))


def test_what_cannot_be_loaded_is_refused(sets, written, tmp_path):
    folder, params = sets
    with pytest.raises(ValueError, match=r"expected a style .* or a parameter file"):
        mj.load_params("neutral", style="no-such=1")
    mj.save_params(tmp_path / "denoiser.safetensors", {"denoise": params["a"]["denoise"]})
    with pytest.raises(ValueError, match="expected a set with photofinishing"):
        mj.load_params("neutral", style=f"{tmp_path / 'denoiser.safetensors'}=1")
    mix = [{"style": str(folder / "a.safetensors"), "weights": {"tone": 1}}]
    with pytest.raises(ValueError, match=r"expected weights of gain.* got one of 'tone'"):
        mj.load_params("neutral", style=str(written({"modisp_style": 1, "mix": mix})))
    with pytest.raises(ValueError, match=r"missing.json: expected a style file, got: No such file"):
        mj.load_params("neutral", style="missing.json")
    assert checkpoints.style_mix(None) is None
