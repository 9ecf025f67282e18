"""The pieces of a rendering, what each depends on, and their compiled programs.

A piece is computed again when one of its settings, or a piece before it, has changed; nothing else is. The functions
are those of which ``pipeline.render`` is made, compiled one by one: every slider is traced, so that none compiles, and
so are the parameters, so that styles of one architecture share programs.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from modisp_jax.editor.programs import program
from modisp_jax.kernels import grid as kernels
from modisp_jax.kernels.dispatch import on_cpu
from modisp_jax.look import apply_stage, predict_stage
from modisp_jax.mix import mean_of, strength_of
from modisp_jax.numerics import clip01, mix
from modisp_jax.ops.bilateral_grid import places
from modisp_jax.params import nafnet_config, photofinish_config
from modisp_jax.pipeline import adjust, apply_upsampling, expose_raw, fit_upsampling, polish, shrink, to_linear
from modisp_jax.stages import FINISH_STAGES, restore
from modisp_jax.stages.edits import SLIDERS_AFTER
from modisp_jax.types import SLIDER_GROUPS, Edits, Raw

STAGE = {stage.name: stage for stage in FINISH_STAGES}
OF_LINEAR, _, OF_PICTURE = SLIDER_GROUPS


class Piece(NamedTuple):
    """What a piece depends on directly."""

    after: tuple
    """Pieces whose results it takes."""
    settings: tuple
    """Values of the recipe that it looks at."""


def _sliders(stage):
    """Sliders of the edits that follow a stage, and who decides what they do."""
    return (*SLIDERS_AFTER[stage][1], "operators") if stage in SLIDERS_AFTER else ()


PIECES = {
    "exposed": Piece((), ("exposure",)),
    "restored": Piece(("exposed",), ("denoises",)),
    "light": Piece((), ("white_balance",)),
    "linear": Piece(("exposed", "restored", "light"), ("denoise", "exposure", "clipped_highlights")),
    "adjusted": Piece(("linear",), (*OF_LINEAR, "operators")),
    "gain_look": Piece(("adjusted",), ("styles",)),
    "gain": Piece(("adjusted", "gain_look"), ("gain", "weights_gain")),
    "gtm_look": Piece(("gain",), ("styles",)),
    "gtm": Piece(("gain", "gtm_look"), ("gtm", "weights_gtm")),
    "ltm_look": Piece(("gain", "gtm"), ("styles", "halo_fix")),
    "ltm": Piece(("gain", "gtm", "ltm_look"), ("ltm", "weights_ltm", *_sliders("ltm"))),
    "rgb_lut_look": Piece((), ("styles",)),
    "rgb_lut": Piece(("ltm", "rgb_lut_look"), ("rgb_lut", "weights_rgb_lut")),
    "chroma_look": Piece(("ltm", "rgb_lut"), ("styles",)),
    "chroma": Piece(("ltm", "rgb_lut", "chroma_look"), ("chroma", "weights_chroma")),
    "gamma_look": Piece(("chroma",), ("styles",)),
    "gamma": Piece(("chroma", "gamma_look"), ("gamma", "weights_gamma", *_sliders("gamma"))),
    "grid": Piece(("adjusted", "gamma"), ()),
    "upsampled": Piece(("adjusted", "grid"), ()),
    "enhanced": Piece(("upsampled",), ("enhances", "enhance_style")),
    "pixels": Piece(("upsampled", "enhanced"), ("enhance", *OF_PICTURE, "operators")),
}
"""Every piece, in an order in which they can be computed."""


def _all_before():
    before = {}
    for name, piece in PIECES.items():
        before[name] = frozenset(piece.after).union(*(before[other] for other in piece.after))
    return before


BEFORE = _all_before()
"""The pieces before each one, directly or not."""

NEEDS = {
    name: tuple(dict.fromkeys(setting for one in PIECES if one in BEFORE[name] | {name} for setting in PIECES[one][1]))
    for name in PIECES
}
"""The values of the recipe on which each piece depends, directly or not."""


# The programs. What they are compiled for besides sizes: the networks' shapes and the static words.

exposed = jax.jit(expose_raw)


@jax.jit
def restored(params, image):
    """The denoiser's output at full strength, [H, W, 3]."""
    return restore.denoise(params, image, nafnet_config(params))


@jax.jit
def scaled(image, ratio):
    """``ratio * image``: what the denoiser would make of another exposure, nearly."""
    return image * ratio


@functools.partial(jax.jit, static_argnames="clipped_highlights")
def linear(image, network, strength, raw, exposure, clipped_highlights):
    """(linear sRGB [H, W, 3], the small one) of the exposed raw and the denoiser's output; ``raw`` has the light."""
    found = to_linear(mix(image, network, strength), raw, exposure, clipped_highlights)
    return found, shrink(found)


@functools.partial(jax.jit, static_argnames="operators")
def adjusted(image, sliders, operators):
    """(linear sRGB, the small one, EV) after automatic exposure and classical denoising."""
    found, ev = adjust(image, Edits(**sliders), operators)
    return found, shrink(found), ev


@functools.partial(jax.jit, static_argnames=("name", "variant", "halo_fix"))
def predicted(style, images, name, variant, halo_fix=None):
    """The coefficients that a stage's network chooses; ``style`` holds that stage's parameters alone."""
    return predict_stage(STAGE[name], style, images, variant, halo_fix)


@jax.jit
def mixed(chosen, weights):
    """(the mean of several styles' coefficients, the stage's strength)."""
    return mean_of(chosen, weights), clip01(strength_of(weights))


@functools.partial(jax.jit, static_argnames=("name", "operators"))
def applied(coefficients, image, images, strengths, sliders, name, operators):
    """The small image after a stage and the edits that follow it; ``strengths`` are the edit's and the mix's."""
    return apply_stage(
        STAGE[name], coefficients, image, images, strengths[0] * strengths[1], Edits(**sliders), operators
    )


grid = jax.jit(fit_upsampling)
upsampled = jax.jit(apply_upsampling)


@jax.jit
def enhanced(params, image):
    """The enhancement's output at full strength, [H, W, 3]."""
    return restore.enhance(params, image, nafnet_config(params))


def quantized(srgb):
    """uint8 [...] of [...] in [0, 1], as ``io.images.quantize``."""
    return (clip01(srgb) * 255.0 + 0.5).astype(jnp.uint8)


@functools.partial(jax.jit, static_argnames=("polishes", "operators"))
def pixels(image, network, strength, sliders, polishes, operators):
    """The finished picture, uint8 [H, W, 3], before the crop."""
    found = mix(image, network, strength)
    return quantized(polish(found, Edits(**sliders), operators) if polishes else found)


@functools.partial(jax.jit, static_argnames=("polishes", "operators"))
def live_pixels(fit, image, before, after, strength, sliders, polishes, operators):
    """The finished picture with the detail that the enhancement added to an earlier one, ``after - before``."""

    def compiled(nodes, grey, image, before, after, strength):
        found = clip01(apply_upsampling((nodes, grey != 0), image) + strength * (after - before))
        return found if polishes else quantized(found)

    def kernel(nodes, *scene):
        axes, models = places(image, nodes, "edges"), nodes.reshape(*nodes.shape[:3], 12)
        return kernels.upsampled(*axes, models, *scene, finished=not polishes)

    nodes, grey = fit
    found = on_cpu(kernel, compiled, nodes, grey.astype(jnp.float32), image, before, after, strength)
    return quantized(polish(found, Edits(**sliders), operators)) if polishes else found


exposed, restored, scaled, linear, adjusted = map(program, (exposed, restored, scaled, linear, adjusted))
predicted, mixed, applied, grid = map(program, (predicted, mixed, applied, grid))
upsampled, enhanced, pixels, live_pixels = map(program, (upsampled, enhanced, pixels, live_pixels))


# How a piece is made: a function of the shop (raw, light and parameters), the recipe and the pieces before it.


def number(value):
    """A slider's value as programs take it."""
    return np.float32(value)


def numbers(recipe, names):
    """Sliders by name as programs take them."""
    return {name: number(recipe[name]) for name in names}


def _make_exposed(shop, recipe):
    return exposed(shop.image, number(recipe["exposure"]))


def _make_restored(shop, recipe, image):
    denoiser = shop.denoiser if recipe["denoises"] else None
    return image if denoiser is None else restored(denoiser, image)


def _make_light(shop, recipe):
    return shop.lights.find(recipe["white_balance"])


def _make_linear(shop, recipe, image, network, light):
    raw = Raw(None, light.illuminant, light.ccm, shop.saturation)
    strength = number(recipe["denoise"])
    return linear(image, network, strength, raw, number(recipe["exposure"]), recipe["clipped_highlights"])


def _make_adjusted(shop, recipe, before):
    if not any(recipe[name] for name in OF_LINEAR):
        return *before, 0.0
    return adjusted(before[0], numbers(recipe, OF_LINEAR), recipe["operators"])


def _look(name, *images):
    """Makes the coefficients that each style's network chooses from images by name: {style: coefficients or None}."""

    def make(shop, recipe, *before):
        found = {}
        for style in recipe["styles"]:
            params = shop.style(style)["photofinish"]
            if name not in params:
                found[style] = None
                continue
            seen = {
                image: value[1] if image == "linear_small" else value
                for image, value in zip(images, before, strict=True)
            }
            halo_fix = recipe["halo_fix"] if name == "ltm" else None
            found[style] = predicted({name: params[name]}, seen, name, photofinish_config(params), halo_fix)
        return found

    return make


def coefficients_of(name, recipe, chosen):
    """(coefficients of a stage, strength by the mix) of what each style chose; (None, 1) where none has the stage."""
    chosen = [chosen[style] for style in recipe["styles"]]
    if all(one is None for one in chosen):
        return None, np.float32(1)
    return mixed(chosen, np.asarray(recipe[f"weights_{name}"], np.float32))


def _apply(name, image, *images):
    """Makes the image after a stage; ``image`` is the place of its input among the pieces before, the rest by name."""

    def make(shop, recipe, *before):
        coefficients, strength = coefficients_of(name, recipe, before[-1])
        if coefficients is None:
            return None
        before = [value[1] if isinstance(value, tuple) else value for value in before[:-1]]
        seen = dict(zip(images, before, strict=False))
        sliders = numbers(recipe, _sliders(name)[:-1])
        strengths = (number(recipe[name]), strength)
        return applied(coefficients, before[image], seen, strengths, sliders, name, recipe["operators"])

    return make


def _make_chroma(shop, recipe, toned, by_lut, chosen):
    return _apply("chroma", 0)(shop, recipe, toned if by_lut is None else by_lut, chosen)


def _make_grid(shop, recipe, before, finished):
    return grid(before[1], finished)


def _make_upsampled(shop, recipe, before, fit):
    return upsampled(fit, before[0])


def _make_enhanced(shop, recipe, image):
    """(the upsampled picture, what the enhancement makes of it)."""
    network = shop.style(recipe["enhance_style"]).get("enhance") if recipe["enhances"] else None
    return image, image if network is None else enhanced(network, image)


def _make_pixels(shop, recipe, image, network):
    return np.asarray(pixels(image, network[1], number(recipe["enhance"]), *polishing(recipe)))


def polishing(recipe):
    """(sliders, whether there is anything to do, operators to do it with) of the edits of the finished picture."""
    works = any(recipe[name] for name in OF_PICTURE)
    return numbers(recipe, OF_PICTURE), works, recipe["operators"] if works else None


MAKE = {
    "exposed": _make_exposed,
    "restored": _make_restored,
    "light": _make_light,
    "linear": _make_linear,
    "adjusted": _make_adjusted,
    "gain_look": _look("gain", "linear_small"),
    "gain": _apply("gain", 0),
    "gtm_look": _look("gtm", "gained"),
    "gtm": _apply("gtm", 0),
    "ltm_look": _look("ltm", "gained", "global_tone"),
    "ltm": _apply("ltm", 1, "gained"),
    "rgb_lut_look": _look("rgb_lut"),
    "rgb_lut": _apply("rgb_lut", 0),
    "chroma_look": _look("chroma", "local_tone", "rgb_lut"),
    "chroma": _make_chroma,
    "gamma_look": _look("gamma", "chroma"),
    "gamma": _apply("gamma", 0),
    "grid": _make_grid,
    "upsampled": _make_upsampled,
    "enhanced": _make_enhanced,
    "pixels": _make_pixels,
}
"""How each piece is made."""
