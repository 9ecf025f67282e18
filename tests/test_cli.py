"""The command line: what it writes, what it refuses, and that it says so in one line.

All pictures have one size and one set of networks, so that rendering is compiled once.
"""

import dataclasses
import errno
import functools
import inspect
import json
import os
import re
import shutil
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

import modisp_jax as mj
from modisp_jax import checkpoints, cli, contact_sheet, describe, render_files
from modisp_jax.cli_options import EditOptions, StrengthOptions
from modisp_jax.config import EDIT_RANGES
from modisp_jax.io.cube import read_cube
from modisp_jax.io.exif import read_settings
from modisp_jax.io.images import read_image, srgb_profile, write_image
from modisp_jax.io.synthetic import write_synthetic_dng
from modisp_jax.render_settings import as_edits
from modisp_jax.sheet import LINE as SHEET_LINE
from modisp_jax.sheet import MARGIN
from modisp_jax.types import Edits
from modisp_jax.white_balance import guard_white_balance
from tests.samples import TINY, photo
from tests.test_torch_import import nafnet_state
from tests.torch_files import write_checkpoint

SIZE = (48, 64)
COMMANDS = (
    *("render", "edit", "batch", "eval", "styles", "bench", "fit", "export-cube"),
    *("unrender", "hdr", "transfer", "blur", "info", "import-torch"),
)
NO_EDITS = as_edits({}, 1)
"""As the program passes them: Python's numbers would be compiled once more."""
LINE = re.compile(r"modisp: error: [^\n]+\n")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with files that no test changes: raw photos, a broken one, a checkpoint and parameters."""
    folder = tmp_path_factory.mktemp("made")
    write_synthetic_dng(folder / "a.dng", size=SIZE)
    write_synthetic_dng(folder / "turned.dng", size=SIZE, orientation=6)
    (folder / "bad.dng").write_bytes((folder / "a.dng").read_bytes()[:3000])
    params, state = nafnet_state(TINY.denoise)
    write_checkpoint(folder / "tiny.pth", state)
    mj.save_params(folder / "denoiser.safetensors", params, {"name": "tiny"})
    return folder


@pytest.fixture
def folder(tmp_path, made, monkeypatch):
    """A copy of it, where the program starts."""
    shutil.copytree(made, tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


load_params = functools.cache(mj.load_params)


@pytest.fixture(autouse=True)
def thrifty(monkeypatch, tmp_path):
    """One compiled program for pictures and stages (``render`` is by definition the last stage); sets loaded once.

    An installation without weights, so that the default is neutral.
    """

    def render(params, raw, *, edits=None, config=None, look=None):
        return mj.render_stages(params, raw, edits=edits, config=config, look=look).srgb

    assert inspect.signature(render) == inspect.signature(mj.render) == inspect.signature(mj.render_stages)
    assert render_files.render is mj.render
    monkeypatch.setattr(render_files, "render", render)
    monkeypatch.setattr(render_files, "load_params", load_params)
    monkeypatch.setattr(checkpoints, "WEIGHTS", tmp_path / "no weights")


@pytest.fixture
def styles(monkeypatch, tmp_path, made):
    """Weights of two styles and a denoiser, as an installation has them; every style's networks are neutral."""
    weights = tmp_path / "weights"
    weights.mkdir()
    for name, what in (("natural", "as cameras do it"), ("mono", "black and white")):
        mj.save_params(weights / f"style-{name}.safetensors", load_params("neutral"), {"what": what})
    shutil.copy(made / "denoiser.safetensors", weights / "denoise-lite.safetensors")
    monkeypatch.setattr(checkpoints, "WEIGHTS", weights)
    monkeypatch.setattr(render_files, "load_params", mj.load_params)
    return weights


@pytest.fixture
def plain(monkeypatch):
    """Replaces the networks by the raw photo itself, where the test is about files; lists what render was given."""
    calls = []

    def render(params, raw, *, edits, config, look):
        calls.append((params, raw, edits, config))
        return raw.image

    monkeypatch.setattr(render_files, "render", render)
    return calls


def run(capsys, *arguments):
    """Exit code, standard output and standard error of the program."""
    capsys.readouterr()
    try:
        code = cli.main([str(argument) for argument in arguments])
    except SystemExit as stop:
        code = stop.code
    out, err = capsys.readouterr()
    return code, out, err


def stages_of(photo):
    return mj.render_stages(load_params("neutral"), mj.read_raw(photo), edits=NO_EDITS)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def refused(capsys, folder, *arguments, match=""):
    """The program ends with code 2 and one line that matches, and leaves the folder as it was."""
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    code, out, err = run(capsys, *arguments)
    assert (code, out) == (2, "")
    assert LINE.fullmatch(err), err
    assert re.search(match, err), err
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_help_and_version_are_light():
    """No JAX, no decoder, nothing of the package but the command line, for any command's help."""
    code = f"""
import sys
from modisp_jax import cli
for arguments in [["--help"], ["-h"], ["--version"]] + [[c, h] for c in {COMMANDS} for h in ("-h", "--help")]:
    try:
        end = cli.main(arguments)
    except SystemExit as stop:
        end = stop.code
    assert not end, (arguments, end)
heavy = {{"jax", "jaxlib", "flax", "numba", "numpy", "rawpy", "PIL", "tifffile", "imagecodecs", "safetensors", "torch"}}
print("imported:", sorted(heavy & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert done.stdout.endswith("imported: []\n")
    assert done.stdout.count("usage: modisp") == 2 + 2 * len(COMMANDS)
    assert f"modisp {mj.__version__}\n" in done.stdout


def test_commands_are_those_listed_here():
    assert tuple(cli.COMMANDS) == COMMANDS


def test_run_as_a_module():
    done = subprocess.run([sys.executable, "-m", "modisp_jax.cli", "--version"], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"modisp {mj.__version__}\n", "")


@pytest.mark.parametrize("arguments", [[], ["nonsense"], ["render", "--quality", "x"], ["render", "--nonsense"]])
def test_wrong_usage(capsys, arguments):
    code, out, err = run(capsys, *arguments)
    assert (code, out) == (2, "")
    assert err


def test_every_edit_has_an_option_and_a_range():
    options = [field.name for group in (EditOptions, StrengthOptions) for field in dataclasses.fields(group)]
    assert sorted(options) == sorted(field.name for field in dataclasses.fields(Edits))
    assert sorted(EDIT_RANGES) == sorted(name for name in options if name != "crop")
    assert all(low <= getattr(Edits(), name) <= high for name, (low, high) in EDIT_RANGES.items())


def test_every_option_has_its_help(capsys):
    _, out, _ = run(capsys, "render", "--help")
    for field in dataclasses.fields(StrengthOptions):
        assert f"--strength.{field.name.replace('_', '-')} " in out
    for option in ("-o PATH", "--params", "--style", "--exposure", "--save-stages", "--overwrite", "--orientation"):
        assert option in out


def test_a_photo_becomes_a_picture_beside_it(capsys, folder):
    code, out, err = run(capsys, "render", "a.dng", "--params", "neutral")
    assert (code, out) == (0, "")
    assert "[1/1] a.dng, 64 x 48 pixels" in err
    assert "a.jpg" in err.splitlines()[-1]
    srgb = stages_of("a.dng").srgb
    picture = read_image("a.jpg")
    assert picture.shape == (*SIZE, 3)
    assert np.abs(picture - srgb).mean() < 0.02  # a JPEG of little but noise


def test_png_and_tiff_hold_the_rendering_exactly(capsys, folder):
    srgb = np.asarray(stages_of("a.dng").srgb)
    for name, options, top in (
        ("a.png", [], 255),
        ("b.png", ["--bits", 16], 65535),
        ("c.tif", [], 65535),
        ("d.tiff", ["--bits", 8], 255),
    ):
        assert run(capsys, "render", "a.dng", "-o", name, *options)[0] == 0
        np.testing.assert_allclose(read_image(name), srgb, atol=0.51 / top, err_msg=name)


def test_without_a_photo_the_scene_is_rendered(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(render_files, "write_synthetic_dng", functools.partial(write_synthetic_dng, size=SIZE))
    monkeypatch.chdir(tmp_path)
    code, _, err = run(capsys, "render")
    assert code == 0
    assert "no photo given" in err
    assert names(tmp_path) == ["modisp_scene.dng", "modisp_scene.jpg"]
    assert read_image("modisp_scene.jpg").shape == (*SIZE, 3)
    refused(capsys, tmp_path, "render", match="modisp_scene.jpg exists; --overwrite")
    # The scene is kept as it is, and is a photo like any other.
    (tmp_path / "modisp_scene.jpg").unlink()
    before = (tmp_path / "modisp_scene.dng").stat().st_mtime_ns
    assert run(capsys, "render")[0] == 0
    assert (tmp_path / "modisp_scene.dng").stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ("output", "picture"),
    [("b.png", "b.png"), ("new", "new/modisp_scene.jpg"), ("new/deep", "new/deep/modisp_scene.jpg")],
)
def test_the_scene_lies_beside_the_picture(capsys, tmp_path, monkeypatch, plain, output, picture):
    monkeypatch.setattr(render_files, "write_synthetic_dng", functools.partial(write_synthetic_dng, size=SIZE))
    monkeypatch.chdir(tmp_path)
    assert run(capsys, "render", "-o", output)[0] == 0
    assert (tmp_path / picture).is_file()
    assert ((tmp_path / picture).parent / "modisp_scene.dng").is_file()


@pytest.mark.parametrize("output", ["b.xyz", "missing/b.jpg"])
def test_no_scene_is_left_where_it_cannot_be_rendered(capsys, tmp_path, monkeypatch, output):
    monkeypatch.chdir(tmp_path)
    refused(capsys, tmp_path, "render", "-o", output, match="--output")
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["-o", "b.png"], ["b.png"]),
        (["--output", "b.JPG"], ["b.JPG"]),
        (["-o", "new"], ["new/a.jpg"]),
        (["-o", "new/deep"], ["new/deep/a.jpg"]),
        (["-o", "v1.2"], ["v1.2/a.jpg"]),
        (["--format", "png"], ["a.png"]),
        (["--format", "tiff", "-o", "new"], ["new/a.tif"]),
    ],
)
def test_where_the_picture_goes(capsys, folder, plain, options, expected):
    (folder / "v1.2").mkdir()
    assert run(capsys, "render", "a.dng", *options)[0] == 0
    for name in expected:
        assert read_image(folder / name).shape == (*SIZE, 3)


def test_many_photos(capsys, folder, plain):
    code, _, err = run(capsys, "render", "a.dng", "turned.dng", "-o", "out")
    assert code == 0
    assert names(folder / "out") == ["a.jpg", "turned.jpg"]
    assert "[2/2] turned.dng" in err


def test_one_bad_photo_among_good_ones(capsys, folder, plain):
    code, _, err = run(capsys, "render", "a.dng", "bad.dng", "missing.dng", "turned.dng")
    assert code == 2
    errors = [line for line in err.splitlines() if line.startswith("modisp: error:")]
    assert len(errors) == 2
    assert "bad.dng" in errors[0]
    assert "missing.dng: expected a camera raw file, found no file of that name" in errors[1]
    assert err.endswith("2 of 4 photos failed\n")
    assert {"a.jpg", "turned.jpg"} <= set(names(folder))
    assert not {"bad.jpg", "missing.jpg"} & set(names(folder))


def test_existing_pictures(capsys, folder, plain, monkeypatch):
    (folder / "a.jpg").write_text("mine")
    with monkeypatch.context() as patch:
        patch.setattr(render_files, "read_input", None)  # it is refused before the photo is read
        refused(capsys, folder, "render", "a.dng", match="a.jpg exists; --overwrite replaces it")
        refused(capsys, folder, "render", "a.dng", "-o", folder, match="a.jpg exists; --overwrite replaces it")
    assert run(capsys, "render", "a.dng", "--overwrite")[0] == 0
    assert read_image("a.jpg").shape == (*SIZE, 3)
    # A name that the user typed is meant.
    assert run(capsys, "render", "a.dng", "-o", "a.jpg")[0] == 0


def s24(folder):
    write_image(folder / "s.png", photo(*SIZE), bits=16)
    data = {"cam_illum": [0.5, 1, 0.64], "ccm": [[1.7, -0.5, -0.2], [-0.3, 1.6, -0.3], [0, -0.6, 1.6]]}
    (folder / "s.json").write_text(json.dumps(data))


@pytest.mark.parametrize("options", [["--format", "png"], ["-o", "s.png"], ["-o", "./s.png"], ["-o", "link.png"]])
@pytest.mark.parametrize("overwrite", [[], ["--overwrite"]])
def test_a_photo_is_never_overwritten(capsys, folder, options, overwrite):
    s24(folder)
    (folder / "link.png").symlink_to(folder / "s.png")
    match = "is itself one of the photos to render"
    refused(capsys, folder, "render", "s.png", *options, *overwrite, match=match)
    if options[0] == "--format":
        refused(capsys, folder, "render", "s.png", "a.dng", *options, *overwrite, match=match)


def test_an_s24_photo(capsys, folder):
    s24(folder)
    assert run(capsys, "render", "s.png")[0] == 0
    assert read_image("s.jpg").shape == (*SIZE, 3)


def test_two_photos_of_one_name(capsys, folder):
    (folder / "b").mkdir()
    shutil.copy(folder / "a.dng", folder / "b" / "a.dng")
    match = "a.dng and a.dng would both become .*a.jpg"
    refused(capsys, folder, "render", "a.dng", "b/a.dng", "-o", "out", match=match)
    refused(capsys, folder, "render", "a.dng", "a.dng", match=match)
    # Beside each photo there is room, but not in one folder of stages.
    refused(capsys, folder, "render", "a.dng", "b/a.dng", "--save-stages", "st", match="would both become .*st/a")


@pytest.mark.parametrize(
    ("options", "match"),
    [
        (["--exposure", 9], "--exposure: expected -4 to 4, got 9.0"),
        (["--exposure", "nan"], "--exposure: expected -4 to 4, got nan"),
        (["--quality", 0], "--quality: expected 1 to 100, got 0"),
        (["--quality", 101], "--quality: expected 1 to 100, got 101"),
        (["--contrast", 2], "--contrast: expected -1 to 1, got 2.0"),
        (["--sharpening", -1], "--sharpening: expected 0 to 50, got -1.0"),
        (["--cct", 1000], "--cct: expected 1800 to 10000, got 1000.0"),
        (["--tint", "nan"], "--tint: expected -100 to 100, got nan"),
        (["--illuminant", 1, 0, 1], "--illuminant: expected three positive numbers"),
        (["--illuminant", 1, 1, 1, "--cct", 5000], "--illuminant: expected no --white-balance, --cct or --tint"),
        (["--halo-iterations", 0], "--halo-iterations: expected at least 1, got 0"),
        (["--crop", 0, 0, 2, 1], "crop: expected"),
        (["--strength.gain", 2], "--strength.gain: expected 0 to 1, got 2.0"),
        (["--strength.rgb-lut", -0.1], "--strength.rgb-lut: expected 0 to 1, got -0.1"),
        (["--strength.gamma", "nan"], "--strength.gamma: expected 0 to 1, got nan"),
        (
            ["--params", "nosuch"],
            r"nosuch: expected a parameter file or .* \(default, lite, base, neutral\), got no such",
        ),
        (["--params", "a.dng"], "a.dng: not a readable safetensors file"),
        (["--params", "denoiser.safetensors"], "--params denoiser.safetensors: expected a set with photofinishing"),
        (["--style", "denoiser.safetensors"], "style denoiser.safetensors: expected a set with photofinishing"),
        (
            ["--style", "nosuch"],
            r"nosuch: expected a style \(natural, vivid, warm, .* or a parameter file, got no such",
        ),
        (
            ["--style", "mono"],
            "style-mono.safetensors: expected weights that come with .*, but this installation lacks",
        ),
        (["--style", "all"], "--style all: this installation has no styles"),
        (["--style", "all", "-o", "b.jpg"], "--output: expected a folder for pictures in all styles, got the file"),
        (["-o", "b.xyz"], "--output b.xyz: expected one of .jpg"),
        (["-o", "missing/b.jpg"], "--output missing/b.jpg: the folder missing does not exist"),
        (["-o", "bad.dng/new"], "bad.dng"),
        (["--bits", 16], "--bits 16: expected a PNG or TIFF, got a.jpg"),
        (["--save-stages", "bad.dng"], "bad.dng: File exists"),
        (["b.dng", "-o", "b.jpg"], "--output: expected a folder for 2 photos, got the file name b.jpg"),
    ],
)
def test_bad_options(capsys, folder, options, match):
    refused(capsys, folder, "render", "a.dng", *options, match=match)


@pytest.mark.parametrize(
    ("photo", "match"),
    [
        ("bad.dng", "bad.dng: "),
        ("missing.dng", "found no file of that name"),
        ("denoiser.safetensors", "expected a camera raw file"),
    ],
)
def test_bad_photos(capsys, folder, photo, match):
    refused(capsys, folder, "render", photo, match=match)


def test_a_finished_picture_is_not_replaced_by_its_rendering(capsys, folder):
    write_image(folder / "b.jpg", photo(*SIZE))
    refused(capsys, folder, "render", "b.jpg", match="itself one of the photos")
    (folder / "c.jpg").write_bytes(b"\xff\xd8\xff nothing more")
    refused(capsys, folder, "render", "c.jpg", "--format", "png", match="c.jpg: expected a whole JPEG picture, got")


def test_a_look_is_exported_as_a_cube(capsys, folder):
    code, out, err = run(capsys, "export-cube", "a.dng", "-o", "look.cube", "--params", "neutral", "--nodes", 5)
    assert (code, err) == (0, "")
    assert "look.cube: 5 nodes a side" in out
    cube = read_cube("look.cube")
    stages = stages_of("a.dng")
    expected = mj.global_lut(stages.look, size=5, scene=stages.linear_small)
    np.testing.assert_allclose(cube.table, expected, atol=1e-6)
    refused(capsys, folder, "export-cube", "a.dng", "-o", "look.txt", match="expected a name ending in .cube")
    refused(capsys, folder, "export-cube", "bad.dng", "-o", "bad.cube", match="bad.dng: ")
    refused(capsys, folder, "export-cube", "a.dng", "-o", "no/look.cube", match="the folder no does not exist")
    refused(capsys, folder, "export-cube", "a.dng", "-o", "look.cube", "--nodes", 1, match="--nodes: expected 2 to 256")


def test_a_folder_is_rendered_in_order_of_name(capsys, folder, plain):
    (folder / "frames").mkdir()
    for name in ("2.dng", "1.dng"):
        shutil.copy(folder / "a.dng", folder / "frames" / name)
    (folder / "frames" / "notes.txt").write_text("no photo")
    code, _, err = run(capsys, "render", "frames", "-o", "out", "--smooth-looks", "window")
    assert code == 0
    assert names(folder / "out") == ["1.jpg", "2.jpg"]
    assert [line.split(",")[0] for line in err.splitlines() if "pixels" in line] == [
        "[1/2] frames/1.dng",
        "[2/2] frames/2.dng",
    ]
    (folder / "empty").mkdir()
    refused(capsys, folder, "render", "empty", match="empty: expected raw photos in this folder")
    refused(capsys, folder, "render", "frames", "-o", "one.jpg", match="expected a folder for")


def test_the_light_is_set_and_recorded(capsys, folder, plain):
    assert run(capsys, "render", "a.dng", "-o", "made.jpg", "--cct", 4000, "--tint", -5)[0] == 0
    ((_, raw, _, _),) = plain
    np.testing.assert_allclose(raw.illuminant, mj.set_white_balance(mj.read_raw("a.dng"), cct=4000, tint=-5).illuminant)
    light = read_settings("made.jpg")["white_balance"]
    assert (light["mode"], light["cct"], light["tint"]) == ("custom", 4000, -5.0)
    assert run(capsys, "render", "a.dng", "-o", "auto.png", "--white-balance", "auto")[0] == 0
    np.testing.assert_allclose(plain[1][1].illuminant, mj.auto_white_balance(mj.read_raw("a.dng")).illuminant)
    assert read_settings("auto.png")["white_balance"]["mode"] == "auto"
    assert run(capsys, "render", "a.dng", "-o", "shot.png")[0] == 0
    np.testing.assert_array_equal(plain[2][1].illuminant, mj.read_raw("a.dng").illuminant)


def test_the_light_may_be_estimated_by_networks(capsys, folder, plain):
    params = mj.init_params(jax.random.key(0), mj.PipelineConfig(None, None, None, awb=("cross_camera", "preference")))
    mj.save_params("awb.safetensors", params)
    photo, one = ("render", "a.dng", "--overwrite"), mj.read_raw("a.dng")
    assert run(capsys, *photo, "--white-balance", "cross-camera", "--awb", "awb.safetensors")[0] == 0
    # Untrained, the network says (1, 1, 1), which for this camera is a plausible light or pulled to one.
    expected = guard_white_balance(one, mj.cross_camera_illuminant(params["awb"]["cross_camera"], one.image))
    np.testing.assert_allclose(plain[0][1].illuminant, expected.illuminant, rtol=1e-5)
    assert read_settings("a.jpg")["white_balance"]["mode"] == "cross-camera"
    assert run(capsys, *photo, "--white-balance", "preferred", "--awb", "awb.safetensors")[0] == 0
    refused(capsys, folder, *photo, "--white-balance", "preferred", match="expected --awb too")
    mj.save_params("light.safetensors", {"awb": {"cross_camera": params["awb"]["cross_camera"]}})
    options = ("--white-balance", "preferred", "--awb", "light.safetensors")
    refused(capsys, folder, *photo, *options, match="expected the network preference, got cross_camera")


def test_a_style_file_brings_edits_and_a_mix(capsys, folder, plain, styles):
    mix = [{"style": "natural", "weight": 1}, {"style": "mono", "weight": 3}]
    (folder / "mine.json").write_text(
        json.dumps({"modisp_style": 1, "mix": mix, "edits": {"contrast": 0.5, "shadows": 1}})
    )
    assert run(capsys, "render", "a.dng", "-o", "made.jpg", "--style", "mine.json", "--shadows", "-.5")[0] == 0
    ((params, _, edits, _),) = plain
    np.testing.assert_array_equal(params["photofinish"]["weights"]["gain"], [1, 3])
    assert edits == Edits(contrast=0.5, shadows=-0.5)
    settings = read_settings("made.jpg")
    assert settings["edits"] == {"contrast": 0.5, "shadows": -0.5}
    assert settings["mix"] == [["natural", 1.0, {}], ["mono", 3.0, {}]]
    assert run(capsys, "render", "a.dng", "-o", "made.jpg", "--style", "natural=.5,mono=.5")[0] == 0
    np.testing.assert_array_equal(plain[1][0]["photofinish"]["weights"]["gain"], [0.5, 0.5])


def test_crop_and_rotation_are_those_of_the_upright_picture(capsys, folder, plain):
    """turned.dng is stored on its side (orientation 6: a quarter clockwise makes it upright)."""
    assert run(capsys, "render", "turned.dng", "--rotation", 3, "--crop", 0, 0.25, 1, 0.5, "--overwrite")[0] == 0
    ((_, _, edits, _),) = plain
    assert edits == Edits(rotation=3.0, crop=(0.25, 0.0, 0.5, 1.0))


def test_edits_and_options_arrive(capsys, folder, plain):
    options = ["--exposure", "-1.5", "--strength.rgb-lut", ".25", "--strength.denoise", "0", "--halo-fix"]
    assert run(capsys, "render", "a.dng", *options, "--clipped-highlights", "clip", "--demosaic", "malvar")[0] == 0
    ((_, raw, edits, config),) = plain
    assert edits == Edits(exposure=-1.5, rgb_lut=0.25, denoise=0.0)
    assert all(value.dtype == np.float32 for value in jax.tree.leaves(edits))  # not a recompilation for each value
    assert config == mj.RenderConfig("clip", mj.HaloFixConfig())
    np.testing.assert_array_equal(raw.image, mj.read_raw("a.dng", demosaic="malvar").image)


def test_exposure_makes_it_brighter(capsys, folder):
    for name, exposure in (("dark.png", -2), ("bright.png", 1)):
        assert run(capsys, "render", "a.dng", "-o", name, "--exposure", exposure)[0] == 0
    assert read_image("bright.png").mean() > read_image("dark.png").mean() + 0.1


def test_a_style_replaces_photofinishing_and_keeps_the_denoiser(capsys, folder, plain):
    assert run(capsys, "render", "a.dng", "--params", "denoiser.safetensors", "--style", "neutral")[0] == 0
    ((params, *_),) = plain
    assert sorted(params) == ["denoise", "photofinish"]


def test_a_style_by_name(capsys, folder, styles, plain):
    assert run(capsys, "render", "a.dng", "--style", "mono")[0] == 0
    assert run(capsys, "render", "a.dng", "--style", "natural", "--params", "neutral", "--overwrite")[0] == 0
    assert [sorted(params) for params, *_ in plain] == [["denoise", "photofinish"], ["photofinish"]]


def test_every_style(capsys, folder, styles, monkeypatch):
    calls = []

    def render_stages(params, raw, *, edits, config, look):
        calls.append(params)
        return mj.render_stages(load_params("neutral"), raw, edits=edits, config=config, look=look)

    monkeypatch.setattr(render_files, "render_stages", render_stages)
    before = names(folder)
    code, _, err = run(capsys, "render", "a.dng", "turned.dng", "--style", "all", "--save-stages", "st")
    assert code == 0
    expected = [f"{photo}_{style}" for photo in ("a", "turned") for style in ("mono", "natural")]
    assert set(names(folder)) - set(before) == {*(f"{name}.jpg" for name in expected), "st"}
    assert names(folder / "st") == expected
    assert len(calls) == 4
    assert "[2/2] turned_natural.jpg" in err
    match = "a_natural.jpg exists; --overwrite replaces it"
    refused(capsys, folder, "render", "a.dng", "--style", "all", match=match)


def test_all_styles_never_overwrite_a_photo(capsys, folder, styles):
    s24(folder)
    (folder / "s.png").rename(folder / "s_mono.png")
    (folder / "s.dng").write_bytes((folder / "a.dng").read_bytes())
    options = ["--style", "all", "--format", "png", "--overwrite"]
    match = "s_mono.png is itself one of the photos to render"
    refused(capsys, folder, "render", "s.dng", "s_mono.png", *options, match=match)


def test_quality(capsys, folder, plain):
    for quality in (10, 100):
        assert run(capsys, "render", "a.dng", "-o", f"{quality}.jpg", "--quality", quality)[0] == 0
    assert (folder / "10.jpg").stat().st_size < 0.5 * (folder / "100.jpg").stat().st_size


@pytest.mark.parametrize("name", ["b.jpg", "b.png", "b.tif"])
def test_exif_and_profile_are_kept(capsys, folder, plain, name):
    assert run(capsys, "render", "a.dng", "-o", name)[0] == 0
    with Image.open(name) as picture:
        assert picture.info["icc_profile"] == srgb_profile()
        exif = picture.getexif()
        camera = exif.get_ifd(0x8769)
    assert (exif[0x010F], exif[0x0110], exif[0x0131]) == ("modisp_jax", "synthetic camera", "modisp_jax")
    assert (float(camera[0x829A]), camera[0x8827]) == (pytest.approx(1 / 500), 400)


def test_orientation(capsys, folder, plain):
    height, width = SIZE
    for name, option, size, tag in (
        ("default.jpg", [], (height, width), 1),
        ("apply.jpg", ["--orientation", "apply"], (height, width), 1),
        ("keep.jpg", ["--orientation", "keep"], (width, height), 6),
    ):
        assert run(capsys, "render", "turned.dng", "-o", name, *option)[0] == 0
        with Image.open(name) as picture:
            assert (picture.size, picture.getexif()[0x0112]) == (size, tag), name


IMAGES = ("exposed", "denoised", "linear", "linear_small", "gained", "global_tone", "local_tone", "chroma")
IMAGES += ("srgb_small", "upsampled", "srgb")


def test_save_stages(capsys, folder):
    (folder / "st" / "turned").mkdir(parents=True)
    (folder / "st" / "turned" / "09_rgb_lut.png").write_text("of an earlier rendering")
    (folder / "st" / "turned" / "ltm_w_from_3_to_4.png").write_text("of an earlier rendering")
    (folder / "st" / "turned" / "notes.txt").write_text("mine")
    assert run(capsys, "render", "turned.dng", "-o", "b.png", "--bits", 16, "--save-stages", "st")[0] == 0
    found = names(folder / "st" / "turned")
    pictures = [f"{number:02d}_{name}.png" for number, name in enumerate(IMAGES, 1)]
    maps = [name for name in found if name.startswith("ltm_")]
    assert [re.match(r"ltm_(.)_from_\S+_to_\S+\.png", name)[1] for name in maps] == list("abcgw")
    assert found == sorted([*pictures, *maps, "look.npz", "notes.txt"])

    stages = stages_of("turned.dng")
    with np.load(folder / "st" / "turned" / "look.npz") as look:
        assert set(look) == {name for name, value in vars(stages.look).items() if value is not None}
        for name in look:
            np.testing.assert_array_equal(look[name], getattr(stages.look, name), strict=True)
    # Upright and in 16 bits, as the picture is; images in linear light encoded.
    final = read_image(folder / "st" / "turned" / pictures[-1])
    np.testing.assert_allclose(final, np.rot90(stages.srgb, -1), atol=0.51 / 65535)
    np.testing.assert_array_equal(final, read_image("b.png"))
    encoded = read_image(folder / "st" / "turned" / "03_linear.png")
    linear = np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
    np.testing.assert_allclose(linear, np.rot90(jnp.clip(stages.linear, 0, 1), -1), atol=1e-4)

    assert run(capsys, "render", "turned.dng", "-o", "b.png", "--save-stages", "kept", "--orientation", "keep")[0] == 0
    kept = read_image(folder / "kept" / "turned" / pictures[-1])
    np.testing.assert_array_equal(np.rot90(kept, -1), final)


def test_an_interrupt(capsys, folder, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(render_files, "render", interrupted)
    before = names(folder)
    code, _, err = run(capsys, "render", "a.dng", "turned.dng")
    assert code == 130
    assert err.endswith("modisp: interrupted\n")
    assert names(folder) == before


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), "a.dng: No space left on device"),
        (PermissionError(errno.EACCES, "Permission denied", "x.npz"), "a.dng: x.npz: Permission denied"),
        (OSError("no\nreason"), "a.dng: no reason"),
        (MemoryError("of 8 GiB"), "a.dng: out of memory of 8 GiB"),
        (ValueError(""), "a.dng: ValueError"),
    ],
)
def test_what_goes_wrong_while_rendering_is_one_line(capsys, folder, plain, monkeypatch, error, message):
    def fails(*_, **__):
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(render_files, "render", fails)
        code, _, err = run(capsys, "render", "a.dng")
    assert code == 2
    assert LINE.findall(err) == [f"modisp: error: {message}\n"]
    assert "a.jpg" not in names(folder)


def test_a_full_disk(capsys, folder, plain, monkeypatch):
    (folder / "b.jpg").write_text("mine")

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    before = names(folder)
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        for options in ([], ["-o", "b.jpg"]):
            code, _, err = run(capsys, "render", "a.dng", *options)
            assert code == 2
            (line,) = LINE.findall(err)
            assert line.endswith(".jpg: cannot be written: No space left on device\n")
    assert names(folder) == before
    assert (folder / "b.jpg").read_text() == "mine"


def test_a_folder_that_cannot_be_written_to(capsys, folder, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    monkeypatch.setattr(render_files, "read_input", None)  # it is refused before the photo is read
    refused(capsys, folder, "render", "a.dng", match="a.jpg: expected a folder that can be written to")


def test_errors_outside_of_a_photo(capsys, folder, monkeypatch):
    for error, message in (
        (OSError(errno.EACCES, "Permission denied", "x"), "modisp: error: x: Permission denied\n"),
        (OSError("no reason"), "modisp: error: no reason\n"),
    ):

        def fails(*_, error=error, **__):
            raise error

        monkeypatch.setattr(render_files, "render_photos", fails)
        assert run(capsys, "render", "a.dng") == (2, "", message)


def test_info_in_words(capsys, folder):
    code, out, err = run(capsys, "info", "a.dng", "denoiser.safetensors", "tiny.pth")
    assert (code, err) == (0, "")
    assert max(len(line) for line in out.splitlines()) < 120
    for line in ("a.dng", "  kind: raw photo", "  size: 48, 64", "  iso: 400", "  color:", "    calibrations 2:"):
        assert line in out.splitlines()
    assert "      color_matrix:\n        0.7, -0.2, -0.06\n        -0.4, 1.2, 0.22\n" in out
    assert "  kind: modisp_jax parameters\n" in out
    assert "    name: tiny\n" in out
    assert "  kind: PyTorch checkpoint: NAFNet (denoiser or enhancement)\n" in out
    assert not re.search(r"[\[\]{}]", out.replace("NAFNetConfig", ""))


def test_info_as_json(capsys, folder):
    code, out, err = run(capsys, "info", "--json", "a.dng", "denoiser.safetensors", "tiny.pth")
    assert (code, err) == (0, "")
    raw, params, checkpoint = (json.loads(line) for line in out.splitlines())
    assert (raw["file"], raw["kind"], raw["size"]) == ("a.dng", "raw photo", list(SIZE))
    assert raw["color"]["calibrations"][0]["cct"] == 2856
    assert params["card"] == {"name": "tiny"}
    assert params["parameters"] == mj.count_params(load_params("denoiser.safetensors")) == checkpoint["numbers"]


def test_info_of_bad_files(capsys, folder):
    code, out, err = run(capsys, "info", "bad.dng", "a.dng", "missing.safetensors", "missing.pth", "missing.dng", ".")
    assert code == 2
    assert out.startswith("a.dng\n")
    assert len(LINE.findall(err)) == len(err.splitlines()) == 5
    refused(capsys, folder, "info", match="expected at least one file")


def test_import_torch(capsys, folder):
    code, out, err = run(capsys, "import-torch", "--denoiser", "tiny.pth", "-o", "b.safetensors", "--name", "Mine")
    assert (code, err) == (0, "")
    assert "card in b.md" in out
    expected = mj.load_params("denoiser.safetensors")["denoise"]
    got = mj.load_params("b.safetensors")["denoise"]
    np.testing.assert_array_equal(got["in_conv"]["kernel"], expected["in_conv"]["kernel"])
    card = mj.read_card("b.safetensors")
    assert card["name"] == "Mine"
    assert card["license"] == "CC BY-NC 4.0 (Samsung Electronics, 2025)"
    assert card["sources"]["denoiser"]["sha256"] == describe._sha256("tiny.pth")
    page = (folder / "b.md").read_text(encoding="utf-8")
    assert page.startswith("# Mine\n")
    assert describe._sha256("b.safetensors") in page
    assert card["sources"]["denoiser"]["sha256"] in page
    assert "CC BY-NC 4.0" in page


@pytest.mark.parametrize(
    ("options", "match"),
    [
        (["--denoiser", "tiny.pth", "-o", "b.npz"], "--output b.npz: expected a name that ends in .safetensors"),
        (["--denoiser", "tiny.pth", "-o", "b"], "--output b: expected a name that ends in .safetensors"),
        (["--denoiser", "missing.pth", "-o", "b.safetensors"], "missing.pth: .* no such file"),
        (["--denoiser", "a.dng", "-o", "b.safetensors"], "a.dng: .* another kind"),
        (["--photofinishing", "tiny.pth", "-o", "b.safetensors"], "expected a photofinishing checkpoint"),
        (["-o", "b.safetensors"], "expected at least one checkpoint"),
        (["--denoiser", "tiny.pth", "-o", "missing/b.safetensors"], "expected a folder that can be written to"),
    ],
)
def test_import_torch_refuses(capsys, folder, options, match):
    refused(capsys, folder, "import-torch", *options, match=match)


@pytest.mark.reference
def test_damaged_raw_files_cost_one_line_each(capfd, shared, tmp_path):
    paths = sorted((shared / "data" / "bad_raw").iterdir())
    assert len(paths) >= 4
    for path in paths:
        assert cli.main(["render", str(path), "-o", str(tmp_path / "b.jpg")]) == 2
        out, err = capfd.readouterr()
        assert out == ""
        assert LINE.fullmatch(err), err
        assert path.name in err
        assert names(tmp_path) == []


@pytest.mark.reference
@pytest.mark.parametrize("name", ["awb/model-c5_single_encoder_neutral.pth", "io/cie_xyz_net.pth"])
def test_published_checkpoints_that_are_not_imported(capsys, shared, tmp_path, name):
    path = shared / "reference" / "weights" / name
    refused(capsys, tmp_path, "import-torch", "--denoiser", path, "-o", tmp_path / "b.safetensors", match="NAFNet")


def test_styles_in_words(capsys, styles):
    assert run(capsys, "styles") == (0, "natural  as cameras do it\nmono     black and white\n", "")


def test_no_styles(capsys, folder):
    refused(capsys, folder, "styles", match="this installation has no styles; ")


@pytest.fixture
def small(monkeypatch):
    """Thumbnails of the raw photo itself, a quarter of its size; lists what render was given."""
    calls = []

    def render(params, raw):
        calls.append((params, raw))
        return raw.image

    monkeypatch.setattr(contact_sheet, "render", render)
    monkeypatch.setattr(contact_sheet, "SIDE", SIZE[1] // 4)
    return calls


@pytest.mark.parametrize(
    ("path", "written"), [("sheet.png", "sheet.png"), ("new", "new/styles.jpg"), ("there", "there/styles.jpg")]
)
def test_thumbnails(capsys, folder, styles, small, path, written):
    (folder / "there").mkdir()
    code, out, err = run(capsys, "styles", "--photo", "turned.dng", "--thumbnails", path)
    assert (code, len(out.splitlines()), err) == (0, 2, f"{written}: 2 styles\n")
    assert [sorted(params) for params, _ in small] == [["denoise", "photofinish"]] * 2
    assert {raw.image.shape for _, raw in small} == {(SIZE[0] // 4, SIZE[1] // 4, 3)}
    sheet = read_image(written)
    width, height = SIZE[0] // 4, SIZE[1] // 4  # upright
    m, head = MARGIN, MARGIN + 2 * SHEET_LINE
    assert sheet.shape == (head + height + m, m + 2 * (width + m), 3)
    if written.endswith("png"):
        upright = np.rot90(small[0][1].image, -1)
        for x in (m, m + width + m):
            np.testing.assert_allclose(sheet[head:-m, x : x + width], np.clip(upright, 0, 1), atol=1 / 255)
    assert run(capsys, "styles", "--photo", "a.dng", "--thumbnails", "sheet.png")[0] == 0


def test_thumbnails_of_the_scene(capsys, tmp_path, monkeypatch, styles, small):
    monkeypatch.setattr(contact_sheet, "write_synthetic_dng", functools.partial(write_synthetic_dng, size=SIZE))
    assert run(capsys, "styles", "--params", "neutral", "--thumbnails", tmp_path)[0] == 0
    assert [sorted(params) for params, _ in small] == [["photofinish"]] * 2
    refused(capsys, tmp_path, "styles", "--thumbnails", tmp_path, match="styles.jpg exists; --overwrite replaces it")
    assert run(capsys, "styles", "--thumbnails", tmp_path, "--overwrite")[0] == 0


@pytest.mark.parametrize(
    ("options", "match"),
    [
        (["--photo", "a.dng"], "--photo: expected --thumbnails with it"),
        (["--thumbnails", "b.xyz"], "--thumbnails b.xyz: expected one of .jpg"),
        (["--thumbnails", "missing/b.jpg"], "--thumbnails missing/b.jpg: the folder missing does not exist"),
    ],
)
def test_bad_options_of_styles(capsys, folder, styles, options, match):
    refused(capsys, folder, "styles", *options, match=match)


@pytest.mark.parametrize(
    ("photo", "match"), [("bad.dng", "bad.dng: "), ("missing.dng", "missing.dng: expected a camera")]
)
def test_no_thumbnails_of_a_bad_photo(capsys, folder, styles, photo, match):
    before = names(folder)
    code, _, err = run(capsys, "styles", "--photo", photo, "--thumbnails", "b.jpg")
    assert code == 2
    assert LINE.fullmatch(err)
    assert match in err
    assert names(folder) == before
