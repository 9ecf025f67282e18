"""What benchmarks share: timing apart from compilation, machine metadata, results as JSON."""

import json
import os
import platform
import resource
import statistics
import time
from pathlib import Path

import jax

import modisp_jax

RESULTS = Path(__file__).parent / "results"


def compile_time(function, *arguments, **static):
    """Lowers and compiles a jitted function; returns (compiled, seconds)."""
    start = time.perf_counter()
    compiled = function.lower(*arguments, **static).compile()
    return compiled, time.perf_counter() - start


def run_times(function, *arguments, repeats):
    """Seconds of each of ``repeats`` runs after one that does not count; results are waited for."""
    jax.block_until_ready(function(*arguments))
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        jax.block_until_ready(function(*arguments))
        times.append(time.perf_counter() - start)
    return times


def summary(times):
    """Median and quartiles of run times, in seconds."""
    quartiles = statistics.quantiles(times, n=4) if len(times) > 1 else [times[0]] * 3
    return {"median_s": round(statistics.median(times), 4), "iqr_s": [round(quartiles[0], 4), round(quartiles[2], 4)]}


def peak_memory():
    """Largest resident size of this process so far, in bytes, interpreter and libraries included."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def machine():
    """What a result depends on besides the code."""
    return {
        "date": time.strftime("%Y-%m-%d"),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "load_at_start": os.getloadavg()[0],
        "python": platform.python_version(),
        "jax": jax.__version__,
        "backend": jax.default_backend(),
        "device": str(jax.devices()[0]),
        "modisp_jax": modisp_jax.__version__,
    }


def _processor():
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()


def write_results(name, results, about):
    """Writes results/NAME.json with the machine's metadata ``about``, taken at the start; returns the path."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps({**results, "machine": about}, indent=1) + "\n")
    return path


def read_results(name):
    """What results/NAME.json holds, a dict; empty where there is none."""
    path = RESULTS / f"{name}.json"
    return json.loads(path.read_text()) if path.exists() else {}


def write_table(page, name, rows):
    """Replaces the table between the marks ``<!-- numbers:NAME -->`` and ``<!-- end:NAME -->`` of a page."""
    mark, end = f"<!-- numbers:{name} -->", f"<!-- end:{name} -->"
    text = page.read_text(encoding="utf-8")
    if text.count(mark) != 1 or text.count(end) != 1:
        raise ValueError(f"{page}: expected the marks {mark} and {end} once each")
    before, rest = text.split(mark)
    table = "\n".join(rows)
    page.write_text(f"{before}{mark}\n{table}\n{end}{rest.split(end)[1]}", encoding="utf-8")
