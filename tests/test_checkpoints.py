"""Parameter files: exact round trips, clear errors, and never half a file."""

import errno
import json
import os

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import save_file

import modisp_jax as mj
from modisp_jax.checkpoints import FORMAT, VERSION
from modisp_jax.config import PhotofinishConfig, PipelineConfig
from modisp_jax.params import param_shapes
from modisp_jax.tree import flatten, unflatten
from tests.samples import TINY, numbered_params

CARD = {
    "name": "tiny",
    "license": "Apache-2.0",
    "steps": 5,
    "text": 'Grüße, 東京\n| and "quotes"',
    "nested": {"a": [1]},
}
HEADER = {"format": FORMAT, "version": VERSION}
VARIANTS = {
    "whole": TINY,
    "denoiser only": PipelineConfig(TINY.denoise, None, None),
    "no denoiser": PipelineConfig(None, PhotofinishConfig(), TINY.enhance),
    "rgb_lut, crcb": PipelineConfig(None, PhotofinishConfig(True, "crcb"), None),
}


def numbers(config):
    return numbered_params(unflatten({name: np.zeros(shape) for name, shape in param_shapes(config).items()}))


@pytest.fixture(scope="module")
def tiny():
    return numbers(PipelineConfig(TINY.denoise, None, None))


def assert_equal(actual, expected):
    assert jax.tree.structure(actual) == jax.tree.structure(expected)
    for name, value in flatten(expected).items():
        np.testing.assert_array_equal(flatten(actual)[name], value, strict=True, err_msg=name)


@pytest.mark.parametrize("variant", VARIANTS)
def test_round_trip_is_exact(tmp_path, variant):
    config = VARIANTS[variant]
    params = numbers(config)
    mj.save_params(tmp_path / "a.safetensors", params, CARD)
    loaded = mj.load_params(tmp_path / "a.safetensors")
    assert_equal(loaded, params)
    assert all(isinstance(leaf, jax.Array) and leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(loaded))
    assert mj.config_of(loaded) == config
    assert mj.read_card(str(tmp_path / "a.safetensors")) == CARD


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
def test_small_precisions_are_kept_in_float32(tmp_path, tiny, dtype):
    small = jax.tree.map(lambda leaf: np.asarray(leaf).astype(dtype), tiny)
    mj.save_params(tmp_path / "a.safetensors", small)
    assert_equal(mj.load_params(tmp_path / "a.safetensors"), jax.tree.map(lambda leaf: leaf.astype(np.float32), small))


def test_arrays_in_any_memory_order(tmp_path, tiny):
    turned = jax.tree.map(lambda leaf: np.asfortranarray(np.asarray(leaf)), tiny)
    mj.save_params(tmp_path / "a.safetensors", turned)
    assert_equal(mj.load_params(tmp_path / "a.safetensors"), tiny)


def test_no_card_is_an_empty_one(tmp_path, tiny):
    mj.save_params(tmp_path / "a.safetensors", tiny)
    assert mj.read_card(tmp_path / "a.safetensors") == {}


def test_equal_parameters_make_equal_files(tmp_path, tiny):
    contents = set()
    for _ in range(8):  # three keys of metadata, which safetensors leaves in random order
        mj.save_params(tmp_path / "a", tiny, CARD)
        contents.add((tmp_path / "a").read_bytes())
    assert len(contents) == 1


@pytest.mark.parametrize("name", ["default", "neutral"])
def test_built_in_sets(name):
    params = mj.load_params(name)
    assert mj.config_of(params).photofinish is not None
    assert_equal(params, mj.load_params(name))


def refused(source, message):
    with pytest.raises(ValueError, match=message) as caught:
        mj.load_params(source)
    assert str(caught.value).startswith(f"{source}: ")
    assert "\n" not in str(caught.value)


def test_a_built_in_name_is_not_a_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "neutral").write_text("a file of that name")
    assert "photofinish" in mj.load_params("neutral")
    refused("./neutral", "not a readable safetensors file")


def test_no_file_and_folders(tmp_path):
    refused(tmp_path / "a.safetensors", r"built-in set \(default, lite, base, neutral\), got no such file")
    refused("Neutral", "got no such file")
    refused(tmp_path, "got a folder")


@pytest.mark.parametrize(
    "content", [b"", b"hello, world, this is no checkpoint", b"\xff" * 100, b"PK\x03\x04" + bytes(99)]
)
def test_files_of_another_kind(tmp_path, content):
    (tmp_path / "a").write_bytes(content)
    refused(tmp_path / "a", "not a readable safetensors file")


@pytest.mark.parametrize("share", [0.001, 0.1, 0.9, 0.9999])
def test_truncated_files(tmp_path, tiny, share):
    mj.save_params(tmp_path / "a", tiny)
    data = (tmp_path / "a").read_bytes()
    (tmp_path / "a").write_bytes(data[: int(share * len(data))])
    refused(tmp_path / "a", "not a readable safetensors file")
    with pytest.raises(ValueError, match="not a readable safetensors file"):
        mj.read_card(tmp_path / "a")


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (None, "expected a file of modisp_jax parameters, got 'no format'"),
        ({"format": "pt"}, "got 'pt'"),
        ({"format": FORMAT}, "expected format version 1, got None"),
        ({"format": FORMAT, "version": "2"}, "expected format version 1, got 2"),
        ({**HEADER, "card": "{"}, "card is no JSON"),
    ],
)
def test_headers_of_others(tmp_path, tiny, header, message):
    tensors = {name: np.asarray(leaf) for name, leaf in flatten(tiny).items()}
    save_file(tensors, tmp_path / "a", metadata=header)
    refused(tmp_path / "a", message)


KERNEL = "denoise/in_conv/kernel"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda flat: flat.clear(), "expected a dict with keys"),
        (lambda flat: flat.pop("denoise/in_conv/bias"), "denoise/in_conv/bias is missing"),
        (lambda flat: flat.pop(KERNEL), "not a complete parameter set|is missing"),
        (lambda flat: flat.update({KERNEL: flat[KERNEL][:2]}), f"{KERNEL}: expected shape"),
        (lambda flat: flat.update({"denoise/in_conv/bias": np.full(2, np.nan, np.float32)}), "NaN or infinity"),
        (
            lambda flat: flat.update({"denoise/in_conv/bias": np.zeros(2, np.int32)}),
            "floating-point numbers, got int32",
        ),
        (lambda flat: flat.update({"denoise/other": np.zeros(2, np.float32)}), "belongs to no network"),
        (lambda flat: flat.update({"other": np.zeros(2, np.float32)}), "expected a dict with keys"),
        (lambda flat: flat.update({"denoise": np.zeros(2, np.float32)}), "both a tensor and a group"),
        (lambda flat: flat.update({f"{KERNEL}/x": np.zeros(2, np.float32)}), "both a tensor and a group"),
        (lambda flat: flat.update({KERNEL: np.ones((), np.float32)}), "not a complete parameter set|expected shape"),
    ],
)
def test_tensors_that_are_no_parameter_set(tmp_path, tiny, change, message):
    flat = {name: np.asarray(leaf) for name, leaf in flatten(tiny).items()}
    change(flat)
    save_file(flat, tmp_path / "a", metadata={**HEADER, "card": "{}"})
    refused(tmp_path / "a", message)


@pytest.mark.parametrize("params", [{}, None, [1], {"denoise": {}}, {"denoise": {"in_conv": {}}}, {"other": {}}])
def test_what_is_no_parameter_set_is_not_written(tmp_path, params):
    with pytest.raises(ValueError, match=r"a\.safetensors: cannot be written: "):
        mj.save_params(tmp_path / "a.safetensors", params)
    assert list(tmp_path.iterdir()) == []


def test_numbers_that_are_not_finite_are_not_written(tmp_path, tiny):
    flat = flatten(tiny) | {"denoise/in_conv/bias": jnp.full(2, jnp.inf)}
    with pytest.raises(ValueError, match="denoise/in_conv/bias: expected finite numbers"):
        mj.save_params(tmp_path / "a.safetensors", unflatten(flat))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("card", [{"a": object()}, {"a": np.zeros(2)}, {"a": float("nan")}, [1], "text"])
def test_cards_that_json_cannot_hold(tmp_path, tiny, card):
    with pytest.raises(ValueError, match="card: expected a dict that JSON can hold"):
        mj.save_params(tmp_path / "a.safetensors", tiny, card)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("place", ["os.replace", "pathlib.Path.write_bytes"])
def test_a_failed_write_leaves_what_was_there(tmp_path, tiny, monkeypatch, place):
    path = tmp_path / "a.safetensors"
    mj.save_params(path, tiny, {"name": "old"})
    before = path.read_bytes()

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(place, full)
        with pytest.raises(ValueError, match=r"a\.safetensors: cannot be written: No space left on device"):
            mj.save_params(path, tiny, {"name": "new"})
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["a.safetensors"]


def test_places_that_cannot_be_written(tmp_path, tiny):
    with pytest.raises(ValueError, match="expected a folder that can be written to"):
        mj.save_params(tmp_path / "missing" / "a.safetensors", tiny)
    (tmp_path / "folder").mkdir()
    with pytest.raises(ValueError, match="cannot be written"):
        mj.save_params(tmp_path / "folder", tiny)
    assert [p.name for p in tmp_path.iterdir()] == ["folder"]


def test_a_card_is_read_without_the_weights(tmp_path, tiny):
    """A card can be read even where the tensors are no parameter set."""
    tensors = {"other": np.zeros(2, np.float32)}
    save_file(tensors, tmp_path / "a", metadata={**HEADER, "card": json.dumps(CARD)})
    assert mj.read_card(tmp_path / "a") == CARD
