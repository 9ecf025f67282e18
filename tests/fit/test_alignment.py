"""The shift between two pictures of one scene."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from modisp_jax.fit.alignment import estimate_shift, likeness, translate
from tests.samples import photo

SIZE = (48, 64)
WIDE = photo(80, 96, seed=3)[..., 1]


def part(down, right):
    """A part of the scene: one that is cut further up shows things lower."""
    return jnp.asarray(WIDE[16 - down : 16 - down + SIZE[0], 16 - right : 16 - right + SIZE[1]])


@pytest.mark.parametrize("shift", [(0, 0), (3, -2), (-8, 5), (8, 8)])
def test_whole_shifts_are_found_whatever_the_tones(shift):
    second = part(*shift) ** 0.5 * 0.7 + 0.1
    np.testing.assert_array_equal(estimate_shift(part(0, 0), second, 8), shift)


def test_half_pixels_are_found():
    second = 0.5 * (part(2, 1) + part(2, 2))
    np.testing.assert_allclose(estimate_shift(part(0, 0), second, 8), [2, 1.5], atol=0.3)


def test_flat_pictures_and_no_range_give_none():
    flat = jnp.full(SIZE, 0.4)
    np.testing.assert_array_equal(estimate_shift(flat, flat, 8), 0)
    np.testing.assert_array_equal(estimate_shift(part(0, 0), flat, 8), 0)
    np.testing.assert_array_equal(estimate_shift(part(0, 0), part(3, 3), 0), 0)


def test_translation_undoes_a_shift():
    moved, known = translate(part(3, -2)[..., None], jnp.array([3.0, -2.0]))
    inside = np.asarray(known, bool)
    assert inside.sum() == (SIZE[0] - 3) * (SIZE[1] - 2)
    np.testing.assert_allclose(moved[..., 0][inside], part(0, 0)[inside], atol=1e-6)


def test_a_batch_is_the_same_as_one_by_one():
    seconds = jnp.stack([part(1, 2), part(-4, 0)])
    batch = jax.jit(jax.vmap(lambda x: estimate_shift(part(0, 0), x, 6)))(seconds)
    np.testing.assert_array_equal(batch, [[1, 2], [-4, 0]])


def test_likeness_tells_the_same_scene_from_another():
    def like(first, second, shift):
        return float(jax.jit(likeness, static_argnames="most")(first, second, jnp.array(shift), most=8))

    assert like(part(0, 0), part(0, 0), (0, 0)) == pytest.approx(1, abs=1e-5)
    shifted = part(3, -2) ** 0.5 * 0.7 + 0.1
    assert like(part(0, 0), shifted, (3, -2)) > 0.8
    assert abs(like(part(0, 0), shifted, (-4, 5))) < 0.3
    assert like(part(0, 0), 1 - part(0, 0), (0, 0)) == pytest.approx(-1, abs=1e-5)
    assert like(part(0, 0), jnp.full(SIZE, 0.4), (0, 0)) == 0
