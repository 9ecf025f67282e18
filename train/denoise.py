"""Training of denoisers on photos that ``unprocess`` turns back into raw."""

import dataclasses
import functools
from pathlib import Path
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from modisp_jax.config import DENOISERS, PipelineConfig
from modisp_jax.metrics import psnr
from modisp_jax.numerics import clip01, safe_sqrt
from modisp_jax.params import init_params
from modisp_jax.sheet import draw_columns
from modisp_jax.stages import restore
from modisp_jax.unprocess import UnprocessConfig, at_speed, before_mosaic, draw_shot, take_shot
from train.augment import RandomZoomCrop
from train.cameras import cameras_of
from train.data import VALIDATION_SEED, PhotoFolder, make_loader
from train.loop import LoopConfig, Task
from train.networks import load_network
from train.optim import OptimizerConfig
from train.precision import ComputeDtype, for_compute
from train.provenance import provenance
from train.transforms import middle

FLOOR = 1e-8
"""Squared error under which a decibel more counts for little."""


@dataclasses.dataclass(frozen=True)
class DenoiseExperiment:
    """A denoiser for unknown cameras."""

    name: str = "denoise-lite"
    """Of the weights."""
    size: Literal["lite", "base", "large"] = "lite"
    """Which NAFNet."""
    photos: Path = Path("../shared/data/photos/train")
    """Finished photos to train on."""
    val_photos: Path = Path("../shared/data/photos/val")
    """Finished photos to validate on."""
    tables: Path | None = Path("../shared/data/tables")
    """Folder with color_matrices_d65.tsv and noise_profiles.tsv; None draws from the made-up cameras."""
    crop: int = 128
    """Side of the training patches in pixels."""
    target: Literal["scene", "clean"] = "scene"
    """``scene``: the camera's picture before the mosaic, as in the paper, so that what demosaicing does to edges counts
    as noise too. ``clean``: the same mosaic demosaiced without noise."""
    start: Path | None = None
    """Weights to start from; None starts as the identity."""
    first_speeds: float = 0.15
    """Share of the range of speeds, from the highest down, that training starts with; all of it from half time on. A
    network that cannot yet tell noise from detail is punished most for what it does to clean photos."""
    zoom: tuple[float, float] = (1.0, 2.0)
    """Range of enlargement of the photos."""
    val_crop: tuple[int, int] = (256, 384)
    """Size of the validation photos' middle."""
    shots: UnprocessConfig = UnprocessConfig()
    """Cameras, light, exposure and noise."""
    rules: tuple[tuple[str, float], ...] = (
        # What is to be taken away is a thousandth of full scale: at full rate a step of the last layer overshoots it.
        ("denoise/out_conv", 0.1),
        # The blocks' scales start at zero and have to come to about 1 before the blocks do anything.
        (r"denoise/\w+/(beta|gamma)", 10.0),
        ("denoise/", 1.0),
    )
    """Factors on the learning rate, by regex."""
    compute_dtype: ComputeDtype = "float32"
    """In what the networks compute while training; parameters, losses and validation stay in float32."""
    loop: LoopConfig = LoopConfig(steps=4000, batch=16, validate_every=500)
    """Length and rhythm."""
    optim: OptimizerConfig = OptimizerConfig(learning_rate=2e-3, beta2=0.99, clip_norm=1.0, ema=0.998)
    """Optimiser."""


def task(experiment):
    """The :class:`train.loop.Task` of an experiment."""
    config = DENOISERS[experiment.size]
    cameras = cameras_of(experiment.tables)
    photos = PhotoFolder(experiment.photos)
    validation = Validation(experiment, config, cameras)

    def init(key):
        fresh = init_params(key, PipelineConfig(config, None, None))["denoise"]
        return {"denoise": fresh if experiment.start is None else load_network(experiment.start, "denoise", fresh)}

    def loss(params, context, batch, keys, progress):
        params = for_compute(params, experiment.compute_dtype)
        share = jnp.minimum(experiment.first_speeds + (1.0 - experiment.first_speeds) * progress / 0.5, 1.0)
        highest = experiment.shots.iso[1]

        def one(srgb, key):
            shot_key, exposure_key = jax.random.split(key)
            shot = draw_shot(shot_key, context, experiment.shots)
            shot = at_speed(shot, highest * (shot.iso / highest) ** share)
            raw, target = picture(exposure_key, srgb.astype(jnp.float32) / 255.0, shot, experiment.target)
            output = restore.denoise(params["denoise"], raw.image, config)
            return decibels(output, raw.image, target)

        linear, dark = jax.vmap(one)(batch["srgb"], keys)
        return (linear + dark).mean() / 2, {"linear_db": linear.mean(), "dark_db": dark.mean()}

    def loader(batch, seed, shard):
        transforms = (RandomZoomCrop(experiment.crop, experiment.zoom),)
        return make_loader(photos, batch=batch, seed=seed, transforms=transforms, shard=shard)

    return Task(
        init=init,
        context=cameras,
        loss=loss,
        loader=loader,
        arrays=("srgb",),
        validate=validation.numbers,
        sheet=validation.sheet,
        rules=experiment.rules,
        card={
            "name": experiment.name,
            "what": f"denoiser, NAFNet {experiment.size}, for unknown cameras, ISO 50 to 12800",
            "uses": provenance(start=experiment.start),
            "data": f"photos unprocessed with cameras drawn at random ({len(photos)} photos)",
        },
    )


def picture(key, srgb, shot, target):
    """A shot of a finished photo: (Raw, what denoising should make of it), see ``DenoiseExperiment.target``."""
    raw, clean = take_shot(key, srgb, shot)
    return raw, clean if target == "clean" else before_mosaic(srgb, shot)


def decibels(output, noisy, clean):
    """How much nearer than the input the output is, in dB of squared error, negative is better: linear, and in roots.

    Each photo counts alike, whatever its noise: a mean of squared errors would hear only the noisiest. On square roots
    dark pixels count as much as bright ones, which is nearer to what is seen after the tone curves.
    """

    def error(x, target):
        return jnp.log10(jnp.mean(jnp.square(x - target)) + FLOOR)

    def root(x):
        return safe_sqrt(clip01(x) + 0.01)

    linear = error(output, clean) - error(noisy, clean)
    return 10 * linear, 10 * (error(root(output), root(clean)) - error(root(noisy), root(clean)))


class Validation:
    """The middles of the validation photos at fixed speeds, unprocessed once with seeds that training never draws."""

    SPEEDS = (50.0, 800.0, 3200.0, 12800.0)

    def __init__(self, experiment, config, cameras):
        photos = PhotoFolder(experiment.val_photos)
        middles = [middle(photos[i]["srgb"], experiment.val_crop) for i in range(len(photos))]
        self.pairs = {}
        for speed in self.SPEEDS:
            shots = dataclasses.replace(experiment.shots, iso=(speed, speed))
            make = jax.jit(functools.partial(self._pair, cameras=cameras, shots=shots, target=experiment.target))
            keys = jax.random.split(jax.random.key(VALIDATION_SEED), len(middles))
            self.pairs[speed] = [make(key, srgb) for key, srgb in zip(keys, middles, strict=True)]
        self.net = jax.jit(lambda params, raw: clip01(restore.denoise(params["denoise"], raw, config)))

    @staticmethod
    def _pair(key, srgb, *, cameras, shots, target):
        shot_key, exposure_key = jax.random.split(key)
        return picture(exposure_key, srgb, draw_shot(shot_key, cameras, shots), target)

    def numbers(self, params):
        """PSNR of the input and gain over it in dB, per speed; ``score`` is the mean gain."""
        result, gains = {}, []
        for speed, pairs in self.pairs.items():
            noisy = np.mean([psnr(raw.image, clean) for raw, clean in pairs])
            output = np.mean([psnr(self.net(params, raw.image), clean) for raw, clean in pairs])
            gains.append(output - noisy)
            result |= {f"input_iso{speed:.0f}": noisy, f"gain_iso{speed:.0f}": output - noisy}
        return {"score": np.mean(gains), **result}

    def sheet(self, params):
        """Four photos at the highest speed: noisy, denoised, clean, as plain renderings."""
        rows = []
        for raw, clean in self.pairs[self.SPEEDS[-1]][:4]:
            show = lambda x: np.clip(2.5 * np.asarray(x) / np.asarray(raw.illuminant), 0, 1) ** (1 / 2.2)  # noqa: B023, E731
            rows.append([show(raw.image), show(self.net(params, raw.image)), show(clean)])
        return draw_columns(rows, ["noisy, ISO 12800", "denoised", "clean"], height=192)
