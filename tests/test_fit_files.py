"""``modisp fit``: pairs are found, turned and checked; what comes out is a style."""

import re
import shutil

import numpy as np
import pytest

import modisp_jax as mj
from modisp_jax import checkpoints, cli, fit_files
from modisp_jax.fit import FittedStyle, fit_style_config, start
from modisp_jax.io.images import apply_orientation, write_image
from modisp_jax.io.synthetic import write_synthetic_dng
from tests.fit.closed_form import COMMON

SIZE = (48, 64)


def finished(raw, orientation=1):
    """A finished picture of a raw photo, turned upright."""
    linear = np.asarray(raw.image / raw.illuminant).clip(0, 1)
    return np.ascontiguousarray(apply_orientation(0.1 + 0.85 * linear ** (1 / 2.0), orientation)).astype(np.float32)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Raw photos with pictures: one lying, one upright, one whose picture is cropped, one broken, one alone."""
    folder = tmp_path_factory.mktemp("made")
    for name, orientation in (("a", 1), ("b", 6)):
        raw = mj.read_raw(write_synthetic_dng(folder / f"{name}.dng", size=SIZE, orientation=orientation))
        write_image(folder / f"{name}.png", finished(raw, orientation))
    (folder / "notes.txt").write_text("not a photo")
    return folder


@pytest.fixture
def folder(made, tmp_path, monkeypatch):
    shutil.copytree(made, tmp_path / "pairs")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(checkpoints, "WEIGHTS", tmp_path / "no weights")
    return tmp_path / "pairs"


@pytest.fixture
def given(monkeypatch):
    """What the fit was given beside the pairs; it ends at once, with the parameters that it came with."""
    given = []

    def fit_style(params, pairs, **options):
        assert len(pairs) == 2
        given.append(options["unpaired"])
        options["folder"].mkdir()
        (options["folder"] / "state.npz").write_bytes(b"")
        return FittedStyle(params, 30.0, [], True)

    monkeypatch.setattr(fit_files, "fit_style", fit_style)
    return given


def run(capsys, *arguments):
    capsys.readouterr()
    try:
        code = cli.main(["fit", *map(str, arguments)])
    except SystemExit as stop:
        code = stop.code
    return code, capsys.readouterr().err


def quick(folder, output="mine.safetensors", *more):
    return (folder, "-o", output, "--style", "neutral", "--steps", "0", "--size", "32", *more)


@pytest.mark.slow
def test_a_style_comes_out(folder, capsys, monkeypatch):
    monkeypatch.setattr(start, "_common", COMMON)
    code, err = run(capsys, *quick(folder))
    assert code == 0, err
    assert "[2/2] b.dng and b.png" in err
    assert sorted(path.name for path in folder.parent.iterdir()) == ["mine.safetensors", "pairs"]
    params = mj.load_params("neutral", style="mine.safetensors")
    assert "rgb_lut" in params["photofinish"]
    card = mj.read_card("mine.safetensors")
    assert card["what"] == "photofinishing fitted to 2 finished pictures, from the style neutral"
    scores = [entry["score"] for entry in card["history"]]
    assert scores[1] > scores[0] + 3


def test_an_upright_picture_lies_as_its_raw_photo(folder):
    pairs = [fit_files.read_pair(*pair) for pair in fit_files.find_pairs(folder)]
    for linear, target in pairs:
        assert linear.shape == target.shape == (*SIZE, 3)
        assert np.corrcoef(linear[..., 1].ravel() ** 0.45, target[..., 1].ravel())[0, 1] > 0.9


@pytest.mark.usefixtures("given")  # the fit itself is another test's
def test_bad_pairs_cost_a_line_each(folder, capsys):
    raw = mj.read_raw(folder / "a.dng")
    for name in ("cropped", "broken", "other", "upside"):
        shutil.copy(folder / "a.dng", folder / f"{name}.dng")
    write_image(folder / "cropped.png", finished(raw)[:, :50])
    (folder / "broken.png").write_bytes((folder / "a.png").read_bytes()[:200])
    write_image(folder / "other.png", np.random.default_rng(0).random((*SIZE, 3), np.float32))
    write_image(folder / "upside.png", finished(raw)[::-1].copy())
    code, err = run(capsys, *quick(folder))
    assert code == 2
    lines = [line for line in err.splitlines() if line.startswith("modisp: error: ")]
    assert len(lines) == 4
    for name, reason in {
        "broken": "",
        "cropped": r"expected the aspect ratio of its raw photo \(64 x 48\), got 50 x 48",
        "other": "does not look like its raw photo",
        "upside": "looks (mirrored|upside down|turned)",
    }.items():
        assert any(name in line and re.search(reason, line) for line in lines), (name, lines)
    assert "4 of 6 pairs failed" in err
    assert "fitted to 2 finished pictures" in mj.read_card("mine.safetensors")["what"]


def test_an_interrupted_fit_goes_on(folder, capsys, monkeypatch):
    """Ctrl-C is asked for during the first validation; the same command then ends as one without it."""

    class Asked:
        asked = True

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

    calls = []

    def fit_style(params, pairs, **options):
        """Training itself is another test's: here one record, and what its answer leads to."""
        calls.append(options | {"pairs": pairs})
        options["folder"].mkdir(exist_ok=True)
        (options["folder"] / "state.npz").write_bytes(b"")
        stop = options["progress"]({"step": 10, "steps": 20, "loss": 0.5})
        return FittedStyle(params, 30.0, [], not stop)

    monkeypatch.setattr(fit_files, "fit_style", fit_style)
    before = sorted(path.name for path in folder.parent.iterdir())
    with monkeypatch.context() as patch:
        patch.setattr(fit_files, "Interrupt", Asked)
        code, err = run(capsys, *quick(folder))
    assert code == 130
    assert "step 10/20: loss 0.5000" in err
    assert "interrupted; the same command goes on from mine.fit" in err
    assert sorted(path.name for path in folder.parent.iterdir()) == sorted([*before, "mine.fit"])
    code, err = run(capsys, *quick(folder))
    assert code == 0, err
    assert sorted(path.name for path in folder.parent.iterdir()) == sorted([*before, "mine.safetensors"])
    assert calls[0]["config"] == fit_style_config(len(calls[0]["pairs"]), size=(24, 32))
    assert calls[0]["stages"] == ("photofinish",)


def test_pairs_are_found_in_every_layout(folder):
    pictures = folder.parent / "pictures"
    pictures.mkdir()
    shutil.move(folder / "a.png", pictures / "a.PNG")
    found = fit_files.find_pairs(folder, pictures)
    assert [(raw.name, picture.name) for raw, picture in found] == [("a.dng", "a.PNG")]
    split = folder.parent / "split"
    for name in ("raw_images", "data", "srgb_images_style_0"):
        (split / name).mkdir(parents=True)
    (split / "raw_images" / "x.png").write_bytes(b"")
    (split / "srgb_images_style_0" / "x.jpg").write_bytes(b"")
    assert [raw.name for raw, _ in fit_files.find_pairs(split)] == ["x.png"]


def test_a_picture_moved_by_some_pixels_is_cropped_to_what_both_show(folder):
    raw = mj.read_raw(folder / "a.dng")
    moved = np.roll(finished(raw), (2, 3), axis=(0, 1))
    write_image(folder / "a.png", moved)
    linear, target = fit_files.read_pair(folder / "a.dng", folder / "a.png")
    assert linear.shape == target.shape == (SIZE[0] - 2, SIZE[1] - 3, 3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nowhere", "-o", "x.safetensors"), "nowhere: expected a folder"),
        (("pairs", "-o", "x.bin"), "--output: expected NAME.safetensors"),
        (("pairs", "-o", "missing/x.safetensors"), "--output: expected NAME.safetensors in an existing folder"),
        (("pairs", "-o", "x.safetensors", "--steps", "-1"), "--steps: expected 0 or more"),
        (("pairs", "-o", "x.safetensors", "--size", "4"), "--size: expected at least 22"),
        (("pairs", "-o", "x.safetensors", "--validation", "1"), "--validation: expected 0 to under 1"),
        (("pairs", "-o", "x.safetensors", "--stages", "sky"), "stages: expected names among"),
        (("pairs", "-o", "x.safetensors", "--targets", "empty"), "expected a folder of pictures"),
    ],
)
def test_bad_usage_is_one_line(folder, capsys, arguments, message):
    code, err = run(capsys, *arguments, "--style", "neutral")
    assert code == 2
    assert re.search(message, err), err
    assert "Traceback" not in err
    assert not (folder.parent / "x.safetensors").exists()


@pytest.mark.usefixtures("given")
def test_a_start_under_a_licence_keeps_it(folder, capsys):
    card = {"name": "theirs", "license": "CC BY-NC 4.0", "origin": "imported"}
    mj.save_params("theirs.safetensors", mj.load_params("neutral"), card)
    arguments = list(quick(folder))
    arguments[arguments.index("neutral")] = "theirs.safetensors"
    assert run(capsys, *arguments)[0] == 0
    kept = mj.read_card("mine.safetensors")
    assert (kept["license"], kept["origin"]) == ("CC BY-NC 4.0", "imported")


def photos_beside(folder, broken=False):
    """A folder of two photos, one of them upright, and of what is none."""
    photos = folder.parent / "photos"
    photos.mkdir()
    scene = finished(mj.read_raw(folder / "a.dng"))
    write_image(photos / "lying.png", scene)
    write_image(photos / "upright.JPG", scene[:, :36].copy())
    (photos / ".hidden.png").write_bytes(b"")
    (photos / "notes.txt").write_text("not a photo")
    if broken:
        (photos / "broken.png").write_bytes((photos / "lying.png").read_bytes()[:200])
    return photos


def test_photos_without_raws_reach_the_fit(folder, capsys, given):
    code, err = run(capsys, *quick(folder, "mine.safetensors", "--unpaired", photos_beside(folder)))
    assert code == 0, err
    assert "2/2 unpaired photos" in err
    assert sorted(photo.shape for photo in given[0]) == [(24, 32, 3), (32, 24, 3)]
    for photo in given[0]:
        assert photo.dtype == np.float32
        assert 0 <= photo.min() < photo.max() <= 1
    what = mj.read_card("mine.safetensors")["what"]
    assert what == "photofinishing fitted to 2 finished pictures and 2 ordinary photos, from the style neutral"
    assert run(capsys, *quick(folder))[0] == 0
    assert given[1] is None


def test_a_broken_photo_costs_a_line(folder, capsys, given):
    photos = photos_beside(folder, broken=True)
    code, err = run(capsys, *quick(folder, "mine.safetensors", "--unpaired", photos))
    assert code == 2
    lines = [line for line in err.splitlines() if line.startswith("modisp: error: ")]
    assert len(lines) == 1
    assert "broken.png" in lines[0]
    assert "1 of 2 pairs and 3 photos failed" in err
    assert len(given[0]) == 2
    assert "2 ordinary photos" in mj.read_card("mine.safetensors")["what"]


def test_a_folder_without_photos_is_an_error(folder, capsys, given):
    """Said before any pair is read, which takes long."""
    empty = folder.parent / "empty"
    empty.mkdir()
    told = {"nowhere": "nowhere: expected a folder of pictures", "empty": "empty: expected pictures to learn from"}
    for photos, message in told.items():
        code, err = run(capsys, *quick(folder, "mine.safetensors", "--unpaired", photos))
        assert code == 2
        assert message in err
        assert "[1/2]" not in err
        assert "Traceback" not in err
    (empty / "broken.png").write_bytes(b"no picture")
    code, err = run(capsys, *quick(folder, "mine.safetensors", "--unpaired", empty))
    assert code == 2
    assert "found none that can be read" in err
    assert not given
    assert not (folder.parent / "mine.safetensors").exists()


def test_the_function_isp_says_how_far_it_is(capsys):
    told = [fit_files._told({"functions": step, "steps": 200, "loss": 0.25}) for step in range(1, 201)]
    assert not any(told)
    lines = capsys.readouterr().err.splitlines()
    assert lines == [f"function ISP, step {step}/200: loss 0.25000" for step in (100, 200)]
