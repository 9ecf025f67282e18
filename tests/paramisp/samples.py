"""Small networks and a camera that the tests of ParamISP share."""

import dataclasses

import jax
import jax.numpy as jnp

from modisp_jax import checkpoints, inputs
from modisp_jax.checkpoints import save_params
from modisp_jax.config import ParamISPConfig, PipelineConfig
from modisp_jax.params import init_params

SMALL = ParamISPConfig(width=4, embedding=6, blocks=1)
"""Quick to compile."""
QUICK = dataclasses.replace(SMALL, blocks=0, stages=1)
"""Quicker."""

ILLUMINANT = jnp.array([0.5, 1.0, 0.6])
CCM = jnp.array([[1.7, -0.5, -0.2], [-0.2, 1.5, -0.3], [0.0, -0.6, 1.6]])


def network(name, config=SMALL):
    """Untrained parameters of one network."""
    return init_params(jax.random.key(0), PipelineConfig(None, None, None, **{name: config}))[name]


def write_networks(path):
    """A file with an untrained inverse network, which takes back a gamma of 2.2; returns the path."""
    save_params(path, {"inverse_isp": network("inverse_isp", QUICK)}, {"paramisp": dataclasses.asdict(QUICK)})
    return path


def ship(patch, folder):
    """Has the program find such a file among the weights that ship, which go to ``folder`` as links."""
    folder.mkdir()
    for file in checkpoints.WEIGHTS.iterdir():
        if file.name != "paramisp.safetensors":
            (folder / file.name).symlink_to(file)
    write_networks(folder / "paramisp.safetensors")
    patch.setattr(checkpoints, "WEIGHTS", folder)
    patch.setattr(inputs, "_paramisp", inputs._paramisp.__wrapped__)  # it would keep them for the tests that follow
