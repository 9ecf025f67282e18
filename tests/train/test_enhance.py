"""What is particular to training detail enhancement; that it runs end to end is in test_main."""

import jax
import jax.numpy as jnp
import numpy as np

from modisp_jax.config import PipelineConfig
from modisp_jax.params import init_params
from modisp_jax.stages import restore
from tests.samples import TINY, numbered_params, photo
from train.enhance import keep_grey

GREY = jnp.asarray(np.repeat(photo(8, 12).mean(-1, keepdims=True), 3, axis=-1))


def params(scale=0.3):
    return numbered_params(init_params(jax.random.key(0), PipelineConfig(None, None, TINY.enhance))["enhance"], scale)


def test_black_and_white_stays_so_and_learns_so():
    """Grey pictures come out grey, and whatever is learned pulls the three channels alike, to the bit."""
    enhance = jax.jit(lambda p: restore.enhance(p, GREY, TINY.enhance))
    assert np.ptp(enhance(params()), axis=-1).max() > 1e-3
    kept = keep_grey(params())
    assert np.ptp(enhance(kept), axis=-1).max() < 1e-6
    assert np.abs(enhance(kept) - GREY).max() > 1e-3

    def loss(p):
        return jnp.abs(enhance(keep_grey(p)) - photo(8, 12)).mean()

    pull = jax.jit(jax.grad(loss))(kept)["out_conv"]
    assert np.abs(pull["kernel"]).max() > 1e-4
    for leaf in (pull["kernel"], pull["bias"]):
        np.testing.assert_array_equal(leaf, np.broadcast_to(leaf[..., :1], leaf.shape))
