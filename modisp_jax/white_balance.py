"""The white balance of a :class:`modisp_jax.Raw`: read it, set it, estimate it. Runs on the host.

Temperature and tint are those of ``modisp_jax.io.white_balance``. The camera's profile is that of the raw's metadata. A
raw without one gets a virtual camera, in which the light as shot reads as D65: its temperatures are relative.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np

from modisp_jax import awb
from modisp_jax.io.dng_color import check_neutral
from modisp_jax.io.metadata import RawMetadata
from modisp_jax.io.white_balance import (
    CCT_RANGE,
    ccm_of_light,
    cct_tint_to_light,
    is_reachable,
    light_to_cct_tint,
    lights_at,
    matrix_at,
    virtual_profile,
)
from modisp_jax.types import Raw, check_image

PLAUSIBLE_CCT = (2000.0, 10000.0)
"""Kelvin; an estimate beyond is pulled back to the end."""

PLAUSIBLE_TINT = (-40.0, 40.0)
"""An estimate beyond is pulled back to the end; fluorescent lamps reach 40."""

METHODS = ("posterior", "gray_world", "shades_of_gray", "gray_edge", "white_patch")
"""What :func:`estimate_white_balance` may estimate by."""

FEW = 0.005
"""Share of usable pixels below which the light as shot is kept."""

FIRST_GUESS = 4500.0
"""Temperature in kelvin whose matrix the estimator starts with."""


@dataclasses.dataclass(frozen=True)
class WhiteBalance:
    """An estimate of the light, after the guard."""

    illuminant: np.ndarray
    """Camera RGB of white, float64 [3], G = 1."""
    cct: float
    """Temperature in kelvin."""
    tint: float
    """In units of .0005 uv, positive greener."""
    note: str = ""
    """What the guard did and why; "" where it left the estimate as it was."""


def white_balance_of(raw):
    """(CCT in K, tint) of the raw's light, as the sliders would have it.

    A light beyond the sliders' range (1800 to 10000 K, tint -100 to 100) reads as the nearest end. Without a camera
    profile temperatures are relative, see the module's head. Raises ``ValueError`` for an illuminant that is not
    three positive numbers.
    """
    return light_to_cct_tint(_illuminant_of(raw), profile_of(raw))


def set_white_balance(raw, *, cct=None, tint=None, illuminant=None):
    """The raw under another light: a copy with illuminant and colour matrix of that light.

    Args:
      raw: a :class:`modisp_jax.Raw`.
      cct: temperature in [1800, 10000] K; where only ``tint`` is given, that of the raw's light.
      tint: in [-100, 100], positive greener; where only ``cct`` is given, that of the raw's light.
      illuminant: instead of both, camera RGB of white [3], any scale. It is kept as it is; the colour matrix is that
        of the nearest light that the sliders reach.

    Returns:
      A ``Raw`` with the same image and metadata. Without a camera profile the colour matrix stays, and metadata keeps
      the light as shot, to which temperatures are relative, as its ``neutral``; a raw without metadata gets some for
      this, which ``jit`` drops again.

    Raises:
      ValueError: neither or both of sliders and illuminant, or values out of range.
    """
    if (illuminant is None) == (cct is None and tint is None):
        raise ValueError("set_white_balance: expected cct, tint or both, or else an illuminant")
    profile = profile_of(raw)
    if illuminant is None:
        if cct is None or tint is None:
            own = white_balance_of(raw)
            cct, tint = own[0] if cct is None else cct, own[1] if tint is None else tint
        neutral = cct_tint_to_light(cct, tint, profile)
    else:
        neutral = check_neutral(illuminant)
        cct, tint = light_to_cct_tint(neutral, profile)
    changes = {"illuminant": jnp.asarray(neutral, jnp.float32)}
    if profile.source != "virtual":
        changes["ccm"] = jnp.asarray(ccm_of_light(profile, cct, tint), jnp.float32)
    elif raw.metadata is None:
        changes["metadata"] = RawMetadata(neutral=tuple(_illuminant_of(raw).tolist()))
    return dataclasses.replace(raw, **changes)


def auto_white_balance(raw, *, method="posterior"):
    """The raw under the light that its image suggests: :func:`set_white_balance` with :func:`estimate_white_balance`.

    Args:
      raw: a :class:`modisp_jax.Raw`.
      method: one of ``METHODS``.
    """
    return set_white_balance(raw, illuminant=estimate_white_balance(raw, method=method).illuminant)


def estimate_white_balance(raw, *, method="posterior"):
    """Estimates the light from the image, and guards the estimate.

    Args:
      raw: a :class:`modisp_jax.Raw`; its image and saturation count, and the camera's matrices; illuminant and colour
        matrix only where the photo says nothing, or the camera is unknown.
      method: ``"posterior"`` (:func:`modisp_jax.awb.estimate_light`), ``"gray_world"``, ``"shades_of_gray"``,
        ``"gray_edge"`` or ``"white_patch"``.

    Returns:
      A :class:`WhiteBalance`. With too few usable pixels it is the raw's own light; a light that is no plausible one
      (2000 to 10000 K, tint -40 to 40) becomes the nearest that is. ``note`` tells.

    Raises:
      ValueError: an unknown method, or a raw whose image is not floating-point [H, W, 3].
    """
    if method not in METHODS:
        raise ValueError(f"method: expected one of {METHODS}, got {method!r}")
    check_image(raw.image, "raw.image")
    profile = profile_of(raw)
    found, usable = _estimate(raw, profile, method)
    if usable < FEW:
        own = _illuminant_of(raw)
        note = f"{100 * usable:.2g} % of the pixels are neither clipped nor black: the light stays as it was"
        return WhiteBalance(own, *light_to_cct_tint(own, profile), note)
    return _guard(found, profile)


def guard_white_balance(raw, illuminant):
    """What any estimator found for a raw, camera RGB [3], as a :class:`WhiteBalance`: itself where it is plausible."""
    return _guard(check_neutral(illuminant), profile_of(raw))


def _guard(illuminant, profile):
    """A :class:`WhiteBalance` of an illuminant [3], or of the nearest plausible one."""
    cct, tint = light_to_cct_tint(illuminant, profile)
    near = float(np.clip(cct, *PLAUSIBLE_CCT)), float(np.clip(tint, *PLAUSIBLE_TINT))
    if near == (cct, tint) and is_reachable(illuminant, profile):
        return WhiteBalance(check_neutral(illuminant), cct, tint)
    ratios = ", ".join(f"{value:.3g}" for value in check_neutral(illuminant))
    note = f"the estimate ({ratios}) is no plausible light: {near[0]:.0f} K, tint {near[1]:.0f} is the nearest"
    return WhiteBalance(cct_tint_to_light(*near, profile), *near, note)


def profile_of(raw):
    """The raw's ``CameraProfile``, or a virtual one (``source="virtual"``) where its metadata has no matrices."""
    color = getattr(raw.metadata, "color", None)
    if color is not None and color.calibrations:
        return color
    as_shot = getattr(raw.metadata, "neutral", None)
    return virtual_profile(_illuminant_of(raw) if as_shot is None else as_shot, np.asarray(raw.ccm, np.float64))


def _illuminant_of(raw):
    if not isinstance(raw, Raw):
        raise ValueError(f"raw: expected a modisp_jax.Raw, got {type(raw).__name__}")
    return check_neutral(raw.illuminant)


def _estimate(raw, profile, method):
    """(camera RGB of the light [3], share of usable pixels) by one of ``METHODS``."""
    if method != "posterior":
        found, usable = _simple(raw.image, raw.saturation, method)
        return np.asarray(found, np.float64), float(usable)
    lights = camera_lights(profile)
    cct = FIRST_GUESS
    for _ in range(2):  # the matrix is that of the light, which is better known the second time
        matrix = jnp.asarray(matrix_at(cct, profile), jnp.float32)
        found = awb.estimate_light(raw.image, matrix, lights=lights, saturation=raw.saturation)
        illuminant = np.asarray(found.illuminant, np.float64)
        cct = light_to_cct_tint(illuminant, profile)[0]
    return illuminant, float(found.usable)


def camera_lights(profile):
    """Camera RGB [n, 3], G = 1, of the lights of :func:`modisp_jax.awb.light_grid`, by the profile's matrices."""
    ccts = np.clip(1e6 / awb.MIREDS, *CCT_RANGE)
    return jnp.asarray(np.concatenate([lights_at(cct, awb.TINTS, profile) for cct in ccts]), jnp.float32)


@functools.partial(jax.jit, static_argnames="method")
def _simple(image, saturation, method):
    functions = (awb.gray_world, awb.shades_of_gray, awb.gray_edge, awb.white_patch)
    function = dict(zip(METHODS[1:], functions, strict=True))[method]
    return function(image, saturation=saturation), awb.usable_means(image, saturation)[2]
