"""ParamISP: raw to sRGB and sRGB to raw, steered by exposure data.

W. Kim, G. Kim, J. Lee, S. Lee, S.-H. Baek, S. Cho, "ParamISP: Learned Forward and Inverse ISPs using Camera
Parameters", CVPR 2024, arXiv 2312.13313. Two networks of one architecture, a parameter tree each.

    forward:  mosaic -> CanoNet -> LocalNet -> GlobalNet -> sRGB
    inverse:  sRGB -> GlobalNet -> LocalNet -> CanoNet inverse -> mosaic
"""

import jax
import jax.numpy as jnp

from modisp_jax.config import ParamISPConfig
from modisp_jax.nets.paramisp import SMALLEST, GlobalNet, LocalNet, ParamNet
from modisp_jax.paramisp import canonet
from modisp_jax.paramisp.capture import Capture, equalize
from modisp_jax.paramisp.features import exposure_mask, features
from modisp_jax.paramisp.stages import apply_global
from modisp_jax.types import check_image

PAPER = ParamISPConfig()


def embed(params, capture, illuminant, ccm, config, kept=None):
    """ParamNet's embedding z [E] of a photo's exposure data, or None without ParamNet.

    Args:
      params: of a network, with ``param``.
      capture: a :class:`Capture`.
      illuminant, ccm: [3], [3, 3]; only the released code's ParamNet sees them.
      config: a ``ParamISPConfig``.
      kept: [4] of 0 and 1, in the order of ``PARAMETERS``: those at 0 count as unknown, as in training's dropout.
    """
    if not config.steered:
        return None
    rows, known = equalize(capture, config)
    color = canonet.color_metadata(illuminant, ccm) if config.color_metadata else None
    return ParamNet(config).apply({"params": params["param"]}, rows, known if kept is None else known * kept, color)


def forward_isp(params, mosaic, illuminant, ccm, capture=None, *, pattern="RGGB", config=PAPER, kept=None):
    """A raw photo's sRGB picture, as the camera that the parameters were trained for would finish it.

    ``sRGB = G(x + L(x))`` with ``x = M (demosaic(raw) / n)``, L LocalNet's correction, G GlobalNet's stages.

    Args:
      params: a network's parameters, ``params["forward_isp"]``.
      mosaic: Bayer mosaic [H, W], black 0 and white 1; sides at least 88 and multiples of 4.
      illuminant: camera RGB of white, [3].
      ccm: white-balanced camera RGB to linear sRGB, [3, 3].
      capture: a :class:`Capture`; None: all unknown.
      pattern: static Bayer phase of the top left pixels.
      config: static ``ParamISPConfig`` of the parameters.
      kept: see :func:`embed`.

    Returns:
      sRGB [H, W, 3], not clipped.

    Raises:
      ValueError: a mosaic of another kind or size, or an unknown pattern.

    Reference: paper sections 3.1 to 3.3; facts 1.3 to 1.7.
    """
    check_mosaic(mosaic)
    z = embed(params, Capture() if capture is None else capture, illuminant, ccm, config, kept)
    linear = canonet.to_linear(mosaic, illuminant, ccm, pattern=pattern, clip_balanced=config.clip_balanced)
    mask = exposure_mask(linear, config.mask_start)
    image = linear + _local(params, linear, mask, z, config)
    mask = mask if config.shared_mask else exposure_mask(image, config.mask_start)
    return apply_global(_coefficients(params, image, mask, z, config), image, residual=config.residual)


def inverse_isp(params, srgb, illuminant, ccm, capture=None, *, pattern="RGGB", config=PAPER, kept=None):
    """The raw photo of which a camera made an sRGB picture.

    ``raw = mosaic(n M^-1 (y + L(y)))`` with ``y = G(sRGB)``.

    Args:
      params: a network's parameters, ``params["inverse_isp"]``.
      srgb: picture [H, W, 3] in [0, 1]; sides at least 88 and multiples of 4.
      illuminant, ccm: of the camera's raw photos, [3], [3, 3]. They are given, not found.
      capture: a :class:`Capture`; None: all unknown.
      pattern: static Bayer phase of the mosaic; None: camera RGB of all colours, [H, W, 3].
      config: static ``ParamISPConfig`` of the parameters.
      kept: see :func:`embed`.

    Returns:
      Mosaic [H, W], black 0 and white 1, not clipped; with ``pattern=None`` camera RGB [H, W, 3].

    Raises:
      ValueError: a picture of another kind or size, or an unknown pattern.

    Reference: paper sections 3.1 to 3.3; facts 1.3 to 1.7.
    """
    _, image, correction = inverse_in_parts(params, srgb, illuminant, ccm, capture, config=config, kept=kept)
    if pattern is None:
        return canonet.to_camera(image + correction, illuminant, ccm)
    return canonet.to_mosaic(image + correction, illuminant, ccm, pattern=pattern)


def inverse_in_parts(params, srgb, illuminant, ccm, capture=None, *, config=PAPER, kept=None):
    """What the two networks of :func:`inverse_isp` find; arguments as there.

    Returns:
      ``(coefficients, image, correction)``: of GlobalNet's stages [S, 39], the picture after them, G(sRGB), and
      LocalNet's correction L of that, both [H, W, 3].
    """
    check_size(check_image(srgb, "srgb"), "srgb")
    z = embed(params, Capture() if capture is None else capture, illuminant, ccm, config, kept)
    mask = exposure_mask(srgb, config.mask_start)
    coefficients = _coefficients(params, srgb, mask, z, config)
    image = apply_global(coefficients, srgb, residual=config.residual)
    mask = mask if config.shared_mask else exposure_mask(image, config.mask_start)
    return coefficients, image, _local(params, image, mask, z, config)


def _local(params, image, mask, z, config):
    return LocalNet(config).apply({"params": params["local"]}, features(image, mask, config), z)


def _coefficients(params, image, mask, z, config):
    return GlobalNet(config).apply({"params": params["global"]}, features(image, mask, config), z)


def check_mosaic(mosaic):
    """Raises ``ValueError`` unless this is a mosaic that the networks take."""
    shape, dtype = jnp.shape(mosaic), jnp.result_type(mosaic)
    if len(shape) != 2:
        raise ValueError(f"mosaic: expected [H, W], got shape {shape}")
    if not jnp.issubdtype(dtype, jnp.floating):
        raise ValueError(f"mosaic: expected floating-point values in [0, 1], got dtype {dtype}")
    check_size(shape, "mosaic")


def check_size(size, name):
    """Raises ``ValueError`` unless the networks take images of this size (height, width)."""
    if min(size) < SMALLEST or any(n % 4 for n in size):
        raise ValueError(f"{name}: expected sides of at least {SMALLEST} pixels and multiples of 4, got {tuple(size)}")


def draw_kept(key, rate):
    """ParamNet's dropout: [4] of 0 and 1, each 0 with probability ``rate``, drawn anew for each photo of a step.

    What is left is not scaled up: a missing parameter must look the same in training and in use.
    """
    return jax.random.bernoulli(key, 1.0 - rate, (4,)).astype(jnp.float32)
