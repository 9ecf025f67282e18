"""Laws of the closed forms, of their inverses and derivatives, and of the table that they are compared with."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from modisp_jax.color import apply_matrix
from modisp_jax.dynamicisp import functions as f
from modisp_jax.dynamicisp.inversion import bisect_increasing
from modisp_jax.dynamicisp.table import gamma_table, inverse_by_table
from tests.dynamicisp.samples import FLOATS, FUNCTIONS, compiled, corners, drawn, levels_and_parameters

NEUTRAL = {
    "gain": [(0.0, 0.3, 0.3), (0.7, 0.9, 0.9), (1.0, 0.1, 0.1)],
    "gamma": [(1.0, 1.0, 0.2), (1.0, 1.0, 0.95)],
    "tone": [(1.0, 0.0, 0.0), (1.0, 0.0, 1.0)],
}
NEUTRAL["rival"] = NEUTRAL["gain"]

every_function = pytest.mark.parametrize("name", FUNCTIONS)


MOST = 10_000


@functools.cache
def slopes_of(name):
    """Value and all derivatives, there and back, at pairs of levels and parameters."""

    def at(run, *arguments):
        count = len(arguments[0])
        held = [np.pad(x, (0, MOST - count), "edge") for x in arguments]  # of one size, to be compiled once
        return jax.tree.map(lambda x: x[:count], run(*held))

    each = [compiled(jax.vmap(jax.value_and_grad(g, (0, 1, 2, 3)))) for g in FUNCTIONS[name]]
    return [functools.partial(at, run) for run in each]


def on_a_grid(levels, parameters):
    """All levels with all parameters [n, 3], as four long arrays."""
    i, row = (x.ravel() for x in np.meshgrid(levels, np.arange(len(parameters)), indexing="ij"))
    return i, *np.asarray(parameters)[row].T


@every_function
def test_neutral_parameters_change_nothing(name):
    i, *parameters = (np.float32(x) for x in on_a_grid(np.linspace(0, 1, 101), NEUTRAL[name]))
    for run in slopes_of(name):
        np.testing.assert_allclose(run(i, *parameters)[0], i, atol=3e-7)


@every_function
def test_functions_increase_and_keep_the_ends(name):
    levels = np.linspace(0, 1, 1001)
    with jax.enable_x64(True):
        for run in slopes_of(name):
            value, (slope, *_) = run(*on_a_grid(levels, corners(name)))
            value = np.reshape(value, (len(levels), -1))
            assert (np.diff(value, axis=0) > 0).all()
            np.testing.assert_allclose(value[0], 0, atol=1e-15)
            np.testing.assert_allclose(value[-1], 1, atol=1e-15)
            assert (slope >= 0).all()


@every_function
def test_there_and_back_and_back_and_there(name):
    i, parameters = levels_and_parameters(name, 5000)
    there, back = slopes_of(name)
    with jax.enable_x64(True):
        np.testing.assert_allclose(back(there(i, *parameters)[0], *parameters)[0], i, rtol=0, atol=2e-14)
        np.testing.assert_allclose(there(back(i, *parameters)[0], *parameters)[0], i, rtol=0, atol=2e-14)


@every_function
def test_there_and_back_in_float32(name):
    i, parameters = levels_and_parameters(name, 5000)
    i, *parameters = (np.float32(x) for x in (i, *parameters))
    there, back = slopes_of(name)
    np.testing.assert_allclose(back(there(i, *parameters)[0], *parameters)[0], i, rtol=0, atol=2e-6)


@pytest.mark.parametrize("name", ["gain", "rival"])
def test_windows_go_on_beyond_black_and_white(name):
    levels = np.array([-100, -2, -0.5, 1.5, 3, 100])
    there, back = slopes_of(name)
    with jax.enable_x64(True):
        i, *parameters = on_a_grid(levels, corners(name))
        value = there(i, *parameters)[0]
        np.testing.assert_allclose(back(value, *parameters)[0], i, rtol=1e-12)
        assert (np.diff(np.reshape(value, (len(levels), -1)), axis=0) > 0).all()


def test_a_window_is_as_its_words_say():
    """Slopes of the three branches and where they meet, for x = .5, w = .25, h = .5; x = 0 is a gain."""

    def at(name, levels, x):
        value, (slope, *_) = slopes_of(name)[0](*(np.full(len(levels), p, np.float32) for p in (levels, x, 0.25, 0.5)))
        return value, slope

    _, slope = at("gain", [-1, 0.3, 0.37, 0.38, 0.62, 0.63, 2], 0.5)
    np.testing.assert_allclose(slope, np.array([2, 2, 2, 6, 6, 2, 2]) / 3, rtol=1e-6)
    value, slope = at("gain", [0.1, 0.2, 0.24, 0.26], 0.0)
    np.testing.assert_allclose(value[:3], [0.2, 0.4, 0.48], rtol=1e-6)
    np.testing.assert_allclose(slope, [2, 2, 2, 2 / 3], rtol=1e-6)
    _, slope = at("rival", [-1, 0.12, 0.13, 0.62, 0.63, 2], 0.5)  # its middle is from .25 * .5 on, .5 wide
    np.testing.assert_allclose(slope, [2, 2, 1, 1, 2 / 3, 2 / 3], rtol=1e-6)


@every_function
def test_every_float_has_finite_values_and_gradients(name):
    arguments = [np.float32(x) for x in on_a_grid(FLOATS, corners(name))]
    for run in slopes_of(name):
        value, slopes = run(*arguments)
        for part in (value, *slopes):
            assert np.isfinite(part).all()
        if name in ("gamma", "tone"):
            assert value.min() >= 0
            assert value.max() <= 1


def test_black_has_an_inverse_where_the_curve_underflows():
    y = np.float32([0.0, -0.0, 1e-45, 1e-38, 1.0])
    steep = [np.full_like(y, p) for p in (1.0, 0.1, 1.0)]  # i^10 in the dark
    there, back = slopes_of("gamma")
    assert there(np.full_like(y, 1e-8), *steep)[0].max() == 0
    found, slopes = back(y, *steep)
    np.testing.assert_allclose(found[np.array([0, 1, 4])], [0, 0, 1])
    assert np.isfinite([found, *slopes]).all()


@pytest.mark.parametrize("name", ["gamma", "tone"])
def test_derivatives_of_the_inverse_are_those_of_the_solution(name):
    """Forward and reverse, against differences of the inverse and against the function's own derivatives."""
    y, parameters = levels_and_parameters(name, 300, seed=1)
    y = 0.02 + 0.96 * y
    there, back = slopes_of(name)
    step = 1e-6
    with jax.enable_x64(True):
        if name == "tone":  # where there is something to differ
            y = np.asarray(there(0.1 + 0.9 * y, *parameters)[0])
        arguments = [y, *parameters]
        found, slopes = back(*arguments)
        for k, slope in enumerate(slopes):
            ends = [back(*(x + side * step * (n == k) for n, x in enumerate(arguments)))[0] for side in (-1.0, 1.0)]
            np.testing.assert_allclose(slope, (ends[1] - ends[0]) / (2 * step), rtol=1e-5, atol=1e-7)
        _, (by_level, *by_parameters) = there(found, *parameters)
        np.testing.assert_allclose(slopes[0], 1 / by_level, rtol=1e-9)
        for slope, own in zip(slopes[1:], by_parameters, strict=True):
            np.testing.assert_allclose(slope, -own / by_level, rtol=1e-9, atol=1e-12)
        inverse = FUNCTIONS[name][1]
        _, moved = compiled(lambda *a: jax.jvp(inverse, a, tuple(map(jnp.ones_like, a))))(*arguments)
        np.testing.assert_allclose(moved, sum(slopes), rtol=1e-9, atol=1e-12)


def test_the_inverse_has_no_slope_under_its_end():
    y = np.float32([0.0, 0.9e-8, 2e-4, 1.0, 1.1])
    _, slopes = slopes_of("gamma")[1](y, *(np.full_like(y, p) for p in (2.2, 0.6, 0.4)))
    slopes = np.stack(slopes)
    assert (slopes[:, [0, 1, 4]] == 0).all()
    assert (slopes[0, 2:4] > 0).all()


@pytest.mark.parametrize(("g2", "steps"), [(0.1, 6), (4.0, 6), (1e-3, 12), (8.0, 12), (8.38, 20)])
def test_how_many_steps_it_takes(g2, steps):
    g1, k = (x.ravel() for x in np.meshgrid([1.0, 2.2, 4.0], [0.0, 0.5, 0.95]))
    i = np.linspace(1e-3, 1, 400)[:, None]
    with jax.enable_x64(True):
        run = compiled(lambda i: f.inverse_gamma_curve(f.gamma_curve(i, g1, g2, k), g1, g2, k, steps=steps))
        np.testing.assert_allclose(run(i), np.broadcast_to(i, (400, 9)), rtol=0, atol=1e-8)


def test_newton_agrees_with_halving():
    i, parameters = levels_and_parameters("tone", 2000)
    with jax.enable_x64(True):
        there, back = slopes_of("tone")
        y = there(i, *parameters)[0]
        halve = compiled(lambda y, *p: bisect_increasing(lambda x: f.tone_lift(x, *p), y, iterations=40))
        np.testing.assert_allclose(halve(y, *parameters), back(y, *parameters)[0], rtol=0, atol=2**-40)


def test_matrices_are_undone():
    matrices = drawn(3, shape=(300,)).color
    image = np.float32(np.random.default_rng(0).uniform(-1, 2, (300, 3)))
    correct, inverse = compiled(apply_matrix), compiled(f.inverse_matrix)(matrices)
    found = correct(matrices, image)
    np.testing.assert_allclose(found, np.einsum("nij,nj->ni", matrices, image), atol=1e-5)
    np.testing.assert_allclose(correct(inverse, found), image, atol=2e-5)
    np.testing.assert_allclose(inverse, np.linalg.inv(matrices), rtol=1e-4, atol=1e-5)


def test_an_unknown_reading():
    for function in FUNCTIONS["gain"]:
        with pytest.raises(ValueError, match="reading: expected 'window' or 'rival', got 'door'"):
            function(jnp.zeros(3), 0.5, 0.5, 0.5, reading="door")


NARROW = ((1.8, 2.6), (0.8, 1.2), (0.3, 0.7))


@pytest.fixture(scope="module")
def table():
    return gamma_table(NARROW, sizes=(7, 5, 5), inputs=2000, outputs=256)


def test_a_table_undoes_the_curve(table):
    rng = np.random.default_rng(0)
    i, *parameters = (np.float32(x) for x in (rng.random(5000), *(rng.uniform(*b, 5000) for b in NARROW)))
    found = compiled(inverse_by_table)(table, compiled(f.gamma_curve)(i, *parameters), *parameters)
    assert np.abs(found - i).mean() < 1.5e-4  # 60x30x30 nodes: 1e-5
    assert np.abs(found - i).max() < 1e-3


def test_a_table_has_the_nearest_inputs_at_its_nodes(table):
    nodes = [np.linspace(*bounds, size) for bounds, size in zip(NARROW, (7, 5, 5), strict=True)]
    i = np.linspace(0, 1, 2000)
    for place in ((0, 0, 0), (3, 1, 4), (6, 4, 2)):
        u, a, k = i ** (1 / nodes[0][place[0]]), 1 - nodes[1][place[1]], nodes[2][place[2]]
        curve = u ** ((1 - a * u) / (1 - a * k ** (1 / nodes[0][place[0]])))
        nearest = np.abs(curve - np.linspace(0, 1, 256)[:, None]).argmin(axis=1)
        np.testing.assert_allclose(table.inputs[place], i[nearest], atol=1e-7)


def test_one_set_of_parameters_is_as_one_for_each_pixel(table):
    """Where parameters are few, curves are interpolated before pixels; beyond its ranges the table's end counts."""
    image = np.float32(np.random.default_rng(0).uniform(-0.1, 1.1, (40, 30, 3)))
    sets = [np.float32([1.9, 2.2, 9]), np.float32([0.85, 1.1, 0]), np.float32([0.3, 0.5, 1])]
    each = [np.broadcast_to(p, image.shape) for p in sets]
    run = compiled(inverse_by_table)
    found = run(table, image, *sets)
    np.testing.assert_allclose(found, run(table, image, *each), atol=1e-6)
    assert found.min() == 0
    assert found.max() == 1
    inside = [np.clip(p, *bounds).astype(np.float32) for p, bounds in zip(sets, NARROW, strict=True)]
    np.testing.assert_array_equal(found, run(table, np.clip(image, 0, 1), *inside))


@pytest.mark.parametrize(
    ("ranges", "options", "match"),
    [
        (NARROW, {"sizes": (1, 2, 2)}, "sizes: expected at least 2 nodes"),
        (NARROW, {"sizes": (2, 2)}, "sizes: expected at least 2 nodes"),
        (NARROW, {"outputs": 1}, "sizes: .* 2 levels"),
        (((0, 1), *NARROW[1:]), {}, "ranges: expected g1 > 0"),
        ((NARROW[0], (0.5, 8.5), NARROW[2]), {}, r"g2 in \(0, 8.38\]"),
        ((*NARROW[:2], (0.7, 0.3)), {}, "low < high"),
    ],
)
def test_what_a_table_cannot_be(ranges, options, match):
    with pytest.raises(ValueError, match=match):
        gamma_table(ranges, **{"sizes": (2, 2, 2), "inputs": 10, "outputs": 4} | options)
