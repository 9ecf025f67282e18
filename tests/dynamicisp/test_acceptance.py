"""SemiISP against the table of acceptance facts (shared/reference/paramisp_semiisp_facts.md, part 3), row by row."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from modisp_jax.color import apply_matrix
from modisp_jax.config import FunctionISPConfig, PipelineConfig
from modisp_jax.dynamicisp import Memory, apply_functions, draw_parameters, empty_memory, invert_functions, remember
from modisp_jax.dynamicisp import functions as f
from modisp_jax.dynamicisp.inversion import bisect_increasing
from modisp_jax.dynamicisp.losses import filtered_mean, pyramid_l1
from modisp_jax.dynamicisp.memory import CAPACITY, remembered
from modisp_jax.dynamicisp.parameters import FunctionParameters
from modisp_jax.dynamicisp.pseudo import PseudoConfig, pseudo_pair
from modisp_jax.fit.optim import OptimizerConfig, schedule
from modisp_jax.params import param_shapes
from tests.dynamicisp.samples import SMALL, compiled, drawn, gentle, levels_and_parameters, network

PAPER_WORST = 6.5e-5
"""Largest error of the paper's inverse, by its own account."""


@pytest.mark.parametrize(("config", "count"), [(FunctionISPConfig(), 319_172), (FunctionISPConfig(True), 337_997)])
def test_counts(config, count):
    shapes = param_shapes(PipelineConfig(None, None, None, function_isp=config))
    assert sum(np.prod(shape, dtype=int) for shape in shapes.values()) == count


@pytest.mark.parametrize("reading", ["window", "rival"])
def test_gain_and_contrast(reading):
    rng = np.random.default_rng(0)
    i, x, w, h = rng.random(5000), rng.random(5000), *rng.uniform(0.05, 0.95, (2, 5000))

    def look(i, x, w, h):
        once = f.window(i, x, w, h, reading=reading)
        ends = [f.window(jnp.full_like(i, end), x, w, h, reading=reading) for end in (0.0, 1.0)]
        exchanged = f.window(once, x, h, w, reading=reading)
        return f.inverse_window(once, x, w, h, reading=reading), exchanged, f.window(i, x, w, w, reading=reading), ends

    with jax.enable_x64(True):
        for dtype, precision in ((np.float64, 4e-15), (np.float32, 3e-6)):
            back, exchanged, same, ends = compiled(look)(*(p.astype(dtype) for p in (i, x, w, h)))
            assert back.dtype == dtype
            np.testing.assert_array_equal(back, exchanged)
            np.testing.assert_allclose(back, i, rtol=0, atol=precision)
            np.testing.assert_allclose(same, i, rtol=0, atol=precision)
            np.testing.assert_allclose(ends[0], 0, atol=precision)
            np.testing.assert_allclose(ends[1], 1, atol=precision)


def test_colour():
    matrices = drawn(0, shape=(500,)).color
    products = compiled(lambda p: jnp.matmul(f.inverse_matrix(p), p, precision="highest"))(matrices)
    np.testing.assert_allclose(products, np.broadcast_to(np.eye(3), products.shape), atol=5e-6)


def test_gamma():
    i, (g1, g2, k) = levels_and_parameters("gamma", 2000)
    level, one, curve = np.linspace(0, 1, 20_001), np.ones(2000), compiled(f.gamma_curve)
    with jax.enable_x64(True):
        np.testing.assert_allclose(curve(k, g1, g2, k), k ** (1 / g1), rtol=0, atol=1e-15)
        np.testing.assert_allclose(curve(i, g1, one, k), i ** (1 / g1), rtol=0, atol=1e-15)
        np.testing.assert_allclose(curve(i, one, one, k), i, rtol=0, atol=1e-15)
        slope = compiled(jax.grad(f.gamma_curve))(1.0, 2.2, 0.5, 0.5)
        np.testing.assert_allclose(slope, 0.35784, atol=5e-6)
        assert (np.diff(curve(level, 2.0, 8.38, 0.0)) > 0).all()
        assert not (np.diff(curve(level, 2.0, 8.40, 0.0)) > 0).all()


def test_the_inverse_of_gamma():
    i, parameters = levels_and_parameters("gamma", 20_000)
    single = [p.astype(np.float32) for p in (i, *parameters)]
    newton = compiled(lambda i, *p: f.inverse_gamma_curve(f.gamma_curve(i, *p), *p, steps=6))
    error = np.abs(newton(*single) - single[0]).max()
    assert error <= 1e-6 < PAPER_WORST
    halved = compiled(lambda i, *p: bisect_increasing(lambda x: f.gamma_curve(x, *p), f.gamma_curve(i, *p)))
    with jax.enable_x64(True):
        assert np.abs(halved(i, *parameters) - i).max() <= 4.66e-10 < PAPER_WORST
        assert np.abs(newton(i, *parameters) - i).max() <= 1e-15


def test_the_gradient_of_the_inverse():
    with jax.enable_x64(True):
        found = compiled(jax.grad(f.inverse_gamma_curve, (0, 1, 2, 3)))(0.3, 2.2, 0.6, 0.4)
    np.testing.assert_allclose(found, [0.553101, -0.092830, -0.096045, 0.081322], atol=6e-7)


def test_inverse_tone_mapping():
    i, (g3, g4, k2) = levels_and_parameters("tone", 2000)
    none, one, lift = np.zeros(2000), np.ones(2000), compiled(f.tone_lift)
    with jax.enable_x64(True):
        np.testing.assert_allclose(lift(k2, g3, g4, k2), k2**g3, rtol=0, atol=1e-15)
        np.testing.assert_allclose(lift(i, g3, none, k2), i**g3, rtol=0, atol=1e-15)
        np.testing.assert_allclose(lift(i, one, none, k2), i, rtol=0, atol=1e-15)


def test_the_chain_there_and_back():
    image = np.random.default_rng(0).random((200, 4, 25, 3))

    def round_trip(parameters, image):
        found = invert_functions(parameters, apply_functions(parameters, image))
        corrected = apply_matrix(parameters.color, image)
        return found, ((corrected >= 0) & (corrected <= 1)).all(axis=-1)

    with jax.enable_x64(True):
        for dtype, precision in ((np.float32, 1e-5), (np.float64, 2e-14)):  # the table has 1e-14, of fewer draws
            parameters = drawn(1, shape=(200,), dtype=dtype)
            found, counts = compiled(jax.vmap(round_trip))(parameters, image.astype(dtype))
            assert found.dtype == dtype
            assert counts.mean() > 0.2
            assert np.abs(found - image)[counts].max() < precision


def test_one_photo_comes_from_many_raws():
    photo = np.float32(np.random.default_rng(0).uniform(0.3, 0.6, (6, 7, 3)))
    sets = gentle(0, (40,))
    raws = compiled(jax.vmap(invert_functions, (0, None)))(sets, photo)
    again = compiled(jax.vmap(apply_functions))(sets, raws)
    clear = ((raws > 0) & (raws < 1)).all(axis=(1, 2, 3))
    assert clear.sum() >= 10
    np.testing.assert_allclose(again[clear], np.broadcast_to(photo, again[clear].shape), atol=1e-5)
    first, second = raws[clear][:2]
    assert np.abs(first - second).max() > 0.01


def test_equal_parameters_in_every_cell():
    image = np.float32(np.random.default_rng(0).random((9, 14, 3)))
    whole = drawn(0)
    grid = jax.tree.map(lambda p: np.broadcast_to(p, (4, 4, 3, 3)), whole)
    for run in (compiled(apply_functions), compiled(invert_functions)):
        np.testing.assert_allclose(run(grid, image), run(whole, image), atol=2e-6)


def test_equation_13():
    real, pseudo = np.float32([1, 2, 3]), np.float32([0.5, 2.3, 2.5, 40])
    run = compiled(filtered_mean)
    loss, kept = run(real, pseudo, 1.2)  # up to 2.4
    np.testing.assert_allclose(loss, (6 + 0.5 + 2.3) / (3 + 2), rtol=1e-6)
    assert kept == 0.5
    np.testing.assert_allclose(run(real, pseudo, 0.0), [2, 0])
    np.testing.assert_allclose(run(real, pseudo + 10, 1.2), [2, 0])  # S = 0
    np.testing.assert_allclose(run(real, pseudo, np.inf), [(6 + 45.3) / 7, 1], rtol=1e-6)


@pytest.mark.parametrize("size", [(128, 192), (70, 100), (1, 5)])
def test_equation_14(size):
    rng = np.random.default_rng(0)
    target = np.float32(rng.random((*size, 3)))
    run = compiled(pyramid_l1)
    for offset in (0.25, -0.5, 0.0):
        np.testing.assert_allclose(run(target + np.float32(offset), target), 4 * abs(offset), rtol=1e-5)


def test_noise():
    """Of pairs without quality update, whose parameters change nothing: the raw is the photo and its noise."""
    row, ones = np.full((1, 3, 3), 0.5, np.float32), np.ones((1, 3, 3), np.float32)
    neutral = FunctionParameters(np.eye(3, dtype=np.float32)[None], row, ones, row)
    memory = Memory(neutral, np.int32(1))
    config = PseudoConfig(isp=SMALL, quality_update=False, noise=(0.01, 0.0002))
    photo = np.full((48, 64, 3), 0.5, np.float32)
    key = jax.random.key(3)
    raw, target = compiled(pseudo_pair, static_argnums=4)(network(), memory, photo, key, config)
    np.testing.assert_array_equal(target, photo)
    level_key, _ = jax.random.split(jax.random.split(key, 3)[2])
    shot, read = np.asarray(jax.random.uniform(level_key, (2,))) * config.noise
    assert shot > 0.001
    np.testing.assert_allclose(np.var(raw), shot * 0.5 + read, rtol=0.05)
    np.testing.assert_allclose(np.mean(raw), 0.5, atol=0.003)


def test_memory():
    one = drawn(0)
    memory = empty_memory(one)
    assert CAPACITY == len(memory.parameters.color) == 5000
    put = compiled(remember)
    for count, expected in ((4000, 4000), (999, 4999), (999, 5000), (6000, 5000)):
        memory = put(memory, jax.tree.map(lambda p: np.broadcast_to(p, (count, 3, 3)), one))  # noqa: B023
        assert remembered(memory) == expected
        assert memory.parameters.color.shape == (5000, 3, 3)


def test_functions_are_drawn_by_themselves():
    """Of n sets there are n^4 combinations: here of 3 sets, each of one number, all 81 and no more."""
    numbers = np.arange(3.0, dtype=np.float32)[:, None, None] * np.ones((3, 3), np.float32)
    memory = Memory(FunctionParameters(*[numbers] * 4), np.int32(3))
    keys = jax.random.split(jax.random.key(0), 2000)
    for by_function, combinations in ((True, 3**4), (False, 3)):
        draw = functools.partial(draw_parameters, by_function=by_function)
        sets = compiled(jax.vmap(draw, (0, None)))(keys, memory)
        distinct = np.unique(np.stack([p[:, 0, 0] for p in jax.tree.leaves(sets)], axis=-1), axis=0)
        assert len(distinct) == combinations


def test_the_schedule():
    rate = schedule(OptimizerConfig(learning_rate=2e-5, final_fraction=1e-3), 15_000)
    np.testing.assert_allclose([rate(0), rate(7500), rate(15_000)], [2e-5, 2e-5 * 0.5005, 2e-8], rtol=1e-4)
