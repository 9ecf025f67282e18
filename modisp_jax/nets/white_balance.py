"""The networks that estimate the light from histograms of colour (paper sections 2.2 and I.3).

Batch norm has the form that it has after training: its running mean and variance are parameters of the tree that no
gradient reaches (``MEASURED``), as are the ranges by which the camera-specific network scales its inputs.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from modisp_jax.nets.layers import INIT_KEY, BatchNorm, Conv, Linear, leaky_relu
from modisp_jax.numerics import clip
from modisp_jax.ops.awb_histograms import BINS
from modisp_jax.resample import resize_bilinear

CAPTURE = ("log_iso", *(f"noise_{what}_{c}" for what in ("mean", "std") for c in "rgb"), "log_exposure_time")
"""What the camera-specific network knows of the capture besides the picture, in order."""

FEATURES = 10
"""Of XYZ that the preference network sees: X, Y, Z, XY, XZ, YZ, X^2, Y^2, Z^2, XYZ."""

LOG_STEP = 5.7 / BINS
"""What one bin of the probability map stands for in log chroma; its histogram's bins are 5.7 / 47 apart."""


def _instance_norm(x):
    """Normalises each channel of [H, W, C] over the image (eps 1e-5)."""
    centered = x - x.mean(axis=(0, 1))
    return centered * jax.lax.rsqrt(jnp.square(centered).mean(axis=(0, 1)) + 1e-5)


def _conv_repeated(features, name, x):
    """3x3 convolution of an image whose border is repeated."""
    padded = jnp.pad(x, ((1, 1), (1, 1), (0, 0)), mode="edge")
    return Conv(features, border="zero", name=name)(padded)[1:-1, 1:-1]


class _Stage(nn.Module):
    """Two convolutions, both activated; the second normalised before."""

    middle: int
    features: int
    norm: str = "none"

    @nn.compact
    def __call__(self, x):
        x = _conv_repeated(self.features, "conv2", leaky_relu(_conv_repeated(self.middle, "conv1", x)))
        if self.norm == "batch":
            x = BatchNorm(name="norm")(x)
        elif self.norm == "instance":
            x = _instance_norm(x)
        return leaky_relu(x)


class _Decoder(nn.Module):
    """Upwards again, with what the encoder saw at each size (``skips``, coarsest last), to [48, 48, features]."""

    features: int

    @nn.compact
    def __call__(self, x, skips):
        for i, (middle, out) in enumerate(((32, 32), (32, 16), (16, 8), (8, 4))):
            skip = skips[-1 - i]
            x = jnp.concatenate([skip, resize_bilinear(x, skip.shape[:2])], axis=-1)
            x = _Stage(middle, out, "instance", name=f"stage{i}")(x)
        return _conv_repeated(self.features, "head", x)


class CrossCameraNet(nn.Module):
    """The light from histograms of any camera's photo, 171,511 parameters: C5 with one encoder and one input.

    A U-Net makes two filters and a bias from the histograms [48, 48, 4] (colours, edges' colours, two coordinates).
    ``p = softmax(sum_k hist_k * filter_k + bias)``, where ``*`` is circular convolution, is the probability of each
    light; the result is the unit vector along (exp -u, 1, exp -v) at its mean. Section 2.2; Afifi et al., ICCV 2021.
    """

    @nn.compact
    def __call__(self, histograms):
        x, skips = histograms, []
        for i, (features, norm) in enumerate(((8, "batch"), (16, "none"), (32, "batch"), (32, "none"))):
            x = _Stage(features, features, norm, name=f"encoder{i}")(x)
            skips.append(x)
            x = nn.max_pool(x, (2, 2), (2, 2))
        x = _Stage(32, 32, name="bottleneck")(x)
        bias = _Decoder(1, name="bias")(x, skips)[..., 0]
        filters = _Decoder(2, name="filter")(x, skips)
        score = clip(convolve_circular(histograms[..., :2], filters) + bias, -100.0, 100.0)
        return light_of_probabilities(jax.nn.softmax(score, axis=(0, 1)))


def convolve_circular(x, filters):
    """Sum over channels of the circular convolutions of [n, n, C] with as many filters, whose origin is at [0, 0]."""
    spectrum = jnp.fft.rfft2(x, axes=(0, 1)) * jnp.fft.rfft2(filters, axes=(0, 1))
    return jnp.fft.irfft2(spectrum.sum(axis=-1), s=x.shape[:2])


def light_of_probabilities(p):
    """The light [3], unit length, at the mean of a probability map [48, 48]: v descending, u ascending."""
    offset = jnp.arange(BINS) - 0.5 * (BINS - 1)
    u, v = jnp.sum(p.sum(axis=0) * offset) * LOG_STEP, -jnp.sum(p.sum(axis=1) * offset) * LOG_STEP
    return unit(jnp.stack([jnp.exp(-u), jnp.ones_like(u), jnp.exp(-v)]))


def unit(x):
    """A vector [3] at unit length; zero stays zero."""
    return x * jax.lax.rsqrt(jnp.maximum(jnp.sum(jnp.square(x)), 1e-12))


class CameraSpecificNet(nn.Module):
    """(R/G, B/G) [2] of the light from one camera's histograms and its capture, 4,722 parameters. Section 2.2.

    Takes histograms [48, 48, 4] (colours, two coordinates, edges' colours) and the scaled capture vector [8].
    """

    @nn.compact
    def __call__(self, histograms, capture):
        x = histograms
        for i, features in enumerate((8, 8, 16)):
            x = jax.nn.elu(Conv(features, border="zero", name=f"conv{i + 1}")(x))
        seen = Linear(16, name="seen")(x.mean(axis=(0, 1)))
        x = Linear(32, name="linear1")(jnp.concatenate([seen, Linear(16, name="capture")(capture)]))
        x = jax.nn.elu(BatchNorm(name="norm")(x))
        x = jax.nn.elu(Linear(16, name="linear2")(x))
        x = jax.nn.elu(Linear(32, name="linear3")(x))
        return Linear(2, name="head")(x)


class PreferenceNet(nn.Module):
    """XYZ [3] of a light to that of the light for which people prefer to correct, unit length, 539 parameters.

    Section 2.2.
    """

    @nn.compact
    def __call__(self, xyz):
        x, y, z = xyz[0], xyz[1], xyz[2]
        h = jnp.stack([x, y, z, x * y, x * z, y * z, x * x, y * y, z * z, x * y * z])
        h = jax.nn.elu(BatchNorm(name="norm")(Linear(16, name="linear1")(h)))
        h = jax.nn.elu(Linear(8, name="linear2")(h))
        h = jax.nn.elu(Linear(16, name="linear3")(h))
        return unit(Linear(3, name="head")(h))


RANGES = {"histogram": 2, "capture": len(CAPTURE)}
"""Inputs that the camera-specific network scales by the range that its training data had, and how many they are."""

MEASURED = ("mean", "variance", *(f"{name}_{end}" for name in RANGES for end in ("min", "max")))
"""Last names of parameters that are measured on training data, not learned."""


def _init_cross_camera():
    return CrossCameraNet().init(INIT_KEY, jnp.zeros((BINS, BINS, 4)))["params"]


def _init_camera_specific():
    net = CameraSpecificNet().init(INIT_KEY, jnp.zeros((BINS, BINS, 4)), jnp.zeros(len(CAPTURE)))["params"]
    return net | {"ranges": {f"{name}_{end}": jnp.zeros(n) for name, n in RANGES.items() for end in ("min", "max")}}


def _init_preference():
    return PreferenceNet().init(INIT_KEY, jnp.zeros(3))["params"]


INIT = {"cross_camera": _init_cross_camera, "camera_specific": _init_camera_specific, "preference": _init_preference}
"""Functions that make parameter trees of the right shapes, by the networks' names in ``params["awb"]``."""

NEUTRAL = {
    **{f"cross_camera/encoder{i}/norm/variance": 1.0 for i in (0, 2)},
    "camera_specific/norm/variance": 1.0,
    "preference/norm/variance": 1.0,
    # R/G and B/G from .2 to 1.2, and the middle to start with; ISO 50 to 12800, 1/8000 s to 1 s.
    "camera_specific/head/bias": 0.7,
    "camera_specific/ranges/histogram_min": 0.2,
    "camera_specific/ranges/histogram_max": 1.2,
    "camera_specific/ranges/capture_min": np.log([50, 1, 1, 1, 1, 1, 1, 1 / 8000]),
    "camera_specific/ranges/capture_max": np.array([np.log(12800), *[0.05] * 6, 0.0]),
}
"""Parameters that do not start at 0 (scales: at 1), by their path."""

STARTS_AT_ZERO = ("cross_camera/bias/head", "cross_camera/filter/head", "camera_specific/head")
"""Last layers, whose kernels start at zero: all lights are equally probable, or it is the middle one."""


def start_preference(params):
    """The preference network's parameters such that it leaves every light as it is, for ``params.init_params``.

    The first three units of each layer pass X, Y and Z on (of a light they are positive, where ELU is the identity);
    the head sees only those. The other units keep their random numbers, so that they can learn.
    """
    passed = {}
    for name in ("linear1", "linear2", "linear3"):
        kernel = np.array(params[name]["kernel"])
        kernel[:, :3] = np.eye(len(kernel), 3)
        passed[name] = params[name] | {"kernel": jnp.asarray(kernel)}
    head = params["head"] | {"kernel": jnp.eye(*params["head"]["kernel"].shape)}
    return params | passed | {"head": head}
