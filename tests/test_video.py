"""Looks smoothed over time: what stays, how steps settle, streaming as the batch."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import modisp_jax as mj
from modisp_jax.ops.lut import identity_chroma_lut, identity_rgb_lut
from modisp_jax.video import exponential_step, smooth_exponential, start_exponential, start_window, window_step
from tests.samples import EXTREMES

FRAMES = 14
LOW = {"gain": 0.25, "gtm": 0.0, "ltm": 0.0, "chroma_lut": -0.5, "inverse_gamma": 1 / 3, "rgb_lut": 0.0}
HIGH = {"gain": 4.0, "gtm": 3.0, "ltm": 2.0, "chroma_lut": 0.5, "inverse_gamma": 1 / 1.2, "rgb_lut": 1.0}


def looks(rgb_lut=True, frames=FRAMES, seed=0):
    """Stacked looks of random coefficients within their ranges."""
    rng = np.random.default_rng(seed)
    shapes = {"gain": (), "gtm": (3,), "ltm": (4, 5, 5), "chroma_lut": (24, 24, 2), "inverse_gamma": ()}
    shapes |= {"rgb_lut": (11, 11, 11, 3)} if rgb_lut else {}
    leaves = {k: rng.uniform(LOW[k], HIGH[k], (frames, *shape)).astype(np.float32) for k, shape in shapes.items()}
    return mj.Look(**{k: jnp.asarray(leaf) for k, leaf in leaves.items()})


def at(stacked, frame):
    return jax.tree.map(lambda x: x[frame], stacked)


def close(a, b, **tolerance):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_allclose(x, y, **tolerance)


def streamed(start, step, stacked):
    """Frame by frame under one jit, stacked again."""
    state, step, smoothed = start, jax.jit(step), []
    stacked = jax.device_get(stacked)
    for frame in range(len(stacked.gain)):
        state, look = step(state, at(stacked, frame))
        smoothed.append(look)
    return jax.tree.map(lambda *leaves: np.stack(leaves), *smoothed)


SMOOTHERS = {
    "window": functools.partial(mj.smooth_looks, window=4),
    "published": mj.smooth_looks,
    "exponential": functools.partial(smooth_exponential, decay=0.7),
}


@pytest.mark.parametrize("name", SMOOTHERS)
@pytest.mark.parametrize("rgb_lut", [True, False])
def test_what_does_not_change_stays(name, rgb_lut):
    still = jax.tree.map(lambda x: jnp.broadcast_to(x[:1], x.shape), looks(rgb_lut))
    smoothed = SMOOTHERS[name](still)
    close(smoothed, still, rtol=1e-6)
    assert (smoothed.rgb_lut is None) == (not rgb_lut)


@pytest.mark.parametrize("name", SMOOTHERS)
def test_coefficients_keep_their_ranges(name):
    smoothed = SMOOTHERS[name](looks())
    for field in LOW:
        leaf = getattr(smoothed, field)
        assert leaf.min() >= LOW[field] - 1e-6
        assert leaf.max() <= HIGH[field] * (1 + 1e-6)


def test_each_frame_is_the_mean_of_the_last():
    stacked, smoothed = jax.device_get(looks()), jax.device_get(mj.smooth_looks(looks()))
    for frame in range(FRAMES):
        expected = jax.tree.map(lambda x, t=frame: np.mean(x[max(0, t - 8) : t + 1], axis=0), stacked)
        close(at(smoothed, frame), expected, atol=1e-6)
    close(mj.smooth_looks(looks(), window=1), looks(), rtol=0, atol=0)
    close(mj.smooth_looks(looks(), window=100), mj.smooth_looks(looks(), window=FRAMES), rtol=0, atol=0)


def test_exponential_weights_by_hand():
    stacked, smoothed = jax.device_get(looks()), jax.device_get(smooth_exponential(looks(), decay=0.7))
    for frame in range(FRAMES):
        weights = 0.7 ** np.arange(frame, -1, -1)
        weights = weights / weights.sum()
        expected = jax.tree.map(lambda x, w=weights: np.tensordot(w, x[: len(w)], axes=1), stacked)
        close(at(smoothed, frame), expected, atol=2e-6)
    close(smooth_exponential(looks(), decay=0.0), looks(), rtol=0, atol=0)
    close(smooth_exponential(looks(), decay=1.0), mj.smooth_looks(looks(), window=FRAMES), atol=2e-6)


def step_at(frame, frames):
    """Looks that jump from low to high."""
    rise = (np.arange(frames) >= frame).astype(np.float32)
    add = lambda x: x[:1] + rise.reshape(-1, *[1] * (x.ndim - 1))  # noqa: E731
    return jax.tree.map(add, jax.device_get(looks(frames=frames)))


def test_a_step_settles_after_the_window():
    smoothed = mj.smooth_looks(step_at(12, 30)).gain - looks(frames=30).gain[0]
    np.testing.assert_allclose(smoothed[:12], 0, atol=1e-6)
    np.testing.assert_allclose(smoothed[12:21], np.arange(1, 10) / 9, atol=1e-6)
    np.testing.assert_allclose(smoothed[21:], 1, atol=1e-6)


def test_a_step_settles_with_the_time_constant():
    constant = 5.0
    smoothed = smooth_exponential(step_at(60, 90), decay=np.exp(-1 / constant)).gain - looks(frames=90).gain[0]
    np.testing.assert_allclose(smoothed[:60], 0, atol=1e-6)
    # n frames after the jump, the jump's own counted; e^-12 of the beginning is left.
    np.testing.assert_allclose(smoothed[60:], 1 - np.exp(-np.arange(1, 31) / constant), atol=1e-5)
    assert smoothed[64] == pytest.approx(1 - np.exp(-1), abs=1e-5)


@pytest.mark.parametrize(("window", "rgb_lut"), [(1, False), (4, False), (9, True), (20, False)])
def test_window_streams_as_the_batch(window, rgb_lut):
    stacked = looks(rgb_lut, frames=23)
    start, batch = start_window(at(stacked, 0), window=window), mj.smooth_looks(stacked, window=window)
    close(streamed(start, window_step, stacked), batch, atol=1e-6)
    scanned = jax.jit(lambda state, x: jax.lax.scan(window_step, state, x)[1])(start, stacked)
    close(scanned, batch, atol=1e-6)


def test_exponential_streams_as_the_batch():
    stacked = looks()
    step = functools.partial(exponential_step, decay=0.9)
    close(streamed(start_exponential(at(stacked, 0)), step, stacked), smooth_exponential(stacked, decay=0.9), atol=1e-6)


@pytest.mark.parametrize("name", SMOOTHERS)
def test_jit_and_vmap_over_films(name):
    films = [looks(seed=seed) for seed in (0, 1)]
    together = jax.jit(jax.vmap(SMOOTHERS[name]))(jax.tree.map(lambda a, b: jnp.stack([a, b]), *films))
    for number, film in enumerate(films):
        close(at(together, number), SMOOTHERS[name](film), atol=1e-6)


@pytest.mark.parametrize("name", SMOOTHERS)
def test_extremes_are_finite_with_gradients_that_sum_to_one(name):
    """The gradient of the last frame's mean is its weights."""
    stacked = looks(rgb_lut=False)
    last = lambda gain: SMOOTHERS[name](mj.Look(**{**vars(stacked), "gain": gain})).gain[-1]  # noqa: E731
    weights = jax.jit(jax.grad(last))(stacked.gain)
    np.testing.assert_allclose(weights.sum(), 1, atol=1e-6)
    assert (weights >= 0).all()
    smooth = jax.jit(SMOOTHERS[name])
    run = jax.jit(jax.value_and_grad(lambda x: sum(1e-6 * jnp.mean(y) for y in jax.tree.leaves(SMOOTHERS[name](x)))))
    for shift in range(len(EXTREMES)):
        extreme = jax.tree.map(lambda x, s=shift: np.resize(np.roll(EXTREMES, s), x.shape), stacked)
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(smooth(extreme)))
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(run(extreme)[1]))


def test_wrong_input_is_refused():
    with pytest.raises(ValueError, match="expected frames along the first axis"):
        mj.smooth_looks(at(looks(), 0))
    with pytest.raises(ValueError, match="expected frames along the first axis"):
        mj.smooth_looks(mj.Look(**{**vars(looks()), "gtm": jnp.ones((3, 3))}))
    with pytest.raises(ValueError, match=r"expected a modisp_jax\.Look of all frames, got list"):
        mj.smooth_looks([at(looks(), 0)])
    for call in (mj.smooth_looks, lambda x, window: start_window(at(x, 0), window=window)):
        with pytest.raises(ValueError, match="window: expected at least 1 frame, got 0"):
            call(looks(), window=0)
    with pytest.raises(ValueError, match=r"decay: expected a number in \[0, 1\], got 1.5"):
        smooth_exponential(looks(), decay=1.5)


def test_identity_luts_stay_identities():
    """The means of tables that change nothing change nothing."""
    still = looks()
    luts = {"chroma_lut": identity_chroma_lut(), "rgb_lut": identity_rgb_lut()}
    still = mj.Look(**{**vars(still), **{k: jnp.broadcast_to(v, (FRAMES, *v.shape)) for k, v in luts.items()}})
    smoothed = mj.smooth_looks(still)
    for name, lut in luts.items():
        np.testing.assert_allclose(getattr(smoothed, name)[-1], lut, atol=1e-6)
