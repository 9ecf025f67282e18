"""What ordinary photos are worth beside a few pairs: the tables of docs/semi.md.

    python3 dev.py run benchmarks/semi.py --target function_isp --write
    python3 dev.py run benchmarks/semi.py --target lut3d --pairs 30 --write
    python3 dev.py run benchmarks/semi.py --target nafnet --pairs 30 --write

The controlled benchmark of ``train.semi.sources``: a hidden renderer is the wanted look, some training photos are in
pairs, the others have none, validation photos are kept apart. For each seed (split, start, order) the function ISP is
trained on the pairs alone; it is the teacher of all. Then each target is trained in the paper's three phases: on the
pairs alone, by one of the methods, and on the pairs alone again (fine-tuning, half as long or less). All had the same
steps of as many samples, of which the second phase differs. Figures are of the last step, not of the best validation,
which would choose by what is measured. Runs are kept in ``--folder`` and go on where they were; the table is written
from all results so far.
"""

import argparse
import dataclasses
import itertools
import sys
from pathlib import Path

import numpy as np

from benchmarks.common import machine, read_results, write_results, write_table
from modisp_jax import compile_cache
from modisp_jax.checkpoints import shipped
from modisp_jax.config import FunctionISPConfig
from train.loop import LoopConfig, fit
from train.semi.task import SemiExperiment, task

PAGE = Path(__file__).parent.parent / "docs" / "semi.md"
BATCH, PSEUDO, BETA = 12, 8, 3.0
SMALLER = {"photofinish": (6, 4)}
"""Other batches than those: the same photos take its large networks thirty times as long as other targets and more."""

SIZE, CROP = (48, 64), (40, 52)
FIRST, ALONE, SEMI = "first phase", "pairs alone", "SemiISP"
PLAIN = {"pseudo": 0, "teacher": None}
METHODS = {
    ALONE: PLAIN,
    SEMI: {},
    "no filter": {"beta": float("inf")},
    "no quality update": {"quality_update": False},
    "neither": {"beta": float("inf"), "quality_update": False},
    "one inverse for all": {"method": "fixed_inverse", "beta": float("inf")},
    "unprocessing": {"method": "unprocess", "beta": float("inf")},
}
"""The second phase: changes to :func:`experiment_of`."""

MAIN = (ALONE, SEMI)

TARGETS = ("function_isp", "lut3d", "nafnet", "photofinish")
STEPS = {
    "function_isp": (1500, 1500, 750),
    "lut3d": (1500, 1500, 750),
    "nafnet": (1000, 1000, 500),
    "photofinish": (300, 1000, 200),
}
"""Of the three phases."""

RATE = {"function_isp": 3e-3, "lut3d": 3e-3, "nafnet": 1e-3, "photofinish": 1e-3}
"""Learning rates of the first phase."""

SLOWER = 1 / 3
"""Of them, for what goes on from there."""

START = {"photofinish": shipped("style-natural")}
"""Where the first phase starts; otherwise untrained."""


def experiment_of(target, method, count, seed, folder, tuned=False):
    """The experiment of a phase: the first, the second by a method, or the third after it (``tuned``)."""
    first, second, third = STEPS[target]
    batch, pseudo = SMALLER.get(target, (BATCH, PSEUDO))
    steps = first if method == FIRST else third if tuned else second
    base = SemiExperiment(
        name=f"{target}, {method}",
        target=target,
        isp=FunctionISPConfig(resize=64),
        start=START.get(target),
        count=count,
        split_seed=seed,
        size=SIZE,
        crop=CROP,
        beta=BETA,
        capacity=1000,
        loop=LoopConfig(steps=steps, batch=batch, seed=seed, validate_every=steps, log_every=50),
        optim=dataclasses.replace(
            SemiExperiment.optim, learning_rate=RATE[target] * (1 if method == FIRST else SLOWER)
        ),
    )
    if method == FIRST:
        return base
    before = run_folder(folder, target, method if tuned else FIRST, count, seed)
    teacher = run_folder(folder, "function_isp", FIRST, count, seed) / "best.safetensors"
    changes = {"pseudo": pseudo, "teacher": teacher} | (PLAIN if tuned else METHODS[method])
    return dataclasses.replace(base, start=before / "best.safetensors", **changes)


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
    rows = ["| | " + " | ".join(f"{count} pairs" for count in counts) + " |", "|---|" + "---|" * len(counts)]
    for phase, method in itertools.product((0, 1), methods):
        cells = [cell_of(*(found[count].get(m, {}) for m in (method, ALONE)), phase) for count in counts]
        rows.append(f"| {method}{'' if phase else ', before fine-tuning'} | " + " | ".join(cells) + " |")
    return rows


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
    parser.add_argument("--target", choices=TARGETS, default="function_isp")
    parser.add_argument("--pairs", type=int, nargs="+", default=[30, 10, 100])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--methods", nargs="+", default=None, help="by default all at 30 pairs, else the main ones")
    parser.add_argument("--folder", type=Path, default=Path("runs/semi"))
    parser.add_argument("--write", action="store_true", help="write results and the table of the page")
    options = parser.parse_args()
    compile_cache.enable()
    about = machine()
    for count in options.pairs:
        for seed in options.seeds:
            # The teacher's, and what all methods go on from.
            for target in dict.fromkeys(("function_isp", options.target)):
                measured(target, FIRST, count, seed, options.folder)
            methods = options.methods or (METHODS if count == 30 else MAIN)
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
