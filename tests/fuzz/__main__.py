"""Runs the fuzzer, and says what came of it; started again with the same --state, it goes on."""

import argparse
import collections
import json
import sys
import time
from pathlib import Path

from tests.fuzz.pool import SECONDS, fuzz, is_bad
from tests.fuzz.readers import READERS
from tests.fuzz.seeds import make_seeds
from tests.fuzz.worker import ROOM


def main():
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--cases", type=int, default=1000)
    parser.add_argument("--start", type=int, default=0, help="number of the first case")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--readers", nargs="*", default=[], metavar="NAME", help=", ".join(READERS))
    parser.add_argument("--keep", type=Path, default=Path("/tmp/modisp_fuzz"), help="folder for what went wrong")
    parser.add_argument("--state", type=Path, help="file with a line for each case done; those are not done again")
    parser.add_argument("--slow", type=float, default=SECONDS, help="report cases that take longer, in seconds")
    parser.add_argument("--output", type=Path, help="JSON file for the counts")
    parser.add_argument("--table", type=Path, help="only write the table of --output into this page")
    options = parser.parse_args()
    if options.table:
        return write_page(options.table, json.loads(options.output.read_text()))
    done = _earlier(options.state)
    numbers = [n for n in range(options.start, options.start + options.cases) if n not in done]
    found, begin = list(done.values()), time.perf_counter()
    log = options.state.open("a") if options.state else None

    def report(case):
        found.append(case)
        if log:
            print(json.dumps({key: value for key, value in case.items() if key != "trace"}), file=log, flush=True)
        if is_bad(case) or case["seconds"] > options.slow:
            details = [case[key] for key in ("error", "partial", "ignored") if key in case]
            print(f"{case['number']} {case['reader']}: {case['outcome']}, {case['damage']}:", *details, flush=True)
        if len(found) % 500 == 0:
            print(f"{len(found)} cases, {time.perf_counter() - begin:.0f} s", file=sys.stderr, flush=True)

    how = {"workers": options.workers, "readers": tuple(options.readers), "keep": options.keep}
    fuzz(numbers, options.seed, make_seeds(), report=report, **how)
    table = summary(found)
    for name, row in table.items():
        print(f"{name:22s} {row}")
    if options.output:
        total = {key: sum(row[key] for row in table.values()) for key in ("cases", *BAD)}
        facts = {"seed": options.seed, "limit_s": SECONDS, "memory_room_mb": ROOM // 1_000_000, "total": total}
        write(options.output, facts | {"readers": table})
    return int(any(is_bad(case) for case in found))


ENDED = ("crashed on it", "longer than its size", "more memory than")
"""Refusals that only the decoding child makes possible."""
BAD = ("crash", "hang", "fault", "unsound", "partial")


def summary(found):
    """Counts by reader and outcome, the slowest case, and the most that a worker grew in one."""
    rows = collections.defaultdict(list)
    for case in found:
        rows[case["reader"]].append(case)
    table = {}
    for name in READERS:
        cases = rows.get(name)
        if not cases:
            continue
        counts = collections.Counter(case["outcome"] for case in cases)
        row = {"cases": len(cases), **{k: counts.get(k, 0) for k in ("read", "refused", *BAD[:-1])}}
        row["partial"] = sum("partial" in case for case in cases)
        row["child_ended"] = sum(any(word in case.get("error", "") for word in ENDED) for case in cases)
        row["slowest_s"] = round(max(case["seconds"] for case in cases), 2)
        row["most_mb"] = round(max(case["grown"] for case in cases) / 1e6)
        table[name] = row
    return table


def write_page(page, results):
    """Writes the counts of a run as the page's table."""
    from benchmarks.common import write_table

    keys = ("cases", "read", "refused", *BAD, "child_ended", "slowest_s", "most_mb")
    rows = [f"| reader | {' | '.join(key.replace('_', ' ') for key in keys)} |", "|---" * (len(keys) + 1) + "|"]
    rows += [f"| {name} | {' | '.join(str(row[key]) for key in keys)} |" for name, row in results["readers"].items()]
    write_table(page, "fuzz", rows)
    return 0


def _earlier(path):
    if path is None or not path.exists():
        return {}
    return {case["number"]: case for case in map(json.loads, path.read_text().splitlines())}


def write(path, results):
    from modisp_jax.bench import machine

    path.write_text(json.dumps({**results, "machine": machine()}, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
