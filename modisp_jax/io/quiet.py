"""Libraries that log each oddity of a file, as an error, to the terminal; what matters of it is checked and raised."""

import contextlib
import logging


@contextlib.contextmanager
def quiet(name):
    """Keeps the library ``name`` (``"tifffile"``, ``"PIL"``) from logging."""
    logger = logging.getLogger(name)
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(level)
