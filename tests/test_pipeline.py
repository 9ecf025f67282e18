import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import modisp_jax as mj
from modisp_jax.resample import resize_bilinear
from tests.samples import TINY, numbered_params, raw

SIZE = (64, 80)
RAW = raw(*SIZE)


@pytest.fixture(scope="module")
def neutral():
    return mj.init_params(jax.random.key(0), TINY)


@pytest.fixture(scope="module")
def busy():
    """Parameters under which every network does something."""
    return numbered_params(mj.init_params(jax.random.key(0), TINY), scale=0.5)


def test_untrained_parameters_render_plainly(neutral):
    """White balance, colour matrix and gamma 2.2, nothing else."""
    picture = mj.render(neutral, RAW)
    balanced = np.asarray(RAW.image) / np.asarray(RAW.illuminant)
    plain = np.clip(balanced @ np.asarray(RAW.ccm).T, 0, 1) ** (1 / 2.2)
    difference = np.abs(picture - plain)
    # Upsampling fits lines to the gamma curve: near black, where the curve is steep, they leave it a little.
    assert np.median(difference) < 0.005
    assert difference.mean() < 0.02


def test_render_is_the_last_of_the_stages(busy):
    stages = mj.render_stages(busy, RAW)
    np.testing.assert_allclose(mj.render(busy, RAW), stages.srgb, atol=1e-5)
    np.testing.assert_allclose(stages.linear_small, resize_bilinear(stages.linear, (16, 20)), atol=1e-6)
    assert stages.srgb.shape == stages.upsampled.shape == stages.denoised.shape == (*SIZE, 3)
    assert stages.finished.srgb.shape == (16, 20, 3)
    for leaf in jax.tree.leaves(stages):
        assert np.isfinite(leaf).all()


@pytest.mark.parametrize("size", [(16, 16), (17, 35)])
def test_small_and_odd_sizes(busy, size):
    config = mj.RenderConfig(halo_fix=mj.HaloFixConfig(iterations=3))
    picture = jax.jit(functools.partial(mj.render, config=config))(busy, raw(*size))
    assert picture.shape == (*size, 3)
    assert np.isfinite(picture).all()
    assert picture.min() >= 0
    assert picture.max() <= 1


def test_strength_zero_leaves_the_restoration_out(busy):
    only_finish = {"photofinish": busy["photofinish"]}
    edits = mj.Edits(denoise=0.0, enhance=0.0)
    np.testing.assert_allclose(mj.render(busy, RAW, edits=edits), mj.render(only_finish, RAW), atol=1e-4)


def test_exposure_doubles_the_light(neutral):
    brighter = mj.render_stages(neutral, RAW, edits=mj.Edits(exposure=1.0))
    darker = mj.render_stages(neutral, RAW)
    np.testing.assert_allclose(brighter.exposed, 2 * darker.exposed, atol=1e-6)
    np.testing.assert_allclose(brighter.linear, np.minimum(2 * darker.linear, 1), atol=0.3)


def test_jit_changes_nothing(busy):
    jitted = jax.jit(lambda params, raw: mj.render(params, raw))
    np.testing.assert_allclose(jitted(busy, RAW), mj.render(busy, RAW), atol=1e-5)


def batch_of(raws):
    return jax.tree.map(
        lambda *leaves: jnp.stack(leaves), *[dataclasses.replace(r, saturation=jnp.ones(3)) for r in raws]
    )


def test_vmap_is_the_loop(busy):
    raws = [raw(*SIZE, seed) for seed in range(2)]
    batch = batch_of(raws)
    pictures = jax.jit(jax.vmap(mj.render, in_axes=(None, 0)))(busy, batch)
    for picture, one in zip(pictures, raws, strict=True):
        np.testing.assert_allclose(picture, mj.render(busy, one), atol=2e-4)


def test_a_batch_has_a_gradient(busy):
    batch = batch_of([RAW, RAW])
    total = lambda params: jnp.sum(jax.vmap(mj.render, in_axes=(None, 0))(params, batch))  # noqa: E731
    gradient = jax.eval_shape(jax.grad(total), busy)
    assert jax.tree.map(jnp.shape, gradient) == jax.tree.map(jnp.shape, busy)


def test_a_raw_passes_through_jax_without_its_metadata():
    tagged = dataclasses.replace(RAW, metadata={"camera": "x"})
    assert jax.tree.map(lambda x: x, tagged).metadata is None
    assert jax.tree.structure(tagged) == jax.tree.structure(RAW)


@pytest.mark.slow
def test_every_gradient_is_finite_for_every_picture(busy):
    """Parameters, pixels, illuminant and matrix; black, white, flat, two colours, beyond the range, tiny values."""

    def total(params, raw):
        return jnp.sum(mj.render(params, raw) ** 2)

    gradient = jax.jit(jax.value_and_grad(total, argnums=(0, 1)))
    image = np.asarray(RAW.image)
    halves = np.zeros_like(image)
    halves[:, 40:] = [0.4, 0.2, 0.1]
    noise = np.random.default_rng(0).uniform(-1, 1, image.shape).astype(np.float32)
    pictures = {
        "photo": image,
        "black": 0 * image,
        "white": 0 * image + 1,
        "flat": 0 * image + 0.3,
        "two colours": halves,
        "beyond": 3e38 * noise,
    }
    cases = [(name, pixels, RAW.illuminant, RAW.ccm) for name, pixels in pictures.items()]
    cases += [("no light", image, jnp.zeros(3), RAW.ccm)]
    extreme_matrix = jnp.full((3, 3), 3e38).at[1].set(-3e38)
    cases += [("extreme colour", pictures["beyond"], jnp.array([3e38, 1e-38, -1]), extreme_matrix)]
    for name, pixels, illuminant, ccm in cases:
        value, grads = gradient(busy, mj.Raw(jnp.asarray(pixels, jnp.float32), illuminant, ccm))
        assert np.isfinite(value), name
        for path, leaf in jax.tree_util.tree_leaves_with_path(grads):
            assert np.isfinite(leaf).all(), (name, jax.tree_util.keystr(path))


def test_black_and_white_has_no_colour_at_full_size(neutral):
    """Though the raw has, and though upsampling has few small pixels to learn from."""
    grey = neutral["photofinish"] | {"chroma": jax.tree.map(jnp.zeros_like, neutral["photofinish"]["chroma"])}
    stages = mj.render_stages(neutral | {"photofinish": grey}, RAW)
    assert jnp.ptp(stages.linear, axis=-1).max() > 0.2
    assert jnp.ptp(stages.finished.srgb, axis=-1).max() == 0
    assert jnp.ptp(stages.upsampled, axis=-1).max() == 0
    assert jnp.abs(stages.upsampled.mean() - stages.finished.srgb.mean()) < 0.02


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image": jnp.zeros((64, 80))}, r"raw.image: expected an image"),
        ({"image": jnp.zeros((15, 80, 3))}, "at least 16 pixels"),
        ({"image": jnp.zeros((64, 80, 3), jnp.uint16)}, "floating-point"),
        ({"illuminant": jnp.zeros(4)}, r"raw.illuminant: expected shape \(3,\), got \(4,\)"),
        ({"ccm": jnp.zeros((3, 4))}, r"raw.ccm: expected shape \(3, 3\)"),
        ({"saturation": jnp.zeros(2)}, "raw.saturation"),
    ],
)
def test_wrong_raws_are_refused(neutral, change, message):
    with pytest.raises(ValueError, match=message):
        mj.render(neutral, dataclasses.replace(RAW, **change))


def test_what_is_no_raw_and_params_without_photofinishing_are_refused(neutral):
    with pytest.raises(ValueError, match=r"expected a modisp_jax.Raw, got"):
        mj.render(neutral, RAW.image)
    with pytest.raises(ValueError, match="rendering needs 'photofinish'"):
        mj.render({"denoise": neutral["denoise"]}, RAW)
