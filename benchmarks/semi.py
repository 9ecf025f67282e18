"""What ordinary photos are worth beside a few pairs: the tables of docs/semi.md.

    python3 dev.py run benchmarks/semi.py --target function_isp --write
    python3 dev.py run benchmarks/semi.py --target lut3d --pairs 30 --write
    python3 dev.py run benchmarks/semi.py --target nafnet --pairs 30 --write

The controlled benchmark of ``train.semi.sources``: a hidden renderer is the wanted look, some training photos are in
pairs, the others have none, validation photos are kept apart. For each seed (split, start, order) the function ISP is
trained on the pairs alone; that is the baseline of ``function_isp`` and the teacher of all. Then each target is trained
on the pairs alone, and from there on for as many steps again, with as many samples in a step, by every method: so all
have had the same training, of which the second half differs. Figures are of the last step, not of the best
validation, which would choose by what is measured. Runs are kept in ``--folder`` and go on where they were; the table
is written from all results so far.
"""

import argparse
import dataclasses
import sys
from pathlib import Path

import numpy as np

from benchmarks.common import machine, read_results, write_results, write_table
from modisp_jax import compile_cache
from modisp_jax.config import FunctionISPConfig
from train.loop import LoopConfig, fit
from train.semi.task import SemiExperiment, task

PAGE = Path(__file__).parent.parent / "docs" / "semi.md"
BATCH, PSEUDO, BETA = 12, 8, 3.0
SIZE, CROP = (48, 64), (40, 52)
ALONE, LONGER, SEMI = "pairs alone", "pairs alone, trained on", "SemiISP"
METHODS = {
    LONGER: {"pseudo": 0, "teacher": None},
    SEMI: {},
    "draws from all": {"alike": float("inf")},
    "no filter": {"beta": float("inf")},
    "no quality update": {"quality_update": False},
    "neither": {"beta": float("inf"), "quality_update": False},
    "one inverse for all": {"method": "fixed_inverse", "beta": float("inf")},
    "unprocessing": {"method": "unprocess", "beta": float("inf")},
}
"""What goes on after the pairs alone: changes to :func:`experiment_of`."""

MAIN = (LONGER, SEMI)

TARGETS = ("function_isp", "lut3d", "nafnet", "photofinish")
STEPS = {"function_isp": 1500, "lut3d": 1500, "nafnet": 300, "photofinish": 100}
RATE = {"function_isp": 3e-3, "lut3d": 3e-3, "nafnet": 1e-3, "photofinish": 1e-3}
"""Learning rates."""

SLOWER = 1 / 3
"""Of them, for what goes on from there."""


def experiment_of(target, method, count, seed, folder, steps):
    """The experiment of one run."""
    rate = RATE[target] if method == ALONE else SLOWER * RATE[target]
    base = SemiExperiment(
        name=f"{target}, {method}",
        target=target,
        isp=FunctionISPConfig(resize=64),
        count=count,
        split_seed=seed,
        size=SIZE,
        crop=CROP,
        beta=BETA,
        capacity=1000,
        loop=LoopConfig(steps=steps, batch=BATCH, seed=seed, validate_every=steps, log_every=50),
        optim=dataclasses.replace(SemiExperiment.optim, learning_rate=rate),
    )
    if method == ALONE:
        return base
    teacher, start = (
        run_folder(folder, name, ALONE, count, seed) / "best.safetensors" for name in ("function_isp", target)
    )
    return dataclasses.replace(base, **{"pseudo": PSEUDO, "teacher": teacher, "start": start} | METHODS[method])


def run_folder(folder, target, method, count, seed):
    """Where a run is kept."""
    return folder / f"{target}-{count}-{seed}-{method.replace(', ', '-').replace(' ', '-')}"


def measured(target, method, count, seed, folder, steps):
    """PSNR in dB on validation of one run, trained unless it is there."""
    experiment = experiment_of(target, method, count, seed, folder, steps)
    run = fit(task(experiment), experiment.loop, experiment.optim, run_folder(folder, target, method, count, seed))
    return float(run.metrics["score"])


def rows_of(results, target):
    """The table of a target: methods by numbers of pairs; means over seeds, gains over pairs alone, trained on."""
    found = results.get(target, {})
    counts = sorted({int(count) for count in found})
    methods = [m for m in (ALONE, *METHODS) if any(m in found[str(c)] for c in counts)]
    rows = ["| | " + " | ".join(f"{count} pairs" for count in counts) + " |", "|---|" + "---|" * len(counts)]
    for method in methods:
        cells = []
        for count in counts:
            ours, alone = (found[str(count)].get(m, {}) for m in (method, LONGER))
            gains = [ours[seed] - alone[seed] for seed in ours if seed in alone]
            if not ours:
                cells.append("")
            elif method in (ALONE, LONGER):
                cells.append(f"{np.mean(list(ours.values())):.2f}")
            else:
                each = ", ".join(f"{gain:+.2f}" for gain in gains)
                cells.append(f"{np.mean(list(ours.values())):.2f} (**{np.mean(gains):+.2f}**: {each})")
        rows.append(f"| {method} | " + " | ".join(cells) + " |")
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--target", choices=TARGETS, default="function_isp")
    parser.add_argument("--pairs", type=int, nargs="+", default=[30, 10, 100])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--methods", nargs="+", default=None, help="by default all at 30 pairs, else the main ones")
    parser.add_argument("--steps", type=int, default=None)
    parser.add_argument("--folder", type=Path, default=Path("runs/semi"))
    parser.add_argument("--write", action="store_true", help="write results and the table of the page")
    options = parser.parse_args()
    compile_cache.enable()
    about, steps = machine(), options.steps or STEPS[options.target]
    for count in options.pairs:
        for seed in options.seeds:
            methods = options.methods or (MAIN if count != 30 else METHODS)
            if options.target != "function_isp":
                measured("function_isp", ALONE, count, seed, options.folder, STEPS["function_isp"])
            for method in dict.fromkeys((ALONE, *methods)):  # from which all others go on
                score = measured(options.target, method, count, seed, options.folder, steps)
                print(f"{options.target}, {count} pairs, seed {seed}, {method}: {score:.2f} dB", flush=True)
                if options.write:
                    results = read_results("semi")
                    entry = results.setdefault("psnr", {}).setdefault(options.target, {}).setdefault(str(count), {})
                    entry.setdefault(method, {})[str(seed)] = round(score, 3)
                    results.pop("machine", None)
                    write_results("semi", results, about)
    if options.write:
        write_table(PAGE, options.target, rows_of(read_results("semi")["psnr"], options.target))
    return 0


if __name__ == "__main__":
    sys.exit(main())
