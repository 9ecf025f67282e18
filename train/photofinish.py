"""Training of photofinishing: one set of networks a style."""

import dataclasses
import functools
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from modisp_jax.config import PhotofinishConfig, PipelineConfig, RenderConfig
from modisp_jax.fit.jobs import JobWeights, ev, job_losses, mean_luma
from modisp_jax.fit.samples import each_loss
from modisp_jax.io.resize import resize_area
from modisp_jax.look import finish_by_networks
from modisp_jax.losses import LossWeights, photofinish_losses
from modisp_jax.metrics import psnr
from modisp_jax.noise import add_noise
from modisp_jax.params import init_params, nafnet_config
from modisp_jax.pipeline import shrink
from modisp_jax.sheet import draw_columns
from modisp_jax.stages import restore
from modisp_jax.stages.color import to_linear_srgb
from modisp_jax.types import Edits
from modisp_jax.unprocess import UnprocessConfig, before_mosaic, draw_and_take, draw_shot
from train.augment import RandomView
from train.cameras import cameras_of
from train.constants import fit_constants, start_from
from train.data import VALIDATION_SEED, PhotoFolder, make_loader
from train.loop import LoopConfig, Task
from train.networks import load_network
from train.optim import OptimizerConfig
from train.precision import ComputeDtype, for_compute
from train.provenance import provenance
from train.targets import STYLES, is_grey, render_target
from train.transforms import enlarge, middle, turned

CONSTANTS_SIZE = (24, 32)
"""Of the pictures from which the start is fitted: only tones and colours count."""

RESIDUAL_NOISE = 0.1
"""Share of the noise's variance that denoising and shrinking leave."""


@dataclasses.dataclass(frozen=True)
class PhotofinishExperiment:
    """Photofinishing in one style."""

    name: str = "natural"
    """Of the weights."""
    style: str = "natural"
    """A key of ``train.targets.STYLES``."""
    start: Path | None = None
    """Weights to start from, of another style; None starts untrained."""
    fit_constants: bool = True
    """Whether gain, tone curves and chroma start at the constants that suit the style best (``train.constants``).
    Without, they start neutral, or as they are in ``start``."""
    photos: Path = Path("../shared/data/photos/train")
    """Finished photos to train on."""
    val_photos: Path = Path("../shared/data/photos/val")
    """Finished photos to validate on."""
    tables: Path | None = Path("../shared/data/tables")
    """Folder with color_matrices_d65.tsv and noise_profiles.tsv; None draws from the made-up cameras."""
    denoiser: Path | None = None
    """Weights that denoise the validation photos; None validates on what has no noise."""
    val_zoom: int = 1
    """Enlargement of the validation photos. Photos that were shrunk to a thousand pixels have edges finer than a lens
    draws, and what the mosaic does to them is an error that no tone curve can repair; enlarged twice it is small."""
    grid_input: int = 128
    """Side of the grid network's input, see ``PhotofinishConfig``."""
    size: tuple[int, int] = (144, 192)
    """Height and width of the training pictures."""
    view: tuple[float, float] = (0.6, 1.0)
    """Share of a photo's side that a training picture shows."""
    shots: UnprocessConfig = UnprocessConfig(iso=(50.0, 3200.0))
    """Cameras, light, exposure and noise."""
    losses: LossWeights = LossWeights(perceptual=0.0, luma=0.0, tone=1.0)
    """Weights of the losses on the picture."""
    jobs: JobWeights = JobWeights()
    """Weights of the penalties on the stages."""
    rules: tuple[tuple[str, float], ...] = (
        # Ahead of the tone curves, which could do its work for it.
        ("photofinish/gain/", 2.0),
        ("photofinish/", 1.0),
    )
    """Factors on the learning rate, by regex."""
    compute_dtype: ComputeDtype = "float32"
    """In what the networks compute while training; parameters, losses and validation stay in float32."""
    loop: LoopConfig = LoopConfig(steps=800, batch=8, validate_every=100, log_every=10)
    """Length and rhythm."""
    optim: OptimizerConfig = OptimizerConfig(learning_rate=1e-3, l2=1e-7, clip_norm=1.0, warmup=30, ema=0.98)
    """Optimiser."""


def task(experiment):
    """The :class:`train.loop.Task` of an experiment."""
    renderer = STYLES[experiment.style]
    rgb_lut = renderer is not None and renderer.rgb_lut
    config = PhotofinishConfig(rgb_lut=rgb_lut, grid_input=experiment.grid_input)
    cameras = cameras_of(experiment.tables)
    photos = PhotoFolder(experiment.photos)
    validation = Validation(validation_fronts(experiment, cameras), renderer)

    def init(key):
        params = init_params(key, PipelineConfig(None, config, None))["photofinish"]
        if experiment.start is not None:
            found = load_network(experiment.start, "photofinish")
            params |= {stage: found[stage] for stage in params if stage in found}
        if experiment.fit_constants:
            params = start_from(params, fit_constants(*constants_pairs(photos, cameras, renderer, experiment)))
        if is_grey(renderer):
            params["chroma"] = without_colour(params["chroma"])
        return {"photofinish": params}

    def loss(params, context, batch, keys, progress):
        del progress
        params = for_compute(params, experiment.compute_dtype)

        def one(photofinish, photo, key):
            linear, target = pair(key, photo.astype(jnp.float32) / 255.0, context, renderer, experiment.shots)
            look, finished = finish_by_networks(photofinish, linear, Edits(), RenderConfig())
            terms = photofinish_losses(look, finished, target, weights=experiment.losses)
            terms |= job_losses(look, finished, linear, target, weights=experiment.jobs)
            return sum(terms.values()), {
                **terms,
                "psnr": -10 * jnp.log10(jnp.mean((finished.srgb - target) ** 2) + 1e-9),
            }

        total, terms = each_loss(one, params["photofinish"], batch["srgb"], keys)
        return total.mean(), jax.tree.map(jnp.mean, terms)

    def loader(batch, seed, shard):
        transforms = (RandomView(experiment.size, experiment.view),)
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
            "what": f"photofinishing, style {experiment.style}: " + (renderer.what if renderer else "as cameras do it"),
            "uses": provenance(start=experiment.start, denoiser_of_validation=experiment.denoiser),
            "data": f"photos unprocessed with cameras drawn at random ({len(photos)} photos)",
        },
    )


def without_colour(chroma):
    """Parameters of a chroma network whose map is grey everywhere, exactly: base LUT and last layer zero.

    For black and white it need not be learned, and colours that no training photo has would be left in.
    """
    return chroma | jax.tree.map(jnp.zeros_like, {name: chroma[name] for name in ("base_lut_cbcr", "head")})


def simulate(key, photo, cameras, shots):
    """What photofinishing would see of a photo: (linear sRGB with what noise is left, the same without), [h, w, 3]."""
    shot_key, noise_key = jax.random.split(key)
    shot = draw_shot(shot_key, cameras, shots)
    camera_rgb = before_mosaic(photo, shot)
    noisy = add_noise(noise_key, camera_rgb, RESIDUAL_NOISE * shot.a, RESIDUAL_NOISE * shot.b)
    return tuple(to_linear_srgb(x, shot.illuminant, shot.ccm) for x in (noisy, camera_rgb))


def pair(key, photo, cameras, renderer, shots):
    """A training pair from a finished photo: (what photofinishing sees, what it should make of it), [h, w, 3]."""
    linear, scene = simulate(key, photo, cameras, shots)
    return linear, photo if renderer is None else render_target(renderer, scene)


def constants_pairs(photos, cameras, renderer, experiment):
    """Four small pairs of each photo, stacked, for ``train.constants.fit_constants``."""
    small = np.stack([resize_area(photos[i]["srgb"], CONSTANTS_SIZE) for i in range(len(photos))])
    small = jnp.repeat(jnp.asarray(small, jnp.float32) / 255.0, 4, axis=0)
    keys = jax.random.split(jax.random.key(experiment.loop.seed), len(small))
    return jax.jit(jax.vmap(lambda key, photo: pair(key, photo, cameras, renderer, experiment.shots)))(keys, small)


@functools.partial(jax.jit, static_argnames="shots")
def front(key, photo, cameras, denoiser, shots):
    """The stages before photofinishing on an unprocessed photo, small: (linear, before the mosaic, finished)."""
    shot, raw, clean = draw_and_take(key, photo, cameras, shots)
    image = clean if denoiser is None else restore.denoise(denoiser, raw.image, nafnet_config(denoiser))
    linear, scene = (shrink(to_linear_srgb(x, shot.illuminant, shot.ccm)) for x in (image, before_mosaic(photo, shot)))
    return linear, scene, shrink(photo)


MIDDLE_SIZE = (576, 1024)
"""Height and width of the photos' middles that validation takes, lying; upright photos: exchanged."""


def validation_fronts(experiment, cameras):
    """What :func:`front` makes of the middle of each validation photo; the same for every style."""
    photos = PhotoFolder(experiment.val_photos)
    denoiser = None if experiment.denoiser is None else load_network(experiment.denoiser, "denoise")
    fronts = []
    for i, key in enumerate(jax.random.split(jax.random.key(VALIDATION_SEED), len(photos))):
        photo = enlarge(photos[i]["srgb"], experiment.val_zoom)
        photo = middle(photo, turned(MIDDLE_SIZE, photo))
        fronts.append(front(key, photo, cameras, denoiser, experiment.shots))
    return fronts


class Validation:
    """Photofinishing on :func:`validation_fronts`, against what a style's renderer (None: the camera) makes of them."""

    def __init__(self, fronts, renderer):
        self.pairs = [
            (linear, finished if renderer is None else render_target(renderer, scene))
            for linear, scene, finished in fronts
        ]

    def finish(self, params, linear):
        """(Look, FinishedStages) that the networks make of a small linear picture."""
        return finish_by_networks(params["photofinish"], linear, Edits(), RenderConfig())

    def numbers(self, params):
        """Mean PSNR (``score``) and that of the neutral rendering, in dB; what the coefficients and mean luma do."""
        rows = []
        for linear, target in self.pairs:
            look, finished = self.finish(params, linear)
            luma = {name: ev(mean_luma(getattr(finished, name))) for name in ("gained", "global_tone", "local_tone")}
            rows.append(
                {
                    "score": float(psnr(finished.srgb, target)),
                    "neutral": float(psnr(linear ** (1 / 2.2), target)),
                    "gain": float(look.gain),
                    "gamma": float(1 / look.inverse_gamma),
                    "gtm_ev": abs(float(luma["global_tone"] - luma["gained"])),
                    "ltm_ev": abs(float(luma["local_tone"] - luma["global_tone"])),
                }
            )
        numbers = {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}
        spread = {
            f"{name}_{f.__name__}": float(f([row[name] for row in rows]))
            for name in ("gain", "gamma")
            for f in (min, max)
        }
        return numbers | spread | {"worst": min(row["score"] for row in rows)}

    def sheet(self, params):
        """Every photo: what photofinishing sees, its images stage by stage, the target, coefficients as pictures."""
        rows = []
        for linear, target in self.pairs:
            look, finished = jax.device_get(self.finish(params, linear))
            lut = np.clip(look.chroma_lut + 0.5, 0, 1)
            maps = [np.clip(look.ltm[..., k] / 2, 0, 1) for k in range(5)]
            stages = [finished.gained, finished.global_tone, finished.local_tone, finished.chroma]
            encoded = [np.clip(np.asarray(x), 0, 1) ** (1 / 2.2) for x in (linear, *stages)]
            chroma = np.concatenate([lut, np.full_like(lut[..., :1], 0.5)], axis=-1)
            rows.append([*encoded, finished.srgb, target, curve_picture(look.gtm), chroma, *maps])
        titles = ["linear", "gained", "global tone", "local tone", "chroma", "srgb", "target", "curve", "LUT", *"wabcg"]
        return draw_columns(rows, titles, height=120)


def curve_picture(gtm, size=96):
    """The global tone curve as a picture [size, size]."""
    from modisp_jax.ops.tone_curve import tone_curve

    x = (np.arange(size) + 0.5) / size
    y = np.asarray(tone_curve(jnp.asarray(x, jnp.float32), *gtm))
    rows = 1 - (np.arange(size)[:, None] + 0.5) / size
    return np.clip(np.abs(rows - y) * size / 1.5, 0, 1)
