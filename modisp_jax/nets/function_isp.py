"""The network of the function ISP: an image to what steers its functions. SemiISP, equation 1; the network is ours.

The paper does not say its architecture. Here five convolutions give a map of features; a head for each function, in
their order, gives what steers it, and each step also tells the next ones what was chosen. For all of an image at once
the features' mean is used, for parts of it the map: the layers are the same, so that both agree where the map is
constant.

The heads' numbers t (any float) are mapped to a range by ``low + (high - low) sigmoid(t)``, so that every function
increases; those of the colour matrix so that it is strictly diagonally dominant, thus always invertible:

    diagonal d = e^{ln 4 tanh t} in [.25, 4]        elsewhere .45 d tanh t, d that of the row

The paper does not say its ranges; these are ours.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from modisp_jax.color import SRGB_TO_XYZ
from modisp_jax.config import FunctionISPConfig
from modisp_jax.nets.layers import INIT_KEY, PRECISION, Linear, pad_zero, zeros

WIDTHS = (16, 32, 64, 128, 128)
"""Channels of the convolutions; each halves the image's sides."""

LATENT = 128

STEERED = 9
"""Numbers that steer a function: a 3x3 matrix, or three numbers for each of three channels."""

FUNCTIONS = ("tone", "color", "gain", "gamma", "contrast")
"""The functions in their order; ``tone`` only for enhancement."""


RANGES = {
    "gain": ((0.0, 1.0), (0.1, 0.9), (0.1, 0.9)),
    "gamma": ((1.0, 3.0), (0.5, 1.5), (0.2, 0.95)),
    "contrast": ((0.0, 1.0), (0.1, 0.9), (0.1, 0.9)),
    "tone": ((1.0, 3.5), (0.0, 2.0), (0.0, 1.0)),
}
"""Lowest and highest (x, w, h), (g1, g2, k), (x, w, h) and (g3, g4, k2)."""

BASE = {
    "gain": (0.02, 0.5, 0.5),
    "gamma": (2.2, 1.0, 0.5),
    "contrast": (0.5, 0.5, 0.5),
    "tone": (1.02, 0.02, 0.5),
}
"""Where the functions start: but for the gamma 2.2 they change (almost) nothing."""

ENHANCING_GAMMA = 1.02
"""The g1 at which enhancement starts: its input is a picture. A point on a range's edge would have no gradient."""

OFF_DIAGONAL = 0.45
LOG_DIAGONAL = np.log(4.0)


def functions_of(config):
    """Names of the functions that a configuration has, in order."""
    return FUNCTIONS if config.enhance else FUNCTIONS[1:]


def in_range(name, steering, config):
    """A function's parameters [..., 9] from what steers it [..., 9], any floats."""
    if name == "color":
        matrix = _color_matrix(steering.reshape(*steering.shape[:-1], 3, 3))
        if config.xyz:
            matrix = jnp.matmul(matrix, np.linalg.inv(SRGB_TO_XYZ).astype(np.float32), precision="highest")
        return matrix.reshape(steering.shape)
    low, high = (np.repeat(np.array(bounds, np.float32), 3) for bounds in zip(*RANGES[name], strict=True))
    return low + (high - low) * jax.nn.sigmoid(steering)


def _color_matrix(steering):
    bent = jnp.tanh(steering)
    diagonal = jnp.exp(LOG_DIAGONAL * jnp.diagonal(bent, axis1=-2, axis2=-1))[..., None]
    return diagonal * jnp.where(np.eye(3, dtype=bool), 1.0, OFF_DIAGONAL * bent)


def base_steering(config):
    """What steers the functions at the start, by name: the inverse of :func:`in_range` at :data:`BASE`."""
    base = BASE | ({"gamma": (ENHANCING_GAMMA, *BASE["gamma"][1:])} if config.enhance else {})
    found = {"color": np.zeros(9, np.float32)}
    for name in functions_of(config):
        if name != "color":
            share = [(value - low) / (high - low) for value, (low, high) in zip(base[name], RANGES[name], strict=True)]
            found[name] = np.repeat(np.log(share) - np.log1p(-np.array(share)), 3).astype(np.float32)
    return found


def leaky(x):
    """Leaky ReLU of slope .2."""
    return jax.nn.leaky_relu(x, 0.2)


class HalvingConv(nn.Module):
    """3x3 convolution of stride 2, zeros beyond the border: [H, W, C] of even sides to [H/2, W/2, features]."""

    features: int

    @nn.compact
    def __call__(self, x):
        h, w, c = x.shape
        kernel = self.param("kernel", zeros, (3, 3, c, self.features))
        padded = pad_zero(x, 1)
        # One product of the nine taps side by side: XLA's CPU convolution has a slow gradient with strides.
        taps = [padded[i : i + h : 2, j : j + w : 2] for i in range(3) for j in range(3)]
        product = jnp.matmul(jnp.concatenate(taps, -1), kernel.reshape(9 * c, self.features), precision=PRECISION)
        return product + self.param("bias", zeros, (self.features,))


class FunctionNet(nn.Module):
    """Each function's parameters by name, of an image [n, n, 3]: [9], or [n/32, n/32, 9] if ``local``."""

    config: FunctionISPConfig

    @nn.compact
    def __call__(self, image, local=False):
        x = image
        for i, width in enumerate(WIDTHS):
            x = leaky(HalvingConv(width, name=f"conv{i}")(x))
        if not local:
            x = x.mean(axis=(0, 1))
        z = leaky(Linear(LATENT, name="latent")(x))
        found, names = {}, functions_of(self.config)
        for name in names:
            found[name] = in_range(name, Linear(STEERED, name=f"{name}_head")(z), self.config)
            if name != names[-1]:
                z = z + Linear(LATENT, name=f"{name}_update")(jnp.concatenate([z, found[name]], axis=-1))
        return found


def init(config):
    """A parameter tree of the right shapes."""
    return FunctionNet(config).init(INIT_KEY, jnp.zeros((config.resize, config.resize, 3)))["params"]


def config_of(params):
    """The ``FunctionISPConfig`` that parameters show by their names; the rest by default."""
    return FunctionISPConfig(enhance="tone_head" in params)


def starts_at_zero(config):
    """Layers whose kernels start at zero: at first the functions are the same for all images."""
    names = functions_of(config)
    return (*(f"{name}_head" for name in names), *(f"{name}_update" for name in names[:-1]))


def neutral(config):
    """Parameters that do not start at 0, by their path: biases of the heads."""
    return {f"{name}_head/bias": value for name, value in base_steering(config).items()}
