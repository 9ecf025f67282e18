"""What a rendering is made with: folders, style files' edits, the upright picture's coordinates, and the record."""

import dataclasses
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from modisp_jax import cli
from modisp_jax.cli_options import LIGHT_RANGES
from modisp_jax.io.exif import exif_from_raw, read_settings
from modisp_jax.io.images import apply_orientation, write_image
from modisp_jax.io.synthetic import write_synthetic_dng
from modisp_jax.io.white_balance import CCT_RANGE, TINT_RANGE
from modisp_jax.ops.geometry import rotate
from modisp_jax.pipeline import cropped
from modisp_jax.render_files import RenderOptions
from modisp_jax.render_settings import as_edits, edits_of, look_smoother, photos_of, record
from modisp_jax.types import Edits, Look
from tests.samples import photo

OPTIONS = RenderOptions(
    output=None,
    suffix=".jpg",
    params="default",
    style=None,
    edits={},
    white_balance="as-shot",
    awb=None,
    cct=None,
    tint=None,
    clipped_highlights="neutral",
    halo_fix=False,
    halo_iterations=80,
    operators="smooth",
    smooth_looks=None,
    smooth_frames=9,
    activations="float32",
    demosaic="libraw",
    quality=95,
    bits=None,
    orientation="apply",
    save_stages=None,
    embed_raw=False,
    raw_codec="curve",
    raw_quality=97,
    linearize="inverse",
    networks=None,
    stored_settings=True,
    overwrite=False,
)


def test_a_folder_stands_for_its_raw_photos(tmp_path):
    for name in ("b.DNG", "a.nef", "notes.txt", "c.jpg"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "d.dng").mkdir()
    other = Path("elsewhere.arw")
    assert photos_of([other, tmp_path]) == [other, tmp_path / "a.nef", tmp_path / "b.DNG"]
    with pytest.raises(ValueError, match=r"expected raw photos in this folder .*, found none"):
        photos_of([tmp_path / "d.dng"])


def test_given_edits_go_before_those_of_the_style_file(tmp_path):
    path = tmp_path / "mine.json"
    content = {"modisp_style": 1, "edits": {"contrast": 0.5, "shadows": 1, "crop": [0, 0, 0.5, 1]}}
    path.write_text(json.dumps(content))
    expected = {"contrast": 0.0, "shadows": 1.0, "crop": (0.0, 0.0, 0.5, 1.0), "gain": 0.5}
    assert edits_of(str(path), {"contrast": 0.0, "gain": 0.5}) == expected
    assert edits_of("vivid", {"gain": 0.5}) == edits_of(None, {"gain": 0.5}) == {"gain": 0.5}


@pytest.mark.parametrize(
    ("edits", "match"),
    [
        ({"clarity": 1}, "expected names of .*; got 'clarity'"),
        ({"contrast": 2}, "contrast: expected -1 to 1, got 2"),
        ({"contrast": "much"}, "contrast: expected 1 number, got"),
        ({"contrast": True}, "contrast: expected 1 number, got"),
        ({"crop": [0, 0, 1]}, "crop: expected 4 numbers, got"),
    ],
)
def test_bad_edits_of_a_style_file_are_refused(tmp_path, edits, match):
    path = tmp_path / "mine.json"
    path.write_text(json.dumps({"modisp_style": 1, "edits": edits}))
    with pytest.raises(ValueError, match=match) as error:
        edits_of(str(path), {})
    assert str(path) in str(error.value)


def test_no_edits_are_neutral_and_of_one_type():
    edits = as_edits({}, 6)
    assert edits == Edits()
    assert {np.asarray(leaf).dtype for leaf in jax.tree.leaves(edits)} == {np.dtype(np.float32)}


@pytest.mark.parametrize("code", range(1, 9))
def test_crop_and_rotation_refer_to_the_upright_picture(code):
    """Edit what is stored and turn it, or turn it and edit it: the same."""
    stored = photo(24, 32)
    upright = apply_orientation(stored, code)
    crop = (0.25, 0.5, 0.5, 0.25)
    edits = as_edits({"rotation": 10.0, "crop": crop}, code)
    turned = apply_orientation(np.asarray(rotate(stored, edits.rotation)), code)
    np.testing.assert_allclose(turned, rotate(np.ascontiguousarray(upright), 10.0), atol=2e-2)
    assert np.abs(turned - rotate(np.ascontiguousarray(upright), -10.0)).max() > 0.1
    np.testing.assert_array_equal(apply_orientation(cropped(stored, edits.crop), code), cropped(upright, crop))


def test_the_record_leaves_out_what_is_as_by_default(tmp_path):
    light = {"mode": "as-shot", "cct": 5000.0, "tint": 2.0}
    plain = record(OPTIONS, Path("photos/a.dng"), light)
    assert plain["raw"] == "a.dng"
    assert plain["white_balance"] == light
    assert not {"edits", "style", "mix", "halo_fix", "smooth_looks"} & set(plain)
    style = tmp_path / "own.safetensors"
    style.write_bytes(b"abc")
    options = dataclasses.replace(
        OPTIONS,
        style=f"{style}=0.5,vivid=1",
        edits={"contrast": 0.5, "gain": 1.0, "crop": (0, 0, 1, 0.5)},
        halo_fix=True,
        smooth_looks="window",
    )
    full = record(options, Path("a.dng"), light)
    assert full["edits"] == {"contrast": 0.5, "crop": (0, 0, 1, 0.5)}
    assert full["mix"] == [["own.safetensors sha256:ba7816bf8f01cfea", 0.5, {}], ["vivid", 1.0, {}]]
    assert (full["halo_fix"], full["smooth_looks"]) == (80, ["window", 9])


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif"])
def test_a_picture_says_how_it_was_made(tmp_path, capsys, suffix):
    raw = write_synthetic_dng(tmp_path / "a.dng", size=(32, 48))
    settings = record(dataclasses.replace(OPTIONS, edits={"contrast": 0.5}), raw, {"mode": "as-shot"})
    picture = tmp_path / f"made{suffix}"
    write_image(picture, photo(32, 48), exif=exif_from_raw(raw, settings=settings))
    assert read_settings(picture) == settings
    assert cli.main(["info", str(picture), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["kind"] == "picture made by modisp_jax"
    assert said["edits"] == {"contrast": 0.5}


def test_other_files_have_no_settings(tmp_path):
    write_image(tmp_path / "plain.jpg", photo(16, 16))
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8 no picture")
    assert read_settings(tmp_path / "plain.jpg") is None
    assert read_settings(tmp_path / "broken.jpg") is None
    assert read_settings(tmp_path / "missing.jpg") is None


def test_smoothing_remembers_the_frames_before():
    def look(gain, size=(4, 5)):
        return Look(*(jnp.full(shape, gain) for shape in ((), (3,), (*size, 5), (24, 24, 2), ())))

    window, exponential = look_smoother("window", 2), look_smoother("exponential", 2)
    assert [float(window(look(x)).gain) for x in (1.0, 3.0, 5.0)] == pytest.approx([1, 2, 4])
    decay = np.exp(-0.5)
    expected = [1, (3 + decay) / (1 + decay)]
    assert [float(exponential(look(x)).gain) for x in (1.0, 3.0)] == pytest.approx(expected)
    assert float(window(look(9.0, size=(8, 5))).gain) == 9.0  # another size begins anew
    assert look_smoother(None, 9) is None


def test_ranges_of_the_light_are_those_of_its_sliders():
    assert {"cct": CCT_RANGE, "tint": TINT_RANGE} == LIGHT_RANGES
