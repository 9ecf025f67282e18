"""Imaginary cameras, whose finishing depends on how a photo was exposed.

A camera finishes a photo of ISO 3200 otherwise than one of ISO 100, but how it does is its maker's secret. Here it is
stated, so that what steering by exposure data is worth can be measured: five cameras, alike in direction and different
in measure, as those of real makers. Each parameter acts through operators of its own:

    exposure time   brightness: long exposures are lifted
    f-number        contrast: photos taken wide open, which flare softens, are made harder; and sharpening
    ISO             saturation, which high speeds lose, and noise reduction
    focal length    warmth, and the haze that long lenses see, which is taken away

All are functions of u in [-1, 1], the parameter's logarithm within ``SPANS``.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np

from modisp_jax.color import rgb_to_ycbcr, srgb_encode, ycbcr_to_rgb
from modisp_jax.nets.paramisp import PARAMETERS
from modisp_jax.numerics import clip, clip01, mix, power
from modisp_jax.ops.separable import filter_reflect, window

SPANS = {
    "focal_length": (18.0, 200.0),
    "f_number": (1.8, 16.0),
    "exposure_time": (1 / 2000, 1 / 4),
    "iso": (100.0, 3200.0),
}
"""From where to where a parameter is drawn and acts."""

MIDDLE = 0.18
NARROW, WIDE = 1.0, 2.0
"""Gaussians' sigmas in pixels."""


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Finishing:
    """How cameras finish, each field [n] for n cameras or [] for one. ``by_`` fields act times u of a parameter."""

    exposure: jax.Array
    """EV added."""
    by_time: jax.Array
    """EV for the longest exposure."""
    contrast: jax.Array
    """Exponent about middle grey."""
    by_aperture: jax.Array
    """Added to it wide open."""
    saturation: jax.Array
    """Factor on the distance from grey."""
    by_iso: jax.Array
    """Taken from it at the highest speed."""
    warmth: jax.Array
    """Natural logarithm of the factor on red, and of its inverse on blue."""
    by_focal: jax.Array
    """Added to it at the longest lens; a third of it is the haze taken away."""
    sharpening: jax.Array
    """Of luma, in encoded values, by a blur of one pixel; more at small apertures, none at the highest speed."""
    white: jax.Array
    """Linear value that becomes white."""


CAMERAS = Finishing(
    exposure=np.array([0.9, 0.7, 1.0, 0.6, 0.8], np.float32),
    by_time=np.array([0.45, 0.30, 0.40, 0.35, 0.50], np.float32),
    contrast=np.array([1.10, 1.20, 1.00, 1.15, 1.05], np.float32),
    by_aperture=np.array([0.15, 0.10, 0.18, 0.12, 0.14], np.float32),
    saturation=np.array([1.15, 1.25, 1.00, 1.10, 1.20], np.float32),
    by_iso=np.array([0.30, 0.25, 0.20, 0.35, 0.30], np.float32),
    warmth=np.array([0.00, 0.04, -0.03, 0.02, 0.00], np.float32),
    by_focal=np.array([0.09, 0.06, 0.08, 0.07, 0.10], np.float32),
    sharpening=np.array([0.5, 0.3, 0.7, 0.4, 0.6], np.float32),
    white=np.array([2.4, 2.0, 2.8, 2.2, 2.6], np.float32),
)
"""The five imaginary cameras."""

COUNT = len(CAMERAS.white)


def camera(index):
    """One of :data:`CAMERAS`; ``index`` [] may be traced."""
    return jax.tree.map(lambda values: jnp.asarray(values)[index], CAMERAS)


def draw_capture(key):
    """Exposure data [4] in the order of ``PARAMETERS``: each uniform in its logarithm, independent of the others."""
    low, high = (np.log([SPANS[name][k] for name in PARAMETERS]).astype(np.float32) for k in (0, 1))
    return jnp.exp(low + (high - low) * jax.random.uniform(key, (len(PARAMETERS),)))


def position(capture):
    """Where exposure data [4] lie in ``SPANS``: u [4] in [-1, 1]."""
    low, high = (np.log([SPANS[name][k] for name in PARAMETERS]).astype(np.float32) for k in (0, 1))
    return clip(2.0 * (jnp.log(capture) - low) / (high - low) - 1.0, -1.0, 1.0)


def finish(linear, camera, capture):
    """The picture that a camera makes of linear sRGB [H, W, 3], in [0, 1], rounded to 8 bits.

    Noise reduction, exposure, haze, warmth, contrast, shoulder ``(1 - e^-x) / (1 - e^-white)``, saturation, encoding,
    sharpening, rounding.

    Args:
      linear: what the camera makes of its raw: demosaiced, balanced, matrix applied; noise included.
      camera: a :class:`Finishing` of scalars.
      capture: exposure data [4].
    """
    focal, aperture, time, iso = position(capture)
    speed = 0.5 + 0.5 * iso
    x = _smoothed(linear, speed)  # not clipped before: that would lift the mean of black
    x = x * jnp.exp2(camera.exposure + camera.by_time * time)
    haze = camera.by_focal * (0.5 + 0.5 * focal) / 3.0
    x = jnp.maximum(x - MIDDLE * haze, 0.0) / (1.0 - MIDDLE * haze)
    warmth = camera.warmth + camera.by_focal * focal
    x = x * jnp.exp(jnp.stack([warmth, 0.0 * warmth, -warmth]))
    x = MIDDLE * power(x / MIDDLE, camera.contrast - camera.by_aperture * aperture)
    x = clip01((1.0 - jnp.exp(-x)) / (1.0 - jnp.exp(-camera.white)))
    grey = rgb_to_ycbcr(x)[..., :1]
    x = srgb_encode(clip01(grey + (camera.saturation - camera.by_iso * iso) * (x - grey)))
    luma = rgb_to_ycbcr(x)[..., :1]
    amount = camera.sharpening * (0.75 + 0.25 * aperture) * (1.0 - speed)
    x = x + amount * (luma - filter_reflect(luma[..., 0], _taps(NARROW))[..., None])
    return jnp.round(255.0 * clip01(x)) / 255.0


@functools.cache
def _taps(sigma):
    """A Gaussian's taps; not at import, which must compute nothing: processes of a group join afterwards."""
    with jax.ensure_compile_time_eval():
        return np.asarray(window(sigma))


def _smoothed(x, speed):
    """Noise reduction by the camera: up to 60 % of a blur of luma by one pixel, and 90 % of one of chroma by two."""
    y, cb, cr = jnp.moveaxis(rgb_to_ycbcr(x), -1, 0)
    y = mix(y, filter_reflect(y, _taps(NARROW)), 0.6 * speed)
    cb, cr = (mix(c, filter_reflect(c, _taps(WIDE)), 0.9 * speed) for c in (cb, cr))
    return clip01(ycbcr_to_rgb(jnp.stack([y, cb, cr], axis=-1)))
