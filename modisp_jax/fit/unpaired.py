"""Ordinary photos beside the pairs that a style is fitted to: SemiISP, with photofinishing as what is trained.

From the pairs a function ISP is learned, small and exactly invertible. It takes photos that have no raw back to raws
and finishes them in the wanted style (``modisp_jax.dynamicisp.pseudo``): pairs that the fit then sees beside the real
ones, unless their loss shows that they are bad ones.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np

from modisp_jax.config import FunctionISPConfig, PipelineConfig
from modisp_jax.dynamicisp import PseudoConfig, empty_memory, pseudo_pair, remember_used
from modisp_jax.dynamicisp.isp import render_both
from modisp_jax.dynamicisp.parameters import base_parameters
from modisp_jax.fit.optim import OptimizerConfig, move, optimizer
from modisp_jax.fit.pairs import Augmentation, shrunk, vary
from modisp_jax.params import init_params
from modisp_jax.types import check_image

FUNCTIONS = "function_isp"
RULES = (("", 1.0),)
REMEMBERED_AT_ONCE = 50

PLAIN = Augmentation(exposure=0.0, noise=0.0)
"""Of the function ISP's own training: its memory shall hold what it chose for the pairs' true exposures."""


@dataclasses.dataclass(frozen=True)
class UnpairedConfig:
    """Static options of what ordinary photos add to :func:`modisp_jax.fit_style`."""

    photos: int = 4
    """Photos in a step, beside ``FitStyleConfig.batch`` pairs."""
    beta: float = 2.0
    """A photo's pair is left out of a step where its loss is more than this times the mean loss of the real pairs."""
    isp: FunctionISPConfig = FunctionISPConfig(resize=64)
    """Of the function ISP."""
    steps: int = 1000
    """For which it is trained first."""
    batch: int = 12
    """Pairs in each of them."""
    optim: OptimizerConfig = OptimizerConfig(
        learning_rate=3e-3, final_fraction=1e-3, warmup=20, clip_norm=1.0, weight_decay=0.01, ema=0.99
    )
    """Its optimiser."""
    remembered: int = 500
    """Sets of parameters that it has used from which those of a photo's raw are drawn."""
    start: int = 90
    """Pairs made of photos that the start in closed form is fitted to, beside the real ones."""

    def __post_init__(self):
        for name in ("photos", "steps", "batch", "remembered", "start"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: expected at least 1, got {getattr(self, name)}")
        if not self.beta > 0:
            raise ValueError(f"beta: expected a number over 0, got {self.beta}")


def reduce_photos(photos, size):
    """Photos, sRGB [H, W, 3] in [0, 1], at one size, lying: float32 [n, *size, 3] on the host.

    Raises ``ValueError``, naming the photo by its number, for one that is none or is not finite, and where there are
    none at all.
    """
    reduced = []
    for number, photo in enumerate(photos):
        check_image(photo, f"unpaired[{number}]")
        photo = jnp.asarray(photo, jnp.float32)
        small = np.asarray(shrunk(photo.swapaxes(0, 1) if photo.shape[0] > photo.shape[1] else photo, size))
        if not np.isfinite(small).all():
            raise ValueError(f"unpaired[{number}]: expected finite values, got NaN or infinity")
        reduced.append(small)
    if not reduced:
        raise ValueError("unpaired: expected at least one photo, or None")
    return np.stack(reduced)


def untaught(config):
    """What :func:`learn_functions` returns, of the same shapes, with nothing learned."""
    config_of_set = PipelineConfig(None, None, None, function_isp=config.isp)
    params = init_params(jax.random.key(0), config_of_set)[FUNCTIONS]
    return {"network": params, "memory": empty_memory(base_parameters(config.isp), config.remembered)}


def learn_functions(linear, target, config, augmentation, seed, progress=None):
    """Trains a function ISP on pairs, [n, h, w, 3] each, and fills its memory: ``{"network", "memory"}``.

    ``progress`` is called with ``{"functions", "steps", "loss"}`` at each step; what is true asks to stop, and None is
    returned.
    """
    start = untaught(config)
    params = {FUNCTIONS: start["network"]}
    transform = optimizer(config.optim, config.steps, params, RULES)
    state = {"params": params, "ema": params, "optimizer": jax.jit(transform.init)(params)}
    pairs = jnp.asarray(linear), jnp.asarray(target)
    key = jax.random.key(seed)
    for number in range(config.steps):
        state, loss = _step(state, pairs, jax.random.fold_in(key, number), number, config, augmentation)
        if progress is not None and progress({"functions": number + 1, "steps": config.steps, "loss": float(loss)}):
            return None
    if not np.isfinite(float(loss)):
        raise ValueError(f"the function ISP's loss is not finite ({float(loss)})")
    network, memory = state["ema"][FUNCTIONS], start["memory"]
    for part in range(-(-config.remembered // REMEMBERED_AT_ONCE)):
        part_key = jax.random.fold_in(key, config.steps + part)
        memory = _remember(network, memory, pairs, part_key, config, augmentation)
    return {"network": network, "memory": memory}


@functools.partial(jax.jit, static_argnames=("config", "augmentation"))
def _step(state, pairs, key, number, config, augmentation):
    """(state, loss) after a step of the function ISP on pairs drawn from all."""

    def one(params, linear, target):
        found = render_both(params[FUNCTIONS], linear, config=config.isp)
        return 0.5 * sum(jnp.mean(jnp.square(picture - target)) for picture in found)

    views = _views(key, pairs, config.batch, augmentation)
    loss, gradient = jax.value_and_grad(lambda p: jax.vmap(functools.partial(one, p))(*views).mean())(state["params"])
    transform = optimizer(config.optim, config.steps, state["params"], RULES)
    return move(transform, state, gradient, number, config.optim.ema), loss


@functools.partial(jax.jit, static_argnames=("config", "augmentation"))
def _remember(network, memory, pairs, key, config, augmentation):
    """The memory with the parameters that the network chooses for views of the pairs."""
    linear, _ = _views(key, pairs, REMEMBERED_AT_ONCE, augmentation)
    return remember_used(network, memory, linear, config=config.isp)


def _views(key, pairs, count, augmentation):
    """Random views of ``count`` pairs drawn at random."""
    place_key, view_key = jax.random.split(key)
    places = jax.random.randint(place_key, (count,), 0, len(pairs[0]))
    vary_one = lambda key, x, y: vary(key, x, y, augmentation)  # noqa: E731
    return jax.vmap(vary_one)(jax.random.split(view_key, count), *(x[places] for x in pairs))


def pairs_for_start(teaching, photos, seed, config=UnpairedConfig()):
    """``config.start`` pairs made of photos [p, h, w, 3], each as often as any other: (linear, sRGB), on the host.

    None is left out: the start makes the mean of their errors' logarithms smaller, to which a bad pair is one of many.
    """
    places = np.resize(np.random.default_rng([seed, 3]).permutation(len(photos)), config.start)
    return jax.device_get(pairs_of_photos(teaching, photos[places], jax.random.key(seed), config))


@functools.partial(jax.jit, static_argnames="config")
def pairs_of_photos(teaching, photos, key, config=UnpairedConfig()):
    """Pairs made of photos [p, h, w, 3]: (linear, sRGB) of that shape, without gradients."""
    make = lambda photo, key: pseudo_pair(  # noqa: E731
        teaching["network"], teaching["memory"], photo, key, PseudoConfig(isp=config.isp)
    )
    return jax.vmap(make)(photos, jax.random.split(key, len(photos)))
