"""Folders of a camera's raw photos and the pictures that it made of them: real pairs to train on and to measure by.

Decoding a raw photo takes seconds, and a training step wants a crop of it: each pair is decoded and laid on each other
once, into a cache on disk, from which pixels are mapped into memory.
"""

import dataclasses
import hashlib
import json
import math
import operator
import sys
from pathlib import Path

import numpy as np

from modisp_jax.compile_cache import cache_root
from modisp_jax.describe import explain
from modisp_jax.fit_files import find_pairs
from modisp_jax.io.alignment import check_same_scene, read_turned
from modisp_jax.io.images import quantize, read_image, replacing
from modisp_jax.io.json_text import read_json
from modisp_jax.io.load import load_mosaic
from modisp_jax.io.metadata import describe_capture
from modisp_jax.nets.paramisp import PARAMETERS, SMALLEST
from train.paramisp.overlay import find_place, overlap, place_by_size

VERSION = 1
"""Of what lies in the cache; another decodes anew."""

WHITE = 65535
"""The mosaic's white level in the cache."""


class PairFolder:
    """A camera's raw photos with the pictures that it made of them; random access by index.

    Raw photos and pictures lie side by side (a.dng, a.jpg), or the pictures in a folder of their own. Pictures are
    turned as their raw photos lie, and both are cropped to what both show, to the pixel.

    ``pairs[i]`` is a dict, its pixels mapped from the cache, not to be written to:

    | key | what |
    |---|---|
    | mosaic | uint16 [H, W], RGGB, black 0 and white 65535; H and W even |
    | srgb | uint8 [H, W, 3], the picture; of those with 16 bits the upper 8 |
    | illuminant | float32 [3], camera RGB of white, G = 1 |
    | ccm | float32 [3, 3], white-balanced camera RGB to linear sRGB |
    | capture | float32 [4], exposure data in the order of ``PARAMETERS``, from the raw or the picture; or NaN |
    | steps | float32 [], the sensor's steps between black and white |
    | camera | str, its model |
    | name | str, of the raw photo, without extension |

    Pairs that cannot be used are named on ``out`` with the reason, and are in ``refused``, a dict from path to reason.
    Stopped while it prepares, it goes on with the pair at which it was stopped.

    Args:
      path: folder of the raw photos.
      pictures: folder of the pictures; None: ``path``.
      cache: folder for what is decoded, 5 bytes a pixel; None: that of the user, see ``compile_cache``.
      least: smaller pairs are refused, in pixels.
      out: stream for progress, standard error by default.

    Raises:
      ValueError: no such folder, no pair of one name in it, or none that can be used.
      OSError: a cache that cannot be written to.
    """

    def __init__(self, path, pictures=None, *, cache=None, least=SMALLEST, out=None):
        self.path = Path(path)
        out = out or sys.stderr
        self.cache = _cache_folder(cache)
        found = find_pairs(self.path, None if pictures is None else Path(pictures))
        self._facts, self.refused = [], {}
        for number, (raw, picture) in enumerate(found, 1):
            try:
                self._facts.append(self._prepared(raw, picture, least, out, f"[{number}/{len(found)}]"))
            except (ValueError, MemoryError) as error:
                self.refused[str(raw)] = explain(error, raw)
                print(f"[{number}/{len(found)}] left out: {self.refused[str(raw)]}", file=out, flush=True)
        if not self._facts:
            raise ValueError(f"{self.path}: expected at least one pair that can be used, got none of {len(found)}")

    def _prepared(self, raw, picture, least, out, label):
        """The facts of a pair, from the cache, or made and written there."""
        key = _key(raw, picture)
        facts = _read_facts(self.cache, key)
        if facts is None:
            print(f"{label} {raw.name} and {picture.name}", file=out, flush=True)
            facts, arrays = read_pair(raw, picture)
            _write(self.cache, key, facts, arrays)
        if min(facts["size"]) < least:
            raise ValueError(f"{raw}: expected a pair that shares at least {least} pixels a side, got {facts['size']}")
        return {"key": key, **facts}

    @property
    def names(self):
        """Names of the pairs, in order."""
        return [facts["name"] for facts in self._facts]

    @property
    def cameras(self):
        """Models of the cameras, each once."""
        return sorted({facts["camera"] for facts in self._facts})

    def __len__(self):
        return len(self._facts)

    def __repr__(self):
        return f"PairFolder({str(self.path)!r})"

    def __getitem__(self, index):
        facts = self._facts[operator.index(index)]
        pixels = {name: np.load(path, mmap_mode="r") for name, path in _arrays(self.cache, facts["key"]).items()}
        capture = [math.nan if value is None else value for value in facts["capture"]]
        numbers = {"illuminant": facts["illuminant"], "ccm": facts["ccm"], "capture": capture, "steps": facts["steps"]}
        texts = {name: facts[name] for name in ("camera", "name")}
        return pixels | {name: np.asarray(value, np.float32) for name, value in numbers.items()} | texts


def read_pair(raw_path, picture_path):
    """Reads a raw photo and its picture and lays them on each other.

    Returns:
      (facts, arrays): what :class:`PairFolder` says of a pair, fit for JSON, with ``size`` [2] and ``shift`` [2], the
      picture's place in the raw photo; ``{"mosaic": uint16 [H, W], "srgb": uint8 [H, W, 3]}``.

    Raises:
      ValueError: a raw photo that is no Bayer mosaic, a file that cannot be read, a picture of another size than its
        raw photo, warped, or of something else.
    """
    mosaic = load_mosaic(raw_path)
    values, (row, column) = _rggb(mosaic)
    picture, (place, sure) = _turned(picture_path, mosaic)
    place = place[0] - row, place[1] - column
    ours, theirs = overlap(values.shape, picture.shape[:2], place)
    check_same_scene(picture_path, _small(values[ours]), picture[theirs])  # roughly, but it can say what is wrong
    place = find_place(picture_path, values, picture, place, mosaic.illuminant, mosaic.ccm, sure=sure)
    ours, theirs = overlap(values.shape, picture.shape[:2], place)
    values, picture = values[ours], picture[theirs]
    metadata = mosaic.metadata
    facts = {
        "name": raw_path.stem,
        "camera": metadata.model or metadata.unique_camera_model or "unknown camera",
        "illuminant": np.asarray(mosaic.illuminant).tolist(),
        "ccm": np.asarray(mosaic.ccm).tolist(),
        "capture": _capture(metadata, picture_path),
        "steps": float(np.mean(np.subtract(metadata.white, metadata.black))),
        "size": list(values.shape),
        "shift": [place[0] + row, place[1] + column],
    }
    return facts, {"mosaic": quantize(values, 16), "srgb": np.ascontiguousarray(picture)}


def _rggb(mosaic):
    """The mosaic from its first red pixel on, a view, and where that is."""
    row, column = divmod(mosaic.pattern.index("R"), 2)
    return mosaic.values[row:, column:], (row, column)


def _turned(path, mosaic):
    """A picture as the raw photo lies, uint8 [h, w, 3], and its place by size.

    It is turned by what EXIF says of both, or, where only that fits, taken as stored.
    """
    size, metadata = mosaic.values.shape, mosaic.metadata
    for read in (lambda: read_turned(path, metadata.orientation)[0], lambda: read_image(path)):
        picture = quantize(read())
        place = place_by_size(size, picture.shape[:2], metadata.default_crop)
        if place is not None:
            return picture, place
    ours, theirs = (f"{w} x {h}" for h, w in (size, picture.shape[:2]))
    raise ValueError(
        f"{path}: expected the {ours} pixels of its raw photo, or some less where the camera crops, got {theirs};"
        " resized pictures cannot be used"
    )


def _small(values):
    """A mosaic RGGB as a picture of half the size."""
    green = 0.5 * (values[0::2, 1::2] + values[1::2, 0::2])
    return np.stack([values[0::2, 0::2], green, values[1::2, 1::2]], axis=-1)


def _capture(metadata, picture):
    """Exposure data of a raw photo, or else of its picture, in the order of ``PARAMETERS``; None: unknown."""
    own, other = dataclasses.asdict(metadata), describe_capture(picture)
    return [next((float(x[name]) for x in (own, other) if (x[name] or 0) > 0), None) for name in PARAMETERS]


def _cache_folder(cache):
    """The folder for what is decoded, made if it is missing."""
    root = cache_root()
    if cache is None and root is None:
        raise ValueError("cache: expected a folder for decoded pairs, since the user's is switched off")
    folder = root / "pairs" if cache is None else Path(cache)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _key(raw, picture):
    """A name for what lies in two files: of their places, sizes and times of change."""
    about = [VERSION]
    for path in (raw, picture):
        stat = path.stat()
        about.append([str(path.resolve()), stat.st_size, stat.st_mtime_ns])
    return f"{raw.stem[:40]}-{hashlib.sha256(json.dumps(about).encode()).hexdigest()[:16]}"


def _arrays(cache, key):
    return {name: cache / f"{key}.{name}.npy" for name in ("mosaic", "srgb")}


def _read_facts(cache, key):
    """The facts of a pair in the cache; None where it is not there, or not whole."""
    try:
        facts = read_json(cache / f"{key}.json")
    except (ValueError, OSError):
        return None
    return facts if all(path.is_file() for path in _arrays(cache, key).values()) else None


def _write(cache, key, facts, arrays):
    """Writes a pair into the cache, the facts last: a pair that has them is whole."""
    for name, path in _arrays(cache, key).items():
        with replacing(path, error=OSError) as temporary, temporary.open("wb") as file:
            np.save(file, arrays[name])
    with replacing(cache / f"{key}.json", error=OSError) as temporary:
        temporary.write_text(json.dumps(facts, allow_nan=False) + "\n", encoding="utf-8")


@dataclasses.dataclass(frozen=True)
class RandomBayerCrop:
    """A random crop of ``size`` x ``size`` of a pair's mosaic and picture at an even place: every crop is RGGB.

    With ``flips`` half of the crops are mirrored left to right, and half top to bottom. What is mirrored is cut at an
    odd place, so that it is RGGB as well; it takes a photo that is larger than the crop.
    """

    size: int
    flips: bool = False

    def __post_init__(self):
        if self.size < 2 or self.size % 2:
            raise ValueError(f"size: expected an even number of pixels, got {self.size}")

    def __call__(self, sample, rng):
        box = []
        for n in sample["mosaic"].shape:
            free = n - self.size
            if free < 0:
                got = sample["mosaic"].shape
                raise ValueError(f"{sample['name']}: expected at least {self.size} pixels a side, got {got}")
            mirrored = int(self.flips and free > 0 and rng.integers(2))
            start = mirrored + 2 * int(rng.integers((free - mirrored) // 2 + 1))
            stop = start - 1 if start else None
            box.append(slice(start + self.size - 1, stop, -1) if mirrored else slice(start, start + self.size))
        # Copied: it is here, in the loader's threads, that the disk is read.
        return sample | {name: np.array(sample[name][tuple(box)]) for name in ("mosaic", "srgb")}
