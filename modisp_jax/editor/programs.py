"""Compiled programs that can be compiled ahead, by any thread, without being run."""

import contextlib
import functools
import threading

_here = threading.local()


def program(jitted):
    """A compiled function that, within :func:`ahead`, is compiled for its arguments and not run.

    Arguments may then be ``jax.ShapeDtypeStruct``s in place of arrays, and such come back. What has been compiled so is
    not compiled again when any thread runs it.
    """

    @functools.wraps(jitted)
    def call(*args, **named):
        pause = getattr(_here, "pause", None)
        if pause is None:
            return jitted(*args, **named)
        pause()
        lowered = jitted.lower(*args, **named)
        pause()
        lowered.compile()
        return lowered.out_info

    call._cache_size = jitted._cache_size
    return call


@contextlib.contextmanager
def ahead(pause=lambda: None):
    """Within it, programs of this thread are compiled and not run; ``pause`` is called before each step of that."""
    _here.pause = pause
    try:
        yield
    finally:
        _here.pause = None
