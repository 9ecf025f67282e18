"""Rendering by size and variant, and the networks and the halo fix beside plain PyTorch, in one run.

    python3 dev.py run benchmarks/render.py                       # the tables of docs/performance.md, half an hour
    python3 dev.py run benchmarks/render.py --sizes 3000x4000 --bfloat16-sizes --more

The peer (``peer.py``) runs where ``--torch-python`` names a Python that has PyTorch; each in a process of its own, peer
and ours in turn. Results go to ``results/NAME.json``; ``--write`` puts them into docs/performance.md.
"""

import dataclasses
import functools
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import common
import jax
import jax.numpy as jnp
import numpy as np
import tyro

import modisp_jax as mj
from modisp_jax.bench import Case, parse_size, run_apart, table
from modisp_jax.config import DENOISERS, ENHANCEMENT, PipelineConfig
from modisp_jax.io.synthetic import write_synthetic_dng
from modisp_jax.metrics import psnr
from modisp_jax.ops.bilateral_solver import bilateral_solve
from modisp_jax.params import init_params
from modisp_jax.stages import restore
from modisp_jax.tree import flatten

PEER = Path(__file__).parent / "peer.py"
PAGE = Path(__file__).parent.parent / "docs" / "performance.md"
USUAL = "3000x4000"
SOLVER_SIZE, SOLVER_ITERATIONS = "750x1000", 80


@dataclasses.dataclass(frozen=True)
class Options:
    """What to measure."""

    sizes: tuple[str, ...] = ("768x1344", "1500x2000", "3000x4000", "6144x8192", "8704x11520")
    """Heights and widths, HxW: 1, 3, 12, 50 and 100 megapixels."""
    variants: tuple[str, ...] = ("lite",)
    """Denoisers to measure at every size."""
    more: tuple[str, ...] = ("base", "large")
    """Denoisers to measure at 12 megapixels only."""
    bfloat16_sizes: tuple[str, ...] = ("3000x4000", "8704x11520")
    """Sizes to measure with bfloat16 activations, too."""
    peer_sizes: tuple[str, ...] = ("1500x2000", "3000x4000")
    """Sizes at which PyTorch runs the networks."""
    torch_python: str | None = None
    """A Python with PyTorch; without, there is no peer."""
    repeats: int = 3
    """Timed runs of each program."""
    name: str = "render"
    """Results go to results/NAME.json."""
    resume: bool = False
    """Go on from what results/NAME.json holds already."""
    write: bool = False
    """Put the tables into docs/performance.md."""
    network: str | None = None
    """Internal: measure one network in this process, a JSON object, and print JSON."""


def main(options):
    if options.network is not None:
        print(json.dumps(measure_network(**json.loads(options.network))))
        return
    about, found = common.machine(), {"cases": {}, "peers": {}}
    if options.resume:
        before = common.read_results(options.name)
        about = before.get("machine", about)
        found = {name: before.get(name, {}) for name in found}
    found["rounding"] = measure_rounding()
    for case in wanted_cases(options):
        if case.name in found["cases"]:
            continue
        found["cases"][case.name] = run_apart(case)
        print("\n".join(table(case.name, found["cases"][case.name])), flush=True)
        common.write_results(options.name, found, about)
    for job in wanted_jobs(options):
        if f"{job['name']} {job['size']}" in found["peers"]:
            continue
        found["peers"][f"{job['name']} {job['size']}"] = pair(options, job)
        path = common.write_results(options.name, found, about)
        print(f"written to {path}", flush=True)
    if options.write:
        write_tables(found)


def write_tables(found):
    """Puts what was measured into docs/performance.md."""
    common.write_table(PAGE, "sizes", size_rows(found["cases"]))
    common.write_table(PAGE, "rounding", rounding_rows(found["rounding"]))
    usual = f"{USUAL} lite float32"
    if usual in found["cases"]:
        common.write_table(PAGE, "stages", stage_rows(found["cases"][usual]))
    if found["peers"]:
        common.write_table(PAGE, "peers", peer_rows(found["peers"]))


def wanted_cases(options):
    """The cases to measure; of photos larger than 20 megapixels the whole only, and twice at most."""
    cases = [Case(size, variant) for size in options.sizes for variant in options.variants]
    cases += [Case(size, activations="bfloat16") for size in options.bfloat16_sizes]
    cases += [Case(USUAL, variant) for variant in options.more]
    cases += [Case(USUAL, halo_fix=True)] if options.more else []
    whole_only = lambda case: case.shape[0] * case.shape[1] > 20e6  # noqa: E731
    few = min(options.repeats, 2)
    how = lambda c: {"repeats": few, "stages": False} if whole_only(c) else {"repeats": options.repeats}  # noqa: E731
    return [dataclasses.replace(case, **how(case)) for case in cases]


def wanted_jobs(options):
    """What is measured by us and by the peer, where there is one."""
    if options.torch_python is None:
        return []
    jobs = [{"name": name, "size": size} for size in options.peer_sizes for name in ("denoise", "enhance")]
    return [job | {"repeats": options.repeats} for job in [*jobs, {"name": "solver", "size": SOLVER_SIZE}]]


def pair(options, job):
    """One job, by us and by the peer, each in a process of its own."""
    command = [sys.executable, str(Path(__file__)), "--network", json.dumps(job)]
    ours = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
    with tempfile.TemporaryDirectory() as folder:
        arguments = ["solver", "--iterations", str(SOLVER_ITERATIONS)]
        if job["name"] != "solver":
            network, params = untrained(job["name"])
            np.savez(Path(folder) / "params.npz", **{name: np.asarray(leaf) for name, leaf in flatten(params).items()})
            arguments = [
                "nafnet",
                "--params",
                f"{folder}/params.npz",
                "--config",
                json.dumps(dataclasses.asdict(network)),
            ]
        command = [options.torch_python, str(PEER), *arguments, "--size", job["size"], "--repeats", str(job["repeats"])]
        peer = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
    ratio = round(peer["median_s"] / ours["median_s"], 2)
    print(
        f"{job['name']} {job['size']}: ours {ours['median_s']} s, PyTorch {peer['median_s']} s, {ratio} times",
        flush=True,
    )
    return {"ours": ours, "peer": peer, "ratio": ratio}


@functools.cache
def untrained(name):
    """Shape and parameters of the lite denoiser or the enhancement."""
    network = DENOISERS["lite"] if name == "denoise" else ENHANCEMENT
    return network, init_params(jax.random.key(0), PipelineConfig())[name]


def measure_network(name, size, repeats):
    """Times and peak memory of a network, or of the solver, in this process."""
    shape = parse_size(size)
    rng = np.random.default_rng(0)
    if name == "solver":
        target, guide = (jnp.asarray(rng.random((*shape, c), np.float32)) for c in (5, 3))
        run = jax.jit(lambda target, guide: bilateral_solve(target, guide, iterations=SOLVER_ITERATIONS)[0])
        times = common.run_times(lambda: run(target, guide), repeats)
    else:
        network, params = untrained(name)
        image = jnp.asarray(rng.random((*shape, 3), np.float32))
        run = jax.jit(lambda params, image: restore.denoise(params, image, network))
        times = common.run_times(lambda: run(params, image), repeats)
    return {**common.summary(times), "peak_memory_mb": common.peak_memory() // 10**6}


def measure_rounding():
    """What bfloat16 activations cost: pictures of the built-in scene by the weights that ship, against float32."""
    with tempfile.TemporaryDirectory() as folder:
        raw = mj.read_raw(write_synthetic_dng(Path(folder) / "scene.dng"))
    found = {}
    for name in ("lite", "base"):
        params = mj.load_params(name)
        exact, rounded = (
            mj.render(params, raw, config=mj.RenderConfig(activations=a)) for a in ("float32", "bfloat16")
        )
        difference = np.abs(np.asarray(exact) - np.asarray(rounded))
        found[name] = {"psnr_db": round(float(psnr(rounded, exact)), 1), "largest": round(float(difference.max()), 4)}
    return found


def rounding_rows(rounding):
    """bfloat16 against float32."""
    rows = [f"| {name} | {row['psnr_db']} dB | {row['largest']} |" for name, row in rounding.items()]
    return ["| denoiser | PSNR against float32 | largest difference |", "|---|---|---|", *rows]


def size_rows(cases):
    """Every case: size, time, memory."""
    head = ["| case | megapixels | first | render | µs a pixel | peak memory |", "|---|---|---|---|---|---|"]
    return head + [_size_row(name, result) for name, result in cases.items()]


def _size_row(name, result):
    height, width = parse_size(name.split()[0])
    pixels = height * width
    each = result["median_s"] / pixels * 1e6
    memory = result["peak_memory_mb"] / 1000
    times = f"{result['first_s']:.1f} s | {result['median_s']:.2f} s | {each:.2f}"
    return f"| {name} | {pixels / 1e6:.0f} | {times} | {memory:.2f} GB |"


def stage_rows(result):
    """The stages of one case against their floors."""
    rows = [
        f"| {name} | {row['median_s']:.2f} s | {row['floor_s']:.2f} s | {row['floor_s'] / row['median_s']:.0%} |"
        for name, row in result["stages"].items()
    ]
    return ["| stage | time | floor | of the floor's speed |", "|---|---|---|---|", *rows]


def peer_rows(peers):
    """Ours beside PyTorch."""
    head = ["| | ours | PyTorch | times as fast | our peak | PyTorch's peak |", "|---|---|---|---|---|---|"]
    return head + [
        f"| {name} | {row['ours']['median_s']:.2f} s | {row['peer']['median_s']:.2f} s | **{row['ratio']:.1f}** |"
        f" {row['ours']['peak_memory_mb'] / 1000:.2f} GB | {row['peer']['peak_memory_mb'] / 1000:.2f} GB |"
        for name, row in peers.items()
    ]


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
