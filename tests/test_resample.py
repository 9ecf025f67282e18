"""Laws of resizing and pooling, NumPy oracles, then parity."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from modisp_jax import resample

# One program a shape; without jit, each operation would be one.
resize_bilinear = jax.jit(resample.resize_bilinear, static_argnames=("size", "align"))
box_mean = jax.jit(resample.box_mean, static_argnames="size")
mean_pool = jax.jit(resample.mean_pool, static_argnames="factor")
ALIGN = ["corners", "centers"]
SIZES = [((7, 9), (7, 9)), ((7, 9), (3, 4)), ((7, 9), (20, 31)), ((1, 1), (4, 5)), ((5, 6), (1, 1)), ((1, 8), (3, 1))]


def image(h, w, channels=3, seed=0):
    return np.random.default_rng(seed).uniform(0, 1, (h, w, channels)).astype(np.float32)


def resize_oracle(x, size, align):
    """Bilinear resize in float64, pixel by pixel from the definition."""
    (h, w), out = x.shape[:2], np.zeros((*size, x.shape[2]))
    for i in range(size[0]):
        for j in range(size[1]):
            place = []
            for k, n_in, n_out in ((i, h, size[0]), (j, w, size[1])):
                if align == "corners":
                    position = k * (n_in - 1) / (n_out - 1) if n_out > 1 else 0.0
                else:
                    position = min(max((k + 0.5) * n_in / n_out - 0.5, 0.0), n_in - 1)
                low = min(int(np.floor(position)), n_in - 1)
                place.append((low, min(low + 1, n_in - 1), position - low))
            (y0, y1, ty), (x0, x1, tx) = place
            top = (1 - tx) * x[y0, x0] + tx * x[y0, x1]
            out[i, j] = (1 - ty) * top + ty * ((1 - tx) * x[y1, x0] + tx * x[y1, x1])
    return out


@pytest.mark.parametrize("align", ALIGN)
@pytest.mark.parametrize(("size_in", "size"), SIZES)
def test_resize_agrees_with_its_definition(size_in, size, align):
    x = image(*size_in)
    y = resize_bilinear(x, size, align=align)
    assert y.shape == (*size, 3)
    np.testing.assert_allclose(y, resize_oracle(x, size, align), atol=1e-6)


@pytest.mark.parametrize("align", ALIGN)
def test_resize_to_the_same_size_is_the_identity(align):
    x = image(6, 11)
    assert resample.resize_bilinear(x, (6, 11), align=align) is x
    y = resample.interpolate_axis(jnp.asarray(x), *resample.positions(6, 6, align), 0)
    np.testing.assert_array_equal(y, x)


@pytest.mark.parametrize("align", ALIGN)
@pytest.mark.parametrize(("size_in", "size"), SIZES)
def test_resize_keeps_constants_and_range(size_in, size, align):
    y = resize_bilinear(np.full((*size_in, 3), 0.3, np.float32), size, align=align)
    np.testing.assert_allclose(y, 0.3, rtol=2e-7)
    x = image(*size_in)
    y = resize_bilinear(x, size, align=align)
    assert y.min() >= x.min() - 1e-7
    assert y.max() <= x.max() + 1e-7


def ramp(h, w):
    """A plane over [-1, 1] x [-1, 1] that reaches the outer samples' centres, [h, w, 1]."""
    return (np.linspace(-1, 1, h)[:, None, None] + 0.5 * np.linspace(-1, 1, w)[None, :, None]).astype(np.float32)


@pytest.mark.parametrize("size", [(5, 4), (9, 17), (40, 33)])
def test_corners_reproduce_linear_ramps(size):
    np.testing.assert_allclose(resize_bilinear(ramp(9, 17), size), ramp(*size), atol=1e-6)


def test_corners_keep_the_corner_samples():
    x = image(7, 10)
    y = resize_bilinear(x, (31, 4))
    np.testing.assert_allclose(y[::30, ::3], x[::6, ::9], atol=1e-6)


def test_centers_halve_by_averaging_and_commute_with_flips():
    x = image(8, 12)
    half = resize_bilinear(x, (4, 6), align="centers")
    np.testing.assert_allclose(half, mean_pool(x, 2), atol=1e-6)
    for align in ALIGN:
        y = resize_bilinear(x, (5, 7), align=align)
        flipped = resize_bilinear(x[::-1, ::-1], (5, 7), align=align)
        np.testing.assert_allclose(flipped[::-1, ::-1], y, atol=2e-6)


def test_unknown_alignment_is_refused():
    with pytest.raises(ValueError, match="expected 'corners' or 'centers', got 'edges'"):
        resample.resize_bilinear(image(4, 4), (3, 3), align="edges")


@pytest.mark.parametrize(("n", "before", "after"), [(2, 1, 1), (2, 5, 4), (3, 2, 7), (5, 4, 4), (8, 3, 0), (9, 20, 19)])
def test_reflect_index_is_numpys(n, before, after):
    expected = np.pad(np.arange(n), (before, after), mode="reflect")
    np.testing.assert_array_equal(resample.reflect_index(n, before, after), expected)


def test_a_single_pixel_repeats():
    np.testing.assert_array_equal(resample.reflect_index(1, 3, 2), np.zeros(6))
    x = image(1, 4)
    np.testing.assert_array_equal(resample.pad_reflect(x, 2)[:, 2:-2], np.repeat(x, 5, axis=0))


@pytest.mark.parametrize(("before", "after"), [(2, None), (0, 1), (3, 0), (0, 0)])
def test_pad_reflect_is_numpys(before, after):
    x = image(5, 6)
    pad = (before, before if after is None else after)
    expected = np.pad(x, (pad, pad, (0, 0)), mode="reflect")
    np.testing.assert_array_equal(resample.pad_reflect(x, before, after), expected)


@pytest.mark.parametrize("size", [1, 3, 5])
@pytest.mark.parametrize("shape", [(9, 8), (4, 4), (2, 3), (1, 1)])
def test_box_mean_agrees_with_numpy(shape, size):
    x = image(*shape)
    padded = np.pad(x.astype(float), ((size // 2,) * 2, (size // 2,) * 2, (0, 0)), mode="reflect")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (size, size), axis=(0, 1))
    np.testing.assert_allclose(box_mean(x, size), windows.mean(axis=(-2, -1)), atol=1e-6)


def test_mean_pool_averages_blocks_and_drops_the_rest():
    x = image(11, 14)
    expected = x[:9, :12].reshape(3, 3, 4, 3, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(mean_pool(x, 3), expected, atol=1e-6)
    np.testing.assert_array_equal(resample.mean_pool(x, 1), x)


FUNCTIONS = {
    "corners": lambda x: resample.resize_bilinear(x, (5, 13)),
    "centers": lambda x: resample.resize_bilinear(x, (5, 13), align="centers"),
    "mean_pool": lambda x: resample.mean_pool(x, 2),
    "pad_reflect": lambda x: resample.pad_reflect(x, 3),
    "box_mean": lambda x: resample.box_mean(x, 3),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_jit_vmap_and_linearity(name):
    function = FUNCTIONS[name]
    batch = np.stack([image(8, 9, seed=seed) for seed in range(3)])
    jitted = jax.jit(function)
    loop = np.stack([jitted(x) for x in batch])
    np.testing.assert_allclose(function(batch[0]), loop[0], atol=1e-6)
    np.testing.assert_allclose(jax.jit(jax.vmap(function))(batch), loop, atol=1e-6)
    np.testing.assert_allclose(jitted(2 * batch[0] - batch[1]), 2 * loop[0] - loop[1], atol=2e-6)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_gradient_is_the_transpose(name):
    function, x = FUNCTIONS[name], image(8, 9)
    y, transpose = jax.vjp(jax.jit(function), jnp.asarray(x))
    g = np.random.default_rng(1).normal(size=y.shape).astype(np.float32)
    np.testing.assert_allclose(np.vdot(g, y), np.vdot(transpose(g)[0], x), rtol=1e-4)


@pytest.mark.reference
def test_the_quarter_image_agrees_with_the_published_one(vectors):
    reference = vectors("pipeline_style0")
    quarter = resample.resize_bilinear(reference["default/lsrgb"], (96, 144))
    np.testing.assert_allclose(quarter, reference["default/lsrgb_quarter"], atol=1e-6)


def test_a_box_mean_can_be_differentiated():
    """The gradient of a mean's sum is the transposed mean: all ones inside, and the whole is kept."""
    x = jnp.asarray(np.random.default_rng(0).normal(size=(9, 11, 2)), jnp.float32)
    gradient = jax.jit(jax.grad(lambda x: resample.box_mean(x, 5).sum()))(x)
    np.testing.assert_allclose(gradient[4, 5], 1.0, rtol=1e-5)
    np.testing.assert_allclose(gradient.sum(), x.size, rtol=1e-5)


@pytest.mark.parametrize("align", ["corners", "centers"])
@pytest.mark.parametrize("size", [(3, 4), (7, 5), (14, 19)])
def test_the_gradient_of_a_resize_is_its_transpose(align, size):
    rng = np.random.default_rng(0)
    x, y = (jnp.asarray(rng.normal(size=(*shape, 2)), jnp.float32) for shape in ((7, 9), size))
    resized, transpose = jax.vjp(lambda x: resize_bilinear(x, size, align=align), x)
    np.testing.assert_allclose(jnp.vdot(resized, y), jnp.vdot(x, transpose(y)[0]), rtol=2e-5)


@pytest.mark.parametrize(("before", "after"), [(2, 2), (1, 3), (4, 4), (9, 2)])
def test_both_ways_of_mirroring_agree(before, after):
    x = jnp.asarray(np.random.default_rng(0).normal(size=(5, 6, 2)), jnp.float32)
    rows, columns = (resample.reflect_index(n, before, after) for n in x.shape[:2])
    np.testing.assert_array_equal(resample.pad_reflect(x, before, after), x[rows][:, columns])
