"""Automatic white balance without learned weights: what light a raw photo was taken under.

Four statistics of the photo each name a colour for the light, after the assumption of each: the mean (gray world), the
Minkowski mean with p = 6 (shades of gray), the same of the edges (gray edge) and the largest value (white patch). How
far each is off, and how far they err together, was measured on photos; a prior says which lights there are. The
estimate is the posterior mean over a table of lights:

    log P(light) = log prior(light) - .5 r' S^-1 r + const,    r = (s_1, s_2, s_3, s_4) - (l, l, l, l) - b

``s_k`` are the statistics, ``l`` the light, as (log R/G, log B/G) of a made-up camera to which the photo's colours are
taken by a matrix, so that one S and b serve every camera. Both come from ``benchmarks/white_balance.py --fit``.

References: Buchsbaum 1980 (gray world); Finlayson and Trezzi 2004 (shades of gray); van de Weijer, Gevers and Gijsenij
2007 (gray edge); Land and McCann 1971 (white patch). The posterior over lights is in the spirit of Brainard and Freeman
1997 and Gehler et al. 2008.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from modisp_jax.color import GENERIC_CAMERA, apply_matrix, planckian_xyz
from modisp_jax.numerics import clip, clip01, power, safe_divide
from modisp_jax.resample import mean_pool
from modisp_jax.types import check_image

SMALL = 128 * 192
"""About how many pixels the statistics see: means over squares of the photo."""

CLIPPED, DARK = 0.98, 1e-3
"""Pixels with a channel above this share of saturation, or with none above that, do not count."""

P = 6.0
"""Power of the Minkowski means."""

FLAT = 0.01
"""Share of its own value that is added to a pixel's edges: where there are none, edges are as good as pixels."""

BIAS = np.array([0.037, -0.059, 0.042, -0.023, 0.081, 0.084, 0.048, 0.015], np.float32)
"""By how much the statistics are off on average: log R/G and log B/G of mean, Minkowski mean, edges, largest value."""

COVARIANCE = np.array(
    [
        [0.0554, -0.0190, 0.0326, -0.0143, 0.0182, -0.0064, 0.0179, -0.0090],
        [-0.0190, 0.0497, -0.0177, 0.0283, -0.0113, 0.0144, -0.0111, 0.0158],
        [0.0326, -0.0177, 0.0439, -0.0183, 0.0217, -0.0119, 0.0218, -0.0156],
        [-0.0143, 0.0283, -0.0183, 0.0460, -0.0119, 0.0216, -0.0120, 0.0243],
        [0.0182, -0.0113, 0.0217, -0.0119, 0.0313, -0.0108, 0.0183, -0.0119],
        [-0.0064, 0.0144, -0.0119, 0.0216, -0.0108, 0.0351, -0.0084, 0.0211],
        [0.0179, -0.0111, 0.0218, -0.0120, 0.0183, -0.0084, 0.0320, -0.0110],
        [-0.0090, 0.0158, -0.0156, 0.0243, -0.0119, 0.0211, -0.0110, 0.0358],
    ]
)
"""How the statistics scatter around the light, and together. Their weights follow from it."""

ENOUGH = 0.02
"""Share of usable pixels from which the statistics count in full; below, they give way to the prior."""

MIREDS, TINTS = np.linspace(100.0, 540.0, 45), np.linspace(-36.0, 36.0, 25)
"""The lights that are considered, by reciprocal temperature (10^6 / K) and tint."""


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class LightEstimate:
    """What :func:`estimate_light` finds."""

    illuminant: jax.Array
    """Camera RGB of the light, [3], G = 1, positive."""
    usable: jax.Array
    """Share of the pixels that counted: neither clipped nor black, [], in [0, 1]."""
    spread: jax.Array
    """Standard deviation of the posterior, [], in log R/G and log B/G taken together; .1 is about 2 degrees."""


def log_prior(mired, tint):
    """Logarithm of how likely a light is, up to a constant: the band of lamps, daylight and shade.

    Flat from 125 to 385 mired (8000 to 2600 K) with Gaussian shoulders of 60 mired; Gaussian in tint, standard
    deviation 10, around 0 for lamps and 4 for daylight, which lies above the Planckian locus.

    Args:
      mired: 10^6 / CCT, any shape.
      tint: in units of .0005 uv, the same shape.
    """
    beyond = jnp.maximum(125.0 - mired, 0.0) + jnp.maximum(mired - 385.0, 0.0)
    daylight = 4.0 * clip01((290.0 - mired) / 90.0)
    return -0.5 * jnp.square(beyond / 60.0) - 0.5 * jnp.square((tint - daylight) / 10.0)


def light_grid():
    """(mired [n], tint [n]) of the lights that are considered, in NumPy."""
    mired, tint = np.meshgrid(MIREDS, TINTS, indexing="ij")
    return mired.ravel().astype(np.float32), tint.ravel().astype(np.float32)


@jax.jit
def estimate_light(image, from_xyz=None, *, lights=None, saturation=1.0):
    """Estimates the colour of the light from a raw photo; see the module's head. Works under jit, vmap and grad.

    Args:
      image: camera RGB [H, W, 3] in [0, 1], not white-balanced.
      from_xyz: the camera's matrix from XYZ, [3, 3], invertible, any scale; default: a made-up camera's.
      lights: camera RGB [n, 3] of the lights of :func:`light_grid`; default: ``from_xyz`` times black bodies.
      saturation: value at which the channels saturate, [] or [3].

    Returns:
      A :class:`LightEstimate`. Where no pixel is usable it is the prior's mean.

    Raises:
      ValueError: an image that is not floating-point [H, W, 3].
    """
    from_xyz = jnp.asarray(GENERIC_CAMERA if from_xyz is None else from_xyz, jnp.float32)
    mired, tint = light_grid()
    if lights is None:
        lights = apply_matrix(from_xyz, jax.vmap(planckian_xyz)(1e6 / mired, tint))
    lights = clip(jnp.asarray(lights, jnp.float32), 1e-4, 1e4)
    statistics, usable = light_statistics(image, from_xyz, saturation=saturation)

    table = _log_chroma(jnp.maximum(apply_matrix(_to_generic(from_xyz), lights), 1e-4 * lights[:, 1:2]))
    residual = statistics - jnp.tile(table, (1, 4)) - BIAS
    # r' S^-1 r as a sum of squares: float32 cannot make it negative.
    whitening = np.linalg.cholesky(np.linalg.inv(COVARIANCE)).astype(np.float32)
    distance = jnp.sum(jnp.square(jnp.matmul(residual, whitening, precision="highest")), axis=-1)
    evidence = clip01(usable / ENOUGH)
    share = jax.nn.softmax(log_prior(mired, tint) - 0.5 * evidence * distance)

    chroma = _log_chroma(lights)
    mean = jnp.sum(share[:, None] * chroma, axis=0)
    spread = jnp.sqrt(1e-12 + jnp.sum(share[:, None] * jnp.square(chroma - mean)))
    illuminant = jnp.exp(jnp.stack([mean[0], jnp.zeros_like(mean[0]), mean[1]]))
    return LightEstimate(illuminant, usable, spread)


def light_statistics(image, from_xyz, *, saturation=1.0):
    """The four statistics (log R/G, log B/G of each, [8], as the made-up camera sees them) and the usable share []."""
    small, weight, usable = usable_means(image, saturation)
    x = jnp.maximum(apply_matrix(_to_generic(jnp.asarray(from_xyz, jnp.float32)), small), 1e-5)
    means = [_minkowski(x, weight, 1.0), _minkowski(x, weight, P), _minkowski(*_edges(x, weight), P)]
    means.append(jnp.maximum(jnp.max(x * weight, axis=(0, 1)), 1e-5))
    return jnp.concatenate([_log_chroma(mean) for mean in means]), usable


@jax.jit
def gray_world(image, *, saturation=1.0):
    """The mean colour: camera RGB of the light [3], G = 1, if the scene is grey on average."""
    return shades_of_gray(image, p=1.0, saturation=saturation)


@jax.jit
def shades_of_gray(image, *, p=P, saturation=1.0):
    """The Minkowski mean ``(mean x^p)^(1/p)`` of each channel: camera RGB of the light [3], G = 1.

    Args:
      image: camera RGB [H, W, 3] in [0, 1].
      p: 1 (gray world) to 12; larger ones count bright pixels more.
      saturation: value at which the channels saturate, [] or [3].
    """
    small, weight, _ = usable_means(image, saturation)
    return _green_one(_minkowski(small, weight, p))


@jax.jit
def white_patch(image, *, saturation=1.0):
    """The largest value of each channel over small squares: camera RGB of the light [3], G = 1."""
    small, weight, _ = usable_means(image, saturation)
    return _green_one(jnp.max(small * (weight > 0), axis=(0, 1)))


@jax.jit
def gray_edge(image, *, p=P, saturation=1.0):
    """The Minkowski mean of each channel's edges: camera RGB of the light [3], G = 1, if those are grey together."""
    small, weight, _ = usable_means(image, saturation)
    return _green_one(_minkowski(*_edges(small, weight), p))


def usable_means(image, saturation=1.0):
    """Means over squares of the photo, of the pixels that are neither clipped nor black.

    Args:
      image: camera RGB [H, W, 3]; what is not finite does not count.
      saturation: [] or [3].

    Returns:
      ``(small [h, w, 3], weight [h, w, 1], usable [])``: the means, scaled so that the largest is 1; weight 1 where at
      least half of a square is usable, else 0; the share of usable pixels. h w is about :data:`SMALL`, or the photo's
      size where that is less.
    """
    h, w = check_image(image, "image")
    limit = clip(jnp.asarray(saturation, jnp.float32), 1e-3, 1e3)
    values = jnp.maximum(jnp.where(jnp.isfinite(image).all(axis=-1, keepdims=True), image, 0.0), 0.0)
    brightest = jnp.max(values / limit, axis=-1, keepdims=True)
    usable = (brightest < CLIPPED) & (brightest > DARK)
    values = jnp.where(usable, values, 0.0)
    factor = max(1, min(round((h * w / SMALL) ** 0.5), h, w))
    share = mean_pool(usable.astype(jnp.float32), factor)
    small = safe_divide(mean_pool(values, factor), share, 1e-3)
    weight = (share >= 0.5).astype(jnp.float32)
    return safe_divide(small, jnp.max(small * weight), 1e-6), weight, jnp.mean(share)


def _to_generic(from_xyz):
    """Camera RGB to that of the made-up camera, [3, 3], green of D65 kept."""
    return jnp.matmul(GENERIC_CAMERA, jnp.linalg.inv(from_xyz), precision="highest")


def _edges(x, weight):
    """(length of each channel's gradient plus a little of the value, its weight) of [h, w, 3] and [h, w, 1].

    Where there are fewer than two rows or columns the image is its own edges.
    """
    if min(x.shape[:2]) < 2:
        return x, weight
    dy, dx = x[1:, :-1] - x[:-1, :-1], x[:-1, 1:] - x[:-1, :-1]
    edges = jnp.sqrt(1e-12 + dx * dx + dy * dy) + FLAT * x[:-1, :-1]
    return edges, weight[1:, :-1] * weight[:-1, :-1] * weight[:-1, 1:]


def _minkowski(x, weight, p):
    """``(sum w x^p / sum w)^(1/p)`` of each channel, [3]; equal channels where nothing has weight."""
    largest = jnp.maximum(jnp.max(x * weight), 1e-6)
    mean = safe_divide(jnp.sum(weight * power(x / largest, p), axis=(0, 1)), jnp.sum(weight), 1e-3)
    return jnp.maximum(power(mean, 1.0 / p), 1e-5)


def _green_one(rgb):
    rgb = jnp.maximum(rgb, 1e-5)
    return rgb / rgb[1]


def _log_chroma(rgb):
    """(log R/G, log B/G) [..., 2] of positive RGB [..., 3]."""
    log = jnp.log(rgb)
    return jnp.stack([log[..., 0] - log[..., 1], log[..., 2] - log[..., 1]], axis=-1)
