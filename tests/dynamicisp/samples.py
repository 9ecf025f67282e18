"""Configurations, parameters and floats that the tests of the function ISP share."""

import dataclasses
import functools
import itertools

import jax
import numpy as np

from modisp_jax.config import FunctionISPConfig, PipelineConfig
from modisp_jax.dynamicisp import functions as f
from modisp_jax.dynamicisp.parameters import from_flat
from modisp_jax.nets.function_isp import RANGES, functions_of, in_range
from modisp_jax.params import init_params
from tests.samples import numbered_params

SMALL = FunctionISPConfig(resize=32)
CONFIGS = {
    "window": SMALL,
    "rival": FunctionISPConfig(resize=32, window="rival", xyz=True),
    "enhance": FunctionISPConfig(resize=32, enhance=True),
}

FUNCTIONS = {
    "gain": (f.window, f.inverse_window),
    "rival": tuple(functools.partial(g, reading="rival") for g in (f.window, f.inverse_window)),
    "gamma": (f.gamma_curve, f.inverse_gamma_curve),
    "tone": (f.tone_lift, f.inverse_tone_lift),
}
"""The functions of a channel, there and back."""

BOUNDS = {name: RANGES["gain" if name == "rival" else name] for name in FUNCTIONS}
"""Their parameters' ranges."""

_FLOATS = [0, 1e-45, 1e-40, 1e-38, 1e-30, 1e-20, 0.99e-8, 1e-8, 1.01e-8, 1e-4, 0.02, 0.25, 0.5, 1 - 2**-24, 1]
_FLOATS += [1 + 2**-23, 1.5, 1e4, 1e30]
FLOATS = np.array([*_FLOATS, *(-x for x in _FLOATS)], np.float32)
"""Floats at which careless formulas fail, -0 among them."""


def compiled(function, **options):
    """``jax.jit`` whose results are NumPy's: what a test does with them is no program to compile."""
    run = jax.jit(function, **options)
    return lambda *arguments, **named: jax.device_get(run(*arguments, **named))


within = compiled(in_range, static_argnums=(0, 2))


def corners(name):
    """Parameters of a function at all ends of their ranges and in the middle: [9, 3]."""
    return np.array([*itertools.product(*BOUNDS[name]), np.mean(BOUNDS[name], axis=1)])


def levels_and_parameters(name, count, seed=0):
    """Uniform draws of levels in [0, 1] and a function's three parameters, each [count]."""
    rng = np.random.default_rng(seed)
    return rng.random(count), [rng.uniform(*bounds, count) for bounds in BOUNDS[name]]


def drawn(seed, config=SMALL, shape=(), dtype=np.float32):
    """Parameters from all of the ranges, [*shape, 3, 3]."""
    rng, found = np.random.default_rng(seed), {}
    for name in functions_of(config):
        if name == "color":
            found[name] = within(name, rng.normal(size=(*shape, 9)).astype(dtype), config)
        else:
            found[name] = np.concatenate([rng.uniform(*bounds, (*shape, 3)) for bounds in RANGES[name]], axis=-1)
    return from_flat({name: p.astype(dtype) for name, p in found.items()})


def gentle(seed, shape=()):
    """Parameters that clip nothing of an image in [.2, .6], there and back: little colour, all else as it comes."""
    found = drawn(seed, shape=shape)
    rows = np.random.default_rng(seed).dirichlet(np.ones(3), (*shape, 3)) * 0.2
    color = 0.8 * np.eye(3) + rows  # means of channels
    return dataclasses.replace(found, color=color.astype(np.float32))


@functools.cache
def network(config=SMALL, *, numbered=True):
    """Parameters of the network: untrained, or with numbers in all of them."""
    params = init_params(jax.random.key(0), PipelineConfig(None, None, None, function_isp=config))["function_isp"]
    return numbered_params(params) if numbered else params
