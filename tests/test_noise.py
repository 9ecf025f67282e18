"""Sensor noise: laws of the drawn values, and of the tables that the figures come from."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from modisp_jax.noise import ISO_GRID, add_noise, generic_noise, noise_level, read_noise_profiles

HEADER = "maker\tmodel\tiso\ta_r\ta_g\ta_b\tb_r\tb_g\tb_b\n"


def test_variance_is_affine_in_the_signal():
    x = jnp.full((200, 300), 0.3)
    noisy = add_noise(jax.random.key(0), x, 1e-3, 2e-5)
    assert noisy.mean() == pytest.approx(0.3, abs=3e-4)
    assert noisy.var() == pytest.approx(1e-3 * 0.3 + 2e-5, rel=0.02)


def test_no_noise_changes_nothing_and_the_result_stays_in_range():
    x = jnp.linspace(0, 1, 64)
    np.testing.assert_array_equal(add_noise(jax.random.key(0), x, 0.0, 0.0), x)
    strong = add_noise(jax.random.key(0), x, 1.0, 1.0)
    assert strong.min() >= 0
    assert strong.max() <= 1


def test_the_gradient_is_finite_at_black_and_white():
    gradient = jax.grad(lambda x, a, b: add_noise(jax.random.key(0), x, a, b).sum(), argnums=(0, 1, 2))
    for leaf in gradient(jnp.array([0.0, 1e-30, 0.5, 1.0]), 0.0, 0.0):
        assert np.isfinite(leaf).all()


def test_levels_meet_the_figures_and_grow_with_iso():
    profiles = generic_noise()
    for k, iso in enumerate(ISO_GRID):
        a, b = noise_level(profiles, 1, iso)
        np.testing.assert_allclose(a, profiles.a[1, k], rtol=1e-5)
        np.testing.assert_allclose(b, profiles.b[1, k], rtol=1e-5)
    levels = np.array([noise_level(profiles, 0, iso)[0] for iso in (10, 50, 70, 100, 5000, 12800, 1e6)])
    assert (np.diff(levels, axis=0) >= 0).all()
    np.testing.assert_array_equal(levels[0], levels[1])  # clipped to the grid
    np.testing.assert_array_equal(levels[-1], levels[-2])


def test_a_table_is_put_on_the_grid(tmp_path):
    table = tmp_path / "noise.tsv"
    rows = ["A\tone\t100\t1e-5\t2e-5\t3e-5\t1e-8\t1e-8\t-1e-9", "A\tone\t400\t4e-5\t8e-5\t12e-5\t16e-8\t16e-8\t0"]
    table.write_text(HEADER + "\n".join([*rows, "B\ttwo\t200\t-1e-6\t1e-5\t1e-5\t0\t0\t0"]) + "\n")
    profiles = read_noise_profiles(table)
    assert profiles.a.shape == profiles.b.shape == (2, len(ISO_GRID), 3)
    # Proportional to the ISO within and beyond the table; b in ISO^2 likewise.
    np.testing.assert_allclose(profiles.a[0, :, 0], 1e-5 * ISO_GRID / 100, rtol=1e-5)
    np.testing.assert_allclose(profiles.b[0, :, 0], 1e-8 * (ISO_GRID / 100) ** 2, rtol=1e-4)
    assert (profiles.b >= 0).all()
    np.testing.assert_allclose(profiles.a[1, 2, 0], 1e-8)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("", "columns"),
        (HEADER, "columns"),
        ("maker\tmodel\n1\t2\n", "iso"),
        (HEADER + "A\tone\tfast\t1\t1\t1\t1\t1\t1\n", "numbers"),
    ],
)
def test_bad_tables_are_refused(tmp_path, text, match):
    table = tmp_path / "noise.tsv"
    table.write_text(text)
    with pytest.raises(ValueError, match=match):
        read_noise_profiles(table)
    with pytest.raises(ValueError, match="no such file"):
        read_noise_profiles(tmp_path / "nothing.tsv")


@pytest.mark.reference
def test_the_measured_table_reads(shared):
    profiles = read_noise_profiles(shared / "data" / "tables" / "noise_profiles.tsv")
    assert profiles.a.shape == (32, 9, 3)
    assert np.isfinite(profiles.a).all()
    # Shot noise goes with the ISO: from ISO 100 to 3200 by about 32.
    assert np.median(profiles.a[:, 6, 1] / profiles.a[:, 1, 1]) == pytest.approx(32, rel=0.25)
