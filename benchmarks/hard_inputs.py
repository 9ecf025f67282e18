"""What decoding in a child costs, and what the largest photos take: results/hard_inputs.json, docs/hard_inputs.md.

python -m benchmarks.hard_inputs            12 megapixels and a tiny file, here and in the child
python -m benchmarks.hard_inputs --large    also 200 megapixels: about 8 GB of memory and 400 MB of disk
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.common import machine, read_results, write_results, write_table
from modisp_jax.io import decode
from modisp_jax.io.dng_write import write_dng
from modisp_jax.io.raw import read_raw_file, read_raw_file_here

PAGE = Path(__file__).resolve().parent.parent / "docs" / "hard_inputs.md"


def main():
    parser = argparse.ArgumentParser(prog="python -m benchmarks.hard_inputs", description=__doc__)
    parser.add_argument("--large", action="store_true", help="also 200 megapixels")
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args()
    about, results = machine(), read_results("hard_inputs")
    results.pop("machine", None)
    with tempfile.TemporaryDirectory() as folder:
        results["child"] = {
            name: compare(mosaic_file(Path(folder) / f"{name}.dng", size), options.repeats)
            for name, size in (("12 MP", (3000, 4000)), ("32 x 40", (32, 40)))
        }
        if options.large:
            results["200 MP"] = large(mosaic_file(Path(folder) / "large.dng", (12240, 16320)))
    print(write_results("hard_inputs", results, about).read_text())
    write_table(PAGE, "child", rows(results["child"]))


def rows(results):
    """The page's table."""
    large, small = results["12 MP"], results["32 x 40"]
    return [
        "| | in this process | by the child |",
        "|---|---|---|",
        f"| 12 megapixels | {large['here_s']:.2f} s | {large['child_s']:.2f} s |",
        f"| 32 x 40 pixels | {1000 * small['here_s']:.0f} ms | {1000 * small['child_s']:.0f} ms |",
        f"| start of the child, once | | {small['start_s']:.2f} s |",
        f"| copying 12 megapixels of floats, which is avoided | | {1000 * large['copy_s']:.0f} ms |",
    ]


def mosaic_file(path, size):
    """A Bayer photo of noise, 14 bits: the slowest thing to interpolate."""
    mosaic = np.random.default_rng(0).integers(512, 16384, size, np.uint16)
    return write_dng(path, mosaic, black=512, white=16383, as_shot_neutral=(0.5, 1, 0.6))


def compare(path, repeats):
    """Seconds of reading in this process and by the child, alternating; the child's start, and its share in copying."""
    decode.close()
    first = timed(read_raw_file, path)
    here, child = [], []
    for _ in range(repeats):
        here.append(timed(read_raw_file_here, path))
        child.append(timed(read_raw_file, path))
    start = first - statistics.median(child)
    seconds = {"here_s": statistics.median(here), "child_s": statistics.median(child), "start_s": start}
    array = read_raw_file_here(path).image
    seconds["copy_s"] = statistics.median(timed(np.copy, array) for _ in range(repeats))
    return {key: round(value, 5) for key, value in seconds.items()}


def large(path):
    """Time and peak memory of reading one large photo."""
    decode.close()
    seconds = timed(read_raw_file, path)
    pid = decode._idle[0].process.pid
    return {
        "pixels": 12240 * 16320,
        "seconds": round(seconds, 1),
        "child_peak_mb": peak(pid),
        "parent_peak_mb": peak("self"),
    }


def peak(pid):
    """The largest resident memory of a process so far, in MB; shared memory counts in both."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) // 1000 for line in lines if line.startswith("VmHWM"))


def timed(function, *arguments):
    start = time.perf_counter()
    function(*arguments)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
