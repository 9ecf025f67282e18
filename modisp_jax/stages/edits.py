"""The operators that a person's edits stand for, in two sets; ``RenderConfig.operators`` chooses."""

from collections.abc import Callable
from typing import NamedTuple

from modisp_jax.numerics import clip01
from modisp_jax.ops.classical_denoise import denoise_luma_chroma, published_denoise_luma_chroma
from modisp_jax.ops.edits import edit_colors, edit_tones, sharpen
from modisp_jax.ops.edits_published import published_edit_colors, published_edit_tones, published_sharpen
from modisp_jax.ops.exposure import auto_exposure_ev, expose, published_auto_exposure_ev, published_expose
from modisp_jax.ops.geometry import rotate
from modisp_jax.ops.skip import unless_zero


class Operators(NamedTuple):
    """What each edit does to a picture. All but the first return the picture itself where their sliders are at 0."""

    auto_exposure_ev: Callable
    """linear [H, W, 3] -> EV []."""
    expose: Callable
    """(linear [H, W, 3], EV []) -> [H, W, 3]."""
    denoise: Callable
    """(linear [H, W, 3], luma [], chroma []) -> [H, W, 3]."""
    tones: Callable
    """(quasi-linear [h, w, 3], contrast [], highlights [], shadows []) -> [h, w, 3]."""
    colors: Callable
    """(sRGB [h, w, 3], vibrance [], saturation []) -> [h, w, 3]."""
    sharpen: Callable
    """(sRGB [H, W, 3], amount []) -> [H, W, 3]."""


OPERATORS = {
    "smooth": Operators(auto_exposure_ev, unless_zero(expose), denoise_luma_chroma, edit_tones, edit_colors, sharpen),
    "published": Operators(
        published_auto_exposure_ev,
        unless_zero(published_expose),
        published_denoise_luma_chroma,
        *map(unless_zero, (published_edit_tones, published_edit_colors, published_sharpen)),
    ),
}

SLIDERS_AFTER = {
    "ltm": ("tones", ("contrast", "highlights", "shadows")),
    "gamma": ("colors", ("vibrance", "saturation")),
}
"""Photofinishing stages after which a person edits: the operator and its sliders."""


def turn(image, degrees):
    """:func:`modisp_jax.ops.geometry.rotate` of a picture in [0, 1], where its interpolation's overshoot is clipped."""
    return clip01(rotate(image, degrees))


def edit_after(stage, image, edits, operators):
    """The image [h, w, 3] after the edits that follow a photofinishing stage of that name, if any do."""
    if stage not in SLIDERS_AFTER:
        return image
    operator, sliders = SLIDERS_AFTER[stage]
    image = clip01(image)  # without the tone curves (strength 0) a gain can have left values over 1
    if getattr(edits, sliders[0]) is None:
        return image
    return getattr(OPERATORS[operators], operator)(image, *(getattr(edits, slider) for slider in sliders))
