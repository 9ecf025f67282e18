"""The S24 layout: round trip, where the JSON may lie, and what is wrong with a file."""

import json

import numpy as np
import pytest

from modisp_jax.io.images import quantize, write_image
from modisp_jax.io.load import load_raw
from modisp_jax.io.raw import RawError
from modisp_jax.io.s24 import read_s24
from modisp_jax.io.synthetic import write_synthetic_dng

GOOD = {
    "cam_illum": [0.25, 0.5, 0.32],
    "ccm": [[1.7, -0.5, -0.2], [-0.3, 1.6, -0.3], [0.0, -0.6, 1.6]],
    "orientation": 6,
    "additional_metadata": {
        "iso": 400,
        "exposure": 0.01,
        "color_matrix1": [[0.70, -0.20, -0.06], [-0.40, 1.20, 0.22], [-0.08, 0.20, 0.58]],
        "color_matrix2": [0.95, -0.44, -0.03, -0.36, 1.14, 0.23, -0.04, 0.15, 0.60],
    },
}


@pytest.fixture
def image():
    return np.random.default_rng(0).random((12, 17, 3)).astype(np.float32)


def write(folder, image, data=GOOD, place="data"):
    (folder / "raw_images").mkdir(exist_ok=True)
    (folder / "data").mkdir(exist_ok=True)
    path = write_image(folder / "raw_images" / "a.png", image, bits=16)
    (folder / ("data" if place == "data" else "raw_images") / "a.json").write_text(json.dumps(data))
    return path


@pytest.mark.parametrize("place", ["data", "beside"])
@pytest.mark.parametrize("read", [read_s24, load_raw])
def test_round_trip(tmp_path, image, place, read):
    raw = read(write(tmp_path, image, place=place))
    np.testing.assert_array_equal(quantize(raw.image, 16), quantize(image, 16))
    np.testing.assert_allclose(raw.illuminant, [0.5, 1, 0.64])
    np.testing.assert_array_equal(raw.ccm, GOOD["ccm"])
    metadata = raw.metadata
    assert (metadata.orientation, metadata.iso, metadata.exposure_time) == (6, 400, 0.01)
    assert (metadata.size, metadata.format, metadata.neutral) == ((12, 17), "S24", (0.5, 1.0, 0.64))
    assert [c.cct for c in metadata.color.calibrations] == [6504.0, 2856.0]


def test_json_elsewhere(tmp_path, image):
    path = write(tmp_path, image)
    elsewhere = (tmp_path / "data" / "a.json").rename(tmp_path / "b.json")
    assert read_s24(path, elsewhere).image.shape == (12, 17, 3)
    with pytest.raises(RawError, match="expected its JSON at"):
        read_s24(path)
    with pytest.raises(RawError, match="with its JSON at"):
        load_raw(path)


def test_only_what_is_needed(tmp_path, image):
    raw = read_s24(write(tmp_path, image, {"cam_illum": [1, 1, 1], "ccm": np.eye(3).ravel().tolist()}))
    assert raw.metadata.orientation == 1
    assert raw.metadata.color.source == "none"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"cam_illum": None}, "cam_illum"),
        ({"cam_illum": [1, 2]}, "of shape"),
        ({"cam_illum": [1, 0, 1]}, "positive cam_illum"),
        ({"cam_illum": [1, float("nan"), 1]}, "finite numbers in cam_illum"),
        ({"ccm": [[1, 2, 3]]}, "of shape"),
        ({"ccm": "identity"}, "numbers in ccm"),
        ({"ccm": [[1, 2], [3]]}, "numbers in ccm"),
        ({"orientation": 9}, "orientation 1..8"),
    ],
)
def test_bad_values(tmp_path, image, change, message):
    with pytest.raises(RawError, match=message) as error:
        read_s24(write(tmp_path, image, GOOD | change))
    assert "a.json" in str(error.value)


@pytest.mark.parametrize("key", ["cam_illum", "ccm"])
def test_missing_key(tmp_path, image, key):
    with pytest.raises(RawError, match=f"the key {key}"):
        read_s24(write(tmp_path, image, {k: v for k, v in GOOD.items() if k != key}))


@pytest.mark.parametrize("text", ["", "{", "[1]"])
def test_no_json(tmp_path, image, text):
    path = write(tmp_path, image)
    (tmp_path / "data" / "a.json").write_text(text)
    with pytest.raises(RawError, match="expected"):
        read_s24(path)


def test_no_or_damaged_png(tmp_path, image):
    path = write(tmp_path, image)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(RawError, match="expected a whole PNG"):
        read_s24(path)
    with pytest.raises(RawError, match="no file of that name"):
        load_raw(tmp_path / "missing.png")


def test_the_door_knows_raw_files_by_content(tmp_path):
    path = write_synthetic_dng(tmp_path / "a.dng", size=(48, 64))
    assert load_raw(path).metadata.format == "DNG"
    assert load_raw(path.rename(tmp_path / "a.bin")).image.shape == (48, 64, 3)
