"""What steering ParamISP by exposure data is worth, and each of its parts: tables of docs/paramisp.md.

    python3 dev.py run benchmarks/paramisp_steering.py --write

Trains both networks on the five imaginary cameras, each as they are and with one thing changed: no ParamNet at all, no
random dropout, exposure data divided by their largest value instead of equalised. All of one direction and seed see the
same pairs in the same order. Then each is measured on held-out photos, every one taken by every camera: as it is, with
single parameters unknown, and with single parameters wrong. Runs are kept in ``--folder`` and go on where they were.
"""

import argparse
import dataclasses
import sys
from pathlib import Path

import jax
import numpy as np

from benchmarks.common import machine, read_results, write_results, write_table
from modisp_jax.nets.paramisp import PARAMETERS
from train.cameras import cameras_of
from train.data import VALIDATION_SEED, PhotoFolder
from train.loop import LoopConfig, fit
from train.paramisp import cameras as imaginary
from train.paramisp import task as paramisp
from train.paramisp.pairs import draw_pair, middle_of

PAGE = Path(__file__).parent.parent / "docs" / "paramisp.md"
DIRECTIONS = {"inverse": "inverse_isp", "forward": "forward_isp"}
VARIANTS = {
    "steered": {},
    "no ParamNet": {"config": {"steered": False}},
    "no dropout": {"dropout": 0.0},
    "not equalised": {"config": {"equalized": False}},
}


def experiment_of(direction, variant, seed, steps):
    """The experiment of one run."""
    changes = dict(VARIANTS[variant])
    config = dataclasses.replace(paramisp.SMALL, **changes.pop("config", {}))
    return paramisp.ParamISPExperiment(
        name=f"{direction}, {variant}",
        networks=(DIRECTIONS[direction],),
        config=config,
        loop=LoopConfig(steps=steps, batch=8, seed=seed, validate_every=steps, log_every=20),
        val_size=128,
        **changes,
    )


def held_out(experiment, size):
    """Pairs of each validation photo by each camera, with seeds that training never draws."""
    sensors = cameras_of(experiment.tables)
    photos = PhotoFolder(experiment.val_photos)
    takes = [jax.jit(lambda key, photo, k=k: draw_pair(key, photo, sensors, (k,))) for k in range(imaginary.COUNT)]
    keys = jax.random.split(jax.random.key(VALIDATION_SEED + 1), len(photos) * imaginary.COUNT)
    middles = [middle_of(photos[i]["srgb"], size) for i in range(len(photos))]
    return [
        take(keys[imaginary.COUNT * i + k], middles[i]) for i in range(len(middles)) for k, take in enumerate(takes)
    ]


def measure(params, pairs, config, direction):
    """Mean PSNR in dB: exposure data as they are, each and all unknown, each and all of another photo."""
    run = jax.jit(lambda params, pair: paramisp.run(params, pair, config))
    captures = np.array([pair.capture for pair in pairs])
    # Another photo's: half the list further on, so never one of the same scene.
    others = np.roll(captures, len(pairs) // 2, axis=0)

    def mean(changed):
        found = [
            paramisp.scores(run(params, pair._replace(capture=capture)), pair)[direction]
            for pair, capture in zip(pairs, changed, strict=True)
        ]
        return float(np.mean(found))

    numbers = {"right": mean(captures)}
    if not config.steered:
        return numbers
    for kind, values in (("unknown", np.full_like(captures, np.nan)), ("wrong", others)):
        for k, name in enumerate(PARAMETERS):
            changed = captures.copy()
            changed[:, k] = values[:, k]
            numbers[f"{name} {kind}"] = mean(changed)
        numbers[f"all {kind}"] = mean(values)
    return numbers


def rows_of(results):
    """The two tables of the page, as lists of lines."""
    found = {}
    for row in results["runs"]:
        found.setdefault((row["direction"], row["variant"]), []).append(row["psnr"])

    def cell(direction, variant, name="right", minus=None):
        values = [psnr[name] - (psnr[minus] if minus else 0.0) for psnr in found.get((direction, variant), [])]
        if not values:
            return ""
        spread = f" ± {np.std(values, ddof=1):.2f}" if len(values) > 1 else ""
        return f"{np.mean(values):.2f}{spread}"

    first = ["| | inverse | forward |", "|---|---|---|"]
    first += [f"| {v} | {cell('inverse', v)} | {cell('forward', v)} |" for v in VARIANTS]
    columns = [(d, v) for d in DIRECTIONS for v in VARIANTS if v != "no ParamNet"]
    second = ["| | " + " | ".join(f"{d}, {v}" for d, v in columns) + " |", "|---" * (len(columns) + 1) + "|"]
    for kind in ("unknown", "wrong"):
        for name in (*PARAMETERS, "all"):
            cells = " | ".join(cell(d, v, f"{name} {kind}", minus="right") for d, v in columns)
            second.append(f"| {name.replace('_', ' ')} {kind} | {cells} |")
    return first, second


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("runs/paramisp-steering"))
    parser.add_argument("--steps", type=int, default=800)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--size", type=int, default=256, help="largest side of the held-out pairs")
    parser.add_argument("--write", action="store_true", help="results/paramisp_steering.json and the page")
    options = parser.parse_args()
    about, rows, pairs = machine(), [], None
    for seed in range(options.seeds):
        for direction in DIRECTIONS:
            for variant in VARIANTS:
                experiment = experiment_of(direction, variant, seed, options.steps)
                folder = options.folder / f"{direction}-{variant.replace(' ', '-')}-{options.steps}-{seed}"
                run = fit(paramisp.task(experiment), experiment.loop, experiment.optim, folder)
                if run.step < options.steps:
                    return 130
                pairs = held_out(experiment, options.size) if pairs is None else pairs
                psnr = measure(run.params, pairs, experiment.config, direction)
                rows.append({"direction": direction, "variant": variant, "seed": seed, "psnr": psnr})
                print(rows[-1], file=sys.stderr, flush=True)
                results = {"steps": options.steps, "size": options.size, "pairs": len(pairs), "runs": rows}
                if options.write:
                    write_results("paramisp_steering", results, about)
    if options.write:
        for name, lines in zip(("variants", "parameters"), rows_of(read_results("paramisp_steering")), strict=True):
            write_table(PAGE, f"steering-{name}", lines)
    print(*(line for table in rows_of(results) for line in table), sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
