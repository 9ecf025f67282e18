"""How long a photo takes to render, and how much memory: compile apart from run, whole and by stage.

Every case runs in a process of its own, so that its peak memory (interpreter and libraries included) is its own.
The weights are untrained, of the published sizes, which costs the same as trained ones; so does the picture, a
synthetic one. Files are neither read nor written: that is benchmarks of another question.

    python benchmarks/render.py                                   # 12 MP, lite with enhancement
    python benchmarks/render.py --sizes 768x1024 3000x4000 --variants lite base
"""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import common
import jax
import jax.numpy as jnp
import tyro

import modisp_jax as mj
from modisp_jax.config import DENOISERS, ENHANCEMENT
from modisp_jax.look import finish_by_networks
from modisp_jax.pipeline import _render, shrink, upsample
from modisp_jax.stages import color, restore


@dataclasses.dataclass(frozen=True)
class Options:
    """What to measure."""

    sizes: tuple[str, ...] = ("3000x4000",)
    """Heights and widths, HxW."""
    variants: tuple[str, ...] = ("lite",)
    """Denoisers: lite, base, large; always with enhancement."""
    halo_fix: bool = False
    """Also refine the local tone maps."""
    repeats: int = 3
    """Timed runs of each program."""
    name: str = "render"
    """Results go to results/NAME.json."""
    one: bool = False
    """Internal: measure a single case in this process and print it as JSON."""


def measure(size, variant, options):
    """Times of one case, whole and by stage, and the peak memory of the process after the whole."""
    height, width = (int(n) for n in size.split("x"))
    config = mj.PipelineConfig(denoise=DENOISERS[variant])
    params = mj.init_params(jax.random.key(0), config)
    image = jax.random.uniform(jax.random.key(1), (height, width, 3), maxval=0.8)
    raw = mj.Raw(image, jnp.array([0.5, 1.0, 0.6]), jnp.eye(3), jnp.ones(3))
    render_config = mj.RenderConfig(halo_fix=mj.HaloFixConfig() if options.halo_fix else None)
    whole, seconds = common.compile_time(_render, params, raw, mj.Edits(), config=render_config)
    times = common.run_times(whole, params, raw, mj.Edits(), repeats=options.repeats)
    result = {"compile_s": round(seconds, 2), **common.summary(times), "peak_memory_mb": common.peak_memory() // 10**6}
    small = shrink(image)
    stages = {
        "denoise": (lambda p, x: restore.denoise(p, x, config.denoise), (params["denoise"], image)),
        "color and shrink": (lambda r: shrink(color.to_linear_srgb(r.image, r.illuminant, r.ccm)), (raw,)),
        "photofinish": (
            lambda p, x: finish_by_networks(p, x, mj.Edits(), render_config)[1].srgb,
            (params["photofinish"], small),
        ),
        "upsample": (upsample, (small, small**0.45, image)),
        "enhance": (lambda p, x: restore.enhance(p, x, ENHANCEMENT), (params["enhance"], image)),
    }
    result["stages"] = {}
    for name, (function, arguments) in stages.items():
        program, seconds = common.compile_time(jax.jit(function), *arguments)
        times = common.run_times(program, *arguments, repeats=options.repeats)
        result["stages"][name] = {"compile_s": round(seconds, 2), **common.summary(times)}
    return result


def main(options):
    if options.one:
        print(json.dumps(measure(options.sizes[0], options.variants[0], options)))
        return
    about = common.machine()
    cases = {}
    for size in options.sizes:
        for variant in options.variants:
            arguments = ["--one", "--sizes", size, "--variants", variant, "--repeats", str(options.repeats)]
            arguments += ["--halo-fix"] if options.halo_fix else []
            command = [sys.executable, str(Path(__file__)), *arguments]
            case = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
            cases[f"{size} {variant}"] = case
            print_case(f"{size} {variant}", case)
    path = common.write_results(options.name, {"repeats": options.repeats, "cases": cases}, about)
    print(f"written to {path}")


def print_case(name, case):
    print(f"{name}: compile {case['compile_s']} s, run {case['median_s']} s, peak {case['peak_memory_mb']} MB")
    for stage, row in case["stages"].items():
        print(f"    {stage:18s} compile {row['compile_s']:6.2f} s   run {row['median_s']:7.3f} s", flush=True)


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
