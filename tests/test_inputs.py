"""Photos of any kind rendered by the command line: raw in the JPEG, finished photos, and what a record may ask for."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

import modisp_jax as mj
from modisp_jax import cli
from modisp_jax.inputs import read_input, with_stored
from modisp_jax.io.exif import read_settings
from modisp_jax.io.images import read_image, write_image
from modisp_jax.io.synthetic import write_synthetic_dng
from modisp_jax.render_settings import record, set_light
from modisp_jax.style_file import StyleFile, write_style_file
from tests.paramisp.samples import QUICK, network, ship, write_networks
from tests.samples import photo
from tests.test_render_settings import OPTIONS

OPTIONS = dataclasses.replace(OPTIONS, white_balance=None)
PLACE = Path("folder/picture.jpg")
MADE = {"modisp_jax": "0.1.0", "raw": "photo.dng", "params": "neutral", "white_balance": {"mode": "as-shot"}}


def render(*arguments):
    return cli.main(["render", *map(str, arguments)])


def psnr(x, y):
    return -10 * np.log10(np.mean((np.asarray(x) - np.asarray(y)) ** 2) + 1e-12)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A raw photo, and two pictures of it that carry it."""
    folder = tmp_path_factory.mktemp("photos")
    write_synthetic_dng(folder / "photo.dng", size=(48, 64))
    common = ("--params", "neutral", "--embed-raw", "--quality", 100)
    edits = ("--contrast", 0.5, "--cct", 4000, "--rotation", 3)
    assert render(folder / "photo.dng", "-o", folder / "lossless.jpg", *common, "--raw-codec", "lossless", *edits) == 0
    assert render(folder / "photo.dng", "-o", folder / "curve.jpg", *common) == 0
    write_image(folder / "finished.png", photo(48, 64))
    return folder


def test_a_picture_that_carries_its_raw_is_rendered_as_it_was_made(folder, tmp_path):
    assert render(folder / "lossless.jpg", "-o", tmp_path / "again.jpg", "--quality", 100) == 0
    # The light is kept to six digits: a value may fall to the other side of a rounding.
    assert psnr(read_image(tmp_path / "again.jpg"), read_image(folder / "lossless.jpg")) > 60
    again, first = (read_settings(path) for path in (tmp_path / "again.jpg", folder / "lossless.jpg"))
    assert again == first
    assert first["raw"] == "photo.dng"
    assert first["edits"] == {"contrast": 0.5, "rotation": 3.0}
    assert first["white_balance"]["mode"] == "custom"


def test_what_is_given_counts_and_the_rest_is_as_stored(folder, tmp_path):
    given = ("--contrast", 0, "--shadows", 0.3, "--white-balance", "as-shot")
    assert render(folder / "lossless.jpg", "-o", tmp_path / "a.png", *given) == 0
    settings = read_settings(tmp_path / "a.png")
    assert settings["edits"] == {"shadows": 0.3, "rotation": 3.0}
    assert settings["white_balance"]["mode"] == "as-shot"
    assert settings["params"] == "neutral"


def test_stored_settings_can_be_left_aside(folder, tmp_path):
    common = ("--params", "neutral", "--no-stored-settings")
    assert render(folder / "lossless.jpg", "-o", tmp_path / "a.png", *common) == 0
    assert render(folder / "photo.dng", "-o", tmp_path / "b.png", "--params", "neutral") == 0
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), read_image(tmp_path / "b.png"))
    assert "edits" not in read_settings(tmp_path / "a.png")


def test_the_file_holds_the_raw_the_look_and_the_record(folder):
    kept, raw = mj.read_jpeg_with_raw(folder / "lossless.jpg"), mj.read_raw(folder / "photo.dng")
    np.testing.assert_array_equal(kept.raw.image, raw.image)
    np.testing.assert_array_equal(kept.raw.illuminant, raw.illuminant)  # as shot, whatever light it was rendered under
    assert kept.settings == read_settings(folder / "lossless.jpg")
    assert kept.look.ltm.shape == (12, 16, 5)
    assert mj.read_jpeg_with_raw(folder / "curve.jpg").codec == "curve"


def test_raws_are_carried_by_jpegs_alone(folder, tmp_path, capsys):
    assert render(folder / "photo.dng", "-o", tmp_path / "a.png", "--embed-raw") == 2
    assert "--embed-raw: expected a JPEG, got" in capsys.readouterr().err
    assert render(folder / "photo.dng", "-o", tmp_path / "a.jpg", "--embed-raw", "--raw-codec", "adapter") == 2
    assert "expected --networks too, a file with the network raw_adapter" in capsys.readouterr().err
    assert render(folder / "photo.dng", "-o", tmp_path / "a.jpg", "--raw-quality", 0) == 2
    assert "--raw-quality: expected 1 to 100, got 0" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_finished_photo_is_rendered_and_not_denoised(folder, tmp_path):
    common = ("--params", "neutral", "--linearize", "curve")
    assert render(folder / "finished.png", "-o", tmp_path / "a.png", *common) == 0
    settings = read_settings(tmp_path / "a.png")
    assert settings["linearized"] == "curve"
    assert settings["edits"] == {"denoise": 0.0}
    expected = mj.read_photo_as_raw(folder / "finished.png", method="curve")
    expected = mj.render(mj.load_params("neutral"), expected)
    np.testing.assert_allclose(read_image(tmp_path / "a.png"), expected, atol=0.51 / 255)
    assert render(folder / "finished.png", "-o", tmp_path / "b.png", *common, "--strength.denoise", 1) == 0
    assert "edits" not in read_settings(tmp_path / "b.png")


def test_a_linearised_photo_may_be_carried_too(folder, tmp_path):
    common = ("--params", "neutral", "--linearize", "curve", "--embed-raw", "--raw-quality", 100)
    assert render(folder / "finished.png", "-o", tmp_path / "a.jpg", *common) == 0
    assert render(tmp_path / "a.jpg", "-o", tmp_path / "b.jpg") == 0
    assert read_settings(tmp_path / "b.jpg")["edits"] == {"denoise": 0.0}
    assert psnr(read_image(tmp_path / "a.jpg"), read_image(tmp_path / "b.jpg")) > 36  # of noise, through three JPEGs


def test_a_finished_photo_by_paramisp(folder, tmp_path, monkeypatch, capsys):
    """By the networks that ship and by those of a file, which the record names."""
    common = ("--params", "neutral", "--linearize", "paramisp")
    ship(monkeypatch, tmp_path / "weights")
    assert render(folder / "finished.png", "-o", tmp_path / "a.png", *common) == 0
    settings = read_settings(tmp_path / "a.png")
    assert settings["linearized"] == "paramisp"
    assert "networks" not in settings
    params = {"inverse_isp": network("inverse_isp", QUICK)}
    expected = mj.read_photo_as_raw(folder / "finished.png", method="paramisp", params=params)
    expected = mj.render(mj.load_params("neutral"), expected)
    np.testing.assert_allclose(read_image(tmp_path / "a.png"), expected, atol=0.51 / 255)
    file = ("--networks", write_networks(tmp_path / "own.safetensors"))
    assert render(folder / "finished.png", "-o", tmp_path / "b.png", *common, *file) == 0
    np.testing.assert_array_equal(read_image(tmp_path / "b.png"), read_image(tmp_path / "a.png"))
    assert read_settings(tmp_path / "b.png")["networks"].startswith("own.safetensors sha256:")
    mj.save_params(tmp_path / "other.safetensors", mj.load_params("neutral"))
    file = ("--networks", tmp_path / "other.safetensors")
    assert render(folder / "finished.png", "-o", tmp_path / "c.png", *common, *file) == 2
    assert "expected the networks inverse_isp, got photofinish" in capsys.readouterr().err
    assert render(folder / "photo.dng", "-o", tmp_path / "d.png", *common, *file) == 0  # which is raw
    assert not {"linearized", "networks"} & set(read_settings(tmp_path / "d.png"))


def test_a_png_of_a_split_whose_json_is_missing_is_no_finished_photo(tmp_path):
    (tmp_path / "raw_images").mkdir()
    write_image(tmp_path / "raw_images/a.png", photo(16, 24), bits=16)
    with pytest.raises(ValueError, match=r"or a raw PNG with its JSON at .*; found none"):
        read_input(tmp_path / "raw_images/a.png", OPTIONS)
    with pytest.raises(ValueError, match=r"none\.jpg: expected a JPEG, .* picture"):
        read_input(tmp_path / "none.jpg", OPTIONS)


def test_a_record_survives_its_way_through_a_file():
    """Options, recorded and read back, are the same options."""
    options = dataclasses.replace(
        OPTIONS,
        params="base",
        style="vivid=0.7,mono=0.3",
        edits={"contrast": 0.3, "crop": (0.1, 0.2, 0.5, 0.5)},
        halo_fix=True,
        halo_iterations=40,
        operators="published",
        clipped_highlights="clip",
    )
    stored = json.loads(json.dumps(record(options, Path("a.dng"), MADE["white_balance"])))
    assert with_stored(OPTIONS, stored, PLACE) == options


def test_a_mix_stage_by_stage_survives_its_way_through_a_file(tmp_path):
    """Given in one word or by a style file, which is not looked for again."""
    mix = "vivid=0.7:chroma=0.2:gamma=0,mono=0.30000000000000004"
    stored = json.loads(json.dumps(record(dataclasses.replace(OPTIONS, style=mix), Path("a.dng"), {})))
    assert with_stored(OPTIONS, stored, PLACE).style == mix
    file = tmp_path / "mine.json"
    write_style_file(
        file, StyleFile((("vivid", 0.7, {"chroma": 0.2, "gamma": 0.0}), ("mono", 0.30000000000000004, {})))
    )
    stored = json.loads(json.dumps(record(dataclasses.replace(OPTIONS, style=str(file)), Path("a.dng"), {})))
    assert with_stored(OPTIONS, stored, PLACE).style == mix


def test_a_light_that_is_given_goes_before_the_stored_one():
    stored = MADE | {"white_balance": {"mode": "auto", "illuminant": [0.5, 1.0, 0.6]}}
    given = dataclasses.replace(OPTIONS, light=("picked", (0.4, 1.0, 0.7)))
    assert with_stored(given, stored, PLACE).light == given.light


def test_the_stored_light_is_set():
    stored = MADE | {"white_balance": {"mode": "auto", "illuminant": [0.5, 1.0, 0.6]}}
    options = with_stored(OPTIONS, stored, PLACE)
    raw = mj.Raw(np.full((16, 16, 3), 0.2, np.float32), np.float32([0.6, 1, 0.5]), np.eye(3, dtype=np.float32))
    raw, light, _ = set_light(raw, options)
    np.testing.assert_allclose(raw.illuminant / raw.illuminant[1], [0.5, 1.0, 0.6], rtol=1e-5)
    assert light["mode"] == "auto"
    assert with_stored(dataclasses.replace(OPTIONS, white_balance="auto"), stored, PLACE).light is None


def test_files_beside_the_picture_are_found_by_their_contents(tmp_path):
    mj.save_params(tmp_path / "own.safetensors", mj.load_params("neutral"))
    options = dataclasses.replace(OPTIONS, style=str(tmp_path / "own.safetensors"))
    stored = record(options, Path("a.dng"), MADE["white_balance"])
    assert with_stored(OPTIONS, stored, tmp_path / "a.jpg").style == options.style
    (tmp_path / "own.safetensors").write_bytes(b"another")
    with pytest.raises(ValueError, match=r"was made with own\.safetensors sha256.*, which neither ships nor lies"):
        with_stored(OPTIONS, stored, tmp_path / "a.jpg")
    assert with_stored(dataclasses.replace(OPTIONS, style="mono"), stored, tmp_path / "a.jpg").style == "mono"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"params": "/etc/passwd"}, "was made with /etc/passwd, which neither ships"),
        ({"params": "/etc/passwd sha256:"}, "was made with"),
        ({"style": ["a"]}, "was made with"),
        ({"style": "m.json", "mix": [["vivid"]]}, "expected the styles that were mixed"),
        ({"style": "m.json", "mix": [["vivid", 1, {"gain=0,/etc/passwd": 0}]]}, "expected weights of gain, gtm"),
        ({"style": "m.json", "mix": [["vivid", 1, {"gain": "0,/etc/passwd=1"}]]}, "finite numbers >= 0"),
        ({"style": "m.json", "mix": [["vivid", -1, {}]]}, "finite numbers >= 0"),
        ({"edits": {"contrast": 7}}, "edits: contrast: expected -1 to 1, got 7"),
        ({"edits": {"nothing": 0}}, "edits: expected names of"),
        ({"edits": [1]}, "edits: expected names and values"),
        ({"halo_fix": 10**9}, "expected iterations of the halo fix"),
        ({"halo_fix": True}, "expected iterations of the halo fix"),
        ({"white_balance": {"mode": "auto", "illuminant": [1, 0, 1]}}, "expected the light that was chosen"),
        ({"white_balance": {"mode": "auto"}}, "expected the light that was chosen"),
    ],
)
def test_nothing_in_a_record_is_believed_unseen(change, message):
    with pytest.raises(ValueError, match=message):
        with_stored(OPTIONS, MADE | change, PLACE)
