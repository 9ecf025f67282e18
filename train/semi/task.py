"""Semi-supervised training of an ISP: the function ISP on the pairs, a target on pairs and photos, fine-tuning.

The three phases are three experiments of one kind: without ``teacher`` training is supervised; with the weights of a
function ISP as ``teacher`` every batch also has pseudo-pairs made on the device; ``start`` goes on from other weights.
"""

import dataclasses
import functools
from pathlib import Path
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from modisp_jax.checkpoints import load_params, read_card
from modisp_jax.config import FUNCTION_ISP, FUNCTION_ISP_READINGS, FunctionISPConfig
from modisp_jax.dynamicisp import PseudoConfig, empty_memory, invert_functions, pseudo_pair, remember_used
from modisp_jax.dynamicisp.losses import filtered_mean
from modisp_jax.dynamicisp.memory import CAPACITY, mean_parameters
from modisp_jax.dynamicisp.parameters import base_parameters
from modisp_jax.dynamicisp.pseudo import with_noise
from modisp_jax.metrics import psnr
from modisp_jax.numerics import clip01
from modisp_jax.sheet import draw_columns
from modisp_jax.vgg_file import load_vgg
from train.cameras import cameras_of
from train.loop import LoopConfig, Task
from train.networks import load_network
from train.optim import OptimizerConfig
from train.photofinish import simulate
from train.provenance import provenance
from train.semi.sources import SHOTS, RandomPart, controlled, folders, mixed_loader
from train.semi.targets import TARGETS, losses, losses_of_both, run_batch

REMEMBERED_AT_ONCE = 100


@dataclasses.dataclass(frozen=True)
class SemiExperiment:
    """One phase of semi-supervised training."""

    name: str = "function_isp"
    """Of the weights."""
    target: Literal["function_isp", "photofinish", "lut3d", "nafnet"] = "function_isp"
    """What is trained, see ``train.semi.targets``."""
    isp: FunctionISPConfig = FUNCTION_ISP
    """Of the function ISP, be it target or teacher."""
    method: Literal["semi", "fixed_inverse", "unprocess"] = "semi"
    """Where the raw of a photo comes from: draws from the teacher's memory; the mean of its memory, always; or cameras
    drawn at random, without a teacher. The latter two keep the photo as the target."""
    teacher: Path | None = None
    """Weights of a function ISP, trained on the same pairs."""
    start: Path | None = None
    """Weights to start from; None starts untrained."""
    pairs: Path | None = None
    """Folder of raw photos and pictures, as for ``modisp fit``; of pictures to enhance where ``isp.enhance``. None is
    the controlled benchmark."""
    targets: Path | None = None
    """Folder of the wanted pictures, where they do not lie beside the raw photos."""
    val_pairs: Path | None = None
    """Folder of pairs to validate on."""
    val_targets: Path | None = None
    """Folder of their wanted pictures."""
    unpaired: Path | None = None
    """Folder of ordinary photos."""
    count: int = 30
    """Pairs of the controlled benchmark."""
    split_seed: int = 0
    """Which photos become its pairs."""
    photos: Path = Path("../shared/data/photos/train")
    """Photos of the controlled benchmark: some become pairs, the others are the unpaired ones."""
    val_photos: Path = Path("../shared/data/photos/val")
    """Photos that it validates on."""
    tables: Path | None = Path("../shared/data/tables")
    """Folder with color_matrices_d65.tsv and noise_profiles.tsv, for its cameras; None has made-up ones."""
    size: tuple[int, int] = (72, 96)
    """Height and width in pixels to which pairs and photos are brought, lying."""
    crop: tuple[int, int] = (60, 80)
    """Of the parts of them that training sees."""
    pseudo: int = 0
    """Photos in a batch; ``loop.batch`` less these are real pairs."""
    beta: float = 1.0
    """Pseudo-pairs whose loss is more than this times the mean of the real ones are left out; inf keeps all."""
    quality_update: bool = True
    """Whether photos are brought to the wanted look first."""
    by_function: bool = False
    """Whether each function's parameters are drawn by themselves: from a thousand pairs up."""
    noise: tuple[float, float] = (0.0, 0.0)
    """Largest noise of pseudo-raws, see ``PseudoConfig``, and of the controlled benchmark's raws."""
    loss: Literal["mse", "pyramid"] = "mse"
    """On the picture; photofinishing has its own. ``pyramid`` for tasks with noise (equation 14)."""
    vgg: Path | None = None
    """Weights of VGG-19, for the perceptual term; None leaves it out."""
    perceptual: float = 0.1
    """Weight of that term."""
    capacity: int = CAPACITY
    """Sets in the teacher's memory."""
    loop: LoopConfig = LoopConfig(steps=600, batch=8, validate_every=200, log_every=20)
    """Length and rhythm; ``batch`` is real and pseudo together."""
    optim: OptimizerConfig = OptimizerConfig(
        learning_rate=1e-3, final_fraction=1e-3, warmup=20, clip_norm=1.0, weight_decay=0.01, ema=0.99
    )
    """Optimiser."""
    rules: tuple[tuple[str, float], ...] = (("", 1.0),)
    """Factors on the learning rate, by regex."""

    def __post_init__(self):
        if not 0 <= self.pseudo < self.loop.batch:
            raise ValueError(f"pseudo: expected 0 to under the batch of {self.loop.batch}, got {self.pseudo}")
        if self.pseudo and self.method != "unprocess" and self.teacher is None:
            raise ValueError("teacher: expected the weights of a function ISP, to make pseudo-pairs with; got none")
        if (self.pairs is None) != (self.val_pairs is None):
            raise ValueError(f"expected both pairs and val_pairs, or none, got {self.pairs} and {self.val_pairs}")
        if self.pairs is not None and self.pseudo and self.unpaired is None:
            raise ValueError("unpaired: expected a folder of photos, as batches have pseudo-pairs; got none")
        if self.method == "unprocess" and self.isp.enhance:
            raise ValueError("method: expected semi or fixed_inverse for enhancement, got unprocess, which makes raws")
        if not self.beta >= 0:
            raise ValueError(f"beta: expected 0 or more, got {self.beta}")
        if not all(0 < part <= whole for part, whole in zip(self.crop, self.size, strict=True)):
            raise ValueError(f"crop: expected at most the size {self.size}, got {self.crop}")


def task(experiment):
    """The :class:`train.loop.Task` of an experiment."""
    devices = jax.device_count()
    if experiment.pseudo % devices or experiment.loop.batch % devices:
        got = f"{experiment.loop.batch - experiment.pseudo} and {experiment.pseudo}"
        raise ValueError(f"batch: expected real and pseudo-pairs that {devices} devices can share, got {got}")
    source = (controlled if experiment.pairs is None else folders)(experiment)
    target = TARGETS[experiment.target]
    real = experiment.loop.batch - experiment.pseudo
    make = {"semi": semi_pairs, "fixed_inverse": fixed_pairs, "unprocess": unprocessed_pairs}[experiment.method]
    vgg = None if experiment.vgg is None else load_vgg(experiment.vgg)

    def init(key):
        fresh = target.init(key, experiment)
        if experiment.start is not None:
            # Photofinishing may be of any variant, such as that of a style with a colour LUT.
            alike = None if target.entry == "photofinish" else fresh
            fresh = load_network(experiment.start, target.entry, alike)
        return {target.entry: fresh}

    def loss(params, context, batch, keys, progress):
        del progress
        pairs, weights = (batch["input"], batch["target"]), params[target.entry]
        if not experiment.pseudo:
            found = losses(target, weights, *pairs, experiment, context["vgg"]).mean()
            return found, {"real": found}
        # The loop's keys are of the real samples, of which there may be fewer.
        photo_keys = jax.random.split(keys[0], experiment.pseudo)
        made = make(context, batch["photo"], photo_keys, experiment)
        found, pseudo = losses_of_both(target, weights, pairs, made, experiment, context["vgg"])
        total, kept = filtered_mean(found, pseudo, experiment.beta)
        return total, {"real": found.mean(), "pseudo": pseudo.mean(), "kept": kept}

    def loader(batch, seed, shard):
        pseudo = experiment.pseudo * batch // experiment.loop.batch
        return mixed_loader(source, batch - pseudo, pseudo, experiment.crop, seed, shard)

    validation = Validation(experiment, source.validation)
    return Task(
        init=init,
        context={"vgg": vgg, **teaching(experiment, source)},
        loss=loss,
        loader=loader,
        arrays=("input", "target", "photo") if experiment.pseudo else ("input", "target"),
        validate=validation.numbers,
        sheet=validation.sheet,
        rules=experiment.rules,
        card={
            "name": experiment.name,
            "what": f"{experiment.target}, {real} real and {experiment.pseudo} pseudo-pairs a step",
            "function_isp": dataclasses.asdict(experiment.isp),
            "uses": provenance(teacher=experiment.teacher, start=experiment.start),
            "data": source.data,
        },
    )


def teaching(experiment, source):
    """What pseudo-pairs are made with: the teacher's network and its memory, or the cameras of unprocessing."""
    if not experiment.pseudo:
        return {}
    if experiment.method == "unprocess":
        return {"cameras": cameras_of(experiment.tables)}
    params = load_teacher(experiment.teacher, experiment.isp)
    return {"teacher": params, "memory": fill_memory(params, [pair["input"] for pair in source.pairs], experiment)}


def load_teacher(path, config):
    """A function ISP's network; raises ``ValueError`` where the file has none, or one of another reading."""
    params = load_params(str(path))
    if "function_isp" not in params:
        raise ValueError(f"{path}: expected a function ISP, got {', '.join(params)}")
    if ("tone_head" in params["function_isp"]) != config.enhance:
        raise ValueError(f"{path}: expected a function ISP with isp.enhance {config.enhance}, got the other")
    said = read_card(str(path)).get("function_isp", {})
    for name in FUNCTION_ISP_READINGS:
        if said.get(name, getattr(config, name)) != getattr(config, name):
            raise ValueError(f"{path}: expected isp.{name} {said[name]}, as its card says, got {getattr(config, name)}")
    return params["function_isp"]


def fill_memory(params, inputs, experiment):
    """A memory of the parameters that a trained function ISP chooses for random parts of its training inputs.

    Those of the last steps of training, as the paper has it, are by the same weights up to a learning rate that has
    come down to a thousandth; this way weights from any file will do.
    """
    view = RandomPart(experiment.crop)
    rng = np.random.default_rng(experiment.loop.seed)
    chunk = min(REMEMBERED_AT_ONCE, experiment.capacity)
    put = jax.jit(functools.partial(remember_used, config=experiment.isp))
    memory = empty_memory(base_parameters(experiment.isp), experiment.capacity)
    for _ in range(-(-experiment.capacity // chunk)):
        parts = [view({"input": inputs[i]}, rng)["input"] for i in rng.integers(len(inputs), size=chunk)]
        memory = put(params, memory, np.stack(parts))
    return memory


def semi_pairs(context, photos, keys, experiment):
    """Pseudo-pairs by the function ISP: (inputs, targets), [n, H, W, 3] each."""
    config = PseudoConfig(
        isp=experiment.isp,
        quality_update=experiment.quality_update,
        by_function=experiment.by_function,
        noise=experiment.noise,
    )
    make = lambda photo, key: pseudo_pair(context["teacher"], context["memory"], photo, key, config)  # noqa: E731
    return jax.vmap(make)(photos, keys)


def fixed_pairs(context, photos, keys, experiment):
    """Pairs by one inverse for all photos: that of the memory's mean."""
    parameters = mean_parameters(context["memory"])

    def raw(photo, key):
        return with_noise(key, invert_functions(parameters, photo, config=experiment.isp), experiment.noise)

    return jax.vmap(raw)(photos, keys), photos


def unprocessed_pairs(context, photos, keys, experiment):
    """Pairs by unprocessing: cameras, light and exposure drawn at random, the photo itself the target."""

    def raw(photo, key):
        noisy, _ = simulate(key, photo, context["cameras"], SHOTS)
        return with_noise(jax.random.fold_in(key, 1), noisy, experiment.noise)

    return jax.vmap(raw)(photos, keys), photos


class Validation:
    """Figures and pictures of a target on held-out pairs."""

    def __init__(self, experiment, pairs):
        self.pairs = [jnp.asarray(images) for images in pairs]
        self.entry = TARGETS[experiment.target].entry
        self.run = jax.jit(lambda params, images: clip01(run_batch(experiment.target, params, images, experiment)))

    def numbers(self, params):
        """Mean PSNR in dB (``score``) and the least."""
        found = self.run(params[self.entry], self.pairs[0])
        each = np.array([float(psnr(x, y)) for x, y in zip(found, self.pairs[1], strict=True)])
        return {"score": each.mean(), "least": each.min()}

    def sheet(self, params):
        """Some pairs: input, output, target, and ten times the difference."""
        rows = []
        outputs = self.run(params[self.entry], self.pairs[0])  # of all, as that program is compiled already
        for image, found, wanted in list(zip(self.pairs[0], outputs, self.pairs[1], strict=True))[:6]:
            rows.append([np.asarray(x) for x in (image, found, wanted, clip01(10 * jnp.abs(found - wanted)))])
        return draw_columns(rows, ["input", "output", "target", "10 x error"], height=192)
