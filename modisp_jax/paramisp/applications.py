"""What can be done to a finished photo by way of its raw: sRGB to raw, any change there, and raw to sRGB again.

Paper section 5, of which no code was published. Raw values are proportional to light: exposures can be multiplied, what
moves can be summed, and noise is that of a sensor. All here takes both networks, ``{"inverse_isp", "forward_isp"}``.
"""

import functools

import jax
import jax.numpy as jnp

from modisp_jax.ops.demosaic import PATTERNS, mosaic
from modisp_jax.paramisp.fusion import fuse_exposures, load_opencv
from modisp_jax.paramisp.isp import PAPER
from modisp_jax.paramisp.photos import photo_to_raw, raw_to_photo

SPACES = ("mosaic", "camera")

GAINS = (0.1, 1.4, 2.7, 4.0)
"""Exposures of :func:`hdr`, times the photo's. Paper section 5."""


def in_raw_space(
    process,
    params,
    srgb,
    illuminant,
    ccm,
    capture=None,
    *,
    space="mosaic",
    pattern="RGGB",
    config=PAPER,
    forward_config=None,
):
    """Does something to the raw of a finished photo, and finishes it again: ``F(process(I(srgb)))``.

    ``process`` may give several raws, as a list, tuple or dict; each is finished by itself. What it gives is taken as
    it is: values under black are noise, and those over the sensor's white are its own to clip (:func:`saturate`). The
    function that gives its argument is the cycle ``F(I(srgb))``, in both spaces the same.

    Args:
      process: a function of the raw, [H, W] or [H, W, 3] by ``space``, black 0 and white 1, in [0, 1]. It gives arrays
        [h, w], mosaics of ``pattern``, or [h, w, 3], camera RGB, of which the mosaic is taken.
      params: parameters of both networks, ``{"inverse_isp": ..., "forward_isp": ...}``.
      srgb: picture [H, W, 3] in [0, 1], of any size.
      illuminant: camera RGB of white, [3].
      ccm: white-balanced camera RGB to linear sRGB, [3, 3].
      capture: a :class:`modisp_jax.paramisp.Capture`; None: all unknown.
      space: static, ``"mosaic"`` or ``"camera"``: camera RGB of all colours, for what mixes neighbours.
      pattern: static Bayer phase.
      config: static ``ParamISPConfig`` of the networks.
      forward_config: that of the forward network, where it is another.

    Returns:
      sRGB [h, w, 3] in [0, 1], or what ``process`` gave with such pictures in place of its raws.

    Raises:
      ValueError: a picture of another kind, an unknown space or pattern, a network that is missing, or raws that the
        forward network does not take.
    """
    inverse, forward = (_network(params, name) for name in ("inverse_isp", "forward_isp"))
    if space not in SPACES:
        raise ValueError(f"space: expected one of {', '.join(SPACES)}, got {space!r}")
    if pattern not in PATTERNS:
        raise ValueError(f"pattern: expected one of {', '.join(PATTERNS)}, got {pattern!r}")
    camera = illuminant, ccm, capture
    raw = photo_to_raw(inverse, srgb, *camera, pattern=pattern if space == "mosaic" else None, config=config)
    forward_config = config if forward_config is None else forward_config

    def finish(raw):
        values = _sampled(raw, pattern=pattern) if jnp.ndim(raw) == 3 else raw
        return raw_to_photo(forward, values, *camera, pattern=pattern, config=forward_config)

    return jax.tree.map(finish, process(raw))


def transfer(
    inverse_params,
    forward_params,
    srgb,
    illuminant,
    ccm,
    capture=None,
    *,
    pattern="RGGB",
    config=PAPER,
    forward_config=None,
):
    """The picture that one camera would have made where another made this: ``F_B(I_A(srgb))``.

    White balance and colour matrix stay those of A, in whose raw space the light is; the paper does not say.

    Args:
      inverse_params: inverse network of the camera that took the photo, A.
      forward_params: forward network of the camera whose finishing is wanted, B.
      srgb, illuminant, ccm, capture, pattern: see :func:`in_raw_space`; of A.
      config, forward_config: static ``ParamISPConfig`` of A's network and, where it is another, of B's.

    Returns:
      sRGB [H, W, 3] in [0, 1].

    Raises:
      ValueError: as :func:`in_raw_space` does.
    """
    params = {"inverse_isp": inverse_params, "forward_isp": forward_params}
    options = {"pattern": pattern, "config": config, "forward_config": forward_config}
    return in_raw_space(lambda raw: raw, params, srgb, illuminant, ccm, capture, **options)


def expose(params, srgb, illuminant, ccm, capture=None, *, gains=GAINS, pattern="RGGB", config=PAPER):
    """A photo as if it had been exposed otherwise: ``F(min(g I(srgb), n))`` for each gain g, n the light, green 1.

    Args:
      gains: factors on the photo's exposure.
      params, srgb, illuminant, ccm, capture, pattern, config: see :func:`in_raw_space`.

    Returns:
      A list of sRGB pictures [H, W, 3] in [0, 1].

    Raises:
      ValueError: as :func:`in_raw_space` does.
    """

    def exposures(raw):
        return [saturate(gain * raw, illuminant, pattern=pattern) for gain in gains]

    return in_raw_space(exposures, params, srgb, illuminant, ccm, capture, pattern=pattern, config=config)


def hdr(params, srgb, illuminant, ccm, capture=None, *, gains=GAINS, pattern="RGGB", config=PAPER):
    """More of a photo's range in one picture: several exposures of its raw, finished and fused.

    :func:`expose`, then :func:`modisp_jax.paramisp.fuse_exposures`, which is OpenCV's: not for ``jit``.

    Args:
      gains: factors on the photo's exposure, at least one.
      params, srgb, illuminant, ccm, capture, pattern, config: see :func:`in_raw_space`.

    Returns:
      sRGB [H, W, 3] in [0, 1], NumPy.

    Raises:
      ValueError: as :func:`in_raw_space` and :func:`modisp_jax.paramisp.fuse_exposures` do.
    """
    load_opencv()  # or it would be missed only after the work
    return fuse_exposures(expose(params, srgb, illuminant, ccm, capture, gains=gains, pattern=pattern, config=config))


@functools.partial(jax.jit, static_argnames="pattern")
def saturate(raw, illuminant, *, pattern="RGGB"):
    """Raw values as of a sensor that is full where white is: ``min(v, n)``, n the light, green 1.

    After white balance every channel ends at 1, so that clipped highlights are white.

    Args:
      raw: mosaic [H, W], or camera RGB [H, W, 3].
      illuminant: camera RGB of white, [3].
      pattern: static Bayer phase of a mosaic.
    """
    white = jnp.asarray(illuminant) / illuminant[1]
    if jnp.ndim(raw) == 2:
        white = mosaic(jnp.broadcast_to(white, (*raw.shape, 3)), pattern=pattern)
    return jnp.minimum(raw, white)


_sampled = jax.jit(mosaic, static_argnames="pattern")


def _network(params, name):
    if name not in params:
        raise ValueError(f"params: expected inverse_isp and forward_isp, got {', '.join(params) or 'none'}")
    return params[name]
