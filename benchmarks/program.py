"""``modisp render`` as a whole, from file to file: seconds and peak memory of the process, first and later runs.

    python3 dev.py run benchmarks/program.py GOPR0024.DNG             # a 12-megapixel raw photo
    python3 dev.py run benchmarks/program.py GOPR0024.DNG --write     # and the table of docs/performance.md

The first run has an empty cache of compiled programs (the kernels' machine code, made once on a machine, is apart: see
``--kernels``); the later ones find what it left. ``--help`` is timed beside it.
"""

import dataclasses
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import common
import tyro
from tyro.conf import Positional

PAGE = Path(__file__).parent.parent / "docs" / "performance.md"
PROGRAM = "import sys; from modisp_jax.cli import main; sys.exit(main())"
MEASURED = """
import resource, subprocess, sys, time
start = time.perf_counter()
done = subprocess.run(sys.argv[1:], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
print(time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(done.returncode)
"""


@dataclasses.dataclass(frozen=True)
class Options:
    """What to measure."""

    photo: Positional[Path]
    """A raw photo."""
    repeats: int = 3
    """Later runs."""
    kernels: bool = True
    """Have the first run compile the kernels too, as on a new machine."""
    name: str = "program"
    """Results go to results/NAME.json."""
    write: bool = False
    """Put the table into docs/performance.md."""


def main(options):
    about, cases = common.machine(), {}
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {"MODISP_CACHE_DIR": f"{folder}/programs"}
        if options.kernels:
            environment["NUMBA_CACHE_DIR"] = f"{folder}/kernels"
        render = ["render", str(options.photo), "-o", f"{folder}/picture.jpg"]
        runs = {"first picture on a machine": (render, 1), "later pictures": (render, options.repeats)}
        runs["later, bfloat16 activations"] = ([*render, "--activations", "bfloat16"], options.repeats + 1)
        runs["`modisp --help`"] = (["--help"], options.repeats)
        for name, (arguments, count) in runs.items():
            cases[name] = measure(arguments, count, environment)
            print(f"{name}: {cases[name]}", flush=True)
    path = common.write_results(options.name, {"cases": cases}, about)
    print(f"written to {path}")
    if options.write:
        rows = [
            f"| {name} | {row['median_s']:.2f} s | {row['peak_memory_mb'] / 1000:.2f} GB |"
            for name, row in cases.items()
        ]
        common.write_table(PAGE, "program", ["| | time | peak memory |", "|---|---|---|", *rows])


def measure(arguments, count, environment):
    """Median time and largest peak memory of the program over ``count`` runs."""
    times, peaks = [], []
    for _ in range(count):
        command = [sys.executable, "-c", MEASURED, sys.executable, "-c", PROGRAM, *arguments]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
        seconds, peak = done.stdout.split()
        times.append(float(seconds))
        peaks.append(int(peak))
    return {"median_s": round(statistics.median(times), 2), "peak_memory_mb": max(peaks) * 1024 // 10**6}


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
