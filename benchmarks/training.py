"""Training throughput of each network: images a second, value and gradient, in one batch.

    python3 dev.py run benchmarks/training.py --write

Photofinishing's networks on 96 x 128 pictures as in configs/natural.py (the grid network at each of its inputs), the
restoration networks on patches. Compilation, data, losses and the closed-form stages are not counted.
"""

import argparse

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.common import compile_time, machine, run_times, summary, write_results
from modisp_jax.config import DENOISERS, ENHANCEMENT, GRID_INPUTS, PhotofinishConfig, PipelineConfig
from modisp_jax.nets import photofinish as nets
from modisp_jax.params import init_params
from modisp_jax.stages import restore
from modisp_jax.stages.ltm import grid_name


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


def _apply(net):
    return lambda params, x: net.apply({"params": params}, x)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--size", type=int, nargs=2, default=(96, 128))
    parser.add_argument("--patch", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--write", action="store_true", help="write benchmarks/results/training.json")
    options = parser.parse_args()
    about, results = machine(), {}
    print("| network | image | images/s | compile s |\n|---|---|---|---|")
    for name, run, params, shape in cases(options.size, options.patch):
        images = jnp.asarray(np.random.default_rng(0).uniform(size=(options.batch, *shape)), jnp.float32)
        loss = lambda p, x, run=run: jnp.square(jax.vmap(lambda one: run(p, one))(x)).mean()  # noqa: E731
        step, seconds = compile_time(jax.jit(jax.value_and_grad(loss)), params, images)
        times = run_times(step, params, images, repeats=options.repeats)
        results[name] = {"shape": shape, "compile_s": round(seconds, 1), **summary(times)}
        rate = options.batch / results[name]["median_s"]
        print(f"| {name} | {shape[0]} x {shape[1]} | {rate:.1f} | {seconds:.1f} |", flush=True)
    if options.write:
        print(write_results("training", {"batch": options.batch, "networks": results}, about))


if __name__ == "__main__":
    main()
