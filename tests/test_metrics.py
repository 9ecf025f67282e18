"""Metrics: laws, the published pairs of CIEDE2000, and parity with scikit-image's figures."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from modisp_jax import metrics
from modisp_jax.nets.vgg import CHANNELS, layer_names
from tests.samples import photo

A, B = photo(24, 32, 0), photo(24, 32, 1)
METRICS = {"psnr": metrics.psnr, "ssim": metrics.ssim, "delta_e2000": metrics.delta_e2000}
PERFECT = {"psnr": np.inf, "ssim": 1.0, "delta_e2000": 0.0}

# L1 a1 b1 L2 a2 b2 dE: Sharma, Wu and Dalal, "The CIEDE2000 color-difference formula", 2005, table 1.
SHARMA = """
50.0000   2.6772 -79.7751  50.0000   0.0000 -82.7485   2.0425
50.0000   3.1571 -77.2803  50.0000   0.0000 -82.7485   2.8615
50.0000   2.8361 -74.0200  50.0000   0.0000 -82.7485   3.4412
50.0000  -1.3802 -84.2814  50.0000   0.0000 -82.7485   1.0000
50.0000  -1.1848 -84.8006  50.0000   0.0000 -82.7485   1.0000
50.0000  -0.9009 -85.5211  50.0000   0.0000 -82.7485   1.0000
50.0000   0.0000   0.0000  50.0000  -1.0000   2.0000   2.3669
50.0000  -1.0000   2.0000  50.0000   0.0000   0.0000   2.3669
50.0000   2.4900  -0.0010  50.0000  -2.4900   0.0009   7.1792
50.0000   2.4900  -0.0010  50.0000  -2.4900   0.0010   7.1792
50.0000   2.4900  -0.0010  50.0000  -2.4900   0.0011   7.2195
50.0000   2.4900  -0.0010  50.0000  -2.4900   0.0012   7.2195
50.0000  -0.0010   2.4900  50.0000   0.0009  -2.4900   4.8045
50.0000  -0.0010   2.4900  50.0000   0.0010  -2.4900   4.8045
50.0000  -0.0010   2.4900  50.0000   0.0011  -2.4900   4.7461
50.0000   2.5000   0.0000  50.0000   0.0000  -2.5000   4.3065
50.0000   2.5000   0.0000  73.0000  25.0000 -18.0000  27.1492
50.0000   2.5000   0.0000  61.0000  -5.0000  29.0000  22.8977
50.0000   2.5000   0.0000  56.0000 -27.0000  -3.0000  31.9030
50.0000   2.5000   0.0000  58.0000  24.0000  15.0000  19.4535
50.0000   2.5000   0.0000  50.0000   3.1736   0.5854   1.0000
50.0000   2.5000   0.0000  50.0000   3.2972   0.0000   1.0000
50.0000   2.5000   0.0000  50.0000   1.8634   0.5757   1.0000
50.0000   2.5000   0.0000  50.0000   3.2592   0.3350   1.0000
60.2574 -34.0099  36.2677  60.4626 -34.1751  39.4387   1.2644
63.0109 -31.0961  -5.8663  62.8187 -29.7946  -4.0864   1.2630
61.2901   3.7196  -5.3901  61.4292   2.2480  -4.9620   1.8731
35.0831 -44.1164   3.7933  35.0232 -40.0716   1.5901   1.8645
22.7233  20.0904 -46.6940  23.0331  14.9730 -42.5619   2.0373
36.4612  47.8580  18.3852  36.2715  50.5065  21.2231   1.4146
90.8027  -2.0831   1.4410  91.1528  -1.6435   0.0447   1.4441
90.9257  -0.5406  -0.9208  88.6381  -0.8985  -0.7239   1.5381
 6.7747  -0.2908  -2.4247   5.8714  -0.0985  -2.2286   0.6377
 2.0776   0.0795  -1.1350   0.9033  -0.0636  -0.5514   0.9082
"""


@pytest.fixture(scope="module")
def pairs():
    table = np.array([[float(number) for number in line.split()] for line in SHARMA.strip().splitlines()], np.float32)
    assert table.shape == (34, 7)
    return table


def test_ciede2000_on_the_published_pairs(pairs):
    for compute in (metrics.ciede2000, jax.jit(metrics.ciede2000)):
        np.testing.assert_allclose(compute(pairs[:, :3], pairs[:, 3:6]), pairs[:, 6], atol=1e-4)


def test_ciede2000_is_symmetric_but_for_opposite_hues(pairs):
    there = metrics.ciede2000(pairs[:, :3], pairs[:, 3:6])
    back = metrics.ciede2000(pairs[:, 3:6], pairs[:, :3])
    np.testing.assert_allclose(there, back, atol=1e-4)


@pytest.mark.parametrize("name", METRICS)
def test_identical_pictures_are_perfect(name):
    for image in (A, np.zeros_like(A), np.ones_like(A), np.full_like(A, 0.3)):
        np.testing.assert_allclose(jax.jit(METRICS[name])(image, image), PERFECT[name], atol=1e-6)


@pytest.mark.parametrize("name", METRICS)
def test_symmetric_and_worse_with_more_noise(name):
    metric = jax.jit(METRICS[name])
    np.testing.assert_allclose(metric(A, B), metric(B, A), rtol=1e-5)
    noise = np.random.default_rng(0).normal(size=A.shape).astype(np.float32)
    values = [float(metric(A, np.clip(A + s * noise, 0, 1))) for s in (0.01, 0.03, 0.1)]
    assert values == sorted(values, reverse=name != "delta_e2000")


@pytest.mark.parametrize("name", METRICS)
def test_jit_and_vmap(name):
    alone = [float(METRICS[name](x, y)) for x, y in ((A, B), (B, A * 0.5))]
    together = jax.jit(jax.vmap(METRICS[name]))(np.stack([A, B]), np.stack([B, A * 0.5]))
    np.testing.assert_allclose(together, alone, rtol=1e-5)


def test_psnr_of_a_known_error():
    np.testing.assert_allclose(metrics.psnr(np.full_like(A, 0.5), np.full_like(A, 0.6)), 20.0, rtol=1e-5)


def test_ssim_of_flat_pictures_is_that_of_their_means():
    x, y = 0.2, 0.7
    expected = (2 * x * y + 1e-4) / (x * x + y * y + 1e-4)
    np.testing.assert_allclose(metrics.ssim(np.full_like(A, x), np.full_like(A, y)), expected, atol=1e-5)


def test_ssim_against_its_definition_in_float64():
    x, y = (np.lib.stride_tricks.sliding_window_view(z.astype(np.float64), (7, 7), (0, 1)) for z in (A, B))
    axes, samples = (-1, -2), 49
    mx, my = x.mean(axes), y.mean(axes)
    vx, vy = x.var(axes, ddof=1), y.var(axes, ddof=1)
    vxy = ((x * y).mean(axes) - mx * my) * samples / (samples - 1)
    map_ = (2 * mx * my + 1e-4) * (2 * vxy + 9e-4) / ((mx**2 + my**2 + 1e-4) * (vx + vy + 9e-4))
    np.testing.assert_allclose(metrics.ssim(A, B), map_.mean(), atol=2e-6)


def test_lab_of_known_colours():
    white, grey, red = metrics.srgb_to_lab(np.array([[1, 1, 1], [0.5, 0.5, 0.5], [1, 0, 0]], np.float32))
    np.testing.assert_allclose(white, [100, 0, 0], atol=0.01)
    np.testing.assert_allclose(grey, [53.389, 0, 0], atol=0.01)
    np.testing.assert_allclose(red, [53.24, 80.09, 67.20], atol=0.01)


def test_a_large_flat_picture_loses_no_digits():
    x, y = (np.full((1500, 2000, 3), value, np.float32) for value in (0.3, 0.4))
    np.testing.assert_allclose(jax.jit(metrics.psnr)(x, y), 20.0, atol=1e-4)


@pytest.mark.parametrize("name", METRICS)
def test_bad_input_is_refused(name):
    with pytest.raises(ValueError, match=r"two pictures of one size, got \(24, 32\) and \(24, 30\)"):
        METRICS[name](A, B[:, :30])
    with pytest.raises(ValueError, match=r"expected an image \[H, W, 3\]"):
        METRICS[name](A[..., 0], B[..., 0])
    with pytest.raises(ValueError, match="floating-point"):
        METRICS[name](A, (255 * B).astype(np.uint8))


def test_ssim_of_a_small_picture_is_refused():
    with pytest.raises(ValueError, match="at least 7 pixels a side"):
        metrics.ssim(A[:6], B[:6])


def small_lpips_weights(seed=0):
    """LPIPS weights of few channels: the function reads sizes off the arrays."""
    rng = np.random.default_rng(seed)
    params, channels = {}, 3
    for name in layer_names("vgg16"):
        features = CHANNELS[int(name[4]) - 1] // 64
        kernel = rng.normal(size=(3, 3, channels, features)) / np.sqrt(9 * channels)
        params[name] = {"kernel": jnp.asarray(kernel, jnp.float32), "bias": jnp.full(features, 0.1)}
        channels = features
    linear = {
        tap: jnp.asarray(rng.uniform(size=CHANNELS[b] // 64), jnp.float32) for b, tap in enumerate(metrics.LPIPS_TAPS)
    }
    return {"vgg": params, "linear": linear}


def test_lpips_laws():
    weights = small_lpips_weights()
    lpips = jax.jit(lambda x, y, w: metrics.lpips(x, y, w, size=(32, 48)))
    assert lpips(A, A, weights) < 1e-10
    assert lpips(A, B, weights) > 1e-4
    np.testing.assert_allclose(lpips(A, B, weights), lpips(B, A, weights), rtol=1e-5)
    # Less than half of one of 255 steps away: the same 8 bits.
    steps = np.round(A * 255) / 255
    assert lpips(steps.astype(np.float32), (steps + 0.4 / 255).clip(0, 1).astype(np.float32), weights) < 1e-10
    doubled = {**weights, "linear": {tap: 2 * w for tap, w in weights["linear"].items()}}
    np.testing.assert_allclose(lpips(A, B, doubled), 2 * lpips(A, B, weights), rtol=1e-5)


@pytest.mark.reference
@pytest.mark.parametrize("case", range(3))
def test_parity(vectors, case):
    z = vectors("metrics")
    x, y = z[f"{case}/a"], z[f"{case}/b"]
    np.testing.assert_allclose(jax.jit(metrics.psnr)(x, y), z[f"{case}/psnr"], rtol=1e-6)
    np.testing.assert_allclose(jax.jit(metrics.ssim)(x, y), z[f"{case}/ssim"], atol=2e-6)
    np.testing.assert_allclose(jax.jit(metrics.delta_e2000)(x, y), z[f"{case}/delta_e2000"], atol=2e-5)
