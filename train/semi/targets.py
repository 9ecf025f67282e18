"""The ISPs that semi-supervised training can train: each a way to start, to run, and its own loss."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from modisp_jax.config import NAFNetConfig, PhotofinishConfig, PipelineConfig, RenderConfig
from modisp_jax.dynamicisp import render_functions
from modisp_jax.dynamicisp.isp import render_both
from modisp_jax.dynamicisp.losses import pyramid_l1
from modisp_jax.fit.jobs import JobWeights, job_losses
from modisp_jax.fit.samples import at_once, each_loss
from modisp_jax.look import finish_by_networks
from modisp_jax.losses import LossWeights, perceptual, photofinish_losses
from modisp_jax.nets import lut3d
from modisp_jax.numerics import power
from modisp_jax.params import init_params
from modisp_jax.stages import restore
from modisp_jax.types import Edits

NAFNET = NAFNetConfig(8, (1, 1, 1), 1, (1, 1, 1))
"""NAFNet-small."""

GAMMA = 2.2
"""At which the NAFNet sees its linear input and starts."""

PICTURE = LossWeights(perceptual=0.0, luma=0.0, tone=1.0)
"""Of photofinishing's own losses, as styles are trained with."""


class Target(NamedTuple):
    """An ISP to train."""

    entry: str
    """Its name in a parameter set."""
    init: Callable
    """(key, experiment) -> its parameters."""
    run: Callable
    """(params, input [H, W, 3], experiment) -> sRGB [H, W, 3]."""
    loss: Callable
    """(params, input, target, experiment, vgg) -> scalar: what the filter compares and training makes smaller."""
    in_turn: bool = False
    """Whether its networks are so large that a batch is faster sample by sample (``modisp_jax.fit.samples``)."""


def picture_loss(found, target, experiment, vgg=None):
    """The loss of two pictures [H, W, 3] that an experiment asks for: ``mse``, or ``pyramid`` (equation 14).

    ``perceptual`` times VGG-19's distance is added where its weights are there (equation 5).
    """
    total = pyramid_l1(found, target) if experiment.loss == "pyramid" else jnp.mean(jnp.square(found - target))
    return total if vgg is None else total + experiment.perceptual * perceptual(found, target, vgg)


def _plain(run):
    return lambda params, image, target, experiment, vgg: picture_loss(
        run(params, image, experiment), target, experiment, vgg
    )


def _untrained(key, entry, config):
    nothing = {"denoise": None, "photofinish": None, "enhance": None}
    return init_params(key, PipelineConfig(**nothing | {entry: config}))[entry]


def _functions_loss(params, image, target, experiment, vgg):
    """The mean of the losses with local and with global control: pseudo-data needs both."""
    found = render_both(params, image, config=experiment.isp)
    return 0.5 * sum(picture_loss(picture, target, experiment, vgg) for picture in found)


def _finish(params, image, experiment):
    del experiment
    return finish_by_networks(params, image, Edits(), RenderConfig())[1].srgb


def _finish_loss(params, image, target, experiment, vgg):
    """Photofinishing's own losses on the picture and on the stages' jobs."""
    del experiment, vgg
    look, finished = finish_by_networks(params, image, Edits(), RenderConfig())
    terms = photofinish_losses(look, finished, target, weights=PICTURE)
    return sum((terms | job_losses(look, finished, image, target, weights=JobWeights())).values())


def _restore(params, image, experiment):
    del experiment
    return restore.enhance(params, power(image, 1 / GAMMA), NAFNET)


def _lut(params, image, experiment):
    del experiment
    return lut3d.apply(params, image)


TARGETS = {
    "function_isp": Target(
        "function_isp",
        lambda key, experiment: _untrained(key, "function_isp", experiment.isp),
        lambda params, image, experiment: render_functions(params, image, config=experiment.isp),
        _functions_loss,
    ),
    "photofinish": Target(
        "photofinish",
        lambda key, experiment: _untrained(key, "photofinish", PhotofinishConfig(grid_input=128)),
        _finish,
        _finish_loss,
        in_turn=True,
    ),
    "lut3d": Target("lut3d", lambda key, experiment: _untrained(key, "lut3d", True), _lut, _plain(_lut)),
    "nafnet": Target("enhance", lambda key, experiment: _untrained(key, "enhance", NAFNET), _restore, _plain(_restore)),
}
"""By name: the function ISP itself, photofinishing, a separable 3D LUT, a small NAFNet."""


def run_batch(target, params, images, experiment):
    """A target on images [n, H, W, 3], one after the other."""
    return jax.lax.map(lambda image: TARGETS[target].run(params, image, experiment), images)


def losses(target, params, images, wanted, experiment, vgg=None, filtered=None):
    """A target's losses [n] on pairs, [n, H, W, 3] each; ``filtered`` as of :func:`each_loss`."""
    one = lambda params, x, y: (target.loss(params, x, y, experiment, vgg), None)  # noqa: E731
    each = functools.partial(each_loss, filtered=filtered) if target.in_turn else at_once
    return each(one, params, images, wanted)[0]


def losses_of_both(target, params, real, pseudo, experiment, vgg=None):
    """A target's losses on real pairs and on pseudo-pairs, (images, wanted) each, for the experiment's filter."""
    if not target.in_turn:
        return tuple(losses(target, params, *pairs, experiment, vgg) for pairs in (real, pseudo))
    count = len(real[0])
    pairs = (jnp.concatenate(both) for both in zip(real, pseudo, strict=True))
    found = losses(target, params, *pairs, experiment, vgg, filtered=(count, experiment.beta))
    return found[:count], found[count:]
