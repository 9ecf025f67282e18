"""Laws of the bilateral solver, a dense oracle, then parity."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from modisp_jax.color import LUMA_601
from modisp_jax.ops.bilateral_solver import bilateral_solve, bilateral_weights, half_window, weighted_differences
from modisp_jax.resample import reflect_index

SMOOTH = {"window": 5, "sigma_space": 2.0, "sigma_range": 0.3, "fidelity": 0.1, "relaxation": 1.3}


def image(h, w, channels=3, seed=0):
    return np.random.default_rng(seed).uniform(0, 1, (h, w, channels)).astype(np.float32)


@functools.cache
def compiled(**options):
    return jax.jit(functools.partial(bilateral_solve, **options))


def average_matrix(guide, window, sigma_space, sigma_range):
    """W as a dense matrix [H W, H W] in the precision of ``guide``, from the definition."""
    h, w = guide.shape[:2]
    radius = window // 2
    rows, columns = reflect_index(h, radius, radius), reflect_index(w, radius, radius)
    light = np.einsum("hwc,c->hw", guide, LUMA_601.astype(guide.dtype))
    matrix = []
    for i in range(h):
        for j in range(w):
            row = np.zeros(h * w, guide.dtype)
            for dy in range(-radius, radius + 1):
                for dx in range(-radius, radius + 1):
                    y, x = int(rows[i + dy + radius]), int(columns[j + dx + radius])
                    weight = np.exp(
                        -(dy**2 + dx**2) / (2 * sigma_space**2)
                        - (light[y, x] - light[i, j]) ** 2 / (2 * sigma_range**2)
                    )
                    one_hot = (np.arange(h * w) == y * w + x).astype(guide.dtype)
                    row = row + weight * one_hot
            matrix.append(row / row.sum())
    return np.stack(matrix)


def solve_oracle(target, guide, *, window, sigma_space, sigma_range, fidelity, relaxation, iterations):
    target, guide = target.astype(float), guide.astype(float)
    matrix = average_matrix(guide, window, sigma_space, sigma_range)
    m = y = target.reshape(-1, target.shape[2])
    residuals = []
    for _ in range(iterations):
        residual = (fidelity * m + matrix @ y) / (fidelity + 1) - y
        residuals.append(np.sqrt((residual**2).mean()))
        y = y + relaxation * residual
    return y.reshape(target.shape), residuals


@pytest.mark.parametrize("shape", [(9, 8), (2, 5), (1, 1), (1, 6)])
def test_agrees_with_the_definition(shape):
    target, guide = image(*shape, 2), image(*shape, seed=1)
    solution, stats = compiled(iterations=6, **SMOOTH)(target, guide)
    expected, residuals = solve_oracle(target, guide, iterations=6, **SMOOTH)
    np.testing.assert_allclose(solution, expected, atol=2e-6)
    np.testing.assert_allclose(stats.residual, residuals, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("iterations", [0, 1, 7, 12])
def test_the_number_of_residuals_is_that_of_updates(iterations):
    target, guide = image(6, 7, 2), image(6, 7, seed=1)
    solution, stats = compiled(iterations=iterations, window=3)(target, guide)
    assert solution.shape == target.shape
    assert stats.residual.shape == (iterations,)
    if iterations == 0:
        np.testing.assert_array_equal(solution, target)


def test_a_constant_stays():
    target = np.full((9, 12, 3), 0.37, np.float32)
    solution, stats = compiled()(target, image(9, 12))
    np.testing.assert_array_equal(solution, target)
    assert not stats.residual.any()


def test_a_window_of_one_pixel_keeps_the_target():
    target = image(5, 6)
    np.testing.assert_array_equal(compiled(window=1)(target, image(5, 6, seed=1))[0], target)


def test_linear_in_the_target():
    a, b, guide = image(10, 9, seed=1), image(10, 9, seed=2), image(10, 9, seed=3)
    solve = compiled(iterations=9, **SMOOTH)
    np.testing.assert_allclose(
        solve(2 * a - 3 * b, guide)[0], 2 * solve(a, guide)[0] - 3 * solve(b, guide)[0], atol=1e-5
    )


def test_the_residual_falls_and_the_limit_is_the_linear_systems_solution():
    target, guide = image(9, 8, 2), image(9, 8, seed=1)
    solution, stats = compiled(iterations=200, **SMOOTH)(target, guide)
    residual = np.array(stats.residual)
    assert (residual[1:40] < residual[:39]).all()
    assert residual[-1] < 1e-6
    matrix = average_matrix(guide.astype(float), SMOOTH["window"], SMOOTH["sigma_space"], SMOOTH["sigma_range"])
    fidelity, m = SMOOTH["fidelity"], target.reshape(-1, 2).astype(float)
    limit = np.linalg.solve((fidelity + 1) * np.eye(72) - matrix, fidelity * m).reshape(target.shape)
    np.testing.assert_allclose(solution, limit, atol=3e-6)
    # The limit is a fixed point: an update that starts there does not move.
    step = limit + SMOOTH["relaxation"] * (
        (fidelity * m + matrix @ limit.reshape(-1, 2)) / (fidelity + 1) - limit.reshape(-1, 2)
    ).reshape(limit.shape)
    np.testing.assert_allclose(step, limit, atol=1e-12)


def test_over_relaxation_converges_sooner():
    target, guide = image(20, 20, 1), np.full((20, 20, 3), 0.5, np.float32)
    plain = compiled(window=3, sigma_space=1.0, relaxation=1.0)(target, guide)[1].residual
    faster = compiled(window=3, sigma_space=1.0)(target, guide)[1].residual
    assert faster[50] < plain[79]


def test_smooths_within_regions_and_not_across_an_edge():
    guide = np.full((20, 20, 3), 0.2, np.float32)
    guide[:, 10:] = 0.6
    clean = np.where(np.arange(20)[None, :, None] < 10, 0.3, 0.8) * np.ones((20, 1, 1))
    noisy = (clean + np.random.default_rng(0).normal(0, 0.05, clean.shape)).astype(np.float32)
    solution = np.array(compiled(window=3, sigma_space=1.0)(noisy, guide)[0])
    left, right = solution[:, :10], solution[:, 10:]
    assert left.std() < 0.01
    assert right.std() < 0.01
    np.testing.assert_allclose([left.mean(), right.mean()], [noisy[:, :10].mean(), noisy[:, 10:].mean()], atol=0.01)
    # Nothing crosses: the left half is what it would be alone but for the mirror at the edge.
    changed = noisy.copy()
    changed[:, 10:] = 0.0
    np.testing.assert_allclose(compiled(window=3, sigma_space=1.0)(changed, guide)[0][:, :10], left, atol=1e-6)


def test_the_residual_tells_of_a_relaxation_that_is_too_long():
    """A flat guide, window 3 and sigma 3: the least eigenvalue of W is -.308, so 2 / 1.308 = 1.53 is the limit."""
    target, guide = image(20, 20, 1), np.full((20, 20, 3), 0.5, np.float32)
    residual = {omega: compiled(window=3, relaxation=omega)(target, guide)[1].residual for omega in (1.5, 1.6)}
    assert residual[1.5][-1] < 0.1 * residual[1.5][0]
    assert residual[1.6][-1] > residual[1.6][0]


def test_without_over_relaxation_the_range_is_kept():
    target = image(20, 20, 1)
    solution = compiled(window=3, sigma_space=1.0, relaxation=1.0)(target, image(20, 20, seed=1))[0]
    assert solution.min() >= target.min() - 1e-6
    assert solution.max() <= target.max() + 1e-6


def test_mirroring_both_images_mirrors_the_solution():
    target, guide = image(9, 12), image(9, 12, seed=1)
    solve = compiled()
    flipped = solve(target[::-1, ::-1].copy(), guide[::-1, ::-1].copy())[0]
    np.testing.assert_allclose(flipped[::-1, ::-1], solve(target, guide)[0], atol=1e-5)


def test_half_a_window_and_its_mirror_make_the_window():
    half = half_window(7)
    assert len(half) == 24
    assert {*half, *((-y, -x) for y, x in half), (0, 0)} == {(y, x) for y in range(-3, 4) for x in range(-3, 4)}


def test_jit_and_vmap_change_nothing():
    targets, guides = (np.stack([image(8, 9, seed=seed + k) for seed in range(3)]) for k in (0, 10))
    options = {**SMOOTH, "iterations": 4, "window": 3}
    loop = np.stack([compiled(**options)(t, g)[0] for t, g in zip(targets, guides, strict=True)])
    solution, stats = jax.vmap(compiled(**options))(targets, guides)
    np.testing.assert_allclose(solution, loop, atol=1e-6)
    np.testing.assert_allclose(bilateral_solve(targets[0], guides[0], **options)[0], loop[0], atol=1e-6)
    assert stats.residual.shape == (3, 4)


def test_sigmas_and_weights_of_the_fit_may_be_traced():
    target, guide = image(6, 7), image(6, 7, seed=1)
    names = ("sigma_space", "sigma_range", "fidelity", "relaxation")

    @jax.jit
    def f(*values):
        return bilateral_solve(target, guide, window=3, iterations=4, **dict(zip(names, values, strict=True)))[0].sum()

    slopes = jax.grad(f, (0, 1, 2, 3))(3.0, 0.1, 1e-3, 1.6)
    assert np.isfinite(slopes).all()


def test_low_precision_input_is_solved_in_float32():
    target, guide = (jnp.asarray(image(6, 7, seed=seed), jnp.bfloat16) for seed in (0, 1))
    solution, _ = compiled(window=3, iterations=3)(target, guide)
    assert solution.dtype == jnp.float32


@pytest.mark.parametrize("shape", [(6, 5), (1, 2)])
def test_the_differences_transpose_is_autodiffs(shape):
    x, guide = jnp.asarray(image(*shape, 2)), jnp.asarray(image(*shape)[..., 0])
    g = np.random.default_rng(2).normal(size=x.shape).astype(np.float32)

    def energy(function, guide, x):
        weights, normaliser = bilateral_weights(guide, 3, 2.0, 0.3)
        return (g * function(weights, x, 3) / normaliser[..., None]).sum()

    ours = jax.jit(jax.grad(functools.partial(energy, weighted_differences), (0, 1)))(guide, x)
    plain = jax.jit(jax.grad(functools.partial(energy, weighted_differences.__wrapped__), (0, 1)))(guide, x)
    for a, b in zip(ours, plain, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


def test_gradients_agree_with_finite_differences():
    target, guide = image(6, 7, 2), image(6, 7, seed=1)
    g = np.random.default_rng(2).normal(size=target.shape).astype(np.float32)
    f = jax.jit(lambda t, v: (g * bilateral_solve(t, v, iterations=12, **SMOOTH)[0]).sum())
    check_grads(f, (target, guide), order=1, modes=("rev",), eps=1e-2, atol=2e-2, rtol=2e-2)


def extremes():
    flat, random = np.ones((9, 10, 3), np.float32), image(9, 10, seed=5)
    return {
        "black": 0 * flat,
        "white": flat,
        "grey": 0.5 * flat,
        "random": random,
        "binary": (random > 0.5).astype(np.float32),
        "denormal": 1e-40 * random,
        "nearly flat": 0.5 * flat + 1e-7 * random,
    }


@pytest.mark.parametrize("name", extremes())
def test_gradients_are_finite_with_the_defaults(name):
    guide = extremes()[name]
    for target in (guide, image(9, 10), 0 * guide):
        (value, stats), gradients = EXTREME_GRADIENT(target, guide)
        assert np.isfinite(value)
        assert np.isfinite(stats.residual).all()
        assert all(np.isfinite(gradient).all() for gradient in gradients)


def _energy(target, guide):
    solution, stats = bilateral_solve(target, guide)
    return (solution * solution).sum(), stats


EXTREME_GRADIENT = jax.jit(jax.value_and_grad(_energy, (0, 1), has_aux=True))


def test_the_statistics_carry_no_gradient():
    gradient = jax.grad(lambda t: compiled(window=3, iterations=3)(t, image(6, 7, seed=1))[1].residual.sum())
    assert not gradient(image(6, 7)).any()


@pytest.mark.parametrize(
    ("target", "options", "message"),
    [
        ((5, 6, 2), {}, r"target: expected \[5, 5, C\] as the guide has, got \(5, 6, 2\)"),
        ((5, 5), {}, r"target: expected \[5, 5, C\]"),
        ((5, 5, 2), {"window": 4}, "window: expected an odd number of pixels, got 4"),
        ((5, 5, 2), {"iterations": -1}, "iterations: expected 0 or more, got -1"),
    ],
)
def test_bad_input_is_refused(target, options, message):
    with pytest.raises(ValueError, match=message):
        bilateral_solve(np.zeros(target, np.float32), image(5, 5), **options)


@pytest.mark.reference
@pytest.mark.parametrize(
    ("name", "options", "tolerance"),
    [
        ("out_1", {"iterations": 1}, 5e-6),
        ("out_7", {"iterations": 7}, 5e-6),
        # The published float32 solution is itself up to 9.5e-6 off the float64 one, ours 1e-6.
        ("out_80", {}, 1.2e-5),
        ("out_80_tuned", {"sigma_range": 0.008, "fidelity": 5e-4}, 1.2e-5),
    ],
)
def test_agrees_with_the_published_solver(vectors, name, options, tolerance):
    reference = vectors("stage_functions")
    solution, _ = compiled(**options)(reference["bilateral_solver/init"], reference["bilateral_solver/guide"])
    np.testing.assert_allclose(solution, reference[f"bilateral_solver/{name}"], atol=tolerance, rtol=0)
