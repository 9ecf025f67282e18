"""The closed forms of GlobalNet: a quadratic colour transform and a parametric curve, by turns. Paper section 3.3.

Values, slopes and coefficients that are beyond all use are held back, so that each stage has a finite value and finite
gradients for every finite float:

    p in +-64 (beyond, straight lines of slope 1)     coefficients of the quadratic in +-64
    ln gamma in +-2, ln alpha in +-4, beta in 0..64
"""

import jax
import jax.numpy as jnp

from modisp_jax.nets.paramisp import BASIS, LINEAR
from modisp_jax.numerics import clip

LIMIT = 64.0
LOG_GAMMA, LOG_ALPHA = 2.0, 4.0
DARK = 1e-6
"""Where powers become straight lines through 0: with an exponent under 1 the true slope has no limit."""


# Compiled by themselves where apply_global is not: all stages as one program compute the powers of a stage again for
# each value that the next one makes of them.


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
    for stage in coefficients:
        change = quadratic(image, stage[: 3 * BASIS].reshape(BASIS, 3))
        image = curve(image + change if residual else change, stage[3 * BASIS :].reshape(3, 3))
    return image


@jax.jit
def quadratic(p, weights):
    """``W^T (r^2, rg, rb, r, g^2, gb, g, b^2, b, 1)`` of colours p [..., 3]; weights W [10, 3]; [..., 3].

    Computed of p within +-64; of linear terms of slope 1 the rest is added, so that the identity is exact everywhere.
    """
    held, w = clip(p, -LIMIT, LIMIT), clip(weights, -LIMIT, LIMIT)
    r, g, b = held[..., 0:1], held[..., 1:2], held[..., 2:3]
    terms = (r * r, r * g, r * b, r, g * g, g * b, g, b * b, b)
    inside = sum(term * w[k] for k, term in enumerate(terms)) + w[9]
    slopes = jnp.stack([w[k, c] for c, k in enumerate(LINEAR)])
    return inside + (p - held) * clip(slopes, 0.0, 1.0)


@jax.jit
def curve(p, weights):
    """``(S(alpha p + beta) - S(beta)) / (S(alpha + beta) - S(beta))`` with ``S(t) = sign(t) |t|^gamma``, per channel.

    Monotone; keeps 0 and 1; beyond them it goes on. Evaluated on ``t / (alpha + beta)``, which is the same function.

    Args:
      p: [..., 3].
      weights: [3, 3] by rows, for R, G, B: ``gamma = exp(w0), beta = |w1|, alpha = exp(w2)``; 0 is the identity,
        exactly.
    """
    log_gamma, shift, log_alpha = weights
    gamma = jnp.exp(clip(log_gamma, -LOG_GAMMA, LOG_GAMMA))
    alpha = jnp.exp(clip(log_alpha, -LOG_ALPHA, LOG_ALPHA))
    beta = clip(jnp.where(shift < 0, -shift, shift), 0.0, LIMIT)  # jnp.abs has slope 0 at 0, where training begins
    held = clip(p, -LIMIT, LIMIT)
    a, b = alpha / (alpha + beta), beta / (alpha + beta)
    low = _odd_power(b, gamma)
    return (_odd_power(a * held + b, gamma) - low) / (1.0 - low) + (p - held)


def _odd_power(t, gamma):
    """``t |t|^(gamma - 1)``: exactly t for gamma 1, exactly 1 for t 1."""
    return t * jnp.power(jnp.maximum(jnp.abs(t), DARK), gamma - 1.0)
