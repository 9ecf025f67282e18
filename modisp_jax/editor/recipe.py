"""A photo's settings as flat, hashable values by name, of which each piece of a rendering depends on a few."""

import numpy as np

from modisp_jax.checkpoints import mix_weights
from modisp_jax.config import EDIT_RANGES, HaloFixConfig, RenderConfig
from modisp_jax.io.images import crop_as_stored, rotation_as_stored
from modisp_jax.mix import STAGE_NAMES
from modisp_jax.render_settings import LEARNED, neutral_edits

NAMES = (
    *EDIT_RANGES,
    *("crop", "white_balance", "styles", "enhance_style", *(f"weights_{name}" for name in STAGE_NAMES)),
    *("halo_fix", "operators", "clipped_highlights", "denoises", "enhances"),
)
"""Values of a recipe. Edits are as in ``Edits``, for pixels as stored."""


def recipe_of(settings, orientation=1):
    """The recipe of settings in normal form (EDITOR's JSON object), a dict of ``NAMES``.

    ``styles`` are the names of the mix, (None,) for the default one; ``weights_STAGE`` their weights, ``enhance_style``
    the heaviest, which enhances. ``denoises`` and ``enhances`` say whether these networks have any effect.
    """
    edits = neutral_edits() | settings.get("edits", {})
    recipe = {name: float(np.float32(edits[name])) for name in EDIT_RANGES}
    recipe["rotation"] = rotation_as_stored(recipe["rotation"], orientation) + 0.0
    crop = crop_as_stored(edits.get("crop"), orientation)
    light = settings.get("white_balance", {})
    mix = [(part["style"], part.get("weight", 1.0), part.get("weights", {})) for part in settings.get("mix", [])]
    mix = mix or [(None, 1.0, {})]
    weights, heaviest = mix_weights(mix)
    halo_fix = settings.get("halo_fix")
    return recipe | {
        "crop": None if crop is None else tuple(map(float, crop)),
        "white_balance": _light(light, recipe["exposure"]),
        "styles": tuple(style for style, _, _ in mix),
        "enhance_style": mix[heaviest][0],
        **{f"weights_{name}": tuple(map(float, weights[name])) for name in STAGE_NAMES},
        "halo_fix": None if halo_fix is None else HaloFixConfig(iterations=halo_fix),
        "operators": settings.get("operators", "smooth"),
        "clipped_highlights": settings.get("clipped_highlights", "neutral"),
        "denoises": recipe["denoise"] > 0,
        "enhances": recipe["enhance"] > 0,
    }


def _light(light, exposure):
    """(mode, what it needs): networks see the exposed raw, so theirs depends on the exposure."""
    mode = light.get("mode", "as-shot")
    needs = {"custom": ("cct", "tint"), "picked": ("illuminant",)}.get(mode, ())
    values = tuple(tuple(light[name]) if name == "illuminant" else light[name] for name in needs)
    return (mode, *values, *((exposure,) if mode in LEARNED else ()))


def render_config(settings):
    """The :class:`RenderConfig` of settings in normal form."""
    recipe = recipe_of(settings)
    return RenderConfig(**{name: recipe[name] for name in ("clipped_highlights", "halo_fix", "operators")})
