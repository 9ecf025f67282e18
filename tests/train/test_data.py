"""Split and photo folders, augmentation, and the loader: determinism, shards, resumption."""

import json
import pickle

import numpy as np
import pytest

from modisp_jax.io.images import quantize, read_image, write_image
from modisp_jax.resample import resize_bilinear
from train import transforms
from train.data import PhotoFolder, SplitFolder, make_loader, stack
from train.transforms import random_crop, random_flip, random_shift, resize_image, shift_image, shrink_photo

FACTS = {"cam_illum": [0.25, 0.5, 0.3], "ccm": [[1.7, -0.5, -0.2], [-0.3, 1.6, -0.3], [0, -0.6, 1.6]], "orientation": 6}


def image(seed=0, shape=(12, 16, 3)):
    return np.random.default_rng(seed).random(shape).astype(np.float32)


def write_split(folder, names=("a2", "a10", "a1"), styles=("srgb_images",), clean=True, suffix=".png"):
    for sub in ("raw_images", "data", *styles, *(["denoised_raw_images"] if clean else [])):
        (folder / sub).mkdir(parents=True, exist_ok=True)
    for k, name in enumerate(names):
        write_image(folder / "raw_images" / f"{name}.png", image(k), bits=16)
        (folder / "data" / f"{name}.json").write_text(json.dumps(FACTS))
        for style in styles:
            write_image(folder / style / f"{name}{suffix}", image(k + 20))
        if clean:
            write_image(folder / "denoised_raw_images" / f"{name}.png", image(k + 10), bits=16)
    return folder


class Numbers:
    """A source whose samples are their numbers."""

    def __init__(self, count=7):
        self.count = count

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        return {
            "number": np.int64(index),
            "srgb": np.full((4, 4, 3), index, np.uint8),
            "clean": None,
            "name": str(index),
        }


def draw(sample, rng):
    """A random transform that leaves a trace."""
    return sample | {"draw": rng.integers(2**62)}


# Folders


def test_a_split_as_it_is(tmp_path):
    split = SplitFolder(write_split(tmp_path / "train"))
    assert split.names == ["a1", "a2", "a10"]
    assert len(split) == 3
    sample = split[np.int64(2)]
    assert sample["name"] == "a10"
    assert {key: (v.dtype, v.shape) for key, v in sample.items() if key != "name"} == {
        **{key: (np.float32, (12, 16, 3)) for key in ("raw", "clean", "srgb")},
        "illuminant": (np.float32, (3,)),
        "ccm": (np.float32, (3, 3)),
    }
    np.testing.assert_array_equal(quantize(sample["raw"], 16), quantize(image(1), 16))
    np.testing.assert_array_equal(quantize(sample["clean"], 16), quantize(image(11), 16))
    np.testing.assert_array_equal(quantize(sample["srgb"]), quantize(image(21)))
    np.testing.assert_allclose(sample["illuminant"], [0.5, 1, 0.6])
    np.testing.assert_allclose(sample["ccm"], FACTS["ccm"])


def test_a_split_without_clean_raws_and_with_jpegs(tmp_path):
    sample = SplitFolder(write_split(tmp_path, clean=False, suffix=".JPG"))[0]
    assert sample["clean"] is None
    assert sample["srgb"].shape == (12, 16, 3)


def test_style_picks_the_folder(tmp_path):
    write_split(tmp_path, styles=("srgb_images_style_0", "srgb_images_style_1", "srgb_images_warm"))
    assert SplitFolder(tmp_path, 1).targets.name == SplitFolder(tmp_path, "1").targets.name == "srgb_images_style_1"
    assert SplitFolder(tmp_path, "warm").targets.name == "srgb_images_warm"
    with pytest.raises(ValueError, match="srgb_images_style_0, srgb_images_style_1, srgb_images_warm"):
        SplitFolder(tmp_path)
    with pytest.raises(ValueError, match="style 7"):
        SplitFolder(tmp_path, 7)


def test_the_only_style_needs_no_name(tmp_path):
    assert SplitFolder(write_split(tmp_path, styles=("srgb_images_style_0",))).targets.name == "srgb_images_style_0"


@pytest.mark.parametrize(
    "missing", ["data/a2.json", "srgb_images/a2.png", "denoised_raw_images/a2.png"], ids=["json", "target", "clean"]
)
def test_a_missing_file_is_named(tmp_path, missing):
    write_split(tmp_path)
    (tmp_path / missing).unlink()
    with pytest.raises(ValueError, match=rf"{missing.split('.')[0]}.*expected for .*raw_images/a2.png, found none"):
        SplitFolder(tmp_path)


@pytest.mark.parametrize("folder", ["srgb_images", "denoised_raw_images"])
def test_unequal_sizes_are_named(tmp_path, folder):
    write_split(tmp_path)
    write_image(tmp_path / folder / "a1.png", image(0, (16, 12, 3)))
    split = SplitFolder(tmp_path)
    with pytest.raises(ValueError, match=rf"{folder}/a1.png: expected 16 x 12 pixels .* got 12 x 16"):
        split[0]
    assert split[1]["name"] == "a2"


def test_other_bad_splits(tmp_path):
    with pytest.raises(ValueError, match="expected a split folder"):
        SplitFolder(tmp_path / "none")
    with pytest.raises(ValueError, match="expected srgb_images"):
        SplitFolder(tmp_path)
    write_split(tmp_path, names=())
    with pytest.raises(ValueError, match="expected PNG files, found none"):
        SplitFolder(tmp_path)
    write_split(tmp_path)
    (tmp_path / "data" / "a1.json").write_text("{}")
    with pytest.raises(ValueError, match=r"a1\.json: expected the key cam_illum"):
        SplitFolder(tmp_path)[0]
    write_image(tmp_path / "srgb_images" / "a1.jpg", image())
    with pytest.raises(ValueError, match=r"a1\..* one picture of a name"):
        SplitFolder(tmp_path)


def test_photos(tmp_path):
    write_image(tmp_path / "b.jpg", image())
    write_image(tmp_path / "a.png", image(1, (20, 40, 3)))
    (tmp_path / "notes.txt").write_text("no photo")
    photos = PhotoFolder(tmp_path)
    assert photos.names == ["a", "b"]
    np.testing.assert_array_equal(photos[0]["srgb"], quantize(image(1, (20, 40, 3))))
    np.testing.assert_array_equal(photos[1]["srgb"], quantize(read_image(tmp_path / "b.jpg")))
    assert photos[0]["srgb"] is photos[0]["srgb"]
    assert not photos[0]["srgb"].flags.writeable
    assert pickle.loads(pickle.dumps(photos))._cache == {}
    uncached = PhotoFolder(tmp_path, cache_bytes=0, long_side=20)
    assert uncached[0]["srgb"].shape == (10, 20, 3)
    assert uncached[1]["srgb"].shape == (12, 16, 3)
    assert uncached[0]["srgb"] is not uncached[0]["srgb"]


def test_bad_photos(tmp_path):
    with pytest.raises(ValueError, match="expected a folder"):
        PhotoFolder(tmp_path / "none")
    with pytest.raises(ValueError, match="found none"):
        PhotoFolder(tmp_path)
    (tmp_path / "a.jpg").write_bytes(b"no picture")
    with pytest.raises(ValueError, match=r"a\.jpg"):
        PhotoFolder(tmp_path)[0]


# Transforms


def test_crops_are_the_same_for_all_and_anywhere():
    rng, coordinates = np.random.default_rng(0), np.stack(np.mgrid[0:6, 0:5], axis=-1)
    corners = set()
    for _ in range(200):
        cut = random_crop(rng, {"raw": coordinates, "srgb": coordinates, "clean": None}, (4, 3))
        assert cut["raw"].shape == (4, 3, 2)
        assert cut["clean"] is None
        np.testing.assert_array_equal(cut["raw"], cut["srgb"])
        corners.add(tuple(cut["raw"][0, 0].tolist()))
    assert corners == {(i, j) for i in range(3) for j in range(3)}
    np.testing.assert_array_equal(random_crop(rng, {"a": coordinates[:5]}, 5)["a"], coordinates[:5])
    with pytest.raises(ValueError, match=r"at least \(7, 7\), got \(6, 5\)"):
        random_crop(rng, {"a": coordinates}, 7)
    with pytest.raises(ValueError, match="one size"):
        random_crop(rng, {"a": coordinates, "b": coordinates[1:]}, 2)


def test_flips_are_all_four():
    x, rng = image(), np.random.default_rng(0)
    expected = [x, x[::-1], x[:, ::-1], x[::-1, ::-1]]
    seen = set()
    for _ in range(40):
        flipped = random_flip(rng, {"a": x, "b": x + 1})
        np.testing.assert_array_equal(flipped["b"], flipped["a"] + 1)
        seen.add(next(k for k, y in enumerate(expected) if np.array_equal(flipped["a"], y)))
    assert seen == {0, 1, 2, 3}


@pytest.mark.parametrize(("down", "right"), [(0, 0), (2, 0), (-2, 3), (5, -5)])
def test_a_shift_is_a_mirrored_pad_and_a_crop(down, right):
    x = image(shape=(6, 5, 3))
    padded = np.pad(x, ((5, 5), (5, 5), (0, 0)), mode="symmetric")
    np.testing.assert_array_equal(shift_image(x, down, right), padded[5 - down : 11 - down, 5 - right : 10 - right])


def test_shifts_reach_their_limits_and_no_further():
    rows, rng = np.arange(100.0)[:, None, None] * np.ones((1, 100, 1)), np.random.default_rng(0)
    steps = {int(50 - random_shift(rng, {"a": rows})["a"][50, 0, 0]) for _ in range(200)}
    assert steps == set(range(-5, 6))


@pytest.mark.parametrize("size", [(8, 8), (12, 16), (30, 7)])
def test_resize_is_that_of_the_package(size):
    x = image()
    result = resize_image(x, size)
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, resize_bilinear(x, size, align="centers"), atol=1e-6)
    np.testing.assert_allclose(resize_image(quantize(x), size), resize_image(quantize(x) / 255, size), atol=1e-6)


@pytest.mark.parametrize("method", ["box", "lanczos"])
def test_shrinking_keeps_the_mean(method):
    x = image(shape=(32, 48, 3))
    for photo, tolerance in ((x, 0.02), (quantize(x), 3)):
        small = shrink_photo(photo, 12, method=method)
        assert (small.shape, small.dtype) == ((8, 12, 3), photo.dtype)
        np.testing.assert_allclose(small.mean(axis=(0, 1)), photo.mean(axis=(0, 1)), atol=tolerance)
    np.testing.assert_allclose(shrink_photo(x, 24), x.reshape(16, 2, 24, 2, 3).mean(axis=(1, 3)), atol=1e-6)
    assert shrink_photo(x, 48) is x
    with pytest.raises(ValueError, match="method"):
        shrink_photo(x, 12, method="nearest")


def test_transforms_of_a_sample_touch_pictures_only(tmp_path):
    sample, rng = SplitFolder(write_split(tmp_path, clean=False))[0], np.random.default_rng(0)
    for change, shape in (
        (transforms.RandomCrop(8), (8, 8, 3)),
        (transforms.RandomFlip(), (12, 16, 3)),
        (transforms.RandomShift(2), (12, 16, 3)),
        (transforms.Resize((6, 7)), (6, 7, 3)),
    ):
        new = change(sample, rng)
        assert new.keys() == sample.keys()
        assert (new["raw"].shape, new["srgb"].shape, new["clean"]) == (shape, shape, None)
        assert new["ccm"] is sample["ccm"]


def test_stack():
    batch = stack([Numbers()[1], Numbers()[4]])
    assert batch["srgb"].shape == (2, 4, 4, 3)
    assert (batch["number"].tolist(), batch["name"], batch["clean"]) == ([1, 4], ["1", "4"], None)
    with pytest.raises(ValueError, match=r"x: expected one shape .* \(2,\) of b and \(3,\) of c"):
        stack([{"x": np.zeros(2), "name": "b"}, {"x": np.zeros(3), "name": "c"}])


# The loader


def load(count=7, **options):
    pytest.importorskip("grain")
    return make_loader(Numbers(count), **{"batch": 2, "seed": 3, "transforms": [draw], "read_threads": 0} | options)


def take(loader, batches):
    return [(n, d) for _ in range(batches) for b in [next(loader)] for n, d in zip(b["number"], b["draw"], strict=True)]


def test_the_seed_decides_the_stream():
    assert take(load(), 12) == take(load(), 12)
    assert take(load(), 12) != take(load(seed=4), 12)


def test_an_epoch_has_every_sample_once_and_its_own_order():
    numbers = [n for n, _ in take(load(batch=7), 4)]
    epochs = [numbers[k : k + 7] for k in range(0, 28, 7)]
    assert all(sorted(epoch) == list(range(7)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 4
    assert len({d for _, d in take(load(batch=7), 4)}) == 28  # augmentation differs from epoch to epoch
    assert [n for n, _ in take(load(batch=7, shuffle=False), 2)] == [*range(7), *range(7)]


def test_shards_partition_an_epoch():
    shards = [take(load(count=8, shard=(k, 2)), 2) for k in range(2)]
    assert sorted(n for shard in shards for n, _ in shard) == list(range(8))


def test_shards_together_are_the_batch_of_one():
    whole = [set(take(loader, 1)) for loader in [load(batch=6)] for _ in range(5)]
    loaders = [load(batch=2, shard=(k, 3)) for k in range(3)]
    assert [set().union(*(take(loader, 1) for loader in loaders)) for _ in range(5)] == whole


@pytest.mark.parametrize("batches", [0, 1, 5])
@pytest.mark.parametrize("read_threads", [0, 1])
def test_resuming_is_exact(batches, read_threads):
    loader = load(read_threads=read_threads)
    take(loader, batches)
    state = loader.get_state()
    assert isinstance(state, bytes)
    expected = take(loader, 6)
    loader.close()
    new = load(read_threads=read_threads)
    take(new, 2)
    new.set_state(state)
    assert (new.position, new.epoch) == (2 * batches, 2 * batches / 7)
    assert take(new, 6) == expected
    new.close()


def test_resuming_with_another_batch_size_and_shards():
    loader = load(batch=6)
    take(loader, 2)
    state, expected = loader.get_state(), set(take(loader, 1))
    loaders = [load(batch=2, shard=(k, 3)) for k in range(3)]
    for other in loaders:
        other.set_state(state)
    assert set().union(*(take(other, 1) for other in loaders)) == expected


def test_a_state_of_something_else_is_refused():
    state = load().get_state()
    for other in (load(seed=4), load(count=8), load(shuffle=False)):
        with pytest.raises(ValueError, match="state: expected one of"):
            other.set_state(state)
    for nonsense in (b"", b"{}", b"[1]", b'{"position": "1"}'):
        with pytest.raises(ValueError, match="made by get_state"):
            load().set_state(nonsense)


def test_epochs_end():
    sizes = lambda **options: [len(batch["number"]) for batch in load(epochs=2, **options)]  # noqa: E731
    assert sizes(batch=4) == [4, 4, 4]
    assert sizes(batch=4, drop_remainder=False) == [4, 4, 4, 2]
    assert sizes(batch=2, shard=(1, 3)) == [2, 2]
    assert sizes(batch=15) == []
    assert sizes(batch=10, drop_remainder=False, shard=(0, 2)) == [7]
    loader = load(epochs=1, batch=7)
    take(loader, 1)
    with pytest.raises(StopIteration):
        next(loader)
    loader.set_state(loader.get_state())
    with pytest.raises(StopIteration):
        next(loader)


def test_worker_processes_do_not_change_the_stream():
    source = dict(transforms=[transforms.RandomFlip(), transforms.RandomShift(1)])
    one, two = load(**source), load(**source, worker_count=1)
    batches = [(next(one), next(two)) for _ in range(5)]
    two.close()
    for a, b in batches:
        assert a["name"] == b["name"]
        np.testing.assert_array_equal(a["srgb"], b["srgb"])


def test_a_failing_sample_is_reported(tmp_path):
    pytest.importorskip("grain")
    write_split(tmp_path)
    write_image(tmp_path / "srgb_images" / "a1.png", image(0, (16, 12, 3)))
    loader = make_loader(SplitFolder(tmp_path), batch=3, seed=0)
    with pytest.raises(ValueError, match=r"a1\.png: expected 16 x 12"):
        next(loader)
    loader.close()


@pytest.mark.parametrize("options", [{"batch": 0}, {"shard": (2, 2)}, {"epochs": 0}, {"count": 0}])
def test_bad_options(options):
    with pytest.raises(ValueError, match="expected"):
        load(**options)
