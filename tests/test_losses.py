"""Losses: laws, parity of values and gradients, and five training steps of the published system."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import modisp_jax as mj
from modisp_jax import losses
from modisp_jax.fit.optim import OptimizerConfig, move, optimizer
from modisp_jax.fit.samples import each_loss
from modisp_jax.look import finish_by_networks
from modisp_jax.losses import LossWeights
from modisp_jax.nets.vgg import layer_names
from modisp_jax.ops.lut import identity_chroma_lut, identity_rgb_lut
from modisp_jax.torch_import import import_photofinish
from modisp_jax.torch_tables import photofinish_table
from modisp_jax.tree import flatten
from modisp_jax.types import Edits, FinishedStages, Look
from tests.samples import EXTREMES, photo, steps_jit

A, B = photo(24, 32, 0), photo(24, 32, 1)
LOSSES = {
    "l1": losses.l1,
    "ssim": losses.ssim_loss,
    "delta_e": losses.delta_e76,
    "cbcr": lambda x, y: losses.cbcr_l1(losses.chroma_of(x), y),
    "tv": lambda x, y: losses.total_variation(x),
    "luma_energy": lambda x, y: losses.luma_energy(x[..., 0], y[..., 0]),
    "tone": lambda x, y: losses.tone_loss(x[..., 1], x[..., 0], y[..., 0]),
}
DISTANCES = ("l1", "ssim", "delta_e", "cbcr", "luma_energy")
GRADIENTS = {name: jax.jit(jax.value_and_grad(loss, argnums=(0, 1))) for name, loss in LOSSES.items()}
photofinish_losses = jax.jit(losses.photofinish_losses, static_argnames="weights")  # which sorts the terms by name


def look_and_stages(rgb_lut=False, size=(24, 32)):
    """A look and pictures that differ from stage to stage."""
    stages = {
        name: jnp.asarray(photo(*size, seed))
        for seed, name in enumerate(field.name for field in dataclasses.fields(FinishedStages))
    }
    finished = FinishedStages(**stages | ({} if rgb_lut else {"rgb_lut": None}))
    look = Look(
        gain=jnp.float32(1.0),
        gtm=jnp.ones(3),
        ltm=jnp.asarray(np.random.default_rng(0).normal(size=(*size, 5)), jnp.float32),
        chroma_lut=jnp.asarray(identity_chroma_lut()),
        inverse_gamma=jnp.float32(0.5),
        rgb_lut=jnp.asarray(identity_rgb_lut()) if rgb_lut else None,
    )
    return look, finished


@pytest.mark.parametrize("name", DISTANCES)
def test_identical_images_cost_nothing_and_pull_nowhere(name):
    for image in (A, np.zeros_like(A), np.ones_like(A)):
        # Without jit: XLA may round the two sides differently, and 1e-6 apart has a direction.
        value, slope = jax.value_and_grad(LOSSES[name])(image, image)
        assert value == 0
        np.testing.assert_array_equal(slope, 0)
        np.testing.assert_allclose(GRADIENTS[name](image, image)[0], 0, atol=2e-4)


@pytest.mark.parametrize("name", DISTANCES)
def test_symmetric_and_positive(name):
    there, back = GRADIENTS[name](A, B)[0], GRADIENTS[name](B, A)[0]
    assert there > 0
    np.testing.assert_allclose(there, back, rtol=1e-5)


@pytest.mark.parametrize("name", LOSSES)
def test_finite_on_every_image_in_range(name):
    corners = np.where(np.random.default_rng(0).uniform(size=A.shape) < 0.5, 0, 1).astype(np.float32)
    images = (A, np.zeros_like(A), np.ones_like(A), corners, np.resize(EXTREMES[:11], A.shape).clip(0, 1))
    for x in images:
        for y in images:
            value, slopes = GRADIENTS[name](x, y)
            assert np.isfinite(value)
            assert all(np.isfinite(slope).all() for slope in slopes)


@pytest.mark.parametrize("name", ["l1", "delta_e", "cbcr"])
def test_finite_gradients_for_every_float(name):
    x = np.resize(EXTREMES, A.shape)
    for y in (x[::-1], A):
        assert all(np.isfinite(slope).all() for slope in GRADIENTS[name](x, y)[1])


@pytest.mark.parametrize("name", LOSSES)
def test_vmap_is_a_loop(name):
    together = jax.jit(jax.vmap(LOSSES[name]))(np.stack([A, B]), np.stack([B, 0.5 * A]))
    np.testing.assert_allclose(together, [GRADIENTS[name](x, y)[0] for x, y in ((A, B), (B, 0.5 * A))], rtol=1e-5)


@pytest.mark.parametrize("name", LOSSES)
def test_gradient_against_finite_differences(name):
    rng = np.random.default_rng(1)
    x = rng.uniform(0.2, 0.8, (16, 16, 3)).astype(np.float32)
    # Away from |0| in R, G, B, Cb and Cr alike.
    y = x + rng.choice([-1, 1], (16, 16, 1)).astype(np.float32) * np.array([0.15, -0.05, 0.1], np.float32)
    direction = rng.normal(size=x.shape).astype(np.float32)
    step = 1e-3
    ahead, behind = (float(GRADIENTS[name](x + s * step * direction, y)[0]) for s in (1, -1))
    slope = float(np.sum(GRADIENTS[name](x, y)[1][0] * direction))
    np.testing.assert_allclose(slope, (ahead - behind) / (2 * step), rtol=0.02, atol=2e-4)


def test_slopes_at_kinks():
    np.testing.assert_array_equal(jax.vmap(jax.grad(losses.absolute))(jnp.array([-2.0, -0.0, 0.0, 2.0])), [-1, 0, 0, 1])
    # A clamp passes the gradient whole at its bounds: black and white pixels are pulled like others.
    at_bound = np.full((1, 1, 3), 1e-4, np.float32)
    slope = jax.grad(losses.delta_e76)(at_bound, at_bound + np.float32(0.1))
    assert (np.abs(slope) > 1).any()


def test_ssim_of_constants():
    x, y = np.full((40, 40, 1), 0.25, np.float32), np.full((40, 40, 1), 0.75, np.float32)
    inner = 1 - (2 * 0.25 * 0.75 + 1e-4) / (0.25**2 + 0.75**2 + 1e-4)
    window = np.full(11, 1 / 11)
    np.testing.assert_allclose(losses.dissimilarity(x, y, window), inner, atol=5e-5)


def test_ssim_of_nearly_equal_images_against_float64():
    rng = np.random.default_rng(0)
    x = (0.9 + 0.02 * rng.normal(size=(32, 32, 1))).astype(np.float32)
    y = x + np.float32(1e-4) * rng.normal(size=x.shape).astype(np.float32)
    offsets = np.arange(-5, 6)
    window = np.exp(-(offsets**2) / 2.0)
    window = np.outer(window, window) / window.sum() ** 2

    def mean(z):
        views = np.lib.stride_tricks.sliding_window_view(np.pad(z, 5), (11, 11))
        return (views * window).sum((-1, -2))

    a, b = x[..., 0].astype(np.float64), y[..., 0].astype(np.float64)
    ma, mb = mean(a), mean(b)
    va, vb, vab = mean(a * a) - ma**2, mean(b * b) - mb**2, mean(a * b) - ma * mb
    expected = 1 - ((2 * ma * mb + 1e-4) * (2 * vab + 9e-4) / ((ma**2 + mb**2 + 1e-4) * (va + vb + 9e-4))).mean()
    assert expected < 1e-5  # where E[x^2] - E[x]^2 in float32 would be all noise
    np.testing.assert_allclose(losses.ssim_loss(x, y), expected, rtol=1e-3)


def test_the_window_mean_is_its_own_adjoint():
    rng = np.random.default_rng(0)
    x, dy = rng.normal(size=(12, 9, 2)).astype(np.float32), rng.normal(size=(8, 5, 2)).astype(np.float32)
    window = np.array([0.1, 0.2, 0.4, 0.25, 0.05])
    y, pull = jax.vjp(lambda x: losses.window_mean(x, window), x)
    np.testing.assert_allclose(jnp.vdot(y, dy), jnp.vdot(x, pull(dy)[0]), rtol=1e-5)
    np.testing.assert_array_equal(losses.window_mean(np.ones((12, 9, 2), np.float32), window), 1)


def test_total_variation_of_a_ramp():
    y, x = np.mgrid[0:5, 0:7].astype(np.float32)
    ramp = np.stack([3 * y + x, -3 * y], axis=-1)
    np.testing.assert_allclose(losses.total_variation(ramp), 0.5 * (3 + 0.5))
    assert losses.total_variation(ramp[:1, :1]) == 0


def test_luma_energy_sees_the_mean_only():
    y = A[..., 0]
    assert losses.luma_energy(y[::-1], y) < 1e-6
    np.testing.assert_allclose(losses.luma_energy(y + 0.1, y), 0.1, rtol=1e-5)


def test_degamma_undoes_the_power_curve_and_moves_gamma():
    linear = np.linspace(0.01, 1, 50, dtype=np.float32)
    np.testing.assert_allclose(losses.degamma(linear**0.4, jnp.float32(0.4)), linear, rtol=1e-4)
    slope_of = jax.jit(jax.grad(lambda g: losses.degamma(A, g).mean()))
    assert slope_of(0.4) > 0
    assert np.isfinite([slope_of(inverse_gamma) for inverse_gamma in EXTREMES]).all()


def test_soft_lab_of_white_and_grey():
    white, grey = losses.soft_lab(jnp.array([[1.0, 1, 1], [0.2, 0.2, 0.2]]))
    np.testing.assert_allclose(white, [100, 0, 0], atol=0.01)
    np.testing.assert_allclose(grey[1:], 0, atol=0.01)


@pytest.mark.parametrize("name", ["l1", "ssim", "delta_e"])
def test_images_of_different_shape_are_refused(name):
    with pytest.raises(ValueError, match=r"one shape, got \(24, 32, 3\) and \(24, 32, 1\)"):
        LOSSES[name](A, B[..., :1])


def test_terms_of_photofinishing():
    look, finished = look_and_stages()
    terms = photofinish_losses(look, finished, B)
    names = [field.name for field in dataclasses.fields(LossWeights)]
    order = []
    jax.eval_shape(lambda: order.extend(losses.photofinish_losses(look, finished, B)))
    assert order == [name for name in names if name != "perceptual"]
    assert set(terms) == set(order)
    np.testing.assert_allclose(terms["l1"], 2.5 * losses.l1(finished.srgb, B), rtol=1e-6)
    np.testing.assert_allclose(terms["ltm_smoothness"], 0.6 * losses.total_variation(look.ltm), rtol=1e-6)
    target = B**2
    np.testing.assert_allclose(terms["delta_e"], 0.02 * losses.delta_e76(finished.chroma, target), rtol=1e-4)
    chroma = losses.l1(losses.chroma_of(finished.local_tone), losses.chroma_of(target))
    np.testing.assert_allclose(terms["cbcr"], chroma, rtol=1e-4)


def test_terms_with_a_colour_lut():
    look, finished = look_and_stages(rgb_lut=True)
    terms = photofinish_losses(look, finished, B)
    both = losses.delta_e76(finished.chroma, B**2) + 0.5 * losses.delta_e76(finished.rgb_lut, B**2)
    np.testing.assert_allclose(terms["delta_e"], 0.02 * both, rtol=1e-4)
    chroma = losses.l1(losses.chroma_of(finished.rgb_lut), losses.chroma_of(B**2))
    np.testing.assert_allclose(terms["cbcr"], chroma, rtol=1e-4)


def test_weights_scale_and_leave_out():
    look, finished = look_and_stages()
    terms = photofinish_losses(look, finished, B)
    doubled = photofinish_losses(look, finished, B, weights=LossWeights(l1=5.0, tone=0.0))
    assert set(terms) - set(doubled) == {"tone"}
    np.testing.assert_allclose(doubled["l1"], 2 * terms["l1"], rtol=1e-6)
    with pytest.raises(ValueError, match=r"LossWeights.ssim: expected a finite number >= 0, got -1"):
        LossWeights(ssim=-1)


def test_the_perceptual_term_needs_weights():
    look, finished = look_and_stages()
    rng = np.random.default_rng(0)
    vgg, channels = {}, 3
    for name in layer_names("vgg19")[:10]:
        kernel = jnp.asarray(rng.normal(size=(3, 3, channels, 2)) / 5, jnp.float32)
        vgg[name], channels = {"kernel": kernel, "bias": jnp.full(2, 0.1)}, 2
    weights = dataclasses.replace(LossWeights(), **{name: 0.0 for name in ("ssim", "tone", "cbcr")})
    loss = jax.jit(jax.value_and_grad(lambda f: photofinish_losses(look, f, B, weights=weights, vgg=vgg)["perceptual"]))
    value, slope = loss(finished)
    assert value > 0
    assert np.abs(slope.srgb).max() > 0
    same = loss(dataclasses.replace(finished, srgb=jnp.asarray(B)))[0]
    assert same < 1e-3 * value


@pytest.mark.reference
@pytest.mark.parametrize("name", ["ssim", "delta_e", "tv", "luma_energy", "tone"])
def test_parity(vectors, name):
    z = vectors("losses")
    value, (slope, _) = GRADIENTS[name](z["pred"], z["target"])
    # The stored SSIM cancels (5e-6 from float64); of two nearly equal colours float32 knows the direction to 1e-3.
    np.testing.assert_allclose(value, z[f"{name}/value"], atol={"ssim": 1e-5}.get(name, 1e-7), rtol=1e-6)
    expected = z[f"{name}/grad"]
    np.testing.assert_allclose(slope, expected, atol=1e-3 * np.abs(expected).max(), rtol=0)
    assert np.linalg.norm(slope - expected) < 1e-3 * np.linalg.norm(expected)


@pytest.mark.reference
def test_parity_of_lab_and_degamma(vectors):
    z = vectors("losses")
    np.testing.assert_allclose(losses.soft_lab(z["target"]), z["lab_soft"], atol=2e-4)
    out = losses.degamma(z["target"], z["degamma/inverse_gamma"][0])
    np.testing.assert_allclose(out, z["degamma/out"], atol=1e-6)


PUBLISHED_NAMES = {
    "l1": "l1",
    "ssim": "ssim",
    "delta_e": "delta-e",
    "cbcr": "cbcr",
    "lut_smoothness": "lut-smoothness",
    "tone": "tm",
    "ltm_smoothness": "ltm-smoothness",
    "luma": "luma-energy-consistency",
}


@pytest.mark.reference
@pytest.mark.slow
def test_five_training_steps(vectors, shared):
    reference = shared / "reference"
    published = json.loads((reference / "vectors" / "training_step.json").read_text())
    params = import_photofinish(reference / "weights/photofinishing/photofinishing_s24-style-0.pth")
    batch = vectors("training_step")
    # L2 coupled: its gradient goes through Adam, unlike AdamW's decay.
    adam = optimizer(OptimizerConfig(learning_rate=1e-4, final_fraction=1.0, l2=1e-7), 5, params, (("", 1.0),))

    def losses_of(params, linear, target):
        look, finished = finish_by_networks(params, linear, Edits(), mj.RenderConfig())
        terms = photofinish_losses(look, finished, target)
        return sum(terms.values()), terms

    def total(params, linear, target):
        found, terms = each_loss(losses_of, params, linear, target)
        return found.mean(), jax.tree.map(jnp.mean, terms)

    @steps_jit
    def step(state, linear, target):
        (_, terms), gradient = jax.value_and_grad(total, has_aux=True)(state["params"], linear, target)
        return move(adam, state, gradient, 0, 0.0), terms, gradient

    places = {theirs: ours for theirs, ours, _ in photofinish_table(mj.PhotofinishConfig(chroma_lut_axes="crcb"))}
    state, worst = {"params": params, "optimizer": adam.init(params)}, {}
    for number, expected in enumerate(published["steps"]):
        state, terms, gradient = step(state, batch["lsrgb"], batch["srgb"])
        for name, value in terms.items():
            error = abs(float(value) / expected[PUBLISHED_NAMES[name]] - 1)
            worst[name] = max(worst.get(name, 0.0), error)
        np.testing.assert_allclose(sum(terms.values()), expected["total"], rtol=1e-3)
        if number == 0:
            norms = {place: float(jnp.linalg.norm(leaf)) for place, leaf in flatten(gradient).items()}
            wanted = {places[theirs]: norm for theirs, norm in published["first_step_grad_norm"].items()}
            assert set(norms) == set(wanted)
            worst["gradient norms"] = max(abs(norms[place] / wanted[place] - 1) for place in wanted)
    print({name: f"{error:.1e}" for name, error in worst.items()})
    assert set(worst) == {*PUBLISHED_NAMES, "gradient norms"}
    assert max(worst.values()) < 1e-3
