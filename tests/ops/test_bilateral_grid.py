"""Slicing, its transpose and the fused affine slice: the definition, laws, gradients, memory, parity."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from modisp_jax.ops.bilateral_grid import axis_nodes, axis_strips, slice_affine, slice_grid, splat_grid, steps

CASES = [((4, 3, 5), (17, 12), "corners", "border"), ((4, 3, 5), (17, 12), "edges", "zero")]
CASES += [((7, 9, 6), (5, 4), "corners", "zero"), ((1, 2, 1), (3, 1), "edges", "border")]


def arrays(grid_size, size, channels=3, seed=0):
    """A grid, a depth reaching beyond both ends and away from nodes, and values; float32."""
    rng = np.random.default_rng(seed)
    grid = rng.normal(size=(*grid_size, channels)).astype(np.float32)
    depth = rng.integers(-2, grid_size[2] + 2, size) + rng.uniform(0.1, 0.9, size)
    return grid, depth.astype(np.float32), rng.normal(size=(*size, channels)).astype(np.float32)


def weights(depth, grid_size, align, outside):
    """The definition: dense weights [H, W, gh, gw, gd] of every node for every pixel."""
    hat = lambda position, nodes: jnp.maximum(1 - jnp.abs(position[..., None] - jnp.arange(nodes)), 0)  # noqa: E731
    axes = []
    for n, g in zip(depth.shape, grid_size[:2], strict=True):
        i = np.arange(n)
        axes.append(hat((i + 0.5) * (g - 1) / n if align == "edges" else i * (g - 1) / max(n - 1, 1), g))
    if outside == "border":
        depth = jnp.clip(depth, 0, grid_size[2] - 1)
    return jnp.einsum("yj,xi,yxk->yxjik", *axes, hat(depth, grid_size[2]))


def naive_slice(grid, depth, align, outside):
    return jnp.einsum("yxjik,jikc->yxc", weights(depth, grid.shape[:3], align, outside), grid)


def naive_splat(values, depth, size, align, outside):
    return jnp.einsum("yxjik,yxc->jikc", weights(depth, size, align, outside), values)


def models_applied(models, image):
    models = models.reshape(*image.shape[:2], 3, 4)
    return jnp.einsum("yxab,yxb->yxa", models[..., :3], image) + models[..., 3]


def value_and_gradients(fn, *args):
    """The value of fn(*args), and the gradients of a generic scalar of it in all arguments."""
    value, pull = jax.vjp(fn, *args)
    return value, *pull(jnp.cos(1.7 * jnp.arange(value.size) + 0.3).reshape(value.shape).astype(value.dtype))


def assert_same(ours, naive, *args):
    assert_close(*(jax.jit(lambda *a, fn=fn: value_and_gradients(fn, *a))(*args) for fn in (ours, naive)))


def assert_close(got, want, tolerance=2e-5):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance), got, want)


@pytest.mark.parametrize(("grid_size", "size", "align", "outside"), CASES)
def test_slice_is_its_definition_in_value_and_gradient(grid_size, size, align, outside):
    grid, depth, _ = arrays(grid_size, size)
    ours = lambda g, z: slice_grid(g, z, align=align, outside=outside)  # noqa: E731
    assert_same(ours, lambda g, z: naive_slice(g, z, align, outside), grid, depth)


@pytest.mark.parametrize(("grid_size", "size", "align", "outside"), CASES)
def test_splat_is_its_definition_in_value_and_gradient(grid_size, size, align, outside):
    _, depth, values = arrays(grid_size, size)
    ours = lambda v, z: splat_grid(v, z, grid_size, align=align, outside=outside)  # noqa: E731
    assert_same(ours, lambda v, z: naive_splat(v, z, grid_size, align, outside), values, depth)


@pytest.mark.optimised
@pytest.mark.parametrize("outside", ["border", "zero"])
def test_fused_affine_slice_is_slice_then_apply(outside):
    _, depth, image = arrays((4, 3, 5), (17, 12))
    grid = arrays((4, 3, 5), (17, 12), channels=12)[0].reshape(4, 3, 5, 3, 4)
    ours = lambda g, z, x: slice_affine(g, z, x, outside=outside)  # noqa: E731
    plain = lambda g, z, x: models_applied(naive_slice(g.reshape(4, 3, 5, 12), z, "edges", outside), x)  # noqa: E731
    assert_same(ours, plain, grid, depth, image)


def test_gradients_meet_finite_differences():
    with jax.enable_x64(True):
        grid, depth, values = (x.astype(np.float64) for x in arrays((3, 2, 4), (5, 6), channels=2))
        fn = lambda g, v, z: (slice_grid(g, z) ** 2, splat_grid(v, z, (3, 2, 4), outside="zero") ** 2)  # noqa: E731
        check_grads(jax.jit(fn), (grid, values, depth), order=1, modes=["rev"], atol=1e-5, rtol=1e-5, eps=1e-5)


def test_a_linear_grid_gives_the_position_back():
    j, i, k = np.meshgrid(*(np.arange(n, dtype=np.float32) for n in (5, 7, 6)), indexing="ij")
    depth = np.random.default_rng(0).uniform(0, 5, (20, 30)).astype(np.float32)
    for align in ("corners", "edges"):
        out = slice_grid(np.stack([j, i, k], -1), depth, align=align)
        y, x = (np.add(*axis_nodes(n, g, align)[::2]) for n, g in ((20, 5), (30, 7)))
        np.testing.assert_allclose(out[..., 0], np.broadcast_to(y[:, None], (20, 30)), atol=2e-6)
        np.testing.assert_allclose(out[..., 1], np.broadcast_to(x, (20, 30)), atol=2e-6)
        np.testing.assert_allclose(out[..., 2], depth, atol=2e-6)
    np.testing.assert_allclose(axis_nodes(20, 5, "corners")[2][[0, -1]], [0, 1])
    np.testing.assert_allclose(y[[0, -1]], [0.1, 3.9])


def test_beyond_the_ends():
    grid = np.array([2.0, 3.0, 5.0], np.float32).reshape(1, 1, 3, 1)
    depth = np.array([[-np.inf, -3e38, -1.5, -1, -0.25, 0, 2, 2.75, 3, 3e38, np.inf]], np.float32)
    border = slice_grid(grid, depth)[0, :, 0]
    np.testing.assert_allclose(border, [2, 2, 2, 2, 2, 2, 5, 5, 5, 5, 5])
    zero = slice_grid(grid, depth, outside="zero")[0, :, 0]
    np.testing.assert_allclose(zero, [0, 0, 0, 0, 1.5, 2, 5, 1.25, 0, 0, 0])
    slope = lambda outside: jax.grad(lambda z: slice_grid(grid, z, outside=outside).sum())(depth)[0]  # noqa: E731
    np.testing.assert_allclose(slope("border"), [0, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0])
    np.testing.assert_allclose(slope("zero"), [0, 0, 0, 2, 2, 1, -5, -5, 0, 0, 0])


@pytest.mark.parametrize(("nodes", "outside"), [(6, "border"), (6, "zero"), (1, "border")])
def test_finite_for_every_depth(nodes, outside):
    """Every exponent of float32, both signs, infinities, and both neighbours of each node."""
    powers = np.ldexp(np.float32(1), np.arange(-149, 128))
    node = np.arange(-1, nodes + 1, dtype=np.float32)
    z = np.concatenate([powers, node, np.nextafter(node, -np.inf), np.nextafter(node, np.inf), [np.inf, 0]])
    depth = np.concatenate([z, -z]).astype(np.float32)[None]
    grid, _, _ = arrays((2, 3, nodes), (1, 1), 12)
    image = np.ones((*depth.shape, 3), np.float32)
    fn = lambda g, z, x: slice_affine(g, z, x, outside=outside)  # noqa: E731
    models = grid.reshape(2, 3, nodes, 3, 4)
    results = jax.jit(lambda *a: value_and_gradients(fn, *a))(models, depth, image)
    splat = lambda v, z: splat_grid(v, z, (2, 3, nodes), outside=outside)  # noqa: E731
    results += jax.jit(lambda *a: value_and_gradients(splat, *a))(image, depth)
    assert all(np.isfinite(x).all() for x in results)


@pytest.mark.parametrize(("align", "outside"), [("corners", "zero"), ("edges", "border")])
def test_slice_and_splat_are_transposes(align, outside):
    grid, depth, values = arrays((4, 3, 5), (33, 21))
    sliced = slice_grid(grid, depth, align=align, outside=outside)
    splatted = splat_grid(values, depth, (4, 3, 5), align=align, outside=outside)
    np.testing.assert_allclose(np.vdot(sliced, values), np.vdot(splatted, grid), rtol=1e-5)


def test_splat_keeps_the_total():
    _, depth, values = arrays((4, 3, 5), (33, 21))
    total = splat_grid(values, depth, (4, 3, 5)).sum((0, 1, 2))
    np.testing.assert_allclose(total, values.sum((0, 1)), rtol=1e-4, atol=1e-4)


def test_jit_and_vmap_change_nothing():
    many = [arrays((4, 3, 5), (9, 8), seed=s) for s in range(3)]
    for fn, args in (
        (slice_grid, [(grid, depth) for grid, depth, _ in many]),
        (lambda v, z: splat_grid(v, z, (4, 3, 5)), [(values, depth) for _, depth, values in many]),
    ):
        both = lambda *a, fn=fn: value_and_gradients(fn, *a)  # noqa: E731
        loop = [jax.jit(both)(*a) for a in args]
        mapped = jax.jit(jax.vmap(both))(*(np.stack(a) for a in zip(*args, strict=True)))
        assert_close(mapped, jax.tree.map(lambda *a: np.stack(a), *loop), 1e-5)
        np.testing.assert_allclose(fn(*args[0]), loop[0][0], atol=1e-6)


def test_no_scatter_and_no_large_temporary():
    """The gradient of a slice uses no scatter, and memory stays far below [H, W, gd, C]."""
    size, nodes, channels = (256, 512), (16, 16, 16), 12
    shapes = [jax.ShapeDtypeStruct(s, np.float32) for s in ((*nodes, 3, 4), size, (*size, 3))]
    loss = lambda g, z, x: jnp.sum(slice_affine(g, z, x) ** 2)  # noqa: E731
    grad = jax.jit(jax.grad(loss, (0, 1, 2)))
    assert "scatter" not in str(jax.make_jaxpr(grad)(*shapes))
    temporaries = grad.lower(*shapes).compile().memory_analysis().temp_size_in_bytes
    assert temporaries < np.prod(size) * 16 * channels * 4 / 2


@pytest.mark.parametrize(("n", "nodes"), [(100, 7), (3, 9), (5, 1), (1, 4), (64, 64)])
def test_strips_hold_every_pixel_once(n, nodes):
    for align in ("corners", "edges"):
        pixels, down, slots = axis_strips(n, nodes, align)
        np.testing.assert_array_equal(pixels.ravel()[slots], np.arange(n))
        np.testing.assert_allclose(down.sum(-1).ravel()[slots], 1)
        np.testing.assert_allclose(down.sum(), n)


def test_steps_divide():
    assert [steps(12, most) for most in (0, 1, 5, 12, 99)] == [1, 1, 4, 12, 12]


def test_errors_say_what_came():
    grid, depth, values = arrays((4, 3, 5), (9, 8))
    with pytest.raises(ValueError, match=r"rank 4.*\(9, 8\) and \(9, 8\)"):
        slice_grid(depth, depth)
    with pytest.raises(ValueError, match="'middle'"):
        slice_grid(grid, depth, align="middle")
    with pytest.raises(ValueError, match=r"values \[H, W, C\] for depth \(4, 8\), got \(9, 8, 3\)"):
        splat_grid(values, depth[:4], (4, 3, 5))
    with pytest.raises(ValueError, match=r"expected grid \[gh, gw, gd, 3, 4\]"):
        slice_affine(grid[..., None], depth, values)


@pytest.mark.reference
def test_parity_with_the_published_slice(vectors):
    npz = vectors("stage_functions")
    grid = npz["slice/grid_cdhw"].transpose(2, 3, 1, 0)
    depth = (npz["slice/guide"][..., 0] + 1) / 2 * (grid.shape[2] - 1)
    np.testing.assert_allclose(slice_grid(grid, depth), npz["slice/out"], rtol=0, atol=1e-6)
