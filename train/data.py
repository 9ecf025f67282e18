"""Training data: split folders, photo folders, and a loader that resumes at the exact sample.

A sample is a dict of NumPy arrays: ``raw``, ``clean`` and ``srgb`` are pictures [H, W, 3], ``illuminant`` is [3],
``ccm`` [3, 3], ``name`` a string. Nothing here computes on a device. grain is imported by :func:`make_loader` only.
"""

import json
import operator
import re
from pathlib import Path

import numpy as np

from modisp_jax.io.images import quantize, read_image
from modisp_jax.io.s24 import read_s24
from train.transforms import (
    RandomCrop,
    RandomFlip,
    RandomShift,
    Resize,
    random_crop,
    random_flip,
    random_shift,
    resize_image,
    shrink_photo,
)

__all__ = [
    "VALIDATION_SEED",
    "PhotoFolder",
    "RandomCrop",
    "RandomFlip",
    "RandomShift",
    "Resize",
    "SplitFolder",
    "make_loader",
    "random_crop",
    "random_flip",
    "random_shift",
    "resize_image",
    "shrink_photo",
    "stack",
]

SUFFIXES = (".png", ".jpg", ".jpeg")
VALIDATION_SEED = 2**31
"""Seed of what validation draws; those of training are smaller."""

RAW, CLEAN, FACTS, SRGB = "raw_images", "denoised_raw_images", "data", "srgb_images"
"""The folders of a split in the S24 layout; there may be several that start with ``SRGB``, one a style."""


def pictures_in(folder, suffixes=SUFFIXES):
    """Pictures of a folder by name without extension, in natural order (a2 before a10).

    Hidden files are left out. Raises ``ValueError`` where the folder is missing or two files share a name.
    """
    folder, found = Path(folder), {}
    if not folder.is_dir():
        raise ValueError(f"{folder}: expected a folder of pictures, got {'a file' if folder.exists() else 'nothing'}")
    for path in folder.iterdir():
        if path.suffix.lower() in suffixes and not path.name.startswith(".") and path.is_file():
            if path.stem in found:
                raise ValueError(f"{path}: expected one picture of a name, got {found[path.stem].name} as well")
            found[path.stem] = path
    return {name: found[name] for name in sorted(found, key=_natural)}


def _natural(name):
    return [(part.isdigit(), int(part) if part.isdigit() else 0, part) for part in re.split(r"([0-9]+)", name)]


def target_folder(path, style=None):
    """The folder of finished pictures in a split: ``srgb_images``, or that of ``style``.

    ``style`` 0 or "0" is ``srgb_images_style_0``, "warm" is ``srgb_images_style_warm`` or ``srgb_images_warm``; without
    one, ``srgb_images`` or the only folder of that kind. Raises ``ValueError``, which lists what there is.
    """
    path = Path(path)
    if not path.is_dir():
        raise ValueError(f"{path}: expected a split folder with {RAW} and {SRGB}, found none")
    folders = sorted((p.name for p in path.iterdir() if p.is_dir() and p.name.startswith(SRGB)), key=_natural)
    if style is not None:
        wanted = [f"{SRGB}_style_{style}", f"{SRGB}_{style}", str(style)]
    else:
        wanted = [SRGB, *(folders if len(folders) == 1 else [])]
    for name in wanted:
        if name in folders:
            return path / name
    what = SRGB if style is None else f"{SRGB} of style {style!r}"
    raise ValueError(f"{path}: expected {what}, got {', '.join(folders) or 'no folder of that kind'}")


class SplitFolder:
    """A split of raw photos with finished pictures in the layout of S24, Zurich and FiveK; random access by index.

    ``raw_images/NAME.png`` (16 bit, demosaiced), ``data/NAME.json`` (cam_illum, ccm), ``srgb_images*/NAME.jpg|png``,
    and, if the folder is there, ``denoised_raw_images/NAME.png``. Samples are sorted by name.

    Args:
      path: of the split, such as ``S24/train``.
      style: which folder of finished pictures, see :func:`target_folder`.

    ``split[i]`` is ``{"raw": float32 [H, W, 3], "clean": the same or None, "srgb": float32 [H, W, 3], all in [0, 1],
    "illuminant": float32 [3], G = 1, "ccm": float32 [3, 3], "name": str}``, pixels as stored (not turned).

    Raises:
      ValueError: on opening, a sample without JSON, finished or denoised picture; on reading, a damaged file or
        pictures of unequal size. The message names the file.
    """

    def __init__(self, path, style=None):
        self.path = Path(path)
        self.targets = target_folder(self.path, style)
        self._raw = pictures_in(self.path / RAW, (".png",))
        self._srgb = pictures_in(self.targets)
        self._clean = pictures_in(self.path / CLEAN, (".png",)) if (self.path / CLEAN).is_dir() else None
        self.names = list(self._raw)
        if not self.names:
            raise ValueError(f"{self.path / RAW}: expected PNG files, found none")
        folder = self.path / FACTS
        facts = {p.stem for p in folder.iterdir() if p.suffix == ".json"} if folder.is_dir() else set()
        self._require(facts, folder, ".json")
        self._require(self._srgb, self.targets, ".jpg or .png")
        if self._clean is not None:
            self._require(self._clean, self.path / CLEAN, ".png")

    def _require(self, found, folder, suffix):
        missing = [name for name in self.names if name not in found]
        if missing:
            more = f" ({len(missing)} such files are missing)" if len(missing) > 1 else ""
            raise ValueError(f"{folder / missing[0]}{suffix}: expected for {self._raw[missing[0]]}, found none{more}")

    def __len__(self):
        return len(self.names)

    def __repr__(self):
        return f"SplitFolder({str(self.path)!r}, targets={self.targets.name!r})"

    def __getitem__(self, index):
        name = self.names[operator.index(index)]
        file = read_s24(self._raw[name], self.path / FACTS / f"{name}.json")
        sample = {"raw": file.image, "clean": None, "srgb": read_image(self._srgb[name])}
        if self._clean is not None:
            sample["clean"] = read_image(self._clean[name])
        for key, places in (("clean", self._clean), ("srgb", self._srgb)):
            if sample[key] is not None and sample[key].shape != file.image.shape:
                want, got = (f"{w} x {h}" for h, w, _ in (file.image.shape, sample[key].shape))
                raise ValueError(f"{places[name]}: expected {want} pixels as {self._raw[name]} has, got {got}")
        sample["illuminant"] = np.asarray(file.illuminant, np.float32)
        return sample | {"ccm": np.asarray(file.ccm, np.float32), "name": name}


class PhotoFolder:
    """A folder of finished sRGB photos, JPEG or PNG; random access by index.

    ``photos[i]`` is ``{"srgb": uint8 [H, W, 3], "name": str}``, pixels as stored: EXIF is not looked at. A photo is
    decoded once, and kept in memory while all kept photos take no more than ``cache_bytes``.

    Args:
      path: of the folder.
      long_side: larger photos are shrunk to this many pixels by area (:func:`shrink_photo`); None keeps them.
      cache_bytes: limit of the memory for decoded photos; 0 decodes each time.

    Raises:
      ValueError: no such folder, no photo in it; on reading, a damaged photo. The message names the file.
    """

    def __init__(self, path, *, long_side=None, cache_bytes=2**30):
        self.path = Path(path)
        self._files = pictures_in(self.path)
        self.names = list(self._files)
        if not self.names:
            raise ValueError(f"{self.path}: expected JPEG or PNG photos, found none")
        self.long_side, self.cache_bytes = long_side, cache_bytes
        self._cache = {}

    def __len__(self):
        return len(self.names)

    def __repr__(self):
        return f"PhotoFolder({str(self.path)!r}, long_side={self.long_side})"

    def __getstate__(self):
        return self.__dict__ | {"_cache": {}}  # worker processes decode for themselves

    def __getitem__(self, index):
        name = self.names[operator.index(index)]
        photo = self._cache.get(name)
        if photo is None:
            photo = quantize(read_image(self._files[name]))
            photo = photo if self.long_side is None else shrink_photo(photo, self.long_side)
            photo.setflags(write=False)  # the cache is shared: a transform must not draw into it
            if sum(kept.nbytes for kept in list(self._cache.values())) + photo.nbytes <= self.cache_bytes:
                self._cache[name] = photo
        return {"srgb": photo, "name": name}


def stack(samples):
    """A list of samples as one: arrays stacked along a new axis 0, strings as a list, None where all are None.

    Raises ``ValueError`` where shapes differ, with the names of two samples that do.
    """
    batch = {}
    for key in samples[0]:
        values = [sample[key] for sample in samples]
        if all(value is None for value in values):
            batch[key] = None
        elif isinstance(values[0], str):
            batch[key] = values
        else:
            shapes = [np.shape(value) for value in values]
            odd = next((k for k, shape in enumerate(shapes) if shape != shapes[0] or values[k] is None), None)
            if odd is not None:
                first, second = (samples[k].get("name", k) for k in (0, odd))
                got = f"{shapes[0]} of {first} and {shapes[odd]} of {second}"
                raise ValueError(f"{key}: expected one shape in a batch, got {got}; crop or resize first")
            batch[key] = np.stack(values)
    return batch


def make_loader(
    source,
    *,
    batch,
    seed,
    transforms=(),
    shard=(0, 1),
    epochs=None,
    shuffle=True,
    drop_remainder=True,
    worker_count=0,
    read_threads=1,
):
    """Batches of a source, shuffled anew each epoch: deterministic, sharded, resumable at the exact sample.

    Sample i of the stream depends on the source, the transforms, ``seed`` and i, and on nothing else. Shard k of n
    takes samples k, k + n, k + 2n, ...: the n batches of a step are together the batch that a single shard with n times
    ``batch`` would get, augmentation included. Epochs follow each other without a gap, so that a batch may hold the end
    of one and the start of the next.

    Args:
      source: anything with ``__len__`` and ``__getitem__``, such as :class:`SplitFolder` or :class:`PhotoFolder`.
      batch: samples in a batch of this shard.
      seed: in [0, 2^32).
      transforms: functions (sample, numpy Generator) -> sample, applied in order; :mod:`train.transforms` has some.
      shard: (index, count), such as ``(jax.process_index(), jax.process_count())``.
      epochs: how many times over the source; None goes on for ever.
      shuffle: False keeps the source's order.
      drop_remainder: with ``epochs``, stop at the last batch that is whole on every shard; False delivers the rest too.
      worker_count: processes that read and transform; 0 is this one. Does not change the stream. The source and the
        transforms must be picklable, and a program's main module importable, as Python's spawned processes want.
      read_threads: threads of each process that read ahead; 0 reads when asked.

    Returns:
      A :class:`Loader`: an iterator over batches (:func:`stack`) with ``get_state`` and ``set_state``.
    """
    import grain

    index, count = shard
    if batch < 1 or not 0 <= index < count:
        raise ValueError(f"expected batch >= 1 and shard (index, count), index < count; got {batch} and {shard}")
    if len(source) == 0 or (epochs is not None and epochs < 1):
        raise ValueError(f"expected at least 1 sample and 1 epoch, got {len(source)} and {epochs}")
    stream = grain.MapDataset.source(source).seed(seed)
    stream = (stream.shuffle() if shuffle else stream).repeat(epochs)
    for transform in transforms:
        stream = stream.random_map(transform)
    step = batch * count

    def read(start):
        """An iterator over this shard's batches from sample ``start`` of the stream on."""
        stop = min(len(stream), 2**62)  # an endless stream's length, rounded up to batches of 1, would overflow
        if drop_remainder and epochs is not None:
            stop = start + (stop - start) // step * step
        rest = stream[start:stop][index::count] if stop > start + index else ()
        if not len(rest):
            return iter(())
        batches = rest.batch(batch, batch_fn=stack)
        options = grain.ReadOptions(num_threads=read_threads, prefetch_buffer_size=2 * read_threads)
        batches = batches.to_iter_dataset(options)
        if worker_count:
            _accept_flags()
            batches = batches.mp_prefetch(grain.MultiprocessingOptions(num_workers=worker_count))
        return iter(batches)

    return Loader(read, step, len(stream), {"seed": seed, "samples": len(source), "shuffle": shuffle})


def _accept_flags():
    """Workers pass absl's flags on, which grain requires to have been parsed; this program has none."""
    from absl import flags

    if not flags.FLAGS.is_parsed():
        flags.FLAGS.mark_as_parsed()


class Loader:
    """An iterator over batches, see :func:`make_loader`.

    Its state is a position in the stream of samples, so it may be resumed with another batch size, shard count or
    number of workers: the stream goes on at the very sample.
    """

    def __init__(self, read, step, length, identity):
        self._read, self._step, self._length, self._identity = read, step, length, identity
        self._position, self._batches = 0, None

    @property
    def position(self):
        """Samples of the stream delivered so far, over all shards."""
        return self._position

    @property
    def epoch(self):
        """Passes over the source so far, with its fraction."""
        return self._position / self._identity["samples"]

    def __iter__(self):
        return self

    def __next__(self):
        if self._batches is None:
            self._batches = self._read(self._position)
        batch = next(self._batches)
        self._position = min(self._position + self._step, self._length)
        return batch

    def get_state(self):
        """Bytes (JSON) from which ``set_state`` goes on with the batch after the last one delivered."""
        return json.dumps({"version": 1, "position": self._position, **self._identity}).encode()

    def set_state(self, state):
        """Goes on where ``state`` was taken. Raises ``ValueError`` for one of another seed, source size or order."""
        try:
            known = json.loads(state)
            position = operator.index(known.pop("position"))
        except (ValueError, TypeError, KeyError, AttributeError):
            raise ValueError(f"state: expected bytes made by get_state, got {state!r:.80}") from None
        if known != {"version": 1, **self._identity} or not 0 <= position <= self._length:
            raise ValueError(f"state: expected one of {self._identity}, got {known} at {position}")
        self.close()
        self._position = position

    def close(self):
        """Stops threads and processes that read ahead; the next batch starts them anew."""
        batches, self._batches = self._batches, None
        if hasattr(batches, "close"):
            batches.close()
