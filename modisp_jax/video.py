"""Looks of a video, smoothed over time so that the rendering does not flicker.

Networks see each frame alone and decide about it alone. What is averaged here is their decisions, the coefficients of
a :class:`modisp_jax.Look`, as the published tool does (over the last 9 frames), never the pictures.

Plain means of all coefficients: that of w is of logits, a blend's weighted vote rather than its mean. Means are convex,
so what has a range keeps it. Local tone maps belong to places of the frame, not to things: under a moving camera or
for what moves, a map averaged over 9 frames is that of 4 frames ago, smeared over the way of the 8 between. An edge
then drags a faint halo of the map it has left. Cuts are not noticed either: begin anew at one.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp

from modisp_jax.numerics import mix
from modisp_jax.types import Look

WINDOW = 9
"""Frames that the published tool averages."""

_DIMENSIONS = {"gain": 0, "gtm": 1, "ltm": 3, "chroma_lut": 3, "inverse_gamma": 0, "rgb_lut": 4, "strengths": 1}


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class WindowState:
    """The last frames' looks, for :func:`window_step`."""

    looks: Look
    """Leaves [window, ...]; frame t lies at t mod window."""
    count: jax.Array
    """Frames seen so far, []."""


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class ExponentialState:
    """The mean so far, for :func:`exponential_step`."""

    mean: Look
    """The smoothed look."""
    weight: jax.Array
    """Sum of the frames' weights, that of the last being 1, []."""


def smooth_looks(looks, *, window=WINDOW):
    """Averages each frame's look with those of the frames before it: ``y_t = mean(x_(t-n+1) .. x_t)``.

    ``n = min(window, t + 1)``: the first frames are averaged over what there is.

    Args:
      looks: a :class:`modisp_jax.Look` whose leaves are [T, ...], frames along the first axis.
      window: static, number of frames, at least 1; 1 changes nothing.

    Returns:
      Looks of the same shapes, each within the range of those it averages.

    Raises:
      ValueError: no stacked looks, or a window under 1.

    Reference: the published tool averages over 9 frames (arXiv 2512.08564).
    """
    _check_looks(looks)
    _check_window(window)
    return _smooth_looks(looks, window)


@functools.partial(jax.jit, static_argnames="window")
def _smooth_looks(looks, window):
    frames = len(looks.gain)
    share = 1.0 / jnp.minimum(jnp.arange(frames) + 1, window).astype(jnp.float32)

    def average(x):
        scaled = share.reshape(-1, *[1] * (x.ndim - 1))
        total = jnp.zeros_like(x)
        for lag in range(min(window, frames)):
            # Shares before the sum, so that the largest floats do not overflow.
            total = total.at[lag:].add(x[: frames - lag] * scaled[lag:])
        return total

    return jax.tree.map(average, looks)


def start_window(look, *, window=WINDOW):
    """The state before the first frame, for looks like ``look`` (its values do not matter)."""
    _check_window(window)
    looks = jax.tree.map(lambda x: jnp.zeros((window, *jnp.shape(x)), jnp.float32), look)
    return WindowState(looks, jnp.zeros((), jnp.int32))


def window_step(state, look):
    """One frame of :func:`smooth_looks`: ``state, smoothed = window_step(state, look)``; keeps ``window`` looks."""
    window = len(state.looks.gain)
    slot = state.count % window
    looks = jax.tree.map(lambda held, x: held.at[slot].set(x), state.looks, look)
    share = 1.0 / jnp.minimum(state.count + 1, window).astype(jnp.float32)
    # Slots not yet filled hold 0. Counted up to 2 windows only: a film must not overflow it.
    count = jnp.where(state.count + 1 >= 2 * window, window, state.count + 1)
    return WindowState(looks, count), jax.tree.map(lambda held: jnp.sum(held * share, axis=0), looks)


def smooth_exponential(looks, *, decay):
    """Averages each frame's look with all before it: ``y_t = sum_k decay^k x_(t-k) / sum_k decay^k``, k = 0..t.

    A step is followed to ``1 - decay^n`` after n frames: in ``-1 / log(decay)`` frames to 63 %. ``decay`` .8 has about
    the mean lag of 9 frames (4).

    Args:
      looks: a :class:`modisp_jax.Look` whose leaves are [T, ...], frames along the first axis.
      decay: weight of a frame relative to the next, in [0, 1]; 0 changes nothing, 1 averages all so far.

    Raises:
      ValueError: no stacked looks, or a decay out of range.
    """
    _check_looks(looks)
    _check_decay(decay)
    return _smooth_exponential(looks, jnp.asarray(decay, jnp.float32))


@jax.jit
def _smooth_exponential(looks, decay):
    start = start_exponential(jax.tree.map(lambda x: x[0], looks))
    return jax.lax.scan(lambda state, look: exponential_step(state, look, decay=decay), start, looks)[1]


def start_exponential(look):
    """The state before the first frame, for looks like ``look`` (its values do not matter)."""
    mean = jax.tree.map(lambda x: jnp.zeros(jnp.shape(x), jnp.float32), look)
    return ExponentialState(mean, jnp.zeros((), jnp.float32))


def exponential_step(state, look, *, decay):
    """One frame of :func:`smooth_exponential`: ``state, smoothed = exponential_step(state, look, decay=decay)``."""
    _check_decay(decay)
    weight = decay * state.weight + 1.0
    mean = jax.tree.map(lambda before, x: mix(before, x, 1.0 / weight), state.mean, look)
    return ExponentialState(mean, weight), mean


def _check_looks(looks):
    """Raises unless these are stacked looks."""
    if not isinstance(looks, Look):
        raise ValueError(f"looks: expected a modisp_jax.Look of all frames, got {type(looks).__name__}")
    shapes = {name: jnp.shape(leaf) for name, leaf in vars(looks).items() if leaf is not None}
    frames = shapes["gain"][:1]
    for name, shape in shapes.items():
        if len(shape) != _DIMENSIONS[name] + 1 or shape[:1] != frames or not shape[0]:
            raise ValueError(f"looks: expected frames along the first axis of every leaf, got shapes {shapes}")


def _check_window(window):
    if window < 1:
        raise ValueError(f"window: expected at least 1 frame, got {window}")


def _check_decay(decay):
    if not isinstance(decay, jax.core.Tracer) and not 0 <= decay <= 1:
        raise ValueError(f"decay: expected a number in [0, 1], got {decay}")
