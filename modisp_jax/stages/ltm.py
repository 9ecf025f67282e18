"""Local tone mapping: a tone curve, a gain and a blend for each pixel (paper sections C.5 and B.1)."""

import jax
import jax.numpy as jnp

from modisp_jax.config import GRID_INPUTS
from modisp_jax.nets.layers import INIT_KEY, pool_to, resize_to
from modisp_jax.nets.photofinish import GRID_DEPTH, SOFTPLUS_ONE, GridNet, GuideNet, guide
from modisp_jax.ops.bilateral_grid import slice_grid
from modisp_jax.ops.bilateral_solver import bilateral_solve
from modisp_jax.ops.tone_curve import tone_curve
from modisp_jax.resample import box_mean, resize_bilinear

GRID_SAMPLES = 384
MIN_SCALE_SIDE = 12


def grid_name(size):
    """The grid network's key among the parameters: it states the input that the network was trained with."""
    return "grid" if size == GRID_SAMPLES else f"grid_{size}"


NEUTRAL = {f"{grid_name(size)}/head/bias": SOFTPLUS_ONE for size in GRID_INPUTS}
"""Parameters that do not start at 0 (scales: at 1), by their path."""


def init(image, config):
    """A parameter tree of the right shapes, for ``params.init_params`` to fill; ``image`` is any [h, w, 3]."""
    both = jnp.zeros((config.grid_input, config.grid_input, 6), image.dtype)
    return {
        "guide": GuideNet().init(INIT_KEY, image)["params"],
        grid_name(config.grid_input): GridNet().init(INIT_KEY, both)["params"],
    }


def predict(params, images, config, halo_fix=None):
    """The maps (w, a, b, c, g) [h, w, 5], from the gained image and its global tone mapping.

    With ``halo_fix`` the maps are averaged over its scales and refined by the bilateral solver.
    """
    gained, toned = images["gained"], images["global_tone"]
    if halo_fix is None:
        return _maps(params, gained, toned, config.grid_input)
    return _multiscale_maps(params, gained, toned, config.grid_input, halo_fix)


def apply(maps, image, images):
    """``(1 - W) x + W f(gained g; a, b, c)``, ``W = sigmoid(w)``, with x the globally tone-mapped image."""
    w, a, b, c, g = (maps[..., i : i + 1] for i in range(5))
    blend = jax.nn.sigmoid(w)
    return (1.0 - blend) * image + blend * tone_curve(images["gained"] * g, a, b, c)


def _maps(params, gained, toned, grid_input, smooth=lambda x: x):
    """Maps [h, w, 5] at the images' own size; ``smooth`` filters the guide and the grid net's input."""
    depth = smooth(guide(params["guide"], gained)[..., None])[..., 0]
    both = smooth(resize_to(jnp.concatenate([gained, toned], axis=-1), GRID_SAMPLES))
    grid = GridNet().apply({"params": params[grid_name(grid_input)]}, pool_to(both, grid_input))
    # The guide runs over [-1, 1], the grid's depth over its nodes.
    return slice_grid(grid, 0.5 * (depth + 1.0) * (GRID_DEPTH - 1))


def _multiscale_maps(params, gained, toned, grid_input, config):
    size = gained.shape[:2]
    scales = [(size[0] // s, size[1] // s) for s in config.scales]
    scales = scales[:1] + [scale for scale in scales[1:] if min(scale) >= MIN_SCALE_SIDE]
    total = jnp.zeros((*size, 5), gained.dtype)
    for scale in scales:
        small = [resize_bilinear(x, scale) for x in (gained, toned)]
        maps = _maps(params, *small, grid_input, smooth=lambda x: box_mean(x, 5))
        total = total + resize_bilinear(maps, size)
    refined, _ = bilateral_solve(
        total / len(scales),
        gained,
        window=config.window,
        sigma_space=config.sigma_space,
        sigma_range=config.sigma_range,
        fidelity=config.fidelity,
        relaxation=config.relaxation,
        iterations=config.iterations,
    )
    return refined
