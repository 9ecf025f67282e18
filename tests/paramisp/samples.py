"""Small networks and a camera that the tests of ParamISP share."""

import jax
import jax.numpy as jnp

from modisp_jax.config import ParamISPConfig, PipelineConfig
from modisp_jax.params import init_params

SMALL = ParamISPConfig(width=4, embedding=6, blocks=1)
"""Quick to compile."""

ILLUMINANT = jnp.array([0.5, 1.0, 0.6])
CCM = jnp.array([[1.7, -0.5, -0.2], [-0.2, 1.5, -0.3], [0.0, -0.6, 1.6]])


def network(name, config=SMALL):
    """Untrained parameters of one network."""
    return init_params(jax.random.key(0), PipelineConfig(None, None, None, **{name: config}))[name]
