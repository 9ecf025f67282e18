"""Compiles, while nobody waits for a frame, what exact views at 1:1 need: in a thread of its own, without running it.

The proxy's programs are compiled at the start (:mod:`modisp_jax.editor.warm`). Those of the full size take longer than
anybody would wait for, so they are compiled afterwards; until then the proxy, enlarged, stands in for the exact view.
"""

import collections
import threading
import time
import traceback

import jax
import jax.numpy as jnp
import numpy as np

from modisp_jax.config import HIGHLIGHTS, OPERATORS, HaloFixConfig
from modisp_jax.describe import explain
from modisp_jax.editor.darkroom import proxy_size
from modisp_jax.editor.light import Lights
from modisp_jax.editor.programs import ahead
from modisp_jax.editor.recipe import recipe_of
from modisp_jax.editor.warm import MOST_MIXED, SLIDERS, architectures
from modisp_jax.editor.worktop import Worktop
from modisp_jax.types import Raw

QUIET = 0.4
"""Seconds without a frame after which the next program is compiled."""
LOOKS = 0.05
"""Seconds between two looks at whether it is quiet."""


class _Ended(Exception):
    """The editor is ending."""


class Ahead:
    """Compiles what has been asked for, in order.

    Args:
      engine: the :class:`modisp_jax.editor.darkroom.Engine`.
      idle: a function that says for how many seconds nobody has waited for a frame; frames go first.
      say: called with each line that tells how far it is.
    """

    def __init__(self, engine, idle=lambda: QUIET, say=lambda line: None):
        self._engine, self._idle, self._say = engine, idle, say
        self._queue, self._known, self._done = collections.deque(), set(), set()
        self._ready = threading.Condition()
        self._ended, self._thread, self.message = False, None, ""

    def view_at_full_size(self, size):
        """Has the exact views at 1:1 compiled of photos that are stored with (height, width) ``size``."""
        if proxy_size(size) != tuple(size):
            self._want(("full", tuple(size)))

    def missing(self, size, settings, is_crop):
        """What a frame has to wait for, in words, or ""; has it compiled.

        Args:
          size: (height, width) of the photo as stored.
          settings: in normal form.
          is_crop: whether a part of the full-size picture is wanted; else the proxy is.
        """
        size = tuple(size)
        small = proxy_size(size)
        keys = [("full", size)] if is_crop and small != size else []
        iterations = settings.get("halo_fix")
        if iterations not in (None, HaloFixConfig().iterations):
            keys.append(("halo", size if is_crop else small, iterations))
        for key in keys:
            self._want(key)
        with self._ready:
            if all(key in self._done for key in keys):
                return ""
            return self.message or "compiling"

    def _want(self, key):
        with self._ready:
            if self._ended or key in self._known:
                return
            self._known.add(key)
            # What somebody looks at now goes before what somebody might look at.
            self._queue.append(key) if key[0] == "full" else self._queue.appendleft(key)
            self.message = self.message or "compiling"
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="modisp-compile", daemon=True)
                self._thread.start()
            self._ready.notify_all()

    def wait(self, seconds):
        """Waits until all is compiled, at most so long; returns whether it is."""
        with self._ready:
            return self._ready.wait_for(lambda: self._known == self._done, seconds)

    def end(self, seconds):
        """Ends after the program at work; returns whether the thread has ended in time."""
        with self._ready:
            self._ended = True
            self._ready.notify_all()
        if self._thread is not None:
            self._thread.join(seconds)
        return self._thread is None or not self._thread.is_alive()

    def _run(self):
        while True:
            with self._ready:
                self._ready.wait_for(lambda: self._queue or self._ended)
                if self._ended:
                    return
                key = self._queue.popleft()
            try:
                self._compile(key)
            except _Ended:
                return
            except Exception as error:  # then it is compiled when it is needed, and fails there if it must
                traceback.print_exception(error)
                self._say(f"could not compile ahead: {explain(error, '')}")
            with self._ready:
                self._done.add(key)
                self.message = "compiling" if self._queue else ""
                self._ready.notify_all()

    def _compile(self, key):
        kind, size, *iterations = key
        settings = {"halo_fix": iterations[0]} if iterations else {}
        recipes = [recipe_of(settings)] if kind == "halo" else _of_full_size(self._engine)
        title = f"the halo fix with {iterations[0]} iterations" if iterations else "the exact view at 1:1"
        table = abstract_worktop(size, self._engine)
        with ahead(self._pause):
            for number, recipe in enumerate(recipes, 1):
                self.message = f"compiling {title} ({number} of {len(recipes)})"
                table.begin()
                table.want("pixels", recipe)
                table.end()
        self._say(f"compiled {title}")

    def _pause(self):
        """Waits while somebody waits for frames, or has just got one."""
        while not self._ended and self._idle() < QUIET:
            time.sleep(LOOKS)
        if self._ended:
            raise _Ended


def abstract_worktop(size, engine):
    """A worktop of a photo of which only the size is there, for use within :func:`modisp_jax.editor.programs.ahead`."""
    light = jnp.array([0.5, 1.0, 0.6], jnp.float32)
    raw = Raw(jax.ShapeDtypeStruct((*size, 3), jnp.float32), light, jnp.eye(3), np.ones(3, np.float32))
    return Worktop(raw, Lights(raw), engine)


def _of_full_size(engine):
    """Recipes that need every program that exact pictures can need."""
    found = [recipe_of({})]
    for operators, clipped in zip(OPERATORS, HIGHLIGHTS, strict=True):
        found.append(recipe_of({"edits": SLIDERS, "operators": operators, "clipped_highlights": clipped}))
    found.append(recipe_of({"halo_fix": HaloFixConfig().iterations}))
    for name in architectures(engine):
        found.append(recipe_of({"mix": [{"style": name}]}))
    for count in range(2, MOST_MIXED + 1):
        mixed = recipe_of({"mix": [{"style": "?"}] * count})
        found.append(mixed | {"styles": (None,) * count, "enhance_style": None})
    return found
