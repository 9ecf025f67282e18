"""Where ParamISP's training has its pairs from: photos that imaginary cameras take, or a folder of a real camera's."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from modisp_jax.nets.paramisp import PARAMETERS
from modisp_jax.paramisp_commands import camera_of
from train.augment import RandomZoomCrop
from train.cameras import cameras_of
from train.data import VALIDATION_SEED, PhotoFolder, make_loader
from train.paramisp.folder import PairFolder, RandomBayerCrop
from train.paramisp.pairs import Pair, draw_pair, middle_box, middle_of, part_of, real_pair


class Source(NamedTuple):
    """What training needs of pairs, whatever they are of."""

    context: Any
    """Arrays that ``pair`` needs."""
    loader: Callable
    """(batch, seed, shard) -> a ``train.data.Loader``."""
    arrays: tuple[str, ...]
    """Keys of its batches that go to the device."""
    pair: Callable
    """(key, sample, context) -> the ``Pair`` of a sample of a batch."""
    validation: list
    """Pairs to validate on."""
    photos: list
    """Ordinary photos to validate on, as pairs without a raw; none where there are none."""
    cameras: str
    """Which, in words."""
    data: str
    """What and how much, in words."""


def imaginary_cameras(experiment):
    """Ordinary photos, taken again by the imaginary cameras of an experiment."""
    sensors, which = cameras_of(experiment.tables), experiment.cameras
    photos, held_out = PhotoFolder(experiment.photos), PhotoFolder(experiment.val_photos)
    make = jax.jit(functools.partial(draw_pair, cameras=sensors, which=which))
    keys = jax.random.split(jax.random.key(VALIDATION_SEED), len(held_out))
    middles = [middle_of(held_out[i]["srgb"], experiment.val_size) for i in range(len(held_out))]
    transforms = (RandomZoomCrop(experiment.crop, experiment.zoom, experiment.unchanged),)
    return Source(
        context=sensors,
        loader=functools.partial(_loader, photos, transforms),
        arrays=("srgb",),
        pair=lambda key, sample, context: draw_pair(key, sample["srgb"].astype(jnp.float32) / 255.0, context, which),
        validation=[make(key, photo) for key, photo in zip(keys, middles, strict=True)],
        photos=[photo_alone(photo) for photo in middles],
        cameras=f"imaginary cameras {which}",
        data=f"photos taken again by imaginary cameras ({len(photos)} photos)",
    )


def real_camera(experiment):
    """A real camera's raw photos and pictures; pairs smaller than a crop are left out."""
    folders = (experiment.pairs, experiment.pictures), (experiment.val_pairs, experiment.val_pictures)
    pairs, held_out = (PairFolder(*both, cache=experiment.pair_cache, least=experiment.crop) for both in folders)
    middles = (part_of(sample, middle_box(sample["mosaic"].shape, experiment.val_size)) for sample in held_out)
    transforms = (RandomBayerCrop(experiment.crop, experiment.flips),)
    return Source(
        context=np.zeros(()),
        loader=functools.partial(_loader, pairs, transforms),
        arrays=("mosaic", "srgb", "illuminant", "ccm", "capture", "steps"),
        pair=lambda key, sample, context: real_pair(sample),
        validation=[real_pair(sample) for sample in middles],
        photos=[],
        cameras=", ".join(pairs.cameras),
        data=f"raw photos and pictures of {', '.join(pairs.cameras)} ({len(pairs)} pairs)",
    )


def photo_alone(srgb):
    """An ordinary photo [H, W, 3] as a pair: made-up camera, daylight, no raw, nothing known of its exposure."""
    camera = camera_of()
    illuminant, ccm = (jnp.asarray(x, jnp.float32) for x in (camera.illuminant, camera.ccm))
    return Pair(jnp.zeros(srgb.shape[:2]), jnp.asarray(srgb), illuminant, ccm, jnp.full(len(PARAMETERS), jnp.nan))


def _loader(source, transforms, batch, seed, shard):
    return make_loader(source, batch=batch, seed=seed, transforms=transforms, shard=shard)
