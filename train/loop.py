"""The training loop: one function for every stage, which saves, resumes to the same bits, and says how it is going.

A run is a folder: ``log.jsonl`` (one line a logged step or validation), ``state/`` (Orbax: weights, optimiser, average,
best weights, the loader's position), ``best.safetensors`` (what the best validation had, with its card),
``sheet.png`` (pictures of the last validation) and, if it came to that, ``nonfinite.npz``.
"""

import contextlib
import dataclasses
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from modisp_jax.checkpoints import save_params
from modisp_jax.fit.vectors import norm, pack
from modisp_jax.interrupt import Interrupt
from modisp_jax.io.images import replacing, write_image
from train.checkpoint import StateFolder
from train.optim import OptimizerConfig, move, optimizer
from train.report import Log, Progress, Stopwatch, numbers

__all__ = ["LoopConfig", "OptimizerConfig", "Run", "Task", "TrainingDivergedError", "fit"]


class TrainingDivergedError(RuntimeError):
    """The loss was not finite; says at which step, and where the batch is kept."""


@dataclasses.dataclass(frozen=True)
class LoopConfig:
    """Length and rhythm of a run."""

    steps: int = 1000
    """Optimiser steps."""
    batch: int = 8
    """Samples in a step, over all devices and processes; a multiple of the number of devices."""
    seed: int = 0
    """Decides the start, the samples' order and all that is drawn."""
    validate_every: int = 500
    """Steps between validations; the last step is always validated."""
    log_every: int = 20
    """Steps between lines of the log."""

    def __post_init__(self):
        for field in dataclasses.fields(self):
            least = 0 if field.name == "seed" else 1
            if getattr(self, field.name) < least:
                raise ValueError(f"{field.name}: expected at least {least}, got {getattr(self, field.name)}")


class Task(NamedTuple):
    """What a stage brings to the loop."""

    init: Callable[[jax.Array], dict]
    """Key -> trainable parameters."""
    context: Any
    """Arrays that the loss needs and that do not change: frozen stages, cameras. A pytree."""
    loss: Callable
    """(params, context, batch, keys [B], progress []) -> (mean loss [], dict of terms []), jitted and differentiated by
    the loop; ``progress`` goes from 0 at the first step to 1 after the last."""
    loader: Callable
    """(batch, seed, shard) -> a ``train.data.Loader`` of host batches."""
    arrays: tuple[str, ...]
    """Keys of a batch that go to the device."""
    validate: Callable
    """params -> dict of numbers; ``score`` is what the best is judged by, higher is better."""
    sheet: Callable | None
    """params -> picture [H, W, 3] in [0, 1] of how validation looks, or None."""
    rules: tuple[tuple[str, float], ...]
    """(regex, learning rate factor; 0 freezes) for every parameter, see ``train.optim.factors``."""
    card: dict
    """What the weights' card says of them, before the numbers."""


class Run(NamedTuple):
    """How a run ended."""

    params: dict
    """The weights with the best validation; those of the start where no validation had a score."""
    metrics: dict
    """Numbers of the best validation and its step; empty where there was none."""
    step: int
    """Steps done so far; fewer than asked for where the run was interrupted."""


def fit(task, loop, optim, folder, *, out=None):
    """Trains until ``loop.steps``, going on from ``folder`` where a run was begun there.

    Interrupting (Ctrl-C, SIGTERM) saves after the step in progress; the same command resumes, and ends with the same
    bits as a run that was never interrupted. Data-parallel: a batch is split over all devices of all processes. Every
    process validates; the first one's score decides, and it alone writes the log, the sheet and the best weights.

    Args:
      task: a :class:`Task`.
      loop: a :class:`LoopConfig`.
      optim: a ``train.optim.OptimizerConfig``.
      folder: of the run; made if it is missing. All processes must see the same one.
      out: stream for progress, standard error by default.

    Returns:
      A :class:`Run`.

    Raises:
      TrainingDivergedError: a loss, gradient or weight that is not finite; the last saved state stays as it was.
      ValueError: a batch that the devices cannot share, or a folder with the state of another model.
    """
    folder, out = Path(folder), out or sys.stderr
    chief = jax.process_index() == 0
    check_batch(loop.batch)
    mesh = Mesh(np.array(jax.devices()), ("data",))
    everywhere, split = NamedSharding(mesh, PartitionSpec()), NamedSharding(mesh, PartitionSpec("data"))
    key = jax.random.key(loop.seed)
    params = task.init(key)
    transform = optimizer(optim, loop.steps, params, task.rules)
    # One copy for each entry: a step gives its input's memory away, and no two entries may share it.
    state = _place(first_state(params, transform), everywhere)
    context = _place(task.context, everywhere)
    folder.mkdir(parents=True, exist_ok=True)
    loader = task.loader(loop.batch // jax.process_count(), loop.seed, (jax.process_index(), jax.process_count()))
    saved = StateFolder(folder / "state")
    best_metrics = {}
    with contextlib.closing(saved), contextlib.closing(loader), Interrupt() as interrupt:
        if saved.latest() is not None:
            state, position, best_metrics = saved.load(state)
            loader.set_state(position)
        step = int(state["step"])
        log = Log(folder / "log.jsonl", step, chief)
        progress = Progress(out if chief else None, loop.steps)
        one_step = make_step(task.loss, transform, loop.steps, optim.ema, everywhere)
        watch = Stopwatch()

        while step < loop.steps and not (stop := _any_process(interrupt.asked)):
            with watch.waiting():
                batch = next(loader)
                arrays = {name: _shard(batch[name], split) for name in task.arrays}
            state, values = one_step(state, context, arrays, jax.random.fold_in(key, step))
            step += 1
            _check(step, values, {name: batch[name] for name in task.arrays}, folder)
            watch.step(loop.batch)
            progress.step(step)
            if step % loop.log_every == 0 or step == loop.steps:
                line = numbers(values)
                log.write(step, line | watch.read())
                progress.show(step, line["loss"])
            if step % loop.validate_every == 0 or step == loop.steps:
                with watch.paused():
                    _check_weights(step, state)
                    weights = _local(state["ema" if optim.ema else "params"])
                    values = task.validate(weights)
                    score, metrics = _chiefs(values["score"]), numbers(values)
                    better = score > float(state["best_score"]) or (not best_metrics and not np.isnan(score))
                    log.write(step, {"validation": metrics, "best": better})
                    progress.validation(step, metrics)
                    if better:
                        state |= _place({"best": weights, "best_score": np.float32(score)}, everywhere)
                        best_metrics = {"step": step, **metrics}
                        if chief:
                            card = {**task.card, "seed": loop.seed, "steps": step, "validation": metrics}
                            save_params(folder / "best.safetensors", jax.device_get(weights), card)
                    if chief and task.sheet is not None:
                        write_image(folder / "sheet.png", np.asarray(task.sheet(weights)))
                    saved.save(step, state, loader.get_state(), best_metrics)
        if step < loop.steps and stop:
            _check_weights(step, state)
            saved.save(step, state, loader.get_state(), best_metrics)
        progress.end(step, best_metrics)
        return Run(jax.device_get(_local(state["best"])), best_metrics, step)


def first_state(params, transform):
    """What is saved of a run, as it is before the first step."""
    return {
        "step": jnp.zeros((), jnp.int32),
        "params": params,
        "optimizer": jax.jit(transform.init)(params),
        "ema": params,
        "best": params,
        "best_score": jnp.asarray(-jnp.inf),
    }


def make_step(loss, transform, steps, ema, everywhere=None, *, donate=True):
    """The jitted step (state, context, batch, key) -> (state, terms); ``everywhere`` is the sharding of both.

    With ``donate`` a step takes over the memory of the state it is given.
    """

    def step(state, context, batch, key):
        size = len(next(iter(batch.values())))
        keys = jax.random.split(key, size)[_place_in_stream(size, jax.process_count())]
        grad = jax.value_and_grad(loss, has_aux=True)
        (total, terms), gradient = grad(state["params"], context, batch, keys, state["step"] / steps)
        new = {**move(transform, state, gradient, state["step"], ema), "step": state["step"] + 1}
        return new, {"loss": total, **terms, "gradient_norm": norm(pack(gradient))}

    return jax.jit(step, donate_argnums=(0,) if donate else (), out_shardings=everywhere)


def check_batch(batch):
    """Raises ``ValueError`` unless a batch can be split evenly over all devices."""
    if batch % jax.device_count():
        raise ValueError(f"batch: expected a multiple of the {jax.device_count()} devices, got {batch}")


def _place_in_stream(size, processes):
    """Which sample of the step's part of the stream each of a batch is: process k of n reads k, k + n, k + 2n, ...

    A sample shall get the key that it would get from a single process.
    """
    return slice(None) if processes == 1 else np.arange(size).reshape(-1, processes).T.ravel()


def _check(step, values, batch, folder):
    """Raises :class:`TrainingDivergedError`, and keeps the batch, unless all values are finite."""
    if all(np.isfinite(float(value)) for value in values.values()):
        return
    index = jax.process_index()  # each process has a part of the batch
    path = folder / (f"nonfinite_{index}.npz" if index else "nonfinite.npz")
    with replacing(path, error=ValueError) as temporary, temporary.open("wb") as file:
        np.savez(file, **{name: np.asarray(array) for name, array in batch.items()})
    wrong = ", ".join(f"{name} {float(value)}" for name, value in values.items() if not np.isfinite(float(value)))
    raise TrainingDivergedError(f"step {step}: not finite: {wrong}; the batch is in {path}")


@jax.jit
def _all_finite(tree):
    return jnp.stack([jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(tree)]).all()


def _check_weights(step, state):
    """Raises :class:`TrainingDivergedError` where a step of finite loss and gradient has ruined the weights."""
    if not _all_finite(state["params"]):
        raise TrainingDivergedError(f"step {step}: the weights are not finite; the last saved state is kept")


def _place(tree, sharding):
    """Copies of host or local arrays on every device."""
    return jax.tree.map(lambda x: jax.make_array_from_process_local_data(sharding, np.array(x)), tree)


def _local(tree):
    """Arrays that lie on every device as those of this process' first device."""
    return jax.tree.map(lambda x: x.addressable_data(0), tree)


def _shard(x, sharding):
    """This process' samples [B, ...] as its part of the global batch."""
    return jax.make_array_from_process_local_data(sharding, np.asarray(x))


def _any_process(asked):
    """Whether any process was asked to stop: all must stop after the same step."""
    return asked if jax.process_count() == 1 else bool(multihost_utils.process_allgather(np.array(asked)).any())


def _chiefs(score):
    """The first process' score, rounded to float32: processes that round differently must agree on what is best."""
    score = np.float32(score)
    return float(score if jax.process_count() == 1 else multihost_utils.broadcast_one_to_all(score))
