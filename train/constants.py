"""The best rendering by constants: where a style's networks start.

One gain, one tone curve and one linear map of chroma for all photos, fitted in closed form's own terms: ten numbers,
a minute's work. Networks that start there learn what depends on the photo; from the neutral start the curve, which
is most of a style, would come last.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax

from modisp_jax.color import rgb_to_ycbcr, ycbcr_to_rgb
from modisp_jax.fit.jobs import CURVE_LIMIT, GAIN_LIMITS, GAMMA, MEAN_LIMIT, ev, mean_luma
from modisp_jax.losses import absolute
from modisp_jax.nets.photofinish import GRID_DEPTH, SOFTPLUS_ONE, gain_net
from modisp_jax.numerics import clip01, power
from modisp_jax.ops.lut import identity_chroma_lut
from modisp_jax.stages import gain, gtm

STEPS = 600
RATE = 0.03


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Constants:
    """A look without networks."""

    gain_ev: jax.Array
    """Gain in EV, []."""
    curve_ev: jax.Array
    """Logarithms to base 2 of the global curve's (a, b, c), [3]."""
    chroma: jax.Array
    """Map of (Cb, Cr), [2, 2]: ``chroma @ (Cb, Cr)``."""
    tint: jax.Array
    """(Cb, Cr) of grey, [2]."""


def neutral():
    """The constants that change nothing."""
    return Constants(jnp.zeros(()), jnp.zeros(3), jnp.eye(2), jnp.zeros(2))


def finish(constants, linear):
    """(gained, globally tone-mapped, sRGB) of linear sRGB [h, w, 3], by constants and a gamma of 2.2."""
    gained = gain.apply(jnp.exp2(constants.gain_ev), linear, None)
    toned = gtm.apply(jnp.exp2(constants.curve_ev), gained, None)
    y, cbcr = jnp.split(rgb_to_ycbcr(toned), [1], axis=-1)
    cbcr = jnp.matmul(cbcr, constants.chroma.T, precision="highest") + constants.tint
    mapped = ycbcr_to_rgb(jnp.concatenate([y, cbcr], axis=-1))
    return gained, toned, power(clip01(mapped), 1.0 / GAMMA)


def fit_constants(linear, target):
    """The constants under which the mean PSNR is highest, the global curve kept to its job.

    ``min mean_i(10 log10(mse_i)) + 30 (EV of mean luma beyond MEAN_LIMIT)_i + 10 |EV of a, b, c beyond CURVE_LIMIT|^2``
    by Adam from the neutral ones; see ``modisp_jax.fit.jobs`` for the limits. Means over the photos, so each counts
    alike.

    Args:
      linear: what photofinishing sees, linear sRGB [n, h, w, 3].
      target: sRGB [n, h, w, 3].

    Returns:
      :class:`Constants`.
    """

    def one(constants, linear, target):
        gained, toned, srgb = finish(constants, linear)
        moved = absolute(ev(mean_luma(toned)) - ev(mean_luma(gained)))
        return 10 * jnp.log10(jnp.mean(jnp.square(srgb - target)) + 1e-6) + 30 * jnp.maximum(moved - MEAN_LIMIT, 0.0)

    def loss(constants):
        beyond = jnp.maximum(absolute(constants.curve_ev) - CURVE_LIMIT, 0.0)
        return jax.vmap(one, in_axes=(None, 0, 0))(constants, linear, target).mean() + 10 * jnp.square(beyond).sum()

    optimizer = optax.adam(optax.cosine_decay_schedule(RATE, STEPS))

    def step(state, _):
        constants, moments = state
        updates, moments = optimizer.update(jax.grad(loss)(constants), moments)
        return (optax.apply_updates(constants, updates), moments), None

    @jax.jit
    def run(start):
        return jax.lax.scan(step, (start, optimizer.init(start)), None, length=STEPS)[0][0]

    return run(neutral())


def start_from(params, constants):
    """Photofinishing's parameters whose networks, before they learn, choose these constants for every photo.

    Args:
      params: ``params["photofinish"]``; the last layers of gain, tone curves and chroma are replaced.
      constants: :class:`Constants`.
    """
    gain_bias = gain_net().bias_of(np.clip(2.0 ** float(constants.gain_ev), *GAIN_LIMITS))
    curve_bias = jnp.log(jnp.expm1(jnp.exp2(constants.curve_ev)))  # the inverse of softplus
    # The local curve sees the gained image, as the global one does: it starts as the same, and so changes nothing.
    local_bias = jnp.concatenate([jnp.full(1, SOFTPLUS_ONE), curve_bias, jnp.full(1, SOFTPLUS_ONE)])
    grid = next(name for name in params["ltm"] if name != "guide")
    lut = jnp.matmul(identity_chroma_lut(), constants.chroma.T, precision="highest") + constants.tint
    return params | {
        "gain": _with_head(params["gain"], gain_bias),
        "gtm": _with_head(params["gtm"], curve_bias),
        "ltm": params["ltm"] | {grid: _with_head(params["ltm"][grid], jnp.repeat(local_bias, GRID_DEPTH))},
        "chroma": _with_head(params["chroma"], 0.0) | {"base_lut_cbcr": lut},
    }


def _with_head(net, bias):
    """A network's parameters whose last layer gives ``bias`` whatever it sees."""
    head = net["head"]
    kernel, bias = jnp.zeros_like(head["kernel"]), jnp.broadcast_to(jnp.asarray(bias, jnp.float32), head["bias"].shape)
    return net | {"head": {"kernel": kernel, "bias": bias}}
