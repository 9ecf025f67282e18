"""How fast ParamISP trains and runs: the tables of docs/paramisp.md.

    python3 dev.py run benchmarks/paramisp_speed.py --write

Training: images a second of whole steps (pairs drawn, both pictures dequantised, loss, gradient, optimiser) on patches
of 448 pixels as in the paper, and of 96 as the shipped configs have, one network. Inference: a photo through either
network in a process of its own, whose peak memory is its own: by our kernels, and as XLA compiles it, in bands and, at
a size that allows it, in one piece. The networks are untrained, which changes nothing of what is computed.
"""

import argparse
import itertools
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.common import compile_time, machine, peak_memory, run_times, summary, write_results, write_table
from modisp_jax.bench import parse_size
from modisp_jax.config import ParamISPConfig, PipelineConfig
from modisp_jax.kernels import dispatch
from modisp_jax.paramisp import photo_to_raw, photos, raw_to_photo
from modisp_jax.params import init_params
from train.loop import first_state, make_step
from train.optim import optimizer
from train.paramisp import task as paramisp

PAGE = Path(__file__).parent.parent / "docs" / "paramisp.md"
CONFIGS = {"shipped": paramisp.SMALL, "published": ParamISPConfig()}
STEPS = (("shipped", 96, 8), ("shipped", 448, 2), ("published", 96, 8), ("published", 448, 1))
"""Networks, side of the patches, and batch."""


def training_step(name, crop, batch, repeats):
    """Images a second and compile time of one kind of step."""
    experiment = paramisp.ParamISPExperiment(config=CONFIGS[name], crop=crop, val_size=88)
    task = paramisp.task(experiment)
    params = task.init(jax.random.key(0))
    transform = optimizer(experiment.optim, 100, params, task.rules)
    photos_ = np.random.default_rng(0).integers(0, 256, (batch, crop, crop, 3)).astype(np.uint8)
    step = make_step(task.loss, transform, 100, experiment.optim.ema, donate=False)
    arguments = first_state(params, transform), task.context, {"srgb": jnp.asarray(photos_)}, jax.random.key(1)
    program, seconds = compile_time(step, *arguments)
    times = run_times(lambda: program(*arguments), repeats)
    return {
        "network": name,
        "patch": crop,
        "batch": batch,
        "images_per_s": batch / summary(times)["median_s"],
        "compile_s": round(seconds, 1),
    }


KERNELS, BANDS, WHOLE = "kernels", "XLA, in bands", "XLA, in one piece"


def inference(name, direction, size, *, by, repeats):
    """Times and peak memory of one photo, in this process."""
    h, w = parse_size(size)
    config = CONFIGS[name]
    network = f"{direction}_isp"
    params = init_params(jax.random.key(0), PipelineConfig(None, None, None, **{network: config}))[network]
    if by != KERNELS:
        os.environ[dispatch.VARIABLE] = "0"
        photos.LARGE = h * w if by == WHOLE else 0
    rng = np.random.default_rng(0)
    image = rng.random((h, w, 3) if direction == "inverse" else (h, w), np.float32)
    run = photo_to_raw if direction == "inverse" else raw_to_photo
    once = lambda: run(params, image, jnp.array([0.5, 1.0, 0.6]), jnp.eye(3), config=config)  # noqa: E731
    start = time.perf_counter()
    jax.block_until_ready(once())
    first = time.perf_counter() - start
    times = run_times(once, repeats, warm=True)
    return {"first_s": round(first, 2), **summary(times), "peak_memory_mb": peak_memory() // 10**6}


def apart(**case):
    """:func:`inference` in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.paramisp_speed", "--case", json.dumps(case)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return case | json.loads(done.stdout)


def tables(results):
    """Lines of both tables."""
    steps = ["| networks | patch | batch | images/s | compile s |", "|---|---|---|---|---|"]
    for row in results["steps"]:
        cells = row["network"], row["patch"], row["batch"], f"{row['images_per_s']:.2f}", row["compile_s"]
        steps.append("| " + " | ".join(map(str, cells)) + " |")
    runs = ["| networks | direction | photo | computed by | first s | later s | peak memory |", "|" + "---|" * 7]
    for row in results["inference"]:
        cells = row["name"], row["direction"], row["size"], row["by"], f"{row['first_s']:.1f}", f"{row['median_s']:.2f}"
        runs.append("| " + " | ".join(cells) + f" | {row['peak_memory_mb'] / 1000:.2f} GB |")
    return steps, runs


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", default=["3000x4000"])
    parser.add_argument("--whole", nargs="*", default=["1000x1200"], help="sizes that XLA also computes in one piece")
    parser.add_argument("--large", nargs="*", default=["4000x6000"], help="sizes for which XLA is not waited for")
    parser.add_argument("--networks", nargs="+", choices=CONFIGS, default=list(CONFIGS), help="of training")
    parser.add_argument("--inference", nargs="*", choices=CONFIGS, default=["shipped"], help="networks of inference")
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--case", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.case is not None:
        print(json.dumps(inference(**json.loads(options.case))))
        return
    about, results = machine(), {"steps": [], "inference": []}
    cases = [
        *itertools.product(options.whole, (KERNELS, WHOLE, BANDS)),
        *itertools.product(options.sizes, (KERNELS, BANDS)),
        *itertools.product(options.large, (KERNELS,)),
    ]
    for name, direction, (size, by) in itertools.product(options.inference, ("inverse", "forward"), cases):
        case = {"name": name, "direction": direction, "size": size, "by": by}
        results["inference"].append(apart(**case, repeats=options.repeats))
        print(results["inference"][-1], file=sys.stderr, flush=True)
    for name, crop, batch in STEPS:
        if name in options.networks:
            results["steps"].append(training_step(name, crop, batch, options.repeats))
            print(results["steps"][-1], file=sys.stderr, flush=True)
    steps, runs = tables(results)
    if options.write:
        write_results("paramisp_speed", results, about)
        write_table(PAGE, "speed-training", steps)
        write_table(PAGE, "speed-inference", runs)
    print(*steps, "", *runs, sep="\n")


if __name__ == "__main__":
    main()
