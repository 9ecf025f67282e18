"""A modular neural image signal processor in JAX."""

from modisp_jax._version import __version__ as __version__
