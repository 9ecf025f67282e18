"""Penalties of the stages' jobs: nothing for a look that keeps to them, something for each way of leaving them."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from modisp_jax.fit.jobs import JobWeights, ev, job_losses, mean_luma
from modisp_jax.look import finish_by_look
from modisp_jax.ops.lut import identity_chroma_lut
from modisp_jax.types import Edits, Look, as_float32
from tests.samples import photo

LINEAR = jnp.asarray(photo(16, 24)) ** 2.2 * 0.4
NEUTRAL = Look(
    gain=jnp.float32(1.0),
    gtm=jnp.ones(3),
    ltm=jnp.ones((16, 24, 5)),
    chroma_lut=jnp.asarray(identity_chroma_lut()),
    inverse_gamma=jnp.float32(1 / 2.2),
)


def losses(look, target_gain=1.0):
    target = jnp.clip(target_gain * LINEAR, 0, 1) ** (1 / 2.2)
    finished = finish_by_look(look, LINEAR, as_float32(Edits()))[1]
    return job_losses(look, finished, LINEAR, target)


def test_a_neutral_look_costs_nothing_where_nothing_is_to_be_done():
    for term, value in losses(NEUTRAL).items():
        assert value == pytest.approx(0, abs=1e-5), term


def test_the_gain_is_asked_for_what_mean_luma_lacks():
    right = dataclasses.replace(NEUTRAL, gain=jnp.float32(2.0))
    assert losses(right, 2.0)["gain_job"] < 1e-3  # but for what clips
    assert losses(NEUTRAL, 2.0)["gain_job"] == pytest.approx(JobWeights().gain, rel=0.1)  # one EV, squared


@pytest.mark.parametrize(
    ("term", "change"),
    [
        ("gamma_job", {"inverse_gamma": jnp.float32(1 / 1.3)}),
        ("global_mean_job", {"gtm": jnp.array([0.6, 1.0, 1.0])}),
        ("local_mean_job", {"ltm": jnp.ones((16, 24, 5)).at[..., 4].set(2.0)}),
        ("local_effort_job", {"ltm": jnp.ones((16, 24, 5)).at[:8, :, 4].set(2.0)}),
        ("curve_job", {"gtm": jnp.array([1.0, 1.0, 1e-6])}),
        ("curve_job", {"ltm": jnp.ones((16, 24, 5)).at[..., 0].set(0.0)}),
    ],
)
def test_each_way_of_leaving_a_job_costs(term, change):
    assert losses(dataclasses.replace(NEUTRAL, **change))[term] > 1e-3


def test_gradients_are_finite_at_the_bounds():
    look = dataclasses.replace(NEUTRAL, gtm=jnp.zeros(3), ltm=jnp.zeros((16, 24, 5)))
    gradient = jax.grad(lambda look: sum(losses(look).values()))(look)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))


def test_units():
    assert ev(jnp.float32(2.0)) == pytest.approx(1.0)
    assert mean_luma(jnp.full((4, 4, 3), 0.25)) == pytest.approx(0.25, rel=1e-5)
    assert mean_luma(jnp.zeros((4, 4, 3))) == pytest.approx(1e-4)
