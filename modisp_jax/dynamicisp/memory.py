"""The sets of parameters that the function ISP has used: a ring buffer, and draws from it. SemiISP, 3.3."""

import dataclasses

import jax
import jax.numpy as jnp

from modisp_jax.dynamicisp.parameters import FunctionParameters

CAPACITY = 5000


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Memory:
    """The last sets of parameters seen."""

    parameters: FunctionParameters
    """Arrays [capacity, ..., 3, 3]."""
    seen: jax.Array
    """How many sets were ever put in, int32 []."""


def empty_memory(parameters, capacity=CAPACITY):
    """A :class:`Memory` without any set; ``parameters`` is one, for its shapes (0.7 MB for 5,000 of an image's)."""
    if capacity < 1:
        raise ValueError(f"capacity: expected at least 1, got {capacity}")
    arrays = jax.tree.map(lambda p: jnp.zeros((capacity, *p.shape), p.dtype), parameters)
    return Memory(arrays, jnp.zeros((), jnp.int32))


def remember(memory, batch):
    """The memory with a batch of sets, [B, ..., 3, 3], in place of the oldest; of more than fit, the last."""
    capacity, count = len(memory.parameters.color), len(batch.color)
    kept = min(count, capacity)
    places = (memory.seen + count - kept + jnp.arange(kept)) % capacity
    put = lambda old, new: old.at[places].set(new[count - kept :])  # noqa: E731
    return Memory(jax.tree.map(put, memory.parameters, batch), memory.seen + count)


def remembered(memory):
    """How many sets the memory holds, []: never more than its capacity."""
    return jnp.minimum(memory.seen, len(memory.parameters.color))


def draw_parameters(key, memory, *, by_function=False):
    """A set drawn evenly from the memory, which must hold at least one.

    Args:
      key: a JAX random key.
      memory: :class:`Memory`.
      by_function: static; every function's parameters come from a draw of their own: 5,000^4 combinations. The paper
        does so from a thousand pairs up, where the sets are varied enough to be mixed.

    Returns:
      :class:`FunctionParameters`.
    """
    keys = jax.random.split(key, len(dataclasses.fields(FunctionParameters)))
    draw = lambda key: jax.random.randint(key, (), 0, jnp.maximum(remembered(memory), 1))  # noqa: E731
    together, found = draw(keys[0]), {}
    for field, own in zip(dataclasses.fields(FunctionParameters), keys, strict=True):
        held = getattr(memory.parameters, field.name)
        found[field.name] = None if held is None else held[draw(own) if by_function else together]
    return FunctionParameters(**found)


def mean_parameters(memory):
    """The mean of all sets that the memory holds: one inverse for all photos, to compare with."""
    count = jnp.maximum(remembered(memory), 1)
    held = jnp.arange(len(memory.parameters.color)) < count

    def mean(p):
        return jnp.where(held.reshape(-1, *[1] * (p.ndim - 1)), p, 0.0).sum(axis=0) / count

    return jax.tree.map(mean, memory.parameters)
