"""Mixing styles: weighted means of what several styles choose, stage by stage.

| symbol | meaning |
|---|---|
| w_k | weight of style k in a stage, nonnegative |
| q_k | its share, ``w_k / sum w`` |
| c_k | the coefficients that style k chooses |

The rule is the published system's (arXiv 2512.08564, section I): the stage uses ``sum q_k c_k``. Where all weights
are 0 it is switched off, and a single style of a weight under 1 blends the stage's output with its input.
"""

import jax
import jax.numpy as jnp
import numpy as np

from modisp_jax.numerics import clip01, safe_divide
from modisp_jax.ops.lut import identity_rgb_lut
from modisp_jax.stages import FINISH_STAGES
from modisp_jax.types import Look

STAGE_NAMES = tuple(stage.name for stage in FINISH_STAGES)


def mix_looks(looks, weights):
    """Mixes looks: ``c = sum_k q_k c_k`` for each stage's coefficients.

    Args:
      looks: one or more :class:`modisp_jax.Look` of one size.
      weights: [n], one for each look, or a dict from stages (``gain``, ``gtm``, ``ltm``, ``rgb_lut``, ``chroma``,
        ``gamma``) to such; a stage that the dict leaves out takes equal shares. Nonnegative; traced if you like.

    Returns:
      A :class:`modisp_jax.Look`. Where some have no 3D LUT, the identity stands in for it. Its ``strengths`` are
      1, 0 for a stage whose weights are all 0, and, of a single look, the weight itself, at most 1; times the
      shares' mean of the looks' own strengths.

    Raises:
      ValueError: no looks, maps of different sizes, weights of another number, negative or not finite.

    Reference: arXiv 2512.08564, section I.
    """
    looks = list(looks)
    weights = stage_weights(weights, len(looks))
    sizes = sorted({look.ltm.shape for look in looks})
    if len(sizes) > 1:
        raise ValueError(f"mix_looks: expected local tone maps of one shape, got {' and '.join(map(str, sizes))}")
    coefficients = {
        stage.coefficients: mean_of([getattr(look, stage.coefficients) for look in looks], weights[stage.name])
        for stage in FINISH_STAGES
    }
    own = [jnp.ones(len(STAGE_NAMES)) if look.strengths is None else look.strengths for look in looks]
    strengths = [
        strength_of(weights[name]) * jnp.dot(shares(weights[name]), jnp.stack([s[k] for s in own]))
        for k, name in enumerate(STAGE_NAMES)
    ]
    return Look(**coefficients, strengths=jnp.stack(strengths))


def mix_styles(params, weights):
    """Mixes parameter sets: each stage's networks of every style predict, and the mean is what counts.

    Unlike :func:`mix_looks` on finished looks, later stages' networks see what the mix made of the earlier ones.

    Args:
      params: one or more parameter sets with ``photofinish``.
      weights: as for :func:`mix_looks`.

    Returns:
      A parameter set that ``render`` takes: ``photofinish`` is ``{"styles": [...], "weights": {stage: [n]}}``,
      ``denoise`` and ``enhance`` are those of the first set. Gradients flow into the weights, too.

    Raises:
      ValueError: as :func:`mix_looks` does, and for a set without photofinishing.
    """
    params = list(params)
    weights = stage_weights(weights, len(params))
    for number, one in enumerate(params):
        if not isinstance(one, dict) or not isinstance(one.get("photofinish"), dict):
            raise ValueError(f"params[{number}]: expected a parameter set with 'photofinish'")
        if "styles" in one["photofinish"]:
            raise ValueError(f"params[{number}]: expected one style, got a mix; mix its styles all at once")
    mixed = {"styles": [one["photofinish"] for one in params], "weights": weights}
    return {name: params[0][name] for name in params[0] if name != "photofinish"} | {"photofinish": mixed}


def stage_weights(weights, count):
    """Weights by stage, {name: [count] float32}, of what a caller may write; checks what can be checked."""
    if count < 1:
        raise ValueError("expected at least one style to mix, got none")
    if not isinstance(weights, dict):
        weights = dict.fromkeys(STAGE_NAMES, weights)
    unknown = sorted(set(weights) - set(STAGE_NAMES))
    if unknown:
        raise ValueError(f"weights: expected stages of {', '.join(STAGE_NAMES)}; got {', '.join(map(str, unknown))}")
    weights = {name: jnp.asarray(weights.get(name, np.ones(count)), jnp.float32) for name in STAGE_NAMES}
    for name, value in weights.items():
        if value.shape != (count,):
            raise ValueError(f"weights, {name}: expected shape {(count,)}, one for each style; got {value.shape}")
        if not isinstance(value, jax.core.Tracer) and not (np.isfinite(value).all() and (np.asarray(value) >= 0).all()):
            raise ValueError(f"weights, {name}: expected finite numbers >= 0, got {np.asarray(value).tolist()}")
    return weights


def shares(weights):
    """Weights [n] as shares that sum to 1; equal ones where all are 0 (such a stage is switched off anyway)."""
    total = weights.sum()
    return jnp.where(total > 0, safe_divide(weights, total, 1e-8), 1.0 / len(weights))


def strength_of(weights):
    """Strength [] of a stage: of a single style its weight, at most 1; of several 1, or 0 where all weights are 0."""
    if len(weights) == 1:
        return clip01(weights[0])
    return (weights.sum() > 0).astype(weights.dtype)


def mean_of(coefficients, weights):
    """The weighted mean of a stage's coefficients, given as n arrays; of a 3D LUT, some or all may be None."""
    if all(c is None for c in coefficients):
        return None
    coefficients = [identity_rgb_lut() if c is None else c for c in coefficients]
    if len(coefficients) == 1:
        return coefficients[0]
    q = shares(weights)
    return sum(q[k] * c for k, c in enumerate(coefficients))
