"""What a frame shows besides the picture: each stage as pixels, curves as points, how tones are distributed."""

import jax
import numpy as np

from modisp_jax.color import srgb_encode
from modisp_jax.editor.pieces import coefficients_of, number, quantized
from modisp_jax.kernels.tones import count
from modisp_jax.nets.photofinish import guide
from modisp_jax.numerics import mix
from modisp_jax.ops.tone_curve import tone_curve
from modisp_jax.save_stages import LTM_MAPS

CURVE_POINTS = 65

STAGE_VIEWS = {
    "exposed": ("Raw after exposure", "image"),
    "denoised": ("Denoised raw", "image"),
    "linear": ("Linear sRGB: white balance and colour matrix", "image"),
    "linear_small": ("Linear sRGB, small", "image"),
    "gained": ("After the digital gain", "image"),
    "global_tone": ("After global tone mapping", "image"),
    "guide": ("Guide of local tone mapping", "map"),
    **{f"ltm_{name}": (f"Local tone map {name}", "map") for name in LTM_MAPS},
    "local_tone": ("After local tone mapping and tone sliders", "image"),
    "rgb_lut": ("After the 3D colour LUT", "image"),
    "chroma": ("After chroma mapping", "image"),
    "srgb_small": ("Finished small picture", "image"),
    "upsampled": ("After guided upsampling", "image"),
    "enhanced": ("After detail enhancement", "image"),
    "srgb": ("Finished picture", "image"),
}
"""Stages in order of computation: title and kind."""

_PIECE = {
    "linear_small": "adjusted",
    "gained": "gain",
    "global_tone": "gtm",
    "local_tone": "ltm",
    "rgb_lut": "rgb_lut",
    "chroma": "chroma",
    "srgb_small": "gamma",
    "upsampled": "upsampled",
}
_LINEAR = ("exposed", "denoised", "linear", "linear_small", "gained", "global_tone", "local_tone", "rgb_lut", "chroma")
"""Shown through the sRGB curve, as ``save_stages`` writes them."""

_show_linear = jax.jit(lambda image: quantized(srgb_encode(image)))
_show = jax.jit(quantized)
_blend = jax.jit(mix)
_guide = jax.jit(guide)


def stage_pixels(name, shop, recipe):
    """(uint8 [h, w, 3], range of a map or None) of a stage at the worktop's size, pixels as stored.

    Raises:
      ValueError: no such stage, or none in this style.
    """
    if name not in STAGE_VIEWS:
        raise ValueError(f"stage: expected one of {', '.join(STAGE_VIEWS)}; got {name!r}")
    if STAGE_VIEWS[name][1] == "map":
        return _map_pixels(_plane(name, shop, recipe))
    image = _image(name, shop, recipe)
    if image is None:
        raise ValueError(f"stage {name}: the style has no such stage")
    return np.asarray(image if name == "srgb" else (_show_linear if name in _LINEAR else _show)(image)), None


def _image(name, shop, recipe):
    if name == "srgb":
        return shop.want("pixels", recipe)
    if name == "exposed":
        return shop.want("exposed", recipe)
    if name == "denoised":
        return _blend(shop.want("exposed", recipe), shop.want("restored", recipe), number(recipe["denoise"]))
    if name == "linear":
        return shop.want("adjusted", recipe)[0]
    if name == "enhanced":
        return _blend(*shop.want("enhanced", recipe), number(recipe["enhance"]))
    found = shop.want(_PIECE[name], recipe)
    return found[1] if name == "linear_small" else found


def _plane(name, shop, recipe):
    if name == "guide":
        return _guide(shop.style(recipe["enhance_style"])["photofinish"]["ltm"]["guide"], shop.want("gain", recipe))
    maps, _ = coefficients_of("ltm", recipe, shop.want("ltm_look", recipe))
    return maps[..., LTM_MAPS.index(name.removeprefix("ltm_"))]


def _map_pixels(plane):
    plane = np.asarray(plane)
    low, high = float(plane.min()), float(plane.max())
    grey = ((plane - low) * np.float32(255.0 / max(high - low, 1e-12)) + np.float32(0.5)).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=-1), (low, high)


def curves(shop, recipe):
    """The look's curves as numbers that JSON can hold.

    ``gain``; ``gtm`` and ``gamma`` as points [x, y]; ``chroma_lut`` [24][24][2], new (Cb, Cr) at nodes of [-.5, .5], Cb
    along the first axis; ``strengths`` of the stages, those of the edits times those of the mix; ``auto_exposure``.
    """
    shop.want("gamma", recipe)
    found, strengths = {}, {}
    for name in ("gain", "gtm", "chroma", "gamma"):
        found[name], strength = coefficients_of(name, recipe, shop.want(f"{name}_look", recipe))
        strengths[name] = round(float(strength) * recipe[name], 6)
    x = np.linspace(0.0, 1.0, CURVE_POINTS, dtype=np.float32)
    toned, power = np.asarray(tone_curve(x, *found["gtm"])), x ** np.float32(found["gamma"])
    return {
        "gain": float(found["gain"]),
        "gtm": _points(x, toned),
        "gamma": _points(x, power),
        "chroma_lut": np.asarray(found["chroma"], np.float64).round(5).tolist(),
        "strengths": strengths,
        "auto_exposure": float(shop.want("adjusted", recipe)[2]),
    }


def _points(x, y):
    return [[round(float(a), 5), round(float(b), 5)] for a, b in zip(x, y, strict=True)]


def tones(picture, every=1):
    """(histogram [4, 256] of R, G, B and luma, shares of pixels with a channel at 0 and at 255) of uint8 [h, w, 3].

    ``every``: rows and columns that are counted, 2 for every second one; counts are scaled to all pixels.
    """
    counts, darkest, brightest, size = count(picture, every)
    return counts * every**2, {"low": darkest / size, "high": brightest / size}
