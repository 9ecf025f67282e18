"""How long a photo takes to render and how much memory, whole and by stage, against what the machine could do.

Every case runs in a process of its own, so that its peak memory, interpreter and libraries included, is its own. The
weights are untrained, of the published sizes, and the picture is synthetic: neither changes what has to be computed.
Compilation is apart from running. The floor of a stage is the time that its counted operations would take at the rate
of a large matrix product on this machine, or its counted bytes at that of a pass over memory, whichever is longer.
"""

import dataclasses
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

import modisp_jax
from modisp_jax.config import ACTIVATIONS, DENOISERS, ENHANCEMENT, HaloFixConfig, PipelineConfig, RenderConfig
from modisp_jax.io.images import replacing
from modisp_jax.look import finish_by_networks
from modisp_jax.params import init_params
from modisp_jax.pipeline import QUARTER, render, shrink, upsample
from modisp_jax.stages import color, restore
from modisp_jax.types import Edits, Raw

GUIDE_PRODUCTS = 29_000
"""Multiplications a pixel of the guide net at full size and its two smaller scales, rounded."""

BAR = 40
"""Characters of the longest bar."""


@dataclasses.dataclass(frozen=True)
class Case:
    """One measurement."""

    size: str
    """Height and width, HxW."""
    variant: str = "lite"
    """Denoiser, with enhancement."""
    activations: str = "float32"
    """See ``RenderConfig``."""
    halo_fix: bool = False
    """Also refine the local tone maps."""
    repeats: int = 3
    """Timed runs of each program."""
    stages: bool = True
    """Also measure each stage by itself."""

    @property
    def name(self):
        """What the case is called in tables and results."""
        return f"{self.size} {self.variant} {self.activations}" + " halo-fix" * self.halo_fix

    @property
    def shape(self):
        """(height, width)."""
        return parse_size(self.size)


def parse_size(text):
    """``3000x4000`` as (3000, 4000)."""
    try:
        height, width = (int(part) for part in text.split("x"))
    except ValueError:
        raise ValueError(f"--sizes: expected HEIGHTxWIDTH such as 3000x4000, got {text!r}") from None
    if min(height, width) < 16:
        raise ValueError(f"--sizes: expected at least 16 pixels a side, got {text!r}")
    return height, width


def bench(sizes, variants, activations, *, halo_fix, repeats, output):
    """Measures every combination, prints a table and a bar chart, and writes JSON to ``output`` where it is given."""
    for values, known, name in ((variants, DENOISERS, "variants"), (activations, ACTIVATIONS, "activations")):
        for value in values:
            if value not in known:
                raise ValueError(f"--{name}: expected one of {', '.join(known)}, got {value!r}")
    for size in sizes:
        parse_size(size)
    cases = [Case(size, v, a, halo_fix, repeats) for size in sizes for v in variants for a in activations]
    about, results = machine(), {}
    for case in cases:
        print(f"modisp: measuring {case.name}", file=sys.stderr, flush=True)
        results[case.name] = run_apart(case)
        print("\n".join(table(case.name, results[case.name])), flush=True)
    if output is not None:
        with replacing(output, error=ValueError) as temporary:
            temporary.write_text(json.dumps({"cases": results, "machine": about}, indent=1) + "\n", encoding="utf-8")
    return 0


def run_apart(case):
    """Measures a case in a process of its own."""
    command = [sys.executable, "-m", "modisp_jax.bench", json.dumps(dataclasses.asdict(case))]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise ValueError(f"{case.name}: the measuring process ended with code {done.returncode}, see above")
    return json.loads(done.stdout)


def measure(case):
    """Times of one case, whole and by stage, with floors, and the peak memory of the process after the whole."""
    params, raw, config = _inputs(case)
    edits = Edits()
    start = time.perf_counter()
    jax.block_until_ready(render(params, raw, edits=edits, config=config))
    first = time.perf_counter() - start
    times = run_times(lambda: render(params, raw, edits=edits, config=config), case.repeats, warm=True)
    result = {"first_s": round(first, 2), **summary(times), "peak_memory_mb": peak_memory() // 10**6, "stages": {}}
    if not case.stages:
        return result
    copy_rate, product_rate = rates()
    for name, (function, arguments, products, moved) in _stages(case, params, raw, config).items():
        program, seconds = compile_time(jax.jit(function), *arguments)
        row = {"compile_s": round(seconds, 2), **summary(run_times(lambda: program(*arguments), case.repeats))}  # noqa: B023
        row["floor_s"] = round(max(products / product_rate, moved / copy_rate), 4)
        result["stages"][name] = row
    result["floor_s"] = round(sum(row["floor_s"] for row in result["stages"].values()), 4)
    return result | {"copy_gb_s": round(copy_rate / 1e9, 1), "products_g_s": round(product_rate / 1e9, 1)}


def _inputs(case):
    params = init_params(jax.random.key(0), PipelineConfig(denoise=DENOISERS[case.variant]))
    rng = np.random.default_rng(0)
    image = np.empty((*case.shape, 3), np.float32)
    for row in image:  # row by row: in one piece the generator would set the peak of memory
        row[...] = rng.random(row.shape, np.float32) * 0.8
    raw = Raw(jnp.asarray(image), jnp.array([0.5, 1.0, 0.6]), jnp.eye(3), jnp.ones(3))
    halo_fix = HaloFixConfig() if case.halo_fix else None
    return params, raw, RenderConfig(activations=case.activations, halo_fix=halo_fix)


def _stages(case, params, raw, config):
    """By name: function, arguments, multiplications counted, bytes counted."""
    small = shrink(raw.image)
    how = {"activations": case.activations}
    pixels = raw.image.size // 3
    denoiser = DENOISERS[case.variant]
    image = 12 * pixels  # bytes of a float32 picture
    return {
        "denoise": (
            lambda p, x: restore.denoise(p, x, denoiser, **how),
            (params["denoise"], raw.image),
            *nafnet_cost(denoiser, pixels, case.activations),
        ),
        "colour": (
            lambda r: shrink(color.to_linear_srgb(r.image, r.illuminant, r.ccm)),
            (raw,),
            12 * pixels,
            2 * image,
        ),
        "photofinish": (
            lambda p, x: finish_by_networks(p, x, Edits(), config)[1].srgb,
            (params["photofinish"], small),
            GUIDE_PRODUCTS * pixels // QUARTER**2,
            2 * image // QUARTER**2,
        ),
        "upsample": (upsample, (small, small**0.45, raw.image), 60 * pixels, 2 * image),
        "enhance": (
            lambda p, x: restore.enhance(p, x, ENHANCEMENT, **how),
            (params["enhance"], raw.image),
            *nafnet_cost(ENHANCEMENT, pixels, case.activations),
        ),
    }


def nafnet_cost(config, pixels, activations="float32"):
    """Multiplications, and bytes that have to be moved, of a NAFNet over so many pixels.

    A block reads its image twice, since the attention needs the mean over all of it, and writes it once.
    """
    item = 2 if activations == "bfloat16" else 4
    products = moved = 0
    levels = [*config.encoder_blocks, config.middle_blocks]
    blocks = [sum(pair) for pair in zip(levels, [*reversed(config.decoder_blocks), 0], strict=True)]
    for level, count in enumerate(blocks):
        c, n = config.width << level, pixels >> 2 * level
        # Expansions and projections, the depthwise convolution, gates and scales.
        products += count * n * (2 * c * c + c * c + 2 * c * c + c * c + 18 * c + 4 * c)
        moved += count * n * 3 * c * item
    for level in range(config.levels):
        c, n = config.width << level, pixels >> 2 * (level + 1)
        products += n * (4 * c * 2 * c + 2 * c * 4 * c)  # down, up
    products += pixels * 54 * config.width
    return products, moved + pixels * (2 * 12 + 2 * config.width * item)


def rates():
    """Bytes a second that a pass over memory reads and writes, multiplications a second of a large float32 product."""
    # In place, as a copy into new memory would measure how fast the kernel clears pages.
    copy = jax.jit(lambda x: x * 0.5, donate_argnums=0)
    x = copy(jnp.ones((2**26,), jnp.float32))
    copied = []
    for _ in range(5):
        start = time.perf_counter()
        x = jax.block_until_ready(copy(x))
        copied.append(time.perf_counter() - start)
    a = jnp.ones((2048, 2048), jnp.float32)
    product = jax.jit(lambda a: jnp.matmul(a, a, precision="highest"))
    return 2 * x.nbytes / min(copied), 2048**3 / min(run_times(lambda: product(a), 5))


def compile_time(function, *arguments, **static):
    """Lowers and compiles a jitted function; returns (compiled, seconds)."""
    start = time.perf_counter()
    compiled = function.lower(*arguments, **static).compile()
    return compiled, time.perf_counter() - start


def run_times(run, repeats, *, warm=False):
    """Seconds of each of ``repeats`` runs, waited for; one before does not count, unless all is ``warm``."""
    if not warm:
        jax.block_until_ready(run())
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        jax.block_until_ready(run())
        times.append(time.perf_counter() - start)
    return times


def summary(times):
    """Median and quartiles of run times, in seconds."""
    quartiles = statistics.quantiles(times, n=4, method="inclusive") if len(times) > 1 else [times[0]] * 3
    return {"median_s": round(statistics.median(times), 4), "iqr_s": [round(quartiles[0], 4), round(quartiles[2], 4)]}


def peak_memory():
    """Largest resident size of this process so far, in bytes, interpreter and libraries included."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


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


def table(name, result):
    """The lines of a case's table, with a bar for each stage's time."""
    lines = [
        f"{name}: {result['median_s']:.2f} s ({result['iqr_s'][0]:.2f} to {result['iqr_s'][1]:.2f}),"
        f" first {result['first_s']:.1f} s, peak memory {result['peak_memory_mb']} MB",
    ]
    if not result["stages"]:
        return lines
    lines += [
        f"  {'stage':12s} {'compile s':>9s} {'run s':>8s} {'floor s':>8s} {'of floor':>8s}",
    ]
    longest = max(row["median_s"] for row in result["stages"].values())
    for stage, row in result["stages"].items():
        run, floor = row["median_s"], row["floor_s"]
        bar = "█" * max(1, round(BAR * run / longest))
        lines.append(f"  {stage:12s} {row['compile_s']:9.2f} {run:8.3f} {floor:8.3f} {floor / run:8.0%}  {bar}")
    rates = (
        f"{result['copy_gb_s']} GB/s read and written, {result['products_g_s']} G multiplications/s in a matrix product"
    )
    return [*lines, f"  floors at {rates}"]


if __name__ == "__main__":
    print(json.dumps(measure(Case(**json.loads(sys.argv[1])))))
