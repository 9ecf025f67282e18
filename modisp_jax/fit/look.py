"""Fitting a look to one pair of pictures: the coefficients themselves are what gradient descent moves, no networks."""

import dataclasses
import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from modisp_jax.fit.alignment import estimate_shift, translate
from modisp_jax.fit.deltas import RATES, changed_look, luma_depth, penalty, zero_deltas
from modisp_jax.look import finish_by_look
from modisp_jax.numerics import clip01, power
from modisp_jax.ops.lut import identity_chroma_lut, identity_rgb_lut
from modisp_jax.pipeline import shrink
from modisp_jax.resample import mean_pool
from modisp_jax.stages.color import to_linear_srgb
from modisp_jax.types import Edits, Look, Raw, as_float32, check_image

ASPECT = 0.02
"""Relative difference of aspect ratio that is taken for rounding."""


@dataclasses.dataclass(frozen=True)
class FitLookConfig:
    """Static options of :func:`fit_look`."""

    grids: tuple[tuple[int, int, int], ...] = ((2, 3, 2), (4, 6, 4), (8, 12, 8))
    """Nodes (rows, columns, luma) of the bilateral grids whose sum makes the local maps, from coarse to fine."""
    strides: tuple[tuple[int, float], ...] = ((4, 0.7), (2, 0.2), (1, 0.1))
    """(every how many pixels, share of the steps): most of the way needs few pixels. The last stride is 1."""
    rate: float = 0.03
    """Adam's learning rate for logarithms; tables have a tenth."""
    regularisation: float = 1e-6
    """What a mean square change of 1 costs, in units of squared error (1e-6 is 60 dB)."""
    curvature: float = 1e-3
    """What a mean square bend of 1 of a table costs likewise (second difference for steps of a tenth of its range)."""
    finer: float = 2.0
    """How much dearer each finer table or grid is."""
    pool: int = 1
    """Compare means over so many pixels a side: for pictures that lie on each other only roughly."""
    most_shift: int = 16
    """Pixels by which the target may be shifted on either axis; 0 takes it as it lies."""
    chunk: int = 50
    """Steps between two calls of ``progress``."""

    def __post_init__(self):
        for name in ("grids", "strides"):
            object.__setattr__(self, name, tuple(tuple(row) for row in getattr(self, name)))
        _check(bool(self.grids) and min(map(min, self.grids)) >= 1, "grids", "sizes of at least one node", self.grids)
        shares = [share for _, share in self.strides]
        good = shares and min(shares) > 0 and abs(sum(shares) - 1) < 1e-6 and self.strides[-1][0] == 1
        good = good and min(stride for stride, _ in self.strides) >= 1
        _check(good, "strides", "shares over 0 that sum to 1, the last of every pixel", self.strides)
        _check(0 < self.rate < np.inf, "rate", "a number over 0", self.rate)
        for name in ("regularisation", "curvature", "finer"):
            _check(0 <= getattr(self, name) < np.inf, name, "a number from 0 on", getattr(self, name))
        _check(self.pool >= 1, "pool", "at least 1", self.pool)
        _check(self.most_shift >= 0, "most_shift", "at least 0", self.most_shift)
        _check(self.chunk >= 1, "chunk", "at least 1", self.chunk)


def _check(condition, name, expected, got):
    if not condition:
        raise ValueError(f"{name}: expected {expected}, got {got}")


class FittedLook(NamedTuple):
    """What :func:`fit_look` found. ``apply_look(found.look, found.linear)`` is ``found.picture``."""

    look: Look
    """The coefficients; local maps of the size of ``linear``."""
    white_balance: jax.Array
    """Factors on red, green and blue, [3], green 1: of camera RGB for a ``Raw``, else of linear sRGB."""
    exposure: jax.Array
    """EV, []."""
    linear: jax.Array
    """Linear sRGB that the look is for, [h, w, 3], after white balance and exposure."""
    picture: jax.Array
    """The finished picture, [h, w, 3]."""
    target: jax.Array
    """What it was compared with: the target at its size, moved by ``shift``, [h, w, 3]."""
    psnr: jax.Array
    """PSNR in dB of ``picture``, where the target is known, []."""
    shift: jax.Array
    """Pixels of ``linear`` by which the target lay lower and further right, [2]."""
    history: jax.Array
    """Mean squared error at each step, over the pixels of that step, [steps]."""


def neutral_look(size, *, rgb_lut=False):
    """The look of untrained networks for an image of ``size`` (h, w): all it does is a gamma of 2.2."""
    return Look(
        gain=jnp.ones(()),
        gtm=jnp.ones(3),
        ltm=jnp.ones((*size, 5)),
        chroma_lut=jnp.asarray(identity_chroma_lut()),
        inverse_gamma=jnp.asarray(1 / 2.2, jnp.float32),
        rgb_lut=jnp.asarray(identity_rgb_lut()) if rgb_lut else None,
    )


def fit_look(
    source,
    target,
    *,
    white_balance=False,
    exposure=False,
    rgb_lut=False,
    ltm=True,
    steps=500,
    start=None,
    config=FitLookConfig(),
    progress=None,
):
    """Finds the look that makes a finished picture: ``min_d mean |finish(look(d)) - target|^2 + penalty(d)``.

    Adam on small tables ``d`` (``modisp_jax.fit.deltas``) through the stages' closed forms, first on every fourth
    pixel, at last on all. The result is never worse than the start: where no step is better, it is the start itself.
    Many coefficients make the same picture, so these are one answer of several; what a fit recovers is the picture.

    Pure: works under ``vmap`` over targets, sources or starts (a spread of starts shows what is uncertain) and under
    ``jit``, then without ``progress``. Compiled once for each image size and set of options.

    Args:
      source: a :class:`modisp_jax.Raw`, which is fitted at photofinishing's quarter size and not denoised, or linear
        sRGB [h, w, 3] in [0, 1], which is fitted at its own size; at least 16 pixels a side.
      target: sRGB [H, W, 3] in [0, 1] of the same scene and orientation; another size is resized. A shift against the
        source of up to ``config.most_shift`` pixels is found and undone.
      white_balance: also find factors on red and blue, of camera RGB or linear sRGB.
      exposure: find brightness as EV, before highlights are clipped, rather than as the look's gain, which then stays
        that of ``start``.
      rgb_lut: also fit the colour LUT, which can do what depends on luma and colour at once, such as lifted blacks.
      ltm: fit the local tone maps; else they stay those of ``start``, but for following the global curve.
      steps: optimiser steps.
      start: a :class:`modisp_jax.Look` to start from, with maps of the source's (small) size; default: neutral.
      config: static :class:`FitLookConfig`.
      progress: called as ``progress(step, steps, psnr)`` every ``config.chunk`` steps.

    Returns:
      A :class:`FittedLook`.

    Raises:
      ValueError: wrong shapes, pictures of different aspect ratio, NaN or infinity, or ``progress`` under ``jit`` or
        ``vmap``.

    Reference: the stages of arXiv 2512.08564, section 2.3; the fit is ours.
    """
    size = _check_pair(source, target)
    if not (isinstance(steps, int) and steps >= 1):
        raise ValueError(f"steps: expected a whole number of at least 1, got {steps!r}")
    start = neutral_look(size, rgb_lut=rgb_lut) if start is None else start
    if not isinstance(start, Look) or jnp.shape(start.ltm) != (*size, 5):
        got = jnp.shape(start.ltm) if isinstance(start, Look) else type(start).__name__
        raise ValueError(f"start: expected a Look with maps of shape {(*size, 5)}, got {got}")
    source, target, start = as_float32((source, target, start))
    _check_finite(source, target, start)
    camera = isinstance(source, Raw) and (white_balance or exposure)
    data, shift = _prepare(source, target, start, camera, config)
    deltas = zero_deltas(config, ltm=ltm, rgb_lut=rgb_lut, white_balance=white_balance, exposure=exposure)
    state, history = (deltas, adam(deltas).init(deltas)), []
    for stride, count in plan(steps, config):
        state, losses = _descend(state, len(history) and _done(history), data, steps, count, stride, config)
        history.append(losses)
        if progress is not None:
            _report(progress, _done(history), steps, losses[-1])
    return _result(state[0], deltas, source, data, shift, jnp.concatenate(history), camera, config)


def plan(steps, config):
    """Steps in a row by stride: a list of (stride, count), each count at most ``config.chunk``, ``steps`` in all."""
    ends = np.round(np.cumsum([share for _, share in config.strides]) * steps).astype(int)
    chunks = []
    for (stride, _), count in zip(config.strides, np.diff(ends, prepend=0).tolist(), strict=True):
        whole, rest = divmod(count, config.chunk)
        chunks += [(stride, config.chunk)] * whole + [(stride, rest)] * bool(rest)
    return chunks


def _check_pair(source, target):
    """Raises unless both are pictures of one aspect ratio; returns the size at which the look is fitted."""
    if isinstance(source, Raw):
        full = check_image(source.image, "source.image")
        size = tuple(n // 4 for n in full)
    else:
        size = full = check_image(source, "source")
    if min(full) < 16:
        raise ValueError(f"source: expected at least 16 pixels a side, got {full}")
    height, width = check_image(target, "target")
    if abs(height * full[1] / (width * full[0]) - 1) > ASPECT:
        raise ValueError(f"target: expected the aspect ratio of the source {full}, got {(height, width)}")
    return size


def _check_finite(source, target, start):
    """Raises where values are known (not under ``jit`` or ``vmap``) and not all finite."""
    for name, tree in (("source", source), ("target", target), ("start", start)):
        for leaf in jax.tree.leaves(tree):
            finite = jnp.isfinite(leaf).all()
            if not isinstance(finite, jax.core.Tracer) and not finite:
                raise ValueError(f"{name}: expected finite values, got NaN or infinity")


def _done(history):
    return sum(len(losses) for losses in history)


def _report(progress, step, steps, loss):
    if isinstance(loss, jax.core.Tracer):
        raise ValueError("progress: cannot be called under jit or vmap; leave it out there")
    progress(step, steps, float(-10 * jnp.log10(loss + 1e-12)))


@functools.partial(jax.jit, static_argnames=("camera", "config"))
def _prepare(source, target, start, camera, config):
    """What every step needs: source, target, its weight, the start, where pixels read the grid; and the shift."""
    linear = _linear_small(source, _no_change())
    size = linear.shape[:2]
    if target.shape[:2] != size:
        target = jax.image.resize(target, (*size, 3), "linear", antialias=True, precision="highest")
    target = clip01(target)
    first, second = luma_depth(linear), luma_depth(power(target, 2.2))
    shift = estimate_shift(first, second, config.most_shift)
    target, weight = translate(target, shift)
    if camera:  # brightness and white balance come before the colour matrix and the clipping
        source = dataclasses.replace(source, image=shrink(clip01(source.image)))
    else:
        source = linear
    return {"source": source, "target": target, "weight": weight, "start": start, "depth": first}, shift


def _no_change():
    return {"white_balance": jnp.zeros(2), "exposure": jnp.zeros(())}


def _developed(source, deltas):
    """Linear sRGB of a ``Raw`` or of linear sRGB itself, with the white balance and exposure of ``deltas``."""
    gains, factor = white_balance_of(deltas), jnp.exp2(deltas.get("exposure", jnp.zeros(())))
    if not isinstance(source, Raw):
        return clip01(source * gains * factor)
    exposed = clip01(source.image) * factor
    illuminant = source.illuminant / gains
    return to_linear_srgb(exposed, illuminant, source.ccm, saturation=source.saturation * factor)


def white_balance_of(deltas):
    """Factors [3] on red, green and blue, green 1."""
    red, blue = deltas.get("white_balance", jnp.zeros(2))
    return jnp.exp2(jnp.stack([red, jnp.zeros(()), blue]))


def _linear_small(source, deltas):
    """What photofinishing sees of a source, the whole ``Raw`` or linear sRGB."""
    linear = _developed(source, deltas)
    return shrink(linear) if isinstance(source, Raw) else linear


def adam(deltas):
    """Adam without its learning rate, each kind of delta at its own speed."""
    speeds = {name: optax.scale(RATES.get(name, 1.0)) for name in deltas}
    labels = {name: jax.tree.map(lambda _, name=name: name, value) for name, value in deltas.items()}
    return optax.chain(optax.scale_by_adam(0.9, 0.99), optax.multi_transform(speeds, labels))


def cosine(rate, number, steps):
    """Learning rate at a step: half a cosine from ``rate`` to a fiftieth of it."""
    return rate * (0.02 + 0.98 * 0.5 * (1 + jnp.cos(jnp.pi * number / steps)))


@functools.partial(jax.jit, static_argnames=("count", "stride", "config"))
def _descend(state, first, data, steps, count, stride, config):
    """``count`` steps on every ``stride``-th pixel: (state, squared errors [count])."""
    data = _thinned(data, stride, config)
    grad = jax.value_and_grad(_loss, has_aux=True)

    def step(state, number):
        deltas, moments = state
        (_, error), gradient = grad(deltas, data, config)
        updates, moments = adam(deltas).update(gradient, moments)
        rate = cosine(config.rate, number, steps)
        return (jax.tree.map(lambda d, u: d - rate * u, deltas, updates), moments), error

    return jax.lax.scan(step, state, first + jnp.arange(count))


def _thinned(data, stride, config):
    """Every ``stride``-th pixel of what is fitted, of means over ``config.pool`` pixels a side.

    Single pixels rather than means are what a coarse fit goes by: a curve's mean is not the curve of the mean.
    """

    def thin(x):
        pooled = mean_pool(x[..., None] if x.ndim == 2 else x, config.pool)
        first = min(stride // 2, min(pooled.shape[:2]) - 1)
        pooled = pooled[first::stride, first::stride]
        return pooled[..., 0] if x.ndim == 2 else pooled

    source, start = data["source"], data["start"]
    if isinstance(source, Raw):
        source = dataclasses.replace(source, image=thin(source.image))
    else:
        source = thin(source)
    images = {name: thin(data[name]) for name in ("target", "weight", "depth")}
    return {"source": source, "start": dataclasses.replace(start, ltm=thin(start.ltm)), **images}


def _loss(deltas, data, config):
    """(squared error and penalty, squared error alone) of some deltas."""
    picture = _finished(deltas, data, _developed(data["source"], deltas))[1]
    error = _mean_square(picture, data)
    return error + penalty(deltas, config), error


def _finished(deltas, data, linear):
    look = changed_look(data["start"], deltas, data["depth"])
    return look, finish_by_look(look, linear, Edits())[1].srgb


def _mean_square(picture, data):
    """Mean squared difference where the target is known."""
    weight = data["weight"][..., None]
    return jnp.sum(weight * jnp.square(picture - data["target"])) / (3.0 * jnp.maximum(weight.sum(), 1.0))


@functools.partial(jax.jit, static_argnames=("camera", "config"))
def _result(deltas, untouched, source, data, shift, history, camera, config):
    """The better of the deltas found and none, as a :class:`FittedLook`."""
    full = _thinned(data, 1, config)
    better = _loss(deltas, full, config)[0] < _loss(untouched, full, config)[0]
    deltas = jax.tree.map(lambda found, zero: jnp.where(better, found, zero), deltas, untouched)
    linear = _linear_small(source, deltas) if camera else _developed(data["source"], deltas)
    look, picture = _finished(deltas, data, linear)
    return FittedLook(
        look=look,
        white_balance=white_balance_of(deltas),
        exposure=deltas.get("exposure", jnp.zeros(())),
        linear=linear,
        picture=picture,
        target=data["target"],
        psnr=-10 * jnp.log10(_mean_square(picture, data) + 1e-12),
        shift=shift,
        history=history,
    )
