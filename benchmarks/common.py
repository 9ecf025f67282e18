"""What benchmarks share: timing and machine metadata, as in ``modisp bench``; results as JSON, tables in the docs."""

import json
from pathlib import Path

from modisp_jax.bench import compile_time, machine, peak_memory, run_times, summary

__all__ = [
    "compile_time",
    "machine",
    "peak_memory",
    "read_results",
    "run_times",
    "summary",
    "write_results",
    "write_table",
]

RESULTS = Path(__file__).parent / "results"


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
