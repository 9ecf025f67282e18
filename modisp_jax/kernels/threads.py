"""Bands of rows on all cores."""

import concurrent.futures
import functools
import os

BANDS_A_CORE = 2
"""More bands than cores, so that a core that is disturbed does not hold up the others."""

LEAST_ROWS = 8
"""Rows of a band at least: its neighbours' rows are computed on top."""


@functools.cache
def _pool():
    return concurrent.futures.ThreadPoolExecutor(cores(), thread_name_prefix="modisp")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.cache_clear)  # a fork has no threads but its own


@functools.cache
def cores():
    """The number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def each_band(height, work, prepare=None):
    """Calls ``work(first, last)`` for bands that together cover ``height`` rows, at the same time.

    ``prepare`` is called for every band before any work begins. The first exception is raised after all have ended.
    """
    rows = max(LEAST_ROWS, -(-height // (BANDS_A_CORE * cores())))
    bands = [(first, min(first + rows, height)) for first in range(0, height, rows)]
    if prepare is not None:
        for band in bands:
            prepare(*band)
    each([functools.partial(work, *band) for band in bands])


def each(works):
    """Calls functions at the same time. The first exception is raised after all have ended."""
    if len(works) == 1:
        works[0]()
        return
    futures = [_pool().submit(work) for work in works]
    concurrent.futures.wait(futures)
    for future in futures:
        future.result()
