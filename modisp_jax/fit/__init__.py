"""Fitting by gradient: a look to one pair of pictures, a style's networks to several."""

from modisp_jax.fit.look import FitLookConfig, FittedLook, fit_look

__all__ = ["FitLookConfig", "FittedLook", "fit_look"]
