"""The sets of parameters that the function ISP has used: a ring buffer, and draws from it. SemiISP, 3.3.

The paper draws evenly. What a look does to a picture goes with what is in it: one that brightens the dark has large
gains in dark pictures alone. So beside each set the memory keeps what its picture looked like, and draws are of sets
whose pictures looked like the one at hand; docs/semi.md has what that is worth.
"""

import dataclasses

import jax
import jax.numpy as jnp

from modisp_jax.dynamicisp.parameters import FunctionParameters

CAPACITY = 5000

ALIKE = 0.05
"""How far apart in :func:`appearance` two pictures may be that are much alike."""


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Memory:
    """The last sets of parameters seen."""

    parameters: FunctionParameters
    """Arrays [capacity, ..., 3, 3]."""
    appearances: jax.Array
    """What :func:`appearance` says of the pictures that they made, [capacity, 4]."""
    seen: jax.Array
    """How many sets were ever put in, int32 []."""


def empty_memory(parameters, capacity=CAPACITY):
    """A :class:`Memory` without any set; ``parameters`` is one, for its shapes (0.7 MB for 5,000 of an image's)."""
    if capacity < 1:
        raise ValueError(f"capacity: expected at least 1, got {capacity}")
    arrays = jax.tree.map(lambda p: jnp.zeros((capacity, *p.shape), p.dtype), parameters)
    return Memory(arrays, jnp.zeros((capacity, 4)), jnp.zeros((), jnp.int32))


def appearance(picture):
    """What a picture, sRGB [H, W, 3] in [0, 1], looks like at a glance: means of R, G and B, and how far grey spreads.

    [4]; the last is the standard deviation of the pixels' means.
    """
    return jnp.append(picture.mean(axis=(0, 1)), picture.mean(axis=-1).std())


def remember(memory, batch, appearances):
    """The memory with a batch of sets, [B, ..., 3, 3], in place of the oldest; of more than fit, the last.

    ``appearances`` [B, 4] are those of the pictures that the sets made.
    """
    capacity, count = len(memory.parameters.color), len(batch.color)
    kept = min(count, capacity)
    places = (memory.seen + count - kept + jnp.arange(kept)) % capacity
    put = lambda old, new: old.at[places].set(new[count - kept :])  # noqa: E731
    parameters = jax.tree.map(put, memory.parameters, batch)
    return Memory(parameters, put(memory.appearances, appearances), memory.seen + count)


def remembered(memory):
    """How many sets the memory holds, []: never more than its capacity."""
    return jnp.minimum(memory.seen, len(memory.parameters.color))


def draw_parameters(key, memory, picture, *, by_function=False, alike=ALIKE):
    """A set drawn from the memory, which must hold at least one: rather one whose picture looked like this one.

    Draws have weights ``e^{-d^2 / 2}``, d the distance of the pictures' appearances over ``alike``.

    Args:
      key: a JAX random key.
      memory: :class:`Memory`.
      picture: sRGB [H, W, 3] in [0, 1].
      by_function: static; every function's parameters come from a draw of their own: 5,000^4 combinations. The paper
        does so from a thousand pairs up, where the sets are varied enough to be mixed.
      alike: over 0; inf draws evenly, as the paper does.

    Returns:
      :class:`FunctionParameters`.
    """
    squares = jnp.sum(jnp.square((memory.appearances - appearance(picture)) / alike), axis=-1)
    held = jnp.arange(len(squares)) < jnp.maximum(remembered(memory), 1)
    logits = jnp.where(held, -0.5 * squares, -jnp.inf)
    keys = jax.random.split(key, len(dataclasses.fields(FunctionParameters)))
    together, found = jax.random.categorical(keys[0], logits), {}
    for field, own in zip(dataclasses.fields(FunctionParameters), keys, strict=True):
        place = jax.random.categorical(own, logits) if by_function else together
        arrays = getattr(memory.parameters, field.name)
        found[field.name] = None if arrays is None else arrays[place]
    return FunctionParameters(**found)


def mean_parameters(memory):
    """The mean of all sets that the memory holds: one inverse for all photos, to compare with."""
    count = jnp.maximum(remembered(memory), 1)
    held = jnp.arange(len(memory.parameters.color)) < count

    def mean(p):
        return jnp.where(held.reshape(-1, *[1] * (p.ndim - 1)), p, 0.0).sum(axis=0) / count

    return jax.tree.map(mean, memory.parameters)
