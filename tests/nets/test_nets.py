import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import modisp_jax as mj
from modisp_jax.config import DENOISERS, ENHANCEMENT, NAFNetConfig
from modisp_jax.kernels.dispatch import VARIABLE
from modisp_jax.nets import photofinish
from modisp_jax.nets.layers import GroupNorm, convolve, depthwise, kernel_gradient_by_xla, pad_zero
from modisp_jax.nets.nafnet import NAFNet
from modisp_jax.params import count_params
from tests.samples import numbered_params, photo

IMAGE = jax.ShapeDtypeStruct((32, 32, 3), jnp.float32)
KEY = jax.random.key(0)


def count(net, *inputs):
    return count_params(jax.eval_shape(net.init, KEY, *inputs)["params"])


def test_parameter_counts_of_photofinishing():
    counts = {
        "gain": count(photofinish.gain_net(), IMAGE),
        "gtm": count(photofinish.GlobalToneNet(), IMAGE),
        "ltm": count(photofinish.GuideNet(), IMAGE)
        + count(photofinish.GridNet(), jax.ShapeDtypeStruct((384, 384, 6), jnp.float32)),
        "chroma": count(photofinish.ChromaNet(), IMAGE),
        "gamma": count(photofinish.gamma_net(), IMAGE),
        "rgb_lut": count(photofinish.RgbLut()),
    }
    assert counts == {"gain": 6587, "gtm": 28369, "ltm": 120215, "chroma": 45466, "gamma": 6587, "rgb_lut": 3993}


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (DENOISERS["lite"], 245_223),
        (DENOISERS["base"], 932_683),
        (DENOISERS["large"], 3_634_323),
        (ENHANCEMENT, 50_635),
    ],
)
def test_parameter_counts_of_nafnet(config, expected):
    assert count(NAFNet(config), IMAGE) == expected


def numbered_nafnet(config, image):
    net = NAFNet(config)
    params = numbered_params(jax.eval_shape(net.init, KEY, image)["params"])
    return lambda x: net.apply({"params": params}, x)


@pytest.mark.parametrize("size", [(16, 16), (17, 23), (1, 40)])
def test_nafnet_keeps_any_size_and_starts_as_the_identity(size):
    net = NAFNet(NAFNetConfig(2, (1, 1), 1, (1, 1)))
    image = photo(*size)
    params = mj.init_params(KEY, mj.PipelineConfig(net.config, None, None))["denoise"]
    np.testing.assert_array_equal(jax.jit(net.apply)({"params": params}, image), image)


def test_nafnet_pads_with_zeros_at_the_bottom_and_right():
    # Padding by hand to a multiple of 4 and cropping must change nothing.
    image = photo(14, 19)
    restore = jax.jit(numbered_nafnet(NAFNetConfig(2, (1, 1), 1, (1, 1)), image))
    padded = np.pad(image, ((0, 2), (0, 1), (0, 0)))
    np.testing.assert_allclose(restore(image), restore(padded)[:14, :19], atol=1e-6)


def test_nafnet_gradient_is_finite_on_flat_images():
    restore = numbered_nafnet(NAFNetConfig(2, (1,), 1, (1,)), photo(16, 16))
    gradient = jax.jit(jax.grad(lambda x: jnp.sum(restore(x) ** 2)))
    for value in (0.0, 0.5, 1.0):
        assert np.isfinite(gradient(jnp.full((16, 16, 3), value))).all()


def grouped(x, kernel, dilation):
    """XLA's own depthwise convolution of [H, W, C], zeros beyond the border."""
    return jax.lax.conv_general_dilated(
        x[None],
        kernel[:, :, None, :],
        (1, 1),
        "SAME",
        rhs_dilation=(dilation, dilation),
        feature_group_count=x.shape[-1],
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        precision="highest",
    )[0]


@pytest.mark.parametrize(("size", "dilation"), [(3, 1), (3, 2), (5, 1)])
@pytest.mark.parametrize("computed", ["by kernels", "by XLA"])
def test_depthwise_convolution_is_a_grouped_convolution(size, dilation, computed, monkeypatch):
    """With its gradients, at heights that strips of rows divide, and at others."""
    monkeypatch.setenv(VARIABLE, "0" if computed == "by XLA" else "1")
    radius = size // 2 * dilation
    kernel = jax.random.normal(KEY, (size, size, 3))
    for height in (5, 12, 16):
        images = jnp.stack([photo(height, 15, seed) for seed in range(2)])

        def total(run, images, kernel):
            return jnp.sum(jnp.sin(jax.vmap(run, (0, None))(images, kernel)))

        ours = lambda x, k: depthwise(pad_zero(x, radius), (k,), (jnp.zeros(3),), dilations=(dilation,), slope=1.0)  # noqa: E731
        theirs = functools.partial(grouped, dilation=dilation)
        np.testing.assert_allclose(ours(images[0], kernel), theirs(images[0], kernel), atol=1e-6)
        found, expected = (
            jax.jit(jax.grad(functools.partial(total, run), argnums=(0, 1)))(images, kernel) for run in (ours, theirs)
        )
        for x, y in zip(found, expected, strict=True):
            np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-5)


def test_group_norm_normalises_each_group_even_far_from_zero():
    image = np.concatenate([photo(20, 20), 1000 + photo(20, 20)], axis=-1)
    net = GroupNorm(2)
    y = np.asarray(net.apply({"params": {"scale": jnp.ones(6), "bias": jnp.zeros(6)}}, image))
    for group in (y[..., :3], y[..., 3:]):
        np.testing.assert_allclose([group.mean(), group.std()], [0, 1], atol=1e-3)


def test_vmap_is_the_loop():
    images = jnp.stack([photo(16, 16, seed) for seed in range(2)])
    restore = numbered_nafnet(NAFNetConfig(2, (1,), 1, (1,)), images[0])
    loop = jnp.stack([jax.jit(restore)(image) for image in images])
    np.testing.assert_allclose(jax.jit(jax.vmap(restore))(images), loop, atol=1e-6)


@pytest.mark.parametrize("size", [1, 3, 5])
def test_a_convolution_differentiates_as_xla_does(size):
    """Our gradient of the kernel, one matrix product an offset, against autodiff of the plain convolution, batched."""
    rng = np.random.default_rng(0)
    x, dy = (jnp.asarray(rng.normal(size=(2, 7, 9, c)), jnp.float32) for c in (4, 6))
    kernel = jnp.asarray(rng.normal(size=(size, size, 4, 6)), jnp.float32)

    def plain(x, kernel):
        return jax.lax.conv_general_dilated(
            x[None], kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"), precision="highest"
        )[0]

    def gradients(function):
        batched = lambda x, kernel: jnp.vdot(jax.vmap(function, (0, None))(x, kernel), dy)  # noqa: E731
        return jax.grad(batched, argnums=(0, 1))(x, kernel)

    expected = gradients(plain)
    for ours, theirs in zip(gradients(convolve), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)
    elsewhere = sum(kernel_gradient_by_xla(*pair, size) for pair in zip(x, dy, strict=True))  # on other platforms
    np.testing.assert_allclose(elsewhere, expected[1], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("side", [384, 192, 128])
def test_the_grid_networks_input_is_read_off_its_name(side):
    config = mj.PipelineConfig(None, mj.PhotofinishConfig(grid_input=side), None)
    params = mj.init_params(KEY, config)
    assert mj.config_of(params) == config
    assert count_params(params) == 207_224
    small = jnp.asarray(photo(24, 32)) ** 2.2
    neutral = mj.apply_look(mj.predict_look(params["photofinish"], small), small)
    np.testing.assert_allclose(neutral, small ** (1 / 2.2), atol=2e-3)
