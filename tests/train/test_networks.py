"""Networks that training goes on from: those of the experiment, or an error that says what came instead."""

import dataclasses
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from modisp_jax.checkpoints import save_params
from modisp_jax.config import PipelineConfig
from modisp_jax.params import init_params
from tests.samples import TINY
from train.networks import load_network


def enhancement(**changes):
    config = dataclasses.replace(TINY.enhance, **changes)
    return init_params(jax.random.key(0), PipelineConfig(None, None, config))["enhance"]


@pytest.fixture
def file(tmp_path):
    save_params(tmp_path / "found.safetensors", {"enhance": enhancement()})
    return tmp_path / "found.safetensors"


def test_a_network_of_a_file_comes_as_it_is(file):
    for fresh in (None, jax.tree.map(jnp.zeros_like, enhancement())):
        jax.tree.map(np.testing.assert_array_equal, load_network(file, "enhance", fresh), enhancement())
    assert load_network("neutral", "photofinish")["gain"]


def test_another_network_is_refused(file):
    width = TINY.enhance.width
    kernel = (3, 3, 3, width)
    lacking = {name: part for name, part in enhancement().items() if name != "in_conv"}
    for entry, fresh, message in (
        ("denoise", None, "expected weights of denoise, got enhance"),
        ("enhance", enhancement(width=2 * width), f"attention/bias ({2 * width},), got ({width},)"),
        ("enhance", lacking, f"expected enhance of the experiment's shapes, in_conv/bias nothing, got ({width},)"),
        ("enhance", enhancement() | {"zoom": {"kernel": jnp.zeros(kernel)}}, f"zoom/kernel {kernel}, got nothing"),
    ):
        with pytest.raises(ValueError, match=re.escape(f"{file}: ") + ".*" + re.escape(message)):
            load_network(file, entry, fresh)
