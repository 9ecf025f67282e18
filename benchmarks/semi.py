"""What ordinary photos are worth beside a few pairs: the tables of docs/semi.md.

    python3 dev.py run benchmarks/semi.py --target function_isp --write
    python3 dev.py run benchmarks/semi.py --target lut3d --pairs 30 --write
    python3 dev.py run benchmarks/semi.py --target nafnet --pairs 30 --write
    python3 dev.py run benchmarks/semi.py --target enhance_lut3d --pairs 30 --write
    python3 dev.py run benchmarks/semi.py --target noisy_nafnet --pairs 30 --write

The controlled benchmark of ``train.semi.sources``: a hidden renderer is the wanted look, some training photos are in
pairs, the others have none, validation photos are kept apart. For each seed (split, start, order) the function ISP is
trained on the pairs alone; it is the teacher (photofinishing's goes through all three phases first). Then each target
is trained in the paper's three phases: on the pairs alone, by one of the methods, and on the pairs alone again
(fine-tuning, half as long or less). All had the same steps of as many samples, of which the second phase differs.
Figures are of the last step, not of the best validation, which would choose by what is measured. Runs are kept in
``--folder`` and go on where they were; the table is written from all results so far. Targets ``enhance*`` have dark
pictures in place of raws; raws of ``noisy*`` have noise, of which what is wanted has none.
"""

import argparse
import dataclasses
import itertools
import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from benchmarks.common import machine, read_results, write_results, write_table
from modisp_jax import compile_cache, fit_style, load_params, save_params
from modisp_jax.config import FunctionISPConfig
from modisp_jax.fit import FitStyleConfig
from train.loop import LoopConfig, fit
from train.semi.sources import controlled
from train.semi.task import SemiExperiment, task

PAGE = Path(__file__).parent.parent / "docs" / "semi.md"
SIZE, CROP = (48, 64), (40, 52)
ISP = FunctionISPConfig(resize=64)
FIRST, ALONE, SEMI, UNPROCESSING = "first phase", "pairs alone", "SemiISP", "unprocessing"
PLAIN = {"pseudo": 0, "teacher": None}
METHODS = {
    ALONE: PLAIN,
    SEMI: {},
    "no filter": {"beta": float("inf")},
    "no quality update": {"quality_update": False},
    "neither": {"beta": float("inf"), "quality_update": False},
    "one inverse for all": {"method": "fixed_inverse", "beta": float("inf")},
    UNPROCESSING: {"method": "unprocess", "beta": float("inf")},
}
"""The second phase: changes to :func:`experiment_of`."""

MAIN = (ALONE, SEMI)


class Recipe(NamedTuple):
    """How a target is trained."""

    network: str
    """What is trained, see ``train.semi.targets``."""
    steps: tuple[int, int, int]
    """Of the three phases."""
    rate: float
    """Learning rate of the first phase."""
    batch: int = 12
    """Samples a step."""
    pseudo: int = 8
    """How many of them are photos in SemiISP's second phase."""
    beta: float = 3.0
    """Of the filter."""
    start: str | None = None
    """The style that ships where the first phase starts, see :func:`in_common`; otherwise untrained."""
    guide: str = "function_isp"
    """Which of these is its teacher."""
    teacher: str = FIRST
    """After which method that is its teacher."""
    first: str | None = None
    """Which of these has been through its first phase, if not itself."""
    changes: Mapping = MappingProxyType({})
    """To the experiment of all phases, and of its teacher's."""


DARK = {"isp": dataclasses.replace(ISP, enhance=True)}
NOISY = {"loss": "pyramid", "noise": (0.01, 0.0002)}

# Fewer samples, as each takes its large networks thirty times as long as other targets and more. Its loss grows with
# the error, others' with the error's square: their beta of 3 is one of 1.7 to it.
PHOTOFINISH = Recipe("photofinish", (300, 400, 200), 1e-3, batch=6, pseudo=4, beta=1.5, start="natural", teacher=SEMI)

RECIPES = {
    "function_isp": Recipe("function_isp", (1500, 1500, 750), 3e-3),
    "lut3d": Recipe("lut3d", (1500, 1500, 750), 3e-3),
    "nafnet": Recipe("nafnet", (1000, 1000, 500), 1e-3),
    "photofinish": PHOTOFINISH,
    "photofinish_longer": PHOTOFINISH._replace(steps=(300, 1200, 200), first="photofinish"),
    "enhance": Recipe("function_isp", (1500, 1500, 750), 3e-3, guide="enhance", changes=DARK),
    "enhance_lut3d": Recipe("lut3d", (1500, 1500, 750), 3e-3, guide="enhance", changes=DARK),
    # Their loss, too, grows with the error.
    "noisy": Recipe("function_isp", (1500, 1500, 750), 3e-3, beta=1.7, guide="noisy", changes=NOISY),
    "noisy_nafnet": Recipe("nafnet", (1000, 1000, 500), 1e-3, beta=1.7, guide="noisy", changes=NOISY),
}

SLOWER = 1 / 3
"""Of the learning rate, for what goes on from the first phase."""


def methods_for(recipe):
    """All methods that there are for a target: nothing is unprocessed where no raw is wanted."""
    pictures = recipe.changes.get("isp", ISP).enhance
    return [method for method in METHODS if not (pictures and method == UNPROCESSING)]


def experiment_of(target, method, count, seed, folder, tuned=False):
    """The experiment of a phase: the first, the second by a method, or the third after it (``tuned``)."""
    recipe = RECIPES[target]
    steps = recipe.steps[0 if method == FIRST else 2 if tuned else 1]
    base = SemiExperiment(
        name=f"{target}, {method}",
        target=recipe.network,
        isp=ISP,
        count=count,
        split_seed=seed,
        size=SIZE,
        crop=CROP,
        beta=recipe.beta,
        capacity=1000,
        loop=LoopConfig(steps=steps, batch=recipe.batch, seed=seed, validate_every=steps, log_every=50),
        optim=dataclasses.replace(SemiExperiment.optim, learning_rate=recipe.rate * (1 if method == FIRST else SLOWER)),
    )
    base = dataclasses.replace(base, **recipe.changes)
    if method == FIRST:
        if recipe.start is None:
            return base
        path = run_folder(folder, target, "start", count, seed).with_suffix(".safetensors")
        return dataclasses.replace(base, start=in_common(base, recipe.start, path))
    before = run_folder(folder, *((target, method) if tuned else (recipe.first or target, FIRST)), count, seed)
    teacher = run_folder(folder, recipe.guide, recipe.teacher, count, seed, recipe.teacher != FIRST)
    changes = {"pseudo": recipe.pseudo, "teacher": teacher / "best.safetensors"} | (PLAIN if tuned else METHODS[method])
    return dataclasses.replace(base, start=before / "best.safetensors", **changes)


def in_common(experiment, style, path):
    """A style with a colour LUT, and what all pairs have in common put into it: ``fit_style`` without a step."""
    if not path.exists():
        pairs = [(pair["input"], pair["target"]) for pair in controlled(experiment).pairs]
        config = FitStyleConfig(size=SIZE)
        found = fit_style(load_params(style=style), pairs, rgb_lut=True, steps=0, validation=0.0, config=config)
        path.parent.mkdir(parents=True, exist_ok=True)
        save_params(path, {"photofinish": found.params["photofinish"]})
    return path


def run_folder(folder, target, method, count, seed, tuned=False):
    """Where a run is kept."""
    return folder / f"{target}-{count}-{seed}-{method}{' tuned' if tuned else ''}".replace(" ", "-")


def measured(target, method, count, seed, folder, tuned=False):
    """PSNR in dB on validation of one run, trained unless it is there."""
    experiment = experiment_of(target, method, count, seed, folder, tuned)
    run = fit(
        task(experiment), experiment.loop, experiment.optim, run_folder(folder, target, method, count, seed, tuned)
    )
    return float(run.metrics["score"])


def rows_of(results, target):
    """The table of a target: methods by numbers of pairs; means over seeds, and gains over the pairs alone."""
    found = results.get(target, {})
    counts = sorted(found, key=int)
    methods = [method for method in METHODS if any(method in found[count] for count in counts)]
    rows = heading_of(counts)
    for phase, method in itertools.product((0, 1), methods):
        cells = [cell_of(*(found[count].get(m, {}) for m in (method, ALONE)), phase) for count in counts]
        rows.append(f"| {method}{'' if phase else ', before fine-tuning'} | " + " | ".join(cells) + " |")
    return rows


def heading_of(counts):
    """The first two rows of a table by numbers of pairs."""
    return ["| | " + " | ".join(f"{count} pairs" for count in counts) + " |", "|---|" + "---|" * len(counts)]


def cell_of(ours, alone, phase):
    """Of one method: the mean over seeds, and how much more than the pairs alone that is, in the mean and each."""
    if not ours:
        return ""
    mean = f"{np.mean([scores[phase] for scores in ours.values()]):.2f}"
    if ours == alone:
        return mean
    gains = [scores[phase] - alone[seed][phase] for seed, scores in ours.items()]
    return f"{mean} (**{np.mean(gains):+.2f}**: {', '.join(f'{gain:+.2f}' for gain in gains)})"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--target", choices=tuple(RECIPES), default="function_isp")
    parser.add_argument("--pairs", type=int, nargs="+", default=[30, 10, 100])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--methods", nargs="+", default=None, help="by default all at 30 pairs, else the main ones")
    parser.add_argument("--folder", type=Path, default=Path("runs/semi"))
    parser.add_argument("--write", action="store_true", help="write results and the table of the page")
    options = parser.parse_args()
    compile_cache.enable()
    about, recipe = machine(), RECIPES[options.target]
    for count in options.pairs:
        for seed in options.seeds:
            # The teacher's, and what all methods go on from.
            for target in dict.fromkeys((recipe.guide, recipe.first or options.target)):
                measured(target, FIRST, count, seed, options.folder)
            if recipe.teacher != FIRST:
                for tuned in (False, True):
                    measured(recipe.guide, recipe.teacher, count, seed, options.folder, tuned)
            methods = options.methods or (methods_for(recipe) if count == 30 else MAIN)
            for method in dict.fromkeys((ALONE, *methods)):  # with which all others are compared
                scores = [
                    measured(options.target, method, count, seed, options.folder, tuned) for tuned in (False, True)
                ]
                words = " dB, fine-tuned ".join(f"{score:.2f}" for score in scores)
                print(f"{options.target}, {count} pairs, seed {seed}, {method}: {words} dB", flush=True)
                if options.write:
                    results = read_results("semi")
                    entry = results.setdefault("psnr", {}).setdefault(options.target, {}).setdefault(str(count), {})
                    entry.setdefault(method, {})[str(seed)] = [round(score, 3) for score in scores]
                    results.pop("machine", None)
                    write_results("semi", results, about)
    if options.write:
        write_table(PAGE, options.target, rows_of(read_results("semi")["psnr"], options.target))
    return 0


if __name__ == "__main__":
    sys.exit(main())
