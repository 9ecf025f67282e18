"""Automatic white balance by networks: the light of a photo from its colours (paper sections 2.2 and I.3).

The functions of images are pure and compiled; the one of DNG matrices runs on the host in float64.
"""

import math
from numbers import Real

import jax
import jax.numpy as jnp
import numpy as np

from modisp_jax.config import PipelineConfig
from modisp_jax.io.dng_color import check_neutral, neutral_to_cct, xyz_to_camera, xyz_to_neutral
from modisp_jax.nets.white_balance import CameraSpecificNet, CrossCameraNet, PreferenceNet, unit
from modisp_jax.numerics import clip, safe_divide, safe_sqrt
from modisp_jax.ops.awb_histograms import (
    BINS,
    BRIGHTEST,
    edge_image,
    log_chroma_histogram,
    norms,
    ratio_histogram,
    shrink,
)
from modisp_jax.params import check_network
from modisp_jax.types import as_float32, check_image

RATIOS = (0.01, 100.0)
"""Bounds of R/G and B/G of a light, so that it can be divided by."""


def cross_camera_illuminant(params, image):
    """Estimates the light of a photo of any camera: ``C5(histograms(image))``.

    Args:
      params: the network's parameters, ``params["awb"]["cross_camera"]``.
      image: camera RGB [H, W, 3] after manual exposure, not denoised, black level removed, white level at 1.

    Returns:
      Camera RGB of white [3], positive, unit length. Its gradient is finite, and 0 through the bins that pixels fall
      into (see :mod:`modisp_jax.ops.awb_histograms`). A flat, black or white image has one too, which says little.

    Raises:
      ValueError: an image of another shape, integers, or parameters of another network.

    Reference: arXiv 2512.08564, section 2.2; Afifi et al., "Cross-Camera Convolutional Color Constancy", ICCV 2021.
    """
    check_image(image, "image")
    _check_network(params, "cross_camera")
    return _cross_camera_light(params, cross_camera_histogram(image))


def camera_specific_illuminant(params, image, denoised, *, iso, exposure_time):
    """Estimates the light of a photo of the camera that the network was trained for.

    Args:
      params: the network's parameters, ``params["awb"]["camera_specific"]``.
      image: as for :func:`cross_camera_illuminant`.
      denoised: the same denoised; what was removed tells how much light there was.
      iso: sensitivity, [].
      exposure_time: in seconds, [].

    Returns:
      Camera RGB of white [3], positive, unit length; R/G and B/G stay within [.01, 100]. Gradients as for
      :func:`cross_camera_illuminant`.

    Raises:
      ValueError: images of other or unequal shapes, integers, a setting that is a number and not positive, or
        parameters of another network.

    Reference: arXiv 2512.08564, section 2.2.
    """
    _check_pair(image, denoised)
    _check_network(params, "camera_specific")
    for name, value in (("iso", iso), ("exposure_time", exposure_time)):
        if isinstance(value, Real) and not (math.isfinite(value) and value > 0):
            raise ValueError(f"{name}: expected a positive number, got {value}")
        if jnp.shape(value) != ():
            raise ValueError(f"{name}: expected a single number, got shape {jnp.shape(value)}")
    # Two programs: what depends on the photo's size, and the network, compiled once for all.
    inputs = _camera_specific_inputs(params["ranges"], *as_float32((image, denoised, iso, exposure_time)))
    return _camera_specific_light({name: layer for name, layer in params.items() if name != "ranges"}, *inputs)


def preferred_neutral(params, neutral, profile):
    """Turns the colour of the light into that for which people prefer to correct.

    ``neutral -> XYZ -> PreferenceNet -> XYZ -> neutral``, by the camera's colour matrices, each at the temperature of
    the light that it is given, kept between the calibration illuminants. On the host: matrices and temperatures in
    float64, the network in float32; not for ``jit``.

    Args:
      params: the network's parameters, ``params["awb"]["preference"]``.
      neutral: camera RGB of white [3], any scale, positive.
      profile: a :class:`modisp_jax.io.dng_color.CameraProfile` with one colour matrix or more.

    Returns:
      Camera RGB [3] in float64, G = 1.

    Raises:
      ValueError: a neutral that is no colour of light for this camera, before or after; a profile without
        matrices; parameters of another network.

    Reference: arXiv 2512.08564, section 2.2.
    """
    _check_network(params, "preference")
    neutral = check_neutral(neutral)
    cct = neutral_to_cct(neutral, profile)
    xyz = np.linalg.solve(xyz_to_camera(profile, neutral, cct=cct), neutral)
    preferred = np.asarray(_preference(params, jnp.asarray(xyz, jnp.float32)), np.float64)
    try:
        return xyz_to_neutral(preferred, profile)
    except ValueError as error:
        raise ValueError(f"preferred_neutral: the network made no light of {neutral.tolist()}: {error}") from None


def cross_camera_histogram(image):
    """What the cross-camera network sees of camera RGB [H, W, 3]: [48, 48, 4].

    Channels: log-chroma histogram of the image, of its edges, column / 47, 1 - row / 47. The image is first brought to
    256 x 384. See :func:`modisp_jax.ops.awb_histograms.log_chroma_histogram`.
    """
    check_image(image, "image")
    return _cross_camera_histogram(jnp.asarray(image, jnp.float32))


def camera_specific_histogram(image, low, high):
    """What the camera-specific network sees of camera RGB [H, W, 3]: [48, 48, 4].

    Channels: histogram of (R/G, B/G) of the image, row / 48, column / 48, histogram of the edges' (R/G, B/G); both
    weighted by the norm of the image's pixels. ``low`` and ``high`` [2] bound R/G and B/G.
    """
    check_image(image, "image")
    for name, bound in (("low", low), ("high", high)):
        if jnp.shape(bound) != (2,):
            raise ValueError(f"{name}: expected a bound for R/G and one for B/G, [2], got shape {jnp.shape(bound)}")
    return _camera_specific_histogram(*as_float32((image, low, high)))


def noise_statistics(image, denoised):
    """Mean of ``|image - denoised|`` by channel, then its standard deviation (n - 1), [6]; both [H, W, 3]."""
    _check_pair(image, denoised)
    return _noise_statistics(*as_float32((image, denoised)))


def _check_pair(image, denoised):
    size = check_image(image, "image")
    if check_image(denoised, "denoised") != size:
        raise ValueError(f"denoised: expected the image's size {size}, got {jnp.shape(denoised)[:2]}")


def _check_network(params, name):
    """Raises unless ``params`` have the names and shapes of this network, rather than of another or a whole set."""
    check_network(params, "awb", PipelineConfig(None, None, None, (name,)))


@jax.jit
def _cross_camera_light(params, histograms):
    return CrossCameraNet().apply({"params": params}, histograms)


@jax.jit
def _cross_camera_histogram(image):
    small = shrink(image)
    position = np.arange(BINS, dtype=np.float32) / (BINS - 1)
    column, row = np.meshgrid(position, 1 - position)
    histograms = [log_chroma_histogram(small), log_chroma_histogram(edge_image(small))]
    return jnp.stack([*histograms, column, row], axis=-1)


@jax.jit
def _camera_specific_light(params, histograms, capture):
    red, blue = clip(CameraSpecificNet().apply({"params": params}, histograms, capture), *RATIOS)
    return unit(jnp.stack([red, jnp.ones_like(red), blue]))


@jax.jit
def _camera_specific_inputs(ranges, image, denoised, iso, exposure_time):
    """Histograms [48, 48, 4] and the capture vector [8]: log ISO, noise [6], log seconds, each scaled by its range."""
    ranges = jax.lax.stop_gradient(ranges)
    histograms = _camera_specific_histogram(image, ranges["histogram_min"], ranges["histogram_max"])
    # Within what a camera can be set to, so that the logarithms are finite.
    sensitivity, time = jnp.log(clip(iso, 1.0, 1e8)), jnp.log(clip(exposure_time, 1e-8, 1e8))
    capture = jnp.concatenate([sensitivity[None], _noise_statistics(image, denoised), time[None]])
    low, high = ranges["capture_min"], ranges["capture_max"]
    return histograms, safe_divide(capture - low, high - low + 1e-8)


@jax.jit
def _camera_specific_histogram(image, low, high):
    small = shrink(image)
    weights = norms(small)
    row, column = np.meshgrid(*[np.arange(BINS, dtype=np.float32) / BINS] * 2, indexing="ij")
    colours, edges = (ratio_histogram(x, weights, low, high) for x in (small, edge_image(small)))
    return jnp.stack([colours, row, column, edges], axis=-1)


@jax.jit
def _noise_statistics(image, denoised):
    removed = jnp.abs(clip(image, -BRIGHTEST, BRIGHTEST) - clip(denoised, -BRIGHTEST, BRIGHTEST))
    # Row by row, then over the rows: a single running sum over a large photo would lose its last digits.
    mean = removed.mean(axis=1).mean(axis=0)
    squares = jnp.square(removed - mean).mean(axis=1).mean(axis=0)
    n = removed.shape[0] * removed.shape[1]
    return jnp.concatenate([mean, safe_sqrt(squares * (n / max(n - 1, 1)))])


@jax.jit
def _preference(params, xyz):
    return PreferenceNet().apply({"params": params}, xyz)
