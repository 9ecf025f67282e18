"""ParamISP's kernels for CPUs against what XLA compiles, and their powers against float64."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from modisp_jax.config import RELEASED_PARAMISP, ParamISPConfig
from modisp_jax.kernels import paramisp as kernels
from modisp_jax.kernels import threads
from modisp_jax.kernels.paramisp_rows import _exponential
from modisp_jax.kernels.paramisp_stages import _power
from modisp_jax.nets.paramisp import init
from modisp_jax.paramisp import Capture, forward_isp, inverse_isp
from modisp_jax.paramisp.stages import apply_global
from tests.kernels.test_kernels import assert_close
from tests.paramisp.samples import CCM, ILLUMINANT
from tests.samples import numbered_params, photo

SMALL = ParamISPConfig(width=8, embedding=6, blocks=1)
CONFIGS = {
    "paper": dataclasses.replace(SMALL, width=16),
    "released": dataclasses.replace(RELEASED_PARAMISP, width=8, embedding=6, blocks=1),
    "plain": dataclasses.replace(SMALL, steered=False, blocks=2, stages=0),
}
CAMERA = ILLUMINANT, CCM, Capture(0.01, 2.8, 200.0, 50.0)
ACCURACY = 4e-6
"""Relative to the largest number: of sums of a thousand products in another order."""


@functools.cache
def networks(config):
    params = numbered_params(jax.eval_shape(lambda: init(config)))
    # Numbers as of trained networks: those of the stages come near to the identity, not to a constant.
    return jax.tree.map(lambda leaf: 0.5 * leaf, params)


def inverse(config):
    return lambda params, srgb: inverse_isp(params, srgb, *CAMERA, pattern=None, config=config)


def forward(config):
    return lambda params, mosaic: forward_isp(params, mosaic, *CAMERA, config=config)


inverse_jit = functools.cache(lambda config: jax.jit(inverse(config)))
forward_jit = functools.cache(lambda config: jax.jit(forward(config)))


def scene(height, width):
    """A picture that is dark in part and too bright in part, beyond both ends of the histograms."""
    return np.asarray(1.6 * photo(height, width) - 0.3, np.float32)


@pytest.mark.parametrize(("name", "size"), [("paper", (140, 524)), ("released", (92, 88)), ("plain", (88, 300))])
def test_both_networks_are_what_xla_computes(name, size, by_xla):
    config, srgb = CONFIGS[name], scene(*size)
    for run, image in ((inverse(config), srgb), (forward(config), srgb[..., 1])):
        got = jax.jit(run)(networks(config), image)
        assert_close(got, by_xla(run, networks(config), image), ACCURACY)
        assert np.std(got) > 0.01


@pytest.mark.parametrize("width", [2, 4, 12])
def test_other_widths_are_left_to_xla(width):
    config = dataclasses.replace(SMALL, width=width)
    text = jax.jit(inverse(config)).lower(networks(config), scene(88, 88)).as_text()
    assert "modisp_paramisp_local" not in text
    assert "modisp_paramisp_local" in jax.jit(inverse(SMALL)).lower(networks(SMALL), scene(88, 88)).as_text()


@pytest.mark.parametrize("rows", [1, 5, 1000])
def test_bands_of_rows_change_nothing(rows, monkeypatch):
    run, image = forward_jit(SMALL), scene(96, 120)[..., 0]
    want = run(networks(SMALL), image)
    monkeypatch.setattr(threads, "LEAST_ROWS", rows)
    monkeypatch.setattr(threads, "BANDS_A_CORE", 1000)
    np.testing.assert_allclose(run(networks(SMALL), image), want, rtol=0, atol=5e-7)


@pytest.mark.parametrize("rows", [1, 7, 1000])
@pytest.mark.parametrize("strip", [1, 3, 64])
def test_convolutions_that_are_not_kept_change_nothing(strip, rows, monkeypatch):
    run, image = forward_jit(SMALL), scene(92, 88)[..., 0]
    want = run(networks(SMALL), image)
    monkeypatch.setattr(kernels, "KEPT", 0)
    monkeypatch.setattr(kernels, "STRIP", strip)
    monkeypatch.setattr(threads, "LEAST_ROWS", rows)
    np.testing.assert_allclose(run(networks(SMALL), image), want, rtol=0, atol=5e-7)


def test_transformations():
    images = np.stack([scene(88, 92), scene(88, 92)[::-1]])
    loop = np.stack([inverse_jit(SMALL)(networks(SMALL), image) for image in images])
    np.testing.assert_allclose(jax.jit(jax.vmap(inverse(SMALL), (None, 0)))(networks(SMALL), images), loop, atol=1e-6)


@pytest.mark.parametrize("derivative", ["reverse", "reverse of a batch", "forward"])
def test_derivatives_are_those_of_the_networks_as_xla_compiles_them(derivative, by_xla):
    image, config = scene(88, 88), dataclasses.replace(SMALL, blocks=0, stages=1)  # quicker to compile
    loss = lambda params, image: jnp.mean(inverse(config)(params, image) ** 2)  # noqa: E731
    if derivative == "reverse of a batch":
        both = lambda params, image: jax.value_and_grad(lambda p: jax.vmap(loss, (None, 0))(p, image[None])[0])(params)  # noqa: E731
    elif derivative == "reverse":
        both = lambda *a: jax.value_and_grad(loss, (0, 1))(*a)  # noqa: E731
    else:
        both = lambda *a: jax.jvp(loss, a, jax.tree.map(jnp.ones_like, a))  # noqa: E731
    got, want = jax.jit(both)(networks(config), image), by_xla(both, networks(config), image)
    jax.tree.map(functools.partial(assert_close, accuracy=2e-5), got, want)


def test_a_pixel_that_is_no_number_spoils_all_that_sees_it():
    image = scene(88, 88)
    image[5, 6, 1] = np.nan
    assert np.isnan(inverse_jit(SMALL)(networks(SMALL), image)).all()  # channel attention sees the whole image


@pytest.mark.parametrize("value", [0.0, -0.0, 1e-38, -1e-6, 1.0, 63.0, -65.0, 1e6])
@pytest.mark.parametrize("residual", [False, True])
def test_stages_are_what_xla_computes_for_every_value(value, residual, by_xla):
    coefficients = np.random.default_rng(0).normal(0, 0.3, (3, 39)).astype(np.float32)
    image = np.full((2, 3, 3), value, np.float32)
    image[0, 1] = [0.2, 0.5, value]
    run = functools.partial(apply_global, residual=residual)
    got, want = jax.jit(run)(coefficients, image), by_xla(run, coefficients, image)
    np.testing.assert_allclose(got, want, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_stays_so_and_spoils_no_other_pixel(value):
    image = np.full((2, 3, 3), 0.5, np.float32)
    image[1, 2, 0] = value
    found = np.array(apply_global(jnp.zeros((2, 39)), image, residual=True))
    assert not np.isfinite(found[1, 2, 0])
    found[1, 2] = image[1, 2] = 0
    np.testing.assert_array_equal(found, image)


@pytest.mark.parametrize("size", [(1, 1), (3, 255), (7, 300)])
def test_neutral_stages_are_the_identity(size):
    image = 4 * scene(*size)
    np.testing.assert_array_equal(apply_global(jnp.zeros((4, 39)), image, residual=True), image)


def test_coefficients_beyond_all_use_are_held_back_as_by_xla(by_xla):
    coefficients = np.random.default_rng(1).normal(0, 1e4, (1, 39)).astype(np.float32)
    run = functools.partial(apply_global, residual=True)
    image = scene(8, 12)
    # Such a curve is a small difference of powers near 1, of which float32 has few digits.
    np.testing.assert_allclose(run(coefficients, image), by_xla(run, coefficients, image), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("exponent", [0.0, -0.865, -0.5, 0.1, 1.0, 2.2, 6.389])
def test_powers(exponent):
    x = np.geomspace(1e-6, 65, 256).astype(np.float32)
    found, bits = np.empty(256, np.float32), np.empty(256, np.int32)
    _power(x, np.float32(exponent), found, bits, 256)
    exact = np.power(x.astype(np.float64), np.float64(np.float32(exponent)))
    np.testing.assert_allclose(found, exact, rtol=6e-7, atol=1e-37)
    if exponent == 0:
        np.testing.assert_array_equal(found, 1)


def test_exponentials():
    x = np.concatenate([-np.geomspace(1e-8, 1e30, 252), [0, 3, np.inf, -np.inf]]).astype(np.float32)
    found, bits = np.empty(256, np.float32), np.empty(256, np.int32)
    _exponential(x, found, bits, 256)
    np.testing.assert_allclose(found, np.exp(np.minimum(x, 0).astype(np.float64)), rtol=0, atol=1e-7)
