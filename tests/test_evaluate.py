"""``modisp eval`` on a tiny split and on folders of pictures."""

import dataclasses
import functools
import json
import math

import numpy as np
import pytest
from PIL import Image

import modisp_jax as mj
from modisp_jax import cli, evaluate, metrics
from modisp_jax.config import HaloFixConfig
from modisp_jax.evaluate import EvalOptions
from modisp_jax.io.images import read_image, write_image
from modisp_jax.render_files import load_style
from modisp_jax.sheet import LINE, MARGIN
from tests.samples import photo, raw
from tests.test_metrics import small_lpips_weights

SIZE = (16, 24)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A split of two photos, each rendered by the neutral set, with a little noise as its target."""
    folder = tmp_path_factory.mktemp("split")
    for name in ("raw_images", "data", "srgb_images"):
        (folder / name).mkdir()
    for seed, name in enumerate(("a", "b")):
        scene = raw(*SIZE, seed)
        write_image(folder / f"raw_images/{name}.png", np.asarray(scene.image), bits=16)
        data = {"cam_illum": scene.illuminant.tolist(), "ccm": scene.ccm.tolist(), "orientation": 6}
        (folder / f"data/{name}.json").write_text(json.dumps(data))
        picture = np.asarray(mj.render(mj.load_params("neutral"), mj.read_raw(folder / f"raw_images/{name}.png")))
        noise = 0.01 * (1 + seed) * np.random.default_rng(seed).normal(size=picture.shape)
        write_image(folder / f"srgb_images/{name}.png", np.clip(picture + noise, 0, 1))
    return folder


@pytest.fixture
def pictures(tmp_path):
    """Two folders of pictures: a is the same in both, b is not."""
    for name in ("ours", "theirs"):
        (tmp_path / name).mkdir()
    a, b = photo(*SIZE, 0), photo(*SIZE, 1)
    write_image(tmp_path / "ours/a.png", a)
    write_image(tmp_path / "theirs/a.png", a)
    write_image(tmp_path / "ours/b.png", b)
    write_image(tmp_path / "theirs/b.jpg", b, quality=80)
    return tmp_path


def compare(folder, **options):
    return EvalOptions(pictures=folder / "ours", targets=folder / "theirs", json=folder / "out.json", **options)


def report(folder):
    return json.loads((folder / "out.json").read_text(), parse_constant=lambda name: pytest.fail(f"JSON with {name}"))


def test_a_split_is_rendered_and_measured(made, tmp_path, capsys):
    arguments = ["eval", str(made), "--params", "neutral", "--json", str(tmp_path / "out.json")]
    assert cli.main([*arguments, "--sheet", str(tmp_path / "sheet.png"), "--worst", "1"]) == 0
    out, err = capsys.readouterr()
    found = report(tmp_path)
    assert list(found["images"]) == ["a", "b"]
    assert found["failed"] == {}
    # Noise of 1 and 2 percent.
    np.testing.assert_allclose([found["images"][name]["psnr"] for name in "ab"], [40, 34], atol=1)
    for key in ("psnr", "ssim", "delta_e2000"):
        np.testing.assert_allclose(found["mean"][key], np.mean([found["images"][name][key] for name in "ab"]))
    lines = out.splitlines()
    assert lines[0].split() == ["name", "PSNR", "dB", "SSIM", "dE2000"]
    assert [line.split()[0] for line in lines[1:]] == ["a", "b", "mean"]
    assert f"{found['images']['a']['psnr']:.4f}" in lines[1]
    assert err.splitlines()[0] == "no VGG-16 and LPIPS weights named: LPIPS is left out"
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.width > 4 * SIZE[1]


def test_figures_are_those_of_the_metrics(pictures):
    assert evaluate.evaluate(compare(pictures)) == 0
    ours, theirs = read_image(pictures / "ours/b.png"), read_image(pictures / "theirs/b.jpg")
    for name, value in report(pictures)["images"]["b"].items():
        np.testing.assert_allclose(value, getattr(metrics, name)(ours, theirs), rtol=1e-5)


def test_identical_pictures_have_a_psnr_of_null(pictures, capsys):
    assert evaluate.evaluate(compare(pictures)) == 0
    found = report(pictures)
    assert found["images"]["a"]["psnr"] is None
    assert found["mean"]["psnr"] is None
    assert found["images"]["a"]["ssim"] == pytest.approx(1.0)
    assert "inf" in capsys.readouterr().out
    # Read back, it is infinite again.
    assert evaluate.evaluate(compare(pictures)) == 0
    assert report(pictures) == found


def test_a_missing_target_is_named_and_the_rest_goes_on(pictures, capsys):
    (pictures / "theirs/a.png").unlink()
    assert evaluate.evaluate(compare(pictures)) == 2
    err = capsys.readouterr().err
    assert f"{pictures}/ours/a.png: expected its target {pictures}/theirs/a{{.jpg," in err
    assert "1 of 2 pictures failed" in err
    found = report(pictures)
    assert list(found["images"]) == ["b"]
    assert "expected its target" in found["failed"]["a"]
    # Mended, only what had failed is measured.
    write_image(pictures / "theirs/a.png", photo(*SIZE, 0))
    assert evaluate.evaluate(compare(pictures)) == 0
    assert "b: measured before" in capsys.readouterr().err
    assert report(pictures)["failed"] == {}
    assert list(report(pictures)["images"]) == ["a", "b"]


def test_it_goes_on_where_it_was_interrupted(pictures, monkeypatch):
    measure, calls = evaluate.measure, []

    def interrupted(*arguments):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return measure(*arguments)

    monkeypatch.setattr(evaluate, "measure", interrupted)
    with pytest.raises(KeyboardInterrupt):
        evaluate.evaluate(compare(pictures))
    assert list(report(pictures)["images"]) == ["a"]
    assert sorted(path.name for path in pictures.iterdir()) == ["ours", "out.json", "theirs"]
    assert evaluate.evaluate(compare(pictures, sheet=pictures / "sheet.png")) == 0
    assert len(calls) == 3
    with Image.open(pictures / "sheet.png") as sheet:  # with the picture of the first run
        assert sheet.width == 3 * (SIZE[1] + MARGIN) + MARGIN
        assert sheet.height == MARGIN + 2 * (SIZE[0] + 2 * LINE + MARGIN)


def test_figures_of_another_job_are_not_mixed(pictures):
    assert evaluate.evaluate(compare(pictures)) == 0
    other = EvalOptions(pictures=pictures / "theirs", targets=pictures / "ours", json=pictures / "out.json")
    with pytest.raises(ValueError, match=r"other settings \(pictures, targets\); --overwrite replaces it"):
        evaluate.evaluate(other)
    assert evaluate.evaluate(EvalOptions(**{**vars(other), "overwrite": True})) == 0
    (pictures / "out.json").write_text("[1]")
    with pytest.raises(ValueError, match="no JSON of an evaluation"):
        evaluate.evaluate(compare(pictures))


def test_all_of_the_halo_fix_belongs_to_the_job(made, tmp_path, monkeypatch):
    """Its defaults may change from one version to the next; figures of both are not to be mixed."""
    options = EvalOptions(folder=made, params="neutral", small=True, halo_fix=True, json=tmp_path / "out.json")
    monkeypatch.setattr(evaluate, "_split_job", functools.partial(_job_without_rendering, evaluate._split_job))
    assert evaluate.evaluate(options) == 0
    assert report(tmp_path)["settings"]["halo_fix"] == json.loads(json.dumps(dataclasses.asdict(HaloFixConfig())))
    assert evaluate.evaluate(options) == 0
    monkeypatch.setattr(evaluate, "HaloFixConfig", functools.partial(HaloFixConfig, iterations=3))
    with pytest.raises(ValueError, match=r"other settings \(halo_fix\)"):
        evaluate.evaluate(options)


def _job_without_rendering(job, options):
    cases, settings, _ = job(options)
    picture = photo(*SIZE)
    return cases, settings, lambda case: (lambda: picture, picture, picture)


def test_lpips_with_weights(pictures, monkeypatch):
    weights, lpips = small_lpips_weights(), metrics.lpips
    monkeypatch.setattr(evaluate, "load_lpips", lambda vgg, linear: weights)
    monkeypatch.setattr(evaluate, "lpips", lambda x, y, w: lpips(x, y, w, size=(32, 32)))
    names = {"lpips_vgg": pictures / "vgg.pth", "lpips_linear": pictures / "lin.pth"}
    assert evaluate.evaluate(compare(pictures, **names)) == 0
    found = report(pictures)["images"]
    assert found["a"]["lpips"] < 1e-9 < found["b"]["lpips"]


def test_renderings_are_turned_where_only_that_fits(made, tmp_path):
    picture = photo(*SIZE)
    write_image(tmp_path / "x.png", np.swapaxes(picture, 0, 1)[:, ::-1])  # upright by orientation 6
    case = evaluate.Case("x", tmp_path / "x.png", tmp_path / "x.png")
    ours, target = evaluate._fitting(case, picture, 6, False)
    np.testing.assert_allclose(ours, target, atol=0.5 / 255 + 1e-6)
    with pytest.raises(ValueError, match="expected a target of 24 x 16 pixels, got 16 x 24"):
        evaluate._fitting(case, picture, 1, False)


def test_small_measures_photofinishing(made, tmp_path):
    target = np.asarray(mj.pipeline.shrink(read_image(made / "srgb_images/a.png")))
    options = EvalOptions(folder=made, params="neutral", small=True, limit=1, json=tmp_path / "out.json")
    _, _, produce = evaluate._split_job(options)
    view, picture, shrunk = produce(evaluate._cases(made / "raw_images", made / "srgb_images", (".png",), 1)[0])
    np.testing.assert_array_equal(shrunk, target)
    stages = mj.render_stages(load_style("neutral", None), mj.read_raw(made / "raw_images/a.png"))
    np.testing.assert_allclose(picture, stages.finished.srgb, atol=1e-6)
    assert view().shape == (24, 16, 3)  # upright


def test_the_target_folder_of_a_split(made, tmp_path):
    split = tmp_path / "split"
    for name in ("srgb_images_style_0", "srgb_images_style_1"):
        (split / name).mkdir(parents=True)
    with pytest.raises(ValueError, match=r"one folder srgb_images\*.* got srgb_images_style_0, srgb_images_style_1"):
        evaluate._split_targets(EvalOptions(folder=split))
    chosen = evaluate._split_targets(EvalOptions(folder=split, targets=evaluate.Path("srgb_images_style_1")))
    assert chosen == split / "srgb_images_style_1"
    assert evaluate._split_targets(EvalOptions(folder=made)) == made / "srgb_images"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "expected either a FOLDER in the S24 layout, or --pictures and --targets"),
        (["x", "--pictures", "x"], "expected either a FOLDER"),
        (["--pictures", "ours"], "--pictures: expected --targets too"),
        (["--pictures", "ours", "--targets", "absent"], "absent: expected a folder of pictures, found none"),
        (["--pictures", "ours", "--targets", "theirs", "--limit", "0"], "--limit: expected 1 or more, got 0"),
        (["--pictures", "ours", "--targets", "theirs", "--json", "no/x.json"], "the folder no does not exist"),
        (["--pictures", "ours", "--targets", "theirs", "--sheet", "x.gif"], "expected a name ending in .png"),
        (["--pictures", "ours", "--targets", "theirs", "--lpips-vgg", "x"], "expected both or none"),
        (["empty"], "empty: expected one folder srgb_images*, or --targets to choose one; got none"),
    ],
)
def test_bad_usage_costs_one_line(pictures, monkeypatch, capsys, options, message):
    monkeypatch.chdir(pictures)
    (pictures / "empty").mkdir()
    assert cli.main(["eval", *options]) == 2
    err = capsys.readouterr().err
    assert err.startswith("modisp: error: ")
    assert message in err
    assert err.count("\n") == 1


def test_two_pictures_of_one_name_are_refused(pictures):
    write_image(pictures / "ours/a.jpg", photo(*SIZE))
    with pytest.raises(ValueError, match=r"a.png: expected one picture of each name, got a.jpg too"):
        evaluate.evaluate(compare(pictures))


def test_means_of_nothing_and_of_infinity():
    assert evaluate.means({}) == {}
    assert math.isinf(evaluate.means({"a": {"psnr": math.inf}, "b": {"psnr": 1.0}})["psnr"])
    assert evaluate.worst({"a": {"psnr": math.inf}, "b": {"psnr": 1.0}, "c": {"psnr": 2.0}}, 2) == ["b", "c"]


def test_a_rendering_that_is_not_finite_is_refused():
    with pytest.raises(ValueError, match="expected a picture of finite numbers"):
        evaluate.measure(np.full((8, 8, 3), np.nan, np.float32), np.zeros((8, 8, 3), np.float32))
