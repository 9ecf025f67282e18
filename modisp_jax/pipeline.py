"""The whole pipeline as one pure function: raw in, finished picture out (paper section 2)."""

import functools

import jax
import jax.numpy as jnp

from modisp_jax.color import rgb_to_ycbcr
from modisp_jax.config import RenderConfig
from modisp_jax.look import finish_by_look, finish_by_networks
from modisp_jax.numerics import clip, clip01
from modisp_jax.ops.geometry import crop_box
from modisp_jax.ops.guided_upsample import apply_affine_grid, fit_affine_grid
from modisp_jax.params import config_of
from modisp_jax.resample import resize_bilinear
from modisp_jax.stages import color, restore
from modisp_jax.stages.edits import OPERATORS, turn
from modisp_jax.types import Edits, Look, Raw, Stages, as_float32, check_image, compiled_edits

MIN_SIDE = 16
QUARTER = 4


def render(params, raw, *, edits=None, config=None, look=None):
    """Renders a raw photo.

    Pure: works under ``jit``, ``vmap`` and ``grad``. Compiled once for each image size and configuration.

    Args:
      params: nested dict of arrays with the keys ``photofinish`` and, each optional, ``denoise`` and ``enhance``.
      raw: a :class:`modisp_jax.Raw`; its image [H, W, 3] is clipped to [0, 1], at least 16 pixels a side.
      edits: an :class:`modisp_jax.Edits`: a person's settings. Default: as the networks decide.
      config: a :class:`modisp_jax.config.RenderConfig`: treatment of clipped highlights, halo fix, operators.
      look: a :class:`modisp_jax.Look` to use instead of the one that the networks choose, or a function from theirs to
        the one to use.

    Returns:
      sRGB [H, W, 3] in [0, 1]; what is left of H and W where the edits crop.

    Raises:
      ValueError: wrong shapes or dtypes, or ``params`` that are no parameter set.

    Reference: "Modular Neural Image Signal Processing", arXiv 2512.08564, section 2.
    """
    raw, edits, config, crop = _prepared(params, raw, edits, config, look)
    # Three programs one after the other, each of which frees what it used; under the caller's jit they become one.
    linear, linear_small = _linear(params, raw, edits, config)
    del raw
    finished = _finish(params["photofinish"], linear_small, edits, config, look)[1].srgb
    complete = _complete if isinstance(linear, jax.core.Tracer) else _complete_in_place  # gradients want it kept
    return cropped(complete(params, linear_small, finished, linear, edits, config), crop)


def render_stages(params, raw, *, edits=None, config=None, look=None):
    """Renders a raw photo as :func:`render` does, and returns every intermediate by name: a ``Stages``."""
    raw, edits, config, crop = _prepared(params, raw, edits, config, look)
    early = _linear_stages(params, raw, edits, config)
    look, finished = _finish(params["photofinish"], early["linear_small"], edits, config, look)
    late = _full_size_stages(params, early["linear_small"], finished.srgb, early["linear"], edits, config)
    return Stages(**early, look=look, finished=finished, **late | {"srgb": cropped(late["srgb"], crop)})


def _prepared(params, raw, edits, config, look):
    """Checks what came; returns (raw, edits as programs take them, config, crop)."""
    _check(params, raw)
    edits = Edits() if edits is None else edits
    size = raw.image.shape[:2]
    if edits.crop is not None:
        crop_box(size, edits.crop)  # which raises before any work
    if isinstance(look, Look) and look.ltm.shape != (*small_size(size), 5):
        raise ValueError(f"look.ltm: expected shape {(*small_size(size), 5)} for this photo, got {look.ltm.shape}")
    return as_float32(raw), compiled_edits(edits), config or RenderConfig(), edits.crop


def cropped(picture, crop):
    """What an :class:`Edits`' ``crop`` leaves of a picture [H, W, 3]."""
    if crop is None:
        return picture
    top, left, height, width = crop_box(picture.shape[:2], crop)
    return picture[top : top + height, left : left + width]


def _check(params, raw):
    if config_of(params).photofinish is None:
        raise ValueError(f"params: rendering needs 'photofinish', got only {sorted(params)}")
    if not isinstance(raw, Raw):
        raise ValueError(f"raw: expected a modisp_jax.Raw, got {type(raw).__name__}")
    size = check_image(raw.image, "raw.image")
    if min(size) < MIN_SIDE:
        raise ValueError(f"raw.image: expected at least {MIN_SIDE} pixels a side, got {size}")
    for name, shapes in (("illuminant", [(3,)]), ("ccm", [(3, 3)]), ("saturation", [(), (3,)])):
        if jnp.shape(getattr(raw, name)) not in shapes:
            raise ValueError(f"raw.{name}: expected shape {shapes[-1]}, got {jnp.shape(getattr(raw, name))}")


@functools.partial(jax.jit, static_argnames="config")
def _linear_stages(params, raw, edits, config):
    """The stages up to linear sRGB, by name; ``linear_small`` is what photofinishing sees."""
    networks = config_of(params)
    exposed = expose_raw(raw.image, edits.exposure)
    denoised = exposed
    if networks.denoise is not None:
        denoised = restore.denoise(
            params["denoise"], exposed, networks.denoise, edits.denoise, activations=config.activations
        )
    linear = to_linear(denoised, raw, edits.exposure, config.clipped_highlights)
    linear, ev = adjust(linear, edits, config.operators)
    return {
        "exposed": exposed,
        "denoised": denoised,
        "linear": linear,
        "auto_exposure": ev,
        "linear_small": shrink(linear),
    }


@functools.partial(jax.jit, static_argnames="config")
def _full_size_stages(params, linear_small, finished, linear, edits, config):
    """The stages from the finished small picture to the full-size one, by name."""
    networks = config_of(params)
    upsampled = upsample(linear_small, finished, linear)
    enhanced = upsampled
    if networks.enhance is not None:
        enhanced = restore.enhance(
            params["enhance"], upsampled, networks.enhance, edits.enhance, activations=config.activations
        )
    return {"upsampled": upsampled, "enhanced": enhanced, "srgb": polish(enhanced, edits, config.operators)}


# The same without what nobody asks for, so that the compiler can work in place.


@functools.partial(jax.jit, static_argnames="config")
def _linear(params, raw, edits, config):
    stages = _linear_stages(params, raw, edits, config)
    return stages["linear"], stages["linear_small"]


def _finish(params, linear_small, edits, config, look):
    """Photofinishing by the networks, by a given look, or by what a given function makes of the networks'."""
    if callable(look):
        look = look(finish_by_networks(params, linear_small, edits, config)[0])
    if look is None:
        return finish_by_networks(params, linear_small, edits, config)
    return finish_by_look(look, linear_small, edits, config.operators)


def _complete_fully(params, linear_small, finished, linear, edits, config):
    return _full_size_stages(params, linear_small, finished, linear, edits, config)["srgb"]


_complete = jax.jit(_complete_fully, static_argnames="config")
_complete_in_place = jax.jit(_complete_fully, static_argnames="config", donate_argnames="linear")


# The steps between the networks, each a function by itself: the editor runs again only what a setting changes.


def expose_raw(image, exposure):
    """The raw [H, W, 3] clipped to [0, 1], times ``2^exposure``."""
    return clip01(image) * _factor(exposure)


def _factor(exposure):
    return jnp.exp2(clip(exposure, -4.0, 4.0))


def to_linear(denoised, raw, exposure, clipped_highlights):
    """Linear sRGB [H, W, 3] of the denoised raw: white balance and colour matrix of ``raw``."""
    return color.to_linear_srgb(
        denoised,
        raw.illuminant,
        raw.ccm,
        saturation=raw.saturation * _factor(exposure),
        clipped_highlights=clipped_highlights,
    )


def adjust(linear, edits, operators):
    """What edits do to the linear picture: (it after automatic exposure and classical denoising, EV that was added)."""
    if edits.auto_exposure is None:
        return linear, jnp.zeros(())
    operators = OPERATORS[operators]
    ev = edits.auto_exposure * operators.auto_exposure_ev(linear)
    return operators.denoise(operators.expose(linear, ev), edits.luma_denoise, edits.chroma_denoise), ev


def polish(enhanced, edits, operators):
    """The enhanced picture after the edits sharpening and rotation."""
    if edits.sharpening is None:
        return enhanced
    return turn(OPERATORS[operators].sharpen(enhanced, edits.sharpening), edits.rotation)


def shrink(linear):
    """The small image that photofinishing sees: floor(H/4) x floor(W/4), bilinear, corners aligned."""
    return resize_bilinear(linear, small_size(linear.shape[:2]))


def small_size(size):
    """(height, width) of the small image of a photo of ``size``."""
    return size[0] // QUARTER, size[1] // QUARTER


def upsample(linear_small, finished, linear):
    """Guided upsampling of the finished small picture, see :func:`apply_upsampling`."""
    return apply_upsampling(fit_upsampling(linear_small, finished), linear)


def fit_upsampling(linear_small, finished):
    """What guided upsampling knows of the small pictures: (grid of models [gh, gw, 16, 3, 4], is it all grey [])."""
    return fit_affine_grid(linear_small, finished), jnp.all(finished == finished[..., :1])


def apply_upsampling(fit, linear):
    """The full-size picture [H, W, 3] of ``linear`` by a :func:`fit_upsampling`; one without any colour stays without.

    Where a model sees few small pixels it leans towards a gain for each channel of ``linear``, which would bring that
    one's colours back into black and white: specks of up to full saturation on real photos.
    """
    grid, grey = fit
    srgb = clip01(apply_affine_grid(grid, linear))
    return jnp.where(grey, rgb_to_ycbcr(srgb)[..., :1], srgb)
