"""The editor's controls in words: what the page writes beside each slider."""

import functools

from modisp_jax.checkpoints import BUILT_IN, PARAMISP, STYLES, list_styles, shipped
from modisp_jax.config import EDIT_RANGES
from modisp_jax.editor.settings import LINEARIZE
from modisp_jax.io.white_balance import CCT_RANGE, TINT_RANGE
from modisp_jax.render_settings import neutral_edits

# name: (group, title, unit, step, tip)
_CONTROLS = {
    "exposure": ("light", "Exposure", "EV", 0.05, "Brightness of the raw, before denoising"),
    "auto_exposure": ("light", "Automatic exposure", "%", 0.01, "Share of the exposure that the automatic finds"),
    "contrast": ("light", "Contrast", "", 0.01, "Steeper or flatter middle tones"),
    "highlights": ("light", "Highlights", "", 0.01, "Bright tones; to the right brighter"),
    "shadows": ("light", "Shadows", "", 0.01, "Dark tones; to the right brighter"),
    "vibrance": ("color", "Vibrance", "", 0.01, "Saturation of muted colours"),
    "saturation": ("color", "Saturation", "", 0.01, "Saturation of all colours; -1 is grey"),
    "denoise": ("detail", "Denoising", "%", 0.01, "Strength of the denoising network"),
    "luma_denoise": ("detail", "Luma denoising", "%", 0.01, "Classical denoising of brightness, after the network"),
    "chroma_denoise": ("detail", "Chroma denoising", "%", 0.01, "Classical denoising of colour, after the network"),
    "enhance": ("detail", "Enhancement", "%", 0.01, "Strength of the detail enhancement network"),
    "sharpening": ("detail", "Sharpening", "", 0.5, "Sharpening of the finished picture"),
    "gain": ("stages", "Digital gain", "%", 0.01, "Strength of the gain that the style chooses"),
    "gtm": ("stages", "Global tone curve", "%", 0.01, "Strength of the tone curve for the whole picture"),
    "ltm": ("stages", "Local tone maps", "%", 0.01, "Strength of the tone curves that vary over the picture"),
    "rgb_lut": ("stages", "Colour table", "%", 0.01, "Strength of the 3D table, where the style has one"),
    "chroma": ("stages", "Chroma map", "%", 0.01, "Strength of the map of colours"),
    "gamma": ("stages", "Power curve", "%", 0.01, "Strength of the power curve at the end; at 0 the picture is linear"),
    "rotation": ("geometry", "Rotation", "°", 0.1, "Clockwise; the picture is enlarged until no corner is empty"),
}


def edit_controls():
    """{name: {"low", "high", "neutral", "step", "unit", "title", "tip", "group"}} of each slider, in the page's order.

    A unit of % stands for shares: 1 is shown as 100 %.
    """
    neutral = neutral_edits()
    return {
        name: {
            "low": EDIT_RANGES[name][0],
            "high": EDIT_RANGES[name][1],
            "neutral": neutral[name],
            "step": step,
            "unit": unit,
            "title": title,
            "tip": tip,
            "group": group,
        }
        for name, (group, title, unit, step, tip) in _CONTROLS.items()
    }


def light_controls(modes):
    """What the page needs to know of the white balance."""
    return {"modes": list(modes), "cct": list(CCT_RANGE), "tint": list(TINT_RANGE)}


_LINEARIZE = {
    "inverse": ("the inverse of the style", "The light of which the style natural makes this photo, found by trying"),
    "curve": ("a fixed curve", "The same curve for every photo; at once"),
    "paramisp": ("ParamISP", "A network that takes back what cameras do, steered by the photo's exposure data"),
}


def linearize_controls():
    """[{"name", "title", "tip"}] of the ways by which finished photos can become raw ones here, the default first."""
    there = [name for name in LINEARIZE if name != PARAMISP or shipped(PARAMISP).is_file()]
    return [dict(zip(("name", "title", "tip"), (name, *_LINEARIZE[name]), strict=True)) for name in there]


def style_controls(making):
    """[{"name", "description", "own", "has_lut"}] of the styles that there are, the person's own last."""
    shipped = dict(_shipped())
    if default_style(making) == "neutral":
        shipped = {"neutral": "the plain, correct rendering"} | shipped
    rows = [{"name": name, "description": text, "own": False, "has_lut": False} for name, text in shipped.items()]
    sets = making.own.sets
    return rows + [
        {"name": one.name, "description": one.what, "own": True, "has_lut": "rgb_lut" in sets[one.name]["photofinish"]}
        for one in making.own.styles
    ]


def default_style(making):
    """The name of the style that settings without a mix stand for."""
    if making.params not in BUILT_IN:
        return making.own.params
    return "neutral" if making.params == "neutral" or not _shipped() else STYLES[0]


@functools.cache
def _shipped():
    return list_styles()
