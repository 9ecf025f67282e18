"""SOAP beside Adam, in as many steps: the table of docs/training.md.

    python3 dev.py run benchmarks/optimizers.py --write

Each row is one short training by either, the same in all else: start, samples and their order, learning rate, length.
What is measured is the average of the weights on the experiment's validation, after the last step. Runs are kept in
``--folder`` and go on where they were. ``--rows`` and ``--methods`` choose what is run, ``--rate`` sets another
learning rate; the table is written from all results so far. ``--time`` measures an update of ParamISP's parameters.
"""

import argparse
import dataclasses
import sys
from pathlib import Path
from typing import NamedTuple, get_args

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.common import machine, read_results, run_times, summary, write_results, write_table
from modisp_jax import compile_cache
from modisp_jax.fit.optim import Method, OptimizerConfig, optimizer
from modisp_jax.paramisp_file import load_paramisp
from train.__main__ import TASKS, load
from train.loop import fit

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "training.md"


class Row(NamedTuple):
    """A training: its config, in fewer steps, with some fields changed, and the validation figures that are shown."""

    what: str
    config: str
    steps: int
    figures: tuple[str, ...]
    changes: dict = {}  # noqa: RUF012 (never written to)


ROWS = {
    "inverse": Row("ParamISP, sRGB to raw, untrained at first", "paramisp_inverse", 400, ("inverse",)),
    "joint": Row(
        "ParamISP's two networks as they ship, trained on",
        "paramisp_joint_longer",
        200,
        ("inverse", "cycle", "photo"),
        {"start": (ROOT / "modisp_jax" / "weights" / "paramisp.safetensors",)},
    ),
    "denoiser": Row("lite denoiser, untrained at first", "denoise_lite_noise", 600, ("score",)),
}


def trained(name, method, rate, folder):
    """(learning rate, validation figures) of one run, trained unless it is there."""
    row = ROWS[name]
    experiment = load(ROOT / "configs" / f"{row.config}.py")
    rate = rate or experiment.optim.learning_rate
    experiment = dataclasses.replace(
        experiment,
        loop=dataclasses.replace(experiment.loop, steps=row.steps, validate_every=row.steps, log_every=20),
        optim=dataclasses.replace(experiment.optim, method=method, learning_rate=rate),
        **row.changes,
    )
    run = fit(
        TASKS[type(experiment)](experiment),
        experiment.loop,
        experiment.optim,
        folder / f"{name}-{method}-{rate:g}",
    )
    return rate, [round(run.metrics[figure], 3) for figure in row.figures]


def update_time(method):
    """Median milliseconds of an update of ParamISP's parameters by random gradients, the learning rate apart."""
    params, _ = load_paramisp()
    rng = np.random.default_rng(0)
    gradient = jax.tree.map(lambda x: jnp.asarray(rng.standard_normal(x.shape, np.float32)), params)
    transform = optimizer(OptimizerConfig(method=method), 100, params, (("", 1.0),))
    program, state = jax.jit(transform.update), transform.init(params)
    _, state = program(gradient, state, params)
    return 1e3 * summary(run_times(lambda: program(gradient, state, params), 15))["median_s"]


def rows_of(results):
    """The table: a row for each training, method and learning rate."""
    rows = ["| | steps | method | learning rate | dB on validation |", "|---|---|---|---|---|"]
    for name, row in ROWS.items():
        for method in get_args(Method):
            for rate, found in sorted(results.get(name, {}).get(method, {}).items(), key=lambda item: float(item[0])):
                pairs = zip(row.figures, found, strict=True)
                figures = ", ".join(
                    f"{value:.2f}" + (f" ({figure})" if figure != "score" else "") for figure, value in pairs
                )
                rows.append(f"| {row.what} | {row.steps} | {method} | {rate} | {figures} |")
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rows", nargs="+", choices=tuple(ROWS), default=list(ROWS))
    parser.add_argument("--methods", nargs="+", choices=get_args(Method), default=list(get_args(Method)))
    parser.add_argument("--rate", type=float, help="learning rate in place of the config's")
    parser.add_argument("--time", action="store_true", help="measure an update, train nothing")
    parser.add_argument("--folder", type=Path, default=Path("runs/optimizers"))
    parser.add_argument("--write", action="store_true", help="write results and the table of the page")
    options = parser.parse_args()
    if options.time:
        print(*(f"{method}: {update_time(method):.0f} ms an update" for method in get_args(Method)), sep="\n")
        return 0
    compile_cache.enable()
    about = machine()
    for name in options.rows:
        for method in options.methods:
            rate, figures = trained(name, method, options.rate, options.folder)
            print(f"{name}, {method}, {rate:g}: {figures} dB", flush=True)
            if options.write:
                results = read_results("optimizers")
                results.pop("machine", None)
                results.setdefault(name, {}).setdefault(method, {})[f"{rate:g}"] = figures
                write_results("optimizers", results, about)
    if options.write:
        write_table(PAGE, "optimizers", rows_of(read_results("optimizers")))
    return 0


if __name__ == "__main__":
    sys.exit(main())
