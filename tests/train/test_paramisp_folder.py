"""Folders of a camera's raw photos and pictures: every pair lies on each other to the pixel, or is refused in words."""

import io

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("grain")
pytest.importorskip("orbax.checkpoint")

from modisp_jax.config import ParamISPConfig
from modisp_jax.io.dng_write import write_dng
from modisp_jax.io.exif import EXIF_IFD
from modisp_jax.io.images import apply_orientation, read_image, write_image
from modisp_jax.io.load import load_mosaic
from modisp_jax.io.synthetic import synthetic_scene, write_synthetic_dng
from modisp_jax.ops.demosaic import PATTERNS
from tests.samples import photo
from tests.train.pairs_folder import SIZE, picture_of, write_pair
from train.data import make_loader
from train.loop import LoopConfig, fit
from train.paramisp import folder as module
from train.paramisp import overlay
from train.paramisp.folder import PairFolder, RandomBayerCrop
from train.paramisp.pairs import real_pair
from train.paramisp.task import ParamISPExperiment, task

ORIENTATIONS = dict(zip(PATTERNS, (1, 6, 3, 8), strict=True))


@pytest.fixture(scope="module", autouse=True)
def small_patches():
    """Patches of one size for all tests: each is compiled for. Small photos, too, have several then."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(overlay, "PATCH", 64)
        yield


@pytest.fixture(scope="module")
def photos(small_patches, tmp_path_factory):
    """A folder with a pair of each Bayer phase, each turned otherwise, and their pictures as the raw photos lie."""
    folder = tmp_path_factory.mktemp("photos")
    pictures = {
        pattern: write_pair(folder, pattern, seed=k, pattern=pattern, orientation=orientation)
        for k, (pattern, orientation) in enumerate(ORIENTATIONS.items())
    }
    return folder, pictures


@pytest.fixture(scope="module")
def pairs(photos, tmp_path_factory):
    return PairFolder(photos[0], cache=tmp_path_factory.mktemp("cache"), out=io.StringIO())


def opened(folder, cache, **options):
    """A folder's pairs, and what was said meanwhile."""
    out = io.StringIO()
    return PairFolder(folder, cache=cache, out=out, **options), out.getvalue()


def numbers_of_dng(**kept):
    return {"black": 0, "white": 1000, "as_shot_neutral": [0.5, 1, 0.6], "color_matrix1": np.eye(3)} | kept


@pytest.mark.parametrize("pattern", PATTERNS)
def test_every_phase_becomes_rggb_with_the_picture_on_it(photos, pairs, pattern):
    folder, pictures = photos
    sample, mosaic = pairs[pairs.names.index(pattern)], load_mosaic(folder / f"{pattern}.dng")
    row, column = divmod(pattern.index("R"), 2)
    shown = slice(row, row + 96), slice(column, column + 112)
    np.testing.assert_allclose(sample["mosaic"] / 65535, mosaic.values[shown], atol=0.51 / 65535)
    np.testing.assert_array_equal(sample["srgb"], np.rint(255 * pictures[pattern][shown]))
    np.testing.assert_allclose(sample["illuminant"], mosaic.illuminant, rtol=1e-6)
    np.testing.assert_allclose(sample["ccm"], mosaic.ccm, atol=1e-6)
    np.testing.assert_allclose(sample["capture"], [28, 8, 1 / 500, 400], rtol=1e-6)
    assert (sample["steps"], sample["camera"]) == (16383 - 512, "synthetic camera")


def test_a_picture_that_the_camera_cropped_is_found(photos, tmp_path):
    folder, pictures = tmp_path / "cropped", photos[1]
    folder.mkdir()
    for pattern in ("RGGB", "GBRG"):
        (folder / f"{pattern}.dng").symlink_to(photos[0] / f"{pattern}.dng")
        cut = pictures[pattern][5:-2, 3:-4]
        write_image(folder / f"{pattern}.png", apply_orientation(cut, ORIENTATIONS[pattern]))
    for sample in opened(folder, tmp_path / "cache")[0]:
        pattern = sample["name"]
        top, left = {"RGGB": (6, 4), "GBRG": (5, 4)}[pattern]  # from 5, 3 on, the next red pixel
        h, w = sample["mosaic"].shape
        shown = slice(top, top + h), slice(left, left + w)
        assert min(h, w) >= 88
        mosaic = load_mosaic(folder / f"{pattern}.dng").values[shown]
        np.testing.assert_allclose(sample["mosaic"] / 65535, mosaic, atol=0.51 / 65535)
        np.testing.assert_array_equal(sample["srgb"], np.rint(255 * pictures[pattern][shown]))


def test_exposure_data_that_the_raw_lacks_come_from_the_picture(photos, tmp_path):
    values = (1000 * load_mosaic(photos[0] / "RGGB.dng").values).astype(np.uint16)
    write_dng(tmp_path / "a.dng", values, **numbers_of_dng(iso=200))
    exif = Image.Exif()
    exif.get_ifd(EXIF_IFD).update({0x8827: 800, 0x829D: 2.8})
    write_image(tmp_path / "a.jpg", photos[1]["RGGB"], exif=exif)
    sample = opened(tmp_path, tmp_path / "cache")[0][0]
    np.testing.assert_allclose(sample["capture"], [np.nan, 2.8, np.nan, 200], rtol=1e-6)
    assert np.isfinite(real_pair(sample).mosaic).all()


def test_what_cannot_be_used_is_said_and_the_rest_goes_on(photos, tmp_path):
    folder, picture = tmp_path / "in", photos[1]["RGGB"]
    folder.mkdir()
    values = np.full(SIZE, 500, np.uint16)
    write_pair(folder, "good")
    write_dng(folder / "xtrans.dng", values, pattern="GBGGRGRGRBGBGBGGRGGRGGBGBGBRGRGRGGBG", **numbers_of_dng())
    write_dng(folder / "grey.dng", np.repeat(values[..., None], 3, -1), **numbers_of_dng())
    for name in ("small", "other", "mirrored", "flat"):
        write_synthetic_dng(folder / f"{name}.dng", size=SIZE)
    for name in ("xtrans", "grey"):
        write_image(folder / f"{name}.png", picture)
    write_image(folder / "small.png", picture[::2, ::2])
    write_image(folder / "other.png", photo(*SIZE))
    write_image(folder / "mirrored.png", picture[:, ::-1])
    write_image(folder / "flat.png", np.full((92, 104, 3), 0.5, np.float32))
    found, said = opened(folder, tmp_path / "cache")
    assert found.names == ["good"]
    reasons = {
        "xtrans": "a Bayer mosaic of R, G, G and B, got a filter array",
        "grey": "an image without a filter array",
        "small": "expected the 113 x 97 pixels of its raw photo, .* got 57 x 49; resized",
        "other": "found no part where they are alike",
        "mirrored": "looks mirrored",
        "flat": "found no part where they are alike",
    }
    assert len(found.refused) == len(reasons)
    for name, words in reasons.items():
        with pytest.raises(ValueError, match=words):
            raise ValueError(found.refused[str(folder / f"{name}.dng")])
        assert found.refused[str(folder / f"{name}.dng")] in said
    with pytest.raises(ValueError, match="at least one pair that can be used, got none of 7"):
        opened(folder, tmp_path / "cache", least=128)


def test_a_picture_warped_by_its_camera_is_refused(tmp_path):
    size = (256, 320)
    write_synthetic_dng(tmp_path / "a.dng", size=size)
    wide = synthetic_scene((264, 330), 0)[4:-4, 5:-5]  # enlarged about the middle by 3 %
    write_image(tmp_path / "a.png", picture_of(wide))
    out = io.StringIO()
    with pytest.raises(ValueError, match="got none of 1"):
        PairFolder(tmp_path, cache=tmp_path / "cache", out=out)
    assert "lens corrections warp pictures" in out.getvalue()


def test_pictures_may_lie_in_a_folder_of_their_own(photos, tmp_path):
    raws, pictures = tmp_path / "raws", tmp_path / "pictures"
    for folder, suffix in ((raws, ".dng"), (pictures, ".png")):
        folder.mkdir()
        (folder / f"RGGB{suffix}").symlink_to(photos[0] / f"RGGB{suffix}")
    assert opened(raws, tmp_path / "cache", pictures=pictures)[0].names == ["RGGB"]


def test_what_was_decoded_is_not_decoded_again(photos, tmp_path, monkeypatch):
    folder, decode, decoded = tmp_path / "in", module.load_mosaic, []
    folder.mkdir()
    for pattern in PATTERNS[:2]:
        for suffix in (".dng", ".png"):
            (folder / f"{pattern}{suffix}").write_bytes((photos[0] / f"{pattern}{suffix}").read_bytes())

    def counting(path):
        if len(decoded) == 1 and not stopped:
            stopped.append(path)
            raise KeyboardInterrupt
        decoded.append(path.stem)
        return decode(path)

    stopped = []
    monkeypatch.setattr(module, "load_mosaic", counting)
    with pytest.raises(KeyboardInterrupt):
        opened(folder, tmp_path / "cache")
    first, said = opened(folder, tmp_path / "cache")
    assert decoded == ["BGGR", "RGGB"]
    assert "BGGR" not in said
    again, said = opened(folder, tmp_path / "cache")
    assert (decoded, said) == (["BGGR", "RGGB"], "")
    np.testing.assert_array_equal(first[1]["mosaic"], again[1]["mosaic"])
    write_image(folder / "RGGB.png", 0.9 * read_image(folder / "RGGB.png"))
    changed = opened(folder, tmp_path / "cache")[0][1]
    assert decoded == ["BGGR", "RGGB", "RGGB"]
    assert changed["srgb"].mean() < again[1]["srgb"].mean()


def test_a_cache_that_is_switched_off_is_asked_for(photos):
    with pytest.raises(ValueError, match="cache: expected a folder"):
        PairFolder(photos[0], out=io.StringIO())


@pytest.mark.parametrize("flips", [False, True])
def test_crops_keep_the_phase_and_the_place(flips):
    y, x = np.mgrid[0:12, 0:16]
    sample = {"mosaic": (256 * y + x).astype(np.uint16), "srgb": np.stack([y, x, 0 * x], -1).astype(np.uint8)}
    crop, corners, ways = RandomBayerCrop(8, flips), set(), set()
    rng = np.random.default_rng(0)
    for _ in range(200):
        found = crop(sample, rng)
        rows, columns = found["mosaic"] // 256, found["mosaic"] % 256
        np.testing.assert_array_equal(found["srgb"][..., :2], np.stack([rows, columns], -1))
        assert (rows[0] % 2 == 0).all()
        assert (columns[:, 0] % 2 == 0).all()
        step = int(rows[1, 0]) - int(rows[0, 0]), int(columns[0, 1]) - int(columns[0, 0])
        np.testing.assert_array_equal(rows[:, 0], int(rows[0, 0]) + step[0] * np.arange(8))
        np.testing.assert_array_equal(columns[0], int(columns[0, 0]) + step[1] * np.arange(8))
        ways.add(step)
        corners.add((int(rows.min()), int(columns.min())))
    plain = {(row, column) for row in (0, 2, 4) for column in (0, 2, 4, 6, 8)}
    assert ways == ({(1, 1), (1, -1), (-1, 1), (-1, -1)} if flips else {(1, 1)})
    assert corners >= plain if flips else corners == plain


def test_crops_that_do_not_fit_are_refused():
    sample = {"mosaic": np.zeros((8, 6), np.uint16), "srgb": np.zeros((8, 6, 3), np.uint8), "name": "a"}
    with pytest.raises(ValueError, match="a: expected at least 8 pixels"):
        RandomBayerCrop(8)(sample, np.random.default_rng(0))
    assert RandomBayerCrop(6, True)(sample, np.random.default_rng(0))["mosaic"].shape == (6, 6)
    with pytest.raises(ValueError, match="even number"):
        RandomBayerCrop(7)


def test_the_loader_goes_on_at_the_very_crop(pairs):
    def loader():
        return make_loader(pairs, batch=3, seed=1, transforms=(RandomBayerCrop(88, True),))

    whole, begun = loader(), loader()
    batches = [next(whole) for _ in range(3)]
    next(begun)
    resumed = loader()
    resumed.set_state(begun.get_state())
    for expected in batches[1:]:
        found = next(resumed)
        assert found["name"] == expected["name"]
        for key in ("mosaic", "srgb", "capture", "steps"):
            np.testing.assert_array_equal(found[key], expected[key])
    assert batches[0]["mosaic"].dtype == np.uint16
    for each in (whole, begun, resumed):
        each.close()


def test_training_on_pairs(photos, tmp_path):
    experiment = ParamISPExperiment(
        config=ParamISPConfig(width=2, embedding=2, blocks=0, stages=1),
        pairs=photos[0],
        val_pairs=photos[0],
        pair_cache=tmp_path / "cache",
        crop=88,
        flips=True,
        loop=LoopConfig(steps=2, batch=2, validate_every=2, log_every=1),
    )
    job = task(experiment)
    result = fit(job, experiment.loop, experiment.optim, tmp_path / "run", out=io.StringIO())
    assert result.step == 2
    assert 5 < result.metrics["inverse"] < 60
    assert job.card["data"] == "raw photos and pictures of synthetic camera (4 pairs)"


def test_pairs_want_others_to_validate_on(tmp_path):
    with pytest.raises(ValueError, match="both pairs and val_pairs"):
        ParamISPExperiment(pairs=tmp_path)
    with pytest.raises(ValueError, match="pictures: expected with pairs"):
        ParamISPExperiment(pictures=tmp_path)


@pytest.mark.reference
def test_a_real_raw_photo(shared, tmp_path):
    raw = shared / "data" / "raw" / "GOPR0024.DNG"
    (tmp_path / raw.name).symlink_to(raw)
    mosaic = load_mosaic(raw)
    green = 0.5 * (mosaic.values[0::2, 1::2] + mosaic.values[1::2, 0::2])
    half = np.clip(3 * np.repeat(np.repeat(green, 2, 0), 2, 1), 0, 1) ** (1 / 2.2)
    picture = np.repeat(half[3:-5, 6:-6, None], 3, -1)
    write_image(tmp_path / "GOPR0024.jpg", apply_orientation(picture, mosaic.metadata.orientation))
    found = opened(tmp_path, tmp_path / "cache")[0]
    assert found[0]["mosaic"].shape == (2990, 3988)
    np.testing.assert_allclose(found[0]["mosaic"] / 65535, mosaic.values[4:-6, 6:-6], atol=0.51 / 65535)
    assert found[0]["camera"] == "HERO6 Black"
