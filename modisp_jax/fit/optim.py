"""Optimisers: schedules, freezing by regex, gradient clipping and weight averaging around optax."""

import dataclasses
import math
import re
from typing import Literal, get_args

import jax
import jax.numpy as jnp
import optax

from modisp_jax.fit.soap import scale_by_soap
from modisp_jax.fit.vectors import alike, norm, pack, unpack
from modisp_jax.tree import flatten, unflatten

Method = Literal["adam", "soap"]


@dataclasses.dataclass(frozen=True)
class OptimizerConfig:
    """Adam, or what ``method`` has in its place, with a cosine schedule."""

    method: Method = "adam"
    """``adam``, or ``soap``: Adam in the eigenbasis of each matrix of weights, see ``scale_by_soap``."""
    learning_rate: float = 1e-3
    """Peak learning rate."""
    final_fraction: float = 0.01
    """Learning rate of the last step, as a fraction of the peak."""
    warmup: int = 0
    """Steps over which the rate rises linearly from 0."""
    beta1: float = 0.9
    """Decay of the gradient's mean."""
    beta2: float = 0.999
    """Decay of the squared gradient's mean."""
    l2: float = 0.0
    """Coupled L2 penalty: ``l2 * w`` is added to the gradient before Adam."""
    weight_decay: float = 0.0
    """Decoupled decay (AdamW): ``weight_decay * w`` is added to the update."""
    clip_norm: float | None = None
    """Largest norm of the whole gradient; None does not clip."""
    ema: float = 0.0
    """Decay of the running average of the weights, which is what is validated and kept; 0 for none."""

    def __post_init__(self):
        if self.method not in get_args(Method):
            raise ValueError(f"method: expected one of {', '.join(get_args(Method))}, got {self.method!r}")
        for name in ("beta1", "beta2", "ema"):
            if not 0.0 <= getattr(self, name) < 1.0:
                raise ValueError(f"{name}: expected a decay in [0, 1), got {getattr(self, name)}")
        for name in ("learning_rate", "final_fraction", "warmup", "l2", "weight_decay"):
            if not 0.0 <= getattr(self, name) < math.inf:
                raise ValueError(f"{name}: expected a number from 0 on, got {getattr(self, name)}")
        if self.clip_norm is not None and not self.clip_norm > 0.0:
            raise ValueError(f"clip_norm: expected a norm over 0, or None, got {self.clip_norm}")


def schedule(config, steps):
    """Learning rate by steps done: a line from 0 to the peak over ``warmup`` steps, then half a cosine, which reaches
    ``final_fraction`` of the peak when all ``steps`` are done."""
    peak = config.learning_rate
    cosine = optax.cosine_decay_schedule(peak, max(steps - config.warmup, 1), config.final_fraction)
    if not config.warmup:
        return cosine
    return optax.join_schedules([optax.linear_schedule(0.0, peak, config.warmup), cosine], [config.warmup])


def optimizer(config, steps, params, rules):
    """The optimiser of an experiment.

    Args:
      config: an :class:`OptimizerConfig`.
      steps: length of the schedule.
      params: the parameter tree, for the names that ``rules`` match.
      rules: (regex, learning rate factor) pairs, see :func:`factors`.

    Returns:
      An optax ``GradientTransformation``. Frozen parameters get zero updates and have no optimiser state.
    """
    parts = []
    if config.l2:
        parts.append(optax.add_decayed_weights(config.l2))
    scale = {"adam": optax.scale_by_adam, "soap": scale_by_soap}[config.method]
    parts.append(scale(config.beta1, config.beta2))
    if config.weight_decay:
        parts.append(optax.add_decayed_weights(config.weight_decay))
    parts.append(optax.scale_by_learning_rate(schedule(config, steps)))
    transform = optax.chain(*parts)
    if config.method == "adam":
        transform = of_vectors(transform)
    chosen = factors(params, rules)

    def slowed(factor):
        return optax.chain(transform, optax.scale(factor)) if factor else optax.set_to_zero()

    transforms = {factor: slowed(factor) for factor in set(jax.tree.leaves(chosen))}
    slowed_all = optax.multi_transform(transforms, chosen)
    if config.clip_norm is None:
        return slowed_all
    return optax.chain(_clip(config.clip_norm), slowed_all)


def of_vectors(transform):
    """A transform that treats all numbers alike, of all leaves as one vector; so its state is, too."""

    def init(params):
        return transform.init(pack(params))

    def update(updates, state, params):
        found, state = transform.update(pack(updates), state, pack(params))
        return unpack(found, updates), state

    return optax.GradientTransformation(init, update)


def _clip(largest):
    """Scales a gradient whose norm, frozen parameters included, is over ``largest`` down to it."""

    def clipped(gradient):
        return gradient * (largest / jnp.maximum(norm(gradient), largest))

    return optax.stateless(lambda gradient, params: alike(clipped, gradient))


def move(transform, state, gradient, number, decay):
    """The state after a step: what an optimiser makes of a gradient.

    Args:
      transform: the optimiser.
      state: a dict with ``params``, ``optimizer``, the optimiser's own state, and where it is wanted ``ema``.
      gradient: a tree like ``params``.
      number: of the step, from 0.
      decay: of the running average ``ema`` of the parameters, see :func:`average`; 0 has the parameters themselves.

    Returns:
      ``state`` with these entries new.
    """
    updates, moments = transform.update(gradient, state["optimizer"], state["params"])
    params = alike(jnp.add, state["params"], updates)
    new = {**state, "params": params, "optimizer": moments}
    if "ema" in state:
        new["ema"] = average(state["ema"], params, number, decay) if decay else params
    return new


def factors(params, rules):
    """The factor on the learning rate of each parameter: 1 trains it, less trains it slower, 0 freezes it.

    The first rule whose regex matches the start of a parameter's path (``photofinish/gain/head/bias``) decides. Every
    parameter must be decided by a rule and every rule must decide some parameter, so that a renamed layer cannot
    slip out of its rule unseen.

    Returns:
      A tree of floats like ``params``.

    Raises:
      ValueError: a parameter without a rule, a rule without a parameter, or a factor that is none.
    """
    used = set()
    compiled = [_rule(*rule) for rule in rules]

    def decide(name):
        for k, (pattern, factor) in enumerate(compiled):
            if pattern.match(name):
                used.add(k)
                return factor
        raise ValueError(f"no rule says whether {name} is trained; rules: {[pattern for pattern, _ in rules]}")

    decided = {name: decide(name) for name in flatten(params)}
    unused = [pattern for k, (pattern, _) in enumerate(rules) if k not in used]
    if unused:
        raise ValueError(f"rule {unused[0]!r} decides no parameter")
    return unflatten(decided)


def _rule(pattern, factor):
    """A rule compiled; raises ``ValueError`` where it is none."""
    if not (isinstance(factor, int | float) and 0 <= factor < math.inf):
        raise ValueError(f"rule {pattern!r}: expected a learning rate factor of 0 or more, got {factor!r}")
    try:
        return re.compile(pattern), float(factor)
    except re.error as error:
        raise ValueError(f"rule {pattern!r}: expected a regular expression ({error})") from None


def average(ema, params, step, decay):
    """Running average of the weights; the first steps count more, so that the start is soon forgotten."""
    decay = jnp.minimum(decay, (1.0 + step) / (10.0 + step))
    return alike(lambda old, new: old + (1.0 - decay) * (new - old), ema, params)
