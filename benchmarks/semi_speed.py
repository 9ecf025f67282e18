"""Whether pairs are made of photos faster than training takes them: the last table of docs/semi.md.

    python3 dev.py run benchmarks/semi_speed.py --write

For each target: the time in which the function ISP makes a batch of pairs out of photos, with quality update, over the
time of a training step (loss and its gradient) on that batch, in one process, by turns.
"""

import argparse
import sys
from pathlib import Path

import jax
import numpy as np

from benchmarks.common import machine, run_times, summary, write_results, write_table
from benchmarks.semi import CROP, ISP, RECIPES
from modisp_jax.bench import parse_size
from modisp_jax.dynamicisp import empty_memory, remember_used
from modisp_jax.dynamicisp.parameters import base_parameters
from train.semi import targets
from train.semi.task import SemiExperiment, semi_pairs

PAGE = Path(__file__).parent.parent / "docs" / "semi.md"
CAPACITY = 1000


def material(experiment, count):
    """What makes pairs, and photos [count, H, W, 3]; what is in them does not matter to the time."""
    rng = np.random.default_rng(0)
    images = rng.random((count, *experiment.crop, 3), np.float32)
    network = targets.TARGETS["function_isp"].init(jax.random.key(0), experiment)
    memory = empty_memory(base_parameters(experiment.isp), CAPACITY)
    return {"teacher": network, "memory": remember_used(network, memory, images, config=experiment.isp)}, images


def times_of(name, make, experiment, repeats):
    """Seconds to make pairs, and those of a training step of the target on them."""
    target, pairs = targets.TARGETS[name], make()
    params = target.init(jax.random.key(2), experiment)

    def loss(params, inputs, wanted):
        return targets.losses(target, params, inputs, wanted, experiment).mean()

    step = jax.jit(jax.value_and_grad(loss))
    jax.block_until_ready(step(params, *pairs))
    making, training = [], []
    for _ in range(repeats):
        making += run_times(make, 1, warm=True)
        training += run_times(lambda: step(params, *pairs), 1, warm=True)
    return summary(making), summary(training)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--targets", nargs="+", choices=tuple(targets.TARGETS), default=list(targets.TARGETS))
    parser.add_argument("--size", type=parse_size, default=CROP, help="height x width of a picture")
    parser.add_argument("--photos", type=int, default=RECIPES["function_isp"].pseudo)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--write", action="store_true", help="write results and the table of the page")
    options = parser.parse_args()
    about, found = machine(), {}
    rows = ["| training step of | to make the pairs | time of a step on them | share |", "|---|---|---|---|"]
    experiment = SemiExperiment(isp=ISP, size=options.size, crop=options.size)
    context, photos = material(experiment, options.photos)
    keys = jax.random.split(jax.random.key(1), options.photos)
    make_pairs = jax.jit(lambda context, photos: semi_pairs(context, photos, keys, experiment))
    for name in options.targets:
        making, training = times_of(name, lambda: make_pairs(context, photos), experiment, options.repeats)
        share = making["median_s"] / training["median_s"]
        found[name] = {"pairs": making, "step": training, "share": round(share, 3)}
        milliseconds = [f"{1000 * part['median_s']:.0f} ms" for part in (making, training)]
        rows.append(f"| {name} | {' | '.join(milliseconds)} | {share:.2f} |")
        print(rows[-1], flush=True)
    if options.write:
        write_results("semi-speed", {"photos": options.photos, "size": options.size, "targets": found}, about)
        write_table(PAGE, "semi-speed", rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
