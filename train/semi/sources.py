"""Pairs and ordinary photos for semi-supervised training, all small and in memory.

Either a user's folders, or the controlled benchmark: pairs of which every pixel is known, because a hidden renderer
made them. Its photos are taken again by cameras drawn at random (``train.photofinish.simulate``); what the renderer
makes of the light that falls on the sensor is the wanted picture.
"""

import dataclasses
import functools
import json
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from modisp_jax.color import srgb_decode, srgb_encode
from modisp_jax.dynamicisp.pseudo import with_noise
from modisp_jax.fit.look import ASPECT
from modisp_jax.fit_files import find_pairs, read_pair
from modisp_jax.io.images import read_image
from modisp_jax.io.resize import resize_area
from modisp_jax.noise import add_noise
from modisp_jax.unprocess import UnprocessConfig
from train.cameras import cameras_of
from train.data import VALIDATION_SEED, PhotoFolder, make_loader, pictures_in
from train.photofinish import simulate
from train.targets import Renderer, render_target
from train.transforms import random_crop

HIDDEN = Renderer(
    "hidden: the wanted look of the controlled benchmark",
    key=0.11,
    adaptation=0.7,
    balance=(1.08, 1.0, 0.88),
    local=0.12,
    contrast=1.18,
    saturation=1.2,
)
"""No style that ships, and no composition of the function ISP's closed forms."""

SHOTS = UnprocessConfig(iso=(50.0, 400.0))
"""How the controlled benchmark's photos are taken again; also the random cameras of unprocessing."""


DARKNESS = (2.0, 4.0)
"""EV by which pictures to enhance are too dark."""


class Source(NamedTuple):
    """What training needs of its data."""

    pairs: list
    """Samples {"input", "target"}, float32 [H, W, 3] in [0, 1] of one size, lying."""
    photos: list
    """Samples {"photo"} of ordinary photos of that size; empty where training is supervised alone."""
    validation: tuple
    """(inputs, targets), [n, H, W, 3] each."""
    data: str
    """What and how much, in words."""


def controlled(experiment):
    """The controlled benchmark: ``experiment.count`` pairs of training photos, the remaining photos without pairs.

    Photos are put in an order by ``experiment.split_seed``; the first become pairs, each taken once, and again with
    another camera, light and exposure where there are more pairs than photos. Where all photos are in pairs, all of
    them, as they are, are the unpaired ones too. Every validation photo is taken three times. Where pseudo-raws are to
    be noisy, so are the raws taken. For enhancement the photo itself is what is wanted, and a dark picture of it,
    :func:`take_in_the_dark`, is to be enhanced.
    """
    photos, held_out = (
        lying(PhotoFolder(path), experiment.size) for path in (experiment.photos, experiment.val_photos)
    )
    photos = photos[np.random.default_rng(experiment.split_seed).permutation(len(photos))]
    take = take_in_the_dark
    if not experiment.isp.enhance:
        take = functools.partial(take_again, cameras=cameras_of(experiment.tables), noise=experiment.noise)
    taken = photos[np.arange(experiment.count) % len(photos)]
    pairs = take(experiment.split_seed, taken)
    rest = photos[experiment.count :] if experiment.count < len(photos) else photos
    return Source(
        pairs=[{"input": x, "target": y} for x, y in zip(*pairs, strict=True)],
        photos=[{"photo": photo} for photo in rest] if experiment.pseudo else [],
        validation=take(VALIDATION_SEED, np.concatenate([held_out] * 3)),
        data=f"{experiment.count} pairs of the controlled benchmark, {len(rest) if experiment.pseudo else 0} photos",
    )


def folders(experiment):
    """A user's folders: pairs of raw photos and pictures as for ``modisp fit``, or of two pictures for enhancement."""
    read = pictures_pairs if experiment.isp.enhance else raw_pairs
    pairs = read(experiment.pairs, experiment.targets, experiment.size)
    validation = read(experiment.val_pairs, experiment.val_targets, experiment.size)
    photos = lying(PhotoFolder(experiment.unpaired), experiment.size) if experiment.pseudo else []
    return Source(
        pairs=[{"input": x, "target": y} for x, y in pairs],
        photos=[{"photo": photo} for photo in photos],
        validation=tuple(np.stack(images) for images in zip(*validation, strict=True)),
        data=f"{len(pairs)} pairs of {experiment.pairs}, {len(photos)} photos",
    )


def lying(photos, size):
    """All photos of a ``train.data.PhotoFolder`` at one size, upright ones laid on their side: [n, *size, 3]."""
    return np.stack([laid(photos[i]["srgb"], size) for i in range(len(photos))])


def laid(image, size):
    """[H, W, 3], uint8 or float32, as float32 [*size, 3] by means of areas, transposed where it is upright."""
    image = image.swapaxes(0, 1) if image.shape[0] > image.shape[1] else image
    scale = np.float32(255 if image.dtype == np.uint8 else 1)
    return np.asarray(resize_area(np.ascontiguousarray(image), size), np.float32) / scale


def take_again(seed, photos, cameras, noise=(0.0, 0.0), renderer=HIDDEN):
    """Photos [n, H, W, 3] taken by cameras drawn at random: (linear sRGB as photofinishing sees it, wanted picture).

    ``noise`` is added to the former beside that of the cameras, see ``modisp_jax.dynamicisp.pseudo.with_noise``.
    """
    return _taken(functools.partial(_take_again, cameras=cameras, noise=noise, renderer=renderer), seed, photos)


@functools.partial(jax.jit, static_argnames=("noise", "renderer"))
def _take_again(key, photo, cameras, noise, renderer):
    noisy, clean = simulate(key, photo, cameras, SHOTS)
    return with_noise(jax.random.fold_in(key, 1), noisy, noise), render_target(renderer, clean)


def take_in_the_dark(seed, photos):
    """Photos [n, H, W, 3] as a camera finishes them 2 to 4 EV too dark, noisy and tinted: (dark picture, photo)."""

    return _taken(_take_in_the_dark, seed, photos)


@jax.jit
def _take_in_the_dark(key, photo):
    draw_key, noise_key = jax.random.split(key)
    u = jax.random.uniform(draw_key, (5,))
    light = jnp.exp2(-DARKNESS[0] - (DARKNESS[1] - DARKNESS[0]) * u[0]) * jnp.exp2(0.3 * (u[1:4] - 0.5))
    dark = add_noise(noise_key, light * srgb_decode(photo), 1e-4 * u[4], 1e-7)
    return srgb_encode(dark), photo


def _taken(take, seed, photos):
    keys = jax.random.split(jax.random.key(seed), len(photos))
    taken = [take(key, photo) for key, photo in zip(keys, photos, strict=True)]
    return tuple(np.stack(images) for images in zip(*jax.device_get(taken), strict=True))


def raw_pairs(folder, targets, size):
    """(linear sRGB, picture) of each pair of a folder, see ``modisp_jax.fit_files.find_pairs``."""
    pairs = [read_pair(raw, picture) for raw, picture in find_pairs(Path(folder), targets and Path(targets))]
    return [tuple(laid(image, size) for image in pair) for pair in pairs]


def pictures_pairs(folder, targets, size):
    """(picture to enhance, wanted picture) by name, from two folders, as LoL has them."""
    if targets is None:
        raise ValueError("targets: expected a folder of wanted pictures, as enhancement takes pictures for input")
    low, high = pictures_in(folder), pictures_in(targets)
    missing = [name for name in low if name not in high]
    if missing or not low:
        raise ValueError(f"{targets}: expected a picture for each of {folder}, lacks {', '.join(missing[:3]) or 'all'}")
    pairs = []
    for name in low:
        pair = read_image(low[name]), read_image(high[name])
        shape, wanted = (image.shape for image in pair)
        if abs(wanted[0] * shape[1] / (wanted[1] * shape[0]) - 1) > ASPECT:
            raise ValueError(f"{high[name]}: expected the aspect ratio of {low[name]}, {shape[:2]}, got {wanted[:2]}")
        pairs.append(tuple(laid(image, size) for image in pair))
    return pairs


@dataclasses.dataclass(frozen=True)
class RandomPart:
    """The same random crop, mirrored left to right half of the time, of all pictures of a sample."""

    size: tuple[int, int]

    def __call__(self, sample, rng):
        step = 1 - 2 * int(rng.integers(2))
        return {name: x[:, ::step] for name, x in random_crop(rng, sample, self.size).items()}


class Mixed:
    """Batches of real pairs and of photos side by side, each from a ``train.data.Loader`` of its own."""

    def __init__(self, loaders):
        self.loaders = loaders

    def __iter__(self):
        return self

    def __next__(self):
        return functools.reduce(dict.__or__, [next(loader) for loader in self.loaders])

    def get_state(self):
        """Bytes from which ``set_state`` goes on."""
        return json.dumps([loader.get_state().decode() for loader in self.loaders]).encode()

    def set_state(self, state):
        """Goes on where ``state`` was taken."""
        try:
            states = json.loads(state)
        except (ValueError, TypeError):
            states = None
        if not isinstance(states, list) or len(states) != len(self.loaders):
            raise ValueError(f"state: expected that of {len(self.loaders)} loaders, got {state!r:.80}")
        for loader, one in zip(self.loaders, states, strict=True):
            loader.set_state(one.encode())

    def close(self):
        """Stops what reads ahead."""
        for loader in self.loaders:
            loader.close()


def mixed_loader(source, real, pseudo, crop, seed, shard):
    """:class:`Mixed` batches of ``real`` pairs and ``pseudo`` photos; each its own stream of the seed."""
    counts = ((source.pairs, real), (source.photos, pseudo))
    loaders = [
        make_loader(samples, batch=count, seed=seed, transforms=(RandomPart(crop),), shard=shard, read_threads=0)
        for samples, count in counts
        if count
    ]
    return Mixed(loaders)
