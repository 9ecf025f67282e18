"""Raw inside the JPEG, the learned way: a network chooses curves and exponents by which a raw photo survives JPEG."""

from typing import NamedTuple

import jax

from modisp_jax.config import PipelineConfig
from modisp_jax.nets.raw_adapter import INPUT, NODES, RawAdapterNet
from modisp_jax.numerics import clip01
from modisp_jax.ops.raw_adapter import apply_adaptation, undo_adaptation
from modisp_jax.params import check_network
from modisp_jax.resample import resize_bilinear
from modisp_jax.types import as_float32, check_image


class RawAdaptation(NamedTuple):
    """What the network chooses for a photo; it has to be kept with the processed raw."""

    lut: jax.Array
    """Curves of R, G and B before normalisation, [3, 129]; see :func:`modisp_jax.ops.raw_adapter.curve_nodes`."""
    gamma_map: jax.Array
    """Exponents, [100, 100, 1], in [exp -2, exp 2]; resized to the photo."""


def choose_raw_adaptation(params, image):
    """Lets the network choose curves and exponents for a raw photo.

    Args:
      params: the network's parameters, ``params["io"]["raw_adapter"]``.
      image: camera RGB [H, W, 3] in [0, 1] (clipped), any size; the network sees it at 100 x 100 (bilinear, half-pixel
        centres).

    Returns:
      A :class:`RawAdaptation`.

    Raises:
      ValueError: an image of another shape, integers, or parameters of another network.

    Reference: arXiv 2512.08564, section I.10.
    """
    check_image(image, "image")
    check_network(params, "io", PipelineConfig(None, None, None, io=("raw_adapter",)))
    small = _small(as_float32(image))
    return RawAdaptation(*_choose(params, small))


def process_raw(image, adaptation):
    """Camera RGB [H, W, 3] as JPEG should keep it, in [0, 1]: ``max(curve(x), 1e-8)^gamma``; compiled for each size.

    See :func:`modisp_jax.ops.raw_adapter.apply_adaptation`. Raises ``ValueError`` for wrong shapes.
    """
    return _process(*_checked(image, "image", adaptation))


def restore_raw(processed, adaptation):
    """Camera RGB [H, W, 3] in [0, 1] from what JPEG has kept of :func:`process_raw`, [H, W, 3] in [0, 1].

    See :func:`modisp_jax.ops.raw_adapter.undo_adaptation`. Raises ``ValueError`` for wrong shapes.
    """
    return _restore(*_checked(processed, "processed", adaptation))


def _checked(image, name, adaptation):
    check_image(image, name)
    lut, gamma_map = adaptation
    if lut.shape != (3, NODES):
        raise ValueError(f"adaptation.lut: expected shape {(3, NODES)}, got {lut.shape}")
    if gamma_map.ndim != 3 or gamma_map.shape[-1] != 1 or 0 in gamma_map.shape:
        raise ValueError(f"adaptation.gamma_map: expected shape [h, w, 1], got {gamma_map.shape}")
    return as_float32((image, lut, gamma_map))


_process = jax.jit(apply_adaptation)
_restore = jax.jit(undo_adaptation)


@jax.jit
def _small(image):
    return resize_bilinear(clip01(image), (INPUT, INPUT), align="centers")


@jax.jit
def _choose(params, small):
    return RawAdapterNet().apply({"params": params}, small)
