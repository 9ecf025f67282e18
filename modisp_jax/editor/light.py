"""The light of a photo for each mode of white balance, found once and kept."""

from typing import NamedTuple

import numpy as np

from modisp_jax.render_settings import set_light

MOST_KEPT = 64
"""Lights of a photo that are kept; a drag of the temperature passes many."""


class LightOptions(NamedTuple):
    """What ``render_settings.set_light`` looks at."""

    white_balance: str | None
    light: tuple | None
    cct: float | None
    tint: float | None
    awb: object
    edits: dict


class Light(NamedTuple):
    """A light that is made white."""

    illuminant: np.ndarray
    """Camera RGB of white [3]."""
    ccm: np.ndarray
    """Colour matrix [3, 3]."""
    about: dict
    """Mode, cct, tint and illuminant, as a picture's record has them."""
    note: str
    """The estimator's remark or ""."""


class Lights:
    """The lights of one photo by mode."""

    def __init__(self, raw, awb=None):
        self._raw, self._awb, self._kept = raw, awb, {}

    def find(self, white_balance):
        """The :class:`Light` of a recipe's ``white_balance``."""
        if white_balance not in self._kept:
            if len(self._kept) >= MOST_KEPT:
                self._kept.pop(next(key for key in self._kept if key[0] in ("custom", "picked") or len(key) > 1))
            self._kept[white_balance] = self._find(*white_balance)
        return self._kept[white_balance]

    def _find(self, mode, *values):
        given = {"white_balance": mode, "light": None, "cct": None, "tint": None, "awb": self._awb, "edits": {}}
        if mode == "custom":
            given |= {"white_balance": None, "cct": float(values[0]), "tint": float(values[1])}
        elif mode == "picked":
            given |= {"light": ("picked", values[0])}
        elif values:
            given["edits"] = {"exposure": values[0]}
        raw, about, note = set_light(self._raw, LightOptions(**given))
        return Light(np.asarray(raw.illuminant, np.float32), np.asarray(raw.ccm, np.float32), about, note)


def picked_illuminant(image, saturation, top, left, height, width):
    """Camera RGB of white [3], G = 1: the mean of a box of a raw's image [H, W, 3] without clipped pixels.

    Raises:
      ValueError: every pixel of the box is clipped or black.
    """
    box = np.asarray(image[top : top + height, left : left + width], np.float64).reshape(-1, 3)
    limit = 0.98 * np.broadcast_to(np.asarray(saturation, np.float64), (3,))
    usable = box[(box < limit).all(axis=1)]
    mean = usable.mean(axis=0) if len(usable) else np.zeros(3)
    if not (mean > 1e-4).all():
        raise ValueError("expected a spot that is neither clipped nor black, to take its colour for white")
    return tuple(round(float(value), 6) for value in mean / mean[1])
