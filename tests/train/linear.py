"""The smallest task that the training loop takes: a scale per colour that turns ``x`` into ``2 x``, with noise.

As a program, for tests of devices, processes and signals: ``python -m tests.train.linear FOLDER STEPS [COORDINATOR
PROCESS PROCESSES]``. It says on standard output when it has validated.
"""

import dataclasses
import sys

import jax
import jax.numpy as jnp
import numpy as np

from modisp_jax.config import NAFNetConfig, PipelineConfig
from modisp_jax.params import init_params
from train.data import make_loader
from train.distributed import connect
from train.loop import LoopConfig, Task, fit
from train.optim import OptimizerConfig

LOOP = LoopConfig(steps=12, batch=4, seed=7, validate_every=4, log_every=2)
OPTIM = OptimizerConfig(learning_rate=0.1, warmup=2, l2=1e-4, clip_norm=5.0, ema=0.8)


class Numbers:
    """A source of 10 samples of three numbers."""

    def __len__(self):
        return 10

    def __getitem__(self, index):
        return {"x": np.random.default_rng(index).uniform(0.5, 1.5, 3).astype(np.float32), "name": str(index)}


def scale(sample, rng):
    """Augmentation, so that the order of what is drawn counts."""
    return sample | {"x": sample["x"] * np.float32(rng.uniform(0.9, 1.1))}


def slope(params):
    """What is learned, [3]; the other parameters of the network are there because only whole sets can be written."""
    return params["enhance"]["out_conv"]["bias"]


def linear_task(**changes):
    """The task, with some of its fields changed."""

    def loss(params, context, batch, keys, progress):
        def one(x, key):
            noise = 0.01 * jax.random.uniform(key, (3,))
            return jnp.mean((slope(params) * x - context["target"] * x - noise) ** 2)

        error = jax.vmap(one)(batch["x"], keys).mean()
        return error * (1.0 + 0.1 * progress), {"rms": jnp.sqrt(error), "progress": progress}

    def validate(params):
        return {"score": -float(jnp.abs(slope(params) - 2.0).max()), "slope": float(slope(params)[0])}

    def loader(batch, seed, shard):
        return make_loader(Numbers(), batch=batch, seed=seed, transforms=(scale,), shard=shard, read_threads=0)

    fields = dict(
        init=lambda key: init_params(key, PipelineConfig(None, None, NAFNetConfig(1, (), 0, ()))),
        context={"target": np.float32(2.0)},
        loss=loss,
        loader=loader,
        arrays=("x",),
        validate=validate,
        sheet=lambda params: np.full((4, 4, 3), np.clip(slope(params)[0] / 4, 0, 1), np.float32),
        rules=(("enhance/in_conv/kernel", 0.0), ("enhance/in_conv", 0.5), ("enhance/", 1.0)),
        card={"name": "linear"},
    )
    return Task(**fields | changes)


def main(folder, steps, coordinator=None, process="0", processes="1"):
    """Trains, as one of several processes where a coordinator is named."""
    if coordinator is not None:
        connect(coordinator, int(process), int(processes))
    plain = linear_task()

    def validate(params):
        print("validated", flush=True)
        return plain.validate(params)

    fit(plain._replace(validate=validate), dataclasses.replace(LOOP, steps=int(steps)), OPTIM, folder)


if __name__ == "__main__":
    main(*sys.argv[1:])
