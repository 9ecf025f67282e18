"""A batch of photofinishing's training sample by sample beside all at once: a table of docs/training.md.

    python3 dev.py run benchmarks/in_turn.py --write

Loss and gradient of the shipped natural style, in one process, by turns, at the batches and sizes of SemiISP's
benchmark, of ``modisp fit`` with photos, and of training; what the pictures show does not matter to the time. Memory:
what XLA sets aside for the program's intermediate results.
"""

import argparse
import functools
import sys
from pathlib import Path

import jax
import numpy as np

from benchmarks.common import machine, run_times, summary, write_results, write_table
from modisp_jax.checkpoints import load_params, shipped
from modisp_jax.fit.samples import at_once, each_loss
from train.semi.targets import TARGETS

PAGE = Path(__file__).parent.parent / "docs" / "training.md"
BATCHES = {"SemiISP": (12, 40, 52), "modisp fit": (8, 96, 128), "training": (8, 144, 192)}


def program(each, *arguments):
    """Value and gradient of a batch's mean loss, compiled."""
    one = lambda params, x, y: (TARGETS["photofinish"].loss(params, x, y, None, None), None)  # noqa: E731
    mean = lambda params, *pairs: each(one, params, *pairs)[0].mean()  # noqa: E731
    return jax.jit(jax.value_and_grad(mean)).lower(*arguments).compile()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--batches", nargs="+", choices=BATCHES, default=list(BATCHES))
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--write", action="store_true", help="write results and the table of the page")
    options = parser.parse_args()
    about, found = machine(), {}
    rows = ["| batch | all at once | sample by sample | ratio | memory |", "|---|---|---|---|---|"]
    params = load_params(str(shipped("style-natural")))["photofinish"]
    for name in options.batches:
        count, *size = BATCHES[name]
        pairs = np.random.default_rng(0).random((2, count, *size, 3), np.float32)
        arguments = params, *pairs
        programs = [program(each, *arguments) for each in (at_once, each_loss)]
        times = [[], []]
        for _ in range(options.repeats):
            for one, seconds in zip(programs, times, strict=True):
                seconds += run_times(functools.partial(one, *arguments), 1, warm=True)
        memory = [one.memory_analysis().temp_size_in_bytes / 2**20 for one in programs]
        slow, fast = map(summary, times)
        ratio = slow["median_s"] / fast["median_s"]
        found[name] = {"at_once": slow, "in_turn": fast, "ratio": round(ratio, 2), "mib": [round(m) for m in memory]}
        rows.append(
            f"| {name}: {count} of {size[0]} x {size[1]} | {slow['median_s']:.1f} s | {fast['median_s']:.1f} s"
            f" | {ratio:.2f} | {memory[0]:.0f} and {memory[1]:.0f} MiB |"
        )
        print(rows[-1], flush=True)
    if options.write:
        write_results("in-turn", found, about)
        write_table(PAGE, "in-turn", rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
