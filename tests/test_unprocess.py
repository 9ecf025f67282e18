"""Raw photos from finished ones: round trips, ranges, seeds."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from modisp_jax.color import srgb_decode
from modisp_jax.stages.color import to_linear_srgb
from modisp_jax.unprocess import (
    UnprocessConfig,
    draw_shot,
    expose,
    generic_cameras,
    planckian_xyz,
    read_cameras,
    scene_linear,
    to_camera,
    unprocess,
)
from tests.samples import photo

CAMERAS = generic_cameras()
compiled = jax.jit(unprocess)


def picture(h=24, w=32):
    return jnp.clip(jnp.asarray(photo(h, w)), 0.02, 0.85)


def test_seeded_and_jitted_alike():
    x = picture()
    first, clean = unprocess(jax.random.key(3), x, CAMERAS)
    again, _ = compiled(jax.random.key(3), x, CAMERAS)
    other, _ = compiled(jax.random.key(4), x, CAMERAS)
    np.testing.assert_allclose(first.image, again.image, atol=1e-6)
    assert np.abs(first.image - other.image).max() > 1e-3
    for image in (first.image, clean):
        assert image.shape == x.shape
        assert image.min() >= 0
        assert image.max() <= 1


def test_vmap_is_a_loop():
    keys = jax.random.split(jax.random.key(0), 3)
    x = jnp.stack([picture()] * 3)
    batch, _ = jax.jit(jax.vmap(unprocess, in_axes=(0, 0, None)))(keys, x, CAMERAS)
    for i in range(3):
        np.testing.assert_allclose(batch.image[i], compiled(keys[i], x[i], CAMERAS)[0].image, atol=1e-6)


@pytest.mark.parametrize("seed", range(4))
def test_rendering_undoes_the_camera(seed):
    """Matrix and white balance of the shot bring the linear image back, without noise and mosaic."""
    shot = draw_shot(jax.random.key(seed), CAMERAS)
    linear = scene_linear(picture(), shot.exposure, shot.contrast)
    back = to_linear_srgb(to_camera(linear, shot.illuminant, shot.ccm), shot.illuminant, shot.ccm)
    outside = (to_camera(linear, shot.illuminant, shot.ccm) <= 0).any(-1)  # colours that the camera cannot tell
    np.testing.assert_allclose(back[~outside], linear[~outside], atol=2e-5)
    assert outside.mean() < 0.3


def test_a_shot_is_what_its_fields_say():
    config = UnprocessConfig(cct=(4000.0, 4000.0), tint=(0.0, 0.0), iso=(200.0, 200.0), exposure=(1.0, 1.0))
    shot = draw_shot(jax.random.key(0), CAMERAS, config)
    assert shot.exposure == pytest.approx(1.0)
    assert shot.iso == pytest.approx(200.0, rel=1e-5)
    np.testing.assert_allclose(shot.ccm.sum(axis=1), 1.0, atol=1e-5)
    assert shot.illuminant[1] == pytest.approx(1.0)
    np.testing.assert_allclose(
        shot.illuminant, _green_one(CAMERAS.from_xyz[0] @ planckian_xyz(jnp.float32(4000.0))), rtol=1e-5
    )


def _green_one(rgb):
    return rgb / rgb[1]


def test_the_curve_is_neutral_monotone_and_keeps_black_and_white():
    v = np.linspace(0, 1, 513, dtype=np.float32)
    curve = jax.jit(scene_linear)
    np.testing.assert_allclose(curve(v, 0.0, 0.0), srgb_decode(v), atol=1e-6)
    for exposure in (0.0, 0.7, 2.0):
        for contrast in (0.0, 0.5, 1.0):
            y = np.asarray(curve(v, exposure, contrast))
            assert (np.diff(y) >= 0).all()
            assert y[0] == pytest.approx(0, abs=5e-5)  # asin's slope at the end is cut off
            assert y[-1] == pytest.approx(1, abs=1e-2)
    # In the shadows the exposure is a factor.
    np.testing.assert_allclose(scene_linear(0.1, 1.0, 0.0), srgb_decode(0.1) / 2, rtol=1e-2)


def test_gradients_of_the_curve_are_finite():
    gradient = jax.jit(jax.grad(lambda v, e, c: scene_linear(v, e, c).sum(), argnums=(0, 1, 2)))
    for leaf in gradient(jnp.array([-1.0, 0.0, 1e-30, 0.5, 1.0, 7.0]), 1.0, 0.5):
        assert np.isfinite(leaf).all()


@pytest.mark.optimised
def test_expose_without_noise_gives_the_clean_picture():
    x = picture()
    take = jax.jit(lambda x: expose(jax.random.key(0), x, jnp.zeros(3), jnp.zeros(3)))
    noisy, clean = take(x)
    np.testing.assert_array_equal(noisy, clean)
    flat = jnp.full_like(x, 0.25)
    np.testing.assert_allclose(take(flat)[1], flat, atol=1e-6)


def test_all_four_bayer_phases_are_drawn():
    x = picture(8, 8)
    take = jax.jit(lambda seed: expose(jax.random.key(seed), x, jnp.zeros(3), jnp.zeros(3))[1])
    seen = {np.asarray(take(seed)).tobytes() for seed in range(24)}
    assert len(seen) == 4


def test_planckian_light_is_where_it_should_be():
    """CIE illuminant A is a black body of 2856 K: x .4476, y .4074; D65's correlated temperature is 6504 K."""
    xyz = planckian_xyz(jnp.float32(2856.0))
    np.testing.assert_allclose(xyz[:2] / xyz.sum(), [0.4476, 0.4074], atol=1e-3)
    blue, red = (planckian_xyz(jnp.float32(t)) for t in (8000.0, 3000.0))
    assert blue[2] / blue[0] > red[2] / red[0]
    plain, green = (planckian_xyz(jnp.float32(5000.0), tint) for tint in (0.0, 20.0))
    assert green[1] / (green[0] + green[2]) > plain[1] / (plain[0] + plain[2])


def test_bad_input_is_refused(tmp_path):
    with pytest.raises(ValueError, match="even"):
        unprocess(jax.random.key(0), jnp.zeros((7, 8, 3)), CAMERAS)
    with pytest.raises(ValueError, match="floating-point"):
        unprocess(jax.random.key(0), jnp.zeros((8, 8, 3), jnp.uint8), CAMERAS)
    with pytest.raises(ValueError, match="low, high"):
        UnprocessConfig(exposure=(1.0, 0.0))
    with pytest.raises(ValueError, match="within"):
        dataclasses.replace(UnprocessConfig(), iso=(1.0, 100.0))
    table = tmp_path / "matrices.tsv"
    table.write_text("camera\t" + "\t".join(f"m{i}{j}" for i in range(3) for j in range(3)) + "\nX" + "\t1" * 9 + "\n")
    with pytest.raises(ValueError, match="invertible"):
        read_cameras(table, tmp_path / "noise.tsv")


@pytest.mark.reference
def test_measured_cameras(shared):
    tables = shared / "data" / "tables"
    cameras = read_cameras(tables / "color_matrices_d65.tsv", tables / "noise_profiles.tsv")
    assert cameras.from_xyz.shape == (33, 3, 3)
    for seed in range(20):
        shot = draw_shot(jax.random.key(seed), cameras)
        assert np.isfinite(shot.ccm).all()
        assert np.abs(shot.ccm).max() < 5
        assert (shot.illuminant > 0.1).all()
        assert (shot.illuminant < 3).all()
