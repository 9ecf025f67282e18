"""Pairs out of ordinary photos: one photo to many raws, with the wanted look. SemiISP, section 3.3."""

import dataclasses

import jax
import jax.numpy as jnp

from modisp_jax.config import FUNCTION_ISP, FunctionISPConfig
from modisp_jax.dynamicisp.isp import invert_functions, predict_functions, render_functions
from modisp_jax.dynamicisp.memory import draw_parameters, remember
from modisp_jax.noise import add_noise


@dataclasses.dataclass(frozen=True)
class PseudoConfig:
    """How pseudo-pairs are made."""

    isp: FunctionISPConfig = FUNCTION_ISP
    """Of the function ISP."""
    quality_update: bool = True
    """Whether a photo is first brought to the wanted look; without, it is the target as it is."""
    local: bool = True
    """Whether that is done with parameters for each part of the photo."""
    by_function: bool = False
    """Whether each function's parameters are drawn by themselves for the raw: from a thousand pairs up."""
    noise: tuple[float, float] = (0.0, 0.0)
    """Largest variance of noise per unit of signal and at black, both drawn for each raw. Paper, where the target also
    removes noise: (.01, .0002)."""


def remember_used(params, memory, images, *, config=FUNCTION_ISP):
    """The memory with what the network chooses for images [n, H, W, 3]."""
    return remember(memory, jax.vmap(lambda image: predict_functions(params, image, config=config))(images))


def photo_to_raws(memory, photo, key, *, config=FUNCTION_ISP, by_function=False):
    """One of the many raws that a photo may come from: ``f^-1(I_g; P_i)``, P_i drawn from the memory.

    Args:
      memory: :class:`Memory` of the sets that the function ISP used in training.
      photo: sRGB [H, W, 3] in [0, 1].
      key: a JAX random key.
      config: static :class:`modisp_jax.config.FunctionISPConfig`.
      by_function: static, as of :func:`modisp_jax.dynamicisp.draw_parameters`.

    Returns:
      (raw [H, W, 3] in [0, 1], the :class:`FunctionParameters` that render it as the photo).
    """
    drawn = draw_parameters(key, memory, by_function=by_function)
    return invert_functions(drawn, photo, config=config), drawn


def pseudo_pair(params, memory, photo, key, config=PseudoConfig()):
    """A training pair from an ordinary photo, without gradients: (raw, sRGB), [H, W, 3] in [0, 1] each.

    ``raw' = f^-1(I_g; P_i)``; ``I_pS = f(raw'; DNN(raw'))``, the photo as the wanted look has it (quality update);
    ``I_pR = f^-1(I_pS; P_j)``, plus noise if any. P_i and P_j are drawn from the memory, see :func:`photo_to_raws`.

    Args:
      params: of the function ISP's network, trained on the real pairs.
      memory, photo, key: as of :func:`photo_to_raws`.
      config: static :class:`PseudoConfig`.
    """
    first, second, noise = jax.random.split(key, 3)
    if config.quality_update:
        raw, _ = photo_to_raws(memory, photo, first, config=config.isp)
        photo = render_functions(params, raw, config=config.isp, local=config.local)
    raw, _ = photo_to_raws(memory, photo, second, config=config.isp, by_function=config.by_function)
    return jax.lax.stop_gradient((with_noise(noise, raw, config.noise), photo))


def with_noise(key, raw, largest):
    """A raw [H, W, 3] with noise of variance ``s^2 raw + r^2``: s^2 and r^2 uniform between 0 and ``largest``.

    Args:
      key: a JAX random key.
      raw: linear, in [0, 1].
      largest: static (s^2, r^2); without noise where both are 0.
    """
    if not any(largest):
        return raw
    level_key, noise_key = jax.random.split(key)
    shot, read = jax.random.uniform(level_key, (2,)) * jnp.array(largest)
    return add_noise(noise_key, raw, shot, read)
