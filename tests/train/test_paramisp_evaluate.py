"""Figures as published: against numbers by hand, SSIM against plain NumPy, and the program on a folder of pairs."""

import dataclasses
import functools
import json
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

pytest.importorskip("grain")
pytest.importorskip("orbax.checkpoint")

from modisp_jax.checkpoints import save_params
from modisp_jax.config import ParamISPConfig, PipelineConfig
from modisp_jax.nets.paramisp import PARAMETERS
from modisp_jax.params import init_params
from modisp_jax.unprocess import generic_cameras
from tests.paramisp.samples import CCM, ILLUMINANT
from tests.samples import numbered_params, photo
from tests.train.pairs_folder import write_pair
from train.paramisp.evaluate import (
    DROPPED,
    WRONG,
    Case,
    cases_of_photos,
    directions_of,
    evaluate,
    five_crops,
    judge,
    losses_table,
    main,
    measure,
    parameter_losses,
    psnr,
    summary,
    table,
)
from train.paramisp.pairs import Pair
from train.paramisp.task import RIM

TINY = ParamISPConfig(width=2, embedding=2, blocks=0, stages=1)
SIDE = 88
CAPTURE = np.float32([28.0, 8.0, 0.002, 400.0])


@pytest.fixture(scope="module")
def networks():
    """Both networks with arbitrary numbers, so that exposure data count."""
    config = PipelineConfig(None, None, None, inverse_isp=TINY, forward_isp=TINY)
    return numbered_params(init_params(jax.random.key(0), config), 0.6)


def case(seed, capture, camera="one"):
    picture = photo(SIDE, SIDE, seed)
    pair = Pair(0.6 * picture[..., 1], picture, np.asarray(ILLUMINANT), np.asarray(CCM), np.float32(capture))
    return Case(f"photo{seed}", camera, (pair,))


def numpy_ssim(x, y, data_range):
    """SSIM of [H, W] as its definition has it, in float64, where an 11 x 11 window fits."""
    i = np.arange(-5, 6)
    taps = np.exp(-(i**2) / (2 * 1.5**2))
    weights = np.outer(taps, taps) / taps.sum() ** 2
    total = []
    for row in range(x.shape[0] - 10):
        for column in range(x.shape[1] - 10):
            a, b = (image[row : row + 11, column : column + 11].astype(np.float64) for image in (x, y))
            ma, mb = (weights * a).sum(), (weights * b).sum()
            va, vb = (weights * a * a).sum() - ma**2, (weights * b * b).sum() - mb**2
            vab = (weights * a * b).sum() - ma * mb
            c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
            total.append((2 * ma * mb + c1) * (2 * vab + c2) / ((ma**2 + mb**2 + c1) * (va + vb + c2)))
    return np.mean(total)


@pytest.mark.parametrize("size", [(1200, 1602), (1024, 1024), (96, 2000), (90, 94), (3000, 4000)])
def test_five_crops_are_even_inside_and_as_large_as_can_be(size):
    crops = five_crops(size)
    sides = [min(n, 1024) // 4 * 4 for n in size]
    for box in crops:
        for part, n, side in zip(box, size, sides, strict=True):
            assert part.start % 2 == 0
            assert 0 <= part.start < part.stop <= n
            assert part.stop - part.start == side
    corners = {(box[0].start, box[1].start) for box in crops}
    assert {(0, 0), tuple((n - side) // 2 * 2 for n, side in zip(size, sides, strict=True))} <= corners
    assert len(corners) == len(crops)
    if min(size) > 1028:
        assert len(crops) == 5
    if size == (1024, 1024):
        assert crops == [(slice(0, 1024), slice(0, 1024))]


def test_a_perfect_prediction():
    for shape in ((2, 32, 32), (1, 32, 32, 3)):
        x = np.random.default_rng(0).random(shape, np.float32)
        assert measure(x, x) == {"psnr": math.inf, "ssim": 1.0, "ssim_published": 1.0}
    flat = np.zeros((1, 32, 32), np.float32)
    assert measure(flat, flat) == {"psnr": math.inf, "ssim": 1.0, "ssim_published": 1.0}


def test_an_offset_has_the_psnr_of_its_size_pooled_over_crops():
    target = np.full((2, 24, 32), 0.25, np.float32)
    offset = np.array([0.125, 0.25], np.float32)[:, None, None]
    assert measure(target[:1] + 0.125, target[:1])["psnr"] == pytest.approx(-20 * math.log10(0.125), abs=1e-6)
    pooled = (0.125**2 + 0.25**2) / 2
    assert measure(target + offset, target)["psnr"] == pytest.approx(-10 * math.log10(pooled), abs=1e-6)


def test_what_is_clipped_and_the_rim_do_not_count():
    target = np.ones((1, 32, 32, 3), np.float32)
    assert measure(1.5 * target, target)["psnr"] == math.inf
    output = target.copy()
    output[:, :RIM], output[:, -RIM:], output[:, :, :RIM], output[:, :, -RIM:] = 0, 0, 0, 0
    assert measure(output, target)["psnr"] == math.inf
    output[0, RIM, RIM] = 0
    assert measure(output, target)["psnr"] == pytest.approx(-10 * math.log10(1 / 28**2), abs=1e-6)


@pytest.mark.parametrize("scale", [1.0, 0.05])
def test_ssim_is_that_of_its_definition(scale):
    x = scale * photo(28, 32, 1)[..., 1]
    y = np.clip(x + scale * 0.1 * np.random.default_rng(0).standard_normal(x.shape), 0, scale).astype(np.float32)
    inner = [image[RIM:-RIM, RIM:-RIM] for image in (x, y)]
    spread = max(np.ptp(image) for image in inner)
    found = measure(x[None], y[None])
    assert found["ssim"] == pytest.approx(numpy_ssim(*inner, 1.0), abs=1e-5)
    assert found["ssim_published"] == pytest.approx(numpy_ssim(*inner, spread), abs=1e-5)
    if scale < 1:  # the published range judges dark raw photos more strictly
        assert found["ssim_published"] < found["ssim"] - 0.05


def test_colours_and_crops_have_their_means():
    x, y = photo(32, 32, 1), photo(32, 32, 2)
    single = [measure(x[None, ..., c], y[None, ..., c])["ssim"] for c in range(3)]
    assert measure(x[None], y[None])["ssim"] == pytest.approx(np.mean(single), abs=1e-6)
    both = [measure(a[None], y[None])["ssim"] for a in (x, y)]
    assert measure(np.stack([x, y]), np.stack([y, y]))["ssim"] == pytest.approx(np.mean(both), abs=1e-6)


def test_rows_and_means_by_camera(networks):
    said = []
    cases = [case(0, CAPTURE), case(1, CAPTURE), case(2, CAPTURE, "two")]
    rows = evaluate(networks, TINY, cases, said.append)
    assert [row["name"] for row in rows] == ["photo0", "photo1", "photo2"]
    assert directions_of(networks) == ["inverse", "forward", "cycle"]
    means = summary(rows)
    for direction in directions_of(networks):
        values = [row[direction]["psnr"] for row in rows]
        assert means["one"][direction]["psnr"] == pytest.approx(np.mean(values[:2]))
        assert means["mean"][direction]["psnr"] == pytest.approx((np.mean(values[:2]) + values[2]) / 2)
    text = table(means, {"one": 2, "two": 1})
    assert text.splitlines()[0].split() == ["inverse", "photos", "PSNR", "dB", "SSIM", "SSIM", "publ."]
    assert f"{means['two']['forward']['ssim']:.4f}" in text
    assert len(said) == 3


def test_losses_by_parameter(networks):
    captures = CAPTURE * np.float32([[1, 1, 1, 1], [2, 1, 1, 4], [1, 1, np.nan, 1]])
    cases = [case(k, capture) for k, capture in enumerate(captures)]
    losses = parameter_losses(networks, TINY, lambda: cases)
    at, forward = {name: k for k, name in enumerate(PARAMETERS)}, {"forward_isp": networks["forward_isp"]}

    def lost(k, name, value):
        """How much photo k loses with another value."""
        other = captures[k].copy()
        other[at[name]] = value
        right, wrong = (judge(forward, TINY, cases[k].pairs, each, psnr)["forward"] for each in (captures[k], other))
        return right - wrong

    found = losses["forward"]
    expected = [lost(0, "iso", 1600.0), lost(1, "iso", 400.0), lost(2, "iso", 1600.0)]
    assert found["iso"][WRONG] == pytest.approx(np.mean(expected), abs=1e-5)
    assert abs(found["iso"][WRONG]) > 1e-4
    assert found["iso"]["wrong_error"] == pytest.approx(np.std(expected, ddof=1) / math.sqrt(3), abs=1e-5)
    hidden = [lost(k, "exposure_time", np.nan) for k in (0, 1)]
    assert found["exposure_time"][DROPPED] == pytest.approx(np.mean(hidden), abs=1e-5)
    assert found["f_number"][WRONG] is found["f_number"]["wrong_error"] is None  # all have the same
    assert losses_table(losses).splitlines()[2].split() == [
        "f_number",
        "-",
        f"{losses['inverse']['f_number'][DROPPED]:.3f}",
    ]


def test_a_photo_taken_twice_counts_once(networks):
    """Its takes' mean: three takes of one scene say less about other scenes than three scenes would."""
    cases = [case(k, CAPTURE * np.float32([1, factor, 1, 1])) for k, factor in enumerate((1, 2, 8))]
    scenes = [dataclasses.replace(each, name=name) for each, name in zip(cases, "aab", strict=True)]

    def losses(some):
        return parameter_losses(networks, TINY, lambda: some)["forward"]["all"]

    each, merged, single = losses(cases), losses(scenes), [losses([one]) for one in cases]
    lost = [found[DROPPED] for found in single]
    assert each[DROPPED] == pytest.approx(np.mean(lost))
    means = [(lost[0] + lost[1]) / 2, lost[2]]
    assert merged[DROPPED] == pytest.approx(np.mean(means))
    assert merged["dropped_error"] == pytest.approx(abs(means[0] - means[1]) / 2)
    assert single[0]["dropped_error"] is None


def test_photos_that_imaginary_cameras_take():
    class Photos(list):
        names = ("a", "b")

    photos = Photos({"srgb": np.uint8(255 * photo(96, SIDE, seed))} for seed in (0, 1))
    make = functools.partial(cases_of_photos, photos, generic_cameras(), (0, 3), SIDE)
    cases = list(make())
    assert [(c.name, c.camera) for c in cases] == [(n, f"imaginary {k}") for k in (0, 3) for n in "ab"]
    assert [len(c.pairs) for c in cases] == [3] * 4  # middle, top and bottom
    for first, second in zip(cases, make(), strict=True):
        np.testing.assert_array_equal(first.pairs[1].mosaic, second.pairs[1].mosaic)
    assert len(list(make(limit=1))) == 2
    twice = list(make(takes=2))
    assert [c.name for c in twice] == [*"abab"] * 2
    np.testing.assert_array_equal(twice[1].pairs[0].mosaic, cases[1].pairs[0].mosaic)
    assert np.abs(twice[2].pairs[0].capture - cases[0].pairs[0].capture).max() > 1  # of "a" another take
    assert jnp.shape(cases[0].pairs[0].srgb) == (SIDE, SIDE, 3)


def test_the_program(networks, tmp_path, capsys):
    pairs, file = tmp_path / "pairs", tmp_path / "networks.safetensors"
    pairs.mkdir()
    write_pair(pairs, "a", pattern="BGGR")
    save_params(file, {"forward_isp": networks["forward_isp"]}, {"name": "tiny"})
    (pairs / "b.dng").write_bytes(b"no raw photo")
    (pairs / "b.png").write_bytes((pairs / "a.png").read_bytes())
    options = ["--networks", str(file), "--pairs", str(pairs), "--pair-cache", str(tmp_path / "cache"), "--side", "88"]
    assert main([*options, "--json", str(tmp_path / "e.json")]) == 2  # a pair was left out
    printed, said = capsys.readouterr()
    report = json.loads((tmp_path / "e.json").read_text())
    assert list(report["mean"]) == ["synthetic camera", "mean"]
    assert list(report["mean"]["mean"]) == ["forward"]
    assert f"{report['photos'][0]['forward']['psnr']:.2f} dB" in said
    assert "synthetic camera" in printed
    assert "b.dng" in next(iter(report["refused"]))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([], "either --pairs FOLDER or --photos FOLDER"),
        (["--photos", ".", "--cameras", "7"], "--cameras: expected some of 0 to 4"),
        (["--photos", ".", "--side", "40"], "--side of at least 88"),
        (["--photos", ".", "--pair-cache", "."], "--pair-cache: expected with --pairs"),
        (["--pairs", ".", "--takes", "3"], "--takes: expected with --photos"),
        (["--pairs", "nowhere", "--json", "nowhere/e.json"], "the folder nowhere does not exist"),
    ],
)
def test_what_the_program_refuses(options, words, capsys):
    assert main(options) == 2
    assert words in capsys.readouterr().err
