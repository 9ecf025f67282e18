"""One photo at one size on the worktop: the pieces of its rendering, kept until what they depend on changes."""

import itertools
import time
from typing import Any, NamedTuple

import jax
import numpy as np

from modisp_jax.editor.pieces import BEFORE, MAKE, NEEDS, PIECES, live_pixels, number, polishing, scaled


class Cancelled(Exception):
    """Somebody has no use for the frame any more; raised between pieces."""


class Result(NamedTuple):
    """A piece that has been made."""

    key: tuple
    serial: int
    value: Any
    recipe: dict


class Worktop:
    """The pieces of one photo at one size.

    Args:
      raw: a :class:`modisp_jax.Raw`; image and saturation count.
      lights: the photo's :class:`modisp_jax.editor.light.Lights`.
      engine: has ``denoiser``, ``style(name)`` and ``holds``.
      keep: names of the pieces that stay after a frame; None for all.
    """

    def __init__(self, raw, lights, engine, keep=None):
        self.image, self.lights = raw.image, lights
        self.saturation = np.broadcast_to(np.asarray(raw.saturation, np.float32), (3,))
        self.style, self.denoiser = engine.style, engine.denoiser
        self._holds, self._keep = engine.holds, keep
        self._kept, self._serials = {}, itertools.count()
        self._held, self._cancelled = {}, None
        self.timings = {}

    def begin(self, cancelled=None):
        """Begins a frame: its timings, what of it was computed ({piece: ms}), start empty."""
        self.timings, self._held, self._cancelled = {}, {}, cancelled

    def end(self):
        """Ends a frame: lets go of what is not kept."""
        self._held = {}
        if self._keep is not None:
            self._kept = {name: result for name, result in self._kept.items() if name in self._keep}

    def is_current(self, name, recipe):
        """Whether a piece is there as the recipe wants it."""
        return name in self._kept and self._kept[name].key == self._key(name, recipe)

    def kept(self, name):
        """A piece's value as it was last computed, or None."""
        return self._kept[name].value if name in self._kept else None

    def want(self, name, recipe):
        """A piece's value, computed where it is not there."""
        if name in self._held:
            return self._held[name][0]
        key = self._key(name, recipe)
        if name in self._kept and self._kept[name].key == key:
            return self._kept[name].value
        before = [self.want(other, recipe) for other in PIECES[name].after]
        self._kept.pop(name, None)  # its memory may be needed
        value = self._timed(name, lambda: MAKE[name](self, recipe, *before))
        self._kept[name] = Result(key, next(self._serials), value, recipe)
        return value

    def live(self, recipe):
        """(the finished picture uint8 [H, W, 3] before the crop, whether it is exact), quickly.

        Held as they are: what the denoiser made of another exposure, the local tone maps of another picture, and the
        detail that the enhancement added to it. Exact where the enhancement would not have to run.
        """
        if self.is_current("enhanced", recipe):
            return self.want("pixels", recipe), True
        recipe = self.hold(recipe)
        fit, linear = self.want("grid", recipe), self.want("adjusted", recipe)[0]
        before, after = self._kept["enhanced"].value if "enhanced" in self._kept else (linear, linear)
        strength = number(recipe["enhance"])
        make = lambda: np.asarray(live_pixels(fit, linear, before, after, strength, *polishing(recipe)))  # noqa: E731
        return self._timed("live_pixels", make), False

    def hold(self, recipe):
        """Holds slow pieces that the recipe would have computed anew, for this frame; the recipe for the others."""
        if not self.is_current("restored", recipe) and recipe["denoises"]:
            self._held["restored"] = self._hold_restored(recipe)
        if not self.is_current("ltm_look", recipe):
            if self._can_hold_maps(recipe):
                kept = self._kept["ltm_look"]
                self._held["ltm_look"] = kept.value, kept.serial
            else:
                recipe = recipe | {"halo_fix": None}
        return recipe

    def _can_hold_maps(self, recipe):
        kept = self._kept.get("ltm_look")
        slow = self._holds or recipe["halo_fix"] is not None
        return slow and kept is not None and set(recipe["styles"]) <= set(kept.value)

    def rescaled(self, recipe):
        """(the denoiser's output for the exposure of some earlier frame, its ratio to this one's), or None."""
        kept = self._kept.get("restored")
        if kept is None or kept.recipe["denoises"] != recipe["denoises"]:
            return None
        return kept.value, number(2.0 ** (recipe["exposure"] - kept.recipe["exposure"]))

    def _hold_restored(self, recipe):
        """The denoiser's output for another exposure, or, where there is none, the noisy picture; and whose it is."""
        found = self.rescaled(recipe)
        if found is None:
            return self.want("exposed", recipe), None
        return self._timed("rescaled", lambda: scaled(*found)), self._kept["restored"].serial

    def _key(self, name, recipe):
        """What a piece depends on: values of the recipe, and whose results stand in for pieces before it."""
        held = tuple((other, mark) for other, (_, mark) in self._held.items() if other in BEFORE[name])
        return tuple(recipe[setting] for setting in NEEDS[name]), held

    def _timed(self, name, make):
        if self._cancelled is not None and self._cancelled():
            raise Cancelled
        start = time.perf_counter()
        value = jax.block_until_ready(make())
        self.timings[name] = 1e3 * (time.perf_counter() - start)
        return value
