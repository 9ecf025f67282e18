"""``modisp batch``: is everything there, once, after kills at random moments? And how many photos a minute?

    python3 dev.py run benchmarks/batch.py --write                 # both, and the tables of docs/batch.md
    python3 dev.py run benchmarks/batch.py --parts kills --seed 1  # other moments

The kills: 200 raw photos of 64 x 96 pixels, two processes, ten kills by SIGKILL, the same command after each; all is
read from folder and manifest (``kill_batch.py``). The rate: photos of three megapixels with the default parameters, by
``modisp render`` and by ``modisp batch`` with one and two processes, and on a local Ray where it is installed; compiled
programs are there already, starting the program counts.
"""

import dataclasses
import importlib.util
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import common
import kill_batch
import tyro

PAGE = Path(__file__).parent.parent / "docs" / "batch.md"


@dataclasses.dataclass(frozen=True)
class Options:
    """What to measure."""

    parts: tuple[str, ...] = ("kills", "rate")
    """Of kills, rate; the rest stays as it was."""
    photos: int = 200
    """Photos to render and kill."""
    kills: int = 10
    """Kills."""
    seed: int = 0
    """Decides when kills come and whom they hit."""
    processes: int = 2
    """Processes that are killed."""
    many: int = 8
    """Photos to take the rate of."""
    name: str = "batch"
    """Results go to results/NAME.json."""
    write: bool = False
    """Put the tables into docs/batch.md."""


def main(options):
    results, about = common.read_results(options.name), common.machine()
    results.pop("machine", None)
    for part in options.parts:
        with tempfile.TemporaryDirectory() as folder:
            results[part] = {"kills": kills, "rate": rates}[part](options, Path(folder))
    print(f"written to {common.write_results(options.name, results, about)}")
    if options.write:
        rows = [f"| {name} | {value} |" for name, value in results["kills"]["counts"].items()]
        common.write_table(PAGE, "kills", ["| | |", "|---|---|", *rows])
        rows = [
            f"| {name} | {row['seconds']:.0f} s | {row['photos_a_minute']:.1f} | {row['load']:.0f} |"
            for name, row in results["rate"].items()
        ]
        common.write_table(PAGE, "rate", ["| | time | photos a minute | load |", "|---|---|---|---|", *rows])


def kills(options, folder):
    environment = os.environ | {"MODISP_CACHE_DIR": str(folder / "programs")}
    names = kill_batch.make_photos(folder / "photos", options.photos)
    seconds = kill_batch.run_whole(folder / "photos", folder / "whole", environment)
    print(f"uninterrupted: {seconds:.0f} s", flush=True)
    happened = kill_batch.kill_and_resume(
        folder / "photos",
        folder / "killed",
        kills=options.kills,
        seed=options.seed,
        processes=options.processes,
        environment=environment,
    )
    wrong, counts = kill_batch.check(folder / "killed", folder / "whole", names, happened)
    counts |= {"pictures that differ from those of an uninterrupted run": sum("differs" in line for line in wrong)}
    for line in [*wrong, *(f"{name}: {value}" for name, value in counts.items())]:
        print(line, flush=True)
    if wrong:
        raise SystemExit(1)
    at = [
        {"killed": kill["killed"], "photos done": kill["done"], "photos in hand": len(kill["in_hand"])}
        for kill in happened
    ]
    return {"counts": counts, "seed": options.seed, "processes": options.processes, "at": at}


def rates(options, folder):
    environment = os.environ | {"MODISP_CACHE_DIR": str(folder / "programs")}
    kill_batch.make_photos(folder / "photos", options.many, size=(1500, 2000))
    cases = {
        "`modisp render`": ["render"],
        "`modisp batch`": ["batch"],
        "`modisp batch --processes 2`": ["batch", "--processes", "2"],
    }
    if importlib.util.find_spec("ray"):
        cases["`modisp batch --ray --processes 2`"] = ["batch", "--processes", "2", "--ray"]
    program, measured = [sys.executable, "-m", "modisp_jax.cli"], {}
    for number, (name, (verb, *more)) in enumerate([("", ["render"]), *cases.items()]):
        output = folder / str(number)  # the first run, which compiles, does not count
        start = time.perf_counter()
        arguments = [verb, str(folder / "photos"), "-o", str(output), *more]
        done = subprocess.run([*program, *arguments], env=environment, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{arguments}: {done.stderr}")
        seconds = time.perf_counter() - start
        different = [
            path.name for path in (folder / "0").glob("*.jpg") if path.read_bytes() != (output / path.name).read_bytes()
        ]
        if different:
            raise RuntimeError(f"{name}: {different} differ from what modisp render makes")
        if name:
            measured[name] = {
                "seconds": round(seconds, 1),
                "photos": options.many,
                "photos_a_minute": round(60 * options.many / seconds, 1),
                "load": round(os.getloadavg()[0], 1),
            }
            print(f"{name}: {measured[name]}", flush=True)
    return measured


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
