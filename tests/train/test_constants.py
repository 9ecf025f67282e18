"""Starting a style at the best constants: what they render, that they are found, that the networks then choose them."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from modisp_jax.config import PhotofinishConfig, PipelineConfig, RenderConfig
from modisp_jax.fit.jobs import MEAN_LIMIT, ev, mean_luma
from modisp_jax.look import finish_by_networks
from modisp_jax.metrics import psnr
from modisp_jax.params import init_params
from modisp_jax.types import Edits, as_float32
from tests.samples import photo
from train.constants import finish, fit_constants, neutral, start_from

LINEAR = jnp.stack([jnp.asarray(photo(12, 16, seed=seed)) ** 2.2 * level for seed, level in ((0, 0.3), (1, 0.6))])
SOME = dataclasses.replace(
    neutral(),
    gain_ev=jnp.asarray(0.6),
    curve_ev=jnp.asarray([0.3, -0.7, -1.2]),
    chroma=jnp.asarray([[1.2, 0.05], [-0.03, 0.8]]),
    tint=jnp.asarray([0.01, -0.02]),
)


def test_neutral_constants_are_the_neutral_rendering():
    gained, toned, srgb = finish(neutral(), LINEAR[0])
    np.testing.assert_allclose(gained, LINEAR[0])
    np.testing.assert_allclose(toned, LINEAR[0], atol=1e-6)
    # The matrices to YCbCr and back are inverse to four digits.
    np.testing.assert_allclose(srgb, LINEAR[0] ** (1 / 2.2), atol=2e-3)


@pytest.mark.parametrize("rgb_lut", [False, True])
def test_networks_that_start_from_constants_choose_them_for_every_photo(rgb_lut):
    config = PhotofinishConfig(rgb_lut=rgb_lut, grid_input=128)
    params = start_from(init_params(jax.random.key(0), PipelineConfig(None, config, None))["photofinish"], SOME)
    for linear in LINEAR:
        look, finished = finish_by_networks(params, linear, as_float32(Edits()), RenderConfig())
        gained, toned, srgb = finish(SOME, linear)
        np.testing.assert_allclose(finished.gained, gained, rtol=1e-5)
        np.testing.assert_allclose(look.gtm, 2**SOME.curve_ev, rtol=1e-5)
        np.testing.assert_allclose(finished.global_tone, toned, atol=1e-6)
        np.testing.assert_allclose(finished.local_tone, toned, atol=1e-5)
        np.testing.assert_allclose(finished.srgb, srgb, atol=2e-3)


def test_the_fit_finds_what_made_the_targets_and_keeps_the_curve_to_its_job():
    target = jax.vmap(lambda x: finish(SOME, x)[2])(LINEAR)
    found = fit_constants(LINEAR, target)
    before, after = (
        np.mean([psnr(finish(c, x)[2], t) for x, t in zip(LINEAR, target, strict=True)]) for c in (neutral(), found)
    )
    assert after > before + 10
    for linear in LINEAR:
        gained, toned, _ = finish(found, linear)
        assert abs(ev(mean_luma(toned)) - ev(mean_luma(gained))) < 2 * MEAN_LIMIT
