"""The CIE XYZ net: laws on untrained and on numbered parameters, then parity with the published."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import modisp_jax as mj
from modisp_jax.color import SRGB_TO_XYZ
from modisp_jax.config import PipelineConfig
from modisp_jax.nets.linearize import LOCAL_RANGE, CieXyzNet, LocalNet
from tests.samples import numbered_params, photo

CONFIG = PipelineConfig(None, None, None, io=("cie_xyz",))


@pytest.fixture(scope="module")
def untrained():
    return mj.init_params(jax.random.key(0), CONFIG)["io"]["cie_xyz"]


@jax.jit
def run(params, image):
    return CieXyzNet().apply({"params": params}, image)


def test_parameter_count(untrained):
    assert mj.count_params(untrained) == 693_493


def test_untrained_it_squares_and_converts(untrained):
    image = photo(24, 40)
    np.testing.assert_allclose(run(untrained, image), np.square(image) @ SRGB_TO_XYZ.T, atol=1e-5)


def test_the_local_part_is_bounded(untrained):
    numbered = numbered_params(untrained, 3.0)["local"]
    local = LocalNet().apply({"params": numbered}, 10 * photo(20, 20))
    assert np.abs(local).max() <= LOCAL_RANGE
    assert np.ptp(local) > 0.01


@pytest.mark.parametrize("size", [(1, 1), (5, 130)])
def test_any_size(untrained, size):
    assert np.isfinite(run(numbered_params(untrained), photo(*size))).all()


def test_finite_gradients(untrained):
    numbered = numbered_params(untrained)
    gradients = jax.jit(jax.grad(lambda p, x: (run(p, x) ** 2).sum(), argnums=(0, 1)))(numbered, photo(16, 16))
    assert all(np.isfinite(leaf).all() and jnp.any(leaf) for leaf in jax.tree.leaves(gradients))


@pytest.mark.reference
def test_parity(shared, vectors):
    path = shared / "reference" / "weights" / "io" / "cie_xyz_net.pth"
    v = vectors("raw_in_jpeg")
    got = run(mj.import_torch(cie_xyz=path)["io"]["cie_xyz"], v["linearize/srgb"])
    np.testing.assert_allclose(got, v["linearize/xyz"], atol=1e-5)
