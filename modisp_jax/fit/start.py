"""Where fitting a style starts: what all pairs have in common, put into the networks' last layers in closed form.

One change for all pairs (gain, curve, gamma, chroma map, colour LUT) is fitted on the looks that the networks choose
for them now, through the stages' closed forms alone: seconds, where training the networks takes minutes. What the
networks have learned to tell apart, such as how bright a picture should be, stays.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np

from modisp_jax.config import RenderConfig
from modisp_jax.fit.deltas import changed_look, luma_depth, penalty, zero_deltas
from modisp_jax.fit.look import FitLookConfig, adam, cosine
from modisp_jax.look import finish_by_look, finish_by_networks
from modisp_jax.nets.photofinish import GAIN_RANGE, GAMMA_RANGE, GRID_DEPTH
from modisp_jax.numerics import clip
from modisp_jax.params import photofinish_config
from modisp_jax.stages import rgb_lut
from modisp_jax.stages.ltm import grid_name
from modisp_jax.types import Edits

STEPS = 400
STRIDE = 3
"""Every so many pixels count on either axis."""

SETTINGS = FitLookConfig(rate=0.03, regularisation=1e-5, finer=4.0)

MARGIN = 0.02
"""Share of a bounded coefficient's range that is kept free at either end."""


def with_rgb_lut(photofinish):
    """Photofinishing's parameters with a colour LUT, neutral where there was none."""
    if "rgb_lut" in photofinish:
        return photofinish
    return photofinish | {"rgb_lut": {name: jnp.asarray(x, jnp.float32) for name, x in rgb_lut.NEUTRAL.items()}}


def base_tables(photofinish):
    """The tables that a style has in common for all pictures, by the look's field.

    Of the chroma map the base, [24, 24, 2] with Cb along axis 0, to which its network adds; the colour LUT, where there
    is one, whole.
    """
    axes = photofinish_config(photofinish).chroma_lut_axes
    base = photofinish["chroma"][f"base_lut_{axes}"]
    tables = {"chroma_lut": base if axes == "cbcr" else base.swapaxes(0, 1)}
    if "rgb_lut" in photofinish:
        tables["rgb_lut"] = rgb_lut.predict(photofinish["rgb_lut"], None, None)
    return tables


def shift_start(photofinish, linear, target, curvature):
    """Parameters that make all pairs' common change: those of ``photofinish`` with other biases and base tables.

    Args:
      photofinish: ``params["photofinish"]``.
      linear: what photofinishing sees, [n, h, w, 3].
      target: sRGB [n, h, w, 3].
      curvature: what bends of the LUTs cost, see ``FitLookConfig``.
    """
    settings = dataclasses.replace(SETTINGS, curvature=curvature)
    chosen = jax.lax.map(functools.partial(_chosen, photofinish), linear)
    return _baked(photofinish, chosen, _common(chosen, linear, target, settings), linear)


@jax.jit
def _chosen(photofinish, linear):
    return finish_by_networks(photofinish, linear, Edits(), RenderConfig())[0]


@functools.partial(jax.jit, static_argnames="settings")
def _common(looks, linear, target, settings):
    """Deltas that suit all pairs best: ``min mean_i 10 log10 mse_i``, so that each counts alike, whatever its error."""
    thin = lambda x: x[:, STRIDE // 2 :: STRIDE, STRIDE // 2 :: STRIDE]  # noqa: E731
    looks = jax.tree.map(lambda x: thin(x) if x.shape[1:3] == linear.shape[1:3] else x, looks)
    linear, target = thin(linear), thin(target)
    depth = jax.vmap(luma_depth)(linear)
    deltas = zero_deltas(settings, ltm=False, rgb_lut=looks.rgb_lut is not None)

    def loss(deltas):
        def one(look, linear, target, depth):
            picture = finish_by_look(_changed(look, deltas, depth), linear, Edits())[1].srgb
            return 10 * jnp.log10(jnp.mean(jnp.square(picture - target)) + 1e-5)

        # 1e-5 of squared error are .43 dB at an error of 20 dB: the penalty in the units of this loss.
        return jax.vmap(one)(looks, linear, target, depth).mean() + 430.0 * penalty(deltas, settings)

    def step(state, number):
        deltas, moments = state
        updates, moments = adam(deltas).update(jax.grad(loss)(deltas), moments)
        rate = cosine(settings.rate, number, STEPS)
        return (jax.tree.map(lambda d, u: d - rate * u, deltas, updates), moments), None

    return jax.lax.scan(step, (deltas, adam(deltas).init(deltas)), jnp.arange(STEPS))[0][0]


def _changed(look, deltas, depth):
    """A look changed by deltas, its gain and gamma such that the networks can choose them."""
    changed = changed_look(look, deltas, depth)
    gain = clip(changed.gain, *_reach(*GAIN_RANGE))
    inverse_gamma = 1 / clip(1 / changed.inverse_gamma, *_reach(*GAMMA_RANGE))
    return dataclasses.replace(changed, gain=gain, inverse_gamma=inverse_gamma)


@jax.jit
def _baked(photofinish, chosen, deltas, linear):
    """Parameters that choose looks changed by deltas; one program in place of more than a hundred, one an operation."""
    changed = jax.vmap(_changed, in_axes=(0, None, 0))(chosen, deltas, jax.vmap(luma_depth)(linear))
    return bake(photofinish, chosen, changed)


def bake(photofinish, chosen, changed):
    """Shifts last layers so that, on average over pictures, the networks choose ``changed`` rather than ``chosen``.

    Args:
      photofinish: parameters that chose ``chosen``.
      chosen, changed: stacked looks, [n, ...] each.
    """
    maps = tuple(
        jnp.stack([look.ltm[..., k].mean(axis=(1, 2)) for k in range(5)], axis=-1) for look in (chosen, changed)
    )
    local = _mean_change(_unsoftplus, *maps)
    grid = grid_name(photofinish_config(photofinish).grid_input)
    axes = photofinish_config(photofinish).chroma_lut_axes
    tables = (changed.chroma_lut - chosen.chroma_lut).mean(axis=0)
    table = tables if axes == "cbcr" else tables.swapaxes(0, 1)
    chroma, ltm = photofinish["chroma"], photofinish["ltm"]
    shifted = {
        "gain": _shifted_head(photofinish["gain"], _mean_change(_logit(*GAIN_RANGE), chosen.gain, changed.gain)),
        "gtm": _shifted_head(photofinish["gtm"], _mean_change(_unsoftplus, chosen.gtm, changed.gtm)),
        "ltm": ltm | {grid: _shifted_head(ltm[grid], jnp.repeat(local, GRID_DEPTH))},
        "chroma": chroma | {f"base_lut_{axes}": chroma[f"base_lut_{axes}"] + table},
        "gamma": _shifted_head(
            photofinish["gamma"],
            _mean_change(_logit(*GAMMA_RANGE), 1 / chosen.inverse_gamma, 1 / changed.inverse_gamma),
        ),
    }
    if "rgb_lut" in photofinish:
        shifted["rgb_lut"] = {"table": _unsoftplus(changed.rgb_lut.mean(axis=0))}
    return photofinish | shifted


def _mean_change(inverse, before, after):
    """Mean over pictures of what a head's output moves by, before the function that bounds it."""
    return jnp.mean(inverse(after) - inverse(before), axis=0)


def _shifted_head(net, change):
    return net | {"head": net["head"] | {"bias": net["head"]["bias"] + change}}


def _unsoftplus(y):
    """The number whose softplus is ``y``; of at least 1e-4."""
    y = jnp.maximum(y, 1e-4)
    return y + jnp.log(-jnp.expm1(-y))


def _logit(low, high):
    """The inverse of ``low + (high - low) sigmoid(x)``, kept off the bounds."""

    def inverse(y):
        s = (jnp.clip(y, *_reach(low, high)) - low) / (high - low)
        return jnp.log(s) - jnp.log1p(-s)

    return inverse


def _reach(low, high):
    """The part of a bounded coefficient's range that is used."""
    margin = MARGIN * (high - low)
    return low + margin, high - margin


def score(photofinish, linear, target):
    """Mean PSNR in dB of photofinishing on pairs [n, h, w, 3], and of the worst."""
    values = np.asarray([_psnr(photofinish, x, y) for x, y in zip(linear, target, strict=True)])
    return float(values.mean()), float(values.min())


@jax.jit
def _psnr(photofinish, linear, target):
    finished = finish_by_networks(photofinish, linear, Edits(), RenderConfig())[1]
    return -10 * jnp.log10(jnp.mean(jnp.square(finished.srgb - target)) + 1e-9)
