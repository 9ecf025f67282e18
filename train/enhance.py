"""Training of detail enhancement on what the frozen stages before it make."""

import dataclasses
import functools
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from modisp_jax.config import ENHANCEMENT, PipelineConfig, RenderConfig
from modisp_jax.look import finish_by_networks
from modisp_jax.losses import l1
from modisp_jax.metrics import psnr
from modisp_jax.params import init_params, nafnet_config
from modisp_jax.pipeline import shrink, upsample
from modisp_jax.resample import box_mean
from modisp_jax.sheet import draw_columns
from modisp_jax.stages import restore
from modisp_jax.stages.color import to_linear_srgb
from modisp_jax.types import Edits
from modisp_jax.unprocess import UnprocessConfig, before_mosaic, draw_and_take
from train.cameras import cameras_of
from train.data import VALIDATION_SEED, PhotoFolder, make_loader
from train.loop import LoopConfig, Task
from train.networks import load_network
from train.optim import OptimizerConfig
from train.precision import ComputeDtype, for_compute
from train.provenance import provenance
from train.targets import STYLES, is_grey, render_target
from train.transforms import RandomCrop, RandomFlip, middle, turned

DETAIL_WINDOW = 9
"""Side in pixels of the mean that is taken away from what the detail loss compares."""


@dataclasses.dataclass(frozen=True)
class EnhanceExperiment:
    """Detail enhancement for one style."""

    name: str = "enhance-natural"
    """Of the weights."""
    style: str = "natural"
    """A key of ``train.targets.STYLES``."""
    denoiser: Path | None = None
    """Weights of the frozen denoiser."""
    photofinish: Path | None = None
    """Weights of the frozen photofinishing; None is the neutral one."""
    start: Path | None = None
    """Weights to start from, of another style; None starts as the identity."""
    photos: Path = Path("../shared/data/photos/train")
    """Finished photos to train on."""
    val_photos: Path = Path("../shared/data/photos/val")
    """Finished photos to validate on."""
    tables: Path | None = Path("../shared/data/tables")
    """Folder with color_matrices_d65.tsv and noise_profiles.tsv; None draws from the made-up cameras."""
    size: tuple[int, int] = (576, 768)
    """Height and width of the photos' middle that the earlier stages render, lying; upright photos: exchanged."""
    crop: int = 96
    """Side of the training patches in pixels."""
    shots: UnprocessConfig = UnprocessConfig(iso=(50.0, 3200.0))
    """Cameras, light, exposure and noise."""
    compute_dtype: ComputeDtype = "float32"
    """In what the networks compute while training; parameters, losses and validation stay in float32."""
    loop: LoopConfig = LoopConfig(steps=400, batch=8, validate_every=100, log_every=10)
    """Length and rhythm."""
    optim: OptimizerConfig = OptimizerConfig(learning_rate=1e-3, clip_norm=1.0, warmup=20, ema=0.98)
    """Optimiser."""
    rules: tuple[tuple[str, float], ...] = (
        ("enhance/out_conv", 0.1),
        (r"enhance/\w+/(beta|gamma)", 10.0),
        ("enhance/", 1.0),
    )
    """Factors on the learning rate, by regex; reasons in ``train.denoise``."""


def task(experiment):
    """The :class:`train.loop.Task` of an experiment."""
    cameras, renderer = cameras_of(experiment.tables), STYLES[experiment.style]
    constrain = keep_grey if is_grey(renderer) else lambda params: params
    front = make_front(experiment, cameras)
    pairs = prepare(experiment.photos, experiment.size, front, seed=experiment.loop.seed)
    validation = Validation(prepare(experiment.val_photos, experiment.size, front, seed=VALIDATION_SEED))

    def init(key):
        params = init_params(key, PipelineConfig(None, None, ENHANCEMENT))["enhance"]
        if experiment.start is not None:
            params = load_network(experiment.start, "enhance", params)
        return {"enhance": constrain(params)}

    def loss(params, context, batch, keys, progress):
        del context, keys, progress
        enhance = constrain(for_compute(params, experiment.compute_dtype)["enhance"])

        def one(image, target):
            image, target = (x.astype(jnp.float32) / 65535.0 for x in (image, target))
            error = restore.enhance(enhance, image, ENHANCEMENT) - target
            return l1(error, jnp.zeros_like(error)), l1(error, box_mean(error, DETAIL_WINDOW))

        whole, detail = (values.mean() for values in jax.vmap(one)(batch["raw"], batch["srgb"]))
        return whole + detail, {"l1": whole, "detail": detail}

    def loader(batch, seed, shard):
        transforms = (RandomCrop(experiment.crop), RandomFlip())
        return make_loader(pairs, batch=batch, seed=seed, transforms=transforms, shard=shard)

    return Task(
        init=init,
        context=(),
        loss=loss,
        loader=loader,
        arrays=("raw", "srgb"),
        validate=validation.numbers,
        sheet=validation.sheet,
        rules=experiment.rules,
        card={
            "name": experiment.name,
            "what": f"detail enhancement, style {experiment.style}",
            "uses": provenance(
                start=experiment.start, denoiser=experiment.denoiser, photofinish=experiment.photofinish
            ),
            "data": f"what the earlier stages make of unprocessed photos ({len(pairs)} photos)",
        },
    )


def keep_grey(params):
    """Parameters of an enhancement network that adds the same to red, green and blue: its last layer's mean over them.

    Its gradient is the same for the three, so what starts alike and learns through it stays alike, to the bit.
    """
    alike = jax.tree.map(lambda x: jnp.broadcast_to(x.mean(-1, keepdims=True), x.shape), params["out_conv"])
    return params | {"out_conv": alike}


def make_front(experiment, cameras):
    """(key, finished photo) -> (what the stages before enhancement make of it, what it should be)."""
    renderer = STYLES[experiment.style]
    denoiser = None if experiment.denoiser is None else load_network(experiment.denoiser, "denoise")
    finish = load_network(experiment.photofinish or "neutral", "photofinish")

    def front(key, srgb):
        upsampled, scene = render_front(key, srgb, cameras, denoiser, finish, experiment.shots)
        return upsampled, srgb if renderer is None else render_target(renderer, scene)

    return front


@functools.partial(jax.jit, static_argnames="shots")
def render_front(key, srgb, cameras, denoiser, finish, shots):
    """The stages before enhancement on an unprocessed photo: (their picture, the scene before the mosaic)."""
    shot, raw, _ = draw_and_take(key, srgb, cameras, shots)
    image = raw.image if denoiser is None else restore.denoise(denoiser, raw.image, nafnet_config(denoiser))
    linear, scene = (to_linear_srgb(x, shot.illuminant, shot.ccm) for x in (image, before_mosaic(srgb, shot)))
    small = shrink(linear)
    finished = finish_by_networks(finish, small, Edits(), RenderConfig())[1].srgb
    return upsample(small, finished, linear), scene


def prepare(folder, size, front, *, seed):
    """Renders each photo of a folder once: a list of samples with ``raw`` (rendered) and ``srgb`` (target), uint16."""
    photos = PhotoFolder(folder)
    samples = []
    for i in range(len(photos)):
        photo = photos[i]["srgb"]
        pair = front(jax.random.fold_in(jax.random.key(seed), i), middle(photo, turned(size, photo)))
        raw, srgb = (np.round(np.asarray(x) * 65535).astype(np.uint16) for x in pair)
        samples.append({"raw": raw, "srgb": srgb, "name": photos.names[i]})
        print(f"\rrendering {folder}: {i + 1}/{len(photos)}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return samples


class Validation:
    """The validation photos, rendered once by the earlier stages."""

    def __init__(self, samples):
        self.samples = [{k: s[k].astype(np.float32) / 65535 for k in ("raw", "srgb")} for s in samples]
        self.net = jax.jit(lambda params, x: restore.enhance(params["enhance"], x, ENHANCEMENT))

    def numbers(self, params):
        """Mean PSNR of the input and gain over it (``score``), in dB."""
        before = [psnr(s["raw"], s["srgb"]) for s in self.samples]
        after = [psnr(self.net(params, s["raw"]), s["srgb"]) for s in self.samples]
        gains = np.subtract(after, before)
        return {"score": gains.mean(), "input": np.mean(before), "output": np.mean(after), "worst_gain": gains.min()}

    def sheet(self, params):
        """The middles of the photos: input, enhanced, target."""
        rows = []
        for sample in self.samples[:6]:
            top, left = (max(0, n // 2 - 80) for n in sample["raw"].shape[:2])
            shown = (sample["raw"], np.asarray(self.net(params, sample["raw"])), sample["srgb"])
            rows.append([x[top : top + 160, left : left + 240] for x in shown])
        return draw_columns(rows, ["upsampled", "enhanced", "target"], height=320)
