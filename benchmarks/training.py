"""Training throughput in images a second: each network by itself, and whole steps of the shipped configs.

    python3 dev.py run benchmarks/training.py --write

Networks: value and gradient of one batch; photofinishing's on 96 x 128 pictures as in configs/natural.py (the grid
network at each of its inputs), the restoration networks on patches. Steps: all of a training step, with unprocessing,
closed-form stages, losses and optimiser. Compilation and reading files are not counted.
"""

import argparse
import contextlib
import dataclasses
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.common import compile_time, machine, run_times, summary, write_results, write_table
from modisp_jax.config import DENOISERS, ENHANCEMENT, GRID_INPUTS, PhotofinishConfig, PipelineConfig
from modisp_jax.nets import photofinish as nets
from modisp_jax.params import init_params
from modisp_jax.stages import restore
from modisp_jax.stages.ltm import grid_name
from train.__main__ import TASKS, load
from train.loop import first_state, make_step
from train.optim import optimizer

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "training.md"


def cases(size, patch):
    """(name, function of one image, its parameters, the image's shape) of each network."""
    config = PipelineConfig(DENOISERS["lite"], PhotofinishConfig(), ENHANCEMENT)
    params = init_params(jax.random.key(0), config)
    finish = params["photofinish"]
    picture = (*size, 3)
    for name, net in (("gain", nets.gain_net()), ("gtm", nets.GlobalToneNet()), ("chroma", nets.ChromaNet())):
        yield name, _apply(net), finish[name], picture
    yield "ltm guide", _apply(nets.GuideNet()), finish["ltm"]["guide"], picture
    for side in GRID_INPUTS:
        variant = PipelineConfig(None, PhotofinishConfig(grid_input=side), None)
        grid = init_params(jax.random.key(0), variant)["photofinish"]["ltm"][grid_name(side)]
        yield f"ltm grid, input {side}", _apply(nets.GridNet()), grid, (side, side, 6)
    for name, shape in (*DENOISERS.items(), ("enhancement", ENHANCEMENT)):
        net = init_params(jax.random.key(0), PipelineConfig(shape, None, None))["denoise"]
        run = lambda p, x, shape=shape: restore.denoise(p, x, shape)  # noqa: E731
        yield f"NAFNet {name}", run, net, (patch, patch, 3)


def steps(names):
    """(name, jitted step, its arguments) of the first training step of each config."""
    for name in names:
        experiment = dataclasses.replace(load(ROOT / "configs" / f"{name}.py"), start=None)
        task = TASKS[type(experiment)](experiment)
        transform = optimizer(
            experiment.optim, experiment.loop.steps, params := task.init(jax.random.key(0)), task.rules
        )
        loader = task.loader(experiment.loop.batch, 0, (0, 1))
        with contextlib.closing(loader):
            batch = next(loader)
        arrays = {key: jnp.asarray(batch[key]) for key in task.arrays}
        step = make_step(task.loss, transform, experiment.loop.steps, experiment.optim.ema, donate=False)
        yield name, step, (first_state(params, transform), task.context, arrays, jax.random.key(0))


def _apply(net):
    return lambda params, x: net.apply({"params": params}, x)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--size", type=int, nargs=2, default=(96, 128))
    parser.add_argument("--patch", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--configs", nargs="*", default=["denoise_lite", "denoise_base", "natural"])
    parser.add_argument("--write", action="store_true", help="write the results, and the table of docs/training.md")
    options = parser.parse_args()
    about, results = machine(), {}
    rows = ["| network | image | images/s | compile s |", "|---|---|---|---|"]
    print("\n".join(rows))

    def note(name, what, step, arguments, batch):
        program, seconds = compile_time(step, *arguments)
        times = run_times(lambda: program(*arguments), options.repeats)
        results[name] = {"batch": batch, "what": what, "compile_s": round(seconds, 1), **summary(times)}
        rows.append(f"| {name} | {what} | {batch / results[name]['median_s']:.1f} | {seconds:.1f} |")
        print(rows[-1], flush=True)

    for name, run, params, shape in cases(options.size, options.patch):
        images = jnp.asarray(np.random.default_rng(0).uniform(size=(options.batch, *shape)), jnp.float32)
        loss = lambda p, x, run=run: jnp.square(jax.vmap(lambda one: run(p, one))(x)).mean()  # noqa: E731
        note(name, f"{shape[0]} x {shape[1]}", jax.jit(jax.value_and_grad(loss)), (params, images), options.batch)
    for name, step, arguments in steps(options.configs):
        size, *shape = arguments[2]["srgb"].shape
        note(f"a step of {name}", f"{shape[0]} x {shape[1]}", step, arguments, size)
    if options.write:
        print(write_results("training", {"throughput": results}, about))
        write_table(PAGE, "training", rows)


if __name__ == "__main__":
    main()
