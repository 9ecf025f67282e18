"""The CPU kernels against what XLA compiles: one mathematics, whatever the path, the size and the bands of rows."""

import functools
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from modisp_jax.config import NAFNetConfig
from modisp_jax.editor.pieces import live_pixels
from modisp_jax.kernels import dispatch, threads, tones, xla
from modisp_jax.kernels import nafnet as kernels
from modisp_jax.nets import nafnet
from modisp_jax.nets.photofinish import GuideNet, guide
from modisp_jax.ops.bilateral_grid import slice_affine, slice_grid
from modisp_jax.ops.bilateral_solver import bilateral_solve
from modisp_jax.ops.geometry import rotate
from modisp_jax.ops.guided_upsample import fit_affine_grid
from tests.samples import numbered_network, photo

pytestmark = pytest.mark.optimised

SMALL = NAFNetConfig(4, (1, 2), 1, (1, 1))
WIDE = NAFNetConfig(8, (1,), 1, (1,))
SIZES = [(1, 1), (2, 3), (17, 23), (1, 40), (40, 1), (33, 300), (130, 18)]
ACCURACY = 2e-6


@functools.cache
def network(config):
    return numbered_network(nafnet.NAFNet(config))


def restore(config, **options):
    return lambda params, image, strength=1.0: nafnet.restore(params, image, jnp.float32(strength), config, **options)


def assert_close(got, want, accuracy=ACCURACY):
    """Within an accuracy relative to the largest number: what float32 allows where sums are ordered differently."""
    assert got.shape == want.shape
    np.testing.assert_allclose(got, want, rtol=0, atol=accuracy * max(1.0, np.abs(want).max()))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("config", [SMALL, WIDE], ids=["width 4", "width 8"])
def test_nafnet_is_what_xla_computes(config, size, by_xla):
    image = photo(*size)
    got = jax.jit(restore(config))(network(config), image)
    assert_close(got, by_xla(restore(config), network(config), image))
    assert np.abs(got - image).max() > 0.01  # the network does something


@pytest.mark.parametrize("width", [2, 3, 6])
def test_other_widths_are_left_to_xla(width, by_xla):
    config = NAFNetConfig(width, (1,), 1, (1,))
    image = photo(12, 14)
    text = jax.jit(restore(config)).lower(network(config), image).as_text()
    assert "modisp_nafnet" not in text
    assert_close(restore(config)(network(config), image), by_xla(restore(config), network(config), image))


def test_the_variable_leaves_all_to_xla(monkeypatch):
    lower = lambda: jax.jit(restore(WIDE)).lower(network(WIDE), photo(8, 8)).as_text()  # noqa: E731
    assert "modisp_nafnet" in lower()
    monkeypatch.setenv(dispatch.VARIABLE, "0")
    assert "modisp_nafnet" not in lower()


@pytest.mark.parametrize("rows", [1, 2, 7, 1000])
def test_bands_of_rows_change_nothing(rows, monkeypatch):
    image = photo(37, 45)
    want = restore(WIDE)(network(WIDE), image)
    target = np.concatenate([image, image[..., :2]], -1)
    solved = bilateral_solve(target, image, iterations=3)[0]
    monkeypatch.setattr(threads, "LEAST_ROWS", rows)
    monkeypatch.setattr(threads, "BANDS_A_CORE", 1000)
    np.testing.assert_allclose(restore(WIDE)(network(WIDE), image), want, rtol=0, atol=2e-7)
    np.testing.assert_array_equal(bilateral_solve(target, image, iterations=3)[0], solved)


@pytest.mark.parametrize("panel", [1, 5, 16, 44, 45])
@pytest.mark.parametrize("activations", ["float32", "bfloat16"])
def test_panels_of_columns_change_nothing(panel, activations, monkeypatch):
    image = photo(19, 45)
    run = restore(WIDE, activations=activations)
    want = run(network(WIDE), image)
    monkeypatch.setattr(kernels, "PANEL", panel)
    monkeypatch.setattr(threads, "LEAST_ROWS", 4)
    assert_close(run(network(WIDE), image), want, 2e-6 if activations == "float32" else 0.02)


def test_strength_and_limits():
    image = photo(20, 24) * 1.5 - 0.2
    run = restore(WIDE)
    np.testing.assert_array_equal(run(network(WIDE), image, 0.0), image)
    whole = run(network(WIDE), image, 1.0)
    np.testing.assert_allclose(run(network(WIDE), image, 0.25), 0.75 * image + 0.25 * whole, atol=1e-6)
    limited = restore(WIDE, limits=(0.0, 1.0))(network(WIDE), image)
    np.testing.assert_allclose(limited, np.clip(whole, 0, 1), atol=1e-7)


def test_bfloat16_activations_are_rounded_and_no_more(by_xla):
    image = photo(40, 56)
    exact = restore(WIDE)(network(WIDE), image)
    for run in (
        restore(WIDE, activations="bfloat16"),
        functools.partial(by_xla, restore(WIDE, activations="bfloat16")),
    ):
        error = np.abs(run(network(WIDE), image) - exact)
        assert 1e-5 < error.max() < 0.1  # 8 bits of numbers around 1, a dozen layers deep
        assert error.mean() < 0.02


def test_transformations():
    images = np.stack([photo(12, 18, seed) for seed in range(3)])
    run = restore(WIDE)
    loop = np.stack([run(network(WIDE), image) for image in images])
    np.testing.assert_array_equal(jax.jit(jax.vmap(run, (None, 0)))(network(WIDE), images), loop)
    mapped = jax.lax.map(lambda image: run(network(WIDE), image), images)
    np.testing.assert_array_equal(mapped, loop)


def test_derivatives_are_those_of_the_network_as_xla_compiles_it(by_xla):
    image = photo(10, 12)
    loss = lambda params, image, strength: jnp.sum(restore(WIDE)(params, image, strength) ** 2)  # noqa: E731
    both = lambda f: lambda *a: jax.value_and_grad(f, (0, 1, 2))(*a)  # noqa: E731
    got, want = (run(both(loss), network(WIDE), image, 0.7) for run in (lambda f, *a: jax.jit(f)(*a), by_xla))
    jax.tree.map(functools.partial(assert_close, accuracy=1e-5), got, want)


def test_nan_and_infinity_come_out_as_they_went_in():
    image = photo(24, 24)
    image[5, 6, 1] = np.nan
    assert np.isnan(restore(WIDE)(network(WIDE), image)).any()
    image[5, 6, 1] = np.inf
    assert not np.isfinite(restore(WIDE)(network(WIDE), image)).all()


def test_the_input_is_left_alone():
    image = jnp.asarray(photo(16, 20))
    before = np.array(image)
    total = jax.jit(lambda image: image + restore(WIDE)(network(WIDE), image))(image)
    np.testing.assert_array_equal(image, before)
    np.testing.assert_allclose(total - before, restore(WIDE)(network(WIDE), image), atol=1e-6)


DEPTHS = np.array([-np.inf, -3.0, -0.5, 0.0, 0.3, 2.0, 3.7, 4.0, 4.9, 5.0, 6.0, np.inf], np.float32)


@pytest.mark.parametrize("outside", ["border", "zero"])
@pytest.mark.parametrize("align", ["corners", "edges"])
@pytest.mark.parametrize("nodes", [(1, 1, 1), (2, 3, 5), (7, 4, 2), (6, 1, 5)])
def test_slicing_is_what_xla_computes(nodes, align, outside, by_xla):
    rng = np.random.default_rng(1)
    depth = rng.choice(DEPTHS, (13, 40)).astype(np.float32)
    grid = rng.standard_normal((*nodes, 5), np.float32)
    run = functools.partial(slice_grid, align=align, outside=outside)
    np.testing.assert_allclose(run(grid, depth), by_xla(run, grid, depth), atol=2e-6)
    models = rng.standard_normal((*nodes, 3, 4), np.float32)
    affine = functools.partial(slice_affine, align=align, outside=outside)
    image = photo(13, 40)
    np.testing.assert_allclose(affine(models, depth, image), by_xla(affine, models, depth, image), atol=4e-6)


def test_a_depth_that_is_no_number_spoils_its_own_pixel_only():
    depth = np.full((4, 6), 1.5, np.float32)
    depth[1, 2] = np.nan
    out = slice_grid(np.ones((2, 2, 4, 3), np.float32), depth)
    np.testing.assert_array_equal(np.isnan(out), np.broadcast_to(np.isnan(depth)[..., None], out.shape))


@pytest.mark.parametrize("size", [(1, 1), (5, 70), (64, 48)])
def test_the_fit_is_what_xla_computes(size, by_xla):
    small = photo(*size)
    target = small**0.45
    got, want = fit_affine_grid(small, target), by_xla(fit_affine_grid, small, target)
    at_pixels = lambda grid: slice_affine(grid, 15 * small.mean(-1), small)  # noqa: E731
    np.testing.assert_allclose(at_pixels(got), at_pixels(want), atol=2e-6)


@pytest.mark.parametrize("gated_prior", [True, False])
def test_the_fit_is_that_of_float64_where_nodes_see_two_colours_one_or_none(gated_prior, by_xla):
    small = np.full((40, 70, 3), 0.3, np.float32)
    small[:, 40::3] = [0.62, 0.2, 0.1]
    target = np.float32([0.5, 0.9, 0.7]) * small**0.45
    run = functools.partial(fit_affine_grid, gated_prior=gated_prior)
    got, want = run(small, target), by_xla(run, small, target)
    at_pixels = lambda grid: slice_affine(grid, 15 * small.mean(-1), small)  # noqa: E731
    np.testing.assert_allclose(at_pixels(got), at_pixels(want), atol=2e-6)
    assert np.isfinite(got).all()


@pytest.mark.parametrize("size", [(16, 16), (37, 70)])
@pytest.mark.parametrize("grey", [False, True])
@pytest.mark.parametrize("polishes", [False, True])
def test_live_pixels_are_what_xla_computes(size, grey, polishes, by_xla):
    image, before = photo(*size), 0.5 * photo(*size)
    fit = fit_affine_grid(image, image**0.45), jnp.asarray(grey)
    sliders = {"sharpening": np.float32(9), "rotation": np.float32(0)}
    options = {"sliders": sliders, "polishes": polishes, "operators": "smooth"}
    run = lambda *scene: live_pixels.__wrapped__(*scene, np.float32(0.7), **options)  # noqa: E731
    got, want = jax.jit(run)(fit, image, before, image), by_xla(run, fit, image, before, image)
    assert got.dtype == want.dtype == np.uint8
    difference = np.abs(np.asarray(got, int) - np.asarray(want, int))
    assert difference.max() <= 1  # a rounding to the other side
    assert difference.mean() < 0.01
    assert not grey or (np.ptp(np.asarray(jax.jit(run)(fit, image, image, image)), axis=-1) == 0).all()


@pytest.mark.parametrize("size", [(2, 2), (5, 70), (64, 48)])
@pytest.mark.parametrize("degrees", [-45.0, -0.01, 7.0])
def test_rotation_is_what_xla_computes(size, degrees, by_xla):
    image = photo(*size)
    got = jax.jit(rotate)(image, np.float32(degrees))
    np.testing.assert_allclose(got, by_xla(rotate, image, np.float32(degrees)), atol=2e-6)


@pytest.mark.parametrize("size", [(1, 1), (7, 5), (130, 41)])
@pytest.mark.parametrize("every", [1, 2])
def test_tones_are_those_that_pillow_counts(size, every):
    picture = np.random.default_rng(0).integers(-40, 300, (*size, 3)).clip(0, 255).astype(np.uint8)
    seen = np.ascontiguousarray(picture[::every, ::every])
    image = Image.fromarray(seen)
    counts, low, high, number = tones.count(picture, every)
    np.testing.assert_array_equal(counts.ravel(), [*image.histogram(), *image.convert("L").histogram()])
    assert (low, high) == ((seen == 0).any(-1).sum(), (seen == 255).any(-1).sum())
    assert number == seen.shape[0] * seen.shape[1]


@pytest.mark.parametrize("size", [(1, 1), (2, 9), (19, 31)])
@pytest.mark.parametrize(("window", "channels"), [(7, 5), (3, 1)])
def test_the_solver_is_what_xla_computes(size, window, channels, by_xla):
    rng = np.random.default_rng(2)
    target, image = rng.random((*size, channels), np.float32), photo(*size)
    run = lambda target, image: bilateral_solve(target, image, window=window, iterations=12, relaxation=1.2)  # noqa: E731
    (got, stats), (want, expected) = run(target, image), by_xla(run, target, image)
    np.testing.assert_allclose(got, want, atol=2e-6)
    np.testing.assert_allclose(stats.residual, expected.residual, rtol=1e-3, atol=1e-7)


@pytest.mark.parametrize("size", [(4, 5), (4, 40), (23, 37), (50, 400)])
def test_the_guide_is_what_xla_computes(size, by_xla):
    params, image = numbered_network(GuideNet()), photo(*size)
    got = guide(params, image)
    np.testing.assert_allclose(got, by_xla(guide, params, image), atol=5e-6)
    assert np.std(got) > 1e-3


def test_float64_is_left_to_xla():
    with jax.enable_x64(True):
        assert not dispatch.takes(jnp.zeros((2, 2), jnp.float64))
        assert slice_grid(np.ones((2, 2, 2, 1)), np.zeros((3, 3))).dtype == jnp.float64


def test_an_error_in_a_kernel_is_reported_and_the_next_call_works():
    def fail(x, out, fatal):
        if fatal:
            raise ValueError("expected a camel")
        out[...] = 2 * x

    xla.register("modisp_test_fail", fail)
    x = jnp.arange(3.0)
    call = lambda fatal: xla.call("modisp_test_fail", jax.ShapeDtypeStruct(x.shape, x.dtype), x, fatal=fatal)  # noqa: E731
    with pytest.raises(jax.errors.JaxRuntimeError, match="ValueError: expected a camel"):
        jax.block_until_ready(call(True))
    np.testing.assert_array_equal(call(False), 2 * x)


ENDLESS = """
import threading
import jax, numpy as np
from modisp_jax.kernels import xla

begun = threading.Event()

def endless(x, out):
    begun.set()
    threading.Event().wait()

def program(x):
    y = jax.lax.fori_loop(0, 3, lambda i, x: x @ x, x)  # or it would run before the call returns
    return xla.call("endless", jax.ShapeDtypeStruct(x.shape, x.dtype), y)

xla.register("endless", endless)
jax.jit(program)(np.ones((8, 8), np.float32))
begun.wait()
print("the end")
"""


def test_a_program_that_nobody_waited_for_does_not_keep_the_process():
    done = subprocess.run([sys.executable, "-c", ENDLESS], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (0, "the end\n"), done.stderr


def test_bands_cover_every_row_once_and_raise_what_their_work_raises():
    for height in (1, 7, 8, 100, 1001):
        rows = []
        threads.each_band(height, lambda first, last, rows=rows: rows.extend(range(first, last)))
        assert sorted(rows) == list(range(height))
    with pytest.raises(ZeroDivisionError):
        threads.each_band(10, lambda first, last: 1 / 0)
