"""Training of ParamISP: one direction on several cameras or on one, or both directions with the cycle."""

import dataclasses
import functools
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from modisp_jax.config import ParamISPConfig, PipelineConfig
from modisp_jax.nets.paramisp import differences
from modisp_jax.numerics import clip01
from modisp_jax.paramisp.capture import from_array
from modisp_jax.paramisp.isp import draw_kept, forward_isp, inverse_isp
from modisp_jax.paramisp_file import load_paramisp
from modisp_jax.params import init_params
from modisp_jax.sheet import draw_columns
from train.loop import LoopConfig, Task
from train.optim import OptimizerConfig
from train.paramisp import cameras as imaginary
from train.paramisp.pairs import STEPS, dequantized
from train.paramisp.sources import imaginary_cameras, real_camera
from train.provenance import provenance

SMALL = ParamISPConfig(width=16, embedding=32)
"""What two cores can train, and render 12 megapixels with."""

RIM = 2
"""Pixels at the border that neither losses nor figures count, as published."""


ERRORS = {
    "absolute": lambda off: jnp.abs(off).mean(),
    # What PSNR measures: edges, whose errors are the largest, count more than in the mean of the sizes. 1e-4 of full
    # scale, far below an 8-bit picture's rounding, keeps the slope finite where nothing is off.
    "squared": lambda off: jnp.sqrt(jnp.square(off).mean() + 1e-8),
}
"""How large the differences of an image are, as one number, in the image's unit."""


@dataclasses.dataclass(frozen=True)
class ParamISPExperiment:
    """One network or both, on imaginary cameras or on pairs of a real one."""

    name: str = "paramisp"
    """Of the weights."""
    networks: tuple[str, ...] = ("inverse_isp",)
    """What is trained: ``inverse_isp``, ``forward_isp``, or both, in that order, jointly."""
    config: ParamISPConfig = SMALL
    """Of the networks."""
    photos: Path = Path("../shared/data/photos/train")
    """Ordinary photos, which the imaginary cameras take again."""
    val_photos: Path = Path("../shared/data/photos/val")
    """Ordinary photos to validate on."""
    tables: Path | None = Path("../shared/data/tables")
    """Folder with color_matrices_d65.tsv and noise_profiles.tsv, for the sensors; None has made-up ones."""
    cameras: tuple[int, ...] = tuple(range(imaginary.COUNT))
    """Imaginary cameras to train on: all for pre-training, one for fine-tuning."""
    pairs: Path | None = None
    """Folder of a real camera's raw photos and pictures, in place of imaginary cameras; see docs/training_data.md."""
    pictures: Path | None = None
    """Folder of its pictures, where they do not lie beside their raw photos."""
    val_pairs: Path | None = None
    """Folder of raw photos and pictures to validate on."""
    val_pictures: Path | None = None
    """Folder of these pictures."""
    pair_cache: Path | None = None
    """Folder for decoded pairs, 5 bytes a pixel; None is that of the user."""
    flips: bool = False
    """Mirror pairs at random; those that imaginary cameras take are always mirrored."""
    start: tuple[Path, ...] = ()
    """Weights to start from, a file for each network or one for both; a network that is in none starts untrained."""
    crop: int = 96
    """Side of the patches in pixels, a multiple of 4 from 88 on."""
    zoom: tuple[float, float] = (1.0, 2.0)
    """Range of enlargement of the photos."""
    unchanged: float = 0.0
    """Share of the patches whose photo is not enlarged."""
    dropout: float = 0.2
    """Probability that a parameter is hidden from ParamNet, each by itself. Released code: none."""
    dequantize: bool = True
    """Hide the steps of both pictures under noise of .4 of a step."""
    cycle: float = 1.0
    """Weight of what comes back against what comes out, where both networks are trained. Released code: 2."""
    cycle_error: str = "absolute"
    """What counts of it: the mean ``absolute`` error, as published, or the root of the mean ``squared`` one."""
    unpaired: float = 0.0
    """Weight of ordinary photos as they are in joint training, of which there is no raw: what comes back of them, and
    what the first network made of them before. They take the second half of each batch; 0 has pairs alone."""
    val_size: int = 256
    """Largest side of the middles of validation photos."""
    loop: LoopConfig = LoopConfig(steps=1000, batch=8, validate_every=250, log_every=20)
    """Length and rhythm."""
    optim: OptimizerConfig = OptimizerConfig(learning_rate=2e-3, warmup=20, clip_norm=1.0, ema=0.99, beta2=0.99)
    """Optimiser. Paper: AdamW at 2e-4 for hundreds of epochs."""
    rules: tuple[tuple[str, float], ...] = (("", 1.0),)
    """Factors on the learning rate, by regex."""

    def __post_init__(self):
        if self.networks not in (("inverse_isp",), ("forward_isp",), ("inverse_isp", "forward_isp")):
            raise ValueError(f"networks: expected inverse_isp, forward_isp, or both in that order, got {self.networks}")
        if not self.cameras or not set(self.cameras) <= set(range(imaginary.COUNT)):
            raise ValueError(f"cameras: expected some of 0 to {imaginary.COUNT - 1}, got {self.cameras}")
        if not 0.0 <= self.dropout <= 1.0:
            raise ValueError(f"dropout: expected a probability, got {self.dropout}")
        if not 0.0 <= self.unchanged <= 1.0:
            raise ValueError(f"unchanged: expected a share, got {self.unchanged}")
        if self.cycle_error not in ERRORS:
            raise ValueError(f"cycle_error: expected {' or '.join(ERRORS)}, got {self.cycle_error}")
        if self.unpaired and (
            len(self.networks) < 2 or not self.start or self.pairs is not None or self.loop.batch % 2
        ):
            expected = "both networks, start, imaginary cameras and an even batch"
            raise ValueError(f"unpaired: expected {expected} where it is not 0, got {self.unpaired}")
        if (self.pairs is None) != (self.val_pairs is None):
            raise ValueError(f"expected both pairs and val_pairs, or none, got {self.pairs} and {self.val_pairs}")
        for name in ("pictures", "val_pictures"):
            if getattr(self, name) is not None and self.pairs is None:
                raise ValueError(f"{name}: expected with pairs and val_pairs, got {getattr(self, name)} alone")


def task(experiment):
    """The :class:`train.loop.Task` of an experiment."""
    source = (imaginary_cameras if experiment.pairs is None else real_camera)(experiment)
    validation = Validation(experiment.config, source.validation, source.photos if experiment.unpaired else ())
    loaded = load_starts(experiment)
    if experiment.unpaired and "inverse_isp" not in loaded:
        raise ValueError(f"unpaired: expected start with the inverse network, got {', '.join(loaded) or 'none'}")

    def init(key):
        networks = {name: experiment.config for name in experiment.networks}
        fresh = init_params(key, PipelineConfig(None, None, None, **networks))
        return {name: loaded.get(name, fresh[name]) for name in experiment.networks}

    def loss(params, context, batch, keys, progress):
        del progress

        def one(sample, key, is_photo=False):
            pair_key, noise_key, kept_key = jax.random.split(key, 3)
            pair = source.pair(pair_key, sample, context["source"])
            kept = draw_kept(kept_key, experiment.dropout)
            if is_photo:
                pair = as_photo(pair, sample, context["before"], experiment.config)
                kept = kept * jax.random.bernoulli(jax.random.fold_in(kept_key, 1))  # half have no EXIF at all
            inputs = dequantized(noise_key, pair, sample.get("steps", STEPS)) if experiment.dequantize else pair
            return errors(params, inputs, pair, experiment.config, kept, experiment.cycle_error)

        def means(is_photo, part):
            found = jax.vmap(functools.partial(one, is_photo=is_photo))(*jax.tree.map(lambda x: x[part], (batch, keys)))
            return {name: values.mean() for name, values in found.items()}

        half = len(keys) // 2 if experiment.unpaired else len(keys)
        terms = means(False, slice(half))
        total = weighted(terms, experiment.cycle)
        if experiment.unpaired:
            photos = means(True, slice(half, None))
            total = total + experiment.unpaired * weighted(photos, experiment.cycle)
            terms |= {f"photo_{name}": value for name, value in photos.items()}
        return total, terms

    return Task(
        init=init,
        context={"source": source.context, "before": loaded.get("inverse_isp") if experiment.unpaired else None},
        loss=loss,
        loader=source.loader,
        arrays=source.arrays,
        validate=validation.numbers,
        sheet=validation.sheet,
        rules=experiment.rules,
        card={
            "name": experiment.name,
            "what": f"ParamISP, {' and '.join(experiment.networks)}, {source.cameras}",
            "paramisp": dataclasses.asdict(experiment.config),
            "uses": provenance(**{f"start{i}": path for i, path in enumerate(experiment.start)}),
            "data": source.data,
        },
    )


def load_starts(experiment):
    """The networks that an experiment starts from, by name.

    Raises:
      ValueError: a file without any, with others than the experiment's configuration has, or files without any that is
        trained; says what came.
    """
    loaded = {}
    for path in experiment.start:
        params, config = load_paramisp(str(path), networks=())
        differing = differences(config, experiment.config)
        if differing:
            raise ValueError(f"start: expected networks of the experiment's config, got {path} with {differing}")
        loaded |= params
    if experiment.start and not set(loaded) & set(experiment.networks):
        raise ValueError(f"start: expected {' or '.join(experiment.networks)}, got {', '.join(loaded)}")
    return loaded


def run(params, pair, config, kept=None):
    """What the networks of ``params`` make of a pair: dict of ``inverse`` [H, W], ``forward``, ``cycle`` [H, W, 3].

    With both networks, ``inverse`` and what ``cycle`` makes of it; none is clipped.
    """
    capture = from_array(pair.capture)
    rest = pair.illuminant, pair.ccm, capture
    if "inverse_isp" not in params:
        return {"forward": forward_isp(params["forward_isp"], pair.mosaic, *rest, config=config, kept=kept)}
    found = {"inverse": inverse_isp(params["inverse_isp"], pair.srgb, *rest, config=config, kept=kept)}
    if "forward_isp" in params:
        found["cycle"] = forward_isp(params["forward_isp"], found["inverse"], *rest, config=config, kept=kept)
    return found


def targets_of(pair):
    """What :func:`run` should have made of a pair."""
    return {"inverse": pair.mosaic, "forward": pair.srgb, "cycle": pair.srgb}


def inside(image):
    """The image without its rim."""
    return image[RIM:-RIM, RIM:-RIM]


def errors(params, inputs, pair, config, kept=None, cycle="absolute"):
    """Mean absolute errors of a pair, that of ``cycle`` by its kind; by name, outputs not clipped. Facts 1.9."""
    found, targets = run(params, inputs, config, kept), targets_of(pair)
    off = {name: inside(image) - inside(targets[name]) for name, image in found.items()}
    return {name: ERRORS[cycle if name == "cycle" else "absolute"](x) for name, x in off.items()}


def weighted(terms, cycle):
    """The sum of errors, that of the cycle by its weight."""
    return sum(value * (cycle if name == "cycle" else 1.0) for name, value in terms.items())


def as_photo(pair, sample, inverse, config):
    """The ordinary photo of a sample as a pair: its raw is what the inverse network ``inverse`` makes of it.

    That holds joint training to raw photos as they are: without it, the two networks could agree on any values from
    which the photo comes back well.
    """
    photo = pair._replace(srgb=sample["srgb"].astype(jnp.float32) / 255.0)
    found = run({"inverse_isp": inverse}, photo, config)["inverse"]
    return photo._replace(mosaic=jax.lax.stop_gradient(found))


class Validation:
    """Figures and pictures of what networks make of some pairs, and what comes back of some photos."""

    def __init__(self, config, pairs, photos=()):
        self.pairs, self.photos = pairs, photos
        self.run = jax.jit(functools.partial(run, config=config))

    def numbers(self, params):
        """Mean PSNR in dB by what is made, the least, and their mean over what is made (``score``)."""
        rows = [scores(self.run(params, pair), pair) for pair in self.pairs]
        values = {name: [row[name] for row in rows] for name in rows[0]}
        if self.photos:
            values["photo"] = [scores({"cycle": self.run(params, p)["cycle"]}, p)["cycle"] for p in self.photos]
        means = {name: np.mean(found) for name, found in values.items()}
        least = {f"{name}_least": np.min(found) for name, found in values.items()}
        return {"score": np.mean(list(means.values())), **means, **least}

    def sheet(self, params):
        """Some photos: the camera's picture, what was made of it or of its raw, and ten times the difference."""
        rows = []
        for pair in self.pairs[:6]:
            target = targets_of(pair)
            for name, image in self.run(params, pair).items():
                shown = [
                    np.asarray(pair.srgb),
                    *(show(x) for x in (image, target[name])),
                    show(error(image, target[name])),
                ]
                rows.append(shown)
        return draw_columns(rows, ["picture", "output", "target", "10 x error"], height=192)


def scores(found, pair):
    """PSNR in dB of outputs, clipped and without the rim, by name."""
    targets = targets_of(pair)

    def decibels(image, target):
        off = inside(np.clip(np.asarray(image), 0, 1) - np.clip(target, 0, 1))
        return float(-10 * np.log10(np.mean(np.square(off)) + 1e-12))

    return {name: decibels(image, targets[name]) for name, image in found.items()}


def error(image, target):
    """Ten times the absolute difference."""
    return 10.0 * jnp.abs(clip01(image) - clip01(target))


def show(image):
    """A mosaic as grey, by means of 2x2 and a square root; a picture as it is."""
    image = np.clip(np.asarray(image), 0, 1)
    if image.ndim == 3:
        return image
    h, w = image.shape
    grey = np.sqrt(image.reshape(h // 2, 2, w // 2, 2).mean(axis=(1, 3)))
    return np.repeat(np.repeat(np.repeat(grey[..., None], 3, -1), 2, 0), 2, 1)
