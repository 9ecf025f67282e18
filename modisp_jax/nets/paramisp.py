"""The networks of ParamISP: exposure data to an embedding, and an image to local and global corrections.

Paper: W. Kim et al., "ParamISP: Learned forward and inverse ISPs using camera parameters", CVPR 2024, section 3.

Notation: z embedding [E], W width, E embedding's length; features are what ``paramisp.features`` makes of an image.
"""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from modisp_jax.config import ParamISPConfig
from modisp_jax.nets.layers import INIT_KEY, PRECISION, Conv, Linear, zeros

PARAMETERS = ("focal_length", "f_number", "exposure_time", "iso")
"""The exposure data, in the order of the rows that ParamNet takes."""

EQUALIZED = 15
"""Functions of each of them."""

FEATURES = 96
"""Channels that both networks see: image 3, gradients 6, soft histograms 84, over-exposure 3."""

COLOR_METADATA, CAMERAS = 24, 16

BASIS = 10
LINEAR = (3, 6, 8)
"""Terms of a quadratic of three colours, and which of them are r, g and b."""

COEFFICIENTS = 3 * BASIS + 9
"""Of a stage of GlobalNet: the quadratic's and the curve's."""

SMALLEST = 88
"""Least side of an image: GlobalNet's three convolutions and poolings leave a pixel of 85; sides are multiples of 4."""

elu = jax.nn.elu


class ParamNet(nn.Module):
    """The embedding z [E] of equalised exposure data [4, n]; rows whose ``present`` [4] is 0 count as unknown."""

    config: ...

    @nn.compact
    def __call__(self, equalized, present, color=None):
        config = self.config
        rows = equalized * present[:, None]  # what is dropped still has its layer's bias
        z = sum(Linear(config.embedding, name=name)(row) for name, row in zip(PARAMETERS, rows, strict=True))
        if config.color_metadata:
            z = z + Linear(config.embedding, name="color")(color)
        if config.camera_id:
            z = z + 0.0 * Linear(config.embedding, name="camera_id")(jnp.zeros(CAMERAS))
        for i in range(3):
            z = Linear(config.embedding, name=f"linear{i}")(elu(z))
        return z


class ChannelAttention(nn.Module):
    """A factor for each channel [C] from the means and the maxima [C] of an image's channels."""

    @nn.compact
    def __call__(self, mean, largest):
        squeeze, excite = Linear(len(mean) // 2, name="squeeze"), Linear(len(mean), name="excite")
        return jax.nn.sigmoid(excite(elu(squeeze(mean))) + excite(elu(squeeze(largest))))


class Block(nn.Module):
    """Two convolutions by way of half the channels, attention over channels, then over places, added to the input."""

    @nn.compact
    def __call__(self, x):
        width = x.shape[-1]
        y = Conv(width, border="edge", name="conv2")(elu(Conv(width // 2, border="edge", name="conv1")(x)))
        y = y * ChannelAttention(name="channels")(y.mean(axis=(0, 1)), y.max(axis=(0, 1)))
        places = jnp.stack([y.mean(axis=-1), y.max(axis=-1)], axis=-1)
        return x + y * jax.nn.sigmoid(Conv(1, 7, border="edge", name="places")(places))


class Halve(nn.Module):
    """2x2 convolution of stride 2: [H, W, C] to [H/2, W/2, C]."""

    @nn.compact
    def __call__(self, x):
        h, w, c = x.shape
        x = x.reshape(h // 2, 2, w // 2, 2, c).swapaxes(1, 2).reshape(h // 2, w // 2, 4 * c)
        kernel = self.param("kernel", zeros, (2, 2, c, c))
        return jnp.matmul(x, kernel.reshape(4 * c, c), precision=PRECISION) + self.param("bias", zeros, (c,))


class Double(nn.Module):
    """Transposed 2x2 convolution of stride 2: [H, W, C] to [2H, 2W, C]."""

    @nn.compact
    def __call__(self, x):
        h, w, c = x.shape
        kernel = self.param("kernel", zeros, (2, 2, c, c))
        y = jnp.matmul(x, kernel.transpose(2, 0, 1, 3).reshape(c, 4 * c), precision=PRECISION)
        y = y.reshape(h, w, 2, 2, c).swapaxes(1, 2).reshape(2 * h, 2 * w, c)
        return y + self.param("bias", zeros, (c,))


class LocalNet(nn.Module):
    """The correction [H, W, 3] that is added to an image, from its features [H, W, 96]; sides are multiples of 4."""

    config: ...

    @nn.compact
    def __call__(self, features, z=None):
        config = self.config

        def blocks(x, place):
            for i in range(config.blocks):
                x = Block(name=f"{place}_block{i}")(x)
            return x

        x = Conv(config.width, border="edge", name="head")(features)
        if config.steered:
            x = x + Linear(config.width, name="steer")(z)
        full = blocks(x, "encoder0")
        half = blocks(Halve(name="down0")(full), "encoder1")
        x = blocks(Halve(name="down1")(half), "middle")
        x = blocks(Double(name="up1")(x) + half, "decoder1")
        x = blocks(Double(name="up0")(x) + full, "decoder0")
        return Conv(3, border="edge", name="tail")(x)


class Shrink(nn.Module):
    """3x3 convolution of stride 2 without border, ELU, and maxima of 2x2: about a quarter of each side is left."""

    features: int

    @nn.compact
    def __call__(self, x):
        kernel = self.param("kernel", zeros, (3, 3, x.shape[-1], self.features))
        bias = self.param("bias", zeros, (self.features,))
        h, w = ((n - 1) // 2 for n in x.shape[:2])
        # A product for each tap: XLA's CPU convolution has a slow gradient with strides.
        taps = [(i, j, x[i : i + 2 * h : 2, j : j + 2 * w : 2][:h, :w]) for i in range(3) for j in range(3)]
        y = elu(sum(jnp.matmul(part, kernel[i, j], precision=PRECISION) for i, j, part in taps) + bias)
        h, w = h // 2, w // 2
        return y[: 2 * h, : 2 * w].reshape(h, 2, w, 2, -1).max(axis=(1, 3))


class Coefficients(nn.Module):
    """The stages' coefficients [S, 39] of an image's mean features g [W]."""

    config: ...

    @nn.compact
    def __call__(self, g, z=None):
        config = self.config
        if config.steered:
            step = Linear(config.width, name="steer")(z)
            g = g + (elu(step) if config.bounded else step)
        stage_of = Linear(config.width, name="stage")
        shared = [Linear(config.width, name=f"linear{i}") for i in range(2)]
        found = []
        for s in range(config.stages):
            q = g + elu(stage_of(np.eye(config.stages, dtype=np.float32)[s]))
            for layer in shared:
                q = elu(layer(q))
            q = Linear(COEFFICIENTS, name=f"head{s}")(q)
            found.append(elu(q) if config.bounded else q)
        return jnp.stack(found) if found else jnp.zeros((0, COEFFICIENTS))


class GlobalNet(nn.Module):
    """The stages' coefficients [S, 39] from an image's features [H, W, 96].

    ``first`` is the :class:`Shrink` to begin with: 1 where ``x`` is what the one before makes of the features.
    """

    config: ...

    @nn.compact
    def __call__(self, x, z=None, first=0):
        for i in range(first, 3):
            x = Shrink(self.config.width, name=f"shrink{i}")(x)
        return Coefficients(self.config, name="coefficients")(x.mean(axis=(0, 1)), z)


def init(config):
    """A parameter tree of the right shapes: ``{"local", "global"[, "param"]}``."""
    features, z = jnp.zeros((SMALLEST, SMALLEST, FEATURES)), jnp.zeros(config.embedding)
    params = {
        "local": LocalNet(config).init(INIT_KEY, features, z)["params"],
        "global": GlobalNet(config).init(INIT_KEY, features, z)["params"],
    }
    if config.steered:
        known = EQUALIZED if config.equalized else 1
        inputs = jnp.zeros((len(PARAMETERS), known)), jnp.zeros(len(PARAMETERS)), jnp.zeros(COLOR_METADATA)
        params["param"] = ParamNet(config).init(INIT_KEY, *inputs)["params"]
    return params


def config_of(params):
    """The ``ParamISPConfig`` that a network's parameters show by their names and shapes; the rest by default."""
    local, coefficients = params["local"], params["global"].get("coefficients", {})
    param = params.get("param", {})
    shape = {"embedding": param["linear0"]["bias"].size, "equalized": len(param["iso"]["kernel"]) > 1} if param else {}
    return ParamISPConfig(
        width=local["head"]["bias"].size,
        blocks=sum(name.startswith("middle_block") for name in local),
        stages=sum(name.startswith("head") for name in coefficients),
        steered=bool(param),
        color_metadata="color" in param,
        camera_id="camera_id" in param,
        **shape,
    )


def differences(found, expected):
    """What a configuration of loaded networks has otherwise than an expected one: "width 8, not 16", or "".

    Of networks without a ParamNet it cannot be seen what that would be like.
    """
    unseen = () if found.steered else ("embedding", "equalized", "color_metadata", "camera_id")
    names = [field.name for field in dataclasses.fields(found) if field.name not in unseen]
    pairs = [(name, getattr(found, name), getattr(expected, name)) for name in names]
    return ", ".join(f"{name} {got}, not {wanted}" for name, got, wanted in pairs if got != wanted)


def neutral_coefficients(config, exponent=1.0):
    """Coefficients [S, 39] that change nothing, but for the first stage's curve, ``x^exponent``."""
    found = np.zeros((config.stages, COEFFICIENTS), np.float32)
    if not config.residual:
        found[:, : 3 * BASIS].reshape(-1, BASIS, 3)[:, LINEAR, range(3)] = 1.0
    found[:1, 3 * BASIS : 3 * BASIS + 3] = np.log(exponent)
    return found


GAMMA = 2.2
"""Of the curve that untrained networks have: they render plainly, and take plain renderings back."""

EXPONENTS = {"inverse_isp": GAMMA, "forward_isp": 1 / GAMMA}
"""By the networks' names in a parameter set."""


def neutral(config, exponent):
    """Parameters that do not start at 0, by their path: biases of the layers that give the coefficients."""
    biases = neutral_coefficients(config, exponent)
    if config.bounded:
        biases = np.where(biases < 0, np.log1p(np.minimum(biases, 0)), biases)  # the inverse of ELU
    return {f"global/coefficients/head{s}/bias": bias for s, bias in enumerate(biases)}


def starts_at_zero(config):
    """Last layers, whose kernels start at zero: no local correction, and one global one for all pictures."""
    return ("local/tail", *(f"global/coefficients/head{s}" for s in range(config.stages)))
