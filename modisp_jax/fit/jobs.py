"""Penalties that hold each stage of photofinishing to the job that its name says.

Trained on the picture alone, stages do each other's work: tone curves make the gamma, the gain runs into its bound.
These terms pin what can be known of each stage from the pair, in EV where it is light, and cost nothing where a stage
keeps within its job.
"""

import dataclasses

import jax.numpy as jnp
import numpy as np

from modisp_jax.color import rgb_to_ycbcr
from modisp_jax.losses import absolute
from modisp_jax.numerics import clip, clip01, power

GAMMA = 2.2
"""What the final power curve should be, that of the display."""

GAIN_LIMITS = (0.36, 3.6)
"""Gains that are asked for: the network's bounds .25 and 4, less a margin."""

MEAN_LIMIT = 0.07
"""EV (5 percent) by which the global tone curve may move mean luma free of charge: pinned to nothing it could not move
at all, since any single step of a, b or c does."""

CURVE_LIMIT = 2.0
"""EV by which a tone curve's coefficients may leave 1 (.25 to 4) free of charge."""

BLEND_FLOOR = 0.1
"""Least logit of the local blend that is free of charge; its bound is 0."""


@dataclasses.dataclass(frozen=True)
class JobWeights:
    """Weights of :func:`job_losses`."""

    gain: float = 0.3
    """Squared EV between the gain and the ratio of mean luma, target over input."""
    global_mean: float = 1.0
    """EV beyond :data:`MEAN_LIMIT` by which the global tone curve changes mean luma."""
    local_mean: float = 0.2
    """EV by which the local tone maps change mean luma."""
    local_effort: float = 0.3
    """Mean absolute change by the local tone maps: what one curve can do for all the picture is the global curve's."""
    gamma: float = 0.3
    """Squared distance of the gamma from 2.2."""
    curves: float = 0.1
    """Squared EV of the curves' coefficients beyond :data:`CURVE_LIMIT`."""


def job_losses(look, finished, linear, target, *, weights=JobWeights()):
    """The penalties for one picture, weighted.

    Args:
      look: :class:`modisp_jax.Look` as the networks chose it.
      finished: :class:`modisp_jax.FinishedStages` of that look.
      linear: what photofinishing saw, linear sRGB [h, w, 3].
      target: sRGB [h, w, 3].
      weights: static :class:`JobWeights`.

    Returns:
      A dict from term to a scalar.
    """
    wanted = clip(mean_luma(power(clip01(target), GAMMA)) / mean_luma(linear), *GAIN_LIMITS)
    curves = jnp.concatenate([look.gtm, look.ltm[..., 1:].mean(axis=(0, 1))])
    beyond = jnp.maximum(absolute(ev(curves)) - CURVE_LIMIT, 0.0)
    blend = jnp.maximum(BLEND_FLOOR - look.ltm[..., 0], 0.0) / BLEND_FLOOR
    gained, toned = mean_luma(finished.gained), mean_luma(finished.global_tone)
    return {
        "gain_job": weights.gain * jnp.square(ev(look.gain) - ev(wanted)),
        "global_mean_job": weights.global_mean * jnp.maximum(absolute(ev(toned) - ev(gained)) - MEAN_LIMIT, 0.0),
        "local_mean_job": weights.local_mean * absolute(ev(mean_luma(finished.local_tone)) - ev(toned)),
        "local_effort_job": weights.local_effort * absolute(finished.local_tone - finished.global_tone).mean(),
        "gamma_job": weights.gamma * jnp.square(1.0 / look.inverse_gamma - GAMMA),
        "curve_job": weights.curves * (jnp.square(beyond).mean() + jnp.square(blend).mean()),
    }


def mean_luma(rgb):
    """Mean BT.709 luma [] of RGB [h, w, 3], clipped to [0, 1]; at least 1e-4."""
    return jnp.maximum(rgb_to_ycbcr(clip01(rgb))[..., 0].mean(), 1e-4)


def ev(x):
    """Logarithm to base 2, of at least 1e-4."""
    return jnp.log(jnp.maximum(x, 1e-4)) / np.log(2)
