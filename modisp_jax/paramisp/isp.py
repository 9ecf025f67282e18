"""ParamISP: raw to sRGB and sRGB to raw, steered by exposure data.

W. Kim, G. Kim, J. Lee, S. Lee, S.-H. Baek, S. Cho, "ParamISP: Learned Forward and Inverse ISPs using Camera
Parameters", CVPR 2024, arXiv 2312.13313. Two networks of one architecture, a parameter tree each.

    forward:  mosaic -> CanoNet -> LocalNet -> GlobalNet -> sRGB
    inverse:  sRGB -> GlobalNet -> LocalNet -> CanoNet inverse -> mosaic
"""

import dataclasses

import jax
import jax.numpy as jnp

from modisp_jax.config import PARAMISP_READINGS, ParamISPConfig
from modisp_jax.kernels import paramisp as kernels
from modisp_jax.kernels.dispatch import on_cpu_unless_moving
from modisp_jax.nets.layers import Linear
from modisp_jax.nets.paramisp import SMALLEST, GlobalNet, LocalNet, ParamNet, config_of, differences
from modisp_jax.paramisp import canonet
from modisp_jax.paramisp.capture import Capture, equalize
from modisp_jax.paramisp.features import features
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
      ValueError: a mosaic of another kind or size, an unknown pattern, or parameters of another shape than ``config``.

    Reference: paper sections 3.1 to 3.3; facts 1.3 to 1.7.
    """
    check_mosaic(mosaic)
    _check_network(params, config)
    z = embed(params, Capture() if capture is None else capture, illuminant, ccm, config, kept)
    linear = canonet.to_linear(mosaic, illuminant, ccm, pattern=pattern, clip_balanced=config.clip_balanced)
    image = linear + _local(params["local"], linear, linear, z, config)
    source = linear if config.shared_mask else image
    return apply_global(_coefficients(params["global"], image, source, z, config), image, residual=config.residual)


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
      ValueError: a picture of another kind or size, an unknown pattern, or parameters of another shape than ``config``.

    Reference: paper sections 3.1 to 3.3; facts 1.3 to 1.7.
    """
    check_size(check_image(srgb, "srgb"), "srgb")
    _check_network(params, config)
    z = embed(params, Capture() if capture is None else capture, illuminant, ccm, config, kept)
    image = apply_global(_coefficients(params["global"], srgb, srgb, z, config), srgb, residual=config.residual)
    linear = image + _local(params["local"], image, srgb if config.shared_mask else image, z, config)
    if pattern is None:
        return canonet.to_camera(linear, illuminant, ccm)
    return canonet.to_mosaic(linear, illuminant, ccm, pattern=pattern)


def _local(params, image, source, z, config):
    """LocalNet's correction of an image whose over-exposure mask is that of ``source``: on CPUs by kernels."""

    def compiled(params, image, source, z):
        return LocalNet(config).apply({"params": params}, features(image, source, config), z)

    def by_kernels(params, image, source, z):
        width = config.width
        added = Linear(width).apply({"params": params["steer"]}, z) if config.steered else jnp.zeros(width)
        return kernels.local_correction(params, image, source, added, config=config)

    return _chosen(by_kernels, compiled, config, params, image, source, z)


def _coefficients(params, image, source, z, config):
    """GlobalNet's coefficients of an image likewise."""
    network = GlobalNet(config)

    def compiled(params, image, source, z):
        return network.apply({"params": params}, features(image, source, config), z)

    def by_kernels(params, image, source, z):
        pooled = kernels.shrunk(params["shrink0"], image, source, config=config)
        return network.apply({"params": params}, pooled, z, 1)

    return _chosen(by_kernels, compiled, config, params, image, source, z)


def _chosen(by_kernels, compiled, config, *arrays):
    if not kernels.supports(config):
        return compiled(*arrays)
    return on_cpu_unless_moving(by_kernels, compiled, *arrays)


def _check_network(params, config):
    """Raises ``ValueError`` unless a network's parameters are of the shape that ``config`` says: kernels rely on it."""
    unseen = {name: getattr(config, name) for name in PARAMISP_READINGS}
    different = differences(dataclasses.replace(config_of(params), **unseen), config)
    if different:
        raise ValueError(f"params: expected a network of the shape that config has, got {different}")


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
