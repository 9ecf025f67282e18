"""Fitting by gradient: a look to one pair of pictures, a style's networks to several."""

from modisp_jax.fit.look import FitLookConfig, FittedLook, fit_look
from modisp_jax.fit.pairs import Augmentation
from modisp_jax.fit.style import FittedStyle, fit_style
from modisp_jax.fit.style_config import FitStyleConfig, fit_style_config
from modisp_jax.fit.unpaired import UnpairedConfig

__all__ = [
    "Augmentation",
    "FitLookConfig",
    "FitStyleConfig",
    "FittedLook",
    "FittedStyle",
    "UnpairedConfig",
    "fit_look",
    "fit_style",
    "fit_style_config",
]
