"""Small deterministic inputs that tests share."""

import functools
import zlib

import jax
import jax.numpy as jnp
import numpy as np

import modisp_jax as mj
from modisp_jax.config import NAFNetConfig, PhotofinishConfig, PipelineConfig
from modisp_jax.tree import flatten, unflatten

TINY = PipelineConfig(NAFNetConfig(2, (1,), 1, (1,)), PhotofinishConfig(grid_input=128), NAFNetConfig(2, (1,), 1, (1,)))
"""A pipeline of small networks: photofinishing compiles no faster, but its grid network sees a ninth of the pixels."""

steps_jit = functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 1})
"""``jax.jit`` for large programs of training that run some steps. Beside what tests/conftest.py has XLA do, they take
twice as long to compile, and 40 % of the time for a step."""

_TINY_FLOATS = [0.0, -0.0, 1e-45, 1e-38, -1e-38, 1e-8]
_HUGE_FLOATS = [1e4, -1e4, 1e20, -1e20, 3.4028235e38, -3.4028235e38]
_NEAR_ONE = [0.5, 1.0, 1.0 - 2.0**-24, -1.0, 2.0]

EXTREMES = np.array([*_TINY_FLOATS, *_NEAR_ONE, *_HUGE_FLOATS], np.float32)
"""Floats at which careless formulas fail."""


def photo(height, width, seed=0):
    """A smooth colourful image [H, W, 3] in [0, 1] with an edge and a little texture."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width] / max(height, width)
    waves = np.stack([np.sin(3 * x + 2 * y), np.cos(4 * y), np.sin(5 * x * y + 1)], axis=-1)
    image = 0.35 + 0.3 * waves + 0.25 * (x > 0.5 * width / max(height, width))[..., None]
    return np.clip(image + 0.02 * rng.standard_normal(image.shape), 0, 1).astype(np.float32)


def raw(height, width, seed=0, scale=0.6):
    """A raw photo with daylight-like white balance and a plausible colour matrix."""
    ccm = np.array([[1.7, -0.5, -0.2], [-0.2, 1.5, -0.3], [0.0, -0.6, 1.6]], np.float32)
    illuminant = np.array([0.5, 1.0, 0.6], np.float32)
    image = scale * photo(height, width, seed) * illuminant
    return mj.Raw(jnp.asarray(image), jnp.asarray(illuminant), jnp.asarray(ccm))


def numbered_network(module):
    """Parameters of a network that takes images [H, W, 3], see :func:`numbered_params`."""
    key, image = np.zeros(2, np.uint32), jnp.zeros((16, 16, 3))
    return numbered_params(jax.eval_shape(module.init, key, image)["params"])


def numbered_params(params, scale=1.0):
    """The tree with reproducible numbers in place of its own: normal, of a size that keeps activations near 1.

    Does not depend on JAX's random generator, so golden values stay valid across its versions.
    """

    def fill(name, leaf):
        rng = np.random.default_rng(zlib.crc32(name.encode()))
        fan_in = np.prod(leaf.shape[:-1]) if leaf.ndim > 1 else 16
        values = rng.standard_normal(leaf.shape) * scale / np.sqrt(max(fan_in, 1))
        if name.endswith("/scale"):
            values = 1 + 0.1 * values
        if "base_lut" in name or name.endswith("table"):
            values = np.asarray(leaf) + 0.05 * values
        return jnp.asarray(np.float32(values))  # rounded by NumPy: JAX would compile a program for each shape

    return unflatten({name: fill(name, leaf) for name, leaf in flatten(params).items()})
