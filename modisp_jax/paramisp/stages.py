"""The closed forms of GlobalNet: a quadratic colour transform and a parametric curve, by turns. Paper section 3.3.

Values, slopes and coefficients that are beyond all use are held back, so that each stage has a finite value and finite
gradients for every finite float:

    p in +-64 (beyond, straight lines of slope 1)     coefficients of the quadratic in +-64
    ln gamma in +-2, ln alpha in +-4, beta in 0..64
"""

import functools

import jax.numpy as jnp
import numpy as np

from modisp_jax.kernels.dispatch import on_cpu_unless_moving
from modisp_jax.kernels.paramisp_stages import apply_stages
from modisp_jax.nets.paramisp import BASIS, LINEAR
from modisp_jax.numerics import clip

LIMIT = 64.0
LOG_GAMMA, LOG_ALPHA = 2.0, 4.0
DARK = 1e-6
"""Where powers become straight lines through 0: with an exponent under 1 the true slope has no limit."""


def apply_global(coefficients, image, *, residual):
    """Sends an image through GlobalNet's stages, one after the other.

    Args:
      coefficients: [S, 39]; of each stage the quadratic's [10, 3] and the curve's [3, 3], see :func:`quadratic` and
        :func:`curve`. All zero is the identity, exactly, where ``residual``; else ``neutral_coefficients`` are.
      image: [H, W, 3].
      residual: static; whether a quadratic is added to its input.

    Returns:
      [H, W, 3], not clipped.
    """
    compiled = functools.partial(_apply_compiled, residual=residual)
    if image.ndim != 3 or not len(coefficients):
        return compiled(coefficients, image)
    return on_cpu_unless_moving(functools.partial(_apply_kernel, residual=residual), compiled, coefficients, image)


def _apply_compiled(coefficients, image, *, residual):
    for stage in coefficients:
        change = quadratic(image, stage[: 3 * BASIS].reshape(BASIS, 3))
        image = _settled(curve(image + change if residual else change, stage[3 * BASIS :].reshape(3, 3)))
    return image


def _apply_kernel(coefficients, image, *, residual):
    quadratics = clip(coefficients[:, : 3 * BASIS], -LIMIT, LIMIT).reshape(-1, BASIS, 3)
    shapes = [jnp.stack(curve_shape(stage[3 * BASIS :].reshape(3, 3))) for stage in coefficients]
    return apply_stages(quadratics, jnp.stack(shapes), image, residual=residual)


def _settled(image):
    """The image itself, once it is computed.

    A product is what the compiler fuses with nothing before it. Else it would compute a stage's powers anew for each
    term and channel of the next stage, and so on: six times as long for four stages.
    """
    return jnp.matmul(image, np.eye(3, dtype=np.float32), precision="highest")


def quadratic(p, weights):
    """``W^T (r^2, rg, rb, r, g^2, gb, g, b^2, b, 1)`` of colours p [..., 3]; weights W [10, 3]; [..., 3].

    Computed of p within +-64; of linear terms of slope 1 the rest is added, so that the identity is exact everywhere.
    """
    held, w = clip(p, -LIMIT, LIMIT), clip(weights, -LIMIT, LIMIT)
    r, g, b = held[..., 0:1], held[..., 1:2], held[..., 2:3]
    terms = jnp.concatenate([r * r, r * g, r * b, r, g * g, g * b, g, b * b, b], axis=-1)
    inside = jnp.matmul(terms, w[:9], precision="highest") + w[9]
    slopes = jnp.stack([w[k, c] for c, k in enumerate(LINEAR)])
    return inside + (p - held) * clip(slopes, 0.0, 1.0)


def curve(p, weights):
    """``(S(alpha p + beta) - S(beta)) / (S(alpha + beta) - S(beta))`` with ``S(t) = sign(t) |t|^gamma``, per channel.

    Monotone; keeps 0 and 1; beyond them it goes on. Evaluated on ``t / (alpha + beta)``, which is the same function.

    Args:
      p: [..., 3].
      weights: [3, 3] by rows, for R, G, B: ``gamma = exp(w0), beta = |w1|, alpha = exp(w2)``; 0 is the identity,
        exactly.
    """
    gamma, a, b, low = curve_shape(weights)
    held = clip(p, -LIMIT, LIMIT)
    return (_odd_power(a * held + b, gamma) - low) / (1.0 - low) + (p - held)


def curve_shape(weights):
    """What a curve's weights [3, 3] are of it: gamma, a, b and low [3], ``((a p + b)^gamma - low) / (1 - low)``."""
    log_gamma, shift, log_alpha = weights
    gamma = jnp.exp(clip(log_gamma, -LOG_GAMMA, LOG_GAMMA))
    alpha = jnp.exp(clip(log_alpha, -LOG_ALPHA, LOG_ALPHA))
    beta = clip(jnp.where(shift < 0, -shift, shift), 0.0, LIMIT)  # jnp.abs has slope 0 at 0, where training begins
    a, b = alpha / (alpha + beta), beta / (alpha + beta)
    return gamma, a, b, _odd_power(b, gamma)


def _odd_power(t, gamma):
    """``t |t|^(gamma - 1)``: exactly t for gamma 1, exactly 1 for t 1."""
    return t * jnp.power(jnp.maximum(jnp.abs(t), DARK), gamma - 1.0)
