"""What is differentiated in place of a kernel: batches as well as single images."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from modisp_jax.config import NAFNetConfig
from modisp_jax.nets import nafnet
from modisp_jax.nets.photofinish import GuideNet, guide
from modisp_jax.ops.bilateral_grid import slice_affine
from modisp_jax.ops.bilateral_solver import bilateral_solve
from modisp_jax.ops.guided_upsample import fit_affine_grid
from tests.samples import numbered_network, photo

CONFIG = NAFNetConfig(4, (1,), 1, (1,))


def denoised(params, image):
    return nafnet.restore(params, image, jnp.float32(1.0), CONFIG)


def fitted(params, image):
    return slice_affine(fit_affine_grid(image, params * image**0.45), 15 * image.mean(-1), image)


def solved(params, image):
    return bilateral_solve(params * image**0.45, image, iterations=4)[0]


DISPATCHED = {
    "nafnet": (denoised, lambda: numbered_network(nafnet.NAFNet(CONFIG))),
    "guide": (guide, lambda: numbered_network(GuideNet())),
    "fit": (fitted, lambda: jnp.float32(0.9)),
    "solver": (solved, lambda: jnp.float32(0.9)),
}


def loss_of(name):
    run, make = DISPATCHED[name]
    return lambda params, image: jnp.mean(jnp.square(run(params, image))), make()


def batch_loss(loss):
    return lambda params, images: jax.vmap(loss, (None, 0))(params, images).sum()


IMAGES = np.stack([0.9 * photo(16, 20, seed) + 0.05 for seed in range(2)])


@pytest.mark.parametrize("name", DISPATCHED)
def test_a_batch_has_a_gradient(name):
    loss, params = loss_of(name)
    got = jax.eval_shape(jax.grad(batch_loss(loss)), params, IMAGES)
    assert jax.tree.map(jnp.shape, got) == jax.tree.map(jnp.shape, params)


def test_it_is_the_sum_of_those_of_its_images():
    loss, params = loss_of("nafnet")
    got = jax.jit(jax.grad(batch_loss(loss)))(params, IMAGES)
    gradient = jax.jit(jax.grad(loss))
    want = jax.tree.map(jnp.add, *(gradient(params, image) for image in IMAGES))
    largest = max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(want))
    assert largest > 1e-4
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5 * largest), got, want)
