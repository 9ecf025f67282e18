"""What SemiISP trains on: pseudo-pairs that are filtered by their loss, and an L1 over sizes. Equations 10 to 14."""

import jax
import jax.numpy as jnp

from modisp_jax.losses import absolute

PYRAMID = (16, 32, 64)
"""Kernels of the means that :func:`pyramid_l1` compares."""


def filtered_mean(real, pseudo, beta):
    """The mean loss over real samples and those pseudo samples that are not worse than ``beta`` times the real mean.

    ``L_r`` the mean of ``real`` (10); ``delta_n = [loss_n <= beta L_r]`` (12); ``L = (N_r L_r + sum delta_n loss_n) /
    (N_r + S)`` with ``S = sum delta_n`` (11, 13). No gradient passes through delta.

    Args:
      real: losses of real samples, [N_r], N_r >= 1.
      pseudo: of pseudo samples, [N_p]; none is right.
      beta: 0 drops all, infinity keeps all.

    Returns:
      (loss [], share of the pseudo samples that were kept []).
    """
    limit = jax.lax.stop_gradient(filter_limit(real.mean(), beta))
    kept = jax.lax.stop_gradient(pseudo <= limit).astype(real.dtype)
    total = real.sum() + jnp.where(kept > 0, pseudo, 0.0).sum()
    return total / (len(real) + kept.sum()), kept.mean() if len(pseudo) else jnp.zeros(())


def filter_limit(real_mean, beta):
    """The largest loss of a pseudo sample that :func:`filtered_mean` keeps: ``beta L_r``, equation 12."""
    return beta * jnp.maximum(real_mean, 1e-30)  # infinity times 0 is no number


def pyramid_l1(found, target):
    """``L1(X, Y) + sum_{k = 16, 32, 64} L1(A_k X, A_k Y)``, A_k the means of k x k pixels. Equation 14.

    Noise averages out in the coarse terms, colour and exposure do not. The means do not overlap (the paper does not
    say); pixels beyond the last whole one are left out, and kernels larger than the image are of its smaller side.
    """
    off = found - target
    h, w, c = off.shape
    total = absolute(off).mean()
    for kernel in (min(k, h, w) for k in PYRAMID):
        whole = off[: h // kernel * kernel, : w // kernel * kernel]
        means = whole.reshape(h // kernel, kernel, w // kernel, kernel, c).mean(axis=(1, 3))
        total = total + absolute(means).mean()
    return total
